/* random.h - the device's one source of random numbers: BearSSL's HMAC-DRBG over SHA-256 (SP 800-90A).
 *
 * It is seeded once a boot, from the board's generator or from a per-device seed in flash that is replaced
 * before its first use, and mixed with whatever timing can be had. It refuses to serve before it is seeded.
 */
#ifndef TOCSIN_NET_RANDOM_H
#define TOCSIN_NET_RANDOM_H

#include "net/error.h"

#include <bearssl_rand.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RANDOM_SEED_BYTES 32 /* What counts as a full seed. */

struct random {
    br_hmac_drbg_context drbg;
    bool seeded;
};

void random_init(struct random *random);

/* Real entropy: at least RANDOM_SEED_BYTES make the generator ready. */
void random_seed(struct random *random, const void *seed, size_t size);

/* More input that can only help: counters, timing, addresses. Does not make it ready. */
void random_mix(struct random *random, const void *data, size_t size);

bool random_ready(const struct random *random);

/* E_MISSING: not seeded; the output is then all zero and must not be used. size at most 64 KB. */
MUST_CHECK int random_bytes(struct random *random, void *out, size_t size);

/* For jitter, ports and ids: 32 bits; a plain hash of the mixed input while unseeded. */
uint32_t random_u32(struct random *random);

#endif
