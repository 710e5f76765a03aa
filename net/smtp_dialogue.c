/* smtp_dialogue.c - the states of a submission session. Two switches at the end read as a pair:
 * smtp_enter() says what is sent on entering a state, next_state() what the reply to it leads to.
 * The X_reply functions return the next state, so that no branch can forget one. */
#include "net/smtp_dialogue.h"

#include "net/sasl.h"

#include <string.h>

#define AUTH_LINE_BYTES \
    512               /* RFC 5321 4.5.3.1.4: longer, and PLAIN waits for the prompt (RFC 4954 4). */
#define ENVID_MAX 100 /* RFC 3461 4.4, and it fits into tx whatever it becomes. */
#define QUIT_MS_MAX 5000 /* For courtesy only: everything is decided by then. */

/* The numbers of a transaction's commands; DATA's is rcpt_count + COMMAND_RCPT. */
enum { COMMAND_RSET, COMMAND_MAIL, COMMAND_RCPT };

/* --- Writing --- */

static struct text tx_text(struct smtp *smtp)
{
    return text_begin((char *)smtp->tx + smtp->tx_size, sizeof smtp->tx - smtp->tx_size);
}

/* Ends the line; false: it did not fit, and nothing of it is sent. */
static bool tx_line(struct smtp *smtp, struct text *line)
{
    text_add(line, "\r\n");
    if (!line->cut) {
        smtp->tx_size = (uint16_t)(smtp->tx_size + line->length);
    }
    return !line->cut;
}

/* A line of two parts. */
static void send_line(struct smtp *smtp, const char *verb, const char *argument)
{
    struct text line = tx_text(smtp);

    text_add(&line, verb);
    text_add(&line, argument);
    (void)tx_line(smtp, &line);
}

/* --- Failing --- */

static void set_failure(struct smtp *smtp, int error, enum smtp_cause cause)
{
    smtp->reply.error = error;
    smtp->reply.cause = cause;
    smtp->reply.stage = smtp_state_stage((enum smtp_state)smtp->state);
}

/* The session has failed: says so in reply, "words: what the server said", and in the result of a
 * message that is under way. */
static void record_failure(struct smtp *smtp, int error, enum smtp_cause cause, const char *words)
{
    struct smtp_failure *reply = &smtp->reply;
    char whole[SMTP_TEXT_BYTES];
    struct text text = text_begin(whole, sizeof whole);
    bool half_line = cause == SMTP_CAUSE_EOF || cause == SMTP_CAUSE_TIMEOUT;

    text_add(&text, words);
    if (words[0] != '\0' && (reply->text[0] != '\0' || (half_line && smtp->rx_size > 0))) {
        text_add(&text, ": ");
    }
    text_add_printable(&text, reply->text, strlen(reply->text));
    if (half_line) { /* It is no reply, but may tell a person why. */
        text_add_printable(&text, (const char *)smtp->rx, smtp->rx_size);
    }
    memcpy(reply->text, whole, sizeof whole);
    if (reply->code < 400 && cause != SMTP_CAUSE_PROTOCOL) {
        reply->code = 0; /* It was no refusal: the code would mislead. */
    }
    set_failure(smtp, error, cause);
    smtp->failed = true;
    if (smtp->message_open) {
        smtp->message_open = false;
        smtp->result.accepted_mask = 0;
        smtp->result.unanswered = smtp->state == STATE_ACCEPT && smtp_tx_empty(smtp) &&
                                  (cause != SMTP_CAUSE_REPLY || reply->code < 400);
        if (smtp->result.error == 0) {
            smtp->result.error = error;
            smtp->result.failure = *reply;
        }
    }
}

/* For where the two sides may no longer agree on what comes next. */
static enum smtp_state fail_close(struct smtp *smtp, int error, enum smtp_cause cause,
                                  const char *words)
{
    record_failure(smtp, error, cause, words);
    return STATE_CLOSED;
}

