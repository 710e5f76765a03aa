#include "tests/sim/transcript.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void transcript_die(const struct transcript *transcript, unsigned line, const char *why)
{
    (void)fprintf(stderr, "%s:%u: %s\n", transcript->path, line, why);
    exit(1);
}

static void put(struct transcript *transcript, char c)
{
    if (transcript->text_size >= sizeof transcript->text) {
        transcript_die(transcript, 0, "too long");
    }
    transcript->text[transcript->text_size++] = c;
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = c == '\0' ? NULL : strchr(digits, c);

    return at == NULL ? -1 : (int)(at - digits);
}

/* Takes one escape, in behind its backslash; returns what follows it. */
static const char *unescape(struct transcript *transcript, const char *in, unsigned line)
{
    if (*in == 'x') {
        int high = hex_digit(in[1]);
        int low = high < 0 ? -1 : hex_digit(in[2]);

        if (low < 0) {
            transcript_die(transcript, line, "\\x wants two lower case hexadecimal digits");
        }
        put(transcript, (char)(high * 16 + low));
        return in + 3;
    }
    if (*in == '*') {
        char *end = NULL;
        unsigned long count = in[1] == '{' ? strtoul(in + 2, &end, 10) : 0;

        if (count == 0 || *end != '}' || end[1] == '\0') {
            transcript_die(transcript, line, "\\* wants {COUNT} and a character");
        }
        for (unsigned long i = 0; i < count; i++) {
            put(transcript, end[1]);
        }
        return end + 2;
    }
    for (const char *pair = "r\rn\nt\t\\\\"; *pair != '\0'; pair += 2) {
        if (*in == *pair) {
            put(transcript, pair[1]);
            return in + 1;
        }
    }
    transcript_die(transcript, line, "unknown escape");
}

/* Without NUL. */
static void add_string(struct transcript *transcript, const char *in, unsigned line)
{
    while (*in != '\0') {
        if (*in == '\\') {
            in = unescape(transcript, in + 1, line);
        } else {
            put(transcript, *in++);
        }
    }
}

const char *transcript_string(struct transcript *transcript, const char *in, unsigned line,
                              size_t *size)
{
    const char *start = transcript->text + transcript->text_size;

    add_string(transcript, in, line);
    if (size != NULL) {
        *size = (size_t)(transcript->text + transcript->text_size - start);
    }
    put(transcript, '\0');
    return start;
}

static void add_event(struct transcript *transcript, enum transcript_kind kind, unsigned line,
                      const char *text, const char *line_end)
{
    struct transcript_event *event = &transcript->events[transcript->event_count];

    if (++transcript->event_count > TRANSCRIPT_EVENTS_MAX) {
        transcript_die(transcript, line, "too many events");
    }
    event->kind = kind;
    event->line = line;
    event->bytes = transcript->text + transcript->text_size;
    add_string(transcript, text, line);
    for (; *line_end != '\0'; line_end++) {
        put(transcript, *line_end);
    }
    event->size = (size_t)(transcript->text + transcript->text_size - event->bytes);
    put(transcript, '\0');
    if (kind == EVENT_SERVER) {
        transcript->server_bytes += event->size;
    }
}

void transcript_load(struct transcript *transcript, const char *path,
                     void (*set)(void *context, unsigned line, const char *word, char *value),
                     void *context)
{
    static const struct {
        const char *word;
        enum transcript_kind kind;
        const char *line_end;
    } words[] = {
        {"S:", EVENT_SERVER, "\r\n"}, {"s:", EVENT_SERVER, ""},       {"C:", EVENT_CLIENT, "\r\n"},
        {"c:", EVENT_CLIENT, ""},     {"SKIP", EVENT_SKIP, ""},       {"TLS", EVENT_TLS, ""},
        {"EOF", EVENT_EOF, ""},       {"TIMEOUT", EVENT_TIMEOUT, ""},
    };
    enum { WORDS = sizeof words / sizeof words[0] };
    char text[4096];
    FILE *file = fopen(path, "r");

    memset(transcript, 0, sizeof *transcript);
    transcript->path = path;
    if (file == NULL) {
        transcript_die(transcript, 0, "cannot be opened");
    }
    for (unsigned line = 1; fgets(text, sizeof text, file) != NULL; line++) {
        char *value = text + strcspn(text, " \n");
        size_t i = 0;

        text[strcspn(text, "\n")] = '\0';
        if (text[0] == '\0' || text[0] == '#') {
            continue;
        }
        if (*value == ' ') {
            *value++ = '\0';
        }
        while (i < WORDS && strcmp(text, words[i].word) != 0) {
            i++;
        }
        if (i < WORDS) {
            add_event(transcript, words[i].kind, line, value, words[i].line_end);
        } else {
            set(context, line, text, value);
        }
    }
    (void)fclose(file);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

size_t transcript_files(const char *folder, const char *part, char (*paths)[TRANSCRIPT_PATH_BYTES],
                        size_t min, size_t max)
{
    DIR *directory = opendir(folder);
    size_t count = 0;

    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
        const char *dot = strrchr(entry->d_name, '.');

        if (dot != NULL && strcmp(dot, ".txt") == 0 && count < max &&
            (part == NULL || strstr(entry->d_name, part) != NULL)) {
            (void)snprintf(paths[count++], TRANSCRIPT_PATH_BYTES, "%s/%s", folder, entry->d_name);
        }
    }
    if (directory != NULL) {
        (void)closedir(directory);
    }
    if (part == NULL && count < min) {
        (void)fprintf(stderr, "%s holds %zu transcripts, not %zu\n", folder, count, min);
        return 0;
    }
    qsort(paths, count, sizeof paths[0], by_name);
    return count;
}
