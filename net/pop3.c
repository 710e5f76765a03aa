/* pop3.c - the public calls of the POP3 engine: bytes in and out, events, deadlines. */
#include "net/pop3.h"

#include "net/pop3_dialogue.h"
#include "net/sasl.h"

#include <string.h>

#define PROGRESS_BYTES 256 /* A long reply that brings fewer in command_ms_max has stalled. */

_Static_assert(sizeof(struct pop3) <= POP3_TX_BYTES + POP3_RX_BYTES + 5 * POP3_REQUESTS_MAX + 716,
               "an engine is as small as its two buffers allow");

static bool can_be_sent(const char *user, const char *password)
{
    return user != NULL && user[0] != '\0' && password != NULL && password[0] != '\0' &&
           sasl_valid(user, password);
}

int pop3_init(struct pop3 *pop3, const struct pop3_params *params, uint64_t now_ms)
{
    memset(pop3, 0, sizeof *pop3);
    pop3->params = params;
    pop3->expire_days = POP3_EXPIRE_NEVER;
    pop3->tls_up = params->tls == SMTP_TLS_IMPLICIT;
    pop3->replies_due = 1;
    pop3_enter(pop3, STATE_GREETING, now_ms);
    if (can_be_sent(params->user, params->password)) {
        return 0;
    }
    pop3_fail(pop3, E_CONFIG, POP3_CAUSE_NAME, "the user or the password cannot be sent");
    return E_CONFIG;
}

unsigned pop3_want(const struct pop3 *pop3)
{
    unsigned want = pop3->event_held ? POP3_WANT_EVENT : POP3_WANT_RX;

    if (pop3->state == STATE_CLOSED || pop3->ended) { /* Whose end comes behind its events. */
        return pop3->event_held ? POP3_WANT_EVENT : POP3_CLOSED;
    }
    if (pop3->state == STATE_TLS) {
        return POP3_WANT_TLS;
    }
    if (pop3->state == STATE_READY && !pop3->quit_asked && pop3->requests < POP3_REQUESTS_MAX) {
        want |= POP3_WANT_REQUEST;
    }
    return pop3_tx_empty(pop3) ? want : want | POP3_WANT_TX;
}

/* --- Sending --- */

const uint8_t *pop3_tx_buf(const struct pop3 *pop3, size_t *size)
{
    *size = (size_t)(pop3->tx_size - pop3->tx_at);
    return pop3->tx + pop3->tx_at;
}

void pop3_tx_ack(struct pop3 *pop3, size_t size, uint64_t now_ms)
{
    uint8_t *sent = pop3->tx + pop3->tx_at;
    unsigned lines = 0;

    if (size == 0 || size > (size_t)(pop3->tx_size - pop3->tx_at)) {
        return;
    }
    for (size_t i = 0; i < size; i++) {
        lines += sent[i] == '\n';
    }
    /* What waits behind an event came before these lines left, and answers none of them. */
    if (pop3->event_held) {
        pop3->replies_later = (uint8_t)(pop3->replies_later + lines);
    } else {
        pop3->replies_due = (uint8_t)(pop3->replies_due + lines);
    }
    if (pop3->tx_secret) {
        memset(sent, 0, size);
    }
    pop3->tx_at = (uint16_t)(pop3->tx_at + size);
    pop3->octets += (uint32_t)size;
    pop3->turns += pop3->heard;
    pop3->heard = false;
    if (pop3_tx_empty(pop3)) {
        pop3->tx_at = 0;
        pop3->tx_size = 0;
        pop3->tx_secret = false;
        pop3_write_requests(pop3); /* Those that there was no room for. */
    }
    pop3_arm(pop3, now_ms);
}

/* --- Receiving --- */

uint8_t *pop3_rx_buf(struct pop3 *pop3, size_t *size)
{
    *size = pop3->event_held ? 0 : sizeof pop3->rx - pop3->rx_size;
    return pop3->rx + pop3->rx_size;
}

/* Takes in what is there; behind all of it, the end of the stream. */
static void take(struct pop3 *pop3, uint64_t now_ms)
{
    pop3_take(pop3, now_ms);
    if (pop3->ended && !pop3->event_held) {
        pop3_eof(pop3, now_ms);
    }
}

