/* smtp_state.h - what is inside struct smtp. Private to net/smtp*.c: others only need its size. */
#ifndef TOCSIN_NET_SMTP_STATE_H
#define TOCSIN_NET_SMTP_STATE_H

struct smtp {
    const struct smtp_params *params;
    struct smtp_envelope envelope; /* Of the message in hand. */
    uint64_t deadline_ms;
    uint8_t state;        /* enum smtp_state, in smtp_dialogue.h. */
    bool tls_up;          /* The stream is encrypted and verified. */
    bool failed;          /* reply holds the session's failure, and stays as it is. */
    bool message_open;    /* Between smtp_message() and its result. */
    bool reset_due;       /* The last transaction was left half done: RSET before the next MAIL. */
    bool tx_secret;       /* tx holds a credential: wiped as it goes. */
    uint8_t mechanism;    /* enum sasl_mechanism in use. */
    uint8_t mechanisms_tried; /* Bit i: mechanism i was refused as such. */
    bool auth_initial;    /* AUTH carried its initial response. */

    /* The commands of a transaction: RSET, MAIL, RCPT..., DATA. */
    uint8_t commands_written; /* How many of them are in tx or gone. */
    uint8_t rcpt_index;       /* Whose reply comes next. */

    /* Replies. */
    uint8_t replies_due;  /* Commands that have left and are not answered. */
    bool reply_early;     /* Its first byte came when none was due. */
    uint8_t reply_lines;  /* Lines of the reply so far. */
    uint16_t reply_bytes; /* Bytes of the reply so far, those thrown away too. */
    bool line_cut;        /* The line in rx was longer than there is room for. */

    bool body_line_start;
    bool body_after_cr; /* The last byte was a CR, whose line end is written already. */

    uint16_t capabilities;
    uint32_t size_max; /* The server's SIZE; 0: none said. */
    uint16_t tx_at;    /* First unsent byte. */
    uint16_t tx_size;  /* End of the bytes in tx. */
    uint16_t rx_size;
    struct smtp_result result;
    struct smtp_failure reply; /* The reply being read; the session's failure once `failed`. */
    uint8_t tx[SMTP_TX_BYTES];
    uint8_t rx[SMTP_RX_BYTES];
};

#endif
