/* Storms, over the real queue in a simulated NOR: what becomes of each alert, what the mails say,
 * and what a power cut leaves. */
#include "firmware/flash_io.h"
#include "firmware/policy.h"
#include "net/rfc5322.h"
#include "tests/sim/nor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BLOCK 16384u
#define LOG_BLOCKS 40u
#define START_UNIX_MS 1795298754000u
#define TEXTS 64 /* Kinds of alerts that the tallies know: "alert 0" and on. */
#define MASK 5

/* A device without network: everything from policy down, and a sender that always succeeds. */
struct device {
    struct nor nor;
    struct journal journal;
    struct limits limits;
    struct queue queue;
    struct policy policy;
    struct config config;
    uint64_t now_ms;
    uint64_t unix_ms; /* At now_ms 0; 0: the clock is not known. */
    unsigned mails;   /* Sent. */
    unsigned digests;
    uint32_t times[TEXTS]; /* How often the mails say that it happened. */
    char last[1024];       /* The last line or text that left. */
};

static uint64_t device_time(void *context)
{
    const struct device *device = context;

    return device->unix_ms == 0 ? 0 : device->unix_ms + device->now_ms;
}

static void mount(struct device *device)
{
    const uint32_t most[LIMITS_COUNT] = {device->config.limit_minute, device->config.limit_hour,
                                         device->config.limit_day};

    limits_init(&device->limits, most);
    queue_init(&device->queue, &device->journal, &device->nor.flash, &device->limits, device_time,
               device);
    policy_init(&device->policy, &device->config, &device->queue, device->now_ms);
}

static void reboot(struct device *device)
{
    nor_power(&device->nor);
    device->unix_ms += device->unix_ms != 0 ? device->now_ms : 0;
    device->now_ms = 0;
    mount(device);
}

static void begin_with(struct device *device, uint32_t block, uint32_t blocks)
{
    const struct flash shape = {
        .page_bytes = 256,
        .program_bytes = 1,
        .erased = 0xFF,
        .erase_bytes = block,
        .config_base = 0,
        .config_bytes = 2 * block,
        .log_base = 2 * block,
        .log_bytes = blocks * block,
        .size_bytes = (2 + blocks) * block,
    };
    static const uint8_t id[JOURNAL_DEVICE_ID_BYTES] = {1, 2, 3};
    static const uint8_t seed[JOURNAL_SEED_BYTES] = {4, 5, 6};

    memset(device, 0, sizeof *device);
    nor_init(&device->nor, &shape, 0x70C51);
    config_defaults(&device->config);
    device->unix_ms = START_UNIX_MS;
    journal_mount(&device->journal, &device->nor.flash, NULL);
    assert_int_equal(journal_seed_create(&device->journal, id, seed), 0);
    mount(device);
}

static void begin(struct device *device)
{
    begin_with(device, BLOCK, LOG_BLOCKS);
}

static void end(struct device *device)
{
    assert_null(device->nor.violation);
    nor_free(&device->nor);
}

static struct alert make(const struct device *device, unsigned text, uint8_t severity)
{
    struct alert alert = {.boot_count = 7, .severity = severity, .facility = 3};

    alert.unix_s = device_time((void *)(uintptr_t)device) / 1000;
    alert.queued_unix_s = alert.unix_s;
    alert.uptime_ms = device->now_ms;
    strcpy(alert.source, "syslog");
    strcpy(alert.sender, "10.0.2.2");
    strcpy(alert.host, "web1");
    strcpy(alert.app, "sshd[412]");
    strcpy(alert.domain, "example.com");
    snprintf(alert.text, sizeof alert.text, "alert %u", text);
    return alert;
}

static int take(struct device *device, unsigned text, uint8_t severity, uint32_t *sequence)
{
    struct alert alert = make(device, text, severity);
    int result = policy_take(&device->policy, &alert, MASK, device->now_ms);

    if (sequence != NULL) {
        *sequence = alert.sequence;
    }
    return result;
}

static bool poll(struct device *device)
{
    struct alert digest = {.boot_count = 7, .facility = FACILITY_DEVICE};

    strcpy(digest.source, "device");
    strcpy(digest.app, "digest");
    digest.unix_s = device_time(device) / 1000;
    return policy_poll(&device->policy, &digest, MASK, device->now_ms);
}

/* Adds what an alert's text and count tell. */
static void tell(struct device *device, const char *text, uint32_t count)
{
    unsigned number;

    snprintf(device->last, sizeof device->last, "%s", text);
    if (sscanf(text, "alert %u", &number) == 1 && number < TEXTS) {
        device->times[number] += count > 1 ? count : 1;
    }
}

static void tell_line(struct device *device, const char *line)
{
    const char *text = strstr(line, "alert ");
    const char *times = strchr(line, '(');
    unsigned count = 1;

    if (text != NULL) {
        if (times != NULL) {
            assert_int_equal(sscanf(times, "(%u times", &count), 1);
        }
        tell(device, text, count);
    }
}

/* Sends what is due, as the sender does. Returns how many mails. */
static unsigned send_due(struct device *device)
{
    struct queue_item item;
    unsigned sent = 0;

    while (queue_due(&device->queue, device->now_ms, &item) &&
           limits_wait_ms(&device->limits, device_time(device), item.severity) == 0) {
        char buf[RFC5322_DIGEST_LINE_BYTES];
        struct text line = text_begin(buf, sizeof buf);
        struct alert alert;

        policy_leaves(&device->policy, &item, device->now_ms);
        assert_int_equal(queue_alert(&device->queue, item.sequence, &alert), 0);
        assert_int_equal(alert.count, item.count);
        for (unsigned i = 0;
             item.digest && policy_digest_line(&device->policy, item.sequence, i, &line); i++) {
            tell_line(device, buf);
            line = text_begin(buf, sizeof buf);
        }
        device->digests += item.digest;
        tell(device, alert.text, alert.count);
        item.event = QUEUE_TRYING;
        assert_int_equal(queue_update(&device->queue, &item), 0);
        assert_int_equal(queue_remove(&device->queue, item.sequence, QUEUE_ACCEPTED, 250), 0);
        sent++;
    }
    device->mails += sent;
    return sent;
}

