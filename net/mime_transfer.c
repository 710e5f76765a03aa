#include "net/mime_private.h"

#define BLANKS_MAX 31 /* Of a run, those that are held back. */

/* The value of a hexadecimal digit, of either case (RFC 2045 6.7 asks to be liberal); -1: none. */
static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int base64_digit(uint8_t c)
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

/* What is not of the alphabet is passed over (RFC 2045 6.8); padding ends a group, and more may
 * follow. */
static size_t base64_add(struct mime_transfer *transfer, char c, char *out)
{
    int digit = base64_digit((uint8_t)c);

    if (c == '=') {
        transfer->count = 0;
    }
    if (digit < 0) {
        return 0;
    }
    transfer->bits = transfer->bits << 6 | (uint32_t)digit;
    transfer->count += 6;
    if (transfer->count < 8) {
        return 0;
    }
    transfer->count -= 8;
    out[0] = (char)(transfer->bits >> transfer->count);
    return 1;
}

/* What was held back is no encoding after all, but stands for itself. */
static size_t quoted_release(struct mime_transfer *transfer, char *out)
{
    size_t size = 0;

    if (transfer->state > 0) {
        out[size++] = '=';
    }
    if (transfer->state > 1) {
        out[size++] = (char)transfer->digit;
    }
    for (unsigned i = 0; i < transfer->count; i++) {
        out[size++] = (transfer->bits >> i & 1) != 0 ? '\t' : ' ';
    }
    transfer->state = 0;
    transfer->count = 0;
    transfer->bits = 0;
    return size;
}

/* Blanks at a line's end were added on the way (RFC 2045 6.7 rule 3), and so is what stands between
 * "=" and the end of the line. */
static size_t quoted_add(struct mime_transfer *transfer, char c, char *out)
{
    bool bare = transfer->state == 1 && transfer->count == 0;
    int digit = hex_digit((uint8_t)c);
    size_t size;

    if (c == '\n') {
        bool soft = transfer->state == 1;

        transfer->count = 0;
        size = soft ? 0 : quoted_release(transfer, out);
        transfer->state = 0;
        transfer->bits = 0;
        if (!soft) {
            out[size++] = c;
        }
        return size;
    }
    if (digit >= 0 && bare) {
        transfer->digit = (uint8_t)c;
        transfer->state = 2;
        return 0;
    }
    if (digit >= 0 && transfer->state == 2) {
        transfer->state = 0;
        out[0] = (char)(16 * hex_digit(transfer->digit) + digit);
        return 1;
    }
    if ((c == ' ' || c == '\t') && transfer->state < 2 && transfer->count < BLANKS_MAX) {
        transfer->bits |= (c == '\t' ? 1u : 0u) << transfer->count;
        transfer->count++;
        return 0;
    }
    size = quoted_release(transfer, out);
    if (c == '=') {
        transfer->state = 1;
    } else {
        out[size++] = c == '_' && transfer->encoding == ENCODING_WORD ? ' ' : c;
    }
    return size;
}

size_t mime_transfer_add(struct mime_transfer *transfer, char c, char out[MIME_TRANSFER_BYTES])
{
    if (transfer->encoding == ENCODING_BASE64) {
        return base64_add(transfer, c, out);
    }
    if (transfer->encoding == ENCODING_NONE) {
        out[0] = c;
        return 1;
    }
    return quoted_add(transfer, c, out);
}

size_t mime_transfer_end(struct mime_transfer *transfer, char out[MIME_TRANSFER_BYTES])
{
    if (transfer->encoding != ENCODING_QUOTED && transfer->encoding != ENCODING_WORD) {
        return 0;
    }
    if (transfer->encoding == ENCODING_QUOTED) { /* The end is that of a line. */
        transfer->state = transfer->state == 1 ? 0 : transfer->state;
        transfer->count = 0;
    }
    return quoted_release(transfer, out);
}