/* For a refusal in good order: QUIT follows, if nothing else is under way. */
static enum smtp_state fail_quit(struct smtp *smtp, int error, enum smtp_cause cause,
                                 const char *words)
{
    record_failure(smtp, error, cause, words);
    return smtp->replies_due == 0 && smtp_tx_empty(smtp) ? STATE_QUIT : STATE_CLOSED;
}

static enum smtp_state fail_reply(struct smtp *smtp, int error)
{
    return fail_quit(smtp, error, SMTP_CAUSE_REPLY, "");
}

/* A refusal of us, not of a message: a person has to find out if it does not pass. */
static enum smtp_state fail_session(struct smtp *smtp)
{
    return fail_reply(smtp, smtp->reply.code < 500 ? E_TRANSIENT : E_CONFIG);
}

static const char out_of_turn[] = "the server spoke out of turn";
static const char no_starttls[] = "the server does not offer STARTTLS";

/* A reply that no command of ours can have, such as 250 to DATA. */
static enum smtp_state fail_unexpected(struct smtp *smtp)
{
    return fail_close(smtp, E_TRANSIENT, SMTP_CAUSE_PROTOCOL, out_of_turn);
}

void smtp_fail(struct smtp *smtp, int error, enum smtp_cause cause, const char *words)
{
    smtp_enter(smtp, fail_close(smtp, error, cause, words), 0);
}

/* --- Greeting, EHLO, HELO, STARTTLS --- */

static bool user_set(const struct smtp *smtp)
{
    return smtp->params->user != NULL && smtp->params->user[0] != '\0';
}

static bool starttls_due(const struct smtp *smtp)
{
    return smtp->params->tls == SMTP_TLS_STARTTLS && !smtp->tls_up;
}

static enum smtp_state next_mechanism(struct smtp *smtp);

static enum smtp_state greeting_reply(struct smtp *smtp)
{
    if (smtp->reply.code < 400) { /* 200 is how NNTP greets. */
        return smtp->reply.code == 220 ? STATE_EHLO : fail_unexpected(smtp);
    }
    return fail_session(smtp); /* 554 (RFC 5321 3.1) among others. */
}

/* "AUTH PLAIN LOGIN", and "AUTH=PLAIN LOGIN" of the days before RFC 2554. */
static void take_mechanisms(struct smtp *smtp, const char *list)
{
    struct text text = {.bytes = smtp->reply.text, .size = sizeof smtp->reply.text};

    text.length = strlen(smtp->reply.text);
    while (*list != '\0') {
        size_t size = strcspn(list, " =");
        int mechanism = sasl_parse(list, size);

        if (mechanism >= 0) {
            smtp->capabilities |= (uint16_t)(SMTP_CAP_AUTH_PLAIN << mechanism);
        }
        if (text.length > 0 && size > 0) {
            text_add_char(&text, ' ');
        }
        text_add_printable(&text, list, size);
        list += list[size] != '\0' ? size + 1 : size;
    }
}

_Static_assert(SMTP_CAP_AUTH_PLAIN << SASL_LOGIN == SMTP_CAP_AUTH_LOGIN, "one bit a mechanism");

void smtp_ehlo_line(struct smtp *smtp, const char *line)
{
    /* In the order of the bits; "AUTH" has no bit of its own. */
    static const char keywords[] = "STARTTLS\0PIPELINING\0SIZE\08BITMIME\0ENHANCEDSTATUSCODES\0AUTH"
#ifdef SMTP_DSN
                                   "\0DSN"
#endif
        ;
    static const uint8_t bits[] = {
        SMTP_CAP_STARTTLS, SMTP_CAP_PIPELINING, SMTP_CAP_SIZE,
        SMTP_CAP_8BITMIME, SMTP_CAP_ENHANCED,   0,
#ifdef SMTP_DSN
        SMTP_CAP_DSN,
#endif
    };

    for (size_t i = 0; i < sizeof bits; i++) {
        const char *keyword = text_item(keywords, i);
        const char *rest = line + strlen(keyword);

        if (!text_starts_nocase(line, keyword) || strchr(" =", *rest) == NULL) {
            continue; /* strchr() finds the end of the line, too. */
        }
        smtp->capabilities |= bits[i];
        if (bits[i] == 0) {
            take_mechanisms(smtp, rest);
        } else if (bits[i] == SMTP_CAP_SIZE && *rest != '\0') {
            /* What is no number, or none that fits, is no limit to us. */
            (void)text_parse_u32(rest + 1, UINT32_MAX, &smtp->size_max);
        }
    }
}

