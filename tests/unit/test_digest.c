/* Hashes and signatures: vectors of the RFCs, keys as OpenSSL writes them and what is none. */
#include "net/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static void is_hex(const uint8_t *bytes, size_t size, const char *expected)
{
    char text[2 * 64 + 1];

    for (size_t i = 0; i < size; i++) {
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    }
    assert_string_equal(text, expected);
}

/* Of hexadecimal digits. */
static size_t bytes_of(const char *text, uint8_t *out)
{
    size_t size = strlen(text) / 2;

    for (size_t i = 0; i < size; i++) {
        unsigned byte;

        assert_int_equal(sscanf(text + 2 * i, "%2x", &byte), 1);
        out[i] = (uint8_t)byte;
    }
    return size;
}

/* FIPS 180-4's examples. */
static void hashes(void **state)
{
    static const char text[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    uint8_t out[DIGEST_SHA256_BYTES];

    (void)state;
    for (size_t piece = 1; piece < sizeof text; piece++) {
        struct digest_sha256 sha256;

        digest_sha256_init(&sha256);
        for (size_t at = 0; at < sizeof text - 1; at += piece) {
            size_t left = sizeof text - 1 - at;

            digest_sha256_push(&sha256, text + at, left < piece ? left : piece);
        }
        digest_sha256_end(&sha256, out);
        is_hex(out, 32, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
        digest_sha256_end(&sha256, out); /* It may be asked again. */
        is_hex(out, 32, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    }
    digest_sha1("abc", 3, out);
    is_hex(out, DIGEST_SHA1_BYTES, "a9993e364706816aba3e25717850c26c9cd0d89d");
    digest_sha1(text, sizeof text - 1, out);
    is_hex(out, DIGEST_SHA1_BYTES, "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    digest_sha1(NULL, 0, out);
    is_hex(out, DIGEST_SHA1_BYTES, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}

/* The SHA-1 of the SHA-1s of 0 to 200 times "a", by hashlib: every place of a block's end. */
static void sha1_lengths(void **state)
{
    static uint8_t all[201][DIGEST_SHA1_BYTES];
    char text[200];
    uint8_t out[DIGEST_SHA1_BYTES];

    (void)state;
    memset(text, 'a', sizeof text);
    for (size_t size = 0; size <= sizeof text; size++) {
        digest_sha1(text, size, all[size]);
    }
    digest_sha1(all, sizeof all, out);
    is_hex(out, DIGEST_SHA1_BYTES, "f6f332e8f89c35ee3df74d34ef8fda777d9647b9");
}

/* RFC 4231's cases 1 and 3: their keys of 20 bytes are the same as 32 with zeros behind. */
static void hmac(void **state)
{
    uint8_t key[DIGEST_KEY_BYTES] = {0};
    uint8_t data[50];
    uint8_t out[DIGEST_SHA256_BYTES];
    struct digest_hmac digest;

    (void)state;
    memset(key, 0xAA, 20);
    memset(data, 0xDD, sizeof data);
    digest_hmac_init(&digest, key);
    digest_hmac_push(&digest, data, 20);
    digest_hmac_push(&digest, data + 20, 30);
    for (int i = 0; i < 2; i++) {
        digest_hmac_end(&digest, out);
        is_hex(out, 32, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
    }
    memset(key, 0x0B, 20);
    digest_hmac_init(&digest, key);
    digest_hmac_push(&digest, "Hi There", 8);
    digest_hmac_end(&digest, out);
    is_hex(out, 32, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
}

/* The MD5 of the MD5s of 0 to 150 times "a" and half as often "b", by hashlib. */
static void apop_lengths(void **state)
{
    static char all[151 * 32 + 1];
    char timestamp[150];
    char secret[76];

    (void)state;
    memset(timestamp, 'a', sizeof timestamp);
    for (size_t size = 0; size <= sizeof timestamp; size++) {
        memset(secret, 'b', size / 2);
        secret[size / 2] = '\0';
        digest_apop(timestamp, size, secret, all + 32 * size);
    }
    digest_apop(all, sizeof all - 1, "end", timestamp);
    assert_string_equal(timestamp, "997f1110e41aa34fc191619fa305b0fc");
}

/* RFC 1939 section 7's example. */
static void apop(void **state)
{
    static const char timestamp[] = "<1896.697170952@dbc.mtview.ca.us> and more";
    char out[33];

    (void)state;
    digest_apop(timestamp, 33, "tanstaaf", out);
    assert_string_equal(out, "c4c9334bac560ecc979e58001b3e22fb");
}

/* RFC 6979 A.2.5: the key and the signature of "sample" with SHA-256. */
#define X "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
#define Y "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
#define R "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
#define S "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
#define SPKI "3059301306072a8648ce3d020106082a8648ce3d03010703420004"

static void ecdsa(void **state)
{
    uint8_t key[DIGEST_PUBLIC_BYTES], hash[DIGEST_SHA256_BYTES];
    uint8_t signature[DIGEST_SIGNATURE_MAX + 1], changed[DIGEST_SIGNATURE_MAX + 1];
    struct digest_sha256 sha256;
    size_t size = bytes_of("3046022100" R "022100" S, signature);

    (void)state;
    assert_int_equal(bytes_of(X Y, key), sizeof key);
    digest_sha256_init(&sha256);
    digest_sha256_push(&sha256, "sample", 6);
    digest_sha256_end(&sha256, hash);
    assert_true(digest_ecdsa_verify(key, hash, signature, size));
    for (size_t bit = 0; bit < 8 * size; bit++) {
        memcpy(changed, signature, size);
        changed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(digest_ecdsa_verify(key, hash, changed, size));
    }
    for (size_t cut = 0; cut < size; cut++) {
        assert_false(digest_ecdsa_verify(key, hash, signature, cut));
    }
    signature[size] = 0;
    assert_false(digest_ecdsa_verify(key, hash, signature, size + 1));
    hash[31] ^= 1;
    assert_false(digest_ecdsa_verify(key, hash, signature, size));
    hash[31] ^= 1;
    key[0] ^= 1; /* No point of the curve. */
    assert_false(digest_ecdsa_verify(key, hash, signature, size));
    memset(changed, 0, sizeof changed);
    bytes_of("3006020100020100", changed); /* r = s = 0. */
    assert_false(digest_ecdsa_verify(key, hash, changed, 8));
}

static void public_keys(void **state)
{
    uint8_t der[DIGEST_SPKI_BYTES + 1] = {0};
    uint8_t key[DIGEST_PUBLIC_BYTES], again[DIGEST_SPKI_BYTES];
    char digits[2 * DIGEST_SPKI_BYTES + 1];

    (void)state;
    assert_int_equal(bytes_of(SPKI X Y, der), DIGEST_SPKI_BYTES);
    assert_int_equal(digest_public_parse(der, DIGEST_SPKI_BYTES, key), 0);
    assert_true(digest_public_valid(key));
    is_hex(key, 32, X);
    is_hex(key + 32, 32, Y);
    digest_public_write(key, again);
    assert_memory_equal(again, der, DIGEST_SPKI_BYTES);
    assert_int_equal(digest_public_parse(der, DIGEST_SPKI_BYTES - 1, key), E_INVALID);
    assert_int_equal(digest_public_parse(der, DIGEST_SPKI_BYTES + 1, key), E_INVALID);
    /* Every bit counts: of the head, and since a point beside the curve is none, of x and y. */
    for (size_t bit = 0; bit < 8u * DIGEST_SPKI_BYTES; bit++) {
        der[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_true(
            digest_public_parse(der, DIGEST_SPKI_BYTES, key) == E_INVALID ||
            (bit >= 8u * (DIGEST_SPKI_BYTES - DIGEST_PUBLIC_BYTES) && !digest_public_valid(key)));
        der[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    memset(digits, '0', sizeof digits);
    memcpy(digits, SPKI, strlen(SPKI));
    digits[2 * DIGEST_SPKI_BYTES] = '\0';
    bytes_of(digits, der);
    assert_int_equal(digest_public_parse(der, DIGEST_SPKI_BYTES, key), 0);
    assert_false(digest_public_valid(key));
}

static void equal(void **state)
{
    uint8_t one[40], other[40];

    (void)state;
    memset(one, 0x77, sizeof one);
    memset(other, 0x77, sizeof other);
    assert_true(digest_equal(one, other, sizeof one));
    for (size_t bit = 0; bit < 8 * sizeof one; bit++) {
        other[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(digest_equal(one, other, sizeof one));
        assert_true(digest_equal(one, other, bit / 8));
        other[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes),      cmocka_unit_test(sha1_lengths), cmocka_unit_test(hmac),
        cmocka_unit_test(apop),        cmocka_unit_test(apop_lengths), cmocka_unit_test(ecdsa),
        cmocka_unit_test(public_keys), cmocka_unit_test(equal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
