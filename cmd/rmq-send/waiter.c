#include "waiter.h"

#include <stdlib.h>
#include <string.h>

#define TIDY_MIN 1024 /* runs */

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

/* In order, and the last one grows if it can. */
static void put(struct waiter *w, struct waiter_run r)
{
	if (count(w) > 0) {
		struct waiter_run last = run(w, count(w) - 1);
		if (last.first <= r.first && r.first <= last.end) {
			r.first = last.first;
			r.end = r.end > last.end ? r.end : last.end;
			w->runs.len -= sizeof(r);
		} else if (r.first < last.first) {
			w->untidy = true;
		}
	}
	text_put(&w->runs, &r, sizeof(r));
}

static int by_first(const void *a, const void *b)
{
	const struct waiter_run *one = a, *other = b;
	return one->first < other->first ? -1 : one->first > other->first;
}

/* What is known by ids comes in any order, and maybe often. */
static void tidy(struct waiter *w)
{
	size_t n = count(w);
	if (!w->untidy)
		return;
	qsort(w->runs.data, n, sizeof(struct waiter_run), by_first);
	w->runs.len = 0;
	for (size_t i = 0; i < n; i++)
		put(w, run(w, i));
	w->untidy = false;
	w->tidy_at = 2 * count(w);
}

void waiter_add(struct waiter *w, uint64_t first, uint64_t end)
{
	if (first >= end)
		return;
	put(w, (struct waiter_run){first, end});
	if (count(w) >= TIDY_MIN && count(w) >= w->tidy_at)
		tidy(w);
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
	tidy(w);
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
