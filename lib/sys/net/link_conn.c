/*
 * One connection.  Input: what is read stands in the block `raw`, records are opened from there
 * into the block `plain`, after a part of a frame that may stand there, and whole frames are
 * handed out from there.  Output: bytes are put to where they stand in a record, and records
 * are sealed when the socket takes them, so that on a slow socket they become large.
 *
 * A callback may end the connection.  So its memory stays until the loop has let go of it, and
 * after each callback the state is looked at again.
 */
#include "sys/net/link_conn.h"

#include <assert.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/net/link_state.h"
#include "sys/net/round_trip.h"

#define BUFFERS_MAX    8	    /* records in one write */
#define FLUSH_SIZE     (256u << 10) /* so many bytes leave without waiting for the turn's end */
#define KEEPALIVE_S    5
#define CHECKS_PER_ONE 3 /* of keep-alive, before the connection is lost */

/* ---- begin and end ---- */

static void on_closed(uv_handle_t *handle)
{
	struct link_conn *c = handle->data;
	struct link_net *net = c->net;
	struct link_block *b;
	if (--c->handles > 0)
		return;
	link_net_block_free(&net->in, c->raw);
	link_net_block_free(&net->in, c->plain);
	while ((b = STAILQ_FIRST(&c->blocks))) {
		STAILQ_REMOVE_HEAD(&c->blocks, entry);
		link_net_block_free(&net->out, b);
	}
	sodium_memzero(c, sizeof(*c));
	free(c);
	link_net_leave(net);
}

struct link_conn *link_conn_new(struct link_net *net, const struct link_conn_options *o)
{
	struct link_conn *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	if (uv_tcp_init(net->loop, &c->tcp) != 0) {
		free(c);
		return NULL;
	}
	uv_timer_init(net->loop, &c->timer);
	c->handles = 2;
	c->tcp.data = c->timer.data = c;
	c->net = net;
	c->owner = o->owner;
	c->owner_arg = o->owner_arg;
	c->events = *o->events;
	c->arg = o->arg;
	c->window = o->window;
	if (c->window.max == 0)
		c->window.max = LINK_QUEUE_MAX;
	c->user_timeout_ms = o->user_timeout_ms;
	STAILQ_INIT(&c->blocks);
	link_net_use(net);
	return c;
}

/* The host's, which may go now. */
static void parts_leave(struct link_conn *c)
{
	if (c->parts)
		c->parts->used -= c->parts_len;
	c->parts = NULL;
}

static void conn_end(struct link_conn *c)
{
	c->state = LINK_CONN_OVER;
	parts_leave(c);
	link_net_clean(c->net, c);
	if (c->begun)
		link_deinit(&c->link);
	uv_close((uv_handle_t *)&c->tcp, on_closed);
	uv_close((uv_handle_t *)&c->timer, on_closed);
}

/* It is over by itself: told to the owner, and to the host if it has it. */
static void conn_over(struct link_conn *c, enum rmq_error err, const char *why)
{
	bool up = c->state == LINK_CONN_UP;
	if (c->state == LINK_CONN_OVER)
		return;
	conn_end(c);
	if (c->owner)
		c->owner->over(c->owner_arg, c, err, why);
	if (up && c->events.down)
		c->events.down(c->arg, c, err, why);
}

void link_conn_drop(struct link_conn *c, const char *why)
{
	conn_over(c, RMQ_E_LIMIT, why);
}

void link_conn_disown(struct link_conn *c)
{
	c->owner = NULL;
}

void link_conn_cut(struct link_conn *c)
{
	if (c->state == LINK_CONN_OVER)
		return;
	conn_end(c);
	if (c->owner)
		c->owner->over(c->owner_arg, c, RMQ_E_OK, "ended by this side");
}

/* ---- output ---- */

static void conn_break(struct link_conn *c, enum rmq_error err, const char *why)
{
	if (c->broken)
		return;
	c->broken = err;
	c->why = why;
	link_net_dirty(c->net, c);
}

