#include "join.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

static void wake(struct cluster *c, uint64_t ms);

static void end_ask(struct join_ask *a)
{
	if (a->dialer)
		link_dialer_free(a->dialer);
	a->dialer = NULL;
}

static void hang_up(struct join *j)
{
	for (unsigned i = 0; i < CONFIG_SEEDS_MAX; i++)
		end_ask(&j->asks[i]);
}

void join_cancel(struct cluster *c)
{
	hang_up(&c->join);
	uv_timer_stop(&c->join.timer);
	c->join.asking = c->join.lost = false;
	cluster_changed(c);
}

/*
 * Why it was not taken in, or what hinders it; said once, whoever says it.  final: a member
 * says so, and it is to be acted upon: no other seed's silence hides it.  Of one that is lost
 * nothing else counts.
 */
static void remember(struct cluster *c, const char *who, const char *why, bool final)
{
	char text[TEXT_MAX + 1];
	size_t len = strlen(who);
	bool same = strncmp(c->join.refused, who, len) == 0 && c->join.refused[len] == ':';

	if ((c->join.lost || (c->join.final && !same)) && !final)
		return;
	c->join.final = final;
	if (strcmp(why, c->join.why) == 0)
		return;
	snprintf(c->join.why, sizeof(c->join.why), "%s", why);
	snprintf(text, sizeof(text), "%s: %s", who, why);
	memcpy(c->join.refused, text, sizeof(text));
	if (log_rate_allows(&c->join.said, cluster_now(c)))
		log_notice("join: %s", text);
	cluster_changed(c);
}

/* ---- one seed ---- */

static const struct config_seed *asked(const struct join_ask *a)
{
	return &a->cluster->join.seeds.seeds[a->at];
}

/* It has not answered: as the settings name it, and what to look at. */
static void not_reached(struct join_ask *a, enum rmq_error err, const char *why)
{
	const struct config_seed *seed = asked(a);
	char address[SOCKET_HOST_TEXT_SIZE], who[RAFT_NAME_MAX + 1 + sizeof(address)],
	    text[TEXT_MAX + 1];

	socket_host_print(&seed->address, address);
	snprintf(who, sizeof(who), "%s@%s", seed->name, address);
	snprintf(text, sizeof(text), "%s: %s", why,
	    err == RMQ_E_DENIED
		? "compare its key with known-nodes here, and admit this node there"
		: "look at this address, and whether rmq-clusterd runs there");
	remember(a->cluster, who, text, false);
	end_ask(a);
}

static void put_join(struct cluster *c, struct writer *w)
{
	struct raft_member self;

	peers_self(c, &self);
	node_put_join(w, &(struct node_join){
			     .newest = NODE_VERSION,
			     .oldest = NODE_OLDEST,
			     .features = NODE_FEATURES,
			     .id = slice_of(self.id.bytes, RAFT_ID_SIZE),
			     .name = slice_str(self.name),
			     .address = slice_str(self.address),
			     .gate = slice_str(self.gate),
			     .flags = self.flags,
			 });
}

static void put_members(struct cluster *c, struct writer *w)
{
	const struct raft_config *config = c->status.config;

	node_put_members(w, &(struct node_members){
				.newest = NODE_VERSION,
				.oldest = NODE_OLDEST,
				.features = NODE_FEATURES,
				.cluster = slice_of(config->cluster.bytes, RAFT_ID_SIZE),
				.id = slice_of(c->id.bytes, RAFT_ID_SIZE),
			    });
}

/*
 * A directory with the log of a cluster was a member's: it is taken in nowhere.  Its node only
 * asks who the members are.
 */
static void on_up(void *arg, struct link_conn *conn)
{
	struct cluster *c = ((struct join_ask *)arg)->cluster;
	uint8_t frame[NODE_SMALL_MAX];
	struct writer w = writer_of(frame, sizeof(frame));

	(c->status.config ? put_members : put_join)(c, &w);
	assert(!w.full);
	enum rmq_error err = link_conn_send(conn, &(struct slice){frame, w.len}, 1);
	(void)err; /* `down` comes */
}

static void joined(struct join_ask *a, struct slice payload)
{
	struct cluster *c = a->cluster;
	struct node_joined m;
	struct raft_config config;

	if (!node_joined_decode(payload, &m) || raft_config_decode(m.config, &config) ||
	    !raft_config_find(&config, c->id)) {
		remember(c, asked(a)->name, "its answer is not a membership", false);
		end_ask(a);
		return;
	}
	if (joining_let_in(&c->join.joining, c->join.seeds.count, cluster_now(c)) &&
	    !c->join.lost)
		log_notice("let in by %s", asked(a)->name);
	c->join.refused[0] = c->join.why[0] = '\0';
	c->join.final = false;
	peers_hint(c, m.config_index, &config);
	hang_up(&c->join);
	/* The leader calls; if it does not, the next one is asked. */
	wake(c, JOINING_TRY_MS);
}

