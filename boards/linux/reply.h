/* reply.h - the answer to a command of the device, shown to whoever gave it, and what it means as
 * an exit code. */
#ifndef TOCSIN_BOARDS_LINUX_REPLY_H
#define TOCSIN_BOARDS_LINUX_REPLY_H

#include "net/error.h"

#include <stdbool.h>
#include <stdint.h>

struct reply {
    bool quiet; /* Its line goes to `text` and not to a person. */
    bool begun, ended, ok;
    bool in_ram;    /* The alert is in memory only. */
    uint32_t alert; /* Number of the alert that was queued; 0: none. */
    int code;       /* What to exit with, once ended. */
    char text[256];
};

/* One line of it: to standard output; an error, without "error: ", to standard error. The last
 * line ends it. */
void reply_line(struct reply *reply, const char *line);

/* Gives the command to whoever listens in that folder, and shows the answer as it comes. E_MISSING:
 * nobody does; E_TRANSIENT: the answer did not end; E_IO with errno: no permission. */
MUST_CHECK int reply_ask(struct reply *reply, const char *folder, const char *command);

/* Joins standard input and output with the console until either ends; on a terminal, ^D leaves.
 * E_MISSING and E_IO as above. */
MUST_CHECK int reply_console(const char *folder);

/* A sentence on standard error, after "tocsin: ". */
void reply_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
