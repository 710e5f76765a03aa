/* mime_private.h - what the files of mime share. Private to net/mime*.c.
 *
 *     bytes -> lines and boundaries (mime.c) -> header fields (mime_field.c) -> sink
 *                    \-> transfer encoding -> charset (mime_charset.c) -> flowed (mime_text.c)
 *                                                  or HTML (mime_html.c) -> text -> sink
 *
 * Each stage takes one byte or character at a time, so that it does not matter how the message was
 * cut into pieces.
 */
#ifndef TOCSIN_NET_MIME_PRIVATE_H
#define TOCSIN_NET_MIME_PRIVATE_H

#include "net/mime.h"

#define MIME_REPLACEMENT 0xFFFDu

/* What the bytes of the part are for. */
enum mime_mode {
    MODE_HEADER,   /* The header of the message or of a part. */
    MODE_SKIP,     /* Nothing. */
    MODE_TEXT,     /* The text that a person reads. */
    MODE_REPORT,   /* Fields of message/delivery-status. */
    MODE_ORIGINAL, /* The header of the message that is returned. */
};

enum mime_encoding {
    ENCODING_NONE, /* 7bit, 8bit, binary, and what is not known. */
    ENCODING_QUOTED,
    ENCODING_WORD, /* The Q of encoded words: quoted-printable in which "_" is a space. */
    ENCODING_BASE64,
};

enum mime_charset_id {
    CHARSET_UTF8,         /* US-ASCII too, and when none is said. */
    CHARSET_WINDOWS_1252, /* ISO-8859-1 too: who says that often means this. */
    CHARSET_ISO_8859_15,
    CHARSET_WINDOWS_1251,
    CHARSET_KOI8_R,
    CHARSET_KOI8_U,
    CHARSET_UNKNOWN,
};

/* The number from 1 of a name in a list such as "red\0green\0", whatever its case; 0: not there. */
unsigned mime_find(const char *list, const char *name);

/* Undoes a transfer encoding; line ends are LF. Gives how many bytes were written to out. */
#define MIME_TRANSFER_BYTES 36
size_t mime_transfer_add(struct mime_transfer *transfer, char c, char out[MIME_TRANSFER_BYTES]);
size_t mime_transfer_end(struct mime_transfer *transfer, char out[MIME_TRANSFER_BYTES]);

/* By name (RFC 2978), whatever its case and punctuation; it ends at size, or at "*". */
uint8_t mime_charset_find(const char *name, size_t size);

/* Reads a charset; gives how many characters came of that byte, and of the end. */
unsigned mime_charset_add(struct mime_charset *charset, uint8_t byte, uint32_t out[2]);
unsigned mime_charset_end(struct mime_charset *charset, uint32_t out[2]);

/* The character as UTF-8; gives its size. */
size_t mime_utf8(uint32_t character, char out[4]);

/* A header begins; then its bytes, lines ended by LF; then its end, if no empty line told it. */
void mime_field_begin(struct mime *mime);
void mime_field_add(struct mime *mime, char c);
void mime_field_end(struct mime *mime);

/* In mime.c: a field is complete in name and value; the header has ended. */
void mime_field_done(struct mime *mime);
void mime_header_done(struct mime *mime);

/* The value of a parameter of a field such as Content-Type (RFC 2045 5.1, RFC 2231 3); false: there
 * is none, or it is longer than size less one, and out is "". */
bool mime_parameter(const char *value, const char *name, char *out, size_t size);

/* The text of the part begins; bytes of it, behind the transfer encoding; its end. */
void mime_text_begin(struct mime *mime);
void mime_text_add(struct mime *mime, char c);
void mime_text_end(struct mime *mime);

/* A character of the text as it is told. */
void mime_text_put(struct mime *mime, uint32_t character);

/* The marks at the beginning of a quoted line. */
void mime_text_quote(struct mime *mime, unsigned depth, bool empty);

/* A character of the page. */
void mime_html_add(struct mime *mime, uint32_t character);
void mime_html_end(struct mime *mime);

#endif
