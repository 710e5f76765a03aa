/* resolve.c - names by the system's resolver, in a process of its own.
 *
 * The process is a fork: it has what this one has in memory, and so it opens nothing but what
 * getaddrinfo() opens, runs nothing else, cannot outlive its minute, and has none of this process's
 * descriptors: a lock that it inherited would be held after us.
 */
#include "net/posix/resolve.h"

#include "net/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define RESOLVE_S_MAX 60 /* The caller's deadline comes first; this one holds if it is killed. */
#define DESCRIPTORS 1024 /* Closed one by one where the kernel cannot close a range. */
#define SIGNALS 32

_Static_assert(sizeof(struct link_posix_answer) <= 512, "one write() to a pipe: PIPE_BUF of POSIX");

static void set_ipv4(struct link_posix_address *address, uint32_t address_be)
{
    memset(address, 0, sizeof *address);
    address->family = 4;
    memcpy(address->bytes, &address_be, sizeof address_be);
}

/* An interface's name, or its number. */
static bool zone_parse(const char *zone, uint32_t *scope)
{
    *scope = if_nametoindex(zone);
    return *scope != 0 || (text_parse_u32(zone, UINT32_MAX, scope) && *scope != 0);
}

/* RFC 4007 11 and RFC 6874: "fe80::1%eth0". */
static bool ipv6_parse(const char *host, struct link_posix_address *address)
{
    char literal[INET6_ADDRSTRLEN + IF_NAMESIZE + 4];
    size_t length = strlen(host);
    char *zone;

    if (host[0] == '[' && host[length - 1] == ']') {
        host++;
        length -= 2;
    }
    if (length >= sizeof literal) {
        return false;
    }
    memcpy(literal, host, length);
    literal[length] = '\0';
    zone = strchr(literal, '%');
    if (zone != NULL) {
        *zone++ = '\0';
    }
    memset(address, 0, sizeof *address);
    address->family = 6;
    return inet_pton(AF_INET6, literal, address->bytes) == 1 &&
           (zone == NULL || zone_parse(zone, &address->scope));
}

/* RFC 1123 2.1, with the underscores that people use and the dot that stands for the root. */
static bool is_host_name(const char *host)
{
    size_t label = 0;
    size_t length = 0;

    for (; host[length] != '\0'; length++) {
        char c = host[length];

        if (c == '.' && label == 0) {
            return false;
        }
        label = c == '.' ? 0 : label + 1;
        if (label > 63 || length > 253 ||
            !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_' || c == '.')) {
            return false;
        }
    }
    return length > 0 && length - (label == 0) <= 253;
}

int resolve_known(const char *host, struct link_posix_address *address)
{
    uint32_t address_be;

    if (text_parse_ipv4(host, &address_be)) {
        set_ipv4(&address[0], address_be);
        return 1;
    }
    if (ipv6_parse(host, &address[0])) {
        return 1;
    }
    if (text_equal_nocase(host, "localhost") || text_equal_nocase(host, "localhost.")) {
        set_ipv4(&address[0], htonl(INADDR_LOOPBACK));
        memset(&address[1], 0, sizeof address[1]);
        address[1].family = 6;
        address[1].bytes[15] = 1;
        return 2;
    }
    return is_host_name(host) ? 0 : E_INVALID;
}

/* RFC 5952: lower case, no leading zeros, the longest run of zeros (the first of equal ones, at
 * least two) as "::". inet_ntop() would do, but it brings printf with it in some C libraries. */
static void add_ipv6(struct text *text, const uint8_t bytes[16])
{
    unsigned best = 0;
    unsigned best_size = 1;
    unsigned at = 0;

    for (unsigned i = 0; i < 8; i++) {
        unsigned size = 0;

        while (i + size < 8 && bytes[2 * (i + size)] == 0 && bytes[2 * (i + size) + 1] == 0) {
            size++;
        }
        if (size > best_size) {
            best = i;
            best_size = size;
        }
    }
    while (at < 8) {
        unsigned part = (unsigned)bytes[2 * at] << 8 | bytes[2 * at + 1];

        if (best_size > 1 && at == best) {
            text_add(text, at + best_size == 8 ? "::" : ":");
            at += best_size;
            continue;
        }
        text_add(text, at > 0 ? ":" : "");
        text_add_hex(text, part, part > 0xFFF ? 4 : part > 0xFF ? 3 : part > 0xF ? 2 : 1);
        at++;
    }
}

void resolve_show(const struct link_posix_address *address, uint16_t port, char *out)
{
    struct text text = text_begin(out, LINK_POSIX_TEXT_BYTES);
    bool brackets = address->family == 6 && port != 0;
    char zone[IF_NAMESIZE];
    uint32_t address_be;

    if (address->family == 4) {
        memcpy(&address_be, address->bytes, sizeof address_be);
        text_add_ipv4(&text, address_be);
    } else {
        text_add(&text, brackets ? "[" : "");
        add_ipv6(&text, address->bytes);
    }
    if (address->scope != 0 && if_indextoname(address->scope, zone) != NULL) {
        text_format(&text, "%%%s", zone);
    } else if (address->scope != 0) {
        text_format(&text, "%%%u", (unsigned)address->scope);
    }
    if (port != 0) {
        text_format(&text, "%s:%u", brackets ? "]" : "", (unsigned)port);
    }
}

