/* nic.h - one Ethernet interface that moves whole frames (without FCS) and never waits.
 *
 * The driver owns its buffers and lends one received frame at a time; a frame to send is copied, so
 * that the stack's own buffer is free when send() returns.
 */
#ifndef TOCSIN_HAL_NIC_H
#define TOCSIN_HAL_NIC_H

#include "net/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NIC_FRAME_BYTES 1518 /* Header, 1500 and a VLAN tag. */

struct nic_stats {
    uint32_t rx_frames, tx_frames, rx_dropped, tx_dropped, rx_overflows;
};

struct nic_fragment {
    const uint8_t *bytes;
    size_t size;
};

struct nic {
    void *context;
    /* Resets the chip and programs mac; a chip with an address of its own writes it back instead.
     * E_IO: no such chip, or its reset did not end in its bound. */
    int (*init)(const struct nic *nic, uint8_t mac[6]);
    bool (*link_up)(const struct nic *nic); /* Reads the PHY. */
    /* Queues one frame, gathered from fragments. E_SPACE: no descriptor free; E_INVALID: too long.
     */
    int (*send)(const struct nic *nic, const struct nic_fragment *fragments, size_t count);
    /* The oldest received frame, in the driver's buffer until rx_ack(); size 0: none now. Damaged
     * and overlong frames never show. */
    const uint8_t *(*rx_buf)(const struct nic *nic, size_t *size);
    void (*rx_ack)(const struct nic *nic); /* Gives the buffer back to the ring. */
    void (*stats)(const struct nic *nic, struct nic_stats *stats);
};

#endif
