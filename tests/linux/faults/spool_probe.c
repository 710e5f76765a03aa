/* spool_probe - takes mails through the spool, saying what it has been promised, and looks into a
 * spool at what is left of them. faults.py kills it, fails it, and cuts its power.
 *
 *     spool_probe run SPOOL      takes mails 1 to 4 through all that can become of one
 *     spool_probe check SPOOL ...    of each: what is there, a line a mail, and a line "."
 *
 * Mail N is from N@probe, and its message follows from N, so that each can be told to be whole.
 * run says, after a call has returned: committed N, sent N (its first recipient has it), failed N,
 * retried N, done N; and before: committing N, finishing N; error N SENTENCE where one fails. */
#include "boards/linux/spool.h"
#include "net/text.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAILS 4

static struct spool spool;
static struct spool_draft draft;

/* One write() a line: what was said before a kill, was said. */
static void say(const char *what, unsigned number, const char *more)
{
    char line[1024];
    struct text text = text_begin(line, sizeof line);

    text_format(&text, "%s %u%s%s\n", what, number, more[0] != '\0' ? " " : "", more);
    if (write(STDOUT_FILENO, line, text.length) != (ssize_t)text.length) {
        _exit(3);
    }
}

static size_t size_of(unsigned number)
{
    return number % 2 == 1 ? 100 * number : 9000 * number;
}

static uint8_t byte_of(unsigned number, size_t at)
{
    return (uint8_t)('A' + (at * 31 + number * 7) % 57);
}

/* ---- run ---- */

static bool told(int result, unsigned number, const char *what)
{
    if (result < 0) {
        say("error", number, spool.problem);
        return false;
    }
    say(what, number, "");
    return true;
}

static bool commit(unsigned number, struct spool_mail *mail)
{
    char from[32];
    int result;

    say("committing", number, "");
    memset(mail, 0, sizeof *mail);
    text_print(from, sizeof from, "%u@probe", number);
    mail->from = strdup(from);
    result = spool_mail_rcpt(mail, "one@example.com", NULL);
    if (result == 0) {
        result = spool_mail_rcpt(mail, "two@example.com", "never");
    }
    if (result == 0) {
        result = spool_draft_begin(&spool, &draft);
    }
    for (size_t at = 0; at < size_of(number) && result == 0; at++) {
        uint8_t byte = byte_of(number, at);

        result = spool_draft_write(&spool, &draft, &byte, 1);
        if (result < 0) {
            spool_draft_drop(&spool, &draft);
        }
    }
    if (result == 0) {
        result = spool_draft_commit(&spool, &draft, mail);
    }
    return told(result, number, "committed");
}

/* One recipient has it; then the mail waits, fails, is tried again, and is done. */
static void carry(unsigned number, struct spool_mail *mail, bool fails)
{
    say("sending", number, "");
    mail->rcpt[0].state = SPOOL_SENT;
    mail->rcpt[0].reason = strdup("250 accepted");
    (void)told(spool_update(&spool, mail), number, "sent");
    if (fails) {
        text_copy(mail->reason, sizeof mail->reason, "550 no");
        mail->rcpt[1].state = SPOOL_REFUSED;
        say("failing", number, "");
        if (told(spool_fail(&spool, mail), number, "failed")) {
            say("retrying", number, "");
            (void)told(spool_retry(&spool, mail->id), number, "retried");
        }
    } else {
        say("finishing", number, "");
        (void)told(spool_done(&spool, mail), number, "done");
    }
}

static int run(const char *path)
{
    if (!told(spool_open(&spool, path), 0, "opened") || !told(spool_lock(&spool, 0), 0, "locked")) {
        return 1;
    }
    for (unsigned number = 1; number <= MAILS; number++) {
        struct spool_mail mail;
        struct spool_mail loaded;

        if (commit(number, &mail) && number < MAILS) {
            memset(&loaded, 0, sizeof loaded);
            if (told(spool_load(&spool, false, mail.id, &loaded), number, "loaded")) {
                loaded.due_unix_ms = 1;
                (void)told(spool_update(&spool, &loaded), number, "waiting");
                carry(number, &loaded, number == 2);
            }
            spool_mail_free(&loaded);
        }
        spool_mail_free(&mail);
    }
    spool_sweep(&spool);
    spool_unlock(&spool);
    spool_close(&spool);
    return 0;
}

/* ---- check ---- */

static bool is_whole(const struct spool_mail *mail, unsigned number, bool failed)
{
    int fd = spool_message(&spool, failed, mail->id);
    size_t size = size_of(number);
    uint8_t *bytes = malloc(size + 1);
    ssize_t count = fd >= 0 && bytes != NULL ? read(fd, bytes, size + 1) : -1;
    bool whole = count == (ssize_t)size;

    for (size_t at = 0; at < size && whole; at++) {
        whole = bytes[at] == byte_of(number, at);
    }
    if (fd >= 0) {
        close(fd);
    }
    free(bytes);
    return whole && mail->rcpt_count == 2;
}

/* queue N sent|waiting, failed N ...; torn N: not what was written; damaged 0 SENTENCE. */
static void check_folder(bool failed)
{
    char(*ids)[SPOOL_ID_BYTES];
    int count = spool_list(&spool, failed, &ids);

    for (int i = 0; i < count; i++) {
        struct spool_mail mail;
        unsigned number;

        if (spool_load(&spool, failed, ids[i], &mail) < 0) {
            say("damaged", 0, spool.problem);
            continue;
        }
        number = (unsigned)strtoul(mail.from, NULL, 10);
        if (!is_whole(&mail, number, failed)) {
            say("torn", number, "");
        } else {
            say(failed ? "failed" : "queue", number,
                mail.rcpt[0].state == SPOOL_SENT ? "sent" : "waiting");
        }
        spool_mail_free(&mail);
    }
    free(ids);
}

static int check(const char *path)
{
    int result = spool_open(&spool, path);

    if (result < 0) {
        say("error", 0, spool.problem);
    } else {
        check_folder(true); /* First: the queue's damaged ones come there. */
        check_folder(false);
        spool_sweep(&spool);
        spool_close(&spool);
    }
    return write(STDOUT_FILENO, ".\n", 2) == 2 ? 0 : 3;
}

int main(int argc, char **argv)
{
    int result = 2;

    if (argc == 3 && strcmp(argv[1], "run") == 0) {
        return run(argv[2]);
    }
    if (argc >= 3 && strcmp(argv[1], "check") == 0) {
        for (int i = 2; i < argc; i++) {
            result = check(argv[i]);
        }
    }
    return result;
}
