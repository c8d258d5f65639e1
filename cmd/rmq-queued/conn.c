#include "conn.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/wire/wire.h"
#include "deliver.h"
#include "server.h"

/* One read of a client. */
#define READ_BYTES (128u << 10)
#define OUT_FIRST  256
#define IOV_PIECES (1 + DELIVER_PIECES)
/* Up to so much it is cheaper to copy pieces than to have the kernel walk them. */
#define COPY_BYTES  1024
#define ERROR_BYTES 512

/* What is read here is taken before the next read; a cut frame is kept by its connection. */
static uint8_t scratch[READ_BYTES];

enum conn_event {
	CONN_ASKS,     /* LIST, PEEK or HISTORY was taken */
	CONN_ANSWERED, /* the end of its answer was given to the connection */
	CONN_DEAF,     /* a write says that the peer reads no more */
	CONN_CLOSES,   /* the broker or the server wants its end */
	CONN_FAILS,    /* its end has come, an error, or memory is short */
	CONN_EVENTS
};

/* clang-format off */
static const enum conn_state transitions[CONN_STATES][CONN_EVENTS] = {
	/*		   ASKS		 ANSWERED      DEAF	  CLOSES	FAILS */
	[CONN_OPEN]	= {CONN_ASKING,	 CONN_OPEN,    CONN_MUTE, CONN_CLOSING, CONN_DEAD},
	[CONN_ASKING]	= {CONN_ASKING,	 CONN_OPEN,    CONN_MUTE, CONN_CLOSING, CONN_DEAD},
	[CONN_MUTE]	= {CONN_MUTE,	 CONN_MUTE,    CONN_MUTE, CONN_DEAD,	CONN_DEAD},
	[CONN_CLOSING]	= {CONN_CLOSING, CONN_CLOSING, CONN_DEAD, CONN_CLOSING, CONN_DEAD},
	[CONN_DEAD]	= {CONN_DEAD,	 CONN_DEAD,    CONN_DEAD, CONN_DEAD,	CONN_DEAD},
};
/* clang-format on */

static void step(struct conn *c, enum conn_event event)
{
	c->state = transitions[c->state][event];
	if (c->state >= CONN_CLOSING)
		conn_list_add(&c->server->dirty, c);
}

static bool reads(const struct conn *c)
{
	return c->state == CONN_OPEN || c->state == CONN_MUTE;
}

static bool sends(const struct conn *c)
{
	return c->state != CONN_MUTE && c->state != CONN_DEAD;
}

void conn_list_init(struct conn_list *l, enum conn_lists which)
{
	TAILQ_INIT(&l->head);
	l->which = which;
}

void conn_list_add(struct conn_list *l, struct conn *c)
{
	if (c->listed[l->which])
		return;
	c->listed[l->which] = true;
	TAILQ_INSERT_TAIL(&l->head, c, entry[l->which]);
}

void conn_list_remove(struct conn_list *l, struct conn *c)
{
	if (!c->listed[l->which])
		return;
	c->listed[l->which] = false;
	TAILQ_REMOVE(&l->head, c, entry[l->which]);
}

struct conn *conn_list_first(const struct conn_list *l)
{
	return TAILQ_FIRST(&l->head);
}

struct conn *conn_list_take(struct conn_list *l)
{
	struct conn *c = TAILQ_FIRST(&l->head);
	if (c)
		conn_list_remove(l, c);
	return c;
}

static size_t buffer_left(const struct buffer *b)
{
	return b->len - b->at;
}

static void buffer_free(struct buffer *b)
{
	free(b->data);
	*b = (struct buffer){0};
}

/* Room for `cap` bytes in all.  False: out of memory. */
static bool buffer_reserve(struct buffer *b, size_t cap)
{
	if (b->cap >= cap)
		return true;
	uint8_t *data = realloc(b->data, cap);
	if (!data)
		return false;
	b->data = data;
	b->cap = cap;
	return true;
}

static void buffer_put(struct buffer *b, const void *data, size_t len)
{
	assert(b->cap - b->len >= len);
	if (len > 0)
		memcpy(b->data + b->len, data, len);
	b->len += len;
}

void conn_patience(struct conn *c)
{
	struct server *s = c->server;

	conn_list_remove(&s->deadlines, c);
	c->deadline_ms = s->now.ms + CONN_PATIENCE_MS;
	conn_list_add(&s->deadlines, c);
	server_deadlines_changed(s);
}

