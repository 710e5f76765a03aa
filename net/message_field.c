/* A field of a header: whether it is written, under which name, and what is written instead. */
#include "net/message.h"

#include "net/message_private.h"
#include "net/text.h"

#include <string.h>

/* Servers refuse a second one (RFC 5322 3.6). */
#define ONCE                                                                                \
    (BIT(ID_FROM) | BIT(ID_SENDER) | BIT(ID_REPLY_TO) | BIT(ID_DATE) | BIT(ID_MESSAGE_ID) | \
     BIT(ID_SUBJECT) | BIT(ID_IN_REPLY_TO) | BIT(ID_REFERENCES) | BIT(ID_MIME_VERSION))

/* Those that say nothing when they are empty, and are not allowed to be. */
#define NOT_EMPTY                                                                                \
    (BIT(ID_FROM) | BIT(ID_SENDER) | BIT(ID_REPLY_TO) | BIT(ID_TO) | BIT(ID_CC) | BIT(ID_DATE) | \
     BIT(ID_MESSAGE_ID))

#define TOLD (BIT(ID_FROM) | BIT(ID_SENDER) | BIT(ID_TO) | BIT(ID_CC) | BIT(ID_BCC))
#define RECIPIENTS (BIT(ID_TO) | BIT(ID_CC) | BIT(ID_BCC))

static const struct message_known *known_field(const char *name, bool resent)
{
    /* Those that have a Resent- form come first. */
    static const struct message_known fields[] = {
        {"from", FORM_ADDRESSES, ID_FROM},
        {"sender", FORM_ADDRESSES, ID_SENDER},
        {"reply-to", FORM_ADDRESSES, ID_REPLY_TO},
        {"to", FORM_ADDRESSES, ID_TO},
        {"cc", FORM_ADDRESSES, ID_CC},
        {"bcc", FORM_ADDRESSES, ID_BCC},
        {"date", FORM_TOKENS, ID_DATE},
        {"message-id", FORM_TOKENS, ID_MESSAGE_ID},
        {"subject", FORM_TEXT, ID_SUBJECT},
        {"return-path", FORM_TOKENS, ID_DROPPED},
        {"content-length", FORM_TOKENS, ID_DROPPED},
        {"received", FORM_TOKENS, ID_TRACE},
        {"delivered-to", FORM_ADDRESSES, ID_TRACE},
        {"apparently-to", FORM_ADDRESSES, ID_NONE},
        {"mail-followup-to", FORM_ADDRESSES, ID_NONE},
        {"mail-reply-to", FORM_ADDRESSES, ID_NONE},
        {"disposition-notification-to", FORM_ADDRESSES, ID_NONE},
        {"return-receipt-to", FORM_ADDRESSES, ID_NONE},
        {"errors-to", FORM_ADDRESSES, ID_NONE},
        {"content-type", FORM_PARAMS, ID_NONE},
        {"content-disposition", FORM_PARAMS, ID_NONE},
        {"content-transfer-encoding", FORM_TOKENS, ID_NONE},
        {"content-id", FORM_TOKENS, ID_NONE},
        {"mime-version", FORM_TOKENS, ID_MIME_VERSION},
        {"in-reply-to", FORM_TOKENS, ID_IN_REPLY_TO},
        {"references", FORM_TOKENS, ID_REFERENCES},
        {"dkim-signature", FORM_TOKENS, ID_NONE},
        {"authentication-results", FORM_TOKENS, ID_NONE},
        {"autocrypt", FORM_TOKENS, ID_NONE},
        {"arc-seal", FORM_TOKENS, ID_NONE},
        {"arc-message-signature", FORM_TOKENS, ID_NONE},
        {"arc-authentication-results", FORM_TOKENS, ID_NONE},
    };
    static const struct message_known other = {"", FORM_TEXT, ID_NONE};
    size_t count = resent ? ID_SUBJECT - 1 : sizeof fields / sizeof fields[0];

    for (size_t i = 0; i < count; i++) {
        if (text_equal_nocase(name, fields[i].name)) {
            return &fields[i];
        }
    }
    return &other;
}

