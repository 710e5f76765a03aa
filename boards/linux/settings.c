#include "boards/linux/settings.h"

#include "boards/linux/users.h"
#include "firmware/config_table.h"
#include "net/text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SYSTEM_FILE "/etc/tocsin.conf"
#define SSMTP_FILE "/etc/ssmtp/ssmtp.conf"
#define SENTENCE_BYTES 640
#define COMMAND_MS_MAX 30000
#define FILE_BYTES_MAX (8u << 20) /* Of a configuration, with its CA certificates. */
#define PIPE_MS_MAX 10000         /* For a configuration that comes through a pipe. */

void settings_protect(void)
{
    const struct rlimit none = {0, 0};

    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* What one line of a file holds, without its end; false: it cannot be read. */
static bool first_line(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    ssize_t got = 0;
    size_t length = 0;

    if (fd < 0) {
        return false;
    }
    while (length + 1 < size && (got = read(fd, out + length, size - 1 - length)) > 0) {
        length += (size_t)got;
    }
    (void)close(fd);
    out[length] = '\0';
    out[strcspn(out, "\r\n")] = '\0';
    return got >= 0;
}

/* ---- who, and where ---- */

/* The name in /etc/hosts with a domain that stands in a line with `name`. */
static bool full_name_in_hosts(const char *name, char *out, size_t size)
{
    static char text[16384];
    int fd = open("/etc/hosts", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    char *rest = text;

    if (fd >= 0) {
        (void)close(fd);
    }
    if (got < 0) {
        return false;
    }
    text[got] = '\0';
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        bool here = false;
        const char *full = NULL;

        line[strcspn(line, "#")] = '\0';
        for (char *word = strsep(&line, " \t"); word != NULL; word = strsep(&line, " \t")) {
            here = here || text_equal_nocase(word, name);
            full = full == NULL && text_starts_nocase(word, name) && word[strlen(name)] == '.'
                       ? word
                       : full;
        }
        if (here && full != NULL) {
            return text_copy(out, size, full);
        }
    }
    return false;
}

static void find_host(struct settings *settings)
{
    struct utsname names;

    if (uname(&names) < 0 || names.nodename[0] == '\0') {
        (void)text_copy(settings->host, sizeof settings->host, "localhost");
    } else if (strchr(names.nodename, '.') != NULL ||
               !full_name_in_hosts(names.nodename, settings->host, sizeof settings->host)) {
        (void)text_copy(settings->host, sizeof settings->host, names.nodename);
    }
}

static void find_user(struct settings *settings, char *home, size_t home_size)
{
    const struct passwd *entry = getpwuid(getuid());

    users_name((uint32_t)getuid(), settings->user, sizeof settings->user, settings->full_name,
               sizeof settings->full_name);
    if (settings->user[0] == '\0') {
        (void)text_print(settings->user, sizeof settings->user, "uid%u", (unsigned)getuid());
    }
    (void)text_copy(home, home_size, entry != NULL ? entry->pw_dir : "");
}

bool settings_drop_rights(void)
{
    gid_t group = getgid();
    uid_t user = getuid();

    return setresgid(group, group, group) == 0 && setresuid(user, user, user) == 0;
}

/* access() asks for the caller's own rights, not for the program's. */
static bool own_file(char *path, size_t size, const char *home, const char *name)
{
    return home[0] == '/' && text_print(path, size, "%s/%s", home, name) < size - 1 &&
           access(path, R_OK) == 0;
}

/* Puts the path into settings; E_MISSING: none anywhere. */
static int choose_file(struct settings *settings, const char *file, const char *home)
{
    char *path = settings->path;
    size_t size = sizeof settings->path;
    bool root = getuid() == 0;

    if (file != NULL) {
        (void)text_copy(path, size, file);
        settings->of_user = !root;
    } else if (!root && (own_file(path, size, home, ".config/tocsin.conf") ||
                         own_file(path, size, home, ".tocsinrc"))) {
        settings->of_user = true;
    } else if (access(SYSTEM_FILE, F_OK) == 0 || access(SSMTP_FILE, F_OK) != 0) {
        (void)text_copy(path, size, SYSTEM_FILE);
    } else {
        (void)text_copy(path, size, SSMTP_FILE);
    }
    settings->of_ssmtp = strstr(path, "ssmtp.conf") != NULL;
    return settings->of_user && !settings_drop_rights() ? E_IO : 0;
}

/* ---- reading ---- */

struct reading {
    const char *path;
    settings_say *say;
    void *context;
    char *first; /* The first finding also goes here; NULL: nowhere. */
    size_t first_size;
};

static void finding(void *context, unsigned line, const char *key, const char *message)
{
    struct reading *reading = context;
    char sentence[SENTENCE_BYTES];
    struct text text = text_begin(sentence, sizeof sentence);

    text_add(&text, reading->path);
    if (line != 0) {
        text_format(&text, ":%u", line);
    }
    text_format(&text, ": %s%s%s", key, key[0] != '\0' ? ": " : "", message);
    if (reading->first != NULL && reading->first[0] == '\0') {
        (void)text_copy(reading->first, reading->first_size, sentence);
    }
    reading->say(reading->context, sentence);
}

static int cannot_read(const struct reading *reading, int error)
{
    char sentence[SENTENCE_BYTES];
    const char *advice =
        error == EACCES ? "; the administrator may let the program's group read it" : "";

    (void)text_print(sentence, sizeof sentence, "%s: %s%s", reading->path, strerror(error), advice);
    if (reading->first != NULL) {
        (void)text_copy(reading->first, reading->first_size, sentence);
    }
    reading->say(reading->context, sentence);
    return error == ENOENT ? E_MISSING : E_IO;
}

/* More of a file, or of a pipe as in `-C <(command)`, which nobody waits for without end. */
static ssize_t read_more(int fd, char *bytes, size_t size)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    ssize_t got = read(fd, bytes, size);

    while (got < 0 && (errno == EINTR || errno == EAGAIN)) {
        if (errno == EAGAIN && poll(&ready, 1, PIPE_MS_MAX) == 0) {
            errno = ETIMEDOUT;
            return -1;
        }
        got = read(fd, bytes, size);
    }
    return got;
}

