/* smtp_advice.c - failures in words for the person who has to do something about them. */
#include "net/smtp_dialogue.h"

#include <string.h>

const char *smtp_stage_name(enum smtp_stage stage)
{
    static const char *const names[] = {
        [SMTP_STAGE_GREETING] = "greeting", [SMTP_STAGE_EHLO] = "EHLO",
        [SMTP_STAGE_STARTTLS] = "STARTTLS", [SMTP_STAGE_AUTH] = "AUTH",
        [SMTP_STAGE_MAIL] = "MAIL FROM",    [SMTP_STAGE_RCPT] = "RCPT TO",
        [SMTP_STAGE_DATA] = "DATA",         [SMTP_STAGE_BODY] = "end of DATA",
        [SMTP_STAGE_RSET] = "RSET",         [SMTP_STAGE_QUIT] = "QUIT",
        [SMTP_STAGE_READY] = "ready",
    };

    return stage < sizeof names / sizeof names[0] ? names[stage] : "unknown stage";
}

/* By what the server said. The first row that fits counts: no stages and code 0 fit all, a code
 * below 10 is a first digit, an enhanced code without its class digit (RFC 3463) fits both classes.
 */
struct advice {
    uint8_t stages; /* Bit i: stage i, GREETING to BODY. */
    uint16_t code;
    const char *enhanced; /* How it begins behind the class digit. */
    const char *text;
};

#define AT(stage) (1u << SMTP_STAGE_##stage)

/* clang-format off */
static const struct advice replies[] = {
    {0, 421, "",
     "Nothing to do: the server is busy or closing; it is tried again by itself."},
    {AT(GREETING), 5, "",
     "The server turns this network away or is no mail server: check mailhub, or take the "
     "submission server of a provider (port 465 or 587)."},
    {AT(EHLO), 5, "",
     "The server does not like the device's name: set hostname to a full one, such as "
     "router1.example.com."},
    {AT(AUTH), 538, "",
     "The server wants TLS before passwords: remove `tls = off`."},
    {AT(AUTH), 530, "",
     "The server wants TLS before passwords: remove `tls = off`."},
    {AT(AUTH), 432, "",
     "The password has to be changed with the provider first."},
    {AT(AUTH), 4, "",
     "The server cannot check passwords at present; it is tried again by itself."},
    {AT(AUTH), 5, "",
     "Check AuthUser and AuthPass; many providers want an app password here, not the usual one."},
    {0, 530, "",
     "The server wants a login: set AuthUser and AuthPass, and do not write `tls = off`."},
    {AT(MAIL) | AT(RCPT) | AT(DATA), 5, ".7.0",
     "The server wants a login: set AuthUser and AuthPass, and do not write `tls = off`."},
    {AT(RCPT), 0, ".5.3",
     "Too many recipients for one message: the rest is tried again by itself."},
    {0, 0, ".2.2",
     "The recipient's mailbox is full: it has to be emptied."},
    {AT(RCPT), 552, "",
     "The recipient's mailbox is full, or there are too many recipients."},
    {AT(RCPT), 452, "",
     "The server is short of space or the mailbox is full; it is tried again by itself."},
    {AT(RCPT), 4, "",
     "Probably greylisting: the server takes mail from strangers at the second try only, which "
     "comes by itself."},
    {AT(RCPT), 5, ".7",
     "The server does not relay to this recipient: set AuthUser and AuthPass, or make the "
     "provider's submission server the mailhub."},
    {AT(RCPT), 554, "",
     "The server does not relay to this recipient: set AuthUser and AuthPass, or make the "
     "provider's submission server the mailhub."},
    {AT(RCPT), 5, "",
     "The server does not know this recipient or does not take mail for it: check root."},
    {0, 552, "",
     "The message is too large for the server, or the mailbox is full."},
    {0, 5, ".3.4",
     "The message is too large for the server."},
    {AT(MAIL), 5, "",
     "The server does not take this sender: set from to an address that AuthUser may send as."},
    {AT(BODY), 5, ".7",
     "A filter of the server refused the message: its postmaster can tell why."},
    {0, 4, "",
     "Nothing to do: the server asks to come back later, which happens by itself."},
    {0, 0, "",
     "The server did not take the message: its own words tell why."},
};
/* clang-format on */

static bool fits(const struct advice *advice, const struct smtp_failure *failure)
{
    size_t size = strlen(advice->enhanced);

    if (advice->stages != 0 &&
        (failure->stage > SMTP_STAGE_BODY || (advice->stages >> failure->stage & 1) == 0)) {
        return false;
    }
    if (advice->code != 0 && advice->code != failure->code &&
        (advice->code >= 10 || failure->code / 100 != advice->code)) {
        return false;
    }
    return size == 0 || (failure->enhanced[0] != '\0' &&
                         strncmp(failure->enhanced + 1, advice->enhanced, size) == 0);
}

static const char *reply_advice(const struct smtp_failure *failure)
{
    size_t i = 0;

    while (!fits(&replies[i], failure)) {
        i++; /* The last row fits all. */
    }
    return replies[i].text;
}

/* By cause, where the server's words do not matter. */
/* clang-format off */
static const char *const causes[] = {
    [SMTP_CAUSE_TIMEOUT] =
        "Nothing to do if it was the network: it is tried again by itself.",
    [SMTP_CAUSE_EOF] =
        "Nothing to do if it was the network: it is tried again by itself.",
    [SMTP_CAUSE_PROTOCOL] =
        "Check host and port of mailhub: what answered does not keep to SMTP.",
    [SMTP_CAUSE_NO_STARTTLS] =
        "The server does not do TLS on this port: check the port of mailhub, or try "
        "`tls = implicit` with port 465.",
    [SMTP_CAUSE_INJECTED] =
        "Somebody may be tampering with the connection: use port 465 with `tls = implicit`, and "
        "ask who runs the network.",
    [SMTP_CAUSE_CLEAR_AUTH] =
        "Remove `tls = off`; if this network is trusted and the server has no TLS, write "
        "`auth_without_tls = yes`.",
    [SMTP_CAUSE_NO_AUTH] =
        "This server or port takes no login: use the submission port (465 or 587), or remove "
        "AuthUser and AuthPass.",
    [SMTP_CAUSE_MECHANISM] =
        "The server has to offer AUTH PLAIN or LOGIN: some providers do once app passwords are "
        "allowed in the account.",
    [SMTP_CAUSE_TOO_LARGE] =
        "The message is too large for this server.",
    [SMTP_CAUSE_EIGHT_BIT] =
        "The server takes ASCII only, and the message was not encoded as that.",
    [SMTP_CAUSE_ADDRESS] =
        "Check hostname, AuthUser, AuthPass, from and root: ASCII addresses only, no spaces, no "
        "control characters, no angle brackets.",
    [SMTP_CAUSE_ABORTED] =
        "Nothing to do: it is tried again by itself.",
};

static const char silent_port[] =
    "Check host and port of mailhub; if the port speaks TLS at once, as 465 does, write "
    "`tls = implicit`.";
/* clang-format on */

const char *smtp_advice(const struct smtp_failure *failure)
{
    if (failure->stage == SMTP_STAGE_GREETING &&
        (failure->cause == SMTP_CAUSE_TIMEOUT || failure->cause == SMTP_CAUSE_EOF)) {
        return silent_port;
    }
    if (failure->cause != SMTP_CAUSE_REPLY && failure->cause < sizeof causes / sizeof causes[0]) {
        return causes[failure->cause];
    }
    return reply_advice(failure);
}
