/* pop3_state.h - what is inside struct pop3. Private to net/pop3*.c: others only need its size. */
#ifndef TOCSIN_NET_POP3_STATE_H
#define TOCSIN_NET_POP3_STATE_H

/* Small members come first: what lies near the beginning is reached by shorter instructions. */
struct pop3 {
    uint8_t state; /* enum pop3_state, in pop3_dialogue.h. */
    uint8_t mode;  /* enum pop3_mode: what the next bytes in rx are. */
    uint8_t lines; /* enum pop3_lines: how the lines of the message in hand end. */

    uint8_t requests;         /* In verbs and numbers, the oldest first. */
    uint8_t requests_written; /* Those of them that are in tx or gone. */
    uint8_t replies_due;      /* Command lines that have left and are not answered. */
    uint8_t replies_later;    /* The same, but what waits in rx came before they left. */
    uint8_t lines_idle;       /* Of a listing: those that made no event. */

    bool reply_early;   /* The reply's first byte came when none was due. */
    bool line_cut;      /* The line in rx was longer than there is room for. */
    bool line_start;    /* The next byte of a message begins a line. */
    bool after_cr;      /* The last one was a CR. */
    bool tls_up;        /* The stream is encrypted and verified. */
    bool failed;        /* reply holds the session's failure, and stays as it is. */
    bool tx_secret;     /* tx holds a credential: wiped as it goes. */
    bool auth_tried;    /* AUTH PLAIN has had its turn. */
    bool auth_complete; /* All that it has to say has been said. */
    bool refused;       /* A way to log in was refused, and another one is being tried. */
    bool sasl_seen;     /* The server has a list of mechanisms. */
    bool capa_user;     /* What it says of delays or expiry depends on the user. */
    bool quit_asked;    /* Nothing else can be, and its event is owed. */
    bool heard;         /* Something came since the last bytes were sent. */
    bool ended;         /* The stream did, behind what is in rx. */
    bool event_held;    /* event waits to be taken. */

    uint16_t capabilities; /* POP3_CAP_*, of the CAPA in force. */
    uint16_t tx_at;        /* First unsent byte. */
    uint16_t tx_size;      /* End of the bytes in tx. */
    uint16_t rx_at;        /* First byte that has not been dealt with. */
    uint16_t rx_size;      /* End of the bytes in rx. */
    uint16_t progress;     /* Bytes received since the deadline was set. */
    uint32_t cut_bytes;    /* Thrown away of the lines of this reply. */
    uint32_t login_delay_s;
    uint32_t expire_days;
    uint32_t octets;
    uint32_t turns;
    const struct pop3_params *params;
    uint64_t deadline_ms;
    uint64_t held_ms; /* When the event in hand came. */

    uint32_t numbers[POP3_REQUESTS_MAX];
    uint8_t verbs[POP3_REQUESTS_MAX];
    struct pop3_event event;
    struct pop3_failure reply; /* The reply being read; the session's failure once `failed`. */
    char apop[33];             /* The answer to the greeting's timestamp; "": there was none. */
    uint8_t tx[POP3_TX_BYTES];
    uint8_t rx[POP3_RX_BYTES];
};

#endif