/* What comes behind an EHLO that was understood, or was not but may be a HELO. */
static enum smtp_state ehlo_reply(struct smtp *smtp)
{
    int code = smtp->reply.code;

    if (code >= 300 && code != 500 && code != 502) {
        return fail_session(smtp);
    }
    if (starttls_due(smtp)) {
        smtp->reply.text[0] = '\0'; /* What was taught in clear is not even shown. */
        return smtp->capabilities & SMTP_CAP_STARTTLS
                   ? STATE_STARTTLS
                   : fail_quit(smtp, E_SECURITY, SMTP_CAUSE_NO_STARTTLS, no_starttls);
    }
    if (!user_set(smtp)) {
        return code < 300 ? STATE_READY : STATE_HELO;
    }
    if (code >= 300) {
        smtp->reply.text[0] = '\0'; /* Where next_mechanism() looks for a list. */
    }
    if (!smtp->tls_up && !smtp->params->auth_without_tls) {
        smtp->reply.text[0] = '\0';
        return fail_quit(smtp, E_SECURITY, SMTP_CAUSE_CLEAR_AUTH,
                         "the password is not sent in clear text");
    }
    return next_mechanism(smtp);
}

static enum smtp_state starttls_reply(struct smtp *smtp)
{
    if (smtp->reply.code == 220) {
        return STATE_TLS;
    }
    /* Even "not now" is answered by sending nothing: who stands between could have said it. */
    return fail_quit(smtp, E_SECURITY, SMTP_CAUSE_NO_STARTTLS, no_starttls);
}

/* --- AUTH (RFC 4954) --- */

/* Picks the best mechanism that has not turned out unusable. */
static enum smtp_state next_mechanism(struct smtp *smtp)
{
    for (unsigned i = 0; i < SASL_COUNT; i++) {
        if ((smtp->capabilities & SMTP_CAP_AUTH_PLAIN << i) != 0 &&
            (smtp->mechanisms_tried & 1u << i) == 0) {
            smtp->mechanism = (uint8_t)i;
            smtp->mechanisms_tried |= (uint8_t)(1u << i);
            return STATE_AUTH;
        }
    }
    if (smtp->mechanisms_tried != 0) {
        return fail_reply(smtp, E_CONFIG);
    }
    if (smtp->reply.text[0] == '\0') {
        return fail_quit(smtp, E_CONFIG, SMTP_CAUSE_NO_AUTH,
                         "AuthUser is set, but the server offers no AUTH");
    }
    return fail_quit(smtp, E_CONFIG, SMTP_CAUSE_MECHANISM, "no AUTH PLAIN or LOGIN but only");
}

/* A line that is wiped as it goes: PLAIN's response, or without a user one of LOGIN's. */
static void send_secret(struct smtp *smtp, const char *verb, const char *user, const char *secret)
{
    struct text line = tx_text(smtp);

    text_add(&line, verb);
    if (user != NULL) {
        sasl_plain(&line, user, secret);
    } else {
        sasl_login(&line, secret);
    }
    (void)tx_line(smtp, &line);
    smtp->tx_secret = true;
}

/* LOGIN goes without an initial response: servers are about that take the user's name for nothing
 * and then prompt for it again, and none that insist on it. */
