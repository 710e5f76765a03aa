/* log.h - the last lines that the device had to say, in a ring of fixed size.
 *
 * A line is printable text with its time in front; the oldest lines give way. Cost: sizeof(struct
 * log).
 */
#ifndef TOCSIN_FIRMWARE_LOG_H
#define TOCSIN_FIRMWARE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef LOG_BYTES
#define LOG_BYTES 576
#endif
#define LOG_LINE_BYTES 260 /* A longer line is cut. */

struct log {
    char ring[LOG_BYTES]; /* Lines, each ended by LF; begins at `first`, wraps around. */
    uint16_t first;
    uint16_t used;
    uint32_t displaced; /* Lines that gave way. */
};

void log_init(struct log *log);

/* Takes one line without its LF; control characters were made harmless by who built it. */
void log_add(struct log *log, const char *line);

/* Copies the line that begins at offset *at (0: the oldest) and moves *at on; false: no more. */
bool log_next(const struct log *log, uint16_t *at, char *line, size_t size);

#endif