/* A new last output block; NULL, and the connection is broken, when out of memory. */
static struct link_block *add_block(struct link_conn *c)
{
	struct link_block *b = link_net_block(&c->net->out);
	if (!b) {
		conn_break(c, RMQ_E_LIMIT, "out of memory");
		return NULL;
	}
	STAILQ_INSERT_TAIL(&c->blocks, b, entry);
	return b;
}

/* Bytes of the wire. */
static void send_raw(struct link_conn *c, struct slice bytes)
{
	struct link_block *b = bytes.len > 0 ? add_block(c) : NULL;
	if (!b)
		return;
	memcpy(b->bytes, bytes.data, bytes.len);
	b->len = bytes.len;
	b->sealed = true;
	link_net_dirty(c->net, c);
}

static bool seal(struct link_conn *c, struct link_block *b)
{
	if (b->sealed)
		return true;
	struct slice data = slice_of(b->bytes + LINK_LENGTH_SIZE, b->data);
	enum rmq_error err = link_seal(&c->link, &data, 1, b->bytes);
	if (err) {
		conn_break(c, err, "it cannot be sealed: out of memory, or of records");
		return false;
	}
	b->len = b->data + LINK_OVERHEAD;
	b->sealed = true;
	return true;
}

/* So many bytes, from the first block on, have left. */
static void written(struct link_conn *c, size_t len)
{
	struct link_block *b;
	c->written += len;
	while (len > 0) {
		b = STAILQ_FIRST(&c->blocks);
		size_t left = b->len - b->at;
		if (len < left) {
			b->at += len;
			return;
		}
		len -= left;
		c->queued -= b->data;
		STAILQ_REMOVE_HEAD(&c->blocks, entry);
		link_net_block_free(&c->net->out, b);
	}
}

/* The first blocks, sealed.  The nonce is a counter: in the order in which they leave. */
static unsigned buffers_of(struct link_conn *c, uv_buf_t buffers[BUFFERS_MAX])
{
	struct link_block *b;
	unsigned count = 0;
	STAILQ_FOREACH (b, &c->blocks, entry) {
		if (count == BUFFERS_MAX || !seal(c, b))
			break;
		buffers[count++] =
		    uv_buf_init((char *)b->bytes + b->at, (unsigned)(b->len - b->at));
	}
	return count;
}

static void on_written(uv_write_t *request, int status)
{
	struct link_conn *c = request->data;
	c->writing = false;
	if (c->state == LINK_CONN_OVER)
		return;
	if (status < 0) {
		conn_over(c, RMQ_E_INTERRUPTED, uv_strerror(status));
		return;
	}
	written(c, c->writing_len);
	link_conn_flush(c);
	link_conn_settle(c);
}

/* The socket is full: the loop writes these when it can. */
static void write_later(struct link_conn *c, const uv_buf_t *buffers, unsigned count)
{
	c->writing_len = 0;
	for (unsigned i = 0; i < count; i++)
		c->writing_len += buffers[i].len;
	c->request.write.data = c;
	int err =
	    uv_write(&c->request.write, (uv_stream_t *)&c->tcp, buffers, count, on_written);
	if (err)
		conn_break(c, RMQ_E_INTERRUPTED, uv_strerror(err));
	else
		c->writing = true;
}

static void on_shut(uv_shutdown_t *request, int status)
{
	struct link_conn *c = request->data;
	if (status < 0)
		conn_over(c, RMQ_E_INTERRUPTED, uv_strerror(status));
}

/* All has left, CLOSE too; when the peer has read it, it ends the connection. */
static void shut(struct link_conn *c)
{
	if (c->state != LINK_CONN_CLOSING || c->shut)
		return;
	c->shut = true;
	c->shutdown.data = c;
	if (uv_shutdown(&c->shutdown, (uv_stream_t *)&c->tcp, on_shut) != 0)
		conn_break(c, RMQ_E_INTERRUPTED, "cannot be shut down");
}

