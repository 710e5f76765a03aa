/* config_table.h - one row of the table as the code sees it: private to config*.c. */
#ifndef TOCSIN_FIRMWARE_CONFIG_TABLE_H
#define TOCSIN_FIRMWARE_CONFIG_TABLE_H

#include "firmware/config.h"
#include "firmware/config_keys.h"
#include "net/text.h"

/* A number of ours inside a message. */
#define NUMBER_(macro) #macro
#define NUMBER(macro) NUMBER_(macro)

enum config_type {
    CONFIG_MAILBOXES, /* Addresses, each ended by NUL. */
    CONFIG_MAILBOX,   /* One address; its domain may be missing until config_end(). */
    CONFIG_TEXT,
    CONFIG_SECRET,    /* A text that is never shown, nor repeated in an error. */
    CONFIG_DOMAIN,    /* A host name or a domain. */
    CONFIG_HOST,      /* A host name or an IPv4 address. */
    CONFIG_ENDPOINT,  /* HOST[:PORT] */
    CONFIG_ENDPOINTS, /* Two of them, or off. */
    CONFIG_SERVERS,   /* Two of them, IPv4 addresses only. */
    CONFIG_HOSTS,     /* NAME ADDRESS */
    CONFIG_BOOL,
    CONFIG_SWITCH, /* 1 no, 2 yes: 0 stays for "not written". */
    CONFIG_TLS,
    CONFIG_SECONDS,
    CONFIG_PORT,
    CONFIG_NETWORK, /* dhcp or ADDRESS[/LENGTH]; fills three members. */
    CONFIG_NETMASK,
    CONFIG_IPV4,
    CONFIG_SEVERITY,
    CONFIG_FACILITIES,
    CONFIG_ZONE,
    /* Keys that fill nothing. */
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
    const char *name;    /* "name" or "name|another". */
    const char *initial; /* "": none. */
    uint32_t high;
    uint16_t offset, size; /* Of the member in struct config. */
    uint8_t low;
    uint8_t type;
};

extern const struct config_key config_keys[CONFIG_KEY_COUNT];

/* The row of a key as a person writes it; NULL: none. */
const struct config_key *config_key_find(const char *written);

/* What messages call it: the first of its names. */
void config_key_name(const struct config_key *key, struct text *out);

/* Puts a value, which it may cut up, into the member; `first` empties a list. NULL: taken.
 * Otherwise a sentence, or "" for: expected config_value_expected(). */
const char *config_value_set(struct config *config, const struct config_key *key, char *value,
                             bool first);

/* "a number of seconds from 1 to 600 ..." */
void config_value_expected(const struct config_key *key, struct text *out);

/* How many lines of `config show` the member takes, and the value of one of them. */
unsigned config_value_lines(const struct config *config, const struct config_key *key);
void config_value_show(const struct config *config, const struct config_key *key, unsigned item,
                       struct text *out);

enum config_mailbox { CONFIG_MAILBOX_NONE, CONFIG_MAILBOX_LOCAL, CONFIG_MAILBOX_FULL };

/* RFC 5321 4.1.2 Mailbox, ASCII only: whole, or its local part alone. */
enum config_mailbox config_mailbox_kind(const char *text);

/* RFC 1123 2.1 host name, which no dotted number is. */
bool config_domain_valid(const char *text, size_t length);

/* Reports one error, with the key's first line where it was written. */
void config_fail(struct config_reader *reader, enum config_key_id id, const char *message);

/* What follows from several keys together; called by config_end(). */
void config_settle(struct config_reader *reader);

#endif
