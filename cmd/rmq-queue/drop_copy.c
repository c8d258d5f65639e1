#include "drop_copy.h"

#include <poll.h>
#include <sodium/randombytes.h>
#include <stdio.h>

#include "core/client/dropper.h"
#include "sys/process/clock.h"
#include "sys/process/signals.h"

struct dropping {
	struct cells_asked *cells;
	struct admin *admin;
	const char *queue;
	const char *cell;
	struct dropper *dropper;
	struct client_io io[2]; /* DROPPER_Y, DROPPER_Z */
	bool opened[2];
	struct slice names[2];
};

static enum rmq_error open_side(struct dropping *d, enum dropper_side side, uint32_t i)
{
	struct reason why;
	struct admin *a = d->admin;
	struct client_host host = dropper_host(d->dropper, side);
	struct client_config config = {
	    .window = 1, .timeout_ms = a->common.timeout_ms, .no_wait = true, .pinned = true};
	struct client_io_cell at = cells_at(d->cells, i);
	enum rmq_error err =
	    client_io_open_cell(&d->io[side], &a->common, &at, &config, &host, &why);
	d->names[side] = at.name;
	d->opened[side] = !err;
	return err ? admin_fail(a, err, "cell %.*s: %s", (int)at.name.len,
			 (const char *)at.name.data, why.text)
		   : RMQ_E_OK;
}

static void close_side(struct dropping *d, enum dropper_side side)
{
	int timeout_ms;
	struct client_io *io = &d->io[side];
	if (!d->opened[side])
		return;
	client_bye(io->client);
	if (!client_dead(io->client))
		(void)client_io_prepare(io, &timeout_ms);
	client_io_close(io);
	d->opened[side] = false;
}

/* Until the dropper is done, or needs the next cell. */
static void run(struct dropping *d)
{
	while (
	    dropper_turn(d->dropper, clock_mono()), dropper_state(d->dropper) == DROPPER_GOES) {
		struct pollfd p[3] = {{.fd = -1}, {.fd = -1}, {signals_fd(), POLLIN, 0}};
		int timeout_ms = -1, due_ms;
		for (unsigned i = 0; i < 2; i++) {
			if (!d->opened[i])
				continue;
			p[i] = client_io_prepare(&d->io[i], &due_ms);
			if (due_ms >= 0)
				timeout_ms = client_io_sooner(timeout_ms, (uint64_t)due_ms);
		}
		if (poll(p, 3, timeout_ms) > 0)
			for (unsigned i = 0; i < 2; i++)
				if (d->opened[i])
					client_io_turn(&d->io[i], p[i].revents);
		if (signals_caught())
			admin_die(d->admin);
	}
}

static enum rmq_error failed(struct dropping *d)
{
	char why[CLIENT_IO_WHY_MAX];
	struct slice text;
	enum dropper_side side;
	enum rmq_error code = dropper_error(d->dropper, &text, &side);
	struct slice name = d->names[side];
	if (client_dead(d->io[side].client))
		text = client_io_why(&d->io[side], code, text, why);
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
	dropper_begin(d->dropper, clock_mono(), d->io[DROPPER_Y].client, token);
	run(d);
	for (uint32_t i = 0; !err && dropper_state(d->dropper) == DROPPER_NEXT; i++) {
		if (i == y)
			continue;
		err = open_side(d, DROPPER_Z, i);
		if (err)
			return err;
		dropper_ask(d->dropper, clock_mono(), d->io[DROPPER_Z].client);
		run(d);
		if (dropper_state(d->dropper) == DROPPER_FAILED)
			err = failed(d);
		close_side(d, DROPPER_Z);
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
		close_side(&d, i);
	dropper_free(d.dropper);
	return err;
}
