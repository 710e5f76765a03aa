#include "hal/drivers/pl011.h"

#include "hal/clock.h"
#include "hal/idle.h"
#include "hal/mmio.h"

#define UARTDR 0x00u
#define UARTDR_OE (1u << 11) /* A byte was lost before this one. */
#define UARTFR 0x18u
#define UARTFR_RXFE (1u << 4)
#define UARTFR_TXFF (1u << 5)
#define UARTIBRD 0x24u
#define UARTFBRD 0x28u
#define UARTLCR_H 0x2Cu
#define UARTLCR_H_FEN (1u << 4)
#define UARTLCR_H_WLEN_8 (3u << 5)
#define UARTCR 0x30u
#define UARTCR_UARTEN (1u << 0)
#define UARTCR_TXE (1u << 8)
#define UARTCR_RXE (1u << 9)
#define UARTIFLS 0x34u /* 0: receive at an eighth, and the timeout brings what stays below. */
#define UARTIMSC 0x38u
#define UARTIMSC_RX (1u << 4)
#define UARTIMSC_RT (1u << 6)
#define UARTICR 0x44u
#define UARTICR_ALL 0x7FFu

#define TX_TIMEOUT_MS 200

void pl011_init(struct pl011 *uart, uintptr_t base, uint32_t clock_hz, uint32_t baud)
{
    uint32_t divisor = (clock_hz * 4 + baud / 2) / baud; /* In 64ths of 16 clocks. */

    uart->base = base;
    uart->rx.head = uart->rx.tail = 0;
    uart->rx_lost = 0;
    uart->tx_stuck = false;
    mmio_write(base + UARTCR, 0);
    mmio_write(base + UARTIMSC, 0);
    mmio_write(base + UARTICR, UARTICR_ALL);
    mmio_write(base + UARTIBRD, divisor / 64);
    mmio_write(base + UARTFBRD, divisor % 64);
    mmio_write(base + UARTLCR_H, UARTLCR_H_WLEN_8 | UARTLCR_H_FEN);
    mmio_write(base + UARTIFLS, 0);
    mmio_write(base + UARTCR, UARTCR_UARTEN | UARTCR_TXE | UARTCR_RXE);
    mmio_write(base + UARTIMSC, UARTIMSC_RX | UARTIMSC_RT);
}

void pl011_interrupt(struct pl011 *uart)
{
    while (!ring_full(&uart->rx) && !(mmio_read(uart->base + UARTFR) & UARTFR_RXFE)) {
        uint32_t data = mmio_read(uart->base + UARTDR);
        uart->rx_lost += (data & UARTDR_OE) ? 1 : 0;
        ring_put(&uart->rx, (uint8_t)data);
    }
    if (ring_full(&uart->rx)) {
        mmio_write(uart->base + UARTIMSC, 0);
    }
    idle_wake();
}

int pl011_getc(struct pl011 *uart)
{
    int byte = ring_get(&uart->rx);

    if (byte >= 0) {
        mmio_write(uart->base + UARTIMSC, UARTIMSC_RX | UARTIMSC_RT); /* There is room again. */
    }
    return byte;
}

void pl011_write(struct pl011 *uart, const char *text, size_t size)
{
    for (; size > 0; size--) {
        struct clock_timeout timeout = clock_timeout(uart->tx_stuck ? 0 : TX_TIMEOUT_MS);
        uart->tx_stuck = !wait_for_bits(uart->base + UARTFR, UARTFR_TXFF, 0, &timeout);
        if (uart->tx_stuck) {
            return;
        }
        mmio_write(uart->base + UARTDR, (uint8_t)*text++);
    }
}
