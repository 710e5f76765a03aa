/* Days of a device's life on a network that fails, in seconds.
 *
 * This is firmware/main.c itself, with lwIP, on a simulated board: flash (nor.h), Ethernet and the
 * servers behind it (lan.h, smtpd.h). Each boot is a child process, since a main file and lwIP have
 * state at file scope; the world around the device lives in shared memory. A seed decides what goes
 * wrong and when. The promise: every alert that the device took arrives; one that arrives twice has
 * the same Message-ID; when the network is well again, the queue is empty within LATE_MS_MAX.
 *
 * A life that fails prints its number: `DAYS=n build/host/tests/test_days` is that one alone;
 * DAYS_VERBOSE=1 shows the console and what goes wrong when.
 */
#include "tests/sim/child.h"
#include "tests/sim/lan.h"
#include "tests/sim/nor.h"
#include "tests/sim/smtpd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Its optimizer's attributes are GCC's alone. */
#pragma GCC diagnostic ignored "-Wattributes"
int device_main(void);
#define main device_main
#define sleep device_sleep
#include "firmware/main.c" /* NOLINT(bugprone-suspicious-include) */
#undef main
#undef sleep

#define BLOCK 4096u
#define HOUR_MS 3600000u
#define ALERTS_MAX 1500
#define IDS_MAX 12 /* Copies of one datagram that the network made, and their Message-IDs. */
#define TROUBLES_MAX 160
#define CHILD_SECONDS_MAX 120
#define WELL_MS (40 * 60 * 1000u)
#define LATE_MS_MAX (20 * 60 * 1000u)
#define FRESH_MS_MAX 30000u /* For an alert in a network that has long been well. */
#define NOBODY UINT32_MAX

/* What a child ends with, beside sim_expect()'s 1. */
enum { LIFE_OVER = 0, POWER_CUT = 2, REBOOTED = 3 };

#define CONFIG                                                                          \
    "to = a@example.test\nmailhub = " LAN_NAME ":25\ntls = off\n"                       \
    "hostname = router1.example.test\nfrom = router1@example.test\nsntp = 192.0.2.10\n" \
    "retry_min = 10\nretry_max = 5m\nexpire = 30d\n"
#define CONFIG_DNS "dns = 192.0.2.2\n"
#define CONFIG_EACH "repeat_window = off\nalerts_per_hour = off\n"
/* Repetitions are counted, and all but a few alerts an hour become lines of digests. */
#define CONFIG_STORMS "repeat_window = 2m\nalerts_per_hour = 2\ndigest_delay = 5m\n"

enum trouble {
    CABLE,    /* Out. */
    FLAPPING, /* Out and in again every few seconds. */
    UPLINK,   /* The router reaches nothing. */
    DEAF,     /* Nothing reaches the server, or comes from it. */
    REFUSING, /* It refuses connections. */
    DNS,      /* One of the ways to be wrong, or slow. */
    DHCP_GONE,
    DHCP_NAK,
    SNTP_GONE,
    LOSSY,     /* Frames are lost, doubled, late, damaged, cut. */
    DRIPPING,  /* The server's bytes come one a second. */
    RESETTING, /* It resets connections at any byte. */
    FORGETFUL, /* It forgets them. */
    SHUT,      /* It takes nothing. */
    BUSY,      /* Its replies are 4xx. */
    MOVED,     /* Other addresses. */
    ROUTER,    /* Another MAC address; at its beginning. */
    RESTART,   /* The server restarts; at its beginning. */
    TROUBLE_KINDS
};

struct episode {
    enum trouble kind;
    uint32_t detail;
    uint64_t begin_ms, end_ms;
};

struct ledger {
    uint16_t taken;   /* Times that the device took it. */
    uint16_t perhaps; /* Times that power was cut while it did. */
    uint16_t arrivals;
    uint16_t id_count;
    uint32_t ids[IDS_MAX]; /* Hashes of Message-IDs. */
    uint64_t taken_ms, arrived_ms;
    uint64_t late_ms; /* When it was too late, although all had been well for long; 0: never. */
};

