/* trust.h - the system's CA certificates without decoding all of them for each mail.
 *
 * The bundle (some 140 certificates in one PEM file) is read once a handshake, when the server's
 * chain has shown whose signature is wanted. Of each certificate some twenty bytes are decoded, to
 * find its subject; only those whose subject is wanted become anchors: 0.5 million instructions for
 * Debian's bundle.
 *
 *     error = trust_open(&trust, path);      below 0: trust.problem says why
 *     params.anchors = &trust.anchors;       for any number of sessions, one at a time
 *
 * What people have is taken: text between certificates, CRLF, lines of any length, other blocks
 * (keys, TRUSTED CERTIFICATEs) are skipped, and one certificate that cannot be used spoils nothing
 * but itself. One that is out of date vouches for nobody. A certificate that is no CA's vouches for
 * the server that has it.
 *
 * Cost: sizeof(struct trust), 4 KB, and 33 KB of stack while a file is read. It points into itself:
 * not to be copied.
 */
#ifndef TOCSIN_BOARDS_LINUX_TRUST_H
#define TOCSIN_BOARDS_LINUX_TRUST_H

#include "net/error.h"
#include "net/tls.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trust {
    struct tls_anchors anchors; /* Handed to tls_params; it has the finder. */
    const char *path;           /* File, folder of *.pem, *.crt and *.cer, or several with ':'. */
    char problem[200];          /* Why nothing can be verified; "" when all is well. */
    uint8_t identity[32];       /* Changes when a file does: part of a kept session's binding. */
    struct tls_finder finder;
    char where[120]; /* The path, and what was in the way of an anchor: said of unknown issuers. */
};

/* path: borrowed; NULL or "" looks where systems keep their bundle (/etc/ssl/certs/
 * ca-certificates.crt, /etc/ssl/cert.pem, /etc/pki/tls/certs/ca-bundle.crt, ...). E_MISSING: no
 * such file (problem says which, and what to install); E_IO: it cannot be read; E_INVALID: no
 * certificate in it. */
MUST_CHECK int trust_open(struct trust *trust, const char *path);

#endif
