#include "core/client/client_state.h"

#include <assert.h>
#include <stdlib.h>

#include "core/base/name.h"
#include "core/base/topic.h"
#include "core/base/variant.h"

static void assembly_reset(struct assembly *a)
{
	free(a->bytes);
	*a = (struct assembly){0};
}

/* ---- receiving ---- */

uint32_t client_subscribe(struct client *c, struct mono_time now, struct slice queue,
    uint8_t flags, uint32_t lease_ms)
{
	assert(queue.len <= NAME_FULL_MAX);
	uint32_t i = 0;
	while (c->subs[i].used)
		assert(++i < SUBSCRIPTIONS_MAX);
	struct subscription *s = &c->subs[i];
	*s = (struct subscription){.used = true, .flags = flags, .asked_lease_ms = lease_ms};
	if (flags & SUBSCRIBE_EPHEMERAL) {
		assert(queue.len <= sizeof(s->pattern));
		memcpy(s->pattern, queue.data, queue.len);
		s->pattern_len = queue.len;
	} else {
		memcpy(s->name, queue.data, queue.len);
		s->name_len = queue.len;
	}
	client_note_asking(c, now);
	return i;
}

static struct subscription *sub_find(struct client *c, uint32_t sub)
{
	return sub < SUBSCRIPTIONS_MAX && c->subs[sub].used ? &c->subs[sub] : NULL;
}

struct slice client_queue_of(const struct client *c, uint32_t sub)
{
	const struct subscription *s = &c->subs[sub];
	assert(sub < SUBSCRIPTIONS_MAX && s->used);
	return slice_of(s->name, s->name_len);
}

void client_credit(struct client *c, uint32_t sub, uint32_t messages, uint32_t bytes)
{
	struct subscription *s = sub_find(c, sub);
	if (!s)
		return;
	s->messages += messages;
	s->bytes += bytes;
	s->new_messages += messages;
	s->new_bytes += bytes;
}

int64_t client_credit_messages(const struct client *c, uint32_t sub)
{
	return sub < SUBSCRIPTIONS_MAX ? c->subs[sub].messages : 0;
}

int64_t client_credit_bytes(const struct client *c, uint32_t sub)
{
	return sub < SUBSCRIPTIONS_MAX ? c->subs[sub].bytes : 0;
}

void client_unsubscribe(struct client *c, uint32_t sub)
{
	struct subscription *s = sub_find(c, sub);
	if (s)
		s->ending = true;
}

static void sub_end(struct subscription *s)
{
	assembly_reset(&s->large);
	*s = (struct subscription){0};
}

void client_on_subscribed(
    struct client *c, struct mono_time now, const struct wire_subscribed *m)
{
	struct subscription *s = sub_find(c, m->sub);
	if (!s)
		return;
	c->progress = now;
	s->confirmed = true;
	/* What comes back after this is no other one: messages may be missing then. */
	if (s->flags & SUBSCRIBE_EPHEMERAL && !RMQ_VARIANT(EPHEMERAL_REMADE))
		s->flags |= SUBSCRIBE_NO_CREATE;
	s->lease_ms = m->lease_ms;
	if (c->lease_min_ms == 0 || m->lease_ms < c->lease_min_ms)
		c->lease_min_ms = m->lease_ms;
	if (c->host.subscribed)
		c->host.subscribed(c->host.arg, m->sub, m->lease_ms);
}

void client_on_sub_failed(
    struct client *c, struct mono_time now, const struct wire_sub_failed *m)
{
	struct subscription *s = sub_find(c, m->sub);
	/* If UNSUBSCRIBE is under way, its answer is the end: the number is in use up to it. */
	if (!s || s->end_sent)
		return;
	enum rmq_error code = client_code(m->code);
	/* It is made in the other cell, or has come to its end with this one. */
	if (code == RMQ_E_ELSEWHERE && (client_leaving(c) || s->ending || c->bye)) {
		s->announced = s->confirmed = false;
		return;
	}
	c->progress = now;
	sub_end(s);
	if (c->host.sub_failed)
		c->host.sub_failed(c->host.arg, m->sub, code, client_text(code, m->text));
}

void client_on_unsubscribed(
    struct client *c, struct mono_time now, const struct wire_unsubscribed *m)
{
	struct subscription *s = sub_find(c, m->sub);
	if (!s)
		return;
	c->progress = now;
	sub_end(s);
	if (c->host.unsubscribed)
		c->host.unsubscribed(c->host.arg, m->sub);
}

