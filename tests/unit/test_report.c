/* Reports: when they are due, that each comes once whatever happens to power, clock and server, and
 * what is in them. */
#include "firmware/answer.h"
#include "firmware/app.h"
#include "firmware/report.h"
#include "tests/sim/device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define DAY_S 86400u
#define HOUR_S 3600u
#define FRIDAY 1800000000u /* 2027-01-15 08:00:00, a Friday. */
#define CONFIG                                                         \
    "to = a@example.test\nmailhub = mail.example.test:25\ntls = off\n" \
    "hostname = router1\nfrom = router1@example.test\nretry_min = 10\nretry_max = 60\n"
#define QUIET CONFIG "alert_boot = no\nalert_link = no\n"
#define DAILY QUIET "report = daily 07:00\n"

static struct sim_device device;
static uint64_t boot_unix_s; /* What the clock was at the boot. */

/* ---- the schedule, by itself ---- */

static uint32_t seed = 2463534242u;

static uint32_t roll(uint32_t limit)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % limit;
}

/* Looked for minute by minute on the calendar. */
static bool is_due_at(uint32_t schedule, uint64_t unix_s, int32_t zone)
{
    struct text_date date = text_date(unix_s, zone);

    return date.second == 0 && date.hour * 60u + date.minute == (schedule & CONFIG_MINUTE_MASK) &&
           ((schedule & CONFIG_WEEKLY) != CONFIG_WEEKLY || date.weekday == 1);
}

static uint64_t search(uint32_t schedule, uint64_t unix_s, int32_t zone, int step)
{
    unix_s = unix_s / 60 * 60;
    while (!is_due_at(schedule, unix_s, zone)) {
        unix_s += (uint64_t)(int64_t)(step * 60);
    }
    return unix_s;
}

static void test_calendar(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3000; i++) {
        uint32_t minute = i % 3 == 0 ? 0 : i % 3 == 1 ? 1439 : roll(1440);
        uint32_t schedule = (i % 2 ? CONFIG_DAILY : CONFIG_WEEKLY) | minute;
        int32_t zone = i % 5 == 0 ? -720 : i % 5 == 1 ? 840 : (int32_t)roll(1561) - 720;
        uint64_t last = 1767225600 + roll(2000000000);
        uint64_t now, next, latest;

        if (i % 7 == 0) {
            last = search(schedule, last, zone, 1); /* It was served when it was due. */
        }
        now = last + roll(i % 4 == 0 ? 100 : 30 * DAY_S);
        next = search(schedule, last + 60, zone, 1); /* Later than last: the minute after it. */
        assert_int_equal(report_next_unix_s(schedule, last, now, zone), next);
        latest = search(schedule, now, zone, -1);
        assert_int_equal(report_served_unix_s(schedule, last, now, zone), next <= now ? latest : 0);
        if (next <= now) {
            assert_in_range(latest, next, now);
        }
        /* The first one, and one after a clock that was years ahead: not at once. */
        next = search(schedule, now + 60, zone, 1);
        assert_int_equal(report_next_unix_s(schedule, 0, now, zone), next);
        assert_int_equal(report_next_unix_s(schedule, now + 700 * DAY_S, now, zone), next);
        assert_int_equal(report_served_unix_s(schedule, 0, now, zone), 0);
    }
}

