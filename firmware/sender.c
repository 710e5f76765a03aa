#include "firmware/sender.h"

#include "net/text.h"

#include <string.h>

#define LINK_LOST_MS_MAX 3000 /* A shorter gap is left to TCP. */
#define DEFERRED_MAX 3        /* Mails in a row; then it is the server, not the mail. */
#define STAY_MS_MAX 10000     /* A limit that passes so soon is waited for with the session open. */
#define EXPIRY_MS 600000      /* How often the queue is searched for what is too old, */
#define EXPIRY_ITEMS 16       /* in steps of so many. */

const char *sender_stage_name(enum sender_stage stage)
{
    static const char *const name[SENDER_STAGE_COUNT] = {
        "link", "address", "clock", "DNS", "connect", "TLS", "AUTH", "recipient", "accepted"};

    return stage < SENDER_STAGE_COUNT ? name[stage] : "?";
}

void sender_init(struct sender *sender, const struct sender_params *params)
{
    memset(sender, 0, sizeof *sender);
    sender->params = *params;
}

static void say(struct sender *sender, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(struct sender *sender, const char *format, ...)
{
    char line[SENDER_TEXT_BYTES];
    struct text text = text_begin(line, sizeof line);
    va_list list;

    va_start(list, format);
    text_format_list(&text, format, list);
    va_end(list);
    sender->params.log(sender->params.context, line);
}

static struct config_server server_view(const struct sender *sender, unsigned server)
{
    struct config_server view;

    config_server(sender->params.config, server, &view);
    return view;
}

static const char *server_host(const struct sender *sender, unsigned server)
{
    return server_view(sender, server).endpoint->host;
}

static void tell_stage(struct sender *sender, const struct sender_report *line, uint64_t now_ms)
{
    sender->stage = (uint8_t)(line->stage + 1);
    sender->stage_ms = now_ms;
    sender->params.report(sender->params.context, line);
}

static void report(struct sender *sender, enum sender_stage stage, uint64_t now_ms,
                   const char *detail)
{
    struct sender_report line = {
        .stage = stage,
        .ok = true,
        .is_test = sender->is_test,
        .ms = (uint32_t)(now_ms - sender->stage_ms),
        .detail = detail,
    };

    tell_stage(sender, &line, now_ms);
}

/* The stage in hand failed, as last_error says. */
static void report_failure(struct sender *sender, bool goes_on, uint64_t now_ms)
{
    struct sender_report line = {
        .stage = (enum sender_stage)sender->stage,
        .is_test = sender->is_test,
        .goes_on = goes_on,
        .ms = (uint32_t)(now_ms - sender->stage_ms),
        .detail = sender->last_error,
    };

    if (sender->stage < SENDER_STAGE_COUNT) {
        tell_stage(sender, &line, now_ms);
    }
}

uint64_t sender_backoff_ms(struct sender *sender, unsigned failures)
{
    return retry_backoff_ms(sender->params.config, sender->params.random, failures);
}

static void count_up(uint8_t *count)
{
    *count += *count < UINT8_MAX ? 1 : 0;
}

SESSION_ENGINE(smtp);

void sender_describe_tls(const struct sender *sender, char *out, size_t size)
{
    const struct tls_info *info = tls_info(sender->params.tls);
    struct text text = text_begin(out, size);

    if (sender->sessions == 0 || sender->tls_is_other || info->suite == NULL ||
        info->suite[0] == '\0') {
        return;
    }

    /* A resumed session shows no chain: it stands for the one that was verified under this name. */
    text_format(&text, "%s %s%s%s", info->version, info->suite, info->resumed ? ", resumed; " : " ",
                info->resumed ? sender->tls_params.server_name : info->curve);
    for (size_t i = 0; i < info->chain_count && i < TLS_CHAIN_MAX; i++) {
        text_format(&text, "%s%s %s", i == 0 ? "; " : " < ", info->chain[i].subject,
                    info->chain[i].key);
        if (i + 1 == info->chain_count || i + 1 == TLS_CHAIN_MAX) {
            text_format(&text, " < %s", info->chain[i].issuer);
        }
    }
}

static void session_moved(void *context, enum session_phase phase, uint64_t now_ms)
{
    struct sender *sender = context;
    struct config_server server = server_view(sender, sender->server);
    char line[SENDER_TEXT_BYTES];

    if (phase == SESSION_RESOLVE) {
        report(sender, SENDER_DNS, now_ms, server.endpoint->host);
    } else if (phase == SESSION_CONNECT) {
        text_copy(sender->last_peer, sizeof sender->last_peer, link_peer(sender->params.link));
        report(sender, SENDER_CONNECT, now_ms, sender->last_peer);
        if (server.tls == SMTP_TLS_OFF) {
            report(sender, SENDER_TLS, now_ms, "off, as configured");
        }
    } else if (phase == SESSION_TLS) {
        const struct tls_info *info = tls_info(sender->params.tls);

        if (info->resumed) {
            sender->resumed++;
        } else {
            sender->not_after_unix_s[sender->server] = (uint32_t)info->chain[0].not_after_unix_s;
        }
        sender_describe_tls(sender, line, sizeof line);
        say(sender, "%s", line);
        report(sender, SENDER_TLS, now_ms, line);
    }
}

/* The name for EHLO: a full domain if there is one, else our address as a literal (RFC 5321 4.1.4).
 */
static void name_for_ehlo(struct sender *sender)
{
    const struct config *config = sender->params.config;
    char *out = sender->ehlo_name;
    size_t size = sizeof sender->ehlo_name;

    if (strchr(config->hostname, '.') != NULL) {
        text_copy(out, size, config->hostname);
    } else if (config->hostname[0] != '\0' && config->rewrite_domain[0] != '\0') {
        text_print(out, size, "%s.%s", config->hostname, config->rewrite_domain);
    } else {
        text_print(out, size, "[%s]", sender->address);
    }
}

static void set_params(struct sender *sender, const struct config_server *server,
                       const struct sender_now *now)
{
    const struct config *config = sender->params.config;

    sender->smtp_params = (struct smtp_params){
        .ehlo_name = sender->ehlo_name,
        .user = server->user,
        .password = server->password,
        .tls = server->tls,
        .auth_without_tls = config->auth_without_tls,
        .greeting_ms_max = config->greeting_timeout_s * 1000,
        .command_ms_max = config->command_timeout_s * 1000,
        .body_ms_max = config->body_timeout_s * 1000,
        .accept_ms_max = config->accept_timeout_s * 1000,
    };
    sender->tls_params = (struct tls_params){
        .server_name = server->tls_name[0] != '\0' ? server->tls_name : server->endpoint->host,
        .anchors = sender->params.anchors(sender->params.context),
        .random = sender->params.random,
        .unix_s = text_seconds(now->unix_ms),
        .resume = &sender->resume, /* It knows for which name it stands. */
    };
}

/* Not inlined: its frame is no part of the stack while a handshake runs. */
__attribute__((noinline)) static void begin(struct sender *sender, const struct sender_now *now)
{
    struct config_server server;
    struct session_params params = {
        .link = sender->params.link,
        .tls_params = &sender->tls_params,
        .connect_ms_max = sender->params.config->connect_timeout_s * 1000,
        .ops = &smtp_engine,
        .engine = &sender->smtp,
        .engine_params = &sender->smtp_params,
        .observe = session_moved,
        .context = sender,
    };

    if (sender->server != retry_choose(&sender->retry, sender->params.config, now->now_ms)) {
        sender->server ^= 1;
        sender->last_peer[0] = '\0'; /* It was the other one's. */
    }
    server = server_view(sender, sender->server);
    params.host = server.endpoint->host;
    params.port = server.endpoint->port;
    params.tls = server.tls == SMTP_TLS_OFF ? NULL : sender->params.tls;
    params.tls_first = server.tls == SMTP_TLS_IMPLICIT;
    text_copy(sender->address, sizeof sender->address, now->address);
    name_for_ehlo(sender);
    set_params(sender, &server, now);
    sender->running = true;
    sender->tls_is_other = false;
    sender->authenticated = false;
    sender->have_item = false;
    sender->leaves = false;
    sender->deferred = 0;
    sender->sessions++;
    sender->stage_ms = now->now_ms;
    report(sender, SENDER_LINK, now->now_ms, "up");
    report(sender, SENDER_ADDRESS, now->now_ms, sender->address);
    report(sender, SENDER_CLOCK, now->now_ms, now->unix_ms != 0 ? "known" : "not needed");
    memset(&sender->smtp, 0, sizeof sender->smtp); /* Nothing of the last session shows through. */
    session_start(&sender->session, &params, now->now_ms);
}

void sender_message_id(const struct alert *alert, const char *device_id, char *out, size_t size)
{
    text_print(out, size, "%u.%u.%u.%s@%s", (unsigned)alert->queued_unix_s,
               (unsigned)alert->boot_count, (unsigned)alert->sequence, device_id,
               alert->domain[0] != '\0' && !alert->damaged ? alert->domain : "tocsin.invalid");
}

/* One recipient that is none of `root`. */
static bool choose_recipient(struct sender *sender, const char *address)
{
    if (address[0] == '\0') {
        return false;
    }
    sender->to[0] = address;
    sender->to_index[0] = 0;
    sender->to_count = 1;
    return true;
}

static void choose_recipients(struct sender *sender)
{
    const struct config *config = sender->params.config;
    const char *all[SMTP_RCPT_MAX];
    size_t count = config_to(config, all, SMTP_RCPT_MAX);
    unsigned pending = sender->item.pending_mask & ((1u << count) - 1);

    if (sender->alert.facility == FACILITY_MAIL &&
        choose_recipient(sender, answer_is_round_trip(&sender->alert) ? config->mailbox
                                                                      : config->answer_to)) {
        return;
    }
    /* Recipients may have been taken out of the configuration since: better all than nobody. */
    pending = pending != 0 ? pending : UINT8_MAX;
    sender->to_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (pending & (1u << i)) {
            sender->to_index[sender->to_count] = (uint8_t)i;
            sender->to[sender->to_count++] = all[i];
        }
    }
}

