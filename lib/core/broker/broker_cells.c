/*
 * Cells: which queues live here.  A frame that names a queue of another cell is not acted upon: its client is
 * led there.  What comes to such a queue besides, as a further target, is stored in a queue of this cell, for
 * the forwarder.
 *
 * A queue lives here if its place says so; or if there is no place of its base name and it is at home
 * here, exists here (a list of cells that changed moves nothing), or nobody has told of cells.
 */
#include "core/broker/broker_state.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/base/name.h"
#include "core/base/variant.h"

void broker_cells(struct broker *b, const struct cells *list, struct slice self)
{
	b->cells = list;
	b->cell = self;
}

/* ---- where a queue lives ---- */

/* A queue of this cell itself, wherever its base is: for other cells, or its dead letters. */
static bool is_of_cell(struct slice name)
{
	if (name_is_dead(name))
		name.len -= strlen(NAME_DEAD_SUFFIX);
	return cells_is_away(name) || name_is_ephemeral(name);
}

static struct queue *dead_of(const struct broker *b, struct slice base)
{
	char name[NAME_FULL_MAX + 8];
	int len = snprintf(name, sizeof(name), "%.*s%s", (int)base.len, (const char *)base.data,
	    NAME_DEAD_SUFFIX);
	return broker_queue_named(b, slice_of(name, (size_t)len));
}

/* Whether any of the queues that have the base name is here. */
static bool exists(const struct broker *b, struct slice base)
{
	return broker_queue_named(b, base) || dead_of(b, base);
}

struct whereabouts broker_where(const struct broker *b, struct slice name)
{
	struct whereabouts w = {.here = true};
	if ((!b->cells && b->places.count == 0) || !name_valid(name) || is_of_cell(name))
		return w;
	struct slice base = cells_base(name);
	const struct place *p = places_find(&b->places, base);
	if (p && p->state == PLACE_AWAY) {
		w = (struct whereabouts){.cell = place_cell(p), .token = place_token(p)};
		return w;
	}
	if (exists(b, base))
		return w;
	uint32_t home = b->cells && !(p && p->state == PLACE_HERE) ? cells_home(b->cells, base)
								   : CELLS_NONE;
	if (home != CELLS_NONE && !slice_eq(cells_name(b->cells, home), b->cell)) {
		w.here = false;
		w.cell = cells_name(b->cells, home);
		return w;
	}
	/* What is to live here anyway is not waited for. */
	w.comes = p && p->state != PLACE_HERE && p->copies_count > 0 &&
		  !RMQ_VARIANT(MADE_BESIDE_COPY);
	return w;
}

uint32_t broker_strays(const struct broker *b, struct slice *one)
{
	const struct queue *q = broker_queue_from(b, slice_of("", 0), slice_of("", 0));
	uint32_t strays = 0;
	for (; b->cells && q; q = broker_queue_from(b, queue_name(q), slice_of("", 0))) {
		struct slice name = queue_name(q), base = cells_base(name);
		uint32_t home = is_of_cell(name) ? CELLS_NONE : cells_home(b->cells, base);
		if (home == CELLS_NONE || slice_eq(cells_name(b->cells, home), b->cell) ||
		    places_find(&b->places, base))
			continue;
		/* Of a name and its dead letters one counts. */
		if (!slice_eq(name, base) && broker_queue_named(b, base))
			continue;
		*one = strays++ == 0 ? base : *one;
	}
	return strays;
}

struct slice broker_target(const struct broker *b, struct slice name, char away[AWAY_NAME_MAX])
{
	struct whereabouts w = broker_where(b, name);
	if ((w.here && !w.comes) || RMQ_VARIANT(FURTHER_HERE))
		return name;
	return cells_away_name(name, away);
}

struct queue_settings broker_settings_for(struct slice name)
{
	struct queue_settings s = broker_default_settings;
	/* A name that long has no room for that of its dead letters. */
	if (cells_is_away(name) && name.len + strlen(NAME_DEAD_SUFFIX) > NAME_FULL_MAX)
		s.dead_letter[0] = '-';
	return s;
}

bool broker_hears(const struct broker *b, const struct queue *q)
{
	if (q->hidden)
		return false;
	return !q->is_away || !broker_queue_named(b, cells_away_for(queue_name(q))) ||
	       RMQ_VARIANT(AWAY_BOUND_STILL);
}

/* ---- addresses ---- */

/* Whether a client of this connection may be sent to that address: it runs nothing, and is in its reach. */
static bool may_reach(const struct conn *c, struct slice address)
{
	if (address.len >= 5 && memcmp(address.data, "exec:", 5) == 0)
		return false;
	return !c->is_far || address.len < 5 || memcmp(address.data, "unix:", 5) != 0;
}

