#include "net/random.h"

#include <string.h>

void random_init(struct random *random)
{
    memset(random, 0, sizeof *random);
    br_hmac_drbg_init(&random->drbg, &br_sha256_vtable, NULL, 0);
}

void random_mix(struct random *random, const void *data, size_t size)
{
    br_hmac_drbg_update(&random->drbg, data, size);
}

void random_seed(struct random *random, const void *seed, size_t size)
{
    size_t missing = RANDOM_SEED_BYTES - random->seed_bytes;

    random_mix(random, seed, size);
    random->seed_bytes = (uint8_t)(random->seed_bytes + (size < missing ? size : missing));
}

bool random_ready(const struct random *random)
{
    return random->seed_bytes >= RANDOM_SEED_BYTES;
}

int random_bytes(struct random *random, void *out, size_t size)
{
    int error = !random_ready(random) ? E_MISSING : size > RANDOM_REQUEST_BYTES ? E_INVALID : 0;

    if (error < 0) {
        memset(out, 0, size);
        return error;
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
