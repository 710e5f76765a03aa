/* fuzz_smtp.c - a mail server's bytes against the submission engine.
 *
 * Byte 0: bits 0-1 TLS mode, 2 user set, 3 auth_without_tls, 4 timeout instead of end of stream at
 * the end, 5 a body of several buffers, 6 lines arrive in pairs, 7 the client's bytes are taken one
 * by one. Byte 1: bits 0-2 recipients less one, 3-4 messages, 5 SIZE and 8BITMIME used, 6 abort
 * when data ends. The rest: what the server says, a line at a time; while the client waits for TLS,
 * the next byte decides whether the handshake comes (odd) or the bytes go on in clear (even).
 */
#include "net/smtp.h"

#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 100000
#define USER "alerts"
#define PASSWORD "s3cretpassword"
#define USER_BASE64 "YWxlcnRz"
#define PASSWORD_BASE64 "czNjcmV0cGFzc3dvcmQ="
#define PLAIN_BASE64 "AGFsZXJ0cwBzM2NyZXRwYXNzd29yZA=="

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
    struct smtp smtp;
    struct smtp_params params;
    const uint8_t *data;
    size_t size;
    size_t at;
    uint64_t now_ms;
    bool tls;
    unsigned messages;
    unsigned server_lines;
    unsigned lines_at_dot; /* Lines of the server when the last body ended. */
    size_t body_left;
    bool message_open;
    bool body_ended;
    uint8_t last;  /* The client's last byte. */
    char tail[64]; /* The client's last bytes in clear, for what may not be among them. */
    size_t tail_size;
};

#define CHECK(condition)    \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

static bool ends_with(const struct fuzz *fuzz, const char *word)
{
    size_t size = strlen(word);

    return fuzz->tail_size >= size && memcmp(fuzz->tail + fuzz->tail_size - size, word, size) == 0;
}

static void check_sent(struct fuzz *fuzz, uint8_t byte)
{
    CHECK((fuzz->last == '\r') == (byte == '\n')); /* Neither CR nor LF ever goes alone. */
    fuzz->last = byte;
    if (fuzz->tls) {
        return;
    }
    if (fuzz->tail_size == sizeof fuzz->tail) {
        memmove(fuzz->tail, fuzz->tail + 32, 32);
        fuzz->tail_size = 32;
    }
    fuzz->tail[fuzz->tail_size++] = (char)byte;
    if (fuzz->params.tls == SMTP_TLS_STARTTLS) {
        CHECK(!ends_with(fuzz, "MAIL") && !ends_with(fuzz, "AUTH"));
    }
    if (!(fuzz->params.tls == SMTP_TLS_OFF && fuzz->params.auth_without_tls)) {
        CHECK(!ends_with(fuzz, USER_BASE64) && !ends_with(fuzz, PASSWORD_BASE64) &&
              !ends_with(fuzz, PLAIN_BASE64) && !ends_with(fuzz, "AUTH"));
    }
}

static void check_result(struct fuzz *fuzz)
{
    const struct smtp_result *result = smtp_result(&fuzz->smtp);

    CHECK(result->error <= 0);
    CHECK((result->error == 0) == (result->accepted_mask != 0));
    CHECK((result->accepted_mask & result->refused_mask) == 0);
    CHECK((result->transient_mask & ~result->refused_mask) == 0);
    if (result->error == 0) {
        CHECK(fuzz->body_ended && fuzz->server_lines > fuzz->lines_at_dot);
    } else {
        CHECK(result->failure.error < 0 && smtp_advice(&result->failure)[0] != '\0');
    }
    CHECK(!result->unanswered || (result->error == E_TRANSIENT && fuzz->body_ended));
    fuzz->message_open = false;
}

static void send_some(struct fuzz *fuzz)
{
    size_t size = 0;
    const uint8_t *bytes = smtp_tx_buf(&fuzz->smtp, &size);

    CHECK(size > 0 && size <= SMTP_TX_BYTES);
    size = fuzz->data[0] & 128 ? 1 : size;
    for (size_t i = 0; i < size; i++) {
        check_sent(fuzz, bytes[i]);
    }
    smtp_tx_ack(&fuzz->smtp, size, fuzz->now_ms);
}

static void body_some(struct fuzz *fuzz)
{
    static const char piece[] = ".\n..\r\r\n.x\n\r.\r\nQUIT\n";
    size_t room = 0;
    uint8_t *out = smtp_body_buf(&fuzz->smtp, &room);

    CHECK(room > 0 && room <= SMTP_TX_BYTES / 2);
    if (fuzz->body_left == 0) {
        fuzz->body_ended = true;
        fuzz->lines_at_dot = fuzz->server_lines;
        smtp_body_end(&fuzz->smtp, fuzz->now_ms);
        return;
    }
    room = room < sizeof piece - 1 ? room : sizeof piece - 1;
    room = room < fuzz->body_left ? room : fuzz->body_left;
    memcpy(out, piece, room);
    fuzz->body_left -= room;
    smtp_body_ack(&fuzz->smtp, room, fuzz->now_ms);
}

