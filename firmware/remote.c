#include "firmware/remote.h"

#include "firmware/answer.h"
#include "firmware/app.h"
#include "firmware/mute.h"
#include "net/text.h"

#include <string.h>

#define RESULT_BYTES 240 /* What an answer has room for (answer.h). */
#define WORD_BYTES DIARY_NAME_BYTES
#define FAST_S_MAX 604800
#define FINDINGS_MAX 8 /* Errors that an answer tells one by one. */

/* In the order of enum config_command. */
static const char names[] = "help\0status\0report\0test\0queue\0ack\0mute\0poll\0history\0"
                            "config show\0config set\0config import\0otp\0reboot";

#define BIT(command) (1u << CONFIG_COMMAND_##command)

/* What a one-time password does not protect; what takes something behind its name; what the
 * payload's text comes by for. */
#define SIGNED_ONLY (BIT(CONFIG_SET) | BIT(CONFIG_IMPORT) | BIT(OTP))
#define WITH_ARGUMENTS (BIT(ACK) | BIT(MUTE) | BIT(POLL) | BIT(CONFIG_SET) | BIT(OTP))
#define WITH_TEXT (BIT(CONFIG_SET) | BIT(CONFIG_IMPORT))

/* As on the console, whose strings they share. */
#define NO_CLOCK "the time is not known yet"
#define NO_FLASH "flash does not take it: it holds until a reset"

/* An order on its way through this file. */
struct run {
    const char *arguments;
    bool resumed;
    struct text result;
};

/* ---- which order it is ---- */

/* *arguments: what stands behind its name. CONFIG_COMMAND_COUNT: there is no such order. */
static unsigned find(const char *command, const char **arguments)
{
    unsigned i = 0;

    for (; i < CONFIG_COMMAND_COUNT; i++) {
        const char *name = text_item(names, i);
        const char *rest = command + strlen(name);

        if (text_starts_nocase(command, name) && (*rest == '\0' || *rest == ' ')) {
            *arguments = *rest == ' ' ? rest + 1 : rest;
            break;
        }
    }
    return i;
}

/* Why it is not run; NULL: it is. */
static const char *refusal(const struct app *app, const struct mailed *mailed, unsigned command,
                           const char *arguments)
{
    uint32_t bit = 1u << command;

    if (command == CONFIG_COMMAND_COUNT) {
        return "there is no such command; `help` lists them";
    }
    if ((app->config.commands & bit) == 0) {
        return "`commands` of the configuration does not allow it";
    }
    if (mailed->proof == MAILED_OTP && (bit & SIGNED_ONLY) != 0) {
        return "a one-time password does not protect what it sets: it must be signed";
    }
    if ((bit & WITH_ARGUMENTS) == 0 && arguments[0] != '\0') {
        return "nothing may stand behind its name";
    }
    if ((bit & WITH_TEXT) != 0 && arguments[0] == '\0' && mailed->text_bytes == 0) {
        return "no settings stand behind it";
    }
    return NULL;
}

enum remote_kind remote_kind(struct app *app, const struct mailed *mailed, const char **why)
{
    const char *arguments;
    unsigned command = find(mailed->command, &arguments);

    *why = refusal(app, mailed, command, arguments);
    if (*why != NULL) {
        return REMOTE_REFUSED;
    }
    return (1u << command & WITH_TEXT) != 0 && arguments[0] == '\0' ? REMOTE_TEXT : REMOTE_PLAIN;
}

/* ---- arguments ---- */

/* Copies the first word; returns what follows it. NULL: it is too long. */
static const char *take_word(const char *string, char *word, size_t size)
{
    size_t length = strcspn(string, " ");

    if (length >= size) {
        return NULL;
    }
    memcpy(word, string, length);
    word[length] = '\0';
    return string + length + (string[length] == ' ');
}

/* Counted from when the order was taken, so that running it again makes it no longer. NULL: *left
 * is what remains, or 0 for "off". */
