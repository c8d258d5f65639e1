/*
 * One loop: gather what waits into a commit, commit, answer.
 *
 *	gather	frames are taken until none waits or the commit is full.  An APPEND's
 *		record is reserved in the store and the rest of its payload is read there,
 *		together with the beginning of the next frame: one system call a frame.
 *	commit	with a piece of the holes that were asked for.
 *	answer	STORED, BARRIER_DONE and HOLED in the order of what they answer, ROOM.
 *
 * Invariant: nothing is answered that was made by a commit that has not returned.
 */
#include "sys/journal_server.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/journal_wire.h"
#include "sys/clock.h"
#include "sys/room.h"

#define IN_SIZE		      (2 * (FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX))
#define READ_AHEAD	      4096
#define OUT_SIZE	      65536
#define BARRIERS_MAX	      1024 /* answered with one commit */
#define HOLES_MAX	      64 /* frames that wait; no input is taken while there are more */
#define HOLES_PER_COMMIT      256
#define HOLES_PER_IDLE_COMMIT 1024
/* How long the rest of a frame may take before what came ahead of it is committed. */
#define REST_WAIT_MS 5

static_assert(
    BARRIERS_MAX * (FRAME_HEADER_SIZE + 8 + FRAME_HEADER_SIZE + 20) + 4096 <= OUT_SIZE,
    "all answers to one commit fit");

/* A HOLE frame that is being worked on. */
struct hole_job {
	uint64_t checkpoint;
	uint8_t *ranges; /* hole_range */
	size_t len;
	size_t at;	/* which range is next */
	uint64_t first; /* where in it; 0: at its beginning */
};

struct barrier {
	uint64_t after; /* APPEND n that came before it */
	uint64_t id;
};

struct server {
	int fd;
	struct store *store;
	struct reason *why;
	struct room room;
	struct journal_room announced;
	uint64_t term;
	uint64_t last_n;       /* taken */
	uint64_t stored_n;     /* answered with STORED */
	uint64_t stored_index; /* of APPEND stored_n + 1 */
	bool eof;
	/* what the opener did wrong: it is told once all before it is stored */
	enum rmq_error refused;
	struct reason refusal;
	/* this commit */
	uint64_t commit_bytes;
	uint64_t spent_pages;
	uint64_t freed_bytes;
	size_t barriers;
	struct barrier barrier[BARRIERS_MAX];
	/* holes, in a ring */
	struct hole_job hole[HOLES_MAX];
	size_t hole_first;
	size_t holes;
	uint64_t holed[HOLES_MAX]; /* finished, to be answered */
	size_t holed_count;
	/* input: [begin, end) is not taken yet */
	size_t begin;
	size_t end;
	uint8_t in[IN_SIZE];
	struct writer out;
	uint8_t out_buffer[OUT_SIZE];
};

static enum rmq_error store_failed(struct server *v, enum rmq_error err)
{
	*v->why = *store_reason(v->store);
	return err;
}

static enum rmq_error refuse(struct server *v, enum rmq_error code, const char *text)
{
	v->refused = code;
	reason_set(&v->refusal, code, "%s", text);
	return RMQ_E_NOTHING;
}

/* ---- input ---- */

/* Whether something can be read within so many ms; -1: for ever. */
static bool readable(struct server *v, int timeout_ms)
{
	struct pollfd p = {v->fd, POLLIN, 0};
	int n;
	do
		n = poll(&p, 1, timeout_ms);
	while (n < 0 && errno == EINTR);
	return n > 0;
}

/*
 * Reads into `len` bytes at `to`, then up to READ_AHEAD into the buffer.  *got: how many
 * of the first.  RMQ_E_NOTHING: nothing there; v->eof is set at the end of input.
 */
