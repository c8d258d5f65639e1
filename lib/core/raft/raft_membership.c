/*
 * Membership [4.1, 4.2]: single-server changes.  The newest configuration in the log
 * counts; older ones are kept until the newer is committed, then only their indexes, so
 * that no range of holes ever covers one.
 */
#include "core/raft/raft_state.h"

static size_t count(const struct raft *r)
{
	return r->changes.count;
}

const struct raft_config *raft_membership_now(const struct raft *r)
{
	return count(r) ? r->changes.items[count(r) - 1].config : NULL;
}

uint64_t raft_membership_index(const struct raft *r)
{
	return count(r) ? r->changes.items[count(r) - 1].index : 0;
}

const struct raft_change *raft_membership_newest_committed(const struct raft *r)
{
	size_t at = count(r);

	while (at > 0 && r->changes.items[at - 1].index > r->commit)
		at--;
	return at > 0 ? &r->changes.items[at - 1] : NULL;
}

bool raft_membership_stands(const struct raft *r, struct raft_id id)
{
	const struct raft_config *c = raft_membership_now(r);
	return c && raft_config_is_voter(c, id);
}

bool raft_membership_voter(const struct raft *r, struct raft_id id)
{
	return raft_has_sole(r) ? raft_is_sole(r, id) : raft_membership_stands(r, id);
}

/* A node whose removal is not committed may be the only one that can be elected [4.2.2]. */
bool raft_membership_may_lead(const struct raft *r)
{
	if (raft_membership_stands(r, r->id) || r->adopts)
		return true;
	return count(r) > 1 && raft_membership_index(r) > r->commit &&
	       raft_config_is_voter(r->changes.items[count(r) - 2].config, r->id);
}

