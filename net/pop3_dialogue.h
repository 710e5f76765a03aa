/* pop3_dialogue.h - what the parts of the POP3 engine share. Private to net/pop3*.c.
 *
 *     pop3.c           the public calls: bytes in and out, requests, deadlines
 *     pop3_reply.c     received bytes -> lines, pieces of messages -> replies
 *     pop3_dialogue.c  the states: what is sent on entering one, and what each reply leads to
 *     pop3_request.c   what is asked for after the login: commands, results, events
 *
 *     GREETING -> CAPA [-> STLS -> TLS -> CAPA] -> a login [-> CAPA_USER] -> READY
 *
 *     AUTH [-> AUTH_SECRET]           PLAIN, with an initial response or after a prompt
 *     AUTH, AUTH_SECRET -> USER       the server does not do PLAIN after all
 *     AUTH_SECRET -> AUTH_CANCEL -> USER  a prompt too many
 *     APOP [-> USER]                  only without TLS
 *     USER -> PASS
 *
 * Requests are made and answered in READY; the reply to QUIT leads to CLOSED. A failure leads to
 * BYE while both sides know where they are, else straight to CLOSED.
 */
#ifndef TOCSIN_NET_POP3_DIALOGUE_H
#define TOCSIN_NET_POP3_DIALOGUE_H

#include "net/pop3.h"
#include "net/text.h"

#define POP3_LINES_IDLE_MAX 200 /* Lines of one reply that the caller sees nothing of. */

enum pop3_state {
    STATE_GREETING,    /* Waits for +OK. */
    STATE_CAPA,        /* CAPA sent. */
    STATE_STLS,        /* STLS sent. */
    STATE_TLS,         /* The caller does the handshake. */
    STATE_AUTH,        /* AUTH PLAIN sent, with its initial response where that fits. */
    STATE_AUTH_SECRET, /* Its response sent. */
    STATE_AUTH_CANCEL, /* "*" sent (RFC 5034 section 4). */
    STATE_APOP,
    STATE_USER,
    STATE_PASS,
    STATE_CAPA_USER, /* CAPA once more: what it says of delays depends on the user. */
    STATE_READY,     /* Logged in. */
    STATE_BYE,       /* QUIT sent after a failure; whatever comes is the end. */
    STATE_CLOSED,
    STATE_COUNT
};

/* What received bytes are. */
enum pop3_mode {
    MODE_STATUS, /* The first line of a reply. */
    MODE_LIST,   /* Lines up to a lone dot. */
    MODE_MESSAGE /* A message up to a lone dot. */
};

/* How a message's lines end. Its first line tells, which the receiving server wrote: a bare LF in
 * mail whose lines end in CRLF ends none, so that nobody's mail can end early and go on as replies.
 */
enum pop3_lines { LINES_UNKNOWN, LINES_CRLF, LINES_LF };

enum pop3_status {
    STATUS_OK,
    STATUS_ERR,
    STATUS_PROMPT, /* "+ ": the server wants more (RFC 5034 section 4). */
    STATUS_NONE    /* No reply at all. */
};

/* pop3_dialogue.c: enters a state; takes a reply's first line, whose words are in pop3->reply; a
 * line of the reply to CAPA, or its end. */
void pop3_enter(struct pop3 *pop3, enum pop3_state state, uint64_t now_ms);
void pop3_take_reply(struct pop3 *pop3, enum pop3_status status, char *line, uint64_t now_ms);
void pop3_take_capability(struct pop3 *pop3, const char *line);
void pop3_end_capabilities(struct pop3 *pop3, uint64_t now_ms);
enum pop3_stage pop3_state_stage(enum pop3_state state);
bool pop3_stls_due(const struct pop3 *pop3);

/* Puts the deadline of the current state at its full distance. */
void pop3_arm(struct pop3 *pop3, uint64_t now_ms);

/* Appends a line of two parts to tx; false: it does not fit, and nothing of it is there. */
bool pop3_send(struct pop3 *pop3, const char *verb, const char *argument);

/* Ends the session with a sticky failure: words, then what the server said of it. */
void pop3_fail(struct pop3 *pop3, int error, enum pop3_cause cause, const char *words);

/* Whether the code or the words of the reply in hand say that it may be different later. */
bool pop3_may_pass(const struct pop3 *pop3);

/* pop3_request.c: writes as many commands as may go now; takes the first line of the reply to the
 * oldest request, lines of its listing, bytes of its message, the end of either. */
void pop3_write_requests(struct pop3 *pop3);
void pop3_answer(struct pop3 *pop3, enum pop3_status status, char *line, uint64_t now_ms);
void pop3_answer_item(struct pop3 *pop3, char *line, uint64_t now_ms);
void pop3_answer_bytes(struct pop3 *pop3, const uint8_t *bytes, size_t size, uint64_t now_ms);
void pop3_answer_end(struct pop3 *pop3, uint64_t now_ms);

/* The event that tells of a QUIT which got no answer because the session failed. */
void pop3_quit_failed(struct pop3 *pop3);

/* A decimal number at *at, which is moved behind it and the spaces that follow; false: there is
 * none, or one above max, or something else than a space or the end behind it. */
bool pop3_number(const char **at, uint64_t max, uint64_t *value);

/* pop3_reply.c: takes in what has been added to rx, as far as no event waits. */
void pop3_take(struct pop3 *pop3, uint64_t now_ms);

static inline bool pop3_tx_empty(const struct pop3 *pop3)
{
    return pop3->tx_at == pop3->tx_size;
}

#endif
