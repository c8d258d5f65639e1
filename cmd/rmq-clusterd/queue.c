#include "queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node.h"
#include "state.h"
#include "supervisor.h"
#include "sys/log.h"

/* The longest answer. */
#define ANSWER_MAX 64
/* A change of the room that is told, unless it comes to nothing. */
#define ROOM_STEP_BYTES (256u << 10)

static void lost(struct queue *q, const char *why)
{
	if (q->broken)
		return;
	q->broken = true;
	supervisor_lost(q->cluster, why);
}

/* ---- answers ---- */

static void flush(struct queue *q)
{
	if (q->out_len == 0 || q->broken)
		return;
	ssize_t n = write(q->fd, q->out, q->out_len);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		/* What it said before it died is read first. */
		q->out_len = 0;
		return;
	}
	if (n > 0) {
		q->out_len -= (size_t)n;
		memmove(q->out, q->out + n, q->out_len);
	}
}

/* Room for one more answer; while there is none, nothing is read that may want one. */
static bool answerable(struct queue *q)
{
	if (sizeof(q->out) - q->out_len < 4 * ANSWER_MAX)
		flush(q);
	return sizeof(q->out) - q->out_len >= 4 * ANSWER_MAX;
}

static struct writer answer(struct queue *q)
{
	return writer_of(q->out + q->out_len, sizeof(q->out) - q->out_len);
}

static void answered(struct queue *q, const struct writer *w)
{
	assert(!w->full);
	q->out_len += w->len;
}

static void tell_holed(struct queue *q)
{
	while (q->hole_count > 0 && answerable(q)) {
		uint64_t checkpoint = q->holes[q->hole_first];
		if (checkpoint > q->cluster->ends.followed)
			return;
		struct writer w = answer(q);
		journal_put_holed(&w, &(struct journal_holed){checkpoint});
		answered(q, &w);
		q->hole_first = (q->hole_first + 1) % QUEUE_WAITS_MAX;
		q->hole_count--;
	}
}

static void tell_barriers(struct queue *q)
{
	while (q->barrier_count > 0 && answerable(q)) {
		const struct queue_barrier *b = &q->barriers[q->barrier_first];
		if (b->round > q->rounds_done || b->after_n > q->stored_n)
			return;
		struct writer w = answer(q);
		journal_put_barrier_done(&w, &(struct journal_barrier_done){b->id});
		answered(q, &w);
		q->room_told = q->room_told && !b->reserves;
		q->barrier_first = (q->barrier_first + 1) % QUEUE_WAITS_MAX;
		q->barrier_count--;
	}
}

static struct queue_record *record_at(struct queue *q, uint64_t n)
{
	return &q->ring[n % QUEUE_UNSTORED_RECORDS];
}

/* Runs of APPENDs whose indexes follow each other. */
static void tell_stored(struct queue *q, uint64_t index)
{
	while (q->stored_n < q->proposed_n && answerable(q)) {
		uint64_t first_n = q->stored_n + 1, first_index = record_at(q, first_n)->index;
		uint32_t count = 0;
		while (first_n + count <= q->proposed_n) {
			const struct queue_record *r = record_at(q, first_n + count);
			if (r->index > index || r->index != first_index + count)
				break;
			q->unstored_bytes -= r->bytes;
			count++;
		}
		if (count == 0)
			return;
		struct writer w = answer(q);
		journal_put_stored(&w, &(struct journal_stored){first_n, count, first_index});
		answered(q, &w);
		q->stored_n += count;
	}
}

static void tell_room(struct queue *q)
{
	uint64_t bytes = node_room(q->cluster);
	uint64_t shown = q->room_bytes;

	/* What was appended since counts against it, at the other end as well. */
	uint64_t since = tail_bytes_behind(&q->cluster->tail, q->room_n);
	shown = shown > since ? shown - since : 0;
	uint64_t change = bytes > shown ? bytes - shown : shown - bytes;
	if (!q->opened || !answerable(q) ||
	    (q->room_told && change < ROOM_STEP_BYTES && (bytes > 0 || shown == 0)))
		return;
	struct writer w = answer(q);
	journal_put_room(&w, &(struct journal_room){q->proposed_n, bytes});
	answered(q, &w);
	q->room_told = true;
	q->room_bytes = bytes;
	q->room_n = q->cluster->tail.end - 1;
}

/* ---- what it says ---- */

