/* mailbox_state.h - what a session works in; private to mailbox.c. Part of mailbox.h. */
#ifndef TOCSIN_FIRMWARE_MAILBOX_STATE_H
#define TOCSIN_FIRMWARE_MAILBOX_STATE_H

#include <stdbool.h>
#include <stdint.h>

#define MAILBOX_FOUND_MAX 28

struct mailbox {
    uint8_t phase;       /* enum, in mailbox.c. */
    uint8_t found_count; /* From the start of `found`: new ones. */
    uint8_t gone_count;  /* From its end: names of what is no longer there. */
    uint8_t index;
    uint8_t failures; /* Of MAILBOX_ASK, in a row. */
    bool asked;       /* The message in hand is to be looked at. */
    bool compared;    /* All ids were compared, or given up, in this session. */
    bool waits;       /* Something is to be looked at again. */
    bool inside_now;  /* All ids: `position` has passed by, `last` has not been told from it. */
    bool told_apart;  /* The difference is known. */
    bool tail_seen;   /* There is something behind `last`. */
    struct mailbox_memory *memory;
    uint32_t solved[2]; /* Bit i: cell i holds one message and is told. */
    uint32_t count;     /* As STAT told. */
    uint32_t unix_s;
    uint32_t number;       /* Of the message in hand. */
    uint32_t hand_octets;  /* Its size. */
    uint32_t next;         /* The next one behind the last one known. */
    uint32_t first_number; /* Of `position`, while all ids pass by; */
    uint32_t inside;       /* how many there are from it to `last`; */
    uint32_t top_number;   /* the highest one. */
    uint32_t deleted, looked, left;
    uint64_t octets;         /* As STAT told. */
    uint64_t deleted_octets; /* Of these: what goes with QUIT. */
    uint64_t name;           /* Of the message in hand, when asked. */
    uint64_t top;            /* While all ids pass by: name of the one with the highest number. */
    uint64_t found[MAILBOX_FOUND_MAX]; /* Names, then numbers, of what is to be looked at. */
};

#endif
