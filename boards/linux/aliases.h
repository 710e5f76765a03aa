/* aliases.h - the syntax of aliases(5) and of the lists that :include: names.
 *
 *     aliases_open(&file, path, false)
 *     while aliases_next(&file, name, sizeof name):      each alias ...
 *         while aliases_target(&file, text, sizeof text): ... and what it stands for
 *     aliases_close(&file)
 *
 * Lines that begin with a blank continue the one before; lines that begin with '#' and what follows
 * " #" are comments. Targets are separated by commas outside quotes and comments, in a list by line
 * ends as well. The files are streamed: 2 KB, whatever they hold.
 */
#ifndef TOCSIN_BOARDS_LINUX_ALIASES_H
#define TOCSIN_BOARDS_LINUX_ALIASES_H

#include "net/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ALIASES_NAME_BYTES 256
#define ALIASES_TARGET_BYTES 1024

struct aliases {
    int fd;
    bool list;      /* Targets alone, without names. */
    bool open;      /* An alias has more targets. */
    unsigned line;  /* Being read, from 1. */
    unsigned begun; /* Where the name or target began that was read last. */
    size_t at;
    size_t size;
    uint32_t bytes_left; /* Of what is read at most. */
    char bytes[2048];
};

/* 0; E_MISSING; E_IO: it cannot be read, or is no file. */
MUST_CHECK int aliases_open(struct aliases *file, const char *path, bool list);

/* The next alias's name, without quotes. 1; 0: there are no more; E_INVALID: a line that is none
 * was skipped (file->begun). */
MUST_CHECK int aliases_next(struct aliases *file, char *name, size_t size);

/* The next target, as it was written, without blanks around it. 1; 0: there are no more of this
 * alias; E_INVALID: one was skipped that is too long or has an open quote. */
MUST_CHECK int aliases_target(struct aliases *file, char *target, size_t size);

void aliases_close(struct aliases *file);

#endif
