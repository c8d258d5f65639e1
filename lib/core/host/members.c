#include "core/host/members.h"

#include <stdio.h>
#include <string.h>

#include "core/base/variant.h"

/* ---- which are linked ---- */

static bool note(struct members_view *v, uint64_t index, const struct raft_config *config)
{
	if (v->index == index && !config)
		return false;
	/* Where one was truncated, there may be another one now. */
	bool news = v->index != index || !raft_config_eq(&v->config, config);
	v->index = index;
	if (news && config)
		v->config = *config;
	return news;
}

bool members_log(struct members *m, const struct raft_status *log)
{
	bool news = note(&m->committed, log->committed_index, log->committed);

	return note(&m->log, log->config_index, log->config) || news;
}

static const struct raft_member *in(const struct members_view *v, struct raft_id id)
{
	return v->index > 0 ? raft_config_find(&v->config, id) : NULL;
}

/* Whether any configuration has it. */
static bool wanted(const struct members *m, struct raft_id id)
{
	uint64_t index;

	if (RMQ_VARIANT(HINT_CUTS))
		return raft_config_find(members_newest(m, &index), id) != NULL;
	return in(&m->committed, id) || in(&m->log, id) || in(&m->hint, id);
}

struct member_link *members_find(struct members *m, struct raft_id id)
{
	for (unsigned i = 0; i < m->count; i++) {
		if (raft_id_eq(m->links[i].member.id, id))
			return &m->links[i];
	}
	return NULL;
}

static void drop(struct members *m, unsigned at)
{
	m->links[at] = m->links[--m->count];
}

/* True: there was no link with it. */
static bool take(struct members *m, const struct raft_member *member)
{
	struct member_link *l = members_find(m, member->id);
	bool fresh = !l;

	if (raft_id_none(member->id) || raft_id_eq(member->id, m->self) ||
	    memcmp(member->key, m->key, RAFT_KEY_SIZE) == 0 ||
	    (fresh && m->count == MEMBERS_LINKS_MAX))
		return false;
	if (fresh) {
		l = &m->links[m->count++];
		*l = (struct member_link){.boot = 0};
	}
	l->member = *member;
	return fresh;
}

unsigned members_update(struct members *m, struct members_effect effects[MEMBERS_EFFECTS_MAX])
{
	/* In the order of their indexes, the log's last: the newest says where a member is. */
	const struct members_view *views[] = {&m->committed, &m->hint, &m->log};
	unsigned n = 0;

	if (m->hint.index <= m->committed.index)
		m->hint.index = 0;
	if (m->hint.index > m->log.index) {
		views[1] = &m->log;
		views[2] = &m->hint;
	}
	for (unsigned i = m->count; i > 0; i--) {
		struct raft_id id = m->links[i - 1].member.id;
		if (wanted(m, id))
			continue;
		effects[n++] = (struct members_effect){MEMBERS_DROP, id};
		drop(m, i - 1);
	}
	for (unsigned v = 0; v < 3; v++) {
		for (unsigned i = 0; views[v]->index > 0 && i < views[v]->config.count; i++) {
			const struct raft_member *member = &views[v]->config.members[i];
			if (wanted(m, member->id) && take(m, member))
				effects[n++] =
				    (struct members_effect){MEMBERS_MAKE, member->id};
		}
	}
	return n;
}

bool members_hint(struct members *m, uint64_t index, const struct raft_config *config)
{
	uint64_t known;
	const struct raft_config *committed = members_committed(m, &known);
	const struct raft_config *any = committed	   ? committed
					: m->log.index > 0 ? &m->log.config
							   : NULL;

	if (index <= known || (any && !raft_id_eq(any->cluster, config->cluster)))
		return false;
	m->hint = (struct members_view){index, *config};
	return true;
}

const struct raft_config *members_newest(const struct members *m, uint64_t *index)
{
	const struct members_view *v = m->hint.index > m->log.index ? &m->hint : &m->log;

	*index = v->index;
	return v->index > 0 ? &v->config : NULL;
}

const struct raft_config *members_committed(const struct members *m, uint64_t *index)
{
	const struct members_view *v =
	    m->hint.index > m->committed.index ? &m->hint : &m->committed;

	if (RMQ_VARIANT(TOLD_UNCOMMITTED))
		return members_newest(m, index);
	*index = v->index;
	return v->index > 0 ? &v->config : NULL;
}

