/* nor.h - a simulated NOR flash that is stricter than the chips.
 *
 * It refuses what a chip would let pass and a driver might hide: a program operation that is
 * misaligned, crosses a page, or touches a unit that is not erased; and it can lose power at any
 * operation, leaving a prefix, a random half of the bits, or a block half erased. Everything
 * follows from one seed.
 */
#ifndef TOCSIN_TESTS_SIM_NOR_H
#define TOCSIN_TESTS_SIM_NOR_H

#include "hal/flash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the operation that loses power leaves. */
enum nor_cut {
    NOR_CUT_BEFORE, /* Nothing was done. */
    NOR_CUT_PREFIX, /* The first bytes were programmed; the first part of a block was erased. */
    NOR_CUT_BITS,   /* Some of the bits were; a block's bytes are old, erased or random. */
    NOR_CUT_AFTER,  /* All was done, but nobody was told. */
    NOR_CUT_KINDS
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
    uint32_t dead_block;   /* Programs into this block do nothing; UINT32_MAX: none. */
    const char *violation; /* What the code under test did wrong; NULL: nothing. */
};

/* Geometry comes from `shape`, whose functions and context are replaced. All is erased. */
void nor_init(struct nor *nor, const struct flash *shape, uint32_t seed);
void nor_free(struct nor *nor);

/* Power comes back; the next cut is to be set anew. */
void nor_power(struct nor *nor);

/* Loses power in the n-th operation from now, n from 1. */
void nor_cut_in(struct nor *nor, uint32_t n, enum nor_cut cut);

uint32_t nor_random(struct nor *nor);

#endif
