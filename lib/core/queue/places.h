/*
 * Places: exceptions to where queues live (core/base/cells.h), by base name.  HERE: the queue lives here,
 * whatever its home.  AWAY: it has gone to a cell, where a token opens it.  Of others nothing is
 * known but their home.  And the copies that arrive, each with a token of its own, before one of them is
 * the queue: they are numbered in the order in which they began.
 *
 * An entry stays for ever once it has a state.  AWAY: who asks in a cell that a queue has left is led on.  HERE as well,
 * even at home, where the name says the same: HERE is written when a queue comes, so some cell says AWAY to here,
 * and as many as the queue was in lead there.  Without the entry this cell would go by its list.  As soon as that
 * has another home for the name, and the queue is removed, it sends its clients there; if the way from there leads here,
 * they go round in a circle for ever, and if not, the queue is made a second time while others are led here.
 * To forget HERE safely all that lead here would have to be forgotten before, in all cells, with nobody moving
 * the queue meanwhile; no cell can know that alone.
 */
#ifndef RMQ_CORE_QUEUE_PLACES_H
#define RMQ_CORE_QUEUE_PLACES_H

#include <sys/queue.h>
#include <sys/tree.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/codec.h"
#include "core/base/limits.h"
#include "core/queue/owner.h"
#include "core/wire/event.h"

struct copy {
	TAILQ_ENTRY(copy) link;
	TAILQ_ENTRY(copy) of_all;
	const struct place *of;
	struct owner *maker; /* who has begun it */
	uint64_t number;
	uint64_t since_ms; /* wall clock when it began; 0: not known */
	uint8_t from_len;
	char from[RAFT_NAME_MAX]; /* the cell that it is copied from; empty: not known */
	uint8_t token[CELL_TOKEN_SIZE];
};

struct place {
	RB_ENTRY(place) by_name;
	TAILQ_HEAD(copy_list, copy) copies; /* by number */
	uint32_t copies_count;
	uint8_t state; /* enum place_state */
	uint8_t token_len;
	uint8_t name_len;
	uint8_t cell_len;
	uint8_t token[CELL_TOKEN_SIZE]; /* AWAY: what opens it there */
	char *cell;			/* AWAY: owned */
	struct owner *maker;		/* who has made it; NULL: it has no state */
	char name[];
};
RB_HEAD(place_tree, place);
TAILQ_HEAD(all_copies, copy);

/* What an entry, or a copy, takes in a checkpoint besides name and cell, at most. */
#define PLACE_PART_MAX (32 + EVENT_MAKER_MAX)
#define COPY_PART_MAX  (40 + EVENT_MAKER_MAX + TAG_U64_SIZE + COPY_FROM_SIZE)
/* … of which the tag that says where it is copied from. */
#define COPY_FROM_SIZE (4 + RAFT_NAME_MAX)

struct places {
	struct place_tree by_name;
	uint32_t count;	       /* of entries */
	uint32_t copies;       /* of all of them */
	struct all_copies all; /* … in no order */
	uint64_t number;       /* of the newest copy */
	uint64_t *part_bytes;  /* what all takes in a checkpoint, at most, is added here */
	struct owner_tree *owners;
};

void places_init(struct places *p, struct owner_tree *owners, uint64_t *part_bytes);
void places_deinit(struct places *p);

static inline struct slice place_name(const struct place *p)
{
	return slice_of(p->name, p->name_len);
}

static inline struct slice place_cell(const struct place *p)
{
	return slice_of(p->cell ? p->cell : "", p->cell_len);
}

static inline struct slice copy_from(const struct copy *c)
{
	return slice_of(c->from, c->from_len);
}

static inline struct slice place_token(const struct place *p)
{
	return slice_of(p->token, p->token_len);
}

/* The entry of a base name, or NULL; the first one whose name sorts after `name`. */
struct place *places_find(const struct places *p, struct slice name);
struct place *places_after(const struct places *p, struct slice name);
struct place *places_next(struct place *one);

/* The copy with this token; NULL: there is none. */
struct copy *place_copy(const struct place *one, struct slice token);

/* Whether this can be an entry: a name, a state, and with AWAY alone a cell and a token or none. */
bool place_valid(uint8_t state, struct slice name, struct slice cell, struct slice token);
/* The name's place is this from now on, and that owner's.  Takes the use of it. */
void places_set(struct places *p, uint8_t state, struct slice name, struct slice cell,
    struct slice token, struct owner *maker);
/* A copy with that token has begun as number `number`; nothing if it is known.  Takes the use of the owner. */
void places_add_copy(struct places *p, struct slice name, struct slice token, uint64_t number,
    uint64_t since_ms, struct slice from, struct owner *maker);
/* It is none any more; nothing if it is not known. */
void places_drop_copy(struct places *p, struct slice name, struct slice token);

#endif
