/* tcp.h - the far side's TCP: one connection that was opened to a server, in a simulation.
 *
 * RFC 9293 written anew for tests, so that the device's stack meets a stranger: it takes segments
 * in any order, sends again what is not acknowledged, never shrinks its window, and can be told to
 * misbehave in ways that real servers and the boxes before them do (struct sim_tcp_manners).
 *
 *     sim_tcp_input() for each segment, sim_tcp_poll() as time passes
 *     sim_tcp_rx(), sim_tcp_rx_ack(), sim_tcp_tx(), sim_tcp_close(), sim_tcp_abort()
 */
#ifndef TOCSIN_TESTS_SIM_TCP_H
#define TOCSIN_TESTS_SIM_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_TCP_BUFFER 8192
#define SIM_TCP_HISTORY 1460 /* Acknowledged bytes kept, to be sent once more. */
#define SIM_TCP_MSS_MAX 1460
#define SIM_TCP_HEADER_BYTES 20
#define SIM_TCP_NEVER SIZE_MAX

struct sim_tcp_manners {
    bool refuse;      /* RST to a SYN. */
    bool silent;      /* Neither answers nor sends, for as long as this is set. */
    bool overlap;     /* What is sent again begins with bytes that were acknowledged. */
    uint16_t mss;     /* Largest segment sent. */
    uint16_t window;  /* Most that is offered; 0: never anything. */
    uint32_t drip_ms; /* 0; else one byte at a time, and no faster. */
    size_t reset_rx;  /* RST after so many bytes of this connection received, */
    size_t reset_tx;  /* or sent for the first time. */
    size_t vanish_rx; /* The connection is forgotten after so many bytes: a server restarted. */
};

enum sim_tcp_state {
    SIM_TCP_FREE, /* Ended one way or the other, or never begun. */
    SIM_TCP_SYN,  /* SYN-ACK is under way. */
    SIM_TCP_OPEN
};

struct sim_tcp {
    enum sim_tcp_state state;
    struct sim_tcp_manners manners;
    uint32_t local, remote; /* Addresses, as numbers; and ports. */
    uint16_t local_port, remote_port;
    bool fin_received, was_reset;
    uint64_t began_ms;
    size_t rx_total, tx_total; /* In order, and sent for the first time. */
    uint32_t resends;
    /* Sends a segment (header and data, without checksum). */
    void (*send)(void *context, struct sim_tcp *tcp, uint8_t *segment, size_t size);
    void *context;
    uint32_t random;

    uint32_t rcv_nxt, rcv_right; /* Next byte expected; the window's right edge, as promised. */
    uint8_t in[SIM_TCP_BUFFER];
    uint8_t have[SIM_TCP_BUFFER];
    size_t in_size; /* In order, not yet read; what came too early lies behind. */
    uint32_t fin_at;
    bool fin_known, closing;

    uint32_t snd_una, snd_nxt, snd_window;
    uint8_t out[SIM_TCP_HISTORY + SIM_TCP_BUFFER];
    size_t history,
        out_size; /* Acknowledged bytes kept in front; unacknowledged and unsent ones. */
    bool fin_sent;
    uint64_t resend_ms, drip_at_ms; /* 0: no timer. */
    unsigned tries;
};

/* A SYN has come to a listening port. tcp's addresses, ports, send, context and manners are set. */
void sim_tcp_accept(struct sim_tcp *tcp, const uint8_t *segment, size_t size, uint64_t now_ms,
                    uint32_t random);

/* A further segment, whose checksum was right. */
void sim_tcp_input(struct sim_tcp *tcp, const uint8_t *segment, size_t size, uint64_t now_ms);

/* Timers, and what may be sent. */
void sim_tcp_poll(struct sim_tcp *tcp, uint64_t now_ms);
uint64_t sim_tcp_next_ms(const struct sim_tcp *tcp);

const uint8_t *sim_tcp_rx(const struct sim_tcp *tcp, size_t *size);
void sim_tcp_rx_ack(struct sim_tcp *tcp, size_t size);

/* Offers another window from now on, and says so once. */
void sim_tcp_window(struct sim_tcp *tcp, uint16_t size);

/* Takes up to size bytes. */
size_t sim_tcp_tx(struct sim_tcp *tcp, const uint8_t *bytes, size_t size);
void sim_tcp_close(struct sim_tcp *tcp); /* FIN behind what is unsent. */
void sim_tcp_abort(struct sim_tcp *tcp); /* RST. */

/* The RST that a segment to no connection gets. */
void sim_tcp_refuse(struct sim_tcp *tcp, const uint8_t *segment, size_t size);

#endif