static const char *time_left(struct app *app, uint32_t seconds, uint32_t *left)
{
    uint64_t taken_s = app->authority.order.unix_s;
    uint64_t now_s = text_seconds(app_unix_ms(app));
    uint64_t gone_s = now_s > taken_s ? now_s - taken_s : 0;

    *left = 0;
    if (seconds == 0) {
        return NULL;
    }
    if (now_s == 0 || taken_s == 0) {
        return NO_CLOCK;
    }
    if (gone_s >= seconds) {
        return "its time is over by now";
    }
    *left = seconds - (uint32_t)gone_s;
    return NULL;
}

static void add_until(struct app *app, struct text *text, uint32_t left_s)
{
    text_add(text, " until ");
    text_add_time(text, text_seconds(app_unix_ms(app)) + (uint64_t)left_s,
                  app->config.zone_minutes);
}

/* ---- what each does; NULL: it did, and result tells what ---- */

/* A whole alert on the stack: not in its caller's frame. */
__attribute__((noinline)) static bool tell_alert(struct app *app, uint32_t number,
                                                 struct text *result)
{
    struct alert alert;

    if (queue_alert(&app->queue, number, &alert) < 0 || answer_is(&alert)) {
        return false;
    }
    text_format(result, "alert %u is dropped: %s %s %s: %s", (unsigned)number,
                severity_name(alert.severity), alert.host, alert.app, alert.text);
    return true;
}

static const char *run_ack(struct app *app, struct run *run)
{
    uint32_t number;

    if (!text_parse_u32(run->arguments, UINT32_MAX, &number)) {
        return "expected the number of an alert, as in `ack 17`";
    }
    if (app->sender.have_item && app->sender.item.sequence == number) {
        return "that alert is being sent right now";
    }
    if (!tell_alert(app, number, &run->result)) {
        text_format(&run->result, "alert %u is gone by now", (unsigned)number);
        return run->resumed ? NULL : "no alert has that number";
    }
    return queue_remove(&app->queue, number, QUEUE_DROPPED, 0) < 0 ? NO_FLASH : NULL;
}

static const char *run_mute(struct app *app, struct run *run)
{
    char source[WORD_BYTES];
    const char *duration = take_word(run->arguments, source, sizeof source);
    const char *why;
    uint32_t seconds, left_s;

    if (duration == NULL) {
        return "that name is too long";
    }
    if (source[0] == '\0' || !config_seconds_parse(duration, MUTE_S_MAX, &seconds)) {
        return "expected `mute SOURCE TIME` (`mute router1 2h`; 30d at most), or `off` as its time";
    }
    why = time_left(app, seconds, &left_s);
    why = why == NULL ? mute_set(app, source, left_s) : why;
    if (why == NULL) {
        text_format(&run->result, "%s is %smuted", source, seconds > 0 ? "" : "no longer ");
    }
    if (why == NULL && seconds > 0) {
        add_until(app, &run->result, left_s);
    }
    return why;
}

static const char *run_poll(struct app *app, struct run *run)
{
    const char *why;
    uint32_t seconds, left_s;

    if (!config_seconds_parse(run->arguments, FAST_S_MAX, &seconds)) {
        return "expected a time of at most 7d, as in `poll 2h`, or `poll off`";
    }
    why = time_left(app, seconds, &left_s);
    if (why != NULL) {
        return why;
    }
    app->diary.fast_until_unix_s = seconds > 0 ? text_seconds(app_unix_ms(app)) + left_s : 0;
    text_add(&run->result, seconds > 0 ? "the mailbox is looked at more often"
                                       : "the mailbox is looked at as often as configured");
    if (seconds > 0) {
        add_until(app, &run->result, left_s);
    }
    return diary_save(&app->diary) < 0 ? NO_FLASH : NULL;
}

static const char *run_otp(struct app *app, struct run *run)
{
    if (authority_otp_set(&app->authority, run->arguments) < 0) {
        return "expected `otp SEQUENCE SEED RESPONSE`, as `tocsin otp` prints it";
    }
    text_format(&run->result, "a new chain: the next one-time password is number %u of %s",
                (unsigned)(app->authority.otp_sequence - 1), app->authority.otp_seed);
    /* The answer must not stand in flash before the chain does. */
    return authority_phase(&app->authority, AUTHORITY_TAKEN) < 0 ? NO_FLASH : NULL;
}

