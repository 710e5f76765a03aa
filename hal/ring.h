/* ring.h - bytes from one interrupt handler to the main program, without locks.
 *
 * Only the writer moves `head` and only the reader moves `tail`; both run on and wrap on their own.
 */
#ifndef TOCSIN_HAL_RING_H
#define TOCSIN_HAL_RING_H

#include <stdbool.h>
#include <stdint.h>

#define RING_BYTES 256u

struct ring {
    volatile uint32_t head;
    volatile uint32_t tail;
    volatile uint8_t bytes[RING_BYTES];
};

static inline bool ring_full(const struct ring *ring)
{
    return ring->head - ring->tail == RING_BYTES;
}

/* The ring must not be full. */
static inline void ring_put(struct ring *ring, uint8_t byte)
{
    ring->bytes[ring->head % RING_BYTES] = byte;
    ring->head = ring->head + 1;
}

/* The oldest byte, or -1. */
static inline int ring_get(struct ring *ring)
{
    if (ring->head == ring->tail) {
        return -1;
    }
    uint8_t byte = ring->bytes[ring->tail % RING_BYTES];
    ring->tail = ring->tail + 1;
    return byte;
}

#endif
