#include "boards/linux/mailer_work.h"

#include "net/alert.h"
#include "net/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define LOG_RCPT_MAX 8
#define HUBS_MAX 16             /* Servers of revaliases in one run. */
#define LOCKED_S_MAX 3600       /* Longer than any one mail should take. */
#define STATE_MAGIC 0x746f6331u /* "toc1" */

void mailer_say(struct mailer *mailer, int severity, const char *line)
{
    maillog_line(mailer->params.log, severity, line);
}

/* ---- what the servers did before, for the next process ---- */

static void state_load(struct mailer *mailer, struct mailer_state *state)
{
    const struct config *config = &mailer->params.settings->config;
    const uint32_t most[LIMITS_COUNT] = {config->limit_minute, config->limit_hour,
                                         config->limit_day};
    uint64_t unix_ms = posix_unix_ms();

    limits_init(&mailer->limits, most);
    if (mailer->params.spool == NULL ||
        spool_state_read(mailer->params.spool, state, sizeof *state) < 0 ||
        state->magic != STATE_MAGIC) {
        memset(state, 0, sizeof *state);
        state->magic = STATE_MAGIC;
        return;
    }
    state->text[sizeof state->text - 1] = '\0';
    memcpy(mailer->limits.full_unix_ms, state->full_unix_ms, sizeof state->full_unix_ms);
    mailer->retry.failures = state->failures;
    mailer->retry.first_failures = state->first_failures;
    mailer->retry.second_first = state->second_first != 0;
    if (state->first_unix_ms > unix_ms &&
        state->first_unix_ms - unix_ms <= config->retry_max_s * 1000u) {
        mailer->retry.first_ms = posix_monotonic_ms() + (state->first_unix_ms - unix_ms);
    }
    if (state->next_unix_ms > unix_ms &&
        state->next_unix_ms - unix_ms <= config->retry_max_s * 1000u) {
        mailer->retry.next_ms = posix_monotonic_ms() + (state->next_unix_ms - unix_ms);
    }
}

static void state_save(struct mailer *mailer, struct mailer_state *state, int error,
                       const char *why)
{
    uint64_t now_ms = posix_monotonic_ms();
    uint64_t unix_ms = posix_unix_ms();
    const struct retry *retry = &mailer->retry;

    if (mailer->params.spool == NULL || !mailer->acted) {
        return; /* Nothing was learnt, and a router's flash wears out. */
    }
    state->failures = retry->failures;
    state->first_failures = retry->first_failures;
    state->second_first = retry->second_first;
    state->first_unix_ms = retry->first_ms > now_ms ? unix_ms + (retry->first_ms - now_ms) : 0;
    state->next_unix_ms =
        error != 0 && retry->next_ms > now_ms ? unix_ms + (retry->next_ms - now_ms) : 0;
    memcpy(state->full_unix_ms, mailer->limits.full_unix_ms, sizeof state->full_unix_ms);
    state->failed_unix_ms = error != 0 ? unix_ms : 0;
    (void)text_copy(state->text, sizeof state->text, error != 0 ? why : "");
    (void)!spool_state_write(mailer->params.spool, state, sizeof *state);
}

/* ---- the list ---- */

static bool is_own(const struct mailer *mailer, const char *id)
{
    return mailer->own_id != NULL && strcmp(mailer->own_id, id) == 0;
}

static const struct mailer_mark *mark_of(const struct mailer *mailer, const char *id)
{
    for (size_t i = 0; i < mailer->list_count; i++) {
        if (strcmp(mailer->list[i].id, id) == 0) {
            return &mailer->list[i];
        }
    }
    return NULL;
}

/* Reads the queue anew; what is known of this run stays. Returns how many are new. */
static int list_renew(struct mailer *mailer)
{
    char(*ids)[SPOOL_ID_BYTES] = NULL;
    int count = spool_list(mailer->params.spool, false, &ids);
    struct mailer_mark *list;
    size_t old = 0;
    int fresh = 0;

    if (count <= 0) {
        free(ids);
        return count;
    }
    list = calloc((size_t)count, sizeof *list);
    if (list == NULL) {
        free(ids);
        return E_SPACE;
    }
    for (int i = 0; i < count; i++) {
        memcpy(list[i].id, ids[i], SPOOL_ID_BYTES);
        /* Both are sorted: one walk finds all that both have. */
        while (old < mailer->list_count && strcmp(mailer->list[old].id, ids[i]) < 0) {
            old++;
        }
        if (old < mailer->list_count && strcmp(mailer->list[old].id, ids[i]) == 0) {
            list[i].done = mailer->list[old].done;
        } else {
            fresh++;
        }
    }
    free(ids);
    free(mailer->list);
    mailer->list = list;
    mailer->list_count = (size_t)count;
    return fresh;
}

