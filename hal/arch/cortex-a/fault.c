/* fault.c - a CPU exception: registers and the reason go to the console and into the crash record;
 * reset. */
#include "cortex_a.h"

#include "hal/crash.h"
#include "hal/start.h"

enum fault_kind { FAULT_UNDEFINED, FAULT_PREFETCH, FAULT_DATA, FAULT_CALL };

/* As startup.S stores them; .noinit, since .bss may be what is broken. */
struct fault_frame {
    uint32_t r[13];
    uint32_t sp, lr, pc, cpsr, kind;
};

struct fault_frame fault_frame __attribute__((section(".noinit"), used));

void cortex_a_fault(void) __attribute__((noreturn, used));

struct words {
    uint32_t status;
    const char *text;
};

/* The fault status's five bits (ARM DDI 0406C, table B3-23). */
static const struct words status_words[] = {
    {0x01, "unaligned access"},
    {0x05, "access not allowed there, for nothing is there"},
    {0x07, "access not allowed there, for nothing is there"},
    {0x08, "bus error"},
    {0x0D, "access not allowed there"},
    {0x0F, "access not allowed there"},
    {0x16, "bus error of an earlier access"},
};

static uint32_t status_bits(uint32_t register_value)
{
    return (register_value & 15u) | (register_value >> 6 & 16u);
}

static void note_status(uint32_t register_value)
{
    for (size_t i = 0; i < sizeof status_words / sizeof status_words[0]; i++) {
        if (status_words[i].status == status_bits(register_value)) {
            crash_note(": ");
            crash_note(status_words[i].text);
        }
    }
}

/* A push that faults leaves the pointer where it was, just above the bottom. */
static bool stack_bad(uint32_t sp)
{
    return sp < (uint32_t)(uintptr_t)__stack_bottom + 256 || sp > (uint32_t)(uintptr_t)__stack_top;
}

static void fault_registers(const struct fault_frame *frame)
{
    static const char *const names[13] = {"r0", "r1", "r2", "r3",  "r4",  "r5", "r6",
                                          "r7", "r8", "r9", "r10", "r11", "r12"};

    for (unsigned i = 0; i < 13; i++) {
        crash_print_register(names[i], frame->r[i]);
        crash_print(i % 5 == 4 ? "\r\n" : "");
    }
    crash_print_register("sp", frame->sp);
    crash_print_register("cpsr", frame->cpsr);
    crash_print("\r\n");
}

static void fault_status(const struct fault_frame *frame)
{
    uint32_t status;
    uint32_t address;

    if (frame->kind == FAULT_DATA) {
        __asm volatile("mrc p15, 0, %0, c5, c0, 0" : "=r"(status));
        __asm volatile("mrc p15, 0, %0, c6, c0, 0" : "=r"(address));
        note_status(status);
        crash_note_register("dfsr", status);
        crash_note_register("dfar", address);
    } else if (frame->kind == FAULT_PREFETCH) {
        __asm volatile("mrc p15, 0, %0, c5, c0, 1" : "=r"(status));
        __asm volatile("mrc p15, 0, %0, c6, c0, 2" : "=r"(address));
        note_status(status);
        crash_note_register("ifsr", status);
        crash_note_register("ifar", address);
    }
}

void cortex_a_fault(void)
{
    static const char *const names[] = {"undefined instruction", "prefetch abort", "data abort",
                                        "unexpected exception"};
    const struct fault_frame *frame = &fault_frame;

    if (crash_begin()) {
        crash_print("\r\n*** ");
        crash_note(names[frame->kind & 3u]);
        if (stack_bad(frame->sp)) {
            crash_note(": stack overflow or bad stack pointer");
        }
        fault_status(frame);
        crash_print("\r\n");
        fault_registers(frame);
        crash_note_register("pc", frame->pc);
        crash_note_register("lr", frame->lr);
        crash_print("\r\n*** resetting\r\n");
    }
    board.reset(RESET_FAULT);
}
