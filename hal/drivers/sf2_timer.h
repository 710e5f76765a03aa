/* sf2_timer.h - timer 1 of the SmartFusion2's MSS, one-shot, as the alarm that ends a sleep
 * (UG0331).
 *
 * It only wakes; what time it is comes from elsewhere, so its exact rate does not matter.
 */
#ifndef TOCSIN_HAL_DRIVERS_SF2_TIMER_H
#define TOCSIN_HAL_DRIVERS_SF2_TIMER_H

#include <stdint.h>

/* clock_hz: of APB0. */
void sf2_timer_init(uint32_t clock_hz);
void sf2_timer_interrupt(void);

#endif
