#include "core/client/mover.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/units.h"
#include "core/base/variant.h"

#define UNITS	       2	  /* the queue, and its dead letters */
#define PAGE_FIRST     16	  /* messages in the first page */
#define PAGE_BYTES     (4u << 20) /* a page is made smaller if it was larger */
#define AHEAD_BYTES    (4u << 20) /* that Y has not confirmed, before X is asked for more */
#define AHEAD_COMMANDS 64
#define STATE_BYTES    32768u /* of one EXPORT */
#define LEFT_MAX       64     /* copies that earlier movers have left */
#define LOOK_MS	       50     /* from one look at the leases to the next; it doubles */
#define LOOK_MS_MAX    1000

enum step {
	ENDED,
	FINDS, /* the token of a copy that was left */
	HOLDS,
	OTHER, /* another mover holds it: it is asked again */
	DROPS, /* what was left */
	BEGINS,
	LOOKS, /* how many are leased */
	LEASES,
	BINDS,	/* what is for it at Y is bound as it is at X */
	TAKES,	/* what goes with a unit, `stage` */
	COPIES, /* its messages */
	CONFIRMS,
	FREEZES,
	LETS_GO,
	OPENS,
	ASKS_WAY, /* of the cell whose way is made shorter */
	IS_THERE, /* whether it lives in Y */
	SHORTENS,
	UNDOES
};

/* What is asked for of each unit, in turn: first without what only a frozen queue has. */
enum { STAGE_MESSAGES = 0 };
static const uint8_t stages[] = {
    WITH_SETTINGS, STAGE_MESSAGES, WITH_IDS, WITH_POSITIONS, WITH_COUNTS};
#define STAGES_BEFORE 2
#define STAGES	      (sizeof(stages) / sizeof(stages[0]))

struct side {
	struct mover *mover;
	struct client *client;
};

struct mover {
	struct side sides[2];
	char base[NAME_FULL_MAX];
	size_t base_len;
	char unit_name[NAME_FULL_MAX];
	char to[RAFT_NAME_MAX + 1];
	uint64_t timeout_ms;
	uint8_t token[CELL_TOKEN_SIZE];
	uint8_t left[LEFT_MAX * CELL_TOKEN_SIZE]; /* tokens of copies that were left */
	size_t left_len;

	enum step step;
	struct mono_time now;
	bool asking;		  /* a numbered command of `step` is not answered */
	uint32_t req;		  /* nor is this request; 0: there is none */
	const struct side *asked; /* … of this side */
	bool begun, held;
	bool frozen; /* this is the pass after FREEZE */
	unsigned unit, stage;
	uint64_t next[UNITS]; /* messages before that are copied */
	uint64_t from;	      /* of an EXPORT */
	bool more;	      /* the answer was not all */
	bool absent;	      /* there is no such queue */
	uint32_t page;
	size_t page_bytes;
	size_t ahead; /* bytes that Y has not confirmed */

	uint64_t leased, least; /* so far */
	uint64_t copied;
	struct mono_time progress, look_at;
	uint64_t look_ms;

	enum mover_state outcome; /* once it has ended */
	enum mover_gone gone;
	enum rmq_error code;
	enum mover_side failed;
	char why[TEXT_MAX + 1];
	bool moved; /* X has said where it is: */
	char cell[UINT8_MAX];
	size_t cell_len;
	uint8_t moved_token[CELL_TOKEN_SIZE];
	bool has_moved_token;
	bool shortened;
	char servers[CELL_SERVERS_MAX];
	size_t servers_len;
	uint8_t batch[BATCH_MAX];
};

static struct client *x_of(const struct mover *m)
{
	return m->sides[MOVER_X].client;
}

static struct client *y_of(const struct mover *m)
{
	return m->sides[MOVER_Y].client;
}

static struct slice token_of(const struct mover *m)
{
	return slice_of(m->token, sizeof(m->token));
}

static struct slice base_of(const struct mover *m)
{
	return slice_of(m->base, m->base_len);
}

/* The queue, or that of its dead letters. */
static struct slice unit_of(struct mover *m)
{
	size_t len = m->base_len;
	memcpy(m->unit_name, m->base, len);
	if (m->unit > 0) {
		memcpy(m->unit_name + len, NAME_DEAD_SUFFIX, strlen(NAME_DEAD_SUFFIX));
		len += strlen(NAME_DEAD_SUFFIX);
	}
	return slice_of(m->unit_name, len);
}

