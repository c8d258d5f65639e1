#include "core/host/commands.h"

#include <stdio.h>

#include "core/base/variant.h"

/* clang-format off */
#define W COMMAND_WAITS
#define P COMMAND_PASSED_ON
#define C COMMAND_COMMITS
#define T COMMAND_TRANSFERS
#define A COMMAND_ASKS
#define F COMMAND_FOUNDS
#define J COMMAND_JOINS
#define D COMMAND_ADOPTS
#define E COMMAND_ENDED
static const uint8_t table[COMMAND_EVENTS][COMMAND_STATES] = {
	/*                      WAITS PASSED COMMITS TRANSF. ASKS FOUNDS JOINS ADOPTS ENDED */
	[COMMAND_PASS_ON]   = { P,    P,     C,      T,      A,   F,     J,    D,     E },
	[COMMAND_PROPOSE]   = { C,    P,     C,      T,      A,   F,     J,    D,     E },
	[COMMAND_HAND_OVER] = { T,    P,     C,      T,      A,   F,     J,    D,     E },
	[COMMAND_ASK]       = { A,    P,     C,      T,      A,   F,     J,    D,     E },
	[COMMAND_FOUND]     = { F,    P,     C,      T,      F,   F,     J,    D,     E },
	[COMMAND_JOIN]      = { J,    P,     C,      T,      A,   F,     J,    D,     E },
	[COMMAND_ADOPT]     = { W,    P,     C,      T,      D,   F,     J,    D,     E },
	[COMMAND_UNLED]     = { W,    W,     C,      T,      A,   F,     J,    D,     E },
	[COMMAND_LOST]      = { W,    W,     W,      W,      A,   F,     J,    D,     E },
	[COMMAND_ANSWER]    = { E,    E,     E,      E,      E,   E,     E,    E,     E },
	[COMMAND_LATE]      = { E,    E,     E,      E,      E,   E,     J,    D,     E },
};
#undef W
#undef P
#undef C
#undef T
#undef A
#undef F
#undef J
#undef D
#undef E
/* clang-format on */

void command_event(struct command_life *l, enum command_event e, uint64_t now_ms)
{
	enum command_state was = l->state;

	l->state = (enum command_state)table[e][was];
	if (was == COMMAND_WAITS &&
	    (e == COMMAND_PASS_ON || e == COMMAND_PROPOSE || e == COMMAND_HAND_OVER))
		l->tries++;
	if (was == COMMAND_PASSED_ON && e == COMMAND_UNLED)
		l->tries--;
	if (l->state == COMMAND_WAITS && was != COMMAND_WAITS)
		l->retry_ms = now_ms + COMMANDS_RETRY_MS;
}

enum rmq_error command_late(const struct command_life *l, bool leads, const char **text)
{
	*text = "the outcome is unknown: rmq-cluster members shows it; the command may be "
		"repeated";
	if (l->tries > 0 || (l->state != COMMAND_WAITS && l->state != COMMAND_ASKS))
		return RMQ_E_TIMEOUT;
	*text = leads ? "another change is under way" : "no leader is known";
	return leads ? RMQ_E_BUSY : RMQ_E_NO_DAEMON;
}

enum rmq_error command_removed(const struct command_life *l, enum rmq_error code)
{
	unsigned before = l->tries - (l->state == COMMAND_PASSED_ON);

	return code == RMQ_E_NOTHING && before > 0 ? RMQ_E_OK : code;
}

/* ---- the rule of transfers ---- */

enum commands_transfer commands_transferred(
    struct raft_id self, struct raft_id to, struct raft_id leader, bool leads, bool serves)
{
	bool done = raft_id_none(to) ? !raft_id_eq(leader, self) : raft_id_eq(leader, to);

	if (leads)
		return serves ? COMMANDS_GIVEN_UP : COMMANDS_GOES_ON;
	if (raft_id_none(leader))
		return COMMANDS_GOES_ON;
	return done ? COMMANDS_TAKEN_OVER : COMMANDS_ASTRAY;
}

/* ---- the rule of changes ---- */