void pop3_rx_ack(struct pop3 *pop3, size_t size, uint64_t now_ms)
{
    if (pop3->state == STATE_CLOSED || pop3->event_held || size == 0 ||
        size > sizeof pop3->rx - pop3->rx_size) {
        return;
    }
    pop3->rx_size = (uint16_t)(pop3->rx_size + size);
    pop3->octets += (uint32_t)size;
    pop3->heard = true;
    pop3->progress = (uint16_t)(pop3->progress + size);
    if (pop3->progress >= PROGRESS_BYTES || pop3->deadline_ms == UINT64_MAX) {
        pop3_arm(pop3, now_ms);
    }
    take(pop3, now_ms);
}

void pop3_tls_started(struct pop3 *pop3, uint64_t now_ms)
{
    if (pop3->state != STATE_TLS) {
        return;
    }
    pop3->tls_up = true;
    memset(pop3->rx, 0, sizeof pop3->rx);
    pop3->rx_size = 0;
    pop3->replies_due = 0;
    pop3_enter(pop3, STATE_CAPA, now_ms); /* Which forgets the capabilities. */
}

const struct pop3_event *pop3_event(const struct pop3 *pop3)
{
    return pop3->event_held ? &pop3->event : NULL;
}

void pop3_next(struct pop3 *pop3, uint64_t now_ms)
{
    if (!pop3->event_held) {
        return;
    }
    pop3->event_held = false;
    if (pop3->deadline_ms != UINT64_MAX) {
        pop3->deadline_ms += now_ms - pop3->held_ms; /* That time was ours, not the server's. */
    }
    take(pop3, now_ms);
}

/* --- Ends --- */

/* The server fell silent or away. */
static void lost(struct pop3 *pop3, enum pop3_cause cause, const char *words, uint64_t now_ms)
{
    if (pop3->state >= STATE_BYE) {
        pop3_enter(pop3, STATE_CLOSED, now_ms); /* All is decided. */
    } else if (pop3->state == STATE_USER && pop3->refused) {
        /* It hung up on a login that it had refused; which may have been for the password. */
        pop3_fail(pop3, E_CONFIG, POP3_CAUSE_REPLY, "");
    } else {
        pop3_fail(pop3, E_TRANSIENT, cause, words);
    }
}

void pop3_eof(struct pop3 *pop3, uint64_t now_ms)
{
    pop3->ended = true;
    if (!pop3->event_held) {
        lost(pop3, POP3_CAUSE_EOF,
             pop3->state == STATE_TLS ? "the server hung up in the TLS handshake"
                                      : "the server hung up",
             now_ms);
    }
}

void pop3_timeout(struct pop3 *pop3, uint64_t now_ms)
{
    if (now_ms >= pop3_deadline(pop3)) {
        lost(pop3, POP3_CAUSE_TIMEOUT, "the time ran out", now_ms);
    }
}

uint64_t pop3_deadline(const struct pop3 *pop3)
{
    return pop3->event_held ? UINT64_MAX : pop3->deadline_ms;
}

/* --- What is known --- */

const struct pop3_failure *pop3_failure(const struct pop3 *pop3)
{
    return pop3->failed ? &pop3->reply : NULL;
}

enum pop3_stage pop3_stage(const struct pop3 *pop3)
{
    if (pop3->failed) {
        return pop3->reply.stage;
    }
    if (pop3->state == STATE_READY && pop3->requests > 0 && pop3->verbs[0] == POP3_QUIT) {
        return POP3_STAGE_QUIT;
    }
    return pop3_state_stage((enum pop3_state)pop3->state);
}

unsigned pop3_capabilities(const struct pop3 *pop3)
{
    return pop3->capabilities;
}

uint32_t pop3_login_delay_s(const struct pop3 *pop3)
{
    return pop3->login_delay_s;
}

uint32_t pop3_expire_days(const struct pop3 *pop3)
{
    return pop3->expire_days;
}

uint32_t pop3_octets(const struct pop3 *pop3)
{
    return pop3->octets;
}

uint32_t pop3_turns(const struct pop3 *pop3)
{
    return pop3->turns;
}
