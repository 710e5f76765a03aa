/* What must not happen to an alert that the device has: the clock is set, the power fails, a server
 * refuses another one, a person aborts a paste. */
#include "firmware/app.h"
#include "tests/sim/device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UNIX_MS 1800000000000u /* 2027-01-15 08:00:00 */
#define DAY_MS 86400000ull
#define COMMON                                                         \
    "to = a@example.test\nmailhub = mail.example.test:25\ntls = off\n" \
    "hostname = router1.example.test\nfrom = router1@example.test\n"   \
    "alert_boot = no\nrepeat_window = off\nalerts_per_hour = off\n"
#define SENDER_ADDRESS_BE 0x0600000A

static struct sim_device device;

static void begin(const char *config, uint64_t rtc_unix_s)
{
    sim_device_flash(&device, config, true);
    device.has_rtc = rtc_unix_s != 0;
    device.rtc_unix_s = rtc_unix_s;
    sim_device_boot(&device, RESET_POWER_ON, "");
}

static void set_clock(void)
{
    app_set_time(&device.app, UNIX_MS + device.now_ms, "SNTP");
}

static int end(void **state)
{
    (void)state;
    sim_device_end(&device);
    return 0;
}

static void datagram(const char *text)
{
    app_datagram(&device.app, text, strlen(text), SENDER_ADDRESS_BE);
}

static bool on_screen(const char *part)
{
    return strstr(device.screen, part) != NULL;
}

/* The only alert is still to be sent, a quarter of an hour later. */
static void assert_waits(void)
{
    struct queue_item item;

    sim_device_run(&device, 900000);
    assert_true(queue_item(&device.app.queue, 0, &item));
    assert_false(item.refused);
}

/* A clock that ran behind, and is put right by years: nothing has waited for so long. */
static void test_clock_was_behind(void **state)
{
    (void)state;
    begin(COMMON, 1767225700);
    device.server.no_open = "no route";
    datagram("<27>gate: the door opened");
    sim_device_run(&device, 5000);
    set_clock();
    assert_waits();
}

/* A time server that lies. Alerts do expire, though, by a clock that nobody sets. */
static void test_clock_jumps(void **state)
{
    struct queue_item item;

    (void)state;
    begin(COMMON, 0);
    set_clock();
    device.server.no_open = "no route";
    datagram("<27>gate: the door opened");
    sim_device_run(&device, 5000);
    app_set_time(&device.app, UNIX_MS + 365 * DAY_MS, "SNTP");
    assert_waits();
    set_clock();
    assert_waits();
    for (unsigned hours = 0; hours < 5 * 24; hours++) {
        device.screen_size = 0;
        sim_device_run(&device, 3600000);
    }
    assert_true(queue_item(&device.app.queue, 0, &item));
    assert_true(item.refused);
}

/* One mail is refused at the end of its body, the next one accepted in the same session. */
static void test_trial_beside_refusal(void **state)
{
    (void)state;
    begin(COMMON, 0);
    set_clock();
    device.server.no_open = "no route";
    datagram("<27>gate: the door opened");
    sim_device_run(&device, 500);
    sim_device_type(&device, "config set hostname other.example.test\rconfig set confirm yes\r"
                             "config commit\r");
    assert_int_equal(device.resets, 1);
    device.server.no_open = NULL;
    sim_server_answer(&device.server, ".", "451 4.7.1 later", 1);
    sim_device_boot(&device, RESET_COMMAND, "");
    assert_true(device.app.slots.on_trial);
    set_clock();
    sim_device_run(&device, 900);
    assert_int_equal(device.server.mail_count, 2);
    assert_int_equal(sim_server_taken(&device.server, "is being tried"), 0);
    assert_int_equal(sim_server_taken(&device.server, "the door opened"), 1);
    assert_false(device.app.slots.on_trial);
}

/* The power fails at each operation while one alert takes another's place. */
static void test_link_alerts_cut(void **state)
{
    (void)state;
    for (unsigned cut = 1; cut < 8; cut++) {
        begin(COMMON, 0);
        set_clock();
        sim_device_run(&device, 1000);
        device.server.no_open = "no route";
        device.network.link_up = false;
        sim_device_run(&device, 4000);
        assert_int_equal(device.app.queue.count, 1);
        nor_cut_in(&device.nor, cut, NOR_CUT_BEFORE);
        device.network.link_up = true;
        sim_device_run(&device, 200);
        nor_power(&device.nor);
        sim_device_boot(&device, RESET_POWER_ON, "");
        assert_in_range(device.app.queue.count, 1, 2);
        sim_device_end(&device);
    }
}

/* "next try" is the next try, not the next look at the queue. */
static void test_next_try(void **state)
{
    char want[64];
    uint32_t next_s;

    (void)state;
    begin(COMMON "retry_min = 12h\nretry_max = 24h\n", 0);
    set_clock();
    device.server.no_open = "no route";
    datagram("<27>gate: the door opened");
    sim_device_run(&device, 5000);
    sim_device_type(&device, "status\r");
    next_s = (uint32_t)((device.app.sender.retry.next_ms - device.now_ms) / 1000);
    assert_true(next_s > 1200);
    snprintf(want, sizeof want, "next try in %u %s", next_s / (next_s < 7200 ? 60u : 3600u),
             next_s < 7200 ? "min" : "h");
    assert_true(on_screen(want));
}

/* What stands behind a ^C in a paste is not typed: no line of it is a command. */
static void test_aborted_paste(void **state)
{
    (void)state;
    begin(COMMON, 0);
    sim_device_type(&device, "config import\rto = x@example.test\nmail\003hub\nreboot\n.\n");
    assert_true(on_screen("error: aborted; nothing is staged"));
    assert_int_equal(device.resets, 0);
    sim_device_type(&device, "config test\r");
    assert_true(on_screen("error: nothing is staged"));
    sim_device_type(&device, "reboot\r");
    assert_int_equal(device.resets, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_clock_was_behind, end),
        cmocka_unit_test_teardown(test_clock_jumps, end),
        cmocka_unit_test_teardown(test_trial_beside_refusal, end),
        cmocka_unit_test(test_link_alerts_cut),
        cmocka_unit_test_teardown(test_next_try, end),
        cmocka_unit_test_teardown(test_aborted_paste, end),
    };

    return cmocka_run_group_tests_name("durability", tests, NULL, NULL);
}
