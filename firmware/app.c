#include "firmware/app.h"

#include "firmware/answer.h"
#include "firmware/mute.h"
#include "firmware/report.h"
#include "firmware/syslog.h"
#include "net/text.h"

#include <string.h>

/* 2026-01-01: this firmware is younger than any earlier time. */
#define CLOCK_FLOOR_UNIX_S 1767225600u
#define LINE_BYTES 320
#define LOG_PREFIX "log: "
#define READ_BYTES 64          /* Pieces in which the configuration is read from flash. */
#define TEST_WAIT_MS_MAX 20000 /* How long `test` waits for link, address and clock. */
#define TEST_MS_MAX 240000
#define SLEEP_MS_MAX 1000
#define REBOOT_MS 100 /* The answer gets out first. */
#define CHECKPOINT_MS 3600000
#define BOOKS_MS_MIN 60000 /* A flood is not to wear the flash out. */
#define CLOCK_BACK_MS 86400000
#define CLOCK_WAIT_MS_MAX 300000 /* For SNTP, where a mail can go without it. */
#define REPORT_MS_MIN 60000
#define CTRL_C 3

void app_print(struct app *app, const char *format, ...)
{
    char line[LINE_BYTES];
    struct text text = text_begin(line, sizeof line);
    struct app_capture *capture = &app->capture;
    va_list list;

    if (capture->out != NULL && (capture->taken || capture->skip > 0)) {
        capture->skip -= capture->skip > 0 ? 1 : 0;
        return;
    }
    va_start(list, format);
    text_format_list(&text, format, list);
    va_end(list);
    if (capture->out != NULL) {
        text_add_bytes(capture->out, line, text.length);
        capture->taken = true;
    } else {
        console_print(&app->console, line);
    }
}

bool app_capture_line(struct app *app, const char *command, unsigned index, struct text *out)
{
    bool taken;

    app->capture = (struct app_capture){.out = out, .skip = index};
    app_command(app, command);
    taken = app->capture.taken;
    app->capture.out = NULL;
    return taken;
}

uint64_t app_unix_ms(const struct app *app)
{
    if (app->clock_unix_ms == 0) {
        return 0;
    }
    return app->clock_unix_ms + (app->platform.board->millis() - app->clock_set_ms);
}

void app_log(struct app *app, const char *format, ...)
{
    char line[LOG_LINE_BYTES];
    struct text text = text_begin(line, sizeof line);
    uint64_t unix_ms = app_unix_ms(app);
    uint64_t now_ms = app->platform.board->millis();
    uint32_t now_s = text_seconds(now_ms);
    va_list list;

    text_add(&text, LOG_PREFIX);
    if (unix_ms != 0) {
        text_add_time(&text, text_seconds(unix_ms), app->config.zone_minutes);
    } else {
        text_format(&text, "+%u.%03u", (unsigned)now_s,
                    (unsigned)(now_ms - (uint64_t)now_s * 1000));
    }
    text_add_char(&text, ' ');
    va_start(list, format);
    text_format_list(&text, format, list);
    va_end(list);
    log_add(&app->log, line + sizeof LOG_PREFIX - 1);
    console_print(&app->console, line);
}

void app_set_time(struct app *app, uint64_t unix_ms, const char *source)
{
    bool first = app->clock_unix_ms == 0;
    uint64_t now_ms = app->platform.board->millis();
    int64_t offset_ms;

    if (text_seconds(unix_ms) < CLOCK_FLOOR_UNIX_S) {
        app_log(app, "clock: a time before 2026 was refused; check the time server");
        return;
    }
    if (!first) {
        offset_ms = (int64_t)(unix_ms - app_unix_ms(app));
        app->clock_offset_ms = offset_ms > INT32_MAX    ? INT32_MAX
                               : offset_ms < -INT32_MAX ? -INT32_MAX
                                                        : (int32_t)offset_ms;
        limits_shift(&app->limits, app_unix_ms(app), unix_ms);
    }
    app->clock_unix_ms = unix_ms;
    app->clock_set_ms = now_ms;
    app->clock_source = source;
    if (app->platform.board->rtc_write != NULL && strcmp(source, "RTC") != 0) {
        /* A clock that cannot be set is no loss. */
        (void)app->platform.board->rtc_write(text_seconds(unix_ms));
    }
    if (first) {
        app_log(app, "clock: set from %s", source);
        queue_set_time(&app->queue, app->journal.boot_count, unix_ms, now_ms);
        if (app->queue.books.unix_ms > unix_ms + CLOCK_BACK_MS) {
            app_log(app, "clock: earlier than when this device last ran; check the time server");
        }
    }
}

