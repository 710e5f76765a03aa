/* link_posix.h - net/link.h over non-blocking sockets, with the system's resolver.
 *
 * The name is looked up by getaddrinfo() (the system's resolver files) in a process of its own, so
 * that neither the caller nor its deadline waits for it; addresses ("192.0.2.1", "2001:db8::1",
 * "[fe80::1%eth0]"), localhost and what `host` knows need none. Each address is tried, IPv6 and
 * IPv4, as RFC 8305 says: the next one starts after 250 ms or as soon as one fails, and the first
 * that answers wins. TCP_NODELAY is on: link_flush() is one write, and no turn waits for a delayed
 * acknowledgement.
 *
 *     struct link *link = link_posix_init(&posix, NULL, NULL);
 *     while (!session_done(&session)) {
 *         while (session_poll(&session, posix_monotonic_ms())) {
 *         }
 *         link_posix_wait(&posix, true, NULL, 0, until session_deadline());
 *     }
 *
 * link_close() waits up to 2 s if bytes are unsent or not acknowledged, which they are not after a
 * session's own end. SIGPIPE is never raised. Cost: sizeof(struct link_posix), some 66 KB with its
 * buffers, of which only the pages that are used take memory. Call from one context only.
 */
#ifndef TOCSIN_NET_POSIX_LINK_POSIX_H
#define TOCSIN_NET_POSIX_LINK_POSIX_H

#include "net/error.h"
#include "net/link.h"

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINK_POSIX_ADDRESS_MAX 8
#define LINK_POSIX_TEXT_BYTES 72 /* An address with interface and port. */
#define LINK_POSIX_MORE_MAX 24   /* Descriptors that a caller may wait for besides. */

/* A name that needs no resolver (the configuration's `host` lines): its IPv4 address in network
 * byte order. */
typedef bool link_posix_host(void *context, const char *name, uint32_t *address);

#include "net/posix/link_posix_state.h" /* struct link_posix; private. */

/* Returns the link; host may be NULL. Nothing is opened yet. */
struct link *link_posix_init(struct link_posix *link, link_posix_host *host, void *context);

/* Waits until the link can go on, one of `count` descriptors in `more` is ready, or timeout_ms have
 * passed (negative: no limit), as poll(). want_rx: the reader may take more. Bytes that are there
 * end it at once, but not again while the reader leaves them all. So does a state that link_state()
 * has not told yet, and EINTR. */
void link_posix_wait(struct link_posix *link, bool want_rx, struct pollfd *more, size_t count,
                     int timeout_ms);

/* Address `index` of the host as text, for people, once the name is resolved; out has room for
 * LINK_POSIX_TEXT_BYTES. NULL: there are no more. */
const char *link_posix_address_text(const struct link_posix *link, size_t index, char *out);

/* Milliseconds of a monotonic clock, and of the time of day. */
uint64_t posix_monotonic_ms(void);
uint64_t posix_unix_ms(void);

/* Unpredictable bytes from the kernel; waits until it has gathered enough. 0 or E_IO. */
MUST_CHECK int posix_random(void *out, size_t size);

/* A UDP socket on a port of every local address, for syslog. Returns the descriptor, or E_IO with
 * errno. address: NULL, or the only one to bind. */
MUST_CHECK int posix_udp_listen(const char *address, uint16_t port);

#endif
