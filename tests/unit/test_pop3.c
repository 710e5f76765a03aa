/* The POP3 engine by hand: what the dialogues in tests/transcripts/pop3 cannot tell. */
#include "net/pop3.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALL "SASL PLAIN\r\nPIPELINING\r\nUIDL\r\nTOP\r\n"
#define PLAIN "AUTH PLAIN AGRldmljZQBzM2NyZXQ=\r\n"

static const struct pop3_params implicit = {
    .user = "device",
    .password = "s3cret",
    .tls = SMTP_TLS_IMPLICIT,
    .greeting_ms_max = 5000,
    .command_ms_max = 10000,
};

/* Gives the engine bytes as fast as it takes them. */
static void give(struct pop3 *pop3, const void *bytes, size_t size, uint64_t now_ms)
{
    const uint8_t *from = bytes;

    while (size > 0) {
        size_t room = 0;
        uint8_t *out = pop3_rx_buf(pop3, &room);

        assert_true(room > 0);
        room = room < size ? room : size;
        memcpy(out, from, room);
        pop3_rx_ack(pop3, room, now_ms);
        from += room;
        size -= room;
    }
}

static void say(struct pop3 *pop3, const char *text, uint64_t now_ms)
{
    give(pop3, text, strlen(text), now_ms);
}

/* Takes what the engine sends, which must be exactly that. */
static void hear(struct pop3 *pop3, const char *text, uint64_t now_ms)
{
    size_t size = 0;
    const uint8_t *bytes = pop3_tx_buf(pop3, &size);

    assert_int_equal(size, strlen(text));
    assert_memory_equal(bytes, text, size);
    if (size > 0) {
        assert_true(pop3_want(pop3) & POP3_WANT_TX);
        pop3_tx_ack(pop3, size, now_ms);
    }
}

static void ask(struct pop3 *pop3, enum pop3_verb verb, uint32_t number)
{
    assert_true(pop3_want(pop3) & POP3_WANT_REQUEST);
    assert_int_equal(pop3_request(pop3, verb, number, 1000), 0);
}

/* A good DONE of that verb is in hand: takes it. */
static void done(struct pop3 *pop3, enum pop3_verb verb, int error)
{
    const struct pop3_event *event = pop3_event(pop3);

    assert_non_null(event);
    assert_true(pop3_want(pop3) & POP3_WANT_EVENT);
    assert_int_equal(event->kind, POP3_EVENT_DONE);
    assert_int_equal(event->verb, verb);
    assert_int_equal(event->error, error);
    pop3_next(pop3, 1000);
}

/* Logged in at 1000 ms, with these lines of capabilities. */
static void login(struct pop3 *pop3, const char *capabilities)
{
    assert_int_equal(pop3_init(pop3, &implicit, 1000), 0);
    say(pop3, "+OK ready\r\n", 1000);
    hear(pop3, "CAPA\r\n", 1000);
    say(pop3, "+OK\r\n", 1000);
    say(pop3, capabilities, 1000);
    say(pop3, ".\r\n", 1000);
    hear(pop3, PLAIN, 1000);
    say(pop3, "+OK\r\n", 1000);
    assert_int_equal(pop3_stage(pop3), POP3_STAGE_READY);
}

static void names(void **state)
{
    static const char *const bad[][2] = {{NULL, "x"},   {"", "x"},     {"x", NULL},   {"x", ""},
                                         {"a\nb", "x"}, {"x", "a\rb"}, {"a\177", "x"}};
    struct pop3_params params = implicit;
    char longest[257];
    struct pop3 pop3;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        params.user = bad[i][0];
        params.password = bad[i][1];
        assert_int_equal(pop3_init(&pop3, &params, 0), E_CONFIG);
        assert_int_equal(pop3_want(&pop3), POP3_CLOSED);
        assert_int_equal(pop3_failure(&pop3)->cause, POP3_CAUSE_NAME);
        assert_int_equal(pop3_deadline(&pop3), UINT64_MAX);
    }
    memset(longest, 'x', sizeof longest);
    longest[256] = '\0';
    params.password = longest;
    params.user = "x";
    assert_int_equal(pop3_init(&pop3, &params, 0), E_CONFIG);
    longest[255] = '\0';
    assert_int_equal(pop3_init(&pop3, &params, 0), 0);
}

