/* board.c - Emcraft SmartFusion2 SOM (M2S010): Cortex-M3 at 142 MHz, no RTC, no random generator.
 */
#include "hal/board.h"

#include "geometry.h"
#include "hal/arch/cortex-m/cortex_m.h"
#include "hal/clock.h"
#include "hal/crash.h"
#include "hal/drivers/sf2_mac.h"
#include "hal/drivers/sf2_spi.h"
#include "hal/drivers/sf2_timer.h"
#include "hal/drivers/spi_nor.h"
#include "hal/drivers/systick.h"
#include "hal/drivers/uart_16550.h"
#include "hal/idle.h"
#include "hal/irq.h"
#include "hal/mmio.h"
#include "hal/start.h"

#define M3_HZ 142000000u
#define APB0_HZ (M3_HZ / 2)

#define MMUART0_BASE 0x40000000u
#define SPI0_BASE 0x40001000u
#define PHY_ADDRESS 1u

/* Interrupt lines (UG0331, "Cortex-M3 processor interrupts"). */
#define IRQ_MMUART0 10u
#define IRQ_MAC 12u
#define IRQ_TIMER1 14u

/* What must leave soft reset: held there by the chip's own reset (UG0331, "System register block").
 */
#define SYSREG_SOFT_RESET_CR 0x40038048u
#define SOFT_RESET_MAC (1u << 4)
#define SOFT_RESET_TIMER (1u << 6)
#define SOFT_RESET_MMUART0 (1u << 7)
#define SOFT_RESET_SPI0 (1u << 9)

static struct uart_16550 console;
static struct sf2_mac mac;

static const struct spi spi = {.context = (void *)SPI0_BASE, .transfer = sf2_spi_transfer};

/* Spansion S25FL128S with 64 KB sectors; RDID 01 20 18. */
static const struct spi_nor_part nor_part = {.id = {0x01, 0x20, 0x18}, .erase_opcode = 0xD8};
static struct spi_nor nor;

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
    .read = spi_nor_read,
    .program = spi_nor_program,
    .erase = spi_nor_erase,
};

static const struct nic nic = {
    .context = &mac,
    .init = sf2_mac_init,
    .link_up = sf2_mac_link_up,
    .send = sf2_mac_send,
    .rx_buf = sf2_mac_rx_buf,
    .rx_ack = sf2_mac_rx_ack,
    .stats = sf2_mac_stats,
};

static void board_init(void)
{
    mmio_clear(SYSREG_SOFT_RESET_CR,
               SOFT_RESET_MAC | SOFT_RESET_TIMER | SOFT_RESET_MMUART0 | SOFT_RESET_SPI0);
    systick_init(M3_HZ);
    sf2_timer_init(APB0_HZ);
    uart_16550_init(&console, MMUART0_BASE, APB0_HZ, 115200);
    crash_boot();
    sf2_spi_init(&spi);
    (void)spi_nor_init(&flash, &spi, &nor_part); /* Not the part: every call says E_IO. */
    mac.phy_address = PHY_ADDRESS;
    irq_init();
    irq_enable(IRQ_MMUART0);
    irq_enable(IRQ_MAC);
    irq_enable(IRQ_TIMER1);
}

void board_irq(unsigned number)
{
    switch (number) {
    case IRQ_MMUART0:
        uart_16550_interrupt(&console);
        break;
    case IRQ_MAC:
        sf2_mac_interrupt();
        break;
    case IRQ_TIMER1:
        sf2_timer_interrupt();
        break;
    default:
        board_panic("interrupt without a handler", __FILE__, (int)number);
    }
}

static int console_getc(void)
{
    return uart_16550_getc(&console);
}

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
    .flash = &flash,
    .nic = &nic,
    .reset_cause = crash_cause,
    .reset_detail = crash_detail,
    .reset = board_reset,
    .stack_used_max = stack_used_max,
    .stack_bytes = stack_bytes,
};
