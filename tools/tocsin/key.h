/* key.h - the keys that orders are signed with, as files. */
#ifndef TOCSIN_TOOLS_TOCSIN_KEY_H
#define TOCSIN_TOOLS_TOCSIN_KEY_H

#include "net/digest.h"

#include <bearssl_ec.h>
#include <stdbool.h>
#include <stdint.h>

struct key {
    bool is_ecdsa;
    uint8_t hmac[DIGEST_KEY_BYTES];
    br_ec_private_key private; /* Its number is in `number`. */
    unsigned char number[BR_EC_KBUF_PRIV_MAX_SIZE];
    uint8_t public[DIGEST_PUBLIC_BYTES];
};

/* Reads a PEM private key of P-256 (RFC 5915, or PKCS#8 RFC 5958, as OpenSSL writes them), or 64
 * hexadecimal digits, alone or as a line `command_key = ...`. Ends the program with a sentence
 * otherwise. */
void key_read(const char *path, struct key *key);

#endif
