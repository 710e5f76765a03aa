/* tls_big.c - products modulo an odd number by Montgomery's method, word by word (CIOS: Koc, Acar,
 * Kaliski, "Analyzing and Comparing Montgomery Multiplication Algorithms", 1996). */
#include "net/tls_private.h"

#ifdef TLS_64

#include "net/tls_big.h"

#include <string.h>

void tls_big_decode(uint64_t *out, size_t words, const uint8_t *bytes, size_t size)
{
    memset(out, 0, words * sizeof *out);
    for (size_t i = 0; i < size && i < 8 * words; i++) {
        out[i / 8] |= (uint64_t)bytes[size - 1 - i] << 8 * (i % 8);
    }
}

void tls_big_encode(uint8_t *bytes, size_t size, const uint64_t *in, size_t words)
{
    for (size_t i = 0; i < size; i++) {
        bytes[size - 1 - i] = i < 8 * words ? (uint8_t)(in[i / 8] >> 8 * (i % 8)) : 0;
    }
}

/* Sets out = a - b and returns what had to be borrowed. */
static unsigned difference(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t words)
{
    unsigned borrow = 0;

    for (size_t i = 0; i < words; i++) {
        out[i] = tls_big_minus(a[i], b[i], &borrow);
    }
    return borrow;
}

bool tls_big_below(const uint64_t *a, const uint64_t *b, size_t words)
{
    uint64_t ignored[TLS_BIG_WORDS];

    return difference(ignored, a, b, words) != 0;
}

bool tls_big_is_zero(const uint64_t *a, size_t words)
{
    uint64_t any = 0;

    for (size_t i = 0; i < words; i++) {
        any |= a[i];
    }
    return any == 0;
}

/* Brings a number with a word `top` above it, below twice the modulus, below the modulus. */
TLS_BIG_INLINE void reduce_4(const uint64_t *modulus, uint64_t *out, uint64_t s0, uint64_t s1,
                             uint64_t s2, uint64_t s3, unsigned top)
{
    unsigned borrow = 0;
    uint64_t d0 = tls_big_minus(s0, modulus[0], &borrow);
    uint64_t d1 = tls_big_minus(s1, modulus[1], &borrow);
    uint64_t d2 = tls_big_minus(s2, modulus[2], &borrow);
    uint64_t d3 = tls_big_minus(s3, modulus[3], &borrow);
    uint64_t keep = 0 - (uint64_t)(borrow > top); /* Where the subtraction was one too many. */

    out[0] = d0 ^ ((d0 ^ s0) & keep);
    out[1] = d1 ^ ((d1 ^ s1) & keep);
    out[2] = d2 ^ ((d2 ^ s2) & keep);
    out[3] = d3 ^ ((d3 ^ s3) & keep);
}

static void reduce(const struct tls_big *big, uint64_t *out, const uint64_t *in, unsigned top)
{
    uint64_t less[TLS_BIG_WORDS];
    uint64_t keep = 0 - (uint64_t)(difference(less, in, big->modulus, big->words) > top);

    for (size_t i = 0; i < big->words; i++) {
        out[i] = less[i] ^ ((less[i] ^ in[i]) & keep);
    }
}

void tls_big_add(const struct tls_big *big, uint64_t *out, const uint64_t *a, const uint64_t *b)
{
    uint64_t sum[TLS_BIG_WORDS];
    unsigned carry = 0;

    if (big->words == 4) {
        uint64_t s0 = tls_big_plus(a[0], b[0], &carry);
        uint64_t s1 = tls_big_plus(a[1], b[1], &carry);
        uint64_t s2 = tls_big_plus(a[2], b[2], &carry);
        uint64_t s3 = tls_big_plus(a[3], b[3], &carry);

        reduce_4(big->modulus, out, s0, s1, s2, s3, carry);
        return;
    }
    for (size_t i = 0; i < big->words; i++) {
        sum[i] = tls_big_plus(a[i], b[i], &carry);
    }
    reduce(big, out, sum, carry);
}

