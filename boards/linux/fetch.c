/* fetch.c - `tocsin poll`: the accounts, one after the other, and what is told of each. */
#include "boards/linux/fetch.h"

#include "boards/linux/fetch_work.h"
#include "net/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define OWN_NAME "default" /* Of the configuration's own mailbox. */

/* ---- words ---- */

static void print(int fd, const char *line)
{
    char whole[900];
    struct text text = text_begin(whole, sizeof whole - 1);

    text_add(&text, line);
    whole[text.length++] = '\n';
    (void)!write(fd, whole, text.length);
}

void fetch_say(struct fetch_work *work, int severity, const char *sentence)
{
    char line[800];

    text_print(line, sizeof line, "tocsin: %s: %s", work->name, sentence);
    print(STDERR_FILENO, line);
    if (!work->log->terminal) { /* Which would show it twice. */
        text_print(line, sizeof line, "account=%s %s", work->name, sentence);
        maillog_line(work->log, severity, line);
    }
}

/* "10,000" */
static void add_count(struct text *text, uint32_t count)
{
    if (count >= 1000000) {
        text_format(text, "%u,", (unsigned)(count / 1000000));
        text_add_pad(text, count / 1000 % 1000, 3);
        text_add_char(text, ',');
    } else if (count >= 1000) {
        text_format(text, "%u,", (unsigned)(count / 1000));
    }
    text_add_pad(text, count % 1000, count >= 1000 ? 3 : 1);
}

static void add_part(struct text *text, uint32_t count, const char *what, bool always)
{
    if (count > 0 || always) {
        text_add(text, ", ");
        add_count(text, count);
        text_add(text, what);
    }
}

/* "NAME: 3 new, 2 fetched, 1 left as too large, 10,000 kept" */
static void tell(struct fetch_work *work)
{
    const struct fetch_counts *counts = &work->counts;
    bool check = work->options->check_only;
    char line[300];
    struct text text = text_begin(line, sizeof line);

    text_format(&text, "%s: ", work->name);
    add_count(&text, counts->fresh);
    text_add(&text, " new");
    add_part(&text, counts->fetched, " fetched", !check && counts->fresh > 0);
    add_part(&text, counts->too_large, check ? " too large" : " left as too large", false);
    add_part(&text, counts->later, " wanted later", false);
    add_part(&text, counts->refused, " refused by the server", false);
    add_part(&text, counts->nameless, " left as the server does not name them", false);
    add_part(&text, counts->deleted, " deleted", false);
    add_part(&text, counts->known + counts->fetched - counts->deleted, " kept",
             !work->config.pop3_delete);
    if (!work->options->quiet) {
        print(STDOUT_FILENO, line);
    }
    if (counts->fresh > 0 && !check) {
        maillog_line(work->log, 6, line);
    }
}

/* ---- one account ---- */

static void say_setting(void *context, const char *sentence)
{
    (void)context;
    print(STDERR_FILENO, sentence);
}

/* Only one run at a time reads a mailbox. The lock goes when the process does. */
static int lock_account(struct fetch_work *work)
{
    char name[FETCH_ACCOUNT_BYTES + 8];
    int fd;

    text_print(name, sizeof name, "%s.lock", work->name);
    fd = openat(work->state_folder, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return fetch_why_errno(&work->why, work->config.state);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        close(fd);
        return fetch_why(&work->why, EX_TEMPFAIL, "another run reads this mailbox now");
    }
    return fd;
}

static int prepare_tls(struct fetch_work *work)
{
    uint8_t seed[RANDOM_SEED_BYTES];

    random_init(&work->random);
    if (posix_random(seed, sizeof seed) != 0) {
        return fetch_why(&work->why, EX_TEMPFAIL, "there are no random numbers");
    }
    random_seed(&work->random, seed, sizeof seed);
    explicit_bzero(seed, sizeof seed);
    if (work->config.pop3_tls != SMTP_TLS_OFF && trust_open(&work->trust, work->ca) < 0) {
        return fetch_why(&work->why, EX_CONFIG, "%s", work->trust.problem);
    }
    return 0;
}

