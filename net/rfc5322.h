/* rfc5322.h - the composer: one alert as an Internet message (RFC 5322, 2045, 2047, 3834),
 * streamed.
 *
 * The text is made on the way out, a piece at a time, and is the same each time for the same input,
 * so that its size can be had by reading it twice; but for a live mail, whose lines are made as
 * they leave. Nothing that came from outside can end a header line.
 *
 *     rfc5322_init(&mail, &fields);
 *     while ((size = rfc5322_read(&mail, buf, sizeof buf)) > 0) ...
 */
#ifndef TOCSIN_NET_RFC5322_H
#define TOCSIN_NET_RFC5322_H

#include "net/alert.h"
#include "net/error.h"
#include "net/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RFC5322_LINE_BYTES 998 /* RFC 5322 2.1.1, without CRLF. */
#define RFC5322_DIGEST_LINE_BYTES 600

/* What the pointers lead to is borrowed until the last read. */
struct rfc5322_fields {
    const struct alert *alert;
    const char *from;      /* addr-spec */
    const char *from_name; /* Display name, UTF-8; "" for none. */
    const char *const *to; /* to_count addr-specs */
    size_t to_count;
    const char *device;     /* The device's own name: in subject and body. */
    const char *board;      /* "emcraft-sf2" */
    const char *version;    /* Firmware version. */
    const char *message_id; /* Without angle brackets: "17.3.9f2c@router1". */
    const char *address;    /* The device's own IPv4 address or "". */
    uint64_t unix_s;        /* Date: of this message (when it was queued). */
    int32_t zone_minutes;   /* Offset of the zone of Date and body, -720..840. */
    uint32_t attempt;       /* 1 on the first try; the body tells a late one. */
    bool eight_bit; /* The server takes 8BITMIME; otherwise quoted-printable where needed. */
    /* A digest: its lines come from here, index from 0; false: no more. NULL: one alert. The text
     * is empty and takes RFC5322_DIGEST_LINE_BYTES. Asked for in order, the same one again as long
     * as it has not been read to its end, and again from 0 when the message is made again: with the
     * same answers. alert->text then is the digest's title: "57 alerts, worst: error". */
    bool (*line)(void *context, unsigned index, struct text *out);
    void *line_context;
    /* An answer, a report or a round trip instead of an alert (firmware/answer.h). */
    const char *subject;     /* Whole, UTF-8; NULL: made of the alert. */
    const char *in_reply_to; /* A Message-ID without brackets; NULL or "": none. Also References. */
    bool auto_replied;       /* Auto-Submitted: auto-replied (RFC 3834); else auto-generated. */
    /* The body is what `line` gives, and nothing but its signature is added; each line is asked for
     * once, in order. Lines may differ from one making to the next, so the size is not known
     * before, and the encoding is quoted-printable, which carries whatever comes. */
    bool live;
    char *live_line; /* RFC5322_DIGEST_LINE_BYTES, where the line in hand stays until it is read. */
    /* Of a live mail: a second part, text/csv, whose lines come in the same manner (also from
     * line_context); the first one names the columns. NULL: none. */
    bool (*attachment)(void *context, unsigned index, struct text *out);
    const char *attachment_name; /* File name; what is no letter, digit, '.' or '-' becomes '_'. */
};

#include "net/rfc5322_state.h" /* struct rfc5322; private. */

/* Takes a copy of fields. Chooses how the body is encoded: as it is if it is short-lined ASCII, or
 * with eight_bit short-lined UTF-8; otherwise quoted-printable (RFC 2045 6.7). */
void rfc5322_init(struct rfc5322 *mail, const struct rfc5322_fields *fields);

/* Writes the next bytes, with CRLF line ends; fewer than size, or 0, at the end. Not dot-stuffed:
 * that is smtp's. */
size_t rfc5322_read(struct rfc5322 *mail, uint8_t *out, size_t size);

/* Bytes of the whole message, by generating it; 0 of a live one: not known. Leaves mail at its
 * beginning. */
uint32_t rfc5322_size(struct rfc5322 *mail, bool *has_eight_bit);

#endif
