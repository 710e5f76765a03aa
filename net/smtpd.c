/* smtpd.c - a session with a local client.
 *
 *     COMMAND -DATA-> BODY -"."-> COMMAND
 *     COMMAND -QUIT-> CLOSED        any -end of input-> CLOSED
 *
 * A command is only looked at when what was said before it has been taken: replies stay in order,
 * and there is room for the next.
 */
#include "net/smtpd.h"

#include "net/text.h"

#include <string.h>

enum smtpd_phase {
    PHASE_COMMAND, /* Lines are commands. */
    PHASE_BODY,    /* Lines are the message. */
    PHASE_CLOSED,
};

enum body_state {
    BODY_LINE_START,
    BODY_LINE,
    BODY_CR,     /* A CR waits: it is dropped if an LF follows. */
    BODY_DOT,    /* A dot began the line: stuffing, or the end. */
    BODY_DOT_CR, /* And a CR came behind it. */
};

static const char bad_address[] = "501 5.1.3 This is not an address";
static const char bad_parameter[] = "501 5.5.4 This parameter cannot be understood";

/* --- Replies --- */

/* Puts a reply of one line; what could end it early is not in it. */
static void put_reply(struct smtpd *smtpd, const char *line)
{
    char *tx = smtpd->tx + smtpd->tx_size;
    size_t room = sizeof smtpd->tx - smtpd->tx_size;
    struct text text;

    if (room < SMTPD_REPLY_BYTES + 3) {
        return; /* Only where nobody took what was said. */
    }
    text = text_begin(tx, SMTPD_REPLY_BYTES + 1);
    text_add_printable(&text, line, strlen(line));
    memcpy(tx + text.length, "\r\n", 2);
    smtpd->tx_size = (uint16_t)(smtpd->tx_size + text.length + 2);
}

static void put_ehlo(struct smtpd *smtpd)
{
    struct text text = text_begin(smtpd->tx, sizeof smtpd->tx);
    char digits[21];
    size_t at = sizeof digits - 1;

    digits[at] = '\0';
    for (uint64_t size = smtpd->size_max; size > 0 || at == sizeof digits - 1; size /= 10) {
        digits[--at] = (char)('0' + size % 10); /* 0: no limit (RFC 1870 4). */
    }
    text_format(&text, "250-%s\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE %s\r\n",
                smtpd->hostname, digits + at);
    text_add(&text, "250-ENHANCEDSTATUSCODES\r\n250-DSN\r\n250 HELP\r\n");
    smtpd->tx_size = (uint16_t)text.length;
}

static void put_hostname(struct smtpd *smtpd, const char *code, const char *words)
{
    char line[SMTPD_REPLY_BYTES + 1];

    (void)text_print(line, sizeof line, "%s %s%s", code, smtpd->hostname, words);
    put_reply(smtpd, line);
}

/* --- Events --- */

static void put_event(struct smtpd *smtpd, enum smtpd_event event)
{
    if (smtpd->event == SMTPD_NONE) {
        smtpd->event = (uint8_t)event;
    } else {
        smtpd->event_after = (uint8_t)event;
    }
}

static void forget_mail(struct smtpd *smtpd)
{
    if (smtpd->mail) {
        put_event(smtpd, SMTPD_RESET);
    }
    smtpd->mail = false;
    smtpd->rcpt_count = 0;
}

enum smtpd_event smtpd_event(const struct smtpd *smtpd)
{
    return smtpd->body_size > 0 ? SMTPD_NONE : (enum smtpd_event)smtpd->event;
}

void smtpd_next(struct smtpd *smtpd)
{
    smtpd->event = smtpd->event_after;
    smtpd->event_after = SMTPD_NONE;
}

void smtpd_reply(struct smtpd *smtpd, const char *line)
{
    bool accepted = line[0] == '2';

    switch ((enum smtpd_event)smtpd->event) {
    case SMTPD_MAIL:
        smtpd->mail = accepted;
        break;
    case SMTPD_RCPT:
        smtpd->rcpt_count = (uint16_t)(smtpd->rcpt_count + accepted);
        break;
    case SMTPD_END:
        smtpd->mail = false;
        smtpd->rcpt_count = 0;
        break;
    default:
        return; /* That one has no answer. */
    }
    put_reply(smtpd, line);
    smtpd_next(smtpd);
}

/* --- Parameters of MAIL and RCPT (RFC 5321 4.1.1.11) --- */

