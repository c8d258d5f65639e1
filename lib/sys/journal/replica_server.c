/*
 * One loop, as in journal_server.c: gather transactions, commit, answer.  What is gathered is
 * made in the store at once, so nothing is committed while a transaction is taken in: its
 * sender has it whole, and the rest is waited for.
 *
 * A transaction with records begins only if there is room for them: on a full disk it waits,
 * and all after it.  One without needs a few pages, and some are always left for it.
 *
 * Invariant: a commit holds whole transactions.
 */
#include "sys/journal/replica_server.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "sys/process/clock.h"
#include "sys/store/room.h"

#define COMMIT_BYTES (1u << 20)
/* How long a look for room is put off at most. */
#define ROOM_WAIT_MS 1000

struct replica_server {
	struct journal_io *io;
	struct store *store;
	struct room room;
	struct journal_room announced;
	bool tells_fits;	  /* to an opener that knows FITS */
	struct journal_fits fits; /* told last */
	bool reserved;		  /* RESERVE came: the room is to be looked at */
	uint64_t seq;		  /* taken */
	uint64_t stored;	  /* answered */
	bool begun;		  /* `txn` was read; what it holds was not */
	struct journal_txn txn;
	struct raft_id vote; /* in txn */
	uint64_t bytes;	     /* of txn, that its RECORDs may still have */
	/* this commit */
	uint64_t commit_bytes;
	uint64_t spent_pages;
	bool freed;
};

static enum rmq_error store_failed(struct replica_server *v, enum rmq_error err)
{
	*v->io->why = *store_reason(v->store);
	return err;
}

static enum rmq_error refuse(struct replica_server *v, const char *text)
{
	return journal_io_refuse(v->io, RMQ_E_PROTOCOL, text);
}

/* ---- a transaction ---- */

/* Whether what the node knew before allows it; why not. */
static const char *check_txn(const struct replica_server *v, const struct journal_txn *m)
{
	const struct store_state *state = store_state(v->store);
	const struct store_replica *old = store_replica(v->store);
	/* What one node stored alone is committed. */
	uint64_t committed = old->present ? old->commit : state->next - 1;
	if (m->bytes > JOURNAL_TXN_MAX)
		return "TXN is too long";
	if (m->seq != v->seq + 1)
		return "TXN is out of order";
	if (m->term < state->term || m->term > INT64_MAX)
		return "TXN of a term that is over";
	/* That it has forgotten its votes, and later that this is over, is no vote. */
	uint64_t index;
	bool forgot = raft_id_forgot(old->vote, &index) || raft_id_forgot(v->vote, &index);
	if (m->term == state->term && !raft_id_none(old->vote) && !forgot &&
	    !raft_id_eq(old->vote, v->vote))
		return "TXN with a second vote in one term";
	if (m->commit < old->commit)
		return "TXN takes back committed records";
	if (m->cover_index < old->cover_index ||
	    (m->cover_index == old->cover_index && m->cover_term != old->cover_term &&
		old->present))
		return "TXN with an older cover";
	if (m->truncate != 0 && (m->truncate <= committed || m->truncate > state->next))
		return "TXN truncates records that are committed, or not there";
	return NULL;
}

static enum rmq_error take_reserve(struct replica_server *v, struct slice payload)
{
	struct journal_reserve m;
	if (!journal_reserve_decode(payload, &m))
		return refuse(v, "RESERVE is malformed");
	room_keep(&v->room, m.bytes);
	v->reserved = true;
	return RMQ_E_OK;
}

static enum rmq_error take_ended(struct replica_server *v, struct slice payload)
{
	struct journal_ended m;
	if (!journal_ended_decode(payload, &m))
		return refuse(v, "ENDED is malformed");
	enum rmq_error err = store_begun(v->store) ? RMQ_E_OK : store_begin(v->store);
	if (!err)
		err = store_put_ended(v->store, (enum raft_how)m.how);
	return err ? store_failed(v, err) : RMQ_E_OK;
}

/* A TXN begins, or RESERVE or ENDED was said.  RMQ_E_NOTHING: there is none now. */
static enum rmq_error take_head(struct replica_server *v, bool wait)
{
	struct journal_io_frame f;
	enum rmq_error err = journal_io_next(v->io, 0, SIZE_MAX, wait, &f);
	if (err)
		return err;
	if (f.type == JOURNAL_TYPE_RESERVE)
		return take_reserve(v, f.payload);
	if (f.type == JOURNAL_TYPE_ENDED)
		return take_ended(v, f.payload);
	if (f.type != JOURNAL_TYPE_TXN || !journal_txn_decode(f.payload, &v->txn) ||
	    (v->txn.vote.len != 0 && v->txn.vote.len != RAFT_ID_SIZE))
		return refuse(v, "no TXN, or a malformed one");
	v->vote = (struct raft_id){{0}};
	if (v->txn.vote.len > 0)
		memcpy(v->vote.bytes, v->txn.vote.data, RAFT_ID_SIZE);
	const char *wrong = check_txn(v, &v->txn);
	if (wrong)
		return refuse(v, wrong);
	v->begun = true;
	v->bytes = v->txn.bytes;
	size_t head = RECORD_HEADER_SIZE, largest = v->txn.largest;
	room_ask(&v->room, v->store, v->bytes,
	    room_records(v->store, largest > head ? largest - head : 0));
	return RMQ_E_OK;
}

