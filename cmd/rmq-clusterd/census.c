#include "census.h"

#include <stdio.h>
#include <string.h>

#include "state.h"

static void heard(struct census_ask *a, enum commands_word word, struct slice says)
{
	struct commands_census *s = &a->cluster->census.heard;

	link_dialer_free(a->dialer);
	a->dialer = NULL;
	s->seeds[a->at].word = word;
	if (says.len > TEXT_MAX)
		says.len = TEXT_MAX;
	memcpy(s->seeds[a->at].says, says.data, says.len);
	s->seeds[a->at].says[says.len] = '\0';
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

/* Any other answer is one of a node that does not say that it has none. */
static void on_frame(void *arg, struct link_conn *conn, const struct frame *f)
{
	struct node_refused m;
	bool says = f->type == NODE_TYPE_REFUSED && node_refused_decode(f->payload, &m);

	(void)conn;
	if (says && m.code == RMQ_E_NOTHING)
		heard(arg, COMMANDS_NO_CLUSTER, slice_str(""));
	else
		heard(arg, COMMANDS_CLUSTER,
		    says ? m.text : slice_str("it does not say that it knows no cluster"));
}

/* A node without a cluster listens to whoever asks.  Who is not there yet may come. */
static void on_failed(void *arg, enum rmq_error err, const char *why)
{
	char text[TEXT_MAX + 1];

	snprintf(text, sizeof(text),
	    "%s; it may be a member of a cluster that has not admitted this node", why);
	if (err == RMQ_E_DENIED)
		heard(arg, COMMANDS_CLUSTER, slice_str(text));
}

static void ask(struct cluster *c, const struct config_seed *seed)
{
	struct census *s = &c->census;
	unsigned at = s->heard.asked++;
	struct census_ask *a = &s->asks[at];

	a->cluster = c;
	a->at = at;
	memcpy(s->heard.seeds[at].name, seed->name, sizeof(seed->name));
	a->dialer = join_dial(c, seed,
	    (struct link_dialer_options){
		.events = {.up = on_up, .frame = on_frame},
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
	for (unsigned i = 0; i < seeds->count; i++)
		ask(c, &seeds->seeds[i]);
}

enum commands_verdict census_look(const struct cluster *c, char *text)
{
	const struct census *s = &c->census;

	return commands_may_found(&s->heard, cluster_now(c) - s->begun_ms, text);
}

bool census_claims(struct cluster *c, const uint8_t key[RAFT_KEY_SIZE])
{
	struct census *s = &c->census;

	if (c->founding_seq)
		return true;
	return s->asking && !commands_yield(&s->heard, c->pair.key, key);
}

void census_end(struct cluster *c)
{
	struct census *s = &c->census;

	for (unsigned i = 0; i < s->heard.asked; i++) {
		if (s->asks[i].dialer)
			link_dialer_free(s->asks[i].dialer);
	}
	*s = (struct census){.asking = false};
}
