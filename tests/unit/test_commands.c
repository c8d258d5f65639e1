/* What becomes of what an administrator asks for, and which removals are taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/host/commands.h"

static struct command_life life;
static struct raft_config config;
static uint64_t held[6]; /* what the disks of n1 … n5 have; n1 leads */
static uint64_t newest;	 /* of the log; 0: nothing can be appended now */
static char text[TEXT_MAX + 1];

static struct raft_member by, replaced_by;

static int setup(void **state)
{
	(void)state;
	by = (struct raft_member){.name = ""};
	life = (struct command_life){.deadline_ms = COMMANDS_MS};
	memset(&config, 0, sizeof(config));
	memset(held, 0, sizeof(held));
	newest = 40;
	for (unsigned i = 1; i <= 5; i++) {
		struct raft_member *m = &config.members[config.count++];
		snprintf(m->name, sizeof(m->name), "n%u", i);
		m->id.bytes[0] = (uint8_t)i;
		m->flags = RAFT_VOTER;
	}
	return 0;
}

static uint64_t append(void *arg)
{
	(void)arg;
	return newest ? ++newest : 0;
}

static bool stores(void *arg, struct raft_id id, uint64_t index)
{
	(void)arg;
	return held[id.bytes[0]] >= index;
}

static unsigned forgetful; /* who does not vote; 0: nobody */

static bool votes(void *arg, struct raft_id id)
{
	(void)arg;
	return id.bytes[0] != forgetful;
}

static unsigned dead;	/* who is not up; 0: nobody */
static unsigned marked; /* who was marked as leaving last; 0: nobody */
static int taken_out;	/* enum raft_how of who was removed last; -1: nobody */

static bool up(void *arg, struct raft_id id)
{
	(void)arg;
	return id.bytes[0] != dead;
}

static enum rmq_error removes(void *arg, const char *name, enum raft_how how)
{
	(void)arg, (void)name;
	taken_out = (int)how;
	return RMQ_E_OK;
}

static enum rmq_error leaves(void *arg, struct raft_id id)
{
	(void)arg;
	marked = id.bytes[0];
	return RMQ_E_OK;
}

static enum rmq_error replaces(void *arg, const struct raft_member *new)
{
	(void)arg;
	replaced_by = *new;
	return RMQ_E_OK;
}

static enum commands_way way = COMMANDS_DOWN;
static enum rmq_error code;

static enum commands_verdict removal(const char *name, uint64_t term, uint64_t now_ms)
{
	struct commands_peers peers = {
	    NULL, append, stores, votes, up, removes, leaves, replaces};
	struct raft_status log = {.config = &config, .term = term};
	struct commands_removal r = {.name = name, .way = way, .by = &by, .log = &log};
	replaced_by = (struct raft_member){.name = ""};
	marked = 0;
	taken_out = -1;
	return command_remove(&life, &r, &peers, now_ms, &code, text);
}

static void a_removal_waits_for_the_disks_of_those_who_are_left(void **state)
{
	(void)state;
	/* All have all that there was. */
	for (unsigned i = 1; i <= 5; i++)
		held[i] = newest;
	assert_int_equal(removal("n5", 7, 100), COMMANDS_HOLD);
	held[1] = held[2] = newest;
	assert_int_equal(removal("n5", 7, 130), COMMANDS_HOLD);
	/* Who is removed does not count. */
	held[5] = newest;
	assert_int_equal(removal("n5", 7, 140), COMMANDS_HOLD);
	held[3] = newest;
	assert_int_equal(removal("n5", 7, 150), COMMANDS_MAY);
	assert_int_equal(newest, 41);
}

static void without_a_majority_of_those_that_are_left_it_is_refused(void **state)
{
	(void)state;
	assert_int_equal(removal("n3", 7, 100), COMMANDS_HOLD);
	held[1] = held[2] = held[3] = newest;
	assert_int_equal(removal("n3", 7, 99 + COMMANDS_STORE_MS), COMMANDS_HOLD);
	assert_int_equal(removal("n3", 7, 100 + COMMANDS_STORE_MS), COMMANDS_STOP);
	assert_string_equal(text,
	    "too few of the 4 voters that would be left vote, and store what they are "
	    "sent (not n4, n5): nothing could be stored then; start or mend these, or down the "
	    "dead ones");
	/* One of the dead may go. */
	assert_int_equal(removal("n4", 7, 200 + COMMANDS_STORE_MS), COMMANDS_MAY);
}