void commands_add_name(char names[TEXT_MAX + 1], const char *name)
{
	size_t len = strlen(names);

	snprintf(names + len, TEXT_MAX + 1 - len, "%s%.20s", len ? ", " : "", name);
}

struct count {
	unsigned voters;
	unsigned store;
	char others[TEXT_MAX + 1]; /* names */
};

/* Known-bad: what a disk stored long before counts. */
static bool stores(
    const struct command_life *l, const struct commands_peers *peers, struct raft_id id)
{
	uint64_t old = RMQ_VARIANT(REMOVED_UNSTORED) ? l->mark / 2 : 0;

	return peers->stores(peers->arg, id, l->mark - old);
}

/* stay: those that leave do not count: they are none soon. */
static struct count count_voters(const struct command_life *l, const struct raft_config *config,
    const char *name, const struct commands_peers *peers, bool stay)
{
	struct count c = {0};

	for (unsigned i = 0; i < config->count; i++) {
		const struct raft_member *m = &config->members[i];
		if (!(m->flags & RAFT_VOTER) || strcmp(m->name, name) == 0 ||
		    (stay && m->leaving))
			continue;
		c.voters++;
		if (stores(l, peers, m->id) && peers->votes(peers->arg, m->id))
			c.store++;
		else
			commands_add_name(c.others, m->name);
	}
	return c;
}

static bool suffice(const struct count *c)
{
	return c->voters == 0 || c->store > c->voters / 2;
}

enum commands_verdict commands_majority(struct command_life *l, const struct raft_status *log,
    const char *name, const struct commands_peers *peers, uint64_t now_ms, char *text)
{
	const struct raft_config *config = log->config;
	const uint64_t term = log->term;

	const struct raft_member *is = raft_config_find_name(config, name);

	if (RMQ_VARIANT(REMOVED_UNCHECKED) || !is)
		return COMMANDS_MAY;
	/* Nothing that is confirmed needs the disks of nodes. */
	if (config->engine != RAFT_ENGINE_BUILT_IN)
		return COMMANDS_MAY;
	/* What was stored before it was asked, or for another leader, says nothing. */
	if (l->term != term) {
		l->mark = peers->append(peers->arg);
		if (l->mark == 0)
			return COMMANDS_HOLD;
		l->term = term;
		l->asked_ms = now_ms;
	}
	struct count c = count_voters(l, config, name, peers, false);
	/*
	 * Nor may those be kept from leaving that were told to before.  One that stores nothing helps none of
	 * them, and only makes majorities larger.
	 */
	bool helps = stores(l, peers, is->id) && peers->votes(peers->arg, is->id);
	if (suffice(&c) && helps && !is->leaving && !RMQ_VARIANT(LEAVING_COUNTED))
		c = count_voters(l, config, name, peers, true);
	if (suffice(&c))
		return COMMANDS_MAY;
	if (now_ms - l->asked_ms < COMMANDS_STORE_MS)
		return COMMANDS_HOLD;
	snprintf(text, TEXT_MAX + 1,
	    "too few of the %u voters that would be left vote, and store what they are "
	    "sent (not %.80s): nothing could be stored then; start or mend these, or down the "
	    "dead ones",
	    c.voters, c.others);
	return COMMANDS_STOP;
}

static enum rmq_error propose(const struct commands_removal *r,
    const struct commands_peers *peers, bool hands_over, struct raft_id id)
{
	if (hands_over)
		return peers->leave(peers->arg, id);
	if (r->way == COMMANDS_REPLACE)
		return peers->replace(peers->arg, r->by);
	return peers->remove(
	    peers->arg, r->name, r->way == COMMANDS_LEAVE ? RAFT_LEFT : RAFT_DOWNED);
}

/* Who hands over has to be there.  False: the others are to be asked. */
static bool decide_to_leave(const struct commands_removal *r,
    const struct commands_peers *peers, const struct raft_member *is, enum commands_verdict *v,
    enum rmq_error *code, char *text)
{
	*v = COMMANDS_MAY;
	if (is->leaving)
		return true;
	if (peers->up(peers->arg, is->id) || RMQ_VARIANT(LEAVES_DEAD))
		return false;
	*v = COMMANDS_STOP;
	*code = RMQ_E_REFUSED;
	snprintf(text, TEXT_MAX + 1,
	    "it is not up and cannot hand over: start it, or remove it at once: "
	    "rmq-cluster down %.63s",
	    r->name);
	return true;
}

