/* fuzz_options.c - arguments, each ended by NUL: every recipient stays one, nothing is read beside
 * them, and what is taken is one of them. */
#include "boards/linux/options.h"

#include <stdlib.h>
#include <string.h>

#define ARGUMENTS_MAX 40

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *given[ARGUMENTS_MAX];
static size_t given_count;
static const char *bytes_begin, *bytes_end;

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void warn(void *context, const char *sentence)
{
    (void)context;
    require(strncmp(sentence, "option ", 7) == 0);
    for (; *sentence != '\0'; sentence++) {
        require((unsigned char)*sentence >= ' ' && *sentence != 0x7F);
    }
}

static void require_borrowed(const char *value)
{
    require(value == NULL || value[0] == '\0' || (value >= bytes_begin && value < bytes_end));
}

/* An argument with '@' that is no option is a recipient or the value of one that takes any; a plain
 * one in front of all options is a recipient whatever comes. */
static void check(const struct options *options)
{
    require(options->mode <= OPTIONS_USAGE && options->rcpt_count < ARGUMENTS_MAX);
    require_borrowed(options->sender);
    require_borrowed(options->full_name);
    require_borrowed(options->config);
    require_borrowed(options->notify);
    require_borrowed(options->envid);
    require_borrowed(options->trace);
    require_borrowed(options->tag);
    require(options->ret == NULL || strlen(options->ret) == 4);
    require(options->envid == NULL || strlen(options->envid) <= 100);
    for (size_t i = 0; i < options->rcpt_count; i++) {
        require(options->rcpt[i][0] != '\0');
        require_borrowed(options->rcpt[i]);
    }
    for (size_t i = 1; i < given_count && given[i][0] != '-' && given[i][0] != '\0'; i++) {
        require(i <= options->rcpt_count && options->rcpt[i - 1] == given[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"sendmail", "mailq", "/usr/bin/newaliases", "runq"};
    const char *argv[ARGUMENTS_MAX];
    struct options options;
    const char *why = NULL;
    char *copy;
    int result;

    if (size < 1) {
        return 0;
    }
    copy = malloc(size);
    require(copy != NULL);
    memcpy(copy, data + 1, size - 1);
    copy[size - 1] = '\0';
    bytes_begin = copy;
    bytes_end = copy + size;
    given[0] = "sendmail";
    given_count = 1;
    for (const char *at = copy; at < bytes_end && given_count < ARGUMENTS_MAX;
         at += strlen(at) + 1) {
        given[given_count++] = at;
    }
    memcpy(argv, given, sizeof argv);
    result = options_parse(&options, names[data[0] % 4], (int)given_count, argv, warn, NULL, &why);
    require(result == 0 || (result == E_INVALID && why != NULL));
    check(&options);
    free(copy);
    return 0;
}
