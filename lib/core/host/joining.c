#include "core/host/joining.h"

#include "core/base/variant.h"

static uint64_t after(uint64_t now_ms, uint64_t ms)
{
	return ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + ms;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void joining_begin(struct joining *j, const struct joining_settings *settings, uint64_t now_ms)
{
	*j = (struct joining){.set = *settings,
	    .let_in = j->let_in,
	    .until_ms = after(now_ms, settings->timeout_ms),
	    .pause_ms = least(JOINING_PAUSE_MS, settings->retry_ms),
	    .next_ms = now_ms};
}

static bool under_way(const struct joining *j)
{
	for (unsigned i = 0; i < JOINING_PLACES; i++)
		if (j->asked[i])
			return true;
	return false;
}

/* As if it had just begun, from when it may have been called, and all seeds asked in vain. */
static void go_on(struct joining *j, uint64_t now_ms)
{
	j->until_ms = after(after(now_ms, JOINING_CALL_MS + j->set.seed_ms), j->set.timeout_ms);
}

enum joining_step joining_turn(struct joining *j, bool led, uint64_t now_ms)
{
	if (j->let_in && led) {
		go_on(j, now_ms);
		j->next_ms = after(now_ms, JOINING_CALL_MS);
		return JOINING_LED;
	}
	if (now_ms >= j->until_ms)
		return JOINING_GIVES_UP;
	if (under_way(j) || now_ms < j->next_ms)
		return JOINING_WAITS;
	if (j->misfit)
		return JOINING_MISFIT;
	/* Whoever asks nobody has nobody to wait for. */
	j->next_ms = after(now_ms, j->pause_ms);
	return JOINING_ROUND;
}

void joining_ask(struct joining *j, unsigned place, uint64_t now_ms)
{
	j->asked[place] = true;
	j->late_ms[place] = after(now_ms, j->set.seed_ms);
}

void joining_ended(struct joining *j, unsigned place, uint64_t now_ms)
{
	bool was = j->asked[place];

	j->asked[place] = false;
	if (!was || under_way(j))
		return;
	j->next_ms = j->misfit ? now_ms : after(now_ms, j->pause_ms);
	j->pause_ms = least(after(j->pause_ms, j->pause_ms), j->set.retry_ms);
}

void joining_misfit(struct joining *j, unsigned place, uint64_t now_ms)
{
	j->misfit |= j->asked[place];
	joining_ended(j, place, now_ms);
}

bool joining_late(struct joining *j, unsigned place, uint64_t now_ms)
{
	if (!j->asked[place] || now_ms < j->late_ms[place])
		return false;
	joining_ended(j, place, now_ms);
	return true;
}

bool joining_let_in(struct joining *j, uint64_t now_ms)
{
	bool news = !j->let_in;

	j->let_in = true;
	j->misfit = false;
	for (unsigned i = 0; i < JOINING_PLACES; i++)
		j->asked[i] = false;
	/* The leader calls; if it does not, they are asked again. */
	j->next_ms = after(now_ms, JOINING_CALL_MS);
	go_on(j, now_ms);
	return news;
}

void joining_lost(struct joining *j)
{
	j->lost = true;
}

enum joining_word joining_refused(struct joining *j, enum rmq_error code, bool led)
{
	bool recovered = j->lost && code == RMQ_E_DENIED;

	/* Of the cluster whose leader this node follows only a recovery tells more than that knows. */
	if (j->lost && led && (!recovered || RMQ_VARIANT(RECOVERED_UNHEARD)))
		return JOINING_PASSES;
	j->outcast |= recovered;
	switch (code) {
	case RMQ_E_EXISTS:
	case RMQ_E_VERSION:
	case RMQ_E_CONFIG:
	case RMQ_E_DENIED:
		return JOINING_DECIDES;
	default:
		return JOINING_HINDERS;
	}
}

/* What others of the old cluster know is not why one of a recovered one refuses this node. */
bool joining_believes(const struct joining *j)
{
	return !j->outcast;
}

bool joining_content(bool led, bool refused)
{
	return led && !refused;
}

bool joining_over(const struct joining *j, bool led, bool refused)
{
	return !j->lost || joining_content(led, refused);
}

uint64_t joining_due(const struct joining *j)
{
	uint64_t due = j->until_ms;

	if (!under_way(j))
		return least(due, j->next_ms);
	for (unsigned i = 0; i < JOINING_PLACES; i++)
		if (j->asked[i])
			due = least(due, j->late_ms[i]);
	return due;
}