/* The lines of a digest: what is a member now. */
static bool digest_line(void *context, unsigned index, struct text *out)
{
    struct sender *sender = context;

    return policy_digest_line(sender->params.policy, sender->item.sequence, index, out);
}

static void message_failed(struct sender *sender, const struct smtp_failure *failure,
                           uint64_t now_ms);

/* Its record cannot be read now: others are not to wait for it. */
static void message_unreadable(struct sender *sender, uint64_t now_ms)
{
    sender->item.due_ms = now_ms + sender_backoff_ms(sender, UINT8_MAX);
    queue_delay(sender->params.queue, &sender->item);
    say(sender, "alert %u cannot be read", (unsigned)sender->item.sequence);
}

/* Not inlined: its frame is no part of the stack while a handshake runs. */
__attribute__((noinline)) static void message_begin(struct sender *sender,
                                                    const struct sender_now *now)
{
    const struct config *config = sender->params.config;
    struct rfc5322_fields fields = {
        .alert = &sender->alert,
        .from = config->from,
        .from_name = config->from_name,
        .to = sender->to,
        .device = config->hostname,
        .board = sender->params.board,
        .version = sender->params.version,
        .message_id = sender->message_id,
        .address = sender->address,
        .zone_minutes = config->zone_minutes,
        .eight_bit = (smtp_capabilities(&sender->smtp) & SMTP_CAP_8BITMIME) != 0,
        .line = sender->item.digest ? digest_line : NULL,
        .line_context = sender,
    };
    struct smtp_envelope envelope = {.from = config->from, .rcpt = sender->to};
    bool eight_bit = false;
    int error;

    policy_leaves(sender->params.policy, &sender->item, now->now_ms);
    if (queue_alert(sender->params.queue, sender->item.sequence, &sender->alert) < 0) {
        message_unreadable(sender, now->now_ms);
        return;
    }
    sender->have_item = true;
    sender->recorded = false;
    choose_recipients(sender);
    sender_message_id(&sender->alert, sender->params.device_id, sender->message_id,
                      sizeof sender->message_id);
    fields.to_count = sender->to_count;
    fields.unix_s = now->unix_ms != 0 ? text_seconds(now->unix_ms) : sender->alert.unix_s;
    fields.attempt = sender->item.attempts + 1u;
    if (sender->alert.facility == FACILITY_MAIL) {
        fields.live_line = sender->live_line;
        sender->params.compose(sender->params.context, &sender->alert, &sender->parts, &fields);
    }
    rfc5322_init(&sender->mail, &fields);
    envelope.rcpt_count = sender->to_count;
    envelope.size_bytes = rfc5322_size(&sender->mail, &eight_bit);
    envelope.eight_bit = eight_bit;
    error = smtp_message(&sender->smtp, &envelope, now->now_ms);
    if (error < 0) {
        const struct smtp_result *result = smtp_result(&sender->smtp);

        message_failed(sender, &result->failure, now->now_ms);
    }
}

