#include "boards/linux/reply.h"

#include "boards/linux/control.h"
#include "net/text.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <termios.h>
#include <unistd.h>

#define CTRL_D 4

/* Standard output may be a full pipe that nobody reads any more: then the rest is lost. */
static bool put(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t done = write(fd, bytes, size);

        if (done < 0 && errno != EINTR) {
            return false;
        }
        bytes += done > 0 ? done : 0;
        size -= done > 0 ? (size_t)done : 0;
    }
    return true;
}

void reply_complain(const char *format, ...)
{
    char line[800];
    struct text text = text_begin(line, sizeof line - 1);
    va_list list;

    text_add(&text, "tocsin: ");
    va_start(list, format);
    text_format_list(&text, format, list);
    va_end(list);
    line[text.length] = '\n';
    (void)put(STDERR_FILENO, line, text.length + 1);
}

/* By how the firmware's sentences begin; "" ends the list. */
static const struct meaning {
    const char *begins;
    int code;
} meanings[] = {
    {"expected ", EX_USAGE},
    {"no such command", EX_USAGE},
    {"an alert needs a text", EX_USAGE},
    {"no command", EX_USAGE},
    {"the line is too long", EX_USAGE},
    {"there is no recipient", EX_CONFIG},
    {"there is no valid configuration", EX_CONFIG},
    {"only root ", EX_NOPERM},
    {"no alert has that number", EX_DATAERR},
    {"", EX_TEMPFAIL},
};

static int meaning(const char *error)
{
    const struct meaning *at = meanings;

    while (at->begins[0] != '\0' && !text_starts_nocase(error, at->begins)) {
        at++;
    }
    return at->code;
}

/* "alert 17 is queued". */
static void find_number(struct reply *reply, const char *line)
{
    char number[12];
    struct text text = text_begin(number, sizeof number);

    if (!text_starts_nocase(line, "alert ")) {
        return;
    }
    for (line += strlen("alert "); *line >= '0' && *line <= '9'; line++) {
        text_add_char(&text, *line);
    }
    if (text_starts_nocase(line, " is ") && text_parse_u32(number, UINT32_MAX, &reply->alert)) {
        reply->in_ram = strstr(line, ", in RAM only") != NULL;
    }
}

void reply_line(struct reply *reply, const char *line)
{
    if (strcmp(line, "ok") == 0) {
        reply->ended = true;
        reply->ok = true;
        reply->code = reply->in_ram ? EX_TEMPFAIL : EX_OK;
    } else if (reply->quiet) {
        reply->ended = text_starts_nocase(line, "error: ");
        (void)text_copy(reply->text, sizeof reply->text, line);
    } else if (text_starts_nocase(line, "error: ")) {
        reply->ended = true;
        reply->code = meaning(line + strlen("error: "));
        reply_complain("%s", line + strlen("error: "));
    } else {
        find_number(reply, line);
        if (put(STDOUT_FILENO, line, strlen(line))) {
            (void)put(STDOUT_FILENO, "\n", 1);
        }
    }
}

static void take_line(void *context, const char *line)
{
    struct reply *reply = context;

    reply->begun = true;
    if (!reply->ended) {
        reply_line(reply, line);
    }
}

static bool send_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);

        if (sent < 0 && errno != EINTR) {
            return false;
        }
        bytes += sent > 0 ? sent : 0;
        size -= sent > 0 ? (size_t)sent : 0;
    }
    return true;
}

static bool send_line(int fd, const char *line)
{
    return send_all(fd, line, strlen(line)) && send_all(fd, "\n", 1);
}

int reply_ask(struct reply *reply, const char *folder, const char *command)
{
    struct control_lines lines = {.length = 0};
    char bytes[512];
    int fd = control_connect(folder);
    ssize_t got = 1;

    if (fd < 0) {
        return fd;
    }
    if (!send_line(fd, command)) {
        (void)close(fd);
        return E_TRANSIENT;
    }
    while (!reply->ended && got != 0) {
        got = recv(fd, bytes, sizeof bytes, 0);
        if (got > 0) {
            control_lines_push(&lines, bytes, (size_t)got, take_line, reply);
        } else if (got < 0 && errno != EINTR) {
            break;
        }
    }
    (void)close(fd);
    return reply->ended ? 0 : E_TRANSIENT;
}

/* ---- the console ---- */

static bool make_raw(struct termios *before)
{
    struct termios raw;

    if (tcgetattr(STDIN_FILENO, before) < 0) {
        return false;
    }
    raw = *before;
    raw.c_iflag &= (tcflag_t) ~(ICRNL | INLCR | IGNCR | IXON | ISTRIP | BRKINT);
    raw.c_oflag &= (tcflag_t)~OPOST;
    raw.c_lflag &= (tcflag_t) ~(ICANON | ECHO | ISIG | IEXTEN);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    return tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) == 0;
}

/* Until either ends. Input that is no terminal ends before the answers do. */
static void join(int fd, bool terminal)
{
    struct pollfd ends[2] = {{.fd = fd, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
    char bytes[512];

    for (;;) {
        ssize_t got;

        if (poll(ends, 2, -1) < 0) {
            if (errno != EINTR) {
                return;
            }
            continue;
        }
        if (ends[0].revents != 0) {
            got = recv(fd, bytes, sizeof bytes, 0);
            if (got <= 0 || !put(STDOUT_FILENO, bytes, (size_t)got)) {
                return;
            }
        }
        if (ends[1].revents != 0) {
            got = read(STDIN_FILENO, bytes, sizeof bytes);
            if (got > 0 && terminal && memchr(bytes, CTRL_D, (size_t)got) != NULL) {
                return;
            }
            if (got <= 0) {
                (void)shutdown(fd, SHUT_WR);
                ends[1].fd = -1;
            } else if (!send_all(fd, bytes, (size_t)got)) {
                return;
            }
        }
    }
}

int reply_console(const char *folder)
{
    struct termios before;
    int fd = control_connect(folder);
    bool terminal;

    if (fd < 0) {
        return fd;
    }
    if (!send_line(fd, "console")) {
        (void)close(fd);
        return E_TRANSIENT;
    }
    terminal = isatty(STDIN_FILENO) && make_raw(&before);
    if (terminal) {
        reply_complain("the device's console; ^D leaves\r");
    }
    join(fd, terminal);
    if (terminal) {
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        (void)put(STDOUT_FILENO, "\n", 1);
    }
    (void)close(fd);
    return 0;
}
