/* fetch_session.c - one mailbox, from the login to QUIT.
 *
 *   LOGIN -> UIDL [-> SIZES] [-> HEADERS] -> WORKS -> QUIT
 *              |        ^
 *              +--------+  the server has no UIDL
 *
 * WORKS: RETR of what is new, as many at a time as the server takes; a message that is whole joins
 * the batch; a full batch is made safe, delivered and remembered, and only then DELE goes out for
 * it. When something cannot be delivered, no more is asked for, what is on its way is thrown away,
 * and QUIT makes the server do what it was told so far.
 */
#include "boards/linux/fetch_work.h"

#include "net/text.h"

#include <string.h>
#include <unistd.h>

#define BODIES_MAX 16        /* Messages on their way: what is thrown away if one stops it all. */
#define DRAIN_MAX (4u << 20) /* More is not waited for: the connection is cut. */
#define BATCH_MS_MAX 2000    /* A batch does not wait longer for more. */
#define NO_UID "no uid"      /* No server can have it: there is a blank in it. */
#define REPLY_MS_BYTE 1      /* What a reply may take above total_timeout, a byte. */

/* ---- events: the listing ---- */

static void stop(struct fetch_work *work)
{
    work->leaves = true;
    if (work->step < FETCH_WORKS && work->waiting == 0) {
        work->step = FETCH_WORKS; /* Which has nothing to do, and says QUIT. */
    }
}

/* A message of the listing; uid "": it has none. */
static void take_listed(struct fetch_work *work, uint32_t number, const char *uid)
{
    int known = 0;

    if (work->counts.listed >= FETCH_LISTED_MAX) {
        (void)fetch_why(&work->why, EX_PROTOCOL, "the server lists too many messages");
        session_abort(&work->session);
        return;
    }
    work->counts.listed++;
    if (uid[0] == '\0') {
        if (!fetch_items_add(work, number, uid, FETCH_UNNAMED)) {
            stop(work);
        }
        return;
    }
    known = fetch_seen_listed(&work->seen, uid, &work->why);
    work->counts.known += known > 0;
    work->counts.fresh += known == 0;
    if (known < 0 || ((known == 0 || work->config.pop3_delete) &&
                      !fetch_items_add(work, number, uid, known > 0 ? FETCH_HERE : FETCH_NEW))) {
        stop(work);
    }
}

static void take_size(struct fetch_work *work, uint32_t number, uint64_t octets)
{
    struct fetch_item *item;

    if (work->by_header) {
        take_listed(work, number, "");
        item = work->count > 0 ? &work->items[work->count - 1] : NULL;
    } else {
        item = fetch_items_find(work, number);
    }
    if (item != NULL && item->number == number) {
        item->octets = octets < UINT32_MAX ? (uint32_t)octets : UINT32_MAX;
    }
}

/* A line of a listing. */
static void take_item(struct fetch_work *work, const struct pop3_event *event)
{
    if (event->verb == POP3_LIST_ALL) {
        take_size(work, event->number, event->octets);
    } else {
        take_listed(work, event->number, event->uid);
    }
}

static bool any_unnamed(const struct fetch_work *work)
{
    for (uint32_t i = 0; i < work->count; i++) {
        if (work->items[i].state == FETCH_UNNAMED) {
            return true;
        }
    }
    return false;
}

/* The listing is over: what comes next. */
static void listing_end(struct fetch_work *work)
{
    bool sizes = work->step == FETCH_SIZES;

    fetch_items_sort(work);
    fetch_header_begin(&work->header);
    work->listed = !work->leaves;
    if (!sizes && work->config.pop3_size_max > 0 && work->count > 0) {
        work->step = FETCH_SIZES;
    } else {
        work->step = any_unnamed(work) ? FETCH_HEADERS : FETCH_WORKS;
    }
}

