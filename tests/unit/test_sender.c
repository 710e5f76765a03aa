/* The sender against a scripted server: whatever breaks, an alert leaves the queue only with its
 * 250. */
#include "firmware/sender.h"
#include "net/text.h"
#include "tests/sim/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UNIX_MS 1800000000000u
#define RETRY_MIN_MS 10000u
#define RETRY_MAX_MS 160000u
#define ONE_RECIPIENT "to = a@example.test\n"
#define THREE_RECIPIENTS "to = a@example.test, b@example.test, c@example.test\n"

struct fixture {
    uint64_t now_ms;
    struct sim_server server;
    struct config config;
    struct queue queue;
    struct random random;
    struct tls tls;
    struct sender sender;
    struct sender_now now;
    uint32_t alerts;
    char log[32768];
    struct sender_report reports[64];
    unsigned report_count;
    unsigned polls, cut_poll; /* The cable comes out at that poll; 0: never. */
};

static void take_log(void *context, const char *line)
{
    struct fixture *f = context;

    assert_true(strlen(f->log) + strlen(line) + 2 < sizeof f->log);
    strcat(f->log, line);
    strcat(f->log, "\n");
}

static void take_report(void *context, const struct sender_report *report)
{
    struct fixture *f = context;

    assert_non_null(report->detail);
    if (f->report_count < sizeof f->reports / sizeof f->reports[0]) {
        f->reports[f->report_count++] = *report;
    }
}

static const struct tls_anchors *no_anchors(void *context)
{
    (void)context;
    return NULL;
}

static void config_problem(void *context, unsigned line, const char *key, const char *message)
{
    (void)context;
    fail_msg("configuration: %u %s: %s", line, key, message);
}

static void configure(struct config *config, const char *text)
{
    static const char common[] = "mailhub = mail.example.test:25\ntls = off\n"
                                 "hostname = router1.example.test\nfrom = router1@example.test\n"
                                 "retry_min = 10\nretry_max = 160\n";
    struct config_reader reader;

    config_begin(&reader, config, config_problem, NULL);
    config_push(&reader, common, sizeof common - 1);
    config_push(&reader, text, strlen(text));
    assert_int_equal(config_end(&reader), 0);
}

static void begin(struct fixture *f, const char *config, uint8_t seed)
{
    uint8_t seed_bytes[RANDOM_SEED_BYTES];
    struct sender_params params = {
        .config = &f->config,
        .queue = &f->queue,
        .link = sim_server_link(&f->server),
        .tls = &f->tls,
        .anchors = no_anchors,
        .random = &f->random,
        .device_id = "0123456789abcdef",
        .board = "sim",
        .version = "1",
        .log = take_log,
        .report = take_report,
        .context = f,
    };

    memset(f, 0, sizeof *f);
    f->now_ms = 5000;
    sim_server_init(&f->server, &f->now_ms);
    configure(&f->config, config);
    queue_init(&f->queue);
    random_init(&f->random);
    memset(seed_bytes, seed, sizeof seed_bytes);
    random_seed(&f->random, seed_bytes, sizeof seed_bytes);
    sender_init(&f->sender, &params);
    f->now.address = "192.0.2.9";
}

/* "alert number N." is its text. */
static uint32_t add(struct fixture *f, uint8_t severity, bool is_test)
{
    struct alert alert;

    memset(&alert, 0, sizeof alert);
    alert.sequence = ++f->alerts;
    alert.boot_count = 4;
    alert.unix_s = (UNIX_MS + f->now_ms) / 1000;
    alert.uptime_ms = f->now_ms;
    alert.severity = severity;
    strcpy(alert.source, "console");
    snprintf(alert.text, sizeof alert.text, "alert number %u.", (unsigned)f->alerts);
    assert_int_equal(
        queue_add(&f->queue, &alert, (uint8_t)((1u << f->config.to_count) - 1), is_test), 0);
    return f->alerts;
}

