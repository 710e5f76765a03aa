/* What follows from several keys of the configuration together. */
#include "firmware/config_table.h"

#include <string.h>

#define PORT_SMTP 25
#define PORT_SMTPS 465
#define PORT_SUBMISSION 587
#define PORT_SUBMISSION_OTHER 2525 /* Offered where a provider blocks the others. */

enum { SWITCH_NO = 1, SWITCH_YES = 2 }; /* Of use_tls and use_starttls; 0: not written. */

static bool written(const struct config_reader *reader, enum config_key_id id)
{
    return reader->key_line[id] != 0;
}

/* Appends "@domain" to the address at `at`, moving what follows. False: no room. */
static bool complete_address(char *at, size_t used, size_t size, const char *domain)
{
    size_t length = strlen(at);
    size_t extra = 1 + strlen(domain);

    if (used + extra > size || length + extra > SMTP_ADDRESS_MAX) {
        return false;
    }
    memmove(at + length + extra, at + length, used - length);
    at[length] = '@';
    memcpy(at + length + 1, domain, extra - 1);
    return true;
}

/* Same mailbox: the domain's case never counts; the local part's is not ours to judge, but no two
 * mailboxes of one server differ in it alone. */
static bool same_as_earlier(const struct config *config, const char *address)
{
    for (const char *at = config->to; at < address; at += strlen(at) + 1) {
        if (text_equal_nocase(at, address)) {
            return true;
        }
    }
    return false;
}

static void settle_recipients(struct config_reader *reader)
{
    struct config *config = reader->config;
    char *end = config->to;
    char *at = config->to;

    if (!written(reader, CONFIG_KEY_to)) {
        config_fail(reader, CONFIG_KEY_to, "missing; expected root = ADDRESS, who gets the alerts");
    }
    for (unsigned i = 0; i < config->to_count; i++) {
        end += strlen(end) + 1;
    }
    for (unsigned i = 0; i < config->to_count; i++, at += strlen(at) + 1) {
        if (config_mailbox_kind(at) == CONFIG_MAILBOX_LOCAL) {
            size_t extra = 1 + strlen(config->rewrite_domain);

            if (extra == 1) {
                if (!written(reader, CONFIG_KEY_rewrite_domain)) {
                    config_fail(reader, CONFIG_KEY_to,
                                "expected an address with its domain, like admin@example.com, or "
                                "rewrite_domain = DOMAIN");
                }
                return;
            }
            if (!complete_address(at, (size_t)(end - at),
                                  sizeof config->to - (size_t)(at - config->to),
                                  config->rewrite_domain)) {
                config_fail(reader, CONFIG_KEY_to, "too long once rewrite_domain is appended");
                return;
            }
            end += extra;
        }
        if (same_as_earlier(config, at)) {
            config_fail(reader, CONFIG_KEY_to, "the same address twice; expected it once");
        }
    }
}

/* local@domain into from; false: no room. */
static bool make_from(struct config *config, const char *local, size_t local_length,
                      const char *domain)
{
    struct text text = text_begin(config->from, sizeof config->from);

    text_add_bytes(&text, local, local_length);
    text_add_char(&text, '@');
    text_add(&text, domain);
    return !text.cut;
}

/* The sender when none is written (docs/config.md, "The sender"). */
static void default_from(struct config *config)
{
    const char *user = config->auth_user;
    enum config_mailbox kind = config_mailbox_kind(user);
    const char *at = strrchr(user, '@');

    if (config->rewrite_domain[0] != '\0') {
        if (kind == CONFIG_MAILBOX_LOCAL) {
            (void)make_from(config, user, strlen(user), config->rewrite_domain);
        } else if (kind == CONFIG_MAILBOX_FULL &&
                   text_equal_nocase(at + 1, config->rewrite_domain)) {
            (void)text_copy(config->from, sizeof config->from, user);
        } else {
            (void)make_from(config, config->hostname, strcspn(config->hostname, "."),
                            config->rewrite_domain);
        }
    } else {
        /* A user that is an address is one that the server lets send; the first recipient exists at
         * least, and is who should see a bounce. */
        (void)text_copy(config->from, sizeof config->from,
                        kind == CONFIG_MAILBOX_FULL ? user : config->to);
    }
}

