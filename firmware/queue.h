/* queue.h - alerts on their way out, in RAM of fixed size, packed.
 *
 * An alert stays until a server took it, or until a person drops it. When there is no room, the
 * oldest of the least severe gives way, if it is no more severe than the new one; both cases are
 * counted, so that the device can say how many alerts were displaced. Cost: sizeof(struct queue).
 */
#ifndef TOCSIN_FIRMWARE_QUEUE_H
#define TOCSIN_FIRMWARE_QUEUE_H

#include "net/alert.h"
#include "net/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUEUE_BYTES 5632 /* Room for some 45 short alerts, or 10 of the longest. */

/* What is kept beside the alert's own text. */
struct queue_item {
    uint32_t sequence; /* Names the alert in this boot; its number for `queue`. */
    uint32_t boot_count;
    uint64_t unix_s;
    uint64_t uptime_ms;
    uint64_t due_ms; /* Next try; the app's clock. */
    uint16_t size;   /* Of this record with its texts. */
    uint8_t severity;
    uint8_t facility;
    uint8_t attempts;     /* Tries that failed; sticks at 255. */
    uint8_t pending_mask; /* Bit i: recipient i has not got it yet. */
    bool refused : 1;     /* Permanently; waits for a person (`queue retry`, `queue drop`). */
    bool yields : 1;      /* Goes behind all others: connections broke on it. */
    bool is_test;         /* Came from `test`: never waits in the queue. */
};

struct queue {
    uint8_t bytes[QUEUE_BYTES];
    uint16_t used;
    uint16_t count;
    uint32_t displaced; /* Alerts that gave way or found no room, since the start. */
};

void queue_init(struct queue *queue);

/* Adds alert (its sequence names it). E_SPACE: everything queued is more severe; the alert is
 * counted as displaced. An item is given its recipients in pending_mask. */
MUST_CHECK int queue_add(struct queue *queue, const struct alert *alert, uint8_t pending_mask,
                         bool is_test);

/* Item number index from the oldest; false: no such. The copy is changed and put back by
 * queue_update(). */
bool queue_item(const struct queue *queue, unsigned index, struct queue_item *item);
void queue_update(struct queue *queue, const struct queue_item *item);

/* The whole alert of that sequence number. E_MISSING. */
MUST_CHECK int queue_alert(const struct queue *queue, uint32_t sequence, struct alert *alert);

/* E_MISSING. */
int queue_remove(struct queue *queue, uint32_t sequence);

/* The next item that is due: a test, then the most severe, then the oldest, and those that yield
 * last; false: none now. */
bool queue_due(const struct queue *queue, uint64_t now_ms, struct queue_item *item);

/* When the next item is due; UINT64_MAX: never. */
uint64_t queue_due_ms(const struct queue *queue);

/* The clock has become known: gives every alert of this boot that has none its time. */
void queue_set_time(struct queue *queue, uint32_t boot_count, uint64_t unix_ms, uint64_t now_ms);

#endif
