#include "firmware/sender.h"
#include "net/text.h"

#include <string.h>

#define LINK_LOST_MS_MAX 3000 /* A shorter gap is left to TCP. */

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

static void report(struct sender *sender, enum sender_stage stage, bool ok, uint64_t now_ms,
                   const char *detail)
{
    struct sender_report line = {
        .stage = stage,
        .ok = ok,
        .is_test = sender->is_test,
        .ms = (uint32_t)(now_ms - sender->stage_ms),
        .detail = detail,
    };

    sender->stage = (uint8_t)(stage + 1);
    sender->stage_ms = now_ms;
    sender->params.report(sender->params.context, &line);
}

/* Exponential backoff between the configured bounds; the upper half of each step is random, so that
 * a street of devices does not come back in one second. */
static uint64_t backoff_ms(struct sender *sender, unsigned failures)
{
    const struct config *config = sender->params.config;
    uint32_t step_ms = config->retry_min_s * 1000; /* Both at most a day. */
    uint32_t most_ms = config->retry_max_s * 1000;

    for (unsigned i = 1; i < failures && step_ms < most_ms; i++) {
        step_ms *= 2;
    }
    if (step_ms > most_ms) {
        step_ms = most_ms;
    }
    return step_ms / 2 + random_u32(sender->params.random) % (step_ms / 2 + 1);
}

/* The names by which smtp, and the body's reader, know the engine. */
static int engine_start(void *engine, uint64_t now_ms)
{
    struct sender *sender = engine;

    return smtp_init(&sender->smtp, &sender->smtp_params, now_ms);
}

static unsigned engine_want(void *engine)
{
    return smtp_want(&((struct sender *)engine)->smtp);
}

static const uint8_t *engine_tx_buf(void *engine, size_t *size)
{
    return smtp_tx_buf(&((struct sender *)engine)->smtp, size);
}

static void engine_tx_ack(void *engine, size_t size, uint64_t now_ms)
{
    smtp_tx_ack(&((struct sender *)engine)->smtp, size, now_ms);
}

static uint8_t *engine_rx_buf(void *engine, size_t *size)
{
    return smtp_rx_buf(&((struct sender *)engine)->smtp, size);
}

static void engine_rx_ack(void *engine, size_t size, uint64_t now_ms)
{
    smtp_rx_ack(&((struct sender *)engine)->smtp, size, now_ms);
}

static void engine_tls_started(void *engine, uint64_t now_ms)
{
    smtp_tls_started(&((struct sender *)engine)->smtp, now_ms);
}

static void engine_eof(void *engine, uint64_t now_ms)
{
    smtp_eof(&((struct sender *)engine)->smtp, now_ms);
}

static void engine_timeout(void *engine, uint64_t now_ms)
{
    smtp_timeout(&((struct sender *)engine)->smtp, now_ms);
}

static uint64_t engine_deadline(void *engine)
{
    return smtp_deadline(&((struct sender *)engine)->smtp);
}

static const struct session_engine smtp_engine = {
    .start = engine_start,
    .want = engine_want,
    .tx_buf = engine_tx_buf,
    .tx_ack = engine_tx_ack,
    .rx_buf = engine_rx_buf,
    .rx_ack = engine_rx_ack,
    .tls_started = engine_tls_started,
    .eof = engine_eof,
    .timeout = engine_timeout,
    .deadline = engine_deadline,
};

