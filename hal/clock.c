#include "hal/clock.h"

#include "hal/mmio.h"

/* More polls than any CPU makes within one tick of the slowest clock here (1 MHz). */
#define STALLS_MAX 1000000u

struct clock_timeout clock_timeout(uint32_t ms)
{
    return (struct clock_timeout){
        .last = clock_raw(), .left_ticks = ms * clock_ticks_per_ms(), .stalls = 0};
}

bool clock_timeout_over(struct clock_timeout *timeout)
{
    uint32_t elapsed = clock_elapsed(&timeout->last);

    timeout->stalls = elapsed == 0 ? timeout->stalls + 1 : 0;
    if (elapsed >= timeout->left_ticks || timeout->stalls > STALLS_MAX) {
        timeout->left_ticks = 0;
        return true;
    }
    timeout->left_ticks -= elapsed;
    return false;
}

bool wait_for_bits(uintptr_t address, uint32_t mask, uint32_t value, struct clock_timeout *timeout)
{
    bool over;

    do {
        over = clock_timeout_over(timeout);
        if ((mmio_read(address) & mask) == value) {
            return true;
        }
    } while (!over);
    return false;
}
