/* A database that votes (host/database.h): what the driver gives, and what it says, one thing after the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/host/database.h"

#define ELECTION 900
#define BEAT	 100

struct fixture {
	struct database *db;
	struct raft *raft;
	struct raft_config config;
	uint64_t now;
	struct database_effect effect; /* the newest */
	struct database_row row;
};

static struct raft_id id_of(uint8_t n)
{
	return (struct raft_id){{n}};
}

static void stepped(struct fixture *f)
{
	database_stepped(f->db, f->raft, f->now);
}

/* A node that holds `last` records of term 1, and nobody is there yet. */
static void begin(struct fixture *f, uint64_t last, uint64_t commit)
{
	static struct raft_place first = {1, 1};
	static struct raft_run run = {.first = 1, .term = 1, .count = 1, .kind = RECORD_CONFIG};
	struct raft_member *m = &f->config.members[0];

	*f = (struct fixture){.now = 10};
	f->config.cluster = id_of(7);
	f->config.count = 1;
	m->id = id_of(1);
	m->flags = RAFT_VOTER | RAFT_BROKER;
	strcpy(m->name, "a");
	run.config = &f->config;
	struct raft_begin b = {.id = id_of(1),
	    .term = 1,
	    .commit = commit,
	    .last = last,
	    .terms = &first,
	    .term_count = 1,
	    .configs = &run,
	    .config_count = 1,
	    .election_ms = ELECTION,
	    .heartbeat_ms = BEAT,
	    .sole_voter = RAFT_DATABASE};
	f->raft = raft_new(&b, f->now);
	f->db = database_new(&(struct database_begin){id_of(1), ELECTION, BEAT}, f->now);
	stepped(f);
	f->row = (struct database_row){.exists = true,
	    .cluster = id_of(7),
	    .term = 1,
	    .last = {last, 1},
	    .commit = commit};
}

static void end(struct fixture *f)
{
	database_free(f->db);
	raft_free(f->raft);
}

static bool turn(struct fixture *f)
{
	return database_turn(f->db, f->now, &f->effect);
}

static const struct database_statement *gives(struct fixture *f, enum database_verb verb)
{
	assert_true(turn(f));
	assert_int_equal(f->effect.type, DATABASE_EXECUTE);
	assert_int_equal(f->effect.statement->verb, verb);
	return f->effect.statement;
}

static const struct raft_message *says(struct fixture *f, enum raft_message_type type)
{
	assert_true(turn(f));
	assert_int_equal(f->effect.type, DATABASE_STEP);
	assert_int_equal(f->effect.event.type, RAFT_EVENT_MESSAGE);
	assert_int_equal(f->effect.event.message->type, type);
	assert_true(raft_id_eq(f->effect.event.message->from, RAFT_DATABASE));
	return f->effect.event.message;
}

static void steps_down(struct fixture *f)
{
	assert_true(turn(f));
	assert_int_equal(f->effect.type, DATABASE_STEP);
	assert_int_equal(f->effect.event.type, RAFT_EVENT_RESET);
	assert_true(raft_id_eq(f->effect.event.id, RAFT_DATABASE));
}

static void is_quiet(struct fixture *f)
{
	assert_false(turn(f));
}

static void answered(struct fixture *f, uint64_t number, enum database_outcome outcome)
{
	struct database_result r = {
	    .number = number, .outcome = outcome, .row_known = true, .row = f->row};

	database_result(f->db, &r, f->now);
}

static void asks(struct fixture *f, enum raft_message_type type, uint64_t term, uint64_t last)
{
	struct raft_message m = {.type = type,
	    .from = id_of(1),
	    .to = RAFT_DATABASE,
	    .term = term,
	    .place = {last, last > 0 ? 1 : 0}};

	database_message(f->db, &m, NULL, f->now);
}

static void raft_event(struct fixture *f, struct raft_event e)
{
	const struct raft_action *actions;
	size_t count;

	assert_int_equal(raft_step(f->raft, &e, f->now, &actions, &count), RMQ_E_OK);
	stepped(f);
}

static void raft_hears(struct fixture *f, const struct raft_message *m)
{
	raft_event(f, (struct raft_event){.type = RAFT_EVENT_MESSAGE, .message = m});
}

