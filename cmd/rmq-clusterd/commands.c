#include "commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/host/level.h"
#include "node.h"
#include "state.h"

/* How often a node whose place has changed says so, or a learner is looked at. */
#define SELF_MS 2000

static void event(struct cluster *c, struct command *m, enum command_event e)
{
	command_event(&m->life, e, cluster_now(c));
}

static bool removes(const struct command *m)
{
	return m->type == NODE_COMMAND_REMOVE || m->type == NODE_COMMAND_REMOVE_FORCED ||
	       m->type == NODE_COMMAND_DOWN;
}

/* The one that it is about is no member afterwards, or another one. */
static bool takes_out(const struct command *m)
{
	return removes(m) || m->type == NODE_COMMAND_REPLACE;
}

/* ---- answers ---- */

static void send_result(struct cluster *c, const struct command *m, enum rmq_error code,
    const char *text, struct slice payload)
{
	static uint8_t frame[NODE_SMALL_MAX + TEXT_MAX];
	struct writer w = writer_of(frame, sizeof(frame));
	struct peer *p = peers_find(c, m->from);

	node_put_result(
	    &w, &(struct node_result){m->from_req, (uint8_t)code, slice_str(text), payload});
	if (p)
		peers_say(p, false, &w);
}

static bool any(const struct cluster *c, enum command_state state)
{
	for (unsigned i = 0; i < COMMANDS_MAX; i++) {
		const struct command *m = &c->commands.list[i];
		if (m->used && m->life.state == state)
			return true;
	}
	return false;
}

/* A node claims a cluster for as long as somebody waits for it. */
static void end_census(struct cluster *c)
{
	if (!any(c, COMMAND_ASKS))
		census_end(c);
}

/* The same of the tables of a database, which it asks for. */
static void end_founding(struct cluster *c)
{
	if (!any(c, COMMAND_FOUNDS))
		database_link_found_end(c);
}

/* The same of the log that a database holds. */
static void end_adoption(struct cluster *c)
{
	if (!c->adoption.begun || any(c, COMMAND_ADOPTS))
		return;
	c->adoption = (struct adoption){0};
	database_adopt(c->database.driver, false);
	node_happens(c, &(struct raft_event){.type = RAFT_EVENT_ADOPT});
}

static void drop(struct cluster *c, struct command *m)
{
	m->used = false;
	c->commands.count--;
	end_census(c);
	end_founding(c);
	end_adoption(c);
}

/* This node is removed, in a cluster whose configurations do not say who was. */
static bool leaves_at_once(const struct cluster *c, const struct command *m)
{
	uint64_t index;
	const struct raft_config *view = peers_view(c, &index);

	return strcmp(m->member.name, c->config.name) == 0 && view &&
	       raft_config_level(view) < LEVEL_TAGS;
}

static void finish(struct cluster *c, struct command *m, enum rmq_error code, const char *text,
    struct slice payload)
{
	struct command done;
	static uint8_t bytes[NODE_SMALL_MAX];

	if (removes(m))
		code = command_removed(&m->life, code);
	event(c, m, COMMAND_ANSWER);
	done = *m;
	drop(c, m);
	/* Who has asked is shown the members at once, not when it hears that they are committed. */
	if ((done.joiner || done.from_req) && done.type != NODE_COMMAND_TRANSFER &&
	    code == RMQ_E_OK && payload.len == 0)
		payload = peers_joined(c, bytes, sizeof(bytes));
	if (done.joiner && code == RMQ_E_OK)
		inlet_joined(done.joiner, payload);
	else if (done.joiner)
		inlet_refuse(done.joiner, code, text[0] ? text : error_text(code));
	if (done.from_req)
		send_result(c, &done, code, text, payload);
	if (done.answer)
		done.answer(done.arg, code, text);
	/* Nobody keeps who was removed, and it would not be told: it ends by itself. */
	if (removes(&done) && code == RMQ_E_OK && leaves_at_once(c, &done)) {
		log_notice("has left the cluster");
		cluster_stop(c);
	}
}

static void end(struct cluster *c, struct command *m, enum rmq_error code, const char *text)
{
	finish(c, m, code, text, slice_of(NULL, 0));
}

