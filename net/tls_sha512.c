/* tls_sha512.c - SHA-384 and SHA-512 (FIPS 180-4) in a quarter of the code.
 *
 * BearSSL's own has its rounds unrolled: 2.6 KB and 640 bytes of stack for a hash that a handshake
 * needs over a few KB at most. These functions have the names, the contexts and the promises of
 * bearssl_hash.h, so that the linker, which looks here first, leaves BearSSL's file where it is and
 * the TLS engine, the certificates and the PRF all use this one. No branch and no place in memory
 * depends on what is hashed.
 */
#include "net/tls_private.h"

#include <string.h>

#define BLOCK_BYTES 128
#define LENGTH_BYTES 16 /* Of the count of bits that ends the last block. */

/* The fractions of the cube roots of the first 80 primes (FIPS 180-4 section 4.2.3). */
static const uint64_t round_words[80] = {
    0x428A2F98D728AE22, 0x7137449123EF65CD, 0xB5C0FBCFEC4D3B2F, 0xE9B5DBA58189DBBC,
    0x3956C25BF348B538, 0x59F111F1B605D019, 0x923F82A4AF194F9B, 0xAB1C5ED5DA6D8118,
    0xD807AA98A3030242, 0x12835B0145706FBE, 0x243185BE4EE4B28C, 0x550C7DC3D5FFB4E2,
    0x72BE5D74F27B896F, 0x80DEB1FE3B1696B1, 0x9BDC06A725C71235, 0xC19BF174CF692694,
    0xE49B69C19EF14AD2, 0xEFBE4786384F25E3, 0x0FC19DC68B8CD5B5, 0x240CA1CC77AC9C65,
    0x2DE92C6F592B0275, 0x4A7484AA6EA6E483, 0x5CB0A9DCBD41FBD4, 0x76F988DA831153B5,
    0x983E5152EE66DFAB, 0xA831C66D2DB43210, 0xB00327C898FB213F, 0xBF597FC7BEEF0EE4,
    0xC6E00BF33DA88FC2, 0xD5A79147930AA725, 0x06CA6351E003826F, 0x142929670A0E6E70,
    0x27B70A8546D22FFC, 0x2E1B21385C26C926, 0x4D2C6DFC5AC42AED, 0x53380D139D95B3DF,
    0x650A73548BAF63DE, 0x766A0ABB3C77B2A8, 0x81C2C92E47EDAEE6, 0x92722C851482353B,
    0xA2BFE8A14CF10364, 0xA81A664BBC423001, 0xC24B8B70D0F89791, 0xC76C51A30654BE30,
    0xD192E819D6EF5218, 0xD69906245565A910, 0xF40E35855771202A, 0x106AA07032BBD1B8,
    0x19A4C116B8D2D0C8, 0x1E376C085141AB53, 0x2748774CDF8EEB99, 0x34B0BCB5E19B48A8,
    0x391C0CB3C5C95A63, 0x4ED8AA4AE3418ACB, 0x5B9CCA4F7763E373, 0x682E6FF3D6B2B8A3,
    0x748F82EE5DEFB2FC, 0x78A5636F43172F60, 0x84C87814A1F0AB72, 0x8CC702081A6439EC,
    0x90BEFFFA23631E28, 0xA4506CEBDE82BDE9, 0xBEF9A3F7B2C67915, 0xC67178F2E372532B,
    0xCA273ECEEA26619C, 0xD186B8C721C0C207, 0xEADA7DD6CDE0EB1E, 0xF57D4F7FEE6ED178,
    0x06F067AA72176FBA, 0x0A637DC5A2C898A6, 0x113F9804BEF90DAE, 0x1B710B35131C471B,
    0x28DB77F523047D84, 0x32CAAB7B40C72493, 0x3C9EBE0A15C9BEBC, 0x431D67C49C100D4C,
    0x4CC5D4BECB3E42B6, 0x597F299CFC657E2A, 0x5FCB6FAB3AD6FAEC, 0x6C44198C4A475817,
};

/* FIPS 180-4 sections 5.3.5 and 5.3.4. */
static const uint64_t first_512[8] = {
    0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
    0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
};
static const uint64_t first_384[8] = {
    0xCBBB9D5DC1059ED8, 0x629A292A367CD507, 0x9159015A3070DD17, 0x152FECD8F70E5939,
    0x67332667FFC00B31, 0x8EB44A8768581511, 0xDB0C2E0D64F98FA7, 0x47B5481DBEFA4FA4,
};

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return x >> bits | x << (64 - bits);
}

static void read_words(uint64_t *words, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < 8 * count; i++) {
        words[i / 8] = words[i / 8] << 8 | bytes[i];
    }
}

