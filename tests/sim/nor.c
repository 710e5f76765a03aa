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

static int violate(struct nor *nor, const char *what)
{
    nor->violation = what;
    return E_INVALID;
}

static int nor_read(const struct flash *flash, uint32_t address, void *out, size_t size)
{
    struct nor *nor = flash->context;

    nor->reads++;
    if (nor->off || nor->reads == nor->fail_read || (nor->fail_on && nor->reads > nor->fail_read)) {
        return E_IO;
    }
    if (address > flash->size_bytes || size > flash->size_bytes - address) {
        return violate(nor, "read outside the part");
    }
    memcpy(out, nor->bytes + address, size);
    return 0;
}

/* True when this operation is the one that loses power. */
static bool cuts(struct nor *nor)
{
    nor->operations++;
    nor->off = nor->operations == nor->cut_operation;
    return nor->off;
}

static int nor_program(const struct flash *flash, uint32_t address, const void *data, size_t size)
{
    struct nor *nor = flash->context;
    const uint8_t *bytes = data;
    size_t whole = size;
    bool half = false;

    if (nor->off) {
        return E_IO;
    }
    if (size == 0 || address > flash->size_bytes || size > flash->size_bytes - address) {
        return violate(nor, "program outside the part, or of nothing");
    }
    if (address % flash->program_bytes != 0 || size % flash->program_bytes != 0) {
        return violate(nor, "program is misaligned");
    }
    if (address / flash->page_bytes != (address + size - 1) / flash->page_bytes) {
        return violate(nor, "program crosses a page");
    }
    for (size_t i = 0; i < size; i++) {
        if (nor->bytes[address + i] != flash->erased &&
            address / flash->erase_bytes != nor->dead_block) {
            return violate(nor, "program over what is not erased");
        }
    }
    if (address / flash->erase_bytes == nor->dead_block) {
        return 0;
    }
    if (cuts(nor)) {
        half = nor->cut == NOR_CUT_BITS;
        whole = nor->cut == NOR_CUT_BEFORE   ? 0
                : nor->cut == NOR_CUT_PREFIX ? nor_random(nor) % size
                                             : size;
    }
    for (size_t i = 0; i < whole; i++) {
        uint8_t change = (uint8_t)(bytes[i] ^ flash->erased);

        nor->bytes[address + i] ^= half ? change & (uint8_t)nor_random(nor) : change;
    }
    return nor->off ? E_IO : 0;
}

static int nor_erase(const struct flash *flash, uint32_t address)
{
    struct nor *nor = flash->context;
    uint8_t *block = nor->bytes + address;

    if (nor->off) {
        return E_IO;
    }
    if (address % flash->erase_bytes != 0 || address >= flash->size_bytes) {
        return violate(nor, "erase is misaligned or outside the part");
    }
    if (!cuts(nor)) {
        memset(block, flash->erased, flash->erase_bytes);
        return 0;
    }
    if (nor->cut == NOR_CUT_AFTER) {
        memset(block, flash->erased, flash->erase_bytes);
    } else if (nor->cut == NOR_CUT_PREFIX) {
        memset(block, flash->erased, nor_random(nor) % flash->erase_bytes);
    } else if (nor->cut == NOR_CUT_BITS) {
        for (uint32_t i = 0; i < flash->erase_bytes; i++) {
            uint32_t dice = nor_random(nor);

            if (dice % 3 != 0) {
                block[i] = dice % 3 == 1 ? flash->erased : (uint8_t)(dice >> 8);
            }
        }
    }
    return E_IO;
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
    nor->bytes = malloc(shape->size_bytes);
    assert(nor->bytes != NULL);
    memset(nor->bytes, shape->erased, shape->size_bytes);
}

void nor_free(struct nor *nor)
{
    free(nor->bytes);
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
