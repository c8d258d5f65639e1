/*
 * Why a message is not handed out now: what it waits for itself comes first, then what holds its queue
 * back, then that nobody takes it.
 */
#include "core/broker/broker_state.h"

#include "core/queue/policy.h"

/* Lease time, as the wall clock that it amounts to. */
static uint64_t wall_of(const struct broker *b, uint64_t lease_ms)
{
	return lease_ms - b->lease_now.ms + b->wall_now.ms;
}

/* Until when r is leased or delayed, wall clock; 0: it is ready. */
static uint64_t until_of(const struct broker *b, const struct range *r)
{
	if (r->state == STATE_READY)
		return 0;
	return r->by_wall ? r->until_ms : wall_of(b, range_until(r));
}

/* For an older message of its key. */
static void waits_for_key(
    const struct broker *b, struct queue *q, uint64_t seq, struct history_waits *w)
{
	uint64_t oldest = keys_oldest(q, keys_of(q, seq));
	const struct range *r = queue_range_at(q, oldest);
	w->why = WAITS_KEY;
	w->seq = oldest;
	w->state = r->state;
	w->lease = r->state == STATE_LEASED ? r->lease : 0;
	w->until_ms = until_of(b, r);
}

/* With all others that are ready. */
static void waits_in_queue(
    const struct broker *b, const struct queue *q, struct history_waits *w)
{
	const struct more_settings *s = &q->settings.more;
	w->why = WAITS_TURN;
	if (s->max_inflight > 0 && q->live[STATE_LEASED] >= s->max_inflight) {
		w->why = WAITS_INFLIGHT;
		w->limit = s->max_inflight;
	} else if (s->rate > 0 &&
		   policy_rate_allows(&q->settings, q->rate_full, b->lease_now) == 0) {
		w->why = WAITS_RATE;
		w->until_ms = wall_of(b, policy_rate_due(&q->settings, q->rate_full).ms);
	} else if (TAILQ_EMPTY(&q->subs)) {
		w->why = WAITS_RECEIVER;
	} else if (TAILQ_EMPTY(&q->hungry)) {
		w->why = WAITS_CREDIT;
	}
}

void broker_waits(
    const struct broker *b, struct queue *q, uint64_t seq, struct history_waits *w)
{
	const struct range *r = q ? queue_range_at(q, seq) : NULL;
	*w = (struct history_waits){0};
	if (!r || r->first > seq || !queue_any_live(q, seq, seq + 1))
		return;
	if (r->state == STATE_DELAYED) {
		w->why = r->by_wall ? WAITS_DELAY : WAITS_BACK_OFF;
		w->until_ms = until_of(b, r);
	} else if (r->state == STATE_READY && (q->settings.more.paused_out || q->is_held)) {
		w->why = WAITS_PAUSED;
	} else if (r->state == STATE_READY && r->waits && !r->aside) {
		waits_for_key(b, q, seq, w);
	} else if (r->state == STATE_READY) {
		waits_in_queue(b, q, w);
		/* Those that ask may be others than that of its key. */
		if (w->why == WAITS_TURN && r->aside)
			w->why = WAITS_ITS_RECEIVER;
	}
}
