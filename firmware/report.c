#include "firmware/report.h"

#include "firmware/answer.h"
#include "firmware/app.h"

#include <string.h>

#define LOOK_MS 1000     /* Between two looks at the clock. */
#define AGAIN_MS 3600000 /* After the queue or the flash did not take something. */
#define DAY_S 86400u
#define WEEK_S (7 * DAY_S)
#define MONDAY_S (4 * DAY_S) /* 1970-01-05. */
#define LATE_S 3600          /* An alert that has waited for longer is worth a look, */
#define CERTIFICATE_DAYS 14  /* a certificate with fewer left, */
#define ERASES_MAX 90000     /* a block with more erases (100,000 is what data sheets promise), */
#define POLLS_FAILED 3       /* and so many failures in a row. */

/* ---- when ---- */

/* The times at which something is due lie `period` apart. */
static uint32_t period_s(uint32_t schedule)
{
    if ((schedule & CONFIG_DAILY) == 0) {
        return schedule;
    }
    return (schedule & CONFIG_WEEKLY) == CONFIG_WEEKLY ? WEEK_S : DAY_S;
}

/* How long before last_s the latest of these times was; an interval counts from last_s itself. All
 * in seconds of 32 bits, which last to 2106. */
static uint32_t since_due_s(uint32_t schedule, uint32_t last_s, int32_t zone_minutes)
{
    uint32_t zone_s = (uint32_t)(zone_minutes + 24 * 60) * 60; /* Of the zone, and a day. */
    uint32_t at_s = (schedule & CONFIG_MINUTE_MASK) * 60;

    if ((schedule & CONFIG_DAILY) == 0) {
        return 0;
    }
    return (last_s + zone_s - DAY_S - MONDAY_S - at_s) % period_s(schedule);
}

/* What to count from: last_unix_s, or the time now if there is none, or if it lies so far ahead
 * that a clock was wrong. */
static uint64_t count_from(uint32_t schedule, uint64_t last_unix_s, uint64_t unix_s)
{
    uint32_t period = period_s(schedule);
    uint32_t ahead_max = period < DAY_S ? period : DAY_S;

    return last_unix_s == 0 || last_unix_s > unix_s + ahead_max ? unix_s : last_unix_s;
}

uint64_t report_next_unix_s(uint32_t schedule, uint64_t last_unix_s, uint64_t unix_s,
                            int32_t zone_minutes)
{
    uint64_t from_s = count_from(schedule, last_unix_s, unix_s);
    uint32_t period = period_s(schedule);

    return period == 0 ? 0
                       : from_s + period - since_due_s(schedule, (uint32_t)from_s, zone_minutes);
}

uint64_t report_served_unix_s(uint32_t schedule, uint64_t last_unix_s, uint64_t unix_s,
                              int32_t zone_minutes)
{
    uint64_t next = report_next_unix_s(schedule, last_unix_s, unix_s, zone_minutes);
    uint32_t period = period_s(schedule);

    if (next == 0 || next > unix_s) {
        return 0;
    }
    return unix_s - (uint32_t)(unix_s - next) % period;
}

static uint64_t now_unix_s(const struct app *app)
{
    return text_seconds(app_unix_ms(app));
}

uint64_t report_due_unix_s(struct app *app)
{
    uint64_t unix_s = now_unix_s(app);

    return unix_s == 0 ? 0
                       : report_next_unix_s(app->config.report, app->report.last_unix_s, unix_s,
                                            app->config.zone_minutes);
}

/* Remembers it, in flash with the next save(). */
static void set_last(struct report *report, uint64_t unix_s)
{
    report->unsaved |= report->last_unix_s != (uint32_t)unix_s;
    report->last_unix_s = (uint32_t)unix_s;
}

