/* serverinfo.c - what a server says of itself, as a page for a person. It is written while it comes
 * in, so that one who waits sees what for. */
#include "boards/linux/serverinfo.h"

#include "boards/linux/serverinfo_private.h"
#include "net/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define COLUMNS 79
#define LABEL_COLUMNS 15
#define ROW_BYTES (PROBE_LIST_BYTES + 512)
#define CONNECT_S_DEFAULT 30
#define SOON_DAYS 14 /* A certificate that ends within is worth a word. */
#define DAY_S 86400

enum { PORT_SMTP = 25, PORT_POP3 = 110, PORT_SMTPS = 465, PORT_SUBMISSION = 587, PORT_POP3S = 995 };

/* What the command line says. */
struct arguments {
    char host[CONFIG_HOST_BYTES]; /* "": the configuration's servers. */
    uint16_t port;                /* 0: not said. */
    bool tls_said, pop3, help;
    enum smtp_tls tls;
    const char *name, *ca; /* NULL: not said. */
};

struct serverinfo {
    struct probe probe;
    struct trust trust;
    struct tls_finder nothing;
    struct random random;
    struct settings *settings;
    const char *ca_problem;
    enum session_phase reached; /* The last phase that ended well. */
    uint64_t phase_ms;          /* When that was. */
};

static const char usage[] =
    "usage: tocsin serverinfo [HOST[:PORT]] [--tls=implicit|starttls|off] [--pop3] [--name=NAME]\n"
    "                         [--ca=FILE]\n"
    "Shows what a mail server says of itself, and whether its certificate is good. No login.\n"
    "Without HOST: the servers of the configuration.\n";

/* ---- Writing ---- */

static void put(const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t done = write(STDOUT_FILENO, bytes, size);

        if (done < 0 && errno != EINTR) {
            return;
        }
        bytes += done > 0 ? done : 0;
        size -= done > 0 ? (size_t)done : 0;
    }
}

/* How much of the text fits into a line: up to a blank, or all of one long word. */
static size_t fitting(const char *text, size_t columns)
{
    size_t length = strlen(text);
    size_t at = columns;

    if (length <= columns) {
        return length;
    }
    while (at > 0 && text[at] != ' ') {
        at--;
    }
    return at > 0 ? at : strcspn(text, " ");
}

/* "  label        text", and on under the text where a line is not enough. */
static void row(const char *label, const char *text)
{
    char bytes[2 * ROW_BYTES];
    struct text out = text_begin(bytes, sizeof bytes);

    do {
        size_t begin = out.length;
        size_t size = fitting(text, COLUMNS - 2 - LABEL_COLUMNS);

        text_format(&out, "  %s", label);
        while (out.length - begin < 2 + LABEL_COLUMNS) {
            text_add_char(&out, ' ');
        }
        text_add_bytes(&out, text, size);
        text_add_char(&out, '\n');
        text += size;
        text += *text == ' ';
        label = "";
    } while (*text != '\0');
    put(bytes, out.length);
}

