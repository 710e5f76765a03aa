/* sendmail.c - one call: a message from standard input on its way. */
#include "boards/linux/sendmail.h"

#include "boards/linux/submission.h"
#include "net/address.h"
#include "net/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <syslog.h>
#include <unistd.h>

#define SENTENCE_BYTES 1024
#define READ_BYTES 16384

static const char usage[] =
    "usage: sendmail [-t] [-i] [-f SENDER] [-F NAME] [-v] [-C FILE] [--] [RECIPIENT ...] < "
    "MESSAGE\n"
    "       sendmail -q            send what waits; -q15m: every 15 minutes\n"
    "       sendmail -bp, mailq    show what waits\n"
    "       sendmail -bs           speak SMTP on standard input\n"
    "       sendmail -bv ADDRESS   show where its mail goes\n"
    "See sendmail(8), tocsin(8) and tocsin.conf(5).\n";

static void print(int fd, const char *text)
{
    size_t size = strlen(text);

    while (size > 0) {
        ssize_t put = write(fd, text, size);

        if (put < 0 && errno != EINTR) {
            return;
        }
        text += put > 0 ? put : 0;
        size -= put > 0 ? (size_t)put : 0;
    }
}

void sendmail_say(struct sendmail *sendmail, bool log, const char *sentence)
{
    char line[SENTENCE_BYTES];
    struct text text = text_begin(line, sizeof line - 1);

    text_format(&text, "%s: ", sendmail->name);
    text_add_printable(&text, sentence, strlen(sentence));
    text_add_char(&text, '\n');
    print(STDERR_FILENO, line);
    if (log && sendmail->log.name != NULL) {
        maillog_line(&sendmail->log, LOG_WARNING, sentence);
    }
}

static void warn(void *context, const char *sentence)
{
    sendmail_say(context, true, sentence);
}

static void warn_quietly(void *context, const char *sentence)
{
    sendmail_say(context, false, sentence);
}

/* ---- a message ---- */

/* Without -i a line with a dot alone ends the message. What may be its beginning is held back. */
enum dot { DOT_LINE, DOT_DOT, DOT_CR, DOT_TEXT, DOT_END };

/* Copies what belongs to the message; out has room for size + 2. Returns how many bytes. */
static size_t until_dot(enum dot *state, const uint8_t *in, size_t size, uint8_t *out)
{
    size_t length = 0;

    for (size_t i = 0; i < size && *state != DOT_END; i++) {
        uint8_t c = in[i];

        if (*state == DOT_LINE && c == '.') {
            *state = DOT_DOT;
        } else if ((*state == DOT_DOT || *state == DOT_CR) && c == '\n') {
            *state = DOT_END;
        } else if (*state == DOT_DOT && c == '\r') {
            *state = DOT_CR;
        } else {
            if (*state == DOT_DOT || *state == DOT_CR) {
                out[length++] = '.';
            }
            if (*state == DOT_CR) {
                out[length++] = '\r';
            }
            out[length++] = c;
            *state = c == '\n' ? DOT_LINE : DOT_TEXT;
        }
    }
    return length;
}

/* All of standard input. */
static int read_message(struct sendmail *sendmail, struct submission *submission)
{
    static uint8_t bytes[READ_BYTES], text[READ_BYTES + 2];
    enum dot state = DOT_LINE;
    int error = 0;

    while (error == 0 && state != DOT_END) {
        ssize_t got = read(STDIN_FILENO, bytes, sizeof bytes);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            (void)text_print(submission->problem, sizeof submission->problem,
                             "standard input: %s; the message is not complete and is not sent",
                             strerror(errno));
            return E_IO;
        }
        if (got == 0) {
            break;
        }
        if (sendmail->options.dot_is_text) {
            error = submission_write(submission, bytes, (size_t)got);
        } else {
            error = submission_write(submission, text, until_dot(&state, bytes, (size_t)got, text));
        }
    }
    return error; /* A last line "." without its end is one as well. */
}