/* Called by the list. */
static void found(void *context, const char *address)
{
    struct message *message = context;
    const struct message_params *params = &message->params;
    static const uint8_t fields[ID_TRACE + 1] = {[ID_TO] = MESSAGE_TO,
                                                 [ID_CC] = MESSAGE_CC,
                                                 [ID_BCC] = MESSAGE_BCC,
                                                 [ID_FROM] = MESSAGE_FROM,
                                                 [ID_SENDER] = MESSAGE_SENDER};

    if (message->addresses++ == 0) {
        (void)text_copy(message->first, sizeof message->first, address);
    }
    if (address_domain(address) == NULL && message_has_domain(message) && !message->older &&
        message->known->id != ID_TRACE) {
        message->insert = message->pushed - address_list_behind(&message->list);
    }
    if (message->told && params->found != NULL) {
        params->found(params->context, (enum message_field)fields[message->known->id],
                      message->resent, address);
    }
}

void message_end_list(struct message *message)
{
    if (!message->list_ended) {
        unsigned bad = address_list_end(&message->list);

        message->list_ended = true;
        if (message->told && (BIT(message->known->id) & RECIPIENTS) != 0) {
            message->seen.bad_addresses += bad;
        }
    }
}

static void begin_list(struct message *message)
{
    address_list_init(&message->list, found, message);
    message->list_ended = false;
    message->addresses = 0;
    message->pushed = 0;
}

/* Which Resent- fields are the first block's: those above a trace field and above the next block,
 * which shows in a field that the first one has already (RFC 5322 3.6.6). */
static void follow_blocks(struct message *message)
{
    uint8_t id = message->known->id;

    if (!message->block_open && !message->block_done && message->resent) {
        message->block_open = true;
    } else if (message->block_open && (id == ID_TRACE || (message->resent && id != ID_NONE &&
                                                          (message->resent_has & BIT(id)) != 0 &&
                                                          message->resent_last != id))) {
        message_close_block(message);
    }
    if (message->resent) {
        message->seen.has_resent = true;
        message->resent_last = id;
    }
    message->older = message->resent && !message->block_open;
}

/* The identifier that the message brought, of its Resent- fields if it has some. */
static void take_id(struct message *message)
{
    const char *value = message->value;
    const char *open = memchr(value, '<', message->length);
    size_t begin = open != NULL ? (size_t)(open - value) + 1 : 0;
    size_t end;

    if (!message->resent && (message->block_open || message->block_done)) {
        return;
    }
    begin = message_skip_blanks(message, begin, message->length);
    for (end = begin; end < message->length && strchr(" \t\n>", value[end]) == NULL;) {
        end++;
    }
    if (end > begin) {
        struct text text = text_begin(message->seen.message_id, sizeof message->seen.message_id);

        text_add_printable(&text, value + begin, end - begin);
        message->seen.message_id_given = true;
    }
}

/* What can be a display name in a From without an address: all up to a '<', without quotes. */
static void add_words(struct text *text, const char *value, size_t size)
{
    size_t begin = 0;

    while (begin < size && value[begin] != '<') {
        size_t end = begin;

        while (end < size && value[end] != '"' && value[end] != '<') {
            end++;
        }
        text_add_printable(text, value + begin, end - begin);
        begin = end + (end < size && value[end] == '"');
    }
    while (text->length > 0 && text->bytes[text->length - 1] == ' ') {
        text->bytes[--text->length] = '\0';
    }
}

