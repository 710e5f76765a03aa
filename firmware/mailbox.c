/* docs/architecture.md tells why this finds what is new.
 *
 *     LAST -> [POSITION] -> AGAIN -> PEEK -> TAIL -> DOWN -> check -> OVER
 *       |         |                   ^                       |
 *       +---------+-> COMPARE --------+ <-----(all at once)---+   the listing cancels out
 *                        |            |                       |
 *                        +-> FIND -> FOUND                    |   a second one for the numbers
 *                        +-> (start over: TAIL, DOWN) <-------+
 */
#include "firmware/mailbox.h"

#include "firmware/flash_io.h"

#include <string.h>

#define FORMAT 1
#define HASHES 4            /* Cells of one name. */
#define LOOKS_MAX 512       /* In a session, about. */
#define FAILURES_MAX 4      /* Answers in a row that a server owes: enough for this session. */
#define PEEK_FROM LOOKS_MAX /* With more new ones than these, the newest ... */
#define PEEK_MAX 8          /* ... are looked at ahead of their turn. */
#define FIRST 256           /* Where nothing is known, so many of the newest come first. */
#define SMALL 64            /* A mailbox of so few is compared each time: it costs 2 KB. */
#define SWEEP_S 60          /* A larger one after so many seconds for each message, ... */
#define SWEEP_S_MAX 86400   /* ... or these. */

#define ENCODED offsetof(struct mailbox_memory, crc)

_Static_assert(ENCODED == 8 * (MAILBOX_CELLS + 3) + 4 * (MAILBOX_CELLS + 4) +
                              8 * MAILBOX_LATER_MAX + 2 * MAILBOX_CELLS + 4,
               "the bytes of flash have no gaps");
_Static_assert(ENCODED <= JOURNAL_PAYLOAD_MAX, "one record");
_Static_assert(sizeof(struct mailbox) + sizeof(struct mailbox_memory) <= 1360,
               "what mailbox.h says, about");
_Static_assert(MAILBOX_FOUND_MAX <= MAILBOX_CELLS && MAILBOX_CELLS <= 64, "bits");

enum phase {
    LAST,     /* Is the last one known where it was? */
    POSITION, /* And, while not all have been looked at, the first one? */
    AGAIN,    /* What was to be looked at again. */
    COMPARE,  /* All ids pass by, and cancel out with the sketch. */
    FIND,     /* They do so again: which numbers have the new ones? */
    FOUND,    /* The new ones among those known. */
    PEEK,     /* The newest of more than a session takes; they come again in their turn. */
    TAIL,     /* Those behind the last one known, upwards: what is known stays in one piece. */
    DOWN,     /* Those before the first one known, downwards. */
    OVER
};

/* ---- names and the sketch ---- */

#define HASH_BEGIN 0xCBF29CE484222325u

/* FNV-1a, then what differs in a few bits is spread over all of them. */
static uint64_t hash(uint64_t value, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;

    while (size-- > 0) {
        value = (value ^ *at++) * 0x100000001B3u;
    }
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9u;
    value = (value ^ value >> 27) * 0x94D049BB133111EBu;
    return value ^ value >> 31;
}

static uint64_t name_of(struct mailbox *mailbox, const char *uid, uint32_t octets)
{
    size_t size = strlen(uid);
    uint64_t name = hash(size > 0 ? HASH_BEGIN : octets, uid, size);

    if (size > 0) {
        mailbox->memory->by_size = false;
    }
    return name != 0 ? name : 1;
}

uint32_t mailbox_account(const char *host, uint16_t port, const char *user)
{
    uint64_t value = hash(HASH_BEGIN ^ port, host, strlen(host));

    return (uint32_t)hash(value, user, strlen(user));
}

/* Four cells that differ. With three, or with a part of the cells for each, two names would have
 * all of theirs in common, and not be told, thirty times as often. */
static void cells_of(uint64_t name, uint8_t cells[HASHES])
{
    memset(cells, MAILBOX_CELLS, HASHES);
    for (unsigned i = 0; i < HASHES; i++) {
        uint32_t cell = ((uint32_t)(name >> 16 * i) & 0xFFFF) * MAILBOX_CELLS >> 16;

        while (memchr(cells, (int)cell, HASHES) != NULL) {
            cell = (cell + 1) % MAILBOX_CELLS;
        }
        cells[i] = (uint8_t)cell;
    }
}

