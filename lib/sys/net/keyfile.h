/*
 * Files that hold a secret key: text, three lines, see rmq-keygen(1).  They must be private: a
 * regular file, ours, without rights for group and others; or root's, which its group, or whom an
 * access list names (that shows as the group's), may read: so supervisors hand secrets out.
 */
#ifndef RMQ_SYS_NET_KEYFILE_H
#define RMQ_SYS_NET_KEYFILE_H

#include "core/link/key.h"
#include "sys/process/reason.h"

/* Where a client's key is: in RMQ_KEYFILE, see user_file_find(). */
#define KEYFILE_VARIABLE "RMQ_KEYFILE"
#define KEYFILE_NAME	 "key"

/* A new, random one.  A program calls sodium_init() before. */
void keypair_make(struct keypair *pair);

/* Wipes it. */
void keypair_wipe(struct keypair *pair);

/*
 * Writes it to a new file, mode 0600, durably and whole, or not at all.  RMQ_E_EXISTS: the name
 * is taken; RMQ_E_DENIED; RMQ_E_IO.
 */
enum rmq_error keyfile_create(const char *path, const struct keypair *pair, struct reason *why)
    __attribute__((warn_unused_result));

/*
 * Reads one.  RMQ_E_DENIED: others may read or write it, it is of another user, or we may not read it;
 * RMQ_E_CONFIG: no such file; RMQ_E_BAD_DATA: it holds no key, or one that was damaged;
 * RMQ_E_VERSION: of another format; RMQ_E_IO.
 */
enum rmq_error keyfile_read(const char *path, struct keypair *pair, struct reason *why)
    __attribute__((warn_unused_result));

#endif
