#include "core/host/fetch.h"

#include <string.h>

#include "core/base/variant.h"

bool fetch_possible(const struct engine_state *log, uint64_t index)
{
	return index <= log->agreed;
}

bool fetch_want(
    struct fetch *f, const struct engine_state *log, uint64_t index, uint64_t now_ms)
{
	if (!fetch_possible(log, index))
		return false;
	/* The disk has not kept what it was given just now. */
	if (index == f->mended && now_ms < f->bad_again_ms)
		return false;
	if (index == f->given_up && now_ms < f->again_ms)
		return false;
	if (f->state == FETCH_NONE) {
		f->index = index;
		f->state = FETCH_ASKS;
		f->since_ms = now_ms;
		f->asked_ms = f->round_ms = 0;
		f->next = 0;
	}
	return true;
}

static uint64_t patience(const struct fetch_seen *seen)
{
	return (uint64_t)FETCH_PATIENCE * seen->patience_ms;
}

static enum fetch_action ask(struct fetch *f, const struct fetch_seen *seen)
{
	if (f->mends >= FETCH_MENDS_MAX && seen->now_ms - f->mends_ms < FETCH_MENDS_MS)
		return FETCH_BROKEN;
	if (seen->now_ms - f->since_ms >= patience(seen)) {
		f->state = FETCH_NONE;
		f->given_up = f->index;
		f->again_ms = seen->now_ms + patience(seen);
		return FETCH_FAILED;
	}
	if (f->asked_ms > 0 && seen->now_ms < f->asked_ms + seen->patience_ms)
		return FETCH_NOTHING;
	if (f->next >= seen->count) {
		if (f->round_ms > 0 && seen->now_ms < f->round_ms + seen->patience_ms)
			return FETCH_NOTHING;
		f->next = 0;
		f->round_ms = 0;
	}
	if (seen->count == 0)
		return FETCH_NOTHING;
	f->asked = seen->peers[f->next++];
	f->asked_ms = seen->now_ms;
	if (f->round_ms == 0)
		f->round_ms = seen->now_ms;
	return FETCH_ASK;
}

static void done(struct fetch *f, const struct fetch_seen *seen)
{
	f->state = FETCH_NONE;
	f->mended = f->index;
	f->bad_again_ms = seen->now_ms + patience(seen);
	if (f->given_up == f->index)
		f->given_up = 0;
	if (f->mends == 0 || seen->now_ms - f->mends_ms >= FETCH_MENDS_MS) {
		f->mends = 0;
		f->mends_ms = seen->now_ms;
	}
	f->mends++;
}

static bool fits(const struct fetch *f, const struct fetch_seen *seen)
{
	struct proposal p = {f->run.kind, {fetch_payload(f), NULL}};

	return engine_proposes(&p, 1, &seen->room) == 1;
}

enum fetch_action fetch_turn(struct fetch *f, const struct fetch_seen *seen)
{
	switch (f->state) {
	case FETCH_NONE:
		break;
	case FETCH_ASKS:
		return ask(f, seen);
	case FETCH_HAS:
		return fits(f, seen) ? FETCH_MEND : FETCH_NOTHING;
	case FETCH_WRITES:
		if (seen->stored < f->transaction)
			break;
		done(f, seen);
		return FETCH_DONE;
	}
	return FETCH_NOTHING;
}

struct slice fetch_payload(const struct fetch *f)
{
	return slice_of(f->record + RECORD_HEADER_SIZE, f->run.bytes);
}

void fetch_writes(struct fetch *f, uint64_t transaction)
{
	f->state = FETCH_WRITES;
	f->transaction = transaction;
}

/* Whether it is the record of this index, by all that is known of it. */
static bool open_answer(struct slice record, uint64_t index, const struct fetch_known *known,
    struct record_header *h, size_t *len)
{
	struct slice payload;

	if (RMQ_VARIANT(FETCH_UNVERIFIED) && record.len >= RECORD_HEADER_SIZE) {
		*h = (struct record_header){
		    (enum record_kind)record.data[1], index, known->term};
		*len = record.len - RECORD_HEADER_SIZE;
		return true;
	}
	if (record_open(record, index, h, &payload) ||
	    !record_kind_fits(h->kind, known->marked) ||
	    (h->term != known->term && !RMQ_VARIANT(FETCH_UNCOMMITTED)))
		return false;
	*len = payload.len;
	return true;
}

bool fetch_awaits(const struct fetch *f, uint64_t index)
{
	return f->state == FETCH_ASKS && index == f->index;
}

void fetch_answered(struct fetch *f, struct raft_id from, uint64_t index, struct slice record,
    const struct fetch_known *known)
{
	struct record_header h;
	size_t len;

	if (!fetch_awaits(f, index))
		return;
	if (record.len > RECORD_MAX || !open_answer(record, index, known, &h, &len)) {
		if (raft_id_eq(from, f->asked))
			f->asked_ms = 0;
		return;
	}
	memcpy(f->record, record.data, record.len);
	f->run = (struct raft_run){.first = index,
	    .term = known->term,
	    .count = 1,
	    .bytes = (uint32_t)len,
	    .kind = (uint8_t)h.kind};
	f->from = from;
	f->state = FETCH_HAS;
}

bool fetch_tells(const struct engine_state *log, uint64_t index)
{
	return index > 0 && (index <= log->committed || RMQ_VARIANT(FETCH_UNCOMMITTED));
}
