#include "firmware/roundtrip.h"

#include "firmware/answer.h"
#include "firmware/app.h"
#include "firmware/report.h"
#include "net/text.h"

#include <string.h>

#define TOKEN_BYTES 8
#define SENDING_S_MAX 240    /* A person waits, ... */
#define WAITING_S_MAX 600    /* ... */
#define BY_ITSELF_S_MAX 3600 /* ... a self test has the time of a slow relay. */
#define BLOCKED_S_MAX 20     /* For link, address and clock. */
#define POLL_FAILURES_MAX 3  /* Sessions with the mailbox; a person is told then. */
#define POLL_MS_MIN 2000
#define POLL_MS_MAX 60000
#define LOOK_MS 10000   /* Between two looks at the schedule, ... */
#define AGAIN_MS 600000 /* ... and when it could not begin. */
#define WHAT_BYTES 280

static uint32_t since_s(const struct app *app, uint64_t ms)
{
    return text_seconds(app->platform.board->millis() - ms);
}

bool roundtrip_waits(const struct app *app)
{
    return app->roundtrip.state != ROUNDTRIP_IDLE && !app->roundtrip.by_itself;
}

/* Back to IDLE; the mail, if it has not left, leaves no more. */
static void reset(struct app *app)
{
    struct roundtrip *trip = &app->roundtrip;

    if (trip->state == ROUNDTRIP_SENDING &&
        !(app->sender.have_item && app->sender.item.sequence == trip->number)) {
        (void)queue_remove(&app->queue, trip->number, QUEUE_DROPPED, 0);
    }
    trip->state = ROUNDTRIP_IDLE;
    trip->next_ms = app->platform.board->millis() + LOOK_MS;
}

static void end_console(struct app *app, const char *error)
{
    reset(app);
    app_answer(app, error);
    console_prompt(&app->console);
}

/* The diary has the end of a self test; error NULL: it succeeded. */
static void end_self_test(struct app *app, const char *what, bool failed)
{
    bool news = failed || app->diary.self_test_failed;

    reset(app);
    app_log(app, "%s", what);
    app->diary.self_test_unix_s = text_seconds(app_unix_ms(app));
    app->diary.self_test_failed = failed;
    /* The server that lost that mail may lose this one too. */
    app->sender.retry.second_first |= failed && app->sender.server == 0;
    if (news) {
        (void)app_device_alert(app, failed ? SEVERITY_ERROR : SEVERITY_NOTICE, "self test", what);
    }
    if (diary_save(&app->diary) < 0) {
        app_log(app, "self test: flash does not take it: a reset brings it back");
    }
}

static void fail(struct app *app, const char *why)
{
    const struct roundtrip *trip = &app->roundtrip;
    bool accepted = trip->state == ROUNDTRIP_WAITING;
    uint64_t since_ms = accepted ? trip->accepted_ms : trip->began_ms;
    uint32_t ms = (uint32_t)(app->platform.board->millis() - since_ms);
    char what[WHAT_BYTES];

    if (!trip->by_itself) {
        app_stage_line(app, accepted ? "back" : "accepted", false, ms, why);
        end_console(app, "the round trip failed at the stage above");
        return;
    }
    text_print(what, sizeof what, "the self test failed: its mail was %s after %u s: %s",
               accepted ? "accepted by the mail server, but not in the mailbox" : "not accepted",
               (unsigned)since_s(app, since_ms), why);
    end_self_test(app, what, true);
}

static void succeed(struct app *app)
{
    const struct roundtrip *trip = &app->roundtrip;
    uint64_t now_ms = app->platform.board->millis();
    uint32_t back_ms = (uint32_t)(now_ms - trip->accepted_ms);
    uint32_t all_ms = (uint32_t)(now_ms - trip->began_ms);
    char what[WHAT_BYTES];

    text_print(what, sizeof what, "found by poll %u", (unsigned)trip->polls);
    if (!trip->by_itself) {
        app_stage_line(app, "back", true, back_ms, what);
        app_stage_line(app, "total", true, all_ms, "");
        end_console(app, NULL);
        return;
    }
    text_print(what, sizeof what, "the self test succeeded: accepted after %u ms, back %u ms later",
               (unsigned)(all_ms - back_ms), (unsigned)back_ms);
    end_self_test(app, what, false);
}

const char *roundtrip_begin(struct app *app, bool by_itself)
{
    struct roundtrip *trip = &app->roundtrip;
    struct text token = text_begin(trip->token, sizeof trip->token);
    int error;

    if (trip->state != ROUNDTRIP_IDLE && (by_itself || !trip->by_itself)) {
        return "a round trip is under way";
    }
    if (!app->config_valid) {
        return "there is no valid configuration";
    }
    if (app->config.pop3.host[0] == '\0') {
        return "there is no mailbox: set `pop3`, `pop3_user` and `pop3_pass`";
    }
    if (trip->state != ROUNDTRIP_IDLE) {
        reset(app); /* A person does not wait for a self test. It begins anew. */
    }
    for (unsigned i = 0; i < TOKEN_BYTES / sizeof(uint32_t); i++) {
        text_add_hex(&token, random_u32(&app->random), 8);
    }
    error = answer_queue(app, "round trip", trip->token, NULL, NULL, &trip->number);
    if (error < 0) {
        return "the queue is full";
    }
    trip->state = ROUNDTRIP_SENDING;
    trip->by_itself = by_itself;
    trip->began_ms = app->platform.board->millis();
    trip->polls = 0;
    trip->sender_failed = app->sender.failed;
    trip->poller_failed = app->poller.failed;
    if (!by_itself) {
        sender_hurry(&app->sender, false);
    }
    return NULL;
}

