/* Many processes in one spool, some of which are killed at any moment: those who queue, those who
 * send, those who only look, those who sweep, and a person who retries. Nothing that was committed
 * is lost, nothing is ever taken for damaged, and what was done does not come back. */
#include "boards/linux/spool.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define RUN_MS 3000
#define TEXT_BYTES 3000
#define WAITING_MAX 30

enum role { QUEUES, SENDS, LOOKS, SWEEPS, RETRIES, ROLES };
static const unsigned processes_of[ROLES] = {3, 2, 2, 1, 1};

/* What is said through the pipe: a promise, or that one is about to end. */
struct note {
    char what; /* c: committed, d: is being done with, e: an error (text). */
    char text[127];
};

static char base[64];
static int notes[2];
static struct spool spool;
static struct spool_draft draft;

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Smaller than PIPE_BUF: whole, or not there. */
static void note(char what, const char *text)
{
    struct note one = {.what = what};

    snprintf(one.text, sizeof one.text, "%s", text);
    if (write(notes[1], &one, sizeof one) != (ssize_t)sizeof one) {
        _exit(1);
    }
}

static void note_error(int result)
{
    if (result < 0 && result != E_MISSING && result != E_TRANSIENT) {
        note('e', spool.problem);
    }
}

/* ---- roles: one round of each ---- */

static void queue_one(void)
{
    static const uint8_t text[TEXT_BYTES];
    struct spool_mail mail;
    int result;

    memset(&mail, 0, sizeof mail);
    mail.from = strdup("a@b");
    result = spool_mail_rcpt(&mail, "c@d", NULL);
    if (result == 0) {
        result = spool_draft_begin(&spool, &draft);
    }
    if (result == 0) {
        result = spool_draft_write(&spool, &draft, text, sizeof text);
        if (result == 0) {
            result = spool_draft_commit(&spool, &draft, &mail);
        }
        spool_draft_drop(&spool, &draft);
    }
    if (result == 0) {
        note('c', mail.id);
    } else {
        note('e', spool.problem);
    }
    spool_mail_free(&mail);
}

/* A third is done with, a third waits, a third fails. */
static void send_one(const char *id)
{
    struct spool_mail mail;
    int result = spool_load(&spool, false, id, &mail);

    note_error(result);
    if (result < 0) {
        return;
    }
    mail.attempts++;
    switch (rand() % 3) {
    case 0:
        mail.rcpt[0].state = SPOOL_SENT;
        note('d', id);
        note_error(spool_done(&spool, &mail));
        break;
    case 1:
        note_error(spool_update(&spool, &mail));
        break;
    default:
        strcpy(mail.reason, "550 no");
        note_error(spool_fail(&spool, &mail));
        break;
    }
    spool_mail_free(&mail);
}

static void look_at(const char *id, bool failed)
{
    struct spool_mail mail;
    int result = spool_load(&spool, failed, id, &mail);

    note_error(result);
    if (result == 0) {
        int fd = spool_message(&spool, failed, id);

        note_error(fd);
        if (fd >= 0) {
            close(fd);
        }
        spool_mail_free(&mail);
    }
}

static void play_list(enum role role, bool failed)
{
    char(*ids)[SPOOL_ID_BYTES];
    int count = spool_list(&spool, failed, &ids);

    note_error(count);
    for (int i = 0; i < count; i++) {
        if (role == SENDS) {
            send_one(ids[i]);
        } else if (role == LOOKS) {
            look_at(ids[i], failed);
        } else {
            note_error(spool_retry(&spool, ids[i]));
        }
    }
    free(ids);
}

static void play(enum role role)
{
    static const struct timespec rest = {.tv_sec = 0, .tv_nsec = 1000000};
    char(*ids)[SPOOL_ID_BYTES];
    int count;

    switch (role) {
    case QUEUES:
        count = spool_list(&spool, false, &ids);
        free(ids);
        if (count < WAITING_MAX) { /* So that each one's turn comes. */
            queue_one();
        } else {
            nanosleep(&rest, NULL);
        }
        break;
    case SENDS:
        if (spool_lock(&spool, 5) == 0) {
            play_list(SENDS, false);
            spool_unlock(&spool);
        }
        break;
    case LOOKS:
        play_list(LOOKS, false);
        play_list(LOOKS, true);
        break;
    case SWEEPS:
        spool_sweep(&spool);
        break;
    default:
        play_list(RETRIES, true);
        break;
    }
}

