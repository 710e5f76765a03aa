/* `config ...` on the console of a whole device, and the trial that follows a commit. */
#include "firmware/app.h"
#include "tests/sim/device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UNIX_MS 1800000000000u /* 2027-01-15 08:00:00 */
#define BASE                                                                              \
    "root = a@example.test\nmailhub = mail.example.test:25\ntls = off\nalert_boot = no\n" \
    "from = router1@example.test\nretry_min = 10\nretry_max = 60\nconfirm_timeout = 60\n" \
    "auth_user = u\nauth_pass = hush-hush\nauth_without_tls = yes\n"

static struct sim_device device;

static void boot(enum reset_cause cause)
{
    sim_device_boot(&device, cause, "");
    app_set_time(&device.app, UNIX_MS + device.now_ms, "SNTP");
}

static void begin(const char *config)
{
    sim_device_flash(&device, config, true);
    device.server.ehlo = "250-mail.example.test\r\n250 AUTH PLAIN";
    boot(RESET_POWER_ON);
}

static int end(void **state)
{
    (void)state;
    sim_device_end(&device);
    return 0;
}

static bool on_screen(const char *part)
{
    return strstr(device.screen, part) != NULL;
}

static unsigned count(const char *text, const char *part)
{
    unsigned found = 0;

    for (; (text = strstr(text, part)) != NULL; text++) {
        found++;
    }
    return found;
}

static void type(const char *keys)
{
    sim_device_type(&device, keys);
}

/* Types a line that is answered by `ok`. */
static void ok(const char *line)
{
    char keys[512];

    snprintf(keys, sizeof keys, "%s\r", line);
    type(keys);
    if (count(device.screen, "\r\nok\r\n") != 1 || on_screen("\r\nerror: ")) {
        fail_msg("%s: %s", line, device.screen);
    }
}

static void bad(const char *line, const char *why)
{
    char keys[512];

    snprintf(keys, sizeof keys, "%s\r", line);
    type(keys);
    if (count(device.screen, "\r\nerror: ") != 1 || !on_screen(why)) {
        fail_msg("%s: %s", line, device.screen);
    }
}

/* The device resets itself, and starts again. */
static void restarted(void)
{
    assert_int_equal(device.resets, 1);
    assert_int_equal(device.reset_why, RESET_COMMAND);
    device.resets = 0;
    boot(RESET_COMMAND);
}

static const char *mail_with(const char *part)
{
    for (size_t i = device.server.mail_count; i-- > 0;) {
        if (device.server.mails[i].taken && strstr(device.server.mails[i].bytes, part) != NULL) {
            return device.server.mails[i].bytes;
        }
    }
    return NULL;
}

static void test_usage(void **state)
{
    (void)state;
    begin(BASE);
    bad("config", "expected `config show`");
    bad("config nonsense", "expected `config show`");
    bad("config show all", "expected `config show`");
    bad("config set", "expected `config set KEY VALUE`");
    bad("config set hostname", "expected `config set KEY VALUE`");
    bad("config set nonsense x", "no such key");
    bad("config unset", "expected `config unset KEY`");
    bad("config unset hostname x", "expected `config unset KEY`");
    bad("config revert x", "expected");
    bad("config revert 7", "no such number");
    bad("config revert 1", "no such number");
    bad("config test", "nothing is staged");
    bad("config commit", "nothing is staged");
    ok("config revert");
    ok("config history");
    assert_true(on_screen("number 1, "));
    assert_true(on_screen("in force"));
    assert_true(on_screen("slot 1: empty"));
    ok("config show");
    assert_true(on_screen("auth_pass = ********"));
    assert_false(on_screen("hush-hush"));
    assert_int_equal(device.resets, 0);
}

