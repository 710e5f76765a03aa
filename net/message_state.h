/* message_state.h - the inside of struct message; included by message.h alone. */
#ifndef TOCSIN_NET_MESSAGE_STATE_H
#define TOCSIN_NET_MESSAGE_STATE_H

#ifndef TOCSIN_NET_MESSAGE_H
#error "include net/message.h"
#endif

#define MESSAGE_NAME_BYTES 256 /* A field's name; what is longer before a ':' is none. */
#define MESSAGE_OUT_BYTES 4096

struct message {
    struct message_params params;
    struct message_seen seen;
    uint8_t state; /* enum message_state: where the input is. */
    uint8_t work;  /* enum message_work: what is to be written before more is taken. */
    bool ended;    /* message_end() was called. */
    bool eol_known, crlf;
    unsigned fields; /* Begun so far. */

    /* The line or field in hand. */
    char name[MESSAGE_NAME_BYTES];
    size_t name_size;
    size_t length;     /* Of value. */
    size_t line_start; /* Where in value the line in hand began; NO_OFFSET: not in it any more. */
    bool blank;        /* Nothing but blanks in that line so far; of a name: blanks behind it. */
    bool cr;           /* A CR that may belong to a line end. */
    bool complete;     /* All of the field is in value; else its beginning. */

    /* Of the field in hand (message_field.c, message_value.c). */
    const struct message_known *known; /* What is known of fields of that name. */
    bool begun, prepared;              /* Its name was written; the piece in hand was looked at. */
    bool resent, older;                /* A Resent- field; of a block below the first one. */
    bool skip;                         /* Left out. */
    bool told;                         /* Its addresses are. */
    bool list_ended;
    uint8_t written;     /* As what: ID_TO, ID_CC or ID_NONE. */
    bool joined;         /* It goes on in the field before it. */
    bool rewrite;        /* The piece has something that cannot stay as it is. */
    bool after_word;     /* What was written last is an encoded word, */
    bool after_own;      /* made here. */
    bool after_semi;     /* What was written last but blanks is a ';'. */
    bool filled;         /* The line being written has more than its field's name and blanks. */
    uint8_t line_end;    /* enum message_line_end: before that line, not written yet; */
    uint8_t indent_size; /* and so many blanks of it. */
    char indent[78];
    char last;        /* The last character of it that is no blank. */
    size_t column;    /* Of that line, octets. */
    size_t at, stop;  /* Written up to at, to be written now up to stop. */
    size_t copy_end;  /* As it is up to there. */
    size_t run;       /* Encoded up to there. */
    uint8_t run_mode; /* enum message_run */
    bool run_utf8, run_quoted;
    size_t param, param_size; /* The name of a parameter that is being encoded. */
    unsigned section;
    bool sections;
    size_t pushed;     /* Into list. */
    size_t span_start; /* The mailbox in hand: its beginning, */
    size_t span;       /* and its end. */
    size_t phrase_end; /* The end of its display name. */
    size_t insert;     /* Where it lacks the domain; NO_OFFSET: nowhere. */
    struct address_list list;
    unsigned addresses;        /* In this field. */
    char first[ADDRESS_BYTES]; /* The first of them. */

    /* What the header has: bits of enum message_id. */
    uint32_t has, resent_has;
    uint8_t resent_last;  /* The last Resent- field. */
    bool block_open;      /* In the first block of Resent- fields. */
    bool block_done;      /* That is over. */
    bool several_authors; /* In From. */
    uint8_t open_list;    /* ID_TO or ID_CC: of the field written last, its line end left out. */

    size_t held;  /* Bytes of value that begin the body. */
    uint8_t step; /* Of what is added at the end. */
    size_t out_at, out_length;
    uint8_t out[MESSAGE_OUT_BYTES];
    char value[MESSAGE_FIELD_BYTES];
};

#endif
