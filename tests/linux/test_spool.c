/* The spool: what is committed is there whole, what is damaged is set aside, and nobody's link,
 * pipe or foreign file is followed, waited for or touched. Crashes are test_faults' matter. */
#include "boards/linux/spool_private.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char base[] = "/tmp/tocsin-spool-XXXXXX";
static struct spool spool;
static struct spool_draft draft;
static char path[512];
static unsigned round_number;

static const char *in_spool(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", spool.path, name);
    return path;
}

static const char *file_of(const char *folder, const char *id, const char *suffix)
{
    snprintf(path, sizeof path, "%s/%s/%s%s", spool.path, folder, id, suffix);
    return path;
}

static bool exists(const char *file)
{
    struct stat status;

    return lstat(file, &status) == 0;
}

static unsigned mode_of(const char *file)
{
    struct stat status;

    assert_int_equal(lstat(file, &status), 0);
    return status.st_mode & 07777;
}

static void put(const char *file, const void *bytes, size_t size)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0660);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), (ssize_t)size);
    close(fd);
}

static size_t get(const char *file, char *bytes, size_t size)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t count;

    assert_true(fd >= 0);
    count = read(fd, bytes, size);
    assert_true(count >= 0);
    close(fd);
    return (size_t)count;
}

static void make_old(const char *file)
{
    struct timeval times[2] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};

    assert_int_equal(lutimes(file, times), 0);
}

/* A spool of its own for each test. */
static int setup(void **state)
{
    char name[128];

    (void)state;
    snprintf(name, sizeof name, "%s/%u/above/spool", base, round_number++);
    umask(round_number % 2 == 0 ? 077 : 0);
    return spool_open(&spool, name);
}

static int teardown(void **state)
{
    (void)state;
    spool_close(&spool);
    return 0;
}

static void fill(struct spool_mail *mail)
{
    memset(mail, 0, sizeof *mail);
    mail->from = strdup("alice@example.com");
    mail->message_id = strdup("1@host");
    mail->sender_name = strdup("alice");
    assert_int_equal(spool_mail_rcpt(mail, "bob@example.com", "success,failure"), 0);
    assert_int_equal(spool_mail_rcpt(mail, "\"a b\"@example.com", NULL), 0);
}

static void begin(size_t size)
{
    assert_int_equal(spool_draft_begin(&spool, &draft), 0);
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)(i * 7);

        assert_int_equal(spool_draft_write(&spool, &draft, &byte, 1), 0);
    }
}

/* A mail with a message of size bytes. */
static void commit(struct spool_mail *mail, size_t size)
{
    fill(mail);
    begin(size);
    assert_int_equal(spool_draft_commit(&spool, &draft, mail), 0);
}

static int count_of(bool failed)
{
    char(*ids)[SPOOL_ID_BYTES];
    int count = spool_list(&spool, failed, &ids);

    assert_true(count >= 0);
    free(ids);
    return count;
}

static void check_problem(const char *part)
{
    if (strstr(spool.problem, part) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", spool.problem, part);
    }
}

/* ---- what is committed ---- */

static void test_round_trip(void **state)
{
    static const size_t sizes[] = {0, 1, 8191, 8192, 8193, 100000};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct spool_mail mail;
        struct spool_mail loaded;
        uint8_t *bytes = malloc(sizes[i] + 1);
        int fd;

        commit(&mail, sizes[i]);
        assert_int_equal(spool_load(&spool, false, mail.id, &loaded), 0);
        assert_string_equal(loaded.id, mail.id);
        assert_string_equal(loaded.from, mail.from);
        assert_string_equal(loaded.message_id, mail.message_id);
        assert_string_equal(loaded.sender_name, mail.sender_name);
        assert_int_equal(loaded.rcpt_count, 2);
        assert_string_equal(loaded.rcpt[0].address, "bob@example.com");
        assert_string_equal(loaded.rcpt[0].notify, "success,failure");
        assert_string_equal(loaded.rcpt[1].address, "\"a b\"@example.com");
        assert_null(loaded.rcpt[1].notify);
        assert_int_equal(loaded.size_bytes, sizes[i]);
        assert_true(loaded.queued_unix_ms > 1700000000000u);
        assert_int_equal(loaded.queued_unix_ms, mail.queued_unix_ms);
        fd = spool_message(&spool, false, mail.id);
        assert_true(fd >= 0);
        assert_int_equal(read(fd, bytes, sizes[i] + 1), (ssize_t)sizes[i]);
        for (size_t j = 0; j < sizes[i]; j++) {
            assert_int_equal(bytes[j], (uint8_t)(j * 7));
        }
        close(fd);
        free(bytes);
        spool_mail_free(&loaded);
        spool_mail_free(&mail);
        assert_int_equal(count_of(false), (int)i + 1);
    }
}

