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
            warn(
                parser, argument,
                "has no effect: it belongs into the configuration, of which -C FILE names another");
            return;
        }
        warn(parser, argument, "is not known, and has no effect");
    }

    /* ---- all of it ---- */

    static void take_name(struct options * options, const char *name)
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

    static void take_argument(struct parser * parser, const char *argument, bool *only_recipients)
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
        } else if (parser->argc == 2 &&
                   (strcmp(argument, "-h") == 0 || strcmp(argument, "-?") == 0)) {
            options->help = true;
        } else if (parser->argc == 2 && strcmp(argument, "-V") == 0) {
            options->version = true;
        } else if (!take_command(parser, argument + 1)) {
            take_letters(parser, argument + 1);
        }
    }

    /* Which mode it is when all is known. */
    static void settle_mode(struct parser * parser)
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

    int options_parse(struct options * options, const char *name, int argc, const char *argv[],
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
