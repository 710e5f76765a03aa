/* The bytes are those of docs/flash-format.md; all numbers are little-endian. */
#include "firmware/journal.h"
#include "firmware/flash_io.h"

#include <string.h>

#define MAGIC "TLOG"

/* A block begins with its header, a copy of it, and room for two retire marks: the second one is
 * for when the first was torn. */
#define COPY_OFFSET FLASH_HEADER_BYTES
#define RETIRE_OFFSET (COPY_OFFSET + FLASH_HEADER_BYTES)
#define RETIRE_MARKS 2
#define RECORDS_OFFSET (RETIRE_OFFSET + RETIRE_MARKS * FLASH_UNIT_BYTES)
#define RETIRED_BITS 100 /* Of 128. So many in a mark are there by no accident. */

enum { BLOCK_BOOTS, BLOCK_SALT, BLOCK_ERASES, BLOCK_NUMBER };

#define RECORD_MARK 0x5A
#define RECORD_HEADER_BYTES FLASH_UNIT_BYTES
#define RECORD_BYTES_MAX 1024 /* Also how much that is erased ends a block's records. */
#define PADDED(size) \
    (((uint32_t)(size) + FLASH_UNIT_BYTES - 1) / FLASH_UNIT_BYTES * FLASH_UNIT_BYTES)

#define SEED_BYTES (4 + JOURNAL_DEVICE_ID_BYTES + JOURNAL_SEED_BYTES)
#define CHUNK_BYTES 64     /* A multiple of the unit. */
#define SINGLE_READS 8     /* Until a record that is not the same at each read is given up. */
#define SINGLES_BYTES 2048 /* That the newest of each type take at most, together. */
#define ATTEMPTS 4         /* Blocks that may fail under one record. */
#define CLEAN_BLOCKS 2     /* Kept free of what is alive, after the newest. */

/* docs/flash-format.md says so; pointers of 32 bits. */
_Static_assert(sizeof(void *) > 4 || sizeof(struct journal) <= 160, "RAM is what the page says");

static const char no_flash[] = "no flash that can hold it";
static const char no_seed[] = "no seed for random numbers in flash; `make config` writes one";

/* What stands at one place of a block. */
struct place {
    enum flash_state state;
    uint32_t span; /* To the next place. */
    struct journal_record record;
};

static uint32_t block_count(const struct flash *flash)
{
    return flash->log_bytes / flash->erase_bytes;
}

/* The block n further round the ring. */
static uint32_t block_after(const struct flash *flash, uint32_t block, uint32_t n)
{
    uint32_t offset = block - flash->log_base + n * flash->erase_bytes;

    return flash->log_base + offset % flash->log_bytes;
}

static uint32_t block_of(const struct flash *flash, uint32_t address)
{
    return address - (address - flash->log_base) % flash->erase_bytes;
}

/* Either of the two headers will do. */
static enum flash_state read_block(const struct flash *flash, uint32_t block,
                                   struct flash_header *header)
{
    struct flash_header copy;

    if (flash_header_read(flash, block, MAGIC, header) != FLASH_GOOD &&
        header->state != FLASH_FOREIGN &&
        flash_header_read(flash, block + COPY_OFFSET, MAGIC, &copy) >= FLASH_FOREIGN &&
        copy.version > 1) {
        *header = copy;
        header->corrected = true;
    }
    if (header->state == FLASH_GOOD &&
        (header->offset < FLASH_HEADER_BYTES || header->offset % FLASH_UNIT_BYTES != 0 ||
         header->offset >= flash->erase_bytes)) {
        header->state = FLASH_DAMAGED;
    }
    return header->state;
}

/* 1: the mark of that number is there; 0: it is not; E_IO. */
static int read_retired(const struct flash *flash, uint32_t block, uint32_t number)
{
    uint8_t mark[FLASH_UNIT_BYTES];
    unsigned bits = 0;

    if (flash->read(flash, block + RETIRE_OFFSET + number * sizeof mark, mark, sizeof mark) < 0) {
        return E_IO;
    }
    for (unsigned i = 0; i < sizeof mark * 8; i++) {
        bits += (mark[i / 8] ^ flash->erased) >> i % 8 & 1;
    }
    return bits >= RETIRED_BITS;
}

static int is_retired(const struct flash *flash, uint32_t block, const struct flash_header *header)
{
    int retired = 0;

    for (uint32_t i = 0; i < RETIRE_MARKS && header->version >= 2 && retired == 0; i++) {
        retired = read_retired(flash, block, i);
    }
    return retired;
}

