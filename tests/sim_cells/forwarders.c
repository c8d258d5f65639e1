#include "forwarders.h"

#include "../sim/trace.h"
#include "cell.h"

#include "core/client/forward.h"

#include <assert.h>
#include <stdlib.h>

struct forwards {
	struct forward *core;
	unsigned cell;
	struct end receiver;
	struct end lanes[WORLD_CELLS];
	struct cells list;
	bool told; /* it has one */
	char text[sizeof(((struct world *)NULL)->list)];
};

static struct mono_time now(const struct actor *a)
{
	return (struct mono_time){a->w->boot_ms + 1000000};
}

static struct client *on_open(void *arg, uint32_t lane)
{
	struct actor *a = arg;
	struct forwards *f = a->forwards;
	const struct client_config config = {
	    .window = FORWARD_WINDOW,
	    .timeout_ms = CLIENT_FOREVER,
	    .no_wait = true,
	};
	struct client_host host = forward_sender(f->core, lane);
	end_init(&f->lanes[lane], a->w, f->cell, f->list.count ? f->text : NULL, config, &host);
	f->lanes[lane].clock_ms = 1000000;
	return f->lanes[lane].client;
}

static void on_close(void *arg, uint32_t lane)
{
	struct actor *a = arg;
	trace("lane ends", a->number, lane, 0, 0);
	end_deinit(&a->forwards->lanes[lane]);
}

/* It knew none, and takes that of its cell. */
static void on_cells(void *arg, struct slice self, struct slice list)
{
	struct actor *a = arg;
	struct forwards *f = a->forwards;
	const char *why = "";
	(void)self;
	if (f->told)
		return;
	f->told = true;
	snprintf(f->text, sizeof(f->text), "%.*s", (int)list.len, (const char *)list.data);
	if (list.len > 0 && cells_parse(&f->list, slice_str(f->text), &why))
		trace_fail("a cell tells what is no list of cells: %s", why);
	forward_cells(f->core, &f->list);
}

static void on_refused(void *arg, struct slice name, uint64_t messages, bool dead,
    uint64_t rest_ms, enum rmq_error code, struct slice text)
{
	struct actor *a = arg;
	(void)name;
	trace("refused", a->number, messages, dead, code);
	(void)rest_ms;
	if (dead)
		trace_fail("what is forwarded is refused for good: %.*s", (int)text.len,
		    (const char *)text.data);
}

void forwarders_start(struct actor *a, unsigned cell)
{
	const char *why = "", *list = a->w->unlisted ? a->w->list : actors_list(a->w);
	struct forwards *f = a->forwards = calloc(1, sizeof(*f));
	const struct forward_host host = {a, on_open, on_close, on_cells, on_refused};
	const struct client_config config = {
	    .window = CLIENT_WINDOW, .timeout_ms = CLIENT_FOREVER, .pinned = true};
	assert(f);
	f->cell = cell;
	f->told = list != NULL;
	snprintf(f->text, sizeof(f->text), "%s", list ? list : "");
	if (list && cells_parse(&f->list, slice_str(f->text), &why))
		trace_fail("the list of cells is none: %s", why);
	const struct forward_config how = {
	    .cells = f->told ? &f->list : NULL, .seed = prng_next(&a->w->prng)};
	f->core = forward_new(&how, &host);
	assert(f->core);
	struct client_host receiver = forward_receiver(f->core);
	end_init(&f->receiver, a->w, cell, NULL, config, &receiver);
	f->receiver.clock_ms = 1000000;
	forward_begin(f->core, now(a), f->receiver.client);
}

void forwarders_stop(struct actor *a)
{
	struct forwards *f = a->forwards;
	if (!f)
		return;
	end_deinit(&f->receiver);
	for (unsigned i = 0; i < WORLD_CELLS; i++)
		if (f->lanes[i].client)
			end_deinit(&f->lanes[i]);
	forward_free(f->core);
	free(f);
	a->forwards = NULL;
}

void forwarders_step(struct actor *a)
{
	struct forwards *f = a->forwards;
	struct slice text;
	end_pump(&f->receiver, false);
	for (unsigned i = 0; i < WORLD_CELLS; i++) {
		if (f->lanes[i].client)
			end_pump(&f->lanes[i], false);
		a->fatal |= f->lanes[i].astray;
	}
	forward_turn(f->core, now(a));
	end_pump(&f->receiver, false);
	if (forward_error(f->core, &text))
		a->fatal = true;
}

bool forwarders_ready(const struct actor *a)
{
	const struct forwards *f = a->forwards;
	bool ready = end_ready(&f->receiver) || forward_due_ms(f->core, now(a)) == 0;
	for (unsigned i = 0; i < WORLD_CELLS; i++)
		ready |= end_ready(&f->lanes[i]);
	return ready;
}

uint64_t forwarders_due(const struct actor *a)
{
	const struct forwards *f = a->forwards;
	uint64_t due = end_due(&f->receiver), ms = forward_due_ms(f->core, now(a));
	for (unsigned i = 0; i < WORLD_CELLS; i++)
		due = end_due(&f->lanes[i]) < due ? end_due(&f->lanes[i]) : due;
	if (ms != CLIENT_FOREVER && a->w->boot_ms + ms < due)
		due = a->w->boot_ms + ms;
	return due;
}
