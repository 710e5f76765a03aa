/* start.h - RAM as main() finds it, and how deep the stack has been.
 *
 * The start-up of each architecture calls start_memory() as soon as it has a stack pointer.
 */
#ifndef TOCSIN_HAL_START_H
#define TOCSIN_HAL_START_H

#include <stddef.h>
#include <stdint.h>

/* Given by hal/sections.ld. */
extern uint32_t __stack_bottom[], __stack_top[];

/* Paints the stack below the caller's frame, copies .data and clears .bss. */
void start_memory(void);

/* Deepest use of the stack so far, found by its paint, and its size; in bytes. */
size_t stack_used_max(void);
size_t stack_bytes(void);

#endif
