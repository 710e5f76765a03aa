/* fuzz_trust.c - a bundle of CA certificates: whatever is in it, only anchors of the names that
 * were asked for come out of it. The name is that of the certificate in the corpus's first file. */
#include "boards/linux/trust.h"
#include "net/text.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct trust trust;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* CN=P and CN=R. */
    static const uint8_t p[] = {0x30, 12, 0x31, 10, 0x30, 8, 6, 3, 0x55, 4, 3, 12, 1, 'P'};
    static const uint8_t r[] = {0x30, 12, 0x31, 10, 0x30, 8, 6, 3, 0x55, 4, 3, 12, 1, 'R'};
    static const struct tls_dn names[] = {{p, sizeof p}, {r, sizeof r}};
    char path[40];
    int fd = memfd_create("bundle", MFD_CLOEXEC);
    int result;

    if (fd < 0 || write(fd, data, size) != (ssize_t)size) {
        abort();
    }
    text_print(path, sizeof path, "/proc/self/fd/%u", (unsigned)fd);
    result = trust_open(&trust, path);
    if ((result < 0) != (trust.problem[0] != '\0') || result < E_UNSUPPORTED || result > 0) {
        abort();
    }
    if (result == 0) {
        trust.finder.find(trust.finder.context, names, 2, 1795000000);
        for (size_t i = 0; i < trust.anchors.count; i++) {
            const br_x509_trust_anchor *anchor = &trust.anchors.anchor[i];

            if (anchor->dn.len != sizeof p || (memcmp(anchor->dn.data, p, sizeof p) != 0 &&
                                               memcmp(anchor->dn.data, r, sizeof r) != 0)) {
                abort();
            }
        }
    }
    close(fd);
    return 0;
}
