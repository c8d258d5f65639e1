/*
 * Queues that move to another cell, or come from one.  A queue and its dead letters go together.
 *
 * Where it lives it is held and then frozen, by one connection and no longer than that lasts; so what was copied
 * is what is there.  That it has gone is one record: from then on nobody finds it here, and each is told
 * with which token its copy is opened.  A copy arrives without a name, and gets it in one record as well.
 * Only GONE tells the token, so a copy is opened only if the queue has gone to it; and whoever knows the
 * token may open it, so the mover may die in between.
 *
 * What has no name any more is emptied as a queue that is removed, in pieces, also after a restart.
 *
 * A cell that a queue has left leads to where it went, and that one on from there.  Each move has a number, could
 * one count them all: move i goes to one cell, and a place AWAY stands for a move.  A cell's place stands
 * for the move by which the queue left it last, or a later one; so on the way from place to place the numbers rise, and
 * it ends.  FOLLOW lets a place stand for a later move, so that the way is shorter.  That must never be
 * an earlier one, or the way might be a circle, in which the queue is lost: therefore the mover asks in
 * this order (mover.h): the place here, whose token tells it from any other; whether the queue lives in the other
 * cell now, by a command, whose answer is durable; and only then FOLLOW, which does nothing if the token has
 * changed.  A place changes to a later move only, or to HERE, so a FOLLOW that comes late does no harm.
 */
#include "core/broker/broker_state.h"

#include <stdio.h>
#include <string.h>

#include "core/base/level.h"
#include "core/base/memory.h"
#include "core/base/name.h"
#include "core/base/variant.h"

#define UNIT	  2    /* a queue, and that of its dead letters */
#define MOVE_ROOM 2048 /* events that name a unit, and a command */
#define BIND_ROOM 1024

struct move {
	TAILQ_ENTRY(move) link;
	struct conn *conn;
	struct owner *owner; /* … as it was then */
	uint64_t heard_ms;   /* lease time */
	bool frozen;
	bool
	    unbinds; /* what is for other cells was bound for it, and is not if the queue stays */
	uint8_t token[CELL_TOKEN_SIZE];
	uint8_t name_len;
	char name[NAME_FULL_MAX];
};

/* ---- names ---- */

static int arriving_compare(const struct queue *a, const struct queue *b)
{
	int order = slice_cmp(queue_name(a), queue_name(b));
	return order ? order : memcmp(a->token, b->token, CELL_TOKEN_SIZE);
}

RB_PROTOTYPE(arriving_tree, queue, by_name, arriving_compare)
RB_GENERATE(arriving_tree, queue, by_name, arriving_compare)

void broker_queue_names(struct broker *b, struct queue *q, struct slice token, bool left)
{
	if (left) {
		q->hidden = QUEUE_LEFT;
		q->ends = true;
	} else if (token.len > 0) {
		q->hidden = QUEUE_ARRIVES;
		q->token = memory_new(CELL_TOKEN_SIZE);
		memcpy(q->token, token.data, CELL_TOKEN_SIZE);
		RB_INSERT(arriving_tree, &b->queues_arriving, q);
	} else {
		q->hidden = 0;
		RB_INSERT(queue_name_tree, &b->queues_by_name, q);
		broker_move_made(b, q);
	}
}

void broker_queue_nameless(struct broker *b, struct queue *q)
{
	if (q->hidden == QUEUE_ARRIVES)
		RB_REMOVE(arriving_tree, &b->queues_arriving, q);
	else if (q->hidden == 0)
		RB_REMOVE(queue_name_tree, &b->queues_by_name, q);
	free(q->token);
	q->token = NULL;
}

struct queue *broker_arriving_queue(
    const struct broker *b, struct slice name, struct slice token)
{
	struct queue *q = RB_ROOT(&b->queues_arriving);
	while (q) {
		int order = slice_cmp(name, queue_name(q));
		if (order == 0)
			order = slice_cmp(token, slice_of(q->token, CELL_TOKEN_SIZE));
		if (order == 0)
			return q;
		q = order < 0 ? RB_LEFT(q, by_name) : RB_RIGHT(q, by_name);
	}
	return NULL;
}

/* The name of one of the unit. */
static struct slice unit_name(int i, struct slice base, char name[NAME_FULL_MAX + 8])
{
	int len = snprintf(name, NAME_FULL_MAX + 8, "%.*s%s", (int)base.len,
	    (const char *)base.data, i == 0 ? "" : NAME_DEAD_SUFFIX);
	return slice_of(name, (size_t)len);
}

/* Those of the unit that are here; or with a token, of that copy. */
struct unit {
	struct queue *queue[UNIT];
};

