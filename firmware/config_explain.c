/* The sentences for people who write a configuration: what was expected, and what they may have
 * meant. The device names only the kind of fault, and does not link this. */
#include "firmware/config_table.h"

#include <string.h>

#define MESSAGE_BYTES 280

/* A number of ours inside a message. */
#define NUMBER_(macro) #macro
#define NUMBER(macro) NUMBER_(macro)

#ifdef TOCSIN_HOSTED
#define TOO_LONG "too long with its domain"
#else
#define TOO_LONG "too long: with its domain, expected at most 95 bytes"
#endif

#ifndef TOCSIN_HOSTED
_Static_assert(CONFIG_MAILBOX_BYTES == 96, "what TOO_LONG says");
#endif

#define ANY (-1) /* Any key, or none: the last row of its fault. */

static const struct {
    enum config_fault fault;
    int key;
    const char *sentence;
} sentences[] = {
    {CONFIG_AGAIN, CONFIG_KEY_to, "the same address twice; expected it once"},
    {CONFIG_AGAIN, CONFIG_KEY_host, "this host name was already given an address"},
    {CONFIG_MANY, CONFIG_KEY_to,
     "too many recipients: expected at most " NUMBER(SMTP_RCPT_MAX) ", and " NUMBER(
         CONFIG_TO_BYTES) " bytes in all"},
    {CONFIG_MANY, CONFIG_KEY_host,
     "too many host names: expected at most " NUMBER(CONFIG_HOST_MAX)},
    {CONFIG_MANY, CONFIG_KEY_dns, "too many servers: expected at most 2"},
    {CONFIG_MANY, CONFIG_KEY_sntp, "too many servers: expected at most 2"},
    {CONFIG_MANY, ANY, "more certificates than fit: expected at most " NUMBER(CONFIG_CA_MAX)},
    {CONFIG_LONG, CONFIG_KEY_to, "too long once rewrite_domain is appended"},
    {CONFIG_LONG, CONFIG_KEY_from, TOO_LONG},
    {CONFIG_LONG, CONFIG_KEY_mailbox, TOO_LONG},
    {CONFIG_LONG, CONFIG_KEY_answer_to, TOO_LONG},
    {CONFIG_LONG, ANY,
     "the line is too long: expected at most " NUMBER(CONFIG_LINE_BYTES) " bytes"},
    {CONFIG_MISSING, CONFIG_KEY_to, "missing; expected root = ADDRESS, who gets the alerts"},
    {CONFIG_MISSING, CONFIG_KEY_mailhub, "missing; expected mailhub = HOST:PORT, the mail server"},
    {CONFIG_MISSING, CONFIG_KEY_tls_ca_file,
     "missing; TLS needs the CA certificate that the server's is verified against: expected "
     "TLS_CA_File = FILE.pem, or the PEM block itself"},
    {CONFIG_MISSING, CONFIG_KEY_auth_pass, "missing; expected the password of auth_user"},
    {CONFIG_MISSING, CONFIG_KEY_auth_user, "missing; expected the user whom auth_pass belongs to"},
    {CONFIG_MISSING, CONFIG_KEY_mailhub2,
     "missing; the other keys that end in 2 are about it: expected mailhub2 = HOST:PORT"},
    {CONFIG_MISSING, CONFIG_KEY_auth_pass2, "missing; expected the password of auth_user2"},
    {CONFIG_MISSING, CONFIG_KEY_auth_user2,
     "missing; expected the user whom auth_pass2 belongs to"},
    {CONFIG_MISSING, CONFIG_KEY_pop3,
     "missing; the mailbox that command keys, otp, self_test and the keys that begin with pop3 are "
     "about: expected pop3 = HOST:PORT"},
    {CONFIG_MISSING, CONFIG_KEY_pop3_user, "missing; expected the user whose mailbox it is"},
    {CONFIG_MISSING, CONFIG_KEY_pop3_pass, "missing; expected the password of pop3_user"},
    {CONFIG_UNSIGNED, CONFIG_KEY_commands,
     "config-set, config-import and otp are never taken with a one-time password: expected "
     "command_key or command_public_key too, or other commands"},
    {CONFIG_NO_POINT, CONFIG_KEY_command_public,
     "expected the base64 text of a P-256 public key: this one is not on the curve"},
    {CONFIG_MISSING, CONFIG_KEY_netmask,
     "missing; a static address needs it: expected address = ADDRESS/LENGTH"},
    {CONFIG_NO_DOMAIN, CONFIG_KEY_to,
     "expected an address with its domain, like admin@example.com, or rewrite_domain = DOMAIN"},
    {CONFIG_NO_DOMAIN, CONFIG_KEY_from,
     "expected an address with its domain, like router@example.com, or rewrite_domain = DOMAIN"},
    {CONFIG_NO_DOMAIN, CONFIG_KEY_mailbox,
     "expected an address with its domain, like router@example.com, or rewrite_domain = DOMAIN"},
    {CONFIG_NO_DOMAIN, CONFIG_KEY_answer_to,
     "expected an address with its domain, like admin@example.com, or rewrite_domain = DOMAIN"},
    {CONFIG_CLASH, CONFIG_KEY_tls_written,
     "UseTLS or UseSTARTTLS says something else; expected only one of them to be written"},
    {CONFIG_CLASH, CONFIG_KEY_retry_min_s, "expected retry_max to be at least retry_min"},
    {CONFIG_CLASH, CONFIG_KEY_retry_max_s, "expected retry_max to be at least retry_min"},
    {CONFIG_CLASH, CONFIG_KEY_mailhub2, "the same server as mailhub; expected another one"},
    {CONFIG_CLASH, CONFIG_KEY_sntp, "expected off alone, or a server"},
    {CONFIG_CLEAR, CONFIG_KEY_use_tls,
     "UseTLS = NO does not suffice to send in clear text: expected YES, or tls = off if that is "
     "really meant"},
    {CONFIG_CLEAR, CONFIG_KEY_use_starttls,
     "this leaves no TLS on that port: expected UseTLS = YES for TLS on connect, or UseSTARTTLS = "
     "YES, or tls = off if clear text is really meant"},
    {CONFIG_CLEAR, CONFIG_KEY_auth_user,
     "tls = off would send the password in clear text: expected TLS, or no auth_user, or "
     "auth_without_tls = yes if that is really meant"},
    {CONFIG_CLEAR, CONFIG_KEY_auth_user2,
     "tls2 = off would send the password in clear text: expected TLS, or no auth_user2, or "
     "auth_without_tls = yes if that is really meant"},
    {CONFIG_NO_PAIR, ANY, "expected a line `key = value`, a comment or nothing"},
    {CONFIG_NO_END, ANY, "this PEM block has no -----END CERTIFICATE----- line"},
    {CONFIG_NO_DNS, ANY,
     "nothing can find this name's address: expected dns = ADDRESS, or host = NAME ADDRESS"},
};

