/* fuzz_pop3.c - a POP3 server's bytes against the engine.
 *
 * Byte 0: bits 0-1 TLS mode, 2 auth_without_tls, 3 timeout instead of end of stream at the end, 4
 * the client's bytes are taken one by one, 5 reads go across lines, 6 the client asks and sends
 * while events wait. Byte 1: bits 0-3 requests; then a byte each: bits 0-3 verb, 4-6 number, 7
 * together with the one before; QUIT follows. The rest: what the server says; while the client
 * waits for TLS, the next byte decides whether the handshake comes (odd) or the bytes go on in
 * clear (even).
 */
#include "net/pop3.h"

#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 100000
#define USER "device"
#define PASSWORD "s3cretpassword"
#define PLAIN_BASE64 "AGRldmljZQBzM2NyZXRwYXNzd29yZA=="

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct ask {
    enum pop3_verb verb;
    uint32_t number;
};

struct fuzz {
    struct pop3 pop3;
    struct pop3_params params;
    const uint8_t *data;
    size_t size;
    size_t at;
    uint64_t now_ms;
    bool tls;
    unsigned asks;                          /* Of the input, without QUIT. */
    unsigned asked;                         /* So far. */
    struct ask open[POP3_REQUESTS_MAX + 1]; /* With the one whose event is in hand. */
    unsigned open_count;
    bool quit_asked;
    bool quit_ok;
    size_t given;  /* Bytes of the server. */
    size_t taken;  /* Of messages. */
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
    if (!(fuzz->params.tls == SMTP_TLS_OFF && fuzz->params.auth_without_tls)) {
        CHECK(!ends_with(fuzz, "USER") && !ends_with(fuzz, "PASS") && !ends_with(fuzz, "AUTH") &&
              !ends_with(fuzz, PASSWORD) && !ends_with(fuzz, PLAIN_BASE64));
    }
    if (fuzz->params.tls == SMTP_TLS_STARTTLS) {
        CHECK(!ends_with(fuzz, "APOP") && !ends_with(fuzz, "STAT") && !ends_with(fuzz, "RETR") &&
              !ends_with(fuzz, "DELE") && !ends_with(fuzz, USER));
    }
}

static void send_some(struct fuzz *fuzz)
{
    size_t size = 0;
    const uint8_t *bytes = pop3_tx_buf(&fuzz->pop3, &size);

    CHECK(size > 0 && size <= POP3_TX_BYTES);
    size = fuzz->data[0] & 16 ? 1 : size;
    for (size_t i = 0; i < size; i++) {
        check_sent(fuzz, bytes[i]);
    }
    pop3_tx_ack(&fuzz->pop3, size, fuzz->now_ms);
}

static void check_uid(const char *uid)
{
    size_t size = strlen(uid);

    CHECK(size < POP3_UID_BYTES);
    for (size_t i = 0; i < size; i++) {
        CHECK(uid[i] >= '!' && uid[i] <= '~');
    }
}

static void check_done(struct fuzz *fuzz, const struct pop3_event *event)
{
    while (event->verb == POP3_QUIT && event->error != 0 && fuzz->open_count > 1) {
        fuzz->open_count--; /* Not answered, for good. */
        memmove(fuzz->open, fuzz->open + 1, fuzz->open_count * sizeof fuzz->open[0]);
    }
    CHECK(fuzz->open_count > 0);
    CHECK(event->verb == fuzz->open[0].verb && event->number == fuzz->open[0].number);
    CHECK(event->error <= 0);
    CHECK(event->error != 0 || event->code == POP3_CODE_NONE);
    CHECK(strlen(event->text) < POP3_TEXT_BYTES);
    if (event->verb == POP3_UIDL) {
        CHECK((event->error == 0) == (event->uid[0] != '\0'));
    }
    fuzz->quit_ok = event->verb == POP3_QUIT && event->error == 0;
    fuzz->open_count--;
    memmove(fuzz->open, fuzz->open + 1, fuzz->open_count * sizeof fuzz->open[0]);
}

static void take(struct fuzz *fuzz)
{
    const struct pop3_event *event = pop3_event(&fuzz->pop3);

    CHECK(event != NULL && pop3_deadline(&fuzz->pop3) == UINT64_MAX);
    check_uid(event->uid);
    if (event->kind == POP3_EVENT_DONE) {
        check_done(fuzz, event);
    } else if (event->kind == POP3_EVENT_ITEM) {
        CHECK(event->verb == POP3_UIDL_ALL && event->number > 0);
    } else {
        CHECK(event->verb == POP3_TOP || event->verb == POP3_RETR);
        CHECK(event->size > 0 && event->data >= fuzz->pop3.rx &&
              event->data + event->size <= fuzz->pop3.rx + POP3_RX_BYTES);
        fuzz->taken += event->size;
        CHECK(fuzz->taken < fuzz->given);
    }
    pop3_next(&fuzz->pop3, fuzz->now_ms);
}

