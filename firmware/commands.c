/* commands.c - what a person can type. Every answer ends in a line `ok` or `error: ...`. */
#include "firmware/app.h"
#include "firmware/mute.h"
#include "firmware/report.h"
#include "net/text.h"

#include <string.h>

#define LINE_BYTES 320
#define ARGUMENT_BYTES 24
#define LISTED_MAX 60 /* A serial line takes its time. */
#define POLL_FAST_S_MAX 604800
#define NUMBER(n) NUMBER_(n)
#define NUMBER_(n) #n

struct command {
    const char *name;
    const char *arguments;
    const char *help;
    const char *(*run)(struct app *app, const char *arguments); /* NULL: ok; else the error. */
};

/* A command that answers later (`test`) returns this. */
static const char pending[] = "";

static const char *skip_blanks(const char *string)
{
    while (*string == ' ' || *string == '\t') {
        string++;
    }
    return string;
}

/* Copies the first word of string to word; returns what follows it. */
static const char *take_word(const char *string, char *word, size_t size)
{
    struct text text = text_begin(word, size);

    string = skip_blanks(string);
    while (*string != '\0' && *string != ' ' && *string != '\t') {
        text_add_char(&text, *string++);
    }
    return skip_blanks(string);
}

static void status_device(struct app *app)
{
    const struct board *hw = app->platform.board;
    uint32_t up_s = text_seconds(hw->millis());
    char time[32];
    struct text text = text_begin(time, sizeof time);

    app_print(app,
              "device   tocsin " TOCSIN_VERSION
              " on %s, up %u d %02u:%02u:%02u, boot %u, reset by %s",
              hw->name, (unsigned)(up_s / 86400), (unsigned)(up_s / 3600 % 24),
              (unsigned)(up_s / 60 % 60), (unsigned)(up_s % 60), (unsigned)app->journal.boot_count,
              app_reset_cause(app));
    if (hw->reset_detail()[0] != '\0') {
        app_print(app, "         %s", hw->reset_detail());
    }
    app_print(app, "         id %s", app->device_id);
    if (app_unix_ms(app) == 0) {
        app_print(app, "clock    not known yet");
    } else {
        text_add_time(&text, text_seconds(app_unix_ms(app)), app->config.zone_minutes);
        app_print(app, "clock    %s from %s, last moved by %s%u ms", time, app->clock_source,
                  app->clock_offset_ms < 0 ? "-" : "",
                  app->clock_offset_ms < 0 ? 0u - (unsigned)app->clock_offset_ms
                                           : (unsigned)app->clock_offset_ms);
    }
    app_print(app, "stack    %u of %u bytes used at most", (unsigned)hw->stack_used_max(),
              (unsigned)hw->stack_bytes());
}

static void status_network(struct app *app)
{
    struct network_status network;
    char line[LINE_BYTES];
    struct text text = text_begin(line, sizeof line);

    if (app->network_problem != NULL) {
        app_print(app, "network  %s", app->network_problem);
        return;
    }
    app->platform.network_status(&network);
#ifdef TOCSIN_HOSTED
    text_add_ipv4(&text, network.address); /* The rest is the system's. */
    app_print(app, "network  link %s, %s", network.link_up ? "up" : "down", line);
#else
    if (network.address == 0) {
        text_add(&text, "no address");
    } else {
        text_add_ipv4(&text, network.address);
        text_add(&text, network.dhcp ? " by DHCP, gateway " : " as configured, gateway ");
        text_add_ipv4(&text, network.gateway);
        text_add(&text, ", DNS ");
        text_add_ipv4(&text, network.dns[0]);
    }
    text_add(&text, ", MAC");
    for (unsigned i = 0; i < 6; i++) {
        text_add_char(&text, i > 0 ? ':' : ' ');
        text_add_hex(&text, network.mac[i], 2);
    }
    app_print(app, "network  link %s, %s", network.link_up ? "up" : "down", line);
    app_print(app, "         frames received %u, sent %u, dropped in %u, out %u",
              (unsigned)network.rx_frames, (unsigned)network.tx_frames,
              (unsigned)network.rx_dropped, (unsigned)network.tx_dropped);
#endif
}

