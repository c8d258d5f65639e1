/* What is wrong with a cluster, in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/host/why.h"
#include "core/raft/node_wire.h"

static struct raft_config config;
static struct why_seen seen;
static struct why why;

static struct raft_id id_of(unsigned i)
{
	return (struct raft_id){{(uint8_t)(i + 1)}};
}

/* n1, this node, n2, which leads, and n3: all is well. */
static int setup(void **state)
{
	(void)state;
	memset(&config, 0, sizeof(config));
	config.count = 3;
	for (unsigned i = 0; i < config.count; i++) {
		struct raft_member *m = &config.members[i];
		snprintf(m->name, sizeof(m->name), "n%u", i + 1);
		snprintf(m->gate, sizeof(m->gate), "n%u.example:7402", i + 1);
		m->id = id_of(i);
		m->flags = RAFT_VOTER | RAFT_BROKER;
	}
	seen = (struct why_seen){.name = "n1",
	    .address = "n1.example:7401",
	    .directory = "/d",
	    .program = "rmq-queued",
	    .id = id_of(0),
	    .config = &config,
	    .member = true,
	    .join_refused = "",
	    .leader = id_of(1),
	    .leader_flags = NODE_STATE_SERVES,
	    .available = true,
	    .confirms = true,
	    .count = 2};
	for (unsigned i = 0; i < 2; i++)
		seen.others[i] = (struct why_other){.name = config.members[i + 1].name,
		    .address = i ? "n3.example:7401" : "n2.example:7401",
		    .member = true,
		    .voter = true,
		    .up = true};
	return 0;
}

/* The lines, as a person reads them. */
static const char *lines(void)
{
	static char text[WHY_LINES_MAX * (TEXT_MAX + 1) + 1];
	size_t len = 0;

	text[0] = '\0';
	why_make(&why, &seen);
	for (unsigned i = 0; i < why.count; i++)
		len += (size_t)snprintf(
		    text + len, sizeof(text) - len, "%s%s", i ? "\n" : "", why.lines[i].text);
	return text;
}

#define assert_says(text)    assert_string_equal(lines(), text)
#define assert_problem(text) assert_string_equal(why_problem(&why), text)

static void goes(unsigned other, uint64_t heard_ms)
{
	seen.others[other].up = false;
	seen.others[other].heard_ms = heard_ms;
}

static void nobody_leads(void)
{
	seen.leader = (struct raft_id){{0}};
	seen.leader_flags = 0;
	seen.available = false;
	seen.unled = true;
}

static void leads(void)
{
	seen.leads = seen.serving = true;
	seen.leader = seen.id;
	seen.queue = KEEPER_READY;
}

static void all_is_well(void **state)
{
	(void)state;
	assert_says(
	    "all is well: n2 leads, its queue daemon takes clients, and 3 of 3 voters are up");
	config.count = 2;
	seen.count = 1;
	assert_says(
	    "all is well: n2 leads, its queue daemon takes clients, and 2 of 2 voters are up: none "
	    "may fail");
	assert_int_equal(why.lines[0].reason, CONTROL_REASON_WELL);
	assert_null(why_problem(&why));
}

static void of_a_database_its_trouble_comes_before_that_nobody_leads(void **state)
{
	(void)state;
	seen.database = (struct why_database){.used = true, .address = "pg1:5432"};
	assert_says(
	    "all is well: n2 leads, its queue daemon takes clients, the database at pg1:5432 "
	    "answers, and 3 of 3 nodes that may lead are up");
	config.count = 1;
	seen.count = 0;
	seen.leader = id_of(0);
	leads();
	seen.available = true;
	assert_says(
	    "all is well: n1 leads, its queue daemon takes clients, the database at pg1:5432 "
	    "answers, and 1 of 1 nodes that may lead are up: it may not fail");
	setup(NULL);
	nobody_leads();
	seen.database = (struct why_database){.used = true,
	    .address = "pg1:5432",
	    .trouble = "the database cannot be used: it is away"};
	goes(0, 5000);
	goes(1, 5000);
	lines();
	assert_problem("the database cannot be used: it is away");
	assert_int_equal(why.lines[0].reason, CONTROL_REASON_DATABASE);
	assert_string_equal(why.lines[1].text,
	    "no leader is elected: it is a node that may vote and reaches the database; this one "
	    "does not");
	seen.database.trouble = NULL;
	lines();
	assert_problem(
	    "no leader is elected: it is a node that may vote and reaches the database; "
	    "this one reaches it");
}

