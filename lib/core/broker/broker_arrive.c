/*
 * Cells: what comes with a queue that arrives, and what goes with one that leaves.
 */
#include "core/broker/broker_state.h"

void broker_on_arrive(struct broker *b, struct conn *c, const struct wire_arrive *m)
{
	if (broker_take(b, c, m->n, m->answered))
		broker_fail_command(b, c, m->n, RMQ_E_LIMIT);
}

void broker_on_arrive_state(struct broker *b, struct conn *c, const struct wire_arrive_state *m)
{
	if (broker_take(b, c, m->n, m->answered))
		broker_fail_command(b, c, m->n, RMQ_E_LIMIT);
}

void broker_on_export(struct broker *b, struct conn *c, const struct wire_export *m)
{
	ANSWER(b, c, exported, m->req, m->what, RMQ_E_NO_QUEUE, false, 0, NO_TAGS,
	    slice_of("", 0));
}
