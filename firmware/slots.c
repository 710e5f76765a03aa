/* The bytes are those of docs/flash-format.md; all numbers are little-endian. */
#include "firmware/slots.h"
#include "net/text.h"

#include <string.h>

#define SLOT_MAGIC "TCFG"
#define TEXT_OFFSET 256 /* Least: behind header, marks and reason; a page begins there. */
#define MARKS_OFFSET FLASH_HEADER_BYTES
#define WHY_OFFSET 160
#define MARK_COPIES 2
#define MARK_WRONG_BITS_MAX 3 /* Of 128; a mark that lacks a byte has 4. */
#define STARTED_BITS_MIN 2    /* One wrong bit in an erased unit is no mark. */
#define FLAG_TRIAL 1u

enum { SLOT_LENGTH, SLOT_CRC, SLOT_FLAGS }; /* Words of the header. */

/* Each byte has as many bits of one kind as of the other, whatever the erased value. */
enum mark { MARK_STARTED, MARK_CONFIRMED, MARK_REJECTED, MARK_SAID, MARK_COUNT };
/* docs/flash-format.md says so; pointers of 32 bits. */
_Static_assert(sizeof(void *) > 4 || sizeof(struct slots) <= 88, "RAM is what the page says");

static const uint8_t mark_byte[MARK_COUNT] = {0x5A, 0xA5, 0x3C, 0xC3};

_Static_assert(MARKS_OFFSET + MARK_COPIES * MARK_COUNT * FLASH_UNIT_BYTES == WHY_OFFSET,
               "the reason stands behind the marks");
_Static_assert(WHY_OFFSET + SLOTS_WHY_BYTES - 1 == TEXT_OFFSET, "and the text behind the reason");

/* One slot as it reads. */
struct slot {
    struct flash_header header;
    int32_t wrong_bit; /* Of the text; -1: none. */
    bool whole;
    bool trial, started, confirmed, rejected, said;
};

static uint32_t slot_address(const struct flash *flash, unsigned slot)
{
    return flash->config_base + slot * (flash->config_bytes / 2);
}

static unsigned slot_in_force(const struct slots *slots)
{
    return slots->valid && slots->address >= slot_address(slots->flash, 1);
}

/* The one that the next text goes to. */
static uint32_t other_slot(const struct slots *slots)
{
    return slot_address(slots->flash, slots->valid ? 1 - slot_in_force(slots) : 0);
}

static uint32_t padded(const struct flash *flash, uint32_t size)
{
    uint32_t unit = flash->program_bytes;

    return (size + unit - 1) / unit * unit;
}

static uint32_t mark_address(uint32_t slot, enum mark mark, unsigned copy)
{
    return slot + MARKS_OFFSET + (copy * MARK_COUNT + mark) * FLASH_UNIT_BYTES;
}

/* How many bits of a mark's unit are not as in that byte. */
static unsigned wrong_bits(const struct flash *flash, uint32_t address, uint8_t byte)
{
    uint8_t bytes[FLASH_UNIT_BYTES];
    unsigned count = 0;

    if (flash->read(flash, address, bytes, sizeof bytes) < 0) {
        return 8 * sizeof bytes;
    }
    for (size_t i = 0; i < sizeof bytes; i++) {
        for (unsigned wrong = bytes[i] ^ byte; wrong != 0; wrong &= wrong - 1) {
            count++;
        }
    }
    return count;
}

/* A start counts however torn it is: the device was on its way. The others change what is in force
 * or said, and count when they are there but for a bit or two gone bad. */
static bool mark_read(const struct flash *flash, uint32_t slot, enum mark mark)
{
    for (unsigned copy = 0; copy < MARK_COPIES; copy++) {
        uint32_t address = mark_address(slot, mark, copy);

        if (mark == MARK_STARTED
                ? wrong_bits(flash, address, flash->erased) >= STARTED_BITS_MIN
                : wrong_bits(flash, address, mark_byte[mark]) <= MARK_WRONG_BITS_MAX) {
            return true;
        }
    }
    return false;
}

