#include "boards/linux/flash_file.h"

#include "firmware/flash_io.h"
#include "firmware/journal.h"
#include "net/posix/link_posix.h"
#include "net/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The first block: a line for people, and the hash with its complement. */
#define MAGIC "tocsin device flash 1\nSee docs/flash-format.md.\n"
#define TAKEN_OFFSET 512
#define CRASH_OFFSET 528 /* The number of a signal and its complement. */
#define NO_BLOCK FLASH_SIZE_BYTES
#define OPEN_TRIES 100

static int say(struct flash_file *file, const char *path, const char *what)
{
    int error = errno == ENOSPC || errno == EDQUOT ? E_SPACE : E_IO;

    (void)text_print(file->problem, sizeof file->problem, "%s: %s%s%s", path, what,
                     what[0] != '\0' ? ": " : "", strerror(errno));
    return error;
}

/* ---- bytes ---- */

static int read_all(int fd, uint32_t address, uint8_t *out, size_t size)
{
    while (size > 0) {
        ssize_t got = pread(fd, out, size, (off_t)address);

        if (got == 0 || (got < 0 && errno != EINTR)) {
            return E_IO;
        }
        if (got > 0) {
            out += got;
            address += (uint32_t)got;
            size -= (size_t)got;
        }
    }
    return 0;
}

static int write_all(int fd, uint32_t address, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t done = pwrite(fd, bytes, size, (off_t)address);

        if (done < 0 && errno != EINTR) {
            return E_IO;
        }
        if (done > 0) {
            bytes += done;
            address += (uint32_t)done;
            size -= (size_t)done;
        }
    }
    return 0;
}

/* The block that holds that address, in memory, with what is still to be written. */
static int load(struct flash_file *file, uint32_t address)
{
    uint32_t at = address / FLASH_ERASE_BYTES * FLASH_ERASE_BYTES;

    if (at == file->at) {
        return 0;
    }
    file->at = NO_BLOCK;
    if (read_all(file->fd, at, file->block, sizeof file->block) < 0) {
        return E_IO;
    }
    if (file->pending_size > 0 && file->pending_at - at < FLASH_ERASE_BYTES) {
        memcpy(file->block + (file->pending_at - at), file->pending, file->pending_size);
    }
    file->at = at;
    return 0;
}

int flash_file_write(struct flash_file *file)
{
    if (file->failed) {
        return E_IO;
    }
    if (file->pending_size > 0) {
        if (write_all(file->fd, file->pending_at, file->pending, file->pending_size) < 0) {
            return E_IO; /* Once there is room again, it can still be. */
        }
        file->pending_size = 0;
        file->dirty = true;
    }
    return 0;
}

int flash_file_settle(struct flash_file *file)
{
    if (flash_file_write(file) < 0) {
        return E_IO;
    }
    if (file->dirty && !file->lazy) {
        file->dirty = false;
        file->failed = fdatasync(file->fd) < 0;
    }
    return file->failed ? E_IO : 0;
}

/* Writes by itself, behind all that came before. */
static int write_alone(struct flash_file *file, uint32_t address, const uint8_t *bytes, size_t size)
{
    file->at = NO_BLOCK;
    if (flash_file_settle(file) < 0 || write_all(file->fd, address, bytes, size) < 0) {
        return E_IO;
    }
    file->dirty = true;
    file->end = NO_BLOCK; /* Nothing goes on from here. */
    return 0;
}

/* ---- struct flash ---- */

static int flash_read(const struct flash *flash, uint32_t address, void *out, size_t size)
{
    struct flash_file *file = flash->context;
    uint8_t *bytes = out;

    if (address > FLASH_SIZE_BYTES || size > FLASH_SIZE_BYTES - address) {
        return E_INVALID;
    }
    while (size > 0) {
        uint32_t from = address % FLASH_ERASE_BYTES;
        size_t part = size < FLASH_ERASE_BYTES - from ? size : FLASH_ERASE_BYTES - from;

        if (load(file, address) < 0) {
            return E_IO;
        }
        memcpy(bytes, file->block + from, part);
        bytes += part;
        address += (uint32_t)part;
        size -= part;
    }
    return 0;
}

