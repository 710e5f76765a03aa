/* tls_private.h - what the parts of net/tls share; of others only digest.c includes it, for the
 * curve. */
#ifndef TOCSIN_NET_TLS_PRIVATE_H
#define TOCSIN_NET_TLS_PRIVATE_H

#include "net/tls.h"

#define TLS_RSA_BYTES_MIN 256 /* 2,048 bits: NIST SP 800-131A. */
#define TLS_RSA_BYTES_MAX 512 /* What BearSSL's verification takes. */
#define TLS_CERTS_MAX 10 /* Each costs a signature check: a hostile server must not buy hours. */

/* tls_der.c */

/* Begins a certificate of size bytes; 0: as many as it says itself. cert is cleared. More may be
 * set in der after that: names, address_be, keep and keep_size. */
void tls_der_begin(struct tls_der *der, uint32_t size, struct tls_cert *cert);

/* Returns how many bytes belonged to the certificate. */
size_t tls_der_push(struct tls_der *der, const uint8_t *bytes, size_t size);

bool tls_der_complete(const struct tls_der *der); /* Read to its end, and well formed. */

/* Reads the head of an element that ends at most at end; returns where its contents begin; NULL: it
 * is not there. */
const uint8_t *tls_der_head(const uint8_t *at, const uint8_t *end, unsigned tag, size_t *length);

const char *tls_key_name(unsigned key); /* Of TLS_KEY_RSA or a BR_EC_* curve. */

/* tls_x509.c */

/* Sets up validation against the anchors at unix_s; implementations must be set by the caller. */
void tls_x509_init(struct tls_x509 *x509, struct tls_info *info, const struct tls_params *params,
                   uint32_t address_be);

#ifdef TLS_FINDER
/* tls_chain.c */

/* Has the chain gathered in bag, and what x509 verifies chosen from it and the finder's anchors. */
void tls_chain_init(struct tls_x509 *x509, struct tls_bag *bag, const struct tls_anchors *anchors);
#endif

/* tls_why.c */

/* Why a session failed: BR_ERR_*, an alert of the server's, or one of these. */
enum tls_cause {
    TLS_NO_NAME = 64, /* Above BearSSL's own. */
    TLS_NO_CA,
    TLS_NO_TIME,
    TLS_NO_SEED,
    TLS_CUT_HANDSHAKE,
    TLS_CUT,
    TLS_ALERT = BR_ERR_RECV_FATAL_ALERT /* Its number is added. */
};

/* Fills in tls->failure; returns the alert that tells the server why, 0: none. */
uint8_t tls_explain(struct tls *tls, int cause);

/* The curves, as small or as fast as the board wants them (tls_ec.c). */
extern const br_ec_impl tls_ec;

/* RSA by the processor's wide products, where it has them (limits.h asks for it). */
#if defined(TLS_64) && defined(__SIZEOF_INT128__)
#define TLS_RSA_VERIFY br_rsa_i62_pkcs1_vrfy
#else
#define TLS_RSA_VERIFY br_rsa_i31_pkcs1_vrfy
#endif

#endif
