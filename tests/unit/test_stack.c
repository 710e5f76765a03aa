/* net/lwip with lwIP itself, on a simulated Ethernet (tests/sim/lan.h) and a simulated clock.
 *
 * lwIP's state is at file scope: each test is a child process. The transfers at the end are seeded;
 * one that fails prints its number, and `TRANSFER=n build/host/tests/test_stack` runs it alone.
 */
#include "lwip/memp.h"
#include "lwip/pbuf.h"
#include "net/lwip/stack.h"
#include "tests/sim/child.h"
#include "tests/sim/lan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CHILD_SECONDS_MAX 60
#define TURNS_MAX 10000

/* One world a child; a stack's functions know no context. */
static struct world {
    uint64_t now_ms;
    struct lan lan;
    struct stack_params params;
    struct link_lwip memory;
    struct link *link;
    uint64_t unix_ms;
    uint32_t random;
    unsigned datagrams;
    size_t datagram_size;
    /* The server's answer to each connection. */
    const char *greeting;
    bool greet_and_end;
    char got[4096]; /* What the device read. */
    size_t got_size;
} world;

static uint64_t now_ms(void)
{
    return world.now_ms;
}

static uint32_t random_number(void)
{
    return sim_dice(&world.random, UINT32_MAX);
}

static void set_time(uint64_t unix_ms)
{
    world.unix_ms = unix_ms;
}

static void __attribute__((noreturn)) panic(const char *what, const char *file, int line)
{
    fprintf(stderr, "panic: %s %s %d\n", what, file, line);
    sim_child_end(1);
}

static void datagram(void *context, const char *bytes, size_t size, uint32_t sender)
{
    (void)context;
    (void)bytes;
    (void)sender;
    world.datagrams++;
    world.datagram_size = size;
}

/* Reads all that a client says, and greets it. */
static void greet(void *context, struct sim_tcp *tcp, unsigned index, bool fresh)
{
    size_t size;

    (void)context;
    (void)index;
    if (fresh) {
        (void)sim_tcp_tx(tcp, (const uint8_t *)world.greeting, strlen(world.greeting));
    }
    (void)sim_tcp_rx(tcp, &size);
    sim_tcp_rx_ack(tcp, size);
    if (tcp->fin_received || world.greet_and_end) {
        sim_tcp_close(tcp);
    }
}

/* Network byte order, as lwIP's addresses are. */
static uint32_t net(uint32_t address)
{
    return PP_HTONL(address);
}

static void prepare(uint32_t seed)
{
    memset(&world, 0, sizeof world);
    world.now_ms = 1;
    world.random = (seed * 2246822519u) | 1;
    world.greeting = "220 hello\r\n";
    lan_init(&world.lan, &world.now_ms, seed);
    world.lan.service = greet;
    world.params = (struct stack_params){
        .nic = &world.lan.ether.nic,
        .mac = {2, 0, 0, 0, 0, 9},
        .hostname = "tocsin",
        .dhcp = true,
        .now_ms = now_ms,
        .random = random_number,
        .set_time = set_time,
        .panic = panic,
    };
}

static void begin(void)
{
    sim_expect(stack_init(&world.params) == 0);
    sim_expect(stack_udp_listen(514, datagram, NULL) == 0);
    world.link = link_lwip_init(&world.memory);
}

/* One turn of the device's loop, and then the time that it would sleep. */
static void turn(uint64_t until_ms)
{
    uint64_t next_ms;
    unsigned turns = 0;

    lan_poll(&world.lan);
    while (stack_poll()) {
        sim_expect(++turns < TURNS_MAX);
    }
    next_ms = world.now_ms + stack_sleep_ms_max();
    next_ms = lan_next_ms(&world.lan) < next_ms ? lan_next_ms(&world.lan) : next_ms;
    next_ms = until_ms < next_ms ? until_ms : next_ms;
    world.now_ms = next_ms > world.now_ms ? next_ms : world.now_ms + 1;
}

static void run(uint64_t ms)
{
    uint64_t until_ms = world.now_ms + ms;

    while (world.now_ms < until_ms) {
        turn(until_ms);
    }
}

static void read_all(void)
{
    const uint8_t *bytes;
    size_t size;

    while ((bytes = link_rx_buf(world.link, &size)), size > 0) {
        size_t room = sizeof world.got - world.got_size;
        size_t take = size < room ? size : room;

        memcpy(world.got + world.got_size, bytes, take);
        world.got_size += take;
        link_rx_ack(world.link, size);
    }
}