static void is_up(struct fixture *f)
{
	database_up(f->db, f->now);
	const struct database_statement *s = gives(f, DATABASE_LOOK);
	assert_true(raft_id_eq(s->cluster, id_of(7)));
	answered(f, s->number, DATABASE_DONE);
	is_quiet(f);
}

/* Up to the vote of term 2, which is told. */
static void is_elected(struct fixture *f)
{
	is_up(f);
	raft_event(f, (struct raft_event){.type = RAFT_EVENT_TICK});
	asks(f, RAFT_PREVOTE, 2, f->row.last.index);
	answered(f, gives(f, DATABASE_LOOK)->number, DATABASE_DONE);
	assert_true(says(f, RAFT_PREVOTED)->ok);
	raft_hears(f, f->effect.event.message);
	asks(f, RAFT_VOTE, 2, f->row.last.index);
	raft_event(f, (struct raft_event){.type = RAFT_EVENT_STORED, .seq = 1});
	const struct database_statement *s = gives(f, DATABASE_TAKE);
	assert_int_equal(s->term, 2);
	f->row.term = 2;
	f->row.leader = id_of(1);
	f->row.lease_left_ms = s->lease_ms;
	answered(f, s->number, DATABASE_DONE);
	assert_true(says(f, RAFT_VOTED)->ok);
	raft_hears(f, f->effect.event.message);
	struct raft_status st;
	raft_status(f->raft, &st);
	assert_int_equal(st.role, RAFT_LEADER);
}

/* One record of the leader, of term 2, with a payload. */
static void sends(struct fixture *f, uint64_t index, struct raft_place prev, uint64_t round)
{
	struct raft_run run = {
	    .first = index, .term = 2, .count = 1, .bytes = 3, .kind = RECORD_EVENTS};
	struct piece piece = {slice_of((const uint8_t *)"abc", 3), NULL};
	struct raft_message m = {.type = RAFT_APPEND,
	    .from = id_of(1),
	    .to = RAFT_DATABASE,
	    .term = 2,
	    .place = prev,
	    .round = round,
	    .commit = 3,
	    .runs = &run,
	    .run_count = 1};

	database_message(f->db, &m, &piece, f->now);
}

static void beats(struct fixture *f, uint64_t round)
{
	struct raft_message m = {.type = RAFT_APPEND,
	    .from = id_of(1),
	    .to = RAFT_DATABASE,
	    .term = 2,
	    .round = round};

	database_message(f->db, &m, NULL, f->now);
}

/* Record 4 is sent, and is in an APPEND: its number. */
static uint64_t appends(struct fixture *f)
{
	sends(f, 4, (struct raft_place){3, 1}, 0);
	(void)says(f, RAFT_APPENDED);
	return gives(f, DATABASE_APPEND)->number;
}

static void a_vote_is_given_when_the_term_is_taken(void **state)
{
	(void)state;
	struct fixture f;

	begin(&f, 3, 3);
	is_elected(&f);
	end(&f);
}

static void a_lease_of_another_one_refuses_the_pre_vote(void **state)
{
	(void)state;
	struct fixture f;

	begin(&f, 3, 3);
	f.row.leader = id_of(2);
	f.row.lease_left_ms = 5;
	is_up(&f);
	asks(&f, RAFT_PREVOTE, 2, 3);
	answered(&f, gives(&f, DATABASE_LOOK)->number, DATABASE_DONE);
	assert_false(says(&f, RAFT_PREVOTED)->ok);
	f.row.leader = id_of(1);
	asks(&f, RAFT_PREVOTE, 2, 3);
	answered(&f, gives(&f, DATABASE_LOOK)->number, DATABASE_DONE);
	assert_true(says(&f, RAFT_PREVOTED)->ok);
	end(&f);
}

static void a_vote_of_which_nothing_is_known_is_none(void **state)
{
	(void)state;
	struct fixture f;

	begin(&f, 3, 3);
	is_up(&f);
	raft_event(&f, (struct raft_event){.type = RAFT_EVENT_TICK});
	asks(&f, RAFT_PREVOTE, 2, 3);
	answered(&f, gives(&f, DATABASE_LOOK)->number, DATABASE_DONE);
	raft_hears(&f, says(&f, RAFT_PREVOTED));
	asks(&f, RAFT_VOTE, 2, 3);
	answered(&f, gives(&f, DATABASE_TAKE)->number, DATABASE_UNKNOWN);
	is_quiet(&f);
	end(&f);
}

