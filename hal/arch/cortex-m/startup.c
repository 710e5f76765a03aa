/* startup.c - from the reset vector to main(), and the vector table (ARM DDI 0403E, B1.5). */
#include "cortex_m.h"

#include "hal/arch.h"
#include "hal/crash.h"
#include "hal/mmio.h"
#include "hal/start.h"

#include <stddef.h>

/* The SmartFusion2 has 81 lines (UG0331); a line that nobody enables costs four bytes here. */
#define IRQ_COUNT 96u

int main(void);

static void irq_entry(void)
{
    board_irq((mmio_read(SCB_ICSR) & SCB_ICSR_VECTACTIVE) - EXCEPTION_IRQ0);
}

struct vectors {
    uint32_t *stack_top;
    void (*handlers[15])(void);
    void (*irqs[IRQ_COUNT])(void);
};

static const struct vectors vectors __attribute__((section(".vectors"), used)) = {
    .stack_top = __stack_top,
    .handlers =
        {
            reset_entry,
            fault_entry,
            fault_entry,
            fault_entry,
            fault_entry,
            fault_entry,
            fault_entry,
            fault_entry,
            fault_entry,
            fault_entry,
            fault_entry,
            fault_entry,
            fault_entry,
            fault_entry,
            systick_interrupt,
        },
    .irqs = {[0 ... IRQ_COUNT - 1] = irq_entry},
};

/* What a stray pointer does most: read or write through NULL, and jump into data. The vectors
 * themselves are fetched past the MPU. */
static void protect(void)
{
    if ((mmio_read(MPU_TYPE) & MPU_TYPE_DREGION) == 0) {
        return;
    }
    mmio_write(MPU_RBAR, 0x20000000u | MPU_RBAR_VALID | 0u);
    mmio_write(MPU_RASR, MPU_RASR_XN | MPU_RASR_AP_FULL | MPU_RASR_NORMAL | MPU_RASR_SIZE(29u) |
                             MPU_RASR_ENABLE);
    mmio_write(MPU_RBAR, 0u | MPU_RBAR_VALID | 1u);
    mmio_write(MPU_RASR, MPU_RASR_XN | MPU_RASR_AP_NONE | MPU_RASR_NORMAL | MPU_RASR_SIZE(8u) |
                             MPU_RASR_ENABLE);
    mmio_write(MPU_CTRL, MPU_CTRL_PRIVDEFENA | MPU_CTRL_ENABLE);
    arch_barrier();
    __asm volatile("isb");
}

void reset_entry(void)
{
    start_memory();
    mmio_write(SCB_VTOR, (uint32_t)(uintptr_t)&vectors);
    mmio_set(SCB_SHCSR, SCB_SHCSR_MEMFAULTENA | SCB_SHCSR_BUSFAULTENA | SCB_SHCSR_USGFAULTENA);
    mmio_set(SCB_CCR, SCB_CCR_DIV_0_TRP);
    arch_barrier();
    protect();

    (void)main();
    board_panic("main returned", __FILE__, __LINE__);
}

void irq_init(void)
{
    for (unsigned i = 0; i < IRQ_COUNT / 32; i++) {
        mmio_write(NVIC_ICER + 4 * i, 0xFFFFFFFFu);
        mmio_write(NVIC_ICPR + 4 * i, 0xFFFFFFFFu);
    }
    arch_barrier();
    __asm volatile("cpsie i" ::: "memory");
}

void irq_enable(unsigned number)
{
    mmio_write(NVIC_ISER + 4 * (number / 32), 1u << (number % 32));
}

uint32_t irq_lock(void)
{
    uint32_t state;

    __asm volatile("mrs %0, primask\n\tcpsid i" : "=r"(state)::"memory");
    return state;
}

void irq_unlock(uint32_t state)
{
    __asm volatile("msr primask, %0" ::"r"(state) : "memory");
}

void irq_wait(void)
{
    __asm volatile("dsb\n\twfi\n\tisb" ::: "memory");
}

void cortex_m_reset(void)
{
    for (;;) {
        arch_barrier();
        mmio_write(SCB_AIRCR, SCB_AIRCR_VECTKEY | SCB_AIRCR_SYSRESETREQ);
        arch_barrier();
    }
}
