/* The flash that is a file: NOR's rules, its lock, what it finds damaged, and a process that is
 * killed at each of its writes. */
#include "boards/linux/flash_file.h"

#include "firmware/journal.h"
#include "firmware/limits.h"
#include "firmware/queue.h"
#include "net/text.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ALERTS 40
#define CUTS_MAX 400
#define EVENTS_MAX 2000
#define SECTOR 512u
#define CUT_TIMES 4

static char folder[64];
static char path[128];
static char aside[128];

static int setup(void **state)
{
    (void)state;
    /* In memory if that can be: hundreds of files are made, and no power is cut here. */
    strcpy(folder, access("/dev/shm", W_OK) == 0 ? "/dev/shm/tocsin-flash-XXXXXX"
                                                 : "/tmp/tocsin-flash-XXXXXX");
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/device.flash", folder);
    (void)snprintf(aside, sizeof aside, "%s/device.flash.bad", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(path);
    (void)unlink(aside);
    return rmdir(folder); /* Fails if anything else was left. */
}

static struct flash_file *opened(void)
{
    static struct flash_file file;

    assert_int_equal(flash_file_open(&file, path), 0);
    return &file;
}

static void test_new(void **state)
{
    struct flash_file *file = opened();
    struct journal journal;
    struct stat stat_;
    uint8_t byte = 0;

    (void)state;
    assert_string_equal(file->notice, "");
    assert_int_equal(stat(path, &stat_), 0);
    assert_int_equal(stat_.st_size, FLASH_SIZE_BYTES);
    assert_int_equal(stat_.st_mode & 0777, 0600);
    journal_mount(&journal, &file->flash, NULL);
    assert_null(journal.problem);
    assert_true(journal.seed_valid);
    assert_int_equal(file->flash.read(&file->flash, FLASH_CONFIG_BASE, &byte, 1), 0);
    assert_int_equal(byte, FLASH_ERASED);
    flash_file_close(file);
}

static void test_a_group_that_shares_the_folder_shares_the_file(void **state)
{
    struct stat stat_;

    (void)state;
    assert_int_equal(chmod(folder, 0770), 0);
    flash_file_close(opened());
    assert_int_equal(stat(path, &stat_), 0);
    assert_int_equal(stat_.st_mode & 0777, 0660);
}

static void test_nor_rules(void **state)
{
    struct flash_file *file = opened();
    const struct flash *flash = &file->flash;
    const uint32_t at = FLASH_CONFIG_BASE + 8;
    const uint8_t some[4] = {0xF0, 0x0F, 0xFF, 0x00};
    const uint8_t fewer[4] = {0x70, 0x0F, 0x7F, 0x00};
    const uint8_t more[4] = {0xF1, 0x0F, 0xFF, 0x00};
    uint8_t out[FLASH_ERASE_BYTES + 8];

    (void)state;
    assert_int_equal(flash->program(flash, at, some, 4), 0);
    assert_int_equal(flash->program(flash, at, fewer, 4), 0);
    assert_int_equal(flash->program(flash, at, more, 4), E_IO);
    assert_int_equal(flash->read(flash, at, out, 4), 0);
    assert_memory_equal(out, fewer, 4);
    assert_int_equal(flash->program(flash, at + 1, fewer, 4), E_INVALID);
    assert_int_equal(flash->program(flash, at, fewer, 3), E_INVALID);
    assert_int_equal(flash->program(flash, 2 * FLASH_PAGE_BYTES - 4, out, 8), E_INVALID);
    assert_int_equal(flash->program(flash, FLASH_SIZE_BYTES, fewer, 4), E_INVALID);
    assert_int_equal(flash->read(flash, FLASH_SIZE_BYTES - 4, out, 8), E_INVALID);
    assert_int_equal(flash->erase(flash, FLASH_CONFIG_BASE + 4), E_INVALID);
    assert_int_equal(flash->erase(flash, FLASH_SIZE_BYTES), E_INVALID);
    assert_int_equal(flash->erase(flash, FLASH_CONFIG_BASE), 0);
    assert_int_equal(flash->read(flash, FLASH_CONFIG_BASE - 4, out, sizeof out), 0);
    for (size_t i = 0; i < sizeof out; i++) {
        assert_int_equal(out[i], FLASH_ERASED); /* Across three blocks. */
    }
    flash_file_close(file);
}

static void test_what_was_written_is_there_again(void **state)
{
    const uint8_t some[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct flash_file *file = opened();
    uint8_t out[8];

    (void)state;
    assert_int_equal(file->flash.program(&file->flash, FLASH_LOG_BASE + 8192, some, 8), 0);
    assert_int_equal(flash_file_taken(file), 0);
    assert_int_equal(flash_file_take(file, UINT64_C(0x123456789ABCDEF0)), 0);
    flash_file_close(file);
    file = opened();
    assert_int_equal(file->flash.read(&file->flash, FLASH_LOG_BASE + 8192, out, 8), 0);
    assert_memory_equal(out, some, 8);
    assert_true(flash_file_taken(file) == UINT64_C(0x123456789ABCDEF0));
    flash_file_close(file);
}

/* ---- other processes ---- */

static int in_child(int (*act)(void))
{
    pid_t child = fork();
    int status = 0;

    if (child == 0) {
        _exit(act());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

static int find_it_taken(void)
{
    struct flash_file file;

    return flash_file_open(&file, path) == E_TRANSIENT && (pid_t)file.holder == getppid() &&
                   strstr(file.problem, "is using it") != NULL
               ? 7
               : 0;
}

static int take_it_and_die(void)
{
    struct flash_file file;

    if (flash_file_open(&file, path) == 0) {
        (void)raise(SIGKILL);
    }
    return 0;
}

static void test_one_process_at_a_time(void **state)
{
    struct flash_file *file = opened();

    (void)state;
    assert_int_equal(in_child(find_it_taken), 7);
    flash_file_close(file);
    assert_int_equal(in_child(take_it_and_die), 256 + SIGKILL);
    flash_file_close(opened()); /* A lock dies with its process. */
}

static int make_it_without_room(void)
{
    const struct rlimit little = {100000, 100000};
    struct flash_file file;

    (void)signal(SIGXFSZ, SIG_IGN);
    return setrlimit(RLIMIT_FSIZE, &little) == 0 && flash_file_open(&file, path) < 0 &&
                   file.fd == -1 && strstr(file.problem, "cannot be written: ") != NULL
               ? 7
               : 0;
}

static void test_no_room(void **state)
{
    (void)state;
    assert_int_equal(in_child(make_it_without_room), 7);
    assert_int_equal(access(path, F_OK), -1); /* And teardown finds nothing half made. */
}

/* ---- damage ---- */

static void spoil(const void *bytes, size_t size, off_t length)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, size, 0), (ssize_t)size);
    assert_int_equal(ftruncate(fd, length), 0);
    assert_int_equal(close(fd), 0);
}

static void expect_aside(void)
{
    struct flash_file *file = opened();

    assert_non_null(strstr(file->notice, "device.flash.bad"));
    assert_int_equal(access(aside, F_OK), 0);
    flash_file_close(file);
    file = opened();
    assert_string_equal(file->notice, "");
    flash_file_close(file);
}

static void test_what_is_no_flash_is_put_aside(void **state)
{
    (void)state;
    spoil("hello\n", 6, 6);
    expect_aside();
    spoil("", 0, 0);
    expect_aside();
    spoil("", 0, FLASH_SIZE_BYTES + 1);
    expect_aside();
    spoil("", 0, FLASH_SIZE_BYTES - 1);
    spoil("X", 1, FLASH_SIZE_BYTES);
    expect_aside();
}

static void test_one_that_was_cut_short_is_used(void **state)
{
    struct flash_file *file;
    struct journal journal;
    uint8_t byte = 0;

    (void)state;
    flash_file_close(opened());
    assert_int_equal(truncate(path, FLASH_LOG_BASE + 8192 + 77), 0);
    file = opened();
    assert_non_null(strstr(file->notice, "cut short"));
    assert_int_equal(file->flash.read(&file->flash, FLASH_SIZE_BYTES - 1, &byte, 1), 0);
    assert_int_equal(byte, FLASH_ERASED);
    journal_mount(&journal, &file->flash, NULL);
    assert_true(journal.seed_valid);
    flash_file_close(file);
}

static void test_no_file_at_all(void **state)
{
    struct flash_file file;

    (void)state;
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(flash_file_open(&file, path), E_IO);
    assert_non_null(strstr(file.problem, path));
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(symlink("elsewhere", path), 0);
    assert_int_equal(flash_file_open(&file, path), E_IO);
    assert_int_equal(flash_file_open(&file, "/nowhere/device.flash"), E_IO);
    assert_non_null(strstr(file.problem, "/nowhere/device.flash"));
}

/* ---- killed at each write ---- */

/* In the child: operations until its end, and how the one that is cut ends. */
static unsigned left;
static bool torn;
static struct flash before; /* The file's own functions. */

static void cut(const struct flash *flash, uint32_t address, const void *data, size_t size)
{
    if (--left > 0) {
        return;
    }
    if (torn && size >= 2 * FLASH_PROGRAM_BYTES) {
        size = size / 2 / FLASH_PROGRAM_BYTES * FLASH_PROGRAM_BYTES;
        (void)!before.program(flash, address, data, size);
    }
    (void)raise(SIGKILL);
}

static int program_or_die(const struct flash *flash, uint32_t address, const void *data,
                          size_t size)
{
    cut(flash, address, data, size);
    return before.program(flash, address, data, size);
}

static int erase_or_die(const struct flash *flash, uint32_t address)
{
    cut(flash, address, NULL, 0);
    return before.erase(flash, address);
}

static uint64_t no_time(void *context)
{
    (void)context;
    return 0;
}

static struct queue queue;

static void mount(struct flash_file *file)
{
    static const uint32_t none[LIMITS_COUNT];
    static struct journal journal;
    static struct limits limits;

    limits_init(&limits, none);
    queue_init(&queue, &journal, &file->flash, &limits, no_time, NULL);
}

/* Queues alerts, some of which leave at once, and tells each that was said to be in flash. */
static int queue_until_killed(int out)
{
    struct flash_file *file = opened();
    const struct queue_how how = {.pending_mask = 1};

    before = file->flash;
    file->flash.program = program_or_die;
    file->flash.erase = erase_or_die;
    mount(file);
    for (unsigned i = 0; i < ALERTS; i++) {
        struct alert alert = {.severity = SEVERITY_ERROR};

        memset(alert.text, 'a' + (int)(i % 26), 300); /* A block is full after a dozen. */
        if (queue_add(&queue, &alert, &how) < 0) {
            return 1;
        }
        if (i % 3 == 0 && queue_remove(&queue, alert.sequence, QUEUE_ACCEPTED, 250) < 0) {
            return 2;
        }
        if (flash_file_write(file) < 0) {
            return 4;
        }
        if (i % 3 != 0 && write(out, &alert.sequence, sizeof alert.sequence) < 0) {
            return 3;
        }
    }
    flash_file_close(file);
    return 0;
}

/* Returns whether the child came to its end. */
static bool cut_at(unsigned operation, bool half)
{
    struct flash_file *file;
    uint32_t told;
    int ends[2];
    int status = 0;
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        left = operation;
        torn = half;
        _exit(queue_until_killed(ends[1]));
    }
    (void)close(ends[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    file = opened();
    assert_string_equal(file->notice, "");
    mount(file);
    assert_null(queue.journal->problem);
    while (read(ends[0], &told, sizeof told) == (ssize_t)sizeof told) {
        struct alert alert;

        assert_int_equal(queue_alert(&queue, told, &alert), 0);
        assert_false(alert.damaged);
        assert_int_equal(strlen(alert.text), 300);
    }
    (void)close(ends[0]);
    flash_file_close(file);
    assert_int_equal(unlink(path), 0);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    return WIFEXITED(status);
}

static void test_killed_at_each_write(void **state)
{
    unsigned operation = 1;

    (void)state;
    while (!cut_at(operation, operation % 2 == 0)) {
        operation++;
        assert_true(operation < CUTS_MAX);
    }
    assert_true(operation > ALERTS);
    flash_file_close(opened());
}

/* ---- the power is cut ---- */

/* What the disk was told, in its order. */
struct event {
    enum { EVENT_WRITE, EVENT_SYNC, EVENT_TOLD } kind;
    uint32_t address, size; /* Of a write; the number of an alert. */
    uint8_t bytes[FLASH_ERASE_BYTES];
};

static struct event *events;
static size_t event_count;
static bool records;

static struct event *add_event(int kind)
{
    struct event *event = &events[event_count++];

    assert_true(event_count <= EVENTS_MAX);
    event->kind = kind;
    return event;
}

/* In the place of the C library's. */
ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    if (records) {
        struct event *event = add_event(EVENT_WRITE);

        assert_true(size <= sizeof event->bytes);
        event->address = (uint32_t)at;
        event->size = (uint32_t)size;
        memcpy(event->bytes, bytes, size);
    }
    return syscall(SYS_pwrite64, fd, bytes, size, at);
}

int fdatasync(int fd)
{
    if (records) {
        (void)add_event(EVENT_SYNC);
    }
    return (int)syscall(SYS_fdatasync, fd);
}

static void record_alerts(void)
{
    struct flash_file *file = opened();
    const struct queue_how how = {.pending_mask = 1};

    mount(file);
    for (unsigned i = 0; i < ALERTS; i++) {
        struct alert alert = {.severity = SEVERITY_ERROR};

        memset(alert.text, 'a' + (int)(i % 26), 20 + i * 5);
        assert_int_equal(queue_add(&queue, &alert, &how), 0);
        if (i % 3 == 0) {
            assert_int_equal(queue_remove(&queue, alert.sequence, QUEUE_ACCEPTED, 250), 0);
        } else if (i % 4 != 0) {
            assert_int_equal(flash_file_settle(file), 0);
            add_event(EVENT_TOLD)->size = alert.sequence;
        }
    }
    flash_file_close(file);
}

/* The part of a write that lies in that sector. */
static void apply(uint8_t *disk, const struct event *event, uint32_t sector)
{
    for (uint32_t i = 0; i < event->size; i++) {
        if ((event->address + i) / SECTOR == sector) {
            disk[event->address + i] = event->bytes[i];
        }
    }
}

static uint32_t dice = 1;

static uint32_t throw_dice(void)
{
    dice = dice * 1664525u + 1013904223u;
    return dice >> 8;
}

/* What is on the disk if the power goes before that event: all that was synced, and of each sector
 * written since as much as the dice say. */
static void write_disk(const uint8_t *from, size_t cut)
{
    static uint8_t disk[FLASH_SIZE_BYTES];
    size_t synced = 0;
    int fd;

    memcpy(disk, from, sizeof disk);
    for (size_t i = 0; i < cut; i++) {
        synced = events[i].kind == EVENT_SYNC ? i : synced;
    }
    for (uint32_t sector = 0; sector < FLASH_SIZE_BYTES / SECTOR; sector++) {
        size_t until = synced + throw_dice() % (cut - synced + 1);

        for (size_t i = 0; i < until; i++) {
            if (events[i].kind == EVENT_WRITE) {
                apply(disk, &events[i], sector);
            }
        }
    }
    fd = open(path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, disk, sizeof disk), sizeof disk);
    assert_int_equal(close(fd), 0);
}

