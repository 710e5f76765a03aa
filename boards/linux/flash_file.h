/* flash_file.h - hal/flash.h over a file: NOR's rules kept, and what was told as done on the disk.
 *
 *     error = flash_file_open(&file, "/var/lib/tocsin/device.flash");
 *     app's board has file.flash
 *     flash_file_settle(&file);    before anybody is told of what was written
 *     flash_file_close(&file);
 *
 * A program operation only clears bits and fails where it would have to set one; an erase sets a
 * block of 4 KB. Operations that go on where the one before ended, in one block, are a group: one
 * pwrite() and one fdatasync(), when flash_file_settle() is called or the next one is elsewhere. So
 * an alert and the seed before it are one wait for the disk and not twelve, which on a memory card
 * is 20 ms instead of 200, and a killed process leaves no half of a record. A power cut leaves all
 * groups up to one, of that one any of its sectors, and nothing of those behind it: the journal
 * takes what is whole (tests/linux/test_flash_file.c cuts at each write).
 *
 * The file is made whole, with a device id and a seed, and then gets its name, so that a full disk
 * is found then and not when an alert comes.
 *
 * One process at a time: the file is locked (fcntl(), which a child does not inherit and a kill
 * ends). Cost: sizeof(struct flash_file), 9 KB. One context.
 */
#ifndef TOCSIN_BOARDS_LINUX_FLASH_FILE_H
#define TOCSIN_BOARDS_LINUX_FLASH_FILE_H

#include "boards/linux/geometry.h"
#include "hal/flash.h"
#include "net/error.h"

#include <stdbool.h>
#include <stdint.h>

struct flash_file {
    struct flash flash; /* Its context is this object: not to be copied while it is open. */
    int fd;             /* -1: closed. */
    bool lazy;          /* Between flash_file_hold() and _sync(): nothing is synced. */
    bool dirty;         /* The group in hand was written, and not synced. */
    bool failed;        /* A sync did: what the disk has is not known, and nothing is taken. */
    uint32_t end;       /* Address behind the group; FLASH_SIZE_BYTES: there is none. */
    uint32_t pending_at, pending_size; /* The end of the group, not written yet. */
    uint8_t pending[FLASH_ERASE_BYTES];
    uint32_t holder; /* After E_TRANSIENT: the process that has it, 0: not known. */
    uint32_t at;     /* Address of the block below; FLASH_SIZE_BYTES: none. */
    uint8_t block[FLASH_ERASE_BYTES]; /* The one read last. */
    char notice[320];  /* What a person should know of an open that went well; "": nothing. */
    char problem[320]; /* Why it did not: one sentence with the path. */
};

/* Opens the file, or makes it, and locks it. E_TRANSIENT: another process has it; E_SPACE: the disk
 * is full; E_IO: problem says why. What cannot be this device's flash is moved to PATH.bad, and
 * notice tells so. */
MUST_CHECK int flash_file_open(struct flash_file *file, const char *path);
void flash_file_close(struct flash_file *file);

/* For a handler of a fatal signal: keeps its number for the next process, which is told it once; 0:
 * the last one did not end so. */
void flash_file_crashed(const struct flash_file *file, int number);
int flash_file_crash(struct flash_file *file);

/* User id of its owner. */
uint32_t flash_file_owner(const struct flash_file *file);

/* All that was programmed is on the disk when it returns 0. E_IO: it is not; after a write that
 * failed for want of room it may be tried again, after a sync that failed nothing is taken. */
MUST_CHECK int flash_file_settle(struct flash_file *file);

/* A process that is killed now loses nothing; the disk may know later. */
int flash_file_write(struct flash_file *file);

/* Holds the syncs back while a text is written that does not count yet; _sync() ends it: E_IO. */
void flash_file_hold(struct flash_file *file);
MUST_CHECK int flash_file_sync(struct flash_file *file);

/* The name of the configuration text that was taken last, which stands in the first block: a hash
 * of it. 0: none. */
uint64_t flash_file_taken(struct flash_file *file);
MUST_CHECK int flash_file_take(struct flash_file *file, uint64_t hash);

#endif
