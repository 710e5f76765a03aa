/* One datagram: whatever comes in, the alert is well formed, and nothing is read beside it. */
#include "firmware/syslog.h"
#include "net/text.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

/* Ended, and every character as it may be shown. */
static void require_clean(const char *string, size_t size_max)
{
    size_t size = strnlen(string, size_max);

    require(size < size_max);
    for (size_t at = 0; at < size;) {
        const char *shown;
        size_t shown_size;
        size_t taken = text_char(string + at, size - at, &shown, &shown_size);

        require(taken == shown_size && memcmp(shown, string + at, taken) == 0);
        at += taken;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct alert alert;
    struct alert again;
    int result;

    memset(&alert, 0x5A, sizeof alert);
    memset(&again, 0x5A, sizeof again);
    result = syslog_parse(&alert, (const char *)data, size);
    require(result == 0 || result == E_INVALID);
    if (result == 0) {
        require(alert.severity < SEVERITY_COUNT && alert.facility < FACILITY_COUNT);
        require(strcmp(alert.source, "syslog") == 0);
        require(alert.text[0] != '\0');
        require_clean(alert.text, sizeof alert.text);
        require_clean(alert.host, sizeof alert.host);
        require_clean(alert.app, sizeof alert.app);
        require(syslog_parse(&again, (const char *)data, size) == 0);
        require(strcmp(alert.text, again.text) == 0);
    }
    return 0;
}
