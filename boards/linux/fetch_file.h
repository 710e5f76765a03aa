/* fetch_file.h - what the parts of `tocsin poll` share: reasons in words, and calls on files that
 * finish what they begin. */
#ifndef TOCSIN_BOARDS_LINUX_FETCH_FILE_H
#define TOCSIN_BOARDS_LINUX_FETCH_FILE_H

#include "net/error.h"

#include <stddef.h>
#include <stdint.h>
#include <sysexits.h>

#define FETCH_PATH_BYTES 512

/* Why something was not done. */
struct fetch_why {
    int code;       /* Of sysexits.h; 0: all is well. */
    char text[400]; /* One sentence without its full stop. */
};

/* Fills why, unless it is filled already: the first reason is the one that helps. Formats are
 * text_format()'s. Returns E_IO, for its caller to return. */
int fetch_why(struct fetch_why *why, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for a call on a file that set errno: "PATH: No space left on device". A full disk and
 * what else passes by itself is EX_TEMPFAIL, the rest EX_CANTCREAT. Returns E_SPACE or E_IO. */
int fetch_why_errno(struct fetch_why *why, const char *path);

/* Writes all of it, at offset, or where the descriptor stands if that is negative. -1: errno. */
MUST_CHECK int fetch_write(int fd, const void *bytes, size_t size, int64_t offset);

/* Makes a folder and those above it, 0700. -1: errno. */
MUST_CHECK int fetch_make_folder(const char *path);

/* "~/x" becomes "/home/user/x"; a path that does not begin with '/' then is refused. */
MUST_CHECK int fetch_expand(const char *path, char out[FETCH_PATH_BYTES], struct fetch_why *why);

/* A hash for tables and names: 64 bits, well mixed, other ones for another seed. */
uint64_t fetch_hash(uint64_t seed, const char *string);

#endif
