#include "tests/sim/child.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define DIED 101
#define TOO_LONG 102

void *sim_child_shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert(memory != MAP_FAILED);
    return memory;
}

void sim_child_end(int result)
{
    fflush(NULL);
    _exit(result);
}

void sim_child_expect(_Bool holds, const char *what, const char *file, int line)
{
    if (!holds) {
        fprintf(stderr, "%s:%d: error: does not hold: %s\n", file, line, what);
        sim_child_end(1);
    }
}

int sim_child(int (*body)(void *context), void *context, unsigned seconds_max)
{
    int status = 0;
    pid_t child;

    fflush(NULL); /* Or both would write what is in the buffers. */
    child = fork();
    assert(child >= 0);
    if (child == 0) {
        alarm(seconds_max);
        sim_child_end(body(context));
    }
    if (waitpid(child, &status, 0) != child) {
        return DIED;
    }
    if (WIFSIGNALED(status)) {
        return WTERMSIG(status) == SIGALRM ? TOO_LONG : DIED;
    }
    return WEXITSTATUS(status);
}
