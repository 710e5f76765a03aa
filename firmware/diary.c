/* docs/flash-format.md has the bytes. */
#include "firmware/diary.h"

#include "firmware/flash_io.h"

#include <string.h>

#define FIXED_BYTES 32
#define MUTE_BYTES 8
#define NUMBERS_BYTES (FIXED_BYTES + DIARY_MUTES_MAX * MUTE_BYTES)
#define RECORD_BYTES_MAX \
    (NUMBERS_BYTES + sizeof((struct diary *)0)->bounced_status + DIARY_MUTES_MAX * DIARY_NAME_BYTES)

enum { FLAG_SELF_TEST_FAILED = 1 };

_Static_assert(RECORD_BYTES_MAX <= JOURNAL_PAYLOAD_MAX, "it is one record");

static void take(struct diary *diary, const uint8_t *in, const uint8_t *end)
{
    const char *strings = (const char *)in + NUMBERS_BYTES;

    diary->report_unix_s = get_u32(in);
    diary->self_test_unix_s = get_u32(in + 4);
    diary->self_test_failed = (in[8] & FLAG_SELF_TEST_FAILED) != 0;
    diary->bounced = get_u32(in + 16);
    diary->bounced_number = get_u32(in + 20);
    diary->bounced_unix_s = get_u32(in + 24);
    diary->fast_until_unix_s = get_u32(in + 28);
    strings =
        get_string(strings, (const char *)end, diary->bounced_status, sizeof diary->bounced_status);
    in += FIXED_BYTES;
    for (unsigned i = 0; i < DIARY_MUTES_MAX; i++, in += MUTE_BYTES) {
        struct diary_mute *mute = &diary->mutes[i];

        mute->until_unix_s = get_u32(in);
        mute->count = get_u32(in + 4);
        strings = get_string(strings, (const char *)end, mute->source, sizeof mute->source);
    }
}

void diary_init(struct diary *diary, struct journal *journal)
{
    uint8_t bytes[RECORD_BYTES_MAX];
    int length = journal_single(journal, JOURNAL_DIARY, bytes, sizeof bytes);

    memset(diary, 0, sizeof *diary);
    diary->journal = journal;
    if (length >= NUMBERS_BYTES) {
        take(diary, bytes, bytes + length);
    }
}

int diary_save(struct diary *diary)
{
    uint8_t bytes[NUMBERS_BYTES];
    struct journal_part parts[2 + DIARY_MUTES_MAX] = {{bytes, sizeof bytes}};
    uint32_t address;

    memset(bytes, 0, sizeof bytes);
    put_u32(bytes, diary->report_unix_s);
    put_u32(bytes + 4, diary->self_test_unix_s);
    bytes[8] = diary->self_test_failed ? FLAG_SELF_TEST_FAILED : 0;
    put_u32(bytes + 16, diary->bounced);
    put_u32(bytes + 20, diary->bounced_number);
    put_u32(bytes + 24, diary->bounced_unix_s);
    put_u32(bytes + 28, diary->fast_until_unix_s);
    parts[1] = (struct journal_part){diary->bounced_status, strlen(diary->bounced_status) + 1};
    for (unsigned i = 0; i < DIARY_MUTES_MAX; i++) {
        const struct diary_mute *mute = &diary->mutes[i];

        put_u32(bytes + FIXED_BYTES + i * MUTE_BYTES, mute->until_unix_s);
        put_u32(bytes + FIXED_BYTES + i * MUTE_BYTES + 4, mute->count);
        parts[2 + i] = (struct journal_part){mute->source, strlen(mute->source) + 1};
    }
    return journal_append(diary->journal, JOURNAL_DIARY, 0, parts, sizeof parts / sizeof parts[0],
                          &address);
}
