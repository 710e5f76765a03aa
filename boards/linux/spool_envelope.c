/* An envelope is text, a line a value:
 *
 *     tocsin 1
 *     size 1234                    of the message, in bytes
 *     flags 17
 *     queued 1767225600000         milliseconds since 1970
 *     due 0
 *     attempts 2
 *     own                          present: due is because of this mail
 *     from sender@example.com      empty: the null reverse-path
 *     sender login
 *     msgid 1a2b@host
 *     envid, ret                   of RFC 3461
 *     hub host:port                a server of its own (revaliases)
 *     reason text of the last try
 *     wait user@example.com        a recipient: wait, sent, or refused
 *     notify success,failure       of the recipient above
 *     said 250 2.0.0 accepted      likewise
 *     end 3 1c291ca3               number of recipients; FNV-1a of all that comes before
 *
 * No value has a control character in it, so that none can make a line of its own. A line that
 * begins with an unknown word is of a later version, and passed over. */
#include "boards/linux/spool_private.h"
#include "net/text.h"

#include <stdlib.h>
#include <string.h>

#define LINE_BYTES_MAX 2048
#define NUMBER_DIGITS 20

/* ---- building ---- */

struct builder {
    char *bytes;
    size_t size, room;
    int error;
};

static void add(struct builder *builder, const char *bytes, size_t size)
{
    if (builder->error == 0 && size > builder->room - builder->size) {
        size_t room = (builder->room + size) * 2;
        char *larger = room <= 2 * SPOOL_ENVELOPE_BYTES_MAX ? realloc(builder->bytes, room) : NULL;

        if (larger == NULL) {
            builder->error = E_SPACE;
            return;
        }
        builder->bytes = larger;
        builder->room = room;
    }
    if (builder->error == 0) {
        memcpy(builder->bytes + builder->size, bytes, size);
        builder->size += size;
    }
}

/* A line of words and any text; what would break it is shown as a space. */
static void add_line(struct builder *builder, const char *word, const char *value)
{
    char line[LINE_BYTES_MAX];
    struct text text = text_begin(line, sizeof line - 1);

    text_add(&text, word);
    text_add_char(&text, ' ');
    text_add_printable(&text, value, strlen(value));
    line[text.length] = '\n';
    add(builder, line, text.length + 1);
}

static void add_optional(struct builder *builder, const char *word, const char *value)
{
    if (value != NULL && value[0] != '\0') {
        add_line(builder, word, value);
    }
}

static void add_number(struct builder *builder, const char *word, uint64_t value)
{
    char digits[NUMBER_DIGITS + 1];
    size_t at = NUMBER_DIGITS;

    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    add_line(builder, word, digits + at);
}

/* What goes into MAIL FROM or RCPT TO, byte for byte. */
static bool is_address(const char *address)
{
    size_t size = strnlen(address, ADDRESS_BYTES);

    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)address[i] < ' ' || address[i] == 0x7F) {
            return false;
        }
    }
    return size < ADDRESS_BYTES;
}

static void add_address(struct builder *builder, const char *word, const char *address)
{
    if (!is_address(address)) {
        builder->error = builder->error == 0 ? E_INVALID : builder->error;
        return;
    }
    add(builder, word, strlen(word));
    add(builder, " ", 1);
    add(builder, address, strlen(address));
    add(builder, "\n", 1);
}

#define CHECKSUM_OF_NOTHING 2166136261u

static uint32_t checksum(uint32_t sum, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        sum = (sum ^ (uint8_t)bytes[i]) * 16777619u;
    }
    return sum;
}

static const char *const states[] = {"wait", "sent", "refused"};

int spool_envelope_build(const struct spool_mail *mail, char **bytes, size_t *size)
{
    struct builder builder = {.bytes = NULL, .size = 0, .room = 0, .error = 0};
    char end[32];
    struct text text = text_begin(end, sizeof end);

    if (mail->rcpt_count == 0) {
        return E_INVALID;
    }
    add(&builder, "tocsin 1\n", 9);
    add_number(&builder, "size", mail->size_bytes);
    add_number(&builder, "flags", mail->flags);
    add_number(&builder, "queued", mail->queued_unix_ms);
    add_number(&builder, "due", mail->due_unix_ms);
    add_number(&builder, "attempts", mail->attempts);
    if (mail->own_fault) {
        add(&builder, "own\n", 4);
    }
    add_address(&builder, "from", mail->from != NULL ? mail->from : "");
    add_optional(&builder, "sender", mail->sender_name);
    add_optional(&builder, "msgid", mail->message_id);
    add_optional(&builder, "envid", mail->envid);
    add_optional(&builder, "ret", mail->ret);
    add_optional(&builder, "hub", mail->hub);
    add_optional(&builder, "reason", mail->reason);
    for (size_t i = 0; i < mail->rcpt_count; i++) {
        const struct spool_rcpt *rcpt = &mail->rcpt[i];

        if (rcpt->address[0] == '\0') {
            builder.error = E_INVALID;
        }
        add_address(&builder, states[rcpt->state], rcpt->address);
        add_optional(&builder, "notify", rcpt->notify);
        add_optional(&builder, "said", rcpt->reason);
    }
    text_format(&text, "end %u ", (unsigned)mail->rcpt_count);
    text_add_hex(&text, checksum(CHECKSUM_OF_NOTHING, builder.bytes, builder.size), 8);
    text_add_char(&text, '\n');
    add(&builder, end, text.length);
    if (builder.error == 0 && builder.size > SPOOL_ENVELOPE_BYTES_MAX) {
        builder.error = E_SPACE;
    }
    if (builder.error != 0) {
        free(builder.bytes);
        return builder.error;
    }
    *bytes = builder.bytes;
    *size = builder.size;
    return 0;
}

