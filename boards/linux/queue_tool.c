/* queue_tool.c - what a person does with the queue: mailq, -q, newaliases, -bv. */
#include "boards/linux/sendmail.h"

#include "boards/linux/device.h"
#include "boards/linux/users.h"
#include "net/address.h"
#include "net/posix/link_posix.h"
#include "net/text.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 1024
#define FLUSH_STEP_MS 50

static void print(const char *line)
{
    size_t size = strlen(line);

    while (size > 0) {
        ssize_t put = write(STDOUT_FILENO, line, size);

        if (put < 0 && errno != EINTR) {
            return;
        }
        line += put > 0 ? put : 0;
        size -= put > 0 ? (size_t)put : 0;
    }
}

static void print_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void print_line(const char *format, ...)
{
    char line[LINE_BYTES];
    struct text text = text_begin(line, sizeof line - 1);
    va_list list;

    va_start(list, format);
    text_format_list(&text, format, list);
    va_end(list);
    line[text.length] = '\n';
    line[text.length + 1] = '\0';
    print(line);
}

/* ---- mailq ---- */

static void show_time(struct text *text, uint64_t unix_ms)
{
    time_t at = (time_t)(unix_ms / 1000);
    struct tm local;
    int32_t zone = localtime_r(&at, &local) == NULL ? 0 : (int32_t)(local.tm_gmtoff / 60);

    text_add_time(text, (uint64_t)at, zone);
}

static void show_mail(const struct spool_mail *mail, bool failed)
{
    char line[LINE_BYTES];
    struct text text = text_begin(line, sizeof line);

    text_format(&text, "%s  %u bytes  queued ", mail->id, (unsigned)mail->size_bytes);
    show_time(&text, mail->queued_unix_ms);
    text_format(&text, "  tries %u", (unsigned)mail->attempts);
    if (!failed && mail->due_unix_ms > posix_unix_ms()) {
        text_add(&text, "  next ");
        show_time(&text, mail->due_unix_ms);
    }
    print_line("%s", line);
    text = text_begin(line, sizeof line);
    text_add(&text, "    from <");
    text_add_printable(&text, mail->from, strlen(mail->from));
    text_format(&text, "> by %s", mail->sender_name != NULL ? mail->sender_name : "?");
    print_line("%s", line);
    for (size_t i = 0; i < mail->rcpt_count; i++) {
        const struct spool_rcpt *rcpt = &mail->rcpt[i];

        text = text_begin(line, sizeof line);
        text_add(&text, "    to <");
        text_add_printable(&text, rcpt->address, strlen(rcpt->address));
        text_add(&text, rcpt->state == SPOOL_SENT      ? "> sent"
                        : rcpt->state == SPOOL_REFUSED ? "> refused"
                                                       : ">");
        if (rcpt->reason != NULL && rcpt->state != SPOOL_SENT &&
            strcmp(rcpt->reason, mail->reason) != 0) {
            text_add(&text, ": ");
            text_add_printable(&text, rcpt->reason, strlen(rcpt->reason));
        }
        print_line("%s", line);
    }
    if (mail->reason[0] != '\0') {
        text = text_begin(line, sizeof line);
        text_add_printable(&text, mail->reason, strlen(mail->reason));
        print_line("    (%s)", line);
    }
}

/* Returns how many there are. */
static int show_folder(struct spool *spool, bool failed)
{
    char(*ids)[SPOOL_ID_BYTES] = NULL;
    int count = spool_list(spool, failed, &ids);

    for (int i = 0; i < count; i++) {
        struct spool_mail mail;

        if (spool_load(spool, failed, ids[i], &mail) < 0) {
            print_line("%s  cannot be read: %s", ids[i], spool->problem);
            continue;
        }
        show_mail(&mail, failed);
        spool_mail_free(&mail);
    }
    free(ids);
    return count > 0 ? count : 0;
}

static int mailq(struct spool *spool)
{
    int waiting = show_folder(spool, false);
    char(*ids)[SPOOL_ID_BYTES] = NULL;
    int failed = spool_list(spool, true, &ids);

    free(ids);
    if (failed > 0) {
        print_line("Failed, kept for you (tocsin mailq retry ID, or drop ID):");
        (void)show_folder(spool, true);
    }
    if (waiting > 0 && spool_is_volatile(spool)) {
        print_line("%s is in memory: what waits does not survive a power cut", spool->path);
    }
    if (waiting == 0 && failed <= 0) {
        print_line("Mail queue is empty");
    } else {
        print_line("%u waiting, %u failed", (unsigned)waiting, (unsigned)(failed > 0 ? failed : 0));
    }
    return EX_OK;
}

int sendmail_mailq(struct sendmail *sendmail)
{
    return mailq(&sendmail->spool);
}

/* A mail is its sender's, and the administrator's. Anybody's in a spool that the caller owns. */
static bool may_change(struct spool *spool, const struct settings *settings, const char *id)
{
    struct spool_mail mail;
    bool may = getuid() == 0 || settings->of_user;

    for (unsigned failed = 0; failed < 2 && !may; failed++) {
        if (spool_load(spool, failed != 0, id, &mail) >= 0) {
            may = mail.sender_name != NULL && strcmp(mail.sender_name, settings->user) == 0;
            spool_mail_free(&mail);
        }
    }
    return may;
}

