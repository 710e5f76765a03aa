/* fetch_deliver.c - a message on its way in: line ends, quoting, and the batch that it joins. */
#include "boards/linux/fetch_deliver.h"

#include "net/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FROM_NONE 0xFF /* The line in hand cannot be one that begins with "From ". */

/* ---- opening ---- */

static int open_spool(struct fetch_deliver *deliver, struct fetch_why *why)
{
    const char *folder = getenv("TMPDIR");
    char path[FETCH_PATH_BYTES];

    text_print(path, sizeof path, "%s/tocsin-poll-XXXXXX",
               folder != NULL && folder[0] == '/' ? folder : "/tmp");
    deliver->spool = mkostemp(path, O_CLOEXEC);
    if (deliver->spool < 0) {
        return fetch_why_errno(why, path);
    }
    (void)unlink(path);
    return 0;
}

static int parse_place(struct fetch_deliver *deliver, const char *where, struct fetch_why *why)
{
    static const char kinds[] = "maildir:\0mbox:\0pipe:"; /* As the enum. */

    for (unsigned kind = FETCH_MAILDIR; kind <= FETCH_PIPE; kind++) {
        const char *name = text_item(kinds, kind);

        if (text_starts_nocase(where, name)) {
            deliver->kind = (enum fetch_kind)kind;
            where += strlen(name);
            where += strspn(where, " ");
            if (where[0] == '\0') {
                break;
            }
            return kind != FETCH_PIPE ? fetch_expand(where, deliver->path, why)
                   : text_copy(deliver->path, sizeof deliver->path, where)
                       ? 0
                       : fetch_why(why, EX_CONFIG, "deliver: the command is too long");
        }
    }
    return fetch_why(why, EX_CONFIG,
                     where[0] == '\0'
                         ? "deliver is not set%s%s%s"
                         : "deliver = %s: it is maildir:PATH, mbox:PATH or pipe:COMMAND",
                     where[0] == '\0' ? ": write deliver = maildir:~/Maildir, or mbox:PATH" : where,
                     where[0] == '\0' ? ", or pipe:COMMAND" : "", "");
}

/* The host's name as a part of a file name in a Maildir. */
static void take_host(struct fetch_deliver *deliver)
{
    char host[sizeof deliver->host];
    struct text text = text_begin(deliver->host, sizeof deliver->host);

    if (gethostname(host, sizeof host) < 0) {
        host[0] = '\0';
    }
    host[sizeof host - 1] = '\0';
    for (const char *at = host; *at != '\0'; at++) {
        bool taken = *at == '/' || *at == ':' || *at <= ' ' || *at == 0x7F;

        text_add_char(&text, taken ? '-' : *at);
    }
    if (text.length == 0) {
        text_add(&text, "localhost");
    }
}