static int code_of(int error)
{
    switch (error) {
    case E_MISSING:
        return EX_USAGE;
    case E_SPACE:
        return EX_TEMPFAIL;
    case E_CONFIG:
        return EX_CONFIG;
    case E_INVALID:
        return EX_DATAERR;
    default:
        return EX_TEMPFAIL;
    }
}

/* What the caller is told. A mail in the queue is safe: that is a success, but not a silent one. */
static int answer(struct sendmail *sendmail, const struct submission *submission,
                  const struct mailer_outcome *outcome)
{
    char sentence[SENTENCE_BYTES];
    const char *id = submission->mail.id;

    if (outcome->own_left) {
        return EX_OK;
    }
    if (outcome->own_fails) {
        (void)text_print(
            sentence, sizeof sentence, "%s%s%s", outcome->text,
            submission->committed ? " The mail is kept as failed: see mailq; its id is " : "",
            submission->committed ? id : "");
        sendmail_say(sendmail, !submission->committed, sentence);
        return outcome->own_code == 550 || outcome->own_code == 553 ? EX_NOUSER : EX_UNAVAILABLE;
    }
    if ((outcome->busy && outcome->text[0] == '\0') ||
        (submission->committed && outcome->error == 0 && outcome->text[0] == '\0')) {
        return EX_OK; /* Another call is sending, and takes this mail as well; or it did. */
    }
    if (submission->committed) {
        (void)text_print(sentence, sizeof sentence, "%s is queued, not sent yet: %s", id,
                         outcome->text);
        sendmail_say(sendmail, false, sentence);
        return EX_OK;
    }
    (void)text_print(sentence, sizeof sentence, "not sent, and not queued: %s", outcome->text);
    sendmail_say(sendmail, true, sentence);
    return EX_TEMPFAIL;
}

/* config_error: the configuration cannot be used; the mail can only be kept. */
static int deliver(struct sendmail *sendmail, int config_error)
{
    static struct submission submission;
    const struct options *options = &sendmail->options;
    struct submission_params params = {
        .settings = &sendmail->settings,
        .spool = sendmail->have_spool ? &sendmail->spool : NULL,
        .log = &sendmail->log,
        .trace_fd = sendmail->trace_fd,
        .header_recipients = options->recipients_in_header,
        .sender = options->sender,
        .full_name = options->full_name,
        .ret = options->ret,
        .envid = options->envid,
        .warn = warn,
        .context = sendmail,
    };
    struct mailer_outcome outcome = {0};
    int error = submission_begin(&submission, &params);
    int code;

    for (size_t i = 0; i < options->rcpt_count && error >= 0; i++) {
        error = submission_rcpt(&submission, options->rcpt[i], options->notify);
    }
    error = error >= 0 ? read_message(sendmail, &submission) : error;
    error = error == 0 ? submission_commit(&submission) : error;
    if (error < 0) {
        sendmail_say(sendmail, true, submission.problem);
        code = code_of(error);
    } else if (config_error < 0 && !submission.committed) {
        sendmail_say(sendmail, true,
                     "not sent, and not queued: the configuration cannot be used, and no spool");
        code = EX_CONFIG;
    } else if (config_error < 0) {
        char sentence[SENTENCE_BYTES];

        (void)text_print(sentence, sizeof sentence,
                         "the mail is kept as %s and leaves when the configuration is mended",
                         submission.mail.id);
        sendmail_say(sendmail, true, sentence);
        code = EX_CONFIG;
    } else if (options->queue_only && submission.committed) {
        code = EX_OK;
    } else {
        submission_send(&submission, &outcome);
        code = answer(sendmail, &submission, &outcome);
    }
    submission_end(&submission);
    return code;
}

/* ---- the call ---- */

/* A file of the caller's, with the caller's rights alone. */
static int open_trace(const char *path)
{
    const int flags =
        O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK;
    gid_t group = getegid();
    int fd = -1;
    int error;

    if (setegid(getgid()) == 0) {
        fd = open(path, flags, 0600);
        error = errno;
        (void)!setegid(group);
        errno = error;
    }
    return fd;
}