static bool poll_once(struct fixture *f)
{
    if (++f->polls == f->cut_poll) {
        f->server.cable_out = true;
        f->now.blocked = "the cable is out";
        f->now.blocked_stage = SENDER_LINK;
    }
    f->now.now_ms = f->now_ms;
    f->now.unix_ms = UNIX_MS + f->now_ms;
    return sender_poll(&f->sender, &f->now);
}

/* As the main loop does: polls while something moves, then sleeps, at most a second. */
static void run(struct fixture *f, uint64_t ms)
{
    uint64_t end_ms = f->now_ms + ms;

    while (f->now_ms < end_ms) {
        uint64_t deadline_ms;
        unsigned bound = 20000;

        while (poll_once(f)) {
            assert_true(--bound > 0);
        }
        deadline_ms = sender_deadline(&f->sender);
        assert_true(f->now.blocked != NULL || deadline_ms > f->now_ms); /* Else it would spin. */
        f->now_ms = deadline_ms > f->now_ms && deadline_ms < f->now_ms + 1000 ? deadline_ms
                                                                              : f->now_ms + 1000;
    }
    assert_null(f->server.violation);
}

static unsigned count(const char *text, const char *part)
{
    unsigned found = 0;

    while ((text = strstr(text, part)) != NULL) {
        text++;
        found++;
    }
    return found;
}

static unsigned taken(const struct fixture *f, uint32_t number)
{
    char text[32];

    snprintf(text, sizeof text, "alert number %u.", (unsigned)number);
    return sim_server_taken(&f->server, text);
}

/* "" for a mail that was cut before its end. */
static void message_id(const struct sim_mail *mail, char *out, size_t size)
{
    const char *at = strstr(mail->bytes, "Message-ID: <");
    size_t length = at != NULL ? strcspn(at, "\n") : 0;

    assert_true(length < size && (at != NULL || !mail->taken));
    memcpy(out, at != NULL ? at : "", length);
    out[length] = '\0';
}

/* The same Message-ID is the same alert, and the other way round. */
static void assert_message_ids(const struct fixture *f)
{
    for (size_t i = 0; i < f->server.mail_count; i++) {
        for (size_t k = 0; k < i; k++) {
            const struct sim_mail *a = &f->server.mails[i];
            const struct sim_mail *b = &f->server.mails[k];
            const char *text_a = strstr(a->bytes, "alert number");
            const char *text_b = strstr(b->bytes, "alert number");
            char id_a[128], id_b[128];

            message_id(a, id_a, sizeof id_a);
            message_id(b, id_b, sizeof id_b);
            if (id_a[0] == '\0' || id_b[0] == '\0') {
                continue;
            }
            assert_non_null(text_a); /* The subject comes before. */
            assert_non_null(text_b);
            assert_int_equal(strcmp(id_a, id_b) == 0,
                             strncmp(text_a, text_b, strcspn(text_a, ".") + 1) == 0);
        }
    }
}

/* All that was queued has arrived, and each was counted once, for the one 250 that came back. */
static void assert_settled(const struct fixture *f)
{
    assert_int_equal(f->queue.count, 0);
    for (uint32_t i = 1; i <= f->alerts; i++) {
        assert_in_range(taken(f, i), 1, 2);
    }
    assert_int_equal(f->sender.accepted, f->alerts);
    assert_int_equal(f->server.confirmed, f->alerts);
    assert_message_ids(f);
}

