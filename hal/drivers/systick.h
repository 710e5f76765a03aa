/* systick.h - the Cortex-M's own 24-bit timer as the time base (ARM DDI 0403E, B3.3).
 *
 * It interrupts ten times a second, as seldom as 24 bits allow at full speed, and every reading
 * adds the counter's own value: the milliseconds are exact and the CPU sleeps long.
 */
#ifndef TOCSIN_HAL_DRIVERS_SYSTICK_H
#define TOCSIN_HAL_DRIVERS_SYSTICK_H

#include <stdint.h>

/* clock_hz: of the processor, at most 167 MHz and a whole number of kHz. */
void systick_init(uint32_t clock_hz);

#endif
