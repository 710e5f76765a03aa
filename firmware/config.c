#include "firmware/config.h"

#include "firmware/config_table.h"

#include <string.h>

#define MEMBER(field) offsetof(struct config, field), sizeof(((struct config *)0)->field)
#define KEY_ROW(field, type, name, low, high, initial, help) \
    {name, initial, high, MEMBER(field), low, CONFIG_##type},
#define OLD_ROW(id, type, name, help) {name, "", 0, 0, 0, 0, CONFIG_##type},

const struct config_key config_keys[CONFIG_KEY_COUNT] = {CONFIG_KEYS(KEY_ROW, OLD_ROW)};

_Static_assert(CONFIG_KEY_COUNT <= CONFIG_KEY_MAX, "the reader has a line number for each key");
_Static_assert(sizeof(struct config) <= 2560, "what config.h promises");
_Static_assert(sizeof(struct config_reader) <= 1024, "what config.h promises");
_Static_assert(CONFIG_TEXT_BYTES < UINT16_MAX, "line numbers are 16 bits wide");

#define MESSAGE_BYTES 200
#define VALUE_SHOWN 40 /* Of a wrong value; the rest is cut. */

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The next character of a key that counts, in lower case. */
static char key_char(const char **at)
{
    while (**at == '_' || **at == '-') {
        (*at)++;
    }
    char c = **at;

    if (c != '\0') {
        (*at)++;
    }
    if (c == '|') {
        return '\0';
    }
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool config_key_same(const char *a, const char *b)
{
    for (;;) {
        char c = key_char(&a);

        if (c != key_char(&b)) {
            return false;
        }
        if (c == '\0') {
            return true;
        }
    }
}

const struct config_key *config_key_find(const char *written)
{
    if (strchr(written, '|') != NULL) {
        return NULL;
    }
    for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
        const char *other = strchr(config_keys[i].name, '|');

        if (config_key_same(written, config_keys[i].name) ||
            (other != NULL && config_key_same(written, other + 1))) {
            return &config_keys[i];
        }
    }
    return NULL;
}

void config_key_name(const struct config_key *key, struct text *out)
{
    const char *end = strchr(key->name, '|');

    text_add_bytes(out, key->name, end != NULL ? (size_t)(end - key->name) : strlen(key->name));
}

/* Levenshtein distance of two keys, at most `far`. */
static unsigned key_distance(const char *a, const char *b, unsigned far)
{
    uint8_t row[24]; /* row[j]: from what was read of a to the first j characters of b. */
    uint8_t b_length = 0;
    unsigned a_length = 0;

    for (const char *at = b; b_length < sizeof row - 1 && key_char(&at) != '\0'; b_length++) {
        row[b_length] = b_length;
    }
    row[b_length] = b_length;
    for (char c = key_char(&a); c != '\0' && a_length < 64; c = key_char(&a)) {
        uint8_t diagonal = row[0];
        const char *at = b;

        row[0] = (uint8_t)++a_length;
        for (unsigned j = 1; j <= b_length; j++) {
            uint8_t above = row[j];
            uint8_t best = key_char(&at) == c ? diagonal : (uint8_t)(diagonal + 1);

            best = best <= above ? best : (uint8_t)(above + 1);
            best = best <= row[j - 1] ? best : (uint8_t)(row[j - 1] + 1);
            diagonal = above;
            row[j] = best;
        }
    }
    return row[b_length] < far ? row[b_length] : far;
}

static const struct config_key *key_nearest(const char *written)
{
    unsigned nearest = 3 + (strlen(written) > 8); /* Further away it is another word. */
    const struct config_key *found = NULL;

    if (nearest > strlen(written)) {
        nearest = (unsigned)strlen(written);
    }
    for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
        unsigned distance = key_distance(written, config_keys[i].name, nearest);

        if (distance < nearest) {
            nearest = distance;
            found = &config_keys[i];
        }
    }
    return found;
}