static void what_comes_while_statements_are_under_way_is_one_statement(void **state)
{
	(void)state;
	struct fixture f;

	begin(&f, 3, 3);
	is_elected(&f);
	sends(&f, 4, (struct raft_place){3, 1}, 0);
	assert_int_equal(says(&f, RAFT_APPENDED)->place.index, 0);
	const struct database_statement *s = gives(&f, DATABASE_APPEND);
	uint64_t first = s->number;
	assert_int_equal(s->run_count, 1);
	assert_int_equal(s->term_count, 1);
	assert_int_equal(s->terms[0].index, 4);
	assert_int_equal(s->place.index, 3);
	assert_int_equal(s->last.index, 4);
	sends(&f, 5, (struct raft_place){4, 2}, 0);
	(void)says(&f, RAFT_APPENDED);
	(void)gives(&f, DATABASE_APPEND);
	for (uint64_t i = 6; i < 9; i++)
		sends(&f, i, (struct raft_place){i - 1, 2}, 0);
	assert_int_equal(says(&f, RAFT_APPENDED)->received, 8);
	is_quiet(&f);
	answered(&f, first, DATABASE_DONE);
	const struct raft_message *m = says(&f, RAFT_APPENDED);
	assert_true(m->ok);
	assert_int_equal(m->place.index, 4);
	s = gives(&f, DATABASE_APPEND);
	assert_int_equal(s->run_count, 3);
	assert_int_equal(s->term_count, 0);
	assert_int_equal(s->place.index, 5);
	assert_memory_equal(s->pieces[2].bytes.data, "abc", 3);
	end(&f);
}

static void a_heartbeat_costs_a_statement_when_a_third_of_the_lease_is_over(void **state)
{
	(void)state;
	struct fixture f;

	begin(&f, 3, 3);
	is_elected(&f);
	f.now += BEAT;
	beats(&f, 0);
	assert_true(says(&f, RAFT_APPENDED)->ok);
	is_quiet(&f);
	f.now += ELECTION / 3;
	beats(&f, 0);
	const struct database_statement *s = gives(&f, DATABASE_APPEND);
	assert_int_equal(s->run_count, 0);
	assert_int_equal(s->place.index, 3);
	assert_int_equal(s->last.index, 3);
	beats(&f, 0);
	is_quiet(&f);
	answered(&f, s->number, DATABASE_DONE);
	assert_true(says(&f, RAFT_APPENDED)->ok);
	is_quiet(&f);
	end(&f);
}

static void a_round_is_answered_by_a_statement_that_was_given_after_it_began(void **state)
{
	(void)state;
	struct fixture f;

	begin(&f, 3, 3);
	is_elected(&f);
	uint64_t before = appends(&f);
	beats(&f, 1);
	assert_int_equal(says(&f, RAFT_APPENDED)->round, 0);
	uint64_t after = gives(&f, DATABASE_APPEND)->number;
	answered(&f, before, DATABASE_DONE);
	assert_int_equal(says(&f, RAFT_APPENDED)->round, 0);
	answered(&f, after, DATABASE_DONE);
	assert_int_equal(says(&f, RAFT_APPENDED)->round, 1);
	end(&f);
}

static void a_leader_steps_down_when_it_is_not_known_what_is_stored(void **state)
{
	(void)state;
	struct fixture f;

	begin(&f, 3, 3);
	is_elected(&f);
	uint64_t number = appends(&f);
	sends(&f, 5, (struct raft_place){4, 2}, 0);
	answered(&f, number, DATABASE_UNKNOWN);
	steps_down(&f);
	sends(&f, 6, (struct raft_place){5, 2}, 0);
	is_quiet(&f);
	end(&f);
}

static void a_leader_whose_connection_is_lost_steps_down(void **state)
{
	(void)state;
	struct fixture f;
	struct database_status s;

	begin(&f, 3, 3);
	is_elected(&f);
	database_down(f.db, "the server closed it", f.now);
	steps_down(&f);
	is_quiet(&f);
	database_status(f.db, &s);
	assert_int_equal(s.trouble, DATABASE_AWAY);
	assert_string_equal(s.text, "the server closed it");
	end(&f);
}