/* Then it is the database that stores. */
static void of_a_database_no_disk_is_waited_for_and_all_but_one_may_fail(void **state)
{
	(void)state;
	config.engine = RAFT_ENGINE_POSTGRESQL;
	assert_int_equal(removal("n5", 7, 100), COMMANDS_MAY);
	assert_int_equal(newest, 40);
	assert_int_equal(taken_out, RAFT_DOWNED);
	config.count = 4;
	commands_downed(&config, "n5", text);
	assert_non_null(strstr(text, "voters left: 4, of which 3 may fail"));
	config.count = 1;
	assert_int_equal(raft_config_spare(&config), 0);
	config.count = 0;
	assert_int_equal(raft_config_spare(&config), 0);
}

/* Those are voters only for a while: when they have left, the removal of the next one could not be done. */
static void who_leaves_already_is_not_counted_on(void **state)
{
	(void)state;
	config.members[0].leaving = RAFT_LEAVES;
	assert_int_equal(removal("n3", 7, 100), COMMANDS_HOLD);
	held[1] = held[2] = held[3] = held[4] = newest;
	/* n2 and n4 of n2, n4 and n5 */
	assert_int_equal(removal("n3", 7, 110), COMMANDS_MAY);
	config.members[3].leaving = RAFT_EXITS;
	assert_int_equal(removal("n3", 7, 120), COMMANDS_HOLD);
	assert_int_equal(removal("n3", 7, 100 + COMMANDS_STORE_MS), COMMANDS_STOP);
	assert_non_null(strstr(text, "of the 2 voters that would be left"));
	/* Who leaves itself was taken: all count that vote when it goes. */
	assert_int_equal(removal("n4", 7, 110 + COMMANDS_STORE_MS), COMMANDS_MAY);
	/* One that is dead may go: without it the others leave more easily. */
	held[3] = 0;
	assert_int_equal(removal("n3", 7, 120 + COMMANDS_STORE_MS), COMMANDS_MAY);
}

/* It is marked, and the leader goes on with it; who cannot hand over is to be downed. */
static void who_leaves_is_marked_if_it_is_up(void **state)
{
	(void)state;
	config.level = LEVEL_TAGS;
	way = COMMANDS_LEAVE;
	dead = 3;
	assert_int_equal(removal("n3", 7, 100), COMMANDS_STOP);
	assert_int_equal(code, RMQ_E_REFUSED);
	assert_non_null(strstr(text, "rmq-cluster down n3"));
	assert_int_equal(removal("n4", 7, 100), COMMANDS_HOLD);
	for (unsigned i = 1; i <= 5; i++)
		held[i] = newest;
	assert_int_equal(removal("n4", 7, 110), COMMANDS_MAY);
	assert_int_equal(marked, 4);
	assert_int_equal(taken_out, -1);
	/* Again, when it leaves already: done. */
	config.members[3].leaving = RAFT_LEAVES;
	assert_int_equal(removal("n4", 7, 120), COMMANDS_MAY);
	assert_int_equal(code, RMQ_E_OK);
	assert_int_equal(marked, 0);
	/* Who was only admitted has nothing to hand over. */
	config.members[4].id = (struct raft_id){{0}};
	config.members[4].flags = 0;
	assert_int_equal(removal("n5", 7, 130), COMMANDS_MAY);
	assert_int_equal(taken_out, RAFT_LEFT);
	/* Nor does anybody in a cluster that has no tags yet. */
	config.level = 0;
	assert_int_equal(removal("n3", 7, 140), COMMANDS_MAY);
	assert_int_equal(taken_out, RAFT_LEFT);
	way = COMMANDS_DOWN;
	assert_int_equal(removal("n3", 7, 150), COMMANDS_MAY);
	assert_int_equal(taken_out, RAFT_DOWNED);
	way = COMMANDS_FORCED;
	memset(held, 0, sizeof(held));
	assert_int_equal(removal("n3", 8, 160), COMMANDS_MAY);
	assert_int_equal(taken_out, RAFT_DOWNED);
	way = COMMANDS_DOWN;
	dead = 0;
	commands_downed(&config, "n3", text);
	assert_string_equal(text,
	    "n3 is no member any more: its daemon ends with 75 when it hears of it, and it can "
	    "come back with a new data directory only; voters left: 4, of which 1 may fail");
}

