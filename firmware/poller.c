/*
 *   LOGIN -> STAT -> SCAN -> ASK -> SCAN            what mailbox.h wants to know of one message,
 *                         -> LIST -> SCAN           of all,
 *                         -> TOP -> SCAN            nothing for this device
 *                                -> DELE -> SCAN    a round trip that is back
 *                                -> READ -> SCAN    no order after all, or not now
 *                                        -> DELE    a report about an alert; an order, which ran
 *                                        -> TEXT -> SCAN   an order with a text, which comes by
 *                                                          again; it stays until it took effect
 *                    SCAN -> QUIT -> CLOSED
 */
#include "firmware/poller.h"

#include "firmware/app.h"
#include "firmware/remote.h"
#include "net/text.h"

#include <string.h>

#define LINK_LOST_MS_MAX 3000
#define SESSION_MS_MAX 600000 /* Then it ends after the message in hand, ... */
#define SESSION_MS_END 720000 /* ... or is cut off: nobody's alerts wait for a slow server. */
#define YIELD_MS_MAX 5000     /* How long an alert that is due waits for the message in hand. */
#define FIRST_MS_MAX 3000     /* From the start to the first session. */
#define FAST_MS 600000        /* How long `poll_fast` holds after an order or a report. */
#define FAILURES_ALERT 8      /* Sessions in a row; then a person is told. */
#define DELAY_S_MAX 86400
#define DIARY_S 60 /* Between two writes of what bounced. */

enum step {
    STEP_LOGIN,
    STEP_STAT,
    STEP_SCAN,
    STEP_ASK,
    STEP_LIST,
    STEP_TOP,
    STEP_READ,
    STEP_TEXT,
    STEP_DELE,
    STEP_QUIT
};

static struct poller_work *room(struct app *app)
{
    return &app->sender.poller;
}

static void count_up(uint8_t *count)
{
    *count += *count < UINT8_MAX ? 1 : 0;
}

SESSION_ENGINE(pop3);

/* ---- what a header tells ---- */

static bool holds(const char *text, const char *what)
{
    size_t size = strlen(what);

    for (; size > 0 && *text != '\0'; text++) {
        if (text_starts_nocase(text, what)) {
            return true;
        }
    }
    return false;
}

/* "TIME.BOOT.SEQUENCE.DEVICE@...", as sender_message_id() makes it: the sequence, if the device is
 * this one; 0 otherwise. */
static uint32_t own_message_id(const struct app *app, const char *value)
{
    char part[12];
    uint32_t sequence = 0;

    value += *value == '<' ? 1 : 0;
    for (unsigned i = 0; i < 3; i++) {
        struct text text = text_begin(part, sizeof part);

        while (*value >= '0' && *value <= '9') {
            text_add_char(&text, *value++);
        }
        if (*value++ != '.' || !text_parse_u32(part, UINT32_MAX, &sequence)) {
            return 0;
        }
    }
    return text_starts_nocase(value, app->device_id) && value[strlen(app->device_id)] == '@'
               ? sequence
               : 0;
}

/* A person means this device: the subject says `tocsin`, its host name or its id, or the mail
 * answers one of the device's. */
static bool means_device(const struct app *app, const char *subject)
{
    return holds(subject, "tocsin") || holds(subject, app->config.hostname) ||
           holds(subject, app->device_id);
}

/* What RFC 3834 section 2 and its predecessors give machines to say so: such mail is never an
 * order, and never answered. */
static bool says_automatic(const char *name, const char *value)
{
    if (text_equal_nocase(name, "Auto-Submitted")) {
        return !text_starts_nocase(value, "no");
    }
    if (text_equal_nocase(name, "Precedence")) {
        return text_starts_nocase(value, "bulk") || text_starts_nocase(value, "list") ||
               text_starts_nocase(value, "junk") || text_starts_nocase(value, "auto");
    }
    if (text_equal_nocase(name, "Return-Path")) {
        return text_starts_nocase(value, "<>");
    }
    return text_starts_nocase(name, "List-");
}