struct conn *conn_new(struct server *s, uint64_t id, int fd)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c || uv_poll_init(&s->loop, &c->poll, fd) != 0) {
		free(c);
		close(fd);
		return NULL;
	}
	c->server = s;
	c->id = id;
	c->fd = fd;
	c->poll.data = c;
	c->holder = holder_new(&s->holders, c);
	conn_patience(c);
	conn_watch(c);
	return c;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void conn_end(struct conn *c)
{
	struct server *s = c->server;

	conn_list_remove(&s->dirty, c);
	conn_list_remove(&s->deliverable, c);
	conn_list_remove(&s->paused, c);
	conn_list_remove(&s->deadlines, c);
	conn_list_remove(&s->unheard, c);
	server_forget(s, c);
	broker_disconnect(s->broker, c->id);
	if (c->holder)
		holder_conn_ended(&s->holders, c->holder, c->stage == CONN_PARTED);
	buffer_free(&c->in);
	buffer_free(&c->out);
	uv_poll_stop(&c->poll);
	close(c->fd);
	uv_close((uv_handle_t *)&c->poll, on_closed);
}

void conn_close(struct conn *c)
{
	if (c->state >= CONN_CLOSING)
		return;
	step(c, CONN_CLOSES);
	conn_patience(c);
}

/* Whether the end of an answer to LIST, PEEK or HISTORY is in these frames; MOVED may be all of it. */
static bool ends_answer(struct slice frames)
{
	struct frame f;
	size_t used;

	while (frame_parse(frames, &f, &used) == RMQ_E_OK && used > 0) {
		if (f.type == WIRE_TYPE_LIST_END || f.type == WIRE_TYPE_PEEK_END ||
		    f.type == WIRE_TYPE_HISTORY_IS || f.type == WIRE_TYPE_MOVED)
			return true;
		frames = slice_of(frames.data + used, frames.len - used);
	}
	return false;
}

/* Keeps what the socket did not take; deliveries that were gathered went before it. */
static void out_put(struct conn *c, struct slice bytes)
{
	size_t want = c->out.len + bytes.len;
	size_t cap = c->out.cap > 0 ? c->out.cap : OUT_FIRST;

	while (cap < want)
		cap *= 2;
	if (!buffer_reserve(&c->out, cap)) {
		step(c, CONN_FAILS);
		return;
	}
	buffer_put(&c->out, bytes.data, bytes.len);
}

void conn_send(struct conn *c, struct slice frames)
{
	if (!sends(c))
		return;
	deliver_before(c);
	out_put(c, frames);
	if (c->state == CONN_ASKING && ends_answer(frames))
		step(c, CONN_ANSWERED);
	conn_list_add(&c->server->dirty, c);
}

/* What the kernel said to a write: bytes it took.  A peer that reads no more is no error. */
static size_t write_result(struct conn *c, ssize_t n)
{
	if (n >= 0)
		return (size_t)n;
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	/* What it is owed is lost: on another connection it is told again. */
	if (errno != EPIPE && errno != ECONNRESET) {
		if (log_rate_allows(&c->server->clients_rate, c->server->now.ms))
			log_notice("connection %llu: cannot write: %s",
			    (unsigned long long)c->id, strerror(errno));
		step(c, CONN_FAILS);
		return 0;
	}
	/* What it sent before is still to be read; the end comes there. */
	step(c, CONN_DEAF);
	buffer_free(&c->out);
	return 0;
}

static void out_written(struct conn *c, size_t n)
{
	c->out.at += n;
	if (c->out.at < c->out.len)
		return;
	/* A small one is kept for the next answer. */
	if (c->out.cap <= OUT_FIRST)
		c->out.at = c->out.len = 0;
	else
		buffer_free(&c->out);
}

/* Bytes the socket took, of `len` in all. */
static size_t write_pieces(struct conn *c, struct iovec *iov, int count, size_t len)
{
	const int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
	uint8_t copy[COPY_BYTES];

	if (len > sizeof(copy)) {
		struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)count};
		return write_result(c, sendmsg(c->fd, &msg, flags));
	}
	uint8_t *end = copy;
	for (int i = 0; i < count; i++)
		end = mempcpy(end, iov[i].iov_base, iov[i].iov_len);
	return write_result(c, send(c->fd, copy, len, flags));
}

