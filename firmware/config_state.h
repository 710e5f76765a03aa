/* config_state.h - struct config_reader: private to config*.c; here for callers to place. */
#ifndef TOCSIN_FIRMWARE_CONFIG_STATE_H
#define TOCSIN_FIRMWARE_CONFIG_STATE_H

#ifndef CONFIG_KEY_MAX
#define CONFIG_KEY_MAX 80 /* Keys in the table; a static assertion holds it. */
#endif
#ifndef CONFIG_INITIAL_BYTES
#define CONFIG_INITIAL_BYTES 16 /* The longest default, with NUL. */
#endif

#define CONFIG_VALUE_SHOWN 40

enum config_pem {
    CONFIG_PEM_NONE,
    CONFIG_PEM_INSIDE, /* Between BEGIN and END. */
    CONFIG_PEM_BAD     /* Inside, and already reported. */
};

struct config_reader {
    bool overlong; /* The line does not fit and its rest is skipped. */
    uint8_t pem;   /* enum config_pem. */
    struct config *config;
    config_report *report;
    void *context;
    uint32_t text_bytes;               /* Taken so far. */
    uint16_t line;                     /* Being filled, from 1. */
    uint16_t pem_line;                 /* Where the block began. */
    uint16_t length;                   /* Of line_text. */
    uint16_t key_line[CONFIG_KEY_MAX]; /* Where a key was written first; 0: not. */
    int errors;
#ifdef TOCSIN_HOSTED
    bool account; /* Of a further mailbox alone: nothing else need be there. */
#endif
    /* Reports instead of the reader's own few words; fault is an enum config_fault. */
    void (*explain)(const struct config_reader *reader, unsigned line, const char *key, int fault);
    char value[CONFIG_VALUE_SHOWN]; /* The last one as it was written, cut to this. */
    char line_text[CONFIG_LINE_BYTES + 1];
};

#endif
