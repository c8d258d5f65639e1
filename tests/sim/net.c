#include "net.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/broker/broker.h"

void bytes_push(struct bytes *b, struct slice s)
{
	if (s.len == 0)
		return;
	if (b->off > 0 && b->cap - b->len < s.len) {
		memmove(b->data, b->data + b->off, b->len - b->off);
		b->len -= b->off;
		b->off = 0;
	}
	if (b->cap - b->len < s.len) {
		b->cap = 2 * (b->len + s.len);
		b->data = realloc(b->data, b->cap);
		assert(b->data);
	}
	memcpy(b->data + b->len, s.data, s.len);
	b->len += s.len;
}

struct slice bytes_all(const struct bytes *b)
{
	return slice_of(b->data ? b->data + b->off : NULL, b->len - b->off);
}

void bytes_consume(struct bytes *b, size_t n)
{
	assert(n <= b->len - b->off);
	b->off += n;
	if (b->off == b->len)
		b->off = b->len = 0;
}

void bytes_free(struct bytes *b)
{
	free(b->data);
	*b = (struct bytes){0};
}

static void stream_free(struct stream *s)
{
	bytes_free(&s->flight);
	bytes_free(&s->arrived);
}

static void link_free(struct link *l)
{
	stream_free(&l->up);
	stream_free(&l->down);
	bytes_free(&l->kept);
	free(l->told);
	free(l);
}

void net_free(struct net *n)
{
	for (size_t i = 0; i < n->count; i++)
		link_free(n->links[i]);
	free(n->links);
}

struct link *net_connect(struct net *n, struct daemon *d, uint64_t clock_ms)
{
	if (n->count == n->cap) {
		n->cap = n->cap ? 2 * n->cap : 16;
		n->links = realloc(n->links, n->cap * sizeof(struct link *));
		assert(n->links);
	}
	struct link *l = calloc(1, sizeof(*l));
	assert(l);
	l->id = ++n->last_id;
	l->daemon = d;
	l->clock_ms = clock_ms;
	return n->links[n->count++] = l;
}

struct link *net_find(struct net *n, uint64_t id)
{
	for (size_t i = 0; i < n->count; i++)
		if (n->links[i]->id == id)
			return n->links[i];
	return NULL;
}

static void arrive(struct stream *s, size_t k)
{
	struct slice all = bytes_all(&s->flight);
	assert(k <= all.len);
	bytes_push(&s->arrived, slice_of(all.data, k));
	bytes_consume(&s->flight, k);
}

static bool is_wedged(const struct link *l)
{
	return l->wedged && !l->client_closed;
}

void net_move(struct net *n, struct prng *p, uint64_t now_ms)
{
	if (n->count == 0)
		return;
	struct link *l = n->links[prng_below(p, n->count)];
	struct stream *s = prng_chance(p, 500) ? &l->up : &l->down;
	size_t len = bytes_all(&s->flight).len;
	if (len == 0 || l->stalled_until > now_ms || is_wedged(l))
		return;
	if (s == &l->up)
		l->arrived_ms = now_ms;
	arrive(s, prng_chance(p, 700) && !l->trickles ? len : (size_t)prng_range(p, 1, len));
}

void net_move_all(struct net *n, uint64_t now_ms)
{
	for (size_t i = 0; i < n->count; i++) {
		struct link *l = n->links[i];
		if (is_wedged(l))
			continue;
		if (bytes_all(&l->up.flight).len > 0)
			l->arrived_ms = now_ms;
		arrive(&l->up, bytes_all(&l->up.flight).len);
		arrive(&l->down, bytes_all(&l->down.flight).len);
	}
}

static void stream_break(struct stream *s, struct prng *p)
{
	size_t len = bytes_all(&s->flight).len;
	arrive(s, len == 0 ? 0 : (size_t)prng_range(p, 0, len));
	bytes_consume(&s->flight, bytes_all(&s->flight).len);
	s->closed = true;
}

void net_break(struct link *l, struct prng *p)
{
	stream_break(&l->up, p);
	stream_break(&l->down, p);
}

void net_sweep(struct net *n)
{
	size_t kept = 0;
	for (size_t i = 0; i < n->count; i++) {
		struct link *l = n->links[i];
		if (l->client_closed && l->daemon_closed)
			link_free(l);
		else
			n->links[kept++] = l;
	}
	n->count = kept;
}

/* Whether a frame, or what is none, has arrived: a piece of one is nothing to do. */
static bool frame_arrived(const struct link *l)
{
	struct frame f;
	size_t used;
	return frame_parse(bytes_all(&l->up.arrived), &f, &used) || used > 0;
}

bool net_end_arrived(const struct link *l)
{
	return l->up.closed && bytes_all(&l->up.flight).len == 0 && !frame_arrived(l);
}

bool net_ready(const struct link *l, struct broker *b)
{
	if (l->daemon_closed)
		return false;
	bool reads = broker_owed(b, l->id) <= OWED_MAX;
	return !l->accepted || (reads && frame_arrived(l)) || net_end_arrived(l) ||
	       (l->deliverable && bytes_all(&l->down.flight).len < NET_OUT_MAX) ||
	       l->down.closed;
}
