/* text.h - bounded text building without the printf family.
 *
 *     struct text t = text_begin(buf, sizeof buf);
 *     text_add(&t, "code "); text_add_u32(&t, 550); ... buf is always NUL-terminated
 *
 * What does not fit is left out and remembered in `cut`. Cost: none but the object.
 */
#ifndef TOCSIN_NET_TEXT_H
#define TOCSIN_NET_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
    char *bytes;
    size_t size;   /* Of the buffer, with room for NUL; at least 1. */
    size_t length; /* Without NUL. */
    bool cut;
};

struct text text_begin(char *bytes, size_t size);
void text_add(struct text *text, const char *string);
void text_add_bytes(struct text *text, const char *bytes, size_t size);
void text_add_char(struct text *text, char c);
void text_add_u32(struct text *text, uint32_t value);
void text_add_pad(struct text *text, uint32_t value, unsigned digits); /* Leading zeros. */
void text_add_hex(struct text *text, uint32_t value, unsigned digits);
void text_add_ipv4(struct text *text, uint32_t address_be); /* Network byte order. */

/* Like printf, of which it knows %s %c %u %02u %03u %%: a call costs less code than its parts.
 */
void text_format(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_format_list(struct text *text, const char *format, va_list list)
    __attribute__((format(printf, 2, 0)));

/* The same over a whole buffer; returns the length. */
size_t text_print(char *out, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* One character of what came from outside, as it may be shown: takes a UTF-8 sequence (RFC 3629),
 * or one byte that begins none, from bytes (size of at least 1) and returns how many bytes that
 * were. *shown is the character itself, borrowed from bytes; a space for a control character, a
 * line separator or one that turns the direction of writing; U+FFFD for a byte that is no UTF-8. */
size_t text_char(const char *bytes, size_t size, const char **shown, size_t *shown_size);

/* Appends such characters: nothing from a peer can steer a terminal or end a line. Cut between
 * characters. */
void text_add_printable(struct text *text, const char *bytes, size_t size);

/* Whole seconds of a time in milliseconds, for results below 2^32. A 64-bit division would take 700
 * bytes of library on a Cortex-M3, and nothing else here wants one. */
uint32_t text_seconds(uint64_t ms);

/* "2026-11-21 22:05:54" for seconds since 1970 plus zone. */
void text_add_time(struct text *text, uint64_t unix_s, int32_t zone_minutes);

/* Bounded copy that always terminates; true when the whole string fitted. */
bool text_copy(char *out, size_t size, const char *string);

/* Decimal digits only, no sign, all of the string. false: not a number, or above max. */
bool text_parse_u32(const char *string, uint32_t max, uint32_t *value);

/* Dotted quad to network byte order; false: not exactly that. */
bool text_parse_ipv4(const char *string, uint32_t *address_be);

/* The string of that number in a list such as "red\0green\0blue": a table without pointers. */
const char *text_item(const char *list, size_t index);

/* ASCII case ignored, whatever the locale. */
bool text_equal_nocase(const char *a, const char *b);
bool text_starts_nocase(const char *string, const char *prefix);

/* Civil date of a day count since 1970-01-01 (proleptic Gregorian, UTC). */
struct text_date {
    uint16_t year;
    uint8_t month, day, hour, minute, second, weekday; /* month 1..12; weekday 0 = Sunday. */
};
struct text_date text_date(uint64_t unix_s, int32_t zone_minutes);

#endif
