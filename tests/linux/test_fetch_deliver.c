/* Delivery: line ends and quoting however the bytes come; what a crash leaves in an mbox. */
#include "boards/linux/fetch_deliver.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ACCOUNT "joe@pop.example.com"
#define NOW_S 1795335000u /* Sun Nov 22 08:10:00 2026 */
#define FILE_MAX 65536

static char folder[] = "/tmp/tocsin-deliver-XXXXXX";
static char path[80];
static char where[100];
static struct fetch_deliver deliver;
static struct fetch_seen seen;
static struct fetch_why why;
static char got[FILE_MAX];

static const char *in_folder(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static size_t slurp(const char *file)
{
    int fd = open(file, O_RDONLY);
    ssize_t size = fd < 0 ? 0 : read(fd, got, sizeof got - 1);

    assert_true(size >= 0);
    got[size] = '\0';
    close(fd);
    return (size_t)size;
}

static void spill(const char *file, const char *text, size_t size)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_int_equal(write(fd, text, size), (ssize_t)size);
    close(fd);
}

static void open_as(const char *kind, const char *name)
{
    memset(&why, 0, sizeof why);
    snprintf(where, sizeof where, "%s:%s", kind, in_folder(name));
    assert_int_equal(fetch_deliver_open(&deliver, where, ACCOUNT, true, &why), 0);
}

static void push(const char *text, size_t size, size_t step)
{
    for (size_t at = 0; at < size; at += step) {
        size_t part = size - at < step ? size - at : step;

        assert_int_equal(fetch_deliver_push(&deliver, (const uint8_t *)text + at, part, &why), 0);
    }
}

static void put(const char *uid, const char *text, size_t size, size_t step)
{
    assert_int_equal(fetch_deliver_begin(&deliver, 1, uid, NOW_S, &why), 0);
    push(text, size, step);
    assert_int_equal(fetch_deliver_end(&deliver, &why), 0);
}

/* Delivers the batch, as the session does; place is where an mbox's is. */
static void commit(struct fetch_seen_place *place)
{
    uint32_t delivered = 0;
    uint32_t count = deliver.count;

    assert_int_equal(fetch_deliver_prepare(&deliver, place, &why), 0);
    assert_int_equal(fetch_deliver_commit(&deliver, &delivered, &why), 0);
    assert_int_equal(delivered, count);
    fetch_deliver_forget(&deliver);
}

/* ---- tests ---- */

static const char odd[] = "From: a@b\r\nX: \r\n\r\nFrom me\r\n>From you\r\n>>From x\r\nFrom\r\n\r\n"
                          "Fro\r\r\n\rFrom \nFrom y\n\0\r\n..\r\n>\r\n>>\r\n>Fromm\r\nFFrom \r\n"
                          "\r\r\r\n\n\r\nF";

/* What it has to become, by another way: line ends first, then lines. */
static size_t expected(bool mbox, char *out)
{
    char plain[sizeof odd];
    size_t size = 0;
    size_t used = 0;

    for (size_t i = 0; i < sizeof odd - 1; i++) {
        if (odd[i] != '\r' || odd[i + 1] != '\n') {
            plain[size++] = odd[i];
        }
    }
    for (size_t at = 0; at < size;) {
        const char *newline = memchr(plain + at, '\n', size - at);
        size_t end = newline == NULL ? size : (size_t)(newline - plain) + 1;
        size_t text = at;

        while (text < end && plain[text] == '>') {
            text++;
        }
        if (mbox && end - text >= 5 && memcmp(plain + text, "From ", 5) == 0) {
            out[used++] = '>';
        }
        memcpy(out + used, plain + at, end - at);
        used += end - at;
        at = end;
    }
    if (mbox && (used == 0 || out[used - 1] != '\n')) {
        out[used++] = '\n';
    }
    return used;
}

static void test_bytes(void **state)
{
    static char want[2 * sizeof odd];
    static const char from[] = "From a@b Sun Nov 22 08:10:00 2026\n";

    (void)state;
    for (size_t step = 1; step <= sizeof odd; step++) {
        struct fetch_seen_place place;
        size_t size = expected(true, want);

        unlink(in_folder("mbox"));
        open_as("mbox", "mbox");
        put("uid", odd, sizeof odd - 1, step);
        commit(&place);
        assert_int_equal(slurp(in_folder("mbox")), sizeof from - 1 + size + 1);
        assert_int_equal(place.length, sizeof from - 1 + size + 1);
        assert_memory_equal(got, from, sizeof from - 1);
        assert_memory_equal(got + sizeof from - 1, want, size);
        fetch_deliver_close(&deliver);
    }
    unlink(in_folder("mbox"));
}

