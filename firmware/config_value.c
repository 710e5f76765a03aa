/* Values of the configuration: what a person wrote, into struct config and back. */
#include "firmware/config_table.h"
#include "net/alert.h"
#include "net/base64.h"
#include "net/digest.h"
#include "net/otp.h"

#include <string.h>

/* Lists of words end in an empty one. */
static const char bool_words[] = "no\0yes\0off\0on\0false\0true\0"
                                 "0\0"
                                 "1\0";
static const char tls_words[] = "implicit\0starttls\0off\0smtps\0ssl\0on\0yes\0stls\0";
static const char method_words[] = "plain\0login\0";

#define TLS_WORD_ON 5 /* From here, the port decides, ... */
#define TLS_WORD_STLS 7

/* In the order of enum config_command, and three more. */
static const char command_words[] =
    "help\0status\0report\0test\0queue\0ack\0mute\0poll\0history\0config-show\0"
    "config-set\0config-import\0otp\0reboot\0all\0none\0default\0";

#define COMMAND_BIT(name) (1u << CONFIG_COMMAND_##name)
#define COMMANDS_ALL ((1u << CONFIG_COMMAND_COUNT) - 1)
#define COMMANDS_DEFAULT                                                                        \
    (COMMANDS_ALL & ~(COMMAND_BIT(CONFIG_SET) | COMMAND_BIT(CONFIG_IMPORT) | COMMAND_BIT(OTP) | \
                      COMMAND_BIT(REBOOT)))

#define DAY_S 86400
#define SCHEDULE_S_MIN 600 /* More often is a flood. */

