/* limits.h - the provider's limits: messages a minute, an hour, a day.
 *
 * Three token buckets, each kept as the time at which it is full again (the generic cell rate
 * algorithm of ITU-T I.371), so that they survive a reboot as three numbers and need no timer. A
 * bucket holds a quarter of its limit and is refilled with the other three quarters, evenly, over
 * the period. No period, wherever it begins, then sees more than the limit; the first one after a
 * pause sees all of it; and one message never waits long for another, as it would if a day's whole
 * limit could be spent in its first minute. A quarter of each bucket (none where the limit is below
 * 5) is for alerts of severity critical and worse.
 *
 * A clock that went back cannot make a message wait longer than an empty bucket does. Call from
 * the main loop only.
 */
#ifndef TOCSIN_FIRMWARE_LIMITS_H
#define TOCSIN_FIRMWARE_LIMITS_H

#include <stdint.h>

enum { LIMITS_MINUTE, LIMITS_HOUR, LIMITS_DAY, LIMITS_COUNT };

struct limits {
    uint32_t interval_ms[LIMITS_COUNT];  /* Between two messages at an empty bucket; 0: no limit. */
    uint32_t burst_ms[LIMITS_COUNT];     /* How long an empty bucket takes to be full. */
    uint64_t full_unix_ms[LIMITS_COUNT]; /* When the bucket is full again; the state to be kept. */
};

/* Messages a minute, an hour, a day (up to 2^30 each); 0: no limit. Buckets are full. */
void limits_init(struct limits *limits, const uint32_t most[LIMITS_COUNT]);

/* Milliseconds until a message of that severity may leave; 0: now, and also while the time is not
 * known (0). */
uint64_t limits_wait_ms(struct limits *limits, uint64_t unix_ms, uint8_t severity);

/* The same for the last of count messages. */
uint64_t limits_wait_all_ms(struct limits *limits, uint64_t unix_ms, uint8_t severity,
                            uint32_t count);

/* A message leaves, or left at that time. */
void limits_take(struct limits *limits, uint64_t unix_ms);

/* The clock was set: what was one time is now another. */
void limits_shift(struct limits *limits, uint64_t from_unix_ms, uint64_t to_unix_ms);

/* Which limit makes it wait longest: "minute", "hour", "day"; "" when none does. */
const char *limits_name(const struct limits *limits, uint64_t unix_ms, uint8_t severity);

#endif