static void on_frame(void *arg, struct link_conn *conn, const struct frame *f)
{
	struct join_ask *a = arg;
	struct node_refused m;
	char text[TEXT_MAX + 1];

	(void)conn;
	if (f->type == NODE_TYPE_JOINED) {
		joined(a, f->payload);
		return;
	}
	if (f->type == NODE_TYPE_REFUSED && node_refused_decode(f->payload, &m)) {
		memcpy(text, m.text.data, m.text.len);
		text[m.text.len] = '\0';
		remember(a->cluster, asked(a)->name, text, m.code == RMQ_E_EXISTS);
	}
	end_ask(a);
}

static void on_down(void *arg, struct link_conn *conn, enum rmq_error err, const char *why)
{
	(void)conn;
	not_reached(arg, err, why);
}

static void on_failed(void *arg, enum rmq_error err, const char *why)
{
	not_reached(arg, err, why);
}

struct link_dialer *join_dial(
    struct cluster *c, const struct config_seed *seed, struct link_dialer_options options)
{
	const struct known_node *node = known_nodes_by_name(&c->join.known, seed->name);

	options.address = seed->address;
	options.name = slice_str(seed->name);
	options.role = LINK_JOIN;
	memcpy(options.key, node->key, KEY_SIZE);
	struct link_dialer *dialer = link_dialer_new(c->peers.net, &options);
	if (!dialer)
		abort();
	return dialer;
}

/* Nobody, if the next one may still answer. */
static void ask_next(struct cluster *c)
{
	struct join *j = &c->join;
	unsigned at = j->next++ % j->seeds.count;
	struct join_ask *a = &j->asks[at];

	if (a->dialer && cluster_now(c) < a->until_ms)
		return;
	end_ask(a);
	*a = (struct join_ask){c, at, NULL, cluster_now(c) + JOINING_TRY_MS};
	a->dialer = join_dial(c, asked(a),
	    (struct link_dialer_options){
		.events = {.up = on_up, .frame = on_frame, .down = on_down},
		.failed = on_failed,
		.arg = a,
	    });
}

/* ---- in turn ---- */

static void give_up(struct cluster *c)
{
	bool by_command = c->join.by_command;

	join_cancel(c);
	if (by_command)
		return;
	log_error("%s within join-timeout: %s",
	    c->join.joining.let_in ? "let in, but no member answers any more" : "not let in",
	    c->join.refused[0] ? c->join.refused : "no seed answers");
	cluster_die(c, error_exit(RMQ_E_NO_DAEMON));
}

static void on_timer(uv_timer_t *timer)
{
	struct cluster *c = timer->data;

	if (!c->join.asking)
		return;
	if (joining_is_over(&c->join.joining, cluster_now(c))) {
		give_up(c);
		return;
	}
	if (joining_asks(&c->join.joining, !raft_id_none(c->status.leader), cluster_now(c))) {
		ask_next(c);
		wake(c, JOIN_PAUSE_MS);
	} else {
		hang_up(&c->join);
		wake(c, JOINING_TRY_MS);
	}
}

/* After that time, or when it is too late. */
static void wake(struct cluster *c, uint64_t ms)
{
	uint64_t now = cluster_now(c), until = c->join.joining.until_ms;
	uint64_t left = until > now ? until - now : 0;

	uv_timer_start(&c->join.timer, on_timer, ms < left ? ms : left, 0);
}

/* Also not one that may not be one: it would lose what it holds. */
static enum rmq_error may_join(struct cluster *c, struct reason *why)
{
	if (c->disk.alone && !c->status.config)
		return reason_set(why, RMQ_E_EXISTS,
		    "%s holds the queues of one node: make a cluster of it with rmq-cluster "
		    "init, or join with a new directory",
		    c->disk.directory);
	return RMQ_E_OK;
}

static enum rmq_error check_keys(
    const struct join *j, const struct config_seeds *seeds, struct reason *why)
{
	for (unsigned i = 0; i < seeds->count; i++) {
		const char *name = seeds->seeds[i].name;
		if (!known_nodes_by_name(&j->known, name))
			return reason_set(why, RMQ_E_CONFIG,
			    "known-nodes: the key of the seed %s is missing", name);
	}
	return RMQ_E_OK;
}

static void begin(struct cluster *c, const struct config_seeds *seeds, bool by_command)
{
	struct join *j = &c->join;

	hang_up(j);
	j->seeds = *seeds;
	j->asking = true;
	j->by_command = by_command;
	joining_begin(&j->joining, c->config.join_timeout, cluster_now(c));
	j->next = 0;
	j->final = false;
	j->refused[0] = j->why[0] = '\0';
	ask_next(c);
	wake(c, JOIN_PAUSE_MS);
	cluster_changed(c);
}

