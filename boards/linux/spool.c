#include "boards/linux/spool_private.h"
#include "net/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h> /* renameat() */
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

static const char *const folder_names[SPOOL_FOLDERS] = {"tmp", "queue", "failed", ""};

bool spool_id_is_valid(const char *id)
{
    size_t length = strspn(id, "0123456789abcdef");

    return length == SPOOL_ID_DIGITS && id[length] == '\0';
}

void spool_name(char name[SPOOL_NAME_BYTES], const char *id, const char *suffix)
{
    text_print(name, SPOOL_NAME_BYTES, "%s%s", id, suffix);
}

/* ---- sentences ---- */

int spool_fail_text(struct spool *spool, int error, enum spool_folder folder, const char *name,
                    const char *what)
{
    struct text text = text_begin(spool->problem, sizeof spool->problem);

    text_add_printable(&text, spool->path, strlen(spool->path));
    if (folder != SPOOL_TOP) {
        text_format(&text, "/%s", folder_names[folder]);
    }
    if (name != NULL) {
        text_add_char(&text, '/');
        text_add_printable(&text, name, strlen(name));
    }
    text_format(&text, ": %s", what);
    return error;
}

static const struct {
    int number;
    int error;
    const char *what;
} errnos[] = {
    {ENOSPC, E_SPACE, "the disk is full: make room, or set `spool` to a folder of another disk"},
    {EDQUOT, E_SPACE, "the disk quota is used up: make room, or ask for more"},
    {EFBIG, E_SPACE, "larger than a file may be here (ulimit -f)"},
    {ENOMEM, E_SPACE, "not enough memory"},
    {EROFS, E_IO,
     "the file system is read-only: mount it for writing, or set `spool` to another folder"},
    {EACCES, E_IO,
     "permission denied: install the program set-group-id with the group of this folder, or "
     "set `spool` to a folder of your own"},
    {EPERM, E_IO,
     "not permitted: the folder has to be its user's or of the program's group, mode 2770"},
    {EMFILE, E_IO, "too many open files in this process (ulimit -n)"},
    {ENFILE, E_IO, "too many open files in the system (sysctl fs.file-max)"},
    {EIO, E_IO, "the disk reports an error: see the kernel's log (dmesg)"},
    {ELOOP, E_INVALID, "a symbolic link, which is not followed: remove it"},
    {ENOTDIR, E_INVALID, "not a folder: move it away, or set `spool` to another path"},
    {EISDIR, E_INVALID, "a folder where a file belongs: move it away"},
    {ENXIO, E_INVALID, "not a file: move it away"},
    {ENAMETOOLONG, E_INVALID, "the path is too long"},
    {ENOENT, E_MISSING, "not there"},
    {EWOULDBLOCK, E_TRANSIENT, "another process works with it"},
};

int spool_fail_errno(struct spool *spool, int number, enum spool_folder folder, const char *name)
{
    char what[32];

    for (size_t i = 0; i < sizeof errnos / sizeof errnos[0]; i++) {
        if (errnos[i].number == number) {
            return spool_fail_text(spool, errnos[i].error, folder, name, errnos[i].what);
        }
    }
    text_print(what, sizeof what, "system error %u", (unsigned)number);
    return spool_fail_text(spool, E_IO, folder, name, what);
}

/* ---- files ---- */

int spool_write_all(int fd, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;

    while (size > 0) {
        ssize_t count = write(fd, at, size);

        if (count < 0 && errno != EINTR) {
            return errno;
        }
        if (count == 0) {
            return EIO; /* No file says that; it must not be asked for ever. */
        }
        if (count > 0) {
            at += count;
            size -= (size_t)count;
        }
    }
    return 0;
}

int spool_sync(int fd)
{
    while (fsync(fd) != 0) {
        /* EINVAL: the file system has nothing to sync. */
        if (errno != EINTR) {
            return errno == EINVAL ? 0 : errno;
        }
    }
    return 0;
}

int spool_create(struct spool *spool, enum spool_folder folder, const char *name)
{
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(spool->folder[folder], name, flags, spool->mode);

    if (fd < 0 && errno == EEXIST && unlinkat(spool->folder[folder], name, 0) == 0) {
        fd = openat(spool->folder[folder], name, flags, spool->mode);
    }
    if (fd >= 0) {
        (void)fchmod(fd, spool->mode); /* Whatever the umask took. */
    }
    return fd;
}

