/* sendmail.h - `sendmail`, `mailq` and `newaliases`, as callers know them; exit codes of
 * sysexits.h.
 */
#ifndef TOCSIN_BOARDS_LINUX_SENDMAIL_H
#define TOCSIN_BOARDS_LINUX_SENDMAIL_H

#include "boards/linux/maillog.h"
#include "boards/linux/mailer.h"
#include "boards/linux/options.h"
#include "boards/linux/settings.h"
#include "boards/linux/spool.h"

#include <stdbool.h>

/* What one call has in hand. */
struct sendmail {
    const char *name; /* "sendmail": what begins its sentences. */
    struct options options;
    struct settings settings;
    struct spool spool;
    struct maillog log;
    int trace_fd;    /* -1: nowhere. */
    bool have_spool; /* spool is open. */
};

/* name: "sendmail", "mailq" or "newaliases". argv[0] is not looked at. */
int sendmail_main(const char *name, int argc, const char *argv[]);

/* A sentence on standard error, "NAME: " before it, and with `log` to the log as well. */
void sendmail_say(struct sendmail *sendmail, bool log, const char *sentence);

/* smtp_stdin.c: `-bs`. */
int sendmail_smtp(struct sendmail *sendmail);

/* queue_tool.c: `mailq`, `-q`, `-q15m`, `newaliases`, `-bv`; `tocsin mailq retry|drop ID|all`. */
int sendmail_mailq(struct sendmail *sendmail);
int sendmail_run_queue(struct sendmail *sendmail);
int sendmail_newaliases(struct sendmail *sendmail);
int sendmail_verify(struct sendmail *sendmail);
int queue_tool(struct settings *settings, int argc, const char *const argv[]);

#endif
