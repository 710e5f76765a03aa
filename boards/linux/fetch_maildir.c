/* fetch_maildir.c - a Maildir: whole and synced in tmp/, then renamed into new/. */
#include "boards/linux/fetch_deliver.h"

#include "net/posix/link_posix.h"
#include "net/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h> /* renameat() */
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#define SWEEP_S 3600 /* How old a file in tmp/ is when nobody will finish it any more. */
#define SYNCFS_MIN 4 /* Messages of a batch that are made safe by one call, where that is good. */

/* File systems as statfs() tells them (statfs(2)). */
#define FS_EXT 0xEF53u
#define FS_XFS 0x58465342u
#define FS_BTRFS 0x9123683Eu
#define FS_F2FS 0xF2F52010u
#define FS_TMPFS 0x01021994u

void fetch_maildir_name(const struct fetch_deliver *deliver, uint32_t serial, uint32_t index,
                        uint32_t unix_s, const char *uid, char out[FETCH_NAME_BYTES])
{
    uint64_t hash = fetch_hash(deliver->seed, uid);
    struct text text = text_begin(out, FETCH_NAME_BYTES);

    text_format(&text, "%u.U", (unsigned)unix_s);
    text_add_hex(&text, (uint32_t)(hash >> 32), 8);
    text_add_hex(&text, (uint32_t)hash, 8);
    text_add_char(&text, 'S');
    text_add_hex(&text, serial, 8);
    text_format(&text, "_%u.%s", (unsigned)index, deliver->host);
}

static void name_of(const struct fetch_deliver *deliver, uint32_t index, char out[FETCH_NAME_BYTES])
{
    const struct fetch_letter *letter = &deliver->letters[index];

    fetch_maildir_name(deliver, deliver->serial, index, letter->unix_s, letter->uid, out);
}

