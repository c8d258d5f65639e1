#include "peers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

const struct raft_config *peers_view(const struct cluster *c, uint64_t *index)
{
	return members_newest(&c->peers.members, index);
}

const struct raft_config *peers_told(const struct cluster *c, uint64_t *index)
{
	return members_told(&c->peers.members, index);
}

struct slice peers_joined(const struct cluster *c, uint8_t *bytes, size_t cap)
{
	static uint8_t config[RAFT_CONFIG_SIZE_MAX];
	struct writer w = writer_of(config, sizeof(config)), out = writer_of(bytes, cap);
	uint64_t index;

	raft_config_encode(&w, peers_told(c, &index));
	node_joined_encode(&out, &(struct node_joined){index, slice_of(config, w.len)});
	assert(!w.full && !out.full);
	return slice_of(bytes, out.len);
}

bool peers_member(const struct cluster *c)
{
	uint64_t index;
	const struct raft_config *view = peers_view(c, &index);

	return view && raft_config_find(view, c->id);
}

bool peers_removed(const struct cluster *c)
{
	bool told = false;

	for (unsigned i = 0; i < c->peers.count; i++)
		told |= c->peers.list[i]->removed_us;
	return told || c->status.gone;
}

void peers_hint(struct cluster *c, uint64_t index, const struct raft_config *config)
{
	if (members_hint(&c->peers.members, index, config))
		c->members_changed = true;
}

struct member_link *peers_member_of(const struct peer *p)
{
	return members_find(&p->cluster->peers.members, p->member.id);
}

static void put_address(char to[RAFT_ADDRESS_MAX + 1], const struct socket_host *host)
{
	char text[SOCKET_HOST_TEXT_SIZE] = "";

	if (host->host[0])
		socket_host_print(host, text);
	snprintf(to, RAFT_ADDRESS_MAX + 1, "%.*s", RAFT_ADDRESS_MAX, text);
}

void peers_address(const struct cluster *c, char address[RAFT_ADDRESS_MAX + 1])
{
	put_address(address, &c->config.advertise);
}