/* Asks for the next thing, if it is time for it. */
static bool ask(struct fuzz *fuzz)
{
    static const uint32_t numbers[] = {1, 2, 3, 7, 10, 100, 65536, UINT32_MAX};
    uint8_t byte = fuzz->asked < fuzz->asks ? fuzz->data[2 + fuzz->asked] : POP3_QUIT;
    struct ask next = {(enum pop3_verb)((byte & 15) % POP3_VERB_COUNT), 0};

    if (fuzz->quit_asked || !(pop3_want(&fuzz->pop3) & POP3_WANT_REQUEST) ||
        (!(byte & 128) && fuzz->open_count > 0)) {
        return false;
    }
    if (next.verb == POP3_LIST || next.verb == POP3_UIDL || next.verb == POP3_TOP ||
        next.verb == POP3_RETR || next.verb == POP3_DELE) {
        next.number = numbers[byte >> 4 & 7];
    }
    CHECK(pop3_request(&fuzz->pop3, next.verb, next.number == 0, fuzz->now_ms) == E_INVALID);
    CHECK(pop3_request(&fuzz->pop3, next.verb, next.number, fuzz->now_ms) == 0);
    fuzz->asked++;
    fuzz->quit_asked = next.verb == POP3_QUIT;
    CHECK(fuzz->open_count <= POP3_REQUESTS_MAX);
    fuzz->open[fuzz->open_count++] = next;
    return true;
}

/* What the server says next: a line, or as much as there is room for. */
static void serve(struct fuzz *fuzz)
{
    size_t room = 0;
    uint8_t *out = pop3_rx_buf(&fuzz->pop3, &room);
    size_t size = 0;

    CHECK(room > 0 && room <= POP3_RX_BYTES);
    while (size < room && fuzz->at < fuzz->size) {
        out[size] = fuzz->data[fuzz->at++];
        if (out[size++] == '\n' && !(fuzz->data[0] & 32)) {
            break;
        }
    }
    fuzz->given += size;
    pop3_rx_ack(&fuzz->pop3, size, fuzz->now_ms);
}

static void run_out(struct fuzz *fuzz)
{
    if (fuzz->data[0] & 8) {
        CHECK(pop3_deadline(&fuzz->pop3) != UINT64_MAX);
        fuzz->now_ms = pop3_deadline(&fuzz->pop3);
        pop3_timeout(&fuzz->pop3, fuzz->now_ms - 1);
        CHECK(!(pop3_want(&fuzz->pop3) & POP3_CLOSED));
        pop3_timeout(&fuzz->pop3, fuzz->now_ms);
    } else {
        pop3_eof(&fuzz->pop3, fuzz->now_ms);
    }
}

static void tls_or_not(struct fuzz *fuzz)
{
    size_t room = 0;

    if (fuzz->at == fuzz->size) {
        run_out(fuzz);
    } else if (fuzz->data[fuzz->at++] & 1) {
        fuzz->tls = true;
        pop3_tls_started(&fuzz->pop3, fuzz->now_ms);
        CHECK(pop3_capabilities(&fuzz->pop3) == 0);
    } else {
        *pop3_rx_buf(&fuzz->pop3, &room) = '+';
        pop3_rx_ack(&fuzz->pop3, 1, fuzz->now_ms);
        CHECK(pop3_want(&fuzz->pop3) == POP3_CLOSED);
        CHECK(pop3_failure(&fuzz->pop3)->error == E_SECURITY);
    }
}

static void step(struct fuzz *fuzz)
{
    unsigned want = pop3_want(&fuzz->pop3);
    bool lazy = (fuzz->data[0] & 64) != 0;

    if ((want & POP3_WANT_EVENT) && !lazy) {
        take(fuzz);
    } else if (ask(fuzz)) {
        return;
    } else if (want & POP3_WANT_TX) {
        send_some(fuzz);
    } else if (want & POP3_WANT_EVENT) {
        take(fuzz);
    } else if (want & POP3_WANT_TLS) {
        tls_or_not(fuzz);
    } else if (fuzz->at < fuzz->size) {
        CHECK(pop3_deadline(&fuzz->pop3) > fuzz->now_ms);
        serve(fuzz);
    } else {
        run_out(fuzz);
    }
}

static void check_end(struct fuzz *fuzz)
{
    const struct pop3_failure *failure = pop3_failure(&fuzz->pop3);

    CHECK(pop3_deadline(&fuzz->pop3) == UINT64_MAX);
    CHECK(pop3_octets(&fuzz->pop3) >= fuzz->given);
    CHECK((failure == NULL) == fuzz->quit_ok);
    for (size_t i = 0; i < sizeof fuzz->pop3.tx; i++) {
        CHECK(fuzz->pop3.tx[i] == 0);
    }
    if (failure != NULL) {
        CHECK(failure->error < 0 && failure->text[0] != '\0' && pop3_advice(failure)[0] != '\0');
        for (unsigned i = 0; i < fuzz->open_count; i++) {
            CHECK(fuzz->open[i].verb != POP3_QUIT);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz fuzz;
    size_t steps = 0;

    if (size < 2 || size < 2u + (data[1] & 15)) {
        return 0;
    }
    memset(&fuzz, 0, sizeof fuzz);
    fuzz.data = data;
    fuzz.size = size;
    fuzz.asks = data[1] & 15;
    fuzz.at = 2 + fuzz.asks;
    fuzz.now_ms = 1;
    fuzz.params.tls = (data[0] & 3) == 0   ? SMTP_TLS_IMPLICIT
                      : (data[0] & 3) == 1 ? SMTP_TLS_OFF
                                           : SMTP_TLS_STARTTLS;
    fuzz.params.user = USER;
    fuzz.params.password = PASSWORD;
    fuzz.params.auth_without_tls = (data[0] & 4) != 0;
    fuzz.tls = fuzz.params.tls == SMTP_TLS_IMPLICIT;
    CHECK(pop3_init(&fuzz.pop3, &fuzz.params, fuzz.now_ms) == 0);
    while (pop3_want(&fuzz.pop3) != POP3_CLOSED) {
        CHECK(++steps < STEPS_MAX + 8 * size);
        step(&fuzz);
        fuzz.now_ms++;
    }
    check_end(&fuzz);
    return 0;
}