/* Of these addresses those that the client may be told. */
static void put_servers(struct writer *w, const struct conn *c, struct slice servers)
{
	bool any = false;
	while (servers.len > 0) {
		const uint8_t *end = memchr(servers.data, ',', servers.len);
		size_t len = end ? (size_t)(end - servers.data) : servers.len;
		struct slice one = slice_of(servers.data, len);
		if (one.len > 0 && may_reach(c, one)) {
			if (any)
				put_u8(w, ',');
			put_rest(w, one);
			any = true;
		}
		len += end != NULL;
		servers = slice_of(servers.data + len, servers.len - len);
	}
}

/* ---- clients are led ---- */

static void tell_moved(
    struct broker *b, struct conn *c, struct slice queue, const struct whereabouts *w)
{
	uint32_t at = b->cells ? cells_find(b->cells, w->cell) : CELLS_NONE;
	size_t cap = FRAME_SMALL + NAME_FULL_MAX + CELL_SERVERS_MAX;
	uint8_t *bytes = memory_new(3 * cap);
	struct writer servers = writer_of(bytes, cap), tags = writer_of(bytes + cap, cap),
		      frame = writer_of(bytes + 2 * cap, cap);
	if (at != CELLS_NONE)
		put_servers(&servers, c, b->cells->cells[at].servers);
	if (servers.len > 0)
		tags_put(&tags, MOVED_TAG_SERVERS, slice_of(servers.p, servers.len));
	wire_put_moved(
	    &frame, &(struct wire_moved){queue, w->cell, w->token, slice_of(tags.p, tags.len)});
	broker_send(b, c->id, &frame);
	free(bytes);
}

void broker_lead(struct broker *b, struct conn *c, struct slice queue)
{
	struct whereabouts w = broker_where(b, queue);
	if (!w.here && (c->features & WIRE_FEATURE_CELLS))
		tell_moved(b, c, queue, &w);
}

/* ---- frames ---- */

enum {
	OF_NUMBERED = 1,
	OF_ROWS = 2,	  /* answered by rows, not by a refusal of its own */
	OF_TAKES_OUT = 4, /* takes messages out of the queue */
	OF_CHANGES = 8	  /* changes what goes with it */
};

/* Frames that are about one queue. */
/* clang-format off */
#define GUARDED(X) \
	X(SEND,         send,         OF_NUMBERED) \
	X(SETTLE,       settle,       OF_NUMBERED) \
	X(SETTLE_SEND,  settle_send,  OF_NUMBERED) \
	X(SUBSCRIBE,    subscribe,    0) \
	X(QUEUE_CREATE, queue_create, OF_NUMBERED) \
	X(QUEUE_SET,    queue_set,    OF_NUMBERED | OF_CHANGES) \
	X(QUEUE_REMOVE, queue_remove, OF_NUMBERED | OF_TAKES_OUT) \
	X(QUEUE_PURGE,  queue_purge,  OF_NUMBERED | OF_TAKES_OUT) \
	X(CANCEL,       cancel,       OF_NUMBERED | OF_TAKES_OUT) \
	X(BIND,         bind,         OF_NUMBERED | OF_CHANGES) \
	X(UNBIND,       unbind,       OF_NUMBERED | OF_CHANGES) \
	X(MOVE_OUT,     move_out,     OF_NUMBERED) \
	X(TRANSFER,     transfer,     OF_ROWS | OF_TAKES_OUT) \
	X(BINDINGS,     bindings,     OF_ROWS) \
	X(PEEK,         peek,         OF_ROWS) \
	X(WATCH,        watch,        OF_ROWS) \
	X(BURIED,       buried,       OF_ROWS) \
	X(POSITION,     position,     OF_ROWS) \
	X(HISTORY,      history,      OF_ROWS) \
	X(EXPORT,       export,       OF_ROWS)
/* clang-format on */

struct guarded {
	uint8_t type;
	uint8_t of;
	uint8_t at; /* of the queue's name, in the frame's struct */
};

static const struct guarded guarded[] = {
#define X(NAME, name, of) {WIRE_TYPE_##NAME, of, offsetof(struct wire_##name, queue)},
    GUARDED(X)
#undef X
};

/*
 * A topic, or the pattern of a subscription, is no queue; copies are wherever they are; and where a queue has gone on to
 * is told to a cell that it has left.
 */
