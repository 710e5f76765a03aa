/* test_spi_nor.c - the serial NOR driver against a part that is as strict as its data sheet.
 *
 * QEMU's model is never busy, keeps its write enable for good and programs over a page's end. This
 * one is busy for some polls, deaf meanwhile, drops the latch after each operation and wraps within
 * a page; and it can fail in each way that the status register or a read-back tells of.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hal/clock.h"
#include "hal/drivers/spi_nor.h"

#define SIZE_BYTES 4096u
#define ERASE_BYTES 1024u
#define PAGE_BYTES 256u

#define SR_WIP 0x01u
#define SR_WEL 0x02u
#define SR_E_ERR 0x20u
#define SR_P_ERR 0x40u

struct part {
    uint8_t cells[SIZE_BYTES];
    uint8_t status;
    uint8_t id[3];
    uint32_t busy_polls; /* Of an operation. */
    uint32_t busy_left;
    uint8_t fail_with; /* P_ERR or E_ERR instead of the operation. */
    bool stuck;        /* Busy for ever. */
    bool absent;       /* All ones. */
    bool wren_fails;
    uint32_t weak_cell;  /* This one does not take a program; SIZE_BYTES: none. */
    int bus_error_after; /* Transfers until one fails; -1: never. */
    uint32_t ignored;    /* Commands that came while it was busy. */
    uint32_t operations;
};

static struct part part;
static uint32_t now;

/* --- The time base that the driver asks --- */

uint32_t clock_raw(void)
{
    return now += 200;
}

uint32_t clock_elapsed(uint32_t *last)
{
    uint32_t value = clock_raw();
    uint32_t elapsed = value - *last;

    *last = value;
    return elapsed;
}

uint32_t clock_ticks_per_ms(void)
{
    return 1000;
}

/* --- The part --- */

static void operation_begins(uint8_t error)
{
    part.operations++;
    part.status |= SR_WIP;
    part.busy_left = part.busy_polls;
    if (part.fail_with != 0) {
        part.status |= part.fail_with & error;
    }
}

static void part_program(uint32_t address, const uint8_t *data, size_t size)
{
    if (!(part.status & SR_WEL)) {
        return;
    }
    for (size_t i = 0; i < size && part.fail_with == 0; i++) {
        uint32_t at = (address & ~(PAGE_BYTES - 1)) | ((address + i) & (PAGE_BYTES - 1));
        if (at != part.weak_cell) {
            part.cells[at] &= data[i];
        }
    }
    operation_begins(SR_P_ERR);
}

static void part_erase(uint32_t address)
{
    if (!(part.status & SR_WEL)) {
        return;
    }
    if (part.fail_with == 0) {
        memset(&part.cells[address & ~(ERASE_BYTES - 1)], 0xFF, ERASE_BYTES);
        if (part.weak_cell < SIZE_BYTES) {
            part.cells[part.weak_cell] &= 0x7F;
        }
    }
    operation_begins(SR_E_ERR);
}

/* An error keeps WIP up until CLSR, as on the S25FL-S. */
static uint8_t part_status(void)
{
    uint8_t value = part.status;

    if ((part.status & SR_WIP) && !part.stuck && !(part.status & (SR_E_ERR | SR_P_ERR))) {
        if (part.busy_left == 0) {
            part.status = (uint8_t)(part.status & ~(SR_WIP | SR_WEL));
            value = part.status;
        } else {
            part.busy_left--;
        }
    }
    return value;
}

static void part_answer(const uint8_t *command, uint32_t address, uint8_t *in, size_t size)
{
    memset(in, 0, size);
    if (command[0] == 0x9F) {
        memcpy(in, part.id, size < 3 ? size : 3);
    } else if (command[0] == 0x03) {
        for (size_t i = 0; i < size; i++) {
            in[i] = part.cells[(address + i) % SIZE_BYTES];
        }
    }
}