/* From as it has to be, where that is not how it stands: true, and it is written. */
static bool replace_from(struct message *message)
{
    const struct message_params *params = &message->params;
    bool has_from = params->from != NULL && *params->from != '\0';
    bool has_name = params->from_name != NULL && *params->from_name != '\0';
    char name[MAILBOX_NAME_BYTES];
    struct text text = text_begin(name, sizeof name);

    if (message->complete) {
        address_list_push(&message->list, message->value, message->length);
        message_end_list(message);
        message->told = false;
    }
    if (params->from_override && has_from) {
        message_put_mailbox(message, message->resent, "From", params->from_name, params->from);
        return true;
    }
    if (message->complete && message->addresses == 0 && has_from) {
        add_words(&text, message->value, message->length);
        message_put_mailbox(message, message->resent, "From",
                            text.length > 0 ? name : params->from_name, params->from);
        return true;
    }
    if (message->addresses == 1 && params->from_name_forced && has_name) {
        message_put_mailbox(message, message->resent, "From", params->from_name, message->first);
        return true;
    }
    message->several_authors |= message->addresses > 1 && !message->resent;
    return false;
}

/* Whether the field is left out; what stands for it may be written already. */
static bool leave_out(struct message *message)
{
    uint8_t id = message->known->id;
    uint32_t *has = message->resent ? &message->resent_has : &message->has;
    bool empty =
        message->complete && message_skip_blanks(message, 0, message->length) == message->length;

    if (message->older) {
        return false;
    }
    if (id == ID_FROM && !empty && (*has & BIT(id)) == 0 && replace_from(message)) {
        *has |= BIT(id);
        return true;
    }
    return id == ID_DROPPED || (id == ID_BCC && !message->params.keep_bcc) ||
           (empty && (NOT_EMPTY & BIT(id)) != 0);
}

/* The name of a To or Cc, or what makes it a part of the one before: servers refuse a second one.
 * A To that is not next to the first becomes Cc, which means nearly the same. */
static void put_list_name(struct message *message, uint8_t id)
{
    bool twice = (message->has & BIT(id)) != 0;
    bool as_cc = twice && id == ID_TO && message->open_list != ID_TO;

    if (as_cc) {
        id = ID_CC;
        twice = (message->has & BIT(ID_CC)) != 0;
    }
    message->has |= BIT(id);
    message->joined = twice && message->open_list == id;
    message->written = !twice || message->joined ? id : ID_NONE;
    if (message->joined) {
        message->open_list = ID_NONE;
        message_put_string(message, message->last == ',' ? "\n " : ",\n ");
        return;
    }
    message_close_list(message);
    message_put_string(message, twice ? "X-Duplicate-" : "");
    message_put_string(message, as_cc ? "Cc:" : message->name);
    message_put_string(message, as_cc ? "" : ":");
}

static void put_field_name(struct message *message)
{
    uint8_t id = message->known->id;
    uint32_t *has = message->resent ? &message->resent_has : &message->has;

    message->written = ID_NONE;
    if (!message->resent && (id == ID_TO || id == ID_CC)) {
        put_list_name(message, id);
        return;
    }
    message_close_list(message);
    if (!message->older) {
        if ((*has & BIT(id) & ONCE) != 0) {
            message->told = false;
            message_put_string(message, "X-Duplicate-");
        } else if (id == ID_MESSAGE_ID) {
            take_id(message);
        }
        *has |= BIT(id);
    }
    message_put_string(message, message->name);
    message_put_string(message, ":");
}

static void begin_field(struct message *message)
{
    message->begun = true;
    message->rewrite = false;
    message->joined = false;
    message->after_word = false;
    message->after_own = false;
    message->after_semi = false;
    message->resent = text_starts_nocase(message->name, "resent-");
    message->known =
        known_field(message->name + (message->resent ? strlen("resent-") : 0), message->resent);
    follow_blocks(message);
    message->told = !message->older && (TOLD & BIT(message->known->id)) != 0;
    message->seen.has_to |= message->told && (RECIPIENTS & BIT(message->known->id)) != 0;
    begin_list(message);
    message->skip = leave_out(message);
    if (!message->skip) {
        begin_list(message); /* It may have been gone through to look at it. */
        put_field_name(message);
        message->filled = false;
    }
}

bool message_field_step(struct message *message)
{
    if (message->begun) {
        return message_value_step(message);
    }
    begin_field(message);
    return false;
}
