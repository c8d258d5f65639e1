#include "inlet.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node.h"
#include "state.h"

/* ---- life ---- */

void inlet_up(void *arg, struct link_conn *conn)
{
	struct inlet *i = calloc(1, sizeof(*i));

	if (!i)
		abort();
	i->cluster = arg;
	i->conn = conn;
	link_conn_set_data(conn, i);
}

static void drop_message(struct inlet *i)
{
	for (unsigned at = 0; at < i->in.message.run_count; at++)
		chunk_drop(i->pieces[at].chunk);
	node_wire_clear(&i->in);
}

/* Frees it; the connection was closed, or is down. */
static void forget(struct inlet *i)
{
	struct peer *p = i->peer;

	drop_message(i);
	chunk_drop(i->chunk);
	if (p && p->in_node == i)
		p->in_node = NULL;
	if (p && p->in_bulk == i)
		p->in_bulk = NULL;
	if (i->joining)
		commands_forget_joiner(i->cluster, i);
	free(i);
}

void inlet_close(struct inlet *i)
{
	link_conn_cut(i->conn);
	forget(i);
}

void inlet_down(void *arg, struct link_conn *conn, enum rmq_error err, const char *why)
{
	struct cluster *c = arg;
	struct inlet *i = link_conn_data(conn);
	struct peer *p = i->peer;
	bool node = p && p->in_node == i;

	(void)err, (void)why;
	forget(i);
	if (!node)
		return;
	cluster_changed(c);
	node_reset(c, p->member.id);
}

void inlet_refuse(struct inlet *i, enum rmq_error code, const char *text)
{
	uint8_t frame[NODE_SMALL_MAX];
	struct writer w = writer_of(frame, sizeof(frame));

	node_put_refused(&w, &(struct node_refused){(uint8_t)code, slice_str(text)});
	enum rmq_error err = link_conn_send(i->conn, &(struct slice){frame, w.len}, 1);
	(void)err;
	link_conn_close(i->conn);
	forget(i);
}

/* A frame that no correct peer sends. */
static void bad(struct inlet *i, const char *what)
{
	if (log_rate_allows(&i->cluster->strangers, cluster_now(i->cluster)))
		log_notice("%s at %s: bad %s", i->peer ? i->peer->member.name : "a node",
		    link_conn_address(i->conn), what);
	struct peer *p = i->peer;
	struct cluster *c = i->cluster;
	bool node = p && p->in_node == i;
	inlet_close(i);
	if (node)
		node_reset(c, p->member.id);
}

/* ---- HELLO ---- */

static enum rmq_error check_settings(
    struct cluster *c, const struct node_hello *m, struct reason *why)
{
	if (m->election_ms != c->config.election_timeout)
		return reason_set(why, RMQ_E_CONFIG,
		    "election-timeout is %" PRIu32 " ms, and %" PRIu64 " ms at %s",
		    m->election_ms, c->config.election_timeout, c->config.name);
	if (m->heartbeat_ms != c->config.heartbeat)
		return reason_set(why, RMQ_E_CONFIG,
		    "heartbeat is %" PRIu32 " ms, and %" PRIu64 " ms at %s", m->heartbeat_ms,
		    c->config.heartbeat, c->config.name);
	return RMQ_E_OK;
}

/* Whether it is the node that it was: neither a new directory, nor a copy, nor an old state. */
static enum rmq_error check_identity(struct cluster *c, const struct raft_member *member,
    const struct node_hello *m, struct reason *why)
{
	struct raft_id from, to;
	const char *name = member->name;

	if (node_wire_id(m->from, &from) || node_wire_id(m->to, &to))
		return reason_set(why, RMQ_E_PROTOCOL, "malformed HELLO");
	if (!raft_id_eq(to, c->id))
		return reason_set(why, RMQ_E_BUSY,
		    "%s has another data directory than %s believes", c->config.name, name);
	if (!raft_id_eq(from, member->id))
		return reason_set(why, RMQ_E_EXISTS,
		    "%s is a member with another data directory; remove it first: "
		    "rmq-cluster leave %s",
		    name, name);
	const struct peer *p = peers_find(c, from);
	if (!p)
		return reason_set(why, RMQ_E_BUSY, "%s is not known yet", name);
	/* If it cannot be reached itself, the older process is gone and its links are dead. */
	if ((p->in_node || p->in_bulk) && p->node.welcomed && p->boot != m->boot)
		return reason_set(why, RMQ_E_BUSY,
		    "%s runs already: two processes have copies of one data directory", name);
	if (m->term < p->seen_term || (m->term == p->seen_term && m->last < p->seen_index))
		return reason_set(why, RMQ_E_CORRUPT,
		    "the data directory of %s was put back to an older state; remove it: "
		    "rmq-cluster leave %s",
		    name, name);
	return RMQ_E_OK;
}

