#include "firmware/mute.h"

#include "firmware/app.h"
#include "net/text.h"

#include <string.h>

#define SAVE_MS 60000
#define WHAT_BYTES 120

/* Case ignored; a[412] is a. */
static bool is_source(const char *name, const char *source)
{
    char plain[ALERT_NAME_BYTES];

    (void)text_copy(plain, sizeof plain, name);
    plain[strcspn(plain, "[")] = '\0';
    return plain[0] != '\0' && text_equal_nocase(plain, source);
}

static bool is_of(const struct alert *alert, const char *source)
{
    bool own = strcmp(alert->source, "device") == 0;

    return is_source(alert->app, source) || (!own && (text_equal_nocase(alert->host, source) ||
                                                      text_equal_nocase(alert->sender, source)));
}

/* The mute of that source; NULL: none. A free one for "". */
static struct diary_mute *find(struct app *app, const char *source)
{
    for (size_t i = 0; i < DIARY_MUTES_MAX; i++) {
        if (text_equal_nocase(app->diary.mutes[i].source, source)) {
            return &app->diary.mutes[i];
        }
    }
    return NULL;
}

bool mute_takes(struct app *app, const struct alert *alert)
{
    uint32_t now_s = text_seconds(app_unix_ms(app));

    if (now_s == 0 || alert->severity == SEVERITY_EMERGENCY) {
        return false;
    }
    for (size_t i = 0; i < DIARY_MUTES_MAX; i++) {
        struct diary_mute *mute = &app->diary.mutes[i];

        if (mute->source[0] != '\0' && now_s < mute->until_unix_s && is_of(alert, mute->source)) {
            mute->count++;
            if (app->diary.save_ms == 0) {
                app->diary.save_ms = app->platform.board->millis() + SAVE_MS;
            }
            return true;
        }
    }
    return false;
}

/* A power cut between the two tells it twice. */
static const char *end(struct app *app, struct diary_mute *mute)
{
    char what[WHAT_BYTES];
    bool any = mute->count > 0;

    text_print(what, sizeof what, "the mute of %s is over: it kept back %u alert%s", mute->source,
               (unsigned)mute->count, mute->count == 1 ? "" : "s");
    mute->source[0] = '\0'; /* Or it might keep back this one. */
    if (!any || app_device_alert(app, SEVERITY_NOTICE, "mute", what) <= 0) {
        app_log(app, "%s", what);
    }
    memset(mute, 0, sizeof *mute);
    return diary_save(&app->diary) < 0 ? "flash does not take it: a reset brings it back" : NULL;
}

const char *mute_set(struct app *app, const char *source, uint32_t seconds)
{
    uint64_t unix_ms = app_unix_ms(app);
    char name[DIARY_NAME_BYTES];
    bool fits = text_copy(name, sizeof name, source);
    struct diary_mute *mute;

    name[strcspn(name, "[")] = '\0'; /* As it stands in a mail. */
    if (!fits || name[0] == '\0') {
        return "expected a host, app or address of at most 31 bytes";
    }
    mute = find(app, name);
    if (seconds == 0) {
        return mute != NULL ? end(app, mute) : "nothing is muted under that name";
    }
    if (unix_ms == 0) {
        return "the time is not known yet";
    }
    mute = mute != NULL ? mute : find(app, "");
    if (mute == NULL) {
        return "too many mutes: `mute SOURCE off` first";
    }
    (void)text_copy(mute->source, sizeof mute->source, name);
    mute->until_unix_s = text_seconds(unix_ms) + seconds;
    return diary_save(&app->diary) < 0 ? "flash does not take it: it holds until a reset" : NULL;
}

void mute_poll(struct app *app)
{
    uint32_t now_s = text_seconds(app_unix_ms(app));

    for (size_t i = 0; i < DIARY_MUTES_MAX && now_s != 0; i++) {
        struct diary_mute *mute = &app->diary.mutes[i];

        if (mute->source[0] != '\0' && now_s >= mute->until_unix_s) {
            (void)end(app, mute);
        }
    }
    if (app->platform.board->millis() >= app->diary.save_ms) {
        mute_flush(app);
    }
}

void mute_flush(struct app *app)
{
    if (app->diary.save_ms != 0) {
        app->diary.save_ms =
            diary_save(&app->diary) < 0 ? app->platform.board->millis() + SAVE_MS : 0;
    }
}
