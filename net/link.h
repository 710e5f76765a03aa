/* link.h - a byte stream to one host and port, without waiting.
 *
 * Two implementations stand under the engines: net/lwip (raw API, NO_SYS) and net/posix. A link is
 * begun with link_open() and then polled; it resolves the name, connects and moves bytes. "Nothing
 * now", "closed" and "failed" are three different answers.
 *
 *     link_open(link, "mail.example.com", 465, now_ms);
 *     ... until link_state(link) == LINK_OPEN, link_tx(), link_flush(), link_rx_buf(),
 * link_rx_ack() ... link_close(link);
 */
#ifndef TOCSIN_NET_LINK_H
#define TOCSIN_NET_LINK_H

#include "net/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum link_state {
    LINK_IDLE,       /* Not begun, or closed by us. */
    LINK_RESOLVING,  /* Waiting for DNS. */
    LINK_CONNECTING, /* Waiting for the far side's SYN-ACK. */
    LINK_OPEN,
    LINK_ENDED, /* The far side sent FIN; bytes received before it can still be read. */
    LINK_FAILED /* Reset, refused, unreachable, no such name: link_error_text() says. */
};

struct link; /* An implementation's own; its first member is a struct link_base. */

struct link_ops {
    int (*open)(struct link *link, const char *host, uint16_t port);
    enum link_state (*state)(struct link *link);
    size_t (*tx)(struct link *link, const uint8_t *bytes, size_t size);
    void (*flush)(struct link *link);
    size_t (*unacked)(struct link *link);
    const uint8_t *(*rx_buf)(struct link *link, size_t *size);
    void (*rx_ack)(struct link *link, size_t size);
    void (*close)(struct link *link);
    void (*abort)(struct link *link);
    const char *(*error_text)(struct link *link);
    const char *(*peer)(struct link *link);
};

struct link_base {
    const struct link_ops *ops;
};

static inline const struct link_ops *link_ops(struct link *link)
{
    return ((struct link_base *)(void *)link)->ops;
}

/* Starts resolving and connecting. E_INVALID: a name that is no host name; E_TRANSIENT: no memory
 * or no address of our own yet. host is borrowed until LINK_OPEN or LINK_FAILED. */
MUST_CHECK static inline int link_open(struct link *link, const char *host, uint16_t port)
{
    return link_ops(link)->open(link, host, port);
}

static inline enum link_state link_state(struct link *link)
{
    return link_ops(link)->state(link);
}

/* Copies up to size bytes into the send buffer; returns how many it took (0: full now). */
static inline size_t link_tx(struct link *link, const uint8_t *bytes, size_t size)
{
    return link_ops(link)->tx(link, bytes, size);
}

/* Sends what link_tx() took, now: one turn of a dialogue is one flush. */
static inline void link_flush(struct link *link)
{
    link_ops(link)->flush(link);
}

/* Bytes sent and not yet acknowledged by the far side. */
static inline size_t link_unacked(struct link *link)
{
    return link_ops(link)->unacked(link);
}

/* Received bytes, owned by the link until acknowledged; size 0: nothing now. */
static inline const uint8_t *link_rx_buf(struct link *link, size_t *size)
{
    return link_ops(link)->rx_buf(link, size);
}

static inline void link_rx_ack(struct link *link, size_t size)
{
    link_ops(link)->rx_ack(link, size);
}

/* Orderly end (FIN after what is unsent), and the other kind (RST). Both free the link at once. */
static inline void link_close(struct link *link)
{
    link_ops(link)->close(link);
}
static inline void link_abort(struct link *link)
{
    link_ops(link)->abort(link);
}

/* Why LINK_FAILED, as a short phrase: "no such host name", "connection refused". Never NULL. */
static inline const char *link_error_text(struct link *link)
{
    return link_ops(link)->error_text(link);
}

/* The far side as "192.0.2.1:465", "" before it is known. */
static inline const char *link_peer(struct link *link)
{
    return link_ops(link)->peer(link);
}

#endif
