/* rfc5322_state.h - the inside of struct rfc5322; included by rfc5322.h alone.
 *
 * There is no buffer. The message is made of parts, each of which ends a line: its head, the lines
 * of a digest one by one, its tail. For each read the part in hand is made anew from its beginning,
 * with what was read before left out. A live mail's line is kept in the caller's buffer meanwhile.
 */
#ifndef TOCSIN_NET_RFC5322_STATE_H
#define TOCSIN_NET_RFC5322_STATE_H

#ifndef TOCSIN_NET_RFC5322_H
#error "include net/rfc5322.h"
#endif

struct rfc5322 {
    struct rfc5322_fields fields; /* The pointers in it are borrowed. */
    uint32_t part;                /* The one in hand: 0 is the head, i + 1 is line i. */
    uint32_t offset;              /* Bytes of it already read. */
    uint32_t live_part;           /* The one whose line is in fields.live_line; 0: none is. */
    uint8_t encoding;             /* enum rfc5322_encoding: of the body, settled at init. */
};

/* Content-Transfer-Encoding (RFC 2045 section 6). */
enum rfc5322_encoding { RFC5322_7BIT, RFC5322_8BIT, RFC5322_QUOTED_PRINTABLE };

#endif