/* Those in hand, or all who wait before any was offered. */
static void add_recipients(const struct mailer *mailer, struct text *text)
{
    const struct spool_mail *mail = &mailer->mail;
    size_t all = mailer->rcpt_count;
    size_t shown = 0;

    for (size_t i = 0; i < mailer->rcpt_count && shown < LOG_RCPT_MAX; i++) {
        text_format(text, "%s<%s>", shown++ == 0 ? " to=" : ",", mailer->rcpt[i]);
    }
    for (size_t i = 0; i < mail->rcpt_count && mailer->rcpt_count == 0; i++) {
        if (mail->rcpt[i].state == SPOOL_WAITING && all++ < LOG_RCPT_MAX) {
            text_format(text, "%s<%s>", shown++ == 0 ? " to=" : ",", mail->rcpt[i].address);
        }
    }
    if (all > shown) {
        text_format(text, ",and %u more", (unsigned)(all - shown));
    }
}

static void add_seconds(struct text *text, const char *name, uint64_t ms)
{
    text_format(text, " %s=%u.", name, (unsigned)text_seconds(ms));
    text_add_pad(text, (uint32_t)(ms - text_seconds(ms) * UINT64_C(1000)), 3);
    text_add_char(text, 's');
}

static void add_quoted(struct text *text, const char *name, const char *words)
{
    text_format(text, " %s=\"", name);
    text_add_printable(text, words, strlen(words));
    text_add_char(text, '"');
}

static void log_mail(struct mailer *mailer, int severity, const char *what,
                     const struct smtp_result *result)
{
    const struct spool_mail *mail = &mailer->mail;
    const struct tls_info *info = tls_info(&mailer->tls);
    bool tls = mailer->session.tls_up && info->suite != NULL;
    uint64_t unix_ms = posix_unix_ms();
    char line[1400];
    struct text text = text_begin(line, sizeof line);

    text_format(&text, "%s: %s from=<%s>", mail->id[0] != '\0' ? mail->id : "-", what, mail->from);
    add_recipients(mailer, &text);
    text_format(&text, " size=%u try=%u", (unsigned)mail->size_bytes, (unsigned)mail->attempts + 1);
    add_seconds(&text, "delay",
                unix_ms > mail->queued_unix_ms ? unix_ms - mail->queued_unix_ms : 0);
    if (mailer->offered_ms != 0) {
        text_format(&text, " server=%s[%s] tls=%s", mailer->server.endpoint->host,
                    link_peer(mailer->link), tls ? info->suite : "off");
        add_seconds(&text, "time", posix_monotonic_ms() - mailer->offered_ms);
    }
    if (result != NULL && result->error == 0) {
        text_add(&text, " code=250");
        add_quoted(&text, "text", result->text);
    }
    if (mail->reason[0] != '\0' && (result == NULL || result->error != 0 || result->refused_mask)) {
        add_quoted(&text, "reason", mail->reason);
    }
    text_format(&text, " message-id=<%s>", mail->message_id != NULL ? mail->message_id : "");
    mailer_say(mailer, severity, line);
}

static void mail_release(struct mailer *mailer, uint8_t flag)
{
    if (mailer->list_at < mailer->list_count) {
        mailer->list[mailer->list_at].done |= flag;
    }
    if (!mailer->borrowed_fd && mailer->fd >= 0) {
        (void)close(mailer->fd);
    }
    if (mailer->params.spool != NULL) {
        spool_mail_free(&mailer->mail);
    }
    mailer->fd = -1;
    mailer->have_mail = false;
    mailer->rcpt_count = 0;
}

