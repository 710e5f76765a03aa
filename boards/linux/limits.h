/* limits.h - the sizes that are other on a system with memory than on a device: included before
 * everything else (-include), so that net/ and firmware/ are compiled as they stand. */
#ifndef TOCSIN_BOARDS_LINUX_LIMITS_H
#define TOCSIN_BOARDS_LINUX_LIMITS_H

#include <stdint.h>

#define TOCSIN_HOSTED 1 /* There are files, users, and a system clock: firmware/config_keys.h. */

#define SMTP_RCPT_MAX 30
#define SMTP_TX_BYTES 16384 /* Fewer, larger records and writes. */
#define SMTP_DSN 1          /* NOTIFY, RET and ENVID of RFC 3461 are told (net/smtp.h). */
#define POP3_TX_BYTES 1024
#define POP3_RX_BYTES 8192
#define POP3_UID_BYTES 256 /* Some servers have longer ones than RFC 1939 allows. */
#define POP3_REQUESTS_MAX 32
#define POP3_LISTS 1 /* All sizes in one reply (net/pop3.h). */
#define CONFIG_HOST_BYTES 256
#define CONFIG_SECRET_BYTES 512
#define CONFIG_MAILBOX_BYTES 256
#define CONFIG_TO_BYTES 4096
#define CONFIG_LINE_BYTES 4096
#define CONFIG_PATH_BYTES 256
#define CONFIG_INITIAL_BYTES 32 /* The longest default. */
#define CONFIG_KEY_MAX 112
#define LOG_BYTES 16384
#define TLS_NAME_BYTES 128
#define TLS_OUT_BYTES (16384 + 85)
#define TLS_FINDER 1 /* Anchors are looked up while the chain comes (net/tls.h). */
#if UINTPTR_MAX > 0xFFFFFFFF
#define TLS_64 1 /* RSA, AES, GHASH and Poly1305 by BearSSL's code for wide registers. */
#endif

#endif
