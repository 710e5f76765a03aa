/* tls_sha256.c - SHA-256 (FIPS 180-4) with rolled rounds, for the reasons and
 * by the means that tls_sha512.c tells. Whoever needs SHA-224, which nothing
 * here does, will not find it.
 */
#include "net/tls_private.h"

#include <string.h>

#define BLOCK_BYTES 64
#define LENGTH_BYTES 8 /* Of the count of bits that ends the last block. */

/* The fractions of the cube roots of the first 64 primes (FIPS 180-4
 * section 4.2.2). */
static const uint32_t round_words[64] = {
    0x428A2F98, 0x71374491, 0xB5C0FBCF, 0xE9B5DBA5, 0x3956C25B, 0x59F111F1, 0x923F82A4, 0xAB1C5ED5,
    0xD807AA98, 0x12835B01, 0x243185BE, 0x550C7DC3, 0x72BE5D74, 0x80DEB1FE, 0x9BDC06A7, 0xC19BF174,
    0xE49B69C1, 0xEFBE4786, 0x0FC19DC6, 0x240CA1CC, 0x2DE92C6F, 0x4A7484AA, 0x5CB0A9DC, 0x76F988DA,
    0x983E5152, 0xA831C66D, 0xB00327C8, 0xBF597FC7, 0xC6E00BF3, 0xD5A79147, 0x06CA6351, 0x14292967,
    0x27B70A85, 0x2E1B2138, 0x4D2C6DFC, 0x53380D13, 0x650A7354, 0x766A0ABB, 0x81C2C92E, 0x92722C85,
    0xA2BFE8A1, 0xA81A664B, 0xC24B8B70, 0xC76C51A3, 0xD192E819, 0xD6990624, 0xF40E3585, 0x106AA070,
    0x19A4C116, 0x1E376C08, 0x2748774C, 0x34B0BCB5, 0x391C0CB3, 0x4ED8AA4A, 0x5B9CCA4F, 0x682E6FF3,
    0x748F82EE, 0x78A5636F, 0x84C87814, 0x8CC70208, 0x90BEFFFA, 0xA4506CEB, 0xBEF9A3F7, 0xC67178F2,
};

/* FIPS 180-4 section 5.3.3. */
static const uint32_t first[8] = {
    0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
};

static uint32_t rotate(uint32_t x, unsigned bits)
{
    return x >> bits | x << (32 - bits);
}

static void read_words(uint32_t *words, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < 4 * count; i++) {
        words[i / 4] = words[i / 4] << 8 | bytes[i];
    }
}

static void write_words(uint8_t *bytes, const uint32_t *words, size_t count)
{
    for (size_t i = 0; i < 4 * count; i++) {
        bytes[i] = (uint8_t)(words[i / 4] >> (24 - 8 * (i % 4)));
    }
}

/* The message schedule's words i - 16 to i - 1 are kept, each at its number
 * modulo 16. */
static void add_block(uint32_t value[8], const uint8_t *block)
{
    uint32_t schedule[16];
    uint32_t work[8];

    read_words(schedule, block, 16);
    memcpy(work, value, sizeof work);
    for (unsigned i = 0; i < 64; i++) {
        uint32_t *word = &schedule[i % 16];
        uint32_t a = work[0];
        uint32_t e = work[4];
        uint32_t sum;

        if (i >= 16) {
            uint32_t old = schedule[(i + 1) % 16];
            uint32_t young = schedule[(i + 14) % 16];

            *word += (rotate(old, 7) ^ rotate(old, 18) ^ old >> 3) + schedule[(i + 9) % 16] +
                     (rotate(young, 17) ^ rotate(young, 19) ^ young >> 10);
        }
        sum = work[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) +
              ((e & work[5]) ^ (~e & work[6])) + round_words[i] + *word;
        for (unsigned j = 7; j > 0; j--) {
            work[j] = work[j - 1];
        }
        work[4] += sum;
        work[0] = sum + (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) +
                  ((a & work[2]) ^ (a & work[3]) ^ (work[2] & work[3]));
    }
    for (unsigned j = 0; j < 8; j++) {
        value[j] += work[j];
    }
}

void br_sha224_update(br_sha224_context *sha, const void *data, size_t size)
{
    const uint8_t *bytes = data;

    while (size > 0) {
        size_t at = (size_t)sha->count % BLOCK_BYTES;
        size_t part = size < BLOCK_BYTES - at ? size : BLOCK_BYTES - at;

        memcpy(sha->buf + at, bytes, part);
        sha->count += part;
        bytes += part;
        size -= part;
        if (at + part == BLOCK_BYTES) {
            add_block(sha->val, sha->buf);
        }
    }
}

/* The context stays as it was, for more to be added. */
static void end(const br_sha224_context *sha, uint8_t *out, size_t count)
{
    uint8_t block[BLOCK_BYTES];
    uint32_t value[8];
    uint32_t bits[2] = {(uint32_t)(sha->count >> 29), (uint32_t)(sha->count << 3)};
    size_t at = (size_t)sha->count % BLOCK_BYTES;

    memcpy(value, sha->val, sizeof value);
    memcpy(block, sha->buf, at);
    memset(block + at, 0, sizeof block - at);
    block[at] = 0x80;
    if (at >= BLOCK_BYTES - LENGTH_BYTES) {
        add_block(value, block);
        memset(block, 0, sizeof block);
    }
    write_words(block + BLOCK_BYTES - 8, bits, 2);
    add_block(value, block);
    write_words(out, value, count);
}

void br_sha256_init(br_sha256_context *sha)
{
    sha->vtable = &br_sha256_vtable;
    sha->count = 0;
    memcpy(sha->val, first, sizeof sha->val);
}

void br_sha256_out(const br_sha256_context *sha, void *out)
{
    end(sha, out, 8);
}

uint64_t br_sha224_state(const br_sha224_context *sha, void *out)
{
    write_words(out, sha->val, 8);
    return sha->count;
}

void br_sha224_set_state(br_sha224_context *sha, const void *state, uint64_t count)
{
    read_words(sha->val, state, 8);
    sha->count = count;
}

const br_hash_class br_sha256_vtable = {
    .context_size = sizeof(br_sha256_context),
    .desc = BR_HASHDESC_ID(br_sha256_ID) | BR_HASHDESC_OUT(32) | BR_HASHDESC_STATE(32) |
            BR_HASHDESC_LBLEN(6) | BR_HASHDESC_MD_PADDING | BR_HASHDESC_MD_PADDING_BE,
    .init = (void (*)(const br_hash_class **))br_sha256_init,
    .update = (void (*)(const br_hash_class **, const void *, size_t))br_sha224_update,
    .out = (void (*)(const br_hash_class *const *, void *))br_sha256_out,
    .state = (uint64_t(*)(const br_hash_class *const *, void *))br_sha224_state,
    .set_state = (void (*)(const br_hash_class **, const void *, uint64_t))br_sha224_set_state,
};
