/* inject - runs a program and lets one of its system calls fail, or kills it there.
 *
 *     inject [--calls SET] [--under FOLDER] [--list FILE] [--journal FILE] [--seconds N]
 *            [--at N --do ACTION [--rest]] -- PROGRAM [ARGUMENT ...]
 *
 * SET     of files (what changes a file system), reads, net, comma between; files,net by default.
 * FOLDER  of calls on files, only those on paths in it or on descriptors of what is in it.
 * --list  one line a counted call: number, process, call, path.
 * --at    the call (from 1) to which ACTION happens: kill-before, kill-after (SIGKILL to its
 *         process), short (a write or send of half of its bytes), or an error's name: the call is
 *         not made. --rest: to all that follow of the same name as well, as on a disk that is full.
 * --journal  what happened to the files of FOLDER, and when something was printed, for faults.py:
 *            create INO PATH | mkdir INO PATH | write INO OFFSET HEX | truncate INO SIZE |
 *            sync INO | rename OLD NEW | link OLD NEW | unlink PATH | rmdir PATH | say HEX
 *
 * Processes that the program starts count as it does. Ends as the program ends, 128 and the signal
 * for one that was killed; 125: it could not be run; 124: it took longer than N seconds (60).
 * x86-64 Linux alone. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRACEES_MAX 512
#define WRITE_BYTES_MAX (1 << 20)

enum { SET_FILES = 1, SET_READS = 2, SET_NET = 4 };

/* Arguments that are a descriptor or a path, -1: none. A path's folder is the argument before it
 * where `at` says so. */
static const struct call {
    long number;
    const char *name;
    int set;
    int fd, path, path2;
    bool at;
} calls[] = {
    {SYS_open, "open", SET_FILES, -1, 0, -1, false},
    {SYS_openat, "openat", SET_FILES, -1, 1, -1, true},
    {SYS_creat, "creat", SET_FILES, -1, 0, -1, false},
    {SYS_write, "write", SET_FILES | SET_NET, 0, -1, -1, false},
    {SYS_pwrite64, "pwrite64", SET_FILES, 0, -1, -1, false},
    {SYS_writev, "writev", SET_FILES | SET_NET, 0, -1, -1, false},
    {SYS_fsync, "fsync", SET_FILES, 0, -1, -1, false},
    {SYS_fdatasync, "fdatasync", SET_FILES, 0, -1, -1, false},
    {SYS_ftruncate, "ftruncate", SET_FILES, 0, -1, -1, false},
    {SYS_fchmod, "fchmod", SET_FILES, 0, -1, -1, false},
    {SYS_fchown, "fchown", SET_FILES, 0, -1, -1, false},
    {SYS_flock, "flock", SET_FILES, 0, -1, -1, false},
    {SYS_rename, "rename", SET_FILES, -1, 0, 1, false},
    {SYS_renameat, "renameat", SET_FILES, -1, 1, 3, true},
    {SYS_renameat2, "renameat2", SET_FILES, -1, 1, 3, true},
    {SYS_link, "link", SET_FILES, -1, 0, 1, false},
    {SYS_linkat, "linkat", SET_FILES, -1, 1, 3, true},
    {SYS_unlink, "unlink", SET_FILES, -1, 0, -1, false},
    {SYS_unlinkat, "unlinkat", SET_FILES, -1, 1, -1, true},
    {SYS_rmdir, "rmdir", SET_FILES, -1, 0, -1, false},
    {SYS_mkdir, "mkdir", SET_FILES, -1, 0, -1, false},
    {SYS_mkdirat, "mkdirat", SET_FILES, -1, 1, -1, true},
    {SYS_read, "read", SET_READS | SET_NET, 0, -1, -1, false},
    {SYS_pread64, "pread64", SET_READS, 0, -1, -1, false},
    {SYS_readv, "readv", SET_READS | SET_NET, 0, -1, -1, false},
    {SYS_getdents64, "getdents64", SET_READS, 0, -1, -1, false},
    {SYS_fstat, "fstat", SET_READS, 0, -1, -1, false},
    {SYS_newfstatat, "newfstatat", SET_READS, -1, 1, -1, true},
    {SYS_socket, "socket", SET_NET, -1, -1, -1, false},
    {SYS_connect, "connect", SET_NET, 0, -1, -1, false},
    {SYS_sendto, "sendto", SET_NET, 0, -1, -1, false},
    {SYS_sendmsg, "sendmsg", SET_NET, 0, -1, -1, false},
    {SYS_recvfrom, "recvfrom", SET_NET, 0, -1, -1, false},
    {SYS_recvmsg, "recvmsg", SET_NET, 0, -1, -1, false},
    {SYS_poll, "poll", SET_NET, -1, -1, -1, false},
    {SYS_ppoll, "ppoll", SET_NET, -1, -1, -1, false},
};

