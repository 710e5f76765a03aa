/* Lines, boundaries, and what a part is for.
 *
 *     START -> MIDDLE -LF-> START           a line that begins with "-" within a multipart is held
 *         \--> HELD -> MIDDLE or IGNORED    back until it is known not to be a boundary
 */
#include "net/mime_private.h"
#include "net/text.h"

#include <string.h>

enum line_state {
    LINE_START,
    LINE_MIDDLE,
    LINE_HELD,
    LINE_IGNORED, /* What stands behind a boundary. */
};

/* What a part says it is. */
enum part_type {
    PART_OTHER,
    PART_PLAIN,
    PART_HTML,
    PART_MULTIPART,
    PART_STATUS,   /* message/delivery-status. */
    PART_ORIGINAL, /* A message, or its header. */
};

unsigned mime_find(const char *list, const char *name)
{
    for (unsigned number = 1; *list != '\0'; number++) {
        if (text_equal_nocase(list, name)) {
            return number;
        }
        while (*list++ != '\0') {
            /* On to the next. */
        }
    }
    return 0;
}

/* The value ends behind the type. */
static uint8_t part_type(const char *value)
{
    static const char names[] = "text/plain\0text/html\0message/delivery-status\0"
                                "message/global-delivery-status\0"
                                "message/rfc822\0message/rfc822-headers\0text/rfc822-headers\0"
                                "message/global\0message/global-headers\0";
    static const uint8_t types[] = {
        PART_OTHER,    PART_PLAIN,    PART_HTML,     PART_STATUS,   PART_STATUS,
        PART_ORIGINAL, PART_ORIGINAL, PART_ORIGINAL, PART_ORIGINAL, PART_ORIGINAL,
    };

    /* What is no type at all is text (RFC 2045 section 5.2). */
    return strchr(value, '/') == NULL ? PART_PLAIN : types[mime_find(names, value)];
}

static void part_begin(struct mime *mime)
{
    mime->mode = MODE_HEADER;
    mime->type =
        mime->depth > 0 && mime->levels[mime->depth - 1].digest ? PART_ORIGINAL : PART_PLAIN;
    mime->charset_id = CHARSET_UTF8;
    mime->encoding = ENCODING_NONE;
    mime->attachment = false;
    mime->is_flowed = false;
    mime->delete_space = false;
    mime_field_begin(mime);
}

static bool parameter_is(struct mime *mime, const char *name, const char *wanted)
{
    return mime_parameter(mime->value, name, mime->token, sizeof mime->token) &&
           text_equal_nocase(mime->token, wanted);
}

static void content_type(struct mime *mime)
{
    struct mime_level *level = &mime->levels[mime->depth];
    char *value = mime->value;
    bool bounded = mime->depth < MIME_DEPTH &&
                   mime_parameter(value, "boundary", level->boundary, sizeof level->boundary);

    mime->charset_id = CHARSET_UTF8;
    if (mime_parameter(value, "charset", mime->token, sizeof mime->token)) {
        mime->charset_id = mime_charset_find(mime->token, strlen(mime->token));
    }
    mime->is_flowed = parameter_is(mime, "format", "flowed");
    mime->delete_space = parameter_is(mime, "delsp", "yes");
    if (!mime->header_ended) { /* The message's own field says whether it is a report. */
        mime->report = text_starts_nocase(value, "multipart/report") &&
                       parameter_is(mime, "report-type", "delivery-status");
    }
    value[strcspn(value, "; (")] = '\0';
    mime->type = part_type(value);
    if (bounded && text_starts_nocase(value, "multipart/")) {
        mime->type = PART_MULTIPART;
        level->digest = text_equal_nocase(value + 10, "digest");
    }
}

void mime_field_done(struct mime *mime)
{
    static const char names[] = "Content-Type\0Content-Disposition\0Content-Transfer-Encoding\0";
    static const enum mime_place places[] = {
        [MODE_REPORT] = MIME_REPORT,
        [MODE_ORIGINAL] = MIME_ORIGINAL,
    };
    const char *value = mime->value;

    if (mime->sink.field != NULL && !(mime->mode == MODE_HEADER && mime->header_ended)) {
        mime->sink.field(mime->sink.context, places[mime->mode], mime->name, value);
    }
    if (mime->mode != MODE_HEADER) {
        return;
    }
    switch (mime_find(names, mime->name)) {
    case 1:
        content_type(mime);
        break;
    case 2:
        mime->attachment = text_starts_nocase(value, "attachment");
        break;
    case 3:
        mime->encoding = text_starts_nocase(value, "quoted-printable") ? ENCODING_QUOTED
                         : text_starts_nocase(value, "base64")         ? ENCODING_BASE64
                                                                       : ENCODING_NONE;
        break;
    default:
        break;
    }
}

/* What the part's body is for; only known when its header has ended. */
static uint8_t body_mode(struct mime *mime)
{
    bool reported = mime->report && mime->depth == 1;

    switch (mime->type) {
    case PART_PLAIN:
    case PART_HTML:
        return mime->attachment || mime->text_found ? MODE_SKIP : MODE_TEXT;
    case PART_STATUS:
        return reported ? MODE_REPORT : MODE_SKIP;
    case PART_ORIGINAL:
        return reported ? MODE_ORIGINAL : MODE_SKIP;
    default:
        return MODE_SKIP;
    }
}

static void header_told(struct mime *mime)
{
    if (!mime->header_ended) {
        mime->header_ended = true;
        if (mime->sink.header_end != NULL) {
            mime->sink.header_end(mime->sink.context);
        }
    }
}