static void wrong_time(void **state)
{
    struct pop3 pop3;

    (void)state;
    assert_int_equal(pop3_init(&pop3, &implicit, 0), 0);
    assert_int_equal(pop3_request(&pop3, POP3_STAT, 0, 0), E_INVALID);
    pop3_tls_started(&pop3, 0);
    pop3_next(&pop3, 0);
    assert_null(pop3_event(&pop3));
    assert_int_equal(pop3_want(&pop3), POP3_WANT_RX);
    login(&pop3, ALL);
    assert_int_equal(pop3_request(&pop3, POP3_STAT, 1, 0), E_INVALID);
    assert_int_equal(pop3_request(&pop3, POP3_UIDL_ALL, 1, 0), E_INVALID);
    assert_int_equal(pop3_request(&pop3, POP3_LIST, 0, 0), E_INVALID);
    assert_int_equal(pop3_request(&pop3, POP3_DELE, 0, 0), E_INVALID);
    assert_int_equal(pop3_request(&pop3, POP3_VERB_COUNT, 0, 0), E_INVALID);
    hear(&pop3, "", 1000);
    ask(&pop3, POP3_QUIT, 0);
    assert_false(pop3_want(&pop3) & POP3_WANT_REQUEST);
    assert_int_equal(pop3_request(&pop3, POP3_NOOP, 0, 0), E_INVALID);
    assert_int_equal(pop3_stage(&pop3), POP3_STAGE_QUIT);
    hear(&pop3, "QUIT\r\n", 1000);
    say(&pop3, "+OK\r\n", 1000);
    assert_int_equal(pop3_want(&pop3), POP3_WANT_EVENT);
    done(&pop3, POP3_QUIT, 0);
    assert_int_equal(pop3_want(&pop3), POP3_CLOSED);
    assert_int_equal(pop3_request(&pop3, POP3_NOOP, 0, 0), E_INVALID);
    pop3_eof(&pop3, 0);
    assert_null(pop3_failure(&pop3));
}

/* All at once, in one buffer; one more has to wait for an answer. */
static void pipelining(void **state)
{
    struct pop3 pop3;
    char commands[POP3_TX_BYTES] = "";

    (void)state;
    login(&pop3, ALL);
    for (uint32_t i = 1; i <= POP3_REQUESTS_MAX; i++) {
        ask(&pop3, POP3_DELE, UINT32_MAX);
        strcat(commands, "DELE 4294967295\r\n");
    }
    assert_false(pop3_want(&pop3) & POP3_WANT_REQUEST);
    assert_int_equal(pop3_request(&pop3, POP3_NOOP, 0, 0), E_INVALID);
    hear(&pop3, commands, 1000);
    say(&pop3, "+OK\r\n", 1000);
    ask(&pop3, POP3_NOOP, 0); /* While the event is in hand. */
    done(&pop3, POP3_DELE, 0);
    hear(&pop3, "NOOP\r\n", 1000);
    for (uint32_t i = 2; i <= POP3_REQUESTS_MAX; i++) {
        say(&pop3, "-ERR\r\n", 1000);
        done(&pop3, POP3_DELE, E_MISSING);
    }
    say(&pop3, "+OK\r\n", 1000);
    done(&pop3, POP3_NOOP, 0);
}

/* A turn is not begun while the one before is half gone: what was asked later follows it. */
static void half_sent(void **state)
{
    struct pop3 pop3;

    (void)state;
    login(&pop3, ALL);
    ask(&pop3, POP3_UIDL, 7);
    pop3_tx_ack(&pop3, 3, 1000);
    ask(&pop3, POP3_TOP, 7);
    hear(&pop3, "L 7\r\nTOP 7 0\r\n", 1000);
    say(&pop3, "+OK 7 a\r\n", 1000);
    assert_string_equal(pop3_event(&pop3)->uid, "a");
    done(&pop3, POP3_UIDL, 0);
}

