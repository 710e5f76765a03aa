/* device_app.h - the app, hosted: what the daemon (daemon.c) and a command without one (device.c)
 * share. */
#ifndef TOCSIN_BOARDS_LINUX_DEVICE_APP_H
#define TOCSIN_BOARDS_LINUX_DEVICE_APP_H

#include "boards/linux/control.h"
#include "boards/linux/network.h"
#include "boards/linux/settings.h"
#include "boards/linux/trust.h"
#include "firmware/app.h"
#include "net/posix/link_posix.h"

#include <poll.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum device_kind {
    DEVICE_DAEMON, /* All that the app does. */
    DEVICE_SENDS,  /* A command that leads to mail: sends what is due, and nothing else. */
    DEVICE_LOOKS   /* One that does not: no session is begun. */
};

#define DEVICE_FLASH_FILE "device.flash"
#define DEVICE_WHO_MAY \
    "; root may, and others if the program is installed set-group-id with the group of its folder"
#define SEVERITY_OF_LOG 6 /* Information: what is worse becomes an alert, if syslog comes back. */

/* One a process. */
struct device {
    struct settings *settings;
    enum device_kind kind;
    char path[320];           /* Of the flash. */
    char notice[512];         /* What a person should know of the start; "": nothing. */
    char problem[512];        /* Why no mail can be sent; the app borrows it. */
    bool reloads;             /* The start is no news: a person had the configuration read again. */
    uint64_t secrets_ms;      /* When to try again to get the passwords; 0: they are there. */
    int16_t zone_minutes;     /* The zone of the system, as of the last look. */
    int64_t clock_ms;         /* Time of day less uptime, as the app knows it. */
    struct link_ops link_ops; /* The link's own, but for one. */
    size_t (*link_tx)(struct link *link, const uint8_t *bytes, size_t size);
    size_t unread;          /* Bytes that the link had when it was waited for last. */
    volatile int signal_in; /* Where a signal's handler writes its number, */
    int signals;            /* and where it is read. */
    struct trust trust;
    struct network network;
    struct control control;
    struct link_posix link;
    struct app app;
};

extern struct device device;

/* Takes the flash: waits up to wait_ms while another process has it, asking a one-shot process to
 * end. 0, or an exit code after a sentence on standard error. */
MUST_CHECK int device_take(struct settings *settings, enum device_kind kind, uint32_t wait_ms);

/* Brings the configuration into the slot, and the app to life. */
void device_start(enum reset_cause cause);

/* The app is to leave no trace in memory or on the network; the flash stays. The last bytes of a
 * session that is being closed still leave. */
void device_end(void);

/* The clock and the passwords, as far as they have changed. */
void device_follow(void);

/* For struct control. */
bool device_settle(void *context);

/* A line that the app logged, without the time in front of it. */
const char *device_without_time(const char *line);

/* Waits until something can go on: the link, clients, signals, or `more`, whose revents are filled
 * (`count` at most 8). */
void device_wait(struct pollfd *more, size_t count, uint32_t timeout_ms);

/* Signals from here on only wake device_wait(); reads the next one that came, 0: none. */
MUST_CHECK int device_catch_signals(const int *numbers, size_t count);
int device_signal(void);

#endif
