#include "census.h"

#include <stdio.h>

#include "state.h"

static void heard(struct census_ask *a, enum rmq_error code, struct slice says)
{
	link_dialer_free(a->dialer);
	a->dialer = NULL;
	founding_heard(&a->cluster->census.founding, a->at, code, says);
}

static void on_up(void *arg, struct link_conn *conn)
{
	uint8_t frame[NODE_SMALL_MAX];
	struct writer w = writer_of(frame, sizeof(frame));

	(void)arg;
	node_put_ask(&w, &(struct node_ask){NODE_VERSION, NODE_OLDEST, NODE_FEATURES});
	assert(!w.full);
	enum rmq_error err = link_conn_send(conn, &(struct slice){frame, w.len}, 1);
	(void)err; /* it is dialled again */
}

static void on_frame(void *arg, struct link_conn *conn, const struct frame *f)
{
	struct node_refused m;
	bool says = f->type == NODE_TYPE_REFUSED && node_refused_decode(f->payload, &m);

	(void)conn;
	if (says)
		heard(arg, (enum rmq_error)m.code, m.text);
	else
		heard(
		    arg, RMQ_E_PROTOCOL, slice_str("it does not say that it knows no cluster"));
}

/* A node without a cluster listens to whoever asks.  Who is not there yet may come. */
static void on_failed(void *arg, enum rmq_error err, const char *why)
{
	char text[TEXT_MAX + 1];

	snprintf(text, sizeof(text),
	    "%s; it may be a member of a cluster that has not admitted this node", why);
	if (err == RMQ_E_DENIED)
		heard(arg, err, slice_str(text));
}

static void ask(struct cluster *c, const struct config_seed *seed)
{
	struct census *s = &c->census;
	unsigned at = founding_ask(&s->founding, seed->name);
	struct census_ask *a = &s->asks[at];

	a->cluster = c;
	a->at = at;
	a->dialer = join_dial(c, seed,
	    (struct link_dialer_options){
		.events = {.up = on_up, .frame = on_frame},
		.failed = on_failed,
		.arg = a,
	    });
}

void census_begin(struct cluster *c)
{
	const struct config_seeds *seeds = &c->config.seeds;

	if (c->census.founding.claims)
		return;
	founding_begin(&c->census.founding, cluster_now(c));
	for (unsigned i = 0; i < seeds->count; i++)
		ask(c, &seeds->seeds[i]);
}

enum commands_verdict census_look(const struct cluster *c, bool adopts, char *text)
{
	return founding_look(&c->census.founding, adopts, cluster_now(c), text);
}

enum rmq_error census_asked(
    struct cluster *c, const uint8_t key[RAFT_KEY_SIZE], const char **text)
{
	return founding_asked(&c->census.founding,
	    c->founding_seq != 0 || database_link_founds(c), c->pair.key, key, text);
}

void census_end(struct cluster *c)
{
	struct census *s = &c->census;

	for (unsigned i = 0; i < s->founding.asked; i++) {
		if (s->asks[i].dialer)
			link_dialer_free(s->asks[i].dialer);
		s->asks[i].dialer = NULL;
	}
	founding_end(&s->founding);
}
