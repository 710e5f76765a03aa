/* The structure of a message (RFC 2045, 2046), told line by line.
 *
 *     HEADER -empty line-> HEADER    of a message in a message
 *                     \--> BETWEEN   a multipart's preamble
 *                     \--> LEAF
 *     any    -boundary---> HEADER, or BETWEEN behind a closing one
 *
 * A line is told in pieces if it is longer than there is room for; only its first piece can be a
 * field or a boundary.
 */
#include "net/transcode_private.h"

#include "net/mime_private.h"
#include "net/text.h"

#include <string.h>

static bool is_blank(int c)
{
    return c == ' ' || c == '\t';
}

static void part_begin(struct transcode_parser *parser, bool is_message)
{
    bool digest = !is_message && parser->depth > 0 && parser->levels[parser->depth - 1].digest;

    parser->place = PLACE_HEADER;
    parser->type = digest ? TYPE_MESSAGE : TYPE_TEXT;
    parser->encoding = TRANSFER_SEVEN;
    parser->is_message = is_message;
    parser->type_seen = false;
    parser->encoding_seen = false;
    parser->version_seen = false;
    parser->field = FIELD_PLAIN;
    parser->field_size = 0;
    parser->field_cut = false;
    parser->structured = false;
}

void transcode_parser_init(struct transcode_parser *parser, void *context)
{
    memset(parser, 0, sizeof *parser);
    parser->context = context;
    part_begin(parser, true);
}

/* --- Fields --- */

/* The size of the name that a line begins with; 0: it is no field. */
static size_t name_size(const uint8_t *line, size_t size)
{
    size_t name = 0;
    size_t at;

    while (name < size && line[name] > ' ' && line[name] < 0x7F && line[name] != ':') {
        name++;
    }
    at = name;
    while (at < size && is_blank(line[at])) {
        at++; /* An old custom (RFC 5322 section 4.5). */
    }
    return at < size && line[at] == ':' ? name : 0;
}

/* The value of the held field in one line, without comments. */
static void field_value(const struct transcode_parser *parser, char *out, size_t out_size)
{
    const uint8_t *bytes = parser->field_bytes;
    const uint8_t *colon = memchr(bytes, ':', parser->field_size);
    struct text text = text_begin(out, out_size);
    unsigned comment = 0;
    bool quoted = false;

    for (size_t i = (size_t)(colon - bytes) + 1; i < parser->field_size; i++) {
        char c = (char)bytes[i];
        bool escape = c == '\\' && (quoted || comment > 0) && i + 1 < parser->field_size;

        if (comment == 0 && c == '"') {
            quoted = !quoted;
        }
        if (!quoted && c == '(') {
            comment++;
        }
        if (comment == 0 && (text.length > 0 || (uint8_t)c > ' ')) {
            text_add_char(&text, strchr("\t\r\n", c) != NULL ? ' ' : c); /* NUL, too. */
        }
        if (escape && bytes[++i] != '\0' && comment == 0) {
            text_add_char(&text, (char)bytes[i]);
        }
        if (!quoted && comment > 0 && !escape && c == ')') {
            comment--;
        }
    }
    while (text.length > 0 && out[text.length - 1] == ' ') {
        out[--text.length] = '\0';
    }
}

/* RFC 2045 6.1. What nobody has heard of is taken for a misspelt "8bit". */
static uint8_t parse_encoding(char *value)
{
    static const char names[] = "8bit\0binary\0quoted-printable\0base64\0";
    unsigned number;

    value[strcspn(value, "; ")] = '\0';
    number = mime_find(names, value);
    if (number == 0 && (text_starts_nocase(value, "x-") || text_starts_nocase(value, "uu"))) {
        return TRANSFER_OTHER;
    }
    return (uint8_t)number; /* The enum has their order. */
}

/* Charsets whose line ends are not bytes. */
static bool wide_charset(const char *value)
{
    char name[24];

    return mime_parameter(value, "charset", name, sizeof name) &&
           (text_starts_nocase(name, "utf-16") || text_starts_nocase(name, "utf-32") ||
            text_starts_nocase(name, "utf16") || text_starts_nocase(name, "utf32") ||
            text_starts_nocase(name, "ucs") || text_starts_nocase(name, "iso-10646-ucs"));
}

/* The boundary goes into the level above, for when the header has ended. */
static uint8_t parse_multipart(struct transcode_parser *parser, const char *value)
{
    struct transcode_level *level = &parser->levels[parser->depth];
    size_t size;

    if (parser->depth == TRANSCODE_DEPTH ||
        !mime_parameter(value, "boundary", level->boundary, sizeof level->boundary)) {
        return TYPE_BINARY;
    }
    size = strlen(level->boundary);
    while (size > 0 && level->boundary[size - 1] == ' ') {
        level->boundary[--size] = '\0'; /* RFC 2046 5.1.1: it cannot end in one. */
    }
    level->digest = text_starts_nocase(value, "multipart/digest");
    return size > 0 ? TYPE_MULTIPART : TYPE_BINARY;
}