static struct world {
    uint64_t now_ms; /* Since the life began; the device's own time begins at boot_ms. */
    uint64_t boot_ms, cut_ms, well_ms, end_ms, next_ms, next_alert_ms;
    uint64_t quiet_ms; /* Since when nothing has been the matter; 0: something is. */
    uint32_t seed, random;
    uint32_t usual_faults; /* Of the frames, in bad times. */
    bool has_rtc, verbose;
    bool storms; /* Alerts may be counted, and come in digests. */
    struct nor nor;
    struct lan lan;
    struct sim_smtpd smtpd;
    struct episode episodes[TROUBLES_MAX];
    unsigned episode_count;
    bool on[TROUBLE_KINDS];
    struct ledger alerts[ALERTS_MAX];
    uint32_t alert_count;
    uint32_t in_hand;     /* The alert in the frame that the device has, or NOBODY. */
    uint32_t taken_known; /* app.syslog.taken, as last seen. */
    unsigned boots, cuts, cuts_in_flash;
    unsigned lines; /* Of digests, beyond their first. */
    uint64_t turns;
} * world;

/* Over all lives. */
static struct {
    unsigned lives, boots, cuts, cuts_in_flash, taken, arrivals, doubled, lines, mails, connections;
    uint64_t simulated_ms, late_ms, frames, lost, turns;
} totals;

static uint32_t dice(uint32_t n)
{
    return sim_dice(&world->random, n);
}

/* --- The board --- */

static uint64_t millis(void)
{
    return world->now_ms - world->boot_ms + 1;
}

static uint32_t ticks(void)
{
    return (uint32_t)world->now_ms * 1009 + world->boots;
}

static int console_getc(void)
{
    return -1;
}

static void console_write(const char *text, size_t size)
{
    if (world->verbose) {
        fwrite(text, 1, size, stdout);
    }
}

static void power_off(bool in_flash)
{
    if (world->in_hand != NOBODY) {
        world->alerts[world->in_hand].perhaps++;
    }
    world->cuts++;
    world->cuts_in_flash += in_flash ? 1 : 0;
    sim_child_end(POWER_CUT);
}

static int flash_read(const struct flash *flash, uint32_t address, void *out, size_t size)
{
    (void)flash;
    return world->nor.flash.read(&world->nor.flash, address, out, size);
}

static int flash_program_now(const struct flash *flash, uint32_t address, const void *data,
                             size_t size)
{
    int error = world->nor.flash.program(&world->nor.flash, address, data, size);

    (void)flash;
    if (world->nor.off) {
        power_off(true);
    }
    return error;
}

static int flash_erase(const struct flash *flash, uint32_t address)
{
    int error = world->nor.flash.erase(&world->nor.flash, address);

    (void)flash;
    if (world->nor.off) {
        power_off(true);
    }
    return error;
}

static const struct flash shape = {
    .size_bytes = 88 * BLOCK,
    .erase_bytes = BLOCK,
    .page_bytes = 256,
    .program_bytes = 1,
    .erased = 0xFF,
    .config_base = 0,
    .config_bytes = 8 * BLOCK,
    .log_base = 8 * BLOCK,
    .log_bytes = 80 * BLOCK,
    .read = flash_read,
    .program = flash_program_now,
    .erase = flash_erase,
};

static int rtc_read(uint64_t *unix_s)
{
    *unix_s = LAN_UNIX_S + world->now_ms / 1000;
    return world->has_rtc ? 0 : E_MISSING;
}

static enum reset_cause reset_cause(void)
{
    return RESET_POWER_ON;
}

static const char *reset_detail(void)
{
    return "";
}

static void __attribute__((noreturn)) reset(enum reset_cause why)
{
    (void)why;
    sim_child_end(REBOOTED);
}

static size_t stack_figure(void)
{
    return 4000;
}

