#include "firmware/syslog.h"

#include "net/text.h"

#include <stdbool.h>
#include <string.h>

enum {
    PRI_MAX = 191 /* Facility 23, severity 7. */
};

static const char ellipsis[] = "\xE2\x80\xA6";
static const char byte_order_mark[] = "\xEF\xBB\xBF";

/* What is left of the datagram. Reading past its end gives NUL, which is a blank. */
struct input {
    const char *at;
    const char *end;
};

static char peek(const struct input *in, size_t offset)
{
    return offset < (size_t)(in->end - in->at) ? in->at[offset] : '\0';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

/* Space and control characters, NUL and LF among them. */
static bool is_blank(char c)
{
    return (unsigned char)c <= ' ';
}

static void skip_blanks(struct input *in)
{
    while (in->at < in->end && is_blank(*in->at)) {
        in->at++;
    }
}

/* What stands before the next blank. */
static size_t word_size(const struct input *in)
{
    size_t size = 0;

    while (!is_blank(peek(in, size))) {
        size++;
    }
    return size;
}

static void skip_word(struct input *in)
{
    in->at += word_size(in);
    skip_blanks(in);
}

/* Whether the input begins as a pattern says: 9 is a digit, _ a digit or a space, A a letter. */
static bool looks_like(const struct input *in, const char *pattern)
{
    for (size_t i = 0; pattern[i] != '\0'; i++) {
        char c = peek(in, i);
        bool fits = pattern[i] == '9'   ? is_digit(c)
                    : pattern[i] == '_' ? is_digit(c) || c == ' '
                    : pattern[i] == 'A' ? is_letter(c)
                                        : c == pattern[i];

        if (!fits) {
            return false;
        }
    }
    return true;
}

/* Goes behind what looks like the pattern, if it does. */
static bool skip(struct input *in, const char *pattern)
{
    bool found = looks_like(in, pattern);

    if (found) {
        in->at += strlen(pattern);
    }
    return found;
}

static bool skip_char(struct input *in, char c)
{
    bool found = peek(in, 0) == c;

    in->at += found;
    return found;
}

/* The same with the first that fits of a list of patterns. */
static bool skip_any(struct input *in, const char *list)
{
    for (; *list != '\0'; list += strlen(list) + 1) {
        if (skip(in, list)) {
            return true;
        }
    }
    return false;
}

/* "<13>", to severity and facility. Leading zeros are no reason to lose an alert. */
static bool take_pri(struct input *in, struct alert *alert)
{
    unsigned pri = 0;

    if (!skip_char(in, '<') || !is_digit(peek(in, 0))) {
        return false;
    }
    for (size_t i = 0; i < 3 && is_digit(peek(in, 0)); i++) {
        pri = pri * 10 + (unsigned)(*in->at++ - '0');
    }
    alert->severity = (uint8_t)(pri % SEVERITY_COUNT);
    alert->facility = (uint8_t)(pri / SEVERITY_COUNT);
    return pri <= PRI_MAX && skip_char(in, '>');
}

static bool is_nil(const struct input *in)
{
    return peek(in, 0) == '-' && is_blank(peek(in, 1));
}

/* Adds the first size bytes of the next word to a name, but for "-", and goes behind the word. */
static void take_name(char name[ALERT_NAME_BYTES], struct input *in, size_t size)
{
    struct text text = {.bytes = name, .size = ALERT_NAME_BYTES, .length = strlen(name)};

    if (!is_nil(in)) {
        text_add_printable(&text, in->at, size);
    }
    skip_word(in);
}

/* The rest is the text. A cut one ends in an ellipsis. */
static int take_text(struct alert *alert, struct input in)
{
    struct text text = text_begin(alert->text, sizeof alert->text);

    skip_blanks(&in);
    (void)skip(&in, byte_order_mark);
    skip_blanks(&in);
    if (in.at == in.end) {
        return E_INVALID;
    }
    text_add_printable(&text, in.at, (size_t)(in.end - in.at));
    if (text.cut) {
        text = text_begin(alert->text, sizeof alert->text - (sizeof ellipsis - 1));
        text_add_printable(&text, in.at, (size_t)(in.end - in.at));
        text.size = sizeof alert->text;
        text_add(&text, ellipsis);
    }
    return 0;
}

/* RFC 5424 */

/* Goes behind "-" or a row of [elements] (6.3); false: neither, or without an end. */
static bool skip_structured_data(struct input *in)
{
    bool found = skip_char(in, '-');

    while (!found && skip_char(in, '[')) {
        bool quoted = false;

        for (; in->at < in->end && (quoted || *in->at != ']'); in->at++) {
            if (*in->at == '"') {
                quoted = !quoted;
            } else if (quoted && *in->at == '\\' && in->at + 1 < in->end) {
                in->at++;
            }
        }
        if (!skip_char(in, ']')) {
            return false;
        }
        found = !looks_like(in, "[");
    }
    return found && is_blank(peek(in, 0));
}

/* "1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG" (6). The sender's time and MSGID
 * have no place in an alert. E_MISSING: not such a header. */
static int take_5424(struct input in, struct alert *alert)
{
    struct input data;
    int result;

    if (!skip(&in, "1 ") || (!is_nil(&in) && !looks_like(&in, "9999-99-99T"))) {
        return E_MISSING;
    }
    skip_word(&in);
    take_name(alert->host, &in, word_size(&in));
    take_name(alert->app, &in, word_size(&in));
    if (alert->app[0] != '\0' && !is_nil(&in)) {
        struct text app = {.bytes = alert->app, .size = sizeof alert->app};

        app.length = strlen(alert->app);
        text_add_char(&app, '[');
        take_name(alert->app, &in, word_size(&in));
        app.length = strlen(alert->app);
        text_add_char(&app, ']');
    } else {
        skip_word(&in);
    }
    if (in.at == in.end) {
        return E_MISSING; /* Too short. */
    }
    skip_word(&in);
    data = in;
    if (!skip_structured_data(&in)) {
        return take_text(alert, data); /* Broken or left out: then it is text, rather than lost. */
    }
    result = take_text(alert, in);
    if (result < 0 && *data.at == '[') {
        result = take_text(alert, data); /* All that it says is in its structured data. */
    }
    return result;
}

/* RFC 3164, as it is really sent */

/* Goes behind a time stamp of one of the known kinds: "Oct 11 22:14:15", "Mar  1 2026 00:12:01.123
 * UTC:", "2026 Jul 28 14:42:46 UTC:", "2026-11-21T22:05:54.123456+03:00", the first ones also with
 * "*" or "." before them (Cisco: clock not set, or not synchronised). *host_follows: not after
 * the colon that Cisco puts behind time and zone. */
static bool skip_time(struct input *in, bool *host_follows)
{
    struct input rest = *in;

    if (looks_like(&rest, "9999-99-99T99:99:99")) {
        skip_word(in);
        *host_follows = true;
        return true;
    }
    (void)skip_any(&rest, "*\0.\0");
    (void)skip(&rest, "9999 ");
    if (!skip_any(&rest, "AAA _9 9999 99:99:99\0AAA _9 99:99:99\0")) {
        return false;
    }
    if (skip_char(&rest, '.')) {
        while (skip(&rest, "9")) {
        }
    } else if (looks_like(&rest, " 9999 ")) {
        rest.at += sizeof " 9999" - 1;
    }
    *host_follows = !skip_any(&rest, ":\0 AAA:\0 AAAA:\0 +9999:\0 -9999:\0");
    skip_blanks(&rest);
    *in = rest;
    return true;
}

/* "name:", "name[412]:" or "name[412]" (5.3): the length of what names the sender, without the
 * colon. 0: the next word is none of these. */
static size_t tag_size(const struct input *in)
{
    size_t word = word_size(in);
    size_t size = 0;
    const char *close;

    while (size < word && in->at[size] != ':' && in->at[size] != '[') {
        size++;
    }
    if (size > 0 && size < word && in->at[size] == '[') {
        close = memchr(in->at + size, ']', word - size);
        size = close != NULL ? (size_t)(close + 1 - in->at) : 0;
        if (size == word) {
            return size;
        }
    }
    return size + 1 == word && in->at[size] == ':' ? size : 0;
}

/* Letters, digits and what stands in names and addresses; above ASCII too. */
static bool is_host(const struct input *in)
{
    size_t size = word_size(in);

    for (size_t i = 0; i < size; i++) {
        char c = in->at[i];

        if (!is_letter(c) && !is_digit(c) && (unsigned char)c < 0x80 &&
            strchr(".-_:/@", c) == NULL) {
            return false;
        }
    }
    return size > 0;
}

static int take_3164(struct input in, struct alert *alert)
{
    struct input rest = in;
    size_t size;
    bool host_follows = false;

    alert->host[0] = '\0';
    alert->app[0] = '\0';

    /* Cisco numbers its messages, and may name itself before the time. */
    while (skip(&rest, "9")) {
    }
    if (rest.at > in.at && skip_char(&rest, ':') && is_blank(peek(&rest, 0))) {
        skip_blanks(&rest);
        in = rest;
    }
    rest = in;
    skip_word(&rest);
    size = tag_size(&in);
    if (!skip_time(&in, &host_follows) && size > 0 && skip_time(&rest, &host_follows)) {
        take_name(alert->host, &in, size);
        host_follows = false;
        in = rest;
    }
    if (host_follows && tag_size(&in) == 0 && is_host(&in)) {
        take_name(alert->host, &in, word_size(&in));
        (void)skip(&in, ": "); /* Cisco ASA. */
    }
    size = tag_size(&in);
    if (size > 0) {
        take_name(alert->app, &in, size);
    }
    return take_text(alert, in);
}

int syslog_parse(struct alert *alert, const char *datagram, size_t size)
{
    struct input in = {.at = datagram, .end = datagram + size};
    int result;

    if (!take_pri(&in, alert)) {
        return E_INVALID;
    }
    while (in.end > in.at && is_blank(in.end[-1])) {
        in.end--;
    }
    skip_blanks(&in);
    text_copy(alert->source, sizeof alert->source, "syslog");
    alert->host[0] = '\0';
    alert->app[0] = '\0';
    result = take_5424(in, alert);
    return result == E_MISSING ? take_3164(in, alert) : result;
}
