/* Raft with a voter that is no member (raft.h): whom a node asks, and what counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/variant.h"
#include "core/raft/raft.h"

#define ELECTION 1000
#define BEAT	 100

struct fixture {
	struct raft *raft;
	struct raft_config config;
	uint64_t now;
	const struct raft_action *actions;
	size_t count;
	uint64_t seq;
};

static struct raft_id id_of(uint8_t n)
{
	return (struct raft_id){{n}};
}

static void add(struct raft_config *c, const char *name, uint8_t n, uint8_t flags)
{
	struct raft_member *m = &c->members[c->count++];

	*m = (struct raft_member){.id = id_of(n), .flags = flags};
	strcpy(m->name, name);
	m->key[0] = n;
}

/* Node 1 of two that may lead, and a learner; its log holds the configuration, in term 1. */
static struct fixture begin(struct raft_id vote)
{
	struct fixture f = {.now = 5};

	f.config.cluster.bytes[0] = 7;
	add(&f.config, "a", 1, RAFT_VOTER | RAFT_BROKER);
	add(&f.config, "b", 2, RAFT_VOTER | RAFT_BROKER);
	add(&f.config, "c", 3, RAFT_BROKER);
	struct raft_place term = {1, 1};
	struct raft_run first = {
	    .first = 1, .term = 1, .count = 1, .kind = RECORD_CONFIG, .config = &f.config};
	struct raft_begin b = {.id = id_of(1),
	    .term = 1,
	    .vote = vote,
	    .commit = 1,
	    .last = 1,
	    .terms = &term,
	    .term_count = 1,
	    .configs = &first,
	    .config_count = 1,
	    .election_ms = ELECTION,
	    .heartbeat_ms = BEAT,
	    .seed = 1,
	    .sole_voter = RAFT_DATABASE};
	f.raft = raft_new(&b, f.now);
	return f;
}

static enum rmq_error step(struct fixture *f, const struct raft_event *e)
{
	enum rmq_error err = raft_step(f->raft, e, f->now, &f->actions, &f->count);

	for (size_t i = 0; i < f->count; i++) {
		if (f->actions[i].type == RAFT_STORE)
			f->seq = f->actions[i].store.seq;
	}
	return err;
}

static void tick(struct fixture *f)
{
	assert_int_equal(step(f, &(struct raft_event){.type = RAFT_EVENT_TICK}), RMQ_E_OK);
}

static void stored(struct fixture *f)
{
	struct raft_event e = {.type = RAFT_EVENT_STORED, .seq = f->seq};

	assert_int_equal(step(f, &e), RMQ_E_OK);
}

static void hears(struct fixture *f, struct raft_message m)
{
	m.to = id_of(1);
	struct raft_event e = {.type = RAFT_EVENT_MESSAGE, .message = &m};

	assert_int_equal(step(f, &e), RMQ_E_OK);
}

/* Messages of this type in the newest step; *to: the last one's receiver. */
static unsigned sent(const struct fixture *f, enum raft_message_type type, struct raft_id *to)
{
	unsigned n = 0;

	for (size_t i = 0; i < f->count; i++) {
		if (f->actions[i].type != RAFT_SEND || f->actions[i].message.type != type)
			continue;
		*to = f->actions[i].message.to;
		n++;
	}
	return n;
}

static struct raft_status status(const struct fixture *f)
{
	struct raft_status st;

	raft_status(f->raft, &st);
	return st;
}

static void is_elected(struct fixture *f)
{
	tick(f);
	hears(f, (struct raft_message){
		     .type = RAFT_PREVOTED, .from = RAFT_DATABASE, .term = 2, .ok = true});
	stored(f);
	hears(f, (struct raft_message){
		     .type = RAFT_VOTED, .from = RAFT_DATABASE, .term = 2, .ok = true});
	assert_int_equal(status(f).role, RAFT_LEADER);
}

static void it_alone_is_asked_for_a_vote(void **state)
{
	(void)state;
	struct fixture f = begin((struct raft_id){{0}});
	struct raft_id to;

	tick(&f);
	assert_int_equal(sent(&f, RAFT_PREVOTE, &to), 1);
	assert_true(raft_id_eq(to, RAFT_DATABASE));
	hears(&f, (struct raft_message){
		      .type = RAFT_PREVOTED, .from = id_of(2), .term = 2, .ok = true});
	assert_int_equal(status(&f).role, RAFT_PRECANDIDATE);
	hears(&f, (struct raft_message){
		      .type = RAFT_PREVOTED, .from = RAFT_DATABASE, .term = 2, .ok = true});
	assert_int_equal(status(&f).role, RAFT_CANDIDATE);
	stored(&f);
	assert_int_equal(sent(&f, RAFT_VOTE, &to), 1);
	assert_true(raft_id_eq(to, RAFT_DATABASE));
	hears(&f,
	    (struct raft_message){.type = RAFT_VOTED, .from = id_of(2), .term = 2, .ok = true});
	assert_int_equal(status(&f).role, RAFT_CANDIDATE);
	hears(&f, (struct raft_message){
		      .type = RAFT_VOTED, .from = RAFT_DATABASE, .term = 2, .ok = true});
	assert_int_equal(status(&f).role, RAFT_LEADER);
	raft_free(f.raft);
}

