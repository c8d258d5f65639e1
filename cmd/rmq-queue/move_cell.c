#include "move_cell.h"

#include <sodium/randombytes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/name.h"
#include "core/client/mover.h"
#include "pinned.h"
#include "sys/process/clock.h"

#define AGAIN_MAX  8	/* times that it begins anew */
#define AGAIN_MS   200	/* before that */
#define PATIENT_MS 1000 /* before what is waited for is said; it doubles */

struct moving {
	struct cells_asked *cells;
	struct admin *admin;
	const char *queue;
	const char *to;
	char from[RAFT_NAME_MAX + 1];
	struct mover *mover;
	struct pinned sides[2]; /* MOVER_X, MOVER_Y */
	uint64_t since;		/* it has waited for the same */
	uint64_t patience;	/* … and so long before it says so */
	enum mover_doing doing;
	bool shortened; /* a way there */
};

enum rmq_error move_cell_check(struct admin *a, const char *queue, const char *cell)
{
	struct slice name = slice_str(queue), base = cells_base(name);
	if (name_is_ephemeral(name))
		return admin_fail(a, RMQ_E_USAGE,
		    "'%s' is of an ephemeral subscription, which stays where it is", queue);
	if (base.len != name.len)
		return admin_fail(a, RMQ_E_USAGE, "'%s' goes with its queue: move %.*s", queue,
		    (int)base.len, (const char *)base.data);
	if (!name_valid_node(slice_str(cell)))
		return admin_fail(a, RMQ_E_USAGE, "'%s' is not the name of a cell", cell);
	return RMQ_E_OK;
}

/* ---- saying ---- */

static void say(struct moving *m, uint64_t now)
{
	struct mover_progress p = mover_progress(m->mover);
	unsigned long long leased = p.leased;
	if (p.doing != m->doing) {
		m->doing = p.doing;
		m->since = now;
		m->patience = PATIENT_MS;
	}
	if (now - m->since < m->patience || m->admin->common.quiet)
		return;
	m->patience *= 2;
	if (p.doing == MOVER_LEASES)
		fprintf(stderr,
		    "rmq-queue: %s: waits until %llu message%s of cell %s %s not leased any more\n",
		    m->queue, leased, leased == 1 ? "" : "s", m->from,
		    leased == 1 ? "is" : "are");
	else if (p.doing == MOVER_OTHER)
		fprintf(stderr,
		    "rmq-queue: %s: waits for somebody else who changes it in cell %s\n",
		    m->queue, m->from);
	else if (p.doing == MOVER_COPIES || p.doing == MOVER_ENDS)
		fprintf(stderr, "rmq-queue: %s: %llu messages copied\n", m->queue,
		    (unsigned long long)p.copied);
}

static enum rmq_error failed(struct moving *m)
{
	static const char *const more[] = {[MOVER_STAYS] = "",
	    [MOVER_UNKNOWN] = ": whether it was moved is not known; run it again",
	    [MOVER_GONE] = ": it was moved, and is opened by who asks for it; run it again"};
	char why[CLIENT_IO_WHY_MAX];
	struct slice text;
	enum mover_side side;
	enum rmq_error code = mover_error(m->mover, &text, &side);
	text = pinned_why(&m->sides[side], code, text, why);
	return admin_fail(m->admin, code, "cell %s: %.*s%s", side == MOVER_X ? m->from : m->to,
	    (int)text.len, (const char *)text.data, more[mover_gone(m->mover)]);
}

/* ---- one attempt ---- */

static enum rmq_error open_side(struct moving *m, enum mover_side side, const char *cell)
{
	uint32_t i = cells_find(m->cells->list, slice_str(cell));
	struct client_host host = mover_host(m->mover, side);
	return i == CELLS_NONE
		   ? admin_fail(m->admin, RMQ_E_CONFIG,
			 "it lives in cell %s, which is not in the list of cells", cell)
		   : pinned_open(&m->sides[side], m->cells, i, &host);
}

