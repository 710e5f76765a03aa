/* The link over real sockets of this machine's loopback, and a resolver that can be made to lie,
 * die and hang. */
#include "net/posix/link_posix.h"
#include "net/posix/resolve.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 5000 /* For what takes microseconds. */
#define MEGABYTES (3u << 20)

static struct link_posix posix;

/* ---- The far side ---- */

static int listen_on(int family, const char *address, int backlog, uint16_t *port)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr *any = family == AF_INET ? (void *)&in : (void *)&in6;
    socklen_t size = family == AF_INET ? sizeof in : sizeof in6;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;

    if (fd < 0) {
        return -1;
    }
    in.sin_port = in6.sin6_port = htons(*port);
    inet_pton(family, address, family == AF_INET ? (void *)&in.sin_addr : (void *)&in6.sin6_addr);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, any, size) < 0 || listen(fd, backlog) < 0) {
        close(fd);
        return -1;
    }
    getsockname(fd, any, &size);
    *port = ntohs(family == AF_INET ? in.sin_port : in6.sin6_port);
    return fd;
}

/* A port of loopback that nobody listens on. */
static uint16_t dead_port(void)
{
    uint16_t port = 0;
    int fd = listen_on(AF_INET, "127.0.0.1", 1, &port);

    assert_true(fd >= 0);
    close(fd);
    return port;
}

/* ---- Names ---- */

static struct link_posix_answer told;

static void add_ipv4(uint8_t last)
{
    struct link_posix_address *address = &told.address[told.count++];

    memset(address, 0, sizeof *address);
    address->family = 4;
    memcpy(address->bytes, (const uint8_t[4]){127, 0, 0, last}, 4);
}

static void add_ipv6(const char *text)
{
    struct link_posix_address *address = &told.address[told.count++];

    memset(address, 0, sizeof *address);
    address->family = 6;
    assert_int_equal(inet_pton(AF_INET6, text, address->bytes), 1);
}

static void lookup_told(const char *name, struct link_posix_answer *answer)
{
    *answer = told;
    if (strcmp(name, "mail.example.test") != 0) {
        answer->error = EAI_NONAME;
    }
}

static void lookup_hangs(const char *name, struct link_posix_answer *answer)
{
    (void)name;
    (void)answer;
    for (;;) {
        pause();
    }
}

static void lookup_dies(const char *name, struct link_posix_answer *answer)
{
    (void)name;
    (void)answer;
    _exit(1);
}

/* Tells what the process has: its descriptors, and that it cannot outlive its time. */
static void lookup_looks(const char *name, struct link_posix_answer *answer)
{
    (void)name;
    for (int fd = 0; fd < 256; fd++) {
        if (fcntl(fd, F_GETFD) >= 0) {
            answer->error++;
        }
    }
    answer->error += alarm(0) > 0 ? 100 : 0;
}

/* ---- Driving ---- */

static struct link *fresh(link_posix_lookup *lookup)
{
    struct link *link = link_posix_init(&posix, NULL, NULL);

    if (lookup != NULL) {
        posix.lookup = lookup;
    }
    return link;
}

static enum link_state run(struct link *link, int until, unsigned ms)
{
    uint64_t end_ms = posix_monotonic_ms() + ms;
    enum link_state state;

    while (state = link_state(link), (int)state != until && state != LINK_FAILED) {
        uint64_t now_ms = posix_monotonic_ms();

        if (now_ms >= end_ms) {
            break;
        }
        link_posix_wait(&posix, true, NULL, 0, (int)(end_ms - now_ms));
    }
    return state;
}

/* No process, no descriptor stays behind. */
static size_t descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    size_t count = 0;

    while (readdir(folder) != NULL) {
        count++;
    }
    closedir(folder);
    return count;
}

static void expect_nothing_left(size_t before)
{
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    assert_int_equal(descriptors(), before);
}

static void expect_failure(struct link *link, const char *host, uint16_t port, const char *text)
{
    assert_int_equal(link_open(link, host, port), 0);
    assert_int_equal(run(link, LINK_OPEN, WAIT_MS), LINK_FAILED);
    assert_string_equal(link_error_text(link), text);
    link_abort(link);
    assert_int_equal(link_state(link), LINK_IDLE);
}

static size_t read_some(struct link *link, char *out, size_t size)
{
    size_t have;
    const uint8_t *bytes = link_rx_buf(link, &have);

    have = have < size ? have : size;
    memcpy(out, bytes, have);
    link_rx_ack(link, have);
    return have;
}

