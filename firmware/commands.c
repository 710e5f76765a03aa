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

static void add_ago(struct text *text, uint64_t ms)
{
    uint64_t seconds = ms / 1000;

    text_add_u64(text, seconds / 86400);
    text_add(text, " d ");
    text_add_pad(text, (uint32_t)(seconds / 3600 % 24), 2);
    text_add_char(text, ':');
    text_add_pad(text, (uint32_t)(seconds / 60 % 60), 2);
    text_add_char(text, ':');
    text_add_pad(text, (uint32_t)(seconds % 60), 2);
}

static void add_count(struct text *text, const char *name, uint32_t count)
{
    text_add(text, name);
    text_add_char(text, ' ');
    text_add_u32(text, count);
}

static void status_device(struct app *app)
{
    static const char *const cause[] = {"power on", "reboot command", "fault", "watchdog", "external"};
    char line[LINE_BYTES];
    struct text text = text_begin(line, sizeof line);
    const struct board *hw = app->platform.board;

    text_add(&text, "device   tocsin " TOCSIN_VERSION " on ");
    text_add(&text, hw->name);
    text_add(&text, ", up ");
    add_ago(&text, hw->millis());
    add_count(&text, ", boot", app->store.boot_count);
    text_add(&text, ", reset by ");
    text_add(&text, cause[hw->reset_cause() <= RESET_EXTERNAL ? hw->reset_cause() : 0]);
    app_print(app, line);
    if (hw->reset_detail()[0] != '\0') {
        text = text_begin(line, sizeof line);
        text_add(&text, "         ");
        text_add(&text, hw->reset_detail());
        app_print(app, line);
    }
    text = text_begin(line, sizeof line);
    text_add(&text, "clock    ");
    if (app_unix_ms(app) == 0) {
        text_add(&text, "not known yet");
    } else {
        text_add_time(&text, app_unix_ms(app) / 1000, app->config.zone_minutes);
        text_add(&text, " from ");
        text_add(&text, app->clock_source);
    }
    app_print(app, line);
    text = text_begin(line, sizeof line);
    add_count(&text, "stack   ", (uint32_t)hw->stack_used_max());
    add_count(&text, " of", (uint32_t)hw->stack_bytes());
    text_add(&text, " bytes used at most");
    app_print(app, line);
}

static void status_network(struct app *app)
{
    struct network_status network;
    char line[LINE_BYTES];
    struct text text = text_begin(line, sizeof line);

    app->platform.network_status(&network);
    text_add(&text, "network  ");
    if (app->network_problem != NULL) {
        text_add(&text, app->network_problem);
        app_print(app, line);
        return;
    }
    text_add(&text, network.link_up ? "link up, " : "link down, ");
    if (network.address == 0) {
        text_add(&text, "no address");
    } else {
        text_add_ipv4(&text, network.address);
        text_add(&text, network.dhcp ? " by DHCP, gateway " : " as configured, gateway ");
        text_add_ipv4(&text, network.gateway);
        text_add(&text, ", DNS ");
        text_add_ipv4(&text, network.dns[0]);
    }
    text_add(&text, ", MAC ");
    for (unsigned i = 0; i < 6; i++) {
        text_add(&text, i > 0 ? ":" : "");
        text_add_hex(&text, network.mac[i], 2);
    }
    app_print(app, line);
    text = text_begin(line, sizeof line);
    add_count(&text, "         frames received", network.rx_frames);
    add_count(&text, ", sent", network.tx_frames);
    add_count(&text, ", dropped in", network.rx_dropped);
    add_count(&text, ", out", network.tx_dropped);
    app_print(app, line);
}

static void status_mail(struct app *app)
{
    static const char *const tls[] = {"TLS on connect", "STARTTLS", "in clear, as configured"};
    const struct sender *sender = &app->sender;
    char line[LINE_BYTES + 20];
    char tls_line[LINE_BYTES];
    struct text text = text_begin(line, sizeof line);
    enum sender_stage stage;
    const char *blocked = app_blocked(app, &stage);

    text_add(&text, "server   ");
    if (app->config_valid) {
        text_add(&text, app->config.mailhub.host);
        text_add_char(&text, ':');
        text_add_u32(&text, app->config.mailhub.port);
        text_add(&text, ", ");
        text_add(&text, tls[app->config.tls]);
        text_add(&text, sender->last_peer[0] != '\0' ? ", last at " : "");
        text_add(&text, sender->last_peer);
    } else {
        text_add(&text, "none: there is no valid configuration");
    }
    app_print(app, line);
    sender_describe_tls(sender, tls_line + 9, sizeof tls_line - 9);
    if (tls_line[9] != '\0') {
        memset(tls_line, ' ', 9);
        app_print(app, tls_line);
    }
    text = text_begin(line, sizeof line);
    add_count(&text, "sent     accepted", sender->accepted);
    add_count(&text, ", failures", sender->failed);
    add_count(&text, ", connections", sender->sessions);
    add_count(&text, ", TLS resumed", sender->resumed);
    if (sender->last_accepted_unix_s != 0) {
        text_add(&text, ", last ");
        text_add_time(&text, sender->last_accepted_unix_s, app->config.zone_minutes);
    }
    app_print(app, line);
    text = text_begin(line, sizeof line);
    text_add(&text, "error    ");
    text_add(&text, sender->last_error[0] != '\0' ? sender->last_error : "none");
    app_print(app, line);
    if (blocked != NULL) {
        text = text_begin(line, sizeof line);
        text_add(&text, "waits    ");
        text_add(&text, blocked);
        app_print(app, line);
    }
}

