/*
 * A client's connection through a gate: one stream (gate_wire.h) at a time over an encrypted link of
 * role CLIENT, which outlives its streams.  Pure, as link.h, which it is made of.
 *
 * What comes is opened to where the stream's bytes are wanted, and what goes is sealed where it
 * was put: so each byte is copied once on its way out, and on its way in mostly not at all.
 */
#ifndef RMQ_CORE_LINK_CLIENT_LINK_H
#define RMQ_CORE_LINK_CLIENT_LINK_H

#include "core/link/gate_flow.h"
#include "core/link/link.h"
#include "core/wire/gate_wire.h"

/* The most that a frame other than DATA takes, its header included. */
#define CLIENT_LINK_FRAME_MAX (32u << 10)

struct client_link {
	struct link link;
	struct gate_flow flow;
	uint32_t stream; /* the newest one's number */
	bool opened;	 /* its OPEN was put into a record */
	uint32_t coming; /* bytes of the newest DATA that have not come yet */
	bool unwanted;	 /* these are of a stream that is over */
	bool over;	 /* nothing more comes of the stream */
	enum rmq_error code;
	/* The gates of the cluster: GATE_CONTACT each, borrowed for the call. */
	void (*contacts)(void *arg, struct slice contacts);
	void *arg;
};

/*
 * What has come and is not taken yet, in memory of the caller, who also has CLIENT_LINK_HEAD bytes
 * before it: bytes of the stream up to `data`, and from there to `end` what is no whole frame of the
 * gate's.  The caller takes from the start, and moves the rest there.
 */
#define CLIENT_LINK_HEAD GATE_DATA_HEAD
struct client_link_in {
	uint8_t *bytes;
	size_t cap;
	size_t data;
	size_t end;
};

/* The stream's bytes are not wanted. */
static inline void client_link_in_drop(struct client_link_in *in)
{
	in->end -= in->data;
	if (in->end > 0)
		memmove(in->bytes, in->bytes + in->data, in->end);
	in->data = 0;
}

/*
 * Begins, as link_initiate() does, whose errors it has; what is put into `out` is sent.
 * id->role is not minded.  `contacts` (NULL: nobody is told) is called from client_link_receive().
 */
enum rmq_error client_link_begin(struct client_link *c, const struct link_identity *id,
    const uint8_t responder[KEY_SIZE], struct writer *out,
    void (*contacts)(void *arg, struct slice contacts), void *arg)
    __attribute__((warn_unused_result));

/* Wipes it. */
void client_link_deinit(struct client_link *c);

/* Whether the gate has proved its key, so that the stream's bytes may be sent. */
static inline bool client_link_up(const struct client_link *c)
{
	return link_can_send(&c->link);
}

/* Whether `in` has room for one more record.  It has, if the caller took whole frames of the stream. */
static inline bool client_link_room(const struct client_link_in *in)
{
	return in->cap - in->end >= LINK_PLAIN_MAX;
}

/*
 * Takes one message or record, as link_receive() does, whose errors it has; there must be room in
 * `in`.  RMQ_E_PROTOCOL as well: what came is not what a gate says.  c->over: the stream is at its
 * end, by the gate's CLOSE (with c->code) or the link's (link_ended()); all before it is in `in`.
 */
enum rmq_error client_link_receive(struct client_link *c, struct slice raw, size_t *used,
    struct client_link_in *in, struct writer *out) __attribute__((warn_unused_result));

/*
 * Makes one record of what is to be sent: of the pieces, bytes of the stream, the first *taken, as many
 * as a record and credit permit.  `waiting`: bytes that have come and wait in `in`, for credit.  *size 0:
 * there is nothing to send.  `record` has room for CLIENT_LINK_RECORD_MAX; no piece stands there.
 * Errors as of link_seal().
 */
#define CLIENT_LINK_RECORD_MAX LINK_STEP_MAX
#define CLIENT_LINK_PIECES_MAX (LINK_PIECES_MAX - 1)
enum rmq_error client_link_seal(struct client_link *c, const struct slice *pieces, size_t count,
    size_t waiting, uint8_t *record, size_t *taken, size_t *size)
    __attribute__((warn_unused_result));

/* Appends the stream's end, if it is not over: what comes of it is dropped.  Errors as of link_send(). */
enum rmq_error client_link_leave(struct client_link *c, struct writer *out)
    __attribute__((warn_unused_result));
/* Another stream, after one that is over, if the link is not. */
void client_link_next(struct client_link *c);

/* Appends the end of the stream and of the link, CLIENT_LINK_CLOSE_SIZE bytes at most. */
#define CLIENT_LINK_CLOSE_SIZE (2 * LINK_OVERHEAD + FRAME_HEADER_SIZE + 5)
enum rmq_error client_link_close(struct client_link *c, struct writer *out)
    __attribute__((warn_unused_result));

#endif
