/* geometry.h - the flash of this board, for the firmware and for the tool that writes images. */
#ifndef TOCSIN_BOARD_GEOMETRY_H
#define TOCSIN_BOARD_GEOMETRY_H

#define BOARD_NAME "vexpress-a9"

/* The second CFI NOR bank (Intel command set): two 16-bit parts side by side, 256 KB blocks. */
#define FLASH_SIZE_BYTES (64u << 20)
#define FLASH_ERASE_BYTES (256u << 10)
#define FLASH_PAGE_BYTES 256u
#define FLASH_PROGRAM_BYTES 4u
#define FLASH_ERASED 0xFFu

/* The last 2 MB; what is below belongs to the board's owner. */
#define FLASH_CONFIG_BASE (62u << 20)
#define FLASH_CONFIG_BYTES (2u * FLASH_ERASE_BYTES)
#define FLASH_LOG_BASE (FLASH_CONFIG_BASE + FLASH_CONFIG_BYTES)
#define FLASH_LOG_BYTES (6u * FLASH_ERASE_BYTES)

#endif