static const struct {
    const char *name;
    int number;
} errors[] = {
    {"ENOSPC", ENOSPC},
    {"EDQUOT", EDQUOT},
    {"EIO", EIO},
    {"EINTR", EINTR},
    {"EROFS", EROFS},
    {"EMFILE", EMFILE},
    {"ENFILE", ENFILE},
    {"EACCES", EACCES},
    {"ENOMEM", ENOMEM},
    {"EPIPE", EPIPE},
    {"ECONNRESET", ECONNRESET},
    {"ETIMEDOUT", ETIMEDOUT},
    {"EAGAIN", EAGAIN},
    {"EHOSTUNREACH", EHOSTUNREACH},
};

enum action { ACT_NOTHING, ACT_KILL_BEFORE, ACT_KILL_AFTER, ACT_SHORT, ACT_FAIL };

/* One thread that is traced, and the call that it is in. */
struct tracee {
    pid_t pid;
    bool in_call, started, creates;
    const struct call *call; /* NULL: of no interest. */
    uint64_t argument[6];
    enum action action;
    char path[PATH_MAX], path2[PATH_MAX];
    int64_t offset;
};

static struct {
    int sets;
    char under[PATH_MAX];
    FILE *list, *journal;
    unsigned long at, count;
    enum action action;
    int error;
    bool rest, running;
    const char *rest_name; /* Of the call at `at`. */
    pid_t program;
} run = {.sets = SET_FILES | SET_NET};

static struct tracee tracees[TRACEES_MAX];

static void die(const char *what)
{
    fprintf(stderr, "inject: %s: %s\n", what, strerror(errno));
    exit(125);
}

static void on_alarm(int signal_number)
{
    (void)signal_number;
    _exit(124); /* The tracees go with their tracer (PTRACE_O_EXITKILL). */
}

/* ---- looking into a tracee ---- */

static size_t read_memory(pid_t pid, uint64_t address, void *out, size_t size)
{
    struct iovec local = {.iov_base = out, .iov_len = size};
    struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = size};
    ssize_t count = process_vm_readv(pid, &local, 1, &remote, 1, 0);

    return count < 0 ? 0 : (size_t)count;
}

static void read_string(pid_t pid, uint64_t address, char *out, size_t size)
{
    size_t length = 0;

    while (length < size - 1 && read_memory(pid, address + length, out + length, 1) == 1 &&
           out[length] != '\0') {
        length++;
    }
    out[length] = '\0';
}

/* What a descriptor stands for; AT_FDCWD: the working folder. */
static void path_of_fd(pid_t pid, int fd, char *out, size_t size)
{
    char link[64];
    ssize_t length;

    if (fd == AT_FDCWD) {
        snprintf(link, sizeof link, "/proc/%d/cwd", (int)pid);
    } else {
        snprintf(link, sizeof link, "/proc/%d/fd/%d", (int)pid, fd);
    }
    length = readlink(link, out, size - 1);
    out[length < 0 ? 0 : length] = '\0';
}

static void path_of_argument(const struct tracee *tracee, int index, char *out, size_t size)
{
    char name[PATH_MAX];
    size_t length;

    read_string(tracee->pid, tracee->argument[index], name, sizeof name);
    if (name[0] == '/') {
        snprintf(out, size, "%s", name);
        return;
    }
    path_of_fd(tracee->pid, tracee->call->at ? (int)tracee->argument[index - 1] : AT_FDCWD, out,
               size);
    length = strlen(out);
    snprintf(out + length, size - length, "%s%s", strcmp(name, ".") == 0 ? "" : "/",
             strcmp(name, ".") == 0 ? "" : name);
}

static bool is_under(const char *path)
{
    size_t length = strlen(run.under);

    return length == 0 ||
           (strncmp(path, run.under, length) == 0 && (path[length] == '/' || path[length] == '\0'));
}

/* ---- the journal ---- */

static uint64_t inode_of_fd(pid_t pid, int fd)
{
    char link[64];
    struct stat status;

    snprintf(link, sizeof link, "/proc/%d/fd/%d", (int)pid, fd);
    return stat(link, &status) == 0 ? status.st_ino : 0;
}

static void journal_hex(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        fprintf(run.journal, "%02x", bytes[i]);
    }
    fputc('\n', run.journal);
}

