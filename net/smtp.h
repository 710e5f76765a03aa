/* smtp.h - a mail submission client that does no I/O
 * (RFC 5321, 6409, 3207, 4954, 2920, 1870, 6152, 2034; with SMTP_DSN 3461).
 *
 * The engine is a state machine between a byte stream and a message. It never asks the time, never
 * allocates and never sees a socket. Pump it:
 *
 *     smtp_init(&smtp, &params, now_ms);
 *     for (;;) {
 *         unsigned want = smtp_want(&smtp);
 *         if (want & SMTP_WANT_TX)      send smtp_tx_buf(), then smtp_tx_ack()
 *         if (want & SMTP_WANT_TLS)     start TLS on the stream, then smtp_tls_started()
 *         if (want & SMTP_WANT_MESSAGE) smtp_message() or smtp_quit()
 *         if (want & SMTP_WANT_BODY)    fill smtp_body_buf(), smtp_body_ack(); smtp_body_end()
 *         if (want & SMTP_WANT_RX)      put received bytes in smtp_rx_buf(), then smtp_rx_ack()
 *         if (want & SMTP_CLOSED)       done: smtp_failure() is NULL after a good end
 *         at smtp_deadline()            smtp_timeout()
 *         when the stream ends          smtp_eof()
 *     }
 *
 * What it is strict about: a reply counts only if its first byte came after its command had left
 * (421 may come at any time); nothing but EHLO, STARTTLS and QUIT is said in clear where TLS is
 * wanted; with a user set, nothing goes without AUTH. AUTH is PLAIN with an initial response, else
 * LOGIN without one (some servers prompt for a name that they have been given).
 *
 * Classes: 4xx, 421, silence, the end of the stream and what is not SMTP are transient; 5xx to a
 * message is permanent, but 552 to RCPT is transient (RFC 5321 4.5.3.1.10), and 530 and 5.7.0 to a
 * command ask for a login: configuration, as are 5xx to the greeting, EHLO and AUTH, which are
 * about us, not about a message. Whatever but 220 and 421 answers STARTTLS, and whatever comes out
 * of turn before TLS, is security.
 *
 * What is asked of delivery reports is a wish: what RFC 3461 does not know is left out, and so is
 * all of it for a server without DSN.
 *
 * Cost: sizeof(struct smtp), 2.3 KB with buffers of the usual sizes, all of it in the object; no
 * other buffer. Call from one context only.
 */
#ifndef TOCSIN_NET_SMTP_H
#define TOCSIN_NET_SMTP_H

#include "net/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef SMTP_RCPT_MAX
#define SMTP_RCPT_MAX 8 /* Recipients of one message. */
#endif
#ifndef SMTP_TX_BYTES
#define SMTP_TX_BYTES 1024 /* One segment: MAIL, RCPT and DATA fit unless names are very long. */
#endif
#define SMTP_RX_BYTES 512    /* RFC 5321 4.5.3.1.5; a longer reply line is cut, not refused. */
#define SMTP_TEXT_BYTES 200  /* What is kept of the server's own words. */
#define SMTP_ADDRESS_MAX 254 /* RFC 5321 4.5.3.1.3, erratum 1690. */

enum smtp_tls {
    SMTP_TLS_IMPLICIT, /* The stream is TLS before the engine starts (RFC 8314). */
    SMTP_TLS_STARTTLS, /* The engine asks for TLS after STARTTLS (RFC 3207), or fails with
                          E_SECURITY. */
    SMTP_TLS_OFF       /* Clear text, because a person wrote so. */
};

/* Where in the dialogue something happened; also the order of `test`. */
enum smtp_stage {
    SMTP_STAGE_GREETING,
    SMTP_STAGE_EHLO,
    SMTP_STAGE_STARTTLS,
    SMTP_STAGE_AUTH,
    SMTP_STAGE_MAIL,
    SMTP_STAGE_RCPT,
    SMTP_STAGE_DATA,
    SMTP_STAGE_BODY, /* From 354 to the reply to the final dot. */
    SMTP_STAGE_RSET,
    SMTP_STAGE_QUIT,
    SMTP_STAGE_READY /* Between messages. */
};