static void auth_enter(struct smtp *smtp)
{
    static const char plain[] = "AUTH PLAIN ";
    const char *user = smtp->params->user;
    const char *password = smtp->params->password;

    smtp->auth_complete = smtp->mechanism == SASL_PLAIN &&
                          sizeof plain - 1 + sasl_plain_size(user, password) + 2 <= AUTH_LINE_BYTES;
    if (smtp->auth_complete) {
        send_secret(smtp, plain, user, password);
    } else {
        send_line(smtp, "AUTH ", sasl_name((enum sasl_mechanism)smtp->mechanism));
    }
}

static enum smtp_state auth_reply(struct smtp *smtp)
{
    int code = smtp->reply.code;

    if (code < 300) {
        /* Nobody is let in before having said who he is. */
        return smtp->auth_complete ? STATE_READY : fail_unexpected(smtp);
    }
    if (code < 400) {
        if (code != 334) {
            return fail_unexpected(smtp);
        }
        if (smtp->auth_complete) {
            return STATE_AUTH_CANCEL;
        }
        return smtp->mechanism == SASL_LOGIN && smtp->state == STATE_AUTH ? STATE_AUTH_USER
                                                                          : STATE_AUTH_SECRET;
    }
    if (code == 500 || code == 501 || code == 502 || code == 504) {
        return next_mechanism(smtp); /* The mechanism is at fault, not the password. */
    }
    /* 432 is temporary by number only: a password has to be changed (RFC 4954 section 6). */
    return fail_reply(smtp, code < 500 && code != 432 ? E_TRANSIENT : E_CONFIG);
}

static void auth_secret_enter(struct smtp *smtp)
{
    const struct smtp_params *params = smtp->params;

    send_secret(smtp, "", smtp->mechanism == SASL_PLAIN ? params->user : NULL, params->password);
    smtp->auth_complete = true;
}

/* --- A transaction: RSET, MAIL, RCPT..., DATA --- */

static unsigned data_number(const struct smtp *smtp)
{
    return COMMAND_RCPT + (unsigned)smtp->envelope.rcpt_count;
}

static enum smtp_state command_state(const struct smtp *smtp)
{
    if (smtp->command >= COMMAND_RCPT) {
        return smtp->command == data_number(smtp) ? STATE_DATA : STATE_RCPT;
    }
    return smtp->command == COMMAND_MAIL ? STATE_MAIL : STATE_RSET;
}

#ifdef SMTP_DSN

/* RFC 3461 4.4: printable, spaces too, and bounded. */
static bool envid_ok(const char *envid)
{
    size_t size = 0;

    for (; envid[size] != '\0'; size++) {
        if (envid[size] < ' ' || envid[size] > '~') {
            return false;
        }
    }
    return size > 0 && size <= ENVID_MAX;
}

/* RFC 3461 4: printable characters stand for themselves, but "+" and "=". */
static void add_xtext(struct text *line, const char *string)
{
    static const char hex[] = "0123456789ABCDEF"; /* RFC 3461 wants capitals. */

    for (; *string != '\0'; string++) {
        if (*string > ' ' && *string <= '~' && *string != '+' && *string != '=') {
            text_add_char(line, *string);
        } else {
            text_add_char(line, '+');
            text_add_char(line, hex[(uint8_t)*string >> 4]);
            text_add_char(line, hex[*string & 15]);
        }
    }
}

/* RFC 3461 4.1: NEVER, or a list of the others. */
static bool notify_ok(const char *list)
{
    static const char words[] = "SUCCESS\0FAILURE\0DELAY";
    unsigned seen = 0;

    if (text_equal_nocase(list, "NEVER")) {
        return true;
    }
    for (;; list++) {
        unsigned i = 0;

        while (i < 3 && !text_starts_nocase(list, text_item(words, i))) {
            i++;
        }
        if (i == 3 || (seen & 1u << i) != 0) {
            return false;
        }
        seen |= 1u << i;
        list += strlen(text_item(words, i));
        if (*list != ',') {
            return *list == '\0';
        }
    }
}