static void test_one_connection(void **state)
{
    static struct fixture f;

    (void)state;
    begin(&f, ONE_RECIPIENT, 1);
    run(&f, 5000);
    assert_int_equal(f.server.connections, 0);
    add(&f, SEVERITY_NOTICE, false);
    add(&f, SEVERITY_CRITICAL, false);
    add(&f, SEVERITY_WARNING, false);
    run(&f, 5000);
    assert_settled(&f);
    assert_int_equal(f.server.connections, 1);
    assert_int_equal(f.server.goodbyes, 1);
    assert_int_equal(f.server.closes, 1);
    assert_int_equal(f.server.aborts, 0);
    assert_non_null(strstr(f.server.mails[0].bytes, "alert number 2."));
    assert_non_null(strstr(f.server.mails[1].bytes, "alert number 3."));
    assert_non_null(strstr(f.server.mails[2].bytes, "alert number 1."));
    assert_string_equal(f.server.mails[0].from, "<router1@example.test>");
    assert_string_equal(f.server.mails[0].to, "<a@example.test>");
    assert_int_equal(count(f.log, "accepted"), 3);
    assert_int_equal(count(f.log, "4F1A"), 3); /* The server's own words, with its queue id. */
    assert_string_equal(f.sender.last_error, "");
    add(&f, SEVERITY_NOTICE, false); /* A later one needs a connection of its own. */
    run(&f, 5000);
    assert_int_equal(f.server.connections, 2);
    assert_settled(&f);
}

static void test_slow_link(void **state)
{
    static struct fixture f;

    (void)state;
    begin(&f, THREE_RECIPIENTS, 1);
    f.server.window_bytes = 7;
    f.server.piece_bytes = 1;
    f.server.open_ms = 1500;
    f.server.ehlo = "250 mail.example.test"; /* No extension at all: in lock step. */
    add(&f, SEVERITY_NOTICE, false);
    add(&f, SEVERITY_NOTICE, false);
    run(&f, 10000);
    assert_settled(&f);
    assert_int_equal(f.server.connections, 1);
    assert_string_equal(f.server.mails[1].to, "<a@example.test><b@example.test><c@example.test>");
}

static void test_test_first(void **state)
{
    static struct fixture f;
    unsigned of_test = 0;

    (void)state;
    begin(&f, ONE_RECIPIENT, 1);
    add(&f, SEVERITY_EMERGENCY, false);
    add(&f, SEVERITY_NOTICE, true);
    sender_hurry(&f.sender, true);
    run(&f, 5000);
    assert_settled(&f);
    assert_non_null(strstr(f.server.mails[0].bytes, "alert number 2."));
    for (unsigned i = 0; i < f.report_count && of_test <= SENDER_ACCEPTED; i++) {
        assert_true(f.reports[i].ok && f.reports[i].is_test);
        assert_int_equal(f.reports[i].stage, of_test); /* Each stage once, in order. */
        of_test++;
    }
    assert_int_equal(of_test, SENDER_STAGE_COUNT);
    assert_false(f.sender.is_test);
}

/* Milliseconds from one try to the next. */
static uint64_t gap_ms(struct fixture *f)
{
    uint32_t sessions = f->sender.sessions;
    uint64_t since_ms = f->now_ms;

    while (f->sender.sessions == sessions) {
        assert_true(f->now_ms - since_ms <= 2 * (uint64_t)RETRY_MAX_MS);
        (void)poll_once(f);
        f->now_ms += f->sender.sessions == sessions ? 1 : 0;
    }
    while (f->sender.running) {
        (void)poll_once(f);
    }
    return f->now_ms - since_ms;
}

static void test_backoff(void **state)
{
    static struct fixture f;
    uint64_t first[12];
    unsigned differ = 0;

    (void)state;
    for (uint8_t seed = 1; seed <= 2; seed++) {
        uint64_t step_ms = RETRY_MIN_MS;

        begin(&f, ONE_RECIPIENT, seed);
        f.server.no_open = "connection refused";
        add(&f, SEVERITY_NOTICE, false);
        assert_true(gap_ms(&f) == 0);
        for (unsigned i = 0; i < 12; i++) {
            uint64_t ms = gap_ms(&f);

            assert_in_range(ms, step_ms / 2, step_ms);
            differ += seed == 2 && ms != first[i] ? 1 : 0;
            first[i] = ms;
            step_ms = 2 * step_ms < RETRY_MAX_MS ? 2 * step_ms : RETRY_MAX_MS;
        }
        assert_non_null(strstr(f.sender.last_error, "connection refused"));
    }
    assert_in_range(differ, 10, 12); /* Two devices do not come back together. */
    f.server.no_open = NULL;
    (void)gap_ms(&f);
    assert_settled(&f);
    f.server.no_open = "connection refused";
    add(&f, SEVERITY_NOTICE, false);
    (void)gap_ms(&f);
    assert_in_range(gap_ms(&f), RETRY_MIN_MS / 2, RETRY_MIN_MS); /* A success begins it anew. */
}