void link_conn_flush(struct link_conn *c)
{
	uv_buf_t buffers[BUFFERS_MAX];
	while (!c->writing && !c->broken && c->state != LINK_CONN_OVER) {
		unsigned count = buffers_of(c, buffers);
		if (count == 0) {
			shut(c);
			return;
		}
		int n = uv_try_write((uv_stream_t *)&c->tcp, buffers, count);
		if (n > 0)
			written(c, (size_t)n);
		else if (n == UV_EAGAIN)
			write_later(c, buffers, count);
		else
			conn_break(c, RMQ_E_INTERRUPTED, uv_strerror(n));
	}
}

void link_conn_settle(struct link_conn *c)
{
	if (c->broken) {
		conn_over(c, c->broken, c->why);
		return;
	}
	if (c->state != LINK_CONN_UP || !c->above || c->queued > c->window.mark)
		return;
	c->above = false;
	if (c->events.drained)
		c->events.drained(c->arg, c);
}

/* Puts bytes to where they stand in a record. */
static bool put(struct link_conn *c, struct slice bytes)
{
	struct link_block *b = STAILQ_LAST(&c->blocks, link_block, entry);
	while (bytes.len > 0) {
		if ((!b || b->sealed || b->data == LINK_DATA_MAX) && !(b = add_block(c)))
			return false;
		size_t len =
		    LINK_DATA_MAX - b->data < bytes.len ? LINK_DATA_MAX - b->data : bytes.len;
		memcpy(b->bytes + LINK_LENGTH_SIZE + b->data, bytes.data, len);
		b->data += len;
		c->queued += len;
		bytes = slice_of(bytes.data + len, bytes.len - len);
	}
	return true;
}

/* Something was queued. */
static void added(struct link_conn *c)
{
	if (c->queued > c->window.mark)
		c->above = true;
	link_net_dirty(c->net, c);
	if (c->queued >= FLUSH_SIZE)
		link_conn_flush(c);
}

enum rmq_error link_conn_send(struct link_conn *c, const struct slice *pieces, size_t count)
{
	size_t len = 0;
	if (c->state != LINK_CONN_UP || c->broken)
		return RMQ_E_INTERRUPTED;
	for (size_t i = 0; i < count; i++)
		len += pieces[i].len;
	if (len > c->window.max - c->queued)
		return RMQ_E_FULL;
	for (size_t i = 0; i < count; i++)
		if (!put(c, pieces[i]))
			return RMQ_E_INTERRUPTED;
	added(c);
	return RMQ_E_OK;
}

uint8_t *link_conn_room(struct link_conn *c, size_t want, size_t *room)
{
	struct link_block *b = STAILQ_LAST(&c->blocks, link_block, entry);
	if (c->state != LINK_CONN_UP || c->broken || LINK_DATA_MAX > c->window.max - c->queued)
		return NULL;
	if ((!b || b->sealed || LINK_DATA_MAX - b->data < want) && !(b = add_block(c)))
		return NULL;
	*room = LINK_DATA_MAX - b->data;
	return b->bytes + LINK_LENGTH_SIZE + b->data;
}

void link_conn_filled(struct link_conn *c, size_t len)
{
	struct link_block *b = STAILQ_LAST(&c->blocks, link_block, entry);
	b->data += len;
	c->queued += len;
	if (b->data > 0) {
		added(c);
		return;
	}
	STAILQ_REMOVE(&c->blocks, b, link_block, entry);
	link_net_block_free(&c->net->out, b);
}

size_t link_conn_queued(const struct link_conn *c)
{
	return c->queued;
}

uint64_t link_conn_received(const struct link_conn *c)
{
	return c->received;
}

uint64_t link_conn_taken(const struct link_conn *c)
{
	const uv_stream_t *stream = (const uv_stream_t *)&c->tcp;
	size_t loops = c->writing ? c->writing_len - uv_stream_get_write_queue_size(stream) : 0;
	uint64_t handed = c->written + loops;
	int unacknowledged = 0;
	uv_os_fd_t fd;

	if (uv_fileno((const uv_handle_t *)&c->tcp, &fd) != 0 ||
	    ioctl(fd, SIOCOUTQ, &unacknowledged) != 0)
		return 0;
	return handed > (uint64_t)unacknowledged ? handed - (uint64_t)unacknowledged : 0;
}