static void config_problem(void *context, unsigned line, const char *key, const char *message)
{
    app_log(context, "configuration: line %u: %s%s%s", line, key, key[0] != '\0' ? ": " : "",
            message);
}

static void load_config(struct app *app)
{
    struct config_reader reader;
    char piece[READ_BYTES];
    uint32_t offset = 0;
    int size;

    if (!app->slots.valid) {
        config_defaults(&app->config);
        return;
    }
    config_begin(&reader, &app->config, config_problem, app);
#ifdef TOCSIN_HOSTED
    app->platform.defaults(&app->config);
#endif
    while ((size = slots_read(&app->slots, offset, piece, sizeof piece)) > 0) {
        config_push(&reader, piece, (size_t)size);
        offset += (uint32_t)size;
    }
    app->config_valid = config_end(&reader) == 0 && size == 0;
    if (!app->config_valid) {
        config_defaults(&app->config);
    }
#ifdef TOCSIN_HOSTED
    app->platform.settle(&app->config);
#endif
}

/* Decoded anew for each session, into the record buffer that no record needs yet: 3 KB of RAM
 * saved. */
static const struct tls_anchors *load_anchors(void *context)
{
    struct app *app = context;
    struct tls_anchors *anchors = tls_anchors_room(&app->tls);
    struct tls_pem pem;
    char piece[READ_BYTES];
    uint32_t offset = 0;
    int size;
    int error = 0;

    app->tls_problem = NULL;
#ifdef TOCSIN_HOSTED
    const struct tls_anchors *others = app->platform.anchors(&app->tls_problem);

    if (others != NULL) {
        return others;
    }
#endif
    tls_anchors_init(anchors);
    if (!app->config_valid || app->config.ca_count == 0) {
        return anchors;
    }
    tls_pem_init(&pem, anchors);
    while (error >= 0 && (size = slots_read(&app->slots, offset, piece, sizeof piece)) > 0) {
        error = tls_pem_push(&pem, piece, (size_t)size, &app->tls_problem);
        offset += (uint32_t)size;
    }
    if (error >= 0) {
        error = tls_pem_end(&pem, &app->tls_problem);
    }
    if (error < 0) {
        tls_anchors_init(anchors); /* Not some of them: what a person wrote, or nothing. */
    }
    return anchors;
}

/* The seed in flash is replaced before anything that is made of it leaves (docs/security.md): the
 * next boot starts from a number that this one never uses. */
static void seed_from_flash(struct app *app)
{
    struct random once;
    uint8_t next[JOURNAL_SEED_BYTES];
    uint8_t work[RANDOM_SEED_BYTES];
    uint32_t ticks = app->platform.board->ticks();

    random_init(&once);
    random_mix(&once, &app->journal.boot_count, sizeof app->journal.boot_count);
    random_mix(&once, &ticks, sizeof ticks);
    random_seed(&once, app->journal.seed, sizeof app->journal.seed);
    if (random_bytes(&once, next, sizeof next) < 0 || random_bytes(&once, work, sizeof work) < 0) {
        app->random_problem = "the generator failed";
    } else if (journal_seed_replace(&app->journal, next) < 0) {
        app->random_problem = "the seed in flash could not be replaced; the flash may be worn out";
    } else {
        random_seed(&app->random, work, sizeof work);
    }
    memset(app->journal.seed, 0, sizeof app->journal.seed);
    memset(&once, 0, sizeof once);
    memset(next, 0, sizeof next);
    memset(work, 0, sizeof work);
}

