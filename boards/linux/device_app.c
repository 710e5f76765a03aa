#include "boards/linux/device_app.h"

#include "boards/linux/host.h"
#include "boards/linux/reply.h"
#include "firmware/flash_io.h"
#include "net/text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define ORDER_BYTES_MAX 65536 /* Of a message to the device itself, as on a board. */
#define SECRETS_MS 60000      /* Between two tries to get a password. */
#define CLOCK_STEP_MS 500     /* Less is told by nobody's watch. */
#define TAKE_STEP_MS 50
#define YIELD_STEP_MS 1000

struct device device;

/* ---- the configuration ---- */

static const struct config *file_config(void)
{
    return &device.settings->config;
}

static int16_t zone_now(void)
{
    time_t now = time(NULL);
    struct tm local;

    return localtime_r(&now, &local) != NULL ? (int16_t)(local.tm_gmtoff / 60) : 0;
}

/* What the system knows is a default. */
static void defaults(struct config *config)
{
    (void)text_copy(config->hostname, sizeof config->hostname, device.settings->host);
    device.zone_minutes = zone_now();
    config->zone_minutes = device.zone_minutes;
}

/* Summer has begun, or ended; a zone that was written stays. */
static void follow_zone(void)
{
    int16_t zone_minutes = zone_now();

    if (device.app.config.zone_minutes == device.zone_minutes) {
        device.app.config.zone_minutes = zone_minutes;
        device.zone_minutes = zone_minutes;
    }
}

static void copy_secret(char *to, const char *from)
{
    if (to[0] == '\0') {
        (void)text_copy(to, CONFIG_SECRET_BYTES, from);
    }
}

/* Whether the app's own poller is to read the mailbox: not if all of it is fetched anyway, and
 * nothing in it can be an order. */
static bool polls(const struct config *config)
{
    return config->deliver[0] == '\0' || config->command_key_set || config->command_public_set ||
           config->otp.sequence != 0;
}

static void settle(struct config *config)
{
    const struct config *file = file_config();

    copy_secret(config->auth_pass, file->auth_pass);
    copy_secret(config->auth_pass2, file->auth_pass2);
    copy_secret(config->pop3_pass, file->pop3_pass);
    if (config->pop3_size_max == 0 || config->pop3_size_max > ORDER_BYTES_MAX) {
        config->pop3_size_max = ORDER_BYTES_MAX; /* That key is about mail which is delivered. */
    }
    config->sntp[0].host[0] = '\0'; /* The clock is the system's. */
    config->sntp[1].host[0] = '\0';
    config->dhcp = false;
    if (device.kind != DEVICE_DAEMON) {
        config->alert_boot = false;
        config->alert_link = false;
        config->report = 0;
        config->self_test = 0;
        config->poll_s = 0;
    } else if (!polls(file)) {
        config->pop3.host[0] = '\0';
    }
    if (device.reloads) {
        config->alert_boot = false;
    }
}

/* A configuration with certificates of its own has them in its slot. */
static const struct tls_anchors *anchors(const char **problem)
{
    const char *path = settings_ca(device.settings);

    if (file_config()->tls_ca_file[0] == '\0' && path[0] != '\0') {
        return NULL;
    }
    if (trust_open(&device.trust, path) < 0) {
        *problem = device.trust.problem;
        tls_anchors_init(&device.trust.anchors);
    }
    return &device.trust.anchors;
}

/* The passwords that stand elsewhere. A command that sends nothing needs none. */
static void get_secrets(void)
{
    struct config *config = &device.settings->config;
    bool failed = false;

    device.problem[0] = '\0';
    for (unsigned which = 0; which < 3 && device.kind != DEVICE_LOOKS && !failed; which++) {
        failed = settings_secret(config, (enum settings_secret)which, device.problem,
                                 sizeof device.problem) < 0;
    }
    device.secrets_ms = failed ? posix_monotonic_ms() + SECRETS_MS : 0;
}

__attribute__((format(printf, 1, 2))) static void notice(const char *format, ...)
{
    struct text text = text_begin(device.notice, sizeof device.notice);
    va_list list;

    va_start(list, format);
    text_format_list(&text, format, list);
    va_end(list);
}

static uint64_t hash_bytes(uint64_t hash, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001B3); /* FNV-1a. */
    }
    return hash;
}

/* The file into the slot: it counts from the last write on. */
static int write_slot(const uint8_t *text, size_t size, uint64_t hash)
{
    struct flash_file *file = &board_host.file;
    struct slots slots;
    int error;

    slots_mount(&slots, &file->flash);
    flash_file_hold(file);
    error = slots_stage_begin(&slots, false);
    if (error == E_TRANSIENT) { /* On trial: what a person wrote counts more. */
        error = flash_file_sync(file);
        error = error == 0 ? slots_write(&slots, text, size) : error;
    } else {
        error = error == 0 ? slots_stage_push(&slots, text, size) : error;
        error = flash_file_sync(file) < 0 ? E_IO : error;
        error = error == 0 ? slots_stage_commit(&slots, false) : error;
    }
    return error == 0 ? flash_file_take(file, hash) : error;
}

