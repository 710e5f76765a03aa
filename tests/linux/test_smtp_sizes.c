/* The submission engine with the sizes of boards/linux/limits.h: delivery reports (RFC 3461),
 * thirty recipients in one turn, large writes. Its dialogues are in tests/transcripts, with a
 * device's. */
#include "net/smtp.h"
#include "net/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define NOW 1000
#define EHLO "250-mail.example.com\r\n250-PIPELINING\r\n250-SIZE\r\n"
#define EHLO_DSN EHLO "250-DSN\r\n250 8BITMIME\r\n"
#define EHLO_OTHER EHLO "250-DSNX\r\n250 8BITMIME\r\n"

struct fixture {
    struct smtp smtp;
    struct smtp_params params;
    char sent[1 << 20];
    size_t sent_size;
    size_t writes;
    bool bytewise;
};

static void drain(struct fixture *f)
{
    while ((smtp_want(&f->smtp) & SMTP_WANT_TX) != 0) {
        size_t size;
        const uint8_t *bytes = smtp_tx_buf(&f->smtp, &size);

        size = f->bytewise ? 1 : size;
        assert_in_range(f->sent_size + size, 1, sizeof f->sent - 1);
        memcpy(f->sent + f->sent_size, bytes, size);
        f->sent_size += size;
        f->sent[f->sent_size] = '\0';
        f->writes++;
        smtp_tx_ack(&f->smtp, size, NOW);
    }
}

static void forget_sent(struct fixture *f)
{
    f->sent_size = 0;
    f->sent[0] = '\0';
    f->writes = 0;
}

static void receive(struct fixture *f, const char *bytes)
{
    size_t left = strlen(bytes);

    while (left > 0) {
        size_t room;
        uint8_t *out = smtp_rx_buf(&f->smtp, &room);
        size_t size = f->bytewise ? 1 : left < room ? left : room;

        memcpy(out, bytes, size);
        bytes += size;
        left -= size;
        smtp_rx_ack(&f->smtp, size, NOW);
    }
}

/* A session up to where messages begin. */
static void begin(struct fixture *f, const char *ehlo, bool bytewise)
{
    memset(f, 0, sizeof *f);
    f->bytewise = bytewise;
    f->params.ehlo_name = "router1.example.com";
    f->params.tls = SMTP_TLS_OFF;
    assert_int_equal(smtp_init(&f->smtp, &f->params, NOW), 0);
    receive(f, "220 mail.example.com ESMTP\r\n");
    drain(f);
    receive(f, ehlo);
    drain(f);
    forget_sent(f);
    assert_true(smtp_want(&f->smtp) & SMTP_WANT_MESSAGE);
}

static const char *const rcpt[] = {"a@example.com", "b@example.com", "c@example.com"};

/* What a message with these wishes says up to DATA. */
static void says(const char *ehlo, const struct smtp_envelope *envelope, const char *expected)
{
    static struct fixture f;

    for (unsigned i = 0; i < 2; i++) {
        begin(&f, ehlo, i > 0);
        assert_int_equal(smtp_message(&f.smtp, envelope, NOW), 0);
        drain(&f);
        assert_string_equal(f.sent, expected);
    }
}

static void reports(void **state)
{
    static const char *const notify[] = {"SUCCESS,DELAY", NULL, "never"};
    struct smtp_envelope envelope = {.from = "me@example.com", .rcpt = rcpt, .rcpt_count = 3};

    (void)state;
    envelope.size_bytes = 70;
    envelope.eight_bit = true;
    envelope.notify = notify;
    envelope.ret = "HDRS";
    envelope.envid = "a+b=c d~";
    says(EHLO_DSN, &envelope,
         "MAIL FROM:<me@example.com> SIZE=70 BODY=8BITMIME RET=HDRS ENVID=a+2Bb+3Dc+20d~\r\n"
         "RCPT TO:<a@example.com> NOTIFY=SUCCESS,DELAY\r\nRCPT TO:<b@example.com>\r\n"
         "RCPT TO:<c@example.com> NOTIFY=never\r\nDATA\r\n");
    says(EHLO_OTHER, &envelope,
         "MAIL FROM:<me@example.com> SIZE=70 BODY=8BITMIME\r\nRCPT TO:<a@example.com>\r\n"
         "RCPT TO:<b@example.com>\r\nRCPT TO:<c@example.com>\r\nDATA\r\n");
    envelope.notify = NULL;
    envelope.ret = NULL;
    envelope.envid = NULL;
    says(EHLO_DSN, &envelope,
         "MAIL FROM:<me@example.com> SIZE=70 BODY=8BITMIME\r\nRCPT TO:<a@example.com>\r\n"
         "RCPT TO:<b@example.com>\r\nRCPT TO:<c@example.com>\r\nDATA\r\n");
}

