/* maillog.h - one line a mail, to syslog or to a file.
 *
 * A line is appended by one write(), so that lines of several processes never mix; nothing that
 * came from outside can end one, and no secret is ever among it. A log that is full, slow or away
 * holds no mail back: its line is lost.
 */
#ifndef TOCSIN_BOARDS_LINUX_MAILLOG_H
#define TOCSIN_BOARDS_LINUX_MAILLOG_H

#include <stdbool.h>
#include <stdint.h>

struct maillog {
    int fd;                  /* Of a file; -1: none. */
    int syslog_fd;           /* Kept open between lines; -1: none. */
    bool syslog;             /* /dev/log, facility mail (RFC 3164, as syslog(3) writes it). */
    bool stream;             /* The daemon has a stream socket. */
    bool terminal;           /* Also standard error: -v, and what a person started. */
    const char *name;        /* "sendmail", "tocsin": what begins a line. */
    const char *socket_path; /* NULL: /dev/log. */
    char tag[64];            /* -L */
};

/* where: "syslog", "off", or a path. A file that cannot be opened is told on standard error, and
 * syslog is taken. */
void maillog_open(struct maillog *log, const char *name, const char *where);
void maillog_close(struct maillog *log);

/* severity: of syslog, 3 error ... 7 debug. */
void maillog_line(struct maillog *log, int severity, const char *line);

#endif
