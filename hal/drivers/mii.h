/* mii.h - the PHY registers that every 10/100 PHY has (IEEE 802.3 clause 22.2.4). */
#ifndef TOCSIN_HAL_DRIVERS_MII_H
#define TOCSIN_HAL_DRIVERS_MII_H

#define MII_BMCR 0u
#define MII_BMCR_ANRESTART (1u << 9)
#define MII_BMCR_ANENABLE (1u << 12)
#define MII_BMSR 1u
#define MII_BMSR_LINK (1u << 2) /* Latches low: the second reading tells of now. */
#define MII_BMSR_ANCOMPLETE (1u << 5)
#define MII_ANAR 4u   /* What we advertise, */
#define MII_ANLPAR 5u /* and what the link partner does. */
#define MII_AN_10_FULL (1u << 6)
#define MII_AN_100_HALF (1u << 7)
#define MII_AN_100_FULL (1u << 8)

#define MII_ABSENT 0xFFFFu /* Nobody drives the line. */

#endif