static void talk(const char *host, int family, const char *address, const char *peer)
{
    size_t before = descriptors();
    uint16_t port = 0;
    int listener = listen_on(family, address, 5, &port);
    struct link *link = fresh(lookup_told);
    char expected[100];
    char got[16] = "";
    int far;
    int no_delay = 0;
    socklen_t size = sizeof no_delay;

    if (listener < 0 && family == AF_INET6) {
        skip(); /* A machine without IPv6. */
    }
    assert_int_equal(link_open(link, host, port), 0);
    assert_int_equal(run(link, LINK_OPEN, WAIT_MS), LINK_OPEN);
    snprintf(expected, sizeof expected, "%s:%u", peer, port);
    assert_string_equal(link_peer(link), expected);
    far = accept(listener, NULL, NULL);
    assert_int_equal(getsockopt(posix.fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &size), 0);
    assert_int_equal(no_delay, 1);
    assert_int_equal(link_tx(link, (const uint8_t *)"EHLO ", 5), 5);
    assert_int_equal(link_tx(link, (const uint8_t *)"me\r\n", 4), 4);
    assert_int_equal(recv(far, got, sizeof got, MSG_DONTWAIT), -1); /* Nothing before the flush. */
    link_flush(link);
    assert_int_equal(recv(far, got, sizeof got, 0), 9);
    assert_memory_equal(got, "EHLO me\r\n", 9);
    assert_int_equal(send(far, "250 you\r\n", 9, 0), 9);
    link_posix_wait(&posix, true, NULL, 0, WAIT_MS);
    assert_int_equal(read_some(link, got, 4), 4);
    assert_int_equal(read_some(link, got + 4, sizeof got - 4), 5);
    assert_memory_equal(got, "250 you\r\n", 9);
    assert_int_equal(link_unacked(link), 0);
    link_close(link);
    assert_int_equal(link_state(link), LINK_IDLE);
    assert_int_equal(recv(far, got, sizeof got, 0), 0); /* A FIN, not a reset. */
    close(far);
    close(listener);
    expect_nothing_left(before);
}

static void test_literals(void **state)
{
    (void)state;
    talk("127.0.0.1", AF_INET, "127.0.0.1", "127.0.0.1");
    talk("localhost", AF_INET, "127.0.0.1", "127.0.0.1");
    talk("LOCALHOST.", AF_INET, "127.0.0.1", "127.0.0.1");
    talk("::1", AF_INET6, "::1", "[::1]");
    talk("[::1]", AF_INET6, "::1", "[::1]");
    talk("localhost", AF_INET6, "::1", "[::1]");
}

static void test_name(void **state)
{
    (void)state;
    told = (struct link_posix_answer){0};
    add_ipv4(1);
    talk("mail.example.test", AF_INET, "127.0.0.1", "127.0.0.1");
}

static bool host_line(void *context, const char *name, uint32_t *address)
{
    *address = htonl(INADDR_LOOPBACK);
    return strcmp(name, context) == 0;
}

static void test_host_line(void **state)
{
    uint16_t port = 0;
    int listener = listen_on(AF_INET, "127.0.0.1", 5, &port);
    char name[] = "mail.example.test";
    struct link *link = link_posix_init(&posix, host_line, name);

    (void)state;
    posix.lookup = lookup_dies;
    assert_int_equal(link_open(link, name, port), 0);
    assert_int_equal(posix.resolver, 0);
    assert_int_equal(run(link, LINK_OPEN, WAIT_MS), LINK_OPEN);
    link_abort(link);
    assert_int_equal(link_open(link, "other.example.test", port), 0);
    assert_int_equal(run(link, LINK_OPEN, WAIT_MS), LINK_FAILED);
    link_abort(link);
    close(listener);
}

