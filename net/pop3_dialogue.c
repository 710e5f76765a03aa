/* pop3_dialogue.c - the states of a POP3 session. Two switches at the end read as a pair:
 * pop3_enter() says what is sent on entering a state, next_state() what the reply to it leads to.
 * The X_reply functions return the next state, so that no branch can forget one. */
#include "net/pop3_dialogue.h"

#include "net/digest.h"
#include "net/sasl.h"

#include <string.h>

#define COMMAND_BYTES 255 /* RFC 2449 section 4: longer, and PLAIN waits for the prompt. */
#define BYE_MS_MAX 5000   /* For courtesy only: everything is decided by then. */

/* --- Writing --- */

static struct text tx_text(struct pop3 *pop3)
{
    return text_begin((char *)pop3->tx + pop3->tx_size, sizeof pop3->tx - pop3->tx_size);
}

static bool tx_line(struct pop3 *pop3, struct text *line)
{
    text_add(line, "\r\n");
    if (!line->cut) {
        pop3->tx_size = (uint16_t)(pop3->tx_size + line->length);
    }
    return !line->cut;
}

bool pop3_send(struct pop3 *pop3, const char *verb, const char *argument)
{
    struct text line = tx_text(pop3);

    text_add(&line, verb);
    text_add(&line, argument);
    return tx_line(pop3, &line);
}

/* --- Failing --- */

/* The session has failed: says so in reply, "words: what the server said". */
static void record_failure(struct pop3 *pop3, int error, enum pop3_cause cause, const char *words)
{
    struct pop3_failure *reply = &pop3->reply;
    char whole[POP3_TEXT_BYTES];
    struct text text = text_begin(whole, sizeof whole);
    const char *quote = "";
    size_t size = 0;

    if (cause == POP3_CAUSE_REPLY || cause == POP3_CAUSE_PROTOCOL ||
        cause == POP3_CAUSE_MECHANISM) {
        quote = reply->text;
        size = strlen(quote);
    } else if ((cause == POP3_CAUSE_EOF || cause == POP3_CAUSE_TIMEOUT) &&
               pop3->mode == MODE_STATUS) {
        quote = (const char *)pop3->rx; /* Half a line: no reply, but it may tell a person why. */
        size = pop3->rx_size;
    }
    text_add(&text, words);
    text_add(&text, words[0] != '\0' && size > 0 ? ": " : "");
    text_add_printable(&text, quote, size);
    memcpy(reply->text, whole, sizeof whole);
    if (cause != POP3_CAUSE_REPLY) {
        reply->code = POP3_CODE_NONE;
    }
    reply->error = error;
    reply->cause = cause;
    reply->stage = pop3_stage(pop3);
    pop3->failed = true;
}

/* For where the two sides may no longer agree on what comes next. */
static enum pop3_state fail_close(struct pop3 *pop3, int error, enum pop3_cause cause,
                                  const char *words)
{
    record_failure(pop3, error, cause, words);
    return STATE_CLOSED;
}

/* For a refusal in good order: QUIT follows, if nothing else is under way. */
static enum pop3_state fail_quit(struct pop3 *pop3, int error, enum pop3_cause cause,
                                 const char *words)
{
    record_failure(pop3, error, cause, words);
    return pop3->replies_due == 0 && pop3_tx_empty(pop3) ? STATE_BYE : STATE_CLOSED;
}

/* A reply that no command of ours can have, such as a prompt for CAPA. */
static enum pop3_state fail_unexpected(struct pop3 *pop3)
{
    return fail_close(pop3, E_TRANSIENT, POP3_CAUSE_PROTOCOL, "the server spoke out of turn");
}

void pop3_fail(struct pop3 *pop3, int error, enum pop3_cause cause, const char *words)
{
    pop3_enter(pop3, fail_close(pop3, error, cause, words), 0);
}

/* --- What the server's words mean --- */

/* Whether one of the words, a list that ends in an empty one, is in the reply, ASCII case ignored.
 */
static bool says(const struct pop3 *pop3, const char *words)
{
    for (; *words != '\0'; words += strlen(words) + 1) {
        for (const char *at = pop3->reply.text; *at != '\0'; at++) {
            if (text_starts_nocase(at, words)) {
                return true;
            }
        }
    }
    return false;
}

