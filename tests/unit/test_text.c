/* The bounded text helpers: what fits, what is cut, what is shown, and the calendar. */
#include "net/text.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define REPLACEMENT "\xEF\xBF\xBD"

static void test_numbers(void **state)
{
    static const uint32_t values[] = {0, 1, 9, 10, 99, 100, 4294967295u};

    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char buf[64];
        char expected[64];
        struct text text = text_begin(buf, sizeof buf);

        text_add_u32(&text, values[i]);
        text_add_char(&text, ' ');
        text_add_pad(&text, values[i], 4);
        text_add_char(&text, ' ');
        text_add_hex(&text, values[i], 8);
        snprintf(expected, sizeof expected, "%u %04u %08x", values[i], values[i], values[i]);
        assert_string_equal(buf, expected);
        assert_int_equal(text.length, strlen(expected));
        assert_false(text.cut);
    }
}

/* Against a plain division, around every power of two and every border of its own steps. */
static void test_seconds(void **state)
{
    (void)state;
    for (unsigned shift = 0; shift < 42; shift++) {
        for (uint64_t ms = ((uint64_t)1 << shift) - 1; ms < ((uint64_t)1 << shift) + 2100; ms++) {
            assert_int_equal(text_seconds(ms), ms / 1000);
        }
    }
    assert_int_equal(text_seconds((uint64_t)UINT32_MAX * 1000 + 999), UINT32_MAX);
    for (uint64_t unix_s = 0; unix_s < 253402300800u; unix_s = unix_s * 3 / 2 + 86399) {
        struct text_date date = text_date(unix_s, 0);

        assert_int_equal(unix_s / 3600 % 24, date.hour);
        assert_int_equal((unix_s / 86400 + 4) % 7, date.weekday);
    }
}

static void test_format(void **state)
{
    char buf[64];
    struct text text = text_begin(buf, sizeof buf);

    (void)state;
    text_format(&text, "%s=%u,", "a", 7u);
    text_format(&text, "%02u:%03u %c 100%%", 5u, 1234u, '!');
    assert_string_equal(buf, "a=7,05:1234 ! 100%");
    assert_int_equal(text_print(buf, sizeof buf, "%s", "whole"), 5);
    assert_string_equal(buf, "whole");
    assert_int_equal(text_print(buf, 4, "%s-%u", "ab", 99u), 3);
    assert_string_equal(buf, "ab-");
}

/* Whatever is added to whatever size: ended, never past the buffer, and a cut is remembered. */
static void test_bounds(void **state)
{
    (void)state;
    for (size_t size = 1; size < 12; size++) {
        char buf[16];
        struct text text;

        memset(buf, '#', sizeof buf);
        text = text_begin(buf, size);
        text_add(&text, "abc");
        text_add_u32(&text, 4567);
        assert_int_equal(text.cut, size < 8);
        assert_int_equal(text.length, size < 8 ? size - 1 : 7);
        assert_memory_equal(buf, "abc4567", text.length);
        assert_int_equal(buf[text.length], '\0');
        for (size_t i = size; i < sizeof buf; i++) {
            assert_int_equal(buf[i], '#');
        }
    }
}

static void test_copy(void **state)
{
    char buf[4];

    (void)state;
    assert_true(text_copy(buf, sizeof buf, "abc"));
    assert_string_equal(buf, "abc");
    assert_false(text_copy(buf, sizeof buf, "abcd"));
    assert_string_equal(buf, "abc");
    assert_true(text_copy(buf, sizeof buf, ""));
    assert_string_equal(buf, "");
}

