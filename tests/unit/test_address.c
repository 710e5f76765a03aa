/* Address lists as people and programs write them: whole, byte by byte, and cut at every place. */
#include "net/address.h"
#include "net/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define TEN "0123456789"
#define FIFTY TEN TEN TEN TEN TEN

static char told_bytes[20000];
static struct text told;

/* Each address, and how many bytes were pushed behind it. */
static void found(void *context, const char *address)
{
    const struct address_list *list = context;

    assert_true(address_is_valid(address));
    assert_true(address_list_behind(list) <= list->at);
    text_add(&told, told.length > 0 ? "|" : "");
    text_add(&told, address);
}

static unsigned parse(const char *text, size_t size, size_t first, size_t piece)
{
    struct address_list list;

    memset(&list, 0x5A, sizeof list);
    told = text_begin(told_bytes, sizeof told_bytes);
    address_list_init(&list, found, &list);
    for (size_t at = 0; at < size;) {
        size_t step = at == 0 && first > 0 ? first : piece;

        step = step < size - at ? step : size - at;
        address_list_push(&list, text + at, step);
        at += step;
    }
    return address_list_end(&list);
}

/* The addresses in a list, and how many were not understood. */
static void check(const char *text, const char *expected, unsigned bad)
{
    size_t size = strlen(text);

    for (size_t first = 0; first <= size; first++) {
        unsigned got = parse(text, size, first, size);

        if (strcmp(told_bytes, expected) != 0 || got != bad) {
            print_error("%s\n", text);
        }
        assert_string_equal(told_bytes, expected);
        assert_int_equal(got, bad);
    }
    assert_int_equal(parse(text, size, 0, 1), bad);
    assert_string_equal(told_bytes, expected);
}

static void test_plain(void **state)
{
    (void)state;
    check("", "", 0);
    check(" \t\r\n ", "", 0);
    check("root", "root", 0);
    check("a@b", "a@b", 0);
    check("a@b.c, d", "a@b.c|d", 0);
    check("a@b,c@d;e@f", "a@b|c@d|e@f", 0);
    check(",,a@b,, ;;,\n c@d,", "a@b|c@d", 0);
    check("<a@b>", "a@b", 0);
    check("< a@b >", "a@b", 0);
    check("a+b=c!#$%&'*/?^_`{|}~-@b", "a+b=c!#$%&'*/?^_`{|}~-@b", 0);
    check("a@[192.0.2.1], b@[IPv6:2001:db8::1]", "a@[192.0.2.1]|b@[IPv6:2001:db8::1]", 0);
    check("\xC3\xA9@\xC3\xA9.example", "\xC3\xA9@\xC3\xA9.example", 0);
}

static void test_names(void **state)
{
    (void)state;
    check("John Doe <j@d>", "j@d", 0);
    check("John Q. Public<j@d>, Cron (root) <r@h>", "j@d|r@h", 0);
    check("\"Doe, John; Jr. <x@y>\" <j@d>", "j@d", 0);
    check("\"a \\\"b\\\" c\\\\\" <j@d>", "j@d", 0);
    check("user@h <user@h>, a@b c@d <e@f>", "user@h|e@f", 0);
    check("=?utf-8?Q?J=C3=BCrgen?= <j@d>", "j@d", 0);
    check("J\xFCrgen M\xFCller <j@d>", "j@d", 0);
    check(FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY
          " <j@d>, a",
          "j@d|a", 0);
}

static void test_comments(void **state)
{
    (void)state;
    check("root (Cron Daemon)", "root", 0);
    check("(a, b@c) d@e (f (g) \\) h, i@j)", "d@e", 0);
    check("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", "pete@silly.test", 0);
    check("a@b (unbalanced", "a@b", 0);
    check("(unbalanced a@b", "", 0);
    check("(\"x) a@b", "a@b", 0);
    check("a (b) @ (c) d . (e) f", "a@d.f", 0);
}

/* RFC 5322 A.1.3, A.6.1 to A.6.3. */
static void test_groups_and_routes(void **state)
{
    (void)state;
    check("A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;",
          "c@a.test|joe@where.test|jdoe@one.test", 0);
    check("Undisclosed recipients:;", "", 0);
    check("undisclosed-recipients: ;, a@b", "a@b", 0);
    check("\"g:h\": a, b;, c", "a|b|c", 0);
    check("Mary Smith <@node.test,@n2:mary@example.net>, , jdoe@test  . example",
          "mary@example.net|jdoe@test.example", 0);
    check("mailto:a@b", "a@b", 0);
}

static void test_folded(void **state)
{
    (void)state;
    check(" a@b,\r\n\tc@d\n ,\n e@f", "a@b|c@d|e@f", 0);
    check("\"folded\r\n name\" <a@b>", "a@b", 0);
    check("<a@b\n >", "a@b", 0);
}