static struct unit unit_of(const struct broker *b, struct slice base, struct slice token)
{
	struct unit u;
	char name[NAME_FULL_MAX + 8];
	for (int i = 0; i < UNIT; i++) {
		struct slice is = unit_name(i, base, name);
		u.queue[i] = token.len > 0 ? broker_arriving_queue(b, is, token)
					   : broker_queue_named(b, is);
	}
	return u;
}

/* ---- bindings ---- */

static struct queue *away_of(const struct broker *b, struct slice base)
{
	char name[AWAY_NAME_MAX];
	return broker_queue_named(b, cells_away_name(base, name));
}

static void bind(struct broker *b, const struct queue *q, struct slice pattern, bool no_more)
{
	char bytes[TOPIC_MAX];
	memcpy(bytes, pattern.data, pattern.len);
	pattern = slice_of(bytes, pattern.len);
	broker_works(b, 1);
	broker_reserve(b, BIND_ROOM);
	if (no_more)
		broker_emit_unbind(b, &(struct event_unbind){q->id, pattern, NO_TAGS});
	else
		broker_emit_bind(b, &(struct event_bind){q->id, pattern, NO_TAGS});
}

/* `to` is bound to what `from` is. */
static void bind_as(struct broker *b, const struct queue *from, const struct queue *to)
{
	struct binding *at = binding_after(from, slice_of("", 0));
	for (; at; at = binding_next(at))
		if (!binding_find(to, binding_pattern(at)))
			bind(b, to, binding_pattern(at), false);
}

/* … and to nothing else. */
static void unbind_others(struct broker *b, const struct queue *as, const struct queue *q)
{
	struct binding *at = binding_after(q, slice_of("", 0)), *next;
	for (; at; at = next) {
		next = binding_next(at);
		if (!binding_find(as, binding_pattern(at)))
			bind(b, q, binding_pattern(at), true);
	}
}

/* Whether there is room for what bind_away() makes.  Limits of bindings are not asked: see there. */
static enum rmq_error may_bind_away(
    struct broker *b, struct slice base, const struct queue *q, char text[TEXT_MAX + 1])
{
	char title[OWNER_TITLE_SIZE];
	if (!q || q->bindings_count == 0)
		return RMQ_E_OK;
	if (!away_of(b, base) && broker_queues_full(b, q->maker)) {
		snprintf(text, TEXT_MAX + 1,
		    "%.*s.away, which takes over what it is bound to, is one queue too many of "
		    "%u in all, or of %u of %s: remove some",
		    (int)base.len, (const char *)base.data, QUEUES_MAX, QUEUES_OF_ONE,
		    owner_title(q->maker, title));
		return RMQ_E_LIMIT;
	}
	return broker_room_left(b) < (1 + (uint64_t)q->bindings_count) * BIND_ROOM
		   ? RMQ_E_DISK_FULL
		   : RMQ_E_OK;
}

/*
 * Before a queue goes: what is for other cells is bound as it is.  As long as it is here that gets
 * nothing (broker_hears()), so one record swaps the two.  There are more bindings than may be only while queues are
 * frozen, and no more of these than MOVES_MAX; then one of the two has none.
 */
static void bind_away(struct broker *b, struct slice base, const struct queue *q)
{
	char name[AWAY_NAME_MAX];
	struct queue *away = away_of(b, base);
	bool none = !away || away->bindings_count == 0;
	if (!q || RMQ_VARIANT(BINDINGS_STAY) || (!away && q->bindings_count == 0))
		return;
	if (!away) {
		struct slice is = cells_away_name(base, name);
		struct queue_settings s = broker_settings_for(is);
		broker_reserve(b, BIND_ROOM);
		away = broker_queue_make_as(b, is, &s, q->maker);
	}
	away->is_bound_to_go |= none;
	unbind_others(b, q, away);
	bind_as(b, q, away);
}

/* ---- holding ---- */

static struct move *move_of(const struct broker *b, struct slice base)
{
	struct move *m;
	TAILQ_FOREACH (m, &b->moving, link)
		if (slice_eq(slice_of(m->name, m->name_len), base))
			return m;
	return NULL;
}

static void hold_queue(struct broker *b, struct queue *q, bool held, bool frozen)
{
	if (!q)
		return;
	q->is_held = held;
	q->is_frozen = frozen;
	broker_busy(b, q);
	broker_roomy(b, q);
}

static void hold_all(struct broker *b, const struct move *m, bool held, bool frozen)
{
	struct unit u = unit_of(b, slice_of(m->name, m->name_len), NO_TAGS);
	for (int i = 0; i < UNIT; i++)
		hold_queue(b, u.queue[i], held, frozen);
}

