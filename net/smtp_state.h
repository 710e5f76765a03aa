/* smtp_state.h - what is inside struct smtp. Private to net/smtp*.c: others only need its size. */
#ifndef TOCSIN_NET_SMTP_STATE_H
#define TOCSIN_NET_SMTP_STATE_H

/* Small members come first: what lies near the beginning is reached by shorter instructions. */
struct smtp {
    uint8_t state;            /* enum smtp_state, in smtp_dialogue.h. */
    uint8_t mechanism;        /* enum sasl_mechanism in use. */
    uint8_t mechanisms_tried; /* Bit i: the server does not do mechanism i after all. */

    /* The commands of a transaction are numbered: RSET, MAIL, RCPT for each recipient, DATA. */
    uint8_t command;          /* The one whose reply comes next. */
    uint8_t commands_written; /* The first that is neither in tx nor gone. */
    uint8_t commands_end;     /* Where writing stops: behind DATA, or earlier after a refusal. */

    uint8_t replies_due; /* Command lines that have left and are not answered. */
    uint8_t reply_lines; /* Of the reply so far. */
    bool reply_early;    /* The reply's first byte came when none was due. */
    bool line_cut;       /* The line in rx was longer than there is room for. */

    bool tls_up;          /* The stream is encrypted and verified. */
    bool failed;          /* reply holds the session's failure, and stays as it is. */
    bool message_open;    /* Between smtp_message() and its result. */
    bool reset_due;       /* The last transaction was left half done: RSET before the next MAIL. */
    bool tx_secret;       /* tx holds a credential: wiped as it goes. */
    bool auth_complete;   /* All that the mechanism has to say has been said. */
    bool body_line_start; /* The next body byte begins a line. */
    bool body_after_cr;   /* The last one was a CR, whose line end is written already. */

    uint16_t capabilities; /* SMTP_CAP_*, of the EHLO in force. */
    uint16_t tx_at;        /* First unsent byte. */
    uint16_t tx_size;      /* End of the bytes in tx. */
    uint16_t rx_size;      /* Bytes in rx: the beginning of a line. */
    uint32_t size_max;     /* The server's SIZE; 0: none said. */
    uint32_t reply_bytes;  /* Of the reply so far, those thrown away too. */
    const struct smtp_params *params;
    uint64_t deadline_ms;
    struct smtp_envelope envelope; /* Of the message in hand. */

    struct smtp_failure reply; /* The reply being read; the session's failure once `failed`. */
    struct smtp_result result;
    uint8_t tx[SMTP_TX_BYTES];
    uint8_t rx[SMTP_RX_BYTES];
};

#endif
