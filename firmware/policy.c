#include "firmware/policy.h"

#include "firmware/limits.h"

#include <string.h>

enum {
    SAVED_AT_ONCE = 8, /* Repetitions of an alert that are written one by one. */
    SAVE_S = 10,       /* Between two writes of one count after that. */
    HELD_S_MAX = 60,   /* For a repetition that is critical or worse. */
    SLOT_S = 300,      /* Of the hour. */
    LONG_DIGEST = 256, /* Lines that do not wait for more. */
    CHECK_MS = 3600000,
    AGAIN_MS = 60000 /* Between two digests, whatever their length, or two tries to make one. */
};

#define FNV_OFFSET 2166136261u
#define FNV_PRIME 16777619u

/* --- What is alike --- */

static size_t app_name_size(const struct alert *alert)
{
    return strcspn(alert->app, "["); /* "sshd[412]" without the process id. */
}

static uint32_t hash_bytes(uint32_t hash, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ (uint8_t)bytes[i]) * FNV_PRIME;
    }
    return hash * FNV_PRIME; /* Where one field ends and the next begins counts. */
}

static uint32_t hash_of(const struct alert *alert)
{
    const char kind[] = {(char)alert->severity, (char)alert->facility};
    uint32_t hash = hash_bytes(FNV_OFFSET, kind, sizeof kind);

    hash = hash_bytes(hash, alert->sender, strlen(alert->sender));
    hash = hash_bytes(hash, alert->host, strlen(alert->host));
    hash = hash_bytes(hash, alert->app, app_name_size(alert));
    return hash_bytes(hash, alert->text, strlen(alert->text));
}

static bool same(const struct alert *a, const struct alert *b)
{
    size_t size = app_name_size(a);

    return !a->damaged && !b->damaged && a->severity == b->severity && a->facility == b->facility &&
           strcmp(a->sender, b->sender) == 0 && strcmp(a->host, b->host) == 0 &&
           size == app_name_size(b) && memcmp(a->app, b->app, size) == 0 &&
           strcmp(a->text, b->text) == 0;
}

/* Reads an alert that is queued, or was and has not been erased yet. */
static bool read_alert(const struct queue *queue, uint32_t sequence, uint32_t address,
                       struct alert *alert)
{
    return queue_alert(queue, sequence, alert) == 0 ||
           (address != FLASH_NOWHERE && queue_alert_at(queue, address, sequence, alert) == 0);
}

static struct policy_recent *find_recent(struct policy *policy, const struct alert *alert,
                                         uint32_t hash, uint32_t now_s)
{
    struct alert other;

    for (size_t i = 0; i < POLICY_RECENT_MAX; i++) {
        struct policy_recent *recent = &policy->recent[i];

        if (recent->sequence != 0 && recent->hash == hash &&
            now_s - recent->seen_s < policy->config->repeat_window_s &&
            read_alert(policy->queue, recent->sequence, recent->address, &other) &&
            same(alert, &other)) {
            return recent;
        }
    }
    return NULL;
}

/* Puts an entry in the first place; returns it there. */
static struct policy_recent *to_front(struct policy *policy, struct policy_recent *recent)
{
    struct policy_recent moved = *recent;

    memmove(policy->recent + 1, policy->recent,
            (size_t)(recent - policy->recent) * sizeof policy->recent[0]);
    policy->recent[0] = moved;
    return &policy->recent[0];
}

/* --- Counts --- */

/* Adds what is not in flash yet to the alert's count. */
static void save(struct policy *policy, struct policy_recent *recent, uint32_t now_s)
{
    struct queue *queue = policy->queue;
    uint64_t unix_ms = queue->unix_ms(queue->context);
    struct queue_item item;

    if (recent->unsaved == 0) {
        return;
    }
    recent->mark_s = now_s;
    if (queue_find(queue, recent->sequence, &item)) {
        item.count = (item.count > 0 ? item.count : 1) + recent->unsaved;
        item.last_unix_s =
            unix_ms != 0 ? text_seconds(unix_ms) - (now_s - recent->seen_s) : item.last_unix_s;
        item.event = QUEUE_REPEATED;
        if (queue_update(queue, &item) == E_IO) {
            return; /* Once more in 10 s. */
        }
    }
    recent->unsaved = 0;
}

/* Whether this repetition can be counted by the alert that stands for it, and is. */
static bool count_up(struct policy *policy, struct policy_recent *recent, uint32_t now_s)
{
    struct queue_item item;

    if (recent->taken || !queue_find(policy->queue, recent->sequence, &item) || item.refused ||
        item.event == QUEUE_TRYING) {
        return false;
    }
    recent->seen_s = now_s;
    recent->unsaved++;
    policy->queue->books.repeated++;
    if (item.count <= SAVED_AT_ONCE || now_s - recent->mark_s >= SAVE_S) {
        save(policy, recent, now_s);
    }
    return true;
}

