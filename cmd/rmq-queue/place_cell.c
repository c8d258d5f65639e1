#include "place_cell.h"

#include <poll.h>
#include <sodium/randombytes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/client/placer.h"
#include "sys/process/clock.h"
#include "sys/process/signals.h"

struct placing {
	struct cells_asked *cells;
	struct admin *admin;
	const char *queue;
	uint32_t to, home;
	struct placer *placer;
	struct client_io *ios; /* of each cell, … */
	bool lost[CELLS_MAX];
	bool opened[CELLS_MAX]; /* … that is */
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
	struct admin *a = p->admin;
	struct client_config config = {.window = CLIENT_WINDOW,
	    .timeout_ms = a->common.timeout_ms,
	    .no_wait = true,
	    .pinned = true};
	for (uint32_t i = 0; i < p->cells->list->count; i++) {
		struct reason why;
		struct slice name = cells_name(p->cells->list, i);
		struct client_host host = placer_host(p->placer, i);
		struct client_io_cell at = cells_at(p->cells, i);
		if (p->lost[i])
			continue;
		enum rmq_error err =
		    client_io_open_cell(&p->ios[i], &a->common, &at, &config, &host, &why);
		if (err)
			return admin_fail(a, err, "cell %.*s: %s", (int)name.len,
			    (const char *)name.data, why.text);
		p->opened[i] = true;
	}
	return RMQ_E_OK;
}

static void close_all(struct placing *p)
{
	int timeout_ms;
	for (uint32_t i = 0; i < p->cells->list->count; i++) {
		if (!p->opened[i])
			continue;
		client_bye(p->ios[i].client);
		if (!client_dead(p->ios[i].client))
			(void)client_io_prepare(&p->ios[i], &timeout_ms);
		client_io_close(&p->ios[i]);
	}
	placer_free(p->placer);
	free(p->ios);
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
		clients[i] = p->opened[i] ? p->ios[i].client : NULL;
	placer_begin(p->placer, clock_mono(), clients, token);
	while (placer_turn(p->placer, clock_mono()), placer_state(p->placer) == PLACER_GOES) {
		int timeout_ms = -1, due_ms;
		fds[count] = (struct pollfd){signals_fd(), POLLIN, 0};
		for (uint32_t i = 0; i < count; i++) {
			fds[i] = (struct pollfd){.fd = -1};
			if (!p->opened[i])
				continue;
			fds[i] = client_io_prepare(&p->ios[i], &due_ms);
			if (due_ms >= 0)
				timeout_ms = client_io_sooner(timeout_ms, (uint64_t)due_ms);
		}
		/* Preparing may find that there is no hope. */
		placer_turn(p->placer, clock_mono());
		if (placer_state(p->placer) != PLACER_GOES)
			break;
		if (poll(fds, count + 1, timeout_ms) > 0)
			for (uint32_t i = 0; i < count; i++)
				if (p->opened[i])
					client_io_turn(&p->ios[i], fds[i].revents);
		if (signals_caught())
			admin_die(p->admin);
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
	if (client_dead(p->ios[cell].client))
		text = client_io_why(&p->ios[cell], code, text, why);
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
	p.ios = calloc(c->list->count, sizeof(*p.ios));
	err = p.placer && p.ios ? open_all(&p)
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