/* Everything is borrowed and must outlive the engine. */
struct smtp_params {
    const char *ehlo_name; /* A domain or an address literal (RFC 5321 4.1.3). */
    const char *user;      /* NULL or "" when the server wants no AUTH. */
    const char *password;
    enum smtp_tls tls;
    bool auth_without_tls;    /* Lets AUTH go in clear with SMTP_TLS_OFF. */
    uint32_t greeting_ms_max; /* RFC 5321 4.5.3.2: 5 min. 0, here and in the next: 1 min. */
    uint32_t command_ms_max;  /* EHLO, STARTTLS, AUTH, MAIL, RCPT, RSET, DATA's 354. */
    uint32_t body_ms_max;     /* Between two pieces of the body that the stream takes. 0: 2 min. */
    uint32_t accept_ms_max;   /* From the final dot to its reply; RFC 5321: 10 min. 0: 5 min. */
};

/* One envelope, borrowed until the message has its result. */
struct smtp_envelope {
    const char *from;        /* "" is the null reverse-path. */
    const char *const *rcpt; /* rcpt_count addresses, at most SMTP_RCPT_MAX. */
    size_t rcpt_count;
    uint32_t size_bytes; /* For SIZE= (RFC 1870), before dot-stuffing; 0 when unknown. */
    bool eight_bit;      /* The body holds bytes above 127 (RFC 6152). */
#ifdef SMTP_DSN          /* What reports the sender wants (RFC 3461), said where DSN is offered. */
    const char *const
        *notify;       /* rcpt_count times NOTIFY= or NULL: "SUCCESS,FAILURE". May be NULL. */
    const char *ret;   /* "FULL" or "HDRS"; NULL: the server decides. */
    const char *envid; /* As a person reads it; NULL: none. */
#endif
};

/* What kind of thing went wrong: what smtp_advice() goes by. */
enum smtp_cause {
    SMTP_CAUSE_REPLY,       /* The server said no: code, enhanced and text are its own. */
    SMTP_CAUSE_TIMEOUT,     /* The server said nothing in time. */
    SMTP_CAUSE_EOF,         /* The stream ended. */
    SMTP_CAUSE_PROTOCOL,    /* What came is not SMTP, or came out of turn. */
    SMTP_CAUSE_NO_STARTTLS, /* TLS is wanted and not offered. */
    SMTP_CAUSE_INJECTED,    /* Clear bytes behind the reply to STARTTLS. */
    SMTP_CAUSE_CLEAR_AUTH,  /* AUTH would go in clear and nobody allowed that. */
    SMTP_CAUSE_NO_AUTH,     /* A user is set and the server offers no AUTH. */
    SMTP_CAUSE_MECHANISM,   /* It offers only mechanisms that are not here. */
    SMTP_CAUSE_TOO_LARGE,   /* Larger than the server's SIZE. */
    SMTP_CAUSE_EIGHT_BIT,   /* Bytes above 127, and no 8BITMIME. */
    SMTP_CAUSE_ADDRESS,     /* A name or an address that no command can carry. */
    SMTP_CAUSE_ABORTED      /* Our own side gave the session up. */
};

/* What went wrong, kept for the person. */
struct smtp_failure {
    int error; /* enum error: its class. */
    enum smtp_stage stage;
    enum smtp_cause cause;
    int code;                   /* Reply code, or 0 when the server said nothing. */
    char enhanced[12];          /* "5.7.8" or "" (RFC 2034, 3463). */
    char text[SMTP_TEXT_BYTES]; /* The server's words, printable, multi-line joined with " / "; or
                                   ours. */
};

/* The result of the last message. */
struct smtp_result {
    int error;               /* 0: accepted for at least one recipient. Otherwise as in failure. */
    uint32_t accepted_mask;  /* Bit i: rcpt[i] has the mail; all zero while error is not 0. */
    uint32_t refused_mask;   /* Bit i: RCPT for rcpt[i] was refused. */
    uint32_t transient_mask; /* Those of refused_mask that are worth another try. */
    bool unanswered; /* The final dot was sent and no reply came: the server may have it all. */
    struct smtp_failure failure; /* The failure, or the first refused recipient's reply, a transient
                                  * one before others. Its error is 0 if nothing was refused. */
    char text[SMTP_TEXT_BYTES];  /* The reply to the final dot: it often holds the queue id. */
};

enum {
    SMTP_WANT_TX = 1,
    SMTP_WANT_RX = 2,
    SMTP_WANT_TLS = 4,
    SMTP_WANT_MESSAGE = 8,
    SMTP_WANT_BODY = 16,
    SMTP_CLOSED = 32 /* Nothing more: close the stream. */
};

