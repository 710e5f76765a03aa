#include "report.h"

#include "input.h"

#include "firmware/flash_io.h"
#include "net/text.h"

#include <string.h>

#define WORDS_BYTES 80
#define TIME_BYTES 32
#define LINE_BYTES 1024

/* A line of the queue. */
#define TITLES "  %6s  %-19s  %-9s  %-20s  %5s  %s\n"
#define ROW "  %6u  %-19s  %-9s  %-20s  %5u  %s\n"

/* Of what is still queued; other events end an alert. */
static const char *const event_names[] = {
    [QUEUE_QUEUED] = "queued",         [QUEUE_TRYING] = "sent without answer",
    [QUEUE_WAITING] = "waiting",       [QUEUE_REFUSED] = "refused",
    [QUEUE_EXPIRED] = "given up",      [QUEUE_REPEATED] = "repeated",
    [QUEUE_RETRIED] = "to be retried",
};

const char *slot_words(const struct slot_info *info)
{
    static const char *const states[] = {
        [FLASH_EMPTY] = "empty",     [FLASH_UNREADABLE] = "unreadable",
        [FLASH_DAMAGED] = "damaged", [FLASH_FOREIGN] = "of another version",
        [FLASH_GOOD] = "whole",
    };
    static char buf[WORDS_BYTES];
    struct text words = text_begin(buf, sizeof buf);

    text_add(&words, states[info->state]);
    if (info->state == FLASH_GOOD && info->trial) {
        text_add(&words, info->rejected    ? ", tried and not kept"
                         : info->confirmed ? ", tried and kept"
                         : info->started   ? ", being tried"
                                           : ", to be tried");
    } else if (info->state == FLASH_GOOD && info->rejected) {
        text_add(&words, ", taken back");
    }
    text_add(&words, info->in_force ? ", in force" : "");
    return buf;
}

/* "2026-11-22 00:55:45", or when after a boot it was: "boot 3, +65 s". */
static const char *time_words(const struct queue_item *item)
{
    static char buf[TIME_BYTES];
    struct text words = text_begin(buf, sizeof buf);

    if (item->unix_s != 0) {
        text_add_time(&words, item->unix_s, 0);
    } else {
        text_format(&words, "boot %u, +%u s", (unsigned)item->boot_count,
                    (unsigned)text_seconds(item->uptime_ms));
    }
    return buf;
}

static const char *state_words(const struct queue_item *item)
{
    static char buf[WORDS_BYTES];
    struct text words = text_begin(buf, sizeof buf);
    bool known = item->event < sizeof event_names / sizeof event_names[0] &&
                 event_names[item->event] != NULL;

    text_add(&words, known ? event_names[item->event] : "unknown");
    if (item->code != 0) {
        text_format(&words, " %u", item->code);
    }
    text_add(&words, item->digest ? ", digest" : item->folded ? ", for a digest" : "");
    return buf;
}

/* "web1 sshd[412]: Failed password (7 times)" */
static const char *alert_words(const struct queue *queue, const struct queue_item *item)
{
    static struct alert alert;
    static char buf[LINE_BYTES];
    struct text words = text_begin(buf, sizeof buf);

    if (queue_alert(queue, item->sequence, &alert) < 0) {
        return "(cannot be read)";
    }
    text_add(&words, alert.host[0] != '\0' ? alert.host : alert.sender);
    text_add(&words, words.length > 0 && alert.app[0] != '\0' ? " " : "");
    text_add(&words, alert.app);
    text_add(&words, words.length > 0 ? ": " : "");
    text_add(&words, alert.text);
    if (item->count > 1) {
        text_format(&words, " (%u times)", (unsigned)item->count);
    }
    text_add(&words, alert.damaged ? " (damaged in flash)" : "");
    return shown(buf);
}

void queue_print(const struct image *image, FILE *out)
{
    struct queue_item item;
    unsigned count = image->queue.count;

    fprintf(out, "queue: %u alert%s%s\n", count, count == 1 ? "" : "s",
            count > 0 ? ", times in UTC" : "");
    if (count > 0) {
        fprintf(out, TITLES, "number", "time", "severity", "state", "tries", "alert");
    }
    for (unsigned i = 0; i < count; i++) {
        if (!queue_item(&image->queue, i, &item)) {
            fprintf(out, "  (one that cannot be read)\n");
            continue;
        }
        fprintf(out, ROW, item.sequence, time_words(&item), severity_name(item.severity),
                state_words(&item), item.attempts, alert_words(&image->queue, &item));
    }
}