/* Whether a settlement (or detaching) that has no answer yet names this message. */
static bool is_settling(const struct client *c, uint64_t lease, uint64_t seq)
{
	for (const struct client_command *cmd = c->oldest; cmd; cmd = cmd->next) {
		struct wire_settle m;
		struct slice payload =
		    slice_of(cmd->frame + FRAME_HEADER_SIZE, cmd->len - FRAME_HEADER_SIZE);
		if (cmd->type != WIRE_TYPE_SETTLE || !wire_settle_decode(payload, &m) ||
		    (m.verb == VERB_TOUCH && !(m.flags & SETTLE_DETACH)))
			continue;
		struct reader r = reader_of(m.entries);
		while (reader_left(&r) > 0) {
			struct settle_entry e = settle_entry_get(&r);
			if (e.lease == lease && seq >= e.first && seq - e.first < e.count)
				return true;
		}
	}
	return false;
}

/* Messages [from, from + count) of `d` are new here: hold them, and hand them on. */
static void deliver_new(struct client *c, const struct client_delivery *d,
    struct mono_time stamp, uint32_t from, uint32_t count)
{
	const struct subscription *s = &c->subs[d->sub];
	struct held_range r = {.lease = d->lease,
	    .first = d->first_seq + from,
	    .end = d->first_seq + from + count,
	    .sub = d->sub,
	    .lease_ms = s->lease_ms,
	    .confirmed = true,
	    .stamp = stamp,
	    .echo = c->held.echo};
	if (c->held.attached == 0)
		c->extend_at.ms = stamp.ms + c->lease_min_ms / 3;
	if (held_add(&c->held, &r)) {
		client_give_up_memory(c);
		return;
	}
	struct client_delivery part = *d;
	part.first_seq += from;
	part.slot += from;
	part.count = count;
	if (d->ends) {
		const uint8_t *ends = d->ends + 2 * (size_t)from;
		uint32_t base = from ? load_u16(ends - 2) : d->base;
		uint32_t end = load_u16(ends + 2 * (size_t)(count - 1));
		part.ends = ends;
		part.base = base;
		part.blob = slice_of(d->blob.data + (base - d->base), end - base);
	}
	if (c->host.deliver)
		c->host.deliver(c->host.arg, &part);
}

/* A new connection brings again what is held: only what is not here is handed on. */
static void deliver_again(
    struct client *c, const struct client_delivery *d, struct mono_time stamp)
{
	uint32_t begin = 0;
	c->extend_wanted = true;
	if (held_confirm(&c->held, d->lease, d->first_seq, d->first_seq + d->count)) {
		client_give_up_memory(c);
		return;
	}
	for (uint32_t i = 0; i <= d->count; i++) {
		uint64_t seq = d->first_seq + i;
		const struct held_range *r =
		    i < d->count ? held_find(&c->held, d->lease, seq) : NULL;
		if (i < d->count && !r && !is_settling(c, d->lease, seq))
			continue;
		if (i > begin)
			deliver_new(c, d, stamp, begin, i - begin);
		begin = i + 1;
	}
}

static void deliver(
    struct client *c, struct mono_time now, const struct client_delivery *d, uint64_t stamp_ms)
{
	struct subscription *s = &c->subs[d->sub];
	struct mono_time stamp = {stamp_ms <= now.ms ? stamp_ms : 0};
	const struct held_range *r = held_find_from(&c->held, d->lease, d->first_seq);
	c->progress = now;
	if (stamp.ms == 0 || (r && r->first < d->first_seq + d->count)) {
		deliver_again(c, d, stamp);
		return;
	}
	s->messages -= d->count;
	s->bytes -= (int64_t)(d->blob.len + d->attributes.len);
	deliver_new(c, d, stamp, 0, d->count);
}

/* Ends and blob of a frame that holds slices of a stored batch. */
static bool slices(uint32_t base, uint32_t count, struct slice data, struct client_delivery *d)
{
	if (count == 0 || count > BATCH_MESSAGES_MAX || data.len < 3 * (size_t)count)
		return false;
	d->count = count;
	d->base = base;
	d->ends = data.data;
	d->blob = slice_of(data.data + 2 * (size_t)count, data.len - 2 * (size_t)count);
	uint32_t last = base;
	bool rising = true;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t end = load_u16(d->ends + 2 * (size_t)i);
		rising &= end > last;
		last = end;
	}
	return rising && last - base == d->blob.len;
}

