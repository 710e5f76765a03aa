/* control.h - the device's console for other processes: a Unix socket in the state folder.
 *
 * A client writes one line and reads the answer's lines, of which the last is `ok` or
 * `error: ...`. The line is one of the console's commands, or
 *     console     what follows are keys and what comes back is a terminal's, both ways
 *     which       the answer is the path of its configuration
 *     yield       a one-shot process is to end soon, since the daemon wants the flash
 *
 * Commands that answer at once are answered at once, whoever else waits for a `test`. A client that
 * stalls loses its connection; what it does not read is dropped. Who is neither root nor the owner
 * of the flash may send alerts and tests and ask for the status: nothing that shows texts of
 * others or changes anything.
 *
 * Cost: sizeof(struct control), some 50 KB. One context.
 */
#ifndef TOCSIN_BOARDS_LINUX_CONTROL_H
#define TOCSIN_BOARDS_LINUX_CONTROL_H

#include "firmware/app.h"
#include "net/error.h"

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTROL_CLIENTS 12
#define CONTROL_LINE_BYTES 2048
#define CONTROL_KEYS_BYTES 256
#define CONTROL_FILE "control"

/* What the console writes, as lines: without a prompt, without a terminal's sequences. */
struct control_lines {
    bool after_cr, escape;
    size_t length;
    char line[1024];
};

/* Takes more; calls take() for each line that is whole. */
void control_lines_push(struct control_lines *lines, const char *text, size_t size,
                        void (*take)(void *context, const char *line), void *context);

enum control_state {
    CONTROL_FREE,
    CONTROL_READING,   /* Its line has not ended. */
    CONTROL_WAITING,   /* It has, and another command is to answer first. */
    CONTROL_ANSWERING, /* `ok` or `error: ...` is still to come. */
    CONTROL_TERMINAL
};

struct control_client {
    enum control_state state;
    int fd;     /* -1: this process's own: see control_run(). */
    bool full;  /* May do all. */
    bool ended; /* Nothing more comes from it. */
    bool gone;  /* To be closed. */
    uint64_t deadline_ms;
    size_t length;
    char line[CONTROL_LINE_BYTES];
    struct control_lines lines;
};

struct control {
    struct app *app;
    bool daemon;
    bool yield;     /* The daemon wants the flash. */
    uint32_t owner; /* User id of whoever may do all, as root may. */
    int listener;
    const char *path; /* Of the configuration, for `which`. */
    char folder[256];
    struct control_client *current;  /* Its command runs now. */
    struct control_client *pending;  /* Its answer is still to come. */
    struct control_client *terminal; /* NULL: none. */
    struct control_client own;
    struct control_client client[CONTROL_CLIENTS];
    struct control_lines log;
    size_t keys_at, keys_size;
    char keys[CONTROL_KEYS_BYTES];
    bool (*settle)(void *context); /* Before an answer is given: what it tells is on the disk. */
    void (*log_line)(void *context, const char *line); /* What the app logged, with its time. */
    void (*own_line)(void *context, const char *line); /* The answer to control_run(). */
    void *context;
};

/* Clears it; no socket yet. owner: whose flash it is. */
void control_init(struct control *control, struct app *app, bool daemon, uint32_t owner);

/* Listens in that folder; the caller holds the flash, so that an old socket there is nobody's. E_IO
 * with errno. */
MUST_CHECK int control_open(struct control *control, const char *folder);

/* No new clients; those that have come are still answered. */
void control_shut(struct control *control);

/* All clients go, since the app begins anew; the second one ends the socket as well. */
void control_close_clients(struct control *control);
void control_close(struct control *control);

/* Runs a command of this process's own; its answer goes to own_line(). full: see above. */
void control_run(struct control *control, const char *line, bool full);

/* Adds what is to be waited for; returns how many: CONTROL_CLIENTS + 1 at most. */
size_t control_wants(const struct control *control, struct pollfd *out);

/* Takes what has come. True: something moved. */
bool control_poll(struct control *control, uint64_t now_ms);

/* Whether anybody is connected. */
bool control_busy(const struct control *control);

/* For struct board. */
int control_getc(struct control *control);
void control_write(struct control *control, const char *text, size_t size);

/* Connects to whoever has the device of that folder. Returns the descriptor; E_MISSING: nobody
 * listens; E_IO with errno: no permission, or no such folder. */
MUST_CHECK int control_connect(const char *folder);

#endif