/* Twice, with umasks of 0 and 077 (setup). */
static void test_modes(void **state)
{
    bool shared = geteuid() == 0 || getegid() != getgid();
    struct spool_mail mail;

    (void)state;
    commit(&mail, 10);
    assert_int_equal(mode_of(spool.path), shared ? 02770 : 0700);
    assert_int_equal(mode_of(in_spool("queue")), shared ? 02770 : 0700);
    assert_int_equal(mode_of(in_spool("lock")), shared ? 0660 : 0600);
    assert_int_equal(mode_of(file_of("queue", mail.id, ".env")), shared ? 0660 : 0600);
    assert_int_equal(mode_of(file_of("queue", mail.id, ".mail")), shared ? 0660 : 0600);
    spool_mail_free(&mail);
}

/* Made by hand as "install -d -m 770 -g GROUP" by root: all in it is the group's, also root's. */
static void test_group_of_folder(void **state)
{
    struct stat status;
    struct spool own;
    char name[128];

    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    snprintf(name, sizeof name, "%s/made-%u", base, round_number);
    assert_int_equal(mkdir(name, 0770), 0);
    assert_int_equal(chown(name, 0, 65534), 0);
    assert_int_equal(chmod(name, 0770), 0);
    assert_int_equal(spool_open(&own, name), 0);
    assert_int_equal(spool_draft_begin(&own, &draft), 0);
    assert_int_equal(fstat(draft.fd, &status), 0);
    assert_int_equal(status.st_gid, 65534);
    spool_draft_drop(&own, &draft);
    assert_int_equal(fstat(own.lock, &status), 0);
    assert_int_equal(status.st_gid, 65534);
    assert_int_equal(status.st_mode & 07777, 0660);
    spool_close(&own);
}

static void test_volatile(void **state)
{
    struct spool own;

    (void)state;
    assert_false(spool_is_volatile(&spool));
    assert_false(spool_path_is_volatile("/nowhere/at/all/"));
    assert_false(spool_path_is_volatile(""));
    assert_false(spool_path_is_volatile("nowhere"));
    if (access("/dev/shm", W_OK) == 0) {
        char name[] = "/dev/shm/tocsin-spool-XXXXXX";

        assert_non_null(mkdtemp(name));
        snprintf(path, sizeof path, "%s/spool", name);
        assert_true(spool_path_is_volatile(path)); /* Not there yet. */
        assert_int_equal(spool_open(&own, path), 0);
        assert_true(spool_is_volatile(&own));
        assert_true(spool_path_is_volatile(path));
        spool_close(&own);
        snprintf(path, sizeof path, "rm -r %s", name);
        assert_int_equal(system(path), 0);
    }
}

static void test_own_spool_is_private(void **state)
{
    char name[128];
    struct spool own;

    (void)state;
    snprintf(name, sizeof name, "%s/own-%u", base, round_number);
    assert_int_equal(mkdir(name, 0700), 0);
    assert_int_equal(chmod(name, 0700), 0);
    assert_int_equal(spool_open(&own, name), 0);
    assert_int_equal(own.mode, 0600);
    snprintf(path, sizeof path, "%s/failed", name);
    assert_int_equal(mode_of(path), 0700);
    spool_close(&own);
}

