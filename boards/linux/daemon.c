/* daemon.c - `tocsin daemon`: the app for as long as the system runs, with its syslog port and its
 * children. */
#include "boards/linux/children.h"
#include "boards/linux/device.h"
#include "boards/linux/device_app.h"
#include "boards/linux/host.h"
#include "boards/linux/maillog.h"
#include "boards/linux/reply.h"
#include "firmware/mute.h"
#include "net/text.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define TAKE_MS_MAX 60000       /* For a command that has the flash to end. */
#define STOP_MS_MAX 5000        /* For a mail that is being sent at the end. */
#define RELOAD_MS_MAX 60000     /* ... and before the configuration is read again. */
#define DATAGRAM_BYTES 8192     /* RFC 5426 3.1 asks for 2,048. */
#define DATAGRAMS_MAX 64        /* Taken in a row. */
#define RECEIVE_BYTES (1 << 20) /* What may wait while a mail is being written to the disk. */
#define PID_FILE "/run/tocsin.pid"

static struct daemon {
    struct children children;
    struct maillog log;
    int waiting;          /* The first process does, at the other end; -1: none. */
    int syslog;           /* -1: no port. */
    uint16_t syslog_port; /* What it is bound to; 0: nothing. */
    char syslog_address[CONFIG_HOST_BYTES];
    uint64_t stop_ms;   /* When to end whatever is under way; 0: not asked to. */
    uint64_t reload_ms; /* When to read the configuration again at the latest; 0: not asked to. */
    enum reset_cause cause;
    bool pid_written;
    char self[24]; /* "tocsin[123]" */
    jmp_buf reset;
    struct settings fresh;
} this_one;

static void log_line(void *context, const char *line)
{
    (void)context;
    maillog_line(&this_one.log, SEVERITY_OF_LOG, device_without_time(line));
}

/* What did not come from the app also goes to its own log. */
static void say(void *context, const char *sentence)
{
    (void)context;
    app_log(&device.app, "%s", sentence);
}

/* ---- syslog ---- */