static void what_failed_is_given_again_and_what_came_after_it_was_in_vain(void **state)
{
	(void)state;
	struct fixture f;
	struct database_status s;

	begin(&f, 3, 3);
	is_elected(&f);
	uint64_t first = appends(&f);
	sends(&f, 5, (struct raft_place){4, 2}, 0);
	(void)says(&f, RAFT_APPENDED);
	uint64_t second = gives(&f, DATABASE_APPEND)->number;
	struct database_result r = {
	    .number = first, .outcome = DATABASE_FAILED, .text = "No space left on device"};
	database_result(f.db, &r, f.now);
	database_status(f.db, &s);
	assert_int_equal(s.trouble, DATABASE_FAILING);
	assert_string_equal(s.text, "No space left on device");
	answered(&f, second, DATABASE_FENCED);
	is_quiet(&f);
	assert_true(database_due(f.db) > f.now && database_due(f.db) < f.now + ELECTION);
	f.now = database_due(f.db);
	const struct database_statement *again = gives(&f, DATABASE_APPEND);
	assert_int_equal(again->run_count, 2);
	assert_int_equal(again->place.index, 3);
	answered(&f, again->number, DATABASE_DONE);
	assert_int_equal(says(&f, RAFT_APPENDED)->place.index, 5);
	database_status(f.db, &s);
	assert_int_equal(s.trouble, DATABASE_NONE);
	end(&f);
}

static void a_leader_that_is_fenced_hears_of_the_newer_term(void **state)
{
	(void)state;
	struct fixture f;

	begin(&f, 3, 3);
	is_elected(&f);
	uint64_t number = appends(&f);
	f.row.term = 3;
	f.row.leader = id_of(2);
	answered(&f, number, DATABASE_FENCED);
	const struct raft_message *m = says(&f, RAFT_APPENDED);
	assert_int_equal(m->term, 3);
	assert_false(m->ok);
	end(&f);
}

static void a_log_that_lacks_the_tables_last_record_is_fed_and_leads_then(void **state)
{
	(void)state;
	struct fixture f;
	struct database_status s;

	begin(&f, 3, 3);
	is_elected(&f);
	sends(&f, 4, (struct raft_place){3, 2}, 0);
	steps_down(&f);
	raft_event(&f, f.effect.event);
	f.row.lease_left_ms = 0;
	asks(&f, RAFT_PREVOTE, 3, 3);
	answered(&f, gives(&f, DATABASE_LOOK)->number, DATABASE_DONE);
	assert_false(says(&f, RAFT_PREVOTED)->ok);
	assert_int_equal(gives(&f, DATABASE_READ)->from, 4);
	database_status(f.db, &s);
	assert_int_equal(s.trouble, DATABASE_NONE);
	end(&f);
}

static void what_the_core_sends_too_far_ahead_is_refused(void **state)
{
	(void)state;
	struct fixture f;

	begin(&f, 3, 3);
	is_elected(&f);
	sends(&f, 6, (struct raft_place){5, 2}, 0);
	const struct raft_message *m = says(&f, RAFT_APPENDED);
	assert_false(m->ok);
	assert_int_equal(m->place.index, 3);
	assert_int_equal(m->place.term, 1);
	end(&f);
}

static void a_server_that_lacks_what_is_committed_is_dropped(void **state)
{
	(void)state;
	struct fixture f;
	struct database_status s;

	begin(&f, 3, 3);
	database_up(f.db, f.now);
	uint64_t number = gives(&f, DATABASE_LOOK)->number;
	f.row.last.index = f.row.commit = 2;
	answered(&f, number, DATABASE_DONE);
	assert_true(turn(&f));
	assert_int_equal(f.effect.type, DATABASE_DROP);
	is_quiet(&f);
	database_down(f.db, f.effect.text, f.now);
	database_status(f.db, &s);
	assert_int_equal(s.trouble, DATABASE_OLDER);
	is_quiet(&f);
	end(&f);
}

static void a_row_is_compared_with_what_was_known_when_it_was_asked_for(void **state)
{
	(void)state;
	struct fixture f;

	begin(&f, 3, 2);
	database_up(f.db, f.now);
	uint64_t number = gives(&f, DATABASE_LOOK)->number;
	struct raft_message m = {.type = RAFT_APPEND,
	    .from = id_of(2),
	    .to = id_of(1),
	    .term = 4,
	    .place = {3, 1},
	    .commit = 3};
	raft_hears(&f, &m);
	answered(&f, number, DATABASE_DONE);
	is_quiet(&f);
	end(&f);
}

