/* smtp_dialogue.c - the states of a submission session, each as a pair: X_enter says what is sent,
 * X_reply what the reply leads to. The reply half returns the next state, so that no branch can
 * forget one. */
#include "net/smtp_dialogue.h"

#include "net/sasl.h"

#include <string.h>

#define AUTH_LINE_BYTES \
    512 /* RFC 5321 4.5.3.1.4: longer, and PLAIN waits for the prompt (RFC 4954 4). */
#define QUIT_MS_MAX 5000 /* For courtesy only: everything is decided by then. */
#define GREETING_MS 60000
#define COMMAND_MS 60000
#define BODY_MS 120000
#define ACCEPT_MS 300000

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

static void send_command(struct smtp *smtp, const char *verb, const char *argument)
{
    struct text line = tx_text(smtp);

    text_add(&line, verb);
    text_add(&line, argument);
    (void)tx_line(smtp, &line);
}

/* --- Failing --- */

/* Puts words in front of text: "words: text". */
static void prefix(char *text, const char *words)
{
    size_t size = strlen(words);
    size_t rest = strlen(text);
    size_t at = rest > 0 ? size + 2 : size;

    if (at + rest >= SMTP_TEXT_BYTES) {
        rest = SMTP_TEXT_BYTES - 1 - at;
        while (rest > 0 && ((uint8_t)text[rest] & 0xC0) == 0x80) {
            rest--; /* Not in the middle of a character. */
        }
    }
    memmove(text + at, text, rest);
    text[at + rest] = '\0';
    if (rest > 0) {
        memcpy(text + size, ": ", 2);
    }
    memcpy(text, words, size);
}

/* The session has failed: says so in reply, and in the result of a message that is under way. */
static void record_failure(struct smtp *smtp, int error, enum smtp_cause cause, const char *words)
{
    struct smtp_failure *reply = &smtp->reply;
    struct text text = {.bytes = reply->text, .size = sizeof reply->text};

    text.length = strlen(reply->text);
    if (cause == SMTP_CAUSE_EOF || cause == SMTP_CAUSE_TIMEOUT) {
        /* Half a line is no reply, but may tell a person why. */
        text_add_printable(&text, (const char *)smtp->rx, smtp->rx_size);
    }
    if (words != NULL) {
        prefix(reply->text, words);
    }
    if (reply->code < 400 && cause != SMTP_CAUSE_PROTOCOL) {
        reply->code = 0; /* It was no refusal: the code would mislead. */
    }
    reply->error = error;
    reply->cause = cause;
    reply->stage = smtp_state_stage((enum smtp_state)smtp->state);
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
    return fail_quit(smtp, error, SMTP_CAUSE_REPLY, NULL);
}

/* A reply that no command of ours can have, such as 250 to DATA. */
static enum smtp_state fail_unexpected(struct smtp *smtp)
{
    return fail_close(smtp, E_TRANSIENT, SMTP_CAUSE_PROTOCOL, "this reply does not belong here");
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
    if (smtp->reply.code == 220) {
        return STATE_EHLO;
    }
    if (smtp->reply.code < 400) {
        return fail_unexpected(smtp); /* 200 is how NNTP greets. */
    }
    /* 554 (RFC 5321 3.1) is about this client or this host, not about a message: a person has to
     * find out, and what waits is kept meanwhile. */
    return fail_reply(smtp, smtp->reply.code < 500 ? E_TRANSIENT : E_CONFIG);
}

static void ehlo_enter(struct smtp *smtp)
{
    smtp->capabilities = 0;
    smtp->size_max = 0;
    send_command(smtp, "EHLO ", smtp->params->ehlo_name);
}

/* If the line begins with the keyword: what follows it, or NULL. */
static const char *after_keyword(const char *line, size_t size, const char *keyword)
{
    size_t length = strlen(keyword);

    for (size_t i = 0; i < length; i++) {
        if (i >= size ||
            (line[i] != keyword[i] && (keyword[i] < 'A' || (line[i] & ~0x20) != keyword[i]))) {
            return NULL;
        }
    }
    return length == size || line[length] == ' ' || line[length] == '=' ? line + length : NULL;
}

