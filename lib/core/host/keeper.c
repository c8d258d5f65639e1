#include "core/host/keeper.h"

#include "core/base/variant.h"

struct cell {
	enum keeper_state next;
	enum keeper_action action;
};

/* clang-format off */
#define I(action) {KEEPER_IDLE, KEEPER_##action}
#define P(action) {KEEPER_PAUSE, KEEPER_##action}
#define S(action) {KEEPER_STARTING, KEEPER_##action}
#define R(action) {KEEPER_READY, KEEPER_##action}
#define D(action) {KEEPER_DRAINING, KEEPER_##action}
static const struct cell table[KEEPER_EVENTS][KEEPER_STATES] = {
	/*                         IDLE        PAUSE       STARTING    READY       DRAINING */
	[KEEPER_WANTED]        = { S(START),   P(NOTHING), S(NOTHING), R(NOTHING), D(NOTHING) },
	[KEEPER_UNWANTED]      = { I(NOTHING), I(NOTHING), I(KILL),    I(KILL),    I(KILL)    },
	[KEEPER_TAKES_CLIENTS] = { I(NOTHING), P(NOTHING), R(NOTHING), R(NOTHING), D(NOTHING) },
	[KEEPER_DIED]          = { I(NOTHING), P(NOTHING), P(REST),    P(REST),    I(NOTHING) },
	[KEEPER_SILENT]        = { I(NOTHING), P(NOTHING), P(REST),    P(REST),    D(NOTHING) },
	[KEEPER_RESTED]        = { I(NOTHING), I(NOTHING), S(NOTHING), R(NOTHING), D(NOTHING) },
	[KEEPER_DRAIN]         = { I(NOTHING), P(NOTHING), D(TERM),    D(TERM),    D(NOTHING) },
};
#undef I
#undef P
#undef S
#undef R
#undef D
/* clang-format on */

bool keeper_runs(const struct keeper *k)
{
	return k->state != KEEPER_IDLE && k->state != KEEPER_PAUSE;
}

bool keeper_is_watched(const struct keeper *k)
{
	return k->state == KEEPER_STARTING || k->state == KEEPER_READY;
}

void keeper_init(struct keeper *k, uint64_t silent_ms)
{
	uint64_t silence = KEEPER_QUICK_SILENCE * silent_ms;

	*k = (struct keeper){.quick_ms = silence > KEEPER_QUICK_MS ? silence : KEEPER_QUICK_MS,
	    .fails_min_ms = KEEPER_FAILS_SILENCE * silent_ms};
}

static bool fails(const struct keeper *k, uint64_t now_ms)
{
	return k->failed && now_ms < k->fails_until;
}

/* Once more while it fails: that lasts as long, from now on. */
static void fail(struct keeper *k, uint64_t now_ms)
{
	if (k->fails_ms == 0)
		k->fails_ms = k->fails_min_ms;
	else if (!fails(k, now_ms))
		k->fails_ms *= 2;
	if (k->fails_ms > KEEPER_FAILS_MAX_MS)
		k->fails_ms = KEEPER_FAILS_MAX_MS;
	k->failed = true;
	k->fails_until = now_ms + k->fails_ms;
}

void keeper_give_up(struct keeper *k, uint64_t now_ms)
{
	if (k->deaths < KEEPER_DEATHS_MAX)
		k->deaths = KEEPER_DEATHS_MAX;
	fail(k, now_ms);
}

bool keeper_fails(const struct keeper *k, uint64_t now_ms)
{
	return fails(k, now_ms) && !RMQ_VARIANT(FAILURES_UNTOLD);
}

/* The pause doubles with each quick death.  Who hangs as it starts will again. */
static void rest(struct keeper *k, enum keeper_state was, enum keeper_event e, uint64_t now_ms)
{
	bool began = was == KEEPER_STARTING;
	bool quick = began || now_ms - k->ready_ms < k->quick_ms;

	k->deaths = quick ? k->deaths + 1 : 1;
	if (!quick)
		k->fails_ms = 0;
	if ((began && e == KEEPER_SILENT) || k->deaths >= KEEPER_DEATHS_MAX)
		keeper_give_up(k, now_ms);
	k->pause_ms = KEEPER_PAUSE_MIN_MS;
	for (unsigned i = 1; i < k->deaths && k->pause_ms < KEEPER_PAUSE_MAX_MS; i++)
		k->pause_ms *= 2;
	if (k->pause_ms > KEEPER_PAUSE_MAX_MS)
		k->pause_ms = KEEPER_PAUSE_MAX_MS;
}

enum keeper_action keeper_event(struct keeper *k, enum keeper_event e, uint64_t now_ms)
{
	const struct cell *c = &table[e][k->state];
	enum keeper_state was = k->state;

	if (RMQ_VARIANT(QUEUE_OUTLIVES) && e == KEEPER_UNWANTED)
		return KEEPER_NOTHING;
	k->state = c->next;
	if (k->state == KEEPER_READY && was == KEEPER_STARTING) {
		k->ready_ms = now_ms;
		k->failed = false;
	} else if (c->action == KEEPER_REST) {
		rest(k, was, e, now_ms);
	}
	return c->action;
}

/* All that was proposed, by an earlier one too, is committed and here. */
static bool whole(const struct engine_state *log)
{
	return log->committed == log->last || (RMQ_VARIANT(START_EARLY) && log->committed > 0);
}

enum keeper_action keeper_turn(
    struct keeper *k, const struct engine_state *log, bool broker, uint64_t now_ms)
{
	if (!broker || !log->leads || !log->serving || !whole(log))
		return KEEPER_NOTHING;
	enum keeper_action a = keeper_event(k, KEEPER_WANTED, now_ms);
	if (a == KEEPER_START)
		k->term = log->term;
	return a;
}

enum keeper_action keeper_role(
    struct keeper *k, const struct engine_state *log, uint64_t now_ms)
{
	bool other_term = keeper_runs(k) && log->term != k->term;

	if (log->leads && !other_term)
		return KEEPER_NOTHING;
	return keeper_event(k, KEEPER_UNWANTED, now_ms);
}

bool keeper_hands_over(const struct keeper *k, bool fails)
{
	return k->deaths >= KEEPER_DEATHS_MAX && (!fails || k->state != KEEPER_PAUSE);
}
