/* fetch_seen.c - the memory of a mailbox: a growing text file, and a table of hashes. */
#include "boards/linux/fetch_seen.h"

#include "net/posix/link_posix.h"
#include "net/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h> /* renameat() */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAGIC "tocsin-seen 1 "
#define LINE_BYTES (POP3_UID_BYTES + 64)
#define ROOM_MIN 256u
#define ROOM_MAX (1u << 24)
#define SAME_MAX 4096     /* Messages of one uid that are told apart. */
#define WASTE_MIN 1000    /* Lines that tell nothing, before the file is written anew. */
#define VANISHED_DAYS 30u /* How long a message that the server lost sight of is remembered. */

/* Notes: a day in the low 16 bits, and these. */
#define NOTE_DAY 0xFFFFu
#define NOTE_LISTED 0x10000u   /* The server has it. */
#define NOTE_GONE 0x20000u     /* It was deleted: a message of that uid is another one. */
#define NOTE_NEW 0x40000u      /* The server has it, and it is not delivered. */
#define NOTE_VANISHED 0x80000u /* The server did not have it on that day. */
#define NOTE_COPIED 0x100000u  /* It stands in the new file. */

/* ---- the table ---- */

/* The place of the n-th message of that uid, or the free place where it would be. */
static uint32_t place_of(const struct fetch_seen *seen, uint64_t base, uint32_t n, uint64_t *key)
{
    uint32_t at;

    *key = base + n * 0x9E3779B97F4A7C15u;
    *key += *key == 0 ? 1 : 0;
    at = (uint32_t)(*key >> 32) & (seen->room - 1);
    while (seen->keys[at] != 0 && seen->keys[at] != *key) {
        at = (at + 1) & (seen->room - 1);
    }
    return at;
}

static bool grow(struct fetch_seen *seen, struct fetch_why *why)
{
    struct fetch_seen bigger = {.room = seen->room == 0 ? ROOM_MIN : seen->room * 2};
    uint64_t key;

    if (seen->used < seen->room / 4 * 3) {
        return true;
    }
    if (bigger.room <= ROOM_MAX) {
        bigger.keys = calloc(bigger.room, sizeof *bigger.keys);
        bigger.notes = calloc(bigger.room, sizeof *bigger.notes);
    }
    if (bigger.keys == NULL || bigger.notes == NULL) {
        free(bigger.keys);
        free(bigger.notes);
        (void)fetch_why(why, EX_TEMPFAIL, "%s: there is no memory for so many messages",
                        seen->name);
        return false;
    }
    for (uint32_t i = 0; i < seen->room; i++) {
        if (seen->keys[i] != 0) {
            uint32_t at = place_of(&bigger, seen->keys[i], 0, &key);

            bigger.keys[at] = seen->keys[i];
            bigger.notes[at] = seen->notes[i];
        }
    }
    free(seen->keys);
    free(seen->notes);
    seen->keys = bigger.keys;
    seen->notes = bigger.notes;
    seen->room = bigger.room;
    return true;
}

/* The first message of that uid whose notes, masked, are `value`; NULL: none. */
static uint32_t *find(struct fetch_seen *seen, const char *uid, uint32_t mask, uint32_t value)
{
    uint64_t base = fetch_hash(seen->seed, uid);
    uint64_t key;

    for (uint32_t n = 0; n < SAME_MAX && seen->room > 0; n++) {
        uint32_t at = place_of(seen, base, n, &key);

        if (seen->keys[at] == 0) {
            break;
        }
        if ((seen->notes[at] & mask) == value) {
            return &seen->notes[at];
        }
    }
    return NULL;
}

/* One more message of that uid; false: no memory. More than SAME_MAX are not remembered. */
static bool insert(struct fetch_seen *seen, const char *uid, uint32_t note, struct fetch_why *why)
{
    uint64_t base = fetch_hash(seen->seed, uid);
    uint64_t key;

    if (!grow(seen, why)) {
        return false;
    }
    for (uint32_t n = 0; n < SAME_MAX; n++) {
        uint32_t at = place_of(seen, base, n, &key);

        if (seen->keys[at] == 0) {
            seen->keys[at] = key;
            seen->used++;
        } else if ((seen->notes[at] & NOTE_GONE) == 0) {
            continue;
        }
        seen->notes[at] = note;
        break;
    }
    return true;
}

