/* transcript.h - reads a dialogue with a server from a file (tests/transcripts/README.md).
 *
 * What is the same for every protocol is read here: who says what, in which order. Lines with other
 * words are settings, which go to the test. A file that cannot be read ends the program, with its
 * line.
 */
#ifndef TOCSIN_TESTS_SIM_TRANSCRIPT_H
#define TOCSIN_TESTS_SIM_TRANSCRIPT_H

#include <stddef.h>

#define TRANSCRIPT_EVENTS_MAX 160
#define TRANSCRIPT_TEXT_BYTES 131072

enum transcript_kind {
    EVENT_SERVER,
    EVENT_CLIENT,
    EVENT_SKIP, /* bytes: a number, of bytes that the client says. */
    EVENT_TLS,
    EVENT_EOF,
    EVENT_TIMEOUT
};

struct transcript_event {
    enum transcript_kind kind;
    unsigned line;
    const char *bytes;
    size_t size;
};

struct transcript {
    const char *path;
    struct transcript_event events[TRANSCRIPT_EVENTS_MAX];
    size_t event_count;
    size_t server_bytes;
    char text[TRANSCRIPT_TEXT_BYTES]; /* All strings. */
    size_t text_size;
};

/* set gets each setting's word and the rest of its line, "" if there is none. */
void transcript_load(struct transcript *transcript, const char *path,
                     void (*set)(void *context, unsigned line, const char *word, char *value),
                     void *context);

/* Copies with escapes (\r \n \t \\ \xHH, and \*{600}x for 600 times x); NUL-terminated, *size
 * without it; size may be NULL. */
const char *transcript_string(struct transcript *transcript, const char *in, unsigned line,
                              size_t *size);

/* Ends the program. */
_Noreturn void transcript_die(const struct transcript *transcript, unsigned line, const char *why);

/* The transcripts of a folder, by name: those whose file name holds `part` (NULL: all). Fills at
 * most max paths and returns how many; with too few (fewer than min, of all) it says so, and
 * returns 0. */
#define TRANSCRIPT_PATH_BYTES 512
size_t transcript_files(const char *folder, const char *part, char (*paths)[TRANSCRIPT_PATH_BYTES],
                        size_t min, size_t max);

#endif
