/* poller.h - reads the device's mailbox: when, and what becomes of each message.
 *
 *     poller_init(&poller, &params);
 *     for (;;) { while (poller_poll(&poller, &now)) { } ... sleep until poller_deadline() }
 *
 * One session runs at a time, so that it works in the sender's own room (sender_lend()), and gives
 * way to an alert: it ends after the message in hand. What becomes of a message is told by its
 * header: an order, a delivery report about an alert of ours, a round trip that is back, or nothing
 * for the device, which is left alone (or deleted, `pop3_delete`). Cost: sizeof(struct poller).
 */
#ifndef TOCSIN_FIRMWARE_POLLER_H
#define TOCSIN_FIRMWARE_POLLER_H

#include "firmware/sender.h"
#include "net/tls.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POLLER_TEXT_BYTES 160

struct app;

struct poller {
    bool running;
    bool wanted;      /* A person, or a round trip, wants one now. */
    bool leaves;      /* QUIT after the message in hand. */
    bool waits;       /* An order waited in the last good session. */
    bool good;        /* A session since the start has ended well. */
    bool said;        /* The log gets a line about the next session, whatever it finds. */
    bool expire_said; /* That the server's EXPIRE does not suit. */
    uint8_t step;     /* enum, in poller.c. */
    uint8_t failures; /* Sessions in a row; sticks at 255. */
    uint64_t next_ms; /* No session before this. */
    uint64_t fast_until_ms;
    uint64_t login_ms; /* Not before this: LOGIN-DELAY. */
    uint64_t yield_ms; /* Since when an alert waits for this session; 0: none does. */
    uint64_t link_lost_ms;
    struct tls_resume resume;
    uint32_t polls, failed, orders, refused, automatic; /* Since the start. */
    uint32_t count;                                     /* Messages in the mailbox, last time. */
    uint32_t octets, turns;                             /* Of the last session. */
    uint64_t last_unix_s;                               /* Of the last good one. */
    uint64_t began_ms;
    uint32_t not_after_unix_s; /* Of the server's certificate. */
    char last_error[POLLER_TEXT_BYTES];
};

void poller_init(struct app *app);

/* true: something moved, poll again. */
bool poller_poll(struct app *app, const struct sender_now *now);

/* When to poll although nothing arrives; UINT64_MAX: never. */
uint64_t poller_deadline(const struct app *app);

/* A session as soon as can be, whatever interval and backoff say. */
void poller_hurry(struct app *app);

#endif
