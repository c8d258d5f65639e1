#include "forwarder.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cells.h"
#include "core/base/memory.h"
#include "core/base/units.h"
#include "core/client/forward.h"
#include "sys/process/clock.h"
#include "sys/process/log.h"
#include "sys/process/ready.h"
#include "sys/process/signals.h"

#define STOP_MS	   5000 /* for what was sent to be answered, after a signal */
#define BYE_MS	   1000
#define SAY_MIN_MS 1000 /* of what is tried again: from here on it is worth a line, */
#define SAY_MAX_MS 2000 /* … which it gets once */

struct lane {
	struct client_io io;
	bool open;
	bool failed; /* why was said */
};

struct forwarder {
	struct admin *admin;
	const char *cell; /* NULL: the daemon says it */
	struct forward *forward;
	struct client_io receiver;
	struct text list; /* of the daemon, or the user's */
	struct text self;
	struct cells *cells;
	struct lane *lanes;
	uint32_t count;
	struct pollfd *polls; /* signals, the receiver, lanes */
	bool changed;	      /* the daemon has another list by now */
	bool ready;
	bool stopping;
	uint64_t stop_ms;
	uint64_t moved; /* messages of which it is known what became of them */
	uint64_t moved_ms;
	char refusal[TEXT_MAX + NAME_FULL_MAX + 8]; /* the newest, of what stays */
};

static uint64_t now_ms(void)
{
	return clock_mono().ms;
}

/* ---- senders ---- */

/* The cell that they are in has the address by which the receiver came; of the others the list says it. */
static enum rmq_error open_lane(struct forwarder *w, uint32_t i, struct reason *why)
{
	struct client_io *io = &w->lanes[i].io;
	struct client_config config = {
	    .window = FORWARD_WINDOW, .timeout_ms = CLIENT_FOREVER, .no_wait = true};
	struct client_host host = forward_sender(w->forward, i);
	if (w->cells->count == 0 || (!w->cell && slice_eq(cells_name(w->cells, i),
						     slice_of(w->self.data, w->self.len))))
		return client_io_open(io, &w->admin->common, &config, &host, why);
	struct client_io_cell cell = {
	    cells_name(w->cells, i), w->cells->cells[i].servers, client_io_local(&w->receiver)};
	return client_io_open_cell(io, &w->admin->common, &cell, &config, &host, why);
}

static struct client *on_open(void *arg, uint32_t i)
{
	struct forwarder *w = arg;
	struct lane *l = &w->lanes[i];
	struct reason why;
	enum rmq_error err = open_lane(w, i, &why);
	l->open = !err;
	if (err && !l->failed)
		log_notice("%s", reason_text(&why, err));
	l->failed = err;
	return err ? NULL : l->io.client;
}

static void on_close(void *arg, uint32_t i)
{
	struct lane *l = &((struct forwarder *)arg)->lanes[i];
	client_io_close(&l->io);
	l->open = false;
}

static void on_refused(void *arg, struct slice name, uint64_t messages, bool dead,
    uint64_t rest_ms, enum rmq_error code, struct slice text)
{
	struct forwarder *w = arg;
	(void)code;
	snprintf(w->refusal, sizeof(w->refusal), "%.*s: %.*s", (int)name.len,
	    (const char *)name.data, (int)text.len, (const char *)text.data);
	if (dead)
		log_notice("%s: %llu %s dead letters of %.*s" NAME_AWAY_SUFFIX, w->refusal,
		    (unsigned long long)messages,
		    messages == 1 ? "message is now among the" : "messages are now",
		    (int)name.len, (const char *)name.data);
	else if (rest_ms >= SAY_MIN_MS && rest_ms < SAY_MAX_MS)
		log_notice("%s: what is for it waits, and is tried again", w->refusal);
}

/* ---- which cells ---- */

