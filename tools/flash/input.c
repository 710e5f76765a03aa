#include "input.h"

#include "net/text.h"
#include "net/tls.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

_Static_assert(CONFIG_CA_MAX == TLS_ANCHOR_MAX, "the reader counts what the TLS layer takes");

#define FINDINGS_MAX 1000
#define FINDING_BYTES 1000
#define PEM_COLUMNS 64

struct finding {
    unsigned line;
    char text[FINDING_BYTES];
};

/* One block of a CA file, its base64 wrapped anew, so that any length of line goes in. */
struct block {
    struct buffer pem;
    unsigned line;
    size_t column;
    enum { OUTSIDE, INSIDE, SKIPPED } where;
};

/* Where the text for the flash is being made, line by line; a certificate that stands in it is
 * decoded in passing. */
struct source {
    struct buffer file, copy;
    struct buffer ca_file;
    struct buffer certificates; /* From the CA files. */
    struct buffer pem;          /* The block in hand. */
    struct block block;         /* Of the CA file. */
    unsigned line;
    unsigned pem_line; /* Where the block began; 0: not in one. */
};

/* All that is found in one configuration file, told at the end in the order of its lines. */
struct job {
    const char *path;
    struct source source;
    struct finding *findings;
    size_t finding_count;
    size_t errors;
    bool ca_failed; /* A CA file was named, and has its error already. */
    struct tls_anchors anchors;
    struct input input;
};

static void note(struct job *job, bool error, unsigned line, const char *key, const char *format,
                 ...) __attribute__((format(printf, 5, 6)));

static void note(struct job *job, bool error, unsigned line, const char *key, const char *format,
                 ...)
{
    struct finding *finding;
    char place[16] = "";
    char message[FINDING_BYTES];
    int length;
    va_list list;

    job->errors += error;
    if (job->finding_count == FINDINGS_MAX) {
        return;
    }
    va_start(list, format);
    vsnprintf(message, sizeof message, format, list);
    va_end(list);
    if (line > 0) {
        snprintf(place, sizeof place, "%u:", line);
    }
    finding = &job->findings[job->finding_count++];
    finding->line = line;
    length = snprintf(finding->text, sizeof finding->text, "%s:%s %s%s%s", job->path, place,
                      error ? "" : "note: ", key, key[0] != '\0' ? ": " : "");
    if (length >= 0 && (size_t)length < sizeof finding->text) {
        (void)text_copy(finding->text + length, sizeof finding->text - (size_t)length, message);
    }
}

static int by_line(const void *a, const void *b)
{
    const struct finding *left = a, *right = b;

    if (left->line == right->line) {
        return left < right ? -1 : 1; /* Only for sorting that keeps the order of equals. */
    }
    return left->line - 1u < right->line - 1u ? -1 : 1; /* Line 0, the whole, comes last. */
}

static void print_findings(struct job *job)
{
    qsort(job->findings, job->finding_count, sizeof job->findings[0], by_line);
    for (size_t i = 0; i < job->finding_count; i++) {
        fprintf(stderr, "%s\n", job->findings[i].text);
    }
    if (job->finding_count == FINDINGS_MAX) {
        fprintf(stderr, "%s: and more\n", job->path);
    }
}

static void take_report(void *context, unsigned line, const char *key, const char *message)
{
    struct job *job = context;

    if (!(job->ca_failed && line == 0 && config_key_same(key, "TLS_CA_File"))) {
        note(job, true, line, key, "%s", message);
    }
}

/* The next line of text at *at, NUL-ended in place, without CR; NULL: no more. */
static char *next_line(char **at, const char *end)
{
    char *line = *at;
    char *newline;
    size_t length;

    if (line >= end) {
        return NULL;
    }
    newline = memchr(line, '\n', (size_t)(end - line));
    length = (size_t)((newline != NULL ? newline : end) - line);
    *at = newline != NULL ? newline + 1 : line + length;
    while (length > 0 && strchr("\r \t", line[length - 1]) != NULL) {
        length--;
    }
    line[length] = '\0';
    return line;
}

static bool starts(const char *line, const char *with)
{
    return strncmp(line, with, strlen(with)) == 0;
}

/* Decodes one PEM block as the device will; "" or what is wrong with it. */
static const char *check_block(struct job *job, const struct buffer *pem)
{
    static struct tls_pem decoder;
    const char *why = "";
    int result;

    tls_pem_init(&decoder, &job->anchors);
    result = tls_pem_push(&decoder, pem->bytes, pem->size, &why);
    if (result >= 0) {
        result = tls_pem_end(&decoder, &why);
    }
    if (result == E_SPACE) {
        return "more certificates than the device has room for (8, with names and keys of 3 KB); "
               "expected only the CA that your mail server's certificate leads to";
    }
    return result < 0 ? why : "";
}

