#include "hal/drivers/lan9118.h"

#include "hal/clock.h"
#include "hal/drivers/mii.h"
#include "hal/idle.h"
#include "hal/mmio.h"

#include <string.h>

#define RX_DATA_FIFO 0x00u
#define TX_DATA_FIFO 0x20u
#define TX_COMMAND_A_FIRST (1u << 13)
#define TX_COMMAND_A_LAST (1u << 12)
#define RX_STATUS_FIFO 0x40u
#define RX_STATUS_ERROR (1u << 15)
#define RX_STATUS_LENGTH_SHIFT 16
#define RX_STATUS_LENGTH_MASK 0x3FFFu
#define TX_STATUS_FIFO 0x48u
#define TX_STATUS_ERROR (1u << 15)
#define ID_REV 0x50u
#define IRQ_CFG 0x54u
#define IRQ_CFG_PUSH_PULL (1u << 0)
#define IRQ_CFG_ACTIVE_HIGH (1u << 4)
#define IRQ_CFG_ENABLE (1u << 8)
#define INT_STS 0x58u
#define INT_EN 0x5Cu
#define INT_RSFL (1u << 3)   /* More received frames than the level in FIFO_INT. */
#define INT_RXDFH (1u << 23) /* The counter of dropped frames is half full. */
#define BYTE_TEST 0x64u
#define BYTE_TEST_VALUE 0x87654321u
#define FIFO_INT 0x68u
#define FIFO_INT_TX_LEVEL (0x48u << 24)
#define RX_CFG 0x6Cu
#define TX_CFG 0x70u
#define TX_CFG_ON (1u << 1)
#define HW_CFG 0x74u
#define HW_CFG_SOFT_RESET (1u << 0)
#define HW_CFG_TX_FIFO_5_KB (5u << 16)
#define HW_CFG_MUST_BE_ONE (1u << 20)
#define RX_FIFO_INF 0x7Cu
#define RX_FIFO_INF_FRAMES(value) ((value) >> 16 & 0xFFu)
#define TX_FIFO_INF 0x80u
#define TX_FIFO_INF_FREE(value) (0xFFFFu & (value))
#define TX_FIFO_INF_STATUSES(value) ((value) >> 16 & 0xFFu)
#define PMT_CTRL 0x84u
#define PMT_CTRL_READY (1u << 0)
#define RX_DROP 0xA0u /* Cleared by reading. */
#define MAC_CSR_CMD 0xA4u
#define MAC_CSR_CMD_BUSY (1u << 31)
#define MAC_CSR_CMD_READ (1u << 30)
#define MAC_CSR_DATA 0xA8u
#define AFC_CFG 0xACu
#define AFC_CFG_RECOMMENDED 0x006E3740u
#define E2P_CMD 0xB0u
#define E2P_CMD_BUSY (1u << 31)

/* Behind MAC_CSR_CMD. */
#define MAC_CR 1u
#define MAC_CR_RXEN (1u << 2)
#define MAC_CR_TXEN (1u << 3)
#define MAC_CR_FDPX (1u << 20)
#define ADDRH 2u
#define ADDRL 3u
#define MII_ACC 6u
#define MII_ACC_BUSY (1u << 0)
#define MII_ACC_WRITE (1u << 1)
#define MII_ACC_REGISTER_SHIFT 6
#define MII_ACC_PHY_1 (1u << 11)
#define MII_DATA 7u

#define RESET_TIMEOUT_MS 200
#define CSR_TIMEOUT_MS 5

#define FRAME_BYTES_MIN 60u
#define FCS_BYTES 4u
#define COMMAND_BYTES 8u

static struct lan9118 *chip_of(const struct nic *nic)
{
    return nic->context;
}

static uint32_t get(const struct lan9118 *chip, uint32_t offset)
{
    return mmio_read(chip->base + offset);
}