static const char *run_plain(struct app *app, unsigned command, struct run *run)
{
    switch (command) {
    case CONFIG_COMMAND_ACK:
        return run_ack(app, run);
    case CONFIG_COMMAND_MUTE:
        return run_mute(app, run);
    case CONFIG_COMMAND_POLL:
        return run_poll(app, run);
    case CONFIG_COMMAND_OTP:
        return run_otp(app, run);
    case CONFIG_COMMAND_TEST:
        text_add(&run->result, "this answer is the test: orders arrive, and mail leaves");
        return NULL;
    case CONFIG_COMMAND_REBOOT:
        text_add(&run->result, "the device restarts");
        return NULL;
    default:
        text_add(&run->result, "ok"); /* Its lines are made when it is sent. */
        return NULL;
    }
}

/* ---- the end of an order ---- */

static bool answer_waits(struct app *app);

int remote_answer(struct app *app, const char *result)
{
    const struct authority_order *order = &app->authority.order;
    const char *arguments;
    unsigned command = find(order->command, &arguments);
    const char *name = order->command;

    if (answer_waits(app)) {
        return 0;
    }
    if (command < CONFIG_COMMAND_COUNT && arguments[0] == '\0') {
        name = text_item(names, command); /* As answer.h knows it. */
    }
    return answer_queue(app, name, result, order->message_id, order->subject, NULL);
}

void remote_ended(struct app *app)
{
    authority_answered(&app->authority, app_unix_ms(app));
    if (authority_phase(&app->authority, AUTHORITY_ENDED) < 0) {
        app_log(app, "order by mail: flash does not take that it has ended");
    }
}

static void end(struct app *app, const char *result)
{
    app_log(app, "order by mail: %s: %s", app->authority.order.command, result);
    if (remote_answer(app, result) < 0) {
        app_log(app, "order by mail: the queue does not take its answer");
    }
    remote_ended(app);
}

/* ---- a new configuration ---- */

/* KEY VALUE, KEY = VALUE, KEY=VALUE; a lone KEY = takes it out. Why it cannot be staged; NULL: it
 * is. */
static const char *stage_pair(struct candidate *candidate, const char *pair)
{
    size_t length = strcspn(pair, " =");
    const char *value = pair + length + strspn(pair + length, " ");
    const char *why = NULL;
    int result = E_INVALID;

    if (*value == '\0') {
        return "expected `config set KEY = VALUE`";
    }
    value += *value == '=' ? 1 : 0;
    if (candidate_lines_push(candidate, pair, length, &why) == 0 &&
        candidate_lines_push(candidate, "=", 1, &why) == 0) {
        result = candidate_lines_push(candidate, value, strlen(value), &why);
    }
    return result < 0 ? why : NULL;
}

void remote_text_begin(struct app *app, const struct mailed *mailed)
{
    struct commands_config *shell = &app->config_shell;
    const char *arguments;
    unsigned command = find(mailed->command, &arguments);

    commands_config_mail_begin(app);
    shell->mail.why = NULL;
    shell->mail.imports = command == CONFIG_COMMAND_CONFIG_IMPORT;
    shell->mail.lines = command == CONFIG_COMMAND_CONFIG_SET && arguments[0] == '\0';
    if (shell->mail.imports) {
        int result = candidate_import_begin(&shell->candidate);

        shell->mail.why = result < 0 ? commands_config_flash_error(result) : NULL;
    } else if (!shell->mail.lines) {
        shell->mail.why = stage_pair(&shell->candidate, arguments);
    }
}

void remote_text(struct app *app, const char *bytes, size_t size)
{
    struct commands_config *shell = &app->config_shell;
    const char *why = NULL;
    int result = 0;

    if (!shell->mail.active || shell->mail.why != NULL) {
        return;
    }
    if (shell->mail.imports) {
        result = candidate_import_push(&shell->candidate, bytes, size);
        why = commands_config_flash_error(result);
    } else if (shell->mail.lines) {
        result = candidate_lines_push(&shell->candidate, bytes, size, &why);
    }
    shell->mail.why = result < 0 ? why : NULL;
}

