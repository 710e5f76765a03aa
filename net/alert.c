#include "net/alert.h"

#include "net/text.h"

#include <stddef.h>

/* The eight names, and then what syslog.conf, logger and people write as well. */
static const char severities[] = "emergency\0alert\0critical\0error\0warning\0notice\0info\0debug\0"
                                 "emerg\0panic\0crit\0err\0warn\0informational";
static const uint8_t aliases[] = {SEVERITY_EMERGENCY, SEVERITY_EMERGENCY, SEVERITY_CRITICAL,
                                  SEVERITY_ERROR,     SEVERITY_WARNING,   SEVERITY_INFO};

enum { NAME_COUNT = SEVERITY_COUNT + sizeof aliases };

const char *severity_name(uint8_t severity)
{
    return severity < SEVERITY_COUNT ? text_item(severities, severity) : "unknown";
}

int severity_parse(const char *name)
{
    if (name[0] >= '0' && name[0] < '0' + SEVERITY_COUNT && name[1] == '\0') {
        return name[0] - '0';
    }
    for (size_t i = 0; i < NAME_COUNT; i++) {
        if (text_equal_nocase(name, text_item(severities, i))) {
            return i < SEVERITY_COUNT ? (int)i : aliases[i - SEVERITY_COUNT];
        }
    }
    return -1;
}

const char *facility_name(uint8_t facility)
{
    if (facility == FACILITY_DEVICE) {
        return "device";
    }
    return facility >= FACILITY_COUNT
               ? "unknown"
               : text_item(
                     "kern\0user\0mail\0daemon\0auth\0syslog\0lpr\0news\0uucp\0cron\0authpriv\0"
                     "ftp\0ntp\0audit\0console\0clock\0local0\0local1\0local2\0local3\0local4\0"
                     "local5\0local6\0local7",
                     facility);
}