static int64_t position_of_fd(pid_t pid, int fd)
{
    char name[64];
    long long position = 0;
    FILE *info;

    snprintf(name, sizeof name, "/proc/%d/fdinfo/%d", (int)pid, fd);
    info = fopen(name, "r");
    if (info == NULL || fscanf(info, "pos: %lld", &position) != 1) {
        position = 0;
    }
    if (info != NULL) {
        fclose(info);
    }
    return position;
}

static void journal_write(const struct tracee *tracee, long long result)
{
    static uint8_t bytes[WRITE_BYTES_MAX];
    size_t size = read_memory(tracee->pid, tracee->argument[1], bytes, (size_t)result);
    int fd = (int)tracee->argument[0];

    if (size != (size_t)result || result > WRITE_BYTES_MAX) {
        fprintf(stderr, "inject: a write too large for the journal\n");
        exit(125);
    }
    if (fd == 1 && !is_under(tracee->path)) {
        fputs("say ", run.journal);
    } else {
        fprintf(run.journal, "write %llu %lld ", (unsigned long long)inode_of_fd(tracee->pid, fd),
                (long long)tracee->offset);
    }
    journal_hex(bytes, size);
}

static void journal_open(const struct tracee *tracee, long long result)
{
    uint64_t flags = tracee->argument[tracee->call->path + 1];
    unsigned long long inode = inode_of_fd(tracee->pid, (int)result);

    if (tracee->creates) {
        fprintf(run.journal, "create %llu %s\n", inode, tracee->path);
    } else if ((flags & O_TRUNC) != 0 && (flags & O_ACCMODE) != O_RDONLY) {
        fprintf(run.journal, "truncate %llu 0\n", inode);
    }
}

/* A call that did what it was asked for. */
static void journal(const struct tracee *tracee, long long result)
{
    const char *name = tracee->call->name;
    unsigned long long inode;

    switch (tracee->call->number) {
    case SYS_open:
    case SYS_openat:
        journal_open(tracee, result);
        break;
    case SYS_write:
    case SYS_pwrite64:
        journal_write(tracee, result);
        break;
    case SYS_fsync:
    case SYS_fdatasync:
        inode = inode_of_fd(tracee->pid, (int)tracee->argument[0]);
        fprintf(run.journal, "sync %llu\n", inode);
        break;
    case SYS_ftruncate:
        inode = inode_of_fd(tracee->pid, (int)tracee->argument[0]);
        fprintf(run.journal, "truncate %llu %llu\n", inode,
                (unsigned long long)tracee->argument[1]);
        break;
    case SYS_mkdir:
    case SYS_mkdirat: {
        struct stat status;

        if (stat(tracee->path, &status) == 0) {
            fprintf(run.journal, "mkdir %llu %s\n", (unsigned long long)status.st_ino,
                    tracee->path);
        }
        break;
    }
    case SYS_unlinkat:
        fprintf(run.journal, "%s %s\n",
                (tracee->argument[2] & AT_REMOVEDIR) != 0 ? "rmdir" : "unlink", tracee->path);
        break;
    case SYS_writev:
    case SYS_creat:
        fprintf(stderr, "inject: %s is not in the journal\n", name);
        exit(125);
    default:
        if (strncmp(name, "rename", 6) == 0 || strncmp(name, "link", 4) == 0) {
            fprintf(run.journal, "%.*s %s %s\n", name[0] == 'r' ? 6 : 4, name, tracee->path,
                    tracee->path2);
        } else if (strcmp(name, "unlink") == 0 || strcmp(name, "rmdir") == 0) {
            fprintf(run.journal, "%s %s\n", name, tracee->path);
        }
        break;
    }
}

/* ---- calls ---- */

static const struct call *find_call(uint64_t number)
{
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        if ((uint64_t)calls[i].number == number) {
            return &calls[i];
        }
    }
    return NULL;
}

/* Whether it is of the sets and the folder; fills the paths. */
static bool is_counted(struct tracee *tracee)
{
    const struct call *call = tracee->call;
    int set = call->set;

    tracee->path[0] = '\0';
    tracee->path2[0] = '\0';
    if (call->fd >= 0) {
        path_of_fd(tracee->pid, (int)tracee->argument[call->fd], tracee->path, sizeof tracee->path);
        if (strncmp(tracee->path, "socket:", 7) == 0) {
            return (set & run.sets & SET_NET) != 0;
        }
        set &= ~SET_NET;
    }
    if (call->path >= 0) {
        path_of_argument(tracee, call->path, tracee->path, sizeof tracee->path);
    }
    if (call->path2 >= 0) {
        path_of_argument(tracee, call->path2, tracee->path2, sizeof tracee->path2);
    }
    if ((set & SET_NET) != 0) {
        return (run.sets & SET_NET) != 0;
    }
    return (set & run.sets) != 0 && (is_under(tracee->path) || is_under(tracee->path2));
}

