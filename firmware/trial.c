#include "firmware/trial.h"

#include "firmware/app.h"
#include "firmware/remote.h"
#include "net/text.h"

#include <string.h>

#define WHAT_BYTES 320

static void other_slot(const struct app *app, struct slot_info *info)
{
    slots_info(&app->slots, 0, info);
    if (info->in_force) {
        slots_info(&app->slots, 1, info);
    }
}

static uint32_t number_before(const struct app *app)
{
    struct slot_info info;

    other_slot(app, &info);
    return info.sequence;
}

/* Tells whoever has to know what became of that number; an error: nobody. */
static int tell(struct app *app, uint32_t number, const char *what)
{
    return remote_committed(app, number) ? remote_answer(app, what)
                                         : app_device_alert(app, SEVERITY_ERROR, "config", what);
}

/* The mark follows the alert into flash: a cut between the two tells it twice, not never. */
static void tell_rolled_back(struct app *app)
{
    char what[WHAT_BYTES];
    struct text text = text_begin(what, sizeof what);
    uint32_t number = app->slots.rolled_back;
    struct slot_info info;

    other_slot(app, &info);
    text_format(&text, "configuration %u was not confirmed: %s; number %u is in force again",
                (unsigned)number, info.why[0] != '\0' ? info.why : "the device was reset meanwhile",
                (unsigned)app->slots.sequence);
    app_log(app, "%s", what);
    if (tell(app, number, what) < 0 || slots_rolled_back_said(&app->slots) < 0) {
        app_log(app, "configuration: this will be told again at the next start");
    }
    if (remote_committed(app, number)) {
        remote_ended(app); /* Whatever could be told: the next order is not to wait for it. */
    }
}

/* Back to the text before: a reset takes it into force. started: flash knows of the trial, and a
 * reset ends it whether or not the reason could be written. */
static void take_back(struct app *app, const char *why, bool started)
{
    char what[WHAT_BYTES];
    uint32_t before = number_before(app);
    int result = slots_reject(&app->slots, why);
    bool goes = result == 0 || (result == E_IO && started);

    app->trial.deadline_ms = 0;
    app->trial.ordered = false;
    text_print(what, sizeof what, "configuration %u was not confirmed: %s",
               (unsigned)app->slots.sequence, why);
    if (goes) {
        app_log(app, "%s; restarting with number %u", what, (unsigned)before);
        app_reboot(app);
        return;
    }
    app_log(app, "%s; it stays in force: there is no other", what);
    (void)tell(app, app->slots.sequence, what);
    if (remote_committed(app, app->slots.sequence)) {
        remote_ended(app);
    }
}

/* So early that whatever the new settings bring about comes after it, and is undone by a reset. */
void trial_init(struct app *app)
{
    app->trial.unmarked = app->slots.on_trial && slots_trial_start(&app->slots) < 0;
}

/* The mail that is to confirm it. */
static void send(struct app *app, const char *what)
{
    struct trial *trial = &app->trial;
    int error;

    trial->ordered = remote_committed(app, app->slots.sequence);
    if (trial->ordered && remote_trial_started(app) < 0) {
        app_log(app, "configuration: flash does not take its trial");
    }
    error = trial->ordered ? remote_trial_mail(app, what, &trial->number)
                           : app_test_alert(app, "device", "config", what, &trial->number);
    if (error >= 0) {
        return;
    }
    if (trial->ordered) {
        error = remote_answer(app, what);
    }
    if (error < 0) {
        (void)app_device_alert(app, SEVERITY_NOTICE, "config", what);
    }
}

static void send_mail(struct app *app)
{
    char what[WHAT_BYTES];

    text_print(what, sizeof what,
               "configuration %u is being tried, a mail confirms it: unless one gets out within "
               "%u s, number %u comes back",
               (unsigned)app->slots.sequence, (unsigned)app->config.confirm_timeout_s,
               (unsigned)number_before(app));
    app_log(app, "%s", what);
    send(app, what);
}