static void import_config(void)
{
    static uint8_t text[CONFIG_TEXT_BYTES + 1];
    const char *path = device.settings->path;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint64_t hash;
    size_t size = 0;
    ssize_t got = 1;
    int error = 0;

    while (fd >= 0 && size < sizeof text && got != 0) {
        got = read(fd, text + size, sizeof text - size);
        if (got < 0 && errno != EINTR) {
            break;
        }
        size += got > 0 ? (size_t)got : 0;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    if (fd < 0 || got < 0) {
        notice("%s: %s; the configuration before it counts", path, strerror(errno));
        return;
    }
    hash = hash_bytes(UINT64_C(0xCBF29CE484222325), text, size);
    if (size > CONFIG_TEXT_BYTES) {
        error = E_SPACE;
    } else if (hash != flash_file_taken(&board_host.file)) {
        error = write_slot(text, size, hash);
    }
    explicit_bzero(text, size);
    if (error == E_SPACE) {
        notice("%s: longer than %u bytes; the configuration before it counts", path,
               (unsigned)CONFIG_TEXT_BYTES);
    } else if (error < 0) {
        notice("%s does not take the configuration: %s", device.path, error_name(error));
    }
}

/* ---- the flash ---- */

/* A one-shot process sends what it has in hand, and goes; a daemon stays. */
static bool ask_to_yield(void)
{
    int fd = control_connect(device.settings->config.state);
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    bool daemon = false;
    char text[128];
    ssize_t got;

    if (fd < 0) {
        return false;
    }
    if (send(fd, "yield\n", 6, MSG_NOSIGNAL) == 6 && poll(&ready, 1, YIELD_STEP_MS) > 0 &&
        (got = recv(fd, text, sizeof text - 1, MSG_DONTWAIT)) > 0) {
        text[got] = '\0';
        daemon = strstr(text, "daemon") != NULL;
    }
    (void)close(fd);
    return daemon;
}

static int exit_code(int error)
{
    return error == E_TRANSIENT ? EX_TEMPFAIL
           : error == E_SPACE   ? EX_CANTCREAT
           : errno == EACCES    ? EX_NOPERM
                                : EX_IOERR;
}

static int take_flash(uint32_t wait_ms)
{
    uint64_t end_ms = posix_monotonic_ms() + wait_ms;
    const struct timespec step = {.tv_nsec = TAKE_STEP_MS * 1000000L};
    int error;

    while ((error = flash_file_open(&board_host.file, device.path)) == E_TRANSIENT &&
           posix_monotonic_ms() < end_ms) {
        if (device.kind == DEVICE_DAEMON && ask_to_yield()) {
            reply_complain("the daemon is running already: process %u",
                           (unsigned)board_host.file.holder);
            return EX_TEMPFAIL;
        }
        if (device.kind != DEVICE_DAEMON) {
            return EX_TEMPFAIL; /* Whoever has it can be asked. */
        }
        (void)nanosleep(&step, NULL);
    }
    if (error < 0) {
        int code = exit_code(error);

        reply_complain("%s%s", board_host.file.problem, code == EX_NOPERM ? DEVICE_WHO_MAY : "");
        return code;
    }
    if (board_host.file.notice[0] != '\0') {
        reply_complain("%s", board_host.file.notice);
    }
    return EX_OK;
}

/* The folder, and those above it. */
static int make_folder(const char *path)
{
    char part[256];

    (void)text_copy(part, sizeof part, path);
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(part, 0755);
        *slash = '/';
    }
    return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : -1;
}

int device_take(struct settings *settings, enum device_kind kind, uint32_t wait_ms)
{
    const char *state = settings->config.state;

    device.settings = settings;
    device.kind = kind;
    device.signals = -1;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    if (make_folder(state) < 0) {
        int code = errno == EACCES ? EX_NOPERM : EX_CANTCREAT;

        reply_complain("%s: %s; make that folder, or set `state`", state, strerror(errno));
        return code;
    }
    (void)text_print(device.path, sizeof device.path, "%s/" DEVICE_FLASH_FILE, state);
    return take_flash(wait_ms);
}

/* ---- the app's surroundings ---- */

static bool static_host(void *context, const char *name, uint32_t *address)
{
    const struct config *config = context;

    for (unsigned i = 0; i < config->host_count; i++) {
        if (text_equal_nocase(config->host[i].name, name)) {
            *address = config->host[i].address;
            return true;
        }
    }
    return false;
}

