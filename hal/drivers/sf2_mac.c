#include "hal/drivers/sf2_mac.h"

#include "hal/arch.h"
#include "hal/clock.h"
#include "hal/drivers/mii.h"
#include "hal/idle.h"
#include "hal/mmio.h"

#include <string.h>

/* The PE-MCXMAC core and its MII management. */
#define MAC_BASE 0x40041000u
#define CFG1 (MAC_BASE + 0x00)
#define CFG1_TX_ENABLE (1u << 0)
#define CFG1_RX_ENABLE (1u << 2)
#define CFG1_RESET (1u << 31)
#define CFG2 (MAC_BASE + 0x04)
#define CFG2_FULL_DUPLEX (1u << 0)
#define CFG2_CRC_ENABLE (1u << 1)
#define CFG2_PAD_CRC (1u << 2)
#define CFG2_MODE_NIBBLE (1u << 8) /* MII. */
#define CFG2_PREAMBLE_7 (7u << 12)
#define MAX_FRAME_LENGTH (MAC_BASE + 0x10)
#define MII_CONFIG (MAC_BASE + 0x20)
#define MII_CONFIG_CLOCK_DIV_28 7u /* MDC stays below 2.5 MHz. */
#define MII_COMMAND (MAC_BASE + 0x24)
#define MII_COMMAND_READ (1u << 0)
#define MII_ADDRESS (MAC_BASE + 0x28)
#define MII_ADDRESS_PHY_SHIFT 8
#define MII_CTRL (MAC_BASE + 0x2C)
#define MII_STATUS (MAC_BASE + 0x30)
#define MII_INDICATORS (MAC_BASE + 0x34)
#define MII_INDICATORS_BUSY (1u << 0)
#define MII_INDICATORS_NOT_VALID (1u << 2)
#define STATION_ADDRESS_1 (MAC_BASE + 0x40)
#define STATION_ADDRESS_2 (MAC_BASE + 0x44)

/* The A-MCXFIFO between core and DMA. Bits 0-4 reset its five modules, 8-12 ask for them, 16-20 say
 * that they run; the receive side of the core (bit 17) says so only after the first frame. */
#define FIFO_CFG0 (MAC_BASE + 0x48)
#define FIFO_CFG0_RESET_ALL 0x0000001Fu
#define FIFO_CFG0_REQUEST_ALL 0x00001F00u
#define FIFO_CFG0_REPLIES 0x001D0000u
#define FIFO_CFG4 (MAC_BASE + 0x58) /* Frames with these properties are dropped, */
#define FIFO_CFG5 (MAC_BASE + 0x5C) /* but for the properties that are set here. */
#define FIFO_CFG5_ALL 0x0003FFFFu
#define FIFO_DROP_CODE_ERROR (1u << 3)
#define FIFO_DROP_CRC_ERROR (1u << 4)
#define FIFO_DROP_MULTICAST (1u << 8)
#define FIFO_DROPS (FIFO_DROP_CODE_ERROR | FIFO_DROP_CRC_ERROR | FIFO_DROP_MULTICAST)

/* The DMA engine. */
#define DMA_TX_CTRL (MAC_BASE + 0x180)
#define DMA_TX_DESC (MAC_BASE + 0x184)
#define DMA_TX_STATUS (MAC_BASE + 0x188)
#define DMA_TX_STATUS_PKT_SENT (1u << 0) /* Writing it takes one off the count. */
#define DMA_TX_STATUS_UNDERRUN (1u << 1)
#define DMA_RX_CTRL (MAC_BASE + 0x18C)
#define DMA_CTRL_ENABLE (1u << 0)
#define DMA_RX_DESC (MAC_BASE + 0x190)
#define DMA_RX_STATUS (MAC_BASE + 0x194)
#define DMA_RX_STATUS_PKT_RCVD (1u << 0) /* Likewise. */
#define DMA_RX_STATUS_OVERFLOW (1u << 2)
#define DMA_IRQ_MASK (MAC_BASE + 0x198)
#define DMA_IRQ_RX_PACKET (1u << 4)
#define DMA_IRQ_RX_OVERFLOW (1u << 6)

