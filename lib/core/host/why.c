#include "core/host/why.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/text.h"
#include "core/raft/node_wire.h"

/* A member that is heard and says so is not up. */
#define NOT_UP (NODE_STATE_HANGS | NODE_STATE_FORGOT)

__attribute__((format(printf, 3, 4))) static void say(
    struct why *w, enum control_reason reason, const char *format, ...)
{
	struct why_line *line = &w->lines[w->count];
	va_list args;

	if (w->count == WHY_LINES_MAX)
		return;
	va_start(args, format);
	vsnprintf(line->text, sizeof(line->text), format, args);
	va_end(args);
	/* One line, whatever words of other nodes it repeats. */
	text_tame(line->text, strlen(line->text));
	line->reason = reason;
	/* The start gate waits until somebody starts more nodes; what else comes after OTHER passes. */
	line->lasts = reason != CONTROL_REASON_WELL &&
		      (reason <= CONTROL_REASON_OTHER || reason == CONTROL_REASON_MIN_MEMBERS ||
			  reason == CONTROL_REASON_DATABASE);
	w->count++;
}

static void say_if(struct why *w, enum control_reason reason, const char *text)
{
	if (text && *text)
		say(w, reason, "%s", text);
}

/* Names, after a space each. */
struct names {
	char text[TEXT_MAX + 1];
	size_t len;
	unsigned count;
};

static void add_name(struct names *n, const char *name)
{
	if (n->len + RAFT_NAME_MAX + 2 < sizeof(n->text))
		n->len += (size_t)snprintf(
		    n->text + n->len, sizeof(n->text) - n->len, " %.*s", RAFT_NAME_MAX, name);
	n->count++;
}

/* "12 s": as exact as people want it. */
static const char *since(char text[32], uint64_t ms)
{
	if (ms < 120000)
		snprintf(text, 32, "%" PRIu64 " s", ms / 1000);
	else if (ms < 7200000)
		snprintf(text, 32, "%" PRIu64 " min", ms / 60000);
	else
		snprintf(text, 32, "%" PRIu64 " h", ms / 3600000);
	return text;
}

static const char *leader_name(const struct why_seen *s)
{
	const struct raft_member *m = s->config ? raft_config_find(s->config, s->leader) : NULL;
	return m ? m->name : NULL;
}

static bool is_voter(const struct why_seen *s)
{
	return s->config && raft_config_is_voter(s->config, s->id);
}

/* Voters; those that are not up go to *down. */
static unsigned voters(const struct why_seen *s, struct names *down)
{
	unsigned n = is_voter(s);

	if (n && (s->flags & NOT_UP))
		add_name(down, s->name);
	for (unsigned i = 0; i < s->count; i++) {
		n += s->others[i].voter;
		if (s->others[i].voter && !s->others[i].up)
			add_name(down, s->others[i].name);
	}
	return n;
}

/* ---- this node ---- */

/* The cluster, or one of its members, does not want this node. */
static void refused(struct why *w, const struct why_seen *s)
{
	const enum control_reason reason = CONTROL_REASON_REFUSED;

	if (s->removed) {
		say(w, reason, "this node %s", members_removed_text(s->how));
		return;
	}
	if (!s->member || s->lost)
		say_if(w, reason, s->join_refused);
	/* Which of two clusters is to go on is not for a program to say. */
	if (s->outcast && leader_name(s))
		say(w, reason,
		    "there are two clusters: this one, which %s leads, and the recovered one; decide which "
		    "one goes on, stop the other, and keep its directories: see When a majority is lost in "
		    "rmq-cluster(7)",
		    leader_name(s));
	else if (s->outcast)
		say(w, reason,
		    "stop rmq-clusterd here, unless the recovery was a mistake: with a majority of its old "
		    "members it goes on as a second cluster; keep the directory, and join with a new one");
	for (unsigned i = 0; i < s->count; i++)
		say_if(w, reason, s->others[i].refuses);
}

static void deadly(struct why *w, const struct why_seen *s)
{
	say_if(w, CONTROL_REASON_DEADLY, s->deadly);
}

