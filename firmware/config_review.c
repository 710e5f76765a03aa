/* What is well formed in a configuration but cannot work. The device runs on what a person's
 * computer has reviewed, so it need not link this. */
#include "firmware/config_table.h"
#include "net/digest.h"

#include <string.h>

/* Same mailbox: the domain's case never counts; the local part's is not ours to judge, but no two
 * mailboxes of one server differ in it alone. */
static void review_recipients(struct config_reader *reader)
{
    const char *to[CONFIG_TO_MAX];
    size_t count = config_to(reader->config, to, CONFIG_TO_MAX);

    for (size_t i = 1; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (text_equal_nocase(to[i], to[j])) {
                config_fail(reader, CONFIG_KEY_to, CONFIG_AGAIN);
                return;
            }
        }
    }
}

/* The same server again helps nobody when it is away. */
static void review_servers(struct config_reader *reader)
{
    const struct config *config = reader->config;

    if (config_servers(config) == 2 && config->mailhub.port == config->mailhub2.port &&
        text_equal_nocase(config->mailhub.host, config->mailhub2.host)) {
        config_fail(reader, CONFIG_KEY_mailhub2, CONFIG_CLASH);
    }
}

/* What needs the mailbox, or a signature. */
static void review_orders(struct config_reader *reader)
{
    static const uint32_t signed_only = 1u << CONFIG_COMMAND_CONFIG_SET |
                                        1u << CONFIG_COMMAND_CONFIG_IMPORT |
                                        1u << CONFIG_COMMAND_OTP;
    const struct config *config = reader->config;
    bool any = config->command_key_set || config->command_public_set || config->otp.sequence != 0 ||
               config->self_test != 0;

    if (any && !config_written(reader, CONFIG_KEY_pop3)) {
        config_fail(reader, CONFIG_KEY_pop3, CONFIG_MISSING);
    }
    if (config->otp.sequence != 0 && (config->commands & signed_only) != 0 &&
        !config->command_key_set && !config->command_public_set) {
        config_fail(reader, CONFIG_KEY_commands, CONFIG_UNSIGNED);
    }
    /* Not while it is read: a start has no stack for it. */
    if (config->command_public_set && !digest_public_valid(config->command_public)) {
        config_fail(reader, CONFIG_KEY_command_public, CONFIG_NO_POINT);
    }
}

static uint32_t host_order(uint32_t address_be)
{
    uint8_t octet[4];

    memcpy(octet, &address_be, sizeof octet);
    return (uint32_t)octet[0] << 24 | (uint32_t)octet[1] << 16 | (uint32_t)octet[2] << 8 | octet[3];
}

static bool is_host(uint32_t address, uint32_t mask)
{
    return (address & ~mask) != 0 && (address & ~mask) != ~mask;
}

static void review_static(struct config_reader *reader)
{
    uint32_t address = host_order(reader->config->address);
    uint32_t mask = host_order(reader->config->netmask);
    uint32_t gateway = host_order(reader->config->gateway);

    if (mask == 0) {
        if (!config_written(reader, CONFIG_KEY_netmask)) {
            config_fail(reader, CONFIG_KEY_netmask, CONFIG_MISSING);
        }
    } else if (address >> 24 == 0 || address >> 24 == 127 || address >> 28 >= 14 ||
               !is_host(address, mask)) {
        config_fail(reader, CONFIG_KEY_address, CONFIG_CLASH);
    } else if (gateway != 0 && /* Or the mail server is in the same network. */
               ((gateway & mask) != (address & mask) || gateway == address ||
                !is_host(gateway, mask))) {
        config_fail(reader, CONFIG_KEY_gateway, CONFIG_CLASH);
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

static void review_names(struct config_reader *reader)
{
    const struct config *config = reader->config;

    if (config_written(reader, CONFIG_KEY_dns)) {
        return;
    }
    if (!resolvable(config, config->mailhub.host)) {
        config_fail(reader, CONFIG_KEY_mailhub, CONFIG_NO_DNS);
    }
    if (!resolvable(config, config->mailhub2.host)) {
        config_fail(reader, CONFIG_KEY_mailhub2, CONFIG_NO_DNS);
    }
    if (!resolvable(config, config->pop3.host)) {
        config_fail(reader, CONFIG_KEY_pop3, CONFIG_NO_DNS);
    }
    if (config_written(reader, CONFIG_KEY_sntp) &&
        (!resolvable(config, config->sntp[0].host) || !resolvable(config, config->sntp[1].host))) {
        config_fail(reader, CONFIG_KEY_sntp, CONFIG_NO_DNS);
    }
}

/* With DHCP there is nothing to say about the network. */
static void review_network(struct config_reader *reader)
{
    static const enum config_key_id needless[] = {CONFIG_KEY_netmask, CONFIG_KEY_gateway};

    if (!reader->config->dhcp) {
        review_static(reader);
        review_names(reader);
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        if (config_written(reader, needless[i])) {
            config_fail(reader, needless[i], CONFIG_CLASH);
        }
    }
}

int config_review(struct config_reader *reader)
{
    const struct config *config = reader->config;
    int before = reader->errors;

    if (reader->text_bytes <= CONFIG_TEXT_BYTES) {
        review_recipients(reader);
        review_servers(reader);
        review_orders(reader);
        if (config->dhcp || config->address != 0) { /* Or `address` has its error already. */
            review_network(reader);
        }
    }
    return reader->errors - before;
}
