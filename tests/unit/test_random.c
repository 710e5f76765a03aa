/* test_random.c - the generator against an HMAC_DRBG made here out of HMAC, and its refusals. */
#include "net/random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <bearssl_hmac.h>

#include <string.h>

/* SP 800-90A 10.1.2.2, over SHA-256. */
struct model {
    uint8_t key[32];
    uint8_t value[32];
};

static void hmac(const uint8_t key[32], const void *a, size_t a_size, const void *b, size_t b_size,
                 const void *c, size_t c_size, uint8_t out[32])
{
    br_hmac_key_context keyed;
    br_hmac_context context;

    br_hmac_key_init(&keyed, &br_sha256_vtable, key, 32);
    br_hmac_init(&context, &keyed, 0);
    br_hmac_update(&context, a, a_size);
    br_hmac_update(&context, b, b_size);
    br_hmac_update(&context, c, c_size);
    br_hmac_out(&context, out);
}

static void model_update(struct model *model, const void *data, size_t size)
{
    hmac(model->key, model->value, 32, "\x00", 1, data, size, model->key);
    hmac(model->key, model->value, 32, "", 0, "", 0, model->value);
    if (size > 0) {
        hmac(model->key, model->value, 32, "\x01", 1, data, size, model->key);
        hmac(model->key, model->value, 32, "", 0, "", 0, model->value);
    }
}

static void model_generate(struct model *model, uint8_t *out, size_t size)
{
    while (size > 0) {
        size_t take = size < 32 ? size : 32;

        hmac(model->key, model->value, 32, "", 0, "", 0, model->value);
        memcpy(out, model->value, take);
        out += take;
        size -= take;
    }
    model_update(model, "", 0);
}

static const uint8_t seed[RANDOM_SEED_BYTES] = "0123456789abcdef0123456789abcde";

static void test_follows_the_standard(void **state)
{
    static const size_t sizes[] = {1, 4, 31, 32, 33, 64, 100, 1000};
    struct random random;
    struct model model;
    uint8_t out[1000];
    uint8_t expected[1000];

    (void)state;
    memset(model.key, 0, sizeof model.key);
    memset(model.value, 1, sizeof model.value);
    model_update(&model, "", 0); /* Instantiated with an empty seed. */
    random_init(&random);
    random_mix(&random, "boot 17", 7);
    model_update(&model, "boot 17", 7);
    random_seed(&random, seed, sizeof seed);
    model_update(&model, seed, sizeof seed);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_int_equal(random_bytes(&random, out, sizes[i]), 0);
        model_generate(&model, expected, sizes[i]);
        assert_memory_equal(out, expected, sizes[i]);
    }
}

static void test_refuses_unseeded(void **state)
{
    static const uint8_t zero[64];
    struct random random;
    uint8_t out[64];

    (void)state;
    random_init(&random);
    random_mix(&random, seed, sizeof seed);
    assert_false(random_ready(&random));
    memset(out, 0xAA, sizeof out);
    assert_int_equal(random_bytes(&random, out, sizeof out), E_MISSING);
    assert_memory_equal(out, zero, sizeof out);
    random_seed(&random, seed, 16);
    assert_false(random_ready(&random));
    random_seed(&random, seed + 16, 15);
    assert_false(random_ready(&random));
    assert_int_equal(random_bytes(&random, out, sizeof out), E_MISSING);
    random_seed(&random, seed + 31, 1);
    assert_true(random_ready(&random));
    assert_int_equal(random_bytes(&random, out, sizeof out), 0);
    assert_memory_not_equal(out, zero, sizeof out);
    for (int i = 0; i < 300; i++) {
        random_seed(&random, seed, sizeof seed);
    }
    assert_true(random_ready(&random));
}

static void test_refuses_too_much(void **state)
{
    static uint8_t out[RANDOM_REQUEST_BYTES + 1];
    struct random random;

    (void)state;
    random_init(&random);
    random_seed(&random, seed, sizeof seed);
    out[RANDOM_REQUEST_BYTES] = 0xAA;
    assert_int_equal(random_bytes(&random, out, sizeof out), E_INVALID);
    assert_int_equal(out[RANDOM_REQUEST_BYTES], 0);
    assert_int_equal(random_bytes(&random, out, RANDOM_REQUEST_BYTES), 0);
}

/* Each input changes what comes out, and no two calls give the same. */
static void test_inputs_count(void **state)
{
    struct random random[3];
    uint32_t value[3];

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        random_init(&random[i]);
        random_seed(&random[i], seed, sizeof seed);
    }
    random_mix(&random[1], "a", 1);
    random_mix(&random[2], "b", 1);
    for (size_t i = 0; i < 3; i++) {
        value[i] = random_u32(&random[i]);
        assert_int_not_equal(value[i], random_u32(&random[i]));
    }
    assert_int_not_equal(value[0], value[1]);
    assert_int_not_equal(value[0], value[2]);
    assert_int_not_equal(value[1], value[2]);
    /* Unseeded: still different each time and with each input. */
    random_init(&random[0]);
    random_init(&random[1]);
    random_mix(&random[1], "", 1);
    value[0] = random_u32(&random[0]);
    assert_int_not_equal(value[0], random_u32(&random[0]));
    assert_int_not_equal(value[0], random_u32(&random[1]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_follows_the_standard),
        cmocka_unit_test(test_refuses_unseeded),
        cmocka_unit_test(test_refuses_too_much),
        cmocka_unit_test(test_inputs_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