/* By enum smtp_tls; then what STARTTLS is called in POP3. */
static const char *const tls[] = {"TLS on connect", "STARTTLS", "in clear, as configured", "STLS"};

static void status_mail(struct app *app)
{
    const struct sender *sender = &app->sender;
    char line[LINE_BYTES];
    struct text text;
    enum sender_stage stage;
    const char *blocked = app_blocked(app, &stage);

    for (unsigned i = 0; app->config_valid && i < config_servers(&app->config); i++) {
        struct config_server server;
        bool last = sender->server == i && sender->last_peer[0] != '\0';

        config_server(&app->config, i, &server);
        app_print(app, "%s %s:%u, %s%s%s", i == 0 ? "server  " : "second  ", server.endpoint->host,
                  server.endpoint->port, tls[server.tls], last ? ", last at " : "",
                  last ? sender->last_peer : "");
    }
    if (!app->config_valid) {
        app_print(app, "server   none: there is no valid configuration");
    }
    sender_describe_tls(sender, line, sizeof line);
    if (line[0] != '\0') {
        app_print(app, "         %s", line);
    }
    text = text_begin(line, sizeof line);
    if (sender->last_accepted_unix_s != 0) {
        text_add(&text, ", last ");
        text_add_time(&text, sender->last_accepted_unix_s, app->config.zone_minutes);
    }
    app_print(app, "sent     accepted %u, failures %u, connections %u, TLS resumed %u%s",
              (unsigned)sender->accepted, (unsigned)sender->failed, (unsigned)sender->sessions,
              (unsigned)sender->resumed, line);
    app_print(app, "error    %s", sender->last_error[0] != '\0' ? sender->last_error : "none");
    if (blocked != NULL) {
        app_print(app, "waits    %s", blocked);
    }
}

/* "3 h 5 min": people's words for a time since or until. */
static void add_duration(struct text *text, uint32_t seconds)
{
    if (seconds < 120) {
        text_format(text, "%u s", (unsigned)seconds);
    } else if (seconds < 7200) {
        text_format(text, "%u min", (unsigned)(seconds / 60));
    } else if (seconds < 172800) {
        text_format(text, "%u h", (unsigned)(seconds / 3600));
    } else {
        text_format(text, "%u days", (unsigned)(seconds / 86400));
    }
}

static void add_until(struct app *app, struct text *text, const char *what, uint64_t ms)
{
    uint64_t now_ms = app->platform.board->millis();

    text_add(text, what);
    add_duration(text, ms > now_ms ? text_seconds(ms - now_ms + 999) : 0);
}

static void status_orders(struct app *app)
{
    if (authority_on(&app->authority)) {
        app_print(app, "orders   taken %u, refused %u, counter %u, one-time passwords left %u",
                  (unsigned)app->authority.taken, (unsigned)app->authority.refused,
                  (unsigned)app->authority.counter, (unsigned)authority_otp_left(&app->authority));
    }
    if (app->diary.bounced > 0) {
        app_print(app, "bounced  %u alerts came back, last %u: %s", (unsigned)app->diary.bounced,
                  (unsigned)app->diary.bounced_number, app->diary.bounced_status);
    }
}

static const char *list_mutes(struct app *app)
{
    for (size_t i = 0; i < DIARY_MUTES_MAX; i++) {
        const struct diary_mute *mute = &app->diary.mutes[i];
        char time[32];
        struct text text = text_begin(time, sizeof time);

        if (mute->source[0] != '\0') {
            text_add_time(&text, mute->until_unix_s, app->config.zone_minutes);
            app_print(app, "muted    %s until %s, kept back %u", mute->source, time,
                      (unsigned)mute->count);
        }
    }
    return NULL;
}

