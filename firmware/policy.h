/* policy.h - between the sources of alerts and the queue: storms.
 *
 * - An alert like an earlier one (same severity, facility, sender, host, app but for its process
 * id, and text) within `repeat_window` does not become another mail. While the earlier one has not
 *   left, its count grows; after that, the repetition is queued, waits for the end of the window,
 *   and counts those that follow.
 * - Of alerts less severe than critical, `alerts_per_hour` become mails of their own; further ones
 *   are queued as lines of a digest, which leaves `digest_delay` after the first of them.
 * - Everything is in flash before policy_take() returns, as a record or as a count.
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

struct policy_recent {
    uint32_t hash;     /* Of what makes it the same; candidates are compared in full. */
    uint32_t sequence; /* Of the alert that stands for it. 0: free. */
    uint32_t address;  /* Of its record: readable after it has left the queue. */
    uint32_t unsaved;  /* Repetitions not yet in flash. */
    uint64_t began_ms, saved_ms;
};

struct policy {
    const struct config *config;
    struct queue *queue;
    struct policy_recent recent[POLICY_RECENT_MAX];
    uint64_t hour_began_ms;
    uint32_t hour_count; /* Mails of their own in this hour. */
    uint64_t digest_ms;  /* When the digest is to be made; 0: nothing is folded. */
};

void policy_init(struct policy *policy, const struct config *config, struct queue *queue,
                 uint64_t now_ms);

/* Takes an alert, complete but for its number. Returns POLICY_QUEUED, _HELD, _FOLDED (into a
 * digest) or _REPEATED (alert->sequence then is the one that counts it); E_SPACE as queue_add(). */
enum { POLICY_QUEUED, POLICY_HELD, POLICY_FOLDED, POLICY_REPEATED };
MUST_CHECK int policy_take(struct policy *policy, struct alert *alert, uint8_t pending_mask,
                           uint64_t now_ms);

/* Makes the digest when it is time, and saves counts. True: something was done. digest is an alert
 * filled in but for text and severity: the device's own. */
bool policy_poll(struct policy *policy, const struct alert *digest, uint8_t pending_mask,
                 uint64_t now_ms);

/* Line number index, from 0, of the mail that this digest is: what rfc5322_fields.line asks for.
 * False: no more, also when all of its members were dropped meanwhile. */
bool policy_digest_line(const struct queue *queue, uint32_t digest, unsigned index,
                        struct text *out);

/* When to poll; UINT64_MAX: never. */
uint64_t policy_deadline(const struct policy *policy);

#endif