static void write_words(uint8_t *bytes, const uint64_t *words, size_t count)
{
    for (size_t i = 0; i < 8 * count; i++) {
        bytes[i] = (uint8_t)(words[i / 8] >> (56 - 8 * (i % 8)));
    }
}

/* The message schedule's words i - 16 to i - 1 are kept, each at its number modulo 16. */
static void add_block(uint64_t value[8], const uint8_t *block)
{
    uint64_t schedule[16];
    uint64_t work[8];

    read_words(schedule, block, 16);
    memcpy(work, value, sizeof work);
    for (unsigned i = 0; i < 80; i++) {
        uint64_t *word = &schedule[i % 16];
        uint64_t a = work[0];
        uint64_t e = work[4];
        uint64_t sum;

        if (i >= 16) {
            uint64_t old = schedule[(i + 1) % 16];
            uint64_t young = schedule[(i + 14) % 16];

            *word += (rotate(old, 1) ^ rotate(old, 8) ^ old >> 7) + schedule[(i + 9) % 16] +
                     (rotate(young, 19) ^ rotate(young, 61) ^ young >> 6);
        }
        sum = work[7] + (rotate(e, 14) ^ rotate(e, 18) ^ rotate(e, 41)) +
              ((e & work[5]) ^ (~e & work[6])) + round_words[i] + *word;
        for (unsigned j = 7; j > 0; j--) {
            work[j] = work[j - 1];
        }
        work[4] += sum;
        work[0] = sum + (rotate(a, 28) ^ rotate(a, 34) ^ rotate(a, 39)) +
                  ((a & work[2]) ^ (a & work[3]) ^ (work[2] & work[3]));
    }
    for (unsigned j = 0; j < 8; j++) {
        value[j] += work[j];
    }
}

void br_sha384_update(br_sha384_context *sha, const void *data, size_t size)
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
static void end(const br_sha384_context *sha, uint8_t *out, size_t count)
{
    uint8_t block[BLOCK_BYTES];
    uint64_t value[8];
    uint64_t bits = sha->count << 3;
    size_t at = (size_t)sha->count % BLOCK_BYTES;

    memcpy(value, sha->val, sizeof value);
    memcpy(block, sha->buf, at);
    memset(block + at, 0, sizeof block - at);
    block[at] = 0x80;
    if (at >= BLOCK_BYTES - LENGTH_BYTES) {
        add_block(value, block);
        memset(block, 0, sizeof block);
    }
    block[BLOCK_BYTES - 9] = (uint8_t)(sha->count >> 61);
    write_words(block + BLOCK_BYTES - 8, &bits, 1);
    add_block(value, block);
    write_words(out, value, count);
}

static void begin(br_sha384_context *sha, const br_hash_class *kind, const uint64_t first[8])
{
    sha->vtable = kind;
    sha->count = 0;
    memcpy(sha->val, first, sizeof sha->val);
}

void br_sha384_init(br_sha384_context *sha)
{
    begin(sha, &br_sha384_vtable, first_384);
}

void br_sha512_init(br_sha512_context *sha)
{
    begin(sha, &br_sha512_vtable, first_512);
}

void br_sha384_out(const br_sha384_context *sha, void *out)
{
    end(sha, out, 6);
}

void br_sha512_out(const br_sha512_context *sha, void *out)
{
    end(sha, out, 8);
}

uint64_t br_sha384_state(const br_sha384_context *sha, void *out)
{
    write_words(out, sha->val, 8);
    return sha->count;
}

void br_sha384_set_state(br_sha384_context *sha, const void *state, uint64_t count)
{
    read_words(sha->val, state, 8);
    sha->count = count;
}

#define SHA_CLASS(bits)                                                                            \
    {                                                                                              \
        .context_size = sizeof(br_sha384_context),                                                 \
        .desc = BR_HASHDESC_ID(br_sha##bits##_ID) | BR_HASHDESC_OUT((bits) / 8) |                  \
                BR_HASHDESC_STATE(64) | BR_HASHDESC_LBLEN(7) | BR_HASHDESC_MD_PADDING |            \
                BR_HASHDESC_MD_PADDING_BE | BR_HASHDESC_MD_PADDING_128,                            \
        .init = (void (*)(const br_hash_class **))br_sha##bits##_init,                             \
        .update = (void (*)(const br_hash_class **, const void *, size_t))br_sha384_update,        \
        .out = (void (*)(const br_hash_class *const *, void *))br_sha##bits##_out,                 \
        .state = (uint64_t(*)(const br_hash_class *const *, void *))br_sha384_state,               \
        .set_state = (void (*)(const br_hash_class **, const void *, uint64_t))br_sha384_set_state \
    }

const br_hash_class br_sha384_vtable = SHA_CLASS(384);
const br_hash_class br_sha512_vtable = SHA_CLASS(512);
