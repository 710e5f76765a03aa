/* sf2_mac.h - the SmartFusion2's Ethernet MAC over MII (UG0331, "Ethernet MAC").
 *
 * Four receive buffers and one to send from in eSRAM, about 7.8 KB. Frames to send are copied.
 * Multicast frames and those with errors are dropped by the chip.
 */
#ifndef TOCSIN_HAL_DRIVERS_SF2_MAC_H
#define TOCSIN_HAL_DRIVERS_SF2_MAC_H

#include "hal/nic.h"

#define SF2_MAC_RX_COUNT 4u
#define SF2_MAC_TX_COUNT 1u
#define SF2_MAC_BUFFER_BYTES 1536u

/* As the DMA engine reads it. */
struct sf2_mac_descriptor {
    uint8_t *buffer;
    uint32_t size; /* And the flag EMPTY. */
    struct sf2_mac_descriptor *next;
};

struct sf2_mac {
    uint8_t phy_address;
    bool link_up;
    uint8_t rx_next;   /* The next to be filled by the chip. */
    uint8_t tx_next;   /* The next to be filled by us. */
    uint8_t tx_oldest; /* The oldest not known to be sent. */
    uint8_t tx_pending;
    struct nic_stats stats;
    volatile struct sf2_mac_descriptor rx[SF2_MAC_RX_COUNT];
    volatile struct sf2_mac_descriptor tx[SF2_MAC_TX_COUNT];
    uint8_t rx_buffers[SF2_MAC_RX_COUNT][SF2_MAC_BUFFER_BYTES] __attribute__((aligned(4)));
    uint8_t tx_buffers[SF2_MAC_TX_COUNT][SF2_MAC_BUFFER_BYTES] __attribute__((aligned(4)));
};

/* The functions of struct nic; its context is a struct sf2_mac with phy_address set. */
int sf2_mac_init(const struct nic *nic, uint8_t mac[6]);
bool sf2_mac_link_up(const struct nic *nic);
int sf2_mac_send(const struct nic *nic, const struct nic_fragment *fragments, size_t count);
const uint8_t *sf2_mac_rx_buf(const struct nic *nic, size_t *size);
void sf2_mac_rx_ack(const struct nic *nic);
void sf2_mac_stats(const struct nic *nic, struct nic_stats *stats);

void sf2_mac_interrupt(void);

#endif