static bool is_next(const struct replica_server *v, uint64_t index, uint64_t term)
{
	return index == store_state(v->store)->next && index < INT64_MAX &&
	       term >= store_last_term(v->store) && term > 0 && term <= v->txn.term;
}

static enum rmq_error take_record(struct replica_server *v, const struct journal_io_frame *f)
{
	uint8_t *payload;
	struct journal_record m;
	if (!journal_record_decode(f->payload, &m) || !is_next(v, m.index, m.term))
		return refuse(v, "RECORD is malformed, or not the next one");
	if (!record_kind_name(m.kind))
		return journal_io_refuse(
		    v->io, RMQ_E_VERSION, "RECORD of an unknown kind of record");
	if (f->rest > RECORD_PAYLOAD_MAX || RECORD_HEADER_SIZE + f->rest > v->bytes ||
	    RECORD_HEADER_SIZE + f->rest > v->txn.largest)
		return refuse(v, "RECORD is too long, or there are more than TXN said");
	struct record_header h = {(enum record_kind)m.kind, m.index, m.term};
	enum rmq_error err = store_reserve(v->store, &h, f->rest, &payload);
	if (err)
		return store_failed(v, err);
	for (size_t done = 0, got; done < f->rest; done += got) {
		err = journal_io_read(v->io, payload + done, f->rest - done, true, &got);
		if (err)
			return err;
	}
	err = store_seal(v->store);
	if (err)
		return store_failed(v, err);
	v->bytes -= RECORD_HEADER_SIZE + f->rest;
	v->commit_bytes += RECORD_HEADER_SIZE + f->rest;
	v->spent_pages += store_record_pages(v->store, f->rest);
	return RMQ_E_OK;
}

static enum rmq_error take_holes(struct replica_server *v, struct slice payload)
{
	struct journal_holes m;
	if (!journal_holes_decode(payload, &m) || m.count == 0 || !is_next(v, m.first, m.term))
		return refuse(v, "HOLES is malformed, or not the next");
	if (m.first + m.count - 1 > v->txn.commit)
		return refuse(v, "HOLES of records that are not committed");
	enum rmq_error err = store_append_holes(v->store, m.count, m.term);
	return err ? store_failed(v, err) : RMQ_E_OK;
}

static enum rmq_error dig(struct replica_server *v, struct slice payload)
{
	struct reader r = reader_of(payload);
	while (reader_left(&r) > 0) {
		struct hole_range range = hole_range_get(&r);
		uint64_t first = range.first;
		unsigned deleted;
		if (r.bad || first == 0 || first > v->txn.cover_index ||
		    range.count > v->txn.cover_index - first)
			return refuse(v, "DIG is malformed, or not below the cover");
		enum rmq_error err =
		    store_delete(v->store, &first, first + range.count, UINT32_MAX, &deleted);
		if (err == RMQ_E_PROTOCOL)
			return refuse(v, store_reason(v->store)->text);
		if (err)
			return store_failed(v, err);
		v->freed = v->freed || deleted > 0;
	}
	return RMQ_E_OK;
}

static enum rmq_error mend(struct replica_server *v, struct slice payload)
{
	struct journal_mend m;
	bool mended;
	if (!journal_mend_decode(payload, &m) || m.index == 0 || m.index > v->txn.commit)
		return refuse(v, "MEND is malformed, or not of a record that is committed");
	if (!record_kind_name(m.kind))
		return journal_io_refuse(
		    v->io, RMQ_E_VERSION, "MEND of an unknown kind of record");
	size_t bytes = RECORD_HEADER_SIZE + m.payload.len;
	if (m.payload.len > RECORD_PAYLOAD_MAX || bytes > v->bytes || bytes > v->txn.largest)
		return refuse(v, "MEND is too long, or there is more than TXN said");
	struct record_header h = {(enum record_kind)m.kind, m.index, m.term};
	enum rmq_error err = store_mend(v->store, &h, m.payload, &mended);
	if (err == RMQ_E_PROTOCOL)
		return refuse(v, store_reason(v->store)->text);
	if (err)
		return store_failed(v, err);
	v->bytes -= bytes;
	v->commit_bytes += bytes;
	v->spent_pages += mended ? store_record_pages(v->store, m.payload.len) : 0;
	v->freed = v->freed || mended;
	return RMQ_E_OK;
}

