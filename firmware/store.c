/* The bytes are those of docs/flash-format.md; all numbers are little-endian. */
#include "firmware/store.h"

#include <string.h>

#define VERSION 1

/* Of a slot and of a log block: magic first, CRC last in every version. */
#define HEADER_BYTES 32

/* Of a slot: the text begins at a page. */
#define TEXT_OFFSET 256

/* Records begin at multiples of it, and are padded to it. */
#define ALIGN 16
#define RECORD_MARK 0x5A

/* Header and padding included; also how much that is erased ends the log. */
#define RECORD_BYTES_MAX 1024

#define TYPE_SEED 1
#define SEED_BYTES (4 + STORE_DEVICE_ID_BYTES + STORE_SEED_BYTES)
#define PADDED(size) (((uint32_t)(size) + ALIGN - 1) / ALIGN * ALIGN)
#define CHUNK_BYTES 64
#define ATTEMPTS 4

static const char unreadable[] = "the flash does not answer";
static const char foreign[] =
    "the flash was written by another version, which this one cannot read";

#define SLOT_MAGIC "TCFG"
#define BLOCK_MAGIC "TLOG"

enum state { STATE_EMPTY, STATE_UNREADABLE, STATE_DAMAGED, STATE_FOREIGN, STATE_GOOD };

/* A slot's header and a block's have the first three in common. */
struct header {
    enum state state;
    uint16_t offset; /* Of the text or of the first record. */
    uint32_t sequence;
    uint32_t word[4]; /* Slot: length, CRC. Block: boot count, salt, erase count, records before. */
};

enum { SLOT_LENGTH, SLOT_CRC };
enum { BLOCK_BOOTS, BLOCK_SALT, BLOCK_ERASES, BLOCK_RECORDS };

uint32_t crc32_update(uint32_t crc, const void *data, size_t size)
{
    /* The polynomial's multiples of four bits: a sixteenth of the usual table, a quarter of its
     * speed. */
    static const uint32_t table[16] = {
        0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4,
        0x4DB26158, 0x5005713C, 0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
        0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
    };
    const uint8_t *bytes = data;

    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc = table[(crc ^ bytes[i]) & 15] ^ crc >> 4;
        crc = table[(crc ^ bytes[i] >> 4) & 15] ^ crc >> 4;
    }
    return ~crc;
}

static void put_u16(uint8_t *out, uint32_t value)
{
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
}

static void put_u32(uint8_t *out, uint32_t value)
{
    put_u16(out, value);
    put_u16(out + 2, value >> 16);
}

static uint16_t get_u16(const uint8_t *in)
{
    return (uint16_t)(in[0] | in[1] << 8);
}

static uint32_t get_u32(const uint8_t *in)
{
    return get_u16(in) | (uint32_t)get_u16(in + 2) << 16;
}

/* Sequence numbers wrap: a is newer when it is less than half the circle ahead. */
static bool newer(uint32_t a, uint32_t b)
{
    return a - b - 1 < INT32_MAX;
}

/* Whether the flash reads as these bytes; data NULL: as erased ones. */
static bool holds(const struct flash *flash, uint32_t address, const uint8_t *data, uint32_t size)
{
    uint8_t chunk[CHUNK_BYTES];

    for (uint32_t at = 0; at < size; at++) {
        uint32_t i = at % sizeof chunk;
        uint32_t left = size - at;

        if (i == 0 && flash->read(flash, address + at, chunk,
                                  left < sizeof chunk ? left : sizeof chunk) < 0) {
            return false;
        }
        if (chunk[i] != (data != NULL ? data[at] : flash->erased)) {
            return false;
        }
    }
    return true;
}

static bool is_erased(const struct flash *flash, uint32_t address, uint32_t size)
{
    return holds(flash, address, NULL, size);
}

static bool crc_matches(const struct flash *flash, uint32_t address, uint32_t size, uint32_t crc,
                        uint32_t expected)
{
    uint8_t chunk[CHUNK_BYTES];

    while (size > 0) {
        uint32_t part = size < sizeof chunk ? size : sizeof chunk;

        if (flash->read(flash, address, chunk, part) < 0) {
            return false;
        }
        crc = crc32_update(crc, chunk, part);
        address += part;
        size -= part;
    }
    return crc == expected;
}

