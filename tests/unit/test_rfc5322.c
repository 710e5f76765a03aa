/* The composer: bytes, splits, hostile fields; and what Python's e-mail package makes of the mails.
 */
#include "net/rfc5322.h"
#include "net/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MAIL_BYTES 700000
#define WORD_CYRILLIC "\xD0\xA1\xD0\xB1\xD0\xBE\xD0\xB9" /* 4 letters */
#define BELL "\xF0\x9F\x94\x94"                          /* U+1F514 */
#define TEN "0123456789"
#define REPLACEMENT "\xEF\xBF\xBD"

static const char *const one_recipient[] = {"admin@example.com"};

static struct alert plain_alert(void)
{
    struct alert alert = {
        .boot_count = 17,
        .sequence = 3,
        .unix_s = 1795298754, /* 2026-11-21 22:05:54 UTC */
        .uptime_ms = 93784000,
        .severity = SEVERITY_CRITICAL,
        .facility = 3,
        .source = "syslog",
        .sender = "10.0.2.2",
        .host = "web1",
        .app = "sshd[412]",
        .text = "disk sda1 is full",
    };

    return alert;
}

static struct rfc5322_fields plain_fields(const struct alert *alert)
{
    struct rfc5322_fields fields = {
        .alert = alert,
        .from = "router1@example.com",
        .from_name = "",
        .to = one_recipient,
        .to_count = 1,
        .device = "router1",
        .board = "emcraft-sf2",
        .version = "Tocsin 0.1.0",
        .message_id = "17.3.9f2c@router1",
        .address = "10.0.2.15",
        .unix_s = 1795298756,
        .zone_minutes = 180,
        .attempt = 1,
        .eight_bit = true,
    };

    return fields;
}

/* Reads the whole mail in pieces of `piece` bytes. */
static size_t compose(const struct rfc5322_fields *fields, char *out, size_t piece)
{
    struct rfc5322 mail;
    size_t size = 0;

    rfc5322_init(&mail, fields);
    for (;;) {
        uint8_t *exact = malloc(piece); /* Its end is where the sanitizer sees a write too far. */
        size_t got;

        assert_non_null(exact);
        got = rfc5322_read(&mail, exact, piece);
        assert_in_range(got, 0, piece);
        assert_in_range(size + got, 0, MAIL_BYTES - 1);
        memcpy(out + size, exact, got);
        free(exact);
        size += got;
        if (got < piece) {
            /* A short read is the last, and after the end there is nothing. */
            assert_int_equal(rfc5322_read(&mail, (uint8_t *)out + size, 1), 0);
            out[size] = '\0';
            return size;
        }
    }
}

static void test_golden(void **state)
{
    static const char expected[] = "Date: Sun, 22 Nov 2026 01:05:56 +0300\r\n"
                                   "From: <router1@example.com>\r\n"
                                   "To: admin@example.com\r\n"
                                   "Subject: [router1] CRITICAL: sshd@web1: disk sda1 is full\r\n"
                                   "Message-ID: <17.3.9f2c@router1>\r\n"
                                   "MIME-Version: 1.0\r\n"
                                   "Content-Type: text/plain; charset=utf-8\r\n"
                                   "Auto-Submitted: auto-generated\r\n"
                                   "X-Auto-Response-Suppress: All\r\n"
                                   "Content-Transfer-Encoding: 7bit\r\n"
                                   "Importance: high\r\n"
                                   "X-Priority: 1\r\n"
                                   "X-Tocsin-Severity: critical\r\n"
                                   "X-Tocsin-Device: router1\r\n"
                                   "\r\n"
                                   "disk sda1 is full\r\n"
                                   "\r\n"
                                   "Device: router1 at 10.0.2.15\r\n"
                                   "Time: 2026-11-22 01:05:54 +0300\r\n"
                                   "Severity: critical\r\n"
                                   "Facility: daemon\r\n"
                                   "Source: syslog from 10.0.2.2\r\n"
                                   "Host: web1\r\n"
                                   "App: sshd[412]\r\n"
                                   "Uptime: 1 d 02:03:04\r\n"
                                   "Firmware: Tocsin 0.1.0 on emcraft-sf2\r\n"
                                   "Alert: 17.3\r\n";
    struct alert alert = plain_alert();
    struct rfc5322_fields fields = plain_fields(&alert);
    static char mail[MAIL_BYTES];

    (void)state;
    compose(&fields, mail, sizeof mail - 1);
    assert_string_equal(mail, expected);
}

static void test_size_of_object(void **state)
{
    (void)state;
    assert_in_range(sizeof(struct rfc5322), 1, 224);
}

/* Any size of read gives the same bytes, and the same again after rfc5322_size(). */
static void test_splits(void **state)
{
    struct alert alert = plain_alert();
    struct rfc5322_fields fields = plain_fields(&alert);
    static char whole[MAIL_BYTES];
    static char pieces[MAIL_BYTES];

    (void)state;
    fields.from_name = WORD_CYRILLIC " " WORD_CYRILLIC;
    memset(alert.text, 0, sizeof alert.text);
    for (size_t i = 0; i + 10 < sizeof alert.text; i += 9) {
        memcpy(alert.text + i, WORD_CYRILLIC " ", 9);
    }
    for (int eight_bit = 0; eight_bit < 2; eight_bit++) {
        size_t size;
        bool has_eight_bit;
        struct rfc5322 mail;

        fields.eight_bit = eight_bit;
        size = compose(&fields, whole, sizeof whole - 1);
        for (size_t piece = 1; piece < 600; piece += piece < 100 ? 1 : 37) {
            assert_int_equal(compose(&fields, pieces, piece), size);
            assert_memory_equal(pieces, whole, size);
        }
        rfc5322_init(&mail, &fields);
        assert_int_equal(rfc5322_size(&mail, &has_eight_bit), size);
        assert_int_equal(rfc5322_read(&mail, (uint8_t *)pieces, 700), 700);
        assert_int_equal(rfc5322_size(&mail, &has_eight_bit), size);
        assert_int_equal(rfc5322_read(&mail, (uint8_t *)pieces, sizeof pieces), size);
        assert_memory_equal(pieces, whole, size);
        assert_false(has_eight_bit); /* Its line is too long to go as it is. */
    }
}

