/* tls_chain.c - the path through what a server sent, to an anchor that a finder has (RFC 5280 6.1,
 * RFC 8446 4.4.2: servers send certificates twice, in any order, with old roots and strangers).
 *
 * A server's certificates are gathered until the last one is there. Then the finder is asked once
 * for all the names that a path from the server's own certificate could lead to, a path is chosen
 * by the names alone, and only that is verified, as tls_x509.c does with a chain that comes in
 * order: each of its certificates vouches for the one before, and the first that an anchor vouches
 * for ends it. A certificate that spoils the path (expired, another key of the same name) is left
 * out in another attempt; there are ATTEMPTS of them.
 */
#include "net/tls_private.h"

#ifdef TLS_FINDER

#include <string.h>

#define ATTEMPTS 4

#define FAR TLS_BAG_MAX /* No anchor can be reached. */

static struct tls_x509 *self(const br_x509_class **ctx)
{
    return (struct tls_x509 *)(void *)ctx;
}

static void start_chain(const br_x509_class **ctx, const char *server_name)
{
    struct tls_bag *bag = self(ctx)->bag;

    bag->server_name = server_name;
    bag->count = 0;
    bag->bytes_used = 0;
    bag->cut = false;
}

/* One that does not fit is as if it had not been sent, unless it is then missed. */
static void start_cert(const br_x509_class **ctx, uint32_t size)
{
    struct tls_bag *bag = self(ctx)->bag;

    bag->cut = bag->cut || bag->count >= TLS_BAG_MAX || size > sizeof bag->bytes - bag->bytes_used;
    if (!bag->cut) {
        memset(&bag->cert[bag->count], 0, sizeof bag->cert[0]);
        bag->cert[bag->count].at = (uint32_t)bag->bytes_used;
        bag->cert[bag->count].size = size;
    }
}

static void append(const br_x509_class **ctx, const unsigned char *bytes, size_t size)
{
    struct tls_bag *bag = self(ctx)->bag;

    if (!bag->cut) {
        memcpy(bag->bytes + bag->bytes_used, bytes, size);
        bag->bytes_used += size;
    }
}

/* Returns what follows the element at `at`, whose tag is given; NULL: it is not there. */
static const uint8_t *skip(const uint8_t *at, const uint8_t *end, unsigned tag)
{
    size_t length;

    at = at != NULL ? tls_der_head(at, end, tag, &length) : NULL;
    return at != NULL && length <= (size_t)(end - at) ? at + length : NULL;
}

/* Finds the names in a certificate (RFC 5280 4.1). */
static void end_cert(const br_x509_class **ctx)
{
    struct tls_bag *bag = self(ctx)->bag;
    struct tls_bag_cert *cert = &bag->cert[bag->count];
    const uint8_t *bytes;
    const uint8_t *end;
    const uint8_t *at;
    const uint8_t *issuer;
    const uint8_t *subject;
    size_t length;

    if (bag->cut) {
        return;
    }
    bag->count++;
    bytes = bag->bytes + cert->at;
    end = bytes + cert->size;
    at = tls_der_head(bytes, end, 0x30, &length);
    at = at != NULL ? tls_der_head(at, end, 0x30, &length) : NULL;
    if (at != NULL && at < end && *at == 0xA0) { /* The version may be left out. */
        at = skip(at, end, 0xA0);
    }
    issuer = skip(skip(at, end, 0x02), end, 0x30);
    at = skip(issuer, end, 0x30);
    subject = skip(at, end, 0x30);
    end = skip(subject, end, 0x30);
    if (end != NULL) {
        cert->issuer_at = (uint32_t)(issuer - bytes);
        cert->issuer_size = (uint32_t)(at - issuer);
        cert->subject_at = (uint32_t)(subject - bytes);
        cert->subject_size = (uint32_t)(end - subject);
    }
}

static struct tls_dn issuer_of(const struct tls_bag *bag, const struct tls_bag_cert *cert)
{
    return (struct tls_dn){bag->bytes + cert->at + cert->issuer_at, cert->issuer_size};
}

static struct tls_dn subject_of(const struct tls_bag *bag, const struct tls_bag_cert *cert)
{
    return (struct tls_dn){bag->bytes + cert->at + cert->subject_at, cert->subject_size};
}

static bool same(struct tls_dn a, struct tls_dn b)
{
    return a.size > 0 && a.size == b.size && memcmp(a.bytes, b.bytes, a.size) == 0;
}

/* Whether the signer may have signed the certificate, by their names. */
static bool signs(const struct tls_bag *bag, size_t signer, size_t cert)
{
    return signer != cert &&
           same(subject_of(bag, &bag->cert[signer]), issuer_of(bag, &bag->cert[cert]));
}

static size_t add_name(struct tls_dn *names, size_t count, struct tls_dn name)
{
    for (size_t i = 0; i < count; i++) {
        if (same(names[i], name)) {
            return count;
        }
    }
    names[count] = name;
    return name.size > 0 ? count + 1 : count;
}

