/* pop3_advice.c - failures in words for the person who has to do something about them. */
#include "net/pop3.h"

#include "net/text.h"

const char *pop3_stage_name(enum pop3_stage stage)
{
    return stage > POP3_STAGE_QUIT ? "unknown stage"
                                   : text_item("greeting\0CAPA\0STLS\0login\0ready\0QUIT", stage);
}

#define WAITS "It is tried again by itself."
#define BUSY "The server is busy: it is tried again by itself."

static const char *const causes[] = {
    [POP3_CAUSE_TIMEOUT] = WAITS,
    [POP3_CAUSE_EOF] = WAITS,
    [POP3_CAUSE_PROTOCOL] = "Check pop3: that is no POP3 server.",
    [POP3_CAUSE_NO_STLS] = "Check the port of pop3; for 995 write `pop3_tls = implicit`.",
    [POP3_CAUSE_INJECTED] = "Somebody interferes? Use port 995, `pop3_tls = implicit`.",
    [POP3_CAUSE_CLEAR_AUTH] = "Remove `pop3_tls = off`, or risk `auth_without_tls = yes`.",
    [POP3_CAUSE_MECHANISM] = "Allow a login by password at the provider (app passwords).",
    [POP3_CAUSE_NAME] = "The user or password is missing or cannot be sent.",
};

const char *pop3_advice(const struct pop3_failure *failure)
{
    if (failure->stage == POP3_STAGE_GREETING &&
        (failure->cause == POP3_CAUSE_TIMEOUT || failure->cause == POP3_CAUSE_EOF)) {
        return causes[POP3_CAUSE_NO_STLS]; /* A port that wants TLS at once is silent so. */
    }
    if (failure->cause != POP3_CAUSE_REPLY && failure->cause < sizeof causes / sizeof causes[0]) {
        return causes[failure->cause];
    }
    if (failure->error == E_TRANSIENT) {
        return BUSY;
    }
    return failure->code == POP3_CODE_SYS_PERM
               ? "The server's own words tell why."
               : "Check user and password; many want an app password and POP3 switched on.";
}
