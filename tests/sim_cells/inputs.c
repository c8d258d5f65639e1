#include "inputs.h"

#include "../sim/trace.h"
#include "checks.h"
#include "lists.h"

#include <assert.h>
#include <stdlib.h>

void input_make(struct world *w)
{
	struct prng p = {.state = w->later.state * 13 + 5};
	/* Of two queues of one name each has a position; and what is dead comes under other numbers. */
	if (w->unlisted || (w->dead & 1) || lists_kind(w) == LISTS_WRONG ||
	    !prng_chance(&p, 300))
		return;
	w->input = calloc(1, sizeof(*w->input));
	assert(w->input);
	w->input->prng = p;
}

void input_free(struct world *w)
{
	if (w->input)
		free(w->input->records);
	free(w->input);
}

void input_placed(struct world *w, uint64_t at, uint64_t first, uint64_t end)
{
	struct input *in = w->input;
	trace("position", at, first, end, in->count);
	if (at > in->count)
		trace_fail("of an input %llu records are stored, and it has %u",
		    (unsigned long long)at, in->count);
	for (uint32_t i = 0; i < in->count; i++) {
		uint32_t line = in->records[i];
		uint64_t seq = checks_stored(w, 0, line);
		if (i < at && seq == 0)
			trace_fail("record %u of an input is not stored, and passes for it", i);
		/* One whose id was forgotten may have been sent again since, by others. */
		if (i < at && w->kinds[0] != QUEUE_IDS && (seq < first || seq >= end))
			trace_fail("record %u of an input is not among what was sent", i);
		if (i >= at && w->lines.all[line].sent)
			trace_fail("record %u of an input was sent, and its queue has %llu", i,
			    (unsigned long long)at);
	}
	in->next = (uint32_t)at;
	in->placed = true;
}

void input_add(struct input *in, uint32_t line)
{
	if (in->count == in->cap) {
		in->cap = in->cap ? 2 * in->cap : 64;
		in->records = realloc(in->records, in->cap * sizeof(*in->records));
		assert(in->records);
	}
	in->records[in->count++] = line;
}

bool input_done(const struct world *w)
{
	const struct input *in = w->input;
	for (uint32_t i = 0; in && i < in->count; i++)
		if (!w->lines.all[in->records[i]].sent)
			return in->placed && in->next == in->count &&
			       checks_stored(w, 0, in->records[in->count - 1]) > 0;
	return true;
}
