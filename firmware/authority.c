/* docs/flash-format.md has the bytes of the record. */
#include "firmware/authority.h"

#include "firmware/flash_io.h"
#include "firmware/limits.h"
#include "net/alert.h"
#include "net/text.h"

#include <string.h>

#define CHAINS_OFFSET 64 /* In the record. */
#define CHAIN_BYTES 16
#define ENDED_OFFSET (CHAINS_OFFSET + AUTHORITY_CHAINS * CHAIN_BYTES)
#define NUMBERS_BYTES (ENDED_OFFSET + AUTHORITY_ENDED_MAX * AUTHORITY_NAME_BYTES)
#define RECORD_BYTES_MAX                                                                \
    (NUMBERS_BYTES + (1 + AUTHORITY_CHAINS) * (OTP_SEED_MAX + 1) + AUTHORITY_ID_BYTES + \
     AUTHORITY_SUBJECT_BYTES + sizeof((struct authority_order *)0)->command)
#define IN_HAND_S 3600
#define ALARM_REFUSALS 3
#define ALARM_MS 3600000

enum { FLAG_BY_OTP = 1, FLAG_STARTED = 2 };

_Static_assert(RECORD_BYTES_MAX <= JOURNAL_PAYLOAD_MAX, "it is one record");
_Static_assert(sizeof(struct authority) < 500 || sizeof(void *) > 4, "what authority.h promises");
_Static_assert(sizeof((struct config *)0)->otp.seed == OTP_SEED_MAX + 1 &&
                   sizeof((struct config *)0)->otp.last == OTP_BYTES,
               "a configured chain is one");

/* ---- the record ---- */

static void take_order(struct authority_order *order, const uint8_t *in)
{
    order->phase = in[28];
    order->by_otp = (in[29] & FLAG_BY_OTP) != 0;
    order->started = (in[29] & FLAG_STARTED) != 0;
    memcpy(order->hash, in + 32, sizeof order->hash);
    order->next_number = get_u32(in + 48);
    order->slot_sequence = get_u32(in + 52);
    order->unix_s = get_u64(in + 56);
}

static void take_record(struct authority *authority, const uint8_t *in, size_t length)
{
    struct authority_order *order = &authority->order;
    const char *at = (const char *)in + NUMBERS_BYTES;
    const char *end = (const char *)in + length;

    authority->counter = get_u32(in);
    authority->otp_origin = get_u32(in + 4);
    authority->otp_sequence = get_u32(in + 8);
    memcpy(authority->otp_last, in + 12, OTP_BYTES);
    authority->answers_unix_ms = get_u64(in + 20);
    take_order(order, in);
    at = get_string(at, end, authority->otp_seed, sizeof authority->otp_seed);
    for (unsigned i = 0; i < AUTHORITY_CHAINS; i++) {
        const uint8_t *from = in + CHAINS_OFFSET + i * CHAIN_BYTES;
        struct authority_chain *before = &authority->before[i];

        before->origin = get_u32(from);
        before->chain.sequence = get_u32(from + 4);
        memcpy(before->chain.last, from + 8, OTP_BYTES);
        at = get_string(at, end, before->chain.seed, sizeof before->chain.seed);
    }
    memcpy(authority->ended, in + ENDED_OFFSET, sizeof authority->ended);
    at = get_string(at, end, order->message_id, sizeof order->message_id);
    at = get_string(at, end, order->subject, sizeof order->subject);
    (void)get_string(at, end, order->command, sizeof order->command);
}

static void put_order(const struct authority_order *order, uint8_t *out)
{
    out[28] = order->phase;
    out[29] = (order->by_otp ? FLAG_BY_OTP : 0) | (order->started ? FLAG_STARTED : 0);
    memcpy(out + 32, order->hash, sizeof order->hash);
    put_u32(out + 48, order->next_number);
    put_u32(out + 52, order->slot_sequence);
    put_u64(out + 56, order->unix_s);
}

static struct journal_part string_part(const char *string)
{
    return (struct journal_part){string, strlen(string) + 1};
}