/* The attributes among a frame's tagged fields. */
static bool attributes(struct slice tags, struct client_delivery *d)
{
	d->tags = tags;
	if (!tags_find(tags, DELIVER_TAG_ATTRIBUTES, &d->attributes))
		return true;
	return attributes_check(d->attributes, d->count) == RMQ_E_OK;
}

/*
 * Adds one piece.  RMQ_E_NOTHING: more pieces are to come; RMQ_E_PROTOCOL: it does not
 * follow the one before it.
 */
static enum rmq_error assemble(struct assembly *a, uint64_t lease, uint64_t seq, uint32_t part,
    uint32_t parts, uint32_t total, struct slice tags, struct slice data)
{
	struct slice attributes = {0};
	if (part == 0) {
		assembly_reset(a);
		(void)tags_find(tags, DELIVER_TAG_ATTRIBUTES, &attributes);
		if (total == 0 || total > MESSAGE_MAX || attributes_check(attributes, 1))
			return RMQ_E_PROTOCOL;
		a->bytes = malloc(total + tags.len);
		if (!a->bytes)
			return RMQ_E_LIMIT;
		if (tags.len > 0)
			memcpy(a->bytes + total, tags.data, tags.len);
		a->tags_len = (uint32_t)tags.len;
		a->total = total;
		a->lease = lease;
		a->seq = seq;
	}
	if (!a->bytes || part != a->part || lease != a->lease || seq != a->seq ||
	    total != a->total || data.len > a->total - a->len)
		return RMQ_E_PROTOCOL;
	memcpy(a->bytes + a->len, data.data, data.len);
	a->len += (uint32_t)data.len;
	a->part++;
	if (a->part < parts)
		return RMQ_E_NOTHING;
	return a->len == a->total ? RMQ_E_OK : RMQ_E_PROTOCOL;
}

/*
 * The same for the message of *d.  Its bytes when it is whole: d->blob is set, and they are
 * the caller's.  NULL: it is not, or the client is dead.
 */
static uint8_t *assembled(struct client *c, struct assembly *a, struct client_delivery *d,
    uint32_t part, uint32_t parts, uint32_t total, struct slice tags, struct slice data)
{
	enum rmq_error err =
	    assemble(a, d->lease, d->first_seq, part, parts, total, tags, data);
	if (err == RMQ_E_NOTHING)
		return NULL;
	if (err == RMQ_E_LIMIT)
		client_give_up_memory(c);
	else if (err)
		client_give_up(c, err, slice_str("bad piece of a message"));
	if (err)
		return NULL;
	uint8_t *bytes = a->bytes;
	d->count = 1;
	d->blob = slice_of(bytes, a->len);
	d->tags = slice_of(bytes + a->len, a->tags_len);
	(void)tags_find(d->tags, DELIVER_TAG_ATTRIBUTES, &d->attributes);
	*a = (struct assembly){0};
	return bytes;
}

/* What all frames that bring messages have in common. */
#define DELIVERY_OF(m, number, seq) \
	{ \
		.sub = (number), .lease = (m)->lease, .first_seq = (seq), \
		.attempt = (m)->attempt, .failures = (m)->failures, .time = {(m)->time_ms}, \
		.note = (m)->note \
	}

void client_on_deliver(struct client *c, struct mono_time now, const struct wire_deliver *m)
{
	struct client_delivery d = DELIVERY_OF(m, m->sub, m->first_seq);
	if (!sub_find(c, m->sub) || !slices(m->base, m->count, m->data, &d) ||
	    !attributes(m->tags, &d))
		client_give_up(c, RMQ_E_PROTOCOL, slice_str("bad DELIVER"));
	else
		deliver(c, now, &d, m->stamp);
}

void client_on_deliver_part(
    struct client *c, struct mono_time now, const struct wire_deliver_part *m)
{
	struct subscription *s = sub_find(c, m->sub);
	struct client_delivery d = DELIVERY_OF(m, m->sub, m->seq);
	c->progress = now;
	if (!s) {
		client_give_up(c, RMQ_E_PROTOCOL, slice_str("bad DELIVER_PART"));
		return;
	}
	uint8_t *bytes =
	    assembled(c, &s->large, &d, m->part, m->parts, m->total, m->tags, m->data);
	if (bytes)
		deliver(c, now, &d, m->stamp);
	free(bytes);
}

