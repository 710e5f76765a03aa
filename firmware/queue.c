#include "firmware/queue.h"
#include "net/text.h"

#include <string.h>

/* A record: struct queue_item, then source, sender, host, app and text, each with its NUL. */

void queue_init(struct queue *queue)
{
    queue->used = 0;
    queue->count = 0;
    queue->displaced = 0;
}

/* Records lie at any address: copied, never pointed into. */
static void item_at(const struct queue *queue, uint16_t offset, struct queue_item *item)
{
    memcpy(item, queue->bytes + offset, sizeof *item);
}

static int offset_of(const struct queue *queue, uint32_t sequence)
{
    struct queue_item item;

    for (uint16_t at = 0; at < queue->used; at = (uint16_t)(at + item.size)) {
        item_at(queue, at, &item);
        if (item.sequence == sequence) {
            return at;
        }
    }
    return E_MISSING;
}

int queue_remove(struct queue *queue, uint32_t sequence)
{
    int at = offset_of(queue, sequence);
    struct queue_item item;

    if (at < 0) {
        return at;
    }
    item_at(queue, (uint16_t)at, &item);
    memmove(queue->bytes + at, queue->bytes + at + item.size,
            (size_t)(queue->used - at - item.size));
    queue->used = (uint16_t)(queue->used - item.size);
    queue->count--;
    return 0;
}

/* Makes room for size bytes by displacing what is no more severe than severity; nothing gives way
 * in vain. */
static int make_room(struct queue *queue, size_t size, uint8_t severity)
{
    struct queue_item item;
    size_t room = sizeof queue->bytes - queue->used;

    for (uint16_t at = 0; at < queue->used; at = (uint16_t)(at + item.size)) {
        item_at(queue, at, &item);
        room += item.severity >= severity ? item.size : 0;
    }
    if (room < size) {
        queue->displaced++;
        return E_SPACE;
    }
    while (sizeof queue->bytes - queue->used < size) {
        struct queue_item least = {.severity = 0};

        for (uint16_t at = 0; at < queue->used; at = (uint16_t)(at + item.size)) {
            item_at(queue, at, &item);
            if (at == 0 || item.severity > least.severity) {
                least = item;
            }
        }
        queue->displaced++;
        queue_remove(queue, least.sequence);
    }
    return 0;
}

int queue_add(struct queue *queue, const struct alert *alert, uint8_t pending_mask, bool is_test)
{
    const char *const part[] = {alert->source, alert->sender, alert->host, alert->app, alert->text};
    size_t size = sizeof(struct queue_item);
    struct queue_item item;
    int error;

    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++) {
        size += strlen(part[i]) + 1;
    }
    error = make_room(queue, size, alert->severity);
    if (error < 0) {
        return error;
    }
    memset(&item, 0, sizeof item);
    item.sequence = alert->sequence;
    item.boot_count = alert->boot_count;
    item.unix_s = alert->unix_s;
    item.uptime_ms = alert->uptime_ms;
    item.size = (uint16_t)size;
    item.severity = alert->severity;
    item.facility = alert->facility;
    item.pending_mask = pending_mask;
    item.is_test = is_test;
    memcpy(queue->bytes + queue->used, &item, sizeof item);
    queue->used = (uint16_t)(queue->used + sizeof item);
    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++) {
        size_t length = strlen(part[i]) + 1;

        memcpy(queue->bytes + queue->used, part[i], length);
        queue->used = (uint16_t)(queue->used + length);
    }
    queue->count++;
    return 0;
}

bool queue_item(const struct queue *queue, unsigned index, struct queue_item *item)
{
    for (uint16_t at = 0; at < queue->used; at = (uint16_t)(at + item->size)) {
        item_at(queue, at, item);
        if (index-- == 0) {
            return true;
        }
    }
    return false;
}

void queue_update(struct queue *queue, const struct queue_item *item)
{
    int at = offset_of(queue, item->sequence);

    if (at >= 0) {
        memcpy(queue->bytes + at, item, sizeof *item);
    }
}

int queue_alert(const struct queue *queue, uint32_t sequence, struct alert *alert)
{
    int at = offset_of(queue, sequence);
    struct queue_item item;
    struct {
        char *out;
        size_t size;
    } part[] = {
        {alert->source, sizeof alert->source}, {alert->sender, sizeof alert->sender},
        {alert->host, sizeof alert->host},     {alert->app, sizeof alert->app},
        {alert->text, sizeof alert->text},
    };
    const char *from;

    if (at < 0) {
        return at;
    }
    item_at(queue, (uint16_t)at, &item);
    from = (const char *)queue->bytes + at + sizeof item;
    memset(alert, 0, sizeof *alert);
    alert->boot_count = item.boot_count;
    alert->sequence = item.sequence;
    alert->unix_s = item.unix_s;
    alert->uptime_ms = item.uptime_ms;
    alert->severity = item.severity;
    alert->facility = item.facility;
    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++) {
        text_copy(part[i].out, part[i].size, from);
        from += strlen(from) + 1;
    }
    return 0;
}

static bool before(const struct queue_item *a, const struct queue_item *b)
{
    if (a->is_test != b->is_test) {
        return a->is_test;
    }
    return a->yields != b->yields ? b->yields : a->severity < b->severity;
}

bool queue_due(const struct queue *queue, uint64_t now_ms, struct queue_item *best)
{
    struct queue_item item;
    bool found = false;

    for (uint16_t at = 0; at < queue->used; at = (uint16_t)(at + item.size)) {
        item_at(queue, at, &item);
        if (!item.refused && item.due_ms <= now_ms && (!found || before(&item, best))) {
            *best = item;
            found = true;
        }
    }
    return found;
}

uint64_t queue_due_ms(const struct queue *queue)
{
    struct queue_item item;
    uint64_t due_ms = UINT64_MAX;

    for (uint16_t at = 0; at < queue->used; at = (uint16_t)(at + item.size)) {
        item_at(queue, at, &item);
        if (!item.refused && item.due_ms < due_ms) {
            due_ms = item.due_ms;
        }
    }
    return due_ms;
}

void queue_set_time(struct queue *queue, uint32_t boot_count, uint64_t unix_ms, uint64_t now_ms)
{
    struct queue_item item;

    for (uint16_t at = 0; at < queue->used; at = (uint16_t)(at + item.size)) {
        item_at(queue, at, &item);
        if (item.unix_s == 0 && item.boot_count == boot_count && item.uptime_ms <= now_ms) {
            item.unix_s = text_seconds(unix_ms - (now_ms - item.uptime_ms));
            memcpy(queue->bytes + at, &item, sizeof item);
        }
    }
}
