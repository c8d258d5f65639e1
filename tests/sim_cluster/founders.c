#include "founders.h"

#include "../sim/prng.h"
#include "../sim/trace.h"

#include "core/host/founding.h"

#include <stdio.h>

#define FOUNDERS     4
#define CALLS	     256
#define FAULTS_MS    15000
#define CALM_MS	     (2 * FOUNDING_MS)
#define REDIAL_MS    20
#define ANSWER_DELAY 40

struct founder {
	uint8_t key[RAFT_KEY_SIZE];
	bool up;
	uint64_t still_until; /* its process is stopped: what comes waits */
	bool member;	      /* of a cluster, for ever */
	uint64_t stored_at;   /* its cluster is on the disk then; 0: none is on the way */
	bool forced;	      /* by --new */
	struct founding founding;
	bool waits;	  /* an administrator does */
	uint64_t patient; /* until then */
	uint64_t claim;	  /* to tell the links of one command from those of another */
	bool overrides;	  /* the next command says --new */
};

/* ASK on its way, or the answer. */
struct call {
	bool used, answered;
	unsigned from, to, at;
	uint64_t claim, due;
	enum rmq_error code;
};

struct founders {
	struct prng prng;
	uint64_t now;
	bool calm;
	unsigned count;
	struct founder list[FOUNDERS];
	struct call calls[CALLS];
	uint64_t made_at, forced_at; /* a cluster; 0: none */
};

static bool runs(const struct founders *w, const struct founder *f)
{
	return f->up && w->now >= f->still_until;
}

static void call(struct founders *w, unsigned from, unsigned to, unsigned at)
{
	for (unsigned i = 0; i < CALLS; i++) {
		if (w->calls[i].used)
			continue;
		w->calls[i] = (struct call){.used = true,
		    .from = from,
		    .to = to,
		    .at = at,
		    .claim = w->list[from].claim,
		    .due = w->now + prng_range(&w->prng, 1, ANSWER_DELAY)};
		return;
	}
	trace_fail("too many calls");
}

static void gives_up(struct founder *f)
{
	f->waits = false;
	f->claim++;
	founding_end(&f->founding);
}

/* ---- what the shipped node does with its disk ---- */

static void makes(struct founders *w, struct founder *f)
{
	unsigned slot = (unsigned)(f - w->list);
	/* Who overrides answers for it; whom it did not hear may decide in the same moment. */
	bool second = w->made_at || (w->forced_at && w->now - w->forced_at >= FOUNDING_MS);

	trace("makes", slot, f->overrides, second, w->made_at);
	if (second && !f->overrides)
		trace_fail("node %u makes a second cluster", slot);
	f->stored_at = w->now + prng_range(&w->prng, 1, 100);
	f->forced = f->overrides;
	*(f->forced ? &w->forced_at : &w->made_at) = w->now;
	f->overrides = false;
	gives_up(f);
}

static void command(struct founders *w, struct founder *f)
{
	f->waits = true;
	f->patient = w->now + prng_range(&w->prng, 1, w->calm ? CALM_MS : 2 * FOUNDING_MS);
	if (f->overrides) {
		makes(w, f);
		return;
	}
	founding_begin(&f->founding, w->now);
	if (!w->calm && prng_chance(&w->prng, 300))
		f->still_until = w->now + prng_range(&w->prng, 1, 5 * FOUNDING_MS);
	for (unsigned i = 0; i < w->count; i++) {
		if (&w->list[i] != f)
			call(w, (unsigned)(f - w->list), i, founding_ask(&f->founding, ""));
	}
}

static void decide(struct founders *w, struct founder *f)
{
	char text[TEXT_MAX + 1];

	if (!f->waits)
		return;
	switch (founding_look(&f->founding, false, w->now, text)) {
	case COMMANDS_HOLD:
		break;
	case COMMANDS_MAY:
		makes(w, f);
		break;
	case COMMANDS_STOP:
		trace("stop", (uint64_t)(f - w->list), 0, 0, 0);
		/* As the text says.  A cluster that is there already is not overridden. */
		f->overrides = !w->calm && !w->made_at && !w->forced_at &&
			       strstr(text, "do not answer") && prng_chance(&w->prng, 500);
		gives_up(f);
	}
}