static void take_id(char *out, size_t size, const char *value)
{
    struct text text = text_begin(out, size);

    value += strcspn(value, "<");
    if (*value == '<') {
        text_add_bytes(&text, value + 1, strcspn(value + 1, "> "));
    }
    if (text.cut) {
        out[0] = '\0'; /* Half an id threads nothing. */
    }
}

static void take_header(struct app *app, const char *name, const char *value)
{
    struct poller_letter *letter = &room(app)->letter;

    if (says_automatic(name, value)) {
        letter->automatic = true;
    } else if (text_equal_nocase(name, "Subject")) {
        (void)text_copy(letter->subject, sizeof letter->subject, value);
        letter->to_device |= means_device(app, value);
        letter->round_trip |=
            app->roundtrip.state != ROUNDTRIP_IDLE && holds(value, app->roundtrip.token);
    } else if (text_equal_nocase(name, "Message-ID")) {
        take_id(letter->message_id, sizeof letter->message_id, value);
    } else if (text_equal_nocase(name, "From")) {
        (void)text_copy(letter->from, sizeof letter->from, value);
    } else if (text_equal_nocase(name, "In-Reply-To") || text_equal_nocase(name, "References")) {
        letter->to_device |= holds(value, app->device_id);
    }
}

static void take_field(void *context, enum mime_place place, const char *name, const char *value)
{
    struct app *app = context;
    struct poller_letter *letter = &room(app)->letter;

    if (place == MIME_HEADER) {
        take_header(app, name, value);
    } else if (place == MIME_ORIGINAL) {
        if (text_equal_nocase(name, "Message-ID") && letter->ours == 0) {
            letter->ours = own_message_id(app, value);
        }
    } else if (text_equal_nocase(name, "Action")) {
        letter->failed |= text_starts_nocase(value, "failed");
    } else if (text_equal_nocase(name, "Status") &&
               (letter->status[0] == '\0' || value[0] == '5')) {
        (void)text_copy(letter->status, sizeof letter->status, value);
    }
}

static void take_text(void *context, const char *bytes, size_t size)
{
    mailed_push(&room(context)->mailed, bytes, size);
}

/* A message, or its header, is about to come by. */
static void letter_begin(struct app *app, bool whole)
{
    struct poller_work *work = room(app);

    work->sink =
        (struct mime_sink){.context = app, .field = take_field, .text = whole ? take_text : NULL};
    mime_init(&work->mime, &work->sink);
}

/* ---- orders ---- */

static void refuse(struct app *app, const char *why)
{
    const struct poller_letter *letter = &room(app)->letter;
    char what[SENDER_TEXT_BYTES];

    app->poller.refused++;
    text_print(what, sizeof what, "an order by mail was refused: %s (From: %s, Subject: %s)", why,
               letter->from, letter->subject);
    app_log(app, "%s", what);
    if (authority_alarm(&app->authority, app->platform.board->millis())) {
        text_print(what, sizeof what,
                   "several orders by mail were refused, the last one since %s (From: %s)", why,
                   letter->from);
        (void)app_device_alert(app, SEVERITY_WARNING, "mailbox", what);
    }
}

/* Its mail goes when all that it does is in flash; until then it is what the order would be found
 * by after a reset. */
static enum step order_run(struct app *app, bool whole, bool resumed, enum mailbox_fate *fate)
{
    struct poller_work *work = room(app);

    app->poller.orders++;
    app->poller.fast_until_ms = app->platform.board->millis() + FAST_MS;
    app_log(app, "order by mail: %s", app->authority.order.command); /* What it sets is hidden. */
    remote_run(app, &work->mailed, whole, resumed);
    if (app->authority.order.phase == AUTHORITY_ENDED) {
        return STEP_DELE;
    }
    *fate = MAILBOX_LATER;
    return STEP_SCAN;
}

/* After the first reading: what becomes of it. Returns the step that follows; *fate is the
 * message's if that is STEP_SCAN. */
static enum step judge_order(struct app *app, enum mailbox_fate *fate)
{
    struct poller_work *work = room(app);
    const char *why = "";
    uint64_t unix_ms = app_unix_ms(app);
    enum authority_verdict verdict;

