/* The submission engine beyond dialogues (those are in tests/transcripts): time, buffers, the body
 * in pieces, misuse, advice. */
#include "net/smtp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1000000
#define GREETING "220 mail.example.com ESMTP\r\n"
#define EHLO_PLAIN "250 mail.example.com\r\n"
#define EHLO_FULL                                                                      \
    "250-mail.example.com\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n250-AUTH PLAIN\r\n" \
    "250 8BITMIME\r\n"

static const char *const rcpt[] = {"admin@example.com", "b@example.com"};
static const struct smtp_envelope envelope = {
    .from = "router1@example.com", .rcpt = rcpt, .rcpt_count = 1};

struct fixture {
    struct smtp smtp;
    struct smtp_params params;
    uint64_t now_ms;
    char sent[65536];
    size_t sent_size;
    size_t writes;
    size_t write_min; /* Smallest write but the last. */
    size_t write_last;
};

static void begin(struct fixture *f, enum smtp_tls tls, const char *user)
{
    memset(f, 0, sizeof *f);
    f->now_ms = NOW;
    f->write_min = SIZE_MAX;
    f->params.ehlo_name = "router1.example.com";
    f->params.tls = tls;
    f->params.user = user;
    f->params.password = "s3cret";
    assert_int_equal(smtp_init(&f->smtp, &f->params, f->now_ms), 0);
}

/* Takes all that the engine wants to send. */
static void drain(struct fixture *f)
{
    while (smtp_want(&f->smtp) & SMTP_WANT_TX) {
        size_t size = 0;
        const uint8_t *bytes = smtp_tx_buf(&f->smtp, &size);

        assert_in_range(size, 1, SMTP_TX_BYTES);
        assert_in_range(f->sent_size + size, 1, sizeof f->sent - 1);
        memcpy(f->sent + f->sent_size, bytes, size);
        f->sent_size += size;
        f->sent[f->sent_size] = '\0';
        if (f->writes > 0 && f->write_last < f->write_min) {
            f->write_min = f->write_last;
        }
        f->write_last = size;
        f->writes++;
        smtp_tx_ack(&f->smtp, size, f->now_ms);
    }
}

static void forget_sent(struct fixture *f)
{
    f->sent_size = 0;
    f->sent[0] = '\0';
    f->writes = 0;
    f->write_min = SIZE_MAX;
}

static void receive(struct fixture *f, const char *bytes)
{
    size_t left = strlen(bytes);

    while (left > 0) {
        size_t room = 0;
        uint8_t *out = smtp_rx_buf(&f->smtp, &room);
        size_t size = left < room ? left : room;

        assert_true(size > 0);
        memcpy(out, bytes, size);
        bytes += size;
        left -= size;
        smtp_rx_ack(&f->smtp, size, f->now_ms);
    }
}

static void turn(struct fixture *f, const char *reply)
{
    receive(f, reply);
    drain(f);
}

/* To the point where a message can start. */
static void ready(struct fixture *f, const char *ehlo)
{
    begin(f, SMTP_TLS_IMPLICIT, NULL);
    turn(f, GREETING);
    turn(f, ehlo);
    assert_true(smtp_want(&f->smtp) & SMTP_WANT_MESSAGE);
    forget_sent(f);
}

/* To the point where body bytes are taken. */
static void in_body(struct fixture *f)
{
    ready(f, EHLO_FULL);
    assert_int_equal(smtp_message(&f->smtp, &envelope, f->now_ms), 0);
    drain(f);
    receive(f, "250 a\r\n250 b\r\n354 c\r\n");
    assert_true(smtp_want(&f->smtp) & SMTP_WANT_BODY);
    forget_sent(f);
}