static bool insert_known(struct fetch_seen *seen, const struct fetch_seen_letter *letter,
                         uint32_t more, struct fetch_why *why)
{
    seen->known++;
    return insert(seen, letter->uid, (letter->unix_s / 86400 & NOTE_DAY) | more, why);
}

/* ---- reading ---- */

/* One line, NUL-ended, without its newline. False ends the reading. */
typedef bool take_line(struct fetch_seen *seen, char *line, void *context);

/* Gives each whole line to take(). Returns where the last one ends; -1: errno, or take() ended it
 * (errno 0). */
static int64_t read_lines(struct fetch_seen *seen, int64_t from, take_line *take, void *context)
{
    char room[8192 + 1];
    size_t have = 0;
    bool skip = false; /* The line in hand is longer than any of ours. */

    for (int64_t at = from;;) {
        ssize_t count =
            pread(seen->fd, room + have, sizeof room - 1 - have, (off_t)at + (off_t)have);
        char *line = room;
        char *end;

        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            return count < 0 ? -1 : at;
        }
        have += (size_t)count;
        while ((end = memchr(line, '\n', have - (size_t)(line - room))) != NULL) {
            *end = '\0';
            seen->line_at = (uint64_t)at + (uint64_t)(line - room);
            if (!skip && !take(seen, line, context)) {
                errno = 0;
                return -1;
            }
            skip = false;
            line = end + 1;
        }
        if (line == room && have == sizeof room - 1) {
            skip = true;
            line = room + have;
        }
        at += line - room;
        have -= (size_t)(line - room);
        memmove(room, line, have);
    }
}

/* "TIME UID" */
static bool parse_letter(const char *text, struct fetch_seen_letter *letter)
{
    const char *space = strchr(text, ' ');
    char digits[12];

    if (space == NULL || (size_t)(space - text) >= sizeof digits) {
        return false;
    }
    memcpy(digits, text, (size_t)(space - text));
    digits[space - text] = '\0';
    return text_parse_u32(digits, UINT32_MAX, &letter->unix_s) && space[1] != '\0' &&
           text_copy(letter->uid, sizeof letter->uid, space + 1);
}

static bool parse_u64(const char **at, uint64_t *value)
{
    const char *begin = *at;

    for (*value = 0; **at >= '0' && **at <= '9' && *value < UINT64_MAX / 20; (*at)++) {
        *value = *value * 10 + (uint64_t)(**at - '0');
    }
    return *at > begin;
}

static void parse_place(const char *text, struct fetch_seen_place *place)
{
    if (!parse_u64(&text, &place->offset) || *text++ != ' ' || !parse_u64(&text, &place->length) ||
        *text != '\0') {
        place->length = 0;
    }
}

static void batch_clear(struct fetch_seen *seen)
{
    seen->batch_count = 0;
    seen->batch_at = 0;
    seen->place.offset = 0;
    seen->place.length = 0;
}

static bool batch_known(struct fetch_seen *seen, struct fetch_why *why)
{
    for (uint32_t i = 0; i < seen->batch_count; i++) {
        if (!insert_known(seen, &seen->batch[i], 0, why)) {
            return false;
        }
    }
    batch_clear(seen);
    return true;
}

static bool load_line(struct fetch_seen *seen, char *line, void *context)
{
    struct fetch_why *why = context;
    struct fetch_seen_letter letter;
    uint32_t *note;

    seen->lines++;
    if (line[0] == 'c' && line[1] == '\0') {
        return batch_known(seen, why);
    }
    if (line[0] == 'x' && line[1] == '\0') {
        batch_clear(seen);
    } else if (line[0] == '\0' || line[1] != ' ') {
        return true; /* Nothing of ours: not believed, and left out when the file is made anew. */
    } else if (line[0] == 'm') {
        seen->batch_at = seen->line_at;
        parse_place(line + 2, &seen->place);
    } else if (line[0] == '-') {
        note = find(seen, line + 2, NOTE_GONE, 0);
        if (note != NULL) {
            *note |= NOTE_GONE;
            seen->known--;
        }
    } else if (!parse_letter(line + 2, &letter)) {
        return true;
    } else if (line[0] == '+' && seen->batch_count < FETCH_BATCH) {
        seen->batch_at = seen->batch_at == 0 ? seen->line_at : seen->batch_at;
        seen->batch[seen->batch_count++] = letter;
    } else if (line[0] == 'k' || line[0] == '?') {
        return insert_known(seen, &letter, line[0] == '?' ? NOTE_VANISHED : 0, why);
    }
    return true;
}

/* ---- writing ---- */

