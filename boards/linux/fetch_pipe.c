/* fetch_pipe.c - a command that gets a message on its standard input. */
#include "boards/linux/fetch_deliver.h"

#include "net/posix/link_posix.h"
#include "net/text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMAND_MS_MAX 300000 /* Servers log out after ten minutes of silence (RFC 1939). */
#define STEP_MS 50

struct command {
    pid_t pid;
    int output; /* What it prints; -1: at its end. */
    bool ended, timed_out;
    int status;
    struct text words; /* The last line that it printed. */
    char line[160];
};

static void add_environment(const struct fetch_deliver *deliver)
{
    const struct fetch_letter *letter = &deliver->letters[0];
    char size[24];
    uint32_t low = (uint32_t)(letter->size % 1000000000u);
    uint32_t high = (uint32_t)(letter->size / 1000000000u);

    if (high > 0) {
        text_print(size, sizeof size, "%u", (unsigned)high);
    }
    text_print(size + (high > 0 ? strlen(size) : 0), 12, high > 0 ? "%09u" : "%u", (unsigned)low);
    (void)setenv("SENDER", letter->sender, 1);
    (void)setenv("TOCSIN_ACCOUNT", deliver->account, 1);
    (void)setenv("TOCSIN_UID", letter->uid, 1);
    (void)setenv("TOCSIN_SIZE", size, 1);
}

/* The child: never returns. */
__attribute__((noreturn)) static void run_child(const struct fetch_deliver *deliver, int output)
{
    const char *const arguments[] = {"sh", "-c", deliver->path, NULL};
    sigset_t none;

    (void)setpgid(0, 0);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    add_environment(deliver);
    if (dup2(deliver->spool, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0) {
        _exit(EX_OSERR);
    }
    for (int fd = 3; fd < 256; fd++) {
        (void)close(fd); /* Nothing of ours is the command's. */
    }
    (void)execv("/bin/sh", (char *const *)(uintptr_t)arguments);
    _exit(EX_OSERR);
}

/* Hands on what it printed; keeps the last line. */
static void take_output(struct command *command, bool quiet)
{
    char bytes[512];
    ssize_t count = read(command->output, bytes, sizeof bytes);

    if (count <= 0) {
        if (count == 0 || (errno != EINTR && errno != EAGAIN)) {
            close(command->output);
            command->output = -1;
        }
        return;
    }
    if (!quiet) {
        (void)!write(2, bytes, (size_t)count);
    }
    for (ssize_t i = 0; i < count; i++) {
        static const char blank[] = "\r\n";

        if (strchr(blank, bytes[i]) == NULL || bytes[i] == '\0') {
            if (command->words.size == 0) {
                command->words = text_begin(command->line, sizeof command->line);
            }
            text_add_char(&command->words, bytes[i]);
        } else {
            command->words.size = 0; /* The next byte begins another line. */
        }
    }
}

/* Until it has ended and what it printed was taken, or the time is up. */
static void await(struct command *command, bool quiet)
{
    uint64_t until_ms = posix_monotonic_ms() + COMMAND_MS_MAX;

    while (!command->ended || command->output >= 0) {
        struct pollfd wait = {.fd = command->output, .events = POLLIN};
        bool ended = command->ended;

        if (!ended && waitpid(command->pid, &command->status, WNOHANG) == command->pid) {
            command->ended = true;
        }
        /* Something that it left behind may keep its output open: what is there now is enough. */
        if (command->output < 0) {
            (void)poll(NULL, 0, command->ended ? 0 : 1);
        } else if (poll(&wait, 1, command->ended ? 0 : STEP_MS) > 0) {
            take_output(command, quiet);
        } else if (ended) {
            close(command->output);
            command->output = -1;
        }
        if (!command->ended && posix_monotonic_ms() >= until_ms) {
            command->timed_out = true;
            (void)kill(-command->pid, SIGKILL);
            (void)waitpid(command->pid, &command->status, 0);
            command->ended = true;
        }
    }
}

static int judge(const struct fetch_deliver *deliver, const struct command *command,
                 struct fetch_why *why)
{
    char words[sizeof command->line];
    struct text text = text_begin(words, sizeof words);
    int code = WIFEXITED(command->status) ? WEXITSTATUS(command->status) : EX_SOFTWARE;
    const char *colon = command->line[0] != '\0' ? ": " : "";

    if (WIFEXITED(command->status) && code == 0) {
        return 0;
    }
    text_add_printable(&text, command->line, strlen(command->line));
    if (command->timed_out) {
        (void)fetch_why(why, EX_TEMPFAIL, "%s: it took longer than %u s%s%s", deliver->path,
                        COMMAND_MS_MAX / 1000, colon, words);
        return E_TRANSIENT;
    }
    if (code == EX_TEMPFAIL) {
        (void)fetch_why(why, EX_TEMPFAIL, "%s: it wants that message later%s%s", deliver->path,
                        colon, words);
        return E_TRANSIENT;
    }
    if (!WIFEXITED(command->status)) {
        return fetch_why(why, EX_UNAVAILABLE, "%s: it was ended by signal %u%s%s", deliver->path,
                         (unsigned)WTERMSIG(command->status), colon, words);
    }
    return fetch_why(why, code == 127 || code == 126 ? EX_CONFIG : EX_UNAVAILABLE,
                     "%s: it ended with %u%s%s", deliver->path, (unsigned)code, colon, words);
}

int fetch_pipe_commit(struct fetch_deliver *deliver, struct fetch_why *why)
{
    struct command command = {.output = -1};
    int ends[2];

    if (lseek(deliver->spool, (off_t)deliver->letters[0].begin, SEEK_SET) < 0 ||
        pipe2(ends, O_CLOEXEC) < 0) {
        return fetch_why_errno(why, deliver->path);
    }
    command.pid = fork();
    if (command.pid == 0) {
        run_child(deliver, ends[1]);
    }
    close(ends[1]);
    if (command.pid < 0) {
        close(ends[0]);
        return fetch_why_errno(why, deliver->path);
    }
    command.output = ends[0];
    (void)fcntl(command.output, F_SETFL, O_NONBLOCK);
    await(&command, deliver->quiet);
    return judge(deliver, &command, why);
}