void roundtrip_stop(struct app *app)
{
    if (roundtrip_waits(app)) {
        end_console(app, "stopped");
    }
}

void roundtrip_accepted(struct app *app, uint32_t number)
{
    struct roundtrip *trip = &app->roundtrip;

    if (trip->state != ROUNDTRIP_SENDING || trip->number != number) {
        return;
    }
    trip->state = ROUNDTRIP_WAITING;
    trip->accepted_ms = app->platform.board->millis();
    trip->next_ms = trip->accepted_ms;
    if (!trip->by_itself) {
        app_stage_line(app, "accepted", true, (uint32_t)(trip->accepted_ms - trip->began_ms),
                       app->sender.last_peer);
    }
}

bool roundtrip_seen(struct app *app, const char *subject)
{
    struct roundtrip *trip = &app->roundtrip;

    if (trip->state == ROUNDTRIP_IDLE || strstr(subject, trip->token) == NULL) {
        return false;
    }
    if (trip->state == ROUNDTRIP_SENDING) { /* The server's answer to it was lost. */
        trip->accepted_ms = app->platform.board->millis();
    }
    succeed(app);
    return true;
}

/* Why the mail will not go; NULL: it still may. */
static const char *sending_problem(struct app *app)
{
    const struct roundtrip *trip = &app->roundtrip;
    const struct sender *sender = &app->sender;
    uint32_t waited_s = since_s(app, trip->began_ms);
    const char *error = sender->last_error[0] != '\0' ? sender->last_error : "no answer";
    enum sender_stage stage;
    const char *blocked = app_blocked(app, &stage);
    struct queue_item item;

    if (!queue_find(&app->queue, trip->number, &item)) {
        return "it was taken out of the queue";
    }
    if (item.refused) {
        return error;
    }
    if (trip->by_itself) {
        return waited_s <= BY_ITSELF_S_MAX ? NULL : blocked != NULL ? blocked : error;
    }
    if (blocked != NULL && (stage < SENDER_ADDRESS || waited_s > BLOCKED_S_MAX)) {
        return blocked;
    }
    /* Each server had two chances. */
    if (!sender->running &&
        sender->failed - trip->sender_failed >= 2 * config_servers(&app->config)) {
        return error;
    }
    return waited_s > SENDING_S_MAX ? error : NULL;
}

static void poll_sending(struct app *app)
{
    const char *problem = sending_problem(app);

    if (problem != NULL) {
        fail(app, problem);
    }
}

/* At once, and then whenever half as long again has passed: soon at first, rarely in the end. */
static void poll_waiting(struct app *app)
{
    struct roundtrip *trip = &app->roundtrip;
    const struct poller *poller = &app->poller;
    uint64_t now_ms = app->platform.board->millis();
    uint32_t waited_ms = (uint32_t)(now_ms - trip->accepted_ms);
    uint32_t most_s = trip->by_itself ? BY_ITSELF_S_MAX : WAITING_S_MAX;
    uint32_t wait_ms = waited_ms / 2;
    bool fails = poller->failed - trip->poller_failed >= POLL_FAILURES_MAX;

    if (poller->running) {
        return;
    }
    if (waited_ms > most_s * 1000 || (fails && !trip->by_itself)) {
        fail(app, poller->last_error[0] != '\0' ? poller->last_error : "it has not come back");
    } else if (now_ms >= trip->next_ms && !poller->wanted) {
        wait_ms = wait_ms < POLL_MS_MIN ? POLL_MS_MIN : wait_ms;
        trip->next_ms = now_ms + (wait_ms < POLL_MS_MAX ? wait_ms : POLL_MS_MAX);
        trip->polls++;
        poller_hurry(app);
    }
}

static void look_at_schedule(struct app *app)
{
    uint64_t now_ms = app->platform.board->millis();
    uint64_t unix_s = text_seconds(app_unix_ms(app));
    uint32_t last_unix_s = app->diary.self_test_unix_s;
    enum sender_stage stage;
    const char *problem;

    app->roundtrip.next_ms = now_ms + LOOK_MS;
    if (app->config.self_test == 0 || app->config.pop3.host[0] == '\0' || unix_s == 0 ||
        (last_unix_s != 0 && report_next_unix_s(app->config.self_test, last_unix_s, unix_s,
                                                app->config.zone_minutes) > unix_s) ||
        app_blocked(app, &stage) != NULL) {
        return;
    }
    problem = roundtrip_begin(app, true);
    if (problem != NULL) {
        app_log(app, "self test: %s", problem);
        app->roundtrip.next_ms = now_ms + AGAIN_MS;
    }
}

void roundtrip_poll(struct app *app)
{
    switch (app->roundtrip.state) {
    case ROUNDTRIP_IDLE:
        if (app->platform.board->millis() >= app->roundtrip.next_ms) {
            look_at_schedule(app);
        }
        break;
    case ROUNDTRIP_SENDING:
        poll_sending(app);
        break;
    case ROUNDTRIP_WAITING:
        poll_waiting(app);
        break;
    }
}