static int save(struct authority *authority)
{
    uint8_t numbers[NUMBERS_BYTES];
    const struct authority_order *order = &authority->order;
    struct journal_part parts[5 + AUTHORITY_CHAINS] = {{numbers, sizeof numbers}};
    size_t count = 1;
    uint32_t address;

    memset(numbers, 0, sizeof numbers);
    put_u32(numbers, authority->counter);
    put_u32(numbers + 4, authority->otp_origin);
    put_u32(numbers + 8, authority->otp_sequence);
    memcpy(numbers + 12, authority->otp_last, OTP_BYTES);
    put_u64(numbers + 20, authority->answers_unix_ms);
    put_order(order, numbers);
    parts[count++] = string_part(authority->otp_seed);
    for (unsigned i = 0; i < AUTHORITY_CHAINS; i++) {
        const struct authority_chain *before = &authority->before[i];
        uint8_t *to = numbers + CHAINS_OFFSET + i * CHAIN_BYTES;

        put_u32(to, before->origin);
        put_u32(to + 4, before->chain.sequence);
        memcpy(to + 8, before->chain.last, OTP_BYTES);
        parts[count++] = string_part(before->chain.seed);
    }
    memcpy(numbers + ENDED_OFFSET, authority->ended, sizeof authority->ended);
    parts[count++] = string_part(order->message_id);
    parts[count++] = string_part(order->subject);
    parts[count++] = string_part(order->command);
    return journal_append(authority->journal, JOURNAL_AUTHORITY, 0, parts, count, &address);
}

/* ---- chains of one-time passwords ---- */

static void use_chain(struct authority *authority, const struct config_chain *chain)
{
    authority->otp_sequence = chain->sequence;
    memcpy(authority->otp_seed, chain->seed, sizeof authority->otp_seed);
    memcpy(authority->otp_last, chain->last, OTP_BYTES);
}

static uint32_t origin_of(const struct config_chain *chain)
{
    uint8_t sequence[4];
    uint32_t crc;

    if (chain->sequence == 0) {
        return 0;
    }
    put_u32(sequence, chain->sequence);
    crc = crc32_update(0, sequence, sizeof sequence);
    crc = crc32_update(crc, chain->seed, strlen(chain->seed) + 1);
    crc = crc32_update(crc, chain->last, sizeof chain->last);
    return crc != 0 ? crc : 1;
}

/* Takes the configured chain, as far as it was used before; keeps in mind the one that counted. */
static void follow_config(struct authority *authority)
{
    struct authority_chain *before = authority->before;
    struct authority_chain now = {.origin = origin_of(&authority->config->otp),
                                  .chain = authority->config->otp};
    struct authority_chain then = {.origin = authority->otp_origin};
    unsigned place = AUTHORITY_CHAINS - 1; /* The one that is forgotten. */

    if (now.origin == authority->otp_origin) {
        return;
    }
    then.chain.sequence = authority->otp_sequence;
    memcpy(then.chain.seed, authority->otp_seed, sizeof then.chain.seed);
    memcpy(then.chain.last, authority->otp_last, OTP_BYTES);
    for (unsigned i = 0; i < AUTHORITY_CHAINS; i++) {
        if (before[i].origin == now.origin && now.origin != 0) {
            now = before[i];
            place = i;
        }
    }
    if (then.origin != 0) {
        memmove(before + 1, before, place * sizeof before[0]);
        before[0] = then;
    } else {
        memset(&before[place], 0, sizeof before[place]);
    }
    authority->otp_origin = now.origin;
    use_chain(authority, &now.chain);
}

int authority_otp_set(struct authority *authority, const char *chain)
{
    char text[MAILED_COMMAND_BYTES];
    struct config_chain parsed;

    if (!text_copy(text, sizeof text, chain) || !config_chain_parse(text, &parsed)) {
        return E_INVALID;
    }
    use_chain(authority, &parsed);
    return 0;
}

uint32_t authority_otp_left(const struct authority *authority)
{
    return authority->otp_sequence;
}

/* ---- who may ---- */

void authority_init(struct authority *authority, struct journal *journal,
                    const struct config *config, const char *device_id)
{
    uint8_t bytes[RECORD_BYTES_MAX];
    int length = journal_single(journal, JOURNAL_AUTHORITY, bytes, sizeof bytes);

    memset(authority, 0, sizeof *authority);
    authority->journal = journal;
    authority->config = config;
    authority->device_id = device_id;
    if (length >= NUMBERS_BYTES) {
        take_record(authority, bytes, (size_t)length);
    }
    follow_config(authority);
    if (length >= NUMBERS_BYTES || authority->otp_sequence > 0) {
        (void)save(authority); /* What cannot be written now is what stands there anyway. */
    }
}

