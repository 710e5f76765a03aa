#include "hal/start.h"

#define PAINT 0x7C57AC4Bu

extern uint32_t __data_start[], __data_end[], __bss_start[], __bss_end[];
extern const uint32_t __data_load[];

/* Between two symbols of the linker, which are addresses and not pieces of one object. */
static size_t words(const uint32_t *from, const uint32_t *to)
{
    return ((uintptr_t)to - (uintptr_t)from) / sizeof *from;
}

void start_memory(void)
{
    uint32_t *frame;

    __asm volatile("mov %0, sp" : "=r"(frame));
    for (size_t i = 0, count = words(__stack_bottom, frame); i < count; i++) {
        *(volatile uint32_t *)&__stack_bottom[i] = PAINT;
    }
    for (size_t i = 0, count = words(__data_start, __data_end); i < count; i++) {
        __data_start[i] = __data_load[i];
    }
    for (size_t i = 0, count = words(__bss_start, __bss_end); i < count; i++) {
        __bss_start[i] = 0;
    }
}

size_t stack_bytes(void)
{
    return words(__stack_bottom, __stack_top) * sizeof(uint32_t);
}

size_t stack_used_max(void)
{
    size_t count = words(__stack_bottom, __stack_top);
    size_t unused = 0;

    while (unused < count && __stack_bottom[unused] == PAINT) {
        unused++;
    }
    return (count - unused) * sizeof(uint32_t);
}