/* ---- a mail in memory ---- */

void spool_mail_free(struct spool_mail *mail)
{
    for (size_t i = 0; i < mail->rcpt_count; i++) {
        free(mail->rcpt[i].address);
        free(mail->rcpt[i].notify);
        free(mail->rcpt[i].reason);
    }
    free(mail->rcpt);
    free(mail->from);
    free(mail->message_id);
    free(mail->sender_name);
    free(mail->envid);
    free(mail->ret);
    free(mail->hub);
    memset(mail, 0, sizeof *mail);
}

int spool_mail_rcpt(struct spool_mail *mail, const char *address, const char *notify)
{
    struct spool_rcpt *rcpt;

    if (mail->rcpt_count >= SPOOL_RCPT_MAX) {
        return E_SPACE;
    }
    if ((mail->rcpt_count & (mail->rcpt_count - 1)) == 0) { /* Full: sizes are powers of two. */
        size_t room = mail->rcpt_count == 0 ? 1 : mail->rcpt_count * 2;

        rcpt = realloc(mail->rcpt, room * sizeof *rcpt);
        if (rcpt == NULL) {
            return E_SPACE;
        }
        mail->rcpt = rcpt;
    }
    rcpt = &mail->rcpt[mail->rcpt_count];
    rcpt->state = SPOOL_WAITING;
    rcpt->reason = NULL;
    rcpt->address = strdup(address);
    rcpt->notify = notify != NULL ? strdup(notify) : NULL;
    if (rcpt->address == NULL || (notify != NULL && rcpt->notify == NULL)) {
        free(rcpt->address);
        free(rcpt->notify);
        return E_SPACE;
    }
    mail->rcpt_count++;
    return 0;
}

/* ---- reading ---- */

static bool parse_number(const char *value, uint64_t max, uint64_t *number)
{
    *number = 0;
    if (*value == '\0') {
        return false;
    }
    for (; *value != '\0'; value++) {
        unsigned digit = (unsigned)*value - '0';

        if (digit > 9 || *number > (max - digit) / 10) {
            return false;
        }
        *number = *number * 10 + digit;
    }
    return true;
}

/* A text that may be there once. */
static int take_text(char **field, const char *value)
{
    if (*field != NULL) {
        return E_INVALID;
    }
    *field = strdup(value);
    return *field != NULL ? 0 : E_SPACE;
}

enum number { NUMBER_SIZE, NUMBER_FLAGS, NUMBER_QUEUED, NUMBER_DUE, NUMBER_ATTEMPTS, NUMBERS };

static const struct {
    const char *word;
    uint64_t max;
} numbers[NUMBERS] = {
    {"size", INT64_MAX}, {"flags", UINT32_MAX},    {"queued", INT64_MAX},
    {"due", INT64_MAX},  {"attempts", UINT32_MAX},
};

static void take_number(struct spool_mail *mail, enum number which, uint64_t number)
{
    switch (which) {
    case NUMBER_SIZE:
        mail->size_bytes = number;
        break;
    case NUMBER_FLAGS:
        mail->flags = (unsigned)number;
        break;
    case NUMBER_QUEUED:
        mail->queued_unix_ms = number;
        break;
    case NUMBER_DUE:
        mail->due_unix_ms = number;
        break;
    default:
        mail->attempts = (uint32_t)number;
        break;
    }
}

static int take_rcpt(struct spool_mail *mail, enum spool_rcpt_state state, const char *address)
{
    int result;

    if (address[0] == '\0' || !is_address(address)) {
        return E_INVALID;
    }
    result = spool_mail_rcpt(mail, address, NULL);
    if (result == 0) {
        mail->rcpt[mail->rcpt_count - 1].state = state;
    }
    return result;
}