static void set(const struct lan9118 *chip, uint32_t offset, uint32_t value)
{
    mmio_write(chip->base + offset, value);
}

static bool mac_idle(const struct lan9118 *chip)
{
    struct clock_timeout timeout = clock_timeout(CSR_TIMEOUT_MS);

    return wait_for_bits(chip->base + MAC_CSR_CMD, MAC_CSR_CMD_BUSY, 0, &timeout);
}

static bool mac_write(const struct lan9118 *chip, uint32_t number, uint32_t value)
{
    if (!mac_idle(chip)) {
        return false;
    }
    set(chip, MAC_CSR_DATA, value);
    set(chip, MAC_CSR_CMD, MAC_CSR_CMD_BUSY | number);
    return mac_idle(chip);
}

static bool mac_read(const struct lan9118 *chip, uint32_t number, uint32_t *value)
{
    if (!mac_idle(chip)) {
        return false;
    }
    set(chip, MAC_CSR_CMD, MAC_CSR_CMD_BUSY | MAC_CSR_CMD_READ | number);
    if (!mac_idle(chip)) {
        return false;
    }
    *value = get(chip, MAC_CSR_DATA);
    return true;
}

static bool phy_idle(const struct lan9118 *chip)
{
    struct clock_timeout timeout = clock_timeout(CSR_TIMEOUT_MS);
    uint32_t value;
    bool over;

    do {
        over = clock_timeout_over(&timeout);
        if (!mac_read(chip, MII_ACC, &value)) {
            return false;
        }
        if (!(value & MII_ACC_BUSY)) {
            return true;
        }
    } while (!over);
    return false;
}

/* The register's 16 bits, or MII_ABSENT, also when the chip did not answer. */
static uint32_t phy_read(const struct lan9118 *chip, uint32_t number)
{
    uint32_t value;

    if (!phy_idle(chip) ||
        !mac_write(chip, MII_ACC,
                   MII_ACC_PHY_1 | number << MII_ACC_REGISTER_SHIFT | MII_ACC_BUSY) ||
        !phy_idle(chip) || !mac_read(chip, MII_DATA, &value)) {
        return MII_ABSENT;
    }
    return value & 0xFFFFu;
}

static bool phy_write(const struct lan9118 *chip, uint32_t number, uint32_t value)
{
    return phy_idle(chip) && mac_write(chip, MII_DATA, value) &&
           mac_write(chip, MII_ACC,
                     MII_ACC_PHY_1 | number << MII_ACC_REGISTER_SHIFT | MII_ACC_WRITE |
                         MII_ACC_BUSY) &&
           phy_idle(chip);
}

static bool soft_reset(const struct lan9118 *chip)
{
    struct clock_timeout timeout = clock_timeout(RESET_TIMEOUT_MS);

    if (!wait_for_bits(chip->base + PMT_CTRL, PMT_CTRL_READY, PMT_CTRL_READY, &timeout)) {
        return false;
    }
    set(chip, HW_CFG, HW_CFG_SOFT_RESET);
    return wait_for_bits(chip->base + HW_CFG, HW_CFG_SOFT_RESET, 0, &timeout) &&
           /* The reset makes the chip load its address from the EEPROM. */
           wait_for_bits(chip->base + E2P_CMD, E2P_CMD_BUSY, 0, &timeout);
}

/* The chip's address if it has one, else ours into the chip. */
static bool settle_address(const struct lan9118 *chip, uint8_t mac[6])
{
    uint32_t low;
    uint32_t high;

    if (!mac_read(chip, ADDRL, &low) || !mac_read(chip, ADDRH, &high)) {
        return false;
    }
    high &= 0xFFFFu;
    bool group = (low & 1u) != 0; /* Also all ones, as after a reset without an EEPROM. */
    if (!group && (low != 0 || high != 0)) {
        for (unsigned i = 0; i < 4; i++) {
            mac[i] = (uint8_t)(low >> 8 * i);
        }
        mac[4] = (uint8_t)high;
        mac[5] = (uint8_t)(high >> 8);
        return true;
    }
    low =
        (uint32_t)mac[0] | (uint32_t)mac[1] << 8 | (uint32_t)mac[2] << 16 | (uint32_t)mac[3] << 24;
    high = (uint32_t)mac[4] | (uint32_t)mac[5] << 8;
    return mac_write(chip, ADDRL, low) && mac_write(chip, ADDRH, high);
}

