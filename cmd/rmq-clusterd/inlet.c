#include "inlet.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "census.h"
#include "core/host/level.h"
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
	/* What it said counts as long as it can say something else. */
	if (p && p->in_node == i) {
		p->in_node = NULL;
		p->room = (struct disk_room){0, 0};
		p->flags = 0;
		p->settings = (struct settings){{{0}}};
		p->tell = (struct tell){.metrics = {.known = 0}};
		opinions_told(&i->cluster->peers.opinions, p->member.id, NULL);
	}
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

/* Whoever sees the members is told, as this node may be the only one that sees both. */
static void note_namesake(const struct inlet *i, const struct raft_member *joiner)
{
	struct cluster *c = i->cluster;
	uint64_t index;
	const struct raft_config *newest = members_newest(&c->peers.members, &index);
	const struct raft_member *is =
	    newest ? raft_config_find_name(newest, joiner->name) : NULL;

	if (!is)
		return;
	snprintf(c->peers.namesake.name, sizeof(c->peers.namesake.name), "%s", joiner->name);
	snprintf(c->peers.namesake.from, sizeof(c->peers.namesake.from), "%s",
	    link_conn_address(i->conn));
	c->peers.namesake.of = is->id;
	memcpy(c->peers.namesake.key, joiner->key, RAFT_KEY_SIZE);
	c->peers.namesake.asked_ms = cluster_now(c);
	cluster_changed(c);
}

