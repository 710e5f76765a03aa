/* message.h - what a submission program does to the header of a message (RFC 5322, RFC 6409 8).
 *
 * A filter between a message as a program wrote it and the message as it is queued, in pieces of
 * any size. A field with nothing wrong in it passes byte for byte, folding and all, and behind the
 * header's end every byte passes as it is. The filter
 *
 *   - takes Bcc and Resent-Bcc out, Return-Path, Content-Length, and mbox "From " lines in front;
 *   - tells every address of To, Cc, Bcc (or of Resent-To, -Cc, -Bcc if there is any Resent- field:
 *     RFC 5322 3.6.6, the most recent block alone), for `-t`;
 *   - completes addresses without a domain by `domain`, where that is set;
 *   - replaces From by `from` if told so, or if there is no address in it (what there is becomes
 *     its display name); adds From, Date and Message-ID where they are missing, Sender to a From
 *     with several addresses, "To: undisclosed-recipients:;" to a message without To and Cc; in the
 *     first block of Resent- fields, Resent-From, -Date and -Message-ID;
 *   - takes an empty From, Sender, Reply-To, To, Cc, Date or Message-ID for one that is missing,
 *     since servers refuse it. They refuse a second one of a kind, too: To next to To, and Cc next
 *     to Cc, become one; another To becomes Cc if there is none yet; and any other second From,
 *     Sender, Reply-To, To, Cc, Subject, Date, Message-ID, In-Reply-To, References or MIME-Version
 *     becomes X-Duplicate-From and so on;
 *   - encodes 8-bit text in unstructured fields, display names and comments as RFC 2047 encoded
 *     words, and in parameters by RFC 2231: as UTF-8, or as ISO-8859-1 if it is none. Encoded words
 *     that are there stay. 8-bit characters in an address itself stay too;
 *   - folds lines above 998 octets, and drops continuation lines of blanks alone; NUL, CR that ends
 *     no line and other control characters but tab become spaces; blanks before the ':' go;
 *   - begins the body, with an empty line in front, at the first line that is no field; only an
 *     empty line and the end of the input end the header otherwise.
 *
 * Line ends: LF or CRLF is understood, line by line. The header is written with those of the
 * message's first line (a message with CRLF throughout stays so), LF if it has none.
 *
 * The message is streamed. A field is held up to MESSAGE_FIELD_BYTES; a longer one is written in
 * pieces, with all of the above; only From has to be shorter to be looked at as a whole.
 *
 *     message_init(&message, &params);
 *     loop: size = message_push(&message, in, in_size)      takes input
 *           message_read(&message, out, room)                gives output until it returns 0
 *     message_end(&message); and message_read() again until it returns 0
 *
 * Cost: sizeof(struct message), some 14 KB: for hosted systems. Call from one context only.
 */
#ifndef TOCSIN_NET_MESSAGE_H
#define TOCSIN_NET_MESSAGE_H

#include "net/address.h"
#include "net/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MESSAGE_FIELD_BYTES 8192

/* Where an address stood. */
enum message_field { MESSAGE_TO, MESSAGE_CC, MESSAGE_BCC, MESSAGE_FROM, MESSAGE_SENDER };

/* Borrowed until the last read. Strings may be NULL or "": what needs them is left out then.
 * Nothing in them can end a header line. */
struct message_params {
    const char *from;       /* addr-spec for a From that is missing. */
    const char *from_name;  /* Its display name, UTF-8; at most 199 bytes are taken. */
    bool from_name_forced;  /* `-F`: also into a From that is there, with one address. */
    bool from_override;     /* From is replaced by from and from_name. */
    const char *domain;     /* Of addresses in From, To, Cc ... that have none; NULL: left alone. */
    const char *message_id; /* Without brackets; for one that is missing. */
    uint64_t unix_s;        /* Date, if it is missing; 0: no clock, the server adds it. */
    int32_t zone_minutes;   /* Its zone. */
    bool keep_bcc;          /* For a message whose header is not to be touched. */
    /* One address of From, To, Cc, Bcc or Sender, as it stands in the message; resent: of the
     * Resent- field in the first block. Called by message_read(). May be NULL. */
    void (*found)(void *context, enum message_field field, bool resent, const char *address);
    void *context;
};

/* What was seen; complete when, after message_end(), message_read() has given all. */
struct message_seen {
    bool has_to, has_resent; /* Any recipient field; any Resent- field. */
    bool eight_bit;          /* Bytes above 127 are left in the header: in an address (RFC 6531). */
    unsigned bad_addresses;  /* In To, Cc and Bcc; that could not be understood. */
    bool message_id_given;   /* The message brought its own: */
    char message_id[256];    /* that one (Resent- if it is resent), without brackets. */
};

#include "net/message_state.h" /* struct message; private. */

void message_init(struct message *message, const struct message_params *params);

/* Takes some of size bytes; returns how many. 0: read first. */
size_t message_push(struct message *message, const uint8_t *bytes, size_t size);

/* The input is over. */
void message_end(struct message *message);

/* Up to size bytes of output; 0: none now. */
size_t message_read(struct message *message, uint8_t *out, size_t size);

const struct message_seen *message_seen(const struct message *message);

#endif