/* Each copy is programmed at most once in its life: one that a cut has torn stays as it is. */
static int mark_write(const struct flash *flash, uint32_t slot, enum mark mark)
{
    uint8_t bytes[FLASH_UNIT_BYTES];
    int result = mark_read(flash, slot, mark) ? 0 : E_IO;

    memset(bytes, mark_byte[mark], sizeof bytes);
    for (unsigned copy = 0; copy < MARK_COPIES; copy++) {
        uint32_t address = mark_address(slot, mark, copy);

        if (flash_is_erased(flash, address, sizeof bytes) &&
            flash_program(flash, address, bytes, sizeof bytes) == 0) {
            result = 0;
        }
    }
    return result;
}

/* Whether the text is right, or all but one bit of it is. */
static bool text_whole(const struct flash *flash, uint32_t address, struct slot *slot)
{
    uint32_t size = slot->header.word[SLOT_LENGTH];
    uint32_t crc;

    if (flash_crc(flash, address, size, 0, &crc) < 0) {
        return false;
    }
    crc ^= slot->header.word[SLOT_CRC];
    if (crc != 0) {
        slot->wrong_bit = crc32_wrong_bit(crc, size);
    }
    return crc == 0 || slot->wrong_bit >= 0; /* The sum itself stands under the header's. */
}

static void slot_read(const struct flash *flash, unsigned number, struct slot *slot)
{
    uint32_t address = slot_address(flash, number);
    const struct flash_header *header = &slot->header;
    uint32_t bytes = flash->config_bytes / 2;

    memset(slot, 0, sizeof *slot);
    slot->wrong_bit = -1;
    if (flash_header_read(flash, address, SLOT_MAGIC, &slot->header) == FLASH_DAMAGED &&
        wrong_bits(flash, address, flash->erased) +
                wrong_bits(flash, address + FLASH_UNIT_BYTES, flash->erased) <=
            1) {
        slot->header.state = FLASH_EMPTY;
    }
    if (header->state != FLASH_GOOD) {
        return;
    }
    slot->whole = header->offset >= TEXT_OFFSET && header->offset <= bytes &&
                  header->word[SLOT_LENGTH] <= bytes - header->offset &&
                  text_whole(flash, address + header->offset, slot);
    slot->trial = (header->word[SLOT_FLAGS] & FLAG_TRIAL) != 0;
    slot->started = mark_read(flash, address, MARK_STARTED);
    slot->confirmed = mark_read(flash, address, MARK_CONFIRMED);
    slot->said = mark_read(flash, address, MARK_SAID);
    /* Once said, it stays so, whatever a torn confirmation reads as. */
    slot->rejected = slot->said || mark_read(flash, address, MARK_REJECTED);
}

/* Tried, and the trial did not end well. */
static bool failed(const struct slot *slot)
{
    return slot->trial && !slot->confirmed && (slot->started || slot->rejected);
}

/* What may be in force while there is any other. */
static bool usable(const struct slot *slot)
{
    return slot->whole && !slot->rejected && !failed(slot);
}

static void take(struct slots *slots, unsigned number, const struct slot *slot,
                 const struct slot *other)
{
    slots->valid = true;
    slots->problem = NULL;
    slots->address = slot_address(slots->flash, number) + slot->header.offset;
    slots->size = slot->header.word[SLOT_LENGTH];
    slots->sequence = slot->header.sequence;
    slots->wrong_bit = slot->wrong_bit;
    slots->unrejected = slot->rejected;
    slots->on_trial = slot->trial && !slot->confirmed && !slot->rejected && usable(other);
    if (other->whole && failed(other) &&
        flash_newer(other->header.sequence, slot->header.sequence)) {
        slots->rolled_back = other->header.sequence;
        slots->rolled_back_said = other->said;
    }
}

static unsigned newest_of(const struct slot slot[2])
{
    return slot[0].header.state < FLASH_FOREIGN ||
           (slot[1].header.state >= FLASH_FOREIGN &&
            flash_newer(slot[1].header.sequence, slot[0].header.sequence));
}

/* The newest that may be; if none may, the newest that is whole: a text that a person took back is
 * better than a device that can tell nobody anything. */
static unsigned choose(const struct slot slot[2], unsigned newest)
{
    if (usable(&slot[newest])) {
        return newest;
    }
    return usable(&slot[1 - newest]) || !slot[newest].whole ? 1 - newest : newest;
}