void __attribute__((noreturn)) board_panic(const char *what, const char *file, int line)
{
    fprintf(stderr, "panic: %s %s %d\n", what, file, line);
    sim_child_end(1);
}

/* Whether the frame that the device has worked on held an alert, and it was taken. */
static void settle(void)
{
    if (world->in_hand != NOBODY && app.syslog.taken != world->taken_known) {
        struct ledger *alert = &world->alerts[world->in_hand];

        alert->taken++;
        alert->taken_ms = alert->taken == 1 ? world->now_ms : alert->taken_ms;
    }
    world->taken_known = app.syslog.taken;
    world->in_hand = NOBODY;
}

/* The number behind "alarm " in bytes; NOBODY: none. */
static uint32_t alarm_number(const char *bytes, size_t size)
{
    for (size_t i = 0; i + 11 <= size; i++) {
        if (memcmp(bytes + i, "alarm ", 6) == 0) {
            char *end;
            uint32_t number = (uint32_t)strtoul(bytes + i + 6, &end, 10);

            return end == bytes + i + 11 && number < world->alert_count ? number : NOBODY;
        }
    }
    return NOBODY;
}

static int nic_init(const struct nic *nic, uint8_t mac[6])
{
    (void)nic;
    return world->lan.ether.nic.init(&world->lan.ether.nic, mac);
}

static bool nic_link_up(const struct nic *nic)
{
    (void)nic;
    return world->lan.ether.cable;
}

static int nic_send(const struct nic *nic, const struct nic_fragment *fragments, size_t count)
{
    (void)nic;
    return world->lan.ether.nic.send(&world->lan.ether.nic, fragments, count);
}

static const uint8_t *nic_rx_buf(const struct nic *nic, size_t *size)
{
    (void)nic;
    settle();
    return world->lan.ether.nic.rx_buf(&world->lan.ether.nic, size);
}

static void nic_rx_ack(const struct nic *nic)
{
    size_t size;
    const uint8_t *frame = world->lan.ether.nic.rx_buf(&world->lan.ether.nic, &size);

    (void)nic;
    world->in_hand = alarm_number((const char *)frame, size);
    world->lan.ether.nic.rx_ack(&world->lan.ether.nic);
}

static void nic_stats(const struct nic *nic, struct nic_stats *stats)
{
    (void)nic;
    world->lan.ether.nic.stats(&world->lan.ether.nic, stats);
}

static const struct nic nic = {
    .init = nic_init,
    .link_up = nic_link_up,
    .send = nic_send,
    .rx_buf = nic_rx_buf,
    .rx_ack = nic_rx_ack,
    .stats = nic_stats,
};

static void nothing(void)
{
}

static void idle(uint32_t ms_max);

const struct board board = {
    .name = "sim",
    .cpu = "none",
    .init = nothing,
    .millis = millis,
    .ticks = ticks,
    .idle = idle,
    .console_getc = console_getc,
    .console_write = console_write,
    .flash = &shape,
    .nic = &nic,
    .rtc_read = rtc_read,
    .reset_cause = reset_cause,
    .reset_detail = reset_detail,
    .reset = reset,
    .stack_used_max = stack_figure,
    .stack_bytes = stack_figure,
};

/* --- Alerts in, mails out --- */

static void send_alert(void)
{
    char text[512];
    uint32_t number = world->alert_count;
    int size;

    if (number == ALERTS_MAX) {
        return;
    }
    size = snprintf(text, sizeof text, "<%u>Jan 15 08:00:00 gate door[7]: alarm %05u ",
                    (unsigned)(24 + dice(6)), (unsigned)number);
    /* A digest shall fit in struct sim_mail. */
    for (uint32_t more = dice(4) == 0 && !world->storms ? dice(400) : dice(40); more > 0; more--) {
        text[size++] = more % 7 == 0 ? ' ' : (char)('a' + dice(26));
    }
    if (lan_datagram(&world->lan, 514, text, (size_t)size)) {
        world->alert_count++;
    }
}

