/* tls.h - a verified TLS 1.2 client between an engine and a link, over BearSSL (RFC 5246, 6125).
 *
 * The same buf/ack shape on both sides: "net" is the encrypted side, "app" the clear one.
 *
 *     tls_pem_init(&pem, &anchors); tls_pem_push(&pem, ...) ...; tls_pem_end(&pem, ...)
 *     tls_init(&tls, &params);
 *     pump tls_net_tx_buf/ack and tls_net_rx_buf/ack with the link
 *     when tls_want() has TLS_READY: the chain and the name are verified; app bytes may flow
 *     tls_close() sends close_notify; then pump until TLS_CLOSED
 *
 * Nothing of the application leaves before TLS_READY: tls_app_tx_buf() has no room until then.
 * Cost: sizeof(struct tls), 22 KB, of which TLS_RECORD_BYTES is one whole record (a server need not
 * honour smaller ones). tls_net_rx_ack() does the public-key work of a handshake before it returns:
 * some 10^7 instructions of a Cortex-M3 for P-256 and RSA, 10^8 for P-384. Call from one context
 * only.
 */
#ifndef TOCSIN_NET_TLS_H
#define TOCSIN_NET_TLS_H

#include "net/error.h"
#include "net/random.h"

#include <bearssl_ssl.h>
#include <bearssl_x509.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_RECORD_BYTES BR_SSL_BUFSIZE_INPUT /* 16,709: a full record (RFC 5246 6.2.3). */
#ifndef TLS_OUT_BYTES
#define TLS_OUT_BYTES (1360 + 85) /* One record in one segment. */
#endif
#define TLS_ANCHOR_MAX 8
#define TLS_ANCHOR_BYTES 3072 /* Names and keys of all anchors: about 350 each for RSA-2048. */
#ifndef TLS_NAME_BYTES
#define TLS_NAME_BYTES 48 /* What is kept of a certificate's name for people. */
#endif
#define TLS_CHAIN_MAX 3 /* Certificates whose names are kept; longer chains still verify. */

#ifdef TLS_FINDER
#define TLS_ASKED_MAX 25 /* Names in one question. */

/* A distinguished name as it stands in a certificate: DER with its head. */
struct tls_dn {
    const uint8_t *bytes;
    size_t size;
};

/* Whoever has more anchors than fit: a system's bundle of CAs. It is asked once a handshake, when
 * the server's chain is there and nothing of it has been believed. */
struct tls_finder {
    /* Puts those whose subject is one of the names into its anchors, in place of what they held. */
    void (*find)(void *context, const struct tls_dn *names, size_t count, uint64_t unix_s);
    void *context;
    const uint8_t *identity; /* 32 bytes; others when other anchors could be found. */
    const char *where;       /* "/etc/ssl/cert.pem": said when an issuer is not in there. */
};
#endif

/* CA certificates, or self-signed server certificates, decoded once from PEM (RFC 7468). It points
 * into itself: not to be copied. */
struct tls_anchors {
    br_x509_trust_anchor anchor[TLS_ANCHOR_MAX];
    size_t count;
    uint8_t bytes[TLS_ANCHOR_BYTES];
    size_t bytes_used;
#ifdef TLS_FINDER
    const struct tls_finder *finder; /* NULL: these anchors are all there are. */
#endif
};

/* One server's session, kept for resumption (RFC 5246 F.1.4). Zeroed: none. It holds a secret. */
struct tls_resume {
    br_ssl_session_parameters session;
    uint8_t binding[32]; /* Hash of the server's name and of the anchors that it was verified by. */
    uint64_t not_before_unix_s; /* When it was made: a clock that stepped back ends it, ... */
    uint64_t not_after_unix_s;  /* ... and so do a day or the chain's earliest expiry. */
    bool valid;
};

/* Borrowed until tls_close() has finished. */
struct tls_params {
    const char *server_name; /* For SNI and for the name check; a DNS name or an IPv4 address. */
    const struct tls_anchors *anchors; /* Until TLS_READY. */
    struct random *random;             /* Must be ready: E_MISSING otherwise. */
    uint64_t unix_s;                   /* The time, for validity dates; 0: unknown, E_TRANSIENT. */
    struct tls_resume *resume;         /* NULL: never resume. */
};

