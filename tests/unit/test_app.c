/* The whole device in simulation: from a syslog datagram or a typed line to a mail that was taken.
 */
#include "firmware/app.h"
#include "tests/sim/device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UNIX_MS 1800000000000u /* 2027-01-15 08:00:00 */
#define COMMON                                                                       \
    "to = a@example.test\nmailhub = mail.example.test:25\ntls = off\n"               \
    "hostname = router1.example.test\nfrom = router1@example.test\nretry_min = 10\n" \
    "retry_max = 60\n"
#define QUIET "alert_boot = no\n"
#define EACH "repeat_window = off\nalerts_per_hour = off\n" /* A mail for each alert. */
#define SENDER_ADDRESS_BE 0x0600000A

static struct sim_device device;

static void begin(const char *config)
{
    sim_device_flash(&device, config, true);
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

static unsigned count(const char *text, const char *part)
{
    unsigned found = 0;

    while ((text = strstr(text, part)) != NULL) {
        text++;
        found++;
    }
    return found;
}

static bool on_screen(const char *part)
{
    return strstr(device.screen, part) != NULL;
}

/* The only or last mail that holds part. */
static const char *mail_with(const char *part)
{
    const char *found = NULL;

    for (size_t i = 0; i < device.server.mail_count; i++) {
        if (device.server.mails[i].taken && strstr(device.server.mails[i].bytes, part) != NULL) {
            found = device.server.mails[i].bytes;
        }
    }
    return found;
}

static unsigned taken(const char *part)
{
    return sim_server_taken(&device.server, part);
}

/* --- Syslog --- */

static void test_syslog(void **state)
{
    (void)state;
    begin(COMMON QUIET);
    set_clock();
    datagram("<27>Jan 15 08:00:00 gate sshd[412]: the door opened");
    sim_device_run(&device, 2000);
    assert_int_equal(device.server.mail_count, 1);
    assert_non_null(mail_with("the door opened"));
    assert_non_null(mail_with("sshd[412]"));
    assert_non_null(mail_with("gate"));
    assert_non_null(mail_with("10.0.0.6"));
    assert_non_null(mail_with("daemon"));
    assert_int_equal(device.app.queue.count, 0);
}

static void test_syslog_filter(void **state)
{
    (void)state;
    begin(COMMON QUIET "syslog_severity = warning\nsyslog_facility = daemon, local0\n"
                       "syslog_match = DOOR\nsyslog_ignore = cat flap\n");
    set_clock();
    datagram("<28>gate: the Door opened");          /* daemon.warning: taken */
    datagram("<29>gate: the door opened, notice");  /* daemon.notice: too mild */
    datagram("<128>gate: a door opened by force");  /* local0.emerg: taken */
    datagram("<136>gate: the door of local1");      /* Another facility. */
    datagram("<24>gate: the window opened");        /* No match. */
    datagram("<24>gate: the Cat Flap door opened"); /* Ignored. */
    datagram("no priority here, but a door");       /* Malformed, as the next ones. */
    datagram("<999>a door");
    datagram("");
    assert_int_equal(device.app.syslog.received, 9);
    assert_int_equal(device.app.syslog.taken, 2);
    assert_int_equal(device.app.syslog.filtered, 4);
    assert_int_equal(device.app.syslog.malformed, 3);
    sim_device_run(&device, 3000);
    assert_int_equal(device.server.mail_count, 2);
    assert_int_equal(taken("the Door opened"), 1);
    assert_int_equal(taken("a door opened by force"), 1);
    sim_device_type(&device, "status\r");
    assert_true(on_screen("received 9, taken 2, filtered 4, malformed 3"));
}

/* Bytes of any kind: counted as one thing or the other, and the screen gets no control characters.
 */
static void test_syslog_noise(void **state)
{
    uint32_t random = 77;

    (void)state;
    begin(COMMON QUIET);
    device.screen_size = 0;
    for (unsigned i = 0; i < 300; i++) {
        char bytes[64] = "<27>x: ";

        for (size_t k = i % 2 ? 7 : 0; k < sizeof bytes; k++) {
            random = random * 1664525 + 1013904223;
            bytes[k] = (char)(random >> 24);
        }
        app_datagram(&device.app, bytes, random % sizeof bytes, SENDER_ADDRESS_BE);
    }
    assert_int_equal(device.app.syslog.received, 300);
    assert_int_equal(
        device.app.syslog.taken + device.app.syslog.filtered + device.app.syslog.malformed, 300);
    assert_true(device.app.syslog.taken > 100);
    for (size_t i = 0; i < device.screen_size; i++) {
        unsigned char c = (unsigned char)device.screen[i];

        assert_true(c >= ' ' || c == '\r' || c == '\n' || c == '\033');
        assert_true(c != '\033' || strncmp(device.screen + i, "\033[K", 3) == 0);
    }
}

/* --- The device's own --- */

static void test_boot_alert(void **state)
{
    (void)state;
    sim_device_flash(&device, COMMON, true);
    sim_device_boot(&device, RESET_FAULT, "HardFault pc=0x1234");
    set_clock();
    sim_device_run(&device, 2000);
    assert_non_null(mail_with("boot 1; reason of the reset: fault: HardFault pc=0x1234"));
    assert_non_null(mail_with("error"));
    sim_device_boot(&device, RESET_COMMAND, "");
    set_clock();
    sim_device_run(&device, 2000);
    assert_non_null(mail_with("boot 2; reason of the reset: reboot command"));
    assert_int_equal(device.server.mail_count, 2);
}

static void set_link(bool up)
{
    device.network.link_up = up;
    device.server.cable_out = !up;
    sim_device_run(&device, 5000);
}

static void test_link_flaps(void **state)
{
    (void)state;
    begin(COMMON QUIET);
    set_clock();
    sim_device_run(&device, 1000);
    for (unsigned i = 0; i < 4; i++) {
        device.server.no_open = "no route"; /* Nothing gets out between the flaps. */
        set_link(false);
        set_link(true);
        assert_int_equal(device.app.queue.count, 1);
    }
    assert_int_equal(device.server.mail_count, 0);
    device.server.no_open = NULL;
    sim_device_run(&device, 60000);
    assert_int_equal(device.server.mail_count, 1);
    assert_non_null(mail_with("up again after 5 s; it went down 4 times"));
    set_link(false); /* What was told is not told again. */
    set_link(true);
    sim_device_run(&device, 60000);
    assert_int_equal(device.server.mail_count, 2);
    assert_int_equal(taken("went down"), 1);
}

static void test_link_alert_off(void **state)
{
    (void)state;
    begin(COMMON QUIET "alert_link = no\n");
    set_clock();
    sim_device_run(&device, 1000);
    set_link(false);
    assert_true(on_screen("link down"));
    set_link(true);
    sim_device_run(&device, 60000);
    assert_int_equal(device.server.mail_count, 0);
}

/* --- Time --- */

static void test_time_from_sntp(void **state)
{
    (void)state;
    device.has_rtc = false;
    begin(COMMON QUIET);
    sim_device_run(&device, 4000);
    datagram("<27>gate: early");
    sim_device_run(&device, 60000);
    assert_int_equal(device.server.connections, 0); /* Sending waits, and says so, once. */
    assert_int_equal(count(device.screen, "the time is not known"), 1);
    app_set_time(&device.app, 1700000000000u, "SNTP"); /* Before this firmware was written. */
    assert_true(app_unix_ms(&device.app) == 0);
    assert_true(on_screen("refused"));
    sim_device_run(&device, 10000);
    assert_int_equal(device.server.connections, 0);
    app_set_time(&device.app, UNIX_MS, "SNTP"); /* 70 s after the alert. */
    sim_device_run(&device, 2000);
    assert_int_equal(device.server.mail_count, 1);
    assert_non_null(mail_with("2027-01-15 07:58:50")); /* When it happened. */
    sim_device_type(&device, "status\r");
    assert_true(on_screen("2027-01-15 08:00:0"));
    assert_true(on_screen("SNTP"));
}

/* In clear text the time is waited for, but not for ever; without SNTP not at all. */
static void test_no_time(void **state)
{
    (void)state;
    begin(COMMON QUIET);
    datagram("<27>gate: without a date");
    sim_device_run(&device, 290000);
    assert_int_equal(device.server.connections, 0);
    sim_device_run(&device, 15000);
    assert_non_null(mail_with("without a date"));
    assert_null(strstr(mail_with("without a date"), "\nDate:"));
    sim_device_end(&device);
    begin(COMMON QUIET "sntp = off\n");
    datagram("<27>gate: at once");
    sim_device_run(&device, 2000);
    assert_int_equal(taken("at once"), 1);
}

static void test_time_from_rtc(void **state)
{
    (void)state;
    sim_device_flash(&device, COMMON, true);
    device.has_rtc = true;
    device.rtc_unix_s = 1000; /* Its battery was empty. */
    sim_device_boot(&device, RESET_POWER_ON, "");
    assert_true(app_unix_ms(&device.app) == 0);
    set_clock();
    assert_true(device.rtc_unix_s == UNIX_MS / 1000);
    device.rtc_unix_s += 500;
    sim_device_boot(&device, RESET_POWER_ON, "");
    assert_true(app_unix_ms(&device.app) / 1000 == UNIX_MS / 1000 + 500);
    sim_device_run(&device, 2000);
    assert_int_equal(device.server.mail_count,
                     2); /* No need to wait for SNTP: both boots' alerts. */
}

/* --- The queue, from outside --- */

/* Some 65 of these fill the simulated log: 400 bytes each, padding and header included. */
static void long_datagram(unsigned i)
{
    char text[400];

    snprintf(text, sizeof text, "<29>gate: message number %u %0300u", i, i);
    datagram(text);
}

static void test_displaced(void **state)
{
    unsigned sent, displaced;

    (void)state;
    begin(COMMON QUIET EACH);
    datagram("<24>gate: a severe one");
    for (unsigned i = 0; i < 80; i++) {
        long_datagram(i);
    }
    datagram("<31>gate: debug is filtered"); /* notice is the default. */
    sent = device.app.queue.count;
    displaced = device.app.queue.books.displaced;
    assert_true(displaced > 5 && displaced < 40);
    assert_int_equal(displaced + sent, 81);
    set_clock();
    sim_device_run(&device, 120000);
    assert_int_equal(device.app.queue.count, 0);
    assert_int_equal(taken("a severe one"), 1);
    assert_int_equal(taken("message number 79 "), 1); /* The oldest gave way. */
    assert_int_equal(taken("message number 0 "), 0);
    assert_int_equal(taken("displaced since"), 1);
    assert_int_equal(device.server.mail_count, sent + 1);
    sim_device_run(&device, 120000);
    assert_int_equal(device.server.mail_count, sent + 1);
}

/* An alert that waits for a person does not keep the loss of others a secret. */
static void test_displaced_beside_refused(void **state)
{
    (void)state;
    begin(COMMON QUIET EACH);
    sim_server_answer(&device.server, ".", "554 5.6.0 never", 1);
    datagram("<24>gate: the refused one");
    for (unsigned i = 0; i < 80; i++) {
        long_datagram(i);
    }
    set_clock();
    sim_device_run(&device, 120000);
    assert_int_equal(device.app.queue.count, 1);
    assert_int_equal(taken("displaced since"), 1);
    assert_non_null(mail_with("refused for ever by the mail server 1"));
}

/* --- Resets --- */

static unsigned mails_with_id(const char *id)
{
    unsigned found = 0;

    for (size_t i = 0; i < device.server.mail_count; i++) {
        found += device.server.mails[i].taken && strstr(device.server.mails[i].bytes, id) != NULL;
    }
    return found;
}

/* What was queued before a reset is sent after it, once, under the name that it had. */
static void test_queue_survives(void **state)
{
    char id[128];
    const char *at;

    (void)state;
    begin(COMMON QUIET);
    set_clock();
    device.server.no_open = "no route";
    datagram("<27>gate: before the reset");
    sim_device_run(&device, 5000);
    assert_int_equal(device.server.mail_count, 0);
    for (unsigned i = 0; i < 3; i++) {
        sim_device_boot(&device, RESET_POWER_ON, "");
        assert_int_equal(device.app.queue.count, 1);
    }
    device.server.no_open = NULL;
    set_clock();
    sim_device_run(&device, 5000);
    assert_int_equal(taken("before the reset"), 1);
    at = strstr(mail_with("before the reset"), "Message-ID: <");
    assert_non_null(at);
    snprintf(id, sizeof id, "%.*s", (int)strcspn(at + 13, ">"), at + 13);
    assert_non_null(strstr(id, ".1.1.c0ffee0405060708@example.test"));
    sim_device_boot(&device, RESET_POWER_ON, "");
    set_clock();
    sim_device_run(&device, 5000);
    assert_int_equal(taken("before the reset"), 1);
}

/* The power fails after any byte that the server said: the mail comes at least once, and if it
 * comes twice, both bear one Message-ID. */
static void test_reset_at_each_reply(void **state)
{
    unsigned doubled = 0;
    size_t said = SIM_SERVER_NEVER;

    (void)state;
    for (size_t cut = 1; cut < said; cut += 5) {
        begin(COMMON QUIET);
        set_clock();
        device.server.drop = SIM_DROP_SILENT;
        device.server.drop_tx = cut;
        datagram("<27>gate: whatever happens");
        sim_device_run(&device, 3000);
        said = device.server.tx_total < cut ? device.server.tx_total : said;
        device.server.drop_tx = SIM_SERVER_NEVER;
        sim_device_boot(&device, RESET_POWER_ON, "");
        set_clock();
        sim_device_run(&device, 30000);
        assert_in_range(taken("whatever happens"), 1, 2);
        assert_int_equal(mails_with_id(".1.1.c0ffee0405060708@example.test>"),
                         taken("whatever happens"));
        assert_int_equal(device.app.queue.count, 0);
        doubled += taken("whatever happens") - 1;
        sim_device_end(&device);
    }
    assert_true(doubled > 0); /* The reply that was lost was among them. */
    begin(COMMON);
}

/* What never was in flash is counted there all the same. */
static void test_turned_away(void **state)
{
    char text[400];

    (void)state;
    begin(COMMON QUIET EACH);
    for (unsigned i = 0; i < 80; i++) {
        snprintf(text, sizeof text, "<24>gate: %u is on fire %0300u", i, i);
        datagram(text);
    }
    snprintf(text, sizeof text, "<29>gate: a mild one, as long as those %0300u", 1u);
    device.app.queue.books.displaced = 0; /* Those are marked; */
    datagram(text);                       /* this is not. */
    assert_int_equal(device.app.queue.books.displaced, 1);
    sim_device_run(&device, 1000);
    sim_device_boot(&device, RESET_POWER_ON, "");
    assert_int_equal(device.app.queue.books.displaced, 1);
}

/* 16 blocks of 4 KB bear 6,400,000 KB, at 1 KB an hour for 730 years. */
static void test_wear(void **state)
{
    (void)state;
    begin(COMMON);
    set_clock();
    sim_device_type(&device, "status\r");
    assert_true(on_screen("16 blocks, erased 0 to 1 times of 100000; the years left are known"));
    sim_device_run(&device, 2 * 3600000);
    sim_device_type(&device, "status\r");
    assert_true(on_screen("; 730 years left"));
    device.app.journal.bytes_programmed = 2 * 730 * 1024; /* So much in these two hours. */
    sim_device_type(&device, "status\r");
    assert_true(on_screen("; 0 years left"));
}

/* A log that cannot be written: the alert still goes, and the person is told. */
static void test_without_a_log(void **state)
{
    (void)state;
    begin(COMMON QUIET);
    device.app.journal.problem = "the flash does not answer";
    set_clock();
    datagram("<27>gate: the flash is worn out");
    assert_int_equal(device.app.queue.count, 1);
    sim_device_type(&device, "status\r");
    assert_true(on_screen("alerts are kept in RAM"));
    sim_device_run(&device, 5000);
    assert_int_equal(taken("the flash is worn out"), 1);
}

/* --- The console --- */

static bool answered_ok(const char *line)
{
    sim_device_type(&device, line);
    return strstr(device.screen, "\r\nok\r\n") != NULL;
}

static bool answered_error(const char *line)
{
    sim_device_type(&device, line);
    return strstr(device.screen, "\r\nerror: ") != NULL;
}

/* Each answer ends in one line `ok` or `error: ...`, and the prompt. */
static void assert_answers(const char *const *ok, const char *const *bad)
{
    for (; *ok != NULL; ok++) {
        if (!answered_ok(*ok) || count(device.screen, "\r\nerror: ") != 0) {
            fail_msg("%s: %s", *ok, device.screen);
        }
    }
    for (; *bad != NULL; bad++) {
        if (!answered_error(*bad) || count(device.screen, "\r\nok\r\n") != 0) {
            fail_msg("%s: %s", *bad, device.screen);
        }
        assert_int_equal(count(device.screen, "\r\nerror: "), 1);
        assert_string_equal(device.screen + device.screen_size - 8, "tocsin> ");
    }
}

static void test_answers(void **state)
{
    static const char *const ok[] = {
        "help\r",          "HELP\r",        "status\r",       "  status  \r\n",
        "log\r",           "config show\r", "queue\r",        "alert crit Дверь открыта\r",
        "alert 3 three\r", "queue retry\r", "queue drop 1\r", NULL};
    static const char *const bad[] = {
        "hilfe\r",
        "statusx\r",
        "alert\r",
        "alert err\r",
        "alert terrible thing\r",
        "config\r",
        "config set\r",
        "queue drop\r",
        "queue drop 4711\r",
        "queue drop x\r",
        "queue eat\r",
        "crash\r",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r",
        NULL};

    (void)state;
    begin(COMMON QUIET "auth_user = u\nauth_pass = s3cret\nauth_without_tls = yes\n");
    assert_answers(ok, bad);
    sim_device_type(&device, "config show\r");
    assert_true(on_screen("mail.example.test"));
    assert_false(on_screen("s3cret"));
    sim_device_type(&device, "\r  \r");
    assert_false(on_screen("ok"));
    assert_false(on_screen("error"));
}

static void test_typed_alert(void **state)
{
    (void)state;
    begin(COMMON QUIET);
    set_clock();
    assert_true(answered_ok("alert crit pump 3 stopped\r"));
    sim_device_run(&device, 1000);
    assert_int_equal(taken("pump 3 stopped"), 1);
    assert_non_null(mail_with("console"));
}

static void test_queue_commands(void **state)
{
    (void)state;
    begin(COMMON QUIET);
    set_clock();
    sim_server_answer(&device.server, "MAIL", "550 5.7.1 not you", 2);
    datagram("<27>gate: first");
    datagram("<27>gate: second");
    sim_device_run(&device, 100000);
    sim_device_type(&device, "queue\r");
    assert_int_equal(count(device.screen, "refused by the server"), 2);
    assert_true(on_screen("waiting 0, given up 2"));
    assert_true(answered_ok("queue show 2\r"));
    assert_true(on_screen("second"));
    assert_true(on_screen("refused by the server with 550"));
    assert_true(answered_error("queue show 7\r"));
    sim_device_boot(&device, RESET_POWER_ON, ""); /* A refusal is remembered. */
    set_clock();
    sim_device_run(&device, 100000);
    sim_device_type(&device, "queue\r");
    assert_true(on_screen("waiting 0, given up 2"));
    assert_true(answered_ok("queue drop 1\r"));
    assert_true(answered_ok("queue retry\r"));
    sim_device_run(&device, 2000);
    assert_int_equal(taken("first"), 0);
    assert_int_equal(taken("second"), 1);
}

static void test_reboot(void **state)
{
    (void)state;
    begin(COMMON QUIET);
    datagram("<27>gate: waits for the clock");
    assert_true(answered_ok("reboot\r"));
    assert_int_equal(device.resets, 1);
    assert_int_equal(device.reset_why, RESET_COMMAND);
    sim_device_boot(&device, RESET_COMMAND, "");
    set_clock();
    sim_device_run(&device, 2000);
    assert_int_equal(taken("waits for the clock"), 1);
}

/* --- test --- */

static void test_test(void **state)
{
    static const char *const stages[] = {"link", "address", "clock",     "DNS",     "connect",
                                         "TLS",  "AUTH",    "recipient", "accepted"};
    const char *at = device.screen;

    (void)state;
    begin(COMMON QUIET);
    set_clock();
    sim_device_type(&device, "test\rstatus\r");
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++) {
        char line[32];

        snprintf(line, sizeof line, "\r\n  %s ", stages[i]);
        at = strstr(at, line);
        assert_non_null(at);
        at += 4;
        assert_int_equal(strncmp(strchr(at, ' ') + strspn(strchr(at, ' '), " "), "ok", 2), 0);
    }
    at = strstr(at, "\r\nok\r\n");
    assert_non_null(at);
    assert_non_null(strstr(at, "server ")); /* What was typed meanwhile is run after it. */
    assert_int_equal(device.server.mail_count, 1);
    assert_int_equal(device.app.queue.count, 0);
}