static struct command *begin(struct cluster *c, enum node_command_type type)
{
	struct commands *all = &c->commands;
	uint64_t patience = commands_patience_ms((uint32_t)c->config.election_timeout);

	for (unsigned i = 0; i < COMMANDS_MAX; i++) {
		struct command *m = &all->list[i];
		if (m->used)
			continue;
		*m = (struct command){.used = true,
		    .type = type,
		    .life = {.deadline_ms = cluster_now(c) + patience}};
		all->count++;
		return m;
	}
	return NULL;
}

/* ---- the leader ---- */

static void transfer(struct cluster *c, struct command *m)
{
	const struct raft_config *config = c->status.config;
	enum rmq_error err;

	m->life.term = c->status.term;
	if (m->member.name[0] == '\0') {
		if (!c->status.serving)
			return;
		if (watchdog_hand_over(c))
			event(c, m, COMMAND_HAND_OVER);
		else
			end(c, m, RMQ_E_NOTHING, "there is no other voter that could lead");
		return;
	}
	const struct raft_member *to = raft_config_find_name(config, m->member.name);
	if (!to || raft_id_none(to->id)) {
		end(c, m, RMQ_E_NOTHING, "no such member");
		return;
	}
	if (to->leaving) {
		end(c, m, RMQ_E_NOTHING, "it leaves the cluster");
		return;
	}
	const struct peer *p = peers_find(c, to->id);
	if (p && (p->flags & NODE_STATE_AWAY)) {
		end(c, m, RMQ_E_NOTHING, "it does not reach the database");
		return;
	}
	if (peers_forgot(c, to->id)) {
		end(c, m, RMQ_E_NOTHING,
		    "its data directory was put back to an older state, and it does not lead");
		return;
	}
	m->member.id = to->id;
	err = node_event(c, &(struct raft_event){.type = RAFT_EVENT_TRANSFER, .id = to->id});
	if (err == RMQ_E_EXISTS)
		end(c, m, RMQ_E_OK, "");
	else if (!err)
		event(c, m, COMMAND_HAND_OVER);
	else if (err != RMQ_E_BUSY)
		end(c, m, err, "it is not a voter");
}

static uint64_t append(void *arg)
{
	struct cluster *c = arg;

	return node_event(c, &(struct raft_event){.type = RAFT_EVENT_NOOP})
		   ? 0
		   : c->status.last.index;
}

static bool stores(void *arg, struct raft_id id, uint64_t index)
{
	const struct cluster *c = arg;
	struct raft_peer_status s;

	return raft_peer_status(c->raft, id, &s) && s.match >= index;
}

static bool votes(void *arg, struct raft_id id)
{
	return !peers_forgot(arg, id);
}

static enum rmq_error drop_member(void *arg, const char *name, enum raft_how how)
{
	return node_event(
	    arg, &(struct raft_event){.type = RAFT_EVENT_REMOVE, .name = name, .how = how});
}

static enum rmq_error mark_leaving(void *arg, struct raft_id id)
{
	return node_event(arg,
	    &(struct raft_event){.type = RAFT_EVENT_MARK, .mark = RAFT_MARK_LEAVING, .id = id});
}

static enum rmq_error replace_member(void *arg, const struct raft_member *by)
{
	return node_event(
	    arg, &(struct raft_event){.type = RAFT_EVENT_REPLACE, .id = by->id, .member = by});
}

struct commands_peers commands_peers(struct cluster *c)
{
	return (struct commands_peers){
	    c, append, stores, votes, leave_up, drop_member, mark_leaving, replace_member};
}

static const char *refusal(
    struct cluster *c, const struct command *m, enum rmq_error err, char text[TEXT_MAX + 1])
{
	const struct commands_peers peers = commands_peers(c);
	const size_t cap = TEXT_MAX + 1;
	const char *name = m->member.name;
	char allowed[TEXT_MAX + 1];

