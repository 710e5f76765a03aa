/* smtp.c - the public calls of the submission engine: bytes in and out, the body, deadlines. */
#include "net/smtp.h"

#include "net/sasl.h"
#include "net/smtp_dialogue.h"

#include <string.h>

#define BODY_END_BYTES 6 /* CRLF, dot, CRLF, and the NUL of the text that they are written as. */
#define BODY_ROOM_MIN 64 /* With less than this left, what there is goes out. */
#define EHLO_NAME_MAX 255

_Static_assert(sizeof(struct smtp) <= SMTP_TX_BYTES + 1376,
               "an engine is as small as its two buffers allow");
_Static_assert(SMTP_RCPT_MAX <= 32, "a recipient is a bit of a mask");

/* --- Names that go into commands --- */

/* Printable ASCII that cannot end the argument or the line: nothing given can become a command. */
static bool argument_ok(const char *string, size_t size_max)
{
    size_t size = 0;

    for (; string[size] != '\0'; size++) {
        if (string[size] <= ' ' || string[size] > '~' || string[size] == '<' ||
            string[size] == '>') {
            return false;
        }
    }
    return size <= size_max;
}

bool smtp_address_fits(const char *address)
{
    return address[0] != '\0' && argument_ok(address, SMTP_ADDRESS_MAX);
}

int smtp_init(struct smtp *smtp, const struct smtp_params *params, uint64_t now_ms)
{
    const char *words = NULL;

    memset(smtp, 0, sizeof *smtp);
    smtp->params = params;
    smtp->tls_up = params->tls == SMTP_TLS_IMPLICIT;
    smtp_enter(smtp, STATE_GREETING, now_ms);
    smtp->replies_due = 1;
    if (params->ehlo_name == NULL || params->ehlo_name[0] == '\0' ||
        !argument_ok(params->ehlo_name, EHLO_NAME_MAX)) {
        words = "hostname cannot be sent";
    } else if (params->user != NULL && params->user[0] != '\0' &&
               (params->password == NULL || !sasl_valid(params->user, params->password))) {
        words = "AuthUser or AuthPass cannot be sent";
    }
    if (words == NULL) {
        return 0;
    }
    smtp_fail(smtp, E_CONFIG, SMTP_CAUSE_ADDRESS, words);
    return E_CONFIG;
}

/* --- Sending --- */

/* Body bytes are taken into the end of tx, with half of the room: each may become two on its way to
 * the front (a dot at the beginning of a line, a lone CR or LF). */
static size_t body_room(const struct smtp *smtp)
{
    size_t room;

    if (smtp->state != STATE_BODY || smtp->tx_at > 0 ||
        smtp->tx_size > SMTP_TX_BYTES - BODY_END_BYTES) {
        return 0;
    }
    room = (SMTP_TX_BYTES - BODY_END_BYTES - (size_t)smtp->tx_size) / 2;
    return room >= BODY_ROOM_MIN ? room : 0;
}

unsigned smtp_want(const struct smtp *smtp)
{
    unsigned want = SMTP_WANT_RX;

    switch ((enum smtp_state)smtp->state) {
    case STATE_CLOSED:
        return SMTP_CLOSED;
    case STATE_TLS:
        return SMTP_WANT_TLS;
    case STATE_READY:
        want |= SMTP_WANT_MESSAGE;
        break;
    case STATE_BODY:
        if (body_room(smtp) > 0) {
            return want | SMTP_WANT_BODY; /* Large writes: what is there waits for more. */
        }
        break;
    default:
        break;
    }
    return smtp_tx_empty(smtp) ? want : want | SMTP_WANT_TX;
}

const uint8_t *smtp_tx_buf(const struct smtp *smtp, size_t *size)
{
    *size = (size_t)(smtp->tx_size - smtp->tx_at);
    return smtp->tx + smtp->tx_at;
}

/* A line that has left earns one reply. The body's lines do not, its final dot does. */
static unsigned replies_earned(const struct smtp *smtp, const uint8_t *bytes, size_t size)
{
    unsigned count = 0;

    if (smtp->state == STATE_BODY) {
        return 0;
    }
    if (smtp->state == STATE_ACCEPT) {
        return smtp_tx_empty(smtp) ? 1 : 0;
    }
    for (size_t i = 0; i < size; i++) {
        count += bytes[i] == '\n';
    }
    return count;
}