static enum rmq_error end_txn(struct replica_server *v, struct slice payload)
{
	struct journal_txn_end m;
	if (!journal_txn_end_decode(payload, &m) || m.seq != v->txn.seq)
		return refuse(v, "TXN_END of another TXN");
	if (v->txn.commit >= store_state(v->store)->next)
		return refuse(v, "TXN commits records that are not there");
	store_set_term(v->store, v->txn.term);
	store_set_replica(v->store, &(struct store_replica){true, v->vote, v->txn.commit,
					v->txn.cover_index, v->txn.cover_term});
	v->seq = v->txn.seq;
	v->begun = false;
	room_ask(&v->room, v->store, 0, ROOM_SMALL);
	return RMQ_E_OK;
}

static enum rmq_error take_part(struct replica_server *v, const struct journal_io_frame *f)
{
	switch (f->type) {
	case JOURNAL_TYPE_RECORD:
		return f->big ? take_record(v, f) : refuse(v, "RECORD is malformed");
	case JOURNAL_TYPE_HOLES:
		return take_holes(v, f->payload);
	case JOURNAL_TYPE_DIG:
		return dig(v, f->payload);
	case JOURNAL_TYPE_MEND:
		return mend(v, f->payload);
	case JOURNAL_TYPE_TXN_END:
		return end_txn(v, f->payload);
	default:
		return refuse(v, "frame that is not part of a TXN");
	}
}

/* All of the transaction that has begun.  RMQ_E_NOTHING: it is cut or refused. */
static enum rmq_error take_txn(struct replica_server *v)
{
	enum rmq_error err = store_begun(v->store) ? RMQ_E_OK : store_begin(v->store);
	if (!err && v->txn.truncate > 0) {
		err = store_truncate(v->store, v->txn.truncate);
		v->freed = true;
	}
	if (err)
		return store_failed(v, err);
	while (!err && v->begun) {
		struct journal_io_frame f;
		err = journal_io_next(v->io, JOURNAL_TYPE_RECORD,
		    JOURNAL_RECORD_HEAD - FRAME_HEADER_SIZE, true, &f);
		if (!err)
			err = take_part(v, &f);
	}
	return err;
}

/* ---- the loop ---- */

static bool commit_is_full(const struct replica_server *v)
{
	return v->commit_bytes >= COMMIT_BYTES ||
	       v->commit_bytes >= room_commit_bytes(&v->room, v->store);
}

/* How long to wait until the room is to be looked at, -1: for ever. */
static int wait_ms(const struct replica_server *v)
{
	uint64_t now = clock_mono().ms;
	uint64_t due = room_due_ms(&v->room);
	if (due == UINT64_MAX)
		return -1;
	return due > now ? (int)(due - now < ROOM_WAIT_MS ? due - now : ROOM_WAIT_MS) + 1 : 0;
}

/* RMQ_E_NOTHING: no. */
static enum rmq_error more_may_come(const struct replica_server *v)
{
	return v->io->eof || v->io->refused ? RMQ_E_NOTHING : RMQ_E_OK;
}

/* Waits for the first transaction, or until the room is due; takes all that is there. */
static enum rmq_error gather(struct replica_server *v)
{
	bool waited = false;
	while (!commit_is_full(v)) {
		bool gathered = v->seq != v->stored;
		enum rmq_error err = v->begun ? RMQ_E_OK : take_head(v, false);
		if (err == RMQ_E_NOTHING && (gathered || waited))
			return gathered ? RMQ_E_OK : more_may_come(v);
		if (err == RMQ_E_NOTHING && !more_may_come(v)) {
			waited = true;
			if (journal_io_readable(v->io, wait_ms(v)))
				continue;
			return RMQ_E_OK;
		}
		if (err)
			return err;
		if (!v->begun || !room_fits(&v->room, v->store))
			return RMQ_E_OK;
		err = take_txn(v);
		if (err)
			return err;
	}
	return RMQ_E_OK;
}

/* The next one does not fit.  False: its sender is gone. */
static bool wait_for_room(struct replica_server *v)
{
	int ms = wait_ms(v);
	return !journal_io_gone(v->io, ms < 0 ? ROOM_WAIT_MS : ms);
}

static void tell_fits(struct replica_server *v)
{
	struct journal_fits m = {v->stored, room_for_sure(&v->room, v->store, ROOM_SMALL),
	    room_for_sure(&v->room, v->store, ROOM_ORDINARY),
	    room_for_sure(&v->room, v->store, ROOM_LARGE)};
	bool news = m.n != v->fits.n || m.small != v->fits.small ||
		    m.ordinary != v->fits.ordinary || m.large != v->fits.large;
	if (v->tells_fits && news)
		journal_put_fits(&v->io->out, &m);
	v->fits = m;
}

