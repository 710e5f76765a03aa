/* device.h - a whole device without hardware: the app on a simulated board, with a simulated clock,
 * flash (nor.h) and mail servers: SMTP (server.h), and POP3 (pop3d.h) on port 110.
 *
 *     sim_device_flash(&device, config, true);    an empty flash with that configuration and a seed
 *     sim_device_boot(&device, RESET_POWER_ON, "");
 *     sim_device_type(&device, "status\r");
 *     sim_device_run(&device, 5000);
 *     strstr(device.screen, ...)
 *     sim_device_end(&device);
 *
 * A board's functions know no context: one device at a time.
 */
#ifndef TOCSIN_TESTS_SIM_DEVICE_H
#define TOCSIN_TESTS_SIM_DEVICE_H

#include "firmware/app.h"
#include "hal/board.h"
#include "tests/sim/nor.h"
#include "tests/sim/pop3d.h"
#include "tests/sim/server.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A link whose far side depends on the port. */
struct sim_switch {
    struct link_base base;
    struct link *far; /* Of the connection in hand. */
};

struct sim_device {
    uint64_t now_ms;
    struct nor nor;
    struct sim_server server;
    struct pop3d pop3d;
    struct sim_switch link; /* To one of the two. */
    struct network_status network;
    struct board board;
    struct app app;
    enum reset_cause cause;
    const char *detail;
    uint64_t rtc_unix_s; /* 0: not set. */
    bool has_rtc;
    const char *keys; /* Still to be typed. */
    char screen[65536];
    size_t screen_size;
    unsigned resets;
    enum reset_cause reset_why;
    bool mortal; /* Power that is lost at a flash operation (nor_cut_in()) stops the device as well:
                  */
    bool dead;   /* what runs returns at once, and nothing but a boot helps. */
    struct flash flash; /* What the device sees of nor. */
    jmp_buf reset;      /* Where board.reset() goes, and where power is lost. */
};

/* New flash. config NULL: none. */
void sim_device_flash(struct sim_device *device, const char *config, bool with_seed);

/* From reset to the prompt, or to the loss of power; the link is up and has an address, the clock
 * is as the RTC says. */
void sim_device_boot(struct sim_device *device, enum reset_cause cause, const char *detail);

/* Runs the main loop for that long, or until the device resets itself. */
void sim_device_run(struct sim_device *device, uint64_t ms);

/* Clears the screen, types keys, and runs for a second. */
void sim_device_type(struct sim_device *device, const char *keys);

void sim_device_end(struct sim_device *device);

#endif