static void uidl_done(struct fetch_work *work, const struct pop3_event *event)
{
    if (event->error == 0) {
        listing_end(work);
    } else if (event->error == E_TRANSIENT) {
        (void)fetch_why(&work->why, EX_TEMPFAIL, "UIDL: %s", event->text);
        stop(work);
    } else {
        work->by_header = true;
        work->step = FETCH_SIZES;
    }
}

static void sizes_done(struct fetch_work *work, const struct pop3_event *event)
{
    if (event->error < 0) {
        (void)fetch_why(&work->why, event->error == E_TRANSIENT ? EX_TEMPFAIL : EX_PROTOCOL,
                        "LIST: %s", event->text);
        stop(work);
        return;
    }
    listing_end(work);
}

/* The header of a message without a uid has come by. */
static void header_done(struct fetch_work *work, struct fetch_item *item,
                        const struct pop3_event *event)
{
    char uid[34];
    int known;

    item->state = FETCH_LEFT;
    if (event->error < 0) {
        /* What will be deleted need not be known by name: it comes once, unless a session ends
         * between its delivery and QUIT. */
        item->state = work->config.pop3_delete ? FETCH_NEW : FETCH_LEFT;
        work->counts.fresh += work->config.pop3_delete;
        work->counts.nameless += !work->config.pop3_delete;
        return;
    }
    fetch_header_uid(&work->header, uid);
    known = fetch_seen_listed(&work->seen, uid, &work->why);
    if (known < 0 || !fetch_items_name(work, item, uid)) {
        stop(work);
        return;
    }
    work->counts.known += known > 0;
    work->counts.fresh += known == 0;
    item->state = known == 0 ? FETCH_NEW : FETCH_HERE;
}

/* ---- events: messages ---- */

/* One line a mail. */
static void log_letter(struct fetch_work *work, const struct fetch_letter *letter)
{
    static const char kinds[] = "maildir\0mbox\0pipe";
    char line[900];
    struct text text = text_begin(line, sizeof line);

    text_format(&text, "account=%s from=<", work->name);
    text_add_printable(&text, letter->sender, strlen(letter->sender));
    text_format(&text, "> message-id=%s",
                letter->message_id[0] != '\0' ? letter->message_id : "<>");
    text_format(&text, " size=%u uid=%s server=%s to=%s:%s status=delivered",
                (unsigned)(letter->size < UINT32_MAX ? letter->size : UINT32_MAX),
                letter->uid[0] != '\0' ? letter->uid : "-", work->config.pop3.host,
                text_item(kinds, work->deliver.kind), work->deliver.path);
    maillog_line(work->log, 6, line);
}

/* Marks the batch: the first `delivered` are here, the rest is left. */
static void settle_batch(struct fetch_work *work, uint32_t delivered, bool recorded)
{
    for (uint32_t i = 0; i < work->deliver.count; i++) {
        const struct fetch_letter *letter = &work->deliver.letters[i];
        struct fetch_item *item = fetch_items_find(work, letter->number);
        bool here = i < delivered;

        if (here) {
            log_letter(work, letter);
            work->counts.fetched++;
        }
        if (item != NULL) {
            item->state = here && recorded ? FETCH_HERE : FETCH_LEFT;
        }
    }
}

/* Fills what is about to happen into the memory's batch. A message without a uid is not in it. */
static void name_batch(struct fetch_work *work, const struct fetch_seen_place *place)
{
    work->seen.place = *place;
    work->seen.batch_count = work->deliver.count;
    for (uint32_t i = 0; i < work->deliver.count; i++) {
        const struct fetch_letter *letter = &work->deliver.letters[i];
        struct fetch_seen_letter *named = &work->seen.batch[i];

        named->unix_s = letter->unix_s;
        (void)text_copy(named->uid, sizeof named->uid,
                        letter->uid[0] != '\0' ? letter->uid : NO_UID);
    }
}