static uint32_t second_name(uint64_t name)
{
    return (uint32_t)(name * 0x9E3779B97F4A7C15u >> 32);
}

/* Puts a name in or out (count is 1 or -1) of all its cells but one. */
static void toggle(struct mailbox_memory *memory, uint64_t name, int count, unsigned but)
{
    uint8_t cells[HASHES];

    cells_of(name, cells);
    for (unsigned n = 0; n < HASHES; n++) {
        unsigned i = cells[n];

        if (i != but) {
            memory->ids[i] ^= name;
            memory->sums[i] ^= second_name(name);
            memory->counts[i] = (uint16_t)(memory->counts[i] + count);
        }
    }
}

#define NO_CELL MAILBOX_CELLS

/* 1, -1: the cell holds just one name, which is too many or missing; 0. */
static int alone(const struct mailbox_memory *memory, unsigned i)
{
    uint64_t name = memory->ids[i];
    uint8_t cells[HASHES];

    cells_of(name, cells);
    if (memory->sums[i] != second_name(name) || memchr(cells, (int)i, HASHES) == NULL) {
        return 0;
    }
    return memory->counts[i] == 1 ? 1 : memory->counts[i] == UINT16_MAX ? -1 : 0;
}

static bool is_solved(const struct mailbox *mailbox, unsigned i)
{
    return (mailbox->solved[i / 32] >> i % 32 & 1) != 0;
}

/* Takes the sketch of a difference apart, in place: a cell that holds just one name keeps it, and
 * the name leaves the others. False: more differences than it can tell; it is as it was. */
static bool take_apart(struct mailbox *mailbox)
{
    struct mailbox_memory *memory = mailbox->memory;
    bool moved = true;
    bool empty = true;

    memset(mailbox->solved, 0, sizeof mailbox->solved);
    while (moved) {
        moved = false;
        for (unsigned i = 0; i < MAILBOX_CELLS; i++) {
            int count = is_solved(mailbox, i) ? 0 : alone(memory, i);

            if (count != 0) {
                toggle(memory, memory->ids[i], -count, i);
                mailbox->solved[i / 32] |= 1u << i % 32;
                moved = true;
            }
        }
    }
    for (unsigned i = 0; i < MAILBOX_CELLS; i++) {
        empty &= is_solved(mailbox, i) ||
                 (memory->ids[i] == 0 && memory->sums[i] == 0 && memory->counts[i] == 0);
    }
    for (unsigned i = 0; i < MAILBOX_CELLS && !empty; i++) {
        if (is_solved(mailbox, i)) {
            toggle(memory, memory->ids[i], (int16_t)memory->counts[i], i);
        }
    }
    return empty;
}

/* ---- flash ---- */

/* Between flash's little-endian order and the processor's own; either way. */
static void order(struct mailbox_memory *memory)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    for (unsigned i = 0; i < MAILBOX_CELLS; i++) {
        memory->ids[i] = __builtin_bswap64(memory->ids[i]);
        memory->sums[i] = __builtin_bswap32(memory->sums[i]);
        memory->counts[i] = __builtin_bswap16(memory->counts[i]);
    }
    memory->octets = __builtin_bswap64(memory->octets);
    memory->last = __builtin_bswap64(memory->last);
    memory->position = __builtin_bswap64(memory->position);
    memory->account = __builtin_bswap32(memory->account);
    memory->count = __builtin_bswap32(memory->count);
    memory->below = __builtin_bswap32(memory->below);
    memory->swept_unix_s = __builtin_bswap32(memory->swept_unix_s);
    for (unsigned i = 0; i < MAILBOX_LATER_MAX; i++) {
        memory->later_number[i] = __builtin_bswap32(memory->later_number[i]);
        memory->later_name[i] = __builtin_bswap32(memory->later_name[i]);
    }
#else
    (void)memory;
#endif
}

void mailbox_load(struct journal *journal, uint32_t account, struct mailbox_memory *memory)
{
    int length = journal_single(journal, JOURNAL_MAILBOX, memory, ENCODED);

    memory->crc = crc32_update(0, memory, ENCODED);
    order(memory);
    if (length != (int)ENCODED || memory->format != FORMAT || memory->account != account ||
        memory->later_count > MAILBOX_LATER_MAX) {
        memset(memory, 0, sizeof *memory);
        memory->account = account;
        memory->format = FORMAT;
    }
    memory->torn = false;
    memory->journal = journal;
}

