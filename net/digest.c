#include "net/digest.h"

#include "net/text.h"
#include "net/tls_private.h"

#include <bearssl_ec.h>
#include <string.h>

#define HMAC_BLOCK_BYTES 64 /* Of SHA-256. */
#define SHA1_BLOCK_BYTES 64
#define MD5_BLOCK_BYTES 64

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
    uint32_t schedule[16] = {0};
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

/* The sines of 1 to 64, times 2^32 (RFC 1321 section 3.4). */
static const uint32_t md5_sines[64] = {
    0xD76AA478, 0xE8C7B756, 0x242070DB, 0xC1BDCEEE, 0xF57C0FAF, 0x4787C62A, 0xA8304613, 0xFD469501,
    0x698098D8, 0x8B44F7AF, 0xFFFF5BB1, 0x895CD7BE, 0x6B901122, 0xFD987193, 0xA679438E, 0x49B40821,
    0xF61E2562, 0xC040B340, 0x265E5A51, 0xE9B6C7AA, 0xD62F105D, 0x02441453, 0xD8A1E681, 0xE7D3FBC8,
    0x21E1CDE6, 0xC33707D6, 0xF4D50D87, 0x455A14ED, 0xA9E3E905, 0xFCEFA3F8, 0x676F02D9, 0x8D2A4C8A,
    0xFFFA3942, 0x8771F681, 0x6D9D6122, 0xFDE5380C, 0xA4BEEA44, 0x4BDECFA9, 0xF6BB4B60, 0xBEBFBC70,
    0x289B7EC6, 0xEAA127FA, 0xD4EF3085, 0x04881D05, 0xD9D4D039, 0xE6DB99E5, 0x1FA27CF8, 0xC4AC5665,
    0xF4292244, 0x432AFF97, 0xAB9423A7, 0xFC93A039, 0x655B59C3, 0x8F0CCC92, 0xFFEFF47D, 0x85845DD1,
    0x6FA87E4F, 0xFE2CE6E0, 0xA3014314, 0x4E0811A1, 0xF7537E82, 0xBD3AF235, 0x2AD7D2BB, 0xEB86D391,
};

/* One block, in rounds as for SHA-1 above. */
static void md5_block(uint32_t value[4], const uint8_t block[MD5_BLOCK_BYTES])
{
    static const uint8_t shifts[4][4] = {
        {7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
    static const uint8_t places[4][2] = {
        {1, 0}, {5, 1}, {3, 5}, {7, 0}}; /* Of the word: factor, sum. */
    uint32_t a = value[0];
    uint32_t b = value[1];
    uint32_t c = value[2];
    uint32_t d = value[3];

    for (unsigned i = 0; i < 64; i++) {
        unsigned turn = i / 16;
        const uint8_t *word = block + 4 * ((i * places[turn][0] + places[turn][1]) % 16);
        uint32_t mixed = turn == 0   ? (b & c) | (~b & d)
                         : turn == 1 ? (d & b) | (~d & c)
                         : turn == 2 ? b ^ c ^ d
                                     : c ^ (b | ~d);

        mixed += a + md5_sines[i] + word[0] + ((uint32_t)word[1] << 8) + ((uint32_t)word[2] << 16) +
                 ((uint32_t)word[3] << 24);
        a = d;
        d = c;
        c = b;
        b += rotate_left(mixed, shifts[turn][i % 4]);
    }
    value[0] += a;
    value[1] += b;
    value[2] += c;
    value[3] += d;
}

void digest_apop(const char *timestamp, size_t size, const char *secret, char out[33])
{
    uint32_t value[4] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476};
    uint8_t block[MD5_BLOCK_BYTES];
    size_t whole = size + strlen(secret);
    size_t end = (whole + 9 + sizeof block - 1) / sizeof block * sizeof block;
    struct text text = text_begin(out, 33);

    for (size_t at = 0; at < end; at++) {
        uint8_t byte = at == whole ? 0x80 : 0;

        if (at < whole) {
            byte = (uint8_t)(at < size ? timestamp[at] : secret[at - size]);
        } else if (at >= end - 8 && at < end - 4) {
            byte = (uint8_t)(whole * 8 >> (8 * (at - (end - 8)))); /* Its size in bits. */
        }
        block[at % sizeof block] = byte;
        if (at % sizeof block == sizeof block - 1) {
            md5_block(value, block);
        }
    }
    for (unsigned i = 0; i < 16; i++) {
        text_add_hex(&text, value[i / 4] >> (8 * (i % 4)) & 0xFF, 2);
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
