/* transcode_state.h - what is inside struct transcode_look and struct transcode. Private to
 * net/transcode*.c: others only need their sizes. */
#ifndef TOCSIN_NET_TRANSCODE_STATE_H
#define TOCSIN_NET_TRANSCODE_STATE_H

#define TRANSCODE_PIECE_BYTES 1024   /* Of a line, at once. */
#define TRANSCODE_FIELD_BYTES 1024   /* Of a field that may have to change. */
#define TRANSCODE_BOUNDARY_BYTES 102 /* RFC 2046 5.1.1 allows 70; some take more. */
#define TRANSCODE_PARTS 1024         /* Of which it is known what they need. */
#define TRANSCODE_OUT_BYTES 9216     /* What a held field and a piece can become. */

/* One of the multiparts that stand around what is being read. */
struct transcode_level {
    bool digest; /* Its parts are messages unless they say otherwise (RFC 2046 5.1.5). */
    char boundary[TRANSCODE_BOUNDARY_BYTES];
};

/* Where in a message: transcode_parse.c. */
struct transcode_parser {
    void *context;   /* Of whom it tells. */
    uint8_t place;   /* enum transcode_place. */
    uint8_t depth;   /* Levels in use. */
    uint8_t eol;     /* Bytes of a leaf's line end that is held back: it may be the boundary's. */
    bool line_open;  /* The beginning of the line has been told. */
    bool line_is_lf; /* The line told last ended in a lone LF. */

    /* The part, by its header. */
    uint8_t type;     /* enum transcode_type. */
    uint8_t encoding; /* enum transcode_encoding. */
    bool is_message;  /* The header is a message's, not a part's. */
    bool type_seen, encoding_seen, version_seen;

    /* The field under way. */
    uint8_t field;   /* enum transcode_field. */
    bool field_cut;  /* It is longer than there is room for, and was told in pieces. */
    bool structured; /* Its words have a meaning; otherwise it is for people. */
    uint16_t field_size;

    bool lf_seen, crlf_seen; /* Line ends of text, behind the message's own header. */
    uint16_t piece_size;
    uint32_t part;        /* Its number, by the order of headers. */
    uint64_t line_length; /* Of the line so far, without its end. */
    uint8_t piece[TRANSCODE_PIECE_BYTES];
    uint8_t field_bytes[TRANSCODE_FIELD_BYTES];
    struct transcode_level levels[TRANSCODE_DEPTH];
};

/* UTF-8 being checked (RFC 3629 section 4). */
struct transcode_utf8 {
    uint8_t left, low, high; /* Bytes that are still to come, and what the next may be. */
    bool bad;
};

struct transcode_look {
    unsigned flags;
    uint64_t leaf_size, leaf_escapes; /* Of those, how many quoted-printable has to encode. */
    struct transcode_utf8 utf8;
    /* A leaf that is neither encoded nor text has lines that end in CRLF, or in a lone LF. */
    bool crlf_lines, lf_lines;
    uint8_t plan[TRANSCODE_PARTS];
    struct transcode_parser parser;
};

struct transcode {
    unsigned flags;
    bool eight_bit_ok;
    bool ended, finished;
    uint8_t action;    /* enum transcode_action: what becomes of the leaf's bytes. */
    uint8_t part_plan; /* PLAN_ of the part. */
    bool encoding_due; /* Content-Transfer-Encoding is to be written behind the other fields. */

    /* The encoders: transcode_encode.c. */
    uint16_t column; /* Of the output line. */
    uint8_t runs;    /* Encoded words of this piece. */
    bool name_open;  /* In a field's name. */
    bool own_break;  /* This line began where we broke one. */
    bool dash;       /* This line begins with "-". */
    uint8_t from;    /* Bytes of "From" that this line begins with. */
    char blank;      /* Held back: the line's last byte? */
    uint8_t held;    /* Bytes in hold. */
    uint8_t hold[3]; /* Base64: a group. Quoted-printable: "=" and a digit. */
    bool cut;        /* Something did not fit; never, if the sizes are right. */
    uint16_t out_at, out_size;
    uint8_t plan[TRANSCODE_PARTS];
    uint8_t out[TRANSCODE_OUT_BYTES];
    struct transcode_parser parser;
};

#endif
