/* verify.h - whether an image is whole. */
#ifndef TOCSIN_TOOLS_FLASH_VERIFY_H
#define TOCSIN_TOOLS_FLASH_VERIFY_H

/* 1: something is damaged. */
int command_verify(const char *path);

#endif