static void save(struct app *app, uint64_t now_ms)
{
    struct report *report = &app->report;

    if (report->unsaved && app->journal.problem == NULL) {
        app->diary.report_unix_s = report->last_unix_s;
        report->unsaved = diary_save(&app->diary) < 0;
        if (report->unsaved) {
            report->next_ms = now_ms + AGAIN_MS; /* RAM has it, so that none comes twice. */
        }
    }
}

/* Finds a report that was queued before the last reset. If power failed before the diary had it,
 * it has it now. Not inlined: the alert is no part of the stack afterwards. */
static __attribute__((noinline)) void start(struct app *app)
{
    struct report *report = &app->report;
    struct queue_item item;
    struct alert alert;

    report->started = true;
    report->last_unix_s = app->diary.report_unix_s;
    for (unsigned i = 0; queue_item(&app->queue, i, &item); i++) {
        if (item.facility != FACILITY_MAIL || queue_alert(&app->queue, item.sequence, &alert) < 0 ||
            !answer_is_report(&alert)) {
            continue;
        }
        report->number = item.sequence;
        if (report->last_unix_s == 0) {
            set_last(report, alert.unix_s);
        } else {
            uint64_t served = report_served_unix_s(app->config.report, report->last_unix_s,
                                                   alert.unix_s, app->config.zone_minutes);

            set_last(report, served != 0 ? served : report->last_unix_s);
        }
    }
}

/* The time that the next one counts from, whatever a clock or a person changed. */
static void follow(struct app *app, uint64_t unix_s)
{
    struct report *report = &app->report;
    uint32_t schedule = app->config.report;

    if (schedule == 0) {
        set_last(report, 0); /* When it is configured again, none is due at once. */
    } else if (unix_s != 0) {
        set_last(report, count_from(schedule, report->last_unix_s, unix_s));
    }
}

/* The one before gives way. False: it is just being sent, and its end is waited for. */
static bool supersede(struct app *app)
{
    uint32_t number = app->report.number;

    if (app->sender.have_item && app->sender.item.sequence == number) {
        return false;
    }
    if (number != 0) {
        (void)queue_remove(&app->queue, number, QUEUE_SUPERSEDED, 0);
    }
    app->report.number = 0;
    return true;
}

bool report_poll(struct app *app)
{
    struct report *report = &app->report;
    uint64_t now_ms = app->platform.board->millis();
    uint64_t unix_s = now_unix_s(app);
    uint64_t served;

    if (!app->config_valid || now_ms < report->next_ms) {
        return false;
    }
    report->next_ms = now_ms + LOOK_MS;
    if (!report->started) {
        start(app);
    }
    follow(app, unix_s);
    save(app, now_ms);
    served = unix_s == 0 ? 0
                         : report_served_unix_s(app->config.report, report->last_unix_s, unix_s,
                                                app->config.zone_minutes);
    if (served == 0 || !supersede(app)) {
        return false;
    }
    if (answer_queue(app, "report", "the report that is due", NULL, NULL, &report->number) < 0) {
        report->number = 0;
        report->next_ms = now_ms + AGAIN_MS;
        return false;
    }
    set_last(report, served);
    save(app, now_ms);
    return true;
}

/* ---- what ---- */

void report_add_time(const struct app *app, uint64_t unix_s, struct text *out)
{
    int32_t zone = app->config.zone_minutes;
    unsigned minutes = (unsigned)(zone < 0 ? -zone : zone);

    if (unix_s == 0) {
        text_add(out, "unknown, the clock was not set");
        return;
    }
    text_add_time(out, unix_s, zone);
    text_format(out, " %c%02u%02u", zone < 0 ? '-' : '+', minutes / 60, minutes % 60);
}