static enum rmq_error begin(struct forwarder *w)
{
	const char *text;
	w->cells = memory_new(sizeof(*w->cells));
	if (w->list.len > 0 &&
	    cells_parse(w->cells, slice_of(w->list.data, w->list.len), &text))
		return admin_fail(
		    w->admin, RMQ_E_PROTOCOL, "the daemon's list of cells is none: %s", text);
	w->count = w->cells->count > 0 ? w->cells->count : 1;
	w->lanes = memory_new(w->count * sizeof(*w->lanes));
	w->polls = memory_new((w->count + 2) * sizeof(*w->polls));
	forward_cells(w->forward, w->cells);
	return RMQ_E_OK;
}

/* A user's own list stays what it is. */
static void on_cells(void *arg, struct slice self, struct slice list)
{
	struct forwarder *w = arg;
	bool first = !w->ready;
	w->ready = true;
	if (w->cell)
		return;
	if (!first) {
		w->changed |= !slice_eq(list, slice_of(w->list.data, w->list.len)) ||
			      !slice_eq(self, slice_of(w->self.data, w->self.len));
		return;
	}
	text_put_slice(&w->list, list);
	text_put_slice(&w->self, self);
	(void)begin(w);
}

/* ---- the loop ---- */

static enum rmq_error open_receiver(struct forwarder *w)
{
	struct admin *a = w->admin;
	struct reason why;
	struct client_config config = {
	    .window = CLIENT_WINDOW, .timeout_ms = a->common.timeout_ms, .pinned = true};
	struct client_host host = forward_receiver(w->forward);
	struct client_io_cell cell = {w->cell ? slice_str(w->cell) : NO_TAGS, NO_TAGS, false};
	bool several = a->common.servers && cells_named(slice_str(a->common.servers));
	if (several && !w->cell)
		return admin_fail(a, RMQ_E_USAGE,
		    "forward: %s is a list of cells: say by --cell NAME which is this one",
		    a->common.servers);
	if (w->cell && !several)
		return admin_fail(a, RMQ_E_USAGE,
		    "forward: --cell is for a list of cells, and --server or RMQ_SERVERS is none");
	enum rmq_error err = client_io_open_cell(
	    &w->receiver, &a->common, w->cell ? &cell : NULL, &config, &host, &why);
	if (err)
		return admin_fail(a, err, "%s", why.text);
	if (w->cell)
		text_put_str(&w->list, a->common.servers);
	return w->cell ? begin(w) : RMQ_E_OK;
}

static void turn_all(struct forwarder *w)
{
	uint64_t due_ms;
	int timeout_ms, lane_ms;
	uint32_t n = 2;
	forward_turn(w->forward, clock_mono());
	struct pollfd first[2] = {{signals_fd(), POLLIN, 0}};
	struct pollfd *p = w->polls ? w->polls : first;
	p[0] = first[0];
	if (w->stopping)
		p[0].fd = -1;
	p[1] = client_io_prepare(&w->receiver, &timeout_ms);
	for (uint32_t i = 0; i < w->count; i++) {
		if (!w->lanes[i].open) {
			p[n++] = (struct pollfd){-1, 0, 0};
			continue;
		}
		p[n++] = client_io_prepare(&w->lanes[i].io, &lane_ms);
		if (lane_ms >= 0)
			timeout_ms = client_io_sooner(timeout_ms, (uint64_t)lane_ms);
	}
	due_ms = forward_due_ms(w->forward, clock_mono());
	timeout_ms = client_io_sooner(timeout_ms, due_ms);
	if (w->stopping || w->admin->common.timeout_ms != CLIENT_FOREVER)
		timeout_ms = client_io_sooner(timeout_ms, 100);
	if (poll(p, n, timeout_ms) <= 0)
		return;
	client_io_turn(&w->receiver, p[1].revents);
	for (uint32_t i = 2; i < n; i++)
		if (w->lanes[i - 2].open)
			client_io_turn(&w->lanes[i - 2].io, p[i].revents);
}

