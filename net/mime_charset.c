#include "net/mime_private.h"
#include "net/text.h"

#include <string.h>

/* 0x80 to 0x9F. */
static const uint16_t windows_1252[32] = {
    0x20AC, 0xFFFD, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
    0x2039, 0x0152, 0xFFFD, 0x017D, 0xFFFD, 0xFFFD, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
    0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0xFFFD, 0x017E, 0x0178,
};

/* 0x80 to 0xBF; what follows is U+0410 and on. */
static const uint16_t windows_1251[64] = {
    0x0402, 0x0403, 0x201A, 0x0453, 0x201E, 0x2026, 0x2020, 0x2021, 0x20AC, 0x2030, 0x0409,
    0x2039, 0x040A, 0x040C, 0x040B, 0x040F, 0x0452, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
    0x2013, 0x2014, 0xFFFD, 0x2122, 0x0459, 0x203A, 0x045A, 0x045C, 0x045B, 0x045F, 0x00A0,
    0x040E, 0x045E, 0x0408, 0x00A4, 0x0490, 0x00A6, 0x00A7, 0x0401, 0x00A9, 0x0404, 0x00AB,
    0x00AC, 0x00AD, 0x00AE, 0x0407, 0x00B0, 0x00B1, 0x0406, 0x0456, 0x0491, 0x00B5, 0x00B6,
    0x00B7, 0x0451, 0x2116, 0x0454, 0x00BB, 0x0458, 0x0405, 0x0455, 0x0457,
};

/* 0x80 to 0xBF. */
static const uint16_t koi8_r[64] = {
    0x2500, 0x2502, 0x250C, 0x2510, 0x2514, 0x2518, 0x251C, 0x2524, 0x252C, 0x2534, 0x253C,
    0x2580, 0x2584, 0x2588, 0x258C, 0x2590, 0x2591, 0x2592, 0x2593, 0x2320, 0x25A0, 0x2219,
    0x221A, 0x2248, 0x2264, 0x2265, 0x00A0, 0x2321, 0x00B0, 0x00B2, 0x00B7, 0x00F7, 0x2550,
    0x2551, 0x2552, 0x0451, 0x2553, 0x2554, 0x2555, 0x2556, 0x2557, 0x2558, 0x2559, 0x255A,
    0x255B, 0x255C, 0x255D, 0x255E, 0x255F, 0x2560, 0x2561, 0x0401, 0x2562, 0x2563, 0x2564,
    0x2565, 0x2566, 0x2567, 0x2568, 0x2569, 0x256A, 0x256B, 0x256C, 0x00A9,
};

/* 0xC0 to 0xDF less U+0400; the same with 0x20 taken off are the capitals at 0xE0 to 0xFF. */
static const uint8_t koi8_letters[32] = {
    0x4E, 0x30, 0x31, 0x46, 0x34, 0x35, 0x44, 0x33, 0x45, 0x38, 0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E,
    0x3F, 0x4F, 0x40, 0x41, 0x42, 0x43, 0x36, 0x32, 0x4C, 0x4B, 0x37, 0x48, 0x4D, 0x49, 0x47, 0x4A,
};

/* What differs: byte, and the character less U+0400 (RFC 2319). */
static const uint8_t koi8_u[][2] = {
    {0xA4, 0x54}, {0xA6, 0x56}, {0xA7, 0x57}, {0xAD, 0x91},
    {0xB4, 0x04}, {0xB6, 0x06}, {0xB7, 0x07}, {0xBD, 0x90},
};

static const struct {
    uint8_t byte;
    uint16_t character;
} iso_8859_15[] = {
    {0xA4, 0x20AC}, {0xA6, 0x0160}, {0xA8, 0x0161}, {0xB4, 0x017D},
    {0xB8, 0x017E}, {0xBC, 0x0152}, {0xBD, 0x0153}, {0xBE, 0x0178},
};

