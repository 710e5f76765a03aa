/* Values of the configuration: what a person wrote, into struct config and back. */
#include "firmware/config_table.h"
#include "net/alert.h"

#include <string.h>

static const char wrong[] = ""; /* Expected config_value_expected(). */

static void *member(struct config *config, const struct config_key *key)
{
    return (char *)config + key->offset;
}

static const void *const_member(const struct config *config, const struct config_key *key)
{
    return (const char *)config + key->offset;
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool alphanumeric(char c)
{
    return digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Takes the next of several items from *rest: they are parted by commas, and by blanks too where
 * `blanks` says so, but never inside double quotes. NULL: no more. */
static char *next_item(char **rest, bool blanks)
{
    char *at = *rest;
    char *start, *end;
    bool quoted = false;

    while (*at == ' ' || *at == '\t' || *at == ',') {
        at++;
    }
    if (*at == '\0') {
        return NULL;
    }
    for (start = at; *at != '\0'; at++) {
        if (quoted && at[0] == '\\' && at[1] != '\0') {
            at++;
        } else if (*at == '"') {
            quoted = !quoted;
        } else if (!quoted && (*at == ',' || (blanks && (*at == ' ' || *at == '\t')))) {
            break;
        }
    }
    *rest = *at == '\0' ? at : at + 1;
    for (end = at; end[-1] == ' ' || end[-1] == '\t'; end--) {
    }
    *end = '\0';
    return start;
}

bool config_domain_valid(const char *text, size_t length)
{
    size_t label = 0; /* Characters of the label so far. */
    bool number = true;

    for (size_t i = 0; i < length; i++) {
        if (text[i] == '.') {
            if (label == 0 || text[i - 1] == '-') {
                return false;
            }
            label = 0;
            number = true;
        } else if (++label > 63 || (text[i] == '-' && label == 1) ||
                   (text[i] != '-' && !alphanumeric(text[i]))) {
            return false;
        } else if (!digit(text[i])) {
            number = false;
        }
    }
    return label > 0 && text[length - 1] != '-' && length <= 253 && !number;
}

/* RFC 5321 4.1.3: "[192.0.2.1]" or "[IPv6:...]". */
static bool address_literal_valid(const char *text, size_t length)
{
    char inside[48];
    uint32_t address;

    if (length < 3 || length > sizeof inside || text[0] != '[' || text[length - 1] != ']') {
        return false;
    }
    memcpy(inside, text + 1, length - 2);
    inside[length - 2] = '\0';
    if (!text_starts_nocase(inside, "IPv6:")) {
        return text_parse_ipv4(inside, &address);
    }
    return inside[5] != '\0' &&
           strspn(inside + 5, "0123456789abcdefABCDEF:.") == strlen(inside + 5);
}

/* Length of the local part at text; 0: none. */
static size_t local_part_length(const char *text)
{
    size_t at = 0;

    if (text[0] == '"') {
        for (at = 1; text[at] != '"'; at++) {
            if (text[at] == '\\') {
                at++;
            }
            if (text[at] < 0x20 || text[at] > 0x7E) {
                return 0;
            }
        }
        return at + 1;
    }
    while (alphanumeric(text[at]) ||
           (text[at] != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", text[at]) != NULL) ||
           (text[at] == '.' && at > 0 && text[at - 1] != '.')) {
        at++;
    }
    return at > 0 && text[at - 1] == '.' ? 0 : at;
}

enum config_mailbox config_mailbox_kind(const char *text)
{
    size_t length = strlen(text);
    size_t local = local_part_length(text);

    if (local == 0 || local > 64 || length > SMTP_ADDRESS_MAX) {
        return CONFIG_MAILBOX_NONE;
    }
    if (text[local] == '\0') {
        return CONFIG_MAILBOX_LOCAL;
    }
    if (text[local] != '@') {
        return CONFIG_MAILBOX_NONE;
    }
    local++;
    return config_domain_valid(text + local, length - local) ||
                   address_literal_valid(text + local, length - local)
               ? CONFIG_MAILBOX_FULL
               : CONFIG_MAILBOX_NONE;
}

static const char *set_mailboxes(struct config *config, char *value, bool first)
{
    size_t used = 0;
    char *item;

    if (first) {
        config->to_count = 0;
    }
    for (unsigned i = 0; i < config->to_count; i++) {
        used += strlen(config->to + used) + 1;
    }
    while ((item = next_item(&value, false)) != NULL) {
        size_t size = strlen(item) + 1;

        if (config_mailbox_kind(item) == CONFIG_MAILBOX_NONE) {
            return wrong;
        }
        if (config->to_count == CONFIG_TO_MAX || used + size > sizeof config->to) {
            return "too many recipients: expected at most " NUMBER(SMTP_RCPT_MAX) ", and " NUMBER(
                CONFIG_TO_BYTES) " bytes in all";
        }
        memcpy(config->to + used, item, size);
        used += size;
        config->to_count++;
    }
    return NULL;
}

static bool host_valid(const char *value)
{
    uint32_t address;

    return text_parse_ipv4(value, &address) || config_domain_valid(value, strlen(value));
}

/* HOST[:PORT]; port 0 stands for "not written". */
static bool parse_endpoint(char *value, uint32_t port, bool address_only,
                           struct config_endpoint *out)
{
    char *colon = strchr(value, ':');
    uint32_t address;

    if (colon != NULL) {
        *colon = '\0';
        if (!text_parse_u32(colon + 1, UINT16_MAX, &port) || port == 0) {
            return false;
        }
    }
    if ((address_only ? !text_parse_ipv4(value, &address) : !host_valid(value)) ||
        !text_copy(out->host, sizeof out->host, value)) {
        out->host[0] = '\0';
        return false;
    }
    out->port = (uint16_t)port;
    return true;
}

static const char *set_endpoints(struct config_endpoint list[2], const struct config_key *key,
                                 char *value, bool first)
{
    bool address_only = key->type == CONFIG_SERVERS;
    char *item;

    if (first) {
        memset(list, 0, 2 * sizeof list[0]);
    }
    if (text_equal_nocase(value, "off") && !address_only) {
        return first ? NULL : "expected off alone, or a server";
    }
    while ((item = next_item(&value, true)) != NULL) {
        unsigned free = list[0].host[0] == '\0' ? 0 : 1;

        if (list[free].host[0] != '\0') {
            return "too many servers: expected at most 2";
        }
        if (!parse_endpoint(item, key->high, address_only, &list[free])) {
            return wrong;
        }
    }
    return NULL;
}

static const char *set_host(struct config *config, char *value, bool first)
{
    char *name = next_item(&value, true);
    char *address = next_item(&value, true);
    uint32_t address_be;

    if (first) {
        config->host_count = 0;
    }
    if (name == NULL || address == NULL || next_item(&value, true) != NULL ||
        !text_parse_ipv4(address, &address_be) || !config_domain_valid(name, strlen(name)) ||
        strlen(name) >= CONFIG_HOST_BYTES) {
        return wrong;
    }
    if (config->host_count == CONFIG_HOST_MAX) {
        return "too many host names: expected at most " NUMBER(CONFIG_HOST_MAX);
    }
    for (unsigned i = 0; i < config->host_count; i++) {
        if (text_equal_nocase(name, config->host[i].name)) {
            return "this host name was already given an address";
        }
    }
    (void)text_copy(config->host[config->host_count].name, CONFIG_HOST_BYTES, name);
    config->host[config->host_count++].address = address_be;
    return NULL;
}

/* -1: neither yes nor no. */
static int parse_bool(const char *value)
{
    static const char *const words[] = {"no", "yes", "off", "on", "false", "true", "0", "1"};

    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (text_equal_nocase(value, words[i])) {
            return (int)(i & 1);
        }
    }
    return -1;
}

static const char *set_tls(uint8_t *out, const char *value)
{
    static const struct {
        const char *word;
        uint8_t written;
    } words[] = {
        {"implicit", 1 + SMTP_TLS_IMPLICIT},
        {"smtps", 1 + SMTP_TLS_IMPLICIT},
        {"ssl", 1 + SMTP_TLS_IMPLICIT},
        {"starttls", 1 + SMTP_TLS_STARTTLS},
        {"off", 1 + SMTP_TLS_OFF},
        {"on", 0},
        {"yes", 0},
    };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (text_equal_nocase(value, words[i].word)) {
            *out = words[i].written;
            return NULL;
        }
    }
    return wrong;
}

/* "90", "90s", "5m", "1h", "1d" in seconds. */
static const char *set_seconds(uint32_t *out, const struct config_key *key, char *value)
{
    static const char units[] = "smhd";
    static const uint32_t factors[] = {1, 60, 3600, 86400};
    size_t length = strlen(value);
    const char *unit = length > 0 ? strchr(units, value[length - 1]) : NULL;
    uint32_t factor = 1;
    uint32_t number;

    if (unit != NULL) {
        factor = factors[unit - units];
        value[length - 1] = '\0';
    }
    if (!text_parse_u32(value, key->high / factor, &number) || number * factor < key->low) {
        return wrong;
    }
    *out = number * factor;
    return NULL;
}

/* Network byte order from a prefix length of 1 to 32. */
static uint32_t mask_of(uint32_t length)
{
    uint8_t octet[4];
    uint32_t mask = UINT32_MAX << (32 - length);
    uint32_t mask_be;

    for (unsigned i = 0; i < 4; i++) {
        octet[i] = (uint8_t)(mask >> (24 - 8 * i));
    }
    memcpy(&mask_be, octet, sizeof mask_be);
    return mask_be;
}

static const char *set_mask(struct config *config, uint32_t mask)
{
    if (config->netmask != 0 && config->netmask != mask) {
        return "expected the same mask as in the other line that has one";
    }
    config->netmask = mask;
    return NULL;
}

static const char *set_network(struct config *config, char *value)
{
    char *slash = strchr(value, '/');
    uint32_t length;

    if (text_equal_nocase(value, "dhcp")) {
        config->dhcp = true;
        config->address = 0;
        return NULL;
    }
    if (slash != NULL) {
        *slash = '\0';
        if (!text_parse_u32(slash + 1, 30, &length) || length == 0) {
            return wrong;
        }
    }
    if (!text_parse_ipv4(value, &config->address) || config->address == 0) {
        return wrong;
    }
    config->dhcp = false;
    return slash != NULL ? set_mask(config, mask_of(length)) : NULL;
}

static const char *set_netmask(struct config *config, const char *value)
{
    uint32_t mask;

    if (text_parse_ipv4(value, &mask)) {
        for (uint32_t length = 1; length <= 30; length++) {
            if (mask == mask_of(length)) {
                return set_mask(config, mask);
            }
        }
    }
    return wrong;
}

static const char *set_facilities(uint32_t *out, char *value)
{
    uint32_t set = 0;
    char *item;

    if (text_equal_nocase(value, "all")) {
        *out = CONFIG_FACILITIES_ALL;
        return NULL;
    }
    while ((item = next_item(&value, true)) != NULL) {
        uint32_t number;

        if (!text_parse_u32(item, FACILITY_COUNT - 1, &number)) {
            for (number = 0; number < FACILITY_COUNT; number++) {
                if (text_equal_nocase(item, facility_name((uint8_t)number))) {
                    break;
                }
            }
        }
        if (number == FACILITY_COUNT) {
            return wrong;
        }
        set |= 1u << number;
    }
    *out = set;
    return NULL;
}

/* "UTC", "+03:00", "-0330", "+3"; -12:00 to +14:00. */
static const char *set_zone(int16_t *out, const char *value)
{
    uint32_t hours = 0, minutes = 0;
    const char *at = value + 1;
    bool east = value[0] == '+';

    if (text_equal_nocase(value, "UTC") || text_equal_nocase(value, "Z")) {
        *out = 0;
        return NULL;
    }
    if ((!east && value[0] != '-') || !digit(*at)) {
        return wrong;
    }
    for (unsigned i = 0; i < 2 && digit(*at); i++) {
        hours = hours * 10 + (uint32_t)(*at++ - '0');
    }
    if (*at == ':') {
        at++;
    }
    if (*at != '\0' && (strlen(at) != 2 || !text_parse_u32(at, 59, &minutes))) {
        return wrong;
    }
    minutes += hours * 60;
    if (minutes > (east ? 14u : 12u) * 60) {
        return wrong;
    }
    *out = (int16_t)(east ? (int)minutes : -(int)minutes);
    return NULL;
}

static const char *set_text(char *out, const struct config_key *key, const char *value)
{
    bool good = true;

    switch (key->type) {
    case CONFIG_MAILBOX:
        good = config_mailbox_kind(value) != CONFIG_MAILBOX_NONE;
        break;
    case CONFIG_DOMAIN:
        good = config_domain_valid(value, strlen(value));
        break;
    case CONFIG_HOST:
        good = host_valid(value);
        break;
    default:
        break;
    }
    return good && strlen(value) < key->size && text_copy(out, key->size, value) ? NULL : wrong;
}

/* Keys of ssmtp.conf that fill nothing. */
static const char *take_old(const struct config_key *key, const char *value)
{
    switch (key->type) {
    case CONFIG_METHOD:
        return text_equal_nocase(value, "plain") || text_equal_nocase(value, "login") ? NULL
                                                                                      : wrong;
    case CONFIG_CLIENT_CERT:
        return parse_bool(value) == 0 ? NULL : wrong;
    case CONFIG_FILE:
        return "this device has no files: expected the PEM blocks themselves, -----BEGIN "
               "CERTIFICATE----- "
               "to -----END CERTIFICATE-----, anywhere in the text";
    case CONFIG_REFUSED:
        return wrong;
    default:
        return NULL;
    }
}

static const char *set_number(struct config *config, const struct config_key *key, char *value)
{
    void *out = member(config, key);
    uint32_t number;
    int parsed;

    switch (key->type) {
    case CONFIG_BOOL:
    case CONFIG_SWITCH:
        parsed = parse_bool(value);
        if (parsed < 0) {
            return wrong;
        }
        if (key->type == CONFIG_BOOL) {
            *(bool *)out = parsed > 0;
        } else {
            *(uint8_t *)out = (uint8_t)(1 + parsed);
        }
        return NULL;
    case CONFIG_SEVERITY:
        parsed = severity_parse(value);
        if (parsed < 0) {
            return wrong;
        }
        *(uint8_t *)out = (uint8_t)parsed;
        return NULL;
    case CONFIG_PORT:
        if (text_equal_nocase(value, "off")) {
            number = 0;
        } else if (!text_parse_u32(value, key->high, &number)) {
            return wrong;
        }
        *(uint16_t *)out = (uint16_t)number;
        return NULL;
    default:
        return take_old(key, value);
    }
}

const char *config_value_set(struct config *config, const struct config_key *key, char *value,
                             bool first)
{
    void *out = member(config, key);

    if (value[0] == '\0') {
        return NULL; /* As if the line were not there. */
    }
    switch (key->type) {
    case CONFIG_MAILBOXES:
        return set_mailboxes(config, value, first);
    case CONFIG_MAILBOX:
    case CONFIG_TEXT:
    case CONFIG_SECRET:
    case CONFIG_DOMAIN:
    case CONFIG_HOST:
        return set_text(out, key, value);
    case CONFIG_ENDPOINT:
        return parse_endpoint(value, key->high, false, out) ? NULL : wrong;
    case CONFIG_ENDPOINTS:
    case CONFIG_SERVERS:
        return set_endpoints(out, key, value, first);
    case CONFIG_HOSTS:
        return set_host(config, value, first);
    case CONFIG_TLS:
        return set_tls(out, value);
    case CONFIG_SECONDS:
        return set_seconds(out, key, value);
    case CONFIG_NETWORK:
        return set_network(config, value);
    case CONFIG_NETMASK:
        return set_netmask(config, value);
    case CONFIG_IPV4:
        return text_parse_ipv4(value, out) ? NULL : wrong;
    case CONFIG_FACILITIES:
        return set_facilities(out, value);
    case CONFIG_ZONE:
        return set_zone(out, value);
    default:
        return set_number(config, key, value);
    }
}

void config_value_expected(const struct config_key *key, struct text *out)
{
    static const char *const expected[] = {
        [CONFIG_MAILBOXES] = "addresses like admin@example.com, parted by commas",
        [CONFIG_MAILBOX] = "an address like router@example.com",
        [CONFIG_TEXT] = "UTF-8 text of at most ",
        [CONFIG_SECRET] = "UTF-8 text of at most ",
        [CONFIG_DOMAIN] = "a name of letters, digits, hyphens and dots of at most 63 bytes",
        [CONFIG_HOST] = "a host name of at most 63 bytes or an IPv4 address",
        [CONFIG_ENDPOINT] =
            "HOST or HOST:PORT, where HOST is a name of at most 63 bytes or an IPv4 address",
        [CONFIG_ENDPOINTS] = "HOST or HOST:PORT, up to 2 of them, or off",
        [CONFIG_SERVERS] = "an IPv4 address, with :PORT or without, up to 2 of them",
        [CONFIG_HOSTS] = "NAME ADDRESS, like mail.example.com 192.0.2.25",
        [CONFIG_BOOL] = "yes or no",
        [CONFIG_SWITCH] = "yes or no",
        [CONFIG_TLS] =
            "implicit, starttls or on (the port decides), or off if clear text is really meant",
        [CONFIG_SECONDS] = "a time (30, 30s, 5m, 1h) in seconds from ",
        [CONFIG_PORT] = "a port number from ",
        [CONFIG_NETWORK] = "dhcp, or an IPv4 address like 192.0.2.10/24",
        [CONFIG_NETMASK] = "a mask from 128.0.0.0 to 255.255.255.252",
        [CONFIG_IPV4] = "an IPv4 address",
        [CONFIG_SEVERITY] =
            "emergency, alert, critical, error, warning, notice, info, debug, or 0 to 7",
        [CONFIG_FACILITIES] =
            "all, or names (kern, user, daemon, auth, ..., local7) or numbers (0 to 23)",
        [CONFIG_ZONE] = "UTC, or a distance from it, -12:00 to +14:00",
        [CONFIG_FILE] = "a file of PEM certificates",
        [CONFIG_METHOD] = "plain or login",
        [CONFIG_IGNORED] = "anything",
        [CONFIG_CLIENT_CERT] = "no: client certificates are not supported",
        [CONFIG_REFUSED] = "no such key: what it asks for is not supported",
    };

    text_add(out, expected[key->type]);
    if (key->type == CONFIG_TEXT || key->type == CONFIG_SECRET) {
        text_add_u32(out, key->size - 1u);
        text_add(out, " bytes");
    } else if (key->type == CONFIG_SECONDS || key->type == CONFIG_PORT) {
        text_add_u32(out, key->low);
        text_add(out, " to ");
        text_add_u32(out, key->high);
    }
}

unsigned config_value_lines(const struct config *config, const struct config_key *key)
{
    const struct config_endpoint *list;

    switch (key->type) {
    case CONFIG_MAILBOXES:
        return config->to_count > 1 ? config->to_count : 1;
    case CONFIG_HOSTS:
        return config->host_count;
    case CONFIG_ENDPOINTS:
    case CONFIG_SERVERS:
        list = const_member(config, key);
        return list[1].host[0] != '\0' ? 2 : 1;
    case CONFIG_SWITCH: /* Settled into tls. */
    case CONFIG_FILE:
    case CONFIG_METHOD:
    case CONFIG_IGNORED:
    case CONFIG_CLIENT_CERT:
    case CONFIG_REFUSED:
        return 0;
    default:
        return 1;
    }
}

static void show_text(const char *value, struct text *out)
{
    size_t length = strlen(value);
    bool quote =
        length > 0 && (value[0] == ' ' || value[0] == '\t' || value[length - 1] == ' ' ||
                       value[length - 1] == '\t' || (value[0] == '"' && value[length - 1] == '"'));

    text_add(out, quote ? "\"" : "");
    text_add(out, value);
    text_add(out, quote ? "\"" : "");
}

static void show_endpoint(const struct config_endpoint *endpoint, struct text *out)
{
    text_add(out, endpoint->host);
    if (endpoint->host[0] != '\0' && endpoint->port != 0) {
        text_add_char(out, ':');
        text_add_u32(out, endpoint->port);
    }
}

static void show_facilities(uint32_t set, struct text *out)
{
    const char *comma = "";

    if (set == CONFIG_FACILITIES_ALL) {
        text_add(out, "all");
        return;
    }
    for (uint8_t i = 0; i < FACILITY_COUNT; i++) {
        if (set & 1u << i) {
            text_add(out, comma);
            text_add(out, facility_name(i));
            comma = ", ";
        }
    }
}

static void show_zone(int16_t minutes, struct text *out)
{
    uint32_t distance = (uint32_t)(minutes < 0 ? -minutes : minutes);

    text_add_char(out, minutes < 0 ? '-' : '+');
    text_add_pad(out, distance / 60, 2);
    text_add_char(out, ':');
    text_add_pad(out, distance % 60, 2);
}

static void show_list(const struct config *config, const struct config_key *key, unsigned item,
                      struct text *out)
{
    const struct config_endpoint *list = const_member(config, key);
    const char *to[CONFIG_TO_MAX];

    if (key->type == CONFIG_MAILBOXES) {
        text_add(out, item < config_to(config, to, CONFIG_TO_MAX) ? to[item] : "");
    } else if (key->type == CONFIG_HOSTS) {
        text_add(out, config->host[item].name);
        text_add_char(out, ' ');
        text_add_ipv4(out, config->host[item].address);
    } else if (key->type == CONFIG_ENDPOINTS && list[0].host[0] == '\0') {
        text_add(out, "off");
    } else {
        show_endpoint(&list[item], out);
    }
}

static void show_number(const struct config *config, const struct config_key *key, struct text *out)
{
    static const char *const tls[] = {"implicit", "starttls", "off"};
    const void *value = const_member(config, key);
    uint32_t address;

    switch (key->type) {
    case CONFIG_BOOL:
        text_add(out, *(const bool *)value ? "yes" : "no");
        break;
    case CONFIG_TLS:
        text_add(out, tls[config->tls]);
        break;
    case CONFIG_SECONDS:
        text_add_u32(out, *(const uint32_t *)value);
        break;
    case CONFIG_PORT:
        text_add_u32(out, *(const uint16_t *)value);
        break;
    case CONFIG_SEVERITY:
        text_add(out, severity_name(*(const uint8_t *)value));
        break;
    case CONFIG_FACILITIES:
        show_facilities(config->syslog_facilities, out);
        break;
    case CONFIG_ZONE:
        show_zone(config->zone_minutes, out);
        break;
    default: /* CONFIG_NETWORK, CONFIG_NETMASK, CONFIG_IPV4 */
        memcpy(&address, value, sizeof address);
        if (key->type == CONFIG_NETWORK && config->dhcp) {
            text_add(out, "dhcp");
        } else if (address != 0) {
            text_add_ipv4(out, address);
        }
        break;
    }
}

void config_value_show(const struct config *config, const struct config_key *key, unsigned item,
                       struct text *out)
{
    const char *value = const_member(config, key);

    switch (key->type) {
    case CONFIG_MAILBOXES:
    case CONFIG_HOSTS:
    case CONFIG_ENDPOINTS:
    case CONFIG_SERVERS:
        show_list(config, key, item, out);
        break;
    case CONFIG_ENDPOINT:
        show_endpoint(const_member(config, key), out);
        break;
    case CONFIG_SECRET:
        text_add(out, value[0] != '\0' ? "********" : "");
        break;
    case CONFIG_TEXT:
    case CONFIG_MAILBOX:
    case CONFIG_DOMAIN:
    case CONFIG_HOST:
        show_text(value, out);
        break;
    default:
        show_number(config, key, out);
        break;
    }
}
