#include "tests/sim/nor.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

uint32_t nor_random(struct nor *nor)
{
    nor->random ^= nor->random << 13; /* Marsaglia's xorshift: never 0 from a seed that is not. */
    nor->random ^= nor->random >> 17;
    nor->random ^= nor->random << 5;
    return nor->random;
}

const char *nor_cut_name(enum nor_cut cut)
{
    static const char *const names[NOR_CUT_KINDS_ALL] = {
        "before", "prefix", "bits", "after", "byte", "suffix", "weak", "flicker",
    };

    return names[cut];
}

static int violate(struct nor *nor, const char *what)
{
    if (nor->violation == NULL) {
        nor->violation = what;
    }
    return E_INVALID;
}

static int nor_read(const struct flash *flash, uint32_t address, void *out, size_t size)
{
    struct nor *nor = flash->context;
    uint8_t *bytes = out;

    nor->reads++;
    if (nor->off || nor->reads == nor->fail_read || (nor->fail_on && nor->reads > nor->fail_read)) {
        return E_IO;
    }
    if (address > flash->size_bytes || size > flash->size_bytes - address) {
        return violate(nor, "read outside the part");
    }
    memcpy(bytes, nor->bytes + address, size);
    for (size_t i = 0; i < size && nor->flickering != 0; i++) {
        bytes[i] ^= nor->flicker[address + i] & (uint8_t)nor_random(nor);
    }
    nor->bytes_read += size;
    return 0;
}

/* True when this operation is the one that loses power. */
static bool cuts(struct nor *nor)
{
    nor->operations++;
    nor->off = nor->operations == nor->cut_operation;
    return nor->off;
}

static bool is_bad(const struct nor *nor, uint32_t block)
{
    return block == nor->dead_block || (nor->endurance != 0 && nor->erases[block] > nor->endurance);
}

static bool unit_is_erased(const struct nor *nor, uint32_t unit)
{
    const uint8_t *bytes = nor->bytes + unit * nor->flash.program_bytes;

    for (uint32_t i = 0; i < nor->flash.program_bytes; i++) {
        if (bytes[i] != nor->flash.erased) {
            return false;
        }
    }
    return true;
}

/* Takes note of what a test changed in that block behind our back. */
static void look(struct nor *nor, uint32_t block)
{
    const struct flash *flash = &nor->flash;
    uint32_t unit_bytes = flash->program_bytes;
    uint32_t first = block * flash->erase_bytes;
    uint32_t end = first + flash->erase_bytes;

    if (memcmp(nor->bytes + first, nor->seen + first, flash->erase_bytes) == 0) {
        return;
    }
    for (uint32_t unit = first / unit_bytes; unit < end / unit_bytes; unit++) {
        nor->used[unit] = !unit_is_erased(nor, unit);
    }
    memcpy(nor->seen + first, nor->bytes + first, flash->erase_bytes);
}

/* What a program operation is not allowed; NULL: nothing. */
static const char *program_fault(struct nor *nor, uint32_t address, size_t size)
{
    const struct flash *flash = &nor->flash;

    if (size == 0 || address > flash->size_bytes || size > flash->size_bytes - address) {
        return "program outside the part, or of nothing";
    }
    if (address % flash->program_bytes != 0 || size % flash->program_bytes != 0) {
        return "program is misaligned";
    }
    if (address / flash->page_bytes != (address + size - 1) / flash->page_bytes) {
        return "program crosses a page";
    }
    if (is_bad(nor, address / flash->erase_bytes)) {
        return NULL;
    }
    look(nor, address / flash->erase_bytes);
    for (uint32_t i = 0; i < size; i += flash->program_bytes) {
        uint32_t unit = (address + i) / flash->program_bytes;

        if (!unit_is_erased(nor, unit)) {
            return "program over what is not erased";
        }
        if (nor->used[unit] != 0) {
            return "program of a unit that was programmed since the last erase";
        }
    }
    return NULL;
}

/* Which of the size bytes an operation that loses power in this way reaches, whole. */
static void reach(struct nor *nor, size_t size, size_t *from, size_t *to)
{
    size_t edge = nor_random(nor) % size;

    *from = nor->cut == NOR_CUT_SUFFIX ? edge : 0;
    *to = size;
    if (nor->cut == NOR_CUT_BEFORE) {
        *to = 0;
    } else if (nor->cut == NOR_CUT_PREFIX || nor->cut == NOR_CUT_BYTE) {
        *to = edge;
    }
}

