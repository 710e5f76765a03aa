/* host.h - what stands behind hal/board.h on Linux: a file for flash, the kernel's clocks and
 * random numbers, and whoever hosts the app for its console and its resets. */
#ifndef TOCSIN_BOARDS_LINUX_HOST_H
#define TOCSIN_BOARDS_LINUX_HOST_H

#include "boards/linux/flash_file.h"
#include "hal/board.h"

#include <stddef.h>
#include <stdint.h>

/* One a process: a board's functions know no context. */
struct host {
    struct flash_file file;
    uint64_t start_ms; /* Of the monotonic clock, when the app was started. */
    enum reset_cause cause;
    char detail[16]; /* "signal 11"; "": nothing. */
    int (*getc)(void);
    void (*write)(const char *text, size_t size);
    void (*reset)(enum reset_cause why) __attribute__((noreturn));
};

extern struct host board_host;

/* The app starts now, for that reason. */
void host_start(enum reset_cause cause);

#endif
