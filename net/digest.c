#include "net/digest.h"

#include "net/text.h"
#include "net/tls_private.h"

#include <bearssl_ec.h>
#include <string.h>

#define HMAC_BLOCK_BYTES 64 /* Of SHA-256. */
#define SHA1_BLOCK_BYTES 64

/* What stands before x and y: SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING }, and
 * the mark of an uncompressed point (RFC 5480 section 2). */
static const uint8_t spki_head[DIGEST_SPKI_BYTES - DIGEST_PUBLIC_BYTES] = {
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06,
    0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
};

void digest_sha256_init(struct digest_sha256 *digest)
{
    br_sha256_init(&digest->sha256);
}

void digest_sha256_push(struct digest_sha256 *digest, const void *bytes, size_t size)
{
    br_sha256_update(&digest->sha256, bytes, size);
}

void digest_sha256_end(const struct digest_sha256 *digest, uint8_t out[DIGEST_SHA256_BYTES])
{
    br_sha256_out(&digest->sha256, out);
}

/* Begins a hash with the key's block, masked (RFC 2104 section 2). */
static void hmac_begin(br_sha256_context *sha256, const uint8_t *key, uint8_t mask)
{
    uint8_t block[HMAC_BLOCK_BYTES];

    memset(block, mask, sizeof block);
    for (size_t i = 0; i < DIGEST_KEY_BYTES; i++) {
        block[i] ^= key[i];
    }
    br_sha256_init(sha256);
    br_sha256_update(sha256, block, sizeof block);
}

void digest_hmac_init(struct digest_hmac *digest, const uint8_t key[DIGEST_KEY_BYTES])
{
    digest->key = key;
    hmac_begin(&digest->inner, key, 0x36);
}

void digest_hmac_push(struct digest_hmac *digest, const void *bytes, size_t size)
{
    br_sha256_update(&digest->inner, bytes, size);
}

void digest_hmac_end(const struct digest_hmac *digest, uint8_t out[DIGEST_SHA256_BYTES])
{
    br_sha256_context outer;

    br_sha256_out(&digest->inner, out);
    hmac_begin(&outer, digest->key, 0x5C);
    br_sha256_update(&outer, out, DIGEST_SHA256_BYTES);
    br_sha256_out(&outer, out);
}

static uint32_t rotate_left(uint32_t x, unsigned bits)
{
    return x << bits | x >> (32 - bits);
}

/* One block (FIPS 180-4 section 6.1.3): the schedule's word i stands at i modulo 16. BearSSL's own
 * has its rounds unrolled, 0.8 KB for a hash of 8 bytes a command. */
static void sha1_block(uint32_t value[5], const uint8_t block[SHA1_BLOCK_BYTES])
{
    static const uint32_t constants[4] = {0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xCA62C1D6};
    uint32_t schedule[16];
    uint32_t work[5];

    memcpy(work, value, sizeof work);
    for (unsigned i = 0; i < SHA1_BLOCK_BYTES; i++) {
        schedule[i / 4] = schedule[i / 4] << 8 | block[i];
    }
    for (unsigned i = 0; i < 80; i++) {
        uint32_t *word = &schedule[i % 16];
        uint32_t mixed = work[1] ^ work[2] ^ work[3];
        uint32_t next;

        if (i >= 16) {
            *word = rotate_left(*word ^ schedule[(i + 2) % 16] ^ schedule[(i + 8) % 16] ^
                                    schedule[(i + 13) % 16],
                                1);
        }
        if (i < 20) {
            mixed = (work[1] & work[2]) | (~work[1] & work[3]);
        } else if (i >= 40 && i < 60) {
            mixed = (work[1] & work[2]) | (work[1] & work[3]) | (work[2] & work[3]);
        }
        next = rotate_left(work[0], 5) + mixed + work[4] + constants[i / 20] + *word;
        work[4] = work[3];
        work[3] = work[2];
        work[2] = rotate_left(work[1], 30);
        work[1] = work[0];
        work[0] = next;
    }
    for (unsigned i = 0; i < 5; i++) {
        value[i] += work[i];
    }
}

