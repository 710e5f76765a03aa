#include "boards/linux/options.h"
#include "net/text.h"

#include <string.h>

/* How an option takes its value. */
enum takes {
    TAKES_NOTHING,
    TAKES_JOINED, /* What is joined to it, if anything. */
    TAKES_ANY,    /* Joined, or the next argument unless that is an option. */
    TAKES_WORD,   /* The same, unless that looks like an address. */
    TAKES_LETTER, /* Joined, or a next argument of one or two letters. */
    TAKES_NUMBER  /* Joined, or a next argument of digits. */
};

/* What is being read. */
struct parser {
    struct options *options;
    void (*warn)(void *context, const char *sentence);
    void *context;
    const char *why; /* Set: there is nothing to be done here. */
    const char **argv;
    int argc, at;
    bool has_q; /* A -q, whatever the mode. */
};

/* Of the option no more than size bytes, as far as a '=': what follows may be a secret. */
static void warn_part(struct parser *parser, const char *option, size_t size, const char *what)
{
    char sentence[256];
    struct text text = text_begin(sentence, sizeof sentence);
    size_t length = strcspn(option, "=");

    text_add(&text, "option ");
    text_add_printable(&text, option, length < size ? length : size);
    text_format(&text, "%s %s", length < size ? "" : "...", what);
    parser->warn(parser->context, sentence);
}

static void warn(struct parser *parser, const char *option, const char *what)
{
    warn_part(parser, option, 64, what);
}

static void warn_letter(struct parser *parser, char letter, const char *what)
{
    char option[3] = {'-', letter, '\0'};

    warn(parser, option, what);
}

/* ---- values ---- */

static bool is_digits(const char *string)
{
    return string[0] != '\0' && string[strspn(string, "0123456789")] == '\0';
}

static bool is_letters(const char *string)
{
    size_t length = strlen(string);

    return (length == 1 || length == 2) &&
           strspn(string, "abcdefghijklmnopqrstuvwxyzADHPSV") == length;
}

/* The next argument if it is this option's, else NULL. */
static const char *next_value(struct parser *parser, enum takes takes)
{
    const char *next = parser->at + 1 < parser->argc ? parser->argv[parser->at + 1] : NULL;
    bool fits;

    if (next == NULL || next[0] == '-' || takes <= TAKES_JOINED) {
        return NULL;
    }
    fits = takes == TAKES_ANY || (takes == TAKES_WORD && strchr(next, '@') == NULL) ||
           (takes == TAKES_LETTER && is_letters(next)) ||
           (takes == TAKES_NUMBER && is_digits(next));
    if (!fits) {
        return NULL;
    }
    parser->at++;
    return next;
}

/* "1h30m", "15m", "15" (minutes, as sendmail has it). false: no such thing. */
static bool parse_interval(const char *string, uint32_t *interval_s)
{
    static const char units[] = "smhdw";
    static const uint32_t seconds[] = {1, 60, 3600, 86400, 604800};
    uint64_t sum = 0;

    if (*string == '\0') {
        return false;
    }
    while (*string != '\0') {
        size_t digits = strspn(string, "0123456789");
        const char *unit = &units[1];
        uint32_t count = 0;

        if (digits == 0 || digits > 7) {
            return false;
        }
        for (size_t i = 0; i < digits; i++) {
            count = count * 10 + (uint32_t)(string[i] - '0');
        }
        string += digits;
        if (*string != '\0') {
            unit = strchr(units, *string++);
        }
        if (unit == NULL) {
            return false;
        }
        sum += (uint64_t)count * seconds[unit - units];
    }
    *interval_s = sum > 366 * 86400 ? 366 * 86400 : (uint32_t)sum;
    return true;
}

/* RFC 3461 4.1: "never" alone, or some of the others. */
static bool is_notify(const char *list)
{
    static const char *const words[] = {"success", "failure", "delay"};

    if (text_equal_nocase(list, "never")) {
        return true;
    }
    for (;;) {
        size_t length = strcspn(list, ",");
        bool known = false;

        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
            known |= length == strlen(words[i]) && text_starts_nocase(list, words[i]);
        }
        if (!known) {
            return false;
        }
        if (list[length] == '\0') {
            return true;
        }
        list += length + 1;
    }
}

