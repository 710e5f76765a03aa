/* SASL: the examples of RFC 4616 and RFC 4954, names of mechanisms, and what cannot be carried. */
#include "net/sasl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static void plain(void **state)
{
    char out[64];
    struct text text = text_begin(out, sizeof out);

    (void)state;
    sasl_plain(&text, "tim", "tanstaaftanstaaf"); /* RFC 4616 section 4. */
    assert_string_equal(out, "AHRpbQB0YW5zdGFhZnRhbnN0YWFm");
    assert_int_equal(text.length, sasl_plain_size("tim", "tanstaaftanstaaf"));
}

static void plain_appends(void **state)
{
    char out[64];
    struct text text = text_begin(out, sizeof out);

    (void)state;
    text_add(&text, "AUTH PLAIN ");
    sasl_plain(&text, "test", "1234");
    assert_string_equal(out, "AUTH PLAIN AHRlc3QAMTIzNA==");
}

static void login(void **state)
{
    char out[64];
    struct text text = text_begin(out, sizeof out);

    (void)state;
    sasl_login(&text, "alerts@example.com");
    assert_string_equal(out, "YWxlcnRzQGV4YW1wbGUuY29t");
}

static void names(void **state)
{
    (void)state;
    assert_int_equal(sasl_parse("PLAIN", 5), SASL_PLAIN);
    assert_int_equal(sasl_parse("plain", 5), SASL_PLAIN);
    assert_int_equal(sasl_parse("LoGiN", 5), SASL_LOGIN);
    assert_int_equal(sasl_parse("PLAIN LOGIN", 5), SASL_PLAIN);
    assert_int_equal(sasl_parse("PLAI", 4), -1);
    assert_int_equal(sasl_parse("PLAINTEXT", 9), -1);
    assert_int_equal(sasl_parse("XLOGIN", 6), -1);
    assert_int_equal(sasl_parse("CRAM-MD5", 8), -1);
    assert_int_equal(sasl_parse("", 0), -1);
    assert_int_equal(sasl_parse("PL\0IN", 5), -1);
    assert_int_equal(sasl_parse("\x10LAIN", 5), -1);
    assert_string_equal(sasl_name(SASL_PLAIN), "PLAIN");
    assert_string_equal(sasl_name(SASL_LOGIN), "LOGIN");
    assert_string_equal(sasl_name(SASL_COUNT), "");
}

static void validity(void **state)
{
    char longest[SASL_NAME_MAX + 2];

    (void)state;
    memset(longest, 'a', sizeof longest);
    longest[SASL_NAME_MAX] = '\0';
    assert_true(sasl_valid(longest, longest));
    assert_true(sasl_valid("user", ""));
    assert_true(sasl_valid("user", "with space \xd0\xbf <>\"'"));
    assert_false(sasl_valid("user\n", "x"));
    assert_false(sasl_valid("user", "x\r"));
    assert_false(sasl_valid("user", "x\x7f"));
    longest[SASL_NAME_MAX] = 'a';
    longest[SASL_NAME_MAX + 1] = '\0';
    assert_false(sasl_valid(longest, "x"));
    assert_false(sasl_valid("user", longest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain), cmocka_unit_test(plain_appends), cmocka_unit_test(login),
        cmocka_unit_test(names), cmocka_unit_test(validity),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
