/* lan9118.h - SMSC's LAN9118 Ethernet controller with a 32-bit bus (data sheet DS00002266).
 *
 * Frames go through its FIFOs by the CPU; no DMA. Costs two frame buffers, 3 KB. Multicast frames
 * and those with errors are dropped.
 */
#ifndef TOCSIN_HAL_DRIVERS_LAN9118_H
#define TOCSIN_HAL_DRIVERS_LAN9118_H

#include "hal/nic.h"

#define LAN9118_BUFFER_WORDS 384u /* 1536 bytes. */

struct lan9118 {
    uintptr_t base; /* By lan9118_attach(). */
    bool link_up;
    uint16_t rx_bytes; /* In rx until rx_ack; 0: nothing. */
    struct nic_stats stats;
    uint32_t rx[LAN9118_BUFFER_WORDS];
    uint32_t tx[LAN9118_BUFFER_WORDS];
};

/* Lets go of the interrupt line, which the chip pulls from power-on until it is told which way is
 * active. Before the line is let through. */
void lan9118_attach(struct lan9118 *chip, uintptr_t base);

/* The functions of struct nic; its context is an attached struct lan9118. init takes the
 * address that the chip loaded from its EEPROM, and gives it mac where there is none. */
int lan9118_init(const struct nic *nic, uint8_t mac[6]);
bool lan9118_link_up(const struct nic *nic);
int lan9118_send(const struct nic *nic, const struct nic_fragment *fragments, size_t count);
const uint8_t *lan9118_rx_buf(const struct nic *nic, size_t *size);
void lan9118_rx_ack(const struct nic *nic);
void lan9118_stats(const struct nic *nic, struct nic_stats *stats);

void lan9118_interrupt(struct lan9118 *chip);

#endif
