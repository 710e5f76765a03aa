#include "hal/crash.h"

#include "hal/arch.h"

#include <stdlib.h>
#include <string.h>

#define RECORD_MAGIC 0x54435243u /* "CRCT" */
#define DETAIL_BYTES 240

/* Outside .bss and out of every loaded segment: no start-up and no loader touches it. */
struct record {
    uint32_t magic;
    uint32_t cause;  /* That the next boot will report. */
    uint32_t length; /* Of detail, without NUL. */
    char detail[DETAIL_BYTES];
    uint32_t sum;
};

static struct record record __attribute__((section(".noinit")));
static enum reset_cause boot_cause;
static bool crashing;

/* FNV-1a over all but the sum. */
static uint32_t record_sum(void)
{
    const uint8_t *bytes = (const uint8_t *)&record;
    uint32_t sum = 2166136261u;

    for (size_t i = 0; i < offsetof(struct record, sum); i++) {
        sum = (sum ^ bytes[i]) * 16777619u;
    }
    return sum;
}

static void record_seal(void)
{
    record.sum = record_sum();
    arch_barrier();
}

void crash_boot(void)
{
    bool valid = record.magic == RECORD_MAGIC && record.sum == record_sum() &&
                 record.length < DETAIL_BYTES && record.cause <= RESET_EXTERNAL;

    if (valid) {
        boot_cause = (enum reset_cause)record.cause;
    } else {
        memset(&record, 0, sizeof record);
        record.magic = RECORD_MAGIC;
        boot_cause = RESET_POWER_ON;
    }
    /* A reset that nobody announces through crash_mark() comes from outside. */
    record.cause = RESET_EXTERNAL;
    record_seal();
}

enum reset_cause crash_cause(void)
{
    return boot_cause;
}

const char *crash_detail(void)
{
    return boot_cause == RESET_FAULT ? record.detail : "";
}

void crash_mark(enum reset_cause why)
{
    record.magic = RECORD_MAGIC;
    record.cause = (uint32_t)why;
    record_seal();
}

bool crash_begin(void)
{
    if (crashing) {
        return false;
    }
    crashing = true;
    record.length = 0;
    record.detail[0] = '\0';
    crash_mark(RESET_FAULT);
    return true;
}

void crash_print(const char *text)
{
    board.console_write(text, strlen(text));
}

static void register_text(char out[24], const char *name, uint32_t value)
{
    size_t n = 0;

    out[n++] = ' ';
    while (*name != '\0' && n < 12) {
        out[n++] = *name++;
    }
    out[n++] = '=';
    for (int shift = 28; shift >= 0; shift -= 4) {
        out[n++] = "0123456789abcdef"[(value >> shift) & 15u];
    }
    out[n] = '\0';
}

void crash_print_register(const char *name, uint32_t value)
{
    char text[24];

    register_text(text, name, value);
    crash_print(text);
}

void crash_note(const char *text)
{
    crash_print(text);
    while (*text != '\0' && record.length + 1 < DETAIL_BYTES) {
        record.detail[record.length++] = *text++;
    }
    record.detail[record.length] = '\0';
    record_seal();
}

void crash_note_register(const char *name, uint32_t value)
{
    char text[24];

    register_text(text, name, value);
    crash_note(text);
}

static void note_decimal(unsigned value)
{
    char digits[11];
    size_t n = sizeof digits;

    digits[--n] = '\0';
    do {
        digits[--n] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    crash_note(&digits[n]);
}

void board_panic(const char *what, const char *file, int line)
{
    (void)irq_lock();
    if (crash_begin()) {
        crash_print("\r\n*** ");
        crash_note("panic: ");
        crash_note(what);
        crash_note(" at ");
        crash_note(file);
        crash_note(":");
        note_decimal(line > 0 ? (unsigned)line : 0);
        crash_note_register("lr", (uint32_t)(uintptr_t)__builtin_return_address(0));
        crash_print("\r\n*** resetting\r\n");
    }
    board.reset(RESET_FAULT);
}

/* What the C library calls when an assert() fails or abort() is reached. */
void __assert_func(const char *file, int line, const char *function, const char *expression)
    __attribute__((noreturn));

void __assert_func(const char *file, int line, const char *function, const char *expression)
{
    (void)function;
    board_panic(expression, file, line);
}

void abort(void)
{
    board_panic("abort", "C library", 0);
}
