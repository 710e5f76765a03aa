/* app.h - the device: everything between the sources of alerts and the sender, in one object.
 *
 *     app_init(&app, &platform);   mounts the store, reads the configuration, makes random numbers
 * ready
 *     ... bring up the network with app.config ...
 *     app_start(&app);             the boot alert, the prompt
 *     for (;;) { while (app_poll(&app)) { } platform.board->idle(app_sleep_ms_max(&app)) }
 *
 * It knows the board by hal/board.h and the network by net/link.h and net/network.h, so the same
 * object runs on any board, and in a simulation. Call from the main loop only. Cost: sizeof(struct
 * app).
 */
#ifndef TOCSIN_FIRMWARE_APP_H
#define TOCSIN_FIRMWARE_APP_H

#include "firmware/authority.h"
#include "firmware/commands_config.h"
#include "firmware/config.h"
#include "firmware/console.h"
#include "firmware/diary.h"
#include "firmware/journal.h"
#include "firmware/limits.h"
#include "firmware/log.h"
#include "firmware/policy.h"
#include "firmware/poller.h"
#include "firmware/queue.h"
#include "firmware/report.h"
#include "firmware/roundtrip.h"
#include "firmware/sender.h"
#include "firmware/slots.h"
#include "firmware/trial.h"
#include "hal/board.h"
#include "net/alert.h"
#include "net/link.h"
#include "net/network.h"
#include "net/random.h"
#include "net/text.h"
#include "net/tls.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct platform {
    const struct board *board;
    struct link *link;
    void (*network_status)(struct network_status *status);
    /* A stage of a mail has ended; for measuring. May be NULL. */
    void (*stage)(const struct sender_report *report);
#ifdef TOCSIN_HOSTED
    /* Before the configuration's text is read: what the system knows is a default. */
    void (*defaults)(struct config *config);
    /* After it: secrets and settings that stand elsewhere. */
    void (*settle)(struct config *config);
    /* The anchors to verify a server by; NULL: those in the text. *problem: why there are none. */
    const struct tls_anchors *(*anchors)(const char **problem);
#endif
};

/* Datagrams by their fate. */
struct app_syslog {
    uint32_t received, taken, filtered, malformed;
};

/* What is printed goes to a mail, a line at a time, and not to the console. */
struct app_capture {
    struct text *out; /* NULL: it goes to the console. */
    unsigned skip;    /* Lines still to be left out. */
    bool taken;
};

struct app {
    /* In the first 4 KB, which an instruction reaches, is what is asked for often. */
    struct platform platform;
    bool config_valid;
    const char *network_problem; /* Why there is no network at all; NULL: there is. */
    const char *random_problem;  /* Why there are no random numbers; NULL: there are. */
    const char *tls_problem;     /* Why the certificates cannot be used; NULL: they can. */
    char device_id[2 * JOURNAL_DEVICE_ID_BYTES + 1];

    uint64_t clock_unix_ms; /* What the clock said ... */
    uint64_t clock_set_ms;  /* ... at this uptime. 0 and 0: unknown. */
    const char *clock_source;
    int32_t clock_offset_ms; /* By which the last setting moved it; sticks at the type's ends. */

    bool books_changed;       /* By what no mark tells, */
    uint64_t books_ms;        /* which is not written before this. */
    uint64_t checkpoint_ms;   /* When the books are to be written next. */
    uint64_t report_ms;       /* No report of what was lost before this. */
    uint32_t report_accepted; /* Mails accepted at the last report. */
    bool link_was_up, link_seen, address_said;
    uint64_t link_down_ms;
    uint32_t link_alert; /* Sequence of a link alert still in the queue; 0: none. */
    uint16_t link_flaps;

    enum { TEST_NONE, TEST_WAITING, TEST_RUNNING } test;
    uint32_t test_sequence;
    uint64_t test_began_ms;
    bool test_failed;
    uint64_t reboot_ms; /* 0: none asked for. */
    bool reboot_wanted; /* By mail: when its session has ended. */