    *fate = MAILBOX_KEPT;
    if (work->mailed.proof == MAILED_NONE) {
        return STEP_SCAN;
    }
    verdict = authority_check(&app->authority, &work->mailed, unix_ms, &why);
    if (verdict == AUTHORITY_LATER) {
        if (!app->poller.waits) {
            app_log(app, "an order by mail waits: for the one before it, or answers_per_hour");
        }
        *fate = MAILBOX_LATER;
        return STEP_SCAN;
    }
    if (verdict == AUTHORITY_REFUSED) {
        refuse(app, why); /* It may be for another device with this mailbox, or for a person. */
        return STEP_SCAN;
    }
    if (verdict == AUTHORITY_DONE) {
        return STEP_DELE;
    }
    if (verdict == AUTHORITY_RUN &&
        authority_take(&app->authority, &work->mailed, work->letter.message_id,
                       work->letter.subject, app->slots.sequence, unix_ms) < 0) {
        app_log(app, "an order by mail waits: flash does not take its counter");
        *fate = MAILBOX_LATER;
        return STEP_SCAN;
    }
    if (remote_kind(app, &work->mailed, &why) == REMOTE_TEXT) {
        work->letter.resumed = verdict == AUTHORITY_RESUME;
        return STEP_TEXT;
    }
    return order_run(app, true, verdict == AUTHORITY_RESUME, fate);
}

static void take_order_text(void *context, const char *bytes, size_t size)
{
    remote_text(context, bytes, size);
}

static void order_text_begin(struct app *app)
{
    struct poller_work *work = room(app);
    struct mailed_keys *keys = &work->keys;

    remote_text_begin(app, &work->mailed);
    authority_keys(&app->authority, keys);
    keys->text = take_order_text;
    keys->context = app;
    mailed_init(&work->mailed, keys);
    letter_begin(app, true);
}

/* The text has come by a second time: it counts if it is what was verified. */
static enum step order_text_end(struct app *app, enum mailbox_fate *fate)
{
    struct poller_work *work = room(app);
    bool same =
        work->mailed.proof == MAILED_SIGNED &&
        memcmp(app->authority.order.hash, work->mailed.hash, sizeof app->authority.order.hash) == 0;

    return order_run(app, same, work->letter.resumed, fate);
}

/* ---- delivery reports ---- */

/* True: it is about an alert of this device's. */
static bool judge_report(struct app *app)
{
    const struct poller_letter *letter = &room(app)->letter;
    char what[SENDER_TEXT_BYTES];

    if (letter->ours == 0) {
        return false;
    }
    text_print(what, sizeof what, "alert %u %s: %s", (unsigned)letter->ours,
               letter->failed ? "came back, it was not delivered" : "is told of by a mail server",
               letter->status);
    app_log(app, "%s", what);
    if (letter->failed) {
        uint32_t unix_s = text_seconds(app_unix_ms(app));

        /* Anybody can write such a report: flash knows of it at once, but not of each. */
        if (unix_s - app->diary.bounced_unix_s > DIARY_S) {
            app->diary.save_ms = 1;
        } else if (app->diary.save_ms == 0) {
            app->diary.save_ms = app->platform.board->millis() + DIARY_S * 1000;
        }
        app->diary.bounced++;
        app->diary.bounced_number = letter->ours;
        app->diary.bounced_unix_s = unix_s;
        (void)text_copy(app->diary.bounced_status, sizeof app->diary.bounced_status,
                        letter->status);
    }
    return true;
}

/* ---- one message ---- */

static void leave(struct app *app, enum mailbox_fate fate)
{
    mailbox_looked(&room(app)->mailbox, fate);
    room(app)->later += fate == MAILBOX_LATER ? 1 : 0;
    app->poller.step = STEP_SCAN;
}

static void begin_reading(struct app *app)
{
    struct poller_work *work = room(app);
    struct mailed_keys *keys = &work->keys;

    authority_keys(&app->authority, keys);
    keys->text = NULL;
    mailed_init(&work->mailed, keys);
    letter_begin(app, true);
    app->poller.step = STEP_READ;
}