static void open_places(struct sendmail *sendmail)
{
    const struct config *config = &sendmail->settings.config;
    const struct options *options = &sendmail->options;

    maillog_open(&sendmail->log, sendmail->name, config->log);
    if (options->tag != NULL) {
        (void)text_copy(sendmail->log.tag, sizeof sendmail->log.tag, options->tag);
    }
    sendmail->trace_fd = options->trace != NULL ? open_trace(options->trace)
                         : options->verbose     ? STDERR_FILENO
                                                : -1;
    if (options->trace != NULL && sendmail->trace_fd < 0) {
        char sentence[SENTENCE_BYTES];

        (void)text_print(sentence, sizeof sentence, "-X %s: %s; the dialogue is not shown",
                         options->trace, strerror(errno));
        sendmail_say(sendmail, false, sentence);
    }
    if (!config->queue && (options->mode == OPTIONS_DELIVER || options->mode == OPTIONS_SMTP)) {
        return;
    }
    sendmail->have_spool = spool_open(&sendmail->spool, config->spool) == 0;
    if (!sendmail->have_spool) {
        sendmail_say(sendmail, true, sendmail->spool.problem);
    }
}

static int act(struct sendmail *sendmail, int config_error)
{
    switch (sendmail->options.mode) {
    case OPTIONS_DELIVER:
        return deliver(sendmail, config_error);
    case OPTIONS_SMTP:
        return config_error < 0 ? EX_CONFIG : sendmail_smtp(sendmail);
    case OPTIONS_MAILQ:
        return sendmail->have_spool ? sendmail_mailq(sendmail) : EX_CANTCREAT;
    case OPTIONS_QUEUE:
    case OPTIONS_DAEMON:
        return config_error < 0        ? EX_CONFIG
               : !sendmail->have_spool ? EX_CANTCREAT
                                       : sendmail_run_queue(sendmail);
    case OPTIONS_NEWALIASES:
        return sendmail_newaliases(sendmail);
    case OPTIONS_VERIFY:
        return sendmail_verify(sendmail);
    default:
        print(STDOUT_FILENO, usage);
        return EX_OK;
    }
}

/* Nothing is sent: a mail server need not be known. */
static bool shows_only(const struct sendmail *sendmail)
{
    enum options_mode mode = sendmail->options.mode;

    return mode == OPTIONS_MAILQ || mode == OPTIONS_NEWALIASES || mode == OPTIONS_VERIFY;
}

int sendmail_main(const char *name, int argc, const char *argv[])
{
    static struct sendmail sendmail;
    const char *why = "";
    int error;
    int code;

    settings_protect();
    sendmail.name = name;
    sendmail.trace_fd = -1;
    if (options_parse(&sendmail.options, name, argc, argv, warn_quietly, &sendmail, &why) < 0) {
        sendmail_say(&sendmail, false, why);
        print(STDERR_FILENO, usage);
        return EX_USAGE;
    }
    if (sendmail.options.mode == OPTIONS_USAGE) {
        print(STDOUT_FILENO, sendmail.options.version ? "tocsin " TOCSIN_VERSION "\n" : usage);
        return EX_OK;
    }
    error = settings_load(&sendmail.settings, sendmail.options.config, warn_quietly, &sendmail);
    if (error == 0 && config_servers(&sendmail.settings.config) == 0 && !shows_only(&sendmail)) {
        char sentence[SENTENCE_BYTES];

        (void)text_print(sentence, sizeof sentence,
                         "%s: no mail server: expected mailhub = HOST:PORT",
                         sendmail.settings.path);
        sendmail_say(&sendmail, false, sentence);
        error = E_CONFIG;
    }
    if (error < 0 && (sendmail.settings.of_user || sendmail.settings.stray)) {
        return EX_CONFIG; /* Who wrote it is there to read what was said. */
    }
    open_places(&sendmail);
    code = act(&sendmail, error);
    if (sendmail.have_spool) {
        spool_close(&sendmail.spool);
    }
    maillog_close(&sendmail.log);
    explicit_bzero(&sendmail.settings.config, sizeof sendmail.settings.config);
    return code;
}