static uint32_t address(void)
{
    struct network_status status;

    stack_status(&status);
    return status.address;
}

static bool wait_address(uint64_t ms)
{
    for (uint64_t until_ms = world.now_ms + ms; world.now_ms < until_ms && address() == 0;) {
        turn(until_ms);
    }
    return address() != 0;
}

/* Runs until the link has that state, or for that long. */
static bool wait_state(enum link_state state, uint64_t ms)
{
    uint64_t until_ms = world.now_ms + ms;

    while (world.now_ms < until_ms && link_state(world.link) != state) {
        turn(until_ms);
    }
    return link_state(world.link) == state;
}

static void start(void)
{
    prepare(1);
    begin();
    sim_expect(wait_address(5000));
}

static void open_link(void)
{
    world.got_size = 0;
    sim_expect(link_open(world.link, LAN_NAME, LAN_MAIL_PORT) == 0);
}

/* Opens, and reads the greeting. */
static bool greeted_within(uint64_t ms)
{
    open_link();
    if (!wait_state(LINK_OPEN, ms)) {
        return false;
    }
    for (uint64_t until_ms = world.now_ms + ms; world.now_ms < until_ms;) {
        read_all();
        if (world.got_size == strlen(world.greeting)) {
            return memcmp(world.got, world.greeting, world.got_size) == 0;
        }
        turn(until_ms);
    }
    return false;
}

static bool error_is(const char *text)
{
    if (strcmp(link_error_text(world.link), text) != 0) {
        fprintf(stderr, "error text: %s\n", link_error_text(world.link));
        return false;
    }
    return true;
}

static void send_text(const char *text)
{
    sim_expect(link_tx(world.link, (const uint8_t *)text, strlen(text)) == strlen(text));
    link_flush(world.link);
}

/* Everything that lwIP was lent has come back. */
static bool all_is_back(void)
{
    struct pbuf *pbuf[PBUF_POOL_SIZE + 1];
    struct pbuf *heap = pbuf_alloc(PBUF_RAW, MEM_SIZE - 200, PBUF_RAM);
    unsigned count = 0;

    while (count <= PBUF_POOL_SIZE &&
           (pbuf[count] = pbuf_alloc(PBUF_RAW, PBUF_POOL_BUFSIZE, PBUF_POOL)) != NULL) {
        count++;
    }
    for (unsigned i = 0; i < count; i++) {
        pbuf_free(pbuf[i]);
    }
    if (heap == NULL) {
        return false;
    }
    pbuf_free(heap);
    return count == PBUF_POOL_SIZE;
}

/* --- Addresses and names --- */

static int good_network(void *context)
{
    (void)context;
    start();
    sim_expect(address() == net(LAN_DEVICE));
    sim_expect(greeted_within(1000));
    sim_expect(strcmp(link_peer(world.link), "192.0.2.20:25") == 0);
    send_text("EHLO x\r\n");
    run(100);
    sim_expect(link_unacked(world.link) == 0);
    link_close(world.link);
    run(20000);
    sim_expect(world.lan.tcp[0].state == SIM_TCP_FREE && !world.lan.tcp[0].was_reset);
    sim_expect(world.unix_ms / 1000 - LAN_UNIX_S < 20);
    sim_expect(all_is_back());
    return 0;
}

/* A lease, and each renewal of it, tells of name servers; configured ones stay in force. */
static int renewal_keeps_dns(void *context)
{
    struct network_status status;

    (void)context;
    prepare(1);
    world.lan.lease_s = 60;
    world.params.dns[0] = net(LAN_DNS_CONFIGURED);
    begin();
    sim_expect(wait_address(5000));
    for (unsigned i = 0; i < 6; i++) {
        sim_expect(greeted_within(1000));
        link_close(world.link);
        run(45000); /* A lease is renewed at half its time; the name's 30 s are over. */
        stack_status(&status);
        sim_expect(status.dns[0] == net(LAN_DNS_CONFIGURED));
    }
    sim_expect(world.lan.dhcp_acks >= 5);
    sim_expect(world.lan.dns_questions[0] == 0);
    sim_expect(world.lan.dns_questions[1] >= 6);
    return 0;
}