/* Which word of the list; -1: none. */
static int find_word(const char *list, const char *word)
{
    for (int i = 0; *list != '\0'; i++) {
        if (text_equal_nocase(list, word)) {
            return i;
        }
        while (*list++ != '\0') {
        }
    }
    return -1;
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

bool config_alphanumeric(char c)
{
    return digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* Takes the next of several items from *rest, which the separators part, but never inside double
 * quotes. NULL: no more. */
static char *next_item(char **rest, const char *separators)
{
    char *start = *rest + strspn(*rest, " \t,");
    char *at = start;
    bool quoted = false;

    if (*start == '\0') {
        return NULL;
    }
    for (; *at != '\0' && (quoted || strchr(separators, *at) == NULL); at++) {
        if (*at == '"') {
            quoted = !quoted;
        } else if (quoted && at[0] == '\\' && at[1] != '\0') {
            at++;
        }
    }
    *rest = *at == '\0' ? at : at + 1;
    *at = '\0';
    return config_trim(start);
}

/* RFC 1123 2.1 host name, which no dotted number is. */
static bool domain_valid(const char *text)
{
    for (;;) {
        size_t length = 0; /* Of this label. */
        bool number = true;

        for (; config_alphanumeric(text[length]) || text[length] == '-'; length++) {
            number = number && digit(text[length]);
        }
        if (length == 0 || length > 63 || text[0] == '-' || text[length - 1] == '-') {
            return false;
        }
        if (text[length] != '.') {
            return text[length] == '\0' && !number;
        }
        text += length + 1;
    }
}

static bool is_address(const char *text)
{
    uint32_t address;

    return text_parse_ipv4(text, &address);
}

static bool host_valid(const char *value)
{
    return strlen(value) < CONFIG_HOST_BYTES && (is_address(value) || domain_valid(value));
}

/* RFC 5321 4.1.3: "[192.0.2.1]" or "[IPv6:...]". */
static bool address_literal_valid(const char *text)
{
    char inside[48];
    size_t length = strlen(text);

    if (length < 3 || length > sizeof inside || text[0] != '[' || text[length - 1] != ']') {
        return false;
    }
    (void)text_copy(inside, length - 1, text + 1);
    return text_starts_nocase(inside, "IPv6:")
               ? inside[5] != '\0' &&
                     inside[5 + strspn(inside + 5, "0123456789abcdefABCDEF:.")] == '\0'
               : is_address(inside);
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
    /* All of ASCII but RFC 5322's specials, of which a dot may stand inside. */
    while (text[at] > ' ' && text[at] <= '~' && strchr("()<>[]:;@\\,\"", text[at]) == NULL &&
           (text[at] != '.' || (at > 0 && text[at - 1] != '.'))) {
        at++;
    }
    return at > 0 && text[at - 1] == '.' ? 0 : at;
}

enum config_mailbox config_mailbox_kind(const char *text)
{
    size_t local = local_part_length(text);

    if (local == 0 || local > 64 || strlen(text) > SMTP_ADDRESS_MAX) {
        return CONFIG_MAILBOX_NONE;
    }
    text += local;
    if (*text == '\0') {
        return CONFIG_MAILBOX_LOCAL;
    }
    return *text == '@' && (domain_valid(text + 1) || address_literal_valid(text + 1))
               ? CONFIG_MAILBOX_FULL
               : CONFIG_MAILBOX_NONE;
}

static enum config_fault set_mailboxes(struct config *config, char *value)
{
    char *end = config->to;
    char *item;

    for (unsigned i = 0; i < config->to_count; i++) {
        end += strlen(end) + 1;
    }
    while ((item = next_item(&value, ",")) != NULL) {
        size_t size = strlen(item) + 1;

        if (config_mailbox_kind(item) == CONFIG_MAILBOX_NONE) {
            return CONFIG_INVALID;
        }
        if (config->to_count == CONFIG_TO_MAX ||
            size > (size_t)(config->to + sizeof config->to - end)) {
            return CONFIG_MANY;
        }
        memcpy(end, item, size);
        end += size;
        config->to_count++;
    }
    return CONFIG_TAKEN;
}

/* HOST[:PORT] */
#ifdef TOCSIN_HOSTED
/* "[2001:db8::25]", with or without ":465" behind it. What stands in the brackets is the link's to
 * judge; false: there are none. */
static bool in_brackets(const char *value, size_t *length)
{
    *length = 1 + strspn(value + (value[0] == '[' ? 1 : 0), "0123456789abcdefABCDEF:.");
    return value[0] == '[' && value[*length] == ']' && *length > 2 && ++*length < CONFIG_HOST_BYTES;
}
#endif

static bool parse_endpoint(char *value, const struct config_key *key, struct config_endpoint *out)
{
    char *colon = strchr(value, ':');
    uint32_t port = key->type == CONFIG_ENDPOINT ? 0 : key->limit; /* 0: not written. */
    bool literal = false;
#ifdef TOCSIN_HOSTED
    size_t length;

    literal = in_brackets(value, &length);
    if (literal) {
        colon = value[length] == ':' ? value + length : NULL;
        if (colon == NULL && value[length] != '\0') {
            return false;
        }
    }
#endif

    if (colon != NULL) {
        *colon = '\0';
        if (!text_parse_u32(colon + 1, UINT16_MAX, &port) || port == 0) {
            return false;
        }
    }
    if (!literal && !(key->type == CONFIG_SERVERS ? is_address(value) : host_valid(value))) {
        return false;
    }
    out->port = (uint16_t)port;
    return text_copy(out->host, sizeof out->host, value);
}

static enum config_fault set_endpoints(struct config_endpoint list[2], const struct config_key *key,
                                       char *value, bool first)
{
    char *item;

    if (first) {
        memset(list, 0, 2 * sizeof list[0]);
    }
    if (key->type == CONFIG_ENDPOINTS && text_equal_nocase(value, "off")) {
        return first ? CONFIG_TAKEN : CONFIG_CLASH;
    }
    while ((item = next_item(&value, " \t,")) != NULL) {
        struct config_endpoint *free = list + (list[0].host[0] != '\0');

        if (free->host[0] != '\0') {
            return CONFIG_MANY;
        }
        if (!parse_endpoint(item, key, free)) {
            return CONFIG_INVALID;
        }
    }
    return CONFIG_TAKEN;
}

static enum config_fault set_commands(uint32_t *set, char *value, bool first)
{
    static const uint32_t several[] = {COMMANDS_ALL, 0, COMMANDS_DEFAULT};
    char *item;

    *set = first ? 0 : *set;
    while ((item = next_item(&value, " \t,")) != NULL) {
        int word = find_word(command_words, item);

        if (word < 0) {
            return CONFIG_INVALID;
        }
        *set |= word < CONFIG_COMMAND_COUNT ? 1u << word : several[word - CONFIG_COMMAND_COUNT];
    }
    return CONFIG_TAKEN;
}

static enum config_fault set_host(struct config *config, char *value)
{
    const char *name = next_item(&value, " \t,");
    const char *address = next_item(&value, " \t,");
    unsigned count = config->host_count;
    uint32_t address_be;

    if (address == NULL || next_item(&value, ",") != NULL || strlen(name) >= CONFIG_HOST_BYTES ||
        !domain_valid(name) || !text_parse_ipv4(address, &address_be)) {
        return CONFIG_INVALID;
    }
    for (unsigned i = 0; i < count; i++) {
        if (text_equal_nocase(name, config->host[i].name)) {
            return CONFIG_AGAIN;
        }
    }
    if (count == CONFIG_HOST_MAX) {
        return CONFIG_MANY;
    }
    (void)text_copy(config->host[count].name, CONFIG_HOST_BYTES, name);
    config->host[count].address = address_be;
    config->host_count++;
    return CONFIG_TAKEN;
}

/* A number within the key's bounds, or `off` where they begin with 0; a time also with its unit:
 * "90", "90s", "5m", "1h", "1d" in seconds. */
static bool parse_number(const struct config_key *key, char *value, uint32_t *out)
{
    static const char units[] = "smhd";
    static const uint32_t factors[] = {1, 60, 3600, 86400};
    char *last = value + strlen(value) - 1;
    bool time = key->type == CONFIG_SECONDS || key->type == CONFIG_SCHEDULE;
    const char *unit = time ? strchr(units, *last) : NULL;
    uint32_t factor = 1;

    *out = 0;
    if (key->low == 0 && find_word("off\0no\0", value) >= 0) {
        return true;
    }
    if (unit != NULL) {
        factor = factors[unit - units];
        *last = '\0';
    }
    if (!text_parse_u32(value, key->limit / factor, out)) {
        return false;
    }
    *out *= factor;
    return *out >= key->low;
}

bool config_seconds_parse(const char *text, uint32_t max, uint32_t *seconds)
{
    const struct config_key key = {.type = CONFIG_SECONDS, .limit = max};
    char value[16];

    return text[0] != '\0' && text_copy(value, sizeof value, text) &&
           parse_number(&key, value, seconds) && (*seconds > 0 || !digit(text[0]));
}

/* "07:00" */
static bool parse_minute(char *value, uint32_t *minute)
{
    char *colon = strchr(value, ':');
    uint32_t hour;

    if (colon == NULL || strlen(colon) != 3) {
        return false;
    }
    *colon = '\0';
    if (!text_parse_u32(value, 23, &hour) || !text_parse_u32(colon + 1, 59, minute)) {
        return false;
    }
    *minute += 60 * hour;
    return true;
}

static bool parse_schedule(const struct config_key *key, char *value, uint32_t *out)
{
    char *day = next_item(&value, " \t");
    char *time = next_item(&value, " \t");
    int word = day != NULL ? find_word("daily\0weekly\0", day) : -1;

    if (word < 0) {
        return day != NULL && time == NULL && parse_number(key, day, out) &&
               (*out == 0 || *out >= SCHEDULE_S_MIN);
    }
    if (time == NULL) {
        *out = word == 0 ? DAY_S : 7 * DAY_S;
        return true;
    }
    if (!parse_minute(time, out) || next_item(&value, " \t") != NULL) {
        return false;
    }
    *out |= word == 0 ? CONFIG_DAILY : CONFIG_WEEKLY;
    return true;
}

static bool set_number(void *out, const struct config_key *key, char *value)
{
    uint32_t number = 0;

    if (!(key->type == CONFIG_SCHEDULE ? parse_schedule : parse_number)(key, value, &number)) {
        return false; /* The default stays, for the sake of what is checked behind it. */
    }
    if (key->type == CONFIG_PORT) {
        *(uint16_t *)out = (uint16_t)number;
    } else {
        *(uint32_t *)out = number;
    }
    return true;
}

/* As many digits as fill it, and no more. */
static bool parse_hex(const char *text, uint8_t *out, size_t size)
{
    static const char digits[] = "0123456789abcdef";

    if (strlen(text) != 2 * size) {
        return false;
    }
    for (size_t i = 0; i < 2 * size; i++) {
        const char *found =
            strchr(digits, text[i] >= 'A' && text[i] <= 'F' ? text[i] | 0x20 : text[i]);

        if (found == NULL) {
            return false;
        }
        out[i / 2] = (uint8_t)(out[i / 2] << 4 | (found - digits));
    }
    return true;
}

bool config_chain_parse(char *text, struct config_chain *chain)
{
    const char *sequence = next_item(&text, " \t,");
    const char *seed = next_item(&text, " \t,");
    const char *last = next_item(&text, " \t,");
    size_t length = 0;

    memset(chain, 0, sizeof *chain);
    if (last == NULL || next_item(&text, " ") != NULL) {
        return false;
    }
    for (; length < sizeof chain->seed - 1 && config_alphanumeric(seed[length]); length++) {
        chain->seed[length] = (char)(digit(seed[length]) ? seed[length] : seed[length] | 0x20);
    }
    return length > 0 && seed[length] == '\0' && parse_hex(last, chain->last, sizeof chain->last) &&
           text_parse_u32(sequence, OTP_SEQUENCE_MAX, &chain->sequence) && chain->sequence > 0;
}

static bool set_public_key(struct config *config, const char *value)
{
    uint8_t der[DIGEST_SPKI_BYTES];

    config->command_public_set = base64_decode(value, der, sizeof der) == DIGEST_SPKI_BYTES &&
                                 digest_public_parse(der, sizeof der, config->command_public) == 0;
    return config->command_public_set;
}

/* Network byte order from a prefix length of 1 to 32. */
static uint32_t mask_of(uint32_t length)
{
    uint32_t mask = UINT32_MAX << (32 - length);
    uint8_t octet[4] = {(uint8_t)(mask >> 24), (uint8_t)(mask >> 16), (uint8_t)(mask >> 8),
                        (uint8_t)mask};

    memcpy(&mask, octet, sizeof mask);
    return mask;
}

/* It may stand in both `address` and `netmask`. */
static enum config_fault set_mask(struct config *config, uint32_t mask)
{
    if (config->netmask != 0 && config->netmask != mask) {
        return CONFIG_CLASH;
    }
    config->netmask = mask;
    return CONFIG_TAKEN;
}

static enum config_fault set_network(struct config *config, char *value)
{
    char *slash = strchr(value, '/');
    uint32_t length = 0;

    config->dhcp = text_equal_nocase(value, "dhcp");
    if (config->dhcp) {
        return CONFIG_TAKEN;
    }
    if (slash != NULL) {
        *slash = '\0';
        if (!text_parse_u32(slash + 1, 30, &length) || length == 0) {
            return CONFIG_INVALID;
        }
    }
    if (!text_parse_ipv4(value, &config->address) || config->address == 0) {
        return CONFIG_INVALID;
    }
    return slash != NULL ? set_mask(config, mask_of(length)) : CONFIG_TAKEN;
}

static enum config_fault set_netmask(struct config *config, const char *value)
{
    uint32_t mask;

    if (text_parse_ipv4(value, &mask)) {
        for (uint32_t length = 1; length <= 30; length++) {
            if (mask == mask_of(length)) {
                return set_mask(config, mask);
            }
        }
    }
    return CONFIG_INVALID;
}

static bool set_facilities(uint32_t *out, char *value)
{
    char *item;

    *out = text_equal_nocase(value, "all") ? CONFIG_FACILITIES_ALL : 0;
    while (*out != CONFIG_FACILITIES_ALL && (item = next_item(&value, " \t,")) != NULL) {
        uint32_t number;

        if (!text_parse_u32(item, FACILITY_COUNT - 1, &number)) {
            for (number = 0; !text_equal_nocase(item, facility_name((uint8_t)number)); number++) {
                if (number == FACILITY_COUNT - 1) {
                    return false;
                }
            }
        }
        *out |= 1u << number;
    }
    return true;
}

/* "UTC", "+03:00", "-0330", "+3"; -12:00 to +14:00. */
static bool set_zone(int16_t *out, const char *value)
{
    int sign = *value == '-' ? -1 : 1;
    uint32_t minutes = 0;
    int hours = 0;

    if (find_word("UTC\0Z\0", value) >= 0) {
        *out = 0;
        return true;
    }
    if ((*value != '+' && *value != '-') || !digit(*++value)) {
        return false;
    }
    hours = *value++ - '0';
    if (digit(*value)) {
        hours = 10 * hours + *value++ - '0';
    }
    value += *value == ':';
    if (*value != '\0' && (strlen(value) != 2 || !text_parse_u32(value, 59, &minutes))) {
        return false;
    }
    minutes += 60 * (uint32_t)hours;
    *out = (int16_t)(sign * (int)minutes);
    return minutes <= (sign < 0 ? 12u : 14u) * 60;
}

/* One of a list of words; keys of ssmtp.conf that fill nothing are among them. */
static bool set_word(void *out, enum config_type type, const char *value)
{
    int word = 0;

    switch (type) {
    case CONFIG_BOOL:
        word = find_word(bool_words, value);
        *(bool *)out = (word & 1) != 0;
        break;
    case CONFIG_SWITCH:
        word = find_word(bool_words, value);
        *(uint8_t *)out = (uint8_t)(1 + (word & 1));
        break;
    case CONFIG_TLS:
        word = find_word(tls_words, value);
        *(uint8_t *)out = (uint8_t)(word <= SMTP_TLS_OFF    ? 1 + word
                                    : word < TLS_WORD_ON    ? 1 + SMTP_TLS_IMPLICIT
                                    : word == TLS_WORD_STLS ? 1 + SMTP_TLS_STARTTLS
                                                            : 0);
        break;
    case CONFIG_SEVERITY:
        word = severity_parse(value);
        *(uint8_t *)out = (uint8_t)word;
        break;
    case CONFIG_METHOD:
        word = find_word(method_words, value);
        break;
    case CONFIG_CLIENT_CERT:
        word = find_word(bool_words, value) & 1 ? -1 : 0;
        break;
    default:
        word = type == CONFIG_IGNORED ? 0 : -1;
        break;
    }
    return word >= 0;
}

enum config_fault config_value_set(struct config *config, const struct config_key *key, char *value,
                                   bool first)
{
    void *out = (char *)config + key->offset;
    bool good = true;

    if (value[0] == '\0') {
        return CONFIG_TAKEN; /* As if the line were not there. */
    }
    switch (key->type) {
    case CONFIG_MAILBOXES:
        return set_mailboxes(config, value);
    case CONFIG_HOSTS:
        return set_host(config, value);
    case CONFIG_ENDPOINTS:
    case CONFIG_SERVERS:
        return set_endpoints(out, key, value, first);
    case CONFIG_COMMANDS:
        return set_commands(out, value, first);
    case CONFIG_NETWORK:
        return set_network(config, value);
    case CONFIG_NETMASK:
        return set_netmask(config, value);
    case CONFIG_MAILBOX:
        good =
            config_mailbox_kind(value) != CONFIG_MAILBOX_NONE && text_copy(out, key->limit, value);
        break;
    case CONFIG_DOMAIN:
        good = domain_valid(value) && text_copy(out, key->limit, value);
        break;
    case CONFIG_HOST:
        good = host_valid(value) && text_copy(out, key->limit, value);
        break;
    case CONFIG_TEXT:
    case CONFIG_SECRET:
        good = text_copy(out, key->limit, value);
        break;
    case CONFIG_HMAC_KEY:
        good = parse_hex(value, out, sizeof config->command_key);
        config->command_key_set = good;
        break;
    case CONFIG_PUBLIC_KEY:
        good = set_public_key(config, value);
        break;
    case CONFIG_CHAIN:
        good = config_chain_parse(value, out);
        break;
    case CONFIG_ENDPOINT:
        good = parse_endpoint(value, key, out);
        break;
    case CONFIG_SCHEDULE:
    case CONFIG_SECONDS:
    case CONFIG_NUMBER:
    case CONFIG_PORT:
        good = set_number(out, key, value);
        break;
    case CONFIG_IPV4:
        good = text_parse_ipv4(value, out);
        break;
    case CONFIG_FACILITIES:
        good = set_facilities(out, value);
        break;
    case CONFIG_ZONE:
        good = set_zone(out, value);
        break;
    default:
        good = set_word(out, key->type, value);
        break;
    }
    return good ? CONFIG_TAKEN : CONFIG_INVALID;
}

static void show_text(const char *value, struct text *out)
{
    static const char ends[] = " \t\"";
    size_t length = strlen(value);
    bool quote =
        length > 0 && (strchr(ends, value[0]) != NULL || strchr(ends, value[length - 1]) != NULL);

    text_format(out, quote ? "\"%s\"" : "%s", value);
}

static void show_endpoint(const struct config_endpoint *endpoint, struct text *out)
{
    if (endpoint->host[0] != '\0') {
        text_format(out, "%s:%u", endpoint->host, endpoint->port);
    }
}

static void show_facilities(uint32_t set, struct text *out)
{
    const char *comma = "";

    if (set == CONFIG_FACILITIES_ALL) {
        text_add(out, "all");
        return;
    }
    for (unsigned i = 0; i < FACILITY_COUNT; i++) {
        if (set & 1u << i) {
            text_format(out, "%s%s", comma, facility_name((uint8_t)i));
            comma = ", ";
        }
    }
}

static void show_zone(int minutes, struct text *out)
{
    unsigned distance = (unsigned)(minutes < 0 ? -minutes : minutes);

    text_format(out, "%c%02u:%02u", minutes < 0 ? '-' : '+', distance / 60, distance % 60);
}

/* Of which `off` says more than 0. */
static void show_number(const struct config_key *key, const void *value, struct text *out)
{
    uint32_t number =
        key->type == CONFIG_PORT ? *(const uint16_t *)value : *(const uint32_t *)value;
    uint32_t minute = number & CONFIG_MINUTE_MASK;

    if (number == 0) {
        text_add(out, "off");
    } else if (number >= CONFIG_DAILY) {
        text_format(out, "%s %02u:%02u", number >= CONFIG_WEEKLY ? "weekly" : "daily",
                    (unsigned)(minute / 60), (unsigned)(minute % 60));
    } else {
        text_add_u32(out, number);
    }
}

/* As it was settled. Without a server there is nothing to say about its TLS. */
static void show_tls(const struct config *config, const struct config_key *key, struct text *out)
{
    if (key == &config_keys[CONFIG_KEY_tls_written]) {
        text_add(out, text_item(tls_words, config->tls));
    } else if (key == &config_keys[CONFIG_KEY_tls2_written]) {
        text_add(out, config->mailhub2.host[0] != '\0' ? text_item(tls_words, config->tls2) : "");
    } else {
        text_add(out, config->pop3.host[0] != '\0' ? text_item(tls_words, config->pop3_tls) : "");
    }
}

static void show_commands(uint32_t set, struct text *out)
{
    const char *comma = "";

    if (set == COMMANDS_ALL || set == 0) {
        text_add(out, set != 0 ? "all" : "none");
        return;
    }
    for (unsigned i = 0; i < CONFIG_COMMAND_COUNT; i++) {
        if (set & 1u << i) {
            text_format(out, "%s%s", comma, text_item(command_words, i));
            comma = ", ";
        }
    }
}

static void show_public_key(const struct config *config, struct text *out)
{
    struct base64 base64 = base64_begin(out);
    uint8_t der[DIGEST_SPKI_BYTES];

    if (config->command_public_set) {
        digest_public_write(config->command_public, der);
        base64_add(&base64, der, sizeof der);
        base64_end(&base64);
    }
}

static void show_chain(const struct config_chain *chain, struct text *out)
{
    if (chain->sequence != 0) {
        text_format(out, "%u %s ", (unsigned)chain->sequence, chain->seed);
        for (size_t i = 0; i < sizeof chain->last; i++) {
            text_add_hex(out, chain->last[i], 2);
        }
    }
}

static void show_address(uint32_t address, struct text *out)
{
    if (address != 0) {
        text_add_ipv4(out, address);
    }
}

/* True: there is such an item. */
static bool show_list(const struct config *config, const struct config_key *key, unsigned item,
                      struct text *out)
{
    const struct config_endpoint *list = (const void *)((const char *)config + key->offset);

    switch (key->type) {
    case CONFIG_MAILBOXES:
        if (item > 0 && item >= config->to_count) {
            return false;
        }
        text_add(out, text_item(config->to, item));
        return true;
    case CONFIG_HOSTS:
        if (item >= config->host_count) {
            return false;
        }
        text_format(out, "%s ", config->host[item].name);
        text_add_ipv4(out, config->host[item].address);
        return true;
    case CONFIG_COMMANDS:
        if (item > 0) {
            return false;
        }
        show_commands(config->commands, out);
        return true;
    default:
        if (item > 1 || (item > 0 && list[1].host[0] == '\0')) {
            return false;
        }
        text_add(out, key->type == CONFIG_ENDPOINTS && list[0].host[0] == '\0' ? "off" : "");
        show_endpoint(&list[item], out);
        return true;
    }
}

bool config_value_show(const struct config *config, const struct config_key *key, unsigned item,
                       struct text *out)
{
    const void *value = (const char *)config + key->offset;

    if (key->type <= CONFIG_SERVERS) {
        return show_list(config, key, item, out);
    }
    if (item > 0 || key->type >= CONFIG_SWITCH) {
        return false;
    }
    switch (key->type) {
    case CONFIG_ENDPOINT:
        show_endpoint(value, out);
        break;
    case CONFIG_SECRET:
        text_add(out, *(const char *)value != '\0' ? "********" : "");
        break;
    case CONFIG_HMAC_KEY:
        text_add(out, config->command_key_set ? "********" : "");
        break;
    case CONFIG_PUBLIC_KEY:
        show_public_key(config, out);
        break;
    case CONFIG_CHAIN:
        show_chain(value, out);
        break;
    case CONFIG_BOOL:
        text_add(out, text_item(bool_words, *(const bool *)value));
        break;
    case CONFIG_TLS:
        show_tls(config, key, out);
        break;
    case CONFIG_SCHEDULE:
    case CONFIG_SECONDS:
    case CONFIG_NUMBER:
    case CONFIG_PORT:
        show_number(key, value, out);
        break;
    case CONFIG_SEVERITY:
        text_add(out, severity_name(*(const uint8_t *)value));
        break;
    case CONFIG_FACILITIES:
        show_facilities(*(const uint32_t *)value, out);
        break;
    case CONFIG_ZONE:
        show_zone(config->zone_minutes, out);
        break;
    case CONFIG_NETWORK:
        if (config->dhcp) {
            text_add(out, "dhcp");
            break;
        }
        show_address(config->address, out);
        break;
    case CONFIG_NETMASK:
    case CONFIG_IPV4:
        show_address(*(const uint32_t *)value, out);
        break;
    default:
        show_text(value, out);
        break;
    }
    return true;
}
