#include "net/sasl.h"

#include "net/base64.h"

#include <string.h>

const char *sasl_name(enum sasl_mechanism mechanism)
{
    return text_item("PLAIN\0LOGIN\0", mechanism);
}

int sasl_parse(const char *word, size_t size)
{
    for (int i = 0; i < SASL_COUNT; i++) {
        const char *name = sasl_name((enum sasl_mechanism)i);

        if (size == strlen(name) && text_starts_nocase(word, name)) {
            return i;
        }
    }
    return -1;
}

static bool plain_text(const char *string)
{
    size_t size = 0;

    for (; string[size] != '\0'; size++) {
        if ((unsigned char)string[size] < 0x20 || string[size] == 0x7F) {
            return false;
        }
    }
    return size <= SASL_NAME_MAX;
}

bool sasl_valid(const char *user, const char *password)
{
    return plain_text(user) && plain_text(password);
}

size_t sasl_plain_size(const char *user, const char *password)
{
    return BASE64_SIZE(2 + strlen(user) + strlen(password));
}

void sasl_plain(struct text *out, const char *user, const char *password)
{
    struct base64 base64 = base64_begin(out);

    base64_add(&base64, "", 1); /* No authorization identity: the user acts as himself. */
    base64_add(&base64, user, strlen(user) + 1);
    base64_add(&base64, password, strlen(password));
    base64_end(&base64);
}

void sasl_login(struct text *out, const char *string)
{
    struct base64 base64 = base64_begin(out);

    base64_add(&base64, string, strlen(string));
    base64_end(&base64);
}