    struct trial trial;
    struct roundtrip roundtrip;
    struct report report;
    struct app_syslog syslog;
    struct app_capture capture;
    struct journal journal;
    struct slots slots;
    struct limits limits;
    struct diary diary;
    struct poller poller;
    struct authority authority;
    struct config config;
    struct sender sender;
    struct random random;
    struct console console;
    struct commands_config config_shell;
    struct policy policy;
    struct queue queue;
    struct log log;
    struct tls tls;
#ifdef TOCSIN_HOSTED
    struct candidate_room room;
#endif
};

/* Where a configuration is checked while no session runs; it holds nothing before. With the sizes
 * of a device that is the record buffer. */
#ifdef TOCSIN_HOSTED
#define APP_ROOM(app) (&(app)->room)
#else
#define APP_ROOM(app) tls_lend(&(app)->tls, sizeof(struct candidate_room))
#endif

void app_init(struct app *app, const struct platform *platform);
void app_start(struct app *app);

/* true: there is more to do now. */
bool app_poll(struct app *app);

/* Milliseconds that may be slept if nothing arrives. */
uint32_t app_sleep_ms_max(struct app *app);

/* SNTP or an RTC knows the time. Implausible times (before this firmware was written) are refused.
 */
void app_set_time(struct app *app, uint64_t unix_ms, const char *source);

/* Milliseconds since 1970, 0 while the clock is not known. */
uint64_t app_unix_ms(const struct app *app);

/* One syslog datagram; for stack_udp_listen(). sender in network byte order. */
void app_datagram(void *app, const char *bytes, size_t size, uint32_t sender);

/* Takes alert (severity, facility, source, sender, host, app and text are the caller's) and gives
 * it its number; flash has it when this returns. Returns what becomes of it (policy_take()), or
 * E_SPACE, E_CONFIG (no recipient is configured). */
MUST_CHECK int app_alert(struct app *app, struct alert *alert);

/* A mail that goes before all others, past storms and with what limits keep for critical alerts;
 * it does not survive a reset. Returns as queue_add(). */
MUST_CHECK int app_test_alert(struct app *app, const char *source, const char *app_name,
                              const char *what, uint32_t *sequence);

/* An alert of the device's own, like app_alert(). Returns its number, or an error. */
int app_device_alert(struct app *app, uint8_t severity, const char *app_name, const char *what);

/* Why nothing can be sent now, and the stage that waits; NULL: all is ready. */
const char *app_blocked(struct app *app, enum sender_stage *stage);

/* A line on the console; and in the log, with the time in front. Formats are text_format()'s. */
void app_print(struct app *app, const char *format, ...) __attribute__((format(printf, 2, 3)));
void app_log(struct app *app, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* One line of `test`: a stage, and how long it took. */
void app_stage_line(struct app *app, const char *name, bool ok, uint32_t ms, const char *detail);

/* What an alert has of the device and the moment: boot, times, uptime, domain. */
void app_stamp(struct app *app, struct alert *alert);

/* Line `index` of what a console command prints, its last line `ok` or `error: ...` left out.
 * False: no more. The command is run as a whole for each: only for those that change nothing. */
bool app_capture_line(struct app *app, const char *command, unsigned index, struct text *out);

const char *app_reset_cause(const struct app *app);
const char *app_config_problem(const struct app *app); /* When config_valid is false. */

/* Runs one line that a person typed (firmware/commands.c). */
void app_command(struct app *app, const char *line);

/* The same, for who tells its answer: NULL: ok; "": it is still to come; otherwise the error. */
const char *app_run(struct app *app, const char *line);

/* Prints the answer to a command. NULL: ok; "": it is still to come. */
void app_answer(struct app *app, const char *error);

/* Resets the device in a moment: what is on its way to the console gets out first, and no session
 * begins. */
void app_reboot(struct app *app);

/* Begins `test` (its answer comes later), and tells whether it is still under way. */
void app_test(struct app *app);

#endif