static void status_mailbox(struct app *app)
{
    const struct config *config = &app->config;
    const struct poller *poller = &app->poller;
    char line[LINE_BYTES];
    struct text text = text_begin(line, sizeof line);

    if (config->pop3.host[0] == '\0') {
        app_print(app, "mailbox  none");
        return;
    }
    text_format(&text, "mailbox  %s:%u, %s", config->pop3.host, config->pop3.port,
                tls[config->pop3_tls == SMTP_TLS_STARTTLS ? SMTP_TLS_OFF + 1 : config->pop3_tls]);
    if (poller->last_unix_s != 0) {
        text_format(&text, ", messages %u, last ", (unsigned)poller->count);
        text_add_time(&text, poller->last_unix_s, config->zone_minutes);
    }
    if (poller->running) {
        text_add(&text, ", being read");
    } else if (poller->wanted || config->poll_s != 0 || poller->failures > 0) {
        add_until(app, &text, ", next in ", poller->next_ms);
    }
    app_print(app, "%s", line);
    app_print(app, "         polls %u, failed %u, orders %u, refused %u%s%s",
              (unsigned)poller->polls, (unsigned)poller->failed, (unsigned)poller->orders,
              (unsigned)poller->refused, poller->last_error[0] != '\0' ? ": " : "",
              poller->last_error);
    status_orders(app);
}

/* How long ago it happened; 0: not known, it was in another boot without a clock. */
static uint32_t age_s(struct app *app, const struct queue_item *item)
{
    uint64_t unix_ms = app_unix_ms(app);
    uint64_t now_ms = app->platform.board->millis();

    if (item->boot_count == app->journal.boot_count && item->uptime_ms <= now_ms) {
        return text_seconds(now_ms - item->uptime_ms);
    }
    if (item->unix_s != 0 && unix_ms > item->unix_s * 1000) {
        return text_seconds(unix_ms - item->unix_s * 1000);
    }
    return 0;
}

/* The oldest alert that is still to be sent, and how many are of each kind. */
static bool count_queue(struct app *app, unsigned *waiting, unsigned *given_up,
                        struct queue_item *oldest)
{
    bool any = false;

    *given_up = queue_given_up(&app->queue);
    *waiting = app->queue.count - *given_up;
    for (unsigned i = 0; *waiting > 0 && !any && queue_item(&app->queue, i, oldest); i++) {
        any = !oldest->refused;
    }
    return any;
}

static void queue_summary(struct app *app, const char *title)
{
    char line[LINE_BYTES];
    struct text text = text_begin(line, sizeof line);
    struct queue_item oldest;
    uint64_t due_ms = sender_try_ms(&app->sender);
    unsigned waiting, given_up;
    bool any = count_queue(app, &waiting, &given_up, &oldest);
    enum sender_stage stage;

    text_format(&text, "%swaiting %u, given up %u, displaced %u", title, waiting, given_up,
                (unsigned)app->queue.books.displaced);
    if (any) {
        text_format(&text, ", oldest %u", (unsigned)oldest.sequence);
    }
    if (any && age_s(app, &oldest) > 0) {
        text_add(&text, " for ");
        add_duration(&text, age_s(app, &oldest));
    }
    if (due_ms != UINT64_MAX && any && !app->sender.running && app_blocked(app, &stage) == NULL) {
        add_until(app, &text, ", next try in ", due_ms);
    }
    app_print(app, "%s", line);
}

#define ENDURANCE 100000 /* Erases a block: what data sheets of SPI and CFI NOR promise. */
#define YEARS_SHOWN_MAX 1000

/* How many years the ring lasts if as much is programmed as since the start; the worst block
 * counts. 0: less than one. */
static uint32_t years_left(struct app *app, const struct journal_wear *wear, uint32_t hours)
{
    uint32_t block_kb = app->platform.board->flash->erase_bytes / 1024;
    uint32_t worn = wear->max < ENDURANCE ? wear->max : ENDURANCE;
    uint32_t left_kb = (ENDURANCE - worn) * (wear->blocks * block_kb / 16) * 16;
    uint32_t kb_an_hour = app->journal.bytes_programmed / hours / 1024 + 1; /* Rounded up. */
    uint32_t kb_a_year = kb_an_hour < UINT32_MAX / 8766 ? kb_an_hour * 8766 : UINT32_MAX;

    return left_kb / kb_a_year;
}

