#include "boards/linux/submission.h"

#include "net/address.h"
#include "net/posix/link_posix.h"
#include "net/smtp.h"
#include "net/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define OUT_BYTES 8192

static void warn(struct submission *submission, const char *sentence)
{
    submission->params.warn(submission->params.context, sentence);
}

/* Keeps the first error, with its words. */
static int fail(struct submission *submission, int error, const char *problem)
{
    if (submission->error == 0) {
        submission->error = error;
        (void)text_copy(submission->problem, sizeof submission->problem, problem);
    }
    return error;
}

/* ---- lists of addresses ---- */

static int list_add(struct submission_list *list, const char *address)
{
    if (list->count == list->room) {
        size_t room = list->room == 0 ? 16 : list->room * 2;
        char **item = room > SPOOL_RCPT_MAX * 2 ? NULL : realloc(list->item, room * sizeof *item);

        if (item == NULL) {
            return E_SPACE;
        }
        list->item = item;
        list->room = room;
    }
    list->item[list->count] = strdup(address);
    if (list->item[list->count] == NULL) {
        return E_SPACE;
    }
    list->count++;
    return 0;
}

static void list_free(struct submission_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->item[i]);
    }
    free(list->item);
    memset(list, 0, sizeof *list);
}

/* A mailbox at last: added to the mail unless it is there. */
static void add_mailbox(void *context, const char *address)
{
    struct submission *submission = context;
    struct spool_mail *mail = &submission->mail;

    for (size_t i = 0; i < mail->rcpt_count; i++) {
        if (text_equal_nocase(mail->rcpt[i].address, address)) {
            return;
        }
    }
    if (spool_mail_rcpt(mail, address, submission->notify) < 0) {
        (void)fail(submission, E_SPACE, "too many recipients");
    }
}

/* One address as it was written. */
static void add_address(void *context, const char *address)
{
    struct submission *submission = context;

    int count = users_expand(&submission->users, address, add_mailbox, submission);

    if (count == E_SPACE) {
        (void)fail(submission, E_SPACE, "too many recipients, or not enough memory");
    } else if (count < 0) {
        char sentence[ADDRESS_BYTES + 64];

        (void)text_print(sentence, sizeof sentence, "not an address: %s", address);
        warn(submission, sentence);
    }
}

int submission_rcpt(struct submission *submission, const char *list, const char *notify)
{
    size_t before = submission->mail.rcpt_count;
    struct address_list addresses;

    submission->notify = notify;
    address_list_init(&addresses, add_address, submission);
    address_list_push(&addresses, list, strlen(list));
    if (address_list_end(&addresses) > 0) {
        char sentence[ADDRESS_BYTES + 64];

        (void)text_print(sentence, sizeof sentence, "not an address: %s", list);
        warn(submission, sentence);
    }
    return (int)(submission->mail.rcpt_count - before);
}

/* The message filter tells an address of the header. */
static void header_address(void *context, enum message_field field, bool resent,
                           const char *address)
{
    struct submission *submission = context;
    bool recipient = field == MESSAGE_TO || field == MESSAGE_CC || field == MESSAGE_BCC;

    if (submission->params.header_recipients && recipient &&
        list_add(resent ? &submission->again : &submission->to, address) < 0) {
        (void)fail(submission, E_SPACE, "too many recipients");
    }
}

/* ---- who sends ---- */

static bool has_domain(const char *address)
{
    return address_domain(address) != NULL;
}

/* The first address of a list counts. */
static void keep_first(void *context, const char *address)
{
    char *first = context;

    if (first[0] == '\0') {
        (void)text_copy(first, ADDRESS_BYTES, address);
    }
}

/* `-f` as people write it: an address, <address>, or Name <address>. False: there is none in it. */
static bool take_given(struct submission *submission)
{
    const char *given = submission->params.sender;
    const char *domain = submission->params.settings->domain;
    char first[ADDRESS_BYTES] = "";
    char sentence[SUBMISSION_TEXT_BYTES];
    struct address_list list;
    struct text whole = text_begin(submission->address, sizeof submission->address);

    if (given == NULL || given[0] == '\0') {
        return false;
    }
    address_list_init(&list, keep_first, first);
    address_list_push(&list, given, strlen(given));
    if (address_list_end(&list) == 0 && address_is_valid(first)) {
        text_format(&whole, "%s%s%s", first, has_domain(first) ? "" : "@",
                    has_domain(first) ? "" : domain);
        if (!whole.cut && smtp_address_fits(submission->address)) {
            return true;
        }
    }
    (void)text_print(sentence, sizeof sentence,
                     "-f %s: not an address that can be sent; the sender is the default one",
                     given);
    warn(submission, sentence);
    return false;
}

/* `-f`, else the user's line in revaliases, else `from`, else the login at the server if that is an
 * address, else the user here. */
