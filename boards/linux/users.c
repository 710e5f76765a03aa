/* users.c - whom a name stands for, by a list of names that grows while it is worked through.
 *
 * Each name is looked up in the aliases file; what it stands for is appended to the list, with the
 * place that it came from, so that loops are seen. Nothing is recursive.
 */
#include "boards/linux/users.h"

#include "boards/linux/aliases.h"
#include "net/address.h"
#include "net/text.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define NAMES_MAX 4000u /* That one address may lead to. */
#define NOBODY_ID 65534
#define NO_PARENT UINT32_MAX

struct name {
    char *text;      /* An address, or a name without a domain. */
    uint32_t parent; /* Which one stood for it. */
    bool settled;    /* No alias applies any more. */
    bool of_root;    /* `root` has been taken for it. */
};

struct expansion {
    const struct users_params *params;
    void (*found)(void *context, const char *address);
    void *context;
    struct name *names;
    uint32_t count;
    uint32_t room;
    uint32_t parent; /* Of what is appended now. */
    bool of_root;
    bool no_memory;
    char **told; /* Addresses that were found. */
    uint32_t told_count;
};

/* What an alias came to. */
struct outcome {
    bool is_alias;
    bool nobody;    /* /dev/null */
    unsigned taken; /* Names and addresses. */
};

static void warn(const struct users_params *params, const char *file, unsigned line,
                 const char *what, const char *why)
{
    char sentence[600];
    struct text text = text_begin(sentence, sizeof sentence);

    if (params->warn == NULL) {
        return;
    }
    text_add(&text, file);
    if (line > 0) {
        text_format(&text, ":%u", line);
    }
    text_add(&text, ": ");
    text_add_printable(&text, what, strnlen(what, 200));
    text_add(&text, why);
    params->warn(params->context, sentence);
}

static void append(struct expansion *all, const char *text, bool settled)
{
    if (all->count == all->room) {
        uint32_t room = all->room > 0 ? 2 * all->room : 16;
        struct name *names =
            room <= 2 * NAMES_MAX ? realloc(all->names, room * sizeof *names) : NULL;

        if (names == NULL) {
            all->no_memory = true;
            return;
        }
        all->names = names;
        all->room = room;
    }
    all->names[all->count] = (struct name){
        .text = strdup(text),
        .parent = all->parent,
        .settled = settled,
        .of_root = all->of_root,
    };
    if (all->count >= NAMES_MAX || all->names[all->count].text == NULL) {
        free(all->names[all->count].text);
        all->no_memory = true;
        return;
    }
    all->count++;
}

/* Tells an address, once. */
static void tell(struct expansion *all, const char *address)
{
    char **told = all->told;

    for (uint32_t i = 0; i < all->told_count; i++) {
        if (text_equal_nocase(told[i], address)) {
            return;
        }
    }
    told = realloc(told, (all->told_count + 1) * sizeof *told);
    if (told == NULL) {
        all->no_memory = true;
        return;
    }
    all->told = told;
    told[all->told_count] = strdup(address);
    if (told[all->told_count] == NULL) {
        all->no_memory = true;
        return;
    }
    all->told_count++;
    all->found(all->context, address);
}

/* Copies a quoted string without its quotes, or anything else as it is. */
static void unquote(char *out, size_t size, const char *string)
{
    struct text text = text_begin(out, size);
    bool quoted = string[0] == '"';

    for (string += quoted ? 1 : 0; *string != '\0' && !(quoted && *string == '"'); string++) {
        if (quoted && *string == '\\' && string[1] != '\0') {
            string++;
        }
        text_add_char(&text, *string);
    }
}

/* --- what stands in a file --- */

enum target {
    TARGET_ADDRESS,
    TARGET_NAME,
    TARGET_INCLUDE,
    TARGET_NOBODY,
    TARGET_PROGRAM,
    TARGET_FILE
};

#define INCLUDE ":include:"

/* What a target is; plain gets a path or a name without quotes. */
static enum target target_of(const char *target, char *plain, size_t size)
{
    unquote(plain, size, target[0] == '\\' ? target + 1 : target);
    if (target[0] == '\\') {
        return TARGET_NAME;
    }
    if (plain[0] == '|') {
        return TARGET_PROGRAM;
    }
    if (text_starts_nocase(plain, INCLUDE)) {
        memmove(plain, plain + strlen(INCLUDE), strlen(plain + strlen(INCLUDE)) + 1);
        return TARGET_INCLUDE;
    }
    if (plain[0] == '/' && strchr(plain, '@') == NULL) {
        return strcmp(plain, "/dev/null") == 0 ? TARGET_NOBODY : TARGET_FILE;
    }
    return TARGET_ADDRESS;
}

