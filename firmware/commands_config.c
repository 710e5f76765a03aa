#include "firmware/commands_config.h"

#include "firmware/app.h"
#include "net/text.h"

#include <string.h>

#define LINE_BYTES 320
#define KEY_BYTES 40
#define PIECE_BYTES 128      /* Of a pasted text; the rest of the line buffer is slack. */
#define WAIT_MS_MAX 120000   /* For the mail that is being sent. */
#define INPUT_QUIET_MS 2000  /* A paste has stopped: sessions may begin. */
#define ABORT_QUIET_MS 200   /* After ^C: the rest of a paste has passed. */
#define INPUT_IDLE_MS 600000 /* A paste was forgotten. */
#define KEY_CTRL_C 3
#define KEY_BACKSPACE 8
#define KEY_DELETE 127

static const char pending[] = "";
static const char by_mail[] = "an order by mail is changing the configuration; try again";

static const char usage[] =
    "expected `config show`, `set KEY VALUE`, `unset KEY`, `import`, `test`, `commit`, `revert "
    "[NUMBER]` or `history`";

/* What may stand behind `config`, in the order of enum verb. */
static const char verbs[] = "show\0history\0import\0test\0commit\0revert\0set\0unset";
enum verb { SHOW, HISTORY, IMPORT, TEST, COMMIT, REVERT, SET, UNSET, VERBS };

void commands_config_init(struct app *app)
{
    memset(&app->config_shell, 0, sizeof app->config_shell);
    candidate_init(&app->config_shell.candidate, &app->slots);
}

/* ---- what is in force, and before ---- */

static const char *show(struct app *app)
{
    char line[LINE_BYTES];

    if (!app->config_valid) {
        app_print(app, "# no valid configuration: these are the defaults");
    }
    for (unsigned i = 0; config_show_line(&app->config, i, line, sizeof line) > 0; i++) {
        app_print(app, "%s", line);
    }
    if (app->config.ca_count > 0) {
        app_print(app, "# %u CA certificates", (unsigned)app->config.ca_count);
    }
    if (candidate_staged(&app->config_shell.candidate)) {
        app_print(app, "# changes are staged: `config test` lists them");
    }
    return NULL;
}

static const char *slot_state(const struct app *app, const struct slot_info *info)
{
    if (info->in_force) {
        return app->slots.on_trial ? "in force, on trial" : "in force";
    }
    if (info->trial && !info->confirmed && (info->started || info->rejected)) {
        return "tried and taken back";
    }
    return info->rejected ? "taken back" : "before";
}

static const char *history(struct app *app)
{
    static const char *const other[] = {
        [FLASH_EMPTY] = "empty",
        [FLASH_UNREADABLE] = FLASH_NO_ANSWER,
        [FLASH_DAMAGED] = "damaged",
        [FLASH_FOREIGN] = "of another version",
    };
    struct slot_info info[2];
    unsigned first;

    slots_info(&app->slots, 0, &info[0]);
    slots_info(&app->slots, 1, &info[1]);
    first = info[1].state == FLASH_GOOD &&
            (info[0].state != FLASH_GOOD || flash_newer(info[1].sequence, info[0].sequence));
    for (unsigned i = 0; i < 2; i++) {
        const struct slot_info *slot = &info[i == 0 ? first : 1 - first];

        if (slot->state != FLASH_GOOD) {
            app_print(app, "  slot %u: %s", i == 0 ? first : 1 - first, other[slot->state]);
        } else {
            app_print(app, "  number %u, %u bytes, %s%s%s%s", (unsigned)slot->sequence,
                      (unsigned)slot->size, slot_state(app, slot), slot->why[0] != '\0' ? ": " : "",
                      slot->why, slot->corrected ? "; one bit went bad and is put right" : "");
        }
    }
    return NULL;
}

/* ---- changes ---- */

/* A session needs the room of the TLS object, and must not be cut off by a reset. */
static bool in_session(const struct app *app)
{
    return app->sender.running || app->poller.running;
}

/* What is staged on the console; not what came by mail. */
static void drop(struct app *app)
{
    if (!app->config_shell.mail.active) {
        candidate_drop(&app->config_shell.candidate);
    }
}

/* Work that needs the room, in which nothing stays. */
static struct candidate_room *borrow(struct app *app)
{
    return APP_ROOM(app);
}

static void give_back(struct candidate_room *room)
{
    memset(room, 0, sizeof *room); /* It has held passwords. */
}

static void print_finding(void *context, unsigned line, const char *key, const char *message)
{
    bool file = config_key_same(key, "tls_ca_file");
    char at[16];

    at[0] = '\0';
    if (line > 0) {
        text_print(at, sizeof at, "line %u: ", line);
    }
    app_print(context, "  %s%s%s%s%s", at, key, key[0] != '\0' ? ": " : "", message,
              file ? "; `config import` takes the PEM block itself" : "");
}

