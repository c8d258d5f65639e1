#include "machine.h"

#include "actors.h"
#include "checks.h"
#include "daemon.h"
#include "recovery.h"
#include "told.h"
#include "trace.h"
#include "trespass.h"

#include <assert.h>
#include <stdlib.h>

#define CALM_ROUNDS  60000
#define AHEAD	     4096 /* bytes of room that the file has while the disk fills up */
#define CLAIM_ROUNDS 3	  /* in which the reserve is told, and claimed */
#define STILL_TURNS  5000
#define STILL_SILENT 50
#define ROOM_ENOUGH  (1ull << 40)
/* That may be left in a journal whose queues are empty, after a checkpoint, beside its parts. */
#define RECORDS_MAX 40

static void committed(void *arg, uint64_t index, const struct jm_record *r)
{
	struct world *w = arg;
	trace("committed", index, r->kind, r->len, 0);
	shadow_apply(&w->shadow, index, r);
}

static void refused(void *arg, const char *why, uint64_t index)
{
	(void)arg;
	trace_fail("journal: %s: %llu", why, (unsigned long long)index);
}

static struct link *dial(
    struct world *w, unsigned server, struct slice address, uint64_t clock_ms)
{
	(void)server, (void)address;
	return w->daemons[0].up ? net_connect(&w->net, &w->daemons[0], clock_ms) : NULL;
}

static void start(struct world *w)
{
	w->journal.reserve = w->space.reserve_bytes;
	uint64_t term = jm_open(&w->journal);
	daemon_start(&w->daemons[0], term);
}

struct world *machine_new(uint64_t seed, enum world_variant variant)
{
	struct world *w = calloc(1, sizeof(*w));
	assert(w);
	world_init(w, seed, 1);
	w->variant = variant;
	w->servers = w->weather.wedge > 0 ? 2 : 1;
	w->dial = dial;
	w->daemons[0].journal = &w->journal;
	w->journal.fault = variant == WORLD_STORED_EARLY	? JM_STORED_EARLY
			   : variant == WORLD_COMMIT_SUPPRESSED ? JM_COMMIT_SUPPRESSED
			   : variant == WORLD_HOLE_EARLY	? JM_HOLE_EARLY
								: JM_SOUND;
	w->journal.capacity = ROOM_ENOUGH;
	w->journal.arg = w;
	w->journal.committed = committed;
	w->journal.refused = refused;
	actors_make(w);
	start(w);
	return w;
}

void machine_free(struct world *w)
{
	world_deinit(w);
	free(w);
}

/* ---- what is compared ---- */

/* Recovers from the disk, from the whole history, and compares, also with the daemon. */
static void replay(struct world *w)
{
	struct journal_model *j = &w->journal;
	struct daemon *d = &w->daemons[0];
	uint64_t newest = recovery_digest(j, j->end, j->count, false);
	uint64_t whole = recovery_digest(j, 0, j->count, true);
	trace("replay", newest, whole, j->end, j->count);
	if (newest != whole)
		trace_fail("recovery from END %llu differs from the whole history",
		    (unsigned long long)j->end);
	if (d->up && jm_idle(j) && !broker_pending(d->broker) &&
	    broker_digest(d->broker) != newest)
		trace_fail("recovery differs from the daemon that runs");
}

static void check_space(struct world *w)
{
	uint64_t records = 0;
	for (size_t i = 0; i < w->journal.count; i++)
		records += !w->journal.log[i].hole;
	trace("space", records, w->journal.count, w->journal.bytes, 0);
	if (records > RECORDS_MAX + world_parts(w))
		trace_fail(
		    "%llu records are left of an empty queue", (unsigned long long)records);
}

/* ---- what may go wrong ---- */

static void pause_somebody(struct world *w)
{
	uint64_t ms = prng_range(&w->prng, 10, 4000);
	trace("pause", ms, 0, 0, 0);
	if (prng_chance(&w->prng, 250))
		w->daemons[0].paused_until = w->boot_ms + ms;
	else
		actors_pause(w, ms);
}

static void jump(struct world *w)
{
	int64_t by = (int64_t)prng_range(&w->prng, 1, 7200000);
	struct daemon *d = &w->daemons[0];
	d->wall_offset_ms += prng_chance(&w->prng, 500) ? by : -by;
	if (d->wall_offset_ms > d->wall_highest_ms)
		d->wall_highest_ms = d->wall_offset_ms;
	trace("jump", (uint64_t)w->daemons[0].wall_offset_ms, 0, 0, 0);
}