/* When a repetition may leave of what has left, or was refused; 0: at once. */
static uint64_t held_until_ms(const struct policy *policy, const struct policy_recent *recent,
                              uint8_t severity, uint32_t now_s)
{
    uint32_t until_s = recent->mark_s + policy->config->repeat_window_s;
    struct queue_item item;

    if (until_s <= now_s ||
        (!recent->taken && !queue_find(policy->queue, recent->sequence, &item))) {
        return 0; /* Gave way, or was dropped: no mail told of it. */
    }
    if (severity <= SEVERITY_CRITICAL && until_s > now_s + HELD_S_MAX) {
        until_s = now_s + HELD_S_MAX;
    }
    return (uint64_t)until_s * 1000;
}

/* From here on this alert's count is fixed. */
static void fix(struct policy *policy, struct policy_recent *recent, uint32_t now_s)
{
    recent->taken = true;
    recent->mark_s = now_s;
    recent->address = queue_address(policy->queue, recent->sequence);
}

static void remember(struct policy *policy, struct policy_recent *recent, const struct alert *alert,
                     uint32_t hash, bool folded, uint32_t now_s)
{
    if (recent == NULL) {
        recent = &policy->recent[POLICY_RECENT_MAX - 1];
    }
    save(policy, recent, now_s);
    recent = to_front(policy, recent);
    *recent = (struct policy_recent){
        .hash = hash,
        .sequence = alert->sequence,
        .address = queue_address(policy->queue, alert->sequence),
        .folded = folded,
        .seen_s = now_s,
        .mark_s = now_s,
    };
}

/* --- Mails of their own --- */

static uint32_t sent_this_hour(struct policy *policy, uint32_t now_s)
{
    uint32_t slot = now_s / SLOT_S;
    uint32_t sum = 0;

    if (slot - policy->hour_slot >= POLICY_HOUR_SLOTS) {
        memset(policy->hour, 0, sizeof policy->hour);
        policy->hour_slot = slot;
    }
    while (policy->hour_slot != slot) {
        policy->hour[++policy->hour_slot % POLICY_HOUR_SLOTS] = 0;
    }
    for (size_t i = 0; i < POLICY_HOUR_SLOTS; i++) {
        sum += policy->hour[i];
    }
    return sum;
}

/* Whether the provider's limits would keep one more mail longer than a digest does. */
static bool limits_are_slow(const struct policy *policy, uint8_t severity)
{
    struct queue *queue = policy->queue;

    return limits_wait_all_ms(queue->limits, queue->unix_ms(queue->context), severity,
                              queue_waiting(queue) + 1u) >
           (uint64_t)policy->config->digest_delay_s * 1000;
}

/* Whether an alert becomes a mail of its own; it is counted as one. */
static bool may_be_mail(struct policy *policy, uint8_t severity, uint32_t now_s)
{
    uint32_t most = policy->config->alerts_per_hour;

    if (severity <= SEVERITY_CRITICAL || most == 0) {
        return true;
    }
    if (sent_this_hour(policy, now_s) >= most || limits_are_slow(policy, severity)) {
        return false;
    }
    policy->hour[policy->hour_slot % POLICY_HOUR_SLOTS]++;
    return true;
}

static void folded_one(struct policy *policy, uint64_t now_ms)
{
    uint64_t soon_ms = policy->digest_min_ms > now_ms ? policy->digest_min_ms : now_ms;

    policy->folded++;
    if (policy->digest_ms == 0) {
        policy->digest_ms = now_ms + (uint64_t)policy->config->digest_delay_s * 1000;
    }
    if (policy->folded >= LONG_DIGEST && policy->digest_ms > soon_ms) {
        policy->digest_ms = soon_ms;
    }
    policy->digest_ms += policy->digest_ms == 0; /* 0 is none. */
}

/* Lines that no digest waits for: a reset came before theirs was made, or it gave way to others
 * when it had been given up. They wait no longer. */
static void check(struct policy *policy, uint64_t now_ms)
{
    uint32_t first;

    policy->check_ms = now_ms + CHECK_MS;
    if (policy->digest_ms == 0) {
        policy->folded = queue_folded(policy->queue, &first);
        policy->digest_ms = policy->folded > 0 ? now_ms + 1 : 0;
    }
}

