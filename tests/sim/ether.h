/* ether.h - a simulated Ethernet: one NIC (hal/nic.h), one wire, and what goes wrong on it.
 *
 *     ether_init(&ether, &now_ms, seed);
 *     ether.receive = ...;                    what stands at the other end (lan.h)
 *     ether.faults = (struct ether_faults){.lost = 50, .doubled = 20};
 *     ... give &ether.nic to the code under test, advance now_ms, ether_poll(&ether) ...
 *
 * Frames travel for delay_ms and a bit; what happens to each follows from the seed and the order of
 * the calls. Damage is what gets past an Ethernet's own check sum (a router's bad memory): at most
 * eight bits in a row behind the Ethernet header of an IP packet, which the Internet checksums
 * always catch.
 */
#ifndef TOCSIN_TESTS_SIM_ETHER_H
#define TOCSIN_TESTS_SIM_ETHER_H

#include "hal/nic.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ETHER_FRAMES_MAX 48
#define ETHER_RING_MAX 4
#define ETHER_HEADER_BYTES 14
#define ETHER_FRAME_BYTES_MIN 60

/* Of a thousand frames, in each direction. */
struct ether_faults {
    uint16_t lost, doubled, late, damaged, cut;
    uint16_t late_ms_max;
};

struct ether_frame {
    bool used, to_nic;
    uint16_t size;
    uint32_t number;
    uint64_t due_ms;
    uint8_t bytes[NIC_FRAME_BYTES];
};

struct ether {
    const uint64_t *now_ms;
    uint32_t random;
    bool cable; /* Plugged in. */
    bool ill;   /* The NIC does not answer. */
    uint16_t delay_ms;
    struct ether_faults faults;
    /* A frame has reached the other end. */
    void (*receive)(void *context, const uint8_t *frame, size_t size);
    void *context;
    struct nic nic;
    uint32_t lost, doubled, late, damaged, cut; /* Frames so far. */
    uint32_t sent[2];                           /* To the other end, to the NIC. */
    uint32_t overflows;

    uint32_t number;
    unsigned frame_count;
    struct ether_frame frames[ETHER_FRAMES_MAX];
    unsigned ring_count;
    struct ether_frame ring[ETHER_RING_MAX];
};

void ether_init(struct ether *ether, const uint64_t *now_ms, uint32_t seed);

/* A device was reset: its NIC's ring is empty, what was on the wire still is. */
void ether_reset(struct ether *ether);

/* A frame from the other end, to leave after so many milliseconds. Short ones are padded with
 * noise. */
void ether_send(struct ether *ether, const uint8_t *frame, size_t size, uint32_t after_ms);

/* Delivers what is due. */
void ether_poll(struct ether *ether);

/* When the next frame is due; UINT64_MAX: none is under way. */
uint64_t ether_next_ms(const struct ether *ether);

/* A number below n (n > 0), from a state that is never 0: Marsaglia's xorshift. */
uint32_t sim_dice(uint32_t *state, uint32_t n);

#endif
