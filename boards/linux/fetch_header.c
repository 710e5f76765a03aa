/* fetch_header.c - a header's sender, Message-ID and hash, a byte at a time. */
#include "boards/linux/fetch_header.h"

#include "net/text.h"

#include <string.h>

static const char fields[] = "return-path\0from\0message-id"; /* As the enum. */

/* What is added, or changes, while a message lies in its mailbox. */
static const char volatile_fields[] = "status\0x-status\0x-uid\0x-uidl\0x-imap\0x-imapbase\0"
                                      "x-keywords\0x-mozilla-status\0x-mozilla-status2\0"
                                      "x-mozilla-keys\0content-length\0lines\0";

void fetch_header_begin(struct fetch_header *header)
{
    memset(header, 0, sizeof *header);
    header->line_start = true;
    header->field = FETCH_FIELDS;
    digest_sha256_init(&header->hash);
}

static bool is_volatile(const char *name)
{
    for (const char *at = volatile_fields; *at != '\0'; at += strlen(at) + 1) {
        if (text_equal_nocase(at, name)) {
            return true;
        }
    }
    return false;
}

/* The name of a field is complete. */
static void name_end(struct fetch_header *header)
{
    header->in_name = false;
    while (header->name_size > 0 && header->name[header->name_size - 1] == ' ') {
        header->name_size--; /* Obsolete syntax: blanks before the colon. */
    }
    header->name[header->name_size] = '\0';
    header->left_out = is_volatile(header->name);
    for (unsigned i = 0; i < FETCH_FIELDS; i++) {
        if (header->sizes[i] == 0 && text_equal_nocase(text_item(fields, i), header->name)) {
            header->field = (uint8_t)i;
        }
    }
    if (!header->left_out) {
        digest_sha256_push(&header->hash, header->name, header->name_size);
    }
}

static void value_byte(struct fetch_header *header, char c)
{
    uint8_t field = header->field;

    if (field < FETCH_FIELDS && header->sizes[field] < FETCH_VALUE_BYTES - 1) {
        header->values[field][header->sizes[field]++] = c == '\0' ? ' ' : c;
    }
    if (!header->left_out && c != ' ' && c != '\t') {
        digest_sha256_push(&header->hash, &c, 1);
    }
}

static void line_begin(struct fetch_header *header, char c)
{
    header->line_start = false;
    if (c == ' ' || c == '\t') {
        return; /* It goes on. */
    }
    header->field = FETCH_FIELDS;
    header->in_name = true;
    header->name_size = 0;
    header->left_out = false;
}

void fetch_header_push(struct fetch_header *header, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size && !header->over; i++) {
        char c = (char)bytes[i];

        if (c == '\r') {
            continue;
        }
        if (c == '\n') {
            header->over = header->line_start;
            header->line_start = true;
            if (header->in_name) {
                name_end(header); /* A line that is no field is hashed all the same. */
            }
            continue;
        }
        if (header->line_start) {
            line_begin(header, c);
        }
        if (!header->in_name) {
            value_byte(header, c);
        } else if (c == ':') {
            name_end(header);
        } else if (header->name_size < sizeof header->name - 1) {
            header->name[header->name_size++] = c;
        }
    }
}

/* ---- results ---- */

static bool plain(char c)
{
    return c > ' ' && c < 0x7F && c != '<' && c != '>' && c != '(' && c != ')' && c != ',' &&
           c != ';' && c != '"';
}

/* The first thing in a value that looks like an address: in angle brackets, or a word with '@';
 * comments and quoted names are passed over. Returns its length. */
static size_t find_address(const char *value, const char **begin)
{
    unsigned comment = 0;
    bool quoted = false;
    const char *word = NULL;
    size_t word_size = 0;

    for (const char *at = value; *at != '\0'; at++) {
        if (quoted) {
            at += *at == '\\' && at[1] != '\0' ? 1 : 0;
            quoted = *at != '"';
        } else if (*at == '(') {
            comment++;
        } else if (*at == ')') {
            comment -= comment > 0 ? 1 : 0;
        } else if (comment == 0 && *at == '"') {
            quoted = true;
        } else if (comment == 0 && *at == '<') {
            *begin = at + 1;
            return strcspn(at + 1, ">");
        } else if (comment == 0 && plain(*at)) {
            const char *end = at;

            while (plain(*end)) {
                end++;
            }
            if (word == NULL && memchr(at, '@', (size_t)(end - at)) != NULL) {
                word = at;
                word_size = (size_t)(end - at);
            }
            at = end - 1;
        }
    }
    *begin = word != NULL ? word : value;
    return word_size;
}

void fetch_header_sender(const struct fetch_header *header, char *out, size_t size)
{
    for (unsigned field = FETCH_RETURN_PATH; field <= FETCH_FROM; field++) {
        struct text text = text_begin(out, size);
        const char *begin;
        size_t length = find_address(header->values[field], &begin);

        for (size_t i = 0; i < length; i++) {
            if (begin[i] > ' ' && begin[i] < 0x7F) {
                text_add_char(&text, begin[i]);
            }
        }
        if (text.length > 0 && !text.cut) {
            return;
        }
        if (header->sizes[field] > 0 && field == FETCH_RETURN_PATH) {
            break; /* "<>": a report of a mail server. */
        }
    }
    (void)text_copy(out, size, "MAILER-DAEMON");
}

void fetch_header_id(const struct fetch_header *header, char *out, size_t size)
{
    struct text text = text_begin(out, size);
    const char *value = header->values[FETCH_MESSAGE_ID];

    value += strspn(value, " \t");
    text_add_printable(&text, value, strcspn(value, " \t"));
}

void fetch_header_uid(const struct fetch_header *header, char out[34])
{
    uint8_t hash[DIGEST_SHA256_BYTES];
    struct text text = text_begin(out, 34);

    digest_sha256_end(&header->hash, hash);
    text_add_char(&text, '=');
    for (unsigned i = 0; i < 16; i++) {
        text_add_hex(&text, hash[i], 2);
    }
}
