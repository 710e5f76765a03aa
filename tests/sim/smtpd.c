#include "tests/sim/smtpd.h"

#include <string.h>

void sim_smtpd_init(struct sim_smtpd *smtpd, const uint64_t *now_ms)
{
    memset(smtpd, 0, sizeof *smtpd);
    smtpd->now_ms = now_ms;
}

static void begin(struct sim_smtpd *smtpd, struct sim_server *server, struct sim_tcp *tcp)
{
    struct link *link = sim_server_link(server);

    sim_server_init(server, smtpd->now_ms);
    if (smtpd->begins != NULL) {
        smtpd->begins(smtpd->context, server, tcp);
    }
    if (link_open(link, "", 0) == 0) {
        (void)link_state(link); /* Resolves, and connects, in no time. */
        (void)link_state(link);
    }
}

/* What was said 250 to is handed over at once: the client may never hear of it. */
static void harvest(struct sim_smtpd *smtpd, struct sim_server *server)
{
    for (size_t i = 0; i < server->mail_count; i++) {
        if (server->mails[i].taken) {
            smtpd->mails++;
            smtpd->taken(smtpd->context, &server->mails[i]);
            server->mails[i].taken = false;
        }
    }
    if (server->mail == NULL) {
        memset(server->mails, 0, server->mail_count * sizeof server->mails[0]);
        server->mail_count = 0;
    }
    if (server->violation != NULL) {
        smtpd->violation = server->violation;
    }
}

void sim_smtpd_service(void *context, struct sim_tcp *tcp, unsigned index, bool fresh)
{
    struct sim_smtpd *smtpd = context;
    struct sim_server *server = &smtpd->servers[index];
    struct link *link = sim_server_link(server);
    const uint8_t *bytes;
    size_t size;

    if (fresh) {
        begin(smtpd, server, tcp);
    }
    while ((bytes = sim_tcp_rx(tcp, &size)), size > 0) {
        size = link_tx(link, bytes, size);
        link_flush(link);
        if (size == 0) {
            break; /* It has ended, and listens no more. */
        }
        sim_tcp_rx_ack(tcp, size);
        harvest(smtpd, server);
    }
    while ((bytes = link_rx_buf(link, &size)), size > 0) {
        size = sim_tcp_tx(tcp, bytes, size);
        if (size == 0) {
            break;
        }
        link_rx_ack(link, size);
    }
    if (link_state(link) == LINK_ENDED || tcp->fin_received) {
        sim_tcp_close(tcp);
    }
}