static void on_close_timeout(uv_timer_t *timer)
{
	link_conn_cut(timer->data);
}

/* Nothing more is queued: it is over once all has left, or after a while. */
static void close_soon(struct link_conn *c)
{
	c->state = LINK_CONN_CLOSING;
	parts_leave(c);
	uv_timer_start(&c->timer, on_close_timeout, LINK_CLOSE_MS, 0);
	link_conn_flush(c);
}

void link_conn_close(struct link_conn *c)
{
	uint8_t record[LINK_OVERHEAD];
	struct writer w = writer_of(record, sizeof(record));
	struct link_block *b;
	if (c->state == LINK_CONN_NEW || (c->state == LINK_CONN_UP && c->broken))
		link_conn_cut(c);
	if (c->state != LINK_CONN_UP)
		return;
	STAILQ_FOREACH (b, &c->blocks, entry)
		if (!seal(c, b))
			break;
	if (!c->broken && link_close(&c->link, &w) == RMQ_E_OK)
		send_raw(c, slice_of(record, w.len));
	close_soon(c);
	const struct link_owner *owner = c->owner;
	c->owner = NULL;
	if (owner)
		owner->over(c->owner_arg, c, RMQ_E_OK, "closed by this side");
}

/* ---- input ---- */

/* How many bytes of the handshake are wanted: none of those after them are read. */
static size_t first_wanted(const struct link_conn *c)
{
	return c->begun ? link_input_max(&c->link) : LINK_FIRST_SIZE;
}

static void block_compact(struct link_block *b)
{
	memmove(b->bytes, b->bytes + b->at, b->len - b->at);
	b->len -= b->at;
	b->at = 0;
}

static size_t block_left(const struct link_block *b)
{
	return b ? b->len - b->at : 0;
}

/* The same bytes in another block. */
static void block_move(struct link_conn *c, struct link_block **b, struct link_block *to)
{
	to->at = 0;
	to->len = block_left(*b);
	if (to->len > 0)
		memcpy(to->bytes, (*b)->bytes + (*b)->at, to->len);
	link_net_block_free(&c->net->in, *b);
	*b = to;
}

/* What waits there for long is to take no more memory than it has. */
static void block_shrink(struct link_conn *c, struct link_block **b)
{
	size_t size = block_left(*b);
	struct link_block *small = malloc(sizeof(*small) + size);

	if (!small)
		return;
	*small = (struct link_block){.size = size};
	block_move(c, b, small);
}

/* An input block with room for so much more than what is not done with. */
static bool block_ready(struct link_conn *c, struct link_block **b, size_t room)
{
	if (!*b || (*b)->size < LINK_IN_SIZE) {
		struct link_block *whole = link_net_block(&c->net->in);
		if (!whole)
			return false;
		block_move(c, b, whole);
	}
	if (LINK_IN_SIZE - (*b)->len < room)
		block_compact(*b);
	return true;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
	static char unheard[LINK_PLAIN_MAX];
	struct link_conn *c = handle->data;
	(void)suggested;
	if (c->state == LINK_CONN_CLOSING)
		*buffer = uv_buf_init(unheard, sizeof(unheard));
	else if (c->state == LINK_CONN_NEW)
		*buffer = uv_buf_init((char *)c->first + c->first_len,
		    (unsigned)(first_wanted(c) - c->first_len));
	else if (block_ready(c, &c->raw, LINK_STEP_MAX))
		*buffer = uv_buf_init((char *)c->raw->bytes + c->raw->len,
		    (unsigned)(LINK_IN_SIZE - c->raw->len));
	else
		*buffer = uv_buf_init(NULL, 0);
}

/* Takes one message or record, and answers it. */
static enum rmq_error step(struct link_conn *c, struct slice in, size_t *used)
{
	uint8_t reply[LINK_REPLY_MAX];
	if (!block_ready(c, &c->plain, LINK_PLAIN_MAX))
		return RMQ_E_LIMIT;
	struct writer out = writer_of(reply, sizeof(reply));
	struct writer plain = writer_of(c->plain->bytes, LINK_IN_SIZE);
	plain.len = c->plain->len;
	enum rmq_error err = link_receive(&c->link, in, used, &plain, &out);
	if (err)
		return err;
	c->plain->len = plain.len;
	send_raw(c, slice_of(reply, out.len));
	return RMQ_E_OK;
}