/* ---- asking ---- */

static void move_in_tagged(
    struct mover *m, enum move_in step, const uint8_t *token, struct slice tags)
{
	client_move_in(y_of(m), m->now,
	    &(struct wire_move_in){
		0, 0, (uint8_t)step, base_of(m), slice_of(token, CELL_TOKEN_SIZE), tags},
	    (void *)(uintptr_t)m->step);
	m->asking = true;
}

static void move_in(struct mover *m, enum move_in step, const uint8_t *token)
{
	move_in_tagged(m, step, token, NO_TAGS);
}

/* Of a copy from X, and no other cell. */
static void move_in_from(struct mover *m, enum move_in step, const uint8_t *token)
{
	uint8_t bytes[4 + RAFT_NAME_MAX];
	struct writer tags = writer_of(bytes, sizeof(bytes));
	tags_put(&tags, MOVE_IN_TAG_FROM, client_cell(x_of(m)));
	move_in_tagged(m, step, token, slice_of(tags.p, tags.len));
}

static void move_out_tagged(struct mover *m, enum move_out step, struct slice tags)
{
	client_move_out(x_of(m), m->now,
	    &(struct wire_move_out){
		0, 0, (uint8_t)step, base_of(m), slice_str(m->to), token_of(m), tags},
	    (void *)(uintptr_t)m->step);
	m->asking = true;
}

static void move_out(struct mover *m, enum move_out step)
{
	move_out_tagged(m, step, NO_TAGS);
}

static void move_out_follow(struct mover *m)
{
	uint8_t bytes[4 + CELL_TOKEN_SIZE];
	struct writer tags = writer_of(bytes, sizeof(bytes));
	tags_put(&tags, MOVE_OUT_TAG_WAS, slice_of(m->moved_token, sizeof(m->moved_token)));
	move_out_tagged(m, MOVE_OUT_FOLLOW, slice_of(tags.p, tags.len));
}

static void export_of(struct mover *m, enum mover_side side, uint8_t what)
{
	m->asked = &m->sides[side];
	m->req =
	    client_export(m->asked->client, m->now, unit_of(m), what, m->from, STATE_BYTES);
}

static void bindings(struct mover *m)
{
	m->asked = &m->sides[MOVER_X];
	m->req = client_bindings(x_of(m), m->now, base_of(m));
}

static void look(struct mover *m)
{
	m->asked = &m->sides[MOVER_X];
	m->req = client_list(x_of(m), m->now, slice_of("", 0), unit_of(m), 1);
}

/* ---- the end ---- */

/*
 * What was begun is undone, where it can be: X hands out again, and Y drops the copy.  Never once X may have
 * let go: then the copy is the queue.
 */
static void undo(struct mover *m, enum mover_state outcome)
{
	m->outcome = outcome;
	m->step = UNDOES;
	m->req = 0;
	if (m->gone != MOVER_STAYS)
		return;
	if (m->held && !client_dead(x_of(m)))
		move_out(m, MOVE_OUT_LET_GO);
	if (m->begun && !client_dead(y_of(m)))
		move_in(m, MOVE_IN_DROP, m->token);
}

static void end(struct mover *m, enum mover_state outcome)
{
	m->step = ENDED;
	m->outcome = outcome;
}

static bool quiet(const struct client *c)
{
	return client_dead(c) || client_unanswered(c) == 0;
}

static void note(struct mover *m, const struct side *s, enum rmq_error code, struct slice text)
{
	m->code = code;
	m->failed = s == &m->sides[MOVER_X] ? MOVER_X : MOVER_Y;
	snprintf(m->why, sizeof(m->why), "%.*s", (int)text.len, (const char *)text.data);
}

static void fail(struct mover *m, const struct side *s, enum rmq_error code, struct slice text)
{
	if (m->step == ENDED || m->step == UNDOES)
		return;
	note(m, s, code, text);
	undo(m, MOVER_FAILED);
}

/* ---- answers ---- */

static uint64_t longer(uint64_t look_ms)
{
	return look_ms * 2 < LOOK_MS_MAX ? look_ms * 2 : LOOK_MS_MAX;
}

static void on_done(void *arg, const struct client_command *cmd, struct slice stale)
{
	struct mover *m = ((struct side *)arg)->mover;
	(void)stale;
	if (cmd->type == WIRE_TYPE_ARRIVE || cmd->type == WIRE_TYPE_ARRIVE_STATE)
		m->ahead -= (uintptr_t)cmd->tag;
	else if ((uintptr_t)cmd->tag == m->step)
		m->asking = false;
}

