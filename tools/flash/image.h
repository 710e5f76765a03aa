/* image.h - a board's flash as a file, and what the device's own code finds in it. */
#ifndef TOCSIN_TOOLS_FLASH_IMAGE_H
#define TOCSIN_TOOLS_FLASH_IMAGE_H

#include "common.h"
#include "firmware/config.h"
#include "firmware/journal.h"
#include "firmware/limits.h"
#include "firmware/queue.h"
#include "firmware/slots.h"
#include "hal/flash.h"

struct image {
    const char *path;
    bool existed;
    struct flash flash; /* Over a copy in memory. */
    struct slots slots;
    struct journal journal;
    struct limits limits;
    struct queue queue;
    struct config config; /* Of the text in force; the defaults where there is none. */
    int config_errors;
};

/* Reads an image that is only to be looked at: its flash takes no program and no erase. Ends the
 * program with a sentence when the file is not an image of this board. */
void image_read(struct image *image, const char *path);

/* Reads an image that is to be changed, or begins an erased one where there is no such file. */
void image_open(struct image *image, const char *path);

/* Mounts what one slot holds, in force or not. False: no whole text. Read it with slots_read()
 * before anything else is done with the image. */
bool image_mount_slot(struct image *image, unsigned slot, struct slots *slots);

/* Erases the log: seed, queue and counters. */
void image_clear_log(struct image *image);

/* Replaces the file in one step. Only its owner may read it, for it holds the password and the
 * seed. */
void image_save(const struct image *image);

#endif
