/* clock.h - the time base. One clock driver in a board's list defines the first group.
 *
 *     struct clock_timeout timeout = clock_timeout(50);
 *     if (!wait_for_bits(STATUS, BUSY, 0, &timeout)) { return E_IO; }
 *
 * Everything but clock_millis() and clock_ticks() also works with interrupts held off, as in a
 * fault handler.
 */
#ifndef TOCSIN_HAL_CLOCK_H
#define TOCSIN_HAL_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* Milliseconds since clock_init; never goes back. From the main program only. */
uint64_t clock_millis(void);

/* The counter itself, all 32 bits of it in use. */
uint32_t clock_ticks(void);

uint32_t clock_ticks_per_ms(void);

/* Ticks since the raw counter value in *last, which moves on to now. True as long as it is called
 * at least every 50 ms. Begin with clock_raw(). */
uint32_t clock_elapsed(uint32_t *last);
uint32_t clock_raw(void);

/* One interrupt after about ms, replacing an earlier alarm. */
void clock_alarm(uint32_t ms);

struct clock_timeout {
    uint32_t last;
    uint32_t left_ticks;
    uint32_t stalls;
};

/* ms at most 20,000. */
struct clock_timeout clock_timeout(uint32_t ms);

/* True once the time is over, or when the clock is seen to stand still: no wait is without an end.
 */
bool clock_timeout_over(struct clock_timeout *timeout);

/* Polls a device register until its bits under mask are those of value; false: the time went by
 * first. The register always has the last word, so a CPU that was held up meanwhile does not see a
 * false timeout. */
bool wait_for_bits(uintptr_t address, uint32_t mask, uint32_t value, struct clock_timeout *timeout);

#endif