static void stop(struct forwarder *w)
{
	w->stopping = true;
	w->stop_ms = now_ms() + STOP_MS;
	if (ready_notify("STOPPING=1") != 0)
		log_debug("NOTIFY_SOCKET: it is not told");
	forward_stop(w->forward);
}

static enum rmq_error failed(struct forwarder *w)
{
	struct slice text;
	char why[CLIENT_IO_WHY_MAX];
	enum rmq_error err = forward_error(w->forward, &text);
	if (!err || w->admin->code)
		return w->admin->code;
	text = client_io_why(&w->receiver, err, text, why);
	return admin_fail(w->admin, err, "%.*s", (int)text.len, (const char *)text.data);
}

/* With a time-out, nothing is given up as long as anything is forwarded. */
static enum rmq_error look_at_progress(struct forwarder *w)
{
	uint64_t moved = forward_sent(w->forward) + forward_dead(w->forward), now = now_ms();
	char within[UNITS_TEXT_MAX];
	/* As long as it has no daemon, the client gives up by itself. */
	if (moved != w->moved || !client_welcomed(w->receiver.client))
		w->moved_ms = now;
	w->moved = moved;
	if (w->admin->common.timeout_ms == CLIENT_FOREVER ||
	    now - w->moved_ms < w->admin->common.timeout_ms)
		return RMQ_E_OK;
	units_print_duration(within, w->admin->common.timeout_ms);
	return admin_fail(w->admin, RMQ_E_TIMEOUT, "nothing was forwarded within %s%s%s",
	    within, w->refusal[0] ? ": " : "", w->refusal);
}

static enum rmq_error loop(struct forwarder *w, bool once)
{
	bool told = false;
	enum rmq_error err = RMQ_E_OK;
	w->moved_ms = now_ms();
	while (!err && !w->changed && !signals_caught() &&
	       !(once && w->ready && forward_done(w->forward))) {
		turn_all(w);
		if (w->ready && !told) {
			told = true;
			log_info("ready");
			if (ready_notify("READY=1") != 0)
				log_notice("NOTIFY_SOCKET: it cannot be told");
		}
		err = failed(w);
		if (!err && once)
			err = look_at_progress(w);
	}
	if (!err) {
		stop(w);
		while (!failed(w) && !forward_stopped(w->forward) && now_ms() < w->stop_ms)
			turn_all(w);
	}
	if (!err && w->changed)
		err = admin_fail(
		    w->admin, RMQ_E_INTERRUPTED, "the list of cells has changed: start anew");
	return err ? err : w->admin->code;
}

static void close_all(struct forwarder *w)
{
	for (uint32_t i = 0; i < w->count; i++)
		if (w->lanes[i].open) {
			(void)client_io_bye(&w->lanes[i].io, -1, BYE_MS);
			client_io_close(&w->lanes[i].io);
		}
	if (w->receiver.client && !w->admin->code)
		(void)client_io_bye(&w->receiver, -1, BYE_MS);
	if (w->receiver.client)
		client_io_close(&w->receiver);
	forward_free(w->forward);
	text_deinit(&w->list);
	text_deinit(&w->self);
	free(w->cells);
	free(w->lanes);
	free(w->polls);
}

enum rmq_error forwarder_run(struct admin *a, bool once, const char *cell)
{
	struct forwarder w = {.admin = a, .cell = cell};
	struct forward_config config = {.once = once, .seed = now_ms()};
	struct forward_host host = {.arg = &w,
	    .open = on_open,
	    .close = on_close,
	    .cells = on_cells,
	    .refused = on_refused};
	w.forward = forward_new(&config, &host);
	enum rmq_error err = open_receiver(&w);
	if (!err) {
		forward_begin(w.forward, clock_mono(), w.receiver.client);
		err = loop(&w, once);
	}
	close_all(&w);
	return err;
}
