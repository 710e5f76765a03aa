/* extract.h - an image's contents as files. */
#ifndef TOCSIN_TOOLS_FLASH_EXTRACT_H
#define TOCSIN_TOOLS_FLASH_EXTRACT_H

/* folder NULL: one beside the image, with its name and ".d". */
int command_extract(const char *path, const char *folder);

#endif
