/* test_users.c - aliases(5), revaliases and names: what a name stands for, and what is said of it.
 */
#include "boards/linux/users.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIR "test_users.tmp"
#define ALIASES DIR "/aliases"
#define REVALIASES DIR "/revaliases"

static char found[8000]; /* "a@b c@d" */
static int told;
static char said[8000]; /* One sentence a line. */

static const char *const root_addresses[] = {"admin@example.com", "chief"};

static struct users_params params;

static void on_found(void *context, const char *address)
{
    assert_ptr_equal(context, found);
    told++;
    if (found[0] != '\0') {
        strcat(found, " ");
    }
    assert_true(strlen(found) + strlen(address) < sizeof found - 2);
    strcat(found, address);
}

static void on_warn(void *context, const char *sentence)
{
    assert_ptr_equal(context, said);
    if (strlen(said) + strlen(sentence) < sizeof said - 2) {
        strcat(said, sentence);
        strcat(said, "\n");
    }
}

static void write_file(const char *path, const char *text, size_t size)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void aliases(const char *text)
{
    write_file(ALIASES, text, strlen(text));
}

static int set_up(void **state)
{
    (void)state;
    mkdir(DIR, 0755);
    unlink(ALIASES);
    unlink(REVALIASES);
    params = (struct users_params){
        .aliases = ALIASES,
        .revaliases = REVALIASES,
        .root = root_addresses,
        .root_count = 1,
        .min_user_id = 1000,
        .domain = "example.org",
        .host = "router.lan",
        .warn = on_warn,
        .context = said,
    };
    return 0;
}

static int expand(const char *address)
{
    told = 0;
    found[0] = '\0';
    said[0] = '\0';
    return users_expand(&params, address, on_found, found);
}

/* What an address becomes, without a word. */
static void expect(const char *address, const char *addresses)
{
    int count = expand(address);

    assert_int_equal(count, told);
    assert_string_equal(found, addresses);
    assert_string_equal(said, "");
}

static void expect_said(const char *address, const char *addresses, const char *sentence)
{
    assert_true(expand(address) >= 0);
    assert_string_equal(found, addresses);
    if (strstr(said, sentence) == NULL) {
        print_error("said: %s", said);
    }
    assert_non_null(strstr(said, sentence));
}

static void without_a_file(void **state)
{
    (void)state;
    expect("joe@example.com", "joe@example.com");
    expect("joe", "joe@example.org");
    expect("joe@localhost", "joe@example.org");
    expect("joe@router.lan", "joe@router.lan");
    expect("root", "admin@example.com");
    expect("ROOT", "admin@example.com");
    expect("root@localhost", "admin@example.com");
    expect("root@router.LAN", "admin@example.com");
    expect("root@example.org", "root@example.org");
    expect("daemon", "admin@example.com");
    expect("nobody", "admin@example.com");
    expect("MAILER-DAEMON", "admin@example.com");
    expect("\"a b\"", "\"a b\"@example.org");
    expect("\\joe", "joe@example.org");
    expect("\\root", "admin@example.com");
    params.root_count = 2;
    expect("root", "admin@example.com chief@example.org");
    params.root_count = 0;
    expect("root", "root@example.org");
    params.domain = "";
    expect("root", "root");
    params.aliases = "";
    expect("joe@example.com", "joe@example.com");
    assert_int_equal(expand(""), E_INVALID);
    assert_int_equal(expand("a b"), E_INVALID);
    assert_int_equal(expand("@example.com"), E_INVALID);
    assert_int_equal(expand("joe@"), E_INVALID);
    assert_int_equal(expand("\\"), E_INVALID);
}

static void syntax(void **state)
{
    (void)state;
    aliases("# a comment\n"
            "\n"
            "   # an indented one\n"
            "one: first@example.com\n"
            "Two : Second <second@example.com> , third@example.com # said behind\n"
            "three:\n"
            "\tfourth@example.com,\n"
            "# a comment between\n"
            "\n"
            "  fifth@example.com (of five, all told),sixth@example.com,\n"
            "\"four: and a half\": seventh@example.com\n"
            "five:eighth@example.com\r\n"
            "six: \"some, one\" <ninth@example.com>, \"te nth\"@example.com\n"
            "seven: a@example.com b@example.com\n"
            "eight: one, TWO, one\n"
            "one: never@example.com\n"
            "hash#tag: x#y@example.com\n"
            "nul@example: z@example.com\n"
            "last: end@example.com");
    expect("one", "first@example.com");
    expect("two", "second@example.com third@example.com");
    expect("TWO@localhost", "second@example.com third@example.com");
    expect("two@router.lan", "second@example.com third@example.com");
    expect("two@example.org", "two@example.org");
    expect("three", "fourth@example.com fifth@example.com sixth@example.com");
    expect("\"four: and a half\"", "seventh@example.com");
    expect("five", "eighth@example.com");
    expect("six", "ninth@example.com \"te nth\"@example.com");
    expect("seven", "a@example.com b@example.com");
    expect("eight", "first@example.com second@example.com third@example.com");
    expect("hash#tag", "x#y@example.com");
    expect("last", "end@example.com");
    expect("\\one", "one@example.org");
    assert_int_equal(users_check(&params), 12);
}