static int flash_program_bytes(const struct flash *flash, uint32_t address, const void *data,
                               size_t size)
{
    struct flash_file *file = flash->context;
    const uint8_t *bytes = data;
    uint32_t from = address % FLASH_PAGE_BYTES;

    if (address >= FLASH_SIZE_BYTES || size > FLASH_PAGE_BYTES - from ||
        (address | size) % FLASH_PROGRAM_BYTES != 0) {
        return E_INVALID;
    }
    if (load(file, address) < 0) {
        return E_IO;
    }
    for (size_t i = 0; i < size; i++) {
        if ((bytes[i] & ~file->block[from + i]) != 0) {
            return E_IO; /* NOR flash would not take it either. */
        }
    }
    if (address != file->end || from == 0) {
        if (flash_file_settle(file) < 0) {
            return E_IO;
        }
    }
    if (file->pending_size == 0) {
        file->pending_at = address;
    }
    memcpy(file->pending + file->pending_size, bytes, size);
    memcpy(file->block + from, bytes, size);
    file->pending_size += (uint32_t)size;
    file->end = address + (uint32_t)size;
    return 0;
}

static int flash_erase(const struct flash *flash, uint32_t address)
{
    struct flash_file *file = flash->context;
    uint8_t erased[FLASH_ERASE_BYTES];

    if (address >= FLASH_SIZE_BYTES || address % FLASH_ERASE_BYTES != 0) {
        return E_INVALID;
    }
    memset(erased, FLASH_ERASED, sizeof erased);
    return write_alone(file, address, erased, sizeof erased);
}

static const struct flash shape = {
    .size_bytes = FLASH_SIZE_BYTES,
    .erase_bytes = FLASH_ERASE_BYTES,
    .page_bytes = FLASH_PAGE_BYTES,
    .program_bytes = FLASH_PROGRAM_BYTES,
    .erased = FLASH_ERASED,
    .config_base = FLASH_CONFIG_BASE,
    .config_bytes = FLASH_CONFIG_BYTES,
    .log_base = FLASH_LOG_BASE,
    .log_bytes = FLASH_LOG_BYTES,
    .read = flash_read,
    .program = flash_program_bytes,
    .erase = flash_erase,
};

void flash_file_hold(struct flash_file *file)
{
    file->lazy = true;
}

int flash_file_sync(struct flash_file *file)
{
    file->lazy = false;
    return flash_file_settle(file);
}

/* ---- the first block ---- */

uint64_t flash_file_taken(struct flash_file *file)
{
    uint8_t bytes[16];
    uint64_t hash;

    if (flash_read(&file->flash, TAKEN_OFFSET, bytes, sizeof bytes) < 0) {
        return 0;
    }
    hash = get_u64(bytes);
    return get_u64(bytes + 8) == ~hash ? hash : 0;
}

int flash_file_take(struct flash_file *file, uint64_t hash)
{
    uint8_t bytes[16];

    put_u64(bytes, hash);
    put_u64(bytes + 8, ~hash);
    return write_alone(file, TAKEN_OFFSET, bytes, sizeof bytes) < 0 ? E_IO
                                                                    : flash_file_settle(file);
}

void flash_file_crashed(const struct flash_file *file, int number)
{
    const uint8_t bytes[2] = {(uint8_t)number, (uint8_t)~number};

    (void)!pwrite(file->fd, bytes, sizeof bytes, CRASH_OFFSET);
}

int flash_file_crash(struct flash_file *file)
{
    static const uint8_t none[2] = {FLASH_ERASED, FLASH_ERASED};
    uint8_t bytes[2];

    if (flash_read(&file->flash, CRASH_OFFSET, bytes, sizeof bytes) < 0 ||
        (bytes[0] ^ bytes[1]) != 0xFF) {
        return 0;
    }
    (void)write_alone(file, CRASH_OFFSET, none, sizeof none);
    return bytes[0];
}

