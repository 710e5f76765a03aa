#include "firmware/answer.h"

#include "firmware/app.h"
#include "firmware/report.h"

#include <string.h>

#define SUBJECT_BYTES 104   /* "Re: " and the order's, or "[device] round trip TOKEN". */
#define SOURCE_ORDER "mail" /* An answer; what nobody asked for by mail has another source. */
#define NAME_REPORT "report"
#define NAME_ROUND_TRIP "round trip"

/* What can be ordered by mail, in the order of enum config_command, for `help`. */
static const char usage[] = "help\0"
                            "status\0"
                            "report: with counters as CSV\0"
                            "test\0"
                            "queue\0"
                            "ack ID: drops an alert\0"
                            "mute SOURCE DURATION: no mail about it\0"
                            "poll DURATION: looks here more often\0"
                            "history: configurations in flash\0"
                            "config show\0"
                            "config set KEY = VALUE\0"
                            "config import\0"
                            "otp SEQUENCE SEED RESPONSE: a new chain\0"
                            "reboot";

bool answer_is(const struct alert *alert)
{
    return alert->facility == FACILITY_MAIL;
}

bool answer_is_round_trip(const struct alert *alert)
{
    return answer_is(alert) && strcmp(alert->app, NAME_ROUND_TRIP) == 0;
}

bool answer_is_report(const struct alert *alert)
{
    return answer_is(alert) && strcmp(alert->app, NAME_REPORT) == 0 &&
           strcmp(alert->source, SOURCE_ORDER) != 0;
}

bool answer_is_ordered(const struct alert *alert)
{
    return answer_is(alert) && strcmp(alert->source, SOURCE_ORDER) == 0;
}

/* Nothing in it can end the line that it is packed into; a part of an identifier would be another
 * one. */
static const char *usable_id(const char *message_id)
{
    size_t i = 0;

    while (message_id[i] > ' ' && message_id[i] < 0x7F) {
        i++;
    }
    return message_id[i] == '\0' && i < AUTHORITY_ID_BYTES ? message_id : "";
}

/* Begins alert.text: the result, cut so that all else has its room, and the identifier. */
static struct text pack(struct alert *alert, const char *result, const char *message_id)
{
    static const char cut_mark[] = "...";
    size_t other = strlen(message_id) + 2 + SUBJECT_BYTES + sizeof cut_mark - 1;
    struct text text = text_begin(alert->text, sizeof alert->text - other);

    text_add_printable(&text, result, strlen(result));
    text.size = sizeof alert->text;
    if (text.cut) {
        text.cut = false;
        text_add(&text, cut_mark);
    }
    text_format(&text, "\n%s\n", message_id);
    return text;
}

void answer_pack(struct alert *alert, const char *result, const char *message_id,
                 const char *subject)
{
    struct text text = pack(alert, result, usable_id(message_id));

    text_add_printable(&text, subject, strlen(subject));
}

/* Ends the string before the next LF; returns what follows. */
static char *cut_line(char *string)
{
    char *end = string + strcspn(string, "\n");

    if (*end != '\0') {
        *end++ = '\0';
    }
    return end;
}

void answer_unpack(struct alert *alert, struct answer_parts *parts)
{
    parts->result = alert->text;
    parts->message_id = cut_line(parts->result);
    parts->subject = cut_line(parts->message_id);
    (void)cut_line(parts->subject);
}

/* "[router1] report 2026-11-22", "[router1] round trip 00112233445566aa" */
static void add_own_subject(struct text *text, const struct app *app, const struct alert *alert,
                            const char *token)
{
    struct text_date date = text_date(alert->unix_s, app->config.zone_minutes);

    text_format(text, "[%s] %s", app->config.hostname, alert->app);
    if (strcmp(alert->source, SOURCE_ORDER) == 0) {
        return;
    }
    if (answer_is_round_trip(alert)) {
        text_format(text, " %s", token);
    } else if (alert->unix_s != 0) {
        text_format(text, " %u-%02u-%02u", date.year, date.month, date.day);
    }
}

void answer_make(struct app *app, struct alert *alert, const char *name, const char *result,
                 const char *message_id, const char *subject)
{
    bool ordered = message_id != NULL || subject != NULL;
    struct text text;

    memset(alert, 0, sizeof *alert);
    alert->severity = SEVERITY_NOTICE;
    alert->facility = FACILITY_MAIL;
    text_copy(alert->source, sizeof alert->source, ordered ? SOURCE_ORDER : "device");
    text_copy(alert->app, sizeof alert->app, name);
    app_stamp(app, alert);
    text = pack(alert, result, usable_id(message_id != NULL ? message_id : ""));
    if (subject != NULL && subject[0] != '\0') {
        text_add(&text, text_starts_nocase(subject, "re:") ? "" : "Re: ");
        text_add_printable(&text, subject, strlen(subject));
    } else {
        add_own_subject(&text, app, alert, result);
    }
}

int answer_queue(struct app *app, const char *name, const char *result, const char *message_id,
                 const char *subject, uint32_t *number)
{
    const struct queue_how how = {.pending_mask = UINT8_MAX};
    struct alert alert;
    int error;

    if (app->config.to_count == 0) {
        return E_CONFIG;
    }
    answer_make(app, &alert, name, result, message_id, subject);
    error = queue_add(&app->queue, &alert, &how);
    if (number != NULL) {
        *number = alert.sequence;
    }
    return error;
}

