#include "boards/linux/device.h"

#include "boards/linux/device_app.h"
#include "boards/linux/host.h"
#include "boards/linux/maillog.h"
#include "boards/linux/reply.h"
#include "firmware/mute.h"
#include "net/text.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define ASK_MS_MAX 30000 /* For the flash to be free, or somebody to answer. */
#define ASK_STEP_MS 20
#define ALONE_MS_MAX 3600000 /* Without total_timeout. */
#define STOP_MS_MAX 2000     /* After a signal. */
#define ELLIPSIS "\xE2\x80\xA6"

/* ---- a command without a daemon ---- */

static struct one_shot {
    jmp_buf reset; /* `config commit`, `reboot`. */
    struct reply reply;
    struct maillog log;
    bool logs;
    bool stopped;     /* By a signal; */
    uint64_t stop_ms; /* the session in hand has until then. */
} one_shot;

static void own_line(void *context, const char *line)
{
    (void)context;
    if (!one_shot.reply.ended) {
        reply_line(&one_shot.reply, line);
    }
}

/* What happens from now on; a start is no news. */
static void log_line(void *context, const char *line)
{
    (void)context;
    if (one_shot.logs) {
        maillog_line(&one_shot.log, SEVERITY_OF_LOG, device_without_time(line));
    }
}

__attribute__((noreturn)) static void ends_here(enum reset_cause why)
{
    (void)why;
    longjmp(one_shot.reset, 1);
}

static bool word_is(const char *line, const char *word)
{
    size_t length = strlen(word);

    return text_starts_nocase(line, word) && (line[length] == ' ' || line[length] == '\0');
}

/* Whether mail follows from it. */
static enum device_kind kind_of(const char *line)
{
    return word_is(line, "alert") || word_is(line, "test") || word_is(line, "poll") ||
                   word_is(line, "report send") || word_is(line, "queue retry")
               ? DEVICE_SENDS
               : DEVICE_LOOKS;
}

/* After QUIT and its answer a server may take its time to close. */
static bool is_sending(const struct app *app)
{
    return app->sender.running && app->sender.session.phase != SESSION_CLOSE;
}

static bool is_due(struct app *app)
{
    uint64_t now_ms = board.millis();
    enum sender_stage stage;

    return app_blocked(app, &stage) == NULL &&
           (app->sender.running ? queue_due_ms(&app->queue, now_ms)
                                : sender_try_ms(&app->sender)) <= now_ms;
}

/* Nothing more can be done now. */
static bool is_done(void)
{
    struct app *app = &device.app;

    if (one_shot.stopped || device.control.yield) {
        return !is_sending(app) || (one_shot.stopped && board.millis() >= one_shot.stop_ms);
    }
    return one_shot.reply.ended && device.control.pending == NULL && !is_sending(app) &&
           !app->poller.running && !app->poller.wanted && !is_due(app) &&
           !control_busy(&device.control);
}

static void step(bool waits)
{
    while (device_signal() != 0) {
        one_shot.stop_ms = one_shot.stopped ? one_shot.stop_ms : board.millis() + STOP_MS_MAX;
        one_shot.stopped = true;
        waits = false;
    }
    device_follow();
    if (control_poll(&device.control, board.millis()) || app_poll(&device.app)) {
        return;
    }
    device_wait(NULL, 0, waits ? app_sleep_ms_max(&device.app) : 0);
}

static void step_until_done(uint64_t end_ms)
{
    bool idle = false; /* Twice in a row: what one poll brought about shows in the next. */

    while (board.millis() < end_ms) {
        bool done = is_done();

        if (done && (idle || one_shot.stopped || device.control.yield)) {
            return;
        }
        idle = done;
        step(!done);
    }
}

/* Sends what is due, and serves other commands meanwhile. */
static void run_loop(void)
{
    uint32_t total_s = device.settings->config.total_timeout_s;
    uint64_t end_ms = total_s != 0 ? total_s * UINT64_C(1000) : ALONE_MS_MAX;

    step_until_done(end_ms);
    /* Who has connected by now gets his answer; who comes later finds the flash free. */
    control_shut(&device.control);
    (void)control_poll(&device.control, board.millis());
    step_until_done(end_ms);
}

