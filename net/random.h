/* random.h - the device's one source of random numbers: BearSSL's HMAC-DRBG over SHA-256
 * (NIST SP 800-90A 10.1.2).
 *
 *     random_init(&random);
 *     random_mix(&random, &boot_count, sizeof boot_count);
 *     random_seed(&random, seed, sizeof seed);
 *     error = random_bytes(&random, key, sizeof key);
 *
 * It is seeded once a boot, from the board's generator or from a per-device seed in flash that is
 * replaced before its first use, and mixed with whatever timing can be had. It refuses to serve
 * secrets before it is seeded. What was given out cannot be told from a later state: the state
 * moves on after every request. Cost: sizeof(struct random), some 140 bytes. One context of
 * execution only.
 */
#ifndef TOCSIN_NET_RANDOM_H
#define TOCSIN_NET_RANDOM_H

#include "net/error.h"

#include <bearssl_rand.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RANDOM_SEED_BYTES 32        /* What counts as a full seed. */
#define RANDOM_REQUEST_BYTES 65536u /* Most of one request: SP 800-90A table 2. */

struct random {
    br_hmac_drbg_context drbg;
    uint8_t seed_bytes; /* Real entropy so far; sticks at RANDOM_SEED_BYTES. */
};

void random_init(struct random *random);

/* Real entropy. RANDOM_SEED_BYTES of it, in one piece or several, make the generator ready. More
 * than one source can only help: nobody who knows one of them learns anything. */
void random_seed(struct random *random, const void *seed, size_t size);

/* Input that can only help: counters, timing, addresses. Does not make it ready. */
void random_mix(struct random *random, const void *data, size_t size);

bool random_ready(const struct random *random);

/* For secrets. E_MISSING: not seeded; E_INVALID: more than RANDOM_REQUEST_BYTES. On an error the
 * output is all zero and must not be used. */
MUST_CHECK int random_bytes(struct random *random, void *out, size_t size);

/* For jitter, ports and ids, never for keys: 32 bits. Unseeded, it is a hash chain over what was
 * mixed in, different on each call but no better than that input. */
uint32_t random_u32(struct random *random);

#endif
