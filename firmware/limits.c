#include "firmware/limits.h"

#include "net/alert.h"
#include "net/text.h"

#include <stddef.h>

static const uint32_t period_ms[LIMITS_COUNT] = {60000, 3600000, 86400000};

/* With a bucket of `burst` messages that gets one more every `interval`, a period holds at most
 * burst - 1 + period / interval of them, rounded up: this is made equal to the limit. */
void limits_init(struct limits *limits, const uint32_t most[LIMITS_COUNT])
{
    for (size_t i = 0; i < LIMITS_COUNT; i++) {
        uint32_t refill = most[i] - most[i] / 4 + (most[i] % 4 == 0 ? 1 : 0);
        uint32_t interval_ms = (period_ms[i] + refill - 1) / refill;
        uint32_t burst = most[i] + 1 - (period_ms[i] + interval_ms - 1) / interval_ms;

        limits->interval_ms[i] = most[i] == 0 ? 0 : interval_ms;
        limits->burst_ms[i] = most[i] == 0 ? 0 : burst * interval_ms;
        limits->full_unix_ms[i] = 0;
    }
}

static uint64_t bucket_wait_ms(const struct limits *limits, size_t i, uint64_t unix_ms,
                               uint8_t severity, uint32_t count)
{
    uint32_t interval_ms = limits->interval_ms[i];
    uint32_t burst_ms = limits->burst_ms[i];
    uint64_t full_ms = limits->full_unix_ms[i];
    uint64_t need_ms = (uint64_t)interval_ms * count;

    if (interval_ms == 0) {
        return 0;
    }
    if (severity > SEVERITY_CRITICAL) {
        need_ms += (burst_ms / interval_ms + 2) / 4 * interval_ms;
    }
    if (full_ms > unix_ms) {
        need_ms += full_ms - unix_ms;
    }
    return need_ms > burst_ms ? need_ms - burst_ms : 0;
}

uint64_t limits_wait_all_ms(struct limits *limits, uint64_t unix_ms, uint8_t severity,
                            uint32_t count)
{
    uint64_t longest_ms = 0;

    if (unix_ms == 0) {
        return 0;
    }
    for (size_t i = 0; i < LIMITS_COUNT; i++) {
        uint64_t wait_ms;

        if (limits->full_unix_ms[i] > unix_ms + limits->burst_ms[i]) {
            limits->full_unix_ms[i] = unix_ms + limits->burst_ms[i]; /* The clock went back. */
        }
        wait_ms = bucket_wait_ms(limits, i, unix_ms, severity, count);
        if (wait_ms > longest_ms) {
            longest_ms = wait_ms;
        }
    }
    return longest_ms;
}

uint64_t limits_wait_ms(struct limits *limits, uint64_t unix_ms, uint8_t severity)
{
    return limits_wait_all_ms(limits, unix_ms, severity, 1);
}

void limits_take(struct limits *limits, uint64_t unix_ms)
{
    for (size_t i = 0; i < LIMITS_COUNT; i++) {
        if (limits->full_unix_ms[i] < unix_ms) {
            limits->full_unix_ms[i] = unix_ms;
        }
        limits->full_unix_ms[i] += limits->interval_ms[i];
    }
}

void limits_shift(struct limits *limits, uint64_t from_unix_ms, uint64_t to_unix_ms)
{
    for (size_t i = 0; i < LIMITS_COUNT; i++) {
        if (limits->full_unix_ms[i] > from_unix_ms) {
            limits->full_unix_ms[i] += to_unix_ms - from_unix_ms; /* Modulo 2^64: also back. */
        }
    }
}

const char *limits_name(const struct limits *limits, uint64_t unix_ms, uint8_t severity)
{
    uint64_t longest_ms = 0;
    size_t longest = LIMITS_COUNT;

    for (size_t i = 0; i < LIMITS_COUNT; i++) {
        uint64_t wait_ms = bucket_wait_ms(limits, i, unix_ms, severity, 1);

        if (wait_ms > longest_ms) {
            longest_ms = wait_ms;
            longest = i;
        }
    }
    return text_item("minute\0hour\0day\0", longest);
}
