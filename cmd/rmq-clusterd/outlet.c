#include "outlet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node.h"
#include "state.h"

/* Who joins does not know at once who joined before: for so long that is no news. */
#define STRANGE_MS 3000

static void send_hello(struct outlet *o)
{
	struct peer *p = o->peer;
	struct cluster *c = p->cluster;
	uint8_t frame[NODE_SMALL_MAX];
	struct writer w = writer_of(frame, sizeof(frame));
	uint8_t flags = (c->status.forgot ? NODE_HELLO_FORGOT : 0) |
			(c->config.unenforced ? NODE_HELLO_UNENFORCED : 0);

	node_put_hello(&w, &(struct node_hello){
			       .newest = NODE_VERSION,
			       .oldest = NODE_OLDEST,
			       .features = NODE_FEATURES,
			       .from = slice_of(c->id.bytes, RAFT_ID_SIZE),
			       .to = slice_of(p->member.id.bytes, RAFT_ID_SIZE),
			       .boot = c->boot,
			       .term = c->status.begun.term,
			       .last = c->status.begun.index,
			       .election_ms = (uint32_t)c->config.election_timeout,
			       .heartbeat_ms = (uint32_t)c->config.heartbeat,
			       .flags = flags,
			   });
	assert(!w.full);
	enum rmq_error err = link_conn_send(o->conn, &(struct slice){frame, w.len}, 1);
	(void)err; /* `down` comes */
}

static void on_up(void *arg, struct link_conn *conn)
{
	struct outlet *o = arg;

	o->conn = conn;
	o->welcomed = false;
	snprintf(
	    o->at, sizeof(o->at), "%s", member_address(peers_member_of(o->peer), o->attempt));
	send_hello(o);
}

static void welcome(struct outlet *o, struct slice payload)
{
	struct peer *p = o->peer;
	struct cluster *c = p->cluster;
	struct node_welcome m;
	struct raft_config config;

	if (o->welcomed || !node_welcome_decode(payload, &m) || m.version < NODE_OLDEST ||
	    m.version > NODE_VERSION || raft_config_decode(m.config, &config)) {
		link_conn_cut(o->conn);
		return;
	}
	o->welcomed = true;
	o->features = m.features;
	o->strange_ms = o->missing_ms = 0;
	p->refused[0] = '\0';
	p->removed_us = false;
	cluster_changed(c);
	c->peers.told.bytes = UINT64_MAX; /* it has to be told */
	log_info("%s: %s link is up", p->member.name, link_role_name(link_conn_role(o->conn)));
	/* What was sent into the void is sent again at once. */
	if (cluster_leads(c))
		node_reset(c, p->member.id);
	node_let_in(c, p->member.id, m.term);
	peers_hint(c, m.config_index, &config);
	if (o == &p->node) {
		peers_tell_places(p);
		peers_tell_died(p);
	}
}

/* Why the peer does not want us; said once. */
static void remember(struct peer *p, const char *text)
{
	if (strcmp(text, p->refused) == 0)
		return;
	snprintf(p->refused, sizeof(p->refused), "%s", text);
	log_notice("%s", text);
	cluster_changed(p->cluster);
}

static void refused(struct outlet *o, struct slice payload)
{
	struct peer *p = o->peer;
	struct node_refused m;
	char text[TEXT_MAX + 1];

	if (!node_refused_decode(payload, &m) || !error_known(m.code)) {
		link_conn_cut(o->conn);
		return;
	}
	snprintf(text, sizeof(text), "%s refuses this node: %.*s", p->member.name,
	    (int)m.text.len, (const char *)m.text.data);
	p->removed_us |= m.code == RMQ_E_DENIED;
	remember(p, text);
	if (m.code == RMQ_E_CORRUPT)
		node_forgot(p->cluster, m.term);
}

/* One line for each time that it is away, with the place that was tried last. */
static void note_missing(struct outlet *o, const char *why)
{
	const struct member_link *l = peers_member_of(o->peer);
	uint64_t now = cluster_now(o->peer->cluster);

	if (o->role != LINK_NODE || o->missing_ms == UINT64_MAX)
		return;
	if (o->missing_ms == 0)
		o->missing_ms = now;
	if (now - o->missing_ms < STRANGE_MS)
		return;
	o->missing_ms = UINT64_MAX;
	log_notice(
	    "%s: not reached at %s: %s", l->member.name, member_address(l, o->attempt), why);
}

