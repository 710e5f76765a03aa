#include "boards/linux/children.h"

#include "boards/linux/fetch.h"
#include "boards/linux/mailer.h"
#include "boards/linux/maillog.h"
#include "net/posix/link_posix.h"
#include "net/text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>

#define SETTLE_MS 2000      /* Who queued a mail sends it himself, if he can. */
#define LOOK_MS 60000       /* Without news from anywhere. */
#define FETCH_FIRST_MS 3000 /* After the start. */
#define CHILD_S_MAX 14400   /* The engines' own timeouts come long before. */
#define DESCRIPTORS 1024
#define SIGNALS 32

static void say(const struct children *children, const char *line)
{
    children->log(children->context, line);
}

/* ---- the child's side ---- */

/* Nothing of the daemon's stays: a lock or a socket that it has would outlive it here. */
static void leave_daemon(int keep)
{
    for (int number = 1; number < SIGNALS; number++) {
        (void)signal(number, SIG_DFL); /* SIGKILL and SIGSTOP cannot. */
    }
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    for (int fd = STDERR_FILENO + 1; fd < DESCRIPTORS; fd++) {
        if (fd != keep) {
            (void)close(fd);
        }
    }
    (void)alarm(CHILD_S_MAX);
}

static void run_mailer(struct settings *settings, int answer)
{
    static struct mailer_outcome outcome;
    struct spool spool;
    struct maillog log;
    const struct mailer_params params = {
        .settings = settings, .spool = &spool, .log = &log, .trace_fd = -1};

    maillog_open(&log, "tocsin", settings->config.log);
    if (spool_open(&spool, settings->config.spool) < 0) {
        maillog_line(&log, 3, spool.problem);
        _exit(1);
    }
    spool_sweep(&spool);
    mailer_run(&params, MAILER_DUE, NULL, &outcome);
    (void)!write(answer, &outcome.next_unix_ms, sizeof outcome.next_unix_ms);
}

static void run_fetch(struct settings *settings)
{
    const struct fetch_options options = {.quiet = true};
    struct maillog log;

    maillog_open(&log, "tocsin", settings->config.log);
    (void)!fetch_run(settings, &options, &log);
}

/* ---- the daemon's ---- */

static void start(struct children *children, enum child_kind kind, uint64_t now_ms)
{
    struct child *child = &children->child[kind];
    int ends[2] = {-1, -1};
    pid_t pid;

    child->asked = false;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0 || (pid = fork()) < 0) {
        if (ends[0] >= 0) {
            (void)close(ends[0]);
            (void)close(ends[1]);
        }
        say(children, "no memory for a process that sends or reads mail");
        child->next_ms = now_ms + LOOK_MS;
        return;
    }
    if (pid == 0) {
        leave_daemon(ends[1]);
        if (kind == CHILD_MAILER) {
            run_mailer(children->settings, ends[1]);
        } else {
            run_fetch(children->settings);
        }
        _exit(0);
    }
    (void)close(ends[1]);
    child->pid = pid;
    child->answer = ends[0];
    child->deadline_ms = now_ms + CHILD_S_MAX * UINT64_C(1000);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* What the child told, in this process's time. */
static void plan(struct children *children, enum child_kind kind, uint64_t now_ms)
{
    struct child *child = &children->child[kind];
    const struct config *config = &children->settings->config;
    uint64_t unix_ms = posix_unix_ms();
    uint64_t next_unix_ms = 0;

    if (kind == CHILD_FETCH) {
        child->next_ms = now_ms + config->poll_s * UINT64_C(1000);
        return;
    }
    child->next_ms = now_ms + LOOK_MS;
    if (read(child->answer, &next_unix_ms, sizeof next_unix_ms) == (ssize_t)sizeof next_unix_ms &&
        next_unix_ms != 0) {
        uint64_t wait_ms = next_unix_ms > unix_ms ? next_unix_ms - unix_ms : 0;

        child->next_ms = now_ms + (wait_ms < SETTLE_MS ? SETTLE_MS : sooner(wait_ms, LOOK_MS));
    }
    if (child->asked) {
        child->next_ms = sooner(child->next_ms, now_ms + SETTLE_MS);
    }
}

static void reap(struct children *children, enum child_kind kind, uint64_t now_ms)
{
    struct child *child = &children->child[kind];
    int status = 0;

    if (child->pid == 0) {
        return;
    }
    if (now_ms >= child->deadline_ms) {
        say(children, "a process that sends or reads mail took too long, and was ended");
        (void)kill(child->pid, SIGKILL);
        child->deadline_ms = UINT64_MAX;
    }
    if (waitpid(child->pid, &status, WNOHANG) == 0) {
        return;
    }
    if (WIFSIGNALED(status) && !children->stopping) {
        char line[80];

        (void)text_print(line, sizeof line, "%s ended by signal %u",
                         kind == CHILD_MAILER ? "sending the queue" : "reading mailboxes",
                         (unsigned)WTERMSIG(status));
        say(children, line);
    }
    child->pid = 0;
    plan(children, kind, now_ms);
    (void)close(child->answer);
    child->answer = -1;
}

