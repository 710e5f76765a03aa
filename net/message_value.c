/* A field's value, as it is written: in pieces of at most MESSAGE_FIELD_BYTES, and a piece in steps
 * of bounded output.
 *
 * A piece with nothing wrong in it is copied. Otherwise it is gone through a token at a time: 8-bit
 * words are encoded (message_words.c), and lines are folded anew where they are too long. Lists of
 * addresses are gone through a mailbox at a time, to see where a domain is missing. */
#include "net/message.h"

#include "net/message_private.h"
#include "net/text.h"

#include <string.h>

enum {
    LINE_GIVEN = 900, /* Up to here lines that have been longer stay so. */
    LINE_MAX = 998,   /* RFC 5322 2.1.1. */
    WORD_MAX = 900,   /* Longer words of text are encoded, for they cannot be folded. */
    COPY_BYTES = 512, /* In one step. */
    PARAM_NAME_MAX = 40
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

size_t message_skip_blanks(const struct message *message, size_t at, size_t limit)
{
    while (at < limit && is_blank(message->value[at])) {
        at++;
    }
    return at;
}

/* ---- folding ---- */

/* Whether so many octets more should not stand on this line. The first line is not left empty
 * unless it must be. */
static bool is_full(const struct message *message, size_t width)
{
    size_t limit = message->rewrite ? LINE_CHARS : LINE_GIVEN;
    size_t column = message->column + width;

    return column > limit && (message->filled || (column > LINE_MAX && width < LINE_MAX));
}

/* The blanks before what needs that width: with the line end that they have, or one that they now
 * need. */
static void put_gap(struct message *message, size_t from, size_t size, size_t width)
{
    const char *gap = message->value + from;
    const char *fold = size > 0 ? memchr(gap, '\n', size) : NULL;
    bool folds = fold != NULL || (size > 0 && is_full(message, size + width));

    if (fold != NULL) {
        size -= (size_t)(fold - gap) + 1;
        gap = fold + 1;
    }
    if (folds) {
        message_put_string(message, "\n");
    }
    if (size > LINE_CHARS || (message->rewrite && size + width > LINE_CHARS)) {
        gap = " ";
        size = 1;
    }
    message_put(message, gap, size);
}

/* ---- tokens ---- */

static size_t quoted_end(const char *value, size_t at, size_t limit)
{
    for (at++; at < limit; at++) {
        if (value[at] == '"') {
            return at + 1;
        }
        at += value[at] == '\\';
    }
    return limit;
}

static size_t comment_end(const char *value, size_t at, size_t limit)
{
    size_t depth = 0;

    for (; at < limit; at++) {
        depth += value[at] == '(';
        depth -= value[at] == ')';
        if (depth == 0) {
            return at + 1;
        }
        at += value[at] == '\\';
    }
    return limit;
}

/* The end of the token at a place that is no blank. */
static size_t token_end(const struct message *message, size_t at, size_t limit)
{
    const char *value = message->value;
    uint8_t form = message->known->form;
    const char *specials = form == FORM_ADDRESSES ? "(),:;<>\""
                           : form == FORM_PARAMS  ? "();=\""
                                                  : "";

    if (strchr(specials, value[at]) == NULL) {
        while (at < limit && !is_blank(value[at]) && strchr(specials, value[at]) == NULL) {
            at++;
        }
        return at;
    }
    if (value[at] == '"') {
        return quoted_end(value, at, limit);
    }
    if (value[at] == '<') {
        const char *end = memchr(value + at, '>', limit - at);

        return end != NULL ? (size_t)(end - value) + 1 : at + 1;
    }
    return value[at] == '(' ? comment_end(value, at, limit) : at + 1;
}

/* RFC 2047 2; that somebody else made. */
static bool is_encoded_word(const char *bytes, size_t size)
{
    return size > 8 && memcmp(bytes, "=?", 2) == 0 && memcmp(bytes + size - 2, "?=", 2) == 0 &&
           !message_has_eight_bit(bytes, size);
}

static bool is_word(const struct message *message, size_t at)
{
    return message->known->form == FORM_TEXT || strchr("(),:;<>", message->value[at]) == NULL;
}

static bool must_encode(const struct message *message, size_t at, size_t end)
{
    return message_has_eight_bit(message->value + at, end - at) ||
           (message->known->form == FORM_TEXT && end - at > WORD_MAX);
}

/* Begins to encode the word at begin..end, and with it what stands between it and other words up to
 * limit that have to be: blanks between encoded words do not count, so they are put into them. */
static void begin_run(struct message *message, size_t begin, size_t end, size_t limit, uint8_t mode)
{
    size_t next;

    if (message->after_word) {
        message_put_string(message, "\n ");
    } else {
        put_gap(message, message->at, begin - message->at, WORD_ROOM + 2);
        message->at = begin;
    }
    message->run = end;
    while (mode != RUN_COMMENT) {
        next = message_skip_blanks(message, end, limit);
        if (next == limit || !is_word(message, next)) {
            break;
        }
        end = token_end(message, next, limit);
        if (is_encoded_word(message->value + next, end - next)) {
            break; /* Somebody else's. */
        }
        if (must_encode(message, next, end)) {
            message->run = end;
        }
    }
    message->run_mode = mode;
    message->run_quoted = false;
    message->run_utf8 = message_is_utf8(message->value + message->at, message->run - message->at);
}

/* A token as it is, after the blanks before it. */
static void begin_copy(struct message *message, size_t begin, size_t end)
{
    bool inserts = message->insert > begin && message->insert <= end;
    bool encoded = is_encoded_word(message->value + begin, end - begin);

    if (message->after_own && encoded && begin > message->at) {
        message_put_string(message, "\n =?utf-8?Q?_?="); /* Blanks between two do not count. */
    }
    if (message->after_word && begin == message->at) {
        message_put_string(message, " ");
    }
    put_gap(message, message->at, begin - message->at,
            end - begin + (inserts ? 1 + strlen(message->params.domain) : 0));
    message->at = begin;
    message->copy_end = end;
    message->after_word = encoded;
    message->after_own = false;
    message->after_semi = message->value[begin] == ';';
}

static void copy_step(struct message *message)
{
    size_t end = message->copy_end;

    if (message->insert > message->at && message->insert < end) {
        end = message->insert;
    }
    if (end - message->at > COPY_BYTES) {
        end = message->at + COPY_BYTES;
    }
    message_put(message, message->value + message->at, end - message->at);
    message->at = end;
    if (end == message->insert) {
        message_put_domain(message);
        message->insert = NO_OFFSET;
    }
}

/* ---- one token of each kind of field ---- */

static void text_token(struct message *message, size_t begin, size_t end)
{
    if (message->known->form == FORM_TEXT && must_encode(message, begin, end)) {
        begin_run(message, begin, end, message->stop, RUN_TEXT);
    } else {
        begin_copy(message, begin, end);
    }
}

/* Goes on to the next mailbox, up to the separator behind it. false: more must come before. */
static bool next_span(struct message *message)
{
    char c = ' ';

    message->insert = NO_OFFSET;
    while (message->pushed < message->length) {
        c = message->value[message->pushed++];
        address_list_push(&message->list, &c, 1);
        if (strchr(",;:>", c) != NULL && address_list_between(&message->list)) {
            break;
        }
        c = ' ';
    }
    if (c == ' ' && !message->complete && message->at > 0) {
        return false;
    }
    if (message->pushed == message->length && message->complete) {
        message_end_list(message);
    }
    message->span = message->pushed;
    message->span_start = message->at;
    message->phrase_end = message->at;
    for (size_t at = message_skip_blanks(message, message->at, message->span); at < message->span;
         at = message_skip_blanks(message, at, message->span)) {
        if (message->value[at] == '<' || message->value[at] == ':') {
            message->phrase_end = at;
            break;
        }
        at = token_end(message, at, message->span);
    }
    return true;
}

static void address_token(struct message *message, size_t begin, size_t end)
{
    const char *value = message->value;
    bool eight_bit = message_has_eight_bit(value + begin, end - begin);

    if (begin == message->span_start && begin > 0 && strchr(",;>)", value[begin]) == NULL &&
        is_full(message, message->span - begin)) {
        message_put_string(message, "\n ");
    }
    if (eight_bit && begin < message->phrase_end && is_word(message, begin)) {
        begin_run(message, begin, end, message->phrase_end, RUN_PHRASE);
    } else if (eight_bit && value[begin] == '(' && value[end - 1] == ')') {
        put_gap(message, message->at, begin - message->at, WORD_ROOM + 2);
        message_put_string(message, message->after_word && begin == message->at ? " (" : "(");
        message->after_word = false;
        message->at = begin + 1;
        begin_run(message, begin + 1, end - 1, end - 1, RUN_COMMENT);
    } else {
        begin_copy(message, begin, end);
    }
}

/* Begins to write a parameter whose value has 8-bit characters (RFC 2231 3, 4). false: there is
 * none at begin..end. */
static bool begin_param(struct message *message, size_t begin, size_t end)
{
    const char *value = message->value;
    size_t at = message_skip_blanks(message, end, message->stop);
    size_t value_end;
    size_t width = end - begin + sizeof "*=iso-8859-1''";

    if (!message->after_semi || end - begin > PARAM_NAME_MAX || value[end - 1] == '*' ||
        at == message->stop || value[at] != '=') {
        return false;
    }
    at = message_skip_blanks(message, at + 1, message->stop);
    if (at < message->stop && value[at] == '"') {
        value_end = quoted_end(value, at, message->stop);
    } else { /* Some leave the quotes out, whatever is in it. */
        const char *semi = memchr(value + at, ';', message->stop - at);

        value_end = semi != NULL ? (size_t)(semi - value) : message->stop;
        while (value_end > at && is_blank(value[value_end - 1])) {
            value_end--;
        }
    }
    if (!message_has_eight_bit(value + at, value_end - at)) {
        return false;
    }
    width += message_param_size(message, at, value_end);
    put_gap(message, message->at, begin - message->at, width < LINE_CHARS ? width : LINE_CHARS - 2);
    message->sections = message->column + width > LINE_CHARS;
    message->section = 0;
    message->param = begin;
    message->param_size = end - begin;
    message->at = at;
    message->run = value_end;
    message->run_mode = RUN_PARAM;
    message->run_quoted = false;
    message->run_utf8 = message_is_utf8(value + at, value_end - at);
    return true;
}

static void param_token(struct message *message, size_t begin, size_t end)
{
    if (!begin_param(message, begin, end)) {
        begin_copy(message, begin, end);
    }
}

/* ---- a piece ---- */

static bool has_long_line(const struct message *message, size_t size)
{
    size_t column = message->column;

    for (size_t i = 0; i < size; i++) {
        column = message->value[i] == '\n' ? 0 : column + 1;
        if (column > LINE_MAX) {
            return true;
        }
    }
    return false;
}

/* How far the piece goes: to its last blanks, if more is to come. */
static size_t piece_end(const struct message *message)
{
    const char *value = message->value;
    size_t end = message->length;

    if (message->complete || message->known->form == FORM_ADDRESSES) {
        return end;
    }
    while (end > 0 && !is_blank(value[end - 1])) {
        end--;
    }
    while (end > 0 && is_blank(value[end - 1])) {
        end--;
    }
    if (end > 0) {
        return end;
    }
    for (end = message->length - 1; end > 1 && ((uint8_t)value[end] & 0xC0) == 0x80;) {
        end--; /* A word of the size of a piece is cut between characters. */
    }
    return end;
}

/* A piece of blanks alone becomes one: a line end that it has is no use, and must not be left
 * without the blank behind it. */
static void drop_blanks(struct message *message)
{
    message->value[0] = ' ';
    message->length = 1;
    message->line_start = 0;
    message->pushed = message->pushed > 0;
}

static void prepare(struct message *message)
{
    message->prepared = true;
    if (!message->complete && message_skip_blanks(message, 0, message->length) == message->length) {
        drop_blanks(message);
    }
    message->at = message->joined ? message_skip_blanks(message, 0, message->length) : 0;
    message->joined = message->joined && message->at == message->length;
    message->span = message->at;
    message->copy_end = 0;
    message->run = 0;
    message->insert = NO_OFFSET;
    message->stop = piece_end(message);
    message->rewrite = message->rewrite || message_has_eight_bit(message->value, message->stop) ||
                       has_long_line(message, message->stop);
    if (!message->rewrite && message->known->form != FORM_ADDRESSES) {
        message->copy_end = message->stop;
    }
}

/* What is left moves to the front, for more to follow it. To and Cc are left open for those that
 * may follow at once. */
static void piece_done(struct message *message)
{
    if (message->complete) {
        if (message->skip) {
            return;
        }
        if (message->written != ID_NONE && message->list.comments == 0 && !message->list.quoted) {
            message->open_list = message->written;
        } else {
            message_end_field(message);
        }
        return;
    }
    message->length -= message->at;
    memmove(message->value, message->value + message->at, message->length);
    message->pushed -= message->pushed < message->at ? message->pushed : message->at;
    message->line_start = message->line_start != NO_OFFSET && message->line_start >= message->at
                              ? message->line_start - message->at
                              : NO_OFFSET;
    message->prepared = false;
}

/* Of a field that is left out, the addresses count all the same. */
static void skip_piece(struct message *message)
{
    if (message->known->form == FORM_ADDRESSES && !message->list_ended) {
        address_list_push(&message->list, message->value, message->length);
        if (message->complete) {
            message_end_list(message);
        }
    }
    message->at = message->length;
    piece_done(message);
}

/* A bounded part of the piece; blanks at its end are only kept where all is. */
static bool piece_step(struct message *message)
{
    bool addresses = message->known->form == FORM_ADDRESSES;
    size_t limit;
    size_t begin;

    if (message->at < message->copy_end) {
        copy_step(message);
    } else if (message->at < message->run) {
        if (message->run_mode == RUN_PARAM) {
            message_param_step(message);
        } else {
            message_run_step(message);
        }
    } else if (message->at == message->stop ||
               (addresses && message->at == message->span && !next_span(message))) {
        piece_done(message);
        return true;
    } else {
        limit = addresses ? message->span : message->stop;
        begin = message_skip_blanks(message, message->at, limit);
        if (begin == limit) {
            if (!message->rewrite) { /* Blanks at the end. */
                message_put(message, message->value + message->at, limit - message->at);
            }
            message->at = limit;
        } else if (addresses) {
            address_token(message, begin, token_end(message, begin, limit));
        } else if (message->known->form == FORM_PARAMS) {
            param_token(message, begin, token_end(message, begin, limit));
        } else {
            text_token(message, begin, token_end(message, begin, limit));
        }
    }
    return false;
}

bool message_value_step(struct message *message)
{
    if (message->skip) {
        skip_piece(message);
        return true;
    }
    if (message->prepared) {
        return piece_step(message);
    }
    prepare(message);
    return false;
}
