/* transcode.h - makes any message fit what a server takes, and nothing else (RFC 2045, 2049, 6152).
 *
 * Two passes over a message as it is queued. The first looks: transcode_look_push() over all of it,
 * then transcode_needs(). The second, only if needed, streams the message through
 * transcode_push()/transcode_read(): leaf parts that the server could not take as they are become
 * quoted-printable, or base64 where that is shorter, with their Content-Transfer-Encoding changed
 * and MIME-Version, Content-Type added where they are missing (charset utf-8, or iso-8859-1 for
 * bytes that are none); multiparts are followed into their parts (nesting up to TRANSCODE_DEPTH;
 * message/rfc822 too), and parts that are encoded already stay as they are. Whoever decodes the
 * result has the bytes that went in: also NUL, bare CR, lines of any length, trailing blanks.
 *
 * Line ends are LF or CRLF, as the message has them: a message whose lines all end in CRLF is text
 * with CRLF, otherwise a CR is data.
 *
 * Cost: sizeof(struct transcode), some 4 KB: for hosted systems. Call from one context only.
 */
#ifndef TOCSIN_NET_TRANSCODE_H
#define TOCSIN_NET_TRANSCODE_H

#include "net/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRANSCODE_DEPTH 16
#define TRANSCODE_LINE_MAX 998 /* RFC 5321 4.5.3.1.6, without CRLF. */

/* What a message has that a server may not take. */
enum {
    TRANSCODE_EIGHT_BIT = 1, /* A byte above 127 in the body: 8BITMIME (RFC 6152). */
    TRANSCODE_LONG = 2,      /* A body line above TRANSCODE_LINE_MAX. */
    TRANSCODE_NUL = 4,       /* A NUL in the body. */
    TRANSCODE_CR = 8,        /* A CR that ends no line. */
    TRANSCODE_CRLF = 16,     /* Not a fault: its lines end in CRLF. */
    TRANSCODE_FAULTS = TRANSCODE_LONG | TRANSCODE_NUL | TRANSCODE_CR
};

#include "net/transcode_state.h" /* struct transcode_look, struct transcode; private. */

void transcode_look_init(struct transcode_look *look);
void transcode_look_push(struct transcode_look *look, const uint8_t *bytes, size_t size);
/* Of all that was pushed: TRANSCODE_ flags. */
unsigned transcode_look_end(struct transcode_look *look);

/* flags: what the first pass found. eight_bit_ok: the server has 8BITMIME. */
static inline bool transcode_needed(unsigned flags, bool eight_bit_ok)
{
    return (flags & TRANSCODE_FAULTS) != 0 || ((flags & TRANSCODE_EIGHT_BIT) != 0 && !eight_bit_ok);
}

void transcode_init(struct transcode *transcode, unsigned flags, bool eight_bit_ok);

/* Takes some of size bytes; returns how many. 0: read first. */
size_t transcode_push(struct transcode *transcode, const uint8_t *bytes, size_t size);
void transcode_end(struct transcode *transcode); /* The input is over. */

/* Up to size bytes of output; 0: none now. The output has 7-bit lines (or 8-bit ones, if those are
 * ok) of at most TRANSCODE_LINE_MAX bytes and the input's kind of line ends. */
size_t transcode_read(struct transcode *transcode, uint8_t *out, size_t size);

#endif