bool report_otp_line(struct app *app, unsigned index, struct text *out)
{
    const struct authority *authority = &app->authority;
    uint32_t left = authority_otp_left(authority);

    if (authority->otp_seed[0] == '\0' || index > 1 || (index == 1 && left >= AUTHORITY_OTP_FEW)) {
        return false;
    }
    if (index == 1) {
        text_add(out, "Few are left: make a new chain (`tocsin otp`).");
    } else if (left == 0) {
        text_add(out, "One-time passwords: none left");
    } else {
        text_format(out, "One-time passwords: %u left, next is %u %s", (unsigned)left,
                    (unsigned)authority->otp_sequence - 1, authority->otp_seed);
    }
    return true;
}

/* The lines of the text; those of certificates are three. What has nothing to say is left out. Then
 * come the lines of `status`, and of the log. */
enum row {
    ROW_VERDICT,
    ROW_TIME,
    ROW_NEXT,
    ROW_BLANK,
    ROW_SERVER,
    ROW_OTP = ROW_SERVER + 3,
    ROW_SELF_TEST = ROW_OTP + 2,
    ROW_BLANK2,
    ROW_COUNT
};

/* When the certificate of mail server 0 or 1, or of the mailbox's (2), ends; 0: not known. */
static uint32_t not_after_unix_s(const struct app *app, unsigned server)
{
    return server < 2 ? app->sender.not_after_unix_s[server] : app->poller.not_after_unix_s;
}

/* Whole days that are left of it; 0: none, or not known. */
static uint32_t certificate_days(const struct app *app, unsigned server)
{
    uint32_t not_after = not_after_unix_s(app, server);
    uint32_t unix_s = (uint32_t)now_unix_s(app);

    return not_after > unix_s && unix_s != 0 ? (not_after - unix_s) / DAY_S : 0;
}

/* The alert that has waited longest; the mail in hand, which may be this report, does not count.
 * Returns how many wait. */
static unsigned find_oldest(struct app *app, struct queue_item *oldest)
{
    bool in_hand = app->sender.have_item;
    unsigned waiting = app->queue.count - queue_given_up(&app->queue) - (in_hand ? 1 : 0);

    for (unsigned i = 0; waiting > 0 && queue_item(&app->queue, i, oldest); i++) {
        if (!oldest->refused && !(in_hand && oldest->sequence == app->sender.item.sequence)) {
            return waiting;
        }
    }
    oldest->unix_s = 0;
    return waiting;
}

/* A mail came back lately, or was given up. */
static bool some_did_not_arrive(const struct app *app, uint64_t unix_s)
{
    uint32_t bounced = app->diary.bounced_unix_s;

    return queue_given_up(&app->queue) > 0 || (bounced != 0 && unix_s < (uint64_t)bounced + WEEK_S);
}

static bool some_certificate_ends(const struct app *app, uint64_t unix_s)
{
    bool ends = false;

    for (unsigned i = 0; i < 3; i++) {
        ends |= not_after_unix_s(app, i) != 0 && certificate_days(app, i) < CERTIFICATE_DAYS;
    }
    return ends && unix_s != 0;
}

/* What a person should look at, by names. */
static void verdict(struct app *app, struct text *out)
{
    static const char names[] = "alerts that did not arrive\0"
                                "alerts that wait\0"
                                "the clock\0"
                                "certificates\0"
                                "the mailbox\0"
                                "one-time passwords\0"
                                "the self test\0"
                                "flash";
    const struct authority *authority = &app->authority;
    uint64_t unix_s = now_unix_s(app);
    struct queue_item oldest;
    struct journal_wear wear;
    bool waits = find_oldest(app, &oldest) > 0 && unix_s > oldest.unix_s + LATE_S;
    const char *before = "Look at: ";

    journal_wear(&app->journal, &wear);
    const bool found[] = {
        some_did_not_arrive(app, unix_s),
        waits,
        unix_s == 0,
        some_certificate_ends(app, unix_s),
        app->poller.failures >= POLLS_FAILED,
        authority->otp_seed[0] != '\0' && authority_otp_left(authority) < AUTHORITY_OTP_FEW,
        app->diary.self_test_failed,
        app->journal.problem != NULL || wear.max > ERASES_MAX,
    };
    for (unsigned i = 0; i < sizeof found; i++) {
        if (found[i]) {
            text_format(out, "%s%s", before, text_item(names, i));
            before = ", ";
        }
    }
    text_add(out, out->length == 0 ? "All is well." : ".");
}

