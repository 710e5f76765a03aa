/* trial.h - a configuration that was committed on the device and is tried before it is kept.
 *
 *     trial_init(&app)       before anything is done with the configuration: marks the start
 *     trial_start(&app)      begins one, or tells that the last one failed
 *     trial_accepted(&app)   a mail was accepted: that confirms it
 *     trial_polled(&app)     the mailbox was read: what was ordered by mail waits for that before
 *                            it sends one, so that no order closes the way for the next
 *     trial_poll(&app)       `confirm_timeout` is over: takes it back, and resets
 *
 * The marks in flash (slots.h) do the rest: a reset in between takes it back as well. What is told
 * of a configuration that came by mail is the answer to that mail (remote.h): of a trial that goes
 * well, the mail that confirms it, and if another mail did that first, one that survives a reset.
 */
#ifndef TOCSIN_FIRMWARE_TRIAL_H
#define TOCSIN_FIRMWARE_TRIAL_H

#include <stdbool.h>
#include <stdint.h>

struct app;

struct trial {
    uint64_t deadline_ms; /* 0: there is none. */
    bool unmarked;        /* Flash could not record the start. */
    bool awaits_mailbox;  /* The mailbox is to be read before anything confirms it. */
    bool ordered;         /* By mail: number names the mail that answers it. */
    uint32_t number;
};

void trial_init(struct app *app);
void trial_start(struct app *app);
void trial_accepted(struct app *app);
void trial_polled(struct app *app);
void trial_poll(struct app *app);

#endif