const struct raft_config *members_told(const struct members *m, uint64_t *index)
{
	uint64_t any;
	const struct raft_config *told = members_committed(m, index);

	return told ? told : members_newest(m, &any);
}

bool members_unled(const struct members *m, uint64_t led_ms, uint64_t now_ms, uint64_t ms)
{
	uint64_t index;
	const struct raft_config *newest = members_newest(m, &index);

	return newest && raft_config_find(newest, m->self) && now_ms - led_ms >= ms;
}

bool members_lost(const struct members *m, bool refused, uint64_t led_ms, uint64_t now_ms)
{
	return members_unled(m, led_ms, now_ms, refused ? 0 : MEMBERS_LOST_MS) &&
	       !RMQ_VARIANT(SEEDS_UNASKED);
}

bool members_joined(const struct members *m, const struct raft_member *who)
{
	uint64_t index;
	const struct raft_config *told = members_committed(m, &index);
	const struct raft_member *is = told ? raft_config_find(told, who->id) : NULL;

	return is && strcmp(is->name, who->name) == 0 &&
	       memcmp(is->key, who->key, RAFT_KEY_SIZE) == 0;
}

enum rmq_error members_asked(const struct members *m, struct raft_id cluster, struct raft_id id,
    const uint8_t key[RAFT_KEY_SIZE], char *why)
{
	uint64_t index;
	const struct raft_config *newest = members_newest(m, &index);
	const struct raft_config *told = members_committed(m, &index);
	const struct raft_member *is = told ? raft_config_find(told, id) : NULL;
	const struct raft_member *may = newest ? raft_config_find(newest, id) : NULL;

	const struct raft_removed *was = newest ? raft_config_removed(newest, id) : NULL;

	if (was && was->how == RAFT_LOST) {
		snprintf(why, TEXT_MAX + 1,
		    "the cluster was recovered without %s, and is another one since; with a new data "
		    "directory it can be admitted again",
		    was->name);
		return RMQ_E_DENIED;
	}
	if (newest && !raft_id_eq(newest->cluster, cluster)) {
		snprintf(why, TEXT_MAX + 1,
		    "it is a member of another cluster; join that one with a new data directory");
		return RMQ_E_EXISTS;
	}
	if (!is && may) {
		snprintf(why, TEXT_MAX + 1,
		    "it is not known yet to be committed that %s is a member", may->name);
		return RMQ_E_BUSY;
	}
	if (!is || memcmp(is->key, key, RAFT_KEY_SIZE) != 0) {
		snprintf(why, TEXT_MAX + 1,
		    "no member has this data directory; a removed node can be admitted again "
		    "with a new one");
		return RMQ_E_EXISTS;
	}
	return RMQ_E_OK;
}

/* Whoever has the key, by any configuration; the newest first.  NULL: nobody. */
static const struct raft_member *keyed(const struct members *m, const uint8_t *key)
{
	const struct members_view *views[] = {&m->log, &m->hint, &m->committed};
	const struct raft_member *admitted = NULL;

	for (unsigned i = 0; i < 3; i++) {
		const struct raft_member *is =
		    views[i]->index > 0 ? raft_config_find_key(&views[i]->config, key) : NULL;
		if (is && !raft_id_none(is->id))
			return is;
		admitted = is ? is : admitted;
	}
	return admitted;
}

/*
 * Who was removed with this key, and is this incarnation, if one is given, by what is known to
 * be committed.  NULL: nobody, as far as that is kept.
 */
static const struct raft_removed *removed(
    const struct members *m, const uint8_t *key, const struct raft_id *id)
{
	const struct members_view *views[] = {&m->committed, &m->hint};

	for (unsigned i = 0; i < 2; i++) {
		const struct raft_config *c = &views[i]->config;
		const struct raft_removed *was =
		    id ? raft_config_removed(c, *id) : raft_config_removed_key(c, key);
		if (views[i]->index > 0 && was && memcmp(was->key, key, RAFT_KEY_SIZE) == 0)
			return was;
	}
	return NULL;
}

