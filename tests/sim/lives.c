#include "lives.h"

#include "trace.h"

#include <string.h>

#define WHAT(name) (1u << HISTORY_##name)
/* What a life begins with. */
#define FIRST (WHAT(FOUND) | WHAT(SENT) | WHAT(ARRIVED))
/* What comes to a leased message, and to no other. */
#define OF_LEASED \
	(WHAT(EXTENDED) | WHAT(RELEASED) | WHAT(FAILED) | WHAT(ENDED) | WHAT(SETTLED) | \
	    WHAT(BURIED))

void lives_free(struct life *l)
{
	bytes_free(&l->entries);
	*l = (struct life){0};
}

void lives_ask(struct life *l, const struct world *w, struct slice queue, uint64_t seq)
{
	struct shadow_queue *q = shadow_queue(&w->shadow, queue);
	const struct shadow_message *m = q ? shadow_message(q, seq) : NULL;
	lives_free(l);
	l->asked = true;
	memcpy(l->name, queue.data, queue.len);
	l->name_len = queue.len;
	l->seq = seq;
	l->index = w->shadow.index;
	l->queue = q ? q->id : 0;
	l->is_known = m != NULL;
	if (m)
		l->was = *m;
	l->is_large = m && m->pieces > 1;
}

static void wrong(const struct life *l, const struct history_entry *e, const char *why)
{
	trace_fail("%.*s:%llu: the life says '%s' in record %llu: %s", (int)l->name_len,
	    l->name, (unsigned long long)l->seq, history_word(e->what),
	    (unsigned long long)e->record, why);
}

/* before: the state that it comes from; UINT8_MAX: that is not known. */
static void check_step(
    const struct life *l, const struct history_entry *e, bool first, uint8_t before)
{
	uint32_t what = 1u << e->what;
	if (!history_word(e->what))
		trace_fail("a life has an entry %u", e->what);
	if (first && before == 0 && !(what & (FIRST | WHAT(UNKNOWN))))
		wrong(l, e, "nothing says that it was there");
	if (!first && before == 0)
		wrong(l, e, "it was gone before");
	if (!first && before != UINT8_MAX && what & FIRST)
		wrong(l, e, "it was there before");
	if (before == 0 || before == UINT8_MAX)
		return;
	if (what & OF_LEASED && before != STATE_LEASED)
		wrong(l, e, "it was not leased");
	if (e->what == HISTORY_LEASED && before != STATE_READY)
		wrong(l, e, "it was not ready");
	if (e->what == HISTORY_WOKEN && before != STATE_DELAYED && !l->is_large)
		wrong(l, e, "it was not delayed");
}

static bool ends_so(uint8_t state, uint8_t what)
{
	switch (state) {
	case SHADOW_SETTLED:
		return what == HISTORY_SETTLED;
	case SHADOW_BURIED:
		return what == HISTORY_BURIED;
	case SHADOW_LOST:
		return what == HISTORY_LOST;
	case SHADOW_MOVED:
		return what == HISTORY_MOVED;
	}
	return what == HISTORY_PURGED || what == HISTORY_REMOVED || what == HISTORY_EXPIRED ||
	       what == HISTORY_REPLACED || what == HISTORY_CANCELLED;
}

/* The newest entry of those that were on the disk when the client asked. */
static void check_then(const struct life *l, const struct history_entry *e)
{
	static const uint8_t states[] = {STATE_READY, STATE_LEASED, STATE_DELAYED};
	const struct shadow_message *m = &l->was;
	if (!l->is_known)
		wrong(l, e, "nobody has sent it");
	if (!shadow_live(m)) {
		if (e->state != 0 || !ends_so(m->state, e->what))
			wrong(l, e, "that was not its end");
		return;
	}
	if (l->is_large && e->what == HISTORY_SENT)
		return;
	if (e->state != states[m->state] || e->failures != m->failures ||
	    e->attempt != m->attempt || (e->state == STATE_LEASED && e->lease != m->lease))
		wrong(l, e, "it was in another state then");
}

static void check(const struct life *l, const struct world *w)
{
	const struct shadow_queue *q = shadow_queue(&w->shadow, slice_of(l->name, l->name_len));
	struct reader r = reader_of(bytes_all(&l->entries));
	struct history_entry e, then = {0};
	bool known = true, first = true;
	uint8_t state = 0;
	uint64_t record = 0;
	for (; reader_left(&r) > 0; first = false) {
		history_entry_get(&r, &e);
		check_step(l, &e, first, state);
		if (e.record < record)
			wrong(l, &e, "an earlier record is told later");
		record = e.record;
		state = e.what == HISTORY_UNKNOWN ? UINT8_MAX : e.state;
		known &= e.what != HISTORY_UNKNOWN;
		if (e.record <= l->index)
			then = e;
	}
	trace("life", l->seq, state, record, known);
	/* It was another queue's that had the name, or some of it is not known. */
	if (!known || !q || q->id != l->queue)
		return;
	if (then.what > 0)
		check_then(l, &then);
	struct shadow_message *m = shadow_message((struct shadow_queue *)(uintptr_t)q, l->seq);
	if (first && l->is_known && shadow_live(&l->was) && m && shadow_live(m))
		trace_fail("%s:%llu is there, and nothing is told of it", q->name,
		    (unsigned long long)l->seq);
}

void lives_told(struct life *l, const struct world *w, struct slice place, struct slice entries)
{
	bytes_push(&l->entries, entries);
	if (place.len > 0)
		memcpy(l->place, place.data, place.len);
	l->place_len = place.len;
	if (place.len > 0)
		return;
	check(l, w);
	lives_free(l);
}