static void test_eight_bit_is_told(void **state)
{
    struct alert alert = plain_alert();
    struct rfc5322_fields fields = plain_fields(&alert);
    struct rfc5322 mail;
    bool has_eight_bit;

    (void)state;
    rfc5322_init(&mail, &fields);
    (void)rfc5322_size(&mail, &has_eight_bit);
    assert_false(has_eight_bit);
    strcpy(alert.text, WORD_CYRILLIC);
    rfc5322_init(&mail, &fields);
    (void)rfc5322_size(&mail, &has_eight_bit);
    assert_true(has_eight_bit);
    fields.eight_bit = false;
    rfc5322_init(&mail, &fields);
    (void)rfc5322_size(&mail, &has_eight_bit);
    assert_false(has_eight_bit);
}

/* How a time and a lateness read. */
static void test_facts(void **state)
{
    struct alert alert = plain_alert();
    struct rfc5322_fields fields = plain_fields(&alert);
    static char mail[MAIL_BYTES];

    (void)state;
    fields.attempt = 3;
    fields.zone_minutes = -570;
    alert.unix_s = fields.unix_s - 606;
    compose(&fields, mail, sizeof mail - 1);
    assert_non_null(strstr(mail, "Date: Sat, 21 Nov 2026 12:35:56 -0930\r\n"));
    assert_non_null(strstr(mail, "Late: 0 d 00:10:06\r\nAttempt: 3\r\n"));
    assert_non_null(strstr(mail, "Time: 2026-11-21 12:25:50 -0930\r\n"));
    alert.unix_s = fields.unix_s;
    compose(&fields, mail, sizeof mail - 1);
    assert_null(strstr(mail, "Late:"));
    assert_non_null(strstr(mail, "Attempt: 3\r\n"));

    alert.unix_s = 0;
    alert.uptime_ms = 4999;
    fields.attempt = 1;
    compose(&fields, mail, sizeof mail - 1);
    assert_non_null(strstr(mail, "Time: unknown, the clock was not set\r\n"));
    assert_non_null(strstr(mail, "Uptime: 0 d 00:00:04\r\n"));
    assert_null(strstr(mail, "Late:"));
    assert_null(strstr(mail, "Attempt:"));

    /* No clock: no false date. */
    fields.unix_s = 0;
    compose(&fields, mail, sizeof mail - 1);
    assert_null(strstr(mail, "Date:"));
    assert_memory_equal(mail, "From: ", 6);
}

/* The device's own alert has no host, no app and no sender. */
static void test_own_alert(void **state)
{
    struct alert alert = plain_alert();
    struct rfc5322_fields fields = plain_fields(&alert);
    static char mail[MAIL_BYTES];

    (void)state;
    strcpy(alert.source, "device");
    alert.facility = FACILITY_DEVICE;
    alert.severity = SEVERITY_NOTICE;
    alert.host[0] = alert.app[0] = alert.sender[0] = '\0';
    strcpy(alert.text, "started: power on");
    fields.address = "";
    compose(&fields, mail, sizeof mail - 1);
    assert_non_null(strstr(mail, "Subject: [router1] NOTICE: started: power on\r\n"));
    assert_non_null(strstr(mail, "Device: router1\r\n"));
    assert_non_null(strstr(mail, "Source: device\r\n"));
    assert_non_null(strstr(mail, "Importance: normal\r\n"));
    assert_null(strstr(mail, "Host:"));
}

static void test_repeated(void **state)
{
    struct alert alert = plain_alert();
    struct rfc5322_fields fields = plain_fields(&alert);
    static char mail[MAIL_BYTES];

    (void)state;
    alert.count = 57;
    alert.last_unix_s = alert.unix_s + 75;
    compose(&fields, mail, sizeof mail - 1);
    assert_non_null(
        strstr(mail, "Subject: [router1] CRITICAL: sshd@web1: disk sda1 is full (57 times)\r\n"));
    assert_non_null(strstr(mail, "\r\n\r\ndisk sda1 is full\r\n\r\nDevice:"));
    assert_non_null(strstr(mail, "Time: 2026-11-22 01:05:54 +0300\r\n"
                                 "Count: 57 times, last 2026-11-22 01:07:09 +0300\r\n"
                                 "Severity: critical\r\n"));
    alert.last_unix_s = 0;
    compose(&fields, mail, sizeof mail - 1);
    assert_non_null(strstr(mail, "\r\nCount: 57 times\r\n"));
    for (alert.count = 0; alert.count < 2; alert.count++) {
        alert.last_unix_s = alert.unix_s;
        compose(&fields, mail, sizeof mail - 1);
        assert_null(strstr(mail, "Count:"));
        assert_null(strstr(mail, "times)"));
    }
}

static void test_damaged(void **state)
{
    struct alert alert = plain_alert();
    struct rfc5322_fields fields = plain_fields(&alert);
    static char mail[MAIL_BYTES];

    (void)state;
    alert.damaged = true;
    compose(&fields, mail, sizeof mail - 1);
    assert_non_null(strstr(mail, "Subject: [router1] CRITICAL, damaged in flash: sshd@web1: disk "
                                 "sda1 is full\r\n"));
    assert_non_null(strstr(mail, "\r\n\r\ndisk sda1 is full\r\n\r\n"
                                 "This alert was damaged in the device's flash memory.\r\n"
                                 "Its text and what is said below may be wrong or incomplete.\r\n"
                                 "\r\nDevice: "));
}

