/* mailer_session.c - one connection with one mail server, and the mails that leave over it. */
#include "boards/linux/mailer_work.h"

#include "net/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define DEFERRED_MAX 3 /* Mails in a row; then it is the server, not the mail. */

void mailer_describe(struct text *text, const struct smtp_failure *failure)
{
    text_format(text, "%s: ", smtp_stage_name(failure->stage));
    if (failure->code != 0) {
        text_format(text, "%u %s%s", (unsigned)failure->code, failure->enhanced,
                    failure->enhanced[0] != '\0' ? " " : "");
    }
    text_format(text, "%s (%s). %s", failure->text, error_name(failure->error),
                smtp_advice(failure));
}

/* ---- the body ---- */

/* More of the message in `in`; false: its end. */
static bool read_more(struct mailer *mailer)
{
    ssize_t got;

    do {
        got = read(mailer->fd, mailer->in, sizeof mailer->in);
    } while (got < 0 && errno == EINTR);
    mailer->in_at = 0;
    mailer->in_size = got > 0 ? (size_t)got : 0;
    mailer->at_end = got <= 0;
    mailer->unreadable |= got < 0;
    return got > 0;
}

static void rewind_message(struct mailer *mailer)
{
    (void)lseek(mailer->fd, 0, SEEK_SET);
    mailer->in_at = 0;
    mailer->in_size = 0;
    mailer->at_end = false;
    mailer->unreadable = false;
}

/* What has to be known of the whole message before it can be rewritten. */
static void look(struct mailer *mailer)
{
    transcode_look_init(&mailer->look);
    while (read_more(mailer)) {
        transcode_look_push(&mailer->look, mailer->in, mailer->in_size);
    }
    (void)transcode_look_end(&mailer->look);
}

/* Up to size bytes of the message as it leaves; 0: its end. */
static size_t body_read(struct mailer *mailer, uint8_t *out, size_t size)
{
    size_t got;

    if (!mailer->transcoding) {
        if (mailer->in_at == mailer->in_size && !read_more(mailer)) {
            return 0;
        }
        got = mailer->in_size - mailer->in_at < size ? mailer->in_size - mailer->in_at : size;
        memcpy(out, mailer->in + mailer->in_at, got);
        mailer->in_at += got;
        return got;
    }
    for (;;) {
        got = transcode_read(&mailer->transcode, out, size);
        if (got > 0) {
            return got;
        }
        if (mailer->in_at < mailer->in_size) {
            mailer->in_at += transcode_push(&mailer->transcode, mailer->in + mailer->in_at,
                                            mailer->in_size - mailer->in_at);
        } else if (mailer->at_end) {
            return 0;
        } else if (!read_more(mailer)) {
            transcode_end(&mailer->transcode);
        }
    }
}

static bool body_pump(struct mailer *mailer, uint64_t now_ms)
{
    size_t room = 0;
    uint8_t *out = smtp_body_buf(&mailer->smtp, &room);
    size_t size;

    if (room == 0) {
        return false;
    }
    size = body_read(mailer, out, room);
    if (mailer->unreadable) {
        smtp_quit(&mailer->smtp, now_ms); /* Which hangs up here: the server has no message. */
    } else if (size == 0) {
        smtp_body_end(&mailer->smtp, now_ms);
    } else {
        smtp_body_ack(&mailer->smtp, size, now_ms);
    }
    return true;
}

/* ---- a mail ---- */

/* A recipient that no command can carry is refused for himself, not for all in his envelope. */
static bool fits(struct mailer *mailer, struct spool_rcpt *rcpt)
{
    char line[SPOOL_REASON_BYTES];

    if (smtp_address_fits(rcpt->address)) {
        return true;
    }
    (void)text_print(line, sizeof line,
                     "<%s> cannot be sent: an address has no blanks and no characters but those of "
                     "ASCII",
                     rcpt->address);
    rcpt->state = SPOOL_REFUSED;
    free(rcpt->reason);
    rcpt->reason = strdup(line);
    (void)text_copy(mailer->mail.reason, sizeof mailer->mail.reason, line);
    (void)text_print(line, sizeof line, "%s: refused: %s", mailer->mail.id, mailer->mail.reason);
    mailer_say(mailer, LOG_ERR, line);
    return false;
}