int mailbox_save(struct journal *journal, struct mailbox_memory *memory)
{
    const struct journal_part part = {.bytes = memory, .size = ENCODED};
    uint32_t address, crc;
    int error = 0;

    if (memory->torn) {
        return 0; /* What flash has still counts. */
    }
    order(memory);
    crc = crc32_update(0, memory, ENCODED);
    if (crc != memory->crc) {
        error = journal_append(journal, JOURNAL_MAILBOX, 0, &part, 1, &address);
    }
    order(memory);
    if (error == 0) {
        memory->crc = crc;
    }
    return error;
}

/* ---- what is next ---- */

/* Nothing is known. The newest come first, and these in their order, for one order may build on
 * another; then the older ones. */
static void start_over(struct mailbox *mailbox)
{
    struct mailbox_memory *memory = mailbox->memory;

    memset(memory->ids, 0, sizeof memory->ids);
    memset(memory->sums, 0, sizeof memory->sums);
    memset(memory->counts, 0, sizeof memory->counts);
    memory->octets = 0;
    memory->last = 0;
    memory->position = 0;
    memory->count = 0;
    memory->below = mailbox->count > LOOKS_MAX ? mailbox->count - FIRST : 0;
    memory->later_count = 0;
    memory->complete = memory->below == 0;
    memory->torn = false;
    mailbox->next = memory->below + 1;
    mailbox->compared = true;
    mailbox->phase = TAIL;
}

/* What is known cannot explain the mailbox: all ids are compared, once a session. */
static void compare(struct mailbox *mailbox)
{
    struct mailbox_memory *memory = mailbox->memory;

    if (memory->by_size || memory->count == 0 || memory->journal == NULL) {
        start_over(mailbox);
        return;
    }
    /* It is taken from flash again when the difference is known. */
    if (mailbox->compared || mailbox_save(memory->journal, memory) < 0) {
        mailbox->phase = OVER;
        return;
    }
    mailbox->compared = true;
    memory->torn = true;
    mailbox->inside_now = memory->complete;
    mailbox->first_number = 1;
    mailbox->phase = COMPARE;
}

/* All that was known to be new has been looked at. Is that all there is? */
static void check(struct mailbox *mailbox)
{
    struct mailbox_memory *memory = mailbox->memory;
    uint32_t count = mailbox->count - mailbox->deleted;
    uint64_t octets = mailbox->octets - mailbox->deleted_octets;

    if (!memory->complete && memory->below == 0) {
        memory->complete = true;
        memory->swept_unix_s = mailbox->unix_s;
    }
    mailbox->phase = OVER;
    if (!memory->complete || mailbox->next <= mailbox->count) {
        return; /* The next session goes on. */
    }
    if (mailbox->left > 0) {
        return; /* It finds these, since they are missing in the count. */
    }
    if (mailbox->compared) {
        /* Each one is known, whatever the server's numbers add up to. */
        memory->count = count;
        memory->octets = octets;
        if (count > SMALL) {
            memory->swept_unix_s = mailbox->unix_s;
        }
    } else if (memory->count == count && memory->octets == octets) {
        return;
    } else if (mailbox->waits) {
        /* What is to wait would be found once more: the next session begins with it. */
        memory->last = 0;
        mailbox->left++;
    } else {
        compare(mailbox);
    }
}

/* Sets the number of the message that the phase wants next; false: it is at its end. */
static bool find_step(struct mailbox *mailbox)
{
    struct mailbox_memory *memory = mailbox->memory;
    bool more = mailbox->looked < LOOKS_MAX;

    mailbox->number = 0;
    switch ((enum phase)mailbox->phase) {
    case LAST:
        mailbox->number = memory->below + memory->count;
        return true;
    case POSITION:
        mailbox->number = memory->below + 1;
        return true;
    case AGAIN:
        if (mailbox->index == memory->later_count) {
            return false;
        }
        mailbox->number = memory->later_number[mailbox->index];
        return true;
    case FOUND:
        if (mailbox->index == mailbox->found_count) {
            return false;
        }
        mailbox->number = (uint32_t)mailbox->found[mailbox->index];
        return true;
    case PEEK:
        mailbox->number = mailbox->count - (PEEK_MAX - 1) + mailbox->index;
        return mailbox->count - (mailbox->next - 1) > PEEK_FROM && mailbox->index < PEEK_MAX &&
               more;
    case TAIL:
        mailbox->number = mailbox->next;
        return mailbox->next <= mailbox->count && more;
    case DOWN:
        mailbox->number = memory->below;
        return memory->below > 0 && more;
    case COMPARE:
    case FIND:
    case OVER:
        break;
    }
    return true;
}

