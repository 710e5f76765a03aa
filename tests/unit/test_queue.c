/* The queue on a flash that works: what is kept, the order, who gives way, digests, times. Power
 * cuts and damage are test_powercut.c's and test_damage.c's. */
#include "firmware/queue.h"
#include "tests/sim/nor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BLOCK 4096u
#define BLOCKS 6u

/* A queue and what it stands on. */
struct bench {
    struct nor nor;
    struct journal journal;
    struct limits limits;
    struct queue queue;
    uint64_t unix_ms;
};

static uint64_t bench_unix_ms(void *context)
{
    return ((struct bench *)context)->unix_ms;
}

static void mount(struct bench *bench)
{
    static const uint32_t none[LIMITS_COUNT];

    limits_init(&bench->limits, none);
    memset(&bench->queue, 0x5A, sizeof bench->queue);
    queue_init(&bench->queue, &bench->journal, &bench->nor.flash, &bench->limits, bench_unix_ms,
               bench);
}

static void begin(struct bench *bench, uint32_t blocks)
{
    static const uint8_t id[JOURNAL_DEVICE_ID_BYTES] = {1}, seed[JOURNAL_SEED_BYTES] = {2};
    struct flash shape = {
        .size_bytes = blocks * BLOCK,
        .erase_bytes = BLOCK,
        .page_bytes = 256,
        .program_bytes = 4,
        .erased = 0xFF,
        .log_bytes = blocks * BLOCK,
    };

    memset(bench, 0, sizeof *bench);
    nor_init(&bench->nor, &shape, 99);
    mount(bench);
    assert_int_equal(journal_seed_create(&bench->journal, id, seed), 0);
}

static void end(struct bench *bench)
{
    assert_null(bench->nor.violation);
    nor_free(&bench->nor);
}

static struct alert make(uint32_t key, uint8_t severity, size_t text_bytes)
{
    struct alert alert;

    memset(&alert, 0, sizeof alert);
    alert.boot_count = 7;
    alert.uptime_ms = key * 1000ull;
    alert.severity = severity;
    alert.facility = 3;
    strcpy(alert.source, "syslog");
    strcpy(alert.sender, "192.0.2.200");
    strcpy(alert.host, "router1");
    strcpy(alert.domain, "example.com");
    snprintf(alert.app, sizeof alert.app, "app[%u]", (unsigned)key);
    for (size_t i = 0; i < text_bytes && i + 1 < sizeof alert.text; i++) {
        alert.text[i] = (char)('a' + (key + i) % 26);
    }
    return alert;
}

/* Returns the number, or the error. */
static int add_how(struct bench *bench, uint8_t severity, size_t text_bytes, struct queue_how how)
{
    struct alert alert = make(bench->journal.next_number, severity, text_bytes);
    int error = queue_add(&bench->queue, &alert, &how);

    return error < 0 ? error : (int)alert.sequence;
}

static int add(struct bench *bench, uint8_t severity, size_t text_bytes)
{
    return add_how(bench, severity, text_bytes, (struct queue_how){.pending_mask = 1});
}

static bool has(const struct bench *bench, int sequence)
{
    struct alert alert;

    return queue_alert(&bench->queue, (uint32_t)sequence, &alert) == 0;
}

static struct queue_item item_of(const struct bench *bench, int sequence)
{
    struct queue_item item;

    assert_true(queue_find(&bench->queue, (uint32_t)sequence, &item));
    return item;
}

static void event(struct bench *bench, int sequence, enum queue_event what)
{
    struct queue_item item = item_of(bench, sequence);

    item.event = (uint8_t)what;
    assert_int_equal(queue_update(&bench->queue, &item), 0);
}

static void finish(struct bench *bench, int sequence, enum queue_event what)
{
    assert_int_equal(queue_remove(&bench->queue, (uint32_t)sequence, what, 250), 0);
}

