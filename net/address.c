#include "net/address.h"

#include "net/text.h"

#include <string.h>

enum { ADDRESS_MAX = 254 }; /* RFC 5321 4.5.3.1.3 less "<>", erratum 1690. */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\0';
}

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c & 0x80) != 0;
}

/* RFC 5322 3.2.3, RFC 6532 3.2. */
static bool is_atom_char(char c)
{
    return is_letter_or_digit(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static bool is_domain_char(char c)
{
    return is_letter_or_digit(c) || c == '-' || c == '_';
}

/* Length of the pieces at the beginning that one dot each separates; 0: there is an empty one. */
static size_t dotted_size(const char *string, bool is_member(char))
{
    size_t size = 0;

    for (;;) {
        size_t begin = size;

        while (is_member(string[size])) {
            size++;
        }
        if (size == begin) {
            return 0;
        }
        if (string[size] != '.') {
            return size;
        }
        size++;
    }
}

/* Length of the quoted string at the beginning; 0: it has no end, or control characters. */
static size_t quoted_size(const char *string)
{
    for (size_t size = 1; string[size] != '\0'; size++) {
        if (string[size] == '"') {
            return size + 1;
        }
        size += string[size] == '\\';
        if ((uint8_t)string[size] < ' ' || string[size] == 0x7F) {
            return 0;
        }
    }
    return 0;
}

/* RFC 5321 4.1.3, its characters alone: [192.0.2.1], [IPv6:2001:db8::1]. */
static size_t literal_size(const char *string)
{
    size_t size = 1;

    while (is_domain_char(string[size]) || string[size] == '.' || string[size] == ':') {
        size++;
    }
    return size > 1 && string[size] == ']' ? size + 1 : 0;
}

static bool is_utf8(const char *string, size_t size)
{
    for (size_t i = 0; i < size;) {
        const char *shown;
        size_t shown_size;
        size_t step = text_char(string + i, size - i, &shown, &shown_size);

        if (step == 1 && (string[i] & 0x80) != 0) {
            return false;
        }
        i += step;
    }
    return true;
}

bool address_is_valid(const char *address)
{
    size_t size = strnlen(address, ADDRESS_MAX + 1);
    size_t local = address[0] == '"' ? quoted_size(address) : dotted_size(address, is_atom_char);
    const char *domain = address + local + 1;
    size_t domain_size;

    if (size > ADDRESS_MAX || local == 0 || !is_utf8(address, size)) {
        return false;
    }
    if (address[local] != '@') {
        return address[local] == '\0';
    }
    domain_size = *domain == '[' ? literal_size(domain) : dotted_size(domain, is_domain_char);
    return domain_size > 0 && domain[domain_size] == '\0';
}

const char *address_domain(const char *address)
{
    const char *domain = NULL;
    bool quoted = false;

    for (; *address != '\0'; address++) {
        if (quoted && *address == '\\' && address[1] != '\0') {
            address++;
        } else if (*address == '"') {
            quoted = !quoted;
        } else if (!quoted && *address == '@') {
            domain = address + 1;
        }
    }
    return domain;
}

/* One word as an address: without quotes that it does not need, with those that it does (dots at
 * its ends or two together, as some providers once gave out), and without the domain's last dot.
 * 'name@example.com' is what people write who think of the shell. */
static bool normalize(char out[ADDRESS_BYTES], const char *word, size_t size)
{
    char copy[ADDRESS_BYTES];
    struct text text = text_begin(copy, sizeof copy);
    struct text result = text_begin(out, ADDRESS_BYTES);
    bool apostrophes = word[0] == '\'' && word[size - 1] == '\'' && memchr(word, '@', size) != NULL;
    const char *domain;
    size_t local;
    size_t bare;

    text_add_bytes(&text, apostrophes ? word + 1 : word, apostrophes ? size - 2 : size);
    domain = address_domain(copy);
    local = domain == NULL ? text.length : (size_t)(domain - copy) - 1;
    if (domain != NULL && *domain != '\0' && copy[text.length - 1] == '.') {
        copy[text.length - 1] = '\0';
    }
    bare = copy[0] == '"' ? dotted_size(copy + 1, is_atom_char) : 0;
    if (bare > 0 && bare + 2 == local && copy[local - 1] == '"') {
        text_add_bytes(&result, copy + 1, bare);
    } else if (copy[0] != '"' && local > 0 && dotted_size(copy, is_atom_char) != local) {
        text_add_char(&result, '"');
        for (size_t i = 0; i < local; i++) {
            if (!is_atom_char(copy[i]) && copy[i] != '.') {
                return false;
            }
        }
        text_add_bytes(&result, copy, local);
        text_add_char(&result, '"');
    } else {
        text_add_bytes(&result, copy, local);
    }
    text_add(&result, copy + local);
    return !text.cut && !result.cut && address_is_valid(out);
}

/* Length of the first word, up to a space outside quotes. */
static size_t word_size(const char *text, size_t size)
{
    bool quoted = false;
    size_t i = 0;

    while (i < size && (quoted || text[i] != ' ')) {
        if (quoted && text[i] == '\\') {
            i++;
        } else if (text[i] == '"') {
            quoted = !quoted;
        }
        i++;
    }
    return i < size ? i : size;
}

/* The words in hand as addresses, told or only looked at. More than one are so many addresses if
 * each has a domain: lists with blanks between them are written by scripts. */
static bool words(struct address_list *list, bool tell)
{
    char address[ADDRESS_BYTES];
    bool one = word_size(list->text, list->length) == list->length;

    if (list->cut || (list->angle && !one)) {
        return false;
    }
    for (size_t at = 0; at < list->length;) {
        size_t size = word_size(list->text + at, list->length - at);

        if (!normalize(address, list->text + at, size) ||
            (!one && address_domain(address) == NULL)) {
            return false;
        }
        if (tell) {
            list->found(list->context, address);
        }
        at += size + 1;
    }
    return true;
}

static void begin(struct address_list *list, bool angle)
{
    list->length = 0;
    list->angle = angle;
    list->gap = false;
    list->cut = false;
}

/* A separator, or the end: what is in hand is one address, or several, or none. */
static void finish(struct address_list *list)
{
    if (list->length == 0 && !list->angle) {
        return;
    }
    if (list->length > 0 && words(list, false)) {
        (void)words(list, true);
    } else {
        list->bad++;
    }
    begin(list, false);
}

static bool joins(char c)
{
    return c == '.' || c == '@';
}

static void add(struct address_list *list, char c)
{
    bool spaced =
        list->gap && list->length > 0 && !joins(c) && !joins(list->text[list->length - 1]);

    list->gap = false;
    list->end = list->at;
    if (list->length + 2u > sizeof list->text) {
        list->cut = true;
        return;
    }
    if (spaced) {
        list->text[list->length++] = ' ';
    }
    list->text[list->length++] = c;
}

/* Where a character means only itself. true: it was taken. */
static bool push_inner(struct address_list *list, char c)
{
    if (list->comments == 0 && !list->quoted && !list->literal) {
        return false;
    }
    if (list->comments > 0) {
        list->comments += !list->escaped && c == '(';
        list->comments -= !list->escaped && c == ')';
        list->escaped = !list->escaped && c == '\\';
    } else if (list->literal) {
        list->literal = c != ']' && c != '>' && c != ',';
        if (c == '>' || c == ',') {
            return false;
        }
        if (!is_blank(c)) {
            add(list, c);
        }
    } else if (c != '\r' && c != '\n') { /* A folded quoted string (RFC 5322 3.2.4). */
        add(list, c);
        list->quoted = list->escaped || c != '"';
        list->escaped = !list->escaped && c == '\\';
    }
    return true;
}

/* "<@a,@b:user@c>": the way that RFC 822 wanted to be told. */
static bool in_route(const struct address_list *list)
{
    return list->angle && list->length > 0 && list->text[0] == '@';
}

static void push_one(struct address_list *list, char c)
{
    list->at++;
    if (push_inner(list, c)) {
        return;
    }
    if (is_blank(c)) {
        list->gap = true;
    } else if (c == '(') {
        list->comments = 1;
        list->gap = true;
    } else if (c == ';' || (c == ',' && !in_route(list))) {
        finish(list);
    } else if (c == ':' && (!list->angle || in_route(list))) {
        begin(list, list->angle); /* A group's name, or a route. */
    } else if (c == '<' && (!list->angle || list->length == 0)) {
        begin(list, true); /* It was a display name. */
    } else if (c == '>' && (list->angle || list->length == 0)) {
        finish(list);
    } else {
        list->quoted = c == '"';
        list->literal = c == '[' && list->length > 0 && list->text[list->length - 1] == '@';
        add(list, c);
    }
}

void address_list_init(struct address_list *list, address_found *found, void *context)
{
    memset(list, 0, sizeof *list);
    list->found = found;
    list->context = context;
}

void address_list_push(struct address_list *list, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        push_one(list, text[i]);
    }
}

unsigned address_list_end(struct address_list *list)
{
    finish(list);
    return list->bad;
}

bool address_list_between(const struct address_list *list)
{
    return list->comments == 0 && list->length == 0 && !list->angle && !list->cut;
}

size_t address_list_behind(const struct address_list *list)
{
    return list->at - list->end;
}