static int transfer(const struct spi *spi, const uint8_t *command, size_t command_size,
                    const uint8_t *out, uint8_t *in, size_t size)
{
    uint32_t address = 0;

    (void)spi;
    if (part.bus_error_after == 0) {
        return E_IO;
    }
    part.bus_error_after -= part.bus_error_after > 0;
    if (part.absent) {
        memset(in != NULL ? in : (uint8_t *)&address, 0xFF, in != NULL ? size : 1);
        return 0;
    }
    if (command[0] == 0x05) {
        in[0] = part_status();
        return 0;
    }
    if (command[0] == 0x30) {
        part.status = (uint8_t)(part.status & ~(SR_E_ERR | SR_P_ERR | SR_WIP | SR_WEL));
        return 0;
    }
    if (part.status & SR_WIP) {
        part.ignored++;
        return 0;
    }
    if (command_size == 4) {
        address = (uint32_t)command[1] << 16 | (uint32_t)command[2] << 8 | command[3];
    }
    if (command[0] == 0x06) {
        part.status |= part.wren_fails ? 0 : SR_WEL;
    } else if (command[0] == 0x02) {
        part_program(address, out, size);
    } else if (command[0] == 0xD8) {
        part_erase(address);
    } else if (in != NULL) {
        part_answer(command, address, in, size);
    }
    return 0;
}

static const struct spi spi = {.transfer = transfer};
static const struct spi_nor_part expected = {.id = {0x01, 0x20, 0x18}, .erase_opcode = 0xD8};
static struct spi_nor nor;

static const struct flash flash = {
    .size_bytes = SIZE_BYTES,
    .erase_bytes = ERASE_BYTES,
    .page_bytes = PAGE_BYTES,
    .program_bytes = 1,
    .erased = 0xFF,
    .context = &nor,
    .read = spi_nor_read,
    .program = spi_nor_program,
    .erase = spi_nor_erase,
};

static int setup(void **state)
{
    (void)state;
    memset(&part, 0, sizeof part);
    memset(part.cells, 0xFF, sizeof part.cells);
    memcpy(part.id, expected.id, 3);
    part.busy_polls = 7;
    part.weak_cell = SIZE_BYTES;
    part.bus_error_after = -1;
    return spi_nor_init(&flash, &spi, &expected);
}

/* --- Tests --- */

static void test_round_trip(void **state)
{
    uint8_t data[PAGE_BYTES];
    uint8_t back[PAGE_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)(i * 5 + 1);
    }
    assert_int_equal(spi_nor_program(&flash, 512, data, sizeof data), 0);
    assert_int_equal(spi_nor_program(&flash, 1000, data, 24), 0);
    assert_int_equal(spi_nor_read(&flash, 512, back, sizeof back), 0);
    assert_memory_equal(back, data, sizeof data);
    assert_int_equal(spi_nor_erase(&flash, 0), 0);
    assert_int_equal(spi_nor_read(&flash, 512, back, sizeof back), 0);
    for (size_t i = 0; i < sizeof back; i++) {
        assert_int_equal(back[i], 0xFF);
    }
    assert_int_equal(part.operations, 3);
    assert_int_equal(part.ignored, 0); /* It was never spoken to while busy. */
}

static void test_refused(void **state)
{
    uint8_t data[PAGE_BYTES + 1] = {0};

    (void)state;
    assert_int_equal(spi_nor_program(&flash, 255, data, 2), E_INVALID);
    assert_int_equal(spi_nor_program(&flash, 0, data, PAGE_BYTES + 1), E_INVALID);
    assert_int_equal(spi_nor_program(&flash, SIZE_BYTES, data, 1), E_INVALID);
    assert_int_equal(spi_nor_read(&flash, SIZE_BYTES - 1, data, 2), E_INVALID);
    assert_int_equal(spi_nor_read(&flash, UINT32_MAX, data, 2), E_INVALID);
    assert_int_equal(spi_nor_erase(&flash, 1), E_INVALID);
    assert_int_equal(spi_nor_erase(&flash, SIZE_BYTES), E_INVALID);
    assert_int_equal(part.operations, 0);
    assert_int_equal(spi_nor_program(&flash, 0, data, 0), 0);
    assert_int_equal(spi_nor_read(&flash, SIZE_BYTES, data, 0), 0);
}