static pid_t start(enum role role)
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        srand((unsigned)getpid());
        if (spool_open(&spool, base) < 0) {
            note('e', spool.problem);
            _exit(1);
        }
        for (;;) {
            play(role);
        }
    }
    return child;
}

/* ---- the judge ---- */

static char (*committed)[SPOOL_ID_BYTES];
static char (*done)[SPOOL_ID_BYTES];
static size_t committed_count, done_count, errors;

static void add(char (**list)[SPOOL_ID_BYTES], size_t *count, const char *id)
{
    if ((*count & (*count - 1)) == 0) {
        *list = realloc(*list, (*count == 0 ? 1 : *count * 2) * sizeof **list);
        assert_non_null(*list);
    }
    snprintf((*list)[(*count)++], SPOOL_ID_BYTES, "%.31s", id);
}

static void take_notes(void)
{
    struct note one;

    while (read(notes[0], &one, sizeof one) == (ssize_t)sizeof one) {
        if (one.what == 'c') {
            add(&committed, &committed_count, one.text);
        } else if (one.what == 'd') {
            add(&done, &done_count, one.text);
        } else if (errors++ < 5) {
            print_error("%s\n", one.text);
        }
    }
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bool has(const char *id, char (*list)[SPOOL_ID_BYTES], size_t count)
{
    return count > 0 && bsearch(id, list, count, sizeof *list, compare) != NULL;
}

static void judge(void)
{
    char(*waiting)[SPOOL_ID_BYTES];
    char(*failed)[SPOOL_ID_BYTES];
    int waiting_count;
    int failed_count;

    assert_int_equal(spool_open(&spool, base), 0);
    waiting_count = spool_list(&spool, false, &waiting);
    failed_count = spool_list(&spool, true, &failed);
    assert_true(waiting_count >= 0 && failed_count >= 0);
    qsort(done, done_count, sizeof *done, compare);
    for (size_t i = 0; i < committed_count; i++) {
        bool waits = has(committed[i], waiting, (size_t)waiting_count);
        bool fails = has(committed[i], failed, (size_t)failed_count);

        if (!waits && !fails && !has(committed[i], done, done_count)) {
            fail_msg("%s is lost", committed[i]);
        }
        assert_false(waits && fails);
    }
    for (int i = 0; i < waiting_count + failed_count; i++) {
        bool fails = i >= waiting_count;
        struct spool_mail mail;

        if (spool_load(&spool, fails, fails ? failed[i - waiting_count] : waiting[i], &mail) < 0) {
            fail_msg("%s", spool.problem);
        }
        assert_int_equal(mail.size_bytes, TEXT_BYTES);
        spool_mail_free(&mail);
    }
    print_message("%zu committed, %zu done, %d waiting, %d failed\n", committed_count, done_count,
                  waiting_count, failed_count);
    free(waiting);
    free(failed);
    spool_close(&spool);
}

static void test_race(void **state)
{
    pid_t children[16];
    enum role roles[16];
    size_t count = 0;
    unsigned kills = 0;
    uint64_t end_ms = now_ms() + RUN_MS;

    (void)state;
    srand(1);
    for (enum role role = QUEUES; role < ROLES; role++) {
        for (unsigned i = 0; i < processes_of[role]; i++) {
            roles[count] = role;
            children[count++] = start(role);
        }
    }
    while (now_ms() < end_ms) {
        struct timespec rest = {.tv_sec = 0, .tv_nsec = rand() % 30 * 1000000};
        size_t victim = (size_t)rand() % count;

        nanosleep(&rest, NULL);
        take_notes();
        kill(children[victim], SIGKILL);
        assert_int_equal(waitpid(children[victim], NULL, 0), children[victim]);
        children[victim] = start(roles[victim]);
        kills++;
    }
    for (size_t i = 0; i < count; i++) {
        kill(children[i], SIGKILL);
        assert_int_equal(waitpid(children[i], NULL, 0), children[i]);
    }
    take_notes();
    judge();
    assert_int_equal(errors, 0);
    assert_true(kills > 20 && committed_count > 20 && done_count > 5);
    free(committed);
    free(done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_race)};
    char command[80];
    int failures;

    /* In memory where that can be: then it is the races that take the time, not the disk. */
    snprintf(base, sizeof base, "%s/tocsin-race-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(base) == NULL || pipe2(notes, O_NONBLOCK) != 0 ||
        fcntl(notes[1], F_SETFL, 0) != 0) {
        return 1;
    }
    failures = cmocka_run_group_tests(tests, NULL, NULL);
    snprintf(command, sizeof command, "rm -r %s", base);
    return system(command) == 0 ? failures : 1;
}
