/* fetch_mbox.c - an mbox: a batch is appended as a whole, under locks, or not at all.
 *
 * Locks as Debian's policy (11.6) wants them: fcntl(), then NAME.lock. Signals wait meanwhile, so
 * that no lock stays behind.
 */
#include "boards/linux/fetch_deliver.h"

#include "net/posix/link_posix.h"
#include "net/text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_MS_MAX 20000 /* How long another program may have it. */
#define LOCK_STEP_MS 100
#define STALE_S 300 /* A lock file this old, whose owner is not named, is nobody's. */
#define FROM_BYTES (FETCH_VALUE_BYTES + 40)

/* ---- locks ---- */

static bool lock_name(const struct fetch_deliver *deliver, char out[FETCH_PATH_BYTES])
{
    struct text text = text_begin(out, FETCH_PATH_BYTES);

    text_add(&text, deliver->path);
    text_add(&text, ".lock");
    return !text.cut;
}

/* Whether nobody holds that lock file any more: its process is gone. */
static bool is_stale(const char *name)
{
    char text[16];
    struct stat status;
    uint32_t pid = 0;
    ssize_t size = -1;
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0) {
        return false;
    }
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
        size = read(fd, text, sizeof text - 1);
    }
    close(fd);
    if (size < 0) {
        return false;
    }
    text[size] = '\0';
    text[strcspn(text, " \n")] = '\0';
    if (text_parse_u32(text, INT32_MAX, &pid) && pid > 0) {
        return kill((pid_t)pid, 0) < 0 && errno == ESRCH;
    }
    return posix_unix_ms() / 1000 > (uint64_t)status.st_mtime + STALE_S;
}

/* Makes a file with the number of this process in it. -1: errno. */
static int write_pid(const char *name)
{
    char pid[16];
    size_t size = text_print(pid, sizeof pid, "%u\n", (unsigned)getpid());
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    bool written;

    if (fd < 0) {
        return -1;
    }
    written = write(fd, pid, size) == (ssize_t)size;
    close(fd);
    if (!written) {
        (void)unlink(name);
        errno = EIO;
    }
    return written ? 0 : -1;
}

/* 1: the lock file is ours; 0: somebody else's; E_IO: there can be none here (no right to write in
 * the folder), and fcntl() has to do. It is linked to its name when it says whose it is: one that
 * says nothing would be in the way for long if its process were killed. */
static int lock_file(const struct fetch_deliver *deliver)
{
    char name[FETCH_PATH_BYTES];
    char own[FETCH_PATH_BYTES + 12];
    int made;

    if (!lock_name(deliver, name)) {
        return E_IO;
    }
    text_print(own, sizeof own, "%s.%u", name, (unsigned)getpid());
    (void)unlink(own);
    made = write_pid(own) == 0 ? link(own, name) : -1;
    if (made < 0 && errno != EEXIST) {
        made = write_pid(name); /* A file system without links. */
    }
    made = made == 0 ? 1 : errno == EEXIST ? 0 : E_IO;
    (void)unlink(own);
    if (made == 0 && is_stale(name)) {
        (void)unlink(name);
    }
    return made;
}

static bool lock_fcntl(int fd, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET};

    return fcntl(fd, F_SETLK, &lock) == 0 || errno == ENOLCK || errno == EINVAL;
}

static void signals_wait(struct fetch_deliver *deliver)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGHUP);
    (void)sigaddset(&set, SIGQUIT);
    (void)sigprocmask(SIG_BLOCK, &set, &deliver->signals);
}

void fetch_mbox_unlock(struct fetch_deliver *deliver)
{
    char name[FETCH_PATH_BYTES];

    if (deliver->dotlock && lock_name(deliver, name)) {
        (void)unlink(name);
    }
    deliver->dotlock = false;
    close(deliver->mbox); /* And its lock is gone. */
    deliver->mbox = -1;
    (void)sigprocmask(SIG_SETMASK, &deliver->signals, NULL);
}

/* Takes both locks, or neither. */
static bool lock_try(struct fetch_deliver *deliver)
{
    int file;

    signals_wait(deliver);
    if (lock_fcntl(deliver->mbox, F_WRLCK)) {
        file = lock_file(deliver);
        if (file != 0) {
            deliver->dotlock = file > 0;
            return true;
        }
        (void)lock_fcntl(deliver->mbox, F_UNLCK);
    }
    (void)sigprocmask(SIG_SETMASK, &deliver->signals, NULL);
    return false;
}