/* ---- the lines of an answer ---- */

/* What is said of each order, one line each: 0 to ROW_BODY - 1; what has nothing to say is left
 * out. Then what the order asked for. */
enum { ROW_RESULT, ROW_DAMAGED, ROW_ORDER, ROW_RUN, ROW_OTP, ROW_OTP_FEW, ROW_BLANK, ROW_BODY };

/* Orders that a console command answers, what it is called there, and which command each is. */
static const char shown_names[] = "status\0queue\0config show\0history\0help\0" NAME_REPORT;
static const char shown_commands[] = "status\0queue\0config show\0config history";
static const uint8_t shown_ids[] = {
    CONFIG_COMMAND_STATUS,  CONFIG_COMMAND_QUEUE, CONFIG_COMMAND_CONFIG_SHOW,
    CONFIG_COMMAND_HISTORY, CONFIG_COMMAND_HELP,  CONFIG_COMMAND_REPORT,
};
enum { SHOWN_HELP = 4, SHOWN_REPORT, SHOWN_COUNT };

/* Which of them it is; SHOWN_COUNT: none, or one that was not run, or is not allowed any more. */
static unsigned shown_of(const struct answer_parts *parts)
{
    unsigned shown = 0;

    while (shown < SHOWN_COUNT && strcmp(parts->alert->app, text_item(shown_names, shown)) != 0) {
        shown++;
    }
    if (shown < SHOWN_COUNT && (strcmp(parts->result, ANSWER_SHOWN) != 0 ||
                                (parts->app->config.commands & 1u << shown_ids[shown]) == 0)) {
        return SHOWN_COUNT;
    }
    return shown;
}

static bool help_line(const struct app *app, unsigned index, struct text *out)
{
    for (unsigned i = 0; i < CONFIG_COMMAND_COUNT; i++) {
        if ((app->config.commands & 1u << i) != 0 && index-- == 0) {
            text_add(out, text_item(usage, i));
            return true;
        }
    }
    return false;
}

static bool body_line(const struct answer_parts *parts, unsigned index, struct text *out)
{
    unsigned shown = shown_of(parts);

    if (shown == SHOWN_COUNT) {
        return false;
    }
    if (shown == SHOWN_REPORT) {
        return report_line(parts->app, index, out);
    }
    if (shown == SHOWN_HELP) {
        return help_line(parts->app, index, out);
    }
    return app_capture_line(parts->app, text_item(shown_commands, shown), index, out);
}

static void head_line(const struct answer_parts *parts, unsigned row, struct text *out)
{
    const struct alert *alert = parts->alert;

    if (row == ROW_RESULT) {
        text_add(out, parts->result);
    } else if (row == ROW_DAMAGED && alert->damaged) {
        text_add(out, "This was damaged in the device's flash memory.");
    } else if (row == ROW_ORDER) {
        text_format(out, "Order: %s", alert->app);
    } else if (row == ROW_RUN) {
        text_add(out, "Run: ");
        report_add_time(parts->app, alert->unix_s, out);
    } else if (row >= ROW_OTP && row <= ROW_OTP_FEW && shown_of(parts) != SHOWN_REPORT) {
        (void)report_otp_line(parts->app, row - ROW_OTP, out); /* A report has them itself. */
    }
}

static bool answer_line(void *context, unsigned index, struct text *out)
{
    const struct answer_parts *parts = context;

    for (unsigned row = 0; row < ROW_BODY; row++) {
        head_line(parts, row, out);
        if ((out->length > 0 || (row == ROW_BLANK && shown_of(parts) < SHOWN_COUNT)) &&
            index-- == 0) {
            return true;
        }
        *out = text_begin(out->bytes, out->size);
    }
    return body_line(parts, index, out);
}

static bool round_trip_line(void *context, unsigned index, struct text *out)
{
    static const char lines[] = "This device sent this mail to itself,\0"
                                "as a proof that its alerts arrive.\0"
                                "If it stays here, it did not find it.\0"
                                "Token: ";
    const struct answer_parts *parts = context;

    if (index > 3) {
        return false;
    }
    text_add(out, text_item(lines, index));
    text_add(out, index == 3 ? parts->result : "");
    return true;
}

static bool whole_report_line(void *context, unsigned index, struct text *out)
{
    return report_line(((struct answer_parts *)context)->app, index, out);
}

static bool csv_line(void *context, unsigned index, struct text *out)
{
    return report_csv_line(((struct answer_parts *)context)->app, index, out);
}

void answer_fields(struct app *app, const struct alert *alert, struct answer_parts *parts,
                   struct rfc5322_fields *fields)
{
    bool report = answer_is_report(alert);

    parts->app = app;
    parts->alert = alert;
    fields->subject = parts->subject;
    fields->in_reply_to = parts->message_id;
    fields->auto_replied = strcmp(alert->source, SOURCE_ORDER) == 0;
    fields->live = true;
    fields->line = report                        ? whole_report_line
                   : answer_is_round_trip(alert) ? round_trip_line
                                                 : answer_line;
    fields->line_context = parts;
    if (report || shown_of(parts) == SHOWN_REPORT) {
        fields->attachment = csv_line;
        fields->attachment_name = "counters.csv";
    }
}
