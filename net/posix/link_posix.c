/*
 *   IDLE -> RESOLVING -> CONNECTING -> OPEN -> ENDED
 *              |             |          |        |
 *              +-------------+----------+--------+--> FAILED
 *
 * link_posix.c - net/link.h over non-blocking sockets.
 *
 * Nothing happens in the background: each call that asks for the state or for bytes first does what
 * can be done without waiting. What the far side sent before it reset the connection can still be
 * read, since it often says why.
 */
#include "net/posix/link_posix.h"
#include "net/posix/resolve.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define STAGGER_MS 250         /* RFC 8305 5: Connection Attempt Delay. */
#define DRY_LOOKS 16           /* For a caller that does not wait by link_posix_wait(). */
#define CLOSE_MS_MAX 2000      /* For unsent bytes to leave, and the far side to take them. */
#define CLOSE_UNACKED_MAX 1024 /* So much is left to the kernel: a goodbye is not waited for. */
#define CLOSE_STEP_MS 10       /* No event tells that the last byte was acknowledged. */
#define CLOSE_DISCARDS_MAX 64  /* Reads of what nobody wants any more. */

static struct link_posix *self(struct link *link)
{
    return (struct link_posix *)(void *)link;
}

/* The more an error tells of the server, the more it is worth telling; 0 ends the list. */
static const struct connect_error {
    int code;
    uint8_t telling;
    const char *text;
} connect_errors[] = {
    {ECONNREFUSED, 6, "connection refused"},
    {ECONNRESET, 6, "connection refused"},
    {EACCES, 5, "this system forbids the connection"},
    {EPERM, 5, "this system forbids the connection"},
    {ETIMEDOUT, 4, "no answer from the server"},
    {EHOSTUNREACH, 3, "no route to the server"},
    {EMFILE, 2, "no memory for a connection"},
    {ENFILE, 2, "no memory for a connection"},
    {ENOMEM, 2, "no memory for a connection"},
    {ENOBUFS, 2, "no memory for a connection"},
    {0, 1, "no route to the server"}, /* ENETUNREACH, EADDRNOTAVAIL, EAFNOSUPPORT, ... */
};

static const char *open_error_text(int code)
{
    switch (code) {
    case ECONNRESET:
    case EPIPE:
        return "connection reset by the server";
    case ETIMEDOUT:
        return "connection lost: no acknowledgements";
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
        return "connection lost: no route to the server";
    default:
        return "connection closed";
    }
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
        *fd = -1;
    }
}

static void fail(struct link_posix *link, const char *text)
{
    link->state = LINK_FAILED;
    link->error_text = text;
    link->tx_at = link->tx_size = 0;
    close_fd(&link->fd);
}

/* At once: a server that writes its reply in two pieces waits for the acknowledgement of the first
 * (Nagle, RFC 896), and ours would come 40 ms later. The kernel forgets the wish by itself. */
static void acknowledge(int fd)
{
#ifdef TCP_QUICKACK
    const int on = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
#else
    (void)fd;
#endif
}

/* Takes what the kernel has, if there is room behind what is unread. The bytes in rx stay where
 * they are: a reader may be looking at them. Returns what recv() did; 1 when there was no room. */
static ssize_t receive(struct link_posix *link)
{
    ssize_t got;

    if (link->rx_at == link->rx_size) {
        link->rx_at = link->rx_size = 0;
    }
    if (link->rx_size == sizeof link->rx) {
        return 1;
    }
    got = recv(link->fd, link->rx + link->rx_size, sizeof link->rx - link->rx_size, 0);
    if (got > 0) {
        link->rx_size += (size_t)got;
        link->rx_offered = false;
        acknowledge(link->fd);
    }
    return got;
}

static bool later(int code)
{
    return code == EAGAIN || code == EWOULDBLOCK || code == EINTR;
}

/* A turn of a session asks some ten times, and waits when nothing came: only the first of them asks
 * the kernel. */