static void test_all_fields(void **state)
{
    static struct spool_mail mail;
    struct spool_mail loaded;

    (void)state;
    commit(&mail, 3);
    mail.envid = strdup("env+2Bid");
    mail.ret = strdup("hdrs");
    mail.flags = 31;
    mail.due_unix_ms = 1795336160049;
    mail.attempts = 4000000000u;
    mail.own_fault = true;
    strcpy(mail.reason, "451 later\r\nend 0 00000000\n");
    mail.rcpt[0].state = SPOOL_SENT;
    mail.rcpt[0].reason = strdup("250 ok\nwait evil@example.com");
    mail.rcpt[1].state = SPOOL_REFUSED;
    assert_int_equal(spool_update(&spool, &mail), 0);
    assert_int_equal(spool_load(&spool, false, mail.id, &loaded), 0);
    assert_string_equal(loaded.envid, "env+2Bid");
    assert_string_equal(loaded.ret, "hdrs");
    assert_int_equal(loaded.flags, 31);
    assert_int_equal(loaded.due_unix_ms, 1795336160049);
    assert_int_equal(loaded.attempts, 4000000000u);
    assert_true(loaded.own_fault);
    assert_string_equal(loaded.reason, "451 later  end 0 00000000 ");
    assert_int_equal(loaded.rcpt_count, 2);
    assert_int_equal(loaded.rcpt[0].state, SPOOL_SENT);
    assert_string_equal(loaded.rcpt[0].reason, "250 ok wait evil@example.com");
    assert_int_equal(loaded.rcpt[1].state, SPOOL_REFUSED);
    spool_mail_free(&loaded);
    spool_mail_free(&mail);
}

/* A reason that grows when it is made printable is cut, and does not make the mail unreadable. */
static void test_reason_of_odd_bytes(void **state)
{
    struct spool_mail mail;
    struct spool_mail loaded;

    (void)state;
    commit(&mail, 3);
    memset(mail.reason, 0xFF, sizeof mail.reason - 1);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(spool_update(&spool, &mail), 0);
        assert_int_equal(spool_load(&spool, false, mail.id, &loaded), 0);
        spool_mail_free(&mail);
        mail = loaded;
    }
    spool_mail_free(&mail);
}

static void test_bad_addresses(void **state)
{
    static const char *const bad[] = {"a\nb@example.com", "a@example.com\r\nRCPT TO:<b@c>", "\x7F",
                                      ""};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct spool_mail mail;

        fill(&mail);
        assert_int_equal(spool_mail_rcpt(&mail, bad[i], NULL), 0);
        begin(5);
        assert_int_equal(spool_draft_commit(&spool, &draft, &mail), E_INVALID);
        assert_int_equal(draft.fd, -1);
        assert_false(exists(file_of("tmp", draft.id, "")));
        assert_false(exists(file_of("queue", draft.id, ".mail")));
        spool_mail_free(&mail);
    }
    assert_int_equal(count_of(false), 0);
}

static void test_many_recipients(void **state)
{
    struct spool_mail mail;
    struct spool_mail loaded;
    char address[64];

    (void)state;
    memset(&mail, 0, sizeof mail);
    mail.from = strdup("");
    for (unsigned i = 0; i < SPOOL_RCPT_MAX; i++) {
        snprintf(address, sizeof address, "user%u@example.com", i);
        assert_int_equal(spool_mail_rcpt(&mail, address, "never"), 0);
    }
    assert_int_equal(spool_mail_rcpt(&mail, "one@too.many", NULL), E_SPACE);
    begin(1);
    assert_int_equal(spool_draft_commit(&spool, &draft, &mail), 0);
    assert_int_equal(spool_load(&spool, false, mail.id, &loaded), 0);
    assert_int_equal(loaded.rcpt_count, SPOOL_RCPT_MAX);
    assert_string_equal(loaded.rcpt[SPOOL_RCPT_MAX - 1].address, address);
    assert_string_equal(loaded.from, "");
    spool_mail_free(&loaded);
    spool_mail_free(&mail);
}

