/* address_state.h - the inside of struct address_list; included by address.h alone. */
#ifndef TOCSIN_NET_ADDRESS_STATE_H
#define TOCSIN_NET_ADDRESS_STATE_H

#ifndef TOCSIN_NET_ADDRESS_H
#error "include net/address.h"
#endif

struct address_list {
    address_found *found;
    void *context;
    size_t at;         /* Bytes pushed. */
    size_t end;        /* Of those, up to the last one that belongs to the words in hand. */
    unsigned bad;      /* Not understood. */
    uint32_t comments; /* How deep it is in comments. */
    uint16_t length;   /* Of text. */
    bool escaped;      /* Behind a backslash in a comment or a quoted string. */
    bool quoted;       /* In a quoted string. */
    bool literal;      /* In a domain literal. */
    bool angle;        /* Behind '<'. */
    bool gap;          /* Blanks or a comment since the last character of text. */
    bool cut;          /* There was no room for all of text. */
    /* The words since the last separator, one space between them where there were blanks; quoted
     * strings as they were written; none of the blanks about '.' and '@'. */
    char text[2 * ADDRESS_BYTES];
};

#endif