/* What was ordered by mail has to leave the way open by which it came: its mail goes when the
 * mailbox was read. */
static void begin(struct app *app)
{
    app->trial.deadline_ms =
        app->platform.board->millis() + (uint64_t)app->config.confirm_timeout_s * 1000;
    app->trial.awaits_mailbox =
        remote_committed(app, app->slots.sequence) && app->config.pop3.host[0] != '\0';
    if (app->trial.awaits_mailbox) {
        poller_hurry(app);
    } else {
        send_mail(app);
    }
}

void trial_polled(struct app *app)
{
    if (app->trial.awaits_mailbox && app->trial.deadline_ms != 0) {
        app->trial.awaits_mailbox = false;
        send_mail(app);
    }
}

void trial_start(struct app *app)
{
    struct slots *slots = &app->slots;

    remote_start(app);
    if (slots->unrejected) {
        app_log(app, "configuration: number %u was taken back, but nothing else in flash is whole",
                (unsigned)slots->sequence);
    }
    if (slots->rolled_back != 0 && !slots->rolled_back_said) {
        tell_rolled_back(app);
    }
    if (!slots->on_trial) {
        return;
    }
    if (app->trial.unmarked) {
        take_back(app, "flash could not record its start", false);
    } else if (!app->config_valid) {
        take_back(app, "it is not valid", true);
    } else {
        begin(app);
    }
}

void trial_accepted(struct app *app)
{
    if (app->trial.deadline_ms == 0 || app->trial.awaits_mailbox) {
        return;
    }
    if (slots_trial_confirm(&app->slots) < 0) {
        app_log(app, "configuration: flash does not take that %u is confirmed",
                (unsigned)app->slots.sequence);
        return; /* The next mail tries again, until the time is over. */
    }
    app->trial.deadline_ms = 0;
    app_log(app, "configuration %u is confirmed: a mail got out with it",
            (unsigned)app->slots.sequence);
}

/* The trial went well, and its answer has left, or gives way to one that survives a reset. */
static void end_order(struct app *app)
{
    struct trial *trial = &app->trial;
    struct queue_item item;
    char what[80];

    if (queue_find(&app->queue, trial->number, &item)) {
        if (app->sender.have_item && app->sender.item.sequence == trial->number) {
            return; /* It is being sent. */
        }
        text_print(what, sizeof what, "configuration %u is confirmed: a mail got out with it",
                   (unsigned)app->slots.sequence);
        if (remote_answer(app, what) < 0) {
            app_log(app, "%s; the queue does not take that answer", what);
        } else {
            (void)queue_remove(&app->queue, trial->number, QUEUE_SUPERSEDED, 0);
        }
    }
    trial->ordered = false;
    remote_ended(app);
}

void trial_poll(struct app *app)
{
    enum sender_stage stage;
    const char *error = app->sender.last_error;
    char why[SLOTS_WHY_BYTES];

    if (app->trial.ordered && app->trial.deadline_ms == 0) {
        end_order(app);
    }
    if (app->trial.deadline_ms == 0 || app->platform.board->millis() < app->trial.deadline_ms) {
        return;
    }
    if (app->sender.limit_ms > app->trial.deadline_ms) {
        app->trial.deadline_ms = app->sender.limit_ms + 60000; /* No fault of the settings. */
        return;
    }
    if (app->trial.awaits_mailbox) {
        error = app->poller.last_error;
    } else if (error[0] == '\0') {
        error = app_blocked(app, &stage);
    }
    text_print(why, sizeof why, "%s in %u s%s%s",
               app->trial.awaits_mailbox ? "the mailbox was not read" : "no mail got out",
               (unsigned)app->config.confirm_timeout_s, error != NULL ? ": " : "",
               error != NULL ? error : "");
    take_back(app, why, true);
}
