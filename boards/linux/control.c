#include "boards/linux/control.h"

#include "net/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LINE_MS_MAX 60000 /* For a client to write its line; a person may type it, */
#define PATIENCE_MS 100   /* unless others wait for his place. */
#define BACKLOG 64
#define CTRL_C 3
#define LOG_PREFIX "log: "

/* ---- lines ---- */

void control_lines_push(struct control_lines *lines, const char *text, size_t size,
                        void (*take)(void *context, const char *line), void *context)
{
    for (size_t i = 0; i < size; i++) {
        char c = text[i];

        if (c == '\n') {
            lines->line[lines->length] = '\0';
            lines->length = 0;
            lines->after_cr = false;
            take(context, lines->line);
            continue;
        }
        if (lines->after_cr) { /* The line is drawn anew. */
            lines->length = 0;
            lines->after_cr = false;
        }
        if (c == '\r') {
            lines->after_cr = true;
        } else if (c == '\033') {
            lines->escape = true;
        } else if (lines->escape) {
            lines->escape = !((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'));
        } else if (c != '\a' && lines->length + 1 < sizeof lines->line) {
            lines->line[lines->length++] = c;
        }
    }
}

/* ---- the socket's name ---- */

/* The path may be longer than an address holds: 107 bytes. */
static int in_folder(const char *folder, int (*act)(int fd, const struct sockaddr_un *address),
                     int fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = CONTROL_FILE};
    int back = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int result;
    int error;

    if (strlen(folder) + sizeof "/" CONTROL_FILE <= sizeof address.sun_path) {
        (void)text_print(address.sun_path, sizeof address.sun_path, "%s/" CONTROL_FILE, folder);
        result = act(fd, &address);
    } else {
        result = chdir(folder) == 0 ? act(fd, &address) : -1;
    }
    error = errno;
    if (back >= 0) {
        (void)!fchdir(back);
        (void)close(back);
    }
    errno = error;
    return result;
}

static int bind_to(int fd, const struct sockaddr_un *address)
{
    (void)unlink(address->sun_path);
    if (bind(fd, (const struct sockaddr *)(const void *)address, sizeof *address) < 0 ||
        chmod(address->sun_path, 0660) < 0) {
        return -1;
    }
    return listen(fd, BACKLOG);
}

static int connect_to(int fd, const struct sockaddr_un *address)
{
    return connect(fd, (const struct sockaddr *)(const void *)address, sizeof *address);
}

static int remove_it(int fd, const struct sockaddr_un *address)
{
    (void)fd;
    return unlink(address->sun_path);
}

int control_connect(const char *folder)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int error;

    if (fd < 0) {
        return E_IO;
    }
    if (in_folder(folder, connect_to, fd) == 0) {
        return fd;
    }
    error = errno;
    (void)close(fd);
    errno = error;
    return error == ECONNREFUSED || error == ENOENT ? E_MISSING : E_IO;
}

void control_init(struct control *control, struct app *app, bool daemon, uint32_t owner)
{
    memset(control, 0, sizeof *control);
    control->app = app;
    control->daemon = daemon;
    control->owner = owner;
    control->listener = -1;
}

int control_open(struct control *control, const char *folder)
{
    int error;

    (void)text_copy(control->folder, sizeof control->folder, folder);
    control->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (control->listener < 0) {
        return E_IO;
    }
    if (in_folder(folder, bind_to, control->listener) == 0) {
        return 0;
    }
    error = errno;
    (void)close(control->listener);
    control->listener = -1;
    errno = error;
    return E_IO;
}

static void drop(struct control *control, struct control_client *client)
{
    struct app *app = control->app;

    if (client->fd >= 0) {
        (void)close(client->fd);
    }
    if (client == control->pending) {
        control->pending = NULL;
        if (roundtrip_waits(app)) {
            roundtrip_stop(app);
        }
    }
    if (client == control->terminal) {
        control->terminal = NULL;
        control->keys_size = 0;
        control->keys_at = 0;
        app->console.length = 0;
        app->console.cursor = 0;
        if (commands_config_takes_input(app)) {
            commands_config_input(app, CTRL_C);
        }
    }
    memset(client, 0, sizeof *client);
    client->fd = -1;
}

