/* network.h - what the app asks about the network, answered for a system with any number of
 * interfaces. Costs one getifaddrs() in two seconds. */
#ifndef TOCSIN_BOARDS_LINUX_NETWORK_H
#define TOCSIN_BOARDS_LINUX_NETWORK_H

#include "net/network.h"

#include <stdbool.h>
#include <stdint.h>

struct network {
    struct network_status status;
    uint64_t look_ms; /* When to look again. */
    bool local_only;  /* The mail server is this computer: no cable is needed. */
};

/* host: the mail server's. */
void network_init(struct network *network, const char *host);

/* The first address of an interface that is up, 127.0.0.1 where only IPv6 or nothing else is there.
 * The link is up if any interface is, or if there is none but loopback. */
void network_look(struct network *network, uint64_t now_ms, struct network_status *status);

#endif