static void what_it_holds_is_committed_and_no_member_counts(void **state)
{
	(void)state;
	struct fixture f = begin((struct raft_id){{0}});

	is_elected(&f);
	stored(&f);
	hears(&f, (struct raft_message){.type = RAFT_APPENDED,
		      .from = id_of(2),
		      .term = 2,
		      .ok = true,
		      .place = {2, 0},
		      .received = 2});
	assert_int_equal(status(&f).commit, 1);
	hears(&f, (struct raft_message){.type = RAFT_APPENDED,
		      .from = RAFT_DATABASE,
		      .term = 2,
		      .ok = true,
		      .place = {2, 0},
		      .received = 2});
	assert_int_equal(status(&f).commit, 2);
	assert_true(status(&f).serving);
	raft_free(f.raft);
}

static void members_are_sent_what_is_committed_and_it_all(void **state)
{
	(void)state;
	struct fixture f = begin((struct raft_id){{0}});
	unsigned reads = 0;

	is_elected(&f);
	for (size_t i = 0; i < f.count; i++) {
		if (f.actions[i].type != RAFT_READ)
			continue;
		reads++;
		assert_true(raft_id_eq(f.actions[i].id, RAFT_DATABASE));
	}
	assert_int_equal(reads, 1);
	raft_free(f.raft);
}

static void a_leader_that_does_not_know_what_it_holds_steps_down(void **state)
{
	(void)state;
	struct fixture f = begin((struct raft_id){{0}});

	is_elected(&f);
	struct raft_event e = {.type = RAFT_EVENT_RESET, .id = id_of(2)};
	assert_int_equal(step(&f, &e), RMQ_E_OK);
	assert_int_equal(status(&f).role, RAFT_LEADER);
	e.id = RAFT_DATABASE;
	assert_int_equal(step(&f, &e), RMQ_E_OK);
	assert_int_equal(status(&f).role, RAFT_FOLLOWER);
	assert_int_equal(status(&f).term, 2);
	raft_free(f.raft);
}

static void a_leader_that_it_does_not_answer_steps_down(void **state)
{
	(void)state;
	struct fixture f = begin((struct raft_id){{0}});

	is_elected(&f);
	for (unsigned i = 0; i < 2 * ELECTION / BEAT; i++) {
		f.now += BEAT;
		hears(&f, (struct raft_message){.type = RAFT_APPENDED,
			      .from = id_of(2),
			      .term = 2,
			      .ok = true,
			      .place = {1, 0},
			      .received = 1});
	}
	assert_int_not_equal(status(&f).role, RAFT_LEADER);
	raft_free(f.raft);
}

static void members_vote_for_nobody(void **state)
{
	(void)state;
	struct fixture f = begin((struct raft_id){{0}});
	struct raft_id to;

	hears(&f, (struct raft_message){
		      .type = RAFT_VOTE, .from = id_of(2), .term = 9, .place = {9, 9}});
	assert_int_equal(sent(&f, RAFT_VOTED, &to), 0);
	assert_int_equal(status(&f).term, 1);
	hears(&f, (struct raft_message){
		      .type = RAFT_PREVOTE, .from = id_of(2), .term = 9, .place = {9, 9}});
	assert_int_equal(sent(&f, RAFT_PREVOTED, &to), 0);
	raft_free(f.raft);
}

static void a_disk_that_has_forgotten_does_no_harm(void **state)
{
	(void)state;
	struct fixture f = begin(raft_id_of_forgot(1));
	struct raft_event e = {.type = RAFT_EVENT_FORGOT, .id = id_of(2), .term = 8};

	assert_false(status(&f).forgot);
	assert_int_equal(step(&f, &e), RMQ_E_OK);
	assert_false(status(&f).forgot);
	assert_int_equal(status(&f).term, 1);
	is_elected(&f);
	raft_free(f.raft);
}

static void what_a_disk_has_forgotten_is_sent_anew(void **state)
{
	(void)state;
	struct fixture f = begin((struct raft_id){{0}});
	struct raft_message has = {.type = RAFT_APPENDED,
	    .from = RAFT_DATABASE,
	    .term = 2,
	    .ok = true,
	    .place = {2, 0},
	    .received = 2};
	struct raft_peer_status peer;

	is_elected(&f);
	stored(&f);
	hears(&f, has);
	has.from = id_of(3);
	hears(&f, has);
	struct raft_event e = {.type = RAFT_EVENT_LOST, .id = id_of(3)};
	assert_int_equal(step(&f, &e), RMQ_E_OK);
	assert_true(raft_peer_status(f.raft, id_of(3), &peer));
	assert_int_equal(peer.match, 0);
	e.id = RAFT_DATABASE;
	assert_int_equal(step(&f, &e), RMQ_E_OK);
	assert_true(raft_peer_status(f.raft, RAFT_DATABASE, &peer));
	assert_int_equal(peer.match, 2);
	raft_free(f.raft);
}