static void mount(struct slots *slots)
{
    struct slot slot[2];
    unsigned newest, taken;

    slot_read(slots->flash, 0, &slot[0]);
    slot_read(slots->flash, 1, &slot[1]);
    newest = newest_of(slot);
    taken = choose(slot, newest);
    slots->foreign = slot[0].header.state == FLASH_FOREIGN || slot[1].header.state == FLASH_FOREIGN;
    if (slot[newest].header.state == FLASH_FOREIGN) {
        slots->problem = FLASH_OTHER_VERSION;
    } else if (slot[taken].whole) {
        slots->fallback = (taken != newest && !slot[newest].whole) ||
                          slot[1 - taken].header.state == FLASH_DAMAGED;
        take(slots, taken, &slot[taken], &slot[1 - taken]);
    } else if (slot[0].header.state == FLASH_UNREADABLE) {
        slots->problem = FLASH_NO_ANSWER;
    } else if (slot[0].header.state == FLASH_EMPTY && slot[1].header.state == FLASH_EMPTY) {
        slots->problem = "no configuration in flash; `make config` writes one";
    } else {
        slots->problem = "damaged in flash; `make config` writes it again";
    }
}

void slots_mount(struct slots *slots, const struct flash *flash)
{
    memset(slots, 0, sizeof *slots);
    slots->wrong_bit = -1;
    if (flash == NULL) {
        slots->problem = "no flash that can hold it";
        return;
    }
    slots->flash = flash;
    mount(slots);
}

int slots_read(const struct slots *slots, uint32_t offset, void *out, size_t size)
{
    uint32_t wrong = (uint32_t)slots->wrong_bit;

    if (!slots->valid) {
        return E_MISSING;
    }
    if (offset >= slots->size) {
        return 0;
    }
    if (size > slots->size - offset) {
        size = slots->size - offset;
    }
    if (slots->flash->read(slots->flash, slots->address + offset, out, size) < 0) {
        return E_IO;
    }
    if (slots->wrong_bit >= 0 && wrong / 8 >= offset && wrong / 8 - offset < size) {
        ((uint8_t *)out)[wrong / 8 - offset] ^= (uint8_t)(1u << wrong % 8);
    }
    return (int)size;
}

/* Greater than any that either slot tells of, also of a text that has gone bad. */
static uint32_t next_sequence(const struct flash *flash)
{
    struct flash_header header[2];
    bool good[2];

    for (unsigned slot = 0; slot < 2; slot++) {
        good[slot] = flash_header_read(flash, slot_address(flash, slot), SLOT_MAGIC,
                                       &header[slot]) == FLASH_GOOD;
    }
    if (good[0] && good[1]) {
        good[0] = flash_newer(header[0].sequence, header[1].sequence);
        good[1] = !good[0];
    }
    return 1 + (good[0] ? header[0].sequence : good[1] ? header[1].sequence : 0);
}

static int begin(struct slots *slots)
{
    const struct flash *flash = slots->flash;
    uint32_t address = other_slot(slots);

    slots->staging = false;
    slots->next_sequence = next_sequence(flash); /* Before the erase takes one of them away. */
    for (uint32_t block = 0; block < flash->config_bytes / 2; block += flash->erase_bytes) {
        if (flash->erase(flash, address + block) < 0) {
            return E_IO;
        }
    }
    memset(&slots->source, 0, sizeof slots->source);
    slots->stage = (struct slots_text){.address = address + TEXT_OFFSET};
    slots->staging = true;
    return 0;
}

/* The units of a text are programmed when they are full; this ends the last one. */
static int flush(struct slots *slots)
{
    const struct flash *flash = slots->flash;
    uint32_t unit = flash->program_bytes;
    uint32_t used = slots->stage.size % unit;

    if (used == 0) {
        return 0;
    }
    memset(slots->rest + used, flash->erased, unit - used);
    return flash_program(flash, slots->stage.address + slots->stage.size - used, slots->rest, unit);
}