static void add_dsn_mail(const struct smtp *smtp, struct text *line)
{
    const struct smtp_envelope *envelope = &smtp->envelope;
    const char *ret = envelope->ret;

    if ((smtp->capabilities & SMTP_CAP_DSN) == 0) {
        return;
    }
    if (ret != NULL && (text_equal_nocase(ret, "FULL") || text_equal_nocase(ret, "HDRS"))) {
        text_format(line, " RET=%s", ret);
    }
    if (envelope->envid != NULL && envid_ok(envelope->envid)) {
        text_add(line, " ENVID=");
        add_xtext(line, envelope->envid);
    }
}

static void add_dsn_rcpt(const struct smtp *smtp, struct text *line, size_t index)
{
    const char *notify = smtp->envelope.notify != NULL ? smtp->envelope.notify[index] : NULL;

    if ((smtp->capabilities & SMTP_CAP_DSN) != 0 && notify != NULL && notify_ok(notify)) {
        text_format(line, " NOTIFY=%s", notify);
    }
}

#else

static void add_dsn_mail(const struct smtp *smtp, struct text *line)
{
    (void)smtp;
    (void)line;
}

static void add_dsn_rcpt(const struct smtp *smtp, struct text *line, size_t index)
{
    (void)smtp;
    (void)line;
    (void)index;
}

#endif

/* false: it does not fit behind what waits already. */
static bool write_command(struct smtp *smtp, unsigned number)
{
    const struct smtp_envelope *envelope = &smtp->envelope;
    struct text line = tx_text(smtp);

    if (number == COMMAND_MAIL) {
        text_format(&line, "MAIL FROM:<%s>", envelope->from);
        if ((smtp->capabilities & SMTP_CAP_SIZE) != 0 && envelope->size_bytes > 0) {
            text_format(&line, " SIZE=%u", (unsigned)envelope->size_bytes);
        }
        text_add(&line, envelope->eight_bit ? " BODY=8BITMIME" : "");
        add_dsn_mail(smtp, &line);
    } else if (number >= COMMAND_RCPT && number < data_number(smtp)) {
        text_format(&line, "RCPT TO:<%s>", envelope->rcpt[number - COMMAND_RCPT]);
        add_dsn_rcpt(smtp, &line, number - COMMAND_RCPT);
    } else {
        text_add(&line, number == COMMAND_RSET ? "RSET" : "DATA");
    }
    return tx_line(smtp, &line);
}

/* With PIPELINING all of them go, in one segment if they fit (RFC 2920 3.1: DATA is the last of a
 * group, RSET may be its first); without, one that waits for its reply. */
void smtp_write_commands(struct smtp *smtp)
{
    bool pipelining = (smtp->capabilities & SMTP_CAP_PIPELINING) != 0;
    unsigned end = pipelining ? smtp->commands_end : smtp->command + 1u;

    while (smtp->commands_written < end && write_command(smtp, smtp->commands_written)) {
        smtp->commands_written++;
    }
}

/* The class of a refusal. 552 to RCPT is an old "too many recipients" (RFC 5321 4.5.3.1.10). */
static int refusal_class(const struct smtp *smtp)
{
    int code = smtp->reply.code;

    if (code < 500 || (smtp->state == STATE_RCPT && code == 552)) {
        return E_TRANSIENT;
    }
    if (code >= 530 && code <= 538) {
        return E_CONFIG; /* RFC 4954 and its drafts: all of them want another login. */
    }
    /* 5.7.0 to a message itself is a filter's verdict; to a command it wants AUTH or TLS. */
    return strcmp(smtp->reply.enhanced, "5.7.0") == 0 && smtp->state < STATE_BODY ? E_CONFIG
                                                                                  : E_PERMANENT;
}

/* Keeps the refusal in hand for the person. */
static void keep_refusal(struct smtp *smtp, int error)
{
    set_failure(smtp, error, SMTP_CAUSE_REPLY);
    smtp->result.failure = smtp->reply;
}