static uint32_t hash(const char *text, size_t size)
{
    uint32_t value = 2166136261u; /* FNV-1a */

    for (size_t i = 0; i < size; i++) {
        value = (value ^ (uint8_t)text[i]) * 16777619u;
    }
    return value;
}

static void note_id(struct ledger *alert, uint32_t id)
{
    unsigned i = 0;

    while (i < alert->id_count && alert->ids[i] != id) {
        i++;
    }
    if (i == alert->id_count && i < IDS_MAX) {
        alert->ids[alert->id_count++] = id;
    }
}

static void mail_taken(void *context, const struct sim_mail *mail)
{
    const char *id = strstr(mail->bytes, "\nMessage-ID: <");
    const char *at = mail->bytes;
    uint32_t last = NOBODY;

    (void)context;
    if (id == NULL) {
        world->smtpd.violation = "a mail without Message-ID";
        return;
    }
    if (strstr(mail->bytes, "damaged in the device's flash") != NULL) {
        return; /* One that power was cut in the middle of. */
    }
    while ((at = strstr(at, "alarm ")) != NULL) { /* Digests tell of several. */
        uint32_t number = alarm_number(at, strlen(at));

        if (number != NOBODY && number != last) {
            world->alerts[number].arrivals++;
            world->alerts[number].arrived_ms = world->now_ms;
            note_id(&world->alerts[number], hash(id, strcspn(id + 1, "\n") + 1));
            world->lines += last != NOBODY ? 1 : 0;
            last = number;
        }
        at++;
    }
}

/* --- What goes wrong --- */

static void redraw_manners(void)
{
    struct sim_tcp_manners *manners = &world->lan.manners;

    *manners = (struct sim_tcp_manners){.mss = dice(4) == 0 ? 100 : SIM_TCP_MSS_MAX,
                                        .window = SIM_TCP_BUFFER,
                                        .overlap = dice(3) == 0,
                                        .reset_rx = SIM_TCP_NEVER,
                                        .reset_tx = SIM_TCP_NEVER,
                                        .vanish_rx = SIM_TCP_NEVER};
    if (world->on[DRIPPING]) {
        manners->drip_ms = 1000;
    }
    if (world->on[SHUT]) {
        manners->window = dice(2) == 0 ? 0 : (uint16_t)dice(200);
    }
    if (world->on[RESETTING]) {
        manners->reset_rx = dice(2) == 0 ? dice(2500) : SIM_TCP_NEVER;
        manners->reset_tx = dice(2) == 0 ? dice(500) : SIM_TCP_NEVER;
    }
    if (world->on[FORGETFUL]) {
        manners->vanish_rx = dice(2500);
    }
}

static void dialogue_begins(void *context, struct sim_server *server, struct sim_tcp *tcp)
{
    static const struct {
        const char *prefix, *reply;
    } busy[] = {
        {"(open)", "421 4.3.2 closed for now"},
        {"EHLO", "421 4.3.2 not now"},
        {"MAIL", "451 4.3.0 later"},
        {"RCPT", "450 4.2.0 greylisted"},
        {"DATA", "452 4.3.1 no room"},
        {".", "451 4.3.0 later"},
        {"RSET", "421 4.3.2 going down"},
        {".", "421 4.3.2 going down"},
    };

    (void)context;
    (void)tcp;
    if (world->on[BUSY]) {
        size_t i = dice(sizeof busy / sizeof busy[0]);

        sim_server_answer(server, busy[i].prefix, busy[i].reply, 1 + dice(3));
    }
    redraw_manners(); /* For the next one. */
}

static void episode_begins(const struct episode *episode)
{
    if (episode->kind == ROUTER) {
        lan_new_router(&world->lan, episode->detail % 2 == 0);
    } else if (episode->kind == RESTART) {
        lan_restart(&world->lan, episode->detail % 2 == 0);
    }
}

/* Nothing has been the matter, with the network or with the power, for so long: whatever was taken
 * at its beginning must have arrived. */