bool pop3_may_pass(const struct pop3 *pop3)
{
    enum pop3_code code = pop3->reply.code;

    return code == POP3_CODE_IN_USE || code == POP3_CODE_LOGIN_DELAY || code == POP3_CODE_SYS_TEMP;
}

/* A login was refused for good, or until later. Servers without codes say the latter in words: RFC
 * 1939's own are "maildrop already locked". */
static enum pop3_state fail_login(struct pop3 *pop3)
{
    bool passes = pop3_may_pass(pop3) || (pop3->reply.code == POP3_CODE_NONE &&
                                          says(pop3, "already\0in use\0again later\0temporar\0"));

    return fail_quit(pop3, passes ? E_TRANSIENT : E_CONFIG, POP3_CAUSE_REPLY, "");
}

/* Whether -ERR to AUTH or APOP is about that command and not about the password. Nothing but words
 * tells, where the server has no codes (RFC 3206). */
static bool refuses_mechanism(const struct pop3 *pop3)
{
    if (pop3_may_pass(pop3) || pop3->reply.code == POP3_CODE_AUTH) {
        return false;
    }
    return says(pop3, "mechanism\0support\0") || !says(pop3, "fail\0password\0login\0credential\0");
}

/* --- Greeting, CAPA, STLS --- */

bool pop3_stls_due(const struct pop3 *pop3)
{
    return pop3->params->tls == SMTP_TLS_STARTTLS && !pop3->tls_up;
}

/* The answer to a greeting's timestamp, "<process.clock@host>" (RFC 1939 section 7), is made at
 * once: nothing else of the greeting is kept. It has to look like a message id: an answer to
 * whatever bytes somebody chooses gives the password away in time. */
static void take_timestamp(struct pop3 *pop3, const char *line)
{
    const char *begin = strchr(line, '<');
    const char *at = begin;
    bool host = false;

    if (begin == NULL || pop3->params->tls != SMTP_TLS_OFF) {
        return;
    }
    for (at++; *at > ' ' && *at <= '~' && *at != '<' && *at != '>'; at++) {
        host = host || *at == '@';
    }
    if (*at == '>' && host) {
        digest_apop(begin, (size_t)(at + 1 - begin), pop3->params->password, pop3->apop);
    }
}

static enum pop3_state greeting_reply(struct pop3 *pop3, enum pop3_status status, const char *line)
{
    if (status == STATUS_ERR) {
        return fail_quit(pop3,
                         pop3->reply.code == POP3_CODE_SYS_PERM ||
                                 pop3->reply.code == POP3_CODE_AUTH
                             ? E_CONFIG
                             : E_TRANSIENT,
                         POP3_CAUSE_REPLY, "");
    }
    take_timestamp(pop3, line);
    return STATE_CAPA;
}

/* "SASL PLAIN LOGIN": kept in words, too, in case none of them is here. */
static void take_mechanisms(struct pop3 *pop3, const char *list)
{
    struct text text = text_begin(pop3->reply.text, sizeof pop3->reply.text);

    while (*list == ' ') {
        list++;
    }
    text_add_printable(&text, list, strlen(list));
    pop3->sasl_seen = *list != '\0';
    while (*list != '\0') {
        size_t size = strcspn(list, " ");
        int mechanism = sasl_parse(list, size);

        if (mechanism >= 0) {
            pop3->capabilities |=
                mechanism == SASL_PLAIN ? POP3_CAP_SASL_PLAIN : POP3_CAP_SASL_LOGIN;
        }
        list += list[size] != '\0' ? size + 1 : size;
    }
}

/* "900", "900 USER", "NEVER": sets the number, unless there is none. */
static void take_limit(struct pop3 *pop3, const char *argument, uint32_t *limit)
{
    uint64_t value = 0;

    while (*argument == ' ') {
        argument++;
    }
    if (pop3_number(&argument, UINT32_MAX, &value)) {
        *limit = (uint32_t)value;
        pop3->capa_user = pop3->capa_user || text_equal_nocase(argument, "USER");
    }
}

