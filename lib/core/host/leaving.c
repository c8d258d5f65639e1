#include "core/host/leaving.h"

#include "core/base/variant.h"

/* ---- the leader ---- */

/* Whom it was after, if that one still leaves; else the first that does. */
static const struct raft_member *whose_turn(
    const struct leaving *l, const struct raft_config *c)
{
	const struct raft_member *is = raft_config_find(c, l->id);

	if (is && is->leaving)
		return is;
	for (unsigned i = 0; i < c->count; i++) {
		if (c->members[i].leaving)
			return &c->members[i];
	}
	return NULL;
}

enum leaving_step leaving_turn(
    struct leaving *l, const struct leaving_seen *seen, uint64_t now_ms, struct raft_id *id)
{
	const struct raft_status *log = seen->log;
	char text[TEXT_MAX + 1];

	if (log->role != RAFT_LEADER || !log->config) {
		*l = (struct leaving){0};
		return LEAVING_NOTHING;
	}
	/* One change at a time. */
	if (!log->serving || log->config_index > log->commit)
		return LEAVING_NOTHING;
	const struct raft_member *is = whose_turn(l, log->config);
	if (!is) {
		*l = (struct leaving){0};
		return LEAVING_NOTHING;
	}
	if (RMQ_VARIANT(LEAVING_FORGOTTEN) && is->leaving == RAFT_EXITS && l->term != log->term)
		return LEAVING_NOTHING;
	if (l->term != log->term || !raft_id_eq(l->id, is->id))
		*l = (struct leaving){.id = is->id, .term = log->term, .since_ms = now_ms};
	*id = is->id;
	bool late = now_ms - l->since_ms >= LEAVING_MS;
	if (is->leaving == RAFT_LEAVES && !RMQ_VARIANT(LEAVES_AT_ONCE))
		return seen->drained(seen->peers->arg, is->id) || late ? LEAVING_EXITS
								       : LEAVING_NOTHING;
	switch (commands_majority(&l->check, log, is->name, seen->peers, now_ms, text)) {
	case COMMANDS_MAY:
		return LEAVING_REMOVE;
	case COMMANDS_STOP:
		/* Those who remain may be mended: they are asked anew. */
		l->check = (struct command_life){0};
		break;
	case COMMANDS_HOLD:
		break;
	}
	return LEAVING_NOTHING;
}

struct raft_event leaving_event(enum leaving_step step, struct raft_id id)
{
	if (step == LEAVING_REMOVE)
		return (struct raft_event){
		    .type = RAFT_EVENT_REMOVE, .id = id, .how = RAFT_LEFT};
	return (struct raft_event){
	    .type = RAFT_EVENT_MARK, .id = id, .mark = RAFT_MARK_EXITING};
}

uint64_t leaving_due(const struct leaving *l, uint64_t now_ms)
{
	return raft_id_none(l->id) ? UINT64_MAX : now_ms + COMMANDS_RETRY_MS;
}

/* ---- the node ---- */

enum ending_action leaving_own_turn(
    struct ending *e, bool leaves, const struct ending_seen *seen, uint64_t now_ms)
{
	if (!leaves) {
		*e = (struct ending){0};
		return ENDING_NOTHING;
	}
	ending_begin(e, now_ms);
	if (e->state != ENDING_ENDED)
		return ending_turn(e, seen, now_ms);
	if (seen->runs)
		return ENDING_END;
	return seen->leads && seen->serving && seen->successor ? ENDING_HAND_OVER
							       : ENDING_NOTHING;
}
