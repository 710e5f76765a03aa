#include "firmware/log.h"

void log_init(struct log *log)
{
    log->first = 0;
    log->used = 0;
    log->displaced = 0;
}

static char ring_at(const struct log *log, uint16_t offset)
{
    return log->ring[(log->first + offset) % LOG_BYTES];
}

static void drop_oldest(struct log *log)
{
    char c;

    do {
        c = ring_at(log, 0);
        log->first = (uint16_t)((log->first + 1) % LOG_BYTES);
        log->used--;
    } while (c != '\n' && log->used > 0);
    log->displaced++;
}

static void put(struct log *log, char c)
{
    if (log->used == LOG_BYTES) {
        drop_oldest(log);
    }
    log->ring[(log->first + log->used) % LOG_BYTES] = c;
    log->used++;
}

void log_add(struct log *log, const char *line)
{
    for (size_t i = 0; line[i] != '\0' && i < LOG_LINE_BYTES - 1; i++) {
        put(log, line[i] == '\n' ? ' ' : line[i]);
    }
    put(log, '\n');
}

bool log_next(const struct log *log, uint16_t *at, char *line, size_t size)
{
    size_t length = 0;

    if (*at >= log->used) {
        return false;
    }
    while (*at < log->used) {
        char c = ring_at(log, (*at)++);

        if (c == '\n') {
            break;
        }
        if (length + 1 < size) {
            line[length++] = c;
        }
    }
    line[length] = '\0';
    return true;
}
