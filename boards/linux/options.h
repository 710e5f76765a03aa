/* options.h - the command line of sendmail, as its callers have written it for forty years.
 *
 * Letters join and separate as sendmail's did: -t, -i, -oi, -ti, -fADDR, -f ADDR, -F NAME, -r, -R
 * RET, -N NOTIFY, -V ENVID, -X FILE, -O NAME=VALUE, -B BODY, -C FILE, -v, -q, -q15m, -qI.., -bp,
 * -bs, -bm, -bd, -bi, -L TAG, -h N, -A c, -G, -n, -m, -U, -e*, -d*, -o* of any kind; `--` ends
 * them, recipients and options come in any order. Also understood, so far as they can mean
 * something here, are those of Postfix, Exim, ssmtp (-auUSER), BusyBox (-S HOST) and msmtp
 * (--from=ADDR).
 *
 * Nothing here loses a mail: what nobody knows is warned about and takes no argument; an option
 * without its argument is warned about and left out; an argument that looks like a recipient or an
 * option is not eaten by an option that has no use for it. Servers, users and passwords are never
 * taken from a command line, which everybody can read.
 */
#ifndef TOCSIN_BOARDS_LINUX_OPTIONS_H
#define TOCSIN_BOARDS_LINUX_OPTIONS_H

#include "net/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum options_mode {
    OPTIONS_DELIVER,    /* -bm, and without any -b. */
    OPTIONS_SMTP,       /* -bs */
    OPTIONS_MAILQ,      /* -bp, mailq */
    OPTIONS_NEWALIASES, /* -bi, -I, newaliases */
    OPTIONS_QUEUE,      /* -q, -q15m, runq */
    OPTIONS_DAEMON,     /* -bd with -q: the queue alone is run. */
    OPTIONS_VERIFY,     /* -bv: shows what addresses become. */
    OPTIONS_USAGE       /* --help, --version */
};

struct options {
    enum options_mode mode;
    bool recipients_in_header; /* -t */
    bool dot_is_text;          /* -i, -oi: a line "." alone does not end the message. */
    bool verbose;              /* -v: the dialogue on standard error. */
    bool help, version;
    bool queue_only;         /* -odq, -odd: not sent now. */
    bool foreground;         /* -bD: like -bd, without leaving the terminal. */
    bool sender_in_header;   /* --read-envelope-from: the sender is whom From names. */
    const char *sender;      /* -f, -r; NULL: none. "" and "<>" are the null reverse-path. */
    const char *full_name;   /* -F; NULL: none. */
    const char *config;      /* -C; NULL: none. */
    const char *notify;      /* -N, checked: "never", or of "success", "failure", "delay". */
    const char *ret;         /* -R: "full" or "hdrs", so written. */
    const char *envid;       /* -V */
    const char *trace;       /* -X: a file that gets the dialogue. */
    const char *tag;         /* -L: for the log. */
    uint32_t interval_s;     /* -q15m; 0: once. */
    const char *const *rcpt; /* What is no option, as it was written, in its order. */
    size_t rcpt_count;
};

/* name: by which it was called ("sendmail", "mailq", "newaliases"). warn: one sentence about an
 * option that has no effect here and should have; may be called several times. Strings are
 * borrowed from argv, whose recipients are moved to its beginning: options may come after them.
 * Returns 0, or E_INVALID with why: only where there is no mail to lose, because the option asks
 * for something else that is not to be had here (-bh, -be, Exim's -Mrm ...). */
MUST_CHECK int options_parse(struct options *options, const char *name, int argc,
                             const char *argv[], void (*warn)(void *context, const char *sentence),
                             void *context, const char **why);

#endif