static bool queue_has_mail(struct children *children)
{
    char(*ids)[SPOOL_ID_BYTES] = NULL;
    int count = spool_list(&children->spool, false, &ids);

    free(ids);
    return count > 0;
}

/* Whatever happened in the queue's folder. */
static void read_news(struct children *children, uint64_t now_ms)
{
    struct child *child = &children->child[CHILD_MAILER];
    char bytes[4096];
    bool any = false;

    while (children->inotify >= 0 && read(children->inotify, bytes, sizeof bytes) > 0) {
        any = true;
    }
    if (any && child->pid != 0) {
        child->asked = true;
    } else if (any) {
        child->next_ms = sooner(child->next_ms, now_ms + SETTLE_MS);
    }
}

static bool fetches(const struct children *children)
{
    const struct config *config = &children->settings->config;

    return config->poll_s != 0 && ((config->deliver[0] != '\0' && config->pop3.host[0] != '\0') ||
                                   config->accounts[0] != '\0');
}

void children_poll(struct children *children, uint64_t now_ms, bool hold)
{
    struct child *mailer = &children->child[CHILD_MAILER];
    struct child *fetch = &children->child[CHILD_FETCH];

    reap(children, CHILD_MAILER, now_ms);
    reap(children, CHILD_FETCH, now_ms);
    read_news(children, now_ms);
    if (children->stopping) {
        return;
    }
    if (mailer->pid == 0 && now_ms >= mailer->next_ms) {
        if (queue_has_mail(children)) {
            start(children, CHILD_MAILER, now_ms);
        } else {
            mailer->next_ms = now_ms + LOOK_MS;
        }
    }
    if (fetch->pid == 0 && now_ms >= fetch->next_ms && fetches(children) && !hold) {
        start(children, CHILD_FETCH, now_ms);
    }
}

size_t children_wants(const struct children *children, struct pollfd *out, uint64_t now_ms,
                      uint32_t *timeout_ms)
{
    size_t count = 0;

    if (children->inotify >= 0) {
        out[count++] = (struct pollfd){.fd = children->inotify, .events = POLLIN};
    }
    for (unsigned kind = 0; kind < CHILD_KINDS; kind++) {
        const struct child *child = &children->child[kind];
        bool due = kind == CHILD_MAILER || fetches(children);

        if (child->pid == 0 && due && !children->stopping) {
            uint64_t wait_ms = child->next_ms > now_ms ? child->next_ms - now_ms : 1;

            *timeout_ms = wait_ms < *timeout_ms ? (uint32_t)wait_ms : *timeout_ms;
        }
    }
    return count;
}

bool children_run(const struct children *children, enum child_kind kind)
{
    return children->child[kind].pid != 0;
}

bool children_stop(struct children *children, bool grace_over)
{
    bool any = false;

    children->stopping = true;
    for (unsigned kind = 0; kind < CHILD_KINDS; kind++) {
        struct child *child = &children->child[kind];

        if (child->pid != 0 && waitpid(child->pid, NULL, WNOHANG) != 0) {
            child->pid = 0;
        }
        if (child->pid != 0 && grace_over) {
            (void)kill(child->pid, SIGTERM);
        }
        any = any || child->pid != 0;
    }
    return any;
}

void children_init(struct children *children, struct settings *settings, uint64_t now_ms)
{
    char path[sizeof settings->config.spool + 8];

    if (children->settings != NULL) {
        if (children->inotify >= 0) {
            (void)close(children->inotify);
        }
        spool_close(&children->spool);
    } else {
        for (unsigned kind = 0; kind < CHILD_KINDS; kind++) {
            children->child[kind].answer = -1;
        }
    }
    children->settings = settings;
    children->inotify = -1;
    children->child[CHILD_MAILER].next_ms = now_ms;
    children->child[CHILD_FETCH].next_ms = now_ms + FETCH_FIRST_MS;
    if (spool_open(&children->spool, settings->config.spool) < 0) {
        say(children, children->spool.problem);
        return;
    }
    (void)text_print(path, sizeof path, "%s/queue", settings->config.spool);
    children->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (children->inotify >= 0 && inotify_add_watch(children->inotify, path, IN_MOVED_TO) < 0) {
        (void)close(children->inotify);
        children->inotify = -1;
    }
}
