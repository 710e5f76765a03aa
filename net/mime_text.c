#include "net/mime_private.h"

#include <string.h>

/* Where in a line of format=flowed (RFC 3676 section 4). */
enum flowed_state {
    FLOWED_QUOTES, /* At its beginning: ">". */
    FLOWED_DASHES, /* It may be "-- ", which never flows. */
    FLOWED_LINE,   /* In its text. */
};

static void tell(struct mime *mime)
{
    if (mime->value_size > 0 && mime->sink.text != NULL) {
        mime->sink.text(mime->sink.context, mime->value, mime->value_size);
    }
    mime->value_size = 0;
}

static void put(struct mime *mime, uint32_t character)
{
    if (mime->value_size > sizeof mime->value - 4) {
        tell(mime);
    }
    mime->value_size += (uint16_t)mime_utf8(character, mime->value + mime->value_size);
    mime->line_ended = character == '\n';
}

/* Blank lines before the first other are not told: a part of nothing else is no text at all. */
void mime_text_put(struct mime *mime, uint32_t character)
{
    bool blank;

    if ((character < 0x20 && character != '\n' && character != '\t') ||
        (character >= 0x7F && character < 0xA0) || character == 0x200B || character == 0xFEFF) {
        return; /* Controls, and what takes no room: it would hide in front of a word. */
    }
    character = character == 0xA0 ? ' ' : character;
    blank = character == ' ' || character == '\t' || character == '\n';
    if (!mime->visible && blank) {
        mime->indent = character == '\n' ? 0 : mime->indent + (mime->indent < UINT8_MAX);
        return;
    }
    mime->visible = true;
    for (; mime->indent > 0; mime->indent--) {
        put(mime, ' ');
    }
    put(mime, character);
}

void mime_text_quote(struct mime *mime, unsigned depth, bool empty)
{
    for (unsigned i = 0; i < depth; i++) {
        mime_text_put(mime, '>');
    }
    if (depth > 0 && !empty) {
        mime_text_put(mime, ' ');
    }
}

/* The text of a line begins, or that of the line before goes on. */
static void flowed_open(struct mime *mime, bool joins, bool empty)
{
    struct mime_flowed *flowed = &mime->flowed;

    if (flowed->flows && joins && flowed->depth == flowed->last_depth) {
        return;
    }
    if (flowed->flows) {
        mime_text_put(mime, '\n');
    }
    mime_text_quote(mime, flowed->depth, empty);
}

static void flowed_close(struct mime *mime, bool flows)
{
    struct mime_flowed *flowed = &mime->flowed;

    if (flows) {
        if (!flowed->delete_space) {
            mime_text_put(mime, ' ');
        }
    } else {
        mime_text_put(mime, '\n');
    }
    flowed->flows = flows;
    flowed->last_depth = flowed->depth;
    flowed->depth = 0;
    flowed->space = false;
    flowed->state = FLOWED_QUOTES;
}

static void flowed_line(struct mime *mime, uint32_t character)
{
    struct mime_flowed *flowed = &mime->flowed;

    if (character == '\n') {
        flowed_close(mime, flowed->space);
        return;
    }
    if (flowed->space) {
        mime_text_put(mime, ' ');
    }
    flowed->space = character == ' ';
    if (!flowed->space) {
        mime_text_put(mime, character);
    }
}

static void flowed_add(struct mime *mime, uint32_t character)
{
    static const char dashes[] = "-- ";
    struct mime_flowed *flowed = &mime->flowed;

    if (flowed->state == FLOWED_QUOTES) {
        if (character == '>') {
            flowed->depth += flowed->depth < UINT8_MAX;
            return;
        }
        flowed->state = FLOWED_DASHES;
        flowed->matched = 0;
        if (character == ' ') {
            return; /* Stuffed. */
        }
    }
    if (flowed->state == FLOWED_DASHES) {
        bool separator = flowed->matched == 3 && character == '\n';

        if (flowed->matched < 3 && character == (uint8_t)dashes[flowed->matched]) {
            flowed->matched++;
            return;
        }
        flowed->state = FLOWED_LINE;
        flowed_open(mime, !separator, flowed->matched == 0 && character == '\n');
        for (unsigned i = 0; i < flowed->matched; i++) {
            flowed_line(mime, (uint8_t)dashes[i]);
        }
        if (separator) {
            mime_text_put(mime, ' ');
            flowed_close(mime, false);
            return;
        }
    }
    flowed_line(mime, character);
}

void mime_text_begin(struct mime *mime)
{
    mime->value_size = 0;
    mime->visible = false;
    mime->line_ended = false;
    mime->indent = 0;
    memset(&mime->transfer, 0, sizeof mime->transfer);
    memset(&mime->charset, 0, sizeof mime->charset);
    mime->transfer.encoding = mime->encoding;
    mime->charset.id = mime->charset_id;
    if (mime->is_html) {
        memset(&mime->html, 0, sizeof mime->html);
    } else {
        memset(&mime->flowed, 0, sizeof mime->flowed);
        mime->flowed.delete_space = mime->delete_space;
    }
}

static void character_add(struct mime *mime, uint32_t character)
{
    if (mime->is_html) {
        mime_html_add(mime, character);
    } else if (mime->is_flowed) {
        flowed_add(mime, character);
    } else {
        mime_text_put(mime, character);
    }
}

void mime_text_add(struct mime *mime, char c)
{
    uint32_t characters[2];
    unsigned count = mime_charset_add(&mime->charset, (uint8_t)c, characters);

    for (unsigned i = 0; i < count; i++) {
        character_add(mime, characters[i]);
    }
}

void mime_text_end(struct mime *mime)
{
    uint32_t characters[2];

    if (mime_charset_end(&mime->charset, characters) > 0) {
        character_add(mime, characters[0]);
    }
    if (mime->is_html) {
        mime_html_end(mime);
    } else if (mime->is_flowed && (mime->flowed.state != FLOWED_QUOTES || mime->flowed.depth > 0)) {
        flowed_add(mime, '\n');
    }
    if (mime->visible) {
        if (!mime->line_ended) {
            put(mime, '\n');
        }
        mime->text_found = true;
    }
    tell(mime);
}
