#include "ends.h"

#include <inttypes.h>

#include "core/event.h"
#include "core/journal_wire.h"
#include "node.h"
#include "state.h"

/* What becomes holes in this turn. */
struct piece_of_end {
	uint64_t end;
	bool whole; /* nothing is left behind it */
	unsigned count;
	struct hole_range ranges[ENDS_TURN_RECORDS];
};

void ends_open(struct cluster *c)
{
	c->ends = (struct ends){0};
}

/* Of one range, what is not a hole yet; `left` is how much more may be done in this turn. */
static void take_range(
    struct cluster *c, const struct hole_range *range, struct piece_of_end *out, unsigned *left)
{
	struct ends *e = &c->ends;
	uint64_t end = range->first + range->count;

	while (*left > 0) {
		uint64_t from = e->index > range->first ? e->index : range->first;
		uint64_t record = from < end ? disk_next(&c->disk, from) : end;
		if (record >= end) {
			e->range++;
			e->index = 0;
			--*left;
			return;
		}
		uint64_t count = end - record < *left ? end - record : *left;
		out->ranges[out->count++] = (struct hole_range){record, (uint32_t)count};
		*left -= (unsigned)count;
		e->index = record + count;
	}
}

/* False: it names what it cannot. */
static bool take_ranges(struct cluster *c, struct slice ranges, struct piece_of_end *out)
{
	struct ends *e = &c->ends;
	unsigned left = ENDS_TURN_RECORDS;
	uint64_t at = (uint64_t)e->range * HOLE_RANGE_SIZE;

	for (; left > 0 && at < ranges.len; at = (uint64_t)e->range * HOLE_RANGE_SIZE) {
		struct reader r = reader_of(slice_of(ranges.data + at, HOLE_RANGE_SIZE));
		struct hole_range range = hole_range_get(&r);
		if (range.first == 0 || range.first >= out->end ||
		    range.count > out->end - range.first)
			return false;
		take_range(c, &range, out, &left);
	}
	out->whole = at >= ranges.len;
	return true;
}

/* Looks for the next END, and at what it says; none: `end` is 0. */
static void look(struct cluster *c, struct piece_of_end *out)
{
	struct slice payload, ranges;

	out->count = 0;
	out->end = disk_end(&c->disk, c->ends.followed + 1, &payload);
	if (out->end > c->committed)
		out->end = 0;
	if (out->end > 0) {
		enum rmq_error err = event_dead_ranges(payload, &ranges);
		if (!err && !take_ranges(c, ranges, out))
			err = RMQ_E_CORRUPT;
		if (err) {
			/* It is the same everywhere; only space is lost. */
			log_error("%s: what record %" PRIu64 " says died: %s",
			    c->disk.directory, out->end, error_text(err));
			out->count = 0;
			out->whole = true;
		}
	}
	disk_end_done(&c->disk);
}

static void make(struct cluster *c, const struct piece_of_end *p)
{
	enum rmq_error err = node_event(c, &(struct raft_event){.type = RAFT_EVENT_HOLE,
					       .index = p->end,
					       .ranges = p->ranges,
					       .range_count = p->count});
	if (err) {
		log_error("%s: holes of record %" PRIu64 ": %s", c->disk.directory, p->end,
		    error_text(err));
		cluster_die(c, error_exit(RMQ_E_BUG));
	}
	c->ends.seq = c->sent_seq;
}

/* One transaction is under way at a time: so a commit of the journal has few of them. */
void ends_turn(struct cluster *c)
{
	static struct piece_of_end piece;
	struct ends *e = &c->ends;

	if (c->founding_seq || c->stored_seq < e->seq || e->followed >= c->committed)
		return;
	look(c, &piece);
	if (piece.count > 0) {
		make(c, &piece);
	} else if (piece.end == 0 || piece.whole) {
		e->followed = piece.end ? piece.end : c->committed;
		e->range = 0;
		e->index = 0;
	}
	/* What Raft made nothing of, having been configurations, is stored already. */
	if (c->stored_seq >= e->seq && e->followed < c->committed)
		cluster_more(c);
}