static void what_a_database_may_lose_is_a_problem_though_it_is_allowed(void **state)
{
	(void)state;
	seen.database = (struct why_database){
	    .used = true, .address = "pg1:5432", .async = "synchronous_standby_names is empty"};
	assert_says(
	    "the database at pg1:5432 does not wait for a standby (synchronous_standby_names is "
	    "empty): what it confirms may be lost with its server, which --allow-async allows");
	assert_int_equal(why.lines[0].reason, CONTROL_REASON_DATABASE);
	assert_non_null(why_problem(&why));
}

static void a_log_that_is_to_become_a_databases_says_how(void **state)
{
	(void)state;
	nobody_leads();
	seen.unled = false;
	seen.database = (struct why_database){.used = true, .address = "", .converts = true};
	lines();
	assert_int_equal(why.lines[0].reason, CONTROL_REASON_NEW);
	assert_non_null(strstr(why.lines[0].text, "rmq-cluster init makes it the database's"));
}

static void what_a_database_does_not_confirm_is_not_the_members_fault(void **state)
{
	(void)state;
	leads();
	seen.available = seen.confirms = false;
	seen.database = (struct why_database){.used = true, .address = "pg1:5432"};
	seen.database.silent = true;
	assert_says(
	    "the database at pg1:5432 does not answer: it waits for its synchronous standbys "
	    "or for a lock that somebody holds, or stands still\n"
	    "nothing is confirmed: the database does not store the records sent to it");
	assert_int_equal(why.lines[0].reason, CONTROL_REASON_DATABASE);
}

static void a_member_that_is_not_up_is_named_and_is_no_problem_of_this_node(void **state)
{
	(void)state;
	goes(1, 12345);
	assert_says(
	    "n3 is not up: it was heard last 12 s ago, at n3.example:7401\n"
	    "look whether n3 runs, and rmq-clusterd on it, and whether it is reached there");
	assert_int_equal(why.lines[0].reason, CONTROL_REASON_DOWN);
	assert_null(why_problem(&why));
	goes(1, UINT64_MAX);
	lines();
	assert_non_null(strstr(why.lines[0].text, "nothing was heard of it since"));
	goes(1, 7200000);
	lines();
	assert_non_null(strstr(why.lines[0].text, "2 h ago"));
}

static void a_lost_majority_says_how_many_more_are_needed(void **state)
{
	(void)state;
	nobody_leads();
	goes(0, 5000);
	goes(1, 200000);
	assert_says(
	    "no leader is elected; voters that are not up: n2 n3\n"
	    "2 of 3 voters must be up, and 1 is: start rmq-clusterd on 1 more of them; if "
	    "they are lost for good, see When a majority is lost in rmq-cluster(7)\n"
	    "n2 is not up: it was heard last 5 s ago, at n2.example:7401\n"
	    "look whether n2 runs, and rmq-clusterd on it, and whether it is reached there\n"
	    "n3 is not up: it was heard last 3 min ago, at n3.example:7401\n"
	    "look whether n3 runs, and rmq-clusterd on it, and whether it is reached there");
	assert_problem("no leader is elected; voters that are not up: n2 n3");
	/* A member that does not vote. */
	config.members[0].flags = RAFT_BROKER;
	lines();
	assert_problem("no leader is known here; voters that are not up: n2 n3");
}

static void voters_that_are_up_and_elect_nobody_are_told_apart(void **state)
{
	(void)state;
	nobody_leads();
	goes(1, 5000);
	lines();
	assert_problem("no leader is elected; voters that are not up: n3");
	assert_string_equal(why.lines[1].text,
	    "2 of 3 voters are up, which is enough: look at rmq-cluster why on the others");
	/* For a moment it is nothing to speak of, and said all the same to who asks. */
	seen.unled = false;
	lines();
	assert_int_equal(why.lines[0].reason, CONTROL_REASON_LEADERLESS);
	assert_null(why_problem(&why));
}