/* "end of DATA: 552 5.2.2 mailbox full. ADVICE" */
static void describe_failure(struct text *text, const struct smtp_failure *failure)
{
    text_format(text, "%s: ", smtp_stage_name(failure->stage));
    if (failure->code != 0) {
        text_format(text, "%u %s%s", (unsigned)failure->code, failure->enhanced,
                    failure->enhanced[0] != '\0' ? " " : "");
    }
    text_format(text, "%s (%s). %s", failure->text, error_name(failure->error),
                smtp_advice(failure));
}

/* Begins last_error with the server's name. */
static struct text error_begin(struct sender *sender)
{
    struct text text = text_begin(sender->last_error, sizeof sender->last_error);

    text_format(&text, "%s: ", server_host(sender, sender->server));
    return text;
}

/* The mail in hand did not get out this time, and cannot have: keeps it for the next. */
static void message_waits(struct sender *sender, bool refused, int code)
{
    struct queue_item *item = &sender->item;

    if (!sender->recorded) {
        count_up(&item->attempts);
    }
    item->event = refused ? QUEUE_REFUSED : QUEUE_WAITING;
    item->refused = refused;
    item->code = (uint16_t)code;
    /* Whatever flash says, it stays in the queue. */
    (void)queue_update(sender->params.queue, item);
    sender->have_item = false;
}

