#include "net/lwip/stack.h"

#include "lwip/apps/sntp.h"
#include "lwip/dhcp.h"
#include "lwip/dns.h"
#include "lwip/etharp.h"
#include "lwip/init.h"
#include "lwip/netif.h"
#include "lwip/sys.h"
#include "lwip/timeouts.h"
#include "lwip/udp.h"
#include "netif/ethernet.h"

#include <string.h>

#define LINK_CHECK_MS 250   /* How often the PHY is asked. */
#define FRAMES_A_POLL_MAX 8 /* A flood must not starve the rest of the loop. */
#define SEND_MS_MAX 2       /* A full frame takes 1.2 ms at 10 Mbit/s. */
/* Answers of DHCP servers that are taken: an exchange has two. */
#define DHCP_ANSWERS_MAX 4
#define DHCP_ANSWERS_MS 2000
/* One for each write that a TCP segment was made of, and a header's own. */
#define FRAGMENTS_MAX (TCP_SND_QUEUELEN + 1)
/* RFC 5424 6.1 wants 480 taken and recommends 2048; alerts hold 400. */
#define DATAGRAM_BYTES 1024

/* lwIP is one stack with file-scope state of its own; this is the rest of it. */
static struct stack {
    struct stack_params params;
    struct netif netif;
    bool up;
    uint64_t link_check_ms;
    uint64_t dhcp_ms; /* Since when the answers of DHCP servers are counted. */
    uint8_t dhcp_count;
    bool dns_from_lease;
    bool sntp_running;
    ip_addr_t sntp_lease[2];
} stack;

struct stack_listener {
    stack_datagram *handler;
    void *context;
};

u32_t sys_now(void)
{
    return (u32_t)stack.params.now_ms();
}

uint32_t stack_random(void)
{
    return stack.params.random();
}

uint16_t stack_dns_port(void)
{
    return stack.params.dns_port != 0 && !stack.dns_from_lease ? stack.params.dns_port : 53;
}

uint16_t stack_sntp_port(void)
{
    return stack.params.sntp_port != 0 ? stack.params.sntp_port : 123;
}

void stack_assert(int line)
{
    stack.params.panic("assertion in lwIP", "line", line);
}

void stack_sntp_time(uint32_t unix_s, uint32_t fraction)
{
    stack.params.set_time((uint64_t)unix_s * 1000 + (((uint64_t)fraction * 1000) >> 32));
}

static err_t frame_send(struct netif *netif, struct pbuf *p)
{
    struct nic_fragment fragment[FRAGMENTS_MAX];
    size_t count = 0;

    (void)netif;
    for (struct pbuf *part = p; part != NULL; part = part->next) {
        if (count == sizeof fragment / sizeof fragment[0]) {
            return ERR_BUF;
        }
        fragment[count].bytes = part->payload;
        fragment[count].size = part->len;
        count++;
    }
    /* A ring may be one frame long: waiting for it to leave is far shorter than a retransmission.
     */
    for (uint64_t give_up_ms = stack.params.now_ms() + SEND_MS_MAX;;) {
        int error = stack.params.nic->send(stack.params.nic, fragment, count);

        if (error != E_SPACE) {
            return error < 0 ? ERR_IF : ERR_OK;
        }
        if (stack.params.now_ms() >= give_up_ms) {
            return ERR_MEM;
        }
    }
}

static err_t netif_begin(struct netif *netif)
{
    netif->name[0] = 'e';
    netif->name[1] = 'n';
    netif->mtu = 1500;
    netif->hwaddr_len = 6;
    memcpy(netif->hwaddr, stack.params.mac, 6);
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
    netif->output = etharp_output;
    netif->linkoutput = frame_send;
    netif_set_hostname(netif, stack.params.hostname);
    return ERR_OK;
}

/* lwIP asks this of whoever wants NTP servers from a lease (DHCP option 42). */
void dhcp_set_ntp_servers(u8_t count, const ip4_addr_t *servers)
{
    for (u8_t i = 0; i < 2; i++) {
        if (i < count) {
            ip_addr_copy_from_ip4(stack.sntp_lease[i], servers[i]);
        }
    }
}