/* It will never leave: kept in failed/, where a person finds it. */
static void mail_fails(struct mailer *mailer)
{
    struct mailer_outcome *outcome = mailer->outcome;

    outcome->failed++;
    if (is_own(mailer, mailer->mail.id) || mailer->params.spool == NULL) {
        outcome->own_fails = true;
        (void)text_copy(outcome->text, sizeof outcome->text, mailer->mail.reason);
    }
    if (mailer->params.spool != NULL && spool_fail(mailer->params.spool, &mailer->mail) < 0) {
        mailer_say(mailer, LOG_ERR, mailer->params.spool->problem);
    }
    mail_release(mailer, MAILER_SETTLED);
}

/* A mail from before the clock was set is as old as the first look at it with the right time. */
static void settle_age(struct spool_mail *mail)
{
    uint64_t unix_ms = posix_unix_ms();

    if (mail->queued_unix_ms < MAILER_CLOCK_UNIX_MS && unix_ms >= MAILER_CLOCK_UNIX_MS) {
        mail->queued_unix_ms = unix_ms;
    }
}

static bool expires(const struct mailer *mailer)
{
    uint64_t age_ms = posix_unix_ms() - mailer->mail.queued_unix_ms;

    return age_ms < UINT64_MAX / 2 &&
           age_ms > mailer->params.settings->config.expire_s * UINT64_C(1000);
}

/* Whether a time has come, or is so far ahead that the clock has gone back since it was written. */
static bool is_past(const struct mailer *mailer, uint64_t unix_ms)
{
    uint64_t now_unix_ms = posix_unix_ms();

    return unix_ms <= now_unix_ms ||
           unix_ms - now_unix_ms > mailer->params.settings->config.retry_max_s * UINT64_C(1000);
}

/* Whether the mail goes by the server in hand; another one's turn comes later. */
static bool is_for_hub(struct mailer *mailer)
{
    const char *hub = mailer->mail.hub != NULL ? mailer->mail.hub : "";

    if (strcmp(hub, mailer->hub) == 0) {
        return true;
    }
    if (!mailer->hub_waits) {
        mailer->hub_waits = true;
        (void)text_copy(mailer->next_hub, sizeof mailer->next_hub, hub);
    }
    return false;
}

static bool may_go(const struct mailer *mailer)
{
    const struct spool_mail *mail = &mailer->mail;
    bool due = is_past(mailer, mail->due_unix_ms);
    bool begun = (mailer->list[mailer->list_at].done & MAILER_TRIED) != 0;

    return mailer->kind == MAILER_ALL || is_own(mailer, mail->id) || due || begun ||
           (mailer->kind == MAILER_CALL && !mail->own_fault);
}

/* The mail of a call goes first, then by age; last those that have failed by their own fault, which
 * may break the connection again. */
static bool choose(struct mailer *mailer)
{
    uint8_t tried = (uint8_t)((1u << mailer->server_index) | MAILER_SETTLED | MAILER_ELSEWHERE);

    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 0; i < mailer->list_count; i++) {
            struct mailer_mark *mark = &mailer->list[i];
            bool fits = round == 0   ? is_own(mailer, mark->id)
                        : round == 1 ? (mark->done & MAILER_LATER) == 0
                                     : true;

            if ((mark->done & tried) == 0 && fits) {
                mailer->list_at = i;
                return true;
            }
        }
    }
    return false;
}

/* Until when nothing may be sent (the provider's limit); 0: now. */
static uint64_t limited_ms(struct mailer *mailer)
{
    return limits_wait_ms(&mailer->limits, posix_unix_ms(), SEVERITY_NOTICE);
}

