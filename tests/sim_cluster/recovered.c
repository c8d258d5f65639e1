/*
 * What a recovery by the shipped rules (core/host/recovery.h) makes of a node's log: the state of that log, of
 * which nothing is lost, committed or not; and no number of a lease, a start or a version that the cluster has
 * given out since the log ends is given out again.  How the cluster goes on is in ../sim_raft/recovered.c.
 */
#include "cluster.h"

#include "../sim/checks.h"
#include "../sim/maps.h"
#include "../sim/recovery.h"
#include "../sim/trace.h"

#include "core/wire/event.h"
#include "core/wire/wire.h"

#include <assert.h>
#include <stdlib.h>

#define LATER_MS 1500 /* so long after its log ended a node is recovered, at most */
#define ROOM	 (1u << 20)
#define CLIENT	 1

#define U(v) ((unsigned long long)(v))

/* A node's disk as it was, and when it is recovered. */
struct kept {
	struct node node; /* whose it was */
	struct disk disk;
	uint64_t until;
};

/* ---- what the log says ---- */

struct reading {
	struct cluster *c;
	const struct disk *disk;
	uint64_t common; /* up to here it has what was committed */
};

static const struct jm_record *read_disk(void *arg, uint64_t index)
{
	static const struct jm_record hole = {.hole = true};
	const struct reading *r = arg;
	if (index < 1 || index > r->disk->last)
		return NULL;
	const struct rec *rec = &r->disk->log[index];
	struct jm_record *made = &r->c->records[rec->value];
	made->kind = rec->kind == RAFT_HOLE ? made->kind : rec->kind;
	return rec->kind == RAFT_HOLE ? &hole : made;
}

/* As if nothing had ever become a hole; behind what is committed nothing has. */
static const struct jm_record *read_history(void *arg, uint64_t index)
{
	const struct reading *r = arg;
	if (index >= 1 && index <= r->common)
		return &r->c->world.journal.log[index - 1];
	return read_disk(arg, index);
}

static uint64_t common_with(const struct sim *s, const struct disk *d)
{
	uint64_t i = 0;
	while (i < d->last && i < s->commit && d->log[i + 1].term == s->committed[i + 1].term)
		i++;
	return i;
}

static uint64_t newest_end(const struct disk *d)
{
	uint64_t i = d->last;
	while (i > 0 && d->log[i].kind != RECORD_END)
		i--;
	return i;
}

static void check_state(struct reading *r, const struct node *n)
{
	struct journal_model log = {.read = read_disk, .arg = r, .count = r->disk->last},
			     history = {.read = read_history, .arg = r, .count = r->disk->last};
	uint64_t mine = recovery_digest(&log, newest_end(r->disk), r->disk->last, false);
	uint64_t whole = recovery_digest(&history, 0, r->disk->last, true);
	trace("recovered", n->slot, r->disk->last, r->common, mine);
	if (mine != whole)
		trace_fail("node %u: what is recovered from %llu records is not what they say",
		    n->slot, U(r->disk->last));
}

/* ---- which numbers are given next ---- */

struct next {
	struct broker *broker;
	uint64_t n, lease, start, version; /* 0: none yet */
};

static void take_event(struct next *x, const struct event *e)
{
	struct event_start start;
	struct event_lease lease;
	struct event_kv_put put;
	if (e->type == EVENT_TYPE_START && event_start_decode(e->body, &start))
		x->start = start.number;
	else if (e->type == EVENT_TYPE_LEASE && event_lease_decode(e->body, &lease) &&
		 x->lease == 0)
		x->lease = lease.lease;
	else if (e->type == EVENT_TYPE_KV_PUT && event_kv_put_decode(e->body, &put))
		x->version = put.version;
}

static void append(void *arg, uint64_t n, enum record_kind kind, struct slice payload)
{
	struct next *x = arg;
	struct events_header h;
	struct event_iter it;
	struct event e;
	x->n = n;
	if (kind != RECORD_EVENTS || events_open(payload, &h, &it))
		return;
	while (event_next(&it, &e) == RMQ_E_OK)
		take_event(x, &e);
}

static void no_id(void *arg, uint64_t id)
{
	(void)arg, (void)id;
}

static void no_hole(void *arg, uint64_t checkpoint, struct slice ranges)
{
	(void)arg, (void)checkpoint, (void)ranges;
}

static void no_send(void *arg, uint64_t conn, struct slice frames)
{
	(void)arg, (void)conn, (void)frames;
}

static void say(struct next *x, const struct writer *w)
{
	struct frame f;
	size_t used;
	if (frame_parse(slice_of(w->p, w->len), &f, &used) || used != w->len)
		trace_fail("a client of a recovered node says what is no frame");
	broker_frame(x->broker, CLIENT, &f);
}

