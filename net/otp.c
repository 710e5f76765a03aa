#include "net/otp.h"

#include "net/digest.h"
#include "net/otp_dictionary.h"

#include <string.h>

#define PHRASE_MIN 10 /* RFC 2289 section 6. */
#define PHRASE_MAX 63
#define WORD_BITS 11

/* SHA-1's five numbers are folded to two, whose bytes go out in little-endian order. */
static void fold(const void *bytes, size_t size, uint8_t out[OTP_BYTES])
{
    uint8_t hash[DIGEST_SHA1_BYTES];

    digest_sha1(bytes, size, hash);
    for (unsigned i = 0; i < OTP_BYTES; i++) {
        unsigned from = i ^ 3; /* SHA-1's own bytes are in big-endian order. */

        out[i] = hash[from] ^ hash[from + 8] ^ (from < 4 ? hash[from + 16] : 0);
    }
}

void otp_step(const uint8_t in[OTP_BYTES], uint8_t out[OTP_BYTES])
{
    fold(in, OTP_BYTES, out);
}

static bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool otp_seed_valid(const char *seed)
{
    size_t size = 0;

    while (is_letter(seed[size]) || is_digit(seed[size])) {
        size++;
    }
    return seed[size] == '\0' && size >= 1 && size <= OTP_SEED_MAX;
}

int otp_make(const char *seed, const char *phrase, uint32_t sequence, uint8_t out[OTP_BYTES])
{
    char text[OTP_SEED_MAX + PHRASE_MAX];
    size_t size = strlen(phrase);
    size_t seed_size = strlen(seed);

    if (!otp_seed_valid(seed) || size < PHRASE_MIN || size > PHRASE_MAX) {
        return E_INVALID;
    }
    for (size_t i = 0; i < seed_size; i++) {
        text[i] = (char)(seed[i] >= 'A' && seed[i] <= 'Z' ? seed[i] - 'A' + 'a' : seed[i]);
    }
    memcpy(text + seed_size, phrase, size);
    fold(text, seed_size + size, out);
    for (uint32_t i = 0; i < sequence; i++) {
        otp_step(out, out);
    }
    return 0;
}

/* The sum of all pairs of bits (RFC 2289 section 6, "Form of Output"); its last two count. */
static unsigned checksum(const uint8_t response[OTP_BYTES])
{
    unsigned sum = 0;

    for (unsigned i = 0; i < OTP_BYTES; i++) {
        for (unsigned shift = 0; shift < 8; shift += 2) {
            sum += (unsigned)response[i] >> shift & 3u;
        }
    }
    return sum & 3u;
}

/* Takes a word's letters from *text, capital, NULs behind them. -1: none of the dictionary. */
static int take_word(const char **text)
{
    char word[OTP_WORD_LETTERS] = {0};
    size_t size = 0;

    for (; is_letter(**text); (*text)++) {
        if (size == sizeof word) {
            return -1;
        }
        word[size++] = (char)(**text & ~0x20);
    }
    if (size == 0 || (!is_blank(**text) && **text != '\0')) {
        return -1;
    }
    return otp_dictionary_find(word);
}

static void skip_blanks(const char **text)
{
    while (is_blank(**text)) {
        (*text)++;
    }
}

static int read_words(const char *text, uint8_t out[OTP_BYTES])
{
    const char *at = text;
    uint8_t bytes[OTP_BYTES + 1] = {0}; /* 66 bits: the response and its checksum. */

    for (unsigned i = 0; i < OTP_WORDS; i++) {
        int number;

        skip_blanks(&at);
        if (*at == '\0') {
            return E_MISSING;
        }
        number = take_word(&at);
        if (number < 0) {
            return E_INVALID;
        }
        for (unsigned bit = 0; bit < WORD_BITS; bit++) {
            if (((unsigned)number >> (WORD_BITS - 1 - bit) & 1u) != 0) {
                unsigned place = i * WORD_BITS + bit;

                bytes[place / 8] |= (uint8_t)(0x80u >> place % 8);
            }
        }
    }
    if (bytes[OTP_BYTES] >> 6 != checksum(bytes)) {
        return E_INVALID;
    }
    memcpy(out, bytes, OTP_BYTES);
    return (int)(at - text);
}

static int read_hex(const char *text, uint8_t out[OTP_BYTES])
{
    const char *at = text;

    for (unsigned i = 0; i < 2 * OTP_BYTES; i++, at++) {
        unsigned digit;

        skip_blanks(&at);
        if (*at == '\0') {
            return E_MISSING;
        }
        digit = is_digit(*at) ? (unsigned)(*at - '0') : (unsigned)((*at & ~0x20) - 'A') + 10;
        if (digit > 15 || (!is_digit(*at) && !is_letter(*at))) {
            return E_INVALID;
        }
        out[i / 2] = (uint8_t)(i % 2 == 0 ? digit << 4 : out[i / 2] | digit);
    }
    return is_blank(*at) || *at == '\0' ? (int)(at - text) : E_INVALID;
}

int otp_read(const char *text, uint8_t out[OTP_BYTES])
{
    uint8_t hex[OTP_BYTES];
    int words = read_words(text, out);
    int digits;

    if (words >= 0) {
        return words;
    }
    digits = read_hex(text, hex);
    if (digits >= 0) {
        memcpy(out, hex, sizeof hex);
        return digits;
    }
    return words == E_MISSING || digits == E_MISSING ? E_MISSING : E_INVALID;
}

void otp_words(const uint8_t response[OTP_BYTES], char out[OTP_TEXT_BYTES])
{
    uint32_t bits = 0; /* The last of those taken from the response, with its checksum. */
    unsigned taken = 0;
    unsigned count = 0;
    size_t size = 0;

    for (unsigned i = 0; i < OTP_WORDS; i++) {
        char word[OTP_WORD_LETTERS];

        for (; count < WORD_BITS; count += 8, taken++) {
            bits = bits << 8 |
                   (taken < OTP_BYTES ? response[taken] : (uint8_t)(checksum(response) << 6));
        }
        count -= WORD_BITS;
        otp_dictionary_get(bits >> count & (OTP_DICTIONARY_WORDS - 1), word);
        for (unsigned letter = 0; letter < sizeof word && word[letter] != '\0'; letter++) {
            out[size++] = word[letter];
        }
        out[size++] = i < OTP_WORDS - 1 ? ' ' : '\0';
    }
}