static const char *const expected[] = {
    [CONFIG_MAILBOXES] = "addresses like admin@example.com, parted by commas",
    [CONFIG_MAILBOX] = "an address like router@example.com of at most ",
    [CONFIG_TEXT] = "UTF-8 text of at most ",
    [CONFIG_SECRET] = "UTF-8 text of at most ",
    [CONFIG_HMAC_KEY] = "64 hexadecimal digits, like `openssl rand -hex 32` prints",
    [CONFIG_PUBLIC_KEY] = "the base64 text of a P-256 public key, in one line",
    [CONFIG_CHAIN] = "SEQUENCE SEED RESPONSE, the response in 16 hexadecimal digits",
    [CONFIG_COMMANDS] = "names of commands (help, status, report, test, queue, ack, mute, poll, "
                        "history, config-show, config-set, config-import, otp, reboot), all, none "
                        "or default",
    [CONFIG_DOMAIN] = "a name of letters, digits, hyphens and dots of at most 63 bytes",
    [CONFIG_HOST] = "a host name of at most 63 bytes or an IPv4 address",
    [CONFIG_ENDPOINT] =
        "HOST or HOST:PORT, where HOST is a name of at most 63 bytes or an IPv4 address",
    [CONFIG_ENDPOINTS] = "HOST or HOST:PORT, up to 2 of them, or off",
    [CONFIG_SERVERS] = "an IPv4 address, with :PORT or without, up to 2 of them",
    [CONFIG_HOSTS] = "NAME ADDRESS, like mail.example.com 192.0.2.25",
    [CONFIG_BOOL] = "yes or no",
    [CONFIG_SWITCH] = "yes or no",
    [CONFIG_TLS] =
        "implicit, starttls or on (the port decides), or off if clear text is really meant",
    [CONFIG_SECONDS] = "a time (30, 30s, 5m, 1h, 1d) in seconds from ",
    [CONFIG_NUMBER] = "a number from ",
    [CONFIG_SCHEDULE] =
        "a time from 10m to 30d (6h), daily or weekly, both also with HH:MM, or off",
    [CONFIG_PORT] = "a port number from ",
    [CONFIG_NETWORK] = "dhcp, or an IPv4 address like 192.0.2.10/24",
    [CONFIG_NETMASK] = "a mask from 128.0.0.0 to 255.255.255.252",
    [CONFIG_IPV4] = "an IPv4 address",
    [CONFIG_SEVERITY] =
        "emergency, alert, critical, error, warning, notice, info, debug, or 0 to 7",
    [CONFIG_FACILITIES] =
        "all, or names (kern, user, daemon, auth, ..., local7) or numbers (0 to 23)",
    [CONFIG_ZONE] = "UTC, or a distance from it, -12:00 to +14:00",
    [CONFIG_ALIAS] = "the same",
    [CONFIG_FILE] = "a file of PEM certificates",
    [CONFIG_METHOD] = "plain or login",
    [CONFIG_IGNORED] = "anything",
    [CONFIG_CLIENT_CERT] = "no: client certificates are not supported",
    [CONFIG_REFUSED] = "no such key: what it asks for is not supported",
};

