/* mkflash - checks a configuration and writes the flash image that one board boots from.
 *
 * One program a board, made of the device's own reader, certificate decoder and store: what it
 * accepts, the device accepts. The image is worked on in memory and replaces the file in one step.
 */
#include "firmware/config.h"
#include "firmware/store.h"
#include "geometry.h"
#include "net/text.h"
#include "net/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(CONFIG_CA_MAX == TLS_ANCHOR_MAX, "the reader counts what the TLS layer takes");

/* docs/flash-format.md, "What the part must be". */
_Static_assert(16 % FLASH_PROGRAM_BYTES == 0, "records are aligned to 16 bytes");
_Static_assert(FLASH_PAGE_BYTES % FLASH_PROGRAM_BYTES == 0, "a page is whole units");
_Static_assert(FLASH_ERASE_BYTES >= 4096 && FLASH_ERASE_BYTES % FLASH_PAGE_BYTES == 0,
               "an erase block is whole pages");
_Static_assert(FLASH_CONFIG_BYTES > 0 && FLASH_CONFIG_BYTES % (2 * FLASH_ERASE_BYTES) == 0,
               "a slot is whole erase blocks");
_Static_assert(FLASH_LOG_BYTES % FLASH_ERASE_BYTES == 0 &&
                   FLASH_LOG_BYTES / FLASH_ERASE_BYTES >= STORE_BLOCKS_MIN,
               "the log is enough whole erase blocks");

#define INPUT_BYTES_MAX (4u << 20) /* Of a file that a person wrote. */
#define FINDINGS_MAX 1000
#define FINDING_BYTES 1000
#define PEM_COLUMNS 64

static const char doc_begin[] = "<!-- table: begin -->\n";
static const char doc_end[] = "<!-- table: end -->\n";

static const char usage[] =
    "usage: mkflash-" BOARD_NAME " [--seedless] CONFIG IMAGE\n"
    "           checks CONFIG and writes it into the flash image IMAGE, which is created if "
    "absent;\n"
    "           an image that exists keeps its seed and its boot count\n"
    "       mkflash-" BOARD_NAME " --check CONFIG    checks it and shows all settings\n"
    "       mkflash-" BOARD_NAME
    " --show IMAGE      shows what an image holds, without its secrets\n"
    "       mkflash-" BOARD_NAME " --doc FILE        renews the table of keys in docs/config.md\n"
    "  --seedless   leaves the image without a seed for random numbers: such a device refuses "
    "TLS\n";

/* A text that grows. All are in static objects and live until the program ends. */
struct buffer {
    char *bytes;
    size_t size;
    size_t room;
};

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
    struct buffer text; /* As it goes to flash. */
    struct finding *findings;
    size_t finding_count;
    size_t errors;
    bool ca_failed; /* A CA file was named, and has its error already. */
    struct config config;
    struct tls_anchors anchors;
};

static void die(int status, const char *format, ...)
    __attribute__((noreturn, format(printf, 2, 3)));

static void die(int status, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    exit(status);
}

static void append(struct buffer *buffer, const char *bytes, size_t size)
{
    if (buffer->size + size + 1 > buffer->room) {
        buffer->room = 2 * (buffer->size + size + 1);
        buffer->bytes = realloc(buffer->bytes, buffer->room);
        if (buffer->bytes == NULL) {
            die(1, "mkflash: no memory\n");
        }
    }
    memcpy(buffer->bytes + buffer->size, bytes, size);
    buffer->size += size;
    buffer->bytes[buffer->size] = '\0';
}

static void append_string(struct buffer *buffer, const char *string)
{
    append(buffer, string, strlen(string));
}