/* Where the targets of a file go; all NULL: they are only checked. */
struct taking {
    const struct users_params *params;
    struct expansion *all;
    struct outcome *outcome;
};

static void take_address(void *context, const char *address)
{
    struct taking *taking = context;

    taking->outcome->taken++;
    if (taking->all != NULL) {
        append(taking->all, address, false);
    }
}

/* Takes the addresses of a text; where it makes no sense as a list, each of its words that is an
 * address by itself: a forgotten comma must not cost a recipient. Returns false where something was
 * left out. */
static bool take_addresses(struct taking *taking, const char *text)
{
    struct address_list list;
    char word[ADDRESS_BYTES];
    struct outcome none = {0};
    struct taking trial = {.params = taking->params, .outcome = &none};
    bool good = true;

    address_list_init(&list, take_address, &trial);
    address_list_push(&list, text, strlen(text));
    if (address_list_end(&list) == 0) {
        address_list_init(&list, take_address, taking);
        address_list_push(&list, text, strlen(text));
        return address_list_end(&list) == 0 && none.taken > 0;
    }
    while (*text != '\0') {
        size_t size = strcspn(text, " \t\r");

        if (size > 0 && size < sizeof word) {
            memcpy(word, text, size);
            word[size] = '\0';
            if (address_is_valid(word)) {
                take_address(taking, word);
            } else {
                good = false;
            }
        }
        text += size + strspn(text + size, " \t\r");
    }
    return good;
}

/* Takes one target of an alias or of a list. */
static void take_target(struct taking *taking, const char *target, const char *path, unsigned line)
{
    char plain[ALIASES_TARGET_BYTES];

    switch (target_of(target, plain, sizeof plain)) {
    case TARGET_NOBODY:
        taking->outcome->nobody = true;
        break;
    case TARGET_NAME:
        if (address_is_valid(target + 1)) {
            taking->outcome->taken++;
            if (taking->all != NULL) {
                append(taking->all, target + 1, true);
            }
        } else {
            warn(taking->params, path, line, target, " is no address");
        }
        break;
    case TARGET_PROGRAM:
        warn(taking->params, path, line, target, ": programs are not run here, it is left out");
        break;
    case TARGET_FILE:
        warn(taking->params, path, line, target, ": files are not written here, it is left out");
        break;
    case TARGET_INCLUDE:
        warn(taking->params, path, line, target,
             " stands in a list, which may not include another");
        break;
    case TARGET_ADDRESS:
        if (!take_addresses(taking, target)) {
            warn(taking->params, path, line, target, " is no address");
        }
        break;
    }
}

/* Takes the targets of a list that an alias includes. */
static void take_list(struct taking *taking, const char *target, const char *path, unsigned line)
{
    char plain[ALIASES_TARGET_BYTES];
    char member[ALIASES_TARGET_BYTES];
    struct aliases file;
    int result;

    if (target_of(target, plain, sizeof plain) != TARGET_INCLUDE) {
        take_target(taking, target, path, line);
        return;
    }
    if (plain[0] != '/' || aliases_open(&file, plain, true) < 0) {
        warn(taking->params, path, line, target, ": there is no such file that can be read");
        return;
    }
    while ((result = aliases_target(&file, member, sizeof member)) != 0) {
        if (result < 0) {
            warn(taking->params, plain, file.begun, "",
                 "an address is too long or has an open quote");
        } else {
            take_target(taking, member, plain, file.begun);
        }
    }
    aliases_close(&file);
}

/* Takes all targets of the alias in hand. */
static void take_targets(struct taking *taking, struct aliases *file, const char *path)
{
    char target[ALIASES_TARGET_BYTES];
    int result;

    while ((result = aliases_target(file, target, sizeof target)) != 0) {
        if (result < 0) {
            warn(taking->params, path, file->begun, "",
                 "an address is too long or has an open quote or comment");
        } else {
            take_list(taking, target, path, file->begun);
        }
    }
}

/* Looks a name up in the aliases file; what it stands for is appended. */
static struct outcome look_up(struct expansion *all, const char *name)
{
    const struct users_params *params = all->params;
    struct outcome outcome = {0};
    struct taking taking = {.params = params, .all = all, .outcome = &outcome};
    char alias[ALIASES_NAME_BYTES];
    struct aliases file;
    int result =
        params->aliases[0] != '\0' ? aliases_open(&file, params->aliases, false) : E_MISSING;