void inlet_refuse(struct inlet *i, enum rmq_error code, const char *text)
{
	uint8_t frame[NODE_SMALL_MAX];
	struct writer w = writer_of(frame, sizeof(frame));

	node_put_refused(&w,
	    &(struct node_refused){(uint8_t)code, slice_str(text), i->cluster->status.term});
	if (i->joining && code == RMQ_E_EXISTS)
		note_namesake(i, &i->joiner);
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

/* Of what a member may have changed since it joined, timers only: the rest is shown as a trouble. */
static enum rmq_error check_settings(
    struct cluster *c, const struct node_hello *m, const struct peer *p, struct reason *why)
{
	struct settings times = {{{0}}};
	const struct settings_of node = {&times, p->member.name},
				 self = {&c->peers.settings, c->config.name};
	bool enforce = !c->config.unenforced && !(m->flags & NODE_HELLO_UNENFORCED);
	char text[TEXT_MAX + 1];

	settings_times(&times, m->election_ms, m->heartbeat_ms);
	/* Its log says which one it has, as this one does. */
	settings_engine(&times, c->config.engine);
	enum rmq_error err = settings_admit(&node, &self, enforce, text);
	return err ? reason_set(why, err, "%s", text) : RMQ_E_OK;
}

/* What is on its way to members counts, too. */
static enum rmq_error check_level(
    struct cluster *c, uint64_t reads, const char *name, struct reason *why)
{
	char text[TEXT_MAX + 1];
	uint64_t index;
	const struct raft_config *config = peers_view(c, &index);

	if (!config || level_admits(config, reads, name, text))
		return RMQ_E_OK;
	return reason_set(why, RMQ_E_VERSION, "%s", text);
}

/* Whether it may come, and who it is. */
static enum rmq_error check_identity(struct inlet *i, const struct node_hello *m,
    struct peer **p, struct reason *why, bool *another)
{
	struct cluster *c = i->cluster;
	struct members_hello h = {
	    .key = link_conn_peer(i->conn),
	    .boot = m->boot,
	    .begun = {m->last, m->term},
	    /* Where a database has the log, a disk that has forgotten does no harm. */
	    .forgot = (m->flags & NODE_HELLO_FORGOT) || database_link_used(c),
	    .accepted_ms = link_conn_accepted_ms(i->conn),
	};
	char text[TEXT_MAX + 1];

	if (node_wire_id(m->from, &h.from) || node_wire_id(m->to, &h.to))
		return reason_set(why, RMQ_E_PROTOCOL, "malformed HELLO");
	*p = peers_find(c, h.from);
	h.calls = *p && ((*p)->in_node || (*p)->in_bulk);
	h.answers = *p && (*p)->node.welcomed;
	enum rmq_error err = members_hello(&c->peers.members, &h, c->config.name, text);
	*another = h.another;
	/* It does not come as far as to say so itself. */
	if (err == RMQ_E_CORRUPT && !((*p)->flags & NODE_STATE_FORGOT)) {
		(*p)->flags |= NODE_STATE_FORGOT;
		cluster_changed(c);
	}
	return err ? reason_set(why, err, "%s", text) : RMQ_E_OK;
}

static void send_welcome(struct inlet *i)
{
	static uint8_t config[RAFT_CONFIG_SIZE_MAX], frame[NODE_SMALL_MAX];
	struct writer w = writer_of(config, sizeof(config)),
		      f = writer_of(frame, sizeof(frame));
	uint64_t index;

	raft_config_encode(&w, peers_told(i->cluster, &index));
	node_put_welcome(&f, &(struct node_welcome){NODE_VERSION, NODE_FEATURES,
				 i->cluster->status.term, index, slice_of(config, w.len)});
	assert(!w.full && !f.full);
	enum rmq_error err = link_conn_send(i->conn, &(struct slice){frame, f.len}, 1);
	(void)err; /* `down` comes */
}

/* It dialled again: the old one is dead and does not know it yet.  another: process. */
static void replace(struct peer *p, struct inlet *i, bool another)
{
	bool bulk = link_conn_role(i->conn) == LINK_BULK;
	bool node = p->in_node && (!bulk || another);

	if (p->in_bulk && (bulk || another))
		inlet_close(p->in_bulk);
	if (node)
		inlet_close(p->in_node);
	*(bulk ? &p->in_bulk : &p->in_node) = i;
	if (node)
		node_reset(p->cluster, p->member.id);
}

/* HELLO, JOIN, ASK and MEMBERS begin with a range of versions, whatever version they are of. */
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
	struct peer *p = NULL;
	bool another = false;
	enum rmq_error err = check_versions(payload, &why);

	if (err == RMQ_E_PROTOCOL || (!err && !node_hello_decode(payload, &m))) {
		bad(i, "HELLO");
		return;
	}
	if (!err)
		err = check_identity(i, &m, &p, &why, &another);
	if (!err)
		err = check_settings(c, &m, p, &why);
	if (!err)
		err = check_level(c, NODE_LEVEL(m.features), p->member.name, &why);
	if (err) {
		if (log_rate_allows(&c->strangers, cluster_now(c)))
			log_notice("%s at %s is refused: %s", p ? p->member.name : "a node",
			    link_conn_address(i->conn), why.text);
		inlet_refuse(i, err, why.text);
		return;
	}
	link_conn_introduced(i->conn);
	i->peer = p;
	peers_member_of(p)->alive_ms = cluster_now(c);
	replace(p, i, another);
	settings_times(&p->settings, m.election_ms, m.heartbeat_ms);
	if (another && (m.flags & NODE_HELLO_FORGOT || database_link_used(c)))
		node_lost(c, p->member.id);
	send_welcome(i);
	cluster_changed(c);
	if (p->node.dialer)
		link_dialer_now(p->node.dialer);
	if (p->bulk.dialer)
		link_dialer_now(p->bulk.dialer);
}

/* ---- messages ---- */

static void deliver(struct inlet *i, struct raft_message *m)
{
	struct cluster *c = i->cluster;

	m->from = i->peer->member.id;
	m->to = c->id;
	member_heard(peers_member_of(i->peer), m, raft_term_at(c->raft, m->place.index));
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

	opinions_beat(&i->cluster->peers.opinions, p->member.id, cluster_now(i->cluster));
	p->room = (struct disk_room){m->bytes, m->index};
	member_keeps(peers_member_of(p), (struct raft_place){m->kept, m->term});
	if (p->flags != m->flags)
		cluster_changed(i->cluster);
	if (m->flags & ~(unsigned)p->flags & NODE_STATE_SERVES)
		supervisor_passed(i->cluster);
	p->flags = m->flags;
	settings_flags(&p->settings, m->flags);
}

static bool take_tell(struct inlet *i, const struct node_tell *m)
{
	struct peer *p = i->peer;

	if (!tell_decode(m->tags, &p->tell))
		return false;
	settings_take(&p->settings, &p->tell.settings);
	opinions_told(&i->cluster->peers.opinions, p->member.id, &p->tell.opinion);
	return true;
}

