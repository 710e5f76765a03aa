/* fetch_header.h - what `tocsin poll` wants to know of a message's header while it passes: who sent
 * it, its Message-ID, and a hash by which it is known where the server has no unique ids.
 *
 * The hash leaves out what servers and readers add (Status, X-UID, ...). Lines may end in LF or
 * CRLF. Nothing is kept but the beginning of three values.
 */
#ifndef TOCSIN_BOARDS_LINUX_FETCH_HEADER_H
#define TOCSIN_BOARDS_LINUX_FETCH_HEADER_H

#include "net/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FETCH_VALUE_BYTES 256

enum { FETCH_RETURN_PATH, FETCH_FROM, FETCH_MESSAGE_ID, FETCH_FIELDS };

struct fetch_header {
    bool over;       /* The empty line has come. */
    bool line_start; /* The next byte begins a line. */
    bool in_name;    /* Of a field, which stands in name. */
    bool left_out;   /* The field in hand is not hashed. */
    uint8_t field;   /* FETCH_*, of the value in hand; FETCH_FIELDS: none. */
    uint8_t name_size;
    uint16_t sizes[FETCH_FIELDS];
    struct digest_sha256 hash;
    char name[24];
    char values[FETCH_FIELDS][FETCH_VALUE_BYTES];
};

void fetch_header_begin(struct fetch_header *header);
void fetch_header_push(struct fetch_header *header, const uint8_t *bytes, size_t size);

/* The address that the message came from: of Return-Path, else of From; "MAILER-DAEMON" where there
 * is none. Printable, without blanks. */
void fetch_header_sender(const struct fetch_header *header, char *out, size_t size);

/* The Message-ID, printable; "" if there is none. */
void fetch_header_id(const struct fetch_header *header, char *out, size_t size);

/* A uid made of the hash: '=' and 32 hexadecimal digits. */
void fetch_header_uid(const struct fetch_header *header, char out[34]);

#endif
