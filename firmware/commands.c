/* commands.c - what a person can type. Every answer ends in a line `ok` or `error: ...`. */
#include "firmware/app.h"
#include "net/text.h"

#include <string.h>

#define LINE_BYTES 320
#define ARGUMENT_BYTES 24

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
              (unsigned)(up_s / 60 % 60), (unsigned)(up_s % 60), (unsigned)app->store.boot_count,
              app_reset_cause(app));
    if (hw->reset_detail()[0] != '\0') {
        app_print(app, "         %s", hw->reset_detail());
    }
    if (app_unix_ms(app) == 0) {
        app_print(app, "clock    not known yet");
    } else {
        text_add_time(&text, text_seconds(app_unix_ms(app)), app->config.zone_minutes);
        app_print(app, "clock    %s from %s", time, app->clock_source);
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
}

static void status_mail(struct app *app)
{
    static const char *const tls[] = {"TLS on connect", "STARTTLS", "in clear, as configured"};
    const struct sender *sender = &app->sender;
    char line[LINE_BYTES];
    struct text text;
    enum sender_stage stage;
    const char *blocked = app_blocked(app, &stage);

    if (app->config_valid) {
        app_print(app, "server   %s:%u, %s%s%s", app->config.mailhub.host, app->config.mailhub.port,
                  tls[app->config.tls], sender->last_peer[0] != '\0' ? ", last at " : "",
                  sender->last_peer);
    } else {
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

static void queue_summary(struct app *app, const char *title)
{
    char line[LINE_BYTES];
    struct text text = text_begin(line, sizeof line);
    struct queue_item item;
    uint64_t now_ms = app->platform.board->millis();
    uint64_t due_ms = sender_deadline(&app->sender);
    unsigned refused = 0;

    for (unsigned i = 0; queue_item(&app->queue, i, &item); i++) {
        refused += item.refused ? 1 : 0;
    }
    text_format(&text, "%swaiting %u, refused %u, displaced %u", title, app->queue.count - refused,
                refused, (unsigned)app->queue.displaced);
    if (queue_item(&app->queue, 0, &item)) {
        text_format(&text, ", oldest %u s", (unsigned)text_seconds(now_ms - item.uptime_ms));
    }
    if (due_ms != UINT64_MAX && app->queue.count > refused && !app->sender.running) {
        text_format(&text, ", next try in %u s",
                    (unsigned)(due_ms > now_ms ? text_seconds(due_ms - now_ms + 999) : 0));
    }
    app_print(app, "%s", line);
}

static void status_input(struct app *app)
{
    queue_summary(app, "queue    ");
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
                  (unsigned)app->store.config_sequence, (unsigned)app->store.config_size,
                  app->config.ca_count, app->tls_problem != NULL ? ": " : "",
                  app->tls_problem != NULL ? app->tls_problem : "");
    } else {
        app_print(app, "config   %s", app_config_problem(app));
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
    status_input(app);
    return NULL;
}

static const char *run_alert(struct app *app, const char *arguments)
{
    char word[ARGUMENT_BYTES];
    const char *what = take_word(arguments, word, sizeof word);
    int severity = severity_parse(word);
    struct text text;
    struct alert alert;
    int sequence;

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
    sequence = app_alert(app, &alert);
    if (sequence == E_CONFIG) {
        return "there is no recipient: no valid configuration";
    }
    if (sequence < 0) {
        return "the queue is full of more severe alerts";
    }
    app_print(app, "alert %u is queued", (unsigned)sequence);
    return NULL;
}

static const char *run_test(struct app *app, const char *arguments)
{
    (void)arguments;
    if (!app->config_valid) {
        return "there is no valid configuration";
    }
    app_test(app);
    return pending;
}

static void queue_line(struct app *app, const struct queue_item *item, const struct alert *alert)
{
    char when[32];
    uint64_t now_ms = app->platform.board->millis();

    if (item->refused) {
        text_copy(when, sizeof when, "refused by the server");
    } else if (item->due_ms > now_ms) {
        text_print(when, sizeof when, "next in %u s",
                   (unsigned)text_seconds(item->due_ms - now_ms + 999));
    } else {
        text_copy(when, sizeof when, "due");
    }
    app_print(app, "  %u %s, tries %u, %s: %s", (unsigned)item->sequence,
              severity_name(item->severity), item->attempts, when, alert->text);
}

static const char *queue_list(struct app *app)
{
    struct queue_item item;
    struct alert alert;

    for (unsigned i = 0; queue_item(&app->queue, i, &item); i++) {
        if (queue_alert(&app->queue, item.sequence, &alert) == 0) {
            queue_line(app, &item, &alert);
        }
    }
    queue_summary(app, "");
    return NULL;
}

static const char *queue_retry(struct app *app)
{
    struct queue_item item;

    for (unsigned i = 0; queue_item(&app->queue, i, &item); i++) {
        item.refused = false;
        item.due_ms = 0;
        queue_update(&app->queue, &item);
    }
    sender_hurry(&app->sender, false);
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
    if (text_equal_nocase(word, "drop") && text_parse_u32(rest, UINT32_MAX, &sequence)) {
        if (app->sender.have_item && app->sender.item.sequence == sequence) {
            return "that alert is being sent right now";
        }
        return queue_remove(&app->queue, sequence) < 0 ? "no alert has that number" : NULL;
    }
    return "expected `queue`, `queue retry` or `queue drop NUMBER`";
}

static const char *run_config(struct app *app, const char *arguments)
{
    char line[LINE_BYTES];

    if (!text_equal_nocase(arguments, "show")) {
        return "expected `config show`";
    }
    if (!app->config_valid) {
        app_print(app, "# no valid configuration: these are the defaults");
    }
    for (unsigned i = 0; config_show_line(&app->config, i, line, sizeof line) > 0; i++) {
        app_print(app, "%s", line);
    }
    return NULL;
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
    if (app->queue.count > 0) {
        app_print(app, "warning: what is still in the queue does not survive");
    }
    app->reboot_ms = app->platform.board->millis() + 100; /* The answer gets out first. */
    return NULL;
}

static const char *run_crash(struct app *app, const char *arguments)
{
    if (!text_equal_nocase(arguments, "now")) {
        return "expected `crash now`; it raises a CPU fault, and the device resets";
    }
    app_print(app, "raising a fault");
    __builtin_trap();
}

static const char *run_help(struct app *app, const char *arguments);

static const struct command commands[] = {
    {"help", "", "this list", run_help},
    {"status", "", "device, network, server, queue", run_status},
    {"alert", "SEVERITY TEXT", "send an alert", run_alert},
    {"test", "", "send a test mail and show each stage", run_test},
    {"queue", "[retry | drop NUMBER]", "what waits to be sent", run_queue},
    {"config", "show", "the settings in force, secrets masked", run_config},
    {"log", "", "the last lines that the device logged", run_log},
    {"reboot", "", "reset the device", run_reboot},
    {"crash", "now", "raise a fault, to see how it is reported", run_crash},
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

static const char *dispatch(struct app *app, const char *line)
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

void app_command(struct app *app, const char *line)
{
    const char *error;

    if (skip_blanks(line)[0] == '\0') {
        return;
    }
    error = dispatch(app, line);
    if (error == NULL) {
        app_print(app, "ok");
    } else if (error != pending) {
        app_print(app, "error: %s", error);
    }
}