static void fail_at(struct config_reader *reader, unsigned line, const char *key,
                    const char *message)
{
    reader->errors++;
    reader->report(reader->context, line, key, message);
}

void config_fail(struct config_reader *reader, enum config_key_id id, const char *message)
{
    char name[32];
    struct text text = text_begin(name, sizeof name);

    config_key_name(&config_keys[id], &text);
    fail_at(reader, reader->key_line[id], name, message);
}

static void set_defaults(struct config *config)
{
    for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
        char value[16];

        if (config_keys[i].initial[0] != '\0') {
            text_copy(value, sizeof value, config_keys[i].initial);
            (void)config_value_set(config, &config_keys[i], value, true);
        }
    }
}

void config_defaults(struct config *config)
{
    memset(config, 0, sizeof *config);
    set_defaults(config);
    config->tls = SMTP_TLS_IMPLICIT;
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
    char *at = line;
    char *end;

    while (blank(*at)) {
        at++;
    }
    if (*at == '\0' || *at == '#' || *at == ';') {
        return 0;
    }
    *key = at;
    at = strchr(at, '=');
    if (at == NULL || at == *key) {
        return E_INVALID;
    }
    for (end = at; end > *key && blank(end[-1]); end--) {
    }
    do {
        at++;
    } while (blank(*at));
    *end = '\0';
    end = at + strlen(at);
    while (end > at && (blank(end[-1]) || end[-1] == '\r')) {
        end--;
    }
    if (end - at >= 2 && *at == '"' && end[-1] == '"') {
        at++; /* Blanks at an end, or a quote, can be written so. */
        end--;
    }
    *end = '\0';
    *value = at;
    return 1;
}

static void unknown_key(struct config_reader *reader, const char *key)
{
    char message[MESSAGE_BYTES];
    char shown[VALUE_SHOWN];
    struct text text = text_begin(message, sizeof message);
    struct text name = text_begin(shown, sizeof shown);
    const struct config_key *nearest = key_nearest(key);

    text_add(&text, "no such key");
    if (nearest != NULL) {
        text_add(&text, "; did you mean '");
        config_key_name(nearest, &text);
        text_add(&text, "'?");
    } else {
        text_add(&text, "; docs/config.md lists the known ones");
    }
    text_add_printable(&name, key, strlen(key));
    fail_at(reader, reader->line, shown, message);
}

/* "expected WHAT, not 'VALUE'", or the reason as it is. */
static void bad_value(struct config_reader *reader, const struct config_key *key,
                      const char *written, const char *reason, const char *value)
{
    char message[MESSAGE_BYTES];
    struct text text = text_begin(message, sizeof message);

    if (reason[0] != '\0') {
        text_add(&text, reason);
    } else {
        text_add(&text, "expected ");
        config_value_expected(key, &text);
        if (key->type != CONFIG_SECRET) {
            text_add(&text, ", not '");
            text_add_printable(&text, value, strlen(value));
            text_add(&text, value[0] != '\0' && strlen(value) == VALUE_SHOWN - 1 ? "...'" : "'");
            if (strstr(value, " #") != NULL || strstr(value, " ;") != NULL) {
                text_add(&text, " (a comment needs a line of its own)");
            }
        }
    }
    fail_at(reader, reader->line, written, message);
}

static bool repeatable(const struct config_key *key)
{
    return key->type == CONFIG_MAILBOXES || key->type == CONFIG_SERVERS ||
           key->type == CONFIG_HOSTS || key->type == CONFIG_ENDPOINTS;
}