void config_value_expected(const struct config_key *key, struct text *out)
{
    text_add(out, expected[key->type]);
    if (key->type == CONFIG_TEXT || key->type == CONFIG_SECRET || key->type == CONFIG_MAILBOX) {
        text_format(out, "%u bytes", (unsigned)key->limit - 1);
    } else if (key->type == CONFIG_SECONDS || key->type == CONFIG_NUMBER ||
               key->type == CONFIG_PORT) {
        text_format(out, "%u to %u%s", key->low, (unsigned)key->limit,
                    key->low == 0 ? ", or off" : "");
    }
}

/* A letter or digit of a key, which case and '_' or '-' before it do not change. */
static bool same_letter(char a, char b)
{
    char left[2] = {a, '\0'}, right[2] = {b, '\0'};

    return text_equal_nocase(left, right);
}

/* Copies without what does not count in a key. */
static size_t key_letters(const char *key, char out[CONFIG_VALUE_SHOWN])
{
    size_t length = 0;

    for (; *key != '\0' && length < CONFIG_VALUE_SHOWN; key++) {
        if (*key != '_' && *key != '-') {
            out[length++] = *key;
        }
    }
    return length;
}

/* Levenshtein distance of two keys. */
static unsigned key_distance(const char *a, const char *b)
{
    char left[CONFIG_VALUE_SHOWN], right[CONFIG_VALUE_SHOWN];
    size_t left_length = key_letters(a, left), right_length = key_letters(b, right);
    unsigned row[CONFIG_VALUE_SHOWN + 1]; /* row[j]: from what was read of a to j letters of b. */

    for (unsigned j = 0; j <= right_length; j++) {
        row[j] = j;
    }
    for (size_t i = 0; i < left_length; i++) {
        unsigned diagonal = row[0]++;

        for (size_t j = 1; j <= right_length; j++) {
            unsigned above = row[j];
            unsigned best = same_letter(left[i], right[j - 1]) ? diagonal : diagonal + 1;

            best = best <= above ? best : above + 1;
            best = best <= row[j - 1] ? best : row[j - 1] + 1;
            diagonal = above;
            row[j] = best;
        }
    }
    return row[right_length];
}

static void unknown_key(const char *written, struct text *out)
{
    size_t length = strlen(written);
    unsigned nearest = length <= 3 ? (unsigned)length : 3 + (length > 8); /* Else another word. */
    const char *found = NULL;

    for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
        const char *name = config_key_name(&config_keys[i]);
        unsigned distance = key_distance(written, name);

        if (distance < nearest) {
            nearest = distance;
            found = name;
        }
    }
    if (found != NULL) {
        text_format(out, "no such key; did you mean '%s'?", found);
    } else {
        text_add(out, "no such key; docs/config.md lists the known ones");
    }
}

/* "expected WHAT, not 'VALUE'" */
static void wrong_value(const struct config_reader *reader, const struct config_key *key,
                        struct text *out)
{
    const char *value = reader->value;

