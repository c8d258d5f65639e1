/*
 * A client's stdout: written without ever blocking, so that leases are extended while the
 * reader does not read, and without O_NONBLOCK, which other users of the same description would
 * get too.
 *
 *	pipe	pwritev2(RWF_NOWAIT); where the kernel knows it not for pipes, pieces of
 *		at most PIPE_BUF when poll(2) says that there is room for one
 *	socket	MSG_DONTWAIT
 *	terminal  pieces of at most PIPE_BUF, as above
 *	others	write(2), which does not wait for a reader
 */
#ifndef RMQ_SYS_STREAM_OUTPUT_H
#define RMQ_SYS_STREAM_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum output_kind { OUTPUT_FILE, OUTPUT_PIPE, OUTPUT_SOCKET, OUTPUT_TERMINAL };

struct output {
	int fd;
	enum output_kind kind;
	bool no_nowait;	  /* the kernel has no RWF_NOWAIT for pipes */
	bool syncable;	  /* fdatasync(2) makes sense */
	uint64_t written; /* bytes, so far */
};

/* 0, or errno. */
int output_open(struct output *o, int fd);

/* How many bytes were taken (*error 0), or none: EAGAIN (the reader is slow), EPIPE, …. */
size_t output_write(struct output *o, const void *bytes, size_t len, int *error);

/*
 * Writing has failed after the first `torn` bytes of a record.  They are cut off again, so that
 * each record in a file is whole.  If it is not a regular file, or others have written after
 * them, the separator (-1: there is none) ends them, so that the next bytes begin a record of
 * their own.  Returns whether they stay.
 */
bool output_leaves_torn(struct output *o, size_t torn, int separator);

/* How many of the bytes written were taken out by the reader.  Only of a pipe. */
uint64_t output_consumed(const struct output *o);

/* So many of `len` bytes may be taken now, at most. */
size_t output_room(const struct output *o, size_t len);

/* Events for poll(2) that say that the reader is gone: it can be noticed when idle. */
bool output_notices_close(const struct output *o);

#endif