/* What came before a command had left does not answer it, even if it is looked at later: the event
 * before it was in hand when the command went. */
static void reply_before_command(void **state)
{
    struct pop3 pop3;

    (void)state;
    login(&pop3, ALL);
    ask(&pop3, POP3_NOOP, 0);
    hear(&pop3, "NOOP\r\n", 1000);
    say(&pop3, "+OK\r\n+OK it is deleted\r\n", 1000);
    ask(&pop3, POP3_DELE, 1);
    ask(&pop3, POP3_QUIT, 0);
    hear(&pop3, "DELE 1\r\nQUIT\r\n", 1000);
    done(&pop3, POP3_NOOP, 0);
    assert_int_equal(pop3_failure(&pop3)->cause, POP3_CAUSE_PROTOCOL);
    done(&pop3, POP3_QUIT, E_TRANSIENT);
    assert_int_equal(pop3_want(&pop3), POP3_CLOSED);
}

/* The same with replies that were due: they count. */
static void reply_behind_event(void **state)
{
    struct pop3 pop3;

    (void)state;
    login(&pop3, ALL);
    ask(&pop3, POP3_NOOP, 0);
    ask(&pop3, POP3_RSET, 0);
    hear(&pop3, "NOOP\r\nRSET\r\n", 1000);
    say(&pop3, "+OK\r\n+O", 1000);
    ask(&pop3, POP3_DELE, 1);
    hear(&pop3, "DELE 1\r\n", 1000);
    done(&pop3, POP3_NOOP, 0);
    say(&pop3, "K\r\n-ERR\r\n", 1000);
    done(&pop3, POP3_RSET, 0);
    done(&pop3, POP3_DELE, E_MISSING);
    assert_null(pop3_failure(&pop3));
}

/* Half a reply to nothing is waited for, but not for ever. */
static void half_unasked(void **state)
{
    struct pop3 pop3;

    (void)state;
    login(&pop3, ALL);
    assert_int_equal(pop3_deadline(&pop3), UINT64_MAX);
    say(&pop3, "+", 2000);
    assert_int_equal(pop3_deadline(&pop3), 12000);
    ask(&pop3, POP3_NOOP, 0);
    hear(&pop3, "NOOP\r\n", 2000);
    say(&pop3, "OK\r\n", 2000);
    assert_int_equal(pop3_failure(&pop3)->cause, POP3_CAUSE_PROTOCOL);
}

static void deadlines(void **state)
{
    struct pop3_params params = implicit;
    struct pop3 pop3;

    (void)state;
    assert_int_equal(pop3_init(&pop3, &params, 1000), 0);
    assert_int_equal(pop3_deadline(&pop3), 6000);
    say(&pop3, "+OK ready\r\n", 2000);
    assert_int_equal(pop3_deadline(&pop3), 12000);
    hear(&pop3, "CAPA\r\n", 3000);
    assert_int_equal(pop3_deadline(&pop3), 13000);
    login(&pop3, ALL);
    assert_int_equal(pop3_deadline(&pop3), UINT64_MAX);
    ask(&pop3, POP3_NOOP, 0);
    assert_int_equal(pop3_deadline(&pop3), 11000);
    ask(&pop3, POP3_NOOP, 0);
    hear(&pop3, "NOOP\r\nNOOP\r\n", 1000);
    say(&pop3, "+OK\r\n", 5000);
    assert_int_equal(pop3_deadline(&pop3), UINT64_MAX); /* The caller's own time. */
    pop3_timeout(&pop3, 1000000);
    pop3_next(&pop3, 25000);
    assert_int_equal(pop3_deadline(&pop3), 35000);
    say(&pop3, "+OK\r\n", 26000);
    pop3_next(&pop3, 27000);
    assert_int_equal(pop3_deadline(&pop3), UINT64_MAX);
    ask(&pop3, POP3_QUIT, 0);
    hear(&pop3, "QUIT\r\n", 1000);
    pop3_timeout(&pop3, 10999);
    assert_null(pop3_failure(&pop3));
    pop3_timeout(&pop3, 11000);
    assert_int_equal(pop3_failure(&pop3)->cause, POP3_CAUSE_TIMEOUT);
    assert_int_equal(pop3_failure(&pop3)->stage, POP3_STAGE_QUIT);
    done(&pop3, POP3_QUIT, E_TRANSIENT);
    params.greeting_ms_max = 0;
    params.command_ms_max = 0;
    assert_int_equal(pop3_init(&pop3, &params, 1000), 0);
    assert_int_equal(pop3_deadline(&pop3), 61000);
    say(&pop3, "+OK ready\r\n", 2000);
    assert_int_equal(pop3_deadline(&pop3), 62000);
}