void policy_init(struct policy *policy, const struct config *config, struct queue *queue,
                 uint64_t now_ms)
{
    memset(policy, 0, sizeof *policy);
    policy->config = config;
    policy->queue = queue;
    check(policy, now_ms); /* A reset took its delay, and may do so again. */
}

int policy_take(struct policy *policy, struct alert *alert, uint8_t pending_mask, uint64_t now_ms)
{
    uint32_t now_s = text_seconds(now_ms);
    uint32_t hash = hash_of(alert);
    struct policy_recent *recent = find_recent(policy, alert, hash, now_s);
    struct queue_how how = {.pending_mask = pending_mask};
    int error;

    if (recent != NULL && count_up(policy, recent, now_s)) {
        alert->sequence = recent->sequence;
        (void)to_front(policy, recent);
        return POLICY_REPEATED;
    }
    how.folded = !may_be_mail(policy, alert->severity, now_s);
    if (recent != NULL) {
        how.due_ms = held_until_ms(policy, recent, alert->severity, now_s);
    }
    error = queue_add(policy->queue, alert, &how);
    if (error < 0) {
        return error;
    }
    if (policy->config->repeat_window_s != 0) {
        remember(policy, recent, alert, hash, how.folded, now_s);
    }
    if (how.folded) {
        folded_one(policy, now_ms);
        return POLICY_FOLDED;
    }
    return how.due_ms != 0 ? POLICY_HELD : POLICY_QUEUED;
}

void policy_leaves(struct policy *policy, struct queue_item *item, uint64_t now_ms)
{
    uint32_t now_s = text_seconds(now_ms);
    struct queue_item now;

    for (size_t i = 0; i < POLICY_RECENT_MAX; i++) {
        struct policy_recent *recent = &policy->recent[i];

        if (recent->sequence == item->sequence) {
            save(policy, recent, now_s);
            fix(policy, recent, now_s);
            if (queue_find(policy->queue, item->sequence, &now)) {
                *item = now;
            }
        }
    }
}

void policy_flush(struct policy *policy, uint64_t now_ms)
{
    for (size_t i = 0; i < POLICY_RECENT_MAX; i++) {
        save(policy, &policy->recent[i], text_seconds(now_ms));
    }
}

/* --- The digest --- */

/* How many lines, how many times in all, how bad. Returns the first number; 0: nothing is folded.
 */
static uint32_t describe(const struct policy *policy, struct alert *digest)
{
    struct text text = text_begin(digest->text, sizeof digest->text);
    struct queue_item item;
    uint32_t times = 0;
    uint32_t first = 0;

    digest->count = 0;
    digest->severity = SEVERITY_DEBUG;
    if (queue_folded(policy->queue, &first) == 0) {
        return 0;
    }
    for (unsigned i = 0; i < policy->queue->count; i++) {
        if (queue_item(policy->queue, i, &item) && item.folded && item.sequence >= first) {
            digest->count++;
            times += item.count > 1 ? item.count : 1;
            digest->severity = item.severity < digest->severity ? item.severity : digest->severity;
        }
    }
    text_format(&text, "%u alert%s", (unsigned)digest->count, digest->count == 1 ? "" : "s");
    if (times > digest->count) {
        text_format(&text, ", %u times in all", (unsigned)times);
    }
    text_format(&text, ", worst: %s", severity_name(digest->severity));
    return first;
}

/* The digest before this one has not left yet, and nothing is wrong with it. */
static bool digest_waits(const struct policy *policy)
{
    struct queue_item item;

    return policy->digest != 0 && queue_find(policy->queue, policy->digest, &item) &&
           !item.refused && item.attempts == 0;
}

static bool make_digest(struct policy *policy, struct alert *digest, uint8_t pending_mask,
                        uint64_t now_ms)
{
    struct queue_how how = {.pending_mask = pending_mask, .digest = true};
    uint32_t first;

    policy->digest_ms = now_ms + AGAIN_MS;
    policy->digest_min_ms = policy->digest_ms;
    if (digest_waits(policy)) {
        return false;
    }
    policy_flush(policy, now_ms);
    first = describe(policy, digest);
    if (first != 0) {
        how.after = first - 1;
        if (queue_add(policy->queue, digest, &how) < 0) {
            return false;
        }
        policy->digest = digest->sequence;
        for (size_t i = 0; i < POLICY_RECENT_MAX; i++) {
            if (policy->recent[i].folded && !policy->recent[i].taken) {
                fix(policy, &policy->recent[i], text_seconds(now_ms));
            }
        }
    }
    policy->digest_ms = 0;
    policy->folded = 0;
    return first != 0;
}