void smtp_tx_ack(struct smtp *smtp, size_t size, uint64_t now_ms)
{
    uint8_t *sent = smtp->tx + smtp->tx_at;

    if (size == 0 || size > (size_t)(smtp->tx_size - smtp->tx_at)) {
        return;
    }
    smtp->tx_at = (uint16_t)(smtp->tx_at + size);
    smtp->replies_due = (uint8_t)(smtp->replies_due + replies_earned(smtp, sent, size));
    if (smtp->tx_secret) {
        memset(sent, 0, size);
    }
    if (smtp_tx_empty(smtp)) {
        smtp->tx_at = 0;
        smtp->tx_size = 0;
        smtp->tx_secret = false;
        if (smtp->state >= STATE_RSET && smtp->state <= STATE_DATA) {
            smtp_write_commands(smtp); /* The rest of a group that was larger than tx. */
        }
    }
    smtp_arm(smtp, now_ms);
}

/* --- Receiving --- */

uint8_t *smtp_rx_buf(struct smtp *smtp, size_t *size)
{
    *size = sizeof smtp->rx - smtp->rx_size;
    return smtp->rx + smtp->rx_size;
}

void smtp_rx_ack(struct smtp *smtp, size_t size, uint64_t now_ms)
{
    if (smtp->state == STATE_CLOSED || size > sizeof smtp->rx - smtp->rx_size) {
        return;
    }
    smtp->rx_size = (uint16_t)(smtp->rx_size + size);
    smtp_take_lines(smtp, now_ms);
}

void smtp_tls_started(struct smtp *smtp, uint64_t now_ms)
{
    if (smtp->state != STATE_TLS) {
        return;
    }
    smtp->tls_up = true;
    memset(smtp->rx, 0, sizeof smtp->rx);
    smtp->rx_size = 0;
    smtp->replies_due = 0;
    smtp_enter(smtp, STATE_EHLO, now_ms); /* Which forgets the capabilities. */
}

/* --- Messages --- */

/* Why a message is refused before anything is sent, and of what stage that is; SMTP_CAUSE_REPLY: it
 * is not. */
static enum smtp_cause unfit(const struct smtp *smtp, const struct smtp_envelope *envelope,
                             enum smtp_stage *stage)
{
    *stage = SMTP_STAGE_MAIL;
    if (!argument_ok(envelope->from, SMTP_ADDRESS_MAX)) {
        return SMTP_CAUSE_ADDRESS;
    }
    if (smtp->size_max > 0 && envelope->size_bytes > smtp->size_max) {
        return SMTP_CAUSE_TOO_LARGE;
    }
    if (envelope->eight_bit && (smtp->capabilities & SMTP_CAP_8BITMIME) == 0) {
        return SMTP_CAUSE_EIGHT_BIT;
    }
    *stage = SMTP_STAGE_RCPT;
    for (size_t i = 0; i < envelope->rcpt_count; i++) {
        if (envelope->rcpt[i][0] == '\0' || !argument_ok(envelope->rcpt[i], SMTP_ADDRESS_MAX)) {
            return SMTP_CAUSE_ADDRESS;
        }
    }
    return SMTP_CAUSE_REPLY;
}

int smtp_message(struct smtp *smtp, const struct smtp_envelope *envelope, uint64_t now_ms)
{
    struct smtp_failure *failure = &smtp->result.failure;

    if (smtp->state != STATE_READY || envelope->rcpt_count == 0 ||
        envelope->rcpt_count > SMTP_RCPT_MAX) {
        return E_INVALID;
    }
    memset(&smtp->result, 0, sizeof smtp->result);
    failure->cause = unfit(smtp, envelope, &failure->stage);
    if (failure->cause != SMTP_CAUSE_REPLY) {
        (void)text_copy(failure->text, sizeof failure->text,
                        failure->cause == SMTP_CAUSE_ADDRESS ? "the address cannot be sent"
                        : failure->cause == SMTP_CAUSE_TOO_LARGE
                            ? "the message is larger than allowed"
                            : "bytes above 127 are not taken");
        failure->error = failure->cause == SMTP_CAUSE_ADDRESS ? E_CONFIG : E_PERMANENT;
        smtp->result.error = failure->error;
        return failure->error;
    }
    smtp->envelope = *envelope;
    smtp->message_open = true;
    smtp->command = smtp->reset_due ? 0 : 1; /* RSET, or MAIL at once. */
    smtp->commands_written = smtp->command;
    smtp->commands_end = (uint8_t)(envelope->rcpt_count + 3);
    smtp_enter(smtp, smtp->reset_due ? STATE_RSET : STATE_MAIL, now_ms);
    return 0;
}