/* Clients that came before nobody could connect any more are still in the listener's queue. */
void control_shut(struct control *control)
{
    if (control->listener >= 0) {
        (void)in_folder(control->folder, remove_it, -1);
    }
}

void control_close_clients(struct control *control)
{
    for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
        if (control->client[i].state != CONTROL_FREE) {
            drop(control, &control->client[i]);
        }
    }
    control->current = NULL;
}

void control_close(struct control *control)
{
    control_close_clients(control);
    if (control->listener >= 0) {
        (void)close(control->listener);
        control->listener = -1;
    }
}

/* ---- what goes out ---- */

/* What does not fit now is lost, and so is who does not read. */
static bool give(struct control_client *client, const char *bytes, size_t size)
{
    ssize_t sent = send(client->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);

    return sent >= 0 && (size_t)sent == size;
}

/* The two that an answer's line is for. */
struct audience {
    struct control *control;
    struct control_client *client;
};

static void answer_line(void *context, const char *line)
{
    struct audience *audience = context;
    struct control_client *client = audience->client;
    char whole[sizeof client->lines.line + 1];
    size_t size;
    bool last;

    if (client->state != CONTROL_ANSWERING || text_starts_nocase(line, LOG_PREFIX)) {
        return;
    }
    if (!audience->control->settle(audience->control->context)) {
        line = "error: the disk failed: it is not known what it has taken";
    }
    last = strcmp(line, "ok") == 0 || text_starts_nocase(line, "error: ");
    if (client->fd < 0) {
        audience->control->own_line(audience->control->context, line);
    } else {
        size = text_print(whole, sizeof whole, "%s\n", line);
        client->gone = !give(client, whole, size) || last;
    }
    if (last) {
        client->state = CONTROL_FREE;
        if (client->fd >= 0) { /* Closed by the next control_poll(). */
            client->gone = true;
            client->state = CONTROL_ANSWERING;
        }
        if (audience->control->pending == client) {
            audience->control->pending = NULL;
        }
    }
}

static void answer(struct control *control, struct control_client *client, const char *text,
                   size_t size)
{
    struct audience audience = {control, client};

    if (!client->gone) {
        control_lines_push(&client->lines, text, size, answer_line, &audience);
    }
}

static void log_line(void *context, const char *line)
{
    struct control *control = context;

    if (text_starts_nocase(line, LOG_PREFIX) && control->log_line != NULL) {
        control->log_line(control->context, line + sizeof LOG_PREFIX - 1);
    }
}

void control_write(struct control *control, const char *text, size_t size)
{
    control_lines_push(&control->log, text, size, log_line, control);
    if (control->current != NULL) {
        answer(control, control->current, text, size);
        return;
    }
    if (control->terminal != NULL) {
        (void)give(control->terminal, text, size);
    }
    if (control->pending != NULL) {
        answer(control, control->pending, text, size);
    }
}

/* ---- commands ---- */

static bool word_is(const char *line, const char *word)
{
    size_t length = strlen(word);

    line += strspn(line, " \t");
    return text_starts_nocase(line, word) &&
           (line[length] == '\0' || line[length] == ' ' || line[length] == '\t');
}

static bool one_of(const char *line, const char *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (word_is(line, text_item(words, i))) {
            return true;
        }
    }
    return false;
}

/* Commands that may have to wait for a session, or end in a reset. */
static bool is_exclusive(const char *line)
{
    return one_of(line, "test\0config\0reboot\0crash", 4);
}

static bool is_for_all(const char *line)
{
    return one_of(line, "alert\0test\0status\0help", 4);
}

static bool answer_comes(const struct control *control)
{
    return control->pending != NULL || control->app->test != TEST_NONE ||
           commands_config_waits(control->app) || roundtrip_waits(control->app);
}

static void refuse(struct control *control, struct control_client *client, const char *why)
{
    char line[160];
    size_t size = text_print(line, sizeof line, "error: %s\n", why);

    client->state = CONTROL_ANSWERING;
    answer(control, client, line, size);
}

