/* sasl.h - the client's side of SASL PLAIN (RFC 4616) and LOGIN (draft-murchison-sasl-login).
 *
 * Both show the password to whoever reads the stream: the caller makes sure that it is TLS.
 * Responses are written as base64, without a line end, straight into the caller's transmit buffer:
 * no second copy of a secret is made. Cost: no state.
 */
#ifndef TOCSIN_NET_SASL_H
#define TOCSIN_NET_SASL_H

#include "net/text.h"

#include <stdbool.h>
#include <stddef.h>

#define SASL_NAME_MAX \
    255 /* RFC 4616 section 2: what a server must take, of user and of password. */

enum sasl_mechanism {
    SASL_PLAIN, /* Preferred: one round trip, and a standard. */
    SASL_LOGIN,
    SASL_COUNT
};

const char *sasl_name(enum sasl_mechanism mechanism); /* "PLAIN"; "" for SASL_COUNT. */

/* Which mechanism a word of a server's list names, ASCII case ignored; -1: one that is not here. */
int sasl_parse(const char *word, size_t size);

/* User and password can be carried: not too long, no control characters. */
bool sasl_valid(const char *user, const char *password);

/* Characters of PLAIN's only response. */
size_t sasl_plain_size(const char *user, const char *password);

/* Appends PLAIN's only response, or one of LOGIN's two (the user's name or the password). */
void sasl_plain(struct text *out, const char *user, const char *password);
void sasl_login(struct text *out, const char *string);

#endif
