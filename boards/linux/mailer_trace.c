/* mailer_trace.c - the engine as the session sees it, with the dialogue shown on the way: `-v` and
 * `-X`. Passwords are masked; bodies are not shown. */
#include "boards/linux/mailer_work.h"

#include "net/text.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#define LINE_SHOWN_MAX 400
#define SHOW_MS_MAX 2000 /* For a pipe that is full. */

SESSION_ENGINE(smtp);

static struct mailer *owner(void *engine)
{
    return (struct mailer *)(void *)((char *)engine - offsetof(struct mailer, smtp));
}

/* "<<< " and ">>> " as sendmail -v has it; nothing from a server can steer a terminal. */
static void show(struct mailer *mailer, const char *arrow, const char *bytes, size_t size)
{
    /* Somebody who does not read must not keep the mails of all others waiting. */
    struct pollfd ready = {.fd = mailer->params.trace_fd, .events = POLLOUT};
    char line[LINE_SHOWN_MAX + 16];
    struct text text = text_begin(line, sizeof line - 1);

    text_add(&text, arrow);
    text_add_printable(&text, bytes, size);
    text_add_char(&text, '\n');
    if (mailer->params.trace_fd >= 0 && (poll(&ready, 1, SHOW_MS_MAX) <= 0 ||
                                         write(mailer->params.trace_fd, line, text.length) < 0)) {
        mailer->params.trace_fd = -1;
    }
}

void mailer_trace_text(struct mailer *mailer, const char *text)
{
    if (mailer->params.trace_fd >= 0) {
        show(mailer, "--- ", text, strlen(text));
    }
}

/* Each line of what is there. */
static void show_lines(struct mailer *mailer, const char *arrow, const char *bytes, size_t size)
{
    while (size > 0) {
        const char *end = memchr(bytes, '\n', size);
        size_t length = end != NULL ? (size_t)(end - bytes) + 1 : size;
        size_t shown = length;

        while (shown > 0 && (bytes[shown - 1] == '\r' || bytes[shown - 1] == '\n')) {
            shown--;
        }
        show(mailer, arrow, bytes, shown);
        bytes += length;
        size -= length;
    }
}

/* The engine writes a whole turn at once, and the first acknowledgement of it shows it. */
static void traced_tx_ack(void *engine, size_t size, uint64_t now_ms)
{
    struct mailer *mailer = owner(engine);
    enum smtp_stage stage = smtp_stage(engine);
    size_t there;
    const char *bytes = (const char *)smtp_tx_buf(engine, &there);

    if (mailer->params.trace_fd >= 0 && stage != SMTP_STAGE_BODY && bytes != NULL) {
        if (stage != SMTP_STAGE_AUTH) {
            show_lines(mailer, ">>> ", bytes, size);
        } else {
            bool plain = size > 10 && memcmp(bytes, "AUTH PLAIN", 10) == 0;
            bool login = size > 10 && memcmp(bytes, "AUTH LOGIN", 10) == 0;

            show_lines(mailer, ">>> ",
                       plain   ? "AUTH PLAIN ********"
                       : login ? "AUTH LOGIN"
                               : "********",
                       plain   ? 19
                       : login ? 10
                               : 8);
        }
    }
    smtp_tx_ack(engine, size, now_ms);
}

static void traced_rx_ack(void *engine, size_t size, uint64_t now_ms)
{
    struct mailer *mailer = owner(engine);
    size_t room;

    if (mailer->params.trace_fd >= 0) {
        show_lines(mailer, "<<< ", (const char *)smtp_rx_buf(engine, &room), size);
    }
    smtp_rx_ack(engine, size, now_ms);
}

static const struct session_engine traced_engine = {
    smtp_engine_start,   smtp_engine_want,     smtp_engine_tx_buf,      traced_tx_ack,
    smtp_engine_rx_buf,  traced_rx_ack,        smtp_engine_tls_started, smtp_engine_eof,
    smtp_engine_timeout, smtp_engine_deadline,
};

const struct session_engine *mailer_engine(const struct mailer *mailer)
{
    return mailer->params.trace_fd >= 0 ? &traced_engine : &smtp_engine;
}