/* Whether it is decided without the others: done already (COMMANDS_MAY), or refused. */
static bool decide_to_replace(const struct commands_removal *r,
    const struct commands_peers *peers, const struct raft_member *is, enum commands_verdict *v,
    enum rmq_error *code, char *text)
{
	const struct raft_member *keyed = raft_config_find_key(r->log->config, r->by->key);
	bool up = is && !raft_id_none(is->id) && !RMQ_VARIANT(REPLACED_ALIVE) &&
		  peers->up(peers->arg, is->id),
	     same = is && (raft_id_eq(is->id, r->by->id) || RMQ_VARIANT(REPLACED_ANEW));

	*v = COMMANDS_STOP;
	*code = RMQ_E_REFUSED;
	if (!is) {
		*code = RMQ_E_NOTHING;
		snprintf(
		    text, TEXT_MAX + 1, "no such member: rmq-cluster admit %.63s KEY", r->name);
	} else if (keyed && keyed != is) {
		*code = RMQ_E_EXISTS;
		snprintf(text, TEXT_MAX + 1, "the key is that of %.63s", keyed->name);
	} else if (keyed && (!same || up || raft_id_none(is->id))) {
		*v = COMMANDS_MAY;
		*code = RMQ_E_OK;
	} else if (!same) {
		snprintf(text, TEXT_MAX + 1,
		    "another node has come under this name meanwhile: see rmq-cluster members, "
		    "and ask again");
	} else if (up) {
		snprintf(text, TEXT_MAX + 1,
		    "it is up: if it is to go, rmq-cluster leave %.63s, or down, and then admit "
		    "the other one",
		    r->name);
	} else {
		*code = RMQ_E_OK;
		return false;
	}
	return true;
}

/*
 * Others vote, and none of them that stays may run the queue daemon.  In the place of one that is up
 * another one has to be, too.
 */
static bool is_last_broker(const struct raft_config *c, const struct raft_member *is,
    const struct commands_peers *peers)
{
	const unsigned both = RAFT_VOTER | RAFT_BROKER;

	if ((is->flags & both) != both || raft_config_voters(c) == 1 ||
	    RMQ_VARIANT(LAST_BROKER_GOES))
		return false;
	for (unsigned i = 0; i < c->count; i++) {
		const struct raft_member *m = &c->members[i];
		if (m != is && (m->flags & both) == both && m->leaving == RAFT_STAYS &&
		    (peers->up(peers->arg, m->id) || !peers->up(peers->arg, is->id)))
			return false;
	}
	return true;
}

/* The same of leave and down. */
static bool decide_to_remove(const struct commands_removal *r, const struct raft_member *is,
    const struct commands_peers *peers, enum commands_verdict *v, enum rmq_error *code,
    char *text)
{
	*v = COMMANDS_MAY;
	if (!raft_id_none(r->by->id) && !raft_id_eq(is->id, r->by->id) &&
	    !RMQ_VARIANT(REPLACED_ANEW)) {
		*v = COMMANDS_STOP;
		*code = RMQ_E_NOTHING;
		snprintf(text, TEXT_MAX + 1,
		    "no such member: another node has come under this name meanwhile");
		return true;
	}
	if (r->way == COMMANDS_FORCED || !is_last_broker(r->log->config, is, peers))
		return false;
	*v = COMMANDS_STOP;
	*code = RMQ_E_REFUSED;
	snprintf(text, TEXT_MAX + 1,
	    "it is the last voter that may run the queue daemon and is up: start or replace another "
	    "one with the role broker, or give one that role, first; or see leave --force");
	return true;
}

/*
 * Who is up, and could leave in order, is not forced out: it would come back only with a new directory.
 * False: there is a reason to force it.
 */
static bool decide_to_force(struct command_life *l, const struct commands_removal *r,
    const struct commands_peers *peers, const struct raft_member *is, uint64_t now_ms,
    enum commands_verdict *v, enum rmq_error *code, char *text)
{
	const struct raft_config *config = r->log->config;
	bool last = (is->flags & RAFT_VOTER) && raft_config_voters(config) == 1;