/* X has refused HOLD. */
static void not_held(struct mover *m, struct slice text)
{
	bool here = slice_eq(slice_of(m->cell, m->cell_len), slice_str(m->to));
	m->held = false;
	if (!m->moved) {
		m->step = OTHER;
		m->look_at.ms = m->now.ms + m->look_ms;
		m->look_ms = longer(m->look_ms);
		note(m, &m->sides[MOVER_X], RMQ_E_BUSY, text);
	} else if (here && m->has_moved_token) {
		/* A mover has died before it opened the copy. */
		m->gone = MOVER_GONE;
		m->step = OPENS;
		move_in(m, MOVE_IN_OPEN, m->moved_token);
	} else {
		undo(m, MOVER_ELSEWHERE);
	}
}

/* Of the step that is under way. */
static void refused(
    struct mover *m, const struct side *s, enum rmq_error code, struct slice text)
{
	bool elsewhere = code == RMQ_E_ELSEWHERE;
	if (m->step == HOLDS && (elsewhere || code == RMQ_E_BUSY)) {
		not_held(m, text);
	} else if (m->step == OPENS && elsewhere) {
		/* Somebody has opened it, and it has gone on from there. */
		end(m, MOVER_DONE);
	} else if (m->step == IS_THERE && (elsewhere || code == RMQ_E_STALE)) {
		undo(m, MOVER_ELSEWHERE);
	} else if (m->step >= OPENS) {
		fail(m, s, code, text);
	} else {
		/*
		 * The promise, or the copy, is another mover's now; or it has moved it: what X answered to HOLD
		 * before a connection was lost, it answers again.
		 */
		bool again =
		    code == RMQ_E_STALE || elsewhere || code == RMQ_E_NOT_EMPTY ||
		    (m->step == BEGINS && (code == RMQ_E_BUSY || code == RMQ_E_EXISTS)) ||
		    (m->frozen && code == RMQ_E_BUSY);
		m->gone = MOVER_STAYS;
		fail(m, s, code, text);
		if (again)
			m->outcome = MOVER_AGAIN;
	}
}

static enum client_verdict on_failed(void *arg, const struct client_command *cmd,
    enum rmq_error code, uint32_t at, struct slice text)
{
	struct side *s = arg;
	struct mover *m = s->mover;
	bool arrives = cmd->type == WIRE_TYPE_ARRIVE || cmd->type == WIRE_TYPE_ARRIVE_STATE;
	(void)at;
	if (arrives)
		m->ahead -= (uintptr_t)cmd->tag;
	else if ((uintptr_t)cmd->tag == m->step)
		m->asking = false;
	if (m->step != UNDOES && m->step != ENDED)
		refused(m, s, code, text);
	return CLIENT_DROP;
}

static void on_moved(
    void *arg, struct slice queue, struct slice cell, struct slice servers, struct slice token)
{
	struct side *s = arg;
	struct mover *m = s->mover;
	(void)queue;
	if (s != &m->sides[MOVER_X] || m->step == UNDOES || m->step == ENDED)
		return;
	if (m->step != HOLDS && m->step != ASKS_WAY) {
		/* X's promise has ended, and another mover has moved it: a command is refused after this. */
		if (m->req != 0)
			undo(m, MOVER_AGAIN);
		return;
	}
	if (cell.len > sizeof(m->cell) || servers.len > sizeof(m->servers))
		return;
	memcpy(m->cell, cell.data, cell.len);
	m->cell_len = cell.len;
	if (servers.len > 0)
		memcpy(m->servers, servers.data, servers.len);
	m->servers_len = servers.len;
	m->has_moved_token = token.len == sizeof(m->moved_token);
	if (m->has_moved_token)
		memcpy(m->moved_token, token.data, token.len);
	m->moved = true;
}

static void on_listed(void *arg, const struct wire_listed *row)
{
	struct mover *m = ((struct side *)arg)->mover;
	if (row->req == m->req && slice_eq(row->queue, unit_of(m)))
		m->leased += row->leased;
}

static void on_list_end(void *arg, uint32_t req, bool more)
{
	struct mover *m = ((struct side *)arg)->mover;
	(void)more;
	if (req == m->req)
		m->req = 0;
}

