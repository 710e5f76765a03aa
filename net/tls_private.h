/* tls_private.h - what the parts of net/tls share; nobody else includes it. */
#ifndef TOCSIN_NET_TLS_PRIVATE_H
#define TOCSIN_NET_TLS_PRIVATE_H

#include "net/tls.h"

#define TLS_RSA_BYTES_MIN 256 /* 2,048 bits: NIST SP 800-131A. */
#define TLS_RSA_BYTES_MAX 512 /* What BearSSL's verification takes. */
#define TLS_CERTS_MAX 10 /* Each costs a signature check: a hostile server must not buy hours. */

/* tls_der.c */

/* Begins a certificate of size bytes; 0: as many as it says itself. cert is cleared, unless NULL.
 * More may be set in der after that: names, address_be, keep and keep_size. */
void tls_der_begin(struct tls_der *der, uint32_t size, struct tls_cert *cert);

/* Returns how many bytes belonged to the certificate. */
size_t tls_der_push(struct tls_der *der, const uint8_t *bytes, size_t size);

bool tls_der_complete(const struct tls_der *der); /* Read to its end, and well formed. */

/* tls_x509.c */

/* Sets up validation against the anchors at unix_s; implementations must be set by the caller. */
void tls_x509_init(struct tls_x509 *x509, struct tls_info *info, const struct tls_params *params,
                   uint32_t address_be);

/* tls_why.c */

/* Fills in tls->failure for what the engine ended with. */
void tls_explain(struct tls *tls, int bearssl_error);
void tls_fail(struct tls *tls, int error, const char *text);

/* The curves, as small or as fast as the board wants them (tls_ec.c). */
extern const br_ec_impl tls_ec;

#endif