/* RFC 3461 4.4: printable, at most 100 characters. */
static bool is_envid(const char *value)
{
    size_t length = strlen(value);

    for (size_t i = 0; i < length; i++) {
        if (value[i] <= ' ' || value[i] > '~') {
            return false;
        }
    }
    return length > 0 && length <= 100;
}

static bool is_false(const char *value)
{
    return value[0] != '\0' && strchr("0fFnN", value[0]) != NULL;
}

/* ---- options with values ---- */

static void take_mode(struct parser *parser, const char *value)
{
    static const char mode_letters[] = "sSpPidDvt";
    static const enum options_mode modes[] = {
        OPTIONS_SMTP,   OPTIONS_SMTP,   OPTIONS_MAILQ,  OPTIONS_MAILQ,  OPTIONS_NEWALIASES,
        OPTIONS_DAEMON, OPTIONS_DAEMON, OPTIONS_VERIFY, OPTIONS_VERIFY,
    };
    struct options *options = parser->options;
    const char *letter = value[0] != '\0' ? strchr(mode_letters, value[0]) : NULL;

    if (letter != NULL) {
        options->mode = modes[letter - mode_letters];
        options->foreground = value[0] == 'D';
    } else if (value[0] == 'm' || value[0] == 'a') {
        options->mode = OPTIONS_DELIVER;
    } else if (value[0] == 'V') {
        options->version = true;
    } else if (value[0] != '\0' && strchr("hHefFrz", value[0]) != NULL) {
        parser->why = "this -b asks another mail program for something else than to send a mail";
    } else {
        warn(parser, "-b", "has a mode that is not known: the mail is sent as without it");
    }
}

static void take_queue(struct parser *parser, const char *value)
{
    struct options *options = parser->options;
    const char *next = parser->at + 1 < parser->argc ? parser->argv[parser->at + 1] : "";

    parser->has_q = true;
    if (value[0] == '\0' && parse_interval(next, &options->interval_s)) {
        parser->at++; /* -q 15m: no mail goes to an address like that. */
        return;
    }
    value += value[0] == 'p'; /* sendmail: with a process that stays. */
    if (value[0] != '\0' && !parse_interval(value, &options->interval_s) &&
        strchr("IRSG!LQ", value[0]) != NULL) {
        warn(parser, "-q", "cannot pick mails here: the whole queue is run");
    }
}

/* -O NAME=VALUE; also of -o " NAME=VALUE". */
static void take_long_setting(struct parser *parser, const char *value)
{
    const char *equals = strchr(value, '=');
    const char *setting = equals != NULL ? equals + 1 : "";

    if (text_starts_nocase(value, "DeliveryMode")) {
        parser->options->queue_only = setting[0] != '\0' && strchr("qQdD", setting[0]) != NULL;
    } else if (text_starts_nocase(value, "IgnoreDots")) {
        parser->options->dot_is_text = !is_false(setting);
    } else if (text_starts_nocase(value, "QueueDirectory")) {
        warn(parser, "-O QueueDirectory", "has no effect: `spool` of the configuration names it");
    }
}

/* -oX: sendmail's options of one letter. */
static void take_setting(struct parser *parser, const char *value)
{
    static const char *const exim_values[] = {"Ma", "Maa", "Mai", "Mas", "Mi", "Mm", "Mr",
                                              "Ms", "Mt",  "P",   "X",   "r",  "s"};

    switch (value[0]) {
    case 'i':
        parser->options->dot_is_text = !is_false(value + 1);
        return;
    case 'd':
        parser->options->queue_only = value[1] == 'q' || value[1] == 'd';
        return;
    case 'v':
        parser->options->verbose = !is_false(value + 1);
        return;
    case ' ':
        take_long_setting(parser, value + strspn(value, " "));
        return;
    case 'Q':
        warn(parser, "-oQ", "has no effect: `spool` of the configuration names the queue");
        return;
    default:
        break;
    }
    for (size_t i = 0; i < sizeof exim_values / sizeof exim_values[0]; i++) {
        if (strcmp(value, exim_values[i]) == 0) {
            (void)next_value(parser, TAKES_WORD); /* Exim's have it apart. */
        }
    }
}

