#include "parts.h"

#include <stdio.h>

#include "input.h"
#include "sender.h"
#include "sys/process/clock.h"

#define REST_MS 1000 /* before one that gave up is begun anew */

/* The name of an input that nobody sends: asking for its position asks for the queue. */
#define NO_INPUT "spread"

static bool has_cell(const struct part *p)
{
	return !p->dead && !p->asked && client_welcomed(p->io.client);
}

/* One that lacked room is tried with one batch. */
static bool takes(const struct part *p)
{
	const struct client *c = p->io.client;
	return has_cell(p) && client_has_room(c) && !client_blocked(c) &&
	       !(client_lacks_room(c) && client_unanswered(c) > 0);
}

bool parts_take(const struct parts *p)
{
	if (!p->several)
		return client_has_room(p->part[0].io.client);
	uint32_t i = 0;
	while (i < p->count && !takes(&p->part[i]))
		i++;
	return i < p->count && !p->waiting;
}

struct part *parts_for(struct parts *p, const struct freight *f)
{
	struct part *best = NULL;
	if (f->part != INPUT_ANY_PART || !p->several) {
		best = &p->part[p->several ? f->part : 0];
		return client_has_room(best->io.client) ? best : NULL;
	}
	for (uint32_t i = 0; i < p->count; i++) {
		struct part *one = &p->part[(p->next + i) % p->count];
		if (takes(one) && (!best || client_unanswered(one->io.client) <
						client_unanswered(best->io.client)))
			best = one;
	}
	p->next = (p->next + 1) % p->count;
	return best;
}

const struct part *parts_lost(const struct parts *p)
{
	const struct freight *f = p->waiting;
	if (!p->several || !f || f->part == INPUT_ANY_PART)
		return NULL;
	const struct part *to = &p->part[f->part];
	return to->dead && client_oldest(to->io.client) ? to : NULL;
}

void parts_put_back(struct parts *p, struct freight *f)
{
	struct freight **at = &p->waiting;
	while (*at && (*at)->first < f->first)
		at = &(*at)->next;
	f->next = *at;
	*at = f;
}

/* Takes back what it has not taken, and (all: or not) it need not have. */
static void take_back(struct parts *p, struct part *from, bool all)
{
	const struct client_command *cmd = client_oldest(from->io.client);
	struct sendbuf *buf;
	void *tag;
	while (cmd && cmd->next)
		cmd = cmd->next;
	/* Those of a key stay in order: so do those that came before them. */
	while (cmd && (all || ((struct freight *)cmd->tag)->part == INPUT_ANY_PART) &&
	       (buf = client_take_back(from->io.client, &tag))) {
		struct freight *f = tag;
		f->buf = buf;
		f->at = NULL;
		parts_put_back(p, f);
		cmd = client_oldest(from->io.client);
		while (cmd && cmd->next)
			cmd = cmd->next;
	}
}

void parts_turn(struct parts *p, struct mono_time now, bool sends)
{
	bool others = false;
	if (!p->several)
		return;
	for (uint32_t i = 0; i < p->count; i++)
		others |= takes(&p->part[i]);
	for (uint32_t i = 0; i < p->count; i++) {
		struct part *one = &p->part[i];
		struct client *c = one->io.client;
		if (sends && !one->dead && !one->asked && !client_welcomed(c)) {
			(void)client_position(
			    c, now, slice_str(one->queue), slice_str(NO_INPUT));
			one->asked = true;
		}
		if (others && (one->dead || !client_welcomed(c) || client_blocked(c)))
			take_back(p, one, false);
	}
}

bool part_may_begin_anew(const struct part *p, struct mono_time now)
{
	const struct sender *s = p->s;
	return p->dead && s->parts.several && s->o->common.timeout_ms > 0 &&
	       now.ms - p->dead_at.ms >= REST_MS && !client_oldest(p->io.client) &&
	       !client_shelf(p->io.client);
}

uint64_t parts_due_ms(const struct parts *p, struct mono_time now, uint64_t full_ms)
{
	uint64_t due = CLIENT_FOREVER;
	for (uint32_t i = 0; i < p->count && p->several; i++) {
		const struct part *one = &p->part[i];
		uint64_t at = one->dead_at.ms + REST_MS;
		if (one->dead && at > now.ms && at - now.ms < due)
			due = at - now.ms;
	}
	if (p->full_since.ms > 0 && full_ms != CLIENT_FOREVER) {
		uint64_t waited_ms = now.ms - p->full_since.ms;
		uint64_t left_ms = waited_ms < full_ms ? full_ms - waited_ms : 0;
		due = left_ms < due ? left_ms : due;
	}
	return due;
}

bool parts_gave_up(struct part *one, enum rmq_error code, struct slice text)
{
	const struct parts *p = &one->s->parts;
	uint32_t i = 0;
	one->dead = true;
	one->dead_at = clock_mono();
	one->code = code;
	snprintf(one->why, sizeof(one->why), "%.*s", (int)text.len, (const char *)text.data);
	while (i < p->count && p->part[i].code)
		i++;
	return i == p->count;
}

bool parts_stay_full(struct parts *p, struct mono_time now, uint64_t ms)
{
	bool any = false, may = false;
	for (uint32_t i = 0; i < p->count; i++) {
		const struct part *one = &p->part[i];
		bool lacks = !one->dead && client_lacks_room(one->io.client);
		any |= lacks;
		may |= !lacks && !one->dead && (ms == 0 || has_cell(one));
	}
	if (!any || may)
		p->full_since.ms = 0;
	else if (p->full_since.ms == 0)
		p->full_since = now;
	if (p->full_since.ms == 0 || ms == CLIENT_FOREVER || now.ms - p->full_since.ms < ms)
		return false;
	for (uint32_t i = 0; i < p->count; i++)
		take_back(p, &p->part[i], true);
	p->full_since.ms = 0;
	return true;
}
