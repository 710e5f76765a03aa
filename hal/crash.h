/* crash.h - why the last run ended: a record in RAM that survives a reset, and the output of a
 * dying device.
 *
 * Costs 256 bytes of no-init RAM. Uses the board's polled console and no interrupt, so that it
 * works inside a fault handler.
 */
#ifndef TOCSIN_HAL_CRASH_H
#define TOCSIN_HAL_CRASH_H

#include "hal/board.h"

#include <stdbool.h>
#include <stdint.h>

/* Reads the record of the run before and opens one for this run; called once, by board.init. */
void crash_boot(void);
enum reset_cause crash_cause(void);
const char *crash_detail(void);

/* What the next boot is told: called by board.reset before it pulls the line. */
void crash_mark(enum reset_cause why);

/* Opens the report of a fault. False: a fault within the report; nothing is left but to reset. */
bool crash_begin(void);

/* To the console only. */
void crash_print(const char *text);
void crash_print_register(const char *name, uint32_t value);

/* To the console and into the record, as far as it has room. */
void crash_note(const char *text);
void crash_note_register(const char *name, uint32_t value);

#endif