/* -auUSER, -apPASS, -amMETHOD of ssmtp and BusyBox; -a ACCOUNT of msmtp. */
static void take_account(struct parser *parser, const char *value)
{
    if (value[0] == 'p') {
        warn(parser, "-ap",
             "gives a password where everybody can read it (ps): it is not used; put "
             "auth_pass into the configuration");
    } else if (value[0] == 'u' || value[0] == 'm') {
        warn(parser, "-au", "has no effect: user and password belong into the configuration");
    } else {
        warn(parser, "-a", "has no effect: give the account's configuration with -C FILE");
    }
    if (value[0] == '\0' || (value[1] == '\0' && strchr("upm", value[0]) != NULL)) {
        (void)next_value(parser, TAKES_ANY);
    }
}

static void take_notify(struct parser *parser, const char *value)
{
    if (is_notify(value)) {
        parser->options->notify = value;
    } else {
        warn(parser, "-N", "wants never, or of success,failure,delay: no report is asked for");
    }
}

static void take_return(struct parser *parser, const char *value)
{
    if (text_equal_nocase(value, "full")) {
        parser->options->ret = "full";
    } else if (text_equal_nocase(value, "hdrs")) {
        parser->options->ret = "hdrs";
    } else {
        warn(parser, "-R", "wants full or hdrs, and has no effect");
    }
}

static void take_envid(struct parser *parser, const char *value)
{
    if (is_envid(value)) {
        parser->options->envid = value;
    } else {
        warn(parser, "-V", "wants up to 100 printable characters, and has no effect");
    }
}

static void take_trace(struct parser *parser, const char *value)
{
    if (value[0] == 'V' && strpbrk(value, "/.") == NULL) {
        warn(parser, "-XV", "has no effect: senders that vary with the recipient are not made");
    } else {
        parser->options->trace = value;
    }
}

/* Exim's commands to its queue: no mail comes with them. sendmail's -MxVALUE sets a macro. */
static void take_macro(struct parser *parser, const char *value)
{
    static const char commands[] = " ar c C es f g G mad rm set t vb vc vh vl ";
    const char *found = strchr(value, ' ') == NULL ? strstr(commands, value) : NULL;

    if (value[0] == '\0' || (found != NULL && found[-1] == ' ' && found[strlen(value)] == ' ')) {
        parser->why = "-M is a command to Exim's queue: see `tocsin queue`";
    }
}

static void take_value(struct parser *parser, char letter, const char *value)
{
    static const struct {
        char letter;
        void (*take)(struct parser *parser, const char *value);
    } takers[] = {
        {'b', take_mode},    {'q', take_queue},  {'o', take_setting}, {'O', take_long_setting},
        {'a', take_account}, {'N', take_notify}, {'R', take_return},  {'V', take_envid},
        {'X', take_trace},   {'M', take_macro},
    };
    struct options *options = parser->options;

    for (size_t i = 0; i < sizeof takers / sizeof takers[0]; i++) {
        if (takers[i].letter == letter) {
            takers[i].take(parser, value);
            return;
        }
    }
    switch (letter) {
    case 'f':
    case 'r':
        options->sender = strcmp(value, "<>") == 0 ? "" : value;
        break;
    case 'F':
        options->full_name = value;
        break;
    case 'C':
        options->config = value;
        break;
    case 'L':
        options->tag = value;
        break;
    case 'd':
        options->verbose |= value[0] == '\0'; /* msmtp's and ssmtp's; sendmail's has a number. */
        break;
    case 'S':
    case 'H':
        warn_letter(parser, letter,
                    "has no effect: `mailhub` of the configuration names the server");
        break;
    default:
        break;
    }
}

/* ---- letters ---- */

/* As getopt() has it, but with the ways of taking a value: '.' joined, ':' any, '@' a word, '?' a
 * letter, '#' a number. */
static const char letters[] = "A?B@C:D@E.F:GH@IJ.L@M.N@O@PQ.R@S@T.UV@X@a.b?cd.e?f:h#imno@p@q."
                              "r:stvw#x4678";

/* How a letter takes its value; -1: nobody knows it. */
static int takes_of(char c)
{
    static const char marks[] = ".:@?#"; /* In the order of enum takes. */
    const char *letter = strchr(letters, c);
    const char *mark;

    if (letter == NULL || strchr(marks, c) != NULL) {
        return -1;
    }
    mark = letter[1] != '\0' ? strchr(marks, letter[1]) : NULL;
    return mark == NULL ? TAKES_NOTHING : (int)(mark - marks) + TAKES_JOINED;
}

