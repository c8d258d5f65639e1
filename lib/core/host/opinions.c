#include "core/host/opinions.h"

#include "core/base/variant.h"

static_assert(PHI_HEARTBEAT_MS == MEMBER_TELL_MS, "STATE is the heartbeat");

static struct opinions_peer *find(struct opinions *o, struct raft_id id)
{
	for (unsigned i = 0; i < o->count; i++)
		if (raft_id_eq(o->peers[i].id, id))
			return &o->peers[i];
	return NULL;
}

const struct opinions_peer *opinions_find(const struct opinions *o, struct raft_id id)
{
	for (unsigned i = 0; i < o->count; i++)
		if (raft_id_eq(o->peers[i].id, id))
			return &o->peers[i];
	return NULL;
}

void opinions_init(struct opinions *o, struct raft_id self, const struct phi_settings *settings,
    uint64_t now_ms)
{
	memset(o, 0, sizeof(*o));
	o->self = self;
	o->settings = *settings;
	o->now_ms = now_ms;
}

/* The clock, which goes on with the turns. */
static uint64_t clock_at(const struct opinions *o, uint64_t now_ms)
{
	uint64_t step = now_ms - o->now_ms;

	if (step > PHI_HEARTBEAT_MS)
		step = PHI_HEARTBEAT_MS;
	return o->clock + step;
}

void opinions_add(struct opinions *o, struct raft_id id, uint64_t now_ms)
{
	if (find(o, id) || o->count == MEMBERS_LINKS_MAX)
		return;
	struct opinions_peer *p = &o->peers[o->count++];
	memset(p, 0, sizeof(*p));
	p->id = id;
	phi_begin(&p->phi, &o->settings, clock_at(o, now_ms));
}

void opinions_drop(struct opinions *o, struct raft_id id)
{
	struct opinions_peer *p = find(o, id);

	if (!p)
		return;
	*p = o->peers[--o->count];
	o->news = true;
}

/* ---- what comes ---- */

void opinions_beat(struct opinions *o, struct raft_id id, uint64_t now_ms)
{
	struct opinions_peer *p = find(o, id);

	if (p && !RMQ_VARIANT(BEATS_UNHEARD)) {
		o->news |= !p->phi.heard;
		phi_beat(&p->phi, &o->settings, clock_at(o, now_ms));
	}
}

static bool same(const struct opinion_list *a, const struct opinion_list *b)
{
	return a->count == b->count &&
	       memcmp(a->ids, b->ids, a->count * sizeof(a->ids[0])) == 0;
}

void opinions_told(struct opinions *o, struct raft_id id, const struct opinion *said)
{
	static const struct opinion none;
	struct opinions_peer *p = find(o, id);

	if (!p)
		return;
	const struct opinion *now = said ? said : &none;
	o->news |= p->tells != (said != NULL) || !same(&p->said.suspects, &now->suspects) ||
		   !same(&p->said.unheard, &now->unheard);
	if (!said)
		phi_part(&p->phi);
	p->tells = said != NULL;
	p->said = *now;
}

/* ---- the majority ---- */

static bool lists(const struct opinion_list *list, struct raft_id id)
{
	for (unsigned i = 0; i < list->count; i++)
		if (raft_id_eq(list->ids[i], id))
			return true;
	return false;
}

/* about: NULL: this node. */
static bool majority(const struct opinions *o, const struct opinions_peer *about)
{
	struct raft_id id = about ? about->id : o->self;
	unsigned voices = 0, suspect = 0;

	if (about && (about->suspected || about->phi.heard)) {
		voices++;
		suspect += about->suspected;
	}
	for (unsigned i = 0; i < o->count && !RMQ_VARIANT(OPINION_OF_ONE); i++) {
		const struct opinions_peer *p = &o->peers[i];
		if (p == about || p->suspected || !p->tells || lists(&p->said.unheard, id))
			continue;
		voices++;
		suspect += lists(&p->said.suspects, id);
	}
	return 2 * suspect > voices;
}

bool opinions_turn(struct opinions *o, uint64_t now_ms)
{
	bool changed = false;

	o->clock = clock_at(o, now_ms);
	o->now_ms = now_ms;
	for (unsigned i = 0; i < o->count; i++) {
		struct opinions_peer *p = &o->peers[i];
		bool is = phi_suspects(&p->phi, o->clock);
		changed |= is != p->suspected;
		p->suspected = is;
	}
	if (!changed && !o->news)
		return false;
	o->news = false;
	for (unsigned i = 0; i < o->count; i++) {
		bool is = majority(o, &o->peers[i]);
		changed |= is != o->peers[i].unreachable;
		o->peers[i].unreachable = is;
	}
	bool self = majority(o, NULL);
	changed |= self != o->self_unreachable;
	o->self_unreachable = self;
	return changed;
}

uint64_t opinions_due(const struct opinions *o)
{
	uint64_t due = UINT64_MAX;

	for (unsigned i = 0; i < o->count; i++) {
		const struct opinions_peer *p = &o->peers[i];
		if (!p->suspected && phi_due(&p->phi) < due)
			due = phi_due(&p->phi);
	}
	if (due == UINT64_MAX || due <= o->clock)
		return due == UINT64_MAX ? due : o->now_ms;
	return o->now_ms + (due - o->clock);
}

void opinions_own(const struct opinions *o, struct opinion *own)
{
	memset(own, 0, sizeof(*own));
	for (unsigned i = 0; i < o->count; i++) {
		const struct opinions_peer *p = &o->peers[i];
		if (p->suspected)
			own->suspects.ids[own->suspects.count++] = p->id;
		else if (!p->phi.heard)
			own->unheard.ids[own->unheard.count++] = p->id;
	}
}

bool opinions_unreachable(const struct opinions *o, struct raft_id id)
{
	const struct opinions_peer *p = opinions_find(o, id);

	return p ? p->unreachable : raft_id_eq(id, o->self) && o->self_unreachable;
}

double opinions_phi(const struct opinions *o, struct raft_id id, uint64_t now_ms)
{
	const struct opinions_peer *p = opinions_find(o, id);

	return p ? phi_value(&p->phi, &o->settings, clock_at(o, now_ms)) : 0;
}

uint64_t opinions_silent(const struct opinions *o, struct raft_id id, uint64_t now_ms)
{
	const struct opinions_peer *p = opinions_find(o, id);

	return p ? clock_at(o, now_ms) - p->phi.heard_ms : 0;
}
