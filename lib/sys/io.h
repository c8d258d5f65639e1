/* System calls as one expects them: on with it after a signal, and where it would block. */
#ifndef RMQ_SYS_IO_H
#define RMQ_SYS_IO_H

#include <stddef.h>
#include <sys/types.h>

/* Writes all of it, waiting as long as that takes.  0, or errno. */
int io_write(int fd, const void *bytes, size_t len) __attribute__((warn_unused_result));

/* Reads once, waiting until something is there.  Bytes, 0 at the end, -1: errno. */
ssize_t io_read(int fd, void *bytes, size_t len) __attribute__((warn_unused_result));

/* The file `fd`, which we have made in a directory, belongs to whom that does.  0, or errno. */
int io_keep_owner(int fd, int dir_fd) __attribute__((warn_unused_result));

#endif
