#include "core/host/ends.h"

#include "core/base/variant.h"
#include "core/wire/event.h"
#include "core/wire/journal_wire.h"

/* Of one range, what is not a hole yet. */
static void take_range(struct ends_place *at, const struct ends_log *log,
    const struct hole_range *range, struct ends_piece *out)
{
	uint64_t end = range->first + range->count;

	while (out->left > 0) {
		uint64_t from = at->index > range->first ? at->index : range->first;
		uint64_t record = from < end ? log->next(log->arg, from) : end;
		if (record >= end) {
			at->range++;
			at->index = 0;
			out->left--;
			return;
		}
		uint64_t count = end - record < out->left ? end - record : out->left;
		out->ranges[out->count++] = (struct hole_range){record, (uint32_t)count};
		out->left -= (unsigned)count;
		at->index = record + count;
	}
}

bool ends_take(struct ends_place *at, const struct ends_log *log, struct slice list,
    uint64_t below, struct ends_piece *out)
{
	uint64_t byte = (uint64_t)at->range * HOLE_RANGE_SIZE;

	for (; out->left > 0 && byte < list.len; byte = (uint64_t)at->range * HOLE_RANGE_SIZE) {
		struct reader r = reader_of(slice_of(list.data + byte, HOLE_RANGE_SIZE));
		struct hole_range range = hole_range_get(&r);
		if (range.first == 0 || range.first >= below ||
		    range.count > below - range.first)
			return false;
		take_range(at, log, &range, out);
	}
	out->whole = byte >= list.len;
	return true;
}

/*
 * Looks for the next END, and at what it says.  Its index; 0: there is none.  *busy: it cannot be
 * read yet.
 */
static uint64_t look(struct ends *e, const struct ends_log *log, uint64_t committed,
    struct ends_piece *out, bool *busy)
{
	struct slice payload, ranges;
	uint64_t end;

	log->begin(log->arg);
	enum rmq_error err = log->end(log->arg, e->followed + 1, &end, &payload);
	if (end > committed)
		end = 0;
	*busy = end > 0 && err == RMQ_E_BUSY;
	if (end > 0 && !*busy) {
		if (!err)
			err = event_dead_ranges(payload, &ranges);
		if (!err && !ends_take(&e->at, log, ranges, end, out))
			err = RMQ_E_CORRUPT;
		if (err) {
			log->bad(log->arg, end, err);
			out->count = 0;
			out->whole = true;
		}
	}
	log->done(log->arg);
	return end;
}

/* One transaction is under way at a time: so a commit of the journal has few of them. */
bool ends_turn(
    struct ends *e, const struct engine *engine, const struct ends_log *log, unsigned records)
{
	struct ends_piece piece;
	bool busy;
	struct engine_state now = engine->state(engine->arg);

	if (now.stored < e->transaction || e->followed >= now.committed ||
	    (RMQ_VARIANT(HOLES_OF_LEADER) && !now.leads))
		return false;
	piece.whole = false;
	piece.count = 0;
	piece.left = records < ENDS_TURN_RECORDS ? records : ENDS_TURN_RECORDS;
	uint64_t end = look(e, log, now.committed, &piece, &busy);
	if (busy)
		return false;
	if (piece.count > 0)
		e->transaction = engine->holes(engine->arg, end, piece.ranges, piece.count);
	if (piece.count == 0 ? end == 0 || piece.whole : RMQ_VARIANT(ENDS_CUT)) {
		e->followed = end ? end : now.committed;
		e->at = (struct ends_place){0};
	}
	/* What the engine made nothing of, having been its own records, is stored already. */
	now = engine->state(engine->arg);
	return now.stored >= e->transaction && e->followed < now.committed;
}
