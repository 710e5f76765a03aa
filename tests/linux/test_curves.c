/* test_curves.c - the curves, ECDSA and RSA by 128-bit products against BearSSL's by 32-bit ones,
 * and where both could be wrong against RFC 7748 and against points made for the purpose. */
#include "net/tls_private.h"

#include <bearssl.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <string.h>

#ifdef TLS_64

static const br_ec_impl *const theirs = &br_ec_all_m31;
static br_hmac_drbg_context rng;

static const int curves[] = {BR_EC_secp256r1, BR_EC_secp384r1, BR_EC_secp521r1, BR_EC_curve25519};
#define PRIMES 3 /* Of them. */

/* Signatures whose point has an x between the order and the prime, over "a hash of some thirty-two
 * bytes."; the keys were computed from the points. */
static const uint8_t key_p256[] = {
    0x04, 0x26, 0x39, 0x8A, 0x55, 0x24, 0x34, 0xDB, 0x23, 0x71, 0xB6, 0xBB, 0x4C,
    0x9A, 0x70, 0xC0, 0x67, 0x4D, 0x71, 0xC5, 0x50, 0x83, 0x94, 0xA7, 0x55, 0xF6,
    0x89, 0x9B, 0x86, 0x16, 0x87, 0xBF, 0x2D, 0xC1, 0x9D, 0x5E, 0xAD, 0xEC, 0x34,
    0xA4, 0xF0, 0x0E, 0xB4, 0x9C, 0x2D, 0x08, 0x64, 0xC4, 0x26, 0x48, 0xBD, 0x7B,
    0x93, 0xEF, 0x26, 0xF1, 0x28, 0x48, 0x56, 0x2F, 0xD1, 0xB5, 0x1C, 0x47, 0x38,
};
static const uint8_t signature_p256[] = {
    0x30, 0x26, 0x02, 0x01, 0x03, 0x02, 0x21, 0x00, 0xD7, 0x6D, 0x43, 0x30, 0xF1, 0x44,
    0x6B, 0xEA, 0xB0, 0xC1, 0x1F, 0xDE, 0xCB, 0x91, 0xCE, 0x37, 0x5B, 0xC8, 0xFB, 0xBC,
    0xBD, 0xE5, 0xC0, 0x99, 0x41, 0x64, 0xD8, 0x39, 0x9F, 0x76, 0x7C, 0x46,
};
static const uint8_t key_p384[] = {
    0x04, 0xEA, 0x8E, 0x7A, 0xF0, 0x7B, 0x3D, 0xCF, 0x8D, 0x1B, 0xF0, 0x54, 0x71, 0x08,
    0x9A, 0x8C, 0x37, 0x23, 0x99, 0xFF, 0x6B, 0xD6, 0xBB, 0x3F, 0xF8, 0x80, 0x05, 0xA6,
    0x00, 0x99, 0xEB, 0x91, 0x7B, 0x54, 0xC1, 0x7C, 0x7A, 0xF2, 0x13, 0xFC, 0x60, 0xFE,
    0x69, 0xE8, 0xB7, 0xFD, 0xE1, 0xB4, 0x87, 0x75, 0x01, 0xFC, 0x7C, 0x2C, 0x52, 0x82,
    0x5C, 0xF7, 0xBB, 0x22, 0x79, 0x4D, 0x64, 0x2B, 0x1B, 0xE5, 0xEF, 0x16, 0x15, 0xC8,
    0x79, 0xA6, 0xA2, 0xDB, 0x3B, 0x45, 0x98, 0xC2, 0xF9, 0x6F, 0x91, 0x85, 0xDB, 0x41,
    0xC4, 0xDA, 0x78, 0x3E, 0x07, 0xFD, 0xF6, 0xE3, 0x8C, 0xE0, 0xAA, 0x77, 0x4B,
};
static const uint8_t signature_p384[] = {
    0x30, 0x35, 0x02, 0x01, 0x02, 0x02, 0x30, 0x0D, 0x46, 0x41, 0x38, 0xA6, 0x23, 0x32,
    0x55, 0x3F, 0xC1, 0xEA, 0x36, 0xF1, 0x7F, 0xD3, 0x74, 0xC6, 0xA5, 0x38, 0x77, 0x77,
    0x33, 0x0B, 0xDB, 0xD7, 0x21, 0x0D, 0xFF, 0x07, 0x6C, 0xE2, 0xEF, 0x87, 0xB0, 0xB1,
    0x25, 0xEC, 0x1D, 0x7D, 0xA0, 0xA6, 0xEB, 0x8C, 0x9E, 0xBD, 0x69, 0xFE, 0x2A,
};