const char *smtpd_parameter(const struct smtpd *smtpd, const char *name)
{
    size_t size = strlen(name);

    for (size_t at = smtpd->parameters_at; at < smtpd->parameters_end;
         at += strlen(smtpd->line + at) + 1) {
        const char *parameter = smtpd->line + at;

        if (text_starts_nocase(parameter, name) && parameter[size] == '=') {
            return parameter + size + 1;
        }
    }
    return NULL;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Undoes xtext (RFC 3461 4) in its place. false: it is none. */
static bool decode_xtext(char *text)
{
    char *out = text;

    for (; *text != '\0'; text++) {
        char c = *text;

        if (c == '+') {
            int high = hex_value(text[1]);
            int low = high >= 0 ? hex_value(text[2]) : -1;

            if (low < 0) {
                return false;
            }
            c = (char)(high * 16 + low);
            text += 2;
            if (c < ' ' || c > '~') {
                return false; /* RFC 3461 4.4: an identifier is printable. */
            }
        }
        *out++ = c;
    }
    memset(out, '\0', (size_t)(text - out)); /* What is left of it is no parameter. */
    return true;
}

/* RFC 3461 4.1. */
static bool notify_ok(const char *list)
{
    static const char words[] = "SUCCESS\0FAILURE\0DELAY";

    if (text_equal_nocase(list, "NEVER")) {
        return true;
    }
    for (;;) {
        unsigned i = 0;

        while (i < 3 && !text_starts_nocase(list, text_item(words, i))) {
            i++;
        }
        if (i == 3) {
            return false;
        }
        list += strlen(text_item(words, i));
        if (*list != ',') {
            return *list == '\0';
        }
        list++;
    }
}

/* Why a message of that many bytes is not taken, or NULL. */
static const char *check_size(const struct smtpd *smtpd, const char *digits)
{
    uint64_t size = 0;

    if (*digits == '\0' || strspn(digits, "0123456789") != strlen(digits)) {
        return bad_parameter;
    }
    for (; *digits != '\0' && size < UINT64_MAX / 10 - 9; digits++) {
        size = size * 10 + (uint64_t)(*digits - '0');
    }
    return smtpd->size_max > 0 && size > smtpd->size_max ? "552 5.3.4 The message is too large"
                                                         : NULL;
}

/* Why a parameter is not taken, or NULL. ENVID is decoded. */
static const char *check_parameter(const struct smtpd *smtpd, bool is_mail, char *parameter)
{
    char *value = strchr(parameter, '=');

    value = value != NULL ? value + 1 : parameter + strlen(parameter);
    if (is_mail && text_starts_nocase(parameter, "SIZE=")) {
        return check_size(smtpd, value);
    }
    if (is_mail && text_starts_nocase(parameter, "BODY=")) {
        return text_equal_nocase(value, "7BIT") || text_equal_nocase(value, "8BITMIME")
                   ? NULL
                   : bad_parameter;
    }
    if (is_mail && text_starts_nocase(parameter, "RET=")) {
        return text_equal_nocase(value, "FULL") || text_equal_nocase(value, "HDRS") ? NULL
                                                                                    : bad_parameter;
    }
    if (is_mail && text_starts_nocase(parameter, "ENVID=")) {
        return *value != '\0' && decode_xtext(value) ? NULL : bad_parameter;
    }
    if (is_mail && text_starts_nocase(parameter, "AUTH=")) {
        return NULL; /* RFC 4954 5: who has no use for it ignores it. */
    }
    if (!is_mail && text_starts_nocase(parameter, "NOTIFY=")) {
        return notify_ok(value) ? NULL : bad_parameter;
    }
    if (!is_mail && text_starts_nocase(parameter, "ORCPT=")) {
        return strchr(value, ';') != NULL ? NULL : bad_parameter;
    }
    return "555 5.5.4 This parameter is not known";
}

/* Makes a string of each parameter from text on. Returns why they are not taken, or NULL. */
static const char *take_parameters(struct smtpd *smtpd, bool is_mail, char *text)
{
    const char *why = NULL;

    smtpd->parameters_at = (uint16_t)(text - smtpd->line);
    smtpd->parameters_end = smtpd->line_size;
    while (*text != '\0' && why == NULL) {
        char *parameter = text + strspn(text, " \t");
        size_t size = strcspn(parameter, " \t");

        memset(text, '\0', (size_t)(parameter - text));
        text = parameter + size;
        if (*text != '\0') {
            *text++ = '\0';
        }
        if (size > 0) {
            why = check_parameter(smtpd, is_mail, parameter);
        }
    }
    return why;
}

/* --- Commands --- */

/* The end of a path: its '>' outside quotes, or the blank behind one without brackets. */
static char *path_end(char *path, bool bracket)
{
    bool quoted = false;

    for (; *path != '\0'; path++) {
        if (*path == '\\' && quoted && path[1] != '\0') {
            path++;
        } else if (*path == '"') {
            quoted = !quoted;
        } else if (!quoted && (bracket ? *path == '>' : *path == ' ' || *path == '\t')) {
            return path;
        }
    }
    return path;
}

/* "<@relay.example.com:name@example.com> SIZE=100" (RFC 5321 4.1.2; a route is skipped, as its
 * appendix C has it), or without brackets. Returns why it is not taken, or NULL. */
static const char *take_path(struct smtpd *smtpd, bool is_mail, char *path)
{
    bool bracket = *path == '<';
    char *end;
    bool closed;

    path += bracket;
    end = path_end(path, bracket);
    closed = *end == '>';
    if ((bracket && !closed) || (!bracket && end == path)) {
        return bad_address;
    }
    if (*end != '\0') {
        *end++ = '\0';
    }
    if (*path == '@' && strchr(path, ':') != NULL) {
        path = strchr(path, ':') + 1;
    }
    if (closed && *end != '\0' && *end != ' ' && *end != '\t') {
        return bad_address;
    }
    if ((*path != '\0' || !is_mail) && !address_is_valid(path)) {
        return bad_address;
    }
    if (!text_copy(smtpd->address, sizeof smtpd->address, path)) {
        return bad_address;
    }
    return take_parameters(smtpd, is_mail, end);
}

/* Behind "FROM" or "TO" and its colon; NULL: that is not what stands there. */
static char *skip_keyword(char *argument, const char *keyword)
{
    if (!text_starts_nocase(argument, keyword)) {
        return NULL;
    }
    argument += strlen(keyword);
    argument += strspn(argument, " \t");
    return *argument == ':' ? argument + 1 + strspn(argument + 1, " \t") : NULL;
}

static void take_mail(struct smtpd *smtpd, char *argument)
{
    char *path = skip_keyword(argument, "FROM");
    const char *why = path == NULL  ? "501 5.5.4 Expected: MAIL FROM:<address>"
                      : smtpd->mail ? "503 5.5.1 A mail is under way already"
                                    : take_path(smtpd, true, path);

    if (why != NULL) {
        put_reply(smtpd, why);
    } else {
        put_event(smtpd, SMTPD_MAIL);
    }
}

static void take_rcpt(struct smtpd *smtpd, char *argument)
{
    char *path = skip_keyword(argument, "TO");
    const char *why = path == NULL   ? "501 5.5.4 Expected: RCPT TO:<address>"
                      : !smtpd->mail ? "503 5.5.1 MAIL comes first"
                      : smtpd->rcpt_count == SMTPD_RCPT_MAX ? "452 4.5.3 Too many recipients"
                                                            : take_path(smtpd, false, path);

    if (why != NULL) {
        put_reply(smtpd, why);
    } else {
        put_event(smtpd, SMTPD_RCPT);
    }
}

static void take_data(struct smtpd *smtpd, const char *argument)
{
    if (*argument != '\0') {
        put_reply(smtpd, "501 5.5.4 DATA takes no argument");
    } else if (!smtpd->mail) {
        put_reply(smtpd, "503 5.5.1 MAIL comes first");
    } else if (smtpd->rcpt_count == 0) {
        put_reply(smtpd, "554 5.5.1 No recipient was accepted");
    } else {
        put_reply(smtpd, "354 End with a dot on a line by itself");
        put_event(smtpd, SMTPD_DATA);
        smtpd->phase = PHASE_BODY;
        smtpd->body_state = BODY_LINE_START;
        smtpd->too_large = false;
        smtpd->size = 0;
    }
}

static void take_quit(struct smtpd *smtpd)
{
    forget_mail(smtpd);
    put_reply(smtpd, "221 2.0.0 Bye");
    put_event(smtpd, SMTPD_QUIT);
    smtpd->phase = PHASE_CLOSED;
}

enum command {
    COMMAND_EHLO,
    COMMAND_HELO,
    COMMAND_MAIL,
    COMMAND_RCPT,
    COMMAND_DATA,
    COMMAND_RSET,
    COMMAND_NOOP,
    COMMAND_QUIT,
    COMMAND_VRFY,
    COMMAND_HELP,
    COMMAND_KNOWN, /* Those that are not offered. */
    COMMAND_COUNT = COMMAND_KNOWN + 6,
};

static enum command find_command(const char *verb)
{
    static const char verbs[] = "EHLO\0HELO\0MAIL\0RCPT\0DATA\0RSET\0NOOP\0QUIT\0VRFY\0HELP\0"
                                "EXPN\0TURN\0ETRN\0AUTH\0STARTTLS\0BDAT";
    unsigned i = 0;

    while (i < COMMAND_COUNT && !text_equal_nocase(verb, text_item(verbs, i))) {
        i++;
    }
    return (enum command)i;
}

static void take_command(struct smtpd *smtpd, const char *verb, char *argument)
{
    enum command command = find_command(verb);

    switch (command) {
    case COMMAND_EHLO:
    case COMMAND_HELO:
        forget_mail(smtpd); /* RFC 5321 4.1.4. */
        if (command == COMMAND_EHLO) {
            put_ehlo(smtpd);
        } else {
            put_hostname(smtpd, "250", "");
        }
        break;
    case COMMAND_MAIL:
        take_mail(smtpd, argument);
        break;
    case COMMAND_RCPT:
        take_rcpt(smtpd, argument);
        break;
    case COMMAND_DATA:
        take_data(smtpd, argument);
        break;
    case COMMAND_RSET:
        forget_mail(smtpd);
        put_reply(smtpd, "250 2.0.0 Ok");
        break;
    case COMMAND_NOOP:
        put_reply(smtpd, "250 2.0.0 Ok");
        break;
    case COMMAND_QUIT:
        take_quit(smtpd);
        break;
    case COMMAND_VRFY:
        put_reply(smtpd, "252 2.5.1 Send it a mail and see");
        break;
    case COMMAND_HELP:
        put_reply(smtpd, "214 2.0.0 EHLO HELO MAIL RCPT DATA RSET NOOP QUIT VRFY HELP");
        break;
    default:
        put_reply(smtpd, command < COMMAND_COUNT ? "502 5.5.1 Not offered here"
                                                 : "500 5.5.2 This command is not known");
        break;
    }
}

/* The line is complete, without its end. */
static void take_line(struct smtpd *smtpd)
{
    char *line = smtpd->line;
    char *argument;

    while (smtpd->line_size > 0 &&
           (line[smtpd->line_size - 1] == '\r' || line[smtpd->line_size - 1] == ' ' ||
            line[smtpd->line_size - 1] == '\t')) {
        smtpd->line_size--;
    }
    line[smtpd->line_size] = '\0';
    for (size_t i = 0; i < smtpd->line_size; i++) {
        smtpd->line_bad |= ((uint8_t)line[i] < ' ' && line[i] != '\t') || line[i] == 0x7F;
    }
    if (smtpd->line_cut || smtpd->line_bad) {
        put_reply(smtpd, smtpd->line_cut ? "500 5.5.2 The line is too long"
                                         : "500 5.5.2 Control characters are in no command");
    } else {
        line += strspn(line, " \t");
        argument = line + strcspn(line, " \t");
        if (*argument != '\0') {
            *argument++ = '\0';
            argument += strspn(argument, " \t");
        }
        take_command(smtpd, line, argument);
    }
    smtpd->line_cut = false;
    smtpd->line_bad = false;
}

/* Takes bytes of commands up to the end of one; returns how many. */
static size_t command_push(struct smtpd *smtpd, const uint8_t *bytes, size_t size)
{
    const uint8_t *end = memchr(bytes, '\n', size);
    size_t taken = end != NULL ? (size_t)(end - bytes) : size;
    size_t room = sizeof smtpd->line - 1 - smtpd->line_size;

    if (taken > room) {
        smtpd->line_cut = true;
    } else {
        room = taken;
    }
    memcpy(smtpd->line + smtpd->line_size, bytes, room);
    smtpd->line_size = (uint16_t)(smtpd->line_size + room);
    if (end == NULL) {
        return taken;
    }
    take_line(smtpd);
    smtpd->line_size = 0;
    return taken + 1;
}

/* --- The body --- */

static void put_body(struct smtpd *smtpd, char c)
{
    smtpd->size++;
    if (smtpd->size_max > 0 && smtpd->size > smtpd->size_max) {
        smtpd->too_large = true; /* The rest is read, but not told. */
        return;
    }
    smtpd->line[smtpd->body_size++] = c;
}

static void body_end(struct smtpd *smtpd)
{
    smtpd->phase = PHASE_COMMAND;
    if (smtpd->too_large) {
        forget_mail(smtpd);
        put_reply(smtpd, "552 5.3.4 The message is too large");
    } else {
        put_event(smtpd, SMTPD_END);
    }
}

static void body_byte(struct smtpd *smtpd, char c)
{
    bool dot = smtpd->body_state == BODY_DOT;

    if (c == '\n' && smtpd->body_state >= BODY_DOT) {
        body_end(smtpd);
        return;
    }
    if (dot && c == '\r') {
        smtpd->body_state = BODY_DOT_CR;
        return;
    }
    if (smtpd->body_state == BODY_LINE_START && c == '.') {
        smtpd->body_state = BODY_DOT;
        return;
    }
    if (smtpd->body_state == BODY_DOT_CR || (smtpd->body_state == BODY_CR && c != '\n')) {
        put_body(smtpd, '\r'); /* It was no line end; a dot was stuffing. */
    }
    if (c == '\r') {
        smtpd->body_state = BODY_CR;
        return;
    }
    put_body(smtpd, c);
    smtpd->body_state = c == '\n' ? BODY_LINE_START : BODY_LINE;
}

/* Takes bytes of the body while there is room and it has not ended; returns how many. */
static size_t body_push(struct smtpd *smtpd, const uint8_t *bytes, size_t size)
{
    size_t taken = 0;

    while (taken < size && smtpd->phase == PHASE_BODY &&
           smtpd->body_size + 2u <= sizeof smtpd->line) {
        body_byte(smtpd, (char)bytes[taken++]);
    }
    return taken;
}

const uint8_t *smtpd_body_buf(struct smtpd *smtpd, size_t *size)
{
    *size = (size_t)(smtpd->body_size - smtpd->body_at);
    return (const uint8_t *)smtpd->line + smtpd->body_at;
}

void smtpd_body_ack(struct smtpd *smtpd, size_t size)
{
    if (size > (size_t)(smtpd->body_size - smtpd->body_at)) {
        return;
    }
    smtpd->body_at = (uint16_t)(smtpd->body_at + size);
    if (smtpd->body_at == smtpd->body_size) {
        smtpd->body_at = 0;
        smtpd->body_size = 0;
    }
}

/* --- The session --- */

void smtpd_init(struct smtpd *smtpd, const char *hostname, uint64_t size_max)
{
    memset(smtpd, 0, sizeof *smtpd);
    smtpd->hostname = hostname;
    smtpd->size_max = size_max;
    put_hostname(smtpd, "220", " ESMTP Tocsin");
}

const uint8_t *smtpd_tx_buf(const struct smtpd *smtpd, size_t *size)
{
    *size = (size_t)(smtpd->tx_size - smtpd->tx_at);
    return (const uint8_t *)smtpd->tx + smtpd->tx_at;
}

void smtpd_tx_ack(struct smtpd *smtpd, size_t size)
{
    if (size > (size_t)(smtpd->tx_size - smtpd->tx_at)) {
        return;
    }
    smtpd->tx_at = (uint16_t)(smtpd->tx_at + size);
    if (smtpd->tx_at == smtpd->tx_size) {
        smtpd->tx_at = 0;
        smtpd->tx_size = 0;
    }
}

size_t smtpd_push(struct smtpd *smtpd, const uint8_t *bytes, size_t size)
{
    size_t taken = 0;

    while (taken < size && smtpd->event == SMTPD_NONE && smtpd->tx_size == 0) {
        size_t step;

        if (smtpd->phase == PHASE_CLOSED) {
            return size;
        }
        if (smtpd->phase == PHASE_BODY) {
            step = body_push(smtpd, bytes + taken, size - taken);
        } else if (smtpd->body_size > 0) {
            break; /* It stands where commands will. */
        } else {
            step = command_push(smtpd, bytes + taken, size - taken);
        }
        if (step == 0) {
            break;
        }
        taken += step;
    }
    return taken;
}

const char *smtpd_address(const struct smtpd *smtpd)
{
    return smtpd->address;
}

void smtpd_eof(struct smtpd *smtpd)
{
    if (smtpd->phase == PHASE_CLOSED) {
        return;
    }
    smtpd->phase = PHASE_CLOSED;
    if (smtpd->event == SMTPD_END) {
        return; /* It came whole: there is an answer to it, though nobody may read it. */
    }
    smtpd->body_at = 0;
    smtpd->body_size = 0;
    smtpd->event = SMTPD_NONE;
    forget_mail(smtpd);
}
