/* fetch_file.c - reasons, whole writes, folders, and a hash. */
#include "boards/linux/fetch_file.h"

#include "net/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int fetch_why(struct fetch_why *why, int code, const char *format, ...)
{
    struct text text;
    va_list list;

    if (why->code != 0) {
        return E_IO;
    }
    why->code = code;
    text = text_begin(why->text, sizeof why->text);
    va_start(list, format);
    text_format_list(&text, format, list);
    va_end(list);
    return E_IO;
}

int fetch_why_errno(struct fetch_why *why, const char *path)
{
    int number = errno;
    bool full = number == ENOSPC || number == EDQUOT || number == EFBIG;
    bool passes = full || number == EIO || number == EAGAIN || number == EINTR ||
                  number == ENOMEM || number == EMFILE || number == ENFILE || number == ESTALE;

    (void)fetch_why(why, passes ? EX_TEMPFAIL : EX_CANTCREAT, "%s: %s", path, strerror(number));
    return full ? E_SPACE : E_IO;
}

int fetch_write(int fd, const void *bytes, size_t size, int64_t offset)
{
    const char *at = bytes;

    while (size > 0) {
        ssize_t count = offset < 0 ? write(fd, at, size) : pwrite(fd, at, size, (off_t)offset);

        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            errno = count == 0 ? ENOSPC : errno;
            return -1;
        }
        at += count;
        size -= (size_t)count;
        offset += offset < 0 ? 0 : count;
    }
    return 0;
}

int fetch_make_folder(const char *path)
{
    char part[FETCH_PATH_BYTES];
    struct stat status;

    if (!text_copy(part, sizeof part, path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    for (char *at = part + 1; *at != '\0'; at++) {
        if (*at == '/') {
            *at = '\0';
            if (mkdir(part, 0700) < 0 && errno != EEXIST && stat(part, &status) < 0) {
                return -1;
            }
            *at = '/';
        }
    }
    if (mkdir(part, 0700) < 0 && errno != EEXIST) {
        return -1;
    }
    return 0;
}

int fetch_expand(const char *path, char out[FETCH_PATH_BYTES], struct fetch_why *why)
{
    struct text text = text_begin(out, FETCH_PATH_BYTES);

    if (path[0] == '~' && path[1] == '/') {
        const char *home = getenv("HOME");

        if (home == NULL || home[0] != '/') {
            return fetch_why(why, EX_CONFIG, "%s: HOME is not set, write the whole path", path);
        }
        text_add(&text, home);
        path++;
    } else if (path[0] != '/') {
        return fetch_why(why, EX_CONFIG, "\"%s\" is no path: it begins with / or ~/", path);
    }
    text_add(&text, path);
    while (text.length > 1 && out[text.length - 1] == '/') {
        out[--text.length] = '\0';
    }
    return text.cut ? fetch_why(why, EX_CONFIG, "%s: the path is too long", path) : 0;
}

/* FNV-1a, and then the finish of MurmurHash3 so that all bits of the result are good ones. */
uint64_t fetch_hash(uint64_t seed, const char *string)
{
    uint64_t hash = seed ^ 0xCBF29CE484222325u;

    for (; *string != '\0'; string++) {
        hash = (hash ^ (uint8_t)*string) * 0x100000001B3u;
    }
    hash = (hash ^ hash >> 33) * 0xFF51AFD7ED558CCDu;
    hash = (hash ^ hash >> 33) * 0xC4CEB9FE1A85EC53u;
    return hash ^ hash >> 33;
}
