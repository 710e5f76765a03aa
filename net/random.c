#include "net/random.h"

#include <string.h>

void random_init(struct random *random)
{
    memset(random, 0, sizeof *random);
    br_hmac_drbg_init(&random->drbg, &br_sha256_vtable, NULL, 0);
}

/* random_seed() and random_mix() both only add to the state (SP 800-90A 10.1.2.4), so that whoever controls
 * one input cannot undo another. */
void random_seed(struct random *random, const void *seed, size_t size)
{
    br_hmac_drbg_update(&random->drbg, seed, size);
    if (size >= RANDOM_SEED_BYTES) {
        random->seeded = true;
    }
}

void random_mix(struct random *random, const void *data, size_t size)
{
    br_hmac_drbg_update(&random->drbg, data, size);
}

bool random_ready(const struct random *random)
{
    return random->seeded;
}

int random_bytes(struct random *random, void *out, size_t size)
{
    if (!random->seeded) {
        memset(out, 0, size);
        return E_MISSING;
    }
    br_hmac_drbg_generate(&random->drbg, out, size);
    return 0;
}

uint32_t random_u32(struct random *random)
{
    uint32_t value;

    br_hmac_drbg_generate(&random->drbg, &value, sizeof value);
    return value;
}