	if (err == RMQ_E_EXISTS && m->type == NODE_COMMAND_TAKE_IN)
		commands_mistaken(c->status.config, &m->member, &peers, text);
	else if (err == RMQ_E_EXISTS)
		commands_unadmitted(c->status.config, &m->member, text);
	else if (err == RMQ_E_NOTHING && m->type == NODE_COMMAND_TAKE_IN)
		snprintf(
		    text, cap, "%s was not admitted: rmq-cluster admit %s KEY", name, name);
	else if (err == RMQ_E_LIMIT)
		snprintf(text, cap, "%s", "too many members");
	else if (err == RMQ_E_VERSION && !commands_allowed(c, LEVEL_TAGS, allowed))
		snprintf(text, cap, "%s", allowed);
	else
		snprintf(text, cap, "%s", error_text(err));
	return text;
}

static void proposed(struct cluster *c, struct command *m)
{
	event(c, m, COMMAND_PROPOSE);
	m->life.term = c->status.term;
	m->config_index = c->status.config_index;
}

static void remove_member(struct cluster *c, struct command *m)
{
	static const enum commands_way ways[] = {[NODE_COMMAND_REMOVE] = COMMANDS_LEAVE,
	    [NODE_COMMAND_REMOVE_FORCED] = COMMANDS_FORCED,
	    [NODE_COMMAND_DOWN] = COMMANDS_DOWN,
	    [NODE_COMMAND_REPLACE] = COMMANDS_REPLACE};
	struct commands_peers peers = commands_peers(c);
	const struct commands_removal r = {
	    .name = m->member.name, .way = ways[m->type], .by = &m->member, .log = &c->status};
	char text[TEXT_MAX + 1];
	enum rmq_error code;

	switch (command_remove(&m->life, &r, &peers, cluster_now(c), &code, text)) {
	case COMMANDS_HOLD:
		break;
	case COMMANDS_MAY:
		proposed(c, m);
		break;
	case COMMANDS_STOP:
		end(c, m, code, text);
	}
}

static void change(struct cluster *c, struct command *m)
{
	static const enum raft_event_type types[] = {
	    [NODE_COMMAND_ADMIT] = RAFT_EVENT_ADMIT,
	    [NODE_COMMAND_TAKE_IN] = RAFT_EVENT_ADD_LEARNER,
	};
	struct raft_event e = {.type = types[m->type], .member = &m->member};
	char text[TEXT_MAX + 1];

	if (m->type == NODE_COMMAND_TAKE_IN &&
	    !level_admits(c->status.config, m->reads, m->member.name, text)) {
		end(c, m, RMQ_E_VERSION, text);
		return;
	}
	enum rmq_error err = node_event(c, &e);
	/* Another change is under way, as a rule. */
	if (err == RMQ_E_BUSY)
		return;
	if (err) {
		end(c, m, err, refusal(c, m, err, text));
		return;
	}
	proposed(c, m);
}

/* ---- passing on ---- */

static bool pass_on(struct cluster *c, struct command *m)
{
	uint8_t frame[NODE_SMALL_MAX];
	struct writer w = writer_of(frame, sizeof(frame));
	struct peer *p = peers_find(c, c->status.leader);
	const struct raft_member *who = &m->member;
	uint8_t flags = who->flags;
	bool key = false;

	for (unsigned i = 0; i < RAFT_KEY_SIZE; i++)
		key |= who->key[i] != 0;
	/* A leader that knows no other way takes a member out at once. */
	enum node_command_type said = m->type;
	uint64_t index;
	const struct raft_config *view = peers_view(c, &index);
	if (said == NODE_COMMAND_DOWN && view && raft_config_level(view) < LEVEL_TAGS)
		said = NODE_COMMAND_REMOVE;
	if (m->reads && p && NODE_LEVEL(p->node.features) >= 2)
		flags = NODE_COMMAND_FLAGS(flags, m->reads);
	m->req = ++c->commands.next_req;
	node_put_command(&w, &(struct node_command){
				 .req = m->req,
				 .command = (uint8_t)said,
				 .name = slice_str(who->name),
				 .key = slice_of(who->key, key ? RAFT_KEY_SIZE : 0),
				 .id = raft_id_slice(&who->id),
				 .flags = flags,
				 .address = slice_str(who->address),
				 .gate = slice_str(who->gate),
			     });
	assert(!w.full);
	if (!p || !outlet_send(&p->node, &(struct slice){frame, w.len}, 1))
		return false;
	m->leader = p->member.id;
	event(c, m, COMMAND_PASS_ON);
	return true;
}