/* Wear, and what the rate since the start leaves. */
static void status_flash(struct app *app)
{
    char line[LINE_BYTES];
    struct text text = text_begin(line, sizeof line);
    uint32_t hours = text_seconds(app->platform.board->millis()) / 3600;
    struct journal_wear wear;

    if (app->journal.problem != NULL) {
        app_print(app, "flash    %s; alerts are kept in RAM", app->journal.problem);
        return;
    }
    journal_wear(&app->journal, &wear);
    text_format(&text, "flash    %u blocks, erased %u to %u times of " NUMBER(ENDURANCE),
                (unsigned)wear.blocks, (unsigned)wear.min, (unsigned)wear.max);
    if (hours == 0) {
        text_add(&text, "; the years left are known after an hour");
    } else {
        uint32_t years = years_left(app, &wear, hours);

        text_format(&text, "; %s%u years left at the rate since the start",
                    years > YEARS_SHOWN_MAX ? "over " : "",
                    (unsigned)(years > YEARS_SHOWN_MAX ? YEARS_SHOWN_MAX : years));
    }
    app_print(app, "%s", line);
    app_print(app, "         since the start %u bytes programmed, %u blocks erased",
              (unsigned)app->journal.bytes_programmed, (unsigned)app->journal.blocks_erased);
}

static void status_queue(struct app *app)
{
    const struct queue_books *books = &app->queue.books;

    queue_summary(app, "queue    ");
    app_print(app,
              "         in all accepted %u, refused %u, expired %u, repeated %u, in digests %u, "
              "dropped %u",
              (unsigned)books->accepted, (unsigned)books->refused, (unsigned)books->expired,
              (unsigned)books->repeated, (unsigned)books->folded, (unsigned)books->dropped);
    status_flash(app);
}

static void status_input(struct app *app)
{
    uint64_t now_ms = app->platform.board->millis();

    status_queue(app);
    if (app->config.syslog_port == 0) {
        app_print(app, "syslog   off");
    } else {
        app_print(app, "syslog   port %u, received %u, taken %u, filtered %u, malformed %u",
                  app->config.syslog_port, (unsigned)app->syslog.received,
                  (unsigned)app->syslog.taken, (unsigned)app->syslog.filtered,
                  (unsigned)app->syslog.malformed);
    }
    if (app->config_valid) {
        app_print(app, "config   number %u, %u bytes, %u CA certificates%s%s",
                  (unsigned)app->slots.sequence, (unsigned)app->slots.size, app->config.ca_count,
                  app->tls_problem != NULL ? ": " : "",
                  app->tls_problem != NULL ? app->tls_problem : "");
    } else {
        app_print(app, "config   %s", app_config_problem(app));
    }
    if (app->trial.deadline_ms > now_ms) {
        app_print(app, "         on trial: it is kept when a mail is accepted within %u s",
                  (unsigned)text_seconds(app->trial.deadline_ms - now_ms));
    }
    if (app->random_problem != NULL) {
        app_print(app, "random   %s", app->random_problem);
    }
}

static const char *run_status(struct app *app, const char *arguments)
{
    (void)arguments;
    status_device(app);
    status_network(app);
    status_mail(app);
    status_mailbox(app);
    (void)list_mutes(app);
    status_input(app);
    return NULL;
}

static const char *run_alert(struct app *app, const char *arguments)
{
    char word[ARGUMENT_BYTES];
    const char *what = take_word(arguments, word, sizeof word);
    int severity = severity_parse(word);
    /* By what app_alert() returns. */
    static const char what_became[] = "queued\0"
                                      "queued, and waits for others like it\0"
                                      "queued, for the next digest\0"
                                      "one like it, and counts it\0"
                                      "none: its source is muted, and counts it";
    struct text text;
    struct queue_item item;
    struct alert alert;
    bool in_ram;
    int result;

    if (severity < 0) {
        return "expected `alert SEVERITY TEXT` with emerg, alert, crit, err, warning, notice, info "
               "or debug";
    }
    if (what[0] == '\0') {
        return "an alert needs a text";
    }
    memset(&alert, 0, sizeof alert);
    alert.severity = (uint8_t)severity;
    alert.facility = 255;
    text_copy(alert.source, sizeof alert.source, "console");
    text_copy(alert.host, sizeof alert.host, app->config.hostname);
    text = text_begin(alert.text, sizeof alert.text);
    text_add_printable(&text, what, strlen(what));
    result = app_alert(app, &alert);
    if (result == E_CONFIG) {
        return "there is no recipient: no valid configuration";
    }
    if (result < 0) {
        return "the queue is full of more severe alerts";
    }
    in_ram = queue_find(&app->queue, alert.sequence, &item) && item.volatile_;
    app_print(app, "alert %u is %s%s", (unsigned)alert.sequence,
              text_item(what_became, (size_t)result),
              in_ram ? ", in RAM only: flash does not take it" : "");
    return NULL;
}