/* "AUTH PLAIN LOGIN", and "AUTH=PLAIN LOGIN" of the days before RFC 2554. */
static void take_mechanisms(struct smtp *smtp, const char *list, size_t size)
{
    struct text text = {.bytes = smtp->reply.text, .size = sizeof smtp->reply.text};

    text.length = strlen(smtp->reply.text);
    for (size_t at = 0; at < size;) {
        size_t first = at;
        int mechanism;

        while (at < size && list[at] != ' ' && list[at] != '=') {
            at++;
        }
        if (at == first) {
            at++;
            continue;
        }
        mechanism = sasl_parse(list + first, at - first);
        if (mechanism >= 0) {
            smtp->capabilities |= (uint16_t)(SMTP_CAP_AUTH_PLAIN << mechanism);
        }
        if (text.length > 0) {
            text_add_char(&text, ' ');
        }
        text_add_printable(&text, list + first, at - first);
    }
}

_Static_assert(SMTP_CAP_AUTH_PLAIN << SASL_LOGIN == SMTP_CAP_AUTH_LOGIN, "one bit a mechanism");

void smtp_ehlo_line(struct smtp *smtp, const char *line, size_t size)
{
    static const struct {
        const char *keyword;
        uint16_t capability;
    } keywords[] = {
        {"STARTTLS", SMTP_CAP_STARTTLS},
        {"PIPELINING", SMTP_CAP_PIPELINING},
        {"SIZE", SMTP_CAP_SIZE},
        {"8BITMIME", SMTP_CAP_8BITMIME},
        {"AUTH", 0},
        {"ENHANCEDSTATUSCODES", SMTP_CAP_ENHANCED},
    };
    const char *end = line + size;

    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++) {
        const char *rest = after_keyword(line, size, keywords[i].keyword);

        if (rest == NULL) {
            continue;
        }
        smtp->capabilities |= keywords[i].capability;
        if (keywords[i].capability == 0) {
            take_mechanisms(smtp, rest, (size_t)(end - rest));
        } else if (keywords[i].capability == SMTP_CAP_SIZE) {
            uint32_t value = 0;

            for (rest++; rest < end && *rest >= '0' && *rest <= '9'; rest++) {
                uint32_t digit = (uint32_t)(*rest - '0');

                value = value > (UINT32_MAX - digit) / 10 ? UINT32_MAX : value * 10 + digit;
            }
            smtp->size_max = value;
        }
    }
}

static enum smtp_state ehlo_reply(struct smtp *smtp)
{
    int code = smtp->reply.code;

    if (code < 300) {
        if (starttls_due(smtp)) {
            smtp->reply.text[0] = '\0'; /* What was taught in clear is not even shown. */
            return smtp->capabilities & SMTP_CAP_STARTTLS
                       ? STATE_STARTTLS
                       : fail_quit(smtp, E_SECURITY, SMTP_CAUSE_NO_STARTTLS,
                                   "the server does not offer STARTTLS");
        }
        if (!user_set(smtp)) {
            return STATE_READY;
        }
        if (!smtp->tls_up && !smtp->params->auth_without_tls) {
            smtp->reply.text[0] = '\0';
            return fail_quit(smtp, E_SECURITY, SMTP_CAUSE_CLEAR_AUTH,
                             "the password is not sent in clear text");
        }
        return next_mechanism(smtp);
    }
    if (code < 400) {
        return fail_unexpected(smtp);
    }
    if (code == 500 || code == 502) {
        if (starttls_due(smtp)) {
            return fail_quit(smtp, E_SECURITY, SMTP_CAUSE_NO_STARTTLS,
                             "the server knows no EHLO, so no STARTTLS");
        }
        if (user_set(smtp)) {
            return fail_quit(smtp, E_CONFIG, SMTP_CAUSE_NO_AUTH,
                             "the server knows no EHLO, so no AUTH");
        }
        return STATE_HELO;
    }
    return fail_reply(smtp, code < 500 ? E_TRANSIENT : E_CONFIG);
}

static void helo_enter(struct smtp *smtp)
{
    send_command(smtp, "HELO ", smtp->params->ehlo_name);
}

static enum smtp_state helo_reply(struct smtp *smtp)
{
    if (smtp->reply.code < 300) {
        return STATE_READY;
    }
    if (smtp->reply.code < 400) {
        return fail_unexpected(smtp);
    }
    return fail_reply(smtp, smtp->reply.code < 500 ? E_TRANSIENT : E_CONFIG);
}

static void starttls_enter(struct smtp *smtp)
{
    send_command(smtp, "STARTTLS", "");
}