static void room(struct why *w, const struct why_seen *s)
{
	const enum control_reason reason = CONTROL_REASON_ROOM;
	struct names full = {.len = 0};

	if (s->waits)
		say(w, reason,
		    "disk is full: this node takes no more of the log until there is room");
	else if (s->full)
		say(w, reason, "disk is full: no room for new messages here");
	if (s->waits || s->full)
		say(w, reason, "make room on the file system of %.150s on %s, or empty queues",
		    s->directory, s->name);
	if (!(s->leader_flags & NODE_STATE_NO_ROOM))
		return;
	if (s->database.used) {
		say(w, reason,
		    "the disk of the leading node is full: no room for new messages; empty queues, or "
		    "make room there");
		return;
	}
	say(w, reason, "the disks of a majority are full: no room for new messages");
	if (s->full)
		add_name(&full, s->name);
	for (unsigned i = 0; i < s->count; i++)
		if (s->others[i].trouble == TROUBLE_FULL)
			add_name(&full, s->others[i].name);
	if (full.count > 0)
		say(w, reason, "empty queues, or make room on the disks of:%.200s", full.text);
	else
		say(w, reason, "empty queues, or make room on the disks");
}

bool why_gate_text(char *text, enum gates_trouble trouble, const struct raft_config *config,
    struct raft_id self, struct raft_id leader)
{
	const struct raft_member *there = config ? raft_config_find(config, leader) : NULL,
				 *here = config ? raft_config_find(config, self) : NULL;
	const size_t size = TEXT_MAX + 1;

	switch (trouble) {
	case GATES_WELL:
		break;
	case GATES_MISSING:
		snprintf(text, size,
		    "rmq-gated of this node has not reported since rmq-clusterd was started, "
		    "and those of other nodes run: start it");
		return true;
	case GATES_SILENT:
		snprintf(text, size,
		    "rmq-gated of this node hangs, or has ended and was not told to: start it "
		    "anew; if this node is to have none, stop it then with SIGTERM");
		return true;
	case GATES_LOST:
		snprintf(text, size,
		    "rmq-gated of this node does not reach that of %s at %.100s "
		    "(its gate-advertise)",
		    there ? there->name : "the leading node", there ? there->gate : "");
		return true;
	case GATES_UNREACHED:
		snprintf(text, size,
		    "when this node led, most other nodes did not reach its rmq-gated at "
		    "%.100s (gate-advertise)",
		    here ? here->gate : "");
		return true;
	}
	return false;
}

/* Voters that are up and store nothing, or are not up. */
static void say_who_stores(struct why *w, const struct why_seen *s)
{
	struct names down = {.len = 0};
	unsigned n = voters(s, &down);

	if (down.count > 0)
		say(w, CONTROL_REASON_ILL,
		    "%u of %u voters must store; those that are not up:%.200s", n / 2 + 1, n,
		    down.text);
	else
		say(w, CONTROL_REASON_ILL,
		    "all voters are up: look at the links between them, and at their disks");
}

static void ill(struct why *w, const struct why_seen *s)
{
	const enum control_reason reason = CONTROL_REASON_ILL;
	char text[TEXT_MAX + 1];

	if (s->hangs && !s->full)
		say(w, reason, "disk hangs: writes have waited for a long time");
	if (s->starves && !s->full)
		say(w, reason,
		    "the leader has records that this node lacks, and none of them arrives: "
		    "look at the link between them");
	if (s->unable)
		say(w, reason,
		    "the queue daemon was killed and does not end: the kernel waits, usually "
		    "for its disk");
	if (s->resting != HEALTH_NONE)
		say(w, reason, "%s", health_text(s->resting));
	if (s->leads && !s->confirms && s->database.used) {
		say(w, reason,
		    "nothing is confirmed: the database does not store the records sent to it");
	} else if (s->leads && !s->confirms) {
		say(w, reason,
		    "nothing is confirmed: a majority does not store the records sent to it");
		say_who_stores(w, s);
	}
	if (s->runner_ended)
		say(w, reason,
		    "hooks and seed-command are not run any more, as the process that runs them has "
		    "ended: restart rmq-clusterd");
	say_if(w, reason, s->failure);
	if (why_gate_text(text, s->gate, s->config, s->id, s->leader))
		say(w, reason, "%s", text);
}

