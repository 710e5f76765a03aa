/* cortex_a.h - an ARMv7-A core with a GIC, in secure supervisor mode (ARM DDI 0406C). */
#ifndef TOCSIN_HAL_ARCH_CORTEX_A_H
#define TOCSIN_HAL_ARCH_CORTEX_A_H

#include <stdint.h>

/* What a board's memory is like, in whole megabytes below 2 GB; all else faults when touched. */
enum memory_kind {
    MEMORY_CODE,     /* Cached, executable, read-only. */
    MEMORY_DATA,     /* Cached, writable, never executed. */
    MEMORY_UNCACHED, /* Writable; what must be in RAM when the power of the core goes. */
    MEMORY_DEVICE
};

struct memory_region {
    uint32_t base;
    uint32_t megabytes;
    enum memory_kind kind;
};

/* The board's; the last has no megabytes. */
extern const struct memory_region board_memory[];

/* The generic interrupt controller (ARM IHI 0048B): distributor and CPU interface. */
extern const uintptr_t board_gic_distributor;
extern const uintptr_t board_gic_cpu;

/* Called by the start-up. */
void cortex_a_main(void) __attribute__((noreturn));
void cortex_a_mmu_init(void);
void cortex_a_irq(void);

#endif