/* False: errno says why. */
static bool read_file(const char *path, size_t max, struct buffer *out)
{
    char piece[65536];
    FILE *file = fopen(path, "rb");
    size_t size;
    bool good;

    append(out, "", 0);
    if (file == NULL) {
        return false;
    }
    while ((size = fread(piece, 1, sizeof piece, file)) > 0 && out->size <= max) {
        append(out, piece, size);
    }
    good = ferror(file) == 0;
    fclose(file);
    if (good && out->size > max) {
        errno = EFBIG;
        good = false;
    }
    return good;
}

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
            append_string(&job->text, "# TLS_CA_File = ");
            append_string(&job->text, value);
            append_string(&job->text, " (its certificates stand at the end)\n");
            return;
        }
        if (config_key_note(key) != NULL) {
            note(job, false, source->line, key, "%s", config_key_note(key));
        }
    }
    append(&job->text, original, original_size);
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
    append_string(&job->text, "");
    at = source->copy.bytes;
    end = at + source->copy.size;
    for (start = at; (line = next_line(&at, end)) != NULL; start = at) {
        take_line(job, line, source->file.bytes + (start - source->copy.bytes),
                  (size_t)(at - start));
    }
    if (source->certificates.size > 0) {
        if (job->text.size > 0 && job->text.bytes[job->text.size - 1] != '\n') {
            append_string(&job->text, "\n");
        }
        append(&job->text, source->certificates.bytes, source->certificates.size);
    }
    config_begin(&reader, &job->config, take_report, job);
    config_explain(&reader);
    config_push(&reader, job->text.bytes, job->text.size);
    errors = config_end(&reader);
    errors += config_review(&reader);
    if (errors == 0 && job->errors == 0 && job->anchors.count != job->config.ca_count) {
        note(job, true, 0, "", "%u certificates were counted but %zu decoded", job->config.ca_count,
             job->anchors.count);
    }
}

static void warn_if_public(const struct job *job)
{
    struct stat status;

    if (job->config.auth_pass[0] != '\0' && stat(job->path, &status) == 0 &&
        S_ISREG(status.st_mode) && (status.st_mode & S_IROTH) != 0) {
        fprintf(stderr, "%s: warning: everybody here can read the password in it: chmod 600 %s\n",
                job->path, job->path);
    }
}

static void check_or_die(struct job *job, const char *path)
{
    check(job, path);
    print_findings(job);
    if (job->errors > 0) {
        die(1, "%s: %zu error%s; nothing was written\n", path, job->errors,
            job->errors == 1 ? "" : "s");
    }
    warn_if_public(job);
}

static void show_settings(const struct config *config)
{
    char line[700];

    for (unsigned i = 0; config_show_line(config, i, line, sizeof line) > 0; i++) {
        printf("%s\n", line);
    }
    printf("# %u CA certificate%s\n", config->ca_count, config->ca_count == 1 ? "" : "s");
}

/* ---- the image: the board's flash in memory, as strict as the chip ---- */

static bool inside(const struct flash *flash, uint32_t address, size_t size)
{
    return address <= flash->size_bytes && size <= flash->size_bytes - address;
}

static int image_read(const struct flash *flash, uint32_t address, void *out, size_t size)
{
    if (!inside(flash, address, size)) {
        return E_INVALID;
    }
    memcpy(out, (const uint8_t *)flash->context + address, size);
    return 0;
}

static int image_program(const struct flash *flash, uint32_t address, const void *data, size_t size)
{
    uint8_t *at = (uint8_t *)flash->context + address;
    const uint8_t *bytes = data;

    if (!inside(flash, address, size)) {
        return E_INVALID;
    }
    for (size_t i = 0; i < size; i++) {
        at[i] = FLASH_ERASED == 0xFF ? at[i] & bytes[i] : at[i] | bytes[i];
    }
    return 0;
}

static int image_erase(const struct flash *flash, uint32_t address)
{
    if (address % flash->erase_bytes != 0 || !inside(flash, address, flash->erase_bytes)) {
        return E_INVALID;
    }
    memset((uint8_t *)flash->context + address, FLASH_ERASED, flash->erase_bytes);
    return 0;
}

static const struct flash geometry = {
    .size_bytes = FLASH_SIZE_BYTES,
    .erase_bytes = FLASH_ERASE_BYTES,
    .page_bytes = FLASH_PAGE_BYTES,
    .program_bytes = FLASH_PROGRAM_BYTES,
    .erased = FLASH_ERASED,
    .config_base = FLASH_CONFIG_BASE,
    .config_bytes = FLASH_CONFIG_BYTES,
    .log_base = FLASH_LOG_BASE,
    .log_bytes = FLASH_LOG_BYTES,
    .read = image_read,
    .program = image_program,
    .erase = image_erase,
};