/* Lets time pass up to that moment: polls and sends when something is to be done. */
static void run_until(struct device *device, uint64_t until_ms)
{
    for (;;) {
        uint64_t next_ms = policy_deadline(&device->policy);
        uint64_t due_ms;

        while (next_ms <= device->now_ms) {
            (void)poll(device);
            next_ms = policy_deadline(&device->policy);
        }
        (void)send_due(device);
        due_ms = queue_due_ms(&device->queue, device->now_ms);
        if (due_ms <= device->now_ms) {
            due_ms = device->now_ms + 1000; /* Limits. */
        }
        next_ms = due_ms < next_ms ? due_ms : next_ms;
        if (next_ms >= until_ms) {
            device->now_ms = until_ms;
            return;
        }
        device->now_ms = next_ms;
    }
}

static uint32_t count_of(struct device *device, uint32_t sequence)
{
    struct queue_item item;

    assert_true(queue_find(&device->queue, sequence, &item));
    return item.count;
}

static void test_size(void **state)
{
    (void)state;
    assert_in_range(sizeof(struct policy), 1, 600);
}

/* --- Repetitions --- */

/* Makes another alert of it; from 7 on it still is alike. */
static void vary(struct alert *alert, int how)
{
    switch (how) {
    case 0:
        alert->severity = SEVERITY_WARNING;
        break;
    case 1:
        alert->facility = 4;
        break;
    case 2:
        strcpy(alert->sender, "10.0.2.3");
        break;
    case 3:
        strcpy(alert->host, "web2");
        break;
    case 4:
        strcpy(alert->app, "sshe[412]");
        break;
    case 5:
        strcpy(alert->text, "alert 1.");
        break;
    case 6: /* What is at the end of one field is not at the beginning of the next. */
        strcpy(alert->host, "web1s");
        strcpy(alert->app, "shd[412]");
        break;
    case 7:
        strcpy(alert->app, "sshd[9]");
        break;
    default:
        strcpy(alert->app, "sshd");
    }
}

static void test_alike(void **state)
{
    static struct device device;
    struct alert first;

    (void)state;
    begin(&device);
    first = make(&device, 1, SEVERITY_ERROR);
    assert_int_equal(policy_take(&device.policy, &first, MASK, 0), POLICY_QUEUED);
    for (int i = 0; i < 9; i++) {
        struct alert other = make(&device, 1, SEVERITY_ERROR);

        vary(&other, i);
        assert_int_equal(policy_take(&device.policy, &other, MASK, 0),
                         i < 7 ? POLICY_QUEUED : POLICY_REPEATED);
        assert_true((other.sequence == first.sequence) == (i >= 7));
    }
    assert_int_equal(count_of(&device, first.sequence), 3);
    assert_int_equal(device.queue.count, 8);
    end(&device);
}

/* Alerts of one hash are compared in full: here the hash is made to agree. */
static void test_hash_is_not_all(void **state)
{
    static struct device device;

    (void)state;
    begin(&device);
    device.config.alerts_per_hour = 0;
    for (int i = 0; i < 9; i++) {
        struct alert first = make(&device, 1, SEVERITY_ERROR);
        struct alert other = make(&device, 1, SEVERITY_ERROR);
        uint32_t hash;

        memset(device.policy.recent, 0, sizeof device.policy.recent);
        vary(&other, i);
        assert_int_equal(policy_take(&device.policy, &other, MASK, 0), POLICY_QUEUED);
        hash = device.policy.recent[0].hash;
        memset(device.policy.recent, 0, sizeof device.policy.recent);
        assert_int_equal(policy_take(&device.policy, &first, MASK, 0), POLICY_QUEUED);
        assert_true((device.policy.recent[0].hash == hash) == (i >= 7));
        device.policy.recent[0].hash = hash;
        assert_int_equal(policy_take(&device.policy, &other, MASK, 0),
                         i < 7 ? POLICY_QUEUED : POLICY_REPEATED);
    }
    end(&device);
}

/* While it waits, its count grows: in flash at once eight times, then every ten seconds. */
static void test_counts(void **state)
{
    static struct device device;
    uint32_t sequence;
    uint32_t operations;

    (void)state;
    begin(&device);
    assert_int_equal(take(&device, 1, SEVERITY_ERROR, NULL), POLICY_QUEUED);
    for (uint32_t i = 2; i <= 9; i++) {
        device.now_ms += 100;
        assert_int_equal(take(&device, 1, SEVERITY_ERROR, &sequence), POLICY_REPEATED);
        assert_int_equal(count_of(&device, sequence), i);
    }
    assert_true(policy_deadline(&device.policy) == device.policy.check_ms);
    operations = device.nor.operations;
    for (uint32_t i = 0; i < 5000; i++) {
        device.now_ms += 1;
        assert_int_equal(take(&device, 1, SEVERITY_ERROR, NULL), POLICY_REPEATED);
        assert_false(poll(&device));
    }
    assert_int_equal(device.nor.operations, operations);
    assert_int_equal(count_of(&device, sequence), 9);
    assert_in_range(policy_deadline(&device.policy), 9800, 11000);
    device.now_ms = policy_deadline(&device.policy);
    assert_true(poll(&device));
    assert_int_equal(count_of(&device, sequence), 5009);
    operations = device.nor.operations;
    for (uint32_t i = 0; i < 100000; i++) { /* 100 s: ten writes of a few operations each. */
        device.now_ms += 1;
        assert_int_equal(take(&device, 1, SEVERITY_ERROR, NULL), POLICY_REPEATED);
    }
    assert_in_range(device.nor.operations - operations, 10, 40);
    assert_int_equal(device.queue.books.repeated, 105008);
    /* What leaves has them all. */
    assert_int_equal(send_due(&device), 1);
    assert_int_equal(device.times[1], 105009);
    end(&device);
}

