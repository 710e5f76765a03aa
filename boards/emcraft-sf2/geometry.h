/* geometry.h - the flash of this board, for the firmware and for the tool that writes images. */
#ifndef TOCSIN_BOARD_GEOMETRY_H
#define TOCSIN_BOARD_GEOMETRY_H

#define BOARD_NAME "emcraft-sf2"

/* Spansion S25FL128S-family SPI NOR: 64 KB blocks, 256-byte pages. */
#define FLASH_SIZE_BYTES (16u << 20)
#define FLASH_ERASE_BYTES (64u << 10)
#define FLASH_PAGE_BYTES 256u
#define FLASH_PROGRAM_BYTES 1u
#define FLASH_ERASED 0xFFu

/* The last 1 MB; what is below belongs to the board's owner. */
#define FLASH_CONFIG_BASE (15u << 20)
#define FLASH_CONFIG_BYTES (2u * FLASH_ERASE_BYTES)
#define FLASH_LOG_BASE (FLASH_CONFIG_BASE + FLASH_CONFIG_BYTES)
#define FLASH_LOG_BYTES (14u * FLASH_ERASE_BYTES)

#endif
