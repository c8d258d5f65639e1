#include "cover.h"

#include <inttypes.h>

#include "core/host/recovery.h"

/* The term of what is at `index`, which the log reaches. */
static enum rmq_error term_at(struct store_reader *r, uint64_t index, uint64_t *term)
{
	uint64_t next = 1, from, t;
	enum rmq_error err;

	*term = 0;
	while ((err = store_reader_term(r, next, &from, &t)) == RMQ_E_OK && from <= index) {
		*term = t;
		next = from + 1;
	}
	return err == RMQ_E_NOTHING ? RMQ_E_OK : err;
}

enum rmq_error cover_read(struct store_reader *r, struct cover *c)
{
	struct store_state state;
	struct store_replica replica;
	uint64_t term = 0;
	enum rmq_error err = store_reader_state(r, &state);

	if (!err)
		err = store_reader_replica(r, &replica);
	if (!err)
		err = term_at(r, state.next - 1, &c->last_term);
	if (err)
		return err;
	c->index = replica.present ? replica.cover_index : 0;
	if (c->index < state.next)
		err = term_at(r, c->index, &term);
	c->covered = recovery_covered(
	    (struct raft_place){c->index, replica.cover_term}, state.next - 1, term);
	return err;
}

enum rmq_error cover_check(const struct cover *c, uint64_t last, struct reason *why)
{
	if (c->covered)
		return RMQ_E_OK;
	return reason_set(why, RMQ_E_BAD_DATA,
	    "the log of this node is not complete: it ends at record %" PRIu64
	    ", and lacks the checkpoint %" PRIu64
	    " that made holes in it; take another node's, or use --force",
	    last, c->index);
}
