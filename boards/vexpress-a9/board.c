/* board.c - ARM Versatile Express, motherboard V2M-P1 with a CoreTile Express A9x4 (legacy memory
 * map). */
#include "hal/board.h"

#include "geometry.h"
#include "hal/arch/cortex-a/cortex_a.h"
#include "hal/clock.h"
#include "hal/crash.h"
#include "hal/drivers/cfi_nor.h"
#include "hal/drivers/lan9118.h"
#include "hal/drivers/pl011.h"
#include "hal/drivers/pl031.h"
#include "hal/drivers/sp804.h"
#include "hal/idle.h"
#include "hal/irq.h"
#include "hal/mmio.h"
#include "hal/start.h"

/* Motherboard (ARM DUI 0447J, table 4-2). */
#define SYSREGS_BASE 0x10000000u
#define SYS_CFGDATA (SYSREGS_BASE + 0xA0)
#define SYS_CFGCTRL (SYSREGS_BASE + 0xA4)
#define SYS_CFGCTRL_START (1u << 31)
#define SYS_CFGCTRL_WRITE (1u << 30)
#define SYS_CFGCTRL_REBOOT (9u << 20)
#define SCCTRL 0x10001000u
#define SCCTRL_TIMERS_1_MHZ ((1u << 15) | (1u << 17)) /* Not the 32 kHz that they wake up with. */
#define UART0_BASE 0x10009000u
#define UART_HZ 24000000u
#define TIMER01_BASE 0x10011000u
#define TIMER_HZ 1000000u
#define RTC_BASE 0x10017000u
#define NOR1_BASE 0x44000000u
#define ETHERNET_BASE 0x4E000000u

/* Core tile: the A9's private region (ARM DDI 0407, 1.5). */
#define GLOBAL_TIMER_LOW 0x1E000200u
#define GLOBAL_TIMER_CONTROL 0x1E000208u

/* Motherboard interrupts begin at line 32 of the GIC. */
#define IRQ_TIMER01 (32u + 2)
#define IRQ_UART0 (32u + 5)
#define IRQ_ETHERNET (32u + 15)

const uintptr_t board_gic_distributor = 0x1E001000u;
const uintptr_t board_gic_cpu = 0x1E000100u;

const struct memory_region board_memory[] = {
    {0x10000000u, 2, MEMORY_DEVICE}, /* Motherboard and tile peripherals. */
    {0x1E000000u, 1, MEMORY_DEVICE}, /* The cores' own: GIC, timers. */
    {NOR1_BASE, 64, MEMORY_DEVICE},    {ETHERNET_BASE, 1, MEMORY_DEVICE},
    {0x60000000u, 1, MEMORY_CODE},     {0x60100000u, 1, MEMORY_DATA},
    {0x60200000u, 1, MEMORY_UNCACHED}, {0, 0, MEMORY_DEVICE},
};

static struct pl011 console;
static struct lan9118 ethernet;
static struct cfi_nor nor;

static const struct flash flash = {
    .size_bytes = FLASH_SIZE_BYTES,
    .erase_bytes = FLASH_ERASE_BYTES,
    .page_bytes = FLASH_PAGE_BYTES,
    .program_bytes = FLASH_PROGRAM_BYTES,
    .erased = FLASH_ERASED,
    .config_base = FLASH_CONFIG_BASE,
    .config_bytes = FLASH_CONFIG_BYTES,
    .log_base = FLASH_LOG_BASE,
    .log_bytes = FLASH_LOG_BYTES,
    .context = &nor,
    .read = cfi_nor_read,
    .program = cfi_nor_program,
    .erase = cfi_nor_erase,
};

static const struct nic nic = {
    .context = &ethernet,
    .init = lan9118_init,
    .link_up = lan9118_link_up,
    .send = lan9118_send,
    .rx_buf = lan9118_rx_buf,
    .rx_ack = lan9118_rx_ack,
    .stats = lan9118_stats,
};

static void board_init(void)
{
    mmio_set(SCCTRL, SCCTRL_TIMERS_1_MHZ);
    sp804_init(TIMER01_BASE, TIMER_HZ);
    mmio_write(GLOBAL_TIMER_CONTROL, 1);
    pl011_init(&console, UART0_BASE, UART_HZ, 115200);
    crash_boot();
    lan9118_attach(&ethernet, ETHERNET_BASE);
    (void)cfi_nor_init(&flash, NOR1_BASE); /* Not the parts: every call says E_IO. */
    irq_init();
    irq_enable(IRQ_TIMER01);
    irq_enable(IRQ_UART0);
    irq_enable(IRQ_ETHERNET);
}

void board_irq(unsigned number)
{
    switch (number) {
    case IRQ_TIMER01:
        sp804_interrupt();
        break;
    case IRQ_UART0:
        pl011_interrupt(&console);
        break;
    case IRQ_ETHERNET:
        lan9118_interrupt(&ethernet);
        break;
    default:
        board_panic("interrupt without a handler", __FILE__, (int)number);
    }
}

/* The A9's global timer, which runs with the core. */
static uint32_t board_ticks(void)
{
    return mmio_read(GLOBAL_TIMER_LOW);
}

static int console_getc(void)
{
    return pl011_getc(&console);
}

static void console_write(const char *text, size_t size)
{
    pl011_write(&console, text, size);
}

static int rtc_read(uint64_t *unix_s)
{
    return pl031_read(RTC_BASE, unix_s);
}

static int rtc_write(uint64_t unix_s)
{
    return pl031_write(RTC_BASE, unix_s);
}

__attribute__((noreturn)) static void board_reset(enum reset_cause why)
{
    crash_mark(why);
    for (;;) {
        mmio_write(SYS_CFGDATA, 0);
        mmio_write(SYS_CFGCTRL, SYS_CFGCTRL_START | SYS_CFGCTRL_WRITE | SYS_CFGCTRL_REBOOT);
    }
}

const struct board board = {
    .name = BOARD_NAME,
    .cpu = "Cortex-A9",
    .init = board_init,
    .millis = clock_millis,
    .ticks = board_ticks,
    .idle = idle_for,
    .console_getc = console_getc,
    .console_write = console_write,
    .flash = &flash,
    .nic = &nic,
    .rtc_read = rtc_read,
    .rtc_write = rtc_write,
    .reset_cause = crash_cause,
    .reset_detail = crash_detail,
    .reset = board_reset,
    .stack_used_max = stack_used_max,
    .stack_bytes = stack_bytes,
};
