/* config.h - the configuration: a text of `key = value` lines, and the struct that it becomes.
 *
 * One table (config_keys.h) is the only source of keys, types, bounds, defaults and help;
 * docs/config.md, `config show` and every error message are made from it. The same code runs on the
 * device, in the tool that writes a flash image, and in the fuzzer; only the tool's sentences about
 * an error, and its checks of what is well formed but cannot work, need not be on the device, which
 * names the line, the key and the kind of fault. The text is taken line by line,
 * so it need never be whole in RAM; PEM certificates stand in it as they are, and are only counted
 * here (the TLS layer reads them from the store when it needs them).
 *
 *     config_begin(&reader, &config, report, context);
 *     config_push(&reader, text, size);  ... as often as there is text
 *     errors = config_end(&reader);      0: config is valid as a whole
 *
 * Cost: sizeof(struct config) is 3.1 KB, sizeof(struct config_reader) about 1 KB; a reader may lie
 * on the stack. Nothing here waits or allocates.
 */
#ifndef TOCSIN_FIRMWARE_CONFIG_H
#define TOCSIN_FIRMWARE_CONFIG_H

#include "net/error.h"
#include "net/smtp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef CONFIG_HOST_BYTES
#define CONFIG_HOST_BYTES 64 /* A host name as this device uses it, with NUL. */
#endif
#ifndef CONFIG_SECRET_BYTES
#define CONFIG_SECRET_BYTES 112 /* User and password, with NUL. */
#endif
#define CONFIG_TO_MAX 8 /* Bits of a mask in flash. */
#ifndef CONFIG_TO_BYTES
#define CONFIG_TO_BYTES 512 /* All recipients together. */
#endif
#define CONFIG_HOST_MAX 6 /* Static host names. */
#define CONFIG_FACILITIES_ALL 0x00FFFFFFu
#define CONFIG_CA_MAX 8 /* Certificates. */
#ifndef CONFIG_LINE_BYTES
#define CONFIG_LINE_BYTES 768 /* Longest line of the text. */
#endif
#define CONFIG_TEXT_BYTES 32768 /* Longest text, certificates included. */
#ifndef CONFIG_MAILBOX_BYTES
#define CONFIG_MAILBOX_BYTES 96 /* A shorter address, with NUL. */
#endif

/* A schedule: 0 never; a number of seconds (`6h`); or each day (`daily 07:00`), or each seventh day
 * (`weekly 07:00`), at a minute of the day, which stands in the low bits. `daily` and `weekly`
 * alone are 24 h and 168 h. */
#define CONFIG_DAILY 0x80000000u
#define CONFIG_WEEKLY 0xC0000000u
#define CONFIG_MINUTE_MASK 0x7FFu

/* What `commands` names; in this order in its table. */
enum config_command {
    CONFIG_COMMAND_HELP,
    CONFIG_COMMAND_STATUS,
    CONFIG_COMMAND_REPORT,
    CONFIG_COMMAND_TEST,
    CONFIG_COMMAND_QUEUE,
    CONFIG_COMMAND_ACK,
    CONFIG_COMMAND_MUTE,
    CONFIG_COMMAND_POLL,
    CONFIG_COMMAND_HISTORY,
    CONFIG_COMMAND_CONFIG_SHOW,
    CONFIG_COMMAND_CONFIG_SET,
    CONFIG_COMMAND_CONFIG_IMPORT,
    CONFIG_COMMAND_OTP,
    CONFIG_COMMAND_REBOOT,
    CONFIG_COMMAND_COUNT
};

struct config_endpoint {
    char host[CONFIG_HOST_BYTES]; /* Name or dotted IPv4; "" when unset. */
    uint16_t port;
};

/* A chain of one-time passwords (otp.h). */
struct config_chain {
    uint32_t sequence; /* Of `last`; 0: no chain. */
    char seed[17];     /* Lower case. */
    uint8_t last[8];
};

struct config {
    /* Who. */
    char hostname[CONFIG_HOST_BYTES];
    char to[CONFIG_TO_BYTES]; /* to_count addresses, each ended by NUL: use config_to(). */
    uint8_t to_count;
    char from[CONFIG_MAILBOX_BYTES]; /* Complete after config_end(), whatever it was made of. */
    char from_name[CONFIG_HOST_BYTES];
    char rewrite_domain[CONFIG_HOST_BYTES];
#ifndef TOCSIN_HOSTED
    bool from_line_override;
#endif