/* A message that comes drop by drop ends at the first deadline, one that flows at none. */
static void dripping(void **state)
{
    static uint8_t piece[300];
    struct pop3 pop3;
    uint64_t now_ms = 1000;
    size_t size = 0;

    (void)state;
    memset(piece, 'x', sizeof piece);
    login(&pop3, ALL);
    ask(&pop3, POP3_RETR, 1);
    hear(&pop3, "RETR 1\r\n", now_ms);
    say(&pop3, "+OK\r\n", now_ms);
    for (unsigned i = 0; i < 1000; i++) {
        now_ms += 9000;
        assert_true(pop3_deadline(&pop3) > now_ms);
        give(&pop3, piece, sizeof piece, now_ms);
        size += pop3_event(&pop3)->size;
        pop3_next(&pop3, now_ms);
    }
    assert_int_equal(size, 300000);
    for (size = 0; pop3_deadline(&pop3) > now_ms; size++) {
        now_ms += 100;
        give(&pop3, piece, 1, now_ms);
        assert_int_equal(pop3_event(&pop3)->size, 1);
        pop3_next(&pop3, now_ms);
    }
    assert_in_range(size, 99, 101);
    pop3_timeout(&pop3, now_ms);
    assert_int_equal(pop3_failure(&pop3)->cause, POP3_CAUSE_TIMEOUT);
}

/* The end of the stream waits until what came before it has been taken. */
static void end_behind_events(void **state)
{
    struct pop3 pop3;

    (void)state;
    login(&pop3, ALL);
    ask(&pop3, POP3_DELE, 1);
    ask(&pop3, POP3_QUIT, 0);
    hear(&pop3, "DELE 1\r\nQUIT\r\n", 1000);
    say(&pop3, "+OK\r\n+OK\r\n", 1000);
    pop3_eof(&pop3, 1000);
    pop3_eof(&pop3, 1000);
    assert_int_equal(pop3_want(&pop3), POP3_WANT_EVENT);
    done(&pop3, POP3_DELE, 0);
    done(&pop3, POP3_QUIT, 0);
    assert_int_equal(pop3_want(&pop3), POP3_CLOSED);
    assert_null(pop3_failure(&pop3));
    login(&pop3, ALL);
    ask(&pop3, POP3_DELE, 1);
    ask(&pop3, POP3_QUIT, 0);
    hear(&pop3, "DELE 1\r\nQUIT\r\n", 1000);
    say(&pop3, "+OK\r\n+OK", 1000);
    pop3_eof(&pop3, 1000);
    done(&pop3, POP3_DELE, 0);
    done(&pop3, POP3_QUIT, E_TRANSIENT);
    assert_int_equal(pop3_failure(&pop3)->cause, POP3_CAUSE_EOF);
}

/* A session that has ended while an event waits says nothing more. */
static void nothing_behind_end(void **state)
{
    struct pop3 pop3;

    (void)state;
    login(&pop3, ALL);
    ask(&pop3, POP3_NOOP, 0);
    hear(&pop3, "NOOP\r\n", 1000);
    say(&pop3, "+OK\r\n", 1000);
    pop3_eof(&pop3, 1000);
    assert_int_equal(pop3_want(&pop3), POP3_WANT_EVENT);
    assert_int_equal(pop3_request(&pop3, POP3_NOOP, 0, 1000), E_INVALID);
    done(&pop3, POP3_NOOP, 0);
    assert_int_equal(pop3_failure(&pop3)->error, E_TRANSIENT);
}

