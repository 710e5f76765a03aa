/* What follows from several keys of the configuration together. */
#include "firmware/config_table.h"

#include <string.h>

#define PORT_SMTP 25
#define PORT_SMTPS 465
#define PORT_SUBMISSION 587
#define PORT_SUBMISSION_OTHER 2525 /* Offered where a provider blocks the others. */
#define PORT_POP3 110
#define PORT_POP3S 995

enum { SWITCH_NO = 1, SWITCH_YES = 2 }; /* Of use_tls and use_starttls; 0: not written. */

#ifdef TOCSIN_HOSTED
/* What a program among files and users can have from elsewhere: a password by file or command, CA
 * certificates from the system, recipients from each mail. */
static bool has_other_source(const struct config_reader *reader, enum config_key_id id)
{
    switch (id) {
    case CONFIG_KEY_auth_pass:
        return config_written(reader, CONFIG_KEY_auth_pass_file) ||
               config_written(reader, CONFIG_KEY_auth_pass_command);
    case CONFIG_KEY_auth_pass2:
        return config_written(reader, CONFIG_KEY_auth_pass_file2) ||
               config_written(reader, CONFIG_KEY_auth_pass_command2);
    case CONFIG_KEY_pop3_pass:
        return config_written(reader, CONFIG_KEY_pop3_pass_file) ||
               config_written(reader, CONFIG_KEY_pop3_pass_command);
    default:
        /* Who only fetches mail has no server to send by: the sender says so when it is asked. */
        return id == CONFIG_KEY_tls_ca_file || id == CONFIG_KEY_to ||
               (id == CONFIG_KEY_mailhub && !config_written(reader, CONFIG_KEY_mailhub2));
    }
}
#else
static bool has_other_source(const struct config_reader *reader, enum config_key_id id)
{
    (void)reader;
    (void)id;
    return false;
}
#endif

static void need(struct config_reader *reader, enum config_key_id id)
{
    if (!config_written(reader, id) && !has_other_source(reader, id)) {
        config_fail(reader, id, CONFIG_MISSING);
    }
}

/* What an address without a domain gets. A computer has a name that others know, a device has not.
 */
static const char *completing_domain(const struct config *config)
{
#ifdef TOCSIN_HOSTED
    if (config->rewrite_domain[0] == '\0') {
        return config->hostname;
    }
#endif
    return config->rewrite_domain;
}

/* Appends rewrite_domain to the address at `at` if it has none, moving the rest of what is used up
 * to *end; the buffer ends at `limit`. False: that is an error of the key, reported. */
static bool complete_address(struct config_reader *reader, enum config_key_id id, char *at,
                             char **end, const char *limit)
{
    const char *domain = completing_domain(reader->config);
    size_t length = strlen(at);
    size_t extra = 1 + strlen(domain);

    if (config_mailbox_kind(at) != CONFIG_MAILBOX_LOCAL) {
        return true;
    }
    if (extra == 1) {
        if (!config_written(reader, CONFIG_KEY_rewrite_domain)) { /* Or it has its own error. */
            config_fail(reader, id, CONFIG_NO_DOMAIN);
        }
        return false;
    }
    if (extra > (size_t)(limit - *end) || length + extra > SMTP_ADDRESS_MAX) {
        config_fail(reader, id, CONFIG_LONG);
        return false;
    }
    at += length;
    memmove(at + extra, at, (size_t)(*end - at));
    *at = '@';
    memcpy(at + 1, domain, extra - 1);
    *end += extra;
    return true;
}

/* The same of a member that holds one address. */
static void complete_member(struct config_reader *reader, enum config_key_id id)
{
    char *address = (char *)reader->config + config_keys[id].offset;
    char *end = address + strlen(address) + 1;

    (void)complete_address(reader, id, address, &end, address + config_keys[id].limit);
}

static void settle_recipients(struct config_reader *reader)
{
    struct config *config = reader->config;
    char *end = config->to;
    char *at = config->to;

    need(reader, CONFIG_KEY_to);
    for (unsigned i = 0; i < config->to_count; i++) {
        end += strlen(end) + 1;
    }
    for (; at < end; at += strlen(at) + 1) {
        if (!complete_address(reader, CONFIG_KEY_to, at, &end, config->to + sizeof config->to)) {
            return;
        }
    }
}