static void begin_block(struct block *block, unsigned line)
{
    block->where = INSIDE;
    block->line = line;
    block->column = 0;
    block->pem.size = 0;
    append_string(&block->pem, "-----BEGIN CERTIFICATE-----\n");
}

static void wrap(struct block *block, const char *line)
{
    for (; *line != '\0'; line++) {
        if (*line == ' ' || *line == '\t') {
            continue;
        }
        append(&block->pem, line, 1);
        if (++block->column % PEM_COLUMNS == 0) {
            append_string(&block->pem, "\n");
        }
    }
}

/* Takes one line of a CA file. Returns a sentence when it cannot go in. */
static const char *take_ca_line(struct job *job, struct block *block, char *line, unsigned number,
                                struct buffer *out)
{
    const char *why;

    line += strspn(line, " \t");
    if (strstr(line, "PRIVATE KEY-----") != NULL) {
        return "a private key: it must not leave the server; give the CA's certificate only, and "
               "replace the key if this file was passed on";
    }
    if (starts(line, "-----BEGIN ")) {
        if (block->where != OUTSIDE) {
            return "the block before this line has no END line";
        }
        if (strcmp(line, "-----BEGIN TRUSTED CERTIFICATE-----") == 0) {
            return "a TRUSTED CERTIFICATE is OpenSSL's own: convert it with `openssl x509`";
        }
        block->where = SKIPPED;
        if (strcmp(line, "-----BEGIN CERTIFICATE-----") == 0 ||
            strcmp(line, "-----BEGIN X509 CERTIFICATE-----") == 0) {
            begin_block(block, number);
        }
    } else if (starts(line, "-----END ") && block->where == INSIDE) {
        if (block->column % PEM_COLUMNS != 0) {
            append_string(&block->pem, "\n");
        }
        append_string(&block->pem, "-----END CERTIFICATE-----\n");
        block->where = OUTSIDE;
        why = check_block(job, &block->pem);
        if (why[0] != '\0') {
            return why;
        }
        append(out, block->pem.bytes, block->pem.size);
    } else if (starts(line, "-----END ")) {
        block->where = OUTSIDE;
    } else if (block->where == INSIDE) {
        wrap(block, line);
    }
    return NULL;
}

/* Appends the certificates of a CA file to source.certificates. Its path counts from the
 * configuration's folder. */
static void take_ca_file(struct job *job, const char *name, unsigned config_line)
{
    struct buffer *file = &job->source.ca_file;
    struct block *block = &job->source.block;
    const char *why = NULL;
    size_t before = job->anchors.count;
    unsigned number = 0;
    char path[PATH_MAX];
    char folder[PATH_MAX];
    char *at, *line;

    snprintf(folder, sizeof folder, "%s", job->path);
    if (name[0] == '/') {
        snprintf(path, sizeof path, "%s", name);
    } else if ((size_t)snprintf(path, sizeof path, "%s/%s", dirname(folder), name) >= sizeof path) {
        path[0] = '\0';
    }
    file->size = 0;
    block->where = OUTSIDE;
    if (!read_file(path, INPUT_BYTES_MAX, file)) {
        job->ca_failed = true;
        note(job, true, config_line, "TLS_CA_File",
             "cannot read %s: %s; expected a file of PEM certificates", path, strerror(errno));
        return;
    }
    at = file->bytes;
    while (why == NULL && (line = next_line(&at, file->bytes + file->size)) != NULL) {
        number++;
        why = take_ca_line(job, block, line, number, &job->source.certificates);
    }
    if (why == NULL && block->where == INSIDE) {
        number = block->line;
        why = "the certificate that begins here has no END line";
    }
    if (why != NULL) {
        job->ca_failed = true;
        note(job, true, config_line, "TLS_CA_File", "%s, line %u: %s", path, number, why);
    } else if (job->anchors.count == before) {
        job->ca_failed = true;
        note(job, true, config_line, "TLS_CA_File",
             "%s: no -----BEGIN CERTIFICATE----- in it; expected PEM (a DER file is converted with "
             "`openssl x509 -inform DER`)",
             path);
    }
}