static int lock(struct fetch_deliver *deliver, struct fetch_why *why)
{
    uint64_t until_ms = posix_monotonic_ms() + LOCK_MS_MAX;

    while (!lock_try(deliver)) {
        if (posix_monotonic_ms() >= until_ms) {
            close(deliver->mbox);
            deliver->mbox = -1;
            return fetch_why(why, EX_TEMPFAIL, "%s: another program has it locked", deliver->path);
        }
        (void)poll(NULL, 0, LOCK_STEP_MS);
    }
    return 0;
}

/* ---- the file ---- */

/* In a folder where others may write, somebody else's link leads where he wants. */
static bool is_foreign_link(const char *path)
{
    struct stat status;

    return lstat(path, &status) == 0 && S_ISLNK(status.st_mode) && status.st_uid != geteuid() &&
           status.st_uid != 0;
}

static int make_parent(const struct fetch_deliver *deliver)
{
    char parent[FETCH_PATH_BYTES];
    char *slash;

    (void)text_copy(parent, sizeof parent, deliver->path);
    slash = strrchr(parent, '/');
    if (slash == NULL || slash == parent) {
        return 0;
    }
    *slash = '\0';
    return fetch_make_folder(parent);
}

/* Opens and locks it. create: also when it is not there; else mbox stays -1. */
static int open_mbox(struct fetch_deliver *deliver, bool create, struct fetch_why *why)
{
    struct stat status;
    int error;

    if (is_foreign_link(deliver->path)) {
        return fetch_why(why, EX_CANTCREAT, "%s: it is somebody else's link", deliver->path);
    }
    deliver->mbox = open(deliver->path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (deliver->mbox < 0 && errno == ENOENT && !create) {
        return 0;
    }
    if (deliver->mbox < 0 && errno == ENOENT && make_parent(deliver) == 0) {
        deliver->mbox = open(deliver->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    }
    if (deliver->mbox < 0) {
        return fetch_why_errno(why, deliver->path);
    }
    error = lock(deliver, why);
    if (error < 0) {
        return error;
    }
    if (fstat(deliver->mbox, &status) < 0 || !S_ISREG(status.st_mode)) {
        fetch_mbox_unlock(deliver);
        return fetch_why(why, EX_CANTCREAT, "%s: it is no file", deliver->path);
    }
    deliver->mbox_size = (uint64_t)status.st_size;
    return 0;
}

/* "Sun Nov 22 08:30:00 2026", as asctime() writes it (RFC 4155: UTC). */
static void add_date(struct text *text, uint32_t unix_s)
{
    struct text_date date = text_date(unix_s, 0);

    text_format(text, "%s %s ", text_item("Sun\0Mon\0Tue\0Wed\0Thu\0Fri\0Sat", date.weekday),
                text_item("Jan\0Feb\0Mar\0Apr\0May\0Jun\0Jul\0Aug\0Sep\0Oct\0Nov\0Dec",
                          (size_t)date.month - 1));
    text_add(text, date.day < 10 ? " " : "");
    text_format(text, "%u %02u:%02u:%02u %u", date.day, date.hour, date.minute, date.second,
                date.year);
}

static size_t from_line(const struct fetch_letter *letter, char out[FROM_BYTES])
{
    struct text text = text_begin(out, FROM_BYTES);

    text_format(&text, "From %s ", letter->sender);
    add_date(&text, letter->unix_s);
    text_add_char(&text, '\n');
    return text.length;
}

/* How many newlines the file wants before what is appended. */
static unsigned gap(const struct fetch_deliver *deliver)
{
    char end[2];

    if (deliver->mbox_size == 0) {
        return 0;
    }
    if (deliver->mbox_size == 1 ||
        pread(deliver->mbox, end, 2, (off_t)deliver->mbox_size - 2) != 2 || end[1] != '\n') {
        return 2;
    }
    return end[0] == '\n' ? 0 : 1;
}

int fetch_mbox_prepare(struct fetch_deliver *deliver, struct fetch_seen_place *place,
                       struct fetch_why *why)
{
    char line[FROM_BYTES];
    int error = open_mbox(deliver, true, why);

    if (error < 0) {
        return error;
    }
    deliver->mbox_gap = gap(deliver);
    place->offset = deliver->mbox_size;
    place->length = deliver->mbox_gap;
    for (uint32_t i = 0; i < deliver->count; i++) {
        place->length += from_line(&deliver->letters[i], line) + deliver->letters[i].size + 1;
    }
    return 0;
}

/* ---- appending ---- */

struct writer {
    struct fetch_deliver *deliver;
    uint64_t at;
    size_t used;
};

static bool write_out(struct writer *writer)
{
    struct fetch_deliver *deliver = writer->deliver;
    int error = fetch_write(deliver->mbox, deliver->buffer, writer->used, (int64_t)writer->at);

    writer->at += writer->used;
    writer->used = 0;
    return error == 0;
}

static bool add(struct writer *writer, const char *bytes, size_t size)
{
    if (size > sizeof writer->deliver->buffer - writer->used && !write_out(writer)) {
        return false;
    }
    memcpy(writer->deliver->buffer + writer->used, bytes, size);
    writer->used += size;
    return true;
}

/* From the spool, through what is free of the buffer. */
static bool copy(struct writer *writer, uint64_t begin, uint64_t size)
{
    struct fetch_deliver *deliver = writer->deliver;

    while (size > 0) {
        size_t room = sizeof deliver->buffer - writer->used;
        size_t part = size < room ? (size_t)size : room;
        ssize_t count = pread(deliver->spool, deliver->buffer + writer->used, part, (off_t)begin);

        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            errno = count == 0 ? EIO : errno;
            return false;
        }
        writer->used += (size_t)count;
        begin += (uint64_t)count;
        size -= (uint64_t)count;
        if (writer->used == sizeof deliver->buffer && !write_out(writer)) {
            return false;
        }
    }
    return true;
}

static bool append(struct fetch_deliver *deliver)
{
    struct writer writer = {deliver, deliver->mbox_size, 0};
    char line[FROM_BYTES];
    bool ok = add(&writer, "\n\n", deliver->mbox_gap);

    for (uint32_t i = 0; i < deliver->count && ok; i++) {
        const struct fetch_letter *letter = &deliver->letters[i];

        ok = add(&writer, line, from_line(letter, line)) &&
             copy(&writer, letter->begin, letter->size) && add(&writer, "\n", 1);
    }
    return ok && write_out(&writer) && fsync(deliver->mbox) == 0;
}

/* So that a new file's name is on disk as well. */
static void sync_parent(const struct fetch_deliver *deliver)
{
    char parent[FETCH_PATH_BYTES];
    char *slash;
    int fd;

    (void)text_copy(parent, sizeof parent, deliver->path);
    slash = strrchr(parent, '/');
    if (slash == NULL) {
        return;
    }
    slash[slash == parent ? 1 : 0] = '\0';
    fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
}

int fetch_mbox_commit(struct fetch_deliver *deliver, struct fetch_why *why)
{
    int error = 0;

    if (!append(deliver)) {
        error = fetch_why_errno(why, deliver->path);
        if (ftruncate(deliver->mbox, (off_t)deliver->mbox_size) == 0) {
            (void)fsync(deliver->mbox);
        }
    } else if (deliver->mbox_size == 0) {
        sync_parent(deliver);
    }
    fetch_mbox_unlock(deliver);
    return error;
}

/* ---- after a crash ---- */

/* What stands in the file where the batch was to go. */
struct found {
    uint32_t ours;    /* Lines "From ... DATE" of the batch, in its order. */
    bool foreign;     /* Something is another program's. */
    bool blank_end;   /* An empty line is at its end. */
    bool from_behind; /* Nothing, or another message, is behind it. */

    uint8_t begun;   /* Of the first "From ", how much has come. */
    uint8_t matched; /* Of the next one. */
    bool taking;     /* One has come, and its line is taken. */
    bool at_start;   /* It began the line. */
    uint64_t length; /* Of the line in hand, so far. */
    uint64_t last;   /* Of the line before. */
    size_t used;
    char line[FROM_BYTES];
};

/* Whether what follows "From " is a sender and a day, as in the first line of an mbox's message. */
static bool is_separator(const char *line)
{
    static const char days[] = "Sun\0Mon\0Tue\0Wed\0Thu\0Fri\0Sat\0";

    line += strcspn(line, " ");
    line += strspn(line, " ");
    for (const char *day = days; *day != '\0'; day += 4) {
        if (strncmp(line, day, 3) == 0) {
            return true;
        }
    }
    return false;
}

/* A line in which "From " stands is over. Another program may have appended its message right
 * behind half a line of ours. */
static void judge_line(struct found *found, const struct fetch_seen *seen)
{
    char date[40];
    struct text text = text_begin(date, sizeof date);

    found->taking = false;
    found->line[found->used] = '\0';
    if (!found->at_start) {
        found->foreign = found->foreign || is_separator(found->line);
        return;
    }
    if (found->ours < seen->batch_count) {
        add_date(&text, seen->batch[found->ours].unix_s);
    }
    if (text.length > 0 && found->used > text.length &&
        strcmp(found->line + found->used - text.length, date) == 0) {
        found->ours++;
    } else {
        found->foreign = true;
    }
}

static void look_at(struct found *found, const struct fetch_seen *seen, char c)
{
    static const char from[] = "From ";

    if (found->begun < 5 && (c != '\n' || found->begun > 0)) {
        found->foreign = found->foreign || c != from[found->begun];
        found->begun++;
    }
    if (c == '\n') {
        if (found->taking) {
            judge_line(found, seen);
        }
        found->matched = 0;
        found->last = found->length;
        found->length = 0;
        return;
    }
    if (found->taking && found->used < sizeof found->line - 1) {
        found->line[found->used++] = c == '\0' ? ' ' : c;
    }
    found->length++;
    found->matched = c == from[found->matched] ? (uint8_t)(found->matched + 1) : c == 'F';
    if (found->matched == 5) {
        found->matched = 0;
        if (!found->taking || !found->at_start) {
            found->taking = true;
            found->at_start = found->length == 5;
            found->used = 0;
        }
    }
}

/* Reads from offset to the end of the batch, or of the file. */
static bool look(struct fetch_deliver *deliver, const struct fetch_seen *seen, struct found *found)
{
    uint64_t end = seen->place.offset + seen->place.length;
    char behind[5];

    memset(found, 0, sizeof *found);
    for (uint64_t at = seen->place.offset; at < end;) {
        size_t room =
            end - at < sizeof deliver->buffer ? (size_t)(end - at) : sizeof deliver->buffer;
        ssize_t count = pread(deliver->mbox, deliver->buffer, room, (off_t)at);

        if (count < 0) {
            return false;
        }
        if (count == 0) {
            break;
        }
        for (ssize_t i = 0; i < count; i++) {
            look_at(found, seen, (char)deliver->buffer[i]);
        }
        at += (uint64_t)count;
    }
    if (found->taking && !found->at_start) {
        judge_line(found, seen);
    }
    found->blank_end = found->length == 0 && found->last == 0;
    found->from_behind =
        deliver->mbox_size <= end ||
        (pread(deliver->mbox, behind, 5, (off_t)end) == 5 && memcmp(behind, "From ", 5) == 0);
    return true;
}

int fetch_mbox_resolve(struct fetch_deliver *deliver, const struct fetch_seen *seen,
                       uint32_t *delivered, char *said, size_t said_size, struct fetch_why *why)
{
    uint64_t end = seen->place.offset + seen->place.length;
    struct found found;
    int error = seen->batch_count > 0 ? open_mbox(deliver, false, why) : 0;

    if (error < 0 || seen->batch_count == 0 || deliver->mbox < 0) {
        return error;
    }
    if (deliver->mbox_size <= seen->place.offset || !look(deliver, seen, &found)) {
        fetch_mbox_unlock(deliver);
        return 0; /* It has not begun, or its reader has emptied the file since. */
    }
    if (deliver->mbox_size >= end && found.ours == seen->batch_count && !found.foreign &&
        found.blank_end && found.from_behind) {
        *delivered = UINT32_MAX >> (32 - seen->batch_count);
    } else if (deliver->mbox_size < end && !found.foreign) {
        if (ftruncate(deliver->mbox, (off_t)seen->place.offset) < 0 || fsync(deliver->mbox) < 0) {
            error = fetch_why_errno(why, deliver->path);
        }
        text_print(said, said_size, "%s: half of what a crash left there was cut off",
                   deliver->path);
    } else {
        text_print(said, said_size,
                   "%s: a crash may have left a message there that comes once more", deliver->path);
    }
    fetch_mbox_unlock(deliver);
    return error;
}
