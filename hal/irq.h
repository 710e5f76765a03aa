/* irq.h - interrupts, as each architecture's start-up provides them.
 *
 * Handlers do no work: they move bytes into a ring or mask their source, call idle_wake() and
 * return. Numbers are those of the board's interrupt controller.
 */
#ifndef TOCSIN_HAL_IRQ_H
#define TOCSIN_HAL_IRQ_H

#include <stdint.h>

/* Prepares the interrupt controller with every source off, then lets the CPU take interrupts. */
void irq_init(void);

/* Lets one source through. */
void irq_enable(unsigned number);

/* Holds interrupts off; the result goes back to irq_unlock, so that the pairs nest. */
uint32_t irq_lock(void);
void irq_unlock(uint32_t state);

/* WFI: returns when an interrupt is pending, also while irq_lock() holds it off. */
void irq_wait(void);

/* The board's: called for each interrupt that the CPU takes. */
void board_irq(unsigned number);

#endif