static const char *run_test(struct app *app, const char *arguments)
{
    const char *problem;

    if (text_equal_nocase(arguments, "--round-trip")) {
        problem = roundtrip_begin(app, false);
        return problem != NULL ? problem : pending;
    }
    if (arguments[0] != '\0') {
        return "expected `test` or `test --round-trip`";
    }
    if (!app->config_valid) {
        return "there is no valid configuration";
    }
    app_test(app);
    return pending;
}

/* Where an alert is on its way, for people. */
static void describe_state(struct app *app, const struct queue_item *item, char *out, size_t size)
{
    struct text text = text_begin(out, size);
    uint64_t now_ms = app->platform.board->millis();

    if (item->event == QUEUE_EXPIRED) {
        text_add(&text, "given up: too old");
    } else if (item->refused) {
        text_add(&text, "refused by the server");
        if (item->code != 0) {
            text_format(&text, " with %u", (unsigned)item->code);
        }
    } else if (item->folded) {
        text_add(&text, "waits for a digest");
    } else if (app->sender.have_item && app->sender.item.sequence == item->sequence) {
        text_add(&text, "being sent");
    } else if (item->due_ms > now_ms) {
        add_until(app, &text, "next in ", item->due_ms);
    } else {
        text_add(&text, "due");
    }
    if (item->event == QUEUE_TRYING && !item->refused) {
        text_add(&text, ", sent without answer");
    }
    if (item->volatile_) {
        text_add(&text, ", in RAM only");
    }
}

/* The alert as it is shown here: of a mail's text, the first line. False: it is gone. */
static bool read_shown(struct app *app, uint32_t sequence, struct alert *alert)
{
    if (queue_alert(&app->queue, sequence, alert) < 0) {
        return false;
    }
    alert->text[strcspn(alert->text, "\n")] = '\0';
    return true;
}

static const char *queue_list(struct app *app)
{
    struct queue_item item;
    struct alert alert;
    char state[80];

    for (unsigned i = 0; i < LISTED_MAX && queue_item(&app->queue, i, &item); i++) {
        if (read_shown(app, item.sequence, &alert)) {
            describe_state(app, &item, state, sizeof state);
            app_print(app, "  %u %s, tries %u, %s: %s", (unsigned)item.sequence,
                      answer_is(&alert) ? alert.app : severity_name(item.severity), item.attempts,
                      state, alert.text);
        }
    }
    if (app->queue.count > LISTED_MAX) {
        app_print(app, "  ... and %u younger ones", app->queue.count - LISTED_MAX);
    }
    queue_summary(app, "");
    return NULL;
}

static void show_time(struct app *app, const char *title, uint64_t unix_s)
{
    char time[32];
    struct text text = text_begin(time, sizeof time);

    if (unix_s != 0) {
        text_add_time(&text, unix_s, app->config.zone_minutes);
        app_print(app, "  %s%s", title, time);
    }
}

