#include "firmware/retry.h"

#define BACKOFF_MS_MIN 1000 /* Of each wait, whatever the dice say. */

uint64_t retry_backoff_ms(const struct config *config, struct random *random, unsigned failures)
{
    uint32_t step_ms = config->retry_min_s * 1000; /* Both at most a day. */
    uint32_t most_ms = config->retry_max_s * 1000;

    for (unsigned i = 1; i < failures && step_ms < most_ms; i++) {
        step_ms *= 2;
    }
    if (step_ms > most_ms) {
        step_ms = most_ms;
    }
    return BACKOFF_MS_MIN + random_u32(random) % (step_ms - BACKOFF_MS_MIN + 1);
}

uint8_t retry_choose(const struct retry *retry, const struct config *config, uint64_t now_ms)
{
    if (config_servers(config) < 2 || (retry->tried & 2) != 0) {
        return 0;
    }
    return (retry->tried & 1) != 0 || retry->second_first || now_ms < retry->first_ms ? 1 : 0;
}

bool retry_other_is_left(const struct retry *retry, const struct config *config, uint8_t server)
{
    return config_servers(config) > 1 && (retry->tried & (2u >> server)) == 0;
}

static void count_up(uint8_t *count)
{
    *count += *count < UINT8_MAX ? 1 : 0;
}

void retry_good(struct retry *retry, uint8_t server)
{
    retry->failures = 0;
    retry->tried = 0;
    retry->second_first = false;
    if (server == 0) {
        retry->first_failures = 0;
        retry->first_ms = 0;
    }
}

bool retry_failed(struct retry *retry, const struct config *config, struct random *random,
                  uint8_t server, uint64_t now_ms)
{
    bool other = retry_other_is_left(retry, config, server);

    if (server == 0) {
        count_up(&retry->first_failures);
        retry->first_ms = now_ms + retry_backoff_ms(config, random, retry->first_failures);
    }
    retry->tried |= (uint8_t)(1u << server);
    retry->next_ms = 0;
    if (!other) {
        count_up(&retry->failures);
        retry->next_ms = now_ms + retry_backoff_ms(config, random, retry->failures);
        retry->first_ms = 0; /* The next round begins with the first again. */
        retry->tried = 0;
    }
    return other;
}

void retry_now(struct retry *retry)
{
    retry->next_ms = 0;
    retry->first_ms = 0;
    retry->tried = 0;
}
