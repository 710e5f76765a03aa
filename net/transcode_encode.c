/* Writes what a message becomes: quoted-printable and base64 (RFC 2045 6.7, 6.8), encoded words
 * (RFC 2047), and what mends a part that is said to be encoded and holds bytes that are not. */
#include "net/transcode_private.h"

#include "net/text.h"

#include <string.h>

#define QUOTED_COLUMNS 76  /* RFC 2045 6.7 (5), 6.8. */
#define MENDED_COLUMNS 960 /* Below TRANSCODE_LINE_MAX, with room for a word that is put in. */
#define FOLD_COLUMNS 900   /* Header lines are folded at the next blank, */
#define WORD_SIZE 75       /* RFC 2047 section 2. */
#define RUNS_MAX 16        /* Of encoded words in a piece: each is many bytes for few. */

static const char hex[] = "0123456789ABCDEF";

/* --- Bytes --- */

void transcode_put(struct transcode *transcode, const void *bytes, size_t size)
{
    if (size > sizeof transcode->out - transcode->out_size) {
        transcode->cut = true;
        return;
    }
    memcpy(transcode->out + transcode->out_size, bytes, size);
    transcode->out_size = (uint16_t)(transcode->out_size + size);
    transcode->column = (uint16_t)(transcode->column + size);
}

void transcode_put_string(struct transcode *transcode, const char *string)
{
    transcode_put(transcode, string, strlen(string));
}

static void put_char(struct transcode *transcode, char c)
{
    transcode_put(transcode, &c, 1);
}

void transcode_put_eol(struct transcode *transcode)
{
    transcode_put_string(transcode, (transcode->flags & TRANSCODE_CRLF) != 0 ? "\r\n" : "\n");
    transcode->column = 0;
    transcode->from = 0;
    transcode->own_break = false;
}

/* A line end within a header, as the header has them. */
static void put_header_eol(struct transcode *transcode)
{
    transcode_put_string(transcode, transcode->parser.line_is_lf ? "\n" : "\r\n");
    transcode->column = 0;
}

static void put_escape(struct transcode *transcode, uint8_t byte)
{
    char out[3] = {'=', hex[byte >> 4], hex[byte & 15]};

    transcode_put(transcode, out, sizeof out);
}

/* What no line may hold; a CR only where it ends none. */
static bool is_fault(const struct transcode *transcode, uint8_t byte)
{
    return byte == '\0' || byte == '\r' || (byte >= 0x80 && !transcode->eight_bit_ok);
}

static size_t eol_size(const uint8_t *bytes, size_t size)
{
    return bytes[0] == '\n' ? 1 : size > 1 && bytes[0] == '\r' && bytes[1] == '\n' ? 2 : 0;
}

void transcode_put_between(struct transcode *transcode, bool is_header, const uint8_t *bytes,
                           size_t size)
{
    for (size_t i = 0; i < size; i++) {
        size_t eol = eol_size(bytes + i, size - i);

        if (eol > 0) {
            transcode_put(transcode, bytes + i, eol);
            transcode->column = 0;
            i += eol - 1;
            continue;
        }
        if (transcode->column >= MENDED_COLUMNS) {
            transcode_put_eol(transcode);
            put_char(transcode, ' '); /* So that no boundary can begin here. */
        }
        if (!is_fault(transcode, bytes[i])) {
            put_char(transcode, (char)bytes[i]);
        } else if (is_header && bytes[i] < 0x80) {
            put_char(transcode, ' ');
        } else {
            put_escape(transcode, bytes[i]);
        }
    }
}

/* --- Headers --- */

/* Whether a byte ends a word of a header. */
static bool is_delimiter(const struct transcode *transcode, uint8_t byte)
{
    return byte <= ' ' ||
           (transcode->parser.structured && byte < 0x7F && strchr("\"()<>[],;:=", byte) != NULL);
}

static size_t word_end(const struct transcode *transcode, const uint8_t *bytes, size_t size,
                       bool *eight_bit)
{
    size_t at = 0;

    *eight_bit = false;
    while (at < size && !is_delimiter(transcode, bytes[at])) {
        *eight_bit |= bytes[at++] >= 0x80;
    }
    return at;
}

/* The size of the words with bytes above 127 that bytes begins with, and of the blanks between
 * them; 0: the first word has none. */