static void test_errors_are_seen_and_cleared(void **state)
{
    const uint8_t data[4] = {1, 2, 3, 4};

    (void)state;
    part.fail_with = SR_P_ERR;
    assert_int_equal(spi_nor_program(&flash, 0, data, 4), E_IO);
    part.fail_with = SR_E_ERR;
    assert_int_equal(spi_nor_erase(&flash, 0), E_IO);
    part.fail_with = 0;
    assert_int_equal(spi_nor_program(&flash, 0, data, 4), 0);
}

static void test_read_back(void **state)
{
    const uint8_t data[4] = {0, 0, 0, 0};

    (void)state;
    part.weak_cell = 2;
    assert_int_equal(spi_nor_program(&flash, 0, data, 4), E_IO);
    assert_int_equal(spi_nor_erase(&flash, 0), E_IO);
    part.weak_cell = SIZE_BYTES;
    assert_int_equal(spi_nor_erase(&flash, 0), 0);
    /* What was never erased does not take ones. */
    assert_int_equal(spi_nor_program(&flash, 8, data, 4), 0);
    assert_int_equal(spi_nor_program(&flash, 8, (const uint8_t[]){1, 1, 1, 1}, 4), E_IO);
}

static void test_bounded(void **state)
{
    const uint8_t data[4] = {0, 0, 0, 0};
    uint32_t begin;

    (void)state;
    part.stuck = true;
    begin = now;
    assert_int_equal(spi_nor_program(&flash, 0, data, 4), E_IO);
    assert_true(now - begin < 100u * 1000);
    setup(NULL);
    part.stuck = true;
    begin = now;
    assert_int_equal(spi_nor_erase(&flash, 0), E_IO);
    assert_true(now - begin < 6000u * 1000);
}

static void test_latch(void **state)
{
    const uint8_t data[4] = {0, 0, 0, 0};

    (void)state;
    part.wren_fails = true;
    assert_int_equal(spi_nor_program(&flash, 0, data, 4), E_IO);
    assert_int_equal(spi_nor_erase(&flash, 0), E_IO);
    assert_int_equal(part.operations, 0);
}

static void test_init(void **state)
{
    uint8_t byte;

    (void)state;
    part.status = SR_WIP; /* Our own reset came during an erase. */
    part.busy_left = 1000;
    assert_int_equal(spi_nor_init(&flash, &spi, &expected), 0);
    part.status = SR_E_ERR | SR_WIP; /* Or after one that failed. */
    assert_int_equal(spi_nor_init(&flash, &spi, &expected), 0);

    part.id[2] = 0x19;
    assert_int_equal(spi_nor_init(&flash, &spi, &expected), E_MISSING);
    assert_int_equal(spi_nor_read(&flash, 0, &byte, 1), E_IO);
    assert_int_equal(spi_nor_program(&flash, 0, &byte, 1), E_IO);
    assert_int_equal(spi_nor_erase(&flash, 0), E_IO);

    part.absent = true;
    uint32_t begin = now;
    assert_int_equal(spi_nor_init(&flash, &spi, &expected), E_IO);
    assert_true(now - begin < 10u * 1000); /* Nobody waits for a part that is not there. */
}

/* Whichever transfer fails, the call says so. */
static void test_bus_errors(void **state)
{
    const uint8_t data[4] = {9, 8, 7, 6};
    int programmed = E_IO;
    int erased = E_IO;

    (void)state;
    for (int after = 0; programmed != 0 || erased != 0; after++) {
        assert_true(after < 100);
        assert_int_equal(setup(NULL), 0);
        part.bus_error_after = after;
        programmed = spi_nor_program(&flash, 0, data, 4);
        erased = spi_nor_erase(&flash, 0);
        assert_true(programmed == 0 || programmed == E_IO);
        assert_true(erased == 0 || (erased == E_IO && part.bus_error_after == 0));
    }
    assert_int_equal(part.operations, 2);
    assert_int_equal(part.cells[0], 0xFF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_round_trip, setup),
        cmocka_unit_test_setup(test_refused, setup),
        cmocka_unit_test_setup(test_errors_are_seen_and_cleared, setup),
        cmocka_unit_test_setup(test_read_back, setup),
        cmocka_unit_test_setup(test_bounded, setup),
        cmocka_unit_test_setup(test_latch, setup),
        cmocka_unit_test_setup(test_init, setup),
        cmocka_unit_test_setup(test_bus_errors, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