static void add_queue_summary(struct app *app, struct text *text)
{
    struct queue_item item;
    uint64_t now_ms = app->platform.board->millis();
    uint64_t due_ms;
    uint32_t refused = 0;

    for (unsigned i = 0; queue_item(&app->queue, i, &item); i++) {
        refused += item.refused ? 1 : 0;
    }
    add_count(text, "waiting", app->queue.count - refused);
    add_count(text, ", refused", refused);
    add_count(text, ", displaced", app->queue.displaced);
    if (queue_item(&app->queue, 0, &item)) {
        text_add(text, ", oldest ");
        add_ago(text, now_ms - item.uptime_ms);
    }
    due_ms = sender_deadline(&app->sender);
    if (due_ms != UINT64_MAX && app->queue.count > refused && !app->sender.running) {
        text_add(text, ", next try in ");
        text_add_u64(text, due_ms > now_ms ? (due_ms - now_ms + 999) / 1000 : 0);
        text_add(text, " s");
    }
}

static void status_input(struct app *app)
{
    char line[LINE_BYTES];
    struct text text = text_begin(line, sizeof line);

    text_add(&text, "queue    ");
    add_queue_summary(app, &text);
    app_print(app, line);
    text = text_begin(line, sizeof line);
    text_add(&text, "syslog   ");
    if (app->config.syslog_port == 0) {
        text_add(&text, "off");
    } else {
        add_count(&text, "port", app->config.syslog_port);
        add_count(&text, ", received", app->syslog.received);
        add_count(&text, ", taken", app->syslog.taken);
        add_count(&text, ", filtered", app->syslog.filtered);
        add_count(&text, ", malformed", app->syslog.malformed);
    }
    app_print(app, line);
    text = text_begin(line, sizeof line);
    text_add(&text, "config   ");
    if (app->config_valid) {
        add_count(&text, "number", app->store.config_sequence);
        add_count(&text, ", bytes", app->store.config_size);
        add_count(&text, ", CA certificates", (uint32_t)app->anchors.count);
        text_add(&text, app->tls_problem != NULL ? ": " : "");
        text_add(&text, app->tls_problem != NULL ? app->tls_problem : "");
    } else {
        text_add(&text, app->store.config_valid ? "not valid, see `log`" : app->store.config_problem);
    }
    app_print(app, line);
    if (app->random_problem != NULL) {
        text = text_begin(line, sizeof line);
        text_add(&text, "random   ");
        text_add(&text, app->random_problem);
        app_print(app, line);
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
    char line[LINE_BYTES];
    struct text text;
    struct alert alert;
    int sequence;

    if (severity < 0) {
        return "expected `alert SEVERITY TEXT` with emerg, alert, crit, err, warning, notice, info or debug";
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
    text = text_begin(line, sizeof line);
    add_count(&text, "alert", (uint32_t)sequence);
    text_add(&text, " is queued");
    app_print(app, line);
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

static void add_item(struct app *app, struct text *text, const struct queue_item *item,
                     const struct alert *alert)
{
    uint64_t now_ms = app->platform.board->millis();

    text_add(text, "  ");
    text_add_u32(text, item->sequence);
    text_add_char(text, ' ');
    text_add(text, severity_name(item->severity));
    add_count(text, ", tries", item->attempts);
    if (item->refused) {
        text_add(text, ", refused by the server");
    } else if (item->due_ms > now_ms) {
        text_add(text, ", next in ");
        text_add_u64(text, (item->due_ms - now_ms + 999) / 1000);
        text_add(text, " s");
    } else {
        text_add(text, ", due");
    }
    text_add(text, ": ");
    text_add(text, alert->text);
}

static const char *queue_list(struct app *app)
{
    char line[LINE_BYTES];
    struct text text;
    struct queue_item item;
    struct alert alert;

    for (unsigned i = 0; queue_item(&app->queue, i, &item); i++) {
        if (queue_alert(&app->queue, item.sequence, &alert) == 0) {
            text = text_begin(line, sizeof line);
            add_item(app, &text, &item, &alert);
            app_print(app, line);
        }
    }
    text = text_begin(line, sizeof line);
    add_queue_summary(app, &text);
    app_print(app, line);
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
        app_print(app, line);
    }
    return NULL;
}

static const char *run_log(struct app *app, const char *arguments)
{
    char line[LOG_LINE_BYTES];
    uint16_t at = 0;

    (void)arguments;
    while (log_next(&app->log, &at, line, sizeof line)) {
        app_print(app, line);
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
        char line[LINE_BYTES];
        struct text text = text_begin(line, sizeof line);

        text_add(&text, "  ");
        text_add(&text, commands[i].name);
        text_add_char(&text, ' ');
        text_add(&text, commands[i].arguments);
        while (text.length < 32) {
            text_add_char(&text, ' ');
        }
        text_add(&text, commands[i].help);
        app_print(app, line);
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
    char answer[LINE_BYTES];
    struct text text = text_begin(answer, sizeof answer);
    const char *error;

    if (skip_blanks(line)[0] == '\0') {
        return;
    }
    error = dispatch(app, line);
    if (error == pending) {
        return;
    }
    text_add(&text, error == NULL ? "ok" : "error: ");
    text_add(&text, error == NULL ? "" : error);
    app_print(app, answer);
}