bool mailer_next(struct mailer *mailer)
{
    while (!mailer->have_mail && mailer->params.spool != NULL) {
        struct mailer_mark *mark;

        if (!choose(mailer) && (list_renew(mailer) <= 0 || !choose(mailer))) {
            return false;
        }
        mark = &mailer->list[mailer->list_at];
        if (spool_load(mailer->params.spool, false, mark->id, &mailer->mail) < 0) {
            mailer_say(mailer, LOG_ERR, mailer->params.spool->problem);
            mark->done |= MAILER_SETTLED;
            continue;
        }
        mailer->have_mail = true;
        mailer->wait_own_fault = false;
        settle_age(&mailer->mail);
        if (!may_go(mailer) || !is_for_hub(mailer)) {
            mail_release(mailer, may_go(mailer) ? MAILER_ELSEWHERE : MAILER_SETTLED);
            continue;
        }
        if (mailer->mail.own_fault && (mark->done & MAILER_LATER) == 0 &&
            !is_own(mailer, mark->id)) {
            mail_release(mailer, MAILER_LATER);
            continue;
        }
        if (limited_ms(mailer) > 0) {
            mailer->outcome->next_unix_ms = posix_unix_ms() + limited_ms(mailer);
            (void)text_print(mailer->outcome->text, sizeof mailer->outcome->text,
                             "the limit of messages a %s is reached",
                             limits_name(&mailer->limits, posix_unix_ms(), SEVERITY_NOTICE));
            mail_release(mailer, MAILER_SETTLED);
            return false;
        }
        mailer->fd = spool_message(mailer->params.spool, false, mark->id);
        if (mailer->fd < 0) {
            mailer_say(mailer, LOG_ERR, mailer->params.spool->problem);
            mail_release(mailer, MAILER_SETTLED);
        }
    }
    return mailer->have_mail;
}

/* ---- what became of it ---- */

static void set_reason(char **reason, const char *text)
{
    free(*reason);
    *reason = strdup(text);
}

/* Whether this run tries it by the other server as well. */
static bool may_try_other(const struct mailer *mailer)
{
    unsigned other = mailer->server_index ^ 1u;

    return config_servers(&mailer->params.settings->config) > 1 && mailer->hub[0] == '\0' &&
           (mailer->list[mailer->list_at].done & (1u << other)) == 0;
}

/* It was tried once more, and its time is over. */
static void mail_expires(struct mailer *mailer)
{
    char last[SPOOL_REASON_BYTES];

    (void)text_copy(last, sizeof last, mailer->mail.reason);
    (void)text_print(mailer->mail.reason, sizeof mailer->mail.reason,
                     "not sent within %u s (expire); last: %s",
                     (unsigned)mailer->params.settings->config.expire_s, last);
    log_mail(mailer, LOG_ERR, "gave up", NULL);
    mail_fails(mailer);
}

/* A try was in vain. The mail stays for its next one, or is given up; a mail that lay for long
 * because nobody ran the queue has had this one. */
static void mail_waits(struct mailer *mailer, bool own_fault)
{
    struct spool_mail *mail = &mailer->mail;
    uint64_t unix_ms = posix_unix_ms();

    mail->attempts++;
    if (mailer->params.spool != NULL && !may_try_other(mailer) && expires(mailer)) {
        mail_expires(mailer);
        return;
    }
    mail->own_fault = own_fault;
    mail->due_unix_ms = unix_ms + retry_backoff_ms(&mailer->params.settings->config,
                                                   &mailer->random, mail->attempts);
    if (mailer->params.spool != NULL && spool_update(mailer->params.spool, mail) < 0) {
        mailer_say(mailer, LOG_ERR, mailer->params.spool->problem);
    }
    if (is_own(mailer, mail->id) || mailer->params.spool == NULL) {
        (void)text_copy(mailer->outcome->text, sizeof mailer->outcome->text, mail->reason);
    }
    mail_release(mailer, (uint8_t)(1u << mailer->server_index));
}

void mailer_settles(struct mailer *mailer)
{
    struct spool_mail *mail = &mailer->mail;
    size_t waiting = 0;
    size_t refused = 0;
    bool own = is_own(mailer, mail->id) || mailer->params.spool == NULL;

    for (size_t i = 0; i < mail->rcpt_count; i++) {
        waiting += mail->rcpt[i].state == SPOOL_WAITING;
        refused += mail->rcpt[i].state == SPOOL_REFUSED;
    }
    if (waiting > 0) {
        mailer->own_waits = mailer->params.spool == NULL;
        mail_waits(mailer, mailer->wait_own_fault);
    } else if (refused > 0) {
        mail_fails(mailer);
    } else {
        mailer->outcome->accepted++;
        mailer->outcome->own_left |= own;
        if (mailer->params.spool != NULL && spool_done(mailer->params.spool, mail) < 0) {
            mailer_say(mailer, LOG_ERR, mailer->params.spool->problem);
        }
        mail_release(mailer, MAILER_SETTLED);
    }
}