static void set_address(struct outlet *o);

/*
 * That nobody answers is said once.  That who answers does not know us, or is someone else, is,
 * unless it is about to begin or to end.
 */
static void on_failed(void *arg, enum rmq_error err, const char *why)
{
	struct outlet *o = arg;
	struct peer *p = o->peer;
	char text[TEXT_MAX + 1];

	note_missing(o, why);
	o->attempt++;
	set_address(o);
	if (err == RMQ_E_DENIED || err == RMQ_E_PROTOCOL) {
		snprintf(text, sizeof(text), "%s: %s", p->member.name, why);
		if (o->strange_ms == 0)
			o->strange_ms = cluster_now(p->cluster);
		if (cluster_now(p->cluster) - o->strange_ms >= STRANGE_MS)
			remember(p, text);
		return;
	}
	if (o->strange_ms) {
		p->refused[0] = '\0';
		cluster_changed(p->cluster);
	}
	o->strange_ms = 0;
}

static void on_frame(void *arg, struct link_conn *conn, const struct frame *f)
{
	struct outlet *o = arg;

	if (f->type == NODE_TYPE_WELCOME)
		welcome(o, f->payload);
	else if (f->type == NODE_TYPE_REFUSED)
		refused(o, f->payload);
	else
		link_conn_cut(conn);
}

static void on_down(void *arg, struct link_conn *conn, enum rmq_error err, const char *why)
{
	struct outlet *o = arg;
	struct peer *p = o->peer;
	bool was = o->welcomed;

	(void)conn, (void)err;
	o->conn = NULL;
	o->welcomed = false;
	if (!was)
		return;
	log_info("%s: link is down: %s", p->member.name, why);
	cluster_changed(p->cluster);
	commands_lost(p->cluster, p);
	node_reset(p->cluster, p->member.id);
}

static void dial(struct outlet *o, const struct socket_host *address)
{
	struct peer *p = o->peer;
	struct link_dialer_options options = {
	    .address = *address,
	    .name = slice_str(p->member.name),
	    .role = o->role,
	    .events = {.up = on_up, .frame = on_frame, .down = on_down},
	    .failed = on_failed,
	    .arg = o,
	};

	memcpy(options.key, p->member.key, KEY_SIZE);
	o->dialer = link_dialer_new(p->cluster->peers.net, &options);
	if (!o->dialer)
		abort();
}

/* The next address that is one. */
static void set_address(struct outlet *o)
{
	const struct member_link *l = peers_member_of(o->peer);
	struct socket_host address;
	const char *why;

	for (unsigned i = 0; i <= MEMBER_PLACES; i++, o->attempt++) {
		if (socket_host_parse(&address, member_address(l, o->attempt), &why))
			continue;
		if (o->dialer)
			link_dialer_address(o->dialer, &address);
		else
			dial(o, &address);
		return;
	}
	log_notice("%s: none of its addresses can be dialled: %s", l->member.name, why);
}

void outlet_init(struct outlet *o, struct peer *p, enum link_role role)
{
	*o = (struct outlet){.peer = p, .role = role};
	set_address(o);
}

void outlet_move(struct outlet *o, const char *address)
{
	o->attempt = member_attempt(peers_member_of(o->peer), address, o->conn != NULL);
	set_address(o);
	if (o->dialer)
		link_dialer_now(o->dialer);
}

void outlet_deinit(struct outlet *o)
{
	if (o->dialer)
		link_dialer_free(o->dialer);
	o->dialer = NULL;
	o->conn = NULL;
	o->welcomed = false;
}

size_t outlet_queued(const struct outlet *o)
{
	return o->conn ? link_conn_queued(o->conn) : 0;
}

bool outlet_send(struct outlet *o, const struct slice *pieces, size_t count)
{
	return o->conn && o->welcomed && link_conn_send(o->conn, pieces, count) == RMQ_E_OK;
}