static enum smtp_state starttls_reply(struct smtp *smtp)
{
    if (smtp->reply.code == 220) {
        return STATE_TLS;
    }
    /* Even "not now" is answered by sending nothing: who stands between could have said it. */
    return fail_quit(smtp, E_SECURITY, SMTP_CAUSE_NO_STARTTLS, "the server refused STARTTLS");
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
    return fail_quit(smtp, E_CONFIG, SMTP_CAUSE_MECHANISM,
                     "the server offers neither AUTH PLAIN nor LOGIN but only");
}

static void write_plain(struct smtp *smtp, const char *verb)
{
    struct text line = tx_text(smtp);

    text_add(&line, verb);
    sasl_plain(&line, smtp->params->user, smtp->params->password);
    (void)tx_line(smtp, &line);
    smtp->tx_secret = true;
    smtp->auth_complete = true;
}

static void write_login(struct smtp *smtp, const char *string)
{
    struct text line = tx_text(smtp);

    sasl_login(&line, string);
    (void)tx_line(smtp, &line);
    smtp->tx_secret = true;
}

/* LOGIN goes without an initial response: servers are about that take the user's name for nothing
 * and then prompt for it again, and none that insist on it. */
static void auth_enter(struct smtp *smtp)
{
    static const char plain[] = "AUTH PLAIN ";

    smtp->auth_complete = false;
    if (smtp->mechanism == SASL_LOGIN) {
        send_command(smtp, "AUTH LOGIN", "");
    } else if (sizeof plain - 1 + sasl_plain_size(smtp->params->user, smtp->params->password) + 2 <=
               AUTH_LINE_BYTES) {
        write_plain(smtp, plain);
    } else {
        send_command(smtp, "AUTH PLAIN", "");
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

static void auth_user_enter(struct smtp *smtp)
{
    write_login(smtp, smtp->params->user);
}

static void auth_secret_enter(struct smtp *smtp)
{
    if (smtp->mechanism == SASL_LOGIN) {
        write_login(smtp, smtp->params->password);
        smtp->auth_complete = true;
    } else {
        write_plain(smtp, "");
    }
}

static void auth_cancel_enter(struct smtp *smtp)
{
    send_command(smtp, "*", "");
}

static enum smtp_state auth_cancel_reply(struct smtp *smtp)
{
    return smtp->reply.code < 400 ? fail_unexpected(smtp) : next_mechanism(smtp);
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

static bool write_mail(struct smtp *smtp)
{
    const struct smtp_envelope *envelope = &smtp->envelope;
    struct text line = tx_text(smtp);

    text_add(&line, "MAIL FROM:<");
    text_add(&line, envelope->from);
    text_add_char(&line, '>');
    if ((smtp->capabilities & SMTP_CAP_SIZE) != 0 && envelope->size_bytes > 0) {
        text_add(&line, " SIZE=");
        text_add_u32(&line, envelope->size_bytes);
    }
    if (envelope->eight_bit) {
        text_add(&line, " BODY=8BITMIME");
    }
    return tx_line(smtp, &line);
}

static bool write_rcpt(struct smtp *smtp, const char *address)
{
    struct text line = tx_text(smtp);

    text_add(&line, "RCPT TO:<");
    text_add(&line, address);
    text_add_char(&line, '>');
    return tx_line(smtp, &line);
}

static bool write_word(struct smtp *smtp, const char *word)
{
    struct text line = tx_text(smtp);

    text_add(&line, word);
    return tx_line(smtp, &line);
}

/* With PIPELINING all of them go, in one segment if they fit (RFC 2920 3.1: DATA is the last of a
 * group, RSET may be its first); without, one that waits for its reply. */
void smtp_write_commands(struct smtp *smtp)
{
    bool pipelining = (smtp->capabilities & SMTP_CAP_PIPELINING) != 0;
    unsigned end = pipelining ? smtp->commands_end : smtp->command + 1u;
    bool fitted = true;

    while (fitted && smtp->commands_written < end) {
        unsigned number = smtp->commands_written;

        if (number == COMMAND_RSET) {
            fitted = write_word(smtp, "RSET");
        } else if (number == COMMAND_MAIL) {
            fitted = write_mail(smtp);
        } else if (number < data_number(smtp)) {
            fitted = write_rcpt(smtp, smtp->envelope.rcpt[number - COMMAND_RCPT]);
        } else {
            fitted = write_word(smtp, "DATA");
        }
        if (fitted) {
            smtp->commands_written++;
        }
    }
}

/* The class of a refusal. 552 to RCPT is an old "too many recipients" (RFC 5321 4.5.3.1.10). */
static int refusal_class(const struct smtp *smtp)
{
    static const uint16_t auth_codes[] = {530, 534, 535, 538};
    int code = smtp->reply.code;

    if (code < 500 || (smtp->state == STATE_RCPT && code == 552)) {
        return E_TRANSIENT;
    }
    for (size_t i = 0; i < sizeof auth_codes / sizeof auth_codes[0]; i++) {
        if (code == auth_codes[i]) {
            return E_CONFIG;
        }
    }
    /* 5.7.0 to a message itself is a filter's verdict; to a command it wants AUTH or TLS. */
    return strcmp(smtp->reply.enhanced, "5.7.0") == 0 && smtp->state < STATE_BODY ? E_CONFIG
                                                                                  : E_PERMANENT;
}

/* Keeps the refusal in hand for the person. */
static void keep_refusal(struct smtp *smtp, int error)
{
    smtp->reply.error = error;
    smtp->reply.cause = SMTP_CAUSE_REPLY;
    smtp->reply.stage = smtp_state_stage((enum smtp_state)smtp->state);
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
        return fail_quit(smtp, E_TRANSIENT, SMTP_CAUSE_REPLY, "RSET was refused");
    }
    smtp->reset_due = false;
    return next_command(smtp);
}

static enum smtp_state mail_reply(struct smtp *smtp)
{
    if (smtp->reply.code >= 400) {
        refuse_message(smtp);
    } else if (smtp->reply.code >= 300) {
        return fail_unexpected(smtp);
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
    } else if (smtp->reply.code < 400) {
        return fail_unexpected(smtp);
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

static void lone_dot_enter(struct smtp *smtp)
{
    send_command(smtp, ".", "");
}

static enum smtp_state lone_dot_reply(struct smtp *smtp)
{
    return smtp->reply.code >= 300 && smtp->reply.code < 400 ? fail_unexpected(smtp)
                                                             : message_done(smtp);
}

/* --- The body --- */

static void body_enter(struct smtp *smtp)
{
    smtp->body_line_start = true;
    smtp->body_after_cr = false;
}

/* A reply before the final dot has left. A refusal decides the message; the server may wait for the
 * rest of it or for commands, so that nothing more can be said to it. */
static enum smtp_state body_reply(struct smtp *smtp)
{
    return smtp->reply.code >= 400 ? fail_close(smtp, refusal_class(smtp), SMTP_CAUSE_REPLY, NULL)
                                   : fail_unexpected(smtp);
}

static void accept_enter(struct smtp *smtp)
{
    send_command(smtp, smtp->body_line_start ? "." : "\r\n.", "");
}

static enum smtp_state accept_reply(struct smtp *smtp)
{
    if (smtp->reply.code < 300) {
        (void)text_copy(smtp->result.text, sizeof smtp->result.text, smtp->reply.text);
    } else if (smtp->reply.code < 400) {
        return fail_unexpected(smtp);
    } else {
        refuse_message(smtp);
    }
    return message_done(smtp);
}

/* --- Between and after --- */

static void quit_enter(struct smtp *smtp)
{
    send_command(smtp, "QUIT", "");
}

static void closed_enter(struct smtp *smtp)
{
    memset(smtp->tx, 0, sizeof smtp->tx); /* It may hold a credential that never left. */
    smtp->tx_at = 0;
    smtp->tx_size = 0;
    smtp->rx_size = 0;
}

/* How long a state waits for the other side. */
enum wait { WAIT_FOR_EVER, WAIT_GREETING, WAIT_COMMAND, WAIT_BODY, WAIT_ACCEPT, WAIT_QUIT };

static const struct {
    uint8_t stage; /* enum smtp_stage */
    uint8_t wait;
    void (*enter)(struct smtp *smtp);            /* NULL: nothing is sent. */
    enum smtp_state (*reply)(struct smtp *smtp); /* NULL: no reply belongs here. */
} states[STATE_COUNT] = {
    [STATE_GREETING] = {SMTP_STAGE_GREETING, WAIT_GREETING, NULL, greeting_reply},
    [STATE_EHLO] = {SMTP_STAGE_EHLO, WAIT_COMMAND, ehlo_enter, ehlo_reply},
    [STATE_HELO] = {SMTP_STAGE_EHLO, WAIT_COMMAND, helo_enter, helo_reply},
    [STATE_STARTTLS] = {SMTP_STAGE_STARTTLS, WAIT_COMMAND, starttls_enter, starttls_reply},
    [STATE_TLS] = {SMTP_STAGE_STARTTLS, WAIT_COMMAND, NULL, NULL},
    [STATE_AUTH] = {SMTP_STAGE_AUTH, WAIT_COMMAND, auth_enter, auth_reply},
    [STATE_AUTH_USER] = {SMTP_STAGE_AUTH, WAIT_COMMAND, auth_user_enter, auth_reply},
    [STATE_AUTH_SECRET] = {SMTP_STAGE_AUTH, WAIT_COMMAND, auth_secret_enter, auth_reply},
    [STATE_AUTH_CANCEL] = {SMTP_STAGE_AUTH, WAIT_COMMAND, auth_cancel_enter, auth_cancel_reply},
    [STATE_READY] = {SMTP_STAGE_READY, WAIT_FOR_EVER, NULL, NULL},
    [STATE_RSET] = {SMTP_STAGE_RSET, WAIT_COMMAND, smtp_write_commands, rset_reply},
    [STATE_MAIL] = {SMTP_STAGE_MAIL, WAIT_COMMAND, smtp_write_commands, mail_reply},
    [STATE_RCPT] = {SMTP_STAGE_RCPT, WAIT_COMMAND, smtp_write_commands, rcpt_reply},
    [STATE_DATA] = {SMTP_STAGE_DATA, WAIT_COMMAND, smtp_write_commands, data_reply},
    [STATE_BODY] = {SMTP_STAGE_BODY, WAIT_BODY, body_enter, body_reply},
    [STATE_ACCEPT] = {SMTP_STAGE_BODY, WAIT_ACCEPT, accept_enter, accept_reply},
    [STATE_LONE_DOT] = {SMTP_STAGE_DATA, WAIT_COMMAND, lone_dot_enter, lone_dot_reply},
    [STATE_QUIT] = {SMTP_STAGE_QUIT, WAIT_QUIT, quit_enter, NULL},
    [STATE_CLOSED] = {SMTP_STAGE_QUIT, WAIT_FOR_EVER, closed_enter, NULL},
};

enum smtp_stage smtp_state_stage(enum smtp_state state)
{
    return (enum smtp_stage)states[state].stage;
}

void smtp_arm(struct smtp *smtp, uint64_t now_ms)
{
    const struct smtp_params *params = smtp->params;
    uint32_t wait_ms = 0;

    switch ((enum wait)states[smtp->state].wait) {
    case WAIT_FOR_EVER:
        smtp->deadline_ms = UINT64_MAX;
        return;
    case WAIT_GREETING:
        wait_ms = params->greeting_ms_max > 0 ? params->greeting_ms_max : GREETING_MS;
        break;
    case WAIT_COMMAND:
        wait_ms = params->command_ms_max > 0 ? params->command_ms_max : COMMAND_MS;
        break;
    case WAIT_BODY:
        wait_ms = params->body_ms_max > 0 ? params->body_ms_max : BODY_MS;
        break;
    case WAIT_ACCEPT:
        wait_ms = params->accept_ms_max > 0 ? params->accept_ms_max : ACCEPT_MS;
        break;
    case WAIT_QUIT:
        wait_ms = QUIT_MS_MAX;
        break;
    }
    smtp->deadline_ms = now_ms + wait_ms;
}

void smtp_enter(struct smtp *smtp, enum smtp_state state, uint64_t now_ms)
{
    smtp->state = (uint8_t)state;
    if (states[state].enter != NULL) {
        states[state].enter(smtp);
    }
    smtp_arm(smtp, now_ms);
}

/* A whole reply whose first byte came when we had asked nothing. Taking it for the answer to the
 * next command would be believing in a success that never was. */
static enum smtp_state early_reply(struct smtp *smtp)
{
    if ((smtp->state == STATE_BODY || smtp->state == STATE_ACCEPT) && smtp->reply.code >= 400) {
        return body_reply(smtp);
    }
    return starttls_due(smtp)
               ? fail_close(smtp, E_SECURITY, SMTP_CAUSE_INJECTED, "the server spoke out of turn")
               : fail_close(smtp, E_TRANSIENT, SMTP_CAUSE_PROTOCOL, "the server spoke out of turn");
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
        next = fail_close(smtp, E_TRANSIENT, SMTP_CAUSE_REPLY,
                          NULL); /* It closes, whatever we asked. */
    } else if (smtp->reply_early) {
        next = early_reply(smtp);
    } else {
        next = states[smtp->state].reply(smtp);
    }
    smtp_enter(smtp, next, now_ms);
}
