/* docs/flash-format.md has the bytes of alerts, marks and books. */
#include "firmware/queue.h"
#include "firmware/flash_io.h"
#include "net/text.h"

#include <string.h>

/* A word of the index: where the newest record about the alert stands, and what `due` asks for. */
#define WORD_UNIT 0x000FFFFFu /* In units of 16 bytes from the log's beginning. */
#define WORD_SEVERITY_SHIFT 20
#define WORD_REFUSED (1u << 23)
#define WORD_YIELDS (1u << 24)
#define WORD_DELAYED (1u << 25)
#define WORD_FOLDED (1u << 26)
#define WORD_DIGEST (1u << 27)
#define WORD_TEST (1u << 28)
#define WORD_TRYING (1u << 29)
#define WORD_TIMELESS (1u << 30)

/* These units are the slots in RAM: no record begins in the last of 16 MB. */
#define UNIT_VOLATILE (WORD_UNIT + 1 - QUEUE_VOLATILE_MAX)

#define UNREADABLE_MS 900000 /* Until a record that cannot be read is tried again. */
#define DUE_SHIFT 12         /* due[] counts 4.096 s; less than 37 hours lie between it and now. */

/* What changes, at the beginning of both an alert's payload and a mark's. */
#define STATE_BYTES 32
enum { STATE_FOLDED = 1, STATE_DIGEST = 2, STATE_DAMAGED = 4, STATE_RETRIED = 8 };
#define ALERT_FIXED_BYTES (STATE_BYTES + 24)
/* From a mark to what it says of where its alert stands. */
#define MARK_ALERT_OFFSET (FLASH_UNIT_BYTES + 12)
#define ALERT_PAYLOAD_MAX                                                                        \
    (ALERT_FIXED_BYTES + sizeof((struct alert *)0)->source + sizeof((struct alert *)0)->sender + \
     2 * ALERT_NAME_BYTES + ALERT_TEXT_BYTES + ALERT_DOMAIN_BYTES)
#define BOOKS_WORDS 9 /* From since_unix_s on, as they stand in struct queue_books. */
#define BOOKS_BYTES (8 + BOOKS_WORDS * 4 + LIMITS_COUNT * 8)

_Static_assert(offsetof(struct queue_books, reported) ==
                   offsetof(struct queue_books, since_unix_s) + (BOOKS_WORDS - 1) * 4,
               "books are written as an array");

/* docs/flash-format.md says so; pointers of 32 bits. */
_Static_assert(sizeof(void *) > 4 || sizeof(struct queue) <= 7776, "RAM is what the page says");

_Static_assert(ALERT_PAYLOAD_MAX <= JOURNAL_PAYLOAD_MAX, "an alert is one record");

static uint32_t severity_of(uint32_t word)
{
    return word >> WORD_SEVERITY_SHIFT & 7;
}

static struct queue_volatile *volatile_slot(struct queue *queue, uint32_t word)
{
    uint32_t unit = word & WORD_UNIT;

    return unit >= UNIT_VOLATILE ? &queue->ram[unit - UNIT_VOLATILE] : NULL;
}

static const struct queue_volatile *volatile_at(const struct queue *queue, uint32_t word)
{
    uint32_t unit = word & WORD_UNIT;

    return unit >= UNIT_VOLATILE ? &queue->ram[unit - UNIT_VOLATILE] : NULL;
}

static uint32_t address_of(const struct queue *queue, uint32_t word)
{
    return queue->journal->flash->log_base + (word & WORD_UNIT) * FLASH_UNIT_BYTES;
}

static uint32_t unit_of(const struct queue *queue, uint32_t address)
{
    return (address - queue->journal->flash->log_base) / FLASH_UNIT_BYTES;
}

/* Where a mark that went bad since it was mounted says that its alert stands, if an alert of that
 * number (0: of any) does stand there; else FLASH_NOWHERE. */
static uint32_t alert_behind(const struct queue *queue, uint32_t mark, uint32_t number)
{
    const struct flash *flash = queue->journal->flash;
    uint8_t where[4];
    struct journal_record record;

    if (flash->read(flash, mark + MARK_ALERT_OFFSET, where, sizeof where) < 0 ||
        journal_peek(queue->journal, get_u32(where), &record) < 0 || record.type != JOURNAL_ALERT ||
        (number != 0 && record.number != number)) {
        return FLASH_NOWHERE;
    }
    return record.address;
}

static uint32_t number_at(const struct queue *queue, unsigned index)
{
    const struct queue_volatile *slot = volatile_at(queue, queue->word[index]);
    uint32_t address = address_of(queue, queue->word[index]);
    uint32_t number = slot != NULL ? slot->sequence : journal_number(queue->journal, address);

    if (number == 0) {
        address = alert_behind(queue, address, 0);
        number = address != FLASH_NOWHERE ? journal_number(queue->journal, address) : 0;
    }
    return number;
}

/* The same as position(), one after the other: for when a record cannot be read, and so has no
 * number to go by. */