/* What no server would take is left out: the mail matters more than its reports. */
static void wishes_that_are_none(void **state)
{
    static const char *const bad[] = {
        "",          "SUCCESS,",        "NEVER,SUCCESS",   ",DELAY",           "DELAY DELAY",
        "DELAY\r\n", "SUCCESS,SUCCESS", "FAILURE;SUCCESS", "SUCCESS,FAILURES", "SUCCESS,FAIL",
    };
    static char long_one[102];
    const char *envids[] = {"", "a\r\nDATA", "\x7F", "gr\xC3\xBC\xC3\x9F", long_one};
    char text[512];

    (void)state;
    memset(long_one, '=', sizeof long_one - 1);
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct smtp_envelope envelope = {
            .from = "", .rcpt = rcpt, .rcpt_count = 1, .notify = &bad[i], .ret = bad[i]};

        envelope.envid = envids[i % 5];
        says(EHLO_DSN, &envelope, "MAIL FROM:<>\r\nRCPT TO:<a@example.com>\r\nDATA\r\n");
    }
    {
        static const char *const all[] = {"delay,Failure,SUCCESS"};
        struct smtp_envelope envelope = {
            .from = "", .rcpt = rcpt, .rcpt_count = 1, .notify = all, .ret = "full"};
        struct text line = text_begin(text, sizeof text);

        long_one[100] = '\0';
        envelope.envid = long_one;
        text_add(&line, "MAIL FROM:<> RET=full ENVID=");
        for (unsigned i = 0; i < 100; i++) {
            text_add(&line, "+3D");
        }
        text_add(&line, "\r\nRCPT TO:<a@example.com> NOTIFY=delay,Failure,SUCCESS\r\nDATA\r\n");
        says(EHLO_DSN, &envelope, text);
    }
}

/* As many recipients as there can be, with the longest addresses and wishes, are one write; each
 * has its own reply. */
static void one_turn(void **state)
{
    static struct fixture f;
    static char addresses[SMTP_RCPT_MAX + 1][SMTP_ADDRESS_MAX + 1];
    const char *list[SMTP_RCPT_MAX + 1];
    const char *notify[SMTP_RCPT_MAX + 1];
    struct smtp_envelope envelope = {.rcpt = list, .rcpt_count = SMTP_RCPT_MAX, .notify = notify};
    const struct smtp_result *result;
    uint32_t refused = 0;

    (void)state;
    for (unsigned i = 0; i <= SMTP_RCPT_MAX; i++) {
        memset(addresses[i], 'a' + (int)(i % 26), SMTP_ADDRESS_MAX);
        addresses[i][64] = '@';
        list[i] = addresses[i];
        notify[i] = "SUCCESS,FAILURE,DELAY";
    }
    envelope.from = addresses[0];
    envelope.size_bytes = UINT32_MAX;
    envelope.eight_bit = true;
    envelope.ret = "HDRS";
    envelope.envid =
        "===================================================================================="
        "================";
    assert_int_equal(strlen(envelope.envid), 100);
    for (unsigned round = 0; round < 2; round++) {
        begin(&f, EHLO_DSN, round > 0);
        assert_int_equal(smtp_message(&f.smtp, &envelope, NOW), 0);
        drain(&f);
        assert_string_equal(f.sent + f.sent_size - 8, "\r\nDATA\r\n");
        assert_true(round > 0 || f.writes == 1);
        receive(&f, "250 2.1.0 Ok\r\n");
        refused = 0;
        for (unsigned i = 0; i < SMTP_RCPT_MAX; i++) {
            refused |= (i % 3 == 2 ? 1u : 0u) << i;
            receive(&f, i % 3 == 2 ? "450 4.2.0 Later\r\n" : "250 2.1.5 Ok\r\n");
        }
        receive(&f, "354 Go\r\n");
        assert_true(smtp_want(&f.smtp) & SMTP_WANT_BODY);
        smtp_body_end(&f.smtp, NOW);
        drain(&f);
        receive(&f, "250 2.0.0 Queued\r\n");
        result = smtp_result(&f.smtp);
        assert_int_equal(result->error, 0);
        assert_int_equal(result->refused_mask, refused);
        assert_int_equal(result->transient_mask, refused);
        assert_int_equal(result->accepted_mask, ~refused & ((1u << SMTP_RCPT_MAX) - 1));
    }
    envelope.rcpt_count = SMTP_RCPT_MAX + 1;
    assert_int_equal(smtp_message(&f.smtp, &envelope, NOW), E_INVALID);
}