/* Tells the host that part of a range is not held any more. */
static void end_range(struct client *c, enum lease_end why, const struct held_range *r,
    uint64_t first, uint64_t end)
{
	uint32_t sub = r->sub;
	uint64_t lease = r->lease;
	if (held_remove(&c->held, lease, first, end)) {
		client_give_up_memory(c);
		return;
	}
	if (c->host.lease_ended)
		c->host.lease_ended(
		    c->host.arg, sub, why, lease, first, (uint32_t)(end - first));
}

static void end_held(
    struct client *c, enum lease_end why, uint64_t lease, uint64_t first, uint64_t end)
{
	struct held_range *r;
	while ((r = held_find_from(&c->held, lease, first)) && r->first < end)
		end_range(c, why, r, r->first > first ? r->first : first,
		    r->end < end ? r->end : end);
}

void client_on_lease_ended(
    struct client *c, struct mono_time now, const struct wire_lease_ended *m)
{
	(void)now;
	end_held(c, (enum lease_end)m->why, m->lease, m->first_seq, m->first_seq + m->count);
}

void client_end_stale(struct client *c, struct slice stale)
{
	struct reader in = reader_of(stale);
	while (reader_left(&in) > 0) {
		struct settle_entry e = settle_entry_get(&in);
		end_held(c, ENDED_EXPIRED, e.lease, e.first, e.first + e.count);
	}
}

/*
 * What the daemon did not name again on this connection is not held any more: detached
 * leases once their time is over; the others when two EXTENDs were answered since, and
 * nothing vouches for them.
 */
static void end_lost(struct client *c, struct mono_time now)
{
	bool unconfirmed = false;
	struct held_range *r = held_first(&c->held);
	while (r) {
		unconfirmed |= !r->confirmed;
		if (r->confirmed || (!r->detached && c->echoes < 2) ||
		    now.ms < held_until(&c->held, r).ms) {
			r = held_next(r);
			continue;
		}
		end_range(c, ENDED_EXPIRED, r, r->first, r->end);
		/* The host may have settled anything meanwhile. */
		r = held_first(&c->held);
	}
	c->unconfirmed = unconfirmed;
}

void client_end_attached(struct client *c)
{
	struct held_range *r = held_first(&c->held);
	while (r) {
		if (r->detached) {
			r = held_next(r);
			continue;
		}
		end_range(c, ENDED_EXPIRED, r, r->first, r->end);
		/* The host may have settled anything meanwhile. */
		r = held_first(&c->held);
	}
}

bool client_vouches(const struct client *c, uint64_t lease, uint64_t seq, struct mono_time now)
{
	const struct held_range *r = held_find(&c->held, lease, seq);
	if (!r)
		return false;
	/* Before the daemon answers it may not have heard that the lease is detached. */
	bool asked = r->detached && is_settling(c, lease, seq);
	return now.ms < (asked ? r->before : held_until(&c->held, r)).ms;
}

void client_forget(struct client *c, uint64_t lease, uint64_t first, uint32_t count)
{
	if (held_remove(&c->held, lease, first, first + count))
		client_give_up_memory(c);
}

uint64_t client_held(const struct client *c)
{
	return c->held.messages;
}

void client_on_extended(struct client *c, struct mono_time now, const struct wire_extended *m)
{
	c->extend_out = false;
	if (m->stamp > now.ms)
		return;
	held_echo(&c->held, (struct mono_time){m->stamp});
	c->echoes++;
}

void client_on_idle(struct client *c, struct mono_time now, const struct wire_idle *m)
{
	c->progress = now;
	if (sub_find(c, m->sub) && c->host.idle)
		c->host.idle(c->host.arg, m->sub, m->leased, m->delayed);
}

void client_on_held_back(struct client *c, struct mono_time now, const struct wire_held_back *m)
{
	c->progress = now;
	if (sub_find(c, m->sub) && c->host.held_back)
		c->host.held_back(c->host.arg, m->sub);
}

/* ---- asking ---- */

