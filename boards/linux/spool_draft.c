/* A new mail, from its first byte to its place in the queue. */
#include "boards/linux/spool_private.h"
#include "net/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h> /* renameat() */
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void make_id(char id[SPOOL_ID_BYTES], uint64_t time_us)
{
    struct text text = text_begin(id, SPOOL_ID_BYTES);

    text_add_hex(&text, (uint32_t)(time_us >> 32), SPOOL_ID_DIGITS - 14);
    text_add_hex(&text, (uint32_t)time_us, 8);
    text_add_hex(&text, (uint32_t)getpid(), 6);
}

/* Whether a mail has the id already: in another process's name space, or before the clock was set
 * back. Who has tmp/ID has the id, so nobody else takes it between this and the rename. */
static bool id_is_taken(struct spool *spool, const char *id)
{
    char name[SPOOL_NAME_BYTES];
    struct stat status;

    spool_name(name, id, ".mail");
    return fstatat(spool->folder[SPOOL_QUEUE], name, &status, AT_SYMLINK_NOFOLLOW) == 0 ||
           fstatat(spool->folder[SPOOL_FAILED], name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

int spool_draft_begin(struct spool *spool, struct spool_draft *draft)
{
    uint64_t time_us = now_us();
    int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;

    draft->buffered = 0;
    draft->size_bytes = 0;
    for (unsigned tries = 0; tries < 1000; tries++) {
        make_id(draft->id, time_us + tries);
        draft->fd = openat(spool->folder[SPOOL_TMP], draft->id, flags, spool->mode);
        if (draft->fd >= 0 && !id_is_taken(spool, draft->id)) {
            (void)fchmod(draft->fd, spool->mode); /* Whatever the umask took. */
            /* However long its writer takes, nobody sweeps it away. */
            (void)flock(draft->fd, LOCK_EX | LOCK_NB);
            return 0;
        }
        if (draft->fd >= 0) {
            spool_draft_drop(spool, draft);
        } else if (errno != EEXIST && errno != EINTR) {
            break;
        }
    }
    return spool_fail_errno(spool, errno, SPOOL_TMP, draft->id);
}

static int flush(struct spool *spool, struct spool_draft *draft)
{
    int number = spool_write_all(draft->fd, draft->buffer, draft->buffered);

    draft->buffered = 0;
    return number == 0 ? 0 : spool_fail_errno(spool, number, SPOOL_TMP, draft->id);
}

int spool_draft_write(struct spool *spool, struct spool_draft *draft, const uint8_t *bytes,
                      size_t size)
{
    draft->size_bytes += size;
    while (size > 0) {
        size_t take = sizeof draft->buffer - draft->buffered;

        take = take < size ? take : size;
        memcpy(draft->buffer + draft->buffered, bytes, take);
        draft->buffered += take;
        bytes += take;
        size -= take;
        if (draft->buffered == sizeof draft->buffer) {
            int result = flush(spool, draft);

            if (result < 0) {
                return result;
            }
        }
    }
    return 0;
}

void spool_draft_drop(struct spool *spool, struct spool_draft *draft)
{
    if (draft->fd >= 0) {
        (void)unlinkat(spool->folder[SPOOL_TMP], draft->id, 0);
        close(draft->fd);
        draft->fd = -1;
    }
}

int spool_envelope_write(struct spool *spool, const struct spool_mail *mail)
{
    char name[SPOOL_NAME_BYTES];
    char *bytes;
    size_t size;
    int number;
    int fd;
    int result = spool_envelope_build(mail, &bytes, &size);

    spool_name(name, mail->id, ".env");
    if (result < 0) {
        return spool_fail_text(spool, result, SPOOL_TMP, name,
                               result == E_SPACE ? "not enough memory, or too many recipients"
                                                 : "an address that cannot be one, or none");
    }
    fd = spool_create(spool, SPOOL_TMP, name);
    if (fd < 0) {
        number = errno;
    } else {
        number = spool_write_all(fd, bytes, size);
        if (number == 0) {
            number = spool_sync(fd);
        }
        close(fd);
        if (number != 0) {
            (void)unlinkat(spool->folder[SPOOL_TMP], name, 0);
        }
    }
    free(bytes);
    return number == 0 ? 0 : spool_fail_errno(spool, number, SPOOL_TMP, name);
}

/* Both files are written and synced: gives them their places. Returns 0, or errno. */
static int place(struct spool *spool, const char *id)
{
    int tmp = spool->folder[SPOOL_TMP];
    int queue = spool->folder[SPOOL_QUEUE];
    char mail_name[SPOOL_NAME_BYTES];
    char env_name[SPOOL_NAME_BYTES];
    int number;

    spool_name(mail_name, id, ".mail");
    spool_name(env_name, id, ".env");
    if (renameat(tmp, id, queue, mail_name) != 0) {
        number = errno;
        (void)unlinkat(tmp, env_name, 0);
        return number;
    }
    number = renameat(tmp, env_name, queue, env_name) != 0 ? errno : 0;
    if (number == 0) {
        number = spool_sync(queue); /* One for both names. */
        if (number == 0 || (unlinkat(queue, env_name, 0) != 0 && errno == ENOENT)) {
            return 0; /* Safe; or gone, which means that another process has sent it. */
        }
    }
    (void)unlinkat(tmp, env_name, 0);
    (void)unlinkat(queue, mail_name, 0);
    return number;
}

int spool_draft_commit(struct spool *spool, struct spool_draft *draft, struct spool_mail *mail)
{
    int result = flush(spool, draft);

    if (result == 0) {
        int number = spool_sync(draft->fd);

        result = number == 0 ? 0 : spool_fail_errno(spool, number, SPOOL_TMP, draft->id);
    }
    if (result == 0) {
        memcpy(mail->id, draft->id, sizeof mail->id);
        mail->size_bytes = draft->size_bytes;
        mail->queued_unix_ms = now_us() / 1000;
        result = spool_envelope_write(spool, mail);
    }
    if (result == 0) {
        int number = place(spool, draft->id);

        result = number == 0 ? 0 : spool_fail_errno(spool, number, SPOOL_QUEUE, draft->id);
    }
    spool_draft_drop(spool, draft); /* Its name in tmp/ is gone if all went well. */
    return result;
}