static void chains_and_loops(void **state)
{
    char text[4000];
    size_t size = 0;

    (void)state;
    aliases("root: root, me@example.com\n"
            "a: b\nb: c\nc: a, d@example.com\n"
            "self: self\n"
            "keep: \\keep, copy@example.com\n"
            "www: root\n"
            "boss: chief\nchief: c@example.com, C@Example.com\n");
    expect("root", "me@example.com admin@example.com");
    expect_said("a", "a@example.org d@example.com", "a leads back to itself");
    expect("self", "self@example.org");
    expect("keep", "keep@example.org copy@example.com");
    expect("www", "me@example.com admin@example.com");
    expect("boss", "c@example.com");
    params.root_count = 2;
    expect("daemon", "admin@example.com c@example.com");
    for (unsigned i = 0; i < 40; i++) {
        size += (size_t)snprintf(text + size, sizeof text - size, "n%u: n%u\n", i, i + 1);
    }
    snprintf(text + size, sizeof text - size, "n40: end@example.com\n");
    aliases(text);
    expect("n32", "end@example.com");
    expect_said("n0", "n10@example.org", "too many aliases of aliases");
}

static void what_cannot_be_had(void **state)
{
    (void)state;
    aliases("null: /dev/null\n"
            "quoted: \"/dev/null\"\n"
            "pipe: \"|/usr/bin/vacation joe, really\"\n"
            "root: |/bin/cat, me@example.com\n"
            "file: /var/mail/all\n"
            "both: /var/log/x, real@example.com, /dev/null\n"
            "bad: <<>, good@example.com\n"
            "empty:\n"
            "no colon here\n"
            "open: \"never closed, x@example.com\n"
            "next: fine@example.com\n"
            "  continued@example.com : odd\n");
    expect("null", "");
    expect("quoted", "");
    expect_said("pipe", "pipe@example.org", "aliases:3: \"|/usr/bin/vacation joe, really\"");
    expect_said("root", "me@example.com", "programs are not run here");
    expect_said("file", "file@example.org", "aliases:5: /var/mail/all: files are not written");
    expect_said("both", "real@example.com", "files are not written");
    expect_said("bad", "good@example.com", "aliases:7: <<> is no address");
    expect("empty", "empty@example.org");
    expect_said("open", "open@example.org", "aliases:10: an address is too long");
    assert_true(expand("next") >= 1);
    said[0] = '\0';
    assert_int_equal(users_check(&params), 6);
    assert_non_null(strstr(said, "aliases:9: the line is neither"));
    assert_non_null(strstr(said, "aliases:8: empty has no address"));
    params.aliases = DIR "/none";
    said[0] = '\0';
    assert_int_equal(users_check(&params), 0);
    assert_non_null(strstr(said, "none: there is no such file"));
    params.aliases = DIR;
    assert_int_equal(users_check(&params), E_IO);
    expect_said("joe", "joe@example.org", "cannot be read");
}

static void lists(void **state)
{
    static const char members[] = "# members\njoe\n\n  Ann <ann@example.com> # boss\n"
                                  "x@example.com, y@example.com\n|prog\n:include:/etc/passwd\n"
                                  "/dev/null\nz@example.com";
    char cwd[1000];
    char text[5000];

    (void)state;
    assert_non_null(getcwd(cwd, sizeof cwd));
    snprintf(text, sizeof text,
             "all: :include:%s/" DIR "/list, tail@example.com\n"
             "quoted: \":include:%s/" DIR "/list\"\n"
             "gone: :include:%s/" DIR "/nothing\n"
             "part: :include:list\n"
             "fifo: :include:%s/" DIR "/fifo\n"
             "joe: joe@example.net\n",
             cwd, cwd, cwd, cwd);
    aliases(text);
    write_file(DIR "/list", members, sizeof members - 1);
    expect_said("all",
                "ann@example.com x@example.com y@example.com z@example.com tail@example.com "
                "joe@example.net",
                "list:6: |prog: programs are not run here");
    assert_non_null(strstr(said, "list:7: :include:/etc/passwd stands in a list"));
    assert_true(expand("quoted") == 5);
    expect_said("gone", "gone@example.org", "there is no such file");
    expect_said("part", "part@example.org", "there is no such file");
    unlink(DIR "/fifo");
    assert_int_equal(mkfifo(DIR "/fifo", 0600), 0);
    expect_said("fifo", "fifo@example.org", "there is no such file");
}

