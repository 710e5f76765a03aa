/* tls_ec.c - the curves, from the smallest code that is fast enough.
 *
 * BearSSL's own sum of curves (br_ec_all_m31) takes the unrolled code for X25519 and P-256: 15 KB.
 * Here the generic 31-bit code, which is there for P-384 anyway, takes what it is not worth
 * unrolling for.
 */
#include "net/tls_private.h"

#ifdef TOCSIN_EC_P256_I31
#define P256 br_ec_prime_i31
#else
#define P256 br_ec_p256_m31
#endif
#ifdef TOCSIN_EC_X25519_I31
#define X25519 br_ec_c25519_i31
#else
#define X25519 br_ec_c25519_m31
#endif

static const br_ec_impl *curve_impl(int curve)
{
    switch (curve) {
    case BR_EC_secp256r1:
        return &P256;
#ifndef TOCSIN_EC_NO_X25519
    case BR_EC_curve25519:
        return &X25519;
#endif
    default:
        return &br_ec_prime_i31;
    }
}

static const unsigned char *generator(int curve, size_t *size)
{
    return curve_impl(curve)->generator(curve, size);
}

static const unsigned char *order(int curve, size_t *size)
{
    return curve_impl(curve)->order(curve, size);
}

static size_t xoff(int curve, size_t *size)
{
    return curve_impl(curve)->xoff(curve, size);
}

static uint32_t mul(unsigned char *point, size_t point_size, const unsigned char *x, size_t x_size,
                    int curve)
{
    return curve_impl(curve)->mul(point, point_size, x, x_size, curve);
}

static size_t mulgen(unsigned char *point, const unsigned char *x, size_t x_size, int curve)
{
    return curve_impl(curve)->mulgen(point, x, x_size, curve);
}

static uint32_t muladd(unsigned char *a, const unsigned char *b, size_t size,
                       const unsigned char *x, size_t x_size, const unsigned char *y, size_t y_size,
                       int curve)
{
    return curve_impl(curve)->muladd(a, b, size, x, x_size, y, y_size, curve);
}

#ifdef TOCSIN_EC_NO_X25519
#define CURVE25519 0
#else
#define CURVE25519 (1u << BR_EC_curve25519)
#endif

const br_ec_impl tls_ec = {
    (1u << BR_EC_secp256r1) | (1u << BR_EC_secp384r1) | (1u << BR_EC_secp521r1) | CURVE25519,
    generator,
    order,
    xoff,
    mul,
    mulgen,
    muladd,
};
