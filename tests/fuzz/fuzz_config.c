/* A configuration text: whatever it holds, nothing is read or written beside the buffers; what is
 * taken is well formed, safe by default, and comes back the same from what `config show` prints. */
#include "firmware/config.h"
#include "firmware/config_table.h"

#include <stdlib.h>
#include <string.h>

#define SHOWN_BYTES 16384

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void count_finding(void *context, unsigned line, const char *key, const char *message)
{
    int *count = context;

    require(line <= CONFIG_TEXT_BYTES && strlen(key) < CONFIG_LINE_BYTES && message[0] != '\0');
    require(strlen(message) < 280 && strchr(message, '\n') == NULL);
    (*count)++;
}

static int parse(struct config *config, const char *text, size_t size, size_t piece, bool explain)
{
    struct config_reader reader;
    int findings = 0;
    int errors;

    config_begin(&reader, config, count_finding, &findings);
    if (explain) {
        config_explain(&reader);
    }
    for (size_t at = 0; at < size; at += piece) {
        config_push(&reader, text + at, size - at < piece ? size - at : piece);
    }
    errors = config_end(&reader);
    require(errors == findings);
    if (explain) {
        int more = config_review(&reader);

        require(errors + more == findings);
    }
    return errors;
}

static bool holds_nocase(const char *text, size_t size, const char *word)
{
    for (size_t at = 0; at + strlen(word) <= size; at++) {
        char here[8] = "";

        memcpy(here, text + at, strlen(word));
        if (text_equal_nocase(here, word)) {
            return true;
        }
    }
    return false;
}

static void require_sound_server(const struct config *config, unsigned index, const char *text,
                                 size_t size)
{
    struct config_server server;

    config_server(config, index, &server);
    require(server.endpoint->host[0] != '\0' && server.endpoint->port != 0);
    require(server.tls_name[0] != '\0');
    require((server.user[0] != '\0') == (server.password[0] != '\0'));
    if (server.tls == SMTP_TLS_OFF) {
        require(holds_nocase(text, size, "off"));
        require(server.user[0] == '\0' || config->auth_without_tls);
    } else {
        require(config->ca_count > 0);
    }
}

static bool is_mailbox(const char *address)
{
    return config_mailbox_kind(address) == CONFIG_MAILBOX_FULL;
}

static void require_sound_mailbox(const struct config *config, const char *text, size_t size)
{
    static const char zeros[sizeof config->command_key];
    bool none = config->pop3.host[0] == '\0';

    require(none ? config->pop3_user[0] == '\0' && config->pop3_pass[0] == '\0'
                 : config->pop3_user[0] != '\0' && config->pop3_pass[0] != '\0' &&
                       config->pop3.port != 0 && config->pop3_tls_name[0] != '\0');
    require(is_mailbox(config->mailbox) || (none && config->mailbox[0] == '\0'));
    require(is_mailbox(config->answer_to) || config->answer_to[0] == '\0');
    require(none || config->pop3_tls == SMTP_TLS_OFF || config->ca_count > 0);
    require(none || config->pop3_tls != SMTP_TLS_OFF || holds_nocase(text, size, "off"));
    require(config->pop3_size_max >= 1 && config->pop3_size_max <= 1048576);
    require(config->commands < 1u << CONFIG_COMMAND_COUNT);
    require(config->command_key_set ||
            memcmp(config->command_key, zeros, sizeof config->command_key) == 0);
    require(config->otp.sequence <= 9999);
    require(config->report == 0 || config->report >= 600);
    require(config->report < CONFIG_DAILY || (config->report & CONFIG_MINUTE_MASK) < 1440);
}

/* What a configuration without errors promises to the rest of the device. */
static void require_sound(const struct config *config, const char *text, size_t size)
{
    const char *to[CONFIG_TO_MAX];
    size_t count = config_to(config, to, CONFIG_TO_MAX);

    require(count >= 1 && count == config->to_count);
    for (size_t i = 0; i < count; i++) {
        require(is_mailbox(to[i]));
        require(to[i] + strlen(to[i]) < config->to + sizeof config->to);
    }
    require(is_mailbox(config->from));
    require_sound_mailbox(config, text, size);
    require(config_servers(config) >= 1 && config->hostname[0] != '\0');
    require(config_servers(config) == 2 || config->auth_pass2[0] == '\0');
    require(config->host_count <= CONFIG_HOST_MAX && config->ca_count <= CONFIG_CA_MAX);
    require(config->retry_min_s >= 1 && config->retry_min_s <= config->retry_max_s);
    require(config->expire_s >= 1 && config->expire_s <= 30 * 86400);
    require(config->confirm_timeout_s >= 10 && config->limit_day <= 1000000);
    for (unsigned i = 0; i < config_servers(config); i++) {
        require_sound_server(config, i, text, size);
    }
}

static void require_round_trip(const struct config *config)
{
    static const char certificate[] =
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    static char shown[SHOWN_BYTES];
    struct text text = text_begin(shown, sizeof shown);
    struct config again;
    struct config expected = *config;
    char line[300];

    for (unsigned i = 0; config_show_line(config, i, line, sizeof line) > 0; i++) {
        require(strlen(line) < sizeof line - 1);
        if (strcmp(line, "auth_pass = ********") == 0) {
            text_format(&text, "auth_pass = \"%s\"", config->auth_pass);
        } else if (strcmp(line, "auth_pass2 = ********") == 0) {
            text_format(&text, "auth_pass2 = \"%s\"", config->auth_pass2);
        } else if (strcmp(line, "pop3_pass = ********") == 0) {
            text_format(&text, "pop3_pass = \"%s\"", config->pop3_pass);
        } else if (strcmp(line, "command_key = ********") == 0) {
            text_add(&text, "command_key = ");
            for (size_t k = 0; k < sizeof config->command_key; k++) {
                text_add_hex(&text, config->command_key[k], 2);
            }
        } else {
            text_add(&text, line);
        }
        text_add(&text, "\n");
    }
    for (unsigned i = 0; i < config->ca_count; i++) {
        text_add(&text, certificate);
    }
    require(!text.cut);
    require(parse(&again, shown, text.length, text.length, false) == 0);
    expected.tls_written = again.tls_written;
    expected.tls2_written = again.tls2_written;
    expected.pop3_tls_written = again.pop3_tls_written;
    expected.use_tls = expected.use_starttls = 0;
    for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) { /* What follows a NUL in a member is free. */
        bool more = true;

        for (unsigned item = 0; more; item++) {
            char value[300];
            struct text a = text_begin(line, sizeof line);
            struct text b = text_begin(value, sizeof value);

            more = config_value_show(&expected, &config_keys[i], item, &a);
            require(config_value_show(&again, &config_keys[i], item, &b) == more);
            require(strcmp(line, value) == 0);
        }
    }
    require(strcmp(again.auth_pass, config->auth_pass) == 0 && again.ca_count == config->ca_count);
    require(strcmp(again.auth_pass2, config->auth_pass2) == 0);
    require(strcmp(again.pop3_pass, config->pop3_pass) == 0);
    require(memcmp(again.command_key, config->command_key, sizeof again.command_key) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config config, same;
    const char *text = (const char *)data;
    int errors = parse(&config, text, size, size + 1, true);

    /* Pieces of any size say the same, and so does the device without the sentences. */
    require(parse(&same, text, size, 1, false) == errors);
    require(memcmp(&config, &same, sizeof config) == 0);
    if (errors == 0) {
        require_sound(&config, text, size);
        require_round_trip(&config);
    }
    return 0;
}
