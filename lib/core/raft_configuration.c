/*
 * Membership [4.1, 4.2]: single-server changes.  The newest configuration in the log
 * counts; older ones are kept until the newer is committed, then only their indexes, so
 * that no range of holes ever covers one.
 */
#include "core/raft_state.h"

static size_t count(const struct raft *r)
{
	return r->changes.count;
}

const struct raft_config *raft_configuration_now(const struct raft *r)
{
	return count(r) ? r->changes.items[count(r) - 1].config : NULL;
}

uint64_t raft_configuration_index(const struct raft *r)
{
	return count(r) ? r->changes.items[count(r) - 1].index : 0;
}

bool raft_configuration_voter(const struct raft *r, struct raft_id id)
{
	const struct raft_config *c = raft_configuration_now(r);
	return c && raft_config_is_voter(c, id);
}

/* A node whose removal is not committed may be the only one that can be elected [4.2.2]. */
bool raft_configuration_may_lead(const struct raft *r)
{
	if (raft_configuration_voter(r, r->id))
		return true;
	return count(r) > 1 && raft_configuration_index(r) > r->commit &&
	       raft_config_is_voter(r->changes.items[count(r) - 2].config, r->id);
}

bool raft_configuration_is(const struct raft *r, uint64_t index)
{
	size_t lo = 0, hi = count(r);
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (r->changes.items[mid].index == index)
			return true;
		if (r->changes.items[mid].index < index)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

/* Peers that stay keep what is known of them. */
void raft_configuration_peers(struct raft *r)
{
	struct raft_peer old[RAFT_MEMBERS_MAX + 1];
	unsigned olds = r->peer_count;
	memcpy(old, r->peers, sizeof(old));
	const struct raft_config *c = raft_configuration_now(r);
	r->peer_count = 0;
	for (unsigned i = 0; c && i < c->count; i++) {
		struct raft_peer *p = &r->peers[r->peer_count++];
		*p = (struct raft_peer){.id = c->members[i].id,
		    .next = r->last > 0 ? r->last : 1,
		    .probing = true,
		    .heard = r->now,
		    .moved = r->now};
		for (unsigned j = 0; j < olds; j++) {
			if (raft_id_eq(old[j].id, p->id))
				*p = old[j];
		}
	}
}

void raft_configuration_append(struct raft *r, uint64_t index, const struct raft_config *c)
{
	struct raft_config *copy = memory_new(sizeof(*copy));
	*copy = *c;
	raft_push(&r->changes, ((struct raft_change){index, copy}));
	if (raft_config_find(copy, r->id))
		r->gone = false;
	raft_configuration_peers(r);
}

void raft_configuration_truncate(struct raft *r, uint64_t from)
{
	size_t before = count(r);
	while (count(r) > 0 && r->changes.items[count(r) - 1].index >= from)
		free(r->changes.items[--r->changes.count].config);
	if (count(r) != before)
		raft_configuration_peers(r);
}

bool raft_configuration_majority(
    const struct raft *r, bool (*has)(const struct raft *, const struct raft_peer *))
{
	const struct raft_config *c = raft_configuration_now(r);
	unsigned n = 0;
	for (unsigned i = 0; i < r->peer_count; i++)
		n += raft_configuration_voter(r, r->peers[i].id) && has(r, &r->peers[i]);
	return c && n > raft_config_voters(c) / 2;
}

/* ---- changes ---- */

static enum rmq_error add(struct raft *r, struct raft_config *c, const struct raft_member *m)
{
	(void)r;
	for (unsigned i = 0; i < c->count; i++) {
		if (raft_id_eq(c->members[i].id, m->id) ||
		    strcmp(c->members[i].name, m->name) == 0)
			return RMQ_E_EXISTS;
	}
	if (c->count == RAFT_MEMBERS_MAX)
		return RMQ_E_LIMIT;
	c->members[c->count] = *m;
	c->members[c->count++].flags &= (uint8_t)~RAFT_VOTER;
	return RMQ_E_OK;
}

/* A learner has caught up when it holds all that is committed now. */
static enum rmq_error promote(struct raft *r, struct raft_member *m)
{
	if (m->flags & RAFT_VOTER)
		return RMQ_E_EXISTS;
	struct raft_peer *p = raft_peer(r, m->id);
	if (!p || p->match < r->commit)
		return RMQ_E_BUSY;
	m->flags |= RAFT_VOTER;
	return RMQ_E_OK;
}

static enum rmq_error drop(struct raft_config *c, struct raft_member *m)
{
	if ((m->flags & RAFT_VOTER) && raft_config_voters(c) == 1)
		return RMQ_E_LIMIT;
	*m = c->members[--c->count];
	return RMQ_E_OK;
}

enum rmq_error raft_configuration_event(struct raft *r, const struct raft_event *e)
{
	if (!raft_replication_serving(r))
		return RMQ_E_BUSY;
	if (raft_configuration_index(r) > r->commit && !RMQ_VARIANT(TWO_CONFIGS))
		return RMQ_E_BUSY;
	struct raft_config new = *raft_configuration_now(r);
	struct raft_member *m = NULL;
	for (unsigned i = 0; i < new.count; i++) {
		if (raft_id_eq(new.members[i].id, e->id))
			m = &new.members[i];
	}
	enum rmq_error error;
	if (e->type == RAFT_EVENT_ADD_LEARNER)
		error = add(r, &new, e->member);
	else if (!m)
		error = RMQ_E_NOTHING;
	else
		error = e->type == RAFT_EVENT_PROMOTE ? promote(r, m) : drop(&new, m);
	if (error)
		return error;
	uint8_t encoded[RAFT_CONFIG_SIZE_MAX];
	struct writer w = writer_of(encoded, sizeof(encoded));
	raft_config_encode(&w, &new);
	raft_append(r, &(struct raft_run){.term = r->term,
			   .count = 1,
			   .bytes = (uint32_t)w.len,
			   .kind = RECORD_CONFIG,
			   .config = &new});
	return RMQ_E_OK;
}

/* Configurations behind the newest committed one are past: their indexes are kept. */
void raft_configuration_forget(struct raft *r)
{
	size_t newest = 0;
	for (size_t i = count(r); i > 0 && !newest; i--) {
		if (r->changes.items[i - 1].index <= r->commit)
			newest = i;
	}
	for (size_t i = newest; i > 1 && r->changes.items[i - 2].config; i--) {
		free(r->changes.items[i - 2].config);
		r->changes.items[i - 2].config = NULL;
	}
}

/*
 * The commit index has risen from `before`.  A node that joins is sent configurations from
 * before its time: it is gone only if it was a member.
 */
void raft_configuration_committed(struct raft *r, uint64_t before)
{
	bool now = true;
	for (size_t i = 0; i < count(r); i++) {
		const struct raft_change *c = &r->changes.items[i];
		if (c->index <= before || c->index > r->commit)
			continue;
		now = raft_config_find(c->config, r->id) != NULL;
		r->member |= now;
	}
	if (now)
		return;
	if (r->member && !r->gone && !raft_config_find(raft_configuration_now(r), r->id)) {
		r->gone = true;
		raft_act(r, RAFT_GONE);
	}
	if (r->role == RAFT_LEADER && raft_configuration_index(r) <= r->commit)
		raft_election_follow(r, r->term, (struct raft_id){{0}});
}

void raft_configuration_removed(struct raft *r, const struct raft_message *m)
{
	if (m->place.index <= raft_configuration_index(r) || r->gone)
		return;
	r->gone = true;
	raft_act(r, RAFT_GONE);
}
