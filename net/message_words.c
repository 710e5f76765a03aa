/* How 8-bit text is written in a header: encoded words (RFC 2047), extended parameters (RFC 2231),
 * and mailboxes of our own. */
#include "net/message.h"

#include "net/base64.h"
#include "net/message_private.h"
#include "net/text.h"

#include <string.h>

enum {
    LINE_ENCODED = 76, /* A line with encoded words (RFC 2047 2). */
    WORD_PLAIN = 45    /* Octets within one. */
};

bool message_has_eight_bit(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if ((bytes[i] & 0x80) != 0) {
            return true;
        }
    }
    return false;
}

bool message_is_utf8(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size;) {
        const char *shown;
        size_t shown_size;
        size_t step = text_char(bytes + i, size - i, &shown, &shown_size);

        if (step == 1 && (bytes[i] & 0x80) != 0) {
            return false;
        }
        i += step;
    }
    return true;
}

/* The bytes that a run means, one by one: without folding, and where there are any without quotes
 * and backslashes. */
struct plain {
    const char *bytes;
    size_t at, end;
    uint8_t mode;
    bool quoted;
};

static bool plain_next(struct plain *plain, char *c)
{
    while (plain->at < plain->end) {
        *c = plain->bytes[plain->at++];
        if (*c == '"' && (plain->mode == RUN_PHRASE || plain->mode == RUN_PARAM)) {
            plain->quoted = !plain->quoted;
            continue;
        }
        if (*c == '\\' && (plain->quoted || plain->mode == RUN_COMMENT) && plain->at < plain->end) {
            *c = plain->bytes[plain->at++];
        }
        if (*c != '\n') {
            return true;
        }
    }
    return false;
}

/* The next whole characters of a run as one encoded word, "B", which costs 6 octets a character at
 * most. room: for it on this line. */
static void put_word(struct message *message, struct plain *plain, bool utf8, size_t room)
{
    const char *charset = utf8 ? "utf-8" : "iso-8859-1";
    size_t most = (room - strlen(charset) -
                   strlen("=?"
                          "?B?"
                          "?=")) /
                  4 * 3;
    char bytes[WORD_PLAIN + 1];
    char encoded[BASE64_SIZE(WORD_PLAIN) + 1];
    struct text text = text_begin(encoded, sizeof encoded);
    struct base64 base64 = base64_begin(&text);
    struct plain last = *plain; /* Where the last character began. */
    size_t size = 0;
    size_t last_size = 0;
    char c;

    most = most < WORD_PLAIN ? most : WORD_PLAIN;
    while (plain->at < plain->end && size <= most) {
        struct plain before = *plain;

        if (!plain_next(plain, &c)) {
            break;
        }
        if (!utf8 || ((uint8_t)c & 0xC0) != 0x80) {
            last = before;
            last_size = size;
        }
        bytes[size++] = c;
    }
    if (size > most) { /* That character is the next word's. */
        *plain = last;
        size = last_size;
    }
    base64_add(&base64, bytes, size);
    base64_end(&base64);
    message_put_string(message, "=?");
    message_put_string(message, charset);
    message_put_string(message, "?B?");
    message_put_string(message, encoded);
    message_put_string(message, "?=");
}

/* Room for an encoded word on this line, or on a new one. */
static size_t word_room(struct message *message)
{
    if (message->column + WORD_ROOM > LINE_ENCODED) {
        message_put_string(message, "\n ");
    }
    return LINE_ENCODED - 1 - message->column;
}

static void put_encoded(struct message *message, const char *bytes, size_t size)
{
    struct plain plain = {.bytes = bytes, .end = size, .mode = RUN_TEXT};

    while (plain.at < size) {
        put_word(message, &plain, true, word_room(message));
        if (plain.at < size) {
            message_put_string(message, "\n ");
        }
    }
}

bool message_has_domain(const struct message *message)
{
    return message->params.domain != NULL && *message->params.domain != '\0';
}