static void forgot(struct why *w, const struct why_seen *s)
{
	if (!s->forgot)
		return;
	say(w, CONTROL_REASON_FORGOT,
	    "this node does not vote, as its data directory was put back to an older state; %s"
	    "rmq-cluster leave %s",
	    s->changed ? "members have changed since, so it never will: remove it: "
		       : "it may when all others are up and another one leads, see rmq-cluster "
			 "transfer; or remove it: ",
	    s->name);
}

static void bad_record(struct why *w, const struct why_seen *s)
{
	if (s->bad_for)
		say(w, CONTROL_REASON_RECORD,
		    "record %" PRIu64 " is bad on this disk and on no other node that answers; "
		    "%s cannot catch up: see Damaged records in rmq-cluster(7)",
		    s->bad_record, s->bad_for);
}

static void rights(struct why *w, const struct why_seen *s)
{
	say_if(w, CONTROL_REASON_RIGHTS, s->rights);
}

/* ---- the others ---- */

/* Each setting that does. */
static void settings_others(struct why *w, enum control_reason reason, const struct why_seen *s,
    const struct why_other *o)
{
	const struct settings_of there = {o->settings, o->name}, here = {s->settings, NULL};
	char text[TEXT_MAX + 1];
	unsigned i = 0;

	if (!o->settings || !s->settings)
		return;
	while ((i = settings_differ(o->settings, s->settings, i)) < SETTINGS_COUNT) {
		settings_text(text, (enum setting)i++, &there, &here);
		say(w, reason, "%s", text);
	}
}

static void trouble(struct why *w, enum control_reason reason, const struct why_seen *s,
    const struct why_other *o)
{
	switch (o->trouble) {
	case TROUBLE_NONE:
		break;
	case TROUBLE_FORGOT:
		say(w, reason,
		    "%s is not up: its data directory was put back to an older state, and it "
		    "does not vote",
		    o->name);
		break;
	case TROUBLE_HANGS:
		say(w, reason,
		    "%s is not up: for a long time it has stored none of the records that it "
		    "lacks",
		    o->name);
		break;
	case TROUBLE_UNREACHED:
		say(w, reason,
		    "%s is not up: it reaches this node, and is not reached at %.80s: look at "
		    "its advertise, and at what lies between",
		    o->name, o->address);
		break;
	case TROUBLE_UNREACHING:
		say(w, reason,
		    "%s is not up: it is reached, and does not reach this node at %.80s: look "
		    "at advertise here, and at what lies between",
		    o->name, s->address);
		break;
	case TROUBLE_FULL:
		say(w, reason, "%s: disk is full: no room for new messages there", o->name);
		break;
	case TROUBLE_FAILS:
		say(w, reason,
		    "%s: its queue daemon could not run when it led: rmq-cluster status says "
		    "why there",
		    o->name);
		break;
	case TROUBLE_ASTRAY:
		say(w, reason,
		    "%s is up, and is not reached where it says that it is, at %.80s: look at "
		    "its advertise, and at what lies between",
		    o->name, o->address);
		break;
	case TROUBLE_ASTRAY_HERE:
		say(w, reason,
		    "%s is up, and does not reach this node where it says that it is, at %.80s: "
		    "look at advertise here, and between them",
		    o->name, s->address);
		break;
	case TROUBLE_DIFFERS:
		settings_others(w, reason, s, o);
		break;
	}
}

/* Those with a trouble of these, the worst first. */
static void troubles(struct why *w, enum control_reason reason, const struct why_seen *s,
    enum trouble from, enum trouble to)
{
	for (enum trouble t = from; t <= to; t++)
		for (unsigned i = 0; i < s->count; i++)
			if (s->others[i].trouble == t)
				trouble(w, reason, s, &s->others[i]);
}

/* That may be why there is no leader. */
static void others_down(struct why *w, const struct why_seen *s)
{
	if (!s->outcast)
		troubles(w, CONTROL_REASON_MEMBER, s, TROUBLE_FORGOT, TROUBLE_UNREACHING);
}

