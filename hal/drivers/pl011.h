/* pl011.h - ARM's UART (ARM DDI 0183G), used like uart_16550.h: received bytes come by interrupt
 * into a ring, which holds the interrupt back while it is full; sending polls with a bound.
 */
#ifndef TOCSIN_HAL_DRIVERS_PL011_H
#define TOCSIN_HAL_DRIVERS_PL011_H

#include "hal/ring.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pl011 {
    uintptr_t base;
    struct ring rx;
    uint32_t rx_lost;
    bool tx_stuck;
};

/* 8 data bits, no parity, one stop bit. */
void pl011_init(struct pl011 *uart, uintptr_t base, uint32_t clock_hz, uint32_t baud);
void pl011_interrupt(struct pl011 *uart);

/* The next byte, or -1. */
int pl011_getc(struct pl011 *uart);

/* A transmitter that stays busy for 200 ms drops the rest of the text; what follows is dropped at
 * once until it moves again. */
void pl011_write(struct pl011 *uart, const char *text, size_t size);

#endif