static void a_node_of_no_cluster_says_what_makes_it_a_member(void **state)
{
	(void)state;
	seen.member = false;
	seen.config = NULL;
	seen.count = 0;
	seen.available = false;
	seen.leader = (struct raft_id){{0}};
	assert_says(
	    "this node is a member of no cluster\n"
	    "rmq-cluster join NAME@HOST:PORT, or the setting seeds, makes it one; on the "
	    "first node of a new cluster, once, rmq-cluster init");
	assert_null(why_problem(&why));
	seen.joining = true;
	strcpy(seen.seeds, " n2 n3");
	assert_says("this node is no member yet: it asks n2 n3 to let it in\n"
		    "on a member: rmq-cluster admit n1, with the key of this node "
		    "(rmq-cluster status -o key)");
	assert_null(why_problem(&why));
	seen.join_refused = "n2: n1 was not admitted";
	lines();
	assert_problem("n2: n1 was not admitted");
	assert_int_equal(why.lines[1].reason, CONTROL_REASON_JOINING);
	/* What is to be done is what that says, and nothing else. */
	seen.join_refused = "n2: the key of n1 was admitted as n5";
	seen.join_final = true;
	assert_says("n2: the key of n1 was admitted as n5\n"
		    "this node is no member yet: it asks n2 n3 to let it in");
	seen.removed = true;
	seen.how = RAFT_LEFT;
	assert_says(
	    "this node was removed from the cluster; with a new data directory it can be "
	    "admitted again");
	seen.how = RAFT_DOWNED;
	assert_says(
	    "this node was downed by an administrator; with a new data directory it can be "
	    "admitted again");
}

/* No problem, and not all is done. */
static void a_member_that_leaves_is_named(void **state)
{
	(void)state;
	config.members[2].leaving = RAFT_LEAVES;
	assert_says("n3 leaves the cluster: it hands over, and is removed then");
	assert_null(why_problem(&why));
	config.members[2].leaving = RAFT_EXITS;
	assert_says("n3 leaves the cluster: it has handed over, and is about to be removed");
}

static void all_who_refuse_are_named(void **state)
{
	(void)state;
	seen.others[0].refuses = "n2: heartbeat is 50 ms, and 100 ms at n2";
	seen.others[1].refuses = "n3: heartbeat is 50 ms, and 100 ms at n3";
	assert_says("n2: heartbeat is 50 ms, and 100 ms at n2\n"
		    "n3: heartbeat is 50 ms, and 100 ms at n3");
	/* What it was told when it asked to join is over. */
	seen.join_refused = "n2: not admitted";
	assert_says("n2: heartbeat is 50 ms, and 100 ms at n2\n"
		    "n3: heartbeat is 50 ms, and 100 ms at n3");
}

/* They run: to start them, or to go on without them, would be wrong. */
static void who_refuses_is_not_lost(void **state)
{
	(void)state;
	seen.others[0].refuses = "n2 refuses this node: heartbeat is 50 ms, and 100 ms at n2";
	goes(0, UINT64_MAX);
	goes(1, 5000);
	seen.unled = true;
	seen.available = false;
	seen.leader = (struct raft_id){{0}};
	assert_says(
	    "n2 refuses this node: heartbeat is 50 ms, and 100 ms at n2\n"
	    "no leader is elected; voters that are not up: n2 n3\n"
	    "1 of them run, and refuse this node: mend what they say; the others may well have a "
	    "leader\n"
	    "n3 is not up: it was heard last 5 s ago, at n3.example:7401\n"
	    "look whether n3 runs, and rmq-clusterd on it, and whether it is reached there");
}

static void who_was_admitted_and_has_not_joined_is_missing(void **state)
{
	(void)state;
	config.members[2].id = (struct raft_id){{0}};
	config.members[2].flags = 0;
	seen.count = 1;
	assert_says(
	    "n3 was admitted and has not joined: start rmq-clusterd there with a new data "
	    "directory and seeds, see rmq.conf(5); its log says what hinders it");
	assert_null(why_problem(&why));
}