    if (result < 0) {
        if (result != E_MISSING) {
            warn(params, params->aliases, 0, "", "it cannot be read");
        }
        return outcome;
    }
    while (!outcome.is_alias && (result = aliases_next(&file, alias, sizeof alias)) != 0) {
        if (result > 0 && text_equal_nocase(alias, name)) {
            outcome.is_alias = true; /* The first counts. */
            take_targets(&taking, &file, params->aliases);
        }
    }
    aliases_close(&file);
    return outcome;
}

/* --- whom a name stands for --- */

/* Whether a name's mail is that of `root`. */
static bool is_roots(const struct users_params *params, const char *name)
{
    static const char others[] = "root\0postmaster\0mailer-daemon\0";
    const struct passwd *user;

    for (size_t i = 0; text_item(others, i)[0] != '\0'; i++) {
        if (text_equal_nocase(text_item(others, i), name)) {
            return true;
        }
    }
    user = getpwnam(name);
    return user != NULL && (user->pw_uid < params->min_user_id || user->pw_uid == NOBODY_ID);
}

static bool is_here(const struct users_params *params, const char *domain)
{
    return text_equal_nocase(domain, "localhost") ||
           text_equal_nocase(domain, "localhost.localdomain") ||
           (params->host != NULL && params->host[0] != '\0' &&
            text_equal_nocase(domain, params->host));
}

/* Writes the name without domain that an address stands for here; false: it belongs elsewhere. */
static bool local_name(const struct users_params *params, const char *address, char *name,
                       size_t size)
{
    char local[ADDRESS_BYTES];
    const char *domain = address_domain(address);

    if (domain != NULL && !is_here(params, domain)) {
        return false;
    }
    text_copy(local, sizeof local, address);
    if (domain != NULL) {
        local[domain - 1 - address] = '\0';
    }
    unquote(name, size, local);
    return true;
}

/* Whether one of those that led to this name is the same name. */
static bool is_loop(const struct expansion *all, uint32_t index, const char *name)
{
    char other[ADDRESS_BYTES];
    unsigned depth = 0;

    for (uint32_t at = all->names[index].parent; at != NO_PARENT; at = all->names[at].parent) {
        if (local_name(all->params, all->names[at].text, other, sizeof other) &&
            text_equal_nocase(other, name)) {
            if (depth > 0) {
                warn(all->params, all->params->aliases, 0, name, " leads back to itself");
            }
            return true;
        }
        if (++depth >= USERS_DEPTH) {
            warn(all->params, all->params->aliases, 0, name, ": too many aliases of aliases");
            return true;
        }
    }
    return false;
}

/* A name that no alias changes gets its domain. */
static void settle(struct expansion *all, const char *text)
{
    const char *domain = address_domain(text);
    size_t size = domain != NULL ? (size_t)(domain - 1 - text) : strlen(text);
    char address[2 * ADDRESS_BYTES];
    struct text whole = text_begin(address, sizeof address);

    if (domain != NULL && !text_starts_nocase(domain, "localhost")) {
        tell(all, text);
        return;
    }
    text_add_bytes(&whole, text, size);
    if (all->params->domain != NULL && all->params->domain[0] != '\0') {
        text_format(&whole, "@%s", all->params->domain);
    }
    tell(all, address);
}

static void expand_one(struct expansion *all, uint32_t index)
{
    const struct users_params *params = all->params;
    struct name one = all->names[index];
    char name[ADDRESS_BYTES];
    struct outcome outcome = {0};

    all->parent = index;
    all->of_root = one.of_root;
    if (!local_name(params, one.text, name, sizeof name)) {
        tell(all, one.text);
        return;
    }
    one.settled = one.settled || is_loop(all, index, name);
    if (!one.settled) {
        outcome = look_up(all, name);
    }
    if (outcome.taken > 0 || outcome.nobody) {
        return;
    }
    if (!one.of_root && params->root_count > 0 && is_roots(params, name)) {
        all->of_root = true;
        for (size_t i = 0; i < params->root_count; i++) {
            append(all, params->root[i], false);
        }
        return;
    }
    if (!one.settled && !outcome.is_alias) {
        outcome = look_up(all, "default");
    }
    if (outcome.taken == 0 && !outcome.nobody) {
        settle(all, one.text);
    }
}