/* Gives the body in pieces of at most piece bytes. */
static void give_body(struct fixture *f, const char *body, size_t size, size_t piece)
{
    while (size > 0) {
        size_t room = 0;
        uint8_t *out = smtp_body_buf(&f->smtp, &room);

        if (room == 0) {
            assert_true(smtp_want(&f->smtp) & SMTP_WANT_TX);
            drain(f);
            continue;
        }
        room = room < piece ? room : piece;
        room = room < size ? room : size;
        memcpy(out, body, room);
        smtp_body_ack(&f->smtp, room, f->now_ms);
        body += room;
        size -= room;
    }
    smtp_body_end(&f->smtp, f->now_ms);
    drain(f);
}

/* --- Time --- */

static void expect_wait(struct fixture *f, uint32_t wait_ms)
{
    assert_true(smtp_deadline(&f->smtp) == f->now_ms + wait_ms);
    f->now_ms += 7;
}

static void walk_timeouts(struct fixture *f, uint32_t greeting_ms, uint32_t command_ms,
                          uint32_t body_ms, uint32_t accept_ms)
{
    size_t room = 0;

    expect_wait(f, greeting_ms);
    receive(f, GREETING);
    expect_wait(f, command_ms);
    drain(f);
    expect_wait(f, command_ms);
    turn(f, EHLO_FULL);
    assert_true(smtp_deadline(&f->smtp) == UINT64_MAX);
    assert_int_equal(smtp_message(&f->smtp, &envelope, f->now_ms), 0);
    drain(f);
    expect_wait(f, command_ms);
    receive(f, "250 a\r\n");
    expect_wait(f, command_ms);
    receive(f, "250 b\r\n354 c\r\n");
    expect_wait(f, body_ms);
    memset(smtp_body_buf(&f->smtp, &room), 'x', 10);
    smtp_body_ack(&f->smtp, 10, f->now_ms);
    smtp_body_end(&f->smtp, f->now_ms);
    expect_wait(f, accept_ms);
    drain(f);
    expect_wait(f, accept_ms);
    receive(f, "250 ok\r\n");
    assert_true(smtp_deadline(&f->smtp) == UINT64_MAX);
    smtp_quit(&f->smtp, f->now_ms);
    expect_wait(f, 5000);
    drain(f);
    receive(f, "221 bye\r\n");
    assert_int_equal(smtp_want(&f->smtp), SMTP_CLOSED);
    assert_true(smtp_deadline(&f->smtp) == UINT64_MAX);
    assert_null(smtp_failure(&f->smtp));
}

static void timeouts_default(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, SMTP_TLS_IMPLICIT, NULL);
    walk_timeouts(&f, 60000, 60000, 120000, 300000);
}

static void timeouts_configured(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, SMTP_TLS_IMPLICIT, NULL);
    f.params.greeting_ms_max = 1000;
    f.params.command_ms_max = 2000;
    f.params.body_ms_max = 3000;
    f.params.accept_ms_max = 600000;
    assert_int_equal(smtp_init(&f.smtp, &f.params, f.now_ms), 0);
    walk_timeouts(&f, 1000, 2000, 3000, 600000);
}

/* A server that drips a byte now and then does not hold the session for ever. */
static void dripping_server(void **state)
{
    struct fixture f;
    uint64_t deadline_ms;

    (void)state;
    begin(&f, SMTP_TLS_IMPLICIT, NULL);
    deadline_ms = smtp_deadline(&f.smtp);
    for (unsigned i = 0; i < 50; i++) {
        f.now_ms += 1000;
        receive(&f, i % 10 == 9 ? "\r\n" : i % 10 == 0 ? "220-" : "x");
        assert_true(smtp_deadline(&f.smtp) == deadline_ms);
    }
    smtp_timeout(&f.smtp, deadline_ms - 1);
    assert_null(smtp_failure(&f.smtp));
    smtp_timeout(&f.smtp, deadline_ms);
    assert_int_equal(smtp_failure(&f.smtp)->error, E_TRANSIENT);
    assert_int_equal(smtp_failure(&f.smtp)->cause, SMTP_CAUSE_TIMEOUT);
    assert_int_equal(smtp_want(&f.smtp), SMTP_CLOSED);
}