void pop3_take_capability(struct pop3 *pop3, const char *line)
{
    /* The first ones in the order of their bits. */
    static const char names[] =
        "STLS\0PIPELINING\0TOP\0UIDL\0USER\0RESP-CODES\0SASL\0LOGIN-DELAY\0EXPIRE";
    static const uint8_t bits[] = {POP3_CAP_STLS, POP3_CAP_PIPELINING, POP3_CAP_TOP,
                                   POP3_CAP_UIDL, POP3_CAP_USER,       POP3_CAP_RESP_CODES};
    enum { SASL = sizeof bits, LOGIN_DELAY, EXPIRE, NAMES };

    if (++pop3->lines_idle > POP3_LINES_IDLE_MAX) {
        pop3_fail(pop3, E_TRANSIENT, POP3_CAUSE_PROTOCOL, "a reply without end");
        return;
    }
    for (unsigned i = 0; i < NAMES; i++) {
        const char *name = text_item(names, i);
        const char *rest = line + strlen(name);

        if (!text_starts_nocase(line, name) || (*rest != ' ' && *rest != '\0')) {
            continue;
        }
        if (i < SASL) {
            pop3->capabilities |= bits[i];
        } else if (i == SASL) {
            take_mechanisms(pop3, rest);
        } else {
            take_limit(pop3, rest, i == EXPIRE ? &pop3->expire_days : &pop3->login_delay_s);
        }
    }
}

static void forget_capabilities(struct pop3 *pop3)
{
    pop3->capabilities = 0;
    pop3->login_delay_s = 0;
    pop3->expire_days = POP3_EXPIRE_NEVER;
    pop3->sasl_seen = false;
    pop3->capa_user = false;
}

static void begin_capabilities(struct pop3 *pop3)
{
    forget_capabilities(pop3);
    pop3->capabilities = POP3_CAP_KNOWN;
    pop3->reply.text[0] = '\0'; /* Where the list of mechanisms comes. */
    pop3->mode = MODE_LIST;
    pop3->lines_idle = 0;
}

static enum pop3_state next_login(struct pop3 *pop3);

/* CAPA is answered, or refused as by a server from before RFC 2449: STLS can be tried there. */
static enum pop3_state capa_done(struct pop3 *pop3)
{
    if (pop3->state == STATE_CAPA_USER) {
        return STATE_READY;
    }
    if (!pop3_stls_due(pop3)) {
        return next_login(pop3);
    }
    if ((pop3->capabilities & (POP3_CAP_KNOWN | POP3_CAP_STLS)) == POP3_CAP_KNOWN) {
        return fail_quit(pop3, E_SECURITY, POP3_CAUSE_NO_STLS, "the server does not offer STLS");
    }
    return STATE_STLS;
}

void pop3_end_capabilities(struct pop3 *pop3, uint64_t now_ms)
{
    pop3_enter(pop3, capa_done(pop3), now_ms);
}

/* Even "not now" is answered by sending nothing: who stands between could have said it. */
static enum pop3_state stls_reply(struct pop3 *pop3, enum pop3_status status)
{
    return status == STATUS_OK
               ? STATE_TLS
               : fail_quit(pop3, E_SECURITY, POP3_CAUSE_NO_STLS, "the server does not begin TLS");
}

/* --- Logging in --- */

/* The best way that has not turned out unusable. */
static enum pop3_state next_login(struct pop3 *pop3)
{
    const struct pop3_params *params = pop3->params;
    unsigned capabilities = pop3->capabilities;

    if (pop3->apop[0] != '\0') {
        return STATE_APOP;
    }
    if (!pop3->tls_up && !(params->tls == SMTP_TLS_OFF && params->auth_without_tls)) {
        return fail_quit(pop3, E_SECURITY, POP3_CAUSE_CLEAR_AUTH,
                         "the password is not sent in clear text");
    }
    if ((capabilities & POP3_CAP_SASL_PLAIN) != 0 && !pop3->auth_tried &&
        sasl_plain_size(params->user, params->password) + 2 < POP3_TX_BYTES) {
        return STATE_AUTH;
    }
    if ((capabilities & POP3_CAP_USER) != 0 || !pop3->sasl_seen) {
        return STATE_USER; /* Some servers that take it do not say so. */
    }
    return pop3->refused ? fail_login(pop3)
                         : fail_quit(pop3, E_CONFIG, POP3_CAUSE_MECHANISM,
                                     "neither USER nor AUTH PLAIN but only");
}

