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
#include "sys/journal/journal_server.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/journal/journal_io.h"
#include "sys/journal/replica_server.h"
#include "sys/process/clock.h"
#include "sys/store/room.h"
#include "sys/store/store_watch.h"

#define BARRIERS_MAX	      1024 /* answered with one commit */
#define HOLES_MAX	      64 /* frames that wait; no input is taken while there are more */
#define HOLES_PER_COMMIT      256
#define HOLES_PER_IDLE_COMMIT 1024
/* How long the rest of a frame may take before what came ahead of it is committed. */
#define REST_WAIT_MS 5
/* How long a look for room is put off at most. */
#define ROOM_WAIT_MS 1000

static_assert(
    BARRIERS_MAX * (FRAME_HEADER_SIZE + 8 + FRAME_HEADER_SIZE + 20) + 4096 <= JOURNAL_IO_OUT,
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
	struct journal_io *io;
	struct store *store;
	const char *directory;
	void (*tell_wait)(const char *directory, bool begins);
	struct room room;
	struct journal_room announced;
	uint64_t term;
	uint64_t last_n;       /* taken */
	uint64_t stored_n;     /* answered with STORED */
	uint64_t stored_index; /* of APPEND stored_n + 1 */
	/* this commit */
	uint64_t commit_bytes;
	enum room_records commit_of; /* its largest record */
	bool waits;		     /* the next record has no room */
	bool wait_told;
	bool reserved; /* RESERVE came: ROOM is due */
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
};

static enum rmq_error store_failed(struct server *v, enum rmq_error err)
{
	*v->io->why = *store_reason(v->store);
	return err;
}