/* --- Buffers --- */

static void size_of_engine(void **state)
{
    (void)state;
    assert_in_range(sizeof(struct smtp), SMTP_TX_BYTES + SMTP_RX_BYTES, 2400);
}

static void group_is_one_write(void **state)
{
    struct fixture f;
    struct smtp_envelope two = envelope;

    (void)state;
    ready(&f, EHLO_FULL);
    two.rcpt_count = 2;
    two.size_bytes = 42;
    two.eight_bit = true;
    assert_int_equal(smtp_message(&f.smtp, &two, f.now_ms), 0);
    drain(&f);
    assert_int_equal(f.writes, 1);
    assert_string_equal(f.sent,
                        "MAIL FROM:<router1@example.com> SIZE=42 BODY=8BITMIME\r\n"
                        "RCPT TO:<admin@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n");
}

/* The answer to what has left is taken; an answer to what has not is none. */
static void replies_go_by_what_has_left(void **state)
{
    struct fixture f;

    (void)state;
    ready(&f, EHLO_FULL);
    assert_int_equal(smtp_message(&f.smtp, &envelope, f.now_ms), 0);
    smtp_tx_ack(&f.smtp, strlen("MAIL FROM:<router1@example.com>\r\n"), f.now_ms);
    receive(&f, "250 sender\r\n");
    assert_null(smtp_failure(&f.smtp));
    smtp_tx_ack(&f.smtp, strlen("RCPT TO:<admin@example.com>\r"), f.now_ms);
    receive(&f, "250 recipient\r\n");
    assert_non_null(smtp_failure(&f.smtp));
    assert_int_equal(smtp_failure(&f.smtp)->cause, SMTP_CAUSE_PROTOCOL);
    assert_int_equal(smtp_result(&f.smtp)->error, E_TRANSIENT);
}

static void credential_is_wiped(void **state)
{
    static const char encoded[] = "AGFsZXJ0cwBzM2NyZXQ=";
    struct fixture f;
    const uint8_t *bytes;
    size_t size = 0;

    (void)state;
    begin(&f, SMTP_TLS_IMPLICIT, "alerts");
    turn(&f, GREETING);
    receive(&f, EHLO_FULL);
    bytes = smtp_tx_buf(&f.smtp, &size);
    assert_memory_equal(bytes, "AUTH PLAIN AGFsZXJ0cwBzM2NyZXQ=\r\n", size);
    smtp_tx_ack(&f.smtp, 20, f.now_ms); /* What has gone is wiped at once, not only when all has. */
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(f.smtp.tx[i], 0);
    }
    smtp_tx_ack(&f.smtp, size - 20, f.now_ms);
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(f.smtp.tx[i], 0);
    }
    /* And what never went, when the session ends first. */
    begin(&f, SMTP_TLS_IMPLICIT, "alerts");
    turn(&f, GREETING);
    receive(&f, EHLO_FULL);
    assert_non_null(strstr((const char *)f.smtp.tx, encoded));
    smtp_eof(&f.smtp, f.now_ms);
    for (size_t i = 0; i < sizeof f.smtp.tx; i++) {
        assert_int_equal(f.smtp.tx[i], 0);
    }
}

static void capabilities(void **state)
{
    struct fixture f;

    (void)state;
    ready(&f, "250-mail\r\n250-size\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n"
              "250-AUTH LOGIN\r\n250-AUTH=LOGIN PLAIN\r\n250-8bitmime\r\n250 STARTTLS\r\n");
    assert_int_equal(smtp_capabilities(&f.smtp),
                     SMTP_CAP_SIZE | SMTP_CAP_PIPELINING | SMTP_CAP_ENHANCED | SMTP_CAP_AUTH_LOGIN |
                         SMTP_CAP_AUTH_PLAIN | SMTP_CAP_8BITMIME | SMTP_CAP_STARTTLS);
    ready(&f, "250-SIZE\r\n250-PIPELININGS\r\n250-AUTHX PLAIN\r\n250 8BITMIMES\r\n");
    assert_int_equal(smtp_capabilities(&f.smtp), 0);
}