static enum pop3_state logged_in(const struct pop3 *pop3)
{
    return pop3->capa_user ? STATE_CAPA_USER : STATE_READY;
}

static void auth_enter(struct pop3 *pop3)
{
    static const char plain[] = "AUTH PLAIN ";
    const struct pop3_params *params = pop3->params;
    struct text line = tx_text(pop3);

    pop3->auth_tried = true;
    pop3->auth_complete =
        sizeof plain - 1 + sasl_plain_size(params->user, params->password) + 2 <= COMMAND_BYTES;
    if (!pop3->auth_complete) {
        (void)pop3_send(pop3, "AUTH PLAIN", "");
        return;
    }
    text_add(&line, plain);
    sasl_plain(&line, params->user, params->password);
    (void)tx_line(pop3, &line);
    pop3->tx_secret = true;
}

static void auth_secret_enter(struct pop3 *pop3)
{
    struct text line = tx_text(pop3);

    sasl_plain(&line, pop3->params->user, pop3->params->password);
    (void)tx_line(pop3, &line);
    pop3->tx_secret = true;
    pop3->auth_complete = true;
}

/* A server from before RFC 5034 may prompt for what it was given: it gets it once more. */
static enum pop3_state auth_reply(struct pop3 *pop3, enum pop3_status status)
{
    if (status == STATUS_PROMPT) {
        return pop3->state == STATE_AUTH ? STATE_AUTH_SECRET : STATE_AUTH_CANCEL;
    }
    if (status == STATUS_OK) {
        /* Nobody is let in before having said who he is. */
        return pop3->auth_complete && pop3->state != STATE_AUTH_CANCEL ? logged_in(pop3)
                                                                       : fail_unexpected(pop3);
    }
    pop3->refused = true;
    return pop3->state == STATE_AUTH_CANCEL || refuses_mechanism(pop3) ? next_login(pop3)
                                                                       : fail_login(pop3);
}

static void apop_enter(struct pop3 *pop3)
{
    struct text line = tx_text(pop3);

    text_format(&line, "APOP %s %s", pop3->params->user, pop3->apop);
    (void)tx_line(pop3, &line);
    pop3->tx_secret = true;
    memset(pop3->apop, 0, sizeof pop3->apop); /* It has had its turn. */
}

static enum pop3_state apop_reply(struct pop3 *pop3, enum pop3_status status)
{
    if (status == STATUS_OK) {
        return logged_in(pop3);
    }
    pop3->refused = true;
    return pop3->params->auth_without_tls && refuses_mechanism(pop3) ? next_login(pop3)
                                                                     : fail_login(pop3);
}

/* --- The two switches --- */

static void closed_enter(struct pop3 *pop3)
{
    memset(pop3->tx, 0, sizeof pop3->tx); /* It may hold a credential that never left. */
    memset(pop3->apop, 0, sizeof pop3->apop);
    pop3->tx_at = 0;
    pop3->tx_size = 0;
    pop3->rx_at = 0;
    pop3->rx_size = 0;
    if (pop3->failed && pop3->quit_asked) {
        pop3->quit_asked = false;
        pop3_quit_failed(pop3);
    }
}

enum pop3_stage pop3_state_stage(enum pop3_state state)
{
    static const uint8_t stages[STATE_COUNT] = {
        [STATE_GREETING] = POP3_STAGE_GREETING, [STATE_CAPA] = POP3_STAGE_CAPA,
        [STATE_STLS] = POP3_STAGE_STLS,         [STATE_TLS] = POP3_STAGE_STLS,
        [STATE_AUTH] = POP3_STAGE_AUTH,         [STATE_AUTH_SECRET] = POP3_STAGE_AUTH,
        [STATE_AUTH_CANCEL] = POP3_STAGE_AUTH,  [STATE_APOP] = POP3_STAGE_AUTH,
        [STATE_USER] = POP3_STAGE_AUTH,         [STATE_PASS] = POP3_STAGE_AUTH,
        [STATE_CAPA_USER] = POP3_STAGE_CAPA,    [STATE_READY] = POP3_STAGE_READY,
        [STATE_BYE] = POP3_STAGE_QUIT,          [STATE_CLOSED] = POP3_STAGE_QUIT,
    };

