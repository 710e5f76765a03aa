/* answer.h - mails of the device's own that are no alerts: answers to mailed commands, reports,
 * round trips. They wait in the queue like alerts (durable, retried, expired), as alerts of
 * FACILITY_MAIL; what is long in them (a status, a report) is not stored but made when the mail is
 * sent, and so is never old.
 *
 * alert.app names what it is: the command's first words, "report", "round trip". alert.text is the
 * result in words, then LF, the Message-ID that it answers, LF, its subject. On the console only
 * the first line is shown.
 */
#ifndef TOCSIN_FIRMWARE_ANSWER_H
#define TOCSIN_FIRMWARE_ANSWER_H

#include "net/alert.h"
#include "net/rfc5322.h"
#include "net/text.h"

#include <stdbool.h>
#include <stddef.h>

struct app;

/* The result of an order whose answer is what it asked for (`status`, `queue`, `config show`,
 * `history`, `help`, `report`): these lines are made when the mail is sent. */
#define ANSWER_SHOWN "ok"

/* The parts of a packed text. Pointers into the alert, whose text is cut up by this. */
struct answer_parts {
    char *result;
    char *message_id; /* "": it answers none. */
    char *subject;    /* Of the mail itself: "Re: status", "[router1] report 2026-11-22". */
    /* For its lines, set by answer_fields(). */
    struct app *app;
    const struct alert *alert;
};

bool answer_is(const struct alert *alert);
bool answer_is_round_trip(const struct alert *alert); /* It goes to the device's own mailbox. */
bool answer_is_report(const struct alert *alert);     /* By `report`; not one that was ordered. */
bool answer_is_ordered(const struct alert *alert);    /* It answers an order. */

/* Fills alert.text. What is too long is cut (the result), or left out (a Message-ID). subject is
 * that of the mail to be: no "Re:" is added here. */
void answer_pack(struct alert *alert, const char *result, const char *message_id,
                 const char *subject);
void answer_unpack(struct alert *alert, struct answer_parts *parts);

/* Makes one: as below, and nothing is queued. */
void answer_make(struct app *app, struct alert *alert, const char *name, const char *result,
                 const char *message_id, const char *subject);

/* Queues one: durable when it returns 0, or as queue_add(). For a round trip, result is its token.
 * message_id and subject are those of the order that it answers, and its own subject is "Re: ..."
 * or "[device] NAME"; NULL and NULL: nobody asked by mail, and it is "[device] NAME DATE" (of a
 * round trip, its token). number may be NULL. */
MUST_CHECK int answer_queue(struct app *app, const char *name, const char *result,
                            const char *message_id, const char *subject, uint32_t *number);

/* Turns what is in hand into fields of a mail: subject, threading, body lines, attachment;
 * fields->live_line is the caller's. alert has been unpacked into parts; all is borrowed until the
 * mail has been read. */
void answer_fields(struct app *app, const struct alert *alert, struct answer_parts *parts,
                   struct rfc5322_fields *fields);

#endif