/* What X has of the stage goes to Y as it is. */
static void pass_on(struct mover *m, const struct wire_exported *e)
{
	m->more = e->more != 0;
	m->from = e->next;
	if (client_dead(y_of(m)))
		return;
	m->ahead += e->data.len;
	client_arrive_state(y_of(m), m->now,
	    &(struct wire_arrive_state){
		0, 0, e->what, unit_of(m), token_of(m), e->tags, e->data},
	    (void *)(uintptr_t)e->data.len);
}

/* Whether it answers where the way leads: nowhere, if the queue is there, or is to be or to come. */
static bool says_where(enum rmq_error code)
{
	return code == RMQ_E_OK || code == RMQ_E_NO_QUEUE || code == RMQ_E_PAUSED ||
	       code == RMQ_E_ELSEWHERE;
}

static void on_exported(void *arg, const struct wire_exported *e, enum rmq_error code)
{
	struct side *s = arg;
	struct mover *m = s->mover;
	if (s != m->asked || e->req != m->req)
		return;
	m->req = 0;
	m->more = false;
	m->absent = code == RMQ_E_NO_QUEUE;
	if (m->step == ASKS_WAY && says_where(code))
		return;
	if (code && !m->absent) {
		refused(m, s, code, slice_str(error_text(code)));
	} else if (m->step == FINDS) {
		m->left_len = e->data.len < sizeof(m->left) ? e->data.len : sizeof(m->left);
		if (m->left_len > 0)
			memcpy(m->left, e->data.data, m->left_len);
	} else if (!code) {
		pass_on(m, e);
	}
}

/* ---- bindings ---- */

/*
 * Y may never have heard of it, as one that came to the list of cells later.  OPEN gives the queue what is bound
 * for it there, which hears until then; so nothing that is sent at Y is lost, whatever becomes of the mover.
 */
static void on_bound(void *arg, struct slice queue, struct slice pattern)
{
	struct mover *m = ((struct side *)arg)->mover;
	char name[AWAY_NAME_MAX];
	(void)queue;
	if (m->step != BINDS || client_dead(y_of(m)) || RMQ_VARIANT(MOVER_UNBOUND))
		return;
	client_bind(y_of(m), m->now, WIRE_TYPE_BIND, cells_away_name(base_of(m), name), pattern,
	    BIND_CREATE, NULL);
}

static void on_bindings_end(void *arg, uint32_t req, enum rmq_error code)
{
	struct side *s = arg;
	struct mover *m = s->mover;
	if (req != m->req)
		return;
	m->req = 0;
	if (code && code != RMQ_E_NO_QUEUE)
		refused(m, s, code, slice_str(error_text(code)));
}

/* ---- messages ---- */

static void arrive(struct mover *m, const struct client_delivery *d, uint8_t flags,
    uint32_t part, struct slice tags, struct slice data)
{
	m->ahead += data.len;
	m->page_bytes += data.len;
	client_arrive(y_of(m), m->now,
	    &(struct wire_arrive){0, 0, flags, part, unit_of(m), token_of(m), d->first_seq,
		d->failures, d->time.ms, d->state == STATE_DELAYED ? d->until.ms : 0, d->note,
		tags, data},
	    (void *)(uintptr_t)data.len);
}

/* As a batch, whose attributes are among the tagged fields. */
static void arrive_batch(struct mover *m, const struct client_delivery *d)
{
	struct writer w = writer_of(m->batch, sizeof(m->batch));
	put_u16(&w, (uint16_t)d->count);
	put_u16(&w, 0);
	for (uint32_t i = 0; i < d->count; i++)
		put_u16(&w, (uint16_t)(load_u16(d->ends + 2 * (size_t)i) - d->base));
	put_rest(&w, d->blob);
	if (w.full)
		fail(m, &m->sides[MOVER_X], RMQ_E_PROTOCOL, slice_str("bad PEEKED"));
	else
		arrive(m, d, 0, 0, d->tags, slice_of(w.p, w.len));
}

/* Piece after piece; with the first one go its attributes. */
static void arrive_large(struct mover *m, const struct client_delivery *d)
{
	struct slice rest = d->blob;
	size_t room = CHUNK_MAX - (d->tags.len < CHUNK_MAX / 2 ? d->tags.len : CHUNK_MAX / 2);
	for (uint32_t part = 0; part == 0 || rest.len > 0; part++, room = CHUNK_MAX) {
		size_t len = rest.len < room ? rest.len : room;
		uint8_t flags = SEND_CHUNK | (len < rest.len ? SEND_MORE : 0);
		arrive(
		    m, d, flags, part, part == 0 ? d->tags : NO_TAGS, slice_of(rest.data, len));
		rest = slice_of(rest.data + len, rest.len - len);
	}
}

