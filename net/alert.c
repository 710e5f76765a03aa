#include "net/alert.h"

#include "net/text.h"

#include <stddef.h>

static const char *const severity_names[SEVERITY_COUNT] = {
    "emergency", "alert", "critical", "error", "warning", "notice", "info", "debug",
};

/* What syslog.conf, logger and people write as well. */
static const struct {
    const char *name;
    uint8_t severity;
} severity_aliases[] = {
    {"emerg", SEVERITY_EMERGENCY}, {"panic", SEVERITY_EMERGENCY}, {"crit", SEVERITY_CRITICAL},
    {"err", SEVERITY_ERROR},       {"warn", SEVERITY_WARNING},    {"informational", SEVERITY_INFO},
};

static const char *const facility_names[FACILITY_COUNT] = {
    "kern",   "user",   "mail",     "daemon", "auth",   "syslog", "lpr",     "news",
    "uucp",   "cron",   "authpriv", "ftp",    "ntp",    "audit",  "console", "clock",
    "local0", "local1", "local2",   "local3", "local4", "local5", "local6",  "local7",
};

const char *severity_name(uint8_t severity)
{
    return severity < SEVERITY_COUNT ? severity_names[severity] : "unknown";
}

int severity_parse(const char *name)
{
    if (name[0] >= '0' && name[0] < '0' + SEVERITY_COUNT && name[1] == '\0') {
        return name[0] - '0';
    }
    for (size_t i = 0; i < SEVERITY_COUNT; i++) {
        if (text_equal_nocase(name, severity_names[i])) {
            return (int)i;
        }
    }
    for (size_t i = 0; i < sizeof severity_aliases / sizeof severity_aliases[0]; i++) {
        if (text_equal_nocase(name, severity_aliases[i].name)) {
            return severity_aliases[i].severity;
        }
    }
    return -1;
}

const char *facility_name(uint8_t facility)
{
    if (facility == FACILITY_DEVICE) {
        return "device";
    }
    return facility < FACILITY_COUNT ? facility_names[facility] : "unknown";
}