/* Addresses are shown as inet_ntop() shows them (RFC 5952). */
static void test_addresses_shown(void **state)
{
    static const char *const texts[] = {"::",
                                        "::1",
                                        "1::",
                                        "1:0:2::3",
                                        "2001:db8::1",
                                        "fe80::abcd:ef",
                                        "1:2:3:4:5:6:7:8",
                                        "1:2:3:4:5:6:7:0",
                                        "0:2:3:4:5:6:7:8",
                                        "1:0:0:2::",
                                        "2001:db8::1:0:0:1",
                                        "1:0:2:0:3:0:4:0",
                                        "ff02::1"};
    struct link_posix_address address = {.family = 6};
    char shown[LINK_POSIX_TEXT_BYTES];
    char expected[INET6_ADDRSTRLEN];
    uint32_t dice = 1;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        if (i < sizeof texts / sizeof texts[0]) {
            assert_int_equal(inet_pton(AF_INET6, texts[i], address.bytes), 1);
        } else {
            for (size_t j = 0; j < 16; j++) {
                dice = dice * 1103515245 + 12345;
                address.bytes[j] = (dice >> 16) % 3 != 0 ? 0 : (uint8_t)(dice >> 24);
            }
            address.bytes[0] = 0x20; /* Not one that holds an IPv4 address in dotted form. */
        }
        resolve_show(&address, 0, shown);
        assert_string_equal(shown, inet_ntop(AF_INET6, address.bytes, expected, sizeof expected));
    }
    memset(&address.bytes, 0, 16);
    address.scope = 1; /* lo */
    resolve_show(&address, 25, shown);
    assert_string_equal(shown, "[::%lo]:25");
    address.scope = 987654;
    resolve_show(&address, 0, shown);
    assert_string_equal(shown, "::%987654");
}

static void test_bad_names(void **state)
{
    static const char *const names[] = {
        "",        ".",           "a..b",  "a b",     "mail\r\n",
        "mail/25", "user@host",   "[::1",  "::1]",    "[]",
        "1:2",     "m\xC3\xBCll", "::1%",  "%eth0",   "[127.0.0.1]x",
        "mail;id", "::1%nosuch0", ".mail", "mail.:1", "fe80::1%0"};
    struct link *link = fresh(lookup_told);
    char name[300];

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(link_open(link, names[i], 25), E_INVALID);
        assert_int_equal(link_state(link), LINK_FAILED);
        assert_string_equal(link_error_text(link), "not a host name");
        assert_int_equal(posix.resolver, 0);
    }
    memset(name, 'a', sizeof name);
    name[64] = '\0';
    assert_int_equal(link_open(link, name, 25), E_INVALID);
    for (size_t i = 0; i < sizeof name; i++) {
        name[i] = i % 50 == 49 ? '.' : 'a';
    }
    name[254] = '\0';
    assert_int_equal(link_open(link, name, 25), E_INVALID);
    name[253] = '\0';
    assert_int_equal(link_open(link, name, 25), 0);
    link_abort(link);
    name[253] = '.';
    name[254] = '\0';
    assert_int_equal(link_open(link, name, 25), 0);
    link_abort(link);
}

static void test_resolver(void **state)
{
    size_t before = descriptors();
    struct link *link = fresh(lookup_told);
    uint64_t began_ms;

    (void)state;
    told = (struct link_posix_answer){0};
    add_ipv4(1);
    expect_failure(link, "nobody.example.test", 25, "the name was not found in DNS");
    told.count = 0;
    expect_failure(link, "mail.example.test", 25, "the name was not found in DNS");
    told.error = EAI_AGAIN;
    expect_failure(link, "mail.example.test", 25, "no answer from DNS");
    told.error = EAI_MEMORY;
    expect_failure(link, "mail.example.test", 25, "no memory for a connection");
    told.error = EAI_SYSTEM;
    expect_failure(link, "mail.example.test", 25, "the system's resolver failed");
    expect_failure(fresh(lookup_dies), "mail.example.test", 25, "the system's resolver failed");
    expect_nothing_left(before);

    /* One that hangs costs the caller no more than it wants to give, and is ended with the link. */
    began_ms = posix_monotonic_ms();
    for (unsigned i = 0; i < 3; i++) {
        link = fresh(lookup_hangs);
        assert_int_equal(link_open(link, "mail.example.test", 25), 0);
        assert_int_equal(run(link, LINK_OPEN, 50), LINK_RESOLVING);
        if (i == 1) {
            link_close(link);
        } else {
            link_abort(link);
        }
        expect_nothing_left(before);
    }
    assert_true(posix_monotonic_ms() - began_ms < 1500);
}

/* Its descriptors are one, it has an alarm set, and what this process ignores or handles does not
 * matter to it. */
static void test_resolver_process(void **state)
{
    struct link *link = fresh(lookup_looks);
    sigset_t before;
    sigset_t after;

    (void)state;
    sigprocmask(SIG_BLOCK, NULL, &before);
    assert_int_equal(link_open(link, "mail.example.test", 25), 0);
    sigprocmask(SIG_BLOCK, NULL, &after);
    assert_memory_equal(&before, &after, sizeof before);
    for (struct link_posix_answer answer; posix.resolver != 0;) {
        link_posix_wait(&posix, true, NULL, 0, WAIT_MS);
        if (resolve_poll(&posix, &answer)) {
            assert_int_equal(answer.error, 101);
        }
    }
    link_abort(link);
    signal(SIGCHLD, SIG_IGN);
    assert_int_equal(link_open(link, "mail.example.test", 25), 0);
    assert_int_equal(run(link, LINK_OPEN, WAIT_MS), LINK_FAILED);
    link_abort(link);
    signal(SIGCHLD, SIG_DFL);
}

