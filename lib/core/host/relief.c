#include "core/host/relief.h"

#include <string.h>

#include "core/base/variant.h"

/* ---- the follower ---- */

static bool is_due(const struct relief *r, const struct relief_seen *seen)
{
	return seen->waits && seen->cover > r->done && !RMQ_VARIANT(UNRELIEVED) &&
	       (r->begun_ms == 0 || seen->now_ms >= r->begun_ms + seen->patience_ms);
}

/* False: all of the answer is holes. */
static bool dig(struct relief *r, const struct relief_seen *seen, const struct ends_log *log,
    struct ends_piece *out)
{
	*out = (struct ends_piece){.left = ENDS_TURN_RECORDS};
	log->begin(log->arg);
	bool sound = ends_take(&r->at, log, slice_of(r->list, r->len), seen->last + 1, out);
	log->done(log->arg);
	if (!sound || (out->count == 0 && out->whole)) {
		r->len = 0;
		return false;
	}
	return out->count > 0;
}

enum relief_action relief_turn(struct relief *r, const struct relief_seen *seen,
    const struct ends_log *log, struct ends_piece *out)
{
	if (r->term != seen->term)
		*r = (struct relief){.term = seen->term};
	if (seen->stored < r->transaction ||
	    (r->asked && seen->now_ms < r->asked_ms + seen->patience_ms))
		return RELIEF_NOTHING;
	if (r->len > 0 && dig(r, seen, log, out))
		return RELIEF_DIG;
	if (r->from == 0 && is_due(r, seen)) {
		r->from = 1;
		r->begun_ms = seen->now_ms;
	}
	if (r->len > 0 || r->from == 0)
		return RELIEF_NOTHING;
	r->asked = true;
	r->asked_ms = seen->now_ms;
	return RELIEF_ASK;
}

void relief_dug(struct relief *r, uint64_t transaction)
{
	r->transaction = transaction;
}

bool relief_answered(struct relief *r, const struct relief_answer *a)
{
	size_t len = a->list.len;
	uint64_t next = a->next;

	if (len % HOLE_RANGE_SIZE != 0)
		return false;
	if (len > RELIEF_BYTES) {
		next = load_u64(a->list.data + RELIEF_BYTES);
		len = RELIEF_BYTES;
	}
	if (!r->asked || a->term != r->term || (next != 0 && next <= r->from))
		return true;
	if (r->from == 1)
		r->followed = a->followed;
	if (next == 0)
		r->done = r->followed;
	r->from = next;
	r->asked = false;
	r->at = (struct ends_place){0};
	r->len = len;
	if (len > 0)
		memcpy(r->list, a->list.data, len);
	return true;
}

/* ---- the leader ---- */

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The last record of which is known whether it is a hole, and that the follower may be told. */
static uint64_t reach(const struct relief_known *k)
{
	uint64_t below = k->cover > 0 ? k->cover - 1 : 0;

	return least(least(k->match, k->commit), least(k->stored, below));
}

void relief_answer(const struct ends_log *log, uint64_t from, const struct relief_known *known,
    uint8_t list[RELIEF_BYTES], struct relief_answer *a)
{
	struct writer w = writer_of(list, RELIEF_BYTES);
	uint64_t at = from, last = reach(known);

	log->begin(log->arg);
	for (unsigned i = 0; i < RELIEF_RANGES && at > 0 && at <= last; i++) {
		uint64_t record = log->next(log->arg, at), end = last + 1;
		if (record < end)
			end = record;
		if (end - at > UINT32_MAX)
			end = at + UINT32_MAX;
		if (end > at)
			hole_range_put(&w, &(struct hole_range){at, (uint32_t)(end - at)});
		at = end == record ? end + 1 : end;
	}
	log->done(log->arg);
	a->next = at > 0 && at <= last ? at : 0;
	a->list = slice_of(list, w.len);
}