/* --- The body --- */

static void body_writes_are_large(void **state)
{
    static char body[20000];
    struct fixture f;

    (void)state;
    for (size_t i = 0; i < sizeof body; i++) {
        body[i] = i % 80 == 79 ? '\n' : 'x';
    }
    for (size_t piece = 1; piece < 2000; piece = piece * 3 + 1) {
        in_body(&f);
        give_body(&f, body, sizeof body, piece);
        assert_in_range(f.write_min, SMTP_TX_BYTES - 160, SMTP_TX_BYTES);
    }
}

/* What the body must become, written in another way than the engine does it. */
static size_t stuffed(const char *in, size_t size, char *out)
{
    size_t length = 0;

    for (size_t at = 0; at < size;) {
        size_t end = at;

        while (end < size && in[end] != '\r' && in[end] != '\n') {
            end++;
        }
        if (in[at] == '.' && end > at) {
            out[length++] = '.';
        }
        memcpy(out + length, in + at, end - at);
        length += end - at;
        memcpy(out + length, "\r\n", 2);
        length += 2;
        at = end + 1;
        if (end + 1 < size && in[end] == '\r' && in[end + 1] == '\n') {
            at++;
        }
    }
    memcpy(out + length, ".\r\n", 4);
    return length + 3;
}

static void body_in_random_pieces(void **state)
{
    static const char letters[] = "..\r\n\r\nab";
    static char body[3000];
    static char want[3 * sizeof body];
    unsigned seed = 1;
    struct fixture f;

    (void)state;
    for (unsigned round = 0; round < 300; round++) {
        size_t size = (size_t)rand_r(&seed) % sizeof body;
        size_t piece = 1 + (size_t)rand_r(&seed) % (round % 2 ? 600 : 7);

        for (size_t i = 0; i < size; i++) {
            body[i] = letters[(size_t)rand_r(&seed) % (sizeof letters - 1)];
        }
        in_body(&f);
        give_body(&f, body, size, piece);
        if (f.sent_size != stuffed(body, size, want) || memcmp(f.sent, want, f.sent_size) != 0) {
            fail_msg("round %u of seed 1: %zu bytes in pieces of %zu", round, size, piece);
        }
        receive(&f, "250 ok\r\n");
        assert_int_equal(smtp_result(&f.smtp)->error, 0);
    }
}

static void body_keeps_8bit_and_nul(void **state)
{
    char body[512];
    struct fixture f;

    (void)state;
    for (size_t i = 0; i < sizeof body; i++) {
        body[i] = (char)(i % 256 == '\n' || i % 256 == '\r' ? 'x' : i);
    }
    in_body(&f);
    give_body(&f, body, sizeof body, 100);
    assert_int_equal(f.sent_size, sizeof body + 5);
    assert_memory_equal(f.sent, body, sizeof body);
}

/* --- Misuse --- */

