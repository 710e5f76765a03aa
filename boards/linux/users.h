/* users.h - what names without a domain stand for: aliases(5), ssmtp's revaliases, /etc/passwd.
 *
 * Files are read when they are asked, a line at a time; nothing is kept but what is found.
 */
#ifndef TOCSIN_BOARDS_LINUX_USERS_H
#define TOCSIN_BOARDS_LINUX_USERS_H

#include "net/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define USERS_DEPTH 10 /* Aliases of aliases. */

struct users_params {
    const char *aliases;     /* Path, or "". Its absence is no error. */
    const char *revaliases;  /* Path, or "". */
    const char *const *root; /* root_count addresses (the key `root`). */
    size_t root_count;
    uint32_t min_user_id; /* Users below it, and root, are `root`'s when no alias says otherwise. */
    const char *domain;   /* For names that stay local: rewrite_domain or the host's name. */
    const char *host;     /* The host's own name: name@host is as good as name. NULL or "": none. */
    /* A sentence about what a file holds that cannot be had here (pipes, files, :include: of what
     * is not there, loops), with file and line. May be NULL. */
    void (*warn)(void *context, const char *sentence);
    void *context;
};

/* One address as a caller wrote it becomes addresses with a domain: found() for each, once.
 * Aliases apply to names without a domain, and to those at localhost or the host's own; case is
 * ignored. Without an alias, root, postmaster, mailer-daemon, nobody and users below min_user_id
 * are `root`'s; `default:` is taken when nothing else matches (msmtp); the others get the domain. A
 * name that leads back to itself (`root: root, me@example.com`), `\\name`, and one whose alias has
 * nothing but what cannot be had here, are taken as if they had no alias: no mail is lost by that.
 * Returns how many; 0: it is to go to nobody (an alias of /dev/null); E_INVALID: no address;
 * E_SPACE: no memory. */
MUST_CHECK int users_expand(const struct users_params *params, const char *address,
                            void (*found)(void *context, const char *address), void *context);

/* Who sends: the user's line in revaliases (`user:address[:mailhub[:port]]`). 1: found, 0: none.
 * mailhub is "" where the line names none. */
MUST_CHECK int users_sender(const struct users_params *params, const char *user, char *address,
                            size_t address_size, char *mailhub, size_t mailhub_size);

/* `newaliases`: reads the whole file, warns about each bad line. Returns the number of aliases. */
MUST_CHECK int users_check(const struct users_params *params);

/* Login name and full name (GECOS, '&' expanded) of a user id; "" where unknown. */
void users_name(uint32_t uid, char *name, size_t name_size, char *full, size_t full_size);

#endif