static void test_printable(void **state)
{
    static const struct {
        const char *bytes;
        const char *shown;
    } samples[] = {
        {"plain ~", "plain ~"},
        {"\xD0\x96 \xE2\x82\xAC \xF0\x9F\x94\x94", "\xD0\x96 \xE2\x82\xAC \xF0\x9F\x94\x94"},
        {"a\r\n\tb\x1B[2J\x7F.", "a   b [2J ."},
        /* C1, line and paragraph separator, right-to-left override, isolate. */
        {"\xC2\x9B.\xE2\x80\xA8.\xE2\x80\xA9.\xE2\x80\xAE.\xE2\x81\xA6", " . . . . "},
        {"\xC2\xA0.\xE2\x80\xA7.\xE2\x80\xAF", "\xC2\xA0.\xE2\x80\xA7.\xE2\x80\xAF"},
        /* Stray, short, overlong, surrogate, too large, never used. */
        {"\x80.", REPLACEMENT "."},
        {"\xD0.", REPLACEMENT "."},
        {"\xE2\x82.", REPLACEMENT REPLACEMENT "."},
        {"\xF0\x9F\x94", REPLACEMENT REPLACEMENT REPLACEMENT},
        {"\xC0\xAF", REPLACEMENT REPLACEMENT},
        {"\xE0\x9F\xBF", REPLACEMENT REPLACEMENT REPLACEMENT},
        {"\xF0\x8F\xBF\xBF", REPLACEMENT REPLACEMENT REPLACEMENT REPLACEMENT},
        {"\xED\xA0\x80", REPLACEMENT REPLACEMENT REPLACEMENT},
        {"\xF4\x90\x80\x80", REPLACEMENT REPLACEMENT REPLACEMENT REPLACEMENT},
        {"\xFE\xFF\xF5", REPLACEMENT REPLACEMENT REPLACEMENT},
        /* The ends of each range. */
        {"\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F\xBF\xBF",
         "\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F\xBF"
         "\xBF"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        char buf[64];
        struct text text = text_begin(buf, sizeof buf);

        text_add_printable(&text, samples[i].bytes, strlen(samples[i].bytes));
        assert_string_equal(buf, samples[i].shown);
        assert_false(text.cut);
    }
}

static void test_printable_is_cut_between_characters(void **state)
{
    static const char bytes[] = "a\xD0\x96\xF0\x9F\x94\x94z";

    (void)state;
    for (size_t size = 1; size <= sizeof bytes; size++) {
        static const size_t kept[] = {0, 0, 1, 1, 3, 3, 3, 3, 7, 8};
        char buf[16];
        struct text text = text_begin(buf, size);

        text_add_printable(&text, bytes, sizeof bytes - 1);
        assert_int_equal(text.length, kept[size]);
        assert_int_equal(text.cut, size < sizeof bytes);
        assert_memory_equal(buf, bytes, kept[size]);
        assert_int_equal(buf[kept[size]], '\0');
    }
}

/* A sequence ends where the bytes end, whatever lies behind them. */
static void test_char_ends_with_the_bytes(void **state)
{
    const char *shown;
    size_t shown_size;

    (void)state;
    assert_int_equal(text_char("\xD0\x96", 2, &shown, &shown_size), 2);
    assert_int_equal(shown_size, 2);
    assert_int_equal(text_char("\xD0\x96", 1, &shown, &shown_size), 1);
    assert_memory_equal(shown, REPLACEMENT, 3);
    assert_int_equal(text_char("\xF0\x9F\x94\x94", 3, &shown, &shown_size), 1);
    assert_int_equal(shown_size, 3);
}

/* NUL is a character like another where a size is given. */
static void test_printable_nul(void **state)
{
    char buf[8];
    struct text text = text_begin(buf, sizeof buf);

    (void)state;
    text_add_printable(&text, "a\0b", 3);
    assert_string_equal(buf, "a b");
}

/* The calendar agrees with the C library's, each day of three centuries and at the ends of days. */
static void test_date(void **state)
{
    (void)state;
    for (uint64_t day = 0; day < 110000; day++) {
        uint64_t unix_s = day * 86400 + (day % 3 == 0 ? 0 : day % 3 == 1 ? 86399 : 45296);
        time_t seconds = (time_t)unix_s;
        struct tm tm;
        struct text_date date = text_date(unix_s, 0);

        assert_non_null(gmtime_r(&seconds, &tm));
        assert_int_equal(date.year, tm.tm_year + 1900);
        assert_int_equal(date.month, tm.tm_mon + 1);
        assert_int_equal(date.day, tm.tm_mday);
        assert_int_equal(date.hour, tm.tm_hour);
        assert_int_equal(date.minute, tm.tm_min);
        assert_int_equal(date.second, tm.tm_sec);
        assert_int_equal(date.weekday, tm.tm_wday);
    }
}

static void test_time(void **state)
{
    char buf[32];
    struct text text = text_begin(buf, sizeof buf);

    (void)state;
    text_add_time(&text, 1795298754, 0);
    assert_string_equal(buf, "2026-11-21 22:05:54");
    text = text_begin(buf, sizeof buf);
    text_add_time(&text, 1795298754, 180);
    assert_string_equal(buf, "2026-11-22 01:05:54");
    text = text_begin(buf, sizeof buf);
    text_add_time(&text, 1709164800, -1); /* 29 February 2024 begins; a minute west of it. */
    assert_string_equal(buf, "2024-02-28 23:59:00");
    text = text_begin(buf, sizeof buf);
    text_add_time(&text, 60, -720); /* Nothing before 1970. */
    assert_string_equal(buf, "1970-01-01 00:00:00");
}

static void test_parse_u32(void **state)
{
    static const char *const wrong[] = {
        "", " 1", "1 ", "-1", "+1", "0x1", "1a", "101", "4294967296", "99999999999999999999999"};
    uint32_t value = 7;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(text_parse_u32(wrong[i], 100, &value));
        assert_int_equal(value, 7);
    }
    assert_true(text_parse_u32("100", 100, &value));
    assert_int_equal(value, 100);
    assert_true(text_parse_u32("0007", 100, &value));
    assert_int_equal(value, 7);
    assert_true(text_parse_u32("4294967295", UINT32_MAX, &value));
    assert_int_equal(value, UINT32_MAX);
    assert_false(text_parse_u32("4294967296", UINT32_MAX, &value));
}