void broker_move_end(struct broker *b, struct conn *c)
{
	struct move *m = c->move;
	if (!m)
		return;
	c->move = NULL;
	TAILQ_REMOVE(&b->moving, m, link);
	b->moves--;
	m->owner->moves--;
	owner_drop(&b->owners, m->owner);
	struct slice base = slice_of(m->name, m->name_len);
	struct queue *away = away_of(b, base);
	if (!move_of(b, base))
		hold_all(b, m, false, false);
	if (away && away->is_bound_to_go)
		broker_errand_later(
		    b, (struct errand){.kind = ERRAND_UNBIND, .queue = away->id});
	free(m);
}

void broker_unbind_away(struct broker *b, uint32_t id)
{
	struct queue *away = broker_queue(b, id), *q = NULL;
	if (away && away->is_bound_to_go)
		q = broker_queue_named(b, cells_away_for(queue_name(away)));
	if (q && !q->is_frozen)
		broker_unbind_all(b, away);
	if (away && !(q && q->is_frozen))
		away->is_bound_to_go = false;
}

void broker_move_heard(struct broker *b, struct conn *c)
{
	struct move *m = c->move;
	if (!m)
		return;
	m->heard_ms = b->lease_now.ms;
	TAILQ_REMOVE(&b->moving, m, link);
	TAILQ_INSERT_TAIL(&b->moving, m, link);
}

uint64_t broker_moves_until(const struct broker *b)
{
	const struct move *m = TAILQ_FIRST(&b->moving);
	return m ? m->heard_ms + HOLD_SILENT_MS : UINT64_MAX;
}

void broker_end_silent_moves(struct broker *b)
{
	while (broker_moves_until(b) <= min_u64(b->lease_now.ms, b->heard.ms))
		broker_move_end(b, TAILQ_FIRST(&b->moving)->conn);
}

/* What is frozen was there then: GONE asks for that. */
void broker_move_made(struct broker *b, struct queue *q)
{
	char name[NAME_FULL_MAX + 8];
	struct slice is = queue_name(q);
	if (b->moves == 0)
		return;
	struct slice base = cells_base(is);
	if (slice_eq(is, base) || slice_eq(is, unit_name(1, base, name)))
		q->is_held = move_of(b, base);
}

static bool is_being_emptied(struct broker *b, const struct unit *u)
{
	const struct errand *e;
	TAILQ_FOREACH (e, &b->errands, link) {
		broker_works(b, 1);
		for (int i = 0; i < UNIT; i++)
			if (u->queue[i] && e->queue == u->queue[i]->id &&
			    (e->kind == ERRAND_PURGE || e->kind == ERRAND_REMOVE))
				return true;
	}
	return false;
}

/*
 * What keeps one place more from being made.  It is not asked again by what is on its way, so one may have MOVES_OF_ONE
 * and COPIES_OF_ONE places more.
 */
static enum rmq_error may_place(
    const struct broker *b, const struct owner *o, char text[TEXT_MAX + 1])
{
	char title[OWNER_TITLE_SIZE];
	if (b->places.count >= PLACES_MAX)
		snprintf(
		    text, TEXT_MAX + 1, "%u queues have moved, and no more may", PLACES_MAX);
	else if (owner_known(o) && o->places >= PLACES_OF_ONE)
		snprintf(text, TEXT_MAX + 1,
		    "%s has moved %u queues, as many as one %s may of %u in all: another has to "
		    "move this one",
		    owner_title(o, title), o->places, owner_kind(o), PLACES_MAX);
	else
		return RMQ_E_OK;
	return RMQ_E_LIMIT;
}

/* What keeps that user from writing anything of cells; RMQ_E_OK: nothing. */
static enum rmq_error may_write(
    const struct broker *b, const struct owner *o, struct slice base, char text[TEXT_MAX + 1])
{
	if (b->level < LEVEL_CELLS) {
		snprintf(text, TEXT_MAX + 1,
		    "queues that move need records of level %d, which not all members of the "
		    "cluster read yet: rmq-cluster status",
		    LEVEL_CELLS);
		return RMQ_E_VERSION;
	}
	/* A client's list may have other addresses for the names, and nobody would find what it moves. */
	if (!b->cells) {
		snprintf(text, TEXT_MAX + 1,
		    "the daemon has no list of cells, and does not know which one it is: "
		    "settings cells and cell");
		return RMQ_E_CONFIG;
	}
	return places_find(&b->places, base) ? RMQ_E_OK : may_place(b, o, text);
}

