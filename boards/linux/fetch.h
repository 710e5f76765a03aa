/* fetch.h - `tocsin poll`: reads mailboxes by POP3 into Maildir, mbox or a program.
 *
 * Accounts: the configuration's own pop3, and each *.conf in the folder `accounts`. What has been
 * delivered is remembered by unique id in STATE/NAME.seen, synced before anything is deleted on the
 * server: a crash can lead to a message delivered twice, never to one lost.
 */
#ifndef TOCSIN_BOARDS_LINUX_FETCH_H
#define TOCSIN_BOARDS_LINUX_FETCH_H

#include "boards/linux/maillog.h"
#include "boards/linux/settings.h"

#include <stdbool.h>
#include <stddef.h>

struct fetch_options {
    const char *const *account; /* Names; account_count 0: all. */
    size_t account_count;
    bool verbose, quiet;
    bool check_only; /* `--check`: tells what is new, and fetches nothing. */
};

/* Returns an exit code of sysexits.h; 0 also when nothing was new. */
int fetch_run(struct settings *settings, const struct fetch_options *options, struct maillog *log);

#endif
