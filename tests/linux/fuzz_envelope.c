/* fuzz_envelope.c - whatever a file holds: an envelope is as it was written, or it is none. The
 * first byte 0: parsed as it is; otherwise the end line is made right first, so that the fuzzer
 * gets behind the checksum. */
#include "boards/linux/spool_private.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static bool is_clean(const char *string)
{
    return string == NULL || strpbrk(string, "\n") == NULL;
}

/* Puts the right end behind lines: what any writer could have written. Returns the size. */
static size_t seal(char *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    uint32_t sum = 2166136261u;
    unsigned rcpt_count = 0;
    char end[32] = "end ";
    size_t length = 4;

    for (size_t i = 0; i < size; i++) {
        bool first = i == 0 || bytes[i - 1] == '\n';
        size_t left = size - i;

        sum = (sum ^ (uint8_t)bytes[i]) * 16777619u;
        rcpt_count += first && ((left > 5 && memcmp(bytes + i, "wait ", 5) == 0) ||
                                (left > 5 && memcmp(bytes + i, "sent ", 5) == 0) ||
                                (left > 8 && memcmp(bytes + i, "refused ", 8) == 0));
    }
    if (rcpt_count >= 100) {
        return size;
    }
    if (rcpt_count >= 10) {
        end[length++] = digits[rcpt_count / 10];
    }
    end[length++] = digits[rcpt_count % 10];
    end[length++] = ' ';
    for (int shift = 28; shift >= 0; shift -= 4) {
        end[length++] = digits[sum >> shift & 15];
    }
    end[length++] = '\n';
    memcpy(bytes + size, end, length);
    return size + length;
}

static void check(struct spool_mail *mail)
{
    struct spool_mail again;
    const char *why;
    char *bytes;
    size_t size;

    require(mail->from != NULL && mail->rcpt_count > 0 && mail->rcpt_count <= SPOOL_RCPT_MAX);
    require(is_clean(mail->from) && is_clean(mail->message_id) && is_clean(mail->reason));
    require(strlen(mail->from) < ADDRESS_BYTES);
    require(spool_envelope_build(mail, &bytes, &size) == 0);
    memset(&again, 0, sizeof again);
    require(spool_envelope_parse(&again, bytes, size, &why) == 0);
    free(bytes);
    require(again.rcpt_count == mail->rcpt_count && strcmp(again.from, mail->from) == 0);
    require(again.size_bytes == mail->size_bytes && again.attempts == mail->attempts);
    require(again.queued_unix_ms == mail->queued_unix_ms && again.flags == mail->flags);
    for (size_t i = 0; i < mail->rcpt_count; i++) {
        const char *address = mail->rcpt[i].address;

        require(address[0] != '\0' && strlen(address) < ADDRESS_BYTES);
        require(strcmp(address, again.rcpt[i].address) == 0);
        require(again.rcpt[i].state == mail->rcpt[i].state);
        for (const char *at = address; *at != '\0'; at++) {
            require((unsigned char)*at >= ' ' && *at != 0x7F);
        }
    }
    spool_mail_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct spool_mail mail;
    const char *why = NULL;
    char *bytes;
    int result;

    if (size < 1) {
        return 0;
    }
    bytes = malloc(size + 32);
    require(bytes != NULL);
    memcpy(bytes, data + 1, size - 1);
    size = data[0] == 0 ? size - 1 : seal(bytes, size - 1);
    memset(&mail, 0, sizeof mail);
    result = spool_envelope_parse(&mail, bytes, size, &why);
    require(result == 0 || ((result == E_INVALID || result == E_UNSUPPORTED || result == E_SPACE) &&
                            why != NULL && mail.rcpt == NULL && mail.from == NULL));
    if (result == 0) {
        check(&mail);
    }
    spool_mail_free(&mail);
    free(bytes);
    return 0;
}