/* By mistake a node would be lost that could have handed over. */
static void who_is_up_and_can_leave_in_order_is_not_forced_out(void **state)
{
	(void)state;
	way = COMMANDS_FORCED;
	config.level = LEVEL_TAGS;
	config.members[1].flags |= RAFT_BROKER;
	config.members[2].flags |= RAFT_BROKER;
	assert_int_equal(removal("n3", 7, 100), COMMANDS_HOLD);
	held[1] = held[2] = held[4] = newest;
	assert_int_equal(removal("n3", 7, 110), COMMANDS_STOP);
	assert_int_equal(code, RMQ_E_REFUSED);
	assert_non_null(strstr(text, "rmq-cluster leave n3, without --force"));
	assert_non_null(strstr(text, "rmq-cluster down n3"));
	assert_int_equal(taken_out, -1);
	/* One that is not up cannot. */
	dead = 3;
	assert_int_equal(removal("n3", 7, 120), COMMANDS_MAY);
	assert_int_equal(taken_out, RAFT_DOWNED);
	dead = 0;
	/* Too few of the others store: it is known when these have had their time. */
	life.term = 0;
	assert_int_equal(removal("n4", 8, 200), COMMANDS_HOLD);
	assert_int_equal(removal("n4", 8, 199 + COMMANDS_STORE_MS), COMMANDS_HOLD);
	assert_int_equal(removal("n4", 8, 200 + COMMANDS_STORE_MS), COMMANDS_MAY);
	assert_int_equal(taken_out, RAFT_DOWNED);
	/* Without it none would run the queue daemon, so it may not leave. */
	config.members[1].flags &= (uint8_t)~RAFT_BROKER;
	held[1] = held[2] = held[4] = newest;
	assert_int_equal(removal("n3", 8, 9000), COMMANDS_MAY);
	/* The last voter is left to consensus. */
	config.count = 1;
	assert_int_equal(removal("n1", 8, 9000), COMMANDS_MAY);
	way = COMMANDS_DOWN;
}

static void who_has_others_leave_is_told_how_many_may_fail_then(void **state)
{
	(void)state;
	config.members[1].leaving = RAFT_LEAVES;
	commands_left(&config, "n2", text);
	assert_string_equal(text,
	    "n2 hands over, and is removed then; voters left then: 4, of which 1 may fail");
	config.members[2].leaving = RAFT_EXITS;
	config.members[3].flags = 0;
	commands_left(&config, "n9", text);
	assert_string_equal(
	    text, "n9 is no member any more; voters left: 2, of which 0 may fail");
	config.engine = RAFT_ENGINE_POSTGRESQL;
	commands_left(&config, "n9", text);
	assert_non_null(strstr(text, "voters left: 2, of which 1 may fail"));
}

/* A removal that is tried again does not take out who has come under the name. */
static void a_removal_is_about_the_incarnation_that_was_known(void **state)
{
	(void)state;
	for (unsigned i = 1; i <= 5; i++)
		held[i] = 1000;
	by.id = (struct raft_id){{33}};
	assert_int_equal(removal("n3", 7, 100), COMMANDS_STOP);
	assert_int_equal(code, RMQ_E_NOTHING);
	assert_int_equal(taken_out, -1);
	by.id = config.members[2].id;
	assert_int_equal(removal("n3", 7, 100), COMMANDS_MAY);
	assert_int_equal(taken_out, RAFT_DOWNED);
	by.id = (struct raft_id){{0}};
}

