/* aliases.c - reads aliases(5) as sendmail, Postfix and msmtp take it, a character at a time. */
#include "boards/linux/aliases.h"

#include "net/text.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (8u << 20)

#define END (-1)

int aliases_open(struct aliases *file, const char *path, bool list)
{
    struct stat status;

    *file = (struct aliases){.list = list, .open = list, .line = 1, .bytes_left = FILE_BYTES_MAX};
    /* A FIFO must not stop a mail. */
    file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (file->fd < 0) {
        return errno == ENOENT || errno == ENOTDIR ? E_MISSING : E_IO;
    }
    if (fstat(file->fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        aliases_close(file);
        return E_IO;
    }
    return 0;
}

void aliases_close(struct aliases *file)
{
    if (file->fd >= 0) {
        close(file->fd);
    }
    file->fd = -1;
}

/* The next character, which stays; END after the last. */
static int peek(struct aliases *file)
{
    if (file->at == file->size) {
        size_t room = sizeof file->bytes < file->bytes_left ? sizeof file->bytes : file->bytes_left;
        ssize_t got;

        do {
            got = room > 0 ? read(file->fd, file->bytes, room) : 0;
        } while (got < 0 && errno == EINTR);
        if (got <= 0) {
            file->bytes_left = 0;
            return END;
        }
        file->at = 0;
        file->size = (size_t)got;
        file->bytes_left -= (uint32_t)got;
    }
    return (unsigned char)file->bytes[file->at];
}

static int next(struct aliases *file)
{
    int c = peek(file);

    if (c != END) {
        file->at++;
        file->line += c == '\n' ? 1 : 0;
    }
    return c;
}

static bool is_blank(int c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void skip_blanks(struct aliases *file)
{
    while (is_blank(peek(file))) {
        next(file);
    }
}

/* Up to the line's end, which stays. */
static void skip_line(struct aliases *file)
{
    while (peek(file) != '\n' && peek(file) != END) {
        next(file);
    }
}

/* At the beginning of a line: skips comments and empty lines. Returns whether the next line
 * continues the one before; its blanks are skipped then. */
static bool continues(struct aliases *file)
{
    for (;;) {
        bool indented = is_blank(peek(file));
        int c;

        skip_blanks(file);
        c = peek(file);
        if (c == '#') {
            skip_line(file);
            c = peek(file);
        }
        if (c != '\n') {
            return indented && c != END;
        }
        next(file);
    }
}

int aliases_next(struct aliases *file, char *name, size_t size)
{
    struct text text = text_begin(name, size);
    bool quoted;
    char rest[2];
    int c;

    while (file->open) {
        int result = aliases_target(file, rest, sizeof rest);

        (void)result; /* Nobody wants it. */
    }
    quoted = continues(file);
    file->begun = file->line;
    if (quoted) {
        skip_line(file);
        return E_INVALID; /* A continuation, of no alias. */
    }
    if (peek(file) == END) {
        return 0;
    }
    for (c = peek(file); c != '\n' && c != END && (quoted || c != ':'); c = peek(file)) {
        next(file);
        if (c == '"') {
            quoted = !quoted;
            continue;
        }
        if (c == '\\' && quoted && peek(file) != '\n' && peek(file) != END) {
            c = next(file);
        }
        text_add_char(&text, (char)c);
    }
    while (!quoted && text.length > 0 && is_blank(name[text.length - 1])) {
        name[--text.length] = '\0';
    }
    if (c != ':' || text.length == 0 || text.cut) {
        skip_line(file);
        return E_INVALID;
    }
    next(file);
    file->open = true;
    return 1;
}

/* Reads to the separator behind a target. Returns false where a quote stayed open. */
static bool read_target(struct aliases *file, struct text *text)
{
    bool quoted = false;
    bool gap = true; /* A '#' here begins a comment. */
    unsigned comments = 0;

    for (int c = next(file); c != END; c = next(file)) {
        if (c == '\n') {
            if (quoted || file->list || !continues(file)) {
                file->open = file->list;
                return !quoted && comments == 0;
            }
            c = ' ';
        } else if (c == ',' && !quoted && comments == 0) {
            return true;
        } else if (c == '#' && gap && !quoted && comments == 0) {
            skip_line(file);
            continue;
        } else if (c == '\\' && peek(file) != '\n' && peek(file) != END) {
            text_add_char(text, '\\');
            c = next(file);
        } else if (c == '"' && comments == 0) {
            quoted = !quoted;
        } else if (c == '(' && !quoted) {
            comments++;
        } else if (c == ')' && !quoted && comments > 0) {
            comments--;
        }
        gap = is_blank(c);
        if (text->length == 0) {
            file->begun = file->line;
        }
        if (!gap || text->length > 0) {
            text_add_char(text, c == '\0' ? '\x7f' : (char)c); /* No address has either. */
        }
    }
    file->open = false;
    return !quoted && comments == 0;
}

int aliases_target(struct aliases *file, char *target, size_t size)
{
    while (file->open) {
        struct text text = text_begin(target, size);
        bool good;

        skip_blanks(file);
        good = read_target(file, &text);
        while (text.length > 0 && is_blank(target[text.length - 1])) {
            target[--text.length] = '\0';
        }
        if (!good || text.cut) {
            return E_INVALID;
        }
        if (text.length > 0) {
            return 1;
        }
    }
    return 0;
}
