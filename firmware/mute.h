/* mute.h - `mute SOURCE DURATION`: what a noisy source says is counted, and not sent, for a while.
 *
 * An alert is that source's if its host, its app without the "[412]" of a process, or the address
 * that sent it is the same, case ignored. The device's own alerts go by their app alone (`mute link
 * 2h`), so that nobody mutes them with the host that they name. An alert of severity emergency is
 * never kept back, nor is any while the time is not known. A mute that is over is told by an alert
 * that says how many it kept back.
 *
 * Mutes stand in the diary and survive a reset. Their counts are written once a minute, so that a
 * flood does not wear the flash out: no more than that is lost with the power.
 */
#ifndef TOCSIN_FIRMWARE_MUTE_H
#define TOCSIN_FIRMWARE_MUTE_H

#include "net/alert.h"

#include <stdbool.h>
#include <stdint.h>

#define MUTE_S_MAX 2592000 /* 30 days. */

struct app;

/* Mutes that source from now on, or ends its mute (0 seconds). In flash when it returns NULL;
 * otherwise why not. */
const char *mute_set(struct app *app, const char *source, uint32_t seconds);

/* Whether an alert is kept back, and counted. */
bool mute_takes(struct app *app, const struct alert *alert);

/* Ends mutes, writes counts. */
void mute_poll(struct app *app);

/* Writes counts: before a reset on purpose. */
void mute_flush(struct app *app);

#endif