static void seed(struct app *app)
{
    const struct board *hw = app->platform.board;
    uint8_t bytes[RANDOM_SEED_BYTES];

    random_init(&app->random);
    random_mix(&app->random, app->journal.device_id, sizeof app->journal.device_id);
    if (app->journal.seed_valid) {
        seed_from_flash(app);
    } else if (hw->random == NULL) {
        app->random_problem = app->journal.seed_problem;
    }
    if (hw->random != NULL && hw->random(bytes, sizeof bytes) == 0) {
        random_seed(&app->random, bytes, sizeof bytes);
        app->random_problem = NULL;
    }
    memset(bytes, 0, sizeof bytes);
}

/* What is no alert: an answer, a report, a round trip. */
static void compose(void *context, struct alert *alert, struct answer_parts *parts,
                    struct rfc5322_fields *fields)
{
    answer_unpack(alert, parts);
    answer_fields(context, alert, parts, fields);
}

static void sender_log(void *context, const char *line)
{
    app_log(context, "%s", line);
}

void app_stage_line(struct app *app, const char *name, bool ok, uint32_t ms, const char *detail)
{
    char line[LINE_BYTES];
    struct text text = text_begin(line, sizeof line);

    text_format(&text, "  %s ", name);
    while (text.length < 12) {
        text_add_char(&text, ' ');
    }
    text_add(&text, ok ? "ok   " : "FAIL ");
    for (uint32_t limit = 10000; limit > 1 && ms < limit; limit /= 10) {
        text_add_char(&text, ' ');
    }
    text_format(&text, "%u ms  %s", (unsigned)ms, detail);
    app_print(app, "%s", line);
}

static void test_line(struct app *app, const struct sender_report *report)
{
    app_stage_line(app, sender_stage_name(report->stage), report->ok, report->ms, report->detail);
}

static void test_end(struct app *app, const char *error)
{
    /* A failed test is told here and not kept. */
    (void)queue_remove(&app->queue, app->test_sequence, QUEUE_DROPPED, 0);
    app->test = TEST_NONE;
    app->sender.is_test = false;
    app_print(app, error == NULL ? "ok" : "error: %s", error);
    console_prompt(&app->console);
}

static void sender_stage_ended(void *context, const struct sender_report *report)
{
    struct app *app = context;

    if (app->platform.stage != NULL) {
        app->platform.stage(report);
    }
    if (report->ok && report->stage == SENDER_ACCEPTED) {
        trial_accepted(app);
        roundtrip_accepted(app, app->sender.item.sequence);
    }
    if (app->test != TEST_RUNNING || !report->is_test) {
        return;
    }
    test_line(app, report);
    if (!report->ok && !report->goes_on) {
        test_end(app, "the test failed at the stage above");
    } else if (report->ok && report->stage == SENDER_ACCEPTED) {
        test_end(app, NULL);
    }
}

static uint64_t queue_time(void *context)
{
    return app_unix_ms(context);
}

static void mount_queue(struct app *app)
{
    const uint32_t limits[LIMITS_COUNT] = {app->config.limit_minute, app->config.limit_hour,
                                           app->config.limit_day};

    limits_init(&app->limits, limits);
    queue_init(&app->queue, &app->journal, app->platform.board->flash, &app->limits, queue_time,
               app);
    policy_init(&app->policy, &app->config, &app->queue, app->platform.board->millis());
}