static void open_syslog(void)
{
    const struct config *config = &device.app.config;
    const char *address = device.settings->config.syslog_listen;
    int bytes = RECEIVE_BYTES;

    if (config->syslog_port == this_one.syslog_port &&
        strcmp(address, this_one.syslog_address) == 0) {
        return; /* With what has come and was not read. */
    }
    if (this_one.syslog >= 0) {
        (void)close(this_one.syslog);
        this_one.syslog = -1;
    }
    this_one.syslog_port = 0;
    if (config->syslog_port == 0) {
        return;
    }
    this_one.syslog =
        posix_udp_listen(strcmp(address, "*") == 0 ? NULL : address, config->syslog_port);
    if (this_one.syslog < 0) {
        app_log(&device.app, "syslog: port %u of %s cannot be opened: %s; see `syslog_port`",
                (unsigned)config->syslog_port, address, strerror(errno));
        return;
    }
    this_one.syslog_port = config->syslog_port;
    (void)text_copy(this_one.syslog_address, sizeof this_one.syslog_address, address);
    (void)setsockopt(this_one.syslog, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
}

/* 0 for IPv6, which an alert has no room for: its host name tells. */
static uint32_t sender_of(const struct sockaddr_storage *from)
{
    if (from->ss_family == AF_INET) {
        return ((const struct sockaddr_in *)(const void *)from)->sin_addr.s_addr;
    }
    if (from->ss_family == AF_INET6) {
        const struct in6_addr *in6 = &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;
        uint32_t mapped;

        memcpy(&mapped, in6->s6_addr + 12, sizeof mapped);
        return IN6_IS_ADDR_V4MAPPED(in6) ? mapped : 0;
    }
    return 0;
}

/* What this process logs must not come back as an alert, whose mail is logged, and so on. */
static bool is_own(const char *bytes, size_t size)
{
    return memmem(bytes, size, this_one.self, strlen(this_one.self)) != NULL;
}

static bool take_datagrams(void)
{
    char bytes[DATAGRAM_BYTES];
    bool any = false;

    for (unsigned i = 0; this_one.syslog >= 0 && i < DATAGRAMS_MAX; i++) {
        struct sockaddr_storage from = {.ss_family = AF_UNSPEC};
        socklen_t from_size = sizeof from;
        ssize_t got = recvfrom(this_one.syslog, bytes, sizeof bytes, MSG_DONTWAIT,
                               (struct sockaddr *)(void *)&from, &from_size);

        if (got < 0) {
            break;
        }
        any = true;
        if (!is_own(bytes, (size_t)got)) {
            app_datagram(&device.app, bytes, (size_t)got, sender_of(&from));
        }
    }
    return any;
}

/* ---- the main loop ---- */

__attribute__((noreturn)) static void reset(enum reset_cause why)
{
    (void)why;
    longjmp(this_one.reset, 1);
}

static bool in_session(void)
{
    return device.app.sender.running || device.app.poller.running;
}

/* A configuration that cannot be used changes nothing. */
static void reload(void)
{
    struct settings *settings = device.settings;

    this_one.reload_ms = 0;
    if (settings_load(&this_one.fresh, settings->path, say, NULL) < 0) {
        say(NULL, "the configuration is not taken: what was in force still is");
        return;
    }
    if (strcmp(this_one.fresh.config.state, settings->config.state) != 0) {
        say(NULL, "`state` has changed: that needs a new start");
        (void)text_copy(this_one.fresh.config.state, sizeof this_one.fresh.config.state,
                        settings->config.state);
    }
    *settings = this_one.fresh;
    explicit_bzero(&this_one.fresh, sizeof this_one.fresh);
    policy_flush(&device.app.policy, board.millis());
    mute_flush(&device.app);
    device.reloads = true;
    reset(RESET_COMMAND);
}

/* True: one came. */
static bool take_signals(void)
{
    uint64_t now_ms = posix_monotonic_ms();
    bool any = false;
    int number;

    while ((number = device_signal()) != 0) {
        any = true;
        if (number == SIGHUP && this_one.reload_ms == 0) {
            this_one.reload_ms = now_ms + RELOAD_MS_MAX;
        } else if ((number == SIGTERM || number == SIGINT) && this_one.stop_ms == 0) {
            this_one.stop_ms = now_ms + STOP_MS_MAX;
        }
    }
    if (this_one.reload_ms != 0 && (!in_session() || now_ms >= this_one.reload_ms)) {
        reload();
    }
    return any;
}

static bool has_ended(void)
{
    return this_one.stop_ms != 0 && (!in_session() || posix_monotonic_ms() >= this_one.stop_ms);
}

/* Two sessions with one mailbox lock each other out. */
static bool hold_mailbox(void)
{
    uint64_t *next_ms = &device.app.poller.next_ms;

    if (children_run(&this_one.children, CHILD_FETCH) && *next_ms < board.millis() + 1000) {
        *next_ms = board.millis() + 1000;
    }
    return device.app.poller.running;
}

static void step(void)
{
    uint64_t now_ms = posix_monotonic_ms();
    struct pollfd more[4];
    size_t count;
    uint32_t timeout_ms;
    bool moved = take_signals();

    device_follow();
    children_poll(&this_one.children, now_ms, hold_mailbox());
    moved |= control_poll(&device.control, board.millis());
    moved |= take_datagrams();
    moved |= app_poll(&device.app);
    if (moved) {
        (void)flash_file_write(&board_host.file); /* What was taken survives this process. */
        return;
    }
    timeout_ms = app_sleep_ms_max(&device.app);
    count = children_wants(&this_one.children, more, now_ms, &timeout_ms);
    if (this_one.syslog >= 0) {
        more[count++] = (struct pollfd){.fd = this_one.syslog, .events = POLLIN};
    }
    device_wait(more, count, timeout_ms);
}

/* It stands: the terminal goes, and the one that waits for it. */
static void let_go(void)
{
    int null;
    const uint8_t good = EX_OK;

    if (this_one.waiting < 0) {
        return;
    }
    null = open("/dev/null", O_RDWR);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO && null >= 0; fd++) {
        (void)dup2(null, fd);
    }
    if (null > STDERR_FILENO) {
        (void)close(null);
    }
    (void)!write(this_one.waiting, &good, 1);
    (void)close(this_one.waiting);
    this_one.waiting = -1;
}

static void on_crash(int number)
{
    flash_file_crashed(&board_host.file, number);
    (void)raise(number); /* The handler is not in force any more. */
}

/* Nobody else's handlers are replaced: a sanitizer has its own. */
static void catch_crashes(void)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    const struct sigaction action = {.sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND};
    struct sigaction before;

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL) {
            (void)sigaction(numbers[i], &action, NULL);
        }
    }
}