/* ---- making one ---- */

/* A device id and a seed, as `tocsin-flash` writes them into an image. */
static int write_seed(struct flash_file *file)
{
    uint8_t id[JOURNAL_DEVICE_ID_BYTES], seed[JOURNAL_SEED_BYTES];
    struct journal journal;
    int error;

    if (posix_random(id, sizeof id) != 0 || posix_random(seed, sizeof seed) != 0) {
        return E_IO;
    }
    journal_mount(&journal, &file->flash, NULL);
    error = journal_seed_create(&journal, id, seed);
    explicit_bzero(seed, sizeof seed);
    explicit_bzero(&journal, sizeof journal);
    return error;
}

static int fill(struct flash_file *file, uint32_t from)
{
    uint8_t erased[FLASH_ERASE_BYTES];

    memset(erased, FLASH_ERASED, sizeof erased);
    while (from < FLASH_SIZE_BYTES) {
        uint32_t part = FLASH_ERASE_BYTES - from % FLASH_ERASE_BYTES;

        if (write_all(file->fd, from, erased, part) < 0) {
            return E_IO;
        }
        from += part;
    }
    return 0;
}

static int write_whole(struct flash_file *file)
{
    int error;

    file->at = NO_BLOCK;
    flash_file_hold(file);
    if (fill(file, 0) < 0 || write_all(file->fd, 0, (const uint8_t *)MAGIC, sizeof MAGIC - 1) < 0) {
        return E_IO;
    }
    error = write_seed(file);
    return flash_file_sync(file) < 0 ? E_IO : error;
}

/* So that the name survives a power cut as well. */
static void sync_folder(const char *path)
{
    char folder[256];
    char *slash;
    int fd;

    (void)text_copy(folder, sizeof folder, path);
    slash = strrchr(folder, '/');
    if (slash == NULL) {
        return;
    }
    slash[slash == folder] = '\0';
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        (void)close(fd);
    }
}

/* A folder that a group may write into is shared by it, and so is the file. */
static mode_t mode_for(const char *path)
{
    char folder[256];
    struct stat stat_;
    char *slash;

    (void)text_copy(folder, sizeof folder, path);
    slash = strrchr(folder, '/');
    if (slash != NULL) {
        slash[slash == folder] = '\0';
    }
    if (stat(slash != NULL ? folder : ".", &stat_) < 0) {
        return 0600;
    }
    return (stat_.st_mode & S_IWGRP) != 0 ? 0660 : 0600;
}

static int lock(struct flash_file *file, const char *path)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (fcntl(file->fd, F_SETLK, &whole) == 0) {
        return 0;
    }
    if (errno != EACCES && errno != EAGAIN) {
        return say(file, path, "cannot be locked");
    }
    whole = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(file->fd, F_GETLK, &whole) == 0 && whole.l_type != F_UNLCK && whole.l_pid > 0) {
        file->holder = (uint32_t)whole.l_pid;
    }
    (void)text_print(file->problem, sizeof file->problem, "%s: process %u is using it", path,
                     (unsigned)file->holder);
    return E_TRANSIENT;
}

