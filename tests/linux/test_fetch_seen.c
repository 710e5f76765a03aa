/* The memory of a mailbox: cut at any byte, unwritable, grown, and made small again. */
#include "boards/linux/fetch_seen.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ACCOUNT "joe@pop.example.com"
#define DAY_S 86400u
#define NOW_S (20000u * DAY_S)
#define FILE_MAX 65536

static char folder_path[] = "/tmp/tocsin-seen-XXXXXX";
static int folder;
static struct fetch_seen seen;
static struct fetch_why why;
static char bytes[FILE_MAX];

static void open_at(uint32_t unix_s)
{
    bool replaced;

    memset(&why, 0, sizeof why);
    assert_int_equal(fetch_seen_open(&seen, folder, "box", ACCOUNT, unix_s, &replaced, &why), 0);
    assert_false(replaced);
}

static int new_file(void **state)
{
    (void)state;
    (void)unlinkat(folder, "box.seen", 0);
    (void)unlinkat(folder, "box.seen.old", 0);
    (void)unlinkat(folder, "box.seen.new", 0);
    return 0;
}

static size_t slurp(void)
{
    int fd = openat(folder, "box.seen", O_RDONLY);
    ssize_t size = read(fd, bytes, sizeof bytes);

    assert_in_range(size, 0, sizeof bytes - 1);
    close(fd);
    bytes[size] = '\0';
    return (size_t)size;
}

static void spill(const char *text, size_t size)
{
    int fd = openat(folder, "box.seen", O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_int_equal(write(fd, text, size), (ssize_t)size);
    close(fd);
}

static void batch(unsigned from, unsigned count)
{
    memset(&seen.place, 0, sizeof seen.place);
    seen.batch_count = count;
    for (unsigned i = 0; i < count; i++) {
        seen.batch[i].unix_s = NOW_S;
        snprintf(seen.batch[i].uid, sizeof seen.batch[i].uid, "uid%u", from + i);
    }
}

static void deliver(unsigned from, unsigned count, unsigned delivered)
{
    batch(from, count);
    assert_int_equal(fetch_seen_intend(&seen, false, &why), 0);
    assert_int_equal(fetch_seen_commit(&seen, delivered, &why), 0);
}

static int listed(const char *uid)
{
    return fetch_seen_listed(&seen, uid, &why);
}

static int listed_number(unsigned number)
{
    char uid[20];

    snprintf(uid, sizeof uid, "uid%u", number);
    return listed(uid);
}

/* ---- tests ---- */

static void test_remembers(void **state)
{
    (void)state;
    open_at(NOW_S);
    assert_int_equal(listed_number(1), 0);
    deliver(1, 1, 1);
    deliver(2, 3, 2); /* Of three, two. */
    fetch_seen_close(&seen);
    open_at(NOW_S);
    assert_int_equal(seen.batch_count, 0);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(listed_number(i), 1);
    }
    assert_int_equal(listed_number(4), 0);
    fetch_seen_gone(&seen, "uid2", &why);
    fetch_seen_tidy(&seen, &why);
    fetch_seen_close(&seen);
    open_at(NOW_S);
    assert_int_equal(listed_number(2), 0); /* Another one of that uid. */
    assert_int_equal(listed_number(3), 1);
    fetch_seen_close(&seen);
}

/* As many are known as were delivered; in one listing, and in the next. */
static void test_same_uid(void **state)
{
    (void)state;
    open_at(NOW_S);
    assert_int_equal(listed("same"), 0);
    assert_int_equal(listed("same"), 0);
    batch(0, 2);
    strcpy(seen.batch[0].uid, "same");
    strcpy(seen.batch[1].uid, "same");
    assert_int_equal(fetch_seen_intend(&seen, true, &why), 0);
    assert_int_equal(fetch_seen_commit(&seen, 2, &why), 0);
    fetch_seen_close(&seen);
    open_at(NOW_S);
    assert_int_equal(listed("same"), 1);
    assert_int_equal(listed("same"), 1);
    assert_int_equal(listed("same"), 0);
    fetch_seen_gone(&seen, "same", &why);
    fetch_seen_tidy(&seen, &why);
    fetch_seen_close(&seen);
    open_at(NOW_S);
    assert_int_equal(listed("same"), 1);
    assert_int_equal(listed("same"), 0);
    fetch_seen_close(&seen);
}