static uint8_t parse_type(struct transcode_parser *parser, const char *value)
{
    char type[24];
    struct text text = text_begin(type, sizeof type);
    size_t size = strcspn(value, "; ");

    text_add_bytes(&text, value, size);
    if (memchr(value, '/', size) == NULL) {
        return TYPE_TEXT; /* What is no type at all is text (RFC 2045 section 5.2). */
    }
    if (text_starts_nocase(type, "multipart/")) {
        return parse_multipart(parser, value);
    }
    if (text_equal_nocase(type, "message/rfc822")) {
        return TYPE_MESSAGE;
    }
    if (text_starts_nocase(type, "text/")) {
        return wide_charset(value) ? TYPE_BINARY : TYPE_TEXT;
    }
    return text_starts_nocase(type, "message/") && !text_equal_nocase(type, "message/global")
               ? TYPE_TEXT
               : TYPE_BINARY;
}

/* The held field is complete: the first of its kind counts. */
static void field_end(struct transcode_parser *parser, transcode_told *told)
{
    char value[TRANSCODE_FIELD_BYTES];

    if (parser->field_size > 0) {
        field_value(parser, value, sizeof value);
        if (parser->field == FIELD_TYPE && !parser->type_seen) {
            parser->type = parse_type(parser, value);
        } else if (parser->field == FIELD_ENCODING && !parser->encoding_seen) {
            parser->encoding = parse_encoding(value);
        }
        if (!parser->field_cut) {
            told(parser, EVENT_FIELD, parser->field_bytes, parser->field_size);
        }
        parser->type_seen |= parser->field == FIELD_TYPE;
        parser->encoding_seen |= parser->field == FIELD_ENCODING;
    }
    parser->field = FIELD_PLAIN;
    parser->field_size = 0;
    parser->field_cut = false;
}

static void field_begin(struct transcode_parser *parser, size_t size)
{
    static const char names[] = "Content-Type\0Content-Transfer-Encoding\0MIME-Version\0";
    static const char structured[] = "From\0Sender\0Reply-To\0To\0Cc\0Bcc\0Resent-From\0"
                                     "Resent-Sender\0Resent-To\0Resent-Cc\0Resent-Bcc\0"
                                     "Disposition-Notification-To\0Return-Path\0Received\0";
    char name[40] = "";
    struct text text = text_begin(name, sizeof name);

    text_add_bytes(&text, (const char *)parser->piece, size);
    parser->field = (uint8_t)mime_find(names, name); /* The enum has their order. */
    parser->version_seen |= parser->field == FIELD_VERSION;
    parser->structured =
        mime_find(structured, name) > 0 ||
        (text_starts_nocase(name, "Content-") && !text_equal_nocase(name, "Content-Description"));
}

/* Holds the piece with its field, or tells it. */
static void field_add(struct transcode_parser *parser, transcode_told *told)
{
    size_t size = parser->piece_size;
    bool wanted = parser->field == FIELD_TYPE || parser->field == FIELD_ENCODING;

    if (wanted && !parser->field_cut &&
        size <= TRANSCODE_FIELD_BYTES - (size_t)parser->field_size) {
        memcpy(parser->field_bytes + parser->field_size, parser->piece, size);
        parser->field_size = (uint16_t)(parser->field_size + size);
        return;
    }
    if (wanted && !parser->field_cut) {
        size_t room = TRANSCODE_FIELD_BYTES - (size_t)parser->field_size;

        parser->field_cut = true; /* Its beginning is still read in the end. */
        told(parser, EVENT_HEADER, parser->field_bytes, parser->field_size);
        memcpy(parser->field_bytes + parser->field_size, parser->piece, room);
        parser->field_size = TRANSCODE_FIELD_BYTES;
    }
    told(parser, EVENT_HEADER, parser->piece, size);
}

/* --- Headers --- */

/* What the header that has ended makes of the lines behind it. */
static void body_begin(struct transcode_parser *parser)
{
    if (parser->type == TYPE_MULTIPART) {
        parser->depth++;
        parser->place = PLACE_BETWEEN;
    } else if (parser->type == TYPE_MESSAGE) {
        parser->part++;
        part_begin(parser, true);
    } else {
        parser->place = PLACE_LEAF;
        parser->eol = 0;
    }
}