static void who_asks_under_a_name_that_is_taken_is_named(void **state)
{
	(void)state;
	seen.namesake = "n3";
	seen.namesake_from = "192.0.2.9:4000";
	assert_says("n3 runs, and another node, at 192.0.2.9:4000, asks to be let in as n3: "
		    "give that one its own name and key (rmq-keygen)");
	/* Strangers make no problem of this node. */
	assert_null(why_problem(&why));
	goes(1, 5000);
	assert_non_null(strstr(lines(),
	    "another node, at 192.0.2.9:4000, asks to be let in as n3: if the old one is gone, "
	    "rmq-cluster replace n3, with the key of the new one"));
	seen.namesake = "n1";
	assert_non_null(strstr(lines(), "n1 runs, and another node"));
	/* Its key says more than its name: the advice is that which the other node is given. */
	seen.namesake_key =
	    "the key was admitted as n9: rmq-cluster leave n9, and then admit it as n1";
	assert_non_null(strstr(lines(),
	    "another node, at 192.0.2.9:4000, asks to be let in as n1: the key was admitted as n9: "
	    "rmq-cluster leave n9, and then admit it as n1"));
	assert_null(strstr(lines(), "rmq-cluster replace"));
}

static void a_queue_daemon_that_is_not_ready_says_how_far_it_is(void **state)
{
	(void)state;
	leads();
	seen.available = false;
	seen.serving = false;
	assert_says("n1 was elected, and has not confirmed all records of before yet");
	seen.serving = true;
	seen.queue = KEEPER_STARTING;
	assert_says("rmq-queued of n1 reads the log, and takes no clients yet");
	assert_int_equal(why.lines[0].reason, CONTROL_REASON_QUEUE);
	assert_null(why_problem(&why));
	seen.queue = KEEPER_PAUSE;
	assert_says("rmq-queued of n1 has ended, and is started again in a moment\n"
		    "the log of rmq-clusterd says how it ended");
	/* The cause is known. */
	seen.deadly =
	    "rmq-queued dies of one of the records 0 to 63 of the log, here and on n2";
	assert_says(seen.deadly);
	assert_problem(seen.deadly);
}

static void a_leader_elsewhere_that_does_not_serve_is_where_to_ask(void **state)
{
	(void)state;
	seen.leader_flags = 0;
	seen.available = false;
	assert_says(
	    "n2 leads, and does not say that its queue daemon takes clients and lines are "
	    "confirmed\n"
	    "rmq-cluster why on n2 says more");
}

static void a_leader_without_the_role_says_who_has_it(void **state)
{
	(void)state;
	seen.leader_flags = 0;
	seen.available = false;
	config.members[1].flags = RAFT_VOTER;
	assert_says(
	    "n2 leads, and is not to run the queue daemon: it has not the role broker\n"
	    "leadership passes to one of these when it is up and has the whole log: n1 n3");
	assert_null(why_problem(&why));
	config.members[0].flags = config.members[2].flags = RAFT_VOTER;
	assert_says("n2 leads, and is not to run the queue daemon: it has not the role broker\n"
		    "no voter has that role: give it to one, see roles in rmq.conf(5)");
	assert_non_null(why_problem(&why));
}

static void the_start_gate_says_how_many_are_missing(void **state)
{
	(void)state;
	leads();
	seen.queue = KEEPER_IDLE;
	seen.available = false;
	seen.min_members = 5;
	seen.min_up = 3;
	seen.min_role = "eu";
	assert_says(
	    "the queue daemon starts first when 5 members with the role eu have been up, and 3 have\n"
	    "start more nodes, or change min-members on all of them: see rmq.conf(5)");
	assert_non_null(why_problem(&why));
}

static void full_disks_are_told_where_they_are(void **state)
{
	(void)state;
	seen.full = true;
	assert_says("disk is full: no room for new messages here\n"
		    "make room on the file system of /d on n1, or empty queues");
	seen.others[1].trouble = TROUBLE_FULL;
	seen.leader_flags |= NODE_STATE_NO_ROOM;
	seen.available = false;
	assert_says("disk is full: no room for new messages here\n"
		    "make room on the file system of /d on n1, or empty queues\n"
		    "the disks of a majority are full: no room for new messages\n"
		    "empty queues, or make room on the disks of: n1 n3\n"
		    "n3: disk is full: no room for new messages there");
	seen.full = false;
	seen.waits = true;
	lines();
	assert_problem("disk is full: this node takes no more of the log until there is room");
}

