/* maillog.c - lines to syslog's socket and to a file, each by one system call.
 *
 * syslog(3) would do, but it brings printf with it, and it waits for a daemon that is slow: a log
 * that is full must not keep a mail from leaving.
 */
#include "boards/linux/maillog.h"

#include "net/posix/link_posix.h"
#include "net/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 2048   /* RFC 5424 6.1 wants receivers to take as much. */
#define FACILITY_MAIL 16u /* 2 * 8 */
#define SEND_MS_MAX 200   /* For a syslog daemon that is behind. */

/* Connects a socket of that type; -1 with errno: there is no daemon, or it has the other type. */
static int syslog_connect(const char *path, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int error;

    (void)text_copy(address.sun_path, sizeof address.sun_path, path);
    if (fd >= 0 &&
        connect(fd, (const struct sockaddr *)(const void *)&address, sizeof address) < 0) {
        error = errno;
        (void)close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

enum sent { SENT_GONE, SENT_LATE, SENT_WHOLE };

static enum sent send_line(int fd, const char *bytes, size_t size)
{
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    ssize_t done = -1;

    for (unsigned tries = 0; fd >= 0 && done < 0 && tries < 2; tries++) {
        done = send(fd, bytes, size, MSG_NOSIGNAL);
        if (done < 0 && errno == EAGAIN && poll(&ready, 1, SEND_MS_MAX) <= 0) {
            return SENT_LATE;
        }
    }
    return done == (ssize_t)size ? SENT_WHOLE : SENT_GONE;
}

/* A line is a datagram; where the daemon has a stream socket, it ends with NUL. A daemon that was
 * restarted has a new socket, so that a failure is followed by one new connection. */
static void to_syslog(struct maillog *log, const char *line, size_t size)
{
    const char *path = log->socket_path != NULL ? log->socket_path : "/dev/log";

    for (unsigned tries = 0; tries < 2; tries++) {
        if (log->syslog_fd < 0) {
            log->syslog_fd = syslog_connect(path, SOCK_DGRAM);
            log->stream = log->syslog_fd < 0 && errno == EPROTOTYPE;
            if (log->stream) {
                log->syslog_fd = syslog_connect(path, SOCK_STREAM);
            }
        }
        if (send_line(log->syslog_fd, line, size + log->stream) != SENT_GONE) {
            return;
        }
        if (log->syslog_fd >= 0) {
            (void)close(log->syslog_fd);
            log->syslog_fd = -1;
        }
    }
}

/* "sendmail[123]: " or with the tag of -L instead of the name. */
static void add_origin(struct text *text, const struct maillog *log)
{
    text_format(text, "%s[%u]: ", log->tag[0] != '\0' ? log->tag : log->name, (unsigned)getpid());
}

/* RFC 3164 4.1: <PRI>Mmm dd hh:mm:ss in local time, the tag, the text; the daemon adds the host. */
static void syslog_line(struct maillog *log, int severity, const char *line)
{
    static const char months[] = "Jan\0Feb\0Mar\0Apr\0May\0Jun\0Jul\0Aug\0Sep\0Oct\0Nov\0Dec";
    char bytes[LINE_BYTES];
    struct text text = text_begin(bytes, sizeof bytes);
    time_t now = time(NULL);
    struct tm local;

    memset(&local, 0, sizeof local);
    (void)localtime_r(&now, &local);
    text_format(&text, "<%u>%s ", FACILITY_MAIL + ((unsigned)severity & 7u),
                text_item(months, (size_t)local.tm_mon % 12));
    text_add(&text, local.tm_mday < 10 ? " " : "");
    text_format(&text, "%u %02u:%02u:%02u ", (unsigned)local.tm_mday, (unsigned)local.tm_hour,
                (unsigned)local.tm_min, (unsigned)local.tm_sec);
    add_origin(&text, log);
    text_add_printable(&text, line, strlen(line));
    to_syslog(log, bytes, text.length);
}

/* "2026-11-22T08:25:01.250Z sendmail[123]: TEXT": UTC, so that lines stay in order when summer time
 * ends. */
static void file_line(const struct maillog *log, const char *line)
{
    char bytes[LINE_BYTES];
    struct text text = text_begin(bytes, sizeof bytes - 1);
    uint64_t unix_ms = posix_unix_ms();
    ssize_t done;

    text_add_time(&text, unix_ms / 1000, 0);
    bytes[10] = 'T';
    text_add_char(&text, '.');
    text_add_pad(&text, (uint32_t)(unix_ms % 1000), 3);
    text_add(&text, "Z ");
    add_origin(&text, log);
    text_add_printable(&text, line, strlen(line));
    bytes[text.length] = '\n';
    do {
        done = write(log->fd, bytes, text.length + 1);
    } while (done < 0 && errno == EINTR);
}

/* For a person: no time, no process. */
static void terminal_line(const struct maillog *log, const char *line)
{
    char bytes[LINE_BYTES];
    struct text text = text_begin(bytes, sizeof bytes - 1);
    ssize_t done;

    text_format(&text, "%s: ", log->name);
    text_add_printable(&text, line, strlen(line));
    bytes[text.length] = '\n';
    do {
        done = write(STDERR_FILENO, bytes, text.length + 1);
    } while (done < 0 && errno == EINTR);
}

void maillog_open(struct maillog *log, const char *name, const char *where)
{
    char sentence[400];
    const char *why;

    memset(log, 0, sizeof *log);
    log->fd = -1;
    log->syslog_fd = -1;
    log->name = name;
    if (where == NULL || where[0] == '\0' || text_equal_nocase(where, "syslog")) {
        log->syslog = true;
        return;
    }
    if (text_equal_nocase(where, "off")) {
        return;
    }
    /* It tells who writes to whom: for the program's group, not for everybody. */
    log->fd = open(where, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0660);
    if (log->fd < 0) {
        why = strerror(errno);
        (void)text_print(sentence, sizeof sentence,
                         "the log %s cannot be opened (%s); syslog gets "
                         "the lines",
                         where, why);
        terminal_line(log, sentence);
        log->syslog = true;
    }
}

void maillog_close(struct maillog *log)
{
    if (log->fd >= 0) {
        (void)close(log->fd);
    }
    if (log->syslog_fd >= 0) {
        (void)close(log->syslog_fd);
    }
    log->fd = -1;
    log->syslog_fd = -1;
}

void maillog_line(struct maillog *log, int severity, const char *line)
{
    const int error = errno;

    if (log->terminal) {
        terminal_line(log, line);
    }
    if (log->fd >= 0) {
        file_line(log, line);
    }
    if (log->syslog) {
        syslog_line(log, severity, line);
    }
    errno = error; /* Whoever logs a failure may still want to tell it. */
}