void app_init(struct app *app, const struct platform *platform)
{
    const struct board *hw = platform->board;
    struct sender_params sender = {
        .config = &app->config,
        .queue = &app->queue,
        .policy = &app->policy,
        .link = platform->link,
        .tls = &app->tls,
        .anchors = load_anchors,
        .random = &app->random,
        .device_id = app->device_id,
        .board = hw->name,
        .version = TOCSIN_VERSION,
        .log = sender_log,
        .report = sender_stage_ended,
        .compose = compose,
        .context = app,
    };
    struct text id = text_begin(app->device_id, sizeof app->device_id);
    uint64_t unix_s = 0;

    app->platform = *platform;
    log_init(&app->log);
    console_init(&app->console, hw->console_write);
    app_print(app, "\r\ntocsin %s on %s, %s", TOCSIN_VERSION, hw->name, hw->cpu);
    config_defaults(&app->config);
    slots_mount(&app->slots, hw->flash);
    trial_init(app);
    commands_config_init(app);
    load_config(app);
    mount_queue(app);
    (void)load_anchors(app); /* Tells at the start what is wrong with them. */
    seed(app);
    for (size_t i = 0; i < JOURNAL_DEVICE_ID_BYTES; i++) {
        text_add_hex(&id, app->journal.device_id[i], 2);
    }
    sender_init(&app->sender, &sender);
    authority_init(&app->authority, &app->journal, &app->config, app->device_id);
    diary_init(&app->diary, &app->journal);
    poller_init(app);
    if (hw->rtc_read != NULL && hw->rtc_read(&unix_s) == 0) {
        app_set_time(app, unix_s * 1000, "RTC");
    }
}

/* Whoever is configured when it is sent: settings may change while it waits. */
#define ALL_RECIPIENTS UINT8_MAX

/* What an alert has of the device and the moment. */
void app_stamp(struct app *app, struct alert *alert)
{
    const char *at = strchr(app->config.from, '@');

    alert->boot_count = app->journal.boot_count;
    alert->unix_s = text_seconds(app_unix_ms(app));
    alert->queued_unix_s = alert->unix_s;
    alert->uptime_ms = app->platform.board->millis();
    text_copy(alert->domain, sizeof alert->domain, at != NULL ? at + 1 : "");
}

int app_alert(struct app *app, struct alert *alert)
{
    int result;

    app_stamp(app, alert);
    if (app->config.to_count == 0) {
        return E_CONFIG;
    }
    if (mute_takes(app, alert)) {
        return POLICY_MUTED;
    }
    result = policy_take(&app->policy, alert, ALL_RECIPIENTS, alert->uptime_ms);
    if (result < 0) {
        app_log(app, "the queue is full of more severe alerts: a new one was displaced");
        app->books_changed = true; /* There is no mark of an alert that never was in flash. */
    }
    return result;
}

static void device_alert_begin(struct app *app, struct alert *alert, uint8_t severity,
                               const char *app_name, const char *what)
{
    memset(alert, 0, sizeof *alert);
    alert->severity = severity;
    alert->facility = FACILITY_DEVICE;
    text_copy(alert->source, sizeof alert->source, "device");
    text_copy(alert->host, sizeof alert->host, app->config.hostname);
    text_copy(alert->app, sizeof alert->app, app_name);
    text_copy(alert->text, sizeof alert->text, what);
}

int app_device_alert(struct app *app, uint8_t severity, const char *app_name, const char *what)
{
    struct alert alert;
    int result;

    device_alert_begin(app, &alert, severity, app_name, what);
    result = app_alert(app, &alert);
    return result < 0 ? result : (int)alert.sequence;
}

int app_test_alert(struct app *app, const char *source, const char *app_name, const char *what,
                   uint32_t *sequence)
{
    const struct queue_how how = {.pending_mask = UINT8_MAX, .is_test = true};
    struct alert alert;
    int error;

    device_alert_begin(app, &alert, SEVERITY_NOTICE, app_name, what);
    text_copy(alert.source, sizeof alert.source, source);
    app_stamp(app, &alert);
    error = queue_add(&app->queue, &alert, &how);
    *sequence = alert.sequence;
    return error;
}

