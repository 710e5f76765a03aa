/* Header fields: lines are unfolded, encoded words (RFC 2047) decoded, all a byte at a time.
 *
 *     START -> NAME -:-> VALUE -> START     a blank at START goes on with the field
 *                 \----> IGNORED -> START   what is no field
 *
 *     PLAIN -=-> OPENING -?utf-8?B?-> BODY -?-> CLOSING -=-> PLAIN
 */
#include "net/mime_private.h"
#include "net/text.h"

#include <string.h>

enum field_state {
    FIELD_START,   /* Of a line. */
    FIELD_NAME,    /* In a name. */
    FIELD_VALUE,   /* Behind the colon. */
    FIELD_IGNORED, /* In a line that is no field. */
};

enum word_state {
    WORD_PLAIN,   /* In none. */
    WORD_OPENING, /* In what may become "=?utf-8?B?". */
    WORD_BODY,    /* Behind that. */
    WORD_CLOSING, /* Behind the "?" that may end it. */
};

/* C0, DEL, C1, separators of lines, and what turns the direction of writing. */
static bool steers(uint32_t character)
{
    return character < 0x20 || (character >= 0x7F && character < 0xA0) ||
           (character >= 0x2028 && character <= 0x202E) ||
           (character >= 0x2066 && character <= 0x2069);
}

static void value_put(struct mime *mime, uint32_t character)
{
    char bytes[4];
    size_t size = mime_utf8(steers(character) ? ' ' : character, bytes);

    if (size > sizeof mime->value - 1 - mime->value_size) {
        mime->value_full = true; /* A shorter one may not slip in behind it. */
    }
    if (!mime->value_full) {
        memcpy(mime->value + mime->value_size, bytes, size);
        mime->value_size += (uint16_t)size;
    }
}

static void value_byte(struct mime *mime, char c)
{
    uint32_t characters[2];
    unsigned count = mime_charset_add(&mime->charset, (uint8_t)c, characters);

    for (unsigned i = 0; i < count; i++) {
        value_put(mime, characters[i]);
    }
}

/* Goes on in that charset; what the one before left unfinished stays so only between words of the
 * same, where programs do split characters. */
static void value_charset(struct mime *mime, uint8_t id)
{
    uint32_t characters[2];

    if (id == mime->charset.id && mime->word_before) {
        return;
    }
    if (mime_charset_end(&mime->charset, characters) > 0) {
        value_put(mime, characters[0]);
    }
    mime->charset.id = id;
}

static void value_blanks(struct mime *mime)
{
    for (; mime->blanks > 0; mime->blanks--) {
        if (mime->value_size > 0) {
            value_put(mime, ' ');
        }
    }
}

/* A byte that stands for itself. */
static void literal(struct mime *mime, char c)
{
    if (mime->word_before || mime->blanks > 0) {
        mime->word_before = false;
        value_charset(mime, CHARSET_UTF8);
        value_blanks(mime);
    }
    value_byte(mime, c);
}

static void word_decode(struct mime *mime, char c)
{
    char out[MIME_TRANSFER_BYTES];
    size_t size = mime_transfer_add(&mime->word, c, out);

    for (size_t i = 0; i < size; i++) {
        value_byte(mime, out[i]);
    }
}

/* token holds a word's opening. */
static void word_begin(struct mime *mime)
{
    if (!mime->word_before) {
        value_charset(mime, CHARSET_UTF8);
        value_blanks(mime);
    }
    mime->blanks = 0; /* Between two words they are none (RFC 2047 section 6.2). */
    value_charset(mime, mime_charset_find(mime->token + 2, mime->token_size - 5u));
    memset(&mime->word, 0, sizeof mime->word);
    mime->word.encoding =
        (mime->token[mime->token_size - 2] | 0x20) == 'b' ? ENCODING_BASE64 : ENCODING_WORD;
    mime->word_state = WORD_BODY;
}

static void word_end(struct mime *mime)
{
    char out[MIME_TRANSFER_BYTES];
    size_t size = mime_transfer_end(&mime->word, out);

    for (size_t i = 0; i < size; i++) {
        value_byte(mime, out[i]);
    }
    mime->word_before = true;
    mime->word_state = WORD_PLAIN;
}

/* It only looked like an encoded word: it is told as it was written. */
static void word_refuse(struct mime *mime)
{
    mime->word_state = WORD_PLAIN;
    for (unsigned i = 0; i < mime->token_size; i++) {
        literal(mime, mime->token[i]);
    }
}

/* Behind the "=" of a word that opens. false: it does not. */
static bool word_opening(struct mime *mime, char c)
{
    const char *token = mime->token;
    unsigned size = mime->token_size;

    if (c == ' ' || size == sizeof mime->token || (size == 1 && c != '?')) {
        return false;
    }
    mime->token[mime->token_size++] = c;
    if (size >= 5 && c == '?' && token[size - 2] == '?') {
        char encoding = (char)(token[size - 1] | 0x20);

        if (encoding == 'b' || encoding == 'q') {
            word_begin(mime);
        }
    }
    return true;
}

