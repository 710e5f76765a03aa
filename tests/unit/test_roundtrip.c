/* Round trips, self tests and mutes, on a whole device in simulation with a mail server and a
 * mailbox. */
#include "firmware/app.h"
#include "firmware/mute.h"
#include "tests/sim/device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UNIX_MS 1800000000000u /* 2027-01-15 08:00:00 */
#define SMTP                                                           \
    "to = a@example.test\nmailhub = mail.example.test:25\ntls = off\n" \
    "hostname = router1\nfrom = router1@example.test\nalert_boot = no\n"
#define POP3                                                        \
    "pop3 = pop.example.test:110\npop3_tls = off\npop3_user = me\n" \
    "pop3_pass = secret\nauth_without_tls = yes\nmailbox = box@example.test\npoll = off\n"

static struct sim_device device;
static size_t delivered; /* Mails of the server that are in the mailbox, or need not be. */
static uint64_t boot_unix_ms;

static void boot(void)
{
    boot_unix_ms += device.now_ms; /* Which begins anew. */
    sim_device_boot(&device, RESET_POWER_ON, "");
    app_set_time(&device.app, boot_unix_ms, "SNTP");
    sim_device_run(&device, 1000);
}

static void begin(const char *config)
{
    delivered = 0;
    sim_device_flash(&device, config, true);
    device.pop3d.user = "me";
    device.pop3d.password = "secret";
    boot_unix_ms = UNIX_MS - device.now_ms;
    boot();
}

static int end(void **state)
{
    (void)state;
    assert_null(device.pop3d.violation);
    assert_null(device.server.violation);
    sim_device_end(&device);
    return 0;
}

/* The provider moves what it took for that address to its mailbox. Returns how many mails. */
static unsigned deliver(void)
{
    unsigned moved = 0;

    for (; delivered < device.server.mail_count; delivered++) {
        const struct sim_mail *mail = &device.server.mails[delivered];
        char uid[16];

        if (!mail->taken) {
            break;
        }
        if (strstr(mail->to, "box@") != NULL) {
            snprintf(uid, sizeof uid, "u%u", (unsigned)delivered);
            pop3d_add(&device.pop3d, uid, mail->bytes);
            moved++;
        }
    }
    return moved;
}

static bool on_screen(const char *part)
{
    return strstr(device.screen, part) != NULL;
}

static unsigned taken(const char *part)
{
    return sim_server_taken(&device.server, part);
}

static void run_s(uint32_t seconds)
{
    sim_device_run(&device, (uint64_t)seconds * 1000);
}

static void say(const char *text)
{
    app_datagram(&device.app, text, strlen(text), 0x0600000A); /* 10.0.0.6 */
}

/* --- By a person --- */

static void test_round_trip(void **state)
{
    (void)state;
    begin(SMTP POP3);
    sim_device_type(&device, "test --round-trip\r");
    assert_true(on_screen("  accepted  ok "));
    assert_false(on_screen("\r\nok\r\n"));
    assert_int_equal(device.app.queue.count, 0);
    run_s(5);
    assert_int_equal(deliver(), 1);
    assert_int_equal(taken("Subject: [router1] round trip "), 1);
    run_s(10);
    assert_true(on_screen("  back      ok "));
    assert_true(on_screen("  total     ok "));
    assert_true(on_screen("\r\nok\r\n"));
    assert_int_equal(device.app.roundtrip.state, ROUNDTRIP_IDLE);
    run_s(5);
    assert_int_equal(device.pop3d.count, 0); /* It has done its duty. */
    assert_int_equal(device.pop3d.deleted, 1);
    sim_device_type(&device, "help\r"); /* The console is there again. */
    assert_true(on_screen("test [--round-trip]"));
}