static int open_part(struct fetch_deliver *deliver, const char *name, int *fd,
                     struct fetch_why *why)
{
    if (mkdirat(deliver->folder, name, 0700) < 0 && errno != EEXIST) {
        return fetch_why_errno(why, deliver->path);
    }
    *fd = openat(deliver->folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *fd < 0 ? fetch_why_errno(why, deliver->path) : 0;
}

/* Removes what runs that were killed have left in tmp/: files with names of ours that nobody has
 * written to for a while. */
static void sweep(struct fetch_deliver *deliver)
{
    const struct dirent *entry;
    int fd = openat(deliver->folder, "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);

    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        const char *name = strstr(entry->d_name, ".U");
        struct stat status;

        if (name != NULL && strstr(name, deliver->host) != NULL &&
            fstatat(deliver->tmp, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            posix_unix_ms() / 1000 > (uint64_t)status.st_mtime + SWEEP_S) {
            (void)unlinkat(deliver->tmp, entry->d_name, 0);
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
}

int fetch_maildir_open(struct fetch_deliver *deliver, struct fetch_why *why)
{
    int cur = -1;
    int error;

    if (fetch_make_folder(deliver->path) < 0) {
        return fetch_why_errno(why, deliver->path);
    }
    deliver->folder = open(deliver->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (deliver->folder < 0) {
        return fetch_why_errno(why, deliver->path);
    }
    error = open_part(deliver, "cur", &cur, why);
    if (error < 0) {
        return error;
    }
    close(cur);
    error = open_part(deliver, "tmp", &deliver->tmp, why);
    if (error == 0) {
        error = open_part(deliver, "new", &deliver->new_folder, why);
    }
    if (error == 0) {
        sweep(deliver);
    }
    return error;
}

int fetch_maildir_begin(struct fetch_deliver *deliver, struct fetch_why *why)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
    struct fetch_letter *letter = &deliver->letters[deliver->count];
    char name[FETCH_NAME_BYTES];

    name_of(deliver, deliver->count, name);
    letter->fd = openat(deliver->tmp, name, flags, 0600);
    if (letter->fd < 0 && errno == EEXIST) { /* Of a run in the same second that was killed. */
        (void)unlinkat(deliver->tmp, name, 0);
        letter->fd = openat(deliver->tmp, name, flags, 0600);
    }
    letter->in_tmp = letter->fd >= 0;
    return letter->in_tmp ? 0 : fetch_why_errno(why, deliver->path);
}

/* Whether syncfs() makes the files of that file system safe, and tells when it could not: from
 * Linux 5.8 on, and not through layers or helpers that may keep an error to themselves. */
static bool syncfs_tells(int fd)
{
    static const uint32_t good[] = {FS_EXT, FS_XFS, FS_BTRFS, FS_F2FS, FS_TMPFS};
    struct utsname system;
    struct statfs status;
    bool recent;

    if (uname(&system) < 0 || fstatfs(fd, &status) < 0) {
        return false;
    }
    recent = system.release[0] >= '6' || system.release[1] != '.' ||
             (system.release[0] == '5' && (system.release[2] >= '8' || system.release[3] != '.'));
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if ((uint32_t)status.f_type == good[i]) {
            return recent;
        }
    }
    return false;
}

/* Makes all files of the batch safe. An fsync() each would make the disk write out its cache once
 * for every message. */
static bool sync_batch(struct fetch_deliver *deliver)
{
    if (deliver->count >= SYNCFS_MIN && syncfs_tells(deliver->tmp)) {
        return syncfs(deliver->letters[0].fd) == 0;
    }
    for (uint32_t i = 0; i < deliver->count; i++) {
        if (fsync(deliver->letters[i].fd) < 0) {
            return false;
        }
    }
    return true;
}

int fetch_maildir_prepare(struct fetch_deliver *deliver, struct fetch_why *why)
{
    if (!sync_batch(deliver)) {
        return fetch_why_errno(why, deliver->path);
    }
    for (uint32_t i = 0; i < deliver->count; i++) {
        struct fetch_letter *letter = &deliver->letters[i];
        int fd = letter->fd;

        letter->fd = -1;
        if (close(fd) < 0 && errno != EINTR) { /* NFS tells of a full disk only now. */
            return fetch_why_errno(why, deliver->path);
        }
    }
    return 0;
}

int fetch_maildir_commit(struct fetch_deliver *deliver, uint32_t *delivered, struct fetch_why *why)
{
    char name[FETCH_NAME_BYTES];
    int error = 0;

    for (uint32_t i = 0; i < deliver->count && error == 0; i++) {
        name_of(deliver, i, name);
        if (renameat(deliver->tmp, name, deliver->new_folder, name) < 0) {
            error = fetch_why_errno(why, deliver->path);
        } else {
            deliver->letters[i].in_tmp = false;
            (*delivered)++;
        }
    }
    /* Not every file system can sync a folder; those that cannot need not. */
    if (*delivered > 0 && fsync(deliver->new_folder) < 0 && errno != EINVAL && errno != ENOTSUP) {
        *delivered = 0;
        error = fetch_why_errno(why, deliver->path);
    }
    return error;
}

/* What is left of it in tmp/; nothing, if it was delivered. */
void fetch_maildir_remove(struct fetch_deliver *deliver, uint32_t index)
{
    struct fetch_letter *letter = &deliver->letters[index];
    char name[FETCH_NAME_BYTES];

    if (letter->fd >= 0) {
        close(letter->fd);
        letter->fd = -1;
    }
    if (letter->in_tmp) {
        letter->in_tmp = false;
        name_of(deliver, index, name);
        (void)unlinkat(deliver->tmp, name, 0);
    }
}

/* Marks those of the batch whose files are in that folder, whatever flags a reader has given them
 * behind a colon. */
static uint32_t find_in(const struct fetch_deliver *deliver, const struct fetch_seen *seen,
                        const char *part)
{
    char name[FETCH_NAME_BYTES];
    uint32_t found = 0;
    const struct dirent *entry;
    int fd = openat(deliver->folder, part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);

    if (folder == NULL) {
        return 0;
    }
    while ((entry = readdir(folder)) != NULL) {
        for (uint32_t i = 0; i < seen->batch_count; i++) {
            size_t size;

            if (entry->d_name[0] == '.') {
                break;
            }
            fetch_maildir_name(deliver, (uint32_t)seen->batch_at, i, seen->batch[i].unix_s,
                               seen->batch[i].uid, name);
            size = strlen(name);
            if (strncmp(entry->d_name, name, size) == 0 &&
                (entry->d_name[size] == '\0' || entry->d_name[size] == ':')) {
                found |= 1u << i;
            }
        }
    }
    closedir(folder);
    return found;
}

uint32_t fetch_maildir_resolve(struct fetch_deliver *deliver, const struct fetch_seen *seen)
{
    char name[FETCH_NAME_BYTES];

    for (uint32_t i = 0; i < seen->batch_count; i++) {
        fetch_maildir_name(deliver, (uint32_t)seen->batch_at, i, seen->batch[i].unix_s,
                           seen->batch[i].uid, name);
        (void)unlinkat(deliver->tmp, name, 0);
    }
    return find_in(deliver, seen, "new") | find_in(deliver, seen, "cur");
}
