/* test_trust.c - anchors that are looked up in files while a chain is there, in whatever order.
 *
 * test_trust_certs.sh makes the certificates in a folder under the working directory. The chains go
 * straight into the X.509 engine that a TLS session has. */
#include "boards/linux/trust.h"

#include "net/tls_private.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DIR "test_trust.tmp"
#define BUNDLE DIR "/bundle"
#define DAY 86400

static struct random rng;
static struct trust trust;
static struct tls tls;
static char *bundle; /* Its text, while it is put together. */
static size_t bundle_size;

/* Counts what the finder is asked. */
static unsigned asked;
static const struct tls_finder *real_finder;

static void count_find(void *context, const struct tls_dn *names, size_t count, uint64_t unix_s)
{
    asked++;
    assert_true(count > 0 && count <= TLS_ASKED_MAX);
    real_finder->find(context, names, count, unix_s);
}

static char *read_file(const char *name, size_t *size)
{
    char path[200];
    FILE *file;
    char *text = malloc(1 << 20);

    snprintf(path, sizeof path, DIR "/%s", name);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(text);
    *size = fread(text, 1, (1 << 20) - 1, file);
    text[*size] = '\0';
    fclose(file);
    return text;
}

static void write_file(const char *path, const char *text, size_t size)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void add_text(const char *text, size_t size)
{
    bundle = realloc(bundle, bundle_size + size + 1);
    assert_non_null(bundle);
    memcpy(bundle + bundle_size, text, size);
    bundle_size += size;
    bundle[bundle_size] = '\0';
}

/* Appends files of DIR, separated by blanks; "fill" stands for ten of no interest. */
static void add_files(const char *names)
{
    char words[300];
    char numbered[40];

    snprintf(words, sizeof words, "%s", names);
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " ")) {
        bool many = strcmp(word, "fill") == 0 || strcmp(word, "same") == 0;

        for (int i = 0; i < (many ? 10 : 1); i++) {
            size_t size;
            char *text;

            snprintf(numbered, sizeof numbered, many ? "%s%d.pem" : "%s.pem", word, i);
            text = read_file(numbered, &size);
            add_text(text, size);
            free(text);
        }
    }
}

static void open_bundle(void)
{
    write_file(BUNDLE, bundle, bundle_size);
    if (trust_open(&trust, BUNDLE) < 0) {
        print_error("%s\n", trust.problem);
        fail();
    }
    assert_string_equal(trust.problem, "");
}

/* Makes the bundle of these files and opens it. */
static void trust_only(const char *names)
{
    free(bundle);
    bundle = NULL;
    bundle_size = 0;
    add_text("# CAs\n", 6);
    add_files(names);
    open_bundle();
}

/* Has a chain verified, certificates separated by blanks, in pieces of that size; returns BearSSL's
 * error. */
static unsigned verify_pieces(const char *chain, int64_t days, size_t piece)
{
    struct tls_finder counting = trust.finder;
    struct tls_params params = {
        .server_name = "mail.example.com",
        .anchors = &trust.anchors,
        .random = &rng,
        .unix_s = (uint64_t)((int64_t)time(NULL) + days * DAY + 60),
    };
    const br_x509_class **ctx = &tls.x509.vtable;
    char words[500];
    unsigned error;

    real_finder = &trust.finder;
    counting.find = count_find;
    trust.anchors.finder = &counting;
    asked = 0;
    assert_int_equal(tls_init(&tls, &params), 0);
    (*ctx)->start_chain(ctx, params.server_name);
    snprintf(words, sizeof words, "%s", chain);
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " ")) {
        char name[60];
        size_t size;
        uint8_t *der;

        snprintf(name, sizeof name, "%s.der", word);
        der = (uint8_t *)read_file(name, &size);
        (*ctx)->start_cert(ctx, (uint32_t)size);
        for (size_t at = 0; at < size; at += piece) {
            (*ctx)->append(ctx, der + at, size - at < piece ? size - at : piece);
        }
        (*ctx)->end_cert(ctx);
        free(der);
    }
    error = (*ctx)->end_chain(ctx);
    assert_true(error != 0 || (*ctx)->get_pkey(ctx, NULL) != NULL);
    if (error != 0) {
        tls_explain(&tls, (int)error);
    }
    assert_true(asked <= 1);
    trust.anchors.finder = real_finder;
    return error;
}

