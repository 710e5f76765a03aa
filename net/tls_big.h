/* tls_big.h - numbers of 64-bit words modulo an odd one, in Montgomery's form (Math. Comp. 44,
 * 1985), for the public-key work of a handshake where the compiler has 128-bit numbers (TLS_EC_64).
 *
 * A number is an array of as many words as the modulus has, the least first. In Montgomery's form x
 * stands as x * 2^(64 * words). No branch and no place in memory depends on a number's value but in
 * tls_big_power(), by its exponent, and in what is said to be for public numbers only.
 */
#ifndef TOCSIN_NET_TLS_BIG_H
#define TOCSIN_NET_TLS_BIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_BIG_WORDS 64 /* RSA-4096. */

__extension__ typedef unsigned __int128 tls_big_wide;

struct tls_big {
    size_t words;
    bool is_p256; /* These two primes have faster products. */
    bool is_p384;
    uint64_t inverse; /* -1 / modulus, modulo 2^64. */
    uint64_t modulus[TLS_BIG_WORDS];
    uint64_t one[TLS_BIG_WORDS];    /* 1 and ... */
    uint64_t square[TLS_BIG_WORDS]; /* ... 2^(64 * words) in Montgomery's form. */
};

/* Sets up a modulus from its bytes, the most significant first; false: it is even, too short or too
 * long. Public. */
bool tls_big_init(struct tls_big *big, const uint8_t *bytes, size_t size);

/* Bytes to words and back; what does not fit is left out, what is missing is 0. */
void tls_big_decode(uint64_t *out, size_t words, const uint8_t *bytes, size_t size);
void tls_big_encode(uint8_t *bytes, size_t size, const uint64_t *in, size_t words);

bool tls_big_below(const uint64_t *a, const uint64_t *b, size_t words); /* a < b */
bool tls_big_is_zero(const uint64_t *a, size_t words);

/* Of numbers below the modulus; out may be one of them. */
void tls_big_multiply(const struct tls_big *big, uint64_t *out, const uint64_t *a,
                      const uint64_t *b); /* Of Montgomery's forms. */
void tls_big_add(const struct tls_big *big, uint64_t *out, const uint64_t *a, const uint64_t *b);
void tls_big_subtract(const struct tls_big *big, uint64_t *out, const uint64_t *a,
                      const uint64_t *b);

/* a to a public power, given as bytes. a and out: Montgomery's forms, not the same array. */
void tls_big_power(const struct tls_big *big, uint64_t *out, const uint64_t *a,
                   const uint8_t *exponent, size_t size);

/* The product of two numbers of four words. */
void tls_big_product_4(uint64_t out[8], const uint64_t a[4], const uint64_t b[4]);

/* Where the call would cost more than what is called, at any level of optimization. */
#define TLS_BIG_INLINE __attribute__((always_inline)) static inline

/* a + b + *carry; *carry is 0 or 1, before and behind. */
TLS_BIG_INLINE uint64_t tls_big_plus(uint64_t a, uint64_t b, unsigned *carry)
{
    unsigned over = __builtin_add_overflow(a, *carry, &a);

    *carry = over | __builtin_add_overflow(a, b, &a);
    return a;
}

/* a - b - *borrow */
TLS_BIG_INLINE uint64_t tls_big_minus(uint64_t a, uint64_t b, unsigned *borrow)
{
    unsigned under = __builtin_sub_overflow(a, *borrow, &a);

    *borrow = under | __builtin_sub_overflow(a, b, &a);
    return a;
}

/* Returns the lower word of a * b + c + *carry, which fit into two words; the upper is the next
 * carry. (Compilers make better code of this than of sums of 128 bits.) */
TLS_BIG_INLINE uint64_t tls_big_step(uint64_t a, uint64_t b, uint64_t c, uint64_t *carry)
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

#endif