/* Goes on to the next phase that has something to do. */
static void settle(struct mailbox *mailbox)
{
    while (!find_step(mailbox)) {
        mailbox->index = 0;
        switch ((enum phase)mailbox->phase) {
        case AGAIN:
        case FOUND:
            mailbox->phase = PEEK;
            break;
        case PEEK:
            mailbox->phase = TAIL;
            break;
        case TAIL:
            mailbox->phase = DOWN;
            break;
        default:
            check(mailbox);
            break;
        }
    }
}

static bool is_due(const struct mailbox *mailbox)
{
    const struct mailbox_memory *memory = mailbox->memory;
    uint32_t period_s =
        mailbox->count < SWEEP_S_MAX / SWEEP_S ? mailbox->count * SWEEP_S : SWEEP_S_MAX;

    if (!memory->complete || memory->by_size) {
        return false;
    }
    return mailbox->count <= SMALL ||
           (mailbox->unix_s != 0 && (mailbox->unix_s < memory->swept_unix_s ||
                                     mailbox->unix_s - memory->swept_unix_s >= period_s));
}

void mailbox_begin(struct mailbox *mailbox, struct mailbox_memory *memory, uint32_t count,
                   uint64_t octets, bool has_uidl, uint64_t unix_s)
{
    memset(mailbox, 0, sizeof *mailbox);
    mailbox->memory = memory;
    mailbox->count = count < UINT32_MAX ? count : UINT32_MAX - 1;
    mailbox->octets = octets;
    mailbox->unix_s = (uint32_t)unix_s;
    mailbox->next = memory->below + memory->count + 1;
    memory->by_size |= !has_uidl;
    if (mailbox->count == 0 || (memory->count == 0 && !memory->complete)) {
        start_over(mailbox);
    } else if (memory->count == 0) {
        mailbox->phase = PEEK;
    } else if (mailbox->next - 1 > mailbox->count || is_due(mailbox)) {
        compare(mailbox);
    } else {
        mailbox->phase = LAST;
    }
    settle(mailbox);
}

bool mailbox_step(const struct mailbox *mailbox, struct mailbox_step *step)
{
    step->number = mailbox->number;
    step->ask = mailbox->asked ? MAILBOX_LOOK : MAILBOX_ASK;
    if (mailbox->phase == COMPARE || mailbox->phase == FIND) {
        step->ask = MAILBOX_LIST;
    }
    return mailbox->phase != OVER;
}

/* ---- one message ---- */

/* Forgets that the message in hand was to be looked at again. */
static void forget_later(struct mailbox *mailbox)
{
    struct mailbox_memory *memory = mailbox->memory;
    unsigned last = --memory->later_count;

    memory->later_number[mailbox->index] = memory->later_number[last];
    memory->later_name[mailbox->index] = memory->later_name[last];
}

/* Of the message in hand, which counts as known: false if there is no room for that. */
static bool remember_later(struct mailbox *mailbox)
{
    struct mailbox_memory *memory = mailbox->memory;

    if (memory->later_count == MAILBOX_LATER_MAX) {
        return false;
    }
    memory->later_number[memory->later_count] = mailbox->number;
    memory->later_name[memory->later_count] = (uint32_t)mailbox->name;
    memory->later_count++;
    return true;
}

static void count_deleted(struct mailbox *mailbox)
{
    mailbox->deleted++;
    mailbox->deleted_octets += mailbox->hand_octets;
}

static void looked_again(struct mailbox *mailbox, enum mailbox_fate fate)
{
    if (fate == MAILBOX_LATER) {
        mailbox->index++;
        return;
    }
    if (fate == MAILBOX_KEPT) {
        toggle(mailbox->memory, mailbox->name, 1, NO_CELL);
    } else {
        count_deleted(mailbox);
        mailbox->memory->count--;
        mailbox->memory->octets -= mailbox->hand_octets;
    }
    forget_later(mailbox);
}

/* What is looked at ahead of its turn comes again, in another session: nothing is remembered but
 * that it goes. */