static void test_set_and_commit(void **state)
{
    (void)state;
    begin(BASE);
    ok("config set hostname = gate7.example.test");
    ok("config set Auth_Pass other secret");
    ok("config set to=b@example.test, c@example.test");
    ok("config unset alert_boot");
    type("\033[A"); /* The last line, but never one with a password. */
    type("\003");
    ok("config set retry_max 5");
    assert_true(on_screen("warning: retry_max: another line says otherwise"));
    bad("config test", "nothing was changed");
    assert_true(on_screen("line 6: retry_max: "));
    bad("config commit", "nothing was changed");
    ok("config set retry_max 2h");
    ok("config test");
    assert_true(on_screen("\r\n  - hostname = tocsin\r\n  + hostname = gate7.example.test\r\n"));
    assert_true(on_screen("+ auth_pass = ********"));
    assert_true(on_screen("- root = a@example.test"));
    assert_true(on_screen("+ root = c@example.test"));
    assert_true(on_screen("- alert_boot = no"));
    assert_false(on_screen("mailhub"));
    assert_false(on_screen("secret"));
    ok("config show");
    assert_true(on_screen("root = a@example.test"));
    assert_true(on_screen("changes are staged"));
    assert_string_equal(device.app.config.hostname, "tocsin");
    ok("config commit");
    assert_true(on_screen("restarting with number 2"));
    restarted();
    assert_string_equal(device.app.config.hostname, "gate7.example.test");
    assert_string_equal(device.app.config.auth_pass, "other secret");
    assert_int_equal(device.app.config.to_count, 2);
    assert_int_equal(device.app.slots.sequence, 2);
    sim_device_run(&device, 5000);
    assert_non_null(mail_with("reboot command"));
    assert_int_equal(device.resets, 0);
}

/* The up arrow shows the last line, but never a password. */
static void test_no_secret_recalled(void **state)
{
    (void)state;
    begin(BASE);
    ok("config set hostname h");
    type("\033[A");
    assert_true(on_screen("config set hostname h"));
    type("\025");
    ok("config set authpass  my-secret");
    type("\033[A");
    assert_false(on_screen("secret"));
    type("\025");
    ok("config test");
    ok("log");
    assert_false(on_screen("secret"));
    ok("status");
    assert_false(on_screen("secret"));
}

static void test_import(void **state)
{
    (void)state;
    begin(NULL);
    type("config import\r");
    assert_true(on_screen("lone dot"));
    assert_false(on_screen("tocsin> \r\n"));
    type("root = z@example.test\r\nmailhub = mail.example.test:25\r");
    type("tls = on\b\boff\nauth_user = me\n\n# . no dot\nauth_pass = hidden\rauth_without_tls=yes");
    assert_false(on_screen("hidden"));
    assert_false(on_screen("auth_user"));
    type("\r\n.\r");
    assert_true(on_screen("8 lines are staged"));
    assert_true(on_screen("\r\nok\r\n"));
    assert_true(on_screen("tocsin> "));
    ok("config test");
    assert_true(on_screen("+ mailhub = mail.example.test:25"));
    assert_true(on_screen("+ auth_pass = ********"));
    ok("config set hostname box");
    ok("config commit");
    restarted();
    assert_true(device.app.config_valid);
    assert_string_equal(device.app.config.hostname, "box");
    assert_string_equal(device.app.config.auth_pass, "hidden");
}

static void test_import_aborted(void **state)
{
    (void)state;
    begin(BASE);
    type("config import\rroot = z@example.test\rreboot\r");
    type("\003");
    assert_true(on_screen("error: aborted"));
    bad("config commit", "nothing is staged");
    ok("config history");
    assert_true(on_screen("number 1, "));
    type("config import\rroot = z@example.test\r");
    sim_device_run(&device, 700000);
    assert_true(on_screen("nothing came for 10 minutes"));
    ok("status");
    assert_int_equal(device.resets, 0);
}

/* What is too long is refused with its line, and no part of it is taken for commands. */
static void test_import_too_long(void **state)
{
    static char text[60000];
    size_t size = 0;

    (void)state;
    begin(BASE);
    size += (size_t)sprintf(text, "config import\rroot = z@example.test\rhostname = ");
    memset(text + size, 'h', 800);
    strcpy(text + size + 800, "\rmailhub = m:25\rtls = off\r.\r");
    type(text);
    assert_true(on_screen("4 lines are staged"));
    bad("config test", "line 2: too long");
    size = (size_t)sprintf(text, "config import\r");
    while (size < 40000) {
        size += (size_t)sprintf(text + size, "reboot\r");
    }
    strcpy(text + size, ".\r");
    type(text);
    assert_true(on_screen("before line 4701: it is too long"));
    assert_true(on_screen("error: the text could not be taken; nothing is staged"));
    assert_int_equal(count(device.screen, "too long"), 1);
    bad("config commit", "nothing is staged");
    assert_int_equal(device.resets, 0);
}