/* The answer for one of the recipients in hand. */
static void rcpt_answered(struct mailer *mailer, size_t i, const struct smtp_result *result,
                          const char *why)
{
    struct spool_rcpt *rcpt = &mailer->mail.rcpt[mailer->rcpt_index[i]];
    uint32_t bit = UINT32_C(1) << i;

    if (result->error == 0 && (result->accepted_mask & bit) != 0) {
        rcpt->state = SPOOL_SENT;
        return;
    }
    if (result->error == 0 ? (result->transient_mask & bit) == 0 : result->error == E_PERMANENT) {
        rcpt->state = SPOOL_REFUSED;
    } else {
        mailer->wait_own_fault = true;
    }
    set_reason(&rcpt->reason, why);
}

void mailer_answered(struct mailer *mailer, const struct smtp_result *result)
{
    struct spool_mail *mail = &mailer->mail;
    bool own = is_own(mailer, mail->id) || mailer->params.spool == NULL;
    char why[SPOOL_REASON_BYTES] = "";
    struct text text = text_begin(why, sizeof why);
    bool refused;

    refused = result->error != 0 || result->refused_mask != 0;
    if (refused) {
        text_format(&text, "%s: ", mailer->server.endpoint->host);
        mailer_describe(&text, &result->failure);
        (void)text_copy(mail->reason, sizeof mail->reason, why);
    }
    for (size_t i = 0; i < mailer->rcpt_count; i++) {
        rcpt_answered(mailer, i, result, why);
    }
    if (result->error == 0) {
        limits_take(&mailer->limits, posix_unix_ms());
        retry_good(&mailer->retry, mailer->server_index);
    }
    if (own) {
        mailer->outcome->own_code = result->error == 0 ? 250 : result->failure.code;
    }
    log_mail(mailer,
             result->error == E_PERMANENT ? LOG_ERR
             : refused                    ? LOG_WARNING
                                          : LOG_INFO,
             result->error == 0             ? refused ? "sent in part" : "sent"
             : result->error == E_PERMANENT ? "refused"
                                            : "deferred",
             result);
    if (result->error == 0 && mailer->rcpt_count < mail->rcpt_count &&
        mailer->params.spool != NULL && spool_update(mailer->params.spool, mail) < 0) {
        mailer_say(mailer, LOG_ERR, mailer->params.spool->problem);
    }
}

void mailer_broken(struct mailer *mailer, int error, const char *why)
{
    struct spool_mail *mail = &mailer->mail;
    const struct smtp_result *result = smtp_result(&mailer->smtp);

    if (error ==
        E_PERMANENT) { /* A verdict on this mail, after which nothing more could be said. */
        struct smtp_result verdict = *result;

        verdict.error = E_PERMANENT;
        if (smtp_failure(&mailer->smtp) != NULL) {
            verdict.failure = *smtp_failure(&mailer->smtp);
        }
        mailer_answered(mailer, &verdict);
        mailer_settles(mailer);
        return;
    }
    (void)text_print(mail->reason, sizeof mail->reason, "%s%s", why,
                     result->unanswered ? " The server may have the mail; it will be sent again, "
                                          "with the same Message-ID."
                                        : "");
    log_mail(mailer, LOG_WARNING, mailer->offered ? "interrupted" : "waits", NULL);
    /* Once may happen to any; twice, and it may be this mail that breaks connections. */
    mail_waits(mailer, mailer->offered && mail->attempts > 0);
}

/* ---- a run ---- */

static int begin(struct mailer *mailer, char *why, size_t why_size)
{
    uint8_t seed[RANDOM_SEED_BYTES];

    random_init(&mailer->random);
    if (posix_random(seed, sizeof seed) != 0) {
        (void)text_copy(why, why_size, "the system gives no random numbers");
        return E_CONFIG;
    }
    random_seed(&mailer->random, seed, sizeof seed);
    explicit_bzero(seed, sizeof seed);
    return 0;
}

static bool host_of_config(void *context, const char *name, uint32_t *address)
{
    const struct config *config = context;

    for (unsigned i = 0; i < config->host_count; i++) {
        if (text_equal_nocase(config->host[i].name, name)) {
            *address = config->host[i].address;
            return true;
        }
    }
    return false;
}

