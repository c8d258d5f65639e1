#include "core/host/ends.h"

#include "core/base/variant.h"
#include "core/wire/event.h"
#include "core/wire/journal_wire.h"

/* What becomes holes in this turn. */
struct piece_of_end {
	uint64_t end;
	bool whole; /* nothing is left behind it */
	unsigned left;
	unsigned count;
	struct hole_range ranges[ENDS_TURN_RECORDS];
};

/* Of one range, what is not a hole yet. */
static void take_range(struct ends *e, const struct ends_log *log,
    const struct hole_range *range, struct piece_of_end *out)
{
	uint64_t end = range->first + range->count;

	while (out->left > 0) {
		uint64_t from = e->index > range->first ? e->index : range->first;
		uint64_t record = from < end ? log->next(log->arg, from) : end;
		if (record >= end) {
			e->range++;
			e->index = 0;
			out->left--;
			return;
		}
		uint64_t count = end - record < out->left ? end - record : out->left;
		out->ranges[out->count++] = (struct hole_range){record, (uint32_t)count};
		out->left -= (unsigned)count;
		e->index = record + count;
	}
}

/* False: it names what it cannot. */
static bool take_ranges(
    struct ends *e, const struct ends_log *log, struct slice ranges, struct piece_of_end *out)
{
	uint64_t at = (uint64_t)e->range * HOLE_RANGE_SIZE;

	for (; out->left > 0 && at < ranges.len; at = (uint64_t)e->range * HOLE_RANGE_SIZE) {
		struct reader r = reader_of(slice_of(ranges.data + at, HOLE_RANGE_SIZE));
		struct hole_range range = hole_range_get(&r);
		if (range.first == 0 || range.first >= out->end ||
		    range.count > out->end - range.first)
			return false;
		take_range(e, log, &range, out);
	}
	out->whole = at >= ranges.len;
	return true;
}

/* Looks for the next END, and at what it says; none: `end` is 0. */
static void look(
    struct ends *e, const struct ends_log *log, uint64_t committed, struct piece_of_end *out)
{
	struct slice payload, ranges;

	out->end = log->end(log->arg, e->followed + 1, &payload);
	if (out->end > committed)
		out->end = 0;
	if (out->end > 0) {
		enum rmq_error err = event_dead_ranges(payload, &ranges);
		if (!err && !take_ranges(e, log, ranges, out))
			err = RMQ_E_CORRUPT;
		if (err) {
			log->bad(log->arg, out->end, err);
			out->count = 0;
			out->whole = true;
		}
	}
	log->done(log->arg);
}

/* One transaction is under way at a time: so a commit of the journal has few of them. */
bool ends_turn(
    struct ends *e, const struct engine *engine, const struct ends_log *log, unsigned records)
{
	struct piece_of_end piece;
	struct engine_state now = engine->state(engine->arg);

	if (now.stored < e->transaction || e->followed >= now.committed ||
	    (RMQ_VARIANT(HOLES_OF_LEADER) && !now.leads))
		return false;
	piece.whole = false;
	piece.count = 0;
	piece.left = records < ENDS_TURN_RECORDS ? records : ENDS_TURN_RECORDS;
	look(e, log, now.committed, &piece);
	if (piece.count > 0)
		e->transaction =
		    engine->holes(engine->arg, piece.end, piece.ranges, piece.count);
	if (piece.count == 0 ? piece.end == 0 || piece.whole : RMQ_VARIANT(ENDS_CUT)) {
		e->followed = piece.end ? piece.end : now.committed;
		e->range = 0;
		e->index = 0;
	}
	/* What the engine made nothing of, having been its own records, is stored already. */
	now = engine->state(engine->arg);
	return now.stored >= e->transaction && e->followed < now.committed;
}
