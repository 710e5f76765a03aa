/* tls_x509.c - BearSSL's minimal X.509 validator (RFC 5280), with what it leaves out.
 *
 * Each certificate goes to the validator and to our own reader. The validator decides on
 * signatures, dates, names, CA flags and key usage. On top of it a chain is refused here when
 *
 *   - the server is known by an address that its certificate does not have as iPAddress (RFC 2818
 *     3.1, RFC 6125 1.7.2): the validator knows DNS names only;
 *   - a certificate on the path has an extended key usage without serverAuth (RFC 5280 4.2.1.12);
 *   - a CA on the path has name constraints, which nobody here could check (RFC 5280 4.2.1.10);
 *   - it is longer than TLS_CERTS_MAX.
 */
#include "net/tls_private.h"

#include <string.h>

static struct tls_x509 *self(const br_x509_class **ctx)
{
    return (struct tls_x509 *)(void *)ctx;
}

static const br_x509_class **inner(struct tls_x509 *x509)
{
    return &x509->minimal.vtable;
}

/* The validator stops at the first certificate that an anchor vouches for; what follows is not its
 * business. */
static bool is_accepted(struct tls_x509 *x509)
{
    return x509->minimal.vtable->get_pkey((const br_x509_class *const *)inner(x509), NULL) != NULL;
}

static void start_chain(const br_x509_class **ctx, const char *server_name)
{
    struct tls_x509 *x509 = self(ctx);

    x509->refusal = 0;
    x509->info->resumed = false; /* Whatever we asked for. */
    x509->info->chain_count = 0;
    x509->names_text = text_begin(x509->names, sizeof x509->names);
    x509->minimal.vtable->start_chain(inner(x509), x509->address_be != 0 ? NULL : server_name);
}

static void start_cert(const br_x509_class **ctx, uint32_t size)
{
    struct tls_x509 *x509 = self(ctx);
    size_t index = x509->info->chain_count;

    x509->judged = !is_accepted(x509);
    tls_der_begin(&x509->der, size,
                  index < TLS_CHAIN_MAX ? &x509->info->chain[index] : &x509->other);
    x509->der.names = index == 0 ? &x509->names_text : NULL;
    x509->der.address_be = x509->address_be;
    if (index < TLS_CERTS_MAX) {
        x509->minimal.vtable->start_cert(inner(x509), size);
    }
}

static void append(const br_x509_class **ctx, const unsigned char *bytes, size_t size)
{
    struct tls_x509 *x509 = self(ctx);

    tls_der_push(&x509->der, bytes, size);
    if (x509->info->chain_count < TLS_CERTS_MAX) {
        x509->minimal.vtable->append(inner(x509), bytes, size);
    }
}

/* What we hold against a certificate of the path; 0: nothing. */
static unsigned refusal(const struct tls_x509 *x509, size_t index, unsigned faults)
{
    return index >= TLS_CERTS_MAX                  ? BR_ERR_X509_LIMIT_EXCEEDED
           : !tls_der_complete(&x509->der)         ? BR_ERR_X509_UNEXPECTED
           : (faults & TLS_FAULT_PURPOSE) != 0     ? BR_ERR_X509_FORBIDDEN_KEY_USAGE
           : (faults & TLS_FAULT_CONSTRAINTS) != 0 ? BR_ERR_X509_CRITICAL_EXTENSION
           : (faults & TLS_FAULT_ADDRESS) != 0     ? BR_ERR_X509_BAD_SERVER_NAME
                                                   : 0;
}

static void end_cert(const br_x509_class **ctx)
{
    struct tls_x509 *x509 = self(ctx);
    const struct tls_cert *cert = x509->der.cert;
    unsigned faults = x509->der.faults;
    size_t index = x509->info->chain_count++;

    if (index < TLS_CERTS_MAX) {
        x509->minimal.vtable->end_cert(inner(x509));
    }
    if (index == 0) {
        faults &= ~(unsigned)(TLS_FAULT_CA | TLS_FAULT_CONSTRAINTS); /* Those of CAs. */
    }
    if (index > 0 || x509->address_be == 0) {
        faults &= ~(unsigned)TLS_FAULT_ADDRESS;
    }
    if (x509->unix_s < cert->not_before_unix_s || x509->unix_s > cert->not_after_unix_s) {
        faults |= TLS_FAULT_DATES;
    }
    if (index < TLS_CHAIN_MAX) {
        x509->faults[index] = (uint8_t)faults;
    }
    if (x509->judged && x509->refusal == 0) {
        x509->refusal = (uint8_t)refusal(x509, index, faults);
    }
}

/* The validator's verdict goes first, but where it only starved for what was kept from it. */
static unsigned end_chain(const br_x509_class **ctx)
{
    struct tls_x509 *x509 = self(ctx);
    unsigned error = x509->minimal.vtable->end_chain(inner(x509));

    if (x509->refusal != 0 && (error == 0 || x509->refusal == BR_ERR_X509_LIMIT_EXCEEDED)) {
        error = x509->refusal;
    }
    return error;
}

static const br_x509_pkey *get_pkey(const br_x509_class *const *ctx, unsigned *usages)
{
    const struct tls_x509 *x509 = (const struct tls_x509 *)(const void *)ctx;

    return x509->minimal.vtable->get_pkey(&x509->minimal.vtable, usages);
}

static const br_x509_class tls_x509_vtable = {
    sizeof(struct tls_x509), start_chain, start_cert, append, end_cert, end_chain, get_pkey,
};

void tls_x509_init(struct tls_x509 *x509, struct tls_info *info, const struct tls_params *params,
                   uint32_t address_be)
{
    /* BearSSL counts days from year 0 of the Gregorian calendar; 719,528 lie before 1970. */
    uint32_t days = (uint32_t)(params->unix_s >> 7) / 675 + 719528;

    memset(x509, 0, sizeof *x509);
    x509->vtable = &tls_x509_vtable;
    x509->info = info;
    x509->unix_s = params->unix_s;
    x509->address_be = address_be;
    br_x509_minimal_init(&x509->minimal, &br_sha256_vtable, params->anchors->anchor,
                         params->anchors->count);
    br_x509_minimal_set_hash(&x509->minimal, br_sha256_ID, &br_sha256_vtable);
    br_x509_minimal_set_hash(&x509->minimal, br_sha384_ID, &br_sha384_vtable);
    br_x509_minimal_set_hash(&x509->minimal, br_sha512_ID, &br_sha512_vtable);
    br_x509_minimal_set_rsa(&x509->minimal, TLS_RSA_VERIFY);
    br_x509_minimal_set_ecdsa(&x509->minimal, &tls_ec, br_ecdsa_i31_vrfy_asn1);
    br_x509_minimal_set_minrsa(&x509->minimal, TLS_RSA_BYTES_MIN);
    br_x509_minimal_set_time(&x509->minimal, days,
                             (uint32_t)params->unix_s - (days - 719528) * 86400);
}
