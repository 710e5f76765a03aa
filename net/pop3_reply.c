/* pop3_reply.c - received bytes become lines, lines become replies, the rest pieces of a message
 * (RFC 1939 section 3). */
#include "net/pop3_dialogue.h"

#include <string.h>

#define CUT_BYTES_MAX 16384 /* What is thrown away of a reply's lines before that is no POP3. */
#define LINE_KEPT 320       /* What stays of a line that is longer than rx. */
#define LINE_SHOWN 100      /* Of what is not POP3. */

_Static_assert(LINE_KEPT + 64 <= POP3_RX_BYTES, "no room for the rest of a long line");

/* --- The first line of a reply --- */

/* Upper case is what RFC 1939 section 3 wants; "+OKAY" is something else. */
static enum pop3_status line_status(const char *line)
{
    size_t size = strncmp(line, "+OK", 3) == 0 ? 3 : strncmp(line, "-ERR", 4) == 0 ? 4 : 0;
    char next = line[size];

    if (size == 0) {
        return line[0] == '+' && (line[1] == ' ' || line[1] == '\0') ? STATUS_PROMPT : STATUS_NONE;
    }
    if ((next >= '0' && next <= '9') || (next >= 'A' && next <= 'Z') ||
        (next >= 'a' && next <= 'z')) {
        return STATUS_NONE;
    }
    return size == 3 ? STATUS_OK : STATUS_ERR;
}

/* "[IN-USE] ..."; a code may go on behind a slash (RFC 2449 section 8). */
static enum pop3_code words_code(const char *words)
{
    static const char codes[] = "IN-USE\0LOGIN-DELAY\0SYS/TEMP\0SYS/PERM\0AUTH"; /* As the enum. */

    if (words[0] != '[' || strchr(words, ']') == NULL) {
        return POP3_CODE_NONE;
    }
    for (unsigned i = 0; i < POP3_CODE_OTHER - POP3_CODE_IN_USE; i++) {
        const char *code = text_item(codes, i);
        size_t size = strlen(code);

        if (text_starts_nocase(words + 1, code) &&
            (words[1 + size] == ']' || words[1 + size] == '/')) {
            return (enum pop3_code)(POP3_CODE_IN_USE + i);
        }
    }
    return POP3_CODE_OTHER;
}

/* Keeps the server's words and code in reply. */
static void keep_words(struct pop3 *pop3, enum pop3_status status, const char *line)
{
    struct pop3_failure *reply = &pop3->reply;
    struct text text =
        text_begin(reply->text, status == STATUS_NONE ? LINE_SHOWN : sizeof reply->text);
    const char *words = line + (status == STATUS_OK ? 3 : status == STATUS_ERR ? 4 : 0);

    while (*words == ' ') {
        words++;
    }
    reply->code = status == STATUS_ERR ? words_code(words) : POP3_CODE_NONE;
    text_add_printable(&text, words, strlen(words));
    if (status == STATUS_ERR && words[0] == '\0') {
        text_add(&text, "the server gave no reason");
    }
}

/* A reply counts only if it came behind its command: taking one that did not for the answer to the
 * next command would be believing in a success that never was. -ERR may come at any time, from a
 * server that is about to hang up. */
static void take_status(struct pop3 *pop3, char *line, uint64_t now_ms)
{
    enum pop3_status status = line_status(line);
    bool early = pop3->reply_early;

    pop3->reply_early = false;
    pop3->cut_bytes = 0;
    if (pop3->state == STATE_BYE) {
        pop3_enter(pop3, STATE_CLOSED, now_ms); /* Whatever it says: we have said goodbye. */
        return;
    }
    keep_words(pop3, status, line);
    if (early && status == STATUS_ERR) {
        pop3_fail(pop3, E_TRANSIENT, POP3_CAUSE_REPLY, "");
    } else if (early && pop3_stls_due(pop3)) {
        pop3_fail(pop3, E_SECURITY, POP3_CAUSE_INJECTED, "the server spoke out of turn");
    } else if (early || status == STATUS_NONE) {
        pop3_fail(pop3, E_TRANSIENT, POP3_CAUSE_PROTOCOL,
                  early ? "the server spoke out of turn" : "this is not a POP3 reply");
    } else {
        pop3->replies_due--;
        pop3_take_reply(pop3, status, line, now_ms);
    }
}

/* --- Lines --- */

/* A line of a listing, without its line end (RFC 1939 section 3: one more dot stands before a dot).
 */
static void take_listed(struct pop3 *pop3, char *line, uint64_t now_ms)
{
    bool capabilities = pop3->state != STATE_READY;

    if (line[0] == '.' && line[1] == '\0') {
        pop3->mode = MODE_STATUS;
        if (capabilities) {
            pop3_end_capabilities(pop3, now_ms);
        } else {
            pop3_answer_end(pop3, now_ms);
        }
        return;
    }
    line += line[0] == '.';
    if (capabilities) {
        pop3_take_capability(pop3, line);
    } else {
        pop3_answer_item(pop3, line, now_ms);
    }
}