/* A mail that is to come later is tried at the other server at once. Several in a row that are to
 * come later are the server's trouble: it is left alone for a while, and so is the flash, which
 * would have to take a mark for each. */
static void message_failed(struct sender *sender, const struct smtp_failure *failure,
                           uint64_t now_ms)
{
    bool refused = failure->error == E_PERMANENT || failure->error == E_INVALID;
    bool other =
        !refused && retry_other_is_left(&sender->retry, sender->params.config, sender->server);
    struct text text = error_begin(sender);

    describe_failure(&text, failure);
    say(sender, "alert %u %s: %s", (unsigned)sender->item.sequence,
        refused ? "was refused" : "has to wait", sender->last_error);
    if (sender->stage > SENDER_AUTH) {
        report_failure(sender, other, now_ms);
        sender->stage = SENDER_RECIPIENT; /* The next mail's. */
    }
    sender->failed++;
    sender->deferred = refused ? 0 : sender->deferred + 1;
    sender->leaves = other || sender->deferred == DEFERRED_MAX;
    sender->item.yields = false;
    if (!other) {
        unsigned tries = sender->item.attempts + (sender->recorded ? 0u : 1u);

        sender->item.due_ms = now_ms + sender_backoff_ms(sender, tries);
    }
    message_waits(sender, refused, failure->code);
}

static void log_refused_recipients(struct sender *sender, const struct smtp_result *result)
{
    char why[SENDER_TEXT_BYTES];

    for (uint8_t i = 0; i < sender->to_count; i++) {
        if (result->refused_mask & (1u << i)) {
            struct text text = text_begin(why, sizeof why);

            describe_failure(&text, &result->failure);
            say(sender, "recipient %s %s: %s", sender->to[i],
                result->transient_mask & (1u << i) ? "has to wait" : "was refused", why);
        }
    }
}

/* This server works, so that no failure before counts any more. */
static void server_is_good(struct sender *sender)
{
    retry_good(&sender->retry, sender->server);
    sender->hurried = 0;
}