/* Where none is configured, the lease's are asked, the newest ones. */
static int lease_brings_dns(void *context)
{
    (void)context;
    start();
    sim_expect(greeted_within(1000));
    link_close(world.link);
    sim_expect(world.lan.dns_questions[0] == 1 && world.lan.dns_questions[1] == 0);
    world.lan.lease_dns = LAN_DNS_CONFIGURED;
    run(1900 * 1000);
    sim_expect(greeted_within(1000));
    sim_expect(world.lan.dns_questions[0] == 1 && world.lan.dns_questions[1] == 1);
    return 0;
}

/* The network has other addresses after a while: NAK, and all works from the new one. */
static int lease_changes(void *context)
{
    (void)context;
    prepare(1);
    world.lan.lease_s = 120;
    begin();
    sim_expect(wait_address(5000));
    sim_expect(greeted_within(1000));
    link_close(world.link);
    world.lan.moved = LAN_OTHER_NET;
    run(125 * 1000);
    sim_expect(address() == net(LAN_DEVICE ^ LAN_OTHER_NET));
    sim_expect(greeted_within(1000));
    return 0;
}

/* The DHCP server goes away: the address is given up when the lease ends, and comes back with it.
 */
static int lease_ends(void *context)
{
    (void)context;
    prepare(1);
    world.lan.lease_s = 120;
    begin();
    sim_expect(wait_address(5000));
    world.lan.dhcp = LAN_DHCP_AWAY;
    run(110 * 1000);
    sim_expect(address() == net(LAN_DEVICE));
    run(30 * 1000);
    sim_expect(address() == 0);
    run(3600 * 1000);
    world.lan.dhcp = LAN_DHCP_OK;
    sim_expect(wait_address(65 * 1000));
    sim_expect(greeted_within(1000));
    return 0;
}

/* A server that offers and refuses, over and over: no flood, and all is well when it has come to
 * its senses. */
static int lease_refused(void *context)
{
    (void)context;
    prepare(1);
    world.lan.dhcp = LAN_DHCP_NAK;
    begin();
    run(60000);
    sim_expect(address() == 0);
    sim_expect(world.lan.dhcp_naks > 5 && world.lan.dhcp_naks < 150);
    world.lan.dhcp = LAN_DHCP_OK;
    sim_expect(wait_address(10000));
    sim_expect(greeted_within(1000));
    return 0;
}

static int names(void *context)
{
    static const struct {
        enum lan_dns dns;
        const char *error;
    } cases[] = {
        {LAN_DNS_NXDOMAIN, "the name was not found in DNS"},
        {LAN_DNS_SERVFAIL, "the name was not found in DNS"},
        {LAN_DNS_EMPTY, "the name was not found in DNS"},
        {LAN_DNS_AWAY, "the name was not found in DNS"},
        {LAN_DNS_GARBAGE, "the name was not found in DNS"},
    };

    (void)context;
    start();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        world.lan.dns = cases[i].dns;
        open_link();
        sim_expect(wait_state(LINK_FAILED, 30000));
        sim_expect(error_is(cases[i].error));
        link_abort(world.link);
    }
    world.lan.dns = LAN_DNS_FORGED; /* The first answer has a wrong number, and a wrong address. */
    sim_expect(greeted_within(1000));
    sim_expect(strcmp(link_peer(world.link), "192.0.2.20:25") == 0);
    return 0;
}

/* An answer to a question that was given up must not open anything. */
static int late_name(void *context)
{
    (void)context;
    start();
    world.lan.dns_after_ms = 800;
    open_link();
    run(500);
    sim_expect(link_state(world.link) == LINK_RESOLVING);
    link_abort(world.link);
    run(5000);
    sim_expect(link_state(world.link) == LINK_IDLE && world.lan.connections == 0);
    sim_expect(greeted_within(3000));
    return 0;
}

static int clock_by_network(void *context)
{
    (void)context;
    prepare(1);
    world.lan.sntp = LAN_SNTP_FORGED;
    begin();
    run(60000);
    sim_expect(world.lan.sntp_questions > 2 && world.unix_ms == 0);
    world.lan.sntp = LAN_SNTP_AWAY;
    run(3600 * 1000);
    sim_expect(world.unix_ms == 0);
    world.lan.sntp = LAN_SNTP_OK;
    run(70000);
    sim_expect(world.unix_ms / 1000 >= LAN_UNIX_S + 3660);
    return 0;
}