    if (key->type == CONFIG_FILE) {
        text_add(out, "this device has no files: expected the PEM blocks themselves, -----BEGIN "
                      "CERTIFICATE----- to -----END CERTIFICATE-----, anywhere in the text");
        return;
    }
    text_add(out, "expected ");
    config_value_expected(key, out);
    if (!config_key_secret(key)) {
        text_add(out, ", not '");
        text_add_printable(out, value, strlen(value));
        text_add(out, strlen(value) == CONFIG_VALUE_SHOWN - 1 ? "...'" : "'");
        if (strstr(value, " #") != NULL || strstr(value, " ;") != NULL) {
            text_add(out, " (a comment needs a line of its own)");
        }
    }
}

/* Of a line that is no UTF-8 text. */
static const char *wrong_text(const char *line)
{
    for (; *line != '\0'; line++) {
        if ((*line > 0 && *line < ' ' && *line != '\t') || *line == 0x7F) {
            return "expected text; the line holds a control character";
        }
    }
    return "expected plain UTF-8: save the file in that encoding";
}

/* Of a line that has no place in, or between, PEM blocks. */
static const char *wrong_pem(const char *line)
{
    if (strstr(line, "PRIVATE KEY") != NULL) {
        return "a private key has no place here: remove it, and if others could read this file, "
               "replace the key";
    }
    if (strstr(line, "-----BEGIN ") != NULL) {
        return "expected -----BEGIN CERTIFICATE-----";
    }
    return strstr(line, "-----END ") != NULL
               ? "expected -----END CERTIFICATE----- after its BEGIN line"
               : "expected a line of base64: this is inside a certificate";
}

/* What the table has about it; "": nothing. */
static const char *sentence(enum config_fault fault, const struct config_key *key)
{
    for (size_t i = 0; i < sizeof sentences / sizeof sentences[0]; i++) {
        if (sentences[i].fault == fault &&
            (sentences[i].key == ANY || &config_keys[sentences[i].key] == key)) {
            return sentences[i].sentence;
        }
    }
    return "";
}

/* A mask may clash with another while it is read, all three with each other in the end. */
static const char *wrong_network(const struct config_reader *reader, const struct config_key *key)
{
    if (reader->value[0] != '\0') {
        return "expected the same mask as in the other line that has one";
    }
    if (key == &config_keys[CONFIG_KEY_address]) {
        return "expected the address of a host in its network";
    }
    if (key == &config_keys[CONFIG_KEY_netmask]) {
        return "DHCP gives the mask: expected a static address too";
    }
    return reader->config->dhcp
               ? "DHCP gives the gateway: expected a static address too"
               : "expected another host's address inside the network of `address` and its mask";
}

static void explain(const struct config_reader *reader, unsigned line, const char *key, int fault)
{
    const struct config_key *row = config_key_find(key);
    char message[MESSAGE_BYTES];
    char shown[CONFIG_VALUE_SHOWN];
    struct text text = text_begin(message, sizeof message);
    struct text name = text_begin(shown, sizeof shown);

    text_add_printable(&name, key, strlen(key));
    switch ((enum config_fault)fault) {
    case CONFIG_UNKNOWN:
        unknown_key(key, &text);
        break;
    case CONFIG_INVALID:
        wrong_value(reader, row, &text);
        break;
    case CONFIG_NO_TEXT:
        text_add(&text, wrong_text(reader->line_text));
        break;
    case CONFIG_NO_PEM:
        text_add(&text, wrong_pem(reader->line_text));
        break;
    default:
        break;
    }
    if (fault == CONFIG_AGAIN && row->type > CONFIG_SERVERS) {
        text_format(&text, "already written in line %u; expected once",
                    reader->key_line[row - config_keys]);
    } else if (fault == CONFIG_LONG && reader->text_bytes > CONFIG_TEXT_BYTES) {
        text_add(&text, "the text is too long: expected at most " NUMBER(
                            CONFIG_TEXT_BYTES) " bytes, certificates included");
    }
    if (text.length == 0) {
        text_add(&text, sentence((enum config_fault)fault, row));
    }
    if (text.length == 0) {
        text_add(&text, wrong_network(reader, row));
    }
    reader->report(reader->context, line, shown, message);
}

void config_explain(struct config_reader *reader)
{
    reader->explain = explain;
}