uint8_t mime_charset_find(const char *name, size_t size)
{
    /* Letters and digits alone: there are too many ways to punctuate. */
    static const char names[] = "utf8\0usascii\0ascii\0"
                                "iso88591\0latin1\0windows1252\0cp1252\0"
                                "iso885915\0latin9\0"
                                "windows1251\0cp1251\0"
                                "koi8r\0koi8u\0";
    static const uint8_t ids[] = {
        CHARSET_UNKNOWN,      CHARSET_UTF8,         CHARSET_UTF8,         CHARSET_UTF8,
        CHARSET_WINDOWS_1252, CHARSET_WINDOWS_1252, CHARSET_WINDOWS_1252, CHARSET_WINDOWS_1252,
        CHARSET_ISO_8859_15,  CHARSET_ISO_8859_15,  CHARSET_WINDOWS_1251, CHARSET_WINDOWS_1251,
        CHARSET_KOI8_R,       CHARSET_KOI8_U,
    };
    char bare[16];
    struct text text = text_begin(bare, sizeof bare);

    for (size_t i = 0; i < size && name[i] != '*'; i++) { /* Then a language (RFC 2231 5). */
        char lower = (char)(name[i] | 0x20);

        if ((lower >= 'a' && lower <= 'z') || (name[i] >= '0' && name[i] <= '9')) {
            text_add_char(&text, lower);
        }
    }
    return text.cut ? CHARSET_UNKNOWN : ids[mime_find(names, bare)];
}

static uint32_t cyrillic(uint8_t id, uint8_t byte)
{
    if (id == CHARSET_WINDOWS_1251) {
        return byte < 0xC0 ? windows_1251[byte - 0x80] : 0x410u + byte - 0xC0u;
    }
    if (byte >= 0xC0) {
        return 0x400u + koi8_letters[byte & 31] - (byte & 0x20u);
    }
    for (unsigned i = 0; i < sizeof koi8_u / sizeof koi8_u[0] && id == CHARSET_KOI8_U; i++) {
        if (koi8_u[i][0] == byte) {
            return 0x400u + koi8_u[i][1];
        }
    }
    return koi8_r[byte - 0x80];
}

/* A byte of 0x80 or more in a charset of one byte a character. */
static uint32_t high_half(uint8_t id, uint8_t byte)
{
    switch (id) {
    case CHARSET_WINDOWS_1252:
        return byte < 0xA0 ? windows_1252[byte - 0x80] : byte;
    case CHARSET_ISO_8859_15:
        for (unsigned i = 0; i < sizeof iso_8859_15 / sizeof iso_8859_15[0]; i++) {
            if (iso_8859_15[i].byte == byte) {
                return iso_8859_15[i].character;
            }
        }
        return byte;
    case CHARSET_UNKNOWN:
        return MIME_REPLACEMENT;
    default:
        return cyrillic(id, byte);
    }
}

/* The first byte of a sequence (RFC 3629 section 4). The second one's bounds keep out what is
 * longer than it need be, surrogates, and what is above the last code point. */
static unsigned utf8_first(struct mime_charset *charset, uint8_t byte, uint32_t *out)
{
    charset->low = byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80;
    charset->high = byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF;
    charset->left = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
    charset->value = byte & (0x3Fu >> charset->left);
    if (byte >= 0xC2 && byte <= 0xF4) {
        return 0;
    }
    charset->left = 0;
    *out = byte < 0x80 ? byte : MIME_REPLACEMENT;
    return 1;
}

unsigned mime_charset_add(struct mime_charset *charset, uint8_t byte, uint32_t out[2])
{
    if (charset->id != CHARSET_UTF8) {
        out[0] = byte < 0x80 ? byte : high_half(charset->id, byte);
        return 1;
    }
    if (charset->left == 0) {
        return utf8_first(charset, byte, &out[0]);
    }
    if (byte < charset->low || byte > charset->high) {
        out[0] = MIME_REPLACEMENT; /* For what began, as Unicode's chapter 3.9 has it. */
        return 1 + utf8_first(charset, byte, &out[1]);
    }
    charset->low = 0x80;
    charset->high = 0xBF;
    charset->value = charset->value << 6 | (byte & 0x3Fu);
    out[0] = charset->value;
    return --charset->left == 0;
}

unsigned mime_charset_end(struct mime_charset *charset, uint32_t out[2])
{
    unsigned count = charset->left > 0;

    charset->left = 0;
    out[0] = MIME_REPLACEMENT;
    return count;
}

size_t mime_utf8(uint32_t character, char out[4])
{
    size_t size = character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;

    for (size_t i = size - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (character & 0x3F));
        character >>= 6;
    }
    out[0] = (char)(size == 1 ? character : (0xF00u >> size & 0xFF) | character);
    return size;
}