/* A leader of before level 2 does not know what it is asked. */
static bool too_early(const struct cluster *c, const struct command *m, char *text)
{
	return m->type == NODE_COMMAND_REPLACE && c->status.config &&
	       !commands_allowed(c, LEVEL_TAGS, text);
}

static void go_on(struct cluster *c, struct command *m)
{
	char text[TEXT_MAX + 1];

	if (too_early(c, m, text)) {
		end(c, m, RMQ_E_VERSION, text);
		return;
	}
	if (c->status.role == RAFT_LEADER) {
		if (m->type == NODE_COMMAND_TRANSFER)
			transfer(c, m);
		else if (takes_out(m))
			remove_member(c, m);
		else
			change(c, m);
	} else if (m->from_req) {
		/* It knows better now, or will. */
		end(c, m, m->life.tries > 0 ? RMQ_E_TIMEOUT : RMQ_E_NO_DAEMON, "");
	} else {
		(void)pass_on(c, m);
	}
}

bool commands_asked(struct cluster *c, struct peer *p, const struct node_command *f)
{
	struct raft_member member;

	if (f->req == 0 || f->command < NODE_COMMAND_ADMIT ||
	    f->command > NODE_COMMAND_REPLACE || node_wire_member(f, &member))
		return false;
	if (f->command != NODE_COMMAND_TRANSFER && member.name[0] == '\0')
		return false;
	struct command *m = begin(c, (enum node_command_type)f->command);
	if (!m)
		return true; /* it is told that time is out */
	m->member = member;
	m->reads = NODE_COMMAND_LEVEL(f->flags);
	m->from = p->member.id;
	m->from_req = f->req;
	go_on(c, m);
	return true;
}

/* One of before level 2 sends it for TAKE_IN only. */
static void take_members(struct cluster *c, const struct node_result *f)
{
	struct node_joined m;
	struct raft_config config;

	if (f->code == RMQ_E_OK && node_joined_decode(f->payload, &m) &&
	    raft_config_decode(m.config, &config) == RMQ_E_OK)
		peers_hint(c, m.config_index, &config);
}

void commands_result(struct cluster *c, struct peer *p, const struct node_result *f)
{
	char text[TEXT_MAX + 1];

	memcpy(text, f->text.data, f->text.len);
	text[f->text.len] = '\0';
	for (unsigned i = 0; i < COMMANDS_MAX; i++) {
		struct command *m = &c->commands.list[i];
		if (!m->used || m->life.state != COMMAND_PASSED_ON || m->req != f->req ||
		    !raft_id_eq(m->leader, p->member.id))
			continue;
		/* It does not lead (any more): another one will. */
		if (f->code == RMQ_E_NO_DAEMON || f->code == RMQ_E_TIMEOUT) {
			event(c, m, f->code == RMQ_E_NO_DAEMON ? COMMAND_UNLED : COMMAND_LOST);
			return;
		}
		take_members(c, f);
		finish(c, m, error_known(f->code) ? (enum rmq_error)f->code : RMQ_E_PROTOCOL,
		    text, f->payload);
		return;
	}
}

/* What was passed on may have been done or not; to repeat it is harmless. */
void commands_lost(struct cluster *c, struct peer *p)
{
	for (unsigned i = 0; i < COMMANDS_MAX; i++) {
		struct command *m = &c->commands.list[i];
		if (m->used && m->life.state == COMMAND_PASSED_ON &&
		    raft_id_eq(m->leader, p->member.id))
			event(c, m, COMMAND_LOST);
	}
}

/* ---- those who ask here ---- */

void commands_take_in(
    struct cluster *c, struct inlet *joiner, const struct raft_member *member, uint64_t reads)
{
	struct command *m = begin(c, NODE_COMMAND_TAKE_IN);

	if (!m) {
		inlet_refuse(joiner, RMQ_E_BUSY, "too many requests at the same time");
		return;
	}
	m->member = *member;
	m->reads = reads;
	m->joiner = joiner;
	go_on(c, m);
}

void commands_forget_joiner(struct cluster *c, struct inlet *joiner)
{
	for (unsigned i = 0; i < COMMANDS_MAX; i++) {
		if (c->commands.list[i].used && c->commands.list[i].joiner == joiner)
			c->commands.list[i].joiner = NULL;
	}
}

