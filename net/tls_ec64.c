/* tls_ec64.c - the curves where the compiler has 128-bit numbers: X25519 (RFC 7748), P-256, P-384
 * and P-521 (FIPS 186-4), and ECDSA's verification over them.
 *
 * What depends on a secret (the key exchange) takes the same steps and the same places in memory
 * whatever the secret is. Verification works on public numbers and takes short cuts.
 *
 * The formulas of the curves are lists of operations on a point's coordinates: the code is one
 * loop.
 */
#include "net/tls_private.h"

#ifdef TLS_64

#include "net/tls_big.h"

#include <string.h>

#define WORDS 9 /* P-521 */
#define BYTES_MAX 66

/* Of each curve the prime, the order, b, and the generator as an uncompressed point: a is -3. */
static const uint8_t p256[5 * 32 + 1] = {
    0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
    0xFF, 0xFF, 0xFF, 0xBC, 0xE6, 0xFA, 0xAD, 0xA7, 0x17, 0x9E, 0x84, 0xF3, 0xB9, 0xCA, 0xC2,
    0xFC, 0x63, 0x25, 0x51, 0x5A, 0xC6, 0x35, 0xD8, 0xAA, 0x3A, 0x93, 0xE7, 0xB3, 0xEB, 0xBD,
    0x55, 0x76, 0x98, 0x86, 0xBC, 0x65, 0x1D, 0x06, 0xB0, 0xCC, 0x53, 0xB0, 0xF6, 0x3B, 0xCE,
    0x3C, 0x3E, 0x27, 0xD2, 0x60, 0x4B, 0x04, 0x6B, 0x17, 0xD1, 0xF2, 0xE1, 0x2C, 0x42, 0x47,
    0xF8, 0xBC, 0xE6, 0xE5, 0x63, 0xA4, 0x40, 0xF2, 0x77, 0x03, 0x7D, 0x81, 0x2D, 0xEB, 0x33,
    0xA0, 0xF4, 0xA1, 0x39, 0x45, 0xD8, 0x98, 0xC2, 0x96, 0x4F, 0xE3, 0x42, 0xE2, 0xFE, 0x1A,
    0x7F, 0x9B, 0x8E, 0xE7, 0xEB, 0x4A, 0x7C, 0x0F, 0x9E, 0x16, 0x2B, 0xCE, 0x33, 0x57, 0x6B,
    0x31, 0x5E, 0xCE, 0xCB, 0xB6, 0x40, 0x68, 0x37, 0xBF, 0x51, 0xF5,
};
static const uint8_t p384[5 * 48 + 1] = {
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE,
    0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xFF, 0xFF,
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xC7, 0x63, 0x4D, 0x81, 0xF4, 0x37, 0x2D, 0xDF,
    0x58, 0x1A, 0x0D, 0xB2, 0x48, 0xB0, 0xA7, 0x7A, 0xEC, 0xEC, 0x19, 0x6A, 0xCC, 0xC5, 0x29, 0x73,
    0xB3, 0x31, 0x2F, 0xA7, 0xE2, 0x3E, 0xE7, 0xE4, 0x98, 0x8E, 0x05, 0x6B, 0xE3, 0xF8, 0x2D, 0x19,
    0x18, 0x1D, 0x9C, 0x6E, 0xFE, 0x81, 0x41, 0x12, 0x03, 0x14, 0x08, 0x8F, 0x50, 0x13, 0x87, 0x5A,
    0xC6, 0x56, 0x39, 0x8D, 0x8A, 0x2E, 0xD1, 0x9D, 0x2A, 0x85, 0xC8, 0xED, 0xD3, 0xEC, 0x2A, 0xEF,
    0x04, 0xAA, 0x87, 0xCA, 0x22, 0xBE, 0x8B, 0x05, 0x37, 0x8E, 0xB1, 0xC7, 0x1E, 0xF3, 0x20, 0xAD,
    0x74, 0x6E, 0x1D, 0x3B, 0x62, 0x8B, 0xA7, 0x9B, 0x98, 0x59, 0xF7, 0x41, 0xE0, 0x82, 0x54, 0x2A,
    0x38, 0x55, 0x02, 0xF2, 0x5D, 0xBF, 0x55, 0x29, 0x6C, 0x3A, 0x54, 0x5E, 0x38, 0x72, 0x76, 0x0A,
    0xB7, 0x36, 0x17, 0xDE, 0x4A, 0x96, 0x26, 0x2C, 0x6F, 0x5D, 0x9E, 0x98, 0xBF, 0x92, 0x92, 0xDC,
    0x29, 0xF8, 0xF4, 0x1D, 0xBD, 0x28, 0x9A, 0x14, 0x7C, 0xE9, 0xDA, 0x31, 0x13, 0xB5, 0xF0, 0xB8,
    0xC0, 0x0A, 0x60, 0xB1, 0xCE, 0x1D, 0x7E, 0x81, 0x9D, 0x7A, 0x43, 0x1D, 0x7C, 0x90, 0xEA, 0x0E,
    0x5F,
};
static const uint8_t p521[5 * 66 + 1] = {
    0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
    0xFF, 0xFF, 0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
    0xFF, 0xFF, 0xFF, 0xFA, 0x51, 0x86, 0x87, 0x83, 0xBF, 0x2F, 0x96, 0x6B, 0x7F, 0xCC, 0x01, 0x48,
    0xF7, 0x09, 0xA5, 0xD0, 0x3B, 0xB5, 0xC9, 0xB8, 0x89, 0x9C, 0x47, 0xAE, 0xBB, 0x6F, 0xB7, 0x1E,
    0x91, 0x38, 0x64, 0x09, 0x00, 0x51, 0x95, 0x3E, 0xB9, 0x61, 0x8E, 0x1C, 0x9A, 0x1F, 0x92, 0x9A,
    0x21, 0xA0, 0xB6, 0x85, 0x40, 0xEE, 0xA2, 0xDA, 0x72, 0x5B, 0x99, 0xB3, 0x15, 0xF3, 0xB8, 0xB4,
    0x89, 0x91, 0x8E, 0xF1, 0x09, 0xE1, 0x56, 0x19, 0x39, 0x51, 0xEC, 0x7E, 0x93, 0x7B, 0x16, 0x52,
    0xC0, 0xBD, 0x3B, 0xB1, 0xBF, 0x07, 0x35, 0x73, 0xDF, 0x88, 0x3D, 0x2C, 0x34, 0xF1, 0xEF, 0x45,
    0x1F, 0xD4, 0x6B, 0x50, 0x3F, 0x00, 0x04, 0x00, 0xC6, 0x85, 0x8E, 0x06, 0xB7, 0x04, 0x04, 0xE9,
    0xCD, 0x9E, 0x3E, 0xCB, 0x66, 0x23, 0x95, 0xB4, 0x42, 0x9C, 0x64, 0x81, 0x39, 0x05, 0x3F, 0xB5,
    0x21, 0xF8, 0x28, 0xAF, 0x60, 0x6B, 0x4D, 0x3D, 0xBA, 0xA1, 0x4B, 0x5E, 0x77, 0xEF, 0xE7, 0x59,
    0x28, 0xFE, 0x1D, 0xC1, 0x27, 0xA2, 0xFF, 0xA8, 0xDE, 0x33, 0x48, 0xB3, 0xC1, 0x85, 0x6A, 0x42,
    0x9B, 0xF9, 0x7E, 0x7E, 0x31, 0xC2, 0xE5, 0xBD, 0x66, 0x01, 0x18, 0x39, 0x29, 0x6A, 0x78, 0x9A,
    0x3B, 0xC0, 0x04, 0x5C, 0x8A, 0x5F, 0xB4, 0x2C, 0x7D, 0x1B, 0xD9, 0x98, 0xF5, 0x44, 0x49, 0x57,
    0x9B, 0x44, 0x68, 0x17, 0xAF, 0xBD, 0x17, 0x27, 0x3E, 0x66, 0x2C, 0x97, 0xEE, 0x72, 0x99, 0x5E,
    0xF4, 0x26, 0x40, 0xC5, 0x50, 0xB9, 0x01, 0x3F, 0xAD, 0x07, 0x61, 0x35, 0x3C, 0x70, 0x86, 0xA2,
    0x72, 0xC2, 0x40, 0x88, 0xBE, 0x94, 0x76, 0x9F, 0xD1, 0x66, 0x50,
};