#define SAY(x, frame, ...) \
	do { \
		uint8_t frame_[256]; \
		struct writer w_ = writer_of(frame_, sizeof(frame_)); \
		wire_put_##frame(&w_, &(struct wire_##frame){__VA_ARGS__}); \
		say(x, &w_); \
	} while (0)

/* A client puts a key, and sends a message to a new queue and receives it. */
static void ask(struct next *x)
{
	uint8_t bytes[16];
	struct writer b = writer_of(bytes, sizeof(bytes));
	struct slice queue = slice_str("after"), key = slice_str("k1");
	put_u16(&b, 1);
	put_u16(&b, 0);
	put_u16(&b, 2);
	put_rest(&b, slice_str("?\n"));
	broker_connect(x->broker, CLIENT);
	SAY(x, hello, WIRE_HELLO_VERSIONS, 0, 0, NO_TAGS);
	SAY(x, kv_put, 1, 0, 0, 0, key, NO_TAGS, slice_str("1"));
	SAY(x, send, 2, 1, 0, 0, queue, NO_TAGS, slice_of(b.p, b.len));
	SAY(x, subscribe, 1, 0, 0, queue, NO_TAGS);
	SAY(x, credit, 1, 1, 1000, 0);
	broker_flush(x->broker);
}

static void start(struct reading *r, struct next *x)
{
	static const uint8_t secret[SESSION_SECRET_SIZE];
	struct broker_host host = {x, append, no_id, no_hole, no_id, no_send, no_id, no_id};
	struct journal_model log = {.read = read_disk, .arg = r, .count = r->disk->last};
	uint64_t at = 0;
	x->broker = broker_new(&host);
	assert(x->broker);
	enum rmq_error err =
	    recovery_read(x->broker, &log, newest_end(r->disk), r->disk->last, &at);
	if (err)
		trace_fail(
		    "a recovered log is not read: record %llu: %s", U(at), error_text(err));
	broker_start(x->broker, r->disk->term, secret);
	broker_now(x->broker, broker_lease_time(x->broker),
	    (struct wall_time){WORLD_WALL_MS + r->c->world.boot_ms});
	broker_room(x->broker, 0, ROOM);
	broker_flush(x->broker);
}

static void check_number(const char *what, uint64_t next, uint64_t given)
{
	if (next == 0)
		trace_fail("a recovered node gives out no number of a %s", what);
	if (next <= given)
		trace_fail(
		    "number %llu of a %s is given again by a recovered node", U(next), what);
}

static void check_numbers(struct reading *r)
{
	const struct world *w = &r->c->world;
	struct next x = {0};
	start(r, &x);
	ask(&x);
	broker_free(x.broker);
	trace("numbers", x.lease, x.start, x.version, 0);
	check_number("lease", x.lease, w->shadow.lease);
	check_number("start", x.start, w->shadow.start);
	check_number("version", x.version, maps_newest(w->maps));
}

/* ---- when ---- */

static bool is_sound(const struct disk *d)
{
	for (uint64_t i = 1; i <= d->last; i++)
		if (!node_record_is_good(d, i))
			return false;
	return true;
}

static void keep(struct cluster *c, const struct node *n)
{
	c->kept = calloc(1, sizeof(*c->kept));
	assert(c->kept);
	c->kept->node.id = n->id;
	c->kept->node.slot = n->slot;
	c->kept->disk = n->disk;
	c->kept->until = c->sim.now + prng_below(&c->recoveries, LATER_MS);
}

/* RESTORED has a payload; the configuration has none that a queue daemon reads. */
static void recover(struct cluster *c, const struct node *n, struct disk *d)
{
	struct reading r = {c, d, common_with(&c->sim, d)};
	struct recovery plan;
	const uint64_t wall = WORLD_WALL_MS + c->world.boot_ms;
	struct disk *old = malloc(sizeof(*old));
	assert(old);
	*old = *d;
	enum rmq_error err = recovered_disk(&c->sim, n, (struct raft_id){{2}}, wall, d, &plan);
	trace("recovery", n->slot, err, d->last, 0);
	if (!err) {
		struct jm_record *restored = &c->records[d->log[plan.restored_index].value];
		*restored =
		    (struct jm_record){.kind = RECORD_RESTORED, .len = 8, .payload = malloc(8)};
		assert(restored->payload);
		memcpy(restored->payload, plan.restored, 8);
		struct reading before = {c, old, r.common};
		check_state(&before, n);
		check_numbers(&r);
	}
	free(old);
}

void recovery_turn(struct cluster *c)
{
	const struct node *n = &c->sim.nodes[prng_below(&c->recoveries, NODES)];
	if (!c->kept && prng_chance(&c->recoveries, 5) && n->disk.last > 0 &&
	    is_sound(&n->disk))
		keep(c, n);
	if (!c->kept || c->sim.now < c->kept->until)
		return;
	recover(c, &c->kept->node, &c->kept->disk);
	recovery_free(c);
}

void recovery_free(struct cluster *c)
{
	free(c->kept);
	c->kept = NULL;
}
