#include "tests/sim/lan.h"

#include <assert.h>
#include <string.h>

#define IP_BYTES 20
#define UDP_BYTES 8
#define AT_IP ETHER_HEADER_BYTES
#define AT_L4 (AT_IP + IP_BYTES)
#define AT_UDP (AT_L4 + UDP_BYTES)
#define PROTO_TCP 6
#define PROTO_UDP 17
#define BROADCAST 0xFFFFFFFFu

static const uint8_t everybody[6] = {255, 255, 255, 255, 255, 255};

static uint32_t be16(const uint8_t *in)
{
    return (uint32_t)in[0] << 8 | in[1];
}

static uint32_t be32(const uint8_t *in)
{
    return be16(in) << 16 | be16(in + 2);
}

static void put16(uint8_t *out, uint32_t value)
{
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
}

static void put32(uint8_t *out, uint32_t value)
{
    put16(out, value >> 16);
    put16(out + 2, value);
}

/* RFC 1071, over what sum already has. */
static uint16_t checksum(const uint8_t *bytes, size_t size, uint32_t sum)
{
    for (size_t i = 0; i + 1 < size; i += 2) {
        sum += be16(bytes + i);
    }
    if (size % 2 != 0) {
        sum += (uint32_t)bytes[size - 1] << 8;
    }
    while (sum >> 16 != 0) {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    return (uint16_t)~sum;
}

/* Of the pseudo header, as the sum's beginning. */
static uint32_t pseudo(uint32_t source, uint32_t target, uint32_t protocol, size_t size)
{
    return (source >> 16) + (source & 0xFFFF) + (target >> 16) + (target & 0xFFFF) + protocol +
           (uint32_t)size;
}

/* The addresses of this network as it is now. */
static uint32_t here(const struct lan *lan, uint32_t address)
{
    return address ^ lan->moved;
}

/* --- Sending --- */

/* frame has its layer 4 in place. target_mac NULL: the device's. */
static void send_ip(struct lan *lan, uint8_t *frame, size_t l4_size, uint32_t source,
                    uint32_t target, uint8_t protocol, uint32_t after_ms)
{
    uint8_t *ip = frame + AT_IP;

    memcpy(frame, target == BROADCAST ? everybody : lan->device_mac, 6);
    memcpy(frame + 6, lan->router_mac, 6);
    put16(frame + 12, 0x0800);
    memset(ip, 0, IP_BYTES);
    ip[0] = 0x45;
    put16(ip + 2, (uint32_t)(IP_BYTES + l4_size));
    put16(ip + 4, sim_dice(&lan->random, 65536));
    ip[8] = 60;
    ip[9] = protocol;
    put32(ip + 12, source);
    put32(ip + 16, target);
    put16(ip + 10, checksum(ip, IP_BYTES, 0));
    ether_send(&lan->ether, frame, AT_L4 + l4_size, after_ms);
}

struct lan_flow {
    uint32_t source, target;
    uint16_t source_port, target_port;
};

/* frame has its payload at AT_UDP. */
static void send_udp(struct lan *lan, uint8_t *frame, size_t size, const struct lan_flow *flow,
                     uint32_t after_ms)
{
    uint8_t *udp = frame + AT_L4;
    uint16_t sum;

    put16(udp, flow->source_port);
    put16(udp + 2, flow->target_port);
    put16(udp + 4, (uint32_t)(UDP_BYTES + size));
    put16(udp + 6, 0);
    sum = checksum(udp, UDP_BYTES + size,
                   pseudo(flow->source, flow->target, PROTO_UDP, UDP_BYTES + size));
    put16(udp + 6, sum == 0 ? 0xFFFF : sum);
    send_ip(lan, frame, UDP_BYTES + size, flow->source, flow->target, PROTO_UDP, after_ms);
}

static void send_segment(void *context, struct sim_tcp *tcp, uint8_t *segment, size_t size)
{
    struct lan *lan = context;
    uint8_t frame[NIC_FRAME_BYTES];

    if (!lan->uplink || lan->mail_deaf) {
        return;
    }
    put16(segment + 16, 0);
    put16(segment + 16, checksum(segment, size, pseudo(tcp->local, tcp->remote, PROTO_TCP, size)));
    memcpy(frame + AT_L4, segment, size);
    send_ip(lan, frame, size, tcp->local, tcp->remote, PROTO_TCP, 0);
}

static void send_arp(struct lan *lan, uint32_t operation, uint32_t sender,
                     const uint8_t *target_mac, uint32_t target)
{
    uint8_t frame[ETHER_HEADER_BYTES + 28];
    uint8_t *arp = frame + ETHER_HEADER_BYTES;

    memcpy(frame, operation == 2 && target != sender ? target_mac : everybody, 6);
    memcpy(frame + 6, lan->router_mac, 6);
    put16(frame + 12, 0x0806);
    put16(arp, 1);
    put16(arp + 2, 0x0800);
    arp[4] = 6;
    arp[5] = 4;
    put16(arp + 6, operation);
    memcpy(arp + 8, lan->router_mac, 6);
    put32(arp + 14, sender);
    memcpy(arp + 18, target_mac, 6);
    put32(arp + 24, target);
    ether_send(&lan->ether, frame, sizeof frame, 0);
}

/* --- The router: ARP (RFC 826), DHCP (RFC 2131) --- */

static void on_arp(struct lan *lan, const uint8_t *arp, size_t size)
{
    uint32_t wanted;

    if (size < 28 || be16(arp + 6) != 1) {
        return;
    }
    wanted = be32(arp + 24);
    if (wanted == here(lan, LAN_ROUTER) || wanted == here(lan, LAN_NEIGHBOUR)) {
        send_arp(lan, 2, wanted, arp + 8, be32(arp + 14));
    }
}

static const uint8_t *dhcp_option(const uint8_t *dhcp, size_t size, uint8_t code)
{
    for (size_t at = 240; at + 1 < size && dhcp[at] != 255;) {
        if (dhcp[at] == 0) {
            at++;
        } else if (at + 2 + dhcp[at + 1] > size) {
            break;
        } else if (dhcp[at] == code) {
            return dhcp + at + 2;
        } else {
            at += 2u + dhcp[at + 1];
        }
    }
    return NULL;
}

static size_t add_option(uint8_t *dhcp, size_t at, uint8_t code, uint32_t value)
{
    dhcp[at] = code;
    dhcp[at + 1] = 4;
    put32(dhcp + at + 2, value);
    return at + 6;
}

static void dhcp_answer(struct lan *lan, const uint8_t *question, uint8_t kind)
{
    const struct lan_flow flow = {here(lan, LAN_ROUTER), BROADCAST, 67, 68};
    uint8_t frame[NIC_FRAME_BYTES] = {0};
    uint8_t *dhcp = frame + AT_UDP;
    size_t at = 243;

    memcpy(dhcp, question, 44); /* xid, addresses, chaddr */
    dhcp[0] = 2;
    memset(dhcp + 12, 0, 16);
    put32(dhcp + 236, 0x63825363); /* RFC 2131 section 3's magic cookie. */
    dhcp[240] = 53;
    dhcp[241] = 1;
    dhcp[242] = kind;
    at = add_option(dhcp, at, 54, here(lan, LAN_ROUTER));
    if (kind != 6) {
        put32(dhcp + 16, here(lan, LAN_DEVICE));
        at = add_option(dhcp, at, 51, lan->lease_s);
        at = add_option(dhcp, at, 1, 0xFFFFFF00);
        at = add_option(dhcp, at, 3, here(lan, LAN_ROUTER));
        at = add_option(dhcp, at, 6, lan->lease_dns);
        at = lan->lease_has_ntp ? add_option(dhcp, at, 42, LAN_SNTP) : at;
    }
    dhcp[at++] = 255;
    lan->dhcp_acks += kind == 5 ? 1 : 0;
    lan->dhcp_naks += kind == 6 ? 1 : 0;
    send_udp(lan, frame, at < 300 ? 300 : at, &flow, 0);
}

static void on_dhcp(struct lan *lan, const uint8_t *dhcp, size_t size)
{
    const uint8_t *kind = size > 240 ? dhcp_option(dhcp, size, 53) : NULL;
    const uint8_t *asked;
    uint32_t address;

    if (kind == NULL || lan->dhcp == LAN_DHCP_AWAY) {
        return;
    }
    memcpy(lan->device_mac, dhcp + 28, 6);
    lan->device_seen = true;
    if (*kind == 1) {
        dhcp_answer(lan, dhcp, 2);
    } else if (*kind == 3) {
        asked = dhcp_option(dhcp, size, 50);
        address = asked != NULL ? be32(asked) : be32(dhcp + 12);
        dhcp_answer(lan, dhcp,
                    lan->dhcp == LAN_DHCP_OK && address == here(lan, LAN_DEVICE) ? 5 : 6);
    }
}

void lan_new_router(struct lan *lan, bool told)
{
    lan->router_mac[5]++;
    if (told) {
        send_arp(lan, 2, here(lan, LAN_ROUTER), everybody, here(lan, LAN_ROUTER));
    }
}

/* --- Behind the router --- */

/* One answer (RFC 1035): an address, an error, or nothing at all. */
static void dns_say(struct lan *lan, const uint8_t *question, size_t size,
                    const struct lan_flow *flow, uint32_t address)
{
    uint8_t frame[NIC_FRAME_BYTES];
    uint8_t *dns = frame + AT_UDP;
    bool known = memcmp(question + 12, "\4mail\7example\4test", 18) == 0;
    bool answers = known && lan->dns != LAN_DNS_SERVFAIL && lan->dns != LAN_DNS_NXDOMAIN &&
                   lan->dns != LAN_DNS_EMPTY;
    uint32_t code = lan->dns == LAN_DNS_SERVFAIL             ? 2
                    : !known || lan->dns == LAN_DNS_NXDOMAIN ? 3
                                                             : 0;

    memcpy(dns, question, size);
    put16(dns + 2, 0x8180 | code);
    put16(dns + 6, answers ? 1 : 0);
    put16(dns + 8, 0);
    put16(dns + 10, 0);
    if (address != LAN_MAIL) {
        dns[0] ^= 0x5A;
    }
    if (answers) {
        put16(dns + size, 0xC00C);
        put16(dns + size + 2, 1);
        put16(dns + size + 4, 1);
        put32(dns + size + 6, 30); /* Seconds that it may be kept. */
        put16(dns + size + 10, 4);
        put32(dns + size + 12, address);
        size += 16;
    }
    send_udp(lan, frame, size, flow, lan->dns_after_ms);
}

static void on_dns(struct lan *lan, const uint8_t *question, size_t size,
                   const struct lan_flow *flow)
{
    uint8_t frame[NIC_FRAME_BYTES];
    size_t noise = 1 + sim_dice(&lan->random, 300);

    lan->dns_questions[flow->source == LAN_DNS ? 0 : 1]++;
    if (size < 17 || size > 300 || lan->dns == LAN_DNS_AWAY) {
        return;
    }
    if (lan->dns == LAN_DNS_GARBAGE) {
        for (size_t i = 0; i < noise; i++) {
            frame[AT_UDP + i] = (uint8_t)sim_dice(&lan->random, 256);
        }
        if (noise > 16 && noise % 3 != 0) { /* Then the parser must look further. */
            memcpy(frame + AT_UDP, question, noise % 3 == 1 ? 2 : noise < size ? noise : size);
            frame[AT_UDP + 2] |= 0x80;
        }
        send_udp(lan, frame, noise, flow, lan->dns_after_ms);
        return;
    }
    if (lan->dns == LAN_DNS_FORGED) {
        dns_say(lan, question, size, flow, LAN_MAIL + 1);
    }
    dns_say(lan, question, size, flow, LAN_MAIL);
}

/* RFC 5905: the time, and the question's own number back. */
static void on_sntp(struct lan *lan, const uint8_t *question, size_t size,
                    const struct lan_flow *flow)
{
    uint8_t frame[NIC_FRAME_BYTES] = {0};
    uint8_t *sntp = frame + AT_UDP;
    uint64_t ms = *lan->now_ms;
    uint32_t ntp_s = LAN_UNIX_S + (uint32_t)(ms / 1000) + 2208988800u;

    lan->sntp_questions++;
    if (size < 48 || lan->sntp == LAN_SNTP_AWAY) {
        return;
    }
    sntp[0] = 0x24; /* Version 4, a server. */
    sntp[1] = 2;
    memcpy(sntp + 24, question + 40, 8);
    put32(sntp + 32, ntp_s);
    put32(sntp + 40, ntp_s);
    put32(sntp + 44, (uint32_t)((ms % 1000 << 32) / 1000));
    if (lan->sntp == LAN_SNTP_FORGED) {
        sntp[24] ^= 1;
    }
    send_udp(lan, frame, 48, flow, 0);
}

static void serve(struct lan *lan, unsigned index)
{
    bool fresh = lan->fresh[index];

    if (lan->tcp[index].state == SIM_TCP_OPEN || fresh) {
        lan->fresh[index] = false;
        lan->service(lan->context, &lan->tcp[index], index, fresh);
        sim_tcp_poll(&lan->tcp[index], *lan->now_ms);
    }
}

/* A place for a new connection: a free one, else that of the oldest. */
static unsigned tcp_place(const struct lan *lan)
{
    unsigned oldest = 0;

    for (unsigned i = 0; i < LAN_TCP_MAX; i++) {
        if (lan->tcp[i].state == SIM_TCP_FREE) {
            return i;
        }
        if (lan->tcp[i].began_ms < lan->tcp[oldest].began_ms) {
            oldest = i;
        }
    }
    return oldest;
}

static void tcp_prepare(struct lan *lan, struct sim_tcp *tcp, const struct lan_flow *flow)
{
    memset(tcp, 0, sizeof *tcp);
    tcp->local = flow->target;
    tcp->local_port = flow->target_port;
    tcp->remote = flow->source;
    tcp->remote_port = flow->source_port;
    tcp->send = send_segment;
    tcp->context = lan;
    tcp->manners = lan->manners;
}

static void on_tcp(struct lan *lan, const uint8_t *segment, size_t size,
                   const struct lan_flow *flow)
{
    bool syn = (segment[13] & 0x12) == 0x02;
    unsigned place;

    if (lan->mail_deaf || flow->target != LAN_MAIL) {
        return;
    }
    for (unsigned i = 0; i < LAN_TCP_MAX; i++) {
        struct sim_tcp *tcp = &lan->tcp[i];

        if (tcp->state != SIM_TCP_FREE && tcp->remote == flow->source &&
            tcp->remote_port == flow->source_port) {
            sim_tcp_input(tcp, segment, size, *lan->now_ms);
            serve(lan, i);
            return;
        }
    }
    if (!syn || lan->mail_refuses || lan->manners.refuse || flow->target_port != LAN_MAIL_PORT) {
        lan->resets++;
        tcp_prepare(lan, &lan->nobody, flow);
        sim_tcp_refuse(&lan->nobody, segment, size);
        return;
    }
    place = tcp_place(lan);
    tcp_prepare(lan, &lan->tcp[place], flow);
    lan->connections++;
    lan->fresh[place] = true;
    sim_tcp_accept(&lan->tcp[place], segment, size, *lan->now_ms,
                   sim_dice(&lan->random, UINT32_MAX));
    serve(lan, place);
}

void lan_restart(struct lan *lan, bool resets)
{
    for (unsigned i = 0; i < LAN_TCP_MAX; i++) {
        if (resets) {
            sim_tcp_abort(&lan->tcp[i]);
        }
        lan->tcp[i].state = SIM_TCP_FREE;
    }
}

static void on_l4(struct lan *lan, const uint8_t *l4, size_t size, uint8_t protocol,
                  const struct lan_flow *flow)
{
    const struct lan_flow back = {flow->target, flow->source, flow->target_port, flow->source_port};

    if (protocol == PROTO_UDP && flow->target_port == 67) {
        on_dhcp(lan, l4 + UDP_BYTES, size - UDP_BYTES);
    } else if (!lan->uplink || flow->source != here(lan, LAN_DEVICE)) {
        return; /* Nobody would bring an answer back. */
    } else if (protocol == PROTO_TCP) {
        on_tcp(lan, l4, size, flow);
    } else if (flow->target_port == 53 &&
               (flow->target == LAN_DNS || flow->target == LAN_DNS_CONFIGURED)) {
        on_dns(lan, l4 + UDP_BYTES, size - UDP_BYTES, &back);
    } else if (flow->target_port == 123 && flow->target == LAN_SNTP) {
        on_sntp(lan, l4 + UDP_BYTES, size - UDP_BYTES, &back);
    }
}

static void on_ip(struct lan *lan, const uint8_t *ip, size_t size)
{
    struct lan_flow flow;
    size_t l4_size;
    const uint8_t *l4 = ip + IP_BYTES;

    if (size < IP_BYTES + UDP_BYTES || ip[0] != 0x45 || checksum(ip, IP_BYTES, 0) != 0 ||
        be16(ip + 2) > size || be16(ip + 2) < IP_BYTES + UDP_BYTES) {
        return;
    }
    l4_size = be16(ip + 2) - IP_BYTES;
    flow.source = be32(ip + 12);
    flow.target = be32(ip + 16);
    flow.source_port = (uint16_t)be16(l4);
    flow.target_port = (uint16_t)be16(l4 + 2);
    if (ip[9] == PROTO_UDP) {
        if (be16(l4 + 4) < UDP_BYTES || be16(l4 + 4) > l4_size) {
            return;
        }
        l4_size = be16(l4 + 4);
    } else if (ip[9] != PROTO_TCP || l4_size < SIM_TCP_HEADER_BYTES) {
        return;
    }
    if (checksum(l4, l4_size, pseudo(flow.source, flow.target, ip[9], l4_size)) != 0) {
        return;
    }
    on_l4(lan, l4, l4_size, ip[9], &flow);
}

static void on_frame(void *context, const uint8_t *frame, size_t size)
{
    struct lan *lan = context;

    if (size < ETHER_HEADER_BYTES ||
        (memcmp(frame, lan->router_mac, 6) != 0 && memcmp(frame, everybody, 6) != 0)) {
        return;
    }
    if (be16(frame + 12) == 0x0806) {
        on_arp(lan, frame + ETHER_HEADER_BYTES, size - ETHER_HEADER_BYTES);
    } else if (be16(frame + 12) == 0x0800) {
        on_ip(lan, frame + ETHER_HEADER_BYTES, size - ETHER_HEADER_BYTES);
    }
}

bool lan_datagram(struct lan *lan, uint16_t port, const void *bytes, size_t size)
{
    const struct lan_flow flow = {here(lan, LAN_NEIGHBOUR), here(lan, LAN_DEVICE), 40000, port};
    uint8_t frame[NIC_FRAME_BYTES];

    if (!lan->device_seen) {
        return false;
    }
    assert(size <= sizeof frame - AT_UDP);
    memcpy(frame + AT_UDP, bytes, size);
    send_udp(lan, frame, size, &flow, 0);
    return true;
}

void lan_poll(struct lan *lan)
{
    ether_poll(&lan->ether);
    for (unsigned i = 0; i < LAN_TCP_MAX; i++) {
        if (sim_tcp_next_ms(&lan->tcp[i]) <= *lan->now_ms) {
            sim_tcp_poll(&lan->tcp[i], *lan->now_ms);
        }
        serve(lan, i);
    }
}

uint64_t lan_next_ms(const struct lan *lan)
{
    uint64_t next_ms = ether_next_ms(&lan->ether);

    for (unsigned i = 0; i < LAN_TCP_MAX; i++) {
        uint64_t ms = sim_tcp_next_ms(&lan->tcp[i]);

        next_ms = ms < next_ms ? ms : next_ms;
    }
    return next_ms;
}

void lan_init(struct lan *lan, const uint64_t *now_ms, uint32_t seed)
{
    static const uint8_t mac[6] = {0x02, 0x52, 0x54, 0, 0, 1};

    memset(lan, 0, sizeof *lan);
    lan->now_ms = now_ms;
    lan->random = (seed * 2654435761u) | 1;
    ether_init(&lan->ether, now_ms, sim_dice(&lan->random, UINT32_MAX));
    lan->ether.receive = on_frame;
    lan->ether.context = lan;
    memcpy(lan->router_mac, mac, sizeof mac);
    lan->uplink = true;
    lan->lease_s = 3600;
    lan->lease_dns = LAN_DNS;
    lan->lease_has_ntp = true;
    lan->manners = (struct sim_tcp_manners){.mss = SIM_TCP_MSS_MAX,
                                            .window = SIM_TCP_BUFFER,
                                            .reset_rx = SIM_TCP_NEVER,
                                            .reset_tx = SIM_TCP_NEVER,
                                            .vanish_rx = SIM_TCP_NEVER};
}
