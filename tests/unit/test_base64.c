/* Base64: the vectors of RFC 4648 section 10, in pieces of every size, and a target that is too
 * small. */
#include "net/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static void vectors(void **state)
{
    static const char *const pairs[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xff\xfe\xfd\xfb\xef", "//79++8="},
    };

    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        size_t size = strlen(pairs[i][0]);

        for (size_t piece = 1; piece <= size + 1; piece++) {
            char out[32];
            struct text text = text_begin(out, sizeof out);
            struct base64 base64 = base64_begin(&text);

            for (size_t at = 0; at < size; at += piece) {
                base64_add(&base64, pairs[i][0] + at, size - at < piece ? size - at : piece);
            }
            base64_end(&base64);
            assert_string_equal(out, pairs[i][1]);
            assert_int_equal(text.length, BASE64_SIZE(size));
            assert_false(text.cut);
        }
    }
}

static void zero_bytes(void **state)
{
    char out[16];
    struct text text = text_begin(out, sizeof out);
    struct base64 base64 = base64_begin(&text);

    (void)state;
    base64_add(&base64, "\0a\0b", 4);
    base64_end(&base64);
    assert_string_equal(out, "AGEAYg==");
}

static void too_small(void **state)
{
    char out[8];
    struct text text = text_begin(out, sizeof out);
    struct base64 base64 = base64_begin(&text);

    (void)state;
    base64_add(&base64, "foobar", 6);
    base64_end(&base64);
    assert_true(text.cut);
    assert_string_equal(out, "Zm9vYmF");
}

/* What goes in comes back; what is cut, longer or not canonical does not. */
static void decode(void **state)
{
    static const char *const bad[] = {"A",
                                      "AA",
                                      "AAA",
                                      "AA=",
                                      "AAA==",
                                      "A===",
                                      "====",
                                      "AA==A",
                                      "AA==\n",
                                      "A A=",
                                      "AB==",
                                      "AAB=",
                                      "-_==",
                                      "AA=="
                                      "AA=="};
    uint8_t in[40], back[40];
    char out[64];

    (void)state;
    for (size_t size = 0; size <= sizeof in; size++) {
        struct text text = text_begin(out, sizeof out);
        struct base64 base64 = base64_begin(&text);

        for (size_t i = 0; i < size; i++) {
            in[i] = (uint8_t)(197 * i + 31 * size);
        }
        base64_add(&base64, in, size);
        base64_end(&base64);
        assert_int_equal(base64_decode(out, back, size), size);
        assert_memory_equal(in, back, size);
        if (size > 0) {
            assert_int_equal(base64_decode(out, back, size - 1), E_SPACE);
        }
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(base64_decode(bad[i], back, sizeof back), E_INVALID);
    }
    for (unsigned c = 0; c < 256; c++) {
        bool known = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                     c == '+' || c == '/';

        assert_int_equal(base64_value((char)c) >= 0, known);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),
        cmocka_unit_test(zero_bytes),
        cmocka_unit_test(too_small),
        cmocka_unit_test(decode),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