/* Many at once: every id is another one, every mail whole. */
static void test_processes(void **state)
{
    enum { PROCESSES = 8, MAILS = 25 };
    char(*ids)[SPOOL_ID_BYTES];

    (void)state;
    for (unsigned i = 0; i < PROCESSES; i++) {
        pid_t child = fork();

        assert_true(child >= 0);
        if (child == 0) {
            static struct spool own;
            int result = spool_open(&own, spool.path);

            for (unsigned j = 0; j < MAILS && result == 0; j++) {
                struct spool_mail mail;

                memset(&mail, 0, sizeof mail);
                mail.from = strdup("a@b");
                result = spool_mail_rcpt(&mail, "c@d", NULL);
                result += spool_draft_begin(&own, &draft);
                result += spool_draft_write(&own, &draft, (const uint8_t *)"text\n", 5);
                result += spool_draft_commit(&own, &draft, &mail);
                spool_mail_free(&mail);
            }
            _exit(result == 0 ? 0 : 1);
        }
    }
    for (unsigned i = 0; i < PROCESSES; i++) {
        int status;

        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    assert_int_equal(spool_list(&spool, false, &ids), PROCESSES * MAILS);
    for (unsigned i = 0; i < PROCESSES * MAILS; i++) {
        struct spool_mail mail;

        assert_true(i == 0 || strcmp(ids[i - 1], ids[i]) < 0);
        assert_int_equal(spool_load(&spool, false, ids[i], &mail), 0);
        assert_int_equal(mail.size_bytes, 5);
        spool_mail_free(&mail);
    }
    free(ids);
}

/* ---- damage ---- */

/* Cut anywhere, one byte changed anywhere, more behind it: never taken for an envelope. */
static void test_damaged_envelopes(void **state)
{
    struct spool_mail mail;
    struct spool_mail loaded;
    char whole[1024];
    char bytes[1024];
    const char *why;
    size_t size;

    (void)state;
    commit(&mail, 3);
    size = get(file_of("queue", mail.id, ".env"), whole, sizeof whole);
    memset(&loaded, 0, sizeof loaded);
    for (size_t i = 0; i <= size; i++) {
        memcpy(bytes, whole, size);
        assert_int_equal(spool_envelope_parse(&loaded, bytes, i, &why), i == size ? 0 : E_INVALID);
        spool_mail_free(&loaded);
        for (unsigned bit = 0; bit < 8 && i < size; bit++) {
            int result;

            memcpy(bytes, whole, size);
            bytes[i] = (char)(bytes[i] ^ 1 << bit);
            result = spool_envelope_parse(&loaded, bytes, size, &why);
            assert_true(result == E_INVALID || (result == E_UNSUPPORTED && i < 9));
            assert_null(loaded.rcpt);
        }
    }
    memcpy(bytes, whole, size);
    bytes[size] = '\n';
    assert_int_equal(spool_envelope_parse(&loaded, bytes, size + 1, &why), E_INVALID);
    spool_mail_free(&mail);
}

static void test_set_aside(void **state)
{
    struct spool_mail mail;
    struct spool_mail loaded;
    char bytes[16];

    (void)state;
    commit(&mail, 7);
    put(file_of("queue", mail.id, ".env"), "tocsin 1\nsize 7\n", 16);
    assert_int_equal(spool_load(&spool, false, mail.id, &loaded), E_INVALID);
    assert_null(loaded.from);
    check_problem(mail.id);
    check_problem("damaged");
    check_problem("set aside in");
    assert_int_equal(count_of(false), 0);
    assert_int_equal(count_of(true), 1);
    assert_int_equal(get(file_of("failed", mail.id, ".mail"), bytes, sizeof bytes), 7);
    assert_int_equal(spool_load(&spool, true, mail.id, &loaded), E_INVALID);
    assert_int_equal(spool_retry(&spool, mail.id), E_INVALID);
    assert_int_equal(count_of(true), 1);
    spool_mail_free(&mail);
}

static void test_message_damaged(void **state)
{
    struct spool_mail mail;
    struct spool_mail loaded;

    (void)state;
    commit(&mail, 7);
    assert_int_equal(truncate(file_of("queue", mail.id, ".mail"), 6), 0);
    assert_int_equal(spool_load(&spool, false, mail.id, &loaded), E_INVALID);
    check_problem("has not the size");
    assert_int_equal(count_of(true), 1);
    spool_mail_free(&mail);
    commit(&mail, 7);
    assert_int_equal(unlink(file_of("queue", mail.id, ".mail")), 0);
    assert_int_equal(spool_load(&spool, false, mail.id, &loaded), E_INVALID);
    check_problem("missing");
    assert_int_equal(count_of(true), 2);
    spool_mail_free(&mail);
}

/* A newer program's envelope stays for it. */
static void test_other_version(void **state)
{
    struct spool_mail mail;
    struct spool_mail loaded;

    (void)state;
    commit(&mail, 7);
    put(file_of("queue", mail.id, ".env"), "tocsin 2\nsomething\n", 19);
    assert_int_equal(spool_load(&spool, false, mail.id, &loaded), E_UNSUPPORTED);
    check_problem("version");
    assert_int_equal(count_of(false), 1);
    spool_mail_free(&mail);
}

/* ---- what is not ours ---- */

static void test_links_and_pipes(void **state)
{
    struct spool_mail mail;
    struct spool_mail loaded;
    char outside[128];
    char envelope[1024];
    size_t size;

    (void)state;
    snprintf(outside, sizeof outside, "%s/outside", base);
    commit(&mail, 7);
    size = get(file_of("queue", mail.id, ".env"), envelope, sizeof envelope);
    put(outside, envelope, size);
    assert_int_equal(unlink(file_of("queue", mail.id, ".env")), 0);
    assert_int_equal(symlink(outside, file_of("queue", mail.id, ".env")), 0);
    assert_int_equal(spool_load(&spool, false, mail.id, &loaded), E_INVALID);
    check_problem("symbolic link");
    spool_mail_free(&mail);

    commit(&mail, 7);
    put(outside, "1234567", 7);
    assert_int_equal(unlink(file_of("queue", mail.id, ".mail")), 0);
    assert_int_equal(symlink(outside, file_of("queue", mail.id, ".mail")), 0);
    assert_int_equal(spool_message(&spool, false, mail.id), E_INVALID);
    assert_int_equal(spool_load(&spool, false, mail.id, &loaded), E_INVALID);
    spool_mail_free(&mail);

    commit(&mail, 7);
    assert_int_equal(unlink(file_of("queue", mail.id, ".env")), 0);
    assert_int_equal(mkfifo(file_of("queue", mail.id, ".env"), 0660), 0);
    alarm(10);
    assert_int_equal(spool_load(&spool, false, mail.id, &loaded), E_INVALID);
    alarm(0);
    spool_mail_free(&mail);

    commit(&mail, 7);
    assert_int_equal(symlink(outside, file_of("tmp", mail.id, ".env")), 0);
    assert_int_equal(spool_update(&spool, &mail), 0);
    assert_int_equal(get(outside, envelope, sizeof envelope), 7);
    spool_mail_free(&mail);
}

static void test_folder_is_link(void **state)
{
    struct spool other;
    char name[128];

    (void)state;
    spool_close(&spool);
    snprintf(name, sizeof name, "%s/elsewhere-%u", base, round_number);
    assert_int_equal(rename(in_spool("queue"), name), 0);
    assert_int_equal(symlink(name, in_spool("queue")), 0);
    assert_int_equal(spool_open(&other, spool.path), E_INVALID);
    assert_non_null(strstr(other.problem, "queue"));
}

static void test_open_to_everybody(void **state)
{
    struct spool other;

    (void)state;
    assert_int_equal(chmod(spool.path, 0777), 0);
    assert_int_equal(spool_open(&other, spool.path), E_INVALID);
    assert_non_null(strstr(other.problem, "everybody"));
}

static void test_foreign_files(void **state)
{
    static const char *const names[] = {"queue/README",
                                        "queue/x.env",
                                        "queue/x.mail",
                                        "tmp/notes",
                                        "queue/0660d946126eb000111Z.env",
                                        "failed/0660d946126eb00011159.mail"};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        put(in_spool(names[i]), "x", 1);
        make_old(path);
    }
    assert_int_equal(mkdir(in_spool("tmp/0660d946126eb0001115"), 0700), 0);
    make_old(path);
    assert_int_equal(count_of(false), 0);
    spool_sweep(&spool);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_true(exists(in_spool(names[i])));
    }
    assert_true(exists(in_spool("tmp/0660d946126eb0001115")));
}

