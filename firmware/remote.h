/* remote.h - runs an order that came by mail and was found to be good (authority.h).
 *
 * Effects are made so that running an order a second time, after a power cut, does no more than
 * running it once; the answer is queued (answer.h) before the order counts as done.
 */
#ifndef TOCSIN_FIRMWARE_REMOTE_H
#define TOCSIN_FIRMWARE_REMOTE_H

#include "net/mailed.h"

#include <stdbool.h>
#include <stddef.h>

struct app;

enum remote_kind {
    REMOTE_REFUSED, /* No such command, not in `commands`, or not by a one-time password. */
    REMOTE_PLAIN,   /* The line is all it needs. */
    REMOTE_TEXT     /* It takes the payload's text: config import, config set with lines. */
};

/* What kind of order that is, without running it. *why, of a refusal. */
enum remote_kind remote_kind(struct app *app, const struct mailed *mailed, const char **why);

/* Before the text of a REMOTE_TEXT order comes by again: then each piece goes to remote_text().
 * E_*: it cannot be taken, and the answer will say so. */
void remote_text_begin(struct app *app, const struct mailed *mailed);
void remote_text(struct app *app, const char *bytes, size_t size);

/* Runs it, queues its answer, and records it as done (or on trial). whole: the text came by, and
 * was the same as when it was verified. resumed: it may have run before a reset. */
void remote_run(struct app *app, const struct mailed *mailed, bool whole, bool resumed);

/* At a start, after slots and queue: an order that had committed a configuration is answered by
 * its trial, or by its end. In-Reply-To and subject of the trial's mail; NULL: no such order. */
const char *remote_trial_message_id(struct app *app);
const char *remote_trial_subject(struct app *app);
void remote_trial_ended(struct app *app);

#endif
