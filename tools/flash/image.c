#define _GNU_SOURCE /* F_OFD_GETLK */
#include "image.h"

#include "firmware/flash_io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* docs/flash-format.md, "What the part must be". */
_Static_assert(FLASH_UNIT_BYTES % FLASH_PROGRAM_BYTES == 0, "records are aligned to 16 bytes");
_Static_assert(FLASH_PAGE_BYTES % FLASH_PROGRAM_BYTES == 0, "a page is whole units");
_Static_assert(FLASH_ERASE_BYTES >= 4096 && FLASH_ERASE_BYTES % FLASH_PAGE_BYTES == 0,
               "an erase block is whole pages");
_Static_assert(FLASH_CONFIG_BYTES > 0 && FLASH_CONFIG_BYTES % (2 * FLASH_ERASE_BYTES) == 0,
               "a slot is whole erase blocks");
_Static_assert(FLASH_LOG_BYTES % FLASH_ERASE_BYTES == 0 &&
                   FLASH_LOG_BYTES / FLASH_ERASE_BYTES >= JOURNAL_BLOCKS_MIN,
               "the log is enough whole erase blocks");
_Static_assert(FLASH_LOG_BYTES < 16u << 20, "the queue's words reach 16 MB");

/* ---- the board's flash in memory ---- */

static bool inside(const struct flash *flash, uint32_t address, size_t size)
{
    return address <= flash->size_bytes && size <= flash->size_bytes - address;
}

static int copy_out(const struct flash *flash, uint32_t address, void *out, size_t size)
{
    if (!inside(flash, address, size)) {
        return E_INVALID;
    }
    memcpy(out, (const uint8_t *)flash->context + address, size);
    return 0;
}

static int program(const struct flash *flash, uint32_t address, const void *data, size_t size)
{
    uint8_t *at = (uint8_t *)flash->context + address;
    const uint8_t *bytes = data;

    if (!inside(flash, address, size) || address % flash->program_bytes != 0 ||
        size % flash->program_bytes != 0 ||
        size > flash->page_bytes - address % flash->page_bytes) {
        return E_INVALID;
    }
    for (size_t i = 0; i < size; i++) {
        at[i] = FLASH_ERASED == 0xFF ? at[i] & bytes[i] : at[i] | bytes[i];
    }
    return 0;
}

static int erase(const struct flash *flash, uint32_t address)
{
    if (address % flash->erase_bytes != 0 || !inside(flash, address, flash->erase_bytes)) {
        return E_INVALID;
    }
    memset((uint8_t *)flash->context + address, FLASH_ERASED, flash->erase_bytes);
    return 0;
}

static int refuse_program(const struct flash *flash, uint32_t address, const void *data,
                          size_t size)
{
    (void)flash;
    (void)address;
    (void)data;
    (void)size;
    return E_IO;
}

static int refuse_erase(const struct flash *flash, uint32_t address)
{
    (void)flash;
    (void)address;
    return E_IO;
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
    .read = copy_out,
    .program = program,
    .erase = erase,
};

/* ---- the file ---- */

/* A board that runs from the file holds a lock on it, as QEMU does. */
static bool in_use(const char *path)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int file = open(path, O_RDONLY | O_CLOEXEC);
    bool locked;

    if (file < 0) {
        return false;
    }
    locked = fcntl(file, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    close(file);
    return locked;
}

/* False: there is no such file. */
static bool load(const char *path, struct flash *flash)
{
    static struct buffer file;
    struct stat status;
    bool good = read_file(path, FLASH_SIZE_BYTES, &file);
    int why = errno;
    intmax_t bytes = (intmax_t)file.size;

    *flash = geometry;
    flash->context = file.bytes;
    if (good && file.size == FLASH_SIZE_BYTES) {
        return true;
    }
    if (!good && why == ENOENT) {
        return false;
    }
    if (!good && why != EFBIG) {
        die(1, "%s: cannot read it: %s\n", path, strerror(why));
    }
    if (stat(path, &status) == 0 && S_ISREG(status.st_mode)) {
        bytes = status.st_size;
    }
    die(1,
        "%s: %jd bytes; expected %u, the flash of " BOARD_NAME ": it is %sof another board, or "
        "no flash image\n",
        path, bytes, FLASH_SIZE_BYTES, good ? "cut short, " : "");
}

static void begin_erased(struct flash *flash)
{
    flash->context = malloc(FLASH_SIZE_BYTES);
    if (flash->context == NULL) {
        die(1, TOOL_NAME ": no memory\n");
    }
    memset(flash->context, FLASH_ERASED, FLASH_SIZE_BYTES);
}