int users_expand(const struct users_params *params, const char *address,
                 void (*found)(void *context, const char *address), void *context)
{
    struct expansion all = {
        .params = params,
        .found = found,
        .context = context,
        .parent = NO_PARENT,
    };
    bool settled = address[0] == '\\';

    if (!address_is_valid(address + (settled ? 1 : 0))) {
        return E_INVALID;
    }
    append(&all, address + (settled ? 1 : 0), settled);
    for (uint32_t i = 0; i < all.count; i++) {
        expand_one(&all, i);
    }
    for (uint32_t i = 0; i < all.count; i++) {
        free(all.names[i].text);
    }
    for (uint32_t i = 0; i < all.told_count; i++) {
        free(all.told[i]);
    }
    free(all.names);
    free(all.told);
    return all.no_memory ? E_SPACE : (int)all.told_count;
}

int users_check(const struct users_params *params)
{
    struct outcome outcome = {0};
    struct taking taking = {.params = params, .outcome = &outcome};
    char name[ALIASES_NAME_BYTES];
    struct aliases file;
    int count = 0;
    int result =
        params->aliases[0] != '\0' ? aliases_open(&file, params->aliases, false) : E_MISSING;

    if (result < 0) {
        warn(params, params->aliases, 0, "",
             result == E_MISSING ? "there is no such file" : "it cannot be read");
        return result == E_MISSING ? 0 : result;
    }
    while ((result = aliases_next(&file, name, sizeof name)) != 0) {
        unsigned line = file.begun;

        outcome = (struct outcome){0};
        if (result < 0) {
            warn(params, params->aliases, line, "",
                 "the line is neither `name: addresses` nor a comment");
            continue;
        }
        take_targets(&taking, &file, params->aliases);
        if (outcome.taken == 0 && !outcome.nobody) {
            warn(params, params->aliases, line, name, " has no address: it is taken as no alias");
        } else {
            count++;
        }
    }
    aliases_close(&file);
    return count;
}

int users_sender(const struct users_params *params, const char *user, char *address,
                 size_t address_size, char *mailhub, size_t mailhub_size)
{
    char name[ALIASES_NAME_BYTES];
    char line[ALIASES_TARGET_BYTES];
    struct aliases file;
    int result;

    text_copy(address, address_size, "");
    text_copy(mailhub, mailhub_size, "");
    if (params->revaliases[0] == '\0' ||
        (result = aliases_open(&file, params->revaliases, false)) == E_MISSING) {
        return 0;
    }
    if (result < 0) {
        warn(params, params->revaliases, 0, "", "it cannot be read");
        return 0;
    }
    while ((result = aliases_next(&file, name, sizeof name)) != 0) {
        char *colon;

        if (result < 0 || strcmp(name, user) != 0 ||
            aliases_target(&file, line, sizeof line) <= 0) {
            continue;
        }
        colon = strchr(line, ':');
        if (colon != NULL) {
            *colon++ = '\0';
        }
        line[strcspn(line, " \t")] = '\0';
        if (!address_is_valid(line)) {
            warn(params, params->revaliases, file.begun, line, " is no address");
            continue;
        }
        if (!text_copy(address, address_size, line) ||
            (colon != NULL && !text_copy(mailhub, mailhub_size, colon + strspn(colon, " \t")))) {
            warn(params, params->revaliases, file.begun, line, " is too long");
            continue;
        }
        aliases_close(&file);
        return 1;
    }
    aliases_close(&file);
    text_copy(address, address_size, "");
    text_copy(mailhub, mailhub_size, "");
    return 0;
}

void users_name(uint32_t uid, char *name, size_t name_size, char *full, size_t full_size)
{
    const struct passwd *user = getpwuid((uid_t)uid);
    struct text text = text_begin(full, full_size);

    text_copy(name, name_size, user != NULL ? user->pw_name : "");
    if (user == NULL || user->pw_gecos == NULL) {
        return;
    }
    for (const char *at = user->pw_gecos; *at != '\0' && *at != ','; at++) {
        if (*at == '&') {
            size_t start = text.length;

            text_add(&text, user->pw_name);
            if (text.length > start && full[start] >= 'a' && full[start] <= 'z') {
                full[start] = (char)(full[start] - 'a' + 'A');
            }
        } else if ((unsigned char)*at >= ' ' && *at != '\x7f') {
            text_add_char(&text, *at);
        }
    }
}