/* HOST[:PORT] of revaliases: all else is as for `mailhub`. */
static void server_view(struct mailer *mailer)
{
    const struct config *config = &mailer->params.settings->config;
    struct config_endpoint *endpoint = &mailer->endpoint;
    uint32_t port = config->mailhub.port;
    char *colon;

    config_server(config, mailer->server_index, &mailer->server);
    if (mailer->hub[0] == '\0') {
        return;
    }
    (void)text_copy(endpoint->host, sizeof endpoint->host, mailer->hub);
    colon = strrchr(endpoint->host, ':');
    if (colon != NULL && text_parse_u32(colon + 1, UINT16_MAX, &port)) {
        *colon = '\0';
    }
    endpoint->port = (uint16_t)port;
    if (strcmp(config->tls_name, config->mailhub.host) == 0) {
        mailer->server.tls_name = endpoint->host;
    }
    mailer->server.endpoint = endpoint;
}

/* What the server in hand needs before a connection: certificates and the password. */
static int server_ready(struct mailer *mailer, char *why, size_t why_size)
{
    struct settings *settings = mailer->params.settings;
    int error;

    server_view(mailer);
    if (mailer->server.endpoint->host[0] == '\0') {
        (void)text_print(why, why_size, "no mail server: expected mailhub = HOST:PORT in %s",
                         settings->path);
        return E_CONFIG;
    }
    if (mailer->server.tls != SMTP_TLS_OFF && !mailer->trusted) {
        if (trust_open(&mailer->trust, settings_ca(settings)) < 0) {
            (void)text_copy(why, why_size, mailer->trust.problem);
            return E_CONFIG;
        }
        mailer->trusted = true;
    }
    error = mailer->server.user[0] == '\0'
                ? 0
                : settings_secret(&settings->config,
                                  mailer->server_index == 0 ? SETTINGS_AUTH : SETTINGS_AUTH2, why,
                                  why_size);
    server_view(mailer);
    return error;
}

/* Whether a mail of the list may still go by the server. */
static bool left_for(struct mailer *mailer, uint8_t server)
{
    if (mailer->params.spool == NULL) {
        return mailer->have_mail || mailer->own_waits;
    }
    for (size_t i = 0; i < mailer->list_count; i++) {
        if ((mailer->list[i].done & ((1u << server) | MAILER_SETTLED)) == 0) {
            return true;
        }
    }
    return false;
}

/* One round: the servers in their order until one works, and for mails that it would not take now
 * the other. */
static int round_of_servers(struct mailer *mailer, char *why, size_t why_size)
{
    const struct config *config = &mailer->params.settings->config;
    int error = 0;

    for (unsigned sessions = 0; sessions < 2; sessions++) {
        uint64_t now_ms = posix_monotonic_ms();

        mailer->server_index = mailer->hub[0] != '\0' ? 0
                               : sessions == 0        ? retry_choose(&mailer->retry, config, now_ms)
                                                      : (uint8_t)(mailer->server_index ^ 1u);
        mailer->have_mail = mailer->have_mail || mailer->own_waits;
        mailer->own_waits = false;
        if (!mailer->have_mail && !mailer_next(mailer)) {
            break;
        }
        mailer->acted = true;
        error = server_ready(mailer, why, why_size);
        if (error == 0) {
            error = mailer_session(mailer, why, why_size);
            now_ms = posix_monotonic_ms();
        }
        if (mailer->have_mail && mailer->params.spool != NULL) {
            mailer_broken(mailer, error, why);
        } else if (error != 0) {
            mailer_say(mailer, LOG_WARNING, why);
        }
        if (error == 0 || error == E_PERMANENT) {
            retry_good(&mailer->retry, mailer->server_index);
        } else if (mailer->hub[0] == '\0') {
            (void)retry_failed(&mailer->retry, config, &mailer->random, mailer->server_index,
                               now_ms);
        }
        if (now_ms >= mailer->end_ms || config_servers(config) < 2 || mailer->hub[0] != '\0' ||
            !left_for(mailer, mailer->server_index ^ 1u)) {
            break;
        }
    }
    mailer->retry.tried = 0;
    return error;
}