/* What is not right and can be understood all the same. */
static void test_tolerated(void **state)
{
    (void)state;
    check("a@b c@d\te@f", "a@b|c@d|e@f", 0);
    check("<a@b> <c@d> e@f", "a@b|c@d|e@f", 0);
    check("<<a@b>>", "a@b", 0);
    check("<a@b, c@d", "a@b|c@d", 0);
    check("<a@b; c", "a@b|c", 0);
    check("a@b.example.", "a@b.example", 0);
    check("'a@b'", "a@b", 0);
    check("john..doe@x, .a@x, b.@x", "\"john..doe\"@x|\".a\"@x|\"b.\"@x", 0);
    check("\"john.doe\"@x, \"root\"", "john.doe@x|root", 0);
    check("\"a b\"@x, \"\"@x, \"a\\\"b\"@x", "\"a b\"@x|\"\"@x|\"a\\\"b\"@x", 0);
    check("a@[192.0.2.1, c@d", "c@d", 1);
}

static void test_bad(void **state)
{
    (void)state;
    check("John Doe", "", 1);
    check("John Doe, a@b", "a@b", 1);
    check("a b@c", "", 1);
    check("<>", "", 1);
    check("Name <>, a", "a", 1);
    check("<a b@c>, d", "d", 1);
    check("a@", "", 1);
    check("@b, c", "c", 1);
    check("a@b@c", "", 1);
    check("a@b..c", "", 1);
    check("\"a@b, c@d", "", 1);
    check("\"a\x01\"@b, \"a\x7F\"@b", "", 2);
    check("a\xFF@b", "", 1);
    check("a\\b@c, a[b@c, a]b", "", 3);
    check("\"a\"b@c", "", 1);
    check("a@[]", "", 1);
    check("a@[x\\]]", "", 1);
    check(FIFTY FIFTY FIFTY FIFTY FIFTY "@abc", FIFTY FIFTY FIFTY FIFTY FIFTY "@abc", 0);
    check(FIFTY FIFTY FIFTY FIFTY FIFTY "@abcd", "", 1);
    check(FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY "@x, a",
          "a", 1);
}

static void test_nul_is_blank(void **state)
{
    (void)state;
    assert_int_equal(parse("a@b\0,c@d", 8, 0, 8), 0);
    assert_string_equal(told_bytes, "a@b|c@d");
}

static void test_deep_comments(void **state)
{
    static char text[100003];

    (void)state;
    memset(text, '(', 50000);
    memset(text + 50000, ')', 50000);
    text[100000] = ' ';
    text[100001] = 'a';
    assert_int_equal(parse(text, 100002, 0, 100002), 0);
    assert_string_equal(told_bytes, "a");
}

static void test_many(void **state)
{
    static char text[40000];
    struct text list = text_begin(text, sizeof text);

    (void)state;
    for (unsigned i = 0; i < 2000; i++) {
        text_format(&list, "u%u@h,", i);
    }
    assert_int_equal(parse(text, list.length, 7, 13), 0);
    text[list.length - 1] = '\0';
    for (char *c = text; *c != '\0'; c++) {
        *c = *c == ',' ? '|' : *c;
    }
    assert_string_equal(told_bytes, text);
}

static size_t behind;

static void note_behind(void *context, const char *address)
{
    (void)address;
    behind = address_list_behind(context);
}

static void test_positions(void **state)
{
    struct address_list list;

    (void)state;
    address_list_init(&list, note_behind, &list);
    assert_true(address_list_between(&list));
    address_list_push(&list, "root (x) ,", 10);
    assert_int_equal(behind, 6);
    assert_true(address_list_between(&list));
    address_list_push(&list, " <admin>", 8);
    assert_int_equal(behind, 1);
    assert_true(address_list_between(&list));
    address_list_push(&list, "\"a b\" ", 6);
    assert_false(address_list_between(&list));
    assert_int_equal(address_list_end(&list), 0);
    assert_int_equal(behind, 1);
}

static void test_valid(void **state)
{
    (void)state;
    assert_true(address_is_valid("a"));
    assert_true(address_is_valid("a@b"));
    assert_true(address_is_valid("\"a b\"@b"));
    assert_false(address_is_valid(""));
    assert_false(address_is_valid("a b"));
    assert_false(address_is_valid("a@b\r\nRCPT"));
    assert_false(address_is_valid("<a@b>"));
    assert_false(address_is_valid("\"a\r\n\"@b"));
    assert_false(address_is_valid("\"a\\\"@b"));
    assert_false(address_is_valid("a@[192.0.2.1]x"));
    assert_false(address_is_valid("a@\xC3"));
}

static void test_domain(void **state)
{
    (void)state;
    assert_null(address_domain("root"));
    assert_null(address_domain("\"a@b\""));
    assert_string_equal(address_domain("a@b"), "b");
    assert_string_equal(address_domain("\"a@b\"@c"), "c");
    assert_string_equal(address_domain("\"a\\\"@b\"@c"), "c");
    assert_string_equal(address_domain("a@"), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),         cmocka_unit_test(test_names),
        cmocka_unit_test(test_comments),      cmocka_unit_test(test_groups_and_routes),
        cmocka_unit_test(test_folded),        cmocka_unit_test(test_tolerated),
        cmocka_unit_test(test_bad),           cmocka_unit_test(test_nul_is_blank),
        cmocka_unit_test(test_deep_comments), cmocka_unit_test(test_many),
        cmocka_unit_test(test_positions),     cmocka_unit_test(test_valid),
        cmocka_unit_test(test_domain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