static void a_leader_whose_records_are_not_stored_names_who_is_not_up(void **state)
{
	(void)state;
	leads();
	seen.available = seen.confirms = false;
	goes(0, 4000);
	goes(1, 4000);
	lines();
	assert_problem(
	    "nothing is confirmed: a majority does not store the records sent to it");
	assert_string_equal(
	    why.lines[1].text, "2 of 3 voters must store; those that are not up: n2 n3");
	assert_int_equal(why.lines[2].reason, CONTROL_REASON_DOWN);
	setup(NULL);
	leads();
	seen.available = seen.confirms = false;
	assert_says("nothing is confirmed: a majority does not store the records sent to it\n"
		    "all voters are up: look at the links between them, and at their disks");
}

static void the_worst_of_the_others_comes_first_and_all_are_said(void **state)
{
	(void)state;
	struct settings theirs = {{{0}}}, own = {{{0}}};
	settings_times(&theirs, 500, 50);
	settings_times(&own, 500, 100);
	settings_flags(&theirs, NODE_STATE_EXPLICIT);
	settings_flags(&own, 0);
	seen.settings = &own;
	seen.others[0].settings = &theirs;
	seen.others[0].trouble = TROUBLE_DIFFERS;
	seen.others[1].trouble = TROUBLE_UNREACHED;
	goes(1, 100);
	assert_says(
	    "n3 is not up: it reaches this node, and is not reached at n3.example:7401: look "
	    "at its advertise, and at what lies between\n"
	    "heartbeat is 50ms on n2 and 100ms here, and must be the same on all nodes: see "
	    "enforce in rmq.conf(5)\n"
	    "create is explicit on n2 and auto here, and must be the same on all nodes: see "
	    "enforce in rmq.conf(5)");
	assert_int_equal(why.lines[0].reason, CONTROL_REASON_MEMBER);
	assert_int_equal(why.lines[1].reason, CONTROL_REASON_OTHER);
	/* Between them: that nobody leads. */
	nobody_leads();
	lines();
	assert_int_equal(why.lines[1].reason, CONTROL_REASON_NO_LEADER);
	assert_int_equal(why.lines[3].reason, CONTROL_REASON_OTHER);
}

static void each_trouble_has_words_that_name_the_node(void **state)
{
	(void)state;
	static struct settings theirs, own;
	settings_flags(&theirs, NODE_STATE_RIGHTS | 1u << 16);
	settings_flags(&own, NODE_STATE_RIGHTS);
	for (enum trouble t = TROUBLE_FORGOT; t <= TROUBLE_DIFFERS; t++) {
		setup(NULL);
		seen.settings = &own;
		seen.others[1].settings = &theirs;
		seen.others[1].trouble = t;
		lines();
		assert_int_equal(why.count, 1);
		assert_non_null(strstr(why.lines[0].text, "n3"));
		assert_non_null(why_problem(&why));
	}
}

static void an_ill_node_says_all_that_ails_it(void **state)
{
	(void)state;
	seen.hangs = seen.unable = true;
	seen.gate = GATES_LOST;
	seen.forgot = true;
	seen.rights = "/r:1: no such user";
	assert_says(
	    "disk hangs: writes have waited for a long time\n"
	    "the queue daemon was killed and does not end: the kernel waits, usually for its "
	    "disk\n"
	    "rmq-gated of this node does not reach that of n2 at n2.example:7402 (its "
	    "gate-advertise)\n"
	    "this node does not vote, as its data directory was put back to an older state; "
	    "it may when all others are up and another one leads, see rmq-cluster transfer; "
	    "or remove it: rmq-cluster leave n1\n"
	    "/r:1: no such user");
}

static void a_node_that_ends_says_so(void **state)
{
	(void)state;
	seen.stopping = true;
	assert_says("this node was told to end: it hands leadership over and ends in order");
}