static unsigned count_files(const char *name, char *one, size_t size)
{
    DIR *files = opendir(in_folder(name));
    const struct dirent *entry;
    unsigned count = 0;

    assert_non_null(files);
    while ((entry = readdir(files)) != NULL) {
        if (entry->d_name[0] != '.') {
            count++;
            snprintf(one, size, "%s/%s", in_folder(name), entry->d_name);
        }
    }
    closedir(files);
    return count;
}

static void test_maildir(void **state)
{
    static char want[2 * sizeof odd];
    char one[400];
    char other[420];
    struct fetch_seen_place place;
    char said[200];
    uint32_t found = 9;

    (void)state;
    open_as("maildir", "Maildir");
    put("uid", odd, sizeof odd - 1, 7);
    assert_int_equal(count_files("Maildir/tmp", one, sizeof one), 1);
    /* The next one does not become whole. */
    assert_int_equal(fetch_deliver_begin(&deliver, 2, "other", NOW_S, &why), 0);
    push(odd, sizeof odd - 1, 5);
    assert_int_equal(count_files("Maildir/tmp", one, sizeof one), 2);
    fetch_deliver_drop(&deliver);
    commit(&place);
    assert_int_equal(count_files("Maildir/tmp", one, sizeof one), 0);
    assert_int_equal(count_files("Maildir/new", one, sizeof one), 1);
    assert_int_equal(slurp(one), expected(false, want));
    assert_memory_equal(got, want, expected(false, want));
    /* It is found again, also by the name that a reader gives it. */
    memset(&seen, 0, sizeof seen);
    seen.batch_count = 2;
    for (unsigned i = 0; i < 2; i++) {
        seen.batch[i].unix_s = NOW_S;
        strcpy(seen.batch[i].uid, i == 0 ? "uid" : "other");
    }
    assert_int_equal(fetch_deliver_resolve(&deliver, &seen, &found, said, sizeof said, &why), 0);
    assert_int_equal(found, 1);
    snprintf(other, sizeof other, "%s/cur/%s:2,S", in_folder("Maildir"), strrchr(one, '/') + 1);
    assert_int_equal(rename(one, other), 0);
    assert_int_equal(fetch_deliver_resolve(&deliver, &seen, &found, said, sizeof said, &why), 0);
    assert_int_equal(found, 1);
    seen.batch_at = 7; /* Another batch. */
    assert_int_equal(fetch_deliver_resolve(&deliver, &seen, &found, said, sizeof said, &why), 0);
    assert_int_equal(found, 0);
    fetch_deliver_close(&deliver);
    unlink(other);
    rmdir(in_folder("Maildir/tmp"));
    rmdir(in_folder("Maildir/new"));
    rmdir(in_folder("Maildir/cur"));
    rmdir(in_folder("Maildir"));
}

/* What a crash leaves of a batch of two in an mbox, cut at each byte: either all of it is known to
 * be there, or nothing of it is. */
static void resolve_cut(const char *whole, size_t size, const char *behind)
{
    size_t before = (size_t)seen.place.offset;
    char said[200];

    for (size_t cut = before; cut <= size; cut++) {
        uint32_t found = 0;
        size_t more = strlen(behind);

        spill(in_folder("mbox"), whole, cut);
        if (more > 0) {
            int fd = open(in_folder("mbox"), O_WRONLY | O_APPEND);

            assert_int_equal(write(fd, behind, more), (ssize_t)more);
            close(fd);
        }
        assert_int_equal(fetch_deliver_resolve(&deliver, &seen, &found, said, sizeof said, &why),
                         0);
        if (cut == size) {
            assert_int_equal(found, 3);
            assert_int_equal(slurp(in_folder("mbox")), size + more);
        } else if (more > 0) { /* Another program's mail is never cut. */
            assert_int_equal(slurp(in_folder("mbox")), cut + more);
            assert_memory_equal(got + cut, behind, more);
            assert_int_equal(found, 0);
        } else {
            assert_int_equal(found, 0);
            assert_int_equal(slurp(in_folder("mbox")), before);
            assert_int_equal(said[0] != '\0', cut > before);
        }
    }
}

