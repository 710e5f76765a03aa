/* policy.h - between the sources of alerts and the queue: storms.
 *
 * - Alerts are alike if severity, facility, sender, host, app but for its process id, and text are
 *   the same. One like another within `repeat_window` before it is no mail of its own. While the
 *   earlier one has not left, its count grows; after that, the repetition is queued, counts those
 *   that follow, and leaves when the window after the earlier one is over; if it is critical or
 *   worse, after a minute at most.
 * - Of alerts less severe than critical, at most `alerts_per_hour` in any hour become mails of
 *   their own. Further ones are queued as lines of a digest (`folded`), and so are those that
 *   would have to wait longer for the provider's limits than for a digest. It is made
 *   `digest_delay` after the first of them, or when it is long. While one digest waits, as when the
 *   server is away, none is made beside it; what a reset left without one goes into a new one at
 *   the start.
 * - Everything is in flash before policy_take() returns, as a record of its own or as a count. Only
 *   counts above 8 are written not at once, but once in 10 s: no more than that is lost with the
 *   power. After a reset alerts are compared with those that came since, and
 *   what was held leaves at once.
 *
 *     policy_take(&policy, &alert, ...);        each alert, whatever it came from
 *     policy_leaves(&policy, &item, now_ms);    the sender, before it reads item's alert
 *     policy_poll(&policy, &digest, ...);       at policy_deadline()
 *
 * Cost: sizeof(struct policy), under 600 bytes; a struct alert on the stack. From the main loop.
 */
#ifndef TOCSIN_FIRMWARE_POLICY_H
#define TOCSIN_FIRMWARE_POLICY_H

#include "firmware/config.h"
#include "firmware/queue.h"
#include "net/alert.h"
#include "net/error.h"
#include "net/text.h"

#include <stdbool.h>
#include <stdint.h>

#define POLICY_RECENT_MAX 16
#define POLICY_HOUR_SLOTS 13 /* Of 5 minutes: an hour, wherever it begins. */

/* An alert that others may be like. Times are seconds of the app's clock. */
struct policy_recent {
    uint32_t hash;         /* Of what makes it the same; candidates are compared in full. */
    uint32_t sequence;     /* Of the alert that stands for it. 0: free. */
    uint32_t address;      /* Of its record: readable after it has left the queue. */
    uint32_t unsaved : 30; /* Repetitions not yet in flash. */
    uint32_t taken : 1;    /* It has left, or may have: its count is fixed. */
    uint32_t folded : 1;
    uint32_t seen_s; /* When one like it came last. */
    uint32_t mark_s; /* When it was taken; before that, when its count was written. */
};

struct policy {
    const struct config *config;
    struct queue *queue;
    uint32_t hour_slot;     /* The number of the newest one. */
    uint32_t digest;        /* The last one of this boot; 0: none. */
    uint64_t digest_ms;     /* When the next one is to be made; 0: nothing is folded. */
    uint64_t digest_min_ms; /* Not before this, however long it is. */
    uint64_t check_ms;      /* When to look for lines that a digest left behind. */
    unsigned folded;        /* Lines it would have. */
    /* Where policy_digest_line() is. */
    struct {
        uint32_t digest, index, sequence, address, removed;
    } line;
    uint16_t hour[POLICY_HOUR_SLOTS];               /* Mails of their own in each slot. */
    struct policy_recent recent[POLICY_RECENT_MAX]; /* The one that came last is first. */
};

void policy_init(struct policy *policy, const struct config *config, struct queue *queue,
                 uint64_t now_ms);

/* What became of an alert. */
enum {
    POLICY_QUEUED,
    POLICY_HELD,     /* Queued; waits for the end of the window. */
    POLICY_FOLDED,   /* Queued as a line of the next digest. */
    POLICY_REPEATED, /* Counted: alert->sequence is the one that counts it. */
    POLICY_MUTED     /* Not by policy_take(): counted by a mute (mute.h), and in no queue. */
};

/* Takes an alert, complete but for its number. Returns one of the above; E_SPACE, E_IO as
 * queue_add(). */
MUST_CHECK int policy_take(struct policy *policy, struct alert *alert, uint8_t pending_mask,
                           uint64_t now_ms);

/* The sender is about to read item's alert and to send it: its count is written, in *item as well,
 * and fixed. Alerts like it are others from now on. */
void policy_leaves(struct policy *policy, struct queue_item *item, uint64_t now_ms);

/* Writes all counts: before a reset on purpose. */
void policy_flush(struct policy *policy, uint64_t now_ms);

/* Makes the digest when it is time, and writes counts. True: something was done. digest is an alert
 * filled in but for text and severity: the device's own. */
bool policy_poll(struct policy *policy, struct alert *digest, uint8_t pending_mask,
                 uint64_t now_ms);

/* When to poll. */
uint64_t policy_deadline(const struct policy *policy);

/* Line number index, from 0, of the mail that this digest is, for rfc5322_fields.line: "TIME
 * severity HOST APP: text (N times)". Members that are gone by then are told in a last line. False:
 * no more. */
bool policy_digest_line(struct policy *policy, uint32_t digest, unsigned index, struct text *out);

#endif