/* Other mail is no answer, nor is another token; ^C ends it; what is typed meanwhile is dropped. */
static void test_stop(void **state)
{
    (void)state;
    begin(SMTP POP3);
    pop3d_add(&device.pop3d, "x", "Subject: [router1] round trip 0123456789abcdef\r\n\r\nx\r\n");
    sim_device_type(&device, "test --round-trip\r");
    run_s(30);
    assert_int_equal(device.app.roundtrip.state, ROUNDTRIP_WAITING);
    assert_true(device.pop3d.logins >= 4);
    sim_device_type(&device, "reboot\r");
    assert_int_equal(device.resets, 0);
    sim_device_type(&device, "\003");
    assert_true(on_screen("error: stopped"));
    assert_int_equal(device.app.roundtrip.state, ROUNDTRIP_IDLE);
    assert_int_equal(device.pop3d.count, 1);
    sim_device_type(&device, "status\r");
    assert_true(on_screen("mailbox  pop.example.test:110"));
}

static void test_not_back(void **state)
{
    unsigned logins;

    (void)state;
    begin(SMTP POP3);
    sim_device_type(&device, "test --round-trip\r");
    run_s(590);
    assert_int_equal(device.app.roundtrip.state, ROUNDTRIP_WAITING);
    logins = device.pop3d.logins;
    assert_in_range(logins, 10, 40); /* Often at first, then rarely. */
    run_s(120);
    assert_int_equal(device.app.roundtrip.state, ROUNDTRIP_IDLE);
    assert_true(on_screen("  back      FAIL "));
    assert_true(on_screen("it has not come back"));
    assert_true(on_screen("error: the round trip failed at the stage above"));
}

static void test_no_way(void **state)
{
    (void)state;
    begin(SMTP);
    sim_device_type(&device, "test --round-trip\r");
    assert_true(on_screen("error: there is no mailbox"));
    sim_device_type(&device, "poll\r");
    assert_true(on_screen("error: there is no mailbox"));
    sim_device_type(&device, "test twice\r");
    assert_true(on_screen("error: expected `test`"));
    sim_device_end(&device);

    begin(SMTP POP3); /* Refused for ever. */
    sim_server_answer(&device.server, "RCPT", "550 5.1.1 no such mailbox", 1);
    sim_device_type(&device, "test --round-trip\r");
    run_s(5);
    assert_true(on_screen("  accepted  FAIL "));
    assert_true(on_screen("no such mailbox"));
    assert_int_equal(device.app.queue.count, 0); /* A person has seen it: it waits for nobody. */
    sim_device_end(&device);

    begin(SMTP POP3); /* No server. */
    device.server.no_open = "connection refused";
    sim_device_type(&device, "test --round-trip\r");
    run_s(60);
    assert_true(on_screen("  accepted  FAIL "));
    assert_true(on_screen("connection refused"));
    assert_int_equal(device.app.queue.count, 0);
    device.network.link_up = false;
    run_s(10);
    sim_device_type(&device, "test --round-trip\r");
    assert_true(on_screen("check the cable"));
    assert_false(roundtrip_waits(&device.app));
    sim_device_end(&device);

    begin(SMTP POP3); /* A wrong password: told soon. */
    device.pop3d.password = "another";
    sim_device_type(&device, "test --round-trip\r");
    run_s(60);
    assert_true(on_screen("  accepted  ok "));
    assert_true(on_screen("  back      FAIL "));
    assert_false(roundtrip_waits(&device.app));
}

/* The server took it, but its answer was lost: that it is back is the better proof. */
static void test_answer_lost(void **state)
{
    char text[200];

    (void)state;
    begin(SMTP POP3);
    sim_server_answer(&device.server, ".", "451 4.3.0 later", 1);
    sim_device_type(&device, "test --round-trip\r");
    assert_int_equal(device.app.roundtrip.state, ROUNDTRIP_SENDING);
    snprintf(text, sizeof text, "Subject: [router1] round trip %s\r\n\r\nx\r\n",
             device.app.roundtrip.token);
    pop3d_add(&device.pop3d, "lost", text);
    device.server.no_open = "away";
    poller_hurry(&device.app);
    run_s(5);
    assert_true(on_screen("  back      ok "));
    assert_int_equal(device.app.roundtrip.state, ROUNDTRIP_IDLE);
    assert_int_equal(device.app.queue.count, 0);
}

