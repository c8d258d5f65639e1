/*
 * Replicas are equal at equal index: what a node recovers from its disk, with its holes, is
 * what the whole history says.
 */
#include "cluster.h"

#include "../sim/recovery.h"
#include "../sim/trace.h"

#include "core/wire/event.h"

#include <stdlib.h>

/* Records of an empty queue: a checkpoint, what came after it, configurations. */
#define RECORDS_MAX 60

#define U(v) ((unsigned long long)(v))

/* The parts that END names are there: it is what recovery begins with. */
static void check_parts(struct cluster *c, const struct node *n, uint64_t end)
{
	const struct jm_record *r = &c->records[n->disk.log[end].value];
	struct events_header h;
	struct event_iter it;
	struct event e;
	struct event_end_parts parts;
	if (events_open(slice_of(r->payload, r->len), &h, &it))
		trace_fail("END %llu holds no events", U(end));
	while (event_next(&it, &e) == RMQ_E_OK) {
		if (e.type != EVENT_TYPE_END_PARTS || !event_end_parts_decode(e.body, &parts))
			continue;
		for (size_t at = 0; at + 8 <= parts.parts.len; at += 8) {
			uint64_t part = load_u64(parts.parts.data + at);
			if (part == 0 || part >= end || n->disk.log[part].kind != RECORD_PART)
				trace_fail("node %u: part %llu of END %llu is not there",
				    n->slot, U(part), U(end));
		}
	}
}

static uint64_t newest_end(const struct disk *d, uint64_t from)
{
	while (from > 0 && d->log[from].kind != RECORD_END)
		from--;
	return from;
}

static bool is_sound(const struct disk *d)
{
	for (uint64_t i = 1; i <= d->last; i++)
		if (!node_record_is_good(d, i))
			return false;
	return true;
}

void replica_check(struct cluster *c, const struct node *n)
{
	const struct disk *d = &n->disk;
	const struct site *s = &c->sites[n->slot];
	uint64_t last = d->commit < d->last ? d->commit : d->last;
	if (last == 0 || d->cover.index > last ||
	    (d->cover.index > 0 && d->log[d->cover.index].term != d->cover.term) ||
	    !is_sound(d))
		return;
	uint64_t end = newest_end(d, last);
	if (end > 0)
		check_parts(c, n, end);
	struct journal_model log = {
	    .read = s->journal.read, .arg = s->journal.arg, .count = last};
	uint64_t mine = recovery_digest(&log, end, last, false);
	uint64_t whole = recovery_digest(&c->world.journal, 0, last, true);
	trace("replica", n->slot, last, end, mine);
	if (mine != whole)
		trace_fail("node %u: recovery of %llu records from END %llu differs from the "
			   "whole history",
		    n->slot, U(last), U(end));
}

static void check_space(const struct world *w, const struct node *n)
{
	const struct disk *d = &n->disk;
	uint64_t real = 0, configs = 0;
	for (uint64_t i = 1; i <= d->last; i++) {
		real += d->log[i].kind != RAFT_HOLE;
		configs += d->log[i].kind == RECORD_CONFIG;
	}
	trace("space", n->slot, real, configs, d->last);
	if (real - configs > RECORDS_MAX + world_parts(w))
		trace_fail("node %u: %llu records are left of an empty queue", n->slot,
		    U(real - configs));
}

static bool is_alike(const struct disk *a, const struct disk *b)
{
	uint64_t last = a->last < b->last ? a->last : b->last;
	for (uint64_t i = 1; i <= last; i++)
		if ((a->log[i].kind == RAFT_HOLE) != (b->log[i].kind == RAFT_HOLE))
			return false;
	return true;
}

bool replicas_are_alike(struct cluster *c)
{
	const struct site *serving = site_serving(c);
	struct raft_status st;
	if (!serving)
		return false;
	const struct disk *d = &serving->node->disk;
	if (newest_end(d, d->last) <= c->rests_from)
		return true;
	raft_status(serving->node->raft, &st);
	for (unsigned i = 0; i < NODES; i++)
		if (raft_config_find(st.config, c->sim.nodes[i].id) &&
		    !is_alike(d, &c->sim.nodes[i].disk))
			return false;
	return true;
}

void replica_check_end(struct cluster *c)
{
	const struct site *serving = site_serving(c);
	struct raft_status st;
	if (!serving)
		trace_fail("nobody serves at the end");
	raft_status(serving->node->raft, &st);
	for (unsigned i = 0; i < NODES; i++) {
		replica_check(c, &c->sim.nodes[i]);
		if (raft_config_find(st.config, c->sim.nodes[i].id))
			check_space(&c->world, &c->sim.nodes[i]);
	}
}