static unsigned verify(const char *chain)
{
    return verify_pieces(chain, 0, 256);
}

static void expect_good(const char *chain, size_t path)
{
    unsigned error = verify(chain);

    if (error != 0) {
        print_error("%s: %s\n", chain, tls.failure.text);
    }
    assert_int_equal(error, 0);
    assert_int_equal(tls.info.chain_count, path);
}

static void expect_bad(const char *chain, int64_t days, unsigned error, const char *text)
{
    assert_int_equal(verify_pieces(chain, days, 256), error);
    if (strstr(tls.failure.text, text) == NULL) {
        print_error("%s: got \"%s\", want \"%s\"\n", chain, tls.failure.text, text);
        fail();
    }
    assert_true(strlen(tls.failure.text) < sizeof tls.failure.text - 1);
}

static int setup_all(void **state)
{
    static const uint8_t seed[RANDOM_SEED_BYTES] = {1};

    (void)state;
    if (system("rm -rf " DIR " && sh " TESTS_DIR "/linux/test_trust_certs.sh " DIR) != 0) {
        print_error("no certificates: see " DIR "/log\n");
        return -1;
    }
    random_init(&rng);
    random_seed(&rng, seed, sizeof seed);
    return 0;
}

static int teardown_all(void **state)
{
    (void)state;
    free(bundle);
    return 0;
}

static void test_places(void **state)
{
    static const char *const bundles[] = {"new",           "new fill",     "fill new",
                                          "fill new fill", "fill new new", "ed weak new brief rsa",
                                          "new same"};

    (void)state;
    for (size_t i = 0; i < sizeof bundles / sizeof bundles[0]; i++) {
        trust_only(bundles[i]);
        expect_good("leaf inter", 2);
        assert_int_equal(asked, 1);
        assert_string_equal(tls.info.chain[1].issuer, "New root");
        expect_good("leaf inter new", 2);
        expect_bad("of-rsa", 0, strstr(bundles[i], "rsa") != NULL ? 0 : BR_ERR_X509_NOT_TRUSTED,
                   "");
    }
    trust_only("fill rsa fill");
    expect_good("of-rsa", 1);
    for (size_t piece = 1; piece < 70; piece++) {
        assert_int_equal(verify_pieces("of-rsa", 0, piece), 0);
    }
    assert_int_equal(trust.anchors.count, 1);
}

/* Whatever OpenSSL finds a path through. */
static void test_orders(void **state)
{
    static const char *const chains[] = {
        "leaf inter",
        "leaf inter cross",
        "leaf inter cross old",
        "leaf cross inter",
        "leaf old cross inter",
        "leaf new inter",
        "leaf leaf inter",
        "leaf inter inter",
        "leaf stranger fill0 fill1 inter fill2",
        "leaf inter-twin inter",
        "leaf inter inter-twin",
        "leaf twin inter",
        "leaf cross twin inter-twin inter",
    };

    (void)state;
    for (size_t i = 0; i < sizeof chains / sizeof chains[0]; i++) {
        trust_only("fill new");
        expect_good(chains[i], 2);
        assert_string_equal(tls.info.chain[0].subject, "mail.example.com");
        assert_string_equal(tls.info.chain[1].subject, "Intermediate");
        if (strstr(chains[i], "cross") != NULL && strstr(chains[i], "twin") == NULL) {
            trust_only("old fill");
            expect_good(chains[i], 3);
            trust_only("twin old"); /* The name is known, the key is another. */
            expect_good(chains[i], 3);
        }
    }
    /* Of several of one name the one that leads on is taken at once. */
    trust_only("old");
    expect_good("leaf inter new new new new new cross", 3);
    trust_only("twin same new"); /* More of one name than there is room for. */
    assert_true(verify("leaf inter") == BR_ERR_X509_NOT_TRUSTED);
    trust_only("twin");
    expect_bad("leaf inter", 0, BR_ERR_X509_NOT_TRUSTED,
               "unknown authority: New root (not in " DIR);
}

