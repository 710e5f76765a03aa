#include "net/error.h"

const char *error_name(int error)
{
    static const char *const names[] = {"ok",       "transient",  "permanent", "configuration",
                                        "security", "invalid",    "no space",  "input/output",
                                        "missing",  "unsupported"};
    int index = -error;

    if (index < 0 || index >= (int)(sizeof names / sizeof names[0])) {
        return error > 0 ? "ok" : "unknown";
    }
    return names[index];
}