static void change_room(struct world *w)
{
	struct journal_model *j = &w->journal;
	j->capacity = prng_chance(&w->prng, 400)
			  ? ROOM_ENOUGH
			  : j->bytes + j->reserve + prng_below(&w->prng, 150000);
	w->given_back = 0;
	trace("capacity", j->capacity, j->bytes, j->reserve, 0);
	if (w->daemons[0].up)
		jm_tell_room(j);
}

/* Others on the file system take all that is not claimed, or remove their files again. */
static void others(struct world *w)
{
	struct journal_model *j = &w->journal;
	uint64_t before = j->capacity;
	j->capacity = w->given_back;
	w->given_back = w->given_back ? 0 : before;
	trace("others", j->capacity, j->bytes, j->claimed, 0);
	if (w->daemons[0].up)
		jm_tell_room(j);
}

static void hang_disk(struct world *w)
{
	w->hung_until = w->boot_ms + prng_range(&w->prng, 200, 4000);
	trace("hang", w->hung_until, 0, 0, 0);
}

static void crash(struct world *w)
{
	struct journal_model *j = &w->journal;
	size_t ops = j->op_count;
	if (!w->daemons[0].up)
		return;
	trace("crash", ops, j->answer_count, 0, 0);
	jm_crash(j, prng_chance(&w->prng, 500) ? 0 : prng_below(&w->prng, ops + 1));
	daemon_crash(&w->daemons[0]);
}

static void die(struct world *w)
{
	actors_die(w);
}

/* ---- what goes on ---- */

static void commit(struct world *w, size_t ops)
{
	uint64_t bytes = w->journal.bytes;
	bool hangs = w->hung_until > w->boot_ms;
	if (w->journal.op_count == 0 || (hangs && w->variant != WORLD_HANG_TAKEN))
		return;
	if (w->variant == WORLD_HANG_TAKEN)
		w->journal.fault = hangs ? JM_COMMIT_SUPPRESSED : JM_SOUND;
	trace("commit", ops, w->journal.op_count, 0, 0);
	jm_commit(&w->journal, ops);
	if (w->calm || w->journal.reserved || prng_chance(&w->prng, 400))
		jm_tell_room(&w->journal);
	/* Less than before: there are new holes. */
	if (w->journal.bytes < bytes && prng_chance(&w->prng, 500))
		replay(w);
}

static void told_at_rest(struct world *w)
{
	const struct daemon *d = &w->daemons[0];
	if (jm_idle(&w->journal) && !broker_pending(d->broker) && !daemon_ready(d))
		told_all(w, d);
}

/* Nobody asks anything, and no time passes: soon the daemon writes nothing any more. */
static void still(struct world *w)
{
	struct daemon *d = &w->daemons[0];
	uint64_t count;
	if (!d->up)
		return;
	trace("still", w->journal.count, w->journal.bytes, 0, 0);
	d->paused_until = 0;
	w->hung_until = 0;
	w->still = true;
	for (unsigned turns = 0, silent = 0; silent < STILL_SILENT; turns++) {
		count = w->journal.count;
		net_move_all(&w->net, w->boot_ms);
		daemon_turn(d);
		commit(w, w->journal.op_count);
		silent = w->journal.count == count ? silent + 1 : 0;
		if (turns > STILL_TURNS)
			trace_fail(
			    "the daemon does not come to rest: record %zu", w->journal.count);
	}
	w->still = false;
	told_at_rest(w);
}

/* A body that is in flight is read by nobody; recovery reads events, not bodies. */
static void rot(struct world *w)
{
	struct journal_model *j = &w->journal;
	uint64_t index = j->durable > 0 ? prng_range(&w->prng, 1, j->durable) : 0;
	if (index == 0 || index >= w->shadow.bodies_cap || w->shadow.bodies[index] == 0)
		return;
	trace("rot", index, 0, 0, 0);
	j->log[index - 1].rotten = true;
}

static bool fault(struct world *w)
{
	const struct weather *t = &w->weather;
	const struct {
		unsigned rate;
		void (*happens)(struct world *);
	} faults[] = {{t->crash, crash}, {t->cut, world_cut}, {t->stall, world_stall},
	    {t->wedge, world_wedge}, {t->pause, pause_somebody}, {t->jump, jump},
	    {t->leap, world_leap}, {t->full, change_room}, {t->taken, others},
	    {t->hang, hang_disk}, {t->death, die}, {t->still, still},
	    {t->intrude, world_intrude}, {t->rot, rot}, {t->trespass, trespass}};
	uint64_t at = prng_below(&w->prng, 1000);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		if (at < faults[i].rate) {
			faults[i].happens(w);
			return true;
		}
		at -= faults[i].rate;
	}
	return false;
}