void conn_writev(struct conn *c, const struct slice *pieces, int count)
{
	struct iovec iov[IOV_PIECES];
	size_t waiting = buffer_left(&c->out), len = waiting, n = 0;
	int k = 0;

	assert(count < IOV_PIECES);
	if (!sends(c))
		return;
	if (waiting > 0)
		iov[k++] = (struct iovec){c->out.data + c->out.at, waiting};
	for (int i = 0; i < count; i++) {
		iov[k++] = (struct iovec){(void *)(uintptr_t)pieces[i].data, pieces[i].len};
		len += pieces[i].len;
	}
	if (!c->blocked) {
		n = write_pieces(c, iov, k, len);
		if (!sends(c))
			return;
		c->blocked = n < len;
		out_written(c, n < waiting ? n : waiting);
		n -= n < waiting ? n : waiting;
	}
	for (int i = 0; i < count; i++) {
		size_t skip = n < pieces[i].len ? n : pieces[i].len;
		n -= skip;
		if (skip < pieces[i].len)
			out_put(c, slice_of(pieces[i].data + skip, pieces[i].len - skip));
	}
	conn_list_add(&c->server->dirty, c);
}

void conn_flush(struct conn *c)
{
	if (!c->blocked && buffer_left(&c->out) > 0) {
		size_t len = buffer_left(&c->out);
		size_t n = write_result(
		    c, send(c->fd, c->out.data + c->out.at, len, MSG_NOSIGNAL | MSG_DONTWAIT));
		if (sends(c)) {
			c->blocked = n < len;
			out_written(c, n);
		}
	}
	if (c->state == CONN_DEAD || (c->state == CONN_CLOSING && buffer_left(&c->out) == 0))
		conn_end(c);
	else
		conn_watch(c);
}

void conn_refuse(struct conn *c, enum rmq_error err, const char *text)
{
	uint8_t bytes[ERROR_BYTES];
	struct writer w = writer_of(bytes, sizeof(bytes));

	if (log_rate_allows(&c->server->clients_rate, c->server->now.ms))
		log_info("connection %llu: %s", (unsigned long long)c->id, text);
	wire_put_error(&w, &(struct wire_error){(uint8_t)err, slice_str(text)});
	conn_send(c, slice_of(bytes, w.len));
	conn_close(c);
}

/* A bad frame. */
static void refuse(struct conn *c, enum rmq_error err)
{
	conn_refuse(c, err, error_text(err));
}

void conn_judge_owner(struct conn *c)
{
	struct server *s = c->server;
	char text[TEXT_MAX + 1];

	if (broker_owner_connections(s->broker, c->id) <= s->conns_of_one ||
	    server_end_silent(s, c->id))
		return;
	snprintf(text, sizeof(text),
	    "%u connections are as many as one user or key may have, of %u that the limit of open files "
	    "(ulimit -n, LimitNOFILE=) allows",
	    s->conns_of_one, s->conns_max);
	conn_refuse(c, RMQ_E_LIMIT, text);
}

/*
 * Who relays is not who holds: its death releases nothing.  It is believed as far as our own
 * user is, who could do worse.
 */
static enum rmq_error take_behalf(struct conn *c, struct slice payload)
{
	struct wire_behalf m;
	struct slice rights = RIGHTS_UNRESTRICTED;
	struct ucred peer;
	socklen_t len = sizeof(peer);
	uint16_t unknown;

	if (!wire_behalf_decode(payload, &m) || !wire_behalf_node_valid(m.node) ||
	    (wire_behalf_key(m.node).len > 0 && m.uid != 0))
		return RMQ_E_PROTOCOL;
	enum rmq_error err = tags_check(m.tags, WIRE_TYPE_BEHALF, wire_tag_name, &unknown);
	if (err)
		return err;
	if (tags_find(m.tags, BEHALF_TAG_RIGHTS, &rights) && !rights_valid(rights))
		return RMQ_E_PROTOCOL;
	if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0 ||
	    (peer.uid != geteuid() && peer.uid != 0))
		return RMQ_E_DENIED;
	log_debug("connection %llu: for user %u of %.*s", (unsigned long long)c->id, m.uid,
	    (int)m.node.len, (const char *)m.node.data);
	broker_owner(c->server->broker, c->id, m.node, m.uid);
	broker_rights(c->server->broker, c->id, rights);
	c->by_file = false;
	if (c->holder)
		holder_drop(c->holder);
	conn_judge_owner(c);
	return RMQ_E_OK;
}

/* The same if the client says that it is not at the other end. */
static void note_hello(struct conn *c, struct slice payload)
{
	struct wire_hello m;

	if (c->holder && wire_hello_decode(payload, &m) &&
	    (tags_find_u64(m.tags, HELLO_TAG_HOW) & HELLO_FAR))
		holder_drop(c->holder);
}