static void the_row_of_another_cluster_is_left_alone(void **state)
{
	(void)state;
	struct fixture f;
	struct database_status s;

	begin(&f, 3, 3);
	database_up(f.db, f.now);
	f.row.cluster = id_of(8);
	asks(&f, RAFT_PREVOTE, 2, 3);
	answered(&f, gives(&f, DATABASE_LOOK)->number, DATABASE_DONE);
	is_quiet(&f);
	database_status(f.db, &s);
	assert_int_equal(s.trouble, DATABASE_FOREIGN);
	end(&f);
}

static void an_empty_table_is_not_filled_unless_that_is_asked_for(void **state)
{
	(void)state;
	struct fixture f;
	struct database_status s;

	begin(&f, 3, 3);
	database_up(f.db, f.now);
	f.row = (struct database_row){.exists = false};
	asks(&f, RAFT_PREVOTE, 2, 3);
	answered(&f, gives(&f, DATABASE_LOOK)->number, DATABASE_DONE);
	is_quiet(&f);
	database_status(f.db, &s);
	assert_int_equal(s.trouble, DATABASE_UNFOUNDED);
	database_found(f.db, id_of(7));
	uint64_t number = gives(&f, DATABASE_FOUND)->number;
	f.row = (struct database_row){.exists = true, .cluster = id_of(7)};
	answered(&f, number, DATABASE_DONE);
	database_status(f.db, &s);
	assert_int_equal(s.found, DATABASE_FOUNDED);
	answered(&f, gives(&f, DATABASE_LOOK)->number, DATABASE_DONE);
	assert_true(says(&f, RAFT_PREVOTED)->ok);
	end(&f);
}

static void tables_that_nobody_waits_for_are_not_made(void **state)
{
	(void)state;
	struct fixture f;
	struct database_status s;

	begin(&f, 3, 3);
	database_found(f.db, id_of(7));
	database_found_end(f.db);
	database_up(f.db, f.now);
	f.row = (struct database_row){.exists = false};
	answered(&f, gives(&f, DATABASE_LOOK)->number, DATABASE_DONE);
	is_quiet(&f);
	/* What is under way is not given again. */
	database_found(f.db, id_of(7));
	uint64_t number = gives(&f, DATABASE_FOUND)->number;
	database_found_end(f.db);
	answered(&f, number, DATABASE_UNKNOWN);
	is_quiet(&f);
	database_status(f.db, &s);
	assert_int_equal(s.found, DATABASE_NOT_FOUNDED);
	end(&f);
}

static void who_made_the_cluster_makes_its_tables_after_a_restart_as_well(void **state)
{
	(void)state;
	struct fixture f;

	begin(&f, 1, 1);
	database_up(f.db, f.now);
	f.row = (struct database_row){.exists = false};
	answered(&f, gives(&f, DATABASE_LOOK)->number, DATABASE_DONE);
	assert_true(raft_id_eq(gives(&f, DATABASE_FOUND)->cluster, id_of(7)));
	end(&f);
}

static void holes_are_dug_until_nothing_is_left_of_them(void **state)
{
	(void)state;
	struct fixture f;
	struct database_status s;
	struct hole_range h = {1, UINT32_MAX};

	begin(&f, 3, 3);
	is_elected(&f);
	database_dig(f.db, (struct raft_place){3, 1}, &h, 1);
	const struct database_statement *dig = gives(&f, DATABASE_DIG);
	assert_int_equal(dig->range_count, 1);
	assert_int_equal(dig->ranges[0].count, UINT32_MAX);
	assert_int_equal(dig->cover.index, 3);
	uint32_t rows = dig->rows;
	uint64_t number = dig->number;
	/* One at a time. */
	is_quiet(&f);
	struct database_result r = {.number = number, .outcome = DATABASE_DONE};
	f.now += ELECTION / 4;
	database_result(f.db, &r, f.now);
	(void)says(&f, RAFT_APPENDED);
	dig = gives(&f, DATABASE_DIG);
	assert_int_equal(dig->ranges[0].first, 1);
	assert_int_equal(dig->rows, rows / 2);
	r.number = dig->number;
	r.last = true;
	database_result(f.db, &r, f.now);
	(void)says(&f, RAFT_APPENDED);
	is_quiet(&f);
	database_status(f.db, &s);
	assert_int_equal(s.digging, 0);
	end(&f);
}