static void message_accepted(struct sender *sender, const struct smtp_result *result,
                             const struct sender_now *now)
{
    struct queue_item *item = &sender->item;

    item->pending_mask = 0;
    for (uint8_t i = 0; i < sender->to_count; i++) {
        if (result->transient_mask & (1u << i)) {
            item->pending_mask |= (uint8_t)(1u << sender->to_index[i]);
        }
    }
    if (item->pending_mask == 0) { /* Flash knows before anybody is told. */
        (void)queue_remove(sender->params.queue, item->sequence, QUEUE_ACCEPTED, 250);
    }
    say(sender, "alert %u accepted by %s: %s", (unsigned)item->sequence,
        server_host(sender, sender->server), result->text);
    log_refused_recipients(sender, result);
    if (sender->stage == SENDER_ACCEPTED) {
        report(sender, SENDER_ACCEPTED, now->now_ms, result->text);
    }
    sender->accepted++;
    sender->deferred = 0;
    sender->last_error[0] = '\0';
    sender->last_accepted_unix_s = text_seconds(now->unix_ms);
    server_is_good(sender);
    if (item->pending_mask != 0) {
        item->due_ms = now->now_ms + sender_backoff_ms(sender, item->attempts);
        message_waits(sender, false, result->failure.code);
    }
    sender->have_item = false;
}

/* By the uptime, which no time server can set. */
static bool is_younger(const struct sender *sender, uint64_t now_ms, uint32_t most_s)
{
    const struct queue_item *item = &sender->item;

    return item->boot_count == sender->params.queue->journal->boot_count &&
           now_ms <= item->uptime_ms + (uint64_t)most_s * 1000;
}

/* Gives the mail up, when it has been waiting for longer than `expire`, of its queueing; one whose
 * time is not known, or that a person wanted again, is never too old; and one of this boot is not
 * because the clock was set. */
static bool message_expires(struct sender *sender, const struct sender_now *now)
{
    struct queue_item *item = &sender->item;
    uint32_t most_s = sender->params.config->expire_s;
    uint64_t unix_s = text_seconds(now->unix_ms);
    uint64_t queued_s;

    /* It was queued after it happened: most need not be read for this. */
    if (unix_s == 0 || item->retried || item->is_test ||
        (item->unix_s != 0 && unix_s <= item->unix_s + most_s) ||
        is_younger(sender, now->now_ms, most_s) ||
        queue_alert(sender->params.queue, item->sequence, &sender->alert) < 0) {
        return false;
    }
    if (sender->alert.damaged) {
        return false; /* So may be its times. */
    }
    queued_s = sender->alert.queued_unix_s;
    queued_s = queued_s != 0 ? queued_s : item->unix_s;
    if (queued_s == 0 || unix_s <= queued_s + most_s) {
        return false;
    }
    say(sender, "alert %u is given up: it could not be sent within %u %s", (unsigned)item->sequence,
        (unsigned)(most_s < 7200 ? most_s : most_s / 3600), most_s < 7200 ? "s" : "hours");
    item->event = QUEUE_EXPIRED;
    item->refused = true;
    (void)queue_update(sender->params.queue, item);
    return true;
}

/* "the limit of 100 messages an hour: next in 36 s", once for as long as something waits. */
static void say_limit(struct sender *sender, uint64_t unix_ms, uint8_t severity, uint64_t wait_ms)
{
    const struct config *config = sender->params.config;
    const char *name = limits_name(sender->params.queue->limits, unix_ms, severity);
    uint32_t most = *name == 'm'   ? config->limit_minute
                    : *name == 'h' ? config->limit_hour
                                   : config->limit_day;

    if (!sender->limit_said) {
        say(sender, "the limit of %u messages %s %s: next in %u s", (unsigned)most,
            *name == 'h' ? "an" : "a", name, (unsigned)text_seconds(wait_ms + 999));
        sender->limit_said = true;
    }
}

enum next {
    NEXT_NONE,
    NEXT_ITEM, /* sender->item is to be sent now. */
    NEXT_AGAIN /* One was given up: ask again. */
};

static enum next next_item(struct sender *sender, const struct sender_now *now)
{
    struct queue *queue = sender->params.queue;
    uint8_t severity;
    uint64_t wait_ms;

    sender->limit_ms = 0;
    if (!queue_due(queue, now->now_ms, &sender->item)) {
        sender->limit_said = false;
        return NEXT_NONE;
    }
    if (message_expires(sender, now)) {
        return NEXT_AGAIN;
    }
    /* A person waits for a test: it may use what is kept for critical alerts. */
    severity = sender->item.is_test ? SEVERITY_CRITICAL : sender->item.severity;
    wait_ms = limits_wait_ms(queue->limits, now->unix_ms, severity);
    if (wait_ms == 0) {
        return NEXT_ITEM;
    }
    say_limit(sender, now->unix_ms, severity, wait_ms);
    sender->limit_ms = now->now_ms + wait_ms;
    return NEXT_NONE;
}

