/* mime_state.h - what is inside struct mime. Private to net/mime*.c: others only need its size. */
#ifndef TOCSIN_NET_MIME_STATE_H
#define TOCSIN_NET_MIME_STATE_H

#ifndef TOCSIN_NET_MIME_H
#error "include net/mime.h"
#endif

#define MIME_NAME_BYTES 40 /* A field's name, with NUL; a longer one is cut. */
#define MIME_TOKEN_BYTES \
    32 /* A word's opening, a tag, an entity, a parameter; no longer one counts. */
#define MIME_HOLD_BYTES (MIME_BOUNDARY_MAX + 6) /* "--", a boundary, "--", and some padding. */

/* A transfer encoding being undone (RFC 2045 section 6). */
struct mime_transfer {
    uint8_t encoding; /* enum mime_encoding. */
    uint8_t state;    /* Quoted-printable: 1 behind "=", 2 behind "=" and a digit. */
    uint8_t digit;    /* That digit as it was written. */
    uint8_t count;    /* Base64: bits that wait. Quoted-printable: blanks that wait. */
    uint32_t bits;    /* Base64: them. Quoted-printable: bit i says that blank i is a tab. */
};

/* A charset being read. */
struct mime_charset {
    uint8_t id;        /* enum mime_charset_id. */
    uint8_t left;      /* UTF-8: continuation bytes that are still to come, */
    uint8_t low, high; /* what the next of them may be, */
    uint32_t value;    /* and the character as far as it is known. */
};

/* One of the multiparts that stand around what is being read. */
struct mime_level {
    bool digest; /* Its parts are messages unless they say otherwise (RFC 2046 5.1.5). */
    char boundary[MIME_BOUNDARY_MAX + 1];
};

/* Lines of format=flowed. */
struct mime_flowed {
    uint8_t state;      /* enum, in mime_text.c. */
    uint8_t depth;      /* Quote marks of this line. */
    uint8_t last_depth; /* And of the line that flows. */
    uint8_t matched;    /* Characters of "-- ". */
    bool flows;         /* The line before goes on with this one. */
    bool space;         /* Held back: the line's last character? */
    bool delete_space;  /* DelSp=yes. */
};

/* Where in a page of HTML. */
struct mime_html {
    uint8_t state;  /* enum, in mime_html.c. */
    uint8_t raw;    /* In an element whose content is no text: its enum html_tag. */
    uint8_t quotes; /* Depth of blockquote. */
    uint8_t dashes; /* At a comment's end. */
    char quote;     /* That ends the attribute's value. */
    bool head;      /* Within <head>. */
    bool preformatted;
    bool closing;   /* The tag is an end tag. */
    bool equals;    /* The tag's last character that is not blank was "=". */
    bool space;     /* White space waits for what follows. */
    bool line_open; /* Something stands on the line. */
};

struct mime {
    uint8_t mode;  /* enum mime_mode, in mime_private.h. */
    uint8_t line;  /* enum, in mime.c: where in a line. */
    uint8_t depth; /* Levels in use. */
    uint8_t hold_size;
    bool end_of_line;  /* Held back, for it may belong to the boundary behind it. */
    bool header_ended; /* The message's. */
    bool report;       /* multipart/report; report-type=delivery-status. */
    bool text_found;   /* The part that a person reads has been. */

    /* The part, by its header. */
    uint8_t type; /* enum, in mime.c. */
    uint8_t charset_id;
    uint8_t encoding;
    bool attachment;
    bool is_flowed;
    bool delete_space;

    /* The field, in mime_field.c. */
    uint8_t field_state;
    uint8_t word_state;
    uint8_t name_size;
    uint8_t blanks;   /* They wait for what follows, for between encoded words they are none. */
    bool word_before; /* What stands before the blanks is an encoded word. */
    bool words;       /* Encoded words count in this field. */
    bool value_full;

    /* The text, in mime_text.c and mime_html.c. */
    bool is_html;
    bool visible;    /* Something other than blanks has been told. */
    bool line_ended; /* What was told last is LF. */
    uint8_t indent;  /* Blanks that wait for something visible. */

    uint8_t token_size;
    uint16_t value_size;
    struct mime_sink sink;
    struct mime_transfer transfer; /* Of the part. */
    struct mime_transfer word;     /* Of the encoded word. */
    struct mime_charset charset;
    union {
        struct mime_flowed flowed;
        struct mime_html html;
    };
    char token[MIME_TOKEN_BYTES];
    char name[MIME_NAME_BYTES];
    char value[MIME_VALUE_BYTES]; /* The field's; or text that is still to be told. */
    char hold[MIME_HOLD_BYTES];   /* The beginning of a line that may be a boundary. */
    struct mime_level levels[MIME_DEPTH];
};

#endif