/* Every answer of a DHCP server, renewals too, brings its own name servers; configured ones are
 * stronger. */
static void dns_settle(void)
{
    bool configured = stack.params.dns[0] != 0 || stack.params.dns[1] != 0;

    stack.dns_from_lease = !configured;
    for (u8_t i = 0; configured && i < 2; i++) {
        ip_addr_t server = IPADDR4_INIT(stack.params.dns[i]);

        dns_setserver(i, &server);
    }
}

static void sntp_begin(void)
{
    bool configured = stack.params.sntp[0] != NULL || stack.params.sntp[1] != NULL;

    if (!configured && ip_addr_isany(&stack.sntp_lease[0])) {
        return; /* Nobody to ask, unless a later lease names one. */
    }
    sntp_setoperatingmode(SNTP_OPMODE_POLL);
    for (u8_t i = 0; i < 2; i++) {
        if (configured) {
            sntp_setservername(i, stack.params.sntp[i]);
        } else {
            sntp_setserver(i, &stack.sntp_lease[i]);
        }
    }
    sntp_init();
    stack.sntp_running = true;
}

int stack_init(const struct stack_params *params)
{
    ip4_addr_t address = {params->address};
    ip4_addr_t netmask = {params->netmask};
    ip4_addr_t gateway = {params->gateway};
    int error;

    stack.params = *params;
    error = params->nic->init(params->nic, stack.params.mac);
    lwip_init();
    if (error < 0) {
        return error;
    }
    if (params->dhcp) {
        ip4_addr_set_zero(&address);
        ip4_addr_set_zero(&netmask);
        ip4_addr_set_zero(&gateway);
    }
    if (netif_add(&stack.netif, &address, &netmask, &gateway, NULL, netif_begin, ethernet_input) ==
        NULL) {
        return E_IO;
    }
    netif_set_default(&stack.netif);
    netif_set_up(&stack.netif);
    if (params->dhcp && dhcp_start(&stack.netif) != ERR_OK) {
        return E_SPACE;
    }
    dns_settle();
    stack.up = true;
    return 0;
}

static void link_follow(uint64_t now_ms)
{
    bool link_up;

    if (now_ms < stack.link_check_ms) {
        return;
    }
    stack.link_check_ms = now_ms + LINK_CHECK_MS;
    link_up = stack.params.nic->link_up(stack.params.nic);
    if (link_up && !netif_is_link_up(&stack.netif)) {
        netif_set_link_up(&stack.netif); /* Also renews or restarts DHCP. */
    } else if (!link_up && netif_is_link_up(&stack.netif)) {
        netif_set_link_down(&stack.netif);
        if (stack.sntp_running) {
            sntp_stop();
            stack.sntp_running = false;
        }
    }
}

/* A server that offers an address and then refuses it, or two that do not agree, would be asked
 * again at once and for ever: lwIP makes no pause there. */
static bool is_dhcp_surplus(const uint8_t *frame, size_t size)
{
    uint64_t now_ms = stack.params.now_ms();

    /* IPv4 without options, UDP, to the client's port. */
    if (size < 38 || frame[12] != 8 || frame[13] != 0 || frame[23] != 17 || frame[36] != 0 ||
        frame[37] != 68) {
        return false;
    }
    if (now_ms - stack.dhcp_ms >= DHCP_ANSWERS_MS) {
        stack.dhcp_ms = now_ms;
        stack.dhcp_count = 0;
    }
    if (stack.dhcp_count == DHCP_ANSWERS_MAX) {
        return true;
    }
    stack.dhcp_count++;
    return false;
}

