#include "firmware/syslog.h"

#include "net/text.h"

#include <stdbool.h>
#include <string.h>

enum {
    PRI_MAX = 191 /* Facility 23, severity 7. */
};

static const char ellipsis[] = "\xE2\x80\xA6";
static const char byte_order_mark[] = "\xEF\xBB\xBF";

/* What is left of the datagram. Reading past its end gives NUL, which no rule below takes. */
struct input {
    const char *at;
    const char *end;
};

struct word {
    const char *at;
    size_t size;
};

static char peek(const struct input *in, size_t offset)
{
    return offset < (size_t)(in->end - in->at) ? in->at[offset] : '\0';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
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

/* Up to the next blank. */
static struct word peek_word(const struct input *in)
{
    struct word word = {.at = in->at, .size = 0};

    while (in->at + word.size < in->end && !is_blank(word.at[word.size])) {
        word.size++;
    }
    return word;
}

static void skip_word(struct input *in)
{
    in->at += peek_word(in).size;
    skip_blanks(in);
}

/* Whether the input begins as a pattern says: 9 is a digit, _ a digit or a space, A a letter. */
static bool looks_like(const struct input *in, const char *pattern)
{
    for (size_t i = 0; pattern[i] != '\0'; i++) {
        char c = peek(in, i);
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        bool fits = pattern[i] == '9'   ? is_digit(c)
                    : pattern[i] == '_' ? is_digit(c) || c == ' '
                    : pattern[i] == 'A' ? letter
                                        : c == pattern[i];

        if (!fits) {
            return false;
        }
    }
    return true;
}

/* "<13>", to severity and facility. Leading zeros are no reason to lose an alert. */
static bool take_pri(struct input *in, struct alert *alert)
{
    uint32_t pri = 0;
    size_t digits = 0;

    for (; is_digit(peek(in, 1 + digits)) && digits < 4; digits++) {
        pri = pri * 10 + (uint32_t)(in->at[1 + digits] - '0');
    }
    if (peek(in, 0) != '<' || digits == 0 || digits > 3 || pri > PRI_MAX ||
        peek(in, 1 + digits) != '>') {
        return false;
    }
    alert->severity = (uint8_t)(pri % SEVERITY_COUNT);
    alert->facility = (uint8_t)(pri / SEVERITY_COUNT);
    in->at += digits + 2;
    return true;
}

static bool is_nil(struct word word)
{
    return word.size == 1 && *word.at == '-';
}

static void set_name(char name[ALERT_NAME_BYTES], struct word word)
{
    struct text text = text_begin(name, ALERT_NAME_BYTES);

    if (!is_nil(word)) {
        text_add_printable(&text, word.at, word.size);
    }
}

/* The rest is the text. A cut one ends in an ellipsis. */
static int take_text(struct alert *alert, struct input in)
{
    struct text text = text_begin(alert->text, sizeof alert->text);

    skip_blanks(&in);
    if (looks_like(&in, byte_order_mark)) {
        in.at += sizeof byte_order_mark - 1;
    }
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
    bool quoted = false;
    bool escaped = false;
    bool inside = false;

    if (peek(in, 0) == '-' && (in->at + 1 == in->end || is_blank(in->at[1]))) {
        in->at++;
        return true;
    }
    if (peek(in, 0) != '[') {
        return false;
    }
    for (; in->at < in->end && (inside || *in->at == '['); in->at++) {
        char c = *in->at;

        if (!quoted) {
            inside = c != ']';
        }
        if (escaped) {
            escaped = false;
        } else if (c == '"') {
            quoted = !quoted;
        } else {
            escaped = quoted && c == '\\';
        }
    }
    return !inside;
}

/* "1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG" (6). The sender's time and MSGID
 * have no place in an alert. false: not such a header, nothing was changed. */
static bool take_5424(struct input *in, struct alert *alert, int *result)
{
    struct input rest = *in;
    struct word words[6];
    struct text app;
    struct input data;

    for (size_t i = 0; i < 6; i++) {
        words[i] = peek_word(&rest);
        if (words[i].size == 0) {
            return false;
        }
        skip_word(&rest);
    }
    if (words[0].size != 1 || *words[0].at != '1' ||
        !(is_nil(words[1]) ||
          (is_digit(*words[1].at) && memchr(words[1].at, 'T', words[1].size)))) {
        return false;
    }
    set_name(alert->host, words[2]);
    set_name(alert->app, words[3]);
    if (!is_nil(words[3]) && !is_nil(words[4])) {
        app = text_begin(alert->app, sizeof alert->app);
        text_add_printable(&app, words[3].at, words[3].size);
        text_add_char(&app, '[');
        text_add_printable(&app, words[4].at, words[4].size);
        text_add_char(&app, ']');
    }
    data = rest;
    if (!skip_structured_data(&rest) || (rest.at < rest.end && !is_blank(*rest.at))) {
        rest = data; /* Broken or left out: then it is text, rather than lost. */
    }
    *result = take_text(alert, rest);
    if (*result < 0 && peek(&data, 0) == '[') {
        *result = take_text(alert, data); /* All that it says is in its structured data. */
    }
    return true;
}

/* RFC 3164, as it is really sent */

/* Goes behind the time zone and the colon that Cisco puts after a time: " UTC:", " +0000:", ":". */
static bool skip_time_colon(struct input *in)
{
    static const char *const ends[] = {":", " AAA:", " AAAA:", " +9999:", " -9999:"};

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        if (looks_like(in, ends[i])) {
            in->at += strlen(ends[i]);
            return true;
        }
    }
    return false;
}