/* One by the key 1, whose point is the generator, over a hash that is its own r: then both
 * multiples that are added are the same. With the key -1 they cancel out. */
static const uint8_t hash_equal[] = {
    0x74, 0xBD, 0x08, 0x1C, 0x45, 0x68, 0x0D, 0x60, 0xCE, 0x0C, 0x60, 0x47, 0x9E, 0xCF, 0xFC, 0x6F,
    0xF1, 0x9A, 0x66, 0xED, 0x4A, 0x5E, 0x0F, 0xAF, 0x7F, 0xA2, 0xE1, 0xD2, 0xCB, 0x8B, 0xBF, 0x88,
};
static const uint8_t signature_equal[] = {
    0x30, 0x44, 0x02, 0x20, 0x74, 0xBD, 0x08, 0x1C, 0x45, 0x68, 0x0D, 0x60, 0xCE, 0x0C,
    0x60, 0x47, 0x9E, 0xCF, 0xFC, 0x6F, 0xF1, 0x9A, 0x66, 0xED, 0x4A, 0x5E, 0x0F, 0xAF,
    0x7F, 0xA2, 0xE1, 0xD2, 0xCB, 0x8B, 0xBF, 0x88, 0x02, 0x20, 0x71, 0x18, 0x19, 0x31,
    0x7F, 0xA5, 0x89, 0x99, 0x82, 0x26, 0xB3, 0xCD, 0xB2, 0x07, 0x45, 0x42, 0x97, 0x2A,
    0x8F, 0xE7, 0x58, 0x92, 0x00, 0x5D, 0xFB, 0x6A, 0x1A, 0x46, 0xC3, 0x0B, 0xBE, 0x96,
};

static int set_up(void **state)
{
    (void)state;
    br_hmac_drbg_init(&rng, &br_sha256_vtable, "test_curves", 11);
    return 0;
}

static size_t random_below(size_t limit)
{
    uint32_t number;

    br_hmac_drbg_generate(&rng, &number, sizeof number);
    return number % limit;
}

static void test_constants(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
        size_t size;
        size_t their_size;
        const unsigned char *bytes = tls_ec.order(curves[i], &size);
        const unsigned char *their_bytes = theirs->order(curves[i], &their_size);

        assert_int_equal(size, their_size);
        assert_memory_equal(bytes, their_bytes, size);
        bytes = tls_ec.generator(curves[i], &size);
        their_bytes = theirs->generator(curves[i], &their_size);
        assert_int_equal(size, their_size);
        assert_memory_equal(bytes, their_bytes, size);
        assert_int_equal(tls_ec.xoff(curves[i], &size), theirs->xoff(curves[i], &their_size));
        assert_int_equal(size, their_size);
    }
}

/* Multiplies a generator and then the product by both implementations. */
static void compare_products(int curve, const uint8_t *number, size_t size)
{
    uint8_t point[133] = {0};
    uint8_t their_point[133] = {0};
    size_t point_size = theirs->mulgen(their_point, number, size, curve);

    assert_int_equal(tls_ec.mulgen(point, number, size, curve), point_size);
    assert_memory_equal(point, their_point, point_size);
    assert_int_equal(tls_ec.mul(point, point_size, number, size, curve), 1);
    assert_int_equal(theirs->mul(their_point, point_size, number, size, curve), 1);
    assert_memory_equal(point, their_point, point_size);
}

static void test_products(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
        uint8_t number[66] = {0};
        size_t size;
        const unsigned char *order = theirs->order(curves[i], &size);

        for (unsigned j = 0; j < 40; j++) {
            br_hmac_drbg_generate(&rng, number, size);
            number[0] %= order[0];
            compare_products(curves[i], number, size);
        }
        for (uint8_t small = 1; small < 20; small++) {
            memset(number, 0, size);
            number[size - 1] = small;
            compare_products(curves[i], number, size);
        }
        if (i < PRIMES) {
            memcpy(number, order, size);
            for (unsigned down = 0; down < 8; down++) {
                number[size - 1]--;
                compare_products(curves[i], number, size);
            }
        }
    }
}

