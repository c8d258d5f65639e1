#include "core/queue/voided.h"

#include <stdlib.h>

#include "core/base/limits.h"
#include "core/base/memory.h"

static int run_compare(const struct voided_run *a, const struct voided_run *b)
{
	if (a->lease != b->lease)
		return a->lease < b->lease ? -1 : 1;
	if (a->queue != b->queue)
		return a->queue < b->queue ? -1 : 1;
	return a->end < b->end ? -1 : a->end > b->end;
}

RB_PROTOTYPE(voided_tree, voided_run, entry, run_compare)
RB_GENERATE(voided_tree, voided_run, entry, run_compare)

void voided_init(struct voided *v)
{
	RB_INIT(&v->tree);
	TAILQ_INIT(&v->ages);
	v->count = 0;
}

static void forget_oldest(struct voided *v)
{
	struct voided_run *r = TAILQ_FIRST(&v->ages);
	TAILQ_REMOVE(&v->ages, r, age);
	RB_REMOVE(voided_tree, &v->tree, r);
	v->count--;
	free(r);
}

void voided_deinit(struct voided *v)
{
	while (v->count > 0)
		forget_oldest(v);
}

void voided_add(
    struct voided *v, uint32_t queue, uint64_t lease, uint64_t first, uint64_t end, bool dead)
{
	/* Leases end from their first message on: a run most often goes on. */
	struct voided_run key = {.queue = queue, .lease = lease, .end = first};
	struct voided_run *before = RB_FIND(voided_tree, &v->tree, &key);
	if (before && before->dead == dead) {
		/* Its place in the tree stays: the lease has no other run there. */
		before->end = end;
		TAILQ_REMOVE(&v->ages, before, age);
		TAILQ_INSERT_TAIL(&v->ages, before, age);
		return;
	}
	struct voided_run *r = memory_new(sizeof(*r));
	*r = (struct voided_run){
	    .queue = queue, .lease = lease, .first = first, .end = end, .dead = dead};
	if (RB_INSERT(voided_tree, &v->tree, r)) {
		free(r);
		return;
	}
	TAILQ_INSERT_TAIL(&v->ages, r, age);
	if (++v->count > VOIDED_MAX)
		forget_oldest(v);
}

const struct voided_run *voided_from(
    struct voided *v, uint32_t queue, uint64_t lease, uint64_t seq)
{
	struct voided_run key = {.queue = queue, .lease = lease, .end = seq + 1};
	struct voided_run *r = RB_NFIND(voided_tree, &v->tree, &key);
	return r && r->queue == queue && r->lease == lease ? r : NULL;
}