/* Goes behind a time stamp of one of the known kinds: "Oct 11 22:14:15", "Mar  1 2026 00:12:01.123
 * UTC:", "2026 Jul 28 14:42:46 UTC:", "2026-11-21T22:05:54.123456+03:00", the first ones also with
 * "*" or "." before them (Cisco: clock not set, or not synchronised). *host_follows: not after
 * Cisco's colon. */
static bool skip_time(struct input *in, bool *host_follows)
{
    struct input rest = *in;

    if (looks_like(&rest, "9999-99-99T99:99:99")) {
        skip_word(in);
        *host_follows = true;
        return true;
    }
    if (peek(&rest, 0) == '*' || peek(&rest, 0) == '.') {
        rest.at++;
    }
    if (looks_like(&rest, "9999 AAA ")) {
        rest.at += sizeof "9999 " - 1;
    }
    if (looks_like(&rest, "AAA _9 9999 99:99:99")) {
        rest.at += sizeof "AAA _9 9999 99:99:99" - 1;
    } else if (looks_like(&rest, "AAA _9 99:99:99")) {
        rest.at += sizeof "AAA _9 99:99:99" - 1;
    } else {
        return false;
    }
    if (peek(&rest, 0) == '.') {
        for (rest.at++; is_digit(peek(&rest, 0)); rest.at++) {
        }
    } else if (looks_like(&rest, " 9999 ")) {
        rest.at += sizeof " 9999" - 1;
    }
    *host_follows = !skip_time_colon(&rest);
    skip_blanks(&rest);
    *in = rest;
    return true;
}

/* "name:", "name[412]:" or "name[412]" (5.3): the length of what names the sender, without the
 * colon. 0: the word is none of these. */
static size_t tag_size(struct word word)
{
    size_t size = 0;

    while (size < word.size && word.at[size] != ':' && word.at[size] != '[') {
        size++;
    }
    if (size > 0 && size < word.size && word.at[size] == '[') {
        const char *close = memchr(word.at + size, ']', word.size - size);

        size = close != NULL ? (size_t)(close + 1 - word.at) : 0;
        return size == word.size || (size + 1 == word.size && word.at[size] == ':') ? size : 0;
    }
    return size + 1 == word.size ? size : 0;
}

/* Letters, digits and what stands in names and addresses; above ASCII too. */
static bool is_host(struct word word)
{
    for (size_t i = 0; i < word.size; i++) {
        char c = word.at[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (unsigned char)c >= 0x80;

        if (!letter && !is_digit(c) && strchr(".-_:/@", c) == NULL) {
            return false;
        }
    }
    return word.size > 0;
}

static bool is_number(const char *at, size_t size)
{
    size_t digits = 0;

    while (digits < size && is_digit(at[digits])) {
        digits++;
    }
    return size > 0 && digits == size;
}

static int take_3164(struct input in, struct alert *alert)
{
    struct input rest;
    struct word word;
    size_t size;
    bool host_follows = false;

    /* Cisco numbers its messages, and may name itself before the time. */
    word = peek_word(&in);
    if (is_number(word.at, tag_size(word))) {
        skip_word(&in);
        word = peek_word(&in);
    }
    rest = in;
    skip_word(&rest);
    if (!skip_time(&in, &host_follows) && tag_size(word) > 0 && skip_time(&rest, &host_follows)) {
        set_name(alert->host, (struct word){word.at, tag_size(word)});
        host_follows = false;
        in = rest;
    }
    word = peek_word(&in);
    if (host_follows && tag_size(word) == 0 && is_host(word)) {
        set_name(alert->host, word);
        skip_word(&in);
        if (looks_like(&in, ": ")) { /* Cisco ASA. */
            skip_word(&in);
        }
        word = peek_word(&in);
    }
    size = tag_size(word);
    if (size > 0) {
        set_name(alert->app, (struct word){word.at, size});
        skip_word(&in);
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
    if (take_5424(&in, alert, &result)) {
        return result;
    }
    return take_3164(in, alert);
}
