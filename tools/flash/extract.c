#define _GNU_SOURCE /* O_DIRECTORY */
#include "extract.h"

#include "firmware/policy.h"
#include "firmware/sender.h"
#include "net/rfc5322.h"
#include "net/text.h"
#include "report.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_BYTES 4096
#define NAME_BYTES 40
#define ID_BYTES 192

/* Where the files go. */
struct folder {
    const char *path;
    unsigned files;
};

static bool is_empty(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    int count = 0;

    if (folder == NULL) {
        die(1, "%s: cannot read it: %s\n", path, strerror(errno));
    }
    while ((entry = readdir(folder)) != NULL) {
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    }
    closedir(folder);
    return count == 0;
}

/* A new or empty folder, so that nothing is written over; for its owner alone, since a
 * configuration holds a password. */
static void folder_open(struct folder *folder, const char *path)
{
    folder->path = path;
    if (mkdir(path, 0700) == 0) {
        return;
    }
    if (errno != EEXIST) {
        die(1, "%s: cannot make this folder: %s\n", path, strerror(errno));
    }
    if (!is_empty(path)) {
        die(1, "%s: there are files in it: name a new folder\n", path);
    }
}

static FILE *file_begin(struct folder *folder, const char *name)
{
    char path[PATH_MAX];
    FILE *file = NULL;
    int number;

    if ((size_t)snprintf(path, sizeof path, "%s/%s", folder->path, name) >= sizeof path) {
        die(1, "%s: this name is too long\n", folder->path);
    }
    number = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (number >= 0) {
        file = fdopen(number, "wb");
    }
    if (file == NULL) {
        die(1, "%s: cannot write it: %s\n", path, strerror(errno));
    }
    return file;
}

static void file_end(struct folder *folder, FILE *file, const char *name)
{
    bool failed = ferror(file) != 0;

    if (fclose(file) != 0 || failed) {
        die(1, "%s/%s: cannot write it: %s\n", folder->path, name, strerror(errno));
    }
    folder->files++;
}

/* The text of a whole slot as configuration-NUMBER.conf: `create` takes it as it is. */
static void extract_slot(struct image *image, unsigned slot, struct folder *folder)
{
    struct slot_info info;
    struct slots slots;
    uint32_t offset = 0;
    char name[NAME_BYTES];
    char piece[PIECE_BYTES];
    FILE *file;
    int size;

    slots_info(&image->slots, slot, &info);
    if (!image_mount_slot(image, slot, &slots)) {
        return;
    }
    snprintf(name, sizeof name, "configuration-%u.conf", info.sequence);
    file = file_begin(folder, name);
    while ((size = slots_read(&slots, offset, piece, sizeof piece)) > 0) {
        fwrite(piece, 1, (size_t)size, file);
        offset += (uint32_t)size;
    }
    file_end(folder, file, name);
    printf("%s/%s: %u bytes, %s\n", folder->path, name, info.size, slot_words(&info));
}

/* A digest, whose lines are other alerts. */
struct digest {
    struct policy policy;
    uint32_t sequence;
};

static bool digest_line(void *context, unsigned index, struct text *out)
{
    struct digest *digest = context;

    return policy_digest_line(&digest->policy, digest->sequence, index, out);
}

/* Those who have not got it yet. */
static size_t recipients(const struct config *config, const struct queue_item *item,
                         const char *to[CONFIG_TO_MAX])
{
    const char *all[CONFIG_TO_MAX];
    size_t all_count = config_to(config, all, CONFIG_TO_MAX);
    size_t count = 0;

    for (size_t i = 0; i < all_count; i++) {
        if (item->pending_mask & 1u << i) {
            to[count++] = all[i];
        }
    }
    return count;
}

/* What the device would send. */
static void write_mail(struct image *image, const struct queue_item *item,
                       const struct alert *alert, FILE *file)
{
    static struct rfc5322 mail;
    static struct digest digest;
    const struct config *config = &image->config;
    const char *to[CONFIG_TO_MAX];
    char id[ID_BYTES];
    char device[2 * JOURNAL_DEVICE_ID_BYTES + 1] = "";
    struct text device_id = text_begin(device, sizeof device);
    struct rfc5322_fields fields = {
        .alert = alert,
        .from = config->from,
        .from_name = config->from_name,
        .to = to,
        .to_count = recipients(config, item, to),
        .device = config->hostname,
        .board = BOARD_NAME,
        .version = TOCSIN_VERSION,
        .message_id = id,
        .address = "",
        .unix_s = alert->queued_unix_s != 0 ? alert->queued_unix_s : alert->unix_s,
        .zone_minutes = config->zone_minutes,
        .attempt = item->attempts + 1u,
        .eight_bit = true,
        .line = item->digest ? digest_line : NULL,
        .line_context = &digest,
    };
    uint8_t piece[PIECE_BYTES];
    size_t size;

    for (size_t i = 0; i < JOURNAL_DEVICE_ID_BYTES; i++) {
        text_add_hex(&device_id, image->journal.device_id[i], 2);
    }
    sender_message_id(alert, device, id, sizeof id);
    policy_init(&digest.policy, config, &image->queue, 0);
    digest.sequence = item->sequence;
    rfc5322_init(&mail, &fields);
    while ((size = rfc5322_read(&mail, piece, sizeof piece)) > 0) {
        fwrite(piece, 1, size, file);
    }
}

static void extract_alerts(struct image *image, struct folder *folder)
{
    static struct alert alert;
    struct queue_item item;
    unsigned unreadable = 0;

    for (unsigned i = 0; i < image->queue.count; i++) {
        char name[NAME_BYTES];
        FILE *file;

        if (!queue_item(&image->queue, i, &item) ||
            queue_alert(&image->queue, item.sequence, &alert) < 0) {
            unreadable++;
            continue;
        }
        snprintf(name, sizeof name, "alert-%u.eml", item.sequence);
        file = file_begin(folder, name);
        write_mail(image, &item, &alert, file);
        file_end(folder, file, name);
    }
    printf("%s/alert-NUMBER.eml: %u alert%s\n", folder->path, image->queue.count - unreadable,
           image->queue.count - unreadable == 1 ? "" : "s");
    if (unreadable > 0) {
        printf("%s: %u alert%s cannot be read\n", image->path, unreadable,
               unreadable == 1 ? "" : "s");
    }
}

static void extract_tables(const struct image *image, struct folder *folder)
{
    FILE *file = file_begin(folder, "queue.txt");

    queue_print(image, file);
    file_end(folder, file, "queue.txt");
    file = file_begin(folder, "counters.txt");
    counters_print(image, file, "");
    file_end(folder, file, "counters.txt");
    printf("%s/queue.txt, counters.txt: states of the alerts, counters\n", folder->path);
}

int command_extract(const char *path, const char *folder_path)
{
    static struct image image;
    char beside[PATH_MAX];
    struct folder folder = {0};

    image_read(&image, path);
    if (folder_path == NULL) {
        snprintf(beside, sizeof beside, "%s.d", path);
        folder_path = beside;
    }
    folder_open(&folder, folder_path);
    for (unsigned slot = 0; slot < 2; slot++) {
        extract_slot(&image, slot, &folder);
    }
    if (image.journal.problem != NULL) {
        printf("%s: no alerts and no counters: %s\n", path, image.journal.problem);
        return 1;
    }
    extract_alerts(&image, &folder);
    extract_tables(&image, &folder);
    return 0;
}