static void the_last_that_may_run_the_queue_daemon_is_not_taken_out(void **state)
{
	(void)state;
	for (unsigned i = 1; i <= 5; i++)
		held[i] = 1000;
	config.members[0].flags |= RAFT_BROKER;
	assert_int_equal(removal("n1", 7, 100), COMMANDS_STOP);
	assert_int_equal(code, RMQ_E_REFUSED);
	assert_non_null(strstr(text, "the last voter that may run the queue daemon"));
	assert_int_equal(removal("n2", 7, 100), COMMANDS_MAY);
	way = COMMANDS_FORCED;
	assert_int_equal(removal("n1", 7, 100), COMMANDS_MAY);
	way = COMMANDS_DOWN;
	config.members[1].flags |= RAFT_BROKER;
	assert_int_equal(removal("n1", 7, 100), COMMANDS_MAY);
	/* One that is about to leave does not stay. */
	config.members[1].leaving = RAFT_LEAVES;
	assert_int_equal(removal("n1", 7, 100), COMMANDS_STOP);
	config.members[1].leaving = RAFT_STAYS;
	/* Nor does one that is dead serve; that one may go. */
	dead = 2;
	assert_int_equal(removal("n1", 7, 100), COMMANDS_STOP);
	assert_int_equal(removal("n2", 7, 100), COMMANDS_MAY);
}

/* The new key, for this incarnation; 0: none. */
static enum commands_verdict replacement(
    const char *name, uint8_t key, uint8_t id, uint64_t now_ms)
{
	by = (struct raft_member){.key = {key}, .id = {{id}}};
	memcpy(by.name, name, strlen(name) + 1);
	way = COMMANDS_REPLACE;
	enum commands_verdict v = removal(name, 7, now_ms);
	way = COMMANDS_DOWN;
	return v;
}

static void who_is_gone_is_replaced_and_nobody_else(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 5; i++)
		config.members[i].key[0] = (uint8_t)(i + 1);
	config.level = LEVEL_TAGS;
	dead = 3;
	/* Who is up, who is not there, and the key of another one. */
	assert_int_equal(replacement("n4", 9, 4, 100), COMMANDS_STOP);
	assert_int_equal(code, RMQ_E_REFUSED);
	assert_non_null(strstr(text, "it is up"));
	assert_int_equal(replacement("n7", 9, 0, 100), COMMANDS_STOP);
	assert_int_equal(code, RMQ_E_NOTHING);
	assert_string_equal(text, "no such member: rmq-cluster admit n7 KEY");
	assert_int_equal(replacement("n3", 4, 3, 100), COMMANDS_STOP);
	assert_int_equal(code, RMQ_E_EXISTS);
	assert_string_equal(text, "the key is that of n4");
	/* The others must store. */
	assert_int_equal(replacement("n3", 9, 3, 100), COMMANDS_HOLD);
	held[1] = held[2] = newest;
	assert_int_equal(replacement("n3", 9, 3, 100 + COMMANDS_STORE_MS), COMMANDS_STOP);
	assert_int_equal(code, RMQ_E_REFUSED);
	assert_non_null(strstr(text, "too few of the 4 voters that would be left"));
	held[4] = newest;
	assert_int_equal(replacement("n3", 9, 3, 100 + COMMANDS_STORE_MS), COMMANDS_MAY);
	assert_int_equal(code, RMQ_E_OK);
	assert_int_equal(replaced_by.key[0], 9);
	assert_int_equal(replaced_by.id.bytes[0], 3);
	/* The same key again, with a new disk. */
	assert_int_equal(replacement("n3", 3, 3, 4000), COMMANDS_MAY);
	assert_int_equal(replaced_by.key[0], 3);
	dead = 0;
}

/* As m, a machine that was copied, or whose key was admitted by another name. */
static const char *mistaken(const char *name, uint8_t key, uint8_t id)
{
	const struct commands_peers peers = {.up = up};
	struct raft_member m = {.key = {key}, .id = {{id}}};

	snprintf(m.name, sizeof(m.name), "%s", name);
	if (id)
		commands_mistaken(&config, &m, &peers, text);
	else
		commands_unadmitted(&config, &m, text);
	return text;
}

