#include "place_cell.h"

#include <sodium/randombytes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/client/placer.h"
#include "pinned.h"
#include "sys/process/clock.h"

struct placing {
	struct cells_asked *cells;
	struct admin *admin;
	const char *queue;
	uint32_t to, home;
	struct placer *placer;
	struct pinned *seats; /* of each cell */
	bool lost[CELLS_MAX];
};

static enum rmq_error number_of(struct cells_asked *c, const char *name, uint32_t *i)
{
	*i = cells_find(c->list, slice_str(name));
	return *i != CELLS_NONE
		   ? RMQ_E_OK
		   : admin_fail(c->main, RMQ_E_USAGE,
			 "there is no cell '%s': rmq-queue cells lists them", name);
}

/* Which cells are not asked; where it is to live, and where everybody begins, cannot be among them. */
static enum rmq_error note_lost(struct placing *p, const struct lost_cells *lost)
{
	enum rmq_error err = RMQ_E_OK;
	for (uint32_t k = 0, i; !err && k < lost->count; k++) {
		err = number_of(p->cells, lost->names[k], &i);
		if (!err && i == p->to)
			err = admin_fail(p->admin, RMQ_E_USAGE,
			    "cell %s is lost, and the queue cannot live there", lost->names[k]);
		else if (!err && i == p->home)
			err = admin_fail(p->admin, RMQ_E_USAGE,
			    "it is at home in cell %s, from where clients are led: start it anew, or take it off the lists of cells first",
			    lost->names[k]);
		else if (!err)
			p->lost[i] = true;
	}
	return err;
}

static enum rmq_error open_all(struct placing *p)
{
	enum rmq_error err = RMQ_E_OK;
	for (uint32_t i = 0; !err && i < p->cells->list->count; i++) {
		struct client_host host = placer_host(p->placer, i);
		if (!p->lost[i])
			err = pinned_open(&p->seats[i], p->cells, i, &host);
	}
	return err;
}

static void close_all(struct placing *p)
{
	for (uint32_t i = 0; p->seats && i < p->cells->list->count; i++)
		pinned_close(&p->seats[i]);
	placer_free(p->placer);
	free(p->seats);
}

/* All clients and the placer, until it is done with. */
static void run(struct placing *p)
{
	struct pollfd fds[CELLS_MAX + 1];
	struct client *clients[CELLS_MAX] = {NULL};
	uint32_t count = p->cells->list->count;
	uint8_t token[CELL_TOKEN_SIZE];
	randombytes_buf(token, sizeof(token));
	for (uint32_t i = 0; i < count; i++)
		clients[i] = p->seats[i].opened ? p->seats[i].io.client : NULL;
	placer_begin(p->placer, clock_mono(), clients, token);
	while (placer_turn(p->placer, clock_mono()), placer_state(p->placer) == PLACER_GOES) {
		int timeout_ms = pinned_prepare(p->seats, count, fds);
		/* Preparing may find that there is no hope. */
		placer_turn(p->placer, clock_mono());
		if (placer_state(p->placer) != PLACER_GOES)
			break;
		pinned_poll(p->admin, p->seats, count, fds, timeout_ms);
	}
}

static enum rmq_error failed(struct placing *p)
{
	static const char *const more[] = {[PLACER_NOT] = "",
	    [PLACER_UNKNOWN] = ": where it lives now is not known; run it again",
	    [PLACER_PLACED] =
		": it lives there now, but not all cells lead there; run it again"};
	char why[CLIENT_IO_WHY_MAX];
	struct slice text, name;
	uint32_t cell;
	enum rmq_error code = placer_error(p->placer, &text, &cell);
	const char *then = more[placer_placed(p->placer)];
	if (cell == CELLS_NONE)
		return admin_fail(p->admin, code, "%.*s: see Cells in rmq(7)", (int)text.len,
		    (const char *)text.data);
	name = cells_name(p->cells->list, cell);
	text = pinned_why(&p->seats[cell], code, text, why);
	bool gone = code == RMQ_E_NO_DAEMON && cell != p->to && cell != p->home;
	return admin_fail(p->admin, code, "cell %.*s: %.*s%s%s", (int)name.len,
	    (const char *)name.data, (int)text.len, (const char *)text.data, then,
	    gone ? "; if its data is lost for good: --lost and its name" : "");
}

enum rmq_error place_cell_run(
    struct cells_asked *c, const char *queue, const char *cell, const struct lost_cells *lost)
{
	struct placing p = {.cells = c, .admin = c->main, .queue = queue};
	if (c->list->count == 0)
		return admin_fail(c->main, RMQ_E_CONFIG, "the daemon knows of no cells");
	enum rmq_error err = number_of(c, cell, &p.to);
	c->main->about = queue;
	p.home = cells_home(c->list, slice_str(queue));
	if (!err)
		err = note_lost(&p, lost);
	if (err)
		return err;
	struct placer_config config = {slice_str(queue), c->list, p.to};
	p.placer = placer_new(&config);
	p.seats = calloc(c->list->count, sizeof(*p.seats));
	err = p.placer && p.seats ? open_all(&p)
				  : admin_fail(c->main, RMQ_E_LIMIT, "out of memory");
	if (!err) {
		run(&p);
		if (placer_state(p.placer) == PLACER_FAILED)
			err = failed(&p);
		else if (!c->main->common.quiet)
			fprintf(stderr, "rmq-queue: %s: lives in cell %s from now on%s\n",
			    queue, cell,
			    placer_opened(p.placer) ? ", with what a copy there has" : "");
	}
	close_all(&p);
	return err;
}