void authority_keys(const struct authority *authority, struct mailed_keys *keys)
{
    const struct config *config = authority->config;

    memset(keys, 0, sizeof *keys);
    keys->hmac = config->command_key_set ? config->command_key : NULL;
    keys->public = config->command_public_set ? config->command_public : NULL;
    keys->otp = authority->otp_sequence > 0;
}

bool authority_on(const struct authority *authority)
{
    return authority->config->command_key_set || authority->config->command_public_set ||
           authority->otp_sequence > 0;
}

/* The bucket of answers: of limits.h's three, the one an hour. */
static void answers(const struct authority *authority, struct limits *limits)
{
    const uint32_t most[LIMITS_COUNT] = {[LIMITS_HOUR] = authority->config->answers_per_hour};

    limits_init(limits, most);
    limits->full_unix_ms[LIMITS_HOUR] = authority->answers_unix_ms;
}

void authority_answered(struct authority *authority, uint64_t unix_ms)
{
    struct limits limits;

    if (unix_ms == 0) {
        return;
    }
    answers(authority, &limits);
    limits_take(&limits, unix_ms);
    authority->answers_unix_ms = limits.full_unix_ms[LIMITS_HOUR];
}

/* Another order must end first: what it did, and its answer, would have no place in flash. */
static bool in_hand(const struct authority *authority, uint64_t unix_ms)
{
    const struct authority_order *order = &authority->order;
    uint64_t now_s = text_seconds(unix_ms);

    return order->phase == AUTHORITY_TRIAL ||
           (order->phase == AUTHORITY_TAKEN && order->unix_s != 0 && now_s >= order->unix_s &&
            now_s - order->unix_s < IN_HAND_S);
}

static bool limited(const struct authority *authority, uint64_t unix_ms)
{
    struct limits limits;

    answers(authority, &limits);
    return limits_wait_ms(&limits, unix_ms, SEVERITY_CRITICAL) > 0;
}

