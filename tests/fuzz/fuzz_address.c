/* fuzz_address.c - an address list. The first byte is the size of the pieces that it comes in. */
#include "net/address.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a list gave: the addresses one behind the other, each with its NUL. */
struct result {
    struct address_list list;
    unsigned bad;
    size_t length;
    char text[70000];
};

static void found(void *context, const char *address)
{
    struct result *result = context;
    size_t size = strlen(address) + 1;

    if (!address_is_valid(address) || size > ADDRESS_BYTES ||
        address_list_behind(&result->list) > result->list.at) {
        abort();
    }
    for (size_t i = 0; i + 1 < size; i++) {
        if ((uint8_t)address[i] < ' ' || address[i] == 0x7F) {
            abort();
        }
    }
    if (size <= sizeof result->text - result->length) {
        memcpy(result->text + result->length, address, size);
        result->length += size;
    }
}

static void parse(struct result *result, const uint8_t *data, size_t size, size_t piece)
{
    result->length = 0;
    address_list_init(&result->list, found, result);
    for (size_t at = 0; at < size; at += piece) {
        address_list_push(&result->list, (const char *)data + at,
                          size - at < piece ? size - at : piece);
    }
    result->bad = address_list_end(&result->list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct result pieces, whole, again;
    static char list[140000];
    size_t length = 0;

    if (size < 1 || size > 10000) {
        return 0;
    }
    parse(&whole, data + 1, size - 1, size);
    parse(&pieces, data + 1, size - 1, data[0] == 0 ? size : data[0]);
    if (whole.bad != pieces.bad || whole.length != pieces.length ||
        memcmp(whole.text, pieces.text, whole.length) != 0) {
        abort();
    }
    /* What was understood is understood again, and is the same. */
    for (size_t at = 0; at < whole.length; at += strlen(whole.text + at) + 1) {
        list[length++] = '<';
        memcpy(list + length, whole.text + at, strlen(whole.text + at));
        length += strlen(whole.text + at);
        list[length++] = '>';
        list[length++] = ',';
    }
    parse(&again, (const uint8_t *)list, length, length + 1);
    if (again.bad != 0 || again.length != whole.length ||
        memcmp(again.text, whole.text, whole.length) != 0) {
        abort();
    }
    return 0;
}