static void a_dig_is_not_slow_as_it_waits_for_the_append_before_it(void **state)
{
	(void)state;
	struct fixture f;
	struct hole_range h = {1, 3};

	begin(&f, 3, 3);
	is_elected(&f);
	uint64_t append = appends(&f);
	database_dig(f.db, (struct raft_place){3, 1}, &h, 1);
	const struct database_statement *dig = gives(&f, DATABASE_DIG);
	uint32_t rows = dig->rows;
	struct database_result r = {.number = dig->number, .outcome = DATABASE_DONE};
	f.now += ELECTION / 4;
	answered(&f, append, DATABASE_DONE);
	f.now += 1;
	database_result(f.db, &r, f.now);
	(void)says(&f, RAFT_APPENDED);
	assert_int_equal(gives(&f, DATABASE_DIG)->rows, 2 * rows);
	end(&f);
}

static void a_dig_does_not_confirm_an_append_that_failed(void **state)
{
	(void)state;
	struct fixture f;
	struct hole_range h = {1, 1};

	begin(&f, 3, 3);
	is_elected(&f);
	uint64_t first = appends(&f);
	database_dig(f.db, (struct raft_place){3, 1}, &h, 1);
	uint64_t second = gives(&f, DATABASE_DIG)->number;
	answered(&f, first, DATABASE_FAILED);
	answered(&f, second, DATABASE_DONE);
	assert_int_equal(says(&f, RAFT_APPENDED)->place.index, 0);
	end(&f);
}

/* ---- feeding ---- */

static const struct raft_place boundaries[] = {{1, 1}, {5, 2}};

/* Records 4 and 7 of a table with 7 records in terms 1 and 2. */
static struct database_result page(struct fixture *f, uint64_t number)
{
	static struct raft_run runs[2] = {
	    {.first = 4, .term = 1, .count = 1, .bytes = 2, .kind = RECORD_EVENTS},
	    {.first = 7, .term = 2, .count = 1, .bytes = 0, .kind = RECORD_NOOP}};
	static struct piece pieces[2];

	runs[0].term = 1;
	runs[0].first = 4;
	pieces[0] = (struct piece){slice_of((const uint8_t *)"xy", 2), NULL};
	return (struct database_result){.number = number,
	    .outcome = DATABASE_DONE,
	    .row_known = true,
	    .row = f->row,
	    .runs = runs,
	    .pieces = pieces,
	    .run_count = 2,
	    .terms = boundaries,
	    .term_count = 2,
	    .last = true};
}

static uint64_t reads(struct fixture *f)
{
	begin(f, 3, 3);
	f->row.term = 2;
	f->row.last = (struct raft_place){7, 2};
	f->row.commit = 6;
	f->row.leader = id_of(2);
	f->row.lease_left_ms = 50;
	database_up(f->db, f->now);
	answered(f, gives(f, DATABASE_LOOK)->number, DATABASE_DONE);
	const struct database_statement *s = gives(f, DATABASE_READ);
	assert_int_equal(s->from, 4);
	return s->number;
}

static void a_node_that_lags_is_fed_with_holes_where_nothing_is(void **state)
{
	(void)state;
	struct fixture f;
	uint64_t number = reads(&f);
	struct database_result r = page(&f, number);

	database_result(f.db, &r, f.now);
	const struct raft_message *m = says(&f, RAFT_APPEND);
	assert_int_equal(m->term, 2);
	assert_int_equal(m->place.index, 3);
	assert_int_equal(m->place.term, 1);
	assert_int_equal(m->commit, 6);
	assert_int_equal(m->run_count, 3);
	assert_int_equal(m->runs[0].kind, RECORD_EVENTS);
	assert_memory_equal(f.effect.pieces[0].bytes.data, "xy", 2);
	assert_int_equal(m->runs[1].kind, RAFT_HOLE);
	assert_int_equal(m->runs[1].first, 5);
	assert_int_equal(m->runs[1].count, 2);
	assert_int_equal(m->runs[1].term, 2);
	assert_int_equal(m->runs[2].first, 7);
	raft_hears(&f, m);
	struct raft_status st;
	raft_status(f.raft, &st);
	assert_int_equal(st.last.index, 7);
	assert_int_equal(st.commit, 6);
	end(&f);
}

