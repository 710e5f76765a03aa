#include "common.h"

#include "net/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static void say(const char *format, va_list list)
{
    fflush(stdout);
    fputs("tocsin: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
}

void die(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    say(format, list);
    va_end(list);
    exit(1);
}

void die_usage(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    say(format, list);
    va_end(list);
    fputs("tocsin --help tells what there is\n", stderr);
    exit(2);
}

size_t read_file(const char *path, char *out, size_t room)
{
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(path, "rb");
    size_t size;

    if (file == NULL) {
        die("%s: cannot read it: %s", path, strerror(errno));
    }
    size = fread(out, 1, room - 1, file);
    if (ferror(file) != 0) {
        die("%s: cannot read it: %s", path, strerror(errno));
    }
    if (size == room - 1) {
        die("%s: it is larger than %zu bytes", path, room - 2);
    }
    if (!is_stdin) {
        fclose(file);
    }
    out[size] = '\0';
    return size;
}

void write_secret(const char *path, const char *text)
{
    size_t size = strlen(text);
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (file < 0) {
        die("%s: %s", path,
            errno == EEXIST ? "it exists, and a key is never written over" : strerror(errno));
    }
    if (write(file, text, size) != (ssize_t)size || fsync(file) != 0 || close(file) != 0) {
        int why = errno;

        (void)unlink(path);
        die("%s: cannot write it: %s", path, strerror(why));
    }
}

void random_bytes(void *out, size_t size)
{
    if (getrandom(out, size, 0) != (ssize_t)size) {
        die("no random numbers: %s", strerror(errno));
    }
}

uint32_t number_of(const char *text, const char *what, uint32_t min, uint32_t max)
{
    uint32_t value;

    if (!text_parse_u32(text, max, &value) || value < min) {
        die_usage("--%s: a number from %u to %u is wanted, not `%s`", what, min, max, text);
    }
    return value;
}

int options_read(int argc, char **argv, struct option_value *options, size_t count)
{
    int at = 0;

    for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
        const char *name = argv[at] + 2;
        size_t length = strcspn(name, "=");
        size_t i = 0;

        if (*name == '\0') {
            return at + 1;
        }
        while (i < count &&
               (strncmp(options[i].name, name, length) != 0 || options[i].name[length] != '\0')) {
            i++;
        }
        if (i == count) {
            die_usage("there is no option --%.*s here", (int)length, name);
        }
        if (options[i].is_flag) {
            options[i].value = "";
        } else if (name[length] == '=') {
            options[i].value = name + length + 1;
        } else if (at + 1 < argc) {
            options[i].value = argv[++at];
        } else {
            die_usage("--%s wants a value", name);
        }
    }
    return at;
}