static void assert_alert(const struct bench *bench, const struct alert *want)
{
    struct alert got;

    assert_int_equal(queue_alert(&bench->queue, want->sequence, &got), 0);
    assert_false(got.damaged);
    assert_int_equal(got.sequence, want->sequence);
    assert_int_equal(got.boot_count, want->boot_count);
    assert_true(got.uptime_ms == want->uptime_ms);
    assert_true(got.queued_unix_s == want->queued_unix_s);
    assert_int_equal(got.severity, want->severity);
    assert_int_equal(got.facility, want->facility);
    assert_string_equal(got.source, want->source);
    assert_string_equal(got.sender, want->sender);
    assert_string_equal(got.host, want->host);
    assert_string_equal(got.app, want->app);
    assert_string_equal(got.text, want->text);
    assert_string_equal(got.domain, want->domain);
}

static void test_round_trip(void **state)
{
    static const size_t lengths[] = {1, ALERT_TEXT_BYTES, 3};
    struct queue_how how = {.pending_mask = 1};
    struct alert want[3];
    struct queue_item item;
    struct bench bench;

    (void)state;
    begin(&bench, BLOCKS);
    assert_false(queue_item(&bench.queue, 0, &item));
    assert_false(queue_due(&bench.queue, UINT64_MAX, &item));
    assert_true(queue_due_ms(&bench.queue, 0) == UINT64_MAX);
    for (unsigned i = 0; i < 3; i++) {
        want[i] = make(i, SEVERITY_ERROR, lengths[i]);
        want[i].queued_unix_s = 1800000000 + i;
        assert_int_equal(queue_add(&bench.queue, &want[i], &how), 0);
        assert_int_equal(want[i].sequence, i + 1);
    }
    for (unsigned boots = 0; boots < 2; boots++, mount(&bench)) {
        assert_int_equal(bench.queue.count, 3);
        for (unsigned i = 0; i < 3; i++) {
            assert_alert(&bench, &want[i]);
            assert_true(queue_item(&bench.queue, i, &item));
            assert_int_equal(item.sequence, i + 1);
        }
        assert_false(queue_item(&bench.queue, 3, &item));
    }
    finish(&bench, 2, QUEUE_ACCEPTED);
    assert_int_equal(queue_remove(&bench.queue, 2, QUEUE_ACCEPTED, 250), E_MISSING);
    assert_true(has(&bench, 1) && !has(&bench, 2) && has(&bench, 3));
    mount(&bench);
    assert_true(has(&bench, 1) && !has(&bench, 2) && has(&bench, 3));
    finish(&bench, 1, QUEUE_ACCEPTED);
    finish(&bench, 3, QUEUE_DROPPED);
    assert_int_equal(bench.queue.live_bytes, 0);
    mount(&bench);
    assert_int_equal(bench.queue.count, 0);
    assert_int_equal(bench.queue.books.accepted, 2);
    assert_int_equal(bench.queue.books.dropped, 1);
    assert_int_equal(bench.queue.books.displaced, 0);
    assert_int_equal(add(&bench, SEVERITY_ERROR, 5), 4); /* No number twice. */
    end(&bench);
}

/* The largest fields that an alert can have, at once. */
static void test_largest(void **state)
{
    struct queue_how how = {.pending_mask = 1};
    struct alert alert;
    struct bench bench;

    (void)state;
    begin(&bench, BLOCKS);
    alert = make(1, SEVERITY_ERROR, ALERT_TEXT_BYTES);
    memset(alert.source, 's', sizeof alert.source - 1);
    memset(alert.sender, '2', sizeof alert.sender - 1);
    memset(alert.host, 'h', sizeof alert.host - 1);
    memset(alert.app, 'p', sizeof alert.app - 1);
    memset(alert.domain, 'd', sizeof alert.domain - 1);
    assert_int_equal(queue_add(&bench.queue, &alert, &how), 0);
    mount(&bench);
    assert_alert(&bench, &alert);
    end(&bench);
}

