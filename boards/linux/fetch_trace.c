/* fetch_trace.c - the engine as the session sees it, with the dialogue shown on the way
 * (--verbose). Secrets are masked; messages are not shown, and of listings only how they end. */
#include "boards/linux/fetch_work.h"

#include "net/text.h"

#include <string.h>
#include <unistd.h>

SESSION_ENGINE(pop3);

static struct fetch_work *owner(void *engine)
{
    return (struct fetch_work *)(void *)((char *)engine - offsetof(struct fetch_work, pop3));
}

void fetch_trace(struct fetch_work *work, const char *arrow, const char *bytes, size_t size)
{
    char line[400];
    struct text text = text_begin(line, sizeof line - 1);

    if (!work->options->verbose) {
        return;
    }
    text_add(&text, arrow);
    text_add_printable(&text, bytes, size);
    line[text.length++] = '\n';
    (void)!write(STDERR_FILENO, line, text.length);
}

static bool begins(const char *line, size_t size, const char *word)
{
    return size >= strlen(word) && memcmp(line, word, strlen(word)) == 0;
}

/* What may be shown of a command line. In the login all is secret that is not known to be none. */
static void show_command(struct fetch_work *work, const char *line, size_t size)
{
    static const char *const plain[] = {"USER ", "CAPA", "STLS", "QUIT", "*"};
    static const char *const masked[] = {"AUTH PLAIN ", "PASS ",
                                         "APOP "}; /* And no more of them. */
    char shown[32];
    struct text text = text_begin(shown, sizeof shown);
    bool open = pop3_stage(&work->pop3) != POP3_STAGE_AUTH;

    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        open = open || begins(line, size, plain[i]);
    }
    if (open) {
        fetch_trace(work, ">>> ", line, size);
        return;
    }
    for (size_t i = 0; i < sizeof masked / sizeof masked[0]; i++) {
        text_add(&text, begins(line, size, masked[i]) ? masked[i] : "");
    }
    text_add(&text, "********");
    fetch_trace(work, ">>> ", shown, text.length);
}

/* The lines of what is there: a turn is written, and acknowledged, as a whole; if not, the rest of
 * a line is shown like a secret. */
static void show(struct fetch_work *work, bool command, const char *bytes, size_t size)
{
    while (size > 0) {
        const char *end = memchr(bytes, '\n', size);
        size_t length = end != NULL ? (size_t)(end - bytes) + 1 : size;
        size_t visible = length;

        while (visible > 0 && (bytes[visible - 1] == '\r' || bytes[visible - 1] == '\n')) {
            visible--;
        }
        if (command) {
            show_command(work, bytes, visible);
        } else {
            fetch_trace(work, "<<< ", bytes, visible);
        }
        bytes += length;
        size -= length;
    }
}

static void traced_tx_ack(void *engine, size_t size, uint64_t now_ms)
{
    struct fetch_work *work = owner(engine);
    size_t there = 0;
    const char *bytes = (const char *)pop3_tx_buf(engine, &there);

    if (work->options->verbose) {
        show(work, true, bytes, size < there ? size : there);
    }
    pop3_tx_ack(engine, size, now_ms);
}

/* After the login, replies are shown as events. */
static void traced_rx_ack(void *engine, size_t size, uint64_t now_ms)
{
    struct fetch_work *work = owner(engine);
    size_t room;

    if (work->options->verbose && pop3_stage(engine) < POP3_STAGE_READY) {
        show(work, false, (const char *)pop3_rx_buf(engine, &room), size);
    }
    work->reply_bytes += size;
    pop3_rx_ack(engine, size, now_ms);
}

void fetch_engine(struct session_engine *engine)
{
    *engine = pop3_engine;
    engine->tx_ack = traced_tx_ack;
    engine->rx_ack = traced_rx_ack;
}