/* The system's own: what this machine's files say of localhost, and a name that RFC 6761 6.4 says
 * never exists. */
static void test_system(void **state)
{
    struct link_posix_answer answer = {0};
    struct link *link = fresh(NULL);

    (void)state;
    resolve_system("localhost", &answer);
    assert_int_equal(answer.error, 0);
    assert_true(answer.count >= 1);
    assert_int_equal(link_open(link, "nobody.invalid", 25), 0);
    assert_int_equal(run(link, LINK_OPEN, 20000), LINK_FAILED);
    assert_true(strcmp(link_error_text(link), "the name was not found in DNS") == 0 ||
                strcmp(link_error_text(link), "no answer from DNS") == 0);
    link_abort(link);
}

/* The families take turns, whichever comes first, and of many addresses both kinds are left. */
static void test_turns(void **state)
{
    struct sockaddr_in in[10] = {{0}};
    struct sockaddr_in6 in6[10] = {{0}};
    struct sockaddr other = {.sa_family = AF_UNIX};
    struct addrinfo list[21] = {{.ai_addr = &other}};
    struct link_posix_answer answer = {0};

    (void)state;
    for (size_t i = 0; i < 20; i++) {
        in[i % 10] = (struct sockaddr_in){.sin_family = AF_INET,
                                          .sin_addr.s_addr = htonl(0x0A000000u + (uint32_t)i % 10)};
        in6[i % 10] = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_scope_id = 7};
        in6[i % 10].sin6_addr.s6_addr[15] = (uint8_t)(i % 10);
        list[i].ai_next = &list[i + 1];
        list[i + 1].ai_addr = i < 10 ? (struct sockaddr *)&in6[i] : (struct sockaddr *)&in[i % 10];
    }
    resolve_take(list, &answer);
    assert_int_equal(answer.count, LINK_POSIX_ADDRESS_MAX);
    for (size_t i = 0; i < LINK_POSIX_ADDRESS_MAX; i++) {
        bool six = i % 2 == 0;

        assert_int_equal(answer.address[i].family, six ? 6 : 4);
        assert_int_equal(answer.address[i].bytes[six ? 15 : 3], i / 2);
        assert_int_equal(answer.address[i].scope, six ? 7 : 0);
    }
    memset(&answer, 0, sizeof answer);
    resolve_take(&list[18], &answer); /* One family alone. */
    assert_int_equal(answer.count, 3);
    assert_int_equal(answer.address[2].bytes[3], 9);
}

static void test_refused(void **state)
{
    size_t before = descriptors();
    uint16_t port = dead_port();
    struct link *link = fresh(lookup_told);
    char expected[64];

    (void)state;
    /* That there was an address is told before the failure: nobody takes it for one of the name. */
    assert_int_equal(link_open(link, "127.0.0.1", port), 0);
    assert_int_equal(link_state(link), LINK_CONNECTING);
    assert_int_equal(run(link, LINK_OPEN, WAIT_MS), LINK_FAILED);
    assert_string_equal(link_error_text(link), "connection refused");
    snprintf(expected, sizeof expected, "127.0.0.1:%u", port);
    assert_string_equal(link_peer(link), expected);
    link_abort(link);

    expect_failure(link, "localhost", port, "connection refused");
    told = (struct link_posix_answer){0};
    add_ipv6("2001:db8::1"); /* Documentation: led nowhere by a reject route, or by none. */
    add_ipv4(1);
    add_ipv4(2);
    assert_int_equal(link_open(link, "mail.example.test", port), 0);
    (void)run(link, LINK_OPEN, 1000);
    assert_string_equal(posix.error_text, "connection refused");
    assert_string_equal(link_peer(link), expected); /* The address that the error is about. */
    link_abort(link);
    expect_nothing_left(before);
}

static void test_unreachable(void **state)
{
    struct link *link = fresh(NULL);

    (void)state;
    /* TCP to a broadcast address is refused by the system itself; so is a TEST address of IPv6. */
    expect_failure(link, "255.255.255.255", 25, "no route to the server");
    expect_failure(link, "ff02::1%lo", 25, "no route to the server");
}