/* Delivers what the batch holds. */
static void flush(struct fetch_work *work)
{
    struct fetch_why later = {0, ""};
    struct fetch_seen_place place;
    uint32_t delivered = 0;
    int error;

    if (work->deliver.count == 0) {
        return;
    }
    error = fetch_deliver_prepare(&work->deliver, &place, &work->why);
    if (error == 0) {
        name_batch(work, &place);
        error = fetch_seen_intend(&work->seen, place.length > 0, &work->why);
        if (error == 0) {
            error = fetch_deliver_commit(&work->deliver, &delivered, &later);
        }
        if (fetch_seen_commit(&work->seen, delivered, &work->why) < 0) {
            settle_batch(work, delivered, false);
            stop(work);
        } else {
            settle_batch(work, delivered, true);
        }
    } else {
        settle_batch(work, 0, false);
    }
    fetch_deliver_forget(&work->deliver);
    if (error == E_TRANSIENT) { /* That one message; others may go well. */
        work->counts.later++;
        fetch_say(work, 4, later.text);
    } else if (error < 0) {
        (void)fetch_why(&work->why, later.code, "%s", later.text);
        stop(work);
    }
}

static void begin_message(struct fetch_work *work, struct fetch_item *item)
{
    uint32_t unix_s = (uint32_t)(posix_unix_ms() / 1000);

    work->deliver.serial = fetch_seen_serial(&work->seen);
    if (fetch_deliver_begin(&work->deliver, item->number, fetch_uid(work, item), unix_s,
                            &work->why) < 0) {
        fetch_deliver_drop(&work->deliver);
        stop(work);
    }
}

/* Bytes of a header or of a message. */
static void take_data(struct fetch_work *work, const struct pop3_event *event)
{
    if (event->verb == POP3_TOP) {
        fetch_header_push(&work->header, event->data, event->size);
        return;
    }
    if (!work->leaves && !work->deliver.begun) {
        struct fetch_item *item = fetch_items_find(work, event->number);

        if (item != NULL) {
            begin_message(work, item);
        }
    }
    if (work->leaves) {
        work->drained += event->size;
        if (work->drained > DRAIN_MAX) {
            session_abort(&work->session);
        }
    } else if (fetch_deliver_push(&work->deliver, event->data, event->size, &work->why) < 0) {
        fetch_deliver_drop(&work->deliver);
        stop(work);
    }
}

static void refused(struct fetch_work *work, struct fetch_item *item, const char *words)
{
    char line[300];

    item->state = FETCH_LEFT;
    work->counts.refused++;
    text_print(line, sizeof line, "the server does not give message %u: %s", (unsigned)item->number,
               words);
    fetch_say(work, 4, line);
}

static void message_done(struct fetch_work *work, struct fetch_item *item,
                         const struct pop3_event *event)
{
    work->bodies--;
    if (event->error < 0) {
        refused(work, item, event->text);
        return;
    }
    if (!work->leaves && !work->deliver.begun) {
        begin_message(work, item); /* It is empty. */
    }
    if (work->leaves) {
        item->state = FETCH_LEFT;
        return;
    }
    if (fetch_deliver_end(&work->deliver, &work->why) < 0) {
        fetch_deliver_drop(&work->deliver);
        item->state = FETCH_LEFT;
        stop(work);
        return;
    }
    item->state = FETCH_BATCH_IN;
    if (work->deliver.count == 1) {
        work->batch_ms = work->now_ms;
    }
    if (fetch_deliver_full(&work->deliver) || work->now_ms - work->batch_ms > BATCH_MS_MAX) {
        flush(work);
    }
}

static void dele_done(struct fetch_work *work, struct fetch_item *item,
                      const struct pop3_event *event)
{
    item->state = event->error == 0 ? FETCH_DELETED : FETCH_LEFT;
    if (event->error < 0) {
        char line[300];

        text_print(line, sizeof line, "the server does not delete message %u: %s",
                   (unsigned)item->number, event->text);
        fetch_say(work, 4, line);
    }
}