static bool take_address(const struct sockaddr *from, struct link_posix_address *address)
{
    if (from->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)from;

        set_ipv4(address, in->sin_addr.s_addr);
        return true;
    }
    if (from->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)from;

        memset(address, 0, sizeof *address);
        address->family = 6;
        memcpy(address->bytes, &in6->sin6_addr, sizeof address->bytes);
        address->scope = in6->sin6_scope_id;
        return true;
    }
    return false;
}

void resolve_take(const struct addrinfo *list, struct link_posix_answer *answer)
{
    struct link_posix_address found[2][LINK_POSIX_ADDRESS_MAX]; /* The first one's family first. */
    size_t count[2] = {0, 0};
    uint8_t first = 0;

    for (; list != NULL; list = list->ai_next) {
        struct link_posix_address address;
        size_t side;

        if (!take_address(list->ai_addr, &address)) {
            continue;
        }
        first = first == 0 ? address.family : first;
        side = address.family != first;
        if (count[side] < LINK_POSIX_ADDRESS_MAX) {
            found[side][count[side]++] = address;
        }
    }
    for (size_t i = 0; i < LINK_POSIX_ADDRESS_MAX; i++) {
        for (size_t side = 0; side < 2; side++) {
            if (i < count[side] && answer->count < LINK_POSIX_ADDRESS_MAX) {
                answer->address[answer->count++] = found[side][i];
            }
        }
    }
}

void resolve_system(const char *name, struct link_posix_answer *answer)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
    struct addrinfo *list = NULL;

    answer->error = getaddrinfo(name, NULL, &hints, &list);
    if (answer->error == EAI_AGAIN) {
        /* There are servers that never answer when asked for an IPv6 address. */
        hints.ai_family = AF_INET;
        answer->error = getaddrinfo(name, NULL, &hints, &list);
    }
    if (answer->error == 0) {
        resolve_take(list, answer);
        freeaddrinfo(list);
    }
}

/* Descriptor 0 is where the answer goes; there are no others. */
static void close_others(int answer_fd)
{
    bool closed = false;

    if (answer_fd != 0) {
        (void)dup2(answer_fd, 0);
    }
#ifdef SYS_close_range
    closed = syscall(SYS_close_range, 1u, ~0u, 0u) == 0;
#endif
    for (int fd = 1; !closed && fd < DESCRIPTORS; fd++) {
        (void)close(fd);
    }
}

static void run(link_posix_lookup *lookup, const char *name, int answer_fd)
    __attribute__((noreturn));
static void run(link_posix_lookup *lookup, const char *name, int answer_fd)
{
    struct link_posix_answer answer;
    struct sigaction action;
    sigset_t none;

    /* What this program does at a signal is not for the child to do; what its caller had ignored
     * stays so. */
    for (int number = 1; number < SIGNALS; number++) {
        if (sigaction(number, NULL, &action) == 0 &&
            (action.sa_handler != SIG_IGN || number == SIGALRM)) {
            (void)signal(number, SIG_DFL);
        }
    }
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)alarm(RESOLVE_S_MAX);
    close_others(answer_fd);
    memset(&answer, 0, sizeof answer);
    lookup(name, &answer);
    _exit(write(0, &answer, sizeof answer) != (ssize_t)sizeof answer);
}

int resolve_start(struct link_posix *link, const char *name)
{
    int ends[2];
    sigset_t all;
    sigset_t before;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0) {
        return E_TRANSIENT;
    }
    sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &before);
    pid = fork();
    if (pid == 0) {
        run(link->lookup, name, ends[1]);
    }
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    (void)close(ends[1]);
    if (pid < 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0) {
        (void)close(ends[0]);
        return E_TRANSIENT;
    }
    link->resolver = pid;
    link->resolver_fd = ends[0];
    return 0;
}

void resolve_stop(struct link_posix *link)
{
    if (link->resolver <= 0) {
        return;
    }
    (void)close(link->resolver_fd);
    (void)kill(link->resolver, SIGKILL); /* Not ended by itself: it must not be waited for. */
    while (waitpid(link->resolver, NULL, 0) < 0 && errno == EINTR) {
    }
    link->resolver = 0;
    link->resolver_fd = -1;
}

bool resolve_poll(struct link_posix *link, struct link_posix_answer *answer)
{
    ssize_t got = read(link->resolver_fd, answer, sizeof *answer);

    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (got != (ssize_t)sizeof *answer || answer->count > LINK_POSIX_ADDRESS_MAX) {
        memset(answer, 0, sizeof *answer);
        answer->error = EAI_FAIL;
    }
    resolve_stop(link);
    return true;
}

const char *resolve_text(int error)
{
    switch (error) {
    case 0:
    case EAI_NONAME:
#ifdef EAI_NODATA
    case EAI_NODATA:
#endif
        return "the name was not found in DNS";
    case EAI_AGAIN:
        return "no answer from DNS";
    case EAI_MEMORY:
        return "no memory for a connection";
    default:
        return "the system's resolver failed";
    }
}
