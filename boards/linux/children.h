/* children.h - what the daemon lets others do: a process that sends what is due in the spool, and
 * one that reads mailboxes. Never two of a kind, each bounded in time; what they allocate, wait for
 * and crash of is theirs.
 *
 * The spool is looked at when a mail comes into its queue (inotify), when the last run said that
 * one is due, and once a minute in case neither tells.
 */
#ifndef TOCSIN_BOARDS_LINUX_CHILDREN_H
#define TOCSIN_BOARDS_LINUX_CHILDREN_H

#include "boards/linux/settings.h"
#include "boards/linux/spool.h"

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum child_kind { CHILD_MAILER, CHILD_FETCH, CHILD_KINDS };

struct child {
    pid_t pid;            /* 0: none runs. */
    int answer;           /* The mailer tells when the next mail is due; -1: none. */
    uint64_t deadline_ms; /* It is killed then. */
    uint64_t next_ms;     /* When the next one is to run. */
    bool asked;           /* Something happened meanwhile. */
};

struct children {
    struct settings *settings;
    struct spool spool;
    int inotify; /* -1: none. */
    bool stopping;
    struct child child[CHILD_KINDS];
    void (*log)(void *context, const char *line);
    void *context;
};

/* settings is borrowed; its spool need not be usable. Keeps those that run when it is called
 * again. */
void children_init(struct children *children, struct settings *settings, uint64_t now_ms);

/* Starts what is due, reaps what has ended. hold: no mailbox is read now. */
void children_poll(struct children *children, uint64_t now_ms, bool hold);

/* Adds what is to be waited for (2 at most), and brings *timeout_ms down to when to poll again. */
size_t children_wants(const struct children *children, struct pollfd *out, uint64_t now_ms,
                      uint32_t *timeout_ms);

bool children_run(const struct children *children, enum child_kind kind);

/* No new ones. Returns whether any still runs; after grace they are told to end. */
bool children_stop(struct children *children, bool grace_over);

#endif
