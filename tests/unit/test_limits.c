/* The provider's limits against a window that remembers every message. */
#include "firmware/limits.h"
#include "net/alert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define START_MS 1795298754123u
#define SENT_MAX 40000

static const uint32_t period_ms[LIMITS_COUNT] = {60000, 3600000, 86400000};

static uint32_t random_next(uint32_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 17;
    *random ^= *random << 5;
    return *random;
}

/* The times at which messages left, in order. */
struct record {
    uint64_t ms[SENT_MAX];
    size_t count;
};

/* No half-open window of any limit's period holds more than the limit: it is enough to look at
 * those that begin with a message. */
static void check_windows(const struct record *sent, const uint32_t most[LIMITS_COUNT])
{
    for (size_t i = 0; i < LIMITS_COUNT; i++) {
        for (size_t n = most[i]; most[i] != 0 && n < sent->count; n++) {
            assert_true(sent->ms[n] - sent->ms[n - most[i]] >= period_ms[i]);
        }
    }
}

static void take(struct limits *limits, struct record *sent, uint64_t ms)
{
    limits_take(limits, ms);
    assert_true(sent->count < SENT_MAX);
    sent->ms[sent->count++] = ms;
}

/* Messages are always waiting: sends as many as may leave until `end`. */
static void drain(struct limits *limits, struct record *sent, uint64_t *ms, uint64_t end,
                  uint8_t severity)
{
    for (;;) {
        uint64_t wait_ms = limits_wait_ms(limits, *ms, severity);

        if (*ms + wait_ms >= end) {
            break;
        }
        if (wait_ms > 0) { /* Not a millisecond too late. */
            assert_true(limits_wait_ms(limits, *ms + wait_ms - 1, severity) == 1);
        }
        *ms += wait_ms;
        take(limits, sent, *ms);
    }
    *ms = end;
}

/* Messages that are kept for the critical ones; rounding may have made the bucket a little larger
 * than a quarter. */
static size_t reserve_of(const struct limits *limits, size_t kind)
{
    return (limits->burst_ms[kind] / limits->interval_ms[kind] + 2) / 4;
}

static void test_off(void **state)
{
    static const uint32_t most[LIMITS_COUNT] = {0, 0, 0};
    struct limits limits;

    (void)state;
    limits_init(&limits, most);
    for (int i = 0; i < 1000; i++) {
        assert_true(limits_wait_ms(&limits, START_MS, SEVERITY_DEBUG) == 0);
        assert_string_equal(limits_name(&limits, START_MS, SEVERITY_DEBUG), "");
        limits_take(&limits, START_MS);
    }
}

/* The first period sees exactly the limit, the others three quarters of it or more. */
static void test_throughput(void **state)
{
    static const uint32_t limit[] = {1, 2, 3, 4, 5, 7, 8, 10, 30, 60, 100, 500, 999, 2000};
    static struct record sent;

    (void)state;
    for (size_t kind = 0; kind < LIMITS_COUNT; kind++) {
        for (size_t n = 0; n < sizeof limit / sizeof limit[0]; n++) {
            for (uint8_t severity = SEVERITY_CRITICAL; severity <= SEVERITY_ERROR; severity++) {
                uint32_t most[LIMITS_COUNT] = {0};
                size_t first = limit[n];
                struct limits limits;
                uint64_t ms = START_MS;

                most[kind] = limit[n];
                limits_init(&limits, most);
                first -= severity == SEVERITY_ERROR ? reserve_of(&limits, kind) : 0;
                sent.count = 0;
                drain(&limits, &sent, &ms, START_MS + period_ms[kind], severity);
                assert_int_equal(sent.count, first);
                drain(&limits, &sent, &ms, START_MS + 11ull * period_ms[kind], severity);
                assert_in_range(sent.count - first, 10ull * limit[n] * 3 / 4, 10ull * limit[n]);
                check_windows(&sent, most);
                /* After a pause, all of it again. */
                ms += period_ms[kind];
                sent.count = 0;
                drain(&limits, &sent, &ms, ms + period_ms[kind], severity);
                assert_int_equal(sent.count, first);
            }
        }
    }
}

/* The largest that the configuration takes: no sum overflows, and rounding to milliseconds costs
 * nothing of the first period. */
static void test_largest(void **state)
{
    static const uint32_t most[LIMITS_COUNT] = {10000, 100000, 1000000};
    struct limits limits;

    (void)state;
    for (size_t i = 0; i < LIMITS_COUNT; i++) {
        uint32_t one[LIMITS_COUNT] = {0};
        uint32_t gets;

        one[i] = most[i];
        limits_init(&limits, one);
        gets = limits.burst_ms[i] / limits.interval_ms[i] - 1 +
               (period_ms[i] + limits.interval_ms[i] - 1) / limits.interval_ms[i];
        assert_int_equal(gets, most[i]);
        assert_in_range(limits.burst_ms[i], period_ms[i] / 4, period_ms[i] / 2);
    }
}

