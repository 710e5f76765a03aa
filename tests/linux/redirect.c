/* redirect.c - lets programs that call sendmail run from an unpacked tree, with files of a test.
 *
 * Loaded with LD_PRELOAD. Such programs have /usr/sbin/sendmail, their spools and their settings
 * compiled in. $REDIRECT names what is elsewhere, as FROM=TO lines: a path that is FROM, or below
 * it, is looked for at TO; the first line that fits counts. Nothing is said to the machine's
 * syslog.
 *
 * $REDIRECT_DISK is the path of a file that answers as a SCSI disk does, for smartd: it reports a
 * temperature, and that its failure is predicted once the file is not empty.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <scsi/sg.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

/* The next definition of a function: libc's own. */
#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define PATH_SIZE 4096

/* The rules at the program's start: some callers empty their environment, and others are given one
 * that a crontab wrote. */
static char rules[PATH_SIZE];
static char disk[PATH_SIZE];

static void keep(char out[PATH_SIZE], const char *name)
{
    const char *value = getenv(name);
    if (value != NULL && strlen(value) < PATH_SIZE)
        strcpy(out, value);
}

__attribute__((constructor)) static void start(void)
{
    keep(rules, "REDIRECT");
    keep(disk, "REDIRECT_DISK");
}

static const char *there(const char *path, char out[PATH_SIZE])
{
    if (path == NULL)
        return path;
    for (const char *rule = rules; *rule != '\0';) {
        const char *equals = strchr(rule, '=');
        size_t rest = strcspn(rule, "\n");
        if (equals == NULL)
            break;
        size_t from = (size_t)(equals - rule);
        if (from < rest && strncmp(path, rule, from) == 0 &&
            (path[from] == '\0' || path[from] == '/')) {
            int length =
                snprintf(out, PATH_SIZE, "%.*s%s", (int)(rest - from - 1), equals + 1, path + from);
            return length > 0 && length < PATH_SIZE ? out : path;
        }
        rule += rest + (rule[rest] == '\n');
    }
    return path;
}

/* The mode that follows the flags where a file may be made. */
#define MODE_OF(flags, mode)                                     \
    mode_t mode = 0;                                             \
    if (((flags)&O_CREAT) || ((flags)&O_TMPFILE) == O_TMPFILE) { \
        va_list list;                                            \
        va_start(list, flags);                                   \
        mode = (mode_t)va_arg(list, unsigned);                   \
        va_end(list);                                            \
    }

int open(const char *path, int flags, ...)
{
    char other[PATH_SIZE];
    MODE_OF(flags, mode)
    return NEXT(open)(there(path, other), flags, mode);
}

