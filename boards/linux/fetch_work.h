/* fetch_work.h - what a run of `tocsin poll` remembers of the account in hand: private to
 * fetch*.c. */
#ifndef TOCSIN_BOARDS_LINUX_FETCH_WORK_H
#define TOCSIN_BOARDS_LINUX_FETCH_WORK_H

#include "boards/linux/fetch.h"
#include "boards/linux/fetch_deliver.h"
#include "boards/linux/fetch_file.h"
#include "boards/linux/fetch_header.h"
#include "boards/linux/fetch_seen.h"
#include "boards/linux/trust.h"
#include "net/pop3.h"
#include "net/posix/link_posix.h"
#include "net/random.h"
#include "net/session.h"
#include "net/tls.h"

#define FETCH_ACCOUNT_BYTES 64
#define FETCH_LISTED_MAX 1000000u /* Messages; a longer listing is a server's mistake. */

enum fetch_state {
    FETCH_UNNAMED, /* The server tells no uid: its header is wanted. */
    FETCH_NEW,
    FETCH_ASKED, /* On its way: its header, or all of it. */
    FETCH_BATCH_IN,
    FETCH_HERE, /* Delivered, in this run or before; to be deleted if so configured. */
    FETCH_DELE, /* The server was told to delete it. */
    FETCH_DELETED,
    FETCH_LEFT /* Left on the server: too large, refused, wanted later. */
};

/* A message that something is to be done about. */
struct fetch_item {
    uint32_t number;
    uint32_t uid_at; /* In names; 0: it has none. */
    uint32_t octets; /* As listed, sticks at the type's end; 0: not known. */
    uint8_t state;   /* enum fetch_state */
};

struct fetch_counts {
    uint32_t listed, fresh, fetched, deleted;
    uint32_t too_large, later, refused, nameless; /* Left. */
    uint32_t known;
};

struct fetch_work {
    struct settings *settings;
    const struct fetch_options *options;
    struct maillog *log;
    int state_folder;

    /* The account. */
    char name[FETCH_ACCOUNT_BYTES];
    char identity[FETCH_PATH_BYTES]; /* USER@HOST */
    struct config config;            /* The main one's keys, and the account's own over them. */
    const char *ca;                  /* For trust_open(). */
    struct fetch_seen seen;
    struct fetch_deliver deliver;
    struct fetch_why why; /* What ends the account. */
    struct fetch_counts counts;

    /* Its session. */
    enum {
        FETCH_LOGIN,
        FETCH_UIDL,
        FETCH_SIZES,   /* LIST, also in the place of UIDL. */
        FETCH_HEADERS, /* Of what has no uid. */
        FETCH_WORKS,
        FETCH_QUIT
    } step;
    bool by_header; /* The server has no UIDL at all. */
    bool listed;    /* The listing came to its end. */
    bool leaves;    /* Nothing more is fetched. */
    bool quit_done; /* The server has said goodbye. */
    bool sorted;
    uint32_t waiting; /* Requests that are not answered. */
    uint32_t bodies;  /* Of these, messages. */
    bool filling;     /* More messages are asked for until there are BODIES_MAX. */
    uint64_t drained; /* Bytes that were thrown away. */
    uint64_t now_ms;
    uint64_t reply_ms; /* When the last request was answered. */
    uint64_t reply_bytes;
    uint64_t batch_ms; /* When its first message was whole. */
    struct fetch_item *items;
    uint32_t count, room;
    uint32_t ask_at, dele_at; /* The first that RETR (TOP), and DELE, are not done with. */
    char *names;              /* uids, each ended by NUL; the first is "". */
    uint32_t names_used, names_room;
    struct fetch_header header;

    struct random random;
    struct trust trust;
    struct link_posix posix;
    struct link *link;
    struct pop3 pop3;
    struct pop3_params pop3_params;
    struct tls_params tls_params;
    struct session session;
    struct session_engine engine;
    struct tls tls;
};

/* fetch.c: a sentence about the account, on standard error and in the log. severity as syslog's. */
void fetch_say(struct fetch_work *work, int severity, const char *sentence);

/* fetch_session.c: reads the mailbox; why and counts tell how it went. */
void fetch_session(struct fetch_work *work);

/* fetch_items.c: what is to be done about which message. false: no memory, why is filled. */
bool fetch_items_add(struct fetch_work *work, uint32_t number, const char *uid,
                     enum fetch_state state);
bool fetch_items_name(struct fetch_work *work, struct fetch_item *item, const char *uid);
void fetch_items_sort(struct fetch_work *work);
struct fetch_item *fetch_items_find(struct fetch_work *work, uint32_t number);
void fetch_items_free(struct fetch_work *work);
static inline const char *fetch_uid(const struct fetch_work *work, const struct fetch_item *item)
{
    return work->names + item->uid_at;
}

/* fetch_trace.c: the engine as the session sees it, its dialogue shown if options->verbose. */
void fetch_engine(struct session_engine *engine);
void fetch_trace(struct fetch_work *work, const char *arrow, const char *bytes, size_t size);

#endif
