/* transcode_private.h - what the files of transcode share. Private to net/transcode*.c.
 *
 *     transcode_parse.c    bytes -> lines -> headers, leaves, and what stands between them
 *     transcode_encode.c   quoted-printable, base64, encoded words, and mending of each
 *     transcode.c          the two passes: what each part needs; its header; its body
 */
#ifndef TOCSIN_NET_TRANSCODE_PRIVATE_H
#define TOCSIN_NET_TRANSCODE_PRIVATE_H

#include "net/transcode.h"

/* Where a line stands. */
enum transcode_place {
    PLACE_HEADER,  /* Of the message, or of a part. */
    PLACE_LEAF,    /* In the body of a part that has no parts. */
    PLACE_BETWEEN, /* Before the first boundary, behind the last, or on one. */
};

enum transcode_type {
    TYPE_TEXT,      /* Lines: text, and what is nearly text. */
    TYPE_BINARY,    /* Bytes. */
    TYPE_MULTIPART, /* Of more depth than there is, or without a boundary, it is bytes. */
    TYPE_MESSAGE,   /* message/rfc822 that is not encoded: its parts are encoded, not itself. */
};

enum transcode_encoding {
    TRANSFER_SEVEN, /* 7bit; also none, and what nobody knows. */
    TRANSFER_EIGHT,
    TRANSFER_BINARY,
    TRANSFER_QUOTED,
    TRANSFER_BASE64,
    TRANSFER_OTHER, /* Somebody's own, such as x-uuencode. */
};

/* Fields that matter. */
enum transcode_field { FIELD_PLAIN, FIELD_TYPE, FIELD_ENCODING, FIELD_VERSION };

/* What is told, in the message's order; all bytes of the message are told once. */
enum transcode_event {
    EVENT_HEADER,     /* A piece of a header line. */
    EVENT_FIELD,      /* A whole field, FIELD_TYPE or FIELD_ENCODING, with its line ends. */
    EVENT_HEADER_END, /* The empty line, or none of it where it is missing. */
    EVENT_NO_BODY,    /* The header ends, and with it the part. */
    EVENT_BETWEEN,    /* A piece of a line with its line end. */
    EVENT_LEAF,       /* A piece of a line without its line end, */
    EVENT_LEAF_EOL,   /* which follows: LF or CRLF. */
    EVENT_LEAF_END,   /* The part has ended; with size 1 at the message's end. */
};

/* What the first pass finds out about a part; of those beyond TRANSCODE_PARTS nothing is known. */
enum {
    PLAN_EIGHT = 1,   /* It is not encoded, and has bytes above 127; */
    PLAN_LATIN = 2,   /* they are no UTF-8. */
    PLAN_HARD = 4,    /* It is not encoded, and no server takes it as it is. */
    PLAN_CRLF = 8,    /* It is not encoded, and has lines that end in CRLF, */
    PLAN_LF = 16,     /* or is no text either, and has lines that end in a lone LF. */
    PLAN_BASE64 = 32, /* If it is encoded, then so. */
    PLAN_MEND = 64,   /* It is encoded, and holds what does not belong there. */
    PLAN_KNOWN = 128,
};

/* What becomes of a leaf. */
enum transcode_action {
    ACTION_COPY,
    ACTION_QUOTED,
    ACTION_BASE64,
    ACTION_MEND_QUOTED,
    ACTION_MEND_BASE64,
    ACTION_MEND_OTHER,
};

/* Told by the parser; in transcode.c, by context. */
typedef void transcode_told(struct transcode_parser *parser, enum transcode_event event,
                            const uint8_t *bytes, size_t size);

void transcode_parser_init(struct transcode_parser *parser, void *context);

/* Takes some of size bytes, at most to the end of a line; tells at most what a held field and a
 * piece are. Returns how many. */
size_t transcode_parser_push(struct transcode_parser *parser, const uint8_t *bytes, size_t size,
                             transcode_told *told);
void transcode_parser_end(struct transcode_parser *parser, transcode_told *told);

/* Whether the part's body is a leaf that no encoding hides. */
static inline bool transcode_is_open_leaf(const struct transcode_parser *parser)
{
    return parser->type <= TYPE_BINARY && parser->encoding <= TRANSFER_BINARY;
}

/* Where the value of Content-Type's parameter `charset` stands in a field as it is written.
 * false: there is none. */
bool transcode_charset_find(const uint8_t *field, size_t size, size_t *at, size_t *length);

void transcode_utf8_add(struct transcode_utf8 *utf8, uint8_t byte);

/* Output. eol: the message's line end. */
void transcode_put(struct transcode *transcode, const void *bytes, size_t size);
void transcode_put_string(struct transcode *transcode, const char *string);
void transcode_put_eol(struct transcode *transcode);

/* A piece of a header: bytes above 127 become encoded words, long lines are folded. */
void transcode_put_header(struct transcode *transcode, const uint8_t *bytes, size_t size);

/* A piece of what no encoding is said of: bytes that may not stay become "=C3"; in a header NUL and
 * CR a space. */
void transcode_put_between(struct transcode *transcode, bool is_header, const uint8_t *bytes,
                           size_t size);

/* A leaf begins; bytes of it, a line end of it (LF or CRLF), its end. */
void transcode_leaf_begin(struct transcode *transcode);
void transcode_leaf_add(struct transcode *transcode, const uint8_t *bytes, size_t size);
void transcode_leaf_eol(struct transcode *transcode, const uint8_t *bytes, size_t size);
void transcode_leaf_end(struct transcode *transcode, bool at_end);

#endif
