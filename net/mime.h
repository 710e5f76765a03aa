/* mime.h - a reader of Internet messages (RFC 5322, 2045 to 2047, 3676, 3462 and 3464), streamed.
 *
 *     mime_init(&mime, &sink);
 *     mime_push(&mime, bytes, size); ... as often as there are bytes
 *     mime_end(&mime);
 *
 * It tells of the header's fields, unfolded and decoded to UTF-8; then of the text of the one part
 * that a person reads: the first text/plain or text/html that is no attachment and has anything
 * visible in it, whichever comes first. Transfer encoding, charset (UTF-8, US-ASCII, ISO-8859-1 and
 * -15, windows-1251 and -1252, KOI8-R and -U; of others what is ASCII), format=flowed and HTML are
 * undone. Of a delivery report it tells the fields of the report and those of the message it is
 * about. Nothing hostile does more than end the part that it stands in: nesting, lines, boundaries
 * and encoded words are bounded, and what is beyond them is skipped. No recursion, no allocation,
 * and it does not matter into which pieces the message is cut. Cost: sizeof(struct mime), 840
 * bytes; the stack is below 300 bytes, what the sink takes not counted.
 */
#ifndef TOCSIN_NET_MIME_H
#define TOCSIN_NET_MIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MIME_DEPTH 4         /* Multiparts within each other. */
#define MIME_BOUNDARY_MAX 70 /* RFC 2046 5.1.1. */
#define MIME_VALUE_BYTES 320 /* A field's decoded value, with NUL; a longer one is cut. */

/* Where a field stands. */
enum mime_place {
    MIME_HEADER,  /* The message's own header. */
    MIME_REPORT,  /* A field of message/delivery-status (RFC 3464 section 2). */
    MIME_ORIGINAL /* The header of the message that is returned: message/rfc822 or
                     text/rfc822-headers within multipart/report. */
};

/* Who is told; members may be NULL. Strings and bytes live during the call. */
struct mime_sink {
    void *context;
    /* A field: its name as written, its value printable UTF-8 in one line, comments and all. Of a
     * longer name than 39 characters, and of a longer value than there is room for, the beginning
     * is told. */
    void (*field)(void *context, enum mime_place place, const char *name, const char *value);
    /* The header of the message has ended. */
    void (*header_end)(void *context);
    /* Text of the part that a person reads: valid UTF-8 (what is none becomes U+FFFD), cut between
     * characters, lines ended by LF, the last one too; no other control characters than tab and LF,
     * no blank lines in front, nothing of no width, and for a no-break space a space. Quote marks
     * are as they were written; for quotes in format=flowed and in HTML's blockquote, "> ". */
    void (*text)(void *context, const char *bytes, size_t size);
};

#include "net/mime_state.h" /* struct mime; private. */

void mime_init(struct mime *mime, const struct mime_sink *sink);

/* Takes bytes of the message; line ends are CRLF, or a lone LF. */
void mime_push(struct mime *mime, const void *bytes, size_t size);

/* The message has ended: what is held back is told. */
void mime_end(struct mime *mime);

/* Whether the message is a delivery report (multipart/report; report-type=delivery-status). Known
 * once its header has ended. */
bool mime_is_report(const struct mime *mime);

#endif