static void test_pins(void **state)
{
    (void)state;
    trust_only("fill self");
    expect_good("self", 1);
    trust_only("leaf");
    expect_good("leaf", 1);
    expect_good("leaf inter stranger", 1);
    trust_only("inter");
    expect_good("leaf inter", 1);
    expect_good("leaf", 1);
    trust_only("pinned new"); /* The same name as leaf, another key. */
    expect_good("leaf inter", 2);
    trust_only("pinned");
    expect_bad("leaf", 0, BR_ERR_X509_NOT_TRUSTED, "unknown authority: Intermediate");
}

static void test_dates(void **state)
{
    (void)state;
    trust_only("new");
    assert_int_equal(verify_pieces("leaf inter-brief inter", 10, 256), 0);
    assert_int_equal(verify_pieces("leaf inter inter-brief", 10, 256), 0);
    expect_bad("leaf inter-brief", 10, BR_ERR_X509_EXPIRED,
               "the certificate of Intermediate expired");
    assert_int_equal(tls.info.chain_count, 2);
    expect_bad("leaf inter", 60, BR_ERR_X509_EXPIRED, "mail.example.com expired");
    expect_bad("leaf inter", -2, BR_ERR_X509_EXPIRED, "is not valid before");
    trust_only("brief");
    expect_good("of-brief", 1);
    expect_bad("of-brief", 10, BR_ERR_X509_NOT_TRUSTED,
               "unknown authority: Brief root (not in " BUNDLE ": it is there but out of date)");
    trust_only("weak");
    expect_bad("of-weak", 0, BR_ERR_X509_NOT_TRUSTED, "has not 2048 to 4096 bits");
}

static void test_refusals(void **state)
{
    static char long_chain[300] = "leaf";

    (void)state;
    trust_only("fill");
    expect_bad("leaf inter", 0, BR_ERR_X509_NOT_TRUSTED,
               "the certificate of mail.example.com is signed by an unknown authority: New root "
               "(not in " BUNDLE ")");
    expect_bad("leaf", 0, BR_ERR_X509_NOT_TRUSTED, "authority: Intermediate (not in ");
    expect_bad("self", 0, BR_ERR_X509_NOT_TRUSTED, "is self-signed and not in " BUNDLE);
    expect_bad("", 0, BR_ERR_X509_EMPTY_CHAIN, "sent no certificate");
    trust_only("stranger new");
    expect_bad("stranger", 0, BR_ERR_X509_BAD_SERVER_NAME, "not for mail.example.com");
    trust_only("path0");
    expect_good("of-path8 path8 path7 path6 path5 path4 path3 path2 path1", 9);
    expect_good("of-path8 path1 path2 path3 path4 path5 path6 path7 path8 path0", 9);
    expect_bad("of-path11 path11 path10 path9 path8 path7 path6 path5 path4 path3 path2 path1", 0,
               BR_ERR_X509_LIMIT_EXCEEDED, "too large");
    for (int i = 0; i < 23; i++) {
        strcat(long_chain, " fill0");
    }
    trust_only("new");
    strcat(long_chain, " inter");
    expect_bad(long_chain, 0, BR_ERR_X509_LIMIT_EXCEEDED, "too large");
    memcpy(long_chain, "leaf inter", 10);
    expect_bad(long_chain, 0, 0, "");
}

