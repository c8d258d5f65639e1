#include "core/client/held.h"

#include <assert.h>
#include <stdlib.h>

static int compare(const struct held_range *a, const struct held_range *b)
{
	if (a->lease != b->lease)
		return a->lease < b->lease ? -1 : 1;
	return a->first == b->first ? 0 : a->first < b->first ? -1 : 1;
}

RB_PROTOTYPE(held_tree, held_range, entry, compare)
RB_GENERATE(held_tree, held_range, entry, compare)

void held_init(struct held *h)
{
	*h = (struct held){0};
	RB_INIT(&h->tree);
}

void held_deinit(struct held *h)
{
	struct held_range *r;
	while ((r = RB_ROOT(&h->tree))) {
		RB_REMOVE(held_tree, &h->tree, r);
		free(r);
	}
}

enum rmq_error held_add(struct held *h, const struct held_range *range)
{
	struct held_range *r = malloc(sizeof(*r));
	if (!r)
		return RMQ_E_LIMIT;
	*r = *range;
	struct held_range *other = RB_INSERT(held_tree, &h->tree, r);
	assert(!other);
	h->messages += r->end - r->first;
	if (!r->detached)
		h->attached += r->end - r->first;
	return RMQ_E_OK;
}

struct held_range *held_first(const struct held *h)
{
	struct held_range *r = RB_ROOT(&h->tree);
	while (r && RB_LEFT(r, entry))
		r = RB_LEFT(r, entry);
	return r;
}

struct held_range *held_next(struct held_range *r)
{
	return RB_NEXT(held_tree, NULL, r);
}

struct held_range *held_find_from(const struct held *h, uint64_t lease, uint64_t seq)
{
	struct held_range *r = RB_ROOT(&h->tree), *next = NULL;
	while (r) {
		if (r->lease < lease || (r->lease == lease && r->end <= seq)) {
			r = RB_RIGHT(r, entry);
		} else {
			next = r;
			r = RB_LEFT(r, entry);
		}
	}
	return next && next->lease == lease ? next : NULL;
}

struct held_range *held_find(const struct held *h, uint64_t lease, uint64_t seq)
{
	struct held_range *r = held_find_from(h, lease, seq);
	return r && r->first <= seq ? r : NULL;
}

static void drop(struct held *h, struct held_range *r)
{
	RB_REMOVE(held_tree, &h->tree, r);
	h->messages -= r->end - r->first;
	if (!r->detached)
		h->attached -= r->end - r->first;
	free(r);
}

/* Makes `r` begin at `at` or after it, its former part a range of its own. */
static enum rmq_error split(struct held *h, struct held_range *r, uint64_t at)
{
	if (at <= r->first || at >= r->end)
		return RMQ_E_OK;
	struct held_range front = *r;
	front.end = at;
	/* Keys stay in order: r's rises to `at`, and the front takes its old place. */
	r->first = at;
	h->messages -= at - front.first;
	if (!r->detached)
		h->attached -= at - front.first;
	enum rmq_error err = held_add(h, &front);
	if (err) {
		r->first = front.first;
		h->messages += at - front.first;
		if (!r->detached)
			h->attached += at - front.first;
	}
	return err;
}

/* Sees to it that a range ends at `first` and at `end`, if any crosses them. */
static enum rmq_error cut_out(struct held *h, uint64_t lease, uint64_t first, uint64_t end)
{
	struct held_range *r = held_find(h, lease, first);
	enum rmq_error err = r ? split(h, r, first) : RMQ_E_OK;
	if (err)
		return err;
	r = held_find(h, lease, end);
	return r ? split(h, r, end) : RMQ_E_OK;
}

enum rmq_error held_remove(struct held *h, uint64_t lease, uint64_t first, uint64_t end)
{
	struct held_range *r;
	enum rmq_error err = cut_out(h, lease, first, end);
	if (err)
		return err;
	while ((r = held_find_from(h, lease, first)) && r->first < end)
		drop(h, r);
	return RMQ_E_OK;
}

enum rmq_error held_detach(struct held *h, uint64_t lease, uint64_t first, uint64_t end,
    struct mono_time now, uint64_t ms)
{
	struct held_range *r;
	enum rmq_error err = cut_out(h, lease, first, end);
	if (err)
		return err;
	for (uint64_t at = first; (r = held_find_from(h, lease, at)) && r->first < end;) {
		struct mono_time until = held_until(h, r);
		if (!r->detached || until.ms < r->before.ms)
			r->before = until;
		if (!r->detached)
			h->attached -= r->end - r->first;
		r->detached = true;
		r->stamp = now;
		r->lease_ms = ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
		at = r->end;
	}
	return RMQ_E_OK;
}

enum rmq_error held_confirm(struct held *h, uint64_t lease, uint64_t first, uint64_t end)
{
	struct held_range *r;
	enum rmq_error err = cut_out(h, lease, first, end);
	if (err)
		return err;
	for (uint64_t at = first; (r = held_find_from(h, lease, at)) && r->first < end;) {
		if (!r->confirmed) {
			r->confirmed = true;
			r->echo = h->echo;
		}
		at = r->end;
	}
	return RMQ_E_OK;
}

enum rmq_error held_start(struct held *h, uint64_t lease, uint64_t first, uint64_t end)
{
	struct held_range *r;
	enum rmq_error err = cut_out(h, lease, first, end);
	if (err)
		return err;
	for (uint64_t at = first; (r = held_find_from(h, lease, at)) && r->first < end;
	     at = r->end)
		r->started = true;
	return RMQ_E_OK;
}

void held_echo(struct held *h, struct mono_time stamp)
{
	h->echo++;
	if (stamp.ms > h->echoed.ms)
		h->echoed = stamp;
}

static struct mono_time vouched_from(const struct held *h, const struct held_range *r)
{
	bool echoed = !r->detached && r->confirmed && h->echo > r->echo;
	return echoed && h->echoed.ms > r->stamp.ms ? h->echoed : r->stamp;
}

struct mono_time held_until(const struct held *h, const struct held_range *r)
{
	struct mono_time from = vouched_from(h, r);
	return (struct mono_time){from.ms ? from.ms + r->lease_ms : 0};
}

void held_disconnect(struct held *h)
{
	struct held_range *r;
	RB_FOREACH (r, held_tree, &h->tree) {
		r->stamp = vouched_from(h, r);
		r->confirmed = false;
	}
}