/* mail(1) has -s SUBJECT, and its users try that here: a subject is no recipient. */
static void take_subject(struct parser *parser)
{
    const char *next = parser->at + 1 < parser->argc ? parser->argv[parser->at + 1] : "";

    if (next[0] != '-' && strpbrk(next, " \t") != NULL && strpbrk(next, "@<") == NULL) {
        warn(parser, "-s", "sets no subject: write `Subject:` into the message's header");
        parser->at++;
    }
}

static void take_flag(struct parser *parser, char letter)
{
    switch (letter) {
    case 's':
        take_subject(parser);
        break;
    case 't':
        parser->options->recipients_in_header = true;
        break;
    case 'i':
        parser->options->dot_is_text = true;
        break;
    case 'v':
        parser->options->verbose = true;
        break;
    case 'I':
        take_mode(parser, "i");
        break;
    case 'P':
        parser->why = "-P asks for nothing to be sent: see `tocsin config check`";
        break;
    default:
        break;
    }
}

/* A word behind one dash, like Exim's -tls-on-connect: taking it for letters would set what nobody
 * asked for. */
static bool is_word(const char *string)
{
    for (const char *at = string; *at != '\0'; at++) {
        int takes = takes_of(*at);

        if (takes != TAKES_NOTHING) {
            return takes < 0 && strlen(string) > 3;
        }
    }
    return false;
}

/* Letters behind one dash. */
static void take_letters(struct parser *parser, const char *at)
{
    static const char unknown[] = "is not known, and has no effect";

    if (is_word(at)) {
        warn_part(parser, at - 1, 4, unknown);
        return;
    }
    while (*at != '\0') {
        char c = *at++;
        int takes = takes_of(c);
        const char *value = *at != '\0' ? at : NULL;

        if (takes < 0) {
            warn_letter(parser, c, unknown);
            continue;
        }
        if (takes == TAKES_NOTHING) {
            take_flag(parser, c);
            continue;
        }
        if (value == NULL) {
            value = takes == TAKES_JOINED ? "" : next_value(parser, (enum takes)takes);
        }
        if (value != NULL) {
            take_value(parser, c, value);
        } else if (c == 'f' || c == 'r') {
            warn_letter(parser, c, "has no address behind it: the sender is the default one");
        } else {
            warn_letter(parser, c, "wants an argument, and has no effect");
        }
        return;
    }
}

/* ---- words ---- */

/* Those that are letters as well. */
static const struct word {
    const char *name;
    char letter;
    char takes;
} words[] = {
    {"from", 'f', TAKES_ANY},
    {"file", 'C', TAKES_ANY},
    {"read-recipients", 't', TAKES_NOTHING},
    {"dsn-notify", 'N', TAKES_ANY},
    {"dsn-return", 'R', TAKES_ANY},
    {"debug", 'd', TAKES_JOINED},
    {"verbose", 'v', TAKES_NOTHING},
    {"pretend", 'P', TAKES_NOTHING},
};

/* Those of msmtp that say what the configuration says here, and have an argument, joined or not. */
static const char settings[] =
    "account\0host\0port\0timeout\0connect-timeout\0maildomain\0user\0passwordeval\0"
    "tls-trust-file\0tls-crl-file\0tls-fingerprint\0tls-key-file\0tls-cert-file\0"
    "tls-min-dh-prime-bits\0tls-priorities\0tls-host-override\0protocol\0domain\0logfile\0"
    "logfile-time-format\0aliases\0proxy-host\0proxy-port\0source-ip\0socket\0";

static bool is_setting(const char *name, size_t length)
{
    for (const char *at = settings; *at != '\0'; at += strlen(at) + 1) {
        if (strlen(at) == length && strncmp(at, name, length) == 0) {
            return true;
        }
    }
    return false;
}

/* What asks for no mail to be sent, whatever else there is. */
static bool take_command(struct parser *parser, const char *word)
{
    if (strcmp(word, "help") == 0) {
        parser->options->help = true;
    } else if (strcmp(word, "version") == 0) {
        parser->options->version = true;
    } else if (strcmp(word, "serverinfo") == 0) {
        parser->why = "see `tocsin serverinfo`";
    } else if (strncmp(word, "configure", 9) == 0 || strncmp(word, "rmqs", 4) == 0) {
        parser->why = "--configure and --rmqs are msmtp's, and not for a mail to be sent";
    } else {
        return false;
    }
    return true;
}

