/* commands_config.h - `config ...` on the console: the settings are shown, changed, tried, taken
 * back.
 *
 * What needs the room of the TLS object, or is about to reset the device, waits for the mail that
 * is being sent, and no other one is begun meanwhile. A pasted text goes to flash as it comes and
 * is not shown, for it may hold a password. Call from the main loop only.
 */
#ifndef TOCSIN_FIRMWARE_COMMANDS_CONFIG_H
#define TOCSIN_FIRMWARE_COMMANDS_CONFIG_H

#include "firmware/candidate.h"

#include <stdbool.h>
#include <stdint.h>

struct app;

enum config_action {
    CONFIG_ACTION_NONE,
    CONFIG_ACTION_IMPORT,
    CONFIG_ACTION_TEST,
    CONFIG_ACTION_COMMIT,
    CONFIG_ACTION_REVERT
};

struct commands_config {
    enum config_action action; /* Waits for the sender. */
    uint32_t number;           /* Of `config revert NUMBER`. */
    uint64_t action_ms;        /* Since when. */
    /* A text that is being pasted. */
    uint64_t input_ms; /* When its last byte came. */
    uint16_t lines;
    uint16_t used;   /* Bytes of it in the console's line buffer. */
    bool after_cr;   /* Of its last byte. */
    bool line_start; /* Nothing of the line has come yet, ... */
    bool dot;        /* ... or only a dot. */
    bool aborted;    /* By ^C; what still comes is thrown away. */
    /* An order by mail, which has the candidate for itself (remote.c). */
    struct {
        bool active;
        bool imports;    /* Its text is a whole configuration, */
        bool lines;      /* or lines of settings. */
        bool staged;     /* All of it has come. */
        const char *why; /* It cannot be taken; NULL: it can. */
    } mail;
    struct candidate candidate;
};

void commands_config_init(struct app *app);

/* `config ARGUMENTS`. NULL: ok; "": the answer comes later; otherwise the error. */
const char *commands_config(struct app *app, const char *arguments);

/* The console's bytes are the pasted text's. */
bool commands_config_takes_input(const struct app *app);
void commands_config_input(struct app *app, char c);

/* Nothing is to be read from the console: an answer is still to come. */
bool commands_config_waits(const struct app *app);

/* No session may begin. */
bool commands_config_holds(struct app *app);

void commands_config_poll(struct app *app);

/* An order by mail takes the candidate: what a person had staged, or is pasting, is dropped, which
 * the console says. The end drops what is staged then. */
void commands_config_mail_begin(struct app *app);
void commands_config_mail_end(struct app *app);

/* What an error of slots.h means to a person. */
const char *commands_config_flash_error(int error);

#endif