static void add_next(struct app *app, struct text *out)
{
    uint64_t due = report_due_unix_s(app);

    text_add(out, "Next report: ");
    if (app->config.report == 0) {
        text_add(out, "none, `report` is off");
    } else {
        report_add_time(app, due, out);
    }
}

/* Mail server 0 or 1, or the mailbox's (2). */
static void add_server(struct app *app, unsigned server, struct text *out)
{
    const char *host = app->config.pop3.host;
    enum smtp_tls tls = app->config.pop3_tls;
    uint32_t days = certificate_days(app, server);

    if (server < 2) {
        struct config_server view;

        if (server >= config_servers(&app->config)) {
            return;
        }
        config_server(&app->config, server, &view);
        host = view.endpoint->host;
        tls = view.tls;
    }
    if (host[0] == '\0') {
        return;
    }
    text_format(out, "Certificate: %s, ", host);
    if (tls == SMTP_TLS_OFF) {
        text_add(out, "none, without TLS");
    } else if (not_after_unix_s(app, server) == 0) {
        text_add(out, "not seen since the start");
    } else if (days == 0) {
        text_add(out, "less than a day left");
    } else {
        text_format(out, "%u days left", (unsigned)days);
    }
}

/* Line `index` of what the log still has. */
static bool add_log(struct app *app, unsigned index, struct text *out)
{
    uint16_t at = 0;

    for (;; index--) {
        if (!log_next(&app->log, &at, out->bytes, out->size)) {
            return false;
        }
        if (index == 0) {
            out->length = strlen(out->bytes);
            return true;
        }
    }
}

static void add_self_test(struct app *app, struct text *out)
{
    if (app->diary.self_test_unix_s != 0) {
        text_format(out, "Self test: %s, ", app->diary.self_test_failed ? "FAILED" : "passed");
        report_add_time(app, app->diary.self_test_unix_s, out);
    }
}

static void add_row(struct app *app, unsigned row, struct text *out)
{
    if (row == ROW_VERDICT) {
        verdict(app, out);
    } else if (row == ROW_TIME) {
        text_add(out, "Report of ");
        report_add_time(app, now_unix_s(app), out);
    } else if (row == ROW_NEXT) {
        add_next(app, out);
    } else if (row >= ROW_SERVER && row < ROW_OTP) {
        add_server(app, row - ROW_SERVER, out);
    } else if (row >= ROW_OTP && row < ROW_SELF_TEST) {
        (void)report_otp_line(app, row - ROW_OTP, out);
    } else if (row == ROW_SELF_TEST) {
        add_self_test(app, out);
    }
}

/* A line of `status`, whose columns are for a wide screen: "queue: waiting 2", and lines that go on
 * without their margin. */
static bool add_status(struct app *app, unsigned index, struct text *out)
{
    size_t word;
    size_t gap;

    if (!app_capture_line(app, "status", index, out)) {
        return false;
    }
    word = strcspn(out->bytes, " ");
    gap = strspn(out->bytes + word, " ");
    if (gap > 1) {
        const char *between = word > 0 ? ": " : "";
        size_t size = strlen(between);

        memmove(out->bytes + word + size, out->bytes + word + gap, out->length - word - gap + 1);
        memcpy(out->bytes + word, between, size);
        out->length -= gap - size;
    }
    return true;
}