/* A certificate's text in another form. */
static void test_forms(void **state)
{
    static const struct form {
        size_t width;
        const char *end;
        const char *before;
        const char *behind;
    } forms[] = {
        {64, "\n", "", "\n"},
        {64, "\r\n", "", "\r\n"},
        {76, "\n", "Subject: New root\n=====\n", "\n"},
        {48, "\n", "\xEF\xBB\xBF", ""},
        {10000, "\n", "", "\n"},
        {63, "\n", "", "\n"},
        {64, "  \n", "", "  \n"},
        {64, "\n  ", "- -- -----B ---\n", "\n"},
        {64, "\n\n", "\n\n\n", "\n"},
        {1, "\n", "", "\n"},
        {64, "\n", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n", "\n"},
        {64, "\n", "-----BEGIN CERTIFICATE-----\nMIIB\n", "\n"},
        {64, "\n", "-----BEGIN CERTIFICATE-----\nMIIB!\n-----END CERTIFICATE-----\n", "\n"},
        {64, "\n", "-----BEGIN CERTIFICATE-----\n\n-----END CERTIFICATE-----\n", "\n"},
        {64, "\n", "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n",
         "\n-----BEGIN CERTIFICATE-----"},
    };
    size_t size;
    char *pem = read_file("new.pem", &size);

    (void)state;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        size_t column = 0;

        free(bundle);
        bundle = NULL;
        bundle_size = 0;
        add_files("fill");
        add_text(forms[i].before, strlen(forms[i].before));
        add_text("-----BEGIN CERTIFICATE-----", 27);
        add_text(forms[i].end, strlen(forms[i].end));
        for (const char *at = strchr(pem, '\n') + 1; *at != '-'; at++) {
            if (*at != '\n') {
                if (column == forms[i].width) {
                    add_text(forms[i].end, strlen(forms[i].end));
                    column = 0;
                }
                add_text(at, 1);
                column++;
            }
        }
        add_text("\n-----END CERTIFICATE-----", 26);
        add_text(forms[i].behind, strlen(forms[i].behind));
        open_bundle();
        if (verify("leaf inter") != 0) {
            print_error("form %zu: %s\n", i, tls.failure.text);
            fail();
        }
        add_files("rsa");
        open_bundle();
        if (forms[i].behind[0] == '\n' && strlen(forms[i].behind) == 1) {
            expect_good("of-rsa", 1);
        }
    }
    free(pem);
}

/* Every cut of a bundle, and every place of its window where a certificate may begin. */
static void test_windows(void **state)
{
    static char filler[70000];
    size_t size;
    char *pem = read_file("new.pem", &size);

    (void)state;
    memset(filler, '-', sizeof filler);
    for (size_t before = 31500; before < 33500; before += 7) {
        free(bundle);
        bundle = NULL;
        bundle_size = 0;
        add_text(filler, before);
        add_text("\n", 1);
        add_files("new rsa");
        open_bundle();
        assert_int_equal(verify("leaf inter"), 0);
        assert_int_equal(verify("of-rsa"), 0);
    }
    for (size_t cut = size - 1; cut > 100; cut -= 3) {
        free(bundle);
        bundle = NULL;
        bundle_size = 0;
        add_text(pem, cut);
        open_bundle();
        assert_int_equal(verify("leaf inter"), cut + 1 >= size ? 0 : BR_ERR_X509_NOT_TRUSTED);
    }
    free(bundle);
    bundle = NULL;
    bundle_size = 0;
    add_text("-----BEGIN CERTIFICATE-----\n", 28);
    memset(filler, 'A', sizeof filler);
    add_text(filler, sizeof filler); /* No end in sight. */
    add_text("\n", 1);
    add_files("new");
    open_bundle();
    assert_int_equal(verify("leaf inter"), 0);
    free(pem);
}

static void expect_problem(const char *path, int error, const char *text)
{
    assert_int_equal(trust_open(&trust, path), error);
    if (strstr(trust.problem, text) == NULL) {
        print_error("%s\n", trust.problem);
        fail();
    }
    assert_int_equal(trust.anchors.count, 0);
    assert_null(trust.anchors.finder);
}

static void test_paths(void **state)
{
    (void)state;
    expect_problem(DIR "/nothing", E_MISSING, DIR "/nothing is not there");
    expect_problem("/dev/null", E_IO, "cannot be read");
    expect_problem(DIR "/new.der", E_INVALID, "no certificate in PEM");
    expect_problem(DIR "/new.key", E_INVALID, "no certificate in PEM");
    expect_problem(DIR "/trusted.pem", E_INVALID, "no certificate in PEM");
    expect_problem(DIR "/new.pem:" DIR "/nothing", E_MISSING, "is not there");
    assert_int_equal(trust_open(&trust, DIR "/rsa.pem:" DIR "/new.pem"), 0);
    expect_good("leaf inter", 2);
    expect_good("of-rsa", 1);
    assert_int_equal(mkdir(DIR "/folder", 0755), 0);
    expect_problem(DIR "/folder", E_INVALID, "no certificate in PEM");
    assert_int_equal(symlink("../new.pem", DIR "/folder/new.crt"), 0);
    assert_int_equal(symlink("../new.pem", DIR "/folder/again.pem"), 0);
    assert_int_equal(symlink("../rsa.pem", DIR "/folder/rsa.txt"), 0);
    assert_int_equal(symlink("nothing", DIR "/folder/dangling.pem"), 0);
    assert_int_equal(symlink("../rsa.pem", DIR "/folder/other.cer"), 0);
    assert_int_equal(trust_open(&trust, DIR "/folder"), 0);
    expect_good("leaf inter", 2);
    assert_int_equal(trust.anchors.count, 1); /* Not twice. */
    expect_good("of-rsa", 1);
    expect_bad("self", 0, BR_ERR_X509_NOT_TRUSTED, "self-signed and not in " DIR "/folder");
}