/* True when the line belongs to a PEM block that the text itself holds. */
static bool take_own_pem(struct job *job, const char *line)
{
    struct source *source = &job->source;
    const char *why;

    if (starts(line, "-----BEGIN ")) {
        source->pem_line = source->line;
        source->pem.size = 0;
    } else if (source->pem_line > 0 && !starts(line, "-----END ") &&
               strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") !=
                   strlen(line)) {
        source->pem_line = 0; /* The reader says what is wrong with the line. */
    }
    if (source->pem_line == 0) {
        return false;
    }
    append_string(&source->pem, line);
    append_string(&source->pem, "\n");
    if (starts(line, "-----END ")) {
        why =
            strstr(source->pem.bytes, "CERTIFICATE") != NULL ? check_block(job, &source->pem) : "";
        if (why[0] != '\0') {
            note(job, true, source->pem_line, "", "%s", why);
        }
        source->pem_line = 0;
    }
    return true;
}

/* Takes a byte order mark away; UTF-16 would make an error of every line. */
static void check_start(struct job *job)
{
    struct buffer *file = &job->source.file;

    if (starts(file->bytes, "\xFF\xFE") || starts(file->bytes, "\xFE\xFF")) {
        die(1, "%s:1: the text is UTF-16: save it as UTF-8\n", job->path);
    }
    if (starts(file->bytes, "\xEF\xBB\xBF")) {
        file->size -= 3;
        memmove(file->bytes, file->bytes + 3, file->size + 1);
    }
}

/* Copies one line into the text for the flash, unless it names a CA file. */
static void take_line(struct job *job, char *line, const char *original, size_t original_size)
{
    struct source *source = &job->source;
    char *key, *value;

    source->line++;
    line += strspn(line, " \t");
    if (!take_own_pem(job, line) && config_line_split(line, &key, &value) > 0) {
        if (config_key_same(key, "TLS_CA_File") && value[0] != '\0') {
            take_ca_file(job, value, source->line);
            append_string(&job->input.text, "# TLS_CA_File = ");
            append_string(&job->input.text, value);
            append_string(&job->input.text, " (its certificates stand at the end)\n");
            return;
        }
        if (config_key_note(key) != NULL) {
            note(job, false, source->line, key, "%s", config_key_note(key));
        }
    }
    append(&job->input.text, original, original_size);
}

/* Reads the configuration; what is wrong with it is in job->errors. */
static void check(struct job *job, const char *path)
{
    static struct finding findings[FINDINGS_MAX];
    struct source *source = &job->source;
    struct config_reader reader;
    char *at, *line, *start, *end;
    int errors;

    job->path = path;
    job->findings = findings;
    if (!read_file(path, INPUT_BYTES_MAX, &source->file)) {
        die(1, "%s: cannot read it: %s\n", path, strerror(errno));
    }
    check_start(job);
    append(&source->copy, source->file.bytes, source->file.size);
    tls_anchors_init(&job->anchors);
    append_string(&job->input.text, "");
    at = source->copy.bytes;
    end = at + source->copy.size;
    for (start = at; (line = next_line(&at, end)) != NULL; start = at) {
        take_line(job, line, source->file.bytes + (start - source->copy.bytes),
                  (size_t)(at - start));
    }
    if (source->certificates.size > 0) {
        if (job->input.text.size > 0 && job->input.text.bytes[job->input.text.size - 1] != '\n') {
            append_string(&job->input.text, "\n");
        }
        append(&job->input.text, source->certificates.bytes, source->certificates.size);
    }
    config_begin(&reader, &job->input.config, take_report, job);
    config_explain(&reader);
    config_push(&reader, job->input.text.bytes, job->input.text.size);
    errors = config_end(&reader);
    errors += config_review(&reader);
    if (errors == 0 && job->errors == 0 && job->anchors.count != job->input.config.ca_count) {
        note(job, true, 0, "", "%u certificates were counted but %zu decoded",
             job->input.config.ca_count, job->anchors.count);
    }
}

static void warn_if_public(const struct job *job)
{
    const struct config *config = &job->input.config;
    struct stat status;

    if ((config->auth_pass[0] != '\0' || config->auth_pass2[0] != '\0') &&
        stat(job->path, &status) == 0 && S_ISREG(status.st_mode) &&
        (status.st_mode & S_IROTH) != 0) {
        fprintf(stderr, "%s: warning: everybody here can read the password in it: chmod 600 %s\n",
                job->path, job->path);
    }
}

const struct input *input_check(const char *path)
{
    static struct job job;

    check(&job, path);
    print_findings(&job);
    if (job.errors > 0) {
        die(1, "%s: %zu error%s; nothing was written\n", path, job.errors,
            job.errors == 1 ? "" : "s");
    }
    warn_if_public(&job);
    return &job.input;
}

void settings_print(const struct config *config, const char *before)
{
    char line[700];

    for (unsigned i = 0; config_show_line(config, i, line, sizeof line) > 0; i++) {
        printf("%s%s\n", before, shown(line));
    }
    printf("%s# %u CA certificate%s\n", before, config->ca_count, config->ca_count == 1 ? "" : "s");
}
