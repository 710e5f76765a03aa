/* Answers to mailed commands: what is packed into an alert, what waits, and the mail that it
 * becomes. */
#include "firmware/answer.h"
#include "firmware/app.h"
#include "firmware/report.h"
#include "tests/sim/device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FRIDAY 1800000000u /* 2027-01-15 08:00:00 */
#define POP3                                                                                      \
    "pop3 = pop.example.test:110\npop3_tls = off\npop3_user = me\npop3_pass = topsecret\npoll = " \
    "off\n"
#define CONFIG                                                                          \
    "to = a@example.test, b@example.test\nmailhub = mail.example.test:25\ntls = off\n"  \
    "hostname = router1\nfrom = router1@example.test\nretry_min = 10\nretry_max = 60\n" \
    "alert_boot = no\nalert_link = no\nanswer_to = phone@example.test\ncommand_key = "  \
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n" POP3

static struct sim_device device;

static void begin(const char *config)
{
    sim_device_flash(&device, config, true);
    sim_device_boot(&device, RESET_POWER_ON, "");
    app_set_time(&device.app, FRIDAY * 1000ull, "SNTP");
}

static int end(void **state)
{
    (void)state;
    sim_device_end(&device);
    return 0;
}

static void has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("no \"%s\" in:\n%s", part, text);
    }
}

static void has_not(const char *text, const char *part)
{
    if (strstr(text, part) != NULL) {
        fail_msg("\"%s\" in:\n%s", part, text);
    }
}

/* ---- packing ---- */

static struct alert alert;
static struct answer_parts parts;

static void pack(const char *result, const char *message_id, const char *subject)
{
    memset(&alert, 0x55, sizeof alert);
    answer_pack(&alert, result, message_id, subject);
    assert_in_range(strlen(alert.text), 2, sizeof alert.text - 1);
    answer_unpack(&alert, &parts);
}

static void test_pack(void **state)
{
    (void)state;
    pack("web1 is muted", "x$1@mail.example.org", "Re: mute web1");
    assert_string_equal(parts.result, "web1 is muted");
    assert_string_equal(parts.message_id, "x$1@mail.example.org");
    assert_string_equal(parts.subject, "Re: mute web1");
    assert_ptr_equal(parts.result, alert.text);
    pack("", "", "");
    assert_string_equal(parts.result, "");
    assert_string_equal(parts.message_id, "");
    assert_string_equal(parts.subject, "");
}

/* What is too long loses its end, an identifier goes as a whole; and a character is never split. */
static void test_pack_long(void **state)
{
    static char longest[1000];
    static char id[1000];

    (void)state;
    for (size_t i = 0; i + 3 < sizeof longest; i += 2) {
        memcpy(longest + i, "\xD0\xA1", 3);
    }
    for (size_t length = 150; length < 260; length++) {
        memset(id, 'i', sizeof id);
        id[length] = '\0';
        pack(longest, id, "Re: x");
        assert_string_equal(parts.message_id, length < AUTHORITY_ID_BYTES ? id : "");
        assert_string_equal(parts.subject, "Re: x");
        assert_in_range(strlen(parts.result), 85, 300);
        assert_string_equal(parts.result + strlen(parts.result) - 3, "...");
        assert_int_equal(strlen(parts.result) % 2, 1);
    }
    pack("ok", id, longest);
    assert_in_range(strlen(parts.subject), AUTHORITY_SUBJECT_BYTES, sizeof alert.text);
    assert_int_equal(strlen(parts.subject) % 2, 0);
    pack("ok", "", "x");
    assert_string_equal(parts.result, "ok");
}

/* Nothing from outside gets from one part into another. */
static void test_pack_hostile(void **state)
{
    static const char *const ids[] = {"a\nb@c", "a b@c", "a@\r", "\xD0\xA1@c", "\x7F@c", "a\t@c"};

    (void)state;
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        pack("one\ntwo\r\n", ids[i], "a\nb\x01\xFF");
        assert_string_equal(parts.result, "one two  ");
        assert_string_equal(parts.message_id, "");
        assert_string_equal(parts.subject, "a b \xEF\xBF\xBD");
    }
    /* Flash gave something else than was packed. */
    memset(&alert, 0, sizeof alert);
    answer_unpack(&alert, &parts);
    assert_string_equal(parts.subject, "");
    strcpy(alert.text, "only a result");
    answer_unpack(&alert, &parts);
    assert_string_equal(parts.result, "only a result");
    assert_string_equal(parts.message_id, "");
    assert_string_equal(parts.subject, "");
    strcpy(alert.text, "a\nb\nc\nd\n");
    answer_unpack(&alert, &parts);
    assert_string_equal(parts.result, "a");
    assert_string_equal(parts.message_id, "b");
    assert_string_equal(parts.subject, "c");
}