static bool take_open(struct queue *q, struct slice payload)
{
	struct journal_open m;
	struct store_state state;

	char text[TEXT_MAX];

	if (q->opened || journal_open_check(JOURNAL_TYPE_OPEN, payload, text, sizeof(text)) ||
	    !journal_open_decode(payload, &m))
		return false;
	uint64_t first = disk_state(&q->cluster->disk, &state);
	uint8_t frame[FRAME_HEADER_SIZE + 64 + PATH_MAX];
	struct writer w = writer_of(frame, sizeof(frame));
	journal_put_opened(
	    &w, &(struct journal_opened){JOURNAL_VERSION, JOURNAL_FEATURES, q->term, first,
		    q->cluster->committed, state.checkpoint, NO_TAGS, slice_str(q->cluster->disk.directory)});
	if (w.full || w.len > sizeof(q->out) - q->out_len)
		return false;
	memcpy(q->out + q->out_len, frame, w.len);
	q->out_len += w.len;
	q->opened = true;
	return true;
}

static bool take_append(struct queue *q, struct slice payload)
{
	struct journal_append m;

	if (!q->opened || !journal_append_decode(payload, &m) ||
	    m.n != q->proposed_n + q->count + 1 || m.payload.len > RECORD_PAYLOAD_MAX ||
	    !record_kind_name(m.kind) || m.kind == RECORD_NOOP || m.kind == RECORD_CONFIG)
		return false;
	q->runs[q->count] = (struct raft_run){.kind = m.kind, .bytes = (uint32_t)m.payload.len};
	q->pieces[q->count] = (struct piece){m.payload, chunk_hold(q->in)};
	q->count++;
	q->bytes += m.payload.len;
	return true;
}

/* All BARRIERs of a turn share a round. */
static bool take_barrier(struct queue *q, struct slice payload)
{
	struct journal_barrier m;

	if (!q->opened || !journal_barrier_decode(payload, &m) ||
	    q->barrier_count == QUEUE_WAITS_MAX)
		return false;
	unsigned at = (q->barrier_first + q->barrier_count++) % QUEUE_WAITS_MAX;
	q->barriers[at] = (struct queue_barrier){
	    m.id, q->proposed_n + q->count, q->cluster->rounds + 1, q->reserved};
	q->reserved = false;
	q->round_wanted = true;
	return true;
}

/* This node's disk keeps it back, as long as this node leads. */
static bool take_reserve(struct queue *q, struct slice payload)
{
	struct journal_reserve m;

	if (!q->opened || !journal_reserve_decode(payload, &m))
		return false;
	disk_reserve(&q->cluster->disk, m.bytes);
	q->reserved = true;
	return true;
}

/* The END that says so makes the holes, here as on the other nodes; see ends.h. */
static bool take_hole(struct queue *q, struct slice payload)
{
	struct journal_hole m;

	if (!q->opened || !journal_hole_decode(payload, &m) ||
	    m.checkpoint > q->cluster->committed || q->hole_count == QUEUE_WAITS_MAX)
		return false;
	q->holes[(q->hole_first + q->hole_count++) % QUEUE_WAITS_MAX] = m.checkpoint;
	return true;
}

static bool take(struct queue *q, const struct frame *f)
{
	switch (f->type) {
	case JOURNAL_TYPE_OPEN:
		return take_open(q, f->payload);
	case JOURNAL_TYPE_APPEND:
		return take_append(q, f->payload);
	case JOURNAL_TYPE_BARRIER:
		return take_barrier(q, f->payload);
	case JOURNAL_TYPE_HOLE:
		return take_hole(q, f->payload);
	case JOURNAL_TYPE_RESERVE:
		return take_reserve(q, f->payload);
	}
	return false;
}

/* Gives what was appended to the cluster; false: it cannot be now. */
static bool propose(struct queue *q)
{
	if (q->count == 0)
		return true;
	enum rmq_error err = node_propose(q->cluster, q->runs, q->pieces, q->count);
	q->paused = err == RMQ_E_BUSY;
	if (q->paused)
		return false;
	for (unsigned i = 0; i < q->count; i++)
		chunk_drop(q->pieces[i].chunk);
	q->count = 0;
	q->bytes = 0;
	if (err)
		lost(q, "it sent what cannot be stored");
	return !err;
}

