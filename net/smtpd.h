/* smtpd.h - the server's side of SMTP for one local client on a pipe: `sendmail -bs` (RFC 5321).
 *
 * An engine without I/O, in the buf/ack shape of smtp.h. It knows EHLO, HELO, MAIL, RCPT, DATA,
 * RSET, NOOP, VRFY (252), EXPN and HELP (502 and 214), QUIT, with PIPELINING, 8BITMIME, SIZE,
 * ENHANCEDSTATUSCODES and DSN (RFC 3461; its parameters are told). Lines that end in a bare LF are
 * taken, since local programs write them; "." alone between bare LFs too: there is one client and
 * nothing to smuggle past. AUTH and STARTTLS are not offered: the user is who runs it.
 *
 * What is not asked for is not insisted on: MAIL may come without EHLO, paths without brackets.
 * A command is looked at when the reply to the one before has been acknowledged.
 *
 * Events come one at a time; nothing more is taken until each is answered:
 *   SMTPD_MAIL, SMTPD_RCPT   answered by smtpd_reply(): 250, 550 ...
 *   SMTPD_DATA               354 was sent; body bytes follow by smtpd_body()
 *   SMTPD_END                the body is complete (and has been taken out by smtpd_body_ack()):
 *                            smtpd_reply() says whether it is queued
 *   SMTPD_RESET              the mail in hand is forgotten (RSET, EHLO, QUIT or the end of input)
 *
 * Cost: sizeof(struct smtpd), some 4 KB. Call from one context only.
 */
#ifndef TOCSIN_NET_SMTPD_H
#define TOCSIN_NET_SMTPD_H

#include "net/address.h"
#include "net/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SMTPD_LINE_BYTES 2048
#define SMTPD_RCPT_MAX 1000 /* RFC 5321 4.5.3.1.8 asks for 100. */
#define SMTPD_TIMEOUT_MS 300000

enum smtpd_event {
    SMTPD_NONE,
    SMTPD_MAIL, /* smtpd_address() is the reverse-path, "" for <>. */
    SMTPD_RCPT, /* smtpd_address() is the recipient. */
    SMTPD_DATA,
    SMTPD_END,
    SMTPD_RESET,
    SMTPD_QUIT /* The client said so, and has its 221. */
};

#include "net/smtpd_state.h" /* struct smtpd; private. */

/* hostname: what it calls itself; borrowed. size_max: of a message, 0: no limit. Greets. */
void smtpd_init(struct smtpd *smtpd, const char *hostname, uint64_t size_max);

/* Bytes to send, owned by the engine until acknowledged; size 0: none now. */
const uint8_t *smtpd_tx_buf(const struct smtpd *smtpd, size_t *size);
void smtpd_tx_ack(struct smtpd *smtpd, size_t size);

/* Takes received bytes; returns how many (fewer when an event, or output, waits to be taken). */
size_t smtpd_push(struct smtpd *smtpd, const uint8_t *bytes, size_t size);

/* The event that waits. SMTPD_NONE: push more. */
enum smtpd_event smtpd_event(const struct smtpd *smtpd);
const char *smtpd_address(const struct smtpd *smtpd);
/* A parameter of MAIL or RCPT ("RET", "ENVID", "NOTIFY", "ORCPT", "SIZE", "BODY"), or NULL.
 * Checked: RFC 3461 allows it; ENVID is no longer xtext. Until the event is answered. */
const char *smtpd_parameter(const struct smtpd *smtpd, const char *name);

/* The answer to MAIL, RCPT or END: "250 2.1.0 Ok", one line without its end, cut at 510 bytes. 2xx
 * accepts. Takes the event off. */
void smtpd_reply(struct smtpd *smtpd, const char *line);
/* DATA, RESET, QUIT: takes the event off. */
void smtpd_next(struct smtpd *smtpd);

/* Body bytes, dots unstuffed, lines ended by LF: in SMTP a CRLF is nothing else than a line end,
 * and clients that write LF add a CRLF of their own at the end. Another CR is data. size 0: none
 * now. */
const uint8_t *smtpd_body_buf(struct smtpd *smtpd, size_t *size);
void smtpd_body_ack(struct smtpd *smtpd, size_t size);

/* The input is over: an unfinished mail gives SMTPD_RESET. */
void smtpd_eof(struct smtpd *smtpd);

#endif
