/* System calls that go on after a signal, and wait where the call would block. */
#ifndef RMQ_SYS_STREAM_IO_H
#define RMQ_SYS_STREAM_IO_H

#include <stddef.h>
#include <sys/types.h>

/* Writes all of it, waiting as long as that takes.  0, or errno. */
int io_write(int fd, const void *bytes, size_t len) __attribute__((warn_unused_result));

/* Reads once, waiting until something is there.  Bytes, 0 at the end, -1: errno. */
ssize_t io_read(int fd, void *bytes, size_t len) __attribute__((warn_unused_result));

/*
 * A file of the directory that we made, maybe as root, belongs to whom `like` does: another one of
 * it, or ".".  It is not opened, which would cost the locks (fcntl) that this process has on it.
 * 0, or errno.
 */
int io_keep_owner(int dir_fd, const char *name, const char *like)
    __attribute__((warn_unused_result));

#endif