/* What was deleted is so from a good QUIT on; the rest is found again in the next run. */
static void quit_done(struct fetch_work *work, const struct pop3_event *event)
{
    bool any = false;

    for (uint32_t i = 0; i < work->count; i++) {
        if (work->items[i].state == FETCH_DELETED) {
            any = true;
            if (event->error == 0) {
                work->counts.deleted++;
                fetch_seen_gone(&work->seen, fetch_uid(work, &work->items[i]), &work->why);
            }
        }
    }
    work->quit_done = event->error == 0;
    if (event->error < 0 && any) {
        (void)fetch_why(&work->why, EX_TEMPFAIL,
                        "the server did not say that it has deleted what it was told to");
    }
}

static void done(struct fetch_work *work, const struct pop3_event *event)
{
    struct fetch_item *item = event->number > 0 ? fetch_items_find(work, event->number) : NULL;

    switch (event->verb) {
    case POP3_UIDL_ALL:
        uidl_done(work, event);
        break;
    case POP3_LIST_ALL:
        sizes_done(work, event);
        break;
    case POP3_QUIT:
        quit_done(work, event);
        break;
    default:
        if (item == NULL) {
            break;
        }
        if (event->verb == POP3_TOP) {
            header_done(work, item, event);
            fetch_header_begin(&work->header);
        } else if (event->verb == POP3_RETR) {
            message_done(work, item, event);
        } else {
            dele_done(work, item, event);
        }
    }
}

static void trace_done(struct fetch_work *work, const struct pop3_event *event)
{
    if (work->options->verbose) {
        char line[300];
        size_t size =
            text_print(line, sizeof line, "%s %s", event->error < 0 ? "-ERR" : "+OK", event->text);

        fetch_trace(work, "<<< ", line, size);
    }
}

/* Takes what has come. True: something had. */
static bool take_events(struct fetch_work *work)
{
    const struct pop3_event *event;
    bool any = false;

    while ((event = pop3_event(&work->pop3)) != NULL) {
        any = true;
        if (event->kind == POP3_EVENT_DATA) {
            take_data(work, event);
        } else if (event->kind == POP3_EVENT_DONE) {
            trace_done(work, event);
            work->waiting -= work->waiting > 0 ? 1 : 0;
            done(work, event);
            work->now_ms = posix_monotonic_ms(); /* A delivery may have taken its time. */
            work->reply_ms = work->now_ms;
            work->reply_bytes = 0;
            if (work->leaves) {
                stop(work);
            }
        } else if (!work->leaves) { /* For which there may be no room. */
            take_item(work, event);
        }
        pop3_next(&work->pop3, work->now_ms);
    }
    return any;
}

/* ---- requests ---- */

static bool ask(struct fetch_work *work, enum pop3_verb verb, uint32_t number)
{
    if (pop3_request(&work->pop3, verb, number, work->now_ms) < 0) {
        return false;
    }
    if (work->waiting++ == 0) {
        work->reply_ms = work->now_ms;
        work->reply_bytes = 0;
    }
    return true;
}

static bool ask_headers(struct fetch_work *work)
{
    for (; work->ask_at < work->count; work->ask_at++) {
        struct fetch_item *item = &work->items[work->ask_at];

        if (item->state == FETCH_UNNAMED) {
            item->state = FETCH_ASKED;
            work->ask_at++;
            return ask(work, POP3_TOP, item->number);
        }
    }
    if (work->waiting == 0) {
        work->ask_at = 0;
        work->step = FETCH_WORKS;
        return true;
    }
    return false;
}

/* The next message that is new, and not too large. */
static bool ask_message(struct fetch_work *work)
{
    for (; work->ask_at < work->count; work->ask_at++) {
        struct fetch_item *item = &work->items[work->ask_at];

        if (item->state != FETCH_NEW) {
            continue;
        }
        if (work->config.pop3_size_max > 0 && item->octets > work->config.pop3_size_max) {
            item->state = FETCH_LEFT;
            work->counts.too_large++;
        } else if (!work->options->check_only) {
            item->state = FETCH_ASKED;
            work->ask_at++;
            work->bodies++;
            return ask(work, POP3_RETR, item->number);
        }
    }
    return false;
}