/* The next recipients that wait, as many as one envelope takes. */
static void choose_recipients(struct mailer *mailer, size_t from)
{
    mailer->rcpt_count = 0;
    for (size_t i = from; i < mailer->mail.rcpt_count && mailer->rcpt_count < SMTP_RCPT_MAX; i++) {
        if (mailer->mail.rcpt[i].state == SPOOL_WAITING && fits(mailer, &mailer->mail.rcpt[i])) {
            mailer->rcpt_index[mailer->rcpt_count] = i;
            mailer->rcpt[mailer->rcpt_count++] = mailer->mail.rcpt[i].address;
        }
    }
}

/* Offers the recipients in hand to the server. False: its answer is there already. */
static bool envelope_begin(struct mailer *mailer, uint64_t now_ms)
{
    struct spool_mail *mail = &mailer->mail;
    bool eight_bit_ok = (smtp_capabilities(&mailer->smtp) & SMTP_CAP_8BITMIME) != 0;
    struct smtp_envelope envelope = {
        .from = mail->from,
        .rcpt = mailer->rcpt,
        .rcpt_count = mailer->rcpt_count,
        .size_bytes = mail->size_bytes < UINT32_MAX ? (uint32_t)mail->size_bytes : UINT32_MAX,
        .eight_bit = eight_bit_ok && (mail->flags & TRANSCODE_EIGHT_BIT) != 0,
    };

    for (size_t i = 0; i < mailer->rcpt_count; i++) {
        mailer->notify[i] = mail->rcpt[mailer->rcpt_index[i]].notify;
    }
    envelope.notify = mailer->notify;
    envelope.ret = mail->ret;
    envelope.envid = mail->envid;
    mailer->transcoding = transcode_needed(mail->flags, eight_bit_ok);
    rewind_message(mailer);
    if (mailer->transcoding) {
        envelope.size_bytes = 0; /* Nobody knows yet. */
        look(mailer);
        transcode_init(&mailer->transcode, &mailer->look, eight_bit_ok);
        rewind_message(mailer);
    }
    mailer->offered_ms = now_ms;
    mailer->offered = smtp_message(&mailer->smtp, &envelope, now_ms) == 0;
    if (!mailer->offered) {
        mailer_answered(mailer, smtp_result(&mailer->smtp));
    }
    return mailer->offered;
}

/* Between messages: settles the last one, takes the next, or says QUIT. */
static void message_next(struct mailer *mailer, uint64_t now_ms)
{
    if (mailer->offered) {
        const struct smtp_result *result = smtp_result(&mailer->smtp);

        mailer->offered = false;
        mailer->deferred = result->error == 0             ? 0
                           : result->error == E_TRANSIENT ? (uint8_t)(mailer->deferred + 1)
                                                          : mailer->deferred;
        mailer_answered(mailer, result);
    }
    for (;;) {
        size_t from = 0;

        if (!mailer->have_mail && (mailer->deferred >= DEFERRED_MAX || !mailer_next(mailer))) {
            smtp_quit(&mailer->smtp, now_ms);
            return;
        }
        if (mailer->rcpt_count > 0) { /* More of its recipients. */
            from = mailer->rcpt_index[mailer->rcpt_count - 1] + 1;
        }
        choose_recipients(mailer, from);
        if (mailer->rcpt_count == 0) {
            mailer_settles(mailer);
        } else if (envelope_begin(mailer, now_ms)) {
            return;
        }
    }
}

/* ---- the session ---- */

static void session_moved(void *context, enum session_phase phase, uint64_t now_ms)
{
    struct mailer *mailer = context;
    char line[256];
    struct text text = text_begin(line, sizeof line);

    (void)now_ms;
    if (phase == SESSION_CONNECT) {
        text_format(&text, "connected to %s [%s]", mailer->server.endpoint->host,
                    link_peer(mailer->link));
    } else if (phase == SESSION_TLS) {
        const struct tls_info *info = tls_info(&mailer->tls);

        text_format(&text, "%s %s %s", info->version, info->suite, info->curve);
        for (size_t i = 0; i < info->chain_count && i < TLS_CHAIN_MAX; i++) {
            text_format(&text, "%s%s %s", i == 0 ? "; " : " < ", info->chain[i].subject,
                        info->chain[i].key);
        }
    } else {
        return;
    }
    mailer_trace_text(mailer, line);
}