struct request *client_request_new(struct client *c, struct slice name)
{
	struct request *r = c->requests;
	while (r->req)
		assert(++r < c->requests + REQUESTS_MAX);
	assert(name.len <= sizeof(r->name));
	*r = (struct request){.req = ++c->next_req};
	if (name.len > 0)
		memcpy(r->name, name.data, name.len);
	r->name_len = name.len;
	return r;
}

void client_request_after(struct request *r, struct slice after)
{
	assert(after.len <= sizeof(r->after));
	if (after.len > 0)
		memcpy(r->after, after.data, after.len);
	r->after_len = after.len;
}

uint32_t client_list(struct client *c, struct mono_time now, struct slice after,
    struct slice glob, uint32_t limit)
{
	struct request *r = client_request_new(c, glob);
	client_request_after(r, after);
	r->limit = limit;
	client_note_asking(c, now);
	return r->req;
}

uint32_t client_transfer(struct client *c, struct mono_time now, struct slice queue,
    struct slice target, uint8_t flags, uint32_t most, const struct seq_range *ranges,
    uint32_t count)
{
	struct request *r = client_request_new(c, queue);
	struct writer w = writer_of(malloc(count * SEQ_RANGE_SIZE), count * SEQ_RANGE_SIZE);
	assert(count > 0 && count <= TRANSFER_RANGES_MAX);
	if (!w.p) {
		client_give_up_memory(c);
		return r->req;
	}
	for (uint32_t i = 0; i < count; i++)
		seq_range_put(&w, &ranges[i]);
	r->ranges = w.p;
	r->ranges_len = w.len;
	r->flags = flags;
	r->limit = most;
	client_request_after(r, target);
	client_note_asking(c, now);
	return r->req;
}

uint32_t client_peek(struct client *c, struct mono_time now, struct slice queue, uint8_t states,
    uint64_t from, uint32_t limit)
{
	struct request *r = client_request_new(c, queue);
	r->peek = true;
	r->states = states;
	r->from = from;
	r->limit = limit;
	client_note_asking(c, now);
	return r->req;
}

uint32_t client_watch(struct client *c, struct mono_time now, struct slice queue,
    enum watch_for what, uint64_t messages)
{
	struct request *r = client_request_new(c, queue);
	r->watch = (uint8_t)what;
	r->from = messages;
	client_note_asking(c, now);
	return r->req;
}

uint32_t client_buried(struct client *c, struct mono_time now, struct slice queue,
    uint64_t first, uint64_t end, uint64_t from)
{
	struct request *r = client_request_new(c, queue);
	r->buried = true;
	r->first = first;
	r->end = end;
	r->from = from;
	client_note_asking(c, now);
	return r->req;
}

uint32_t client_history(struct client *c, struct mono_time now, struct slice queue,
    uint64_t seq, struct slice place)
{
	struct request *r = client_request_new(c, queue);
	client_request_after(r, place);
	r->history = true;
	r->from = seq;
	client_note_asking(c, now);
	return r->req;
}

uint32_t client_position(
    struct client *c, struct mono_time now, struct slice queue, struct slice name)
{
	struct request *r = client_request_new(c, queue);
	client_request_after(r, name);
	r->position = true;
	client_note_asking(c, now);
	return r->req;
}

uint32_t client_kv_read(struct client *c, struct mono_time now, struct slice key, uint8_t flags,
    uint64_t since, uint64_t known)
{
	struct request *r = client_request_new(c, key);
	r->kv = true;
	r->flags = flags;
	r->from = since;
	r->end = known;
	client_note_asking(c, now);
	return r->req;
}

uint32_t client_bindings(struct client *c, struct mono_time now, struct slice queue)
{
	struct request *r = client_request_new(c, queue);
	r->bindings = true;
	client_note_asking(c, now);
	return r->req;
}

uint32_t client_away(struct client *c, struct mono_time now, uint8_t flags)
{
	struct request *r = client_request_new(c, slice_of("", 0));
	r->away = true;
	r->flags = flags;
	client_note_asking(c, now);
	return r->req;
}

struct request *client_request_find(struct client *c, uint32_t req)
{
	for (size_t i = 0; req && i < REQUESTS_MAX; i++)
		if (c->requests[i].req == req)
			return &c->requests[i];
	return NULL;
}

void client_request_end(struct request *r)
{
	assembly_reset(&r->large);
	free(r->ranges);
	*r = (struct request){0};
}