static void set_registers(const struct tracee *tracee, const struct user_regs_struct *registers)
{
    if (ptrace(PTRACE_SETREGS, tracee->pid, NULL, registers) != 0) {
        die("PTRACE_SETREGS");
    }
}

static void act_before(struct tracee *tracee)
{
    struct user_regs_struct registers;

    if (tracee->action == ACT_KILL_BEFORE) {
        kill(tracee->pid, SIGKILL);
        return;
    }
    if (ptrace(PTRACE_GETREGS, tracee->pid, NULL, &registers) != 0) {
        die("PTRACE_GETREGS");
    }
    if (tracee->action == ACT_SHORT && registers.rdx > 1) {
        registers.rdx /= 2;
        set_registers(tracee, &registers);
    } else if (tracee->action == ACT_FAIL) {
        registers.orig_rax = (unsigned long long)-1;
        set_registers(tracee, &registers);
    }
}

static void on_entry(struct tracee *tracee, const struct __ptrace_syscall_info *info)
{
    struct stat status;
    bool counted;

    tracee->in_call = true;
    tracee->action = ACT_NOTHING;
    tracee->call = run.running ? find_call(info->entry.nr) : NULL;
    if (tracee->call == NULL) {
        return;
    }
    memcpy(tracee->argument, info->entry.args, sizeof tracee->argument);
    counted = is_counted(tracee);
    tracee->creates = (strncmp(tracee->call->name, "open", 4) == 0) &&
                      (tracee->argument[tracee->call->path + 1] & O_CREAT) != 0 &&
                      lstat(tracee->path, &status) != 0;
    if (tracee->call->number == SYS_pwrite64) {
        tracee->offset = (int64_t)tracee->argument[3];
    } else if (tracee->call->number == SYS_write && run.journal != NULL) {
        tracee->offset = position_of_fd(tracee->pid, (int)tracee->argument[0]);
    }
    if (!counted) {
        /* What is printed is not counted, but it is in the journal. */
        if (tracee->call->number != SYS_write || tracee->argument[0] != 1) {
            tracee->call = NULL;
        }
        return;
    }
    run.count++;
    if (run.list != NULL) {
        fprintf(run.list, "%lu %d %s %s%s%s\n", run.count, (int)tracee->pid, tracee->call->name,
                tracee->path, tracee->path2[0] != '\0' ? " " : "", tracee->path2);
    }
    if (run.count == run.at) {
        run.rest_name = tracee->call->name;
        tracee->action = run.action;
    } else if (run.rest && run.count > run.at && run.rest_name == tracee->call->name) {
        tracee->action = run.action;
    }
    if (tracee->action != ACT_NOTHING) {
        act_before(tracee);
    }
}

static void on_exit_of_call(struct tracee *tracee, const struct __ptrace_syscall_info *info)
{
    struct user_regs_struct registers;

    tracee->in_call = false;
    if (tracee->call == NULL) {
        return;
    }
    if (tracee->action == ACT_FAIL) {
        if (ptrace(PTRACE_GETREGS, tracee->pid, NULL, &registers) != 0) {
            die("PTRACE_GETREGS");
        }
        registers.rax = (unsigned long long)-run.error;
        set_registers(tracee, &registers);
        return;
    }
    if (run.journal != NULL && info->exit.rval >= 0) {
        journal(tracee, info->exit.rval);
    }
    if (tracee->action == ACT_KILL_AFTER) {
        kill(tracee->pid, SIGKILL);
    }
}

/* ---- tracing ---- */

static struct tracee *find_tracee(pid_t pid)
{
    struct tracee *unused = NULL;

    for (size_t i = 0; i < TRACEES_MAX; i++) {
        if (tracees[i].pid == pid) {
            return &tracees[i];
        }
        if (tracees[i].pid == 0 && unused == NULL) {
            unused = &tracees[i];
        }
    }
    if (unused == NULL) {
        errno = EMFILE;
        die("processes");
    }
    unused->pid = pid;
    unused->started = false;
    unused->in_call = false;
    return unused;
}