static void choose_sender(struct submission *submission)
{
    const struct settings *settings = submission->params.settings;
    const struct config *config = &settings->config;
    char *out = submission->address;
    size_t size = sizeof submission->address;
    int found = 0;

    if (take_given(submission)) {
        return;
    }
    found = users_sender(&submission->users, settings->user, out, size, submission->revaliases_hub,
                         sizeof submission->revaliases_hub);
    if (found > 0) {
        return;
    }
    if (config->from[0] != '\0') {
        (void)text_copy(out, size, config->from);
    } else {
        (void)text_print(out, size, "%s@%s", settings->user, settings->domain);
    }
}

static void choose_name(struct submission *submission)
{
    const struct settings *settings = submission->params.settings;
    const char *name = submission->params.full_name != NULL    ? submission->params.full_name
                       : settings->config.from_name[0] != '\0' ? settings->config.from_name
                                                               : settings->full_name;

    (void)text_copy(submission->name, sizeof submission->name, name);
}

/* Unique by time, process and dice. */
static void make_message_id(struct submission *submission)
{
    uint32_t dice = 0;

    (void)!posix_random(&dice, sizeof dice);
    (void)text_print(submission->message_id, sizeof submission->message_id, "%u.%u.%u.%u@%s",
                     (unsigned)(posix_unix_ms() / 1000), (unsigned)(posix_unix_ms() % 1000),
                     (unsigned)getpid(), (unsigned)dice, submission->params.settings->host);
}

static int32_t zone_minutes(time_t now)
{
    struct tm local;

    return localtime_r(&now, &local) == NULL ? 0 : (int32_t)(local.tm_gmtoff / 60);
}

/* ---- the message ---- */

static int temporary_file(struct submission *submission)
{
    char path[] = "/tmp/tocsin-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);

    if (fd >= 0) {
        (void)unlink(path);
    } else {
        fd = memfd_create("tocsin", MFD_CLOEXEC); /* A small system may have no such folder. */
    }
    if (fd < 0) {
        return fail(submission, E_IO, "/tmp: no temporary file can be made there");
    }
    submission->fd = fd;
    return 0;
}

static int write_all(int fd, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t put = write(fd, bytes, size);

        if (put < 0 && errno != EINTR) {
            return errno == ENOSPC || errno == EDQUOT ? E_SPACE : E_IO;
        }
        if (put > 0) {
            bytes += put;
            size -= (size_t)put;
        }
    }
    return 0;
}

/* The spool does not take the message: from here on it is in memory, to be sent at once. */
static int leave_spool(struct submission *submission, int error)
{
    struct spool *spool = submission->params.spool;
    char sentence[SUBMISSION_TEXT_BYTES + 64];
    int fd;

    if (!submission->held_whole || (error != E_SPACE && error != E_IO)) {
        return fail(submission, error, spool->problem);
    }
    fd = memfd_create("tocsin", MFD_CLOEXEC);
    if (fd < 0 || write_all(fd, submission->held, submission->held_size) < 0) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return fail(submission, error, spool->problem);
    }
    (void)text_print(sentence, sizeof sentence, "%s; the mail is not kept, but sent at once",
                     spool->problem);
    warn(submission, sentence);
    spool_draft_drop(spool, &submission->draft);
    submission->params.spool = NULL;
    submission->fd = fd;
    submission->mail.id[0] = '\0';
    submission->mail.size_bytes = submission->held_size;
    return 0;
}

static void hold(struct submission *submission, const uint8_t *bytes, size_t size)
{
    submission->held_whole =
        submission->held_whole && size <= sizeof submission->held - submission->held_size;
    if (submission->held_whole) {
        memcpy(submission->held + submission->held_size, bytes, size);
        submission->held_size += size;
    }
}

int submission_begin(struct submission *submission, const struct submission_params *params)
{
    const struct config *config = &params->settings->config;
    struct message_params message = {0};

    memset(submission, 0, offsetof(struct submission, message));
    submission->params = *params;
    submission->fd = -1;
    submission->users = (struct users_params){
        .aliases = config->aliases,
        .revaliases = config->revaliases,
        .root = submission->root,
        .root_count = config_to(config, submission->root, CONFIG_TO_MAX),
        .min_user_id = config->min_user_id,
        .domain = params->settings->domain,
        .warn = params->warn,
        .context = params->context,
    };
    choose_sender(submission);
    choose_name(submission);
    make_message_id(submission);
    message.from = submission->address;
    message.from_name = submission->name;
    message.from_name_forced = params->full_name != NULL;
    message.from_override = config->from_line_override == 1;
    message.domain = params->settings->domain;
    message.message_id = submission->message_id;
    /* A date of 1970 hides a mail below all others; without one, whoever takes it puts his own. */
    message.unix_s = posix_unix_ms() >= MAILER_CLOCK_UNIX_MS ? posix_unix_ms() / 1000 : 0;
    message.zone_minutes = zone_minutes((time_t)message.unix_s);
    message.found = header_address;
    message.context = submission;
    message_init(&submission->message, &message);
    transcode_look_init(&submission->look);
    submission->held_whole = true;
    submission->held_size = 0;
    if (params->spool != NULL) {
        int error = spool_draft_begin(params->spool, &submission->draft);

        return error < 0 ? leave_spool(submission, error) : 0;
    }
    return temporary_file(submission);
}