/* The same for one queue more that is held. */
static enum rmq_error may_hold(
    const struct broker *b, const struct conn *c, char text[TEXT_MAX + 1])
{
	char title[OWNER_TITLE_SIZE];
	const struct owner *o = c->owner;
	if (c->move)
		return RMQ_E_OK;
	if (b->moves >= MOVES_MAX)
		snprintf(text, TEXT_MAX + 1,
		    "%u queues move at once, and no more may: try again when one has moved",
		    MOVES_MAX);
	else if (owner_known(o) && o->moves >= MOVES_OF_ONE)
		snprintf(text, TEXT_MAX + 1,
		    "%s moves %u queues at once, as many as one %s may of %u in all: try again "
		    "when one has moved",
		    owner_title(o, title), o->moves, owner_kind(o), MOVES_MAX);
	else
		return RMQ_E_OK;
	return RMQ_E_LIMIT;
}

static enum rmq_error hold(
    struct broker *b, struct conn *c, const struct wire_move_out *m, char text[TEXT_MAX + 1])
{
	struct move *other = move_of(b, m->queue);
	struct unit u = unit_of(b, m->queue, NO_TAGS);
	enum rmq_error err = may_write(b, c->owner, m->queue, text);
	if (err)
		return err;
	if (other && other->conn != c && !RMQ_VARIANT(HOLD_SHARED)) {
		snprintf(text, TEXT_MAX + 1, "another client moves the queue");
		return RMQ_E_BUSY;
	}
	if (is_being_emptied(b, &u)) {
		snprintf(text, TEXT_MAX + 1, "queue is being emptied or removed");
		return RMQ_E_BUSY;
	}
	err = may_hold(b, c, text);
	if (err)
		return err;
	broker_move_end(b, c);
	c->move = memory_new(sizeof(*c->move));
	c->move->conn = c;
	c->move->owner = owner_hold(c->owner);
	c->owner->moves++;
	c->move->heard_ms = b->lease_now.ms;
	c->move->name_len = (uint8_t)m->queue.len;
	memcpy(c->move->name, m->queue.data, m->queue.len);
	memcpy(c->move->token, m->token.data, CELL_TOKEN_SIZE);
	TAILQ_INSERT_TAIL(&b->moving, c->move, link);
	b->moves++;
	hold_all(b, c->move, true, false);
	return RMQ_E_OK;
}

/* Whether this connection holds it, with this token. */
static bool holds(const struct conn *c, const struct wire_move_out *m)
{
	const struct move *is = c->move;
	return is && slice_eq(slice_of(is->name, is->name_len), m->queue) &&
	       slice_eq(slice_of(is->token, CELL_TOKEN_SIZE), m->token);
}

static enum rmq_error freeze(struct broker *b, struct move *m, char text[TEXT_MAX + 1])
{
	struct slice base = slice_of(m->name, m->name_len);
	struct unit u = unit_of(b, base, NO_TAGS);
	enum rmq_error err = may_bind_away(b, base, u.queue[0], text);
	if (err)
		return err;
	m->frozen = true;
	hold_all(b, m, true, true);
	bind_away(b, base, u.queue[0]);
	return RMQ_E_OK;
}

/* ---- gone ---- */

static bool is_other_cell(const struct broker *b, struct slice cell)
{
	return b->cells && name_valid_node(cell) && !slice_eq(cell, b->cell) &&
	       cells_find(b->cells, cell) != CELLS_NONE;
}

static enum rmq_error may_go(const struct broker *b, const struct conn *c,
    const struct wire_move_out *m, const struct unit *u)
{
	if (!holds(c, m) && !RMQ_VARIANT(GONE_BY_ANY))
		return RMQ_E_STALE;
	if (c->move && !c->move->frozen && !RMQ_VARIANT(GONE_UNFROZEN))
		return RMQ_E_STALE;
	if (!is_other_cell(b, m->cell))
		return RMQ_E_USAGE;
	for (int i = 0; i < UNIT; i++) {
		const struct queue *q = u->queue[i];
		if (q && !q->is_frozen && !RMQ_VARIANT(GONE_UNFROZEN))
			return RMQ_E_NOT_EMPTY;
		if (q && q->live[STATE_LEASED] > 0 && !RMQ_VARIANT(GONE_LEASED))
			return RMQ_E_NOT_EMPTY;
	}
	return RMQ_E_OK;
}

/* A place stays with who made it, so that nobody is rid of his by another one's moves.  o: who makes it if it is new. */
static void emit_placed(struct broker *b, enum place_state state, struct slice base,
    struct slice cell, struct slice token, const struct owner *o)
{
	uint8_t bytes[EVENT_MAKER_MAX];
	struct writer tags = writer_of(bytes, sizeof(bytes));
	const struct place *p = places_find(&b->places, base);
	broker_put_maker(&tags, p && p->maker && owner_known(p->maker) ? p->maker : o);
	broker_emit_placed(
	    b, &(struct event_placed){state, base, cell, token, slice_of(tags.p, tags.len)});
}