static enum rmq_error refuse(struct server *v, enum rmq_error code, const char *text)
{
	return journal_io_refuse(v->io, code, text);
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
static enum rmq_error read_rest(
    struct server *v, struct slice head, uint8_t *payload, size_t len)
{
	size_t done = 0;
	while (done < len) {
		size_t got = 0;
		bool others = v->last_n > v->stored_n || v->barriers > 0;
		enum rmq_error err =
		    journal_io_read(v->io, payload + done, len - done, !others, &got);
		done += got;
		if (err == RMQ_E_NOTHING && !v->io->eof && others &&
		    journal_io_readable(v->io, REST_WAIT_MS))
			continue;
		if (err == RMQ_E_NOTHING) {
			journal_io_unread(v->io, head, payload, done);
			err = store_drop(v->store);
			return err ? store_failed(v, err) : RMQ_E_NOTHING;
		}
		if (err)
			return err;
	}
	return RMQ_E_OK;
}

/* Whether pages exist for the commit with such a record in it. */
static bool fits(struct server *v, size_t payload_len)
{
	enum room_records of = room_records(v->store, payload_len);
	uint64_t bytes = v->commit_bytes + RECORD_HEADER_SIZE + payload_len;
	if (v->commit_bytes > 0 && v->commit_of > of)
		of = v->commit_of;
	room_ask(&v->room, v->store, bytes, of);
	v->waits = !room_fits(&v->room, v->store);
	if (!v->waits)
		v->commit_of = of;
	return !v->waits;
}

static enum rmq_error take_append(struct server *v, const struct journal_io_frame *f)
{
	uint8_t head[JOURNAL_APPEND_HEAD];
	uint8_t *payload;
	uint64_t n = load_u64(f->payload.data);
	unsigned kind = f->payload.data[8];
	if (n != v->last_n + 1)
		return refuse(v, RMQ_E_PROTOCOL, "APPEND is out of order");
	if (f->rest > RECORD_PAYLOAD_MAX)
		return refuse(v, RMQ_E_PROTOCOL, "APPEND is too long for a record");
	if (!record_kind_name(kind))
		return refuse(v, RMQ_E_VERSION, "APPEND of an unknown kind of record");
	if (!fits(v, f->rest)) {
		journal_io_put_back(v->io, f);
		return RMQ_E_NOTHING;
	}
	enum rmq_error err = begin_commit(v);
	if (err)
		return err;
	struct record_header h = {(enum record_kind)kind, store_state(v->store)->next, v->term};
	err = store_reserve(v->store, &h, f->rest, &payload);
	if (err)
		return store_failed(v, err);
	frame_header(head, JOURNAL_TYPE_APPEND, f->payload.len + f->rest);
	memcpy(head + FRAME_HEADER_SIZE, f->payload.data, f->payload.len);
	err = read_rest(v, slice_of(head, sizeof(head)), payload, f->rest);
	if (err)
		return err;
	err = store_seal(v->store);
	if (err)
		return store_failed(v, err);
	v->last_n = n;
	v->commit_bytes += RECORD_HEADER_SIZE + f->rest;
	v->spent_pages += store_record_pages(v->store, f->rest);
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
		return reason_set(v->io->why, RMQ_E_IO, "out of memory");
	memcpy(ranges, m.ranges.data, m.ranges.len);
	*job = (struct hole_job){m.checkpoint, ranges, m.ranges.len, 0, 0};
	v->holes++;
	return RMQ_E_OK;
}

static enum rmq_error take_reserve(struct server *v, struct slice payload)
{
	struct journal_reserve m;
	if (!journal_reserve_decode(payload, &m))
		return refuse(v, RMQ_E_PROTOCOL, "RESERVE is malformed");
	room_keep(&v->room, m.bytes);
	v->reserved = true;
	return RMQ_E_OK;
}

static enum rmq_error take_other(struct server *v, const struct journal_io_frame *f)
{
	switch (f->type) {
	case JOURNAL_TYPE_BARRIER:
		return take_barrier(v, f->payload);
	case JOURNAL_TYPE_HOLE:
		return take_hole(v, f->payload);
	case JOURNAL_TYPE_RESERVE:
		return take_reserve(v, f->payload);
	case JOURNAL_TYPE_OPEN:
	case JOURNAL_TYPE_OPEN_REPLICA:
		return refuse(v, RMQ_E_PROTOCOL, "OPEN, but it is open");
	case JOURNAL_TYPE_APPEND:
		return refuse(v, RMQ_E_PROTOCOL, "APPEND is malformed");
	default:
		return refuse(v, RMQ_E_PROTOCOL, "frame of an unknown type");
	}
}

/*
 * Takes one frame.  RMQ_E_NOTHING: there is none that can be taken now (or ever: io->eof,
 * io->refused).
 */
static enum rmq_error take_frame(struct server *v)
{
	struct journal_io_frame f;
	enum rmq_error err = journal_io_next(
	    v->io, JOURNAL_TYPE_APPEND, JOURNAL_APPEND_HEAD - FRAME_HEADER_SIZE, false, &f);
	if (err)
		return err;
	return f.big ? take_append(v, &f) : take_other(v, &f);
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

/* Waits until something can be read, or the room is to be looked at again, or we are poked. */
static bool wait_until_due(struct server *v)
{
	uint64_t now = clock_mono().ms;
	uint64_t due = room_due_ms(&v->room);
	int ms = due == UINT64_MAX ? -1 : now < due ? (int)(due - now) + 1 : 0;
	return journal_io_readable(v->io, ms);
}

/* Waits for the first frame unless there is other work, then takes all that is there. */
static enum rmq_error gather(struct server *v)
{
	bool idle = v->holes == 0;
	v->waits = false;
	while (!commit_is_full(v)) {
		enum rmq_error err = take_frame(v);
		if (v->waits)
			return err == RMQ_E_NOTHING ? RMQ_E_OK : err;
		if (err == RMQ_E_NOTHING && idle && !v->io->eof && !v->io->refused) {
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

/* Also without records: readers know by a commit that there is a new file. */
static enum rmq_error follow(struct server *v)
{
	unsigned switches = store_switches(v->store);
	v->io->poked = false;
	enum rmq_error err = begin_commit(v);
	if (!err && store_switches(v->store) != switches)
		store_set_term(v->store, store_state(v->store)->term);
	return err;
}

static enum rmq_error commit(struct server *v)
{
	bool appends = v->last_n > v->stored_n;
	enum rmq_error err = v->io->poked ? follow(v) : RMQ_E_OK;
	if (!err && v->holes > 0) {
		err = begin_commit(v);
		if (!err)
			err = dig(v, appends ? HOLES_PER_COMMIT : HOLES_PER_IDLE_COMMIT);
		if (err && !v->io->refused)
			return err;
	}
	if (!store_begun(v->store))
		return RMQ_E_OK;
	err = store_commit(v->store);
	return err ? store_failed(v, err) : RMQ_E_OK;
}

/* ---- answers ---- */

static void put_stored(struct server *v, uint64_t up_to)
{
	struct journal_stored m = {
	    v->stored_n + 1, (uint32_t)(up_to - v->stored_n), v->stored_index};
	if (m.count == 0)
		return;
	journal_put_stored(&v->io->out, &m);
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
	if (v->reserved || m.n != v->announced.n || m.bytes != v->announced.bytes)
		journal_put_room(&v->io->out, &m);
	v->announced = m;
	/* The opener goes by the one after the answer to its BARRIER. */
	v->reserved = v->reserved && v->barriers == 0;
	return RMQ_E_OK;
}

static enum rmq_error answer(struct server *v)
{
	enum rmq_error err = RMQ_E_OK;
	for (size_t i = 0; i < v->barriers; i++) {
		struct journal_barrier_done m = {v->barrier[i].id};
		put_stored(v, v->barrier[i].after);
		journal_put_barrier_done(&v->io->out, &m);
	}
	put_stored(v, v->last_n);
	for (size_t i = 0; i < v->holed_count; i++) {
		struct journal_holed m = {v->holed[i]};
		journal_put_holed(&v->io->out, &m);
	}
	/* Making room may take a while: nobody waits for an answer meanwhile. */
	if (room_is_low(&v->room, v->store))
		err = journal_io_send(v->io);
	uint64_t now = clock_mono().ms;
	bool other_file = v->room.switches != store_switches(v->store);
	if (!err && (other_file || v->spent_pages > 0 || v->freed_bytes > 0 || v->waits ||
			v->reserved || now >= room_due_ms(&v->room)))
		err = update_room(v, now);
	if (!err)
		err = journal_io_send(v->io);
	v->barriers = 0;
	v->holed_count = 0;
	v->commit_bytes = 0;
	v->spent_pages = 0;
	v->freed_bytes = 0;
	return err;
}

/* ---- no room ---- */

/* Until there may be room for the next record.  False: its sender is gone. */
static bool wait_for_room(struct server *v)
{
	uint64_t now = clock_mono().ms;
	uint64_t due = room_due_ms(&v->room);
	if (!v->wait_told && v->tell_wait)
		v->tell_wait(v->directory, true);
	v->wait_told = true;
	return !journal_io_gone(v->io, due <= now		  ? 1
				       : due - now < ROOM_WAIT_MS ? (int)(due - now)
								  : ROOM_WAIT_MS);
}

static void end_wait(struct server *v)
{
	if (v->wait_told && v->tell_wait)
		v->tell_wait(v->directory, false);
	v->wait_told = false;
}

/* ---- the connection ---- */

static enum rmq_error check_open(struct server *v, const struct journal_io_frame *f)
{
	struct journal_open m;
	uint64_t newest = store_state(v->store)->term;
	char text[TEXT_MAX] = "does not begin with OPEN";
	enum rmq_error err = journal_open_check(f->type, f->payload, text, sizeof(text));
	if (err || !journal_open_decode(f->payload, &m))
		return refuse(v, err ? err : RMQ_E_PROTOCOL, text);
	if (store_replica(v->store)->present)
		return refuse(
		    v, RMQ_E_CONFIG, "directory belongs to a cluster: run rmq-clusterd");
	if ((m.term != 0 && m.term < newest) || m.term > INT64_MAX)
		return refuse(v, RMQ_E_PROTOCOL, "OPEN of a term that is over");
	v->term = m.term ? m.term : newest + 1;
	return RMQ_E_OK;
}

/* Also a restart commits before it answers: what it finds is durable then. */
static enum rmq_error answer_open(struct server *v)
{
	uint64_t first;
	enum rmq_error err = room_init(&v->room, v->store, clock_mono().ms);
	while (!err && !room_for_one(&v->room, v->store)) {
		if (!wait_for_room(v))
			return RMQ_E_NOTHING;
		err = room_update(&v->room, v->store, 0, false, clock_mono().ms);
	}
	if (!err)
		err = store_begin(v->store);
	if (!err) {
		store_set_term(v->store, v->term);
		err = store_commit(v->store);
	}
	if (!err)
		err = store_first(v->store, &first);
	if (err)
		return store_failed(v, err);
	const struct store_state *state = store_state(v->store);
	uint8_t tags[TAG_U64_SIZE];
	struct journal_opened m = {JOURNAL_VERSION, JOURNAL_FEATURES, v->term, first,
	    state->next - 1, state->checkpoint,
	    tags_of_u64(tags, JOURNAL_TAG_OPENED_LEVEL, level_newest()),
	    slice_str(v->directory)};
	struct journal_room room = {0, room_bytes(&v->room, v->store)};
	v->announced = room;
	v->stored_index = state->next;
	journal_put_opened(&v->io->out, &m);
	journal_put_room(&v->io->out, &room);
	return journal_io_send(v->io);
}

static enum rmq_error serve(struct server *v, const struct journal_io_frame *open)
{
	struct journal_io *io = v->io;
	enum rmq_error err = check_open(v, open);
	if (err == RMQ_E_OK)
		err = answer_open(v);
	while (!err && !io->refused && (!io->eof || io->begin < io->end)) {
		size_t before = io->end - io->begin;
		err = gather(v);
		if (!err)
			err = commit(v);
		if (!err)
			err = answer(v);
		if (!err && v->waits && v->holes == 0 && !room_fits(&v->room, v->store)) {
			if (!wait_for_room(v))
				break;
			continue;
		}
		if (!v->waits && io->end - io->begin != before)
			end_wait(v);
		/* What is left behind the end is no whole frame. */
		if (io->eof && io->end - io->begin == before && !v->waits)
			break;
	}
	return err;
}

static enum rmq_error serve_one_node(struct journal_io *io, struct store *s,
    const struct journal_io_frame *open, const char *directory,
    void (*waits)(const char *directory, bool begins))
{
	struct server *v = calloc(1, sizeof(*v));
	if (!v)
		return reason_set(io->why, RMQ_E_IO, "out of memory");
	v->io = io;
	v->store = s;
	v->directory = directory;
	v->tell_wait = waits;
	enum rmq_error err = serve(v, open);
	for (size_t i = 0; i < v->holes; i++)
		free(v->hole[(v->hole_first + i) % HOLES_MAX].ranges);
	free(v);
	return err;
}

static enum rmq_error serve_opener(struct journal_io *io, struct store *s,
    const char *directory, void (*waits)(const char *directory, bool begins))
{
	struct journal_io_frame f;
	enum rmq_error err = journal_io_next(io, 0, SIZE_MAX, true, &f);
	if (err)
		return err;
	switch (f.type) {
	case JOURNAL_TYPE_OPEN:
		return serve_one_node(io, s, &f, directory, waits);
	case JOURNAL_TYPE_OPEN_REPLICA:
		return replica_serve(io, s, &f, directory);
	default:
		return journal_io_refuse(io, RMQ_E_PROTOCOL, "does not begin with OPEN");
	}
}

enum rmq_error journal_serve(int fd, struct store *s, const char *directory,
    void (*waits)(const char *directory, bool begins), struct reason *why)
{
	struct journal_io *io = malloc(sizeof(*io));
	if (!io)
		return reason_set(why, RMQ_E_IO, "out of memory");
	int watch = store_watch_open(directory);
	journal_io_init(io, fd, watch, why);
	enum rmq_error err = serve_opener(io, s, directory, waits);
	if (io->refused) {
		*why = io->refusal;
		err = io->refused;
	} else if (err == RMQ_E_NOTHING) {
		err = RMQ_E_OK;
	}
	if (watch >= 0)
		close(watch);
	free(io);
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