/* The first address is dead, the next one answers; and a family that this system lacks. */
static void test_addresses(void **state)
{
    size_t before = descriptors();
    uint16_t port = 0;
    int listener = listen_on(AF_INET, "127.0.0.3", 5, &port);
    struct link *link = fresh(lookup_told);
    char expected[64];
    uint64_t began_ms = posix_monotonic_ms();

    (void)state;
    told = (struct link_posix_answer){0};
    add_ipv4(1);
    add_ipv6("::1");
    add_ipv4(2);
    add_ipv6("ff02::1");
    add_ipv4(3);
    assert_int_equal(link_open(link, "mail.example.test", port), 0);
    assert_int_equal(run(link, LINK_OPEN, WAIT_MS), LINK_OPEN);
    assert_true(posix_monotonic_ms() - began_ms < 200); /* A refusal is no reason to wait. */
    snprintf(expected, sizeof expected, "127.0.0.3:%u", port);
    assert_string_equal(link_peer(link), expected);
    link_close(link);
    close(listener);
    expect_nothing_left(before);
}

/* A listener whose backlog is full drops what comes: as far as a client can see, a black hole. */
static int black_hole(const char *address, uint16_t *port, int filler[8])
{
    int listener = listen_on(AF_INET, address, 0, port);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(*port)};

    assert_true(listener >= 0);
    inet_pton(AF_INET, address, &in.sin_addr);
    for (size_t i = 0; i < 8; i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(filler[i], (struct sockaddr *)&in, sizeof in);
    }
    usleep(20000);
    return listener;
}

static void test_black_hole(void **state)
{
    size_t before = descriptors();
    int filler[8];
    uint16_t port = 0;
    int hole = black_hole("127.0.0.1", &port, filler);
    int listener;
    struct link *link = fresh(lookup_told);
    uint64_t began_ms = posix_monotonic_ms();

    (void)state;
    assert_int_equal(link_open(link, "127.0.0.1", port), 0);
    assert_int_equal(run(link, LINK_OPEN, 300), LINK_CONNECTING); /* Bounded by the caller. */
    assert_in_range(posix_monotonic_ms() - began_ms, 290, 600);
    link_abort(link);

    listener = listen_on(AF_INET, "127.0.0.2", 5, &port);
    assert_true(listener >= 0);
    told = (struct link_posix_answer){0};
    add_ipv4(1);
    add_ipv4(2);
    began_ms = posix_monotonic_ms();
    assert_int_equal(link_open(link, "mail.example.test", port), 0);
    assert_int_equal(run(link, LINK_OPEN, WAIT_MS), LINK_OPEN);
    assert_in_range(posix_monotonic_ms() - began_ms, 240, 500);
    for (size_t i = 0; i < LINK_POSIX_ADDRESS_MAX; i++) {
        assert_int_equal(posix.attempt[i], -1); /* The losers are gone. */
    }
    link_abort(link);

    /* A refusal beside one that is silent: the next one's turn is at once. */
    told.count = 1;
    add_ipv4(4);
    add_ipv4(2);
    began_ms = posix_monotonic_ms();
    assert_int_equal(link_open(link, "mail.example.test", port), 0);
    assert_int_equal(run(link, LINK_OPEN, WAIT_MS), LINK_OPEN);
    assert_in_range(posix_monotonic_ms() - began_ms, 240, 400);
    link_abort(link);
    close(listener);
    close(hole);
    for (size_t i = 0; i < 8; i++) {
        close(filler[i]);
    }
    expect_nothing_left(before);
}

/* ---- An open link ---- */

static struct link *connected(int *far)
{
    uint16_t port = 0;
    int listener = listen_on(AF_INET, "127.0.0.1", 5, &port);
    struct link *link = fresh(NULL);
    const int segment = 1448; /* Loopback's own is as large as our windows, and these then stall. */

