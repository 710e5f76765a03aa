/* spool_private.h - what the spool's files share. */
#ifndef TOCSIN_BOARDS_LINUX_SPOOL_PRIVATE_H
#define TOCSIN_BOARDS_LINUX_SPOOL_PRIVATE_H

#include "boards/linux/spool.h"

#define SPOOL_ID_DIGITS 20 /* 14 of the time, 6 of the process. */
#define SPOOL_NAME_BYTES (SPOOL_ID_BYTES + 8)

/* Whether it has an id's form: nothing else may become part of a path. */
bool spool_id_is_valid(const char *id);

/* ID and ".env" or ".mail" or "". */
void spool_name(char name[SPOOL_NAME_BYTES], const char *id, const char *suffix);

/* Says in spool->problem what the system's error number means for a file of a folder, and what to
 * do; name is NULL for the folder itself. Returns the error. */
MUST_CHECK int spool_fail_errno(struct spool *spool, int number, enum spool_folder folder,
                                const char *name);

/* The same with words of our own. Returns error. */
MUST_CHECK int spool_fail_text(struct spool *spool, int error, enum spool_folder folder,
                               const char *name, const char *what);

/* Writes all of it, whatever signals come. Returns 0, or errno. */
MUST_CHECK int spool_write_all(int fd, const void *bytes, size_t size);

/* fsync() that signals do not end. Returns 0, or errno. */
MUST_CHECK int spool_sync(int fd);

/* A new file for writing, of the spool's mode, in place of what has that name. Returns its
 * descriptor, or -1 with errno. */
MUST_CHECK int spool_create(struct spool *spool, enum spool_folder folder, const char *name);

/* Writes an envelope to tmp/ID.env, synced, to be renamed. */
MUST_CHECK int spool_envelope_write(struct spool *spool, const struct spool_mail *mail);

/* An envelope as text. *bytes is malloc'd. E_SPACE: no memory, or above
 * SPOOL_ENVELOPE_BYTES_MAX; E_INVALID: an address that cannot be one. */
MUST_CHECK int spool_envelope_build(const struct spool_mail *mail, char **bytes, size_t *size);

/* The opposite; takes whatever there is in a file, and changes bytes. mail's id is left alone. On
 * an error mail is empty, and why a half sentence: "line 3 is no line of an envelope". */
MUST_CHECK int spool_envelope_parse(struct spool_mail *mail, char *bytes, size_t size,
                                    const char **why);

#endif
