/* tls_rsa64.c - verifies signatures of RSASSA-PKCS1-v1_5 (RFC 8017 8.2.2) where the compiler has
 * 128-bit numbers. */
#include "net/tls_private.h"

#ifdef TLS_64

#include "net/tls_big.h"

#include <string.h>

#define EXPONENT_BYTES 8 /* Others than 65537 and 3 are not seen; larger ones are refused. */

/* Whether a message is, before its hash, 00 01 FF ... FF 00 and a DigestInfo, which has the
 * parameters NULL or none (RFC 8017 9.2). The OID stands behind its length. */
static bool has_padding(const uint8_t *message, size_t size, const uint8_t *oid, size_t hash_size,
                        bool null)
{
    uint8_t info[40];
    size_t oid_size = oid[0];
    size_t inner = oid_size + (null ? 4 : 2);
    size_t info_size = inner + 6;
    size_t at = 2;

    if (oid_size > 16 || size < hash_size + info_size + 11) {
        return false;
    }
    info[0] = 0x30;
    info[1] = (uint8_t)(inner + hash_size + 4);
    info[2] = 0x30;
    info[3] = (uint8_t)inner;
    info[4] = 0x06;
    memcpy(info + 5, oid, oid_size + 1);
    if (null) {
        info[info_size - 4] = 0x05;
        info[info_size - 3] = 0x00;
    }
    info[info_size - 2] = 0x04;
    info[info_size - 1] = (uint8_t)hash_size;
    size -= hash_size + info_size; /* What is before the DigestInfo. */
    if (message[0] != 0 || message[1] != 1 || message[size - 1] != 0 ||
        memcmp(message + size, info, info_size) != 0) {
        return false;
    }
    while (at < size - 1 && message[at] == 0xFF) {
        at++;
    }
    return at == size - 1;
}

uint32_t tls_rsa_verify(const unsigned char *signature, size_t size, const unsigned char *oid,
                        size_t hash_size, const br_rsa_public_key *key, unsigned char *hash)
{
    struct tls_big big;
    uint64_t number[TLS_BIG_WORDS];
    uint64_t result[TLS_BIG_WORDS];
    uint64_t plain[TLS_BIG_WORDS] = {1};
    uint8_t message[8 * TLS_BIG_WORDS];
    const unsigned char *modulus = key->n;
    size_t modulus_size = key->nlen;

    while (modulus_size > 0 && *modulus == 0) {
        modulus++;
        modulus_size--;
    }
    if (oid == NULL || size != modulus_size || key->elen > EXPONENT_BYTES ||
        !tls_big_init(&big, modulus, modulus_size)) {
        return 0;
    }
    tls_big_decode(number, big.words, signature, size);
    if (!tls_big_below(number, big.modulus, big.words)) {
        return 0;
    }
    tls_big_multiply(&big, number, number, big.square);
    tls_big_power(&big, result, number, key->e, key->elen);
    tls_big_multiply(&big, result, result, plain);
    tls_big_encode(message, size, result, big.words);
    if (!has_padding(message, size, oid, hash_size, true) &&
        !has_padding(message, size, oid, hash_size, false)) {
        return 0;
    }
    memcpy(hash, message + size - hash_size, hash_size);
    return 1;
}

#endif
