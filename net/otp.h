/* otp.h - one-time passwords: RFC 2289 with SHA-1 ("otp-sha1", S/Key and OPIE).
 *
 * A response is 64 bits, written as six words of the RFC's dictionary (its last two bits are a
 * checksum) or as 16 hexadecimal digits. The one with number n is good if hashing it once gives the
 * one with number n + 1, which is all that the device keeps. Cost: the dictionary takes 2 KB
 * of flash, and to read six words some 10^7 instructions; no state.
 */
#ifndef TOCSIN_NET_OTP_H
#define TOCSIN_NET_OTP_H

#include "net/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OTP_BYTES 8
#define OTP_SEED_MAX 16 /* RFC 2289 section 6: 1 to 16 letters and digits. */
#define OTP_SEQUENCE_MAX 9999
#define OTP_WORDS 6
#define OTP_TEXT_BYTES 30 /* Six words of up to four letters, blanks and NUL. */

/* One step of the chain: SHA-1, folded to 64 bits (RFC 2289 appendix A). */
void otp_step(const uint8_t in[OTP_BYTES], uint8_t out[OTP_BYTES]);

/* The response number `sequence`: seed (made lower case) and pass phrase are hashed, then stepped
 * that often. For tools and tests; the device never sees a pass phrase. E_INVALID: the seed, or a
 * phrase of fewer than 10 or more than 63 characters. */
MUST_CHECK int otp_make(const char *seed, const char *phrase, uint32_t sequence,
                        uint8_t out[OTP_BYTES]);

/* Reads a response from text: six words, or hexadecimal digits, in any case, blanks ignored between
 * them; other dictionaries are not taken. Returns how many bytes of text it took; E_INVALID: no
 * response begins there, or its checksum is wrong; E_MISSING: it may go on (text ended within it).
 */
MUST_CHECK int otp_read(const char *text, uint8_t out[OTP_BYTES]);

/* The six words. */
void otp_words(const uint8_t response[OTP_BYTES], char out[OTP_TEXT_BYTES]);

/* A seed may be used: 1 to OTP_SEED_MAX ASCII letters and digits. */
bool otp_seed_valid(const char *seed);

#endif