/* Nothing is cut off that is on its way: the command waits for it, and its answer comes. */
static void test_waits_for_the_mail(void **state)
{
    (void)state;
    begin(BASE);
    device.server.open_ms = 4000;
    ok("alert notice one");
    ok("config set hostname h");
    type("config commit\rstatus\r");
    assert_true(on_screen("waiting for the mail"));
    assert_false(on_screen("restarting"));
    sim_device_run(&device, 20000);
    assert_true(on_screen("restarting with number 2"));
    assert_non_null(mail_with("one"));
    restarted();
    assert_int_equal(device.server.mail_count, 1);
}

/* ---- trials ---- */

static void commit_on_trial(const char *change)
{
    begin(BASE "confirm = yes\n");
    ok(change);
    ok("config commit");
    assert_true(on_screen("on trial: a mail must get out within 60 s"));
}

static void test_trial_confirmed(void **state)
{
    (void)state;
    commit_on_trial("config set hostname new");
    device.server.open_ms = 4000;
    restarted();
    assert_true(on_screen("configuration 2 is being tried"));
    ok("config history");
    assert_true(on_screen("in force, on trial"));
    sim_device_run(&device, 10000);
    assert_non_null(mail_with("configuration 2 is being tried"));
    assert_true(on_screen("configuration 2 is confirmed"));
    sim_device_run(&device, 100000);
    assert_int_equal(device.resets, 0);
    boot(RESET_POWER_ON);
    assert_string_equal(device.app.config.hostname, "new");
    sim_device_run(&device, 100000);
    assert_int_equal(device.resets, 0);
    assert_null(mail_with("not confirmed"));
    assert_int_equal(device.server.mail_count, 1);
}

/* The provider's limit is no fault of the settings: the trial's mail may use what is kept for
 * critical alerts, and when that is gone too, the trial waits for it. */
static void test_trial_with_a_limit(void **state)
{
    (void)state;
    begin(BASE "confirm = yes\nlimit_hour = 4\n");
    ok("config set hostname new");
    for (unsigned i = 0; i < 4; i++) {
        limits_take(&device.app.limits, app_unix_ms(&device.app));
    }
    (void)queue_checkpoint(&device.app.queue);
    ok("config commit");
    restarted();
    sim_device_run(&device, 10 * 60000);
    assert_false(on_screen("was not confirmed"));
    sim_device_run(&device, 30 * 60000);
    assert_true(on_screen("configuration 2 is confirmed"));
}

static void test_trial_timeout(void **state)
{
    (void)state;
    commit_on_trial("config set mailhub wrong.example.test:25");
    device.server.no_open = "no such host";
    restarted();
    bad("config import", "on trial");
    ok("status");
    assert_true(on_screen("on trial: it is kept when a mail is accepted within 5"));
    sim_device_run(&device, 56000);
    assert_int_equal(device.resets, 0);
    sim_device_run(&device, 4000);
    assert_true(on_screen("configuration 2 was not confirmed: no mail got out in 60 s: "));
    assert_true(on_screen("restarting with number 1"));
    device.server.no_open = NULL;
    restarted();
    assert_string_equal(device.app.config.mailhub.host, "mail.example.test");
    sim_device_run(&device, 30000);
    assert_non_null(mail_with("no such host"));
    assert_non_null(mail_with("number 1 is in force again"));
    assert_non_null(mail_with("ERROR: config@tocsin: configuration 2 was not confirmed"));
    ok("config history");
    assert_true(on_screen("tried and taken back: no mail got out in 60 s: "));
    boot(RESET_POWER_ON); /* It is told once. */
    sim_device_run(&device, 30000);
    assert_int_equal(sim_server_taken(&device.server, "is in force again"), 1);
    assert_int_equal(device.app.slots.sequence, 1);
}