typedef void mover_begins(struct mover *m, struct mono_time now, struct client *x,
    struct client *y, const uint8_t *token);

/* Both clients and the mover, until it is done with. */
static void run(struct moving *m, mover_begins *begin)
{
	struct mono_time now = clock_mono();
	uint8_t token[CELL_TOKEN_SIZE];
	randombytes_buf(token, sizeof(token));
	begin(m->mover, now, m->sides[MOVER_X].io.client, m->sides[MOVER_Y].io.client, token);
	while (mover_turn(m->mover, now), mover_state(m->mover) == MOVER_GOES) {
		struct pollfd fds[3];
		int timeout_ms = client_io_sooner(pinned_prepare(m->sides, 2, fds), PATIENT_MS);
		timeout_ms = client_io_sooner(timeout_ms, mover_due_ms(m->mover, clock_mono()));
		pinned_poll(m->admin, m->sides, 2, fds, timeout_ms);
		now = clock_mono();
		say(m, now.ms);
	}
}

static enum rmq_error open_both(struct moving *m)
{
	struct mover_config config = {.queue = slice_str(m->queue),
	    .to = slice_str(m->to),
	    .timeout_ms = m->admin->common.timeout_ms};
	m->mover = mover_new(&config);
	if (!m->mover)
		return admin_fail(m->admin, RMQ_E_LIMIT, "out of memory");
	enum rmq_error err = open_side(m, MOVER_X, m->from);
	return err ? err : open_side(m, MOVER_Y, m->to);
}

static void close_both(struct moving *m)
{
	for (unsigned i = 0; i < 2; i++)
		pinned_close(&m->sides[i]);
	mover_free(m->mover);
	m->mover = NULL;
}

static void tell(const struct moving *m, uint64_t copied)
{
	if (!m->admin->common.quiet)
		fprintf(stderr,
		    "rmq-queue: %s: moved from cell %s to cell %s, %llu message%s\n", m->queue,
		    m->from, m->to, (unsigned long long)copied, copied == 1 ? "" : "s");
}

/* *again: it has to begin anew; of the last one it is said why. */
static enum rmq_error attempt(struct moving *m, bool last, bool *again)
{
	*again = false;
	enum rmq_error err = open_both(m);
	if (!err) {
		run(m, mover_begin);
		enum mover_state state = mover_state(m->mover);
		*again = state == MOVER_AGAIN || state == MOVER_ELSEWHERE;
		if (state == MOVER_FAILED || (state == MOVER_AGAIN && last))
			err = failed(m);
		else if (state == MOVER_DONE)
			tell(m, mover_progress(m->mover).copied);
	}
	close_both(m);
	return err;
}

/* ---- the ways there ---- */

/* Cell m->from leads straight to m->to from now on. */
static enum rmq_error shorten(struct moving *m)
{
	enum rmq_error err = open_both(m);
	if (!err) {
		run(m, mover_shorten);
		m->shortened |= mover_shortened(m->mover);
		if (mover_state(m->mover) == MOVER_FAILED)
			err = failed(m);
	}
	close_both(m);
	return err;
}

/* The same of cell i of the list; if it cannot be done, that is said and the next one goes on. */
static void shorten_from(struct moving *m, uint32_t i)
{
	char why[sizeof(m->admin->why)];
	struct admin *a = m->admin;
	enum rmq_error before = a->code;
	struct slice name = cells_name(m->cells->list, i);
	bool keeps = a->keeps;
	snprintf(m->from, sizeof(m->from), "%.*s", (int)name.len, (const char *)name.data);
	if (strcmp(m->from, m->to) == 0)
		return;
	a->code = RMQ_E_OK;
	a->keeps = true;
	if (shorten(m)) {
		memcpy(why, a->why, sizeof(why));
		a->code = RMQ_E_OK;
		a->keeps = keeps;
		before = admin_fail(a, RMQ_E_TIMEOUT,
		    "%s; it may lead there by other cells: run it again", why);
	}
	a->keeps = keeps;
	a->code = before;
}

