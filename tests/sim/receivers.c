#include "receivers.h"

#include "daemon.h"
#include "told.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void receivers_appended(struct world *w, struct slice payload)
{
	struct events_header h;
	struct event_iter it;
	struct event e;
	struct event_lease lease;
	if (events_open(payload, &h, &it))
		return;
	while (event_next(&it, &e) == RMQ_E_OK) {
		if (e.type != EVENT_TYPE_LEASE || !event_lease_decode(e.body, &lease))
			continue;
		if (lease.lease >= w->given_cap) {
			size_t cap = 2 * (size_t)lease.lease + 64;
			w->given = realloc(w->given, cap * sizeof(*w->given));
			assert(w->given);
			memset(w->given + w->given_cap, 0,
			    (cap - w->given_cap) * sizeof(*w->given));
			w->given_cap = cap;
		}
		w->given[lease.lease] = w->moment;
	}
}

static bool has_missed(const struct receivers *r, uint64_t session)
{
	unsigned slots = sizeof(r->missed) / sizeof(r->missed[0]);
	for (unsigned i = 0; i < slots && i < r->missed_count; i++)
		if (r->missed[i] == session)
			return true;
	return false;
}

const char *receivers_leased(
    struct world *w, struct shadow_queue *q, uint8_t key, uint64_t session, uint64_t lease)
{
	struct key_owner *o = &q->receivers.owner[key], before = *o;
	uint64_t at = lease < w->given_cap ? w->given[lease] : 0, heard, heard_before;
	struct key_owner now = {session, told_joined(w, q, session, &heard), at};
	/* Of a daemon of the past, or who was there then is not any more. */
	if (w->daemons_count > 1 || now.joined == 0 || now.joined > at) {
		*o = (struct key_owner){0};
		return NULL;
	}
	*o = now;
	if (before.session == 0 || before.session == session)
		return NULL;
	bool stays = told_joined(w, q, before.session, &heard_before) == before.joined;
	bool is_new =
	    now.joined > before.at || (has_missed(&q->receivers, session) && heard > before.at);
	return stays && !is_new ? "its key is another receiver's, which is there" : NULL;
}

void receivers_missed(struct shadow_queue *q, uint64_t session)
{
	struct receivers *r = &q->receivers;
	unsigned slots = sizeof(r->missed) / sizeof(r->missed[0]);
	if (!has_missed(r, session))
		r->missed[r->missed_count++ % slots] = session;
	for (unsigned key = 0; key <= LINE_KEYS; key++)
		if (r->owner[key].session == session)
			r->owner[key].session = 0;
}

void receivers_forget(struct shadow_queue *q)
{
	memset(&q->receivers, 0, sizeof(q->receivers));
}