static void test_calendar_by_hand(void **state)
{
    static const struct {
        uint32_t schedule;
        uint64_t last;
        int32_t zone;
        uint64_t next;
    } cases[] = {
        {CONFIG_DAILY | 420, FRIDAY, 0, FRIDAY + 23 * HOUR_S},   /* Saturday, 07:00 */
        {CONFIG_DAILY | 420, FRIDAY, 180, FRIDAY + 20 * HOUR_S}, /* 04:00 UTC */
        {CONFIG_DAILY | 720, FRIDAY, 180, FRIDAY + HOUR_S},      /* 12:00 there is 09:00 UTC */
        {CONFIG_DAILY | 480, FRIDAY, 0, FRIDAY + DAY_S},         /* It is that time right now. */
        {CONFIG_DAILY | 480, FRIDAY - 1, 0, FRIDAY},
        {CONFIG_DAILY, FRIDAY, 0, FRIDAY + 16 * HOUR_S},        /* Midnight */
        {CONFIG_DAILY, FRIDAY, -720, FRIDAY + 4 * HOUR_S},      /* 12:00 UTC */
        {CONFIG_WEEKLY | 420, FRIDAY, 0, FRIDAY + 71 * HOUR_S}, /* Monday */
        {CONFIG_WEEKLY | 420, FRIDAY, 840, FRIDAY + 57 * HOUR_S},
        {CONFIG_WEEKLY | 420, FRIDAY + 71 * HOUR_S, 0, FRIDAY + (71 + 168) * HOUR_S},
        {DAY_S, FRIDAY, 0, FRIDAY + DAY_S},
        {1, FRIDAY, -720, FRIDAY + 1},
        {0, FRIDAY, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(
            report_next_unix_s(cases[i].schedule, cases[i].last, cases[i].last, cases[i].zone),
            cases[i].next);
    }
}

/* An interval keeps its beat over a long silence. */
static void test_interval(void **state)
{
    (void)state;
    assert_int_equal(report_next_unix_s(6 * HOUR_S, FRIDAY, FRIDAY + 1, 60), FRIDAY + 6 * HOUR_S);
    assert_int_equal(report_served_unix_s(6 * HOUR_S, FRIDAY, FRIDAY + 6 * HOUR_S - 1, 60), 0);
    assert_int_equal(report_served_unix_s(6 * HOUR_S, FRIDAY, FRIDAY + 6 * HOUR_S, 60),
                     FRIDAY + 6 * HOUR_S);
    assert_int_equal(report_served_unix_s(6 * HOUR_S, FRIDAY, FRIDAY + 100 * HOUR_S, 60),
                     FRIDAY + 96 * HOUR_S);
    /* A clock that was a little ahead does not make it come twice, */
    assert_int_equal(report_next_unix_s(6 * HOUR_S, FRIDAY + 10, FRIDAY, 0),
                     FRIDAY + 10 + 6 * HOUR_S);
    assert_int_equal(report_next_unix_s(CONFIG_DAILY | 480, FRIDAY, FRIDAY - 10, 0),
                     FRIDAY + DAY_S);
    /* one that was far ahead does not keep it away. */
    assert_int_equal(report_next_unix_s(6 * HOUR_S, FRIDAY + 7 * HOUR_S, FRIDAY, 0),
                     FRIDAY + 6 * HOUR_S);
    assert_int_equal(report_next_unix_s(CONFIG_DAILY | 420, FRIDAY + 3 * DAY_S, FRIDAY, 0),
                     FRIDAY + 23 * HOUR_S);
}

/* ---- on a device ---- */

static void boot(uint64_t unix_s)
{
    nor_power(&device.nor);
    sim_device_boot(&device, RESET_POWER_ON, "");
    boot_unix_s = unix_s;
    if (unix_s != 0) {
        app_set_time(&device.app, unix_s * 1000, "SNTP");
    }
}

static void begin(const char *config, uint64_t unix_s)
{
    sim_device_flash(&device, config, true);
    boot(unix_s);
}

static int end(void **state)
{
    (void)state;
    sim_device_end(&device);
    return 0;
}

/* Runs until the clock says so. */
static void run_to(uint64_t unix_s)
{
    uint64_t now_s = app_unix_ms(&device.app) / 1000;

    assert_true(unix_s > now_s);
    sim_device_run(&device, (unix_s - now_s) * 1000);
}

static unsigned reports(const char *date)
{
    char subject[64];

    snprintf(subject, sizeof subject, "Subject: [router1] report %s", date);
    return sim_server_taken(&device.server, subject);
}

static void test_each_day(void **state)
{
    (void)state;
    begin(DAILY, FRIDAY);
    run_to(FRIDAY + 23 * HOUR_S - 2);
    assert_int_equal(reports(""), 0); /* Not at once. */
    run_to(FRIDAY + 23 * HOUR_S + 10);
    assert_int_equal(reports("2027-01-16"), 1);
    run_to(FRIDAY + 47 * HOUR_S - 2);
    assert_int_equal(reports(""), 1);
    run_to(FRIDAY + 47 * HOUR_S + 10);
    assert_int_equal(reports("2027-01-17"), 1);
    assert_int_equal(reports(""), 2);
    assert_int_equal(device.app.queue.count, 0);
}

/* What was due while there was no power comes at the start, once; then it is as before. */
static void test_power_off(void **state)
{
    (void)state;
    begin(DAILY, FRIDAY);
    sim_device_run(&device, 3000);
    boot(FRIDAY + 5 * DAY_S); /* Wednesday, 08:00 */
    sim_device_run(&device, 10000);
    assert_int_equal(reports("2027-01-20"), 1);
    assert_int_equal(reports(""), 1);
    for (unsigned i = 0; i < 3; i++) {
        boot(FRIDAY + 5 * DAY_S + HOUR_S);
        sim_device_run(&device, 10000);
    }
    assert_int_equal(reports(""), 1);
    run_to(FRIDAY + 5 * DAY_S + 23 * HOUR_S + 10);
    assert_int_equal(reports("2027-01-21"), 1);
    assert_int_equal(reports(""), 2);
}

/* Off over a due time before the clock was ever known: the first one is still not at once. */
static void test_clock_unknown(void **state)
{
    (void)state;
    begin(DAILY, 0);
    sim_device_run(&device, 10000);
    assert_int_equal(reports(""), 0);
    assert_int_equal(report_due_unix_s(&device.app), 0);
    app_set_time(&device.app, FRIDAY * 1000ull, "SNTP");
    sim_device_run(&device, 10000);
    assert_int_equal(reports(""), 0);
    assert_int_equal(report_due_unix_s(&device.app), FRIDAY + 23 * HOUR_S);
    boot(0);
    sim_device_run(&device, 400000); /* It waits for the time. */
    assert_int_equal(reports(""), 0);
    app_set_time(&device.app, (FRIDAY + 2 * (uint64_t)DAY_S) * 1000, "SNTP");
    sim_device_run(&device, 10000);
    assert_int_equal(reports("2027-01-17"), 1);
    assert_int_equal(reports(""), 1);
}

/* No server for days: the one that waits is the newest, and only that. */
static void test_one_waits(void **state)
{
    (void)state;
    begin(DAILY, FRIDAY);
    sim_device_run(&device, 3000);
    device.server.no_open = "no route";
    for (unsigned day = 1; day < 4; day++) {
        boot(FRIDAY + day * (uint64_t)DAY_S);
        sim_device_run(&device, 100000);
        assert_int_equal(device.app.queue.count, 1);
        app_set_time(&device.app, (FRIDAY + day * (uint64_t)DAY_S + 23 * HOUR_S) * 1000, "SNTP");
        sim_device_run(&device, 100000);
        assert_int_equal(device.app.queue.count, 1);
    }
    device.server.no_open = NULL;
    sim_device_run(&device, 100000);
    assert_int_equal(reports("2027-01-19"), 1);
    assert_int_equal(reports(""), 1);
    assert_int_equal(device.app.queue.count, 0);
}

/* A clock that goes wrong and comes right again. */
static void test_clock_jumps(void **state)
{
    (void)state;
    begin(DAILY, FRIDAY);
    sim_device_run(&device, 3000);
    app_set_time(&device.app, (FRIDAY + 3650 * (uint64_t)DAY_S) * 1000, "SNTP");
    sim_device_run(&device, 10000);
    assert_int_equal(reports(""), 1); /* It seems to be due. */
    app_set_time(&device.app, (FRIDAY + HOUR_S) * 1000ull, "SNTP");
    sim_device_run(&device, 10000);
    boot(FRIDAY + 22 * HOUR_S);
    run_to(FRIDAY + 23 * HOUR_S - 2);
    assert_int_equal(reports(""), 1);
    run_to(FRIDAY + 23 * HOUR_S + 10);
    assert_int_equal(reports("2027-01-16"), 1);
    app_set_time(&device.app, (FRIDAY + 23 * HOUR_S - 20) * 1000ull, "SNTP");
    sim_device_run(&device, 40000); /* That time comes by once more. */
    assert_int_equal(reports(""), 2);
}

/* Switched off and on again, none is due for the time between. */
static void test_off_and_on(void **state)
{
    (void)state;
    begin(DAILY, FRIDAY);
    sim_device_run(&device, 3000);
    assert_int_equal(device.app.diary.report_unix_s, FRIDAY);
    device.app.config.report = 0;
    sim_device_run(&device, 3000);
    assert_int_equal(device.app.diary.report_unix_s, 0);
    app_set_time(&device.app, (FRIDAY + 40 * (uint64_t)DAY_S) * 1000, "SNTP");
    device.app.config.report = CONFIG_DAILY | 420;
    sim_device_run(&device, 10000);
    assert_int_equal(reports(""), 0);
    assert_int_equal(report_due_unix_s(&device.app), FRIDAY + 40 * DAY_S + 23 * HOUR_S);
}

/* Power fails at operation n of those that a report makes which falls due and replaces one that
 * still waits. Then there is exactly one; also if the time is only known when it has been sent.
 * False: there are not so many operations. */
static bool cut_power(uint32_t n, enum nor_cut kind, bool blind)
{
    bool off;

    begin(DAILY, FRIDAY);
    sim_device_run(&device, 3000);
    device.server.no_open = "no route";
    boot(FRIDAY + DAY_S);
    sim_device_run(&device, 3000);
    assert_int_equal(device.app.queue.count, 1);
    app_set_time(&device.app, (FRIDAY + 2 * (uint64_t)DAY_S) * 1000, "SNTP");
    device.nor.cut_operation = device.nor.operations + n;
    device.nor.cut = kind;
    sim_device_run(&device, 3000);
    off = device.nor.off;
    if (blind) {
        boot(0);
        device.server.no_open = NULL;
        sim_device_run(&device, 400000);
        app_set_time(&device.app, (FRIDAY + 2 * (uint64_t)DAY_S + 600) * 1000, "SNTP");
    } else {
        boot(FRIDAY + 2 * DAY_S + 60);
        assert_in_range(device.app.queue.count, 0, 1);
        sim_device_run(&device, 3000);
        device.server.no_open = NULL;
    }
    sim_device_run(&device, 100000);
    assert_int_equal(reports("2027-01-17") + reports("2027-01-16"), reports(""));
    assert_int_equal(device.app.queue.count, 0);
    assert_int_equal(reports("2027-01-17"), 1);
    /* Of the day before: only if power failed while that was still the one. */
    assert_in_range(reports("2027-01-16"), 0, blind ? 1 : 0);
    sim_device_end(&device);
    return off;
}

static void test_power_cuts(void **state)
{
    unsigned cuts = 0;

    (void)state;
    for (unsigned kind = 0; kind < NOR_CUT_KINDS; kind++) {
        for (unsigned blind = 0; blind < 2; blind++) {
            for (uint32_t n = 1; cut_power(n, (enum nor_cut)kind, blind != 0); n++) {
                cuts++;
            }
        }
    }
    assert_true(cuts >= 6 * NOR_CUT_KINDS); /* Out of the queue, into it, into the diary. */
}

/* Flash takes nothing any more: the report goes out of RAM, once. */
static void test_flash_fails(void **state)
{
    (void)state;
    begin(DAILY, FRIDAY + 22 * HOUR_S);
    sim_device_run(&device, 3000);
    device.nor.endurance = 1;
    device.nor.off = true;
    run_to(FRIDAY + 23 * HOUR_S + 2 * HOUR_S);
    assert_int_equal(reports("2027-01-16"), 1);
    assert_int_equal(reports(""), 1);
    nor_power(&device.nor);
}

/* ---- what is in it ---- */

/* All lines, each ended by LF. */
static const char *all_lines(bool (*line)(struct app *app, unsigned index, struct text *out))
{
    static char all[16384];
    char buf[RFC5322_DIGEST_LINE_BYTES];
    size_t size = 0;

    for (unsigned i = 0;; i++) {
        struct text out = text_begin(buf, sizeof buf);

        if (!line(&device.app, i, &out)) {
            break;
        }
        assert_true(size + out.length + 2 < sizeof all);
        assert_int_equal(out.length, strlen(buf));
        size += (size_t)snprintf(all + size, sizeof all - size, "%s\n", buf);
    }
    all[size] = '\0';
    return all;
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

static void test_text(void **state)
{
    const char *text;

    (void)state;
    begin(DAILY "timezone = +03:00\n", FRIDAY);
    sim_device_run(&device, 3000);
    text = all_lines(report_line);
    assert_memory_equal(text, "All is well.\n", 13);
    has(text, "\nReport of 2027-01-15 11:00:03 +0300\n");
    has(text, "\nNext report: 2027-01-16 07:00:00 +0300\n");
    has(text, "\ndevice: tocsin ");
    has(text, " on sim, up 0 d 00:00:03, boot 1, reset by power on\nid c0ffee0405060708\n");
    has(text, "\nclock: 2027-01-15 11:00:03 from SNTP, last moved by 0 ms\n");
    has(text, "\nnetwork: link up, 10.2.0.9 by DHCP, gateway ");
    has(text, "\nqueue: waiting 0, given up 0, displaced 0\n");
    has(text, "\nerror: none\n");
    has(text, "\nCertificate: mail.example.test, none, without TLS\n");
    has(text, "\nflash: 16 blocks, erased 0 to 1 times of 100000");
    has(text, "\nThe last lines of the log:\n");
    has_not(text, "One-time");
    has_not(text, "\n\n\n");
    has_not(text, "\n ");
}

static void test_text_without_clock(void **state)
{
    const char *text;

    (void)state;
    begin(DAILY, 0);
    sim_device_run(&device, 3000);
    device.app.sender.not_after_unix_s[0] = FRIDAY;
    text = all_lines(report_line);
    assert_memory_equal(text, "Look at: the clock.\n", 20);
    has(text, "\nReport of unknown, the clock was not set\n");
    has(text, "\nNext report: unknown, the clock was not set\n");
    has(text, "\nclock: not known yet\n");
}

/* All that a person should look at is in the first line. */
static void test_verdict(void **state)
{
    struct app *app = &device.app;
    const char *text;
    uint32_t now = FRIDAY + 3;

    (void)state;
    begin(DAILY "mailhub2 = second.example.test:25\ntls2 = off\npop3 = pop.example.test:110\n"
                "pop3_tls = off\npop3_user = u\npop3_pass = p\npoll = off\n",
          FRIDAY);
    sim_device_run(&device, 3000);
    assert_memory_equal(all_lines(report_line), "All is well.\n", 13);
    app->sender.not_after_unix_s[0] = now + 13 * DAY_S;
    app->sender.not_after_unix_s[1] = now + 90 * DAY_S;
    app->poller.not_after_unix_s = now - 5;
    app->config.tls = SMTP_TLS_STARTTLS;
    app->config.tls2 = SMTP_TLS_STARTTLS;
    app->config.pop3_tls = SMTP_TLS_STARTTLS;
    app->diary.bounced = 2;
    app->diary.bounced_number = 17;
    app->diary.bounced_unix_s = now - 60;
    app->diary.self_test_failed = true;
    app->diary.self_test_unix_s = now - 30;
    app->poller.failures = 3;
    strcpy(app->poller.last_error, "no such user");
    strcpy(app->authority.otp_seed, "ke1234");
    app->authority.otp_sequence = 7;
    strcpy(app->diary.mutes[1].source, "web1");
    app->diary.mutes[1].until_unix_s = now + 100;
    app->diary.mutes[1].count = 12;
    app->clock_offset_ms = -1234;
    device.server.no_open = "no route";
    assert_in_range(app_device_alert(app, SEVERITY_ERROR, "x", "it waits"), 1, 9);
    app_set_time(app, (FRIDAY + 7200) * 1000ull, "SNTP");
    app->clock_offset_ms = INT32_MIN;
    text = all_lines(report_line);
    assert_memory_equal(text,
                        "Look at: alerts that did not arrive, alerts that wait, certificates, the "
                        "mailbox, one-time passwords, the self test.\n",
                        117);
    has(text, "\nqueue: waiting 1, given up 0, displaced 0, oldest 1");
    has(text, "\nbounced: 2 alerts came back, last 17: ");
    has(text, "\nCertificate: mail.example.test, 12 days left\n");
    has(text, "\nCertificate: second.example.test, 89 days left\n");
    has(text, "\nCertificate: pop.example.test, less than a day left\n");
    has(text, "no such user\n");
    has(text, "\nOne-time passwords: 7 left, next is 6 ke1234\nFew are left: ");
    has(text, "\nSelf test: FAILED, 2027-01-15 07:59:33 +0000\n");
    has(text, " from SNTP, last moved by -2147483648 ms\n");
    has_not(text, "\notp");
    app->diary.mutes[1].until_unix_s = FRIDAY + 7300;
    text = all_lines(report_line);
    has(text, "\nmuted: web1 until 2027-01-15 10:01:40, kept back 12\n");
    app->authority.otp_sequence = 0;
    has(all_lines(report_line), "\nOne-time passwords: none left\n");
    app->authority.otp_sequence = 10;
    has_not(all_lines(report_line), "Few are left");
    device.nor.off = false;
}

static void test_csv(void **state)
{
    const char *text;
    unsigned commas = 0, lines = 0;

    (void)state;
    begin(DAILY, FRIDAY);
    sim_device_run(&device, 3000);
    strcpy(device.app.config.hostname, "a \"b\", c");
    device.app.syslog.received = 4000000000u;
    device.app.clock_offset_ms = -5;
    device.app.sender.not_after_unix_s[1] = FRIDAY + 10 * DAY_S;
    text = all_lines(report_csv_line);
    has(text, "\ncertificate_days_smtp,\ncertificate_days_smtp2,9\ncertificate_days_pop3,\n");
    assert_memory_equal(text, "name,value\ndevice,\"a \"\"b\"\", c\"\nfirmware,\"", 41);
    has(text, "\nunix_s,1800000003\nuptime_s,3\nclock_correction_ms,-5\nqueue_waiting,0\n");
    has(text, "\nboots,1\naccepted,0\n");
    has(text, "\nsyslog_received,4000000000\n");
    has(text,
        "\none_time_passwords_left,0\nflash_erases_min,0\nflash_erases_max,1\nstack_used_bytes,");
    for (const char *at = strstr(text, "unix_s"); *at != '\0'; at++) {
        commas += *at == ',';
        lines += *at == '\n';
    }
    assert_int_equal(commas, lines);
    assert_int_equal(lines, 16 + 25);
}

/* The mail as the server has it. */
static void test_mail(void **state)
{
    const char *mail = NULL;

    (void)state;
    begin(DAILY "answer_to = phone@example.test\n", FRIDAY + 23 * HOUR_S - 5);
    run_to(FRIDAY + 23 * HOUR_S + 10);
    assert_int_equal(device.server.mail_count, 1);
    assert_string_equal(device.server.mails[0].to, "<phone@example.test>");
    mail = device.server.mails[0].bytes;
    assert_in_range(strlen(mail), 2000, sizeof device.server.mails[0].bytes - 2);
    has(mail, "Subject: [router1] report 2027-01-16\n");
    has(mail, "\nAuto-Submitted: auto-generated\n");
    has(mail, "\n\nAll is well.\nReport of 2027-01-16 07:00:0");
    has(mail, "\nNext report: 2027-01-17 07:00:00 +0000\n");
    has(mail, "\nqueue: waiting ");
    has(mail, "filename=\"counters.csv\"\n\nname,value\ndevice,\"router1\"\n");
    has(mail, "\nflash_records_damaged,0\n--=_tocsin--\n");
    has_not(mail, "In-Reply-To");
    assert_null(strstr(device.server.commands, "SIZE="));
}

static void write_file(const char *path, const char *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* What Python's e-mail and CSV packages make of it: tests/check_mail.py. */
static void test_python_reads_it(void **state)
{
    static const char *const to[] = {"phone@example.test"};
    static const char expected[] =
        "text: All is well.\nsubject: [router1] report 2027-01-15\nautomatic: generated\n"
        "thread: \nattachment: counters.csv\n/Next report: 2027-01-16 07:00:00 +0000\n"
        "end: -- /router1 at 10.2.0.9/tocsin 0.1.0 on sim\n";
    static char mail[16384];
    char live_line[RFC5322_DIGEST_LINE_BYTES];
    struct alert alert;
    struct answer_parts parts;
    struct rfc5322_fields fields = {
        .alert = &alert,
        .from = "router1@example.test",
        .from_name = "",
        .to = to,
        .to_count = 1,
        .device = "router1",
        .board = "sim",
        .version = "0.1.0",
        .message_id = "1@router1",
        .address = "10.2.0.9",
        .unix_s = FRIDAY,
        .attempt = 1,
        .live_line = live_line,
    };
    struct rfc5322 composer;
    size_t size = 0, got;

    (void)state;
    begin(DAILY, FRIDAY);
    sim_device_run(&device, 3000);
    app_log(&device.app, "a line with = and \xD0\xA1, so long that it has to be broken: %s",
            "From here to the end of a log's line, which is far behind the end of this one");
    answer_make(&device.app, &alert, "report", "the report that is due", NULL, NULL);
    answer_unpack(&alert, &parts);
    answer_fields(&device.app, &alert, &parts, &fields);
    rfc5322_init(&composer, &fields);
    while ((got = rfc5322_read(&composer, (uint8_t *)mail + size, 100)) > 0) {
        size += got;
        assert_in_range(size, 1, sizeof mail - 100);
    }
    assert_true(mkdir("report-mails", 0777) == 0 || access("report-mails", W_OK) == 0);
    write_file("report-mails/report.eml", mail, size);
    write_file("report-mails/report.expect", expected, sizeof expected - 1);
    assert_int_equal(system("python3 " TESTS_DIR "/check_mail.py report-mails"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calendar),
        cmocka_unit_test(test_calendar_by_hand),
        cmocka_unit_test(test_interval),
        cmocka_unit_test_teardown(test_each_day, end),
        cmocka_unit_test_teardown(test_power_off, end),
        cmocka_unit_test_teardown(test_clock_unknown, end),
        cmocka_unit_test_teardown(test_one_waits, end),
        cmocka_unit_test_teardown(test_clock_jumps, end),
        cmocka_unit_test_teardown(test_off_and_on, end),
        cmocka_unit_test(test_power_cuts),
        cmocka_unit_test_teardown(test_flash_fails, end),
        cmocka_unit_test_teardown(test_text, end),
        cmocka_unit_test_teardown(test_text_without_clock, end),
        cmocka_unit_test_teardown(test_verdict, end),
        cmocka_unit_test_teardown(test_csv, end),
        cmocka_unit_test_teardown(test_mail, end),
        cmocka_unit_test_teardown(test_python_reads_it, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
