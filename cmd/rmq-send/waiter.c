#include "waiter.h"

#include <string.h>

struct waiter_run {
	uint64_t first;
	uint64_t end;
};

void waiter_deinit(struct waiter *w)
{
	text_deinit(&w->runs);
}

static size_t count(const struct waiter *w)
{
	return w->runs.len / sizeof(struct waiter_run);
}

static struct waiter_run run(const struct waiter *w, size_t i)
{
	struct waiter_run r;
	memcpy(&r, w->runs.data + i * sizeof(r), sizeof(r));
	return r;
}

void waiter_stored(struct waiter *w, uint64_t first, uint32_t n)
{
	struct waiter_run r = {first, first + n};
	if (n == 0)
		return;
	if (count(w) > 0 && run(w, count(w) - 1).end == first) {
		r.first = run(w, count(w) - 1).first;
		w->runs.len -= sizeof(r);
	}
	text_put(&w->runs, &r, sizeof(r));
}

static void watch(struct waiter *w, struct mono_time now, uint64_t seq)
{
	(void)client_watch(w->client, now, slice_str(w->queue), WATCH_GONE, seq);
}

static void ask_dead(struct waiter *w, struct mono_time now, uint64_t from)
{
	(void)client_buried(w->client, now, slice_str(w->queue), run(w, 0).first,
	    run(w, count(w) - 1).end, from);
}

void waiter_begin(struct waiter *w, struct mono_time now)
{
	w->phase = count(w) > 0 ? WAITER_LAST : WAITER_DONE;
	if (count(w) > 0)
		watch(w, now, run(w, count(w) - 1).end - 1);
}

void waiter_watched(struct waiter *w, struct mono_time now, uint64_t next)
{
	if (w->phase == WAITER_LAST) {
		w->phase = WAITER_EACH;
		next = 0;
	}
	while (w->at < count(w) && run(w, w->at).end <= next)
		w->at++;
	if (w->at == count(w)) {
		w->phase = WAITER_DEAD;
		ask_dead(w, now, 0);
		return;
	}
	watch(w, now, next > run(w, w->at).first ? next : run(w, w->at).first);
}

/* Messages of others are among them. */
static bool is_ours(const struct waiter *w, uint64_t seq)
{
	size_t low = 0, high = count(w);
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (run(w, mid).end <= seq)
			low = mid + 1;
		else
			high = mid;
	}
	return low < count(w) && run(w, low).first <= seq;
}

void waiter_buried(struct waiter *w, struct mono_time now, uint64_t next, struct slice runs)
{
	struct reader r = reader_of(runs);
	while (reader_left(&r) > 0) {
		struct seq_range dead = seq_range_get(&r);
		uint64_t seq = dead.first;
		for (; seq < dead.first + dead.count; seq++) {
			if (!is_ours(w, seq))
				continue;
			w->dead++;
			w->dead_letter(w->arg, seq);
		}
	}
	if (next > 0)
		ask_dead(w, now, next);
	else
		w->phase = WAITER_DONE;
}