static const char *queue_show(struct app *app, uint32_t sequence)
{
    /* By enum queue_event. */
    static const char event[] = "\0queued\0sent without answer\0waiting\0accepted\0refused\0"
                                "expired\0dropped\0displaced\0counted\0to be retried\0superseded";
    struct queue_item item;
    struct alert alert;
    char state[80];

    if (!queue_find(&app->queue, sequence, &item) || !read_shown(app, sequence, &alert)) {
        return "no alert has that number";
    }
    describe_state(app, &item, state, sizeof state);
    app_print(app, "  alert    %u of boot %u, %s", (unsigned)sequence, (unsigned)item.boot_count,
              severity_name(item.severity));
    app_print(app, "  text     %s", alert.text);
    app_print(app, "  from     %s %s %s %s", alert.source, alert.sender, alert.host, alert.app);
    show_time(app, "time     ", item.unix_s);
    if (item.count > 1) {
        app_print(app, "  count    %u", (unsigned)item.count);
        show_time(app, "last     ", item.last_unix_s);
    }
    app_print(app, "  state    %s; tries %u", state, item.attempts);
    if (item.event <= QUEUE_SUPERSEDED) {
        app_print(app, "  event    %s%s", text_item(event, item.event),
                  alert.damaged ? "; damaged in flash" : "");
    }
    show_time(app, "at       ", text_seconds(item.event_unix_ms));
    return NULL;
}

static const char *queue_retry(struct app *app)
{
    struct queue_item item;

    for (unsigned i = 0; queue_item(&app->queue, i, &item); i++) {
        item.due_ms = 0;
        if (item.refused) {
            item.event = QUEUE_RETRIED;
            (void)queue_update(&app->queue, &item);
        } else {
            queue_delay(&app->queue, &item);
        }
    }
    sender_hurry(&app->sender, false);
    return NULL;
}

static const char *drop(struct app *app, uint32_t sequence)
{
    if (app->sender.have_item && app->sender.item.sequence == sequence) {
        return "that alert is being sent right now";
    }
    return queue_remove(&app->queue, sequence, QUEUE_DROPPED, 0) == E_MISSING
               ? "no alert has that number"
               : NULL;
}

static const char *run_ack(struct app *app, const char *arguments)
{
    struct queue_item item;
    uint32_t sequence;
    unsigned i = 0;

    if (text_parse_u32(arguments, UINT32_MAX, &sequence)) {
        return drop(app, sequence);
    }
    if (!text_equal_nocase(arguments, "all")) {
        return "expected `ack NUMBER`, or `ack all` for all that were given up";
    }
    while (queue_item(&app->queue, i, &item)) {
        i += !item.refused || drop(app, item.sequence) != NULL;
    }
    return NULL;
}

static const char *run_mute(struct app *app, const char *arguments)
{
    char source[ALERT_NAME_BYTES], duration[ARGUMENT_BYTES];
    const char *rest = take_word(arguments, source, sizeof source);
    uint32_t seconds;

    if (source[0] == '\0') {
        return list_mutes(app);
    }
    rest = take_word(rest, duration, sizeof duration);
    if (rest[0] != '\0' || !config_seconds_parse(duration, MUTE_S_MAX, &seconds)) {
        return "expected `mute SOURCE TIME` (`mute router1 2h`; 30d at most), or `off` as its time";
    }
    return mute_set(app, source, seconds);
}

static const char *run_poll(struct app *app, const char *arguments)
{
    char duration[ARGUMENT_BYTES];
    const char *rest = take_word(arguments, duration, sizeof duration);
    uint32_t now_s = text_seconds(app_unix_ms(app));
    uint32_t seconds;

    if (app->config.pop3.host[0] == '\0') {
        return "there is no mailbox: set `pop3`, `pop3_user` and `pop3_pass`";
    }
    if (duration[0] == '\0') {
        app->poller.said = true; /* Whoever asks wants to see that it was read. */
        poller_hurry(app);
        return NULL;
    }
    if (rest[0] != '\0' || !config_seconds_parse(duration, POLL_FAST_S_MAX, &seconds)) {
        return "expected a time of at most 7d, as in `poll 2h`, or `poll off`";
    }
    if (now_s == 0) {
        return "the time is not known yet";
    }
    app->diary.fast_until_unix_s = seconds == 0 ? 0 : now_s + seconds;
    poller_hurry(app);
    return diary_save(&app->diary) < 0 ? "flash does not take it: it holds until a reset" : NULL;
}

