#include "firmware/store.h"

#include <string.h>

void store_mount(struct store *store, const struct flash *flash)
{
    memset(store, 0, sizeof *store);
    store->flash = flash;
    store->config_problem = "the store is not here yet";
    store->seed_problem = store->config_problem;
}

int store_config_read(const struct store *store, uint32_t offset, void *out, size_t size)
{
    (void)store;
    (void)offset;
    (void)out;
    (void)size;
    return E_MISSING;
}

int store_config_write(struct store *store, const void *text, size_t size)
{
    (void)store;
    (void)text;
    (void)size;
    return E_IO;
}

int store_seed_replace(struct store *store, const uint8_t next[STORE_SEED_BYTES])
{
    (void)store;
    (void)next;
    return E_MISSING;
}

int store_seed_create(struct store *store, const uint8_t device_id[STORE_DEVICE_ID_BYTES],
                      const uint8_t seed[STORE_SEED_BYTES])
{
    (void)store;
    (void)device_id;
    (void)seed;
    return E_IO;
}

uint32_t crc32_update(uint32_t crc, const void *data, size_t size)
{
    const uint8_t *bytes = data;

    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (unsigned bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1u)));
        }
    }
    return ~crc;
}