/* The next message that is here, and is to be deleted. In their order, so that the one cursor is
 * enough: it waits for those on their way. */
static bool ask_dele(struct fetch_work *work)
{
    if (!work->config.pop3_delete || work->options->check_only) {
        return false;
    }
    for (; work->dele_at < work->count; work->dele_at++) {
        struct fetch_item *item = &work->items[work->dele_at];

        if (item->state == FETCH_HERE) {
            item->state = FETCH_DELE;
            work->dele_at++;
            return ask(work, POP3_DELE, item->number);
        }
        if (item->state == FETCH_ASKED || item->state == FETCH_BATCH_IN ||
            (item->state == FETCH_NEW && !work->leaves)) {
            return false;
        }
    }
    return false;
}

static bool ask_work(struct fetch_work *work)
{
    /* Several requests leave in one segment, and do not trickle. */
    work->filling = work->bodies < BODIES_MAX && (work->filling || work->bodies <= BODIES_MAX / 2);
    if (!work->leaves && work->filling && ask_message(work)) {
        return true;
    }
    if (ask_dele(work)) {
        return true;
    }
    if (work->waiting > 0) {
        return false;
    }
    if (work->deliver.count > 0) {
        flush(work);
        work->now_ms = posix_monotonic_ms();
        return true;
    }
    work->step = FETCH_QUIT;
    return ask(work, POP3_QUIT, 0);
}

/* Asks for what may be asked now. True: it did something. */
static bool advance(struct fetch_work *work)
{
    if ((pop3_want(&work->pop3) & POP3_WANT_REQUEST) == 0) {
        return false;
    }
    switch (work->step) {
    case FETCH_LOGIN:
        work->step = FETCH_UIDL;
        return ask(work, POP3_UIDL_ALL, 0);
    case FETCH_SIZES:
        return work->waiting == 0 && ask(work, POP3_LIST_ALL, 0);
    case FETCH_HEADERS:
        return ask_headers(work);
    case FETCH_WORKS:
        return ask_work(work);
    case FETCH_UIDL:
    case FETCH_QUIT:
        break;
    }
    return false;
}

/* ---- the session ---- */

static void observe(void *context, enum session_phase phase, uint64_t now_ms)
{
    struct fetch_work *work = context;
    char line[300];
    struct text text = text_begin(line, sizeof line);

    (void)now_ms;
    if (phase == SESSION_CONNECT) {
        text_format(&text, "connected to %s [%s]", work->config.pop3.host, link_peer(work->link));
    } else if (phase == SESSION_TLS) {
        const struct tls_info *info = tls_info(&work->tls);

        text_format(&text, "%s %s %s %s", info->version, info->suite, info->curve,
                    info->chain[0].subject);
    } else {
        return;
    }
    fetch_trace(work, "--- ", line, text.length);
}

/* The configuration's `host` lines. */
static bool static_host(void *context, const char *name, uint32_t *address)
{
    const struct fetch_work *work = context;

    for (unsigned i = 0; i < work->config.host_count; i++) {
        if (text_equal_nocase(work->config.host[i].name, name)) {
            *address = work->config.host[i].address;
            return true;
        }
    }
    return false;
}

static void open_session(struct fetch_work *work)
{
    const struct config *config = &work->config;
    struct session_params params;

    work->pop3_params = (struct pop3_params){
        .user = config->pop3_user,
        .password = config->pop3_pass,
        .tls = config->pop3_tls,
        .auth_without_tls = config->auth_without_tls,
        .greeting_ms_max = config->greeting_timeout_s * 1000,
        .command_ms_max = config->command_timeout_s * 1000,
    };
    work->tls_params = (struct tls_params){
        .server_name = config->pop3_tls_name,
        .anchors = &work->trust.anchors,
        .random = &work->random,
        .unix_s = posix_unix_ms() / 1000,
    };
    fetch_engine(&work->engine);
    work->link = link_posix_init(&work->posix, static_host, work);
    params = (struct session_params){
        .link = work->link,
        .host = config->pop3.host,
        .port = config->pop3.port,
        .tls = config->pop3_tls == SMTP_TLS_OFF ? NULL : &work->tls,
        .tls_params = &work->tls_params,
        .tls_first = config->pop3_tls == SMTP_TLS_IMPLICIT,
        .connect_ms_max = config->connect_timeout_s * 1000,
        .ops = &work->engine,
        .engine = &work->pop3,
        .engine_params = &work->pop3_params,
        .observe = observe,
        .context = work,
    };
    memset(&work->pop3, 0, sizeof work->pop3);
    work->step = FETCH_LOGIN;
    session_start(&work->session, &params, work->now_ms);
}