static void holds_no_secret(const struct pop3 *pop3, size_t sent)
{
    for (size_t i = 0; i < sent; i++) {
        assert_int_equal(pop3->tx[i], 0);
    }
}

/* A credential is wiped as it goes, and when the session ends before it has gone. */
static void wiping(void **state)
{
    struct pop3 pop3;

    (void)state;
    assert_int_equal(pop3_init(&pop3, &implicit, 1000), 0);
    say(&pop3, "+OK\r\n", 1000);
    hear(&pop3, "CAPA\r\n", 1000);
    say(&pop3, "+OK\r\nSASL PLAIN\r\n.\r\n", 1000);
    pop3_tx_ack(&pop3, 20, 1000);
    holds_no_secret(&pop3, 20);
    assert_int_equal(pop3.tx[20], PLAIN[20]);
    pop3_eof(&pop3, 1000);
    holds_no_secret(&pop3, sizeof pop3.tx);
}

static void counting(void **state)
{
    struct pop3 pop3;
    size_t octets = strlen("+OK ready\r\n"
                           "CAPA\r\n"
                           "+OK\r\n" ALL ".\r\n" PLAIN "+OK\r\n");

    (void)state;
    login(&pop3, ALL);
    assert_int_equal(pop3_octets(&pop3), octets);
    assert_int_equal(pop3_turns(&pop3), 2);
    ask(&pop3, POP3_STAT, 0);
    ask(&pop3, POP3_NOOP, 0);
    pop3_tx_ack(&pop3, 1, 1000); /* In two parts: one turn all the same. */
    hear(&pop3, "TAT\r\nNOOP\r\n", 1000);
    assert_int_equal(pop3_octets(&pop3), octets + 12);
    assert_int_equal(pop3_turns(&pop3), 3);
    say(&pop3, "+OK 0 0\r\n", 1000);
    assert_int_equal(pop3_octets(&pop3), octets + 21);
    assert_int_equal(pop3_turns(&pop3), 3);
}

/* 100,000 messages pass through; each item is seen once, in order. */
static void large_listing(void **state)
{
    struct pop3 pop3;
    char line[64];
    uint32_t count = 0;

    (void)state;
    login(&pop3, ALL);
    ask(&pop3, POP3_UIDL_ALL, 0);
    hear(&pop3, "UIDL\r\n", 1000);
    say(&pop3, "+OK\r\n", 1000);
    for (uint32_t i = 1; i <= 100000; i++) {
        char uid[32];

        (void)snprintf(uid, sizeof uid, "%08x%08x", i * 2654435761u, i);
        (void)snprintf(line, sizeof line, "%u %s\r\n", i, uid);
        say(&pop3, line, 1000);
        assert_int_equal(pop3_event(&pop3)->kind, POP3_EVENT_ITEM);
        assert_int_equal(pop3_event(&pop3)->number, i);
        assert_string_equal(pop3_event(&pop3)->uid, uid);
        pop3_next(&pop3, 1000);
        count++;
    }
    say(&pop3, ".\r\n", 1000);
    done(&pop3, POP3_UIDL_ALL, 0);
    assert_int_equal(count, 100000);
}

/* Stuffs a message as RFC 1939 section 3 says, without the final dot. */
static size_t stuff(const uint8_t *message, size_t size, uint8_t *out)
{
    size_t length = 0;

    for (size_t i = 0; i < size; i++) {
        if (message[i] == '.' && (i == 0 || (i > 1 && memcmp(message + i - 2, "\r\n", 2) == 0))) {
            out[length++] = '.';
        }
        out[length++] = message[i];
    }
    return length;
}

/* Messages of dots, line ends and letters come out as they went in, whatever the reads are; and
 * replies behind them are replies. */
