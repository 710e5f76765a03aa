/* The log: whole lines whatever they hold, a syslog daemon that comes, goes and is slow. */
#include "boards/linux/maillog.h"
#include "net/posix/link_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PROCESSES 4
#define LINES 500

static char folder[] = "/tmp/tocsin-maillog-XXXXXX";
static char path[64];

static const char *in_folder(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static size_t slurp(const char *file, char *out, size_t size)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    ssize_t got = 0;

    assert_true(fd >= 0);
    while (length < size - 1 && (got = read(fd, out + length, size - 1 - length)) > 0) {
        length += (size_t)got;
    }
    close(fd);
    out[length] = '\0';
    return length;
}

static void expect_file_line(const char *line, const char *text)
{
    char expected[300];
    static const char shape[] = "0000-00-00T00:00:00.000Z ";

    for (size_t i = 0; i < sizeof shape - 1; i++) {
        if (shape[i] == '0') {
            assert_in_range(line[i], '0', '9');
        } else {
            assert_int_equal(line[i], shape[i]);
        }
    }
    snprintf(expected, sizeof expected, "sendmail[%d]: %s\n", (int)getpid(), text);
    assert_string_equal(line + sizeof shape - 1, expected);
}

static void test_file(void **state)
{
    struct maillog log;
    char got[400];
    struct stat status;

    (void)state;
    umask(0);
    maillog_open(&log, "sendmail", in_folder("file"));
    assert_false(log.syslog);
    errno = ENOENT;
    maillog_line(&log, 6, "to=a@example.test\nforged\r\033[2J\x01 \xC3\xA9 \xFF.");
    assert_int_equal(errno, ENOENT);
    slurp(path, got, sizeof got);
    expect_file_line(got, "to=a@example.test forged  [2J  \xC3\xA9 \xEF\xBF\xBD.");
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0660);
    maillog_close(&log);
    maillog_close(&log);
    maillog_line(&log, 6, "nowhere"); /* Closed: nothing. */
    maillog_open(&log, "sendmail", in_folder("file"));
    maillog_line(&log, 3, "second");
    maillog_close(&log);
    slurp(path, got, sizeof got);
    expect_file_line(strchr(got, '\n') + 1, "second");
}

static void test_long_line(void **state)
{
    static char line[10000];
    static char got[20000];
    struct maillog log;
    size_t length;

    (void)state;
    memset(line, 'x', sizeof line - 1);
    maillog_open(&log, "sendmail", in_folder("long"));
    maillog_line(&log, 6, line);
    maillog_line(&log, 6, "");
    maillog_close(&log);
    length = slurp(path, got, sizeof got);
    assert_true(length < 4200);
    assert_int_equal(got[length - 1], '\n');
    assert_ptr_not_equal(strchr(got, '\n'), got + length - 1); /* Two lines. */
}

/* Lines of several processes stay whole. */
static void test_processes(void **state)
{
    static char got[PROCESSES * LINES * 400];
    static char text[300];
    unsigned count = 0;

    (void)state;
    in_folder("many");
    for (unsigned i = 0; i < PROCESSES; i++) {
        if (fork() == 0) {
            struct maillog log;

            maillog_open(&log, "sendmail", path);
            memset(text, 'a' + (int)i, sizeof text - 1);
            for (unsigned j = 0; j < LINES; j++) {
                maillog_line(&log, 6, text);
            }
            _exit(0);
        }
    }
    for (unsigned i = 0; i < PROCESSES; i++) {
        assert_true(wait(NULL) > 0);
    }
    slurp(path, got, sizeof got);
    for (char *line = got, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        const char *begin = strstr(line, "]: ");

        assert_non_null(begin);
        begin += 3;
        assert_int_equal(end - begin, sizeof text - 1);
        for (const char *c = begin; c < end; c++) {
            assert_int_equal(*c, *begin);
        }
        count++;
    }
    assert_int_equal(count, PROCESSES * LINES);
}

static int daemon_at(const char *where, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    unlink(where);
    strcpy(address.sun_path, where);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    if (type == SOCK_STREAM) {
        assert_int_equal(listen(fd, 5), 0);
    }
    return fd;
}

static void expect_syslog(int fd, const char *head, const char *tail)
{
    char got[4096] = "";
    ssize_t size = recv(fd, got, sizeof got - 1, 0);

    assert_true(size > 0);
    assert_memory_equal(got, head, strlen(head));
    assert_in_range(got[4], 'A', 'S'); /* "<22>Nov 22 08:25:01 " */
    assert_int_equal(got[7], ' ');
    assert_int_equal(got[13], ':');
    assert_int_equal(got[19], ' ');
    assert_string_equal(got + 20, tail);
}