static void settle_from(struct config_reader *reader)
{
    struct config *config = reader->config;

    if (!written(reader, CONFIG_KEY_from)) {
        default_from(config);
    } else if (config_mailbox_kind(config->from) == CONFIG_MAILBOX_LOCAL) {
        if (config->rewrite_domain[0] != '\0') {
            if (!complete_address(config->from, strlen(config->from) + 1, sizeof config->from,
                                  config->rewrite_domain)) {
                config_fail(reader, CONFIG_KEY_from, "too long once rewrite_domain is appended");
            }
        } else if (!written(reader, CONFIG_KEY_rewrite_domain)) {
            config_fail(reader, CONFIG_KEY_from,
                        "expected an address with its domain, like router@example.com, or "
                        "rewrite_domain = DOMAIN");
        }
    }
}

/* tls is written: ssmtp's two keys may say the same, or nothing. */
static void settle_written_tls(struct config_reader *reader)
{
    struct config *config = reader->config;
    bool starttls_too = config->use_starttls == SWITCH_YES;
    bool good = true;

    config->tls = (enum smtp_tls)(config->tls_written - 1);
    switch (config->tls) {
    case SMTP_TLS_OFF:
        good = config->use_tls != SWITCH_YES && !starttls_too;
        break;
    case SMTP_TLS_IMPLICIT:
        good = config->use_tls != SWITCH_NO && !starttls_too;
        break;
    case SMTP_TLS_STARTTLS:
        good = config->use_starttls != SWITCH_NO && (config->use_tls != SWITCH_NO || starttls_too);
        break;
    }
    if (!good) {
        config_fail(
            reader, CONFIG_KEY_tls_written,
            "UseTLS or UseSTARTTLS says something else; expected only one of them to be written");
    }
}

/* Without `tls`, nothing but TLS comes out of here. */
static void settle_default_tls(struct config_reader *reader)
{
    struct config *config = reader->config;
    uint16_t port = config->mailhub.port;
    bool on_connect = port == PORT_SMTPS || (port == 0 && config->use_starttls != SWITCH_YES);
    bool starttls_port =
        port == PORT_SMTP || port == PORT_SUBMISSION || port == PORT_SUBMISSION_OTHER;

    if (config->use_tls == SWITCH_NO && config->use_starttls != SWITCH_YES) {
        config_fail(
            reader, CONFIG_KEY_use_tls,
            "UseTLS = NO does not suffice to send in clear text: expected YES, or tls = off if "
            "that is really meant");
    } else if (config->use_starttls == SWITCH_NO && config->use_tls != SWITCH_YES && !on_connect) {
        config_fail(reader, CONFIG_KEY_use_starttls,
                    "this leaves no TLS on that port: expected UseTLS = YES for TLS on connect, or "
                    "UseSTARTTLS = YES, or tls = off if clear text is really meant");
    }
    if (config->use_starttls == 0 && config->use_tls == SWITCH_YES) {
        on_connect = !starttls_port;
    } else if (config->use_starttls == SWITCH_NO) {
        on_connect = true;
    }
    config->tls = on_connect ? SMTP_TLS_IMPLICIT : SMTP_TLS_STARTTLS;
}

static void settle_server(struct config_reader *reader)
{
    static const uint16_t default_port[] = {
        [SMTP_TLS_IMPLICIT] = PORT_SMTPS,
        [SMTP_TLS_STARTTLS] = PORT_SUBMISSION,
        [SMTP_TLS_OFF] = PORT_SMTP,
    };
    struct config *config = reader->config;

    if (!written(reader, CONFIG_KEY_mailhub)) {
        config_fail(reader, CONFIG_KEY_mailhub,
                    "missing; expected mailhub = HOST:PORT, the mail server");
    }
    if (config->tls_written != 0) {
        settle_written_tls(reader);
    } else {
        settle_default_tls(reader);
    }
    if (config->mailhub.port == 0) {
        config->mailhub.port = default_port[config->tls];
    }
    if (!written(reader, CONFIG_KEY_tls_name)) {
        (void)text_copy(config->tls_name, sizeof config->tls_name, config->mailhub.host);
    }
    if (config->tls != SMTP_TLS_OFF && config->ca_count == 0 && reader->pem_line == 0 &&
        !written(reader, CONFIG_KEY_tls_ca_file)) {
        config_fail(reader, CONFIG_KEY_tls_ca_file,
                    "missing; TLS needs the CA certificate that the server's is verified against: "
                    "expected TLS_CA_File = FILE.pem, or the PEM block itself");
    }
}