static void is_damaged(struct fixture *f)
{
	struct database_status s;

	is_quiet(f);
	database_status(f->db, &s);
	assert_int_equal(s.trouble, DATABASE_DAMAGED);
	end(f);
}

static void a_log_that_rmq_did_not_write_is_not_fed(void **state)
{
	(void)state;
	struct fixture f;
	struct database_result r;
	struct raft_run *runs;

	/* Another term than its boundary's. */
	r = page(&f, reads(&f));
	runs = (struct raft_run *)(uintptr_t)r.runs;
	runs[0].term = 2;
	database_result(f.db, &r, f.now);
	is_damaged(&f);
	/* A hole that is not committed. */
	uint64_t number = reads(&f);
	f.row.commit = 5;
	r = page(&f, number);
	database_result(f.db, &r, f.now);
	is_damaged(&f);
	/* Before what was asked for. */
	r = page(&f, reads(&f));
	runs = (struct raft_run *)(uintptr_t)r.runs;
	runs[0].first = 2;
	database_result(f.db, &r, f.now);
	is_damaged(&f);
	/* No boundaries. */
	r = page(&f, reads(&f));
	r.term_count = 0;
	database_result(f.db, &r, f.now);
	is_damaged(&f);
	/* It ends before its row says. */
	r = page(&f, reads(&f));
	r.run_count = 0;
	r.last = false;
	database_result(f.db, &r, f.now);
	is_damaged(&f);
}

static void a_table_with_another_record_than_what_is_committed_is_not_fed_from(void **state)
{
	(void)state;
	struct fixture f;
	struct database_status s;
	struct database_result r = page(&f, reads(&f));
	struct raft_message refused = {.type = RAFT_APPENDED,
	    .from = id_of(1),
	    .to = RAFT_DATABASE,
	    .term = 2,
	    .place = {2, 1}};

	database_result(f.db, &r, f.now);
	(void)says(&f, RAFT_APPEND);
	database_message(f.db, &refused, NULL, f.now);
	is_quiet(&f);
	database_status(f.db, &s);
	assert_int_equal(s.trouble, DATABASE_OTHER_LOG);
	f.row.lease_left_ms = 0;
	asks(&f, RAFT_PREVOTE, 3, 3);
	answered(&f, gives(&f, DATABASE_LOOK)->number, DATABASE_DONE);
	assert_false(says(&f, RAFT_PREVOTED)->ok);
	database_status(f.db, &s);
	assert_int_equal(s.trouble, DATABASE_OTHER_LOG);
	end(&f);
}

static void an_empty_table_after_a_leader_was_heard_is_older(void **state)
{
	(void)state;
	struct fixture f;

	begin(&f, 3, 3);
	database_found(f.db, id_of(7));
	struct raft_message m = {.type = RAFT_APPEND,
	    .from = id_of(2),
	    .to = id_of(1),
	    .term = 4,
	    .place = {3, 1},
	    .commit = 3};
	raft_hears(&f, &m);
	database_up(f.db, f.now);
	f.row = (struct database_row){.exists = true, .cluster = id_of(7)};
	answered(&f, gives(&f, DATABASE_FOUND)->number, DATABASE_DONE);
	answered(&f, gives(&f, DATABASE_LOOK)->number, DATABASE_DONE);
	assert_true(turn(&f));
	assert_int_equal(f.effect.type, DATABASE_DROP);
	end(&f);
}

static void who_made_a_cluster_of_its_log_fills_the_table_after_a_restart(void **state)
{
	(void)state;
	struct fixture f;
	static struct raft_place first = {1, 1};

	begin(&f, 3, 3);
	raft_free(f.raft);
	struct raft_run run = {
	    .first = 3, .term = 1, .count = 1, .kind = RECORD_CONFIG, .config = &f.config};
	struct raft_begin b = {.id = id_of(1),
	    .term = 1,
	    .commit = 3,
	    .last = 3,
	    .terms = &first,
	    .term_count = 1,
	    .configs = &run,
	    .config_count = 1,
	    .election_ms = ELECTION,
	    .heartbeat_ms = BEAT,
	    .sole_voter = RAFT_DATABASE};
	f.raft = raft_new(&b, f.now);
	stepped(&f);
	database_up(f.db, f.now);
	f.row = (struct database_row){.exists = true, .cluster = id_of(7)};
	asks(&f, RAFT_PREVOTE, 2, 3);
	answered(&f, gives(&f, DATABASE_LOOK)->number, DATABASE_DONE);
	assert_true(says(&f, RAFT_PREVOTED)->ok);
	end(&f);
}