static void who_is_in_the_way_is_named_and_goes_only_if_it_is_gone(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 5; i++)
		config.members[i].key[0] = (uint8_t)(i + 1);
	strcpy(config.members[2].address, "[::1]:7000");
	config.members[4].id = (struct raft_id){{0}};
	assert_string_equal(mistaken("n3", 3, 9),
	    "n3 runs, at [::1]:7000: this node has its name and key; give it its own name and "
	    "key (rmq-keygen), and admit that");
	assert_non_null(
	    strstr(mistaken("n3", 9, 9), "n3 runs, at [::1]:7000: this node has its name;"));
	dead = 3;
	assert_string_equal(mistaken("n3", 3, 9),
	    "n3 is a member with another data directory; if that is gone, rmq-cluster replace n3, with the key of this node");
	assert_string_equal(mistaken("n3", 9, 9),
	    "n3 has another key: if it is gone, rmq-cluster replace n3, with the key of this "
	    "node (rmq-cluster status -o key)");
	dead = 0;
	assert_string_equal(mistaken("n3", 3, 2),
	    "the data directory of n3 is a copy of that of n2: it needs a new one");
	assert_string_equal(mistaken("n4", 5, 9),
	    "the key of n4 was admitted as n5: on a member, rmq-cluster leave n5, and then "
	    "admit it as n4");
	assert_non_null(
	    strstr(mistaken("n7", 4, 9), "the key of n7 is that of the member n4:"));
	assert_non_null(
	    strstr(mistaken("n5", 9, 9), "let it leave, and then rmq-cluster admit n5,"));
	/* To who admits it. */
	assert_string_equal(mistaken("n7", 5, 0),
	    "the key was admitted as n5: rmq-cluster leave n5, and then admit it as n7");
	assert_string_equal(mistaken("n7", 4, 0),
	    "the key is that of the member n4: give the new node its own one, with rmq-keygen");
	assert_string_equal(mistaken("n4", 9, 0),
	    "the name has another key; if the node of that key is gone: rmq-cluster replace n4 "
	    "KEY");
}

/* By whoever leads then, and whatever the new one has done since. */
static void a_replacement_that_comes_again_is_done(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		config.members[i].key[0] = (uint8_t)(i + 1);
		held[i + 1] = 1000;
	}
	config.level = LEVEL_TAGS;
	config.members[2].key[0] = 9;
	config.members[2].id = (struct raft_id){{0}};
	config.members[2].flags = 0;
	assert_int_equal(replacement("n3", 9, 3, 100), COMMANDS_MAY);
	assert_int_equal(replacement("n3", 9, 0, 100), COMMANDS_MAY);
	commands_replaced(&config, "n3", text);
	assert_string_equal(text,
	    "the new n3 joins when it is started, with a new data directory; the old one is no "
	    "member any more; voters until then: 4, of which 1 may fail");
	/* It has joined, and is up, or not. */
	config.members[2].id = (struct raft_id){{33}};
	assert_int_equal(replacement("n3", 9, 3, 100), COMMANDS_MAY);
	dead = 33;
	assert_int_equal(replacement("n3", 9, 3, 100), COMMANDS_MAY);
	assert_int_equal(code, RMQ_E_OK);
	assert_int_equal(replaced_by.key[0], 0);
	commands_replaced(&config, "n3", text);
	assert_string_equal(text, "n3 has this key already, and has joined");
	/* Another one has. */
	assert_int_equal(replacement("n3", 8, 3, 100), COMMANDS_STOP);
	assert_int_equal(code, RMQ_E_REFUSED);
	assert_non_null(strstr(text, "another node has come under this name"));
	dead = 0;
}

static void who_does_not_vote_is_no_voter_that_is_left(void **state)
{
	(void)state;
	config.count = 3;
	assert_int_equal(removal("n3", 7, 100), COMMANDS_HOLD);
	held[1] = held[2] = newest;
	forgetful = 2;
	assert_int_equal(removal("n3", 7, 200), COMMANDS_HOLD);
	assert_int_equal(removal("n2", 7, 200), COMMANDS_HOLD);
	held[3] = newest;
	assert_int_equal(removal("n2", 7, 200), COMMANDS_MAY);
	forgetful = 0;
	assert_int_equal(removal("n3", 7, 200), COMMANDS_MAY);
}