/* The whole message is refused; replies to commands that have left already are still read. */
static void refuse_message(struct smtp *smtp)
{
    int error = refusal_class(smtp);

    keep_refusal(smtp, error);
    smtp->result.error = error;
    smtp->commands_end = smtp->commands_written;
}

static enum smtp_state message_done(struct smtp *smtp)
{
    struct smtp_result *result = &smtp->result;

    if (result->error == 0 && result->accepted_mask == 0) {
        result->error = result->failure.error; /* Every recipient was refused. */
    }
    if (result->error != 0) {
        result->accepted_mask = 0;
    }
    smtp->message_open = false;
    return STATE_READY;
}

/* After the reply to one command, the next that is written or may be; at the end without a body,
 * the result. */
static enum smtp_state next_command(struct smtp *smtp)
{
    if (++smtp->command < smtp->commands_end) {
        return command_state(smtp);
    }
    smtp->reset_due = true;
    return message_done(smtp);
}

static enum smtp_state rset_reply(struct smtp *smtp)
{
    if (smtp->reply.code >= 300) {
        return fail_reply(smtp, E_TRANSIENT);
    }
    smtp->reset_due = false;
    return next_command(smtp);
}

static enum smtp_state mail_reply(struct smtp *smtp)
{
    if (smtp->reply.code >= 400) {
        refuse_message(smtp);
    }
    return next_command(smtp);
}

/* A refusal that may pass outweighs one that a person can mend, and that one a final one. */
static bool more_hopeful(int error, int than)
{
    return than == 0 || (than != E_TRANSIENT && error == E_TRANSIENT) ||
           (than == E_PERMANENT && error == E_CONFIG);
}

static enum smtp_state rcpt_reply(struct smtp *smtp)
{
    struct smtp_result *result = &smtp->result;
    uint32_t bit = 1u << (smtp->command - COMMAND_RCPT);

    if (smtp->reply.code < 300) {
        result->accepted_mask |= bit;
    } else if (result->error == 0) {
        int error = refusal_class(smtp);

        result->refused_mask |= bit;
        if (error != E_PERMANENT) {
            result->transient_mask |= bit;
        }
        if (more_hopeful(error, result->failure.error)) {
            keep_refusal(smtp, error);
        }
    }
    if (smtp->command + 1u == data_number(smtp) && result->accepted_mask == 0) {
        smtp->commands_end =
            smtp->commands_written; /* DATA for nobody, only if it has gone already. */
    }
    return next_command(smtp);
}

static enum smtp_state data_reply(struct smtp *smtp)
{
    bool wanted = smtp->result.error == 0 && smtp->result.accepted_mask != 0;

    if (smtp->reply.code < 300) {
        return fail_unexpected(smtp);
    }
    if (smtp->reply.code < 400) {
        if (wanted) {
            return STATE_BODY;
        }
        /* A dot is right only if it can reach nobody. */
        return smtp->result.accepted_mask == 0 ? STATE_LONE_DOT : fail_unexpected(smtp);
    }
    if (wanted) {
        refuse_message(smtp);
    }
    return next_command(smtp);
}

/* --- The body --- */

/* A reply before the final dot has left. A refusal decides the message; the server may wait for the
 * rest of it or for commands, so that nothing more can be said to it. */
static enum smtp_state body_reply(struct smtp *smtp)
{
    return smtp->reply.code >= 400 ? fail_close(smtp, refusal_class(smtp), SMTP_CAUSE_REPLY, "")
                                   : fail_unexpected(smtp);
}

static enum smtp_state accept_reply(struct smtp *smtp)
{
    if (smtp->reply.code < 300) {
        (void)text_copy(smtp->result.text, sizeof smtp->result.text, smtp->reply.text);
    } else {
        refuse_message(smtp);
    }
    return message_done(smtp);
}

/* --- Between and after --- */

static void closed_enter(struct smtp *smtp)
{
    memset(smtp->tx, 0, sizeof smtp->tx); /* It may hold a credential that never left. */
    smtp->tx_at = 0;
    smtp->tx_size = 0;
    smtp->rx_size = 0;
}

