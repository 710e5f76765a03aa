/* resolve.h - names become addresses without anybody waiting. Private to net/posix.
 *
 * A literal address and localhost are known at once. Everything else is asked of getaddrinfo() in a
 * process of its own, which can be ended at any time.
 */
#ifndef TOCSIN_NET_POSIX_RESOLVE_H
#define TOCSIN_NET_POSIX_RESOLVE_H

#include "net/posix/link_posix.h"

struct addrinfo;

/* IPv4 (dotted quad) or IPv6, also in brackets and with a zone; "localhost" is both (RFC 6761 6.3).
 * Returns how many addresses that is, 0: a name to be looked up; E_INVALID: neither. */
MUST_CHECK int resolve_known(const char *host, struct link_posix_address *address);

/* Starts the process. E_TRANSIENT: the system has none left, or no descriptor. */
MUST_CHECK int resolve_start(struct link_posix *link, const char *name);

/* true: answer is filled and the process is gone. */
bool resolve_poll(struct link_posix *link, struct link_posix_answer *answer);

/* Ends the process if there is one. */
void resolve_stop(struct link_posix *link);

/* Why there is no address, as a short phrase. */
const char *resolve_text(int error);

/* The system's resolver: what a link's `lookup` is. */
void resolve_system(const char *name, struct link_posix_answer *answer);

/* Adds what getaddrinfo() found: in its order (RFC 6724), but the families take turns (RFC 8305 4),
 * so that one that leads nowhere costs one try before the other has its own. */
void resolve_take(const struct addrinfo *list, struct link_posix_answer *answer);

/* "192.0.2.1:25" or "[2001:db8::1%eth0]:25", or the address alone with port 0; out has room for
 * LINK_POSIX_TEXT_BYTES. */
void resolve_show(const struct link_posix_address *address, uint16_t port, char *out);

#endif
