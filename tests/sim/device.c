#include "tests/sim/device.h"

#include <assert.h>
#include <string.h>

#define BLOCK 4096u
#define STEP_MS_MAX 100 /* Something may arrive while the device sleeps. */
#define MOVES_MAX 50000
#define POP3_PORT 110

static struct sim_device *device_now;

static uint64_t millis(void)
{
    return device_now->now_ms;
}

static uint32_t ticks(void)
{
    return (uint32_t)device_now->now_ms * 1009;
}

static int console_getc(void)
{
    return *device_now->keys != '\0' ? (unsigned char)*device_now->keys++ : -1;
}

static void console_write(const char *text, size_t size)
{
    assert(device_now->screen_size + size < sizeof device_now->screen);
    memcpy(device_now->screen + device_now->screen_size, text, size);
    device_now->screen_size += size;
    device_now->screen[device_now->screen_size] = '\0';
}

static int rtc_read(uint64_t *unix_s)
{
    *unix_s = device_now->rtc_unix_s;
    return *unix_s != 0 ? 0 : E_MISSING;
}

static int rtc_write(uint64_t unix_s)
{
    device_now->rtc_unix_s = unix_s;
    return 0;
}

static enum reset_cause reset_cause(void)
{
    return device_now->cause;
}

static const char *reset_detail(void)
{
    return device_now->detail;
}

static void __attribute__((noreturn)) reset(enum reset_cause why)
{
    device_now->resets++;
    device_now->reset_why = why;
    longjmp(device_now->reset, 1);
}

static int stop_if_off(int error)
{
    if (device_now->nor.off && device_now->mortal) {
        device_now->dead = true;
        longjmp(device_now->reset, 1);
    }
    return error;
}

static int mortal_program(const struct flash *flash, uint32_t address, const void *data,
                          size_t size)
{
    const struct flash *nor = &device_now->nor.flash;

    (void)flash;
    return stop_if_off(nor->program(nor, address, data, size));
}

static int mortal_erase(const struct flash *flash, uint32_t address)
{
    const struct flash *nor = &device_now->nor.flash;

    (void)flash;
    return stop_if_off(nor->erase(nor, address));
}

static size_t stack_figure(void)
{
    return 4000;
}

static void network_status(struct network_status *status)
{
    *status = device_now->network;
}

/* --- The link: one at a time, to the server that the port is of --- */

static struct link *far_of(struct link *link)
{
    return ((struct sim_switch *)(void *)link)->far;
}

static int switch_open(struct link *link, const char *host, uint16_t port)
{
    struct sim_switch *at = (struct sim_switch *)(void *)link;

    at->far =
        port == POP3_PORT ? pop3d_link(&device_now->pop3d) : sim_server_link(&device_now->server);
    return link_open(at->far, host, port);
}

static enum link_state switch_state(struct link *link)
{
    return link_state(far_of(link));
}

static size_t switch_tx(struct link *link, const uint8_t *bytes, size_t size)
{
    return link_tx(far_of(link), bytes, size);
}

static void switch_flush(struct link *link)
{
    link_flush(far_of(link));
}

static size_t switch_unacked(struct link *link)
{
    return link_unacked(far_of(link));
}

static const uint8_t *switch_rx_buf(struct link *link, size_t *size)
{
    return link_rx_buf(far_of(link), size);
}

static void switch_rx_ack(struct link *link, size_t size)
{
    link_rx_ack(far_of(link), size);
}

static void switch_close(struct link *link)
{
    link_close(far_of(link));
}

static void switch_abort(struct link *link)
{
    link_abort(far_of(link));
}

static const char *switch_error_text(struct link *link)
{
    return link_error_text(far_of(link));
}

static const char *switch_peer(struct link *link)
{
    return link_peer(far_of(link));
}

static const struct link_ops switch_ops = {
    .open = switch_open,
    .state = switch_state,
    .tx = switch_tx,
    .flush = switch_flush,
    .unacked = switch_unacked,
    .rx_buf = switch_rx_buf,
    .rx_ack = switch_rx_ack,
    .close = switch_close,
    .abort = switch_abort,
    .error_text = switch_error_text,
    .peer = switch_peer,
};