/* Pushes the whole file. */
static int push_file(struct config_reader *reader, const struct reading *reading, struct stat *stat)
{
    char text[4096];
    int fd = open(reading->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    size_t all = 0;
    ssize_t got;
    int error;

    if (fd < 0) {
        return cannot_read(reading, errno);
    }
    error = fstat(fd, stat) < 0 ? errno : S_ISDIR(stat->st_mode) ? EISDIR : 0;
    while (error == 0 && (got = read_more(fd, text, sizeof text)) != 0) {
        all += got > 0 ? (size_t)got : 0;
        error = got < 0 ? errno : all > FILE_BYTES_MAX ? EFBIG : 0;
        if (error == 0) {
            config_push(reader, text, (size_t)got);
        }
    }
    explicit_bzero(text, sizeof text);
    (void)close(fd);
    return error != 0 ? cannot_read(reading, error) : 0;
}

static bool has_secret(const struct config *config)
{
    return config->auth_pass[0] != '\0' || config->auth_pass2[0] != '\0' ||
           config->pop3_pass[0] != '\0' || config->command_key_set;
}

static void warn_of_mode(const struct reading *reading, const struct config *config,
                         const struct stat *stat)
{
    if (has_secret(config) && (stat->st_mode & S_IROTH) != 0) {
        char sentence[SENTENCE_BYTES];

        (void)text_print(sentence, sizeof sentence,
                         "%s: warning: everybody may read the password in it; chmod o-r %s",
                         reading->path, reading->path);
        reading->say(reading->context, sentence);
    }
}

/* What is settled from where the file is, and from the system. */
static void settle(struct settings *settings, const struct config_reader *reader, const char *home)
{
    struct config *config = &settings->config;
    char *slash;

    if (settings->of_ssmtp && !config_written(reader, CONFIG_KEY_revaliases)) {
        (void)text_copy(config->revaliases, sizeof config->revaliases, settings->path);
        slash = strrchr(config->revaliases, '/');
        (void)text_copy(slash != NULL ? slash + 1 : config->revaliases, sizeof "revaliases",
                        "revaliases");
    }
    if (settings->of_ssmtp && config->from_line_override == 0) {
        config->from_line_override = 1; /* ssmtp's own default. */
    }
    if (settings->of_user && home[0] == '/') {
        if (!config_written(reader, CONFIG_KEY_spool)) {
            (void)text_print(config->spool, sizeof config->spool, "%s/.tocsin", home);
        }
        if (!config_written(reader, CONFIG_KEY_state)) {
            (void)text_print(config->state, sizeof config->state, "%s/.tocsin", home);
        }
    }
    (void)text_copy(settings->host, sizeof settings->host, config->hostname);
    if (config->rewrite_domain[0] != '\0') {
        (void)text_copy(settings->domain, sizeof settings->domain, config->rewrite_domain);
    } else if (config_written(reader, CONFIG_KEY_hostname) ||
               !first_line("/etc/mailname", settings->domain, sizeof settings->domain) ||
               settings->domain[0] == '\0') {
        (void)text_copy(settings->domain, sizeof settings->domain, settings->host);
    }
}

int settings_load(struct settings *settings, const char *file, settings_say *say, void *context)
{
    struct reading reading = {settings->path, say, context, settings->problem,
                              sizeof settings->problem};
    struct config_reader reader;
    struct stat stat;
    char home[160];
    int error;

    memset(settings, 0, sizeof *settings);
    find_user(settings, home, sizeof home);
    find_host(settings);
    if (choose_file(settings, file, home) < 0) {
        return cannot_read(&reading, EPERM);
    }
    config_begin(&reader, &settings->config, finding, &reading);
    config_explain(&reader);
    (void)text_copy(settings->config.hostname, sizeof settings->config.hostname, settings->host);
    error = push_file(&reader, &reading, &stat);
    if (error == 0) {
        error = config_end(&reader) != 0 ? E_CONFIG : 0;
        warn_of_mode(&reading, &settings->config, &stat);
    }
    settle(settings, &reader, home);
    settings->stray = file != NULL && !config_written(&reader, CONFIG_KEY_spool);
    return error;
}

int settings_load_more(const char *file, struct config *config, settings_say *say, void *context)
{
    struct reading reading = {file, say, context, NULL, 0};
    struct config base = *config;
    struct config_reader reader;
    struct stat stat;
    int error;

    config_begin(&reader, config, finding, &reading);
    config_explain(&reader);
    reader.account = true;
    *config = base;
    config->pop3_tls_written = 0;
    config->deliver[0] = '\0';
    config->pop3_pass[0] = '\0';
    config->pop3_pass_file[0] = '\0';
    config->pop3_pass_command[0] = '\0';
    error = push_file(&reader, &reading, &stat);
    if (error == 0 && config_end(&reader) != 0) {
        error = E_CONFIG;
    }
    if (error == 0) {
        warn_of_mode(&reading, config, &stat);
    }
    explicit_bzero(&base, sizeof base);
    return error;
}

const char *settings_ca(const struct settings *settings)
{
    return settings->config.tls_ca_file[0] != '\0' ? settings->config.tls_ca_file
           : settings->config.ca_count > 0         ? settings->path
                                                   : "";
}

/* ---- secrets ---- */

static uint64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Reads what the command prints until it ends or its time is over. False: its time is over. */
static bool read_output(int fd, uint64_t end_ms, char *out, size_t size)
{
    size_t length = 0;
    char sink[64] = "";

    for (;;) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        uint64_t at_ms = now_ms();
        bool room = length + 1 < size;
        ssize_t got;

        int count = at_ms < end_ms ? poll(&ready, 1, (int)(end_ms - at_ms)) : 0;

        if (count == 0) {
            return false;
        }
        if (count < 0) {
            continue; /* A signal. */
        }
        got = read(fd, room ? out + length : sink, room ? size - 1 - length : sizeof sink);
        if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) {
            out[length] = '\0';
            return true;
        }
        length += got > 0 && room ? (size_t)got : 0;
    }
}