/* Takes a record's header, one wrong bit put right. False: it is none. */
static bool parse_record(uint8_t bytes[RECORD_HEADER_BYTES], uint32_t salt,
                         struct journal_record *record)
{
    uint32_t size = RECORD_HEADER_BYTES - 4;
    uint32_t difference = crc32_update(salt, bytes, size) ^ get_u32(bytes + size);

    record->corrected = difference != 0;
    if (difference != 0) {
        int32_t bit = crc32_wrong_bit(difference, size);

        if (bit == -1) {
            return false;
        }
        if (bit >= 0) {
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
    record->type = bytes[1];
    record->length = get_u16(bytes + 2);
    record->number = get_u32(bytes + 4);
    record->crc = get_u32(bytes + 8);
    return bytes[0] == RECORD_MARK;
}

/* What stands at `at` of a block that ends at `end`. */
static void read_place(const struct flash *flash, uint32_t at, uint32_t end, uint32_t salt,
                       struct place *place)
{
    uint8_t bytes[RECORD_HEADER_BYTES];
    uint32_t left = end - at;

    memset(place, 0, sizeof *place);
    place->span = FLASH_UNIT_BYTES;
    place->record.address = at;
    if (left < RECORD_HEADER_BYTES) {
        place->state = FLASH_EMPTY;
    } else if (flash->read(flash, at, bytes, sizeof bytes) < 0) {
        place->state = FLASH_UNREADABLE;
    } else if (parse_record(bytes, salt, &place->record) &&
               place->record.length <= left - RECORD_HEADER_BYTES &&
               place->record.length <= JOURNAL_PAYLOAD_MAX) {
        place->state = FLASH_GOOD;
        place->span = RECORD_HEADER_BYTES + PADDED(place->record.length);
    } else {
        place->state = flash_is_erased(flash, at, left < RECORD_BYTES_MAX ? left : RECORD_BYTES_MAX)
                           ? FLASH_EMPTY
                           : FLASH_DAMAGED;
    }
}

/* What a sum over the payload says. Returns the wrong bit that can be put right, -1: none is wrong;
 * record->damaged and ->corrected tell the rest. */
static int32_t check_sum(struct journal_record *record, uint32_t crc)
{
    int32_t bit = -1;

    if (crc != record->crc) {
        bit = crc32_wrong_bit(crc ^ record->crc, record->length);
        record->corrected |= bit != -1;
        record->damaged = bit == -1;
    }
    return bit;
}

static int32_t check_payload(const struct flash *flash, uint32_t salt,
                             struct journal_record *record)
{
    uint32_t crc;

    if (flash_crc(flash, record->address + RECORD_HEADER_BYTES, record->length, salt, &crc) < 0) {
        record->damaged = true;
        return -1;
    }
    return check_sum(record, crc);
}

/* The newest block; false: there is none. */
static bool find_newest(struct journal *journal, struct flash_header *newest)
{
    const struct flash *flash = journal->flash;
    bool any = false;

    for (uint32_t i = 0; i < block_count(flash); i++) {
        uint32_t block = block_after(flash, flash->log_base, i);
        struct flash_header header;

        read_block(flash, block, &header);
        if (header.state == FLASH_UNREADABLE) {
            journal->problem = FLASH_NO_ANSWER;
        } else if (header.state == FLASH_FOREIGN) {
            journal->problem = FLASH_OTHER_VERSION;
        } else if (header.state == FLASH_GOOD &&
                   (!any || flash_newer(header.sequence, newest->sequence))) {
            *newest = header;
            journal->block = block;
            any = true;
        }
    }
    return any;
}

/* Walks the records of one block. Returns where they end, or E_IO in *error. */
static uint32_t walk_block(const struct journal *journal, uint32_t block,
                           const struct flash_header *header,
                           void (*visit)(void *context, const struct place *place), void *context,
                           int *error)
{
    const struct flash *flash = journal->flash;
    uint32_t end = block + flash->erase_bytes;
    uint32_t at = block + header->offset;
    uint32_t beyond = at; /* End of a record that is damaged. */

    while (at < end) {
        struct place place;

        read_place(flash, at, end, header->word[BLOCK_SALT], &place);
        if (place.state == FLASH_UNREADABLE) {
            *error = E_IO;
            return at;
        }
        if (place.state == FLASH_EMPTY) {
            break;
        }
        if (place.state == FLASH_GOOD) {
            check_payload(flash, header->word[BLOCK_SALT], &place.record);
        }
        if (place.state == FLASH_GOOD || at >= beyond) {
            visit(context, &place);
        }
        if (place.record.damaged) {
            /* A torn header may read right only now: look for what was written behind it then. */
            beyond = at + place.span > beyond ? at + place.span : beyond;
            at += FLASH_UNIT_BYTES;
        } else {
            at += place.span;
        }
    }
    return at > beyond ? at : beyond;
}

/* 1: the block holds records that count; 0: it does not; E_IO: nobody can tell. */
static int block_counts(const struct flash *flash, uint32_t block, struct flash_header *header)
{
    int retired;

    if (read_block(flash, block, header) != FLASH_GOOD) {
        return header->state == FLASH_UNREADABLE ? E_IO : 0;
    }
    retired = is_retired(flash, block, header);
    return retired < 0 ? retired : !retired;
}

/* Takes a right seed. */
static void take_seed(struct journal *journal, const struct journal_record *record)
{
    uint8_t payload[SEED_BYTES];
    struct journal_record again;

    if (journal_read(journal, record->address, &again, payload, sizeof payload) != SEED_BYTES ||
        again.damaged) {
        journal->boot_count++;
        return;
    }
    if (get_u32(payload) > journal->boot_count) {
        journal->boot_count = get_u32(payload);
    }
    memcpy(journal->device_id, payload + 4, JOURNAL_DEVICE_ID_BYTES);
    memcpy(journal->seed, payload + 4 + JOURNAL_DEVICE_ID_BYTES, JOURNAL_SEED_BYTES);
    memset(payload, 0, sizeof payload);
    journal->salt_base = crc32_update(0, journal->seed, JOURNAL_SEED_BYTES);
    journal->seed_valid = true;
}

static void visit_mounted(void *context, const struct place *place)
{
    struct journal *journal = context;
    const struct journal_record *record = &place->record;

    /* What is damaged now may have been a newer seed, when its predecessor was used. */
    if (place->state != FLASH_GOOD || (record->damaged && record->type == JOURNAL_SEED)) {
        journal->boot_count++;
    }
    if (place->state != FLASH_GOOD || record->damaged) {
        journal->records_damaged++;
    }
    if (place->state != FLASH_GOOD) {
        return;
    }
    journal->records_corrected += record->corrected;
    if (record->type >= JOURNAL_SINGLES && record->number >= journal->next_number) {
        journal->next_number = record->number + 1;
    }
    if (record->damaged &&
        (record->type < JOURNAL_SINGLES ||
         flash_is_erased(journal->flash, record->address + RECORD_HEADER_BYTES, record->length))) {
        return;
    }
    if (record->type < JOURNAL_SINGLES) {
        journal->single[record->type] = record->address;
    }
    if (record->type == JOURNAL_SEED) {
        take_seed(journal, record);
    } else if (journal->owner != NULL) {
        journal->owner->found(journal->owner->context, record);
    }
}

/* A block whose header is damaged is one whose erase was cut, or one that was the newest until its
 * header went bad. Its boots cannot be read then, so all that it could hold are skipped; and it is
 * not erased before a newer block has recorded that. */
static void skip_damaged(struct journal *journal)
{
    const struct flash *flash = journal->flash;
    uint32_t next = block_after(flash, journal->block, 1);
    struct flash_header header;

    if (read_block(flash, next, &header) == FLASH_DAMAGED &&
        !flash_is_erased(flash, next + FLASH_HEADER_BYTES, RECORD_BYTES_MAX)) {
        journal->boot_count += flash->erase_bytes / FLASH_UNIT_BYTES;
        journal->skips = true;
    }
}

/* From the oldest block to the newest, which lies behind it in the ring. */
static int walk_all(const struct journal *journal, struct journal *mounted,
                    void (*visit)(void *context, const struct place *place), void *context)
{
    const struct flash *flash = journal->flash;
    int error = 0;

    for (uint32_t i = 1; i <= block_count(flash) && error == 0; i++) {
        uint32_t block = block_after(flash, journal->block, i);
        struct flash_header header;
        int counts = block_counts(flash, block, &header);
        uint32_t end;

        if (counts <= 0) {
            error = counts;
            continue;
        }
        if (mounted != NULL) {
            if (header.word[BLOCK_BOOTS] > mounted->boot_count) {
                mounted->boot_count = header.word[BLOCK_BOOTS];
            }
            if (header.version > 1 && header.word[BLOCK_NUMBER] > mounted->next_number) {
                mounted->next_number = header.word[BLOCK_NUMBER];
            }
        }
        end = walk_block(journal, block, &header, visit, context, &error);
        if (mounted != NULL && block == journal->block) {
            /* An older format's block is not written to. */
            mounted->next = header.version == FLASH_FORMAT_VERSION &&
                                    block + flash->erase_bytes - end >= RECORD_HEADER_BYTES
                                ? end
                                : FLASH_NOWHERE;
        }
    }
    return error;
}

/* Whether both headers of a block are as they were written. */
static bool is_opened_whole(const struct flash *flash, uint32_t block)
{
    struct flash_header header, copy;

    return flash_header_read(flash, block, MAGIC, &header) == FLASH_GOOD && !header.corrected &&
           flash_header_read(flash, block + COPY_OFFSET, MAGIC, &copy) == FLASH_GOOD &&
           !copy.corrected;
}

static void mount_newest(struct journal *journal, const struct flash_header *newest)
{
    journal->sequence = newest->sequence;
    journal->salt = newest->word[BLOCK_SALT];
    journal->erases = newest->word[BLOCK_ERASES];
    if (walk_all(journal, journal, visit_mounted, journal) < 0) {
        journal->problem = FLASH_NO_ANSWER; /* What cannot be read may be a newer seed. */
    } else {
        skip_damaged(journal);
    }
    /* A header that was cut may read right now and wrong later: the block is opened once more. */
    if (journal->next == journal->block + newest->offset &&
        !is_opened_whole(journal->flash, journal->block)) {
        journal->next = FLASH_NOWHERE;
        journal->reopens = true;
    }
}

void journal_mount(struct journal *journal, const struct flash *flash,
                   const struct journal_owner *owner)
{
    struct flash_header newest = {.sequence = 0}; /* Set where one is found. */

    memset(journal, 0, sizeof *journal);
    journal->owner = owner;
    journal->block = FLASH_NOWHERE;
    journal->next = FLASH_NOWHERE;
    journal->seen_block = FLASH_NOWHERE;
    journal->next_number = 1;
    for (unsigned i = 0; i < JOURNAL_SINGLES; i++) {
        journal->single[i] = FLASH_NOWHERE;
    }
    if (flash == NULL || block_count(flash) < JOURNAL_BLOCKS_MIN) {
        journal->problem = no_flash;
        journal->seed_problem = no_flash;
        return;
    }
    journal->flash = flash;
    if (find_newest(journal, &newest) && journal->problem == NULL) {
        mount_newest(journal, &newest);
    }
    if (journal->problem != NULL) {
        journal->seed_valid = false;
        journal->seed_problem = journal->problem;
    } else if (!journal->seed_valid) {
        journal->seed_problem = no_seed;
    }
}

struct visitor {
    void (*visit)(void *context, const struct journal_record *record);
    void *context;
};

static void visit_record(void *context, const struct place *place)
{
    const struct visitor *visitor = context;
    struct journal_record record = {.address = place->record.address, .damaged = true};

    visitor->visit(visitor->context, place->state == FLASH_GOOD ? &place->record : &record);
}

int journal_walk(const struct journal *journal,
                 void (*visit)(void *context, const struct journal_record *record), void *context)
{
    struct visitor visitor = {.visit = visit, .context = context};

    if (journal->flash == NULL || journal->block == FLASH_NOWHERE) {
        return 0;
    }
    return walk_all(journal, NULL, visit_record, &visitor);
}

void journal_block(const struct journal *journal, unsigned index, struct journal_block *block)
{
    const struct flash *flash = journal->flash;
    struct flash_header header, copy;

    memset(block, 0, sizeof *block);
    block->address = block_after(flash, flash->log_base, index);
    block->state = read_block(flash, block->address, &header);
    if (block->state < FLASH_FOREIGN) {
        return;
    }
    block->sequence = header.sequence;
    block->erases = header.word[BLOCK_ERASES];
    block->corrected = header.corrected;
    if (header.version > 1) {
        block->corrected |=
            flash_header_read(flash, block->address + COPY_OFFSET, MAGIC, &copy) != block->state ||
            copy.corrected;
        block->retired = is_retired(flash, block->address, &header) > 0;
    }
}

void journal_wear(const struct journal *journal, struct journal_wear *wear)
{
    const struct flash *flash = journal->flash;

    memset(wear, 0, sizeof *wear);
    if (flash == NULL) {
        return;
    }
    wear->blocks = block_count(flash);
    wear->min = UINT32_MAX;
    for (uint32_t i = 0; i < wear->blocks; i++) {
        struct flash_header header;
        uint32_t erases = 0;

        if (read_block(flash, block_after(flash, flash->log_base, i), &header) == FLASH_GOOD) {
            erases = header.word[BLOCK_ERASES];
        }
        wear->min = erases < wear->min ? erases : wear->min;
        wear->max = erases > wear->max ? erases : wear->max;
        wear->total += erases;
    }
}

uint32_t journal_record_bytes(size_t payload)
{
    return RECORD_HEADER_BYTES + PADDED(payload);
}

uint32_t journal_room(const struct journal *journal)
{
    const struct flash *flash = journal->flash;

    if (flash == NULL) {
        return 0;
    }
    /* Half of what the ring holds beside the newest block and the clean ones: then each turn of it
     * wins as much room as it carries. The singles are carried as well. */
    return (block_count(flash) - 1 - CLEAN_BLOCKS) * (flash->erase_bytes - RECORDS_OFFSET) / 2 -
           SINGLES_BYTES;
}

/* Salt and first record of a block; the last one that was asked for is remembered, since most reads
 * stay in one block. */
static bool block_known(struct journal *journal, uint32_t block)
{
    struct flash_header header;

    if (journal->seen_block == block) {
        return true;
    }
    if (read_block(journal->flash, block, &header) != FLASH_GOOD) {
        return false;
    }
    journal->seen_block = block;
    journal->seen_salt = header.word[BLOCK_SALT];
    journal->seen_offset = header.offset;
    return true;
}

int journal_peek(struct journal *journal, uint32_t address, struct journal_record *record)
{
    const struct flash *flash = journal->flash;
    struct place place;
    uint32_t block;

    if (flash == NULL || address < flash->log_base ||
        address - flash->log_base >= flash->log_bytes) {
        return E_MISSING;
    }
    block = block_of(flash, address);
    if (!block_known(journal, block) || address < block + journal->seen_offset) {
        return E_MISSING;
    }
    read_place(flash, address, block + flash->erase_bytes, journal->seen_salt, &place);
    *record = place.record;
    return place.state == FLASH_GOOD ? (int)record->length : E_MISSING;
}

int journal_read(struct journal *journal, uint32_t address, struct journal_record *record,
                 void *out, size_t size)
{
    const struct flash *flash = journal->flash;
    uint8_t *bytes = out;
    int length = journal_peek(journal, address, record);
    uint32_t part;
    int32_t bit;

    if (length < 0) {
        return length;
    }
    part = record->length < size ? record->length : (uint32_t)size;
    if (flash->read(flash, address + RECORD_HEADER_BYTES, bytes, part) < 0) {
        return E_IO;
    }
    /* What is given is what was checked: a torn record need not read the same twice. */
    bit = part == record->length ? check_sum(record, crc32_update(journal->seen_salt, bytes, part))
                                 : check_payload(flash, journal->seen_salt, record);
    if (bit >= 0 && (uint32_t)bit / 8 < part) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    return length;
}

/* The newest right record of a type, but for one. */
struct finder {
    uint32_t address, other;
    uint8_t type;
};

static void visit_sought(void *context, const struct place *place)
{
    struct finder *finder = context;
    const struct journal_record *record = &place->record;

    if (place->state == FLASH_GOOD && record->type == finder->type && !record->damaged &&
        record->address != finder->other) {
        finder->address = record->address;
    }
}

static int read_single(struct journal *journal, uint32_t address, void *out, size_t size)
{
    struct journal_record record;

    for (unsigned i = 0; i < SINGLE_READS && address != FLASH_NOWHERE; i++) {
        int length = journal_read(journal, address, &record, out, size);

        if (length >= 0 && (size_t)length <= size && !record.damaged) {
            return length;
        }
    }
    return E_MISSING;
}

int journal_single(struct journal *journal, uint8_t type, void *out, size_t size)
{
    struct finder finder = {.address = FLASH_NOWHERE, .other = journal->single[type], .type = type};
    int length = read_single(journal, finder.other, out, size);

    if (length < 0 && finder.other != FLASH_NOWHERE) {
        /* It was torn or went bad: the one before it may still stand. */
        if (walk_all(journal, NULL, visit_sought, &finder) < 0) {
            return E_IO;
        }
        length = read_single(journal, finder.address, out, size);
        journal->single[type] = length < 0 ? FLASH_NOWHERE : finder.address;
    }
    return length;
}

uint32_t journal_number(struct journal *journal, uint32_t address)
{
    struct journal_record record;

    return journal_peek(journal, address, &record) >= 0 ? record.number : 0;
}

/* The bytes of a record on their way into flash, in chunks of whole units. */
struct writer {
    const struct flash *flash;
    uint32_t address; /* Of the chunk. */
    uint32_t fill;
    uint8_t chunk[CHUNK_BYTES];
};

static int writer_flush(struct writer *writer)
{
    uint32_t size = PADDED(writer->fill);
    int error;

    memset(writer->chunk + writer->fill, 0, size - writer->fill);
    error = flash_program(writer->flash, writer->address, writer->chunk, size);
    writer->address += size;
    writer->fill = 0;
    memset(writer->chunk, 0, sizeof writer->chunk); /* It may have been a seed. */
    return error;
}

static int writer_put(struct writer *writer, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        size_t part = sizeof writer->chunk - writer->fill;

        part = size < part ? size : part;
        memcpy(writer->chunk + writer->fill, bytes, part);
        writer->fill += (uint32_t)part;
        bytes += part;
        size -= part;
        if (writer->fill == sizeof writer->chunk && writer_flush(writer) < 0) {
            return E_IO;
        }
    }
    return 0;
}

/* What a record is made of: parts in RAM, or another record's payload. */
struct payload {
    const struct journal_part *parts;
    size_t count;
    uint32_t length;
    uint32_t from;       /* Address of the other's payload; FLASH_NOWHERE: it is parts. */
    uint32_t difference; /* That its wrong bit makes in a sum; 0: it has none. */
    int32_t bit;
};

static int payload_crc(const struct journal *journal, const struct payload *payload, uint32_t *crc)
{
    *crc = journal->salt;
    if (payload->from != FLASH_NOWHERE) {
        int error = flash_crc(journal->flash, payload->from, payload->length, *crc, crc);

        *crc ^= payload->difference; /* A bit makes the same one whatever the sum begins with. */
        return error;
    }
    for (size_t i = 0; i < payload->count; i++) {
        *crc = crc32_update(*crc, payload->parts[i].bytes, payload->parts[i].size);
    }
    return 0;
}

/* From flash to flash. */
static int writer_copy(struct writer *writer, const struct payload *payload, uint32_t salt,
                       uint32_t expected)
{
    uint32_t crc = salt;

    for (uint32_t at = 0; at < payload->length; at += CHUNK_BYTES) {
        uint32_t left = payload->length - at;
        uint32_t part = left < CHUNK_BYTES ? left : CHUNK_BYTES;

        if (writer->flash->read(writer->flash, payload->from + at, writer->chunk, part) < 0) {
            return E_IO;
        }
        if (payload->bit >= 0 && (uint32_t)payload->bit / 8 - at < part) {
            writer->chunk[(uint32_t)payload->bit / 8 - at] ^= (uint8_t)(1u << payload->bit % 8);
        }
        crc = crc32_update(crc, writer->chunk, part);
        writer->fill = part;
        if (writer_flush(writer) < 0) {
            return E_IO;
        }
    }
    return crc == expected ? 0 : E_IO;
}

static int writer_payload(struct writer *writer, const struct payload *payload)
{
    for (size_t i = 0; i < payload->count; i++) {
        if (writer_put(writer, payload->parts[i].bytes, payload->parts[i].size) < 0) {
            return E_IO;
        }
    }
    return writer->fill > 0 ? writer_flush(writer) : 0;
}

/* The header first, then, when that stands, the payload: a torn header has nothing behind it. */
static int write_record(struct journal *journal, uint8_t type, uint32_t number,
                        const struct payload *payload)
{
    struct writer writer = {.flash = journal->flash, .address = journal->next};
    uint8_t header[RECORD_HEADER_BYTES];
    uint32_t crc;

    if (payload_crc(journal, payload, &crc) < 0) {
        return E_IO;
    }
    header[0] = RECORD_MARK;
    header[1] = type;
    put_u16(header + 2, payload->length);
    put_u32(header + 4, number);
    put_u32(header + 8, crc);
    put_u32(header + 12, crc32_update(journal->salt, header, 12));
    if (writer_put(&writer, header, sizeof header) < 0 || writer_flush(&writer) < 0) {
        return E_IO;
    }
    return payload->from != FLASH_NOWHERE ? writer_copy(&writer, payload, journal->salt, crc)
                                          : writer_payload(&writer, payload);
}

static int append_payload(struct journal *journal, uint8_t type, uint32_t number,
                          const struct payload *payload, uint32_t *address);

/* What is alive in a block is being written again. */
struct carrier {
    struct journal *journal;
    int error;
};

/* A single may be as long as a record can be: it never is in RAM as a whole. */
static int carry_single(struct journal *journal, const struct journal_record *record)
{
    struct payload payload = {.from = record->address + RECORD_HEADER_BYTES};
    struct journal_record again;
    int length = journal_peek(journal, record->address, &again);
    uint32_t crc, address;

    if (length < 0) {
        return 0; /* It went bad since it was mounted. */
    }
    payload.length = (uint32_t)length;
    if (flash_crc(journal->flash, payload.from, payload.length, journal->seen_salt, &crc) < 0) {
        return E_IO;
    }
    payload.bit = check_sum(&again, crc);
    if (again.damaged) {
        return 0;
    }
    payload.difference = payload.bit >= 0 ? crc ^ again.crc : 0;
    return append_payload(journal, record->type, record->number, &payload, &address);
}

static void visit_carried(void *context, const struct place *place)
{
    struct carrier *carrier = context;
    struct journal *journal = carrier->journal;
    const struct journal_record *record = &place->record;

    if (place->state != FLASH_GOOD || carrier->error < 0) {
        return;
    }
    if (record->type < JOURNAL_SINGLES) {
        if (journal->single[record->type] == record->address) {
            carrier->error = carry_single(journal, record);
        }
    } else if (journal->owner != NULL) {
        carrier->error = journal->owner->carry(journal->owner->context, record);
    }
}

/* Writes what is alive in that block again into the newest one. */
static int clean_block(struct journal *journal, uint32_t block)
{
    struct carrier carrier = {.journal = journal};
    struct flash_header header;
    int counts = block_counts(journal->flash, block, &header);
    int error = counts < 0 ? counts : 0;

    if (counts > 0) {
        journal->carrying = true;
        walk_block(journal, block, &header, visit_carried, &carrier, &error);
        journal->carrying = false;
    }
    return carrier.error < 0 ? carrier.error : error;
}

/* Makes the blocks after the newest free of what is alive. */
static void prepare(struct journal *journal)
{
    for (uint32_t i = 1; i <= CLEAN_BLOCKS; i++) {
        if (clean_block(journal, block_after(journal->flash, journal->block, i)) < 0) {
            return;
        }
    }
    journal->prepared = true;
    if (journal->owner != NULL && journal->owner->opened != NULL) {
        journal->carrying = true;
        journal->owner->opened(journal->owner->context);
        journal->carrying = false;
    }
}

/* The mark says that nothing in the block counts any more, whatever an erase that is cut leaves of
 * it. */
static int retire(const struct flash *flash, uint32_t block, const struct flash_header *header)
{
    uint8_t mark[FLASH_UNIT_BYTES];
    int error = E_IO;

    if (header->state != FLASH_GOOD || header->version < 2 ||
        is_retired(flash, block, header) > 0) {
        return 0;
    }
    memset(mark, (uint8_t)~flash->erased, sizeof mark);
    for (uint32_t i = 0; i < RETIRE_MARKS && error < 0; i++) {
        uint32_t address = block + RETIRE_OFFSET + i * sizeof mark;

        if (flash_is_erased(flash, address, sizeof mark)) {
            error = flash_program(flash, address, mark, sizeof mark);
        }
    }
    return error;
}

/* Erases a block in which nothing is alive, and makes it the newest. */
static int open_block(struct journal *journal, uint32_t block)
{
    const struct flash *flash = journal->flash;
    struct flash_header header = {.offset = RECORDS_OFFSET};
    struct flash_header old;

    journal->seen_block = FLASH_NOWHERE;
    header.sequence = ++journal->sequence; /* Never twice, even if this fails half-way. */
    header.word[BLOCK_BOOTS] = journal->boot_count;
    header.word[BLOCK_SALT] =
        crc32_update(journal->salt_base, &header.sequence, sizeof header.sequence);
    /* A block whose header is lost, or that had none, wore as the newest did. */
    header.word[BLOCK_ERASES] = journal->erases > 0 ? journal->erases : 1;
    if (read_block(flash, block, &old) == FLASH_GOOD) {
        header.word[BLOCK_ERASES] = old.word[BLOCK_ERASES] + 1;
    }
    header.word[BLOCK_NUMBER] = journal->next_number;
    /* A block whose mark cannot be set may still be erased. */
    (void)retire(flash, block, &old);
    journal->blocks_erased++;
    if (flash->erase(flash, block) < 0 || flash_header_write(flash, block, MAGIC, &header) < 0 ||
        flash_header_write(flash, block + COPY_OFFSET, MAGIC, &header) < 0) {
        return E_IO;
    }
    journal->bytes_programmed += RECORDS_OFFSET;
    journal->block = block;
    journal->next = block + RECORDS_OFFSET;
    journal->salt = header.word[BLOCK_SALT];
    journal->erases = header.word[BLOCK_ERASES];
    return 0;
}

/* Opens the next block that can be, and frees those behind it. E_SPACE: what is alive is in the
 * way. */
static int open_next(struct journal *journal)
{
    const struct flash *flash = journal->flash;
    uint32_t from = journal->block;
    uint32_t first = journal->reopens ? 0 : journal->skips ? 2 : 1;

    if (journal->problem != NULL) {
        return E_UNSUPPORTED;
    }
    for (uint32_t i = 0; i < ATTEMPTS; i++) {
        uint32_t block = from == FLASH_NOWHERE ? block_after(flash, flash->log_base, i)
                                               : block_after(flash, from, first + i);

        if (from != FLASH_NOWHERE && clean_block(journal, block) < 0) {
            return E_SPACE;
        }
        journal->next = FLASH_NOWHERE;
        if (open_block(journal, block) == 0) {
            if (journal->skips) {
                /* What it could tell is told by the new block; else it would be skipped for ever.
                 */
                journal->blocks_erased++;
                (void)flash->erase(flash, block_after(flash, from, 1));
            }
            journal->skips = false;
            journal->reopens = false;
            journal->prepared = false;
            prepare(journal);
            return 0;
        }
    }
    return E_IO;
}

static bool has_room(const struct journal *journal, uint32_t size)
{
    return journal->next != FLASH_NOWHERE &&
           journal->block + journal->flash->erase_bytes - journal->next >= size;
}

static int append_payload(struct journal *journal, uint8_t type, uint32_t number,
                          const struct payload *payload, uint32_t *address)
{
    uint32_t size = journal_record_bytes(payload->length);

    if (!journal->carrying && !journal->prepared && journal->next != FLASH_NOWHERE) {
        prepare(journal); /* The last power cut may have come in its middle. */
    }
    for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
        while (!has_room(journal, size)) {
            int error = journal->carrying ? E_SPACE : open_next(journal);

            if (error < 0) {
                return error;
            }
        }
        *address = journal->next;
        journal->bytes_programmed += size;
        /* A bit that went bad in what was erased would be found only when it is programmed over. */
        if (flash_is_erased(journal->flash, *address, size) &&
            write_record(journal, type, number, payload) == 0) {
            journal->next += size;
            if (type < JOURNAL_SINGLES) {
                journal->single[type] = *address;
            }
            return 0;
        }
        journal->next = FLASH_NOWHERE; /* A block in which anything failed is left as it is. */
    }
    return E_IO;
}

