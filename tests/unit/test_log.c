/* The log's ring: lines come out as they went in, the oldest give way whole. */
#include "firmware/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void make(char *line, uint32_t number, size_t length)
{
    snprintf(line, LOG_BYTES, "%u:", (unsigned)number);
    for (size_t i = strlen(line); i < length; i++) {
        line[i] = (char)('a' + (number + i) % 26);
        line[i + 1] = '\0';
    }
}

static void test_empty(void **state)
{
    struct log log;
    char line[LOG_LINE_BYTES];
    uint16_t at = 0;

    (void)state;
    log_init(&log);
    assert_false(log_next(&log, &at, line, sizeof line));
    log_add(&log, "");
    assert_true(log_next(&log, &at, line, sizeof line));
    assert_string_equal(line, "");
    assert_false(log_next(&log, &at, line, sizeof line));
}

static void test_cut(void **state)
{
    struct log log;
    char line[LOG_BYTES];
    char got[LOG_BYTES];
    uint16_t at = 0;

    (void)state;
    log_init(&log);
    make(line, 1, LOG_BYTES - 1);
    log_add(&log, line);
    log_add(&log, "two\nlines");
    assert_true(log_next(&log, &at, got, sizeof got));
    assert_int_equal(strlen(got), LOG_LINE_BYTES - 1);
    assert_memory_equal(got, line, LOG_LINE_BYTES - 1);
    assert_true(log_next(&log, &at, got, 8)); /* A short buffer cuts, and stays at line ends. */
    assert_string_equal(got, "two lin");
    assert_false(log_next(&log, &at, got, sizeof got));
}

/* Whatever the lengths: what is left is the newest lines, none torn, and no fewer than fit. */
static void test_wrap(void **state)
{
    struct log log;
    uint32_t random = 0x1234567;
    static size_t length[2001];

    (void)state;
    log_init(&log);
    for (uint32_t number = 1; number <= 2000; number++) {
        char line[LOG_BYTES];
        char got[LOG_LINE_BYTES];
        uint16_t at = 0;
        size_t used = 0;
        uint32_t oldest;

        random = random * 1664525 + 1013904223;
        length[number] = 6 + (random >> 16) % (LOG_LINE_BYTES - 6);
        make(line, number, length[number]);
        log_add(&log, line);
        oldest = log.displaced + 1;
        for (uint32_t i = oldest; i <= number; i++) {
            assert_true(log_next(&log, &at, got, sizeof got));
            make(line, i, length[i]);
            assert_string_equal(got, line);
            used += length[i] + 1;
        }
        assert_false(log_next(&log, &at, got, sizeof got));
        assert_int_equal(log.used, used);
        assert_true(oldest == 1 || used + length[oldest - 1] + 1 > LOG_BYTES);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_wrap),
    };

    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
