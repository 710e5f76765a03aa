/* stack.h - lwIP (NO_SYS, raw API) with one Ethernet interface, as the device uses it.
 *
 *     stack_init(&params);            once, after the random numbers are ready: ports come from
 * them for (;;) { stack_poll(); ... }  never waits
 *
 * lwIP itself keeps its state at file scope, so there is one stack. Call from the main loop only.
 * Cost: the pools in lwipopts.h.
 */
#ifndef TOCSIN_NET_LWIP_STACK_H
#define TOCSIN_NET_LWIP_STACK_H

#include "hal/nic.h"
#include "lwip/ip_addr.h"
#include "net/error.h"
#include "net/link.h"
#include "net/network.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pbuf;
struct tcp_pcb;

/* One UDP datagram, cut to what fits the handler's bounds; sender in network byte order. */
typedef void stack_datagram(void *context, const char *bytes, size_t size, uint32_t sender);

/* Borrowed for ever. Addresses in network byte order; 0: not given. */
struct stack_params {
    const struct nic *nic;
    uint8_t mac[6];
    const char *hostname; /* Told to the DHCP server. */
    bool dhcp;
    uint32_t address, netmask, gateway;
    uint32_t dns[2]; /* Stronger than what DHCP says. */
    uint16_t dns_port;
    const char *sntp[2]; /* Names or dotted addresses; both NULL: from DHCP, if it has any. */
    uint16_t sntp_port;
    uint64_t (*now_ms)(void);
    uint32_t (*random)(void);           /* Unpredictable 32 bits. */
    void (*set_time)(uint64_t unix_ms); /* SNTP has an answer. */
    /* A name that needs no DNS: its address. NULL: there are none. */
    bool (*host)(const char *name, uint32_t *address);
    void (*panic)(const char *what, const char *file, int line) __attribute__((noreturn));
};

/* E_IO: the NIC does not answer; everything else of the device works without it. */
MUST_CHECK int stack_init(const struct stack_params *params);

/* Moves received frames in, runs lwIP's timers, follows the link. Returns true when there was work.
 */
bool stack_poll(void);

/* Milliseconds until lwIP's next timer, at most 60,000. */
uint32_t stack_sleep_ms_max(void);

void stack_status(struct network_status *status);

/* Datagrams to this port go to handler. E_SPACE: no port left. */
MUST_CHECK int stack_udp_listen(uint16_t port, stack_datagram *handler, void *context);

/* net/link.h over one raw TCP connection. */
struct link_lwip {
    struct link_base base;
    enum link_state state;
    struct tcp_pcb *pcb;
    struct pbuf *rx;    /* Received and not yet acknowledged by the reader. */
    uint16_t rx_offset; /* Into its first part. */
    uint16_t port;
    const char *host; /* Borrowed while LINK_RESOLVING. */
    const char *error_text;
    ip_addr_t address;
    char peer[24];
};

struct link *link_lwip_init(struct link_lwip *link);

#endif
