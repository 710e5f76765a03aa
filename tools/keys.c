/* keys - the rows of the Linux program's configuration keys, as config_doc_line() tells them. */
#include "firmware/config.h"

#include <stdio.h>

int main(void)
{
    static char line[1024];

    for (unsigned i = 0; config_doc_line(i, line, sizeof line) > 0; i++) {
        puts(line);
    }
    return 0;
}