/* Programs page by page; the size is a multiple of the granularity. */
static int program(const struct flash *flash, uint32_t address, const void *data, uint32_t size)
{
    const uint8_t *bytes = data;

    while (size > 0) {
        uint32_t room = flash->page_bytes - address % flash->page_bytes;
        uint32_t part = size < room ? size : room;

        if (flash->program(flash, address, bytes, part) < 0) {
            return E_IO;
        }
        address += part;
        bytes += part;
        size -= part;
    }
    return 0;
}

/* Programs and reads back. */
static int program_verified(const struct flash *flash, uint32_t address, const uint8_t *data,
                            uint32_t size)
{
    return program(flash, address, data, size) == 0 && holds(flash, address, data, size) ? 0 : E_IO;
}

static enum state read_header(const struct flash *flash, uint32_t address, const char *magic,
                              struct header *header)
{
    uint8_t bytes[HEADER_BYTES];

    memset(header, 0, sizeof *header);
    if (flash->read(flash, address, bytes, sizeof bytes) < 0) {
        header->state = STATE_UNREADABLE;
    } else if (memcmp(bytes, magic, 4) != 0 ||
               crc32_update(0, bytes, HEADER_BYTES - 4) != get_u32(bytes + HEADER_BYTES - 4)) {
        header->state = is_erased(flash, address, sizeof bytes) ? STATE_EMPTY : STATE_DAMAGED;
    } else {
        header->state = get_u16(bytes + 4) == VERSION ? STATE_GOOD : STATE_FOREIGN;
        header->offset = get_u16(bytes + 6);
        header->sequence = get_u32(bytes + 8);
        for (unsigned i = 0; i < 4; i++) {
            header->word[i] = get_u32(bytes + 12 + 4 * i);
        }
    }
    return header->state;
}

static int write_header(const struct flash *flash, uint32_t address, const char *magic,
                        const struct header *header)
{
    uint8_t bytes[HEADER_BYTES];
    uint32_t last = flash->program_bytes > 4 ? flash->program_bytes : 4;

    memcpy(bytes, magic, 4);
    put_u16(bytes + 4, VERSION);
    put_u16(bytes + 6, header->offset);
    put_u32(bytes + 8, header->sequence);
    for (unsigned i = 0; i < 4; i++) {
        put_u32(bytes + 12 + 4 * i, header->word[i]);
    }
    put_u32(bytes + HEADER_BYTES - 4, crc32_update(0, bytes, HEADER_BYTES - 4));
    if (program_verified(flash, address, bytes, HEADER_BYTES - last) < 0) {
        return E_IO;
    }
    /* The one operation that makes it count. */
    return program_verified(flash, address + HEADER_BYTES - last, bytes + HEADER_BYTES - last,
                            last);
}

static uint32_t slot_address(const struct flash *flash, unsigned slot)
{
    return flash->config_base + slot * (flash->config_bytes / 2);
}

/* Whether the header is one of this version that bounds its text, and the text is whole. */
static bool slot_whole(const struct flash *flash, unsigned slot, const struct header *header)
{
    return header->state == STATE_GOOD && header->offset >= HEADER_BYTES &&
           header->offset <= flash->config_bytes / 2 &&
           header->word[SLOT_LENGTH] <= flash->config_bytes / 2 - header->offset &&
           crc_matches(flash, slot_address(flash, slot) + header->offset, header->word[SLOT_LENGTH],
                       0, header->word[SLOT_CRC]);
}