static void hand_out(struct link_conn *c)
{
	struct link_block *b = c->plain;
	struct frame frame;
	size_t used;
	while (c->state == LINK_CONN_UP && b->at < b->len) {
		struct slice in = slice_of(b->bytes + b->at, b->len - b->at);
		if (frame_parse(in, &frame, &used) != RMQ_E_OK) {
			conn_over(c, RMQ_E_PROTOCOL, "the bytes are not a frame");
			return;
		}
		if (used == 0 && in.len >= FRAME_HEADER_SIZE && c->events.begun &&
		    !c->events.begun(c->arg, c, in)) {
			conn_over(c, RMQ_E_PROTOCOL, "a frame that would not be taken");
			return;
		}
		if (used == 0)
			return;
		b->at += used;
		c->part_ms = 0;
		c->events.frame(c->arg, c, &frame);
	}
	if (b->at == b->len)
		b->at = b->len = 0;
}

static void receive(struct link_conn *c)
{
	struct link_block *raw = c->raw;
	size_t used;
	while (c->state == LINK_CONN_UP) {
		enum rmq_error err =
		    step(c, slice_of(raw->bytes + raw->at, raw->len - raw->at), &used);
		if (err) {
			conn_over(c, err,
			    err == RMQ_E_PROTOCOL ? "a record was damaged" : error_text(err));
			return;
		}
		if (used == 0)
			return;
		raw->at += used;
		hand_out(c);
		if (c->state != LINK_CONN_UP || !link_ended(&c->link))
			continue;
		if (c->plain->at < c->plain->len)
			conn_over(c, RMQ_E_PROTOCOL, "closed inside a frame");
		else
			conn_over(c, RMQ_E_OK, "closed by the peer");
	}
}

/* ---- parts of records and frames ---- */

static uint64_t part_due_ms(const struct link_conn *c)
{
	uint64_t slow = c->part_ms + (c->received - c->part_from), heard = c->part_heard_ms;

	return (heard < slow ? heard : slow) + c->parts->patience_ms;
}

static void on_part_timeout(uv_timer_t *timer)
{
	struct link_conn *c = timer->data;
	uint64_t now = uv_now(c->net->loop);

	if (c->part_ms == 0)
		return;
	uint64_t due = part_due_ms(c);
	if (now >= due && c->part_late) {
		conn_over(c, RMQ_E_TIMEOUT, "a part of a frame, and the rest does not come");
		return;
	}
	/* This process may have been late itself: first it reads what there is. */
	c->part_late = now >= due;
	uv_timer_start(
	    timer, on_part_timeout, now >= due ? 1 + c->parts->patience_ms / 4 : due - now, 0);
}

static void count_parts(struct link_conn *c)
{
	size_t len = block_left(c->raw) + block_left(c->plain);

	if (!c->parts || c->state != LINK_CONN_UP)
		return;
	c->parts->used += len - c->parts_len;
	c->parts_len = len;
	c->part_heard_ms = uv_now(c->net->loop);
	if (len == 0) {
		c->part_ms = 0;
		return;
	}
	if (c->part_ms == 0) {
		c->part_ms = c->part_heard_ms;
		c->part_from = c->received - len;
	}
	/* A byte now and then does not take it back. */
	if (c->part_heard_ms < part_due_ms(c))
		c->part_late = false;
	if (c->parts->used > c->parts->max)
		conn_over(c, RMQ_E_LIMIT, "too much of what it sends is in parts");
	else if (!uv_is_active((uv_handle_t *)&c->timer))
		uv_timer_start(&c->timer, on_part_timeout, c->parts->patience_ms, 0);
}

bool link_conn_by_old_key(const struct link_conn *c)
{
	return c->by_old;
}

void link_conn_limit_parts(struct link_conn *c, struct link_parts *parts)
{
	c->parts = parts;
}

