/* message.h - what a submission program does to the header of a message (RFC 5322, RFC 6409 8).
 *
 * A filter between a message as a program wrote it and the message as it is queued, in pieces of
 * any size. It takes LF or CRLF line ends, and writes LF in the header; behind the header's end
 * every byte passes as it is. It
 *
 *   - takes Bcc and Resent-Bcc out; takes out Return-Path, and a leading mbox "From " line;
 *   - tells every address of To, Cc, Bcc (or of Resent-To, -Cc, -Bcc if there is any Resent- field:
 *     RFC 5322 3.6.6, the most recent block alone), for `-t`;
 *   - completes addresses without a domain by `domain`, where rewriting is asked for;
 *   - replaces From by `from` if told so; adds From, Date, Message-ID and To where they are missing
 *     (as Resent-From, -Date, -Message-ID in a message with Resent- fields that lack them);
 *   - encodes 8-bit text in unstructured fields and display names as RFC 2047 encoded words: UTF-8,
 *     or ISO-8859-1 for bytes that are none; folds lines that RFC 5322 2.1.1 does not allow;
 *   - begins with a body when the first line is no header field: then an empty line comes first.
 *
 * The message is streamed; only one field at a time is held, and of one that is longer than
 * MESSAGE_FIELD_BYTES the rest passes as it is (addresses are still told).
 *
 *     message_init(&message, &params);
 *     loop: size = message_push(&message, in, in_size)      takes input
 *           message_read(&message, out, room)                gives output until it returns 0
 *     message_end(&message); and message_read() again until it returns 0
 *
 * Cost: sizeof(struct message), some 20 KB: for hosted systems. Call from one context only.
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

/* Borrowed until the last read. */
struct message_params {
    const char *from;       /* addr-spec for a From that is missing. */
    const char *from_name;  /* Its display name, UTF-8, or "". */
    bool from_name_forced;  /* `-F`: also into a From that is there. */
    bool from_override;     /* From is replaced by from and from_name. */
    const char *domain;     /* Of addresses in From, To, Cc ... that have none; NULL: left alone. */
    const char *message_id; /* Without brackets; for one that is missing. */
    uint64_t unix_s;        /* Date, if it is missing. */
    int32_t zone_minutes;   /* Its zone. */
    bool keep_bcc;          /* For a message whose header is not to be touched. */
    /* One address of From, To, Cc, Bcc or Sender, as it stands in the message; resent: of the
     * Resent- field. May be NULL. */
    void (*found)(void *context, enum message_field field, bool resent, const char *address);
    void *context;
};

/* What was seen, complete after message_end(). */
struct message_seen {
    bool has_to, has_resent; /* Any recipient field; any Resent- field. */
    unsigned bad_addresses;  /* That could not be understood. */
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
