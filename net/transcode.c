/* The two passes over a message: what each part needs, and what it becomes. */
#include "net/transcode_private.h"

#include "net/text.h"

#include <string.h>

#define COLUMNS_MAX 60 /* Of a header line that gets another parameter. */
#define ESCAPES_MAX 4  /* Of text; with one escape in fewer bytes base64 is clearly shorter. */

_Static_assert(sizeof(struct transcode) <= 15 * 1024, "see the header");
_Static_assert(sizeof(struct transcode_look) <= 6 * 1024, "see the header");

/* --- The first pass --- */

/* What faults bytes of a line of that length have. */
static unsigned find_faults(uint64_t line_length, const uint8_t *bytes, size_t size)
{
    unsigned flags = line_length > TRANSCODE_LINE_MAX ? TRANSCODE_LONG : 0;

    for (size_t i = 0; i < size; i++) {
        if (bytes[i] >= 0x80) {
            flags |= TRANSCODE_EIGHT_BIT;
        } else if (bytes[i] == '\0') {
            flags |= TRANSCODE_NUL;
        } else if (bytes[i] == '\r') {
            flags |= TRANSCODE_CR;
        }
    }
    return flags;
}

/* The same of bytes with line ends: lines of a field, or a piece of the line under way. */
static unsigned find_line_faults(const struct transcode_parser *parser, bool is_field,
                                 const uint8_t *bytes, size_t size)
{
    unsigned flags = 0;

    while (size > 0) {
        const uint8_t *end = memchr(bytes, '\n', size);
        size_t line = end != NULL ? (size_t)(end - bytes) + 1 : size;
        size_t eol = end == NULL ? 0 : line > 1 && end[-1] == '\r' ? 2 : 1;

        flags |= find_faults(is_field ? line - eol : parser->line_length, bytes, line - eol);
        bytes += line;
        size -= line;
    }
    return flags;
}

static uint8_t *plan_of(struct transcode_look *look)
{
    return look->parser.part < TRANSCODE_PARTS ? &look->plan[look->parser.part] : NULL;
}

static void plan_add(struct transcode_look *look, unsigned plan)
{
    uint8_t *part = plan_of(look);

    if (part != NULL) {
        *part |= (uint8_t)plan;
    }
}

/* Bytes of a leaf that no encoding hides. */
static void look_at_leaf(struct transcode_look *look, const uint8_t *bytes, size_t size)
{
    uint64_t escapes = 0;

    for (size_t i = 0; i < size; i++) {
        escapes += (bytes[i] < ' ' && bytes[i] != '\t') || bytes[i] > '~' || bytes[i] == '=';
        if (bytes[i] >= 0x80 || look->utf8.left > 0) {
            transcode_utf8_add(&look->utf8, bytes[i]);
        }
    }
    look->leaf_escapes += escapes;
    look->leaf_size += size;
}

static void look_at_eol(struct transcode_look *look, size_t size)
{
    if (transcode_is_open_leaf(&look->parser)) {
        bool bytes = look->parser.type == TYPE_BINARY;

        look->crlf_lines |= size == 2 && bytes;
        look->lf_lines |= size == 1 && bytes;
        plan_add(look, !bytes ? 0 : size == 2 ? PLAN_CRLF : PLAN_LF);
        look->utf8.bad |= look->utf8.left > 0;
        look->leaf_size += size;
    }
}

static void look_leaf_end(struct transcode_look *look)
{
    bool bytes = look->parser.type == TYPE_BINARY;

    plan_add(look, PLAN_KNOWN);
    if (look->utf8.bad || look->utf8.left > 0) {
        plan_add(look, PLAN_LATIN);
    }
    if (bytes || look->leaf_escapes * ESCAPES_MAX > look->leaf_size) {
        plan_add(look, PLAN_BASE64);
    }
}