/* Between messages: settle the last one, take the next, or say QUIT. False: nothing can be done but
 * wait for a limit that soon passes. */
static bool message_next(struct sender *sender, const struct sender_now *now)
{
    enum next next = NEXT_NONE;

    if (sender->have_item) {
        const struct smtp_result *result = smtp_result(&sender->smtp);

        if (result->error == 0) {
            message_accepted(sender, result, now);
        } else {
            message_failed(sender, &result->failure, now->now_ms);
        }
    }
    if (now->blocked == NULL && !sender->leaves) {
        next = next_item(sender, now);
        if (next == NEXT_NONE && sender->limit_ms > now->now_ms &&
            sender->limit_ms - now->now_ms <= STAY_MS_MAX) {
            return false;
        }
    }
    if (next == NEXT_ITEM) {
        message_begin(sender, now);
    } else if (next == NEXT_NONE) {
        smtp_quit(&sender->smtp, now->now_ms);
    }
    return true;
}

/* From here on the server can have all of it: a power cut or a lost connection must find that
 * written. It counts as a try whose answer is missing until there is one. If flash does not take
 * the mark, sending still matters more. */
static void record_try(struct sender *sender)
{
    count_up(&sender->item.attempts);
    sender->item.event = QUEUE_TRYING;
    sender->item.code = 0;
    (void)queue_update(sender->params.queue, &sender->item);
    sender->recorded = true;
}

static bool body_pump(struct sender *sender, uint64_t now_ms)
{
    size_t room = 0;
    uint8_t *out = smtp_body_buf(&sender->smtp, &room);
    size_t size;

    if (room == 0) {
        return false;
    }
    size = rfc5322_read(&sender->mail, out, room);
    if (size == 0) {
        record_try(sender);
        smtp_body_end(&sender->smtp, now_ms);
    } else {
        smtp_body_ack(&sender->smtp, size, now_ms);
    }
    return true;
}

/* Tells the stages that only the engine knows of. */
static void follow_engine(struct sender *sender, uint64_t now_ms)
{
    enum smtp_stage stage = smtp_stage(&sender->smtp);
    unsigned want = smtp_want(&sender->smtp);

    if (!sender->authenticated && (want & SMTP_WANT_MESSAGE)) {
        sender->authenticated = true;
        report(sender, SENDER_AUTH, now_ms,
               sender->smtp_params.user[0] != '\0' ? sender->smtp_params.user : "not asked for");
    } else if (sender->stage == SENDER_RECIPIENT && stage == SMTP_STAGE_BODY) {
        report(sender, SENDER_RECIPIENT, now_ms, sender->to_count > 0 ? sender->to[0] : "");
    }
}

/* The class of what ended the session, with its words in last_error; 0 after a good end. */
static int session_outcome(struct sender *sender)
{
    const struct smtp_failure *failure = smtp_failure(&sender->smtp);
    const struct tls_failure *tls =
        sender->stage == SENDER_TLS ? tls_failure(sender->params.tls) : NULL;
    int error = session_error(&sender->session);
    struct text text;

    if (error != 0) {
        text = error_begin(sender);
        text_format(&text, "%s (%s)%s%s", session_text(&sender->session), error_name(error),
                    tls != NULL ? ". " : "", tls != NULL ? tls_advice(tls) : "");
    } else if (failure != NULL) {
        error = failure->error;
        text = error_begin(sender);
        describe_failure(&text, failure);
    }
    return error;
}

/* The session ended with a mail in hand. If the final dot may have left, the record stays as it is:
 * sent, without an answer. */
static void message_broken(struct sender *sender, int error)
{
    const struct smtp_failure *failure = smtp_failure(&sender->smtp);

    /* Once may happen to any; twice, and it may be this mail that breaks connections. */
    sender->item.yields = sender->item.attempts > (sender->recorded ? 1 : 0);
    if (sender->recorded && (failure == NULL || smtp_result(&sender->smtp)->unanswered)) {
        queue_delay(sender->params.queue, &sender->item);
        sender->have_item = false;
    } else {
        message_waits(sender, error == E_PERMANENT, failure != NULL ? failure->code : 0);
    }
}