static void set_flicker(struct nor *nor, uint32_t address, uint8_t bits)
{
    nor->flickering += bits != 0 && nor->flicker[address] == 0;
    nor->flickering -= bits == 0 && nor->flicker[address] != 0;
    nor->flicker[address] = bits;
}

/* Programs one byte, of which only the bits in `mask` are to change. */
static void program_byte(struct nor *nor, uint32_t address, uint8_t byte, uint8_t mask)
{
    nor->bytes[address] ^= (uint8_t)(byte ^ nor->flash.erased) & mask;
    nor->bytes_programmed++;
}

static void program_cut(struct nor *nor, uint32_t address, const uint8_t *bytes, size_t size)
{
    size_t from, to;

    reach(nor, size, &from, &to);
    for (size_t i = from; i < to; i++) {
        uint32_t dice = nor_random(nor);
        uint8_t mask = 0xFF;

        if (nor->cut == NOR_CUT_BITS) {
            mask = (uint8_t)dice;
        } else if (nor->cut == NOR_CUT_WEAK && dice % 4 == 0) {
            mask = (uint8_t) ~(1u << dice / 4 % 8);
        } else if (nor->cut == NOR_CUT_FLICKER && dice % 4 == 0) {
            set_flicker(nor, address + (uint32_t)i,
                        (uint8_t)(bytes[i] ^ nor->flash.erased) & (uint8_t)(dice >> 8));
        }
        program_byte(nor, address + (uint32_t)i, bytes[i], mask);
    }
    if (nor->cut == NOR_CUT_BYTE) {
        program_byte(nor, address + (uint32_t)to, bytes[to], (uint8_t)nor_random(nor));
    }
}

static void program_stuck(struct nor *nor, uint32_t address, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        uint8_t stuck = nor_random(nor) % 16 == 0 ? (uint8_t)nor_random(nor) : 0;
        uint8_t change = (uint8_t)(bytes[i] ^ nor->flash.erased) & (uint8_t)~stuck;

        nor->bytes[address + i] =
            (uint8_t)((nor->bytes[address + i] ^ nor->flash.erased) | change) ^ nor->flash.erased;
    }
}

static int nor_program(const struct flash *flash, uint32_t address, const void *data, size_t size)
{
    struct nor *nor = flash->context;
    const char *fault;

    if (nor->off) {
        return E_IO;
    }
    fault = program_fault(nor, address, size);
    if (fault != NULL) {
        return violate(nor, fault);
    }
    if (is_bad(nor, address / flash->erase_bytes) && nor->death != NOR_DEATH_ERASE) {
        if (nor->death == NOR_DEATH_STUCK) {
            program_stuck(nor, address, data, size);
        }
        return 0;
    }
    nor->programs++;
    if (cuts(nor)) {
        program_cut(nor, address, data, size);
    } else {
        for (uint32_t i = 0; i < size; i++) {
            program_byte(nor, address + i, ((const uint8_t *)data)[i], 0xFF);
        }
    }
    for (uint32_t i = 0; i < size; i += flash->program_bytes) {
        uint32_t unit = (address + i) / flash->program_bytes;

        /* After a cut nobody can tell a unit that was not reached from one that was hardly. */
        nor->used[unit] = !nor->off || nor->cut == NOR_CUT_AFTER || !unit_is_erased(nor, unit);
    }
    memcpy(nor->seen + address, nor->bytes + address, size);
    return nor->off ? E_IO : 0;
}

/* An erase that loses power, or in a block that is worn out. */
static void erase_cut(struct nor *nor, uint32_t address)
{
    uint32_t size = nor->flash.erase_bytes;
    uint8_t *block = nor->bytes + address;
    size_t from, to;

    reach(nor, size, &from, &to);
    for (size_t i = from; i < to && nor->cut == NOR_CUT_BITS; i++) {
        uint32_t dice = nor_random(nor);

        if (dice % 3 != 0) {
            block[i] = dice % 3 == 1 ? nor->flash.erased : (uint8_t)(dice >> 8);
        }
    }
    if (nor->cut != NOR_CUT_BITS) {
        memset(block + from, nor->flash.erased, to - from);
    }
    for (size_t i = to; i < size && i < to + 64 && nor->cut == NOR_CUT_BYTE; i++) {
        block[i] ^= (uint8_t)(block[i] ^ nor->flash.erased) & (uint8_t)nor_random(nor);
    }
    for (uint32_t n = nor_random(nor) % 8 + 1; n > 0 && nor->cut >= NOR_CUT_WEAK; n--) {
        uint32_t dice = nor_random(nor);
        /* Half of them where the headers stand, where they hurt most. */
        uint32_t at = dice / 16 % (dice / 8 % 2 == 0 ? 64 : size);

        if (nor->cut == NOR_CUT_WEAK) {
            block[at] ^= (uint8_t)(1u << dice % 8);
        } else {
            set_flicker(nor, address + at, (uint8_t)(1u << dice % 8));
        }
    }
}

