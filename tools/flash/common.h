/* common.h - what all parts of the flash tool use. */
#ifndef TOCSIN_TOOLS_FLASH_COMMON_H
#define TOCSIN_TOOLS_FLASH_COMMON_H

#include "geometry.h"

#include <stdbool.h>
#include <stddef.h>

#define TOOL_NAME "tocsin-flash-" BOARD_NAME

/* A text that grows, always ended by NUL. All are in static objects and live until the program
 * ends. */
struct buffer {
    char *bytes;
    size_t size;
    size_t room;
};

/* Says a sentence on stderr and ends the program. */
void die(int status, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));

void append(struct buffer *buffer, const char *bytes, size_t size);
void append_string(struct buffer *buffer, const char *string);

/* Appends a whole file of at most max bytes. False: errno says why; EFBIG: it is larger. */
bool read_file(const char *path, size_t max, struct buffer *out);

/* The same text as a terminal may show it: nothing from an image can steer it or end a line. Valid
 * until the next call. */
const char *shown(const char *text);

#endif
