/* tls_big.c - products modulo an odd number by Montgomery's method, word by word (CIOS: Koc, Acar,
 * Kaliski, "Analyzing and Comparing Montgomery Multiplication Algorithms", 1996). */
#include "net/tls_private.h"

#ifdef TLS_64

#include "net/tls_big.h"

#include <string.h>

/* Where the call would cost more than what is called, at any level of optimization. */
#define INLINE __attribute__((always_inline)) static inline

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

/* a + b + *carry; *carry is 0 or 1, before and behind. */
INLINE uint64_t plus(uint64_t a, uint64_t b, unsigned *carry)
{
    unsigned over = __builtin_add_overflow(a, *carry, &a);

    *carry = over | __builtin_add_overflow(a, b, &a);
    return a;
}

/* a - b - *borrow */
INLINE uint64_t minus(uint64_t a, uint64_t b, unsigned *borrow)
{
    unsigned under = __builtin_sub_overflow(a, *borrow, &a);

    *borrow = under | __builtin_sub_overflow(a, b, &a);
    return a;
}

/* Sets out = a - b and returns what had to be borrowed. */
static unsigned difference(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t words)
{
    unsigned borrow = 0;

    for (size_t i = 0; i < words; i++) {
        out[i] = minus(a[i], b[i], &borrow);
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
INLINE void reduce_4(const uint64_t *modulus, uint64_t *out, uint64_t s0, uint64_t s1, uint64_t s2,
                     uint64_t s3, unsigned top)
{
    unsigned borrow = 0;
    uint64_t d0 = minus(s0, modulus[0], &borrow);
    uint64_t d1 = minus(s1, modulus[1], &borrow);
    uint64_t d2 = minus(s2, modulus[2], &borrow);
    uint64_t d3 = minus(s3, modulus[3], &borrow);
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
        uint64_t s0 = plus(a[0], b[0], &carry);
        uint64_t s1 = plus(a[1], b[1], &carry);
        uint64_t s2 = plus(a[2], b[2], &carry);
        uint64_t s3 = plus(a[3], b[3], &carry);

        reduce_4(big->modulus, out, s0, s1, s2, s3, carry);
        return;
    }
    for (size_t i = 0; i < big->words; i++) {
        sum[i] = plus(a[i], b[i], &carry);
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
        uint64_t d0 = minus(a[0], b[0], &borrow);
        uint64_t d1 = minus(a[1], b[1], &borrow);
        uint64_t d2 = minus(a[2], b[2], &borrow);
        uint64_t d3 = minus(a[3], b[3], &borrow);

        mask = 0 - (uint64_t)borrow;
        out[0] = plus(d0, modulus[0] & mask, &carry);
        out[1] = plus(d1, modulus[1] & mask, &carry);
        out[2] = plus(d2, modulus[2] & mask, &carry);
        out[3] = plus(d3, modulus[3] & mask, &carry);
        return;
    }
    mask = 0 - (uint64_t)difference(out, a, b, big->words);
    for (size_t i = 0; i < big->words; i++) {
        out[i] = plus(out[i], modulus[i] & mask, &carry);
    }
}

/* Returns the lower word of a * b + c + *carry, which fit into two words; the upper is the next
 * carry. (Compilers make better code of this than of sums of 128 bits.) */
INLINE uint64_t step(uint64_t a, uint64_t b, uint64_t c, uint64_t *carry)
{
    tls_big_wide product = (tls_big_wide)a * b;
    uint64_t low = (uint64_t)product;
    uint64_t high = (uint64_t)(product >> 64);

    low += c;
    high += low < c;
    low += *carry;
    high += low < *carry;
    *carry = high;
    return low;
}

/* Adds factor times a; returns the word above. */
static uint64_t add_row(uint64_t *out, const uint64_t *a, uint64_t factor, size_t words)
{
    uint64_t carry = 0;

    for (size_t i = 0; i < words; i++) {
        out[i] = step(factor, a[i], out[i], &carry);
    }
    return carry;
}

INLINE void add_row_4(uint64_t *out, const uint64_t *a, uint64_t factor)
{
    uint64_t carry = 0;

    out[0] = step(factor, a[0], out[0], &carry);
    out[1] = step(factor, a[1], out[1], &carry);
    out[2] = step(factor, a[2], out[2], &carry);
    out[3] = step(factor, a[3], out[3], &carry);
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

        at[1] = plus(at[1], m << 32, &carry);
        at[2] = plus(at[2], m >> 32, &carry);
        at[3] = plus(at[3], (uint64_t)high, &carry);
        top += carry;
        at[4] = plus(at[4], (uint64_t)(high >> 64), &top);
    }
    reduce_4(big->modulus, out, t[4], t[5], t[6], t[7], top);
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
    memset(t, 0, words * sizeof t[0]);
    for (size_t i = 0; i < words; i++) {
        uint64_t above = add_row(t + i, a, b[i], words);

        /* Adds the multiple of the modulus that clears the lowest word. */
        t[i + words] = plus(add_row(t + i, big->modulus, t[i] * big->inverse, words), above, &top);
    }
    reduce(big, out, t + words, top);
}

bool tls_big_init(struct tls_big *big, const uint8_t *bytes, size_t size)
{
    uint64_t inverse;
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
    tls_big_decode(big->modulus, words, bytes, size);
    /* Newton's method: each step doubles the bits that are right, of which there are 3 to begin. */
    inverse = big->modulus[0];
    for (unsigned i = 0; i < 5; i++) {
        inverse *= 2 - big->modulus[0] * inverse;
    }
    big->inverse = 0 - inverse;
    /* From the highest power of two below the modulus by doubling. */
    memset(big->one, 0, words * sizeof big->one[0]);
    {
        unsigned bit = 63 - (unsigned)__builtin_clzll(big->modulus[words - 1]);

        big->one[words - 1] = (uint64_t)1 << bit;
        for (; bit < 64; bit++) {
            tls_big_add(big, big->one, big->one, big->one);
        }
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
    memcpy(out, big->one, big->words * sizeof *out);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        tls_big_multiply(big, out, out, out);
        if ((exponent[bit / 8] >> (7 - bit % 8) & 1) != 0) {
            tls_big_multiply(big, out, out, a);
        }
    }
}

#endif
