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

void base64_end(struct base64 *base64)
{
    unsigned pad = 3 - base64->count;

    if (base64->count > 0) {
        base64->bits <<= 8 * pad;
        put_group(base64, pad);
    }
}