static void test_hurry(void **state)
{
    static struct fixture f;

    (void)state;
    begin(&f, ONE_RECIPIENT, 1);
    f.server.no_open = "no such host name";
    f.server.no_name = true;
    add(&f, SEVERITY_NOTICE, false);
    run(&f, 600000);
    assert_true(f.reports[f.report_count - 1].stage == SENDER_DNS);
    assert_false(f.reports[f.report_count - 1].ok);
    f.server.no_open = NULL;
    sender_hurry(&f.sender, false);
    run(&f, 1000);
    assert_settled(&f);
}

static void test_no_answer(void **state)
{
    static struct fixture f;

    (void)state;
    begin(&f, ONE_RECIPIENT, 1);
    f.server.open_ms = 20000; /* Twice that is more than connect_timeout. */
    add(&f, SEVERITY_NOTICE, false);
    run(&f, 29000);
    assert_true(f.sender.running);
    run(&f, 2000);
    assert_false(f.sender.running);
    assert_int_equal(f.reports[f.report_count - 1].stage, SENDER_CONNECT);
    assert_int_equal(f.queue.count, 1);
    f.server.open_ms = 0;
    run(&f, 60000);
    assert_settled(&f);
}

/* A 4xx holds back the mail that it was said to, and no other. */
static void test_transient(void **state)
{
    static const char *const prefix[] = {"MAIL", "RCPT", "DATA", "."};
    static struct fixture f;

    (void)state;
    for (size_t i = 0; i < sizeof prefix / sizeof prefix[0]; i++) {
        struct queue_item item;

        begin(&f, ONE_RECIPIENT, 1);
        sim_server_answer(&f.server, prefix[i], "451 4.7.1 greylisted", 1);
        add(&f, SEVERITY_CRITICAL, false);
        add(&f, SEVERITY_NOTICE, false);
        run(&f, 4000);
        assert_int_equal(taken(&f, 1), 0);
        assert_int_equal(taken(&f, 2), 1);
        assert_int_equal(f.server.connections, 1);
        assert_true(queue_item(&f.queue, 0, &item));
        assert_false(item.refused);
        assert_int_equal(item.attempts, 1);
        assert_int_equal(count(f.log, "greylisted"), 1);
        run(&f, RETRY_MIN_MS);
        assert_settled(&f);
        assert_int_equal(f.server.connections, 2);
    }
}

/* A 4xx that ends the session. */
static void test_transient_session(void **state)
{
    static const char *const prefix[] = {"(open)", "EHLO", "MAIL", "RCPT", "DATA", ".", "(body)"};
    static struct fixture f;

    (void)state;
    for (size_t i = 0; i < sizeof prefix / sizeof prefix[0]; i++) {
        begin(&f, THREE_RECIPIENTS, 1);
        sim_server_answer(&f.server, prefix[i], "421 4.3.2 going down", 1);
        add(&f, SEVERITY_NOTICE, false);
        add(&f, SEVERITY_NOTICE, false);
        run(&f, 4000);
        assert_int_equal(f.queue.count, 2);
        assert_non_null(strstr(f.sender.last_error, "going down"));
        run(&f, 2 * RETRY_MIN_MS);
        assert_settled(&f);
    }
}

