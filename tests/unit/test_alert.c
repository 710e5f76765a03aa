/* Names of severities and facilities. */
#include "net/alert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_severity_names(void **state)
{
    static const char *const names[SEVERITY_COUNT] = {"emergency", "alert",  "critical", "error",
                                                      "warning",   "notice", "info",     "debug"};

    (void)state;
    for (uint8_t i = 0; i < SEVERITY_COUNT; i++) {
        assert_string_equal(severity_name(i), names[i]);
        assert_int_equal(severity_parse(names[i]), i);
    }
    assert_string_equal(severity_name(SEVERITY_COUNT), "unknown");
    assert_string_equal(severity_name(255), "unknown");
}

static void test_severity_parse(void **state)
{
    static const char *const none[] = {"",   "8",   "9",      "-1", "00",     "0 ",
                                       " 0", "cri", "critic", "x",  "crit\n", "unknown"};

    (void)state;
    assert_int_equal(severity_parse("0"), SEVERITY_EMERGENCY);
    assert_int_equal(severity_parse("7"), SEVERITY_DEBUG);
    assert_int_equal(severity_parse("emerg"), SEVERITY_EMERGENCY);
    assert_int_equal(severity_parse("panic"), SEVERITY_EMERGENCY);
    assert_int_equal(severity_parse("CRIT"), SEVERITY_CRITICAL);
    assert_int_equal(severity_parse("Err"), SEVERITY_ERROR);
    assert_int_equal(severity_parse("warn"), SEVERITY_WARNING);
    assert_int_equal(severity_parse("informational"), SEVERITY_INFO);
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_int_equal(severity_parse(none[i]), -1);
    }
}

static void test_facility_names(void **state)
{
    (void)state;
    assert_string_equal(facility_name(0), "kern");
    assert_string_equal(facility_name(3), "daemon");
    assert_string_equal(facility_name(10), "authpriv");
    assert_string_equal(facility_name(16), "local0");
    assert_string_equal(facility_name(23), "local7");
    assert_string_equal(facility_name(24), "unknown");
    assert_string_equal(facility_name(FACILITY_DEVICE), "device");
    for (uint8_t i = 0; i < FACILITY_COUNT; i++) {
        for (uint8_t j = 0; j < i; j++) {
            assert_string_not_equal(facility_name(i), facility_name(j));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_severity_names),
        cmocka_unit_test(test_severity_parse),
        cmocka_unit_test(test_facility_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