static void send_welcome(struct inlet *i)
{
	static uint8_t config[RAFT_CONFIG_SIZE_MAX], frame[NODE_SMALL_MAX];
	struct writer w = writer_of(config, sizeof(config)),
		      f = writer_of(frame, sizeof(frame));
	uint64_t index;

	raft_config_encode(&w, peers_view(i->cluster, &index));
	node_put_welcome(&f, &(struct node_welcome){
				 NODE_VERSION, NODE_FEATURES, index, slice_of(config, w.len)});
	assert(!w.full && !f.full);
	enum rmq_error err = link_conn_send(i->conn, &(struct slice){frame, f.len}, 1);
	(void)err; /* `down` comes */
}

/* It dialled again: the old one is dead and does not know it yet. */
static void replace(struct peer *p, struct inlet *i, uint64_t boot)
{
	bool bulk = link_conn_role(i->conn) == LINK_BULK;
	bool node = p->in_node && (!bulk || p->boot != boot);

	if (p->in_bulk && (bulk || p->boot != boot))
		inlet_close(p->in_bulk);
	if (node)
		inlet_close(p->in_node);
	*(bulk ? &p->in_bulk : &p->in_node) = i;
	p->boot = boot;
	if (node)
		node_reset(p->cluster, p->member.id);
}

/* HELLO and JOIN begin with a range of versions, whatever version they are of. */
static enum rmq_error check_versions(struct slice payload, struct reason *why)
{
	char text[TEXT_MAX];

	if (payload.len < 4)
		return RMQ_E_PROTOCOL;
	struct versions theirs = {load_u16(payload.data + 2), load_u16(payload.data)};
	if (versions_common(theirs, NODE_VERSIONS))
		return RMQ_E_OK;
	versions_differ(text, sizeof(text), "this node", theirs, NODE_VERSIONS);
	return reason_set(why, RMQ_E_VERSION, "%s", text);
}

static void hello(struct inlet *i, struct slice payload)
{
	struct cluster *c = i->cluster;
	struct node_hello m = {0};
	struct reason why = {""};
	uint64_t index;
	const struct raft_config *view = peers_view(c, &index);
	const struct raft_member *member =
	    view ? raft_config_find_key(view, link_conn_peer(i->conn)) : NULL;
	enum rmq_error err = check_versions(payload, &why);

	if (err == RMQ_E_PROTOCOL || (!err && !node_hello_decode(payload, &m))) {
		bad(i, "HELLO");
		return;
	}
	if (!member)
		err = reason_set(&why, RMQ_E_DENIED, "it " PEERS_REMOVED_TEXT);
	else if (!err)
		err = check_identity(c, member, &m, &why);
	if (!err)
		err = check_settings(c, &m, &why);
	if (err) {
		if (log_rate_allows(&c->strangers, cluster_now(c)))
			log_notice("%s at %s is refused: %s", member ? member->name : "a node",
			    link_conn_address(i->conn), why.text);
		inlet_refuse(i, err, why.text);
		return;
	}
	struct peer *p = peers_find(c, member->id);
	i->peer = p;
	replace(p, i, m.boot);
	send_welcome(i);
	cluster_changed(c);
	if (p->node.dialer)
		link_dialer_now(p->node.dialer);
	if (p->bulk.dialer)
		link_dialer_now(p->bulk.dialer);
}

/* ---- messages ---- */

/*
 * What it said of itself it must still know when it comes back.  These do not say that their
 * term is durable.
 */
static void remember(struct peer *p, const struct raft_message *m)
{
	if (m->type == RAFT_PREVOTE || m->type == RAFT_PREVOTED || m->type == RAFT_REMOVED)
		return;
	if (m->term > p->seen_term) {
		p->seen_term = m->term;
		p->seen_index = 0;
	}
	if (m->type == RAFT_APPENDED && m->ok && m->term == p->seen_term &&
	    m->place.index > p->seen_index)
		p->seen_index = m->place.index;
}

static void deliver(struct inlet *i, struct raft_message *m)
{
	struct cluster *c = i->cluster;

	m->from = i->peer->member.id;
	m->to = c->id;
	remember(i->peer, m);
	node_message(c, m, i->pieces);
}

