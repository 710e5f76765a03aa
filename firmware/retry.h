/* retry.h - which of two mail servers is tried, and when: shared by all that send mail.
 *
 *     server = retry_choose(&retry, config, now_ms);    a session with it; then
 *     retry_good(&retry, server);                       or
 *     if (retry_failed(&retry, config, random, server, now_ms)) the other one is tried at once
 *     else nothing before retry.next_ms
 *
 * Waits are exponential between `retry_min` and `retry_max`, with full jitter: anything up to the
 * step, so that a street of devices does not come back in one second, nor in one rhythm. Times are
 * of one clock of the caller's choice.
 */
#ifndef TOCSIN_FIRMWARE_RETRY_H
#define TOCSIN_FIRMWARE_RETRY_H

#include "firmware/config.h"
#include "net/random.h"

#include <stdbool.h>
#include <stdint.h>

struct retry {
    bool second_first;      /* The second server is tried first, until it has accepted a mail. */
    uint8_t tried;          /* Bit i: server i has failed in this round. */
    uint8_t failures;       /* Rounds in which every server failed, in a row; sticks at 255. */
    uint8_t first_failures; /* Sessions with the first server that failed, in a row. */
    uint64_t next_ms;       /* No session before this, */
    uint64_t first_ms;      /* none with the first server before this while the second works. */
};

/* A wait after so many failures in a row. */
uint64_t retry_backoff_ms(const struct config *config, struct random *random, unsigned failures);

/* The first server, unless it failed in this round, or lately while the second one works: then no
 * alert is to wait for the first one's time-out. */
uint8_t retry_choose(const struct retry *retry, const struct config *config, uint64_t now_ms);

/* Whether there is another server that has not failed in this round. */
bool retry_other_is_left(const struct retry *retry, const struct config *config, uint8_t server);

/* The server works, so that no failure before counts any more. */
void retry_good(struct retry *retry, uint8_t server);

/* The server is of no use now. True: the other one is to be tried at once; otherwise all waits. */
bool retry_failed(struct retry *retry, const struct config *config, struct random *random,
                  uint8_t server, uint64_t now_ms);

/* What was in the way is gone: no wait. */
void retry_now(struct retry *retry);

#endif