void lan9118_attach(struct lan9118 *chip, uintptr_t base)
{
    chip->base = base;
    set(chip, INT_EN, 0);
    /* The way of the line outlives the chip's soft reset. */
    set(chip, IRQ_CFG, IRQ_CFG_ACTIVE_HIGH | IRQ_CFG_PUSH_PULL);
}

int lan9118_init(const struct nic *nic, uint8_t mac[6])
{
    struct lan9118 *chip = chip_of(nic);

    chip->link_up = false;
    chip->rx_bytes = 0;
    chip->stats = (struct nic_stats){0};
    if (get(chip, BYTE_TEST) != BYTE_TEST_VALUE || !soft_reset(chip) ||
        get(chip, BYTE_TEST) != BYTE_TEST_VALUE) {
        return E_IO;
    }
    set(chip, INT_EN, 0);
    set(chip, HW_CFG, HW_CFG_MUST_BE_ONE | HW_CFG_TX_FIFO_5_KB);
    set(chip, AFC_CFG, AFC_CFG_RECOMMENDED);
    set(chip, FIFO_INT, FIFO_INT_TX_LEVEL);
    set(chip, RX_CFG, 0);
    set(chip, IRQ_CFG, IRQ_CFG_ENABLE | IRQ_CFG_ACTIVE_HIGH | IRQ_CFG_PUSH_PULL);
    if (!settle_address(chip, mac) ||
        !phy_write(chip, MII_BMCR, MII_BMCR_ANENABLE | MII_BMCR_ANRESTART) ||
        phy_read(chip, MII_BMSR) == MII_ABSENT ||
        !mac_write(chip, MAC_CR, MAC_CR_FDPX | MAC_CR_TXEN | MAC_CR_RXEN)) {
        return E_IO;
    }
    set(chip, TX_CFG, TX_CFG_ON);
    set(chip, INT_STS, 0xFFFFFFFFu);
    set(chip, INT_EN, INT_RSFL);
    return 0;
}

/* The MAC has to be told what the PHY agreed on with its partner; the speed it knows. */
static void link_apply(const struct lan9118 *chip)
{
    uint32_t common = phy_read(chip, MII_ANAR) & phy_read(chip, MII_ANLPAR);
    bool full = (common & MII_AN_100_FULL) != 0 ||
                ((common & MII_AN_100_HALF) == 0 && (common & MII_AN_10_FULL) != 0);

    (void)mac_write(chip, MAC_CR, (full ? MAC_CR_FDPX : 0) | MAC_CR_TXEN | MAC_CR_RXEN);
}

bool lan9118_link_up(const struct nic *nic)
{
    struct lan9118 *chip = chip_of(nic);

    (void)phy_read(chip, MII_BMSR);
    uint32_t status = phy_read(chip, MII_BMSR);
    bool up = status != MII_ABSENT && (status & MII_BMSR_LINK) != 0;
    if (up && !chip->link_up) {
        link_apply(chip);
    }
    chip->link_up = up;
    return up;
}

/* Sent frames leave a status each, which must not pile up. */
static void tx_statuses(struct lan9118 *chip)
{
    uint32_t count = TX_FIFO_INF_STATUSES(get(chip, TX_FIFO_INF));

    for (; count > 0; count--) {
        if (get(chip, TX_STATUS_FIFO) & TX_STATUS_ERROR) {
            chip->stats.tx_dropped++;
        }
    }
}

