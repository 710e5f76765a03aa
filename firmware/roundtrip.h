/* roundtrip.h - the proof that mail arrives: the device sends itself one, and looks into its
 * mailbox until it is back. `test --round-trip`, and `self_test = weekly` by itself.
 *
 *     SENDING -> WAITING -> IDLE    accepted by a mail server; back
 *        |          |
 *        +----------+-> IDLE        refused, or too late
 *
 * The mail bears a token in its subject and waits in the queue like an answer (answer.h). A person
 * sees each stage and how long it took, and may end it by ^C. A self test that fails is an alert,
 * which goes by the second mail server if there is one, as is the first one that succeeds again;
 * the first one of all is run at once. A reset ends a round trip; a self test then begins anew.
 * Cost: sizeof(struct roundtrip), under 90 bytes.
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
    bool by_itself;  /* self_test: its failure is an alert; else the console is told. */
    uint32_t number; /* Of its mail in the queue. */
    char token[ROUNDTRIP_TOKEN_BYTES];
    uint64_t began_ms, accepted_ms;
    uint64_t next_ms; /* When to look into the mailbox; while idle, at the schedule. */
    uint32_t polls;
    uint32_t sender_failed, poller_failed; /* Their counts when it began. */
};

/* Begins one. NULL; or why it cannot. */
const char *roundtrip_begin(struct app *app, bool by_itself);

/* The console waits for the end of one. */
bool roundtrip_waits(const struct app *app);

/* A person wants no more of it. */
void roundtrip_stop(struct app *app);

/* The sender's mail `number` was accepted. */
void roundtrip_accepted(struct app *app, uint32_t number);

/* A message's subject was seen in the mailbox. True: it is the one: it can be deleted. */
bool roundtrip_seen(struct app *app, const char *subject);

/* Deadlines, and the schedule. */
void roundtrip_poll(struct app *app);

#endif