/* The header has been read. */
static void judge_header(struct app *app)
{
    const struct poller_letter *letter = &room(app)->letter;
    bool report = mime_is_report(&room(app)->mime);
    bool order = letter->to_device && !letter->automatic && authority_on(&app->authority);

    if (letter->round_trip && roundtrip_seen(app, app->roundtrip.token)) {
        app->poller.step = STEP_DELE;
    } else if ((report || order) && letter->octets <= app->config.pop3_size_max) {
        begin_reading(app);
    } else {
        if (letter->to_device && letter->automatic) {
            app->poller.automatic++;
        } else if (order) {
            app_log(app, "a mail to this device is larger than pop3_size and was not read");
        }
        app->poller.step = app->config.pop3_delete ? STEP_DELE : STEP_SCAN;
        if (app->poller.step == STEP_SCAN) {
            leave(app, MAILBOX_KEPT);
        }
    }
}

/* The whole message has been read. */
static void judge_whole(struct app *app)
{
    enum mailbox_fate fate = MAILBOX_KEPT;
    enum step next;

    if (app->poller.step == STEP_TEXT) {
        next = order_text_end(app, &fate);
    } else if (mime_is_report(&room(app)->mime)) {
        next = judge_report(app) ? STEP_DELE : STEP_SCAN;
    } else {
        next = judge_order(app, &fate);
    }
    if (next == STEP_SCAN && fate == MAILBOX_KEPT && app->config.pop3_delete) {
        next = STEP_DELE;
    }
    app->poller.step = (uint8_t)next;
    if (next == STEP_SCAN) {
        leave(app, fate);
    } else if (next == STEP_TEXT) {
        order_text_begin(app);
    }
}

/* ---- asking and being told ---- */

static bool asks_whole(struct app *app)
{
    return !room(app)->has_top || room(app)->letter.no_top;
}

static int ask(struct app *app, enum pop3_verb verb, uint32_t number, uint64_t now_ms)
{
    int error = pop3_request(&room(app)->pop3, verb, number, now_ms);

    room(app)->pending += error == 0 ? 1 : 0;
    return error;
}

/* What the step in hand asks of the server, once. */
static int ask_step(struct app *app, uint64_t now_ms)
{
    struct poller_work *work = room(app);
    uint32_t number = work->letter.number;
    int error = 0;

    switch ((enum step)app->poller.step) {
    case STEP_LOGIN:
        app->poller.step = STEP_STAT;
        return ask(app, POP3_STAT, 0, now_ms);
    case STEP_ASK:
        error = work->has_uidl ? ask(app, POP3_UIDL, number, now_ms) : 0;
        return error < 0 ? error : ask(app, POP3_LIST, number, now_ms);
    case STEP_LIST:
        return ask(app, POP3_UIDL_ALL, 0, now_ms);
    case STEP_TOP:
        letter_begin(app, false);
        return ask(app, asks_whole(app) ? POP3_RETR : POP3_TOP, number, now_ms);
    case STEP_READ:
    case STEP_TEXT:
        return ask(app, POP3_RETR, number, now_ms);
    case STEP_DELE:
        return ask(app, POP3_DELE, number, now_ms);
    case STEP_QUIT:
        mailbox_end(&work->mailbox);
        return ask(app, POP3_QUIT, 0, now_ms);
    case STEP_STAT:
    case STEP_SCAN:
        break;
    }
    return error;
}

/* Between messages: what mailbox.h wants next, or the end. */
static void scan(struct app *app)
{
    struct poller_work *work = room(app);
    struct mailbox_step step;

    if (app->poller.leaves || !mailbox_step(&work->mailbox, &step)) {
        app->poller.step = STEP_QUIT;
        return;
    }
    if (step.ask == MAILBOX_ASK) {
        memset(&work->letter, 0, sizeof work->letter);
        work->letter.number = step.number;
        work->uid[0] = '\0';
        app->poller.step = STEP_ASK;
    } else if (step.ask == MAILBOX_LIST) {
        app->poller.step = STEP_LIST;
    } else {
        /* A server without TOP would have to send the whole message. */
        work->letter.number = step.number;
        app->poller.step = STEP_TOP;
        if (!work->has_top && work->letter.octets > app->config.pop3_size_max) {
            leave(app, MAILBOX_KEPT);
        }
    }
}