    /* Mail server. */
    struct config_endpoint mailhub;
    char tls_name[CONFIG_HOST_BYTES]; /* Name in the certificate; mailhub's by default. */
    enum smtp_tls tls;             /* Settled by config_end(): from `tls`, UseTLS, or the port. */
    uint8_t tls_written;           /* 0: the port decides; otherwise 1 + enum smtp_tls. */
    uint8_t use_tls, use_starttls; /* ssmtp's: 0 not written, 1 NO, 2 YES. */
    bool auth_without_tls;
    char auth_user[CONFIG_SECRET_BYTES];
    char auth_pass[CONFIG_SECRET_BYTES];
    uint8_t ca_count; /* PEM certificates in the text. */
    uint32_t connect_timeout_s, greeting_timeout_s, command_timeout_s, body_timeout_s,
        accept_timeout_s;
    uint32_t retry_min_s, retry_max_s; /* Exponential backoff between these, with jitter. */
    uint32_t expire_s;

    /* A second mail server; "" in mailhub2.host: none. */
    struct config_endpoint mailhub2;
    char tls2_name[CONFIG_HOST_BYTES];
    enum smtp_tls tls2; /* Settled like tls. */
    uint8_t tls2_written;
    char auth_user2[CONFIG_SECRET_BYTES];
    char auth_pass2[CONFIG_SECRET_BYTES];

    /* Storms (policy.h) and the provider's limits (limits.h); 0: off. */
    uint32_t repeat_window_s, alerts_per_hour, digest_delay_s;
    uint32_t limit_minute, limit_hour, limit_day;

    /* Configuration on the device (candidate.h). */
    bool confirm;
    uint32_t confirm_timeout_s;

    /* The device's mailbox (poller.h); "" in pop3.host: none. */
    struct config_endpoint pop3;
    char pop3_tls_name[CONFIG_HOST_BYTES];
    enum smtp_tls pop3_tls; /* Settled like tls: 995 is TLS on connect, 110 STLS. */
    uint8_t pop3_tls_written;
    char pop3_user[CONFIG_SECRET_BYTES];
    char pop3_pass[CONFIG_SECRET_BYTES];
    char mailbox[CONFIG_MAILBOX_BYTES]; /* Its address; `from` if not written. */
    uint32_t poll_s;                    /* Between two looks; 0: only on demand. */
    uint32_t poll_fast_s;               /* For a while after activity. */
    uint32_t pop3_size_max;             /* Larger messages are never downloaded. Bytes. */
    bool pop3_delete;                   /* What is not for the device is deleted. */

    /* Mailed commands (authority.h, remote.h). */
    uint32_t commands;                        /* Bit i: CONFIG_COMMAND_* i is allowed. */
    bool command_key_set, command_public_set; /* Whether the next two are written. */
    uint8_t command_key[32];                  /* HMAC-SHA-256. */
    uint8_t command_public[64];               /* ECDSA P-256: x, y. */
    struct config_chain otp;
    char answer_to[CONFIG_MAILBOX_BYTES]; /* Where answers and reports go; `root` if not written. */
    uint32_t answers_per_hour;            /* 0: no limit. */
    uint32_t report;                      /* A schedule: see CONFIG_DAILY. */
    uint32_t self_test;                   /* A schedule. */

    /* Network. Addresses are in network byte order; 0 is unset. */
    bool dhcp;
    uint32_t address, netmask, gateway;
    struct config_endpoint dns[2];  /* Dotted IPv4 and port (53). */
    struct config_endpoint sntp[2]; /* Name or IPv4 and port (123). */
    struct {
        char name[CONFIG_HOST_BYTES];
        uint32_t address;
    } host[CONFIG_HOST_MAX];
    uint8_t host_count;

    /* What goes in. */
    uint16_t syslog_port;                  /* 514; 0 turns the listener off. */
    uint8_t syslog_severity;               /* This and worse (lower) ones become alerts. */
    uint32_t syslog_facilities;            /* Bit i: facility i is taken. */
    char syslog_match[CONFIG_HOST_BYTES];  /* Only texts that hold this, case ignored; "": all. */
    char syslog_ignore[CONFIG_HOST_BYTES]; /* Never texts that hold this; "": none. */
    bool alert_boot, alert_link;

