/* lan.h - what stands around a device on a simulated Ethernet: a router that gives out addresses
 * (DHCP), and behind it a name server, a time server and TCP servers; each can be away, slow, or
 * wrong.
 *
 *     lan_init(&lan, &now_ms, seed);
 *     lan.service = ...; lan.context = ...;    what speaks on the TCP connections
 *     ... give &lan.ether.nic to the code under test; lan_poll(&lan) as time passes ...
 *
 * Everything is IPv4. Addresses are numbers: 10.2.0.9 is 0x0A020009.
 */
#ifndef TOCSIN_TESTS_SIM_LAN_H
#define TOCSIN_TESTS_SIM_LAN_H

#include "tests/sim/ether.h"
#include "tests/sim/tcp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LAN_ROUTER 0x0A020001u
#define LAN_DEVICE 0x0A020009u
#define LAN_NEIGHBOUR 0x0A020006u /* Sends syslog. */
#define LAN_OTHER_NET 0x00080000u /* Exclusive or: the same hosts in 10.10. */
#define LAN_DNS 0xC0000201u       /* 192.0.2.1 */
#define LAN_DNS_CONFIGURED 0xC0000202u
#define LAN_SNTP 0xC000020Au
#define LAN_MAIL 0xC0000214u
#define LAN_MAIL_PORT 25
#define LAN_NAME "mail.example.test"
#define LAN_UNIX_S 1800000000u /* When a simulation begins. */
#define LAN_TCP_MAX 6

enum lan_dhcp { LAN_DHCP_OK, LAN_DHCP_AWAY, LAN_DHCP_NAK };

enum lan_dns {
    LAN_DNS_OK,
    LAN_DNS_AWAY,
    LAN_DNS_SERVFAIL,
    LAN_DNS_NXDOMAIN,
    LAN_DNS_GARBAGE, /* Noise, with and without the right number in front. */
    LAN_DNS_FORGED,  /* A wrong number and a wrong address first, the truth behind it. */
    LAN_DNS_EMPTY,   /* No answer in the answer. */
    LAN_DNS_KINDS
};

enum lan_sntp { LAN_SNTP_OK, LAN_SNTP_AWAY, LAN_SNTP_FORGED };

struct lan {
    const uint64_t *now_ms;
    struct ether ether;
    uint32_t random;

    /* What is the matter. */
    bool uplink; /* The router reaches what is behind it. */
    enum lan_dhcp dhcp;
    uint32_t lease_s;
    uint32_t moved;     /* LAN_OTHER_NET: the network has other addresses now; 0. */
    uint32_t lease_dns; /* The name server that leases tell of. */
    bool lease_has_ntp;
    enum lan_dns dns;
    uint32_t dns_after_ms;
    enum lan_sntp sntp;
    bool mail_refuses;              /* New connections get RST. */
    bool mail_deaf;                 /* Nothing that is sent to the server arrives. */
    struct sim_tcp_manners manners; /* Of connections that begin now. */
    uint8_t router_mac[6];

    /* What it saw. */
    uint8_t device_mac[6];
    bool device_seen;
    unsigned dhcp_acks, dhcp_naks, dns_questions[2], sntp_questions, connections, resets;

    /* Called for a connection whenever it may have something to do; tcp->context is the lan, index
     * its place in tcp[]. fresh: it has just begun. */
    void (*service)(void *context, struct sim_tcp *tcp, unsigned index, bool fresh);
    void *context;
    struct sim_tcp tcp[LAN_TCP_MAX];
    bool fresh[LAN_TCP_MAX];
    struct sim_tcp nobody; /* Sends the RST for connections that are not. */
};

void lan_init(struct lan *lan, const uint64_t *now_ms, uint32_t seed);

/* Everything that is due now. */
void lan_poll(struct lan *lan);

/* When something will be due; UINT64_MAX: nothing, unless the device speaks. */
uint64_t lan_next_ms(const struct lan *lan);

/* A UDP datagram from the neighbour to the device, as the network is now. False: it has no address
 * that anybody knows. */
bool lan_datagram(struct lan *lan, uint16_t port, const void *bytes, size_t size);

/* The router is replaced: another MAC address, told to everybody (RFC 5944 4.6) or not. */
void lan_new_router(struct lan *lan, bool told);

/* The TCP server restarts: connections are forgotten, with an RST for each or without. */
void lan_restart(struct lan *lan, bool resets);

#endif