    return (enum pop3_stage)stages[state];
}

void pop3_arm(struct pop3 *pop3, uint64_t now_ms)
{
    const struct pop3_params *params = pop3->params;
    uint32_t wait_ms =
        pop3->state == STATE_GREETING ? params->greeting_ms_max : params->command_ms_max;

    wait_ms = pop3->state == STATE_BYE ? BYE_MS_MAX : wait_ms > 0 ? wait_ms : 60000;
    pop3->progress = 0;
    pop3->deadline_ms = now_ms + wait_ms;
    if (pop3->state == STATE_CLOSED ||
        (pop3->state == STATE_READY && pop3->requests == 0 && pop3->rx_at == pop3->rx_size)) {
        pop3->deadline_ms = UINT64_MAX;
    }
}

void pop3_enter(struct pop3 *pop3, enum pop3_state state, uint64_t now_ms)
{
    pop3->state = (uint8_t)state;
    switch (state) {
    case STATE_CAPA:
        forget_capabilities(pop3);
        (void)pop3_send(pop3, "CAPA", "");
        break;
    case STATE_CAPA_USER:
        (void)pop3_send(pop3, "CAPA", "");
        break;
    case STATE_STLS:
        (void)pop3_send(pop3, "STLS", "");
        break;
    case STATE_AUTH:
        auth_enter(pop3);
        break;
    case STATE_AUTH_SECRET:
        auth_secret_enter(pop3);
        break;
    case STATE_AUTH_CANCEL:
        (void)pop3_send(pop3, "*", "");
        break;
    case STATE_APOP:
        apop_enter(pop3);
        break;
    case STATE_USER:
        (void)pop3_send(pop3, "USER ", pop3->params->user);
        break;
    case STATE_PASS:
        (void)pop3_send(pop3, "PASS ", pop3->params->password);
        pop3->tx_secret = true;
        break;
    case STATE_BYE:
        (void)pop3_send(pop3, "QUIT", "");
        break;
    case STATE_CLOSED:
        closed_enter(pop3);
        break;
    default:
        break; /* The other side has the word, or the caller. */
    }
    pop3_arm(pop3, now_ms);
}

/* Where the first line of a reply in its turn leads. */
static enum pop3_state next_state(struct pop3 *pop3, enum pop3_status status, const char *line)
{
    if (status == STATUS_PROMPT && (pop3->state < STATE_AUTH || pop3->state > STATE_AUTH_SECRET)) {
        return fail_unexpected(pop3); /* Nothing else here can be asked for more. */
    }
    switch ((enum pop3_state)pop3->state) {
    case STATE_GREETING:
        return greeting_reply(pop3, status, line);
    case STATE_CAPA:
    case STATE_CAPA_USER:
        return capa_done(pop3);
    case STATE_STLS:
        return stls_reply(pop3, status);
    case STATE_AUTH:
    case STATE_AUTH_SECRET:
    case STATE_AUTH_CANCEL:
        return auth_reply(pop3, status);
    case STATE_APOP:
        return apop_reply(pop3, status);
    case STATE_USER:
        return status == STATUS_OK ? STATE_PASS : fail_login(pop3);
    case STATE_PASS:
        return status == STATUS_OK ? logged_in(pop3) : fail_login(pop3);
    default:
        return fail_unexpected(pop3);
    }
}

void pop3_take_reply(struct pop3 *pop3, enum pop3_status status, char *line, uint64_t now_ms)
{
    bool capa = pop3->state == STATE_CAPA || pop3->state == STATE_CAPA_USER;

    if (pop3->state == STATE_READY && status != STATUS_PROMPT) {
        pop3_answer(pop3, status, line, now_ms);
    } else if (capa && status == STATUS_OK) {
        begin_capabilities(pop3);
    } else {
        pop3_enter(pop3, next_state(pop3, status, line), now_ms);
    }
}