/* Whether the name still means what was opened and locked. */
static bool still_named(const struct flash_file *file, const char *path)
{
    struct stat opened, named;

    return fstat(file->fd, &opened) == 0 && stat(path, &named) == 0 &&
           opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

/* Under another name, which the next one takes up if this process is killed meanwhile. */
static int make(struct flash_file *file, const char *path)
{
    char temporary[288];
    int error;

    (void)text_print(temporary, sizeof temporary, "%s.new", path);
    file->fd = open(temporary, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (file->fd < 0) {
        return say(file, path, "cannot be made");
    }
    error = lock(file, temporary);
    if (error < 0 || !still_named(file, temporary)) {
        flash_file_close(file);
        return error; /* Somebody else makes it, or has. */
    }
    if (ftruncate(file->fd, 0) < 0 || fchmod(file->fd, mode_for(path)) < 0 ||
        write_whole(file) < 0) {
        error = say(file, path, "cannot be written");
    } else if (link(temporary, path) < 0 && errno != EEXIST && rename(temporary, path) < 0) {
        error = say(file, path, "cannot be made"); /* Not even where there are no links. */
    } else {
        sync_folder(path);
    }
    (void)unlink(temporary);
    flash_file_close(file);
    return error;
}

/* ---- opening ---- */

static int put_aside(struct flash_file *file, const char *path)
{
    char aside[288];

    (void)text_print(aside, sizeof aside, "%s.bad", path);
    if (rename(path, aside) < 0) {
        return say(file, path, "is no device's flash, and cannot be renamed");
    }
    (void)text_print(file->notice, sizeof file->notice,
                     "%s was no flash of this device, or is damaged: it is now %s, and a new one "
                     "was begun",
                     path, aside);
    return E_MISSING;
}

/* 0: it can be used; E_MISSING: it was put aside. */
static int look(struct flash_file *file, const char *path)
{
    uint8_t magic[sizeof MAGIC - 1];
    struct stat stat_;

    if (fstat(file->fd, &stat_) < 0) {
        return say(file, path, "");
    }
    if (!S_ISREG(stat_.st_mode)) {
        (void)text_print(file->problem, sizeof file->problem, "%s: is no file", path);
        return E_IO;
    }
    if (stat_.st_size < (off_t)sizeof magic || stat_.st_size > (off_t)FLASH_SIZE_BYTES ||
        read_all(file->fd, 0, magic, sizeof magic) < 0 || memcmp(magic, MAGIC, sizeof magic) != 0) {
        return put_aside(file, path);
    }
    if (stat_.st_size == (off_t)FLASH_SIZE_BYTES) {
        return 0;
    }
    if (fill(file, (uint32_t)stat_.st_size) < 0 || fdatasync(file->fd) < 0) {
        return say(file, path, "was cut short, and cannot be made whole");
    }
    (void)text_print(file->notice, sizeof file->notice,
                     "%s was cut short, to %u bytes: what is left of it is used", path,
                     (unsigned)stat_.st_size);
    return 0;
}

int flash_file_open(struct flash_file *file, const char *path)
{
    int error;

    memset(file, 0, sizeof *file);
    file->flash = shape;
    file->flash.context = file;
    file->fd = -1;
    file->end = NO_BLOCK;
    for (unsigned tries = 0; tries < OPEN_TRIES; tries++) {
        file->at = NO_BLOCK;
        file->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (file->fd < 0 && errno != ENOENT) {
            return say(file, path, "");
        }
        if (file->fd < 0) {
            error = make(file, path);
            if (error < 0) {
                return error;
            }
            continue;
        }
        error = lock(file, path);
        if (error == 0 && !still_named(file, path)) {
            error = E_MISSING;
        } else if (error == 0) {
            error = look(file, path);
        }
        if (error == 0) {
            return 0;
        }
        flash_file_close(file);
        if (error != E_MISSING) {
            return error;
        }
    }
    (void)text_print(file->problem, sizeof file->problem, "%s: it keeps changing", path);
    return E_TRANSIENT;
}

void flash_file_close(struct flash_file *file)
{
    if (file->fd >= 0) {
        (void)!flash_file_settle(file);
        (void)close(file->fd);
        file->fd = -1;
    }
    explicit_bzero(file->block, sizeof file->block);
    explicit_bzero(file->pending, sizeof file->pending);
    file->pending_size = 0;
    file->at = NO_BLOCK;
}

uint32_t flash_file_owner(const struct flash_file *file)
{
    struct stat stat_;

    return fstat(file->fd, &stat_) == 0 ? (uint32_t)stat_.st_uid : 0;
}