static void look_for_late(void)
{
    uint64_t since_ms = world->quiet_ms > world->boot_ms ? world->quiet_ms : world->boot_ms;

    if (world->quiet_ms == 0 || world->now_ms < since_ms + LATE_MS_MAX) {
        return;
    }
    for (uint32_t i = 0; i < world->alert_count; i++) {
        struct ledger *alert = &world->alerts[i];

        if (alert->taken > 0 && alert->arrivals == 0 && alert->late_ms == 0 &&
            alert->taken_ms + LATE_MS_MAX < world->now_ms) {
            alert->late_ms = world->now_ms;
        }
    }
}

/* Five rates out of one number; 0: none. */
static struct ether_faults faults_of(uint32_t number)
{
    struct ether_faults faults = {
        .lost = (uint16_t)(number % 256),
        .doubled = (uint16_t)((number >> 8) % 256),
        .late = (uint16_t)((number >> 16) % 256),
        .damaged = (uint16_t)((number >> 24) % 64),
        .cut = (uint16_t)((number >> 28) % 16),
        .late_ms_max = 400,
    };

    return faults;
}

/* The state of things at this moment, and when it will change. */
static void world_settle(void)
{
    struct lan *lan = &world->lan;
    uint32_t detail[TROUBLE_KINDS] = {0};
    bool flapping;
    bool quiet = true;

    look_for_late();
    memset(world->on, 0, sizeof world->on);
    world->next_ms = UINT64_MAX;
    for (unsigned i = 0; i < world->episode_count; i++) {
        const struct episode *episode = &world->episodes[i];

        if (world->now_ms < episode->begin_ms) {
            world->next_ms =
                episode->begin_ms < world->next_ms ? episode->begin_ms : world->next_ms;
        } else if (world->now_ms < episode->end_ms) {
            world->on[episode->kind] = true;
            quiet = false;
            detail[episode->kind] = episode->detail;
            world->next_ms = episode->end_ms < world->next_ms ? episode->end_ms : world->next_ms;
        }
        if (episode->begin_ms == world->now_ms) {
            episode_begins(episode);
        }
    }
    world->quiet_ms = !quiet ? 0 : world->quiet_ms != 0 ? world->quiet_ms : world->now_ms;
    flapping = world->on[FLAPPING] && world->now_ms / (1000 + detail[FLAPPING] % 20000) % 2 != 0;
    if (world->now_ms < world->well_ms && world->well_ms < world->next_ms) {
        world->next_ms = world->well_ms;
    }
    if (world->on[FLAPPING] && world->next_ms > world->now_ms + 500) {
        world->next_ms = world->now_ms + 500;
    }
    lan->ether.cable = !world->on[CABLE] && !flapping;
    lan->uplink = !world->on[UPLINK];
    lan->mail_deaf = world->on[DEAF];
    lan->mail_refuses = world->on[REFUSING];
    lan->dns = world->on[DNS] ? (enum lan_dns)(detail[DNS] % LAN_DNS_KINDS) : LAN_DNS_OK;
    lan->dns_after_ms = world->on[DNS] && detail[DNS] % 5 == 0 ? detail[DNS] % 7000 : 0;
    lan->dhcp = world->on[DHCP_GONE]  ? LAN_DHCP_AWAY
                : world->on[DHCP_NAK] ? LAN_DHCP_NAK
                                      : LAN_DHCP_OK;
    lan->sntp = world->on[SNTP_GONE] ? LAN_SNTP_AWAY : LAN_SNTP_OK;
    lan->moved = world->on[MOVED] ? LAN_OTHER_NET : 0;
    lan->ether.faults = faults_of(world->on[LOSSY]                 ? detail[LOSSY]
                                  : world->now_ms < world->well_ms ? world->usual_faults
                                                                   : 0);
    redraw_manners();
}