void mime_header_done(struct mime *mime)
{
    if (mime->mode == MODE_REPORT) {
        return; /* The next group follows. */
    }
    if (mime->mode != MODE_HEADER) {
        mime->mode = MODE_SKIP;
        return;
    }
    header_told(mime);
    mime->mode = body_mode(mime);
    mime->end_of_line = false;
    if (mime->type == PART_MULTIPART) {
        mime->depth++;
    } else if (mime->mode == MODE_TEXT) {
        mime->is_html = mime->type == PART_HTML;
        mime_text_begin(mime);
    } else {
        memset(&mime->transfer, 0, sizeof mime->transfer);
        mime->transfer.encoding = mime->encoding;
        mime_field_begin(mime);
    }
}

/* A byte behind the transfer encoding. Line ends may have been encoded too. */
static void content_add(struct mime *mime, char c)
{
    if (c == '\r') {
        return;
    }
    if (mime->mode == MODE_TEXT) {
        mime_text_add(mime, c);
    } else if (mime->mode != MODE_SKIP) {
        mime_field_add(mime, c);
    }
}

static void part_add(struct mime *mime, char c)
{
    char out[MIME_TRANSFER_BYTES];
    size_t size;

    if (mime->mode == MODE_SKIP) {
        return;
    }
    if (mime->mode == MODE_HEADER) {
        mime_field_add(mime, c);
        return;
    }
    size = mime_transfer_add(&mime->transfer, c, out);
    for (size_t i = 0; i < size; i++) {
        content_add(mime, out[i]);
    }
}

static void part_end(struct mime *mime)
{
    char out[MIME_TRANSFER_BYTES];
    size_t size;

    if (mime->mode != MODE_HEADER && mime->mode != MODE_SKIP) {
        size = mime_transfer_end(&mime->transfer, out);
        for (size_t i = 0; i < size; i++) {
            content_add(mime, out[i]);
        }
    }
    if (mime->mode == MODE_TEXT) {
        mime_text_end(mime);
    } else if (mime->mode != MODE_SKIP) {
        mime_field_end(mime);
    }
}

/* Whether the line held back is a boundary (RFC 2046 5.1.1), of the innermost multipart first; a
 * multipart that ends takes along those within it. */
static bool boundary(struct mime *mime)
{
    size_t size = mime->hold_size;

    while (mime->hold[size - 1] == ' ' || mime->hold[size - 1] == '\t') {
        size--;
    }
    for (unsigned i = mime->depth; i > 0; i--) {
        const char *wanted = mime->levels[i - 1].boundary;
        size_t rest = 2 + strlen(wanted);
        bool closes = size == rest + 2 && memcmp(mime->hold + rest, "--", 2) == 0;

        if ((closes || size == rest) && memcmp(mime->hold + 2, wanted, rest - 2) == 0) {
            part_end(mime);
            mime->end_of_line = false;
            mime->depth = (uint8_t)(closes ? i - 1 : i);
            if (closes) {
                mime->mode = MODE_SKIP;
            } else {
                part_begin(mime);
            }
            return true;
        }
    }
    return false;
}

/* A byte of a line that is no boundary. In a text the end of a line waits, for it is the
 * boundary's if one follows. */
static void line_add(struct mime *mime, char c)
{
    if (mime->end_of_line) {
        mime->end_of_line = false;
        part_add(mime, '\n');
    }
    if (c == '\n' && mime->depth > 0 && mime->mode == MODE_TEXT) {
        mime->end_of_line = true;
    } else {
        part_add(mime, c);
    }
}

static void release(struct mime *mime)
{
    for (unsigned i = 0; i < mime->hold_size; i++) {
        line_add(mime, mime->hold[i]);
    }
    mime->hold_size = 0;
}

/* true: the byte is taken care of. */
static bool held_add(struct mime *mime, char c)
{
    if (c != '\n' && mime->hold_size < sizeof mime->hold && (mime->hold_size > 1 || c == '-')) {
        mime->hold[mime->hold_size++] = c;
        return true;
    }
    if (mime->hold_size > 1 && boundary(mime)) {
        mime->hold_size = 0;
        mime->line = c == '\n' ? LINE_START : LINE_IGNORED;
        return true;
    }
    release(mime);
    return false;
}

static void byte_add(struct mime *mime, char c)
{
    if (c == '\r' || c == '\0') {
        return; /* Neither means anything by itself, and both are good at hiding things. */
    }
    if (mime->line == LINE_IGNORED) {
        mime->line = c == '\n' ? LINE_START : LINE_IGNORED;
        return;
    }
    if (mime->line == LINE_START && mime->depth > 0 && c == '-') {
        mime->line = LINE_HELD;
    }
    if (mime->line == LINE_HELD && held_add(mime, c)) {
        return;
    }
    mime->line = c == '\n' ? LINE_START : LINE_MIDDLE;
    line_add(mime, c);
}

void mime_init(struct mime *mime, const struct mime_sink *sink)
{
    memset(mime, 0, sizeof *mime);
    mime->sink = *sink;
    part_begin(mime);
}

void mime_push(struct mime *mime, const void *bytes, size_t size)
{
    const char *in = bytes;

    for (size_t i = 0; i < size; i++) {
        byte_add(mime, in[i]);
    }
}

void mime_end(struct mime *mime)
{
    if (mime->line == LINE_HELD && (mime->hold_size < 2 || !boundary(mime))) {
        release(mime);
    }
    if (mime->end_of_line) {
        mime->end_of_line = false;
        part_add(mime, '\n');
    }
    part_end(mime);
    header_told(mime);
    mime->mode = MODE_SKIP;
}

bool mime_is_report(const struct mime *mime)
{
    return mime->report;
}