static enum rmq_error look_at_room(struct replica_server *v)
{
	uint64_t now = clock_mono().ms;
	if (v->room.switches != store_switches(v->store) || v->spent_pages > 0 || v->freed ||
	    v->begun || v->reserved || now >= room_due_ms(&v->room)) {
		enum rmq_error err =
		    room_update(&v->room, v->store, v->spent_pages, v->freed, now);
		if (err)
			return store_failed(v, err);
		struct journal_room m = {v->stored, room_bytes(&v->room, v->store)};
		if (m.n != v->announced.n || m.bytes != v->announced.bytes)
			journal_put_room(&v->io->out, &m);
		v->announced = m;
		tell_fits(v);
		v->reserved = false;
	}
	v->spent_pages = 0;
	v->commit_bytes = 0;
	v->freed = false;
	return journal_io_send(v->io);
}

static enum rmq_error answer(struct replica_server *v)
{
	enum rmq_error err = RMQ_E_OK;
	if (v->seq != v->stored)
		journal_put_txn_stored(&v->io->out, &(struct journal_txn_stored){v->seq});
	v->stored = v->seq;
	/* Making room may take a while: nobody waits for an answer meanwhile. */
	if (room_is_low(&v->room, v->store))
		err = journal_io_send(v->io);
	return err ? err : look_at_room(v);
}

static bool knows_fits(struct slice open)
{
	struct journal_open_replica m;
	struct slice empty;
	return journal_open_replica_decode(open, &m) &&
	       tags_find(m.tags, JOURNAL_TAG_FITS, &empty);
}

static enum rmq_error open_replica(
    struct replica_server *v, const struct journal_io_frame *open, const char *directory)
{
	uint64_t first;
	char text[TEXT_MAX] = "does not begin with OPEN";
	enum rmq_error err = journal_open_check(open->type, open->payload, text, sizeof(text));
	if (err)
		return journal_io_refuse(v->io, err, text);
	/* Also a restart commits before it answers: what it finds is durable then. */
	err = store_begin(v->store);
	if (!err)
		err = store_make_replica(v->store);
	if (!err) {
		store_set_term(v->store, store_state(v->store)->term);
		err = store_commit(v->store);
	}
	if (!err)
		err = store_first(v->store, &first);
	if (!err)
		err = room_init(&v->room, v->store, clock_mono().ms);
	if (err)
		return store_failed(v, err);
	const struct store_state *state = store_state(v->store);
	struct journal_opened opened = {JOURNAL_VERSION,
	    JOURNAL_FEATURE_MENDS | JOURNAL_FEATURE_ENDS, state->term, first, state->next - 1,
	    state->checkpoint, NO_TAGS, slice_str(directory)};
	v->announced = (struct journal_room){0, room_bytes(&v->room, v->store)};
	journal_put_opened(&v->io->out, &opened);
	journal_put_room(&v->io->out, &v->announced);
	v->tells_fits = knows_fits(open->payload);
	v->fits.n = UINT64_MAX;
	tell_fits(v);
	return journal_io_send(v->io);
}

/* Also without records: readers know by a commit that there is a new file. */
static enum rmq_error follow(struct replica_server *v)
{
	unsigned switches = store_switches(v->store);
	v->io->poked = false;
	enum rmq_error err = store_begun(v->store) ? RMQ_E_OK : store_begin(v->store);
	if (err)
		return store_failed(v, err);
	if (store_switches(v->store) != switches)
		store_set_term(v->store, store_state(v->store)->term);
	return RMQ_E_OK;
}

static enum rmq_error serve(
    struct replica_server *v, const struct journal_io_frame *open, const char *directory)
{
	enum rmq_error err = open_replica(v, open, directory);
	while (!err && !v->io->refused) {
		err = gather(v);
		if (!err && v->io->poked)
			err = follow(v);
		if (!err && store_begun(v->store)) {
			err = store_commit(v->store);
			if (err)
				err = store_failed(v, err);
		}
		if (!err)
			err = answer(v);
		if (!err && v->begun && !room_fits(&v->room, v->store) && !wait_for_room(v))
			err = RMQ_E_NOTHING;
	}
	return err;
}

enum rmq_error replica_serve(struct journal_io *io, struct store *s,
    const struct journal_io_frame *open, const char *directory)
{
	struct replica_server *v = calloc(1, sizeof(*v));
	if (!v)
		return reason_set(io->why, RMQ_E_IO, "out of memory");
	v->io = io;
	v->store = s;
	enum rmq_error err = serve(v, open, directory);
	free(v);
	return err;
}