static void others_ill(struct why *w, const struct why_seen *s)
{
	if (s->back)
		say(w, CONTROL_REASON_OTHER,
		    "%s runs with a directory of before this cluster was recovered, maybe as a second "
		    "cluster: see When a majority is lost in rmq-cluster(7)",
		    s->back);
	troubles(w, CONTROL_REASON_OTHER, s, TROUBLE_FULL, TROUBLE_DIFFERS);
}

/* Who is not up has to be known for a cause above. */
static void silent(struct why *w, const struct why_seen *s)
{
	char ago[32];

	for (unsigned i = 0; i < s->count; i++) {
		const struct why_other *o = &s->others[i];
		if (!o->member || o->up || o->refuses || s->outcast ||
		    (o->trouble != TROUBLE_NONE && o->trouble <= TROUBLE_UNREACHING))
			continue;
		if (o->heard_ms == UINT64_MAX)
			say(w, CONTROL_REASON_DOWN,
			    "%s is not up: nothing was heard of it since rmq-clusterd was started "
			    "here; it says that it is at %.80s",
			    o->name, *o->address ? o->address : "nowhere");
		else
			say(w, CONTROL_REASON_DOWN,
			    "%s is not up: it was heard last %s ago, at %.80s", o->name,
			    since(ago, o->heard_ms), *o->address ? o->address : "nowhere");
		say(w, CONTROL_REASON_DOWN,
		    "look whether %s runs, and rmq-clusterd on it, and whether it is reached there",
		    o->name);
	}
}

/* A cluster is smaller than it was meant to be. */
static void admitted(struct why *w, const struct why_seen *s)
{
	for (unsigned i = 0; s->member && s->config && !s->outcast && i < s->config->count;
	     i++) {
		const struct raft_member *m = &s->config->members[i];
		if (raft_id_none(m->id))
			say(w, CONTROL_REASON_DOWN,
			    "%s was admitted and has not joined: start rmq-clusterd there with a new "
			    "data directory and seeds, see rmq.conf(5); its log says what hinders it",
			    m->name);
	}
}

/* ---- the database ---- */

static void database(struct why *w, const struct why_seen *s)
{
	say_if(w, CONTROL_REASON_DATABASE, s->database.trouble);
	if (!s->database.trouble && s->database.silent)
		say(w, CONTROL_REASON_DATABASE,
		    "the database at %.100s does not answer: it waits for its synchronous standbys or "
		    "for a lock that somebody holds, or stands still",
		    s->database.address);
}

/* It is allowed, and is to be heard of all the same. */
static void async(struct why *w, const struct why_seen *s)
{
	if (s->database.async)
		say(w, CONTROL_REASON_DATABASE,
		    "the database at %.100s does not wait for a standby (%.80s): what it confirms may "
		    "be lost with its server, which --allow-async allows",
		    s->database.address, s->database.async);
}

static void converts(struct why *w, const struct why_seen *s)
{
	if (s->database.converts)
		say(w, CONTROL_REASON_NEW,
		    "the log of this node is still that of a cluster of one with the built-in engine: "
		    "rmq-cluster init makes it the database's");
}

static bool runs(const struct why_seen *s, const char *name)
{
	for (unsigned i = 0; i < s->count; i++)
		if (strcmp(s->others[i].name, name) == 0)
			return s->others[i].up;
	return strcmp(s->name, name) == 0;
}

/* Two nodes, and one name. */
static void namesake(struct why *w, const struct why_seen *s)
{
	const char *name = s->namesake;

	if (!name || !s->member)
		return;
	if (s->namesake_key)
		say(w, CONTROL_REASON_DOWN,
		    "another node, at %.60s, asks to be let in as %.40s: %.140s",
		    s->namesake_from, name, s->namesake_key);
	else if (runs(s, name))
		say(w, CONTROL_REASON_DOWN,
		    "%.63s runs, and another node, at %.60s, asks to be let in as %.63s: give that one "
		    "its own name and key (rmq-keygen)",
		    name, s->namesake_from, name);
	else
		say(w, CONTROL_REASON_DOWN,
		    "another node, at %.60s, asks to be let in as %.40s: if the old one is gone, "
		    "rmq-cluster replace %.40s, with the key of the new one",
		    s->namesake_from, name, name);
}

/* ---- the leader ---- */