static void test_kinds(void **state)
{
    (void)state;
    memset(&alert, 0, sizeof alert);
    strcpy(alert.app, "report");
    strcpy(alert.source, "device");
    assert_false(answer_is(&alert));
    assert_false(answer_is_report(&alert));
    alert.facility = FACILITY_MAIL;
    assert_true(answer_is(&alert));
    assert_true(answer_is_report(&alert));
    assert_false(answer_is_ordered(&alert));
    strcpy(alert.source, "mail");
    assert_false(answer_is_report(&alert));
    assert_true(answer_is_ordered(&alert));
    strcpy(alert.app, "round trip");
    assert_true(answer_is_round_trip(&alert));
    alert.facility = FACILITY_DEVICE;
    assert_false(answer_is_round_trip(&alert));
    assert_false(answer_is_ordered(&alert));
}

/* ---- queued, sent ---- */

/* Queues one, and gives the mail that the server gets. */
static const char *send(const char *name, const char *result, const char *id, const char *subject)
{
    size_t before = device.server.mail_count;
    uint32_t number = 0;

    assert_int_equal(answer_queue(&device.app, name, result, id, subject, &number), 0);
    assert_true(number > 0);
    sim_device_run(&device, 3000);
    assert_int_equal(device.server.mail_count, before + 1);
    assert_true(device.server.mails[before].taken);
    assert_int_equal(device.app.queue.count, 0);
    return device.server.mails[before].bytes;
}

static void test_plain(void **state)
{
    const char *mail;

    (void)state;
    begin(CONFIG "timezone = -03:30\n");
    mail = send("mute", "web1 is muted until tomorrow", "17@phone.example", "mute web1 2h");
    assert_string_equal(device.server.mails[0].to, "<phone@example.test>");
    has(mail, "Subject: Re: mute web1 2h\n");
    has(mail, "In-Reply-To: <17@phone.example>\nReferences: <17@phone.example>\n");
    has(mail, "Auto-Submitted: auto-replied\n");
    has(mail, "Importance: normal\n");
    has(mail, "\n\nweb1 is muted until tomorrow\nOrder: mute\nRun: 2027-01-15 04:30:00 -0330\n\n"
              "--=20\nrouter1 at 10.2.0.9\n");
    has_not(mail, "attachment");
}

/* Subjects: never "Re: Re:", and never nothing. */
static void test_subjects(void **state)
{
    (void)state;
    begin(CONFIG);
    has(send("ack", "gone", "1@x", "RE: [router1] ERROR: x"), "Subject: RE: [router1] ERROR: x\n");
    has(send("ack", "gone", "1@x", ""), "Subject: [router1] ack\n");
    has(send("ack", "gone", NULL, "Hello"), "Subject: Re: Hello\n");
    has(send("ack", "gone", "", "a\r\nBcc: evil@example.test"),
        "Subject: Re: a Bcc: evil@example.test\n");
    has(send("report", "due", NULL, NULL), "Subject: [router1] report 2027-01-15\n");
    has(send("report", "due", NULL, NULL), "Auto-Submitted: auto-generated\n");
    has_not(send("report", "due", NULL, NULL), "Order: ");
    has(send("report", "ok", "1@x", "tell me"), "Subject: Re: tell me\n");
}

static void test_shown(void **state)
{
    const char *mail;

    (void)state;
    begin(CONFIG);
    mail = send("status", "ok", "1@x", "status");
    has(mail, "\n\nok\nOrder: status\nRun: 2027-01-15 08:00:00 +0000\n\ndevice   tocsin ");
    has(mail, "\nnetwork  link up, 10.2.0.9 by DHCP");
    has(mail, "\n\n--=20\nrouter1 at 10.2.0.9\n");
    mail = send("config show", "ok", "1@x", "");
    has(mail, "\nhostname =3D router1\n");
    has(mail, "pop3_pass =3D ********\n");
    has_not(mail, "topsecret");
    has_not(mail, "0001020304");
    mail = send("history", "ok", "1@x", "");
    has(mail, "\nRun: 2027-01-15 08:00:06 +0000\n\n");
    device.server.no_open = "no route";
    assert_in_range(app_device_alert(&device.app, SEVERITY_ERROR, "x", "it still waits"), 1, 99);
    sim_device_run(&device, 2000);
    device.server.no_open = NULL;
    assert_int_equal(answer_queue(&device.app, "queue", "ok", "1@x", "", NULL), 0);
    device.app.queue.due[0] = UINT16_MAX; /* Not yet. */
    sim_device_run(&device, 70000);
    assert_int_equal(sim_server_taken(&device.server, "Order: queue"), 1);
    mail = send("report", "ok", "1@x", "");
    has(mail, "\nOrder: report\nRun: ");
    has(mail, "\n\nAll is well.\nReport of 2027-01-15 08:");
    has(mail, "\nNext report: none, `report` is off\n");
    has(mail, "\nname,value\n");
}

