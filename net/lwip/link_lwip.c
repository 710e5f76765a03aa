/* link_lwip.c - net/link.h over lwIP's raw TCP.
 *
 * Received pbufs are chained to link->rx and the window is opened only as the reader acknowledges,
 * so a fast server can never fill more than TCP_WND of the pool.
 */
#include "net/lwip/stack.h"
#include "net/text.h"

#include "lwip/dns.h"
#include "lwip/pbuf.h"
#include "lwip/tcp.h"

#include <string.h>

#define PORT_TRIES 4
#define PORT_FIRST 49152u /* RFC 6335: the dynamic ports. */
#define PORT_COUNT 16384u

static struct link_lwip *self(struct link *link)
{
    return (struct link_lwip *)(void *)link;
}

static void fail(struct link_lwip *link, const char *text)
{
    link->state = LINK_FAILED;
    link->error_text = text;
}

static void forget_pcb(struct link_lwip *link)
{
    if (link->pcb != NULL) {
        tcp_arg(link->pcb, NULL);
        tcp_recv(link->pcb, NULL);
        tcp_err(link->pcb, NULL);
        link->pcb = NULL;
    }
}

static void drop_rx(struct link_lwip *link)
{
    if (link->rx != NULL) {
        pbuf_free(link->rx);
        link->rx = NULL;
    }
    link->rx_offset = 0;
}

/* Frees the pbufs that hold nothing unread. */
static void drop_read(struct link_lwip *link)
{
    while (link->rx != NULL && link->rx_offset >= link->rx->len) {
        struct pbuf *next = link->rx->next;

        link->rx_offset = (uint16_t)(link->rx_offset - link->rx->len);
        if (next != NULL) {
            pbuf_ref(next);
        }
        pbuf_free(link->rx);
        link->rx = next;
    }
}

/* lwIP has already freed the pcb when it calls this. */
static void failed(void *arg, err_t error)
{
    struct link_lwip *link = arg;
    bool connecting = link->state == LINK_CONNECTING;

    link->pcb = NULL;
    if (error == ERR_RST) {
        fail(link, connecting ? "connection refused" : "connection reset by the server");
    } else if (error == ERR_ABRT) {
        fail(link,
             connecting ? "no answer from the server" : "connection lost: no acknowledgements");
    } else {
        fail(link, "connection closed");
    }
}

static err_t received(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t error)
{
    struct link_lwip *link = arg;

    (void)pcb;
    (void)error;
    if (p == NULL) {
        if (link->state == LINK_OPEN) {
            link->state = LINK_ENDED;
        }
    } else if (link->rx == NULL) {
        link->rx = p;
    } else {
        pbuf_cat(link->rx, p);
    }
    drop_read(link); /* lwIP trims what came twice, and leaves empty pbufs in front. */
    return ERR_OK;
}

static err_t connected(void *arg, struct tcp_pcb *pcb, err_t error)
{
    struct link_lwip *link = arg;

    (void)pcb;
    (void)error;
    link->state = LINK_OPEN;
    return ERR_OK;
}

/* Each connection gets a port of its own from the random numbers (RFC 6056). */
static bool bind_random_port(struct tcp_pcb *pcb)
{
    for (unsigned i = 0; i < PORT_TRIES; i++) {
        u16_t port = (u16_t)(PORT_FIRST + stack_random() % PORT_COUNT);

        if (tcp_bind(pcb, IP4_ADDR_ANY, port) == ERR_OK) {
            return true;
        }
    }
    return false;
}

static void connect_now(struct link_lwip *link, const ip_addr_t *address)
{
    struct text peer = text_begin(link->peer, sizeof link->peer);

    text_add_ipv4(&peer, ip4_addr_get_u32(ip_2_ip4(address)));
    text_add_char(&peer, ':');
    text_add_u32(&peer, link->port);
    link->pcb = tcp_new_ip_type(IPADDR_TYPE_V4);
    if (link->pcb == NULL) {
        fail(link, "no memory for a connection");
        return;
    }
    tcp_nagle_disable(link->pcb);
    tcp_arg(link->pcb, link);
    tcp_recv(link->pcb, received);
    tcp_err(link->pcb, failed);
    link->state = LINK_CONNECTING;
    if (!bind_random_port(link->pcb) ||
        tcp_connect(link->pcb, address, link->port, connected) != ERR_OK) {
        struct tcp_pcb *pcb = link->pcb;

        forget_pcb(link);
        tcp_abort(pcb);
        fail(link, "no route to the server");
    }
}