static void mount_config(struct store *store)
{
    const struct flash *flash = store->flash;
    struct header header[2];
    unsigned newest, taken;

    for (unsigned slot = 0; slot < 2; slot++) {
        read_header(flash, slot_address(flash, slot), SLOT_MAGIC, &header[slot]);
    }
    newest = header[0].state < STATE_FOREIGN ||
             (header[1].state >= STATE_FOREIGN && newer(header[1].sequence, header[0].sequence));
    taken = slot_whole(flash, newest, &header[newest]) ? newest : 1 - newest;
    store->config_foreign = header[0].state == STATE_FOREIGN || header[1].state == STATE_FOREIGN;
    store->config_valid = false;
    store->config_fallback = false;
    if (header[newest].state == STATE_FOREIGN) {
        store->config_problem = foreign;
    } else if (taken == newest || slot_whole(flash, taken, &header[taken])) {
        store->config_valid = true;
        store->config_fallback = taken != newest || header[1 - taken].state == STATE_DAMAGED;
        store->config_problem = NULL;
        store->config_address = slot_address(flash, taken) + header[taken].offset;
        store->config_size = header[taken].word[SLOT_LENGTH];
        store->config_sequence = header[taken].sequence;
    } else if (header[0].state == STATE_EMPTY && header[1].state == STATE_EMPTY) {
        store->config_problem = "no configuration in flash; `make config` writes one";
    } else {
        store->config_problem = "damaged in flash; `make config` writes it again";
    }
}

const char *store_slot(const struct flash *flash, unsigned slot, uint32_t *sequence, uint32_t *size)
{
    struct header header;

    read_header(flash, slot_address(flash, slot), SLOT_MAGIC, &header);
    *sequence = header.sequence;
    *size = header.word[SLOT_LENGTH];
    switch (header.state) {
    case STATE_EMPTY:
        return "empty";
    case STATE_FOREIGN:
        return "another version";
    default:
        return slot_whole(flash, slot, &header) ? "whole" : "damaged";
    }
}

static unsigned block_count(const struct flash *flash)
{
    return flash->log_bytes / flash->erase_bytes;
}

static uint32_t block_address(const struct flash *flash, unsigned block)
{
    return flash->log_base + block * flash->erase_bytes;
}

static void lock_log(struct store *store, const char *problem)
{
    store->log_locked = true;
    store->seed_problem = problem;
}

/* The newest block that is older than `before` (NULL: of all). False: none. */
static bool find_block(struct store *store, const struct header *before, uint32_t *address,
                       struct header *found)
{
    const struct flash *flash = store->flash;
    bool any = false;

    for (unsigned i = 0; i < block_count(flash); i++) {
        struct header header;

        read_header(flash, block_address(flash, i), BLOCK_MAGIC, &header);
        if (header.state == STATE_UNREADABLE) {
            lock_log(store, unreadable);
        } else if (header.state == STATE_FOREIGN) {
            lock_log(store, foreign);
        } else if (header.state == STATE_GOOD &&
                   (!any || newer(header.sequence, found->sequence)) &&
                   (before == NULL || newer(before->sequence, header.sequence))) {
            any = true;
            *found = header;
            *address = block_address(flash, i);
        }
    }
    return any;
}

/* What stands at an address of the log. */
struct record {
    enum state state; /* Empty, unreadable, damaged or good. */
    uint8_t type;
    uint32_t length;
    uint32_t sequence;
    uint32_t span; /* Bytes to the next record. */
};

static void read_record(const struct flash *flash, uint32_t address, uint32_t end, uint32_t salt,
                        struct record *record)
{
    uint8_t bytes[ALIGN];
    uint32_t left = end - address;
    uint32_t length;

    record->span = ALIGN;
    if (flash->read(flash, address, bytes, sizeof bytes) < 0) {
        record->state = STATE_UNREADABLE;
        return;
    }
    length = get_u16(bytes + 2);
    record->state = STATE_DAMAGED;
    if (bytes[0] == RECORD_MARK && crc32_update(salt, bytes, 12) == get_u32(bytes + 12) &&
        PADDED(length) <= left - ALIGN) {
        record->span = ALIGN + PADDED(length);
        if (crc_matches(flash, address + ALIGN, length, salt, get_u32(bytes + 8))) {
            record->state = STATE_GOOD;
            record->type = bytes[1];
            record->length = length;
            record->sequence = get_u32(bytes + 4);
        }
    } else if (is_erased(flash, address, left < RECORD_BYTES_MAX ? left : RECORD_BYTES_MAX)) {
        /* A header is read back before its payload is begun: behind a torn one is nothing. */
        record->state = STATE_EMPTY;
    }
}