static void test_order(void **state)
{
    static const int order[] = {5, 3, 4, 1, 2};
    struct queue_item item;
    struct bench bench;

    (void)state;
    begin(&bench, BLOCKS);
    assert_int_equal(add(&bench, SEVERITY_WARNING, 4), 1);
    assert_int_equal(add(&bench, SEVERITY_WARNING, 4), 2);
    assert_int_equal(add(&bench, SEVERITY_CRITICAL, 4), 3);
    assert_int_equal(add(&bench, SEVERITY_CRITICAL, 4), 4);
    assert_int_equal(
        add_how(&bench, SEVERITY_NOTICE, 4, (struct queue_how){.pending_mask = 3, .is_test = true}),
        5);
    assert_int_equal(queue_waiting(&bench.queue), 5);
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        assert_true(queue_due(&bench.queue, 0, &item));
        assert_int_equal(item.sequence, order[i]);
        assert_int_equal(item.pending_mask, i == 0 ? 3 : 1);
        finish(&bench, order[i], QUEUE_ACCEPTED);
    }
    assert_false(queue_due(&bench.queue, 0, &item));
    end(&bench);
}

/* A test is in RAM alone. */
static void test_test(void **state)
{
    struct bench bench;
    int test;

    (void)state;
    begin(&bench, BLOCKS);
    test = add_how(&bench, SEVERITY_NOTICE, 4, (struct queue_how){.is_test = true});
    assert_true(test > 0);
    assert_true(item_of(&bench, test).volatile_ && item_of(&bench, test).is_test);
    assert_int_equal(queue_address(&bench.queue, (uint32_t)test), FLASH_NOWHERE);
    mount(&bench);
    assert_false(has(&bench, test));
    end(&bench);
}

static void test_update(void **state)
{
    struct queue_item item;
    struct bench bench;

    (void)state;
    begin(&bench, BLOCKS);
    bench.unix_ms = 1800000000123;
    assert_int_equal(add(&bench, SEVERITY_ERROR, 10), 1);
    assert_int_equal(add(&bench, SEVERITY_ERROR, 30), 2);
    item = item_of(&bench, 1);
    item.due_ms = 50000;
    item.attempts = 3;
    item.code = 451;
    item.event = QUEUE_WAITING;
    assert_int_equal(queue_update(&bench.queue, &item), 0);
    assert_true(queue_due(&bench.queue, 49000, &item));
    assert_int_equal(item.sequence, 2);
    event(&bench, 2, QUEUE_REFUSED);
    assert_int_equal(queue_given_up(&bench.queue), 1);
    assert_false(queue_due(&bench.queue, 49000, &item));
    assert_in_range(queue_due_ms(&bench.queue, 49000), 50000, 50000 + 4096);
    assert_true(queue_due(&bench.queue, 50000 + 4096, &item));
    assert_int_equal(item.sequence, 1);
    assert_int_equal(item.attempts, 3);
    mount(&bench);
    item = item_of(&bench, 1);
    assert_int_equal(item.attempts, 3);
    assert_int_equal(item.code, 451);
    assert_int_equal(item.event, QUEUE_WAITING);
    assert_true(item.event_unix_ms == 1800000000123);
    assert_true(item_of(&bench, 2).refused);
    event(&bench, 2, QUEUE_RETRIED);
    assert_false(item_of(&bench, 2).refused);
    event(&bench, 1, QUEUE_EXPIRED);
    event(&bench, 2, QUEUE_REFUSED);
    assert_true(queue_due_ms(&bench.queue, 0) == UINT64_MAX);
    assert_int_equal(bench.queue.books.refused, 2);
    assert_int_equal(bench.queue.books.expired, 1);
    item.sequence = 99; /* It has gone meanwhile. */
    assert_int_equal(queue_update(&bench.queue, &item), E_MISSING);
    assert_int_equal(bench.queue.count, 2);
    end(&bench);
}

