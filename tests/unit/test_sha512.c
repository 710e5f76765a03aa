/* SHA-384 and SHA-512: the examples of FIPS 180-4, every length around a block, pieces, states. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <bearssl_hash.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const br_hash_class *hash;
    size_t size;
    const char *abc;
    const char *two_blocks;
    const char *lengths; /* The hash of the hashes of 0 to 300 times "a", by hashlib. */
} kinds[] = {
    {&br_sha384_vtable, 48,
     "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
     "8086072ba1e7cc2358baeca134c825a7",
     "09330c33f71147e83d192fc782cd1b4753111b173b3b05d22fa08086e3b0f712"
     "fcc7c71a557e2db966c3e9fa91746039",
     "d80b01d0f4d7ebdf1eecf7340637351e167ce7d9a0f265c24a848d9c99285f85"
     "0a42df6a46ab7c23af3a387c30ea6faf"},
    {&br_sha512_vtable, 64,
     "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
     "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
     "8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018"
     "501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909",
     "b0252e29bae50b5a42c84d684a695d3ce9eb9f45564b98f09503ce01bcdc907c"
     "14d2fad620cea072e46915da1321a945dee073b717b9c105a6a57beb402eddc5"},
};

static const char two_blocks[] = "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
                                 "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu";

static void is_hash(const br_hash_class *const *sha, size_t size, const char *expected)
{
    uint8_t out[64];
    char text[2 * sizeof out + 1];

    (*sha)->out(sha, out);
    for (size_t i = 0; i < size; i++) {
        snprintf(text + 2 * i, 3, "%02x", out[i]);
    }
    assert_string_equal(text, expected);
}

/* An output changes nothing: it can be asked for again. */
static void examples(void **state)
{
    br_hash_compat_context sha;

    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        kinds[k].hash->init(&sha.vtable);
        sha.vtable->update(&sha.vtable, "abc", 3);
        is_hash(&sha.vtable, kinds[k].size, kinds[k].abc);
        is_hash(&sha.vtable, kinds[k].size, kinds[k].abc);
    }
    for (size_t piece = 1; piece < sizeof two_blocks; piece++) {
        for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
            kinds[k].hash->init(&sha.vtable);
            for (size_t at = 0; at < sizeof two_blocks - 1; at += piece) {
                size_t left = sizeof two_blocks - 1 - at;

                sha.vtable->update(&sha.vtable, two_blocks + at, left < piece ? left : piece);
            }
            is_hash(&sha.vtable, kinds[k].size, kinds[k].two_blocks);
        }
    }
}

static void lengths(void **state)
{
    br_hash_compat_context all;
    br_hash_compat_context one;
    char text[300];
    uint8_t out[64];

    (void)state;
    memset(text, 'a', sizeof text);
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        kinds[k].hash->init(&all.vtable);
        for (size_t size = 0; size <= sizeof text; size++) {
            kinds[k].hash->init(&one.vtable);
            one.vtable->update(&one.vtable, text, size);
            one.vtable->out(&one.vtable, out);
            all.vtable->update(&all.vtable, out, kinds[k].size);
        }
        is_hash(&all.vtable, kinds[k].size, kinds[k].lengths);
    }
}

/* What a state holds at a block's end is enough to go on from, in another context. */
static void states(void **state)
{
    br_hash_compat_context sha;
    char text[128 + sizeof two_blocks];
    uint8_t kept[64];
    uint8_t expected[64];
    uint8_t out[64];
    uint64_t count;

    (void)state;
    memset(text, 'x', 128);
    memcpy(text + 128, two_blocks, sizeof two_blocks);
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        kinds[k].hash->init(&sha.vtable);
        sha.vtable->update(&sha.vtable, text, 128);
        count = sha.vtable->state(&sha.vtable, kept);
        assert_int_equal(count, 128);
        sha.vtable->update(&sha.vtable, text + 128, sizeof text - 128);
        sha.vtable->out(&sha.vtable, expected);
        memset(&sha, 0xA5, sizeof sha);
        kinds[k].hash->init(&sha.vtable);
        sha.vtable->set_state(&sha.vtable, kept, count);
        sha.vtable->update(&sha.vtable, text + 128, sizeof text - 128);
        sha.vtable->out(&sha.vtable, out);
        assert_memory_equal(out, expected, kinds[k].size);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples),
        cmocka_unit_test(lengths),
        cmocka_unit_test(states),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
