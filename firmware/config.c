#include "firmware/config.h"

#include <string.h>

void config_defaults(struct config *config)
{
    memset(config, 0, sizeof *config);
}

void config_begin(struct config_reader *reader, struct config *config, config_report *report,
                  void *context)
{
    memset(reader, 0, sizeof *reader);
    reader->config = config;
    reader->report = report;
    reader->context = context;
    config_defaults(config);
}

void config_push(struct config_reader *reader, const char *text, size_t size)
{
    (void)text;
    reader->text_bytes += (uint32_t)size;
}

int config_end(struct config_reader *reader)
{
    reader->report(reader->context, 0, "", "the configuration reader is not here yet");
    return 1;
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
    (void)config;
    (void)index;
    (void)size;
    out[0] = '\0';
    return 0;
}

size_t config_doc_line(unsigned index, char *out, size_t size)
{
    (void)index;
    (void)size;
    out[0] = '\0';
    return 0;
}