/* Capabilities of the EHLO in force (the one after TLS). */
enum {
    SMTP_CAP_STARTTLS = 1,
    SMTP_CAP_PIPELINING = 2,
    SMTP_CAP_SIZE = 4,
    SMTP_CAP_8BITMIME = 8,
    SMTP_CAP_AUTH_PLAIN = 16,
    SMTP_CAP_AUTH_LOGIN = 32,
    SMTP_CAP_ENHANCED = 64,
    SMTP_CAP_DSN = 128 /* Looked for only with SMTP_DSN. */
};

#include "net/smtp_state.h" /* struct smtp; private. */

/* Begins a session on a stream that has just opened (SMTP_TLS_IMPLICIT: whose TLS is up).
 * E_CONFIG: ehlo_name, user or password holds what no command can carry (line ends, other control
 * characters, in the name also spaces and angle brackets) or is too long; the session is closed. */
MUST_CHECK int smtp_init(struct smtp *smtp, const struct smtp_params *params, uint64_t now_ms);

unsigned smtp_want(const struct smtp *smtp);

/* Bytes to send, owned by the engine until acknowledged. One turn is one buffer: write it at once.
 */
const uint8_t *smtp_tx_buf(const struct smtp *smtp, size_t *size);
void smtp_tx_ack(struct smtp *smtp, size_t size, uint64_t now_ms);

/* Room for received bytes; acknowledging takes them in. */
uint8_t *smtp_rx_buf(struct smtp *smtp, size_t *size);
void smtp_rx_ack(struct smtp *smtp, size_t size, uint64_t now_ms);

/* TLS is up and verified: the engine forgets what it learnt and greets again (RFC 3207 4.2). */
void smtp_tls_started(struct smtp *smtp, uint64_t now_ms);

/* Whether smtp_message() can carry the address: one that it cannot costs all recipients. */
bool smtp_address_fits(const char *address);

/* Starts a message, when SMTP_WANT_MESSAGE is set.
 * E_CONFIG: an address that no command can carry. E_PERMANENT: larger than the server's SIZE, or
 * eight_bit without 8BITMIME. E_INVALID: too many recipients, or not the time for it. */
MUST_CHECK int smtp_message(struct smtp *smtp, const struct smtp_envelope *envelope,
                            uint64_t now_ms);

/* Room for body bytes, when SMTP_WANT_BODY is set. The engine ends lines (CRLF for a lone LF or CR)
 * and stuffs dots (RFC 5321 4.5.2). size can be small; 0 means send first.
 * Bytes wait here until there are enough for a large write, or until smtp_body_end(). */
uint8_t *smtp_body_buf(struct smtp *smtp, size_t *size);
void smtp_body_ack(struct smtp *smtp, size_t size, uint64_t now_ms);
void smtp_body_end(struct smtp *smtp, uint64_t now_ms);

/* The result of the last message; valid once SMTP_WANT_MESSAGE or SMTP_CLOSED comes back. */
const struct smtp_result *smtp_result(const struct smtp *smtp);

/* Says QUIT; SMTP_CLOSED follows, whatever the server answers. */
void smtp_quit(struct smtp *smtp, uint64_t now_ms);

/* The stream ended (cleanly or not), or its deadline passed. */
void smtp_eof(struct smtp *smtp, uint64_t now_ms);
void smtp_timeout(struct smtp *smtp, uint64_t now_ms);

/* When to call smtp_timeout(), in the caller's milliseconds; UINT64_MAX: no deadline now. */
uint64_t smtp_deadline(const struct smtp *smtp);

/* Why the session ended badly, or NULL. Sticky. E_PERMANENT here is about the message under way
 * alone: it was refused while its body was being sent, and nothing more could be said on this
 * connection. */
const struct smtp_failure *smtp_failure(const struct smtp *smtp);

enum smtp_stage smtp_stage(const struct smtp *smtp);
unsigned smtp_capabilities(const struct smtp *smtp);
const char *smtp_stage_name(enum smtp_stage stage); /* "STARTTLS", "end of DATA", ... */

/* One sentence: what a person can do about it. Never NULL. */
const char *smtp_advice(const struct smtp_failure *failure);

#endif