int journal_append(struct journal *journal, uint8_t type, uint32_t number,
                   const struct journal_part *parts, size_t count, uint32_t *address)
{
    struct payload payload = {.parts = parts, .count = count, .from = FLASH_NOWHERE};
    size_t length = 0;

    for (size_t i = 0; i < count; i++) {
        length += parts[i].size;
    }
    if (journal->problem != NULL) {
        return E_UNSUPPORTED;
    }
    if (length > JOURNAL_PAYLOAD_MAX) {
        return E_SPACE;
    }
    payload.length = (uint32_t)length;
    return append_payload(journal, type, number, &payload, address);
}

static int append_seed(struct journal *journal, uint32_t boot_count, const uint8_t *device_id,
                       const uint8_t *seed)
{
    uint8_t payload[SEED_BYTES];
    struct journal_part part = {.bytes = payload, .size = sizeof payload};
    uint32_t address;
    int error;

    put_u32(payload, boot_count);
    memcpy(payload + 4, device_id, JOURNAL_DEVICE_ID_BYTES);
    memcpy(payload + 4 + JOURNAL_DEVICE_ID_BYTES, seed, JOURNAL_SEED_BYTES);
    /* The salt is as secret as the flash is: text of an alert cannot be made to look like a record.
     */
    journal->salt_base = crc32_update(0, seed, JOURNAL_SEED_BYTES);
    error = journal_append(journal, JOURNAL_SEED, 0, &part, 1, &address);
    if (error == 0) {
        journal->boot_count = boot_count;
        memmove(journal->device_id, device_id, JOURNAL_DEVICE_ID_BYTES);
        memmove(journal->seed, seed, JOURNAL_SEED_BYTES);
        journal->seed_valid = true;
        journal->seed_problem = NULL;
    }
    memset(payload, 0, sizeof payload);
    return error;
}

int journal_seed_replace(struct journal *journal, const uint8_t next[JOURNAL_SEED_BYTES])
{
    if (journal->problem != NULL) {
        return E_UNSUPPORTED;
    }
    if (!journal->seed_valid) {
        return E_MISSING;
    }
    return append_seed(journal, journal->boot_count + 1, journal->device_id, next);
}

int journal_seed_create(struct journal *journal, const uint8_t device_id[JOURNAL_DEVICE_ID_BYTES],
                        const uint8_t seed[JOURNAL_SEED_BYTES])
{
    if (journal->problem != NULL) {
        return E_UNSUPPORTED;
    }
    if (journal->seed_valid) {
        return E_INVALID;
    }
    return append_seed(journal, journal->boot_count, device_id, seed);
}