int open64(const char *path, int flags, ...)
{
    char other[PATH_SIZE];
    MODE_OF(flags, mode)
    return NEXT(open64)(there(path, other), flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    char other[PATH_SIZE];
    MODE_OF(flags, mode)
    return NEXT(openat)(folder, there(path, other), flags, mode);
}

int openat64(int folder, const char *path, int flags, ...)
{
    char other[PATH_SIZE];
    MODE_OF(flags, mode)
    return NEXT(openat64)(folder, there(path, other), flags, mode);
}

/* What open() becomes with _FORTIFY_SOURCE. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);

int __open_2(const char *path, int flags)
{
    char other[PATH_SIZE];
    return NEXT(open)(there(path, other), flags);
}

int __open64_2(const char *path, int flags)
{
    char other[PATH_SIZE];
    return NEXT(open64)(there(path, other), flags);
}

/* Functions of one shape: a path, and arguments that are handed on. */
#define ONE_PATH(type, name, parameters, ...)              \
    type name parameters                                   \
    {                                                      \
        char other[PATH_SIZE];                             \
        return NEXT(name)(there(path, other) __VA_ARGS__); \
    }

#define AND ,

ONE_PATH(FILE *, fopen, (const char *path, const char *mode), AND mode)
ONE_PATH(FILE *, fopen64, (const char *path, const char *mode), AND mode)
ONE_PATH(DIR *, opendir, (const char *path))
ONE_PATH(int, stat, (const char *path, struct stat *out), AND out)
ONE_PATH(int, stat64, (const char *path, struct stat64 *out), AND out)
ONE_PATH(int, lstat, (const char *path, struct stat *out), AND out)
ONE_PATH(int, lstat64, (const char *path, struct stat64 *out), AND out)
ONE_PATH(int, access, (const char *path, int mode), AND mode)
ONE_PATH(int, chdir, (const char *path))
ONE_PATH(int, mkdir, (const char *path, mode_t mode), AND mode)
ONE_PATH(int, rmdir, (const char *path))
ONE_PATH(int, unlink, (const char *path))
ONE_PATH(int, chmod, (const char *path, mode_t mode), AND mode)
ONE_PATH(int, chown, (const char *path, uid_t user, gid_t group), AND user AND group)
ONE_PATH(ssize_t, readlink, (const char *path, char *out, size_t size), AND out AND size)
ONE_PATH(char *, realpath, (const char *path, char *out), AND out)
ONE_PATH(int, execv, (const char *path, char *const argv[]), AND argv)
ONE_PATH(int, execvp, (const char *path, char *const argv[]), AND argv)
ONE_PATH(int, execve, (const char *path, char *const argv[], char *const envp[]), AND argv AND envp)
ONE_PATH(int, execvpe, (const char *path, char *const argv[], char *const envp[]),
         AND argv AND envp)

/* The shells that callers start: dash and bash look before they run a program. */
int faccessat(int folder, const char *path, int mode, int flags)
{
    char other[PATH_SIZE];
    return NEXT(faccessat)(folder, there(path, other), mode, flags);
}

int fstatat(int folder, const char *path, struct stat *out, int flags)
{
    char other[PATH_SIZE];
    return NEXT(fstatat)(folder, there(path, other), out, flags);
}

int fstatat64(int folder, const char *path, struct stat64 *out, int flags)
{
    char other[PATH_SIZE];
    return NEXT(fstatat64)(folder, there(path, other), out, flags);
}

/* run-parts; what scandir() opens is not asked for by its name. */
int scandir(const char *path, struct dirent ***out, int (*chosen)(const struct dirent *),
            int (*order)(const struct dirent **, const struct dirent **))
{
    char other[PATH_SIZE];
    return NEXT(scandir)(there(path, other), out, chosen, order);
}

int rename(const char *from, const char *to)
{
    char other_from[PATH_SIZE];
    char other_to[PATH_SIZE];
    return NEXT(rename)(there(from, other_from), there(to, other_to));
}

int posix_spawn(pid_t *child, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    char other[PATH_SIZE];
    return NEXT(posix_spawn)(child, there(path, other), actions, attributes, argv, envp);
}

int posix_spawnp(pid_t *child, const char *path, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    char other[PATH_SIZE];
    return NEXT(posix_spawnp)(child, there(path, other), actions, attributes, argv, envp);
}

/* ---- syslog ---- */

void __syslog_chk(int priority, int flag, const char *format, ...);
void __vsyslog_chk(int priority, int flag, const char *format, va_list list);

void syslog(int priority, const char *format, ...)
{
    (void)priority;
    (void)format;
}

void vsyslog(int priority, const char *format, va_list list)
{
    (void)priority;
    (void)format;
    (void)list;
}

void __syslog_chk(int priority, int flag, const char *format, ...)
{
    (void)priority;
    (void)flag;
    (void)format;
}

void __vsyslog_chk(int priority, int flag, const char *format, va_list list)
{
    (void)priority;
    (void)flag;
    (void)format;
    (void)list;
}

/* ---- the disk ---- */

/* Big-endian values of a SCSI answer. */
static void put16(unsigned char *at, unsigned value)
{
    at[0] = (unsigned char)(value >> 8);
    at[1] = (unsigned char)value;
}

/* LOG SENSE: the pages that there are, the temperature, and informational exceptions with the
 * prediction, 5D 10h: hardware impending failure. SPC-4, 7.2. */
static size_t log_page(unsigned char *out, unsigned page, int failing)
{
    static const unsigned char pages[] = {0x00, 0x0d, 0x2f};
    out[0] = (unsigned char)page;
    if (page == 0x00) {
        memcpy(out + 4, pages, sizeof pages);
        put16(out + 2, sizeof pages);
    } else if (page == 0x0d) {
        static const unsigned char is[] = {0, 0, 3, 2, 0, 31, 0, 1, 3, 2, 0, 65};
        memcpy(out + 4, is, sizeof is);
        put16(out + 2, sizeof is);
    } else if (page == 0x2f) {
        const unsigned char is[] = {0, 0, 3, 4, failing ? 0x5d : 0, failing ? 0x10 : 0, 31, 0};
        memcpy(out + 4, is, sizeof is);
        put16(out + 2, sizeof is);
    } else {
        return 0;
    }
    return 4u + out[3];
}

/* Answers a command; 0: the disk has no such thing. */
static size_t answer(const unsigned char *command, unsigned char out[512], int failing)
{
    memset(out, 0, 512);
    switch (command[0]) {
    case 0x00: /* TEST UNIT READY */
        return 1;
    case 0x12: /* INQUIRY: a disk, SPC-4, and its names. */
        if (command[1] & 1) {
            if (command[2] != 0x80)
                return 0;
            memcpy(out,
                   "\x00\x80\x00\x08"
                   "TEST0001",
                   12);
            return 12;
        }
        out[2] = 6;
        out[3] = 2;
        out[4] = 31;
        memcpy(out + 8, "TOCSIN  TESTDISK        0001", 28);
        return 36;
    case 0x1a: /* MODE SENSE (6), informational exceptions: reported without sense data. */
        if ((command[2] & 0x3f) != 0x1c)
            return 0;
        out[0] = 15;
        memcpy(out + 4, "\x9c\x0a\x00\x06\x00\x00\x00\x00\x00\x00\x00\x01", 12);
        return 16;
    case 0x25: /* READ CAPACITY (10): 1 GiB. */
        memcpy(out, "\x00\x1f\xff\xff\x00\x00\x02\x00", 8);
        return 8;
    case 0x03: /* REQUEST SENSE: nothing to say. */
        memcpy(out, "\x70\x00\x00\x00\x00\x00\x00\x0a", 8);
        return 18;
    case 0x4d:
        return log_page(out, command[2] & 0x3f, failing);
    default:
        return 0;
    }
}

/* Whether the descriptor is the disk's. */
static int is_disk(int fd, int *failing)
{
    struct stat of_fd;
    struct stat of_disk;
    if (disk[0] == '\0' || fstat(fd, &of_fd) != 0 || NEXT(stat)(disk, &of_disk) != 0)
        return 0;
    *failing = of_disk.st_size > 0;
    return of_fd.st_dev == of_disk.st_dev && of_fd.st_ino == of_disk.st_ino;
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list list;
    va_start(list, request);
    void *argument = va_arg(list, void *);
    va_end(list);
    int failing = 0;
    if (request != SG_IO || !is_disk(fd, &failing))
        return NEXT(ioctl)(fd, request, argument);
    struct sg_io_hdr *io = argument;
    unsigned char out[512];
    size_t size = answer(io->cmdp, out, failing);
    io->status = io->host_status = io->driver_status = io->sb_len_wr = 0;
    io->resid = (int)io->dxfer_len;
    if (size == 0) {
        /* ILLEGAL REQUEST, invalid field in the command. */
        static const unsigned char sense[18] = {0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x24};
        io->status = 2;
        io->driver_status = 8;
        io->sb_len_wr = io->mx_sb_len < sizeof sense ? io->mx_sb_len : sizeof sense;
        memcpy(io->sbp, sense, io->sb_len_wr);
    } else if (io->dxfer_direction == SG_DXFER_FROM_DEV) {
        size_t part = size < io->dxfer_len ? size : io->dxfer_len;
        memcpy(io->dxferp, out, part);
        io->resid -= (int)part;
    }
    return 0;
}