/* The sender when none is written (docs/config.md, "The sender"). */
static const char *default_from(const struct config *config)
{
    const char *user = config->auth_user;
    enum config_mailbox kind = config_mailbox_kind(user);

#ifdef TOCSIN_HOSTED
    return kind == CONFIG_MAILBOX_FULL ? user : ""; /* Otherwise each user here is one. */
#endif
    if (config->rewrite_domain[0] == '\0') {
        /* A user that is an address is one that the server lets send; the first recipient exists at
         * least, and is who should see a bounce. */
        return kind == CONFIG_MAILBOX_FULL ? user : config->to;
    }
    return kind == CONFIG_MAILBOX_LOCAL ||
                   (kind == CONFIG_MAILBOX_FULL &&
                    text_equal_nocase(strrchr(user, '@') + 1, config->rewrite_domain))
               ? user
               : config->hostname;
}

static void settle_from(struct config_reader *reader)
{
    struct config *config = reader->config;
    char *from = config->from;

    if (!config_written(reader, CONFIG_KEY_from)) {
        const char *source = default_from(config);

        if (!text_copy(from, sizeof config->from, source)) {
            config_fail(reader, CONFIG_KEY_from, CONFIG_LONG);
            return;
        }
        if (source == config->hostname) {
            from[strcspn(from, ".")] = '\0';
        } else if (source == config->to) {
            return; /* Complete, or an error of its own. */
        }
    }
    complete_member(reader, CONFIG_KEY_from);
}

/* One of the two mail servers: what was written about it, and where it is settled. */
struct server {
    enum config_key_id hub, tls_key, name_key, user_key, pass_key;
    struct config_endpoint *endpoint;
    char *tls_name;
    enum smtp_tls *tls;
    uint8_t tls_written, use_tls, use_starttls;
};

/* tls is written: ssmtp's two keys may say the same, or nothing. */
static void settle_written_tls(struct config_reader *reader, const struct server *server)
{
    bool no_tls = server->use_tls == SWITCH_NO;
    bool starttls = server->use_starttls == SWITCH_YES;
    bool clash;

    *server->tls = (enum smtp_tls)(server->tls_written - 1);
    if (*server->tls == SMTP_TLS_STARTTLS) {
        clash = server->use_starttls == SWITCH_NO || (no_tls && !starttls);
    } else if (*server->tls == SMTP_TLS_IMPLICIT) {
        clash = no_tls || starttls;
    } else {
        clash = server->use_tls == SWITCH_YES || starttls;
    }
    if (clash) {
        config_fail(reader, server->tls_key, CONFIG_CLASH);
    }
}

/* Without `tls`, nothing but TLS comes out of here. */
static void settle_default_tls(struct config_reader *reader, const struct server *server)
{
    unsigned port = server->endpoint->port;
    bool tls = server->use_tls == SWITCH_YES;
    bool starttls = server->use_starttls == SWITCH_YES;
    bool no_starttls = server->use_starttls == SWITCH_NO;
    bool on_connect = port == PORT_SMTPS || (port == 0 && !starttls);

    if (server->use_tls == SWITCH_NO && !starttls) {
        config_fail(reader, CONFIG_KEY_use_tls, CONFIG_CLEAR);
    } else if (no_starttls && !tls && !on_connect) {
        config_fail(reader, CONFIG_KEY_use_starttls, CONFIG_CLEAR);
    } else if (no_starttls) {
        on_connect = true;
    } else if (tls && !starttls) {
        on_connect = port != PORT_SMTP && port != PORT_SUBMISSION && port != PORT_SUBMISSION_OTHER;
    }
    *server->tls = on_connect ? SMTP_TLS_IMPLICIT : SMTP_TLS_STARTTLS;
}

static void settle_auth(struct config_reader *reader, const struct server *server)
{
    if (config_written(reader, server->pass_key)) {
        need(reader, server->user_key);
    }
    if (config_written(reader, server->user_key)) {
        need(reader, server->pass_key);
        if (*server->tls == SMTP_TLS_OFF && !reader->config->auth_without_tls) {
            config_fail(reader, server->user_key, CONFIG_CLEAR);
        }
    }
}

static void settle_server(struct config_reader *reader, const struct server *server)
{
    struct config_endpoint *endpoint = server->endpoint;

    if (server->tls_written != 0) {
        settle_written_tls(reader, server);
    } else {
        settle_default_tls(reader, server);
    }
    if (endpoint->port == 0) {
        endpoint->port = *server->tls == SMTP_TLS_IMPLICIT   ? PORT_SMTPS
                         : *server->tls == SMTP_TLS_STARTTLS ? PORT_SUBMISSION
                                                             : PORT_SMTP;
    }
    if (!config_written(reader, server->name_key)) {
        (void)text_copy(server->tls_name, CONFIG_HOST_BYTES, endpoint->host);
    }
}