void commands_forget(struct cluster *c, void *arg)
{
	for (unsigned i = 0; i < COMMANDS_MAX; i++) {
		struct command *m = &c->commands.list[i];
		if (!m->used || !m->answer || m->arg != arg)
			continue;
		m->answer = NULL;
		/* The rest goes on without it: to join is this node's own affair. */
		if (m->life.state == COMMAND_JOINS || m->life.state == COMMAND_ASKS ||
		    m->life.state == COMMAND_ADOPTS ||
		    (m->life.state == COMMAND_FOUNDS && !c->founding_seq))
			drop(c, m);
	}
}

/* A database is asked first: whether there are tables of another cluster, and to make them. */
static bool may_found(struct cluster *c, struct command *m, struct raft_id *cluster)
{
	char text[TEXT_MAX + 1];

	if (!database_link_used(c))
		return true;
	enum rmq_error err = database_link_found(c, cluster, text);
	if (err == RMQ_E_BUSY)
		event(c, m, COMMAND_FOUND);
	else if (err)
		end(c, m, err, text);
	return !err;
}

/*
 * Who made this cluster is the first that it ever had; done is done while it works.  The tables of one
 * that is alone may not have been filled yet.
 */
static void was_founded(struct cluster *c, struct command *m)
{
	struct raft_id cluster;
	const char *lost = database_link_lost(c);

	if (!raft_id_none(c->status.leader))
		end(c, m, RMQ_E_OK, "");
	else if (lost)
		end(c, m, RMQ_E_REFUSED, lost);
	else if (!database_link_alone(c))
		event(c, m, COMMAND_ASK);
	else if (may_found(c, m, &cluster))
		end(c, m, RMQ_E_OK, "");
}

/* Makes a cluster of this node, or says why not. */
static void found(struct cluster *c, struct command *m)
{
	uint64_t index;
	const struct raft_config *view = peers_view(c, &index);
	bool converts = database_link_converts(c);
	struct raft_id cluster = {{0}};

	if (view && !converts && (c->founded || database_link_alone(c))) {
		was_founded(c, m);
		return;
	}
	if ((!view || converts) && !may_found(c, m, &cluster))
		return;
	enum rmq_error err = view && !converts ? RMQ_E_EXISTS : node_found(c, cluster);
	if (err == RMQ_E_EXISTS)
		end(c, m, err,
		    peers_removed(c) ? "this node " MEMBERS_REMOVED_TEXT
				     : "this node is a member of a cluster");
	else if (err && err != RMQ_E_BUSY)
		end(c, m, err, "");
	else if (!err || m->life.state == COMMAND_WAITS)
		event(c, m, COMMAND_FOUND);
	end_census(c);
}

/* First the seeds are asked whether there is a cluster already. */
static void ask_or_found(struct cluster *c, struct command *m)
{
	char text[TEXT_MAX + 1];
	uint64_t index;

	if (!peers_view(c, &index)) {
		event(c, m, COMMAND_ASK);
		census_begin(c);
		enum commands_verdict v = census_look(c, false, text);
		if (v == COMMANDS_HOLD)
			return;
		if (v == COMMANDS_STOP) {
			end(c, m, RMQ_E_EXISTS, text);
			return;
		}
	}
	/* If the disk is busy, it decides anew. */
	found(c, m);
}

/* Adopts the log of the database, or says why not. */
static void adopt(struct cluster *c, struct command *m)
{
	struct adoption *a = &c->adoption;
	const struct adoption_seen seen = {.self = c->id,
	    .log = &c->status,
	    .database = &c->database.status,
	    .trouble = c->database.trouble,
	    .now_ms = cluster_now(c),
	    .patience_ms = commands_patience_ms((uint32_t)c->config.election_timeout)};
	char text[TEXT_MAX + 1];
	enum rmq_error code = RMQ_E_OK;
	struct raft_member self;

	if (!a->begun) {
		log_error(
		    "is told to adopt the cluster whose log the database holds, as all its nodes "
		    "have lost their directories");
		database_adopt(c->database.driver, true);
	}
	switch (adoption_turn(a, &seen, &code, text)) {
	case ADOPTION_WAITS:
		break;
	case ADOPTION_ADOPTS:
		peers_self(c, &self);
		node_happens(
		    c, &(struct raft_event){.type = RAFT_EVENT_ADOPT, .member = &self});
		break;
	case ADOPTION_DONE:
		log_error("has adopted the cluster of the database: %s", text);
		end(c, m, RMQ_E_OK, text);
		break;
	case ADOPTION_REFUSED:
		end(c, m, code, text);
	}
}

