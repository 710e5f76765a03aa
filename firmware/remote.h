/* remote.h - runs an order that came by mail and was found to be good (authority.h).
 *
 *     remote_kind(&app, &mailed, &why)
 *     REMOTE_TEXT   remote_text_begin(), remote_text() ..., then as below
 *     all           remote_run(): what it does, its answer, AUTHORITY_ENDED
 *     remote_commit(&app)   when the session is over, however it ended
 *
 * Effects are made so that running an order a second time, after a power cut, does no more than
 * running it once; the answer is queued (answer.h) before the order counts as done. What is not
 * allowed is answered as well: who asked has proved who it is, and learns why not.
 *
 * A new configuration is staged while its mail comes by, and checked and committed when the session
 * is over, since that needs the TLS object's room. Its order stays AUTHORITY_TAKEN until then, so
 * its mail must not be deleted in that session. It is always on trial: the mail by which the trial
 * is confirmed is the order's answer, and if it fails, that is.
 */
#ifndef TOCSIN_FIRMWARE_REMOTE_H
#define TOCSIN_FIRMWARE_REMOTE_H

#include "net/mailed.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct app;

enum remote_kind {
    REMOTE_REFUSED, /* No such command, not in `commands`, or not by a one-time password. */
    REMOTE_PLAIN,   /* The line is all it needs. */
    REMOTE_TEXT     /* It takes the payload's text: config import, config set with lines. */
};

/* What kind of order that is, without running it. *why, of a refusal. */
enum remote_kind remote_kind(struct app *app, const struct mailed *mailed, const char **why);

/* Before the text of a REMOTE_TEXT order comes by again: then each piece goes to remote_text().
 * What cannot be taken is told by the answer. What was staged on the console is dropped. */
void remote_text_begin(struct app *app, const struct mailed *mailed);
void remote_text(struct app *app, const char *bytes, size_t size);

/* Runs it, queues its answer, and records it as done; of a new configuration see above. whole: the
 * text came by, and was the same as when it was verified. resumed: it may have run before a reset.
 */
void remote_run(struct app *app, const struct mailed *mailed, bool whole, bool resumed);

/* The session is over: commits what was staged by mail, and resets the device; or answers why not.
 * True: there was such an order, and its mail can be deleted now if the device goes on. */
bool remote_commit(struct app *app);

/* At the start, after slots, queue and authority: ends an order whose answer stands in flash, and
 * one whose configuration is in force; one that was cut short before its commit is run again when
 * its mail is seen again. */
void remote_start(struct app *app);

/* Whether the configuration of that number was committed by the order in hand. */
bool remote_committed(const struct app *app, uint32_t number);

/* Its trial begins, of which flash knows when this returns 0: now its mail may go. E_*. */
MUST_CHECK int remote_trial_started(struct app *app);

/* Such an order's answers: the mail of its trial, which goes before all others and does not survive
 * a reset, and one that does. Each as queue_add(). Then what ends it. */
MUST_CHECK int remote_trial_mail(struct app *app, const char *what, uint32_t *number);
MUST_CHECK int remote_answer(struct app *app, const char *result);
void remote_ended(struct app *app);

#endif
