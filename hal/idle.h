/* idle.h - sleeping without missing anything.
 *
 * The main loop looks at its devices and then calls idle_for(). An interrupt handler that has
 * something for the main loop calls idle_wake(); when that came since idle_for() last returned,
 * idle_for() does not sleep at all, so nothing falls between looking and sleeping.
 */
#ifndef TOCSIN_HAL_IDLE_H
#define TOCSIN_HAL_IDLE_H

#include <stdint.h>

/* WFI until idle_wake() or about ms_max. Interrupts that nobody waits for (the clock's own) sleep
 * on. */
void idle_for(uint32_t ms_max);

/* From an interrupt handler. */
void idle_wake(void);

#endif
