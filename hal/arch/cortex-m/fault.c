/* fault.c - a CPU exception: registers and the reason go to the console and into the crash record;
 * reset. */
#include "cortex_m.h"

#include "hal/crash.h"
#include "hal/mmio.h"

#include <string.h>

#define CFSR_DIVBYZERO 25 /* The last bit of CFSR. */

/* As fault_entry stores them; .noinit, since .bss may be what is broken. */
struct fault_frame {
    uint32_t live[13];   /* r0 to r12 on entry to the handler. */
    uint32_t sp;         /* Main stack pointer there. */
    uint32_t stacked[8]; /* r0-r3, r12, lr, pc, xpsr; zeros when sp points outside of the stack. */
};

/* The assembler below knows these two by name, so they are not static. */
extern struct fault_frame fault_frame;
struct fault_frame fault_frame __attribute__((section(".noinit"), used));

void fault_report(void) __attribute__((used, noreturn));

/* No stack may be used before the pointer is known to be good, and what it held is saved first. The
 * stack is begun anew, for nothing returns from here. */
__attribute__((naked)) void fault_entry(void)
{
    __asm volatile("cpsid i\n\t"
                   "ldr lr, =fault_frame\n\t"
                   "stmia lr!, {r0-r12}\n\t"
                   "mrs r0, msp\n\t"
                   "stmia lr!, {r0}\n\t"
                   "movs r2, #0\n\t"
                   "movs r3, #0\n\t"
                   "movs r4, #0\n\t"
                   "movs r5, #0\n\t"
                   "movs r6, #0\n\t"
                   "movs r7, #0\n\t"
                   "mov r8, r2\n\t"
                   "mov r9, r2\n\t"
                   "ldr r1, =__stack_bottom\n\t"
                   "cmp r0, r1\n\t"
                   "blo 1f\n\t"
                   "ldr r1, =__stack_top - 32\n\t"
                   "cmp r0, r1\n\t"
                   "bhi 1f\n\t"
                   "tst r0, #3\n\t"
                   "bne 1f\n\t"
                   "ldmia r0, {r2-r9}\n\t"
                   "1: stmia lr!, {r2-r9}\n\t"
                   "ldr r0, =__stack_top\n\t"
                   "msr msp, r0\n\t"
                   "isb\n\t"
                   "b fault_report\n\t"
                   ".ltorg\n\t");
}

/* CFSR's bits from 0 on by the manual's names, which a person finds in it and in any guide to such
 * faults: MMFSR in bits 0-7, BFSR in 8-15, UFSR in 16-31 (ARM DDI 0403E, B3.2.15). */
static const char cfsr_names[] = "IACCVIOL\0DACCVIOL\0\0MUNSTKERR\0MSTKERR\0\0\0\0"
                                 "IBUSERR\0PRECISERR\0IMPRECISERR\0UNSTKERR\0STKERR\0\0\0\0"
                                 "UNDEFINSTR\0INVSTATE\0INVPC\0NOCP\0\0\0\0\0UNALIGNED\0DIVBYZERO";

/* ICSR's number counts from EXCEPTION_NMI. */
static const char exception_names[] = "NMI\0HardFault\0MemManage\0BusFault\0UsageFault";

/* Of texts with a NUL between them. */
static const char *name_of(const char *names, uint32_t number)
{
    while (number-- > 0) {
        names += strlen(names) + 1;
    }
    return names;
}

static const char *exception_name(uint32_t exception)
{
    return exception >= EXCEPTION_NMI && exception <= EXCEPTION_USAGE_FAULT
               ? name_of(exception_names, exception - EXCEPTION_NMI)
               : "unexpected exception";
}

static void fault_reason(uint32_t cfsr, uint32_t hfsr, bool stack_bad)
{
    if (stack_bad) {
        crash_note(": stack overflow or bad stack pointer");
    }
    if (hfsr & (1u << 1)) {
        crash_note(": VECTTBL");
    }
    for (uint32_t bit = 0; bit <= CFSR_DIVBYZERO; bit++) {
        const char *name = name_of(cfsr_names, bit);

        if ((cfsr >> bit & 1u) != 0 && *name != '\0') {
            crash_note(": ");
            crash_note(name);
        }
    }
}

static void fault_registers(const struct fault_frame *frame, bool stack_bad)
{
    static const char names[] = "r0\0r1\0r2\0r3\0r4\0r5\0r6\0r7\0r8\0r9\0r10\0r11\0r12";
    /* Bit 9 of xPSR: the CPU moved sp down by one word to align it. */
    uint32_t sp = frame->sp + 32 + (((frame->stacked[7] >> 9) & 1u) ? 4 : 0);

    for (unsigned i = 0; i < 13; i++) {
        uint32_t value = frame->live[i];
        if (!stack_bad && (i < 4 || i == 12)) {
            value = frame->stacked[i < 4 ? i : 4];
        }
        crash_print_register(name_of(names, i), value);
        crash_print(i % 5 == 4 ? "\r\n" : "");
    }
    crash_print_register("sp", stack_bad ? frame->sp : sp);
    crash_print_register("xpsr", frame->stacked[7]);
    crash_print("\r\n");
}

void fault_report(void)
{
    const struct fault_frame *frame = &fault_frame;

    if (crash_begin()) {
        uint32_t cfsr = mmio_read(SCB_CFSR);
        uint32_t hfsr = mmio_read(SCB_HFSR);
        bool stack_bad = frame->stacked[6] == 0 && frame->stacked[7] == 0;

        crash_print("\r\n*** ");
        crash_note(exception_name(mmio_read(SCB_ICSR) & SCB_ICSR_VECTACTIVE));
        fault_reason(cfsr, hfsr, stack_bad);
        crash_print("\r\n");
        fault_registers(frame, stack_bad);
        crash_note_register("pc", frame->stacked[6]);
        crash_note_register("lr", frame->stacked[5]);
        crash_note_register("cfsr", cfsr);
        crash_note_register("hfsr", hfsr);
        if (cfsr & (1u << 7)) {
            crash_note_register("mmfar", mmio_read(SCB_MMFAR));
        }
        if (cfsr & (1u << 15)) {
            crash_note_register("bfar", mmio_read(SCB_BFAR));
        }
        crash_print("\r\n*** resetting\r\n");
    }
    board.reset(RESET_FAULT);
}
