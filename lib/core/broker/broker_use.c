/*
 * Which records stay on the disk for the sake of which queue.  A record stays as long as one message
 * in it is live: its bytes are shared out among its batches, by what lives of them.
 */
#include "core/broker/broker_state.h"

static uint64_t use_of(const struct batch *b)
{
	uint64_t bytes = 0;
	uint32_t shares = b->shares > 1 ? b->shares : 1;
	if (b->is_large) {
		for (uint32_t i = 0; i < b->large->parts; i++)
			bytes += RECORD_HEADER_SIZE + b->large->part[i].record->bytes;
		return bytes / shares;
	}
	const struct record *r = b->record;
	bytes = RECORD_HEADER_SIZE + r->bytes;
	/* Messages may be empty: then by number, where those that are shared count for each. */
	if (r->live_bytes > 0)
		return bytes * (batch_live_bytes(b) / shares) / r->live_bytes;
	return r->live > 0 ? bytes * b->live / r->live : 0;
}

void broker_use(struct broker *b,
    void (*tell)(
	void *arg, struct slice queue, uint64_t messages, uint64_t bytes, uint64_t disk),
    void *arg)
{
	struct queue *q;
	struct batch *batch;
	RB_FOREACH (q, queue_name_tree, &b->queues_by_name) {
		uint64_t disk = 0;
		RB_FOREACH (batch, batch_tree, &q->batches)
			disk += use_of(batch);
		tell(arg, queue_name(q), queue_total(q), q->bytes, disk);
	}
}
