#include "gate.h"

#include <errno.h>
#include <string.h>

#include "client.h"

#define ACCEPT_RETRY_MS 1000
/* What a client is told to wait: longer when nobody has led for a while. */
#define NOT_YET_MIN_MS 20
#define NOT_YET_MAX_MS 160
#define NOT_YET_PART   20

void gate_changed(struct gate *g)
{
	struct stream *s, *next;

	bool led = (g->view.flags & CONTROL_SERVING) || g->leader_link;
	if (led)
		g->lost_ms = 0;
	else if (g->lost_ms == 0)
		g->lost_ms = uv_now(&g->loop);
	for (s = TAILQ_FIRST(&g->waiting); s; s = next) {
		next = TAILQ_NEXT(s, waiting);
		stream_changed(s);
	}
}

uint32_t gate_not_yet_ms(const struct gate *g)
{
	uint64_t ms = g->lost_ms ? (uv_now(&g->loop) - g->lost_ms) / NOT_YET_PART : 0;
	return ms < NOT_YET_MIN_MS   ? NOT_YET_MIN_MS
	       : ms > NOT_YET_MAX_MS ? NOT_YET_MAX_MS
				     : (uint32_t)ms;
}

/* ---- accepting ---- */

static void on_retry(uv_timer_t *timer)
{
	struct gate *g = timer->data;
	g->full = false;
	listener_resume(&g->listener);
}

/* Until a connection ends; but what runs out may not be ours. */
static void stop_accepting(struct gate *g, const char *why)
{
	g->full = true;
	listener_pause(&g->listener);
	if (!g->full_said)
		log_notice(
		    "%u clients, no more are accepted for now: %s", g->clients_count, why);
	g->full_said = true;
}

static bool is_full(void *arg)
{
	const struct gate *g = arg;
	return g->full;
}

static void on_accept(void *arg, int fd)
{
	client_new(arg, fd);
}

static void on_exhausted(void *arg, int error)
{
	struct gate *g = arg;
	stop_accepting(g, strerror(error));
	uv_timer_start(&g->retry, on_retry, ACCEPT_RETRY_MS, 0);
}

void gate_client_begun(struct gate *g)
{
	if (++g->clients_count == g->clients_max)
		stop_accepting(g, "limit reached");
}

void gate_stream_ended(struct gate *g, const struct stream *s)
{
	if (s->far) {
		g->far_count--;
		return;
	}
	g->clients_count--;
	if (s->key)
		g->led_count--;
	/* Once for each time that it becomes full, not for each that takes a free place. */
	if (g->clients_count <= g->clients_max / 2)
		g->full_said = false;
	if (g->full) {
		uv_timer_stop(&g->retry);
		on_retry(&g->retry);
	}
}

/* ---- links that are over ---- */

static void on_sweep(uv_timer_t *timer)
{
	struct gate *g = timer->data;
	struct gate_link *l, *next;

	for (l = LIST_FIRST(&g->links); l; l = next) {
		next = LIST_NEXT(l, entry);
		if (l->dismissed)
			peers_close_link(g, l);
		else if (l->ending)
			peers_cut(g, l);
	}
}

void gate_sweep(struct gate *g, struct gate_link *l)
{
	l->ending = true;
	uv_timer_start(&g->sweep, on_sweep, 0, 0);
}

void gate_dismiss(struct gate *g, struct gate_link *l)
{
	l->dismissed = true;
	gate_sweep(g, l);
}

/* ---- what rmq-clusterd is told ---- */

void gate_report(struct gate *g)
{
	bool reaches = g->leader_link && gate_link_probe(g->leader_link);

	watch_report(&g->watch, reaches ? CONTROL_GATE_REACHES : CONTROL_GATE_MISSES);
}

static void on_report(uv_timer_t *timer)
{
	gate_report(timer->data);
}

/* ---- life ---- */

int gate_init(struct gate *g, uint64_t nofile)
{
	uint64_t most =
	    nofile > GATE_DESCRIPTORS_RESERVE + 3 ? (nofile - GATE_DESCRIPTORS_RESERVE) / 3 : 1;
	uv_timer_t *timers[] = {&g->retry, &g->sweep, &g->report, &g->principals.expiry};
	int err = uv_loop_init(&g->loop);

	if (err)
		return err;
	g->clients_max = most < GATE_CLIENTS_MAX ? (uint32_t)most : GATE_CLIENTS_MAX;
	g->far_max = g->principals.links_max = g->clients_max;
	g->budget = GATE_BUDGET;
	g->lost_ms = uv_now(&g->loop);
	LIST_INIT(&g->links);
	for (size_t i = 0; i < sizeof(timers) / sizeof(timers[0]); i++) {
		uv_timer_init(&g->loop, timers[i]);
		timers[i]->data = g;
	}
	streams_init(g);
	return 0;
}

void gate_start(struct gate *g)
{
	listener_start(&g->listener, &g->loop,
	    &(struct listener_host){g, is_full, on_accept, on_exhausted});
	if (!gate_is_alone(g))
		uv_timer_start(&g->report, on_report, CONTROL_GATE_MS, CONTROL_GATE_MS);
}

void gate_stop(struct gate *g)
{
	listener_close(&g->listener);
	uv_timer_stop(&g->report);
	watch_report(&g->watch, CONTROL_GATE_ENDS);
	watch_close(&g->watch);
	peers_close(g);
	principals_close(g);
	uv_stop(&g->loop);
}
