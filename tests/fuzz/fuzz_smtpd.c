/* fuzz_smtpd.c - what a local client says. Byte 0: pieces of how many bytes; byte 1: bit i says how
 * event i is answered, the top one that messages have a limit. Whatever is said, replies are whole
 * lines, addresses can be put into a command, a mail is complete before it is accepted, and the
 * same comes of other pieces. */
#include "net/smtpd.h"
#include "net/text.h"

#include <stdlib.h>
#include <string.h>

#define SIZE_MAX_BYTES 40
#define STEPS_MAX 1000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    struct smtpd smtpd;
    uint8_t answers;
    unsigned events;
    bool mail, data_seen;
    unsigned rcpt;
    uint64_t body;
    uint32_t body_hash; /* Counts where the mail is complete: a reply may come before the rest. */
    uint32_t hash;      /* Of all that happened, in its order. */
    char last[2];       /* Of what it said. */
};

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void hash(struct run *run, const void *bytes, size_t size)
{
    const uint8_t *in = bytes;

    for (size_t i = 0; i < size; i++) {
        run->hash = (run->hash ^ in[i]) * 16777619u;
    }
}

static void check_said(struct run *run, const uint8_t *bytes, size_t size)
{
    hash(run, bytes, size);
    for (size_t i = 0; i < size; i++) {
        require((run->last[1] == '\r') == (bytes[i] == '\n'));
        require(bytes[i] >= ' ' || bytes[i] == '\r' || bytes[i] == '\n');
        run->last[0] = run->last[1];
        run->last[1] = (char)bytes[i];
    }
}

static void check_address(struct run *run)
{
    static const char names[] = "SIZE\0BODY\0RET\0ENVID\0NOTIFY\0ORCPT\0AUTH";
    const char *address = smtpd_address(&run->smtpd);

    require((address[0] == '\0' && smtpd_event(&run->smtpd) == SMTPD_MAIL) ||
            address_is_valid(address));
    hash(run, address, strlen(address) + 1);
    for (unsigned i = 0; i < 7; i++) {
        const char *value = smtpd_parameter(&run->smtpd, text_item(names, i));

        if (value != NULL) {
            require(strlen(value) < SMTPD_LINE_BYTES);
            hash(run, value, strlen(value) + 1);
            for (; *value != '\0'; value++) {
                require((uint8_t)*value >= ' ' && *value != 0x7F);
            }
        }
    }
}

static void answer(struct run *run, enum smtpd_event event)
{
    bool accept = (run->answers >> (run->events++ % 7) & 1) != 0;
    uint8_t told = (uint8_t)event;

    hash(run, &told, 1);
    switch (event) {
    case SMTPD_MAIL:
        require(!run->mail);
        check_address(run);
        run->mail = accept;
        run->rcpt = 0;
        smtpd_reply(&run->smtpd, accept ? "250 2.1.0 ok" : "451 4.3.0 no\r\nfor now");
        break;
    case SMTPD_RCPT:
        require(run->mail && !run->data_seen);
        check_address(run);
        run->rcpt += accept;
        smtpd_reply(&run->smtpd, accept ? "250 2.1.5 ok" : "550 5.1.1 no");
        break;
    case SMTPD_DATA:
        require(run->mail && run->rcpt > 0 && !run->data_seen);
        run->data_seen = true;
        run->body = 0;
        run->body_hash = 0;
        smtpd_next(&run->smtpd);
        break;
    case SMTPD_END:
        require(run->mail && run->data_seen);
        require((run->answers & 0x80) == 0 || run->body <= SIZE_MAX_BYTES);
        hash(run, &run->body_hash, sizeof run->body_hash);
        run->mail = false;
        run->data_seen = false;
        smtpd_reply(&run->smtpd, accept ? "250 2.0.0 queued" : "451 4.3.0 no");
        break;
    case SMTPD_RESET:
        require(run->mail);
        run->mail = false;
        run->data_seen = false;
        smtpd_next(&run->smtpd);
        break;
    default:
        require(event == SMTPD_QUIT && !run->mail);
        smtpd_next(&run->smtpd);
        break;
    }
}

/* One thing that waits; false: nothing does. */
static bool take(struct run *run)
{
    size_t size;
    const uint8_t *bytes = smtpd_tx_buf(&run->smtpd, &size);

    if (size > 0) {
        check_said(run, bytes, size);
        smtpd_tx_ack(&run->smtpd, size);
        return true;
    }
    bytes = smtpd_body_buf(&run->smtpd, &size);
    if (size > 0) {
        require(run->data_seen);
        run->body += size;
        for (size_t i = 0; i < size; i++) {
            run->body_hash = (run->body_hash ^ bytes[i]) * 16777619u;
        }
        smtpd_body_ack(&run->smtpd, size);
        return true;
    }
    if (smtpd_event(&run->smtpd) != SMTPD_NONE) {
        answer(run, smtpd_event(&run->smtpd));
        return true;
    }
    return false;
}

static uint32_t dialogue(const uint8_t *data, size_t size, uint8_t answers, size_t piece)
{
    struct run *run = calloc(1, sizeof *run); /* Its end is where the sanitizer sees a step. */
    uint32_t result;
    unsigned steps = 0;

    require(run != NULL);
    run->answers = answers;
    run->hash = 2166136261u;
    smtpd_init(&run->smtpd, "router1", (answers & 0x80) != 0 ? SIZE_MAX_BYTES : 0);
    for (size_t at = 0; at < size;) {
        size_t taken = smtpd_push(&run->smtpd, data + at, size - at < piece ? size - at : piece);

        at += taken;
        require((take(run) || taken > 0) && ++steps < STEPS_MAX);
    }
    while (take(run)) {
        require(++steps < STEPS_MAX);
    }
    smtpd_eof(&run->smtpd);
    while (take(run)) {
        require(++steps < STEPS_MAX);
    }
    require(!run->mail && run->last[0] == '\r' && run->last[1] == '\n');
    result = run->hash;
    free(run);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t whole;

    if (size < 3) {
        return 0;
    }
    whole = dialogue(data + 2, size - 2, data[1], size);
    require(dialogue(data + 2, size - 2, data[1], 1 + data[0] % 64u) == whole);
    return 0;
}