/* --- Digests --- */

struct lines {
    const char *const *line;
    unsigned count;
    unsigned made;  /* Of this index and lower ones; above count: for every index. */
    unsigned asked; /* How often. */
    unsigned last;
};

static bool give_line(void *context, unsigned index, struct text *out)
{
    struct lines *lines = context;

    /* In order: the same again, the next, or from the beginning. */
    assert_true(index == 0 || index == lines->last || index == lines->last + 1);
    assert_int_equal(out->length, 0);
    assert_int_equal(out->size, RFC5322_DIGEST_LINE_BYTES);
    lines->last = index;
    lines->asked++;
    if (index < lines->made) {
        text_format(out, "line %u of %u is a line like others", index, lines->made);
        return true;
    }
    if (index >= lines->made + lines->count) {
        return false;
    }
    text_add(out, lines->line[index - lines->made]);
    return true;
}

static struct rfc5322_fields digest_fields(struct alert *alert, struct lines *lines)
{
    struct rfc5322_fields fields = plain_fields(alert);

    strcpy(alert->source, "device");
    strcpy(alert->host, "router1");
    strcpy(alert->app, "digest");
    strcpy(alert->text, "3 alerts, worst: error");
    alert->sender[0] = '\0';
    alert->facility = FACILITY_DEVICE;
    alert->severity = SEVERITY_ERROR;
    alert->count = 3; /* Of lines: it did not happen three times. */
    fields.line = give_line;
    fields.line_context = lines;
    return fields;
}

static void test_digest(void **state)
{
    static const char *const line[] = {"one", "", "three: \r\n.\r\n"};
    static const char expected[] =
        "Subject: [router1] DIGEST: 3 alerts, worst: error\r\n"
        "Message-ID: <17.3.9f2c@router1>\r\n"
        "MIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        "Auto-Submitted: auto-generated\r\n"
        "X-Auto-Response-Suppress: All\r\n"
        "Content-Transfer-Encoding: 7bit\r\n"
        "Importance: high\r\n"
        "X-Priority: 2\r\n"
        "X-Tocsin-Severity: error\r\n"
        "X-Tocsin-Device: router1\r\n"
        "\r\n"
        "3 alerts, worst: error\r\n"
        "\r\n"
        "So many alerts came that not each could be a mail of its own\r\n"
        "(alerts_per_hour, or a limit of the mail provider). Each is a line\r\n"
        "below; one that came several times says how often.\r\n"
        "\r\n"
        "one\r\n"
        "\r\n"
        "three:   .\r\n"
        "\r\n"
        "Device: router1 at 10.0.2.15\r\n"
        "Time: 2026-11-22 01:05:54 +0300\r\n"
        "Severity: error\r\n"
        "Facility: device\r\n"
        "Source: device\r\n"
        "Host: router1\r\n"
        "App: digest\r\n"
        "Uptime: 1 d 02:03:04\r\n"
        "Firmware: Tocsin 0.1.0 on emcraft-sf2\r\n"
        "Alert: 17.3\r\n";
    static char mail[MAIL_BYTES];
    struct alert alert = plain_alert();
    struct lines lines = {.line = line, .count = 3};
    struct rfc5322_fields fields = digest_fields(&alert, &lines);

    (void)state;
    compose(&fields, mail, sizeof mail - 1);
    assert_non_null(strstr(mail, "Subject:"));
    assert_string_equal(strstr(mail, "Subject:"), expected);
    lines.count = 0;
    compose(&fields, mail, sizeof mail - 1);
    assert_non_null(strstr(mail, "says how often.\r\n\r\n\r\nDevice: "));
}

/* The encoding is that of all lines, wherever the one stands that needs it. */
static void test_digest_encoding(void **state)
{
    static const struct {
        const char *line;
        bool eight_bit;
        enum rfc5322_encoding encoding;
    } cases[] = {
        {"short", true, RFC5322_7BIT},
        {"From here on", true, RFC5322_QUOTED_PRINTABLE},
        {WORD_CYRILLIC, true, RFC5322_8BIT},
        {WORD_CYRILLIC, false, RFC5322_QUOTED_PRINTABLE},
        {TEN TEN TEN TEN TEN TEN TEN "12345678", true, RFC5322_7BIT},
        {TEN TEN TEN TEN TEN TEN TEN "123456789", true, RFC5322_QUOTED_PRINTABLE},
        {"\xFF", true, RFC5322_8BIT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (unsigned at = 0; at < 3; at++) {
            const char *line[3] = {"a", "b", "c"};
            struct alert alert = plain_alert();
            struct lines lines = {.line = line, .count = 3};
            struct rfc5322_fields fields = digest_fields(&alert, &lines);
            struct rfc5322 mail;

            line[at] = cases[i].line;
            fields.eight_bit = cases[i].eight_bit;
            rfc5322_init(&mail, &fields);
            assert_int_equal(mail.encoding, cases[i].encoding);
        }
    }
}

/* A line of every character that a random walk finds, up to the longest. */
static void test_digest_splits(void **state)
{
    static char longest[3][RFC5322_DIGEST_LINE_BYTES];
    static const char *const part[] = {WORD_CYRILLIC, BELL,  " ",    "=", ".", "From ",
                                       "\xFF",        "abc", "\r\n", "x", "y"};
    const char *line[] = {longest[0], longest[1], longest[2]};
    static char whole[MAIL_BYTES];
    static char pieces[MAIL_BYTES];
    struct alert alert = plain_alert();
    struct lines lines = {.line = line, .count = 3, .made = 5};
    struct rfc5322_fields fields = digest_fields(&alert, &lines);
    uint32_t seed = 88172645;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct text text = text_begin(longest[i], sizeof longest[i]);

        while (!text.cut) {
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            text_add(&text, part[seed % (sizeof part / sizeof part[0])]);
        }
    }
    for (int eight_bit = 0; eight_bit < 2; eight_bit++) {
        size_t size;
        bool has_eight_bit;
        struct rfc5322 mail;

        fields.eight_bit = eight_bit;
        size = compose(&fields, whole, sizeof whole - 1);
        for (size_t piece = 1; piece < 3000; piece += piece < 100 ? 1 : 37) {
            assert_int_equal(compose(&fields, pieces, piece), size);
            assert_memory_equal(pieces, whole, size);
        }
        rfc5322_init(&mail, &fields);
        assert_int_equal(rfc5322_size(&mail, &has_eight_bit), size);
        assert_int_equal(rfc5322_read(&mail, (uint8_t *)pieces, 1500), 1500);
        assert_int_equal(rfc5322_size(&mail, &has_eight_bit), size);
        assert_int_equal(rfc5322_read(&mail, (uint8_t *)pieces, sizeof pieces), size);
        assert_memory_equal(pieces, whole, size);
    }
}

