/*
 * The journal's end of a connection: frames in, of which one type is big and is read straight
 * to where its bytes belong; answers out.  Private to journal_server.c and replica_server.c.
 */
#ifndef RMQ_SYS_JOURNAL_JOURNAL_IO_H
#define RMQ_SYS_JOURNAL_JOURNAL_IO_H

#include "core/wire/journal_wire.h"
#include "sys/process/reason.h"

#define JOURNAL_IO_IN  (2 * (FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX))
#define JOURNAL_IO_OUT 65536

struct journal_io {
	int fd;
	struct reason *why; /* of a failure */
	int watch;	    /* a store_watch_open() */
	bool
	    poked; /* it had something; the owner is to commit, and so to go on in a new file */
	bool eof;
	/* what the opener did wrong: it is told once all before it is stored */
	enum rmq_error refused;
	struct reason refusal;
	/* input: [begin, end) is not taken yet */
	size_t begin;
	size_t end;
	uint8_t in[JOURNAL_IO_IN];
	struct writer out;
	uint8_t out_buffer[JOURNAL_IO_OUT];
};

void journal_io_init(struct journal_io *io, int fd, int watch, struct reason *why);

/* Notes it, and returns RMQ_E_NOTHING. */
enum rmq_error journal_io_refuse(struct journal_io *io, enum rmq_error code, const char *text);

/* Whether something can be read within so many ms, -1: for ever; or until it is poked. */
bool journal_io_readable(struct journal_io *io, int timeout_ms);

/* Whether the other end was closed within so many ms. */
bool journal_io_gone(struct journal_io *io, int timeout_ms);

/* A frame; or the first fields of a big one, and how many bytes of it follow. */
struct journal_io_frame {
	uint8_t type;
	bool big;
	struct slice payload; /* borrowed until the next call */
	size_t rest;
};

/*
 * The next frame, which is taken.  A frame of type `big_type` is big if its payload has at
 * least `big_head` bytes.  RMQ_E_NOTHING: there is none now, or, with `wait`, ever: io->eof,
 * io->refused.  RMQ_E_IO: the socket failed.
 */
enum rmq_error journal_io_next(struct journal_io *io, uint8_t big_type, size_t big_head,
    bool wait, struct journal_io_frame *f) __attribute__((warn_unused_result));

/*
 * Bytes of the rest of a big frame: *got of them, at least one unless `len` is 0.
 * RMQ_E_NOTHING: none now, or, with `wait`, the end of input.
 */
enum rmq_error journal_io_read(struct journal_io *io, uint8_t *to, size_t len, bool wait,
    size_t *got) __attribute__((warn_unused_result));

/*
 * Gives a big frame back: what was read of its rest, and its header with the first fields,
 * `head`.  Only after journal_io_read() said RMQ_E_NOTHING.
 */
void journal_io_unread(
    struct journal_io *io, struct slice head, const uint8_t *rest, size_t rest_len);

/* The same right after journal_io_next(), when nothing of its rest was read: it comes again. */
void journal_io_put_back(struct journal_io *io, const struct journal_io_frame *f);

/* Sends what was put into io->out.  RMQ_E_OK too if nobody reads any more. */
enum rmq_error journal_io_send(struct journal_io *io) __attribute__((warn_unused_result));

#endif