static void next_message(struct fuzz *fuzz)
{
    static const char *const rcpt[] = {"a@example.com", "b@example.com", "c@example.com",
                                       "d@example.com", "e@example.com", "f@example.com",
                                       "g@example.com", "h@example.com"};
    struct smtp_envelope envelope = {
        .from = "router1@example.com",
        .rcpt = rcpt,
        .rcpt_count = 1u + (fuzz->data[1] & 7),
        .size_bytes = fuzz->data[1] & 32 ? 1000 : 0,
        .eight_bit = (fuzz->data[1] & 32) != 0,
    };

    if (fuzz->messages == 0) {
        smtp_quit(&fuzz->smtp, fuzz->now_ms);
        return;
    }
    fuzz->messages--;
    fuzz->body_left = fuzz->data[0] & 32 ? 3000 : 20;
    fuzz->body_ended = false;
    if (smtp_message(&fuzz->smtp, &envelope, fuzz->now_ms) == 0) {
        fuzz->message_open = true;
    }
}

/* What the server says next: a line, or two. */
static void serve(struct fuzz *fuzz)
{
    unsigned lines = fuzz->data[0] & 64 ? 2 : 1;

    while (fuzz->at < fuzz->size && lines > 0) {
        size_t room = 0;
        uint8_t *out = smtp_rx_buf(&fuzz->smtp, &room);
        size_t size = 0;

        if (smtp_want(&fuzz->smtp) & (SMTP_CLOSED | SMTP_WANT_TLS)) {
            return;
        }
        CHECK(room > 0 && room <= SMTP_RX_BYTES);
        while (size < room && fuzz->at < fuzz->size && lines > 0) {
            out[size] = fuzz->data[fuzz->at++];
            if (out[size++] == '\n') {
                fuzz->server_lines++;
                lines--;
            }
        }
        smtp_rx_ack(&fuzz->smtp, size, fuzz->now_ms);
    }
}

static void run_out(struct fuzz *fuzz)
{
    if (fuzz->data[1] & 64) {
        smtp_quit(&fuzz->smtp, fuzz->now_ms);
    }
    if (fuzz->data[0] & 16) {
        CHECK(smtp_deadline(&fuzz->smtp) != UINT64_MAX ||
              (smtp_want(&fuzz->smtp) & (SMTP_CLOSED | SMTP_WANT_MESSAGE)));
        fuzz->now_ms = smtp_deadline(&fuzz->smtp);
        smtp_timeout(&fuzz->smtp, fuzz->now_ms);
    } else {
        smtp_eof(&fuzz->smtp, fuzz->now_ms);
    }
}

static void tls_or_not(struct fuzz *fuzz)
{
    size_t room = 0;

    if (fuzz->at == fuzz->size) {
        run_out(fuzz);
    } else if (fuzz->data[fuzz->at++] & 1) {
        fuzz->tls = true;
        smtp_tls_started(&fuzz->smtp, fuzz->now_ms);
        CHECK(smtp_capabilities(&fuzz->smtp) == 0);
    } else {
        *smtp_rx_buf(&fuzz->smtp, &room) = '2';
        smtp_rx_ack(&fuzz->smtp, 1, fuzz->now_ms);
        CHECK(smtp_want(&fuzz->smtp) == SMTP_CLOSED);
        CHECK(smtp_failure(&fuzz->smtp)->error == E_SECURITY);
    }
}

static void step(struct fuzz *fuzz)
{
    unsigned want = smtp_want(&fuzz->smtp);

    if (want & SMTP_WANT_TX) {
        send_some(fuzz);
    } else if (want & SMTP_WANT_TLS) {
        tls_or_not(fuzz);
    } else if (want & SMTP_WANT_MESSAGE) {
        next_message(fuzz);
    } else if (want & SMTP_WANT_BODY) {
        body_some(fuzz);
        if (fuzz->data[1] & 128) {
            serve(fuzz); /* A server that talks while the body is on its way. */
        }
    } else if (fuzz->at < fuzz->size) {
        CHECK(smtp_deadline(&fuzz->smtp) > fuzz->now_ms);
        serve(fuzz);
    } else {
        run_out(fuzz);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz fuzz;
    unsigned steps = 0;

    if (size < 2) {
        return 0;
    }
    memset(&fuzz, 0, sizeof fuzz);
    fuzz.data = data;
    fuzz.size = size;
    fuzz.at = 2;
    fuzz.now_ms = 1;
    fuzz.messages = data[1] >> 3 & 3;
    fuzz.params.ehlo_name = "router1.example.com";
    fuzz.params.tls = (data[0] & 3) == 0   ? SMTP_TLS_IMPLICIT
                      : (data[0] & 3) == 1 ? SMTP_TLS_OFF
                                           : SMTP_TLS_STARTTLS;
    fuzz.params.user = data[0] & 4 ? USER : "";
    fuzz.params.password = PASSWORD;
    fuzz.params.auth_without_tls = (data[0] & 8) != 0;
    fuzz.tls = fuzz.params.tls == SMTP_TLS_IMPLICIT;
    CHECK(smtp_init(&fuzz.smtp, &fuzz.params, fuzz.now_ms) == 0);
    while (smtp_want(&fuzz.smtp) != SMTP_CLOSED) {
        CHECK(++steps < STEPS_MAX + 8 * (unsigned)size);
        step(&fuzz);
        fuzz.now_ms++;
        if (fuzz.message_open && (smtp_want(&fuzz.smtp) & (SMTP_WANT_MESSAGE | SMTP_CLOSED))) {
            check_result(&fuzz);
        }
    }
    CHECK(smtp_deadline(&fuzz.smtp) == UINT64_MAX);
    if (smtp_failure(&fuzz.smtp) != NULL) {
        CHECK(smtp_failure(&fuzz.smtp)->error < 0 && smtp_failure(&fuzz.smtp)->text[0] != '\0');
        CHECK(smtp_advice(smtp_failure(&fuzz.smtp))[0] != '\0');
    }
    return 0;
}