/* A delay is kept in RAM alone, up to a day and more. */
static void test_delay(void **state)
{
    static const uint64_t delays_ms[] = {4096, 60000, 3600000, 36 * 3600000ull};
    uint64_t now_ms = 1000000000; /* The 16 bits of a due time have gone round many times. */
    struct queue_item item;
    struct bench bench;

    (void)state;
    begin(&bench, BLOCKS);
    assert_int_equal(add(&bench, SEVERITY_ERROR, 10), 1);
    for (size_t i = 0; i < sizeof delays_ms / sizeof delays_ms[0]; i++) {
        assert_true(queue_due(&bench.queue, now_ms, &item));
        item.due_ms = now_ms + delays_ms[i];
        item.yields = true;
        queue_delay(&bench.queue, &item);
        assert_true(item_of(&bench, 1).yields);
        assert_false(queue_due(&bench.queue, now_ms + delays_ms[i] - 1, &item));
        assert_in_range(queue_due_ms(&bench.queue, now_ms) - now_ms, delays_ms[i],
                        delays_ms[i] + 4096);
        now_ms += delays_ms[i] + 4096;
    }
    assert_true(queue_due(&bench.queue, now_ms, &item));
    end(&bench);
}

/* Adds alerts until the next one has to displace. Returns how many. */
static int fill(struct bench *bench, uint8_t severity, size_t text_bytes)
{
    int count = 0;

    begin(bench, BLOCKS);
    while (bench->queue.live_bytes + (count > 0 ? bench->queue.live_bytes / (uint32_t)count : 0) <=
           journal_room(&bench->journal)) {
        assert_int_equal(add(bench, severity, text_bytes), ++count);
    }
    assert_int_equal(bench->queue.books.displaced, 0);
    return count;
}

static void test_displaces(void **state)
{
    struct bench bench;
    int count = fill(&bench, SEVERITY_WARNING, 30);
    int now;

    (void)state;
    assert_in_range(count, 20, 60);
    assert_int_equal(add(&bench, SEVERITY_NOTICE, 30), E_SPACE); /* Less severe than all. */
    assert_int_equal(bench.queue.books.displaced, 1);
    assert_true(has(&bench, 1));
    now = add(&bench, SEVERITY_WARNING, 30); /* As severe: the oldest goes. */
    assert_int_equal(bench.queue.books.displaced, 2);
    assert_true(!has(&bench, 1) && has(&bench, 2) && has(&bench, now));
    now = add(&bench, SEVERITY_ERROR, 30);
    assert_true(!has(&bench, 2) && has(&bench, 3) && has(&bench, now));
    event(&bench, count - 1, QUEUE_REFUSED); /* Given up: it goes before the oldest. */
    now = add(&bench, SEVERITY_ERROR, 30);
    assert_true(!has(&bench, count - 1) && has(&bench, 3) && has(&bench, now));
    event(&bench, 3, QUEUE_TRYING);             /* May be with the server by now: it does not go. */
    now = add(&bench, SEVERITY_EMERGENCY, 300); /* As many as it takes. */
    assert_true(has(&bench, 3) && !has(&bench, 4) && !has(&bench, 5) && has(&bench, now));
    mount(&bench);
    assert_true(has(&bench, 3) && !has(&bench, 4) && !has(&bench, 5) && has(&bench, now));
    end(&bench);
}

/* What cannot make enough room takes nobody's place. */
static void test_displaces_nobody_in_vain(void **state)
{
    struct bench bench;

    (void)state;
    fill(&bench, SEVERITY_CRITICAL, 30);
    finish(&bench, 3, QUEUE_ACCEPTED);
    assert_true(add(&bench, SEVERITY_DEBUG, 20) > 0);
    assert_int_equal(bench.queue.books.displaced, 0);
    assert_int_equal(add(&bench, SEVERITY_WARNING, 350), E_SPACE);
    assert_int_equal(bench.queue.books.displaced, 1);
    assert_true(has(&bench, bench.queue.count > 0 ? 1 : 0));
    end(&bench);
}