/* EMPTY: receive: the chip may fill it; transmit: it has been sent. */
#define DESCRIPTOR_EMPTY (1u << 31)
#define DESCRIPTOR_SIZE 0xFFFu

/* MAC configuration in the system registers: the PHY interface and the line's speed. */
#define SYSREG_MAC_CR 0x4003808Cu
#define MAC_CR_SPEED_MASK 0x03u
#define MAC_CR_SPEED_10 0x00u
#define MAC_CR_SPEED_100 0x01u
#define MAC_CR_INTERFACE_MASK (7u << 2)
#define MAC_CR_INTERFACE_MII (3u << 2)

#define FRAME_BYTES_MIN 60u
#define FIFO_TIMEOUT_MS 100
#define MII_TIMEOUT_MS 5 /* A cycle takes 26 us. */

static struct sf2_mac *mac_of(const struct nic *nic)
{
    return nic->context;
}

/* The register's 16 bits, or MII_ABSENT, also when the cycle did not end. */
static uint32_t phy_read(const struct sf2_mac *mac, uint32_t number)
{
    struct clock_timeout timeout = clock_timeout(MII_TIMEOUT_MS);

    mmio_write(MII_ADDRESS, (uint32_t)mac->phy_address << MII_ADDRESS_PHY_SHIFT | number);
    mmio_write(MII_COMMAND, MII_COMMAND_READ);
    bool done =
        wait_for_bits(MII_INDICATORS, MII_INDICATORS_BUSY | MII_INDICATORS_NOT_VALID, 0, &timeout);
    mmio_write(MII_COMMAND, 0);
    return done ? mmio_read(MII_STATUS) & 0xFFFFu : MII_ABSENT;
}

static void core_init(const uint8_t address[6])
{
    mmio_write(DMA_RX_CTRL, 0);
    mmio_write(DMA_TX_CTRL, 0);
    mmio_write(DMA_IRQ_MASK, 0);
    mmio_write(SYSREG_MAC_CR,
               (mmio_read(SYSREG_MAC_CR) & ~MAC_CR_INTERFACE_MASK) | MAC_CR_INTERFACE_MII);
    mmio_write(CFG1, CFG1_RESET);
    mmio_write(CFG1, 0);
    mmio_write(MII_CONFIG, MII_CONFIG_CLOCK_DIV_28);
    mmio_write(CFG2, CFG2_FULL_DUPLEX | CFG2_CRC_ENABLE | CFG2_PAD_CRC | CFG2_MODE_NIBBLE |
                         CFG2_PREAMBLE_7);
    mmio_write(MAX_FRAME_LENGTH, SF2_MAC_BUFFER_BYTES);
    mmio_write(STATION_ADDRESS_1, (uint32_t)address[0] << 24 | (uint32_t)address[1] << 16 |
                                      (uint32_t)address[2] << 8 | address[3]);
    mmio_write(STATION_ADDRESS_2, (uint32_t)address[4] << 24 | (uint32_t)address[5] << 16);
    mmio_write(FIFO_CFG4, FIFO_DROPS);
    mmio_write(FIFO_CFG5, FIFO_CFG5_ALL & ~FIFO_DROPS);
}

static void rings_init(struct sf2_mac *mac)
{
    for (unsigned i = 0; i < SF2_MAC_RX_COUNT; i++) {
        mac->rx[i].buffer = mac->rx_buffers[i];
        mac->rx[i].size = DESCRIPTOR_EMPTY;
        mac->rx[i].next = (struct sf2_mac_descriptor *)&mac->rx[(i + 1) % SF2_MAC_RX_COUNT];
    }
    for (unsigned i = 0; i < SF2_MAC_TX_COUNT; i++) {
        mac->tx[i].buffer = mac->tx_buffers[i];
        mac->tx[i].size = DESCRIPTOR_EMPTY;
        mac->tx[i].next = (struct sf2_mac_descriptor *)&mac->tx[(i + 1) % SF2_MAC_TX_COUNT];
    }
    mac->rx_next = mac->tx_next = mac->tx_oldest = mac->tx_pending = 0;
    arch_barrier();
}

