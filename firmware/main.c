/* main.c - the device on bare metal: one object, one loop. The only file that knows both the app
 * and lwIP. */
#include "firmware/app.h"
#include "hal/board.h"
#include "net/lwip/stack.h"
#include "net/text.h"

#include <stddef.h>
#include <stdint.h>

static struct app app;
static struct link_lwip link_to_server;

/* Empty functions whose addresses tools/bench.py knows: guest instructions are counted between
 * them. */
#define MARK(name)                               \
    void name(void);                             \
    __attribute__((noipa, used)) void name(void) \
    {                                            \
        __asm__ volatile("");                    \
    }
MARK(mark_boot)
MARK(mark_address)
MARK(mark_begin)
MARK(mark_connect)
MARK(mark_tls_ready)
MARK(mark_auth)
MARK(mark_accepted)

static void stage_ended(const struct sender_report *report)
{
    if (!report->ok) {
        return;
    }
    if (report->stage == SENDER_ADDRESS) {
        mark_begin();
    } else if (report->stage == SENDER_CONNECT) {
        mark_connect();
    } else if (report->stage == SENDER_TLS) {
        mark_tls_ready();
    } else if (report->stage == SENDER_AUTH) {
        mark_auth();
    } else if (report->stage == SENDER_ACCEPTED) {
        mark_accepted();
    }
}

static uint32_t random_number(void)
{
    return random_u32(&app.random);
}

static void sntp_time(uint64_t unix_ms)
{
    app_set_time(&app, unix_ms, "SNTP");
}

static bool static_host(const char *name, uint32_t *address)
{
    for (unsigned i = 0; i < app.config.host_count; i++) {
        if (text_equal_nocase(app.config.host[i].name, name)) {
            *address = app.config.host[i].address;
            return true;
        }
    }
    return false;
}

/* A locally administered address (IEEE 802) from the device id, for chips that have none of their
 * own. */
static void choose_mac(uint8_t mac[6])
{
    mac[0] = 0x02;
    for (unsigned i = 1; i < 6; i++) {
        mac[i] = app.journal.device_id[i];
    }
}

static void network_start(void)
{
    const struct config *config = &app.config;
    struct stack_params params = {
        .nic = board.nic,
        .hostname = config->hostname,
        .dhcp = config->dhcp,
        .address = config->address,
        .netmask = config->netmask,
        .gateway = config->gateway,
        .dns_port = config->dns[0].port,
        .sntp_port = config->sntp[0].port,
        .now_ms = board.millis,
        .random = random_number,
        .set_time = sntp_time,
        .host = static_host,
        .panic = board_panic,
    };

    choose_mac(params.mac);
    for (unsigned i = 0; i < 2; i++) {
        if (!text_parse_ipv4(config->dns[i].host, &params.dns[i])) {
            params.dns[i] = 0;
        }
        params.sntp[i] = config->sntp[i].host[0] != '\0' ? config->sntp[i].host : NULL;
    }
    if (stack_init(&params) < 0) {
        app.network_problem = "the network interface does not answer";
        return;
    }
    if (config->syslog_port != 0 && stack_udp_listen(config->syslog_port, app_datagram, &app) < 0) {
        app_log(&app, "syslog: the port cannot be opened");
    }
}

static void sleep(void)
{
    uint32_t app_ms = app_sleep_ms_max(&app);
    uint32_t stack_ms = stack_sleep_ms_max();

    board.idle(app_ms < stack_ms ? app_ms : stack_ms);
}

int main(void)
{
    struct platform platform = {
        .board = &board,
        .link = link_lwip_init(&link_to_server),
        .network_status = stack_status,
        .stage = stage_ended,
    };
    bool had_address = false;

    mark_boot();
    board.init();
    app_init(&app, &platform);
    network_start();
    app_start(&app);
    for (;;) {
        bool moved = stack_poll();

        moved |= app_poll(&app);
        if (!had_address && app.address_said) {
            had_address = true;
            mark_address();
        }
        if (!moved) {
            sleep();
        }
    }
}