/* Takes the seed at address into store; false: it cannot be read. */
static bool take_seed(struct store *store, uint32_t address, uint32_t *boots)
{
    uint8_t payload[SEED_BYTES];

    if (store->flash->read(store->flash, address + ALIGN, payload, sizeof payload) < 0) {
        return false;
    }
    *boots = get_u32(payload);
    memcpy(store->device_id, payload + 4, sizeof store->device_id);
    memcpy(store->seed, payload + 4 + STORE_DEVICE_ID_BYTES, sizeof store->seed);
    memset(payload, 0, sizeof payload);
    store->seed_address = address;
    store->seed_valid = true;
    return true;
}

/* Reads one block from its start. Every record that is not right counts as a boot: it may have been
 * right once, and what it led to must not come again. */
static void scan_block(struct store *store, uint32_t block, const struct header *header,
                       bool newest)
{
    const struct flash *flash = store->flash;
    uint32_t end = block + flash->erase_bytes;
    uint32_t boots = header->word[BLOCK_BOOTS];
    uint32_t records = header->word[BLOCK_RECORDS];
    uint32_t at = block + header->offset;

    while (end - at >= ALIGN) {
        struct record record = {0};

        read_record(flash, at, end, header->word[BLOCK_SALT], &record);
        if (record.state == STATE_UNREADABLE) {
            lock_log(store, unreadable); /* What cannot be read may be a newer seed. */
            return;
        }
        if (record.state == STATE_EMPTY) {
            break;
        }
        if (record.state == STATE_DAMAGED) {
            boots++;
        } else {
            records = record.sequence;
            if (record.type == TYPE_SEED && record.length == SEED_BYTES &&
                !take_seed(store, at, &boots)) {
                boots++;
            }
        }
        at += record.span;
    }
    if (newest) {
        store->log_block = block;
        store->log_next = end - at >= ALIGN ? at : STORE_NOWHERE;
        store->log_sequence = header->sequence;
        store->log_salt = header->word[BLOCK_SALT];
        store->log_erases = header->word[BLOCK_ERASES];
        store->log_records = records;
        store->boot_count = boots;
    }
}

/* A block whose header is damaged is one whose erase was cut, or one that was the newest until its
 * header went bad. Its boots cannot be read then, so all that it could hold are skipped; and it is
 * not erased before a newer block has recorded that. */
static void skip_damaged(struct store *store)
{
    const struct flash *flash = store->flash;
    uint32_t next = store->log_block + flash->erase_bytes;
    struct header header;

    if (next == flash->log_base + flash->log_bytes) {
        next = flash->log_base;
    }
    if (read_header(flash, next, BLOCK_MAGIC, &header) == STATE_DAMAGED &&
        !is_erased(flash, next + HEADER_BYTES, RECORD_BYTES_MAX)) {
        store->boot_count += flash->erase_bytes / ALIGN;
        store->log_skips = true;
    }
}

static void mount_log(struct store *store)
{
    struct header header, before;
    uint32_t block;
    bool more = find_block(store, NULL, &block, &header);
    unsigned left = block_count(store->flash);

    store->log_block = STORE_NOWHERE;
    store->log_next = STORE_NOWHERE;
    for (bool newest = true; more && !store->seed_valid && left > 0; newest = false, left--) {
        if (header.offset >= HEADER_BYTES && header.offset % ALIGN == 0 &&
            header.offset < store->flash->erase_bytes) {
            scan_block(store, block, &header, newest);
        }
        before = header;
        more = find_block(store, &before, &block, &header);
    }
    if (store->log_locked) {
        store->seed_valid = false;
    } else if (!store->seed_valid) {
        store->seed_problem = "no seed for random numbers in flash; `make config` writes one";
    } else if (store->log_block != STORE_NOWHERE) {
        skip_damaged(store);
    }
}