    setsockopt(listener, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
    assert_int_equal(link_open(link, "127.0.0.1", port), 0);
    assert_int_equal(run(link, LINK_OPEN, WAIT_MS), LINK_OPEN);
    *far = accept(listener, NULL, NULL);
    assert_true(*far >= 0);
    close(listener);
    return link;
}

static void reset_by(int far)
{
    const struct linger reset = {1, 0};

    setsockopt(far, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(far);
}

static void test_reset(void **state)
{
    int far;
    struct link *link = connected(&far);
    char got[32] = "";

    (void)state;
    reset_by(far);
    assert_int_equal(run(link, LINK_ENDED, WAIT_MS), LINK_FAILED);
    assert_string_equal(link_error_text(link), "connection reset by the server");
    assert_int_equal(link_tx(link, (const uint8_t *)"x", 1), 0);
    link_flush(link);
    link_close(link);

    /* What was said before the reset is read, also by one who was writing. */
    link = connected(&far);
    assert_int_equal(link_tx(link, (const uint8_t *)"x", 1), 1);
    link_flush(link);
    assert_int_equal(send(far, "554 go away\r\n", 13, 0), 13);
    reset_by(far);
    usleep(20000);
    assert_int_equal(link_tx(link, (const uint8_t *)"more", 4), 4);
    link_flush(link); /* No SIGPIPE. */
    assert_int_equal(link_state(link), LINK_FAILED);
    assert_string_equal(link_error_text(link), "connection reset by the server");
    assert_int_equal(read_some(link, got, sizeof got), 13);
    assert_string_equal(got, "554 go away\r\n");
    assert_int_equal(read_some(link, got, sizeof got), 0);
    link_abort(link);

    /* One that has closed for good and is written to answers with a reset, which is EPIPE here. */
    link = connected(&far);
    close(far);
    assert_int_equal(run(link, LINK_ENDED, WAIT_MS), LINK_ENDED);
    for (unsigned i = 0; i < 3; i++) {
        (void)link_tx(link, (const uint8_t *)"more", 4);
        link_flush(link);
        usleep(5000);
    }
    assert_int_equal(link_state(link), LINK_FAILED);
    assert_string_equal(link_error_text(link), "connection reset by the server");
    link_close(link);
}

static void test_half_close(void **state)
{
    int far;
    struct link *link = connected(&far);
    char got[32] = "";
    uint64_t began_ms;

    (void)state;
    assert_int_equal(send(far, "421 bye\r\n", 9, 0), 9);
    shutdown(far, SHUT_WR);
    usleep(10000);
    assert_int_equal(read_some(link, got, 3), 3);
    assert_int_equal(link_state(link), LINK_OPEN); /* There are bytes before the end. */
    assert_int_equal(read_some(link, got + 3, sizeof got - 3), 6);
    assert_string_equal(got, "421 bye\r\n");
    assert_int_equal(link_state(link), LINK_ENDED);
    /* It is told once: waiting for more does not spin. */
    began_ms = posix_monotonic_ms();
    link_posix_wait(&posix, true, NULL, 0, 100);
    assert_in_range(posix_monotonic_ms() - began_ms, 95, 400);
    assert_int_equal(link_tx(link, (const uint8_t *)"QUIT\r\n", 6), 6);
    link_flush(link);
    assert_int_equal(recv(far, got, sizeof got, 0), 6);
    link_close(link);
    assert_int_equal(recv(far, got, sizeof got, 0), 0);
    close(far);
}

static uint8_t pattern(size_t at)
{
    return (uint8_t)(at * 7 + (at >> 8) * 3 + (at >> 16));
}

/* Megabytes in both directions at once, each side slow in its own way. */
static void test_megabytes(void **state)
{
    int far;
    struct link *link = connected(&far);
    size_t up_in = 0, up_out = 0, down_in = 0, down_out = 0;
    static uint8_t piece[50000];
    unsigned writes = 0;
    const int small = 65536;

    (void)state;
    fcntl(far, F_SETFL, O_NONBLOCK);
    setsockopt(posix.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    while (up_out < MEGABYTES || down_out < MEGABYTES) {
        struct pollfd more = {.fd = far,
                              .events = (short)(POLLIN | (down_in < MEGABYTES ? POLLOUT : 0))};
        size_t size = MEGABYTES - up_in < 16413 ? MEGABYTES - up_in : 16413;
        ssize_t moved;
        size_t have;
        const uint8_t *bytes;

        for (size_t i = 0; i < size; i++) {
            piece[i] = pattern(up_in + i);
        }
        up_in += link_tx(link, piece, size);
        if (++writes % 3 != 0) {
            link_flush(link);
        }
        bytes = link_rx_buf(link, &have);
        have = have < 5000 ? have : 5000;
        for (size_t i = 0; i < have; i++) {
            assert_int_equal(bytes[i], pattern(down_out + i));
        }
        link_rx_ack(link, have);
        down_out += have;
        for (size_t i = 0; i < sizeof piece; i++) {
            piece[i] = pattern(down_in + i);
        }
        size = MEGABYTES - down_in < sizeof piece ? MEGABYTES - down_in : sizeof piece;
        moved = size > 0 ? send(far, piece, size, 0) : 0;
        down_in += moved > 0 ? (size_t)moved : 0;
        moved = recv(far, piece, 777 + writes % 5000, 0);
        for (ssize_t i = 0; i < moved; i++) {
            assert_int_equal(piece[i], pattern(up_out + (size_t)i));
        }
        up_out += moved > 0 ? (size_t)moved : 0;
        link_posix_wait(&posix, true, &more, 1, 10); /* After the last byte nothing comes. */
        assert_int_not_equal(link_state(link), LINK_FAILED);
    }
    link_close(link);
    close(far);
}

/* link_close() when the far side has not yet read: all arrives, although it talks meanwhile. */
static void test_close_with_unsent(void **state)
{
    int far;
    struct link *link = connected(&far);
    const int small = 4096;
    size_t sent = 0;
    static uint8_t piece[20000];
    pid_t reader;
    int status = 0;

    (void)state;
    setsockopt(posix.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    for (size_t took = 1; took > 0; sent += took) {
        took = link_tx(link, piece, sizeof piece);
    }
    assert_int_equal(send(far, "250 noise\r\n", 11, 0), 11);
    reader = fork();
    if (reader == 0) {
        size_t got = 0;
        ssize_t n;

        usleep(100000);
        while ((n = recv(far, piece, sizeof piece, 0)) > 0) {
            got += (size_t)n;
            (void)send(far, "250 more noise\r\n", 16, MSG_NOSIGNAL);
        }
        _exit(n == 0 && got == sent ? 0 : 1);
    }
    close(far);
    link_close(link);
    assert_int_equal(waitpid(reader, &status, 0), reader);
    assert_int_equal(status, 0);
}

/* One who never reads does not hold link_close() for ever; link_abort() is at once, and a reset. */
static void test_close_is_bounded(void **state)
{
    int far;
    struct link *link = connected(&far);
    static uint8_t piece[20000];
    uint64_t began_ms;
    char got[8];

    (void)state;
    while (link_tx(link, piece, sizeof piece) > 0) {
    }
    began_ms = posix_monotonic_ms();
    link_close(link);
    assert_in_range(posix_monotonic_ms() - began_ms, 1900, 3000);
    close(far);

    link = connected(&far);
    assert_int_equal(link_tx(link, piece, 100), 100);
    began_ms = posix_monotonic_ms();
    link_abort(link);
    assert_true(posix_monotonic_ms() - began_ms < 100);
    assert_int_equal(recv(far, got, sizeof got, 0), -1);
    assert_int_equal(errno, ECONNRESET);
    close(far);
}

static unsigned alarms;

static void count_alarm(int number)
{
    (void)number;
    alarms++;
}

static void test_wait(void **state)
{
    int far;
    struct link *link = connected(&far);
    struct sigaction action = {.sa_handler = count_alarm};
    int ends[2];
    uint64_t began_ms = posix_monotonic_ms();
    struct pollfd more[2];
    size_t left;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    more[0] = (struct pollfd){.fd = ends[0], .events = POLLIN};
    more[1] = (struct pollfd){.fd = -1};
    link_posix_wait(&posix, true, more, 2, 50);
    assert_in_range(posix_monotonic_ms() - began_ms, 45, 400);
    assert_int_equal(more[0].revents, 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    link_posix_wait(&posix, true, more, 2, WAIT_MS);
    assert_int_equal(more[0].revents, POLLIN);

    /* Bytes that nobody has room for end no wait; those that somebody wants end it at once. */
    assert_int_equal(send(far, "1234", 4, 0), 4);
    usleep(10000);
    (void)link_rx_buf(link, &(size_t){0});
    began_ms = posix_monotonic_ms();
    link_posix_wait(&posix, true, NULL, 0, WAIT_MS);
    assert_true(posix_monotonic_ms() - began_ms < 100);
    link_posix_wait(&posix, false, NULL, 0, 50);
    assert_in_range(posix_monotonic_ms() - began_ms, 45, 400);
    link_posix_wait(&posix, true, NULL, 0, WAIT_MS);
    assert_true(posix_monotonic_ms() - began_ms < 400);

    /* Who leaves them all is not told again, whatever else comes; who takes some is. */
    assert_int_equal(send(far, "56789", 5, 0), 5);
    began_ms = posix_monotonic_ms();
    link_posix_wait(&posix, true, NULL, 0, 100);
    assert_in_range(posix_monotonic_ms() - began_ms, 95, 400);
    link_rx_ack(link, 1);
    began_ms = posix_monotonic_ms();
    link_posix_wait(&posix, true, NULL, 0, WAIT_MS);
    link_rx_ack(link, 3);
    link_posix_wait(&posix, true, NULL, 0, WAIT_MS);
    (void)link_rx_buf(link, &(size_t){0});
    link_posix_wait(&posix, true, NULL, 0, WAIT_MS);
    assert_true(posix_monotonic_ms() - began_ms < 100);
    (void)link_rx_buf(link, &left);
    assert_int_equal(left, 5);
    link_rx_ack(link, 1);

    link_rx_ack(link, 4);

    sigaction(SIGALRM, &action, NULL);
    alarm(1);
    link_posix_wait(&posix, false, NULL, 0, -1);
    assert_int_equal(alarms, 1);

    /* A state that was not told yet ends it at once. */
    close(far);
    usleep(10000);
    (void)link_rx_buf(link, &(size_t){0});
    began_ms = posix_monotonic_ms();
    link_posix_wait(&posix, true, NULL, 0, WAIT_MS);
    assert_true(posix_monotonic_ms() - began_ms < 100);
    assert_int_equal(link_state(link), LINK_ENDED);
    link_abort(link);
    close(ends[0]);
    close(ends[1]);
}

/* ---- Clocks, random bytes, UDP ---- */

static void test_helpers(void **state)
{
    static uint8_t bytes[3][4096];
    uint64_t now_ms = posix_monotonic_ms();
    unsigned bits = 0;

    (void)state;
    usleep(20000);
    assert_in_range(posix_monotonic_ms() - now_ms, 19, 500);
    assert_in_range(posix_unix_ms() / 1000, (uint64_t)time(NULL) - 2, (uint64_t)time(NULL) + 2);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(posix_random(bytes[i], sizeof bytes[i]), 0);
        for (size_t j = 0; j < sizeof bytes[i]; j++) {
            bits += (unsigned)__builtin_popcount(bytes[i][j]);
        }
    }
    assert_in_range(bits, 3 * 4096 * 4 - 2000, 3 * 4096 * 4 + 2000);
    assert_memory_not_equal(bytes[0], bytes[1], sizeof bytes[0]);
    assert_memory_not_equal(bytes[1], bytes[2], sizeof bytes[0]);
}

static uint16_t udp_port(int fd)
{
    struct sockaddr_in6 any = {0};
    socklen_t size = sizeof any;

    getsockname(fd, (struct sockaddr *)&any, &size);
    return ntohs(any.sin6_port); /* It stands where IPv4 has it as well. */
}

static void expect_datagram(int fd, int family, const char *address)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(udp_port(fd))};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = in6.sin6_port};
    struct sockaddr *to = family == AF_INET ? (void *)&in : (void *)&in6;
    int from = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    char got[8];

    inet_pton(family, address, family == AF_INET ? (void *)&in.sin_addr : (void *)&in6.sin6_addr);
    assert_int_equal(sendto(from, "hello", 5, 0, to, family == AF_INET ? sizeof in : sizeof in6),
                     5);
    assert_int_equal(poll(&ready, 1, WAIT_MS), 1);
    assert_int_equal(recv(fd, got, sizeof got, 0), 5);
    close(from);
}

static void test_udp(void **state)
{
    int fd = posix_udp_listen(NULL, 0);
    uint16_t port = udp_port(fd);
    int family = 0;

    (void)state;
    assert_true(fd >= 0);
    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &(socklen_t){sizeof family});
    expect_datagram(fd, AF_INET, "127.0.0.1");
    if (family == AF_INET6) {
        expect_datagram(fd, AF_INET6, "::1");
    }
    assert_int_equal(posix_udp_listen(NULL, port), E_IO);
    assert_int_equal(errno, EADDRINUSE);
    close(fd);
    fd = posix_udp_listen("127.0.0.1", port);
    assert_true(fd >= 0);
    expect_datagram(fd, AF_INET, "127.0.0.1");
    close(fd);
    assert_int_equal(posix_udp_listen("no.such.name", port), E_IO);
    assert_int_equal(errno, EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_literals),
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_host_line),
        cmocka_unit_test(test_addresses_shown),
        cmocka_unit_test(test_bad_names),
        cmocka_unit_test(test_resolver),
        cmocka_unit_test(test_resolver_process),
        cmocka_unit_test(test_system),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_unreachable),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_black_hole),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_half_close),
        cmocka_unit_test(test_megabytes),
        cmocka_unit_test(test_close_with_unsent),
        cmocka_unit_test(test_close_is_bounded),
        cmocka_unit_test(test_wait),
        cmocka_unit_test(test_helpers),
        cmocka_unit_test(test_udp),
    };

    return cmocka_run_group_tests_name("link_posix", tests, NULL, NULL);
}
