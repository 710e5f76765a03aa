#include "tests/sim/tcp.h"

#include "tests/sim/ether.h"

#include <string.h>

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define PSH 0x08
#define ACK 0x10

#define RESEND_MS 400
#define RESEND_MS_MAX 20000
#define TRIES_MAX 12

static uint32_t be32(const uint8_t *in)
{
    return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
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

/* How far a is ahead of b. */
static int32_t ahead(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b);
}

static uint32_t window(struct sim_tcp *tcp)
{
    size_t room = sizeof tcp->in - tcp->in_size;
    uint32_t size = room < tcp->manners.window ? (uint32_t)room : tcp->manners.window;

    if (ahead(tcp->rcv_nxt + size, tcp->rcv_right) > 0) {
        tcp->rcv_right = tcp->rcv_nxt + size;
    }
    return tcp->rcv_right - tcp->rcv_nxt;
}

static void emit(struct sim_tcp *tcp, uint32_t seq, uint8_t flags, const uint8_t *data, size_t size)
{
    uint8_t segment[SIM_TCP_HEADER_BYTES + 4 + SIM_TCP_MSS_MAX] = {0};
    size_t header = SIM_TCP_HEADER_BYTES;

    if (tcp->manners.silent) {
        return;
    }
    put16(segment, tcp->local_port);
    put16(segment + 2, tcp->remote_port);
    put32(segment + 4, seq);
    put32(segment + 8, flags & ACK ? tcp->rcv_nxt : 0);
    put16(segment + 14, flags & ACK ? window(tcp) : 0);
    if (flags & SYN) { /* RFC 9293 3.7.1: the maximum segment size. */
        segment[header] = 2;
        segment[header + 1] = 4;
        put16(segment + header + 2, SIM_TCP_MSS_MAX);
        header += 4;
    }
    segment[12] = (uint8_t)(header / 4 << 4);
    segment[13] = flags;
    if (size > 0) {
        memcpy(segment + header, data, size);
    }
    tcp->send(tcp->context, tcp, segment, header + size);
}

static size_t in_flight(const struct sim_tcp *tcp)
{
    size_t size = tcp->snd_nxt - tcp->snd_una;

    return tcp->fin_sent && size > 0 ? size - 1 : size;
}

static void end(struct sim_tcp *tcp, bool reset)
{
    tcp->state = SIM_TCP_FREE;
    tcp->was_reset = reset;
}

void sim_tcp_abort(struct sim_tcp *tcp)
{
    if (tcp->state != SIM_TCP_FREE) {
        emit(tcp, tcp->snd_nxt, RST | ACK, NULL, 0);
        end(tcp, true);
    }
}

void sim_tcp_refuse(struct sim_tcp *tcp, const uint8_t *segment, size_t size)
{
    size_t header = (size_t)(segment[12] >> 4) * 4;

    if (segment[13] & RST) {
        return;
    }
    if (segment[13] & ACK) {
        emit(tcp, be32(segment + 8), RST, NULL, 0);
    } else {
        tcp->rcv_nxt = be32(segment + 4) + (uint32_t)(size - header) + (segment[13] & SYN ? 1 : 0) +
                       (segment[13] & FIN ? 1 : 0);
        tcp->rcv_right = tcp->rcv_nxt;
        emit(tcp, 0, RST | ACK, NULL, 0);
    }
}

void sim_tcp_accept(struct sim_tcp *tcp, const uint8_t *segment, size_t size, uint64_t now_ms,
                    uint32_t random)
{
    (void)size;
    tcp->state = SIM_TCP_SYN;
    tcp->random = random | 1;
    tcp->began_ms = now_ms;
    tcp->rcv_nxt = be32(segment + 4) + 1;
    tcp->rcv_right = tcp->rcv_nxt;
    tcp->snd_una = random;
    tcp->snd_nxt = random + 1;
    tcp->snd_window = (uint32_t)segment[14] << 8 | segment[15];
    tcp->resend_ms = now_ms + RESEND_MS;
    emit(tcp, tcp->snd_una, SYN | ACK, NULL, 0);
}

/* --- Receiving --- */

static void take_ack(struct sim_tcp *tcp, const uint8_t *segment, uint64_t now_ms)
{
    uint32_t ack = be32(segment + 8);
    uint32_t count = ack - tcp->snd_una;
    size_t bytes;

    if (ahead(ack, tcp->snd_una) < 0 || ahead(ack, tcp->snd_nxt) > 0) {
        return;
    }
    tcp->snd_window = (uint32_t)segment[14] << 8 | segment[15];
    if (count == 0) {
        return;
    }
    tcp->snd_una = ack;
    tcp->tries = 0;
    tcp->resend_ms = tcp->snd_una != tcp->snd_nxt ? now_ms + RESEND_MS : 0;
    if (tcp->state == SIM_TCP_SYN) {
        tcp->state = SIM_TCP_OPEN;
        return;
    }
    bytes = count < tcp->out_size ? count : tcp->out_size; /* One more is FIN's. */
    tcp->history += bytes;
    tcp->out_size -= bytes;
    if (tcp->history > SIM_TCP_HISTORY) {
        size_t surplus = tcp->history - SIM_TCP_HISTORY;

        memmove(tcp->out, tcp->out + surplus, SIM_TCP_HISTORY + tcp->out_size);
        tcp->history = SIM_TCP_HISTORY;
    }
}