static void tell_path(struct control *control, struct control_client *client)
{
    char lines[320];
    size_t size = text_print(lines, sizeof lines, "%s\nok\n", control->path);

    client->state = CONTROL_ANSWERING;
    answer(control, client, lines, size);
}

static void begin_terminal(struct control *control, struct control_client *client)
{
    if (!client->full) {
        refuse(control, client, "only root may do that");
    } else if (control->terminal != NULL) {
        refuse(control, client, "another console is open");
    } else {
        client->state = CONTROL_TERMINAL;
        control->terminal = client;
        console_prompt(&control->app->console);
    }
}

static void run_now(struct control *control, struct control_client *client)
{
    struct app *app = control->app;
    bool shown = app->console.prompt_shown;

    client->state = CONTROL_ANSWERING;
    app->console.prompt_shown = false; /* It is the terminal's. */
    control->current = client;
    app_command(app, client->line);
    control->current = NULL;
    app->console.prompt_shown = shown;
    if (client->state == CONTROL_ANSWERING && !client->gone) {
        control->pending = client;
    }
    explicit_bzero(client->line, sizeof client->line); /* `config set auth_pass`. */
}

/* A client's line has come. */
static void run(struct control *control, struct control_client *client)
{
    const char *line = client->line;

    if (line[strspn(line, " \t")] == '\0') {
        refuse(control, client, "no command");
    } else if (word_is(line, "console")) {
        begin_terminal(control, client);
    } else if (word_is(line, "which")) {
        tell_path(control, client);
    } else if (word_is(line, "yield")) {
        control->yield = control->yield || (client->full && !control->daemon);
        refuse(control, client, control->daemon ? "the daemon is running" : "soon");
    } else if (!client->full && !is_for_all(line)) {
        refuse(control, client, "only root may do that");
    } else if (text_starts_nocase(line, "config import")) {
        refuse(control, client, "a text is pasted into `tocsin console`, or put into the file");
    } else if (is_exclusive(line) && answer_comes(control)) {
        client->state = CONTROL_WAITING;
    } else {
        run_now(control, client);
    }
}

void control_run(struct control *control, const char *line, bool full)
{
    control->own = (struct control_client){.fd = -1, .full = full};
    (void)text_copy(control->own.line, sizeof control->own.line, line);
    run(control, &control->own);
}

/* ---- what comes in ---- */

static bool is_full(const struct control *control, int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           (peer.uid == 0 || peer.uid == control->owner);
}

static bool somebody_comes(const struct control *control)
{
    struct pollfd look = {.fd = control->listener, .events = POLLIN};

    return poll(&look, 1, 0) > 0;
}

/* A free place; when there is none, that of the client which has said nothing for longest. NULL:
 * all wait for an answer, or have only just come. */
static struct control_client *free_client(struct control *control, uint64_t now_ms)
{
    struct control_client *slowest = NULL;

    for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
        struct control_client *client = &control->client[i];

        if (client->state == CONTROL_FREE) {
            return client;
        }
        if (client->state == CONTROL_READING &&
            client->deadline_ms + PATIENCE_MS < now_ms + LINE_MS_MAX &&
            (slowest == NULL || client->deadline_ms < slowest->deadline_ms)) {
            slowest = client;
        }
    }
    if (slowest != NULL && somebody_comes(control)) {
        drop(control, slowest);
        return slowest;
    }
    return NULL;
}

static bool take_clients(struct control *control, uint64_t now_ms)
{
    struct control_client *client;
    bool moved = false;

    while (control->listener >= 0 && (client = free_client(control, now_ms)) != NULL) {
        int fd = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0) {
            break;
        }
        *client = (struct control_client){.state = CONTROL_READING,
                                          .fd = fd,
                                          .full = is_full(control, fd),
                                          .deadline_ms = now_ms + LINE_MS_MAX};
        moved = true;
    }
    return moved;
}