/* A mail on which the connection breaks each time does not stand in the others' way for long. */
static void test_mail_that_breaks(void **state)
{
    static struct fixture f;
    struct queue_item item;

    (void)state;
    begin(&f, ONE_RECIPIENT, 1);
    add(&f, SEVERITY_CRITICAL, false);
    add(&f, SEVERITY_NOTICE, false);
    add(&f, SEVERITY_NOTICE, false);
    for (unsigned i = 0; i < 6; i++) {
        uint32_t failed = f.sender.failed;

        f.server.answer_count = 0;
        sim_server_answer(&f.server, ".", "421 4.3.2 filter crashed", 1);
        while (f.sender.failed == failed) {
            /* The server breaks on the first alert only. */
            if (f.sender.have_item && f.sender.item.sequence != 1) {
                f.server.answer_count = 0;
            } else if (f.sender.have_item && f.server.answer_count == 0) {
                sim_server_answer(&f.server, ".", "421 4.3.2 filter crashed", 1);
            }
            if (!poll_once(&f)) {
                f.now_ms++;
            }
        }
    }
    assert_int_equal(f.queue.count, 1);
    assert_int_equal(taken(&f, 2), 1);
    assert_int_equal(taken(&f, 3), 1);
    assert_true(queue_item(&f.queue, 0, &item));
    assert_int_equal(item.attempts, 6);
    f.server.answer_count = 0;
    run(&f, 2 * RETRY_MAX_MS);
    assert_settled(&f);
}

/* An alert that gives way while it is being sent: taken once, and nothing is left behind. */
static void test_displaced_in_hand(void **state)
{
    static struct fixture f;
    struct queue_item item;

    (void)state;
    begin(&f, ONE_RECIPIENT, 1);
    add(&f, SEVERITY_DEBUG, false);
    while (!f.sender.have_item) {
        (void)poll_once(&f);
    }
    while (f.queue.displaced == 0) {
        add(&f, SEVERITY_ERROR, false);
    }
    assert_true(queue_item(&f.queue, 0, &item) && item.sequence == 2);
    run(&f, 60000);
    assert_settled(&f);
}

/* A 5xx waits for a person, for as long as it takes. */
static void test_permanent(void **state)
{
    static const char *const prefix[] = {"MAIL", "RCPT", "DATA", ".", "(body)"};
    static struct fixture f;

    (void)state;
    for (size_t i = 0; i < sizeof prefix / sizeof prefix[0]; i++) {
        struct queue_item item;

        begin(&f, ONE_RECIPIENT, 1);
        sim_server_answer(&f.server, prefix[i], "554 5.6.0 not here", 1);
        add(&f, SEVERITY_CRITICAL, false);
        add(&f, SEVERITY_NOTICE, false);
        run(&f, 7 * 86400000ull);
        assert_int_equal(taken(&f, 1), 0);
        assert_int_equal(taken(&f, 2), 1);
        assert_int_equal(f.queue.count, 1);
        assert_in_range(f.server.connections, 1, 2);
        assert_true(queue_item(&f.queue, 0, &item));
        assert_true(item.refused);
        assert_true(sender_deadline(&f.sender) == UINT64_MAX);
        item.refused = false; /* What `queue retry` does. */
        item.due_ms = 0;
        queue_update(&f.queue, &item);
        sender_hurry(&f.sender, false);
        run(&f, 1000);
        assert_settled(&f);
    }
}

static void test_partial(void **state)
{
    static struct fixture f;
    struct queue_item item;

    (void)state;
    begin(&f, THREE_RECIPIENTS, 1);
    sim_server_answer(&f.server, "RCPT TO:<b@", "451 4.7.1 greylisted", 2);
    sim_server_answer(&f.server, "RCPT TO:<c@", "550 5.1.1 no such user", 1);
    add(&f, SEVERITY_NOTICE, false);
    run(&f, 4000);
    assert_string_equal(f.server.mails[0].to, "<a@example.test>");
    assert_true(queue_item(&f.queue, 0, &item));
    assert_int_equal(item.pending_mask, 2);
    assert_int_equal(count(f.log, "c@example.test was refused"), 1);
    assert_int_equal(count(f.log, "b@example.test has to wait"), 1);
    run(&f, 60000);
    assert_int_equal(f.queue.count, 0);
    assert_int_equal(f.server.mail_count, 3);
    assert_false(f.server.mails[1].taken);
    assert_true(f.server.mails[2].taken);
    assert_string_equal(f.server.mails[2].to, "<b@example.test>");
    assert_message_ids(&f);
}