/* Full for ever: each new alert displaces one, thousands of times, and none that may not. */
static void test_full_for_ever(void **state)
{
    struct bench bench;
    int count = fill(&bench, SEVERITY_ERROR, 60);

    (void)state;
    for (int i = 0; i < 3000; i++) {
        assert_true(add(&bench, SEVERITY_ERROR, 60) > 0);
        assert_int_equal(bench.queue.count, count);
        if (i % 100 == 0) {
            mount(&bench);
            assert_int_equal(bench.queue.count, count);
        }
    }
    assert_int_equal(add(&bench, SEVERITY_DEBUG, 60), E_SPACE);
    assert_int_equal(bench.queue.books.displaced, 3001);
    end(&bench);
}

/* The index has a bound of its own. */
static void test_index_full(void **state)
{
    struct bench bench;

    (void)state;
    begin(&bench, 200);
    for (int i = 1; i <= QUEUE_MAX; i++) {
        assert_int_equal(add(&bench, SEVERITY_ERROR, 10), i);
    }
    assert_int_equal(bench.queue.books.displaced, 0);
    assert_int_equal(add(&bench, SEVERITY_WARNING, 10), E_SPACE);
    assert_true(add(&bench, SEVERITY_ERROR, 10) > 0);
    assert_true(bench.queue.count == QUEUE_MAX && !has(&bench, 1) && has(&bench, 2));
    assert_int_equal(add_how(&bench, SEVERITY_NOTICE, 4, (struct queue_how){.is_test = true}),
                     E_SPACE);
    mount(&bench);
    assert_true(bench.queue.count == QUEUE_MAX && !has(&bench, 1) && has(&bench, 2));
    end(&bench);
}

static void test_set_time(void **state)
{
    struct queue_how how = {.pending_mask = 1};
    struct alert alert = make(9, SEVERITY_ERROR, 5);
    struct bench bench;

    (void)state;
    begin(&bench, BLOCKS);
    alert.uptime_ms = 4000;
    assert_int_equal(queue_add(&bench.queue, &alert, &how), 0);
    alert.unix_s = 1234; /* Knows its time. */
    assert_int_equal(queue_add(&bench.queue, &alert, &how), 0);
    alert.unix_s = 0;
    alert.boot_count = 6; /* Of another boot: nobody knows. */
    assert_int_equal(queue_add(&bench.queue, &alert, &how), 0);
    event(&bench, 1, QUEUE_REFUSED);
    bench.unix_ms = 1800000060500;
    queue_set_time(&bench.queue, 7, 1800000060500, 60000);
    for (unsigned boots = 0; boots < 2; boots++, mount(&bench)) {
        assert_true(item_of(&bench, 1).unix_s == 1800000004);
        assert_true(item_of(&bench, 1).refused);
        assert_true(item_of(&bench, 2).unix_s == 1234);
        assert_true(item_of(&bench, 3).unix_s == 0);
        assert_int_equal(bench.queue.books.refused, 1); /* Once is once. */
    }
    end(&bench);
}

static void test_digest(void **state)
{
    const struct queue_how folded = {.pending_mask = 1, .folded = true};
    struct queue_how digest = {.pending_mask = 1, .digest = true};
    uint32_t first = 0;
    struct queue_item item;
    struct bench bench;
    int number;

    (void)state;
    begin(&bench, BLOCKS);
    assert_int_equal(queue_folded(&bench.queue, &first), 0);
    assert_int_equal(add_how(&bench, SEVERITY_ERROR, 9, folded), 1);
    assert_int_equal(add(&bench, SEVERITY_ERROR, 9), 2);
    assert_int_equal(add_how(&bench, SEVERITY_WARNING, 9, folded), 3);
    assert_int_equal(bench.queue.books.folded, 2);
    assert_int_equal(queue_folded(&bench.queue, &first), 2);
    assert_int_equal(first, 1);
    digest.after = first - 1;
    number = add_how(&bench, SEVERITY_ERROR, 9, digest);
    assert_int_equal(queue_folded(&bench.queue, &first), 0);
    assert_int_equal(add_how(&bench, SEVERITY_ERROR, 9, folded), 5);
    for (unsigned boots = 0; boots < 2; boots++, mount(&bench)) {
        assert_true(queue_member(&bench.queue, (uint32_t)number, 0, &item));
        assert_int_equal(item.sequence, 1);
        assert_true(queue_member(&bench.queue, (uint32_t)number, 1, &item));
        assert_int_equal(item.sequence, 3);
        assert_false(queue_member(&bench.queue, (uint32_t)number, 2, &item));
        assert_int_equal(queue_folded(&bench.queue, &first), 1);
        assert_int_equal(first, 5);
        assert_int_equal(queue_waiting(&bench.queue), 2);
    }
    finish(&bench, number, QUEUE_ACCEPTED);
    for (unsigned boots = 0; boots < 2; boots++, mount(&bench)) {
        assert_true(!has(&bench, 1) && has(&bench, 2) && !has(&bench, 3) && has(&bench, 5));
    }
    end(&bench);
}