static void the_disk_of_the_leader_counts_as_the_others(void **state)
{
	(void)state;
	config.count = 3;
	assert_int_equal(removal("n3", 7, 100), COMMANDS_HOLD);
	held[2] = newest;
	assert_int_equal(removal("n3", 7, 100 + COMMANDS_STORE_MS), COMMANDS_STOP);
	assert_non_null(strstr(text, "(not n1)"));
}

static void what_was_stored_for_an_older_leader_does_not_count(void **state)
{
	(void)state;
	assert_int_equal(removal("n5", 7, 100), COMMANDS_HOLD);
	for (unsigned i = 1; i <= 5; i++)
		held[i] = newest;
	assert_int_equal(removal("n5", 8, 200), COMMANDS_HOLD);
	assert_int_equal(newest, 42);
	assert_int_equal(removal("n5", 8, 199 + COMMANDS_STORE_MS), COMMANDS_HOLD);
	assert_int_equal(removal("n5", 8, 200 + COMMANDS_STORE_MS), COMMANDS_STOP);
}

static void it_waits_until_something_can_be_appended(void **state)
{
	(void)state;
	newest = 0;
	for (uint64_t ms = 100; ms < 3 * COMMANDS_STORE_MS; ms += COMMANDS_RETRY_MS)
		assert_int_equal(removal("n5", 7, ms), COMMANDS_HOLD);
	newest = 40;
	assert_int_equal(removal("n5", 7, 3 * COMMANDS_STORE_MS), COMMANDS_HOLD);
	for (unsigned i = 1; i <= 5; i++)
		held[i] = newest;
	assert_int_equal(removal("n5", 7, 3 * COMMANDS_STORE_MS + 1), COMMANDS_MAY);
}

static struct raft_status leads;
static enum rmq_error dropped; /* as consensus answers */
static unsigned drops;

static enum rmq_error drop_member(void *arg, const char *name, enum raft_how how)
{
	(void)arg, (void)name, (void)how;
	drops++;
	return dropped;
}

static enum rmq_error removed;

static enum commands_verdict try(const char *name, bool forced, uint64_t now_ms)
{
	struct commands_peers peers = {
	    NULL, append, stores, votes, up, drop_member, leaves, replaces};
	struct commands_removal r = {.name = name,
	    .way = forced ? COMMANDS_FORCED : COMMANDS_DOWN,
	    .by = &by,
	    .log = &leads};
	removed = RMQ_E_BUG;
	return command_remove(&life, &r, &peers, now_ms, &removed, text);
}

/* A node that asks again may not take a refusal for what it asked for. */
static void only_a_member_that_is_gone_is_nothing(void **state)
{
	(void)state;
	leads =
	    (struct raft_status){.config = &config, .term = 7, .config_index = 9, .commit = 9};
	drops = 0;
	assert_int_equal(try("n5", false, 100), COMMANDS_HOLD);
	assert_int_equal(try("n5", false, 100 + COMMANDS_STORE_MS), COMMANDS_STOP);
	assert_int_equal(removed, RMQ_E_REFUSED);
	assert_int_equal(drops, 0);
	dropped = RMQ_E_LIMIT;
	assert_int_equal(try("n5", true, 100), COMMANDS_STOP);
	assert_int_equal(removed, RMQ_E_REFUSED);
	assert_string_equal(text, "it is the last voter");
	dropped = RMQ_E_NOTHING;
	assert_int_equal(try("n9", false, 100), COMMANDS_STOP);
	assert_int_equal(removed, RMQ_E_NOTHING);
	assert_string_equal(text, "no such member");
	/* What was done is done again, whoever asked the first time. */
	config.removed[config.removed_count++] =
	    (struct raft_removed){.id = {{9}}, .how = RAFT_LEFT, .name = "n9"};
	assert_int_equal(try("n9", false, 100), COMMANDS_STOP);
	assert_int_equal(removed, RMQ_E_OK);
	assert_string_equal(text, "n9 was removed already");
	assert_int_equal(try("n8", false, 100), COMMANDS_STOP);
	assert_int_equal(removed, RMQ_E_NOTHING);
	dropped = RMQ_E_OK;
	assert_int_equal(try("n5", true, 100), COMMANDS_MAY);
	assert_int_equal(drops, 4);
}