/* It has no name any more, and is emptied. */
static void leave(struct broker *b, const struct queue *q)
{
	broker_emit_leave(b, &(struct event_leave){q->id, NO_TAGS});
	broker_errand_later(
	    b, (struct errand){.kind = ERRAND_END, .queue = q->id, .at = UINT64_MAX});
}

/* Those who receive from it, wait for room in it, or for it to be so, are led to where it is. */
static void lead_all(struct broker *b, struct queue *q)
{
	struct subscription *sub;
	broker_end_waiting(b, q);
	broker_watch_left(b, q);
	while ((sub = TAILQ_FIRST(&q->subs))) {
		broker_lead(b, sub->conn, queue_name(q));
		ANSWER(b, sub->conn, sub_failed, sub->id, RMQ_E_ELSEWHERE,
		    slice_str(error_text(RMQ_E_ELSEWHERE)));
		broker_sub_free(b, sub);
	}
}

/* A queue that goes makes more room than its place takes, so a full disk does not keep it; but a name alone takes some. */
static bool has_room(const struct broker *b, const struct unit *u)
{
	return u->queue[0] || u->queue[1] || broker_room_left(b) >= MOVE_ROOM;
}

static enum rmq_error go(struct broker *b, struct conn *c, const struct wire_move_out *m)
{
	struct unit u = unit_of(b, m->queue, NO_TAGS);
	enum rmq_error err = may_go(b, c, m, &u);
	if (!err && !has_room(b, &u))
		err = RMQ_E_DISK_FULL;
	if (err)
		return err;
	broker_name_owner(b, c->session);
	broker_reserve(b, MOVE_ROOM);
	for (int i = 0; i < UNIT; i++)
		if (u.queue[i])
			leave(b, u.queue[i]);
	if (RMQ_VARIANT(GONE_APART))
		broker_end_record(b);
	emit_placed(b, PLACE_AWAY, m->queue, m->cell, m->token, c->owner);
	broker_taken(b, c, m->n);
	for (int i = 0; i < UNIT; i++)
		if (u.queue[i])
			lead_all(b, u.queue[i]);
	broker_move_end(b, c);
	return RMQ_E_OK;
}

/* Answers it, unless it is refused. */
static enum rmq_error follow(
    struct broker *b, struct conn *c, const struct wire_move_out *m, char text[TEXT_MAX + 1])
{
	const struct place *p = places_find(&b->places, m->queue);
	struct slice was;
	enum rmq_error err = may_write(b, c->owner, m->queue, text);
	if (err)
		return err;
	if (!is_other_cell(b, m->cell) || !tags_find(m->tags, MOVE_OUT_TAG_WAS, &was) ||
	    was.len != CELL_TOKEN_SIZE)
		return RMQ_E_USAGE;
	bool is_still = p && p->state == PLACE_AWAY &&
			(slice_eq(place_token(p), was) || RMQ_VARIANT(FOLLOW_ANY));
	broker_name_owner(b, c->session);
	broker_reserve(b, MOVE_ROOM);
	if (is_still)
		emit_placed(b, PLACE_AWAY, m->queue, m->cell, m->token, c->owner);
	broker_taken(b, c, m->n);
	return RMQ_E_OK;
}

void broker_find_left(struct broker *b)
{
	struct queue *q;
	RB_FOREACH (q, queue_id_tree, &b->queues_by_id)
		if (q->hidden == QUEUE_LEFT)
			broker_errand_later(
			    b, (struct errand){
				   .kind = ERRAND_END, .queue = q->id, .at = UINT64_MAX});
}

void broker_find_copies(struct broker *b)
{
	struct queue *q;
	RB_FOREACH (q, arriving_tree, &b->queues_arriving)
		places_add_copy(&b->places, cells_base(queue_name(q)),
		    slice_of(q->token, CELL_TOKEN_SIZE), b->places.number + 1, 0,
		    slice_of("", 0), owner_hold(q->maker));
}

/* Only base names move: what goes with them does so by itself. */
static bool is_base(struct slice name)
{
	return name_valid(name) && !name_is_ephemeral(name) && slice_eq(cells_base(name), name);
}

static const char *not_base(struct slice name)
{
	return name_is_ephemeral(name)
		   ? "the queue of an ephemeral subscription does not move"
		   : "a queue moves with its dead letters: it is named without .dead or .away";
}