static void resolved(const char *name, const ip_addr_t *address, void *arg)
{
    struct link_lwip *link = arg;

    /* A late answer to a question that was given up must not answer the next one. */
    if (link->state != LINK_RESOLVING || strcmp(name, link->host) != 0) {
        return;
    }
    if (address == NULL) {
        fail(link, "the name was not found in DNS");
    } else {
        link->address = *address;
        connect_now(link, address);
    }
}

static int link_begin(struct link *base, const char *host, uint16_t port)
{
    struct link_lwip *link = self(base);
    ip_addr_t address;
    err_t error;

    drop_rx(link);
    link->peer[0] = '\0';
    link->error_text = "";
    link->host = host;
    link->port = port;
    link->state = LINK_RESOLVING;
    error = dns_gethostbyname(host, &address, resolved, link);
    if (error == ERR_OK) {
        link->address = address;
        connect_now(link, &address);
    } else if (error == ERR_INPROGRESS) {
        return 0;
    } else if (error == ERR_ARG) {
        fail(link, "not a host name");
        return E_INVALID;
    } else {
        fail(link, "no DNS server is known");
        return E_TRANSIENT;
    }
    return link->state == LINK_FAILED ? E_TRANSIENT : 0;
}

static enum link_state state(struct link *base)
{
    return self(base)->state;
}

static size_t tx(struct link *base, const uint8_t *bytes, size_t size)
{
    struct link_lwip *link = self(base);
    size_t room;

    if (link->pcb == NULL || (link->state != LINK_OPEN && link->state != LINK_ENDED)) {
        return 0;
    }
    room = tcp_sndbuf(link->pcb);
    if (size > room) {
        size = room;
    }
    if (size == 0 || tcp_write(link->pcb, bytes, (u16_t)size, TCP_WRITE_FLAG_COPY) != ERR_OK) {
        return 0;
    }
    return size;
}

static void flush(struct link *base)
{
    struct link_lwip *link = self(base);

    if (link->pcb != NULL) {
        (void)tcp_output(link->pcb); /* What cannot leave now leaves by lwIP's timers. */
    }
}

static size_t unacked(struct link *base)
{
    struct link_lwip *link = self(base);

    return link->pcb != NULL ? (size_t)(TCP_SND_BUF - tcp_sndbuf(link->pcb)) : 0;
}

static const uint8_t *rx_buf(struct link *base, size_t *size)
{
    struct link_lwip *link = self(base);

    if (link->rx == NULL) {
        *size = 0;
        return NULL;
    }
    *size = (size_t)(link->rx->len - link->rx_offset);
    return (const uint8_t *)link->rx->payload + link->rx_offset;
}

static void rx_ack(struct link *base, size_t size)
{
    struct link_lwip *link = self(base);

    link->rx_offset = (uint16_t)(link->rx_offset + size);
    if (link->pcb != NULL) {
        tcp_recved(link->pcb, (u16_t)size);
    }
    drop_read(link);
}

static void end(struct link_lwip *link, bool orderly)
{
    struct tcp_pcb *pcb = link->pcb;

    forget_pcb(link);
    drop_rx(link);
    link->state = LINK_IDLE;
    if (pcb != NULL) {
        tcp_setprio(pcb, TCP_PRIO_MIN); /* Its FIN may go unanswered: a new one takes its place. */
        if (!orderly || tcp_close(pcb) != ERR_OK) {
            tcp_abort(pcb);
        }
    }
}

static void close_orderly(struct link *base)
{
    end(self(base), true);
}

static void close_abort(struct link *base)
{
    end(self(base), false);
}

static const char *error_text(struct link *base)
{
    return self(base)->error_text;
}

static const char *peer(struct link *base)
{
    return self(base)->peer;
}

struct link *link_lwip_init(struct link_lwip *link)
{
    static const struct link_ops ops = {
        .open = link_begin,
        .state = state,
        .tx = tx,
        .flush = flush,
        .unacked = unacked,
        .rx_buf = rx_buf,
        .rx_ack = rx_ack,
        .close = close_orderly,
        .abort = close_abort,
        .error_text = error_text,
        .peer = peer,
    };

    memset(link, 0, sizeof *link);
    link->base.ops = &ops;
    link->error_text = "";
    return (struct link *)(void *)link;
}