/* Takes what the filter has ready to its place. */
static int drain(struct submission *submission)
{
    uint8_t out[OUT_BYTES];
    size_t size;
    int error = submission->error;

    while ((size = message_read(&submission->message, out, sizeof out)) > 0 && error == 0) {
        transcode_look_push(&submission->look, out, size);
        if (submission->params.spool != NULL) {
            hold(submission, out, size);
            error = spool_draft_write(submission->params.spool, &submission->draft, out, size);
            error = error < 0 ? leave_spool(submission, error) : 0;
        } else {
            error = write_all(submission->fd, out, size);
            submission->mail.size_bytes += size;
            error = error < 0 ? fail(submission, error, "the message cannot be written") : 0;
        }
    }
    return error;
}

int submission_write(struct submission *submission, const uint8_t *bytes, size_t size)
{
    while (size > 0 && submission->error == 0) {
        size_t taken = message_push(&submission->message, bytes, size);

        bytes += taken;
        size -= taken;
        (void)drain(submission);
    }
    return submission->error;
}

/* Resent- fields, where there are any, are the ones that count (RFC 5322 3.6.6). */
static void take_header_recipients(struct submission *submission)
{
    const struct submission_list *list =
        message_seen(&submission->message)->has_resent ? &submission->again : &submission->to;

    submission->notify = NULL;
    for (size_t i = 0; i < list->count; i++) {
        add_address(submission, list->item[i]);
    }
}

static char *copy(const char *text)
{
    return text != NULL ? strdup(text) : NULL;
}

int submission_commit(struct submission *submission)
{
    struct spool_mail *mail = &submission->mail;
    const struct message_seen *seen = message_seen(&submission->message);
    bool null_sender = submission->params.sender != NULL && submission->params.sender[0] == '\0';
    int error;

    message_end(&submission->message);
    error = drain(submission);
    if (error < 0) {
        return error;
    }
    if (submission->params.header_recipients && seen->bad_addresses > 0) {
        warn(submission, "a recipient in the header is no address, and gets nothing");
    }
    take_header_recipients(submission);
    if (submission->error < 0) {
        return submission->error;
    }
    if (mail->rcpt_count == 0) {
        return fail(submission, E_MISSING, "nobody is to get this mail: no recipient was given");
    }
    mail->from = strdup(null_sender ? "" : submission->address);
    mail->message_id = strdup(seen->message_id_given ? seen->message_id : submission->message_id);
    mail->sender_name = copy(submission->params.settings->user);
    mail->ret = copy(submission->params.ret);
    mail->envid = copy(submission->params.envid);
    mail->hub = submission->revaliases_hub[0] != '\0' ? strdup(submission->revaliases_hub) : NULL;
    mail->flags = transcode_look_end(&submission->look) |
                  (seen->eight_bit ? (unsigned)TRANSCODE_EIGHT_BIT : 0);
    if (mail->from == NULL || mail->message_id == NULL) {
        return fail(submission, E_SPACE, "out of memory");
    }
    if (submission->params.spool != NULL) {
        error = spool_draft_commit(submission->params.spool, &submission->draft, mail);
        submission->committed = error == 0;
        error = error < 0 ? leave_spool(submission, error) : 0;
    }
    if (!submission->committed) {
        mail->queued_unix_ms = posix_unix_ms();
    }
    return error;
}

void submission_send(struct submission *submission, struct mailer_outcome *outcome)
{
    struct mailer_params params = {
        .settings = submission->params.settings,
        .spool = submission->params.spool,
        .log = submission->params.log,
        .trace_fd = submission->params.trace_fd,
    };

    if (submission->params.spool != NULL) {
        mailer_run(&params, MAILER_CALL, submission->mail.id, outcome);
        submission->settled = outcome->own_left || outcome->own_fails || outcome->busy;
    } else {
        mailer_send_now(&params, &submission->mail, submission->fd, outcome);
    }
}

/* A spool on a router is often in memory, and then a mail in it is less safe than it seems. */
static void tell_volatile(struct submission *submission)
{
    const struct spool *spool = submission->params.spool;
    char line[SUBMISSION_TEXT_BYTES];

    if (submission->committed && !submission->settled && spool_is_volatile(spool)) {
        (void)text_print(line, sizeof line,
                         "%s: kept in %s, which is in memory: it does not survive a power cut",
                         submission->mail.id, spool->path);
        maillog_line(submission->params.log, LOG_WARNING, line);
    }
}

void submission_end(struct submission *submission)
{
    tell_volatile(submission);
    if (submission->params.spool != NULL && !submission->committed) {
        spool_draft_drop(submission->params.spool, &submission->draft);
    }
    if (submission->fd >= 0) {
        (void)close(submission->fd);
    }
    spool_mail_free(&submission->mail);
    list_free(&submission->to);
    list_free(&submission->again);
}