/* Places of an operation. */
enum {
    X1,
    Y1,
    Z1, /* The first point, */
    X2,
    Y2,
    Z2, /* the second, */
    X3,
    Y3,
    Z3, /* the result. */
    T0,
    T1,
    T2,
    T3,
    T4,
    B, /* Of the curve. */
    PLACES
};

enum { OP_MUL = 1, OP_ADD, OP_SUB };

#define MUL(out, a, b) (OP_MUL << 12 | (out) << 8 | (a) << 4 | (b))
#define ADD(out, a, b) (OP_ADD << 12 | (out) << 8 | (a) << 4 | (b))
#define SUB(out, a, b) (OP_SUB << 12 | (out) << 8 | (a) << 4 | (b))

/* The sum of any two points, even of one with itself or with infinity (0 : 1 : 0), in projective
 * coordinates (Renes, Costello, Batina, "Complete addition formulas for prime order elliptic
 * curves", 2015, algorithm 4), */
static const uint16_t add_complete[] = {
    MUL(T0, X1, X2), MUL(T1, Y1, Y2), MUL(T2, Z1, Z2), ADD(T3, X1, Y1),
    ADD(T4, X2, Y2), MUL(T3, T3, T4), ADD(T4, T0, T1), SUB(T3, T3, T4),
    ADD(T4, Y1, Z1), ADD(X3, Y2, Z2), MUL(T4, T4, X3), ADD(X3, T1, T2),
    SUB(T4, T4, X3), ADD(X3, X1, Z1), ADD(Y3, X2, Z2), MUL(X3, X3, Y3),
    ADD(Y3, T0, T2), SUB(Y3, X3, Y3), MUL(Z3, B, T2),  SUB(X3, Y3, Z3),
    ADD(Z3, X3, X3), ADD(X3, X3, Z3), SUB(Z3, T1, X3), ADD(X3, T1, X3),
    MUL(Y3, B, Y3),  ADD(T1, T2, T2), ADD(T2, T1, T2), SUB(Y3, Y3, T2),
    SUB(Y3, Y3, T0), ADD(T1, Y3, Y3), ADD(Y3, T1, Y3), ADD(T1, T0, T0),
    ADD(T0, T1, T0), SUB(T0, T0, T2), MUL(T1, T4, Y3), MUL(T2, T0, Y3),
    MUL(Y3, X3, Z3), ADD(Y3, Y3, T2), MUL(X3, T3, X3), SUB(X3, X3, T1),
    MUL(Z3, T4, Z3), MUL(T1, T3, T0), ADD(Z3, Z3, T1), 0};

