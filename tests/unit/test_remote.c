/* Mailed orders on a whole device in simulation: what each does, its answer, a configuration that
 * comes by mail and is tried, and power cuts at every flash operation while orders are taken. */
#include "firmware/app.h"
#include "firmware/remote.h"
#include "tests/sim/device.h"
#include "tests/sim/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UNIX_MS 1800000000000u /* 2027-01-15 08:00:00 */
#define DEVICE "c0ffee0405060708"
#define PHRASE "correct horse battery"
#define KEY_HEX "303132333435363738396162636465666768696a6b6c6d6e6f70717273747576"
#define SOME                                                             \
    "to = a@example.test\nmailhub = mail.example.test:25\ntls = off\n"   \
    "hostname = router1\nfrom = router1@example.test\nalert_boot = no\n" \
    "pop3 = pop.example.test:110\npop3_tls = off\npop3_user = me\n"      \
    "pop3_pass = secret\nauth_without_tls = yes\npoll = 20s\n"           \
    "command_key = " KEY_HEX "\nanswer_to = me@example.test\n"           \
    "answers_per_hour = 0\nconfirm_timeout = 60s\n"
#define CONFIG SOME "commands = all\n"

static const uint8_t key[] = "0123456789abcdefghijklmnopqrstuv";

static struct sim_device device;
static uint64_t unix_ms;
static uint32_t counter;

/* The clock goes on over resets. */
static void boot(void)
{
    unix_ms += device.now_ms;
    sim_device_boot(&device, RESET_POWER_ON, "");
    app_set_time(&device.app, unix_ms + device.now_ms, "SNTP");
}