static void test_last_time(void **state)
{
    static struct device device;
    struct queue_item item;
    uint32_t sequence;

    (void)state;
    begin(&device);
    (void)take(&device, 1, SEVERITY_ERROR, NULL);
    for (int i = 0; i < 20; i++) {
        device.now_ms += 300;
        assert_int_equal(take(&device, 1, SEVERITY_ERROR, &sequence), POLICY_REPEATED);
    }
    device.now_ms += 30000; /* Written later than it happened. */
    assert_true(poll(&device));
    assert_true(queue_find(&device.queue, sequence, &item));
    assert_true(item.last_unix_s == START_UNIX_MS / 1000 + 6);
    assert_true(item.unix_s == START_UNIX_MS / 1000);
    policy_flush(&device.policy, device.now_ms); /* Nothing is left. */
    assert_int_equal(count_of(&device, sequence), 21);
    (void)take(&device, 1, SEVERITY_ERROR, NULL);
    (void)take(&device, 1, SEVERITY_ERROR, NULL);
    policy_flush(&device.policy, device.now_ms);
    assert_int_equal(count_of(&device, sequence), 23);
    end(&device);
}

/* After it has left: held, counted, one mail a window. */
static void test_held(void **state)
{
    static struct device device;

    (void)state;
    begin(&device);
    device.now_ms = 5000;
    assert_int_equal(take(&device, 1, SEVERITY_ERROR, NULL), POLICY_QUEUED);
    assert_int_equal(send_due(&device), 1);
    for (unsigned i = 0; i < 3600; i++) {
        run_until(&device, device.now_ms + 1000);
        (void)take(&device, 1, SEVERITY_ERROR, NULL);
        assert_in_range(device.queue.count, 0, 1);
    }
    assert_int_equal(device.mails, 1 + 5);
    run_until(&device, device.now_ms + 605000);
    assert_int_equal(device.mails, 1 + 6);
    assert_int_equal(device.times[1], 3601);
    /* Nothing for a window: the next one leaves at once. */
    run_until(&device, device.now_ms + 600000);
    assert_int_equal(take(&device, 1, SEVERITY_ERROR, NULL), POLICY_QUEUED);
    assert_int_equal(send_due(&device), 1);
    end(&device);
}

static void test_held_until(void **state)
{
    static struct device device;

    (void)state;
    begin(&device);
    (void)take(&device, 1, SEVERITY_ERROR, NULL);
    (void)take(&device, 2, SEVERITY_CRITICAL, NULL);
    device.now_ms = 60000;
    assert_int_equal(send_due(&device), 2);
    device.now_ms = 90000;
    assert_int_equal(take(&device, 1, SEVERITY_ERROR, NULL), POLICY_HELD);
    assert_int_equal(take(&device, 2, SEVERITY_CRITICAL, NULL), POLICY_HELD);
    assert_int_equal(take(&device, 2, SEVERITY_CRITICAL, NULL), POLICY_REPEATED);
    device.now_ms = 149000;
    assert_int_equal(send_due(&device), 0);
    device.now_ms = 155000; /* A minute, to 4 s. */
    assert_int_equal(send_due(&device), 1);
    assert_string_equal(device.last, "alert 2");
    assert_int_equal(device.times[2], 3);
    device.now_ms = 659000;
    assert_int_equal(send_due(&device), 0);
    device.now_ms = 665000;
    assert_int_equal(send_due(&device), 1);
    assert_int_equal(device.times[1], 2);
    end(&device);
}

/* Windows as they are configured; what is critical never waits longer than its own. */
static void test_window(void **state)
{
    static struct device device;

    (void)state;
    begin(&device);
    device.config.repeat_window_s = 30;
    (void)take(&device, 1, SEVERITY_CRITICAL, NULL);
    assert_int_equal(send_due(&device), 1);
    assert_int_equal(take(&device, 1, SEVERITY_CRITICAL, NULL), POLICY_HELD);
    device.now_ms = 35000;
    assert_int_equal(send_due(&device), 1);
    device.now_ms = 64000;
    assert_int_equal(take(&device, 1, SEVERITY_CRITICAL, NULL), POLICY_QUEUED);
    (void)take(&device, 2, SEVERITY_ERROR, NULL); /* Waiting, it counts for as long as well. */
    device.now_ms += 29999;
    assert_int_equal(take(&device, 2, SEVERITY_ERROR, NULL), POLICY_REPEATED);
    device.now_ms += 30001;
    assert_int_equal(take(&device, 2, SEVERITY_ERROR, NULL), POLICY_QUEUED);
    end(&device);
}

/* What waits for a person counts no more. */
static void test_given_up(void **state)
{
    static struct device device;
    struct queue_item item;
    uint32_t sequence;

    (void)state;
    begin(&device);
    (void)take(&device, 1, SEVERITY_ERROR, &sequence);
    assert_true(queue_find(&device.queue, sequence, &item));
    item.event = QUEUE_EXPIRED;
    assert_int_equal(queue_update(&device.queue, &item), 0);
    assert_int_equal(take(&device, 1, SEVERITY_ERROR, &sequence), POLICY_HELD);
    assert_int_not_equal(sequence, item.sequence);
    assert_int_equal(take(&device, 1, SEVERITY_ERROR, &sequence), POLICY_REPEATED);
    assert_int_equal(count_of(&device, sequence), 2);
    assert_int_equal(count_of(&device, item.sequence), 1);
    end(&device);
}