/* A word behind two dashes. */
static void take_word(struct parser *parser, const char *argument)
{
    const char *name = argument + 2;
    size_t length = strcspn(name, "=");
    const char *value = name[length] == '=' ? name + length + 1 : NULL;

    if (take_command(parser, name)) {
        return;
    }
    if (strcmp(name, "read-envelope-from") == 0) {
        parser->options->sender_in_header = true;
        return;
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        const struct word *word = &words[i];

        if (strlen(word->name) != length || strncmp(word->name, name, length) != 0) {
            continue;
        }
        if (value == NULL) {
            value = next_value(parser, (enum takes)word->takes);
        }
        if (word->takes == TAKES_NOTHING) {
            take_flag(parser, word->letter);
        } else if (value != NULL || word->takes == TAKES_JOINED) {
            take_value(parser, word->letter, value != NULL ? value : "");
        } else {
            warn(parser, argument, "wants an argument, and has no effect");
        }
        return;
    }
    if (is_setting(name, length)) {
        if (value == NULL) {
            (void)next_value(parser, TAKES_ANY);
        }
        warn(parser, argument,
             "has no effect: it belongs into the configuration, of which -C FILE names another");
        return;
    }
    warn(parser, argument, "is not known, and has no effect");
}

/* ---- all of it ---- */

static void take_name(struct options *options, const char *name)
{
    static const struct {
        const char *name;
        enum options_mode mode;
    } names[] = {
        {"mailq", OPTIONS_MAILQ},
        {"newaliases", OPTIONS_NEWALIASES},
        {"runq", OPTIONS_QUEUE},
        {"smtpd", OPTIONS_DAEMON},
    };
    const char *slash = strrchr(name, '/');

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(slash != NULL ? slash + 1 : name, names[i].name) == 0) {
            options->mode = names[i].mode;
        }
    }
}

static void take_argument(struct parser *parser, const char *argument, bool *only_recipients)
{
    struct options *options = parser->options;

    if (*only_recipients || argument[0] != '-') {
        if (argument[0] != '\0') {
            parser->argv[++options->rcpt_count] = argument;
        }
    } else if (strcmp(argument, "--") == 0) {
        *only_recipients = true;
    } else if (argument[1] == '-') {
        take_word(parser, argument);
    } else if (argument[1] == '\0') {
        warn(parser, argument, "has no letter");
    } else if (parser->argc == 2 && (strcmp(argument, "-h") == 0 || strcmp(argument, "-?") == 0)) {
        options->help = true;
    } else if (parser->argc == 2 && strcmp(argument, "-V") == 0) {
        options->version = true;
    } else if (!take_command(parser, argument + 1)) {
        take_letters(parser, argument + 1);
    }
}

/* Which mode it is when all is known. */
static void settle_mode(struct parser *parser)
{
    struct options *options = parser->options;
    bool has_mail = options->recipients_in_header;

    for (size_t i = 0; i < options->rcpt_count; i++) {
        has_mail |= strchr(options->rcpt[i], '@') != NULL;
    }
    if (options->help || options->version) {
        options->mode = OPTIONS_USAGE;
    } else if (parser->has_q && options->mode == OPTIONS_DELIVER) {
        if (has_mail) {
            warn(parser, "-q", "has no effect: there is a mail to be sent");
        } else {
            options->mode = OPTIONS_QUEUE;
        }
    }
    if (options->mode == OPTIONS_DAEMON && !parser->has_q) {
        warn(parser, "-bd", "runs the queue alone: no mail is received from the network");
    }
}

int options_parse(struct options *options, const char *name, int argc, const char *argv[],
                  void (*warn_function)(void *context, const char *sentence), void *context,
                  const char **why)
{
    struct parser parser = {
        .options = options,
        .warn = warn_function,
        .context = context,
        .argv = argv,
        .argc = argc,
    };
    bool only_recipients = false;

    memset(options, 0, sizeof *options);
    options->rcpt = argv + (argc > 0);
    take_name(options, name);
    for (parser.at = 1; parser.at < argc; parser.at++) {
        take_argument(&parser, argv[parser.at], &only_recipients);
    }
    settle_mode(&parser);
    if (parser.why != NULL && options->mode != OPTIONS_USAGE) {
        *why = parser.why;
        return E_INVALID;
    }
    return 0;
}