/* A crash leaves the file at any length: whatever was committed is known, whatever was not is not,
 * and of the batch in hand it is told that it is in doubt. */
static void test_cut_at_each_byte(void **state)
{
    static char whole[FILE_MAX];
    size_t size;
    size_t ends[6]; /* Where the file was safe after each batch. */

    (void)state;
    open_at(NOW_S);
    for (unsigned i = 0; i < 6; i++) {
        deliver(i * 5, 5, 5);
        ends[i] = slurp();
    }
    fetch_seen_close(&seen);
    size = slurp();
    memcpy(whole, bytes, size);
    for (size_t cut = 0; cut <= size; cut++) {
        unsigned safe = 0;

        spill(whole, cut);
        open_at(NOW_S);
        while (safe < 6 && ends[safe] <= cut) {
            safe++;
        }
        assert_in_range(seen.batch_count, 0, 5);
        for (unsigned i = 0; i < seen.batch_count; i++) {
            char uid[20];

            snprintf(uid, sizeof uid, "uid%u", safe * 5 + i);
            assert_string_equal(seen.batch[i].uid, uid);
        }
        /* Half of it turns out to be there. */
        if (seen.batch_count > 0) {
            assert_int_equal(fetch_seen_resolve(&seen, 1, &why), 0);
            assert_int_equal(listed_number(safe * 5), 1);
        }
        fetch_seen_close(&seen);
        open_at(NOW_S);
        assert_int_equal(seen.batch_count, 0);
        for (unsigned i = 0; i < safe * 5; i++) {
            assert_int_equal(listed_number(i), 1);
        }
        for (unsigned i = safe * 5 + 1; i < 31; i++) {
            assert_int_equal(listed_number(i), 0);
        }
        fetch_seen_close(&seen);
    }
}

/* What a failing disk may leave is not believed, and nothing else is lost for it. */
static void test_garbage(void **state)
{
    static const char text[] = "tocsin-seen 1 " ACCOUNT "\n"
                               "k 1 a\n\n\nnonsense\nk x b\nk 1\nk 99999999999 c\n+ 1 d\n\0\0\0\n"
                               "m 1\nm 1 2 3\nm 99999999999999999999999 1\n- \nk 1 e\nc\nk 1 f";

    (void)state;
    spill(text, sizeof text - 1);
    open_at(NOW_S);
    assert_int_equal(listed("a"), 1);
    assert_int_equal(listed("b"), 0);
    assert_int_equal(listed("c"), 0);
    assert_int_equal(listed("d"), 1);
    assert_int_equal(listed("e"), 1);
    assert_int_equal(listed("f"), 0); /* Its line has no end. */
    assert_int_equal(seen.place.length, 0);
    deliver(1, 1, 1);
    fetch_seen_close(&seen);
    open_at(NOW_S);
    assert_int_equal(listed_number(1), 1);
    fetch_seen_close(&seen);
    /* More in one batch than ever is; a line longer than ever is. */
    slurp();
    memset(bytes, 'y', sizeof bytes);
    memcpy(bytes, "tocsin-seen 1 " ACCOUNT "\nk 1 ", 38);
    memcpy(bytes + 40000, "\nk 1 z\n", 7);
    spill(bytes, 40007);
    open_at(NOW_S);
    assert_int_equal(listed("z"), 1);
    fetch_seen_close(&seen);
}

static void test_whose(void **state)
{
    bool replaced;

    (void)state;
    open_at(NOW_S);
    deliver(1, 1, 1);
    fetch_seen_close(&seen);
    assert_int_equal(
        fetch_seen_open(&seen, folder, "box", "joe@other.example.com", NOW_S, &replaced, &why), 0);
    assert_true(replaced);
    assert_int_equal(listed_number(1), 0);
    fetch_seen_close(&seen);
    assert_int_equal(faccessat(folder, "box.seen.old", F_OK, 0), 0);
    spill("a letter to my aunt\n", 20);
    assert_true(fetch_seen_open(&seen, folder, "box", ACCOUNT, NOW_S, &replaced, &why) < 0);
    assert_int_equal(why.code, EX_CONFIG);
    assert_int_equal(slurp(), 20);
}