/* Without PIPELINING, a turn a recipient. */
static void lock_step(void **state)
{
    static struct fixture f;
    const char *list[SMTP_RCPT_MAX];
    struct smtp_envelope envelope = {.from = "", .rcpt = list, .rcpt_count = SMTP_RCPT_MAX};

    (void)state;
    for (unsigned i = 0; i < SMTP_RCPT_MAX; i++) {
        list[i] = rcpt[i % 3];
    }
    begin(&f, "250-mail.example.com\r\n250 DSN\r\n", false);
    assert_int_equal(smtp_message(&f.smtp, &envelope, NOW), 0);
    for (unsigned i = 0; i < SMTP_RCPT_MAX + 2; i++) {
        drain(&f);
        assert_int_equal(f.writes, 1);
        forget_sent(&f);
        receive(&f, i < SMTP_RCPT_MAX    ? "250 Ok\r\n"
                    : i == SMTP_RCPT_MAX ? "550 No\r\n"
                                         : "354 Go\r\n");
    }
    assert_int_equal(smtp_result(&f.smtp)->accepted_mask, (1u << (SMTP_RCPT_MAX - 1)) - 1);
    assert_true(smtp_want(&f.smtp) & SMTP_WANT_BODY);
}

/* A long body leaves in writes of the buffer's size, and whole. */
static void large_writes(void **state)
{
    static struct fixture f;
    struct smtp_envelope envelope = {.from = "", .rcpt = rcpt, .rcpt_count = 1};
    size_t left = 500000;
    size_t stuffed = 0;

    (void)state;
    begin(&f, EHLO_DSN, false);
    assert_int_equal(smtp_message(&f.smtp, &envelope, NOW), 0);
    drain(&f);
    receive(&f, "250 Ok\r\n250 Ok\r\n354 Go\r\n");
    forget_sent(&f);
    while (left > 0) {
        size_t room;
        uint8_t *out = smtp_body_buf(&f.smtp, &room);

        if (room == 0) {
            drain(&f);
            continue;
        }
        room = room < left ? room : left;
        for (size_t i = 0; i < room; i++) {
            out[i] = (left - i) % 10 == 0 ? '\n' : '.'; /* Half a MB of lines of nine dots. */
        }
        stuffed += room;
        left -= room;
        smtp_body_ack(&f.smtp, room, NOW);
    }
    smtp_body_end(&f.smtp, NOW);
    drain(&f);
    assert_int_equal(f.sent_size, stuffed + 2 * (stuffed / 10) + 5); /* CRLF, dot, CRLF. */
    assert_in_range(f.writes, f.sent_size / SMTP_TX_BYTES, f.sent_size / (SMTP_TX_BYTES - 160) + 1);
    assert_in_range(sizeof(struct smtp), SMTP_TX_BYTES, SMTP_TX_BYTES + 1400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reports),      cmocka_unit_test(wishes_that_are_none),
        cmocka_unit_test(one_turn),     cmocka_unit_test(lock_step),
        cmocka_unit_test(large_writes),
    };

    return cmocka_run_group_tests_name("smtp_sizes", tests, NULL, NULL);
}