/* 0 stands for "not known". */
static void print_time(FILE *out, const char *before, const char *key, uint64_t unix_s)
{
    char buf[TIME_BYTES] = "";
    struct text words = text_begin(buf, sizeof buf);

    if (unix_s != 0) {
        text_add_time(&words, unix_s, 0);
        text_add(&words, " UTC");
    }
    fprintf(out, "%s%s = %s\n", before, key, unix_s != 0 ? buf : "not known");
}

void counters_print(const struct image *image, FILE *out, const char *before)
{
    const struct queue_books *books = &image->queue.books;
    const struct journal *journal = &image->journal;
    struct journal_wear wear;
    const struct {
        const char *key;
        uint32_t value;
    } counters[] = {
        {"accepted", books->accepted},  {"refused", books->refused},
        {"expired", books->expired},    {"displaced", books->displaced},
        {"dropped", books->dropped},    {"repeated", books->repeated},
        {"folded", books->folded},      {"reported", books->reported},
        {"boots", journal->boot_count}, {"next_alert", journal->next_number},
    };

    print_time(out, before, "counted_since", books->since_unix_s);
    print_time(out, before, "last_known_time", text_seconds(books->unix_ms));
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++) {
        fprintf(out, "%s%s = %u\n", before, counters[i].key, counters[i].value);
    }
    journal_wear(journal, &wear);
    fprintf(out, "%sblocks = %u\n", before, wear.blocks);
    fprintf(out, "%sblock_bytes = %u\n", before, image->flash.erase_bytes);
    fprintf(out, "%serases_least = %u\n", before, wear.min);
    fprintf(out, "%serases_most = %u\n", before, wear.max);
    fprintf(out, "%serases_total = %u\n", before, wear.total);
}

static void print_slots(const struct image *image)
{
    const struct slots *slots = &image->slots;

    printf("configuration\n");
    for (unsigned i = 0; i < 2; i++) {
        struct slot_info info;

        slots_info(slots, i, &info);
        printf("  slot %u: %s", i, slot_words(&info));
        if (info.state >= FLASH_FOREIGN) {
            printf(", number %u, %u bytes", info.sequence, info.size);
        }
        printf("%s%s\n", info.why[0] != '\0' ? ": " : "", shown(info.why));
    }
    if (slots->rolled_back != 0) {
        printf("  number %u was tried and not kept: the one before is in force again\n",
               slots->rolled_back);
    }
    if (slots->fallback) {
        printf("  the other slot is damaged: something newer may be lost\n");
    }
    if (!slots->valid) {
        printf("  %s\n", slots->problem);
    }
}

static void print_settings(const struct image *image)
{
    if (!image->slots.valid) {
        return;
    }
    printf("\nsettings in force\n");
    if (image->config_errors > 0) {
        printf("  (%d error%s: the device runs on the defaults)\n", image->config_errors,
               image->config_errors == 1 ? "" : "s");
    }
    settings_print(&image->config, "  ");
}

static void print_seed(const struct journal *journal)
{
    printf("\nseed: ");
    if (!journal->seed_valid) {
        printf("none: %s\n", journal->seed_problem);
        return;
    }
    printf("yes, boot count %u, device ", journal->boot_count);
    for (size_t i = 0; i < sizeof journal->device_id; i++) {
        printf("%02x", journal->device_id[i]);
    }
    printf("\n");
}

int command_list(const char *path)
{
    static struct image image;

    image_read(&image, path);
    printf("%s: the flash of " BOARD_NAME "\n\n", path);
    print_slots(&image);
    print_settings(&image);
    print_seed(&image.journal);
    printf("\n");
    if (image.journal.problem != NULL) {
        printf("queue: %s\n", image.journal.problem);
    } else {
        queue_print(&image, stdout);
        printf("\ncounters\n");
        counters_print(&image, stdout, "  ");
    }
    return 0;
}