static size_t find_run(const struct transcode *transcode, const uint8_t *bytes, size_t size)
{
    size_t run = 0;
    size_t at = 0;
    bool eight_bit;

    for (;;) {
        at += word_end(transcode, bytes + at, size - at, &eight_bit);
        if (!eight_bit) {
            return run;
        }
        run = at;
        while (at < size && (bytes[at] == ' ' || bytes[at] == '\t')) {
            at++;
        }
    }
}

/* How many bytes the character that bytes begins with has, in the charset of the run. */
static size_t character_size(const uint8_t *bytes, size_t size, bool utf8)
{
    size_t at = 1;

    while (utf8 && at < size && (bytes[at] & 0xC0) == 0x80) {
        at++;
    }
    return at;
}

static bool word_safe(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= 'a' && byte <= 'z');
}

/* RFC 2047 4.2, with what may stand in any place of a header (section 5 (3)). */
static void put_word_byte(struct transcode *transcode, uint8_t byte)
{
    if (byte == ' ') {
        put_char(transcode, '_');
    } else if (word_safe(byte)) {
        put_char(transcode, (char)byte);
    } else {
        put_escape(transcode, byte);
    }
}

static void put_words(struct transcode *transcode, const uint8_t *bytes, size_t size)
{
    struct transcode_utf8 check = {.bad = false};
    const char *opening = "=?utf-8?Q?";
    size_t used = 0;

    for (size_t i = 0; i < size; i++) {
        transcode_utf8_add(&check, bytes[i]);
    }
    if (check.bad || check.left > 0) {
        opening = "=?iso-8859-1?Q?";
    }
    for (size_t i = 0; i < size;) {
        size_t count = character_size(bytes + i, size - i, opening[2] == 'u');

        if (used > 0 && used + 3 * count + 2 > WORD_SIZE) {
            transcode_put_string(transcode, "?=");
            used = 0;
        }
        if (used == 0) {
            if (i > 0 || transcode->column + WORD_SIZE > MENDED_COLUMNS) {
                put_header_eol(transcode);
                put_char(transcode, ' ');
            }
            transcode_put_string(transcode, opening);
            used = strlen(opening);
        }
        used += 3 * count;
        for (; count > 0; count--) {
            put_word_byte(transcode, bytes[i++]);
        }
    }
    transcode_put_string(transcode, "?=");
}

/* A header line that cannot be folded at a blank is folded where it is. */
static void header_room(struct transcode *transcode)
{
    if (transcode->column >= MENDED_COLUMNS) {
        put_header_eol(transcode);
        put_char(transcode, ' ');
    }
}

/* One byte of a header that stays one. next: what follows; -1: that is not known yet. */
static void put_header_byte(struct transcode *transcode, uint8_t byte, int next)
{
    bool blank = byte == ' ' || byte == '\t' || is_fault(transcode, byte);

    if (blank && next >= 0 && transcode->column >= FOLD_COLUMNS) {
        if (next <= ' ') {
            return; /* A line of blanks alone might end the header. */
        }
        put_header_eol(transcode);
    }
    header_room(transcode);
    put_char(transcode, blank ? byte == '\t' ? '\t' : ' ' : (char)byte);
}

/* find_run() where encoded words may stand. */
static size_t run_size(const struct transcode *transcode, const uint8_t *bytes, size_t size,
                       bool word_begins)
{
    if (transcode->eight_bit_ok || transcode->name_open || !word_begins) {
        return 0;
    }
    return find_run(transcode, bytes, size);
}

/* The size of the line that bytes begins with, if it is whole and can stay as it is; or 0. */
static size_t good_line(const struct transcode *transcode, const uint8_t *bytes, size_t size)
{
    const uint8_t *end = memchr(bytes, '\n', size);
    size_t line = end != NULL ? (size_t)(end - bytes) : 0;

    if (line > 0 && end[-1] == '\r') {
        line--;
    }
    for (size_t i = 0; i < line; i++) {
        if (is_fault(transcode, bytes[i])) {
            return 0;
        }
    }
    return end != NULL && line <= TRANSCODE_LINE_MAX ? (size_t)(end - bytes) + 1 : 0;
}

