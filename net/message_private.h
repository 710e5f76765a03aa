/* message_private.h - what the files of the header filter have in common. */
#ifndef TOCSIN_NET_MESSAGE_PRIVATE_H
#define TOCSIN_NET_MESSAGE_PRIVATE_H

#include "net/message.h"

#define NO_OFFSET SIZE_MAX

/* Fields that mean something here. */
enum message_id {
    ID_NONE,
    ID_FROM,
    ID_SENDER,
    ID_REPLY_TO,
    ID_TO,
    ID_CC,
    ID_BCC,
    ID_DATE,
    ID_MESSAGE_ID,
    ID_SUBJECT,
    ID_IN_REPLY_TO,
    ID_REFERENCES,
    ID_MIME_VERSION,
    ID_DROPPED, /* Made by who delivers, or wrong once the message has been touched. */
    ID_TRACE    /* Stands above what an earlier journey left (RFC 5322 3.6.7). */
};

#define BIT(id) (1u << (id))

/* How a field's value is to be understood. */
enum message_form {
    FORM_TEXT,      /* Unstructured: words. */
    FORM_TOKENS,    /* Of a grammar of its own: nothing is encoded, long lines are broken. */
    FORM_PARAMS,    /* A value and parameters (RFC 2045 5.1, RFC 2183). */
    FORM_ADDRESSES, /* RFC 5322 3.4. */
};

struct message_known {
    const char *name; /* Lower case. */
    uint8_t form, id;
};

/* The line end that waits to be written. */
enum message_line_end {
    LINE_END_NONE,
    LINE_END_FIELD, /* The field's. */
    LINE_END_FOLD   /* Within a field: a blank follows it. */
};

/* What a run of bytes is made of that is to be encoded. */
enum message_run {
    RUN_TEXT,
    RUN_PHRASE, /* Words and quoted strings. */
    RUN_COMMENT,
    RUN_PARAM /* A token or a quoted string, for RFC 2231. */
};

enum {
    LINE_CHARS = 78,         /* What a line should not exceed (RFC 5322 2.1.1). */
    WORD_ROOM = 24,          /* Below it an encoded word begins on a new line. */
    MAILBOX_NAME_BYTES = 200 /* Of a display name of ours, with NUL. */
};

/* message_field.c */

/* The field in hand, a bounded piece of it. true: all that is in message->value is done. */
bool message_field_step(struct message *message);

/* No more addresses come in this field. */
void message_end_list(struct message *message);

/* message_value.c */

/* The same of its value, once its name is written or it is left out. */
bool message_value_step(struct message *message);

size_t message_skip_blanks(const struct message *message, size_t at, size_t limit);

/* message_words.c */

bool message_has_eight_bit(const char *bytes, size_t size);
bool message_is_utf8(const char *bytes, size_t size);

/* The next encoded word of the run in hand, or the next section of the parameter. */
void message_run_step(struct message *message);
void message_param_step(struct message *message);

/* How many octets a parameter's value takes when it is encoded. */
size_t message_param_size(const struct message *message, size_t at, size_t end);

/* "@domain", if there is one. */
bool message_has_domain(const struct message *message);
void message_put_domain(struct message *message);

/* A whole field of ours. A display name of NULL or "" is none. */
void message_put_mailbox(struct message *message, bool resent, const char *field, const char *name,
                         const char *address);

/* message.c */

/* Writing. A line end '\n' folds, and becomes the message's own kind; a line that grows too long is
 * folded too. */
void message_put(struct message *message, const char *bytes, size_t size);
void message_put_string(struct message *message, const char *string);

/* Ends the field. */
void message_end_field(struct message *message);

/* What came from a command line or a configuration: at most ADDRESS_BYTES of it; what is a control
 * character or one of those barred becomes '_', so that no header line ends by it. */
void message_put_token(struct message *message, const char *token, const char *barred);

/* Ends a list of addresses that was left open for another field to join it. */
void message_close_list(struct message *message);

/* "Name: ", whether it is Resent- or not. */
void message_put_name(struct message *message, bool resent, const char *name);

/* Whole fields of ours. */
void message_put_date(struct message *message, bool resent);
void message_put_id(struct message *message, bool resent);

/* What the first block of Resent- fields lacks; it is over. */
void message_close_block(struct message *message);

#endif