/* An idle connection has no memory for bytes. */
static void release(struct link_conn *c)
{
	struct link_block **blocks[] = {&c->raw, &c->plain};
	for (size_t i = 0; i < 2; i++) {
		struct link_block *b = *blocks[i];
		bool holds = block_left(b) > 0 && c->state == LINK_CONN_UP;
		if (holds && b->size == LINK_IN_SIZE && c->net->in.used > LINK_PARTS_IN_BLOCKS)
			block_shrink(c, blocks[i]);
		if (!b || holds)
			continue;
		link_net_block_free(&c->net->in, b);
		*blocks[i] = NULL;
	}
}

/* ---- the handshake ---- */

static const char *handshake_why(const struct link_conn *c, enum rmq_error err)
{
	if (err == RMQ_E_LIMIT)
		return error_text(err);
	if (c->known) {
		if (c->unknown)
			return "its key is not known";
		return err == RMQ_E_DENIED ? "it expects another key, name or cluster"
					   : "it does not speak the link protocol of rmq";
	}
	return err == RMQ_E_DENIED
		   ? "the node there has another key"
		   : "the program there does not speak the link protocol of rmq";
}

static bool conn_known(void *context, enum link_role role, const uint8_t key[KEY_SIZE])
{
	struct link_conn *c = context;
	c->unknown = !c->known(c->arg, role, key);
	return !c->unknown;
}

/* Everything of an identity but who the responder is. */
static void identity_of(struct link_conn *c, struct link_identity *id, uint8_t *ephemeral)
{
	randombytes_buf(ephemeral, KEY_SIZE);
	*id = (struct link_identity){.role = c->role,
	    .cluster = slice_of(c->net->cluster, c->net->cluster_len),
	    .own = &c->net->own,
	    .ephemeral = ephemeral};
}

/* Looks at what is there of the first bytes; *begin: all of them, and the role is served. */
static enum rmq_error first_check(struct link_conn *c, bool *begin)
{
	*begin = c->first_len == LINK_FIRST_SIZE;
	if (c->first_len >= LINK_ROLE_SIZE && !link_role_parse(c->first[0], c->roles, &c->role))
		return RMQ_E_PROTOCOL;
	if (c->first_len >= LINK_ROLE_SIZE + LINK_LENGTH_SIZE &&
	    load_u16(c->first + LINK_ROLE_SIZE) != NOISE_MESSAGE_1_SIZE)
		return RMQ_E_PROTOCOL;
	return RMQ_E_OK;
}

/* Takes message 1 with this key of ours, and answers it. */
static enum rmq_error respond_as(struct link_conn *c, const struct keypair *own, size_t *used)
{
	uint8_t ephemeral[KEY_SIZE];
	struct link_identity id;
	identity_of(c, &id, ephemeral);
	id.own = own;
	id.responder = slice_of(c->net->name, c->net->name_len);
	enum rmq_error err = link_respond(&c->link, &id, conn_known, c);
	link_use(&c->link, c->net->fast);
	sodium_memzero(ephemeral, sizeof(ephemeral));
	c->begun = true;
	return err ? err : step(c, slice_of(c->first, c->first_len), used);
}

/* Only when all of message 1 is there, a key is worth to be made. */
static enum rmq_error respond(struct link_conn *c, size_t *used)
{
	bool begin;
	enum rmq_error err = first_check(c, &begin);
	if (err || !begin)
		return err;
	c->first_len -= LINK_ROLE_SIZE;
	memmove(c->first, c->first + LINK_ROLE_SIZE, c->first_len);
	err = respond_as(c, &c->net->own, used);
	if (err != RMQ_E_DENIED || c->unknown || !c->net->has_old)
		return err;
	link_deinit(&c->link);
	c->by_old = true;
	return respond_as(c, &c->net->old, used);
}

/* Whoever may be a client may ask. */
static bool asks_who(const struct link_conn *c)
{
	return c->known && !c->begun && c->first_len == 1 && c->first[0] == LINK_WHO &&
	       (c->roles & LINK_ROLE_BIT(LINK_CLIENT));
}