static void test_syslog(void **state)
{
    struct maillog log;
    char tail[80];
    int fd = daemon_at(in_folder("socket"), SOCK_DGRAM);

    (void)state;
    setenv("TZ", "UTC-3", 1);
    maillog_open(&log, "sendmail", "syslog");
    log.socket_path = path;
    snprintf(tail, sizeof tail, "sendmail[%d]: one two", (int)getpid());
    maillog_line(&log, 6, "one\ntwo");
    expect_syslog(fd, "<22>", tail);
    strcpy(log.tag, "cron");
    snprintf(tail, sizeof tail, "cron[%d]: worse", (int)getpid());
    maillog_line(&log, 3, "worse");
    expect_syslog(fd, "<19>", tail);

    /* It goes, and a line is lost; it comes back, and the next one is there. */
    close(fd);
    unlink(path);
    maillog_line(&log, 6, "lost");
    fd = daemon_at(path, SOCK_DGRAM);
    maillog_line(&log, 3, "worse");
    expect_syslog(fd, "<19>", tail);
    /* It is restarted between two lines: none is lost. */
    close(fd);
    fd = daemon_at(path, SOCK_DGRAM);
    maillog_line(&log, 3, "worse");
    expect_syslog(fd, "<19>", tail);
    maillog_close(&log);
    close(fd);
}

static void test_syslog_stream(void **state)
{
    struct maillog log;
    char got[400];
    int fd = daemon_at(in_folder("stream"), SOCK_STREAM);
    int far;
    ssize_t size;

    (void)state;
    maillog_open(&log, "tocsin", NULL);
    log.socket_path = path;
    maillog_line(&log, 6, "one");
    maillog_line(&log, 6, "two");
    far = accept(fd, NULL, NULL);
    size = recv(far, got, sizeof got, 0);
    assert_true(size > 10 && memcmp(got + size - 4, "two", 4) == 0);
    assert_int_equal(strcmp(got + strlen(got) - 3, "one"), 0); /* Each ends with NUL. */
    assert_int_equal(strlen(got) * 2 + 2, size);
    maillog_close(&log);
    close(far);
    close(fd);
}

/* One that does not read holds nothing up for long. */
static void test_syslog_slow(void **state)
{
    struct maillog log;
    int fd = daemon_at(in_folder("slow"), SOCK_DGRAM);
    uint64_t began_ms = posix_monotonic_ms();
    uint64_t last_ms;

    (void)state;
    maillog_open(&log, "tocsin", "syslog");
    log.socket_path = path;
    do {
        last_ms = posix_monotonic_ms();
        maillog_line(&log, 6, "nobody reads this");
    } while (posix_monotonic_ms() - last_ms < 100 && last_ms - began_ms < 5000);
    assert_in_range(posix_monotonic_ms() - last_ms, 100, 600);
    maillog_close(&log);
    close(fd);
}

static void test_off_and_bad(void **state)
{
    struct maillog log;
    char got[400];
    int kept = dup(STDERR_FILENO);
    int fd = open(in_folder("stderr"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    char file[64];

    (void)state;
    strcpy(file, path);
    dup2(fd, STDERR_FILENO);
    maillog_open(&log, "sendmail", "off");
    assert_false(log.syslog);
    maillog_line(&log, 6, "nowhere");
    log.terminal = true;
    maillog_line(&log, 6, "to a person");
    maillog_open(&log, "sendmail", in_folder("no/such/file"));
    dup2(kept, STDERR_FILENO);
    close(kept);
    close(fd);
    assert_true(log.syslog && log.fd < 0);
    slurp(file, got, sizeof got);
    assert_memory_equal(got, "sendmail: to a person\nsendmail: the log /tmp/", 44);
    assert_non_null(strstr(got, "cannot be opened (No such file or directory)"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file),          cmocka_unit_test(test_long_line),
        cmocka_unit_test(test_processes),     cmocka_unit_test(test_syslog),
        cmocka_unit_test(test_syslog_stream), cmocka_unit_test(test_syslog_slow),
        cmocka_unit_test(test_off_and_bad),
    };
    static const char *const files[] = {"file",   "long", "many",  "socket",
                                        "stream", "slow", "stderr"};
    int failed;

    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    failed = cmocka_run_group_tests_name("maillog", tests, NULL, NULL);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        unlink(in_folder(files[i]));
    }
    rmdir(folder);
    return failed;
}