static void on_peeked(void *arg, const struct client_delivery *d)
{
	struct mover *m = ((struct side *)arg)->mover;
	if (d->sub != m->req || client_dead(y_of(m)))
		return;
	if (d->ends)
		arrive_batch(m, d);
	else
		arrive_large(m, d);
	m->next[m->unit] = d->first_seq + d->count;
	m->copied += d->count;
}

static void on_peek_end(void *arg, uint32_t req, enum rmq_error code, bool more, uint64_t next)
{
	struct side *s = arg;
	struct mover *m = s->mover;
	if (req != m->req)
		return;
	m->req = 0;
	m->more = more && !code;
	if (code && code != RMQ_E_NO_QUEUE)
		refused(m, s, code, slice_str(error_text(code)));
	else if (!code && next > m->next[m->unit])
		m->next[m->unit] = next;
}

static void on_fatal(void *arg, enum rmq_error code, struct slice text)
{
	struct side *s = arg;
	struct mover *m = s->mover;
	const struct client_command *cmd = client_oldest(x_of(m));
	if (m->step == OPENS && s == &m->sides[MOVER_X])
		return; /* It has let go: nothing depends on it. */
	if (m->step == LETS_GO && s == &m->sides[MOVER_X]) {
		m->gone = cmd && cmd->flown ? MOVER_UNKNOWN : MOVER_STAYS;
		fail(m, s, code, text);
	} else if (m->step == LETS_GO) {
		/* X decides: its answer comes, or it is given up. */
		note(m, s, code, text);
	} else {
		fail(m, s, code, text);
	}
}

/* ---- steps ---- */

static void copy_begins(struct mover *m, bool frozen)
{
	m->frozen = frozen;
	m->unit = m->stage = 0;
	m->from = 0;
	m->step = BINDS;
	m->more = true;
	bindings(m);
}

/* The next stage of the unit, or unit, or step. */
static void stage_done(struct mover *m)
{
	unsigned count = m->frozen ? STAGES : STAGES_BEFORE;
	m->from = 0;
	m->more = true;
	if (++m->stage == count || m->absent) {
		m->stage = 0;
		m->absent = false;
		m->unit++;
	}
	if (m->unit == UNITS) {
		m->unit = 0;
		m->step = CONFIRMS;
	} else {
		m->step = stages[m->stage] == STAGE_MESSAGES ? COPIES : TAKES;
	}
}

static bool too_far_ahead(const struct mover *m)
{
	return m->ahead > AHEAD_BYTES || client_unanswered(y_of(m)) > AHEAD_COMMANDS;
}

/* Asks for the next page of the stage, or goes on to the next one; false: not now. */
static bool copy(struct mover *m)
{
	if (too_far_ahead(m))
		return false;
	if (!m->more) {
		stage_done(m);
		return true;
	}
	if (m->step == TAKES) {
		export_of(m, MOVER_X, stages[m->stage]);
		return true;
	}
	if (m->page_bytes > PAGE_BYTES && m->page > 1)
		m->page /= 2;
	else if (m->page < LIST_ROWS_MAX)
		m->page *= 2;
	m->page_bytes = 0;
	m->asked = &m->sides[MOVER_X];
	m->req = client_peek(x_of(m), m->now, unit_of(m), STATE_READY | STATE_DELAYED,
	    m->next[m->unit], m->page);
	return true;
}

/* All units were looked at. */
static bool looked(struct mover *m)
{
	if (m->unit + 1 < UNITS) {
		m->unit++;
		look(m);
		return true;
	}
	m->unit = 0;
	if (m->leased == 0 || RMQ_VARIANT(MOVER_UNWAITING)) {
		copy_begins(m, false);
		return true;
	}
	if (m->leased < m->least) {
		m->least = m->leased;
		m->progress = m->now;
		m->look_ms = LOOK_MS;
	}
	m->look_at.ms = m->now.ms + m->look_ms;
	m->look_ms = longer(m->look_ms);
	m->step = LEASES;
	return true;
}

