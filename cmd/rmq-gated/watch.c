#include "watch.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "gate.h"

#define AGAIN_MS 100
#define ALONE_MS 20

static void on_again(uv_timer_t *timer);

static void on_poll_closed(uv_handle_t *handle)
{
	free(handle);
}

static void disconnect(struct watch *w)
{
	if (w->poll) {
		uv_poll_stop(w->poll);
		uv_close((uv_handle_t *)w->poll, on_poll_closed);
	}
	w->poll = NULL;
	control_client_close(&w->client);
}

/* Who may relay is not forgotten: that does not change because nobody tells us. */
static void lost(struct watch *w, const struct reason *why)
{
	struct gate *g = w->gate;

	disconnect(w);
	/* Whoever answers next may be newer: only a refusal is followed by the older version. */
	if (w->greeted)
		w->version = 0;
	w->greeted = false;
	if (!w->said)
		log_notice("%s", why->text);
	w->said = true;
	g->view.flags = 0;
	g->view.leader[0] = 0;
	uv_timer_start(&w->again, on_again, AGAIN_MS, 0);
	gate_changed(g);
}

static void on_view(void *arg, uint32_t req, const struct control_view *v)
{
	struct watch *w = arg;
	struct gate *g = w->gate;

	(void)req;
	w->said = false;
	w->greeted = true;
	if (strcmp(v->leader, g->view.leader) != 0)
		log_info("%s%s", v->leader[0] ? v->leader : "nobody", " leads");
	bool begins = !(g->view.flags & CONTROL_TAKES_GATE);
	g->view = *v;
	if (begins)
		gate_report(g);
	peers_changed(g);
	gate_changed(g);
}

/* WATCH has no result but a refusal, and then the connection ends. */
static void on_result(void *arg, uint32_t req, enum rmq_error code, const char *text)
{
	(void)arg, (void)req, (void)code;
	log_notice("%s", text);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct watch *w = poll->data;
	struct reason why;

	(void)status, (void)events;
	enum rmq_error err = control_client_turn(&w->client, &why);
	/* The programs of a node are not restarted at the same time. */
	if (err == RMQ_E_VERSION)
		w->version = w->version == CONTROL_OLDEST ? CONTROL_VERSION : CONTROL_OLDEST;
	if (err) {
		lost(w, &why);
		return;
	}
	int wanted = control_client_events(&w->client) & POLLOUT ? UV_READABLE | UV_WRITABLE
								 : UV_READABLE;
	uv_poll_start(poll, wanted, on_poll);
}

void watch_report(struct watch *w, enum control_gate_state state)
{
	if (w->poll && (w->gate->view.flags & CONTROL_TAKES_GATE))
		control_client_gate(&w->client, state);
}

static void on_again(uv_timer_t *timer)
{
	struct watch *w = timer->data;
	struct control_client_host host = {
	    .arg = w, .version = w->version, .result = on_result, .view = on_view};
	struct reason why;

	enum rmq_error err =
	    control_client_open(&w->client, &w->gate->config.control, &host, &why);
	if (!err && (!(w->poll = malloc(sizeof(*w->poll))) ||
			uv_poll_init(timer->loop, w->poll, w->client.fd) != 0)) {
		free(w->poll);
		w->poll = NULL;
		err = reason_set(&why, RMQ_E_LIMIT, "out of memory");
	}
	if (err) {
		lost(w, &why);
		return;
	}
	w->poll->data = w;
	control_client_watch(&w->client);
	uv_poll_start(w->poll, UV_READABLE | UV_WRITABLE, on_poll);
}

/* ---- without a cluster ---- */

static void alone(struct gate *g)
{
	struct control_view *v = &g->view;

	memcpy(v->name, g->config.name, sizeof(v->name));
	memcpy(v->leader, g->config.name, sizeof(v->leader));
	(void)snprintf(
	    v->queue_socket, sizeof(v->queue_socket), "%s", g->config.queue_socket.path);
	v->role = CONTROL_ROLE_LEADER;
	v->flags = CONTROL_SERVING;
	gate_changed(g);
}

static void on_look(uv_timer_t *timer)
{
	struct watch *w = timer->data;
	gate_changed(w->gate);
}

void watch_again(struct watch *w)
{
	if (gate_is_alone(w->gate) && !uv_is_active((uv_handle_t *)&w->again))
		uv_timer_start(&w->again, on_look, ALONE_MS, 0);
}

/* ---- begin and end ---- */

void watch_open(struct watch *w, struct gate *g)
{
	w->gate = g;
	w->client.fd = -1;
	uv_timer_init(&g->loop, &w->again);
	w->again.data = w;
	if (gate_is_alone(g))
		alone(g);
	else
		on_again(&w->again);
}

void watch_close(struct watch *w)
{
	uv_timer_stop(&w->again);
	disconnect(w);
}
