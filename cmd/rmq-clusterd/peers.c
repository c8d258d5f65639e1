#include "peers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

/* How often the others are told how much fits here; at once if it matters. */
#define STATE_MS 100

const struct raft_config *peers_view(const struct cluster *c, uint64_t *index)
{
	const struct raft_config *log = c->status.config;

	if (c->peers.hint_index > 0 && (!log || c->peers.hint_index > c->status.config_index)) {
		*index = c->peers.hint_index;
		return &c->peers.hint;
	}
	*index = log ? c->status.config_index : 0;
	return log;
}

bool peers_member(const struct cluster *c)
{
	uint64_t index;
	const struct raft_config *view = peers_view(c, &index);

	return view && raft_config_find(view, c->id);
}

void peers_hint(struct cluster *c, uint64_t index, const struct raft_config *config)
{
	uint64_t known;
	const struct raft_config *view = peers_view(c, &known);

	if (view && (index <= known || !raft_id_eq(view->cluster, config->cluster)))
		return;
	c->peers.hint_index = index;
	c->peers.hint = *config;
	c->members_changed = true;
}

static void put_address(char to[RAFT_ADDRESS_MAX + 1], const struct socket_host *host)
{
	char text[SOCKET_HOST_TEXT_SIZE] = "";

	if (host->host[0])
		socket_host_print(host, text);
	snprintf(to, RAFT_ADDRESS_MAX + 1, "%.*s", RAFT_ADDRESS_MAX, text);
}

void peers_self(const struct cluster *c, struct raft_member *m)
{
	*m = (struct raft_member){.id = c->id, .flags = (uint8_t)c->config.roles};
	memcpy(m->name, c->config.name, sizeof(m->name));
	memcpy(m->key, c->pair.key, RAFT_KEY_SIZE);
	put_address(m->address, &c->config.advertise);
	put_address(m->gate, &c->config.gate_advertise);
}

struct peer *peers_find(const struct cluster *c, struct raft_id id)
{
	for (unsigned i = 0; i < c->peers.count; i++) {
		if (raft_id_eq(c->peers.list[i]->member.id, id))
			return c->peers.list[i];
	}
	return NULL;
}

bool peers_reachable(const struct peer *p)
{
	return p->node.welcomed || p->in_node;
}

struct voter_room peers_room(const struct cluster *c, struct raft_id id)
{
	const struct peer *p = peers_find(c, id);

	return p ? (struct voter_room){p->room, p->room_index} : (struct voter_room){0, 0};
}

/* ---- membership ---- */

bool peers_removed(const struct cluster *c, const uint8_t key[RAFT_KEY_SIZE])
{
	for (unsigned i = 0; i < PEERS_REMOVED && i < c->peers.removed_count; i++) {
		if (memcmp(c->peers.removed[i], key, RAFT_KEY_SIZE) == 0)
			return true;
	}
	return false;
}

static bool same_place(const struct raft_member *a, const struct raft_member *b)
{
	return strcmp(a->name, b->name) == 0 && strcmp(a->address, b->address) == 0 &&
	       memcmp(a->key, b->key, RAFT_KEY_SIZE) == 0;
}

static void open_peer(struct cluster *c, const struct raft_member *m)
{
	struct peer *p = calloc(1, sizeof(*p));

	if (!p)
		abort();
	p->cluster = c;
	p->member = *m;
	outlet_init(&p->node, p, LINK_NODE);
	outlet_init(&p->bulk, p, LINK_BULK);
	c->peers.list[c->peers.count++] = p;
}

static void close_peer(struct cluster *c, unsigned at)
{
	struct peer *p = c->peers.list[at];

	outlet_deinit(&p->node);
	outlet_deinit(&p->bulk);
	if (p->in_node)
		inlet_close(p->in_node);
	if (p->in_bulk)
		inlet_close(p->in_bulk);
	commands_lost(c, p);
	memcpy(c->peers.removed[c->peers.removed_count++ % PEERS_REMOVED], p->member.key,
	    RAFT_KEY_SIZE);
	free(p);
	c->peers.list[at] = c->peers.list[--c->peers.count];
}

static void move_peer(struct peer *p, const struct raft_member *m)
{
	bool same = same_place(&p->member, m);

	p->member = *m;
	if (same)
		return;
	outlet_deinit(&p->node);
	outlet_deinit(&p->bulk);
	outlet_init(&p->node, p, LINK_NODE);
	outlet_init(&p->bulk, p, LINK_BULK);
}

void peers_update(struct cluster *c)
{
	uint64_t index;
	const struct raft_config *view = peers_view(c, &index);

	if (!view)
		return;
	link_net_cluster(c->peers.net, slice_of(view->cluster.bytes, RAFT_ID_SIZE));
	/* Who is removed is told so, by an answer or by the record, before the links end. */
	c->peers.leaving = index > c->status.commit && index == c->status.config_index;
	for (unsigned i = c->peers.count; i > 0 && !c->peers.leaving; i--) {
		if (!raft_config_find(view, c->peers.list[i - 1]->member.id))
			close_peer(c, i - 1);
	}
	for (unsigned i = 0; i < view->count; i++) {
		const struct raft_member *m = &view->members[i];
		struct peer *p = peers_find(c, m->id);
		if (raft_id_none(m->id) || raft_id_eq(m->id, c->id))
			continue;
		if (p)
			move_peer(p, m);
		else
			open_peer(c, m);
	}
	cluster_changed(c);
}