/* --- The link --- */

static int ways_to_fail(void *context)
{
    (void)context;
    start();
    world.lan.mail_refuses = true;
    open_link();
    sim_expect(wait_state(LINK_FAILED, 2000) && error_is("connection refused"));
    link_close(world.link);
    world.lan.mail_refuses = false;

    world.lan.mail_deaf = true;
    open_link();
    sim_expect(wait_state(LINK_FAILED, 120000) && error_is("no answer from the server"));
    link_close(world.link);
    world.lan.mail_deaf = false;

    sim_expect(greeted_within(1000));
    lan_restart(&world.lan, true);
    sim_expect(wait_state(LINK_FAILED, 1000) && error_is("connection reset by the server"));
    link_close(world.link);

    sim_expect(greeted_within(1000));
    run(500); /* Its acknowledgement has left. */
    lan_restart(&world.lan, false);
    run(60000);
    sim_expect(link_state(world.link) == LINK_OPEN); /* Nothing to be known yet. */
    send_text("NOOP\r\n");
    sim_expect(wait_state(LINK_FAILED, 1000) && error_is("connection reset by the server"));
    link_close(world.link);

    sim_expect(greeted_within(1000));
    world.lan.mail_deaf = true;
    send_text("NOOP\r\n");
    sim_expect(wait_state(LINK_FAILED, 45 * 60 * 1000));
    sim_expect(error_is("connection lost: no acknowledgements"));
    return 0;
}

/* What came before the end can still be read. */
static int end_of_stream(void *context)
{
    (void)context;
    start();
    world.greet_and_end = true;
    open_link();
    sim_expect(wait_state(LINK_ENDED, 2000));
    read_all();
    sim_expect(world.got_size == strlen(world.greeting));
    link_close(world.link);
    run(2000);
    sim_expect(world.lan.tcp[0].state == SIM_TCP_FREE && !world.lan.tcp[0].was_reset);
    sim_expect(all_is_back());
    return 0;
}

/* What is sent again may begin with bytes that were read long ago, by whole pbufs: lwIP then hands
 * up a chain with empty ones in front. */
static int overlapping_resend(void *context)
{
    static uint8_t noise[SIM_TCP_HISTORY];
    struct sim_tcp *tcp = &world.lan.tcp[0];

    (void)context;
    start();
    world.lan.manners.overlap = true;
    sim_expect(greeted_within(1000));
    for (unsigned i = 0; i < 200; i++) {
        size_t size = 1 + sim_dice(&world.random, 700);
        uint64_t until_ms = world.now_ms + 30000;

        world.got_size = 0;
        for (size_t k = 0; k < size; k++) {
            noise[k] = (uint8_t)sim_dice(&world.random, 256);
        }
        world.lan.ether.faults.lost = 1000; /* The first copy. */
        sim_expect(sim_tcp_tx(tcp, noise, size) == size);
        run(50);
        world.lan.ether.faults.lost = 0;
        while (world.now_ms < until_ms && world.got_size < size) {
            turn(until_ms);
            read_all();
        }
        sim_expect(world.got_size == size && memcmp(world.got, noise, size) == 0);
    }
    sim_expect(tcp->resends >= 200);
    return 0;
}

/* Connections that we closed and whose server never says so give way to a new one. */
static int closing_give_way(void *context)
{
    (void)context;
    start();
    for (unsigned i = 0; i < 12; i++) {
        sim_expect(greeted_within(1000));
        for (unsigned k = 0; k < LAN_TCP_MAX; k++) {
            world.lan.tcp[k].manners.silent = true;
        }
        if (i % 2 == 0) {
            send_text("QUIT\r\n");
        }
        link_close(world.link);
        run(50);
    }
    return 0;
}