int slots_stage_begin(struct slots *slots, bool keep_staged)
{
    uint32_t next;

    if (slots->flash == NULL || slots->foreign) {
        return E_UNSUPPORTED;
    }
    if (slots->on_trial) {
        return E_TRANSIENT;
    }
    if (!keep_staged) {
        return begin(slots);
    }
    if (!slots->staging) {
        return E_MISSING;
    }
    /* Behind whatever was programmed, be it only a try that was dropped. */
    next = slots->stage.address + padded(slots->flash, slots->stage.size);
    if (slots->source.address == 0) {
        if (flush(slots) < 0) {
            return E_IO;
        }
        slots->source = slots->stage;
    }
    slots->stage = (struct slots_text){.address = next};
    return 0;
}

/* The staged text has no room for its next bytes: in the slot, or for its offset in the header. */
static bool is_full(const struct slots *slots, size_t more)
{
    uint32_t offset = slots->stage.address - other_slot(slots);
    uint32_t bytes = slots->flash->config_bytes / 2;

    return offset > UINT16_MAX || offset > bytes || slots->stage.size > bytes - offset ||
           more > bytes - offset - slots->stage.size;
}

int slots_stage_push(struct slots *slots, const void *text, size_t size)
{
    const uint8_t *bytes = text;
    uint32_t unit;

    if (!slots->staging) {
        return E_MISSING;
    }
    if (is_full(slots, size)) {
        return E_SPACE;
    }
    unit = slots->flash->program_bytes;
    slots->stage.crc = crc32_update(slots->stage.crc, text, size);
    while (size > 0) {
        uint32_t used = slots->stage.size % unit;
        uint32_t at = slots->stage.address + slots->stage.size - used;
        uint32_t part = (uint32_t)size - (uint32_t)size % unit;
        const uint8_t *whole = bytes;

        if (used > 0 || part == 0) {
            part = size < unit - used ? (uint32_t)size : unit - used;
            memcpy(slots->rest + used, bytes, part);
            whole = slots->rest;
        }
        slots->stage.size += part; /* Also when it fails: what was tried is not erased. */
        bytes += part;
        size -= part;
        if (slots->stage.size % unit == 0 &&
            flash_program(slots->flash, at, whole, used + part) < 0) {
            return E_IO;
        }
    }
    return 0;
}

int slots_stage_read(const struct slots *slots, uint32_t offset, void *out, size_t size)
{
    bool has_source = slots->source.address != 0;
    const struct slots_text *text = has_source ? &slots->source : &slots->stage;
    uint32_t programmed = text->size;

    if (!slots->staging) {
        return E_MISSING;
    }
    if (offset >= text->size) {
        return 0;
    }
    if (!has_source) {
        programmed -= programmed % slots->flash->program_bytes;
    }
    if (offset >= programmed) {
        size = size < text->size - offset ? size : text->size - offset;
        memcpy(out, slots->rest + (offset - programmed), size);
        return (int)size;
    }
    size = size < programmed - offset ? size : programmed - offset;
    if (slots->flash->read(slots->flash, text->address + offset, out, size) < 0) {
        return E_IO;
    }
    return (int)size;
}

void slots_stage_drop(struct slots *slots)
{
    slots->staging = false;
    memset(slots->rest, 0, sizeof slots->rest); /* It may be of a password. */
}

/* What stands in flash is what was pushed; and its header is yet to come. */
static bool stage_whole(const struct slots *slots)
{
    const struct slots_text *stage = &slots->stage;
    uint32_t crc;

    return flash_crc(slots->flash, stage->address, stage->size, 0, &crc) == 0 &&
           crc == stage->crc && flash_is_erased(slots->flash, other_slot(slots), TEXT_OFFSET);
}

int slots_stage_commit(struct slots *slots, bool trial)
{
    const struct flash *flash = slots->flash;
    struct flash_header header = {.sequence = slots->next_sequence};
    uint32_t address;
    int result;

    if (!slots->staging) {
        return E_MISSING;
    }
    address = other_slot(slots);
    header.offset = (uint16_t)(slots->stage.address - address);
    header.word[SLOT_LENGTH] = slots->stage.size;
    header.word[SLOT_CRC] = slots->stage.crc;
    header.word[SLOT_FLAGS] = trial && slots->valid ? FLAG_TRIAL : 0;
    result = flush(slots);
    slots_stage_drop(slots);
    if (result < 0 || !stage_whole(slots)) {
        return E_IO;
    }
    /* Whatever the last operation said, what the flash now holds is what counts. */
    result = flash_header_write(flash, address, SLOT_MAGIC, &header);
    slots_mount(slots, flash);
    if (slots->valid && slots->sequence == header.sequence) {
        return 0;
    }
    return result < 0 ? result : E_IO;
}

