/* One-time passwords: the vectors of RFC 2289 appendix C and of its section 6, the whole
 * dictionary, and what is no response. */
#include "net/digest.h"
#include "net/otp.h"
#include "net/otp_dictionary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static void hex(const uint8_t *bytes, size_t size, char *out)
{
    for (size_t i = 0; i < size; i++) {
        sprintf(out + 2 * i, "%02x", bytes[i]);
    }
}

/* RFC 2289 appendix C, the part of SHA-1. */
static void vectors(void **state)
{
    static const struct {
        const char *phrase, *seed;
        uint32_t sequence;
        const char *hex, *words;
    } list[] = {
        {"This is a test.", "TeSt", 0, "BB9E 6AE1 979D 8FF4", "MILT VARY MAST OK SEES WENT"},
        {"This is a test.", "TeSt", 1, "63D9 3663 9734 385B", "CART OTTO HIVE ODE VAT NUT"},
        {"This is a test.", "TeSt", 99, "87FE C776 8B73 CCF9", "GAFF WAIT SKID GIG SKY EYED"},
        {"AbCdEfGhIjK", "alpha1", 0, "AD85 F658 EBE3 83C9", "LEST OR HEEL SCOT ROB SUIT"},
        {"AbCdEfGhIjK", "alpha1", 1, "D07C E229 B5CF 119B", "RITE TAKE GELD COST TUNE RECK"},
        {"AbCdEfGhIjK", "alpha1", 99, "27BC 7103 5AAF 3DC6", "MAY STAR TIN LYON VEDA STAN"},
        {"OTP's are good", "correct", 0, "D51F 3E99 BF8E 6F0B", "RUST WELT KICK FELL TAIL FRAU"},
        {"OTP's are good", "correct", 1, "82AE B52D 9437 74E4", "FLIT DOSE ALSO MEW DRUM DEFY"},
        {"OTP's are good", "correct", 99, "4F29 6A74 FE15 67EC", "AURA ALOE HURL WING BERG WAIT"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        uint8_t made[OTP_BYTES], read[OTP_BYTES];
        char words[OTP_TEXT_BYTES];

        assert_int_equal(otp_make(list[i].seed, list[i].phrase, list[i].sequence, made), 0);
        otp_words(made, words);
        assert_string_equal(words, list[i].words);
        assert_int_equal(otp_read(list[i].words, read), strlen(list[i].words));
        assert_memory_equal(read, made, sizeof made);
        assert_int_equal(otp_read(list[i].hex, read), strlen(list[i].hex));
        assert_memory_equal(read, made, sizeof made);
        if (list[i].sequence == 1) {
            /* The one before it in this list is number 0. */
            assert_int_equal(otp_read(list[i - 1].words, read), strlen(list[i - 1].words));
            otp_step(read, read);
            assert_memory_equal(read, made, sizeof made);
        }
    }
}

/* Every word in its place, and the list as a whole: SHA-256 of the words joined by blanks. */
static void dictionary(void **state)
{
    struct digest_sha256 digest;
    uint8_t hash[DIGEST_SHA256_BYTES];
    char sum[2 * sizeof hash + 1];

    (void)state;
    digest_sha256_init(&digest);
    for (unsigned i = 0; i < 2048; i++) {
        uint8_t response[OTP_BYTES] = {(uint8_t)(i >> 3), (uint8_t)(i << 5), 0, 0,
                                       (uint8_t)(i >> 6), (uint8_t)(i << 2), 0, 0};
        uint8_t read[OTP_BYTES];
        char words[OTP_TEXT_BYTES];
        size_t size;

        otp_words(response, words);
        size = strcspn(words, " ");
        digest_sha256_push(&digest, words, size);
        digest_sha256_push(&digest, " ", i < 2047 ? 1 : 0);
        assert_int_equal(otp_read(words, read), strlen(words));
        assert_memory_equal(read, response, sizeof read);
    }
    digest_sha256_end(&digest, hash);
    hex(hash, sizeof hash, sum);
    assert_string_equal(sum, "46d3275be21196944429f7ce3ef95e4368fca4ba0dc9f35d01e96350f72e5549");
}

/* No string is a word that the list does not have: all of up to three letters, some of four. */
static void no_words(void **state)
{
    unsigned found = 0;
    uint32_t dice = 1;

    (void)state;
    for (unsigned i = 0; i < 27 * 27 * 27; i++) {
        char word[OTP_WORD_LETTERS] = {(char)(i / 729), (char)(i / 27 % 27), (char)(i % 27), 0};
        bool gap = false;

        for (unsigned n = 0; n < 3; n++) {
            gap = gap || (word[n] == 0 && n < 2 && word[n + 1] != 0) || word[0] == 0;
            word[n] = (char)(word[n] == 0 ? '\0' : word[n] - 1 + 'A');
        }
        found += !gap && otp_dictionary_find(word) >= 0;
        assert_true(!gap || otp_dictionary_find(word) < 0);
    }
    assert_int_equal(found, 571);
    for (unsigned i = 0; i < 3000; i++) {
        char word[OTP_WORD_LETTERS], there[OTP_WORD_LETTERS];
        int number;

        for (unsigned n = 0; n < sizeof word; n++) {
            dice = dice * 1664525u + 1013904223u;
            word[n] = (char)('A' + (dice >> 16) % 26);
        }
        number = otp_dictionary_find(word);
        if (number >= 0) {
            otp_dictionary_get((unsigned)number, there);
            assert_memory_equal(there, word, sizeof word);
        }
    }
}

static void forms(void **state)
{
    static const struct {
        const char *text, *hex;
        int size;
    } list[] = {
        /* RFC 2289 section 6. */
        {"OUST COAT FOAL MUG BEAK TOTE", NULL, 28},
        {"oust coat foal  mug  beak  tote", NULL, 31},
        {"3503785b369cda8b", "3503785b369cda8b", 16},
        {"e5cc a1b8 7c13 096b", "e5cca1b87c13096b", 19},
        {"C7 48 90 F4 27 7B A1 CF", "c74890f4277ba1cf", 23},
        {"47 9 A68 28 4C 9D 0 1BC", "479a68284c9d01bc", 23},
        /* What stands behind it is left alone. */
        {"MILT VARY MAST OK SEES WENT status", "bb9e6ae1979d8ff4", 27},
        {"  milt\tVary\r\nmast ok sees went\n", "bb9e6ae1979d8ff4", 30},
        {"BB9E 6AE1 979D 8FF4 ack 12", "bb9e6ae1979d8ff4", 19},
        {"bb9e6ae1979d8ff4 bad", "bb9e6ae1979d8ff4", 16},
    };

    (void)state;
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        uint8_t read[OTP_BYTES];
        char digits[17];

        assert_int_equal(otp_read(list[i].text, read), list[i].size);
        hex(read, sizeof read, digits);
        if (list[i].hex != NULL) {
            assert_string_equal(digits, list[i].hex);
        }
    }
}