/* Ids become parts of paths. */
static void test_ids(void **state)
{
    static const char *const ids[] = {"",
                                      "../failed/x",
                                      "/etc/passwd",
                                      "0660d946126eb000111",
                                      "0660D946126EB0001115",
                                      "0660d946126eb0001115/"};
    struct spool_mail mail;

    (void)state;
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        assert_int_equal(spool_load(&spool, false, ids[i], &mail), E_MISSING);
        assert_int_equal(spool_message(&spool, false, ids[i]), E_MISSING);
        assert_int_equal(spool_drop(&spool, false, ids[i]), E_MISSING);
        assert_int_equal(spool_retry(&spool, ids[i]), E_MISSING);
    }
}

/* ---- what becomes of a mail ---- */

static void test_done(void **state)
{
    struct spool_mail mail;

    (void)state;
    commit(&mail, 7);
    assert_int_equal(spool_done(&spool, &mail), 0);
    assert_int_equal(count_of(false), 0);
    assert_false(exists(file_of("queue", mail.id, ".mail")));
    assert_int_equal(spool_done(&spool, &mail), 0);
    assert_int_equal(spool_drop(&spool, false, mail.id), E_MISSING);
    spool_mail_free(&mail);
}

static void test_fail_and_retry(void **state)
{
    struct spool_mail mail;
    struct spool_mail loaded;

    (void)state;
    commit(&mail, 7);
    mail.rcpt[0].state = SPOOL_SENT;
    mail.rcpt[1].state = SPOOL_REFUSED;
    mail.attempts = 3;
    strcpy(mail.reason, "550 no such user");
    assert_int_equal(spool_fail(&spool, &mail), 0);
    assert_int_equal(count_of(false), 0);
    assert_int_equal(spool_load(&spool, true, mail.id, &loaded), 0);
    assert_string_equal(loaded.reason, "550 no such user");
    assert_false(exists(file_of("queue", mail.id, ".mail")));
    assert_true(exists(file_of("failed", mail.id, ".mail")));
    spool_mail_free(&loaded);

    assert_int_equal(spool_retry(&spool, mail.id), 0);
    assert_int_equal(count_of(true), 0);
    assert_true(exists(file_of("queue", mail.id, ".mail")));
    assert_int_equal(spool_load(&spool, false, mail.id, &loaded), 0);
    assert_int_equal(loaded.rcpt[0].state, SPOOL_SENT);
    assert_int_equal(loaded.rcpt[1].state, SPOOL_WAITING);
    assert_int_equal(loaded.attempts, 0);
    assert_int_equal(loaded.queued_unix_ms, mail.queued_unix_ms);
    loaded.due_unix_ms = 5;
    assert_int_equal(spool_update(&spool, &loaded), 0);
    spool_mail_free(&loaded);

    assert_int_equal(spool_retry(&spool, mail.id), 0); /* One of the queue is due at once. */
    assert_int_equal(spool_load(&spool, false, mail.id, &loaded), 0);
    assert_int_equal(loaded.due_unix_ms, 0);
    spool_mail_free(&loaded);
    spool_mail_free(&mail);
}