/* How long a state waits for the other side. */
enum wait { WAIT_GREETING, WAIT_COMMAND, WAIT_BODY, WAIT_ACCEPT, WAIT_QUIT, WAIT_FOR_EVER };

static const struct {
    uint8_t stage; /* enum smtp_stage */
    uint8_t wait;
} states[STATE_COUNT] = {
    [STATE_GREETING] = {SMTP_STAGE_GREETING, WAIT_GREETING},
    [STATE_EHLO] = {SMTP_STAGE_EHLO, WAIT_COMMAND},
    [STATE_HELO] = {SMTP_STAGE_EHLO, WAIT_COMMAND},
    [STATE_STARTTLS] = {SMTP_STAGE_STARTTLS, WAIT_COMMAND},
    [STATE_TLS] = {SMTP_STAGE_STARTTLS, WAIT_COMMAND},
    [STATE_AUTH] = {SMTP_STAGE_AUTH, WAIT_COMMAND},
    [STATE_AUTH_USER] = {SMTP_STAGE_AUTH, WAIT_COMMAND},
    [STATE_AUTH_SECRET] = {SMTP_STAGE_AUTH, WAIT_COMMAND},
    [STATE_AUTH_CANCEL] = {SMTP_STAGE_AUTH, WAIT_COMMAND},
    [STATE_READY] = {SMTP_STAGE_READY, WAIT_FOR_EVER},
    [STATE_RSET] = {SMTP_STAGE_RSET, WAIT_COMMAND},
    [STATE_MAIL] = {SMTP_STAGE_MAIL, WAIT_COMMAND},
    [STATE_RCPT] = {SMTP_STAGE_RCPT, WAIT_COMMAND},
    [STATE_DATA] = {SMTP_STAGE_DATA, WAIT_COMMAND},
    [STATE_BODY] = {SMTP_STAGE_BODY, WAIT_BODY},
    [STATE_ACCEPT] = {SMTP_STAGE_BODY, WAIT_ACCEPT},
    [STATE_LONE_DOT] = {SMTP_STAGE_DATA, WAIT_COMMAND},
    [STATE_QUIT] = {SMTP_STAGE_QUIT, WAIT_QUIT},
    [STATE_CLOSED] = {SMTP_STAGE_QUIT, WAIT_FOR_EVER},
};

enum smtp_stage smtp_state_stage(enum smtp_state state)
{
    return (enum smtp_stage)states[state].stage;
}

void smtp_arm(struct smtp *smtp, uint64_t now_ms)
{
    static const uint32_t usual_ms[] = {60000, 60000, 120000, 300000, QUIT_MS_MAX};
    const struct smtp_params *params = smtp->params;
    const uint32_t wanted_ms[] = {params->greeting_ms_max, params->command_ms_max,
                                  params->body_ms_max, params->accept_ms_max, 0};
    unsigned wait = states[smtp->state].wait;

    smtp->deadline_ms = UINT64_MAX;
    if (wait != WAIT_FOR_EVER) {
        smtp->deadline_ms = now_ms + (wanted_ms[wait] > 0 ? wanted_ms[wait] : usual_ms[wait]);
    }
}

