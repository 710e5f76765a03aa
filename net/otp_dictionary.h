/* otp_dictionary.h - the 2,048 words of RFC 2289 appendix D, packed; for otp.c alone. */
#ifndef TOCSIN_NET_OTP_DICTIONARY_H
#define TOCSIN_NET_OTP_DICTIONARY_H

#define OTP_DICTIONARY_WORDS 2048
#define OTP_WORD_LETTERS 4 /* A shorter word has NULs behind it. */

/* The number of a word, in capital letters; -1: it is none. Takes some 10^6 instructions. */
int otp_dictionary_find(const char word[OTP_WORD_LETTERS]);

/* The word of a number, below OTP_DICTIONARY_WORDS. */
void otp_dictionary_get(unsigned index, char word[OTP_WORD_LETTERS]);

#endif