/* The server in hand is of no use now: the other one is tried at once, or all has to wait. True:
 * the first of these. */
static bool server_failed(struct sender *sender, uint64_t now_ms)
{
    bool other = retry_failed(&sender->retry, sender->params.config, sender->params.random,
                              sender->server, now_ms);

    if (!other) {
        sender->seen = sender->params.queue->journal->next_number;
        sender->hurried -= sender->hurried > 0 ? 1 : 0;
    }
    return other;
}

__attribute__((noinline)) static void end(struct sender *sender, const struct sender_now *now)
{
    bool other = false;
    int error;

    /* A mail that was accepted before the connection broke is accepted. In the middle of a mail
     * there is no result yet, whatever its recipients' replies were. */
    if (sender->have_item && (smtp_want(&sender->smtp) & (SMTP_WANT_MESSAGE | SMTP_CLOSED)) != 0 &&
        smtp_result(&sender->smtp)->error == 0 && smtp_result(&sender->smtp)->accepted_mask != 0) {
        message_accepted(sender, smtp_result(&sender->smtp), now);
    }
    error = session_outcome(sender);
    sender->running = false;
    sender->failed += error != 0 ? 1 : 0;
    if (sender->have_item) {
        message_broken(sender, error);
    }
    if (error == E_PERMANENT) { /* A verdict on one mail. */
        server_is_good(sender);
        sender->retry.next_ms = now->now_ms + sender_backoff_ms(sender, 1);
    } else if (error == 0 && !sender->leaves) {
        server_is_good(sender);
    } else {
        other = server_failed(sender, now->now_ms);
    }
    if (error != 0 || sender->leaves) {
        if (other) {
            say(sender, "sending failed: %s Trying %s.", sender->last_error,
                server_host(sender, sender->server ^ 1u));
        } else {
            say(sender, "sending failed: %s Next try in %u s.", sender->last_error,
                (unsigned)text_seconds(sender->retry.next_ms - now->now_ms + 999));
        }
    }
    if (error != 0) {
        report_failure(sender, other, now->now_ms);
    }
    sender->is_test = sender->is_test && other;
}

/* A connection does not outlive its link: without this, a mail would wait for the engine's patience
 * and for TCP's retransmissions after the link is back. */
static void follow_link(struct sender *sender, const struct sender_now *now)
{
    if (now->blocked == NULL || now->blocked_stage > SENDER_ADDRESS) {
        sender->link_lost_ms = 0;
    } else if (sender->link_lost_ms == 0) {
        sender->link_lost_ms = now->now_ms;
    } else if (now->now_ms - sender->link_lost_ms > LINK_LOST_MS_MAX) {
        session_abort(&sender->session);
    }
}

static bool run(struct sender *sender, const struct sender_now *now)
{
    bool moved = session_poll(&sender->session, now->now_ms);

    follow_link(sender, now);

    if (sender->session.phase == SESSION_ENGINE) {
        follow_engine(sender, now->now_ms);
        if (smtp_want(&sender->smtp) & SMTP_WANT_MESSAGE) {
            moved |= message_next(sender, now);
        } else if (smtp_want(&sender->smtp) & SMTP_WANT_BODY) {
            moved |= body_pump(sender, now->now_ms);
        }
    }
    if (session_done(&sender->session)) {
        end(sender, now);
        moved = true;
    }
    return moved;
}

/* What was in the way is gone: no backoff. */
static void follow_blocked(struct sender *sender, const struct sender_now *now)
{
    if (now->blocked != NULL) {
        sender->was_blocked = true;
    } else if (sender->was_blocked) {
        sender->was_blocked = false;
        retry_now(&sender->retry);
    }
}

/* A critical alert that is queued during a backoff does not wait for the end of what may be an old
 * trouble's quarter of an hour: the try is brought forward, to where it would be after a first
 * failure. That this hammers no server is seen from `hurried`: a shortened wait is followed by one
 * that is not, so that there are at most twice as many tries as without, however many alerts come.
 * A limit of the provider's is asked again, since it keeps some room for such an alert. */