/* A digest that is long gone must not leave a member that moved: the log goes round while both
 * wait, then the digest is accepted, then the log goes round again. */
static void test_digest_and_moves(void **state)
{
    const struct queue_how folded = {.pending_mask = 1, .folded = true};
    const struct queue_how digest = {.pending_mask = 1, .digest = true};

    (void)state;
    for (int turns = 0; turns < 300; turns += 7) {
        struct bench bench;

        begin(&bench, BLOCKS);
        assert_int_equal(add_how(&bench, SEVERITY_ERROR, 100, folded), 1);
        assert_int_equal(add_how(&bench, SEVERITY_ERROR, 100, digest), 2);
        for (int i = 0; i < 400; i++) {
            int number = add(&bench, SEVERITY_ERROR, 40);

            assert_true(number > 0);
            finish(&bench, number, QUEUE_ACCEPTED);
            if (i == turns) {
                finish(&bench, 2, QUEUE_ACCEPTED);
            }
            if (i > turns && i % 10 == 0) {
                mount(&bench);
                assert_int_equal(bench.queue.count, 0);
            }
        }
        end(&bench);
    }
}

/* Where flash takes nothing, the last few are in RAM. */
static void test_no_flash(void **state)
{
    struct bench bench;
    int last = 0;

    (void)state;
    begin(&bench, BLOCKS);
    assert_int_equal(add(&bench, SEVERITY_ERROR, 9), 1);
    bench.nor.off = true;
    for (int i = 0; i < 5; i++) {
        last = add(&bench, SEVERITY_ERROR, 9);
        assert_true(last > 0);
    }
    assert_true(item_of(&bench, last).volatile_);
    assert_true(has(&bench, last));
    bench.nor.off = false;
    mount(&bench);
    assert_true(has(&bench, 1) && !has(&bench, last));
    end(&bench);
    memset(&bench, 0, sizeof bench);
    queue_init(&bench.queue, &bench.journal, NULL, &bench.limits, bench_unix_ms, &bench);
    assert_true(add(&bench, SEVERITY_ERROR, 9) > 0);
    assert_int_equal(bench.queue.count, 1);
}

/* So many alerts come and go that the log goes round some times. */
static void go_round(struct bench *bench, int alerts)
{
    for (int i = 0; i < alerts; i++) {
        int number = add(bench, SEVERITY_ERROR, 40);

        assert_true(number > 0);
        finish(bench, number, QUEUE_ACCEPTED);
    }
}

/* What went bad is told however often the alert is written again. */
static void test_damage_is_told(void **state)
{
    struct alert alert;
    struct bench bench;
    uint32_t address;

    (void)state;
    begin(&bench, BLOCKS);
    assert_int_equal(add(&bench, SEVERITY_ERROR, 100), 1);
    address = queue_address(&bench.queue, 1);
    nor_flip(&bench.nor, address + 116, 0);
    nor_flip(&bench.nor, address + 117, 0);
    for (int turns = 0; turns < 12; turns++) {
        assert_int_equal(queue_alert(&bench.queue, 1, &alert), 0);
        assert_true(alert.damaged);
        go_round(&bench, 20);
    }
    assert_int_not_equal(queue_address(&bench.queue, 1), address);
    end(&bench);
}

