/* smtp_reply.c - received bytes become lines, lines become replies (RFC 5321 4.2, RFC 2034). */
#include "net/smtp_dialogue.h"

#include <string.h>

#define REPLY_LINES_MAX 128
#define REPLY_BYTES_MAX 65536
#define LINE_KEPT 384 /* What stays of a line that is longer than rx. */

_Static_assert(LINE_KEPT + 64 <= SMTP_RX_BYTES, "no room for the rest of a long line");

static const char endless[] = "a reply without end";

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The code of a reply line (RFC 5321 4.2.1: first digit 2 to 5), or -1 when it is no reply line. */
static int line_code(const char *line)
{
    if (line[0] < '2' || line[0] > '5' || !is_digit(line[1]) || !is_digit(line[2]) ||
        (line[3] != ' ' && line[3] != '-' && line[3] != '\0')) {
        return -1;
    }
    return (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
}

/* Length of the enhanced status code at text, of the class digit given; 0: none (RFC 3463 section
 * 2). */
static size_t enhanced_size(const char *text, char class_digit)
{
    size_t at = 1;

    if (text[0] != class_digit) {
        return 0;
    }
    for (unsigned part = 0; part < 2; part++) {
        size_t first = at + 1;

        if (text[at++] != '.') {
            return 0;
        }
        while (at - first < 3 && is_digit(text[at])) {
            at++;
        }
        if (at == first) {
            return 0;
        }
    }
    return text[at] == '\0' || text[at] == ' ' ? at : 0;
}

/* Adds one line's words to the reply's text, and keeps the first enhanced code apart. */
static void keep_words(struct smtp_failure *reply, const char *line)
{
    struct text text = {.bytes = reply->text, .size = sizeof reply->text};
    const char *words = line[3] != '\0' ? line + 4 : line + 3;
    size_t enhanced = enhanced_size(words, line[0]);

    if (enhanced > 0 && reply->enhanced[0] == '\0') {
        memcpy(reply->enhanced, words, enhanced); /* Zeroed before. */
    }
    words += enhanced;
    while (*words == ' ') {
        words++;
    }
    text.length = strlen(reply->text);
    if (*words != '\0') {
        text_add(&text, text.length > 0 ? " / " : "");
        text_add_printable(&text, words, strlen(words));
    }
}

static void fail_line(struct smtp *smtp, const char *words, const char *line)
{
    struct text text = text_begin(smtp->reply.text, sizeof smtp->reply.text);

    text_add_printable(&text, line, strlen(line));
    smtp->rx_size = 0;
    smtp_fail(smtp, E_TRANSIENT, SMTP_CAUSE_PROTOCOL, words);
}

/* One line without its line end. */
static void take_line(struct smtp *smtp, const char *line, uint64_t now_ms)
{
    int code = line_code(line);

    if (smtp->state == STATE_QUIT) {
        smtp_enter(smtp, STATE_CLOSED, now_ms); /* Whatever it says: we have said goodbye. */
        return;
    }
    if (smtp->reply_lines == 0 && code > 0) {
        smtp->reply.code = code;
    }
    if (code < 0 || code != smtp->reply.code) {
        fail_line(smtp, code < 0 ? "this is not an SMTP reply" : "one reply with different codes",
                  line);
        return;
    }
    if (++smtp->reply_lines > REPLY_LINES_MAX || smtp->reply_bytes > REPLY_BYTES_MAX) {
        fail_line(smtp, endless, line);
        return;
    }
    if (smtp->state != STATE_EHLO || code >= 300) {
        keep_words(&smtp->reply, line);
    } else if (smtp->reply_lines > 1 && line[3] != '\0') {
        smtp_ehlo_line(smtp, line + 4);
    }
    if (line[3] != '-') {
        smtp_reply_done(smtp, now_ms);
        smtp->reply_lines = 0;
        smtp->reply_bytes = 0;
        smtp->reply_early = false;
        if (!smtp->failed) {
            memset(&smtp->reply, 0, sizeof smtp->reply);
        }
    }
}

/* Makes room in a full rx that holds no line end: the line keeps its beginning. */
static void cut_line(struct smtp *smtp)
{
    smtp->reply_bytes += smtp->rx_size - LINE_KEPT;
    smtp->rx_size = LINE_KEPT;
    smtp->line_cut = true;
    if (smtp->reply_bytes > REPLY_BYTES_MAX) {
        smtp->rx[LINE_KEPT] = '\0';
        fail_line(smtp, endless, (const char *)smtp->rx);
    }
}

void smtp_take_lines(struct smtp *smtp, uint64_t now_ms)
{
    size_t at = 0;

    while (at < smtp->rx_size && smtp->state != STATE_CLOSED && smtp->state != STATE_TLS) {
        uint8_t *line = smtp->rx + at;
        const uint8_t *end = memchr(line, '\n', smtp->rx_size - at);
        size_t size;

        if (smtp->reply_lines == 0 && smtp->replies_due == 0) {
            smtp->reply_early =
                true; /* It stays so, even if a command leaves before its last byte. */
        }
        if (end == NULL) {
            break;
        }
        size = (size_t)(end - line);
        at += size + 1;
        smtp->reply_bytes += (uint32_t)size + 1;
        if (smtp->line_cut) {
            size = LINE_KEPT;
            smtp->line_cut = false;
        }
        while (size > 0 && line[size - 1] == '\r') {
            size--;
        }
        line[size] = '\0';
        for (char *nul = (char *)line; (nul += strlen(nul)) < (char *)line + size;) {
            *nul = ' '; /* A NUL from the server ends nothing. */
        }
        take_line(smtp, (const char *)line, now_ms);
    }
    if (smtp->state == STATE_CLOSED) {
        return; /* Closing has emptied rx. */
    }
    smtp->rx_size = (uint16_t)(smtp->rx_size - at);
    memmove(smtp->rx, smtp->rx + at, smtp->rx_size);
    if (smtp->state == STATE_TLS && smtp->rx_size > 0) {
        /* Nothing may stand between the reply to STARTTLS and the handshake: what does was put
         * there to be taken for the server's words under TLS. Not a byte more is sent. */
        smtp->rx_size = 0;
        smtp_fail(smtp, E_SECURITY, SMTP_CAUSE_INJECTED, "bytes in clear behind STARTTLS");
    } else if (smtp->rx_size == SMTP_RX_BYTES) {
        cut_line(smtp);
    }
}