/* ---- sending ---- */

void peers_send(struct cluster *c, const struct raft_message *m, const struct raft_run *runs,
    const struct piece *pieces, unsigned count)
{
	static uint8_t heads[NODE_SMALL_MAX + RAFT_RUNS_MAX * NODE_RUN_HEAD];
	struct slice out[2 * RAFT_RUNS_MAX + 1];
	struct writer w = writer_of(heads, sizeof(heads));
	struct peer *p = peers_find(c, m->to);
	unsigned n = 0, at = 0;

	if (!p)
		return;
	node_wire_put(&w, m);
	out[n++] = slice_of(heads, w.len);
	for (unsigned i = 0; i < m->run_count; i++) {
		const struct raft_run *run = &m->runs[i];
		size_t begin = w.len;
		node_wire_put_run(&w, run);
		out[n++] = slice_of(heads + begin, w.len - begin);
		if (run->bytes == 0)
			continue;
		while (at < count && runs[at].first < run->first)
			at++;
		assert(at < count && runs[at].first == run->first &&
		       pieces[at].bytes.len == run->bytes);
		out[n++] = pieces[at].bytes;
	}
	assert(!w.full);
	outlet_send(m->run_count > 0 ? &p->bulk : &p->node, out, n);
}

static bool worth_telling(const struct cluster *c, const struct node_state *now)
{
	const struct node_state *told = &c->peers.told;

	if (told->bytes == UINT64_MAX || told->ready != now->ready)
		return true;
	return told->index != now->index && cluster_now(c) - c->peers.state_ms >= STATE_MS;
}

void peers_turn(struct cluster *c)
{
	uint8_t frame[NODE_SMALL_MAX];
	struct writer w = writer_of(frame, sizeof(frame));
	struct node_state now = {
	    c->disk.room_index, c->disk.room, supervisor_ready(&c->supervisor)};

	if (c->members_changed ||
	    (c->peers.leaving && c->status.commit >= c->status.config_index)) {
		c->members_changed = false;
		peers_update(c);
	}
	if (!worth_telling(c, &now))
		return;
	node_put_state(&w, &now);
	assert(!w.full);
	for (unsigned i = 0; i < c->peers.count; i++)
		outlet_send(&c->peers.list[i]->node, &(struct slice){frame, w.len}, 1);
	c->peers.told = now;
	c->peers.state_ms = cluster_now(c);
}

/* ---- life ---- */

/* Whoever is to be a member may come; what for, HELLO and JOIN say. */
static bool known(void *arg, enum link_role role, const uint8_t key[KEY_SIZE])
{
	const struct cluster *c = arg;
	uint64_t index;
	const struct raft_config *view = peers_view(c, &index);
	const struct raft_member *m = view ? raft_config_find_key(view, key) : NULL;

	if (role == LINK_JOIN)
		return m;
	return m ? !raft_id_none(m->id) : peers_removed(c, key);
}

static void on_stranger(void *arg, const char *address, const char *why)
{
	struct cluster *c = arg;

	/* Before this node knows its cluster, all are strangers. */
	if (!peers_member(c))
		log_info("connection from %s: %s", address, why);
	else if (log_rate_allows(&c->strangers, cluster_now(c)))
		log_notice("connection from %s: %s", address, why);
}

int peers_open(struct cluster *c)
{
	struct reason why = {""};
	struct link_listener_options options = {
	    .address = c->config.listen,
	    .roles =
		LINK_ROLE_BIT(LINK_NODE) | LINK_ROLE_BIT(LINK_BULK) | LINK_ROLE_BIT(LINK_JOIN),
	    .known = known,
	    .events = {.up = inlet_up, .frame = inlet_frame, .down = inlet_down},
	    .refused = on_stranger,
	    .arg = c,
	};

	c->peers.net = link_net_new(&c->loop, c->pair.secret, slice_str(c->config.name));
	if (!c->peers.net)
		abort();
	enum rmq_error err =
	    link_listener_new(c->peers.net, &options, &c->peers.listener, &why);
	if (err) {
		char text[SOCKET_HOST_TEXT_SIZE];
		socket_host_print(&c->config.listen, text);
		log_error("listen: %s: %s", text, why.text[0] ? why.text : error_text(err));
		return error_exit(err);
	}
	peers_update(c);
	return 0;
}

void peers_close(struct cluster *c)
{
	if (c->peers.listener)
		link_listener_free(c->peers.listener);
	while (c->peers.count > 0)
		close_peer(c, c->peers.count - 1);
}