static void random_messages(void **state)
{
    static uint8_t message[700];
    static uint8_t wire[1600];
    static uint8_t got[700];
    unsigned seed = 1;

    (void)state;
    for (unsigned round = 0; round < 3000; round++) {
        static struct pop3 pop3;
        size_t size = 7;
        size_t length;
        size_t got_size = 0;

        memcpy(message, "H: x\r\n", 6);
        message[6] = '.';
        while (size < 6 + round % 680) {
            seed = seed * 1664525 + 1013904223;
            message[size++] = (uint8_t) ".\r\n.\r\n\rx.."[seed >> 24 & 7];
        }
        memcpy(message + size, "\r\n", 2);
        size += 2;
        length = stuff(message, size, wire);
        memcpy(wire + length, ".\r\n", 3);
        length += 3;
        login(&pop3, ALL);
        ask(&pop3, POP3_RETR, 1);
        ask(&pop3, POP3_NOOP, 0);
        hear(&pop3, "RETR 1\r\nNOOP\r\n", 1000);
        say(&pop3, "+OK\r\n", 1000);
        for (size_t at = 0; at < length;) {
            size_t room = 0;
            uint8_t *out = pop3_rx_buf(&pop3, &room);
            const struct pop3_event *event;

            seed = seed * 1664525 + 1013904223;
            room = room < 1 + (seed >> 24) ? room : 1 + (seed >> 24);
            room = room < length - at ? room : length - at;
            memcpy(out, wire + at, room);
            pop3_rx_ack(&pop3, room, 1000);
            at += room;
            while ((event = pop3_event(&pop3)) != NULL && event->kind == POP3_EVENT_DATA) {
                assert_true(got_size + event->size <= size);
                memcpy(got + got_size, event->data, event->size);
                got_size += event->size;
                pop3_next(&pop3, 1000);
            }
        }
        assert_int_equal(got_size, size);
        assert_memory_equal(got, message, size);
        done(&pop3, POP3_RETR, 0);
        say(&pop3, "-ERR\r\n", 1000);
        done(&pop3, POP3_NOOP, E_MISSING);
    }
}

static void words(void **state)
{
    struct pop3_failure failure = {.error = E_CONFIG};

    (void)state;
    assert_string_equal(pop3_stage_name(POP3_STAGE_GREETING), "greeting");
    assert_string_equal(pop3_stage_name(POP3_STAGE_AUTH), "login");
    assert_string_equal(pop3_stage_name(POP3_STAGE_QUIT), "QUIT");
    assert_string_equal(pop3_stage_name((enum pop3_stage)99), "unknown stage");
    for (unsigned stage = 0; stage <= POP3_STAGE_QUIT; stage++) {
        for (unsigned cause = 0; cause <= POP3_CAUSE_NAME; cause++) {
            for (unsigned code = 0; code <= POP3_CODE_OTHER; code++) {
                failure.stage = (enum pop3_stage)stage;
                failure.cause = (enum pop3_cause)cause;
                failure.code = (enum pop3_code)code;
                assert_true(strlen(pop3_advice(&failure)) > 10);
            }
        }
    }
    failure.cause = (enum pop3_cause)99;
    assert_true(strlen(pop3_advice(&failure)) > 10);
    failure.stage = POP3_STAGE_GREETING;
    failure.cause = POP3_CAUSE_TIMEOUT;
    assert_non_null(strstr(pop3_advice(&failure), "implicit"));
    failure.stage = POP3_STAGE_AUTH;
    failure.cause = POP3_CAUSE_REPLY;
    failure.code = POP3_CODE_AUTH;
    assert_non_null(strstr(pop3_advice(&failure), "password"));
    failure.error = E_TRANSIENT;
    assert_non_null(strstr(pop3_advice(&failure), "by itself"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(wrong_time),
        cmocka_unit_test(pipelining),
        cmocka_unit_test(half_sent),
        cmocka_unit_test(reply_before_command),
        cmocka_unit_test(reply_behind_event),
        cmocka_unit_test(half_unasked),
        cmocka_unit_test(deadlines),
        cmocka_unit_test(dripping),
        cmocka_unit_test(end_behind_events),
        cmocka_unit_test(nothing_behind_end),
        cmocka_unit_test(wiping),
        cmocka_unit_test(counting),
        cmocka_unit_test(large_listing),
        cmocka_unit_test(random_messages),
        cmocka_unit_test(words),
    };

    return cmocka_run_group_tests_name("pop3", tests, NULL, NULL);
}
