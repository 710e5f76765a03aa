/* poller_work.h - what a session with the mailbox works in: private to poller.c; here because it
 * lies in the sender's room, of which only one of the two needs anything at a time. */
#ifndef TOCSIN_FIRMWARE_POLLER_WORK_H
#define TOCSIN_FIRMWARE_POLLER_WORK_H

#include "firmware/authority.h"
#include "firmware/mailbox.h"
#include "net/mailed.h"
#include "net/mime.h"
#include "net/pop3.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the header of the message in hand told. */
struct poller_letter {
    uint32_t number;
    uint32_t octets; /* As the server says. */
    bool automatic;  /* Nothing that a machine sent is taken for an order. */
    bool to_device;  /* It has to be read whole. */
    bool round_trip; /* It is the one that is waited for. */
    bool no_top;     /* The server refuses TOP: all of it has to come. */
    bool resumed;    /* The order was taken before a reset. */
    bool failed;     /* A delivery report says: failed; else delayed, delivered, ... */
    uint32_t ours;   /* The alert that a delivery report is about; 0: none of this device's. */
    char message_id[AUTHORITY_ID_BYTES];
    char subject[AUTHORITY_SUBJECT_BYTES];
    char status[12]; /* Of a report: "5.1.1". */
    char from[48];   /* For the log. */
};

struct poller_work {
    struct pop3_params params;
    struct pop3 pop3;
    struct mailbox mailbox;
    struct mailbox_memory memory;
    struct mime mime;
    struct mime_sink sink;
    struct mailed_keys keys; /* Borrowed by mailed. */
    struct mailed mailed;
    struct poller_letter letter;
    char uid[POP3_UID_BYTES]; /* Of the message that mailbox.h asks for. */
    bool has_uidl, has_top;
    bool count_known; /* STAT was answered. */
    uint32_t later;   /* Messages that were looked at and wait. */
    uint8_t pending;  /* Requests of the step in hand that are not answered. */
};

#endif
