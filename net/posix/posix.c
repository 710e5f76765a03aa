/* posix.c - clocks, random bytes and a UDP socket of the system's. */
#include "net/posix/link_posix.h"
#include "net/posix/resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static uint64_t clock_ms(clockid_t clock)
{
    struct timespec now = {0, 0};

    if (clock_gettime(clock, &now) < 0 || now.tv_sec < 0) {
        return 0;
    }
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

uint64_t posix_monotonic_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

uint64_t posix_unix_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}

/* Kernels before 3.17 have no getrandom(). /dev/random is readable once enough was gathered, and
 * from then on /dev/urandom is as good. */
static int random_from_device(uint8_t *out, size_t size)
{
    struct pollfd gathered = {.fd = open("/dev/random", O_RDONLY | O_CLOEXEC), .events = POLLIN};
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    bool ready = false;

    while (gathered.fd >= 0 && fd >= 0 && !ready) {
        int count = poll(&gathered, 1, -1);

        if (count < 0 && errno != EINTR) {
            break;
        }
        ready = count > 0;
    }
    while (ready && size > 0) {
        ssize_t got = read(fd, out, size);

        if (got > 0) {
            out += got;
            size -= (size_t)got;
        } else if (got == 0 || errno != EINTR) {
            break;
        }
    }
    if (gathered.fd >= 0) {
        (void)close(gathered.fd);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return ready && size == 0 ? 0 : E_IO;
}

int posix_random(void *out, size_t size)
{
    uint8_t *at = out;

    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);

        if (got > 0) {
            at += got;
            size -= (size_t)got;
        } else if (got < 0 && errno != EINTR) {
            return random_from_device(at, size);
        }
    }
    return 0;
}

static int udp_bind(const struct sockaddr *address, socklen_t size)
{
    int fd = socket(address->sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int error;

    if (fd < 0) {
        return E_IO;
    }
    if (address->sa_family == AF_INET6) {
        const int both = 0;

        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &both, sizeof both);
    }
    if (bind(fd, address, size) == 0) {
        return fd;
    }
    error = errno;
    (void)close(fd);
    errno = error;
    return E_IO;
}

static int udp_bind_ipv4(const uint8_t bytes[4], uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};

    memcpy(&in.sin_addr, bytes, sizeof in.sin_addr);
    return udp_bind((const struct sockaddr *)(const void *)&in, sizeof in);
}

static int udp_bind_ipv6(const struct link_posix_address *address, uint16_t port)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

    memcpy(&in6.sin6_addr, address->bytes, sizeof in6.sin6_addr);
    in6.sin6_scope_id = address->scope;
    return udp_bind((const struct sockaddr *)(const void *)&in6, sizeof in6);
}

int posix_udp_listen(const char *address, uint16_t port)
{
    struct link_posix_address bound[2] = {{.family = 6}, {.family = 4}};
    int fd;

    if (address != NULL) {
        if (resolve_known(address, bound) < 1) {
            errno = EINVAL;
            return E_IO;
        }
        return bound[0].family == 4 ? udp_bind_ipv4(bound[0].bytes, port)
                                    : udp_bind_ipv6(&bound[0], port);
    }
    fd = udp_bind_ipv6(&bound[0], port);
    /* A system without IPv6. A port that is taken is taken for IPv4 as well. */
    return fd >= 0 || errno == EADDRINUSE || errno == EACCES ? fd
                                                             : udp_bind_ipv4(bound[1].bytes, port);
}