void tls_big_subtract(const struct tls_big *big, uint64_t *out, const uint64_t *a,
                      const uint64_t *b)
{
    const uint64_t *modulus = big->modulus;
    unsigned borrow = 0;
    unsigned carry = 0;
    uint64_t mask;

    if (big->words == 4) {
        uint64_t d0 = tls_big_minus(a[0], b[0], &borrow);
        uint64_t d1 = tls_big_minus(a[1], b[1], &borrow);
        uint64_t d2 = tls_big_minus(a[2], b[2], &borrow);
        uint64_t d3 = tls_big_minus(a[3], b[3], &borrow);

        mask = 0 - (uint64_t)borrow;
        out[0] = tls_big_plus(d0, modulus[0] & mask, &carry);
        out[1] = tls_big_plus(d1, modulus[1] & mask, &carry);
        out[2] = tls_big_plus(d2, modulus[2] & mask, &carry);
        out[3] = tls_big_plus(d3, modulus[3] & mask, &carry);
        return;
    }
    mask = 0 - (uint64_t)difference(out, a, b, big->words);
    for (size_t i = 0; i < big->words; i++) {
        out[i] = tls_big_plus(out[i], modulus[i] & mask, &carry);
    }
}

/* Adds factor times a; returns the word above. */
static uint64_t add_row(uint64_t *out, const uint64_t *a, uint64_t factor, size_t words)
{
    uint64_t carry = 0;

    for (size_t i = 0; i < words; i++) {
        out[i] = tls_big_step(factor, a[i], out[i], &carry);
    }
    return carry;
}

/* The same for six words, without a loop. */
TLS_BIG_INLINE uint64_t add_row_6(uint64_t *out, const uint64_t *a, uint64_t factor)
{
    uint64_t carry = 0;

    out[0] = tls_big_step(factor, a[0], out[0], &carry);
    out[1] = tls_big_step(factor, a[1], out[1], &carry);
    out[2] = tls_big_step(factor, a[2], out[2], &carry);
    out[3] = tls_big_step(factor, a[3], out[3], &carry);
    out[4] = tls_big_step(factor, a[4], out[4], &carry);
    out[5] = tls_big_step(factor, a[5], out[5], &carry);
    return carry;
}

TLS_BIG_INLINE void add_row_4(uint64_t *out, const uint64_t *a, uint64_t factor)
{
    uint64_t carry = 0;

    out[0] = tls_big_step(factor, a[0], out[0], &carry);
    out[1] = tls_big_step(factor, a[1], out[1], &carry);
    out[2] = tls_big_step(factor, a[2], out[2], &carry);
    out[3] = tls_big_step(factor, a[3], out[3], &carry);
    out[4] = carry;
}

void tls_big_product_4(uint64_t out[8], const uint64_t a[4], const uint64_t b[4])
{
    memset(out, 0, 4 * sizeof *out);
    add_row_4(out, b, a[0]);
    add_row_4(out + 1, b, a[1]);
    add_row_4(out + 2, b, a[2]);
    add_row_4(out + 3, b, a[3]);
}

/* The prime is 2^256 - 2^224 + 2^192 + 2^96 - 1, so that the multiple of it that clears a word m is
 * that word itself: m * 2^96 - m, and m * (2^64 - 2^32 + 1) three words higher. */
static void multiply_p256(const struct tls_big *big, uint64_t *out, const uint64_t *a,
                          const uint64_t *b)
{
    uint64_t t[8];
    unsigned top = 0;

    tls_big_product_4(t, a, b);
    for (uint64_t *at = t; at < t + 4; at++) {
        uint64_t m = at[0];
        tls_big_wide high = (tls_big_wide)m * 0xFFFFFFFF00000001u;
        unsigned carry = 0;

        at[1] = tls_big_plus(at[1], m << 32, &carry);
        at[2] = tls_big_plus(at[2], m >> 32, &carry);
        at[3] = tls_big_plus(at[3], (uint64_t)high, &carry);
        top += carry; /* 2 at most, which cannot carry twice: the word above is too small. */
        at[4] = tls_big_plus(at[4], (uint64_t)(high >> 64), &top);
    }
    reduce_4(big->modulus, out, t[4], t[5], t[6], t[7], top);
}

/* The prime is 2^384 - 2^128 - 2^96 + 2^32 - 1. A word w is cleared by m = w * (2^32 + 1) times it:
 * m six words higher, less m * (2^128 + 2^96 - 2^32 + 1), which ends in w as well. */