static void plan_life(uint32_t seed)
{
    uint32_t days = 1 + dice(3);

    world->well_ms = (uint64_t)days * 24 * HOUR_MS;
    world->end_ms = world->well_ms + WELL_MS;
    world->episode_count = days * (8 + dice(30));
    for (unsigned i = 0; i < world->episode_count; i++) {
        struct episode *episode = &world->episodes[i];
        uint32_t length_ms = dice(20000u << dice(11)); /* Up to 11 hours, most far shorter. */

        episode->kind = (enum trouble)dice(TROUBLE_KINDS);
        episode->detail = dice(UINT32_MAX);
        episode->begin_ms = 1 + dice((uint32_t)world->well_ms - 2);
        episode->end_ms = episode->begin_ms + 1 + length_ms;
        if (i < 2) { /* The end of bad times shall be the end of something. */
            episode->begin_ms = world->well_ms - 1 - dice(4 * HOUR_MS);
            episode->end_ms = world->well_ms;
        } else if (episode->end_ms > world->well_ms) {
            episode->end_ms = world->well_ms;
        }
    }
    world->has_rtc = seed % 2 == 0;
    world->usual_faults = dice(2) == 0 ? 0 : dice(UINT32_MAX) & 0x1F3F3F3F; /* Up to 6%. */
    world->lan.lease_s = 600 + dice(3000) / 10;
    world->lan.ether.delay_ms = (uint16_t)(1 + dice(30));
    world->next_alert_ms = 5000;
}

/* Alerts come one by one, and at times in a burst; at the end, when all is well, a last one. */
static void world_alert(void)
{
    uint32_t burst = dice(12) == 0 ? 1 + dice(12) : 1;

    for (; burst > 0; burst--) {
        send_alert();
    }
    world->next_alert_ms = world->now_ms + 1 + dice(dice(3) == 0 ? 60000 : HOUR_MS);
    if (world->now_ms < world->well_ms + LATE_MS_MAX &&
        world->next_alert_ms > world->well_ms + LATE_MS_MAX) {
        world->next_alert_ms = world->well_ms + LATE_MS_MAX + 60000;
    } else if (world->now_ms > world->well_ms + LATE_MS_MAX) {
        world->next_alert_ms = UINT64_MAX;
    }
}