void broker_move_out(struct broker *b, struct conn *c, const struct wire_move_out *m)
{
	char text[TEXT_MAX + 1] = "";
	enum rmq_error err = RMQ_E_OK;
	bool holds_it = m->step == MOVE_OUT_HOLD || m->step == MOVE_OUT_FREEZE;
	/* It was held by the connection before this one: the hold went with that. */
	if (m->n <= c->session->last && holds_it && !holds(c, m)) {
		broker_fail_command(b, c, m->n, RMQ_E_STALE);
		return;
	}
	if (!broker_take(b, c, m->n, m->answered))
		return;
	if (!is_base(m->queue) || m->token.len != CELL_TOKEN_SIZE) {
		broker_fail_text(b, c, m->n, RMQ_E_USAGE, not_base(m->queue));
		return;
	}
	switch ((enum move_out)m->step) {
	case MOVE_OUT_HOLD:
		err = hold(b, c, m, text);
		break;
	case MOVE_OUT_FREEZE:
		if (!holds(c, m))
			err = RMQ_E_STALE;
		else
			err = freeze(b, c->move, text);
		break;
	case MOVE_OUT_LET_GO:
		if (holds(c, m))
			broker_move_end(b, c);
		break;
	case MOVE_OUT_GONE:
		err = go(b, c, m);
		break;
	case MOVE_OUT_FOLLOW:
		err = follow(b, c, m, text);
		break;
	default:
		err = RMQ_E_VERSION;
	}
	if (err)
		broker_fail_text(b, c, m->n, err, text[0] ? text : error_text(err));
	else if (m->step != MOVE_OUT_GONE && m->step != MOVE_OUT_FOLLOW)
		broker_taken(b, c, m->n);
}

/* ---- copies ---- */

enum rmq_error broker_arriving_may(
    const struct broker *b, struct slice name, struct slice token)
{
	const struct place *p =
	    name_valid(name) ? places_find(&b->places, cells_base(name)) : NULL;
	bool is_one = p && place_copy(p, token);
	char dead[NAME_FULL_MAX + 8];
	if (!is_one)
		return RMQ_E_STALE;
	return slice_eq(name, place_name(p)) ||
		       slice_eq(name, unit_name(1, place_name(p), dead))
		   ? RMQ_E_OK
		   : RMQ_E_USAGE;
}

struct queue *broker_arriving_make(
    struct broker *b, struct slice name, struct slice token, const struct owner *maker)
{
	return broker_queue_make_of(b, name, token, &broker_default_settings, maker);
}

struct copy_row broker_copy_row(const struct broker *b, const struct copy *c)
{
	struct unit u = unit_of(b, place_name(c->of), slice_of(c->token, CELL_TOKEN_SIZE));
	struct copy_row row = {.since_ms = c->since_ms};
	for (int i = 0; i < UNIT; i++) {
		row.messages += u.queue[i] ? queue_total(u.queue[i]) : 0;
		row.bytes += u.queue[i] ? u.queue[i]->bytes + u.queue[i]->unfinished_bytes : 0;
	}
	return row;
}

static void drop_copy(struct broker *b, struct slice base, struct slice token)
{
	uint8_t is[CELL_TOKEN_SIZE];
	memcpy(is, token.data, sizeof(is));
	token = slice_of(is, sizeof(is));
	struct unit u = unit_of(b, base, token);
	broker_reserve(b, MOVE_ROOM);
	broker_emit_copy_gone(b, &(struct event_copy_gone){base, token, NO_TAGS});
	for (int i = 0; i < UNIT; i++)
		if (u.queue[i])
			leave(b, u.queue[i]);
}

/*
 * Those that came from a cell, once nobody can open them any more.  A queue that was made in two cells, with lists of
 * cells that contradict each other, may be moved here from both: of what the other one has let go its
 * copy is all that there is.
 */
static void drop_copies(struct broker *b, struct slice base, struct slice from)
{
	char cell[RAFT_NAME_MAX];
	const struct place *p = places_find(&b->places, base);
	const struct copy *c, *next;
	if (from.len > 0)
		memcpy(cell, from.data, from.len);
	from = slice_of(cell, from.len);
	for (c = p ? TAILQ_FIRST(&p->copies) : NULL; c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (slice_eq(copy_from(c), from) || RMQ_VARIANT(OPEN_DROPS) ||
		    RMQ_VARIANT(BEGIN_DROPS))
			drop_copy(b, base, slice_of(c->token, CELL_TOKEN_SIZE));
	}
}

#define COPIES_SHOWN "rmq-queue cells --copies shows them, and drop-copy drops one"

