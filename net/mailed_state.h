/* mailed_state.h - what struct mailed keeps between pieces; mailed.h includes it, nobody else. */
#ifndef TOCSIN_NET_MAILED_STATE_H
#define TOCSIN_NET_MAILED_STATE_H

/* "otp: ", 16 digits with blanks between, a blank, a command, NUL; a payload's lines are shorter.
 */
#define MAILED_LINE_BYTES 240

struct mailed_state {
    const struct mailed_keys *keys;
    uint8_t place; /* enum place in mailed.c. */

    /* A character of several bytes that is not whole yet. */
    uint8_t wide_left;
    uint32_t wide;

    /* The line of dashes that may be coming in: 0 none, 1 dashes, then one more a letter. */
    uint8_t mark;
    bool mark_over; /* Dashes behind it still belong to it. */

    /* Base64. */
    uint8_t group_size; /* Characters of the group of four. */
    uint8_t group_bytes;
    bool padded;
    uint32_t group;
    struct digest_sha256 sha256;
    struct digest_hmac hmac; /* If there is such a key. */
    uint8_t signature[DIGEST_SIGNATURE_MAX];
    uint8_t signature_size;

    /* Lines of the payload, or those of a mail without a block. */
    uint8_t field;     /* enum field in mailed.c. */
    uint8_t otp;       /* enum otp in mailed.c. */
    bool line_cut;     /* The line did not fit. */
    bool command_cut;  /* The line that would be the command did not. */
    uint8_t line_from; /* Where the last line of the mail begins in line. */
    uint8_t line_size;
    char line[MAILED_LINE_BYTES]; /* Blanks folded to one; in the payload's text a buffer of it. */
};

#endif