const char *app_reset_cause(const struct app *app)
{
    static const char names[] =
        "power on\0reboot command\0fault\0watchdog\0external reset\0unknown";
    unsigned cause = (unsigned)app->platform.board->reset_cause();

    return text_item(names, cause <= RESET_EXTERNAL ? cause : RESET_EXTERNAL + 1);
}

const char *app_config_problem(const struct app *app)
{
    return app->slots.valid ? "not valid: `log` tells why" : app->slots.problem;
}

static void boot_alert(struct app *app)
{
    char what[LINE_BYTES];
    const struct board *hw = app->platform.board;
    enum reset_cause cause = hw->reset_cause();
    bool bad = cause == RESET_FAULT || cause == RESET_WATCHDOG;

    text_print(what, sizeof what, "started, boot %u; reason of the reset: %s%s%s",
               (unsigned)app->journal.boot_count, app_reset_cause(app),
               hw->reset_detail()[0] != '\0' ? ": " : "", hw->reset_detail());
    app_log(app, "%s", what);
    if (app->config.alert_boot && app->config_valid) {
        (void)app_device_alert(app, bad ? SEVERITY_ERROR : SEVERITY_NOTICE, "boot", what);
    }
}

void app_start(struct app *app)
{
    if (app->slots.fallback) {
        app_log(app,
                "configuration: the newest is damaged in flash; the one before it is in force");
    }
    if (!app->config_valid) {
        app_log(app,
                "configuration: %s; no mail can be sent. `make config` on a computer writes one.",
                app_config_problem(app));
    }
    if (app->journal.problem != NULL) {
        app_log(app, "queue: %s; alerts are kept in RAM", app->journal.problem);
    }
    if (app->journal.records_damaged > 0) {
        app_log(app, "queue: %u records in flash were cut short or went bad",
                (unsigned)app->journal.records_damaged);
    }
    if (app->queue.count > 0) {
        app_log(app, "queue: still to be sent: %u", app->queue.count);
    }
    if (app->random_problem != NULL) {
        app_log(app, "random numbers: %s; TLS is refused", app->random_problem);
    }
    if (app->tls_problem != NULL) {
        app_log(app, "CA certificates: %s", app->tls_problem);
    }
    if (app->network_problem != NULL) {
        app_log(app, "network: %s", app->network_problem);
    }
    boot_alert(app);
    trial_start(app);
    app_print(app, "type `help` for the commands");
    console_prompt(&app->console);
}

/* Certificates cannot be checked without the time. In clear text a mail can go without its Date,
 * which the server then writes: better that than never. */
static bool clock_is_needed(const struct app *app)
{
    if (app->clock_unix_ms != 0) {
        return false;
    }
    return app->config.tls != SMTP_TLS_OFF || (app->config.sntp[0].host[0] != '\0' &&
                                               app->platform.board->millis() < CLOCK_WAIT_MS_MAX);
}

const char *app_blocked(struct app *app, enum sender_stage *stage)
{
    struct network_status status;

    *stage = SENDER_LINK;
    if (!app->config_valid) {
        return "there is no valid configuration";
    }
    if (app->network_problem != NULL) {
        return app->network_problem;
    }
    app->platform.network_status(&status);
    if (!status.link_up) {
        return "the network link is down: check the cable";
    }
    *stage = SENDER_ADDRESS;
    if (status.address == 0) {
        return status.dhcp ? "no address yet from DHCP" : "no address is configured";
    }
    *stage = SENDER_CLOCK;
    if (clock_is_needed(app)) {
        return app->config.sntp[0].host[0] != '\0'
                   ? "the time is not known yet: no answer from SNTP"
                   : "the time is not known, and certificates cannot be checked: `sntp` is off";
    }
    *stage = SENDER_TLS;
    if (app->config.tls != SMTP_TLS_OFF && !random_ready(&app->random)) {
        return "no random numbers for TLS: this device has no seed, write one with `make config`";
    }
    return NULL;
}

static bool contains_nocase(const char *string, const char *part)
{
    for (; *string != '\0'; string++) {
        if (text_starts_nocase(string, part)) {
            return true;
        }
    }
    return false;
}