static bool take_died(struct inlet *i, const struct node_died *m)
{
	if (m->state >= CRASHES_STATES)
		return false;
	supervisor_heard(i->cluster, i->peer->member.id,
	    (struct crashes_word){(enum crashes_state)m->state, m->place});
	return true;
}

/* Of itself, or of another member. */
static bool take_place(struct inlet *i, const struct node_place *m)
{
	struct raft_id id;
	struct socket_host host;
	char address[RAFT_ADDRESS_MAX + 1];
	const char *why;

	if (node_wire_place(m, &id, address) || socket_host_parse(&host, address, &why))
		return false;
	struct peer *p = peers_find(i->cluster, id);
	if (p)
		peers_place(p, p == i->peer ? MEMBER_SAID : MEMBER_HEARD, address);
	return true;
}

/* False: it is not what a peer says. */
static bool take_small(struct inlet *i, const struct frame *f)
{
	struct raft_message message;
	struct node_state state;
	struct node_command command;
	struct node_result result;
	struct node_place place;
	struct node_died died;
	struct node_want_holes want;
	struct node_holes holes;
	struct node_fetch fetch;
	struct node_fetched fetched;
	struct node_tell tell;

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
	case NODE_TYPE_WANT_HOLES:
		if (!node_want_holes_decode(f->payload, &want))
			return false;
		asked_for(&i->peer->holes_asked, want.from, want.term);
		return true;
	case NODE_TYPE_HOLES:
		return node_holes_decode(f->payload, &holes) &&
		       node_holes(i->cluster, i->peer->member.id, &holes);
	case NODE_TYPE_FETCH:
		if (!node_fetch_decode(f->payload, &fetch))
			return false;
		asked_for(&i->peer->records_asked, fetch.index, 0);
		return true;
	case NODE_TYPE_FETCHED:
		if (!node_fetched_decode(f->payload, &fetched))
			return false;
		node_fetched(i->cluster, i->peer->member.id, &fetched);
		return true;
	case NODE_TYPE_TELL:
		return node_tell_decode(f->payload, &tell) && take_tell(i, &tell);
	case NODE_TYPE_PLACE:
		return node_place_decode(f->payload, &place) && take_place(i, &place);
	case NODE_TYPE_DIED:
		return node_died_decode(f->payload, &died) && take_died(i, &died);
	}
	return false;
}

