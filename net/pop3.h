/* pop3.h - a POP3 client that does no I/O
 * (RFC 1939, 2449, 2595, 8314, 5034, 1734, 3206, 6856's absence).
 *
 * The engine logs in by itself; then its caller asks, and takes events one by one, in order. What
 * is not taken holds the stream up, so a mailbox of any size passes through fixed room.
 *
 *     pop3_init(&pop3, &params, now_ms);
 *     for (;;) {
 *         unsigned want = pop3_want(&pop3);
 *         if (want & POP3_WANT_TX)      send pop3_tx_buf(), then pop3_tx_ack()
 *         if (want & POP3_WANT_TLS)     start TLS on the stream, then pop3_tls_started()
 *         if (want & POP3_WANT_EVENT)   look at pop3_event(), then pop3_next()
 *         if (want & POP3_WANT_REQUEST) pop3_request(): there is room for one more
 *         if (want & POP3_WANT_RX)      put received bytes in pop3_rx_buf(), then pop3_rx_ack()
 *         if (want & POP3_CLOSED)       done: pop3_failure() is NULL after a good end
 *         at pop3_deadline()            pop3_timeout()
 *         when the stream ends          pop3_eof()
 *     }
 *
 * Requests are pipelined where the server says PIPELINING (RFC 2449 6.6): several that are asked
 * for together leave in one segment. Elsewhere they wait here for the reply before.
 *
 * What it is strict about: nothing but CAPA, STLS and QUIT is said in clear where TLS is wanted;
 * what was learnt before TLS is forgotten (RFC 2595 section 4); a byte behind the reply to STLS is
 * an attack; a reply counts only if its first byte came after its command had left. AUTH PLAIN with
 * an initial response, else USER and PASS; APOP only where TLS is off by configuration, the
 * greeting has a timestamp, and it is preferred there to a password in clear.
 *
 * A message ends at a lone dot; its first line tells whether its lines end in CRLF or LF, and a
 * bare LF among CRLF ends none. Lines of any length are taken, but what is cut off the lines of one
 * reply, and a CAPA list, are bounded. A reply that brings fewer than 256 bytes in command_ms_max
 * has stalled; how long one may take in all is the caller's to say.
 *
 * Classes: silence, the end of the stream, what is not POP3, -ERR for a greeting, [IN-USE],
 * [LOGIN-DELAY] and [SYS/TEMP] are transient, and so is a login refused without a code in words
 * such as RFC 1939's "maildrop already locked"; [AUTH], [SYS/PERM] and any other refused login are
 * configuration; STLS missing or refused is security. -ERR to AUTH PLAIN whose words are not about
 * a password leads to USER and PASS. -ERR to a request after the login is that request's result,
 * and the session goes on; -ERR to QUIT is also the session's failure.
 *
 * Cost: sizeof(struct pop3), under 1.5 KB. Call from one context only.
 */
#ifndef TOCSIN_NET_POP3_H
#define TOCSIN_NET_POP3_H

#include "net/error.h"
#include "net/smtp.h" /* enum smtp_tls: how the stream is protected. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef POP3_TX_BYTES
#define POP3_TX_BYTES 400
#define POP3_RX_BYTES 400 /* Of a reply line; RFC 2449 section 4 has up to 512: it is cut. */
#endif
#define POP3_TEXT_BYTES 160 /* What is kept of the server's own words. */
#ifndef POP3_UID_BYTES
#define POP3_UID_BYTES 71 /* RFC 1939 section 7: 70 characters; with NUL. */
#endif
#ifndef POP3_REQUESTS_MAX
#define POP3_REQUESTS_MAX 4 /* Asked for and not yet answered; at most 64. */
#endif

enum pop3_stage {
    POP3_STAGE_GREETING,
    POP3_STAGE_CAPA,
    POP3_STAGE_STLS,
    POP3_STAGE_AUTH,
    POP3_STAGE_READY, /* Logged in. */
    POP3_STAGE_QUIT
};

enum pop3_verb {
    POP3_STAT,
    POP3_LIST,     /* Of one message. */
    POP3_UIDL,     /* Of one message. */
    POP3_UIDL_ALL, /* An event for each. */
    POP3_TOP,      /* The header, and no line of the body. */
    POP3_RETR,
    POP3_DELE, /* Takes effect at a good QUIT. */
    POP3_NOOP,
    POP3_RSET,
    POP3_QUIT,
#ifdef POP3_LISTS
    POP3_LIST_ALL, /* An event for each, with its octets. */
#endif
    POP3_VERB_COUNT
};

/* Everything is borrowed and must outlive the engine. */
struct pop3_params {
    const char *user;
    const char *password;
    enum smtp_tls tls;        /* STARTTLS stands for STLS. */
    bool auth_without_tls;    /* Lets a password go in clear with SMTP_TLS_OFF. */
    uint32_t greeting_ms_max; /* 0, here and below: 1 min. */
    uint32_t command_ms_max;  /* From a request, or 256 bytes of a long reply, to the next. */
};

enum pop3_cause {
    POP3_CAUSE_REPLY, /* -ERR: code and text are the server's own. */
    POP3_CAUSE_TIMEOUT,
    POP3_CAUSE_EOF,
    POP3_CAUSE_PROTOCOL, /* What came is not POP3, or came out of turn. */
    POP3_CAUSE_NO_STLS,
    POP3_CAUSE_INJECTED,   /* Clear bytes behind the reply to STLS. */
    POP3_CAUSE_CLEAR_AUTH, /* A password would go in clear and nobody allowed that. */
    POP3_CAUSE_MECHANISM,  /* It takes no way to log in that is here. */
    POP3_CAUSE_NAME        /* A user or password that no command can carry. */
};