/* First the seeds are asked whether one of them is a member. */
static void ask_or_adopt(struct cluster *c, struct command *m)
{
	char text[TEXT_MAX + 1];

	event(c, m, COMMAND_ASK);
	if (!database_link_used(c)) {
		end(c, m, RMQ_E_CONFIG,
		    "engine is built-in, and there is no database whose log could be adopted; of a "
		    "majority that is lost see rmq-cluster recover");
		return;
	}
	if (peers_removed(c) || (peers_member(c) && !database_link_alone(c))) {
		end(c, m, RMQ_E_EXISTS,
		    peers_removed(c)
			? "this node " MEMBERS_REMOVED_TEXT
			: "this node is a member of a cluster: its directory is not lost");
		return;
	}
	census_begin(c);
	enum commands_verdict v = census_look(c, true, text);
	if (v == COMMANDS_STOP)
		end(c, m, RMQ_E_EXISTS, text);
	if (v != COMMANDS_MAY)
		return;
	event(c, m, COMMAND_ADOPT);
	m->life.deadline_ms = UINT64_MAX;
	end_census(c);
	adopt(c, m);
}

static void join_in(struct cluster *c, struct command *m, const char *address)
{
	struct reason why = {""};
	enum rmq_error err;

	event(c, m, COMMAND_JOIN);
	m->life.deadline_ms = UINT64_MAX;
	err = join_begin(c, address, &why);
	if (err)
		end(c, m, err, why.text);
}

/* The incarnation that this node knows by this name. */
static struct raft_id id_of(const struct cluster *c, const char *name)
{
	uint64_t index;
	const struct raft_config *view = peers_view(c, &index);
	const struct raft_member *is = view ? raft_config_find_name(view, name) : NULL;

	return is ? is->id : (struct raft_id){{0}};
}

void commands_ask(
    struct cluster *c, const struct cluster_command *command, cluster_answer *answer, void *arg)
{
	static const enum node_command_type types[] = {
	    [CLUSTER_INIT] = NODE_COMMAND_TAKE_IN,
	    [CLUSTER_INIT_NEW] = NODE_COMMAND_TAKE_IN,
	    [CLUSTER_INIT_ADOPT] = NODE_COMMAND_TAKE_IN,
	    [CLUSTER_ADMIT] = NODE_COMMAND_ADMIT,
	    [CLUSTER_JOIN] = NODE_COMMAND_TAKE_IN,
	    [CLUSTER_LEAVE] = NODE_COMMAND_REMOVE,
	    [CLUSTER_LEAVE_FORCED] = NODE_COMMAND_REMOVE_FORCED,
	    [CLUSTER_DOWN] = NODE_COMMAND_DOWN,
	    [CLUSTER_REPLACE] = NODE_COMMAND_REPLACE,
	    [CLUSTER_TRANSFER] = NODE_COMMAND_TRANSFER,
	};
	struct command *m = begin(c, types[command->type]);

	if (!m) {
		answer(arg, RMQ_E_BUSY, "too many requests at the same time");
		return;
	}
	m->answer = answer;
	m->arg = arg;
	memcpy(m->member.name, command->name, sizeof(m->member.name));
	memcpy(m->member.key, command->key, sizeof(m->member.key));
	if (removes(m) && command->name[0] == '\0')
		memcpy(m->member.name, c->config.name, sizeof(m->member.name));
	if (takes_out(m))
		m->member.id = id_of(c, m->member.name);
	if (command->type == CLUSTER_INIT) {
		ask_or_found(c, m);
	} else if (command->type == CLUSTER_INIT_NEW) {
		found(c, m);
	} else if (command->type == CLUSTER_INIT_ADOPT) {
		m->adopts = true;
		ask_or_adopt(c, m);
	} else if (command->type == CLUSTER_JOIN) {
		join_in(c, m, command->address);
	} else if (!peers_member(c) && !c->status.gone) {
		end(c, m, RMQ_E_NO_DAEMON, "this node is not a member of a cluster");
	} else {
		go_on(c, m);
	}
}