/* It is the owner's until it is over, in a moment: it still counts. */
static void tell_who(struct link_conn *c)
{
	const struct link_net *net = c->net;
	/* Where gates come there is a cluster: until it is known nobody is told that there is none. */
	if (net->cluster_len == 0 && (c->roles & LINK_ROLE_BIT(LINK_GATE))) {
		conn_over(c, RMQ_E_NO_DAEMON, "asks who it is before the cluster is known");
		return;
	}
	uint8_t bytes[LINK_LENGTH_SIZE + LINK_WHO_MAX];
	struct writer w = writer_of(bytes, sizeof(bytes));
	const struct link_who who = {.magic = LINK_MAGIC,
	    .version = LINK_VERSION,
	    .key = slice_of(net->own.key, KEY_SIZE),
	    .name = slice_of(net->name, net->name_len),
	    .cluster = slice_of(net->cluster, net->cluster_len)};
	put_u16(&w, 0);
	link_who_encode(&w, &who);
	assert(!w.full);
	store_u16(bytes, (uint16_t)(w.len - LINK_LENGTH_SIZE));
	send_raw(c, slice_of(bytes, w.len));
	close_soon(c);
}

static enum rmq_error initiate(struct link_conn *c)
{
	uint8_t ephemeral[KEY_SIZE], first[LINK_FIRST_SIZE];
	struct writer w = writer_of(first, sizeof(first));
	struct link_identity id;
	identity_of(c, &id, ephemeral);
	id.responder = c->peer_name;
	enum rmq_error err = link_initiate(&c->link, &id, c->peer, &w);
	link_use(&c->link, c->net->fast);
	sodium_memzero(ephemeral, sizeof(ephemeral));
	c->begun = true;
	send_raw(c, slice_of(first, w.len));
	return err;
}

static void handshake(struct link_conn *c)
{
	if (asks_who(c)) {
		tell_who(c);
		return;
	}
	size_t used = 0;
	enum rmq_error err =
	    c->begun ? step(c, slice_of(c->first, c->first_len), &used) : respond(c, &used);
	if (err) {
		conn_over(c, err, handshake_why(c, err));
		return;
	}
	if (used == 0)
		return;
	c->first_len = 0;
	if (!(c->known ? link_confirmed(&c->link) : link_can_send(&c->link)))
		return;
	memcpy(c->peer, link_peer(&c->link), KEY_SIZE);
	c->state = LINK_CONN_UP;
	if (!c->greets)
		link_conn_introduced(c);
	if (c->state == LINK_CONN_UP && c->events.up)
		c->events.up(c->arg, c);
}

void link_conn_introduced(struct link_conn *c)
{
	if (c->state != LINK_CONN_UP)
		return;
	uv_timer_stop(&c->timer);
	if (c->owner)
		c->owner->up(c->owner_arg, c);
	if (c->greets)
		link_conn_let_in(c);
}

void link_conn_let_in(struct link_conn *c)
{
	arrivals_know(&c->net->arrivals, &c->origin, uv_now(c->net->loop));
}

/* ---- reading ---- */

/* It has ended, or cannot be read. */
static void read_end(struct link_conn *c, int status)
{
	bool eof = status == UV_EOF || status == UV_ECONNRESET;
	if (c->state == LINK_CONN_CLOSING)
		conn_over(c, RMQ_E_OK, "closed");
	else if (c->state == LINK_CONN_NEW)
		conn_over(c, c->known ? RMQ_E_INTERRUPTED : RMQ_E_DENIED,
		    !eof       ? uv_strerror(status)
		    : c->known ? "gone before it proved its key"
		    : status == UV_EOF
			? "refused: it knows other keys, names or another cluster"
			: "refused: it knows other keys, names or another cluster, or too many "
			  "connect to it: see its log");
	else
		conn_over(c, RMQ_E_INTERRUPTED, eof ? "cut" : uv_strerror(status));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
	struct link_conn *c = stream->data;
	(void)buffer;
	if (n < 0) {
		read_end(c, (int)n);
	} else if (c->state == LINK_CONN_NEW) {
		c->first_len += (size_t)n;
		if (n > 0)
			handshake(c);
	} else if (c->state == LINK_CONN_UP) {
		c->raw->len += (size_t)n;
		c->received += (size_t)n;
		receive(c);
	}
	if (c->state == LINK_CONN_OVER)
		return;
	release(c);
	count_parts(c);
}