/* From the moment the sender has it in hand, its count is fixed: what comes then is in the next. */
static void test_in_hand(void **state)
{
    static struct device device;
    struct queue_item item;
    struct queue_item now;

    (void)state;
    begin(&device);
    for (int i = 0; i < 30; i++) {
        (void)take(&device, 1, SEVERITY_ERROR, NULL);
    }
    assert_true(queue_due(&device.queue, 0, &item));
    assert_in_range(item.count, 9, 10);
    policy_leaves(&device.policy, &item, 0);
    assert_int_equal(item.count, 30);
    assert_int_equal(take(&device, 1, SEVERITY_ERROR, NULL), POLICY_HELD);
    assert_int_equal(take(&device, 1, SEVERITY_ERROR, NULL), POLICY_REPEATED);
    item.event = QUEUE_WAITING; /* It failed. */
    assert_int_equal(queue_update(&device.queue, &item), 0);
    assert_true(queue_find(&device.queue, item.sequence, &now));
    assert_int_equal(now.count, 30);
    device.now_ms = 700000;
    assert_int_equal(send_due(&device), 2);
    assert_int_equal(device.times[1], 32);
    end(&device);
}

/* What was dropped or gave way told nobody: the next one is not held back. */
static void test_dropped(void **state)
{
    static struct device device;
    uint32_t sequence;

    (void)state;
    begin(&device);
    (void)take(&device, 1, SEVERITY_ERROR, &sequence);
    assert_int_equal(queue_remove(&device.queue, sequence, QUEUE_SUPERSEDED, 0), 0);
    assert_int_equal(take(&device, 1, SEVERITY_ERROR, &sequence), POLICY_QUEUED);
    assert_int_equal(send_due(&device), 1);
    assert_int_equal(take(&device, 1, SEVERITY_ERROR, &sequence), POLICY_HELD);
    assert_int_equal(queue_remove(&device.queue, sequence, QUEUE_DROPPED, 0), 0);
    assert_int_equal(take(&device, 1, SEVERITY_ERROR, &sequence), POLICY_QUEUED);
    end(&device);
}

/* While the server is away a count goes on for as long as they come, whatever the window. */
static void test_server_away(void **state)
{
    static struct device device;

    (void)state;
    begin(&device);
    (void)take(&device, 1, SEVERITY_ERROR, NULL);
    for (int i = 0; i < 500; i++) {
        device.now_ms += 300000;
        assert_int_equal(take(&device, 1, SEVERITY_ERROR, NULL), POLICY_REPEATED);
    }
    device.now_ms += 600000; /* After a whole window it is another. */
    assert_int_equal(take(&device, 1, SEVERITY_ERROR, NULL), POLICY_QUEUED);
    assert_int_equal(send_due(&device), 2);
    assert_int_equal(device.times[1], 502);
    end(&device);
}

static void test_off(void **state)
{
    static struct device device;

    (void)state;
    begin(&device);
    device.config.repeat_window_s = 0;
    device.config.alerts_per_hour = 0;
    for (int i = 0; i < 200; i++) {
        assert_int_equal(take(&device, 1, SEVERITY_DEBUG, NULL), POLICY_QUEUED);
    }
    assert_int_equal(send_due(&device), 200);
    end(&device);
}

/* More kinds than the table has: none is lost, those that come often stay known. */
static void test_many_kinds(void **state)
{
    static struct device device;

    (void)state;
    begin(&device);
    device.config.alerts_per_hour = 0;
    for (unsigned i = 0; i < 1000; i++) {
        device.now_ms += 10;
        assert_int_equal(take(&device, 63, SEVERITY_ERROR, NULL),
                         i == 0 ? POLICY_QUEUED : POLICY_REPEATED);
        (void)take(&device, i % 60, SEVERITY_ERROR, NULL);
    }
    (void)send_due(&device);
    assert_int_equal(device.times[63], 1000);
    for (unsigned i = 0; i < 60; i++) {
        assert_int_equal(device.times[i], (1000 + 59 - i) / 60);
    }
    end(&device);
}

/* A count that is not in flash yet is written before its place is given to another. */
static void test_forgotten(void **state)
{
    static struct device device;

    (void)state;
    begin(&device);
    for (unsigned i = 0; i < 100; i++) {
        (void)take(&device, 63, SEVERITY_ERROR, NULL);
    }
    for (unsigned i = 0; i < POLICY_RECENT_MAX; i++) {
        (void)take(&device, i, SEVERITY_ERROR, NULL);
    }
    (void)send_due(&device);
    assert_int_equal(device.times[63], 100);
    end(&device);
}

/* --- Digests --- */

/* What left as a line has left: the next one like it is held, or folded. */
static void test_line_has_left(void **state)
{
    static struct device device;

    (void)state;
    begin(&device);
    device.config.alerts_per_hour = 1;
    (void)take(&device, 1, SEVERITY_ERROR, NULL);
    assert_int_equal(take(&device, 2, SEVERITY_ERROR, NULL), POLICY_FOLDED);
    device.now_ms = 500000;
    assert_int_equal(take(&device, 2, SEVERITY_ERROR, NULL), POLICY_REPEATED);
    run_until(&device, 900001);
    assert_int_equal(device.digests, 1);
    assert_int_equal(device.times[2], 2);
    device.config.alerts_per_hour = 10;
    assert_int_equal(take(&device, 2, SEVERITY_ERROR, NULL), POLICY_HELD);
    assert_int_equal(take(&device, 2, SEVERITY_ERROR, NULL), POLICY_REPEATED);
    run_until(&device, 1490000);
    assert_int_equal(device.times[2], 2);
    run_until(&device, 1510000);
    assert_int_equal(device.times[2], 4);
    device.config.alerts_per_hour = 1;
    device.now_ms += 1000;
    assert_int_equal(take(&device, 2, SEVERITY_ERROR, NULL), POLICY_FOLDED);
    end(&device);
}

