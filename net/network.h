/* network.h - what the device asks about its one interface, whatever stack is below. */
#ifndef TOCSIN_NET_NETWORK_H
#define TOCSIN_NET_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

/* Addresses in network byte order; 0: none. */
struct network_status {
    bool link_up;
    bool dhcp;
    uint32_t address, netmask, gateway;
    uint32_t dns[2];
    uint8_t mac[6];
    uint32_t rx_frames, tx_frames, rx_dropped, tx_dropped;
};

#endif