bool report_line(struct app *app, unsigned index, struct text *out)
{
    unsigned count = 0;

    for (unsigned row = 0; row < ROW_COUNT; row++) {
        if (row == ROW_VERDICT && index > 0) {
            count++; /* It is always there, and reads flash: not made only to see that. */
            continue;
        }
        add_row(app, row, out);
        if (out->length > 0 || row == ROW_BLANK || row == ROW_BLANK2) {
            if (count++ == index) {
                return true;
            }
            *out = text_begin(out->bytes, out->size);
        }
    }
    index -= count;
    if (add_status(app, index, out)) {
        return true;
    }
    index = app->capture.skip; /* Lines that it did not have. */
    if (index == 0) {
        return true; /* A blank line. */
    }
    if (index == 1) {
        text_add(out, "The last lines of the log:");
        return true;
    }
    return add_log(app, index - 2, out);
}

/* ---- counters ---- */

/* Members of struct app of 32 bits, by names that stay. */
#define COUNTERS(COUNTER)                                       \
    COUNTER("boots", journal.boot_count)                        \
    COUNTER("accepted", queue.books.accepted)                   \
    COUNTER("refused", queue.books.refused)                     \
    COUNTER("expired", queue.books.expired)                     \
    COUNTER("displaced", queue.books.displaced)                 \
    COUNTER("repeated", queue.books.repeated)                   \
    COUNTER("in_digests", queue.books.folded)                   \
    COUNTER("dropped", queue.books.dropped)                     \
    COUNTER("came_back", diary.bounced)                         \
    COUNTER("smtp_connections", sender.sessions)                \
    COUNTER("smtp_accepted", sender.accepted)                   \
    COUNTER("smtp_failures", sender.failed)                     \
    COUNTER("syslog_received", syslog.received)                 \
    COUNTER("syslog_taken", syslog.taken)                       \
    COUNTER("syslog_filtered", syslog.filtered)                 \
    COUNTER("syslog_malformed", syslog.malformed)               \
    COUNTER("mailbox_messages", poller.count)                   \
    COUNTER("mailbox_polls", poller.polls)                      \
    COUNTER("mailbox_failures", poller.failed)                  \
    COUNTER("orders_taken", authority.taken)                    \
    COUNTER("orders_refused", authority.refused)                \
    COUNTER("orders_replayed", authority.replayed)              \
    COUNTER("flash_bytes_programmed", journal.bytes_programmed) \
    COUNTER("flash_blocks_erased", journal.blocks_erased)       \
    COUNTER("flash_records_damaged", journal.records_damaged)

/* As wide as struct app needs. */
#ifdef TOCSIN_HOSTED
#define COUNTER_OFFSET_TYPE uint32_t
#else
#define COUNTER_OFFSET_TYPE uint16_t
_Static_assert(sizeof(struct app) <= UINT16_MAX, "an offset in struct app has 16 bits");
#endif

#define COUNTER_NAME(name, member) name "\0"
#define COUNTER_OFFSET(name, member) offsetof(struct app, member),
#define COUNTER_SIZED(name, member) \
    _Static_assert(sizeof(((struct app *)0)->member) == sizeof(uint32_t), name);

COUNTERS(COUNTER_SIZED)

/* What has to be asked for, before them. */
enum made {
    MADE_TIME,
    MADE_UPTIME,
    MADE_CLOCK,
    MADE_WAITING,
    MADE_GIVEN_UP,
    MADE_OLDEST,
    MADE_FRAMES_IN,
    MADE_FRAMES_OUT,
    MADE_FRAMES_DROPPED,
    MADE_CERTIFICATE,
    MADE_OTP = MADE_CERTIFICATE + 3,
    MADE_ERASES_MIN,
    MADE_ERASES_MAX,
    MADE_STACK,
    MADE_COUNT
};
static const char made_names[] =
    "unix_s\0uptime_s\0clock_correction_ms\0queue_waiting\0"
    "queue_given_up\0queue_oldest_s\0frames_in\0frames_out\0"
    "frames_dropped\0certificate_days_smtp\0certificate_days_smtp2\0"
    "certificate_days_pop3\0one_time_passwords_left\0flash_erases_min\0"
    "flash_erases_max\0stack_used_bytes";