void client_on_listed(struct client *c, struct mono_time now, const struct wire_listed *m)
{
	struct request *r = client_request_find(c, m->req);
	if (!r || m->queue.len > sizeof(r->after))
		return;
	/* They go to a terminal; "-" is no queue. */
	if (!name_valid(m->queue) || !(m->dead_letter.len == 0 || name_valid(m->dead_letter) ||
					 slice_eq(m->dead_letter, slice_str("-")))) {
		client_give_up(c, RMQ_E_PROTOCOL, slice_str("bad LISTED"));
		return;
	}
	c->progress = now;
	/* Where to go on, should the connection be lost. */
	client_request_after(r, m->queue);
	r->limit -= r->limit > 0;
	if (c->host.listed)
		c->host.listed(c->host.arg, m);
}

/* Where to go on; false: not a request for bindings, or no place. */
static bool bindings_at(struct request *r, struct slice after, struct slice pattern)
{
	if (!r || !r->bindings || after.len > sizeof(r->after) ||
	    pattern.len > sizeof(r->pattern))
		return false;
	client_request_after(r, after);
	if (pattern.len > 0)
		memcpy(r->pattern, pattern.data, pattern.len);
	r->pattern_len = pattern.len;
	return true;
}

void client_on_bound(struct client *c, struct mono_time now, const struct wire_bound *m)
{
	if (!bindings_at(client_request_find(c, m->req), m->queue, m->pattern))
		return;
	if (!name_valid(m->queue) || pattern_fault(m->pattern)) {
		client_give_up(c, RMQ_E_PROTOCOL, slice_str("bad BOUND"));
		return;
	}
	c->progress = now;
	if (c->host.bound)
		c->host.bound(c->host.arg, m->queue, m->pattern);
}

void client_on_bindings_end(
    struct client *c, struct mono_time now, const struct wire_bindings_end *m)
{
	struct request *r = client_request_find(c, m->req);
	if (!bindings_at(r, m->after, m->pattern))
		return;
	c->progress = now;
	if (m->more) {
		r->sent = false;
		return;
	}
	client_request_end(r);
	if (c->host.bindings_end)
		c->host.bindings_end(c->host.arg, m->req, client_code(m->code));
}

void client_on_list_at(struct client *c, struct mono_time now, const struct wire_list_at *m)
{
	struct request *r = client_request_find(c, m->req);
	if (!r || m->after.len > sizeof(r->after))
		return;
	c->progress = now;
	client_request_after(r, m->after);
	r->cut = true;
}

void client_on_list_end(struct client *c, struct mono_time now, const struct wire_list_end *m)
{
	struct request *r = client_request_find(c, m->req);
	if (!r)
		return;
	c->progress = now;
	if (r->cut && r->limit > 0) {
		r->cut = r->sent = false;
		return;
	}
	client_request_end(r);
	if (c->host.list_end)
		c->host.list_end(c->host.arg, m->req, m->more != 0);
}

static void peeked(struct client *c, struct request *r, const struct client_delivery *d)
{
	r->from = d->first_seq + d->count;
	r->limit -= r->limit < d->count ? r->limit : d->count;
	if (c->host.peeked)
		c->host.peeked(c->host.arg, d);
}

void client_on_peeked(struct client *c, struct mono_time now, const struct wire_peeked *m)
{
	struct request *r = client_request_find(c, m->req);
	struct client_delivery d = DELIVERY_OF(m, m->req, m->first_seq);
	d.state = m->state;
	d.until.ms = m->until_ms;
	if (!r)
		return;
	c->progress = now;
	if (slices(m->base, m->count, m->data, &d) && attributes(m->tags, &d))
		peeked(c, r, &d);
	else
		client_give_up(c, RMQ_E_PROTOCOL, slice_str("bad PEEKED"));
}

void client_on_peeked_part(
    struct client *c, struct mono_time now, const struct wire_peeked_part *m)
{
	struct request *r = client_request_find(c, m->req);
	struct client_delivery d = DELIVERY_OF(m, m->req, m->seq);
	d.state = m->state;
	d.until.ms = m->until_ms;
	if (!r)
		return;
	c->progress = now;
	uint8_t *bytes =
	    assembled(c, &r->large, &d, m->part, m->parts, m->total, m->tags, m->data);
	if (bytes)
		peeked(c, r, &d);
	free(bytes);
}