/* All of it has come by. Why it is not staged; NULL: it is. */
static const char *text_end(struct app *app, bool whole)
{
    struct commands_config *shell = &app->config_shell;
    struct candidate *candidate = &shell->candidate;
    const char *why = NULL;

    if (!whole || !shell->mail.active) {
        return "its text did not come by a second time as it was signed";
    }
    if (shell->mail.why == NULL && shell->mail.imports) {
        candidate_import_end(candidate);
    } else if (shell->mail.why == NULL && candidate_lines_end(candidate, &why) < 0) {
        shell->mail.why = why;
    }
    if (shell->mail.why == NULL && !candidate_staged(candidate)) {
        shell->mail.why = "no settings stand behind it";
    }
    return shell->mail.why;
}

struct findings {
    struct text *text;
    unsigned count;
};

static void take_finding(void *context, unsigned line, const char *key, const char *message)
{
    struct findings *findings = context;

    if (findings->count++ >= FINDINGS_MAX) {
        return;
    }
    text_add(findings->text, findings->count > 1 ? "; " : "nothing was changed: ");
    if (line > 0) {
        text_format(findings->text, "line %u: ", line);
    }
    text_format(findings->text, "%s%s%s", key, key[0] != '\0' ? ": " : "", message);
}

/* Whether the staged settings can be committed; else the result tells why not. */
static bool check(struct app *app, struct text *result)
{
    struct candidate_room *room = APP_ROOM(app);
    struct findings findings = {.text = result};
    int errors = E_SPACE;

    if (room != NULL) {
        errors = candidate_check(&app->config_shell.candidate, room, take_finding, &findings);
        memset(room, 0, sizeof *room); /* It has held passwords. */
    }
    if (errors < 0) {
        text_add(result, "the flash cannot be read");
    }
    return errors == 0;
}

/* Flash has the number before the commit: what it finds at the start tells whether there was one.
 */
static bool commit(struct app *app, struct text *result)
{
    struct authority_order *order = &app->authority.order;
    int error;

    order->slot_sequence = slots_next(&app->slots);
    error = authority_phase(&app->authority, AUTHORITY_TRIAL);
    if (error == 0) {
        error = candidate_commit(&app->config_shell.candidate, true);
    }
    if (error < 0) {
        text_add(result, commands_config_flash_error(error));
    }
    return error == 0;
}

bool remote_commit(struct app *app)
{
    struct commands_config *shell = &app->config_shell;
    char line[RESULT_BYTES];
    struct text result = text_begin(line, sizeof line);
    bool staged = shell->mail.staged;

    if (!shell->mail.active || app->reboot_ms != 0) {
        return false;
    }
    if (staged && check(app, &result) && commit(app, &result)) {
        app_log(app, "order by mail: %s: restarting with number %u", app->authority.order.command,
                (unsigned)app->slots.sequence);
        app_reboot(app);
        return true;
    }
    commands_config_mail_end(app);
    if (staged) {
        end(app, line);
    }
    return staged;
}

/* ---- any order ---- */

/* Why it did nothing; NULL: it did, or it is staged. */
static const char *run_order(struct app *app, const struct mailed *mailed, bool whole,
                             struct run *run)
{
    unsigned command = find(mailed->command, &run->arguments);
    const char *why = NULL;

    if (whole) {
        why = refusal(app, mailed, command, run->arguments);
        if (why != NULL) {
            app->authority.refused++;
            return why;
        }
    }
    if (!whole || (1u << command & WITH_TEXT) != 0) {
        if (whole && run->arguments[0] != '\0') {
            remote_text_begin(app, mailed); /* Its line is all its text. */
        }
        why = text_end(app, whole);
        app->config_shell.mail.staged = why == NULL;
        return why;
    }
    return run_plain(app, command, run);
}