/* Takes a line; false: its end has not come. */
static bool take_line(struct pop3 *pop3, uint64_t now_ms)
{
    char *line = (char *)pop3->rx + pop3->rx_at;
    size_t size = (size_t)(pop3->rx_size - pop3->rx_at);
    const char *end = memchr(line, '\n', size);

    if (pop3->mode == MODE_STATUS && pop3->replies_due == 0) {
        pop3->reply_early = true; /* It stays so, even if a command leaves before its last byte. */
    }
    if (end == NULL) {
        return false;
    }
    size = (size_t)(end - line);
    pop3->rx_at = (uint16_t)(pop3->rx_at + size + 1);
    if (pop3->line_cut) {
        size = LINE_KEPT;
    }
    pop3->line_cut = false;
    while (size > 0 && line[size - 1] == '\r') {
        size--;
    }
    line[size] = '\0';
    for (char *nul = line; (nul += strlen(nul)) < line + size;) {
        *nul = ' '; /* A NUL from the server ends nothing. */
    }
    if (pop3->mode == MODE_STATUS) {
        take_status(pop3, line, now_ms);
    } else {
        take_listed(pop3, line, now_ms);
    }
    return true;
}

/* Makes room in a full rx that holds no line end: the line keeps its beginning. */
static void cut_line(struct pop3 *pop3)
{
    pop3->cut_bytes += POP3_RX_BYTES - LINE_KEPT;
    pop3->rx_size = LINE_KEPT;
    pop3->line_cut = true;
    if (pop3->cut_bytes > CUT_BYTES_MAX) {
        pop3->reply.text[0] = '\0';
        pop3_fail(pop3, E_TRANSIENT, POP3_CAUSE_PROTOCOL, "a line without end");
    }
}

/* --- Messages --- */

/* Length of the longest run of bytes, up to size, that is given out as it is: it ends where the
 * next line begins with a dot, or may. */
static size_t message_run(struct pop3 *pop3, const uint8_t *bytes, size_t size)
{
    size_t at = 0;

    pop3->line_start = false;
    while (at < size) {
        const uint8_t *end = memchr(bytes + at, '\n', size - at);
        bool crlf;

        if (end == NULL) {
            break;
        }
        crlf = end > bytes ? end[-1] == '\r' : pop3->after_cr;
        if (pop3->lines == LINES_UNKNOWN) {
            pop3->lines = crlf ? LINES_CRLF : LINES_LF;
        }
        at = (size_t)(end - bytes) + 1;
        if ((crlf || pop3->lines == LINES_LF) && (at == size || bytes[at] == '.')) {
            pop3->line_start = true;
            size = at;
        }
    }
    pop3->after_cr = bytes[size - 1] == '\r';
    return size;
}

/* Takes what is next of a message: a dot, or bytes for the caller; false: more has to come before
 * anybody can tell which. */
static bool take_message(struct pop3 *pop3, uint64_t now_ms)
{
    const uint8_t *bytes = pop3->rx + pop3->rx_at;
    size_t size = (size_t)(pop3->rx_size - pop3->rx_at);

    if (pop3->line_start && bytes[0] == '.') {
        size_t end = size > 1 && bytes[1] == '\r' ? 2 : 1;

        if (size <= end) {
            return false;
        }
        if (bytes[end] == '\n') {
            pop3->rx_at = (uint16_t)(pop3->rx_at + end + 1);
            pop3->mode = MODE_STATUS;
            pop3_answer_end(pop3, now_ms);
            return true;
        }
        pop3->rx_at++;
        bytes++;
        size--;
    }
    size = message_run(pop3, bytes, size);
    pop3->rx_at = (uint16_t)(pop3->rx_at + size);
    pop3_answer_bytes(pop3, bytes, size, now_ms);
    return true;
}

/* --- All of it --- */

static bool stops(const struct pop3 *pop3)
{
    return pop3->event_held || pop3->state == STATE_CLOSED || pop3->state == STATE_TLS;
}

void pop3_take(struct pop3 *pop3, uint64_t now_ms)
{
    while (pop3->rx_at < pop3->rx_size && !stops(pop3) &&
           (pop3->mode == MODE_MESSAGE ? take_message(pop3, now_ms) : take_line(pop3, now_ms))) {
    }
    if (pop3->event_held || pop3->state == STATE_CLOSED) {
        return; /* What is left stays where it is: the event may lie in it. */
    }
    pop3->rx_size = (uint16_t)(pop3->rx_size - pop3->rx_at);
    memmove(pop3->rx, pop3->rx + pop3->rx_at, pop3->rx_size);
    pop3->rx_at = 0;
    pop3->replies_due = (uint8_t)(pop3->replies_due + pop3->replies_later);
    pop3->replies_later = 0;
    if (pop3->state == STATE_TLS && pop3->rx_size > 0) {
        /* Nothing may stand between the reply to STLS and the handshake: what does was put there to
         * be taken for the server's words under TLS. Not a byte more is sent. */
        pop3_fail(pop3, E_SECURITY, POP3_CAUSE_INJECTED, "bytes in clear behind STLS");
    } else if (pop3->rx_size == POP3_RX_BYTES) {
        cut_line(pop3);
    }
}