/* What a crash left in doubt is cleared up first. */
static int open_memory(struct fetch_work *work)
{
    const struct config *config = &work->config;
    char said[FETCH_PATH_BYTES + 100];
    struct text identity = text_begin(work->identity, sizeof work->identity);
    bool replaced = false;
    uint32_t delivered;
    int error;

    text_format(&identity, "%s@%s", config->pop3_user, config->pop3.host);
    error = fetch_seen_open(&work->seen, work->state_folder, work->name, work->identity,
                            posix_unix_ms() / 1000, &replaced, &work->why);
    if (error < 0) {
        return error;
    }
    if (replaced) {
        text_print(said, sizeof said,
                   "what was remembered is another mailbox's, and kept in %s.old", work->seen.name);
        fetch_say(work, 5, said);
    }
    if (work->options->check_only) {
        return 0;
    }
    error = fetch_deliver_open(&work->deliver, config->deliver, work->identity,
                               work->options->quiet, &work->why);
    if (error == 0 && work->seen.batch_count > 0) {
        error = fetch_deliver_resolve(&work->deliver, &work->seen, &delivered, said, sizeof said,
                                      &work->why);
        if (said[0] != '\0') {
            fetch_say(work, 4, said);
        }
        error = error == 0 ? fetch_seen_resolve(&work->seen, delivered, &work->why) : error;
    }
    return error;
}

static void run_session(struct fetch_work *work)
{
    char problem[300];

    if (settings_secret(&work->config, SETTINGS_POP3, problem, sizeof problem) < 0) {
        (void)fetch_why(&work->why, EX_CONFIG, "%s", problem);
    } else if (prepare_tls(work) == 0) {
        fetch_session(work);
        if (work->listed && !work->options->check_only) {
            fetch_seen_tidy(&work->seen, &work->why);
        }
    }
}

/* Returns an exit code. */
static int run_account(struct fetch_work *work)
{
    int lock;

    memset(&work->why, 0, sizeof work->why);
    memset(&work->counts, 0, sizeof work->counts);
    memset(&work->deliver, 0, sizeof work->deliver);
    work->deliver.folder = work->deliver.tmp = work->deliver.new_folder = -1;
    work->deliver.spool = work->deliver.mbox = -1;
    work->seen.fd = -1;
    work->by_header = work->listed = work->leaves = work->quit_done = false;
    work->waiting = work->bodies = 0;
    work->drained = 0;
    fetch_items_free(work);
    lock = lock_account(work);
    if (lock >= 0 && open_memory(work) == 0) {
        run_session(work);
        fetch_deliver_close(&work->deliver);
    }
    fetch_seen_close(&work->seen);
    fetch_items_free(work);
    if (lock >= 0) {
        close(lock);
    }
    if (work->listed || work->counts.fetched > 0) {
        tell(work);
    }
    if (work->why.code != 0) {
        fetch_say(work, 3, work->why.text);
        return work->why.code;
    }
    return work->counts.later > 0 || work->counts.refused > 0 ? EX_TEMPFAIL
           : work->counts.nameless > 0                        ? EX_UNAVAILABLE
                                                              : 0;
}

/* ---- which accounts ---- */

static bool wanted(const struct fetch_options *options, const char *name)
{
    for (size_t i = 0; i < options->account_count; i++) {
        if (strcmp(options->account[i], name) == 0) {
            return true;
        }
    }
    return options->account_count == 0;
}

/* What an account does not say is as in the configuration, but for what makes it an account. */
static int load_account(struct fetch_work *work, const char *path)
{
    struct config *config = &work->config;
    const struct config *own = &work->settings->config;
    int error;

    *config = *own;
    memset(&config->pop3, 0, sizeof config->pop3);
    config->pop3_tls_name[0] = '\0';
    config->pop3_user[0] = '\0';
    explicit_bzero(config->pop3_pass, sizeof config->pop3_pass);
    config->pop3_pass_file[0] = '\0';
    config->pop3_pass_command[0] = '\0';
    config->ca_count = 0;
    error = settings_load_more(path, config, say_setting, NULL);
    if (config->deliver[0] == '\0') {
        (void)text_copy(config->deliver, sizeof config->deliver, own->deliver);
    }
    work->ca = strcmp(config->tls_ca_file, own->tls_ca_file) != 0 ? config->tls_ca_file
               : config->ca_count > 0                             ? path
                                                                  : settings_ca(work->settings);
    return error;
}

static int no_mailbox(struct fetch_work *work)
{
    char line[400];

    text_print(line, sizeof line,
               "tocsin: %s: there is no mailbox to poll: pop3 is not set, nor accounts",
               work->settings->path);
    print(STDERR_FILENO, line);
    return EX_CONFIG;
}

/* The name of an account is its file's, without ".conf"; false: it is none. */
static bool account_name(const char *file, char out[FETCH_ACCOUNT_BYTES])
{
    static const char end[] = ".conf";
    size_t size = strlen(file);

    if (file[0] == '.' || size <= sizeof end - 1 ||
        strcmp(file + size - (sizeof end - 1), end) != 0 ||
        size - (sizeof end - 1) >= FETCH_ACCOUNT_BYTES) {
        return false;
    }
    text_copy(out, size - (sizeof end - 1) + 1, file);
    for (const char *at = out; *at != '\0'; at++) {
        if (*at <= ' ' || *at == 0x7F) {
            return false;
        }
    }
    return true;
}