static bool syslog_wanted(const struct config *config, const struct alert *alert)
{
    return alert->severity <= config->syslog_severity &&
           (config->syslog_facilities & (1u << (alert->facility & 31))) != 0 &&
           (config->syslog_match[0] == '\0' ||
            contains_nocase(alert->text, config->syslog_match)) &&
           (config->syslog_ignore[0] == '\0' ||
            !contains_nocase(alert->text, config->syslog_ignore));
}

void app_datagram(void *context, const char *bytes, size_t size, uint32_t sender)
{
    struct app *app = context;
    struct alert alert;
    struct text text;
    int taken;

    app->syslog.received++;
    memset(&alert, 0, sizeof alert);
    if (syslog_parse(&alert, bytes, size) < 0) {
        app->syslog.malformed++;
        return;
    }
    if (!syslog_wanted(&app->config, &alert)) {
        app->syslog.filtered++;
        return;
    }
    text = text_begin(alert.sender, sizeof alert.sender);
    text_add_ipv4(&text, sender);
    taken = app_alert(app, &alert);
    app->syslog.taken += taken >= 0;
    if (taken >= 0 && taken < POLICY_REPEATED) { /* A storm would fill the log. */
        app_log(app, "alert %u from %s: %s: %s", (unsigned)alert.sequence, alert.sender,
                severity_name(alert.severity), alert.text);
    }
}

/* One alert tells all of a link's ups and downs until it is sent. */
static void link_alert(struct app *app, const char *what)
{
    int sequence;

    app_log(app, "%s", what);
    if (!app->config.alert_link || !app->config_valid) {
        return;
    }
    sequence = app_device_alert(app, SEVERITY_WARNING, "link", what);
    if (sequence <= 0 || (uint32_t)sequence == app->link_alert) {
        return; /* The old one still tells most of it, or counts this one. */
    }
    /* A power cut between the two leaves both. */
    if (app->link_alert != 0 &&
        !(app->sender.have_item && app->sender.item.sequence == app->link_alert)) {
        (void)queue_remove(&app->queue, app->link_alert, QUEUE_SUPERSEDED, 0);
    }
    app->link_alert = (uint32_t)sequence;
}

/* Not inlined: its frame is no part of the stack while a handshake runs. */
__attribute__((noinline)) static void link_changed(struct app *app, bool up)
{
    char what[LINE_BYTES];
    struct text text = text_begin(what, sizeof what);
    uint64_t now_ms = app->platform.board->millis();
    struct queue_item item;

    if (!queue_find(&app->queue, app->link_alert, &item)) {
        app->link_alert = 0;
        app->link_flaps = 0;
    }
    if (!up) {
        app->link_down_ms = now_ms;
        app->link_flaps++;
        text_add(&text, "network link down");
    } else {
        text_format(&text, "network link up again after %u s",
                    (unsigned)text_seconds(now_ms - app->link_down_ms));
    }
    if (app->link_flaps > 1) {
        text_format(&text, "; it went down %u times", (unsigned)app->link_flaps);
    }
    link_alert(app, what);
}

static void address_said(struct app *app, const struct network_status *status)
{
    char address[16];
    struct text text = text_begin(address, sizeof address);

    if (status->address == 0 || app->address_said) {
        app->address_said = status->address != 0;
        return;
    }
    app->address_said = true;
    text_add_ipv4(&text, status->address);
    app_log(app, "network: address %s %s", address, status->dhcp ? "from DHCP" : "as configured");
}

static void follow_network(struct app *app)
{
    struct network_status status;

    app->platform.network_status(&status);
    if (!app->link_seen && status.link_up) {
        app->link_seen = true; /* The first link of a boot is no news. */
        app->link_was_up = true;
    } else if (app->link_seen && status.link_up != app->link_was_up) {
        app->link_was_up = status.link_up;
        link_changed(app, status.link_up);
    }
    address_said(app, &status);
}