static void out_of_state_calls(void **state)
{
    struct fixture f;
    struct smtp_envelope none = envelope;
    size_t room = 1;

    (void)state;
    begin(&f, SMTP_TLS_IMPLICIT, NULL);
    assert_int_equal(smtp_message(&f.smtp, &envelope, f.now_ms), E_INVALID);
    smtp_tls_started(&f.smtp, f.now_ms);
    smtp_body_end(&f.smtp, f.now_ms);
    smtp_body_ack(&f.smtp, 10, f.now_ms);
    (void)smtp_body_buf(&f.smtp, &room);
    assert_int_equal(room, 0);
    smtp_tx_ack(&f.smtp, 10, f.now_ms);
    smtp_rx_ack(&f.smtp, SMTP_RX_BYTES + 1, f.now_ms);
    assert_int_equal(smtp_want(&f.smtp), SMTP_WANT_RX);
    turn(&f, GREETING);
    turn(&f, EHLO_PLAIN);
    none.rcpt_count = 0;
    assert_int_equal(smtp_message(&f.smtp, &none, f.now_ms), E_INVALID);
    none.rcpt_count = SMTP_RCPT_MAX + 1;
    assert_int_equal(smtp_message(&f.smtp, &none, f.now_ms), E_INVALID);
    assert_true(smtp_want(&f.smtp) & SMTP_WANT_MESSAGE);
    smtp_quit(&f.smtp, f.now_ms);
    drain(&f);
    smtp_eof(&f.smtp, f.now_ms);
    smtp_eof(&f.smtp, f.now_ms);
    smtp_quit(&f.smtp, f.now_ms);
    receive(&f, "421 x\r\n");
    assert_int_equal(smtp_want(&f.smtp), SMTP_CLOSED);
    assert_null(smtp_failure(&f.smtp));
}

static void bad_parameters(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, SMTP_TLS_IMPLICIT, NULL);
    f.params.ehlo_name = NULL;
    assert_int_equal(smtp_init(&f.smtp, &f.params, f.now_ms), E_CONFIG);
    assert_int_equal(smtp_want(&f.smtp), SMTP_CLOSED);
    f.params.ehlo_name = "a b";
    assert_int_equal(smtp_init(&f.smtp, &f.params, f.now_ms), E_CONFIG);
    f.params.ehlo_name = "a";
    f.params.user = "alerts";
    f.params.password = NULL;
    assert_int_equal(smtp_init(&f.smtp, &f.params, f.now_ms), E_CONFIG);
    assert_int_equal(smtp_failure(&f.smtp)->cause, SMTP_CAUSE_ADDRESS);
    f.params.user = NULL;
    assert_int_equal(smtp_init(&f.smtp, &f.params, f.now_ms), 0);
}

/* Given up in the body: no dot, no QUIT, so that the server cannot take half a message for a whole
 * one. */
static void quit_in_body(void **state)
{
    struct fixture f;
    size_t size = 0;

    (void)state;
    in_body(&f);
    memset(smtp_body_buf(&f.smtp, &size), 'x', 300);
    smtp_body_ack(&f.smtp, 300, f.now_ms);
    smtp_quit(&f.smtp, f.now_ms);
    assert_int_equal(smtp_want(&f.smtp), SMTP_CLOSED);
    (void)smtp_tx_buf(&f.smtp, &size);
    assert_int_equal(size, 0);
    assert_int_equal(smtp_result(&f.smtp)->error, E_TRANSIENT);
    assert_false(smtp_result(&f.smtp)->unanswered);
    assert_int_equal(smtp_failure(&f.smtp)->cause, SMTP_CAUSE_ABORTED);
}

static void unanswered_only_behind_the_dot(void **state)
{
    struct fixture f;
    size_t size = 0;

    (void)state;
    in_body(&f);
    smtp_body_end(&f.smtp, f.now_ms);
    (void)smtp_tx_buf(&f.smtp, &size);
    smtp_tx_ack(&f.smtp, size - 1, f.now_ms); /* The last byte of the dot's line is still here. */
    smtp_eof(&f.smtp, f.now_ms);
    assert_int_equal(smtp_result(&f.smtp)->error, E_TRANSIENT);
    assert_false(smtp_result(&f.smtp)->unanswered);
    in_body(&f);
    smtp_body_end(&f.smtp, f.now_ms);
    drain(&f);
    smtp_eof(&f.smtp, f.now_ms);
    assert_true(smtp_result(&f.smtp)->unanswered);
}

/* --- Words --- */