static void who_stores_is_asked_once_no_other_change_is_under_way(void **state)
{
	(void)state;
	leads =
	    (struct raft_status){.config = &config, .term = 7, .config_index = 9, .commit = 9};
	drops = 0;
	dropped = RMQ_E_OK;
	assert_int_equal(try("n5", false, 100), COMMANDS_HOLD);
	for (unsigned i = 1; i <= 5; i++)
		held[i] = newest;
	leads.config_index = 10;
	assert_int_equal(try("n5", false, 150), COMMANDS_HOLD);
	assert_int_equal(try("n5", true, 150), COMMANDS_HOLD);
	leads.commit = 10;
	/* Meanwhile the disks may have begun to hang. */
	assert_int_equal(try("n5", false, 9000), COMMANDS_HOLD);
	assert_int_equal(drops, 0);
	held[1] = held[2] = held[3] = newest;
	assert_int_equal(try("n5", false, 9010), COMMANDS_MAY);
	assert_int_equal(drops, 1);
	/* Nor if consensus is busy with something else. */
	dropped = RMQ_E_BUSY;
	assert_int_equal(try("n5", false, 9020), COMMANDS_HOLD);
	dropped = RMQ_E_OK;
	assert_int_equal(try("n5", false, 9070), COMMANDS_HOLD);
	assert_int_equal(drops, 2);
}

static void learners_and_strangers_and_the_last_voter_are_left_to_consensus(void **state)
{
	(void)state;
	held[1] = newest + 1;
	assert_int_equal(removal("n9", 7, 100), COMMANDS_MAY);
	config.count = 1;
	assert_int_equal(removal("n1", 7, 100), COMMANDS_MAY);
	config.count = 2;
	config.members[1].flags = 0;
	assert_int_equal(removal("n2", 7, 100), COMMANDS_MAY);
}

static void what_was_never_tried_was_not_done(void **state)
{
	const char *why;
	(void)state;
	command_event(&life, COMMAND_PASS_ON, 0);
	command_event(&life, COMMAND_UNLED, 0);
	assert_int_equal(command_late(&life, false, &why), RMQ_E_NO_DAEMON);
	assert_int_equal(command_late(&life, true, &why), RMQ_E_BUSY);
	command_event(&life, COMMAND_LATE, 0);
	assert_int_equal(life.state, COMMAND_ENDED);
}

static void what_was_tried_has_an_unknown_outcome(void **state)
{
	static const enum command_event ways[] = {COMMAND_PASS_ON, COMMAND_PROPOSE};
	const char *why;
	for (unsigned i = 0; i < 2; i++) {
		setup(state);
		command_event(&life, ways[i], 10);
		assert_int_equal(command_late(&life, true, &why), RMQ_E_TIMEOUT);
		command_event(&life, COMMAND_LOST, 20);
		assert_int_equal(life.state, COMMAND_WAITS);
		assert_int_equal(life.retry_ms, 20 + COMMANDS_RETRY_MS);
		assert_int_equal(command_late(&life, false, &why), RMQ_E_TIMEOUT);
		assert_non_null(strstr(why, "unknown"));
	}
}

static void a_removal_that_is_repeated_has_been_done_if_the_member_is_gone(void **state)
{
	(void)state;
	assert_int_equal(command_removed(&life, RMQ_E_NOTHING), RMQ_E_NOTHING);
	command_event(&life, COMMAND_PASS_ON, 0);
	assert_int_equal(command_removed(&life, RMQ_E_NOTHING), RMQ_E_NOTHING);
	command_event(&life, COMMAND_UNLED, 0);
	command_event(&life, COMMAND_PASS_ON, 0);
	assert_int_equal(command_removed(&life, RMQ_E_NOTHING), RMQ_E_NOTHING);
	command_event(&life, COMMAND_LOST, 0);
	assert_int_equal(command_removed(&life, RMQ_E_NOTHING), RMQ_E_OK);
	command_event(&life, COMMAND_PASS_ON, 0);
	assert_int_equal(command_removed(&life, RMQ_E_NOTHING), RMQ_E_OK);
	assert_int_equal(command_removed(&life, RMQ_E_BUSY), RMQ_E_BUSY);
	assert_int_equal(command_removed(&life, RMQ_E_REFUSED), RMQ_E_REFUSED);
}