static void fill(struct link_posix *link)
{
    ssize_t got;

    if (link->state != LINK_OPEN || link->rx_at < link->rx_size) {
        return;
    }
    if (link->rx_dry > 0) {
        link->rx_dry--;
        return;
    }
    got = receive(link);
    if (got < 0 && later(errno)) {
        link->rx_dry = DRY_LOOKS;
    } else if (got == 0) {
        link->state = LINK_ENDED;
    } else if (got < 0) {
        fail(link, open_error_text(errno));
    }
}

static void push(struct link_posix *link)
{
    while (link->tx_at < link->tx_size) {
        ssize_t sent =
            send(link->fd, link->tx + link->tx_at, link->tx_size - link->tx_at, MSG_NOSIGNAL);

        if (sent < 0 && errno != EINTR) {
            const int code = errno;

            if (!later(code)) {
                while (link->rx_size < sizeof link->rx && receive(link) > 0) {
                }
                fail(link, open_error_text(code));
            }
            return;
        }
        link->tx_at += sent > 0 ? (size_t)sent : 0;
    }
    link->tx_at = link->tx_size = 0;
}

/* ---- Connecting ---- */

static void drop_attempts(struct link_posix *link)
{
    for (size_t i = 0; i < LINK_POSIX_ADDRESS_MAX; i++) {
        close_fd(&link->attempt[i]);
    }
}

static void attempt_won(struct link_posix *link, size_t index)
{
    link->fd = link->attempt[index];
    link->attempt[index] = -1;
    drop_attempts(link);
    resolve_show(&link->address[index], link->port, link->peer);
    link->state = LINK_OPEN;
}

static void attempt_failed(struct link_posix *link, size_t index, int code)
{
    const struct connect_error *error = connect_errors;

    close_fd(&link->attempt[index]);
    while (error->code != code && error->code != 0) {
        error++;
    }
    if (error->telling > link->telling) {
        link->telling = error->telling;
        link->error_text = error->text;
        resolve_show(&link->address[index], link->port, link->peer);
    }
    link->next_ms = 0;
}

static int begin_connect(int fd, const struct link_posix_address *address, uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

    if (address->family == 4) {
        memcpy(&in.sin_addr, address->bytes, sizeof in.sin_addr);
        return connect(fd, (const struct sockaddr *)(const void *)&in, sizeof in);
    }
    memcpy(&in6.sin6_addr, address->bytes, sizeof in6.sin6_addr);
    in6.sin6_scope_id = address->scope;
    return connect(fd, (const struct sockaddr *)(const void *)&in6, sizeof in6);
}