const char *members_removed_text(enum raft_how how)
{
	if (how == RAFT_DOWNED)
		return "was downed by an administrator" MEMBERS_AGAIN_TEXT;
	if (how == RAFT_REPLACED)
		return "was replaced by another node" MEMBERS_AGAIN_TEXT;
	if (how == RAFT_LOST)
		return "was left out when its cluster was recovered, which is another one "
		       "since" MEMBERS_AGAIN_TEXT;
	return MEMBERS_REMOVED_TEXT;
}

enum raft_how members_own_end(const struct members *m)
{
	const struct members_view *views[] = {&m->log, &m->hint, &m->committed};
	bool leaves = false;

	for (unsigned i = 0; i < 3; i++) {
		const struct raft_config *c = &views[i]->config;
		const struct raft_removed *was = raft_config_removed(c, m->self);
		if (views[i]->index > 0 && was)
			return (enum raft_how)was->how;
		if (views[i]->index > 0 && raft_config_level(c) < LEVEL_TAGS)
			return RAFT_LEFT;
		const struct raft_member *is =
		    views[i]->index > 0 ? raft_config_find(c, m->self) : NULL;
		leaves |= is && is->leaving;
	}
	return leaves ? RAFT_LEFT : RAFT_DOWNED;
}

bool members_has_key(const struct members *m, const uint8_t key[RAFT_KEY_SIZE])
{
	return keyed(m, key) != NULL;
}

bool members_may_ask(const struct members *m, const uint8_t key[RAFT_KEY_SIZE])
{
	uint64_t index;

	return !members_newest(m, &index) || members_has_key(m, key);
}

void members_tell(const struct members *m, const uint8_t key[RAFT_KEY_SIZE], members_is_up *up,
    void *arg, char *text)
{
	const struct raft_member *is = keyed(m, key);

	if (is && !raft_id_none(is->id) && up(arg, is->id))
		snprintf(text, TEXT_MAX + 1,
		    "it is a member of a cluster, in which %.63s runs, at %.60s: this node has its "
		    "key, and needs its own one (rmq-keygen)",
		    is->name, is->address);
	else if (is && !raft_id_none(is->id))
		snprintf(text, TEXT_MAX + 1,
		    "it is a member of a cluster, and %s is one with another data directory, "
		    "to be removed first: rmq-cluster down %s",
		    is->name, is->name);
	else
		snprintf(text, TEXT_MAX + 1,
		    "it is a member of a cluster, which this node can join with a new data "
		    "directory");
}

bool members_may_call(const struct members *m, const uint8_t key[RAFT_KEY_SIZE])
{
	const struct raft_member *is = keyed(m, key);

	return (is && !raft_id_none(is->id)) || removed(m, key, NULL) != NULL;
}

/* ---- addresses ---- */

/* All that are known, the likeliest first, each once. */
static unsigned addresses(const struct member_link *l, const char *list[MEMBER_PLACES + 1])
{
	const char *all[] = {l->places[MEMBER_SAID], l->places[MEMBER_HEARD], l->member.address,
	    l->places[MEMBER_SEED]};
	unsigned n = 0;

	if (RMQ_VARIANT(PLACE_OF_CONFIG))
		all[0] = all[1] = all[3] = "";
	for (unsigned i = 0; i < MEMBER_PLACES + 1; i++) {
		bool new = all[i][0] != '\0';
		for (unsigned k = 0; k < n; k++)
			new = new &&strcmp(all[i], list[k]) != 0;
		if (new)
			list[n++] = all[i];
	}
	return n;
}

const char *member_advertised(const struct member_link *l)
{
	const char *said = l->places[MEMBER_SAID];

	return said[0] ? said : l->member.address;
}

const char *member_address(const struct member_link *l, unsigned attempt)
{
	const char *list[MEMBER_PLACES + 1];
	unsigned n = addresses(l, list);

	return n > 0 ? list[attempt % n] : "";
}

unsigned member_attempt(const struct member_link *l, const char *address, bool linked)
{
	const char *list[MEMBER_PLACES + 1];

	for (unsigned i = linked ? 0 : addresses(l, list); i > 0; i--)
		if (strcmp(list[i - 1], address) == 0)
			return i - 1;
	return 0;
}

bool member_place(struct member_link *l, enum member_place by, const char *address)
{
	if (strcmp(l->places[by], address) == 0 ||
	    (RMQ_VARIANT(PLACES_UNTOLD) && by == MEMBER_HEARD))
		return false;
	snprintf(l->places[by], sizeof(l->places[by]), "%s", address);
	return true;
}