/* ---- time ---- */

static void look_who_leads(struct cluster *c, struct command *m, bool leads)
{
	switch (commands_transferred(
	    c->id, m->member.id, c->status.leader, leads, c->status.serving)) {
	case COMMANDS_TAKEN_OVER:
		end(c, m, RMQ_E_OK, "");
		break;
	case COMMANDS_GOES_ON:
		break;
	case COMMANDS_GIVEN_UP:
		end(c, m, RMQ_E_NOTHING, "it did not take over in time");
		break;
	case COMMANDS_ASTRAY:
		event(c, m, COMMAND_LOST);
		break;
	}
}

/* It is committed. */
static void done(struct cluster *c, struct command *m)
{
	char text[TEXT_MAX + 1] = "";

	if (m->type == NODE_COMMAND_REMOVE && c->status.config)
		commands_left(c->status.config, m->member.name, text);
	if ((m->type == NODE_COMMAND_DOWN || m->type == NODE_COMMAND_REMOVE_FORCED) &&
	    c->status.config)
		commands_downed(c->status.config, m->member.name, text);
	if (m->type == NODE_COMMAND_REPLACE && c->status.config)
		commands_replaced(c->status.config, m->member.name, text);
	end(c, m, RMQ_E_OK, text);
}

/* What is waited for may have come. */
static void look(struct cluster *c, struct command *m)
{
	bool leads = cluster_leads(c) && c->status.term == m->life.term;

	switch (m->life.state) {
	case COMMAND_WAITS:
		if (cluster_now(c) >= m->life.retry_ms) {
			m->life.retry_ms = cluster_now(c) + COMMANDS_RETRY_MS;
			go_on(c, m);
		}
		break;
	case COMMAND_PASSED_ON:
		/* One that stands still never answers.  To hand over twice is not harmless. */
		if (m->type != NODE_COMMAND_TRANSFER && !raft_id_none(c->status.leader) &&
		    !raft_id_eq(c->status.leader, m->leader))
			event(c, m, COMMAND_LOST);
		break;
	case COMMAND_COMMITS:
		if (leads ? c->status.commit >= m->config_index : c->status.gone && removes(m))
			done(c, m);
		else if (!leads)
			event(c, m, COMMAND_LOST);
		break;
	case COMMAND_TRANSFERS:
		look_who_leads(c, m, leads);
		break;
	case COMMAND_ASKS:
		if (m->adopts)
			ask_or_adopt(c, m);
		else
			ask_or_found(c, m);
		break;
	case COMMAND_ADOPTS:
		adopt(c, m);
		break;
	case COMMAND_FOUNDS:
		if (c->status.config && c->founded && !database_link_used(c))
			end(c, m, RMQ_E_OK, "");
		else if (!c->founding_seq)
			found(c, m);
		break;
	case COMMAND_JOINS:
		if (peers_member(c) && !raft_id_none(c->status.leader))
			end(c, m, RMQ_E_OK, "");
		else if (!c->join.asking && !peers_member(c))
			end(c, m, c->join.code, c->join.refused);
		break;
	default:
		break;
	}
}

static void look_or_give_up(struct cluster *c, struct command *m)
{
	const char *text;

	if (cluster_now(c) < m->life.deadline_ms) {
		look(c, m);
		return;
	}
	enum rmq_error err = command_late(&m->life, cluster_leads(c), &text);
	if (err == RMQ_E_NO_DAEMON && database_link_used(c))
		text = "no leader is known: rmq-cluster why says more";
	else if (err == RMQ_E_NO_DAEMON && takes_out(m))
		text =
		    "no leader is known: members are removed by a majority of the voters; if "
		    "that is lost for good, see rmq-cluster recover";
	event(c, m, COMMAND_LATE);
	end(c, m, err, text);
}

/*
 * Learners that have caught up become voters, once the room on their disks is known: a majority of
 * which it is not known has none.
 */