/* The first code that is not 0 is what the whole run returns. */
static void add_code(int *all, int code)
{
    *all = *all != 0 ? *all : code;
}

static void run_file(struct fetch_work *work, const char *folder, const char *file, int *code)
{
    char path[FETCH_PATH_BYTES + 260];

    text_print(path, sizeof path, "%s/%s", folder, file);
    if (load_account(work, path) < 0) {
        add_code(code, EX_CONFIG); /* Each finding was said. */
        return;
    }
    add_code(code, run_account(work));
}

/* Every *.conf of the folder, by name. Returns how many there were. */
static unsigned run_folder(struct fetch_work *work, int *code)
{
    struct fetch_why why = {0, ""};
    char folder[FETCH_PATH_BYTES];
    struct dirent **files = NULL;
    unsigned ran = 0;
    int count;

    if (work->settings->config.accounts[0] == '\0') {
        return 0;
    }
    if (fetch_expand(work->settings->config.accounts, folder, &why) < 0 ||
        (count = scandir(folder, &files, NULL, alphasort)) < 0) {
        (void)fetch_why_errno(&why, folder);
        text_copy(work->name, sizeof work->name, "accounts");
        fetch_say(work, 3, why.text);
        add_code(code, EX_CONFIG);
        return 1;
    }
    for (int i = 0; i < count; i++) {
        if (account_name(files[i]->d_name, work->name) && wanted(work->options, work->name)) {
            ran++;
            if (strcmp(work->name, OWN_NAME) == 0 && work->settings->config.pop3.host[0] != '\0') {
                fetch_say(work, 3, "that is the name of the configuration's own mailbox");
                add_code(code, EX_CONFIG);
            } else {
                run_file(work, folder, files[i]->d_name, code);
            }
        }
        free(files[i]);
    }
    free(files);
    return ran;
}

static int run_all(struct fetch_work *work)
{
    bool own = work->settings->config.pop3.host[0] != '\0' && wanted(work->options, OWN_NAME);
    unsigned ran = own;
    int code = 0;

    if (own) {
        text_copy(work->name, sizeof work->name, OWN_NAME);
        work->config = work->settings->config;
        work->ca = settings_ca(work->settings);
        add_code(&code, run_account(work));
    }
    ran += run_folder(work, &code);
    if (ran == 0 && work->options->account_count == 0) {
        return no_mailbox(work);
    }
    if (ran < work->options->account_count) {
        print(STDERR_FILENO, "tocsin: there is no account of such a name");
        add_code(&code, EX_USAGE);
    }
    return code;
}

/* ---- the run ---- */

static int open_state(struct fetch_work *work)
{
    struct fetch_why why = {0, ""};
    char path[FETCH_PATH_BYTES];
    int error = fetch_expand(work->settings->config.state, path, &why);

    if (error == 0) {
        error = fetch_make_folder(path) < 0 ? fetch_why_errno(&why, path) : 0;
    }
    if (error == 0) {
        work->state_folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        error = work->state_folder < 0 ? fetch_why_errno(&why, path) : 0;
    }
    if (error < 0) {
        char line[600];

        text_print(line, sizeof line, "tocsin: state: %s", why.text);
        print(STDERR_FILENO, line);
        return why.code;
    }
    return 0;
}

/* A program that runs with more rights than its caller has would show him others' mail: with those
 * of its group, only root is let on, without them. */
static bool rights_are_own(void)
{
    gid_t group = getgid();

    return (getuid() == 0 && setresgid(group, group, group) == 0) ||
           (geteuid() == getuid() && getegid() == group);
}

int fetch_run(struct settings *settings, const struct fetch_options *options, struct maillog *log)
{
    struct fetch_work *work;
    int code;

    if (!rights_are_own()) {
        print(STDERR_FILENO, "tocsin: these are not your mailboxes: write your own ~/.tocsinrc");
        return EX_NOPERM;
    }
    work = calloc(1, sizeof *work);
    if (work == NULL) {
        print(STDERR_FILENO, "tocsin: there is no memory");
        return EX_TEMPFAIL;
    }
    (void)umask(077);
    work->settings = settings;
    work->options = options;
    work->log = log;
    work->sorted = true;
    code = open_state(work);
    if (code == 0) {
        code = run_all(work);
        close(work->state_folder);
    }
    explicit_bzero(work, sizeof *work);
    free(work);
    return code;
}