static void test_ipv4(void **state)
{
    static const char *const wrong[] = {"",           "1",        "1.2.3",     "1.2.3.", "1.2.3.4.",
                                        "1.2.3.4 ",   " 1.2.3.4", "1.2.3.256", "1..3.4", "1.2.3.4a",
                                        "1.2.3.0004", "a.b.c.d",  "1,2,3,4"};
    uint32_t address = 0;
    char buf[16];
    struct text text = text_begin(buf, sizeof buf);

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(text_parse_ipv4(wrong[i], &address));
    }
    assert_true(text_parse_ipv4("192.0.2.255", &address));
    assert_int_equal(address, inet_addr("192.0.2.255"));
    text_add_ipv4(&text, address);
    assert_string_equal(buf, "192.0.2.255");
    assert_true(text_parse_ipv4("0.0.0.0", &address));
    assert_int_equal(address, 0);
}

static void test_nocase(void **state)
{
    (void)state;
    assert_true(text_equal_nocase("StartTLS", "STARTTLS"));
    assert_true(text_equal_nocase("", ""));
    assert_false(text_equal_nocase("a", "ab"));
    assert_false(text_equal_nocase("ab", "a"));
    assert_false(text_equal_nocase("[", "{")); /* 32 apart, like a letter and its capital. */
    assert_true(text_starts_nocase("AUTH plain", "auth "));
    assert_true(text_starts_nocase("x", ""));
    assert_false(text_starts_nocase("AUT", "AUTH"));
    assert_false(text_starts_nocase("BUTH", "AUTH"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_seconds),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_printable),
        cmocka_unit_test(test_printable_is_cut_between_characters),
        cmocka_unit_test(test_char_ends_with_the_bytes),
        cmocka_unit_test(test_printable_nul),
        cmocka_unit_test(test_date),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_parse_u32),
        cmocka_unit_test(test_ipv4),
        cmocka_unit_test(test_nocase),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
