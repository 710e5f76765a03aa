#include "boards/linux/network.h"

#include "net/text.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define LOOK_MS 2000

void network_init(struct network *network, const char *host)
{
    memset(network, 0, sizeof *network);
    network->local_only = text_equal_nocase(host, "localhost") ||
                          text_starts_nocase(host, "127.") || strcmp(host, "::1") == 0;
}

static void look(struct network *network)
{
    struct network_status *status = &network->status;
    struct ifaddrs *list = NULL;
    bool others = false;
    bool up = false;

    status->address = 0;
    if (getifaddrs(&list) < 0) {
        list = NULL; /* Whether there is a way shows when one is tried. */
        up = true;
    }
    for (const struct ifaddrs *at = list; at != NULL; at = at->ifa_next) {
        bool runs = (at->ifa_flags & IFF_UP) != 0 && (at->ifa_flags & IFF_RUNNING) != 0;

        if ((at->ifa_flags & IFF_LOOPBACK) != 0) {
            continue;
        }
        others = true;
        up = up || runs;
        if (runs && status->address == 0 && at->ifa_addr != NULL &&
            at->ifa_addr->sa_family == AF_INET) {
            const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)at->ifa_addr;

            status->address = in->sin_addr.s_addr;
        }
    }
    freeifaddrs(list);
    status->link_up = up || !others || network->local_only;
    if (status->address == 0) {
        status->address = htonl(INADDR_LOOPBACK);
    }
}

void network_look(struct network *network, uint64_t now_ms, struct network_status *status)
{
    if (now_ms >= network->look_ms) {
        look(network);
        network->look_ms = now_ms + LOOK_MS;
    }
    *status = network->status;
}
