/* digest.h - the hashes and the signature that mailed commands and old logins need, over BearSSL.
 *
 * HMAC-SHA-256 (RFC 2104), ECDSA over P-256 with SHA-256 (FIPS 186-4; DER as OpenSSL writes it),
 * SHA-1 for RFC 2289, MD5 for APOP (RFC 1939 section 7). Comparisons take the same time whatever
 * differs. Cost: the objects, 116 bytes each on a 32-bit target; a signature check runs as long as
 * one of a TLS handshake.
 */
#ifndef TOCSIN_NET_DIGEST_H
#define TOCSIN_NET_DIGEST_H

#include "net/error.h"

#include <bearssl_hash.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIGEST_SHA256_BYTES 32
#define DIGEST_SHA1_BYTES 20
#define DIGEST_KEY_BYTES 32     /* Of HMAC-SHA-256 as it is used here. */
#define DIGEST_PUBLIC_BYTES 64  /* Of a P-256 point: x and y. */
#define DIGEST_SPKI_BYTES 91    /* Of such a key in DER, with what says so. */
#define DIGEST_SIGNATURE_MAX 72 /* DER: two integers of up to 33 bytes. */

struct digest_sha256 {
    br_sha256_context sha256;
};

struct digest_hmac {
    br_sha256_context inner;
    const uint8_t *key;
};

void digest_sha256_init(struct digest_sha256 *digest);
void digest_sha256_push(struct digest_sha256 *digest, const void *bytes, size_t size);
void digest_sha256_end(const struct digest_sha256 *digest, uint8_t out[DIGEST_SHA256_BYTES]);

/* The key is borrowed until the last digest_hmac_end(). */
void digest_hmac_init(struct digest_hmac *digest, const uint8_t key[DIGEST_KEY_BYTES]);
void digest_hmac_push(struct digest_hmac *digest, const void *bytes, size_t size);
void digest_hmac_end(const struct digest_hmac *digest, uint8_t out[DIGEST_SHA256_BYTES]);

void digest_sha1(const void *bytes, size_t size, uint8_t out[DIGEST_SHA1_BYTES]);

/* Whether signature (DER) is that key's over the hash. */
bool digest_ecdsa_verify(const uint8_t key[DIGEST_PUBLIC_BYTES],
                         const uint8_t hash[DIGEST_SHA256_BYTES], const void *signature,
                         size_t size);

/* A public key as `openssl ec -pubout -outform DER` writes it (RFC 5480: SubjectPublicKeyInfo, 91
 * bytes, uncompressed). E_INVALID: anything else. */
MUST_CHECK int digest_public_parse(const uint8_t *der, size_t size,
                                   uint8_t key[DIGEST_PUBLIC_BYTES]);

/* Whether it is a point of the curve: with one that is not, no signature is good. Takes 3 KB of
 * stack, as verifying does. */
bool digest_public_valid(const uint8_t key[DIGEST_PUBLIC_BYTES]);

/* The same key as those 91 bytes. */
void digest_public_write(const uint8_t key[DIGEST_PUBLIC_BYTES], uint8_t der[DIGEST_SPKI_BYTES]);

/* APOP's answer: MD5 over timestamp and secret, 32 hexadecimal digits and NUL. */
void digest_apop(const char *timestamp, size_t size, const char *secret, char out[33]);

/* Same bytes, in constant time. */
bool digest_equal(const void *a, const void *b, size_t size);

#endif