struct key_finding {
    const char *key;
    char message[48];
};

static void take_key_finding(void *context, unsigned line, const char *key, const char *message)
{
    struct key_finding *finding = context;

    (void)line;
    if (config_key_same(key, finding->key)) {
        (void)text_copy(finding->message, sizeof finding->message, message);
    }
}

/* What is wrong with a value should be known when it is typed. */
static void warn(struct app *app, const char *key)
{
    struct candidate_room *room = borrow(app);
    struct key_finding finding = {.key = key};

    if (!in_session(app) && room != NULL) {
        (void)!candidate_check(&app->config_shell.candidate, room, take_key_finding, &finding);
        give_back(room);
        if (finding.message[0] != '\0') {
            app_print(app, "warning: %s: %s", key, finding.message);
        }
    }
}

/* KEY VALUE, KEY = VALUE, KEY=VALUE. The key goes to word; returns the value. */
static const char *take_key(const char *arguments, char *word, size_t size)
{
    struct text text = text_begin(word, size);

    while (*arguments != '\0' && *arguments != ' ' && *arguments != '\t' && *arguments != '=') {
        text_add_char(&text, *arguments++);
    }
    arguments += strspn(arguments, " \t");
    if (*arguments == '=') {
        arguments++;
    }
    return arguments + strspn(arguments, " \t");
}

static const char *set(struct app *app, const char *arguments, bool unset)
{
    char key[KEY_BYTES];
    char value[CONSOLE_LINE_BYTES];
    const char *why = NULL;
    size_t length;
    int result;

    (void)text_copy(value, sizeof value, take_key(arguments, key, sizeof key));
    length = strlen(value);
    while (length > 0 && (value[length - 1] == ' ' || value[length - 1] == '\t')) {
        value[--length] = '\0';
    }
    if (key[0] == '\0' || unset != (length == 0)) {
        why = unset ? "expected `config unset KEY`"
                    : "expected `config set KEY VALUE`; `config unset KEY` takes a key out";
    } else {
        result = candidate_set(&app->config_shell.candidate, key, value, &why);
        if (result == 0) {
            warn(app, key);
            app_print(app, "staged; `config test` checks it, `config commit` takes effect");
        }
    }
    if (candidate_secret(key)) { /* The up arrow would show it. */
        memset(app->console.last, 0, sizeof app->console.last);
    }
    memset(value, 0, sizeof value);
    return why;
}

static void print_change(void *context, const char *line)
{
    app_print(context, "  %s", line);
}

/* Checks what is staged; tells what is wrong, or what changes. NULL: it is good; room then holds
 * the new settings, and is to be given back. */
static const char *check(struct app *app, struct candidate_room *room)
{
    int errors = candidate_check(&app->config_shell.candidate, room, print_finding, app);

    if (errors < 0) {
        return "the flash cannot be read";
    }
    if (errors > 0) {
        return "nothing was changed: correct what is above, or `config revert`";
    }
    candidate_changes(&app->config, &room->config, print_change, app);
    return NULL;
}

static const char *test(struct app *app)
{
    struct candidate_room *room = borrow(app);
    const char *error;

    if (room == NULL) {
        return "no room"; /* Not with any TLS object that there is. */
    }
    error = check(app, room);
    give_back(room);
    return error;
}

const char *commands_config_flash_error(int error)
{
    switch (error) {
    case E_SPACE:
        return "it is too long for its place in flash";
    case E_UNSUPPORTED:
        return "the flash holds a configuration of another version, or there is none";
    case E_TRANSIENT:
        return "a configuration is on trial: wait for its end, or `config revert NUMBER`";
    default:
        return "the flash failed; what was in force still is";
    }
}

static void restart(struct app *app, const char *with)
{
    app_print(app, "restarting with number %u%s", (unsigned)app->slots.sequence, with);
    app_reboot(app);
}

static const char *commit(struct app *app)
{
    struct candidate_room *room = borrow(app);
    uint32_t timeout_s;
    const char *error;
    char with[64];
    bool trial;
    int result;

    if (room == NULL) {
        return "no room";
    }
    error = check(app, room);
    trial = room->config.confirm;
    timeout_s = room->config.confirm_timeout_s;
    give_back(room);
    if (error != NULL) {
        return error;
    }
    result = candidate_commit(&app->config_shell.candidate, trial);
    if (result < 0) {
        return commands_config_flash_error(result);
    }
    with[0] = '\0';
    if (app->slots.on_trial) {
        text_print(with, sizeof with, ", on trial: a mail must get out within %u s",
                   (unsigned)timeout_s);
    } else if (trial) {
        (void)text_copy(with, sizeof with, ", without a trial: there is none to go back to");
    }
    restart(app, with);
    return NULL;
}

