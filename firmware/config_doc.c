/* The table of docs/config.md, and what else only the host tools ask of the keys. */
#include "firmware/config_table.h"

#define HELP_ROW(field, type, name, low, high, initial, help) help,
#define OLD_HELP_ROW(id, type, name, help) help,

static const char *const help[CONFIG_KEY_COUNT] = {CONFIG_KEYS(HELP_ROW, OLD_HELP_ROW)};

size_t config_doc_line(unsigned index, char *out, size_t size)
{
    struct text text = text_begin(out, size);
    const struct config_key *key;

    if (index == 0) {
        text_add(&text, "| key | expected | default | meaning |");
    } else if (index == 1) {
        text_add(&text, "|---|---|---|---|");
    } else if (index - 2 < CONFIG_KEY_COUNT) {
        key = &config_keys[index - 2];
        text_format(&text, "| `%s` | ", config_key_name(key));
        config_value_expected(key, &text);
        text_format(&text, " | %s | %s |", config_key_initial(key), help[index - 2]);
    }
    return text.length;
}

const char *config_key_note(const char *written)
{
    const struct config_key *key = config_key_find(written);
    bool idle = key != NULL && (key->type == CONFIG_METHOD || key->type == CONFIG_IGNORED ||
                                key->type == CONFIG_CLIENT_CERT ||
                                key == &config_keys[CONFIG_KEY_from_line_override]);

    return idle ? help[key - config_keys] : NULL;
}