/* A thousand lines: each is asked for once a pass, and again for each read that ends in it. */
static void test_digest_is_linear(void **state)
{
    static uint8_t out[1024];
    struct alert alert = plain_alert();
    struct lines lines = {.made = 1000};
    struct rfc5322_fields fields = digest_fields(&alert, &lines);
    struct rfc5322 mail;
    bool has_eight_bit;
    uint32_t size;
    uint32_t total = 0;
    size_t got;
    unsigned reads = 0;

    (void)state;
    rfc5322_init(&mail, &fields);
    assert_int_equal(lines.asked, 1001);
    size = rfc5322_size(&mail, &has_eight_bit);
    assert_int_equal(lines.asked, 2002);
    while ((got = rfc5322_read(&mail, out, 100 + reads % 900)) > 0) {
        total += (uint32_t)got;
        reads++;
    }
    assert_int_equal(total, size);
    assert_in_range(lines.asked, 3003, 3003 + reads);
    assert_in_range(size, 30000, 60000);
}

/* --- Live mails --- */

/* Lines that are never the same twice: whoever makes one a second time gets another mail. */
struct live {
    const char *const *line;
    unsigned count;
    const char *const *row;
    unsigned row_count;
    unsigned asked, rows_asked;
    bool counted; /* Each line has the number of its making behind it. */
    char kept[RFC5322_DIGEST_LINE_BYTES];
};

static bool live_line(void *context, unsigned index, struct text *out)
{
    struct live *live = context;

    assert_int_equal(index, live->asked++); /* Each once, in order, and the end once. */
    assert_int_equal(live->rows_asked, 0);
    assert_ptr_equal(out->bytes, live->kept);
    assert_int_equal(out->size, RFC5322_DIGEST_LINE_BYTES);
    assert_int_equal(out->length, 0);
    if (index >= live->count) {
        return false;
    }
    text_add(out, live->line[index]);
    if (live->counted) {
        text_format(out, " %u", live->asked);
    }
    return true;
}

static bool live_row(void *context, unsigned index, struct text *out)
{
    struct live *live = context;

    assert_int_equal(index, live->rows_asked++);
    assert_int_equal(live->asked, live->count + 1);
    assert_ptr_equal(out->bytes, live->kept);
    if (index >= live->row_count) {
        return false;
    }
    text_add(out, live->row[index]);
    return true;
}

static struct rfc5322_fields live_fields(struct alert *alert, struct live *live)
{
    struct rfc5322_fields fields = plain_fields(alert);

    alert->severity = SEVERITY_NOTICE;
    alert->facility = FACILITY_MAIL;
    strcpy(alert->source, "mail");
    strcpy(alert->app, "status");
    strcpy(alert->text, "not to be seen");
    alert->host[0] = alert->sender[0] = '\0';
    fields.version = "0.1.0"; /* As the firmware gives it. */
    fields.subject = "Re: status";
    fields.live = true;
    fields.live_line = live->kept;
    fields.line = live_line;
    fields.line_context = live;
    live->asked = live->rows_asked = 0;
    return fields;
}

static void test_live(void **state)
{
    static const char *const line[] = {"ok", "", "a=b", "From here", "..", "end "};
    static const char expected[] = "Date: Sun, 22 Nov 2026 01:05:56 +0300\r\n"
                                   "From: <router1@example.com>\r\n"
                                   "To: admin@example.com\r\n"
                                   "Subject: Re: status\r\n"
                                   "Message-ID: <17.3.9f2c@router1>\r\n"
                                   "In-Reply-To: <CA+x/y=1@mail.example.org>\r\n"
                                   "References: <CA+x/y=1@mail.example.org>\r\n"
                                   "MIME-Version: 1.0\r\n"
                                   "Content-Type: text/plain; charset=utf-8\r\n"
                                   "Auto-Submitted: auto-replied\r\n"
                                   "X-Auto-Response-Suppress: All\r\n"
                                   "Content-Transfer-Encoding: quoted-printable\r\n"
                                   "Importance: normal\r\n"
                                   "X-Priority: 3\r\n"
                                   "X-Tocsin-Severity: notice\r\n"
                                   "X-Tocsin-Device: router1\r\n"
                                   "\r\n"
                                   "ok\r\n"
                                   "\r\n"
                                   "a=3Db\r\n"
                                   "=46rom here\r\n"
                                   "=2E.\r\n"
                                   "end\r\n"
                                   "\r\n"
                                   "--=20\r\n"
                                   "router1 at 10.0.2.15\r\n"
                                   "tocsin 0.1.0 on emcraft-sf2\r\n";
    static char mail[MAIL_BYTES];
    struct alert alert = plain_alert();
    struct live live = {.line = line, .count = 6};
    struct rfc5322_fields fields = live_fields(&alert, &live);

    (void)state;
    fields.in_reply_to = "CA+x/y=1@mail.example.org";
    fields.auto_replied = true;
    compose(&fields, mail, sizeof mail - 1);
    assert_string_equal(mail, expected);
    assert_int_equal(live.asked, 7);
}

