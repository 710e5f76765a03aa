#include "firmware/config.h"

#include "firmware/config_table.h"

#include <string.h>

#define MEMBER_BYTES(field) sizeof(((struct config *)0)->field)
#define KEY_ROW(field, type, name, low, high, initial, help) \
    {offsetof(struct config, field), CONFIG_##type, low, (high) > 0 ? (high) : MEMBER_BYTES(field)},
#define OLD_ROW(id, type, name, help) {0, CONFIG_##type, 0, 0},

const struct config_key config_keys[CONFIG_KEY_COUNT] = {CONFIG_KEYS(KEY_ROW, OLD_ROW)};

/* Name and default of each row: a table without pointers. */
#define KEY_STRINGS(field, type, name, low, high, initial, help) name "\0" initial "\0"
#define OLD_STRINGS(id, type, name, help) name "\0\0"

static const char key_strings[] = CONFIG_KEYS(KEY_STRINGS, OLD_STRINGS);

#define FAULT_WORDS(id, words) words "\0"

static const char fault_words[] = CONFIG_FAULTS(FAULT_WORDS);

_Static_assert(CONFIG_KEY_COUNT <= CONFIG_KEY_MAX, "the reader has a line number for each key");
#ifndef TOCSIN_HOSTED
_Static_assert(sizeof(struct config) <= 3200, "what config.h promises");
_Static_assert(sizeof(struct config_reader) <= 1040, "what config.h promises");
#endif
_Static_assert(CONFIG_TEXT_BYTES < UINT16_MAX, "line numbers are 16 bits wide");

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

char *config_trim(char *text)
{
    char *end;

    while (blank(*text)) {
        text++;
    }
    for (end = text + strlen(text); end > text && blank(end[-1]); end--) {
    }
    *end = '\0';
    return text;
}

/* The next character of a key that counts, in lower case; NUL at its end. */
static int key_char(const char **at)
{
    int c;

    do {
        c = (unsigned char)*(*at)++;
    } while (c == '_' || c == '-' || blank((char)c));
    if (c == '\0' || c == '=') {
        (*at)--;
        return '\0';
    }
    return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

bool config_key_same(const char *a, const char *b)
{
    int c;

    do {
        c = key_char(&a);
        if (c != key_char(&b)) {
            return false;
        }
    } while (c != '\0');
    return true;
}

const char *config_key_name(const struct config_key *key)
{
    return text_item(key_strings, 2 * (size_t)(key - config_keys));
}

const char *config_key_initial(const struct config_key *key)
{
    return text_item(key_strings, 2 * (size_t)(key - config_keys) + 1);
}

const struct config_key *config_key_find(const char *written)
{
    for (const struct config_key *key = config_keys; key < config_keys + CONFIG_KEY_COUNT; key++) {
        if (config_key_same(written, config_key_name(key))) {
            return key->type == CONFIG_ALIAS ? key - 1 : key;
        }
    }
    return NULL;
}

bool config_key_secret(const struct config_key *key)
{
    return key->type == CONFIG_SECRET || key->type == CONFIG_HMAC_KEY;
}

static void fail_at(struct config_reader *reader, unsigned line, const char *key,
                    enum config_fault fault)
{
    reader->errors++;
    if (reader->explain != NULL) {
        reader->explain(reader, line, key, fault);
    } else {
        reader->report(reader->context, line, key, text_item(fault_words, fault));
    }
}

/* Of the line in hand as such. */
static void fail_line(struct config_reader *reader, enum config_fault fault)
{
    fail_at(reader, reader->line, "", fault);
}

void config_fail(struct config_reader *reader, enum config_key_id id, enum config_fault fault)
{
    fail_at(reader, reader->key_line[id], config_key_name(&config_keys[id]), fault);
}

bool config_written(const struct config_reader *reader, enum config_key_id id)
{
    return reader->key_line[id] != 0;
}

void config_defaults(struct config *config)
{
    memset(config, 0, sizeof *config);
    for (const struct config_key *key = config_keys; key < config_keys + CONFIG_KEY_COUNT; key++) {
        char value[CONFIG_INITIAL_BYTES];

        (void)text_copy(value, sizeof value, config_key_initial(key));
        (void)config_value_set(config, key, value, true);
    }
}

void config_begin(struct config_reader *reader, struct config *config, config_report *report,
                  void *context)
{
    memset(reader, 0, sizeof *reader);
    reader->config = config;
    reader->report = report;
    reader->context = context;
    reader->line = 1;
    config_defaults(config);
}

int config_line_split(char *line, char **key, char **value)
{
    char *equals;
    size_t length;

    line = config_trim(line);
    if (*line == '\0' || *line == '#' || *line == ';') {
        return 0;
    }
    equals = strchr(line, '=');
    if (equals == NULL || equals == line) {
        return E_INVALID;
    }
    *equals = '\0';
    *key = config_trim(line);
    *value = config_trim(equals + 1);
    length = strlen(*value);
    if (length >= 2 && **value == '"' && (*value)[length - 1] == '"') {
        (*value)[length - 1] = '\0'; /* Blanks at an end, or a quote, can be written so. */
        (*value)++;
    }
    return 1;
}

static void take_pair(struct config_reader *reader, const char *written, char *value)
{
    const struct config_key *key = config_key_find(written);
    enum config_fault fault = CONFIG_UNKNOWN;

    (void)text_copy(reader->value, sizeof reader->value, value); /* Setting a list cuts it up. */
    if (key != NULL) {
        uint16_t *first = &reader->key_line[key - config_keys];

        fault = *first != 0 && key->type > CONFIG_SERVERS
                    ? CONFIG_AGAIN
                    : config_value_set(reader->config, key, value, *first == 0);
        if (*first == 0 && reader->value[0] != '\0') {
            *first = reader->line;
        }
    }
    if (fault != CONFIG_TAKEN) {
        fail_at(reader, reader->line, written, fault);
    }
}

static bool base64_line(const char *line)
{
    while (config_alphanumeric(*line) || *line == '+' || *line == '/') {
        line++;
    }
    while (*line == '=') {
        line++;
    }
    return *line == '\0';
}

/* The TLS layer takes the same two labels. */
static bool certificate(const char *label)
{
    return strcmp(label + (text_starts_nocase(label, "X509 ") ? 5 : 0), "CERTIFICATE-----") == 0;
}

static void end_pem(struct config_reader *reader)
{
    if (reader->pem == CONFIG_PEM_INSIDE) {
        fail_at(reader, reader->pem_line, "", CONFIG_NO_END);
    }
    reader->pem = CONFIG_PEM_NONE;
}

/* True when the line belongs to a PEM block. */
static bool take_pem(struct config_reader *reader, const char *line)
{
    static const char begin[] = "-----BEGIN ", end[] = "-----END ";
    enum config_fault fault = CONFIG_TAKEN;

    if (text_starts_nocase(line, begin)) {
        end_pem(reader);
        reader->pem_line = reader->line;
        reader->pem = CONFIG_PEM_INSIDE;
        if (!certificate(line + sizeof begin - 1)) {
            fault = CONFIG_NO_PEM;
        } else if (reader->config->ca_count == CONFIG_CA_MAX) {
            fault = CONFIG_MANY;
        }
    } else if (text_starts_nocase(line, end)) {
        if (reader->pem == CONFIG_PEM_INSIDE && certificate(line + sizeof end - 1)) {
            reader->config->ca_count++;
        } else if (reader->pem != CONFIG_PEM_BAD) {
            fail_line(reader, CONFIG_NO_PEM);
        }
        reader->pem = CONFIG_PEM_NONE;
    } else if (reader->pem == CONFIG_PEM_NONE) {
        return false;
    } else if (!base64_line(line)) {
        /* A key that is known shows that the END line was forgotten. */
        if (strchr(line, '=') != NULL && config_key_find(line) != NULL) {
            end_pem(reader);
            return false;
        }
        fault = reader->pem == CONFIG_PEM_INSIDE ? CONFIG_NO_PEM : CONFIG_TAKEN;
    }
    if (fault != CONFIG_TAKEN) {
        reader->pem = CONFIG_PEM_BAD;
        fail_line(reader, fault);
    }
    return true;
}

/* No line but a comment may hold control characters, or what is no UTF-8. */
static bool is_text(const char *at)
{
    const char *end = at + strlen(at);

    while (at < end) {
        const char *shown;
        size_t shown_size;
        size_t size = text_char(at, (size_t)(end - at), &shown, &shown_size);

        if (shown != at && *at != '\t') {
            return false;
        }
        at += size;
    }
    return true;
}

static void take_line(struct config_reader *reader)
{
    char *line, *key, *value;
    int split;

    reader->line_text[reader->length] = '\0';
    line = config_trim(reader->line_text);
    if ((*line == '#' || *line == ';') && reader->pem == CONFIG_PEM_NONE) {
        return; /* A comment may hold anything. */
    }
    if (reader->overlong || !is_text(line)) {
        fail_line(reader, reader->overlong ? CONFIG_LONG : CONFIG_NO_TEXT);
    } else if (!take_pem(reader, line)) {
        split = config_line_split(line, &key, &value);
        if (split > 0) {
            take_pair(reader, key, value);
        } else if (split < 0) {
            fail_line(reader, CONFIG_NO_PAIR);
        }
    }
}

void config_push(struct config_reader *reader, const char *text, size_t size)
{
    for (; size > 0 && reader->text_bytes <= CONFIG_TEXT_BYTES; size--, text++) {
        if (++reader->text_bytes > CONFIG_TEXT_BYTES) {
            fail_at(reader, 0, "", CONFIG_LONG); /* And no more is taken, or said. */
        } else if (*text == '\n') {
            take_line(reader);
            reader->line++;
            reader->length = 0;
            reader->overlong = false;
        } else if (reader->length == CONFIG_LINE_BYTES) {
            reader->overlong = true;
        } else {
            /* A NUL, which would end the line here, is as wrong as any control character. */
            reader->line_text[reader->length++] = *text == '\0' ? '\1' : *text;
        }
    }
}

int config_end(struct config_reader *reader)
{
    if (reader->text_bytes <= CONFIG_TEXT_BYTES) {
        take_line(reader);
        end_pem(reader);
        config_settle(reader);
    }
    memset(reader->line_text, 0, sizeof reader->line_text); /* It has held the password. */
    memset(reader->value, 0, sizeof reader->value);
    return reader->errors;
}

size_t config_to(const struct config *config, const char **out, size_t max)
{
    const char *at = config->to;
    size_t count = 0;

    for (; count < config->to_count && count < max; count++, at += strlen(at) + 1) {
        out[count] = at;
    }
    return count;
}

unsigned config_servers(const struct config *config)
{
    return config->mailhub.host[0] == '\0' ? 0 : config->mailhub2.host[0] == '\0' ? 1 : 2;
}

void config_server(const struct config *config, unsigned index, struct config_server *view)
{
    *view = index == 0
                ? (struct config_server){&config->mailhub, config->tls_name, config->auth_user,
                                         config->auth_pass, config->tls}
                : (struct config_server){&config->mailhub2, config->tls2_name, config->auth_user2,
                                         config->auth_pass2, config->tls2};
}

size_t config_show_line(const struct config *config, unsigned index, char *out, size_t size)
{
    for (const struct config_key *key = config_keys; key < config_keys + CONFIG_KEY_COUNT; key++) {
        for (unsigned item = 0;; item++) {
            struct text text = text_begin(out, size);

            text_format(&text, "%s = ", config_key_name(key));
            if (!config_value_show(config, key, item, &text)) {
                break;
            }
            if (index-- == 0) {
                return strlen(config_trim(out)); /* No blank where nothing is set. */
            }
        }
    }
    return 0;
}