static void settle_auth(struct config_reader *reader)
{
    struct config *config = reader->config;
    bool user = written(reader, CONFIG_KEY_auth_user);

    if (user && !written(reader, CONFIG_KEY_auth_pass)) {
        config_fail(reader, CONFIG_KEY_auth_pass, "missing; expected the password of auth_user");
    } else if (!user && written(reader, CONFIG_KEY_auth_pass)) {
        config_fail(reader, CONFIG_KEY_auth_user,
                    "missing; expected the user whom auth_pass belongs to");
    }
    if (user && config->tls == SMTP_TLS_OFF && !config->auth_without_tls) {
        config_fail(
            reader, CONFIG_KEY_auth_user,
            "tls = off would send the password in clear text: expected TLS, or no auth_user, or "
            "auth_without_tls = yes if that is really meant");
    }
}

static uint32_t host_order(uint32_t address_be)
{
    uint8_t octet[4];

    memcpy(octet, &address_be, sizeof octet);
    return (uint32_t)octet[0] << 24 | (uint32_t)octet[1] << 16 | (uint32_t)octet[2] << 8 | octet[3];
}

static void settle_static(struct config_reader *reader)
{
    const struct config *config = reader->config;
    uint32_t address = host_order(config->address);
    uint32_t mask = host_order(config->netmask);
    uint32_t gateway = host_order(config->gateway);

    if (mask == 0) {
        if (!written(reader, CONFIG_KEY_netmask)) {
            config_fail(reader, CONFIG_KEY_netmask,
                        "missing; a static address needs it: expected address = ADDRESS/LENGTH");
        }
        return;
    }
    if (address >> 24 == 0 || address >> 24 == 127 || address >> 28 >= 14 ||
        (address & ~mask) == 0 || (address & ~mask) == ~mask) {
        config_fail(reader, CONFIG_KEY_address, "expected the address of a host in its network");
    } else if (gateway == 0) {
        return; /* The mail server may be in the same network. */
    } else if ((gateway & mask) != (address & mask) || gateway == address ||
               (gateway & ~mask) == 0 || (gateway & ~mask) == ~mask) {
        config_fail(reader, CONFIG_KEY_gateway,
                    "expected another host's address inside the network of `address` and its mask");
    }
}

static bool resolvable(const struct config *config, const char *host)
{
    uint32_t address;

    if (host[0] == '\0' || text_parse_ipv4(host, &address)) {
        return true;
    }
    for (unsigned i = 0; i < config->host_count; i++) {
        if (text_equal_nocase(host, config->host[i].name)) {
            return true;
        }
    }
    return false;
}

static void settle_network(struct config_reader *reader)
{
    static const char no_dns[] =
        "nothing can find this name's address: expected dns = ADDRESS, or host = NAME ADDRESS";
    const struct config *config = reader->config;

    if (config->dhcp) {
        if (written(reader, CONFIG_KEY_netmask)) {
            config_fail(reader, CONFIG_KEY_netmask,
                        "DHCP gives the mask: expected a static address too");
        }
        if (written(reader, CONFIG_KEY_gateway)) {
            config_fail(reader, CONFIG_KEY_gateway,
                        "DHCP gives the gateway: expected a static address too");
        }
        return;
    }
    if (config->address != 0) {
        settle_static(reader);
    }
    if (!written(reader, CONFIG_KEY_dns)) {
        if (!resolvable(config, config->mailhub.host)) {
            config_fail(reader, CONFIG_KEY_mailhub, no_dns);
        }
        if (written(reader, CONFIG_KEY_sntp) && (!resolvable(config, config->sntp[0].host) ||
                                                 !resolvable(config, config->sntp[1].host))) {
            config_fail(reader, CONFIG_KEY_sntp, no_dns);
        }
    }
}

void config_settle(struct config_reader *reader)
{
    const struct config *config = reader->config;

    settle_recipients(reader);
    settle_server(reader);
    settle_auth(reader);
    settle_from(reader);
    settle_network(reader);
    if (config->retry_min_s > config->retry_max_s) {
        config_fail(reader,
                    written(reader, CONFIG_KEY_retry_max_s) ? CONFIG_KEY_retry_max_s
                                                            : CONFIG_KEY_retry_min_s,
                    "expected retry_max to be at least retry_min");
    }
}