static void note_frame(struct conn *c, const struct frame *f)
{
	struct server *s = c->server;
	bool first = c->stage == CONN_STRANGER;

	if (first)
		c->stage = CONN_SPOKE;
	if (f->type == WIRE_TYPE_BEHALF) {
		enum rmq_error err = first ? take_behalf(c, f->payload) : RMQ_E_PROTOCOL;
		if (err)
			refuse(c, err);
		return;
	}
	if (f->type == WIRE_TYPE_HELLO)
		note_hello(c, f->payload);
	else if (f->type == WIRE_TYPE_LIST || f->type == WIRE_TYPE_PEEK ||
		 f->type == WIRE_TYPE_HISTORY)
		step(c, CONN_ASKS);
	else if (f->type == WIRE_TYPE_BYE && c->stage == CONN_GREETED)
		c->stage = CONN_PARTED;
	broker_frame(s->broker, c->id, f);
	uint64_t session = c->stage >= CONN_GREETED ? 0 : broker_session(s->broker, c->id);
	if (session != 0) {
		c->stage = CONN_GREETED;
		if (c->state < CONN_CLOSING)
			conn_list_remove(&s->deadlines, c);
		holder_session(&s->holders, c->holder, session);
	}
}

/* Gives whole frames to the broker; the bytes that are done. */
static size_t consume(struct conn *c, struct slice in)
{
	struct frame f;
	size_t at = 0, used;

	while (at < in.len && reads(c) && broker_wants_frame(c->server->broker, c->id)) {
		enum rmq_error err =
		    frame_parse(slice_of(in.data + at, in.len - at), &f, &used);
		if (err)
			refuse(c, err);
		if (err || used == 0)
			break;
		note_frame(c, &f);
		at += used;
	}
	c->unheard -= at < c->unheard ? at : c->unheard;
	return c->state >= CONN_CLOSING ? in.len : at;
}

/* Bytes that the frame at the buffer's start takes, as far as is known. */
static size_t frame_need(const struct buffer *in)
{
	if (in->len < FRAME_HEADER_SIZE)
		return FRAME_HEADER_SIZE;
	size_t len = load_u32(in->data);
	return FRAME_HEADER_SIZE + (len > FRAME_PAYLOAD_MAX ? 0 : len);
}

/* Completes the frame in the buffer from `more`.  False: it is still cut. */
static bool top_up(struct conn *c, struct slice *more)
{
	struct buffer *in = &c->in;

	for (;;) {
		size_t need = frame_need(in);
		if (in->len >= need)
			return true;
		size_t n = need - in->len < more->len ? need - in->len : more->len;
		if (n == 0)
			return false;
		if (!buffer_reserve(in, need)) {
			step(c, CONN_FAILS);
			return false;
		}
		buffer_put(in, more->data, n);
		*more = slice_of(more->data + n, more->len - n);
	}
}

/* Keeps what is not taken yet: a cut frame, with room for all of it, or what waits. */
static void keep(struct conn *c, struct slice rest)
{
	if (rest.len == 0)
		return;
	size_t cap = c->in.len + rest.len;
	if (!buffer_reserve(&c->in, cap)) {
		step(c, CONN_FAILS);
		return;
	}
	buffer_put(&c->in, rest.data, rest.len);
	size_t need = frame_need(&c->in);
	if (need > c->in.cap && !buffer_reserve(&c->in, need))
		step(c, CONN_FAILS);
}

/* Takes what the buffer holds, and then `more`. */
static void take(struct conn *c, struct slice more)
{
	struct buffer *in = &c->in;

	if (in->len > 0) {
		if (!top_up(c, &more))
			return;
		in->at += consume(c, slice_of(in->data + in->at, in->len - in->at));
		if (buffer_left(in) == 0)
			buffer_free(in);
	}
	if (in->len == 0) {
		size_t used = consume(c, more);
		more = slice_of(more.data + used, more.len - used);
	} else if (in->at > 0) {
		in->len -= in->at;
		memmove(in->data, in->data + in->at, in->len);
		in->at = 0;
	}
	if (c->state < CONN_CLOSING)
		keep(c, more);
}

/* Whether a whole frame is there that was put off. */
static bool held(const struct conn *c)
{
	return c->in.len > 0 && c->in.len >= frame_need(&c->in);
}