/* What is no point, and what is no number, is refused; BearSSL's own says the same. */
static void test_refused_points(void **state)
{
    (void)state;
    for (size_t i = 0; i < PRIMES; i++) {
        uint8_t point[133];
        uint8_t number[66] = {0};
        size_t size;
        size_t point_size;
        const unsigned char *order = theirs->order(curves[i], &size);
        const unsigned char *generator = theirs->generator(curves[i], &point_size);

        memcpy(point, generator, point_size);
        assert_int_equal(tls_ec.mul(point, point_size, order, size, curves[i]), 0);
        memcpy(point, generator, point_size);
        assert_int_equal(tls_ec.mul(point, point_size, number, size, curves[i]), 0);
        number[size - 1] = 5;
        for (size_t at = 0; at < point_size; at++) {
            memcpy(point, generator, point_size);
            point[at] ^= (uint8_t)(1u << random_below(8));
            assert_int_equal(tls_ec.mul(point, point_size, number, size, curves[i]), 0);
        }
        memcpy(point, generator, point_size);
        assert_int_equal(tls_ec.mul(point, point_size - 1, number, size, curves[i]), 0);
        memset(point + 1, 0xFF, point_size - 1); /* Above the prime. */
        assert_int_equal(tls_ec.mul(point, point_size, number, size, curves[i]), 0);
        memset(point, 0, point_size);
        assert_int_equal(tls_ec.mul(point, point_size, number, size, curves[i]), 0);
    }
}

/* RFC 7748 section 5.2: the second vector, and 1,000 rounds of the iteration. */
static void test_x25519(void **state)
{
    static const uint8_t once[32] = {0x42, 0x2C, 0x8E, 0x7A, 0x62, 0x27, 0xD7, 0xBC,
                                     0xA1, 0x35, 0x0B, 0x3E, 0x2B, 0xB7, 0x27, 0x9F,
                                     0x78, 0x97, 0xB8, 0x7B, 0xB6, 0x85, 0x4B, 0x78,
                                     0x3C, 0x60, 0xE8, 0x03, 0x11, 0xAE, 0x30, 0x79};
    static const uint8_t thousand[32] = {0x68, 0x4C, 0xF5, 0x9B, 0xA8, 0x33, 0x09, 0x55,
                                         0x28, 0x00, 0xEF, 0x56, 0x6F, 0x2F, 0x4D, 0x3C,
                                         0x1C, 0x38, 0x87, 0xC4, 0x93, 0x60, 0xE3, 0x87,
                                         0x5F, 0x2E, 0xB9, 0x4D, 0x99, 0x53, 0x2C, 0x51};
    uint8_t k[32] = {9};
    uint8_t u[32] = {9};
    uint8_t next[32];

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        memcpy(next, u, sizeof next);
        assert_int_equal(tls_ec.mul(next, 32, k, 32, BR_EC_curve25519), 1);
        memcpy(u, k, sizeof u);
        memcpy(k, next, sizeof k);
        if (i == 0) {
            assert_memory_equal(k, once, sizeof k);
        }
    }
    assert_memory_equal(k, thousand, sizeof k);
}

/* Numbers above the prime count modulo it; a point of low order gives nothing away. */
static void test_x25519_edges(void **state)
{
    (void)state;
    for (unsigned low = 0; low < 256; low++) {
        uint8_t u[32];
        uint8_t their_u[32];
        uint8_t k[32];
        bool zero = true;
        uint32_t result;

        br_hmac_drbg_generate(&rng, k, sizeof k);
        memset(u, 0xFF, sizeof u);
        u[31] = low % 2 == 0 ? 0x7F : 0xFF;
        u[0] = (uint8_t)low;
        memcpy(their_u, u, sizeof u);
        theirs->mul(their_u, 32, k, 32, BR_EC_curve25519);
        result = tls_ec.mul(u, 32, k, 32, BR_EC_curve25519);
        assert_memory_equal(u, their_u, sizeof u);
        for (size_t i = 0; i < 32; i++) {
            zero = zero && u[i] == 0;
        }
        assert_int_equal(result, !zero);
    }
}

static void compare_verdicts(const br_ec_public_key *key, const uint8_t *hash, size_t hash_size,
                             const uint8_t *signature, size_t size, int wanted)
{
    uint32_t their_verdict = br_ecdsa_i31_vrfy_asn1(theirs, hash, hash_size, key, signature, size);

    assert_int_equal(tls_ecdsa_verify(&tls_ec, hash, hash_size, key, signature, size),
                     their_verdict);
    if (wanted >= 0) {
        assert_int_equal(their_verdict, wanted);
    }
}