static void timed_out(struct mover *m)
{
	char text[TEXT_MAX + 1], within[UNITS_TEXT_MAX + 1];
	if (m->step == OTHER) {
		undo(m, MOVER_FAILED);
		return;
	}
	within[units_print_duration(within, m->timeout_ms)] = '\0';
	snprintf(text, sizeof(text),
	    "%llu message%s leased, and none was settled or given back within %s (--timeout)",
	    (unsigned long long)m->leased, m->leased == 1 ? " is" : "s are", within);
	fail(m, &m->sides[MOVER_X], RMQ_E_TIMEOUT, slice_str(text));
}

/* Whether a copy was left at Y is known before the promise, or it might be a later one. */
static void find(struct mover *m)
{
	m->step = FINDS;
	m->from = 0;
	export_of(m, MOVER_Y, WITH_COPY);
}

/* Waits for its next look; false: it is not yet time. */
static bool look_again(struct mover *m)
{
	if (m->timeout_ms != CLIENT_FOREVER && m->now.ms - m->progress.ms >= m->timeout_ms) {
		timed_out(m);
		return true;
	}
	if (m->now.ms < m->look_at.ms)
		return false;
	if (m->step == OTHER) {
		find(m);
	} else {
		m->step = LOOKS;
		m->leased = 0;
		look(m);
	}
	return true;
}

static bool confirmed(struct mover *m)
{
	if (client_unanswered(y_of(m)) > 0)
		return false;
	if (m->frozen) {
		m->step = LETS_GO;
		m->gone = MOVER_UNKNOWN;
		move_out(m, MOVE_OUT_GONE);
	} else {
		m->step = FREEZES;
		move_out(m, MOVE_OUT_FREEZE);
	}
	return true;
}

/* X has let go. */
static bool open_copy(struct mover *m)
{
	m->gone = MOVER_GONE;
	if (client_dead(y_of(m))) {
		end(m, MOVER_FAILED);
		return true;
	}
	m->step = OPENS;
	move_in(m, MOVE_IN_OPEN, m->token);
	return true;
}

/* The other cell has said where it leads. */
static bool way_known(struct mover *m)
{
	bool there = slice_eq(slice_of(m->cell, m->cell_len), slice_str(m->to));
	if (!m->moved || !m->has_moved_token || there) {
		end(m, MOVER_DONE);
		return true;
	}
	m->step = IS_THERE;
	if (!RMQ_VARIANT(FOLLOW_UNASKED))
		move_in(m, MOVE_IN_OPEN, m->token);
	return true;
}

/* The answer that `step` waited for is here.  False: it waits for something else. */
static bool go_on(struct mover *m)
{
	switch (m->step) {
	case FINDS:
		m->step = HOLDS;
		m->held = true;
		move_out(m, MOVE_OUT_HOLD);
		return true;
	case HOLDS:
		m->step = DROPS;
		for (size_t at = 0; at + CELL_TOKEN_SIZE <= m->left_len; at += CELL_TOKEN_SIZE)
			move_in_from(m, MOVE_IN_DROP, m->left + at);
		return true;
	case DROPS:
		m->step = BEGINS;
		m->begun = true;
		move_in_from(m, MOVE_IN_BEGIN, m->token);
		return true;
	case BEGINS:
		m->step = LOOKS;
		m->progress = m->now;
		m->look_ms = LOOK_MS;
		m->leased = 0;
		look(m);
		return true;
	case LOOKS:
		return looked(m);
	case OTHER:
	case LEASES:
		return look_again(m);
	case BINDS:
		m->step = TAKES;
		return true;
	case TAKES:
	case COPIES:
		return copy(m);
	case CONFIRMS:
		return confirmed(m);
	case FREEZES:
		copy_begins(m, true);
		if (RMQ_VARIANT(MOVER_UNFROZEN))
			m->step = CONFIRMS;
		return true;
	case LETS_GO:
		return open_copy(m);
	case ASKS_WAY:
		return way_known(m);
	case IS_THERE:
		m->step = SHORTENS;
		move_out_follow(m);
		return true;
	case SHORTENS:
		m->shortened = true;
		end(m, MOVER_DONE);
		return true;
	case OPENS:
		end(m, MOVER_DONE);
		return true;
	case UNDOES:
		if (!quiet(x_of(m)) || !quiet(y_of(m)))
			return false;
		end(m, m->outcome);
		return true;
	case ENDED:
		break;
	}
	return false;
}

