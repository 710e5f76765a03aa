/* roundtrip.h - the proof that mail arrives: the device sends itself one, and polls until it is
 * back. `test --round-trip`, and `self_test = weekly` by itself.
 */
#ifndef TOCSIN_FIRMWARE_ROUNDTRIP_H
#define TOCSIN_FIRMWARE_ROUNDTRIP_H

#include <stdbool.h>
#include <stdint.h>

struct app;

#define ROUNDTRIP_TOKEN_BYTES 17 /* 16 hexadecimal digits and NUL. */

enum roundtrip_state { ROUNDTRIP_IDLE, ROUNDTRIP_SENDING, ROUNDTRIP_WAITING };

struct roundtrip {
    enum roundtrip_state state;
    bool by_itself; /* self_test: its failure is an alert; else the console is told. */
    uint32_t number; /* Of its mail in the queue. */
    char token[ROUNDTRIP_TOKEN_BYTES];
    uint64_t began_ms, accepted_ms, retry_ms;
    uint32_t polls;
};

/* Begins one. NULL; or why it cannot. */
const char *roundtrip_begin(struct app *app, bool by_itself);

/* The sender's mail `number` was accepted. */
void roundtrip_accepted(struct app *app, uint32_t number);

/* A message's subject was seen in the mailbox. True: it is the one: it can be deleted. */
bool roundtrip_seen(struct app *app, const char *subject);

/* Deadlines, and the schedule. */
void roundtrip_poll(struct app *app);

#endif
