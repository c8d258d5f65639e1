#include "join.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

static void wake(struct cluster *c);

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

/* The round goes on without it. */
static void end_place(struct cluster *c, unsigned place)
{
	joining_ended(&c->join.joining, place, cluster_now(c));
	wake(c);
}

static void end_seed(struct join_ask *a)
{
	end_ask(a);
	if (a->differs)
		joining_misfit(&a->cluster->join.joining, a->at, cluster_now(a->cluster));
	end_place(a->cluster, a->at);
}

void join_cancel(struct cluster *c)
{
	hang_up(&c->join);
	if (c->runner)
		runner_forget(c->runner, &c->join);
	uv_timer_stop(&c->join.timer);
	c->join.asking = c->join.joining.lost = false;
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

	if ((c->join.joining.lost || (c->join.final && !same)) && !final)
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

/*
 * It has not answered: as the settings name it, and what to look at.  What one of them has answered
 * in this round says more.
 */
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
	if (!a->cluster->join.answered)
		remember(a->cluster, who, text, false);
	end_seed(a);
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
		end_seed(a);
		return;
	}
	if (!joining_believes(&c->join.joining)) {
		peers_hint(c, m.config_index, &config);
		end_seed(a);
		return;
	}
	if (joining_let_in(&c->join.joining, cluster_now(c)) && !c->join.joining.lost)
		log_notice("let in by %s", asked(a)->name);
	c->join.refused[0] = c->join.why[0] = '\0';
	c->join.final = false;
	peers_hint(c, m.config_index, &config);
	hang_up(&c->join);
	wake(c);
}

/* One by one from here on, for who is to change them. */
static void note_settings(const struct join_ask *a, const struct settings *theirs, unsigned i)
{
	const struct cluster *c = a->cluster;
	const struct settings_of self = {&c->peers.settings, c->config.name},
				 seed = {theirs, asked(a)->name};
	char text[TEXT_MAX + 1];

	while ((i = settings_differ(self.settings, theirs, i)) < SETTINGS_COUNT) {
		settings_text(text, (enum setting)i++, &self, &seed);
		log_notice("%s", text);
	}
}

/* Both compare; what this node says tells the other one why. */
static void compare(struct join_ask *a, struct link_conn *conn, struct slice payload)
{
	struct cluster *c = a->cluster;
	struct node_settings m;
	struct settings theirs;
	bool unenforced;
	const struct settings_of self = {&c->peers.settings, c->config.name},
				 seed = {&theirs, asked(a)->name};
	char text[TEXT_MAX + 1];

	if (!node_settings_decode(payload, &m) ||
	    settings_decode(m.tags, &theirs, &unenforced)) {
		remember(c, seed.name, "its settings cannot be read", false);
		end_seed(a);
		return;
	}
	enum setting first = settings_differ(self.settings, &theirs, 0);
	note_settings(a, &theirs, c->config.unenforced ? 0 : first + 1u);
	if (settings_admit(&self, &seed, !c->config.unenforced, text)) {
		a->differs = true;
		c->join.answered = true;
		remember(c, seed.name, text, true);
	}
	peers_say_settings(c, conn, c->config.unenforced);
}

static void refused(struct join_ask *a, const struct node_refused *m)
{
	struct join *j = &a->cluster->join;
	char text[TEXT_MAX + 1];

	enum joining_word word =
	    joining_refused(&j->joining, m->code, !raft_id_none(a->cluster->status.leader));
	if (word == JOINING_PASSES)
		return;
	memcpy(text, m->text.data, m->text.len);
	text[m->text.len] = '\0';
	j->answered = true;
	remember(a->cluster, asked(a)->name, text, word == JOINING_DECIDES);
	a->differs |= m->code == RMQ_E_CONFIG;
}