/* and twice a point (algorithm 6): the same work for each. */
static const uint16_t double_complete[] = {
    MUL(T0, X1, X1), MUL(T1, Y1, Y1), MUL(T2, Z1, Z1), MUL(T3, X1, Y1), ADD(T3, T3, T3),
    MUL(Z3, X1, Z1), ADD(Z3, Z3, Z3), MUL(Y3, B, T2),  SUB(Y3, Y3, Z3), ADD(X3, Y3, Y3),
    ADD(Y3, X3, Y3), SUB(X3, T1, Y3), ADD(Y3, T1, Y3), MUL(Y3, X3, Y3), MUL(X3, X3, T3),
    ADD(T3, T2, T2), ADD(T2, T2, T3), MUL(Z3, B, Z3),  SUB(Z3, Z3, T2), SUB(Z3, Z3, T0),
    ADD(T3, Z3, Z3), ADD(Z3, Z3, T3), ADD(T3, T0, T0), ADD(T0, T3, T0), SUB(T0, T0, T2),
    MUL(T0, T0, Z3), ADD(Y3, Y3, T0), MUL(T0, Y1, Z1), ADD(T0, T0, T0), MUL(Z3, T0, Z3),
    SUB(X3, X3, Z3), MUL(Z3, T0, T1), ADD(Z3, Z3, Z3), ADD(Z3, Z3, Z3), 0};

/* Twice a point in Jacobian coordinates, where (X : Y : Z) is (X / Z^2, Y / Z^3) and Z is 0 at
 * infinity (Bernstein, "A software implementation of NIST P-224", 2001). */
static const uint16_t double_fast[] = {
    MUL(T0, Z1, Z1), MUL(T1, Y1, Y1), MUL(T2, X1, T1), SUB(T3, X1, T0), ADD(T4, X1, T0),
    MUL(T3, T3, T4), ADD(T4, T3, T3), ADD(T3, T3, T4), ADD(Z3, Y1, Z1), MUL(Z3, Z3, Z3),
    SUB(Z3, Z3, T1), SUB(Z3, Z3, T0), ADD(T2, T2, T2), ADD(T2, T2, T2), MUL(X3, T3, T3),
    SUB(X3, X3, T2), SUB(X3, X3, T2), SUB(Y3, T2, X3), MUL(Y3, Y3, T3), MUL(T1, T1, T1),
    ADD(T1, T1, T1), ADD(T1, T1, T1), ADD(T1, T1, T1), SUB(Y3, Y3, T1), 0};

/* The sum of two points that are neither infinity nor on one vertical line: T3 and T0 get the
 * differences of their x and y, */
static const uint16_t add_fast_begin[] = {MUL(T0, Z1, Z1),
                                          MUL(T1, Z2, Z2),
                                          MUL(T2, X1, T1),
                                          MUL(T3, X2, T0),
                                          SUB(T3, T3, T2),
                                          MUL(T4, Z2, T1),
                                          MUL(T1, Y1, T4),
                                          MUL(T4, Z1, T0),
                                          MUL(T0, Y2, T4),
                                          SUB(T0, T0, T1),
                                          0};

/* which must not be 0 in T3 for the rest. */
static const uint16_t add_fast_end[] = {MUL(Z3, Z1, Z2), MUL(Z3, Z3, T3),
                                        MUL(T4, T3, T3), MUL(T3, T3, T4),
                                        MUL(T2, T2, T4), MUL(X3, T0, T0),
                                        SUB(X3, X3, T3), SUB(X3, X3, T2),
                                        SUB(X3, X3, T2), SUB(Y3, T2, X3),
                                        MUL(Y3, Y3, T0), MUL(T1, T1, T3),
                                        SUB(Y3, Y3, T1), 0};

