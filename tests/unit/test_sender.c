/* The sender between a queue in flash and scripted servers: whatever breaks, an alert leaves the
 * queue only with its 250, and what flash says of it is true. */
#include "firmware/sender.h"
#include "net/text.h"
#include "tests/sim/nor.h"
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
#define DUE_STEP_MS 4096 /* The queue counts in such steps. */
#define ONE_RECIPIENT "to = a@example.test\n"
#define THREE_RECIPIENTS "to = a@example.test, b@example.test, c@example.test\n"

#define SECOND "mailhub2 = second.example.test:25\ntls2 = off\n"

/* One link to two servers, by name. */
struct fork_link {
    struct link_base base;
    struct sim_server *servers[2];
    struct link *to;
};

struct fixture {
    uint64_t now_ms; /* The world's clock; the device's began at boot_ms. */
    uint64_t boot_ms;
    bool no_clock;
    struct sim_server server, second;
    struct fork_link fork;
    struct config config;
    struct nor nor;
    struct journal journal;
    struct limits limits;
    struct queue queue;
    struct policy policy;
    struct random random;
    struct tls tls;
    struct sender sender;
    struct sender_now now;
    uint32_t alerts;
    char log[32768];
    struct sender_report reports[64];
    unsigned report_count;
    uint32_t boots;
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

static int fork_open(struct link *link, const char *host, uint16_t port)
{
    struct fork_link *fork = (struct fork_link *)(void *)link;
    bool second = strncmp(host, "second.", 7) == 0;

    fork->to = sim_server_link(fork->servers[second]);
    return link_open(fork->to, host, port);
}

static struct link *forked(struct link *link)
{
    return ((struct fork_link *)(void *)link)->to;
}

static enum link_state fork_state(struct link *link)
{
    return link_state(forked(link));
}

static size_t fork_tx(struct link *link, const uint8_t *bytes, size_t size)
{
    return link_tx(forked(link), bytes, size);
}

static void fork_flush(struct link *link)
{
    link_flush(forked(link));
}

static size_t fork_unacked(struct link *link)
{
    return link_unacked(forked(link));
}

static const uint8_t *fork_rx_buf(struct link *link, size_t *size)
{
    return link_rx_buf(forked(link), size);
}

static void fork_rx_ack(struct link *link, size_t size)
{
    link_rx_ack(forked(link), size);
}

static void fork_close(struct link *link)
{
    link_close(forked(link));
}

static void fork_abort(struct link *link)
{
    link_abort(forked(link));
}

static const char *fork_error_text(struct link *link)
{
    return link_error_text(forked(link));
}

static const char *fork_peer(struct link *link)
{
    return link_peer(forked(link));
}

static const struct link_ops fork_ops = {
    .open = fork_open,
    .state = fork_state,
    .tx = fork_tx,
    .flush = fork_flush,
    .unacked = fork_unacked,
    .rx_buf = fork_rx_buf,
    .rx_ack = fork_rx_ack,
    .close = fork_close,
    .abort = fork_abort,
    .error_text = fork_error_text,
    .peer = fork_peer,
};

static uint64_t unix_ms(void *context)
{
    struct fixture *f = context;

    return f->no_clock ? 0 : UNIX_MS + f->now_ms;
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

/* The device starts: all that it knows is in flash. */
static void boot(struct fixture *f, uint8_t seed)
{
    const uint32_t most[LIMITS_COUNT] = {f->config.limit_minute, f->config.limit_hour,
                                         f->config.limit_day};
    uint8_t seed_bytes[RANDOM_SEED_BYTES];
    struct sender_params params = {
        .config = &f->config,
        .queue = &f->queue,
        .policy = &f->policy,
        .link = (struct link *)(void *)&f->fork,
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

    limits_init(&f->limits, most);
    queue_init(&f->queue, &f->journal, &f->nor.flash, &f->limits, unix_ms, f);
    f->boot_ms = f->now_ms - 5000;
    policy_init(&f->policy, &f->config, &f->queue, 5000);
    random_init(&f->random);
    memset(seed_bytes, seed, sizeof seed_bytes);
    random_seed(&f->random, seed_bytes, sizeof seed_bytes);
    sender_init(&f->sender, &params);
    memset(&f->now, 0, sizeof f->now);
    f->now.address = "192.0.2.9";
    f->boots++;
}

static void begin_on(struct fixture *f, const char *config, uint8_t seed, const struct flash *flash)
{
    nor_free(&f->nor);
    memset(f, 0, sizeof *f);
    f->now_ms = 5000;
    sim_server_init(&f->server, &f->now_ms);
    sim_server_init(&f->second, &f->now_ms);
    f->fork = (struct fork_link){.base.ops = &fork_ops, .servers = {&f->server, &f->second}};
    configure(&f->config, config);
    nor_init(&f->nor, flash, seed);
    boot(f, seed);
}

static const struct flash small_flash = {
    .size_bytes = 0x8000,
    .erase_bytes = 0x1000,
    .page_bytes = 256,
    .program_bytes = 16,
    .erased = 0xFF,
    .log_bytes = 0x8000,
};

static const struct flash large_flash = {
    .size_bytes = 0x100000,
    .erase_bytes = 0x10000,
    .page_bytes = 256,
    .program_bytes = 1,
    .erased = 0xFF,
    .log_bytes = 0x100000,
};

static void begin(struct fixture *f, const char *config, uint8_t seed)
{
    begin_on(f, config, seed, &small_flash);
}

/* The power comes back. The servers have noticed that the connection is gone. */
static void reboot(struct fixture *f)
{
    if (f->fork.to != NULL && link_state(f->fork.to) != LINK_IDLE) {
        link_abort(f->fork.to);
    }
    nor_power(&f->nor);
    boot(f, (uint8_t)(f->boots + 100));
}

/* "alert number N." is its text. 0: it did not get in, and nobody was told that it did. */
static uint32_t add_how(struct fixture *f, uint8_t severity, struct queue_how how)
{
    struct alert alert;

    memset(&alert, 0, sizeof alert);
    alert.boot_count = f->boots;
    alert.unix_s = unix_ms(f) / 1000;
    alert.queued_unix_s = alert.unix_s;
    alert.uptime_ms = f->now_ms - f->boot_ms;
    alert.severity = severity;
    strcpy(alert.source, "console");
    strcpy(alert.domain, "fixed.example.test");
    snprintf(alert.text, sizeof alert.text, "alert number %u.", (unsigned)f->alerts + 1);
    if (how.pending_mask == 0) {
        how.pending_mask = (uint8_t)((1u << f->config.to_count) - 1);
    }
    if (queue_add(&f->queue, &alert, &how) < 0 || f->nor.off) {
        return 0;
    }
    f->alerts++;
    return alert.sequence;
}

static uint32_t add(struct fixture *f, uint8_t severity, bool is_test)
{
    uint32_t sequence = add_how(f, severity, (struct queue_how){.is_test = is_test});

    assert_true(sequence > 0);
    return sequence;
}

static bool poll_once(struct fixture *f)
{
    if (++f->polls == f->cut_poll) {
        f->server.cable_out = true;
        f->now.blocked = "the cable is out";
        f->now.blocked_stage = SENDER_LINK;
    }
    f->now.now_ms = f->now_ms - f->boot_ms;
    f->now.unix_ms = unix_ms(f);
    return sender_poll(&f->sender, &f->now);
}

/* Of the world's clock. */
static uint64_t deadline(const struct fixture *f)
{
    uint64_t deadline_ms = sender_deadline(&f->sender);

    return deadline_ms == UINT64_MAX ? deadline_ms : deadline_ms + f->boot_ms;
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
        deadline_ms = deadline(f);
        assert_true(f->now.blocked != NULL || deadline_ms > f->now_ms); /* Else it would spin. */
        f->now_ms = deadline_ms > f->now_ms && deadline_ms < f->now_ms + 1000 ? deadline_ms
                                                                              : f->now_ms + 1000;
    }
    assert_null(f->server.violation);
    assert_null(f->second.violation);
    assert_null(f->nor.violation);
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
    return sim_server_taken(&f->server, text) + sim_server_taken(&f->second, text);
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

/* The mails of both servers, one after the other. */
static const struct sim_mail *mail_at(const struct fixture *f, size_t index)
{
    if (index < f->server.mail_count) {
        return &f->server.mails[index];
    }
    index -= f->server.mail_count;
    return index < f->second.mail_count ? &f->second.mails[index] : NULL;
}

/* Whether that mail came far enough to be compared. Of a torn record, whose source was never told
 * that it is queued, the text may be lost. */
static bool mail_named(const struct fixture *f, const struct sim_mail *mail, char *id, size_t size,
                       const char **text)
{
    message_id(mail, id, size);
    *text = strstr(mail->bytes, "alert number");
    if (id[0] == '\0') {
        return false;
    }
    if (strstr(id, "@tocsin.invalid>") != NULL) {
        for (uint32_t i = 1; i <= f->alerts; i++) {
            char whole[32];

            snprintf(whole, sizeof whole, "alert number %u.", (unsigned)i);
            assert_null(strstr(mail->bytes, whole));
        }
        return false;
    }
    assert_non_null(*text); /* The subject comes before. */
    assert_non_null(strstr(id, ".0123456789abcdef@fixed.example.test>"));
    return true;
}

/* The same Message-ID is the same alert, and the other way round. */
static void assert_message_ids(const struct fixture *f)
{
    const struct sim_mail *a, *b;
    const char *text_a, *text_b;
    char id_a[200], id_b[200];

    for (size_t i = 0; (a = mail_at(f, i)) != NULL; i++) {
        if (!mail_named(f, a, id_a, sizeof id_a, &text_a)) {
            continue;
        }
        for (size_t k = 0; k < i && (b = mail_at(f, k)) != NULL; k++) {
            if (mail_named(f, b, id_b, sizeof id_b, &text_b)) {
                assert_int_equal(strcmp(id_a, id_b) == 0,
                                 strncmp(text_a, text_b, strcspn(text_a, ".") + 1) == 0);
            }
        }
    }
}

/* How many alerts arrived twice. */
static unsigned doubled(const struct fixture *f)
{
    unsigned found = 0;

    for (uint32_t i = 1; i <= f->alerts; i++) {
        found += taken(f, i) > 1 ? 1 : 0;
    }
    return found;
}

/* All that was queued has arrived, twice at most, and is still queued nowhere. */
static void assert_delivered(const struct fixture *f)
{
    assert_int_equal(f->queue.count, 0);
    for (uint32_t i = 1; i <= f->alerts; i++) {
        assert_in_range(taken(f, i), 1, 2);
    }
    assert_message_ids(f);
}

/* And each was counted once, for the one 250 that came back. */
static void assert_settled(const struct fixture *f)
{
    assert_delivered(f);
    assert_int_equal(f->sender.accepted, f->alerts);
    assert_int_equal(f->server.confirmed + f->second.confirmed, f->alerts);
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

            assert_in_range(ms, 1000, step_ms);
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
    assert_in_range(gap_ms(&f), 1000, RETRY_MIN_MS); /* A success begins it anew. */
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
        assert_int_equal(item.event, QUEUE_WAITING);
        assert_int_equal(item.code, 451);
        run(&f, RETRY_MIN_MS + DUE_STEP_MS);
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
    while (f.queue.books.displaced == 0) {
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
        assert_int_equal(item.event, QUEUE_REFUSED);
        assert_int_equal(item.code, 554);
        assert_int_equal(f.queue.books.refused, 1);
        item.event = QUEUE_RETRIED; /* What `queue retry` does. */
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

/* The recipients change while an alert waits: it goes to those that there are. */
static void test_recipients_change(void **state)
{
    static struct fixture f;

    (void)state;
    begin(&f, THREE_RECIPIENTS, 1);
    (void)add_how(&f, SEVERITY_NOTICE, (struct queue_how){.pending_mask = UINT8_MAX});
    (void)add_how(&f, SEVERITY_NOTICE, (struct queue_how){.pending_mask = 6}); /* a has it. */
    configure(&f.config, ONE_RECIPIENT);
    run(&f, 1000);
    assert_settled(&f);
    assert_string_equal(f.server.mails[0].to, "<a@example.test>");
    assert_string_equal(f.server.mails[1].to, "<a@example.test>"); /* Better than nobody. */

    begin(&f, ONE_RECIPIENT, 1);
    (void)add_how(&f, SEVERITY_NOTICE, (struct queue_how){.pending_mask = UINT8_MAX});
    configure(&f.config, THREE_RECIPIENTS);
    run(&f, 1000);
    assert_string_equal(f.server.mails[0].to, "<a@example.test><b@example.test><c@example.test>");
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

/* Of each alert that is still queued, after one try: whether the server may have it. */
static void assert_records_true(const struct fixture *f)
{
    struct queue_item item;

    for (unsigned i = 0; queue_item(&f->queue, i, &item); i++) {
        struct alert alert;
        unsigned copies;

        assert_int_equal(queue_alert(&f->queue, item.sequence, &alert), 0);
        copies =
            sim_server_taken(&f->server, alert.text) + sim_server_taken(&f->second, alert.text);
        if (copies > 0) {
            assert_int_equal(item.event, QUEUE_TRYING);
            assert_int_equal(item.attempts, 1);
        } else if (item.event == QUEUE_TRYING) {
            assert_int_equal(item.attempts, 1);
        } else {
            assert_true(item.event == QUEUE_WAITING || item.event == QUEUE_QUEUED);
            assert_int_equal(item.attempts, item.event == QUEUE_WAITING ? 1 : 0);
        }
    }
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
        if (at % 2 == 1) { /* And then a power cut, or within a session that has fallen silent. */
            reboot(&f);
        }
        assert_true(f.sender.running || f.server.connections == 1);
        if (!f.sender.running) {
            assert_records_true(&f);
        }
        if (f.queue.count > 0) {
            run(&f, 400000); /* The longest patience, and a backoff. */
        }
        assert_delivered(&f);
        if (at % 2 == 0) {
            assert_settled(&f);
        }
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

/* --- A second server --- */

static void test_second_at_once(void **state)
{
    static const struct {
        const char *no_open, *prefix, *reply;
        bool no_name;
        enum sender_stage stage;
    } ways[] = {
        {"no such host name", NULL, NULL, true, SENDER_DNS},
        {"connection refused", NULL, NULL, false, SENDER_CONNECT},
        {NULL, "(open)", "554 5.3.2 no", false, SENDER_AUTH},
        {NULL, "EHLO", "421 4.3.2 going down", false, SENDER_AUTH},
        {NULL, "MAIL", "421 4.3.2 going down", false, SENDER_RECIPIENT},
        {NULL, ".", "421 4.3.2 going down", false, SENDER_ACCEPTED},
        {NULL, "MAIL", "451 4.3.0 later", false, SENDER_RECIPIENT},
        {NULL, "RCPT", "452 4.2.2 full", false, SENDER_RECIPIENT},
        {NULL, ".", "452 4.3.1 no room", false, SENDER_ACCEPTED},
    };
    static struct fixture f;

    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        unsigned failed = 0;

        begin(&f, ONE_RECIPIENT SECOND, (uint8_t)i);
        f.server.no_open = ways[i].no_open;
        f.server.no_name = ways[i].no_name;
        if (ways[i].prefix != NULL) {
            sim_server_answer(&f.server, ways[i].prefix, ways[i].reply, 1);
        }
        add(&f, SEVERITY_NOTICE, false);
        add(&f, SEVERITY_NOTICE, true);
        sender_hurry(&f.sender, true);
        run(&f, 1);
        assert_settled(&f);
        assert_int_equal(f.server.opens, 1);
        assert_int_equal(f.second.connections, 1);
        assert_int_equal(sim_server_taken(&f.second, "alert number"), 2);
        assert_string_equal(f.sender.last_error, "");
        assert_int_equal(count(f.log, "Trying second.example.test."), 1);
        assert_int_equal(count(f.log, "accepted by second.example.test"), 2);
        for (unsigned k = 0; k < f.report_count; k++) {
            assert_true(f.reports[k].ok || f.reports[k].goes_on);
            failed += f.reports[k].ok ? 0 : 1;
            assert_true(f.reports[k].ok || f.reports[k].stage == ways[i].stage);
        }
        assert_int_equal(failed, 1);
        assert_false(f.sender.is_test);
    }
}

/* Each server is verified by itself: nothing that is true of one lets the other off. */
static void test_second_after_security(void **state)
{
    static struct fixture f;

    (void)state;
    begin(&f, ONE_RECIPIENT SECOND, 1);
    f.config.tls = SMTP_TLS_STARTTLS; /* Which the first one does not offer. */
    add(&f, SEVERITY_NOTICE, false);
    run(&f, 1);
    assert_settled(&f);
    assert_int_equal(f.server.mail_count, 0);
    assert_int_equal(count(f.server.commands, "MAIL"), 0);
    assert_int_equal(count(f.log, "(security)"), 1);

    begin(&f, ONE_RECIPIENT SECOND, 1);
    f.config.tls2 = SMTP_TLS_STARTTLS;
    f.server.no_open = "connection refused";
    add(&f, SEVERITY_NOTICE, false);
    run(&f, 60000);
    assert_int_equal(f.queue.count, 1);
    assert_int_equal(count(f.second.commands, "MAIL"), 0);
    assert_non_null(strstr(f.sender.last_error, "second.example.test: "));
    assert_non_null(strstr(f.sender.last_error, "security"));
    f.server.no_open = NULL;
    run(&f, RETRY_MAX_MS);
    assert_settled(&f);
}

/* The first server's password is for the first server. */
static void test_second_login(void **state)
{
    static struct fixture f;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        begin(&f,
              i == 0 ? ONE_RECIPIENT SECOND "auth_user = u\nauth_pass = p\nauth_without_tls = yes\n"
                     : ONE_RECIPIENT SECOND
                  "auth_user2 = v\nauth_pass2 = q\nauth_without_tls = yes\n",
              1);
        f.server.ehlo = f.second.ehlo = "250-mail.example.test\r\n250 AUTH PLAIN";
        sim_server_answer(&f.server, i == 0 ? "AUTH" : "(open)", "535 5.7.8 wrong", 2);
        add(&f, SEVERITY_NOTICE, false);
        run(&f, 1);
        assert_settled(&f);
        assert_int_equal(count(f.server.commands, "AUTH"), i == 0 ? 1 : 0);
        assert_int_equal(count(f.second.commands, "AUTH"), i);
        assert_int_equal(sim_server_taken(&f.second, "alert number"), 1);
    }
}

/* Refused for ever is refused: the second server is no way around the first one's word. */
static void test_second_not_for_refused(void **state)
{
    static const char *const prefix[] = {"MAIL", "RCPT", "DATA", ".", "(body)"};
    static struct fixture f;
    struct queue_item item;

    (void)state;
    for (size_t i = 0; i < sizeof prefix / sizeof prefix[0]; i++) {
        begin(&f, ONE_RECIPIENT SECOND, 1);
        sim_server_answer(&f.server, prefix[i], "554 5.6.0 not here", 1);
        add(&f, SEVERITY_CRITICAL, false);
        add(&f, SEVERITY_NOTICE, false);
        run(&f, 86400000);
        assert_int_equal(f.second.opens, 0);
        assert_int_equal(taken(&f, 2), 1);
        assert_true(queue_item(&f.queue, 0, &item));
        assert_int_equal(item.event, QUEUE_REFUSED);
        assert_int_equal(item.attempts, 1);
    }
}

/* Only when both failed does it wait, and then begins with the first. */
static void test_second_backoff(void **state)
{
    static struct fixture f;
    uint64_t step_ms = RETRY_MIN_MS;

    (void)state;
    begin(&f, ONE_RECIPIENT SECOND, 3);
    f.server.no_open = f.second.no_open = "connection refused";
    add(&f, SEVERITY_NOTICE, false);
    for (unsigned i = 0; i < 12; i++) {
        uint64_t ms = gap_ms(&f);

        if (i > 0) {
            assert_in_range(ms, 1000, step_ms);
            step_ms = 2 * step_ms < RETRY_MAX_MS ? 2 * step_ms : RETRY_MAX_MS;
        }
        assert_int_equal(f.server.opens, i + 1);
        assert_int_equal(f.second.opens, i);
        assert_int_equal(gap_ms(&f), 0);
        assert_int_equal(f.second.opens, i + 1);
    }
    assert_non_null(strstr(f.sender.last_error, "second.example.test: connection refused"));
    assert_int_equal(count(f.log, "mail.example.test: connection refused"), 12);
    f.second.no_open = NULL;
    run(&f, RETRY_MAX_MS);
    assert_settled(&f);
}

/* A first server that does not answer holds up one alert in a while, not each. */
static void test_second_stays(void **state)
{
    static struct fixture f;
    unsigned slow = 0;

    (void)state;
    begin(&f, ONE_RECIPIENT SECOND, 5);
    f.server.open_ms = 1000000; /* Longer than any patience. */
    for (unsigned i = 0; i < 90; i++) {
        uint32_t opens = f.server.opens;

        add(&f, SEVERITY_NOTICE, false);
        run(&f, 1000);
        slow += f.queue.count > 0 || f.server.opens != opens ? 1 : 0;
        run(&f, 39000);
        assert_int_equal(f.queue.count, 0);
    }
    assert_in_range(slow, 10, 60); /* An hour, with tries 1 s to 160 s apart and 40 s of grain. */
    assert_int_equal(f.second.goodbyes, 90);
    f.server.open_ms = 0;
    run(&f, RETRY_MAX_MS);
    add(&f, SEVERITY_NOTICE, false);
    run(&f, 1000);
    assert_int_equal(f.second.goodbyes, 90); /* The first one is back, and is used. */
    add(&f, SEVERITY_NOTICE, false);
    run(&f, 1000);
    assert_int_equal(f.second.goodbyes, 90);
    assert_settled(&f);
}

/* The second one breaks while the first is known to be bad: that one is asked again. */
static void test_second_breaks(void **state)
{
    static struct fixture f;

    (void)state;
    begin(&f, ONE_RECIPIENT SECOND, 5);
    f.server.no_open = "connection refused";
    add(&f, SEVERITY_NOTICE, false);
    run(&f, 1);
    assert_int_equal(f.queue.count, 0);
    f.server.no_open = NULL;
    f.second.no_open = "connection refused";
    add(&f, SEVERITY_NOTICE, false);
    run(&f, 1);
    assert_settled(&f);
    assert_int_equal(f.server.connections, 1);
    assert_int_equal(f.second.connections, 1);
}

/* --- When all has to wait --- */

/* A server that wants everything later is not asked about each mail, nor is each marked in flash.
 */
static void test_deferred(void **state)
{
    static struct fixture f;

    (void)state;
    begin_on(&f, ONE_RECIPIENT, 1, &large_flash);
    sim_server_answer(&f.server, "MAIL", "452 4.3.1 no room", 1000000);
    for (unsigned i = 0; i < 60; i++) {
        add(&f, SEVERITY_NOTICE, false);
    }
    run(&f, 1);
    assert_int_equal(count(f.server.commands, "MAIL"), 3);
    assert_int_equal(f.server.goodbyes, 1);
    run(&f, 3600000);
    assert_in_range(f.server.connections, 23, 400); /* Not one for each mail and step. */
    f.server.answer_count = 0;
    run(&f, 2 * RETRY_MAX_MS);
    assert_settled(&f);
}

/* A critical alert that comes during a long backoff brings the try forward, and no number of them
 * makes more than twice as many tries. */
static void test_urgent(void **state)
{
    static struct fixture f;
    uint64_t began_ms;
    uint32_t plain = 0, sessions;

    (void)state;
    begin_on(&f, ONE_RECIPIENT, 7, &large_flash);
    f.server.no_open = "no route";
    add(&f, SEVERITY_NOTICE, false);
    run(&f, 4 * RETRY_MAX_MS);
    while (f.sender.retry.next_ms + f.boot_ms < f.now_ms + RETRY_MAX_MS / 2) {
        run(&f, 1000);
    }
    add(&f, SEVERITY_ERROR, false); /* Not that urgent. */
    run(&f, RETRY_MIN_MS);
    sessions = f.sender.sessions;
    add(&f, SEVERITY_CRITICAL, false);
    run(&f, RETRY_MIN_MS + 1000);
    assert_int_equal(f.sender.sessions, sessions + 1);
    f.server.no_open = NULL;
    run(&f, RETRY_MAX_MS);
    assert_settled(&f);

    for (unsigned busy = 0; busy < 2; busy++) {
        begin_on(&f, ONE_RECIPIENT, 7, &large_flash);
        f.server.no_open = "no route";
        add(&f, SEVERITY_NOTICE, false);
        for (began_ms = f.now_ms; f.now_ms - began_ms < 100 * (uint64_t)RETRY_MAX_MS;) {
            run(&f, 2000);
            if (busy == 1) {
                f.log[0] = '\0';
                f.report_count = 0;
                add(&f, SEVERITY_EMERGENCY, false);
                (void)queue_remove(&f.queue, f.journal.next_number - 1, QUEUE_DROPPED, 0);
                add(&f, SEVERITY_EMERGENCY, false);
                (void)queue_remove(&f.queue, f.journal.next_number - 2, QUEUE_DROPPED, 0);
            }
        }
        if (busy == 0) {
            plain = f.sender.sessions;
            assert_in_range(plain, 100, 300);
        }
    }
    assert_in_range(f.sender.sessions, plain + plain / 2, 2 * plain + plain / 2);
}

static void test_limits(void **state)
{
    static struct fixture f;
    uint64_t times[64];
    size_t seen = 0;
    uint32_t critical;

    (void)state;
    begin_on(&f, ONE_RECIPIENT "limit_minute = 12\n", 1, &large_flash);
    for (unsigned i = 0; i < 60; i++) {
        add(&f, SEVERITY_NOTICE, false);
    }
    for (unsigned s_passed = 0; f.queue.count > 0 && s_passed < 600; s_passed++) {
        run(&f, 1000);
        while (seen < f.server.confirmed) {
            times[seen++] = f.now_ms;
        }
        if (s_passed == 100) { /* It has a little room of its own. */
            critical = add(&f, SEVERITY_CRITICAL, false);
            run(&f, 1000);
            assert_false(queue_find(&f.queue, critical, &f.sender.item));
            times[seen++] = f.now_ms;
        }
    }
    assert_settled(&f);
    assert_int_equal(f.server.connections, 1); /* It is not opened anew for every few seconds. */
    assert_int_equal(seen, 61);
    for (size_t i = 12; i < seen; i++) {
        assert_true(times[i] - times[i - 12] >= 59000);
    }
    assert_in_range(times[60] - times[0], 240000, 420000);
    assert_int_equal(count(f.log, "the limit of 12 messages a minute: next in "), 1);
}

static void test_limits_kept(void **state)
{
    static struct fixture f;

    (void)state;
    for (unsigned is_test = 0; is_test < 2; is_test++) {
        unsigned sent;

        begin(&f, ONE_RECIPIENT "limit_hour = 8\n", 1);
        for (unsigned i = 0; i < 4; i++) {
            add(&f, SEVERITY_NOTICE, false);
        }
        run(&f, 1000);
        assert_false(f.sender.running); /* Nobody keeps a connection open for that long. */
        assert_int_equal(f.server.goodbyes, 1);
        assert_true(deadline(&f) > f.now_ms + 60000);
        sent = f.server.confirmed;
        assert_in_range(sent, 1, 3);
        reboot(&f); /* Which changes nothing about it. */
        run(&f, 60000);
        sender_hurry(&f.sender, false); /* Nor does impatience. */
        run(&f, 60000);
        assert_int_equal(f.server.confirmed, sent);
        assert_int_equal(count(f.log, "the limit of 8 messages an hour: next in "), 2);
        /* There is room for one that is critical, or that a person waits for. */
        add(&f, is_test ? SEVERITY_NOTICE : SEVERITY_CRITICAL, is_test);
        if (is_test) {
            sender_hurry(&f.sender, true);
        }
        run(&f, 1000);
        assert_int_equal(f.server.confirmed, sent + 1);
        assert_int_equal(taken(&f, 5), 1);
        run(&f, 4 * 3600000);
        assert_delivered(&f);
    }
}

static void test_expiry(void **state)
{
    static struct fixture f;
    struct queue_item item;
    uint32_t sequence;

    (void)state;
    begin_on(&f, ONE_RECIPIENT "expire = 2d\n", 1, &large_flash);
    f.server.no_open = "no route";
    for (unsigned i = 0; i < 40; i++) {
        add(&f, SEVERITY_NOTICE, false);
    }
    for (uint64_t h = 0; h < 47; h++) {
        f.log[0] = '\0';
        run(&f, 3600000);
    }
    sequence = add(&f, SEVERITY_NOTICE, false);
    assert_int_equal(f.queue.books.expired, 0);
    f.now.blocked = "the cable is out"; /* Also when nothing can be tried. */
    f.now.blocked_stage = SENDER_LINK;
    run(&f, 3600000 + 601000);
    assert_int_equal(f.queue.books.expired, 40);
    assert_int_equal(count(f.log, "is given up: "), 40);
    assert_int_equal(f.queue.count, 41);
    assert_true(queue_item(&f.queue, 0, &item) && item.refused);
    assert_int_equal(item.event, QUEUE_EXPIRED);
    reboot(&f);
    assert_true(queue_find(&f.queue, sequence, &item) && !item.refused);
    assert_true(queue_item(&f.queue, 3, &item) && item.refused);
    f.server.no_open = NULL;
    item.event = QUEUE_RETRIED; /* For as long as it takes. */
    (void)queue_update(&f.queue, &item);
    sim_server_answer(&f.server, "RCPT", "451 4.7.1 later", 3);
    run(&f, 1);
    assert_true(queue_find(&f.queue, item.sequence, &item) && item.event == QUEUE_WAITING);
    reboot(&f);
    run(&f, RETRY_MAX_MS);
    assert_int_equal(f.server.mail_count - 3, 2);
    assert_int_equal(taken(&f, 4), 1);
    assert_int_equal(taken(&f, 41), 1);
    run(&f, 86400000);
    assert_int_equal(f.queue.count, 39);

    begin(&f, ONE_RECIPIENT "expire = 1h\n", 1); /* Without a clock there is no age. */
    f.no_clock = true;
    f.server.no_open = "no route";
    add(&f, SEVERITY_NOTICE, false);
    run(&f, 7200000);
    assert_int_equal(f.queue.books.expired, 0);
    f.no_clock = false;
    run(&f, 7200000);
    assert_int_equal(f.queue.books.expired, 0); /* Nobody knows when it was queued. */
    f.server.no_open = NULL;
    run(&f, RETRY_MAX_MS);
    assert_settled(&f);
}

/* One mail for many: what it tells of leaves with it. */
static void test_digest(void **state)
{
    static struct fixture f;
    struct queue_item item;
    uint32_t digest;

    (void)state;
    for (unsigned dropped = 0; dropped <= 3; dropped++) {
        begin(&f, ONE_RECIPIENT, 1);
        for (unsigned i = 0; i < 3; i++) {
            (void)add_how(&f, SEVERITY_NOTICE, (struct queue_how){.folded = true});
        }
        digest = add_how(&f, SEVERITY_NOTICE, (struct queue_how){.digest = true});
        (void)add_how(&f, SEVERITY_NOTICE, (struct queue_how){.folded = true});
        for (uint32_t i = 1; i <= dropped; i++) {
            assert_int_equal(queue_remove(&f.queue, i, QUEUE_DROPPED, 0), 0);
        }
        sim_server_answer(&f.server, ".", "451 4.3.0 later", 1);
        run(&f, 1);
        assert_int_equal(f.queue.count, 5 - dropped);
        assert_true(queue_find(&f.queue, digest, &item) && item.event == QUEUE_WAITING);
        reboot(&f);
        run(&f, RETRY_MIN_MS + DUE_STEP_MS);
        assert_int_equal(f.queue.count, 1);
        assert_true(queue_item(&f.queue, 0, &item) && item.sequence == 5);
        assert_int_equal(f.server.mail_count, 2);
        assert_true(f.server.mails[1].taken);
        for (uint32_t i = 1; i <= 3; i++) {
            assert_int_equal(taken(&f, i), i > dropped ? 1 : 0);
        }
        run(&f, 3600000);
        assert_int_equal(f.server.mail_count, 2);
    }
}

static void test_thousand(void **state)
{
    static struct fixture f;
    static bool arrived[1001];
    unsigned mails = 0;

    (void)state;
    begin_on(&f, ONE_RECIPIENT, 1, &large_flash);
    memset(arrived, 0, sizeof arrived);
    for (unsigned i = 0; i < 1000; i++) {
        add(&f, (uint8_t)(i % 8), false);
    }
    while (f.queue.count > 0 || f.sender.running) {
        (void)poll_once(&f);
        f.report_count = 0;
        if (f.server.mail == NULL && f.server.mail_count > 90) { /* It has room for a hundred. */
            for (size_t i = 0; i < f.server.mail_count; i++) {
                const char *text = strstr(f.server.mails[i].bytes, "alert number ");

                assert_true(f.server.mails[i].taken);
                assert_non_null(text);
                arrived[strtoul(text + 13, NULL, 10)] = true;
            }
            mails += (unsigned)f.server.mail_count;
            memset(f.server.mails, 0, sizeof f.server.mails);
            f.server.mail_count = 0;
            f.log[0] = '\0';
        }
    }
    for (unsigned i = 1, left = 0; i <= 1000; i++) {
        left += arrived[i] || taken(&f, i) == 1 ? 0 : 1;
        assert_int_equal(left, 0);
    }
    assert_int_equal(mails + f.server.mail_count, 1000);
    assert_int_equal(f.server.connections, 1);
    assert_int_equal(f.server.goodbyes, 1);
    assert_int_equal(f.queue.books.accepted, 1000);
}

/* --- What flash says --- */

/* The power is cut at a flash operation, in each manner, from the moment the first alert comes. */
static void test_power_cut(void **state)
{
    static struct fixture f;
    unsigned cuts = 0, twice = 0;

    (void)state;
    for (unsigned kind = 0; kind < NOR_CUT_KINDS; kind++) {
        for (uint32_t n = 1;; n++) {
            begin(&f, ONE_RECIPIENT, (uint8_t)(n + kind));
            nor_cut_in(&f.nor, n, (enum nor_cut)kind);
            for (unsigned i = 0; i < 3 && !f.nor.off; i++) {
                (void)add_how(&f, (uint8_t)(SEVERITY_ERROR + i), (struct queue_how){0});
            }
            while (!f.nor.off && f.queue.count > 0) {
                (void)poll_once(&f);
            }
            if (!f.nor.off) {
                break;
            }
            cuts++;
            reboot(&f);
            assert_records_true(&f);
            run(&f, 3 * RETRY_MIN_MS);
            assert_delivered(&f);
            twice += doubled(&f);
        }
    }
    print_message("%u power cuts at flash operations, %u mails doubled\n", cuts, twice);
    assert_true(cuts > 60 && twice > 0);
}

/* And at every poll of a session, between flash operations. */
static void test_power_cut_at_poll(void **state)
{
    static struct fixture f;
    unsigned polls = 0, twice = 0;

    (void)state;
    for (unsigned cut = 0; cut <= polls; cut++) {
        begin(&f, THREE_RECIPIENTS, (uint8_t)cut);
        f.server.window_bytes = 48;
        add(&f, SEVERITY_WARNING, false);
        add(&f, SEVERITY_NOTICE, false);
        for (unsigned i = 0; cut == 0 ? f.queue.count > 0 : i < cut; i++) {
            (void)poll_once(&f);
            polls += cut == 0 ? 1 : 0;
        }
        reboot(&f);
        assert_records_true(&f);
        strcpy(f.config.from, "other@example.org"); /* New settings change no Message-ID. */
        strcpy(f.config.hostname, "renamed");
        run(&f, 1000);
        assert_delivered(&f);
        twice += doubled(&f);
    }
    assert_true(polls > 40);
    print_message("%u power cuts between polls, %u mails doubled\n", polls, twice);
    assert_in_range(twice, 1, 8); /* Only between the dot and the 250. */
}

/* A record that goes bad while it waits, header and all: the others go out, once each. */
static void test_unreadable(void **state)
{
    static struct fixture f;

    (void)state;
    for (uint32_t bad = 1; bad <= 5; bad++) {
        uint32_t address;

        begin(&f, ONE_RECIPIENT, 1);
        for (uint32_t i = 1; i <= 5; i++) {
            add(&f, i == bad ? SEVERITY_ALERT : SEVERITY_ERROR, false);
        }
        address = queue_address(&f.queue, bad);
        for (uint32_t i = 0; i < 8; i++) {
            nor_flip(&f.nor, address + 2 * i, i);
        }
        run(&f, 3600000);
        assert_int_equal(f.server.mail_count, 4);
        for (uint32_t i = 1; i <= 5; i++) {
            assert_int_equal(taken(&f, i), i == bad ? 0 : 1);
        }
        assert_int_equal(f.queue.count, 1);
        add(&f, SEVERITY_NOTICE, false);
        run(&f, 1000);
        assert_int_equal(f.server.mail_count, 5);
    }
}

static int no_program(const struct flash *flash, uint32_t address, const void *data, size_t size)
{
    (void)flash;
    (void)address;
    (void)data;
    (void)size;
    return E_IO;
}

/* Flash that takes nothing more: what is queued is sent all the same. */
static void test_dead_flash(void **state)
{
    static struct fixture f;

    (void)state;
    begin(&f, ONE_RECIPIENT, 1);
    add(&f, SEVERITY_NOTICE, false);
    add(&f, SEVERITY_NOTICE, false);
    f.nor.flash.program = no_program;
    add(&f, SEVERITY_NOTICE, false); /* In RAM. */
    run(&f, 60000);
    assert_settled(&f);
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
        cmocka_unit_test(test_recipients_change),
        cmocka_unit_test(test_login),
        cmocka_unit_test(test_blocked),
        cmocka_unit_test(test_unblocked),
        cmocka_unit_test(test_cable),
        cmocka_unit_test(test_lost_at_server_byte),
        cmocka_unit_test(test_lost_at_client_byte),
        cmocka_unit_test(test_second_at_once),
        cmocka_unit_test(test_second_after_security),
        cmocka_unit_test(test_second_login),
        cmocka_unit_test(test_second_not_for_refused),
        cmocka_unit_test(test_second_backoff),
        cmocka_unit_test(test_second_stays),
        cmocka_unit_test(test_second_breaks),
        cmocka_unit_test(test_deferred),
        cmocka_unit_test(test_urgent),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_limits_kept),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_thousand),
        cmocka_unit_test(test_power_cut),
        cmocka_unit_test(test_power_cut_at_poll),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_dead_flash),
    };

    return cmocka_run_group_tests_name("sender", tests, NULL, NULL);
}