/* The line of a `config set` mail, where it stands; 0: it is not about one. */
static unsigned line_of(const struct app *app)
{
    const struct commands_config *shell = &app->config_shell;

    return shell->mail.active && shell->mail.lines ? shell->candidate.line : 0;
}

void remote_run(struct app *app, const struct mailed *mailed, bool whole, bool resumed)
{
    char line[RESULT_BYTES];
    struct run run = {.resumed = resumed, .result = text_begin(line, sizeof line)};
    const char *why = run_order(app, mailed, whole, &run);

    if (why == NULL && app->config_shell.mail.staged) {
        app->poller.leaves = true; /* remote_commit() goes on; the rest of the mailbox waits. */
        return;
    }
    if (why != NULL) {
        run.result = text_begin(line, sizeof line);
        text_add(&run.result, "not done: ");
        if (line_of(app) > 0) {
            text_format(&run.result, "line %u: ", line_of(app));
        }
        text_add(&run.result, why);
    }
    commands_config_mail_end(app);
    end(app, line);
    if (why == NULL && find(mailed->command, &run.arguments) == CONFIG_COMMAND_REBOOT) {
        app->reboot_wanted = true;
    }
}

/* ---- at the start, and on trial ---- */

/* Only one order is in hand: what answers an order and is younger than it is its answer. */
__attribute__((noinline)) static bool answer_waits(struct app *app)
{
    struct queue_item item;
    struct alert alert;

    for (unsigned i = app->queue.count; i-- > 0;) {
        if (!queue_item(&app->queue, i, &item)) {
            continue;
        }
        if (item.sequence < app->authority.order.next_number) {
            break;
        }
        if (item.facility != FACILITY_MAIL || item.is_test ||
            queue_alert(&app->queue, item.sequence, &alert) < 0) {
            continue;
        }
        if (alert.damaged) {
            /* Torn as it was written: another one is made. */
            (void)queue_remove(&app->queue, item.sequence, QUEUE_DROPPED, 0);
        } else if (answer_is_ordered(&alert)) {
            return true;
        }
    }
    return false;
}

int remote_trial_started(struct app *app)
{
    int error;

    app->authority.order.started = true;
    error = authority_phase(&app->authority, AUTHORITY_TRIAL);
    app->authority.order.started = error == 0;
    return error;
}

bool remote_committed(const struct app *app, uint32_t number)
{
    const struct authority_order *order = &app->authority.order;

    return order->phase == AUTHORITY_TRIAL && order->slot_sequence == number;
}

void remote_start(struct app *app)
{
    const struct slots *slots = &app->slots;
    const struct authority_order *order = &app->authority.order;
    uint32_t number = order->slot_sequence;
    char line[80];

    if (order->phase == AUTHORITY_TAKEN && answer_waits(app)) {
        remote_ended(app); /* The answer is the last thing that an order does. */
    }
    if (order->phase != AUTHORITY_TRIAL ||
        (slots->rolled_back == number && !slots->rolled_back_said)) {
        return;
    }
    if (slots->valid && slots->sequence == number && slots->on_trial) {
        return;
    }
    if (slots->valid && slots->sequence == number) {
        text_print(line, sizeof line, "configuration %u is in force", (unsigned)number);
        end(app, line);
    } else if (slots->rolled_back == number) {
        remote_ended(app);
    } else if (order->started) {
        text_print(line, sizeof line, "configuration %u went bad in flash; number %u is in force",
                   (unsigned)number, (unsigned)slots->sequence);
        end(app, line);
    } else if (authority_phase(&app->authority, AUTHORITY_TAKEN) < 0) {
        app_log(app, "order by mail: flash does not take that it has to run again");
    }
}

__attribute__((noinline)) int remote_trial_mail(struct app *app, const char *what, uint32_t *number)
{
    const struct queue_how how = {.pending_mask = UINT8_MAX, .is_test = true};
    const struct authority_order *order = &app->authority.order;
    struct alert alert;
    int error;

    answer_make(app, &alert, order->command, what, order->message_id, order->subject);
    error = queue_add(&app->queue, &alert, &how);
    *number = alert.sequence;
    return error;
}