static void stat_done(struct app *app, const struct pop3_event *event)
{
    struct poller_work *work = room(app);
    unsigned capabilities = pop3_capabilities(&work->pop3);
    bool known = (capabilities & POP3_CAP_KNOWN) != 0;

    if (event->error < 0) {
        app->poller.leaves = true;
        app->poller.step = STEP_QUIT;
        work->count_known = false;
        return;
    }
    /* A server without CAPA may have both: it is asked, and may refuse. */
    work->has_uidl = !known || (capabilities & POP3_CAP_UIDL) != 0;
    work->has_top = !known || (capabilities & POP3_CAP_TOP) != 0;
    work->count_known = true;
    app->poller.count = event->count;
    mailbox_begin(&work->mailbox, &work->memory, event->count, event->octets, work->has_uidl,
                  text_seconds(app_unix_ms(app)));
    app->poller.step = STEP_SCAN;
}

static void ask_done(struct app *app, const struct pop3_event *event)
{
    struct poller_work *work = room(app);

    if (event->verb == POP3_UIDL) {
        (void)text_copy(work->uid, sizeof work->uid, event->error < 0 ? "" : event->uid);
        return;
    }
    work->letter.octets = event->octets > UINT32_MAX ? UINT32_MAX : (uint32_t)event->octets;
    mailbox_told(&work->mailbox, event->error, work->uid, work->letter.octets);
    app->poller.step = STEP_SCAN;
}

/* The server would not give a message. One that does not know TOP, and had no CAPA to say so, may
 * give all of it; what may be an order or a report is asked for until it comes. */
static void message_refused(struct app *app, int error)
{
    struct poller_letter *letter = &room(app)->letter;

    if (app->poller.step == STEP_TOP && error != E_TRANSIENT && !asks_whole(app) &&
        letter->octets <= app->config.pop3_size_max) {
        letter->no_top = true;
        return;
    }
    leave(app, error == E_TRANSIENT || app->poller.step != STEP_TOP ? MAILBOX_LATER : MAILBOX_KEPT);
}

static void message_done(struct app *app, const struct pop3_event *event)
{
    struct poller_work *work = room(app);

    if (event->error < 0) {
        message_refused(app, event->error);
        return;
    }
    mime_end(&work->mime);
    if (app->poller.step == STEP_TOP) {
        judge_header(app);
    } else {
        mailed_end(&work->mailed);
        judge_whole(app);
    }
}

static void done(struct app *app, const struct pop3_event *event)
{
    struct poller_work *work = room(app);

    switch (event->verb) {
    case POP3_STAT:
        stat_done(app, event);
        break;
    case POP3_UIDL:
    case POP3_LIST:
        ask_done(app, event);
        break;
    case POP3_UIDL_ALL:
        mailbox_items_end(&work->mailbox, event->error);
        app->poller.step = STEP_SCAN;
        break;
    case POP3_TOP:
    case POP3_RETR:
        message_done(app, event);
        break;
    case POP3_DELE:
        leave(app, event->error == E_TRANSIENT ? MAILBOX_LATER
                   : event->error < 0          ? MAILBOX_KEPT
                                               : MAILBOX_DELETED);
        break;
    default:
        break;
    }
}

/* Takes what has come. True: something had. */
static bool take_events(struct app *app, uint64_t now_ms)
{
    struct poller_work *work = room(app);
    const struct pop3_event *event;
    bool any = false;

    while ((event = pop3_event(&work->pop3)) != NULL) {
        if (event->kind == POP3_EVENT_ITEM) {
            mailbox_item(&work->mailbox, event->number, event->uid);
        } else if (event->kind == POP3_EVENT_DATA) {
            mime_push(&work->mime, event->data, event->size);
        } else {
            work->pending -= work->pending > 0 ? 1 : 0;
            done(app, event);
        }
        pop3_next(&work->pop3, now_ms);
        any = true;
    }
    return any;
}