static void test_trial_reset(void **state)
{
    (void)state;
    commit_on_trial("config set mailhub wrong.example.test:25");
    device.server.no_open = "no such host";
    restarted();
    sim_device_run(&device, 5000);
    device.server.no_open = NULL;
    boot(RESET_WATCHDOG);
    assert_string_equal(device.app.config.mailhub.host, "mail.example.test");
    sim_device_run(&device, 30000);
    assert_non_null(mail_with("2 was not confirmed: the device was reset meanwhile"));
    assert_int_equal(device.resets, 0);
}

/* New settings that take the device down before it is up are undone as well. */
static void test_trial_crashes(void **state)
{
    struct platform platform;

    (void)state;
    commit_on_trial("config set hostname new");
    platform = device.app.platform;
    memset(&device.app, 0, sizeof device.app);
    app_init(&device.app, &platform);
    assert_string_equal(device.app.config.hostname, "new");
    boot(RESET_FAULT); /* app_start() was never reached. */
    assert_string_equal(device.app.config.hostname, "tocsin");
    sim_device_run(&device, 30000);
    assert_non_null(mail_with("2 was not confirmed: the device was reset meanwhile"));
}

static void test_trial_taken_back(void **state)
{
    (void)state;
    commit_on_trial("config set mailhub wrong.example.test:25");
    device.server.no_open = "no such host";
    restarted();
    sim_device_run(&device, 5000);
    type("config revert 2\r");
    for (unsigned i = 0; i < 60 && device.resets == 0; i++) {
        sim_device_run(&device, 1000);
    }
    device.server.no_open = NULL;
    restarted();
    assert_string_equal(device.app.config.mailhub.host, "mail.example.test");
    sim_device_run(&device, 30000);
    assert_non_null(mail_with("`config revert`"));
}

static void test_no_trial_without_another(void **state)
{
    (void)state;
    begin(NULL);
    ok("config set root a@example.test");
    ok("config set mailhub mail.example.test:25");
    ok("config set tls off");
    ok("config set confirm yes");
    ok("config commit");
    assert_true(on_screen("without a trial: there is none to go back to"));
    restarted();
    device.server.no_open = "no such host";
    sim_device_run(&device, 1000000);
    assert_int_equal(device.resets, 0);
    assert_true(device.app.config_valid);
}

static void test_revert(void **state)
{
    (void)state;
    begin(BASE);
    ok("config set hostname second");
    ok("config commit");
    restarted();
    ok("config set hostname third");
    ok("config revert");
    bad("config commit", "nothing is staged");
    ok("config history");
    assert_true(on_screen("number 1, "));
    assert_true(on_screen("before"));
    ok("config revert 1");
    assert_true(on_screen("number 2 is taken back; restarting with number 1"));
    restarted();
    assert_string_equal(device.app.config.hostname, "tocsin");
    ok("config history");
    assert_true(on_screen("taken back: `config revert` on the console"));
    bad("config revert 1", "none to go back to");
    sim_device_run(&device, 10000);
    assert_int_equal(device.server.mail_count, 0); /* A person knows. */
    ok("config set hostname fourth");
    ok("config commit");
    assert_true(on_screen("number 3"));
    restarted();
    assert_string_equal(device.app.config.hostname, "fourth");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_usage, end),
        cmocka_unit_test_teardown(test_set_and_commit, end),
        cmocka_unit_test_teardown(test_no_secret_recalled, end),
        cmocka_unit_test_teardown(test_import, end),
        cmocka_unit_test_teardown(test_import_aborted, end),
        cmocka_unit_test_teardown(test_import_too_long, end),
        cmocka_unit_test_teardown(test_waits_for_the_mail, end),
        cmocka_unit_test_teardown(test_trial_confirmed, end),
        cmocka_unit_test_teardown(test_trial_with_a_limit, end),
        cmocka_unit_test_teardown(test_trial_timeout, end),
        cmocka_unit_test_teardown(test_trial_reset, end),
        cmocka_unit_test_teardown(test_trial_crashes, end),
        cmocka_unit_test_teardown(test_trial_taken_back, end),
        cmocka_unit_test_teardown(test_no_trial_without_another, end),
        cmocka_unit_test_teardown(test_revert, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