static void look_told(struct transcode_parser *parser, enum transcode_event event,
                      const uint8_t *bytes, size_t size)
{
    struct transcode_look *look = parser->context;
    unsigned faults;

    switch (event) {
    case EVENT_HEADER:
    case EVENT_FIELD:
    case EVENT_BETWEEN:
        look->flags |= find_line_faults(parser, event == EVENT_FIELD, bytes, size);
        break;
    case EVENT_HEADER_END:
        look->leaf_size = 0;
        look->leaf_escapes = 0;
        memset(&look->utf8, 0, sizeof look->utf8);
        if (parser->type > TYPE_BINARY) {
            plan_add(look, PLAN_KNOWN);
        }
        break;
    case EVENT_NO_BODY:
        plan_add(look, PLAN_KNOWN);
        break;
    case EVENT_LEAF:
        faults = find_faults(parser->line_length, bytes, size);
        look->flags |= faults;
        if (!transcode_is_open_leaf(parser)) {
            plan_add(look, faults != 0 ? PLAN_MEND : 0);
            break;
        }
        plan_add(look, ((faults & TRANSCODE_EIGHT_BIT) != 0 ? PLAN_EIGHT : 0u) |
                           ((faults & TRANSCODE_FAULTS) != 0 ? PLAN_HARD : 0u));
        look_at_leaf(look, bytes, size);
        break;
    case EVENT_LEAF_EOL:
        look_at_eol(look, size);
        break;
    case EVENT_LEAF_END:
        look_leaf_end(look);
        break;
    }
}

void transcode_look_init(struct transcode_look *look)
{
    memset(look, 0, sizeof *look);
    transcode_parser_init(&look->parser, look);
}

void transcode_look_push(struct transcode_look *look, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        size_t taken = transcode_parser_push(&look->parser, bytes, size, look_told);

        bytes += taken;
        size -= taken;
    }
}

unsigned transcode_look_end(struct transcode_look *look)
{
    bool crlf = look->parser.crlf_seen && !look->parser.lf_seen;

    transcode_parser_end(&look->parser, look_told);
    look->flags |= crlf ? TRANSCODE_CRLF : 0u;
    look->flags |= (crlf ? look->lf_lines : look->crlf_lines) ? TRANSCODE_CR : 0u;
    return look->flags;
}

/* --- The second pass: headers --- */

static const char encoding_name[] = "Content-Transfer-Encoding: ";

static uint8_t part_plan(const struct transcode *transcode)
{
    uint32_t part = transcode->parser.part;
    unsigned plan = part < TRANSCODE_PARTS ? transcode->plan[part] : 0;

    if ((plan & PLAN_KNOWN) == 0) { /* What any part of the message has, this one may have. */
        plan = PLAN_MEND | ((transcode->flags & TRANSCODE_FAULTS) != 0 ? PLAN_HARD : 0u) |
               ((transcode->flags & TRANSCODE_EIGHT_BIT) != 0 ? PLAN_EIGHT : 0u);
    }
    return (uint8_t)plan;
}

/* Whether a leaf that no encoding hides gets one. */
static bool has_to_change(const struct transcode *transcode, unsigned plan)
{
    bool crlf = (transcode->flags & TRANSCODE_CRLF) != 0;

    return (plan & PLAN_HARD) != 0 || ((plan & PLAN_EIGHT) != 0 && !transcode->eight_bit_ok) ||
           (plan & (crlf ? PLAN_LF : PLAN_CRLF)) != 0;
}

/* What becomes of the leaf whose header has been read. */
static enum transcode_action leaf_action(const struct transcode *transcode)
{
    const struct transcode_parser *parser = &transcode->parser;
    unsigned plan = part_plan(transcode);

    if (parser->type > TYPE_BINARY) {
        return ACTION_COPY;
    }
    if (transcode_is_open_leaf(parser)) {
        return !has_to_change(transcode, plan)                            ? ACTION_COPY
               : (plan & PLAN_BASE64) != 0 || parser->type == TYPE_BINARY ? ACTION_BASE64
                                                                          : ACTION_QUOTED;
    }
    if ((plan & PLAN_MEND) == 0) {
        return ACTION_COPY;
    }
    return parser->encoding == TRANSFER_QUOTED   ? ACTION_MEND_QUOTED
           : parser->encoding == TRANSFER_BASE64 ? ACTION_MEND_BASE64
                                                 : ACTION_MEND_OTHER;
}

static void put_line(struct transcode *transcode, const char *name, const char *value)
{
    transcode_put_string(transcode, name);
    transcode_put_string(transcode, value);
    transcode_put_string(transcode, transcode->parser.line_is_lf ? "\n" : "\r\n");
    transcode->column = 0;
}

/* The charset of a text that says none, or a wrong one; NULL: none is known. */
static const char *charset_for(const struct transcode *transcode, const char *type)
{
    if ((part_plan(transcode) & PLAN_LATIN) == 0) {
        return "utf-8";
    }
    return strstr(type, "html") != NULL || strstr(type, "xml") != NULL ? NULL : "iso-8859-1";
}