/* --- By itself --- */

static void test_self_test(void **state)
{
    (void)state;
    begin(SMTP POP3 "self_test = daily\n");
    run_s(20); /* The first one comes at once. */
    assert_int_equal(deliver(), 1);
    run_s(120);
    assert_true(on_screen("the self test succeeded: accepted after "));
    assert_int_equal(taken("self test"), 0);
    assert_false(device.app.diary.self_test_failed);
    assert_true(device.app.diary.self_test_unix_s > UNIX_MS / 1000);
    boot();
    run_s(23 * 3600);
    assert_int_equal(taken("round trip"), 1); /* A reset is no reason for another. */
    run_s(2 * 3600);
    assert_int_equal(taken("round trip"), 2);
    run_s(3600); /* That one was not delivered. */
    assert_int_equal(taken("the self test failed: its mail was accepted by the mail server, but"),
                     1);
    assert_true(device.app.diary.self_test_failed);
    delivered = device.server.mail_count;
    boot();
    assert_true(device.app.diary.self_test_failed);
    run_s(23 * 3600);
    assert_int_equal(deliver(), 1);
    run_s(300);
    assert_int_equal(taken("the self test succeeded"), 1); /* What failed works again. */
    assert_int_equal(taken("the self test failed"), 1);
    assert_int_equal(taken("round trip"), 3);
}

/* The server that took the mail and lost it is not the first choice to tell of it. */
static void test_self_test_second_server(void **state)
{
    (void)state;
    begin(SMTP POP3 "self_test = daily\nmailhub2 = other.example.test:25\ntls2 = off\n");
    run_s(3700);
    assert_true(on_screen("alert 1 accepted by mail.example.test"));
    assert_true(on_screen("alert 2 accepted by other.example.test"));
    assert_int_equal(taken("the self test failed"), 1);
    say("<27>gate: the next one");
    run_s(10);
    assert_true(on_screen("alert 3 accepted by mail.example.test"));
}

static void test_self_test_not_accepted(void **state)
{
    (void)state;
    sim_device_flash(&device, SMTP POP3 "self_test = daily\nrepeat_window = off\n", true);
    device.server.no_open = "connection refused";
    boot_unix_ms = UNIX_MS;
    boot();
    run_s(3700);
    assert_true(on_screen("the self test failed: its mail was not accepted after 36"));
    assert_true(on_screen("connection refused"));
    assert_int_equal(device.app.queue.count, 1); /* The alert; the mail itself waits no more. */
    device.server.no_open = NULL;
    run_s(1000);
    assert_int_equal(taken("the self test failed"), 1);
    assert_int_equal(taken("Subject: [router1] round trip"), 0);
}

/* A person need not wait for a self test. */
static void test_self_test_gives_way(void **state)
{
    (void)state;
    begin(SMTP POP3 "self_test = daily\n");
    run_s(20);
    assert_int_equal(device.app.roundtrip.state, ROUNDTRIP_WAITING);
    assert_true(device.app.roundtrip.by_itself);
    sim_device_type(&device, "test --round-trip\r");
    assert_true(roundtrip_waits(&device.app));
    assert_int_equal(deliver(), 2);
    run_s(10);
    assert_true(on_screen("\r\nok\r\n"));
}

/* --- Mutes --- */

