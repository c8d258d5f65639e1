/*
 * Cells: which queues live here, which have gone where, and those that go or come.
 */
#include "core/broker/broker_state.h"

void broker_move_out(struct broker *b, struct conn *c, const struct wire_move_out *m)
{
	if (broker_take(b, c, m->n, m->answered))
		broker_fail_command(b, c, m->n, RMQ_E_LIMIT);
}

void broker_move_in(struct broker *b, struct conn *c, const struct wire_move_in *m)
{
	if (broker_take(b, c, m->n, m->answered))
		broker_fail_command(b, c, m->n, RMQ_E_LIMIT);
}

void broker_came(struct broker *b, struct conn *c, const struct wire_came *m)
{
	(void)b, (void)c, (void)m;
}

void broker_tell_cells(struct broker *b, struct conn *c, const struct wire_cells *m)
{
	ANSWER(b, c, cells_are, m->req, slice_of("", 0), NO_TAGS, slice_of("", 0));
}

void broker_places(struct broker *b, struct conn *c, const struct wire_places *m)
{
	ANSWER(b, c, places_end, m->req, false, NO_TAGS);
}

enum rmq_error broker_arriving_may(
    const struct broker *b, struct slice name, struct slice token)
{
	(void)b, (void)name, (void)token;
	return RMQ_E_STALE;
}

struct queue *broker_arriving_queue(
    const struct broker *b, struct slice name, struct slice token)
{
	(void)b, (void)name, (void)token;
	return NULL;
}

struct queue *broker_arriving_make(
    struct broker *b, struct slice name, struct slice token, const struct owner *maker)
{
	(void)b, (void)name, (void)token, (void)maker;
	return NULL;
}