/* After a move, from home: where it left leads there already.  Other cells have led to that before. */
static enum rmq_error shorten_home(struct moving *m)
{
	uint32_t home = cells_home(m->cells->list, slice_str(m->queue));
	if (home != CELLS_NONE &&
	    !slice_eq(cells_name(m->cells->list, home), slice_str(m->from)))
		shorten_from(m, home);
	return m->admin->code;
}

static enum rmq_error shorten_all(struct moving *m)
{
	for (uint32_t i = 0; i < m->cells->list->count; i++)
		shorten_from(m, i);
	return m->admin->code;
}

/*
 * Nobody finds the queue, as a cell on the way is not in the list any more, or has lost it: if it lives in m->to, the ways that are left are
 * made to lead there.
 */
static enum rmq_error lead_anew(struct moving *m, enum rmq_error err)
{
	struct admin *a = m->admin;
	char why[sizeof(a->why)];
	memcpy(why, a->why, sizeof(why));
	a->keeps = true;
	if (err == RMQ_E_CONFIG || err == RMQ_E_ELSEWHERE)
		(void)shorten_all(m);
	a->keeps = false;
	a->code = RMQ_E_OK;
	return m->shortened ? RMQ_E_OK : admin_fail(a, err, "%s", why);
}

/* ---- the command ---- */

/* Where it lives: m->from. */
static enum rmq_error find(struct moving *m)
{
	bool exists;
	enum rmq_error err = admin_find(m->admin, m->queue, &exists);
	struct slice cell = client_cell(m->admin->io.client);
	snprintf(m->from, sizeof(m->from), "%.*s", (int)cell.len, (const char *)cell.data);
	return err;
}

static enum rmq_error check_list(struct cells_asked *c, const char *cell)
{
	struct admin *a = c->main;
	if (c->list->count == 0)
		return admin_fail(a, RMQ_E_CONFIG, "the daemon knows of no cells");
	if (cells_find(c->list, slice_str(cell)) == CELLS_NONE)
		return admin_fail(
		    a, RMQ_E_USAGE, "there is no cell '%s': rmq-queue cells lists them", cell);
	return RMQ_E_OK;
}

static enum rmq_error lives_there(struct moving *m)
{
	if (!m->admin->common.quiet)
		fprintf(stderr, "rmq-queue: %s: lives in cell %s\n", m->queue, m->to);
	return shorten_all(m);
}

/* Where it lives, or where it is said to, if none finds it. */
static enum rmq_error find_or_lead(struct moving *m)
{
	struct admin *a = m->admin;
	a->keeps = true;
	enum rmq_error err = find(m);
	a->keeps = false;
	if (!err)
		return err;
	err = lead_anew(m, err);
	snprintf(m->from, sizeof(m->from), "%s", m->to);
	return err;
}

enum rmq_error move_cell_run(struct cells_asked *c, const char *queue, const char *cell)
{
	struct moving m = {.cells = c, .admin = c->main, .queue = queue, .to = cell};
	bool again = true;
	enum rmq_error err = check_list(c, cell);
	/* That cells send it to and fro may end by what this command does. */
	client_wait_no_more(c->main->io.client);
	for (unsigned i = 0; !err && again; i++) {
		if (i == AGAIN_MAX)
			return admin_fail(c->main, RMQ_E_BUSY, "moves from cell to cell");
		if (i > 0)
			err = admin_pause(c->main, AGAIN_MS);
		if (!err)
			err = find_or_lead(&m);
		c->main->about = queue;
		if (!err && strcmp(m.from, cell) == 0)
			return lives_there(&m);
		if (!err)
			err = attempt(&m, i + 1 == AGAIN_MAX, &again);
	}
	return err ? err : shorten_home(&m);
}