void sim_device_flash(struct sim_device *device, const char *config, bool with_seed)
{
    static const struct flash shape = {
        .size_bytes = 40 * BLOCK,
        .erase_bytes = BLOCK,
        .page_bytes = 256,
        .program_bytes = 1,
        .erased = 0xFF,
        .config_base = BLOCK,
        .config_bytes = 20 * BLOCK,
        .log_base = 24 * BLOCK,
        .log_bytes = 16 * BLOCK,
    };
    static const uint8_t id[JOURNAL_DEVICE_ID_BYTES] = {0xC0, 0xFF, 0xEE, 4, 5, 6, 7, 8};
    static const uint8_t seed[JOURNAL_SEED_BYTES] = {1, 2, 3};
    struct slots slots;
    struct journal journal;
    int error = 0;

    memset(device, 0, sizeof *device);
    nor_init(&device->nor, &shape, 1);
    slots_mount(&slots, &device->nor.flash);
    journal_mount(&journal, &device->nor.flash, NULL);
    if (with_seed) {
        error = journal_seed_create(&journal, id, seed);
        assert(error == 0);
    }
    if (config != NULL) {
        error = slots_write(&slots, config, strlen(config));
        assert(error == 0);
    }
    (void)error;
    sim_server_init(&device->server, &device->now_ms);
    pop3d_init(&device->pop3d, &device->now_ms);
}

void sim_device_boot(struct sim_device *device, enum reset_cause cause, const char *detail)
{
    struct platform platform = {
        .board = &device->board,
        .link = (struct link *)(void *)&device->link,
        .network_status = network_status,
    };

    device_now = device;
    device->now_ms = 1;
    device->cause = cause;
    device->detail = detail;
    device->keys = "";
    device->network = (struct network_status){.link_up = true, .dhcp = true};
    device->network.address = 0x0900020A; /* 10.2.0.9 on a little-endian computer. */
    device->server.state = LINK_IDLE;
    device->pop3d.state = LINK_IDLE;
    device->link =
        (struct sim_switch){.base = {.ops = &switch_ops}, .far = sim_server_link(&device->server)};
    device->flash = device->nor.flash;
    device->flash.program = mortal_program;
    device->flash.erase = mortal_erase;
    device->dead = false;
    device->board = (struct board){
        .name = "sim",
        .cpu = "none",
        .millis = millis,
        .ticks = ticks,
        .console_getc = console_getc,
        .console_write = console_write,
        .flash = &device->flash,
        .rtc_read = device->has_rtc ? rtc_read : NULL,
        .rtc_write = device->has_rtc ? rtc_write : NULL,
        .reset_cause = reset_cause,
        .reset_detail = reset_detail,
        .reset = reset,
        .stack_used_max = stack_figure,
        .stack_bytes = stack_figure,
    };
    memset(&device->app, 0, sizeof device->app);
    if (setjmp(device->reset) != 0) {
        return;
    }
    app_init(&device->app, &platform);
    app_start(&device->app);
}

static void step(struct sim_device *device, uint64_t end_ms)
{
    unsigned moves = 0;
    uint64_t sleep_ms;

    while (app_poll(&device->app)) {
        moves++;
        assert(moves < MOVES_MAX);
    }
    sleep_ms = app_sleep_ms_max(&device->app);
    assert(sleep_ms > 0);
    sleep_ms = sleep_ms < STEP_MS_MAX ? sleep_ms : STEP_MS_MAX;
    device->now_ms += sleep_ms < end_ms - device->now_ms ? sleep_ms : end_ms - device->now_ms;
}

void sim_device_run(struct sim_device *device, uint64_t ms)
{
    uint64_t end_ms = device->now_ms + ms;

    if (setjmp(device->reset) != 0) {
        return;
    }
    while (device->now_ms < end_ms) {
        step(device, end_ms);
    }
}

void sim_device_type(struct sim_device *device, const char *keys)
{
    device->screen_size = 0;
    device->screen[0] = '\0';
    device->keys = keys;
    sim_device_run(device, 1000);
    if (*device->keys == '\0') {
        device->keys = ""; /* The caller's may be gone by the time they are looked at again. */
    }
}

void sim_device_end(struct sim_device *device)
{
    assert(device->nor.violation == NULL);
    assert(device->server.violation == NULL);
    assert(device->pop3d.violation == NULL);
    pop3d_free(&device->pop3d);
    nor_free(&device->nor);
}