static void defaults(void **state)
{
    (void)state;
    aliases("default: all@example.com, Other\nother: o@example.com\n");
    expect("joe", "all@example.com o@example.com");
    expect("joe@example.net", "joe@example.net");
    expect("root", "admin@example.com");
    expect("\\joe", "joe@example.org");
    params.root_count = 0;
    expect("root", "all@example.com o@example.com");
    aliases("default: joe\n");
    expect("ann", "joe@example.org");
}

static void large_and_strange_files(void **state)
{
    static const char lines[] = "\nok: k@example.com\nz\0y: n@example.com\nnul: a\0b@example.com\n";
    static char text[70000];
    size_t size = 0;

    (void)state;
    size += (size_t)snprintf(text, sizeof text, "many: ");
    for (unsigned i = 0; i < 1500; i++) {
        size += (size_t)snprintf(text + size, sizeof text - size, "u%u@example.com%s", i,
                                 i % 7 == 6 ? ",\n  " : ", ");
    }
    snprintf(text + size, sizeof text - size, "\nlast: l@example.com\n");
    aliases(text);
    assert_int_equal(users_check(&params), 2);
    expect("last", "l@example.com");
    memset(text, 'x', sizeof text);
    memcpy(text, "long: ", 6);
    memcpy(text + 60000, lines, sizeof lines - 1);
    write_file(ALIASES, text, 60000 + sizeof lines - 1);
    expect("ok", "k@example.com");
    expect_said("long", "long@example.org", "too long");
    expect_said("nul", "nul@example.org", "is no address");
}

static int count_told;

static void count_found(void *context, const char *address)
{
    (void)context;
    (void)address;
    count_told++;
}

static void many_recipients(void **state)
{
    static char text[70000];
    size_t size = 0;

    (void)state;
    for (unsigned i = 0; i < 1500; i++) {
        size += (size_t)snprintf(text + size, sizeof text - size, "%su%u@example.com",
                                 i > 0 ? ", " : "many: ", i);
    }
    aliases(text);
    assert_int_equal(users_expand(&params, "many", count_found, NULL), 1500);
    assert_int_equal(count_told, 1500);
}

static int sender(const char *user, const char *address, const char *mailhub)
{
    char a[100];
    char m[100];
    int result;

    said[0] = '\0';
    result = users_sender(&params, user, a, sizeof a, m, sizeof m);
    assert_string_equal(a, address);
    assert_string_equal(m, mailhub);
    return result;
}

static void senders(void **state)
{
    static const char text[] = "# user:address:mailhub\n"
                               "root:alert@example.com\n"
                               "joe : joe@example.com : mail.example.com:587 \n"
                               "ann:ann@example.com:[2001:db8::1]:25\r\n"
                               "bad:not an address,\n"
                               "bad:b@example.com\n";

    (void)state;
    assert_int_equal(sender("root", "", ""), 0);
    write_file(REVALIASES, text, sizeof text - 1);
    assert_int_equal(sender("root", "alert@example.com", ""), 1);
    assert_int_equal(sender("joe", "joe@example.com", "mail.example.com:587"), 1);
    assert_int_equal(sender("ann", "ann@example.com", "[2001:db8::1]:25"), 1);
    assert_int_equal(sender("Root", "", ""), 0);
    assert_string_equal(said, "");
    params.revaliases = DIR;
    assert_int_equal(sender("root", "", ""), 0);
    assert_non_null(strstr(said, "cannot be read"));
}

static void names(void **state)
{
    char name[40];
    char full[40];
    const struct passwd *user = getpwuid(0);

    (void)state;
    assert_non_null(user);
    users_name(0, name, sizeof name, full, sizeof full);
    assert_string_equal(name, user->pw_name);
    assert_int_equal(strncmp(full, user->pw_gecos, strcspn(user->pw_gecos, ",&")), 0);
    users_name(4000000000u, name, sizeof name, full, sizeof full);
    assert_string_equal(name, "");
    assert_string_equal(full, "");
    users_name(0, name, 3, full, 2);
    assert_string_equal(name, "ro");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(without_a_file, set_up),
        cmocka_unit_test_setup(syntax, set_up),
        cmocka_unit_test_setup(chains_and_loops, set_up),
        cmocka_unit_test_setup(what_cannot_be_had, set_up),
        cmocka_unit_test_setup(lists, set_up),
        cmocka_unit_test_setup(defaults, set_up),
        cmocka_unit_test_setup(large_and_strange_files, set_up),
        cmocka_unit_test_setup(many_recipients, set_up),
        cmocka_unit_test_setup(senders, set_up),
        cmocka_unit_test_setup(names, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