void store_mount(struct store *store, const struct flash *flash)
{
    memset(store, 0, sizeof *store);
    if (flash == NULL || block_count(flash) < STORE_BLOCKS_MIN) {
        store->config_problem = "no flash that can hold it";
        store->seed_problem = store->config_problem;
        return;
    }
    store->flash = flash;
    mount_config(store);
    mount_log(store);
}

int store_config_read(const struct store *store, uint32_t offset, void *out, size_t size)
{
    if (!store->config_valid) {
        return E_MISSING;
    }
    if (offset >= store->config_size) {
        return 0;
    }
    if (size > store->config_size - offset) {
        size = store->config_size - offset;
    }
    if (store->flash->read(store->flash, store->config_address + offset, out, size) < 0) {
        return E_IO;
    }
    return (int)size;
}

/* Programs a text whose last piece is filled up to the granularity with erased bytes. */
static int program_text(const struct flash *flash, uint32_t address, const uint8_t *text,
                        uint32_t size)
{
    uint32_t whole = size - size % flash->program_bytes;
    uint8_t rest[ALIGN];

    if (program(flash, address, text, whole) < 0) {
        return E_IO;
    }
    if (whole == size) {
        return 0;
    }
    memset(rest, flash->erased, sizeof rest);
    memcpy(rest, text + whole, size - whole);
    return program(flash, address + whole, rest, flash->program_bytes);
}

int store_config_write(struct store *store, const void *text, size_t size)
{
    const struct flash *flash = store->flash;
    struct header header = {.offset = TEXT_OFFSET};
    struct header old;
    uint32_t sequence = store->config_sequence;
    uint32_t slot_bytes, address;
    unsigned slot = 0;
    int result;

    if (flash == NULL || store->config_foreign) {
        return E_UNSUPPORTED;
    }
    slot_bytes = flash->config_bytes / 2;
    if (size > slot_bytes - TEXT_OFFSET) {
        return E_SPACE;
    }
    if (store->config_valid && store->config_address < slot_address(flash, 1)) {
        slot = 1;
    }
    address = slot_address(flash, slot);
    if (read_header(flash, address, SLOT_MAGIC, &old) == STATE_GOOD &&
        (!store->config_valid || newer(old.sequence, sequence))) {
        sequence = old.sequence; /* The newer one, but its text is damaged. */
    }
    header.sequence = sequence + 1;
    header.word[SLOT_LENGTH] = (uint32_t)size;
    header.word[SLOT_CRC] = crc32_update(0, text, size);
    for (uint32_t block = 0; block < slot_bytes; block += flash->erase_bytes) {
        if (flash->erase(flash, address + block) < 0) {
            return E_IO;
        }
    }
    if (program_text(flash, address + TEXT_OFFSET, text, (uint32_t)size) < 0 ||
        !crc_matches(flash, address + TEXT_OFFSET, (uint32_t)size, 0, header.word[SLOT_CRC])) {
        return E_IO;
    }
    /* Whatever the last operation said, what the flash now holds is what counts. */
    result = write_header(flash, address, SLOT_MAGIC, &header);
    mount_config(store);
    if (store->config_valid && store->config_sequence == header.sequence) {
        return 0;
    }
    return result < 0 ? result : E_IO;
}

/* Opens the next block of the ring after `from`, but neither a damaged one that still tells
 * something nor the one that holds the seed. */