/* The server of the device's own mailbox. Returns whether it is to be verified. */
static bool settle_pop3(struct config_reader *reader)
{
    static const enum config_key_id about[] = {CONFIG_KEY_pop3_tls_written,
                                               CONFIG_KEY_pop3_tls_name, CONFIG_KEY_pop3_user,
                                               CONFIG_KEY_pop3_pass};
    struct config *config = reader->config;
    struct config_endpoint *endpoint = &config->pop3;

    if (!config_written(reader, CONFIG_KEY_pop3)) {
        bool any = false;

        for (size_t i = 0; i < sizeof about / sizeof about[0]; i++) {
            any = any || config_written(reader, about[i]);
        }
        if (any) {
            config_fail(reader, CONFIG_KEY_pop3, CONFIG_MISSING);
        }
        return false;
    }
    config->pop3_tls = config->pop3_tls_written != 0 ? (enum smtp_tls)(config->pop3_tls_written - 1)
                       : endpoint->port == PORT_POP3 ? SMTP_TLS_STARTTLS
                                                     : SMTP_TLS_IMPLICIT;
    if (endpoint->port == 0) {
        endpoint->port = config->pop3_tls == SMTP_TLS_IMPLICIT ? PORT_POP3S : PORT_POP3;
    }
    if (!config_written(reader, CONFIG_KEY_pop3_tls_name)) {
        (void)text_copy(config->pop3_tls_name, CONFIG_HOST_BYTES, endpoint->host);
    }
    need(reader, CONFIG_KEY_pop3_user);
    need(reader, CONFIG_KEY_pop3_pass);
    return config->pop3_tls != SMTP_TLS_OFF;
}

/* Addresses of the device's own mails. */
static void settle_mailbox(struct config_reader *reader)
{
    struct config *config = reader->config;

    if (config_written(reader, CONFIG_KEY_mailbox)) {
        complete_member(reader, CONFIG_KEY_mailbox);
    } else if (config_written(reader, CONFIG_KEY_pop3)) {
        memcpy(config->mailbox, config->from, sizeof config->mailbox);
    }
    complete_member(reader, CONFIG_KEY_answer_to);
}

static void settle_servers(struct config_reader *reader)
{
    struct config *config = reader->config;
    const struct server first = {
        .hub = CONFIG_KEY_mailhub,
        .tls_key = CONFIG_KEY_tls_written,
        .name_key = CONFIG_KEY_tls_name,
        .user_key = CONFIG_KEY_auth_user,
        .pass_key = CONFIG_KEY_auth_pass,
        .endpoint = &config->mailhub,
        .tls_name = config->tls_name,
        .tls = &config->tls,
        .tls_written = config->tls_written,
        .use_tls = config->use_tls,
        .use_starttls = config->use_starttls,
    };
    /* ssmtp knows one server: its two switches are about that one. */
    const struct server second = {
        .hub = CONFIG_KEY_mailhub2,
        .tls_key = CONFIG_KEY_tls2_written,
        .name_key = CONFIG_KEY_tls2_name,
        .user_key = CONFIG_KEY_auth_user2,
        .pass_key = CONFIG_KEY_auth_pass2,
        .endpoint = &config->mailhub2,
        .tls_name = config->tls2_name,
        .tls = &config->tls2,
        .tls_written = config->tls2_written,
    };
    bool any_tls;

    need(reader, CONFIG_KEY_mailhub);
    settle_server(reader, &first);
    any_tls = config->tls != SMTP_TLS_OFF;
    if (config_written(reader, second.hub)) {
        settle_server(reader, &second);
        any_tls = any_tls || config->tls2 != SMTP_TLS_OFF;
    } else if (config_written(reader, second.tls_key) || config_written(reader, second.name_key) ||
               config_written(reader, second.user_key) || config_written(reader, second.pass_key)) {
        config_fail(reader, second.hub, CONFIG_MISSING);
    }
    any_tls = settle_pop3(reader) || any_tls;
    if (any_tls && config->ca_count == 0 && reader->pem_line == 0) {
        need(reader, CONFIG_KEY_tls_ca_file);
    }
    settle_auth(reader, &first);
    if (config_written(reader, second.hub)) {
        settle_auth(reader, &second);
    }
}

void config_settle(struct config_reader *reader)
{
    const struct config *config = reader->config;

#ifdef TOCSIN_HOSTED
    if (reader->account) {
        need(reader, CONFIG_KEY_pop3);
        (void)settle_pop3(reader);
        return;
    }
#endif
    settle_recipients(reader);
    settle_servers(reader);
    settle_from(reader);
    settle_mailbox(reader);
    if (config->retry_min_s > config->retry_max_s) {
        config_fail(reader,
                    config_written(reader, CONFIG_KEY_retry_max_s) ? CONFIG_KEY_retry_max_s
                                                                   : CONFIG_KEY_retry_min_s,
                    CONFIG_CLASH);
    }
}