/* The second part: what differs from the first test. */
static void test_attachment(void **state)
{
    static const char *const line[] = {"All is well."};
    static const char *const row[] = {"name,value", "device,\"a \"\"b\"\"\"", "accepted,17"};
    static const char expected[] = "\r\n\r\n"
                                   "--=_tocsin\r\n"
                                   "Content-Type: text/plain; charset=utf-8\r\n"
                                   "Content-Transfer-Encoding: quoted-printable\r\n"
                                   "\r\n"
                                   "All is well.\r\n"
                                   "\r\n"
                                   "--=20\r\n"
                                   "router1\r\n"
                                   "tocsin 0.1.0 on emcraft-sf2\r\n"
                                   "\r\n"
                                   "--=_tocsin\r\n"
                                   "Content-Type: text/csv; header=present; charset=utf-8\r\n"
                                   "Content-Transfer-Encoding: quoted-printable\r\n"
                                   "Content-Disposition: attachment; filename=\"counters.csv\"\r\n"
                                   "\r\n"
                                   "name,value\r\n"
                                   "device,\"a \"\"b\"\"\"\r\n"
                                   "accepted,17\r\n"
                                   "--=_tocsin--\r\n";
    static char mail[MAIL_BYTES];
    struct alert alert = plain_alert();
    struct live live = {.line = line, .count = 1, .row = row, .row_count = 3};
    struct rfc5322_fields fields = live_fields(&alert, &live);

    (void)state;
    fields.address = "";
    fields.attachment = live_row;
    fields.attachment_name = "counters.csv";
    compose(&fields, mail, sizeof mail - 1);
    assert_string_equal(strstr(mail, "\r\n\r\n"), expected);
    assert_non_null(strstr(mail, "\r\nAuto-Submitted: auto-generated\r\n"));
    assert_non_null(strstr(mail, "\r\nContent-Type: multipart/mixed; boundary=\"=_tocsin\"\r\n"));
    assert_non_null(strstr(mail, "\r\nContent-Transfer-Encoding: 7bit\r\nImportance:"));
    assert_null(strstr(mail, "In-Reply-To"));
    assert_null(strstr(mail, "References"));
    assert_int_equal(live.rows_asked, 4);
}

/* Whatever is read at once, each line is made once: then the mail is the same. Lines of up to the
 * buffer's size, and none at all. */
static void test_live_splits(void **state)
{
    static char longest[RFC5322_DIGEST_LINE_BYTES];
    static const char *const part[] = {WORD_CYRILLIC, BELL, " ", "=", "From ", "\xFF", "x", "\n"};
    const char *line[] = {"first", longest, "", longest, "last"};
    static char whole[MAIL_BYTES];
    static char pieces[MAIL_BYTES];
    struct alert alert = plain_alert();
    struct text text = text_begin(longest, sizeof longest);

    (void)state;
    for (unsigned i = 0; !text.cut; i = i * 5 + 3) {
        text_add(&text, part[i / 16 % 8]);
    }
    for (unsigned count = 0; count <= 5; count += 5) {
        struct live live = {
            .line = line, .count = count, .row = line, .row_count = count, .counted = true};
        struct rfc5322_fields fields = live_fields(&alert, &live);
        size_t size;

        fields.attachment = live_row;
        fields.attachment_name = "a";
        size = compose(&fields, whole, sizeof whole - 1);
        for (size_t piece = 1; piece < 4000; piece += piece < 100 ? 1 : 37) {
            fields = live_fields(&alert, &live);
            fields.attachment = live_row;
            fields.attachment_name = "a";
            assert_int_equal(compose(&fields, pieces, piece), size);
            assert_memory_equal(pieces, whole, size);
        }
    }
}

/* Its size is not known, and nothing is made to find it out. */
static void test_live_size(void **state)
{
    static const char *const line[] = {WORD_CYRILLIC};
    static uint8_t out[4096];
    struct alert alert = plain_alert();
    struct live live = {.line = line, .count = 1};
    struct rfc5322_fields fields = live_fields(&alert, &live);
    struct rfc5322 mail;
    bool has_eight_bit = true;

    (void)state;
    rfc5322_init(&mail, &fields);
    assert_int_equal(rfc5322_size(&mail, &has_eight_bit), 0);
    assert_false(has_eight_bit);
    assert_int_equal(live.asked, 0);
    assert_in_range(rfc5322_read(&mail, out, sizeof out), 400, 1000);
    assert_memory_equal(out, "Date: ", 6);

    /* Lines are optional; so is a subject, when there is none. */
    fields.line = NULL;
    fields.subject = "\r\n";
    rfc5322_init(&mail, &fields);
    out[rfc5322_read(&mail, out, sizeof out - 1)] = '\0';
    assert_non_null(strstr((char *)out, "Subject: [router1] NOTICE: status: not to be seen\r\n"));
    assert_non_null(strstr((char *)out, "\r\n\r\n\r\n--=20\r\nrouter1 at"));
}

