/* rfc5322_state.h - the inside of struct rfc5322; included by rfc5322.h alone.
 *
 * There is no buffer: for each read the message is made anew from its beginning up to where the
 * read ends, with what was read before left out.
 */
#ifndef TOCSIN_NET_RFC5322_STATE_H
#define TOCSIN_NET_RFC5322_STATE_H

#ifndef TOCSIN_NET_RFC5322_H
#error "include net/rfc5322.h"
#endif

struct rfc5322 {
    struct rfc5322_fields fields; /* The pointers in it are borrowed. */
    uint32_t offset;              /* Bytes already read. */
    uint8_t encoding;             /* enum rfc5322_encoding: of the body, settled at init. */
};

/* Content-Transfer-Encoding (RFC 2045 section 6). */
enum rfc5322_encoding { RFC5322_7BIT, RFC5322_8BIT, RFC5322_QUOTED_PRINTABLE };

#endif