static void no_leader(struct why *w, const struct why_seen *s)
{
	const enum control_reason reason = CONTROL_REASON_NO_LEADER;
	struct names down = {.len = 0};

	/* Who is not of the cluster any more is not to bring the old one back. */
	if (!s->unled || s->outcast)
		return;
	unsigned n = voters(s, &down), needed = n / 2 + 1, up = n - down.count, refusing = 0;

	for (unsigned i = 0; i < s->count; i++)
		refusing += s->others[i].voter && !s->others[i].up && s->others[i].refuses;
	/* The database elects, and needs none of them. */
	if (s->database.used) {
		say(w, reason,
		    "no leader is elected: it is a node that may vote and reaches the database; this "
		    "one %s",
		    s->database.trouble ? "does not"
		    : !is_voter(s)	? "may not"
					: "reaches it");
		return;
	}
	/* Who does not vote may not hear of an election. */
	say(w, reason, "%s%s%.200s",
	    is_voter(s) ? "no leader is elected" : "no leader is known here",
	    down.count > 0 ? "; voters that are not up:" : "", down.text);
	if (refusing > 0)
		say(w, reason,
		    "%u of them run, and refuse this node: mend what they say; the others may well "
		    "have a leader",
		    refusing);
	else if (up < needed)
		say(w, reason,
		    "%u of %u voters must be up, and %u %s: start rmq-clusterd on %u more of them; if "
		    "they are lost for good, see When a majority is lost in rmq-cluster(7)",
		    needed, n, up, up == 1 ? "is" : "are", needed - up);
	else if (n > 1)
		say(w, reason,
		    "%u of %u voters are up, which is enough: look at rmq-cluster why on the others",
		    up, n);
}

static void outside(struct why *w, const struct why_seen *s)
{
	if (s->member || s->removed)
		return;
	if (s->joining) {
		say(w, CONTROL_REASON_JOINING,
		    "this node is no member yet: it asks%.200s to let it in", s->seeds);
		if (s->join_final)
			return;
		say(w, CONTROL_REASON_JOINING,
		    "on a member: rmq-cluster admit %s, with the key of this node "
		    "(rmq-cluster status -o key)",
		    s->name);
		return;
	}
	say(w, CONTROL_REASON_NEW, "this node is a member of no cluster");
	say(w, CONTROL_REASON_NEW,
	    "rmq-cluster join NAME@HOST:PORT, or the setting seeds, makes it one; on the first node "
	    "of a new cluster, once, rmq-cluster init");
}

static void stopping(struct why *w, const struct why_seen *s)
{
	if (s->stopping)
		say(w, CONTROL_REASON_STOPPING,
		    "this node was told to end: it hands leadership over and ends in order");
}

static void leaving(struct why *w, const struct why_seen *s)
{
	for (unsigned i = 0; s->config && i < s->config->count; i++) {
		const struct raft_member *m = &s->config->members[i];
		if (m->leaving)
			say(w, CONTROL_REASON_LEAVING, "%s leaves the cluster: it %s", m->name,
			    m->leaving == RAFT_LEAVES
				? "hands over, and is removed then"
				: "has handed over, and is about to be removed");
	}
}

static void leaderless(struct why *w, const struct why_seen *s)
{
	if (s->member && !s->removed && !s->unled && !s->leads && !leader_name(s))
		say(w, CONTROL_REASON_LEADERLESS,
		    "no leader is known for the moment: the voters elect one");
}

/* The start gate of the queue daemon. */
static void min_members(struct why *w, const struct why_seen *s)
{
	if (s->min_members == 0 || !leader_name(s))
		return;
	say(w, CONTROL_REASON_MIN_MEMBERS,
	    "the queue daemon starts first when %u members%s%s have been up, and %u have",
	    s->min_members, s->min_role ? " with the role " : "",
	    s->min_role ? s->min_role : "", s->min_up);
	say(w, CONTROL_REASON_MIN_MEMBERS,
	    "start more nodes, or change min-members on all of them: see rmq.conf(5)");
}

