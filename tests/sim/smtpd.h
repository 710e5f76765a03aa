/* smtpd.h - the SMTP server of server.h behind the TCP of tcp.h: one dialogue a connection.
 *
 *     sim_smtpd_init(&smtpd, &now_ms);
 *     smtpd.taken = ...;                      what is done with a mail that was said 250 to
 *     lan.service = sim_smtpd_service; lan.context = &smtpd;
 */
#ifndef TOCSIN_TESTS_SIM_SMTPD_H
#define TOCSIN_TESTS_SIM_SMTPD_H

#include "tests/sim/lan.h"
#include "tests/sim/server.h"

struct sim_smtpd {
    const uint64_t *now_ms;
    struct sim_server servers[LAN_TCP_MAX];
    unsigned mails;        /* Taken so far. */
    const char *violation; /* What a client did wrong; NULL: nothing. */
    /* A dialogue begins: answers may be scripted. May be NULL. */
    void (*begins)(void *context, struct sim_server *server, struct sim_tcp *tcp);
    void (*taken)(void *context, const struct sim_mail *mail);
    void *context;
};

void sim_smtpd_init(struct sim_smtpd *smtpd, const uint64_t *now_ms);
void sim_smtpd_service(void *smtpd, struct sim_tcp *tcp, unsigned index, bool fresh);

#endif
