/* settings.h - the configuration of the program: which file, whose, and where its secrets are.
 *
 * `-C FILE`; else the user's own ~/.config/tocsin.conf or ~/.tocsinrc (not root's); else
 * /etc/tocsin.conf; else /etc/ssmtp/ssmtp.conf. One table of keys for all of them (docs/config.md).
 * With a file of the user's own or named by -C, the rights of the set-group-id program are dropped
 * first, so that nobody reads with them what he could not read himself; mails then wait in a spool
 * of the user's own.
 */
#ifndef TOCSIN_BOARDS_LINUX_SETTINGS_H
#define TOCSIN_BOARDS_LINUX_SETTINGS_H

#include "firmware/config.h"
#include "net/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct settings {
    struct config config;
    char path[256]; /* Of the file. */
    bool of_ssmtp;  /* /etc/ssmtp/ssmtp.conf: From is rewritten unless FromLineOverride=YES. */
    bool stray;     /* Named by -C, and it names no spool: not the system's set-up. */
    bool of_user;   /* The user's own: the program's rights were dropped. */
    char user[64];  /* Who called: login name, or "uid1234". */
    char full_name[128];
    char host[CONFIG_HOST_BYTES];   /* hostname of the configuration, or the system's. */
    char domain[CONFIG_HOST_BYTES]; /* Of names without one: rewrite_domain, /etc/mailname, host. */
    char problem[512]; /* Why it cannot be used, one sentence with the path and line. */
};

/* Where findings and warnings go: whole sentences with path and line. */
typedef void settings_say(void *context, const char *sentence);

/* file: of -C, or NULL. E_MISSING: there is none anywhere; E_CONFIG: it has errors (each was said);
 * E_IO: it cannot be read. The rest of settings then is what could be had, so that a mail can be
 * kept. A file with a secret that others may read is warned about. */
MUST_CHECK int settings_load(struct settings *settings, const char *file, settings_say *say,
                             void *context);

/* Reads a file of the same keys over what is already there (an account of `tocsin poll`). */
MUST_CHECK int settings_load_more(const char *file, struct config *config, settings_say *say,
                                  void *context);

/* Where CA certificates are for trust_open(): tls_ca_file, or the configuration itself if it has
 * PEM blocks, or "": the system's. Borrowed from settings. */
const char *settings_ca(const struct settings *settings);

/* The password of a server, fetched when it is needed: as written, from auth_pass_file, or the
 * first line that auth_pass_command prints (run by /bin/sh without the program's rights, at most
 * 30 s). It is put into config (auth_pass, auth_pass2, pop3_pass). E_CONFIG: problem says why. */
enum settings_secret { SETTINGS_AUTH, SETTINGS_AUTH2, SETTINGS_POP3 };
MUST_CHECK int settings_secret(struct config *config, enum settings_secret which, char *problem,
                               size_t problem_size);

/* Gives up the rights of the set-group-id program for good: for what only an administrator does. */
MUST_CHECK bool settings_drop_rights(void);

/* No core file, no tracing: called first by every main function that will hold a secret. */
void settings_protect(void);

#endif