static bool is_exempt(unsigned type, const void *m)
{
	if (type == WIRE_TYPE_SEND)
		return ((const struct wire_send *)m)->flags & SEND_TOPIC;
	if (type == WIRE_TYPE_EXPORT)
		return ((const struct wire_export *)m)->what == WITH_COPY;
	if (type == WIRE_TYPE_MOVE_OUT)
		return ((const struct wire_move_out *)m)->step == MOVE_OUT_FOLLOW;
	return type == WIRE_TYPE_SUBSCRIBE &&
	       ((const struct wire_subscribe *)m)->flags & SUBSCRIBE_EPHEMERAL;
}

/*
 * What is done although a copy comes, as it makes nothing: what is to be settled is not there; and that nobody holds the name
 * is asked by who drops a copy (dropper.h).  No more is done with what is held so.
 */
static bool beside_copy(unsigned type, const void *m)
{
	uint8_t step = type == WIRE_TYPE_MOVE_OUT ? ((const struct wire_move_out *)m)->step : 0;
	return type == WIRE_TYPE_SETTLE || step == MOVE_OUT_HOLD || step == MOVE_OUT_LET_GO;
}

static const struct guarded *guard_of(unsigned type)
{
	for (size_t i = 0; i < sizeof(guarded) / sizeof(guarded[0]); i++)
		if (guarded[i].type == type)
			return &guarded[i];
	return NULL;
}

/* Pieces after one that was refused: nothing more is said of them. */
static bool is_passed_over(const struct conn *c, unsigned type, const void *m)
{
	const struct wire_send *s = m;
	return type == WIRE_TYPE_SEND && s->part > 0 && c->refused == s->n;
}

/* Why what is here may not be done while the queue moves; RMQ_E_OK: it may. */
static enum rmq_error may_while_held(
    const struct broker *b, const struct guarded *g, struct slice name, const char **text)
{
	const struct queue *q = broker_queue_named(b, name);
	if (!q || !q->is_held)
		return RMQ_E_OK;
	if (!((g->of & OF_TAKES_OUT) && !RMQ_VARIANT(HELD_LOSES)) &&
	    !((g->of & OF_CHANGES) && q->is_frozen))
		return RMQ_E_OK;
	*text = "queue moves to another cell: try again in a moment";
	return RMQ_E_BUSY;
}

bool broker_is_here(struct broker *b, struct conn *c, const struct frame *f, const void *m,
    enum rmq_error *code, const char **text)
{
	if (!b->cells && b->places.count == 0 && b->moves == 0)
		return true;
	const struct guarded *g = guard_of(f->type);
	if (!g || is_exempt(f->type, m))
		return true;
	struct slice name = *(const struct slice *)((const uint8_t *)m + g->at);
	/* One that was taken is answered as it was: elsewhere it would be done again. */
	if ((g->of & OF_NUMBERED) && load_u64(f->payload.data) <= c->session->last &&
	    !RMQ_VARIANT(GUARD_FIRST))
		return true;
	struct whereabouts w = broker_where(b, name);
	*code = RMQ_E_ELSEWHERE;
	*text = error_text(RMQ_E_ELSEWHERE);
	if (w.here && w.comes && !beside_copy(f->type, m)) {
		*code = RMQ_E_PAUSED;
		*text = "a copy of the queue comes from another cell: rmq-queue cells --copies";
		return false;
	}
	if (w.here) {
		*code = may_while_held(b, g, name, text);
		return *code == RMQ_E_OK;
	}
	if (c->features & WIRE_FEATURE_CELLS && !is_passed_over(c, f->type, m)) {
		tell_moved(b, c, name, &w);
		if (g->of & OF_ROWS)
			*code = RMQ_E_NOTHING;
	}
	return false;
}

void broker_refuse_rows(struct broker *b, struct conn *c, const struct frame *f,
    enum rmq_error code, const char *text)
{
	uint32_t req = load_u32(f->payload.data);
	struct slice none = slice_of("", 0);
	uint8_t is = (uint8_t)code;
	switch (f->type) {
	case WIRE_TYPE_TRANSFER:
		ANSWER(b, c, transferred, req, is, 0, 0, false, 0, slice_str(text));
		break;
	case WIRE_TYPE_BINDINGS:
		ANSWER(b, c, bindings_end, req, is, false, none, none, NO_TAGS);
		break;
	case WIRE_TYPE_PEEK:
		ANSWER(b, c, peek_end, req, is, false, 0);
		break;
	case WIRE_TYPE_WATCH:
		ANSWER(b, c, watched, req, is, 0);
		break;
	case WIRE_TYPE_HISTORY:
		ANSWER(b, c, history_is, req, is, none, NO_TAGS, none);
		break;
	case WIRE_TYPE_EXPORT:
		ANSWER(b, c, exported, req, f->payload.data[4], is, false, 0, NO_TAGS, none);
		break;
	default:
		broker_refuse(b, c, code, text);
		break;
	}
}