/* What will not arrive is told by an alert of its own; not before a mail got out since the last
 * one, lest reports of reports go round, and not while they would displace others. */
static void report_lost(struct app *app)
{
    struct queue_books *books = &app->queue.books;
    uint32_t lost = books->refused + books->expired + books->displaced;
    uint64_t now_ms = app->platform.board->millis();
    char what[LINE_BYTES];

    if (lost == books->reported || now_ms < app->report_ms ||
        books->accepted == app->report_accepted || app->queue.count > QUEUE_MAX / 2 ||
        app->queue.live_bytes > journal_room(&app->journal) / 2) {
        return;
    }
    text_print(what, sizeof what,
               "alerts that did not arrive, in all: refused for ever by the mail server %u, given "
               "up %u, displaced since the queue was full %u; see `queue`",
               (unsigned)books->refused, (unsigned)books->expired, (unsigned)books->displaced);
    app->report_accepted = books->accepted;
    app->report_ms = now_ms + REPORT_MS_MIN;
    if (app_device_alert(app, SEVERITY_ERROR, "queue", what) > 0) {
        books->reported = lost;
        app->books_changed = true;
    }
}

/* The last known time and the counters, for the next boot. */
static void checkpoint(struct app *app)
{
    uint64_t now_ms = app->platform.board->millis();

    if (app->clock_unix_ms != 0 && now_ms >= app->checkpoint_ms) {
        app->checkpoint_ms = now_ms + CHECKPOINT_MS;
        (void)queue_checkpoint(&app->queue);
    } else if (app->books_changed && now_ms >= app->books_ms) {
        app->books_changed = false;
        app->books_ms = now_ms + BOOKS_MS_MIN;
        (void)queue_checkpoint(&app->queue);
    }
}

void app_test(struct app *app)
{
    app->test = TEST_WAITING;
    app->test_began_ms = app->platform.board->millis();
}

/* Not inlined: its frame is no part of the stack while a handshake runs. */
__attribute__((noinline)) static void test_blocked(struct app *app, const char *blocked,
                                                   enum sender_stage stage)
{
    struct sender_report report = {.is_test = true};

    for (unsigned i = 0; i <= (unsigned)stage; i++) {
        report.stage = (enum sender_stage)i;
        report.ok = i < (unsigned)stage;
        report.detail = report.ok ? "" : blocked;
        report.ms = report.ok ? 0 : (uint32_t)(app->platform.board->millis() - app->test_began_ms);
        if (i <= SENDER_CLOCK || !report.ok) {
            test_line(app, &report);
        }
    }
    test_end(app, blocked);
}

static void test_poll(struct app *app)
{
    uint64_t now_ms = app->platform.board->millis();
    enum sender_stage stage;
    const char *blocked;

    if (app->test != TEST_NONE && now_ms - app->test_began_ms > TEST_MS_MAX) {
        test_end(app, "the test took too long");
    }
    if (app->test == TEST_RUNNING && !app->sender.is_test) {
        test_end(app, "the link was lost for a moment, try again");
    }
    if (app->test != TEST_WAITING || app->sender.running) {
        return;
    }
    blocked = app_blocked(app, &stage);
    if (blocked != NULL) {
        bool may_come = stage == SENDER_ADDRESS || stage == SENDER_CLOCK;

        if (!may_come || now_ms - app->test_began_ms > TEST_WAIT_MS_MAX) {
            test_blocked(app, blocked, stage);
        }
        return;
    }
    if (app_test_alert(app, "console", "test",
                       "A test from the console: alerts from this device arrive.",
                       &app->test_sequence) < 0) {
        test_end(app, "the queue is full");
        return;
    }
    app->test = TEST_RUNNING;
    sender_hurry(&app->sender, true);
}

/* The answer to the last command is still to come. */
static bool answer_comes(const struct app *app)
{
    return app->test != TEST_NONE || commands_config_waits(app) || roundtrip_waits(app);
}