/* Whether anything in the two regions is ours, or they could become so. */
static bool is_image(const struct flash *flash)
{
    struct flash_header header;
    uint32_t slot_bytes = flash->config_bytes / 2;
    unsigned damaged = 0, count = 0;

    for (uint32_t at = 0; at < flash->config_bytes; at += slot_bytes, count++) {
        damaged +=
            flash_header_read(flash, flash->config_base + at, "TCFG", &header) == FLASH_DAMAGED;
    }
    for (uint32_t at = 0; at < flash->log_bytes; at += flash->erase_bytes, count++) {
        damaged += flash_header_read(flash, flash->log_base + at, "TLOG", &header) == FLASH_DAMAGED;
    }
    return damaged < count;
}

static void report(void *context, unsigned line, const char *key, const char *message)
{
    const struct image *image = context;

    fprintf(stderr, "%s: configuration, line %u: %s: ", image->path, line, shown(key));
    fprintf(stderr, "%s\n", shown(message));
}

static void read_settings(struct image *image)
{
    struct config_reader reader;
    uint32_t offset = 0;
    char piece[256];
    int size = 0;

    if (!image->slots.valid) {
        config_defaults(&image->config);
        return;
    }
    config_begin(&reader, &image->config, report, image);
    config_explain(&reader);
    while ((size = slots_read(&image->slots, offset, piece, sizeof piece)) > 0) {
        config_push(&reader, piece, (size_t)size);
        offset += (uint32_t)size;
    }
    image->config_errors = config_end(&reader);
}

static uint64_t no_clock(void *context)
{
    (void)context;
    return 0;
}

/* What the device does when it starts. */
static void mount(struct image *image)
{
    slots_mount(&image->slots, &image->flash);
    read_settings(image);
    limits_init(&image->limits,
                (const uint32_t[LIMITS_COUNT]){image->config.limit_minute, image->config.limit_hour,
                                               image->config.limit_day});
    queue_init(&image->queue, &image->journal, &image->flash, &image->limits, no_clock, NULL);
}

static void refuse_others(const struct image *image)
{
    if (!is_image(&image->flash)) {
        die(1,
            "%s: neither a configuration nor a log stands where " BOARD_NAME
            " has them: it is no flash image, or damaged throughout\n",
            image->path);
    }
}

void image_read(struct image *image, const char *path)
{
    image->path = path;
    image->existed = load(path, &image->flash);
    if (!image->existed) {
        die(1, "%s: cannot read it: %s\n", path, strerror(ENOENT));
    }
    refuse_others(image);
    if (in_use(path)) {
        fprintf(stderr, "%s: note: a board is running from it; this is what it holds just now\n",
                path);
    }
    image->flash.program = refuse_program;
    image->flash.erase = refuse_erase;
    mount(image);
}

void image_open(struct image *image, const char *path)
{
    image->path = path;
    image->existed = load(path, &image->flash);
    if (!image->existed) {
        begin_erased(&image->flash);
    } else if (in_use(path)) {
        die(1, "%s: a board is running from it, whose alerts would be lost: stop it first\n", path);
    }
    refuse_others(image);
    mount(image);
}

bool image_mount_slot(struct image *image, unsigned slot, struct slots *slots)
{
    static uint8_t kept[FLASH_CONFIG_BYTES / 2];
    uint8_t *other = (uint8_t *)image->flash.context + image->flash.config_base;

    /* What is alone is in force. */
    other += (1 - slot) * sizeof kept;
    memcpy(kept, other, sizeof kept);
    memset(other, FLASH_ERASED, sizeof kept);
    slots_mount(slots, &image->flash);
    memcpy(other, kept, sizeof kept);
    return slots->valid;
}

void image_clear_log(struct image *image)
{
    for (uint32_t at = 0; at < image->flash.log_bytes; at += image->flash.erase_bytes) {
        if (image->flash.erase(&image->flash, image->flash.log_base + at) < 0) {
            die(1, "%s: the log could not be erased\n", image->path);
        }
    }
    mount(image);
}

static bool write_all(int file, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(file, bytes, size);

        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return false;
        }
        bytes += written;
        size -= (size_t)written;
    }
    return true;
}

void image_save(const struct image *image)
{
    char real[PATH_MAX];
    char temporary[PATH_MAX + 8];
    bool written;
    int file;

    if (realpath(image->path, real) == NULL) {
        snprintf(real, sizeof real, "%s", image->path);
    }
    snprintf(temporary, sizeof temporary, "%s.XXXXXX", real);
    file = mkstemp(temporary); /* Mode 0600. */
    if (file < 0) {
        die(1, "%s: cannot write there: %s\n", image->path, strerror(errno));
    }
    written = write_all(file, image->flash.context, image->flash.size_bytes) && fsync(file) == 0;
    if (close(file) != 0 || !written || rename(temporary, real) != 0) {
        int why = errno;

        unlink(temporary);
        die(1, "%s: cannot write it: %s\n", image->path, strerror(why));
    }
}