/* size: of the empty line in piece; 0: there is none. */
static void header_end(struct transcode_parser *parser, transcode_told *told, size_t size)
{
    field_end(parser, told);
    if (parser->type == TYPE_MESSAGE && parser->encoding >= TRANSFER_QUOTED) {
        parser->type = TYPE_BINARY; /* Wrong (RFC 2046 5.2.1), but it is encoded. */
    }
    told(parser, EVENT_HEADER_END, parser->piece, size);
    body_begin(parser);
}

/* false: the piece stands behind the header's end, wherever that is. */
static bool header_piece(struct transcode_parser *parser, bool first, size_t content,
                         transcode_told *told)
{
    const uint8_t *line = parser->piece;
    size_t name;

    if (!first || is_blank(line[0])) {
        field_add(parser, told);
        return true;
    }
    if (content == 0 && parser->piece_size > 0) {
        header_end(parser, told, parser->piece_size);
        return true;
    }
    name = name_size(line, content);
    field_end(parser, told);
    if (name > 0) {
        field_begin(parser, name);
    } else if (!parser->is_message || content < 6 ||
               memcmp(line + (line[0] == '>'), "From ", 5) != 0) {
        header_end(parser, told, 0);
        return false;
    }
    field_add(parser, told);
    return true;
}

/* --- Boundaries and leaves --- */

/* The number from 1 of the level whose boundary the line is (RFC 2046 5.1.1); 0: it is none. The
 * outermost counts, as for a reader that takes a message apart from outside. */
static unsigned find_boundary(const struct transcode_parser *parser, size_t content, bool *closes)
{
    const char *line = (const char *)parser->piece;

    if (content < 3 || line[0] != '-' || line[1] != '-') {
        return 0;
    }
    while (is_blank(line[content - 1])) {
        content--;
    }
    for (unsigned i = 0; i < parser->depth; i++) {
        const char *wanted = parser->levels[i].boundary;
        size_t size = 2 + strlen(wanted);

        *closes = content == size + 2 && memcmp(line + size, "--", 2) == 0;
        if ((*closes || content == size) && memcmp(line + 2, wanted, size - 2) == 0) {
            return i + 1;
        }
    }
    return 0;
}

/* The part under way ends; at_end: and the message with it. */
static void part_end(struct transcode_parser *parser, transcode_told *told, bool at_end)
{
    static const uint8_t crlf[] = {'\r', '\n'};

    if (parser->place == PLACE_HEADER) {
        field_end(parser, told);
        told(parser, EVENT_NO_BODY, NULL, 0);
    } else if (parser->place == PLACE_LEAF) {
        if (at_end && parser->eol > 0) {
            told(parser, EVENT_LEAF_EOL, crlf + 2 - parser->eol, parser->eol);
        }
        told(parser, EVENT_LEAF_END, NULL, at_end);
        if (!at_end && parser->eol > 0) {
            told(parser, EVENT_BETWEEN, crlf + 2 - parser->eol, parser->eol);
        }
    }
    parser->eol = 0;
}

static void leaf_piece(struct transcode_parser *parser, size_t content, transcode_told *told)
{
    static const uint8_t crlf[] = {'\r', '\n'};

    if (parser->eol > 0) {
        told(parser, EVENT_LEAF_EOL, crlf + 2 - parser->eol, parser->eol);
    }
    parser->eol = (uint8_t)(parser->piece_size - content);
    if (content > 0) {
        told(parser, EVENT_LEAF, parser->piece, content);
    }
}

/* Line ends that tell which kind of text this is: not those of the message's own header, for that
 * may have been written anew, and not those of bytes. */
static void note_eol(struct transcode_parser *parser, size_t eol)
{
    bool counts = parser->place == PLACE_HEADER
                      ? parser->part > 0
                      : parser->place == PLACE_BETWEEN ||
                            (parser->type == TYPE_TEXT && transcode_is_open_leaf(parser));

    if (eol > 0) {
        parser->line_is_lf = eol == 1;
        parser->lf_seen |= counts && eol == 1;
        parser->crlf_seen |= counts && eol == 2;
    }
}

/* false: the piece is no boundary. */
static bool boundary_piece(struct transcode_parser *parser, size_t content, transcode_told *told)
{
    bool closes = false;
    unsigned level = find_boundary(parser, content, &closes);

    if (level == 0) {
        return false;
    }
    part_end(parser, told, false);
    parser->place = PLACE_BETWEEN;
    told(parser, EVENT_BETWEEN, parser->piece, parser->piece_size);
    parser->depth = (uint8_t)(closes ? level - 1 : level);
    if (!closes) {
        parser->part++;
        part_begin(parser, false);
    }
    return true;
}

