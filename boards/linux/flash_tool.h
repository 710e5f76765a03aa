/* flash_tool.h - `tocsin flash --board NAME ...`: flash images for boards.
 *
 * Each board has a program of its own, tocsin-flash-NAME (tools/flash), made of the board's own
 * code with the board's own sizes, which are smaller than this program's: what does not fit into
 * the device is refused there. It is looked for beside this program, then in PATH.
 */
#ifndef TOCSIN_BOARDS_LINUX_FLASH_TOOL_H
#define TOCSIN_BOARDS_LINUX_FLASH_TOOL_H

/* argv: what is behind `flash`. Becomes the board's program, or returns an exit code of
 * sysexits.h. The rights of the group must have been given up before. */
int flash_tool(int argc, const char *argv[]);

#endif