/* Types `test`, runs until it has an answer; the failing stage is the one named. */
static void assert_test_fails(const char *stage, const char *why)
{
    unsigned queued = device.app.queue.count;
    char line[32];
    const char *at;

    sim_device_type(&device, "test\r");
    sim_device_run(&device, 250000);
    snprintf(line, sizeof line, "\r\n  %s ", stage);
    at = strstr(device.screen, line);
    if (at == NULL || strstr(at, "FAIL ") == NULL || strstr(at, why) == NULL) {
        fail_msg("not %s, %s: %s", stage, why, device.screen);
    }
    assert_int_equal(count(device.screen, "FAIL "), 1);
    assert_true(strcspn(at + 2, "\r") > (size_t)(strstr(at, "FAIL ") - at - 2));
    assert_int_equal(count(device.screen, "\r\nerror: "), 1);
    assert_int_equal(count(device.screen, "\r\nok\r\n"), 0);
    assert_int_equal(device.app.queue.count, queued); /* A failed test is told and not kept. */
    assert_true(answered_ok("help\r"));
}

static void test_test_fails(void **state)
{
    static const struct {
        const char *prefix, *reply, *stage;
    } cases[] = {
        {"(open)", "554 5.3.2 no service", "AUTH"},
        {"EHLO", "421 4.3.2 busy", "AUTH"},
        {"AUTH", "535 5.7.8 wrong", "AUTH"},
        {"MAIL", "550 5.7.1 not you", "recipient"},
        {"RCPT", "550 5.1.1 no such user", "recipient"},
        {"RCPT", "451 4.7.1 greylisted", "recipient"},
        {"DATA", "451 4.3.1 full", "recipient"},
        {".", "552 5.2.2 mailbox full", "accepted"},
        {"(body)", "421 4.3.2 going down", "accepted"},
    };

    (void)state;
    begin(COMMON QUIET "auth_user = u\nauth_pass = s3cret\nauth_without_tls = yes\n");
    device.server.ehlo = "250-mail.example.test\r\n250 AUTH PLAIN";
    device.network.link_up = false;
    assert_test_fails("link", "link is down");
    device.network.link_up = true;
    device.network.address = 0;
    assert_test_fails("address", "DHCP");
    sim_device_boot(&device, RESET_POWER_ON, ""); /* In the first minutes the time is waited for. */
    assert_test_fails("clock", "SNTP");
    set_clock();
    device.server.no_open = "no such host name";
    device.server.no_name = true;
    assert_test_fails("DNS", "no such host name");
    device.server.no_open = "connection refused";
    device.server.no_name = false;
    assert_test_fails("connect", "connection refused");
    device.server.no_open = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        device.server.answer_count = 0;
        sim_server_answer(&device.server, cases[i].prefix, cases[i].reply, 1);
        assert_test_fails(cases[i].stage, cases[i].reply + 10);
    }
}