uint64_t link_conn_round_trip_us(const struct link_conn *c)
{
	uv_os_fd_t fd;

	return uv_fileno((const uv_handle_t *)&c->tcp, &fd) == 0 ? round_trip_us(fd) : 0;
}

/* ---- connecting ---- */

/* Options that may fail: without them it only notices later that a peer is gone. */
static void set_options(struct link_conn *c)
{
	unsigned timeout_ms = (unsigned)c->user_timeout_ms;
	int interval = KEEPALIVE_S, count = CHECKS_PER_ONE, fd;
	(void)uv_tcp_nodelay(&c->tcp, 1);
	(void)uv_tcp_keepalive(&c->tcp, 1, KEEPALIVE_S);
	if (uv_fileno((uv_handle_t *)&c->tcp, &fd) != 0)
		return;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

static int begin_reading(struct link_conn *c)
{
	struct sockaddr_storage peer;
	int len = sizeof(peer);
	struct socket_host host;
	set_options(c);
	if (uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&peer, &len) == 0) {
		socket_host_of(&host, (struct sockaddr *)&peer);
		socket_host_print(&host, c->address);
	}
	return uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
}

static void on_connected(uv_connect_t *request, int status)
{
	struct link_conn *c = request->data;
	if (c->state == LINK_CONN_OVER)
		return;
	if (status == 0)
		status = begin_reading(c);
	if (status != 0) {
		conn_over(c, RMQ_E_NO_DAEMON, uv_strerror(status));
		return;
	}
	enum rmq_error err = initiate(c);
	if (err)
		conn_over(c, err, "its key is ours, or not a key");
}

int link_conn_dial(struct link_conn *c, const struct sockaddr *address, enum link_role role,
    const uint8_t key[KEY_SIZE], struct slice name)
{
	c->role = role;
	memcpy(c->peer, key, KEY_SIZE);
	c->peer_name = name;
	c->request.connect.data = c;
	return uv_tcp_connect(&c->request.connect, &c->tcp, address, on_connected);
}

static void on_handshake_timeout(uv_timer_t *timer)
{
	struct link_conn *c = timer->data;
	conn_over(c, RMQ_E_TIMEOUT,
	    c->state == LINK_CONN_UP ? "it does not say who it is in time"
				     : "no handshake in time");
}

int link_conn_accept(
    struct link_conn *c, int fd, const struct sockaddr *from, const struct link_accept *how)
{
	c->roles = how->roles;
	c->known = how->known;
	c->greets = how->greets;
	c->accepted_ms = uv_now(c->net->loop);
	c->origin = link_net_origin(from);
	int err = uv_tcp_open(&c->tcp, fd);
	if (err) {
		close(fd);
		return err;
	}
	err = begin_reading(c);
	if (!err)
		err = uv_timer_start(&c->timer, on_handshake_timeout, how->handshake_ms, 0);
	return err;
}

/* ---- questions ---- */

enum link_role link_conn_role(const struct link_conn *c)
{
	return c->role;
}

const uint8_t *link_conn_peer(const struct link_conn *c)
{
	return c->peer;
}

uint64_t link_conn_accepted_ms(const struct link_conn *c)
{
	return c->accepted_ms;
}

const char *link_conn_address(const struct link_conn *c)
{
	return c->address;
}

bool link_conn_from(const struct link_conn *c, struct sockaddr_storage *from)
{
	int len = sizeof(*from);
	return uv_tcp_getpeername(&c->tcp, (struct sockaddr *)from, &len) == 0;
}

void link_conn_set_window(struct link_conn *c, struct link_window window)
{
	assert(window.max >= c->queued);
	c->window = window;
}

void link_conn_set_data(struct link_conn *c, void *data)
{
	c->data = data;
}

void *link_conn_data(const struct link_conn *c)
{
	return c->data;
}