/* How the process before this one ended. */
static enum reset_cause last_end(void)
{
    int number = flash_file_crash(&board_host.file);

    if (number == 0) {
        return RESET_POWER_ON;
    }
    (void)text_print(board_host.detail, sizeof board_host.detail, "signal %u", (unsigned)number);
    return RESET_FAULT;
}

/* Until it is told to end; a reset begins again, with the same flash and the same clients' door. */
static void run(void)
{
    this_one.cause = last_end();
    if (setjmp(this_one.reset) != 0) {
        control_close_clients(&device.control);
        device_end();
        this_one.cause = RESET_COMMAND;
        board_host.detail[0] = '\0';
    }
    device_start(this_one.cause);
    device.reloads = false;
    open_syslog();
    let_go();
    children_init(&this_one.children, device.settings, posix_monotonic_ms());
    while (!has_ended()) {
        step();
    }
}

/* ---- beginning and end ---- */

static void write_pid(void)
{
    char line[16];
    size_t size = text_print(line, sizeof line, "%u\n", (unsigned)getpid());
    int fd = open(PID_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);

    if (fd >= 0) {
        this_one.pid_written = write(fd, line, size) == (ssize_t)size;
        (void)close(fd);
    }
}

static int begin(struct settings *settings)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
    int code = device_take(settings, DEVICE_DAEMON, TAKE_MS_MAX);

    if (code != EX_OK) {
        return code;
    }
    control_init(&device.control, &device.app, true, flash_file_owner(&board_host.file));
    device.control.log_line = log_line;
    device.control.path = settings->path;
    device.control.settle = device_settle;
    this_one.children.log = say;
    this_one.syslog = -1;
    board_host.reset = reset;
    if (control_open(&device.control, settings->config.state) < 0) {
        reply_complain("%s/" CONTROL_FILE ": %s", settings->config.state, strerror(errno));
        return EX_CANTCREAT;
    }
    if (device_catch_signals(numbers, sizeof numbers / sizeof numbers[0]) < 0) {
        reply_complain("%s", strerror(errno));
        return EX_OSERR;
    }
    (void)text_print(this_one.self, sizeof this_one.self, "tocsin[%u]", (unsigned)getpid());
    return EX_OK;
}

static void end(void)
{
    bool over = false;

    control_shut(&device.control);
    policy_flush(&device.app.policy, board.millis());
    mute_flush(&device.app);
    control_close(&device.control);
    device_end();
    flash_file_close(&board_host.file);
    /* A mail of the spool that is being sent has as long as one of the device's own. */
    while (children_stop(&this_one.children, over) && !over) {
        const struct timespec step_ = {.tv_nsec = 50000000};

        over = posix_monotonic_ms() >= this_one.stop_ms;
        (void)nanosleep(&step_, NULL);
    }
    (void)children_stop(&this_one.children, true);
    if (this_one.pid_written) {
        (void)unlink(PID_FILE);
    }
    maillog_line(&this_one.log, SEVERITY_OF_LOG, "ended");
    maillog_close(&this_one.log);
}

/* Becomes a process of its own. Returns the end of a pipe at which the first one waits for an exit
 * code, or -1 in the first one, with the code. */
static int leave_terminal(int *code)
{
    int ends[2];
    uint8_t answer = EX_OSERR;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
        reply_complain("%s", strerror(errno));
        *code = EX_OSERR;
        return -1;
    }
    if (pid != 0) {
        (void)close(ends[1]);
        while (read(ends[0], &answer, 1) < 0 && errno == EINTR) {
        }
        *code = answer;
        return -1;
    }
    (void)close(ends[0]);
    (void)setsid();
    if (fork() != 0) { /* Not the session's leader: it never gets a terminal again. */
        _exit(0);
    }
    return ends[1];
}

int device_daemon(struct settings *settings, bool foreground)
{
    int waiting = -1;
    int code = EX_OK;

    if (!foreground) {
        waiting = leave_terminal(&code);
        if (waiting < 0) {
            return code;
        }
    }
    code = begin(settings);
    if (code != EX_OK) {
        const uint8_t answer = (uint8_t)code;

        if (waiting >= 0) {
            (void)!write(waiting, &answer, 1);
        }
        return code;
    }
    maillog_open(&this_one.log, "tocsin", settings->config.log);
    this_one.log.terminal = foreground && isatty(STDERR_FILENO);
    catch_crashes();
    write_pid();
    this_one.waiting = waiting;
    run();
    end();
    return EX_OK;
}