/* A mail that a person drops while it is being sent does not come back. */
static void test_dropped(void **state)
{
    struct spool_mail mail;

    (void)state;
    commit(&mail, 7);
    assert_int_equal(spool_drop(&spool, false, mail.id), 0);
    assert_int_equal(spool_update(&spool, &mail), E_MISSING);
    assert_int_equal(spool_fail(&spool, &mail), E_MISSING);
    assert_int_equal(count_of(false), 0);
    assert_int_equal(count_of(true), 0);
    assert_false(exists(file_of("tmp", mail.id, ".env")));
    spool_mail_free(&mail);
}

/* Between the two renames of a move. */
static void test_half_moved(void **state)
{
    struct spool_mail mail;
    struct spool_mail loaded;
    char from[512];
    int fd;

    (void)state;
    commit(&mail, 7);
    snprintf(from, sizeof from, "%s", file_of("queue", mail.id, ".env"));
    assert_int_equal(rename(from, file_of("failed", mail.id, ".env")), 0);
    make_old(file_of("queue", mail.id, ".mail"));
    assert_int_equal(spool_load(&spool, true, mail.id, &loaded), 0);
    spool_mail_free(&loaded);
    fd = spool_message(&spool, true, mail.id);
    assert_true(fd >= 0);
    close(fd);
    spool_sweep(&spool);
    assert_true(exists(file_of("failed", mail.id, ".mail")));
    assert_false(exists(file_of("queue", mail.id, ".mail")));
    spool_mail_free(&mail);
}