/* One line of the middle. seen: the numbers that were there. */
static int take_line(struct spool_mail *mail, unsigned *seen, const char *word, const char *value)
{
    struct spool_rcpt *last = mail->rcpt_count > 0 ? &mail->rcpt[mail->rcpt_count - 1] : NULL;
    uint64_t number;

    for (unsigned i = 0; i < NUMBERS; i++) {
        if (strcmp(word, numbers[i].word) == 0) {
            if ((*seen & 1u << i) != 0 || !parse_number(value, numbers[i].max, &number)) {
                return E_INVALID;
            }
            *seen |= 1u << i;
            take_number(mail, (enum number)i, number);
            return 0;
        }
    }
    for (enum spool_rcpt_state i = SPOOL_WAITING; i <= SPOOL_REFUSED; i++) {
        if (strcmp(word, states[i]) == 0) {
            return take_rcpt(mail, i, value);
        }
    }
    if (strcmp(word, "notify") == 0 || strcmp(word, "said") == 0) {
        if (last == NULL) {
            return E_INVALID;
        }
        return take_text(word[0] == 'n' ? &last->notify : &last->reason, value);
    }
    if (strcmp(word, "from") == 0) {
        return is_address(value) ? take_text(&mail->from, value) : E_INVALID;
    }
    if (strcmp(word, "sender") == 0) {
        return take_text(&mail->sender_name, value);
    }
    if (strcmp(word, "msgid") == 0) {
        return take_text(&mail->message_id, value);
    }
    if (strcmp(word, "envid") == 0) {
        return take_text(&mail->envid, value);
    }
    if (strcmp(word, "ret") == 0) {
        return take_text(&mail->ret, value);
    }
    if (strcmp(word, "hub") == 0) {
        return take_text(&mail->hub, value);
    }
    if (strcmp(word, "reason") == 0) {
        (void)text_copy(mail->reason, sizeof mail->reason, value); /* As much as has room. */
        return 0;
    }
    mail->own_fault |= strcmp(word, "own") == 0;
    return 0;
}

/* The last line: that nothing is missing, and nothing was changed. */
static bool end_is_right(const struct spool_mail *mail, const char *value, uint32_t sum)
{
    char expected[32];
    struct text text = text_begin(expected, sizeof expected);

    text_format(&text, "%u ", (unsigned)mail->rcpt_count);
    text_add_hex(&text, sum, 8);
    return strcmp(expected, value) == 0;
}

/* Takes the next line apart into a word and what follows it, both ended. false: there is none, or
 * one with a NUL, which would end a value before its line. */
static bool next_line(char **at, const char *bytes_end, uint32_t *sum, char **word, char **value)
{
    char *end = memchr(*at, '\n', (size_t)(bytes_end - *at));

    if (end == NULL || memchr(*at, '\0', (size_t)(end - *at)) != NULL) {
        return false;
    }
    *sum = checksum(*sum, *at, (size_t)(end - *at) + 1);
    *end = '\0';
    *word = *at;
    *value = strchr(*at, ' ');
    if (*value == NULL) {
        *value = end;
    } else {
        *(*value)++ = '\0';
    }
    *at = end + 1;
    return true;
}

static int parse(struct spool_mail *mail, char *bytes, size_t size, const char **why)
{
    uint32_t sum = CHECKSUM_OF_NOTHING;
    unsigned seen = 0;
    char *at = bytes;
    char *word;
    char *value;

    if (!next_line(&at, bytes + size, &sum, &word, &value) || strcmp(word, "tocsin") != 0) {
        return E_INVALID;
    }
    if (strcmp(value, "1") != 0) {
        *why = "written by another version of this program";
        return E_UNSUPPORTED;
    }
    for (;;) {
        uint32_t sum_before = sum;
        int result;

        if (!next_line(&at, bytes + size, &sum, &word, &value)) {
            return E_INVALID;
        }
        if (strcmp(word, "end") == 0) {
            return at == bytes + size && seen == (1u << NUMBERS) - 1 && mail->from != NULL &&
                           mail->rcpt_count > 0 && end_is_right(mail, value, sum_before)
                       ? 0
                       : E_INVALID;
        }
        result = take_line(mail, &seen, word, value);
        if (result == E_SPACE) {
            *why = "not enough memory, or too many recipients";
        }
        if (result < 0) {
            return result;
        }
    }
}

int spool_envelope_parse(struct spool_mail *mail, char *bytes, size_t size, const char **why)
{
    char id[SPOOL_ID_BYTES];
    int result;

    memcpy(id, mail->id, sizeof id);
    memset(mail, 0, sizeof *mail);
    *why = "the envelope is damaged";
    result = parse(mail, bytes, size, why);
    if (result < 0) {
        spool_mail_free(mail);
    }
    memcpy(mail->id, id, sizeof id);
    return result;
}