void machine_step(struct world *w)
{
	struct prng *p = &w->prng;
	if (prng_chance(p, 400))
		w->boot_ms += prng_range(p, 1, w->hung_until > w->boot_ms ? 60 : 6);
	if (fault(w))
		return;
	if (!w->daemons[0].up && prng_chance(p, 50))
		start(w);
	if (prng_chance(p, 4))
		replay(w);
	if (prng_chance(p, w->weather.commit)) {
		commit(w, (size_t)prng_range(p, 1, w->journal.op_count + 1));
		return;
	}
	switch (prng_below(p, 4)) {
	case 0:
		if (daemon_ready(&w->daemons[0]))
			daemon_turn(&w->daemons[0]);
		break;
	case 1:
		net_move(&w->net, p, w->boot_ms);
		break;
	default:
		actors_step(w);
	}
}

/* ---- the calm ---- */

/* All that waits; on a full disk nothing that could free any room is after what does not fit. */
static void calm_commit(struct world *w)
{
	commit(w, w->journal.op_count);
	if (w->journal.op_count > 0)
		trace_fail("a full disk is not drained: %llu messages are left",
		    (unsigned long long)w->shadow.live);
}

/* One round in which everybody does what there is to do; then time goes on. */
static void calm_round(struct world *w)
{
	for (unsigned i = 0; i < 2 * w->actors_count; i++)
		actors_step(w);
	net_move_all(&w->net, w->boot_ms);
	while (daemon_ready(&w->daemons[0])) {
		daemon_turn(&w->daemons[0]);
		calm_commit(w);
	}
	net_move_all(&w->net, w->boot_ms);
	calm_commit(w);
	if (actors_ready(w) || daemon_ready(&w->daemons[0])) {
		w->boot_ms++;
		return;
	}
	uint64_t due = actors_due(w);
	uint64_t daemons = daemon_due(&w->daemons[0]);
	if (daemons < due)
		due = daemons;
	w->boot_ms = due != UINT64_MAX && due > w->boot_ms ? due : w->boot_ms + 1;
}

static bool calm_done(struct world *w)
{
	return actors_done(w) && w->shadow.live == 0 && jm_idle(&w->journal) &&
	       !broker_pending(w->daemons[0].broker);
}

static void begin_calm(struct world *w)
{
	trace("calm", w->shadow.live, w->lines.count, w->journal.count, 0);
	w->calm = true;
	w->hung_until = 0;
	w->journal.capacity = ROOM_ENOUGH;
	if (!w->daemons[0].up)
		start(w);
	jm_tell_room(&w->journal);
	w->daemons[0].paused_until = 0;
	/* A clock that was set back is put right: what waits for it would wait for hours. */
	w->daemons[0].wall_offset_ms = w->daemons[0].wall_highest_ms;
	actors_wake(w);
}

/* Whoever fills the disk, what is in the queues can be taken out of them. */
static void drain_full_disk(struct world *w)
{
	struct journal_model *j = &w->journal;
	w->draining = true;
	j->ahead = AHEAD;
	j->claimed = j->bytes + j->reserve;
	jm_tell_room(j);
	for (unsigned i = 0; i < CLAIM_ROUNDS; i++)
		calm_round(w);
	j->capacity = 0;
	trace("full", j->bytes, j->claimed, j->reserve, w->shadow.live);
	for (unsigned rounds = 0; w->shadow.live > 0 && rounds < CALM_ROUNDS; rounds++)
		calm_round(w);
	w->draining = false;
	j->ahead = 0;
	j->capacity = ROOM_ENOUGH;
	jm_tell_room(j);
}

void machine_calm(struct world *w)
{
	unsigned rounds = 0;
	begin_calm(w);
	if (prng_chance(&w->prng, 300))
		drain_full_disk(w);
	while (!calm_done(w)) {
		calm_round(w);
		if (++rounds > CALM_ROUNDS) {
			actors_report(w);
			trace_fail("the calm does not end: %llu messages are left",
			    (unsigned long long)w->shadow.live);
		}
	}
	replay(w);
	for (int i = 0; i < 3; i++) {
		broker_checkpoint(w->daemons[0].broker);
		w->daemons[0].asked = true;
		rounds = 0;
		do {
			daemon_turn(&w->daemons[0]);
			calm_round(w);
			if (++rounds > CALM_ROUNDS)
				trace_fail("a checkpoint does not end");
		} while (broker_checkpointing(w->daemons[0].broker));
	}
	replay(w);
	told_at_rest(w);
	checks_end(w);
	check_space(w);
}
