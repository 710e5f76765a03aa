/* arch.h - what each folder under arch/ provides besides interrupts: memory order and the entry. */
#ifndef TOCSIN_HAL_ARCH_H
#define TOCSIN_HAL_ARCH_H

#include "hal/irq.h"

#include <stdint.h>

/* All memory and device accesses before it are done before any after it. */
static inline void arch_barrier(void)
{
    __asm volatile("dsb" ::: "memory");
}

#endif
