/* fuzz_fetch.c - what `tocsin poll` reads that others wrote: messages, its memory after a crash, an
 * mbox after a crash.
 *
 * Byte 0: 0 a message, in pieces of the size that byte 1 tells; 1 the memory's file; 2 an mbox in
 * which a batch may be.
 */
#include "boards/linux/fetch_deliver.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ACCOUNT "joe@pop.example.com"
#define HEAD "tocsin-seen 1 " ACCOUNT "\n"
#define CHECK(condition)    \
    do {                    \
        if (!(condition)) { \
            abort();        \
        }                   \
    } while (0)

static char folder_path[] = "/tmp/tocsin-fuzz-XXXXXX";
static int folder = -1;

static void finish(void)
{
    (void)unlinkat(folder, "box.seen", 0);
    (void)unlinkat(folder, "box.seen.old", 0);
    (void)unlinkat(folder, "mbox", 0);
    (void)rmdir(folder_path);
}

static void begin(void)
{
    if (folder < 0) {
        CHECK(mkdtemp(folder_path) != NULL);
        folder = open(folder_path, O_RDONLY | O_DIRECTORY);
        CHECK(folder >= 0 && atexit(finish) == 0);
    }
}

static void spill(const char *name, const char *head, const uint8_t *data, size_t size)
{
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    CHECK(fd >= 0 && write(fd, head, strlen(head)) >= 0 && write(fd, data, size) >= 0);
    close(fd);
}

static void open_mbox(struct fetch_deliver *deliver, struct fetch_why *why)
{
    char where[64];

    snprintf(where, sizeof where, "mbox:%s/mbox", folder_path);
    CHECK(fetch_deliver_open(deliver, where, ACCOUNT, true, why) == 0);
}

/* Whatever it holds, no line of it can be taken for the beginning of a message, and CRLF is gone.
 */
static void fuzz_message(const uint8_t *data, size_t size, size_t step)
{
    static struct fetch_deliver deliver;
    struct fetch_why why = {0, ""};
    char previous[5] = "\n\n\n\n\n";
    char bytes[512];
    ssize_t count;
    char last = '\n';

    open_mbox(&deliver, &why);
    CHECK(fetch_deliver_begin(&deliver, 1, "uid", 1, &why) == 0);
    for (size_t at = 0; at < size; at += step) {
        size_t part = size - at < step ? size - at : step;

        CHECK(fetch_deliver_push(&deliver, data + at, part, &why) == 0);
    }
    CHECK(fetch_deliver_end(&deliver, &why) == 0);
    CHECK(deliver.letters[0].sender[0] != '\0');
    CHECK(strpbrk(deliver.letters[0].sender, " \r\n\t") == NULL);
    CHECK(strpbrk(deliver.letters[0].message_id, "\r\n") == NULL);
    CHECK(lseek(deliver.spool, 0, SEEK_SET) == 0);
    while ((count = read(deliver.spool, bytes, sizeof bytes)) > 0) {
        for (ssize_t i = 0; i < count; i++) {
            CHECK(!(memcmp(previous, "\nFrom", 5) == 0 && bytes[i] == ' '));
            memmove(previous, previous + 1, 4);
            previous[4] = bytes[i];
            last = bytes[i];
        }
    }
    CHECK(size == 0 || last == '\n');
    fetch_deliver_close(&deliver);
}

/* It is read, resolved, written to and read again: what was known then is known, and what was
 * delivered since. */
static void fuzz_memory(const uint8_t *data, size_t size)
{
    static struct fetch_seen seen;
    struct fetch_why why = {0, ""};
    bool replaced;
    uint32_t known;

    spill("box.seen", HEAD, data, size);
    CHECK(fetch_seen_open(&seen, folder, "box", ACCOUNT, 1795335000, &replaced, &why) == 0);
    CHECK(!replaced && seen.batch_count <= FETCH_BATCH);
    if (seen.batch_count > 0) {
        CHECK(fetch_seen_resolve(&seen, 0x55555555, &why) == 0);
    }
    seen.batch_count = 1;
    seen.batch[0].unix_s = 1795335000;
    strcpy(seen.batch[0].uid, "mine");
    seen.place.length = 0;
    (void)fetch_seen_listed(&seen, "mine", &why);
    known = seen.known;
    CHECK(fetch_seen_intend(&seen, false, &why) == 0 && fetch_seen_commit(&seen, 1, &why) == 0);
    fetch_seen_close(&seen);
    CHECK(fetch_seen_open(&seen, folder, "box", ACCOUNT, 1795335000, &replaced, &why) == 0);
    CHECK(seen.batch_count == 0 && seen.known >= known);
    CHECK(fetch_seen_listed(&seen, "mine", &why) == 1);
    fetch_seen_tidy(&seen, &why);
    CHECK(why.code == 0);
    fetch_seen_close(&seen);
}

/* It is cut back to where the batch began, or not at all. */
static void fuzz_mbox(const uint8_t *data, size_t size)
{
    static struct fetch_deliver deliver;
    static struct fetch_seen seen;
    struct fetch_why why = {0, ""};
    struct stat status;
    char said[200];
    uint32_t delivered;

    if (size < 3) {
        return;
    }
    spill("mbox", "", data + 3, size - 3);
    open_mbox(&deliver, &why);
    memset(&seen, 0, sizeof seen);
    seen.place.offset = data[0];
    seen.place.length = data[1];
    seen.batch_count = data[2] % (FETCH_BATCH + 1);
    CHECK(fetch_deliver_resolve(&deliver, &seen, &delivered, said, sizeof said, &why) == 0);
    CHECK(fstatat(folder, "mbox", &status, 0) == 0);
    CHECK((size_t)status.st_size == size - 3 ||
          ((uint64_t)status.st_size == seen.place.offset && delivered == 0));
    fetch_deliver_close(&deliver);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    begin();
    if (size < 2) {
        return 0;
    }
    switch (data[0] % 3) {
    case 0:
        fuzz_message(data + 2, size - 2, data[1] % 64 + 1);
        break;
    case 1:
        fuzz_memory(data + 1, size - 1);
        break;
    default:
        fuzz_mbox(data + 1, size - 1);
        break;
    }
    return 0;
}