/* All whole frames that were read, as far as there is room for them. */
static void take_frames(struct queue *q)
{
	struct frame f;
	size_t used;

	while (!q->broken && q->in) {
		struct slice rest = slice_of(q->in->bytes + q->taken, q->in->len - q->taken);
		enum rmq_error err = frame_parse(rest, &f, &used);
		if (!err && used == 0)
			return;
		if (q->count == QUEUE_TURN_RECORDS && !propose(q))
			return;
		if (err || !take(q, &f)) {
			lost(q, "it sent a malformed frame, or one out of place");
			return;
		}
		q->taken += used;
	}
}

/* A frame is in one piece: the begin of one that does not fit moves to the next chunk. */
static void make_room(struct queue *q)
{
	size_t rest = q->in ? q->in->len - q->taken : 0;

	if (q->in && (chunk_room(q->in) > 0) &&
	    q->in->cap - q->taken >= FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX)
		return;
	struct chunk *next = chunk_new(CHUNK_SIZE);
	if (rest > 0)
		memcpy(next->bytes, q->in->bytes + q->taken, rest);
	next->len = rest;
	chunk_drop(q->in);
	q->in = next;
	q->taken = 0;
}

static bool may_read(const struct queue *q)
{
	return !q->broken && !q->paused && q->unstored_bytes < QUEUE_UNSTORED_BYTES &&
	       q->proposed_n - q->stored_n < QUEUE_UNSTORED_RECORDS - 2 * QUEUE_TURN_RECORDS &&
	       q->barrier_count < QUEUE_WAITS_MAX / 2 && q->hole_count < QUEUE_WAITS_MAX / 2 &&
	       q->out_len < sizeof(q->out) / 2;
}

static void read_some(struct queue *q)
{
	size_t got = 0;

	while (got < QUEUE_TURN_BYTES && may_read(q)) {
		make_room(q);
		ssize_t n = read(q->fd, q->in->bytes + q->in->len, chunk_room(q->in));
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			lost(q, NULL);
			return;
		}
		q->in->len += (size_t)n;
		got += (size_t)n;
		take_frames(q);
	}
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void watch(struct queue *q)
{
	int events = (may_read(q) ? UV_READABLE : 0) | (q->out_len > 0 ? UV_WRITABLE : 0);

	if (q->broken)
		events = 0;
	if (events == q->events)
		return;
	q->events = events;
	if (events)
		uv_poll_start(&q->poll, events, on_poll);
	else
		uv_poll_stop(&q->poll);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct queue *q = poll->data;

	if (events & UV_WRITABLE)
		flush(q);
	if (status < 0) {
		/* libuv has stopped watching; what it said before its end is read first. */
		q->events = 0;
		events |= UV_READABLE;
	}
	if (events & UV_READABLE)
		read_some(q);
}

void queue_turn(struct queue *q)
{
	if (q->broken)
		return;
	if (propose(q) && !q->paused)
		take_frames(q);
	if (q->round_wanted && !q->broken && node_barrier(q->cluster, q->cluster->rounds + 1)) {
		q->round_wanted = false;
		q->cluster->rounds++;
	}
	tell_stored(q, q->cluster->committed);
	tell_barriers(q);
	tell_holed(q);
	tell_room(q);
	flush(q);
	watch(q);
}

/* ---- life ---- */

void queue_indexed(struct queue *q, uint64_t index, uint32_t bytes)
{
	*record_at(q, ++q->proposed_n) = (struct queue_record){index, bytes};
	q->unstored_bytes += bytes;
}

void queue_round_done(struct queue *q, uint64_t round)
{
	if (round > q->rounds_done)
		q->rounds_done = round;
}

struct queue *queue_open(struct cluster *c, int fd, uint64_t term, int *err)
{
	struct queue *q = calloc(1, sizeof(*q));

	if (q)
		q->ring = calloc(QUEUE_UNSTORED_RECORDS, sizeof(*q->ring));
	if (!q || !q->ring)
		abort();
	q->cluster = c;
	q->fd = fd;
	q->term = term;
	*err = uv_poll_init(&c->loop, &q->poll, fd);
	if (*err) {
		free(q->ring);
		free(q);
		return NULL;
	}
	q->poll.data = q;
	watch(q);
	return q;
}

static void on_closed(uv_handle_t *handle)
{
	struct queue *q = handle->data;
	free(q->ring);
	free(q);
}

void queue_close(struct queue *q)
{
	q->broken = true;
	uv_poll_stop(&q->poll);
	close(q->fd);
	for (unsigned i = 0; i < q->count; i++)
		chunk_drop(q->pieces[i].chunk);
	q->count = 0;
	chunk_drop(q->in);
	q->in = NULL;
	uv_close((uv_handle_t *)&q->poll, on_closed);
}