static bool console_poll(struct app *app)
{
    const char *line;
    int c;

    if ((answer_comes(app) && !roundtrip_waits(app)) ||
        (c = app->platform.board->console_getc()) < 0) {
        return false;
    }
    if (roundtrip_waits(app)) { /* It may take minutes: what is typed ahead gives way to ^C. */
        if (c == CTRL_C) {
            roundtrip_stop(app);
        }
        return true;
    }
    if (commands_config_takes_input(app)) {
        commands_config_input(app, (char)c);
        return true;
    }
    line = console_input(&app->console, (char)c);
    if (line != NULL) {
        app_command(app, line);
        if (!answer_comes(app) && !commands_config_takes_input(app)) {
            console_prompt(&app->console);
        }
    }
    return true;
}

/* One session at a time: mail that is due goes first. */
static bool mail_poll(struct app *app)
{
    struct sender_now now = {.now_ms = app->platform.board->millis(), .unix_ms = app_unix_ms(app)};
    struct network_status status;
    char address[16];
    struct text text = text_begin(address, sizeof address);
    bool running = app->sender.running || app->poller.running;
    bool polls = app->config.pop3.host[0] != '\0' && now.now_ms >= app->poller.next_ms;
    bool moved = false;

    if (!running &&
        ((app->queue.count == 0 && !polls) || app->reboot_ms != 0 || commands_config_holds(app))) {
        return false;
    }
    app->platform.network_status(&status);
    text_add_ipv4(&text, status.address);
    now.address = address;
    now.blocked = app_blocked(app, &now.blocked_stage);
    if (!app->poller.running) {
        moved = sender_poll(&app->sender, &now);
    }
    if (!app->sender.running) {
        moved |= poller_poll(app, &now);
    }
    return moved;
}

/* A digest that is due becomes an alert of the device's own. */
static bool storm_poll(struct app *app)
{
    uint64_t now_ms = app->platform.board->millis();
    struct alert digest;

    if (now_ms < policy_deadline(&app->policy)) {
        return false;
    }
    device_alert_begin(app, &digest, SEVERITY_NOTICE, "digest", "");
    app_stamp(app, &digest);
    return policy_poll(&app->policy, &digest, ALL_RECIPIENTS, now_ms);
}

void app_reboot(struct app *app)
{
    app->reboot_ms = app->platform.board->millis() + REBOOT_MS;
}

bool app_poll(struct app *app)
{
    bool moved = console_poll(app);

    follow_network(app);
    report_lost(app);
    checkpoint(app);
    moved |= storm_poll(app);
    test_poll(app);
    commands_config_poll(app);
    trial_poll(app);
    roundtrip_poll(app);
    mute_poll(app);
    moved |= report_poll(app);
    moved |= mail_poll(app);
    if (app->reboot_ms != 0 && app->platform.board->millis() >= app->reboot_ms) {
        policy_flush(&app->policy, app->platform.board->millis());
        mute_flush(app);
        app->platform.board->reset(RESET_COMMAND);
    }
    return moved;
}

uint32_t app_sleep_ms_max(struct app *app)
{
    uint64_t now_ms = app->platform.board->millis();
    uint64_t deadline_ms = sender_deadline(&app->sender);
    uint64_t policy_ms = policy_deadline(&app->policy);
    uint64_t poller_ms = poller_deadline(app);
    enum sender_stage stage;

    if (!app->sender.running && !app->poller.running && app_blocked(app, &stage) != NULL) {
        return SLEEP_MS_MAX;
    }
    deadline_ms = app->poller.running ? poller_ms : deadline_ms;
    deadline_ms = policy_ms < deadline_ms ? policy_ms : deadline_ms;
    if (poller_ms > now_ms && poller_ms < deadline_ms) { /* Else something is in its way. */
        deadline_ms = poller_ms;
    }
    if (deadline_ms <= now_ms) {
        return 1;
    }
    return deadline_ms - now_ms < SLEEP_MS_MAX ? (uint32_t)(deadline_ms - now_ms) : SLEEP_MS_MAX;
}