void sender_describe_tls(const struct sender *sender, char *out, size_t size)
{
    const struct tls_info *info = tls_info(sender->params.tls);
    struct text text = text_begin(out, size);

    if (sender->sessions == 0 || info->suite == NULL || info->suite[0] == '\0') {
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
    char line[SENDER_TEXT_BYTES];

    if (phase == SESSION_RESOLVE) {
        report(sender, SENDER_DNS, true, now_ms, sender->params.config->mailhub.host);
    } else if (phase == SESSION_CONNECT) {
        text_copy(sender->last_peer, sizeof sender->last_peer, link_peer(sender->params.link));
        report(sender, SENDER_CONNECT, true, now_ms, sender->last_peer);
        if (sender->params.config->tls == SMTP_TLS_OFF) {
            report(sender, SENDER_TLS, true, now_ms, "off, as configured");
        }
    } else if (phase == SESSION_TLS) {
        if (tls_info(sender->params.tls)->resumed) {
            sender->resumed++;
        }
        sender_describe_tls(sender, line, sizeof line);
        say(sender, "%s", line);
        report(sender, SENDER_TLS, true, now_ms, line);
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

static void begin(struct sender *sender, const struct sender_now *now)
{
    const struct config *config = sender->params.config;
    struct session_params params = {
        .link = sender->params.link,
        .host = config->mailhub.host,
        .port = config->mailhub.port,
        .tls = config->tls == SMTP_TLS_OFF ? NULL : sender->params.tls,
        .tls_params = &sender->tls_params,
        .tls_first = config->tls == SMTP_TLS_IMPLICIT,
        .connect_ms_max = config->connect_timeout_s * 1000,
        .ops = &smtp_engine,
        .engine = sender,
        .observe = session_moved,
        .context = sender,
    };

    text_copy(sender->address, sizeof sender->address, now->address);
    name_for_ehlo(sender);
    sender->smtp_params = (struct smtp_params){
        .ehlo_name = sender->ehlo_name,
        .user = config->auth_user,
        .password = config->auth_pass,
        .tls = config->tls,
        .auth_without_tls = config->auth_without_tls,
        .greeting_ms_max = config->greeting_timeout_s * 1000,
        .command_ms_max = config->command_timeout_s * 1000,
        .body_ms_max = config->body_timeout_s * 1000,
        .accept_ms_max = config->accept_timeout_s * 1000,
    };
    sender->tls_params = (struct tls_params){
        .server_name = config->tls_name[0] != '\0' ? config->tls_name : config->mailhub.host,
        .anchors = sender->params.anchors(sender->params.context),
        .random = sender->params.random,
        .unix_s = text_seconds(now->unix_ms),
        .resume = &sender->resume,
    };
    sender->running = true;
    sender->authenticated = false;
    sender->have_item = false;
    sender->sessions++;
    sender->stage_ms = now->now_ms;
    report(sender, SENDER_LINK, true, now->now_ms, "up");
    report(sender, SENDER_ADDRESS, true, now->now_ms, sender->address);
    report(sender, SENDER_CLOCK, true, now->now_ms, now->unix_ms != 0 ? "known" : "not needed");
    memset(&sender->smtp, 0, sizeof sender->smtp); /* Nothing of the last session shows through. */
    session_start(&sender->session, &params, now->now_ms);
}

/* "TIME.BOOT.SEQUENCE.DEVICE@DOMAIN": the same on every try of this alert, and of no other. */
static void name_message(struct sender *sender)
{
    const char *at = strchr(sender->params.config->from, '@');

    text_print(sender->message_id, sizeof sender->message_id, "%u.%u.%u.%s%s",
               (unsigned)sender->alert.unix_s, (unsigned)sender->alert.boot_count,
               (unsigned)sender->alert.sequence, sender->params.device_id,
               at != NULL ? at : "@tocsin.invalid");
}

static void choose_recipients(struct sender *sender)
{
    const char *all[SMTP_RCPT_MAX];
    size_t count = config_to(sender->params.config, all, SMTP_RCPT_MAX);

    sender->to_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (sender->item.pending_mask & (1u << i)) {
            sender->to_index[sender->to_count] = (uint8_t)i;
            sender->to[sender->to_count++] = all[i];
        }
    }
}

static void message_failed(struct sender *sender, const struct smtp_failure *failure,
                           uint64_t now_ms);

static void message_begin(struct sender *sender, const struct sender_now *now)
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
    };
    struct smtp_envelope envelope = {.from = config->from, .rcpt = sender->to};
    bool eight_bit = false;
    int error;

    if (queue_alert(sender->params.queue, sender->item.sequence, &sender->alert) < 0) {
        return;
    }
    sender->have_item = true;
    choose_recipients(sender);
    name_message(sender);
    fields.to_count = sender->to_count;
    fields.unix_s = now->unix_ms != 0 ? text_seconds(now->unix_ms) : sender->alert.unix_s;
    fields.attempt = sender->item.attempts + 1u;
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
static void describe_failure(char *out, size_t size, const struct smtp_failure *failure)
{
    struct text text = text_begin(out, size);

    text_format(&text, "%s: ", smtp_stage_name(failure->stage));
    if (failure->code != 0) {
        text_format(&text, "%u %s%s", (unsigned)failure->code, failure->enhanced,
                    failure->enhanced[0] != '\0' ? " " : "");
    }
    text_format(&text, "%s (%s). %s", failure->text, error_name(failure->error),
                smtp_advice(failure));
}

static void message_failed(struct sender *sender, const struct smtp_failure *failure,
                           uint64_t now_ms)
{
    describe_failure(sender->last_error, sizeof sender->last_error, failure);
    say(sender, "alert %u %s: %s", (unsigned)sender->item.sequence,
        failure->error == E_PERMANENT ? "was refused" : "has to wait", sender->last_error);
    if (sender->stage > SENDER_AUTH && sender->stage < SENDER_STAGE_COUNT) {
        report(sender, sender->stage, false, now_ms, sender->last_error);
    }
    if (sender->item.attempts < UINT8_MAX) {
        sender->item.attempts++;
    }
    sender->failed++;
    sender->item.refused = failure->error == E_PERMANENT || failure->error == E_INVALID;
    sender->item.due_ms = now_ms + backoff_ms(sender, sender->item.attempts);
    sender->item.yields = false;
    queue_update(sender->params.queue, &sender->item);
    sender->have_item = false;
}

static void log_refused_recipients(struct sender *sender, const struct smtp_result *result)
{
    char why[SENDER_TEXT_BYTES];

    for (uint8_t i = 0; i < sender->to_count; i++) {
        if (result->refused_mask & (1u << i)) {
            describe_failure(why, sizeof why, &result->failure);
            say(sender, "recipient %s %s: %s", sender->to[i],
                result->transient_mask & (1u << i) ? "has to wait" : "was refused", why);
        }
    }
}

static void message_accepted(struct sender *sender, const struct smtp_result *result,
                             const struct sender_now *now)
{
    say(sender, "alert %u accepted by %s: %s", (unsigned)sender->item.sequence,
        sender->params.config->mailhub.host, result->text);
    log_refused_recipients(sender, result);
    if (sender->stage == SENDER_ACCEPTED) {
        report(sender, SENDER_ACCEPTED, true, now->now_ms, result->text);
    }
    sender->accepted++;
    sender->failures = 0;
    sender->last_error[0] = '\0';
    sender->last_accepted_unix_s = text_seconds(now->unix_ms);
    sender->item.pending_mask = 0;
    for (uint8_t i = 0; i < sender->to_count; i++) {
        if (result->transient_mask & (1u << i)) {
            sender->item.pending_mask |= (uint8_t)(1u << sender->to_index[i]);
        }
    }
    if (sender->item.pending_mask == 0) {
        queue_remove(sender->params.queue, sender->item.sequence);
    } else {
        sender->item.attempts += sender->item.attempts < UINT8_MAX ? 1 : 0;
        sender->item.due_ms = now->now_ms + backoff_ms(sender, sender->item.attempts);
        queue_update(sender->params.queue, &sender->item);
    }
    sender->have_item = false;
}

/* Between messages: settle the last one, take the next, or say QUIT. */
static void message_next(struct sender *sender, const struct sender_now *now)
{
    if (sender->have_item) {
        const struct smtp_result *result = smtp_result(&sender->smtp);

        if (result->error == 0) {
            message_accepted(sender, result, now);
        } else {
            message_failed(sender, &result->failure, now->now_ms);
        }
    }
    if (now->blocked == NULL && queue_due(sender->params.queue, now->now_ms, &sender->item)) {
        message_begin(sender, now);
    } else {
        smtp_quit(&sender->smtp, now->now_ms);
    }
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
        report(sender, SENDER_AUTH, true, now_ms,
               sender->smtp_params.user[0] != '\0' ? sender->smtp_params.user : "not asked for");
    } else if (sender->stage == SENDER_RECIPIENT && stage == SMTP_STAGE_BODY) {
        report(sender, SENDER_RECIPIENT, true, now_ms, sender->to_count > 0 ? sender->to[0] : "");
    }
}

