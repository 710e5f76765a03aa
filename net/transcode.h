/* transcode.h - makes any message fit what a server takes, and nothing else (RFC 2045 to 2047,
 * 6152).
 *
 * The first pass looks, as the message is queued: its flags say what a server may not take.
 *
 *     transcode_look_init(&look); transcode_look_push(&look, ...) all of the message
 *     flags = transcode_look_end(&look)
 *     if (transcode_needed(flags, eight_bit_ok)) the message has to be rewritten on its way out
 *
 * The second, only if needed, when it is known what the server takes, looks once more and rewrites:
 *
 *     transcode_init(&transcode, &look, eight_bit_ok)
 *     loop: size = transcode_push(&transcode, in, in_size)    takes input
 *           transcode_read(&transcode, out, room)             gives output until it returns 0
 *     transcode_end(&transcode); and transcode_read() again until it returns 0
 *
 * Leaf parts that the server could not take as they are become quoted-printable, or base64 if they
 * are not text, or are text of which a quarter would have to be encoded; what a reader decodes are
 * the bytes that went in: also NUL, bare CR, lines of any length, trailing blanks, and a last line
 * without an end. (In base64 the line ends of text are CRLF, as RFC 2045 6.8 has it.) Their
 * Content-Transfer-Encoding changes; MIME-Version, Content-Type and charset are added where they
 * are missing, and us-ascii corrected: utf-8, or iso-8859-1 for bytes that are none (text/html and
 * XML, which may say it themselves, stay without then). All else stays as it is, to the byte: parts
 * that the server can take, parts that are encoded already.
 *
 * Multiparts are followed into their parts, TRANSCODE_DEPTH deep; deeper ones, and those without a
 * boundary, are taken for bytes. message/rfc822 is not encoded itself but its parts (RFC 2046
 * 5.2.1); so is multipart/signed, whose signature then no longer fits: who signs sends 7 bits (RFC
 * 1847 2.1). What is said to be encoded and holds other bytes is mended: quoted-printable has them
 * encoded, base64 is rid of them; too long lines of both are broken. 8-bit words in headers become
 * encoded words, in parameters too; in what no reader is shown (a preamble, an epilogue) such bytes
 * become "=C3". Header lines that are too long are folded; NUL and CR in them become a space.
 *
 * Which parts need what is known of the first TRANSCODE_PARTS (1024); of those behind, every one
 * is encoded, and no charset added. The message is streamed; no more than a line's piece of 1 KB
 * and a field is held.
 *
 * Line ends are LF or CRLF, in text also both: it is the same text to a reader (PHP's mail() ends
 * a text of LF lines with a CRLF). Bytes are what they are: they are encoded unless their line ends
 * are those of the message, which are CRLF if all lines of text behind its own header end so.
 *
 * Cost: sizeof(struct transcode_look) 5 KB, sizeof(struct transcode) 14 KB: for hosted systems.
 * Call from one context only.
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
    TRANSCODE_EIGHT_BIT = 1, /* A byte above 127, in the header too: 8BITMIME (RFC 6152). */
    TRANSCODE_LONG = 2,      /* A line above TRANSCODE_LINE_MAX. */
    TRANSCODE_NUL = 4,       /* A NUL. */
    TRANSCODE_CR = 8,        /* A CR that ends no line, or bytes whose line ends differ. */
    TRANSCODE_CRLF = 16,     /* Not a fault: its lines end in CRLF. */
    TRANSCODE_FAULTS = TRANSCODE_LONG | TRANSCODE_NUL | TRANSCODE_CR
};

#include "net/transcode_state.h" /* struct transcode_look, struct transcode; private. */

void transcode_look_init(struct transcode_look *look);
void transcode_look_push(struct transcode_look *look, const uint8_t *bytes, size_t size);
/* Of all that was pushed: TRANSCODE_ flags. Once, at the end. */
unsigned transcode_look_end(struct transcode_look *look);

/* flags: what the first pass found. eight_bit_ok: the server has 8BITMIME. */
static inline bool transcode_needed(unsigned flags, bool eight_bit_ok)
{
    return (flags & TRANSCODE_FAULTS) != 0 || ((flags & TRANSCODE_EIGHT_BIT) != 0 && !eight_bit_ok);
}

/* look: what the first pass found in the same message, after transcode_look_end(); copied. */
void transcode_init(struct transcode *transcode, const struct transcode_look *look,
                    bool eight_bit_ok);

/* Takes some of size bytes; returns how many. 0: read first. */
size_t transcode_push(struct transcode *transcode, const uint8_t *bytes, size_t size);
void transcode_end(struct transcode *transcode); /* The input is over. */

/* Up to size bytes of output; 0: none now. The output has 7-bit lines (or 8-bit ones, if those are
 * ok) of at most TRANSCODE_LINE_MAX bytes, no NUL and no CR but in CRLF. It is longer than the
 * input, and how much is only known at its end (SIZE= of RFC 1870 can be left out). */
size_t transcode_read(struct transcode *transcode, uint8_t *out, size_t size);

#endif