/* Asks when nothing is under way. True: it did. */
static bool advance(struct app *app, uint64_t now_ms)
{
    struct poller_work *work = room(app);

    if (!(pop3_want(&work->pop3) & POP3_WANT_REQUEST) || work->pending > 0) {
        return false;
    }
    if (app->poller.step == STEP_SCAN) {
        scan(app);
        if (app->poller.step == STEP_SCAN) {
            return true;
        }
    }
    if (ask_step(app, now_ms) < 0 || work->pending == 0) {
        session_abort(&app->sender.session);
    }
    return true;
}

/* ---- sessions ---- */

static void observe(void *context, enum session_phase phase, uint64_t now_ms)
{
    struct app *app = context;
    const struct tls_info *info = tls_info(&app->tls);

    (void)now_ms;
    if (phase == SESSION_TLS && !info->resumed) {
        app->poller.not_after_unix_s = (uint32_t)info->chain[0].not_after_unix_s;
    }
}

/* Not inlined: its frame is no part of the stack while a handshake runs. */
__attribute__((noinline)) static void begin(struct app *app, const struct sender_now *now)
{
    const struct config *config = &app->config;
    struct sender *sender = &app->sender;
    struct poller_work *work = sender_lend(sender);
    struct session_params params = {
        .link = app->platform.link,
        .host = config->pop3.host,
        .port = config->pop3.port,
        .tls = config->pop3_tls == SMTP_TLS_OFF ? NULL : &app->tls,
        .tls_params = &sender->tls_params,
        .tls_first = config->pop3_tls == SMTP_TLS_IMPLICIT,
        .connect_ms_max = config->connect_timeout_s * 1000,
        .ops = &pop3_engine,
        .engine = &work->pop3,
        .engine_params = &work->params,
        .observe = observe,
        .context = app,
    };

    if (work == NULL) {
        return;
    }
    work->params = (struct pop3_params){
        .user = config->pop3_user,
        .password = config->pop3_pass,
        .tls = config->pop3_tls,
        .auth_without_tls = config->auth_without_tls,
        .greeting_ms_max = config->greeting_timeout_s * 1000,
        .command_ms_max = config->command_timeout_s * 1000,
    };
    sender->tls_params = (struct tls_params){
        .server_name = config->pop3_tls_name[0] != '\0' ? config->pop3_tls_name : config->pop3.host,
        .anchors = sender->params.anchors(app),
        .random = &app->random,
        .unix_s = text_seconds(now->unix_ms),
        .resume = &app->poller.resume,
    };
    mailbox_load(&app->journal,
                 mailbox_account(config->pop3.host, config->pop3.port, config->pop3_user),
                 &work->memory);
    app->poller.running = true;
    app->poller.leaves = false;
    app->poller.step = STEP_LOGIN;
    app->poller.began_ms = now->now_ms;
    app->poller.yield_ms = 0;
    app->poller.polls++;
    session_start(&sender->session, &params, now->now_ms);
}

static uint64_t jittered(struct app *app, uint32_t ms)
{
    return ms - ms / 10 + random_u32(&app->random) % (ms / 5 + 1);
}

/* When to look again after a good session. */
static uint64_t next_ms(struct app *app, uint64_t now_ms)
{
    const struct config *config = &app->config;
    const struct poller_work *work = room(app);
    bool more = work->count_known && mailbox_left_count(&work->mailbox) > work->memory.later_count;
    bool fast = more || now_ms < app->poller.fast_until_ms ||
                text_seconds(app_unix_ms(app)) < app->diary.fast_until_unix_s;
    uint32_t interval_s = fast && config->poll_fast_s != 0 ? config->poll_fast_s : config->poll_s;
    uint64_t at_ms;

    if (interval_s == 0) {
        return UINT64_MAX;
    }
    at_ms = now_ms + jittered(app, interval_s * 1000);
    return at_ms > app->poller.login_ms ? at_ms : app->poller.login_ms;
}