/* What keeps one copy more from being begun, of the queue with that place; RMQ_E_OK: nothing. */
static enum rmq_error may_begin(const struct broker *b, const struct owner *o,
    const struct place *p, char text[TEXT_MAX + 1])
{
	char title[OWNER_TITLE_SIZE];
	if (p && p->copies_count >= COPIES_OF_QUEUE)
		snprintf(text, TEXT_MAX + 1,
		    "%u copies of the queue have begun, and no more may: " COPIES_SHOWN,
		    COPIES_OF_QUEUE);
	else if (b->places.copies >= COPIES_MAX)
		snprintf(text, TEXT_MAX + 1, "%u copies arrive, and no more may: " COPIES_SHOWN,
		    COPIES_MAX);
	else if (owner_known(o) && o->copies >= COPIES_OF_ONE)
		snprintf(text, TEXT_MAX + 1,
		    "%s has begun %u copies, as many as one %s may of %u in all: " COPIES_SHOWN,
		    owner_title(o, title), o->copies, owner_kind(o), COPIES_MAX);
	else
		return broker_room_left(b) < MOVE_ROOM ? RMQ_E_DISK_FULL : RMQ_E_OK;
	return RMQ_E_LIMIT;
}

static enum rmq_error begin(struct broker *b, const struct conn *c,
    const struct wire_move_in *m, char text[TEXT_MAX + 1])
{
	uint8_t bytes[EVENT_MAKER_MAX + COPY_FROM_SIZE];
	struct writer tags = writer_of(bytes, sizeof(bytes));
	struct slice from = slice_of("", 0);
	const struct place *p = places_find(&b->places, m->queue);
	struct unit u = unit_of(b, m->queue, NO_TAGS);
	enum rmq_error err = may_write(b, c->owner, m->queue, text);
	if (err || (p && place_copy(p, m->token)))
		return err;
	if (u.queue[0] || u.queue[1]) {
		snprintf(text, TEXT_MAX + 1, "there is such a queue in this cell, too");
		return RMQ_E_EXISTS;
	}
	if (tags_find(m->tags, MOVE_IN_TAG_FROM, &from) && from.len > 0 &&
	    !name_valid_node(from))
		return RMQ_E_USAGE;
	if (RMQ_VARIANT(BEGIN_DROPS))
		drop_copies(b, m->queue, from);
	err = may_begin(b, c->owner, p, text);
	if (err)
		return err;
	broker_put_maker(&tags, c->owner);
	if (from.len > 0)
		tags_put(&tags, COPY_TAG_FROM, from);
	broker_reserve(b, MOVE_ROOM);
	broker_emit_copy(b, &(struct event_copy){m->queue, m->token, b->places.number + 1,
				slice_of(tags.p, tags.len)});
	return RMQ_E_OK;
}

/* Known-bad: what the hash says is not said again. */
static enum place_state here(const struct broker *b, struct slice base)
{
	uint32_t home = b->cells ? cells_home(b->cells, base) : CELLS_NONE;
	bool at_home = home != CELLS_NONE && slice_eq(cells_name(b->cells, home), b->cell);
	return at_home && RMQ_VARIANT(HERE_TIDIED) ? PLACE_NONE : PLACE_HERE;
}

/*
 * The copy with that token is the queue.  n: of the command of c, if it is one.  No room is asked for: its place takes no
 * more than the copy's, what is bound to it was bound before, and until it is open nobody can make any in it.
 * Its place is that of who began the copy: who opens it may be any client that was led here.
 */
static enum rmq_error open_copy(
    struct broker *b, struct slice base, const struct copy *copy, struct conn *c, uint64_t n)
{
	const struct copy is_now = *copy; /* which ends */
	struct slice token = slice_of(is_now.token, sizeof(is_now.token));
	struct unit u = unit_of(b, base, token);
	struct unit is = unit_of(b, base, NO_TAGS);
	struct queue *away = away_of(b, base);
	if (is.queue[0] || is.queue[1])
		return RMQ_E_EXISTS;
	if (u.queue[0] && away)
		bind_as(b, away, u.queue[0]);
	if (c)
		broker_name_owner(b, c->session);
	broker_reserve(b, MOVE_ROOM);
	emit_placed(b, here(b, base), base, slice_of("", 0), slice_of("", 0), is_now.maker);
	broker_emit_copy_gone(b, &(struct event_copy_gone){base, token, NO_TAGS});
	for (int i = 0; i < UNIT; i++)
		if (u.queue[i])
			broker_emit_open(b, &(struct event_open){u.queue[i]->id, NO_TAGS});
	if (c)
		broker_taken(b, c, n);
	if (u.queue[0] && away)
		broker_unbind_all(b, away);
	drop_copies(b, base, copy_from(&is_now));
	return RMQ_E_OK;
}

