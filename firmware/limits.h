/* limits.h - the provider's limits: messages a minute, an hour, a day.
 *
 * Three token buckets, kept as the time at which each is full again (GCRA), so that they survive a
 * reboot as three numbers and need no timer. A bucket holds half of its limit and refills with the
 * other half spread over the period: no period of that length, wherever it begins, sees more than
 * the limit. A quarter of each bucket is for alerts of severity critical and worse.
 */
#ifndef TOCSIN_FIRMWARE_LIMITS_H
#define TOCSIN_FIRMWARE_LIMITS_H

#include <stdint.h>

enum { LIMITS_MINUTE, LIMITS_HOUR, LIMITS_DAY, LIMITS_COUNT };

struct limits {
    uint32_t interval_ms[LIMITS_COUNT]; /* Between two messages when the bucket is empty; 0: no limit. */
    uint32_t burst_ms[LIMITS_COUNT];    /* What a full bucket is worth. */
    uint64_t full_unix_ms[LIMITS_COUNT]; /* When the bucket is full again. */
};

/* Messages a minute, an hour, a day; 0: no limit. Buckets are full. */
void limits_init(struct limits *limits, const uint32_t most[LIMITS_COUNT]);

/* Milliseconds until a message of that severity may leave; 0: now. A bucket whose time lies further
 * ahead than its period (the clock went back) is put right. */
uint64_t limits_wait_ms(struct limits *limits, uint64_t unix_ms, uint8_t severity);

/* A message leaves, or left at that time. */
void limits_take(struct limits *limits, uint64_t unix_ms);

/* Which limit makes it wait: "minute", "hour", "day". */
const char *limits_name(const struct limits *limits, uint64_t unix_ms, uint8_t severity);

#endif
