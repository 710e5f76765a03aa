/* trust.h - the system's CA certificates without decoding all of them for each mail.
 *
 * The bundle (some 140 certificates in one PEM file) is streamed once, when a chain has shown whose
 * signature is wanted: of each certificate only the beginning is decoded, up to its subject, and
 * only those whose subject is a wanted issuer become anchors.
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
    const char *path;           /* File, or folder of *.pem and *.crt files; borrowed. */
    char problem[200];          /* Why nothing can be verified; "" when all is well. */
    uint8_t identity[32];       /* Changes when the file does: part of a kept session's binding. */
};

/* path: NULL or "" looks where systems keep their bundle (/etc/ssl/certs/ca-certificates.crt,
 * /etc/ssl/cert.pem, /etc/pki/tls/certs/ca-bundle.crt, ...). E_MISSING: no such file (problem says
 * which, and what to install); E_INVALID: no certificate in it. */
MUST_CHECK int trust_open(struct trust *trust, const char *path);

#endif