static struct raft_message from_table(const struct raft_run *run)
{
	return (struct raft_message){.type = RAFT_APPEND,
	    .from = RAFT_DATABASE,
	    .term = 2,
	    .place = {1, 1},
	    .commit = 1,
	    .runs = run,
	    .run_count = 1};
}

static void it_feeds_a_node_that_hears_no_leader(void **state)
{
	(void)state;
	struct fixture f = begin((struct raft_id){{0}});
	struct raft_run run = {.first = 2, .term = 2, .count = 1, .kind = RECORD_NOOP};
	struct raft_id to;

	hears(&f, from_table(&run));
	assert_int_equal(status(&f).last.index, 2);
	assert_int_equal(status(&f).commit, 1);
	assert_true(raft_id_none(status(&f).leader));
	stored(&f);
	assert_int_equal(sent(&f, RAFT_APPENDED, &to), 1);
	assert_true(raft_id_eq(to, RAFT_DATABASE));
	raft_free(f.raft);
}

static void it_does_not_feed_one_that_hears_a_leader(void **state)
{
	(void)state;
	struct fixture f = begin((struct raft_id){{0}});
	struct raft_run run = {.first = 2, .term = 2, .count = 1, .kind = RECORD_NOOP};

	hears(&f, (struct raft_message){
		      .type = RAFT_APPEND, .from = id_of(2), .term = 2, .place = {1, 1}});
	hears(&f, from_table(&run));
	assert_int_equal(status(&f).last.index, 1);
	assert_true(raft_id_eq(status(&f).leader, id_of(2)));
	raft_free(f.raft);
}

static void what_it_fed_is_compared_again_with_a_leader(void **state)
{
	(void)state;
	struct fixture f = begin((struct raft_id){{0}});
	struct raft_run run = {.first = 2, .term = 2, .count = 1, .kind = RECORD_NOOP};
	struct raft_id to;

	hears(&f, from_table(&run));
	stored(&f);
	hears(&f, (struct raft_message){
		      .type = RAFT_APPEND, .from = id_of(2), .term = 2, .place = {1, 1}});
	assert_int_equal(sent(&f, RAFT_APPENDED, &to), 1);
	for (size_t i = 0; i < f.count; i++) {
		if (f.actions[i].type == RAFT_SEND)
			assert_int_equal(f.actions[i].message.place.index, 1);
	}
	raft_free(f.raft);
}

static void leadership_goes_to_members_that_may_lead(void **state)
{
	(void)state;
	struct fixture f = begin((struct raft_id){{0}});
	struct raft_id to;

	is_elected(&f);
	stored(&f);
	struct raft_message has = {.type = RAFT_APPENDED,
	    .from = RAFT_DATABASE,
	    .term = 2,
	    .ok = true,
	    .place = {2, 0},
	    .received = 2};
	hears(&f, has);
	struct raft_event e = {.type = RAFT_EVENT_TRANSFER, .id = RAFT_DATABASE};
	assert_int_equal(step(&f, &e), RMQ_E_NOTHING);
	e.id = id_of(3);
	assert_int_equal(step(&f, &e), RMQ_E_NOTHING);
	e.id = id_of(2);
	assert_int_equal(step(&f, &e), RMQ_E_OK);
	has.from = id_of(2);
	hears(&f, has);
	assert_int_equal(sent(&f, RAFT_TIMEOUT_NOW, &to), 1);
	assert_true(raft_id_eq(to, id_of(2)));
	raft_free(f.raft);
}

static void who_is_told_to_lead_asks_it_at_once(void **state)
{
	(void)state;
	struct fixture f = begin((struct raft_id){{0}});
	struct raft_id to;

	hears(&f, (struct raft_message){
		      .type = RAFT_APPEND, .from = id_of(2), .term = 2, .place = {1, 1}});
	hears(&f, (struct raft_message){.type = RAFT_TIMEOUT_NOW, .from = id_of(2), .term = 2});
	stored(&f);
	assert_int_equal(sent(&f, RAFT_VOTE, &to), 1);
	assert_true(raft_id_eq(to, RAFT_DATABASE));
	raft_free(f.raft);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(it_alone_is_asked_for_a_vote),
	    cmocka_unit_test(what_it_holds_is_committed_and_no_member_counts),
	    cmocka_unit_test(members_are_sent_what_is_committed_and_it_all),
	    cmocka_unit_test(a_leader_that_does_not_know_what_it_holds_steps_down),
	    cmocka_unit_test(a_leader_that_it_does_not_answer_steps_down),
	    cmocka_unit_test(members_vote_for_nobody),
	    cmocka_unit_test(a_disk_that_has_forgotten_does_no_harm),
	    cmocka_unit_test(what_a_disk_has_forgotten_is_sent_anew),
	    cmocka_unit_test(it_feeds_a_node_that_hears_no_leader),
	    cmocka_unit_test(it_does_not_feed_one_that_hears_a_leader),
	    cmocka_unit_test(what_it_fed_is_compared_again_with_a_leader),
	    cmocka_unit_test(leadership_goes_to_members_that_may_lead),
	    cmocka_unit_test(who_is_told_to_lead_asks_it_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