/* False: there is no such file, and the image is a new part. */
static bool load_image(const char *path, struct flash *flash)
{
    static struct buffer file;

    *flash = geometry;
    if (read_file(path, FLASH_SIZE_BYTES, &file)) {
        if (file.size != FLASH_SIZE_BYTES) {
            die(1, "%s: %zu bytes; expected %u, the flash of " BOARD_NAME "\n", path, file.size,
                FLASH_SIZE_BYTES);
        }
        flash->context = file.bytes;
        return true;
    }
    if (errno == EFBIG) {
        die(1, "%s: larger than %u bytes, the flash of " BOARD_NAME "\n", path, FLASH_SIZE_BYTES);
    }
    if (errno != ENOENT) {
        die(1, "%s: cannot read it: %s\n", path, strerror(errno));
    }
    file.bytes = realloc(file.bytes, FLASH_SIZE_BYTES);
    if (file.bytes == NULL) {
        die(1, "mkflash: no memory\n");
    }
    memset(file.bytes, FLASH_ERASED, FLASH_SIZE_BYTES);
    flash->context = file.bytes;
    return false;
}

/* All or nothing; only the owner may read it, for it holds the password and the seed. */
static void save_image(const char *path, const struct flash *flash)
{
    char real[PATH_MAX];
    char temporary[PATH_MAX + 8];
    const uint8_t *at = flash->context;
    size_t left = flash->size_bytes;
    int file;

    if (realpath(path, real) == NULL) {
        snprintf(real, sizeof real, "%s", path);
    }
    snprintf(temporary, sizeof temporary, "%s.XXXXXX", real);
    file = mkstemp(temporary); /* Mode 0600. */
    if (file < 0) {
        die(1, "%s: cannot write there: %s\n", path, strerror(errno));
    }
    while (left > 0) {
        ssize_t written = write(file, at, left);

        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            break;
        }
        at += written;
        left -= (size_t)written;
    }
    if (left > 0 || fsync(file) != 0 || close(file) != 0 || rename(temporary, real) != 0) {
        int why = errno;

        unlink(temporary);
        die(1, "%s: cannot write it: %s\n", path, strerror(why));
    }
}

static void random_or_die(void *out, size_t size)
{
    if (getrandom(out, size, 0) != (ssize_t)size) {
        die(1, "mkflash: no random numbers: %s\n", strerror(errno));
    }
}

static void give_seed(struct store *store)
{
    uint8_t device_id[STORE_DEVICE_ID_BYTES];
    uint8_t seed[STORE_SEED_BYTES];

    random_or_die(device_id, sizeof device_id);
    random_or_die(seed, sizeof seed);
    if (store_seed_create(store, device_id, seed) < 0) {
        die(1, "mkflash: the seed could not be written: %s\n", store->seed_problem);
    }
}

static void take_seed(const struct flash *flash)
{
    for (uint32_t at = 0; at < flash->log_bytes; at += flash->erase_bytes) {
        if (flash->erase(flash, flash->log_base + at) < 0) {
            die(1, "mkflash: the log could not be erased\n");
        }
    }
}

static int write_image(const char *config_path, const char *image_path, bool seedless)
{
    static const char *const tls[] = {"TLS on connect", "STARTTLS", "clear text"};
    static struct job job;
    struct flash flash;
    struct store store;
    bool existed;
    int result;

    check_or_die(&job, config_path);
    existed = load_image(image_path, &flash);
    if (seedless) {
        take_seed(&flash);
    }
    store_mount(&store, &flash);
    if (!seedless && !store.seed_valid) {
        give_seed(&store);
    }
    result = store_config_write(&store, job.text.bytes, job.text.size);
    if (result < 0) {
        die(1, "%s: %s\n", image_path,
            store.config_problem != NULL ? store.config_problem : error_name(result));
    }
    save_image(image_path, &flash);
    printf("%s: %s for " BOARD_NAME ": configuration %u, %zu bytes, %u CA certificate%s; %s\n",
           image_path, existed ? "updated" : "created", store.config_sequence, job.text.size,
           job.config.ca_count, job.config.ca_count == 1 ? "" : "s",
           store.seed_valid ? "with a seed" : "without a seed");
    printf("%s: mail from %s to %s%s through %s:%u, %s\n", image_path, job.config.from,
           job.config.to, job.config.to_count > 1 ? " and others" : "", job.config.mailhub.host,
           job.config.mailhub.port, tls[job.config.tls]);
    return 0;
}