#define POINT_WORDS (3 * WORDS)

struct point {
    uint64_t words[POINT_WORDS]; /* X, Y, Z. */
};

struct curve {
    struct tls_big prime;
    size_t size; /* Bytes of a coordinate. */
    const uint8_t *bytes;
    uint64_t places[PLACES * WORDS];
};

static uint64_t *at(struct curve *curve, unsigned place)
{
    return curve->places + place * (size_t)WORDS;
}

static const uint8_t *curve_bytes(int id, size_t *size)
{
    *size = id == BR_EC_secp256r1 ? 32 : id == BR_EC_secp384r1 ? 48 : 66;
    return id == BR_EC_secp256r1   ? p256
           : id == BR_EC_secp384r1 ? p384
           : id == BR_EC_secp521r1 ? p521
                                   : NULL;
}

static void to_montgomery(const struct tls_big *big, uint64_t *out, const uint8_t *bytes,
                          size_t size)
{
    tls_big_decode(out, big->words, bytes, size);
    tls_big_multiply(big, out, out, big->square);
}

static bool load(struct curve *curve, int id)
{
    curve->bytes = curve_bytes(id, &curve->size);
    if (curve->bytes == NULL || !tls_big_init(&curve->prime, curve->bytes, curve->size)) {
        return false;
    }
    curve->prime.is_p256 = id == BR_EC_secp256r1;
    curve->prime.is_p384 = id == BR_EC_secp384r1;
    to_montgomery(&curve->prime, at(curve, B), curve->bytes + 2 * curve->size, curve->size);
    return true;
}

static void run(struct curve *curve, const uint16_t *operation)
{
    for (; *operation != 0; operation++) {
        uint64_t *out = at(curve, *operation >> 8 & 15);
        const uint64_t *a = at(curve, *operation >> 4 & 15);
        const uint64_t *b = at(curve, *operation & 15);

        switch (*operation >> 12) {
        case OP_MUL:
            tls_big_multiply(&curve->prime, out, a, b);
            break;
        case OP_ADD:
            tls_big_add(&curve->prime, out, a, b);
            break;
        default:
            tls_big_subtract(&curve->prime, out, a, b);
            break;
        }
    }
}

static void put(struct curve *curve, unsigned place, const struct point *point)
{
    memcpy(at(curve, place), point->words, sizeof point->words);
}

static void get(struct point *point, struct curve *curve, unsigned place)
{
    memcpy(point->words, at(curve, place), sizeof point->words);
}

/* Reads an uncompressed point that is on the curve. */
static bool decode_point(struct curve *curve, struct point *point, const uint8_t *bytes,
                         size_t size)
{
    static const uint16_t equation[] = {MUL(T0, X1, X1), MUL(T0, T0, X1), SUB(T0, T0, X1),
                                        SUB(T0, T0, X1), SUB(T0, T0, X1), ADD(T0, T0, B),
                                        MUL(T1, Y1, Y1), SUB(T0, T0, T1), 0};
    const struct tls_big *prime = &curve->prime;

    if (size != 2 * curve->size + 1 || bytes[0] != 0x04) {
        return false;
    }
    for (size_t i = 0; i < 2; i++) {
        tls_big_decode(at(curve, X1 + i), prime->words, bytes + 1 + i * curve->size, curve->size);
        if (!tls_big_below(at(curve, X1 + i), prime->modulus, prime->words)) {
            return false;
        }
        tls_big_multiply(prime, at(curve, X1 + i), at(curve, X1 + i), prime->square);
    }
    memcpy(at(curve, Z1), prime->one, WORDS * sizeof(uint64_t));
    run(curve, equation);
    get(point, curve, X1);
    return tls_big_is_zero(at(curve, T0), prime->words);
}

/* Writes the point at X1, in projective coordinates; false: it is infinity. */
static bool encode_point(struct curve *curve, uint8_t *bytes)
{
    const struct tls_big *prime = &curve->prime;
    uint64_t plain[WORDS] = {1};
    uint8_t exponent[BYTES_MAX];
    bool infinity = tls_big_is_zero(at(curve, Z1), prime->words);

    memcpy(exponent, curve->bytes, curve->size);
    exponent[curve->size - 1] -= 2; /* x^(p - 2) is 1 / x. */
    tls_big_power(prime, at(curve, T0), at(curve, Z1), exponent, curve->size);
    tls_big_multiply(prime, at(curve, T0), at(curve, T0), plain);
    bytes[0] = 0x04;
    for (size_t i = 0; i < 2; i++) {
        tls_big_multiply(prime, at(curve, T1), at(curve, X1 + i), at(curve, T0));
        tls_big_encode(bytes + 1 + i * curve->size, curve->size, at(curve, T1), prime->words);
    }
    return !infinity;
}

/* --- the key exchange: secret --- */

