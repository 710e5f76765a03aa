/* config_table.h - one row of the table as the code sees it: private to config*.c. */
#ifndef TOCSIN_FIRMWARE_CONFIG_TABLE_H
#define TOCSIN_FIRMWARE_CONFIG_TABLE_H

#include "firmware/config.h"
#include "firmware/config_keys.h"
#include "net/text.h"

enum config_type {
    /* These may be written in several lines. */
    CONFIG_MAILBOXES, /* Addresses, each ended by NUL. */
    CONFIG_HOSTS,     /* NAME ADDRESS */
    CONFIG_ENDPOINTS, /* Two of them, or off. */
    CONFIG_COMMANDS,  /* Names into a bit mask. */
    CONFIG_SERVERS,   /* Two of them, IPv4 addresses only. */
    /* These in one. */
    CONFIG_MAILBOX, /* One address; its domain may be missing until config_end(). */
    CONFIG_TEXT,
    CONFIG_SECRET,     /* A text that is never shown, nor repeated in an error. */
    CONFIG_HMAC_KEY,   /* Hexadecimal digits; as secret. */
    CONFIG_PUBLIC_KEY, /* SubjectPublicKeyInfo of a P-256 key in base64. */
    CONFIG_CHAIN,      /* SEQUENCE SEED RESPONSE */
    CONFIG_DOMAIN,     /* A host name or a domain. */
    CONFIG_HOST,       /* A host name or an IPv4 address. */
    CONFIG_ENDPOINT,   /* HOST[:PORT] */
    CONFIG_BOOL,
    CONFIG_TLS,
    CONFIG_SECONDS,  /* A time; with 0 as its lowest, also `off`. */
    CONFIG_NUMBER,   /* The same without units. */
    CONFIG_SCHEDULE, /* A time, or `daily` or `weekly` at an hour (config.h). */
    CONFIG_PORT,
    CONFIG_NETWORK, /* dhcp or ADDRESS[/LENGTH]; fills three members. */
    CONFIG_NETMASK,
    CONFIG_IPV4,
    CONFIG_SEVERITY,
    CONFIG_FACILITIES,
    CONFIG_ZONE,
    /* These are not shown: settled into `tls`, or nothing to settle. */
    CONFIG_SWITCH, /* 1 no, 2 yes: 0 stays for "not written". */
    CONFIG_ALIAS,  /* Another name of the row above. */
    CONFIG_FILE,
    CONFIG_METHOD,
    CONFIG_IGNORED,
    CONFIG_CLIENT_CERT, /* Only `no` can be had. */
    CONFIG_REFUSED
};

#define CONFIG_KEY_ID(field, type, name, low, high, initial, help) CONFIG_KEY_##field,
#define CONFIG_OLD_ID(id, type, name, help) CONFIG_KEY_##id,
enum config_key_id { CONFIG_KEYS(CONFIG_KEY_ID, CONFIG_OLD_ID) CONFIG_KEY_COUNT };

struct config_key {
    uint16_t offset; /* Of the member in struct config. */
    uint8_t type;
    uint8_t low;    /* Of a number. */
    uint32_t limit; /* The row's high, or the member's size. */
};

extern const struct config_key config_keys[CONFIG_KEY_COUNT];

/* What can be wrong, in the words of a device that has no room for config_explain(). */
#define CONFIG_FAULTS(FAULT)                    \
    FAULT(TAKEN, "")                            \
    FAULT(INVALID, "not valid")                 \
    FAULT(UNKNOWN, "no such key")               \
    FAULT(AGAIN, "written twice")               \
    FAULT(MANY, "too many")                     \
    FAULT(LONG, "too long")                     \
    FAULT(MISSING, "missing")                   \
    FAULT(NO_DOMAIN, "without a domain")        \
    FAULT(CLASH, "another line says otherwise") \
    FAULT(CLEAR, "would be in clear text")      \
    FAULT(NO_PAIR, "not `key = value`")         \
    FAULT(NO_TEXT, "not UTF-8 text")            \
    FAULT(NO_PEM, "not a PEM certificate")      \
    FAULT(NO_END, "PEM block without its end")  \
    FAULT(NO_DNS, "not found without `dns`")    \
    FAULT(UNSIGNED, "needs signed orders")      \
    FAULT(NO_POINT, "not a key of P-256")

#define CONFIG_FAULT_ID(id, words) CONFIG_##id,
enum config_fault { CONFIG_FAULTS(CONFIG_FAULT_ID) CONFIG_FAULT_COUNT };

/* The row of a key as a person writes it, ended by NUL or '='; NULL: none. */
const struct config_key *config_key_find(const char *written);

/* Its value is never shown. */
bool config_key_secret(const struct config_key *key);

/* What messages call it, and its default. */
const char *config_key_name(const struct config_key *key);
const char *config_key_initial(const struct config_key *key);

/* Cuts blanks (and CR) off both ends; returns the new start. */
char *config_trim(char *text);

/* Puts a value, which it may cut up, into the member; `first` empties a list. */
enum config_fault config_value_set(struct config *config, const struct config_key *key, char *value,
                                   bool first);

/* Appends a line's value; a list has several, from 0. False: there is no such line. */
bool config_value_show(const struct config *config, const struct config_key *key, unsigned item,
                       struct text *out);

/* "a time (30, 30s, 5m, 1h, 1d) in seconds from 1 to 600" */
void config_value_expected(const struct config_key *key, struct text *out);

enum config_mailbox { CONFIG_MAILBOX_NONE, CONFIG_MAILBOX_LOCAL, CONFIG_MAILBOX_FULL };

/* RFC 5321 4.1.2 Mailbox, ASCII only: whole, or its local part alone. */
enum config_mailbox config_mailbox_kind(const char *text);

/* ASCII letters and digits. */
bool config_alphanumeric(char c);

/* Reports one error, with the key's first line where it was written. */
void config_fail(struct config_reader *reader, enum config_key_id id, enum config_fault fault);

/* Whether a line, good or not, gave the key a value. */
bool config_written(const struct config_reader *reader, enum config_key_id id);

/* What follows from several keys together; called by config_end(). */
void config_settle(struct config_reader *reader);

#endif