static void test_sweep(void **state)
{
    struct spool_mail mail;

    (void)state;
    put(in_spool("tmp/0660d946126eb0001115"), "x", 1);
    make_old(path);
    put(in_spool("tmp/0660d946126eb0001115.env"), "x", 1);
    make_old(path);
    put(in_spool("tmp/state.77"), "x", 1);
    make_old(path);
    put(in_spool("queue/0660d946126eb0001115.mail"), "x", 1);
    make_old(path);
    put(in_spool("queue/0660d946126eb0001116.mail"), "x", 1);
    begin(7);
    make_old(file_of("tmp", draft.id, ""));
    spool_sweep(&spool);
    assert_false(exists(in_spool("tmp/0660d946126eb0001115")));
    assert_false(exists(in_spool("tmp/0660d946126eb0001115.env")));
    assert_false(exists(in_spool("tmp/state.77")));
    assert_false(exists(in_spool("queue/0660d946126eb0001115.mail")));
    assert_true(exists(in_spool("queue/0660d946126eb0001116.mail")));
    assert_true(exists(file_of("tmp", draft.id, ""))); /* Its writer takes his time. */
    fill(&mail);
    assert_int_equal(spool_draft_commit(&spool, &draft, &mail), 0);
    make_old(file_of("queue", mail.id, ".mail"));
    spool_sweep(&spool);
    spool_mail_free(&mail);
    assert_int_equal(spool_load(&spool, false, draft.id, &mail), 0);
    spool_mail_free(&mail);
}

/* ---- locks, state, limits ---- */

static void test_lock(void **state)
{
    struct spool other;

    (void)state;
    assert_int_equal(spool_open(&other, spool.path), 0);
    assert_int_equal(spool_lock(&spool, 0), 0);
    assert_int_equal(spool_lock(&other, 0), E_TRANSIENT);
    assert_int_equal(spool_lock(&other, 50), E_TRANSIENT);
    spool_unlock(&spool);
    assert_int_equal(spool_lock(&other, 0), 0);
    spool_close(&other);
    assert_int_equal(spool_lock(&spool, 0), 0); /* The end of a process ends its lock. */
}

static void test_retry_beside_a_sender(void **state)
{
    struct spool other;
    struct spool_mail mail;

    (void)state;
    commit(&mail, 7);
    assert_int_equal(spool_open(&other, spool.path), 0);
    assert_int_equal(spool_lock(&other, 0), 0);
    assert_int_equal(spool_retry(&spool, mail.id), E_TRANSIENT);
    spool_close(&other);
    assert_int_equal(spool_retry(&spool, mail.id), 0);
    spool_mail_free(&mail);
}

static void test_state(void **state)
{
    uint32_t value = 0;
    uint32_t number = 77;

    (void)state;
    assert_int_equal(spool_state_read(&spool, &value, sizeof value), E_MISSING);
    assert_int_equal(spool_state_write(&spool, &number, sizeof number), 0);
    assert_int_equal(spool_state_read(&spool, &value, sizeof value), 0);
    assert_int_equal(value, 77);
    assert_int_equal(spool_state_read(&spool, &value, 2), E_INVALID);
    put(in_spool("state"), "", 0);
    assert_int_equal(spool_state_read(&spool, &value, sizeof value), E_INVALID);
}