static bool may_read(const struct conn *c)
{
	return reads(c) && buffer_left(&c->out) <= OUT_READ_BYTES &&
	       broker_owed(c->server->broker, c->id) <= OWED_MAX;
}

bool conn_is_silent(const struct conn *c)
{
	int unread = 0;

	if (c->stage >= CONN_GREETED || held(c))
		return false;
	/* Who sends a frame byte by byte says nothing either. */
	return c->state >= CONN_CLOSING || c->in.len > 0 ||
	       ioctl(c->fd, FIONREAD, &unread) != 0 || unread == 0;
}

/* It holds so many bytes that are not taken yet, and there may be more in its socket. */
static void note_unheard(struct conn *c, size_t holds, bool more)
{
	struct server *s = c->server;
	int left = 0;

	if (c->hearing == s->hearings)
		return;
	c->hearing = s->hearings;
	if (more && ioctl(c->fd, FIONREAD, &left) != 0)
		left = 0;
	c->unheard = holds + (size_t)left;
	if (c->unheard > 0)
		conn_list_add(&s->unheard, c);
}

void conn_note_unheard(struct conn *c)
{
	note_unheard(c, buffer_left(&c->in), true);
}

/*
 * Takes it, and sees whether more is to be heard: not the rest of a frame that is cut, nor of a
 * client that spends a turn alone: it must not keep everyone's leases from ending.
 */
static void take_unheard(struct conn *c, struct slice more)
{
	struct server *s = c->server;
	uint64_t before = broker_work(s->broker);

	take(c, more);
	bool spends = broker_work(s->broker) - before >= TURN_WORK / 2;
	if (spends || (!held(c) && c->unheard <= buffer_left(&c->in)))
		conn_list_remove(&s->unheard, c);
}

/* Its input waits for another turn. */
static void pause_input(struct conn *c)
{
	conn_list_add(&c->server->paused, c);
	conn_note_unheard(c);
}

static void conn_read(struct conn *c)
{
	struct server *s = c->server;
	struct buffer *in = &c->in;
	size_t room = in->cap - in->len;
	struct iovec iov[2] = {{in->data + in->len, room}, {scratch, sizeof(scratch)}};

	ssize_t n = room > 0 ? readv(c->fd, iov, 2) : recv(c->fd, scratch, sizeof(scratch), 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	server_turn(s);
	server_clock(s);
	if (n <= 0) {
		step(c, CONN_FAILS);
		return;
	}
	size_t got = (size_t)n, first = got < room ? got : room;
	note_unheard(c, buffer_left(in) + got, got == room + sizeof(scratch));
	in->len += first;
	take_unheard(c, slice_of(scratch, got - first));
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct conn *c = poll->data;
	struct server *s = c->server;

	if (status < 0) {
		/* An error is pending: libuv has stopped watching; reading will tell. */
		c->events = 0;
		events = UV_READABLE | UV_WRITABLE;
	}
	if ((events & UV_WRITABLE) && c->blocked) {
		server_turn(s);
		c->blocked = false;
		conn_list_add(&s->dirty, c);
		if (c->delivering)
			conn_list_add(&s->deliverable, c);
	}
	if ((events & UV_READABLE) && may_read(c)) {
		if (server_reads(s))
			conn_read(c);
		else
			pause_input(c);
		if (!c->listed[CONN_DIRTY])
			conn_watch(c);
	} else if (status < 0 && !c->listed[CONN_DIRTY]) {
		conn_watch(c);
	}
}

void conn_watch(struct conn *c)
{
	struct server *s = c->server;
	int events = c->blocked ? UV_WRITABLE : 0;

	if (may_read(c)) {
		if (held(c)) {
			pause_input(c);
			server_wake(s);
		} else if (server_reads(s)) {
			events |= UV_READABLE;
		} else {
			pause_input(c);
		}
	} else {
		/* It asks, or does not read: what waits behind that is its own affair. */
		conn_list_remove(&s->unheard, c);
	}
	if (events == c->events)
		return;
	c->events = events;
	if (events == 0)
		uv_poll_stop(&c->poll);
	else
		uv_poll_start(&c->poll, events, on_poll);
}

void conn_resume(struct conn *c)
{
	/* Read at once: in the next wait others may be faster. */
	if (may_read(c) && !held(c))
		conn_read(c);
	else if (may_read(c))
		take_unheard(c, slice_of(NULL, 0));
	if (!c->listed[CONN_DIRTY])
		conn_watch(c);
}