static bool frames_receive(void)
{
    const struct nic *nic = stack.params.nic;
    bool work = false;

    for (unsigned i = 0; i < FRAMES_A_POLL_MAX; i++) {
        size_t size = 0;
        const uint8_t *frame = nic->rx_buf(nic, &size);
        struct pbuf *p;

        if (size == 0) {
            break;
        }
        if (is_dhcp_surplus(frame, size)) {
            nic->rx_ack(nic);
            work = true;
            continue;
        }
        /* Without a buffer the frame stays in the ring until one is free. */
        p = pbuf_alloc(PBUF_RAW, (u16_t)size, PBUF_POOL);
        if (p == NULL) {
            break;
        }
        pbuf_take(p, frame, (u16_t)size);
        nic->rx_ack(nic);
        if (ethernet_input(p, &stack.netif) != ERR_OK) {
            pbuf_free(p);
        }
        work = true;
    }
    return work;
}

bool stack_poll(void)
{
    bool work;

    if (!stack.up) {
        return false;
    }
    link_follow(stack.params.now_ms());
    work = frames_receive();
    dns_settle();
    sys_check_timeouts();
    if (!stack.sntp_running && netif_is_link_up(&stack.netif) &&
        !ip4_addr_isany(netif_ip4_addr(&stack.netif))) {
        sntp_begin();
    }
    return work;
}

uint32_t stack_sleep_ms_max(void)
{
    uint32_t ms = stack.up ? sys_timeouts_sleeptime() : 60000;

    return ms > LINK_CHECK_MS ? LINK_CHECK_MS : ms;
}

void stack_status(struct network_status *status)
{
    struct nic_stats stats = {0};

    memset(status, 0, sizeof *status);
    memcpy(status->mac, stack.params.mac, 6);
    status->dhcp = stack.params.dhcp;
    if (!stack.up) {
        return;
    }
    status->link_up = netif_is_link_up(&stack.netif);
    status->address = ip4_addr_get_u32(netif_ip4_addr(&stack.netif));
    status->netmask = ip4_addr_get_u32(netif_ip4_netmask(&stack.netif));
    status->gateway = ip4_addr_get_u32(netif_ip4_gw(&stack.netif));
    for (u8_t i = 0; i < 2; i++) {
        status->dns[i] = ip4_addr_get_u32(ip_2_ip4(dns_getserver(i)));
    }
    stack.params.nic->stats(stack.params.nic, &stats);
    status->rx_frames = stats.rx_frames;
    status->tx_frames = stats.tx_frames;
    status->rx_dropped = stats.rx_dropped + stats.rx_overflows;
    status->tx_dropped = stats.tx_dropped;
}

int8_t stack_host(const char *name, void *ip_addr)
{
    ip_addr_t *address = ip_addr;
    uint32_t found;

    if (stack.params.host == NULL || !stack.params.host(name, &found)) {
        return ERR_VAL;
    }
    ip_addr_set_ip4_u32_val(*address, found);
    return ERR_OK;
}

/* A datagram in several buffers is gathered in one of the heap's; when there is no room, its
 * beginning has to do. */
static void datagram_received(void *arg, struct udp_pcb *pcb, struct pbuf *p,
                              const ip_addr_t *sender, u16_t port)
{
    struct stack_listener *listener = arg;
    u16_t size = p->tot_len < DATAGRAM_BYTES ? p->tot_len : DATAGRAM_BYTES;
    struct pbuf *whole = p->len < size ? pbuf_alloc(PBUF_RAW, size, PBUF_RAM) : NULL;

    (void)pcb;
    (void)port;
    if (whole != NULL && pbuf_copy_partial(p, whole->payload, size, 0) == size) {
        pbuf_free(p);
        p = whole;
    }
    size = p->len < size ? p->len : size;
    listener->handler(listener->context, p->payload, size, ip4_addr_get_u32(ip_2_ip4(sender)));
    pbuf_free(p);
}

int stack_udp_listen(uint16_t port, stack_datagram *handler, void *context)
{
    static struct stack_listener listener;
    struct udp_pcb *pcb;

    if (listener.handler != NULL) {
        return E_SPACE;
    }
    pcb = udp_new();
    if (pcb == NULL || udp_bind(pcb, IP4_ADDR_ANY, port) != ERR_OK) {
        return E_SPACE;
    }
    listener.handler = handler;
    listener.context = context;
    udp_recv(pcb, datagram_received, &listener);
    return 0;
}