/* One whose payloads are all here. */
static void deliver_append(struct inlet *i)
{
	deliver(i, &i->in.message);
	drop_message(i);
}

static void take_run(struct inlet *i, struct slice payload)
{
	unsigned at = i->in.message.run_count;

	if (node_wire_run(&i->in, payload)) {
		/* It has forgotten them all. */
		for (unsigned k = 0; k < at; k++)
			chunk_drop(i->pieces[k].chunk);
		bad(i, "RUN");
		return;
	}
	i->pieces[at] = chunk_put(&i->chunk, i->in.payloads[at]);
	chunk_hold(i->pieces[at].chunk);
	if (i->in.left == 0)
		deliver_append(i);
}

static void take_state(struct inlet *i, const struct node_state *m)
{
	struct peer *p = i->peer;

	p->room = m->bytes;
	p->room_index = m->index;
	if (p->ready != (m->ready != 0))
		cluster_changed(i->cluster);
	p->ready = m->ready != 0;
}

/* False: it is not what a peer says. */
static bool take_small(struct inlet *i, const struct frame *f)
{
	struct raft_message message;
	struct node_state state;
	struct node_command command;
	struct node_result result;

	switch (f->type) {
	case NODE_TYPE_MESSAGE:
		if (node_wire_message(f->payload, &message))
			return false;
		deliver(i, &message);
		return true;
	case NODE_TYPE_STATE:
		if (!node_state_decode(f->payload, &state))
			return false;
		take_state(i, &state);
		return true;
	case NODE_TYPE_COMMAND:
		return node_command_decode(f->payload, &command) &&
		       commands_asked(i->cluster, i->peer, &command);
	case NODE_TYPE_RESULT:
		if (!node_result_decode(f->payload, &result))
			return false;
		commands_result(i->cluster, i->peer, &result);
		return true;
	}
	return false;
}

static void peer_frame(struct inlet *i, const struct frame *f)
{
	/* Nothing comes between an APPEND and its RUNs. */
	if (i->in.left > 0 && f->type != NODE_TYPE_RUN) {
		bad(i, "frame in an APPEND");
		return;
	}
	if (f->type == NODE_TYPE_RUN) {
		take_run(i, f->payload);
	} else if (f->type == NODE_TYPE_APPEND) {
		if (node_wire_begin(&i->in, f->payload))
			bad(i, "APPEND");
		else if (i->in.left == 0)
			deliver_append(i);
	} else if (!take_small(i, f)) {
		bad(i, "frame");
	}
}

/* ---- JOIN ---- */

void inlet_joined(struct inlet *i, struct slice payload)
{
	uint8_t header[FRAME_HEADER_SIZE];

	i->joining = false;
	frame_header(header, NODE_TYPE_JOINED, payload.len);
	struct slice pieces[] = {{header, sizeof(header)}, payload};
	enum rmq_error err = link_conn_send(i->conn, pieces, 2);
	(void)err;
	link_conn_close(i->conn);
	forget(i);
}

static void join(struct inlet *i, const struct frame *f)
{
	struct node_join m;
	struct raft_member member;

	struct reason why = {""};

	if (f->type != NODE_TYPE_JOIN || i->joining) {
		bad(i, "JOIN");
		return;
	}
	enum rmq_error err = check_versions(f->payload, &why);
	if (err == RMQ_E_VERSION) {
		inlet_refuse(i, err, why.text);
		return;
	}
	if (err || !node_join_decode(f->payload, &m)) {
		bad(i, "JOIN");
		return;
	}
	struct node_command command = {
	    .command = NODE_COMMAND_TAKE_IN,
	    .name = m.name,
	    .key = slice_of(link_conn_peer(i->conn), RAFT_KEY_SIZE),
	    .id = m.id,
	    .flags = m.flags,
	    .address = m.address,
	    .gate = m.gate,
	};
	if (m.name.len == 0 || node_wire_member(&command, &member) || raft_id_none(member.id)) {
		bad(i, "JOIN");
		return;
	}
	i->joining = true;
	commands_take_in(i->cluster, i, &member);
}

void inlet_frame(void *arg, struct link_conn *conn, const struct frame *f)
{
	struct inlet *i = link_conn_data(conn);

	(void)arg;
	if (link_conn_role(conn) == LINK_JOIN)
		join(i, f);
	else if (i->peer)
		peer_frame(i, f);
	else if (f->type == NODE_TYPE_HELLO)
		hello(i, f->payload);
	else
		bad(i, "first frame");
}