static void test_digest(void **state)
{
    static struct device device;
    struct queue_item item;
    struct alert alert;

    (void)state;
    begin(&device);
    device.config.alerts_per_hour = 3;
    for (unsigned i = 0; i < 8; i++) {
        device.now_ms += 1000;
        assert_int_equal(take(&device, i, i == 6 ? SEVERITY_ERROR : SEVERITY_NOTICE, NULL),
                         i < 3 ? POLICY_QUEUED : POLICY_FOLDED);
    }
    assert_int_equal(take(&device, 5, SEVERITY_NOTICE, NULL), POLICY_REPEATED);
    assert_int_equal(take(&device, 20, SEVERITY_CRITICAL, NULL), POLICY_QUEUED); /* Passes. */
    assert_int_equal(send_due(&device), 4);
    assert_int_equal(device.queue.books.folded, 5);
    assert_true(policy_deadline(&device.policy) == 4000 + 900000);
    device.now_ms = 903999;
    assert_false(poll(&device));
    device.now_ms = 904000;
    assert_true(poll(&device));
    assert_true(policy_deadline(&device.policy) == device.policy.check_ms);
    assert_true(queue_due(&device.queue, device.now_ms, &item));
    assert_true(item.digest);
    assert_int_equal(item.severity, SEVERITY_ERROR);
    assert_int_equal(item.count, 5);
    assert_int_equal(item.pending_mask, MASK);
    assert_int_equal(queue_alert(&device.queue, item.sequence, &alert), 0);
    assert_string_equal(alert.text, "5 alerts, 6 times in all, worst: error");
    assert_int_equal(send_due(&device), 1);
    assert_int_equal(device.queue.count, 0);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(device.times[i], i == 5 ? 2 : 1);
    }
    end(&device);
}

/* The counts that a digest tells are fixed when it is made; what comes then is in the next. */
static void test_digest_counts(void **state)
{
    static struct device device;
    struct queue_item item;
    struct alert alert;

    (void)state;
    begin(&device);
    device.config.alerts_per_hour = 1;
    (void)take(&device, 1, SEVERITY_ERROR, NULL);
    assert_int_equal(take(&device, 2, SEVERITY_ERROR, NULL), POLICY_FOLDED);
    for (int i = 0; i < 98; i++) { /* Most of them not in flash yet when it is made. */
        device.now_ms = 899000 + (uint64_t)i;
        (void)take(&device, 2, SEVERITY_ERROR, NULL);
    }
    device.now_ms = 900000;
    device.policy.recent[0].seen_s = 899;
    assert_true(poll(&device));
    assert_true(queue_find(&device.queue, device.policy.digest, &item));
    assert_int_equal(queue_alert(&device.queue, device.policy.digest, &alert), 0);
    assert_true(strstr(alert.text, "alert") != NULL);
    for (int i = 0; i < 5; i++) {
        assert_int_not_equal(take(&device, 2, SEVERITY_ERROR, NULL), POLICY_QUEUED);
    }
    (void)send_due(&device);
    run_until(&device, device.now_ms + 1000000);
    assert_int_equal(device.times[2], 1 + 98 + 5);
    assert_int_equal(device.digests, 2);
    end(&device);
}

/* No hour, wherever it begins, has more mails of their own than it may; the first ones leave at
 * once; nothing is missing. */
static void test_hour(void **state)
{
    static struct device device;
    static uint64_t left_ms[4000];
    uint32_t random = 0x70C51;
    size_t left = 0;
    unsigned folded = 0;

    (void)state;
    begin(&device);
    device.config.alerts_per_hour = 7;
    device.config.repeat_window_s = 0;
    for (unsigned i = 0; i < 3000; i++) {
        int result;

        random = random * 1664525 + 1013904223;
        run_until(&device, device.now_ms + (random >> 8) % 150000);
        result = take(&device, i % 50, SEVERITY_ERROR, NULL);
        if (result == POLICY_QUEUED) {
            left_ms[left++] = device.now_ms;
        }
        folded += result == POLICY_FOLDED;
        assert_true(i >= 7 || result == POLICY_QUEUED);
    }
    run_until(&device, device.now_ms + 901000);
    assert_int_equal(left + folded, 3000);
    for (size_t i = 7; i < left; i++) {
        assert_true(left_ms[i] - left_ms[i - 7] >= 3600000);
    }
    assert_in_range(left, device.now_ms / 3600000 * 6, device.now_ms / 3600000 * 7 + 7);
    assert_int_equal(device.mails, left + device.digests);
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(device.times[i], 60);
    }
    assert_int_equal(device.queue.count, 0);
    end(&device);
}

/* One that waits is not joined by others; one that failed or was refused is, with lines of their
 * own. */
static void test_digest_waits(void **state)
{
    static struct device device;
    struct queue_item item;
    uint32_t first;

    (void)state;
    begin(&device);
    device.config.alerts_per_hour = 1;
    (void)take(&device, 0, SEVERITY_ERROR, NULL);
    (void)take(&device, 1, SEVERITY_ERROR, NULL);
    device.now_ms = 900000;
    assert_true(poll(&device));
    first = device.policy.digest;
    assert_int_equal(take(&device, 2, SEVERITY_ERROR, NULL), POLICY_FOLDED);
    for (int i = 0; i < 100; i++) { /* The server is away. */
        device.now_ms += 900000;
        assert_false(poll(&device));
        assert_in_range(policy_deadline(&device.policy), device.now_ms + 1, device.now_ms + 60000);
    }
    assert_true(queue_find(&device.queue, first, &item));
    item.event = QUEUE_REFUSED;
    assert_int_equal(queue_update(&device.queue, &item), 0);
    device.now_ms += 60000;
    assert_true(poll(&device));
    assert_int_not_equal(device.policy.digest, first);
    assert_int_equal(count_of(&device, device.policy.digest), 1);
    (void)send_due(&device);
    assert_int_equal(device.digests, 1);
    assert_int_equal(device.times[1], 0);
    assert_int_equal(device.times[2], 1);
    /* The refused one has kept its line, also over a reset. */
    reboot(&device);
    assert_true(policy_deadline(&device.policy) == device.policy.check_ms);
    assert_true(queue_find(&device.queue, first, &item));
    item.event = QUEUE_RETRIED;
    assert_int_equal(queue_update(&device.queue, &item), 0);
    (void)send_due(&device);
    assert_int_equal(device.times[1], 1);
    assert_int_equal(device.queue.count, 0);
    end(&device);
}

