/* fuzz_mailed.c - a mail's text as an order. The first byte is the size of the pieces that it comes
 * in; its uppermost bit leaves the keys out. */
#include "net/mailed.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The corpus is signed with this key. */
static const uint8_t key[DIGEST_KEY_BYTES] = "an HMAC key of thirty-two bytes.";
static size_t text_bytes;

static void count(void *context, const char *bytes, size_t size)
{
    (void)context;
    if (size == 0 || bytes == NULL) {
        abort();
    }
    text_bytes += size;
}

static void read_order(struct mailed *mailed, const struct mailed_keys *keys, const uint8_t *data,
                       size_t size, size_t piece)
{
    text_bytes = 0;
    mailed_init(mailed, keys);
    for (size_t at = 0; at < size; at += piece) {
        mailed_push(mailed, (const char *)data + at, size - at < piece ? size - at : piece);
    }
    mailed_end(mailed);
}

/* What holds of every order. */
static void check(const struct mailed *mailed)
{
    size_t length = strnlen(mailed->command, sizeof mailed->command);
    size_t device = strnlen(mailed->device, sizeof mailed->device);

    if (length == sizeof mailed->command || device == sizeof mailed->device ||
        (mailed->proof == MAILED_REFUSED) != (mailed->why != NULL) ||
        (mailed->proof == MAILED_REFUSED) != (mailed->error < 0)) {
        abort();
    }
    if (mailed->proof == MAILED_SIGNED &&
        (mailed->counter == 0 || device != sizeof mailed->device - 1 ||
         text_bytes != mailed->text_bytes || text_bytes > MAILED_TEXT_MAX)) {
        abort();
    }
    if (mailed->proof == MAILED_SIGNED || mailed->proof == MAILED_OTP) {
        if (length == 0 || mailed->command[0] == ' ' || mailed->command[length - 1] == ' ' ||
            strstr(mailed->command, "  ") != NULL) {
            abort();
        }
        for (size_t i = 0; i < length; i++) {
            if ((uint8_t)mailed->command[i] < ' ' || mailed->command[i] == 0x7F) {
                abort();
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct mailed mailed, whole;
    const struct mailed_keys none = {.hmac = NULL};
    const struct mailed_keys all = {.hmac = key, .otp = true, .text = count};
    const struct mailed_keys *keys = size > 0 && data[0] >= 0x80 ? &none : &all;
    size_t piece;

    if (size < 1) {
        return 0;
    }
    piece = (data[0] & 0x7F) == 0 ? size : data[0] & 0x7Fu;
    read_order(&whole, keys, data + 1, size - 1, size);
    check(&whole);
    read_order(&mailed, keys, data + 1, size - 1, piece);
    check(&mailed);
    if (mailed.proof != whole.proof || mailed.counter != whole.counter ||
        strcmp(mailed.command, whole.command) != 0 ||
        memcmp(mailed.hash, whole.hash, sizeof whole.hash) != 0) {
        abort();
    }
    return 0;
}
