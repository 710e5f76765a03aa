#include "firmware/trial.h"

#include "firmware/app.h"
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

/* The mark follows the alert into flash: a cut between the two tells it twice, not never. */
static void tell_rolled_back(struct app *app)
{
    char what[WHAT_BYTES];
    struct text text = text_begin(what, sizeof what);
    struct slot_info info;

    other_slot(app, &info);
    text_format(&text, "configuration %u was not confirmed: %s; number %u is in force again",
                (unsigned)app->slots.rolled_back,
                info.why[0] != '\0' ? info.why : "the device was reset meanwhile",
                (unsigned)app->slots.sequence);
    app_log(app, "%s", what);
    if (app_device_alert(app, SEVERITY_ERROR, "config", what) < 0 ||
        slots_rolled_back_said(&app->slots) < 0) {
        app_log(app, "configuration: this will be told again at the next start");
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
    text_print(what, sizeof what, "configuration %u was not confirmed: %s",
               (unsigned)app->slots.sequence, why);
    if (goes) {
        app_log(app, "%s; restarting with number %u", what, (unsigned)before);
        app_reboot(app);
    } else {
        app_log(app, "%s; it stays in force: there is no other", what);
        (void)app_device_alert(app, SEVERITY_ERROR, "config", what);
    }
}

/* So early that whatever the new settings bring about comes after it, and is undone by a reset. */
void trial_init(struct app *app)
{
    app->trial.unmarked = app->slots.on_trial && slots_trial_start(&app->slots) < 0;
}

void trial_start(struct app *app)
{
    char what[WHAT_BYTES];
    struct slots *slots = &app->slots;
    uint32_t sequence;

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
        app->trial.deadline_ms =
            app->platform.board->millis() + (uint64_t)app->config.confirm_timeout_s * 1000;
        text_print(what, sizeof what,
                   "configuration %u is being tried: unless a mail gets out within %u s, number %u "
                   "comes back",
                   (unsigned)slots->sequence, (unsigned)app->config.confirm_timeout_s,
                   (unsigned)number_before(app));
        app_log(app, "%s", what);
        if (app_test_alert(app, "device", "config", what, &sequence) < 0) {
            (void)app_device_alert(app, SEVERITY_NOTICE, "config", what);
        }
    }
}

void trial_accepted(struct app *app)
{
    if (app->trial.deadline_ms == 0) {
        return;
    }
    if (slots_trial_confirm(&app->slots) < 0) {
        app_log(app, "configuration: flash could not record that number %u is confirmed",
                (unsigned)app->slots.sequence);
        return; /* The next mail tries again, until the time is over. */
    }
    app->trial.deadline_ms = 0;
    app_log(app, "configuration %u is confirmed: a mail got out with it",
            (unsigned)app->slots.sequence);
}

void trial_poll(struct app *app)
{
    enum sender_stage stage;
    const char *error = app->sender.last_error;
    char why[SLOTS_WHY_BYTES];

    if (app->trial.deadline_ms == 0 || app->platform.board->millis() < app->trial.deadline_ms) {
        return;
    }
    if (app->sender.limit_ms > app->trial.deadline_ms) {
        app->trial.deadline_ms = app->sender.limit_ms + 60000; /* No fault of the settings. */
        return;
    }
    if (error[0] == '\0') {
        error = app_blocked(app, &stage);
    }
    text_print(why, sizeof why, "no mail got out in %u s%s%s",
               (unsigned)app->config.confirm_timeout_s, error != NULL ? ": " : "",
               error != NULL ? error : "");
    take_back(app, why, true);
}