/* The type of a field such as "Content-Type: text/plain; ...", in small letters. */
static void type_name(const uint8_t *field, size_t size, char *out, size_t out_size)
{
    struct text text = text_begin(out, out_size);
    const uint8_t *colon = memchr(field, ':', size);

    for (size_t i = (size_t)(colon - field) + 1; i < size && field[i] != ';'; i++) {
        if (field[i] > ' ') {
            text_add_char(&text,
                          (char)(field[i] >= 'A' && field[i] <= 'Z' ? field[i] | 0x20 : field[i]));
        }
    }
}

static bool is_ascii_charset(const uint8_t *value, size_t size)
{
    char name[24] = "";

    if (size > 1 && value[0] == '"') {
        value++;
        size -= 2;
    }
    if (size == 0 || size >= sizeof name) {
        return size == 0;
    }
    memcpy(name, value, size);
    return text_equal_nocase(name, "us-ascii") || text_equal_nocase(name, "ascii") ||
           text_equal_nocase(name, "ansi_x3.4-1968") || text_equal_nocase(name, "unknown-8bit");
}

/* Content-Type of a text that will be encoded, with its charset. */
static void put_type(struct transcode *transcode, const uint8_t *field, size_t size)
{
    char type[64];
    const char *charset;
    size_t at;
    size_t length = 0;

    type_name(field, size, type, sizeof type);
    charset = charset_for(transcode, type);
    if (transcode_charset_find(field, size, &at, &length)) {
        if (charset != NULL && is_ascii_charset(field + at, length)) {
            transcode_put_header(transcode, field, at);
            transcode_put_string(transcode, charset);
            transcode_put_header(transcode, field + at + length, size - at - length);
        } else {
            transcode_put_header(transcode, field, size);
        }
        return;
    }
    at = size;
    while (at > 0 && (field[at - 1] <= ' ' || field[at - 1] == ';')) {
        at--;
    }
    transcode_put_header(transcode, field, charset != NULL ? at : size);
    if (charset != NULL) {
        transcode_put_string(transcode, type[0] == '\0' ? " text/plain;" : ";");
        if (transcode->column > COLUMNS_MAX) {
            put_line(transcode, "", "");
        }
        put_line(transcode, " charset=", charset);
    }
}

/* The encoding that the part has behind this. NULL: the one that it had. */
static const char *encoding_value(const struct transcode *transcode, enum transcode_action action)
{
    unsigned encoding = transcode->parser.encoding;

    if (action == ACTION_QUOTED || action == ACTION_BASE64) {
        return action == ACTION_QUOTED ? "quoted-printable" : "base64";
    }
    if (encoding == TRANSFER_EIGHT && !transcode->eight_bit_ok) {
        return "7bit";
    }
    return encoding != TRANSFER_BINARY ? NULL : transcode->eight_bit_ok ? "8bit" : "7bit";
}

/* Content-Transfer-Encoding waits for the header's end where the part's needs, which its type too
 * decides, are not known; otherwise it changes in its place. */
static void put_encoding(struct transcode *transcode, const uint8_t *field, size_t size)
{
    const struct transcode_parser *parser = &transcode->parser;
    unsigned plan = part_plan(transcode);
    bool hidden = parser->encoding >= TRANSFER_QUOTED;
    const char *value;

    if ((plan & PLAN_KNOWN) == 0 && !hidden) {
        return; /* encoding_due stays. */
    }
    value = encoding_value(transcode, hidden || !has_to_change(transcode, plan) ? ACTION_COPY
                                      : (plan & PLAN_BASE64) != 0               ? ACTION_BASE64
                                                                                : ACTION_QUOTED);
    if (value == NULL) {
        transcode_put_header(transcode, field, size);
    } else if (!parser->encoding_seen) {
        put_line(transcode, encoding_name, value);
    }
    transcode->encoding_due = false;
}

static void put_field(struct transcode *transcode, const uint8_t *field, size_t size)
{
    const struct transcode_parser *parser = &transcode->parser;
    unsigned plan = part_plan(transcode);

    if (parser->field == FIELD_ENCODING) {
        put_encoding(transcode, field, size);
    } else if (!parser->type_seen && parser->type == TYPE_TEXT && (plan & PLAN_KNOWN) != 0 &&
               (plan & PLAN_EIGHT) != 0 && has_to_change(transcode, plan)) {
        put_type(transcode, field, size);
    } else if (parser->type == TYPE_MULTIPART) {
        transcode_put_between(transcode, true, field,
                              size); /* The boundary changes as its lines do. */
    } else {
        transcode_put_header(transcode, field, size);
    }
}