/* The class of what ended the session, with its words in last_error; 0 after a good end. */
static int outcome(struct app *app)
{
    struct poller *poller = &app->poller;
    const struct session *session = &app->sender.session;
    const struct pop3_failure *failure = pop3_failure(&room(app)->pop3);
    const struct tls_failure *tls = tls_failure(&app->tls);
    struct text text = text_begin(poller->last_error, sizeof poller->last_error);
    int error = session_error(session);

    if (tls != NULL && session_text(session) != tls->text) {
        tls = NULL; /* It is another session's, or not what ended this one. */
    }
    if (error != 0) {
        text_format(&text, "%s: %s (%s)%s%s", app->config.pop3.host, session_text(session),
                    error_name(error), tls != NULL ? ". " : "", tls != NULL ? tls_advice(tls) : "");
    } else if (failure != NULL) {
        error = failure->error;
        text_format(&text, "%s: %s: %s (%s). %s", app->config.pop3.host,
                    pop3_stage_name(failure->stage), failure->text, error_name(error),
                    pop3_advice(failure));
    } else if (!room(app)->count_known) {
        error = E_TRANSIENT;
        text_format(&text, "%s: no answer to STAT.", app->config.pop3.host);
    }
    return error;
}

static void session_failed(struct app *app, uint64_t now_ms)
{
    struct poller *poller = &app->poller;
    uint64_t wait_ms;

    poller->failed++;
    count_up(&poller->failures);
    wait_ms = sender_backoff_ms(&app->sender, poller->failures);
    poller->next_ms = now_ms + wait_ms;
    if (poller->next_ms < poller->login_ms) {
        poller->next_ms = poller->login_ms;
    }
    app_log(app, "mailbox: %s Next try in %u s.", poller->last_error,
            (unsigned)text_seconds(poller->next_ms - now_ms + 999));
    if (poller->failures == FAILURES_ALERT) {
        (void)app_device_alert(app, SEVERITY_WARNING, "mailbox", poller->last_error);
    }
}

/* LOGIN-DELAY, of which more than a day is a mistake. */
static uint32_t login_delay_ms(const struct pop3 *pop3)
{
    uint32_t delay_s = pop3_login_delay_s(pop3);

    return (delay_s < DELAY_S_MAX ? delay_s : DELAY_S_MAX) * 1000;
}

static void session_good(struct app *app, uint64_t now_ms)
{
    struct poller *poller = &app->poller;
    struct poller_work *work = room(app);
    uint32_t expire_days = pop3_expire_days(&work->pop3);
    uint32_t looked = work->count_known ? mailbox_new_count(&work->mailbox) : 0;

    poller->login_ms = poller->began_ms + login_delay_ms(&work->pop3);
    if (looked > (poller->waits ? work->later : 0) || poller->failures > 0 || poller->said) {
        app_log(app, "mailbox: %u messages, %u new; %u bytes, %u round trips",
                (unsigned)poller->count, (unsigned)looked, (unsigned)poller->octets,
                (unsigned)poller->turns);
    }
    if (expire_days != POP3_EXPIRE_NEVER && !poller->expire_said &&
        expire_days <= app->config.poll_s / 86400) {
        poller->expire_said = true;
        app_log(app, "mailbox: the server keeps mail for %u days, which `poll` does not suit",
                (unsigned)expire_days);
    }
    poller->waits = work->later > 0; /* The log has that. */
    poller->good = true;
    trial_polled(app);
    poller->said = false;
    poller->failures = 0;
    poller->last_unix_s = text_seconds(app_unix_ms(app));
    poller->next_ms = next_ms(app, now_ms);
}

__attribute__((noinline)) static void end(struct app *app, uint64_t now_ms)
{
    struct poller *poller = &app->poller;
    struct poller_work *work = room(app);
    int error = outcome(app);

    poller->running = false;
    poller->wanted = false;
    poller->octets = pop3_octets(&work->pop3);
    poller->turns = pop3_turns(&work->pop3);
    if (work->count_known) {
        mailbox_end(&work->mailbox);
        if (mailbox_save(&app->journal, &work->memory) < 0) {
            app_log(app, "mailbox: flash does not take what was looked at");
        }
    }
    if (error == 0) {
        session_good(app, now_ms);
    } else if (poller->yield_ms == 0) {
        session_failed(app, now_ms);
    }
    if (poller->yield_ms != 0) { /* It gave way to an alert, and goes on behind it. */
        poller->next_ms = now_ms + (error == 0 ? 0 : sender_backoff_ms(&app->sender, 1));
        if (poller->next_ms < poller->login_ms) {
            poller->next_ms = poller->login_ms;
        }
    }
    sender_take_back(&app->sender);
    if (remote_commit(app)) { /* Its mail is still there. */
        poller->next_ms = now_ms > poller->login_ms ? now_ms : poller->login_ms;
    }
    if (app->reboot_wanted) {
        app_reboot(app);
    }
}