/* A command may close its output long before it ends. False: its time is over. */
static bool wait_end(pid_t child, uint64_t end_ms, int *status)
{
    static const struct timespec pause = {.tv_sec = 0, .tv_nsec = 5 * 1000000};

    while (waitpid(child, status, WNOHANG) == 0) {
        if (now_ms() >= end_ms) {
            return false;
        }
        (void)nanosleep(&pause, NULL);
    }
    return true;
}

/* The child: without the program's rights, and with nothing open but its output. */
__attribute__((noreturn)) static void run_command(const char *command, int out)
{
    sigset_t none;

    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setsid();
    if (settings_drop_rights() && dup2(out, STDOUT_FILENO) == STDOUT_FILENO) {
        (void)close(STDIN_FILENO);
        (void)open("/dev/null", O_RDONLY);
        (void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    }
    _exit(127);
}

static int command_output(const char *command, char *out, size_t size, struct text *problem)
{
    uint64_t end_ms = now_ms() + COMMAND_MS_MAX;
    int ends[2];
    int status = 0;
    bool ended;
    pid_t child;

    if (pipe2(ends, O_CLOEXEC) < 0 || (child = fork()) < 0) {
        text_format(problem, "the command cannot be run: %s", strerror(errno));
        return E_CONFIG;
    }
    if (child == 0) {
        run_command(command, ends[1]);
    }
    (void)close(ends[1]);
    ended = read_output(ends[0], end_ms, out, size) && wait_end(child, end_ms, &status);
    (void)close(ends[0]);
    if (!ended) {
        (void)kill(-child, SIGKILL);
        (void)kill(child, SIGKILL);
        while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
        }
    }
    if (!ended) {
        text_add(problem, "the command did not end within 30 s");
    } else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        text_format(problem, "the command failed (status %u)",
                    (unsigned)(WIFEXITED(status) ? WEXITSTATUS(status) : 128));
    } else {
        out[strcspn(out, "\r\n")] = '\0';
        return 0;
    }
    return E_CONFIG;
}

