/*
 * The cipher of links as OpenSSL's libcrypto has it, which on most machines takes a third of the
 * time of libsodium's for large records.  Loaded when it is asked for, and not by each program that
 * is started: to load it takes longer than to send a message.
 */
#ifndef RMQ_SYS_NET_FAST_CIPHER_H
#define RMQ_SYS_NET_FAST_CIPHER_H

#include "core/link/noise.h"

/*
 * The first call loads it, in 2 ms; needs files of the library's, and to make memory executable: a
 * daemon calls it before it enters its sandbox.  Later ones cost nothing.  It stays for good.  NULL:
 * there is no such library here, or it does not seal and open as libsodium does.  One thread.
 */
const struct noise_fast *fast_cipher(void);

#endif
