/* smtp_advice.c - failures in words for the person who has to do something about them. */
#include "net/smtp_dialogue.h"

#include <string.h>

const char *smtp_stage_name(enum smtp_stage stage)
{
    return stage > SMTP_STAGE_READY
               ? "unknown stage"
               : text_item("greeting\0EHLO\0STARTTLS\0AUTH\0MAIL FROM\0RCPT TO\0DATA\0end of DATA\0"
                           "RSET\0QUIT\0ready",
                           stage);
}

#define WAITS "It is tried again by itself."
#define BUSY "The server is busy: it is tried again by itself."
#define LOGIN "Set AuthUser and AuthPass, without `tls = off`."
#define RELAY "No relaying: set AuthUser and AuthPass, or another mailhub."
#define FULL "The mailbox is full."
#define LARGE "The message is too large."

/* By what the server said. The first row that fits counts: no stages and code 0 fit all, a code
 * below 10 is a first digit, an enhanced code without its class digit (RFC 3463) fits both classes.
 */
struct advice {
    uint8_t stages;   /* Bit i: stage i, GREETING to BODY. */
    char enhanced[5]; /* How it begins behind the class digit. */
    uint16_t code;
    const char *text;
};

#define AT(stage) (1u << SMTP_STAGE_##stage)

static const struct advice replies[] = {
    {0, "", 421, BUSY},
    {AT(GREETING), "", 5, "It takes no mail from here: check mailhub."},
    {AT(EHLO), "", 5, "Set hostname to a full one: router1.example.com."},
    {0, "", 530, LOGIN},
    {AT(AUTH), "", 538, LOGIN},
    {AT(AUTH), "", 432, "Change the password with the provider first."},
    {AT(AUTH), "", 5, "Check AuthUser and AuthPass; many want an app password."},
    {AT(MAIL) | AT(RCPT) | AT(DATA), ".7.0", 5, LOGIN},
    {AT(RCPT), ".5.3", 0, "Too many recipients: the rest follows by itself."},
    {0, ".2.2", 0, FULL},
    {AT(RCPT), "", 552, FULL},
    {AT(RCPT), "", 452, BUSY},
    {AT(RCPT), "", 4, "Perhaps greylisting: it is tried again by itself."},
    {AT(RCPT), ".7", 5, RELAY},
    {AT(RCPT), "", 554, RELAY},
    {AT(RCPT), "", 5, "An unknown recipient: check root."},
    {0, "", 552, LARGE},
    {0, ".3.4", 5, LARGE},
    {AT(MAIL), "", 5, "With this login, set from to AuthUser's address."},
    {AT(BODY), ".7", 5, "A filter refused it: ask the postmaster."},
    {0, "", 4, BUSY},
    {0, "", 0, "The server's own words tell why."},
};

static bool fits(const struct advice *advice, const struct smtp_failure *failure)
{
    size_t size = strlen(advice->enhanced);

    return (advice->stages == 0 || (advice->stages >> failure->stage & 1) != 0) &&
           (advice->code == 0 || advice->code == failure->code ||
            advice->code == failure->code / 100) &&
           (size == 0 || (failure->enhanced[0] != '\0' &&
                          strncmp(failure->enhanced + 1, advice->enhanced, size) == 0));
}

/* By cause, where the server's words do not matter. */
static const char *const causes[] = {
    [SMTP_CAUSE_TIMEOUT] = WAITS,
    [SMTP_CAUSE_EOF] = WAITS,
    [SMTP_CAUSE_PROTOCOL] = "Check mailhub: that is no SMTP server.",
    [SMTP_CAUSE_NO_STARTTLS] = "Check the port of mailhub; for 465 write `tls = implicit`.",
    [SMTP_CAUSE_INJECTED] = "Somebody interferes? Use port 465, `tls = implicit`.",
    [SMTP_CAUSE_CLEAR_AUTH] = "Remove `tls = off`, or risk `auth_without_tls = yes`.",
    [SMTP_CAUSE_NO_AUTH] = "Use port 465 or 587, or remove AuthUser.",
    [SMTP_CAUSE_MECHANISM] = "Allow AUTH PLAIN or LOGIN at the provider (app passwords).",
    [SMTP_CAUSE_TOO_LARGE] = LARGE,
    [SMTP_CAUSE_EIGHT_BIT] = "The server takes ASCII only.",
    [SMTP_CAUSE_ADDRESS] = "hostname, AuthUser, AuthPass, from or root cannot be sent.",
    [SMTP_CAUSE_ABORTED] = WAITS,
};

const char *smtp_advice(const struct smtp_failure *failure)
{
    const struct advice *advice = replies;

    if (failure->stage == SMTP_STAGE_GREETING &&
        (failure->cause == SMTP_CAUSE_TIMEOUT || failure->cause == SMTP_CAUSE_EOF)) {
        return causes[SMTP_CAUSE_NO_STARTTLS]; /* A port that wants TLS at once is silent so. */
    }
    if (failure->cause != SMTP_CAUSE_REPLY && failure->cause < sizeof causes / sizeof causes[0]) {
        return causes[failure->cause];
    }
    while (!fits(advice, failure)) {
        advice++; /* The last row fits all. */
    }
    return advice->text;
}