/* When the next mail is due, and how many wait. */
static void count_waiting(struct mailer *mailer)
{
    char(*ids)[SPOOL_ID_BYTES] = NULL;
    int count = spool_list(mailer->params.spool, false, &ids);
    uint64_t next = mailer->outcome->next_unix_ms;
    uint64_t now_ms = posix_monotonic_ms();
    uint64_t hold_ms = mailer->retry.next_ms > now_ms ? mailer->retry.next_ms - now_ms : 0;

    mailer->outcome->waiting = count > 0 ? (unsigned)count : 0;
    for (int i = 0; i < count; i++) {
        struct spool_mail mail;

        if (spool_load(mailer->params.spool, false, ids[i], &mail) >= 0) {
            next = next == 0 || mail.due_unix_ms < next ? mail.due_unix_ms : next;
            next = next == 0 ? 1 : next;
            spool_mail_free(&mail);
        }
    }
    if (mailer->outcome->error != 0 && next < posix_unix_ms() + hold_ms) {
        next = posix_unix_ms() + hold_ms;
    }
    mailer->outcome->next_unix_ms = count > 0 ? next : 0;
    free(ids);
}

/* The mails that go by servers of their own. */
static void run_hubs(struct mailer *mailer)
{
    for (unsigned hubs = 0; mailer->hub_waits && hubs < HUBS_MAX; hubs++) {
        char why[MAILER_TEXT_BYTES] = "";

        mailer->hub_waits = false;
        (void)text_copy(mailer->hub, sizeof mailer->hub, mailer->next_hub);
        for (size_t i = 0; i < mailer->list_count; i++) {
            mailer->list[i].done &= (uint8_t)~MAILER_ELSEWHERE;
        }
        if (round_of_servers(mailer, why, sizeof why) != 0) {
            (void)text_copy(mailer->outcome->text, sizeof mailer->outcome->text, why);
        }
    }
    mailer->hub[0] = '\0';
}

static void spool_failed(struct mailer *mailer, int error)
{
    mailer->outcome->error = error;
    if (error < 0) {
        (void)text_copy(mailer->outcome->text, sizeof mailer->outcome->text,
                        mailer->params.spool->problem);
        mailer_say(mailer, LOG_ERR, mailer->params.spool->problem);
    }
}

/* With the lock held. */
static void run_locked(struct mailer *mailer, struct mailer_state *state)
{
    char why[MAILER_TEXT_BYTES] = "";
    int fresh = list_renew(mailer);
    int error = 0;

    if (fresh <= 0) {
        spool_failed(mailer, fresh);
        return;
    }
    state_load(mailer, state);
    /* A server that is away, or wants another password, is not asked again for each mail that
     * waits; who has a new one tries at once. */
    if (mailer->kind == MAILER_DUE && mailer->retry.next_ms > posix_monotonic_ms()) {
        (void)text_copy(mailer->outcome->text, sizeof mailer->outcome->text, state->text);
        mailer->outcome->error = E_TRANSIENT;
        return;
    }
    mailer->retry.next_ms = 0;
    /* What has left must not come back: where nothing can be written it would, with each run. The
     * mail of a call was just written; a full disk does not keep a file from being removed. */
    error = mailer->kind == MAILER_CALL
                ? 0
                : spool_state_write(mailer->params.spool, state, sizeof *state);
    if (error < 0 && error != E_SPACE) {
        spool_failed(mailer, error);
        return;
    }
    for (error = 0; fresh > 0; fresh = list_renew(mailer)) {
        error = round_of_servers(mailer, why, sizeof why);
        if (error != 0 && error != E_PERMANENT) {
            (void)text_copy(mailer->outcome->text, sizeof mailer->outcome->text, why);
            break;
        }
    }
    run_hubs(mailer);
    mailer->outcome->error = error == E_PERMANENT ? 0 : error;
    state_save(mailer, state, mailer->outcome->error, why);
}