/* The disk is full in the middle of a batch: it is told, and the file is as it was. */
static void test_full(void **state)
{
    struct rlimit limit;
    struct rlimit before;
    size_t size;

    (void)state;
    (void)signal(SIGXFSZ, SIG_IGN);
    open_at(NOW_S);
    deliver(0, 3, 3);
    size = slurp();
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = size + 10;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    batch(3, 3);
    assert_int_equal(fetch_seen_intend(&seen, false, &why), E_SPACE);
    assert_int_equal(why.code, EX_TEMPFAIL);
    assert_int_equal(slurp(), size);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    fetch_seen_close(&seen);
    open_at(NOW_S);
    assert_int_equal(listed_number(2), 1);
    assert_int_equal(listed_number(3), 0);
    deliver(3, 3, 3);
    fetch_seen_close(&seen);
}

/* 20,000 deleted ones leave no more than a small file; what is kept stays known. */
static void test_small_again(void **state)
{
    (void)state;
    open_at(NOW_S);
    for (unsigned i = 0; i < 20000; i += 20) {
        for (unsigned j = 0; j < 20; j++) {
            assert_int_equal(listed_number(i + j), 0);
        }
        deliver(i, 20, 20);
    }
    for (unsigned i = 100; i < 20000; i++) {
        char uid[20];

        snprintf(uid, sizeof uid, "uid%u", i);
        fetch_seen_gone(&seen, uid, &why);
    }
    fetch_seen_tidy(&seen, &why);
    assert_int_equal(why.code, 0);
    assert_in_range(slurp(), 100, 4000);
    deliver(30000, 1, 1); /* It goes on in the new file. */
    fetch_seen_close(&seen);
    assert_int_not_equal(faccessat(folder, "box.seen.new", F_OK, 0), 0);
    open_at(NOW_S);
    for (unsigned i = 0; i < 120; i++) {
        assert_int_equal(listed_number(i), i < 100);
    }
    assert_int_equal(listed_number(30000), 1);
    fetch_seen_close(&seen);
}

/* A server that loses sight of all its messages for some days, and finds them again, does not make
 * them new; after a month they are forgotten. */
static void test_vanished(void **state)
{
    (void)state;
    open_at(NOW_S);
    for (unsigned i = 0; i < 2000; i += 20) {
        deliver(i, 20, 20);
    }
    fetch_seen_close(&seen);
    for (uint32_t day = 0; day <= 29; day++) { /* Nothing is listed. */
        open_at(NOW_S + day * DAY_S);
        fetch_seen_tidy(&seen, &why);
        assert_int_equal(why.code, 0);
        fetch_seen_close(&seen);
        assert_int_equal(slurp() > 2000, true);
        assert_non_null(strstr(bytes, "\n? "));
    }
    open_at(NOW_S + 29 * DAY_S);
    for (unsigned i = 0; i < 2000; i++) {
        assert_int_equal(listed_number(i), 1);
    }
    fetch_seen_close(&seen);
    open_at(NOW_S + 40 * DAY_S);
    fetch_seen_tidy(&seen, &why);
    fetch_seen_close(&seen);
    assert_in_range(slurp(), 10, 100);
}

static void test_many(void **state)
{
    (void)state;
    open_at(NOW_S);
    for (unsigned i = 0; i < 100000; i++) {
        assert_int_equal(listed_number(i), 0);
    }
    assert_in_range(seen.room * 12, 100000 * 12, 4000000);
    fetch_seen_close(&seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_remembers, new_file),
        cmocka_unit_test_setup(test_same_uid, new_file),
        cmocka_unit_test_setup(test_cut_at_each_byte, new_file),
        cmocka_unit_test_setup(test_garbage, new_file),
        cmocka_unit_test_setup(test_whose, new_file),
        cmocka_unit_test_setup(test_full, new_file),
        cmocka_unit_test_setup(test_small_again, new_file),
        cmocka_unit_test_setup(test_vanished, new_file),
        cmocka_unit_test_setup(test_many, new_file),
    };
    int failed;

    if (mkdtemp(folder_path) == NULL) {
        return 1;
    }
    folder = open(folder_path, O_RDONLY | O_DIRECTORY);
    failed = cmocka_run_group_tests_name("fetch_seen", tests, NULL, NULL);
    (void)new_file(NULL);
    close(folder);
    rmdir(folder_path);
    return failed;
}