	if (raft_id_none(is->id) || raft_config_level(config) < LEVEL_TAGS || last ||
	    !peers->up(peers->arg, is->id) || is_last_broker(config, is, peers))
		return false;
	enum commands_verdict others =
	    commands_majority(l, r->log, r->name, peers, now_ms, text);
	if (others == COMMANDS_STOP)
		return false;
	*v = others == COMMANDS_HOLD ? COMMANDS_HOLD : COMMANDS_STOP;
	if (others == COMMANDS_MAY) {
		*code = RMQ_E_REFUSED;
		snprintf(text, TEXT_MAX + 1,
		    "it is up, and enough of the others store: rmq-cluster leave %.63s, without "
		    "--force; to remove it at once: rmq-cluster down %.63s",
		    r->name, r->name);
	}
	return true;
}

/* What is refused by consensus, in words.  *code: for who has asked. */
static void say_refused(enum rmq_error *code, char *text)
{
	const char *why = *code == RMQ_E_LIMIT	   ? "it is the last voter"
			  : *code == RMQ_E_NOTHING ? "no such member"
						   : error_text(*code);

	snprintf(text, TEXT_MAX + 1, "%s", why);
	if (*code == RMQ_E_LIMIT)
		*code = RMQ_E_REFUSED;
}

enum commands_verdict command_remove(struct command_life *l, const struct commands_removal *r,
    const struct commands_peers *peers, uint64_t now_ms, enum rmq_error *code, char *text)
{
	const struct raft_status *log = r->log;
	enum commands_verdict v = COMMANDS_MAY;

	/* Another change is under way: who stores is asked once that is over. */
	if (log->config_index > log->commit) {
		l->term = 0;
		return COMMANDS_HOLD;
	}
	const struct raft_member *is = raft_config_find_name(log->config, r->name);
	struct raft_id id = is ? is->id : (struct raft_id){{0}};
	bool hands_over = r->way == COMMANDS_LEAVE && !raft_id_none(id) &&
			  raft_config_level(log->config) >= LEVEL_TAGS;
	*code = RMQ_E_OK;
	if (!is && r->way != COMMANDS_REPLACE &&
	    raft_config_removed_name(log->config, r->name)) {
		snprintf(text, TEXT_MAX + 1, "%.63s was removed already", r->name);
		return COMMANDS_STOP;
	}
	if (is && r->way != COMMANDS_REPLACE && decide_to_remove(r, is, peers, &v, code, text))
		return v;
	if (hands_over && decide_to_leave(r, peers, is, &v, code, text))
		return v;
	if (r->way == COMMANDS_REPLACE && decide_to_replace(r, peers, is, &v, code, text))
		return v;
	if (is && r->way == COMMANDS_FORCED &&
	    decide_to_force(l, r, peers, is, now_ms, &v, code, text))
		return v;
	if (r->way != COMMANDS_FORCED)
		v = commands_majority(l, log, r->name, peers, now_ms, text);
	if (v != COMMANDS_MAY) {
		*code = RMQ_VARIANT(REFUSED_IS_DONE) ? RMQ_E_NOTHING : RMQ_E_REFUSED;
		return v;
	}
	*code = propose(r, peers, hands_over, id);
	if (*code == RMQ_E_OK)
		return COMMANDS_MAY;
	if (*code == RMQ_E_BUSY) {
		l->term = 0;
		return COMMANDS_HOLD;
	}
	say_refused(code, text);
	return COMMANDS_STOP;
}

/* A key goes with a name.  What is in the way may be a node that runs, and is to go on. */
void commands_unadmitted(
    const struct raft_config *config, const struct raft_member *m, char *text)
{
	const struct raft_member *keyed = raft_config_find_key(config, m->key);

	if (keyed && raft_id_none(keyed->id))
		snprintf(text, TEXT_MAX + 1,
		    "the key was admitted as %.60s: rmq-cluster leave %.60s, and then admit it "
		    "as %.60s",
		    keyed->name, keyed->name, m->name);
	else if (keyed)
		snprintf(text, TEXT_MAX + 1,
		    "the key is that of the member %.63s: give the new node its own one, with "
		    "rmq-keygen",
		    keyed->name);
	else
		snprintf(text, TEXT_MAX + 1,
		    "the name has another key; if the node of that key is gone: rmq-cluster "
		    "replace %.63s KEY",
		    m->name);
}