/* What is missing, and the empty line. */
static void put_header_end(struct transcode *transcode, const uint8_t *bytes, size_t size)
{
    struct transcode_parser *parser = &transcode->parser;
    enum transcode_action action = leaf_action(transcode);
    bool changes = action == ACTION_QUOTED || action == ACTION_BASE64;
    unsigned plan = part_plan(transcode);
    size_t before = transcode->out_size;

    transcode->action = (uint8_t)action;
    if (size > 0) {
        parser->line_is_lf = size == 1;
    }
    if (parser->is_message && !parser->version_seen &&
        (changes || parser->type == TYPE_MULTIPART)) {
        put_line(transcode, "MIME-Version: ", "1.0");
    }
    if (changes && !parser->type_seen && parser->type == TYPE_TEXT && (plan & PLAN_KNOWN) != 0 &&
        (plan & PLAN_EIGHT) != 0) {
        put_line(transcode, "Content-Type: text/plain; charset=", charset_for(transcode, ""));
    }
    if (changes ? transcode->encoding_due : transcode->encoding_due && parser->encoding_seen) {
        const char *value = encoding_value(transcode, action);
        const char *same = parser->encoding == TRANSFER_EIGHT ? "8bit" : "7bit";

        put_line(transcode, encoding_name, value != NULL ? value : same);
    }
    if (size == 0 && (transcode->out_size > before || parser->type == TYPE_MESSAGE)) {
        put_line(transcode, "", ""); /* It was missing, and is needed now, or perhaps will be. */
    }
    transcode_put(transcode, bytes, size);
    transcode_leaf_begin(transcode);
    transcode->encoding_due = true; /* In the next header. */
}

/* --- The second pass: all of it --- */

static void transcode_tell(struct transcode_parser *parser, enum transcode_event event,
                           const uint8_t *bytes, size_t size)
{
    struct transcode *transcode = parser->context;

    switch (event) {
    case EVENT_HEADER:
        transcode_put_header(transcode, bytes, size);
        break;
    case EVENT_FIELD:
        put_field(transcode, bytes, size);
        break;
    case EVENT_HEADER_END:
        put_header_end(transcode, bytes, size);
        break;
    case EVENT_NO_BODY:
        transcode->encoding_due = true;
        break;
    case EVENT_BETWEEN:
        transcode_put_between(transcode, false, bytes, size);
        break;
    case EVENT_LEAF:
        transcode_leaf_add(transcode, bytes, size);
        break;
    case EVENT_LEAF_EOL:
        transcode_leaf_eol(transcode, bytes, size);
        break;
    case EVENT_LEAF_END:
        transcode_leaf_end(transcode, size > 0);
        break;
    }
}

void transcode_init(struct transcode *transcode, const struct transcode_look *look,
                    bool eight_bit_ok)
{
    memset(transcode, 0, sizeof *transcode);
    transcode->flags = look->flags;
    transcode->eight_bit_ok = eight_bit_ok;
    transcode->encoding_due = true;
    memcpy(transcode->plan, look->plan, sizeof transcode->plan);
    transcode_parser_init(&transcode->parser, transcode);
}

size_t transcode_push(struct transcode *transcode, const uint8_t *bytes, size_t size)
{
    size_t taken = 0;

    while (taken < size && transcode->out_size == 0) {
        taken +=
            transcode_parser_push(&transcode->parser, bytes + taken, size - taken, transcode_tell);
    }
    return taken;
}

void transcode_end(struct transcode *transcode)
{
    transcode->ended = true;
}

size_t transcode_read(struct transcode *transcode, uint8_t *out, size_t size)
{
    size_t left;

    if (transcode->out_size == 0 && transcode->ended && !transcode->finished) {
        transcode->finished = true;
        transcode_parser_end(&transcode->parser, transcode_tell);
    }
    left = (size_t)(transcode->out_size - transcode->out_at);
    size = size < left ? size : left;
    memcpy(out, transcode->out + transcode->out_at, size);
    transcode->out_at = (uint16_t)(transcode->out_at + size);
    if (transcode->out_at == transcode->out_size) {
        transcode->out_at = 0;
        transcode->out_size = 0;
    }
    return size;
}