bool members_misplaced(const struct raft_config *config, const struct raft_member *self)
{
	const struct raft_member *is = raft_config_find(config, self->id);

	return is &&
	       (strcmp(self->address, is->address) != 0 || strcmp(self->gate, is->gate) != 0 ||
		   (self->flags & RAFT_BROKER) != (is->flags & RAFT_BROKER));
}

/* ---- who is up ---- */

bool member_up(const struct member_link *l, const struct member_signs *s, uint64_t now_ms)
{
	bool silent = s->tells && now_ms - l->alive_ms >= MEMBER_UP_MS;

	return s->calls && s->answers && (!silent || RMQ_VARIANT(UP_BY_LINKS));
}

/* ---- who calls ---- */

/* Whether a disk that holds this lacks some of that. */
static bool lacks(struct raft_place is, struct raft_place that)
{
	return is.term < that.term || (is.term == that.term && is.index < that.index);
}

void member_keeps(struct member_link *l, struct raft_place kept)
{
	if (lacks(l->said, kept))
		l->said = kept;
}

void member_heard(struct member_link *l, const struct raft_message *m, uint64_t term)
{
	bool acknowledges =
	    m->type == RAFT_APPENDED && m->ok && (term == m->term || RMQ_VARIANT(TAIL_COUNTS));

	/* These do not say that their term is durable. */
	if (m->type != RAFT_PREVOTE && m->type != RAFT_PREVOTED && m->type != RAFT_REMOVED)
		member_keeps(
		    l, (struct raft_place){acknowledges ? m->place.index : 0, m->term});
}

/* Whether its process began with less than those before it had said. */
static bool forgot(const struct member_link *l, const struct members_hello *h)
{
	return lacks(h->begun, l->said_before) ||
	       ((h->another || RMQ_VARIANT(HELLO_OF_SAME)) && lacks(h->begun, l->said));
}

enum rmq_error members_hello(
    struct members *m, struct members_hello *h, const char *self_name, char *why)
{
	const struct raft_member *is = keyed(m, h->key);
	struct member_link *l = is ? members_find(m, h->from) : NULL;
	const char *name = is ? is->name : "";
	const size_t cap = TEXT_MAX + 1;

	const struct raft_removed *was = removed(m, h->key, &h->from);
	if (!l && was) {
		snprintf(why, cap, "it %s", members_removed_text((enum raft_how)was->how));
		return RMQ_E_DENIED;
	}
	if (!is || raft_id_none(is->id)) {
		snprintf(why, cap, "it is not known yet");
		return RMQ_E_BUSY;
	}
	if (!raft_id_eq(h->to, m->self)) {
		snprintf(why, cap, "%s has another data directory than %s believes", self_name,
		    name);
		return RMQ_E_BUSY;
	}
	/* Either of the two may not know yet who was removed and came again. */
	if (!l || memcmp(l->member.key, h->key, RAFT_KEY_SIZE) != 0) {
		snprintf(why, cap, "%s is known here with another data directory", name);
		return RMQ_E_BUSY;
	}
	/* If it cannot be reached itself, the older process is gone and its links are dead. */
	h->another = l->boot != h->boot;
	if (h->another && l->boot != 0 && h->accepted_ms <= l->boot_ms &&
	    !RMQ_VARIANT(HELLO_LATE)) {
		snprintf(why, cap, "%s has begun anew since", name);
		return RMQ_E_BUSY;
	}
	if (h->calls && h->answers && h->another) {
		snprintf(why, cap,
		    "%s runs already: if this lasts, two processes have copies of one data "
		    "directory",
		    name);
		return RMQ_E_BUSY;
	}
	if (!h->forgot && forgot(l, h)) {
		snprintf(why, cap,
		    "the data directory of %s was put back to an older state; remove it: "
		    "rmq-cluster down %s",
		    name, name);
		return RMQ_E_CORRUPT;
	}
	if (h->another) {
		if (lacks(l->said_before, l->said))
			l->said_before = l->said;
		l->said = (struct raft_place){0, 0};
		l->boot = h->boot;
		l->boot_ms = h->accepted_ms;
	}
	return RMQ_E_OK;
}