void message_put_domain(struct message *message)
{
    if (message_has_domain(message)) {
        message_put_string(message, "@");
        message_put_token(message, message->params.domain, " <>(),;:@");
    }
}

void message_put_mailbox(struct message *message, bool resent, const char *field, const char *name,
                         const char *address)
{
    char buf[MAILBOX_NAME_BYTES];
    struct text text = text_begin(buf, sizeof buf);

    if (address == NULL || *address == '\0') {
        return;
    }
    message_put_name(message, resent, field);
    text_add_printable(&text, name == NULL ? "" : name, name == NULL ? 0 : strlen(name));
    name = buf + strspn(buf, " ");
    while (text.length > 0 && buf[text.length - 1] == ' ') {
        buf[--text.length] = '\0';
    }
    if (message_has_eight_bit(name, strlen(name)) || strstr(name, "=?") != NULL) {
        put_encoded(message, name, strlen(name));
    } else if (*name != '\0') {
        message_put_string(message, "\"");
        for (; *name != '\0'; name++) {
            message_put(message, "\\", *name == '"' || *name == '\\');
            message_put(message, name, 1);
        }
        message_put_string(message, "\"");
    }
    if (buf[0] != '\0') {
        message_put_string(message,
                           message->column + strlen(address) > LINE_CHARS - 3 ? "\n <" : " <");
    }
    message_put_token(message, address, *address == '"' ? "" : " <>");
    if (address_domain(address) == NULL) {
        message_put_domain(message);
    }
    message_put_string(message, buf[0] != '\0' ? ">" : "");
    message_end_field(message);
}

void message_run_step(struct message *message)
{
    struct plain plain = {.bytes = message->value,
                          .at = message->at,
                          .end = message->run,
                          .mode = message->run_mode,
                          .quoted = message->run_quoted};

    put_word(message, &plain, message->run_utf8, word_room(message));
    message->at = plain.at;
    message->run_quoted = plain.quoted;
    if (message->at < message->run) {
        message_put_string(message, "\n ");
    }
    message->after_word = message->run_mode != RUN_COMMENT;
    message->after_own = message->after_word;
}

/* RFC 2231 7: what needs no percent sign. */
static bool is_attribute_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$&+-.^_`{|}~", c) != NULL);
}

size_t message_param_size(const struct message *message, size_t at, size_t end)
{
    struct plain plain = {.bytes = message->value, .at = at, .end = end, .mode = RUN_PARAM};
    size_t size = 0;
    char c;

    while (plain_next(&plain, &c)) {
        size += is_attribute_char(c) ? 1 : 3;
    }
    return size;
}

/* One section of such a parameter: name*0*=utf-8''%C3%A9. */
void message_param_step(struct message *message)
{
    struct plain plain = {.bytes = message->value,
                          .at = message->at,
                          .end = message->run,
                          .mode = RUN_PARAM,
                          .quoted = message->run_quoted};
    char buf[16];
    char c;

    message_put(message, message->value + message->param, message->param_size);
    text_print(buf, sizeof buf, message->sections ? "*%u*=" : "*=", message->section);
    message_put_string(message, buf);
    if (message->section++ == 0) {
        message_put_string(message, message->run_utf8 ? "utf-8''" : "iso-8859-1''");
    }
    while ((!message->sections || message->column + 4 < LINE_CHARS) && plain_next(&plain, &c)) {
        struct text text = text_begin(buf, sizeof buf);

        if (!is_attribute_char(c)) {
            text_add_char(&text, '%');
            text_add_char(&text, "0123456789ABCDEF"[(uint8_t)c >> 4]);
            text_add_char(&text, "0123456789ABCDEF"[(uint8_t)c & 15]);
        } else {
            text_add_char(&text, c);
        }
        message_put_string(message, buf);
    }
    message->at = plain.at;
    message->run_quoted = plain.quoted;
    if (message->at + message->run_quoted < message->run) {
        message_put_string(message, ";\n ");
    } else {
        message->at = message->run;
    }
}