/* A try for some of the recipients leaves the right ones for the next. */
static void test_partial_again(void **state)
{
    static struct fixture f;
    static const char *const to[] = {"<a@example.test>", "<b@example.test>", "<c@example.test>"};

    (void)state;
    begin(&f, THREE_RECIPIENTS, 1);
    sim_server_answer(&f.server, "RCPT TO:<b@", "451 4.7.1 greylisted", 1);
    sim_server_answer(&f.server, "RCPT TO:<c@", "451 4.7.1 greylisted", 2);
    add(&f, SEVERITY_NOTICE, false);
    run(&f, 100000);
    assert_int_equal(f.queue.count, 0);
    assert_int_equal(f.server.mail_count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(f.server.mails[i].taken);
        assert_string_equal(f.server.mails[i].to, to[i]);
    }
    assert_message_ids(&f);
}

/* Whatever is wrong with the login: nothing is lost, and nothing goes before it is mended. */
static void test_login(void **state)
{
    static struct fixture f;

    (void)state;
    begin(&f, ONE_RECIPIENT "auth_user = u\nauth_pass = p\nauth_without_tls = yes\n", 1);
    f.server.ehlo = "250-mail.example.test\r\n250 AUTH PLAIN";
    sim_server_answer(&f.server, "AUTH", "535 5.7.8 wrong", 2);
    add(&f, SEVERITY_NOTICE, false);
    run(&f, 4000);
    assert_int_equal(f.server.mail_count, 0);
    assert_int_equal(f.queue.count, 1);
    assert_int_equal(f.reports[f.report_count - 1].stage, SENDER_AUTH);
    assert_false(f.reports[f.report_count - 1].ok);
    run(&f, 60000);
    assert_settled(&f);
    begin(&f, ONE_RECIPIENT "auth_user = u\nauth_pass = p\nauth_without_tls = yes\n", 1);
    f.config.auth_without_tls = false;
    f.server.ehlo = "250-mail.example.test\r\n250 AUTH PLAIN";
    add(&f, SEVERITY_NOTICE, false);
    run(&f, 60000);
    assert_int_equal(count(f.server.commands, "AUTH"), 0);
    assert_int_equal(f.server.mail_count, 0);
    assert_int_equal(f.queue.count, 1);
}

static void test_blocked(void **state)
{
    static struct fixture f;
    static const char clock[] = "the time is not known";
    static const char link[] = "the cable is out";

    (void)state;
    begin(&f, ONE_RECIPIENT, 1);
    f.now.blocked = clock;
    f.now.blocked_stage = SENDER_CLOCK;
    run(&f, 60000);
    assert_string_equal(f.log, ""); /* Nothing waits: no news. */
    add(&f, SEVERITY_NOTICE, false);
    run(&f, 60000);
    add(&f, SEVERITY_NOTICE, false);
    run(&f, 60000);
    assert_int_equal(count(f.log, clock), 1);
    f.now.blocked = link;
    f.now.blocked_stage = SENDER_LINK;
    run(&f, 60000);
    assert_int_equal(count(f.log, clock), 1);
    assert_int_equal(count(f.log, link), 1);
    assert_int_equal(f.server.connections, 0);
    f.now.blocked = NULL;
    run(&f, 1000);
    assert_settled(&f);
}