/* Returns bytes, 0: none now; -1: it has ended. */
static ssize_t take_bytes(struct control_client *client, char *out, size_t size)
{
    ssize_t got = recv(client->fd, out, size, MSG_DONTWAIT);

    if (got > 0) {
        return got;
    }
    return got < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static bool read_line(struct control *control, struct control_client *client)
{
    char *at = client->line + client->length;
    ssize_t got = take_bytes(client, at, sizeof client->line - 1 - client->length);
    size_t fill = got > 0 ? (size_t)got : 0;
    char *end = memchr(at, '\n', fill);
    size_t rest = end != NULL ? fill - (size_t)(end + 1 - at) : 0;

    client->length += fill;
    if (end == NULL && got < 0 && client->length > 0) {
        end = client->line + client->length; /* The last line needs no end. */
    }
    if (end != NULL) {
        *end = '\0';
        end[-(end > client->line && end[-1] == '\r')] = '\0';
        run(control, client);
        if (client->state == CONTROL_TERMINAL && rest <= sizeof control->keys) {
            memcpy(control->keys, end + 1, rest);
            control->keys_size = rest;
        }
    } else if (got < 0) {
        client->gone = true;
    } else if (client->length == sizeof client->line - 1) {
        refuse(control, client, "the line is too long");
    }
    return got != 0;
}

/* A client that waits for its answer has nothing more to say, but may go. */
static bool has_left(const struct control_client *client)
{
    struct pollfd look = {.fd = client->fd};

    return poll(&look, 1, 0) > 0 && (look.revents & (POLLHUP | POLLERR)) != 0;
}

static bool read_keys(struct control *control, struct control_client *client)
{
    ssize_t got;

    if (control->keys_at < control->keys_size) {
        return false;
    }
    got = client->ended ? -1 : take_bytes(client, control->keys, sizeof control->keys);
    control->keys_at = 0;
    control->keys_size = got > 0 ? (size_t)got : 0;
    client->ended = got < 0;
    client->gone = got < 0 && (!answer_comes(control) || has_left(client));
    return got > 0;
}

static bool serve(struct control *control, struct control_client *client, uint64_t now_ms)
{
    switch (client->state) {
    case CONTROL_READING:
        if (now_ms >= client->deadline_ms) {
            client->gone = true;
            return true;
        }
        return read_line(control, client);
    case CONTROL_WAITING:
        if (!answer_comes(control)) {
            run(control, client);
            return true;
        }
        client->gone = has_left(client);
        return client->gone;
    case CONTROL_ANSWERING:
        client->gone = client->gone || has_left(client);
        return client->gone;
    case CONTROL_TERMINAL:
        return read_keys(control, client);
    case CONTROL_FREE:
    default:
        return false;
    }
}

bool control_poll(struct control *control, uint64_t now_ms)
{
    bool moved = take_clients(control, now_ms);

    for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
        struct control_client *client = &control->client[i];

        if (client->state != CONTROL_FREE) {
            moved |= serve(control, client, now_ms);
        }
        if (client->state != CONTROL_FREE && client->gone) {
            drop(control, client);
        }
    }
    if (control->own.state == CONTROL_WAITING && !answer_comes(control)) {
        run(control, &control->own);
        moved = true;
    }
    return moved;
}

size_t control_wants(const struct control *control, struct pollfd *out)
{
    size_t count = 0;
    bool room = false;

    for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
        const struct control_client *client = &control->client[i];
        bool reads = client->state == CONTROL_READING ||
                     (client->state == CONTROL_TERMINAL && !client->ended &&
                      control->keys_at == control->keys_size);

        room = room || client->state == CONTROL_FREE || client->state == CONTROL_READING;
        if (client->state != CONTROL_FREE) {
            out[count++] = (struct pollfd){.fd = client->fd, .events = reads ? POLLIN : 0};
        }
    }
    if (control->listener >= 0 && room) {
        out[count++] = (struct pollfd){.fd = control->listener, .events = POLLIN};
    }
    return count;
}

bool control_busy(const struct control *control)
{
    for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
        if (control->client[i].state != CONTROL_FREE) {
            return true;
        }
    }
    return false;
}

int control_getc(struct control *control)
{
    if (control->keys_at == control->keys_size) {
        return -1;
    }
    return (unsigned char)control->keys[control->keys_at++];
}