static void advice(void **state)
{
    static const struct {
        struct smtp_failure failure;
        const char *word;
    } rows[] = {
        {{.cause = SMTP_CAUSE_TIMEOUT, .stage = SMTP_STAGE_GREETING}, "tls = implicit"},
        {{.cause = SMTP_CAUSE_EOF, .stage = SMTP_STAGE_GREETING}, "tls = implicit"},
        {{.cause = SMTP_CAUSE_TIMEOUT, .stage = SMTP_STAGE_MAIL}, "by itself"},
        {{.cause = SMTP_CAUSE_EOF, .stage = SMTP_STAGE_BODY}, "by itself"},
        {{.cause = SMTP_CAUSE_PROTOCOL}, "mailhub"},
        {{.cause = SMTP_CAUSE_NO_STARTTLS}, "port"},
        {{.cause = SMTP_CAUSE_INJECTED}, "interferes"},
        {{.cause = SMTP_CAUSE_CLEAR_AUTH}, "auth_without_tls"},
        {{.cause = SMTP_CAUSE_NO_AUTH}, "AuthUser"},
        {{.cause = SMTP_CAUSE_MECHANISM}, "PLAIN or LOGIN"},
        {{.cause = SMTP_CAUSE_TOO_LARGE}, "too large"},
        {{.cause = SMTP_CAUSE_EIGHT_BIT}, "ASCII"},
        {{.cause = SMTP_CAUSE_ADDRESS}, "root"},
        {{.cause = SMTP_CAUSE_ABORTED}, "by itself"},
        {{.stage = SMTP_STAGE_GREETING, .code = 554}, "mailhub"},
        {{.stage = SMTP_STAGE_GREETING, .code = 421}, "busy"},
        {{.stage = SMTP_STAGE_EHLO, .code = 550}, "hostname"},
        {{.stage = SMTP_STAGE_AUTH, .code = 535, .enhanced = "5.7.8"}, "app password"},
        {{.stage = SMTP_STAGE_AUTH, .code = 534, .enhanced = "5.7.9"}, "app password"},
        {{.stage = SMTP_STAGE_AUTH, .code = 538, .enhanced = "5.7.11"}, "tls = off"},
        {{.stage = SMTP_STAGE_AUTH, .code = 454, .enhanced = "4.7.0"}, "busy"},
        {{.stage = SMTP_STAGE_AUTH, .code = 432}, "Change the password"},
        {{.stage = SMTP_STAGE_MAIL, .code = 530, .enhanced = "5.7.0"}, "AuthUser"},
        {{.stage = SMTP_STAGE_MAIL, .code = 550, .enhanced = "5.7.1"}, "set from"},
        {{.stage = SMTP_STAGE_MAIL, .code = 552, .enhanced = "5.3.4"}, "too large"},
        {{.stage = SMTP_STAGE_MAIL, .code = 451}, "by itself"},
        {{.stage = SMTP_STAGE_RCPT, .code = 554, .enhanced = "5.7.1"}, "relaying"},
        {{.stage = SMTP_STAGE_RCPT, .code = 550, .enhanced = "5.7.1"}, "relaying"},
        {{.stage = SMTP_STAGE_RCPT, .code = 550, .enhanced = "5.1.1"}, "check root"},
        {{.stage = SMTP_STAGE_RCPT, .code = 550}, "check root"},
        {{.stage = SMTP_STAGE_RCPT, .code = 450, .enhanced = "4.2.0"}, "greylisting"},
        {{.stage = SMTP_STAGE_RCPT, .code = 452, .enhanced = "4.2.2"}, "mailbox is full"},
        {{.stage = SMTP_STAGE_RCPT, .code = 452, .enhanced = "4.5.3"}, "Too many recipients"},
        {{.stage = SMTP_STAGE_RCPT, .code = 552, .enhanced = "5.2.2"}, "mailbox is full"},
        {{.stage = SMTP_STAGE_BODY, .code = 552, .enhanced = "5.3.4"}, "too large"},
        {{.stage = SMTP_STAGE_BODY, .code = 552, .enhanced = "5.2.2"}, "mailbox is full"},
        {{.stage = SMTP_STAGE_BODY, .code = 554, .enhanced = "5.7.1"}, "filter"},
        {{.stage = SMTP_STAGE_BODY, .code = 451}, "by itself"},
        {{.stage = SMTP_STAGE_DATA, .code = 554}, "own words"},
        {{.stage = SMTP_STAGE_RSET, .code = 500}, "own words"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *sentence = smtp_advice(&rows[i].failure);

        if (strstr(sentence, rows[i].word) == NULL) {
            fail_msg("row %zu: \"%s\" says nothing of \"%s\"", i, sentence, rows[i].word);
        }
        assert_int_equal(sentence[strlen(sentence) - 1], '.');
        assert_null(strchr(sentence, '\n'));
    }
}

static void stage_names(void **state)
{
    (void)state;
    assert_string_equal(smtp_stage_name(SMTP_STAGE_GREETING), "greeting");
    assert_string_equal(smtp_stage_name(SMTP_STAGE_BODY), "end of DATA");
    assert_string_equal(smtp_stage_name(SMTP_STAGE_READY), "ready");
    assert_string_equal(smtp_stage_name((enum smtp_stage)99), "unknown stage");
}

static void stages_on_the_way(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, SMTP_TLS_STARTTLS, "alerts");
    assert_int_equal(smtp_stage(&f.smtp), SMTP_STAGE_GREETING);
    turn(&f, GREETING);
    assert_int_equal(smtp_stage(&f.smtp), SMTP_STAGE_EHLO);
    turn(&f, "250-mail\r\n250 STARTTLS\r\n");
    assert_int_equal(smtp_stage(&f.smtp), SMTP_STAGE_STARTTLS);
    turn(&f, "220 go\r\n");
    assert_int_equal(smtp_want(&f.smtp), SMTP_WANT_TLS);
    smtp_tls_started(&f.smtp, f.now_ms);
    drain(&f);
    assert_int_equal(smtp_stage(&f.smtp), SMTP_STAGE_EHLO);
    turn(&f, EHLO_FULL);
    assert_int_equal(smtp_stage(&f.smtp), SMTP_STAGE_AUTH);
    turn(&f, "235 ok\r\n");
    assert_int_equal(smtp_stage(&f.smtp), SMTP_STAGE_READY);
    assert_int_equal(smtp_message(&f.smtp, &envelope, f.now_ms), 0);
    drain(&f);
    assert_int_equal(smtp_stage(&f.smtp), SMTP_STAGE_MAIL);
    receive(&f, "250 a\r\n");
    assert_int_equal(smtp_stage(&f.smtp), SMTP_STAGE_RCPT);
    receive(&f, "250 b\r\n");
    assert_int_equal(smtp_stage(&f.smtp), SMTP_STAGE_DATA);
    receive(&f, "354 c\r\n");
    assert_int_equal(smtp_stage(&f.smtp), SMTP_STAGE_BODY);
    smtp_timeout(&f.smtp, smtp_deadline(&f.smtp));
    assert_int_equal(smtp_stage(&f.smtp), SMTP_STAGE_BODY); /* Where it failed. */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timeouts_default),
        cmocka_unit_test(timeouts_configured),
        cmocka_unit_test(dripping_server),
        cmocka_unit_test(size_of_engine),
        cmocka_unit_test(group_is_one_write),
        cmocka_unit_test(replies_go_by_what_has_left),
        cmocka_unit_test(credential_is_wiped),
        cmocka_unit_test(capabilities),
        cmocka_unit_test(body_writes_are_large),
        cmocka_unit_test(body_in_random_pieces),
        cmocka_unit_test(body_keeps_8bit_and_nul),
        cmocka_unit_test(out_of_state_calls),
        cmocka_unit_test(bad_parameters),
        cmocka_unit_test(quit_in_body),
        cmocka_unit_test(unanswered_only_behind_the_dot),
        cmocka_unit_test(advice),
        cmocka_unit_test(stage_names),
        cmocka_unit_test(stages_on_the_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
