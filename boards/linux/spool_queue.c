/* The mails that are there, and what becomes of them. */
#include "boards/linux/spool_private.h"
#include "net/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h> /* renameat() */
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SWEEP_AGE_S 3600

static enum spool_folder folder_of(bool failed)
{
    return failed ? SPOOL_FAILED : SPOOL_QUEUE;
}

/* What cannot be looked up is taken to be there: nothing is removed for want of it. */
static bool is_there(struct spool *spool, enum spool_folder folder, const char *id,
                     const char *suffix)
{
    char name[SPOOL_NAME_BYTES];
    struct stat status;

    spool_name(name, id, suffix);
    return fstatat(spool->folder[folder], name, &status, AT_SYMLINK_NOFOLLOW) == 0 ||
           errno != ENOENT;
}

/* Moves one file of a mail. Returns 0, or errno. */
static int move(struct spool *spool, enum spool_folder from, enum spool_folder to, const char *id,
                const char *suffix)
{
    char name[SPOOL_NAME_BYTES];

    spool_name(name, id, suffix);
    return renameat(spool->folder[from], name, spool->folder[to], name) == 0 ? 0 : errno;
}

/* ---- listing ---- */

/* The id of a name that ends in suffix; false: a foreign name, or another kind. */
static bool id_of_name(const char *name, const char *suffix, char id[SPOOL_ID_BYTES])
{
    if (strlen(name) != SPOOL_ID_DIGITS + strlen(suffix) ||
        strcmp(name + SPOOL_ID_DIGITS, suffix) != 0) {
        return false;
    }
    memcpy(id, name, SPOOL_ID_DIGITS);
    id[SPOOL_ID_DIGITS] = '\0';
    return spool_id_is_valid(id);
}

