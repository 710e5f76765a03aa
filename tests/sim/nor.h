/* nor.h - a simulated NOR flash that is stricter than the chips.
 *
 * It refuses what a chip would let pass and a driver might hide: a program operation that is
 * misaligned, crosses a page, touches a unit that is not erased, or touches one that was programmed
 * since the last erase, also with bytes that equal erased ones (a part with an ECC over each unit
 * allows it once). It can lose power at any operation, in every way of enum nor_cut; its blocks
 * wear out; and it counts what it was asked for. Everything follows from one seed.
 *
 * A test may write into bytes as it likes: in a block that it changed, what differs from erased
 * counts as programmed. nor_copy() and nor_flip() keep account of every unit.
 */
#ifndef TOCSIN_TESTS_SIM_NOR_H
#define TOCSIN_TESTS_SIM_NOR_H

#include "hal/flash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the operation that loses power leaves: of a program, and of an erase. */
enum nor_cut {
    NOR_CUT_BEFORE, /* Nothing was done. */
    NOR_CUT_PREFIX, /* The first bytes were programmed; the first part of a block was erased. */
    NOR_CUT_BITS,   /* Some of the bits were; a block's bytes are old, erased or random. */
    NOR_CUT_AFTER,  /* All was done, but nobody was told. */
    NOR_CUT_BYTE,   /* The first bytes, and half of the bits of the next one (of the next 64). */
    NOR_CUT_SUFFIX, /* The last bytes only: a write buffer knows no order. */
    NOR_CUT_WEAK,   /* All but a few bits. */
    NOR_CUT_KINDS,
    /* Not among the kinds, since it asks for more: all was done, but too short, so that some of the
     * bits read now one way and now the other until the block is erased. */
    NOR_CUT_FLICKER = NOR_CUT_KINDS,
    NOR_CUT_KINDS_ALL
};

const char *nor_cut_name(enum nor_cut cut);

/* How a block is bad. */
enum nor_death {
    NOR_DEATH_DEAF,  /* Programs do nothing, and say that they did. */
    NOR_DEATH_ERASE, /* Erasing fails, and leaves some of it undone. */
    NOR_DEATH_STUCK, /* Some bits do not change, and nobody says so. */
    NOR_DEATH_KINDS
};

struct nor {
    struct flash flash; /* What the code under test gets; context points back. */
    uint8_t *bytes;
    uint32_t random;        /* State of the generator. */
    uint32_t operations;    /* Programs and erases so far. */
    uint32_t cut_operation; /* The one that loses power, counted from 1; 0: none. */
    enum nor_cut cut;
    bool off;              /* Power is lost: every call fails. */
    uint32_t reads;        /* So far. */
    uint32_t fail_read;    /* This read fails; 0: none. */
    bool fail_on;          /* And so do all later ones. */
    uint32_t dead_block;   /* This block is bad; UINT32_MAX: none. */
    enum nor_death death;  /* How it is, and a worn one. */
    uint32_t endurance;    /* Erases that a block stands before it is bad; 0: any number. */
    const char *violation; /* What the code under test did wrong; NULL: nothing. */

    uint32_t *erases; /* Of each block. */
    uint64_t bytes_read, bytes_programmed;
    uint32_t programs, blocks_erased;

    /* Private. */
    uint8_t *seen;       /* The bytes as the last operation left them. */
    uint8_t *used;       /* Of each unit: programmed since the last erase. */
    uint8_t *flicker;    /* Of each byte: bits that read at random. */
    uint32_t flickering; /* How many bytes have such. */
};

/* Geometry comes from `shape`, whose functions and context are replaced. All is erased. */
void nor_init(struct nor *nor, const struct flash *shape, uint32_t seed);
void nor_free(struct nor *nor);

/* Makes `to`, initialised with the same shape, the same as `from`. */
void nor_copy(struct nor *to, const struct nor *from);

/* Power comes back; the next cut is to be set anew. */
void nor_power(struct nor *nor);

/* Loses power in the n-th operation from now, n from 1. */
void nor_cut_in(struct nor *nor, uint32_t n, enum nor_cut cut);

/* The cell changes its mind (read disturb, retention); what was programmed still counts as such. */
void nor_flip(struct nor *nor, uint32_t address, unsigned bit);

uint32_t nor_random(struct nor *nor);

#endif