/* Writes what is buffered. On an error the file ends where it ended before. */
static int write_out(struct fetch_seen *seen, struct fetch_why *why)
{
    if (fetch_write(seen->fd, seen->buffer, seen->buffered, (int64_t)seen->size) < 0) {
        int error = fetch_why_errno(why, seen->name);

        (void)!ftruncate(seen->fd, (off_t)seen->size); /* If not, its last line has no end. */
        seen->buffered = 0;
        return error;
    }
    seen->size += seen->buffered;
    seen->buffered = 0;
    return 0;
}

static int sync_out(struct fetch_seen *seen, struct fetch_why *why)
{
    int error = write_out(seen, why);

    if (error == 0 && fdatasync(seen->fd) < 0) {
        error = fetch_why_errno(why, seen->name);
    }
    return error;
}

static int add_line(struct fetch_seen *seen, const char *line, size_t size, struct fetch_why *why)
{
    int error = 0;

    if (seen->buffered + size > sizeof seen->buffer) {
        error = write_out(seen, why);
    }
    if (error == 0) {
        memcpy(seen->buffer + seen->buffered, line, size);
        seen->buffered += size;
        seen->lines++;
    }
    return error;
}

static int add_letter(struct fetch_seen *seen, char kind, uint32_t unix_s, const char *uid,
                      struct fetch_why *why)
{
    char line[LINE_BYTES];

    return add_line(seen, line,
                    text_print(line, sizeof line, "%c %u %s\n", kind, (unsigned)unix_s, uid), why);
}

static void add_u64(struct text *text, uint64_t value)
{
    if (value >= 1000000000u) {
        text_add_u32(text, (uint32_t)(value / 1000000000u));
        text_add_pad(text, (uint32_t)(value % 1000000000u), 9);
    } else {
        text_add_u32(text, (uint32_t)value);
    }
}

static int add_place(struct fetch_seen *seen, struct fetch_why *why)
{
    char line[64];
    struct text text = text_begin(line, sizeof line);

    text_add(&text, "m ");
    add_u64(&text, seen->place.offset);
    text_add_char(&text, ' ');
    add_u64(&text, seen->place.length);
    text_add_char(&text, '\n');
    return add_line(seen, line, text.length, why);
}

/* A new file, with its first line. */
static int begin_file(struct fetch_seen *seen, struct fetch_why *why)
{
    char line[FETCH_PATH_BYTES + sizeof MAGIC];
    size_t size = text_print(line, sizeof line, MAGIC "%s", seen->account);
    int error;

    line[size++] = '\n'; /* text_print() left room for its NUL. */
    error = add_line(seen, line, size, why);
    seen->lines = 0;
    return error < 0 ? error : sync_out(seen, why);
}

/* ---- opening ---- */

/* Whether the file is one of ours (1), another account's (0), or neither (error). */
static int check_first_line(struct fetch_seen *seen, int64_t *next, struct fetch_why *why)
{
    char line[FETCH_PATH_BYTES + sizeof MAGIC];
    ssize_t size = pread(seen->fd, line, sizeof line - 1, 0);
    char *end;

    if (size < 0) {
        return fetch_why_errno(why, seen->name);
    }
    line[size] = '\0';
    end = memchr(line, '\n', (size_t)size);
    *next = 0;
    if (end == NULL &&
        strncmp(MAGIC, line, strlen(MAGIC) < (size_t)size ? strlen(MAGIC) : (size_t)size) == 0) {
        return 1; /* Empty, or a crash left half of the first line. */
    }
    if (end == NULL || strncmp(line, MAGIC, strlen(MAGIC)) != 0) {
        return fetch_why(why, EX_CONFIG, "%s is no list of delivered mail: move it away",
                         seen->name);
    }
    *end = '\0';
    *next = end + 1 - line;
    return strcmp(line + strlen(MAGIC), seen->account) == 0 ? 1 : 0;
}

