/* smtp_dialogue.h - what the three parts of the submission engine share. Private to net/smtp*.c.
 *
 *     smtp.c           the public calls: bytes in and out, the body, deadlines
 *     smtp_reply.c     received bytes -> lines -> replies
 *     smtp_dialogue.c  the states: what is sent on entering one, and what each reply leads to
 *
 *     GREETING -> EHLO [-> STARTTLS -> TLS -> EHLO] [-> AUTH...] -> READY
 *                 EHLO -> HELO -> READY                   EHLO is not known and nothing needs it
 *
 *     AUTH -> READY                                       PLAIN with an initial response
 *     AUTH -> AUTH_SECRET -> READY                        PLAIN, too long for one
 *     AUTH -> AUTH_USER -> AUTH_SECRET -> READY           LOGIN
 *     any of these -> AUTH_CANCEL                         a prompt too many
 *     any of these -> AUTH                                the next mechanism
 *
 *     READY [-> RSET] -> MAIL -> RCPT... -> DATA -> BODY -> ACCEPT -> READY
 *                        MAIL or RCPT -> READY            refused, and DATA has not left
 *                                           DATA -> LONE_DOT -> READY
 *     READY -> QUIT -> CLOSED
 *
 * A failure leads to QUIT while both sides know where they are, else straight to CLOSED.
 */
#ifndef TOCSIN_NET_SMTP_DIALOGUE_H
#define TOCSIN_NET_SMTP_DIALOGUE_H

#include "net/smtp.h"
#include "net/text.h"

enum smtp_state {
    STATE_GREETING,    /* Waits for 220. */
    STATE_EHLO,        /* EHLO sent. */
    STATE_HELO,        /* EHLO was not understood; HELO sent. */
    STATE_STARTTLS,    /* STARTTLS sent. */
    STATE_TLS,         /* The caller does the handshake. */
    STATE_AUTH,        /* AUTH sent, with its initial response where it has one. */
    STATE_AUTH_USER,   /* LOGIN: user sent. */
    STATE_AUTH_SECRET, /* LOGIN: password sent; PLAIN: its response sent. */
    STATE_AUTH_CANCEL, /* "*" sent (RFC 4954 section 4). */
    STATE_READY,       /* Between messages. */
    STATE_RSET,        /* This and the next three: the reply to that command is awaited. */
    STATE_MAIL,
    STATE_RCPT,
    STATE_DATA,
    STATE_BODY,     /* Takes body bytes. */
    STATE_ACCEPT,   /* The final dot is on its way or gone. */
    STATE_LONE_DOT, /* 354 though nobody will get it: an empty message ends DATA (RFC 2920 3.1). */
    STATE_QUIT,     /* QUIT sent; whatever comes is the end. */
    STATE_CLOSED,
    STATE_COUNT
};

/* smtp_dialogue.c: enters a state; takes a whole reply; takes one line of the reply to EHLO. */
void smtp_enter(struct smtp *smtp, enum smtp_state state, uint64_t now_ms);
void smtp_reply_done(struct smtp *smtp, uint64_t now_ms);
void smtp_ehlo_line(struct smtp *smtp, const char *line);
enum smtp_stage smtp_state_stage(enum smtp_state state);

/* Puts the deadline of the current state at its full distance. */
void smtp_arm(struct smtp *smtp, uint64_t now_ms);

/* Writes as many commands of the transaction as may go now and fit. */
void smtp_write_commands(struct smtp *smtp);

/* Ends the session at once with a sticky failure: words, then what the server said of it. */
void smtp_fail(struct smtp *smtp, int error, enum smtp_cause cause, const char *words);

/* smtp_reply.c: takes in what has been added to rx. */
void smtp_take_lines(struct smtp *smtp, uint64_t now_ms);

static inline bool smtp_tx_empty(const struct smtp *smtp)
{
    return smtp->tx_at == smtp->tx_size;
}

#endif