static bool has_ended(const struct authority *authority, const struct mailed *mailed)
{
    for (unsigned i = 0; i < AUTHORITY_ENDED_MAX; i++) {
        if (memcmp(authority->ended[i], mailed->hash, AUTHORITY_NAME_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

/* Why it is no order for this device, now; NULL: it is one, taken before or not. */
static const char *objection(const struct authority *authority, const struct mailed *mailed)
{
    const struct config *config = authority->config;

    if (mailed->proof == MAILED_REFUSED) {
        return mailed->why;
    }
    if (mailed->proof == MAILED_OTP) {
        return NULL;
    }
    if (mailed->proof != MAILED_SIGNED ||
        !(config->command_key_set || config->command_public_set)) {
        return "there is no order in it";
    }
    return text_equal_nocase(mailed->device, authority->device_id) ? NULL
                                                                   : "it is for another device";
}

/* Why it cannot be taken as a new one; NULL: it can. */
static const char *staleness(const struct authority *authority, const struct mailed *mailed)
{
    uint8_t step[OTP_BYTES];

    if (mailed->proof == MAILED_SIGNED) {
        return mailed->counter > authority->counter ? NULL : "its counter was used before";
    }
    otp_step(mailed->response, step);
    return authority->otp_sequence > 0 && digest_equal(step, authority->otp_last, sizeof step)
               ? NULL
               : "the one-time password is not the next one";
}

static enum authority_verdict refuse(struct authority *authority, const struct mailed *mailed,
                                     const char *reason, const char **why)
{
    *why = reason;
    if (mailed->proof != MAILED_NONE) {
        authority->refused++;
        authority->refused_in_a_row += authority->refused_in_a_row < UINT8_MAX ? 1 : 0;
    }
    return AUTHORITY_REFUSED;
}

/* The last order again. Its mail is what it would be run again by until its trial has begun. */
static enum authority_verdict known_order(const struct authority_order *order)
{
    if (order->phase == AUTHORITY_TRIAL && !order->started) {
        return AUTHORITY_LATER;
    }
    return order->phase == AUTHORITY_TAKEN ? AUTHORITY_RESUME : AUTHORITY_DONE;
}

enum authority_verdict authority_check(struct authority *authority, const struct mailed *mailed,
                                       uint64_t unix_ms, const char **why)
{
    const struct authority_order *order = &authority->order;
    const char *reason = objection(authority, mailed);

    if (reason != NULL) {
        return refuse(authority, mailed, reason, why);
    }
    if (order->phase != AUTHORITY_IDLE && order->by_otp == (mailed->proof == MAILED_OTP) &&
        memcmp(order->hash, mailed->hash, sizeof order->hash) == 0) {
        return known_order(order);
    }
    reason = staleness(authority, mailed);
    if (reason != NULL) {
        authority->replayed++;
        return has_ended(authority, mailed) ? AUTHORITY_DONE
                                            : refuse(authority, mailed, reason, why);
    }
    return in_hand(authority, unix_ms) || limited(authority, unix_ms) ? AUTHORITY_LATER
                                                                      : AUTHORITY_RUN;
}

bool authority_alarm(struct authority *authority, uint64_t now_ms)
{
    if (authority->refused_in_a_row < ALARM_REFUSALS ||
        (authority->refused_alert_ms != 0 && now_ms - authority->refused_alert_ms < ALARM_MS)) {
        return false;
    }
    authority->refused_in_a_row = 0;
    authority->refused_alert_ms = now_ms > 0 ? now_ms : 1;
    return true;
}

/* ---- an order in hand ---- */

/* What a header may hold (RFC 5322 section 3.6.4), and no more. */
static void take_id(char *out, size_t size, const char *id)
{
    bool good = text_copy(out, size, id);

    for (const char *c = out; *c != '\0'; c++) {
        good = good && *c > ' ' && *c < 0x7F && *c != '<' && *c != '>';
    }
    if (!good) {
        out[0] = '\0';
    }
}

/* For people; what it sets may be a password. */
static void take_command(char *out, size_t size, const char *command)
{
    static const char set[] = "config set";

    (void)text_copy(out, size, text_starts_nocase(command, set) ? set : command);
}

static void begin_order(struct authority *authority, const struct mailed *mailed,
                        const char *message_id, const char *subject)
{
    struct authority_order *order = &authority->order;
    struct text text;

    if (order->phase == AUTHORITY_ENDED) {
        memmove(authority->ended[1], authority->ended[0],
                sizeof authority->ended - sizeof authority->ended[0]);
        memcpy(authority->ended[0], order->hash, sizeof authority->ended[0]);
    }
    memset(order, 0, sizeof *order);
    order->phase = AUTHORITY_TAKEN;
    order->by_otp = mailed->proof == MAILED_OTP;
    memcpy(order->hash, mailed->hash, sizeof order->hash);
    order->next_number = authority->journal->next_number;
    take_id(order->message_id, sizeof order->message_id, message_id);
    text = text_begin(order->subject, sizeof order->subject);
    text_add_printable(&text, subject, strlen(subject));
    take_command(order->command, sizeof order->command, mailed->command);
}

int authority_take(struct authority *authority, const struct mailed *mailed, const char *message_id,
                   const char *subject, uint32_t slot_sequence, uint64_t unix_ms)
{
    uint32_t counter = authority->counter;
    uint8_t last[OTP_BYTES];
    bool by_otp = mailed->proof == MAILED_OTP;
    int error;

    memcpy(last, authority->otp_last, sizeof last);
    begin_order(authority, mailed, message_id, subject);
    authority->order.slot_sequence = slot_sequence;
    authority->order.unix_s = text_seconds(unix_ms);
    if (by_otp) {
        memcpy(authority->otp_last, mailed->response, OTP_BYTES);
        authority->otp_sequence--;
    } else {
        authority->counter = mailed->counter;
    }
    error = save(authority);
    if (error < 0) {
        /* As if it had never come; flash may know of it, and then it is resumed after a reset. */
        memset(&authority->order, 0, sizeof authority->order);
        memcpy(authority->otp_last, last, sizeof last);
        authority->otp_sequence += by_otp;
        authority->counter = counter;
        return error;
    }
    authority->taken++;
    authority->refused_in_a_row = 0;
    return 0;
}

int authority_phase(struct authority *authority, enum authority_phase phase)
{
    authority->order.phase = (uint8_t)phase;
    return save(authority);
}
