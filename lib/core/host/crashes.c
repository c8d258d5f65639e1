#include "core/host/crashes.h"

#include "core/base/variant.h"

/* clang-format off */
#define N CRASHES_NONE
#define O CRASHES_ONCE
#define A CRASHES_AGAIN
static const uint8_t table[CRASHES_EVENTS][CRASHES_STATES] = {
	/*                           NONE ONCE AGAIN */
	[CRASHES_DIED]           = { O,   A,   A },
	[CRASHES_DIED_ELSEWHERE] = { O,   O,   O },
	[CRASHES_LEADS]          = { N,   O,   O },
	[CRASHES_PASSED]         = { N,   N,   N },
};
#undef N
#undef O
#undef A
/* clang-format on */

static void happens(struct crashes *c, enum crashes_event e)
{
	c->own.state = (enum crashes_state)table[e][c->own.state];
}

void crashes_died(struct crashes *c, enum crashes_end how, uint64_t index)
{
	bool same = c->own.place == CRASHES_PLACE(index);

	if (how != CRASHES_CRASHED && !RMQ_VARIANT(ANY_END_DEADLY))
		return;
	happens(c, same ? CRASHES_DIED : CRASHES_DIED_ELSEWHERE);
	c->own.place = CRASHES_PLACE(index);
}

void crashes_passed(struct crashes *c)
{
	happens(c, CRASHES_PASSED);
	for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++)
		c->others[i].word.state = CRASHES_NONE;
}

void crashes_heard(struct crashes *c, struct raft_id id, struct crashes_word word)
{
	for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++) {
		if (!raft_id_eq(c->others[i].id, id))
			continue;
		c->others[i].word = word;
		return;
	}
	if (word.state == CRASHES_NONE)
		return;
	c->others[c->next].id = id;
	c->others[c->next].word = word;
	c->next = (c->next + 1) % RAFT_MEMBERS_MAX;
}

bool crashes_deadly(const struct crashes *c, struct raft_id *elsewhere)
{
	for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++) {
		const struct crashes_word *w = &c->others[i].word;
		if (c->own.state != CRASHES_AGAIN || w->state == CRASHES_NONE ||
		    w->place != c->own.place)
			continue;
		*elsewhere = c->others[i].id;
		return true;
	}
	return false;
}

bool crashes_may_start(struct crashes *c, uint64_t term)
{
	struct raft_id elsewhere;

	if (term != c->term)
		happens(c, CRASHES_LEADS);
	c->term = term;
	return !crashes_deadly(c, &elsewhere) || RMQ_VARIANT(DEADLY_RESTARTED);
}