static void rx_start(struct sf2_mac *mac)
{
    arch_barrier();
    mmio_write(DMA_RX_DESC, (uint32_t)(uintptr_t)&mac->rx[mac->rx_next]);
    mmio_write(DMA_RX_CTRL, DMA_CTRL_ENABLE);
}

int sf2_mac_init(const struct nic *nic, uint8_t address[6])
{
    struct sf2_mac *mac = mac_of(nic);
    struct clock_timeout timeout = clock_timeout(FIFO_TIMEOUT_MS);

    mac->link_up = false;
    mac->stats = (struct nic_stats){0};
    core_init(address);
    rings_init(mac);

    mmio_write(FIFO_CFG0, FIFO_CFG0_RESET_ALL);
    mmio_write(FIFO_CFG0, 0);
    mmio_write(FIFO_CFG0, FIFO_CFG0_REQUEST_ALL);
    if (!wait_for_bits(FIFO_CFG0, FIFO_CFG0_REPLIES, FIFO_CFG0_REPLIES, &timeout) ||
        phy_read(mac, MII_BMSR) == MII_ABSENT) {
        return E_IO;
    }
    rx_start(mac);
    mmio_write(CFG1, CFG1_TX_ENABLE | CFG1_RX_ENABLE);
    mmio_write(DMA_IRQ_MASK, DMA_IRQ_RX_PACKET | DMA_IRQ_RX_OVERFLOW);
    return 0;
}

/* The core has to be told what the PHY agreed on with its partner. */
static void link_apply(const struct sf2_mac *mac)
{
    uint32_t common = phy_read(mac, MII_ANAR) & phy_read(mac, MII_ANLPAR);
    bool speed_100 = (common & (MII_AN_100_FULL | MII_AN_100_HALF)) != 0;
    bool full = (common & MII_AN_100_FULL) != 0 || (!speed_100 && (common & MII_AN_10_FULL) != 0);

    mmio_write(SYSREG_MAC_CR, (mmio_read(SYSREG_MAC_CR) & ~MAC_CR_SPEED_MASK) |
                                  (speed_100 ? MAC_CR_SPEED_100 : MAC_CR_SPEED_10));
    if (full) {
        mmio_set(CFG2, CFG2_FULL_DUPLEX);
    } else {
        mmio_clear(CFG2, CFG2_FULL_DUPLEX);
    }
}

bool sf2_mac_link_up(const struct nic *nic)
{
    struct sf2_mac *mac = mac_of(nic);

    (void)phy_read(mac, MII_BMSR);
    uint32_t status = phy_read(mac, MII_BMSR);
    bool up = status != MII_ABSENT && (status & MII_BMSR_LINK) != 0;
    if (up && !mac->link_up) {
        link_apply(mac);
    }
    mac->link_up = up;
    return up;
}

/* Takes back what was sent, and starts the engine again where it stopped before a frame that was
 * queued just too late for it to see. */
static void tx_service(struct sf2_mac *mac)
{
    while (mac->tx_pending > 0 && (mac->tx[mac->tx_oldest].size & DESCRIPTOR_EMPTY) != 0) {
        mmio_write(DMA_TX_STATUS, DMA_TX_STATUS_PKT_SENT);
        mac->tx_oldest = (uint8_t)((mac->tx_oldest + 1u) % SF2_MAC_TX_COUNT);
        mac->tx_pending--;
    }
    if (mac->tx_pending > 0 && (mmio_read(DMA_TX_CTRL) & DMA_CTRL_ENABLE) == 0) {
        mmio_write(DMA_TX_STATUS, DMA_TX_STATUS_UNDERRUN);
        mmio_write(DMA_TX_DESC, (uint32_t)(uintptr_t)&mac->tx[mac->tx_oldest]);
        mmio_write(DMA_TX_CTRL, DMA_CTRL_ENABLE);
    }
}