/* What became of the alert, in the end. */
static void tell_outcome(void)
{
    struct reply *reply = &one_shot.reply;
    struct app *app = &device.app;
    const char *why = app->sender.last_error;
    enum sender_stage stage;
    struct queue_item item;

    if (!reply->ended) {
        reply_complain(one_shot.stopped ? "ended by a signal" : "the time for it is over");
    }
    if (!reply->ok || reply->alert == 0) {
        return;
    }
    if (!queue_find(&app->queue, reply->alert, &item)) {
        reply->code = EX_OK; /* It has left. */
        return;
    }
    if (why[0] == '\0') {
        why = app_blocked(app, &stage);
    }
    why = why == NULL ? "it is not due yet" : why;
    if (item.volatile_) {
        reply_complain("alert %u could not be sent, nor kept in %s, and is lost: %s",
                       (unsigned)reply->alert, device.path, why);
        reply->code = EX_TEMPFAIL;
    } else if (item.refused) {
        reply_complain("alert %u is kept, but not tried again before `tocsin queue retry`: %s",
                       (unsigned)reply->alert, why);
        reply->code = EX_UNAVAILABLE;
    } else {
        reply_complain("alert %u has not left, and is kept in %s: it leaves with the next command, "
                       "by `sendmail -q` or `tocsin daemon`: %s",
                       (unsigned)reply->alert, device.path, why);
        reply->code = EX_OK;
    }
}

/* line NULL: only sends what is due. */
static int run_here(struct settings *settings, const char *line)
{
    static const int ends[] = {SIGTERM, SIGINT, SIGHUP};
    uint32_t owner = flash_file_owner(&board_host.file);

    memset(&one_shot.reply, 0, sizeof one_shot.reply);
    one_shot.reply.code = EX_TEMPFAIL;
    control_init(&device.control, &device.app, false, owner);
    device.control.own_line = own_line;
    device.control.path = settings->path;
    device.control.log_line = log_line;
    device.control.settle = device_settle;
    board_host.reset = ends_here;
    if (device.kind == DEVICE_SENDS) {
        if (control_open(&device.control, settings->config.state) < 0) {
            reply_complain("%s/" CONTROL_FILE ": %s; other commands have to wait for this one",
                           settings->config.state, strerror(errno));
        }
        if (device_catch_signals(ends, sizeof ends / sizeof ends[0]) < 0) {
            reply_complain("%s", strerror(errno));
        }
    }
    if (setjmp(one_shot.reset) == 0) {
        device_start(RESET_POWER_ON);
        if (device.kind == DEVICE_SENDS) {
            maillog_open(&one_shot.log, "tocsin", settings->config.log);
            one_shot.logs = true;
        }
        if (line != NULL && word_is(line, "status")) {
            reply_line(&one_shot.reply, "daemon   none; this is what the flash tells");
        }
        if (line != NULL) {
            control_run(&device.control, line, getuid() == 0 || getuid() == owner);
        } else {
            one_shot.reply = (struct reply){.ended = true};
        }
        if (device.kind == DEVICE_SENDS || device.app.reboot_ms != 0 || !one_shot.reply.ended) {
            run_loop();
        }
    }
    tell_outcome();
    policy_flush(&device.app.policy, board.millis());
    mute_flush(&device.app);
    control_close(&device.control);
    device_end();
    flash_file_close(&board_host.file);
    if (one_shot.logs) {
        maillog_close(&one_shot.log);
    }
    return one_shot.reply.code;
}

/* ---- by whoever has the flash ---- */

/* Whether a command that may have been taken does no harm if it is given again. */
static bool may_repeat(const char *line)
{
    return !word_is(line, "config") && !word_is(line, "reboot") && !word_is(line, "crash") &&
           !word_is(line, "report");
}

static int cannot_ask(const struct settings *settings)
{
    int code = errno == EACCES || errno == EPERM ? EX_NOPERM : EX_UNAVAILABLE;

    reply_complain("%s/" CONTROL_FILE ": %s%s", settings->config.state, strerror(errno),
                   code == EX_NOPERM ? DEVICE_WHO_MAY : "");
    return code;
}

/* A test is one of the configuration that the daemon has, whatever file was named here. */
static void tell_whose(const struct settings *settings)
{
    struct reply which = {.quiet = true};
    struct stat here, there;

    if (reply_ask(&which, settings->config.state, "which") == 0 && which.ok &&
        stat(settings->path, &here) == 0 &&
        (stat(which.text, &there) < 0 || here.st_dev != there.st_dev ||
         here.st_ino != there.st_ino)) {
        reply_complain("the daemon answers, by its own configuration: %s", which.text);
    }
}