/* A mark that goes bad while the device runs, wherever it does, hides no alert: it is sent, and it
 * is there when the log has gone round. */
static void test_mark_goes_bad(void **state)
{
    (void)state;
    for (uint32_t at = 0; at < 48; at += 2) {
        struct queue_item item;
        struct bench bench;
        uint32_t mark;

        begin(&bench, BLOCKS);
        assert_int_equal(add(&bench, SEVERITY_CRITICAL, 100), 1);
        assert_int_equal(add(&bench, SEVERITY_ERROR, 100), 2);
        mark = bench.journal.next;
        event(&bench, 1, QUEUE_WAITING);
        nor_flip(&bench.nor, mark + at, 0);
        nor_flip(&bench.nor, mark + at + 1, 5);
        if (at < 28 || at >= 32) { /* Elsewhere than where it says where the alert stands. */
            assert_true(queue_due(&bench.queue, 0, &item));
            assert_int_equal(item.sequence, 1);
            assert_true(has(&bench, 1));
        }
        go_round(&bench, 300);
        assert_true(has(&bench, 1) && has(&bench, 2));
        mount(&bench);
        assert_true(has(&bench, 1) && has(&bench, 2));
        end(&bench);
    }
}

/* What no server takes is in the way of no error that one may take. */
static void test_given_up_gives_way(void **state)
{
    struct bench bench;
    int count = fill(&bench, SEVERITY_EMERGENCY, 30);

    (void)state;
    assert_int_equal(add(&bench, SEVERITY_ERROR, 30), E_SPACE);
    for (int i = 1; i <= count; i++) {
        event(&bench, i, QUEUE_REFUSED);
    }
    for (int i = 1; i <= count; i++) {
        assert_int_equal(add(&bench, SEVERITY_WARNING, 30), E_SPACE);
        assert_true(add(&bench, SEVERITY_ERROR, 30) > 0);
    }
    assert_int_equal(queue_given_up(&bench.queue), 0);
    end(&bench);
}

/* Digests that are gone cost a mount no more than others, whatever else waits. */
static void test_mount_after_digests(void **state)
{
    struct queue_how digest = {.pending_mask = 1, .digest = true};
    struct bench bench;
    uint64_t before;

    (void)state;
    begin(&bench, 200);
    for (int i = 0; i < 1000; i++) {
        assert_true(add(&bench, SEVERITY_ERROR, 10) > 0);
    }
    for (int i = 0; i < 300; i++) {
        digest.after = (uint32_t)add_how(&bench, SEVERITY_ERROR, 10,
                                         (struct queue_how){.pending_mask = 1, .folded = true}) -
                       1;
        finish(&bench, add_how(&bench, SEVERITY_ERROR, 10, digest), QUEUE_ACCEPTED);
    }
    before = bench.nor.bytes_read;
    mount(&bench);
    assert_int_equal(bench.queue.count, 1000);
    assert_true(bench.nor.bytes_read - before < 4 * bench.nor.flash.log_bytes);
    end(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_largest),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_test),
        cmocka_unit_test(test_update),
        cmocka_unit_test(test_delay),
        cmocka_unit_test(test_displaces),
        cmocka_unit_test(test_displaces_nobody_in_vain),
        cmocka_unit_test(test_full_for_ever),
        cmocka_unit_test(test_index_full),
        cmocka_unit_test(test_set_time),
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_digest_and_moves),
        cmocka_unit_test(test_no_flash),
        cmocka_unit_test(test_damage_is_told),
        cmocka_unit_test(test_mark_goes_bad),
        cmocka_unit_test(test_given_up_gives_way),
        cmocka_unit_test(test_mount_after_digests),
    };

    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