void client_on_peek_end(struct client *c, struct mono_time now, const struct wire_peek_end *m)
{
	struct request *r = client_request_find(c, m->req);
	if (!r)
		return;
	c->progress = now;
	client_request_end(r);
	if (c->host.peek_end)
		c->host.peek_end(
		    c->host.arg, m->req, client_code(m->code), m->more != 0, m->next);
}

void client_on_transferred(
    struct client *c, struct mono_time now, const struct wire_transferred *m)
{
	struct request *r = client_request_find(c, m->req);
	if (!r)
		return;
	c->progress = now;
	bool again = r->again;
	client_request_end(r);
	if (c->host.transferred)
		c->host.transferred(c->host.arg, m, client_code(m->code), again);
}

void client_on_watched(struct client *c, struct mono_time now, const struct wire_watched *m)
{
	struct request *r = client_request_find(c, m->req);
	if (!r)
		return;
	c->progress = now;
	client_request_end(r);
	if (c->host.watched)
		c->host.watched(c->host.arg, m->req, client_code(m->code), m->messages);
}

void client_on_buried_are(
    struct client *c, struct mono_time now, const struct wire_buried_are *m)
{
	struct request *r = client_request_find(c, m->req);
	if (!r)
		return;
	c->progress = now;
	client_request_end(r);
	if (m->runs.len % SEQ_RANGE_SIZE != 0)
		client_give_up(
		    c, RMQ_E_PROTOCOL, slice_str("the daemon sent a bad BURIED_ARE"));
	else if (c->host.buried)
		c->host.buried(c->host.arg, m->req, m->next, m->runs);
}

void client_on_history_is(
    struct client *c, struct mono_time now, const struct wire_history_is *m)
{
	struct request *r = client_request_find(c, m->req);
	struct reader entries = reader_of(m->entries);
	struct history_entry e;
	struct history_waits waits;
	struct slice value;
	if (!r)
		return;
	c->progress = now;
	client_request_end(r);
	if (!tags_find(m->tags, HISTORY_IS_TAG_WAITS, &value) ||
	    !history_waits_decode(value, &waits))
		waits = (struct history_waits){0};
	while (reader_left(&entries) > 0 && !entries.bad) {
		history_entry_get(&entries, &e);
		entries.bad |= e.queue.len > 0 && !name_valid(e.queue);
	}
	if (entries.bad || m->place.len > HISTORY_PLACE_MAX)
		client_give_up(
		    c, RMQ_E_PROTOCOL, slice_str("the daemon sent a bad HISTORY_IS"));
	else if (c->host.history)
		c->host.history(
		    c->host.arg, m->req, client_code(m->code), m->place, &waits, m->entries);
}

void client_on_kv_is(struct client *c, struct mono_time now, const struct wire_kv_is *m)
{
	struct request *r = client_request_find(c, m->req);
	if (!r || !r->kv)
		return;
	if (!name_valid(m->key) || (m->what != KV_IS_THERE && m->what != KV_IS_DELETED)) {
		client_give_up(c, RMQ_E_PROTOCOL, slice_str("the daemon sent a bad KV_IS"));
		return;
	}
	c->progress = now;
	r->rows++;
	/*
	 * Where to go on, should the connection be lost: they come in order.  One key that is only read is
	 * read again.
	 */
	if (r->flags & (KV_PREFIX | KV_WAIT)) {
		r->from = m->version;
		/* What went before it has been told, or was never there. */
		r->end = r->end > m->version ? r->end : m->version;
	}
	if (c->host.kv_is)
		c->host.kv_is(c->host.arg, m);
}

void client_on_kv_at(struct client *c, struct mono_time now, const struct wire_kv_at *m)
{
	struct request *r = client_request_find(c, m->req);
	if (!r || !r->kv)
		return;
	c->progress = now;
	uint32_t rows = r->rows;
	/* Where nothing had been told, what was gone by then has no row that it could belong to. */
	uint64_t known = r->asked == 0 ? m->newest : r->end;
	if (!(m->flags & KV_MORE) && known < m->version)
		known = m->version;
	client_request_end(r);
	if (c->host.kv_at)
		c->host.kv_at(c->host.arg, m, client_code(m->code), rows, known);
}

