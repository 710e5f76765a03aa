#include "hal/drivers/sf2_spi.h"

#include "hal/clock.h"
#include "hal/mmio.h"

#include <stdbool.h>

#define CONTROL 0x00u
#define CONTROL_ENABLE (1u << 0)
#define CONTROL_MASTER (1u << 1)
#define CONTROL_FRAME_COUNT_SHIFT 8 /* Frames until the chip select is let go. */
#define CONTROL_SPO (1u << 24)
#define CONTROL_SPH (1u << 25) /* With SPO: mode 3. */
#define CONTROL_SPS (1u << 26) /* The chip select stays low through all frames. */
#define CONTROL_CLKMODE (1u << 28)
#define CONTROL_BIGFIFO (1u << 29)
#define TXRXDF_SIZE 0x04u /* Bits of a frame; only while disabled. */
#define STATUS 0x08u
#define STATUS_RXFIFOEMP (1u << 6)
#define INT_CLEAR 0x0Cu
#define INT_CLEAR_ALL 0x3Fu
#define RX_DATA 0x10u
#define TX_DATA 0x14u
#define CLK_GEN 0x18u
#define SLAVE_SELECT 0x1Cu
#define COMMAND 0x28u
#define COMMAND_RXFIFORST (1u << 2)
#define COMMAND_TXFIFORST (1u << 3)

#define CONTROL_MODE \
    (CONTROL_MASTER | CONTROL_SPO | CONTROL_SPH | CONTROL_SPS | CONTROL_CLKMODE | CONTROL_BIGFIFO)

/* Half of the FIFO for 8-bit frames: what is under way always fits into the receive side. */
#define BURST_FRAMES 16u

/* For one burst, which takes microseconds. */
#define BURST_TIMEOUT_MS 50

static uintptr_t base_of(const struct spi *spi)
{
    return (uintptr_t)spi->context;
}

void sf2_spi_init(const struct spi *spi)
{
    uintptr_t base = base_of(spi);

    mmio_write(base + CONTROL, CONTROL_MODE);
    mmio_write(base + TXRXDF_SIZE, 8);
    mmio_write(base + CLK_GEN, 1); /* APB clock / (2 * (1 + 1)). */
    mmio_write(base + SLAVE_SELECT, 1);
}

static void begin(uintptr_t base, size_t frames)
{
    uint32_t control = CONTROL_MODE | (uint32_t)frames << CONTROL_FRAME_COUNT_SHIFT;

    mmio_write(base + CONTROL, control);
    mmio_write(base + TXRXDF_SIZE, 8);
    mmio_write(base + COMMAND, COMMAND_RXFIFORST | COMMAND_TXFIFORST);
    mmio_write(base + INT_CLEAR, INT_CLEAR_ALL);
    mmio_write(base + CONTROL, control | CONTROL_ENABLE);
}

/* Up to BURST_FRAMES bytes out of `out` or zeros, and as many back to `in` or nowhere. */
static bool burst(uintptr_t base, const uint8_t *out, uint8_t *in, size_t count)
{
    struct clock_timeout timeout = clock_timeout(BURST_TIMEOUT_MS);

    for (size_t i = 0; i < count; i++) {
        mmio_write(base + TX_DATA, out != NULL ? out[i] : 0);
    }
    for (size_t i = 0; i < count; i++) {
        if ((mmio_read(base + STATUS) & STATUS_RXFIFOEMP) != 0 &&
            !wait_for_bits(base + STATUS, STATUS_RXFIFOEMP, 0, &timeout)) {
            return false;
        }
        uint8_t byte = (uint8_t)mmio_read(base + RX_DATA);
        if (in != NULL) {
            in[i] = byte;
        }
    }
    return true;
}

static bool move(uintptr_t base, const uint8_t *out, uint8_t *in, size_t size)
{
    while (size > 0) {
        size_t count = size < BURST_FRAMES ? size : BURST_FRAMES;
        if (!burst(base, out, in, count)) {
            return false;
        }
        out = out != NULL ? out + count : NULL;
        in = in != NULL ? in + count : NULL;
        size -= count;
    }
    return true;
}

int sf2_spi_transfer(const struct spi *spi, const uint8_t *command, size_t command_size,
                     const uint8_t *out, uint8_t *in, size_t size)
{
    uintptr_t base = base_of(spi);

    if (size > SPI_TRANSFER_BYTES_MAX || command_size > SPI_TRANSFER_BYTES_MAX - size) {
        return E_INVALID;
    }
    begin(base, command_size + size);
    if (!move(base, command, NULL, command_size) || !move(base, out, in, size)) {
        mmio_write(base + CONTROL, CONTROL_MODE); /* Lets the chip go. */
        return E_IO;
    }
    return 0;
}
