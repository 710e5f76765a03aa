/* uart_16550.h - a 16550 UART with registers four bytes apart.
 *
 * Received bytes come by interrupt into a ring. When the ring is full the interrupt is held back,
 * so that the FIFO, and behind it a sender with flow control, waits; a byte lost all the same is
 * counted. Sending polls with a bound.
 */
#ifndef TOCSIN_HAL_DRIVERS_UART_16550_H
#define TOCSIN_HAL_DRIVERS_UART_16550_H

#include "hal/ring.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct uart_16550 {
    uintptr_t base;
    struct ring rx;
    uint32_t rx_lost;
    bool tx_stuck;
};

/* 8 data bits, no parity, one stop bit. */
void uart_16550_init(struct uart_16550 *uart, uintptr_t base, uint32_t clock_hz, uint32_t baud);
void uart_16550_interrupt(struct uart_16550 *uart);

/* The next byte, or -1. */
int uart_16550_getc(struct uart_16550 *uart);

/* A transmitter that stays busy for 200 ms drops the rest of the text; what follows is dropped at
 * once until it moves again, so that a stuck console costs the device its time only once. */
void uart_16550_write(struct uart_16550 *uart, const char *text, size_t size);

#endif
