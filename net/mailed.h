/* mailed.h - finds what a mail orders the device to do, and who it proves to be from.
 *
 *     mailed_init(&mailed, &keys);
 *     mailed_push(&mailed, text, size);  the text that mime.h gives, in pieces
 *     mailed_end(&mailed);
 *     switch (mailed.proof) ...
 *
 * A signed order is a block in the text,
 *
 *     -----BEGIN TOCSIN COMMAND-----
 *     base64 of the payload
 *     -----TOCSIN SIGNATURE-----
 *     base64 of HMAC-SHA-256 (32 bytes) or of an ECDSA P-256 signature (DER) over the payload
 *     -----END TOCSIN COMMAND-----
 *
 * in which blanks, line ends, quote marks and the number of dashes do not count, so that a mail
 * program may wrap, quote and encode it as it likes. The payload is lines of UTF-8 ended by LF:
 *
 *     tocsin 1
 *     device 0123456789abcdef
 *     counter 17
 *     command config import
 *
 *     what the command takes beyond its line: here a configuration
 *
 * Every byte of it is signed. There may be one block in a mail: of two, nobody knows which was
 * meant. Without a block, a line that begins with `otp` holds a one-time password (otp.h), which
 * may go on in the next lines; the command stands behind it, or is the first other line that is
 * not blank and not quoted; both stand before a line "-- ". Cost: sizeof(struct mailed), under
 * 1 KB, and for a line with a one-time password some 10^7 instructions. docs/commands.md is for
 * people.
 */
#ifndef TOCSIN_NET_MAILED_H
#define TOCSIN_NET_MAILED_H

#include "net/digest.h"
#include "net/error.h"
#include "net/otp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAILED_COMMAND_BYTES 200 /* A command's line, with NUL; a longer one is E_SPACE. */
#define MAILED_DEVICE_BYTES 17   /* 16 hexadecimal digits and NUL. */
#define MAILED_TEXT_MAX 32768    /* Of what stands behind the blank line. */

/* What counts as a proof; borrowed. */
struct mailed_keys {
    const uint8_t *hmac;   /* DIGEST_KEY_BYTES; NULL: such signatures are refused. */
    const uint8_t *public; /* DIGEST_PUBLIC_BYTES; NULL: as above. */
    bool otp;              /* One-time passwords are looked for. */
    /* Gets the payload's text behind the blank line, before its signature is known; may be NULL.
     * Nothing may be done with it that mailed_end() cannot take back. */
    void (*text)(void *context, const char *bytes, size_t size);
    void *context;
};

enum mailed_proof {
    MAILED_NONE,   /* No order in it at all. */
    MAILED_SIGNED, /* The signature is that key's. Device and counter are still to be looked at. */
    MAILED_OTP,    /* response is to be looked at. */
    MAILED_REFUSED /* Something that wants to be an order, and is not: why tells. */
};

#include "net/mailed_state.h" /* Private. */

struct mailed {
    enum mailed_proof proof;            /* After mailed_end(). */
    int error;                          /* Of MAILED_REFUSED: E_SECURITY, E_INVALID, E_SPACE. */
    const char *why;                    /* Of MAILED_REFUSED: "the signature is wrong". */
    char command[MAILED_COMMAND_BYTES]; /* Blanks folded to one, none at its ends. */
    char device[MAILED_DEVICE_BYTES];   /* Lower case; "" in an OTP mail. */
    uint32_t counter;
    uint32_t text_bytes;               /* Behind the blank line. */
    uint8_t hash[DIGEST_SHA256_BYTES]; /* SHA-256 of the payload: names this very order. For OTP,
                                        * of the response and the command. */
    uint8_t response[OTP_BYTES];
    struct mailed_state state;
};

void mailed_init(struct mailed *mailed, const struct mailed_keys *keys);
void mailed_push(struct mailed *mailed, const char *text, size_t size);
void mailed_end(struct mailed *mailed);

#endif