static void peer_frame(struct inlet *i, const struct frame *f)
{
	if (link_conn_role(i->conn) == LINK_NODE)
		peers_member_of(i->peer)->alive_ms = cluster_now(i->cluster);
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

static void tell_cluster(struct inlet *i, bool member)
{
	char text[TEXT_MAX + 1];
	const char *none;

	if (!member) {
		enum rmq_error err = census_asked(i->cluster, link_conn_peer(i->conn), &none);
		inlet_refuse(i, err, none);
		return;
	}
	members_tell(
	    &i->cluster->peers.members, link_conn_peer(i->conn), leave_up, i->cluster, text);
	inlet_refuse(i, RMQ_E_EXISTS, text);
}

/* Who is one is taken in already. */
static void tell_members(struct inlet *i)
{
	static uint8_t bytes[NODE_SMALL_MAX];

	inlet_joined(i, peers_joined(i->cluster, bytes, sizeof(bytes)));
}

/* It is to be taken in. */
static void go_on(struct inlet *i)
{
	link_conn_introduced(i->conn);
	i->joining = true;
	commands_take_in(i->cluster, i, &i->joiner, i->reads);
}

/* It has the time of a handshake to answer. */
static void ask_settings(struct inlet *i)
{
	i->asked = true;
	peers_say_settings(i->cluster, i->conn, false);
}

static void not_let_in(struct inlet *i, enum rmq_error err, const char *text)
{
	struct cluster *c = i->cluster;

	if (log_rate_allows(&c->strangers, cluster_now(c)))
		log_notice("%s at %s is not let in: %s", i->joiner.name,
		    link_conn_address(i->conn), text);
	inlet_refuse(i, err, text);
}

/* They must be those of the cluster, or it must say that they need not be. */
static void compare(struct inlet *i, const struct settings *theirs, bool enforce)
{
	const struct cluster *c = i->cluster;
	const struct settings_of joiner = {theirs, i->joiner.name},
				 self = {&c->peers.settings, c->config.name};
	char text[TEXT_MAX + 1];
	enum rmq_error err = settings_admit(&joiner, &self, enforce, text);

	if (err)
		not_let_in(i, err, text);
	else
		go_on(i);
}

static void take_settings(struct inlet *i, struct slice payload)
{
	struct node_settings m;
	struct settings theirs;
	bool unenforced = false;
	enum rmq_error err = RMQ_E_PROTOCOL;

	i->asked = false;
	if (node_settings_decode(payload, &m))
		err = settings_decode(m.tags, &theirs, &unenforced);
	if (err == RMQ_E_PROTOCOL)
		bad(i, "SETTINGS");
	else if (err)
		not_let_in(i, err, "it says settings that this node does not know");
	else
		compare(i, &theirs, !unenforced);
}

static void take_in(struct inlet *i, struct slice payload)
{
	struct node_join m;
	struct raft_member member;

	if (!node_join_decode(payload, &m)) {
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
	if (!members_has_key(&i->cluster->peers.members, member.key)) {
		char text[TEXT_MAX + 1];
		snprintf(text, sizeof(text), "%s was not admitted: rmq-cluster admit %s KEY",
		    member.name, member.name);
		note_namesake(i, &member);
		inlet_refuse(i, RMQ_E_NOTHING, text);
		return;
	}
	if (members_joined(&i->cluster->peers.members, &member)) {
		tell_members(i);
		return;
	}
	i->joiner = member;
	i->reads = NODE_LEVEL(m.features);
	if (m.features & NODE_FEATURES & NODE_FEATURE_SETTINGS)
		ask_settings(i);
	else
		compare(i, &(struct settings){{{0}}}, false);
}

/* Whom the cluster was recovered without runs on as the old one, and may not be alone. */
static void note_back(struct cluster *c, struct raft_id id)
{
	uint64_t index;
	const struct raft_config *newest = members_newest(&c->peers.members, &index);
	const struct raft_removed *was = newest ? raft_config_removed(newest, id) : NULL;

	if (!was || was->how != RAFT_LOST)
		return;
	snprintf(c->peers.back, sizeof(c->peers.back), "%s", was->name);
	c->peers.back_ms = cluster_now(c);
	cluster_changed(c);
}

static void take_members(struct inlet *i, struct slice payload)
{
	struct node_members m;
	struct raft_id cluster, id;
	char text[TEXT_MAX + 1];
	struct reason why = {""};

	if (!node_members_decode(payload, &m) || node_wire_id(m.cluster, &cluster) ||
	    node_wire_id(m.id, &id)) {
		bad(i, "MEMBERS");
		return;
	}
	note_back(i->cluster, id);
	enum rmq_error err = members_asked(
	    &i->cluster->peers.members, cluster, id, link_conn_peer(i->conn), text);
	if (!err)
		err = check_level(i->cluster, NODE_LEVEL(m.features), "this node", &why);
	if (why.text[0])
		snprintf(text, sizeof(text), "%s", why.text);
	if (err)
		inlet_refuse(i, err, text);
	else
		tell_members(i);
}

static void join(struct inlet *i, const struct frame *f)
{
	struct reason why = {""};
	uint64_t index;
	bool member = members_newest(&i->cluster->peers.members, &index) != NULL;

	if (f->type == NODE_TYPE_SETTINGS && i->asked) {
		take_settings(i, f->payload);
		return;
	}
	if ((f->type != NODE_TYPE_JOIN && f->type != NODE_TYPE_ASK &&
		f->type != NODE_TYPE_MEMBERS) ||
	    i->joining || i->asked) {
		bad(i, "JOIN");
		return;
	}
	enum rmq_error err = check_versions(f->payload, &why);
	if (err == RMQ_E_VERSION)
		inlet_refuse(i, err, why.text);
	else if (err)
		bad(i, "JOIN");
	else if (f->type == NODE_TYPE_ASK)
		tell_cluster(i, member);
	else if (!member)
		inlet_refuse(i, RMQ_E_NOTHING, "it is not a member of a cluster");
	else if (f->type == NODE_TYPE_MEMBERS)
		take_members(i, f->payload);
	else
		take_in(i, f->payload);
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