static void expect_told(size_t cut)
{
    struct flash_file *file = opened();
    struct alert alert;
    uint32_t later[4];

    assert_string_equal(file->notice, "");
    mount(file);
    assert_null(queue.journal->problem);
    assert_true(queue.journal->seed_valid);
    for (size_t i = 0; i < cut; i++) {
        if (events[i].kind == EVENT_TOLD) {
            assert_int_equal(queue_alert(&queue, events[i].size, &alert), 0);
            assert_false(alert.damaged);
        }
    }
    /* And what comes after a cut is there after the next start. */
    for (size_t i = 0; i < 4; i++) {
        alert = (struct alert){.severity = SEVERITY_CRITICAL};
        memset(alert.text, 'Z', 100 * i);
        assert_int_equal(queue_add(&queue, &alert, &(struct queue_how){.pending_mask = 1}), 0);
        later[i] = alert.sequence;
    }
    flash_file_close(file);
    file = opened();
    mount(file);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(queue_alert(&queue, later[i], &alert), 0);
        assert_false(alert.damaged);
        assert_int_equal(strlen(alert.text), 100 * i);
    }
    flash_file_close(file);
}

static void test_power_cut_between_syncs(void **state)
{
    static uint8_t from[FLASH_SIZE_BYTES];
    struct event *all = calloc(EVENTS_MAX, sizeof *all);
    unsigned syncs = 0;
    int fd;

    (void)state;
    flash_file_close(opened());
    fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, from, sizeof from), sizeof from);
    assert_int_equal(close(fd), 0);
    event_count = 0;
    events = all;
    records = true;
    record_alerts();
    records = false;
    for (size_t cut = 0; cut <= event_count; cut++) {
        for (unsigned times = 0; times < CUT_TIMES; times++) {
            write_disk(from, cut);
            expect_told(cut);
        }
    }
    for (size_t i = 0; i < event_count; i++) {
        syncs += events[i].kind == EVENT_SYNC;
    }
    assert_in_range(syncs, ALERTS / 2, 3 * ALERTS);
    free(all);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(new),
        TEST(a_group_that_shares_the_folder_shares_the_file),
        TEST(nor_rules),
        TEST(what_was_written_is_there_again),
        TEST(one_process_at_a_time),
        TEST(no_room),
        TEST(what_is_no_flash_is_put_aside),
        TEST(one_that_was_cut_short_is_used),
        TEST(no_file_at_all),
        TEST(killed_at_each_write),
        TEST(power_cut_between_syncs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
