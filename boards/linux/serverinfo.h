/* serverinfo.h - `tocsin serverinfo [HOST[:PORT]] [--tls=...] [--pop3]`: what a server says of
 * itself: addresses, greeting, TLS version, suite, chain with names, keys and days left, whether
 * and by which anchor it verifies (and if not, why, and what to do), capabilities before and after
 * TLS, SIZE, AUTH mechanisms. No login. Exit code 0 when a mail could be sent that way. */
#ifndef TOCSIN_BOARDS_LINUX_SERVERINFO_H
#define TOCSIN_BOARDS_LINUX_SERVERINFO_H

#include "boards/linux/settings.h"

int serverinfo_run(struct settings *settings, int argc, const char *const argv[]);

#endif
