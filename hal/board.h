/* board.h - what a board fills in, and all that the device knows of one.
 *
 * boards/NAME/board.c defines `const struct board board`. Where a board lacks something, the
 * pointer is NULL and the device does without it and says so. Nothing here waits without a bound,
 * except idle(), which returns at the next interrupt.
 */
#ifndef TOCSIN_HAL_BOARD_H
#define TOCSIN_HAL_BOARD_H

#include "hal/flash.h"
#include "hal/nic.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum reset_cause {
    RESET_POWER_ON, /* Or unknown. */
    RESET_COMMAND,  /* A person typed `reboot`. */
    RESET_FAULT,    /* A CPU exception or a failed assertion; see reset_detail(). */
    RESET_WATCHDOG,
    RESET_EXTERNAL /* RAM survived, but nobody on the device asked for it. */
};

struct board {
    const char *name;
    const char *cpu; /* "Cortex-M3 at 142 MHz" */

    void (*init)(void); /* Clocks, console, interrupts; called once, first. */

    uint64_t (*millis)(void); /* Monotonic milliseconds since reset. */
    uint32_t (*ticks)(void);  /* The fastest counter there is, for timing entropy. */
    void (*idle)(
        uint32_t ms_max); /* WFI until an interrupt or about ms_max; race-free with wake-ups. */

    /* Console: getc returns -1 when nothing is there; write returns within a bound, dropping the
     * rest. */
    int (*console_getc)(void);
    void (*console_write)(const char *text, size_t size);

    const struct flash *flash;
    const struct nic *nic;

    int (*random)(void *out, size_t size); /* Hardware generator; NULL: none. 0 or E_IO. */
    int (*rtc_read)(uint64_t *unix_s);     /* NULL: none. E_MISSING: not set. */
    int (*rtc_write)(uint64_t unix_s);     /* NULL: read-only or none. */

    enum reset_cause (*reset_cause)(void);
    const char *(*reset_detail)(void); /* "HardFault pc=0x1234 ..." or "". */
    __attribute__((noreturn)) void (*reset)(enum reset_cause why);

    size_t (*stack_used_max)(void); /* Deepest use of the painted stack so far, in bytes. */
    size_t (*stack_bytes)(void);
};

extern const struct board board;

/* A programmer's mistake: prints the place, records it as a RESET_FAULT and resets. */
void board_panic(const char *what, const char *file, int line) __attribute__((noreturn));

#endif