/* Why the session ended, or "" after a good end; returns its class. */
static int session_outcome(struct sender *sender, char *why, size_t size)
{
    const struct smtp_failure *failure = smtp_failure(&sender->smtp);
    const struct tls_failure *tls =
        sender->stage == SENDER_TLS ? tls_failure(sender->params.tls) : NULL;
    int error = session_error(&sender->session);

    if (error != 0) {
        text_print(why, size, "%s (%s)%s%s", session_text(&sender->session), error_name(error),
                   tls != NULL ? ". " : "", tls != NULL ? tls_advice(tls) : "");
    } else if (failure != NULL) {
        error = failure->error;
        describe_failure(why, size, failure);
    }
    return error;
}

static void end(struct sender *sender, const struct sender_now *now)
{
    char why[SENDER_TEXT_BYTES];
    int error;

    /* A mail that was accepted before the connection broke is accepted. In the middle of a mail
     * there is no result yet, whatever its recipients' replies were. */
    if (sender->have_item && (smtp_want(&sender->smtp) & (SMTP_WANT_MESSAGE | SMTP_CLOSED)) != 0 &&
        smtp_result(&sender->smtp)->error == 0 && smtp_result(&sender->smtp)->accepted_mask != 0) {
        message_accepted(sender, smtp_result(&sender->smtp), now);
    }
    error = session_outcome(sender, why, sizeof why);
    sender->running = false;
    if (error == 0) {
        sender->is_test = false;
        return;
    }
    sender->failed++;
    sender->failures += sender->failures < UINT8_MAX ? 1 : 0;
    sender->next_ms = now->now_ms + backoff_ms(sender, sender->failures);
    if (sender->have_item) {
        sender->item.attempts += sender->item.attempts < UINT8_MAX ? 1 : 0;
        sender->item.refused = error == E_PERMANENT; /* Refused in the middle of its body. */
        /* Once may happen to any; twice, and it may be this mail that breaks connections. */
        sender->item.yields = sender->item.attempts > 1;
        queue_update(sender->params.queue, &sender->item);
        sender->have_item = false;
    }
    text_copy(sender->last_error, sizeof sender->last_error, why);
    say(sender, "sending failed: %s Next try in %u s.", why,
        (unsigned)text_seconds(sender->next_ms - now->now_ms + 999));
    if (sender->stage < SENDER_STAGE_COUNT) {
        report(sender, sender->stage, false, now->now_ms, why);
    }
    sender->is_test = false;
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
            message_next(sender, now);
            moved = true;
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

bool sender_poll(struct sender *sender, const struct sender_now *now)
{
    struct queue_item item;

    if (now->blocked != NULL) {
        sender->was_blocked = true;
    } else if (sender->was_blocked) {
        sender->was_blocked = false; /* What was in the way is gone: no backoff. */
        sender->next_ms = 0;
    }
    if (sender->running) {
        return run(sender, now);
    }
    if (now->now_ms < sender->next_ms || !queue_due(sender->params.queue, now->now_ms, &item)) {
        return false;
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

uint64_t sender_deadline(const struct sender *sender)
{
    uint64_t due_ms;

    if (sender->running) {
        return session_deadline(&sender->session);
    }
    due_ms = queue_due_ms(sender->params.queue);
    return due_ms > sender->next_ms ? due_ms : sender->next_ms;
}

void sender_hurry(struct sender *sender, bool is_test)
{
    sender->next_ms = 0;
    sender->is_test = sender->is_test || is_test;
    sender->waiting_said = NULL;
}
