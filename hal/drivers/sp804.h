/* sp804.h - ARM's dual timer as the time base and the alarm (ARM DDI 0271D).
 *
 * Timer 1 runs on freely and never interrupts; timer 2 ends a sleep.
 */
#ifndef TOCSIN_HAL_DRIVERS_SP804_H
#define TOCSIN_HAL_DRIVERS_SP804_H

#include <stdint.h>

/* clock_hz: of TIMCLK, a whole number of kHz. At 1 MHz the counter wraps after 71 minutes;
 * clock_millis() must be called more often than that, and idle_for() does. */
void sp804_init(uintptr_t base, uint32_t clock_hz);
void sp804_interrupt(void);

#endif
