/* geometry.h - the device's flash on Linux, which is a file (flash_file.h). */
#ifndef TOCSIN_BOARDS_LINUX_GEOMETRY_H
#define TOCSIN_BOARDS_LINUX_GEOMETRY_H

#define BOARD_NAME "linux"

#define FLASH_SIZE_BYTES (512u << 10)
#define FLASH_ERASE_BYTES 4096u
#define FLASH_PAGE_BYTES 4096u
#define FLASH_PROGRAM_BYTES 4u
#define FLASH_ERASED 0xFFu

/* The first block says what the file is; then two slots, each for a text of 32 KB; then the log. */
#define FLASH_CONFIG_BASE FLASH_ERASE_BYTES
#define FLASH_CONFIG_BYTES (2u * 9u * FLASH_ERASE_BYTES)
#define FLASH_LOG_BASE (FLASH_CONFIG_BASE + FLASH_CONFIG_BYTES)
#define FLASH_LOG_BYTES (FLASH_SIZE_BYTES - FLASH_LOG_BASE)

#endif