int sf2_mac_send(const struct nic *nic, const struct nic_fragment *fragments, size_t count)
{
    struct sf2_mac *mac = mac_of(nic);
    size_t size = 0;

    for (size_t i = 0; i < count; i++) {
        if (fragments[i].size > NIC_FRAME_BYTES - size) {
            return E_INVALID;
        }
        size += fragments[i].size;
    }
    tx_service(mac);
    if (mac->tx_pending == SF2_MAC_TX_COUNT) {
        return E_SPACE;
    }

    volatile struct sf2_mac_descriptor *descriptor = &mac->tx[mac->tx_next];
    uint8_t *to = mac->tx_buffers[mac->tx_next];
    for (size_t i = 0; i < count; i++) {
        memcpy(to, fragments[i].bytes, fragments[i].size);
        to += fragments[i].size;
    }
    if (size < FRAME_BYTES_MIN) {
        memset(to, 0, FRAME_BYTES_MIN - size); /* Never what an earlier frame left there. */
        size = FRAME_BYTES_MIN;
    }
    arch_barrier();
    descriptor->size = (uint32_t)size; /* Without EMPTY it is the chip's. */
    arch_barrier();
    mac->tx_next = (uint8_t)((mac->tx_next + 1u) % SF2_MAC_TX_COUNT);
    mac->tx_pending++;
    mac->stats.tx_frames++;
    tx_service(mac);
    return 0;
}

/* An overflow stops the engine in front of the oldest frame not taken. Once all have been, it goes
 * on there. */
static void rx_recover(struct sf2_mac *mac)
{
    if (mmio_read(DMA_RX_STATUS) & DMA_RX_STATUS_OVERFLOW) {
        mac->stats.rx_overflows++;
        mmio_write(DMA_RX_STATUS, DMA_RX_STATUS_OVERFLOW);
        rx_start(mac);
    }
}

static void rx_recycle(struct sf2_mac *mac)
{
    arch_barrier();
    mac->rx[mac->rx_next].size = DESCRIPTOR_EMPTY;
    mac->rx_next = (uint8_t)((mac->rx_next + 1u) % SF2_MAC_RX_COUNT);
    mmio_write(DMA_RX_STATUS, DMA_RX_STATUS_PKT_RCVD);
}

const uint8_t *sf2_mac_rx_buf(const struct nic *nic, size_t *size)
{
    struct sf2_mac *mac = mac_of(nic);

    tx_service(mac);
    /* Each turn gives a buffer back, so that a flood of long frames holds nobody up for good. */
    for (unsigned turn = 0; turn < SF2_MAC_RX_COUNT; turn++) {
        uint32_t flags = mac->rx[mac->rx_next].size;
        if (flags & DESCRIPTOR_EMPTY) {
            rx_recover(mac);
            break;
        }
        arch_barrier();
        *size = flags & DESCRIPTOR_SIZE;
        if (*size > 0 && *size <= NIC_FRAME_BYTES) {
            return mac->rx_buffers[mac->rx_next];
        }
        mac->stats.rx_dropped++;
        rx_recycle(mac);
    }
    mmio_write(DMA_IRQ_MASK, DMA_IRQ_RX_PACKET | DMA_IRQ_RX_OVERFLOW);
    *size = 0;
    return NULL;
}

void sf2_mac_rx_ack(const struct nic *nic)
{
    struct sf2_mac *mac = mac_of(nic);

    mac->stats.rx_frames++;
    rx_recycle(mac);
    mmio_write(DMA_IRQ_MASK, DMA_IRQ_RX_PACKET | DMA_IRQ_RX_OVERFLOW);
}

void sf2_mac_stats(const struct nic *nic, struct nic_stats *stats)
{
    *stats = mac_of(nic)->stats;
}

/* The line stays high while frames wait, so it is held back until somebody comes for one. */
void sf2_mac_interrupt(void)
{
    mmio_write(DMA_IRQ_MASK, 0);
    idle_wake();
}