void client_on_position_is(
    struct client *c, struct mono_time now, const struct wire_position_is *m)
{
	struct request *r = client_request_find(c, m->req);
	if (!r)
		return;
	c->progress = now;
	client_request_end(r);
	if (c->host.position)
		c->host.position(c->host.arg, m->req, m->at, input_sent_find(m->tags, m->at));
}

void client_on_aways(struct client *c, struct mono_time now, const struct wire_aways *m)
{
	struct request *r = client_request_find(c, m->req);
	struct reader names = reader_of(m->names);
	if (!r || !r->away)
		return;
	while (reader_left(&names) > 0 && !names.bad)
		names.bad |= !name_valid(get_str(&names));
	if (names.bad) {
		client_give_up(c, RMQ_E_PROTOCOL, slice_str("the daemon sent a bad AWAYS"));
		return;
	}
	c->progress = now;
	client_request_end(r);
	if (c->host.aways)
		c->host.aways(c->host.arg, m->req, m->more, m->names);
}

/* ---- the connection ---- */

void client_recv_free(struct client *c)
{
	for (size_t i = 0; i < SUBSCRIPTIONS_MAX; i++)
		assembly_reset(&c->subs[i].large);
	for (size_t i = 0; i < REQUESTS_MAX; i++)
		client_request_end(&c->requests[i]);
	held_deinit(&c->held);
}

void client_recv_disconnected(struct client *c)
{
	for (size_t i = 0; i < SUBSCRIPTIONS_MAX; i++) {
		struct subscription *s = &c->subs[i];
		s->announced = s->confirmed = s->end_sent = false;
		assembly_reset(&s->large);
	}
	for (size_t i = 0; i < REQUESTS_MAX; i++) {
		c->requests[i].again |= c->requests[i].sent;
		c->requests[i].sent = RMQ_VARIANT(WATCH_FORGOTTEN) && c->requests[i].watch;
		c->requests[i].cut = c->requests[i].begun = false;
		/* An answer that did not come may have told of some. */
		if (c->requests[i].away)
			c->requests[i].flags |= AWAY_ALL;
		c->requests[i].rows = 0;
		assembly_reset(&c->requests[i].large);
	}
	held_disconnect(&c->held);
	c->echoes = 0;
	c->unconfirmed = c->held.messages > 0;
}

void client_recv_welcome(struct client *c, struct mono_time now)
{
	c->resubscribe_behind = c->newest;
	c->resubscribe = c->newest != NULL;
	for (size_t i = 0; i < SUBSCRIPTIONS_MAX; i++) {
		struct subscription *s = &c->subs[i];
		s->new_messages = s->messages > 0 ? (uint64_t)s->messages : 0;
		s->new_bytes = s->bytes > 0 ? (uint64_t)s->bytes : 0;
	}
	c->extend_at = now;
	c->extend_out = false;
}

/* ---- timers ---- */

/*
 * A subscription that is to end and that this connection knows nothing of is at its end.  What
 * was handed out for it on an earlier one is given back by BYE.
 */
static void end_unannounced(struct client *c)
{
	for (uint32_t i = 0; i < SUBSCRIPTIONS_MAX; i++) {
		if (!c->subs[i].ending || c->subs[i].announced)
			continue;
		sub_end(&c->subs[i]);
		if (c->host.unsubscribed)
			c->host.unsubscribed(c->host.arg, i);
	}
}

void client_recv_tick(struct client *c, struct mono_time now)
{
	if (c->unconfirmed)
		end_lost(c, now);
	end_unannounced(c);
}

uint64_t client_extend_due_ms(const struct client *c)
{
	if (c->state != READY || c->held.attached == 0 || c->resubscribe || c->dead)
		return CLIENT_FOREVER;
	return c->extend_wanted && !c->extend_out ? 0 : c->extend_at.ms;
}

uint64_t client_recv_due_ms(const struct client *c)
{
	uint64_t due = client_extend_due_ms(c);
	for (size_t i = 0; i < SUBSCRIPTIONS_MAX; i++)
		if (c->subs[i].ending && !c->subs[i].announced)
			return 0;
	struct held_range *r = c->unconfirmed ? held_first(&c->held) : NULL;
	for (; r; r = held_next(r)) {
		uint64_t until = held_until(&c->held, r).ms;
		if (!r->confirmed && (r->detached || c->echoes >= 2) && until < due)
			due = until;
	}
	return due;
}