static void begin(const char *config)
{
    unix_ms = UNIX_MS;
    counter = 0;
    sim_device_flash(&device, config, true);
    device.pop3d.user = "me";
    device.pop3d.password = "secret";
    boot();
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

static unsigned taken(const char *part)
{
    return sim_server_taken(&device.server, part);
}

/* Runs for so long, over resets. */
static void run_s(uint32_t seconds)
{
    uint64_t left_ms = (uint64_t)seconds * 1000;

    while (left_ms > 0) {
        uint64_t from_ms = device.now_ms;
        unsigned resets = device.resets;

        sim_device_run(&device, left_ms);
        left_ms -= device.now_ms - from_ms < left_ms ? device.now_ms - from_ms : left_ms;
        if (device.resets != resets) {
            boot();
        }
    }
}

static void mail(const char *body)
{
    static char text[60000];
    char id[40], uid[16];

    counter++;
    snprintf(id, sizeof id, "m%u@phone.example.test", (unsigned)counter);
    snprintf(uid, sizeof uid, "u%u", (unsigned)counter);
    (void)sim_order_mail(id, "tocsin please", body, text, sizeof text);
    pop3d_add(&device.pop3d, uid, text);
}

static void order(const char *command, const char *text)
{
    static char body[50000];
    struct sim_order order = {
        .key = key, .device = DEVICE, .counter = counter + 1, .command = command, .text = text};

    (void)sim_order_signed(&order, body, sizeof body);
    mail(body);
}

/* Orders, and waits for the answer. */
static void ask(const char *command)
{
    device.server.mail_count = 0;
    memset(device.server.mails, 0, sizeof device.server.mails);
    order(command, NULL);
    run_s(40);
}

static void test_plain(void **state)
{
    static const char *const live[] = {"help",    "status",      "report", "queue",
                                       "history", "config show", "test",   "STATUS"};

    (void)state;
    begin(CONFIG);
    for (unsigned i = 0; i < sizeof live / sizeof live[0]; i++) {
        ask(live[i]);
        assert_int_equal(device.server.mail_count, 1);
        assert_string_equal(device.server.mails[0].to, "<me@example.test>");
        assert_int_equal(taken("In-Reply-To: <m"), 1);
        assert_int_equal(taken("Subject: Re: tocsin please"), 1);
        assert_int_equal(taken("not done"), 0);
        assert_int_equal(taken("device   tocsin"), i == 1 || i == 7);
        assert_int_equal(device.app.authority.order.phase, AUTHORITY_ENDED);
        assert_int_equal(device.pop3d.count, 0);
    }
    ask("status please");
    assert_int_equal(taken("not done: nothing may stand behind its name"), 1);
    assert_int_equal(taken("Order: status please"), 1);
    assert_int_equal(taken("device   tocsin"), 0);
    ask("format c:");
    assert_int_equal(taken("not done: there is no such command"), 1);
    ask("reboot");
    assert_int_equal(taken("the device restarts"), 1);
    assert_int_equal(device.resets, 1);
    run_s(60);
    assert_int_equal(device.resets, 1);
    assert_int_equal(device.pop3d.count, 0);
    ask("otp 50 ab1 0011223344556677");
    assert_int_equal(taken("a new chain"), 1);
    assert_int_equal(authority_otp_left(&device.app.authority), 50);
    boot();
    assert_int_equal(authority_otp_left(&device.app.authority), 50);
    ask("otp 50 ab1 001122334455667");
    assert_int_equal(taken("not done: expected `otp"), 1);
}

static void test_allowed(void **state)
{
    static char body[300];

    (void)state;
    begin(SOME "commands = status, mute, reboot\notp = 99 ke1234 8b7f1eaf2f5dc2bd\n");
    assert_int_equal(otp_make("ke1234", PHRASE, 99, device.app.authority.otp_last), 0);
    ask("report");
    assert_int_equal(taken("not done: `commands` of the configuration does not allow it"), 1);
    ask("config set hostname = x");
    assert_int_equal(taken("not done: `commands`"), 1);
    ask("status");
    assert_int_equal(taken("not done"), 0);
    device.app.config.commands = UINT32_MAX;
    device.server.mail_count = 0;
    (void)sim_order_otp("ke1234", PHRASE, 98, "config set hostname = x", body, sizeof body);
    mail(body);
    run_s(40);
    assert_int_equal(taken("not done: a one-time password does not protect"), 1);
    assert_int_equal(authority_otp_left(&device.app.authority), 98); /* It was seen: it is used. */
    (void)sim_order_otp("ke1234", PHRASE, 97, "otp 5 ab 0011223344556677", body, sizeof body);
    mail(body);
    run_s(40);
    assert_int_equal(authority_otp_left(&device.app.authority), 97);
    (void)sim_order_otp("ke1234", PHRASE, 96, "reboot", body, sizeof body);
    mail(body);
    run_s(40);
    assert_int_equal(device.resets, 1);
    assert_int_equal(device.app.slots.sequence, 1);
}

static void test_mute_and_poll(void **state)
{
    const struct diary *diary = &device.app.diary;

    (void)state;
    begin(CONFIG);
    ask("mute router7 2h");
    assert_int_equal(taken("router7 is muted until 2027-01-15 10:00:"), 1);
    assert_string_equal(diary->mutes[0].source, "router7");
    assert_in_range(diary->mutes[0].until_unix_s, UNIX_MS / 1000 + 7200, UNIX_MS / 1000 + 7260);
    boot();
    assert_string_equal(diary->mutes[0].source, "router7");
    ask("mute router7 31d");
    assert_int_equal(taken("not done: expected `mute SOURCE"), 1);
    ask("mute router7 0m");
    assert_int_equal(taken("not done: expected `mute SOURCE"), 1);
    ask("mute router7");
    assert_int_equal(taken("not done: expected `mute SOURCE"), 1);
    ask("mute a-name-of-more-than-thirty-one-characters 1d");
    assert_int_equal(taken("not done: that name is too long"), 1);
    ask("mute router7 off");
    assert_int_equal(taken("router7 is no longer muted"), 1);
    assert_string_equal(diary->mutes[0].source, "");
    ask("poll 1d");
    assert_int_equal(taken("looked at more often until 2027-01-16 08:0"), 1);
    boot();
    assert_in_range(diary->fast_until_unix_s, UNIX_MS / 1000 + 86400, UNIX_MS / 1000 + 86900);
    ask("poll off");
    assert_int_equal(diary->fast_until_unix_s, 0);
    ask("poll 8d");
    assert_int_equal(taken("not done: expected a time of at most 7d"), 1);
    ask("poll 4294967296s");
    assert_int_equal(taken("not done: expected a time"), 1);
}

static void test_ack(void **state)
{
    struct queue_item item;
    char command[30];
    uint32_t number;

    (void)state;
    begin(CONFIG);
    sim_server_answer(&device.server, "RCPT TO:<a@", "550 5.1.1 no", 1000);
    sim_device_type(&device, "alert error the tower is on fire\r");
    run_s(10);
    number = (uint32_t)strtoul(strstr(device.screen, "alert ") + 6, NULL, 10);
    number = number != 0 ? number : device.app.journal.next_number - 1;
    assert_int_equal(device.app.queue.count, 1);
    snprintf(command, sizeof command, "ack %u", (unsigned)number + 1000);
    ask(command);
    assert_int_equal(taken("not done: no alert that waits has that number"), 1);
    ask("ack all");
    assert_int_equal(taken("not done: expected the number of an alert"), 1);
    snprintf(command, sizeof command, "ack %u", (unsigned)number);
    ask(command);
    assert_int_equal(taken("is dropped: error router1"), 1);
    assert_int_equal(taken("the tower is on fire"), 1);
    assert_false(queue_find(&device.app.queue, number, &item));
}

/* ---- configurations ---- */

static const struct authority_order *last_order(void)
{
    return &device.app.authority.order;
}

static void assert_confirmed(uint32_t number)
{
    assert_int_equal(device.app.slots.sequence, number);
    assert_false(device.app.slots.on_trial && device.app.trial.deadline_ms != 0);
    assert_int_equal(last_order()->phase, AUTHORITY_ENDED);
    assert_false(device.app.config_shell.mail.active);
}

static void test_config_set(void **state)
{
    (void)state;
    begin(CONFIG);
    sim_device_type(&device, "config set hostname typed\r");
    ask("config set hostname = router2");
    assert_true(on_screen("what was staged is dropped"));
    assert_int_equal(device.resets, 1);
    assert_confirmed(2);
    assert_string_equal(device.app.config.hostname, "router2");
    assert_int_equal(taken("configuration 2 is being tried"), 1);
    assert_int_equal(taken("In-Reply-To: <m1@phone.example.test>"), 1);
    assert_string_equal(device.server.mails[0].to, "<me@example.test>");
    assert_int_equal(device.server.mail_count, 1);
    run_s(60);
    assert_int_equal(device.pop3d.count, 0); /* Its mail went when it had ended. */
    assert_int_equal(device.resets, 1);
    ask("config set hostname router3");
    assert_confirmed(3);
    assert_string_equal(device.app.config.hostname, "router3");
    ask("config set hostname");
    assert_int_equal(taken("not done: expected `config set KEY =3D VALUE`"), 1);
    ask("config set nonsense = 1");
    assert_int_equal(taken("not done: no such key"), 1);
    ask("config set mailhub = :::");
    assert_int_equal(taken("nothing was changed: line"), 1);
    assert_int_equal(taken("mailhub"), 1);
    ask("config set");
    assert_int_equal(taken("not done: no settings stand behind it"), 1);
    ask("config set auth_pass = hushhush");
    run_s(60);
    for (size_t i = 0; i < device.server.mail_count; i++) {
        assert_null(strstr(device.server.mails[i].bytes, "hushhush"));
    }
    assert_false(on_screen("hushhush"));
    assert_int_equal(device.pop3d.count, 0);
    assert_string_equal(device.app.config.hostname, "router3");
    order("config set", "# two of them\nhostname = router4\r\n\nreport=daily 07:00");
    run_s(40);
    assert_string_equal(device.app.config.hostname, "router4");
    assert_int_equal(device.app.config.report, CONFIG_DAILY | 420);
    device.server.mail_count = 0;
    order("config set", "hostname = router5\nreport\n");
    run_s(40);
    assert_int_equal(taken("not done: line 2: expected `key =3D value`"), 1);
    assert_string_equal(device.app.config.hostname, "router4");
}

static void test_config_import(void **state)
{
    static char text[33000];

    (void)state;
    begin(CONFIG);
    order("config import", CONFIG "hostname = new1\n");
    run_s(40);
    assert_int_equal(taken("nothing was changed: line 18: hostname: "), 1);
    assert_confirmed(1);
    assert_int_equal(device.resets, 0);
    memset(text, '#', 31000);
    for (size_t i = 100; i < 31000; i += 100) {
        text[i] = '\n';
    }
    text[30999] = '\n';
    strcpy(text + 31000, CONFIG);
    order("config import", text);
    run_s(60);
    assert_confirmed(2);
    assert_int_equal(device.app.slots.size, strlen(text));
    memset(text, '#', 32760);
    text[32760] = '\0';
    device.server.mail_count = 0;
    order("config import", CONFIG "report = 1d\n");
    run_s(60);
    assert_confirmed(3);
    assert_int_equal(taken("configuration 3 is being tried"), 1);
    run_s(60);
    assert_int_equal(device.pop3d.count, 0);
}

/* Nothing gets out with the new settings: the old ones return, and the answer says why. */
static void test_roll_back(void **state)
{
    (void)state;
    begin(CONFIG);
    sim_server_answer(&device.server, "MAIL FROM:<bad@", "451 4.7.1 not you", 100000);
    order("config set", "from = bad@example.test\nhostname = router9\n");
    run_s(30);
    assert_int_equal(device.app.slots.sequence, 2);
    assert_true(device.app.slots.on_trial);
    order("status", NULL); /* It waits for the trial's end. */
    run_s(20);
    assert_int_equal(last_order()->phase, AUTHORITY_TRIAL);
    assert_int_equal(device.server.mail_count, 0);
    run_s(60);
    assert_int_equal(device.app.slots.sequence, 1);
    assert_int_equal(taken("configuration 2 was not confirmed: no mail got out in 60 s"), 1);
    assert_int_equal(taken("In-Reply-To: <m1@phone.example.test>"), 1);
    run_s(100);
    assert_int_equal(taken("In-Reply-To: <m2@phone.example.test>"), 1);
    assert_int_equal(device.server.mail_count, 2);
    assert_int_equal(device.pop3d.count, 0);
    assert_int_equal(device.resets, 2);
}

/* Another mail confirms the trial; the answer cannot be had, and follows when it can. */
static void test_answer_later(void **state)
{
    (void)state;
    begin(CONFIG);
    sim_server_answer(&device.server, "RCPT TO:<me@", "451 4.7.1 later", 3);
    order("config set hostname = router2", NULL);
    run_s(25);
    assert_true(device.app.slots.on_trial);
    sim_device_type(&device, "alert error something\r");
    run_s(400);
    assert_confirmed(2);
    assert_true(taken("In-Reply-To: <m1@phone.example.test>") == 1);
    assert_int_equal(device.app.queue.count, 0);
}

/* ---- the console meanwhile ---- */

static void test_console(void **state)
{
    (void)state;
    begin(CONFIG);
    commands_config_mail_begin(&device.app); /* As in the middle of a session. */
    sim_device_type(&device,
                    "config set hostname typed\rconfig commit\rconfig revert\rconfig history\r");
    assert_true(on_screen("error: an order by mail is changing the configuration"));
    assert_true(on_screen("number 1"));
    commands_config_mail_end(&device.app);
    sim_device_type(&device, "config import\rhostname = a\r");
    commands_config_mail_begin(&device.app);
    assert_int_equal(candidate_import_begin(&device.app.config_shell.candidate), 0);
    assert_int_equal(candidate_import_push(&device.app.config_shell.candidate, "to", 2), 0);
    sim_device_type(&device, "reboot\r.\rreboot\r");
    assert_int_equal(device.resets, 0);
    assert_int_equal(device.app.slots.stage.size, 2);
    assert_true(on_screen("error: aborted; nothing is staged"));
    commands_config_mail_end(&device.app);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_plain, end),
        cmocka_unit_test_teardown(test_allowed, end),
        cmocka_unit_test_teardown(test_mute_and_poll, end),
        cmocka_unit_test_teardown(test_ack, end),
        cmocka_unit_test_teardown(test_config_set, end),
        cmocka_unit_test_teardown(test_config_import, end),
        cmocka_unit_test_teardown(test_roll_back, end),
        cmocka_unit_test_teardown(test_answer_later, end),
        cmocka_unit_test_teardown(test_console, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
