/* board.c - Emcraft SmartFusion2 SOM (M2S010): Cortex-M3 at 142 MHz, no RTC, no random generator. */
#include "hal/board.h"

#include "geometry.h"
#include "hal/arch/cortex-m/cortex_m.h"
#include "hal/clock.h"
#include "hal/crash.h"
#include "hal/drivers/sf2_timer.h"
#include "hal/drivers/systick.h"
#include "hal/drivers/uart_16550.h"
#include "hal/idle.h"
#include "hal/irq.h"
#include "hal/mmio.h"

#define M3_HZ 142000000u
#define APB0_HZ (M3_HZ / 2)

#define MMUART0_BASE 0x40000000u

/* Interrupt lines (UG0331, "Cortex-M3 processor interrupts"). */
#define IRQ_MMUART0 10u
#define IRQ_TIMER1 14u

/* What must leave soft reset: held there by the chip's own reset (UG0331, "System register block"). */
#define SYSREG_SOFT_RESET_CR 0x40038048u
#define SOFT_RESET_MAC (1u << 4)
#define SOFT_RESET_TIMER (1u << 6)
#define SOFT_RESET_MMUART0 (1u << 7)
#define SOFT_RESET_SPI0 (1u << 9)

static struct uart_16550 console;

static void board_init(void)
{
    mmio_clear(SYSREG_SOFT_RESET_CR,
               SOFT_RESET_MAC | SOFT_RESET_TIMER | SOFT_RESET_MMUART0 | SOFT_RESET_SPI0);
    systick_init(M3_HZ);
    sf2_timer_init(APB0_HZ);
    uart_16550_init(&console, MMUART0_BASE, APB0_HZ, 115200);
    crash_boot();
    irq_init();
    irq_enable(IRQ_MMUART0);
    irq_enable(IRQ_TIMER1);
}

void board_irq(unsigned number)
{
    switch (number) {
    case IRQ_MMUART0:
        uart_16550_interrupt(&console);
        break;
    case IRQ_TIMER1:
        sf2_timer_interrupt();
        break;
    default:
        board_panic("interrupt without a handler", __FILE__, (int)number);
    }
}

static int console_getc(void) { return uart_16550_getc(&console); }

static void console_write(const char *text, size_t size)
{
    uart_16550_write(&console, text, size);
}

__attribute__((noreturn)) static void board_reset(enum reset_cause why)
{
    crash_mark(why);
    cortex_m_reset();
}

const struct board board = {
    .name = BOARD_NAME,
    .cpu = "Cortex-M3 at 142 MHz",
    .init = board_init,
    .millis = clock_millis,
    .ticks = clock_ticks,
    .idle = idle_for,
    .console_getc = console_getc,
    .console_write = console_write,
    .reset_cause = crash_cause,
    .reset_detail = crash_detail,
    .reset = board_reset,
    .stack_used_max = stack_used_max,
    .stack_bytes = stack_bytes,
};