int lan9118_send(const struct nic *nic, const struct nic_fragment *fragments, size_t count)
{
    struct lan9118 *chip = chip_of(nic);
    uint8_t *bytes = (uint8_t *)chip->tx;
    size_t size = 0;

    /* Gathered first: the chip allows only some ways of cutting a frame into pieces. */
    for (size_t i = 0; i < count; i++) {
        if (fragments[i].size > NIC_FRAME_BYTES - size) {
            return E_INVALID;
        }
        memcpy(bytes + size, fragments[i].bytes, fragments[i].size);
        size += fragments[i].size;
    }
    size_t end = size < FRAME_BYTES_MIN ? FRAME_BYTES_MIN : size;
    memset(bytes + size, 0, end + 3 - size); /* Never what an earlier frame left there. */
    size = end;

    tx_statuses(chip);
    if (TX_FIFO_INF_FREE(get(chip, TX_FIFO_INF)) < size + 3 + COMMAND_BYTES) {
        return E_SPACE;
    }
    set(chip, TX_DATA_FIFO, TX_COMMAND_A_FIRST | TX_COMMAND_A_LAST | (uint32_t)size);
    set(chip, TX_DATA_FIFO, (uint32_t)size);
    for (size_t i = 0; i < (size + 3) / 4; i++) {
        set(chip, TX_DATA_FIFO, chip->tx[i]);
    }
    chip->stats.tx_frames++;
    return 0;
}

/* One frame from the FIFO to rx. False: it was not fit to be kept. */
static bool rx_take(struct lan9118 *chip)
{
    uint32_t status = get(chip, RX_STATUS_FIFO);
    uint32_t length = status >> RX_STATUS_LENGTH_SHIFT & RX_STATUS_LENGTH_MASK;
    uint32_t words = (length + 3) / 4;
    bool good = (status & RX_STATUS_ERROR) == 0 && length > FCS_BYTES &&
                length <= NIC_FRAME_BYTES + FCS_BYTES;

    /* What does not fit is read all the same, or the next frame would begin with it. */
    for (uint32_t i = 0; i < words; i++) {
        uint32_t word = get(chip, RX_DATA_FIFO);
        if (good) {
            chip->rx[i] = word;
        }
    }
    if (!good) {
        chip->stats.rx_dropped++;
        return false;
    }
    chip->rx_bytes = (uint16_t)(length - FCS_BYTES);
    return true;
}

/* Frames that are there after the flag is cleared but before it is let through raise it again. */
static void rx_listen(struct lan9118 *chip)
{
    chip->stats.rx_overflows += get(chip, RX_DROP);
    set(chip, INT_STS, INT_RSFL);
    if (RX_FIFO_INF_FRAMES(get(chip, RX_FIFO_INF)) > 0) {
        idle_wake();
    }
    set(chip, INT_EN, INT_RSFL);
}

const uint8_t *lan9118_rx_buf(const struct nic *nic, size_t *size)
{
    struct lan9118 *chip = chip_of(nic);

    while (chip->rx_bytes == 0) {
        if (RX_FIFO_INF_FRAMES(get(chip, RX_FIFO_INF)) == 0) {
            rx_listen(chip);
            *size = 0;
            return NULL;
        }
        (void)rx_take(chip);
    }
    *size = chip->rx_bytes;
    return (const uint8_t *)chip->rx;
}

void lan9118_rx_ack(const struct nic *nic)
{
    struct lan9118 *chip = chip_of(nic);

    chip->rx_bytes = 0;
    chip->stats.rx_frames++;
    rx_listen(chip);
}

void lan9118_stats(const struct nic *nic, struct nic_stats *stats)
{
    *stats = chip_of(nic)->stats;
}

/* The line stays high while frames wait, so it is held back until somebody comes for one. */
void lan9118_interrupt(struct lan9118 *chip)
{
    set(chip, INT_EN, 0);
    idle_wake();
}