static struct mailer *mailer_new(const struct mailer_params *params, enum mailer_kind kind,
                                 const char *own_id, struct mailer_outcome *outcome)
{
    struct mailer *mailer = calloc(1, sizeof *mailer);
    const struct config *config = &params->settings->config;

    memset(outcome, 0, sizeof *outcome);
    if (mailer == NULL || begin(mailer, outcome->text, sizeof outcome->text) < 0) {
        outcome->error = E_SPACE;
        free(mailer);
        return NULL;
    }
    mailer->params = *params;
    mailer->outcome = outcome;
    mailer->kind = kind;
    mailer->own_id = own_id;
    mailer->fd = -1;
    mailer->end_ms = kind == MAILER_CALL && config->total_timeout_s != 0
                         ? posix_monotonic_ms() + config->total_timeout_s * UINT64_C(1000)
                         : UINT64_MAX;
    mailer->link = link_posix_init(&mailer->posix, host_of_config,
                                   (void *)(uintptr_t)&params->settings->config);
    return mailer;
}

static void mailer_free(struct mailer *mailer)
{
    explicit_bzero(&mailer->smtp, sizeof mailer->smtp);
    explicit_bzero(&mailer->tls, sizeof mailer->tls);
    free(mailer->list);
    free(mailer);
}

/* Another process sends. One that does so for very long may be stopped, or hang: nobody else can
 * tell, and no mail would ever leave. */
static void found_busy(struct mailer *mailer)
{
    uint32_t locked_s = spool_locked_s(mailer->params.spool);

    mailer->outcome->busy = true;
    if (locked_s >= LOCKED_S_MAX) {
        (void)text_print(mailer->outcome->text, sizeof mailer->outcome->text,
                         "%s/lock: another process has been sending for %u min; if it is stopped, "
                         "end it (fuser names it)",
                         mailer->params.spool->path, (unsigned)(locked_s / 60));
        mailer_say(mailer, LOG_WARNING, mailer->outcome->text);
    }
}

/* Whether there is something that this run has not seen: queued by a call that found us busy, after
 * our last look. */
static bool more_came(struct mailer *mailer)
{
    char(*ids)[SPOOL_ID_BYTES] = NULL;
    int count = spool_list(mailer->params.spool, false, &ids);
    bool more = false;

    for (int i = 0; i < count && !more; i++) {
        more = mark_of(mailer, ids[i]) == NULL;
    }
    free(ids);
    return more;
}

void mailer_run(const struct mailer_params *params, enum mailer_kind kind, const char *own_id,
                struct mailer_outcome *outcome)
{
    struct mailer *mailer = mailer_new(params, kind, own_id, outcome);
    struct mailer_state state;
    unsigned runs = 0;
    int first = 0; /* The error of the first run that failed. */

    if (mailer == NULL) {
        return;
    }
    do {
        int error = spool_lock(params->spool, 0);

        first = first != 0 ? first : outcome->error;
        if (error < 0) {
            outcome->error = error == E_TRANSIENT ? 0 : error;
            if (error == E_TRANSIENT && runs == 0) {
                found_busy(mailer);
            }
            break;
        }
        spool_sweep(params->spool);
        run_locked(mailer, &state);
        spool_unlock(params->spool);
        runs++;
        /* Those who came meanwhile have been told that we take theirs: they get one session, even
         * if ours broke. */
    } while ((outcome->error == 0 || first == 0) && posix_monotonic_ms() < mailer->end_ms &&
             more_came(mailer));
    outcome->error = first != 0 ? first : outcome->error;
    if (kind != MAILER_CALL) {
        count_waiting(mailer);
    }
    mailer_free(mailer);
}

void mailer_send_now(const struct mailer_params *params, const struct spool_mail *mail, int fd,
                     struct mailer_outcome *outcome)
{
    struct mailer *mailer = mailer_new(params, MAILER_CALL, NULL, outcome);
    char why[MAILER_TEXT_BYTES] = "";
    struct mailer_state state;

    if (mailer == NULL) {
        return;
    }
    mailer->params.spool = NULL;
    mailer->mail = *mail;
    mailer->fd = fd;
    mailer->borrowed_fd = true;
    (void)text_copy(mailer->hub, sizeof mailer->hub, mail->hub != NULL ? mail->hub : "");
    mailer->have_mail = true;
    state_load(mailer, &state);
    outcome->error = round_of_servers(mailer, why, sizeof why);
    if (outcome->text[0] == '\0') {
        (void)text_copy(outcome->text, sizeof outcome->text, why);
    }
    mailer_free(mailer);
}
