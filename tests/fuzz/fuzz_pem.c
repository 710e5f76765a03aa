/* fuzz_pem.c - PEM text to anchors. The first byte is the size of the pieces that it comes in. */
#include "net/tls.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tls_anchors anchors;

static void check(int count, const char *why)
{
    if ((count < 0) != (why != NULL) || anchors.bytes_used > sizeof anchors.bytes ||
        anchors.count > TLS_ANCHOR_MAX) {
        abort();
    }
    for (size_t i = 0; i < anchors.count; i++) {
        const br_x509_trust_anchor *anchor = &anchors.anchor[i];

        if (anchor->dn.data < anchors.bytes ||
            anchor->dn.data + anchor->dn.len > anchors.bytes + anchors.bytes_used) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tls_pem pem;
    const char *why = NULL;
    size_t piece;
    int count = 0;

    if (size < 1) {
        return 0;
    }
    piece = data[0] == 0 ? size : data[0];
    tls_anchors_init(&anchors);
    tls_pem_init(&pem, &anchors);
    for (size_t at = 1; at < size && count >= 0; at += piece) {
        size_t take = size - at < piece ? size - at : piece;

        count = tls_pem_push(&pem, (const char *)data + at, take, &why);
        check(count, why);
    }
    why = NULL;
    count = tls_pem_end(&pem, &why);
    check(count, why);
    return 0;
}
