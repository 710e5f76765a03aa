/* main.c - one executable, by the name that it is called by. */
#include "boards/linux/device.h"
#include "boards/linux/fetch.h"
#include "boards/linux/flash_tool.h"
#include "boards/linux/maillog.h"
#include "boards/linux/sendmail.h"
#include "boards/linux/serverinfo.h"
#include "boards/linux/settings.h"
#include "boards/linux/spool.h"
#include "net/text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static const char usage[] =
    "usage: tocsin [-C FILE] COMMAND ...\n"
    "    alert SEVERITY TEXT    send an alert (`-`: the text is on standard input)\n"
    "    test                   send a test mail, stage by stage\n"
    "    status                 how the device is\n"
    "    mailq [retry|drop ID]  what waits, and what failed\n"
    "    poll [ACCOUNT ...]     fetch mail by POP3 (--check, --quiet, --verbose)\n"
    "    serverinfo [HOST]      what a mail server says of itself\n"
    "    config check FILE      read a configuration as this program would\n"
    "    flash --board NAME ... flash images for boards (create, check, list, verify, extract)\n"
    "    daemon                 take syslog, send what waits, read the mailbox (-f: stay)\n"
    "    console                the device's console; other commands go there too: queue, log,\n"
    "                           mute, ack, history, config show ... (`help` lists them)\n"
    "    sendmail, newaliases   as if called by that name\n"
    "See tocsin(8).\n";

static void print(int fd, const char *text)
{
    (void)!write(fd, text, strlen(text));
}

static void say(void *context, const char *sentence)
{
    (void)context;
    print(STDERR_FILENO, sentence);
    print(STDERR_FILENO, "\n");
}

static bool is(const char *word, const char *name)
{
    return strcmp(word, name) == 0;
}

/* Nothing is wrong with that, but a person should know. */
static void tell_volatile(const struct settings *settings)
{
    const struct config *config = &settings->config;
    char sentence[sizeof config->spool + 128];

    if (config->queue && spool_path_is_volatile(config->spool)) {
        (void)text_print(sentence, sizeof sentence,
                         "tocsin: spool = %s is in memory: mail that waits there does not survive "
                         "a power cut",
                         config->spool);
        say(NULL, sentence);
    }
    if (spool_path_is_volatile(config->state)) {
        (void)text_print(sentence, sizeof sentence,
                         "tocsin: state = %s is in memory: alerts that wait there do not survive "
                         "a power cut",
                         config->state);
        say(NULL, sentence);
    }
}

static int config_check(const char *file)
{
    static struct settings settings;

    if (settings_load(&settings, file, say, NULL) < 0) {
        return EX_CONFIG;
    }
    print(STDOUT_FILENO, settings.path);
    print(STDOUT_FILENO, ": good\n");
    tell_volatile(&settings);
    return EX_OK;
}

static int poll_command(struct settings *settings, int argc, const char *argv[])
{
    struct maillog log;
    struct fetch_options options = {0};
    int names = 0;
    int code;

    for (int i = 0; i < argc; i++) {
        if (is(argv[i], "--check") || is(argv[i], "-c")) {
            options.check_only = true;
        } else if (is(argv[i], "--quiet") || is(argv[i], "-q")) {
            options.quiet = true;
        } else if (is(argv[i], "--verbose") || is(argv[i], "-v")) {
            options.verbose = true;
        } else if (argv[i][0] == '-') {
            print(STDERR_FILENO, "tocsin poll: expected --check, --quiet, --verbose or accounts\n");
            return EX_USAGE;
        } else {
            argv[names++] = argv[i];
        }
    }
    options.account = argv;
    options.account_count = (size_t)names;
    maillog_open(&log, "tocsin", settings->config.log);
    code = fetch_run(settings, &options, &log);
    maillog_close(&log);
    return code;
}

/* What any user may do with the rights of the set-group-id program; all else takes the caller's
 * own.
 */
static bool is_for_everybody(const char *name)
{
    return is(name, "alert") || is(name, "status") || is(name, "mailq");
}

static int command(const char *file, int argc, const char *argv[])
{
    static struct settings settings;
    const char *name = argv[0];
    int error;

    if (!is_for_everybody(name) && !settings_drop_rights()) {
        print(STDERR_FILENO, "tocsin: the rights of its group cannot be given up\n");
        return EX_OSERR;
    }
    if (is(name, "flash")) {
        return flash_tool(argc - 1, argv + 1);
    }
    if (is(name, "config") && argc == 3 && is(argv[1], "check")) {
        return config_check(argv[2]);
    }
    error = settings_load(&settings, file, say, NULL);
    /* A server is looked at before there is a configuration. */
    if (error < 0 && !(error == E_MISSING && file == NULL && is(name, "serverinfo"))) {
        return EX_CONFIG;
    }
    if (is(name, "mailq")) {
        return queue_tool(&settings, argc - 1, argv + 1);
    }
    if (is(name, "poll")) {
        return poll_command(&settings, argc - 1, argv + 1);
    }
    if (is(name, "serverinfo")) {
        return serverinfo_run(&settings, argc - 1, argv + 1);
    }
    if (is(name, "daemon")) {
        return device_daemon(&settings, argc > 1 && (is(argv[1], "-f") || is(argv[1], "-n")));
    }
    if (is(name, "status")) {
        tell_volatile(&settings);
    }
    return is(name, "console") ? device_console(&settings)
                               : device_words(&settings, (size_t)argc, argv);
}

/* A standard descriptor that the caller has closed would become a file of the spool or a socket,
 * with what is said to people in it. It is taken by something that can be neither read (0) nor
 * written (1, 2). */
static bool hold_standard(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 &&
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd) {
            return false;
        }
    }
    return true;
}

int main(int argc, char *argv_given[])
{
    const char **argv = (const char **)(void *)argv_given;
    const char *name = argc > 0 ? argv[0] : "tocsin";
    const char *slash = strrchr(name, '/');
    const char *file = NULL;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGCHLD, SIG_DFL); /* Ignored by a caller, it would hide how a child ended. */
    (void)signal(SIGXFSZ, SIG_IGN); /* A file that may not grow is an error like a full disk. */
    if (!hold_standard()) {
        return EX_OSERR; /* There is nowhere to say it. */
    }
    settings_protect();
    name = slash != NULL ? slash + 1 : name;
    if (is(name, "sendmail") || is(name, "mailq") || is(name, "newaliases")) {
        return sendmail_main(name, argc, argv);
    }
    argc--;
    argv++;
    if (argc >= 2 && is(argv[0], "-C")) {
        file = argv[1];
        argc -= 2;
        argv += 2;
    }
    if (argc > 0 && (is(argv[0], "sendmail") || is(argv[0], "newaliases"))) {
        return sendmail_main(argv[0], argc, argv);
    }
    if (argc > 0 && is(argv[0], "--version")) {
        print(STDOUT_FILENO, "tocsin " TOCSIN_VERSION "\n");
        return EX_OK;
    }
    if (argc <= 0 || is(argv[0], "--help") || is(argv[0], "-h")) {
        print(argc > 0 ? STDOUT_FILENO : STDERR_FILENO, usage);
        return argc > 0 ? EX_OK : EX_USAGE;
    }
    return command(file, argc, argv);
}