/* A digest that was given up and gave way leaves its lines to the next one. */
static void test_digest_displaced(void **state)
{
    static struct device device;
    struct queue_item item;

    (void)state;
    begin(&device);
    device.config.alerts_per_hour = 1;
    (void)take(&device, 1, SEVERITY_ERROR, NULL);
    (void)take(&device, 2, SEVERITY_ERROR, NULL);
    (void)send_due(&device);
    device.now_ms = 900000;
    assert_true(poll(&device));
    assert_true(queue_find(&device.queue, device.policy.digest, &item));
    item.event = QUEUE_REFUSED;
    assert_int_equal(queue_update(&device.queue, &item), 0);
    run_until(&device, 20000000);
    assert_int_equal(device.digests, 0);
    assert_int_equal(queue_remove(&device.queue, item.sequence, QUEUE_DISPLACED, 0), 0);
    run_until(&device, 20000000 + 3601000);
    assert_int_equal(device.digests, 1);
    assert_int_equal(device.times[2], 1);
    assert_int_equal(device.queue.count, 0);
    end(&device);
}

/* A reset before the digest was made: it is made at the start. */
static void test_digest_after_reset(void **state)
{
    static struct device device;

    (void)state;
    begin(&device);
    device.config.alerts_per_hour = 2;
    for (unsigned i = 0; i < 10; i++) {
        (void)take(&device, i, SEVERITY_ERROR, NULL);
    }
    reboot(&device);
    assert_int_equal(device.queue.count, 10);
    run_until(&device, 2);
    assert_int_equal(device.digests, 1);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(device.times[i], 1);
    }
    assert_int_equal(device.queue.count, 0);
    end(&device);
}

/* A long one does not wait for its time, but for a minute after the one before. */
static void test_long_digest(void **state)
{
    static struct device device;

    (void)state;
    begin(&device);
    device.config.alerts_per_hour = 1;
    device.config.repeat_window_s = 0;
    for (unsigned i = 0; i <= 256; i++) {
        assert_true(policy_deadline(&device.policy) > 30000);
        (void)take(&device, 1, SEVERITY_ERROR, NULL);
    }
    assert_in_range(policy_deadline(&device.policy), 0, 1);
    run_until(&device, 1000);
    assert_int_equal(device.times[1], 257);
    (void)take(&device, 1, SEVERITY_ERROR, NULL);
    assert_true(policy_deadline(&device.policy) == 1000 + 900000);
    for (unsigned i = 0; i < 300; i++) {
        (void)take(&device, 1, SEVERITY_ERROR, NULL);
    }
    assert_in_range(policy_deadline(&device.policy), 60000, 60002);
    run_until(&device, 61000);
    assert_int_equal(device.times[1], 558);
    end(&device);
}

/* The provider's limits fold what would have to wait longer than a digest, and nothing else. */
static void test_limits(void **state)
{
    static struct device device;
    unsigned own = 0;

    (void)state;
    begin(&device);
    device.config.limit_day = 100;
    device.config.alerts_per_hour = 1000;
    device.config.repeat_window_s = 0;
    reboot(&device);
    for (unsigned i = 0; i < 2880; i++) { /* One a minute for two days. */
        int result = take(&device, i % 50, SEVERITY_ERROR, NULL);

        own += result == POLICY_QUEUED;
        assert_true(result == POLICY_QUEUED || result == POLICY_FOLDED);
        run_until(&device, device.now_ms + 60000);
    }
    assert_in_range(own, 19, 150);
    assert_in_range(device.mails, 130, 200);
    assert_in_range(device.queue.count, 0, 60); /* Nothing piles up. */
    run_until(&device, device.now_ms + 7200000);
    for (unsigned i = 0; i < 50; i++) {
        assert_in_range(device.times[i], 57, 58);
    }
    end(&device);

    begin(&device);
    device.config.limit_minute = 10; /* Short waits do not matter. */
    reboot(&device);
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(take(&device, i, SEVERITY_ERROR, NULL), POLICY_QUEUED);
    }
    end(&device);
}

/* --- The lines of a digest --- */

static bool line_of(void *context, unsigned index, struct text *out)
{
    struct device *device = context;

    return policy_digest_line(&device->policy, device->policy.digest, index, out);
}

static void make_digest(struct device *device, unsigned lines)
{
    device->config.alerts_per_hour = 1;
    (void)take(device, 60, SEVERITY_ERROR, NULL);
    (void)send_due(device);
    for (unsigned i = 0; i < lines; i++) {
        assert_int_equal(take(device, i % TEXTS, SEVERITY_ERROR, NULL), POLICY_FOLDED);
    }
    device->now_ms += 900000;
    assert_true(poll(device));
}