/* ---- what is known of cells ---- */

/* How many copies arrive of queues that the connection may know of, and their bytes. */
static void put_copies(struct broker *b, const struct conn *conn, struct writer *tags)
{
	uint64_t copies = 0, bytes = 0;
	const struct copy *c;
	TAILQ_FOREACH (c, &b->places.all, of_all) {
		broker_works(b, 1 + broker_rights_steps(conn));
		if (!broker_may_see(conn, place_name(c->of)))
			continue;
		copies++;
		bytes += broker_copy_row(b, c).bytes;
	}
	tags_put_u64(tags, CELLS_ARE_TAG_COPIES, copies);
	tags_put_u64(tags, CELLS_ARE_TAG_COPY_BYTES, bytes);
}

void broker_tell_cells(struct broker *b, struct conn *c, const struct wire_cells *m)
{
	const struct cells *list = b->cells;
	size_t cap = FRAME_SMALL;
	for (uint32_t i = 0; list && i < list->count; i++)
		cap += RAFT_NAME_MAX + 4 + list->cells[i].servers.len;
	uint8_t *bytes = memory_new(2 * cap);
	struct writer text = writer_of(bytes, cap), w = writer_of(bytes + cap, cap);
	uint8_t numbers[2 * TAG_U64_SIZE];
	struct writer tags = writer_of(numbers, sizeof(numbers));
	put_copies(b, c, &tags);
	for (uint32_t i = 0; list && i < list->count; i++) {
		if (i > 0)
			put_u8(&text, ';');
		put_rest(&text, cells_name(list, i));
		put_rest(&text, slice_str(list->cells[i].hashes ? "=" : "+="));
		size_t begin = text.len;
		put_servers(&text, c, list->cells[i].servers);
		/* It is one of the list, wherever: homes are the same for all. */
		if (text.len == begin)
			put_u8(&text, '-');
		broker_works(b, 1);
	}
	wire_put_cells_are(
	    &w, &(struct wire_cells_are){m->req, b->cells ? b->cell : slice_of("", 0),
		    slice_of(tags.p, tags.len), slice_of(text.p, text.len)});
	broker_send(b, c->id, &w);
	free(bytes);
}

static_assert(FRAME_HEADER_SIZE + 4 + 1 + 1 + NAME_FULL_MAX + 1 + RAFT_NAME_MAX + 2 + 4 +
		      COPIES_OF_QUEUE_MAX * COPY_ROW_SIZE <=
		  FRAME_SMALL,
    "a row with all copies that there may be");

static void tell_place(
    struct broker *b, struct conn *c, const struct wire_places *m, const struct place *p)
{
	uint8_t bytes[COPIES_OF_QUEUE_MAX * COPY_ROW_SIZE], list[4 + sizeof(bytes)];
	struct writer rows = writer_of(bytes, sizeof(bytes)),
		      tags = writer_of(list, sizeof(list));
	const struct copy *copy;
	TAILQ_FOREACH (copy, &p->copies, link) {
		struct copy_row row = broker_copy_row(b, copy);
		copy_row_encode(&rows, &row);
	}
	if (rows.len > 0)
		tags_put(&tags, PLACE_IS_TAG_COPIES, slice_of(rows.p, rows.len));
	broker_works(b, p->copies_count);
	ANSWER(b, c, place_is, m->req, p->state, place_name(p), place_cell(p),
	    slice_of(tags.p, tags.len));
}

void broker_places(struct broker *b, struct conn *c, const struct wire_places *m)
{
	struct slice after = broker_place_of(c, m->after);
	struct place *p = places_after(&b->places, after);
	uint32_t rows = m->limit < LIST_ROWS_MAX ? m->limit : LIST_ROWS_MAX;
	uint64_t each = 1 + broker_rights_steps(c), steps = 0;
	for (; p && rows > 0 && (steps == 0 || steps + each <= LIST_WORK); p = places_next(p)) {
		steps += each;
		after = place_name(p);
		if (!broker_may_see(c, after))
			continue;
		rows--;
		tell_place(b, c, m, p);
	}
	broker_works(b, steps);
	ANSWER(b, c, places_end, m->req, p != NULL, broker_place_tell(c, after), NO_TAGS);
}