static int window_closed(void *context)
{
    static const char line[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n";
    size_t sent = 0;

    (void)context;
    start();
    world.lan.manners.window = 0;
    open_link();
    sim_expect(wait_state(LINK_OPEN, 1000));
    while (link_tx(world.link, (const uint8_t *)line, sizeof line - 1) == sizeof line - 1) {
        sent += sizeof line - 1;
    }
    link_flush(world.link);
    run(60000);
    sim_expect(world.lan.tcp[0].rx_total <= 1 && link_state(world.link) == LINK_OPEN);
    world.lan.tcp[0].manners.window = SIM_TCP_BUFFER; /* Nobody is told: the probes find out. */
    run(70000);
    sim_expect(world.lan.tcp[0].rx_total >= sent && link_unacked(world.link) == 0);
    return 0;
}

static int cable(void *context)
{
    struct network_status status;

    (void)context;
    start();
    sim_expect(greeted_within(1000));
    world.lan.ether.cable = false;
    run(300);
    stack_status(&status);
    sim_expect(!status.link_up);
    send_text("NOOP\r\n");
    run(20000);
    world.lan.ether.cable = true;
    run(300);
    stack_status(&status);
    sim_expect(status.link_up);
    run(30000); /* What was sent meanwhile is sent again. */
    sim_expect(link_state(world.link) == LINK_OPEN && link_unacked(world.link) == 0);
    return 0;
}

/* A router with another MAC address: known at once when it is told, else within a minute; and then
 * TCP tries again. */
static int router_replaced(void *context)
{
    (void)context;
    start();
    for (unsigned told = 0; told < 2; told++) {
        sim_expect(greeted_within(1000));
        lan_new_router(&world.lan, told);
        run(100);
        send_text("NOOP\r\n");
        for (uint64_t until_ms = world.now_ms + (told ? 2000 : 150000);
             world.now_ms < until_ms && link_unacked(world.link) > 0;) {
            turn(until_ms);
        }
        sim_expect(link_unacked(world.link) == 0);
        link_close(world.link);
        run(100);
    }
    return 0;
}

static int datagrams(void *context)
{
    static char bytes[1472];

    (void)context;
    start();
    sim_expect(lan_datagram(&world.lan, 514, "<13>x", 5));
    run(10);
    sim_expect(world.datagrams == 1 && world.datagram_size == 5);
    sim_expect(lan_datagram(&world.lan, 514, bytes, sizeof bytes));
    run(10);
    sim_expect(world.datagrams == 2 && world.datagram_size == 1024);
    sim_expect(lan_datagram(&world.lan, 514, "", 0));
    sim_expect(lan_datagram(&world.lan, 515, "x", 1));
    run(10);
    for (unsigned i = 0; i < 40; i++) { /* More than the ring and the pool hold. */
        sim_expect(lan_datagram(&world.lan, 514, bytes, 1400));
    }
    run(1000);
    sim_expect(world.datagrams == 3 + ETHER_RING_MAX);
    sim_expect(greeted_within(1000));
    link_close(world.link);
    run(1000);
    sim_expect(all_is_back());
    return 0;
}

/* --- Transfers over a network that fails --- */

#define TRANSFER_BYTES_MAX 20000
#define ILL_MS_MAX 120000
/* Twelve tries of lwIP's, with doubled waits, take half an hour. */
#define BOUND_MS (40 * 60 * 1000)
#define EVENTS_MAX 4

enum event_kind { CABLE, DEAF, UPLINK, ROUTER, MOVED, NAK, SHUT, RESTART, EVENT_KINDS };

struct transfer {
    uint32_t seed;
    size_t up_size, down_size;  /* To the server, and from it. */
    size_t up_sent, down_taken; /* By the device, */
    size_t up_taken, down_sent; /* and by the server. */
    bool wrong;                 /* A byte that is not the next one. */
    bool was_shut;              /* The server closed its window for a while. */
    struct {
        enum event_kind kind;
        uint64_t begin_ms, end_ms;
    } events[EVENTS_MAX];
    unsigned event_count;
};

/* What became of the transfers, over all children. */
static struct totals {
    unsigned whole, failed, waiting;
    uint64_t bytes, frames, lost, doubled, late, damaged, cut, resends;
    uint64_t longest_ms;
} * totals;

static struct transfer transfer;

static uint8_t byte_at(size_t index, uint8_t direction)
{
    return (uint8_t)((index * 2654435761u >> 11) ^ index ^ transfer.seed ^ direction);
}

static void transfer_service(void *context, struct sim_tcp *tcp, unsigned index, bool fresh)
{
    const uint8_t *bytes;
    uint8_t piece[256];
    size_t size;

    (void)context;
    (void)index;
    if (fresh) {
        transfer.up_taken = 0;
        transfer.down_sent = 0;
    }
    bytes = sim_tcp_rx(tcp, &size);
    for (size_t i = 0; i < size; i++) {
        transfer.wrong |= bytes[i] != byte_at(transfer.up_taken++, 1);
    }
    sim_tcp_rx_ack(tcp, size);
    do {
        size = transfer.down_size - transfer.down_sent;
        size = size < sizeof piece ? size : sizeof piece;
        for (size_t i = 0; i < size; i++) {
            piece[i] = byte_at(transfer.down_sent + i, 2);
        }
        size = sim_tcp_tx(tcp, piece, size);
        transfer.down_sent += size;
    } while (size > 0);
    if (tcp->fin_received ||
        (transfer.up_taken == transfer.up_size && transfer.down_sent == transfer.down_size)) {
        sim_tcp_close(tcp);
    }
}

/* The device's side. True: it is over, well or not. */
static bool transfer_step(void)
{
    enum link_state state = link_state(world.link);
    uint8_t piece[300];
    const uint8_t *bytes;
    size_t size;

    while ((bytes = link_rx_buf(world.link, &size)), size > 0) {
        size_t take = 1 + sim_dice(&world.random, (uint32_t)size);

        for (size_t i = 0; i < take; i++) {
            transfer.wrong |= bytes[i] != byte_at(transfer.down_taken++, 2);
        }
        link_rx_ack(world.link, take);
    }
    if (state == LINK_OPEN || state == LINK_ENDED) {
        size_t before = transfer.up_sent;

        do {
            size = transfer.up_size - transfer.up_sent;
            size = size < sizeof piece ? size : sizeof piece;
            for (size_t i = 0; i < size; i++) {
                piece[i] = byte_at(transfer.up_sent + i, 1);
            }
            size = link_tx(world.link, piece, size);
            transfer.up_sent += size;
        } while (size > 0);
        if (transfer.up_sent != before) {
            link_flush(world.link);
        }
    }
    return state == LINK_FAILED || state == LINK_ENDED ||
           (transfer.down_taken == transfer.down_size && transfer.up_sent == transfer.up_size &&
            link_unacked(world.link) == 0 && state == LINK_OPEN);
}

static uint32_t dice(uint32_t n)
{
    return sim_dice(&world.random, n);
}

static uint16_t rate(uint16_t most)
{
    return (uint16_t)(dice(2) == 0 ? 0 : dice(most));
}

static void plan_manners(struct sim_tcp_manners *manners)
{
    static const uint16_t sizes[] = {1460, 1460, 1460, 1400, 536, 100, 7, 1};

    manners->mss = sizes[dice(8)];
    manners->window = dice(3) == 0 ? sizes[dice(6)] : SIM_TCP_BUFFER;
    manners->overlap = dice(3) == 0;
    if (manners->mss < 100) {
        transfer.down_size %= 2000;
    }
    if (dice(12) == 0) {
        transfer.down_size %= 100;
        manners->drip_ms = 1000;
    }
    if (dice(8) == 0) {
        manners->reset_rx = dice((uint32_t)transfer.up_size + 2);
    }
    if (dice(8) == 0) {
        manners->reset_tx = dice((uint32_t)transfer.down_size + 2);
    }
    if (dice(12) == 0) {
        manners->vanish_rx = dice((uint32_t)transfer.up_size + 2);
    }
}

static void plan_transfer(uint32_t seed)
{
    memset(&transfer, 0, sizeof transfer);
    transfer.seed = seed;
    transfer.up_size = dice(4) == 0 ? dice(20) : dice(TRANSFER_BYTES_MAX);
    transfer.down_size = dice(4) == 0 ? dice(20) : dice(TRANSFER_BYTES_MAX);
    world.lan.ether.delay_ms = (uint16_t)(1 + dice(4) * dice(100));
    world.lan.ether.faults = (struct ether_faults){
        .lost = rate(250),
        .doubled = rate(250),
        .late = rate(400),
        .damaged = rate(100),
        .cut = rate(50),
        .late_ms_max = (uint16_t)dice(dice(4) == 0 ? 3000 : 200),
    };
    world.lan.dns = dice(12) == 0 ? (enum lan_dns)dice(LAN_DNS_KINDS) : LAN_DNS_OK;
    plan_manners(&world.lan.manners);
    transfer.event_count = dice(2) == 0 ? 0 : dice(EVENTS_MAX + 1);
    for (unsigned i = 0; i < transfer.event_count; i++) {
        transfer.events[i].kind = (enum event_kind)dice(EVENT_KINDS);
        transfer.events[i].begin_ms = world.now_ms + dice(dice(2) == 0 ? 200 : ILL_MS_MAX / 2);
        transfer.events[i].end_ms = transfer.events[i].begin_ms + dice(ILL_MS_MAX / 2);
    }
}

static void event_begin(enum event_kind kind)
{
    if (kind == ROUTER) {
        lan_new_router(&world.lan, dice(2));
    } else if (kind == MOVED) {
        world.lan.moved ^= LAN_OTHER_NET;
    } else if (kind == RESTART) {
        lan_restart(&world.lan, dice(2));
    }
}

/* What the plan says about this moment. */
static void events_follow(uint64_t before_ms)
{
    bool on[EVENT_KINDS] = {false};

    for (unsigned i = 0; i < transfer.event_count; i++) {
        if (transfer.events[i].begin_ms > before_ms &&
            transfer.events[i].begin_ms <= world.now_ms) {
            event_begin(transfer.events[i].kind);
        }
        on[transfer.events[i].kind] |=
            world.now_ms >= transfer.events[i].begin_ms && world.now_ms < transfer.events[i].end_ms;
    }
    world.lan.ether.cable = !on[CABLE];
    world.lan.mail_deaf = on[DEAF];
    world.lan.uplink = !on[UPLINK];
    world.lan.dhcp = on[NAK] ? LAN_DHCP_NAK : LAN_DHCP_OK;
    for (unsigned i = 0; i < LAN_TCP_MAX; i++) {
        struct sim_tcp *tcp = &world.lan.tcp[i];

        if (on[SHUT]) {
            tcp->manners.window = 0;
            transfer.was_shut = true;
        } else if (tcp->manners.window == 0) {
            sim_tcp_window(tcp, SIM_TCP_BUFFER);
        }
    }
}

static void all_well(void)
{
    struct lan *lan = &world.lan;

    totals->resends += lan->tcp[0].resends;
    transfer.event_count = 0;
    lan->ether.faults = (struct ether_faults){0};
    lan->dns = LAN_DNS_OK;
    lan->manners = (struct sim_tcp_manners){.mss = 1460,
                                            .window = SIM_TCP_BUFFER,
                                            .reset_rx = SIM_TCP_NEVER,
                                            .reset_tx = SIM_TCP_NEVER,
                                            .vanish_rx = SIM_TCP_NEVER};
    events_follow(world.now_ms);
}

/* Runs the transfer to its end, or for so long. */
static bool transfer_run(uint64_t ms)
{
    uint64_t begin_ms = world.now_ms;
    uint64_t before_ms = begin_ms;

    transfer.up_sent = 0;
    transfer.down_taken = 0;
    if (link_open(world.link, LAN_NAME, LAN_MAIL_PORT) < 0) {
        return true;
    }
    while (world.now_ms < begin_ms + ms) {
        if (transfer_step()) {
            return true;
        }
        turn(begin_ms + ms);
        events_follow(before_ms);
        before_ms = world.now_ms;
    }
    return false;
}

static bool transfer_whole(void)
{
    return link_state(world.link) != LINK_FAILED && transfer.up_taken == transfer.up_size &&
           transfer.up_sent == transfer.up_size && transfer.down_taken == transfer.down_size;
}

static void judge(bool over, uint64_t took_ms)
{
    bool failed = link_state(world.link) == LINK_FAILED;
    /* Without a byte of its own under way a client cannot know that a server forgot it; and lwIP
     * may lack the memory to split a segment for a window that was left ajar. The session's time
     * limit is what ends these. */
    bool knows_nothing = link_unacked(world.link) == 0 && transfer.up_sent == transfer.up_size;

    sim_expect(!transfer.wrong);
    sim_expect(over || knows_nothing || transfer.was_shut);
    sim_expect(!failed || link_error_text(world.link)[0] != '\0');
    sim_expect(transfer.up_taken <= transfer.up_size);
    if (over && !failed && link_state(world.link) == LINK_OPEN) {
        /* A server may fall over what it has acknowledged. */
        sim_expect(transfer_whole() || world.lan.tcp[0].was_reset);
    }
    totals->whole += over && transfer_whole() ? 1 : 0;
    totals->failed += failed ? 1 : 0;
    totals->waiting += over ? 0 : 1;
    totals->bytes += transfer.up_taken + transfer.down_taken;
    totals->longest_ms = over && took_ms > totals->longest_ms ? took_ms : totals->longest_ms;
}

static int transfer_child(void *context)
{
    uint32_t seed = *(const uint32_t *)context;
    uint64_t begin_ms;
    bool over;
    bool whole = false;
    struct ether *ether = &world.lan.ether;

    prepare(seed);
    world.lan.lease_s =
        120 + dice(60); /* That the network moved is seen when a lease is renewed. */
    begin();
    sim_expect(wait_address(5000));
    world.lan.service = transfer_service;
    plan_transfer(seed);
    begin_ms = world.now_ms;
    over = transfer_run(BOUND_MS);
    judge(over, world.now_ms - begin_ms);
    if (dice(2) == 0) {
        link_close(world.link);
    } else {
        link_abort(world.link);
    }
    all_well();
    for (unsigned i = 0; i < 40 && !whole; i++) { /* Where it had failed, all is well again. */
        run(10000);
        lan_restart(&world.lan, false);
        whole = transfer_run(60000) && transfer_whole();
        link_close(world.link);
    }
    sim_expect(whole && !transfer.wrong);
    for (uint64_t until_ms = world.now_ms + BOUND_MS; world.now_ms < until_ms && !all_is_back();) {
        run(60000); /* A connection that was closed may still be trying to say so. */
    }
    sim_expect(all_is_back());
    totals->frames += ether->sent[0] + ether->sent[1];
    totals->lost += ether->lost;
    totals->doubled += ether->doubled;
    totals->late += ether->late;
    totals->damaged += ether->damaged;
    totals->cut += ether->cut;
    return 0;
}

static unsigned number_from(const char *name, unsigned usual)
{
    const char *text = getenv(name);

    return text != NULL ? (unsigned)strtoul(text, NULL, 10) : usual;
}

static void test_transfers(void **state)
{
    uint32_t first = number_from("TRANSFER", 1);
    uint32_t count = getenv("TRANSFER") != NULL ? 1 : number_from("TRANSFERS", 2000);

    (void)state;
    totals = sim_child_shared(sizeof *totals);
    for (uint32_t seed = first; seed < first + count; seed++) {
        int result = sim_child(transfer_child, &seed, CHILD_SECONDS_MAX);

        if (result != 0) {
            printf("transfer %u: result %d; again: TRANSFER=%u build/host/tests/test_stack\n", seed,
                   result, seed);
        }
        assert_int_equal(result, 0);
    }
    printf("%u transfers from seed %u: %u whole, %u failed with an error, %u left waiting by the "
           "server; %llu bytes, longest %llu s\n",
           count, first, totals->whole, totals->failed, totals->waiting,
           (unsigned long long)totals->bytes, (unsigned long long)totals->longest_ms / 1000);
    printf("%llu frames: %llu lost, %llu doubled, %llu late, %llu damaged, %llu cut\n",
           (unsigned long long)totals->frames, (unsigned long long)totals->lost,
           (unsigned long long)totals->doubled, (unsigned long long)totals->late,
           (unsigned long long)totals->damaged, (unsigned long long)totals->cut);
}

/* --- All of them --- */

static void in_child(void **state)
{
    int (*const *body)(void *) = *state;

    assert_int_equal(sim_child(*body, NULL, CHILD_SECONDS_MAX), 0);
}

#define IN_CHILD(body)                                   \
    {                                                    \
#body, in_child, NULL, NULL, (int (*[])(void *)) \
        {                                                \
            body                                         \
        }                                                \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_CHILD(good_network),
        IN_CHILD(renewal_keeps_dns),
        IN_CHILD(lease_brings_dns),
        IN_CHILD(lease_changes),
        IN_CHILD(lease_ends),
        IN_CHILD(lease_refused),
        IN_CHILD(names),
        IN_CHILD(late_name),
        IN_CHILD(clock_by_network),
        IN_CHILD(ways_to_fail),
        IN_CHILD(end_of_stream),
        IN_CHILD(overlapping_resend),
        IN_CHILD(closing_give_way),
        IN_CHILD(window_closed),
        IN_CHILD(cable),
        IN_CHILD(router_replaced),
        IN_CHILD(datagrams),
        cmocka_unit_test(test_transfers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
