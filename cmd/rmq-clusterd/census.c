#include "census.h"

#include <string.h>

#include "state.h"

static void heard(struct census_ask *a, enum commands_word word)
{
	link_dialer_free(a->dialer);
	a->dialer = NULL;
	commands_heard(&a->cluster->census.heard, word, a->name);
}

static void on_up(void *arg, struct link_conn *conn)
{
	uint8_t frame[NODE_SMALL_MAX];
	struct writer w = writer_of(frame, sizeof(frame));

	(void)arg;
	node_put_ask(&w, &(struct node_ask){NODE_VERSION, NODE_OLDEST, NODE_FEATURES});
	assert(!w.full);
	enum rmq_error err = link_conn_send(conn, &(struct slice){frame, w.len}, 1);
	(void)err; /* `down` comes */
}

/* Any other answer is one of a node that does not say that it has none. */
static void on_frame(void *arg, struct link_conn *conn, const struct frame *f)
{
	struct node_refused m;
	bool none = f->type == NODE_TYPE_REFUSED && node_refused_decode(f->payload, &m) &&
		    m.code == RMQ_E_NOTHING;

	(void)conn;
	heard(arg, none ? COMMANDS_NO_CLUSTER : COMMANDS_CLUSTER);
}

static void on_down(void *arg, struct link_conn *conn, enum rmq_error err, const char *why)
{
	(void)conn, (void)err, (void)why;
	heard(arg, COMMANDS_CLUSTER);
}

/* A node without a cluster listens to whoever asks. */
static void on_failed(void *arg, enum rmq_error err, const char *why)
{
	(void)why;
	heard(arg, err == RMQ_E_DENIED ? COMMANDS_CLUSTER : COMMANDS_SILENCE);
}

static void ask(struct cluster *c, const struct config_seed *seed)
{
	struct census_ask *a = &c->census.asks[c->census.count++];

	a->cluster = c;
	memcpy(a->name, seed->name, sizeof(a->name));
	a->dialer = join_dial(c, seed,
	    (struct link_dialer_options){
		.events = {.up = on_up, .frame = on_frame, .down = on_down},
		.failed = on_failed,
		.arg = a,
	    });
}

void census_begin(struct cluster *c)
{
	struct census *s = &c->census;
	const struct config_seeds *seeds = &c->config.seeds;

	if (s->asking)
		return;
	*s = (struct census){.asking = true, .begun_ms = cluster_now(c)};
	s->heard.asked = seeds->count;
	for (unsigned i = 0; i < seeds->count; i++)
		ask(c, &seeds->seeds[i]);
}

enum commands_verdict census_look(const struct cluster *c, char *text)
{
	const struct census *s = &c->census;

	return commands_may_found(&s->heard, cluster_now(c) - s->begun_ms, text);
}

void census_end(struct cluster *c)
{
	struct census *s = &c->census;

	for (unsigned i = 0; i < s->count; i++) {
		if (s->asks[i].dialer)
			link_dialer_free(s->asks[i].dialer);
	}
	*s = (struct census){.asking = false};
}