static void promote(struct cluster *c)
{
	const struct raft_config *config = c->status.config;
	struct raft_peer_status s;

	if (!c->status.serving || !config || c->status.config_index > c->status.commit)
		return;
	for (unsigned i = 0; i < config->count; i++) {
		struct raft_id id = config->members[i].id;
		const struct peer *p = peers_find(c, id);
		if (raft_id_none(id) || (config->members[i].flags & RAFT_VOTER) ||
		    !raft_peer_status(c->raft, id, &s) || !s.level || !p ||
		    p->room.index == 0 || p->flags & NODE_STATE_FORGOT)
			continue;
		/* One at a time: a step ends what is borrowed here. */
		char name[RAFT_NAME_MAX + 1];
		memcpy(name, config->members[i].name, sizeof(name));
		if (!node_event(c, &(struct raft_event){.type = RAFT_EVENT_PROMOTE, .id = id}))
			log_notice("%s has caught up and becomes a voter", name);
		return;
	}
}

static uint64_t reads(const void *arg, struct raft_id id)
{
	const struct peer *p = peers_find(arg, id);

	return p && p->node.welcomed ? NODE_LEVEL(p->node.features) : 0;
}

bool commands_allowed(const struct cluster *c, uint64_t needed, char *why)
{
	struct level_peers peers = {c, c->id, reads};

	return level_allows(c->status.config, needed, &peers, why);
}

/* All members read what came since: it may be written from now on. */
static void raise_level(struct cluster *c)
{
	struct level_peers peers = {c, c->id, reads};

	if (!c->status.serving || !c->status.config ||
	    c->status.config_index > c->status.commit)
		return;
	uint64_t level = level_due(c->status.config, &peers);
	if (level > 0 && !node_event(c, &(struct raft_event){.type = RAFT_EVENT_MARK,
					    .mark = RAFT_MARK_LEVEL,
					    .value = level}))
		log_notice("all members read records of level %" PRIu64
			   ": older versions of rmq cannot come back",
		    level);
}

/* ---- what the leader has committed of what it sees ---- */

static const char *told_roles(void *arg, struct raft_id id)
{
	const struct cluster *c = arg;
	const struct peer *p = peers_find(c, id);

	if (raft_id_eq(id, c->id))
		return c->config.roles.names;
	return p && p->tell.says_roles ? p->tell.roles : NULL;
}

/* One change at a time. */
static void mark(struct cluster *c)
{
	const struct raft_config *config = c->status.config;
	struct start_gate_lack lack;

	if (!c->status.serving || !config || c->status.config_index > c->status.commit)
		return;
	const struct raft_member *m = roles_due(config, told_roles, c);
	struct raft_event e = {.type = RAFT_EVENT_MARK, .mark = RAFT_MARK_LATCH};
	if (m) {
		e.mark = RAFT_MARK_ROLES;
		e.id = m->id;
		e.name = told_roles(c, m->id);
	} else if (supervisor_gate(c, &lack) != START_GATE_LATCHES) {
		return;
	}
	if (node_event(c, &e) == RMQ_E_OK && !m)
		log_notice("min-members are up: the queue may start");
}

/* The leader is told when this node is elsewhere than the cluster believes. */
static void tell_place(struct cluster *c)
{
	struct raft_member self;
	uint64_t now = cluster_now(c);

	if (!c->status.config || raft_id_none(c->status.leader) ||
	    now < c->commands.self_ms + SELF_MS)
		return;
	peers_self(c, &self);
	if (!members_misplaced(c->status.config, &self))
		return;
	c->commands.self_ms = now;
	struct command *order = begin(c, NODE_COMMAND_TAKE_IN);
	if (!order)
		return;
	order->member = self;
	order->reads = level_newest();
	go_on(c, order);
}

void commands_turn(struct cluster *c)
{
	for (unsigned i = 0; c->commands.count > 0 && i < COMMANDS_MAX; i++) {
		if (c->commands.list[i].used)
			look_or_give_up(c, &c->commands.list[i]);
	}
	promote(c);
	raise_level(c);
	mark(c);
	tell_place(c);
}

uint64_t commands_due(const struct cluster *c)
{
	return c->commands.count > 0 ? cluster_now(c) + COMMANDS_RETRY_MS : UINT64_MAX;
}