static void test_identity(void **state)
{
    uint8_t first[32];
    uint8_t binding[32];

    (void)state;
    trust_only("new");
    memcpy(first, trust.identity, sizeof first);
    assert_int_equal(verify("leaf inter"), 0);
    memcpy(binding, tls.binding, sizeof binding);
    assert_int_equal(verify("of-rsa"), BR_ERR_X509_NOT_TRUSTED);
    assert_memory_equal(tls.binding, binding, sizeof binding); /* Whatever was found before. */
    assert_int_equal(trust_open(&trust, BUNDLE), 0);
    assert_memory_equal(trust.identity, first, sizeof first);
    add_files("rsa");
    open_bundle();
    assert_memory_not_equal(trust.identity, first, sizeof first);
    assert_int_equal(verify("leaf inter"), 0);
    assert_memory_not_equal(tls.binding, binding, sizeof binding);
    /* A bundle that goes away, or turns into something else, meanwhile. */
    assert_int_equal(unlink(BUNDLE), 0);
    expect_bad("leaf inter", 0, BR_ERR_X509_NOT_TRUSTED, "it cannot be read");
    write_file(BUNDLE, "nothing", 7);
    expect_bad("leaf inter", 0, BR_ERR_X509_NOT_TRUSTED, "unknown authority: New root");
}

/* The chain damaged at every byte is refused, and never read beyond. */
static void test_damage(void **state)
{
    size_t size;
    uint8_t *der = (uint8_t *)read_file("inter.der", &size);
    size_t leaf_size;
    uint8_t *leaf = (uint8_t *)read_file("leaf.der", &leaf_size);
    struct tls_params params = {
        .server_name = "mail.example.com",
        .random = &rng,
        .unix_s = (uint64_t)time(NULL) + 60,
    };
    const br_x509_class **ctx = &tls.x509.vtable;

    (void)state;
    trust_only("new");
    params.anchors = &trust.anchors;
    for (size_t at = 0; at < size; at += at < 250 ? 1 : 5) {
        for (size_t cut = 0; cut < 2; cut++) {
            uint8_t kept = der[at];

            der[at] ^= (uint8_t)(1u << at % 8);
            assert_int_equal(tls_init(&tls, &params), 0);
            (*ctx)->start_chain(ctx, params.server_name);
            (*ctx)->start_cert(ctx, (uint32_t)leaf_size);
            (*ctx)->append(ctx, leaf, leaf_size);
            (*ctx)->end_cert(ctx);
            (*ctx)->start_cert(ctx, (uint32_t)(cut ? at : size));
            (*ctx)->append(ctx, der, cut ? at : size);
            (*ctx)->end_cert(ctx);
            assert_int_not_equal((*ctx)->end_chain(ctx), 0);
            der[at] = kept;
        }
    }
    free(der);
    free(leaf);
}

/* On a system that has a bundle, each of its CAs is found in it. */
static void test_system(void **state)
{
    (void)state;
    if (access("/etc/ssl/certs/ca-certificates.crt", R_OK) == 0) {
        assert_int_equal(trust_open(&trust, NULL), 0);
        assert_string_equal(trust.path, "/etc/ssl/certs/ca-certificates.crt");
        expect_bad("self", 0, BR_ERR_X509_NOT_TRUSTED, "not in /etc/ssl/certs/ca-certificates.crt");
        assert_int_equal(trust_open(&trust, ""), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),   cmocka_unit_test(test_orders),
        cmocka_unit_test(test_pins),     cmocka_unit_test(test_dates),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_forms),
        cmocka_unit_test(test_windows),  cmocka_unit_test(test_paths),
        cmocka_unit_test(test_identity), cmocka_unit_test(test_damage),
        cmocka_unit_test(test_system),
    };

    return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
