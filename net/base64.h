/* base64.h - base64 (RFC 4648 section 4), streamed into a bounded text, and back from a short one.
 *
 *     struct base64 base64 = base64_begin(&text);
 *     base64_add(&base64, user, size); ... base64_end(&base64);
 *
 * What does not fit shows in text->cut. Cost: the object, 12 bytes. No line breaks are made.
 */
#ifndef TOCSIN_NET_BASE64_H
#define TOCSIN_NET_BASE64_H

#include "net/error.h"
#include "net/text.h"

#include <stddef.h>
#include <stdint.h>

/* Characters that size bytes become. */
#define BASE64_SIZE(size) (((size) + 2) / 3 * 4)

struct base64 {
    struct text *text;
    uint32_t bits; /* Bytes that wait for a full group of three. */
    unsigned count;
};

struct base64 base64_begin(struct text *text);
void base64_add(struct base64 *base64, const void *bytes, size_t size);
void base64_end(struct base64 *base64); /* Pads the last group. */

/* The six bits that a character stands for; -1: it is none of the alphabet. */
int base64_value(char c);

/* Decodes all of text into out. Returns how many bytes that are; E_INVALID: anything else in it, or
 * a wrong end; E_SPACE. */
MUST_CHECK int base64_decode(const char *text, void *out, size_t size);

#endif