int settings_secret(struct config *config, enum settings_secret which, char *problem,
                    size_t problem_size)
{
    static const char *const name[] = {"auth_pass", "auth_pass2", "pop3_pass"};
    char *const out[] = {config->auth_pass, config->auth_pass2, config->pop3_pass};
    const char *const file[] = {config->auth_pass_file, config->auth_pass_file2,
                                config->pop3_pass_file};
    const char *const command[] = {config->auth_pass_command, config->auth_pass_command2,
                                   config->pop3_pass_command};
    char *secret = out[which];
    struct text text = text_begin(problem, problem_size);
    int error = 0;

    if (secret[0] != '\0' || (file[which][0] == '\0' && command[which][0] == '\0')) {
        return 0;
    }
    text_format(&text, "%s: ", name[which]);
    if (file[which][0] == '\0') {
        error = command_output(command[which], secret, CONFIG_SECRET_BYTES, &text);
    } else if (!first_line(file[which], secret, CONFIG_SECRET_BYTES)) {
        text_format(&text, "%s: %s", file[which], strerror(errno));
        error = E_CONFIG;
    }
    if (error == 0 && secret[0] == '\0') {
        text_format(&text, "%s gave nothing; expected the password in its first line",
                    file[which][0] != '\0' ? file[which] : "the command");
        error = E_CONFIG;
    }
    if (error == 0) {
        problem[0] = '\0';
    } else {
        explicit_bzero(secret, CONFIG_SECRET_BYTES);
    }
    return error;
}