/* What is kept for the critical ones is there when the ordinary have taken theirs. */
static void test_reserve(void **state)
{
    static const uint32_t most[LIMITS_COUNT] = {100, 0, 0};
    static struct record sent;
    struct limits limits;
    uint64_t ms = START_MS;

    (void)state;
    limits_init(&limits, most);
    sent.count = 0;
    drain(&limits, &sent, &ms, START_MS + 1, SEVERITY_ERROR);
    assert_int_equal(sent.count, 25 - 6);
    assert_string_equal(limits_name(&limits, START_MS, SEVERITY_ERROR), "minute");
    assert_string_equal(limits_name(&limits, START_MS, SEVERITY_CRITICAL), "");
    ms = START_MS;
    drain(&limits, &sent, &ms, START_MS + 1, SEVERITY_EMERGENCY);
    assert_int_equal(sent.count, 25);
    assert_string_equal(limits_name(&limits, START_MS, SEVERITY_CRITICAL), "minute");
    /* The ordinary then wait until the reserve is whole again. */
    assert_true(limits_wait_ms(&limits, START_MS, SEVERITY_ERROR) ==
                7ull * limits.interval_ms[LIMITS_MINUTE]);
}

static void test_wait_all(void **state)
{
    static const uint32_t most[LIMITS_COUNT] = {100, 0, 400};
    struct limits limits;

    (void)state;
    limits_init(&limits, most);
    for (uint32_t count = 1; count <= 300; count++) {
        struct limits copy = limits;
        uint64_t said_ms = limits_wait_all_ms(&limits, START_MS, SEVERITY_ERROR, count);
        uint64_t ms = START_MS;

        for (uint32_t i = 0; i < count; i++) {
            ms += limits_wait_ms(&copy, ms, SEVERITY_ERROR);
            limits_take(&copy, ms);
        }
        assert_true(ms - START_MS == said_ms);
    }
    assert_true(limits_wait_all_ms(&limits, 0, SEVERITY_ERROR, 300) == 0);
}

static void test_name(void **state)
{
    static const uint32_t most[LIMITS_COUNT] = {2, 3, 4};
    struct limits limits;
    uint64_t ms = START_MS;

    (void)state;
    limits_init(&limits, most);
    limits_take(&limits, ms);
    assert_string_equal(limits_name(&limits, ms, 0), "day"); /* 6 h, 20 min, 30 s. */
    limits.interval_ms[LIMITS_DAY] = 0;
    assert_string_equal(limits_name(&limits, ms, 0), "hour");
    assert_string_equal(limits_name(&limits, ms + 20 * 60000, 0), "");
}

/* A clock that goes back: nobody waits longer than at an empty bucket; told of it, as long as
 * before. */
static void test_clock(void **state)
{
    static const uint32_t most[LIMITS_COUNT] = {0, 0, 100};
    struct limits limits;
    struct limits told;
    uint64_t wait_ms;

    (void)state;
    limits_init(&limits, most);
    for (int i = 0; i < 20; i++) {
        limits_take(&limits, START_MS);
    }
    told = limits;
    wait_ms = limits_wait_ms(&limits, START_MS, SEVERITY_ERROR);
    assert_true(wait_ms > 0);
    assert_true(limits_wait_ms(&limits, START_MS - 86400000, SEVERITY_ERROR) ==
                7ull * limits.interval_ms[LIMITS_DAY]);
    assert_true(limits_wait_ms(&limits, START_MS - 86400000, SEVERITY_CRITICAL) ==
                limits.interval_ms[LIMITS_DAY]);
    limits_shift(&told, START_MS, START_MS - 86400000);
    assert_true(limits_wait_ms(&told, START_MS - 86400000, SEVERITY_ERROR) == wait_ms);
    limits_shift(&told, START_MS - 86400000, START_MS + 86400000);
    assert_true(limits_wait_ms(&told, START_MS + 86400000, SEVERITY_ERROR) == wait_ms);
    /* While it is not known, nothing is lost. */
    assert_true(limits_wait_ms(&told, 0, SEVERITY_ERROR) == 0);
    assert_true(limits_wait_ms(&told, START_MS + 86400000, SEVERITY_ERROR) == wait_ms);
}

/* Random limits, arrivals and reboots, which keep three numbers. */
static void test_property(void **state)
{
    static struct record sent;
    uint32_t random = 0x70C51;

    (void)state;
    for (int round = 0; round < 300; round++) {
        uint32_t most[LIMITS_COUNT];
        uint32_t gap_ms = 1u << (8 + random_next(&random) % 15);
        struct limits limits;
        uint64_t ms = START_MS;

        for (size_t i = 0; i < LIMITS_COUNT; i++) {
            most[i] = random_next(&random) % 3 == 0 ? 0 : 1 + random_next(&random) % (20u << 2 * i);
        }
        limits_init(&limits, most);
        sent.count = 0;
        for (int i = 0; i < 500; i++) {
            uint8_t severity = (uint8_t)(random_next(&random) % SEVERITY_COUNT);

            if (random_next(&random) % 4 == 0) {
                ms += random_next(&random) % gap_ms;
            }
            ms += limits_wait_ms(&limits, ms, severity);
            take(&limits, &sent, ms);
            if (random_next(&random) % 8 == 0) {
                struct limits again;

                limits_init(&again, most);
                memcpy(again.full_unix_ms, limits.full_unix_ms, sizeof again.full_unix_ms);
                limits = again;
            }
        }
        check_windows(&sent, most);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_off),      cmocka_unit_test(test_throughput),
        cmocka_unit_test(test_largest),  cmocka_unit_test(test_reserve),
        cmocka_unit_test(test_wait_all), cmocka_unit_test(test_name),
        cmocka_unit_test(test_clock),    cmocka_unit_test(test_property),
    };

    return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