static void test_mbox_crash(void **state)
{
    static const char *const starts[] = {"", "From x@y Sun Nov 22 08:10:00 2020\n\nold\n\n",
                                         "From x@y Sun Nov 22 08:10:00 2020\n\nold\n", "old"};
    static char whole[FILE_MAX];
    size_t size;

    (void)state;
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        memset(&seen, 0, sizeof seen);
        spill(in_folder("mbox"), starts[i], strlen(starts[i]));
        open_as("mbox", "mbox");
        put("one", odd, sizeof odd - 1, 100);
        put("two", "From: <c@d>\r\n\r\nText\r\n", 21, 100);
        seen.batch_count = 2;
        seen.batch[0].unix_s = seen.batch[1].unix_s = NOW_S;
        commit(&seen.place);
        size = slurp(in_folder("mbox"));
        assert_int_equal(seen.place.offset, strlen(starts[i]));
        assert_int_equal(seen.place.offset + seen.place.length, size);
        memcpy(whole, got, size);
        resolve_cut(whole, size, "");
        resolve_cut(whole, size, "From z@z Sun Nov 22 08:10:01 2026\nSubject: z\n\nz\n\n");
        fetch_deliver_close(&deliver);
    }
    unlink(in_folder("mbox"));
}

static void test_sender(void **state)
{
    static const char *const rows[][2] = {
        {"From: a@b\n\n", "a@b"},
        {"from : A B <a@b>\n\n", "a@b"},
        {"From: \"x <y@z>\" <a@b>\n\n", "a@b"},
        {"From: (c@d) a@b (e)\n\n", "a@b"},
        {"From: joe\n\n", "MAILER-DAEMON"},
        {"From: folded\n <a@b>\n\n", "a@b"},
        {"Return-Path: <c@d>\nFrom: a@b\n\n", "c@d"},
        {"Return-Path: <>\nFrom: a@b\n\n", "MAILER-DAEMON"},
        {"From: <a b\001@c\200d>\n\n", "ab@cd"},
        {"Subject: x\n\nFrom: a@b\n", "MAILER-DAEMON"},
        {"", "MAILER-DAEMON"},
        {"From: \"unended <a@b>\n\n", "MAILER-DAEMON"},
    };
    static struct fetch_header header;
    char sender[64];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t step = 1; step < 20; step += 6) {
            const char *text = rows[i][0];

            fetch_header_begin(&header);
            for (size_t at = 0; at < strlen(text); at += step) {
                size_t left = strlen(text) - at;

                fetch_header_push(&header, (const uint8_t *)text + at, left < step ? left : step);
            }
            fetch_header_sender(&header, sender, sizeof sender);
            assert_string_equal(sender, rows[i][1]);
        }
    }
}

/* One without uid is known by its header, without what changes there. */
static void test_header_uid(void **state)
{
    static const char *const same[] = {
        "From: a\nSubject: folded\n line\n\n", "From: a\r\nSubject: folded\r\n line\r\n\r\nbody",
        "Status: RO\nFrom: a\nSubject: folded\n line\n\n",
        "From: a\nX-UID: 7\n more\nSubject: folded line\nX-Mozilla-Status: 0001\n\n"};
    static const char *const other[] = {"From: b\nSubject: folded\n line\n\n",
                                        "From: a\nSubject: folded\n linf\n\n", "From: a\n\n", ""};
    static struct fetch_header header;
    char first[34] = "";
    char uid[34];

    (void)state;
    for (size_t i = 0; i < 8; i++) {
        const char *text = i < 4 ? same[i] : other[i - 4];

        fetch_header_begin(&header);
        fetch_header_push(&header, (const uint8_t *)text, strlen(text));
        fetch_header_uid(&header, uid);
        if (i == 0) {
            strcpy(first, uid);
        }
        assert_int_equal(strcmp(first, uid) == 0, i < 4);
        assert_int_equal(strlen(uid), 33);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),      cmocka_unit_test(test_maildir),
        cmocka_unit_test(test_mbox_crash), cmocka_unit_test(test_sender),
        cmocka_unit_test(test_header_uid),
    };
    int failed;

    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    failed = cmocka_run_group_tests_name("fetch_deliver", tests, NULL, NULL);
    unlink(in_folder("mbox"));
    rmdir(folder);
    return failed;
}