void smtp_enter(struct smtp *smtp, enum smtp_state state, uint64_t now_ms)
{
    smtp->state = (uint8_t)state;
    switch (state) {
    case STATE_EHLO:
        smtp->capabilities = 0;
        smtp->size_max = 0;
        send_line(smtp, "EHLO ", smtp->params->ehlo_name);
        break;
    case STATE_HELO:
        send_line(smtp, "HELO ", smtp->params->ehlo_name);
        break;
    case STATE_STARTTLS:
        send_line(smtp, "STARTTLS", "");
        break;
    case STATE_AUTH:
        auth_enter(smtp);
        break;
    case STATE_AUTH_USER:
        send_secret(smtp, "", NULL, smtp->params->user);
        break;
    case STATE_AUTH_SECRET:
        auth_secret_enter(smtp);
        break;
    case STATE_AUTH_CANCEL:
        send_line(smtp, "*", "");
        break;
    case STATE_RSET:
    case STATE_MAIL:
    case STATE_RCPT:
    case STATE_DATA:
        smtp_write_commands(smtp);
        break;
    case STATE_BODY:
        smtp->body_line_start = true;
        smtp->body_after_cr = false;
        break;
    case STATE_ACCEPT:
        send_line(smtp, smtp->body_line_start ? "" : "\r\n", ".");
        break;
    case STATE_LONE_DOT:
        send_line(smtp, ".", "");
        break;
    case STATE_QUIT:
        send_line(smtp, "QUIT", "");
        break;
    case STATE_CLOSED:
        closed_enter(smtp);
        break;
    default:
        break; /* The other side has the word. */
    }
    smtp_arm(smtp, now_ms);
}

/* Where a whole reply in its turn leads. */
static enum smtp_state next_state(struct smtp *smtp)
{
    static const uint32_t prompts = 1u << STATE_STARTTLS | 1u << STATE_AUTH |
                                    1u << STATE_AUTH_USER | 1u << STATE_AUTH_SECRET |
                                    1u << STATE_DATA;
    int code = smtp->reply.code;

    if (code / 100 == 3 && (prompts >> smtp->state & 1) == 0) {
        return fail_unexpected(smtp); /* Nothing here can be asked for more. */
    }
    switch ((enum smtp_state)smtp->state) {
    case STATE_GREETING:
        return greeting_reply(smtp);
    case STATE_EHLO:
        return ehlo_reply(smtp);
    case STATE_HELO:
        return code < 300 ? STATE_READY : fail_session(smtp);
    case STATE_STARTTLS:
        return starttls_reply(smtp);
    case STATE_AUTH:
    case STATE_AUTH_USER:
    case STATE_AUTH_SECRET:
        return auth_reply(smtp);
    case STATE_AUTH_CANCEL:
        return code < 300 ? fail_unexpected(smtp) : next_mechanism(smtp);
    case STATE_RSET:
        return rset_reply(smtp);
    case STATE_MAIL:
        return mail_reply(smtp);
    case STATE_RCPT:
        return rcpt_reply(smtp);
    case STATE_DATA:
        return data_reply(smtp);
    case STATE_BODY:
        return body_reply(smtp);
    case STATE_ACCEPT:
        return accept_reply(smtp);
    case STATE_LONE_DOT:
        return message_done(smtp);
    default:
        return fail_unexpected(smtp);
    }
}

/* A whole reply whose first byte came when we had asked nothing. Taking it for the answer to the
 * next command would be believing in a success that never was. */
static enum smtp_state early_reply(struct smtp *smtp)
{
    if ((smtp->state == STATE_BODY || smtp->state == STATE_ACCEPT) && smtp->reply.code >= 400) {
        return body_reply(smtp);
    }
    return fail_close(smtp, starttls_due(smtp) ? E_SECURITY : E_TRANSIENT,
                      starttls_due(smtp) ? SMTP_CAUSE_INJECTED : SMTP_CAUSE_PROTOCOL, out_of_turn);
}

void smtp_reply_done(struct smtp *smtp, uint64_t now_ms)
{
    enum smtp_state next;

    if (!smtp->reply_early) {
        smtp->replies_due--;
    }
    if (smtp->reply.code >= 400 && smtp->reply.text[0] == '\0') {
        (void)text_copy(smtp->reply.text, sizeof smtp->reply.text, "the server gave no reason");
    }
    if (smtp->reply.code == 421) {
        /* It closes, whatever we asked. */
        next = fail_close(smtp, E_TRANSIENT, SMTP_CAUSE_REPLY, "");
    } else if (smtp->reply_early) {
        next = early_reply(smtp);
    } else {
        next = next_state(smtp);
    }
    smtp_enter(smtp, next, now_ms);
}