/* A full domain if there is one, else our name as it is; "[127.0.0.1]" has no one to tell apart. */
static void set_params(struct mailer *mailer)
{
    const struct config *config = &mailer->params.settings->config;
    const struct config_server *server = &mailer->server;

    (void)text_copy(mailer->ehlo_name, sizeof mailer->ehlo_name,
                    mailer->params.settings->host[0] != '\0' ? mailer->params.settings->host
                                                             : "localhost");
    mailer->smtp_params = (struct smtp_params){
        .ehlo_name = mailer->ehlo_name,
        .user = server->user,
        .password = server->password,
        .tls = server->tls,
        .auth_without_tls = config->auth_without_tls,
        .greeting_ms_max = config->greeting_timeout_s * 1000,
        .command_ms_max = config->command_timeout_s * 1000,
        .body_ms_max = config->body_timeout_s * 1000,
        .accept_ms_max = config->accept_timeout_s * 1000,
    };
    mailer->tls_params = (struct tls_params){
        .server_name = server->tls_name[0] != '\0' ? server->tls_name : server->endpoint->host,
        .anchors = &mailer->trust.anchors,
        .random = &mailer->random,
        .unix_s = posix_unix_ms() / 1000,
    };
}

static void session_open(struct mailer *mailer, uint64_t now_ms)
{
    const struct config *config = &mailer->params.settings->config;
    const struct config_server *server = &mailer->server;
    struct session_params params = {
        .link = mailer->link,
        .host = server->endpoint->host,
        .port = server->endpoint->port,
        .tls = server->tls == SMTP_TLS_OFF ? NULL : &mailer->tls,
        .tls_params = &mailer->tls_params,
        .tls_first = server->tls == SMTP_TLS_IMPLICIT,
        .connect_ms_max = config->connect_timeout_s * 1000,
        .ops = mailer_engine(mailer),
        .engine = &mailer->smtp,
        .engine_params = &mailer->smtp_params,
        .observe = session_moved,
        .context = mailer,
    };

    set_params(mailer);
    memset(&mailer->smtp, 0, sizeof mailer->smtp);
    mailer->deferred = 0;
    mailer->offered = false;
    mailer->rcpt_count = 0;
    mailer->offered_ms = 0;
    session_start(&mailer->session, &params, now_ms);
}

static bool step(struct mailer *mailer, uint64_t now_ms)
{
    bool moved = session_poll(&mailer->session, now_ms);
    unsigned want = smtp_want(&mailer->smtp);

    if (mailer->session.phase != SESSION_ENGINE) {
        return moved;
    }
    if ((want & SMTP_WANT_MESSAGE) != 0) {
        message_next(mailer, now_ms);
        return true;
    }
    if ((want & SMTP_WANT_BODY) != 0) {
        moved |= body_pump(mailer, now_ms);
    }
    return moved;
}

static int outcome(struct mailer *mailer, char *why, size_t why_size)
{
    const struct smtp_failure *failure = smtp_failure(&mailer->smtp);
    const struct tls_failure *tls = tls_failure(&mailer->tls);
    int error = session_error(&mailer->session);
    struct text text = text_begin(why, why_size);

    if (error == 0 && failure == NULL) {
        return 0;
    }
    text_format(&text, "%s: ", mailer->server.endpoint->host);
    if (error != 0) {
        bool of_tls = mailer->server.tls != SMTP_TLS_OFF && tls != NULL;

        text_format(&text, "%s (%s)%s%s", session_text(&mailer->session), error_name(error),
                    of_tls ? ". " : "", of_tls ? tls_advice(tls) : "");
        return error;
    }
    mailer_describe(&text, failure);
    return failure->error;
}

int mailer_session(struct mailer *mailer, char *why, size_t why_size)
{
    uint64_t now_ms = posix_monotonic_ms();
    int error;

    memset(&mailer->tls, 0, sizeof mailer->tls);
    session_open(mailer, now_ms);
    while (!session_done(&mailer->session)) {
        now_ms = posix_monotonic_ms();
        if (now_ms >= mailer->end_ms) {
            session_abort(&mailer->session);
            (void)text_print(why, why_size, "%s: the time for it is over (total_timeout)",
                             mailer->server.endpoint->host);
            return E_TRANSIENT;
        }
        if (mailer->session.phase == SESSION_CLOSE) {
            /* Our goodbye is on its way. Nobody waits for the server's, or for its delayed
             * acknowledgement. */
            (void)session_poll(&mailer->session, now_ms);
            link_close(mailer->link);
            break;
        }
        if (!step(mailer, now_ms)) {
            uint64_t until_ms = session_deadline(&mailer->session);

            until_ms = until_ms < mailer->end_ms ? until_ms : mailer->end_ms;
            until_ms = until_ms < now_ms ? 0 : until_ms - now_ms;
            link_posix_wait(&mailer->posix, true, NULL, 0,
                            until_ms < 60000 ? (int)until_ms : 60000);
        }
    }
    error = outcome(mailer, why, why_size);
    tls_wipe(&mailer->tls);
    return error;
}