static void take_pair(struct config_reader *reader, const char *written, char *value)
{
    const struct config_key *key = config_key_find(written);
    char message[MESSAGE_BYTES];
    char shown[VALUE_SHOWN];
    struct text text = text_begin(message, sizeof message);
    const char *reason;
    uint16_t *first;

    if (key == NULL) {
        unknown_key(reader, written);
        return;
    }
    first = &reader->key_line[key - config_keys];
    if (*first != 0 && !repeatable(key)) {
        text_add(&text, "already written in line ");
        text_add_u32(&text, *first);
        text_add(&text, "; expected once");
        fail_at(reader, reader->line, written, message);
        return;
    }
    (void)text_copy(shown, sizeof shown, value); /* Setting a list cuts the value up. */
    reason = config_value_set(reader->config, key, value, *first == 0);
    if (reason != NULL) {
        bad_value(reader, key, written, reason, shown);
    }
    if (*first == 0 && (reason != NULL || shown[0] != '\0')) {
        *first = reader->line;
    }
}

static bool base64_line(const char *line)
{
    for (; *line != '\0'; line++) {
        bool letter = (*line >= 'A' && *line <= 'Z') || (*line >= 'a' && *line <= 'z');

        if (!letter && !(*line >= '0' && *line <= '9') && *line != '+' && *line != '/' &&
            *line != '=') {
            return false;
        }
    }
    return true;
}

static const char pem_begin_mark[] = "-----BEGIN ";
static const char pem_end_mark[] = "-----END ";

/* The TLS layer takes the same two labels. */
static bool pem_certificate(const char *label)
{
    return strcmp(label, "CERTIFICATE-----") == 0 || strcmp(label, "X509 CERTIFICATE-----") == 0;
}

static void pem_unended(struct config_reader *reader)
{
    if (reader->pem == CONFIG_PEM_INSIDE) {
        fail_at(reader, reader->pem_line, "",
                "this PEM block has no -----END CERTIFICATE----- line");
    }
    reader->pem = CONFIG_PEM_NONE;
}

static void pem_begin(struct config_reader *reader, const char *line)
{
    pem_unended(reader);
    reader->pem_line = reader->line;
    reader->pem = CONFIG_PEM_BAD;
    if (strstr(line, "PRIVATE KEY") != NULL) {
        fail_at(reader, reader->line, "",
                "a private key has no place here: remove it, and if others could read this file, "
                "replace the key");
    } else if (!pem_certificate(line + sizeof pem_begin_mark - 1)) {
        fail_at(reader, reader->line, "", "expected -----BEGIN CERTIFICATE-----");
    } else if (reader->config->ca_count == CONFIG_CA_MAX) {
        fail_at(reader, reader->line, "",
                "more certificates than fit: expected at most " NUMBER(CONFIG_CA_MAX));
    } else {
        reader->pem = CONFIG_PEM_INSIDE;
    }
}

/* True when the line belongs to a PEM block. */
static bool take_pem(struct config_reader *reader, char *line)
{
    const char *start = line;
    char *equals;

    while (blank(*start)) {
        start++;
    }
    if (text_starts_nocase(start, pem_begin_mark)) {
        pem_begin(reader, start);
        return true;
    }
    if (text_starts_nocase(start, pem_end_mark)) {
        if (reader->pem == CONFIG_PEM_INSIDE && pem_certificate(start + sizeof pem_end_mark - 1)) {
            reader->config->ca_count++;
        } else if (reader->pem != CONFIG_PEM_BAD) {
            fail_at(reader, reader->line, "",
                    "expected -----END CERTIFICATE----- after its BEGIN line");
        }
        reader->pem = CONFIG_PEM_NONE;
        return true;
    }
    if (reader->pem == CONFIG_PEM_NONE) {
        return false;
    }
    if (base64_line(start)) {
        return true;
    }
    /* A key that is known shows that the END line was forgotten. */
    equals = strchr(start, '=');
    if (equals != NULL) {
        char name[24];
        struct text text = text_begin(name, sizeof name);

        text_add_bytes(&text, start, (size_t)(equals - start));
        while (text.length > 0 && blank(name[text.length - 1])) {
            name[--text.length] = '\0';
        }
        if (!text.cut && config_key_find(name) != NULL) {
            pem_unended(reader);
            return false;
        }
    }
    if (reader->pem == CONFIG_PEM_INSIDE) {
        fail_at(reader, reader->line, "",
                "expected a line of base64: this is inside a certificate");
        reader->pem = CONFIG_PEM_BAD;
    }
    return true;
}