/* A stop that is not the end. Returns the signal to be delivered. */
static int on_stop(struct tracee *tracee, int status)
{
    int number = WSTOPSIG(status);
    struct __ptrace_syscall_info info;

    if (number == (SIGTRAP | 0x80)) {
        memset(&info, 0, sizeof info);
        if (ptrace(PTRACE_GET_SYSCALL_INFO, tracee->pid, (void *)sizeof info, &info) < 0) {
            return 0; /* Killed meanwhile. */
        }
        if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
            on_entry(tracee, &info);
        } else if (info.op == PTRACE_SYSCALL_INFO_EXIT) {
            on_exit_of_call(tracee, &info);
        }
        return 0;
    }
    if (number == SIGTRAP && status >> 16 != 0) {
        run.running |= status >> 16 == PTRACE_EVENT_EXEC;
        return 0;
    }
    if (number == SIGSTOP && !tracee->started) {
        tracee->started = true; /* A new one begins stopped. */
        return 0;
    }
    return number;
}

static int trace(void)
{
    int result = 125;
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
        struct tracee *tracee;

        if (pid <= 0) {
            continue;
        }
        tracee = find_tracee(pid);
        if (WIFSTOPPED(status)) {
            int number = on_stop(tracee, status);

            (void)ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(intptr_t)number);
            continue;
        }
        tracee->pid = 0;
        if (pid == run.program) {
            result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
    }
    return result;
}

static void start(char **arguments)
{
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                   PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
    int status;

    run.program = fork();
    if (run.program < 0) {
        die("fork");
    }
    if (run.program == 0) {
        (void)personality(ADDR_NO_RANDOMIZE); /* Each run like the one before. */
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0 || raise(SIGSTOP) != 0) {
            _exit(125);
        }
        execvp(arguments[0], arguments);
        fprintf(stderr, "inject: %s: %s\n", arguments[0], strerror(errno));
        _exit(125);
    }
    if (waitpid(run.program, &status, 0) != run.program || !WIFSTOPPED(status) ||
        ptrace(PTRACE_SETOPTIONS, run.program, NULL, (void *)options) != 0) {
        die("ptrace");
    }
    find_tracee(run.program)->started = true;
    (void)ptrace(PTRACE_SYSCALL, run.program, NULL, NULL);
}

/* ---- arguments ---- */

static void set_action(const char *name)
{
    static const char *const names[] = {"nothing", "kill-before", "kill-after", "short"};

    for (enum action i = ACT_NOTHING; i < ACT_FAIL; i++) {
        if (strcmp(name, names[i]) == 0) {
            run.action = i;
            return;
        }
    }
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        if (strcmp(name, errors[i].name) == 0) {
            run.action = ACT_FAIL;
            run.error = errors[i].number;
            return;
        }
    }
    errno = EINVAL;
    die(name);
}

static FILE *open_output(const char *name)
{
    FILE *file = fopen(name, "we");

    if (file == NULL) {
        die(name);
    }
    return file;
}

static void set_option(const char *name, const char *value)
{
    if (strcmp(name, "--calls") == 0) {
        run.sets = (strstr(value, "files") != NULL ? SET_FILES : 0) |
                   (strstr(value, "reads") != NULL ? SET_READS : 0) |
                   (strstr(value, "net") != NULL ? SET_NET : 0);
    } else if (strcmp(name, "--under") == 0) {
        if (realpath(value, run.under) == NULL) {
            die(value);
        }
    } else if (strcmp(name, "--list") == 0) {
        run.list = open_output(value);
    } else if (strcmp(name, "--journal") == 0) {
        run.journal = open_output(value);
    } else if (strcmp(name, "--seconds") == 0) {
        alarm((unsigned)strtoul(value, NULL, 10));
    } else if (strcmp(name, "--at") == 0) {
        run.at = strtoul(value, NULL, 10);
    } else if (strcmp(name, "--do") == 0) {
        set_action(value);
    } else {
        errno = EINVAL;
        die(name);
    }
}

int main(int argc, char **argv)
{
    int at = 1;
    int result;

    signal(SIGALRM, on_alarm);
    alarm(60);
    while (at < argc && strcmp(argv[at], "--") != 0) {
        if (strcmp(argv[at], "--rest") == 0) {
            run.rest = true;
            at++;
        } else if (at + 1 < argc) {
            set_option(argv[at], argv[at + 1]);
            at += 2;
        } else {
            break;
        }
    }
    if (at + 1 >= argc || strcmp(argv[at], "--") != 0) {
        fputs("usage: inject [options] -- PROGRAM [ARGUMENT ...]; see its source\n", stderr);
        return 125;
    }
    start(argv + at + 1);
    result = trace();
    if ((run.list != NULL && fclose(run.list) != 0) ||
        (run.journal != NULL && fclose(run.journal) != 0)) {
        die("output");
    }
    return result;
}