static int nor_erase(const struct flash *flash, uint32_t address)
{
    struct nor *nor = flash->context;
    uint32_t block = address / flash->erase_bytes;
    bool bad;

    if (nor->off) {
        return E_IO;
    }
    if (address % flash->erase_bytes != 0 || address >= flash->size_bytes) {
        return violate(nor, "erase is misaligned or outside the part");
    }
    nor->erases[block]++;
    nor->blocks_erased++;
    bad = is_bad(nor, block) && nor->death != NOR_DEATH_DEAF;
    for (uint32_t i = 0; i < flash->erase_bytes && nor->flickering != 0; i++) {
        set_flicker(nor, address + i, 0);
    }
    if (cuts(nor) || bad) {
        enum nor_cut cut = nor->cut;

        nor->cut = nor->off ? cut : nor->death == NOR_DEATH_STUCK ? NOR_CUT_WEAK : NOR_CUT_BITS;
        erase_cut(nor, address);
        nor->cut = cut;
    } else {
        memset(nor->bytes + address, flash->erased, flash->erase_bytes);
    }
    for (uint32_t i = 0; i < flash->erase_bytes; i += flash->program_bytes) {
        uint32_t unit = (address + i) / flash->program_bytes;

        nor->used[unit] = !unit_is_erased(nor, unit);
    }
    memcpy(nor->seen + address, nor->bytes + address, flash->erase_bytes);
    return nor->off || (bad && nor->death == NOR_DEATH_ERASE) ? E_IO : 0;
}

static void *make(size_t size)
{
    void *bytes = calloc(1, size);

    assert(bytes != NULL);
    return bytes;
}

void nor_init(struct nor *nor, const struct flash *shape, uint32_t seed)
{
    memset(nor, 0, sizeof *nor);
    nor->flash = *shape;
    nor->flash.context = nor;
    nor->flash.read = nor_read;
    nor->flash.program = nor_program;
    nor->flash.erase = nor_erase;
    nor->random = seed != 0 ? seed : 1;
    nor->dead_block = UINT32_MAX;
    nor->bytes = make(shape->size_bytes);
    nor->seen = make(shape->size_bytes);
    nor->used = make(shape->size_bytes / shape->program_bytes);
    nor->flicker = make(shape->size_bytes);
    nor->erases = make(shape->size_bytes / shape->erase_bytes * sizeof nor->erases[0]);
    memset(nor->bytes, shape->erased, shape->size_bytes);
    memset(nor->seen, shape->erased, shape->size_bytes);
}

void nor_free(struct nor *nor)
{
    free(nor->bytes);
    free(nor->seen);
    free(nor->used);
    free(nor->flicker);
    free(nor->erases);
}

void nor_copy(struct nor *to, const struct nor *from)
{
    const struct flash *flash = &from->flash;
    struct nor old = *to;

    *to = *from;
    to->flash.context = to;
    to->bytes = old.bytes;
    to->seen = old.seen;
    to->used = old.used;
    to->flicker = old.flicker;
    to->erases = old.erases;
    memcpy(to->bytes, from->bytes, flash->size_bytes);
    memcpy(to->seen, from->seen, flash->size_bytes);
    memcpy(to->used, from->used, flash->size_bytes / flash->program_bytes);
    if (old.flickering != 0 || from->flickering != 0) {
        memcpy(to->flicker, from->flicker, flash->size_bytes);
    }
    memcpy(to->erases, from->erases, flash->size_bytes / flash->erase_bytes * sizeof to->erases[0]);
}

void nor_power(struct nor *nor)
{
    nor->off = false;
    nor->cut_operation = 0;
}

void nor_cut_in(struct nor *nor, uint32_t n, enum nor_cut cut)
{
    nor->cut_operation = nor->operations + n;
    nor->cut = cut;
}

void nor_flip(struct nor *nor, uint32_t address, unsigned bit)
{
    look(nor, address / nor->flash.erase_bytes);
    nor->bytes[address] ^= (uint8_t)(1u << bit);
    nor->seen[address] = nor->bytes[address];
}