void transcode_put_header(struct transcode *transcode, const uint8_t *bytes, size_t size)
{
    bool word_begins = true;

    transcode->runs = 0;
    for (size_t i = 0; i < size;) {
        size_t eol = eol_size(bytes + i, size - i);
        size_t run;

        if (transcode->column == 0 && eol == 0) {
            eol = good_line(transcode, bytes + i, size - i);
        }
        if (eol > 0) {
            transcode_put(transcode, bytes + i, eol);
            transcode->column = 0;
            transcode->name_open = false;
            word_begins = true;
            i += eol;
            continue;
        }
        if (transcode->column == 0) {
            transcode->name_open = bytes[i] > ' ';
        }
        run = run_size(transcode, bytes + i, size - i, word_begins);
        if (run > 0 && ++transcode->runs <= RUNS_MAX) {
            put_words(transcode, bytes + i, run);
            i += run;
            continue;
        }
        if (bytes[i] >= 0x80 && !transcode->eight_bit_ok) {
            header_room(transcode);
            put_escape(transcode, bytes[i]);
        } else {
            put_header_byte(transcode, bytes[i], i + 1 < size ? bytes[i + 1] : -1);
        }
        word_begins =
            is_delimiter(transcode, bytes[i]) || (transcode->name_open && bytes[i] == ':');
        transcode->name_open = transcode->name_open && bytes[i] != ':';
        i++;
    }
}

/* --- Quoted-printable --- */

static void soft_break(struct transcode *transcode)
{
    put_char(transcode, '=');
    transcode_put_eol(transcode);
    transcode->own_break = true;
}

/* Whether a byte that can be read as it is would here, at the beginning of a line, be taken for
 * something else: a boundary, the line that separates mails in an mbox file, the end of DATA. */
static bool misleads(const struct transcode *transcode, char c)
{
    switch (transcode->column) {
    case 0:
        return c == '.' || (c == '-' && transcode->own_break && transcode->parser.depth > 0);
    case 1:
        return c == '-' && transcode->dash && transcode->parser.depth > 0;
    case 4:
        return c == ' ' && transcode->from == 4;
    default:
        return false;
    }
}

static void put_quoted(struct transcode *transcode, uint8_t byte, bool escape)
{
    char c = (char)byte;

    if (transcode->column >= QUOTED_COLUMNS - 1) {
        soft_break(transcode);
    }
    if (!escape && !misleads(transcode, c)) {
        transcode->dash = transcode->column == 0 && c == '-';
        if (transcode->from == transcode->column && transcode->column < 4) {
            transcode->from = (uint8_t)(transcode->from + (c == "From"[transcode->from]));
        }
        put_char(transcode, c);
        return;
    }
    if (transcode->column + 3 > QUOTED_COLUMNS - 1) {
        soft_break(transcode);
    }
    transcode->dash = false;
    put_escape(transcode, byte);
}

/* The blank that waits; it cannot end a line as it is. */
static void put_blank(struct transcode *transcode, bool line_ends)
{
    if (transcode->blank != 0) {
        put_quoted(transcode, (uint8_t)transcode->blank, line_ends);
        transcode->blank = 0;
    }
}

static void quoted_add(struct transcode *transcode, uint8_t byte)
{
    put_blank(transcode, false);
    if (byte == ' ' || byte == '\t') {
        transcode->blank = (char)byte;
    } else {
        put_quoted(transcode, byte, byte < ' ' || byte > '~' || byte == '=');
    }
}

/* --- Base64 --- */

/* The bytes in hold, padded; lines are broken before what would be too long. */
static void put_group(struct transcode *transcode)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    char out[4];

    if (transcode->column >= QUOTED_COLUMNS) {
        transcode_put_eol(transcode);
    }
    for (unsigned i = 0; i < 3; i++) {
        bits = bits << 8 | (i < transcode->held ? transcode->hold[i] : 0u);
    }
    for (unsigned i = 0; i < 4; i++) {
        out[i] = i <= transcode->held ? alphabet[bits >> (18 - 6 * i) & 63] : '=';
    }
    transcode_put(transcode, out, sizeof out);
    transcode->held = 0;
}

static void base64_byte(struct transcode *transcode, uint8_t byte)
{
    transcode->hold[transcode->held++] = byte;
    if (transcode->held == 3) {
        put_group(transcode);
    }
}

/* --- Mending --- */

static bool is_hex(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'F') ||
           (byte >= 'a' && byte <= 'f');
}

/* Room for so many characters of quoted-printable. */
static void mend_room(struct transcode *transcode, size_t size)
{
    if (transcode->column + size > MENDED_COLUMNS) {
        soft_break(transcode);
    }
}