static void sign_and_compare(const br_ec_private_key *secret, const br_ec_public_key *key)
{
    static const br_hash_class *const hashes[] = {&br_sha1_vtable, &br_sha256_vtable,
                                                  &br_sha384_vtable, &br_sha512_vtable};
    static const size_t sizes[] = {20, 32, 48, 64};
    size_t which = random_below(4);
    uint8_t hash[64];
    uint8_t signature[160];
    size_t size;

    br_hmac_drbg_generate(&rng, hash, sizeof hash);
    if (random_below(8) == 0) {
        memset(hash, 0xFF, sizeof hash);
    }
    size = br_ecdsa_i31_sign_asn1(theirs, hashes[which], hash, secret, signature);
    compare_verdicts(key, hash, sizes[which], signature, size, 1);
    compare_verdicts(key, hash, sizes[which], signature, size - 1, 0);
    for (unsigned i = 0; i < 6; i++) {
        signature[random_below(size)] ^= (uint8_t)(1u << random_below(8));
        compare_verdicts(key, hash, sizes[which], signature, size, -1);
    }
}

static void test_ecdsa(void **state)
{
    (void)state;
    for (size_t i = 0; i < PRIMES; i++) {
        for (unsigned j = 0; j < 40; j++) {
            br_ec_private_key secret;
            br_ec_public_key key;
            uint8_t secret_bytes[66];
            uint8_t key_bytes[133];
            size_t size;
            const unsigned char *order = theirs->order(curves[i], &size);

            br_ec_keygen(&rng.vtable, theirs, &secret, secret_bytes, curves[i]);
            if (j < 12) { /* The key's own multiples meet those of the generator. */
                memset(secret_bytes, 0, size);
                if (j >= 6) {
                    memcpy(secret_bytes, order, size);
                }
                secret_bytes[size - 1] = (uint8_t)(j < 6 ? j + 1 : secret_bytes[size - 1] + 5 - j);
                secret.x = secret_bytes;
                secret.xlen = size;
            }
            assert_true(br_ec_compute_pub(theirs, &key, key_bytes, &secret) > 0);
            sign_and_compare(&secret, &key);
        }
    }
}

static void test_ecdsa_same_multiples(void **state)
{
    uint8_t point[65];
    size_t size;
    br_ec_public_key key = {BR_EC_secp256r1, point, sizeof point};
    const unsigned char *order = theirs->order(BR_EC_secp256r1, &size);
    uint8_t minus_one[32];

    (void)state;
    memcpy(point, theirs->generator(BR_EC_secp256r1, &size), sizeof point);
    compare_verdicts(&key, hash_equal, 32, signature_equal, sizeof signature_equal, 1);
    memcpy(minus_one, order, sizeof minus_one);
    minus_one[31]--;
    theirs->mulgen(point, minus_one, sizeof minus_one, BR_EC_secp256r1);
    compare_verdicts(&key, hash_equal, 32, signature_equal, sizeof signature_equal, 0);
}

static void test_ecdsa_odd(void **state)
{
    static const uint8_t hash[] = "a hash of some thirty-two bytes.";
    static const uint8_t zeros[] = {0x30, 6, 2, 1, 0, 2, 1, 0};
    static const uint8_t one_zero[] = {0x30, 6, 2, 1, 1, 2, 1, 0};
    static const uint8_t ones[] = {0x30, 6, 2, 1, 1, 2, 1, 1};
    br_ec_public_key key = {BR_EC_secp256r1, (unsigned char *)(uintptr_t)key_p256, sizeof key_p256};
    uint8_t long_one[200] = {0x30, 0x81, 0xC5};

    (void)state;
    compare_verdicts(&key, hash, 32, signature_p256, sizeof signature_p256, 1);
    compare_verdicts(&key, hash, 31, signature_p256, sizeof signature_p256, 0);
    compare_verdicts(&key, hash, 32, zeros, sizeof zeros, 0);
    compare_verdicts(&key, hash, 32, one_zero, sizeof one_zero, 0);
    compare_verdicts(&key, hash, 32, ones, sizeof ones, 0);
    compare_verdicts(&key, hash, 32, ones, 0, 0);
    compare_verdicts(&key, hash, 32, long_one, sizeof long_one, 0);
    key =
        (br_ec_public_key){BR_EC_secp384r1, (unsigned char *)(uintptr_t)key_p384, sizeof key_p384};
    compare_verdicts(&key, hash, 32, signature_p384, sizeof signature_p384, 1);
    compare_verdicts(&key, hash, 32, signature_p256, sizeof signature_p256, 0);
    key.qlen--;
    compare_verdicts(&key, hash, 32, signature_p384, sizeof signature_p384, 0);
    key = (br_ec_public_key){BR_EC_curve25519, (unsigned char *)(uintptr_t)key_p256, 32};
    assert_int_equal(tls_ecdsa_verify(&tls_ec, hash, 32, &key, ones, sizeof ones), 0);
}