static uint32_t made_value(struct app *app, unsigned made)
{
    struct network_status network;
    struct journal_wear wear;
    struct queue_item oldest;
    uint64_t unix_s = now_unix_s(app);

    switch (made) {
    case MADE_TIME:
        return (uint32_t)unix_s;
    case MADE_UPTIME:
        return text_seconds(app->platform.board->millis());
    case MADE_CLOCK:
        return (uint32_t)app->clock_offset_ms;
    case MADE_WAITING:
        return find_oldest(app, &oldest);
    case MADE_GIVEN_UP:
        return queue_given_up(&app->queue);
    case MADE_OLDEST:
        (void)find_oldest(app, &oldest);
        return oldest.unix_s != 0 && unix_s > oldest.unix_s ? (uint32_t)(unix_s - oldest.unix_s)
                                                            : 0;
    case MADE_FRAMES_IN:
    case MADE_FRAMES_OUT:
    case MADE_FRAMES_DROPPED:
        app->platform.network_status(&network);
        return made == MADE_FRAMES_IN    ? network.rx_frames
               : made == MADE_FRAMES_OUT ? network.tx_frames
                                         : network.rx_dropped + network.tx_dropped;
    case MADE_OTP:
        return authority_otp_left(&app->authority);
    case MADE_ERASES_MIN:
    case MADE_ERASES_MAX:
        journal_wear(&app->journal, &wear);
        return made == MADE_ERASES_MIN ? wear.min : wear.max;
    case MADE_STACK:
        return (uint32_t)app->platform.board->stack_used_max();
    default:
        return certificate_days(app, made - MADE_CERTIFICATE);
    }
}

/* A text of CSV: quoted, its quotes twice (RFC 4180 2.7). */
static void add_quoted(struct text *out, const char *string)
{
    text_add_char(out, '"');
    for (; *string != '\0'; string++) {
        text_add(out, *string == '"' ? "\"" : "");
        text_add_char(out, *string);
    }
    text_add_char(out, '"');
}

/* The header, two texts, then numbers. */
enum { CSV_HEADER, CSV_DEVICE, CSV_FIRMWARE, CSV_MADE, CSV_COUNTERS = CSV_MADE + MADE_COUNT };

bool report_csv_line(struct app *app, unsigned index, struct text *out)
{
    static const char names[] = COUNTERS(COUNTER_NAME);
    static const COUNTER_OFFSET_TYPE offsets[] = {COUNTERS(COUNTER_OFFSET)};

    if (index == CSV_HEADER) {
        text_add(out, "name,value");
    } else if (index == CSV_DEVICE) {
        text_add(out, "device,");
        add_quoted(out, app->config.hostname);
    } else if (index == CSV_FIRMWARE) {
        text_add(out, "firmware,");
        add_quoted(out, TOCSIN_VERSION);
    } else if (index < CSV_COUNTERS) {
        unsigned made = index - CSV_MADE;
        uint32_t value = made_value(app, made);
        bool negative = made == MADE_CLOCK && (int32_t)value < 0;

        if (made - MADE_CERTIFICATE < 3 && not_after_unix_s(app, made - MADE_CERTIFICATE) == 0) {
            text_format(out, "%s,", text_item(made_names, made)); /* Not known is not 0. */
            return true;
        }
        text_format(out, "%s,%s%u", text_item(made_names, made), negative ? "-" : "",
                    (unsigned)(negative ? 0u - value : value));
    } else if (index < CSV_COUNTERS + sizeof offsets / sizeof offsets[0]) {
        unsigned counter = index - CSV_COUNTERS;
        const uint32_t *value = (const void *)((const char *)app + offsets[counter]);

        text_format(out, "%s,%u", text_item(names, counter), (unsigned)*value);
    } else {
        return false;
    }
    return true;
}
