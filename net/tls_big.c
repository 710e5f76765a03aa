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
static uint64_t difference(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t words)
{
    uint64_t borrow = 0;

    for (size_t i = 0; i < words; i++) {
        tls_big_wide value = (tls_big_wide)a[i] - b[i] - borrow;

        out[i] = (uint64_t)value;
        borrow = (uint64_t)(value >> 64) & 1;
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
static void reduce(const struct tls_big *big, uint64_t *out, const uint64_t *in, uint64_t top)
{
    uint64_t less[TLS_BIG_WORDS];
    uint64_t keep = difference(less, in, big->modulus, big->words);

    keep = 0 - (uint64_t)(keep > top); /* All ones where the subtraction was one too many. */
    for (size_t i = 0; i < big->words; i++) {
        out[i] = less[i] ^ ((less[i] ^ in[i]) & keep);
    }
}

void tls_big_add(const struct tls_big *big, uint64_t *out, const uint64_t *a, const uint64_t *b)
{
    uint64_t sum[TLS_BIG_WORDS];
    uint64_t carry = 0;

    for (size_t i = 0; i < big->words; i++) {
        tls_big_wide value = (tls_big_wide)a[i] + b[i] + carry;

        sum[i] = (uint64_t)value;
        carry = (uint64_t)(value >> 64);
    }
    reduce(big, out, sum, carry);
}

void tls_big_subtract(const struct tls_big *big, uint64_t *out, const uint64_t *a,
                      const uint64_t *b)
{
    uint64_t mask = 0 - difference(out, a, b, big->words);
    uint64_t carry = 0;

    for (size_t i = 0; i < big->words; i++) {
        tls_big_wide value = (tls_big_wide)out[i] + (big->modulus[i] & mask) + carry;

        out[i] = (uint64_t)value;
        carry = (uint64_t)(value >> 64);
    }
}

/* Adds the product of two words and a carry to a word of `out`; the carry is kept. */
#define STEP(i, j)                                                  \
    do {                                                            \
        value = (tls_big_wide)a[i] * b[j] + out[(i) + (j)] + carry; \
        out[(i) + (j)] = (uint64_t)value;                           \
        carry = (uint64_t)(value >> 64);                            \
    } while (0)
#define ROW(i)                \
    do {                      \
        carry = 0;            \
        STEP(i, 0);           \
        STEP(i, 1);           \
        STEP(i, 2);           \
        STEP(i, 3);           \
        out[(i) + 4] = carry; \
    } while (0)

void tls_big_product_4(uint64_t out[8], const uint64_t a[4], const uint64_t b[4])
{
    tls_big_wide value;
    uint64_t carry;

    memset(out, 0, 4 * sizeof *out);
    for (size_t i = 0; i < 4; i++) {
        ROW(i);
    }
}

/* The prime is 2^256 - 2^224 + 2^192 + 2^96 - 1, so that the multiple of it that clears a word m is
 * that word itself: m * 2^96 - m, and m * (2^64 - 2^32 + 1) three words higher. */
static void multiply_p256(const struct tls_big *big, uint64_t *out, const uint64_t *a,
                          const uint64_t *b)
{
    uint64_t t[8];
    uint64_t top = 0;

    tls_big_product_4(t, a, b);
    for (size_t i = 0; i < 4; i++) {
        uint64_t m = t[i];
        tls_big_wide high = (tls_big_wide)m * 0xFFFFFFFF00000001u;
        tls_big_wide value = (tls_big_wide)t[i + 1] + (m << 32);

        t[i + 1] = (uint64_t)value;
        value = (value >> 64) + t[i + 2] + (m >> 32);
        t[i + 2] = (uint64_t)value;
        value = (value >> 64) + t[i + 3] + (uint64_t)high;
        t[i + 3] = (uint64_t)value;
        value = (value >> 64) + t[i + 4] + (uint64_t)(high >> 64) + top;
        t[i + 4] = (uint64_t)value;
        top = (uint64_t)(value >> 64);
    }
    reduce(big, out, t + 4, top);
}

void tls_big_multiply(const struct tls_big *big, uint64_t *out, const uint64_t *a,
                      const uint64_t *b)
{
    size_t words = big->words;
    uint64_t t[TLS_BIG_WORDS + 1];

    if (big->is_p256) {
        multiply_p256(big, out, a, b);
        return;
    }
    memset(t, 0, (words + 1) * sizeof t[0]);
    for (size_t i = 0; i < words; i++) {
        uint64_t factor = b[i];
        tls_big_wide value = (tls_big_wide)a[0] * factor + t[0];
        uint64_t m = (uint64_t)value * big->inverse;
        tls_big_wide cleared = (tls_big_wide)m * big->modulus[0] + (uint64_t)value;

        for (size_t j = 1; j < words; j++) {
            value = (tls_big_wide)a[j] * factor + t[j] + (uint64_t)(value >> 64);
            cleared =
                (tls_big_wide)m * big->modulus[j] + (uint64_t)value + (uint64_t)(cleared >> 64);
            t[j - 1] = (uint64_t)cleared;
        }
        value = (value >> 64) + (cleared >> 64) + t[words];
        t[words - 1] = (uint64_t)value;
        t[words] = (uint64_t)(value >> 64);
    }
    reduce(big, out, t, t[words]);
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