    int16_t zone_minutes;

#ifdef TOCSIN_HOSTED
    /* A program among files and users (boards/linux). Paths are "" when unset. */
    uint8_t from_line_override; /* 0 not written, 1 NO, 2 YES. */
    bool queue;
    char spool[CONFIG_PATH_BYTES];
    char aliases[CONFIG_PATH_BYTES];
    char revaliases[CONFIG_PATH_BYTES];
    char log[CONFIG_PATH_BYTES]; /* Or "syslog", "off". */
    char tls_ca_file[CONFIG_PATH_BYTES];
    char auth_pass_file[CONFIG_PATH_BYTES];
    char auth_pass_command[CONFIG_SECRET_BYTES];
    char auth_pass_file2[CONFIG_PATH_BYTES];
    char auth_pass_command2[CONFIG_SECRET_BYTES];
    char pop3_pass_file[CONFIG_PATH_BYTES];
    char pop3_pass_command[CONFIG_SECRET_BYTES];
    char deliver[CONFIG_PATH_BYTES];
    char accounts[CONFIG_PATH_BYTES];
    char state[CONFIG_PATH_BYTES];
    char syslog_listen[CONFIG_HOST_BYTES]; /* An address, or "*". */
    uint32_t total_timeout_s;              /* 0: none. */
    uint32_t min_user_id;
#endif
};

/* One finding. line 0: the text as a whole. key may be "". The strings live during the call. */
typedef void config_report(void *context, unsigned line, const char *key, const char *message);

#include "firmware/config_state.h" /* struct config_reader; private. */

/* Everything is borrowed until config_end(). */
void config_begin(struct config_reader *reader, struct config *config, config_report *report,
                  void *context);

/* Takes the next piece of the text, of any size. */
void config_push(struct config_reader *reader, const char *text, size_t size);

/* Checks the whole and settles what follows from other keys. Returns the number of errors; config
 * is usable only if it is 0. */
MUST_CHECK int config_end(struct config_reader *reader);

/* For people who write a configuration: after config_begin(), makes each finding a sentence that
 * says what was expected. */
void config_explain(struct config_reader *reader);

/* After config_end(): finds what is well formed but cannot work (recipients written twice, an
 * address outside its network, names that nothing can look up). Returns how many. */
MUST_CHECK int config_review(struct config_reader *reader);

/* All defaults, no mailhub: what a device without a configuration runs on. */
void config_defaults(struct config *config);

/* Fills out with up to max pointers into config; returns how many. */
size_t config_to(const struct config *config, const char **out, size_t max);

/* One mail server: a view of config. */
struct config_server {
    const struct config_endpoint *endpoint;
    const char *tls_name;
    const char *user; /* "": no login. */
    const char *password;
    enum smtp_tls tls;
};

/* How many mail servers there are, 0 to 2; and one of them, 0 being `mailhub`. */
unsigned config_servers(const struct config *config);
void config_server(const struct config *config, unsigned index, struct config_server *view);

/* `config show`: writes line `index` ("key = value", secrets as "********") to out. Returns its
 * length, 0: past the last. Certificates are not among them. 300 bytes hold every line; the lines
 * of a valid configuration, secrets written back, are a text that gives the same configuration. */
size_t config_show_line(const struct config *config, unsigned index, char *out, size_t size);

/* docs/config.md's table rows, in the same manner, from the same table. 700 bytes hold every row.
 */
size_t config_doc_line(unsigned index, char *out, size_t size);

/* Why a key that is taken for ssmtp's sake has no effect; NULL: it has one, or there is no such
 * key. */
const char *config_key_note(const char *key);

/* "SEQUENCE SEED RESPONSE", the last in 16 hexadecimal digits, as `tocsin otp chain` prints it; the
 * text is cut up. False: it is something else. */
MUST_CHECK bool config_chain_parse(char *text, struct config_chain *chain);

/* A time as people write it: "90", "30m", "1d", up to max; or "off", which is 0. */
MUST_CHECK bool config_seconds_parse(const char *text, uint32_t max, uint32_t *seconds);

/* Splits one NUL-ended line in place, as the reader does. 1: key and value point into line;
 * 0: a blank line or a comment; E_INVALID: no `key = value`. */
MUST_CHECK int config_line_split(char *line, char **key, char **value);

/* Whether two keys are the same as people write them: case, blanks, '_' and '-' do not count. */
bool config_key_same(const char *a, const char *b);

#endif