/* Keeps what lies in the window, and moves rcv_nxt over what is whole. */
static void take_data(struct sim_tcp *tcp, uint32_t seq, const uint8_t *data, size_t size)
{
    size_t ready;

    for (size_t i = 0; i < size; i++) {
        int32_t offset = ahead(seq + (uint32_t)i, tcp->rcv_nxt);

        if (offset >= 0 && ahead(seq + (uint32_t)i, tcp->rcv_right) < 0) {
            tcp->in[tcp->in_size + (size_t)offset] = data[i];
            tcp->have[tcp->in_size + (size_t)offset] = 1;
        }
    }
    for (ready = tcp->in_size; ready < sizeof tcp->in && tcp->have[ready]; ready++) {
        tcp->rcv_nxt++;
        tcp->rx_total++;
    }
    tcp->in_size = ready;
    if (tcp->fin_known && !tcp->fin_received && tcp->rcv_nxt == tcp->fin_at) {
        tcp->rcv_nxt++;
        tcp->rcv_right++;
        tcp->fin_received = true;
    }
}

static void misbehave(struct sim_tcp *tcp)
{
    if (tcp->rx_total >= tcp->manners.reset_rx || tcp->tx_total >= tcp->manners.reset_tx) {
        sim_tcp_abort(tcp);
    } else if (tcp->rx_total >= tcp->manners.vanish_rx) {
        end(tcp, true);
    }
}

void sim_tcp_input(struct sim_tcp *tcp, const uint8_t *segment, size_t size, uint64_t now_ms)
{
    uint8_t flags = segment[13];
    size_t header = (size_t)(segment[12] >> 4) * 4;
    uint32_t seq = be32(segment + 4);

    if (tcp->manners.silent || header < SIM_TCP_HEADER_BYTES || header > size) {
        return;
    }
    if (flags & RST) {
        if (ahead(seq, tcp->rcv_nxt) >= 0 && ahead(seq, tcp->rcv_right) <= 0) {
            end(tcp, true);
        }
        return;
    }
    if (flags & SYN) { /* The SYN once more: our SYN-ACK was lost. */
        if (tcp->state == SIM_TCP_SYN && seq + 1 == tcp->rcv_nxt) {
            emit(tcp, tcp->snd_una, SYN | ACK, NULL, 0);
        }
        return;
    }
    if (!(flags & ACK)) {
        return;
    }
    take_ack(tcp, segment, now_ms);
    if (tcp->state != SIM_TCP_OPEN) {
        return;
    }
    if (flags & FIN) {
        tcp->fin_known = true;
        tcp->fin_at = seq + (uint32_t)(size - header);
    }
    take_data(tcp, seq, segment + header, size - header);
    if (size > header || (flags & FIN)) { /* Acknowledging bare ACKs too could go on for ever. */
        emit(tcp, tcp->snd_nxt, ACK, NULL, 0);
    }
    misbehave(tcp);
    sim_tcp_poll(tcp, now_ms);
}

/* --- Sending --- */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void resend(struct sim_tcp *tcp, uint64_t now_ms)
{
    size_t size = least(in_flight(tcp), tcp->manners.mss);
    uint64_t wait_ms = (uint64_t)RESEND_MS << tcp->tries;
    size_t back = 0;

    tcp->resends++;
    tcp->tries++;
    if (tcp->tries > TRIES_MAX) {
        end(tcp, true);
        return;
    }
    tcp->resend_ms = now_ms + (wait_ms < RESEND_MS_MAX ? wait_ms : RESEND_MS_MAX);
    if (tcp->state == SIM_TCP_SYN) {
        emit(tcp, tcp->snd_una, SYN | ACK, NULL, 0);
        return;
    }
    if (tcp->manners.overlap && tcp->history > 0) {
        back = 1 + sim_dice(&tcp->random, (uint32_t)tcp->history);
        back = least(back, SIM_TCP_MSS_MAX - size);
    }
    if (size + back > 0) {
        emit(tcp, tcp->snd_una - (uint32_t)back, ACK | PSH, tcp->out + tcp->history - back,
             size + back);
    } else if (tcp->fin_sent) {
        emit(tcp, tcp->snd_una, ACK | FIN, NULL, 0);
    }
    if (tcp->fin_sent && size + back > 0 && size == in_flight(tcp)) {
        emit(tcp, tcp->snd_nxt - 1, ACK | FIN, NULL, 0);
    }
}

