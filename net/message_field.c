/* One field of a header, as it is written: whether at all, and how. A field is handled in pieces of
 * at most MESSAGE_FIELD_BYTES, and a piece in steps of bounded output.
 *
 * A piece with nothing wrong in it is copied. Otherwise it is gone through a token at a time: 8-bit
 * words become encoded words (RFC 2047) or extended parameters (RFC 2231), and lines are folded
 * anew where they are too long. */
#include "net/message.h"

#include "net/base64.h"
#include "net/message_private.h"
#include "net/text.h"

#include <string.h>

enum {
    LINE_CHARS = 78,   /* What a line should not exceed (RFC 5322 2.1.1). */
    LINE_ENCODED = 76, /* A line with encoded words (RFC 2047 2). */
    LINE_GIVEN = 900,  /* Up to here lines that have been longer stay so. */
    LINE_MAX = 998,    /* RFC 5322 2.1.1. */
    WORD_MAX = 900,    /* Longer words of text are encoded, for they cannot be folded. */
    WORD_ROOM = 24,    /* Below it an encoded word begins on a new line. */
    WORD_PLAIN = 45,   /* Octets within one. */
    COPY_BYTES = 512,  /* In one step. */
    PARAM_NAME_MAX = 40,
    NAME_BYTES = 200 /* Of a display name of ours. */
};

/* What a run of bytes is made of. */
enum message_run {
    RUN_TEXT,
    RUN_PHRASE, /* Words and quoted strings. */
    RUN_COMMENT,
    RUN_PARAM /* A token or a quoted string, for RFC 2231. */
};

/* Servers refuse a second one (RFC 5322 3.6). */
#define ONCE                                                                                \
    (BIT(ID_FROM) | BIT(ID_SENDER) | BIT(ID_REPLY_TO) | BIT(ID_DATE) | BIT(ID_MESSAGE_ID) | \
     BIT(ID_SUBJECT) | BIT(ID_IN_REPLY_TO) | BIT(ID_REFERENCES) | BIT(ID_MIME_VERSION))

/* Those that say nothing when they are empty, and are not allowed to be. */
#define NOT_EMPTY                                                                                \
    (BIT(ID_FROM) | BIT(ID_SENDER) | BIT(ID_REPLY_TO) | BIT(ID_TO) | BIT(ID_CC) | BIT(ID_DATE) | \
     BIT(ID_MESSAGE_ID))

#define TOLD (BIT(ID_FROM) | BIT(ID_SENDER) | BIT(ID_TO) | BIT(ID_CC) | BIT(ID_BCC))
#define RECIPIENTS (BIT(ID_TO) | BIT(ID_CC) | BIT(ID_BCC))

static const struct message_known *known_field(const char *name, bool resent)
{
    /* Those that have a Resent- form come first. */
    static const struct message_known fields[] = {
        {"from", FORM_ADDRESSES, ID_FROM},
        {"sender", FORM_ADDRESSES, ID_SENDER},
        {"reply-to", FORM_ADDRESSES, ID_REPLY_TO},
        {"to", FORM_ADDRESSES, ID_TO},
        {"cc", FORM_ADDRESSES, ID_CC},
        {"bcc", FORM_ADDRESSES, ID_BCC},
        {"date", FORM_TOKENS, ID_DATE},
        {"message-id", FORM_TOKENS, ID_MESSAGE_ID},
        {"subject", FORM_TEXT, ID_SUBJECT},
        {"return-path", FORM_TOKENS, ID_DROPPED},
        {"content-length", FORM_TOKENS, ID_DROPPED},
        {"received", FORM_TOKENS, ID_TRACE},
        {"delivered-to", FORM_ADDRESSES, ID_TRACE},
        {"apparently-to", FORM_ADDRESSES, ID_NONE},
        {"mail-followup-to", FORM_ADDRESSES, ID_NONE},
        {"mail-reply-to", FORM_ADDRESSES, ID_NONE},
        {"disposition-notification-to", FORM_ADDRESSES, ID_NONE},
        {"return-receipt-to", FORM_ADDRESSES, ID_NONE},
        {"errors-to", FORM_ADDRESSES, ID_NONE},
        {"content-type", FORM_PARAMS, ID_NONE},
        {"content-disposition", FORM_PARAMS, ID_NONE},
        {"content-transfer-encoding", FORM_TOKENS, ID_NONE},
        {"content-id", FORM_TOKENS, ID_NONE},
        {"mime-version", FORM_TOKENS, ID_MIME_VERSION},
        {"in-reply-to", FORM_TOKENS, ID_IN_REPLY_TO},
        {"references", FORM_TOKENS, ID_REFERENCES},
        {"dkim-signature", FORM_TOKENS, ID_NONE},
        {"authentication-results", FORM_TOKENS, ID_NONE},
        {"autocrypt", FORM_TOKENS, ID_NONE},
        {"arc-seal", FORM_TOKENS, ID_NONE},
        {"arc-message-signature", FORM_TOKENS, ID_NONE},
        {"arc-authentication-results", FORM_TOKENS, ID_NONE},
    };
    static const struct message_known other = {"", FORM_TEXT, ID_NONE};
    size_t count = resent ? ID_SUBJECT - 1 : sizeof fields / sizeof fields[0];

    for (size_t i = 0; i < count; i++) {
        if (text_equal_nocase(name, fields[i].name)) {
            return &fields[i];
        }
    }
    return &other;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

static bool has_eight_bit(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if ((bytes[i] & 0x80) != 0) {
            return true;
        }
    }
    return false;
}