static void value_add(struct mime *mime, char c)
{
    c = c == '\t' || c == '\n' ? ' ' : c;
    if (mime->word_state == WORD_CLOSING) {
        if (c == '=') {
            word_end(mime);
            return;
        }
        word_decode(mime, '?');
        mime->word_state = WORD_BODY;
    }
    if (mime->word_state == WORD_BODY) {
        if (c == '?') {
            mime->word_state = WORD_CLOSING;
        } else {
            word_decode(mime, c);
        }
        return;
    }
    if (mime->word_state == WORD_OPENING) {
        if (word_opening(mime, c)) {
            return;
        }
        word_refuse(mime);
    }
    if (c == ' ') {
        mime->blanks += mime->blanks < UINT8_MAX;
    } else if (c == '=' && mime->words) {
        mime->word_state = WORD_OPENING;
        mime->token[0] = c;
        mime->token_size = 1;
    } else {
        literal(mime, c);
    }
}

static void value_begin(struct mime *mime)
{
    mime->value_size = 0;
    mime->value_full = false;
    mime->blanks = 0;
    mime->word_state = WORD_PLAIN;
    mime->word_before = false;
    memset(&mime->charset, 0, sizeof mime->charset);
    /* Of MIME's own fields the parameters are wanted, in which "=?" means nothing. */
    mime->words = !text_starts_nocase(mime->name, "Content-");
}

/* The field is complete, if there is one. */
static void value_end(struct mime *mime)
{
    if (mime->name_size == 0) {
        return;
    }
    if (mime->word_state >= WORD_BODY) {
        word_end(mime);
    } else if (mime->word_state == WORD_OPENING) {
        word_refuse(mime);
    }
    value_charset(mime, CHARSET_UNKNOWN); /* Whatever is unfinished shows. */
    mime->value[mime->value_size] = '\0';
    mime_field_done(mime);
    mime->name_size = 0;
}

static void name_end(struct mime *mime)
{
    while (mime->name_size > 0 && mime->name[mime->name_size - 1] == ' ') {
        mime->name_size--; /* An old custom (RFC 5322 section 4.5). */
    }
    mime->name[mime->name_size] = '\0';
    mime->field_state = mime->name_size > 0 ? FIELD_VALUE : FIELD_IGNORED;
    value_begin(mime);
}

static void name_add(struct mime *mime, char c)
{
    bool blank = c == ' ' || c == '\t';

    if (c == ':') {
        name_end(mime);
    } else if (blank ? mime->name_size == 0
                     : c < '!' || c > '~' ||
                           (mime->name_size > 0 && mime->name[mime->name_size - 1] == ' ')) {
        mime->name_size = 0;
        mime->field_state = FIELD_IGNORED;
    } else if (mime->name_size < sizeof mime->name - 1) {
        mime->name[mime->name_size++] = blank ? ' ' : c;
    }
}

void mime_field_begin(struct mime *mime)
{
    mime->field_state = FIELD_START;
    mime->name_size = 0;
}

void mime_field_add(struct mime *mime, char c)
{
    if (c == '\n') {
        if (mime->field_state == FIELD_START) {
            value_end(mime);
            mime_header_done(mime);
            return;
        }
        if (mime->field_state == FIELD_NAME) {
            mime->name_size = 0; /* A line without a colon. */
        }
        mime->field_state = FIELD_START;
        return;
    }
    if (mime->field_state == FIELD_START) {
        if ((c == ' ' || c == '\t') && mime->name_size > 0) {
            mime->field_state = FIELD_VALUE;
        } else {
            value_end(mime);
            mime->field_state = FIELD_NAME;
        }
    }
    if (mime->field_state == FIELD_NAME) {
        name_add(mime, c);
    } else if (mime->field_state == FIELD_VALUE) {
        value_add(mime, c);
    }
}

void mime_field_end(struct mime *mime)
{
    if (mime->field_state == FIELD_NAME) {
        mime->name_size = 0;
    }
    value_end(mime);
}

/* Past a parameter's value; what it holds is added to out, which may be NULL. */
static const char *take_value(const char *s, struct text *out)
{
    bool quoted = *s == '"';

    for (s += quoted; *s != '\0' && (quoted ? *s != '"' : *s != ';' && *s != ' '); s++) {
        s += quoted && *s == '\\' && s[1] != '\0';
        if (out != NULL) {
            text_add_char(out, *s);
        }
    }
    return s;
}

bool mime_parameter(const char *value, const char *name, char *out, size_t size)
{
    struct text text = text_begin(out, size);
    size_t length = strlen(name);
    bool found = false;

    while ((value = strchr(value, ';')) != NULL) {
        const char *end;
        bool wanted;

        value += 1 + strspn(value + 1, " ");
        end = value + strcspn(value, " =;*");
        wanted = end == value + length && text_starts_nocase(value, name) &&
                 (!found || (*end == '*' && end[1] != '0')); /* The first, and its next parts. */
        value = end + strcspn(end, "=;");
        if (*value == '=') {
            value += 1 + strspn(value + 1, " ");
            found |= wanted;
            value = take_value(value, wanted ? &text : NULL);
        }
    }
    if (text.cut || text.length == 0) {
        out[0] = '\0';
        return false;
    }
    return true;
}