/* Extended response codes (RFC 2449 section 8, 3206). */
enum pop3_code {
    POP3_CODE_NONE,
    POP3_CODE_IN_USE,
    POP3_CODE_LOGIN_DELAY,
    POP3_CODE_SYS_TEMP,
    POP3_CODE_SYS_PERM,
    POP3_CODE_AUTH,
    POP3_CODE_OTHER
};

struct pop3_failure {
    int error; /* enum error: its class. */
    enum pop3_stage stage;
    enum pop3_cause cause;
    enum pop3_code code;
    char text[POP3_TEXT_BYTES]; /* The server's words, printable; or ours. */
};

/* Capabilities of the CAPA in force (the one after TLS). */
enum {
    POP3_CAP_STLS = 1,
    POP3_CAP_PIPELINING = 2,
    POP3_CAP_TOP = 4,
    POP3_CAP_UIDL = 8,
    POP3_CAP_USER = 16,
    POP3_CAP_SASL_PLAIN = 32,
    POP3_CAP_RESP_CODES = 64,
    POP3_CAP_SASL_LOGIN = 128,
    POP3_CAP_KNOWN = 256 /* The server answered CAPA at all. */
};

enum pop3_event_kind {
    POP3_EVENT_ITEM, /* A line of a listing: number and uid. */
    POP3_EVENT_DATA, /* Bytes of a message, dot-stuffing undone, CRLF as it came. */
    POP3_EVENT_DONE  /* The request is answered; error tells how. */
};

struct pop3_event {
    enum pop3_event_kind kind;
    enum pop3_verb verb; /* Of the request, ... */
    uint32_t number;     /* ... and its message; of an item: the one that the line tells of. */
    int error; /* DONE: 0, or E_MISSING, E_TRANSIENT for -ERR; E_INVALID: a malformed +OK. */
    enum pop3_code code; /* DONE with an error. */
    const char *text;    /* DONE: the server's words, printable, for as long as the event lasts. */
    const char *uid;     /* ITEM and DONE of UIDL; "" when it is none (RFC 1939 section 7). */
    uint32_t count;      /* DONE of STAT: messages. */
    uint64_t octets;     /* DONE of STAT: all of them; of LIST and its items: that message's. */
    const uint8_t *data; /* DATA: owned by the engine until pop3_next(). */
    size_t size;
};

enum {
    POP3_WANT_TX = 1,
    POP3_WANT_RX = 2,
    POP3_WANT_TLS = 4,
    POP3_WANT_EVENT = 8,
    POP3_WANT_REQUEST = 16,
    POP3_CLOSED = 32 /* Nothing more: close the stream. */
};

#include "net/pop3_state.h" /* struct pop3; private. */

/* Begins a session on a stream that has just opened (SMTP_TLS_IMPLICIT: whose TLS is up).
 * E_CONFIG: user or password cannot be carried; the session is closed. */
MUST_CHECK int pop3_init(struct pop3 *pop3, const struct pop3_params *params, uint64_t now_ms);

unsigned pop3_want(const struct pop3 *pop3);

/* Bytes to send, owned by the engine until acknowledged. */
const uint8_t *pop3_tx_buf(const struct pop3 *pop3, size_t *size);
void pop3_tx_ack(struct pop3 *pop3, size_t size, uint64_t now_ms);

/* Room for received bytes, none while an event waits to be taken; acknowledging takes them in. */
uint8_t *pop3_rx_buf(struct pop3 *pop3, size_t *size);
void pop3_rx_ack(struct pop3 *pop3, size_t size, uint64_t now_ms);

void pop3_tls_started(struct pop3 *pop3, uint64_t now_ms);

/* Asks for one more thing, when POP3_WANT_REQUEST is set. number is 0 where the verb has none.
 * After POP3_QUIT nothing can be asked; POP3_CLOSED follows its event, whose error tells whether
 * the server deleted what it was told to. E_INVALID: not the time for it. */
MUST_CHECK int pop3_request(struct pop3 *pop3, enum pop3_verb verb, uint32_t number,
                            uint64_t now_ms);

/* The event in hand, NULL: none. pop3_next() lets go of it. */
const struct pop3_event *pop3_event(const struct pop3 *pop3);
void pop3_next(struct pop3 *pop3, uint64_t now_ms);

/* The stream ended (cleanly or not): events that came before are still there to be taken, and one
 * for a QUIT without an answer comes last. Or the deadline passed. */
void pop3_eof(struct pop3 *pop3, uint64_t now_ms);
void pop3_timeout(struct pop3 *pop3, uint64_t now_ms);

/* When to call pop3_timeout(); UINT64_MAX: no deadline now, as while an event waits. */
uint64_t pop3_deadline(const struct pop3 *pop3);

/* Why the session ended badly, or NULL. Sticky. */
const struct pop3_failure *pop3_failure(const struct pop3 *pop3);

enum pop3_stage pop3_stage(const struct pop3 *pop3);
unsigned pop3_capabilities(const struct pop3 *pop3);
const char *pop3_stage_name(enum pop3_stage stage); /* "greeting", "STLS", "login", ... */

/* What the server wants of its clients (RFC 2449 6.5, 6.7): seconds between two logins, 0: nothing
 * said; days that a message is kept, POP3_EXPIRE_NEVER unless it says fewer. */
#define POP3_EXPIRE_NEVER UINT32_MAX
uint32_t pop3_login_delay_s(const struct pop3 *pop3);
uint32_t pop3_expire_days(const struct pop3 *pop3);

/* Octets and round trips of this session so far, for people. */
uint32_t pop3_octets(const struct pop3 *pop3);
uint32_t pop3_turns(const struct pop3 *pop3);

/* One sentence: what a person can do about it. Never NULL. */
const char *pop3_advice(const struct pop3_failure *failure);

#endif
