#include "core/host/engine.h"

#include "core/base/variant.h"
#include "core/raft/raft.h"

struct engine_state engine_state(
    const struct raft_status *s, uint64_t committed, uint64_t stored)
{
	return (struct engine_state){
	    .leads = s->role == RAFT_LEADER,
	    .serving = s->serving,
	    .term = s->term,
	    .last = s->last.index,
	    .committed = RMQ_VARIANT(STORED_BEFORE_DISK) ? s->commit : committed,
	    .stored = stored,
	    .agreed = s->commit,
	    .received = s->received,
	};
}

static bool is_here(const struct raft *r, const struct raft_run *run)
{
	return raft_term_at(r, run->first) == run->term;
}

bool engine_takes(const struct raft *r, struct raft_message *m, const struct piece *pieces,
    const struct intake_room *room, struct intake *in)
{
	struct intake_need taken = {0};
	unsigned n = 0;

	if (m->type != RAFT_APPEND || m->run_count == 0 || m->term < in->term)
		return true;
	if (m->term > in->term)
		*in = (struct intake){.term = m->term};
	if (in->waits && m->place.index > 0 && raft_term_at(r, m->place.index) == 0)
		return false;
	for (; n < m->run_count; n++) {
		const struct raft_run *run = &m->runs[n];
		if (run->kind != RAFT_HOLE && !is_here(r, run) &&
		    !intake_take(in, room, &taken, run->kind, pieces[n].bytes))
			break;
	}
	intake_end(in, n == m->run_count, m->cover.index);
	m->run_count = n;
	return true;
}

unsigned engine_proposes(
    const struct proposal *p, unsigned count, const struct intake_room *room)
{
	struct intake in = {0};
	struct intake_need taken = {0};
	unsigned n = 0;

	while (n < count && (intake_take(&in, room, &taken, p[n].kind, p[n].piece.bytes) ||
				RMQ_VARIANT(LEADS_ALL)))
		n++;
	return n;
}