static void compare_rsa(const br_rsa_public_key *key, const uint8_t *signature, size_t size,
                        int wanted)
{
    uint8_t hash[64] = {0};
    uint8_t their_hash[64] = {0};
    uint32_t verdict =
        br_rsa_i31_pkcs1_vrfy(signature, size, BR_HASH_OID_SHA256, 32, key, their_hash);

    assert_int_equal(tls_rsa_verify(signature, size, BR_HASH_OID_SHA256, 32, key, hash), verdict);
    if (verdict == 1) {
        assert_memory_equal(hash, their_hash, 32);
    }
    if (wanted >= 0) {
        assert_int_equal(verdict, wanted);
    }
}

/* Messages that are not quite as they should be, signed by who may. */
static void compare_messages(const br_rsa_private_key *secret, const br_rsa_public_key *key)
{
    static const uint8_t info[] = {0x00, 0x30, 0x31, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48,
                                   0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
    size_t size = key->nlen;

    for (unsigned kind = 0; kind < 60; kind += kind == sizeof info ? 10 : 1) {
        uint8_t message[520];
        size_t at = size - 32 - sizeof info;

        memset(message, 0xFF, size);
        message[0] = 0;
        message[1] = 1;
        memcpy(message + at, info, sizeof info);
        if (kind >= 1 && kind <= sizeof info) {
            message[at + kind - 1] ^= 1;
        } else if (kind == 30) { /* Without the NULL. */
            memmove(message + at + 2, message + at, 16);
            memset(message + at, 0xFF, 2);
            message[at + 4] = 0x2F;
            message[at + 6] = 0x0B;
        } else if (kind == 31) { /* The hash not at the end. */
            memmove(message + 20, message + at, sizeof info + 32);
        } else if (kind == 32) {
            message[1] = 2;
        } else if (kind == 33) {
            message[9] = 0;
        } else if (kind > 33) {
            message[random_below(at + 5)] ^= (uint8_t)(1u << random_below(8));
        }
        if (message[0] == 0) {
            assert_int_equal(br_rsa_i31_private(message, secret), 1);
            compare_rsa(key, message, size, kind == 0 || kind == 30 ? 1 : kind < 34 ? 0 : -1);
        }
    }
}

static void test_rsa(void **state)
{
    static const struct {
        unsigned bits;
        uint32_t exponent;
    } kinds[] = {{2048, 65537}, {2061, 3}};
    static uint8_t secret_bytes[BR_RSA_KBUF_PRIV_SIZE(2061)];
    static uint8_t key_bytes[BR_RSA_KBUF_PUB_SIZE(2061)];

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        br_rsa_private_key secret;
        br_rsa_public_key key;
        uint8_t hash[32];
        uint8_t signature[520];

        assert_int_equal(br_rsa_i31_keygen(&rng.vtable, &secret, secret_bytes, &key, key_bytes,
                                           kinds[i].bits, kinds[i].exponent),
                         1);
        for (unsigned j = 0; j < 10; j++) {
            br_hmac_drbg_generate(&rng, hash, sizeof hash);
            assert_int_equal(
                br_rsa_i31_pkcs1_sign(BR_HASH_OID_SHA256, hash, 32, &secret, signature), 1);
            compare_rsa(&key, signature, key.nlen, 1);
            compare_rsa(&key, signature, key.nlen - 1, 0);
            signature[random_below(key.nlen)] ^= (uint8_t)(1u << random_below(8));
            compare_rsa(&key, signature, key.nlen, 0);
        }
        memset(signature, 0xFF, sizeof signature);
        compare_rsa(&key, signature, key.nlen, 0);
        memset(signature, 0, sizeof signature);
        compare_rsa(&key, signature, key.nlen, 0);
        compare_messages(&secret, &key);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_constants, set_up),
        cmocka_unit_test_setup(test_products, set_up),
        cmocka_unit_test_setup(test_refused_points, set_up),
        cmocka_unit_test_setup(test_x25519, set_up),
        cmocka_unit_test_setup(test_x25519_edges, set_up),
        cmocka_unit_test_setup(test_ecdsa, set_up),
        cmocka_unit_test_setup(test_ecdsa_same_multiples, set_up),
        cmocka_unit_test_setup(test_ecdsa_odd, set_up),
        cmocka_unit_test_setup(test_rsa, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    return 0; /* BearSSL's own code is in use. */
}

#endif
