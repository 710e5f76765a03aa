/* device.h - the firmware's own app over POSIX: `tocsin daemon`, alert, test, status, console.
 *
 * The app (firmware/app.h) runs as on any board: its flash is a file, its console a Unix socket,
 * its link net/posix. Its configuration slot is filled with the text of the configuration file
 * whenever that has changed. One process at a time owns the flash file (flock); others reach it
 * through the socket; without a daemon, a command opens the file itself, runs, waits until the
 * app has nothing more to send (bounded), and ends.
 */
#ifndef TOCSIN_BOARDS_LINUX_DEVICE_H
#define TOCSIN_BOARDS_LINUX_DEVICE_H

#include "boards/linux/settings.h"

#include <stdbool.h>

/* `tocsin daemon`: syslog listener, mailbox, queue runner of the spool. Returns an exit code. */
int device_daemon(struct settings *settings, bool foreground);

/* Runs one console command ("alert err ...", "status", "test") by the daemon, or here. Prints its
 * answer; returns an exit code of sysexits.h. */
int device_command(struct settings *settings, const char *line);

/* `tocsin console`: a person's terminal joined with the daemon. */
int device_console(struct settings *settings);

#endif
