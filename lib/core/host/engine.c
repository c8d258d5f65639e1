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