__attribute__((noinline)) static void follow_urgent(struct sender *sender, uint64_t now_ms)
{
    struct queue *queue = sender->params.queue;
    uint32_t next_number = queue->journal->next_number;
    struct queue_item item;
    bool urgent = false;

    if (sender->seen == next_number) {
        return;
    }
    for (unsigned i = queue->count; i-- > 0 && !urgent && queue_item(queue, i, &item);) {
        if (item.sequence < sender->seen) {
            break;
        }
        urgent = item.severity <= SEVERITY_CRITICAL && !item.folded;
    }
    sender->seen = next_number;
    if (!urgent) {
        return;
    }
    sender->limit_ms = 0;
    if (sender->retry.next_ms > now_ms && sender->hurried == 0) {
        uint64_t early_ms = now_ms + sender_backoff_ms(sender, 1);

        if (early_ms < sender->retry.next_ms) {
            sender->retry.next_ms = early_ms;
            sender->hurried = 2;
        }
    }
}

/* One step of looking for what is too old. False: those behind it are younger. */
static bool look_for_old(struct sender *sender, const struct sender_now *now)
{
    struct queue_item *item = &sender->item;

    if (!queue_item(sender->params.queue, sender->expiry_index++, item) || item->refused ||
        item->folded || message_expires(sender, now)) {
        return true;
    }
    return item->unix_s == 0 || item->unix_s > text_seconds(now->unix_ms) || item->retried ||
           item->is_test;
}

/* Looks through the queue from time to time, also when nothing can be sent, the oldest first. True:
 * there is more to do. */
static bool follow_expiry(struct sender *sender, const struct sender_now *now)
{
    if (now->now_ms < sender->expiry_ms) {
        return false;
    }
    for (unsigned i = 0; i < EXPIRY_ITEMS; i++) {
        if (now->unix_ms == 0 || sender->expiry_index >= sender->params.queue->count ||
            !look_for_old(sender, now)) {
            sender->expiry_index = 0;
            sender->expiry_ms = now->now_ms + EXPIRY_MS;
            return false;
        }
    }
    return true;
}

bool sender_poll(struct sender *sender, const struct sender_now *now)
{
    enum next next;

    sender->polled_ms = now->now_ms;
    follow_blocked(sender, now);
    if (sender->running) {
        return run(sender, now);
    }
    if (follow_expiry(sender, now)) {
        return true;
    }
    follow_urgent(sender, now->now_ms);
    if (now->now_ms < sender->retry.next_ms || now->now_ms < sender->limit_ms) {
        return false;
    }
    next = next_item(sender, now);
    if (next != NEXT_ITEM) {
        return next == NEXT_AGAIN;
    }
    if (now->blocked != NULL) {
        if (sender->waiting_said != now->blocked) {
            say(sender, "sending waits: %s", now->blocked);
            sender->waiting_said = now->blocked;
        }
        return false;
    }
    sender->waiting_said = NULL;
    begin(sender, now);
    return true;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t sender_try_ms(const struct sender *sender)
{
    uint64_t due_ms = queue_due_ms(sender->params.queue, sender->polled_ms);

    return due_ms == UINT64_MAX ? due_ms
                                : later(due_ms, later(sender->retry.next_ms, sender->limit_ms));
}

bool sender_wants(struct sender *sender, uint64_t now_ms)
{
    sender->polled_ms = now_ms;
    follow_urgent(sender, now_ms);
    return sender_try_ms(sender) <= now_ms;
}

struct poller_work *sender_lend(struct sender *sender)
{
    if (sender->running) {
        return NULL;
    }
    sender->tls_is_other = true;
    memset(&sender->poller, 0, sizeof sender->poller);
    return &sender->poller;
}

/* What was in it may have been a password. */
void sender_take_back(struct sender *sender)
{
    memset(&sender->poller, 0, sizeof sender->poller);
}

uint64_t sender_deadline(const struct sender *sender)
{
    uint64_t due_ms;

    if (sender->running) {
        due_ms = session_deadline(&sender->session);
        return sender->limit_ms > sender->polled_ms ? sooner(due_ms, sender->limit_ms) : due_ms;
    }
    due_ms = sender_try_ms(sender);
    return due_ms == UINT64_MAX ? due_ms : sooner(due_ms, sender->expiry_ms);
}

void sender_hurry(struct sender *sender, bool is_test)
{
    retry_now(&sender->retry);
    sender->limit_ms = 0;
    sender->is_test = sender->is_test || is_test;
    sender->waiting_said = NULL;
}
