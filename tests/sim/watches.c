#include "watches.h"

#include "trace.h"

#include "core/base/limits.h"

#include <string.h>

#define U(v) ((unsigned long long)(v))

static struct slice name_of(const struct watch *w)
{
	return slice_of(w->name, w->name_len);
}

static bool is_live(struct shadow_queue *q, uint64_t seq)
{
	const struct shadow_message *m = shadow_message(q, seq);
	return m && shadow_live(m);
}

static bool is_so(const struct watch *w, uint64_t total)
{
	return w->what == WATCH_BELOW ? total < w->messages : total > w->messages;
}

bool watches_met(const struct world *w, const struct watch *watch)
{
	struct shadow_queue *q = shadow_queue(&w->shadow, name_of(watch));
	if (!q)
		return true;
	return watch->what == WATCH_GONE ? !is_live(q, watch->messages) : is_so(watch, q->live);
}

void watches_asked(
    const struct world *w, struct watch *watch, const struct wire_watch *m, uint64_t lease_ms)
{
	const struct shadow_queue *q = shadow_queue(&w->shadow, m->queue);
	*watch = (struct watch){.on = true,
	    .req = m->req,
	    .what = m->what,
	    .messages = m->messages,
	    .name_len = (uint8_t)m->queue.len,
	    .since_ms = lease_ms,
	    .queue = q ? q->id : UINT32_MAX};
	memcpy(watch->name, m->queue.data, m->queue.len);
}

/* Whether q ever held so many since then: it is so, and that is what is told. */
static bool was_so(const struct shadow_queue *q, const struct watch *w, uint64_t total)
{
	for (size_t i = 0; is_so(w, total) && i < q->history_count; i++) {
		bool after = i + 1 == q->history_count || q->history[i + 1].made >= w->since_ms;
		if (after && q->history[i].in[SHADOW_TOTAL] == total)
			return true;
	}
	return false;
}

/* What is gone stays gone.  In a queue that was made anew it may have no such number yet. */
static bool is_gone(struct shadow_queue *q, const struct watch *w, uint64_t next)
{
	uint64_t seq = w->messages;
	while (seq < next && !is_live(q, seq))
		seq++;
	return seq >= next && next <= q->next_seq;
}

static bool is_true(struct shadow_queue *q, const struct watch *w, uint64_t told)
{
	if (!slice_eq(slice_of(q->name, q->name_len), name_of(w)))
		return false;
	return w->what == WATCH_GONE ? is_gone(q, w, told) : was_so(q, w, told);
}

void watches_told(const struct world *w, struct watch *watch, const struct wire_watched *m)
{
	const struct shadow *s = &w->shadow;
	bool so = false;
	if (!watch->on || m->req != watch->req)
		trace_fail("WATCHED for request %u, which is none", m->req);
	watch->on = false;
	switch (m->code) {
	case RMQ_E_OK:
		for (size_t i = 0; i < s->queues_count && !so; i++)
			so = s->queues[i] && is_true(s->queues[i], watch, m->messages);
		break;
	case RMQ_E_NO_QUEUE:
		so = watch->queue == UINT32_MAX || s->queues[watch->queue]->removed;
		break;
	case RMQ_E_LIMIT:
		so = rmq_small_limits;
		break;
	}
	if (!so)
		trace_fail(
		    "WATCHED %u, code %u: %.*s is told to be at %llu (for %llu), on disk "
		    "it never was",
		    watch->what, m->code, watch->name_len, watch->name, U(m->messages),
		    U(watch->messages));
}