static void looked_ahead(struct mailbox *mailbox, enum mailbox_fate fate)
{
    if (fate == MAILBOX_DELETED) {
        count_deleted(mailbox);
    }
    mailbox->index++;
}

/* The message in hand is done with. known: it counts as one that is known. */
static void pass(struct mailbox *mailbox, bool known)
{
    struct mailbox_memory *memory = mailbox->memory;

    if (known) {
        memory->count++;
        memory->octets += mailbox->hand_octets;
    }
    if (mailbox->phase == TAIL) {
        mailbox->next++;
        memory->last = known ? mailbox->name : memory->last;
        memory->position = known && memory->count == 1 ? mailbox->name : memory->position;
    } else if (mailbox->phase == DOWN) {
        memory->below--;
        memory->position = known ? mailbox->name : memory->position;
        memory->last = known && memory->count == 1 ? mailbox->name : memory->last;
    } else {
        mailbox->index++;
    }
}

void mailbox_looked(struct mailbox *mailbox, enum mailbox_fate fate)
{
    bool known = fate == MAILBOX_KEPT;

    mailbox->asked = false;
    mailbox->looked++;
    mailbox->waits |= fate == MAILBOX_LATER;
    if (mailbox->phase == AGAIN) {
        looked_again(mailbox, fate);
    } else if (mailbox->phase == PEEK) {
        looked_ahead(mailbox, fate);
    } else {
        if (fate == MAILBOX_KEPT) {
            toggle(mailbox->memory, mailbox->name, 1, NO_CELL);
        } else if (fate == MAILBOX_DELETED) {
            count_deleted(mailbox);
        } else {
            known = remember_later(mailbox);
            mailbox->left += known ? 0 : 1;
        }
        pass(mailbox, known);
    }
    settle(mailbox);
}

/* The server would not tell of a message that is to be looked at. */
static void pass_unknown(struct mailbox *mailbox)
{
    if (mailbox->phase == PEEK) {
        mailbox->index++;
    } else {
        mailbox->left++;
        pass(mailbox, false);
    }
    if (++mailbox->failures == FAILURES_MAX) {
        mailbox->phase = OVER;
    }
}

void mailbox_told(struct mailbox *mailbox, int error, const char *uid, uint32_t octets)
{
    struct mailbox_memory *memory = mailbox->memory;

    mailbox->name = error < 0 ? 0 : name_of(mailbox, uid, octets);
    mailbox->hand_octets = octets;
    if (mailbox->phase == LAST || mailbox->phase == POSITION) {
        if (mailbox->name == 0 ||
            mailbox->name != (mailbox->phase == LAST ? memory->last : memory->position)) {
            compare(mailbox);
        } else {
            mailbox->phase = mailbox->phase == LAST && !memory->complete ? POSITION : AGAIN;
        }
    } else if (mailbox->phase == AGAIN &&
               (error < 0 || (uint32_t)mailbox->name != memory->later_name[mailbox->index])) {
        /* It is another one now; all ids will tell which. */
        forget_later(mailbox);
        memory->count--;
    } else if (error < 0) {
        pass_unknown(mailbox);
    } else {
        mailbox->failures = 0;
        mailbox->asked = true;
    }
    settle(mailbox);
}

/* ---- all ids ---- */

/* In the order of the listing: what stands between the first one known and the last one known is
 * taken out of the sketch, and what is left in it then is the difference. If that cannot be told
 * at the last one, which may have been moved, everything behind it is a part of the comparison. */
static void compare_item(struct mailbox *mailbox, uint32_t number, uint64_t name)
{
    struct mailbox_memory *memory = mailbox->memory;

    if (mailbox->told_apart) {
        mailbox->tail_seen = true;
        return;
    }
    if (number >= mailbox->top_number) {
        mailbox->top_number = number;
        mailbox->top = name;
    }
    if (!mailbox->inside_now && name == memory->position) {
        mailbox->inside_now = true;
        mailbox->first_number = number;
    }
    if (!mailbox->inside_now) {
        return;
    }
    toggle(memory, name, -1, NO_CELL);
    mailbox->inside++;
    if (name == memory->last && number == mailbox->top_number && take_apart(mailbox)) {
        mailbox->told_apart = true;
        mailbox->next = number + 1;
    }
}