/* ---- opening ---- */

/* Makes the folder itself and those above it. Returns 0, or errno of the last one. */
static int make_path(char *path, unsigned mode)
{
    size_t length = strlen(path);
    int number = 0;

    for (size_t i = 1; i <= length; i++) {
        char c = path[i];

        if ((c == '/' || c == '\0') && path[i - 1] != '/') {
            int own;

            path[i] = '\0';
            own = mkdir(path, i == length ? mode & 0777 : 0755) != 0 ? errno : 0;
            number = own == ENOENT && number != 0 ? number : own; /* The cause, not the effect. */
            path[i] = c;
        }
    }
    return number == EEXIST ? 0 : number;
}

/* A program with a group of its own, or root's, makes a spool for all; a user one for himself. */
static unsigned own_mode(void)
{
    return getegid() != getgid() || geteuid() == 0 ? 02770 : 0700;
}

/* The mode and group that mkdir() could not give. */
static void settle(int fd, unsigned mode, gid_t group)
{
    struct stat status;

    if (fstat(fd, &status) != 0) {
        return;
    }
    if (status.st_gid != group) {
        (void)!fchown(fd, (uid_t)-1, group);
    }
    if ((status.st_mode & 07777) != mode || status.st_gid != group) {
        (void)fchmod(fd, mode); /* Last: a change of the group takes the set-group-id bit away. */
    }
}

static int open_folder(int at, const char *path, int flags)
{
    return openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);
}

/* Opens SPOOL itself, made if it is missing. */
static int open_top(struct spool *spool)
{
    struct stat status;
    int *top = &spool->folder[SPOOL_TOP];
    int number;

    *top = open_folder(AT_FDCWD, spool->path, 0);
    if (*top < 0 && errno == ENOENT) {
        number = make_path(spool->path, own_mode());
        if (number == EACCES || number == EPERM) {
            return spool_fail_text(spool, E_IO, SPOOL_TOP, NULL,
                                   "it is not there and may not be made: make it as root with "
                                   "install -d -m 2770 -g GROUP (the group of the program), or "
                                   "set `spool` to a folder of your own");
        }
        if (number != 0) {
            return spool_fail_errno(spool, number, SPOOL_TOP, NULL);
        }
        *top = open_folder(AT_FDCWD, spool->path, 0);
        if (*top >= 0) {
            settle(*top, own_mode(), getegid());
        }
    }
    if (*top < 0 || fstat(*top, &status) != 0) {
        return spool_fail_errno(spool, errno, SPOOL_TOP, NULL);
    }
    if ((status.st_mode & S_IWOTH) != 0) {
        return spool_fail_text(spool, E_INVALID, SPOOL_TOP, NULL,
                               "everybody may write into this folder, so mails would not be safe "
                               "in it: chmod o-w, or set `spool` to another folder");
    }
    /* A group stands for the program only if it came with the program. */
    if (geteuid() != 0 && status.st_uid != 0 && status.st_uid != geteuid() &&
        (getegid() == getgid() || status.st_gid != getegid())) {
        return spool_fail_text(spool, E_INVALID, SPOOL_TOP, NULL,
                               "this folder belongs to another user, who could read the mails: "
                               "set `spool` to another one");
    }
    spool->mode = status.st_mode & 0660;
    return 0;
}

/* Syncs the names of the folders above, whoever made them: up to the file system's top, or as far
 * as they may be read. Returns 0, or errno. */
static int sync_above(int top)
{
    struct stat below;
    struct stat here;
    int number = 0;
    int fd = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    while (fd >= 0 && number == 0 && fstat(fd, &below) == 0) {
        int above = open_folder(fd, "..", 0);

        close(fd);
        fd = above;
        if (fd < 0 || fstat(fd, &here) != 0 || here.st_dev != below.st_dev ||
            here.st_ino == below.st_ino) {
            break;
        }
        number = spool_sync(fd);
    }
    if (fd >= 0) {
        close(fd);
    }
    return number;
}

