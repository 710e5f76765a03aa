/* serverinfo.h - `tocsin serverinfo [HOST[:PORT]] [--tls=implicit|starttls|off] [--pop3]
 * [--name=NAME] [--ca=FILE]`: what a server says of itself.
 *
 * Addresses, greeting, TLS version, suite, chain with names, keys and days left, whether and by
 * which anchor it verifies (and if not, why, and what to do), capabilities before and after TLS,
 * SIZE, logins. Nothing secret is said: no login. Without HOST: the configured servers; with a HOST
 * alone its usual ports are tried in turn. It is written to standard output.
 */
#ifndef TOCSIN_BOARDS_LINUX_SERVERINFO_H
#define TOCSIN_BOARDS_LINUX_SERVERINFO_H

#include "boards/linux/settings.h"

/* argv: what follows `serverinfo`. settings: as loaded, or all zero if there is no configuration.
 * Returns EX_OK when a mail could be sent (or fetched) that way, EX_TEMPFAIL when it may be later,
 * EX_CONFIG when a person must change something (also a certificate that is refused),
 * EX_UNAVAILABLE otherwise, EX_USAGE. */
int serverinfo_run(struct settings *settings, int argc, const char *const argv[]);

#endif
