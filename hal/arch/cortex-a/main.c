/* main.c - the C half of the start-up, memory protection and interrupts of an ARMv7-A core. */
#include "cortex_a.h"

#include "hal/arch.h"
#include "hal/crash.h"
#include "hal/mmio.h"
#include "hal/start.h"

int main(void);

void cortex_a_main(void)
{
    start_memory();
    cortex_a_mmu_init();

    (void)main();
    board_panic("main returned", __FILE__, __LINE__);
}

/* --- Memory: sections of a megabyte (ARM DDI 0406C, B3.5) --- */

#define SECTION (2u << 0)
#define SECTION_B (1u << 2)
#define SECTION_C (1u << 3)
#define SECTION_XN (1u << 4)
#define SECTION_AP_PRIVILEGED (1u << 10)
#define SECTION_TEX_1 (1u << 12)
#define SECTION_APX_READ_ONLY (1u << 15)

#define TTBCR_N_2_GB 1u     /* TTBR0 covers the low half, */
#define TTBCR_PD1 (1u << 5) /* and nothing is in the high one. */
#define DACR_CLIENT_0 1u    /* The sections' own permissions hold. */
#define SCTLR_ON ((1u << 0) | (1u << 2) | (1u << 11) | (1u << 12)) /* M, C, Z, I. */

static uint32_t table[2048] __attribute__((aligned(8192)));

void cortex_a_mmu_init(void)
{
    static const uint32_t attributes[] = {
        [MEMORY_CODE] = SECTION_TEX_1 | SECTION_C | SECTION_B | SECTION_APX_READ_ONLY,
        [MEMORY_DATA] = SECTION_TEX_1 | SECTION_C | SECTION_B | SECTION_XN,
        [MEMORY_UNCACHED] = SECTION_TEX_1 | SECTION_XN,
        [MEMORY_DEVICE] = SECTION_B | SECTION_XN,
    };
    uint32_t control;

    for (const struct memory_region *region = board_memory; region->megabytes > 0; region++) {
        for (uint32_t i = 0; i < region->megabytes; i++) {
            uint32_t section = (region->base >> 20) + i;
            table[section] =
                section << 20 | attributes[region->kind] | SECTION_AP_PRIVILEGED | SECTION;
        }
    }
    arch_barrier();
    __asm volatile("mcr p15, 0, %0, c2, c0, 2" ::"r"(TTBCR_PD1 | TTBCR_N_2_GB));
    __asm volatile("mcr p15, 0, %0, c2, c0, 0" ::"r"(table));
    __asm volatile("mcr p15, 0, %0, c3, c0, 0" ::"r"(DACR_CLIENT_0));
    __asm volatile("isb\n\t"
                   "mrc p15, 0, %0, c1, c0, 0\n\t"
                   "orr %0, %0, %1\n\t"
                   "mcr p15, 0, %0, c1, c0, 0\n\t"
                   "isb"
                   : "=&r"(control)
                   : "r"(SCTLR_ON)
                   : "memory");
}

/* --- Interrupts --- */

#define ICDDCR (board_gic_distributor + 0x000)
#define ICDICTR (board_gic_distributor + 0x004) /* Bits 0-4: groups of 32 lines, less one. */
#define ICDISER (board_gic_distributor + 0x100)
#define ICDICER (board_gic_distributor + 0x180)
#define ICDICPR (board_gic_distributor + 0x280)
#define ICDIPR (board_gic_distributor + 0x400)  /* A byte a line. */
#define ICDIPTR (board_gic_distributor + 0x800) /* Likewise. */
#define ICCICR (board_gic_cpu + 0x00)
#define ICCPMR (board_gic_cpu + 0x04)
#define ICCIAR (board_gic_cpu + 0x0C)
#define ICCEOIR (board_gic_cpu + 0x10)

#define IAR_ID 0x3FFu
#define ID_SPURIOUS 1020u /* And above. */

void irq_init(void)
{
    uint32_t groups = (mmio_read(ICDICTR) & 31u) + 1;

    mmio_write(ICDDCR, 0);
    for (uint32_t i = 0; i < groups; i++) {
        mmio_write(ICDICER + 4 * i, 0xFFFFFFFFu);
        mmio_write(ICDICPR + 4 * i, 0xFFFFFFFFu);
    }
    for (uint32_t line = 0; line < 32 * groups; line += 4) {
        mmio_write(ICDIPR + line, 0xA0A0A0A0u);
        mmio_write(ICDIPTR + line, 0x01010101u); /* All to the first core. */
    }
    mmio_write(ICDDCR, 1);
    mmio_write(ICCPMR, 0xFF);
    mmio_write(ICCICR, 1);
    arch_barrier();
    __asm volatile("cpsie i" ::: "memory");
}

void irq_enable(unsigned number)
{
    mmio_write(ICDISER + 4 * (number / 32), 1u << (number % 32));
}

void cortex_a_irq(void)
{
    uint32_t acknowledge = mmio_read(ICCIAR);

    if ((acknowledge & IAR_ID) < ID_SPURIOUS) {
        board_irq(acknowledge & IAR_ID);
        arch_barrier();
        mmio_write(ICCEOIR, acknowledge);
    }
}

#define CPSR_I (1u << 7)

uint32_t irq_lock(void)
{
    uint32_t state;

    __asm volatile("mrs %0, cpsr\n\tcpsid i" : "=r"(state)::"memory");
    return state;
}

void irq_unlock(uint32_t state)
{
    if (!(state & CPSR_I)) {
        __asm volatile("cpsie i" ::: "memory");
    }
}

void irq_wait(void)
{
    __asm volatile("dsb\n\twfi\n\tisb" ::: "memory");
}