static void mend_literal(struct transcode *transcode, uint8_t byte)
{
    mend_room(transcode, 3);
    if (is_fault(transcode, byte) ||
        (byte == '-' && transcode->own_break && transcode->column == 0)) {
        put_escape(transcode, byte);
    } else {
        put_char(transcode, (char)byte);
    }
}

/* "=" and perhaps a digit that turned out to be no encoded byte, and what followed: a reader takes
 * them for themselves, and must go on doing so. */
static void mend_release(struct transcode *transcode, bool escape)
{
    if (transcode->held == 0) {
        return;
    }
    mend_room(transcode, 4);
    transcode_put_string(transcode, escape ? "=3D" : "=");
    transcode_put(transcode, transcode->hold + 1, transcode->held - 1u);
    transcode->held = 0;
}

static void mend_quoted(struct transcode *transcode, uint8_t byte)
{
    if (transcode->held > 0 && is_hex(byte)) {
        transcode->hold[transcode->held++] = byte;
        if (transcode->held == 3) {
            mend_room(transcode, 3);
            transcode_put(transcode, transcode->hold, 3);
            transcode->held = 0;
        }
        return;
    }
    mend_release(transcode, is_fault(transcode, byte));
    if (byte == '=') {
        transcode->hold[0] = byte;
        transcode->held = 1;
    } else {
        mend_literal(transcode, byte);
    }
}

/* What is not of the alphabet means nothing (RFC 2045 6.8): it can go. */
static void mend_base64(struct transcode *transcode, uint8_t byte)
{
    if (byte >= 0x80 || byte == '\0' || byte == '\r') {
        return;
    }
    if (transcode->column >= MENDED_COLUMNS) {
        transcode_put_eol(transcode);
        transcode->own_break = true;
    }
    if (byte != '-' || transcode->column > 0 || !transcode->own_break) {
        put_char(transcode, (char)byte);
    }
}

/* --- Leaves --- */

void transcode_leaf_begin(struct transcode *transcode)
{
    transcode->column = 0;
    transcode->blank = 0;
    transcode->held = 0;
    transcode->from = 0;
    transcode->own_break = false;
}

void transcode_leaf_add(struct transcode *transcode, const uint8_t *bytes, size_t size)
{
    static void (*const add[])(struct transcode *, uint8_t) = {
        [ACTION_QUOTED] = quoted_add,
        [ACTION_BASE64] = base64_byte,
        [ACTION_MEND_QUOTED] = mend_quoted,
        [ACTION_MEND_BASE64] = mend_base64,
    };

    if (transcode->action == ACTION_COPY) {
        transcode_put(transcode, bytes, size);
    } else if (transcode->action == ACTION_MEND_OTHER) {
        transcode_put_between(transcode, false, bytes, size);
    } else {
        for (size_t i = 0; i < size; i++) {
            add[transcode->action](transcode, bytes[i]);
        }
    }
}

void transcode_leaf_eol(struct transcode *transcode, const uint8_t *bytes, size_t size)
{
    switch ((enum transcode_action)transcode->action) {
    case ACTION_QUOTED:
        put_blank(transcode, true);
        transcode_put_eol(transcode);
        return;
    case ACTION_BASE64:
        if (transcode->parser.type == TYPE_TEXT) {
            base64_byte(transcode, '\r'); /* RFC 2045 6.8: line breaks of text are CRLF. */
            base64_byte(transcode, '\n');
        } else {
            transcode_leaf_add(transcode, bytes, size);
        }
        return;
    case ACTION_MEND_QUOTED:
        mend_release(transcode, false);
        break;
    default:
        break;
    }
    transcode_put(transcode, bytes, size);
    transcode->column = 0;
    transcode->own_break = false;
}

void transcode_leaf_end(struct transcode *transcode, bool at_end)
{
    if (transcode->action == ACTION_QUOTED) {
        put_blank(transcode, true);
        if (at_end && transcode->column > 0) {
            soft_break(transcode); /* The last line has no end: what comes to it is none. */
        }
    } else if (transcode->action == ACTION_BASE64) {
        if (transcode->held > 0) {
            put_group(transcode);
        }
        if (at_end && transcode->column > 0) {
            transcode_put_eol(transcode);
        }
    } else if (transcode->action == ACTION_MEND_QUOTED) {
        mend_release(transcode, false);
    }
    transcode->column = 0;
}