/* What a person wants to know of one certificate. Strings are printable and NUL-terminated. */
struct tls_cert {
    char subject[TLS_NAME_BYTES]; /* Common name, or last part of the name, or first DNS name. */
    char issuer[TLS_NAME_BYTES];
    char key[12]; /* "RSA-2048", "P-256", ... */
    uint64_t not_before_unix_s;
    uint64_t not_after_unix_s;
};

/* What reaches `status` and the log. */
struct tls_info {
    const char *version; /* "TLS 1.2" */
    const char *suite;   /* "ECDHE-ECDSA-CHACHA20-POLY1305" */
    const char *curve;   /* "X25519", "P-256", ... "" when resumed. */
    bool resumed;
    /* Certificates that the server sent, 0 when resumed; not all are kept. With a finder those of
     * the path that was verified, or was tried. */
    size_t chain_count;
    struct tls_cert chain[TLS_CHAIN_MAX]; /* The server's own comes first. */
};

struct tls_failure {
    int error;      /* E_SECURITY: certificate, name, protocol; E_TRANSIENT: the stream ended;
                     * E_CONFIG: no anchors. */
    int cause;      /* BR_ERR_*, or one of tls_private.h. */
    char text[200]; /* "the certificate of mail.example.com expired on 2026-01-31 ..." */
};

enum {
    TLS_WANT_NET_TX = 1,
    TLS_WANT_NET_RX = 2,
    TLS_WANT_APP_TX = 4, /* Takes application bytes. */
    TLS_WANT_APP_RX = 8, /* Has application bytes. */
    TLS_READY = 16,      /* Handshake done, peer verified. Stays set. */
    TLS_CLOSED = 32      /* Ended; tls_failure() is NULL after a clean close_notify. */
};

#include "net/tls_state.h" /* struct tls; private. */

void tls_anchors_init(struct tls_anchors *anchors);

/* Room for anchors within the record buffer of tls, for whoever would rather load them before each
 * session than keep them: fill it before tls_init(), which leaves it alone; the first encrypted
 * record overwrites it. */
struct tls_anchors *tls_anchors_room(struct tls *tls);

/* The record buffer, lent for other work while there is no session and none is begun; its contents
 * are nothing before. NULL: it is not that large. */
void *tls_lend(struct tls *tls, size_t size);

/* Takes one PEM text in pieces of any size; text outside BEGIN/END CERTIFICATE is skipped.
 * Returns how many certificates are complete so far. E_INVALID: not a certificate (why, if not
 * NULL, gets a sentence), E_SPACE: too many or too big. */
struct tls_pem; /* Decoder state, in tls_state.h. */
void tls_pem_init(struct tls_pem *pem, struct tls_anchors *anchors);
MUST_CHECK int tls_pem_push(struct tls_pem *pem, const char *text, size_t size, const char **why);
MUST_CHECK int tls_pem_end(struct tls_pem *pem, const char **why);

/* E_CONFIG: no anchors; E_MISSING: no random numbers; E_TRANSIENT: the time is not known;
 * E_INVALID: name. tls_failure() says it in words as well. */
MUST_CHECK int tls_init(struct tls *tls, const struct tls_params *params);

unsigned tls_want(const struct tls *tls);
const uint8_t *tls_net_tx_buf(struct tls *tls, size_t *size);
void tls_net_tx_ack(struct tls *tls, size_t size);
uint8_t *tls_net_rx_buf(struct tls *tls, size_t *size);
void tls_net_rx_ack(struct tls *tls, size_t size);
uint8_t *tls_app_tx_buf(struct tls *tls, size_t *size);
void tls_app_tx_ack(struct tls *tls, size_t size);
const uint8_t *tls_app_rx_buf(struct tls *tls, size_t *size);
void tls_app_rx_ack(struct tls *tls, size_t size);

void tls_flush(struct tls *tls); /* Closes the record that is being filled. */
void tls_close(struct tls *tls); /* Sends close_notify. */
void tls_eof(struct tls *tls);   /* The stream ended; without close_notify this is a failure. */
void tls_wipe(struct tls *tls);  /* Clears keys; the object may be reused. */

const struct tls_failure *tls_failure(const struct tls *tls); /* NULL: none. */
const struct tls_info *tls_info(const struct tls *tls);

/* Forgets the session and clears its secret. */
void tls_resume_clear(struct tls_resume *resume);

/* One sentence: what a person can do about it. Never NULL. */
const char *tls_advice(const struct tls_failure *failure);

#endif