/* What no line but a comment may hold. */
static const char *line_problem(const struct config_reader *reader)
{
    const char *line = reader->line_text;

    if (reader->overlong) {
        return "the line is too long: expected at most " NUMBER(CONFIG_LINE_BYTES) " bytes";
    }
    for (size_t i = 0; i < reader->length;) {
        const char *shown;
        size_t shown_size;
        size_t size = text_char(line + i, reader->length - i, &shown, &shown_size);

        if (shown != line + i && line[i] != '\t') {
            return (uint8_t)line[i] < 0x80 ? "expected text; the line holds a control character"
                                           : "expected plain UTF-8: save the file in that encoding";
        }
        i += size;
    }
    return NULL;
}

static void take_line(struct config_reader *reader)
{
    char *line = reader->line_text;
    const char *problem;
    char *key, *value;
    int split;

    while (reader->length > 0 &&
           (blank(line[reader->length - 1]) || line[reader->length - 1] == '\r')) {
        reader->length--;
    }
    line[reader->length] = '\0';
    for (key = line; blank(*key); key++) {
    }
    if ((*key == '#' || *key == ';') && reader->pem == CONFIG_PEM_NONE) {
        return; /* A comment may hold anything. */
    }
    problem = line_problem(reader);
    if (problem != NULL) {
        fail_at(reader, reader->line, "", problem);
        return;
    }
    if (take_pem(reader, line)) {
        return;
    }
    split = config_line_split(line, &key, &value);
    if (split > 0) {
        take_pair(reader, key, value);
    } else if (split < 0) {
        fail_at(reader, reader->line, "", "expected a line `key = value`, a comment or nothing");
    }
}

/* A byte order mark is skipped; UTF-16 would make an error of every line. */
static void check_start(struct config_reader *reader)
{
    const char *line = reader->line_text;

    if (reader->length == 2 &&
        (memcmp(line, "\xFF\xFE", 2) == 0 || memcmp(line, "\xFE\xFF", 2) == 0)) {
        reader->stopped = true;
        fail_at(reader, 1, "", "the text is UTF-16: save it as UTF-8");
    } else if (reader->length == 3 && memcmp(line, "\xEF\xBB\xBF", 3) == 0) {
        reader->length = 0;
    }
}

void config_push(struct config_reader *reader, const char *text, size_t size)
{
    for (size_t i = 0; i < size && !reader->stopped; i++) {
        if (++reader->text_bytes > CONFIG_TEXT_BYTES) {
            reader->stopped = true;
            fail_at(reader, 0, "",
                    "the text is too long: expected at most " NUMBER(
                        CONFIG_TEXT_BYTES) " bytes, certificates included");
        } else if (text[i] == '\n') {
            take_line(reader);
            reader->line++;
            reader->length = 0;
            reader->overlong = false;
        } else if (reader->length == CONFIG_LINE_BYTES) {
            reader->overlong = true;
        } else {
            reader->line_text[reader->length++] = text[i];
            if (reader->text_bytes <= 3) {
                check_start(reader);
            }
        }
    }
}

int config_end(struct config_reader *reader)
{
    if (!reader->stopped) {
        take_line(reader);
        pem_unended(reader);
        config_settle(reader);
    }
    memset(reader->line_text, 0, sizeof reader->line_text); /* It has held the password. */
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

size_t config_show_line(const struct config *config, unsigned index, char *out, size_t size)
{
    struct text text = text_begin(out, size);

    for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
        unsigned lines = config_value_lines(config, &config_keys[i]);

        if (index < lines) {
            config_key_name(&config_keys[i], &text);
            text_add(&text, " = ");
            config_value_show(config, &config_keys[i], index, &text);
            if (text.bytes[text.length - 1] == ' ') {
                text.bytes[--text.length] = '\0'; /* Nothing is set. */
            }
            break;
        }
        index -= lines;
    }
    return text.length;
}