void mailbox_item(struct mailbox *mailbox, uint32_t number, const char *uid)
{
    uint64_t name = name_of(mailbox, uid, 0);

    if (number == 0 || number > mailbox->count) {
        return;
    }
    if (mailbox->phase == COMPARE) {
        compare_item(mailbox, number, name);
    } else if (mailbox->phase == FIND) {
        for (unsigned i = 0; i < mailbox->found_count; i++) {
            if (mailbox->found[i] == name) {
                mailbox->memory->sums[i] = number; /* Of two with one id, the newer. */
            }
        }
    }
}

/* The sketch of what was known comes from flash again, and what is gone leaves it. */
static void adopt(struct mailbox *mailbox)
{
    struct mailbox_memory *memory = mailbox->memory;

    mailbox_load(memory->journal, memory->account, memory);
    if (memory->count == 0) {
        start_over(mailbox); /* It has gone bad meanwhile. */
        return;
    }
    for (unsigned i = 1; i <= mailbox->gone_count; i++) {
        toggle(memory, mailbox->found[MAILBOX_FOUND_MAX - i], -1, NO_CELL);
    }
    memory->later_count = 0;
    memory->below = mailbox->first_number - 1;
    memory->count = mailbox->inside - mailbox->found_count - mailbox->left;
    memory->last = mailbox->top;
    mailbox->phase = FOUND;
}

/* Lists what the solved cells hold. False: too many. */
static bool list_differences(struct mailbox *mailbox)
{
    const struct mailbox_memory *memory = mailbox->memory;

    for (unsigned i = 0; i < MAILBOX_CELLS; i++) {
        if (!is_solved(mailbox, i)) {
            continue;
        }
        if (mailbox->found_count + mailbox->gone_count == MAILBOX_FOUND_MAX) {
            return false;
        }
        if (memory->counts[i] == 1) {
            mailbox->gone_count++;
            mailbox->found[MAILBOX_FOUND_MAX - mailbox->gone_count] = memory->ids[i];
        } else {
            mailbox->found[mailbox->found_count++] = memory->ids[i];
        }
    }
    return true;
}

static void compared(struct mailbox *mailbox)
{
    if (!mailbox->told_apart) {
        mailbox->told_apart = mailbox->inside_now && take_apart(mailbox);
    }
    if (!mailbox->tail_seen) {
        mailbox->next = mailbox->count + 1;
    }
    if (!mailbox->told_apart || !list_differences(mailbox)) {
        start_over(mailbox);
    } else if (mailbox->found_count > 0) {
        memset(mailbox->memory->sums, 0, sizeof mailbox->memory->sums);
        mailbox->phase = FIND;
    } else {
        adopt(mailbox);
    }
}

/* Names become numbers, the lowest first. */
static void found(struct mailbox *mailbox)
{
    const uint32_t *numbers = mailbox->memory->sums;
    unsigned count = 0;

    for (unsigned i = 0; i < mailbox->found_count; i++) {
        unsigned place = count;

        if (numbers[i] == 0) {
            mailbox->left++; /* It was there a moment ago. */
            continue;
        }
        for (; place > 0 && mailbox->found[place - 1] > numbers[i]; place--) {
            mailbox->found[place] = mailbox->found[place - 1];
        }
        mailbox->found[place] = numbers[i];
        count++;
    }
    mailbox->found_count = (uint8_t)count;
    adopt(mailbox);
}

void mailbox_items_end(struct mailbox *mailbox, int error)
{
    struct mailbox_memory *memory = mailbox->memory;

    if (mailbox->phase != COMPARE && mailbox->phase != FIND) {
        return;
    }
    if (error < 0 && mailbox->phase == COMPARE && error != E_TRANSIENT) {
        memory->by_size = true; /* Unless a message turns out to have an id. */
        start_over(mailbox);
    } else if (error < 0) {
        mailbox->phase = OVER; /* The next session tries again. */
    } else if (mailbox->phase == COMPARE) {
        compared(mailbox);
    } else {
        found(mailbox);
    }
    settle(mailbox);
}

void mailbox_end(struct mailbox *mailbox)
{
    mailbox->phase = OVER;
}

uint32_t mailbox_new_count(const struct mailbox *mailbox)
{
    return mailbox->looked;
}

uint32_t mailbox_left_count(const struct mailbox *mailbox)
{
    const struct mailbox_memory *memory = mailbox->memory;
    uint32_t left = mailbox->left + memory->below + memory->later_count;

    return mailbox->next <= mailbox->count ? left + mailbox->count - mailbox->next + 1 : left;
}
