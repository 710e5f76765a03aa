/* fuzz_aliases.c - an aliases file: the name in its first line is expanded by the rest; then it is
 * read as revaliases, as a list that an alias includes, and for `newaliases`. */
#include "boards/linux/aliases.h"
#include "boards/linux/users.h"
#include "net/address.h"
#include "net/text.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned told;

static void on_found(void *context, const char *address)
{
    (void)context;
    told++;
    if (address[0] == '\0' || address_domain(address) == NULL) {
        abort();
    }
}

static void on_warn(void *context, const char *sentence)
{
    (void)context;
    if (strpbrk(sentence, "\r\n\033") != NULL) {
        abort();
    }
}

static void read_list(const char *path)
{
    char target[ALIASES_TARGET_BYTES];
    struct aliases file;
    int result;

    if (aliases_open(&file, path, true) < 0) {
        abort();
    }
    while ((result = aliases_target(&file, target, sizeof target)) != 0) {
        if (result > 0 && (target[0] == '\0' || target[0] == ' ')) {
            abort();
        }
    }
    aliases_close(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const root[] = {"admin@example.com", "chief"};
    const uint8_t *end = memchr(data, '\n', size);
    size_t name_size = end != NULL ? (size_t)(end - data) : size;
    char name[ADDRESS_BYTES];
    char address[ADDRESS_BYTES];
    char mailhub[100];
    char path[40];
    int fd = memfd_create("aliases", MFD_CLOEXEC);
    struct users_params params = {
        .aliases = path,
        .revaliases = path,
        .root = root,
        .root_count = size % 3,
        .min_user_id = 1000,
        .domain = "example.org",
        .host = "router.lan",
        .warn = on_warn,
    };
    int result;

    name_size = name_size < sizeof name - 1 ? name_size : sizeof name - 1;
    memcpy(name, data, name_size);
    name[name_size] = '\0';
    data += end != NULL ? name_size + 1 : name_size;
    size -= end != NULL ? name_size + 1 : name_size;
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) {
        abort();
    }
    text_print(path, sizeof path, "/proc/self/fd/%u", (unsigned)fd);
    told = 0;
    result = users_expand(&params, name, on_found, NULL);
    if (result >= 0 && (unsigned)result != told) {
        abort();
    }
    if (users_check(&params) < 0) {
        abort();
    }
    result = users_sender(&params, name, address, sizeof address, mailhub, sizeof mailhub);
    if (result != (address[0] != '\0' ? 1 : 0) || (result == 1 && !address_is_valid(address))) {
        abort();
    }
    read_list(path);
    close(fd);
    return 0;
}