/* Makes what is missing in SPOOL. The lock comes when all else is synced: where it is, another
 * process has seen to that. */
static int make_layout(struct spool *spool)
{
    int top = spool->folder[SPOOL_TOP];
    struct stat status;
    unsigned folder_mode;
    int number;

    if (fstat(top, &status) != 0) {
        return spool_fail_errno(spool, errno, SPOOL_TOP, NULL);
    }
    /* What is made in them is their group's, whoever makes it. */
    folder_mode = (status.st_mode & 0770) | ((status.st_mode & 0070) != 0 ? 02000 : 0);
    for (enum spool_folder i = SPOOL_TMP; i < SPOOL_TOP; i++) {
        int fd;

        if (mkdirat(top, folder_names[i], folder_mode & 0770) != 0 && errno != EEXIST) {
            return spool_fail_errno(spool, errno, i, NULL);
        }
        fd = open_folder(top, folder_names[i], O_NOFOLLOW);
        if (fd >= 0) {
            settle(fd, folder_mode, status.st_gid);
            close(fd);
        }
    }
    number = spool_sync(top);
    if (number == 0) {
        number = sync_above(top);
    }
    if (number != 0) {
        return spool_fail_errno(spool, number, SPOOL_TOP, NULL);
    }
    if (spool->lock < 0) {
        spool->lock = openat(top, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
                             spool->mode);
    }
    if (spool->lock < 0) {
        return spool_fail_errno(spool, errno, SPOOL_TOP, "lock");
    }
    settle(spool->lock, spool->mode, status.st_gid);
    return 0;
}

/* For writing: over NFS nothing else may be locked for one alone. A file system that is read-only
 * still shows what is there. */
static int open_lock(int top)
{
    const int flags = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    int fd = openat(top, "lock", O_RDWR | flags);

    return fd < 0 && errno == EROFS ? openat(top, "lock", O_RDONLY | flags) : fd;
}

/* Opens what is in SPOOL. Returns 0, ENOENT, or an error. */
static int open_parts(struct spool *spool)
{
    int top = spool->folder[SPOOL_TOP];

    if (spool->lock < 0) {
        spool->lock = open_lock(top);
    }
    if (spool->lock < 0) {
        return errno == ENOENT ? ENOENT : spool_fail_errno(spool, errno, SPOOL_TOP, "lock");
    }
    for (enum spool_folder i = SPOOL_TMP; i < SPOOL_TOP; i++) {
        if (spool->folder[i] < 0) {
            spool->folder[i] = open_folder(top, folder_names[i], O_NOFOLLOW);
        }
        if (spool->folder[i] < 0) {
            return errno == ENOENT ? ENOENT : spool_fail_errno(spool, errno, i, NULL);
        }
    }
    return 0;
}

static int open_all(struct spool *spool)
{
    int result = open_top(spool);

    if (result == 0) {
        result = open_parts(spool);
    }
    if (result == ENOENT) {
        result = make_layout(spool);
        if (result == 0) {
            result = open_parts(spool);
        }
    }
    return result > 0 ? spool_fail_errno(spool, result, SPOOL_TOP, NULL) : result;
}

int spool_open(struct spool *spool, const char *path)
{
    size_t length;
    int result;

    memset(spool, 0, sizeof *spool);
    for (size_t i = 0; i < SPOOL_FOLDERS; i++) {
        spool->folder[i] = -1;
    }
    spool->lock = -1;
    if (path[0] == '\0' || !text_copy(spool->path, sizeof spool->path, path)) {
        return spool_fail_errno(spool, path[0] == '\0' ? ENOENT : ENAMETOOLONG, SPOOL_TOP, NULL);
    }
    length = strlen(spool->path);
    while (length > 1 && spool->path[length - 1] == '/') {
        spool->path[--length] = '\0';
    }
    result = open_all(spool);
    if (result < 0) {
        spool_close(spool);
    }
    return result;
}

void spool_close(struct spool *spool)
{
    for (size_t i = 0; i < SPOOL_FOLDERS; i++) {
        if (spool->folder[i] >= 0) {
            close(spool->folder[i]);
            spool->folder[i] = -1;
        }
    }
    if (spool->lock >= 0) {
        close(spool->lock);
        spool->lock = -1;
    }
}