/* A leader that may not run the queue daemon, until one that may leads. */
static void roles(struct why *w, const struct why_seen *s)
{
	const struct raft_member *l = s->config ? raft_config_find(s->config, s->leader) : NULL;
	struct names may = {.len = 0};

	if (!l || (l->flags & RAFT_BROKER))
		return;
	for (unsigned i = 0; i < s->config->count; i++) {
		const struct raft_member *m = &s->config->members[i];
		if ((m->flags & RAFT_VOTER) && (m->flags & RAFT_BROKER))
			add_name(&may, m->name);
	}
	say(w, CONTROL_REASON_ROLES,
	    "%s leads, and is not to run the queue daemon: it has not the role broker",
	    l->name);
	w->lines[w->count - 1].lasts |= may.count == 0;
	if (may.count > 0)
		say(w, CONTROL_REASON_ROLES,
		    "leadership passes to one of these when it is up and has the whole log:%.180s",
		    may.text);
	else
		say(w, CONTROL_REASON_ROLES,
		    "no voter has that role: give it to one, see roles in "
		    "rmq.conf(5)");
}

static void say_own_queue(struct why *w, const struct why_seen *s)
{
	const enum control_reason reason = CONTROL_REASON_QUEUE;

	if (!s->serving) {
		say(w, reason,
		    "%s was elected, and has not confirmed all records of before yet", s->name);
		return;
	}
	switch (s->queue) {
	case KEEPER_STARTING:
		say(w, reason, "%s of %s reads the log, and takes no clients yet", s->program,
		    s->name);
		break;
	case KEEPER_PAUSE:
		say(w, reason, "%s of %s has ended, and is started again in a moment",
		    s->program, s->name);
		say(w, reason, "the log of rmq-clusterd says how it ended");
		break;
	case KEEPER_DRAINING:
		say(w, reason, "%s of %s was told to end", s->program, s->name);
		break;
	case KEEPER_IDLE:
		say(w, reason, "%s of %s does not run yet", s->program, s->name);
		break;
	case KEEPER_READY:
	case KEEPER_STATES:
		break;
	}
}

/* What the causes above have not said already. */
static void queue(struct why *w, const struct why_seen *s)
{
	const char *leader = leader_name(s);

	if (w->count > 0 || s->available || (!s->leads && !leader))
		return;
	if (s->leads) {
		say_own_queue(w, s);
	} else if (!(s->leader_flags & NODE_STATE_SERVES)) {
		say(w, CONTROL_REASON_QUEUE,
		    "%s leads, and does not say that its queue daemon takes clients and lines are "
		    "confirmed",
		    leader);
		say(w, CONTROL_REASON_QUEUE, "rmq-cluster why on %s says more", leader);
	}
}

static void well(struct why *w, const struct why_seen *s)
{
	const char *leader = leader_name(s);
	struct names down = {.len = 0};
	unsigned n = voters(s, &down);

	if (w->count > 0)
		return;
	if (s->available && leader && s->database.used)
		say(w, CONTROL_REASON_WELL,
		    "all is well: %s leads, its queue daemon takes clients, the database at %.100s "
		    "answers, and %u of %u nodes that may lead are up%s",
		    leader, s->database.address, n - down.count, n,
		    n < 2 ? ": it may not fail" : "");
	else if (s->available && leader)
		say(w, CONTROL_REASON_WELL,
		    "all is well: %s leads, its queue daemon takes clients, and %u of %u voters are "
		    "up%s",
		    leader, n - down.count, n, n < 3 ? ": none may fail" : "");
	else
		say(w, CONTROL_REASON_UNKNOWN,
		    "lines are not confirmed, and this node does not know why: see the log of "
		    "rmq-clusterd, here and on the leader");
}

void why_make(struct why *w, const struct why_seen *s)
{
	/* The worst first. */
	static void (*const reasons[])(struct why * w, const struct why_seen *s) = {refused,
	    deadly, database, room, ill, forgot, bad_record, others_down, no_leader, rights,
	    others_ill, async, converts, outside, stopping, leaving, leaderless, min_members,
	    roles, queue, silent, admitted, namesake, well};

	w->count = 0;
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		reasons[i](w, s);
}

const char *why_problem(const struct why *w)
{
	return w->lines[0].lasts ? w->lines[0].text : NULL;
}
