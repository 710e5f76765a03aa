/* fillflash - fills the log of a flash image as years of alerts and a long silence would.
 *
 *     fillflash-BOARD IMAGE ring           uses every block of the ring
 *     fillflash-BOARD IMAGE queue COUNT    queues so many alerts
 *     fillflash-BOARD IMAGE near BYTES     leaves less than so many bytes in the newest block
 *
 * What is not queued was accepted by a server. For tools/bench.py and the QEMU tests, made of the
 * device's own queue and journal.
 */
#include "firmware/journal.h"
#include "firmware/limits.h"
#include "firmware/queue.h"
#include "geometry.h"
#include "net/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RECORDS_MAX 1000000 /* No ring is so large. */

static uint8_t image[FLASH_SIZE_BYTES];

static int image_read(const struct flash *flash, uint32_t address, void *out, size_t size)
{
    (void)flash;
    memcpy(out, image + address, size);
    return 0;
}

static int image_program(const struct flash *flash, uint32_t address, const void *data, size_t size)
{
    const uint8_t *bytes = data;

    for (size_t i = 0; i < size; i++) {
        if (flash->erased == 0) {
            image[address + i] |= bytes[i];
        } else {
            image[address + i] &= bytes[i];
        }
    }
    return 0;
}

static int image_erase(const struct flash *flash, uint32_t address)
{
    memset(image + address, flash->erased, flash->erase_bytes);
    return 0;
}

static const struct flash flash = {
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

/* Now: what is queued has not expired. */
static uint64_t unix_ms(void *context)
{
    (void)context;
    return (uint64_t)time(NULL) * 1000;
}

static int add(struct queue *queue, const struct journal *journal, unsigned number)
{
    const struct queue_how how = {.pending_mask = 1};
    struct alert alert = {
        .boot_count = journal->boot_count,
        .unix_s = (uint64_t)time(NULL),
        .queued_unix_s = (uint64_t)time(NULL),
        .severity = SEVERITY_ERROR,
        .facility = 3,
        .source = "syslog",
        .sender = "192.0.2.7",
        .host = "web1.example.test",
        .app = "kernel",
        .domain = "example.test",
    };

    snprintf(alert.text, sizeof alert.text, "EXT4-fs error (device sda1): number %u, inode #131074",
             number);
    return queue_add(queue, &alert, &how);
}

static int add_accepted(struct queue *queue, const struct journal *journal)
{
    struct queue_item item;
    int error = add(queue, journal, 0);

    if (error == 0 && queue_item(queue, queue->count - 1u, &item)) {
        error = queue_remove(queue, item.sequence, QUEUE_ACCEPTED, 250);
    }
    return error;
}

/* Whether there is more to do after `done` records. */
static bool wanted(const struct journal *journal, const char *what, uint32_t count, uint32_t done)
{
    if (strcmp(what, "ring") == 0) {
        return journal->blocks_erased < FLASH_LOG_BYTES / FLASH_ERASE_BYTES;
    }
    if (strcmp(what, "queue") == 0) {
        return done < count;
    }
    return journal->next == FLASH_NOWHERE ||
           journal->block + FLASH_ERASE_BYTES - journal->next >= count;
}

static int fill(const char *what, uint32_t count)
{
    static struct queue queue;
    static struct journal journal;
    struct limits limits;
    const uint32_t none[LIMITS_COUNT] = {0};
    int error = 0;

    limits_init(&limits, none);
    queue_init(&queue, &journal, &flash, &limits, unix_ms, NULL);
    for (uint32_t i = 0; error == 0 && i < RECORDS_MAX && wanted(&journal, what, count, i); i++) {
        error =
            strcmp(what, "queue") == 0 ? add(&queue, &journal, i) : add_accepted(&queue, &journal);
    }
    return error;
}

static int failed(const char *path, const char *why)
{
    fprintf(stderr, "%s: %s\n", path, why);
    return 1;
}

int main(int argc, char **argv)
{
    bool ring = argc == 3 && strcmp(argv[2], "ring") == 0;
    uint32_t count = 0;
    FILE *file;

    if (!ring && (argc != 4 || !text_parse_u32(argv[3], FLASH_ERASE_BYTES, &count) ||
                  (strcmp(argv[2], "queue") != 0 && strcmp(argv[2], "near") != 0))) {
        fprintf(stderr, "usage: fillflash-" BOARD_NAME " IMAGE ring | queue COUNT | near BYTES\n");
        return 2;
    }
    file = fopen(argv[1], "r+b");
    if (file == NULL) {
        return failed(argv[1], strerror(errno));
    }
    if (fread(image, 1, sizeof image, file) != sizeof image) {
        fclose(file);
        return failed(argv[1], "too short");
    }
    if (fill(argv[2], count) < 0) {
        fclose(file);
        return failed(argv[1], "the log took no more");
    }
    if (fseek(file, 0, SEEK_SET) != 0 || fwrite(image, 1, sizeof image, file) != sizeof image) {
        fclose(file);
        return failed(argv[1], strerror(errno));
    }
    return fclose(file) == 0 ? 0 : failed(argv[1], strerror(errno));
}