static bool is_memory(const struct statfs *status)
{
    uint32_t type = (uint32_t)status->f_type; /* Its sign is the processor's. */

    return type == 0x01021994 || type == 0x858458F6; /* tmpfs, ramfs: statfs(2). */
}

bool spool_is_volatile(const struct spool *spool)
{
    struct statfs status;

    return fstatfs(spool->folder[SPOOL_TOP], &status) == 0 && is_memory(&status);
}

bool spool_path_is_volatile(const char *path)
{
    char folder[sizeof((struct spool *)NULL)->path];
    struct statfs status;
    char *slash;

    (void)text_copy(folder, sizeof folder, path);
    while (statfs(folder, &status) < 0) {
        slash = strrchr(folder, '/');
        if (errno != ENOENT || slash == NULL || strcmp(folder, "/") == 0) {
            return false;
        }
        slash[slash == folder] = '\0'; /* It would be made in the folder above. */
    }
    return is_memory(&status);
}

/* ---- the lock ---- */

int spool_lock(struct spool *spool, uint32_t wait_ms)
{
    static const struct timespec pause = {.tv_sec = 0, .tv_nsec = 20 * 1000000};
    uint32_t waited_ms = 0;

    while (flock(spool->lock, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK && waited_ms >= wait_ms) {
            return spool_fail_errno(spool, EWOULDBLOCK, SPOOL_TOP, "lock");
        }
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return spool_fail_errno(spool, errno, SPOOL_TOP, "lock");
        }
        if (errno == EWOULDBLOCK) {
            (void)nanosleep(&pause, NULL);
            waited_ms += 20; /* A signal makes it wait less, never more. */
        }
    }
    (void)futimens(spool->lock, NULL);
    return 0;
}

uint32_t spool_locked_s(const struct spool *spool)
{
    struct timespec now;
    struct stat status;

    if (fstat(spool->lock, &status) != 0 || clock_gettime(CLOCK_REALTIME, &now) != 0 ||
        now.tv_sec <= status.st_mtime) {
        return 0;
    }
    return now.tv_sec - status.st_mtime < INT32_MAX ? (uint32_t)(now.tv_sec - status.st_mtime)
                                                    : INT32_MAX;
}

void spool_unlock(struct spool *spool)
{
    (void)flock(spool->lock, LOCK_UN);
}

/* ---- the state of the servers ---- */

int spool_state_read(struct spool *spool, void *out, size_t size)
{
    int fd =
        openat(spool->folder[SPOOL_TOP], "state", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat status;
    ssize_t count;

    if (fd < 0) {
        return spool_fail_errno(spool, errno, SPOOL_TOP, "state");
    }
    do {
        count = read(fd, out, size);
    } while (count < 0 && errno == EINTR);
    if (count < 0 || fstat(fd, &status) != 0) {
        count = spool_fail_errno(spool, errno, SPOOL_TOP, "state");
    } else if ((size_t)count != size || !S_ISREG(status.st_mode) ||
               (uint64_t)status.st_size != size) {
        count = spool_fail_text(spool, E_INVALID, SPOOL_TOP, "state", "of another size");
    }
    close(fd);
    return count < 0 ? (int)count : 0;
}

int spool_state_write(struct spool *spool, const void *bytes, size_t size)
{
    char name[SPOOL_NAME_BYTES];
    int number;
    int fd;

    text_print(name, sizeof name, "state.%u", (unsigned)getpid());
    fd = spool_create(spool, SPOOL_TMP, name);
    if (fd < 0) {
        return spool_fail_errno(spool, errno, SPOOL_TMP, name);
    }
    number = spool_write_all(fd, bytes, size);
    close(fd);
    if (number == 0 &&
        renameat(spool->folder[SPOOL_TMP], name, spool->folder[SPOOL_TOP], "state") != 0) {
        number = errno;
    }
    if (number != 0) {
        (void)unlinkat(spool->folder[SPOOL_TMP], name, 0);
        return spool_fail_errno(spool, number, SPOOL_TOP, "state");
    }
    return 0;
}