/* Either number names the same step: the text in force goes, the one before comes back. */
static const char *revert(struct app *app, uint32_t number)
{
    struct slot_info info[2];
    unsigned now;
    int result;

    slots_info(&app->slots, 0, &info[0]);
    slots_info(&app->slots, 1, &info[1]);
    now = info[1].in_force;
    if (info[1 - now].state != FLASH_GOOD ||
        (number != info[0].sequence && number != info[1].sequence)) {
        return "no such number; `config history` lists them";
    }
    result = slots_reject(&app->slots, "`config revert` on the console");
    if (result == E_MISSING) {
        return "there is none to go back to";
    }
    if (result < 0) {
        return commands_config_flash_error(result);
    }
    candidate_drop(&app->config_shell.candidate);
    app_print(app, "number %u is taken back; restarting with number %u",
              (unsigned)info[now].sequence, (unsigned)info[1 - now].sequence);
    app_reboot(app);
    return NULL;
}

/* ---- a pasted text ---- */

static const char *import_begin(struct app *app)
{
    struct commands_config *shell = &app->config_shell;
    int result = candidate_import_begin(&shell->candidate);

    if (result < 0) {
        return commands_config_flash_error(result);
    }
    shell->input_ms = app->platform.board->millis();
    shell->lines = 0;
    shell->used = 0;
    shell->after_cr = false;
    shell->line_start = true;
    shell->dot = false;
    shell->aborted = false;
    app_print(app, "paste the text (it is not shown); a line with a lone dot ends it, ^C aborts");
    return pending;
}

/* The console is the person's again. error NULL: the text is staged. */
static void import_end(struct app *app, const char *error)
{
    struct commands_config *shell = &app->config_shell;

    memset(app->console.line, 0, sizeof app->console.line);
    shell->input_ms = 0;
    if (error != NULL) {
        drop(app);
        app_print(app, "error: %s; nothing is staged", error);
    } else {
        candidate_import_end(&shell->candidate);
        app_print(app, "%u lines are staged; `config test` checks them", (unsigned)shell->lines);
        app_print(app, "ok");
    }
    console_prompt(&app->console);
}

static bool flush(struct app *app)
{
    struct commands_config *shell = &app->config_shell;
    int result;

    if (!shell->candidate.importing || shell->mail.active) {
        shell->used = 0; /* What is still on its way must not be taken for commands. */
        return false;
    }
    result = candidate_import_push(&shell->candidate, app->console.line, shell->used);
    shell->used = 0;
    if (result < 0) {
        app_print(app, "before line %u: %s; end the text with a lone dot", shell->lines + 2u,
                  commands_config_flash_error(result));
    }
    return result == 0;
}

static void put(struct app *app, char c)
{
    struct commands_config *shell = &app->config_shell;

    app->console.line[shell->used++] = c;
    if (shell->used >= PIECE_BYTES) {
        (void)flush(app);
    }
}

/* What was typed by hand may be corrected, as far as it has not gone to flash. */
static void rub_out(struct app *app)
{
    struct commands_config *shell = &app->config_shell;
    const char *line = app->console.line;

    if (shell->dot) {
        shell->dot = false;
        shell->line_start = true;
    } else if (shell->used > 0 && line[shell->used - 1] != '\n') {
        while (--shell->used > 0 && ((unsigned char)line[shell->used] & 0xC0) == 0x80) {
        }
        shell->line_start = shell->used == 0 ? shell->line_start : line[shell->used - 1] == '\n';
    }
}

static void end_line(struct app *app)
{
    struct commands_config *shell = &app->config_shell;

    if (shell->dot) {
        shell->dot = false;
        if (flush(app)) {
            import_end(app, NULL);
        } else {
            import_end(app, "the text could not be taken");
        }
        return;
    }
    put(app, '\n');
    shell->lines++;
    shell->line_start = true;
}

bool commands_config_takes_input(const struct app *app)
{
    return app->config_shell.input_ms != 0;
}

void commands_config_input(struct app *app, char c)
{
    struct commands_config *shell = &app->config_shell;
    bool line_feed_of_cr = c == '\n' && shell->after_cr;

    shell->input_ms = app->platform.board->millis();
    shell->after_cr = c == '\r';
    if (line_feed_of_cr) {
        return;
    }
    if (c == KEY_CTRL_C || shell->aborted) {
        drop(app);
        shell->aborted = true; /* Once nothing more comes: a paste's rest is no command. */
    } else if (c == '\r' || c == '\n') {
        end_line(app);
    } else if (c == KEY_BACKSPACE || c == KEY_DELETE) {
        rub_out(app);
    } else {
        bool dot = shell->line_start && c == '.';

        if (shell->dot) {
            put(app, '.');
        }
        if (!dot) {
            put(app, c);
        }
        shell->dot = dot;
        shell->line_start = false;
    }
}