int fetch_deliver_open(struct fetch_deliver *deliver, const char *where, const char *account,
                       bool quiet, struct fetch_why *why)
{
    int error;

    memset(deliver, 0, sizeof *deliver);
    deliver->folder = deliver->tmp = deliver->new_folder = deliver->spool = deliver->mbox = -1;
    deliver->account = account;
    deliver->quiet = quiet;
    deliver->seed = fetch_hash(0, account);
    take_host(deliver);
    error = parse_place(deliver, where, why);
    if (error == 0) {
        error = deliver->kind == FETCH_MAILDIR ? fetch_maildir_open(deliver, why)
                                               : open_spool(deliver, why);
    }
    if (error < 0) {
        fetch_deliver_close(deliver);
    }
    return error;
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

void fetch_deliver_close(struct fetch_deliver *deliver)
{
    if (deliver->begun) {
        fetch_deliver_drop(deliver);
    }
    fetch_deliver_forget(deliver);
    close_fd(&deliver->folder);
    close_fd(&deliver->tmp);
    close_fd(&deliver->new_folder);
    close_fd(&deliver->spool);
}

int fetch_deliver_resolve(struct fetch_deliver *deliver, const struct fetch_seen *seen,
                          uint32_t *delivered, char *said, size_t said_size, struct fetch_why *why)
{
    *delivered = 0;
    said[0] = '\0';
    if (deliver->kind == FETCH_MAILDIR) {
        *delivered = fetch_maildir_resolve(deliver, seen);
    } else if (deliver->kind == FETCH_MBOX && seen->place.length > 0) {
        return fetch_mbox_resolve(deliver, seen, delivered, said, said_size, why);
    }
    return 0;
}

/* ---- one message ---- */

static struct fetch_letter *in_hand(struct fetch_deliver *deliver)
{
    return &deliver->letters[deliver->count];
}

int fetch_deliver_flush(struct fetch_deliver *deliver, struct fetch_why *why)
{
    struct fetch_letter *letter = in_hand(deliver);
    bool spool = deliver->kind != FETCH_MAILDIR;
    int error = fetch_write(spool ? deliver->spool : letter->fd, deliver->buffer, deliver->buffered,
                            spool ? (int64_t)deliver->spooled : -1);

    if (error < 0) {
        return fetch_why_errno(why, spool ? "the file that a message waits in" : deliver->path);
    }
    letter->size += deliver->buffered;
    deliver->spooled += deliver->buffered;
    deliver->buffered = 0;
    return 0;
}

static int put(struct fetch_deliver *deliver, const void *bytes, size_t size, struct fetch_why *why)
{
    const uint8_t *at = bytes;

    while (size > 0) {
        size_t room = sizeof deliver->buffer - deliver->buffered;
        size_t part = size < room ? size : room;

        memcpy(deliver->buffer + deliver->buffered, at, part);
        deliver->buffered += part;
        at += part;
        size -= part;
        if (part == room && fetch_deliver_flush(deliver, why) < 0) {
            return E_IO;
        }
    }
    return 0;
}

/* Ends a line's beginning that was held because it might have become "From ". */
static int put_held(struct fetch_deliver *deliver, struct fetch_why *why)
{
    size_t size = deliver->from == FROM_NONE ? 0 : deliver->from;

    deliver->from = FROM_NONE;
    return put(deliver, "From", size, why);
}

/* ^>*From gets one more '>', wherever among the others. */
static int put_quoted(struct fetch_deliver *deliver, const uint8_t *bytes, size_t size,
                      struct fetch_why *why)
{
    int error = 0;

    deliver->last = size > 0 ? bytes[size - 1] : deliver->last;
    while (size > 0 && error == 0) {
        const uint8_t *end;
        size_t run = 1;

        if (deliver->from == 0 && *bytes == '>') {
            error = put(deliver, bytes, 1, why);
        } else if (deliver->from < 5 && *bytes == (uint8_t) "From "[deliver->from]) {
            if (++deliver->from == 5) {
                deliver->from = FROM_NONE;
                error = put(deliver, ">From ", 6, why);
            }
        } else if (deliver->from != FROM_NONE) {
            error = put_held(deliver, why);
            run = 0;
        } else {
            end = memchr(bytes, '\n', size);
            run = end == NULL ? size : (size_t)(end - bytes) + 1;
            deliver->from = end == NULL ? FROM_NONE : 0;
            error = put(deliver, bytes, run, why);
        }
        bytes += run;
        size -= run;
    }
    return error;
}

static int put_text(struct fetch_deliver *deliver, const void *bytes, size_t size,
                    struct fetch_why *why)
{
    fetch_header_push(&deliver->header, bytes, size);
    return deliver->kind == FETCH_MBOX ? put_quoted(deliver, bytes, size, why)
                                       : put(deliver, bytes, size, why);
}

int fetch_deliver_begin(struct fetch_deliver *deliver, uint32_t number, const char *uid,
                        uint32_t unix_s, struct fetch_why *why)
{
    struct fetch_letter *letter = in_hand(deliver);

    memset(letter, 0, sizeof *letter);
    letter->fd = -1;
    letter->uid = uid;
    letter->unix_s = unix_s;
    letter->number = number;
    letter->begin = deliver->kind == FETCH_MAILDIR ? 0 : deliver->spooled;
    deliver->begun = true;
    deliver->after_cr = false;
    deliver->from = 0;
    deliver->last = '\n';
    deliver->buffered = 0;
    fetch_header_begin(&deliver->header);
    return deliver->kind == FETCH_MAILDIR ? fetch_maildir_begin(deliver, why) : 0;
}

int fetch_deliver_push(struct fetch_deliver *deliver, const uint8_t *bytes, size_t size,
                       struct fetch_why *why)
{
    int error = 0;

    while (size > 0 && error == 0) {
        const uint8_t *cr;
        size_t run;

        if (deliver->after_cr && *bytes != '\n') {
            error = put_text(deliver, "\r", 1, why);
        }
        deliver->after_cr = false;
        cr = memchr(bytes, '\r', size);
        run = cr == NULL ? size : (size_t)(cr - bytes);
        if (error == 0) {
            error = put_text(deliver, bytes, run, why);
        }
        if (cr != NULL) {
            deliver->after_cr = true;
            run++;
        }
        bytes += run;
        size -= run;
    }
    return error;
}

/* An mbox needs a line end before what follows. */
static int end_mbox(struct fetch_deliver *deliver, struct fetch_why *why)
{
    int error = put_held(deliver, why);

    return error == 0 && deliver->last != '\n' ? put(deliver, "\n", 1, why) : error;
}

int fetch_deliver_end(struct fetch_deliver *deliver, struct fetch_why *why)
{
    struct fetch_letter *letter = in_hand(deliver);
    int error = deliver->after_cr ? put_text(deliver, "\r", 1, why) : 0;

    if (error == 0 && deliver->kind == FETCH_MBOX) {
        error = end_mbox(deliver, why);
    }
    error = error == 0 ? fetch_deliver_flush(deliver, why) : error;
    if (error < 0) {
        return error;
    }
    fetch_header_sender(&deliver->header, letter->sender, sizeof letter->sender);
    fetch_header_id(&deliver->header, letter->message_id, sizeof letter->message_id);
    deliver->begun = false;
    deliver->batch_bytes += letter->size;
    deliver->count++;
    return 0;
}

void fetch_deliver_drop(struct fetch_deliver *deliver)
{
    struct fetch_letter *letter = in_hand(deliver);

    if (!deliver->begun) {
        return;
    }
    deliver->begun = false;
    deliver->buffered = 0;
    if (deliver->kind == FETCH_MAILDIR) {
        fetch_maildir_remove(deliver, deliver->count);
    } else {
        deliver->spooled = letter->begin;
        (void)!ftruncate(deliver->spool, (off_t)deliver->spooled);
    }
}

/* ---- batches ---- */

bool fetch_deliver_full(const struct fetch_deliver *deliver)
{
    return deliver->count == FETCH_BATCH || deliver->batch_bytes >= FETCH_BATCH_BYTES ||
           (deliver->kind == FETCH_PIPE && deliver->count > 0);
}

int fetch_deliver_prepare(struct fetch_deliver *deliver, struct fetch_seen_place *place,
                          struct fetch_why *why)
{
    place->offset = 0;
    place->length = 0;
    switch (deliver->kind) {
    case FETCH_MAILDIR:
        return fetch_maildir_prepare(deliver, why);
    case FETCH_MBOX:
        return fetch_mbox_prepare(deliver, place, why);
    case FETCH_PIPE:
        break;
    }
    return 0;
}

int fetch_deliver_commit(struct fetch_deliver *deliver, uint32_t *delivered, struct fetch_why *why)
{
    int error;

    *delivered = 0;
    if (deliver->kind == FETCH_MAILDIR) {
        return fetch_maildir_commit(deliver, delivered, why);
    }
    error = deliver->kind == FETCH_MBOX ? fetch_mbox_commit(deliver, why)
                                        : fetch_pipe_commit(deliver, why);
    *delivered = error == 0 ? deliver->count : 0;
    return error;
}

void fetch_deliver_forget(struct fetch_deliver *deliver)
{
    if (deliver->mbox >= 0) {
        fetch_mbox_unlock(deliver);
    }
    for (uint32_t i = 0; i < deliver->count && deliver->kind == FETCH_MAILDIR; i++) {
        fetch_maildir_remove(deliver, i);
    }
    if (deliver->spool >= 0) {
        (void)!ftruncate(deliver->spool, 0);
    }
    deliver->spooled = 0;
    deliver->count = 0;
    deliver->batch_bytes = 0;
}