/* What was in the way is gone: a try at once, however long the backoff had become. */
static void test_unblocked(void **state)
{
    static struct fixture f;

    (void)state;
    begin(&f, ONE_RECIPIENT, 1);
    f.server.no_open = "no route";
    add(&f, SEVERITY_NOTICE, false);
    run(&f, 1000000);
    f.now.blocked = "the cable is out";
    f.now.blocked_stage = SENDER_LINK;
    run(&f, 5000);
    f.now.blocked = NULL;
    f.server.no_open = NULL;
    run(&f, 1000);
    assert_settled(&f);
}

/* The cable comes out at any poll of a session, and back after a while. */
static void test_cable(void **state)
{
    static struct fixture f;
    unsigned polls = 0;

    (void)state;
    for (unsigned cut = 0; cut <= polls; cut++) {
        for (uint64_t gone_ms = 1000; gone_ms <= 20000; gone_ms += 19000) {
            begin(&f, THREE_RECIPIENTS, 1);
            f.server.window_bytes = 48;
            add(&f, SEVERITY_WARNING, false);
            add(&f, SEVERITY_NOTICE, false);
            f.cut_poll = cut;
            run(&f, gone_ms);
            polls = cut == 0 ? f.polls : polls;
            assert_true(gone_ms == 1000 || cut == 0 || !f.sender.running);
            f.server.cable_out = false;
            f.now.blocked = NULL;
            run(&f, 4000);
            assert_settled(&f);
            assert_int_equal(f.server.opens, f.server.aborts + f.server.closes);
        }
    }
    assert_true(polls > 50);
}

/* The connection is lost after any byte of either side, in any manner. */
static void lose_at_every_byte(bool of_server, enum sim_drop drop)
{
    static struct fixture f;
    size_t total = 0;

    for (size_t at = 0; at <= total; at++) {
        begin(&f, THREE_RECIPIENTS, (uint8_t)at);
        add(&f, SEVERITY_WARNING, false);
        add(&f, SEVERITY_NOTICE, false);
        f.server.drop = drop;
        if (at > 0) {
            *(of_server ? &f.server.drop_tx : &f.server.drop_rx) = at;
        }
        run(&f, 1000);
        total = at == 0 ? (of_server ? f.server.tx_total : f.server.rx_total) : total;
        if (f.queue.count > 0) {
            run(&f, 400000); /* The longest patience, and a backoff. */
        }
        assert_settled(&f);
        assert_in_range(f.server.connections, 1, 2);
    }
    assert_true(total > 300);
}

static void test_lost_at_server_byte(void **state)
{
    (void)state;
    lose_at_every_byte(true, SIM_DROP_FIN);
    lose_at_every_byte(true, SIM_DROP_RESET);
    lose_at_every_byte(true, SIM_DROP_SILENT);
}

static void test_lost_at_client_byte(void **state)
{
    (void)state;
    lose_at_every_byte(false, SIM_DROP_FIN);
    lose_at_every_byte(false, SIM_DROP_RESET);
    lose_at_every_byte(false, SIM_DROP_SILENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_connection),
        cmocka_unit_test(test_slow_link),
        cmocka_unit_test(test_test_first),
        cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_hurry),
        cmocka_unit_test(test_no_answer),
        cmocka_unit_test(test_transient),
        cmocka_unit_test(test_transient_session),
        cmocka_unit_test(test_mail_that_breaks),
        cmocka_unit_test(test_displaced_in_hand),
        cmocka_unit_test(test_permanent),
        cmocka_unit_test(test_partial),
        cmocka_unit_test(test_partial_again),
        cmocka_unit_test(test_login),
        cmocka_unit_test(test_blocked),
        cmocka_unit_test(test_unblocked),
        cmocka_unit_test(test_cable),
        cmocka_unit_test(test_lost_at_server_byte),
        cmocka_unit_test(test_lost_at_client_byte),
    };

    return cmocka_run_group_tests_name("sender", tests, NULL, NULL);
}