/* ---- all of them ---- */

static const char *run(struct app *app, enum config_action action)
{
    switch (action) {
    case CONFIG_ACTION_IMPORT:
        return import_begin(app);
    case CONFIG_ACTION_TEST:
        return test(app);
    case CONFIG_ACTION_COMMIT:
        return commit(app);
    default:
        return revert(app, app->config_shell.number);
    }
}

static const char *request(struct app *app, enum config_action action)
{
    struct commands_config *shell = &app->config_shell;
    bool needs_staged = action == CONFIG_ACTION_TEST || action == CONFIG_ACTION_COMMIT;

    if (needs_staged && !candidate_staged(&shell->candidate)) {
        return "nothing is staged: `config set` or `config import` first";
    }
    if (!in_session(app)) {
        return run(app, action);
    }
    shell->action = action;
    shell->action_ms = app->platform.board->millis();
    app_print(app, "waiting for the mail that is being sent or read");
    return pending;
}

const char *commands_config(struct app *app, const char *arguments)
{
    static const uint8_t actions[] = {
        [IMPORT] = CONFIG_ACTION_IMPORT,
        [TEST] = CONFIG_ACTION_TEST,
        [COMMIT] = CONFIG_ACTION_COMMIT,
    };
    char word[KEY_BYTES];
    const char *rest = take_key(arguments, word, sizeof word);
    unsigned verb = SHOW;

    while (verb < VERBS && !text_equal_nocase(word, text_item(verbs, verb))) {
        verb++;
    }
    if (app->config_shell.mail.active && verb > HISTORY) {
        return by_mail;
    }
    if (verb == SET || verb == UNSET) {
        return set(app, rest, verb == UNSET);
    }
    if (verb == REVERT && text_parse_u32(rest, UINT32_MAX, &app->config_shell.number)) {
        return request(app, CONFIG_ACTION_REVERT);
    }
    if (verb == VERBS || rest[0] != '\0') {
        return usage;
    }
    if (verb == SHOW) {
        return show(app);
    }
    if (verb == HISTORY) {
        return history(app);
    }
    if (verb == REVERT) {
        candidate_drop(&app->config_shell.candidate);
        return NULL;
    }
    return request(app, (enum config_action)actions[verb]);
}

bool commands_config_waits(const struct app *app)
{
    return app->config_shell.action != CONFIG_ACTION_NONE;
}

bool commands_config_holds(struct app *app)
{
    return commands_config_waits(app) ||
           (commands_config_takes_input(app) &&
            app->platform.board->millis() - app->config_shell.input_ms < INPUT_QUIET_MS);
}

void commands_config_poll(struct app *app)
{
    struct commands_config *shell = &app->config_shell;
    uint64_t now_ms = app->platform.board->millis();
    enum config_action action = shell->action;
    const char *error = "that mail takes too long; try again";

    if (commands_config_takes_input(app) && shell->aborted &&
        now_ms - shell->input_ms > ABORT_QUIET_MS) {
        import_end(app, "aborted");
    } else if (commands_config_takes_input(app) && now_ms - shell->input_ms > INPUT_IDLE_MS) {
        import_end(app, "nothing came for 10 minutes");
    }
    if (action == CONFIG_ACTION_NONE ||
        (in_session(app) && now_ms - shell->action_ms < WAIT_MS_MAX)) {
        return;
    }
    shell->action = CONFIG_ACTION_NONE;
    if (!in_session(app)) {
        error = run(app, action);
    }
    app_answer(app, error);
    if (!commands_config_takes_input(app)) {
        console_prompt(&app->console);
    }
}

void commands_config_mail_begin(struct app *app)
{
    static const char changes[] =
        "an order by mail changes the configuration: what was %s is dropped";
    struct commands_config *shell = &app->config_shell;

    if (commands_config_takes_input(app)) {
        shell->aborted = true; /* The rest of the paste is no command. */
        app_print(app, changes, "pasted");
    } else if (commands_config_waits(app)) {
        shell->action = CONFIG_ACTION_NONE;
        app_answer(app, by_mail);
        console_prompt(&app->console);
    } else if (candidate_staged(&shell->candidate)) {
        app_print(app, changes, "staged");
    }
    candidate_drop(&shell->candidate);
    memset(&shell->mail, 0, sizeof shell->mail);
    shell->mail.active = true;
}

void commands_config_mail_end(struct app *app)
{
    struct commands_config *shell = &app->config_shell;

    if (shell->mail.active) {
        candidate_drop(&shell->candidate);
        memset(&shell->mail, 0, sizeof shell->mail);
    }
}