static void world_step(void)
{
    if (world->now_ms >= world->next_ms) {
        world_settle();
    }
    if (world->now_ms >= world->next_alert_ms) {
        world_alert();
    }
    lan_poll(&world->lan);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void advance(uint64_t until_ms)
{
    uint64_t next_ms = least(least(until_ms, lan_next_ms(&world->lan)),
                             least(world->next_ms, world->next_alert_ms));

    world->now_ms = next_ms > world->now_ms ? next_ms : world->now_ms + 1;
}

static void life_over(void);

/* The device sleeps until a frame arrives, or for so long. */
static void idle(uint32_t ms_max)
{
    uint64_t until_ms = world->now_ms + (ms_max > 0 ? ms_max : 1);

    settle();
    world->turns++;
    do {
        world_step();
        if (world->lan.ether.ring_count > 0) {
            return;
        }
        advance(until_ms);
        if (world->now_ms >= world->end_ms) {
            life_over();
        }
        if (world->now_ms >= world->cut_ms) {
            if (dice(2) == 0 || world->cut_ms == UINT64_MAX) {
                power_off(false);
            }
            world->cut_ms = UINT64_MAX; /* Within one of the next operations on the flash. */
            nor_cut_in(&world->nor, 1 + dice(12), (enum nor_cut)dice(NOR_CUT_KINDS));
        }
    } while (world->now_ms < until_ms);
}

/* --- A life --- */

static void life_over(void)
{
    sim_expect(world->nor.violation == NULL);
    sim_expect(world->smtpd.violation == NULL);
    if (app.queue.count != 0) {
        struct queue_item item;

        fprintf(stderr, "still queued: %u; last error: %s\n", app.queue.count,
                app.sender.last_error);
        for (unsigned i = 0; queue_item(&app.queue, i, &item); i++) {
            fprintf(stderr,
                    "alert %u of boot %u: event %u, attempts %u, code %u, due in %lld ms%s%s\n",
                    (unsigned)item.sequence, (unsigned)item.boot_count, item.event, item.attempts,
                    item.code, (long long)(item.due_ms - millis()), item.refused ? ", refused" : "",
                    item.folded ? ", folded" : "");
        }
    }
    sim_expect(app.queue.count == 0);
    sim_child_end(LIFE_OVER);
}

static int boot(void *context)
{
    (void)context;
    return device_main();
}

static void share(void *pointer, size_t size)
{
    void **place = pointer;
    void *memory = sim_child_shared(size);

    memcpy(memory, *place, size);
    free(*place);
    *place = memory;
}

static void make_flash(const char *config)
{
    static const uint8_t id[JOURNAL_DEVICE_ID_BYTES] = {0xC0, 0xFF, 0xEE, 4, 5, 6, 7, 8};
    static const uint8_t seed[JOURNAL_SEED_BYTES] = {1, 2, 3};
    struct nor *nor = &world->nor;
    struct slots slots;
    struct journal journal;

    nor_init(nor, &shape, world->seed);
    share(&nor->bytes, shape.size_bytes);
    share(&nor->seen, shape.size_bytes);
    share(&nor->used, shape.size_bytes / shape.program_bytes);
    share(&nor->flicker, shape.size_bytes);
    share(&nor->erases, shape.size_bytes / shape.erase_bytes * sizeof nor->erases[0]);
    slots_mount(&slots, &nor->flash);
    journal_mount(&journal, &nor->flash, NULL);
    assert_int_equal(journal_seed_create(&journal, id, seed), 0);
    assert_int_equal(slots_write(&slots, config, strlen(config)), 0);
}

/* The time without power: the world goes on. */
static void darkness(uint64_t ms)
{
    uint64_t until_ms = least(world->now_ms + ms, world->well_ms);

    world->in_hand = NOBODY;
    while (world->now_ms < until_ms) {
        world_step();
        ether_reset(&world->lan.ether);
        advance(until_ms);
    }
    nor_power(&world->nor);
    world->boots++;
    world->boot_ms = world->now_ms;
    world->taken_known = 0;
    world->cut_ms = world->now_ms + dice(HOUR_MS << dice(5));
    if (world->cut_ms >= world->well_ms) {
        world->cut_ms = UINT64_MAX;
    }
}

static void world_begin(uint32_t seed)
{
    memset(world, 0, sizeof *world);
    world->seed = seed;
    world->random = (seed * 2654435761u) | 1;
    world->verbose = getenv("DAYS_VERBOSE") != NULL;
    world->in_hand = NOBODY;
    lan_init(&world->lan, &world->now_ms, seed);
    sim_smtpd_init(&world->smtpd, &world->now_ms);
    world->smtpd.begins = dialogue_begins;
    world->smtpd.taken = mail_taken;
    world->lan.service = sim_smtpd_service;
    world->lan.context = &world->smtpd;
    plan_life(seed);
    world->storms = seed % 4 == 3;
    make_flash(world->storms  ? CONFIG CONFIG_STORMS
               : dice(2) == 0 ? CONFIG CONFIG_EACH
                              : CONFIG CONFIG_EACH CONFIG_DNS);
    world_settle();
}

/* What the ledger says. Returns the number of alerts about which the promise was broken. */
static unsigned audit(void)
{
    unsigned broken = 0;

    for (uint32_t i = 0; i < world->alert_count; i++) {
        const struct ledger *alert = &world->alerts[i];
        const char *what = NULL;

        if (alert->late_ms != 0) {
            what = "was late";
        } else if (alert->taken > 0 && alert->arrivals == 0) {
            what = "never arrived";
        } else if (!world->storms && alert->id_count > alert->taken + alert->perhaps) {
            what = "arrived with more than one Message-ID";
        } else if (!world->storms && alert->id_count < alert->taken) {
            what = "was taken more often than it arrived";
        } else if (!world->storms && alert->taken_ms > world->well_ms + LATE_MS_MAX &&
                   alert->arrived_ms - alert->taken_ms > FRESH_MS_MAX) {
            what = "was late although all was well";
        } else if (alert->taken > 0 && alert->taken_ms <= world->well_ms &&
                   alert->arrived_ms > world->well_ms + LATE_MS_MAX) {
            what = "was late at the end";
        }
        if (what != NULL) {
            broken++;
            printf("alert %u, taken %u (perhaps %u) at %llu s: %s; arrived %u times, %u ids, last "
                   "%llu s\n",
                   (unsigned)i, alert->taken, alert->perhaps,
                   (unsigned long long)alert->taken_ms / 1000, what, alert->arrivals,
                   alert->id_count, (unsigned long long)alert->arrived_ms / 1000);
        }
        if (alert->taken > 0 && alert->arrived_ms > world->well_ms &&
            alert->taken_ms <= world->well_ms &&
            alert->arrived_ms - world->well_ms > totals.late_ms) {
            totals.late_ms = alert->arrived_ms - world->well_ms;
        }
        totals.taken += alert->taken;
        totals.arrivals += alert->arrivals;
        totals.doubled += (unsigned)(alert->arrivals - alert->id_count);
    }
    return broken;
}

static void count_life(void)
{
    totals.lives++;
    totals.boots += world->boots;
    totals.cuts += world->cuts;
    totals.cuts_in_flash += world->cuts_in_flash;
    totals.mails += world->smtpd.mails;
    totals.lines += world->lines;
    totals.connections += world->lan.connections;
    totals.simulated_ms += world->now_ms;
    totals.frames += world->lan.ether.sent[0] + world->lan.ether.sent[1];
    totals.lost += world->lan.ether.lost;
    totals.turns += world->turns;
}

static bool live(uint32_t seed)
{
    int result;

    world_begin(seed);
    do {
        darkness(world->boots == 0 ? 1 : 1 + dice(1000u << dice(12)));
        result = sim_child(boot, NULL, CHILD_SECONDS_MAX);
    } while (result == POWER_CUT || result == REBOOTED);
    count_life();
    if (result != LIFE_OVER || audit() > 0) {
        printf("life %u, result %d after %llu s; again: DAYS=%u build/host/tests/test_days\n",
               (unsigned)seed, result, (unsigned long long)world->now_ms / 1000, (unsigned)seed);
        return false;
    }
    return true;
}

static unsigned number_from(const char *name, unsigned usual)
{
    const char *text = getenv(name);

    return text != NULL ? (unsigned)strtoul(text, NULL, 10) : usual;
}

static void test_lives(void **state)
{
    uint32_t first = number_from("DAYS", 1);
    uint32_t count = getenv("DAYS") != NULL ? 1 : number_from("DAYS_COUNT", 10);
    unsigned failed = 0;

    (void)state;
    world = sim_child_shared(sizeof *world);
    for (uint32_t seed = first; seed < first + count; seed++) {
        failed += live(seed) ? 0 : 1;
    }
    printf("%u lives from seed %u, %llu hours: %u alerts taken, %u arrivals, %u of them once more "
           "with the same Message-ID, %u as lines of digests; %u boots, %u power cuts, %u of them "
           "in flash operations; "
           "%u mails over %u connections\n",
           totals.lives, (unsigned)first, (unsigned long long)totals.simulated_ms / HOUR_MS,
           totals.taken, totals.arrivals, totals.doubled, totals.lines, totals.boots, totals.cuts,
           totals.cuts_in_flash, totals.mails, totals.connections);
    printf("%llu frames, %llu lost; the last alert of bad times came %llu s after they ended\n",
           (unsigned long long)totals.frames, (unsigned long long)totals.lost,
           (unsigned long long)totals.late_ms / 1000);
    assert_int_equal(failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lives)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