static void multiply_p384(const struct tls_big *big, uint64_t *out, const uint64_t *a,
                          const uint64_t *b)
{
    uint64_t t[12] = {0};
    unsigned top = 0;

    for (size_t i = 0; i < 6; i++) {
        uint64_t *at = t + i;
        uint64_t above = add_row_6(at, a, b[i]);
        uint64_t m = at[0] + (at[0] << 32);
        unsigned carry = 0;
        unsigned borrow = 0;
        /* The words of m * (2^128 + 2^96 - 2^32 + 1): the lowest is at[0], ... */
        uint64_t lowest = tls_big_minus(m, m << 32, &borrow);
        uint64_t second = tls_big_minus(m << 32, m >> 32, &borrow);
        uint64_t third = tls_big_plus((m >> 32) - borrow, m, &carry); /* ... the fourth is carry. */

        at[0] -= lowest;
        borrow = 0;
        at[1] = tls_big_minus(at[1], second, &borrow);
        at[2] = tls_big_minus(at[2], third, &borrow);
        at[3] = tls_big_minus(at[3], carry, &borrow);
        at[4] = tls_big_minus(at[4], 0, &borrow);
        at[5] = tls_big_minus(at[5], 0, &borrow);
        /* What is borrowed is less than the m that comes. */
        at[6] = tls_big_plus(m - borrow, above, &top);
    }
    reduce(big, out, t + 6, top);
}

void tls_big_multiply(const struct tls_big *big, uint64_t *out, const uint64_t *a,
                      const uint64_t *b)
{
    size_t words = big->words;
    uint64_t t[2 * TLS_BIG_WORDS];
    unsigned top = 0;

    if (big->is_p256) {
        multiply_p256(big, out, a, b);
        return;
    }
    if (big->is_p384) {
        multiply_p384(big, out, a, b);
        return;
    }
    memset(t, 0, words * sizeof t[0]);
    for (size_t i = 0; i < words; i++) {
        uint64_t above = add_row(t + i, a, b[i], words);

        /* Adds the multiple of the modulus that clears the lowest word. */
        t[i + words] =
            tls_big_plus(add_row(t + i, big->modulus, t[i] * big->inverse, words), above, &top);
    }
    reduce(big, out, t + words, top);
}

bool tls_big_init(struct tls_big *big, const uint8_t *bytes, size_t size)
{
    uint64_t inverse;
    unsigned bit;
    size_t words;

    while (size > 0 && *bytes == 0) {
        bytes++;
        size--;
    }
    words = (size + 7) / 8;
    if (size < 32 || words > TLS_BIG_WORDS || (bytes[size - 1] & 1) == 0) {
        return false;
    }
    big->words = words;
    big->is_p256 = false;
    big->is_p384 = false;
    tls_big_decode(big->modulus, words, bytes, size);
    /* Newton's method: each step doubles the bits that are right, of which there are 3 to begin. */
    inverse = big->modulus[0];
    for (unsigned i = 0; i < 5; i++) {
        inverse *= 2 - big->modulus[0] * inverse;
    }
    big->inverse = 0 - inverse;
    /* From the highest power of two below the modulus by doubling. */
    bit = 63 - (unsigned)__builtin_clzll(big->modulus[words - 1]);
    memset(big->one, 0, words * sizeof big->one[0]);
    big->one[words - 1] = (uint64_t)1 << bit;
    for (; bit < 64; bit++) {
        tls_big_add(big, big->one, big->one, big->one);
    }
    /* 2^words in Montgomery's form, squared six times, is 2^(64 * words). */
    memcpy(big->square, big->one, words * sizeof big->one[0]);
    for (size_t i = 0; i < words; i++) {
        tls_big_add(big, big->square, big->square, big->square);
    }
    for (unsigned i = 0; i < 6; i++) {
        tls_big_multiply(big, big->square, big->square, big->square);
    }
    return true;
}

void tls_big_power(const struct tls_big *big, uint64_t *out, const uint64_t *a,
                   const uint8_t *exponent, size_t size)
{
    bool begun = false;

    memcpy(out, big->one, big->words * sizeof *out);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        bool is_set = (exponent[bit / 8] >> (7 - bit % 8) & 1) != 0;

        if (begun) {
            tls_big_multiply(big, out, out, out);
            if (is_set) {
                tls_big_multiply(big, out, out, a);
            }
        } else if (is_set) {
            memcpy(out, a, big->words * sizeof *out);
            begun = true;
        }
    }
}

#endif