/* What was never sent, as far as the window goes; one byte into a closed one, now and then. */
static void send_new(struct sim_tcp *tcp, uint64_t now_ms)
{
    for (;;) {
        size_t flying = in_flight(tcp);
        size_t unsent = tcp->out_size - flying;
        size_t room = tcp->snd_window > flying ? tcp->snd_window - flying : 0;
        size_t size = least(least(unsent, room), tcp->manners.mss);

        if (tcp->manners.drip_ms > 0 && size > 0) {
            if (now_ms < tcp->drip_at_ms) {
                return;
            }
            size = 1;
            tcp->drip_at_ms = now_ms + tcp->manners.drip_ms;
        }
        if (size == 0) {
            if (unsent > 0 && flying == 0 && tcp->resend_ms == 0) {
                size = 1; /* RFC 9293 3.8.6.1: a probe. */
            } else {
                return;
            }
        }
        emit(tcp, tcp->snd_nxt, ACK | PSH, tcp->out + tcp->history + flying, size);
        tcp->snd_nxt += (uint32_t)size;
        tcp->tx_total += size;
        if (tcp->resend_ms == 0) {
            tcp->resend_ms = now_ms + RESEND_MS;
        }
    }
}

void sim_tcp_poll(struct sim_tcp *tcp, uint64_t now_ms)
{
    if (tcp->state == SIM_TCP_FREE) {
        return;
    }
    if (tcp->resend_ms != 0 && now_ms >= tcp->resend_ms) {
        resend(tcp, now_ms);
    }
    if (tcp->state != SIM_TCP_OPEN) {
        return;
    }
    if (!tcp->fin_sent) {
        send_new(tcp, now_ms);
    }
    if (tcp->closing && !tcp->fin_sent && in_flight(tcp) == tcp->out_size) {
        tcp->fin_sent = true;
        emit(tcp, tcp->snd_nxt, ACK | FIN, NULL, 0);
        tcp->snd_nxt++;
        tcp->resend_ms = now_ms + RESEND_MS;
    }
    misbehave(tcp);
    if (tcp->state == SIM_TCP_OPEN && tcp->fin_sent && tcp->snd_una == tcp->snd_nxt &&
        tcp->fin_received) {
        end(tcp, false);
    }
}

uint64_t sim_tcp_next_ms(const struct sim_tcp *tcp)
{
    uint64_t next_ms = UINT64_MAX;

    if (tcp->state == SIM_TCP_FREE) {
        return next_ms;
    }
    if (tcp->resend_ms != 0) {
        next_ms = tcp->resend_ms;
    }
    if (tcp->manners.drip_ms > 0 && tcp->out_size > in_flight(tcp) && tcp->drip_at_ms < next_ms) {
        next_ms = tcp->drip_at_ms;
    }
    return next_ms;
}

/* --- The server's program --- */

const uint8_t *sim_tcp_rx(const struct sim_tcp *tcp, size_t *size)
{
    *size = tcp->in_size;
    return tcp->in;
}

void sim_tcp_rx_ack(struct sim_tcp *tcp, size_t size)
{
    bool was_shut = tcp->rcv_right - tcp->rcv_nxt < SIM_TCP_MSS_MAX;

    memmove(tcp->in, tcp->in + size, sizeof tcp->in - size);
    memmove(tcp->have, tcp->have + size, sizeof tcp->have - size);
    memset(tcp->have + sizeof tcp->have - size, 0, size);
    tcp->in_size -= size;
    if (was_shut && size > 0 && tcp->state == SIM_TCP_OPEN) {
        emit(tcp, tcp->snd_nxt, ACK, NULL, 0);
    }
}

void sim_tcp_window(struct sim_tcp *tcp, uint16_t size)
{
    tcp->manners.window = size;
    if (tcp->state == SIM_TCP_OPEN) {
        emit(tcp, tcp->snd_nxt, ACK, NULL, 0);
    }
}

size_t sim_tcp_tx(struct sim_tcp *tcp, const uint8_t *bytes, size_t size)
{
    size_t room = sizeof tcp->out - tcp->history - tcp->out_size;

    if (tcp->state == SIM_TCP_FREE || tcp->closing) {
        return 0;
    }
    size = least(size, room);
    memcpy(tcp->out + tcp->history + tcp->out_size, bytes, size);
    tcp->out_size += size;
    return size;
}

void sim_tcp_close(struct sim_tcp *tcp)
{
    tcp->closing = true;
}