/* An alert does not wait for a mailbox: the session ends after the message in hand, or soon. */
static void follow_alerts(struct app *app, uint64_t now_ms)
{
    struct poller *poller = &app->poller;

    if (poller->yield_ms == 0 && sender_wants(&app->sender, now_ms)) {
        poller->yield_ms = now_ms;
        poller->leaves = true;
        if (app->sender.session.phase < SESSION_ENGINE) { /* There is no message in hand. */
            session_abort(&app->sender.session);
        }
    }
    if (poller->yield_ms != 0 && now_ms - poller->yield_ms > YIELD_MS_MAX) {
        session_abort(&app->sender.session);
    }
    if (now_ms - poller->began_ms > SESSION_MS_MAX) {
        poller->leaves = true;
    }
    if (now_ms - poller->began_ms > SESSION_MS_END) {
        session_abort(&app->sender.session);
    }
}

static void follow_link(struct app *app, const struct sender_now *now)
{
    struct poller *poller = &app->poller;

    if (now->blocked == NULL || now->blocked_stage > SENDER_ADDRESS) {
        poller->link_lost_ms = 0;
    } else if (poller->link_lost_ms == 0) {
        poller->link_lost_ms = now->now_ms;
    } else if (now->now_ms - poller->link_lost_ms > LINK_LOST_MS_MAX) {
        session_abort(&app->sender.session);
    }
}

static bool run(struct app *app, const struct sender_now *now)
{
    struct session *session = &app->sender.session;
    bool moved = session_poll(session, now->now_ms);

    follow_link(app, now);
    follow_alerts(app, now->now_ms);
    if (session->phase == SESSION_ENGINE) {
        moved |= take_events(app, now->now_ms);
        moved |= advance(app, now->now_ms);
    }
    if (session_done(session)) {
        (void)take_events(app, now->now_ms);
        end(app, now->now_ms);
        moved = true;
    }
    return moved;
}

/* Nothing can be asked now. Certificates cannot be checked without the time. */
static bool blocked(const struct app *app, const struct sender_now *now)
{
    return (now->blocked != NULL && now->blocked_stage <= SENDER_ADDRESS) ||
           (now->unix_ms == 0 && app->config.pop3_tls != SMTP_TLS_OFF) ||
           (app->tls_problem != NULL && app->config.pop3_tls != SMTP_TLS_OFF);
}

void poller_init(struct app *app)
{
    enum reset_cause cause = app->platform.board->reset_cause();
    uint32_t first_ms = random_u32(&app->random) % FIRST_MS_MAX;

    /* If it was a mail that broke the device, alerts get out first, and time passes. */
    if (cause == RESET_FAULT || cause == RESET_WATCHDOG) {
        first_ms = app->config.poll_s * 1000;
    }
    memset(&app->poller, 0, sizeof app->poller);
    app->poller.next_ms =
        app->config.poll_s == 0 ? UINT64_MAX : app->platform.board->millis() + first_ms;
}

bool poller_poll(struct app *app, const struct sender_now *now)
{
    if (app->poller.running) {
        return run(app, now);
    }
    if (app->config.pop3.host[0] == '\0' || now->now_ms < app->poller.next_ms ||
        blocked(app, now) || sender_wants(&app->sender, now->now_ms)) {
        return false;
    }
    begin(app, now);
    return app->poller.running;
}

uint64_t poller_deadline(const struct app *app)
{
    if (app->config.pop3.host[0] == '\0') {
        return UINT64_MAX;
    }
    return app->poller.running ? session_deadline(&app->sender.session) : app->poller.next_ms;
}

void poller_hurry(struct app *app)
{
    uint64_t now_ms = app->platform.board->millis();

    app->poller.wanted = true;
    if (!app->poller.running) {
        app->poller.next_ms = now_ms > app->poller.login_ms ? now_ms : app->poller.login_ms;
    }
}
