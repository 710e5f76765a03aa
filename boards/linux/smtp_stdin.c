/* smtp_stdin.c - `sendmail -bs`: SMTP on standard input and output, each mail queued before its
 * 250. */
#include "boards/linux/sendmail.h"

#include "boards/linux/submission.h"
#include "net/smtpd.h"
#include "net/text.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define READ_BYTES 8192
#define REPLY_BYTES 700

struct dialogue {
    struct sendmail *sendmail;
    struct smtpd smtpd;
    struct submission submission;
    bool begun;  /* submission is. */
    bool broken; /* Nobody reads what we say. */
    char from[ADDRESS_BYTES], ret[16], envid[128], notify[64];
};

static void warn(void *context, const char *sentence)
{
    sendmail_say(context, true, sentence);
}

static void forget(struct dialogue *dialogue)
{
    if (dialogue->begun) {
        submission_end(&dialogue->submission);
    }
    dialogue->begun = false;
}

static void copy_parameter(const struct dialogue *dialogue, const char *name, char *out,
                           size_t size)
{
    const char *value = smtpd_parameter(&dialogue->smtpd, name);

    (void)text_copy(out, size, value != NULL ? value : "");
}

static void reply_problem(struct dialogue *dialogue, int error)
{
    char reply[REPLY_BYTES];
    const char *code = error == E_INVALID || error == E_MISSING ? "554 5.5.1" : "451 4.3.0";

    (void)text_print(reply, sizeof reply, "%s %s", code, dialogue->submission.problem);
    smtpd_reply(&dialogue->smtpd, reply);
}

static void take_mail(struct dialogue *dialogue)
{
    struct sendmail *sendmail = dialogue->sendmail;
    struct submission_params params = {
        .settings = &sendmail->settings,
        .spool = sendmail->have_spool ? &sendmail->spool : NULL,
        .log = &sendmail->log,
        .trace_fd = sendmail->trace_fd,
        .sender = dialogue->from,
        .ret = dialogue->ret,
        .envid = dialogue->envid,
        .warn = warn,
        .context = sendmail,
    };
    int error;

    forget(dialogue);
    (void)text_copy(dialogue->from, sizeof dialogue->from, smtpd_address(&dialogue->smtpd));
    copy_parameter(dialogue, "RET", dialogue->ret, sizeof dialogue->ret);
    copy_parameter(dialogue, "ENVID", dialogue->envid, sizeof dialogue->envid);
    params.ret = dialogue->ret[0] != '\0' ? dialogue->ret : NULL;
    params.envid = dialogue->envid[0] != '\0' ? dialogue->envid : NULL;
    error = submission_begin(&dialogue->submission, &params);
    dialogue->begun = true;
    if (error < 0) {
        reply_problem(dialogue, error);
        forget(dialogue);
    } else {
        smtpd_reply(&dialogue->smtpd, "250 2.1.0 Ok");
    }
}

static void take_rcpt(struct dialogue *dialogue)
{
    int added;

    copy_parameter(dialogue, "NOTIFY", dialogue->notify, sizeof dialogue->notify);
    added = submission_rcpt(&dialogue->submission, smtpd_address(&dialogue->smtpd),
                            dialogue->notify[0] != '\0' ? dialogue->notify : NULL);
    smtpd_reply(&dialogue->smtpd, added >= 0 && dialogue->submission.error == 0
                                      ? "250 2.1.5 Ok"
                                      : "553 5.1.3 Not an address");
}

static void take_body(struct dialogue *dialogue)
{
    const uint8_t *bytes;
    size_t size;

    while ((bytes = smtpd_body_buf(&dialogue->smtpd, &size)) != NULL && size > 0) {
        if (dialogue->submission.error == 0) {
            (void)!submission_write(&dialogue->submission, bytes, size);
        }
        smtpd_body_ack(&dialogue->smtpd, size);
    }
}

static void flush(struct dialogue *dialogue)
{
    const uint8_t *bytes;
    size_t size;

    while ((bytes = smtpd_tx_buf(&dialogue->smtpd, &size)) != NULL && size > 0) {
        ssize_t put = dialogue->broken ? (ssize_t)size : write(STDOUT_FILENO, bytes, size);

        if (put < 0 && errno != EINTR) {
            dialogue->broken = true;
        }
        smtpd_tx_ack(&dialogue->smtpd, put > 0 ? (size_t)put : 0);
    }
}

/* A queued mail has its 250 before it is sent; without a queue the server's word is the reply. */
static void end_mail(struct dialogue *dialogue)
{
    struct mailer_outcome outcome = {0};
    char reply[REPLY_BYTES];
    int error = dialogue->submission.error;

    error = error == 0 ? submission_commit(&dialogue->submission) : error;
    if (error < 0) {
        reply_problem(dialogue, error);
    } else if (dialogue->submission.committed) {
        (void)text_print(reply, sizeof reply, "250 2.0.0 %s queued", dialogue->submission.mail.id);
        smtpd_reply(&dialogue->smtpd, reply);
        flush(dialogue);
        submission_send(&dialogue->submission, &outcome);
    } else {
        submission_send(&dialogue->submission, &outcome);
        (void)text_print(reply, sizeof reply, "%s %s",
                         outcome.own_left    ? "250 2.0.0"
                         : outcome.own_fails ? "554 5.0.0"
                                             : "451 4.4.0",
                         outcome.own_left ? "sent" : outcome.text);
        smtpd_reply(&dialogue->smtpd, reply);
    }
    forget(dialogue);
}

/* True: the dialogue is over. */
static bool take_event(struct dialogue *dialogue)
{
    enum smtpd_event event = smtpd_event(&dialogue->smtpd);

    switch (event) {
    case SMTPD_MAIL:
        take_mail(dialogue);
        break;
    case SMTPD_RCPT:
        take_rcpt(dialogue);
        break;
    case SMTPD_END:
        end_mail(dialogue);
        break;
    case SMTPD_RESET:
        forget(dialogue);
        smtpd_next(&dialogue->smtpd);
        break;
    case SMTPD_DATA:
    case SMTPD_QUIT:
        smtpd_next(&dialogue->smtpd);
        break;
    case SMTPD_NONE:
        break;
    }
    return event == SMTPD_QUIT;
}

/* More of the client's bytes; 0: there are no more, or none for too long. */
static size_t read_some(uint8_t *bytes, size_t size)
{
    struct pollfd ready = {.fd = STDIN_FILENO, .events = POLLIN};
    ssize_t got;

    do {
        got = poll(&ready, 1, SMTPD_TIMEOUT_MS) == 0 ? 0 : read(STDIN_FILENO, bytes, size);
    } while (got < 0 && errno == EINTR);
    return got > 0 ? (size_t)got : 0;
}

int sendmail_smtp(struct sendmail *sendmail)
{
    static struct dialogue dialogue;
    static uint8_t bytes[READ_BYTES];
    bool over = false;

    dialogue.sendmail = sendmail;
    smtpd_init(&dialogue.smtpd, sendmail->settings.host, 0);
    flush(&dialogue);
    while (!over) {
        size_t size = read_some(bytes, sizeof bytes);
        size_t at = 0;

        if (size == 0) {
            smtpd_eof(&dialogue.smtpd);
            over = true;
        }
        do {
            at += smtpd_push(&dialogue.smtpd, bytes + at, size - at);
            take_body(&dialogue);
            over = take_event(&dialogue) || over;
            flush(&dialogue);
        } while (at < size || smtpd_event(&dialogue.smtpd) != SMTPD_NONE);
    }
    forget(&dialogue);
    return EX_OK;
}