static unsigned position_slow(const struct queue *queue, uint32_t sequence, bool *found)
{
    unsigned index = 0;

    for (; index < queue->count; index++) {
        uint32_t number = number_at(queue, index);

        if (number >= sequence) {
            *found = number == sequence;
            break;
        }
    }
    return index;
}

/* Index of that number, or where it would stand. */
static unsigned position(const struct queue *queue, uint32_t sequence, bool *found)
{
    unsigned low = 0;
    unsigned high = queue->count;
    uint32_t newest = high > 0 ? number_at(queue, high - 1) : 0;

    *found = false;
    /* Most of what is asked for is at either end. */
    if (newest != 0 && newest < sequence) {
        return high;
    }
    while (low < high) {
        unsigned middle = (low + high) / 2;
        uint32_t number = number_at(queue, middle);

        if (number == 0) {
            return position_slow(queue, sequence, found);
        }
        if (number == sequence) {
            *found = true;
            return middle;
        }
        if (number < sequence) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void put_state(uint8_t out[STATE_BYTES], const struct queue_item *item, uint32_t alert)
{
    memset(out, 0, STATE_BYTES);
    out[0] = item->event;
    out[1] = item->attempts;
    out[2] = item->pending_mask;
    out[3] = (item->folded ? STATE_FOLDED : 0) | (item->digest ? STATE_DIGEST : 0) |
             (item->retried ? STATE_RETRIED : 0);
    put_u16(out + 4, item->code);
    put_u32(out + 8, item->count);
    put_u32(out + 12, alert);
    put_u64(out + 16, item->event_unix_ms);
    put_u32(out + 24, (uint32_t)item->unix_s);
    put_u32(out + 28, item->digest ? item->after : (uint32_t)item->last_unix_s);
}

static void get_state(const uint8_t in[STATE_BYTES], struct queue_item *item)
{
    item->event = in[0];
    item->attempts = in[1];
    item->pending_mask = in[2];
    item->folded = (in[3] & STATE_FOLDED) != 0;
    item->digest = (in[3] & STATE_DIGEST) != 0;
    item->retried = (in[3] & STATE_RETRIED) != 0;
    item->code = get_u16(in + 4);
    item->count = get_u32(in + 8);
    item->event_unix_ms = get_u64(in + 16);
    item->unix_s = get_u32(in + 24);
    item->last_unix_s = item->digest ? 0 : get_u32(in + 28); /* A digest is never repeated. */
    item->after = item->digest ? get_u32(in + 28) : 0;
    item->refused = item->event == QUEUE_REFUSED || item->event == QUEUE_EXPIRED;
}

static void put_fixed(uint8_t out[ALERT_FIXED_BYTES], const struct queue_item *item,
                      uint64_t queued_unix_s)
{
    put_state(out, item, 0);
    out += STATE_BYTES;
    memset(out, 0, ALERT_FIXED_BYTES - STATE_BYTES);
    out[0] = item->severity;
    out[1] = item->facility;
    put_u32(out + 4, item->boot_count);
    put_u32(out + 8, (uint32_t)queued_unix_s);
    put_u64(out + 16, item->uptime_ms);
}

static void get_fixed(const uint8_t in[ALERT_FIXED_BYTES], struct queue_item *item)
{
    get_state(in, item);
    in += STATE_BYTES;
    item->severity = in[0] & 7;
    item->facility = in[1];
    item->boot_count = get_u32(in + 4);
    item->uptime_ms = get_u64(in + 16);
}

/* A damaged record's numbers cannot be trusted; that there was an alert can. */
static void doubt(struct queue_item *item)
{
    item->event = QUEUE_QUEUED;
    item->attempts = 0;
    item->pending_mask = UINT8_MAX;
    item->folded = false;
    item->digest = false;
    item->refused = false;
    item->count = 1;
    item->after = UINT32_MAX; /* No members: they go out in the next digest. */
    item->unix_s = 0;
    item->last_unix_s = 0;
}

/* Where the alert's own record stands: behind a mark, or at the word itself. */
static uint32_t alert_address(const struct queue *queue, uint32_t word, struct queue_item *item)
{
    uint8_t bytes[STATE_BYTES];
    struct journal_record record;
    uint32_t address = address_of(queue, word);

    if (journal_peek(queue->journal, address, &record) < STATE_BYTES) {
        return alert_behind(queue, address, 0);
    }
    if (record.type == JOURNAL_ALERT) {
        return address;
    }
    if (journal_read(queue->journal, address, &record, bytes, sizeof bytes) < STATE_BYTES ||
        record.damaged) {
        return alert_behind(queue, address, record.number);
    }
    if (item != NULL) {
        get_state(bytes, item);
    }
    return get_u32(bytes + 12);
}

/* All that is known of the alert behind a word. False: it cannot be read. */
static bool load(const struct queue *queue, unsigned index, struct queue_item *item)
{
    uint32_t word = queue->word[index];
    const struct queue_volatile *slot = volatile_at(queue, word);
    uint8_t bytes[ALERT_FIXED_BYTES];
    struct journal_record record;
    uint32_t now = (uint32_t)(queue->now_ms >> DUE_SHIFT);
    uint32_t address;

    memset(item, 0, sizeof *item);
    if (slot != NULL) {
        *item = slot->item;
        item->volatile_ = true;
    } else {
        address = alert_address(queue, word, NULL);
        if (address == FLASH_NOWHERE || journal_read(queue->journal, address, &record, bytes,
                                                     sizeof bytes) < ALERT_FIXED_BYTES) {
            return false;
        }
        get_fixed(bytes, item);
        item->sequence = record.number;
        if (record.damaged) {
            doubt(item);
        }
        (void)alert_address(queue, word, item); /* A mark knows better. */
    }
    item->refused = (word & WORD_REFUSED) != 0;
    item->yields = (word & WORD_YIELDS) != 0;
    item->is_test = (word & WORD_TEST) != 0;
    item->due_ms = 0;
    if (word & WORD_DELAYED) {
        now += (uint32_t)(int16_t)(uint16_t)(queue->due[index] - now);
        item->due_ms = (uint64_t)now << DUE_SHIFT;
    }
    return true;
}

static uint32_t alert_bytes(const struct queue *queue, uint32_t word)
{
    struct journal_record record;
    uint32_t address =
        volatile_at(queue, word) != NULL ? FLASH_NOWHERE : alert_address(queue, word, NULL);

    if (address == FLASH_NOWHERE || journal_peek(queue->journal, address, &record) < 0) {
        return 0;
    }
    return journal_record_bytes(record.length);
}

static uint32_t make_word(const struct queue_item *item, uint32_t unit)
{
    return unit | (uint32_t)(item->severity & 7) << WORD_SEVERITY_SHIFT |
           (item->refused ? WORD_REFUSED : 0) | (item->yields ? WORD_YIELDS : 0) |
           (item->folded ? WORD_FOLDED : 0) | (item->digest ? WORD_DIGEST : 0) |
           (item->is_test ? WORD_TEST : 0) | (item->event == QUEUE_TRYING ? WORD_TRYING : 0) |
           (item->unix_s == 0 ? WORD_TIMELESS : 0);
}

static void set_due(struct queue *queue, unsigned index, uint64_t due_ms)
{
    if (due_ms > queue->now_ms) {
        queue->word[index] |= WORD_DELAYED;
        queue->due[index] = (uint16_t)((due_ms + (1u << DUE_SHIFT) - 1) >> DUE_SHIFT);
    } else {
        queue->word[index] &= ~WORD_DELAYED;
    }
}

static void index_insert(struct queue *queue, unsigned index, uint32_t word)
{
    size_t behind = queue->count - index;

    memmove(queue->word + index + 1, queue->word + index, behind * sizeof queue->word[0]);
    memmove(queue->due + index + 1, queue->due + index, behind * sizeof queue->due[0]);
    queue->word[index] = word;
    queue->due[index] = 0;
    queue->count++;
}

static void index_remove(struct queue *queue, unsigned index)
{
    struct queue_volatile *slot = volatile_slot(queue, queue->word[index]);
    size_t behind = queue->count - index - 1u;
    uint32_t bytes = alert_bytes(queue, queue->word[index]);

    if (slot != NULL) {
        slot->sequence = 0;
    }
    queue->live_bytes -= bytes < queue->live_bytes ? bytes : queue->live_bytes;
    memmove(queue->word + index, queue->word + index + 1, behind * sizeof queue->word[0]);
    memmove(queue->due + index, queue->due + index + 1, behind * sizeof queue->due[0]);
    queue->count--;
}

/* A digest takes with it what it tells of. */
static void remove_members(struct queue *queue, uint32_t after, uint32_t digest)
{
    bool known;
    unsigned index = after < digest ? position(queue, after + 1, &known) : queue->count;

    while (index < queue->count) {
        uint32_t number = queue->word[index] & WORD_FOLDED ? number_at(queue, index) : 0;

        if (number >= digest) {
            break;
        }
        if (number > after) {
            index_remove(queue, index);
        } else {
            index++; /* Only what is folded need be read. */
        }
    }
}

static bool ends(uint8_t event)
{
    return event == QUEUE_ACCEPTED || event == QUEUE_DROPPED || event == QUEUE_DISPLACED ||
           event == QUEUE_SUPERSEDED;
}

static void count_event(struct queue *queue, uint32_t word, uint8_t event)
{
    struct queue_books *books = &queue->books;

    if ((word & WORD_REFUSED) && (event == QUEUE_REFUSED || event == QUEUE_EXPIRED)) {
        return; /* It was given up before, and is told of something else now, such as its time. */
    }
    books->accepted += event == QUEUE_ACCEPTED;
    books->refused += event == QUEUE_REFUSED;
    books->expired += event == QUEUE_EXPIRED;
    books->displaced += event == QUEUE_DISPLACED;
    books->dropped += event == QUEUE_DROPPED;
}

/* What is no more severe may give way; to an error or worse, also whatever was given up. What a
 * server may have by now does not. */
static bool may_give_way(uint32_t word, uint32_t severity)
{
    bool given_up = (word & WORD_REFUSED) != 0;

    return (severity_of(word) >= severity || (given_up && severity <= SEVERITY_ERROR)) &&
           (word & (WORD_TRYING | WORD_TEST)) == 0;
}

/* The oldest of the least severe, given-up ones first; QUEUE_MAX: none may give way. */
static unsigned find_victim(const struct queue *queue, uint32_t severity, bool in_ram)
{
    unsigned victim = QUEUE_MAX;
    uint32_t worst = 0;

    for (unsigned i = 0; i < queue->count; i++) {
        uint32_t word = queue->word[i];
        uint32_t rank = 1 + severity_of(word) + (word & WORD_REFUSED ? SEVERITY_COUNT : 0);

        if (may_give_way(word, severity) && (volatile_at(queue, word) != NULL) == in_ram &&
            rank > worst) {
            victim = i;
            worst = rank;
        }
    }
    return victim;
}

/* What the journal has found, and so has checked a moment ago. */
static int read_found(struct queue *queue, const struct journal_record *record, void *out,
                      size_t size)
{
    const struct flash *flash = queue->journal->flash;
    struct journal_record again;

    if (record->corrected) {
        return journal_read(queue->journal, record->address, &again, out, size);
    }
    if (record->length < size) {
        return E_MISSING;
    }
    return flash->read(flash, record->address + FLASH_UNIT_BYTES, out, size) < 0 ? E_IO
                                                                                 : record->length;
}

static void found_alert(struct queue *queue, const struct journal_record *record)
{
    uint8_t bytes[ALERT_FIXED_BYTES];
    struct queue_item item;
    unsigned index;
    bool known;
    int length = read_found(queue, record, bytes, sizeof bytes);

    if (length < 0 || length < ALERT_FIXED_BYTES) {
        return;
    }
    memset(&item, 0, sizeof item);
    get_fixed(bytes, &item);
    if (record->damaged) {
        doubt(&item);
    }
    index = position(queue, record->number, &known);
    if (known && record->damaged) {
        return; /* The copy was torn: what it was made of still stands. */
    }
    if (known) {
        index_remove(queue, index); /* A copy, made when the block was to be erased. */
    } else if (queue->count == QUEUE_MAX) {
        unsigned victim = find_victim(queue, 0, false);

        index_remove(queue, victim < QUEUE_MAX ? victim : 0);
        queue->books.displaced++;
        index = position(queue, record->number, &known);
    }
    item.event = QUEUE_QUEUED; /* Nothing is being tried after a start. */
    index_insert(queue, index, make_word(&item, unit_of(queue, record->address)));
    queue->word[index] &= ~WORD_TRYING;
    queue->live_bytes += journal_record_bytes(record->length);
}

static void found_mark(struct queue *queue, const struct journal_record *record)
{
    uint8_t bytes[STATE_BYTES];
    struct queue_item item;
    unsigned index;
    bool known, moved;

    memset(&item, 0, sizeof item);
    if (record->damaged || read_found(queue, record, bytes, sizeof bytes) != STATE_BYTES) {
        return;
    }
    get_state(bytes, &item);
    if (item.event_unix_ms > queue->books.unix_ms) {
        queue->books.unix_ms = item.event_unix_ms;
    }
    /* The digest itself may be gone, while a member moved to where it is still found. */
    if (item.digest && (item.event == QUEUE_ACCEPTED || item.event == QUEUE_DROPPED)) {
        remove_members(queue, item.after, record->number);
    }
    index = position(queue, record->number, &known);
    /* The alert moved while the mark was written: another one, which tells the same, followed it.
     */
    moved = known && alert_address(queue, queue->word[index], NULL) != get_u32(bytes + 12);
    if (!moved) {
        count_event(queue, known ? queue->word[index] : 0, item.event);
        if (item.event == QUEUE_TRYING && item.event_unix_ms != 0) {
            limits_take(queue->limits, item.event_unix_ms);
        }
    }
    if (known && ends(item.event)) {
        index_remove(queue, index);
    } else if (known && !moved) {
        item.severity = (uint8_t)severity_of(queue->word[index]);
        queue->word[index] = make_word(&item, unit_of(queue, record->address)) & ~WORD_TRYING;
    }
}

static void put_books(const struct queue *queue, uint8_t out[BOOKS_BYTES])
{
    const struct queue_books *books = &queue->books;
    const uint32_t *words = &books->since_unix_s;

    put_u64(out, books->unix_ms);
    out += 8;
    for (unsigned i = 0; i < BOOKS_WORDS; i++, out += 4) {
        put_u32(out, words[i]);
    }
    for (unsigned i = 0; i < LIMITS_COUNT; i++, out += 8) {
        put_u64(out, queue->limits->full_unix_ms[i]);
    }
}

static void found_books(struct queue *queue, const struct journal_record *record)
{
    struct queue_books *books = &queue->books;
    uint32_t *words = &books->since_unix_s;
    uint8_t bytes[BOOKS_BYTES];
    const uint8_t *in = bytes + 8;

    if (record->damaged || read_found(queue, record, bytes, sizeof bytes) != BOOKS_BYTES) {
        return;
    }
    if (get_u64(bytes) > books->unix_ms) {
        books->unix_ms = get_u64(bytes);
    }
    for (unsigned i = 0; i < BOOKS_WORDS; i++, in += 4) {
        words[i] = get_u32(in);
    }
    for (unsigned i = 0; i < LIMITS_COUNT; i++, in += 8) {
        /* The marks that were read before it may know of later messages. */
        if (get_u64(in) > queue->limits->full_unix_ms[i]) {
            queue->limits->full_unix_ms[i] = get_u64(in);
        }
    }
}

static void found(void *context, const struct journal_record *record)
{
    struct queue *queue = context;

    if (record->type == JOURNAL_ALERT) {
        found_alert(queue, record);
    } else if (record->type == JOURNAL_MARK) {
        found_mark(queue, record);
    } else if (record->type == JOURNAL_BOOKS) {
        found_books(queue, record);
    }
}

/* Writes an alert again, with the state that its last mark tells. Marks need no copy: they are
 * younger than their alert, so that its copy has taken them in before. */
static int carry(void *context, const struct journal_record *record)
{
    struct queue *queue = context;
    uint8_t bytes[ALERT_PAYLOAD_MAX];
    struct journal_part part = {.bytes = bytes};
    struct journal_record again;
    struct queue_item item;
    uint32_t address;
    unsigned index;
    bool known, was_damaged;
    int length;
    int error;

    if (record->type != JOURNAL_ALERT) {
        return 0;
    }
    index = position(queue, record->number, &known);
    if (!known || volatile_at(queue, queue->word[index]) != NULL) {
        return 0;
    }
    address = alert_address(queue, queue->word[index], NULL);
    /* A mark that cannot be read leads nowhere: then any record of the alert is carried. */
    if (address != record->address && address != FLASH_NOWHERE) {
        return 0;
    }
    length = journal_read(queue->journal, record->address, &again, bytes, sizeof bytes);
    if (length < ALERT_FIXED_BYTES || length > (int)sizeof bytes) {
        return length == E_IO ? E_IO : 0;
    }
    if (!load(queue, index, &item)) {
        memset(&item, 0, sizeof item);
        get_fixed(bytes, &item);
        if (again.damaged) {
            doubt(&item);
        }
    }
    was_damaged = again.damaged || (bytes[3] & STATE_DAMAGED) != 0;
    put_state(bytes, &item, 0);
    if (was_damaged) {
        bytes[3] |= STATE_DAMAGED; /* Its sum is right from now on, its text is not. */
    }
    part.size = (size_t)length;
    error = journal_append(queue->journal, JOURNAL_ALERT, record->number, &part, 1, &address);
    if (error == 0) {
        queue->word[index] = (queue->word[index] & ~WORD_UNIT) | unit_of(queue, address);
    }
    return error;
}

int queue_checkpoint(struct queue *queue)
{
    uint8_t bytes[BOOKS_BYTES];
    struct journal_part part = {.bytes = bytes, .size = sizeof bytes};
    uint64_t unix_ms = queue->unix_ms(queue->context);
    uint32_t address;

    if (unix_ms != 0) {
        queue->books.unix_ms = unix_ms;
        if (queue->books.since_unix_s == 0) {
            queue->books.since_unix_s = text_seconds(unix_ms);
        }
    }
    put_books(queue, bytes);
    return journal_append(queue->journal, JOURNAL_BOOKS, 0, &part, 1, &address);
}

static void opened(void *context)
{
    (void)queue_checkpoint(context); /* The last one stays where this one cannot stand. */
}

void queue_init(struct queue *queue, struct journal *journal, const struct flash *flash,
                struct limits *limits, uint64_t (*unix_ms)(void *context), void *context)
{
    memset(queue, 0, sizeof *queue);
    queue->journal = journal;
    queue->limits = limits;
    queue->unix_ms = unix_ms;
    queue->context = context;
    queue->owner =
        (struct journal_owner){.context = queue, .found = found, .carry = carry, .opened = opened};
    journal_mount(journal, flash, &queue->owner);
}

static int mark(struct queue *queue, unsigned index, const struct queue_item *item)
{
    uint8_t bytes[STATE_BYTES];
    struct journal_part part = {.bytes = bytes, .size = sizeof bytes};
    uint32_t address;
    int error;

    put_state(bytes, item, alert_address(queue, queue->word[index], NULL));
    error = journal_append(queue->journal, JOURNAL_MARK, item->sequence, &part, 1, &address);
    if (error < 0) {
        return error;
    }
    /* A block may have been opened, and the alert have moved with its old mark: then this mark
     * leads to where it stood, and the copy has to be marked. */
    if (alert_address(queue, queue->word[index], NULL) != get_u32(bytes + 12)) {
        put_state(bytes, item, alert_address(queue, queue->word[index], NULL));
        error = journal_append(queue->journal, JOURNAL_MARK, item->sequence, &part, 1, &address);
    }
    if (error == 0) {
        queue->word[index] = (queue->word[index] & ~WORD_UNIT) | unit_of(queue, address);
    }
    return error;
}

static int remove_at(struct queue *queue, unsigned index, enum queue_event event, uint16_t code)
{
    struct queue_item item;
    int error = 0;

    if (!load(queue, index, &item)) {
        index_remove(queue, index); /* Nothing of it can be read any more. */
        return E_IO;
    }
    item.event = (uint8_t)event;
    item.code = code;
    item.event_unix_ms = queue->unix_ms(queue->context);
    if (!item.volatile_) {
        error = mark(queue, index, &item);
    }
    if (!item.is_test || event == QUEUE_ACCEPTED) {
        count_event(queue, queue->word[index], (uint8_t)event);
    }
    index_remove(queue, index);
    if (item.digest && event != QUEUE_DISPLACED) {
        remove_members(queue, item.after, item.sequence);
    }
    return error;
}

int queue_remove(struct queue *queue, uint32_t sequence, enum queue_event event, uint16_t code)
{
    bool known;
    unsigned index = position(queue, sequence, &known);

    return known ? remove_at(queue, index, event, code) : E_MISSING;
}

/* Whether what may give way is enough for size more bytes. */
static bool room_can_be_made(const struct queue *queue, uint32_t size, uint32_t severity)
{
    uint32_t room = journal_room(queue->journal);
    uint32_t live = queue->live_bytes;

    for (unsigned i = 0; i < queue->count && live + size > room; i++) {
        uint32_t word = queue->word[i];

        if (may_give_way(word, severity)) {
            live -= alert_bytes(queue, word);
        }
    }
    return live + size <= room;
}

/* Displaces what is no more severe until the alert fits; nothing gives way in vain. */
static int make_room(struct queue *queue, uint32_t size, uint32_t severity)
{
    if (!room_can_be_made(queue, size, severity)) {
        return E_SPACE;
    }
    while (queue->count == QUEUE_MAX || queue->live_bytes + size > journal_room(queue->journal)) {
        unsigned victim = find_victim(queue, severity, false);

        if (victim == QUEUE_MAX) {
            return E_SPACE;
        }
        (void)remove_at(queue, victim, QUEUE_DISPLACED, 0);
    }
    return 0;
}

/* The strings of an alert, in the order in which they stand behind its numbers. */
#define STRING(member)                                                      \
    {                                                                       \
        offsetof(struct alert, member), sizeof(((struct alert *)0)->member) \
    }

static const struct {
    uint16_t offset, size;
} strings[] = {STRING(source), STRING(sender), STRING(host),
               STRING(app),    STRING(text),   STRING(domain)};

#define STRINGS (sizeof strings / sizeof strings[0])

static int add_to_flash(struct queue *queue, const struct alert *alert,
                        const struct queue_item *item)
{
    uint8_t fixed[ALERT_FIXED_BYTES];
    struct journal_part parts[1 + STRINGS] = {{fixed, sizeof fixed}};
    size_t length = sizeof fixed;
    uint32_t address;
    int error;

    for (size_t i = 0; i < STRINGS; i++) {
        const char *string = (const char *)alert + strings[i].offset;

        parts[1 + i].bytes = string;
        parts[1 + i].size = strlen(string) + 1;
        length += parts[1 + i].size;
    }
    if (queue->journal->problem != NULL) {
        return E_IO;
    }
    error = make_room(queue, journal_record_bytes(length), item->severity);
    if (error < 0) {
        return error;
    }
    put_fixed(fixed, item, alert->queued_unix_s);
    error =
        journal_append(queue->journal, JOURNAL_ALERT, item->sequence, parts, 1 + STRINGS, &address);
    if (error < 0) {
        return E_IO;
    }
    queue->live_bytes += journal_record_bytes(length);
    index_insert(queue, queue->count, make_word(item, unit_of(queue, address)));
    return 0;
}

/* A test, or an alert that flash does not take: better in RAM than nowhere. */
static int add_to_ram(struct queue *queue, const struct alert *alert, const struct queue_item *item)
{
    struct queue_volatile *slot = NULL;

    if (queue->count == QUEUE_MAX) {
        return E_SPACE;
    }
    for (unsigned attempt = 0; attempt < 2 && slot == NULL; attempt++) {
        for (unsigned i = 0; i < QUEUE_VOLATILE_MAX; i++) {
            slot = slot == NULL && queue->ram[i].sequence == 0 ? &queue->ram[i] : slot;
        }
        if (slot == NULL) {
            unsigned victim = find_victim(queue, item->severity, true);

            if (victim == QUEUE_MAX) {
                return E_SPACE;
            }
            (void)remove_at(queue, victim, QUEUE_DISPLACED, 0);
        }
    }
    if (slot == NULL) {
        return E_SPACE;
    }
    slot->sequence = item->sequence;
    slot->item = *item;
    slot->alert = *alert;
    index_insert(queue, queue->count,
                 make_word(item, UNIT_VOLATILE + (uint32_t)(slot - queue->ram)));
    return 0;
}

int queue_add(struct queue *queue, struct alert *alert, const struct queue_how *how)
{
    struct queue_item item;
    int error = E_IO;

    alert->sequence = queue->journal->next_number++;
    memset(&item, 0, sizeof item);
    item.sequence = alert->sequence;
    item.boot_count = alert->boot_count;
    item.count = alert->count > 0 ? alert->count : 1;
    item.unix_s = alert->unix_s;
    item.last_unix_s = alert->last_unix_s;
    item.uptime_ms = alert->uptime_ms;
    item.event_unix_ms = queue->unix_ms(queue->context);
    item.severity = alert->severity & 7;
    item.facility = alert->facility;
    item.event = QUEUE_QUEUED;
    item.pending_mask = how->pending_mask;
    item.folded = how->folded;
    item.digest = how->digest;
    item.after = how->after;
    item.is_test = how->is_test;
    if (!how->is_test) {
        error = add_to_flash(queue, alert, &item);
    }
    if (error == E_IO) {
        error = add_to_ram(queue, alert, &item);
    }
    if (error < 0) {
        queue->books.displaced++;
        return error;
    }
    queue->books.folded += how->folded;
    set_due(queue, queue->count - 1u, how->due_ms);
    return 0;
}

unsigned queue_given_up(const struct queue *queue)
{
    unsigned count = 0;

    for (unsigned i = 0; i < queue->count; i++) {
        count += (queue->word[i] & WORD_REFUSED) != 0;
    }
    return count;
}

bool queue_item(const struct queue *queue, unsigned index, struct queue_item *item)
{
    return index < queue->count && load(queue, index, item);
}

bool queue_find(const struct queue *queue, uint32_t sequence, struct queue_item *item)
{
    bool known;
    unsigned index = position(queue, sequence, &known);

    return known && load(queue, index, item);
}

int queue_update(struct queue *queue, const struct queue_item *item)
{
    struct queue_volatile *slot;
    struct queue_item now = *item;
    unsigned index;
    bool known;
    int error = 0;

    index = position(queue, item->sequence, &known);
    if (!known) {
        return E_MISSING;
    }
    now.event_unix_ms = queue->unix_ms(queue->context);
    now.refused = now.event == QUEUE_REFUSED || now.event == QUEUE_EXPIRED;
    now.retried = item->retried || now.event == QUEUE_RETRIED;
    slot = volatile_slot(queue, queue->word[index]);
    if (slot != NULL) {
        slot->item = now;
    } else {
        error = mark(queue, index, &now);
    }
    if (now.event == QUEUE_TRYING && now.event_unix_ms != 0) {
        limits_take(queue->limits, now.event_unix_ms);
    }
    count_event(queue, queue->word[index], now.event);
    queue->word[index] = make_word(&now, queue->word[index] & WORD_UNIT);
    set_due(queue, index, item->due_ms);
    return error;
}

void queue_delay(struct queue *queue, const struct queue_item *item)
{
    bool known;
    unsigned index = position(queue, item->sequence, &known);

    if (known) {
        queue->word[index] &= ~(WORD_YIELDS | WORD_TRYING); /* Nothing more is heard of a try. */
        queue->word[index] |= item->yields ? WORD_YIELDS : 0;
        set_due(queue, index, item->due_ms);
    }
}

/* The next of the strings behind an alert's numbers. */
static const char *take_string(const char *from, const char *end, char *out, size_t size,
                               bool damaged)
{
    size_t length = 0;
    struct text text = text_begin(out, size);

    while (from + length < end && from[length] != '\0') {
        length++;
    }
    if (damaged) {
        text_add_printable(&text, from, length);
    } else {
        text_add_bytes(&text, from, length);
    }
    return from + length < end ? from + length + 1 : end;
}

static void parse_alert(const uint8_t *bytes, size_t length, bool damaged, struct alert *alert)
{
    struct queue_item item;
    const char *from = (const char *)bytes + ALERT_FIXED_BYTES;
    const char *end = (const char *)bytes + length;

    memset(&item, 0, sizeof item);
    get_fixed(bytes, &item);
    alert->damaged = damaged || (bytes[3] & STATE_DAMAGED) != 0;
    if (damaged) {
        doubt(&item);
    }
    alert->boot_count = item.boot_count;
    alert->count = item.count;
    alert->unix_s = item.unix_s;
    alert->last_unix_s = item.last_unix_s;
    alert->queued_unix_s = get_u32(bytes + STATE_BYTES + 8);
    alert->uptime_ms = item.uptime_ms;
    alert->severity = item.severity;
    alert->facility = item.facility;
    for (size_t i = 0; i < STRINGS; i++) {
        from = take_string(from, end, (char *)alert + strings[i].offset, strings[i].size,
                           alert->damaged);
    }
}

int queue_alert_at(const struct queue *queue, uint32_t address, uint32_t sequence,
                   struct alert *alert)
{
    uint8_t bytes[ALERT_PAYLOAD_MAX];
    struct journal_record record;
    int length = journal_read(queue->journal, address, &record, bytes, sizeof bytes);

    memset(alert, 0, sizeof *alert);
    if (length < ALERT_FIXED_BYTES || length > (int)sizeof bytes || record.number != sequence ||
        record.type != JOURNAL_ALERT) {
        return E_MISSING;
    }
    parse_alert(bytes, (size_t)length, record.damaged, alert);
    alert->sequence = sequence;
    return 0;
}

int queue_alert(const struct queue *queue, uint32_t sequence, struct alert *alert)
{
    struct queue_item item;
    bool known;
    unsigned index = position(queue, sequence, &known);
    const struct queue_volatile *slot;
    int error;

    if (!known || !load(queue, index, &item)) {
        return E_MISSING;
    }
    slot = volatile_at(queue, queue->word[index]);
    if (slot != NULL) {
        *alert = slot->alert;
    } else {
        error =
            queue_alert_at(queue, alert_address(queue, queue->word[index], NULL), sequence, alert);
        if (error < 0) {
            return error;
        }
    }
    alert->count = item.count; /* What marks know better. */
    alert->unix_s = item.unix_s;
    alert->last_unix_s = item.last_unix_s;
    return 0;
}

uint32_t queue_address(const struct queue *queue, uint32_t sequence)
{
    bool known;
    unsigned index = position(queue, sequence, &known);

    if (!known || volatile_at(queue, queue->word[index]) != NULL) {
        return FLASH_NOWHERE;
    }
    return alert_address(queue, queue->word[index], NULL);
}

/* The order in which words go out: less is first. */
static uint32_t rank(uint32_t word)
{
    if (word & WORD_TEST) {
        return 0;
    }
    return 1 + severity_of(word) + (word & WORD_YIELDS ? SEVERITY_COUNT : 0);
}

/* Index of what is to go next; QUEUE_MAX: nothing now. */
static unsigned find_due(struct queue *queue)
{
    uint16_t now = (uint16_t)(queue->now_ms >> DUE_SHIFT);
    unsigned found_at = QUEUE_MAX;

    for (unsigned i = 0; i < queue->count; i++) {
        uint32_t word = queue->word[i];

        if ((word & WORD_DELAYED) && (int16_t)(uint16_t)(queue->due[i] - now) <= 0) {
            word &= ~WORD_DELAYED;
            queue->word[i] = word;
        }
        if ((word & (WORD_REFUSED | WORD_FOLDED | WORD_DELAYED)) == 0 &&
            (found_at == QUEUE_MAX || rank(word) < rank(queue->word[found_at]))) {
            found_at = i;
        }
    }
    return found_at;
}

bool queue_due(struct queue *queue, uint64_t now_ms, struct queue_item *best)
{
    queue->now_ms = now_ms;
    for (;;) {
        unsigned index = find_due(queue);

        if (index == QUEUE_MAX || load(queue, index, best)) {
            return index < QUEUE_MAX;
        }
        set_due(queue, index, now_ms + UNREADABLE_MS); /* The others are not to wait for it. */
    }
}

uint64_t queue_due_ms(const struct queue *queue, uint64_t now_ms)
{
    uint32_t now = (uint32_t)(now_ms >> DUE_SHIFT);
    int32_t next = INT32_MAX;

    for (unsigned i = 0; i < queue->count; i++) {
        uint32_t word = queue->word[i];
        int32_t left = 0;

        if (word & (WORD_REFUSED | WORD_FOLDED)) {
            continue;
        }
        if (word & WORD_DELAYED) {
            left = (int16_t)(uint16_t)(queue->due[i] - now);
        }
        next = left < next ? left : next;
    }
    if (next == INT32_MAX) {
        return UINT64_MAX;
    }
    return next <= 0 ? now_ms : (uint64_t)(now + (uint32_t)next) << DUE_SHIFT;
}

unsigned queue_waiting(const struct queue *queue)
{
    unsigned waiting = 0;

    for (unsigned i = 0; i < queue->count; i++) {
        waiting += (queue->word[i] & (WORD_REFUSED | WORD_FOLDED)) == 0;
    }
    return waiting;
}

unsigned queue_folded(const struct queue *queue, uint32_t *first)
{
    struct queue_item item;
    unsigned folded = 0;

    for (unsigned i = 0; i < queue->count; i++) {
        if (queue->word[i] & WORD_FOLDED) {
            *first = folded++ == 0 ? number_at(queue, i) : *first;
        } else if ((queue->word[i] & WORD_DIGEST) && folded > 0 && load(queue, i, &item) &&
                   item.after < *first) {
            folded = 0; /* All of them are its own. */
        }
    }
    return folded;
}

bool queue_member(const struct queue *queue, uint32_t digest, unsigned index,
                  struct queue_item *item)
{
    bool known;

    if (!queue_find(queue, digest, item)) {
        return false;
    }
    for (unsigned i = position(queue, item->after + 1, &known); i < queue->count; i++) {
        if ((queue->word[i] & WORD_FOLDED) && index-- == 0) {
            return number_at(queue, i) < digest && load(queue, i, item);
        }
    }
    return false;
}

void queue_set_time(struct queue *queue, uint32_t boot_count, uint64_t unix_ms, uint64_t now_ms)
{
    struct queue_item item;

    for (unsigned i = 0; i < queue->count; i++) {
        if ((queue->word[i] & WORD_TIMELESS) && load(queue, i, &item) &&
            item.boot_count == boot_count && item.uptime_ms <= now_ms) {
            item.unix_s = text_seconds(unix_ms - (now_ms - item.uptime_ms));
            (void)queue_update(queue, &item); /* Known for this boot at least. */
        }
    }
}