/* The link goes for a moment between two turns of the test's dialogue. */
static void test_test_with_a_bad_cable(void **state)
{
    (void)state;
    begin(COMMON QUIET);
    set_clock();
    device.keys = "test\r";
    while (!device.app.sender.running || device.app.sender.session.phase != SESSION_ENGINE) {
        (void)app_poll(&device.app);
    }
    device.network.link_up = false; /* Seen before the cable stops anything. */
    for (unsigned i = 0; i < 5; i++) {
        (void)app_poll(&device.app);
    }
    device.network.link_up = true;
    sim_device_run(&device, 8000);
    assert_int_equal(count(device.screen, "\r\nok\r\n") + count(device.screen, "\r\nerror: "), 1);
    assert_true(answered_ok("help\r"));
}

/* A session that crawls does not keep the console for ever. */
static void test_test_behind_a_slow_session(void **state)
{
    (void)state;
    begin(COMMON QUIET "command_timeout = 600\n");
    set_clock();
    device.server.drop = SIM_DROP_SILENT;
    device.server.drop_rx = 10; /* In the middle of EHLO. */
    datagram("<27>gate: hello");
    sim_device_run(&device, 10);
    assert_true(device.app.sender.running);
    sim_device_type(&device, "test\r");
    sim_device_run(&device, 245000);
    assert_true(device.app.sender.running);
    assert_true(on_screen("\r\nerror: "));
    assert_true(answered_ok("help\r"));
}