/* ---- the host's side ---- */

struct mover *mover_new(const struct mover_config *config)
{
	struct mover *m = calloc(1, sizeof(*m));
	assert(config->queue.len + strlen(NAME_DEAD_SUFFIX) <= NAME_FULL_MAX);
	if (!m)
		return NULL;
	memcpy(m->base, config->queue.data, config->queue.len);
	m->base_len = config->queue.len;
	m->timeout_ms = config->timeout_ms;
	for (unsigned i = 0; i < 2; i++)
		m->sides[i].mover = m;
	snprintf(
	    m->to, sizeof(m->to), "%.*s", (int)config->to.len, (const char *)config->to.data);
	return m;
}

void mover_free(struct mover *m)
{
	free(m);
}

struct client_host mover_host(struct mover *m, enum mover_side side)
{
	return (struct client_host){.arg = &m->sides[side],
	    .done = on_done,
	    .failed = on_failed,
	    .moved = on_moved,
	    .listed = on_listed,
	    .list_end = on_list_end,
	    .peeked = on_peeked,
	    .peek_end = on_peek_end,
	    .bound = on_bound,
	    .bindings_end = on_bindings_end,
	    .exported = on_exported,
	    .fatal = on_fatal};
}

static void start(struct mover *m, struct mono_time now, struct client *x, struct client *y,
    const uint8_t *token)
{
	assert(m->step == ENDED);
	m->sides[MOVER_X].client = x;
	m->sides[MOVER_Y].client = y;
	memcpy(m->token, token, sizeof(m->token));
	m->now = m->progress = now;
	m->begun = m->held = m->frozen = m->moved = m->absent = m->asking = false;
	m->shortened = false;
	m->unit = 0;
	m->req = 0;
	m->ahead = 0;
	m->page = PAGE_FIRST;
	m->page_bytes = 0;
	m->least = UINT64_MAX;
	m->leased = m->copied = 0;
	m->look_ms = LOOK_MS;
	memset(m->next, 0, sizeof(m->next));
	m->gone = MOVER_STAYS;
	m->code = RMQ_E_OK;
}

void mover_begin(struct mover *m, struct mono_time now, struct client *x, struct client *y,
    const uint8_t *token)
{
	start(m, now, x, y, token);
	find(m);
}

void mover_shorten(struct mover *m, struct mono_time now, struct client *p, struct client *y,
    const uint8_t *token)
{
	start(m, now, p, y, token);
	m->step = ASKS_WAY;
	m->from = 0;
	export_of(m, MOVER_X, WITH_SETTINGS);
}

void mover_turn(struct mover *m, struct mono_time now)
{
	m->now = now;
	while (m->step == UNDOES ? go_on(m) : !m->asking && m->req == 0 && go_on(m))
		;
}

uint64_t mover_due_ms(const struct mover *m, struct mono_time now)
{
	if (m->step != OTHER && m->step != LEASES)
		return CLIENT_FOREVER;
	return m->look_at.ms > now.ms ? m->look_at.ms - now.ms : 0;
}

enum mover_state mover_state(const struct mover *m)
{
	return m->step == ENDED ? m->outcome : MOVER_GOES;
}

enum rmq_error mover_error(const struct mover *m, struct slice *text, enum mover_side *side)
{
	*side = m->failed;
	*text = slice_str(m->why);
	return m->code;
}

enum mover_gone mover_gone(const struct mover *m)
{
	return m->gone;
}

bool mover_shortened(const struct mover *m)
{
	return m->shortened;
}

struct slice mover_elsewhere(const struct mover *m, struct slice *servers)
{
	*servers = slice_of(m->servers, m->servers_len);
	return slice_of(m->cell, m->cell_len);
}

struct mover_progress mover_progress(const struct mover *m)
{
	struct mover_progress p = {MOVER_ASKS, m->leased, m->copied};
	switch (m->step) {
	case OTHER:
		p.doing = MOVER_OTHER;
		break;
	case LOOKS:
	case LEASES:
		p.doing = m->leased > 0 ? MOVER_LEASES : MOVER_ASKS;
		break;
	case BINDS:
	case TAKES:
	case COPIES:
	case CONFIRMS:
		p.doing = m->frozen ? MOVER_ENDS : MOVER_COPIES;
		break;
	case FREEZES:
	case LETS_GO:
		p.doing = MOVER_ENDS;
		break;
	default:
		break;
	}
	return p;
}