void peers_self(const struct cluster *c, struct raft_member *m)
{
	*m = (struct raft_member){.id = c->id, .flags = c->config.roles.flags};
	memcpy(m->name, c->config.name, sizeof(m->name));
	memcpy(m->key, c->pair.key, RAFT_KEY_SIZE);
	peers_address(c, m->address);
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

bool peers_forgot(const struct cluster *c, struct raft_id id)
{
	const struct peer *p = peers_find(c, id);

	return p && (p->flags & NODE_STATE_FORGOT);
}

static struct member_signs signs_of(const struct peer *p)
{
	return (struct member_signs){
	    .calls = p->in_node,
	    .answers = p->node.welcomed,
	    .tells = p->node.features & NODE_FEATURE_ALIVE,
	};
}

bool peers_up(const struct peer *p)
{
	struct member_signs signs = signs_of(p);

	return member_up(peers_member_of(p), &signs, cluster_now(p->cluster));
}

const struct peer *peers_leader(const struct cluster *c)
{
	const struct peer *p = peers_find(c, c->status.leader);

	return p && peers_up(p) ? p : NULL;
}

/* Where it says that it is, if it is linked elsewhere; and its gate, if that was not reached. */
static void probe(struct peer *p)
{
	const char *place = member_advertised(peers_member_of(p));
	bool elsewhere = p->node.welcomed && strcmp(place, p->node.at) != 0;
	bool unreached = p->flags & NODE_STATE_UNREACHED;

	probe_turn(&p->place, p, LINK_JOIN, elsewhere ? place : "");
	probe_turn(&p->gate, p, LINK_GATE, unreached ? p->member.gate : "");
}

/* Whether a file of rights was read, and which. */
static void note_settings(struct cluster *c, uint32_t flags)
{
	const uint32_t told = c->peers.told.flags;

	if (!c->peers.settings.value[SETTING_CREATE][0] ||
	    SETTINGS_FLAGS(told) != SETTINGS_FLAGS(flags))
		settings_flags(&c->peers.settings, flags);
}

/* A silence makes no event. */
static void note_up(struct cluster *c)
{
	for (unsigned i = 0; i < c->peers.count; i++) {
		struct peer *p = c->peers.list[i];
		probe(p);
		struct trouble_seen seen = {.signs = signs_of(p),
		    .up = peers_up(p),
		    .heard = p->room.index,
		    .room = p->room.bytes,
		    .flags = p->flags,
		    .differs =
			settings_differ(&p->settings, &c->peers.settings, 0) != SETTINGS_COUNT,
		    .astray = p->place.failed};
		enum trouble t = trouble_turn(peers_member_of(p), &seen, cluster_now(c));
		if (seen.up != p->was_up || t != p->trouble)
			cluster_changed(c);
		p->was_up = seen.up;
		p->trouble = t;
	}
}

/* ---- membership ---- */

/* Those that settings know by this name are a place to look for it. */
static void seed_place(struct cluster *c, struct member_link *l)
{
	char address[RAFT_ADDRESS_MAX + 1];

	for (unsigned i = 0; i < c->config.seeds.count; i++) {
		if (strcmp(c->config.seeds.seeds[i].name, l->member.name) != 0)
			continue;
		put_address(address, &c->config.seeds.seeds[i].address);
		(void)member_place(l, MEMBER_SEED, address);
	}
}

static void open_peer(struct cluster *c, struct raft_id id)
{
	struct member_link *l = members_find(&c->peers.members, id);
	struct peer *p = calloc(1, sizeof(*p));

	if (!p)
		abort();
	p->cluster = c;
	p->member = l->member;
	seed_place(c, l);
	outlet_init(&p->node, p, LINK_NODE);
	outlet_init(&p->bulk, p, LINK_BULK);
	c->peers.list[c->peers.count++] = p;
	opinions_add(&c->peers.opinions, id, cluster_now(c));
}

static void close_peer(struct cluster *c, struct peer *p)
{
	outlet_deinit(&p->node);
	outlet_deinit(&p->bulk);
	probe_end(&p->place);
	probe_end(&p->gate);
	if (p->in_node)
		inlet_close(p->in_node);
	if (p->in_bulk)
		inlet_close(p->in_bulk);
	commands_lost(c, p);
	opinions_drop(&c->peers.opinions, p->member.id);
	for (unsigned i = 0; i < c->peers.count; i++) {
		if (c->peers.list[i] == p)
			c->peers.list[i] = c->peers.list[--c->peers.count];
	}
	free(p);
}

static void move_peer(struct peer *p, const char *address)
{
	outlet_move(&p->node, address);
	outlet_move(&p->bulk, address);
}

/* Begins and ends links as membership says now. */
static void update(struct cluster *c)
{
	struct members_effect effects[MEMBERS_EFFECTS_MAX];
	unsigned n;
	uint64_t index;

	c->peers.members.self = c->peers.opinions.self = c->id;
	memcpy(c->peers.members.key, c->pair.key, RAFT_KEY_SIZE);
	n = members_update(&c->peers.members, effects);
	const struct raft_config *view = peers_view(c, &index);
	if (!view)
		return;
	link_net_cluster(c->peers.net, slice_of(view->cluster.bytes, RAFT_ID_SIZE));
	for (unsigned i = 0; i < n; i++) {
		if (effects[i].action == MEMBERS_MAKE)
			open_peer(c, effects[i].id);
		else
			close_peer(c, peers_find(c, effects[i].id));
	}
	for (unsigned i = 0; i < c->peers.count; i++) {
		struct peer *p = c->peers.list[i];
		const struct raft_member *m = &peers_member_of(p)->member;
		bool moved = strcmp(p->member.address, m->address) != 0;
		p->member = *m;
		if (moved)
			move_peer(p, m->address);
	}
	cluster_changed(c);
}

void peers_follow(struct cluster *c)
{
	if (members_log(&c->peers.members, &c->status))
		c->members_changed = true;
}

/* ---- addresses ---- */

static void tell_place(struct peer *to, struct raft_id id, const char *address)
{
	uint8_t frame[NODE_SMALL_MAX];
	struct writer w = writer_of(frame, sizeof(frame));

	if (address[0] == '\0' || !(to->node.features & NODE_FEATURE_PLACE))
		return;
	node_put_place(
	    &w, &(struct node_place){slice_of(id.bytes, RAFT_ID_SIZE), slice_str(address)});
	peers_say(to, false, &w);
}

void peers_tell_places(struct peer *p)
{
	struct cluster *c = p->cluster;
	struct raft_member self;

	peers_self(c, &self);
	tell_place(p, self.id, self.address);
	for (unsigned i = 0; i < c->peers.count; i++) {
		const struct peer *other = c->peers.list[i];
		if (other != p)
			tell_place(
			    p, other->member.id, peers_member_of(other)->places[MEMBER_SAID]);
	}
}

void peers_place(struct peer *p, enum member_place by, const char *address)
{
	struct cluster *c = p->cluster;

	if (!member_place(peers_member_of(p), by, address))
		return;
	move_peer(p, address);
	for (unsigned i = 0; by == MEMBER_SAID && i < c->peers.count; i++) {
		if (c->peers.list[i] != p)
			tell_place(c->peers.list[i], p->member.id, address);
	}
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
	outlet_send(raft_message_bulk(m) ? &p->bulk : &p->node, out, n);
}

void peers_say_settings(const struct cluster *c, struct link_conn *conn, bool unenforced)
{
	uint8_t tags[SETTINGS_SIZE_MAX], frame[NODE_SMALL_MAX];
	struct writer t = writer_of(tags, sizeof(tags)), w = writer_of(frame, sizeof(frame));

	settings_encode(&t, &c->peers.settings, unenforced);
	node_put_settings(&w, &(struct node_settings){slice_of(tags, t.len)});
	assert(!t.full && !w.full);
	enum rmq_error err = link_conn_send(conn, &(struct slice){frame, w.len}, 1);
	(void)err; /* `down` comes */
}

void peers_tell_died(struct peer *p)
{
	const struct crashes_word *own = &p->cluster->supervisor.crashes.own;
	uint8_t frame[NODE_SMALL_MAX];
	struct writer w = writer_of(frame, sizeof(frame));

	if (!(p->node.features & NODE_FEATURE_DIED))
		return;
	node_put_died(&w, &(struct node_died){(uint8_t)own->state, own->place});
	peers_say(p, false, &w);
}

static void tell_died(struct cluster *c)
{
	const struct crashes_word *own = &c->supervisor.crashes.own;
	struct crashes_word *told = &c->peers.told_died;

	if (own->state == told->state && own->place == told->place)
		return;
	*told = *own;
	for (unsigned i = 0; i < c->peers.count; i++)
		peers_tell_died(c->peers.list[i]);
}

void peers_say(struct peer *p, bool bulk, const struct writer *frame)
{
	assert(!frame->full);
	outlet_send(bulk ? &p->bulk : &p->node, &(struct slice){frame->p, frame->len}, 1);
}

/* Of a log that a database keeps, others are sent only what is committed: no more is theirs to lack. */
static struct disk_room own_room(const struct cluster *c)
{
	struct disk_room room = c->disk.room;

	if (database_link_used(c) && room.index > c->status.commit)
		room.index = c->status.commit;
	return room;
}

static bool worth_telling(const struct cluster *c, uint64_t now_ms)
{
	const struct node_state *told = &c->peers.told;
	const struct disk_room room = {told->bytes, told->index}, now = own_room(c);

	uint64_t age = now_ms - c->peers.state_ms;

	return told->bytes == UINT64_MAX || age >= MEMBER_TELL_MS ||
	       told->flags != watchdog_flags(c) || room_is_news(&room, &now, age);
}

uint64_t peers_due(const struct cluster *c)
{
	uint64_t news = c->peers.state_ms + ROOM_TELL_MS;
	uint64_t suspicion = opinions_due(&c->peers.opinions);

	if (c->peers.count == 0)
		return UINT64_MAX;
	if (!worth_telling(c, news))
		news = c->peers.state_ms + MEMBER_TELL_MS;
	return suspicion < news ? suspicion : news;
}

/* Whether it and its gate are where it says is for it alone. */
static void tell_state(struct peer *p, struct node_state now)
{
	uint8_t frame[NODE_SMALL_MAX];
	struct writer w = writer_of(frame, sizeof(frame));

	now.flags |= p->trouble == TROUBLE_ASTRAY ? NODE_STATE_ASTRAY : 0;
	now.flags |= p->gate.answered ? NODE_STATE_FINDS : 0;
	node_put_state(&w, &now);
	peers_say(p, false, &w);
}

void peers_tell_self(const struct cluster *c, struct tell *t)
{
	*t = (struct tell){.metrics = {.known = 0}};
	figures_take(c, &t->metrics);
	opinions_own(&c->peers.opinions, &t->opinion);
	t->settings = c->peers.settings;
	t->says_roles = true;
	memcpy(t->roles, c->config.roles.names, sizeof(t->roles));
}

/* To all that understand it. */
static void tell_self(struct cluster *c)
{
	uint8_t tags[TELL_SIZE_MAX], frame[NODE_SMALL_MAX];
	struct writer t = writer_of(tags, sizeof(tags)), w = writer_of(frame, sizeof(frame));
	struct tell self;

	peers_tell_self(c, &self);
	tell_encode(&t, &self);
	assert(!t.full);
	node_put_tell(&w, &(struct node_tell){slice_of(tags, t.len)});
	for (unsigned i = 0; i < c->peers.count; i++)
		if (c->peers.list[i]->node.features & NODE_FEATURE_TELL)
			peers_say(c->peers.list[i], false, &w);
}

/* Whom this node suspects the others are told at once: they may be waiting for its voice. */
static void suspect(struct cluster *c)
{
	if (!opinions_turn(&c->peers.opinions, cluster_now(c)))
		return;
	c->peers.told.bytes = UINT64_MAX;
	cluster_changed(c);
}

void peers_turn(struct cluster *c)
{
	const struct disk_room room = own_room(c);
	struct node_state now = {room.index, room.bytes, watchdog_flags(c), c->status.kept.term,
	    c->status.kept.index};

	peers_follow(c);
	if (c->members_changed) {
		c->members_changed = false;
		update(c);
	}
	note_settings(c, now.flags);
	note_up(c);
	suspect(c);
	tell_died(c);
	if (!worth_telling(c, cluster_now(c)))
		return;
	for (unsigned i = 0; i < c->peers.count; i++)
		tell_state(c->peers.list[i], now);
	tell_self(c);
	c->peers.told = now;
	c->peers.state_ms = cluster_now(c);
}

/* ---- life ---- */

/*
 * Whoever is to be a member may come; what for, HELLO and JOIN say.  Those that the settings
 * name may ask, and are told if they were not admitted.
 */
static bool known(void *arg, enum link_role role, const uint8_t key[KEY_SIZE])
{
	const struct cluster *c = arg;

	if (role == LINK_JOIN)
		return members_may_ask(&c->peers.members, key) ||
		       known_nodes_by_key(&c->join.known, key);
	return members_may_call(&c->peers.members, key);
}

static void on_stranger(void *arg, const char *address, const char *why)
{
	struct cluster *c = arg;

	/* Before this node votes, it may know less of the cluster than who calls. */
	bool votes = c->status.config && raft_config_is_voter(c->status.config, c->id);

	if (log_rate_allows(&c->strangers, cluster_now(c)))
		log_line(votes ? LOG_LEVEL_NOTICE : LOG_LEVEL_INFO, "connection from %s: %s",
		    address, why);
}

static void on_unheard(void *arg, const char *address, const char *why, uint64_t count)
{
	(void)arg;
	log_notice("connections are closed unheard: %s: %" PRIu64 ", the newest from %s", why,
	    count, address);
}

/* The list was checked when the settings were read. */
static void say_cells(struct cluster *c)
{
	struct cells list = {0};
	const char *unused;

	if (config_given(&c->config, cells))
		(void)!cells_parse(&list, slice_str(c->config.cells), &unused);
	settings_cells(&c->peers.settings, &list, c->config.cell);
}

int peers_open(struct cluster *c)
{
	struct reason why = {""};
	struct link_listener_options options = {
	    .address = c->config.listen,
	    .roles =
		LINK_ROLE_BIT(LINK_NODE) | LINK_ROLE_BIT(LINK_BULK) | LINK_ROLE_BIT(LINK_JOIN),
	    .greets = true,
	    .known = known,
	    .events = {.up = inlet_up, .frame = inlet_frame, .down = inlet_down},
	    .refused = on_stranger,
	    .unheard = on_unheard,
	    .arg = c,
	};

	c->peers.net = link_net_new(&c->loop, &c->pair, slice_str(c->config.name));
	if (!c->peers.net)
		abort();
	enum rmq_error err =
	    link_listener_new(c->peers.net, &options, &c->peers.listener, &why);
	if (err) {
		char text[SOCKET_HOST_TEXT_SIZE];
		socket_host_print(&c->config.listen, text);
		log_error("listen: %s: %s", text, reason_text(&why, err));
		return error_exit(err);
	}
	opinions_init(&c->peers.opinions, c->id,
	    &(struct phi_settings){
		(uint32_t)c->config.phi_threshold, (uint32_t)c->config.phi_pause},
	    cluster_now(c));
	settings_times(&c->peers.settings, c->config.election_timeout, c->config.heartbeat);
	settings_min_members(&c->peers.settings, &c->config.min_members);
	settings_engine(&c->peers.settings, c->config.engine);
	say_cells(c);
	peers_follow(c);
	update(c);
	return 0;
}

void peers_close(struct cluster *c)
{
	if (c->peers.listener)
		link_listener_free(c->peers.listener);
	while (c->peers.count > 0)
		close_peer(c, c->peers.list[0]);
}