/* The first configuration that is not before `index`, as a place in r->changes. */
static size_t change_from(const struct raft *r, uint64_t index)
{
	size_t lo = 0, hi = count(r);
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (r->changes.items[mid].index < index)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

uint64_t raft_membership_next(const struct raft *r, uint64_t index)
{
	size_t at = change_from(r, index);
	return at < count(r) ? r->changes.items[at].index : UINT64_MAX;
}

/* What was known of it, if it was a peer. */
static void add_peer(
    struct raft *r, struct raft_id id, const struct raft_peer *old, unsigned olds)
{
	struct raft_peer *p = &r->peers[r->peer_count++];
	*p = (struct raft_peer){.id = id,
	    .next = r->last > 0 ? r->last : 1,
	    .heard = r->now,
	    .goal = r->commit,
	    .goal_at = r->now};
	raft_replication_reset(r, p);
	for (unsigned j = 0; j < olds; j++) {
		if (raft_id_eq(old[j].id, id))
			*p = old[j];
	}
}

/* Peers that stay keep what is known of them.  Who was only admitted is none. */
void raft_membership_peers(struct raft *r)
{
	struct raft_peer old[RAFT_MEMBERS_MAX + 1];
	unsigned olds = r->peer_count;
	memcpy(old, r->peers, sizeof(old));
	const struct raft_config *c = raft_membership_now(r);
	r->peer_count = 0;
	for (unsigned i = 0; c && i < c->count; i++) {
		if (!raft_id_none(c->members[i].id))
			add_peer(r, c->members[i].id, old, olds);
	}
	if (raft_has_sole(r))
		add_peer(r, r->sole, old, olds);
}

void raft_membership_append(struct raft *r, uint64_t index, const struct raft_config *c)
{
	struct raft_config *copy = memory_new(sizeof(*copy));
	*copy = *c;
	raft_push(&r->changes, ((struct raft_change){index, copy}));
	if (raft_config_find(copy, r->id))
		r->gone = r->adopts = false;
	raft_membership_peers(r);
}

void raft_membership_truncate(struct raft *r, uint64_t from)
{
	size_t before = count(r);
	while (count(r) > 0 && r->changes.items[count(r) - 1].index >= from)
		free(r->changes.items[--r->changes.count].config);
	if (count(r) != before)
		raft_membership_peers(r);
}

bool raft_membership_majority(
    const struct raft *r, bool (*has)(const struct raft *, const struct raft_peer *))
{
	const struct raft_config *c = raft_membership_now(r);
	unsigned n = 0, voters = 0;
	for (unsigned i = 0; i < r->peer_count; i++) {
		if (!raft_membership_voter(r, r->peers[i].id))
			continue;
		voters++;
		n += has(r, &r->peers[i]);
	}
	return c && n > voters / 2;
}

/* ---- changes ---- */

/* The place in c of who has this name and this key; RMQ_E_EXISTS: one is another's. */
static enum rmq_error find(
    struct raft_config *c, const struct raft_member *m, struct raft_member **is)
{
	const struct raft_member *named = raft_config_find_name(c, m->name);
	if (named != raft_config_find_key(c, m->key))
		return RMQ_E_EXISTS;
	*is = named ? &c->members[named - c->members] : NULL;
	return RMQ_E_OK;
}

static enum rmq_error admit(struct raft_config *c, const struct raft_member *m)
{
	struct raft_member *is, new = {0};
	memcpy(new.name, m->name, sizeof(new.name));
	memcpy(new.key, m->key, sizeof(new.key));
	if (!raft_member_valid(&new))
		return RMQ_E_BAD_DATA;
	enum rmq_error error = find(c, m, &is);
	if (error || is)
		return error;
	if (c->count == RAFT_MEMBERS_MAX)
		return RMQ_E_LIMIT;
	c->members[c->count++] = new;
	return RMQ_E_OK;
}

/* Who joins again as the same incarnation may have moved; another one is to be removed first.
 */
static enum rmq_error join(struct raft_config *c, const struct raft_member *m)
{
	struct raft_member *is;
	if (!raft_member_valid(m) || raft_id_none(m->id))
		return RMQ_E_BAD_DATA;
	enum rmq_error error = find(c, m, &is);
	if (error)
		return error;
	if (!is)
		return RMQ_E_NOTHING;
	/* Others count on it that it does nothing any more. */
	if (raft_config_removed(c, m->id) && !RMQ_VARIANT(REMOVED_REJOINS))
		return RMQ_E_DENIED;
	const struct raft_member *same = raft_config_find(c, m->id);
	if (same ? same != is : !raft_id_none(is->id))
		return RMQ_E_EXISTS;
	uint8_t voter = is->flags & RAFT_VOTER;
	struct raft_member was = *is;
	*is = *m;
	is->flags = (uint8_t)((m->flags & ~RAFT_VOTER) | voter);
	is->leaving = was.leaving;
	memcpy(is->roles, was.roles, sizeof(is->roles));
	return RMQ_E_OK;
}

static enum rmq_error promote(struct raft *r, struct raft_config *c, struct raft_id id)
{
	for (unsigned i = 0; i < c->count; i++) {
		struct raft_member *m = &c->members[i];
		if (raft_id_none(id) || !raft_id_eq(m->id, id))
			continue;
		if (m->flags & RAFT_VOTER)
			return RMQ_E_EXISTS;
		if (!raft_replication_level(r, raft_peer(r, id)))
			return RMQ_E_BUSY;
		m->flags |= RAFT_VOTER;
		return RMQ_E_OK;
	}
	return RMQ_E_NOTHING;
}

static enum rmq_error drop(struct raft_config *c, const struct raft_event *e)
{
	const struct raft_member *is = raft_id_none(e->id) && e->name
					   ? raft_config_find_name(c, e->name)
					   : raft_config_find(c, e->id);
	if (!is)
		return RMQ_E_NOTHING;
	if ((is->flags & RAFT_VOTER) && raft_config_voters(c) == 1)
		return RMQ_E_LIMIT;
	raft_config_remove(c, is, e->how);
	return RMQ_E_OK;
}

/*
 * Both in one record: nobody sees one without the other.  It is one change, as who was only admitted
 * counts for nothing.
 */
static enum rmq_error replace(struct raft_config *c, const struct raft_event *e)
{
	const struct raft_member *is = raft_config_find_name(c, e->member->name),
				 *keyed = raft_config_find_key(c, e->member->key);

	if (!is || (!raft_id_eq(is->id, e->id) && !RMQ_VARIANT(REPLACED_ANEW)))
		return RMQ_E_NOTHING;
	if (keyed && keyed != is)
		return RMQ_E_EXISTS;
	if ((is->flags & RAFT_VOTER) && raft_config_voters(c) == 1)
		return RMQ_E_LIMIT;
	struct raft_config without = *c;
	raft_config_remove(&without, &without.members[is - c->members], RAFT_REPLACED);
	enum rmq_error error = admit(&without, e->member);
	if (!error)
		*c = without;
	return error;
}

static enum rmq_error change(struct raft *r, struct raft_config *c, const struct raft_event *e)
{
	switch (e->type) {
	case RAFT_EVENT_ADMIT:
		return admit(c, e->member);
	case RAFT_EVENT_ADD_LEARNER:
		return join(c, e->member);
	case RAFT_EVENT_PROMOTE:
		return promote(r, c, e->id);
	case RAFT_EVENT_REPLACE:
		return replace(c, e);
	case RAFT_EVENT_MARK:
		return raft_config_mark(c, e->mark, e->id, e->name, e->value);
	default:
		return drop(c, e);
	}
}

static void append(struct raft *r, const struct raft_config *new)
{
	uint8_t bytes[RAFT_CONFIG_SIZE_MAX];
	struct writer is = writer_of(bytes, sizeof(bytes));

	raft_config_encode(&is, new);
	assert(!is.full);
	raft_append(r, &(struct raft_run){.term = r->term,
			   .count = 1,
			   .bytes = (uint32_t)is.len,
			   .kind = RECORD_CONFIG,
			   .config = new});
}

enum rmq_error raft_membership_event(struct raft *r, const struct raft_event *e)
{
	if (!raft_replication_serving(r))
		return RMQ_E_BUSY;
	if (raft_membership_index(r) > r->commit && !RMQ_VARIANT(TWO_CONFIGS))
		return RMQ_E_BUSY;
	struct raft_config new = *raft_membership_now(r);
	enum rmq_error error = change(r, &new, e);
	if (!error && !raft_config_eq(&new, raft_membership_now(r)))
		append(r, &new);
	return error;
}

enum rmq_error raft_membership_adopts(struct raft *r, const struct raft_member *m)
{
	const struct raft_config *now = raft_membership_now(r);

	r->adopts = false;
	if (!m)
		return RMQ_E_OK;
	if (!raft_member_valid(m) || !raft_id_eq(m->id, r->id))
		return RMQ_E_BAD_DATA;
	if (now && raft_config_find(now, r->id))
		return RMQ_E_EXISTS;
	if (!raft_has_sole(r) || r->gone || r->member)
		return RMQ_E_REFUSED;
	r->adopter = *m;
	r->adopts = true;
	return RMQ_E_OK;
}

void raft_membership_adopt(struct raft *r)
{
	struct raft_config new = *raft_membership_now(r);
	bool keeps = RMQ_VARIANT(ADOPTED_AS_BEFORE);

	while (new.count > (keeps ? RAFT_MEMBERS_MAX - 1 : 0))
		raft_config_remove(&new, &new.members[new.count - 1], RAFT_DOWNED);
	struct raft_member *self = &new.members[new.count++];
	*self = r->adopter;
	self->flags |= RAFT_VOTER;
	self->leaving = RAFT_STAYS;
	r->adopts = false;
	append(r, &new);
}

/* Configurations after the newest committed one are past: their indexes are kept. */
void raft_membership_forget(struct raft *r)
{
	const struct raft_change *newest = raft_membership_newest_committed(r);

	for (size_t i = newest ? (size_t)(newest - r->changes.items) : 0;
	     i > 0 && r->changes.items[i - 1].config; i--) {
		free(r->changes.items[i - 1].config);
		r->changes.items[i - 1].config = NULL;
	}
}

/*
 * The commit index has risen from `before`.  A node that joins is sent configurations from
 * before its time: it is gone only if it was a member.
 */
void raft_membership_committed(struct raft *r, uint64_t before)
{
	bool now = true;
	size_t end = change_from(r, r->commit + 1);
	for (size_t i = change_from(r, before + 1); i < end; i++) {
		now = raft_config_find(r->changes.items[i].config, r->id) != NULL;
		r->member |= now;
	}
	if (now)
		return;
	if (r->member && !r->gone && !raft_config_find(raft_membership_now(r), r->id)) {
		r->gone = true;
		raft_act(r, RAFT_GONE);
	}
	if (r->role == RAFT_LEADER && raft_membership_index(r) <= r->commit)
		raft_election_follow(r, r->term, (struct raft_id){{0}});
}

void raft_membership_removed(struct raft *r, const struct raft_message *m)
{
	if (m->place.index <= raft_membership_index(r) || r->gone)
		return;
	r->gone = true;
	raft_act(r, RAFT_GONE);
	if (r->role != RAFT_LEADER)
		raft_election_follow(r, r->term, (struct raft_id){{0}});
}