/* A stream of its own, so that two readers never share a position. */
static DIR *open_stream(struct spool *spool, enum spool_folder folder)
{
    int fd = openat(spool->folder[folder], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;

    if (stream == NULL && fd >= 0) {
        close(fd);
    }
    return stream;
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(a, b);
}

int spool_list(struct spool *spool, bool failed, char (**ids)[SPOOL_ID_BYTES])
{
    DIR *stream = open_stream(spool, folder_of(failed));
    char(*list)[SPOOL_ID_BYTES] = NULL;
    size_t count = 0;
    size_t room = 0;
    struct dirent *entry;

    *ids = NULL;
    if (stream == NULL) {
        return spool_fail_errno(spool, errno, folder_of(failed), NULL);
    }
    while ((errno = 0, entry = readdir(stream)) != NULL) {
        char id[SPOOL_ID_BYTES];

        if (!id_of_name(entry->d_name, ".env", id)) {
            continue;
        }
        if (count == room) {
            char(*larger)[SPOOL_ID_BYTES];

            room = room * 2 + 16;
            larger = realloc(list, room * sizeof *list);
            if (larger == NULL) {
                errno = ENOMEM;
                break;
            }
            list = larger;
        }
        memcpy(list[count++], id, sizeof id);
    }
    if (errno != 0) {
        int number = errno;

        free(list);
        closedir(stream);
        return spool_fail_errno(spool, number, folder_of(failed), NULL);
    }
    closedir(stream);
    if (count > 0) {
        qsort(list, count, sizeof *list, compare_ids);
    }
    *ids = list;
    return (int)count;
}

/* ---- loading ---- */

/* Opens a regular file. Returns a descriptor, or -1 with errno. */
static int open_file(struct spool *spool, enum spool_folder folder, const char *name,
                     struct stat *status)
{
    /* Without O_NONBLOCK somebody's pipe would hold it for ever. */
    int fd = openat(spool->folder[folder], name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    int number = fd >= 0 && fstat(fd, status) != 0 ? errno : 0;

    if (fd >= 0 && number == 0 && !S_ISREG(status->st_mode)) {
        number = EISDIR; /* Or a device, a pipe, a socket: no file in any case. */
    }
    if (number != 0) {
        close(fd);
        errno = number;
        return -1;
    }
    return fd;
}

/* The whole of an envelope. Returns 0, or errno. */
static int read_envelope(int fd, char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t count = read(fd, bytes, size);

        if (count < 0 && errno != EINTR) {
            return errno;
        }
        if (count == 0) {
            return EIO; /* Shorter than it was a moment ago; never changed in place by us. */
        }
        if (count > 0) {
            bytes += count;
            size -= (size_t)count;
        }
    }
    return 0;
}

/* The envelope alone. */
static int load_envelope(struct spool *spool, enum spool_folder folder, const char *name,
                         struct spool_mail *mail)
{
    const char *why;
    struct stat status;
    char *bytes;
    int number;
    int result;
    int fd = open_file(spool, folder, name, &status);

    if (fd < 0) {
        return spool_fail_errno(spool, errno, folder, name);
    }
    if ((uint64_t)status.st_size > SPOOL_ENVELOPE_BYTES_MAX) {
        close(fd);
        return spool_fail_text(spool, E_INVALID, folder, name, "too large to be an envelope");
    }
    bytes = malloc((size_t)status.st_size + 1);
    number = bytes == NULL ? ENOMEM : read_envelope(fd, bytes, (size_t)status.st_size);
    close(fd);
    if (number != 0) {
        result = spool_fail_errno(spool, number, folder, name);
    } else {
        result = spool_envelope_parse(mail, bytes, (size_t)status.st_size, &why);
        if (result < 0) {
            result = spool_fail_text(spool, result, folder, name, why);
        }
    }
    free(bytes);
    return result;
}

/* Opens a message, which is beside its envelope, or still where it was before a move; and again
 * beside it, as that move may have ended meanwhile. */
static int open_message(struct spool *spool, bool failed, const char *id, struct stat *status)
{
    char name[SPOOL_NAME_BYTES];
    int fd = -1;

    spool_name(name, id, ".mail");
    errno = ENOENT;
    for (unsigned look = 0; look < 3 && fd < 0 && errno == ENOENT; look++) {
        fd = open_file(spool, folder_of(failed != (look == 1)), name, status);
    }
    return fd;
}

int spool_message(struct spool *spool, bool failed, const char *id)
{
    char name[SPOOL_NAME_BYTES];
    struct stat status;
    int fd;

    if (!spool_id_is_valid(id)) {
        return spool_fail_text(spool, E_MISSING, folder_of(failed), id, "no mail has such a name");
    }
    fd = open_message(spool, failed, id, &status);
    spool_name(name, id, ".mail");
    return fd >= 0 ? fd : spool_fail_errno(spool, errno, folder_of(failed), name);
}

/* Whether the message is there as it was written. */
static int check_message(struct spool *spool, bool failed, const struct spool_mail *mail)
{
    char name[SPOOL_NAME_BYTES];
    struct stat status;
    int fd = open_message(spool, failed, mail->id, &status);

    spool_name(name, mail->id, ".mail");
    if (fd < 0) {
        if (errno == ENOENT && !is_there(spool, folder_of(failed), mail->id, ".env")) {
            return spool_fail_errno(spool, ENOENT, folder_of(failed), name); /* Sent just now. */
        }
        return errno == ENOENT ? spool_fail_text(spool, E_INVALID, folder_of(failed), name,
                                                 "the message is missing")
                               : spool_fail_errno(spool, errno, folder_of(failed), name);
    }
    close(fd);
    if ((uint64_t)status.st_size != mail->size_bytes) {
        return spool_fail_text(spool, E_INVALID, folder_of(failed), name,
                               "the message has not the size that it had");
    }
    return 0;
}

/* A damaged mail of the queue goes to failed/ as it is, where a person finds it. */
static void set_aside(struct spool *spool, const char *id)
{
    int number = move(spool, SPOOL_QUEUE, SPOOL_FAILED, id, ".env");
    struct text text = {
        .bytes = spool->problem, /* The sentence goes on. */
        .size = sizeof spool->problem,
        .length = strlen(spool->problem),
    };

    if (number != 0) {
        text_add(&text, "; it could not be moved to failed/");
        return;
    }
    (void)!move(spool, SPOOL_QUEUE, SPOOL_FAILED, id, ".mail");
    (void)!spool_sync(spool->folder[SPOOL_FAILED]);
    text_format(&text, "; set aside in %s/failed", spool->path);
}

int spool_load(struct spool *spool, bool failed, const char *id, struct spool_mail *mail)
{
    char name[SPOOL_NAME_BYTES];
    int result;

    memset(mail, 0, sizeof *mail);
    if (!spool_id_is_valid(id)) {
        return spool_fail_text(spool, E_MISSING, folder_of(failed), id, "no mail has such a name");
    }
    (void)text_copy(mail->id, sizeof mail->id, id);
    spool_name(name, id, ".env");
    result = load_envelope(spool, folder_of(failed), name, mail);
    if (result == 0) {
        result = check_message(spool, failed, mail);
    }
    if (result < 0) {
        spool_mail_free(mail);
    }
    if (result == E_INVALID && !failed) {
        set_aside(spool, id);
    }
    return result;
}

/* ---- what becomes of it ---- */

/* Replaces an envelope. synced: the new one outlasts a power cut. */
static int replace(struct spool *spool, enum spool_folder folder, const struct spool_mail *mail,
                   bool synced)
{
    char name[SPOOL_NAME_BYTES];
    int number = 0;
    int result = spool_envelope_write(spool, mail);

    if (result < 0) {
        return result;
    }
    spool_name(name, mail->id, ".env");
    if (!is_there(spool, folder, mail->id, ".env")) {
        number = ENOENT; /* Dropped by a person: it must not come back. */
    }
    if (number == 0) {
        number = move(spool, SPOOL_TMP, folder, mail->id, ".env");
    }
    if (number != 0) {
        (void)unlinkat(spool->folder[SPOOL_TMP], name, 0);
    } else if (synced) {
        number = spool_sync(spool->folder[folder]);
    }
    return number == 0 ? 0 : spool_fail_errno(spool, number, folder, name);
}

int spool_update(struct spool *spool, const struct spool_mail *mail)
{
    bool told = false;

    for (size_t i = 0; i < mail->rcpt_count; i++) {
        told |= mail->rcpt[i].state != SPOOL_WAITING;
    }
    return replace(spool, SPOOL_QUEUE, mail, told);
}

int spool_drop(struct spool *spool, bool failed, const char *id)
{
    char name[SPOOL_NAME_BYTES];

    if (!spool_id_is_valid(id)) {
        return spool_fail_text(spool, E_MISSING, folder_of(failed), id, "no mail has such a name");
    }
    spool_name(name, id, ".env");
    if (unlinkat(spool->folder[folder_of(failed)], name, 0) != 0) {
        return spool_fail_errno(spool, errno, folder_of(failed), name);
    }
    spool_name(name, id, ".mail");
    /* If this fails, or never happens, it is swept away. */
    if (unlinkat(spool->folder[folder_of(failed)], name, 0) != 0 && errno == ENOENT) {
        (void)unlinkat(spool->folder[folder_of(!failed)], name, 0);
    }
    return 0;
}

int spool_done(struct spool *spool, const struct spool_mail *mail)
{
    int result = spool_drop(spool, false, mail->id);

    return result == E_MISSING ? 0 : result;
}

int spool_fail(struct spool *spool, const struct spool_mail *mail)
{
    char name[SPOOL_NAME_BYTES];
    int number;
    int result = replace(spool, SPOOL_QUEUE, mail, false);

    if (result < 0) {
        return result;
    }
    number = move(spool, SPOOL_QUEUE, SPOOL_FAILED, mail->id, ".env");
    if (number == 0) {
        number = spool_sync(spool->folder[SPOOL_FAILED]);
        /* If this fails it is found where it is, and moved by the next sweep. */
        (void)!move(spool, SPOOL_QUEUE, SPOOL_FAILED, mail->id, ".mail");
    }
    spool_name(name, mail->id, ".env");
    return number == 0 ? 0 : spool_fail_errno(spool, number, SPOOL_QUEUE, name);
}

static void make_due(struct spool_mail *mail)
{
    for (size_t i = 0; i < mail->rcpt_count; i++) {
        if (mail->rcpt[i].state == SPOOL_REFUSED) {
            mail->rcpt[i].state = SPOOL_WAITING;
        }
    }
    mail->due_unix_ms = 0;
    mail->attempts = 0;
    mail->own_fault = false;
}

int spool_retry(struct spool *spool, const char *id)
{
    bool failed = !spool_id_is_valid(id) || !is_there(spool, SPOOL_QUEUE, id, ".env");
    struct spool_mail mail;
    int result = 0;

    if (!failed) {
        result = spool_lock(spool, 0); /* Its sender would write over what is changed here. */
        if (result < 0) {
            return result;
        }
    }
    result = spool_load(spool, failed, id, &mail);
    if (result == 0) {
        make_due(&mail);
        result = replace(spool, folder_of(failed), &mail, !failed);
        spool_mail_free(&mail);
    }
    if (!failed) {
        spool_unlock(spool);
    } else if (result == 0) {
        int number = move(spool, SPOOL_FAILED, SPOOL_QUEUE, id, ".env");

        if (number == 0) {
            number = spool_sync(spool->folder[SPOOL_QUEUE]);
            (void)!move(spool, SPOOL_FAILED, SPOOL_QUEUE, id, ".mail");
        }
        result = number == 0 ? 0 : spool_fail_errno(spool, number, SPOOL_FAILED, id);
    }
    return result;
}

/* ---- sweeping ---- */

/* Removes a file that is old, or from a time that has not come yet, and that nobody holds. */
static void sweep_file(struct spool *spool, enum spool_folder folder, const char *name)
{
    struct stat status;
    struct timespec now;
    int64_t age_s;
    int fd = open_file(spool, folder, name, &status);

    if (fd < 0) {
        return;
    }
    (void)clock_gettime(CLOCK_REALTIME, &now);
    age_s = (int64_t)now.tv_sec - status.st_mtime;
    if ((age_s > SWEEP_AGE_S || age_s < -SWEEP_AGE_S) && flock(fd, LOCK_EX | LOCK_NB) == 0) {
        (void)unlinkat(spool->folder[folder], name, 0);
    }
    close(fd);
}

/* A message without an envelope beside it. Looked for in the order in which a mail that is moved
 * meanwhile is seen at least once. */
static void sweep_message(struct spool *spool, bool failed, const char *id)
{
    enum spool_folder own = folder_of(failed);
    enum spool_folder other = folder_of(!failed);
    char name[SPOOL_NAME_BYTES];

    if (is_there(spool, own, id, ".env")) {
        return;
    }
    if (is_there(spool, other, id, ".env")) {
        (void)!move(spool, own, other, id, ".mail"); /* A move that a crash has cut off. */
    } else if (!is_there(spool, own, id, ".env")) {
        spool_name(name, id, ".mail");
        sweep_file(spool, own, name);
    }
}

static bool is_leftover(const char *name)
{
    char id[SPOOL_ID_BYTES];

    return id_of_name(name, "", id) || id_of_name(name, ".env", id) ||
           strncmp(name, "state.", 6) == 0;
}

void spool_sweep(struct spool *spool)
{
    for (enum spool_folder i = SPOOL_TMP; i < SPOOL_TOP; i++) {
        DIR *stream = open_stream(spool, i);
        struct dirent *entry;
        char id[SPOOL_ID_BYTES];

        if (stream == NULL) {
            continue;
        }
        while ((entry = readdir(stream)) != NULL) {
            if (i == SPOOL_TMP && is_leftover(entry->d_name)) {
                sweep_file(spool, i, entry->d_name);
            } else if (i != SPOOL_TMP && id_of_name(entry->d_name, ".mail", id)) {
                sweep_message(spool, i == SPOOL_FAILED, id);
            }
        }
        closedir(stream);
    }
}