/* The copy that the token opens; NULL: none. */
static const struct copy *copy_of(const struct broker *b, struct slice base, struct slice token)
{
	const struct place *p = places_find(&b->places, base);
	const struct copy *c = p && token.len == CELL_TOKEN_SIZE ? place_copy(p, token) : NULL;
	if (!c && p && RMQ_VARIANT(OPEN_ANY))
		return TAILQ_FIRST(&p->copies);
	return c;
}

/* It has been here before anybody told of places: from now on that is so whatever its home. */
static enum rmq_error stay(
    struct broker *b, struct conn *c, const struct wire_move_in *m, char text[TEXT_MAX + 1])
{
	enum rmq_error err = may_write(b, c->owner, m->queue, text);
	if (err)
		return err;
	broker_name_owner(b, c->session);
	broker_reserve(b, MOVE_ROOM);
	emit_placed(b, PLACE_HERE, m->queue, slice_of("", 0), slice_of("", 0), c->owner);
	broker_taken(b, c, m->n);
	return RMQ_E_OK;
}

/* Whether its place is what OPEN is to find. */
static bool is_as_read(const struct place *p, const struct wire_move_in *m)
{
	struct slice was;
	if (!tags_find(m->tags, MOVE_IN_TAG_WAS, &was) || was.len == 0)
		return true;
	return p && p->state == PLACE_AWAY &&
	       (slice_eq(place_token(p), was) || RMQ_VARIANT(OPEN_CHANGED));
}

/* Who has not asked all cells does not know whether it lives in another one, too. */
static bool may_stay(const struct wire_move_in *m)
{
	struct slice was;
	return tags_find(m->tags, MOVE_IN_TAG_WAS, &was) && was.len == 0;
}

static enum rmq_error open_it(
    struct broker *b, struct conn *c, const struct wire_move_in *m, char text[TEXT_MAX + 1])
{
	const struct place *p = places_find(&b->places, m->queue);
	const struct copy *copy = copy_of(b, m->queue, m->token);
	struct unit is = unit_of(b, m->queue, NO_TAGS);
	if (!is_as_read(p, m))
		return RMQ_E_STALE;
	/* Who was told of it has opened it. */
	if (!copy && p && p->state == PLACE_HERE) {
		broker_taken(b, c, m->n);
		return RMQ_E_OK;
	}
	if (!copy && p && p->state == PLACE_AWAY) {
		broker_lead(b, c, m->queue);
		return RMQ_E_ELSEWHERE;
	}
	if (!copy)
		return may_stay(m) && (is.queue[0] || is.queue[1]) ? stay(b, c, m, text)
								   : RMQ_E_STALE;
	return open_copy(b, m->queue, copy, c, m->n);
}

/* Only if it came from the cell that the mover says, if it does: not what it has no promise of. */
static bool may_drop(const struct copy *copy, const struct wire_move_in *m)
{
	struct slice from;
	if (RMQ_VARIANT(OPEN_KEEPS))
		return false;
	return !tags_find(m->tags, MOVE_IN_TAG_FROM, &from) ||
	       slice_eq(copy_from(copy), from) || RMQ_VARIANT(DROP_ANY);
}

void broker_move_in(struct broker *b, struct conn *c, const struct wire_move_in *m)
{
	char text[TEXT_MAX + 1] = "";
	enum rmq_error err = RMQ_E_OK;
	if (!broker_take(b, c, m->n, m->answered))
		return;
	if (!is_base(m->queue) || m->token.len != CELL_TOKEN_SIZE) {
		broker_fail_text(b, c, m->n, RMQ_E_USAGE, not_base(m->queue));
		return;
	}
	const struct copy *copy = copy_of(b, m->queue, m->token);
	switch ((enum move_in)m->step) {
	case MOVE_IN_BEGIN:
		err = begin(b, c, m, text);
		break;
	case MOVE_IN_DROP:
		if (copy && may_drop(copy, m))
			drop_copy(b, m->queue, slice_of(copy->token, CELL_TOKEN_SIZE));
		break;
	case MOVE_IN_OPEN:
		err = open_it(b, c, m, text);
		break;
	default:
		err = RMQ_E_VERSION;
	}
	if (err)
		broker_fail_text(b, c, m->n, err, text[0] ? text : error_text(err));
	else if (m->step != MOVE_IN_OPEN)
		broker_taken(b, c, m->n);
}

void broker_came(struct broker *b, struct conn *c, const struct wire_came *m)
{
	struct slice base = name_valid(m->queue) ? cells_base(m->queue) : m->queue;
	const struct copy *copy = copy_of(b, base, m->token);
	(void)c;
	/* If there is such a queue, its requests are answered from that. */
	if (copy)
		(void)open_copy(b, base, copy, NULL, 0);
}