/* An alert may be an answer too: a configuration's trial. */
static void test_thread_of_alert(void **state)
{
    static char mail[MAIL_BYTES];
    struct alert alert = plain_alert();
    struct rfc5322_fields fields = plain_fields(&alert);

    (void)state;
    fields.subject = "Re: new settings";
    fields.in_reply_to = "1@x";
    fields.auto_replied = true;
    compose(&fields, mail, sizeof mail - 1);
    assert_non_null(strstr(mail, "Subject: Re: new settings\r\n"
                                 "Message-ID: <17.3.9f2c@router1>\r\n"
                                 "In-Reply-To: <1@x>\r\nReferences: <1@x>\r\n"));
    assert_non_null(strstr(mail, "Auto-Submitted: auto-replied\r\n"));
    assert_non_null(strstr(mail, "\r\n\r\ndisk sda1 is full\r\n\r\nDevice: "));
}

/* Writes a mail and what is expected of it for tests/check_mail.py. */
struct golden {
    char folder[64];
    unsigned count;
};

static void write_golden(struct golden *golden, const char *name,
                         const struct rfc5322_fields *fields, const char *expected)
{
    char path[160];
    static char mail[MAIL_BYTES];
    size_t size = compose(fields, mail, 512);
    FILE *file;

    snprintf(path, sizeof path, "%s/%s.eml", golden->folder, name);
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(mail, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    snprintf(path, sizeof path, "%s/%s.expect", golden->folder, name);
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_true(fputs(expected, file) >= 0);
    assert_int_equal(fclose(file), 0);
    golden->count++;
}

static void write_ordinary(struct golden *golden)
{
    static const char *const eight[] = {
        "first.recipient@example.com", "second.recipient@example.com",
        "third@example.org",           "a@b.example",
        "fifth.recipient@example.com", "6@example.com",
        "seventh@mail.example.com",    "eighth@[192.0.2.1]",
    };
    struct alert alert = plain_alert();
    struct rfc5322_fields fields = plain_fields(&alert);

    fields.from_name = "Tocsin \"on\" router\\1, Inc.";
    fields.to = eight;
    fields.to_count = 8;
    write_golden(golden, "plain", &fields,
                 "text: disk sda1 is full\n"
                 "subject: [router1] CRITICAL: sshd@web1: disk sda1 is full\n"
                 "from: router1@example.com\nname: Tocsin \"on\" router\\1, Inc.\n"
                 "to: first.recipient@example.com,second.recipient@example.com,"
                 "third@example.org,a@b.example,fifth.recipient@example.com,6@example.com,"
                 "seventh@mail.example.com,eighth@[192.0.2.1]\n"
                 "encoding: 7bit\nimportance: high\ndate: 2026-11-22T01:05:56+03:00\n"
                 "/Device: router1 at 10.0.2.15\n/App: sshd[412]\n");
    fields.from_name = WORD_CYRILLIC " router1";
    strcpy(alert.text, WORD_CYRILLIC " " WORD_CYRILLIC ": sda1 " BELL);
    alert.severity = SEVERITY_INFO;
    write_golden(golden, "cyrillic8", &fields,
                 "text: " WORD_CYRILLIC " " WORD_CYRILLIC ": sda1 " BELL "\n"
                 "subject: [router1] INFO: sshd@web1: " WORD_CYRILLIC " " WORD_CYRILLIC
                 ": sda1 " BELL "\n"
                 "name: " WORD_CYRILLIC " router1\nencoding: 8bit\nimportance: low\n");
    fields.eight_bit = false;
    write_golden(golden, "cyrillic7", &fields,
                 "text: " WORD_CYRILLIC " " WORD_CYRILLIC ": sda1 " BELL "\n"
                 "encoding: quoted-printable\n");
    fields.device = WORD_CYRILLIC "-1";
    fields.attempt = 2;
    write_golden(golden, "device", &fields,
                 "/Device: " WORD_CYRILLIC "-1 at 10.0.2.15\n/Attempt: 2\n"
                 "subject: [" WORD_CYRILLIC "-1] INFO: sshd@web1: " WORD_CYRILLIC " " WORD_CYRILLIC
                 ": sda1 " BELL "\n");
}

/* Texts that something on the way might misunderstand: each must arrive as it is. */
static void write_awkward(struct golden *golden)
{
    static const char *const texts[] = {
        "From 10.0.0.1: connection refused",
        ".",
        "..",
        ".hidden",
        "-- ",
        "=?UTF-8?B?SGVsbG8=?= is not encoded",
        "a=b=3D=\\=20",
        "Subject: no header",
        "To: a@b\\r\\nBcc: c@d",
        "<b>&amp;</b> \"quoted\" (comment) ; ,",
        "=?=?=?",
        "mixed " WORD_CYRILLIC " =?x?q?y?= ascii " WORD_CYRILLIC,
    };
    struct alert alert = plain_alert();
    struct rfc5322_fields fields = plain_fields(&alert);

    alert.app[0] = alert.host[0] = alert.sender[0] = '\0';
    for (size_t i = 0; i < 2 * (sizeof texts / sizeof texts[0]); i++) {
        /* Each as it is, then in quoted-printable because of a long line. */
        struct text text = text_begin(alert.text, sizeof alert.text);
        char name[32];
        char expected[512];
        int size;

        text_add(&text, texts[i / 2]);
        for (size_t word = 0; i % 2 == 1 && word < 20; word++) {
            text_add(&text, " From .");
        }
        size = (int)text.length;
        while (alert.text[size - 1] == ' ') {
            size--;
        }
        snprintf(name, sizeof name, "awkward%02zu", i);
        snprintf(expected, sizeof expected, "text: %.*s\n", size, alert.text);
        if (i % 2 == 0) {
            snprintf(expected, sizeof expected, "text: %.*s\nsubject: [router1] CRITICAL: %.*s\n",
                     size, alert.text, size, alert.text);
        }
        write_golden(golden, name, &fields, expected);
    }
}

/* A text of many words out of a small generator, by character and byte so long that it is cut. */
static void write_long(struct golden *golden)
{
    static const char *const words[] = {
        "disk", "is", WORD_CYRILLIC, BELL BELL, "=?", "sda1:", TEN TEN TEN TEN TEN TEN TEN TEN TEN};
    uint32_t seed = 2463534242u;

    for (unsigned i = 0; i < 300; i++) {
        struct alert alert = plain_alert();
        struct rfc5322_fields fields = plain_fields(&alert);
        struct text text = text_begin(alert.text, sizeof alert.text);
        char name[32];
        char expected[2048];
        char subject[512];
        size_t length = 10 + i;
        size_t at = 0;

        while (text.length < length && text.length < 300) {
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            if (text.length > 0 && seed % 8 != 0) {
                text_add_char(&text, ' ');
            }
            text_add(&text, words[seed / 8 % (sizeof words / sizeof words[0])]);
        }
        /* The same cut as put_subject() makes, told in another way: 120 bytes. */
        while (alert.text[at] != '\0') {
            size_t next = at + 1;

            while (((uint8_t)alert.text[next] & 0xC0) == 0x80) {
                next++;
            }
            if (next > 120) {
                break;
            }
            at = next;
        }
        snprintf(subject, sizeof subject, "%.*s", (int)at, alert.text);
        if (alert.text[at] != '\0') {
            while (at > 0 && subject[at - 1] == ' ') {
                at--;
            }
            strcpy(subject + at, "...");
        }
        fields.eight_bit = i % 2 == 0;
        snprintf(name, sizeof name, "long%03u", i);
        snprintf(expected, sizeof expected,
                 "text: %s\nsubject: [router1] CRITICAL: sshd@web1: %s\n", alert.text, subject);
        write_golden(golden, name, &fields, expected);
    }
}

static void write_digests(struct golden *golden)
{
    static const char *const line[] = {
        "2026-11-22 01:05:54  error  web1 sshd[412]: disk sda1 is full (57 times, last 01:09:00)",
        "From here to there",
        ".",
        WORD_CYRILLIC " " BELL " \r\nBcc: evil@example.com",
    };
    struct alert alert = plain_alert();

    for (unsigned count = 0; count <= 4; count++) {
        struct lines lines = {.line = line + 4 - count, .count = count};
        struct rfc5322_fields fields = digest_fields(&alert, &lines);
        char name[32];

        snprintf(name, sizeof name, "digest%u", count);
        write_golden(golden, name, &fields,
                     count == 4 ? "text: 3 alerts, worst: error\n"
                                  "subject: [router1] DIGEST: 3 alerts, worst: error\n"
                                  "encoding: quoted-printable\n"
                                  "@6: 2026-11-22 01:05:54  error  web1 sshd[412]: disk sda1 is "
                                  "full (57 times, last 01:09:00)\n"
                                  "@7: From here to there\n@8: .\n"
                                  "@9: " WORD_CYRILLIC " " BELL "   Bcc: evil@example.com\n"
                                  "/App: digest\n"
                                : "@5: \n");
    }
    alert = plain_alert();
    alert.count = 1000000;
    alert.last_unix_s = alert.unix_s + 100;
    alert.damaged = true;
    strcpy(alert.text, WORD_CYRILLIC);
    {
        struct rfc5322_fields fields = plain_fields(&alert);

        write_golden(golden, "repeated", &fields,
                     "text: " WORD_CYRILLIC "\n"
                     "subject: [router1] CRITICAL, damaged in flash: sshd@web1: " WORD_CYRILLIC
                     " (1000000 times)\n"
                     "/Count: 1000000 times, last 2026-11-22 01:07:34 +0300\n");
    }
    /* However long all else is, the subject says it. */
    {
        static const char most[] = " " TEN TEN TEN TEN TEN;
        static char device[200];
        static char expected[1024];
        struct rfc5322_fields fields = plain_fields(&alert);

        memset(device, 'd', sizeof device - 1);
        memset(alert.text, 'x', sizeof alert.text - 1);
        memset(alert.host, 'z', sizeof alert.host - 1);
        memcpy(alert.app, most + 1, sizeof alert.app - 1);
        alert.count = UINT32_MAX;
        fields.device = device;
        snprintf(expected, sizeof expected,
                 "subject: [%.96s] CRITICAL, damaged in flash: %.47s@%s: %.120s... (4294967295 "
                 "times)\n",
                 device, alert.app, alert.host, alert.text);
        write_golden(golden, "repeated-long", &fields, expected);
    }
}

/* Everything that could end a header, everywhere; and the longest that the structures hold. */
static void write_hostile(struct golden *golden)
{
    static const char evil[] = "x\r\nBcc: evil@example.com\r\n\r\n<\"@\xFF\x80,\x01\xC2\x85";
    static const char *const to[] = {evil, "b@example.com"};
    struct alert alert = plain_alert();
    struct rfc5322_fields fields = plain_fields(&alert);
    static char longest[254 + 1];
    const char *long_to[] = {longest, longest};

    strcpy(alert.text, evil);
    strcpy(alert.app, evil);
    strcpy(alert.host, evil);
    memcpy(alert.source, "a\r\n\r\nb\xFF", 8);
    memcpy(alert.sender, "c\r\nd: e\xFF", 9);
    fields.from_name = evil;
    fields.device = evil;
    fields.board = evil;
    fields.version = evil;
    fields.address = evil;
    fields.zone_minutes = 100000;
    alert.severity = 200;
    alert.facility = 99;
    write_golden(golden, "hostile", &fields,
                 "text: x  Bcc: evil@example.com    <\"@" REPLACEMENT REPLACEMENT ",\n"
                 "to: admin@example.com\ndate: 2026-11-21T22:05:56+00:00\n"
                 "/Severity: unknown\n/Facility: unknown\n");
    fields.zone_minutes = -721;
    write_golden(golden, "hostile2", &fields, "date: 2026-11-21T22:05:56+00:00\n");
    fields = plain_fields(&alert);
    fields.from = "a\r\nBcc:x@y";
    fields.to = to;
    fields.to_count = 2;
    fields.message_id = "1\r\nBcc: <x@y>";
    fields.from_name = "=?UTF-8?B?AAAA?=";
    {
        static char mail[MAIL_BYTES];

        compose(&fields, mail, sizeof mail - 1);
        assert_null(strstr(mail, "\r\nBcc"));
        assert_non_null(strstr(mail, "<a__Bcc:x@y>"));
        assert_non_null(strstr(mail, "Message-ID: <1__Bcc:__x@y_>\r\n"));
    }
    fields = plain_fields(&alert);
    memset(longest, 'a', sizeof longest - 1);
    memcpy(longest + 60, "@example.", 9);
    fields.from = longest;
    fields.to = long_to;
    fields.to_count = 2;
    fields.device = longest;
    fields.from_name = longest;
    memset(alert.text, 'x', sizeof alert.text - 1);
    memset(alert.app, 'y', sizeof alert.app - 1);
    memset(alert.host, 'z', sizeof alert.host - 1);
    alert.text[sizeof alert.text - 1] = '\0';
    alert.app[sizeof alert.app - 1] = '\0';
    alert.host[sizeof alert.host - 1] = '\0';
    write_golden(golden, "longest", &fields, "encoding: quoted-printable\n");
    fields.to_count = 0;
    alert.text[0] = '\0';
    write_golden(golden, "empty", &fields, "to: \ntext: (no text)\n");
}

static void write_live(struct golden *golden)
{
    static const char *const line[] = {
        "ok",         WORD_CYRILLIC " " BELL " =20 --=_tocsin",
        "--=_tocsin", "-- ",
        ".",          "From nobody " TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN};
    static const char *const row[] = {"name,value", "device,\"" WORD_CYRILLIC ", \"\"x\"\"\"",
                                      "--=_tocsin--,1", "last,2"};
    static const char *const ids[] = {
        "CAGx+y=z@mail.gmail.com",
        "!&!AAAA(1),\"q\";\\@[127.0.0.1]",
        "x\r\nBcc: evil@example.com\r\n\r\n<a@b>",
        "\xD0\xA1@\xFF",
        TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "123456789",
        "",
    };
    static const char *const seen[] = {
        "CAGx+y=z@mail.gmail.com",
        "!&!AAAA(1),\"q\";\\@[127.0.0.1]",
        "x__Bcc:_evil@example.com_____a@b_",
        "__@_",
        TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "123456789",
        "",
    };
    struct alert alert = plain_alert();

    for (unsigned i = 0; i < 12; i++) {
        struct live live = {.line = line, .count = 6, .row = row, .row_count = 4};
        struct rfc5322_fields fields = live_fields(&alert, &live);
        char name[32];
        char expected[1024];

        fields.in_reply_to = ids[i / 2];
        fields.auto_replied = i % 4 < 2;
        fields.subject = i % 3 == 0 ? "Re: " WORD_CYRILLIC "\r\nBcc: evil@example.com" : "Re: x";
        if (i % 2 == 1) {
            fields.attachment = live_row;
            fields.attachment_name = i < 6 ? "counters.csv" : "a\"b;\r\nX: \xFF.csv";
        }
        snprintf(name, sizeof name, "live%02u", i);
        snprintf(
            expected, sizeof expected,
            "text: ok\n@1: %s\n@2: --=_tocsin\n@3: --\n@4: .\n@5: %s\n@6: \n"
            "end: -- /router1 at 10.0.2.15/tocsin 0.1.0 on emcraft-sf2\n"
            "subject: %s\nthread: %s\nautomatic: %s\nimportance: normal\nattachment: %s\n"
            "csv: %s\n",
            line[1], line[5], i % 3 == 0 ? "Re: " WORD_CYRILLIC "  Bcc: evil@example.com" : "Re: x",
            seen[i / 2], i % 4 < 2 ? "replied" : "generated",
            i % 2 == 0 ? ""
            : i < 6    ? "counters.csv"
                       : "a_b___X___.csv",
            i % 2 == 0 ? "" : "name|value/device|" WORD_CYRILLIC ", \"x\"/--=_tocsin--|1/last|2");
        write_golden(golden, name, &fields, expected);
    }
}

static void test_python_reads_them(void **state)
{
    struct golden golden = {.folder = "rfc5322-mails"};
    char command[512];

    (void)state;
    assert_true(mkdir(golden.folder, 0777) == 0 || access(golden.folder, W_OK) == 0);
    write_ordinary(&golden);
    write_awkward(&golden);
    write_long(&golden);
    write_hostile(&golden);
    write_digests(&golden);
    write_live(&golden);
    assert_int_equal(golden.count, 4 + 2 * 12 + 300 + 4 + 7 + 12);
    snprintf(command, sizeof command, "python3 %s/check_mail.py %s", TESTS_DIR, golden.folder);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_size_of_object),
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_eight_bit_is_told),
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_own_alert),
        cmocka_unit_test(test_repeated),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_digest_encoding),
        cmocka_unit_test(test_digest_splits),
        cmocka_unit_test(test_digest_is_linear),
        cmocka_unit_test(test_live),
        cmocka_unit_test(test_attachment),
        cmocka_unit_test(test_live_splits),
        cmocka_unit_test(test_live_size),
        cmocka_unit_test(test_thread_of_alert),
        cmocka_unit_test(test_python_reads_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