/* Asks for whoever may vouch for the server's certificate itself, or for one that it leads to. */
static void ask(const struct tls_x509 *x509)
{
    const struct tls_bag *bag = x509->bag;
    const struct tls_finder *finder = bag->anchors->finder;
    struct tls_dn names[TLS_ASKED_MAX];
    bool reached[TLS_BAG_MAX] = {true};
    size_t count = add_name(names, 0, subject_of(bag, &bag->cert[0]));

    _Static_assert(TLS_ASKED_MAX > TLS_BAG_MAX, "each certificate has one issuer");
    for (size_t round = 0; round < bag->count; round++) {
        for (size_t i = 0; i < bag->count; i++) {
            for (size_t j = 1; j < bag->count && reached[i]; j++) {
                reached[j] = reached[j] || signs(bag, j, i);
            }
        }
    }
    for (size_t i = 0; i < bag->count; i++) {
        if (reached[i]) {
            count = add_name(names, count, issuer_of(bag, &bag->cert[i]));
        }
    }
    finder->find(finder->context, names, count, x509->unix_s);
}

static bool is_vouched(const struct tls_bag *bag, const struct tls_bag_cert *cert)
{
    const struct tls_anchors *anchors = bag->anchors;

    for (size_t i = 0; i < anchors->count; i++) {
        const br_x509_trust_anchor *anchor = &anchors->anchor[i];

        if ((anchor->flags & BR_X509_TA_CA) != 0 &&
            same((struct tls_dn){anchor->dn.data, anchor->dn.len}, issuer_of(bag, cert))) {
            return true;
        }
    }
    return false;
}

/* Sets the distances of all certificates that are not excluded. */
static void measure(struct tls_bag *bag)
{
    for (size_t i = 0; i < bag->count; i++) {
        bag->cert[i].used = false;
        bag->cert[i].distance = is_vouched(bag, &bag->cert[i]) ? 0 : FAR;
    }
    for (size_t round = 0; round < bag->count; round++) {
        for (size_t i = 0; i < bag->count; i++) {
            for (size_t j = 1; j < bag->count; j++) {
                if (!bag->cert[j].excluded && bag->cert[j].distance + 1 < bag->cert[i].distance &&
                    signs(bag, j, i)) {
                    bag->cert[i].distance = (uint8_t)(bag->cert[j].distance + 1);
                }
            }
        }
    }
}

/* The nearest to an anchor of those that may have signed a certificate; 0: there is none. */
static size_t signer_of(const struct tls_bag *bag, size_t cert)
{
    size_t best = 0;

    for (size_t i = 1; i < bag->count; i++) {
        const struct tls_bag_cert *signer = &bag->cert[i];

        if (!signer->used && !signer->excluded && signs(bag, i, cert) &&
            (best == 0 || signer->distance < bag->cert[best].distance)) {
            best = i;
        }
    }
    return best;
}

/* Verifies one path. Returns BearSSL's error, and which certificate was its last. */
static unsigned verify(struct tls_x509 *x509, size_t *last)
{
    const br_x509_class **ctx = &x509->vtable;
    struct tls_bag *bag = x509->bag;
    size_t at = 0;

    measure(bag);
    x509->inner->start_chain(ctx, bag->server_name);
    do {
        struct tls_bag_cert *cert = &bag->cert[at];

        *last = at;
        cert->used = true;
        x509->inner->start_cert(ctx, cert->size);
        x509->inner->append(ctx, bag->bytes + cert->at, cert->size);
        x509->inner->end_cert(ctx);
        at = signer_of(bag, at);
    } while (at != 0 && x509->minimal.err == 0);
    return x509->inner->end_chain(ctx);
}

/* Tries paths until one is good. */
static unsigned choose(struct tls_x509 *x509)
{
    struct tls_bag *bag = x509->bag;
    size_t last;
    unsigned error = verify(x509, &last);

    /* What is wrong with the server's own certificate stays wrong. */
    for (unsigned attempt = 1; error != 0 && last != 0 && attempt < ATTEMPTS; attempt++) {
        bag->cert[last].excluded = true;
        error = verify(x509, &last);
    }
    if (error == 0) {
        return 0;
    }
    for (size_t i = 0; i < bag->count; i++) {
        bag->cert[i].excluded = false;
    }
    error = verify(x509, &last); /* The best path is the one to complain of. */
    return error == BR_ERR_X509_NOT_TRUSTED && bag->cut ? BR_ERR_X509_LIMIT_EXCEEDED : error;
}

static unsigned end_chain(const br_x509_class **ctx)
{
    struct tls_x509 *x509 = self(ctx);
    struct tls_bag *bag = x509->bag;

    x509->info->resumed = false; /* Whatever we asked for. */
    x509->info->chain_count = 0;
    if (bag->count == 0) {
        return bag->cut ? BR_ERR_X509_LIMIT_EXCEEDED : BR_ERR_X509_EMPTY_CHAIN;
    }
    ask(x509);
    x509->minimal.trust_anchors_num = bag->anchors->count;
    return choose(x509);
}

static const br_x509_pkey *get_pkey(const br_x509_class *const *ctx, unsigned *usages)
{
    return ((const struct tls_x509 *)(const void *)ctx)->inner->get_pkey(ctx, usages);
}

static const br_x509_class tls_chain_vtable = {
    sizeof(struct tls_x509), start_chain, start_cert, append, end_cert, end_chain, get_pkey,
};

void tls_chain_init(struct tls_x509 *x509, struct tls_bag *bag, const struct tls_anchors *anchors)
{
    x509->inner = x509->vtable;
    x509->vtable = &tls_chain_vtable;
    x509->bag = bag;
    bag->anchors = anchors;
}

#endif