/* What was not run, or is not allowed (any more), shows nothing. */
static void test_not_shown(void **state)
{
    (void)state;
    begin(CONFIG "commands = help, status, mute\n");
    has_not(send("config show", "ok", "1@x", ""), "pop3_user");
    has_not(send("status", "not done: nothing may stand behind its name", "1@x", ""), "network");
    has(send("status", "ok", "1@x", ""), "network");
    has_not(send("report", "ok", "1@x", ""), "name,value");
    has_not(send("tell me a joke", "not done: there is no such command", "1@x", ""), "status:");
    has(send("help", "ok", "1@x", ""),
        "\n\nhelp\nstatus\nmute SOURCE DURATION: no mail about it\n\n"
        "--=20\n");
}

static void test_otp_told(void **state)
{
    const char *mail;

    (void)state;
    begin(CONFIG);
    strcpy(device.app.authority.otp_seed, "ke1234");
    device.app.authority.otp_sequence = 11;
    mail = send("ack", "gone", "1@x", "");
    has(mail, "\nOne-time passwords: 11 left, next is 10 ke1234\n\n--=20\n");
    device.app.authority.otp_sequence = 2;
    mail = send("ack", "gone", "1@x", "");
    has(mail, "\nOne-time passwords: 2 left, next is 1 ke1234\nFew are left: ");
    mail = send("report", "ok", "1@x", "");
    assert_null(strstr(strstr(mail, "One-time passwords") + 1, "One-time passwords"));
    /* No line of ours is read as a password when somebody answers without quote marks. */
    has_not(mail, "\notp");
    has_not(mail, "\nOTP");
}

static void test_round_trip(void **state)
{
    const char *mail;

    (void)state;
    begin(CONFIG "mailbox = own@example.test\n");
    mail = send("round trip", "00112233445566aa", NULL, NULL);
    assert_string_equal(device.server.mails[0].to, "<own@example.test>");
    has(mail, "Subject: [router1] round trip 00112233445566aa\n");
    has(mail, "Auto-Submitted: auto-generated\n");
    has(mail, "\nToken: 00112233445566aa\n\n--=20\n");
    has_not(mail, "In-Reply-To");
}

/* It waits in flash like an alert, is no alert of a storm, and its lines are of when it is sent. */
static void test_durable(void **state)
{
    struct queue_item item;
    uint32_t number;

    (void)state;
    begin(CONFIG "alerts_per_hour = 1\n");
    device.server.no_open = "no route";
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(answer_queue(&device.app, "status", "ok", "1@x", "status", &number), 0);
        assert_true(queue_find(&device.app.queue, number, &item));
        assert_false(item.folded || item.volatile_ || item.is_test);
        assert_int_equal(item.facility, FACILITY_MAIL);
        assert_int_equal(item.severity, SEVERITY_NOTICE);
    }
    sim_device_run(&device, 5000);
    assert_int_equal(device.app.queue.count, 5);
    sim_device_boot(&device, RESET_POWER_ON, "");
    app_set_time(&device.app, (FRIDAY + 100) * 1000ull, "SNTP");
    device.server.no_open = NULL;
    sim_device_run(&device, 100000);
    assert_int_equal(sim_server_taken(&device.server, "Subject: Re: status\n"), 5);
    assert_int_equal(sim_server_taken(&device.server, "Run: 2027-01-15 08:00:00 +0000\n"), 5);
    assert_int_equal(sim_server_taken(&device.server, ", boot 2, "), 5);
    assert_int_equal(device.app.queue.count, 0);
}

/* Nobody to send it to. */
static void test_no_recipient(void **state)
{
    (void)state;
    sim_device_flash(&device, NULL, true);
    sim_device_boot(&device, RESET_POWER_ON, "");
    assert_int_equal(answer_queue(&device.app, "status", "ok", "1@x", "", NULL), E_CONFIG);
    assert_int_equal(device.app.queue.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pack),
        cmocka_unit_test(test_pack_long),
        cmocka_unit_test(test_pack_hostile),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test_teardown(test_plain, end),
        cmocka_unit_test_teardown(test_subjects, end),
        cmocka_unit_test_teardown(test_shown, end),
        cmocka_unit_test_teardown(test_not_shown, end),
        cmocka_unit_test_teardown(test_otp_told, end),
        cmocka_unit_test_teardown(test_round_trip, end),
        cmocka_unit_test_teardown(test_durable, end),
        cmocka_unit_test_teardown(test_no_recipient, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
