/* board.c - Linux. */
#include "hal/board.h"

#include "boards/linux/geometry.h"
#include "boards/linux/host.h"
#include "net/posix/link_posix.h"
#include "net/text.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#if defined __x86_64__
#define CPU "x86-64"
#elif defined __i386__
#define CPU "x86"
#elif defined __aarch64__
#define CPU "ARM64"
#elif defined __arm__
#define CPU "ARM"
#elif defined __mips__
#define CPU "MIPS"
#elif defined __riscv
#define CPU "RISC-V"
#elif defined __powerpc__
#define CPU "PowerPC"
#else
#define CPU "another CPU"
#endif

struct host board_host;

void host_start(enum reset_cause cause)
{
    board_host.cause = cause;
    board_host.start_ms = posix_monotonic_ms() - 1; /* 0 is no time to the app. */
}

static void nothing_to_begin(void)
{
}

static uint64_t millis(void)
{
    return posix_monotonic_ms() - board_host.start_ms;
}

static uint32_t ticks(void)
{
    struct timespec now = {0, 0};

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)now.tv_sec * 1000000000u + (uint32_t)now.tv_nsec;
}

static int console_getc(void)
{
    return board_host.getc();
}

static void console_write(const char *text, size_t size)
{
    board_host.write(text, size);
}

static enum reset_cause reset_cause(void)
{
    return board_host.cause;
}

static const char *reset_detail(void)
{
    return board_host.detail;
}

__attribute__((noreturn)) static void reset(enum reset_cause why)
{
    board_host.reset(why);
}

/* "VmStk:      132 kB": the kernel's own figure; a stack's pages never become fewer. */
static size_t stack_used_max(void)
{
    char text[4096];
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    const char *at;
    size_t kb = 0;

    if (fd >= 0) {
        (void)close(fd);
    }
    text[got > 0 ? got : 0] = '\0';
    at = strstr(text, "VmStk:");
    for (at = at != NULL ? at + strcspn(at, "0123456789\n") : ""; *at >= '0' && *at <= '9'; at++) {
        kb = kb * 10 + (size_t)(*at - '0');
    }
    return kb * 1024;
}

static size_t stack_bytes(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur < UINT32_MAX
               ? (size_t)limit.rlim_cur
               : UINT32_MAX;
}

const struct board board = {
    .name = BOARD_NAME,
    .cpu = CPU,
    .init = nothing_to_begin,
    .millis = millis,
    .ticks = ticks,
    .console_getc = console_getc,
    .console_write = console_write,
    .flash = &board_host.file.flash,
    .random = posix_random,
    .reset_cause = reset_cause,
    .reset_detail = reset_detail,
    .reset = reset,
    .stack_used_max = stack_used_max,
    .stack_bytes = stack_bytes,
};