static int open_file(struct fetch_seen *seen, struct fetch_why *why)
{
    seen->fd = openat(seen->folder, seen->name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return seen->fd < 0 ? fetch_why_errno(why, seen->name) : 0;
}

static int load(struct fetch_seen *seen, int64_t from, struct fetch_why *why)
{
    int64_t end;

    if (from == 0) {
        return ftruncate(seen->fd, 0) < 0 ? fetch_why_errno(why, seen->name)
                                          : begin_file(seen, why);
    }
    end = read_lines(seen, from, load_line, why);
    if (end < 0) {
        return fetch_why_errno(why, seen->name);
    }
    seen->size = (uint64_t)end;
    /* A line without an end was cut off by a crash. */
    return ftruncate(seen->fd, (off_t)end) < 0 ? fetch_why_errno(why, seen->name) : 0;
}

int fetch_seen_open(struct fetch_seen *seen, int folder, const char *name, const char *account,
                    uint64_t unix_s, bool *replaced, struct fetch_why *why)
{
    int64_t next = 0;
    int error;
    char old[sizeof seen->name + 8];

    memset(seen, 0, sizeof *seen);
    seen->fd = -1;
    seen->folder = folder;
    seen->account = account;
    seen->today = (uint32_t)(unix_s / 86400);
    *replaced = false;
    text_print(seen->name, sizeof seen->name, "%s.seen", name);
    if (posix_random(&seen->seed, sizeof seen->seed) != 0) {
        return fetch_why(why, EX_TEMPFAIL, "there are no random numbers");
    }
    error = open_file(seen, why);
    if (error == 0) {
        error = check_first_line(seen, &next, why);
    }
    if (error == 0) {
        text_print(old, sizeof old, "%s.old", seen->name);
        close(seen->fd);
        seen->fd = -1;
        next = 0;
        *replaced = true;
        error = renameat(folder, seen->name, folder, old) < 0 ? fetch_why_errno(why, seen->name)
                                                              : open_file(seen, why);
    }
    if (error >= 0) {
        error = load(seen, next, why);
    }
    if (error == 0 && next == 0 && fsync(folder) < 0 && errno != EINVAL) {
        error = fetch_why_errno(why, seen->name);
    }
    if (error < 0) {
        fetch_seen_close(seen);
    }
    return error;
}

void fetch_seen_close(struct fetch_seen *seen)
{
    if (seen->fd >= 0) {
        close(seen->fd);
    }
    free(seen->keys);
    free(seen->notes);
    seen->fd = -1;
    seen->keys = NULL;
    seen->notes = NULL;
    seen->room = 0;
}

/* ---- events ---- */

/* Ends the batch, of which `delivered` tells a bit each: by `c` if that is all, else one by one. */
static int end_batch(struct fetch_seen *seen, uint32_t delivered, struct fetch_why *why)
{
    uint32_t all = seen->batch_count == 32 ? UINT32_MAX : (1u << seen->batch_count) - 1;
    int error = add_line(seen, delivered == all ? "c\n" : "x\n", 2, why);

    for (uint32_t i = 0; i < seen->batch_count && error == 0; i++) {
        const struct fetch_seen_letter *letter = &seen->batch[i];

        if (delivered != all && (delivered >> i & 1)) {
            error = add_letter(seen, 'k', letter->unix_s, letter->uid, why);
        }
    }
    return error < 0 ? error : sync_out(seen, why);
}

int fetch_seen_resolve(struct fetch_seen *seen, uint32_t delivered, struct fetch_why *why)
{
    int error = end_batch(seen, delivered, why);

    for (uint32_t i = 0; i < seen->batch_count && error == 0; i++) {
        if ((delivered >> i & 1) && !insert_known(seen, &seen->batch[i], 0, why)) {
            error = E_SPACE;
        }
    }
    batch_clear(seen);
    return error;
}

int fetch_seen_listed(struct fetch_seen *seen, const char *uid, struct fetch_why *why)
{
    uint32_t *note = find(seen, uid, NOTE_LISTED | NOTE_GONE, 0);

    if (note != NULL) {
        *note |= NOTE_LISTED;
        return 1;
    }
    return insert(seen, uid, NOTE_LISTED | NOTE_NEW, why) ? 0 : E_SPACE;
}

int fetch_seen_intend(struct fetch_seen *seen, bool sync, struct fetch_why *why)
{
    int error = seen->place.length > 0 ? add_place(seen, why) : 0;

    for (uint32_t i = 0; i < seen->batch_count && error == 0; i++) {
        error = add_letter(seen, '+', seen->batch[i].unix_s, seen->batch[i].uid, why);
    }
    if (error == 0) {
        error = sync ? sync_out(seen, why) : write_out(seen, why);
    }
    return error;
}

int fetch_seen_commit(struct fetch_seen *seen, uint32_t delivered, struct fetch_why *why)
{
    uint32_t bits = delivered >= 32 ? UINT32_MAX : (1u << delivered) - 1;
    int error = end_batch(seen, bits, why);

    for (uint32_t i = 0; i < delivered && error == 0; i++) {
        uint32_t *note = find(seen, seen->batch[i].uid, NOTE_NEW, NOTE_NEW);

        if (note != NULL) {
            *note = NOTE_LISTED | (seen->batch[i].unix_s / 86400 & NOTE_DAY);
            seen->known++;
        }
    }
    batch_clear(seen);
    return error;
}

void fetch_seen_gone(struct fetch_seen *seen, const char *uid, struct fetch_why *why)
{
    char line[LINE_BYTES];
    uint32_t *note = find(seen, uid, NOTE_LISTED | NOTE_GONE | NOTE_NEW, NOTE_LISTED);

    if (note != NULL) {
        *note |= NOTE_GONE;
        seen->known--;
        (void)add_line(seen, line, text_print(line, sizeof line, "- %s\n", uid), why);
    }
}

/* ---- the file anew ---- */

static bool forgotten(const struct fetch_seen *seen, uint32_t note)
{
    return (note & NOTE_GONE) || ((note & NOTE_VANISHED) && (note & NOTE_LISTED) == 0 &&
                                  seen->today - (note & NOTE_DAY) > VANISHED_DAYS);
}

struct copy {
    struct fetch_seen *to;
    struct fetch_why *why;
    int error;
};

static bool copy_line(struct fetch_seen *seen, char *line, void *context)
{
    struct copy *copy = context;
    struct fetch_seen_letter letter;
    uint32_t *note;
    bool vanished;

    if ((line[0] != 'k' && line[0] != '?' && line[0] != '+') || line[1] != ' ' ||
        !parse_letter(line + 2, &letter)) {
        return true;
    }
    note = find(seen, letter.uid, NOTE_COPIED | NOTE_GONE | NOTE_NEW, 0);
    if (note == NULL) {
        return true;
    }
    *note |= NOTE_COPIED;
    if (forgotten(seen, *note)) {
        return true;
    }
    vanished = (*note & NOTE_LISTED) == 0;
    if (vanished && line[0] != '?') {
        letter.unix_s = seen->today * 86400;
    }
    copy->error = add_letter(copy->to, vanished ? '?' : 'k', letter.unix_s, letter.uid, copy->why);
    copy->to->known++;
    return copy->error == 0;
}

/* Writes NAME.seen.new and puts it in the place of the file. The rename is the moment. */
static int write_anew(struct fetch_seen *seen, struct fetch_why *why)
{
    struct fetch_seen fresh = {.folder = seen->folder, .account = seen->account};
    struct copy copy = {&fresh, why, 0};
    int error;

    text_print(fresh.name, sizeof fresh.name, "%s.new", seen->name);
    (void)unlinkat(seen->folder, fresh.name, 0);
    error = open_file(&fresh, why);
    if (error < 0) {
        return error;
    }
    error = begin_file(&fresh, why);
    if (error == 0 && read_lines(seen, 0, copy_line, &copy) < 0) {
        error = copy.error < 0 ? copy.error : fetch_why_errno(why, seen->name);
    }
    if (error == 0) {
        error = sync_out(&fresh, why);
    }
    if (error == 0 && renameat(seen->folder, fresh.name, seen->folder, seen->name) < 0) {
        error = fetch_why_errno(why, seen->name);
    }
    if (error < 0) {
        (void)unlinkat(seen->folder, fresh.name, 0);
        close(fresh.fd);
        return error;
    }
    (void)fsync(seen->folder);
    close(seen->fd);
    seen->fd = fresh.fd;
    seen->size = fresh.size;
    seen->lines = fresh.lines;
    seen->known = fresh.known;
    return 0;
}

void fetch_seen_tidy(struct fetch_seen *seen, struct fetch_why *why)
{
    uint32_t useful = seen->known;
    int error = write_out(seen, why);

    for (uint32_t i = 0; i < seen->room; i++) {
        bool unlisted = seen->keys[i] != 0 && (seen->notes[i] & NOTE_LISTED) == 0;

        /* What vanished is worth a new file when it is to be noted, and when it is to be forgotten.
         */
        if (unlisted && ((seen->notes[i] & (NOTE_GONE | NOTE_VANISHED)) == 0 ||
                         ((seen->notes[i] & NOTE_GONE) == 0 && forgotten(seen, seen->notes[i])))) {
            useful--;
        }
    }
    if (error == 0 && seen->lines > useful + WASTE_MIN && seen->lines > 2 * useful) {
        (void)write_anew(seen, why);
    }
}