/* ---- links ---- */

static void arrives(struct founders *w, struct call *c)
{
	struct founder *from = &w->list[c->from], *to = &w->list[c->to];
	const char *text = "";

	if (!from->up || from->claim != c->claim) {
		c->used = false;
		return;
	}
	c->due = w->now + prng_range(&w->prng, 1, c->answered ? 1 : ANSWER_DELAY);
	if (c->answered && runs(w, from)) {
		founding_heard(&from->founding, c->at, c->code, slice_str(text));
		c->used = false;
	} else if (!c->answered && !to->up) {
		c->due = w->now + REDIAL_MS;
	} else if (!c->answered && runs(w, to)) {
		c->answered = true;
		c->code = RMQ_E_EXISTS;
		if (!to->member)
			c->code = founding_asked(
			    &to->founding, to->stored_at > 0, to->key, from->key, &text);
		trace("answer", c->to, c->from, c->code, 0);
	}
}

/* ---- what goes wrong ---- */

/* What it had only decided is lost, with the claim. */
static void crash(struct founders *w, struct founder *f)
{
	if (f->stored_at)
		*(f->forced ? &w->forced_at : &w->made_at) = 0;
	f->up = false;
	f->stored_at = 0;
	f->waits = f->overrides = false;
	f->founding = (struct founding){0};
	f->claim++;
}

static void disturb(struct founders *w, struct founder *f)
{
	if (!f->up)
		f->up = prng_chance(&w->prng, 2);
	else if (prng_chance(&w->prng, 1) && prng_chance(&w->prng, 50))
		crash(w, f);
	else if (runs(w, f) && prng_chance(&w->prng, 1) && prng_chance(&w->prng, 200))
		f->still_until = w->now + prng_range(&w->prng, 1, 2 * FOUNDING_MS);
	if (runs(w, f) && !f->waits && !f->member && !f->stored_at &&
	    prng_chance(&w->prng, f->overrides ? 200 : 1))
		command(w, f);
}

static void millisecond(struct founders *w)
{
	w->now++;
	for (unsigned i = 0; i < CALLS; i++) {
		if (w->calls[i].used && w->now >= w->calls[i].due)
			arrives(w, &w->calls[i]);
	}
	for (unsigned i = 0; i < w->count; i++) {
		struct founder *f = &w->list[i];
		if (f->stored_at && w->now >= f->stored_at && f->up) {
			f->member = true;
			f->stored_at = 0;
		}
		if (runs(w, f))
			decide(w, f);
		if (f->waits && w->now >= f->patient && runs(w, f))
			gives_up(f);
		if (!w->calm)
			disturb(w, f);
	}
}

/* All run, and one of them is told to make a cluster, by an administrator who waits. */
static void calm(struct founders *w)
{
	struct founder *f = &w->list[prng_below(&w->prng, w->count)];
	uint64_t end;

	w->calm = true;
	for (unsigned i = 0; i < w->count; i++) {
		w->list[i].up = true;
		w->list[i].still_until = 0;
		w->list[i].overrides = false;
		gives_up(&w->list[i]);
	}
	for (end = w->now + CALM_MS; w->now < end;)
		millisecond(w);
	if (w->made_at || w->forced_at)
		return;
	command(w, f);
	f->patient = UINT64_MAX;
	for (end = w->now + CALM_MS; w->now < end && !w->made_at;)
		millisecond(w);
	if (!w->made_at)
		trace_fail("node %u makes no cluster", (unsigned)(f - w->list));
}

void founders_run(uint64_t seed)
{
	struct founders w = {.prng = {seed}};

	w.count = (unsigned)prng_range(&w.prng, 2, FOUNDERS);
	for (unsigned i = 0; i < w.count; i++) {
		w.list[i].key[0] = (uint8_t)(i + 1);
		w.list[i].up = prng_chance(&w.prng, 500);
	}
	while (w.now < FAULTS_MS)
		millisecond(&w);
	calm(&w);
}