const char *device_without_time(const char *line)
{
    const char *rest = line;

    for (unsigned words = line[0] == '+' ? 1 : 2; words > 0 && *rest != '\0'; words--) {
        rest += strcspn(rest, " ");
        rest += strspn(rest, " ");
    }
    return *rest != '\0' ? rest : line;
}

bool device_settle(void *context)
{
    (void)context;
    return flash_file_settle(&board_host.file) == 0;
}

/* What flash tells of a mail is on the disk before the server can know more. A disk that failed
 * keeps no mail back. */
static size_t settle_and_tx(struct link *link, const uint8_t *bytes, size_t size)
{
    (void)device_settle(NULL);
    return device.link_tx(link, bytes, size);
}

static struct link *init_link(void)
{
    struct link *link = link_posix_init(&device.link, static_host, &device.app.config);

    device.link_ops = *link_ops(link);
    device.link_tx = device.link_ops.tx;
    device.link_ops.tx = settle_and_tx;
    ((struct link_base *)(void *)link)->ops = &device.link_ops;
    return link;
}

static void network_status(struct network_status *status)
{
    network_look(&device.network, posix_monotonic_ms(), status);
}

static int console_getc(void)
{
    return control_getc(&device.control);
}

static void console_write(const char *text, size_t size)
{
    control_write(&device.control, text, size);
}

/* The system's clock, when it is first known to the app and whenever it was set. A time that the
 * app refuses is offered again when it has changed. */
static void follow_clock(void)
{
    int64_t clock_ms = (int64_t)(posix_unix_ms() - posix_monotonic_ms());
    int64_t moved_ms = clock_ms - device.clock_ms;

    if (moved_ms > CLOCK_STEP_MS || moved_ms < -CLOCK_STEP_MS) {
        device.clock_ms = clock_ms;
        app_set_time(&device.app, posix_unix_ms(), "the system");
    }
}

void device_follow(void)
{
    follow_clock();
    follow_zone();
    if (device.secrets_ms != 0 && posix_monotonic_ms() >= device.secrets_ms) {
        get_secrets();
        if (device.problem[0] == '\0') {
            settle(&device.app.config);
            device.app.network_problem = NULL;
        }
    }
}

void device_start(enum reset_cause cause)
{
    struct platform platform = {
        .board = &board,
        .link = init_link(),
        .network_status = network_status,
        .defaults = defaults,
        .settle = settle,
        .anchors = anchors,
    };

    board_host.getc = console_getc;
    board_host.write = console_write;
    host_start(cause);
    network_init(&device.network, file_config()->mailhub.host);
    device.notice[0] = '\0';
    get_secrets();
    import_config();
    memset(&device.app, 0, sizeof device.app);
    device.clock_ms = 0;
    app_init(&device.app, &platform);
    if (device.problem[0] != '\0') {
        device.app.network_problem = device.problem;
    }
    follow_clock();
    app_start(&device.app);
    if (device.notice[0] != '\0' && device.kind == DEVICE_DAEMON) {
        app_log(&device.app, "%s", device.notice);
    } else if (device.notice[0] != '\0') {
        reply_complain("%s", device.notice);
    }
}

void device_end(void)
{
    if (device.app.sender.session.phase == SESSION_CLOSE) {
        link_close(device.app.platform.link);
    } else {
        link_abort(device.app.platform.link);
    }
    explicit_bzero(&device.app, sizeof device.app);
}

/* ---- waiting ---- */

static void on_signal(int number)
{
    int error = errno;
    char byte = (char)number;

    (void)!write(device.signal_in, &byte, 1);
    errno = error;
}

int device_catch_signals(const int *numbers, size_t count)
{
    struct sigaction action = {.sa_handler = on_signal};
    int ends[2];

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
        return E_IO;
    }
    device.signals = ends[0];
    device.signal_in = ends[1];
    for (size_t i = 0; i < count; i++) {
        (void)sigaction(numbers[i], &action, NULL);
    }
    return 0;
}

int device_signal(void)
{
    char byte;

    return device.signals >= 0 && read(device.signals, &byte, 1) == 1 ? byte : 0;
}

void device_wait(struct pollfd *more, size_t count, uint32_t timeout_ms)
{
    struct pollfd fds[LINK_POSIX_MORE_MAX];
    size_t used = control_wants(&device.control, fds);
    size_t unread;
    bool wants;

    if (device.signals >= 0) {
        fds[used++] = (struct pollfd){.fd = device.signals, .events = POLLIN};
    }
    (void)device_settle(NULL);
    for (size_t i = 0; i < count; i++) {
        fds[used + i] = more[i];
    }
    (void)link_rx_buf(device.app.platform.link, &unread);
    wants = unread == 0 || unread != device.unread; /* Else it was offered, and not taken. */
    device.unread = unread;
    link_posix_wait(&device.link, wants, fds, used + count, (int)timeout_ms);
    for (size_t i = 0; i < count; i++) {
        more[i] = fds[used + i];
    }
}