/* A member that nobody leads asks until somebody does; a member at `address` is dialled there.
 */
static void lost(struct cluster *c, const char *address)
{
	c->join.lost = true;
	joining_begin(&c->join.joining, UINT64_MAX, cluster_now(c));
	for (unsigned i = 0; address[0] && i < c->peers.count; i++) {
		struct peer *p = c->peers.list[i];
		if (strcmp(p->member.name, c->join.seeds.seeds[0].name) == 0)
			peers_place(p, MEMBER_SEED, strchr(address, '@') + 1);
	}
}

static enum rmq_error parse_seed(const char *text, struct config_seed *seed, struct reason *why)
{
	const char *at = strchr(text, '@'), *what = "must be NAME@HOST:PORT";

	if (!at || at == text || at - text > RAFT_NAME_MAX)
		return reason_set(why, RMQ_E_USAGE, "%s: %s", text, what);
	memcpy(seed->name, text, (size_t)(at - text));
	seed->name[at - text] = '\0';
	enum rmq_error err = socket_host_parse(&seed->address, at + 1, &what);
	return err ? reason_set(why, err, "%s: %s", text, what) : RMQ_E_OK;
}

static enum rmq_error is_with(const struct cluster *c, const char *name, struct reason *why)
{
	uint64_t index;

	if (raft_config_find_name(peers_view(c, &index), name))
		return RMQ_E_OK;
	return reason_set(
	    why, RMQ_E_EXISTS, "this node is a member of a cluster without %s", name);
}

enum rmq_error join_begin(struct cluster *c, const char *address, struct reason *why)
{
	struct join *j = &c->join;
	struct config_seeds seeds = c->config.seeds;
	enum rmq_error err = may_join(c, why);

	if (!err && address[0]) {
		seeds.count = 1;
		err = parse_seed(address, &seeds.seeds[0], why);
	}
	if (!err && peers_removed(c))
		return reason_set(why, RMQ_E_EXISTS, "this node " MEMBERS_REMOVED_TEXT);
	if (!err && address[0] && peers_member(c))
		err = is_with(c, seeds.seeds[0].name, why);
	if (err || (peers_member(c) && !raft_id_none(c->status.leader)))
		return err;
	if (seeds.count == 0)
		return reason_set(why, RMQ_E_CONFIG, "no seeds are configured");
	err = check_keys(j, &seeds, why);
	if (!err && (!j->asking || address[0]))
		begin(c, &seeds, true);
	if (!err && peers_member(c))
		lost(c, address);
	return err;
}

/* A seed that names this node itself is for the others. */
static void drop_self(struct cluster *c)
{
	struct config_seeds *s = &c->config.seeds;

	for (unsigned i = s->count; i > 0; i--) {
		if (strcmp(s->seeds[i - 1].name, c->config.name) == 0)
			memmove(&s->seeds[i - 1], &s->seeds[i],
			    (s->count-- - i) * sizeof(s->seeds[0]));
	}
}

int join_open(struct cluster *c)
{
	struct join *j = &c->join;
	struct reason why = {""};
	enum rmq_error err = RMQ_E_OK;

	uv_timer_init(&c->loop, &j->timer);
	j->timer.data = c;
	j->led_ms = cluster_now(c);
	drop_self(c);
	if (c->config.known_nodes[0])
		err = known_nodes_read(&j->known, c->config.known_nodes, &why);
	if (!err)
		err = check_keys(j, &c->config.seeds, &why);
	if (err)
		log_error("%s", why.text);
	return err ? error_exit(err) : 0;
}

void join_start(struct cluster *c)
{
	struct reason why = {""};

	if (peers_member(c) || c->config.seeds.count == 0)
		return;
	if (may_join(c, &why))
		remember(c, "does not join", why.text, true);
	else
		begin(c, &c->config.seeds, false);
}

/* All whom it knows may be gone, or not know it. */
static void ask_if_lost(struct cluster *c)
{
	struct join *j = &c->join;
	struct reason why = {""};

	if (j->asking || c->config.seeds.count == 0 ||
	    !members_lost(&c->peers.members, j->led_ms, cluster_now(c)))
		return;
	if (check_keys(j, &c->config.seeds, &why))
		return;
	begin(c, &c->config.seeds, false);
	lost(c, "");
}

void join_turn(struct cluster *c)
{
	bool led = !raft_id_none(c->status.leader);

	if (led)
		c->join.led_ms = cluster_now(c);
	if (c->join.asking && (!c->join.lost || led) && c->status.config &&
	    raft_config_find(c->status.config, c->id)) {
		if (!c->join.lost)
			log_info("is a member");
		join_cancel(c);
	}
	ask_if_lost(c);
}

void join_close(struct cluster *c)
{
	census_end(c);
	join_cancel(c);
	known_nodes_deinit(&c->join.known);
}