/* A piece is complete: with the line end, or as much as there is room for, or the last. */
static void piece_end(struct transcode_parser *parser, bool line_ends, bool at_end,
                      transcode_told *told)
{
    const uint8_t *bytes = parser->piece;
    size_t size = parser->piece_size;
    size_t eol = !line_ends ? 0 : size > 1 && bytes[size - 2] == '\r' ? 2 : 1;
    bool first = !parser->line_open;

    parser->line_length = (first ? 0 : parser->line_length) + (size - eol);
    parser->line_open = !line_ends;
    note_eol(parser, eol);
    for (;;) { /* Once more where a header ends without an empty line. */
        if (first && (line_ends || at_end) && boundary_piece(parser, size - eol, told)) {
            return;
        }
        if (parser->place != PLACE_HEADER) {
            break;
        }
        if (header_piece(parser, first, size - eol, told)) {
            return;
        }
    }
    if (parser->place == PLACE_LEAF) {
        leaf_piece(parser, size - eol, told);
    } else {
        told(parser, EVENT_BETWEEN, bytes, size);
    }
}

size_t transcode_parser_push(struct transcode_parser *parser, const uint8_t *bytes, size_t size,
                             transcode_told *told)
{
    size_t room = TRANSCODE_PIECE_BYTES - (size_t)parser->piece_size;
    size_t taken = size < room ? size : room;
    const uint8_t *end = memchr(bytes, '\n', taken);
    bool cr_stays;

    if (end != NULL) {
        taken = (size_t)(end - bytes) + 1;
    }
    memcpy(parser->piece + parser->piece_size, bytes, taken);
    parser->piece_size = (uint16_t)(parser->piece_size + taken);
    if (end == NULL && parser->piece_size < TRANSCODE_PIECE_BYTES) {
        return taken;
    }
    /* A CR at the end waits for the LF that may follow. */
    cr_stays = end == NULL && parser->piece[parser->piece_size - 1] == '\r';
    parser->piece_size = (uint16_t)(parser->piece_size - cr_stays);
    piece_end(parser, end != NULL, false, told);
    parser->piece[0] = '\r';
    parser->piece_size = cr_stays;
    return taken;
}

void transcode_parser_end(struct transcode_parser *parser, transcode_told *told)
{
    if (parser->piece_size > 0) {
        piece_end(parser, false, true, told);
        parser->piece_size = 0;
    }
    part_end(parser, told, true);
}

/* --- Parameters as they are written --- */

/* The end of blanks, line ends and comments from at. */
static size_t skip_blanks(const uint8_t *field, size_t size, size_t at)
{
    unsigned comment = 0;

    for (; at < size && (comment > 0 || field[at] <= ' ' || field[at] == '('); at++) {
        if (field[at] == '\\' && comment > 0 && at + 1 < size) {
            at++;
        } else if (field[at] == '(') {
            comment++;
        } else if (field[at] == ')') {
            comment--;
        }
    }
    return at;
}

/* The end of a word or of a quoted string from at. */
static size_t skip_word(const uint8_t *field, size_t size, size_t at)
{
    bool quoted = at < size && field[at] == '"';

    for (at += quoted; at < size; at++) {
        if (quoted) {
            if (field[at] == '"') {
                return at + 1;
            }
            at += field[at] == '\\';
        } else if (field[at] <= ' ' || strchr(";=(\"", field[at]) != NULL) {
            return at;
        }
    }
    return at < size ? at : size;
}

bool transcode_charset_find(const uint8_t *field, size_t size, size_t *at, size_t *length)
{
    static const char wanted[] = "charset";
    const uint8_t *colon = memchr(field, ':', size);
    size_t i = colon != NULL ? (size_t)(colon - field) + 1 : size;

    while (i < size) {
        size_t name = skip_blanks(field, size, i);
        size_t end = skip_word(field, size, name);
        char copy[sizeof wanted] = "";

        i = skip_blanks(field, size, end);
        if (end - name == sizeof copy - 1) {
            memcpy(copy, field + name, sizeof copy - 1);
        }
        if (i < size && field[i] == '=') {
            *at = skip_blanks(field, size, i + 1);
            i = skip_word(field, size, *at);
            *length = i - *at;
            if (text_equal_nocase(copy, wanted)) {
                return true;
            }
        }
        i += i == name || (i < size && field[i] == ';'); /* Never stays where it is. */
    }
    return false;
}

void transcode_utf8_add(struct transcode_utf8 *utf8, uint8_t byte)
{
    if (utf8->left > 0) {
        utf8->bad |= byte < utf8->low || byte > utf8->high;
        utf8->left--;
        utf8->low = 0x80;
        utf8->high = 0xBF;
    } else if (byte >= 0x80) {
        utf8->bad |= byte < 0xC2 || byte > 0xF4;
        utf8->left = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
        utf8->low = byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80;
        utf8->high = byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF;
    }
}