static void refused(void **state)
{
    static const struct {
        const char *text;
        int error;
    } list[] = {
        {"", E_MISSING},
        {"  ", E_MISSING},
        {"MILT", E_MISSING},
        {"MILT VARY MAST OK SEES", E_MISSING},
        {"BB9E 6AE1 979D 8FF", E_MISSING},
        {"BAD", E_MISSING},                         /* A word, and hexadecimal digits. */
        {"MILT VARY MAST OK SEES WEN", E_INVALID},  /* No such word. */
        {"MILT VARY MAST OK SEES WERE", E_INVALID}, /* The checksum. */
        {"MILT VARY MAST OK SEES WENTS", E_INVALID},
        {"MILT, VARY MAST OK SEES WENT", E_INVALID},
        {"MILT VARY MAST OK SEES WENT.", E_INVALID},
        {"MILTVARYMASTOKSEESWENT", E_INVALID},
        {"BB9E 6AE1 979D 8FF4A", E_INVALID},
        {"BB9E-6AE1-979D-8FF4", E_INVALID},
        {"0xBB9E6AE1979D8FF4", E_INVALID},
        {"BB9E 6AE1 979D 8FG4", E_INVALID},
        {"status", E_INVALID},
        {"@@@@ VARY MAST OK SEES WENT", E_INVALID},
        {"MILT VARY MAST OK SEES \xff", E_INVALID},
    };

    (void)state;
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        uint8_t read[OTP_BYTES];
        int error = otp_read(list[i].text, read);

        if (error != list[i].error) {
            print_message("%s: %d\n", list[i].text, error);
        }
        assert_int_equal(error, list[i].error);
    }
}

static void made(void **state)
{
    static const char *const seeds[] = {"", "a b", "seventeen01234567", "se-ed", "s\xc3\xa9"};
    uint8_t one[OTP_BYTES], other[OTP_BYTES];
    char phrase[65];

    (void)state;
    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++) {
        assert_false(otp_seed_valid(seeds[i]));
        assert_int_equal(otp_make(seeds[i], "long enough", 1, one), E_INVALID);
    }
    assert_true(otp_seed_valid("sixteen012345678"));
    memset(phrase, 'p', sizeof phrase);
    for (size_t size = 0; size < sizeof phrase; size++) {
        phrase[size] = '\0';
        assert_int_equal(otp_make("sixteen012345678", phrase, 1, one),
                         size >= 10 && size <= 63 ? 0 : E_INVALID);
        phrase[size] = 'p';
    }
    /* The chain: each is the step of the one before. */
    assert_int_equal(otp_make("ke1234", "a pass phrase", 100, one), 0);
    assert_int_equal(otp_make("KE1234", "a pass phrase", 99, other), 0);
    otp_step(other, other);
    assert_memory_equal(one, other, sizeof one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors), cmocka_unit_test(dictionary), cmocka_unit_test(no_words),
        cmocka_unit_test(forms),   cmocka_unit_test(refused),    cmocka_unit_test(made),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
