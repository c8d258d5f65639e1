#include "drop_copy.h"

#include <sodium/randombytes.h>
#include <stdio.h>

#include "core/client/dropper.h"
#include "pinned.h"
#include "sys/process/clock.h"

struct dropping {
	struct cells_asked *cells;
	struct admin *admin;
	const char *queue;
	const char *cell;
	struct dropper *dropper;
	struct pinned sides[2]; /* DROPPER_Y, DROPPER_Z */
	struct slice names[2];
};

static enum rmq_error open_side(struct dropping *d, enum dropper_side side, uint32_t i)
{
	struct client_host host = dropper_host(d->dropper, side);
	d->names[side] = cells_name(d->cells->list, i);
	return pinned_open(&d->sides[side], d->cells, i, &host);
}

/* Until the dropper is done, or needs the next cell. */
static void run(struct dropping *d)
{
	while (
	    dropper_turn(d->dropper, clock_mono()), dropper_state(d->dropper) == DROPPER_GOES) {
		struct pollfd fds[3];
		int timeout_ms = pinned_prepare(d->sides, 2, fds);
		pinned_poll(d->admin, d->sides, 2, fds, timeout_ms);
	}
}

static enum rmq_error failed(struct dropping *d)
{
	char why[CLIENT_IO_WHY_MAX];
	struct slice text;
	enum dropper_side side;
	enum rmq_error code = dropper_error(d->dropper, &text, &side);
	struct slice name = d->names[side];
	text = pinned_why(&d->sides[side], code, text, why);
	return admin_fail(d->admin, code, "cell %.*s: %.*s%s", (int)name.len,
	    (const char *)name.data, (int)text.len, (const char *)text.data,
	    dropper_count(d->dropper) > 0
		? "; run it again"
		: "; nothing is dropped, as the copy may be all that there is of the queue");
}

/* Asks one cell after the other. */
static enum rmq_error go_round(struct dropping *d, uint32_t y)
{
	uint8_t token[CELL_TOKEN_SIZE];
	enum rmq_error err = open_side(d, DROPPER_Y, y);
	if (err)
		return err;
	randombytes_buf(token, sizeof(token));
	dropper_begin(d->dropper, clock_mono(), d->sides[DROPPER_Y].io.client, token);
	run(d);
	for (uint32_t i = 0; !err && dropper_state(d->dropper) == DROPPER_NEXT; i++) {
		if (i == y)
			continue;
		err = open_side(d, DROPPER_Z, i);
		if (err)
			return err;
		dropper_ask(d->dropper, clock_mono(), d->sides[DROPPER_Z].io.client);
		run(d);
		if (dropper_state(d->dropper) == DROPPER_FAILED)
			err = failed(d);
		pinned_close(&d->sides[DROPPER_Z]);
	}
	return err ? err : dropper_state(d->dropper) == DROPPER_FAILED ? failed(d) : RMQ_E_OK;
}

static enum rmq_error tell(const struct dropping *d)
{
	struct admin *a = d->admin;
	uint32_t count = dropper_count(d->dropper);
	bool opened = dropper_state(d->dropper) == DROPPER_OPENED;
	if (dropper_state(d->dropper) == DROPPER_NONE)
		return admin_fail(
		    a, RMQ_E_NO_QUEUE, "no copy of it arrives in cell %s", d->cell);
	if (opened && !a->common.quiet)
		fprintf(stderr,
		    "rmq-queue: %s: has moved to cell %s, and lives there: its copy is open\n",
		    d->queue, d->cell);
	else if (!a->common.quiet)
		fprintf(stderr, "rmq-queue: %s: %u cop%s dropped in cell %s\n", d->queue, count,
		    count == 1 ? "y" : "ies", d->cell);
	return RMQ_E_OK;
}

enum rmq_error drop_copy_run(struct cells_asked *c, const char *queue, const char *cell)
{
	struct dropping d = {.cells = c, .admin = c->main, .queue = queue, .cell = cell};
	uint32_t y = cells_find(c->list, slice_str(cell));
	struct admin *a = c->main;
	a->about = queue;
	if (c->list->count < 2)
		return admin_fail(a, RMQ_E_CONFIG,
		    "the daemon knows of no other cells, which have to be asked");
	if (y == CELLS_NONE)
		return admin_fail(
		    a, RMQ_E_USAGE, "there is no cell '%s': rmq-queue cells lists them", cell);
	struct dropper_config config = {
	    .queue = slice_str(queue), .cell = slice_str(cell), .others = c->list->count - 1};
	d.dropper = dropper_new(&config);
	if (!d.dropper)
		return admin_fail(a, RMQ_E_LIMIT, "out of memory");
	enum rmq_error err = go_round(&d, y);
	if (!err)
		err = tell(&d);
	for (unsigned i = 0; i < 2; i++)
		pinned_close(&d.sides[i]);
	dropper_free(d.dropper);
	return err;
}