uint32_t slots_next(const struct slots *slots)
{
    if (slots->flash == NULL) {
        return 0;
    }
    return slots->staging ? slots->next_sequence : next_sequence(slots->flash);
}

int slots_write(struct slots *slots, const void *text, size_t size)
{
    int result;

    if (slots->flash == NULL || slots->foreign) {
        return E_UNSUPPORTED;
    }
    if (size > slots->flash->config_bytes / 2 - TEXT_OFFSET) {
        return E_SPACE;
    }
    result = begin(slots);
    if (result == 0) {
        result = slots_stage_push(slots, text, size);
    }
    return result < 0 ? result : slots_stage_commit(slots, false);
}

static int trial_mark(struct slots *slots, enum mark mark)
{
    if (!slots->on_trial) {
        return E_INVALID;
    }
    return mark_write(slots->flash, slot_address(slots->flash, slot_in_force(slots)), mark);
}

int slots_trial_start(struct slots *slots)
{
    return trial_mark(slots, MARK_STARTED);
}

int slots_trial_confirm(struct slots *slots)
{
    int result = trial_mark(slots, MARK_CONFIRMED);

    if (result == 0) {
        slots->on_trial = false;
    }
    return result;
}

/* It only explains: what of it a cut or a bad bit spoils is no loss. */
static void write_why(const struct flash *flash, uint32_t address, const char *why)
{
    char bytes[SLOTS_WHY_BYTES];
    struct text text = text_begin(bytes, sizeof bytes);

    text_add_printable(&text, why, strlen(why));
    memset(bytes + text.length, flash->erased, sizeof bytes - text.length);
    if (text.length > 0 && flash_is_erased(flash, address, SLOTS_WHY_BYTES - 1)) {
        (void)!flash_program(flash, address, bytes, padded(flash, (uint32_t)text.length));
    }
}

static void read_why(const struct flash *flash, uint32_t address, struct slot_info *info)
{
    char bytes[SLOTS_WHY_BYTES - 1];
    struct text text = text_begin(info->why, sizeof info->why);
    size_t length = 0;

    if (flash->read(flash, address, bytes, sizeof bytes) == 0) {
        while (length < sizeof bytes && (uint8_t)bytes[length] != flash->erased) {
            length++;
        }
        text_add_printable(&text, bytes, length);
    }
}

int slots_reject(struct slots *slots, const char *why)
{
    const struct flash *flash = slots->flash;
    struct slot other;
    unsigned number;

    if (!slots->valid) {
        return E_MISSING;
    }
    number = slot_in_force(slots);
    slot_read(flash, 1 - number, &other);
    if (!usable(&other)) {
        return E_MISSING;
    }
    write_why(flash, slot_address(flash, number) + WHY_OFFSET, why);
    return mark_write(flash, slot_address(flash, number), MARK_REJECTED);
}

int slots_rolled_back_said(struct slots *slots)
{
    int result;

    if (slots->rolled_back == 0) {
        return E_INVALID;
    }
    result = mark_write(slots->flash, other_slot(slots), MARK_SAID);
    slots->rolled_back_said = slots->rolled_back_said || result == 0;
    return result;
}

void slots_info(const struct slots *slots, unsigned number, struct slot_info *info)
{
    struct slot slot;

    memset(info, 0, sizeof *info);
    if (slots->flash == NULL) {
        info->state = FLASH_UNREADABLE;
        return;
    }
    slot_read(slots->flash, number, &slot);
    info->state =
        slot.header.state == FLASH_GOOD && !slot.whole ? FLASH_DAMAGED : slot.header.state;
    info->sequence = slot.header.sequence;
    info->size = slot.header.word[SLOT_LENGTH];
    info->corrected = slot.header.corrected || slot.wrong_bit >= 0;
    info->trial = slot.trial;
    info->started = slot.started;
    info->confirmed = slot.confirmed;
    info->rejected = slot.rejected;
    info->in_force = slots->valid && number == slot_in_force(slots);
    if (slot.rejected) {
        read_why(slots->flash, slot_address(slots->flash, number) + WHY_OFFSET, info);
    }
}