/* A server that lets its bytes drip does not hold the next run up for ever: an answer has
 * total_timeout, and a millisecond for each of its bytes. */
static uint64_t reply_deadline(const struct fetch_work *work)
{
    if (work->waiting == 0 || work->config.total_timeout_s == 0) {
        return UINT64_MAX;
    }
    return work->reply_ms + (uint64_t)work->config.total_timeout_s * 1000 +
           work->reply_bytes * REPLY_MS_BYTE;
}

static bool step(struct fetch_work *work)
{
    bool moved = session_poll(&work->session, work->now_ms);

    if (work->session.phase == SESSION_ENGINE) {
        moved |= take_events(work);
        while (work->session.phase == SESSION_ENGINE && advance(work)) {
            moved = true;
        }
        if (work->now_ms >= reply_deadline(work)) {
            (void)fetch_why(&work->why, EX_TEMPFAIL, "%s: an answer took too long (total_timeout)",
                            work->config.pop3.host);
            session_abort(&work->session);
        }
    }
    return moved;
}

static int code_of(int error, bool login)
{
    return error == E_SECURITY ? EX_PROTOCOL
           : error == E_CONFIG ? (login ? EX_NOPERM : EX_CONFIG)
                               : EX_TEMPFAIL;
}

/* Why the session ended, if that was not well. */
static void outcome(struct fetch_work *work)
{
    const struct pop3_failure *failure = pop3_failure(&work->pop3);
    const struct tls_failure *tls = tls_failure(&work->tls);
    const char *host = work->config.pop3.host;
    int error = session_error(&work->session);

    if (tls != NULL && session_text(&work->session) != tls->text) {
        tls = NULL;
    }
    if (error != 0) {
        (void)fetch_why(&work->why, code_of(error, false), "%s: %s%s%s", host,
                        session_text(&work->session), tls != NULL ? ". " : "",
                        tls != NULL ? tls_advice(tls) : "");
    } else if (failure != NULL) {
        int code = failure->cause == POP3_CAUSE_PROTOCOL
                       ? EX_PROTOCOL
                       : code_of(failure->error, failure->cause == POP3_CAUSE_REPLY);

        (void)fetch_why(&work->why, code, "%s: %s: %s. %s", host, pop3_stage_name(failure->stage),
                        failure->text, pop3_advice(failure));
    }
}

void fetch_session(struct fetch_work *work)
{
    memset(&work->tls, 0, sizeof work->tls);
    work->now_ms = posix_monotonic_ms();
    open_session(work);
    while (!session_done(&work->session)) {
        work->now_ms = posix_monotonic_ms();
        if (!step(work)) {
            uint64_t until_ms = session_deadline(&work->session);
            uint64_t reply_ms = reply_deadline(work);

            until_ms = until_ms < reply_ms ? until_ms : reply_ms;
            until_ms = until_ms <= work->now_ms ? 0 : until_ms - work->now_ms;
            link_posix_wait(&work->posix, true, NULL, 0, until_ms < 60000 ? (int)until_ms : 60000);
        }
    }
    (void)take_events(work); /* Those that came before the end. */
    fetch_deliver_drop(&work->deliver);
    flush(work);
    outcome(work);
    tls_wipe(&work->tls);
}