void digest_sha1(const void *bytes, size_t size, uint8_t out[DIGEST_SHA1_BYTES])
{
    uint32_t value[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    uint8_t block[SHA1_BLOCK_BYTES];

    /* Behind the bytes stand a mark, zeros, and in the last 8 bytes of a block their bits. */
    for (size_t at = 0; at < size + 9; at += sizeof block) {
        size_t left = at < size ? size - at : 0;

        memset(block, 0, sizeof block);
        if (left > 0) {
            memcpy(block, (const uint8_t *)bytes + at, left < sizeof block ? left : sizeof block);
        }
        if (at <= size && left < sizeof block) {
            block[left] = 0x80;
        }
        for (unsigned i = 0; left + 9 <= sizeof block && i < 5; i++) {
            block[SHA1_BLOCK_BYTES - 1 - i] = (uint8_t)((uint64_t)size * 8 >> (8 * i));
        }
        sha1_block(value, block);
    }
    for (unsigned i = 0; i < DIGEST_SHA1_BYTES; i++) {
        out[i] = (uint8_t)(value[i / 4] >> (24 - 8 * (i % 4)));
    }
}

/* The point as BearSSL wants it: uncompressed, with its mark. */
static void point_write(const uint8_t *key, unsigned char point[1 + DIGEST_PUBLIC_BYTES])
{
    point[0] = 0x04;
    memcpy(point + 1, key, DIGEST_PUBLIC_BYTES);
}

bool digest_ecdsa_verify(const uint8_t key[DIGEST_PUBLIC_BYTES],
                         const uint8_t hash[DIGEST_SHA256_BYTES], const void *signature,
                         size_t size)
{
    unsigned char point[1 + DIGEST_PUBLIC_BYTES];
    const br_ec_public_key public = {BR_EC_secp256r1, point, sizeof point};

    point_write(key, point);
    return br_ecdsa_i31_vrfy_asn1(&tls_ec, hash, DIGEST_SHA256_BYTES, &public, signature, size) ==
           1;
}

int digest_public_parse(const uint8_t *der, size_t size, uint8_t key[DIGEST_PUBLIC_BYTES])
{
    if (size != DIGEST_SPKI_BYTES || memcmp(der, spki_head, sizeof spki_head) != 0) {
        return E_INVALID;
    }
    memcpy(key, der + sizeof spki_head, DIGEST_PUBLIC_BYTES);
    return 0;
}

bool digest_public_valid(const uint8_t key[DIGEST_PUBLIC_BYTES])
{
    static const unsigned char one = 1;
    unsigned char point[1 + DIGEST_PUBLIC_BYTES];

    point_write(key, point);
    /* Multiplying looks first whether the point is on the curve. */
    return tls_ec.mul(point, sizeof point, &one, 1, BR_EC_secp256r1) == 1;
}

void digest_public_write(const uint8_t key[DIGEST_PUBLIC_BYTES], uint8_t der[DIGEST_SPKI_BYTES])
{
    memcpy(der, spki_head, sizeof spki_head);
    memcpy(der + sizeof spki_head, key, DIGEST_PUBLIC_BYTES);
}

void digest_apop(const char *timestamp, size_t size, const char *secret, char out[33])
{
    br_md5_context md5;
    unsigned char hash[br_md5_SIZE];
    struct text text = text_begin(out, 33);

    br_md5_init(&md5);
    br_md5_update(&md5, timestamp, size);
    br_md5_update(&md5, secret, strlen(secret));
    br_md5_out(&md5, hash);
    for (size_t i = 0; i < sizeof hash; i++) {
        text_add_hex(&text, hash[i], 2);
    }
}

bool digest_equal(const void *a, const void *b, size_t size)
{
    const volatile uint8_t *one = a;
    const volatile uint8_t *other = b;
    uint8_t differs = 0;

    for (size_t i = 0; i < size; i++) {
        differs |= (uint8_t)(one[i] ^ other[i]);
    }
    return differs == 0;
}