static void attempt_begin(struct link_posix *link, size_t index)
{
    const struct link_posix_address *address = &link->address[index];
    const int on = 1;
    int fd = socket(address->family == 4 ? AF_INET : AF_INET6,
                    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);

    link->attempt[index] = fd;
    if (fd < 0) {
        attempt_failed(link, index, errno);
        return;
    }
    if (link->telling == 0) {
        resolve_show(address, link->port, link->peer);
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    link->next_ms = posix_monotonic_ms() + STAGGER_MS;
    if (begin_connect(fd, address, link->port) == 0) {
        attempt_won(link, index);
    } else if (errno != EINPROGRESS && errno != EINTR) {
        attempt_failed(link, index, errno);
    }
}

/* Looks after those under way; returns how many are. What became of one is told by a second
 * connect(), whose errors are those of the first; SO_ERROR would do, but where programs of another
 * processor are emulated its value is the wrong system's. */
static size_t check_attempts(struct link_posix *link)
{
    struct pollfd ready[LINK_POSIX_ADDRESS_MAX];
    size_t count = 0;

    for (size_t i = 0; i < LINK_POSIX_ADDRESS_MAX; i++) {
        ready[i] = (struct pollfd){.fd = link->attempt[i], .events = POLLOUT};
    }
    if (poll(ready, LINK_POSIX_ADDRESS_MAX, 0) < 0) {
        return 1; /* Nothing is known now. */
    }
    for (size_t i = 0; i < LINK_POSIX_ADDRESS_MAX; i++) {
        if (link->attempt[i] < 0) {
            continue;
        }
        if (ready[i].revents == 0) {
            count++;
        } else if (begin_connect(link->attempt[i], &link->address[i], link->port) == 0 ||
                   errno == EISCONN) {
            attempt_won(link, i);
            return 0;
        } else if (errno == EALREADY || errno == EINPROGRESS || errno == EINTR) {
            count++;
        } else {
            attempt_failed(link, i, errno);
        }
    }
    return count;
}

static void connect_on(struct link_posix *link)
{
    size_t under_way = check_attempts(link);

    while (link->state == LINK_CONNECTING && link->next < link->count &&
           (under_way == 0 || posix_monotonic_ms() >= link->next_ms)) {
        attempt_begin(link, link->next);
        under_way += link->attempt[link->next++] >= 0;
    }
    if (link->state == LINK_CONNECTING && under_way == 0) {
        fail(link, link->error_text);
    }
}

/* The addresses are there. */
static void connect_begin(struct link_posix *link, size_t count)
{
    link->count = (uint8_t)count;
    link->state = LINK_CONNECTING;
    connect_on(link);
}

static void resolve_on(struct link_posix *link)
{
    struct link_posix_answer answer;

    if (!resolve_poll(link, &answer)) {
        return;
    }
    if (answer.error != 0 || answer.count == 0) {
        fail(link, resolve_text(answer.error));
        return;
    }
    memcpy(link->address, answer.address, sizeof link->address);
    connect_begin(link, answer.count);
}

/* Does what can be done without waiting. */
static void advance(struct link_posix *link)
{
    if (link->state == LINK_RESOLVING) {
        resolve_on(link);
    } else if (link->state == LINK_CONNECTING) {
        connect_on(link);
    } else if (link->state == LINK_OPEN || link->state == LINK_ENDED) {
        push(link);
        fill(link);
    }
}

/* ---- net/link.h ---- */

/* A caller of open() has closed before; if it has not, nothing of the former link may stay. */
static void forget(struct link_posix *link)
{
    resolve_stop(link);
    drop_attempts(link);
    close_fd(&link->fd);
    link->tx_at = link->tx_size = 0;
    link->rx_at = link->rx_size = 0;
    link->rx_dry = 0;
    link->state = LINK_IDLE;
    link->told = LINK_IDLE; /* Whoever closed it knows: link_posix_wait() has no news. */
}

static int begin(struct link *base, const char *host, uint16_t port)
{
    struct link_posix *link = self(base);
    uint32_t address_be;
    int count;

    forget(link);
    link->peer[0] = '\0';
    link->error_text = "";
    link->told = LINK_IDLE;
    link->connect_told = false;
    link->next = link->count = link->telling = 0;
    link->port = port;
    if (link->host != NULL && link->host(link->context, host, &address_be)) {
        memset(&link->address[0], 0, sizeof link->address[0]);
        link->address[0].family = 4;
        memcpy(link->address[0].bytes, &address_be, sizeof address_be);
        count = 1;
    } else {
        count = resolve_known(host, link->address);
    }
    if (count < 0) {
        fail(link, "not a host name");
        return E_INVALID;
    }
    if (count > 0) {
        connect_begin(link, (size_t)count);
        return 0;
    }
    if (resolve_start(link, host) < 0) {
        fail(link, "no memory for the resolver");
        return E_TRANSIENT;
    }
    link->state = LINK_RESOLVING;
    return 0;
}

/* A connection can be refused within one system call. That there was an address is told before, so
 * that nobody takes it for a failure of the name. */
static enum link_state state(struct link *base)
{
    struct link_posix *link = self(base);

    advance(link);
    link->told = link->state;
    if (link->state == LINK_FAILED && link->count > 0 && !link->connect_told) {
        link->told = LINK_CONNECTING;
    }
    link->connect_told = link->count > 0;
    return link->told;
}

static size_t tx(struct link *base, const uint8_t *bytes, size_t size)
{
    struct link_posix *link = self(base);
    size_t room;

    if (link->state != LINK_OPEN && link->state != LINK_ENDED) {
        return 0;
    }
    if (size > sizeof link->tx - link->tx_size && link->tx_at > 0) {
        link->tx_size -= link->tx_at;
        memmove(link->tx, link->tx + link->tx_at, link->tx_size);
        link->tx_at = 0;
    }
    if (link->tx_size == sizeof link->tx) {
        push(link);
    }
    room = sizeof link->tx - link->tx_size;
    size = size < room ? size : room;
    memcpy(link->tx + link->tx_size, bytes, size);
    link->tx_size += size;
    return size;
}

static void flush(struct link *base)
{
    struct link_posix *link = self(base);

    if (link->state == LINK_OPEN || link->state == LINK_ENDED) {
        push(link);
    }
}

/* Bytes that the kernel has and the far side has not acknowledged. */
static size_t kernel_unacked(const struct link_posix *link)
{
    int queued = 0;

    return link->fd >= 0 && ioctl(link->fd, TIOCOUTQ, &queued) == 0 && queued > 0 ? (size_t)queued
                                                                                  : 0;
}

static size_t unacked(struct link *base)
{
    struct link_posix *link = self(base);

    advance(link);
    return link->tx_size - link->tx_at + kernel_unacked(link);
}

static const uint8_t *rx_buf(struct link *base, size_t *size)
{
    struct link_posix *link = self(base);

    fill(link);
    *size = link->rx_size - link->rx_at;
    return link->rx + link->rx_at;
}

static void rx_ack(struct link *base, size_t size)
{
    struct link_posix *link = self(base);

    assert(size <= link->rx_size - link->rx_at);
    link->rx_at += size;
    link->rx_offered = link->rx_offered && size == 0;
}

/* Throws away what has come; false: the far side has ended it, or nobody listens. */
static bool discard(struct link_posix *link)
{
    ssize_t got = 1;

    for (unsigned i = 0; got > 0 && i < CLOSE_DISCARDS_MAX; i++) {
        got = recv(link->fd, link->rx, sizeof link->rx, 0);
    }
    return got > 0 || (got < 0 && later(errno));
}

/* Unsent bytes leave and are taken, or the time is up. A socket that is closed while bytes come in,
 * or with some unread, answers with a reset, and that destroys what is still on its way. */
static void linger(struct link_posix *link)
{
    uint64_t end_ms = posix_monotonic_ms() + CLOSE_MS_MAX;
    bool listening = true;
    uint64_t now_ms;

    push(link);
    while (
        link->fd >= 0 && (now_ms = posix_monotonic_ms()) < end_ms &&
        (link->tx_at < link->tx_size || (kernel_unacked(link) > CLOSE_UNACKED_MAX && listening))) {
        bool unsent = link->tx_at < link->tx_size;
        struct pollfd ready = {
            .fd = link->fd, .events = (short)((unsent ? POLLOUT : 0) | (listening ? POLLIN : 0))};

        (void)poll(&ready, 1, unsent ? (int)(end_ms - now_ms) : CLOSE_STEP_MS);
        if ((ready.revents & (POLLIN | POLLERR | POLLHUP)) != 0 && listening) {
            listening = discard(link);
        }
        if ((ready.revents & (POLLERR | POLLNVAL)) != 0) {
            return;
        }
        push(link);
    }
    if (link->fd >= 0) {
        (void)shutdown(link->fd, SHUT_WR);
        (void)discard(link);
    }
}

static void close_orderly(struct link *base)
{
    struct link_posix *link = self(base);

    if (link->state == LINK_OPEN || link->state == LINK_ENDED) {
        linger(link);
    }
    forget(link);
}

static void close_abort(struct link *base)
{
    struct link_posix *link = self(base);
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};

    if (link->fd >= 0) {
        (void)setsockopt(link->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    forget(link);
}

static const char *error_text(struct link *base)
{
    return self(base)->error_text;
}

static const char *peer(struct link *base)
{
    return self(base)->peer;
}

struct link *link_posix_init(struct link_posix *link, link_posix_host *host, void *context)
{
    static const struct link_ops ops = {
        .open = begin,
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

    memset(link, 0, offsetof(struct link_posix, tx)); /* Pages of buffers cost when touched. */
    link->base.ops = &ops;
    link->error_text = "";
    link->fd = -1;
    link->resolver_fd = -1;
    for (size_t i = 0; i < LINK_POSIX_ADDRESS_MAX; i++) {
        link->attempt[i] = -1;
    }
    link->lookup = resolve_system;
    link->host = host;
    link->context = context;
    return (struct link *)(void *)link;
}

const char *link_posix_address_text(const struct link_posix *link, size_t index, char *out)
{
    if (index >= link->count) {
        return NULL;
    }
    resolve_show(&link->address[index], 0, out);
    return out;
}

/* ---- Waiting ---- */

/* Adds what the link waits for; returns how many. *timeout_ms becomes shorter if need be. */
static size_t add_waits(struct link_posix *link, bool want_rx, struct pollfd *out, int *timeout_ms)
{
    bool unread = want_rx && link->rx_at < link->rx_size;
    size_t count = 0;

    if (link->state != link->told || (unread && !link->rx_offered)) {
        *timeout_ms = 0; /* There is news already. */
    }
    link->rx_offered = unread;
    if (link->state == LINK_RESOLVING) {
        out[count++] = (struct pollfd){.fd = link->resolver_fd, .events = POLLIN};
    } else if (link->state == LINK_CONNECTING) {
        for (size_t i = 0; i < LINK_POSIX_ADDRESS_MAX; i++) {
            if (link->attempt[i] >= 0) {
                out[count++] = (struct pollfd){.fd = link->attempt[i], .events = POLLOUT};
            }
        }
        if (link->next < link->count) {
            uint64_t now_ms = posix_monotonic_ms();
            int wait_ms = link->next_ms > now_ms ? (int)(link->next_ms - now_ms) : 0;

            *timeout_ms = *timeout_ms < 0 || wait_ms < *timeout_ms ? wait_ms : *timeout_ms;
        }
    } else if (link->state == LINK_OPEN || link->state == LINK_ENDED) {
        /* A socket that nothing is wanted of is left out: poll() would tell of its end for ever. */
        short events = (short)((want_rx && !unread && link->state == LINK_OPEN ? POLLIN : 0) |
                               (link->tx_at < link->tx_size ? POLLOUT : 0));

        if (events != 0) {
            out[count++] = (struct pollfd){.fd = link->fd, .events = events};
        }
    }
    return count;
}

void link_posix_wait(struct link_posix *link, bool want_rx, struct pollfd *more, size_t count,
                     int timeout_ms)
{
    struct pollfd fds[LINK_POSIX_ADDRESS_MAX + LINK_POSIX_MORE_MAX];
    size_t own = add_waits(link, want_rx, fds, &timeout_ms);
    int ready;

    assert(count <= LINK_POSIX_MORE_MAX);
    if (count > 0) {
        memcpy(fds + own, more, count * sizeof *more);
    }
    ready = poll(fds, own + count, timeout_ms);
    link->rx_dry = 0;
    for (size_t i = 0; i < count; i++) {
        more[i].revents = ready > 0 ? fds[own + i].revents : 0;
    }
    if (ready > 0 && (link->state == LINK_OPEN || link->state == LINK_ENDED)) {
        push(link);
    }
}