static void test_line(void **state)
{
    static struct device device;
    char buf[RFC5322_DIGEST_LINE_BYTES];
    struct text text = text_begin(buf, sizeof buf);
    struct alert alert;

    (void)state;
    begin(&device);
    device.config.alerts_per_hour = 1;
    device.config.zone_minutes = 180;
    (void)take(&device, 60, SEVERITY_ERROR, NULL);
    (void)send_due(&device);
    (void)take(&device, 1, SEVERITY_ERROR, NULL);
    device.now_ms = 75000;
    (void)take(&device, 1, SEVERITY_ERROR, NULL);
    device.unix_ms = 0;
    alert = make(&device, 2, SEVERITY_WARNING);
    alert.app[0] = '\0';
    alert.host[0] = '\0';
    assert_int_equal(policy_take(&device.policy, &alert, MASK, device.now_ms), POLICY_FOLDED);
    device.unix_ms = START_UNIX_MS;
    device.now_ms = 900000;
    assert_true(poll(&device));
    assert_true(line_of(&device, 0, &text));
    assert_string_equal(buf, "2026-11-22 01:05:54  error  web1 sshd[412]: alert 1 (2 times, last "
                             "2026-11-22 01:07:09)");
    text = text_begin(buf, sizeof buf);
    assert_true(line_of(&device, 1, &text));
    assert_string_equal(buf, "75 s after start 7  warning  10.0.2.2: alert 2");
    text = text_begin(buf, sizeof buf);
    assert_false(line_of(&device, 2, &text));
    assert_false(line_of(&device, 0xFFFF, &text));
    end(&device);
}

/* The longest line fits. */
static void test_longest_line(void **state)
{
    static struct device device;
    char buf[RFC5322_DIGEST_LINE_BYTES];
    struct text text = text_begin(buf, sizeof buf);
    struct alert alert = make(&device, 1, SEVERITY_EMERGENCY);
    const struct queue_how folded = {.folded = true};
    const struct queue_how how = {.digest = true};

    (void)state;
    begin(&device);
    memset(alert.host, 'h', sizeof alert.host - 1);
    memset(alert.app, 'a', sizeof alert.app - 1);
    memset(alert.text, 't', sizeof alert.text - 1);
    alert.unix_s = START_UNIX_MS / 1000;
    alert.last_unix_s = alert.unix_s;
    alert.count = UINT32_MAX;
    alert.damaged = true; /* Not kept by the queue: its room is counted below. */
    assert_int_equal(queue_add(&device.queue, &alert, &folded), 0);
    alert.count = 1;
    assert_int_equal(queue_add(&device.queue, &alert, &how), 0);
    assert_true(policy_digest_line(&device.policy, alert.sequence, 0, &text));
    assert_false(text.cut);
    assert_non_null(strstr(buf, "(4294967295 times, last 2026-11-21 22:05:54)"));
    assert_in_range(text.length + strlen("[damaged in flash] "), 500, sizeof buf - 1);
    end(&device);
}

/* Members that give way while the mail is being read move no other, and the end tells of them. */
static void test_lines_stay(void **state)
{
    static struct device device;
    char buf[RFC5322_DIGEST_LINE_BYTES];
    unsigned seen[41] = {0};
    struct queue_item item;
    uint32_t gone[4];
    unsigned index = 0;

    (void)state;
    begin(&device);
    make_digest(&device, 40);
    for (unsigned i = 0; i < 4; i++) {
        assert_true(queue_member(&device.queue, device.policy.digest,
                                 (const unsigned[]){2, 5, 20, 39}[i], &item));
        gone[i] = item.sequence;
    }
    for (;; index++) {
        struct text text = text_begin(buf, sizeof buf);
        unsigned number = 40;

        if (!line_of(&device, index, &text)) {
            break;
        }
        if (strstr(buf, "alert ") != NULL) {
            assert_int_equal(sscanf(strstr(buf, "alert "), "alert %u", &number), 1);
        } else {
            assert_string_equal(
                buf, "2 more gave way to others, were dropped, or went out in another mail.");
        }
        seen[number]++;
        if (index == 10) { /* One that was read, the one in hand, two that were not. */
            for (unsigned i = 0; i < 4; i++) {
                (void)queue_remove(&device.queue, gone[i], QUEUE_DISPLACED, 0);
            }
            assert_true(queue_member(&device.queue, device.policy.digest, 8, &item));
            (void)queue_remove(&device.queue, item.sequence, QUEUE_DISPLACED, 0);
        }
        if (index % 7 == 3) { /* A read ended in this line. */
            char again[RFC5322_DIGEST_LINE_BYTES];

            text = text_begin(again, sizeof again);
            assert_true(line_of(&device, index, &text));
            assert_string_equal(again, buf);
        }
    }
    assert_int_equal(index, 40 - 2 + 1);
    for (unsigned i = 0; i < 41; i++) {
        assert_int_equal(seen[i], i == 20 || i == 39 ? 0 : 1);
    }
    /* The next try has those that are left, and all the same a line for the others. */
    for (index = 0;; index++) {
        struct text text = text_begin(buf, sizeof buf);

        if (!line_of(&device, index, &text)) {
            break;
        }
    }
    assert_int_equal(index, 40 - 5 + 1);
    end(&device);
}

/* The whole mail of a thousand lines: its size is as told, and each line is in it. */
static void test_long_mail(void **state)
{
    static struct device device;
    static uint8_t mail[400000];
    static const char *const to[] = {"a@example.com"};
    struct alert alert;
    struct rfc5322_fields fields = {
        .alert = &alert,
        .from = "d@example.com",
        .from_name = "",
        .to = to,
        .to_count = 1,
        .device = "router1",
        .board = "board",
        .version = "v",
        .message_id = "1@x",
        .address = "",
        .line = line_of,
        .line_context = &device,
    };
    struct rfc5322 composer;
    bool has_eight_bit;
    uint32_t size;
    size_t total = 0;
    size_t got;
    unsigned lines = 0;

    (void)state;
    begin(&device);
    device.config.repeat_window_s = 0;
    make_digest(&device, 1000);
    assert_int_equal(queue_alert(&device.queue, device.policy.digest, &alert), 0);
    assert_string_equal(alert.text, "1000 alerts, worst: error");
    rfc5322_init(&composer, &fields);
    size = rfc5322_size(&composer, &has_eight_bit);
    while ((got = rfc5322_read(&composer, mail + total, 900)) > 0) {
        total += got;
    }
    assert_int_equal(total, size);
    mail[total] = '\0';
    assert_non_null(strstr((char *)mail, "[router1] DIGEST: 1000 alerts, worst: error\r\n"));
    for (const char *at = (char *)mail; (at = strstr(at, "sshd[412]: alert ")) != NULL; at++) {
        lines++;
    }
    assert_int_equal(lines, 1000);
    end(&device);
}