/* One id, or all of a folder. */
static int change(struct spool *spool, const struct settings *settings, bool retry, const char *id)
{
    bool all = strcmp(id, "all") == 0;
    char(*ids)[SPOOL_ID_BYTES] = NULL;
    int count = all ? spool_list(spool, true, &ids) : 1;
    unsigned changed = 0;
    int error = 0;

    for (int i = 0; i < count && error == 0; i++) {
        const char *one = all ? ids[i] : id;

        if (!may_change(spool, settings, one)) {
            print_line("mailq: %s is not yours", one);
            continue;
        }
        changed++;
        error = retry ? spool_retry(spool, one) : spool_drop(spool, true, one);
        if (error == E_MISSING && !retry) {
            error = spool_drop(spool, false, one);
        }
    }
    free(ids);
    if (error < 0) {
        print_line("mailq: %s", spool->problem);
        return EX_DATAERR;
    }
    print_line("%u %s", changed, retry ? "back in the queue; sendmail -q sends it now" : "dropped");
    return changed > 0 || all ? EX_OK : EX_NOPERM;
}

int queue_tool(struct settings *settings, int argc, const char *const argv[])
{
    static struct spool spool;
    int code = EX_USAGE;

    if (spool_open(&spool, settings->config.spool) < 0) {
        print_line("mailq: %s", spool.problem);
        return EX_CANTCREAT;
    }
    if (argc == 0) {
        code = mailq(&spool);
    } else if (argc == 2 && (strcmp(argv[0], "retry") == 0 || strcmp(argv[0], "drop") == 0)) {
        code = change(&spool, settings, argv[0][0] == 'r', argv[1]);
    } else {
        print("usage: tocsin mailq [retry ID|all | drop ID|all]\n");
    }
    spool_close(&spool);
    return code;
}

/* ---- -q ---- */

static volatile sig_atomic_t ended;

static void on_end(int signal)
{
    (void)signal;
    ended = 1;
}

static void sleep_s(uint32_t seconds)
{
    struct timespec rest = {(time_t)seconds, 0};

    while (!ended && nanosleep(&rest, &rest) < 0 && errno == EINTR) {
    }
}

/* Alerts that commands had to leave behind. In a process of its own: signals and descriptors are
 * others there, and what goes wrong in it does not end the queue runner. */
static void flush_alerts(struct settings *settings)
{
    static const struct timespec pause = {.tv_nsec = FLUSH_STEP_MS * 1000000L};
    pid_t pid = fork();

    if (pid == 0) {
        device_flush(settings);
        _exit(EX_OK);
    }
    while (pid > 0 && waitpid(pid, NULL, WNOHANG) == 0) {
        if (ended) {
            (void)kill(pid, SIGTERM); /* More than once: it may not have been ready for it. */
        }
        (void)nanosleep(&pause, NULL);
    }
}

int sendmail_run_queue(struct sendmail *sendmail)
{
    struct mailer_params params = {&sendmail->settings, &sendmail->spool, &sendmail->log,
                                   sendmail->trace_fd};
    const struct sigaction action = {.sa_handler = on_end};
    struct mailer_outcome outcome;

    if (sendmail->options.interval_s == 0) {
        mailer_run(&params, MAILER_ALL, NULL, &outcome);
        if ((outcome.error != 0 || outcome.busy) && outcome.text[0] != '\0') {
            sendmail_say(sendmail, false, outcome.text);
        }
        device_flush(&sendmail->settings);
        return outcome.error == 0 && !(outcome.busy && outcome.text[0] != '\0') ? EX_OK
                                                                                : EX_TEMPFAIL;
    }
    if (!sendmail->options.verbose && daemon(0, 0) < 0) {
        sendmail_say(sendmail, false, "cannot go into the background");
        return EX_OSERR;
    }
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    while (!ended) {
        mailer_run(&params, MAILER_DUE, NULL, &outcome);
        if (!ended) {
            flush_alerts(&sendmail->settings);
        }
        sleep_s(sendmail->options.interval_s);
    }
    return EX_OK;
}

/* ---- addresses ---- */

static void warn(void *context, const char *sentence)
{
    sendmail_say(context, false, sentence);
}

static void users_of(struct sendmail *sendmail, struct users_params *users, const char **root)
{
    const struct config *config = &sendmail->settings.config;

    *users = (struct users_params){
        .aliases = config->aliases,
        .revaliases = config->revaliases,
        .root = root,
        .root_count = config_to(config, root, CONFIG_TO_MAX),
        .min_user_id = config->min_user_id,
        .domain = sendmail->settings.domain,
        .warn = warn,
        .context = sendmail,
    };
}

int sendmail_newaliases(struct sendmail *sendmail)
{
    const char *root[CONFIG_TO_MAX];
    struct users_params users;
    int count;

    users_of(sendmail, &users, root);
    count = users_check(&users);
    if (count < 0) {
        return EX_DATAERR;
    }
    print_line("%s: %u aliases; they count at once, there is no database", users.aliases,
               (unsigned)count);
    return EX_OK;
}

static void show_mailbox(void *context, const char *address)
{
    print_line("%s -> %s", (const char *)context, address);
}

struct verifying {
    struct users_params users;
    bool bad;
};

static void verify_address(void *context, const char *address)
{
    struct verifying *verifying = context;

    verifying->bad |=
        users_expand(&verifying->users, address, show_mailbox, (void *)(uintptr_t)address) < 0;
}

int sendmail_verify(struct sendmail *sendmail)
{
    const char *root[CONFIG_TO_MAX];
    struct verifying verifying = {.bad = false};

    users_of(sendmail, &verifying.users, root);
    for (size_t i = 0; i < sendmail->options.rcpt_count; i++) {
        struct address_list list;

        address_list_init(&list, verify_address, &verifying);
        address_list_push(&list, sendmail->options.rcpt[i], strlen(sendmail->options.rcpt[i]));
        if (address_list_end(&list) > 0 || verifying.bad) {
            print_line("%s: not an address", sendmail->options.rcpt[i]);
            verifying.bad = true;
        }
    }
    return verifying.bad ? EX_DATAERR : EX_OK;
}