static void test_mute(void **state)
{
    (void)state;
    begin(SMTP "repeat_window = off\n");
    sim_device_type(&device, "mute SSHD 1h\rmute gate2 2h\rmute 10.0.0.6 off\rmute\r");
    assert_true(on_screen("muted    SSHD until 2027-01-15 09:00:"));
    assert_true(on_screen("muted    gate2 until 2027-01-15 10:00:"));
    assert_true(on_screen("error: nothing is muted"));
    say("<27>Jan 15 08:00:00 gate sshd[412]: muted by its app");
    say("<27>Jan 15 08:00:00 GATE2 cron[1]: muted by its host");
    say("<27>Jan 15 08:00:00 gate sshd2[412]: heard, another app");
    say("<24>Jan 15 08:00:00 gate sshd[412]: heard, an emergency");
    run_s(10);
    assert_int_equal(taken("heard"), 2);
    assert_int_equal(taken("muted by"), 0);
    assert_int_equal(device.app.queue.count, 0);
    sim_device_type(&device, "mute gate2 off\r");
    run_s(5);
    assert_int_equal(taken("the mute of gate2 is over: it kept back 1 alert"), 1);
    run_s(60);
    boot(); /* It holds, and so does its count. */
    say("<27>Jan 15 08:00:00 gate sshd[413]: muted by its app again");
    sim_device_type(&device, "status\r");
    assert_true(on_screen("muted    SSHD until 2027-01-15 09:00:0"));
    assert_true(on_screen("kept back 2"));
    run_s(3700);
    assert_int_equal(taken("the mute of SSHD is over: it kept back 2 alerts"), 1);
    assert_int_equal(taken("muted by"), 0);
    say("<27>Jan 15 08:00:00 gate sshd[413]: heard again");
    run_s(5);
    assert_int_equal(taken("heard again"), 1);
    boot();
    run_s(5);
    assert_int_equal(taken("is over"), 2);
}

/* By its address; the device's own alerts only by their app; no more than fit. */
static void test_mute_names(void **state)
{
    (void)state;
    begin(SMTP "repeat_window = off\n");
    sim_device_type(&device, "mute 10.0.0.6 1h\rmute router1 1h\r");
    say("<27>Jan 15 08:00:00 gate sshd[412]: by address");
    assert_int_equal(app_device_alert(&device.app, SEVERITY_ERROR, "queue", "of its own") > 0, 1);
    assert_int_equal(app_device_alert(&device.app, SEVERITY_EMERGENCY, "link", "its own") > 0, 1);
    sim_device_type(&device, "mute link[9] 1d\r");
    assert_true(on_screen("ok"));
    assert_int_equal(app_device_alert(&device.app, SEVERITY_ERROR, "link", "of its own"), 0);
    sim_device_type(&device, "alert err from the console\r");
    assert_true(on_screen("its source is muted, and counts it"));
    run_s(10);
    assert_int_equal(taken("by address"), 0);
    assert_int_equal(taken("its own"), 2);
    sim_device_type(&device, "mute a 10m\rmute b 10m\r");
    assert_true(on_screen("error: too many mutes"));
    sim_device_type(&device, "mute abcdefghijabcdefghijabcdefghijab 10m\r");
    assert_true(on_screen("error: expected a host, app or address of at most 31 bytes"));
    sim_device_type(&device, "mute [1] 10m\r");
    assert_true(on_screen("error: expected a host"));
    sim_device_type(&device, "mute a\r");
    assert_true(on_screen("error: expected `mute SOURCE TIME`"));
    sim_device_type(&device, "mute a 0m\r");
    assert_true(on_screen("error: expected `mute SOURCE TIME`"));
    sim_device_type(&device, "mute a 31d\r");
    assert_true(on_screen("error: expected `mute SOURCE TIME`"));
    sim_device_type(&device, "mute a 20m\rmute\r"); /* Longer: no second one. */
    assert_true(on_screen("a until 2027-01-15 08:20:"));
}

/* Without the time nothing is muted: a mute could not end. */
static void test_mute_without_time(void **state)
{
    (void)state;
    begin(SMTP "repeat_window = off\nsntp = off\n");
    sim_device_type(&device, "mute sshd 1h\r");
    sim_device_boot(&device, RESET_POWER_ON, "");
    say("<27>Jan 15 08:00:00 gate sshd[412]: heard");
    sim_device_type(&device, "mute cron 1h\r");
    assert_true(on_screen("error: the time is not known"));
    run_s(10);
    assert_int_equal(taken("heard"), 1);
}

