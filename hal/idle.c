#include "hal/idle.h"

#include "hal/clock.h"
#include "hal/irq.h"

#include <stdbool.h>

/* Of the one CPU, hence at file scope; set in interrupts, cleared by the main loop. */
static volatile bool woken;

void idle_wake(void)
{
    woken = true;
}

void idle_for(uint32_t ms_max)
{
    uint64_t until_ms = clock_millis() + ms_max;
    uint64_t now_ms = clock_millis();

    while (!woken && now_ms < until_ms) {
        /* With interrupts held off, one that comes after the look at `woken` still ends the WFI;
         * so does the alarm, which would be over if it were let in before the WFI. */
        uint32_t state = irq_lock();
        if (!woken) {
            clock_alarm((uint32_t)(until_ms - now_ms));
            irq_wait();
        }
        irq_unlock(state);
        now_ms = clock_millis();
    }
    woken = false;
}