uint8_t *smtp_body_buf(struct smtp *smtp, size_t *size)
{
    *size = body_room(smtp);
    return smtp->tx + SMTP_TX_BYTES - BODY_END_BYTES - *size;
}

void smtp_body_ack(struct smtp *smtp, size_t size, uint64_t now_ms)
{
    size_t room;
    const uint8_t *in = smtp_body_buf(smtp, &room);
    uint8_t *out = smtp->tx + smtp->tx_size;

    (void)now_ms; /* The deadline goes by what the stream takes. */
    for (size_t i = 0; i < size && i < room; i++) {
        uint8_t byte = in[i];

        if (byte == '\r' || byte == '\n') {
            if (byte == '\r' || !smtp->body_after_cr) {
                *out++ = '\r';
                *out++ = '\n';
            }
            smtp->body_line_start = true;
        } else {
            if (byte == '.' && smtp->body_line_start) {
                *out++ = '.';
            }
            *out++ = byte;
            smtp->body_line_start = false;
        }
        smtp->body_after_cr = byte == '\r';
    }
    smtp->tx_size = (uint16_t)(out - smtp->tx);
}

void smtp_body_end(struct smtp *smtp, uint64_t now_ms)
{
    if (smtp->state == STATE_BODY) {
        smtp_enter(smtp, STATE_ACCEPT, now_ms);
    }
}

const struct smtp_result *smtp_result(const struct smtp *smtp)
{
    return &smtp->result;
}

/* --- Ends --- */

void smtp_quit(struct smtp *smtp, uint64_t now_ms)
{
    if (smtp->state == STATE_READY) {
        smtp_enter(smtp, STATE_QUIT, now_ms);
    } else if (smtp->state < STATE_QUIT) {
        smtp_fail(smtp, E_TRANSIENT, SMTP_CAUSE_ABORTED, "given up on this side");
    }
}

/* The server fell silent or away. */
static void lost(struct smtp *smtp, enum smtp_cause cause, const char *what, uint64_t now_ms)
{
    bool sent = smtp_tx_empty(smtp);
    char words[64];

    if (smtp->state >= STATE_QUIT) {
        smtp_enter(smtp, STATE_CLOSED, now_ms); /* A good end: nothing was left to say. */
        return;
    }
    text_print(words, sizeof words, "%s%s", what,
               smtp->state == STATE_TLS              ? " in the TLS handshake"
               : smtp->state == STATE_ACCEPT && sent ? ", but may have the message"
               : smtp->state == STATE_BODY || smtp->state == STATE_ACCEPT
                   ? " while the message was sent"
                   : "");
    smtp_fail(smtp, E_TRANSIENT, cause, words);
}

void smtp_eof(struct smtp *smtp, uint64_t now_ms)
{
    lost(smtp, SMTP_CAUSE_EOF, "the server hung up", now_ms);
}

void smtp_timeout(struct smtp *smtp, uint64_t now_ms)
{
    if (now_ms >= smtp->deadline_ms) {
        lost(smtp, SMTP_CAUSE_TIMEOUT, "the time ran out", now_ms);
    }
}

uint64_t smtp_deadline(const struct smtp *smtp)
{
    return smtp->deadline_ms;
}

const struct smtp_failure *smtp_failure(const struct smtp *smtp)
{
    return smtp->failed ? &smtp->reply : NULL;
}

enum smtp_stage smtp_stage(const struct smtp *smtp)
{
    return smtp->failed ? smtp->reply.stage : smtp_state_stage((enum smtp_state)smtp->state);
}

unsigned smtp_capabilities(const struct smtp *smtp)
{
    return smtp->capabilities;
}