static void row_format(const char *label, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void row_format(const char *label, const char *format, ...)
{
    char bytes[ROW_BYTES];
    struct text text = text_begin(bytes, sizeof bytes);
    va_list list;

    va_start(list, format);
    text_format_list(&text, format, list);
    va_end(list);
    row(label, bytes);
}

/* ---- What was learnt ---- */

static unsigned ms_since(uint64_t then_ms, uint64_t now_ms)
{
    return now_ms > then_ms ? (unsigned)(now_ms - then_ms) : 0;
}

static void show_addresses(const struct serverinfo *info)
{
    char bytes[LINK_POSIX_ADDRESS_MAX * (LINK_POSIX_TEXT_BYTES + 2)];
    char address[LINK_POSIX_TEXT_BYTES];
    struct text text = text_begin(bytes, sizeof bytes);

    for (size_t i = 0; link_posix_address_text(&info->probe.posix, i, address) != NULL; i++) {
        text_format(&text, "%s%s", i > 0 ? ", " : "", address);
    }
    row("addresses", bytes);
}

static void show_said(const struct serverinfo *info, bool over_tls)
{
    const struct probe_said *said = &info->probe.said[over_tls];

    if (said->greeting.length > 0) {
        row("greeting", said->greeting_bytes);
    }
    if (said->capabilities) {
        row(over_tls ? "over TLS" : "in clear",
            said->list.length > 0 ? said->list_bytes : "(no capabilities)");
    }
}

/* "until 2027-01-30, 69 days left" */
static void add_validity(struct text *text, const struct tls_cert *cert, uint64_t now_s)
{
    char date[24];
    struct text day = text_begin(date, sizeof date);
    bool early = now_s < cert->not_before_unix_s;
    bool late = now_s > cert->not_after_unix_s;

    text_add_time(&day, early ? cert->not_before_unix_s : cert->not_after_unix_s, 0);
    date[10] = '\0'; /* The day is enough. */
    if (early) {
        text_format(text, "not valid before %s", date);
    } else if (late) {
        text_format(text, "expired on %s, %u days ago", date,
                    (unsigned)((now_s - cert->not_after_unix_s) / DAY_S));
    } else {
        unsigned days = (unsigned)((cert->not_after_unix_s - now_s) / DAY_S);

        text_format(text, "until %s, %u days left%s", date, days,
                    days < SOON_DAYS ? ": renew it soon" : "");
    }
}

static void show_chain(const struct serverinfo *info)
{
    const struct tls_info *tls = tls_info(&info->probe.tls);
    size_t kept = tls->chain_count < TLS_CHAIN_MAX ? tls->chain_count : TLS_CHAIN_MAX;

    for (size_t i = 0; i < kept; i++) {
        const struct tls_cert *cert = &tls->chain[i];
        char bytes[2 * TLS_NAME_BYTES + 128];
        struct text text = text_begin(bytes, sizeof bytes);

        text_format(&text, "%s, %s, ", cert->subject[0] != '\0' ? cert->subject : "(no name)",
                    cert->key[0] != '\0' ? cert->key : "an unknown kind of key");
        add_validity(&text, cert, info->probe.unix_s);
        row(i == 0 ? "certificate" : "issued by", bytes);
    }
    if (tls->chain_count > kept) {
        row_format("issued by", "%u more", (unsigned)(tls->chain_count - kept));
    }
}

static void show_anchor(const struct serverinfo *info)
{
    const struct tls_info *tls = tls_info(&info->probe.tls);
    size_t count = tls->chain_count;
    const struct tls_cert *last =
        count > 0 && count <= TLS_CHAIN_MAX ? &tls->chain[count - 1] : NULL;

    if (last == NULL) {
        row_format("verified by", "a CA in %s", info->trust.path);
    } else if (strcmp(last->subject, last->issuer) == 0) {
        row_format("verified by", "%s itself, which is in %s", last->subject, info->trust.path);
    } else {
        row_format("verified by", "%s in %s", last->issuer, info->trust.path);
    }
}

/* A phase ended well. */
static void observe(void *context, enum session_phase phase, uint64_t now_ms)
{
    struct serverinfo *info = context; /* The probe is its first member. */
    const struct tls_info *tls = tls_info(&info->probe.tls);

    if (phase == SESSION_RESOLVE) {
        show_addresses(info);
    } else if (phase == SESSION_CONNECT) {
        row_format("connected", "to %s in %u ms", info->probe.posix.peer,
                   ms_since(info->phase_ms, now_ms));
    } else if (phase == SESSION_TLS) {
        show_said(info, false);
        row_format("TLS", "%s, %s, %s", tls->version, tls->suite, tls->curve);
        show_chain(info);
        show_anchor(info);
    }
    info->reached = phase;
    info->phase_ms = now_ms;
}

/* ---- The verdict ---- */

static int exit_code(int error)
{
    return error == 0             ? EX_OK
           : error == E_TRANSIENT ? EX_TEMPFAIL
           : error == E_CONFIG || error == E_SECURITY || error == E_INVALID || error == E_MISSING
               ? EX_CONFIG
               : EX_UNAVAILABLE;
}

static bool no_name(const struct serverinfo *info)
{
    return strcmp(session_text(&info->probe.session), "not a host name") == 0;
}

static const char *connect_advice(const struct serverinfo *info)
{
    if (no_name(info)) {
        return "Write a host name, \"mail.example.com\", or an address.";
    }
    if (info->reached == SESSION_IDLE) {
        return "Check the name, and whether this system resolves any (/etc/resolv.conf).";
    }
    if (info->reached == SESSION_RESOLVE) {
        return strcmp(session_text(&info->probe.session), "connection refused") == 0
                   ? "Nothing listens there: check the port."
                   : "A firewall, here or at the provider, may close this port; 25 often is. Try "
                     "465 or 587.";
    }
    return "Check port and tls (465 and 995: implicit; 587, 25 and 110: starttls).";
}

static void not_this_way(const char *why, const char *advice)
{
    row("refused", why);
    row("what to do", advice);
}

/* Of what lies below the engine: name, connection, TLS. */
static int session_verdict(const struct serverinfo *info)
{
    const struct probe *probe = &info->probe;
    const struct tls_failure *failure =
        probe->target->tls != SMTP_TLS_OFF ? tls_failure(&probe->tls) : NULL;

    if (failure == NULL) {
        row("failed", session_text(&probe->session));
        row("what to do", connect_advice(info));
        return no_name(info) ? EX_CONFIG : exit_code(session_error(&probe->session));
    }
    if (!probe->session.tls_up) {
        show_said(info, false);
        show_chain(info);
    }
    if (info->ca_problem != NULL) {
        not_this_way(failure->text, info->ca_problem);
        return EX_CONFIG;
    }
    not_this_way(failure->text, tls_advice(failure));
    return exit_code(failure->error);
}

static int smtp_verdict(const struct serverinfo *info, const struct smtp_failure *failure)
{
    char why[SMTP_TEXT_BYTES + 64];
    struct text text = text_begin(why, sizeof why);

    text_format(&text, "%s: ", smtp_stage_name(failure->stage));
    if (failure->code != 0) {
        text_format(&text, "%u %s%s", (unsigned)failure->code, failure->enhanced,
                    failure->enhanced[0] != '\0' ? " " : "");
    }
    text_add(&text, failure->text);
    show_said(info, info->probe.session.tls_up);
    not_this_way(why, smtp_advice(failure));
    return exit_code(failure->error);
}

static int pop3_verdict(const struct serverinfo *info, const struct pop3_failure *failure)
{
    show_said(info, info->probe.session.tls_up);
    row_format("refused", "%s: %s", pop3_stage_name(failure->stage), failure->text);
    row("what to do", pop3_advice(failure));
    return exit_code(failure->error);
}

/* All was said. */
static int good_smtp(const struct serverinfo *info)
{
    const struct probe *probe = &info->probe;
    unsigned capabilities = smtp_capabilities(&probe->smtp);
    bool plain = (capabilities & SMTP_CAP_AUTH_PLAIN) != 0;
    bool login = (capabilities & SMTP_CAP_AUTH_LOGIN) != 0;
    uint32_t size_max = probe->said[probe->session.tls_up].size_max;

    if (size_max != 0) {
        row_format("largest mail", "%u bytes (SIZE)", (unsigned)size_max);
    }
    row("login", plain   ? "AUTH PLAIN would be used"
                 : login ? "AUTH LOGIN would be used"
                         : "no AUTH PLAIN or LOGIN is offered");
    if (probe->target->has_login && !plain && !login) {
        not_this_way("the configuration has a login, and the server takes none",
                     "Remove AuthUser and AuthPass, or check port and tls.");
        return EX_CONFIG;
    }
    row("result", probe->target->tls == SMTP_TLS_OFF
                      ? "a mail can go this way, in clear: anybody on its way can read it"
                  : (plain || login) && !probe->target->has_login
                      ? "a mail can go this way; the server may want a login (AuthUser, AuthPass)"
                      : "a mail can go this way");
    return EX_OK;
}

static int good_pop3(const struct serverinfo *info)
{
    row("result", info->probe.target->tls == SMTP_TLS_OFF
                      ? "mail can be fetched this way, the password in clear: anybody on its way "
                        "can read it"
                      : "mail can be fetched this way");
    return EX_OK;
}

static int verdict(const struct serverinfo *info)
{
    const struct probe *probe = &info->probe;

    if (session_error(&probe->session) != 0) {
        return session_verdict(info);
    }
    if (probe->target->pop3) {
        const struct pop3_failure *failure = probe->goodbye ? NULL : pop3_failure(&probe->pop3);

        if (failure != NULL) {
            return pop3_verdict(info, failure);
        }
    } else if (smtp_failure(&probe->smtp) != NULL) {
        return smtp_verdict(info, smtp_failure(&probe->smtp));
    }
    show_said(info, probe->session.tls_up);
    return probe->target->pop3 ? good_pop3(info) : good_smtp(info);
}

/* ---- One server ---- */

static void show_title(const struct probe_target *target)
{
    static const char ways[] = "TLS on connect\0STARTTLS\0no TLS";
    char line[CONFIG_HOST_BYTES + 64];
    bool literal = strchr(target->host, ':') != NULL;
    size_t size = text_print(line, sizeof line, "%s%s%s:%u, %s, %s\n", literal ? "[" : "",
                             target->host, literal ? "]" : "", (unsigned)target->port,
                             target->pop3 ? "POP3" : "SMTP", text_item(ways, target->tls));

    put(line, size);
}

static int look_at(struct serverinfo *info, const struct probe_target *target)
{
    const struct settings *settings = info->settings;
    uint32_t connect_s = settings->config.connect_timeout_s;

    memset(&info->probe, 0, offsetof(struct probe, tls)); /* The rest is set up by its owners. */
    info->probe.target = target;
    info->probe.connect_ms_max = 1000 * (connect_s != 0 ? connect_s : CONNECT_S_DEFAULT);
    info->probe.trust = &info->trust;
    info->probe.random = &info->random;
    info->probe.ehlo_name = settings->host[0] != '\0' ? settings->host : "localhost";
    info->probe.unix_s = posix_unix_ms() / 1000;
    memset(&info->probe.tls, 0, sizeof info->probe.tls);
    info->reached = SESSION_IDLE;
    info->phase_ms = posix_monotonic_ms();
    show_title(target);
    probe_run(&info->probe, observe);
    return verdict(info);
}

/* ---- Which servers ---- */

static int look_at_configured(struct serverinfo *info, const struct arguments *arguments)
{
    const struct config *config = &info->settings->config;
    int code = EX_OK;

    if (arguments->pop3) {
        const struct probe_target target = {
            .host = config->pop3.host,
            .port = config->pop3.port,
            .tls_name = arguments->name != NULL ? arguments->name : config->pop3_tls_name,
            .tls = arguments->tls_said ? arguments->tls : config->pop3_tls,
            .pop3 = true,
        };

        return look_at(info, &target);
    }
    for (unsigned i = 0; i < config_servers(config); i++) {
        struct config_server server;
        struct probe_target target;
        int one;

        config_server(config, i, &server);
        target = (struct probe_target){
            .host = server.endpoint->host,
            .port = server.endpoint->port,
            .tls_name = arguments->name != NULL ? arguments->name : server.tls_name,
            .tls = arguments->tls_said ? arguments->tls : server.tls,
            .has_login = server.user[0] != '\0',
        };
        if (i > 0) {
            put("\n", 1);
        }
        one = look_at(info, &target);
        code = code == EX_OK ? one : code;
    }
    return code;
}

static enum smtp_tls usual_tls(uint16_t port)
{
    return port == PORT_SMTPS || port == PORT_POP3S ? SMTP_TLS_IMPLICIT : SMTP_TLS_STARTTLS;
}

/* With nothing but a name the usual ports are tried until one answers. */
static int look_at_host(struct serverinfo *info, const struct arguments *arguments)
{
    static const uint16_t smtp_ports[] = {PORT_SMTPS, PORT_SUBMISSION, PORT_SMTP, 0};
    static const uint16_t pop3_ports[] = {PORT_POP3S, PORT_POP3, 0};
    const uint16_t *port = arguments->pop3 ? pop3_ports : smtp_ports;
    const uint16_t said[] = {arguments->port, 0};
    int code = EX_USAGE;

    for (port = arguments->port != 0 ? said : port; *port != 0; port++) {
        const struct probe_target target = {
            .host = arguments->host,
            .port = *port,
            .tls_name = arguments->name != NULL ? arguments->name : arguments->host,
            .tls = arguments->tls_said ? arguments->tls : usual_tls(*port),
            .pop3 = arguments->pop3,
        };

        if (arguments->port == 0 && target.tls != usual_tls(*port) && target.tls != SMTP_TLS_OFF) {
            continue; /* --tls without a port chooses among them. */
        }
        code = look_at(info, &target);
        if (info->reached != SESSION_RESOLVE) {
            break;
        }
        if (port[1] != 0) {
            put("\n", 1);
        }
    }
    return code;
}

/* ---- The command line ---- */

/* "HOST", "HOST:PORT", "2001:db8::1", "[2001:db8::1]:25" */
static bool parse_host(const char *text, struct arguments *arguments)
{
    const char *bracket = text[0] == '[' ? strchr(text, ']') : NULL;
    const char *colon = strchr(bracket != NULL ? bracket : text, ':');
    const char *host = text;
    uint32_t port = 0;
    size_t size;

    if (bracket == NULL && colon != NULL && strchr(colon + 1, ':') != NULL) {
        colon = NULL; /* IPv6 as it is. */
    }
    if ((text[0] == '[') != (bracket != NULL) ||
        (bracket != NULL && bracket[1] != '\0' && colon != bracket + 1)) {
        return false;
    }
    if (colon != NULL && (!text_parse_u32(colon + 1, UINT16_MAX, &port) || port == 0)) {
        return false;
    }
    host += bracket != NULL;
    size = bracket != NULL ? (size_t)(bracket - host)
           : colon != NULL ? (size_t)(colon - host)
                           : strlen(host);
    if (size == 0 || size >= sizeof arguments->host) {
        return false;
    }
    memcpy(arguments->host, host, size);
    arguments->host[size] = '\0';
    arguments->port = (uint16_t)port;
    return true;
}

/* The value of "--NAME=VALUE"; NULL: another option. */
static const char *value_of(const char *argument, const char *option)
{
    return text_starts_nocase(argument, option) ? argument + strlen(option) : NULL;
}

static bool parse_argument(const char *argument, struct arguments *arguments)
{
    static const char words[] = "implicit\0starttls\0off";
    const char *value;

    if (argument[0] != '-') {
        return arguments->host[0] == '\0' && parse_host(argument, arguments);
    }
    if ((value = value_of(argument, "--tls=")) != NULL) {
        for (size_t i = 0; i <= SMTP_TLS_OFF; i++) {
            if (text_equal_nocase(value, text_item(words, i))) {
                arguments->tls = (enum smtp_tls)i;
                arguments->tls_said = true;
                return true;
            }
        }
        return false;
    }
    if ((value = value_of(argument, "--name=")) != NULL) {
        arguments->name = value;
        return true;
    }
    if ((value = value_of(argument, "--ca=")) != NULL) {
        arguments->ca = value;
        return true;
    }
    arguments->pop3 = arguments->pop3 || strcmp(argument, "--pop3") == 0;
    arguments->help = arguments->help || strcmp(argument, "--help") == 0;
    return strcmp(argument, "--pop3") == 0 || strcmp(argument, "--help") == 0;
}

/* ---- ---- */

static void find_nothing(void *context, const struct tls_dn *names, size_t count, uint64_t unix_s)
{
    (void)context;
    (void)names;
    (void)count;
    (void)unix_s;
}

/* Without any CA there is still a chain to be shown. */
static void open_trust(struct serverinfo *info, const char *ca)
{
    if (trust_open(&info->trust, ca != NULL ? ca : settings_ca(info->settings)) == 0) {
        return;
    }
    info->ca_problem = info->trust.problem;
    info->nothing = (struct tls_finder){
        .find = find_nothing, .identity = info->trust.identity, .where = "any file here"};
    info->trust.anchors.finder = &info->nothing;
}

static int run(struct serverinfo *info, const struct arguments *arguments)
{
    const struct config *config = &info->settings->config;
    uint8_t seed[RANDOM_SEED_BYTES];

    if (posix_random(seed, sizeof seed) != 0) {
        row("failed", "the kernel gives no random numbers");
        return EX_OSERR;
    }
    random_init(&info->random);
    random_seed(&info->random, seed, sizeof seed);
    open_trust(info, arguments->ca);
    if (arguments->host[0] != '\0') {
        return look_at_host(info, arguments);
    }
    if ((arguments->pop3 ? config->pop3.host[0] : config->mailhub.host[0]) == '\0') {
        static const char none[] = "No such server is configured.\n";

        put(none, sizeof none - 1);
        put(usage, sizeof usage - 1);
        return EX_CONFIG;
    }
    return look_at_configured(info, arguments);
}

int serverinfo_run(struct settings *settings, int argc, const char *const argv[])
{
    struct arguments arguments = {.port = 0};
    struct serverinfo *info;
    int code;

    for (int i = 0; i < argc; i++) {
        if (!parse_argument(argv[i], &arguments)) {
            static const char what[] = "serverinfo: what is ";

            put(what, sizeof what - 1);
            put(argv[i], strlen(argv[i]));
            put("?\n", 2);
            put(usage, sizeof usage - 1);
            return EX_USAGE;
        }
    }
    if (arguments.help) {
        put(usage, sizeof usage - 1);
        return EX_OK;
    }
    info = calloc(1, sizeof *info);
    if (info == NULL) {
        return EX_OSERR;
    }
    info->settings = settings;
    code = run(info, &arguments);
    free(info);
    return code;
}
