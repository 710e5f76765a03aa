/* device.h - the firmware's own app over POSIX: `tocsin daemon`, alert, test, status, console.
 *
 * The app (firmware/app.h) runs as on any board: its flash is a file, its console a Unix socket,
 * its link net/posix. Its configuration slot is filled with the text of the configuration file
 * whenever that has changed; a configuration that was changed by a mailed command stays until a
 * person edits the file. Secrets from files, commands and the system's CA certificates are not
 * written there.
 *
 * One process at a time has the flash (STATE/device.flash); others reach it through a socket beside
 * it (STATE/control). Without a daemon, a command takes the flash itself, serves others meanwhile,
 * sends what is due, and ends; what has to wait leaves with the next one, by `sendmail -q`,
 * or by the daemon.
 */
#ifndef TOCSIN_BOARDS_LINUX_DEVICE_H
#define TOCSIN_BOARDS_LINUX_DEVICE_H

#include "boards/linux/settings.h"

#include <stdbool.h>
#include <stddef.h>

/* `tocsin daemon`: syslog listener, mailbox, queue runner of the spool. Returns an exit code, and
 * only at its end; without foreground in a process of its own, once it stands. SIGTERM ends it,
 * SIGHUP makes it read the configuration again. */
int device_daemon(struct settings *settings, bool foreground);

/* Runs one console command ("alert err ...", "status", "test") by the daemon, or here. Prints its
 * answer; returns an exit code of sysexits.h. */
int device_command(struct settings *settings, const char *line);

/* The same with the words of a command line, joined; a `-` at its end is what standard input has.
 * What is too long for an alert is cut, and ends in an ellipsis. */
int device_words(struct settings *settings, size_t count, const char *const words[]);

/* Sends what alerts are due, if no daemon does and this user may: what commands without a daemon
 * had to leave behind. For `sendmail -q` and whatever else runs now and then. Nothing is printed
 * but what went wrong with the flash. */
void device_flush(struct settings *settings);

/* `tocsin console`: a person's terminal joined with the daemon. */
int device_console(struct settings *settings);

#endif