/* A flood of muted alerts does not wear the flash out, and loses little with the power. */
static void test_mute_flood(void **state)
{
    uint64_t before;

    (void)state;
    begin(SMTP "repeat_window = off\n");
    sim_device_type(&device, "mute sshd 1h\r");
    before = device.nor.bytes_programmed;
    for (unsigned i = 0; i < 100; i++) {
        say("<27>Jan 15 08:00:00 gate sshd[412]: again");
        run_s(2);
    }
    assert_in_range(device.nor.bytes_programmed - before, 100, 1500); /* 3 records, a checkpoint. */
    run_s(60);
    boot();
    assert_int_equal(device.app.diary.mutes[0].count, 100);
    say("<27>Jan 15 08:00:00 gate sshd[412]: again");
    sim_device_type(&device, "reboot\r"); /* On purpose: none is lost. */
    run_s(1);
    boot();
    assert_int_equal(device.app.diary.mutes[0].count, 101);
}

/* --- Other commands --- */

static void test_ack(void **state)
{
    (void)state;
    begin(SMTP "repeat_window = off\n");
    sim_server_answer(&device.server, ".", "554 5.6.0 never", 2);
    say("<27>gate: first");
    run_s(5);
    say("<27>gate: second");
    run_s(5);
    device.server.no_open = "away";
    say("<27>gate: third");
    run_s(5);
    assert_int_equal(device.app.queue.count, 3);
    sim_device_type(&device, "ack 77\r");
    assert_true(on_screen("error: no alert has that number"));
    sim_device_type(&device, "ack x\r");
    assert_true(on_screen("error: expected `ack NUMBER`"));
    sim_device_type(&device, "ack all\r");
    assert_int_equal(device.app.queue.count, 1);
    sim_device_type(&device, "ack 3\r");
    assert_int_equal(device.app.queue.count, 0);
}

static void test_poll(void **state)
{
    unsigned logins;

    (void)state;
    begin(SMTP POP3);
    run_s(3600);
    logins = device.pop3d.logins;
    run_s(3600);
    assert_int_equal(device.pop3d.logins, logins);
    sim_device_type(&device, "poll\r");
    run_s(10);
    assert_int_equal(device.pop3d.logins, logins + 1);
    sim_device_type(&device, "poll 10m\r");
    run_s(600);
    assert_in_range(device.pop3d.logins, logins + 10, logins + 40);
    logins = device.pop3d.logins;
    run_s(3600);
    assert_in_range(device.pop3d.logins, logins, logins + 2);
    sim_device_type(&device, "poll soon\r");
    assert_true(on_screen("error: expected a time of at most 7d, as in `poll 2h`"));
}

static void test_report(void **state)
{
    (void)state;
    begin(SMTP);
    sim_device_type(&device, "report\r");
    assert_true(on_screen("Next report: none"));
    sim_device_type(&device, "report send\r");
    run_s(5);
    assert_int_equal(taken("Subject: [router1] report 2027-01-15"), 1);
    sim_device_type(&device, "report often\r");
    assert_true(on_screen("error: expected `report`"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_round_trip, end),
        cmocka_unit_test_teardown(test_stop, end),
        cmocka_unit_test_teardown(test_not_back, end),
        cmocka_unit_test_teardown(test_no_way, end),
        cmocka_unit_test_teardown(test_answer_lost, end),
        cmocka_unit_test_teardown(test_self_test, end),
        cmocka_unit_test_teardown(test_self_test_second_server, end),
        cmocka_unit_test_teardown(test_self_test_not_accepted, end),
        cmocka_unit_test_teardown(test_self_test_gives_way, end),
        cmocka_unit_test_teardown(test_mute, end),
        cmocka_unit_test_teardown(test_mute_names, end),
        cmocka_unit_test_teardown(test_mute_without_time, end),
        cmocka_unit_test_teardown(test_mute_flood, end),
        cmocka_unit_test_teardown(test_ack, end),
        cmocka_unit_test_teardown(test_poll, end),
        cmocka_unit_test_teardown(test_report, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