static enum rmq_error receive(
    struct server *v, uint8_t *to, size_t len, size_t more, bool wait, size_t *got)
{
	if (v->begin == v->end)
		v->begin = v->end = 0;
	if (IN_SIZE - v->end < more) {
		memmove(v->in, v->in + v->begin, v->end - v->begin);
		v->end -= v->begin;
		v->begin = 0;
	}
	assert(IN_SIZE - v->end >= more);
	struct iovec iov[2] = {{to, len}, {v->in + v->end, more}};
	struct msghdr m = {.msg_iov = len ? iov : iov + 1, .msg_iovlen = len ? 2 : 1};
	ssize_t n;
	do
		n = recvmsg(v->fd, &m, wait ? 0 : MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return RMQ_E_NOTHING;
	if (n < 0 && errno != ECONNRESET)
		return reason_set(v->why, RMQ_E_IO, "journal socket: %s", strerror(errno));
	if (n <= 0) {
		v->eof = true;
		return RMQ_E_NOTHING;
	}
	*got = (size_t)n < len ? (size_t)n : len;
	v->end += (size_t)n - *got;
	return RMQ_E_OK;
}

/* More bytes for the buffer, at least as many as complete a frame of `need` bytes. */
static enum rmq_error fill(struct server *v, size_t need, bool wait)
{
	size_t have = v->end - v->begin;
	size_t more = need > have + READ_AHEAD ? need - have : READ_AHEAD;
	size_t got;
	return receive(v, NULL, 0, more, wait, &got);
}

/* ---- frames ---- */

static enum rmq_error begin_commit(struct server *v)
{
	if (store_begun(v->store))
		return RMQ_E_OK;
	enum rmq_error err = store_begin(v->store);
	return err ? store_failed(v, err) : RMQ_E_OK;
}

/*
 * The rest of a payload.  If it does not come and other records wait for this commit,
 * what is there goes back into the buffer: RMQ_E_NOTHING.
 */
static enum rmq_error read_rest(struct server *v, uint8_t *payload, size_t len, size_t done)
{
	while (done < len) {
		size_t got = 0;
		bool others = v->last_n > v->stored_n || v->barriers > 0;
		enum rmq_error err =
		    receive(v, payload + done, len - done, READ_AHEAD, !others, &got);
		done += got;
		if (err == RMQ_E_NOTHING && !v->eof && others && readable(v, REST_WAIT_MS))
			continue;
		if (err == RMQ_E_NOTHING) {
			/* Only full reads put anything behind the payload: the buffer is empty.
			 */
			v->begin = JOURNAL_APPEND_HEAD;
			v->end = v->begin + done;
			memcpy(v->in + v->begin, payload, done);
			err = store_drop(v->store);
			return err ? store_failed(v, err) : RMQ_E_NOTHING;
		}
		if (err)
			return err;
	}
	return RMQ_E_OK;
}

/* An APPEND whose head is in the buffer. */
static enum rmq_error take_append(struct server *v, const uint8_t *head, size_t payload_len)
{
	uint8_t saved[JOURNAL_APPEND_HEAD];
	uint8_t *payload;
	uint64_t n = load_u64(head + FRAME_HEADER_SIZE);
	unsigned kind = head[FRAME_HEADER_SIZE + 8];
	if (n != v->last_n + 1)
		return refuse(v, RMQ_E_PROTOCOL, "APPEND is out of order");
	if (payload_len > RECORD_PAYLOAD_MAX)
		return refuse(v, RMQ_E_PROTOCOL, "APPEND is too long for a record");
	if (!record_kind_name(kind))
		return refuse(v, RMQ_E_VERSION, "APPEND of an unknown kind of record");
	enum rmq_error err = begin_commit(v);
	if (err)
		return err;
	struct record_header h = {(enum record_kind)kind, store_state(v->store)->next, v->term};
	err = store_reserve(v->store, &h, payload_len, &payload);
	if (err)
		return store_failed(v, err);
	memcpy(saved, head, sizeof(saved));
	v->begin += JOURNAL_APPEND_HEAD;
	size_t have = v->end - v->begin;
	size_t done = have < payload_len ? have : payload_len;
	memcpy(payload, v->in + v->begin, done);
	v->begin += done;
	err = read_rest(v, payload, payload_len, done);
	if (err == RMQ_E_NOTHING) {
		v->begin -= JOURNAL_APPEND_HEAD;
		memcpy(v->in + v->begin, saved, sizeof(saved));
	}
	if (err)
		return err;
	err = store_seal(v->store);
	if (err)
		return store_failed(v, err);
	v->last_n = n;
	v->commit_bytes += RECORD_HEADER_SIZE + payload_len;
	v->spent_pages += store_record_pages(v->store, payload_len);
	return RMQ_E_OK;
}

static enum rmq_error take_barrier(struct server *v, struct slice payload)
{
	struct journal_barrier b;
	if (!journal_barrier_decode(payload, &b))
		return refuse(v, RMQ_E_PROTOCOL, "BARRIER is malformed");
	v->barrier[v->barriers++] = (struct barrier){v->last_n, b.id};
	return RMQ_E_OK;
}

/* Ranges in ascending order or not, but all of them below the checkpoint. */
static bool ranges_valid(struct slice ranges, uint64_t checkpoint)
{
	struct reader r = reader_of(ranges);
	while (reader_left(&r) > 0) {
		struct hole_range h = hole_range_get(&r);
		if (r.bad || h.first == 0 || h.first >= checkpoint ||
		    h.count > checkpoint - h.first)
			return false;
	}
	return true;
}

static enum rmq_error take_hole(struct server *v, struct slice payload)
{
	struct journal_hole m;
	enum record_kind kind;
	if (!journal_hole_decode(payload, &m) || !ranges_valid(m.ranges, m.checkpoint))
		return refuse(
		    v, RMQ_E_PROTOCOL, "HOLE is malformed or not below its checkpoint");
	enum rmq_error err = m.checkpoint < v->stored_index
				 ? store_kind(v->store, m.checkpoint, &kind)
				 : RMQ_E_NOTHING;
	if (err == RMQ_E_NOTHING || (!err && kind != RECORD_END))
		return refuse(v, RMQ_E_PROTOCOL, "HOLE without the END that allows it");
	if (err)
		return store_failed(v, err);
	struct hole_job *job = &v->hole[(v->hole_first + v->holes) % HOLES_MAX];
	uint8_t *ranges = malloc(m.ranges.len + 1);
	if (!ranges)
		return reason_set(v->why, RMQ_E_IO, "out of memory");
	memcpy(ranges, m.ranges.data, m.ranges.len);
	*job = (struct hole_job){m.checkpoint, ranges, m.ranges.len, 0, 0};
	v->holes++;
	return RMQ_E_OK;
}

static enum rmq_error take_other(struct server *v, const struct frame *f)
{
	switch (f->type) {
	case JOURNAL_TYPE_BARRIER:
		return take_barrier(v, f->payload);
	case JOURNAL_TYPE_HOLE:
		return take_hole(v, f->payload);
	case JOURNAL_TYPE_OPEN:
		return refuse(v, RMQ_E_PROTOCOL, "OPEN, but it is open");
	case JOURNAL_TYPE_APPEND:
		return refuse(v, RMQ_E_PROTOCOL, "APPEND is malformed");
	default:
		return refuse(v, RMQ_E_PROTOCOL, "frame of an unknown type");
	}
}

/*
 * Takes one frame.  RMQ_E_NOTHING: there is none that can be taken now (or ever: v->eof,
 * v->refused).
 */
static enum rmq_error take_frame(struct server *v, bool wait)
{
	for (;;) {
		const uint8_t *head = v->in + v->begin;
		size_t have = v->end - v->begin;
		size_t need = FRAME_HEADER_SIZE;
		struct frame f;
		size_t used;
		if (frame_parse(slice_of(head, have), &f, &used))
			return refuse(v, RMQ_E_PROTOCOL, "malformed frame");
		if (have >= FRAME_HEADER_SIZE) {
			size_t len = load_u32(head);
			bool append = head[4] == JOURNAL_TYPE_APPEND &&
				      len >= JOURNAL_APPEND_HEAD - FRAME_HEADER_SIZE;
			if (append && have >= JOURNAL_APPEND_HEAD)
				return take_append(
				    v, head, len + FRAME_HEADER_SIZE - JOURNAL_APPEND_HEAD);
			need = append ? JOURNAL_APPEND_HEAD : FRAME_HEADER_SIZE + len;
		}
		if (used > 0) {
			v->begin += used;
			return take_other(v, &f);
		}
		enum rmq_error err = v->eof ? RMQ_E_NOTHING : fill(v, need, wait);
		if (err)
			return err;
	}
}

/* ---- commits ---- */

/* Deletes for the oldest HOLE: at most `limit` records, or ranges that are holes already. */
static enum rmq_error dig(struct server *v, unsigned limit)
{
	while (v->holes > 0 && limit > 0) {
		struct hole_job *job = &v->hole[v->hole_first];
		if (job->at == job->len) {
			free(job->ranges);
			v->holed[v->holed_count++] = job->checkpoint;
			v->hole_first = (v->hole_first + 1) % HOLES_MAX;
			v->holes--;
			continue;
		}
		struct reader r = reader_of(slice_of(job->ranges + job->at, HOLE_RANGE_SIZE));
		struct hole_range range = hole_range_get(&r);
		uint64_t end = range.first + range.count;
		uint64_t bytes = store_state(v->store)->bytes;
		unsigned deleted;
		if (job->first < range.first)
			job->first = range.first;
		enum rmq_error err = store_delete(v->store, &job->first, end, limit, &deleted);
		if (err == RMQ_E_PROTOCOL)
			return refuse(v, err, store_reason(v->store)->text);
		if (err)
			return store_failed(v, err);
		limit -= deleted > 0 ? deleted : 1;
		v->freed_bytes += bytes - store_state(v->store)->bytes;
		if (job->first == end) {
			job->at += HOLE_RANGE_SIZE;
			job->first = 0;
		}
	}
	return RMQ_E_OK;
}

static bool commit_is_full(const struct server *v)
{
	return v->commit_bytes >= room_commit_bytes(&v->room, v->store) ||
	       v->barriers == BARRIERS_MAX || v->holes == HOLES_MAX;
}

/* Waits until something can be read, or the room is to be looked at again. */
static bool wait_until_due(struct server *v)
{
	uint64_t now = clock_mono().ms;
	uint64_t due = room_due_ms(&v->room);
	return readable(v, now < due ? (int)(due - now) + 1 : 0);
}

/* Waits for the first frame unless there is other work, then takes all that is there. */
static enum rmq_error gather(struct server *v)
{
	bool idle = v->holes == 0;
	bool limited = room_due_ms(&v->room) != UINT64_MAX;
	while (!commit_is_full(v)) {
		enum rmq_error err = take_frame(v, idle && !limited);
		if (err == RMQ_E_NOTHING && idle && limited && !v->eof && !v->refused) {
			limited = false;
			if (!wait_until_due(v))
				return RMQ_E_OK;
			continue;
		}
		if (err)
			return err == RMQ_E_NOTHING ? RMQ_E_OK : err;
		idle = false;
	}
	return RMQ_E_OK;
}

static enum rmq_error commit(struct server *v)
{
	bool appends = v->last_n > v->stored_n;
	enum rmq_error err = RMQ_E_OK;
	if (v->holes > 0) {
		err = begin_commit(v);
		if (!err)
			err = dig(v, appends ? HOLES_PER_COMMIT : HOLES_PER_IDLE_COMMIT);
		if (err && !v->refused)
			return err;
	}
	if (!store_begun(v->store))
		return RMQ_E_OK;
	err = store_commit(v->store);
	return err ? store_failed(v, err) : RMQ_E_OK;
}

/* ---- answers ---- */

static enum rmq_error send_out(struct server *v)
{
	size_t at = 0;
	assert(!v->out.full);
	while (at < v->out.len) {
		ssize_t n = send(v->fd, v->out_buffer + at, v->out.len - at, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		/* Nobody reads any more; what was sent to us is stored all the same. */
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			break;
		if (n < 0)
			return reason_set(
			    v->why, RMQ_E_IO, "journal socket: %s", strerror(errno));
		at += (size_t)n;
	}
	v->out.len = 0;
	return RMQ_E_OK;
}

static void put_stored(struct server *v, uint64_t up_to)
{
	struct journal_stored m = {
	    v->stored_n + 1, (uint32_t)(up_to - v->stored_n), v->stored_index};
	if (m.count == 0)
		return;
	journal_put_stored(&v->out, &m);
	v->stored_n = up_to;
	v->stored_index += m.count;
}

static enum rmq_error update_room(struct server *v, uint64_t now)
{
	enum rmq_error err =
	    room_update(&v->room, v->store, v->spent_pages, v->freed_bytes > 0, now);
	if (err)
		return store_failed(v, err);
	struct journal_room m = {v->stored_n, room_bytes(&v->room, v->store)};
	if (m.n != v->announced.n || m.bytes != v->announced.bytes)
		journal_put_room(&v->out, &m);
	v->announced = m;
	return RMQ_E_OK;
}

static enum rmq_error answer(struct server *v)
{
	enum rmq_error err = RMQ_E_OK;
	for (size_t i = 0; i < v->barriers; i++) {
		struct journal_barrier_done m = {v->barrier[i].id};
		put_stored(v, v->barrier[i].after);
		journal_put_barrier_done(&v->out, &m);
	}
	put_stored(v, v->last_n);
	for (size_t i = 0; i < v->holed_count; i++) {
		struct journal_holed m = {v->holed[i]};
		journal_put_holed(&v->out, &m);
	}
	/* Making room may take a while: nobody waits for an answer meanwhile. */
	if (room_is_low(&v->room, v->store))
		err = send_out(v);
	uint64_t now = clock_mono().ms;
	if (!err && (v->spent_pages > 0 || v->freed_bytes > 0 || now >= room_due_ms(&v->room)))
		err = update_room(v, now);
	if (!err)
		err = send_out(v);
	v->barriers = 0;
	v->holed_count = 0;
	v->commit_bytes = 0;
	v->spent_pages = 0;
	v->freed_bytes = 0;
	return err;
}

/* ---- the connection ---- */

static enum rmq_error check_open(struct server *v, const struct frame *f)
{
	struct journal_open m;
	uint64_t newest = store_state(v->store)->term;
	if (f->type != JOURNAL_TYPE_OPEN || !journal_open_decode(f->payload, &m) ||
	    m.magic != JOURNAL_MAGIC)
		return refuse(v, RMQ_E_PROTOCOL, "does not begin with OPEN");
	if (m.version != JOURNAL_VERSION)
		return refuse(v, RMQ_E_VERSION, "unknown version of the journal protocol");
	if ((m.term != 0 && m.term < newest) || m.term > INT64_MAX)
		return refuse(v, RMQ_E_PROTOCOL, "OPEN of a term that is over");
	v->term = m.term ? m.term : newest + 1;
	return RMQ_E_OK;
}

static enum rmq_error wait_for_open(struct server *v)
{
	struct frame f;
	size_t used = 0;
	while (used == 0) {
		enum rmq_error err = fill(v, FRAME_HEADER_SIZE, true);
		if (err)
			return err;
		if (frame_parse(slice_of(v->in, v->end), &f, &used) ||
		    v->end > FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX)
			return refuse(v, RMQ_E_PROTOCOL, "malformed frame");
	}
	v->begin = used;
	return check_open(v, &f);
}

/* Also a restart commits before it answers: what it finds is durable then. */
static enum rmq_error answer_open(struct server *v, const char *directory)
{
	uint64_t first;
	enum rmq_error err = store_begin(v->store);
	if (!err) {
		store_set_term(v->store, v->term);
		err = store_commit(v->store);
	}
	if (!err)
		err = store_first(v->store, &first);
	if (!err)
		err = room_init(&v->room, v->store, clock_mono().ms);
	if (err)
		return store_failed(v, err);
	const struct store_state *state = store_state(v->store);
	struct journal_opened m = {JOURNAL_VERSION, v->term, first, state->next - 1,
	    state->checkpoint, slice_str(directory)};
	struct journal_room room = {0, room_bytes(&v->room, v->store)};
	v->announced = room;
	v->stored_index = state->next;
	journal_put_opened(&v->out, &m);
	journal_put_room(&v->out, &room);
	return send_out(v);
}

static enum rmq_error serve(struct server *v, const char *directory)
{
	enum rmq_error err = wait_for_open(v);
	if (err == RMQ_E_OK)
		err = answer_open(v, directory);
	while (!err && !v->refused && (!v->eof || v->begin < v->end)) {
		size_t before = v->end - v->begin;
		err = gather(v);
		if (!err)
			err = commit(v);
		if (!err)
			err = answer(v);
		/* What is left behind the end is no whole frame. */
		if (v->eof && v->end - v->begin == before)
			break;
	}
	return err;
}

enum rmq_error journal_serve(int fd, struct store *s, const char *directory, struct reason *why)
{
	struct server *v = calloc(1, sizeof(*v));
	if (!v)
		return reason_set(why, RMQ_E_IO, "out of memory");
	v->fd = fd;
	v->store = s;
	v->why = why;
	v->out = writer_of(v->out_buffer, OUT_SIZE);
	enum rmq_error err = serve(v, directory);
	if (v->refused) {
		*why = v->refusal;
		err = v->refused;
	} else if (err == RMQ_E_NOTHING) {
		err = RMQ_E_OK;
	}
	if (err)
		journal_refuse(fd, err, why->text);
	for (size_t i = 0; i < v->holes; i++)
		free(v->hole[(v->hole_first + i) % HOLES_MAX].ranges);
	free(v);
	return err;
}

void journal_refuse(int fd, enum rmq_error code, const char *text)
{
	uint8_t buffer[FRAME_HEADER_SIZE + TEXT_MAX + 2];
	struct writer w = writer_of(buffer, sizeof(buffer));
	struct slice s = slice_str(text);
	struct journal_error m = {
	    (uint8_t)code, slice_of(s.data, s.len < TEXT_MAX ? s.len : TEXT_MAX)};
	journal_put_error(&w, &m);
	ssize_t n = send(fd, buffer, w.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)n; /* whoever it was, the exit code says it too */
}