bool policy_poll(struct policy *policy, struct alert *digest, uint8_t pending_mask, uint64_t now_ms)
{
    uint32_t now_s = text_seconds(now_ms);
    bool moved = false;

    for (size_t i = 0; i < POLICY_RECENT_MAX; i++) {
        struct policy_recent *recent = &policy->recent[i];

        if (recent->unsaved > 0 && now_s - recent->mark_s >= SAVE_S) {
            save(policy, recent, now_s);
            moved = true;
        }
    }
    if (now_ms >= policy->check_ms) {
        check(policy, now_ms);
    }
    if (policy->digest_ms != 0 && now_ms >= policy->digest_ms) {
        moved |= make_digest(policy, digest, pending_mask, now_ms);
    }
    return moved;
}

uint64_t policy_deadline(const struct policy *policy)
{
    uint64_t deadline_ms = policy->check_ms;

    for (size_t i = 0; i < POLICY_RECENT_MAX; i++) {
        uint64_t save_ms = ((uint64_t)policy->recent[i].mark_s + SAVE_S) * 1000;

        if (policy->recent[i].unsaved > 0 && save_ms < deadline_ms) {
            deadline_ms = save_ms;
        }
    }
    if (policy->digest_ms != 0 && policy->digest_ms < deadline_ms) {
        deadline_ms = policy->digest_ms;
    }
    return deadline_ms;
}

/* --- Its lines --- */

/* Finds the member that is line number index, and keeps its place: a member that gives way while
 * the mail is being read moves no other. */
static bool find_line(struct policy *policy, uint32_t digest, unsigned index)
{
    struct queue *queue = policy->queue;
    uint32_t removed = queue->journal->next_number - queue->count; /* Grows with each. */
    bool next = digest == policy->line.digest && index == policy->line.index + 1;
    uint32_t before = next ? policy->line.sequence : 0;
    unsigned at = index;
    struct queue_item item;

    if (digest == policy->line.digest && index == policy->line.index && index != 0) {
        return true;
    }
    policy->line.digest = digest;
    policy->line.index = index;
    while (next && removed != policy->line.removed && at > 0 &&
           !(queue_member(queue, digest, at - 1, &item) && item.sequence <= before)) {
        at--;
    }
    policy->line.sequence = UINT32_MAX;
    if (!queue_member(queue, digest, at, &item)) {
        return false;
    }
    policy->line.sequence = item.sequence;
    policy->line.address = queue_address(queue, item.sequence);
    if (at == index) {
        policy->line.removed = removed;
    }
    return true;
}

static void add_times(struct text *out, const struct alert *alert, int32_t zone_minutes)
{
    if (alert->count > 1) {
        text_format(out, " (%u times", (unsigned)alert->count);
        if (alert->last_unix_s != 0) {
            text_add(out, ", last ");
            text_add_time(out, alert->last_unix_s, zone_minutes);
        }
        text_add_char(out, ')');
    }
}

static void add_line(const struct policy *policy, struct text *out)
{
    int32_t zone_minutes = policy->config->zone_minutes;
    struct alert alert;
    const char *host = alert.host;

    if (!read_alert(policy->queue, policy->line.sequence, policy->line.address, &alert)) {
        text_format(out, "Alert %u cannot be read.", (unsigned)policy->line.sequence);
        return;
    }
    host = host[0] != '\0' ? host : alert.sender;
    if (alert.unix_s != 0) {
        text_add_time(out, alert.unix_s, zone_minutes);
    } else {
        text_format(out, "%u s after start %u", (unsigned)text_seconds(alert.uptime_ms),
                    (unsigned)alert.boot_count);
    }
    text_format(out, "  %s  %s%s%s%s%s%s", severity_name(alert.severity), host,
                host[0] != '\0' && alert.app[0] != '\0' ? " " : "", alert.app,
                host[0] != '\0' || alert.app[0] != '\0' ? ": " : "",
                alert.damaged ? "[damaged in flash] " : "", alert.text);
    add_times(out, &alert, zone_minutes);
}

bool policy_digest_line(struct policy *policy, uint32_t digest, unsigned index, struct text *out)
{
    struct queue_item item;
    bool ended = index > 0 && digest == policy->line.digest && index == policy->line.index + 1 &&
                 policy->line.sequence == UINT32_MAX;

    if (!ended && find_line(policy, digest, index) && policy->line.sequence != UINT32_MAX) {
        add_line(policy, out);
        return true;
    }
    if (ended || !queue_find(policy->queue, digest, &item) || item.count <= index) {
        return false;
    }
    text_format(out, "%u more gave way to others, were dropped, or went out in another mail.",
                (unsigned)(item.count - index));
    return true;
}