/* Puts the entry of that index at X2, looking at all of them. */
static void pick(struct curve *curve, const struct point table[16], unsigned index)
{
    uint64_t *out = at(curve, X2);

    memset(out, 0, sizeof(struct point));
    for (unsigned i = 0; i < 16; i++) {
        uint64_t mask = 0 - (((uint64_t)(i ^ index) - 1) >> 63);

        for (size_t j = 0; j < POINT_WORDS; j++) {
            out[j] |= table[i].words[j] & mask;
        }
    }
}

/* Multiplies a point by a number of any size, the most significant byte first; the product is left
 * at X1. Four bits at a time. */
static void multiply(struct curve *curve, const struct point *point, const uint8_t *number,
                     size_t size)
{
    struct point table[16];

    memset(&table[0], 0, sizeof table[0]);
    memcpy(table[0].words + WORDS, curve->prime.one, WORDS * sizeof(uint64_t));
    table[1] = *point;
    for (unsigned i = 2; i < 16; i++) {
        put(curve, X1, &table[i - 1]);
        put(curve, X2, point);
        run(curve, add_complete);
        get(&table[i], curve, X3);
    }
    put(curve, X1, &table[0]);
    for (size_t i = 0; i < 2 * size; i++) {
        for (unsigned j = 0; j < 4; j++) {
            run(curve, double_complete);
            memcpy(at(curve, X1), at(curve, X3), sizeof(struct point));
        }
        pick(curve, table, number[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15);
        run(curve, add_complete);
        memcpy(at(curve, X1), at(curve, X3), sizeof(struct point));
    }
}

/* X25519 takes numbers below 2^256 for the same modulo 2^255 - 19, as 2^256 is 38 there. */
#define FOLD 38

/* Adds a few words' worth of what came out at the top, already times FOLD. */
TLS_BIG_INLINE void fold_in(uint64_t *out, uint64_t few)
{
    unsigned carry = 0;

    out[0] = tls_big_plus(out[0], few, &carry);
    out[1] = tls_big_plus(out[1], 0, &carry);
    out[2] = tls_big_plus(out[2], 0, &carry);
    out[3] = tls_big_plus(out[3], 0, &carry);
    out[0] += carry * (uint64_t)FOLD; /* Then the number was next to 0. */
}

static void add_25519(uint64_t *out, const uint64_t *a, const uint64_t *b)
{
    unsigned carry = 0;

    out[0] = tls_big_plus(a[0], b[0], &carry);
    out[1] = tls_big_plus(a[1], b[1], &carry);
    out[2] = tls_big_plus(a[2], b[2], &carry);
    out[3] = tls_big_plus(a[3], b[3], &carry);
    fold_in(out, carry * (uint64_t)FOLD);
}

static void subtract_25519(uint64_t *out, const uint64_t *a, const uint64_t *b)
{
    unsigned borrow = 0;
    uint64_t few;

    out[0] = tls_big_minus(a[0], b[0], &borrow);
    out[1] = tls_big_minus(a[1], b[1], &borrow);
    out[2] = tls_big_minus(a[2], b[2], &borrow);
    out[3] = tls_big_minus(a[3], b[3], &borrow);
    few = borrow * (uint64_t)FOLD;
    borrow = 0;
    out[0] = tls_big_minus(out[0], few, &borrow);
    out[1] = tls_big_minus(out[1], 0, &borrow);
    out[2] = tls_big_minus(out[2], 0, &borrow);
    out[3] = tls_big_minus(out[3], 0, &borrow);
    out[0] -= borrow * (uint64_t)FOLD; /* Then the number was next to 2^256. */
}

static void multiply_25519(uint64_t *out, const uint64_t *a, const uint64_t *b)
{
    uint64_t t[8];
    uint64_t carry = 0;

    tls_big_product_4(t, a, b);
    out[0] = tls_big_step(t[4], FOLD, t[0], &carry);
    out[1] = tls_big_step(t[5], FOLD, t[1], &carry);
    out[2] = tls_big_step(t[6], FOLD, t[2], &carry);
    out[3] = tls_big_step(t[7], FOLD, t[3], &carry);
    fold_in(out, carry * FOLD);
}

/* out = a^(2^times) * b */
static void square_times(uint64_t *out, const uint64_t *a, unsigned times, const uint64_t *b)
{
    uint64_t t[4];

    memcpy(t, a, sizeof t);
    while (times-- > 0) {
        multiply_25519(t, t, t);
    }
    multiply_25519(out, t, b);
}

/* out = a^(2^255 - 21), which is 1 / a. */
static void invert_25519(uint64_t *out, const uint64_t *a)
{
    uint64_t a9[4];
    uint64_t a11[4];
    uint64_t ones[4]; /* a^(2^n - 1) for the n in the remarks. */
    uint64_t more[4];

    square_times(ones, a, 1, a);         /* 3 = 2^2 - 1 */
    square_times(a9, ones, 1, a);        /* 7 */
    square_times(a11, a9, 0, a);         /* 8 */
    square_times(a9, a11, 0, a);         /* 9 */
    square_times(a11, a9, 0, a);         /* 10 */
    square_times(a11, a11, 0, a);        /* 11 */
    square_times(ones, a11, 1, a9);      /* 31: 5 */
    square_times(ones, ones, 5, ones);   /* 10 */
    square_times(more, ones, 10, ones);  /* 20 */
    square_times(more, more, 20, more);  /* 40 */
    square_times(ones, more, 10, ones);  /* 50 */
    square_times(more, ones, 50, ones);  /* 100 */
    square_times(more, more, 100, more); /* 200 */
    square_times(ones, more, 50, ones);  /* 250 */
    square_times(out, ones, 5, a11);
}

static void swap_25519(uint64_t *a, uint64_t *b, uint64_t swap)
{
    for (size_t i = 0; i < 8; i++) {
        uint64_t change = (a[i] ^ b[i]) & (0 - swap);

        a[i] ^= change;
        b[i] ^= change;
    }
}

/* RFC 7748 section 5, with its names; both arguments are little-endian. */
static void x25519(uint8_t u[32], const uint8_t k[32])
{
    static const uint64_t a24[4] = {121665};
    uint64_t x1[4];
    uint64_t xz2[8] = {1};
    uint64_t xz3[8] = {0, 0, 0, 0, 1};
    uint64_t *const x2 = xz2, *const z2 = xz2 + 4, *const x3 = xz3, *const z3 = xz3 + 4;
    uint64_t a[4], b[4], e[4];
    uint64_t swap = 0;

    for (size_t i = 0; i < 4; i++) {
        x1[i] = 0;
        for (size_t j = 0; j < 8; j++) {
            x1[i] |= (uint64_t)u[8 * i + j] << 8 * j;
        }
    }
    x1[3] &= UINT64_MAX >> 1;
    memcpy(x3, x1, sizeof x1);
    for (int t = 254; t >= 0; t--) {
        uint64_t bit = k[t / 8] >> t % 8 & 1;

        swap_25519(xz2, xz3, swap ^ bit);
        swap = bit;
        add_25519(a, x2, z2);
        subtract_25519(b, x2, z2);
        add_25519(e, x3, z3);       /* C */
        subtract_25519(x3, x3, z3); /* D */
        multiply_25519(z3, x3, a);  /* DA */
        multiply_25519(x2, e, b);   /* CB */
        add_25519(x3, z3, x2);
        multiply_25519(x3, x3, x3);
        subtract_25519(z3, z3, x2);
        multiply_25519(z3, z3, z3);
        multiply_25519(z3, z3, x1);
        multiply_25519(a, a, a); /* AA */
        multiply_25519(b, b, b); /* BB */
        multiply_25519(x2, a, b);
        subtract_25519(e, a, b); /* E */
        multiply_25519(z2, e, a24);
        add_25519(z2, z2, a);
        multiply_25519(z2, z2, e);
    }
    swap_25519(xz2, xz3, swap);
    invert_25519(z2, z2);
    multiply_25519(x2, x2, z2);
    /* Twice what is above 2^255 comes back as 19; then 19 more tell whether it reaches the prime.
     */
    for (size_t i = 0; i < 3; i++) {
        uint64_t carry = i < 2 ? 19 * (x2[3] >> 63) : 19;

        x2[3] &= UINT64_MAX >> 1;
        for (size_t j = 0; j < 4; j++) {
            tls_big_wide value = (tls_big_wide)x2[j] + carry;

            a[j] = (uint64_t)value;
            carry = (uint64_t)(value >> 64);
        }
        swap = i < 2 ? 1 : a[3] >> 63;
        for (size_t j = 0; j < 4; j++) {
            x2[j] ^= (x2[j] ^ a[j]) & (0 - swap);
        }
    }
    x2[3] &= UINT64_MAX >> 1;
    for (size_t i = 0; i < 32; i++) {
        u[i] = (uint8_t)(x2[i / 8] >> 8 * (i % 8));
    }
}

static const uint8_t base_25519[32] = {9};

static uint32_t multiply_point(unsigned char *point, size_t point_size, const unsigned char *x,
                               size_t x_size, int id)
{
    struct curve curve;
    struct point decoded;

    if (id == BR_EC_curve25519) {
        uint8_t k[32] = {0};
        uint8_t any = 0;

        if (point_size != 32 || x_size > 32) {
            return 0;
        }
        memcpy(k, x, x_size);
        k[0] &= 0xF8;
        k[31] = (k[31] & 0x7F) | 0x40;
        x25519(point, k);
        for (size_t i = 0; i < 32; i++) {
            any |= point[i];
        }
        return any != 0; /* A point of low order: RFC 7748 6.1. */
    }
    if (!load(&curve, id) || !decode_point(&curve, &decoded, point, point_size)) {
        return 0;
    }
    multiply(&curve, &decoded, x, x_size);
    return encode_point(&curve, point);
}

static const unsigned char *generator(int id, size_t *size)
{
    const uint8_t *bytes = curve_bytes(id, size);

    if (id == BR_EC_curve25519) {
        *size = 32;
        return base_25519;
    }
    bytes = bytes != NULL ? bytes + 3 * *size : NULL;
    *size = 2 * *size + 1;
    return bytes;
}

static const unsigned char *order(int id, size_t *size)
{
    static const uint8_t any_25519[32] = {0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
                                          0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
                                          0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
                                          0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    const uint8_t *bytes = curve_bytes(id, size);

    if (id == BR_EC_curve25519) {
        *size = 32;
        return any_25519;
    }
    return bytes != NULL ? bytes + *size : NULL;
}

static size_t xoff(int id, size_t *size)
{
    const uint8_t *bytes = curve_bytes(id, size);

    *size = bytes != NULL ? *size : 32;
    return bytes != NULL ? 1 : 0;
}

static size_t multiply_generator(unsigned char *out, const unsigned char *x, size_t x_size, int id)
{
    size_t size;
    const unsigned char *bytes = generator(id, &size);

    memcpy(out, bytes, size);
    return multiply_point(out, size, x, x_size, id) == 1 ? size : 0;
}

const br_ec_impl tls_ec = {
    (1u << BR_EC_secp256r1) | (1u << BR_EC_secp384r1) | (1u << BR_EC_secp521r1) |
        (1u << BR_EC_curve25519),
    generator,
    order,
    xoff,
    multiply_point,
    multiply_generator,
    NULL, /* Only a verification would ask: tls_ecdsa_verify() has its own. */
};

/* --- verification: public --- */

#define WINDOW 16 /* Digits are odd and between -WINDOW and WINDOW, or 0. */
#define DIGITS (64 * WORDS + 1)

/* Writes a number as digits of which few are not 0, the least significant first; returns how many
 * (Solinas, "Efficient arithmetic on Koblitz curves", 2000). */
static size_t digits_of(int8_t digits[DIGITS], const uint64_t *number, size_t words)
{
    uint64_t rest[WORDS + 1] = {0};
    size_t count = 0;

    memcpy(rest, number, words * sizeof *number);
    for (; !tls_big_is_zero(rest, words + 1) && count < DIGITS; count++) {
        int digit = 0;

        if ((rest[0] & 1) != 0) {
            digit = (int)(rest[0] & (2 * WINDOW - 1));
            rest[0] -= (uint64_t)digit;
            if (digit > WINDOW) {
                digit -= 2 * WINDOW;
                rest[0] += 2 * WINDOW;
                for (size_t i = 1; i <= words && rest[i - 1] == 0; i++) {
                    rest[i]++;
                }
            }
        }
        digits[count] = (int8_t)digit;
        for (size_t i = 0; i <= words; i++) {
            rest[i] = rest[i] >> 1 | (i < words ? rest[i + 1] << 63 : 0);
        }
    }
    return count;
}

static void double_point(struct curve *curve)
{
    run(curve, double_fast);
    memcpy(at(curve, X1), at(curve, X3), sizeof(struct point));
}

/* Adds the point at X2 to that at X1, whatever they are. */
static void add_point(struct curve *curve)
{
    size_t words = curve->prime.words;

    if (tls_big_is_zero(at(curve, Z2), words)) {
        return;
    }
    if (tls_big_is_zero(at(curve, Z1), words)) {
        memcpy(at(curve, X1), at(curve, X2), sizeof(struct point));
        return;
    }
    run(curve, add_fast_begin);
    if (!tls_big_is_zero(at(curve, T3), words)) {
        run(curve, add_fast_end);
        memcpy(at(curve, X1), at(curve, X3), sizeof(struct point));
    } else if (tls_big_is_zero(at(curve, T0), words)) {
        double_point(curve);
    } else {
        memset(at(curve, Z1), 0, WORDS * sizeof(uint64_t));
    }
}

/* Sets table[i] to 2i + 1 times the point. */
static void odd_multiples(struct curve *curve, struct point table[WINDOW / 2],
                          const struct point *point)
{
    struct point twice;

    put(curve, X1, point);
    double_point(curve);
    get(&twice, curve, X1);
    table[0] = *point;
    for (size_t i = 1; i < WINDOW / 2; i++) {
        put(curve, X1, &table[i - 1]);
        put(curve, X2, &twice);
        add_point(curve);
        get(&table[i], curve, X1);
    }
}

static void add_digit(struct curve *curve, const struct point table[WINDOW / 2], int digit)
{
    static const uint64_t zero[WORDS];

    if (digit != 0) {
        put(curve, X2, &table[(digit < 0 ? -digit : digit) / 2]);
        if (digit < 0) {
            tls_big_subtract(&curve->prime, at(curve, Y2), zero, at(curve, Y2));
        }
        add_point(curve);
    }
}

/* Leaves a * the generator + b * point at X1 (Shamir's trick). */
static void multiply_both(struct curve *curve, const uint64_t *a, const struct point *point,
                          const uint64_t *b)
{
    struct point tables[2][WINDOW / 2];
    struct point base;
    int8_t digits[2][DIGITS] = {{0}};
    bool good = decode_point(curve, &base, curve->bytes + 3 * curve->size, 2 * curve->size + 1);

    (void)good; /* It is on its curve. */
    odd_multiples(curve, tables[0], &base);
    odd_multiples(curve, tables[1], point);
    digits_of(digits[0], a, curve->prime.words);
    digits_of(digits[1], b, curve->prime.words);
    memset(at(curve, Z1), 0, WORDS * sizeof(uint64_t));
    for (size_t i = 64 * curve->prime.words + 1; i-- > 0;) {
        double_point(curve);
        add_digit(curve, tables[0], digits[0][i]);
        add_digit(curve, tables[1], digits[1][i]);
    }
}

/* Whether the x of the point at X1 is r, or r + the order, which is then below the prime. */
static bool has_x(struct curve *curve, const struct tls_big *order_of, const uint64_t *r)
{
    const struct tls_big *prime = &curve->prime;
    uint64_t x[WORDS] = {0};
    uint64_t carry = 0;
    bool same = false;

    if (tls_big_is_zero(at(curve, Z1), prime->words)) {
        return false;
    }
    memcpy(x, r, prime->words * sizeof *r);
    tls_big_multiply(prime, at(curve, T0), at(curve, Z1), at(curve, Z1));
    while (!same && carry == 0 && tls_big_below(x, prime->modulus, prime->words)) {
        /* x * 1 in Montgomery's form, times Z^2. */
        tls_big_multiply(prime, at(curve, T1), x, prime->square);
        tls_big_multiply(prime, at(curve, T1), at(curve, T1), at(curve, T0));
        same = memcmp(at(curve, T1), at(curve, X1), prime->words * sizeof *r) == 0;
        for (size_t i = 0; i < prime->words; i++) {
            tls_big_wide value = (tls_big_wide)x[i] + order_of->modulus[i] + carry;

            x[i] = (uint64_t)value;
            carry = (uint64_t)(value >> 64);
        }
    }
    return same;
}

/* Reads r or s: 1 up to the order - 1. */
static bool decode_scalar(const struct tls_big *order_of, uint64_t *out, const uint8_t *bytes,
                          size_t size)
{
    for (; size > 8 * order_of->words; size--) {
        if (*bytes++ != 0) {
            return false;
        }
    }
    tls_big_decode(out, order_of->words, bytes, size);
    return !tls_big_is_zero(out, order_of->words) &&
           tls_big_below(out, order_of->modulus, order_of->words);
}

/* FIPS 186-4 section 6.4. */
uint32_t tls_ecdsa_verify(const br_ec_impl *impl, const void *hash, size_t hash_size,
                          const br_ec_public_key *key, const void *signature, size_t size)
{
    uint8_t raw[4 * BYTES_MAX + 48]; /* What is malformed may grow. */
    uint8_t exponent[BYTES_MAX];
    struct curve curve;
    struct tls_big order_of;
    struct point point;
    uint64_t r[WORDS], s[WORDS], z[WORDS], inverse[WORDS];

    (void)impl;
    if (size > sizeof raw / 2 || !load(&curve, key->curve) ||
        !decode_point(&curve, &point, key->q, key->qlen) ||
        !tls_big_init(&order_of, curve.bytes + curve.size, curve.size)) {
        return 0;
    }
    memcpy(raw, signature, size);
    size = br_ecdsa_asn1_to_raw(raw, size);
    if (size == 0 || size % 2 != 0 || !decode_scalar(&order_of, r, raw, size / 2) ||
        !decode_scalar(&order_of, s, raw + size / 2, size / 2)) {
        return 0;
    }
    memcpy(exponent, curve.bytes + curve.size, curve.size);
    exponent[curve.size - 1] -= 2;
    tls_big_multiply(&order_of, s, s, order_of.square);
    tls_big_power(&order_of, inverse, s, exponent, curve.size);
    /* The hash's first bits; each of these orders has as many as its bytes, or more than any hash.
     */
    tls_big_decode(z, order_of.words, hash, hash_size < curve.size ? hash_size : curve.size);
    if (!tls_big_below(z, order_of.modulus, order_of.words)) {
        tls_big_subtract(&order_of, z, z, order_of.modulus);
    }
    tls_big_multiply(&order_of, z, z, inverse);
    tls_big_multiply(&order_of, s, r, inverse);
    multiply_both(&curve, z, &point, s);
    return has_x(&curve, &order_of, r);
}

#endif