static void on_frame(void *arg, struct link_conn *conn, const struct frame *f)
{
	struct join_ask *a = arg;
	struct node_refused m;

	if (f->type == NODE_TYPE_SETTINGS) {
		compare(a, conn, f->payload);
		return;
	}
	if (f->type == NODE_TYPE_JOINED && !a->differs) {
		joined(a, f->payload);
		return;
	}
	if (f->type == NODE_TYPE_REFUSED && node_refused_decode(f->payload, &m))
		refused(a, &m);
	end_seed(a);
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

static void ask(struct cluster *c, unsigned at)
{
	struct join_ask *a = &c->join.asks[at];

	*a = (struct join_ask){.cluster = c, .at = at};
	joining_ask(&c->join.joining, at, cluster_now(c));
	a->dialer = join_dial(c, asked(a),
	    (struct link_dialer_options){
		.events = {.up = on_up, .frame = on_frame, .down = on_down},
		.failed = on_failed,
		.arg = a,
	    });
}

/* ---- the command that tells seeds ---- */

static void note_command(struct cluster *c, const char *why)
{
	if (c->join.seeds.count == 0)
		remember(c, "seed-command", why, false);
	else if (log_rate_allows(&c->join.command_said, cluster_now(c)))
		log_notice("seed-command: %s", why);
}

static bool has_seed(const struct config_seeds *seeds, const char *name)
{
	for (unsigned i = 0; i < seeds->count; i++)
		if (strcmp(seeds->seeds[i].name, name) == 0)
			return true;
	return false;
}

/* A seed that it told, if it is news, another node than this one, and its key is known. */
static void told_seed(struct cluster *c, const struct config_seed *seed)
{
	struct join *j = &c->join;
	char text[TEXT_MAX + 1] = "";

	if (strcmp(seed->name, c->config.name) == 0 || has_seed(&j->seeds, seed->name))
		return;
	if (!known_nodes_by_name(&j->known, seed->name))
		snprintf(text, sizeof(text), "known-nodes: the key of the seed %s is missing",
		    seed->name);
	else if (j->seeds.count == CONFIG_SEEDS_MAX)
		snprintf(text, sizeof(text), "more than %d seeds", CONFIG_SEEDS_MAX);
	if (text[0]) {
		note_command(c, text);
		return;
	}
	j->seeds.seeds[j->seeds.count] = *seed;
	ask(c, j->seeds.count++);
}

static void told_line(struct cluster *c, const char *line)
{
	char text[TEXT_MAX + 1];
	struct config_seed seed;
	const char *why;

	if (config_seed_parse(&seed, line, &why)) {
		told_seed(c, &seed);
		return;
	}
	snprintf(text, sizeof(text), "'%.100s': %s", line, why);
	note_command(c, text);
}

/* Words, and what follows a # is for people. */
static void told(struct cluster *c, struct slice output)
{
	char line[TEXT_MAX + 1];
	size_t len = 0;
	bool comment = false;

	for (size_t i = 0; i <= output.len; i++) {
		char ch = i < output.len ? (char)output.data[i] : '\n';
		comment = ch != '\n' && (comment || ch == '#');
		if (!comment && ch > ' ') {
			if (len < sizeof(line) - 1)
				line[len++] = ch;
			continue;
		}
		line[len] = '\0';
		if (len > 0)
			told_line(c, line);
		len = 0;
	}
}

static void on_command(void *arg, const struct runner_result *result)
{
	struct cluster *c = ((struct join *)arg)->cluster;
	char text[RUNNER_TEXT_SIZE];

	if (!c->join.asking || !c->join.joining.asked[JOINING_COMMAND])
		return;
	/* Half of an answer is none. */
	if (result->outcome == RUNNER_ENDED && result->status == 0)
		told(c, result->output);
	else
		note_command(c, runner_text(text, result));
	end_place(c, JOINING_COMMAND);
}

static void run_command(struct cluster *c)
{
	const char *const argv[] = {"/bin/sh", "-c", c->config.seed_command, NULL};

	joining_ask(&c->join.joining, JOINING_COMMAND, cluster_now(c));
	runner_forget(c->runner, &c->join);
	runner_run(c->runner,
	    &(struct runner_job){.argv = argv, .limit_ms = (uint32_t)c->config.seed_timeout},
	    on_command, &c->join);
}

/* ---- rounds ---- */

/* A member refuses this node. */
static bool is_refused(const struct cluster *c)
{
	for (unsigned i = 0; i < c->peers.count; i++)
		if (c->peers.list[i]->refused[0])
			return true;
	return false;
}

/* Those who refuse it are asked as well. */
static void add_refusing(const struct cluster *c, struct config_seeds *seeds)
{
	char text[RAFT_NAME_MAX + 1 + RAFT_ADDRESS_MAX + 1];
	const char *why;

	for (unsigned i = 0; i < c->peers.count; i++) {
		const struct peer *p = c->peers.list[i];
		if (!p->refused[0] || seeds->count == CONFIG_SEEDS_MAX ||
		    has_seed(seeds, p->member.name) ||
		    !known_nodes_by_name(&c->join.known, p->member.name))
			continue;
		snprintf(text, sizeof(text), "%s@%s", p->member.name,
		    member_advertised(peers_member_of(p)));
		seeds->count += config_seed_parse(&seeds->seeds[seeds->count], text, &why);
	}
}

/* Whom nobody leads, or a member refuses, asks on. */
static bool is_content(const struct cluster *c)
{
	return joining_content(!raft_id_none(c->status.leader), is_refused(c));
}

static void give_up(struct cluster *c)
{
	bool by_command = c->join.by_command;

	join_cancel(c);
	if (by_command)
		return;
	if (c->join.code == RMQ_E_CONFIG) {
		log_error("not let in: %s", c->join.refused);
		cluster_die(c, error_exit(RMQ_E_CONFIG));
	}
	log_error("%s within join-timeout: %s",
	    c->join.joining.let_in ? "let in, but no member answers any more" : "not let in",
	    c->join.refused[0] ? c->join.refused : "no seed answers");
	cluster_die(c, error_exit(RMQ_E_NO_DAEMON));
}

/* What the command told in the round before is told anew, or is no more. */
static void ask_all(struct cluster *c)
{
	struct join *j = &c->join;

	hang_up(j);
	j->answered = false;
	j->seeds = j->set;
	for (unsigned i = 0; i < j->seeds.count; i++)
		ask(c, i);
	if (c->runner && j->commanded)
		run_command(c);
}

static void hang_up_late(struct cluster *c)
{
	for (unsigned i = 0; i < c->join.seeds.count; i++) {
		struct join_ask *a = &c->join.asks[i];
		if (joining_late(&c->join.joining, i, cluster_now(c)) && a->dialer)
			not_reached(a, RMQ_E_TIMEOUT, "no answer within seed-timeout");
	}
	if (joining_late(&c->join.joining, JOINING_COMMAND, cluster_now(c)))
		note_command(c, "it did not end within seed-timeout");
}

static void on_timer(uv_timer_t *timer)
{
	struct cluster *c = timer->data;

	if (!c->join.asking)
		return;
	hang_up_late(c);
	switch (joining_turn(&c->join.joining, is_content(c), cluster_now(c))) {
	case JOINING_MISFIT:
		c->join.code = RMQ_E_CONFIG;
		give_up(c);
		return;
	case JOINING_GIVES_UP:
		give_up(c);
		return;
	case JOINING_ROUND:
		ask_all(c);
		break;
	case JOINING_LED:
		hang_up(&c->join);
		break;
	case JOINING_WAITS:
		break;
	}
	wake(c);
}

static void wake(struct cluster *c)
{
	uint64_t now = cluster_now(c), due = joining_due(&c->join.joining);

	if (c->join.asking)
		uv_timer_start(&c->join.timer, on_timer, due > now ? due - now : 0, 0);
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

/* The first round begins in the next turn. */
static void begin(struct cluster *c, const struct config_seeds *seeds, uint64_t timeout_ms)
{
	struct join *j = &c->join;
	const struct joining_settings settings = {
	    timeout_ms, c->config.seed_timeout, c->config.retry_join};

	hang_up(j);
	j->set = j->seeds = *seeds;
	j->commanded = true;
	j->asking = true;
	j->by_command = false;
	joining_begin(&j->joining, &settings, cluster_now(c));
	j->final = j->answered = false;
	j->code = RMQ_E_NO_DAEMON;
	j->refused[0] = j->why[0] = '\0';
	wake(c);
	cluster_changed(c);
}

/* A member that nobody leads asks until somebody does; a member at `address` is dialled there.
 */
static void lost(struct cluster *c, const char *address)
{
	joining_lost(&c->join.joining);
	for (unsigned i = 0; address[0] && i < c->peers.count; i++) {
		struct peer *p = c->peers.list[i];
		if (strcmp(p->member.name, c->join.set.seeds[0].name) == 0)
			peers_place(p, MEMBER_SEED, strchr(address, '@') + 1);
	}
}

static enum rmq_error is_with(const struct cluster *c, const char *name, struct reason *why)
{
	uint64_t index;

	if (raft_config_find_name(peers_view(c, &index), name))
		return RMQ_E_OK;
	return reason_set(
	    why, RMQ_E_EXISTS, "this node is a member of a cluster without %s", name);
}

static bool any_seeds(const struct cluster *c)
{
	return c->config.seeds.count > 0 || c->config.seed_command[0];
}

enum rmq_error join_begin(struct cluster *c, const char *address, struct reason *why)
{
	struct join *j = &c->join;
	struct config_seeds seeds = c->config.seeds;
	enum rmq_error err = may_join(c, why);
	const char *what;

	if (!err && address[0]) {
		seeds.count = 1;
		if (!config_seed_parse(&seeds.seeds[0], address, &what))
			err = reason_set(why, RMQ_E_USAGE, "%s: %s", address, what);
	}
	if (!err && peers_removed(c))
		return reason_set(why, RMQ_E_EXISTS, "this node %s",
		    members_removed_text(members_own_end(&c->peers.members)));
	if (!err && address[0] && peers_member(c))
		err = is_with(c, seeds.seeds[0].name, why);
	if (err || (peers_member(c) && !raft_id_none(c->status.leader)))
		return err;
	if (!any_seeds(c) && !address[0])
		return reason_set(why, RMQ_E_CONFIG, "no seeds are configured");
	err = check_keys(j, &seeds, why);
	if (!err && (!j->asking || address[0])) {
		begin(c, &seeds, peers_member(c) ? UINT64_MAX : c->config.join_timeout);
		j->by_command = true;
		j->commanded = !address[0];
	}
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
	j->cluster = c;
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

	if (peers_member(c) || !any_seeds(c))
		return;
	if (may_join(c, &why))
		remember(c, "does not join", why.text, true);
	else
		begin(c, &c->config.seeds, c->config.join_timeout);
}

/*
 * All whom it knows may be gone, or not know it.  Those who follow the same leader know no more than
 * this node: only who refuses it is asked then.
 */
static void ask_if_lost(struct cluster *c)
{
	struct join *j = &c->join;
	bool led = !raft_id_none(c->status.leader);
	struct config_seeds seeds;
	struct reason why = {""};

	if (j->asking ||
	    !members_lost(&c->peers.members, is_refused(c), j->led_ms, cluster_now(c)))
		return;
	seeds = led ? (struct config_seeds){.count = 0} : c->config.seeds;
	add_refusing(c, &seeds);
	if ((seeds.count == 0 && (led || !c->config.seed_command[0])) ||
	    check_keys(j, &seeds, &why))
		return;
	begin(c, &seeds, UINT64_MAX);
	j->commanded = !led;
	lost(c, "");
}

void join_turn(struct cluster *c)
{
	bool led = !raft_id_none(c->status.leader);

	if (led)
		c->join.led_ms = cluster_now(c);
	if (c->join.asking && joining_over(&c->join.joining, led, is_refused(c)) &&
	    c->status.config && raft_config_find(c->status.config, c->id)) {
		if (!c->join.joining.lost)
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