static void what_nobody_knows_is_said(void **state)
{
	(void)state;
	seen.available = false;
	lines();
	assert_int_equal(why.lines[0].reason, CONTROL_REASON_UNKNOWN);
}

static void there_are_never_more_lines_than_fit(void **state)
{
	(void)state;
	nobody_leads();
	seen.count = MEMBERS_LINKS_MAX;
	for (unsigned i = 0; i < seen.count; i++)
		seen.others[i] = (struct why_other){.name = "a-name",
		    .address = "a:1",
		    .member = true,
		    .voter = true,
		    .refuses = i % 3 == 0 ? "one\nline\x01" : NULL,
		    .heard_ms = 1,
		    .trouble = TROUBLE_FULL};
	lines();
	assert_int_equal(why.count, WHY_LINES_MAX);
	assert_string_equal(why.lines[0].text, "one?line?");
}

/* To the letter, "start more of them" would bring the old cluster back beside the new one. */
static void outcasts_are_not_told_to_start_more(void **state)
{
	(void)state;
	seen.joining = seen.lost = seen.unled = true;
	seen.available = false;
	seen.leader = (struct raft_id){{0}};
	seen.join_refused = "n3: the cluster was recovered without n1";
	goes(0, UINT64_MAX);
	goes(1, UINT64_MAX);
	assert_non_null(strstr(lines(), "start rmq-clusterd on 1 more"));
	seen.outcast = true;
	assert_says(
	    "n3: the cluster was recovered without n1\n"
	    "stop rmq-clusterd here, unless the recovery was a mistake: with a majority of its old "
	    "members it goes on as a second cluster; keep the directory, and join with a new one");
	/* A majority that serves has what was confirmed: it is not told to throw that away. */
	seen.leader = id_of(1);
	seen.unled = false;
	assert_non_null(strstr(lines(), "there are two clusters: this one, which n2 leads"));
	assert_null(strstr(lines(), "stop rmq-clusterd here"));
}

static void who_comes_back_after_a_recovery_is_a_problem(void **state)
{
	(void)state;
	seen.back = "n9";
	lines();
	assert_problem(
	    "n9 runs with a directory of before this cluster was recovered, maybe as a second "
	    "cluster: see When a majority is lost in rmq-cluster(7)");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
	    TEST(all_is_well),
	    TEST(of_a_database_its_trouble_comes_before_that_nobody_leads),
	    TEST(what_a_database_may_lose_is_a_problem_though_it_is_allowed),
	    TEST(a_log_that_is_to_become_a_databases_says_how),
	    TEST(what_a_database_does_not_confirm_is_not_the_members_fault),
	    TEST(a_member_that_is_not_up_is_named_and_is_no_problem_of_this_node),
	    TEST(a_lost_majority_says_how_many_more_are_needed),
	    TEST(voters_that_are_up_and_elect_nobody_are_told_apart),
	    TEST(a_node_of_no_cluster_says_what_makes_it_a_member),
	    TEST(all_who_refuse_are_named),
	    TEST(who_refuses_is_not_lost),
	    TEST(who_was_admitted_and_has_not_joined_is_missing),
	    TEST(who_asks_under_a_name_that_is_taken_is_named),
	    TEST(a_queue_daemon_that_is_not_ready_says_how_far_it_is),
	    TEST(a_leader_elsewhere_that_does_not_serve_is_where_to_ask),
	    TEST(a_leader_without_the_role_says_who_has_it),
	    TEST(outcasts_are_not_told_to_start_more),
	    TEST(who_comes_back_after_a_recovery_is_a_problem),
	    TEST(the_start_gate_says_how_many_are_missing),
	    TEST(full_disks_are_told_where_they_are),
	    TEST(a_leader_whose_records_are_not_stored_names_who_is_not_up),
	    TEST(the_worst_of_the_others_comes_first_and_all_are_said),
	    TEST(each_trouble_has_words_that_name_the_node),
	    TEST(an_ill_node_says_all_that_ails_it),
	    TEST(a_node_that_ends_says_so),
	    TEST(a_member_that_leaves_is_named),
	    TEST(what_nobody_knows_is_said),
	    TEST(there_are_never_more_lines_than_fit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