static int open_block(struct store *store, uint32_t from, uint32_t salt, uint32_t *opened)
{
    const struct flash *flash = store->flash;
    struct header header = {.offset = HEADER_BYTES, .sequence = store->log_sequence + 1};
    struct header old;
    unsigned count = block_count(flash);
    unsigned next = 0;

    if (from != STORE_NOWHERE) {
        next = (from - flash->log_base) / flash->erase_bytes + (store->log_skips ? 2 : 1);
    }
    store->log_skips = false;
    if (store->seed_valid &&
        next % count == (store->seed_address - flash->log_base) / flash->erase_bytes) {
        next++;
    }
    next %= count;
    *opened = block_address(flash, next);
    header.word[BLOCK_BOOTS] = store->boot_count;
    header.word[BLOCK_SALT] = salt;
    header.word[BLOCK_ERASES] =
        1 + (read_header(flash, *opened, BLOCK_MAGIC, &old) == STATE_GOOD ? old.word[BLOCK_ERASES]
                                                                          : store->log_erases);
    header.word[BLOCK_RECORDS] = store->log_records;
    if (flash->erase(flash, *opened) < 0 ||
        write_header(flash, *opened, BLOCK_MAGIC, &header) < 0) {
        return E_IO;
    }
    store->log_block = *opened;
    store->log_next = *opened + HEADER_BYTES;
    store->log_sequence = header.sequence;
    store->log_salt = salt;
    store->log_erases = header.word[BLOCK_ERASES];
    return 0;
}

/* Appends one record; the payload lies at bytes + ALIGN, its header is made here. A block in which
 * anything failed is left for the next one. */
static int append(struct store *store, uint8_t type, uint8_t *bytes, uint16_t length, uint32_t salt)
{
    const struct flash *flash = store->flash;
    uint32_t size = ALIGN + PADDED(length);
    uint32_t tried = store->log_block;

    memset(bytes + ALIGN + length, 0, size - ALIGN - length);
    for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
        if (store->log_next == STORE_NOWHERE ||
            store->log_block + flash->erase_bytes - store->log_next < size) {
            store->log_next = STORE_NOWHERE;
            if (open_block(store, tried, salt, &tried) < 0) {
                continue;
            }
        }
        bytes[0] = RECORD_MARK;
        bytes[1] = type;
        put_u16(bytes + 2, length);
        put_u32(bytes + 4, store->log_records + 1);
        put_u32(bytes + 8, crc32_update(store->log_salt, bytes + ALIGN, length));
        put_u32(bytes + 12, crc32_update(store->log_salt, bytes, 12));
        if (program_verified(flash, store->log_next, bytes, ALIGN) == 0 &&
            program_verified(flash, store->log_next + ALIGN, bytes + ALIGN, size - ALIGN) == 0) {
            store->log_records++;
            store->log_next += size;
            return 0;
        }
        store->log_next = STORE_NOWHERE;
    }
    return E_IO;
}

static int append_seed(struct store *store, uint32_t boot_count, const uint8_t *device_id,
                       const uint8_t *seed)
{
    uint8_t bytes[ALIGN + PADDED(SEED_BYTES)];
    uint8_t *payload = bytes + ALIGN;
    int result;

    put_u32(payload, boot_count);
    memcpy(payload + 4, device_id, STORE_DEVICE_ID_BYTES);
    memcpy(payload + 4 + STORE_DEVICE_ID_BYTES, seed, STORE_SEED_BYTES);
    /* The salt is as secret as the flash is: text of an alert cannot be made to look like a record.
     */
    result = append(store, TYPE_SEED, bytes, SEED_BYTES, crc32_update(0, seed, STORE_SEED_BYTES));
    if (result == 0) {
        store->seed_address = store->log_next - sizeof bytes;
        store->boot_count = boot_count;
        memmove(store->device_id, device_id, STORE_DEVICE_ID_BYTES);
        memmove(store->seed, seed, STORE_SEED_BYTES);
        store->seed_valid = true;
        store->seed_problem = NULL;
    }
    memset(bytes, 0, sizeof bytes);
    return result;
}

int store_seed_replace(struct store *store, const uint8_t next[STORE_SEED_BYTES])
{
    if (store->log_locked) {
        return E_UNSUPPORTED;
    }
    if (!store->seed_valid) {
        return E_MISSING;
    }
    return append_seed(store, store->boot_count + 1, store->device_id, next);
}

int store_seed_create(struct store *store, const uint8_t device_id[STORE_DEVICE_ID_BYTES],
                      const uint8_t seed[STORE_SEED_BYTES])
{
    if (store->flash == NULL || store->log_locked) {
        return E_UNSUPPORTED;
    }
    if (store->seed_valid) {
        return E_INVALID;
    }
    return append_seed(store, store->boot_count, device_id, seed);
}