static void show_report(void *context, unsigned line, const char *key, const char *message)
{
    printf("%s: configuration, line %u: %s: %s\n", (const char *)context, line, key, message);
}

static int show_image(const char *path)
{
    static struct config config;
    struct config_reader reader;
    struct flash flash;
    struct store store;
    uint32_t offset = 0;
    char piece[256];
    int size;

    if (!load_image(path, &flash)) {
        die(1, "%s: cannot read it: %s\n", path, strerror(ENOENT));
    }
    store_mount(&store, &flash);
    for (unsigned slot = 0; slot < 2; slot++) {
        uint32_t sequence, bytes;
        const char *what = store_slot(&flash, slot, &sequence, &bytes);
        bool current =
            store.config_valid &&
            (store.config_address >= FLASH_CONFIG_BASE + FLASH_CONFIG_BYTES / 2) == (slot == 1);

        printf("# slot %u: %s", slot, what);
        if (sequence > 0) {
            printf(", sequence %u, %u bytes%s", sequence, bytes, current ? ", in force" : "");
        }
        printf("\n");
    }
    if (store.seed_valid) {
        printf("# seed: yes, boot count %u, device ", store.boot_count);
        for (size_t i = 0; i < sizeof store.device_id; i++) {
            printf("%02x", store.device_id[i]);
        }
        printf("\n");
    } else {
        printf("# seed: %s\n", store.seed_problem);
    }
    if (!store.config_valid) {
        printf("# configuration: %s\n", store.config_problem);
        return 0;
    }
    config_begin(&reader, &config, show_report, (void *)(uintptr_t)path);
    config_explain(&reader);
    while ((size = store_config_read(&store, offset, piece, sizeof piece)) > 0) {
        config_push(&reader, piece, (size_t)size);
        offset += (uint32_t)size;
    }
    if (config_end(&reader) > 0) {
        printf("# configuration: has errors; the device would run on defaults\n");
    }
    show_settings(&config);
    return 0;
}

/* Puts the table made from the code between the two marks of the file. */
static int renew_doc(const char *path)
{
    static struct buffer file, out;
    char line[700];
    const char *begin, *end;
    FILE *stream;

    if (!read_file(path, INPUT_BYTES_MAX, &file)) {
        die(1, "%s: cannot read it: %s\n", path, strerror(errno));
    }
    begin = strstr(file.bytes, doc_begin);
    end = begin != NULL ? strstr(begin, doc_end) : NULL;
    if (end == NULL) {
        die(1, "%s: the marks around the table are not there\n", path);
    }
    append(&out, file.bytes, (size_t)(begin - file.bytes) + strlen(doc_begin));
    for (unsigned i = 0; config_doc_line(i, line, sizeof line) > 0; i++) {
        append_string(&out, line);
        append_string(&out, "\n");
    }
    append_string(&out, end);
    if (out.size == file.size && memcmp(out.bytes, file.bytes, out.size) == 0) {
        return 0;
    }
    stream = fopen(path, "wb");
    if (stream == NULL || fwrite(out.bytes, 1, out.size, stream) != out.size ||
        fclose(stream) != 0) {
        die(1, "%s: cannot write it: %s\n", path, strerror(errno));
    }
    printf("%s: table renewed\n", path);
    return 0;
}

static int check_only(const char *path)
{
    static struct job job;

    check_or_die(&job, path);
    show_settings(&job.config);
    return 0;
}

int main(int argc, char **argv)
{
    bool seedless = argc > 1 && strcmp(argv[1], "--seedless") == 0;

    if (argc == 3 && strcmp(argv[1], "--check") == 0) {
        return check_only(argv[2]);
    }
    if (argc == 3 && strcmp(argv[1], "--show") == 0) {
        return show_image(argv[2]);
    }
    if (argc == 3 && strcmp(argv[1], "--doc") == 0) {
        return renew_doc(argv[2]);
    }
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    argv += seedless;
    argc -= seedless;
    if (argc != 3 || argv[1][0] == '-' || argv[2][0] == '-') {
        die(2, "%s", usage);
    }
    return write_image(argv[1], argv[2], seedless);
}