int device_command(struct settings *settings, const char *line)
{
    const struct timespec pause = {.tv_nsec = ASK_STEP_MS * 1000000L};
    uint64_t end_ms = posix_monotonic_ms() + ASK_MS_MAX;
    struct reply reply;

    (void)signal(SIGPIPE, SIG_IGN);
    line += strspn(line, " \t");
    if (word_is(line, "test")) {
        tell_whose(settings);
    }
    do {
        int error;
        int code;

        memset(&reply, 0, sizeof reply);
        error = reply_ask(&reply, settings->config.state, line);
        if (error == 0 || reply.alert != 0) {
            return error == 0 ? reply.code : EX_OK; /* An alert that got its number is kept. */
        }
        if (error == E_IO && errno != ENOENT) {
            return cannot_ask(settings);
        }
        if (error == E_TRANSIENT && (reply.begun || !may_repeat(line))) {
            reply_complain("the daemon ended before it had answered");
            return EX_TEMPFAIL;
        }
        /* Nobody, or one that ended before it had answered: perhaps it was not even read. */
        code = device_take(settings, kind_of(line), 0);
        if (code == EX_OK) {
            return run_here(settings, line);
        }
        if (code != EX_TEMPFAIL) {
            return code;
        }
        (void)nanosleep(&pause, NULL);
    } while (posix_monotonic_ms() < end_ms);
    reply_complain("%s, and does not answer", board_host.file.problem);
    return EX_TEMPFAIL;
}

static bool nobody_listens(const char *state)
{
    int fd = control_connect(state);

    if (fd >= 0) {
        (void)close(fd);
    }
    return fd == E_MISSING;
}

void device_flush(struct settings *settings)
{
    char path[sizeof settings->config.state + 16];

    (void)signal(SIGPIPE, SIG_IGN);
    (void)text_print(path, sizeof path, "%s/" DEVICE_FLASH_FILE, settings->config.state);
    if (access(path, R_OK | W_OK) == 0 && nobody_listens(settings->config.state) &&
        device_take(settings, DEVICE_SENDS, 0) == EX_OK) {
        (void)run_here(settings, NULL);
    }
}

/* ---- words ---- */

/* A line is one: what would end it, or steer a terminal, becomes a blank. */
static void add_word(struct text *text, const char *bytes, size_t size)
{
    text_add_printable(text, bytes, size);
}

static bool add_input(struct text *text)
{
    char bytes[1024];
    size_t fill = 0;
    ssize_t got;

    /* All of it is read, so that who writes it is not stopped by a closed pipe. */
    while ((got = read(STDIN_FILENO, bytes + fill, sizeof bytes - fill)) != 0) {
        if (got < 0 && errno != EINTR) {
            return false;
        }
        fill += got > 0 ? (size_t)got : 0;
        if (fill == sizeof bytes) {
            fill -= 4; /* Not in the middle of a character: what is cut here is cut anyway. */
            add_word(text, bytes, fill);
            memmove(bytes, bytes + fill, 4);
            fill = 4;
        }
    }
    while (fill > 0 && (bytes[fill - 1] == '\n' || bytes[fill - 1] == '\r')) {
        fill--;
    }
    add_word(text, bytes, fill);
    return true;
}

int device_words(struct settings *settings, size_t count, const char *const words[])
{
    char line[CONTROL_LINE_BYTES];
    struct text text = text_begin(line, sizeof line);
    bool alert = count > 2 && text_equal_nocase(words[0], "alert");
    size_t begin = 0;

    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            text_add_char(&text, ' ');
        }
        begin = i == 2 ? text.length : begin;
        if (alert && i == 2 && count == 3 && strcmp(words[i], "-") == 0) {
            if (!add_input(&text)) {
                reply_complain("standard input: %s", strerror(errno));
                return EX_NOINPUT;
            }
        } else {
            add_word(&text, words[i], strlen(words[i]));
        }
    }
    if (alert && (text.cut || text.length - begin > ALERT_TEXT_BYTES - 1)) {
        char short_text[ALERT_TEXT_BYTES - (sizeof ELLIPSIS - 1)];
        struct text cut = text_begin(short_text, sizeof short_text);

        text_add_printable(&cut, line + begin, text.length - begin);
        text = text_begin(line + begin, sizeof line - begin);
        text_add_bytes(&text, short_text, cut.length);
        text_add(&text, ELLIPSIS);
    } else if (text.cut) {
        reply_complain("the command is too long");
        return EX_USAGE;
    }
    return device_command(settings, line);
}

int device_console(struct settings *settings)
{
    int error = reply_console(settings->config.state);

    if (error == E_MISSING || (error == E_IO && errno == ENOENT)) {
        reply_complain("no daemon is running: start `tocsin daemon`, or give a command at once, as "
                       "in `tocsin status`");
        return EX_UNAVAILABLE;
    }
    return error < 0 ? cannot_ask(settings) : EX_OK;
}