static const char *run_report(struct app *app, const char *arguments)
{
    char line[LINE_BYTES];
    struct text text = text_begin(line, sizeof line);

    if (text_equal_nocase(arguments, "send")) {
        return answer_queue(app, "report", "as asked for on the console", NULL, NULL, NULL) < 0
                   ? "the queue is full"
                   : NULL;
    }
    if (arguments[0] != '\0') {
        return "expected `report` or `report send`";
    }
    for (unsigned i = 0; report_line(app, i, &text); i++) {
        app_print(app, "%s", line);
        text = text_begin(line, sizeof line);
    }
    return NULL;
}

static const char *run_queue(struct app *app, const char *arguments)
{
    char word[ARGUMENT_BYTES];
    const char *rest = take_word(arguments, word, sizeof word);
    uint32_t sequence;

    if (word[0] == '\0' || text_equal_nocase(word, "list")) {
        return queue_list(app);
    }
    if (text_equal_nocase(word, "retry") && rest[0] == '\0') {
        return queue_retry(app);
    }
    if (text_equal_nocase(word, "show") && text_parse_u32(rest, UINT32_MAX, &sequence)) {
        return queue_show(app, sequence);
    }
    if (text_equal_nocase(word, "drop") && text_parse_u32(rest, UINT32_MAX, &sequence)) {
        return drop(app, sequence);
    }
    return "expected `queue`, `queue show NUMBER`, `queue retry` or `queue drop NUMBER`";
}

static const char *run_log(struct app *app, const char *arguments)
{
    char line[LOG_LINE_BYTES];
    uint16_t at = 0;

    (void)arguments;
    while (log_next(&app->log, &at, line, sizeof line)) {
        app_print(app, "%s", line);
    }
    return NULL;
}

static const char *run_reboot(struct app *app, const char *arguments)
{
    (void)arguments;
    app_reboot(app);
    return NULL;
}

static const char *run_crash(struct app *app, const char *arguments)
{
    if (!text_equal_nocase(arguments, "now")) {
        return "expected `crash now`: the device resets";
    }
    app_print(app, "raising a fault");
    __builtin_trap();
}

static const char *run_help(struct app *app, const char *arguments);

static const struct command commands[] = {
    {"help", "", "this list", run_help},
    {"status", "", "device, network, server, queue", run_status},
    {"alert", "SEVERITY TEXT", "send an alert", run_alert},
    {"test", "[--round-trip]", "send a test mail, show each stage; wait until it is back",
     run_test},
    {"queue", "[show N | retry | drop N]", "what waits to be sent", run_queue},
    {"ack", "N | all", "drop an alert, or all that were given up", run_ack},
    {"mute", "[SOURCE TIME | off]", "keep back alerts of a host, app or address", run_mute},
    {"poll", "[TIME | off]", "read the mailbox now; often for so long", run_poll},
    {"report", "[send]", "how the device is, as it is mailed", run_report},
    {"config", "show | set | import | ...", "settings: see, change, try, take back",
     commands_config},
    {"log", "", "the last lines that the device logged", run_log},
    {"reboot", "", "reset the device", run_reboot},
    {"crash", "now", "raise a CPU fault, to see its report", run_crash},
};

static const char *run_help(struct app *app, const char *arguments)
{
    (void)arguments;
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        char usage[32];
        struct text text = text_begin(usage, sizeof usage);

        text_format(&text, "%s %s", commands[i].name, commands[i].arguments);
        while (!text.cut) {
            text_add_char(&text, ' ');
        }
        app_print(app, "  %s%s", usage, commands[i].help);
    }
    return NULL;
}

const char *app_run(struct app *app, const char *line)
{
    char word[ARGUMENT_BYTES];
    const char *arguments = take_word(line, word, sizeof word);

    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (text_equal_nocase(word, commands[i].name)) {
            return commands[i].run(app, arguments);
        }
    }
    return "no such command; `help` lists them";
}

void app_answer(struct app *app, const char *error)
{
    if (app->capture.out != NULL) {
        return; /* Only what it printed is wanted. */
    }
    if (error == NULL) {
        app_print(app, "ok");
    } else if (error[0] != '\0') {
        app_print(app, "error: %s", error);
    }
}

void app_command(struct app *app, const char *line)
{
    if (skip_blanks(line)[0] != '\0') {
        app_answer(app, app_run(app, line));
    }
}