/* --- Everything together --- */

/* A seeded hour of storms. said[] is what policy_take() took, saved[] what of it need not be lost
 * with the power. */
struct storm {
    uint32_t random;
    uint32_t said[TEXTS];
};

static uint32_t storm_random(struct storm *storm, uint32_t below)
{
    storm->random ^= storm->random << 13;
    storm->random ^= storm->random >> 17;
    storm->random ^= storm->random << 5;
    return storm->random % below;
}

/* One step; false: the power is lost. */
static bool storm_step(struct device *device, struct storm *storm)
{
    unsigned text = storm_random(storm, storm_random(storm, 4) == 0 ? TEXTS : 6);
    uint8_t severity = text % 8 == 0 ? SEVERITY_CRITICAL : SEVERITY_ERROR;
    unsigned times = storm_random(storm, 6) == 0 ? 30 : 1;

    for (unsigned i = 0; i < times && !device->nor.off; i++) {
        int result = take(device, text, severity, NULL);

        if (!device->nor.off) {
            assert_true(result >= 0);
            storm->said[text]++;
        }
        device->now_ms += 10;
    }
    return !device->nor.off;
}

/* Without a reset every count that leaves is right to the last one. */
static void test_nothing_is_lost(void **state)
{
    static struct device device;

    (void)state;
    for (uint32_t seed = 1; seed <= 5; seed++) {
        struct storm storm = {.random = seed};

        begin(&device);
        device.config.alerts_per_hour = 10;
        for (unsigned i = 0; i < 1000; i++) {
            assert_true(storm_step(&device, &storm));
            if (storm_random(&storm, 3) > 0) {
                run_until(&device, device.now_ms + storm_random(&storm, 60000));
            } else {
                device.now_ms += storm_random(&storm, 60000); /* The server was away. */
            }
        }
        run_until(&device, device.now_ms + 2000000);
        assert_int_equal(device.queue.count, 0);
        for (unsigned i = 0; i < TEXTS; i++) {
            assert_int_equal(device.times[i], storm.said[i]);
        }
        end(&device);
    }
}

/* Storms until the power is lost in operation n. False: it was not. early: what had been taken ten
 * seconds before. */
static bool storm_until_cut(struct device *device, uint32_t n, struct storm *storm,
                            struct storm *early)
{
    nor_cut_in(&device->nor, n, (enum nor_cut)(n % NOR_CUT_KINDS));
    for (unsigned i = 0; i < 40; i++) {
        if (!storm_step(device, storm)) {
            return true;
        }
        device->now_ms += 10000;
        while (policy_deadline(&device->policy) <= device->now_ms && !device->nor.off) {
            (void)poll(device);
        }
        if (device->nor.off) {
            return true;
        }
        *early = *storm;
    }
    return false;
}

/* Power cuts at every operation, and again while the digest is being made that the first one left
 * unmade: each alert that was taken leaves, in a mail of its own or in a line, and no count is
 * lower than nine and than it was ten seconds before. */
static void test_cuts(void **state)
{
    static struct device device;
    unsigned cuts = 0;
    bool cut = true;

    (void)state;
    for (uint32_t seed = 1; seed <= 3; seed++) {
        for (uint32_t n = 1; n == 1 || cut; n++) {
            struct storm storm = {.random = seed};
            struct storm early = storm;

            begin_with(&device, 4096, 16);
            device.config.alerts_per_hour = 4;
            device.config.digest_delay_s = 60;
            cut = storm_until_cut(&device, n, &storm, &early);
            cuts += cut;
            reboot(&device);
            assert_null(device.journal.problem);
            nor_cut_in(&device.nor, 1 + n % 5, (enum nor_cut)(n / 4 % NOR_CUT_KINDS));
            device.now_ms = 1;
            (void)poll(&device);
            cuts += device.nor.off;
            reboot(&device);
            run_until(&device, 2000000);
            assert_int_equal(device.queue.count, 0);
            for (unsigned i = 0; i < TEXTS; i++) {
                assert_true(device.times[i] >= early.said[i]);
                assert_true(device.times[i] >= (storm.said[i] < 9 ? storm.said[i] : 9));
            }
            end(&device);
        }
    }
    print_message("%u cuts\n", cuts);
    assert_in_range(cuts, 500, 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_alike),
        cmocka_unit_test(test_hash_is_not_all),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_last_time),
        cmocka_unit_test(test_held),
        cmocka_unit_test(test_held_until),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_given_up),
        cmocka_unit_test(test_in_hand),
        cmocka_unit_test(test_dropped),
        cmocka_unit_test(test_server_away),
        cmocka_unit_test(test_off),
        cmocka_unit_test(test_many_kinds),
        cmocka_unit_test(test_forgotten),
        cmocka_unit_test(test_line_has_left),
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_digest_counts),
        cmocka_unit_test(test_hour),
        cmocka_unit_test(test_digest_waits),
        cmocka_unit_test(test_digest_displaced),
        cmocka_unit_test(test_digest_after_reset),
        cmocka_unit_test(test_long_digest),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_longest_line),
        cmocka_unit_test(test_lines_stay),
        cmocka_unit_test(test_long_mail),
        cmocka_unit_test(test_nothing_is_lost),
        cmocka_unit_test(test_cuts),
    };

    return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