/* --- A device without what it needs --- */

static void test_no_config(void **state)
{
    static const char *const ok[] = {"help\r", "status\r", "config show\r",
                                     "log\r",  "queue\r",  NULL};
    static const char *const bad[] = {"test\r", "alert err nobody hears\r", NULL};

    (void)state;
    begin(NULL);
    assert_true(on_screen("no configuration"));
    set_clock();
    assert_answers(ok, bad);
    datagram("<27>gate: hello");
    set_link(false);
    set_link(true);
    sim_device_run(&device, 100000);
    assert_int_equal(device.server.connections, 0);
    assert_int_equal(device.app.syslog.received, 1);
    sim_device_type(&device, "status\r");
    assert_true(on_screen("no configuration"));
}

static void test_bad_config(void **state)
{
    (void)state;
    begin("to = a@example.test\nmailhub = \nretry_min = many\n");
    assert_true(on_screen("line 3: retry_min"));
    assert_true(answered_ok("status\r"));
    assert_true(on_screen("not valid"));
    assert_true(answered_error("test\r"));
    assert_true(answered_ok("log\r"));
    assert_true(on_screen("line 3: retry_min"));
}

static void test_no_seed(void **state)
{
    (void)state;
    sim_device_flash(&device, COMMON, false);
    sim_device_boot(&device, RESET_POWER_ON, "");
    assert_true(on_screen("random numbers"));
    set_clock();
    device.app.config.tls = SMTP_TLS_IMPLICIT;
    assert_test_fails("TLS", "no seed");
    assert_int_equal(device.server.connections, 0);
    device.app.config.tls = SMTP_TLS_OFF;
    sim_device_run(&device, 2000);
    assert_int_equal(taken("boot 0"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_syslog, end),
        cmocka_unit_test_teardown(test_syslog_filter, end),
        cmocka_unit_test_teardown(test_syslog_noise, end),
        cmocka_unit_test_teardown(test_boot_alert, end),
        cmocka_unit_test_teardown(test_link_flaps, end),
        cmocka_unit_test_teardown(test_link_alert_off, end),
        cmocka_unit_test_teardown(test_time_from_sntp, end),
        cmocka_unit_test_teardown(test_no_time, end),
        cmocka_unit_test_teardown(test_time_from_rtc, end),
        cmocka_unit_test_teardown(test_displaced, end),
        cmocka_unit_test_teardown(test_displaced_beside_refused, end),
        cmocka_unit_test_teardown(test_queue_survives, end),
        cmocka_unit_test_teardown(test_reset_at_each_reply, end),
        cmocka_unit_test_teardown(test_without_a_log, end),
        cmocka_unit_test_teardown(test_wear, end),
        cmocka_unit_test_teardown(test_turned_away, end),
        cmocka_unit_test_teardown(test_answers, end),
        cmocka_unit_test_teardown(test_typed_alert, end),
        cmocka_unit_test_teardown(test_queue_commands, end),
        cmocka_unit_test_teardown(test_reboot, end),
        cmocka_unit_test_teardown(test_test, end),
        cmocka_unit_test_teardown(test_test_fails, end),
        cmocka_unit_test_teardown(test_test_with_a_bad_cable, end),
        cmocka_unit_test_teardown(test_test_behind_a_slow_session, end),
        cmocka_unit_test_teardown(test_no_config, end),
        cmocka_unit_test_teardown(test_bad_config, end),
        cmocka_unit_test_teardown(test_no_seed, end),
    };

    return cmocka_run_group_tests_name("app", tests, NULL, NULL);
}