/* In a process of its own, as limits and users do not come back. */
static void in_child(void (*what)(void))
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0) {
        what();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void require(bool condition, int code)
{
    if (!condition) {
        _exit(code);
    }
}

static void without_room(void)
{
    struct rlimit limit = {.rlim_cur = 10000, .rlim_max = 10000};
    static uint8_t bytes[20000];
    struct spool_mail mail;

    signal(SIGXFSZ, SIG_IGN);
    require(setrlimit(RLIMIT_FSIZE, &limit) == 0, 1);
    require(spool_draft_begin(&spool, &draft) == 0, 2);
    require(spool_draft_write(&spool, &draft, bytes, sizeof bytes) == E_SPACE, 3);
    require(strstr(spool.problem, "ulimit -f") != NULL, 4);
    spool_draft_drop(&spool, &draft);
    require(!exists(file_of("tmp", draft.id, "")), 5);
    fill(&mail);
    require(spool_draft_begin(&spool, &draft) == 0, 6);
    require(spool_draft_write(&spool, &draft, bytes, 100) == 0, 7);
    limit.rlim_cur = 110;
    require(setrlimit(RLIMIT_FSIZE, &limit) == 0, 8);
    require(spool_draft_commit(&spool, &draft, &mail) == E_SPACE, 9); /* The envelope. */
    require(count_of(false) == 0 && !exists(file_of("tmp", draft.id, "")), 10);
    spool_mail_free(&mail);
}

static void without_descriptors(void)
{
    struct rlimit limit = {.rlim_cur = 3, .rlim_max = 3};

    require(setrlimit(RLIMIT_NOFILE, &limit) == 0, 1);
    require(spool_draft_begin(&spool, &draft) == E_IO, 2);
    require(strstr(spool.problem, "ulimit -n") != NULL, 3);
}

static void as_nobody(void)
{
    struct spool own;
    char name[300];

    require(setgid(65534) == 0 && setuid(65534) == 0, 1);
    require(spool_open(&own, spool.path) == E_IO, 2);
    require(strstr(own.problem, "permission denied") != NULL, 3);
    snprintf(name, sizeof name, "%s/no/such/folder", spool.path);
    require(spool_open(&own, name) == E_IO, 4);
    snprintf(name, sizeof name, "%s/nobody/spool", base);
    require(spool_open(&own, name) == E_IO, 5);
    require(strstr(own.problem, "install -d") != NULL, 6);
}

/* Somebody of the same group made it before. */
static void with_foreign_folder(void)
{
    struct spool own;
    char name[128];

    snprintf(name, sizeof name, "%s/foreign", base);
    require(mkdir(name, 0770) == 0 && chown(name, 65533, 65534) == 0 && chmod(name, 0770) == 0, 1);
    require(setgid(65534) == 0 && setuid(65534) == 0, 2);
    require(spool_open(&own, name) == E_INVALID, 3);
    require(strstr(own.problem, "belongs to another user") != NULL, 4);
}

static void test_limits(void **state)
{
    (void)state;
    in_child(without_room);
    in_child(without_descriptors);
    if (geteuid() == 0) {
        assert_int_equal(chmod(base, 0755), 0);
        in_child(as_nobody);
        in_child(with_foreign_folder);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip),
        TEST(test_modes),
        TEST(test_modes),
        TEST(test_group_of_folder),
        TEST(test_volatile),
        TEST(test_own_spool_is_private),
        TEST(test_all_fields),
        TEST(test_reason_of_odd_bytes),
        TEST(test_bad_addresses),
        TEST(test_many_recipients),
        TEST(test_processes),
        TEST(test_damaged_envelopes),
        TEST(test_set_aside),
        TEST(test_message_damaged),
        TEST(test_other_version),
        TEST(test_links_and_pipes),
        TEST(test_folder_is_link),
        TEST(test_open_to_everybody),
        TEST(test_foreign_files),
        TEST(test_ids),
        TEST(test_done),
        TEST(test_fail_and_retry),
        TEST(test_dropped),
        TEST(test_half_moved),
        TEST(test_sweep),
        TEST(test_lock),
        TEST(test_retry_beside_a_sender),
        TEST(test_state),
        TEST(test_limits),
    };
    char command[64];
    int failures;

    if (mkdtemp(base) == NULL) {
        return 1;
    }
    failures = cmocka_run_group_tests(tests, NULL, NULL);
    snprintf(command, sizeof command, "rm -r %s", base);
    return system(command) == 0 ? failures : 1;
}
