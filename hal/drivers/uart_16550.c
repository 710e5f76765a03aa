#include "hal/drivers/uart_16550.h"

#include "hal/clock.h"
#include "hal/idle.h"
#include "hal/mmio.h"

/* National Semiconductor PC16550D; register numbers times four. */
#define RBR 0x00u /* Receiver buffer (read). */
#define THR 0x00u /* Transmitter holding (write). */
#define DLL 0x00u /* Divisor latch, while LCR_DLAB. */
#define IER 0x04u
#define IER_ERBFI (1u << 0) /* Received data available. */
#define DLM 0x04u
#define FCR 0x08u
#define FCR_ENABLE (1u << 0)
#define FCR_RX_RESET (1u << 1)
#define FCR_TX_RESET (1u << 2) /* Receive trigger level 1: the two top bits stay 0. */
#define LCR 0x0Cu
#define LCR_8N1 0x03u
#define LCR_DLAB (1u << 7)
#define MCR 0x10u
#define LSR 0x14u
#define LSR_DR (1u << 0)
#define LSR_OE (1u << 1)
#define LSR_THRE (1u << 5)

#define TX_FIFO_BYTES 16
#define TX_TIMEOUT_MS 200

void uart_16550_init(struct uart_16550 *uart, uintptr_t base, uint32_t clock_hz, uint32_t baud)
{
    uint32_t divisor = (clock_hz + 8 * baud) / (16 * baud);

    uart->base = base;
    mmio_write(uart->base + IER, 0);
    mmio_write(uart->base + LCR, LCR_DLAB);
    mmio_write(uart->base + DLL, divisor & 0xFF);
    mmio_write(uart->base + DLM, divisor >> 8);
    mmio_write(uart->base + LCR, LCR_8N1);
    mmio_write(uart->base + FCR, FCR_ENABLE | FCR_RX_RESET | FCR_TX_RESET);
    mmio_write(uart->base + MCR, 0);
    uart->rx.head = uart->rx.tail = 0;
    uart->rx_lost = 0;
    uart->tx_stuck = false;
    mmio_write(uart->base + IER, IER_ERBFI);
}

void uart_16550_interrupt(struct uart_16550 *uart)
{
    uint32_t status = mmio_read(uart->base + LSR);

    while ((status & LSR_DR) && !ring_full(&uart->rx)) {
        uart->rx_lost += (status & LSR_OE) ? 1 : 0;
        ring_put(&uart->rx, (uint8_t)mmio_read(uart->base + RBR));
        status = mmio_read(uart->base + LSR);
    }
    if (ring_full(&uart->rx)) {
        mmio_write(uart->base + IER, 0);
    }
    idle_wake();
}

int uart_16550_getc(struct uart_16550 *uart)
{
    int byte = ring_get(&uart->rx);

    if (byte >= 0) {
        mmio_write(uart->base + IER, IER_ERBFI); /* There is room again. */
    }
    return byte;
}

void uart_16550_write(struct uart_16550 *uart, const char *text, size_t size)
{
    while (size > 0) {
        struct clock_timeout timeout = clock_timeout(uart->tx_stuck ? 0 : TX_TIMEOUT_MS);
        uart->tx_stuck = !wait_for_bits(uart->base + LSR, LSR_THRE, LSR_THRE, &timeout);
        if (uart->tx_stuck) {
            return;
        }
        for (unsigned i = 0; i < TX_FIFO_BYTES && size > 0; i++, size--) {
            mmio_write(uart->base + THR, (uint8_t)*text++);
        }
    }
}
