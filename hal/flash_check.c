#include "hal/flash_check.h"

#include <stdbool.h>

int flash_check_read(const struct flash *flash, uint32_t address, size_t size)
{
    return address <= flash->size_bytes && size <= flash->size_bytes - address ? 0 : E_INVALID;
}

int flash_check_program(const struct flash *flash, uint32_t address, size_t size)
{
    bool aligned = address % flash->program_bytes == 0 && size % flash->program_bytes == 0;
    bool one_page = size <= flash->page_bytes - address % flash->page_bytes;

    return aligned && one_page ? flash_check_read(flash, address, size) : E_INVALID;
}

int flash_check_erase(const struct flash *flash, uint32_t address)
{
    return address % flash->erase_bytes == 0 && address < flash->size_bytes ? 0 : E_INVALID;
}

int flash_verify(const struct flash *flash, uint32_t address, const uint8_t *data, size_t size)
{
    uint8_t piece[64];

    for (size_t done = 0; done < size;) {
        size_t count = size - done < sizeof piece ? size - done : sizeof piece;
        int result = flash->read(flash, address + (uint32_t)done, piece, count);
        if (result < 0) {
            return result;
        }
        for (size_t i = 0; i < count; i++) {
            if (piece[i] != (data != NULL ? data[done + i] : flash->erased)) {
                return E_IO;
            }
        }
        done += count;
    }
    return 0;
}
