#include "verify.h"

#include "firmware/flash_io.h"
#include "image.h"
#include "report.h"

#include <stdio.h>

/* What was looked at. */
struct tally {
    unsigned right, corrected, damaged;
};

/* The records of one block. */
struct walk {
    const struct image *image;
    struct journal_block block;
    bool print; /* What is wrong; otherwise it is counted. */
    struct tally tally;
};

static const char *record_name(uint8_t type)
{
    switch (type) {
    case 0:
        return "something";
    case JOURNAL_SEED:
        return "a seed";
    case JOURNAL_BOOKS:
        return "counters";
    case JOURNAL_AUTHORITY:
        return "the last mailed order";
    case JOURNAL_MAILBOX:
        return "what is known of the mailbox";
    case JOURNAL_DIARY:
        return "a diary";
    case JOURNAL_ALERT:
        return "an alert";
    case JOURNAL_MARK:
        return "a mark";
    default:
        return "a record of a type that is not known";
    }
}

static void count(struct tally *tally, bool corrected, bool damaged)
{
    tally->damaged += damaged;
    tally->corrected += !damaged && corrected;
    tally->right += !damaged && !corrected;
}

static void print_record(const struct journal_record *record)
{
    printf("  0x%08X: %s", record->address, record_name(record->type));
    if (record->type >= JOURNAL_SINGLES) {
        printf(", number %u", record->number);
    }
    printf(": %s\n", record->damaged ? "damaged, or cut while it was written"
                                     : "one wrong bit, which is put right");
}

static void take_record(void *context, const struct journal_record *record)
{
    struct walk *walk = context;

    if (record->address - walk->block.address >= walk->image->flash.erase_bytes) {
        return;
    }
    if (!walk->print) {
        count(&walk->tally, record->corrected, record->damaged);
    } else if (record->damaged || record->corrected) {
        print_record(record);
    }
}

static void verify_slots(const struct image *image, struct tally *total)
{
    for (unsigned i = 0; i < 2; i++) {
        struct slot_info info;

        slots_info(&image->slots, i, &info);
        printf("slot %u: %s", i, slot_words(&info));
        if (info.state == FLASH_GOOD) {
            printf(", number %u, %u bytes%s", info.sequence, info.size,
                   info.corrected ? ": one wrong bit, which is put right" : "");
        }
        printf("\n");
        if (info.state != FLASH_EMPTY) {
            count(total, info.corrected, info.state != FLASH_GOOD);
        }
    }
    if (image->config_errors > 0) {
        printf("configuration: %d error%s; the device would run on the defaults\n",
               image->config_errors, image->config_errors == 1 ? "" : "s");
        total->damaged++;
    }
}

/* Empty blocks from first on, which are most of a young log. */
static unsigned print_empty(const struct image *image, unsigned first)
{
    unsigned blocks = image->flash.log_bytes / image->flash.erase_bytes;
    unsigned next = first;

    while (next < blocks &&
           flash_is_erased(&image->flash, image->flash.log_base + next * image->flash.erase_bytes,
                           image->flash.erase_bytes)) {
        next++;
    }
    if (next - first == 1) {
        printf("block %u: empty\n", first);
    } else if (next > first) {
        printf("blocks %u to %u: empty\n", first, next - 1);
    }
    return next;
}

static void print_block(const struct walk *walk, unsigned index)
{
    const struct journal_block *block = &walk->block;
    const struct tally *tally = &walk->tally;

    printf("block %u at 0x%08X: ", index, block->address);
    switch (block->state) {
    case FLASH_EMPTY:
        printf("empty but for what an erase that was cut left\n");
        return;
    case FLASH_GOOD:
        printf("number %u, erased %u times, ", block->sequence, block->erases);
        if (block->retired) {
            printf("to be erased next");
        } else {
            printf("%u records right, %u corrected, %u damaged", tally->right, tally->corrected,
                   tally->damaged);
        }
        printf("%s\n", block->corrected ? "; one of its two headers is damaged" : "");
        return;
    case FLASH_FOREIGN:
        printf("of another version, which this one cannot read\n");
        return;
    default:
        printf("damaged, or its erase was cut\n");
    }
}

static void walk_records(struct walk *walk, bool print)
{
    walk->print = print;
    if (journal_walk(&walk->image->journal, take_record, walk) < 0) {
        die(1, "%s: the log cannot be read to its end\n", walk->image->path);
    }
}

static void verify_block(const struct image *image, unsigned index, struct tally *total)
{
    struct walk walk = {.image = image};

    journal_block(&image->journal, index, &walk.block);
    if (walk.block.state != FLASH_EMPTY) {
        count(total, walk.block.corrected, walk.block.state != FLASH_GOOD);
    }
    walk_records(&walk, false);
    print_block(&walk, index);
    walk_records(&walk, true);
    total->right += walk.tally.right;
    total->corrected += walk.tally.corrected;
    total->damaged += walk.tally.damaged;
}

static void verify_log(const struct image *image, struct tally *total)
{
    unsigned blocks = image->flash.log_bytes / image->flash.erase_bytes;

    for (unsigned i = print_empty(image, 0); i < blocks; i = print_empty(image, i + 1)) {
        verify_block(image, i, total);
    }
}

int command_verify(const char *path)
{
    static struct image image;
    struct tally total = {0};

    image_read(&image, path);
    verify_slots(&image, &total);
    verify_log(&image, &total);
    printf("seed: %s\n", image.journal.seed_valid ? "right" : image.journal.seed_problem);
    printf("%s: %u right, %u corrected, %u damaged\n", path, total.right, total.corrected,
           total.damaged);
    return total.damaged > 0;
}