static bool is_utf8(const char *bytes, size_t size)
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

static size_t skip_blanks(const struct message *message, size_t at, size_t limit)
{
    while (at < limit && is_blank(message->value[at])) {
        at++;
    }
    return at;
}

/* ---- encoded words ---- */

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

static bool has_domain(const struct message *message)
{
    return message->params.domain != NULL && *message->params.domain != '\0';
}

static void put_domain(struct message *message)
{
    if (has_domain(message)) {
        message_put_string(message, "@");
        message_put_token(message, message->params.domain, " <>(),;:@");
    }
}

void message_put_mailbox(struct message *message, bool resent, const char *field, const char *name,
                         const char *address)
{
    char buf[NAME_BYTES];
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
    if (has_eight_bit(name, strlen(name)) || strstr(name, "=?") != NULL) {
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
        put_domain(message);
    }
    message_put_string(message, buf[0] != '\0' ? ">\n" : "\n");
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
    if (size > LINE_CHARS) {
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
           !has_eight_bit(bytes, size);
}

static bool is_word(const struct message *message, size_t at)
{
    return message->known->form == FORM_TEXT || strchr("(),:;<>", message->value[at]) == NULL;
}

static bool must_encode(const struct message *message, size_t at, size_t end)
{
    return has_eight_bit(message->value + at, end - at) ||
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
        next = skip_blanks(message, end, limit);
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
    message->run_utf8 = is_utf8(message->value + message->at, message->run - message->at);
}

static void run_step(struct message *message)
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
        put_domain(message);
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

/* Called by the list. */
static void found(void *context, const char *address)
{
    struct message *message = context;
    const struct message_params *params = &message->params;
    static const uint8_t fields[ID_TRACE + 1] = {[ID_TO] = MESSAGE_TO,
                                                 [ID_CC] = MESSAGE_CC,
                                                 [ID_BCC] = MESSAGE_BCC,
                                                 [ID_FROM] = MESSAGE_FROM,
                                                 [ID_SENDER] = MESSAGE_SENDER};

    if (message->addresses++ == 0) {
        (void)text_copy(message->first, sizeof message->first, address);
    }
    if (address_domain(address) == NULL && has_domain(message) && !message->older &&
        message->known->id != ID_TRACE) {
        message->insert = message->pushed - address_list_behind(&message->list);
    }
    if (message->told && params->found != NULL) {
        params->found(params->context, (enum message_field)fields[message->known->id],
                      message->resent, address);
    }
}

static void end_list(struct message *message)
{
    if (!message->list_ended) {
        unsigned bad = address_list_end(&message->list);

        message->list_ended = true;
        if (message->told && (BIT(message->known->id) & RECIPIENTS) != 0) {
            message->seen.bad_addresses += bad;
        }
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
        end_list(message);
    }
    message->span = message->pushed;
    message->span_start = message->at;
    message->phrase_end = message->at;
    for (size_t at = skip_blanks(message, message->at, message->span); at < message->span;
         at = skip_blanks(message, at, message->span)) {
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
    bool eight_bit = has_eight_bit(value + begin, end - begin);

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

/* RFC 2231 7: what needs no percent sign. */
static bool is_attribute_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$&+-.^_`{|}~", c) != NULL);
}

/* Begins to write a parameter whose value has 8-bit characters (RFC 2231 3, 4). false: there is
 * none at begin..end. */
static bool begin_param(struct message *message, size_t begin, size_t end)
{
    const char *value = message->value;
    size_t at = skip_blanks(message, end, message->stop);
    size_t value_end;
    size_t width = end - begin + sizeof "*=iso-8859-1''";
    struct plain plain;
    char c;

    if (!message->after_semi || end - begin > PARAM_NAME_MAX || value[end - 1] == '*' ||
        at == message->stop || value[at] != '=') {
        return false;
    }
    at = skip_blanks(message, at + 1, message->stop);
    if (at < message->stop && value[at] == '"') {
        value_end = quoted_end(value, at, message->stop);
    } else { /* Some leave the quotes out, whatever is in it. */
        const char *semi = memchr(value + at, ';', message->stop - at);

        value_end = semi != NULL ? (size_t)(semi - value) : message->stop;
        while (value_end > at && is_blank(value[value_end - 1])) {
            value_end--;
        }
    }
    if (!has_eight_bit(value + at, value_end - at)) {
        return false;
    }
    plain = (struct plain){.bytes = value, .at = at, .end = value_end, .mode = RUN_PARAM};
    while (plain_next(&plain, &c)) {
        width += is_attribute_char(c) ? 1 : 3;
    }
    put_gap(message, message->at, begin - message->at, width < LINE_CHARS ? width : LINE_CHARS - 2);
    message->sections = message->column + width > LINE_CHARS;
    message->section = 0;
    message->param = begin;
    message->param_size = end - begin;
    message->at = at;
    message->run = value_end;
    message->run_mode = RUN_PARAM;
    message->run_quoted = false;
    message->run_utf8 = is_utf8(value + at, value_end - at);
    return true;
}

/* One section of such a parameter: name*0*=utf-8''%C3%A9. */
static void param_step(struct message *message)
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

static void prepare(struct message *message)
{
    message->prepared = true;
    message->at = message->joined ? skip_blanks(message, 0, message->length) : 0;
    message->joined = message->joined && message->at == message->length;
    message->span = message->at;
    message->copy_end = 0;
    message->run = 0;
    message->insert = NO_OFFSET;
    if (!message->complete && skip_blanks(message, 0, message->length) == message->length) {
        message->length = 1;
    }
    message->stop = piece_end(message);
    message->rewrite = message->rewrite || has_eight_bit(message->value, message->stop) ||
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
            message_put_string(message, "\n");
        }
        return;
    }
    message->length -= message->at;
    memmove(message->value, message->value + message->at, message->length);
    message->pushed -= message->pushed < message->at ? message->pushed : message->at;
    message->line_start = NO_OFFSET;
    message->prepared = false;
}

static bool value_step(struct message *message)
{
    bool addresses = message->known->form == FORM_ADDRESSES;
    size_t limit;
    size_t begin;

    if (message->at < message->copy_end) {
        copy_step(message);
    } else if (message->at < message->run) {
        if (message->run_mode == RUN_PARAM) {
            param_step(message);
        } else {
            run_step(message);
        }
    } else if (message->at == message->stop ||
               (addresses && message->at == message->span && !next_span(message))) {
        piece_done(message);
        return true;
    } else {
        limit = addresses ? message->span : message->stop;
        begin = skip_blanks(message, message->at, limit);
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

/* Of a field that is left out, the addresses count all the same. */
static void skip_piece(struct message *message)
{
    if (message->known->form == FORM_ADDRESSES && !message->list_ended) {
        address_list_push(&message->list, message->value, message->length);
        if (message->complete) {
            end_list(message);
        }
    }
    message->at = message->length;
    piece_done(message);
}

/* ---- a field's beginning ---- */

/* Which Resent- fields are the first block's: those above a trace field and above the next block,
 * which shows in a field that the first one has already (RFC 5322 3.6.6). */
static void follow_blocks(struct message *message)
{
    uint8_t id = message->known->id;

    if (!message->block_open && !message->block_done && message->resent) {
        message->block_open = true;
    } else if (message->block_open && (id == ID_TRACE || (message->resent && id != ID_NONE &&
                                                          (message->resent_has & BIT(id)) != 0 &&
                                                          message->resent_last != id))) {
        message_close_block(message);
    }
    if (message->resent) {
        message->seen.has_resent = true;
        message->resent_last = id;
    }
    message->older = message->resent && !message->block_open;
}

/* The identifier that the message brought, of its Resent- fields if it has some. */
static void take_id(struct message *message)
{
    const char *value = message->value;
    const char *open = memchr(value, '<', message->length);
    size_t begin = open != NULL ? (size_t)(open - value) + 1 : 0;
    size_t end;

    if (!message->resent && (message->block_open || message->block_done)) {
        return;
    }
    begin = skip_blanks(message, begin, message->length);
    for (end = begin; end < message->length && !is_blank(value[end]) && value[end] != '>';) {
        end++;
    }
    if (end > begin) {
        struct text text = text_begin(message->seen.message_id, sizeof message->seen.message_id);

        text_add_printable(&text, value + begin, end - begin);
        message->seen.message_id_given = true;
    }
}

/* What can be a display name in a From without an address: all up to a '<', without quotes. */
static void add_words(struct text *text, const char *value, size_t size)
{
    size_t begin = 0;

    while (begin < size && value[begin] != '<') {
        size_t end = begin;

        while (end < size && value[end] != '"' && value[end] != '<') {
            end++;
        }
        text_add_printable(text, value + begin, end - begin);
        begin = end + (end < size && value[end] == '"');
    }
    while (text->length > 0 && text->bytes[text->length - 1] == ' ') {
        text->bytes[--text->length] = '\0';
    }
}

/* From as it has to be, where that is not how it stands: true, and it is written. */
static bool replace_from(struct message *message)
{
    const struct message_params *params = &message->params;
    bool has_from = params->from != NULL && *params->from != '\0';
    bool has_name = params->from_name != NULL && *params->from_name != '\0';
    char name[NAME_BYTES];
    struct text text = text_begin(name, sizeof name);

    if (message->complete) {
        address_list_push(&message->list, message->value, message->length);
        end_list(message);
        message->told = false;
    }
    if (params->from_override && has_from) {
        message_put_mailbox(message, message->resent, "From", params->from_name, params->from);
        return true;
    }
    if (message->complete && message->addresses == 0 && has_from) {
        add_words(&text, message->value, message->length);
        message_put_mailbox(message, message->resent, "From",
                            text.length > 0 ? name : params->from_name, params->from);
        return true;
    }
    if (message->addresses == 1 && params->from_name_forced && has_name) {
        message_put_mailbox(message, message->resent, "From", params->from_name, message->first);
        return true;
    }
    message->several_authors |= message->addresses > 1 && !message->resent;
    return false;
}

static void begin_list(struct message *message)
{
    address_list_init(&message->list, found, message);
    message->list_ended = false;
    message->addresses = 0;
    message->pushed = 0;
}

/* Whether the field is left out; what stands for it may be written already. */
static bool leave_out(struct message *message)
{
    uint8_t id = message->known->id;
    uint32_t *has = message->resent ? &message->resent_has : &message->has;
    bool empty = message->complete && skip_blanks(message, 0, message->length) == message->length;

    if (message->older) {
        return false;
    }
    if (id == ID_FROM && !empty && (*has & BIT(id)) == 0 && replace_from(message)) {
        *has |= BIT(id);
        return true;
    }
    return id == ID_DROPPED || (id == ID_BCC && !message->params.keep_bcc) ||
           (empty && (NOT_EMPTY & BIT(id)) != 0);
}

/* The name of a To or Cc, or what makes it a part of the one before: servers refuse a second one.
 * A To that is not next to the first becomes Cc, which means nearly the same. */
static void put_list_name(struct message *message, uint8_t id)
{
    bool twice = (message->has & BIT(id)) != 0;
    bool as_cc = twice && id == ID_TO && message->open_list != ID_TO;

    if (as_cc) {
        id = ID_CC;
        twice = (message->has & BIT(ID_CC)) != 0;
    }
    message->has |= BIT(id);
    message->joined = twice && message->open_list == id;
    message->written = !twice || message->joined ? id : ID_NONE;
    if (message->joined) {
        message->open_list = ID_NONE;
        message_put_string(message, message->last == ',' ? "\n " : ",\n ");
        return;
    }
    message_close_list(message);
    message_put_string(message, twice ? "X-Duplicate-" : "");
    message_put_string(message, as_cc ? "Cc:" : message->name);
    message_put_string(message, as_cc ? "" : ":");
}

static void put_field_name(struct message *message)
{
    uint8_t id = message->known->id;
    uint32_t *has = message->resent ? &message->resent_has : &message->has;

    message->written = ID_NONE;
    if (!message->resent && (id == ID_TO || id == ID_CC)) {
        put_list_name(message, id);
        return;
    }
    message_close_list(message);
    if (!message->older) {
        if ((*has & BIT(id) & ONCE) != 0) {
            message->told = false;
            message_put_string(message, "X-Duplicate-");
        } else if (id == ID_MESSAGE_ID) {
            take_id(message);
        }
        *has |= BIT(id);
    }
    message_put_string(message, message->name);
    message_put_string(message, ":");
}

static void begin_field(struct message *message)
{
    message->begun = true;
    message->rewrite = false;
    message->joined = false;
    message->after_word = false;
    message->after_own = false;
    message->after_semi = false;
    message->resent = text_starts_nocase(message->name, "resent-");
    message->known =
        known_field(message->name + (message->resent ? strlen("resent-") : 0), message->resent);
    follow_blocks(message);
    message->told = !message->older && (TOLD & BIT(message->known->id)) != 0;
    message->seen.has_to |= message->told && (RECIPIENTS & BIT(message->known->id)) != 0;
    begin_list(message);
    message->skip = leave_out(message);
    if (!message->skip) {
        begin_list(message); /* It may have been gone through to look at it. */
        put_field_name(message);
        message->filled = false;
    }
}

bool message_field_step(struct message *message)
{
    if (!message->begun) {
        begin_field(message);
    } else if (message->skip) {
        skip_piece(message);
        return true;
    } else if (!message->prepared) {
        prepare(message);
    } else {
        return value_step(message);
    }
    return false;
}