static void who_was_fed_says_where_to_go_on(void **state)
{
	(void)state;
	struct fixture f;
	struct database_result r = page(&f, reads(&f));

	database_result(f.db, &r, f.now);
	(void)says(&f, RAFT_APPEND);
	struct raft_message refused = {.type = RAFT_APPENDED,
	    .from = id_of(1),
	    .to = RAFT_DATABASE,
	    .term = 2,
	    .place = {3, 1}};
	database_message(f.db, &refused, NULL, f.now);
	assert_int_equal(gives(&f, DATABASE_READ)->from, 4);
	end(&f);
}

static void a_table_that_is_being_filled_feeds_nobody_and_elects_who_has_all(void **state)
{
	(void)state;
	struct fixture f;

	begin(&f, 3, 3);
	f.row.last = (struct raft_place){2, 1};
	f.row.commit = 4;
	database_up(f.db, f.now);
	asks(&f, RAFT_PREVOTE, 2, 3);
	answered(&f, gives(&f, DATABASE_LOOK)->number, DATABASE_DONE);
	assert_false(says(&f, RAFT_PREVOTED)->ok);
	is_quiet(&f);
	f.row.commit = 3;
	asks(&f, RAFT_PREVOTE, 2, 3);
	answered(&f, gives(&f, DATABASE_LOOK)->number, DATABASE_DONE);
	assert_true(says(&f, RAFT_PREVOTED)->ok);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_vote_is_given_when_the_term_is_taken),
	    cmocka_unit_test(a_lease_of_another_one_refuses_the_pre_vote),
	    cmocka_unit_test(a_vote_of_which_nothing_is_known_is_none),
	    cmocka_unit_test(what_comes_while_statements_are_under_way_is_one_statement),
	    cmocka_unit_test(a_heartbeat_costs_a_statement_when_a_third_of_the_lease_is_over),
	    cmocka_unit_test(a_round_is_answered_by_a_statement_that_was_given_after_it_began),
	    cmocka_unit_test(a_leader_steps_down_when_it_is_not_known_what_is_stored),
	    cmocka_unit_test(a_leader_whose_connection_is_lost_steps_down),
	    cmocka_unit_test(what_failed_is_given_again_and_what_came_after_it_was_in_vain),
	    cmocka_unit_test(a_leader_that_is_fenced_hears_of_the_newer_term),
	    cmocka_unit_test(a_log_that_lacks_the_tables_last_record_is_fed_and_leads_then),
	    cmocka_unit_test(
		a_table_with_another_record_than_what_is_committed_is_not_fed_from),
	    cmocka_unit_test(an_empty_table_after_a_leader_was_heard_is_older),
	    cmocka_unit_test(who_made_a_cluster_of_its_log_fills_the_table_after_a_restart),
	    cmocka_unit_test(what_the_core_sends_too_far_ahead_is_refused),
	    cmocka_unit_test(a_server_that_lacks_what_is_committed_is_dropped),
	    cmocka_unit_test(a_row_is_compared_with_what_was_known_when_it_was_asked_for),
	    cmocka_unit_test(the_row_of_another_cluster_is_left_alone),
	    cmocka_unit_test(an_empty_table_is_not_filled_unless_that_is_asked_for),
	    cmocka_unit_test(tables_that_nobody_waits_for_are_not_made),
	    cmocka_unit_test(who_made_the_cluster_makes_its_tables_after_a_restart_as_well),
	    cmocka_unit_test(holes_are_dug_until_nothing_is_left_of_them),
	    cmocka_unit_test(a_dig_is_not_slow_as_it_waits_for_the_append_before_it),
	    cmocka_unit_test(a_dig_does_not_confirm_an_append_that_failed),
	    cmocka_unit_test(a_node_that_lags_is_fed_with_holes_where_nothing_is),
	    cmocka_unit_test(a_log_that_rmq_did_not_write_is_not_fed),
	    cmocka_unit_test(who_was_fed_says_where_to_go_on),
	    cmocka_unit_test(a_table_that_is_being_filled_feeds_nobody_and_elects_who_has_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