static void say_runs(const struct raft_member *is, bool keyed, char *text)
{
	snprintf(text, TEXT_MAX + 1,
	    "%.40s runs, at %.60s: this node has its name%s; give it its own name and key "
	    "(rmq-keygen), and admit that",
	    is->name, is->address, keyed ? " and key" : "");
}

void commands_mistaken(const struct raft_config *config, const struct raft_member *m,
    const struct commands_peers *peers, char *text)
{
	const struct raft_member *keyed = raft_config_find_key(config, m->key),
				 *named = raft_config_find_name(config, m->name),
				 *same = raft_config_find(config, m->id);
	bool up = named && !raft_id_none(named->id) && named != same &&
		  peers->up(peers->arg, named->id);

	if (keyed && keyed != named && raft_id_none(keyed->id))
		snprintf(text, TEXT_MAX + 1,
		    "the key of %.40s was admitted as %.40s: on a member, rmq-cluster leave %.40s, "
		    "and then admit it as %.40s",
		    m->name, keyed->name, keyed->name, m->name);
	else if (keyed && keyed != named)
		snprintf(text, TEXT_MAX + 1,
		    "the key of %.63s is that of the member %.63s: give it its own one "
		    "(rmq-keygen), and admit that",
		    m->name, keyed->name);
	else if (keyed && same && same != keyed)
		snprintf(text, TEXT_MAX + 1,
		    "the data directory of %.63s is a copy of that of %.63s: it needs a new one",
		    m->name, same->name);
	else if (up)
		say_runs(named, keyed != NULL, text);
	else if (keyed)
		snprintf(text, TEXT_MAX + 1,
		    "%.63s is a member with another data directory; if that is gone, "
		    "rmq-cluster replace %.63s, with the key of this node",
		    m->name, m->name);
	else
		snprintf(text, TEXT_MAX + 1,
		    "%.63s has another key: %s %.63s, with the key of this node "
		    "(rmq-cluster status -o key)",
		    m->name,
		    named && raft_id_none(named->id)
			? "let it leave, and then rmq-cluster admit"
			: "if it is gone, rmq-cluster replace",
		    m->name);
}

void commands_replaced(const struct raft_config *config, const char *name, char *text)
{
	const struct raft_member *is = raft_config_find_name(config, name);
	unsigned voters = raft_config_voters(config);

	if (is && !raft_id_none(is->id))
		snprintf(
		    text, TEXT_MAX + 1, "%.63s has this key already, and has joined", name);
	else
		snprintf(text, TEXT_MAX + 1,
		    "the new %.63s joins when it is started, with a new data directory; the old one is "
		    "no member any more; voters until then: %u, of which %u may fail",
		    name, voters, raft_config_spare(config));
}

void commands_left(const struct raft_config *config, const char *name, char *text)
{
	bool stays = raft_config_find_name(config, name) != NULL;
	unsigned voters = 0;

	for (unsigned i = 0; i < config->count; i++)
		voters += (config->members[i].flags & RAFT_VOTER) &&
			  config->members[i].leaving == RAFT_STAYS;
	snprintf(text, TEXT_MAX + 1, "%.63s %s; voters left%s: %u, of which %u may fail", name,
	    stays ? "hands over, and is removed then" : "is no member any more",
	    stays ? " then" : "", voters, raft_config_spare_of(config, voters));
}

void commands_downed(const struct raft_config *config, const char *name, char *text)
{
	unsigned voters = raft_config_voters(config);

	snprintf(text, TEXT_MAX + 1,
	    "%.63s is no member any more: its daemon ends with 75 when it hears of it, and it "
	    "can come back with a new data directory only; voters left: %u, of which %u may fail",
	    name, voters, raft_config_spare(config));
}
