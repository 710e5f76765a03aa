/* fetch_items.c - the messages that something is to be done about, by number, with their uids. */
#include "boards/linux/fetch_work.h"

#include <stdlib.h>
#include <string.h>

#define ITEMS_FIRST 256u
#define NAMES_FIRST 8192u

static bool no_memory(struct fetch_work *work)
{
    (void)fetch_why(&work->why, EX_TEMPFAIL, "there is no memory for so many messages");
    return false;
}

/* Makes room for one more uid; each is shorter than POP3_UID_BYTES. */
static bool names_room(struct fetch_work *work)
{
    uint32_t room = work->names_room == 0 ? NAMES_FIRST : work->names_room * 2;
    char *names;

    if (work->names_room - work->names_used >= POP3_UID_BYTES) {
        return true;
    }
    names = realloc(work->names, room);
    if (names == NULL) {
        return no_memory(work);
    }
    if (work->names_room == 0) {
        names[0] = '\0';
        work->names_used = 1;
    }
    work->names = names;
    work->names_room = room;
    return true;
}

bool fetch_items_name(struct fetch_work *work, struct fetch_item *item, const char *uid)
{
    size_t size = strlen(uid) + 1;

    item->uid_at = 0;
    if (!names_room(work)) {
        return false;
    }
    if (size > 1 && size <= POP3_UID_BYTES) {
        item->uid_at = work->names_used;
        memcpy(work->names + work->names_used, uid, size);
        work->names_used += (uint32_t)size;
    }
    return true;
}

bool fetch_items_add(struct fetch_work *work, uint32_t number, const char *uid,
                     enum fetch_state state)
{
    struct fetch_item *item;

    if (work->count == work->room) {
        uint32_t room = work->room == 0 ? ITEMS_FIRST : work->room * 2;
        struct fetch_item *items = realloc(work->items, room * sizeof *items);

        if (items == NULL) {
            return no_memory(work);
        }
        work->items = items;
        work->room = room;
    }
    item = &work->items[work->count];
    item->number = number;
    item->octets = 0;
    item->state = (uint8_t)state;
    work->sorted = work->sorted && (work->count == 0 || item[-1].number < number);
    if (!fetch_items_name(work, item, uid)) {
        return false;
    }
    work->count++;
    return true;
}

static int by_number(const void *a, const void *b)
{
    uint32_t first = ((const struct fetch_item *)a)->number;
    uint32_t second = ((const struct fetch_item *)b)->number;

    return first < second ? -1 : first > second;
}

/* A number that is listed twice is one message: which of its uids is right nobody knows, and the
 * first is taken. */
void fetch_items_sort(struct fetch_work *work)
{
    uint32_t kept = 0;

    if (work->sorted) {
        return;
    }
    qsort(work->items, work->count, sizeof *work->items, by_number);
    for (uint32_t i = 0; i < work->count; i++) {
        if (kept == 0 || work->items[kept - 1].number != work->items[i].number) {
            work->items[kept++] = work->items[i];
        }
    }
    work->count = kept;
    work->sorted = true;
}

struct fetch_item *fetch_items_find(struct fetch_work *work, uint32_t number)
{
    struct fetch_item key = {.number = number};

    if (work->count == 0) {
        return NULL;
    }
    return bsearch(&key, work->items, work->count, sizeof *work->items, by_number);
}

void fetch_items_free(struct fetch_work *work)
{
    free(work->items);
    free(work->names);
    work->items = NULL;
    work->names = NULL;
    work->count = work->room = 0;
    work->names_used = work->names_room = 0;
    work->ask_at = work->dele_at = 0;
    work->sorted = true;
}
