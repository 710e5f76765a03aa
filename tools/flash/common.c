#include "common.h"

#include "net/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_BYTES 4096

void die(int status, const char *format, ...)
{
    va_list list;

    fflush(stdout);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    exit(status);
}

void append(struct buffer *buffer, const char *bytes, size_t size)
{
    if (buffer->size + size + 1 > buffer->room) {
        buffer->room = 2 * (buffer->size + size + 1);
        buffer->bytes = realloc(buffer->bytes, buffer->room);
        if (buffer->bytes == NULL) {
            die(1, TOOL_NAME ": no memory\n");
        }
    }
    memcpy(buffer->bytes + buffer->size, bytes, size);
    buffer->size += size;
    buffer->bytes[buffer->size] = '\0';
}

void append_string(struct buffer *buffer, const char *string)
{
    append(buffer, string, strlen(string));
}

bool read_file(const char *path, size_t max, struct buffer *out)
{
    char piece[65536];
    FILE *file = fopen(path, "rb");
    size_t size;
    int why = 0;

    append(out, "", 0);
    if (file == NULL) {
        return false;
    }
    while ((size = fread(piece, 1, sizeof piece, file)) > 0 && out->size <= max) {
        append(out, piece, size);
    }
    if (ferror(file) != 0) {
        why = errno;
    } else if (out->size > max) {
        why = EFBIG;
    }
    fclose(file);
    errno = why;
    return why == 0;
}

const char *shown(const char *text)
{
    static char buf[SHOWN_BYTES];
    struct text out = text_begin(buf, sizeof buf);

    text_add_printable(&out, text, strlen(text));
    return buf;
}