static void a_join_goes_on_until_it_is_answered(void **state)
{
	(void)state;
	command_event(&life, COMMAND_JOIN, 0);
	command_event(&life, COMMAND_LATE, 0);
	command_event(&life, COMMAND_LOST, 0);
	assert_int_equal(life.state, COMMAND_JOINS);
	command_event(&life, COMMAND_ANSWER, 0);
	command_event(&life, COMMAND_PASS_ON, 0);
	assert_int_equal(life.state, COMMAND_ENDED);
}

static void a_transfer_is_done_when_the_one_that_was_named_leads(void **state)
{
	const struct raft_id none = {{0}}, self = {{1}}, to = {{2}}, other = {{3}};

	(void)state;
	assert_int_equal(commands_transferred(self, to, self, true, true), COMMANDS_GIVEN_UP);
	assert_int_equal(commands_transferred(self, to, self, true, false), COMMANDS_GOES_ON);
	assert_int_equal(commands_transferred(self, to, none, false, true), COMMANDS_GOES_ON);
	assert_int_equal(commands_transferred(self, to, to, false, true), COMMANDS_TAKEN_OVER);
	assert_int_equal(commands_transferred(self, to, other, false, true), COMMANDS_ASTRAY);
	assert_int_equal(
	    commands_transferred(self, none, other, false, true), COMMANDS_TAKEN_OVER);
	assert_int_equal(commands_transferred(self, none, self, false, true), COMMANDS_ASTRAY);
	/* An election may take two of its time-outs. */
	assert_int_equal(commands_patience_ms(500), COMMANDS_MS);
	assert_int_equal(commands_patience_ms(6000), 24000);
	/* It is tried again with the one that leads now; at the end nobody knows. */
	command_event(&life, COMMAND_HAND_OVER, 100);
	command_event(&life, COMMAND_LOST, 200);
	assert_int_equal(life.state, COMMAND_WAITS);
	const char *why;
	assert_int_equal(command_late(&life, false, &why), RMQ_E_TIMEOUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup(name, setup)
	    T(a_removal_waits_for_the_disks_of_those_who_are_left),
	    T(without_a_majority_of_those_that_are_left_it_is_refused),
	    T(of_a_database_no_disk_is_waited_for_and_all_but_one_may_fail),
	    T(who_leaves_already_is_not_counted_on),
	    T(who_does_not_vote_is_no_voter_that_is_left),
	    T(who_leaves_is_marked_if_it_is_up),
	    T(who_is_gone_is_replaced_and_nobody_else),
	    T(who_is_in_the_way_is_named_and_goes_only_if_it_is_gone),
	    T(who_is_up_and_can_leave_in_order_is_not_forced_out),
	    T(who_has_others_leave_is_told_how_many_may_fail_then),
	    T(a_removal_is_about_the_incarnation_that_was_known),
	    T(the_last_that_may_run_the_queue_daemon_is_not_taken_out),
	    T(a_replacement_that_comes_again_is_done),
	    T(the_disk_of_the_leader_counts_as_the_others),
	    T(what_was_stored_for_an_older_leader_does_not_count),
	    T(it_waits_until_something_can_be_appended),
	    T(only_a_member_that_is_gone_is_nothing),
	    T(who_stores_is_asked_once_no_other_change_is_under_way),
	    T(learners_and_strangers_and_the_last_voter_are_left_to_consensus),
	    T(what_was_never_tried_was_not_done),
	    T(what_was_tried_has_an_unknown_outcome),
	    T(a_removal_that_is_repeated_has_been_done_if_the_member_is_gone),
	    T(a_transfer_is_done_when_the_one_that_was_named_leads),
	    T(a_join_goes_on_until_it_is_answered),
#undef T
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
