#include "net/base64.h"

struct base64 base64_begin(struct text *text)
{
    struct base64 base64 = {.text = text, .bits = 0, .count = 0};

    return base64;
}

/* Writes the group of three in bits; of its four characters the last `pad` are padding. */
static void put_group(struct base64 *base64, unsigned pad)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (unsigned i = 0; i < 4; i++) {
        text_add_char(base64->text,
                      i < 4 - pad ? alphabet[base64->bits >> (18 - 6 * i) & 63] : '=');
    }
    base64->bits = 0;
    base64->count = 0;
}

void base64_add(struct base64 *base64, const void *bytes, size_t size)
{
    const uint8_t *in = bytes;

    for (size_t i = 0; i < size; i++) {
        base64->bits = base64->bits << 8 | in[i];
        if (++base64->count == 3) {
            put_group(base64, 0);
        }
    }
}

int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int base64_decode(const char *text, void *out, size_t size)
{
    uint8_t *bytes = out;
    uint32_t bits = 0;
    size_t used = 0;
    unsigned count = 0; /* Characters, padding included. */
    int value;

    for (; (value = base64_value(*text)) >= 0; text++, count++) {
        bits = bits << 6 | (unsigned)value;
        if (count % 4 != 0) {
            if (used == size) {
                return E_SPACE;
            }
            bytes[used++] = (uint8_t)(bits >> (6 - 2 * (count % 4)));
        }
    }
    bits &= count % 4 == 2 ? 15 : count % 4 == 3 ? 3 : 0; /* That no byte took. */
    for (; *text == '=' && count % 4 >= 2; text++) {
        count++;
    }
    return *text == '\0' && count % 4 == 0 && bits == 0 ? (int)used : E_INVALID;
}

void base64_end(struct base64 *base64)
{
    unsigned pad = 3 - base64->count;

    if (base64->count > 0) {
        base64->bits <<= 8 * pad;
        put_group(base64, pad);
    }
}
