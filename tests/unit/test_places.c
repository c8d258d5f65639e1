/*
 * Cells: where a queue lives, who is led away, and the steps by which it goes and comes, as the queue core
 * takes them.  What goes with a queue is in test_arrive.c.
 */
#include <stdio.h>

#include "core/base/level.h"
#include "two_cells.h"

#define TOKEN  slice_str("0123456789abcdef")
#define OTHER  slice_str("fedcba9876543210")
#define CELL_Y slice_str("y")

static struct cells list;

static int setup_cells(void **state)
{
	const char *why;
	assert_int_equal(
	    cells_parse(&list, slice_str("x=unix:/x,h:1;y=h:2,exec:run,unix:/y"), &why),
	    RMQ_E_OK);
	setup(state);
	broker_cells(X->broker, &list, slice_str("x"));
	broker_cells(Y->broker, &list, slice_str("y"));
	return 0;
}

/* The same daemon after a crash, which was told of cells again. */
static void crash(void)
{
	restart();
	broker_cells(w->broker, &list, w == X ? slice_str("x") : slice_str("y"));
}

static void say_hello(uint64_t of, struct world *x)
{
	w = x;
	conn = of;
	hello();
}

/* One message, with the answer still to come. */
static void send(const char *queue, uint8_t flags, struct slice tags)
{
	static const uint8_t batch[] = {1, 0, 0, 0, 2, 0, 'm', '\n'};
	INPUT(send, NUMBERS, flags, 0, slice_str(queue), tags, slice_of(batch, sizeof(batch)));
	run();
}

static void sent(const char *queue)
{
	send(queue, 0, NO_TAGS);
	expect(WIRE_TYPE_SENT);
}

static void move_out(uint8_t step, const char *queue, struct slice token)
{
	INPUT(move_out, NUMBERS, step, slice_str(queue),
	    step == MOVE_OUT_GONE ? CELL_Y : slice_str(""), token, NO_TAGS);
}

static void move_in(uint8_t step, const char *queue, struct slice token)
{
	INPUT(move_in, NUMBERS, step, slice_str(queue), token, NO_TAGS);
}

static void refused(enum rmq_error code)
{
	failed_with(code);
	/* Its number is free. */
	LINE->n--;
}

static void moved(const char *queue, const char *cell, struct slice token, const char *servers)
{
	EXPECT(MOVED, moved, m);
	struct slice told = slice_str("");
	(void)tags_find(m.tags, MOVED_TAG_SERVERS, &told);
	assert_true(slice_eq(m.queue, slice_str(queue)));
	assert_true(slice_eq(m.cell, slice_str(cell)));
	assert_true(slice_eq(m.token, token));
	assert_true(slice_eq(told, slice_str(servers)));
}

static void nothing_more(void)
{
	struct frame f;
	run();
	assert_false(next(&f));
}

static struct queue *named(const char *name)
{
	return broker_queue_named(w->broker, slice_str(name));
}

/* What is at home in y, and in x, whatever its hash. */
#define IN_Y "q.at.y"
#define IN_X "q.at.x"

static void who_asks_for_what_lives_elsewhere_is_led_there(void **state)
{
	(void)state;
	send(IN_Y, 0, NO_TAGS);
	moved(IN_Y, "y", slice_str(""), "h:2,unix:/y");
	refused(RMQ_E_ELSEWHERE);
	send(IN_Y ".dead", 0, NO_TAGS);
	moved(IN_Y ".dead", "y", slice_str(""), "h:2,unix:/y");
	refused(RMQ_E_ELSEWHERE);
	INPUT(subscribe, 1, 0, 0, slice_str(IN_Y), NO_TAGS);
	run();
	expect(WIRE_TYPE_MOVED);
	EXPECT(SUB_FAILED, sub_failed, sub);
	assert_int_equal(sub.code, RMQ_E_ELSEWHERE);
	/* What is answered by rows is answered by that alone. */
	INPUT(peek, 1, STATES, 0, 1, slice_str(IN_Y));
	run();
	expect(WIRE_TYPE_MOVED);
	nothing_more();
	assert_null(named(IN_Y));
	/* What is for other cells is this cell's, and so is a topic. */
	sent(IN_Y ".away");
	send("a.topic", SEND_TOPIC | SEND_ALLOW_UNROUTED, NO_TAGS);
	expect(WIRE_TYPE_DONE);
	sent(IN_X);
	sent(IN_X ".dead");
}

static void who_cannot_go_is_refused_alone(void **state)
{
	(void)state;
	w->broker->conns.rbh_root->features = WIRE_FEATURE_PING;
	send(IN_Y, 0, NO_TAGS);
	refused(RMQ_E_ELSEWHERE);
	INPUT(peek, 1, STATES, 0, 1, slice_str(IN_Y));
	run();
	EXPECT(PEEK_END, peek_end, end);
	assert_int_equal(end.code, RMQ_E_ELSEWHERE);
}

static void who_comes_from_another_machine_is_told_no_socket_of_this_one(void **state)
{
	uint8_t bytes[TAG_U64_SIZE];
	struct writer tags = writer_of(bytes, sizeof(bytes));
	(void)state;
	/* A node of a cluster has a name, also for users of its own. */
	broker_owner(w->broker, 1, slice_str("n1"), 1000);
	send(IN_Y, 0, NO_TAGS);
	moved(IN_Y, "y", slice_str(""), "h:2,unix:/y");
	refused(RMQ_E_ELSEWHERE);
	tags_put_u64(&tags, HELLO_TAG_HOW, HELLO_FAR);
	conn = 2;
	broker_connect(w->broker, 2);
	INPUT(hello, WIRE_HELLO_VERSIONS, 0, 0, slice_of(tags.p, tags.len));
	run();
	expect(WIRE_TYPE_WELCOME);
	send(IN_Y, 0, NO_TAGS);
	moved(IN_Y, "y", slice_str(""), "h:2");
}

static void a_queue_that_is_here_stays_when_others_are_told_to_be_its_home(void **state)
{
	struct slice one;
	(void)state;
	w->broker->cells = NULL;
	sent(IN_Y);
	sent(IN_Y ".dead");
	sent(IN_X);
	assert_int_equal(broker_strays(w->broker, &one), 0);
	broker_cells(w->broker, &list, slice_str("x"));
	sent(IN_Y);
	assert_int_equal(broker_strays(w->broker, &one), 1);
	assert_true(slice_eq(one, slice_str(IN_Y)));
}

/* ---- held ---- */

static void hold(const char *queue)
{
	move_out(MOVE_OUT_HOLD, queue, TOKEN);
	done();
}

static void freeze(const char *queue)
{
	hold(queue);
	move_out(MOVE_OUT_FREEZE, queue, TOKEN);
	done();
}

static uint32_t delivered(void)
{
	struct frame f;
	uint32_t count = 0;
	run();
	while (next(&f))
		count += f.type == WIRE_TYPE_DELIVER;
	return count;
}

static void what_is_held_is_neither_handed_out_nor_taken_out(void **state)
{
	static const uint8_t one[8] = {1}, range[12] = {1, [8] = 1};
	(void)state;
	sent(IN_X);
	sent("other");
	say_hello(2, X);
	hold(IN_X);
	conn = 1;
	INPUT(subscribe, 1, 0, 0, slice_str(IN_X), NO_TAGS);
	INPUT(credit, 1, 10, 1 << 20, 7);
	assert_int_equal(delivered(), 0);
	INPUT(queue_purge, NUMBERS, slice_str(IN_X));
	refused(RMQ_E_BUSY);
	INPUT(queue_remove, NUMBERS, REMOVE_FORCE, slice_str(IN_X));
	refused(RMQ_E_BUSY);
	INPUT(cancel, NUMBERS, slice_str(IN_X), NO_TAGS, slice_of(one, sizeof(one)));
	refused(RMQ_E_BUSY);
	INPUT(transfer, 1, 0, 0, slice_str(IN_X), slice_str("other"), NO_TAGS,
	    slice_of(range, sizeof(range)));
	run();
	EXPECT(TRANSFERRED, transferred, t);
	assert_int_equal(t.code, RMQ_E_BUSY);
	send(IN_X, SEND_REPLACE, NO_TAGS);
	refused(RMQ_E_PAUSED);
	sent(IN_X);
	/* Its dead letters are held with it, also if they are the first ones. */
	sent(IN_X ".dead");
	assert_true(named(IN_X ".dead")->is_held);
	sent(IN_X ".away.dead");
	assert_false(named(IN_X ".away.dead")->is_held);
	/* As long as that connection lasts. */
	broker_disconnect(w->broker, 2);
	assert_int_equal(delivered(), 2);
	assert_false(named(IN_X ".dead")->is_held);
}

static void what_is_frozen_takes_nothing(void **state)
{
	(void)state;
	sent(IN_X);
	say_hello(2, X);
	freeze(IN_X);
	conn = 1;
	send(IN_X, 0, NO_TAGS);
	refused(RMQ_E_PAUSED);
	INPUT(bind, NUMBERS, 0, slice_str(IN_X), slice_str("a"), NO_TAGS);
	refused(RMQ_E_BUSY);
	conn = 2;
	move_out(MOVE_OUT_LET_GO, IN_X, TOKEN);
	done();
	conn = 1;
	run();
	expect(WIRE_TYPE_ROOM);
	sent(IN_X);
}

static void one_connection_alone_moves_a_queue(void **state)
{
	(void)state;
	sent(IN_X);
	hold(IN_X);
	say_hello(2, X);
	move_out(MOVE_OUT_HOLD, IN_X, OTHER);
	refused(RMQ_E_BUSY);
	move_out(MOVE_OUT_FREEZE, IN_X, TOKEN);
	refused(RMQ_E_STALE);
	move_out(MOVE_OUT_GONE, IN_X, TOKEN);
	refused(RMQ_E_STALE);
	conn = 1;
	/* Not before it is frozen, and under one token. */
	move_out(MOVE_OUT_GONE, IN_X, TOKEN);
	refused(RMQ_E_STALE);
	move_out(MOVE_OUT_FREEZE, IN_X, OTHER);
	refused(RMQ_E_STALE);
	move_out(MOVE_OUT_FREEZE, IN_X, TOKEN);
	done();
	move_out(MOVE_OUT_GONE, IN_X, OTHER);
	refused(RMQ_E_STALE);
	assert_non_null(named(IN_X));
}

static void a_hold_that_went_with_its_connection_is_not_confirmed_again(void **state)
{
	uint64_t session;
	(void)state;
	sent(IN_X);
	hold(IN_X);
	session = broker_session(w->broker, 1);
	uint64_t n = LINE->n;
	uint8_t token[SESSION_TOKEN_SIZE], bytes[4 + SESSION_TOKEN_SIZE];
	struct writer tags = writer_of(bytes, sizeof(bytes));
	owner_token(
	    broker_session_find(w->broker, session)->owner, w->broker->secret, session, token);
	tags_put(&tags, HELLO_TAG_TOKEN, slice_of(token, sizeof(token)));
	conn = 2;
	broker_connect(w->broker, 2);
	broker_owner(w->broker, 2, slice_str(""), 1000);
	INPUT(hello, WIRE_HELLO_VERSIONS, session, n - 1, slice_of(tags.p, tags.len));
	/* Also if the old connection is still to be closed. */
	assert_false(named(IN_X)->is_held);
	run();
	expect(WIRE_TYPE_WELCOME);
	INPUT(
	    move_out, n, n - 1, MOVE_OUT_HOLD, slice_str(IN_X), slice_str(""), TOKEN, NO_TAGS);
	failed_with(RMQ_E_STALE);
}

static void a_hold_ends_with_a_connection_that_says_nothing(void **state)
{
	(void)state;
	sent(IN_X);
	say_hello(2, X);
	freeze(IN_X);
	w->lease_ms += HOLD_SILENT_MS - 1;
	run();
	assert_true(named(IN_X)->is_frozen);
	/* Anything will do. */
	INPUT(ping, 5);
	run();
	expect(WIRE_TYPE_PONG);
	w->lease_ms += HOLD_SILENT_MS - 1;
	run();
	assert_true(named(IN_X)->is_frozen);
	/* What it said is heard before its time is up. */
	w->lease_ms += 1;
	begin();
	broker_flush(w->broker);
	assert_true(named(IN_X)->is_frozen);
	assert_true(broker_listens(w->broker));
	run();
	assert_false(named(IN_X)->is_held);
	move_out(MOVE_OUT_GONE, IN_X, TOKEN);
	refused(RMQ_E_STALE);
	conn = 1;
	sent(IN_X);
}

/* ---- gone ---- */

static void what_is_leased_or_was_made_since_does_not_go(void **state)
{
	(void)state;
	sent(IN_X);
	INPUT(subscribe, 1, 0, 0, slice_str(IN_X), NO_TAGS);
	INPUT(credit, 1, 10, 1 << 20, 7);
	assert_int_equal(delivered(), 1);
	say_hello(2, X);
	freeze(IN_X);
	move_out(MOVE_OUT_GONE, IN_X, TOKEN);
	refused(RMQ_E_NOT_EMPTY);
	freeze("new.at.x");
	conn = 1;
	sent("new.at.x");
	conn = 2;
	move_out(MOVE_OUT_GONE, "new.at.x", TOKEN);
	refused(RMQ_E_NOT_EMPTY);
}

static void gone(const char *queue)
{
	freeze(queue);
	move_out(MOVE_OUT_GONE, queue, TOKEN);
	done();
}

static void who_asks_for_what_has_gone_is_told_the_token(void **state)
{
	(void)state;
	sent(IN_X);
	sent(IN_X ".dead");
	gone(IN_X);
	for (int i = 0; i < 3; i++) {
		send(IN_X, 0, NO_TAGS);
		moved(IN_X, "y", TOKEN, "h:2,unix:/y");
		refused(RMQ_E_ELSEWHERE);
		INPUT(settle, NUMBERS, VERB_SETTLE, 0, 0, 7, slice_str(IN_X), slice_str(""),
		    NO_TAGS, slice_of("\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0", 20));
		run();
		moved(IN_X, "y", TOKEN, "h:2,unix:/y");
		refused(RMQ_E_ELSEWHERE);
		assert_null(named(IN_X));
		assert_null(named(IN_X ".dead"));
		/* Nothing of it is left, but where it is. */
		assert_int_equal(w->broker->queues_count, 0);
		if (i == 1)
			checkpoint();
		crash();
	}
}

static void those_who_wait_for_what_goes_are_led_there(void **state)
{
	(void)state;
	sent(IN_X);
	INPUT(watch, 9, WATCH_ABOVE, 5, slice_str(IN_X));
	say_hello(2, X);
	INPUT(subscribe, 1, 0, 0, slice_str(IN_X), NO_TAGS);
	run();
	expect(WIRE_TYPE_SUBSCRIBED);
	say_hello(3, X);
	gone(IN_X);
	conn = 1;
	moved(IN_X, "y", TOKEN, "h:2,unix:/y");
	nothing_more();
	conn = 2;
	moved(IN_X, "y", TOKEN, "h:2,unix:/y");
	EXPECT(SUB_FAILED, sub_failed, m);
	assert_int_equal(m.code, RMQ_E_ELSEWHERE);
}

static void a_command_that_was_taken_is_answered_though_its_queue_has_gone(void **state)
{
	static const uint8_t batch[] = {1, 0, 0, 0, 2, 0, 'm', '\n'};
	(void)state;
	sent(IN_X);
	uint64_t n = LINE->n;
	say_hello(2, X);
	gone(IN_X);
	conn = 1;
	INPUT(send, n, n - 1, 0, 0, slice_str(IN_X), NO_TAGS, slice_of(batch, sizeof(batch)));
	run();
	EXPECT(SENT, sent, m);
	assert_int_equal(m.n, n);
}

/* How many records hold the event. */
static uint32_t records_with(uint8_t type, uint64_t *index)
{
	uint32_t count = 0;
	for (uint64_t i = 1; i <= w->last; i++) {
		struct events_header h;
		struct event_iter it;
		struct event e;
		struct slice payload = slice_of(w->log[i].payload, w->log[i].len);
		if (w->log[i].kind != RECORD_EVENTS || w->log[i].hole)
			continue;
		assert_int_equal(events_open(payload, &h, &it), RMQ_E_OK);
		bool has = false;
		while (!event_next(&it, &e))
			has |= e.type == type;
		count += has;
		if (has)
			*index = i;
	}
	return count;
}

static void that_it_has_gone_is_one_record_and_the_rest_follows_in_pieces(void **state)
{
	uint64_t placed = 0, left = 1;
	struct space_limits limits = w->broker->ledger.limits;
	(void)state;
	for (int i = 0; i < 100; i++)
		sent(IN_X);
	sent(IN_X ".dead");
	limits.turn_steps = 4;
	w->broker->ledger.limits = limits;
	freeze(IN_X);
	move_out(MOVE_OUT_GONE, IN_X, TOKEN);
	/* One turn, and the daemon is no more. */
	begin();
	broker_flush(w->broker);
	store();
	assert_int_equal(records_with(EVENT_TYPE_PLACED, &placed), 1);
	assert_int_equal(records_with(EVENT_TYPE_LEAVE, &left), 1);
	assert_int_equal(placed, left);
	broker_checkpoint(w->broker);
	while (broker_checkpointing(w->broker)) {
		begin();
		broker_flush(w->broker);
		store();
	}
	assert_true(w->broker->queues_count > 0);
	crash();
	assert_null(named(IN_X));
	run();
	assert_int_equal(w->broker->queues_count, 0);
	send(IN_X, 0, NO_TAGS);
	moved(IN_X, "y", TOKEN, "h:2,unix:/y");
}

static const char *name_of(char name[32], int i)
{
	snprintf(name, 32, "q%03d.at.x", i);
	return name;
}

static const char *token_of(char token[CELL_TOKEN_SIZE + 1], int i)
{
	snprintf(token, CELL_TOKEN_SIZE + 1, "token of q%06d", i);
	return token;
}

/* What has gone, and copies that begin and end, before and between pieces of a checkpoint. */
static void places_stand_in_several_pieces_of_a_checkpoint(void **state)
{
	struct space_limits limits = w->broker->ledger.limits;
	char name[32], token[CELL_TOKEN_SIZE + 1];
	(void)state;
	uint32_t pieces = 0;
	limits.turn_bytes = 200;
	w->broker->ledger.limits = limits;
	for (int i = 0; i < 120; i++) {
		/* In no order of names. */
		int k = i * 37 % 120;
		if (i == 60)
			broker_checkpoint(w->broker);
		struct slice is = slice_str(token_of(token, k));
		for (uint8_t step = MOVE_OUT_HOLD; step <= MOVE_OUT_GONE; step++)
			if (step != MOVE_OUT_LET_GO)
				move_out(step, name_of(name, k), is);
		move_in(MOVE_IN_BEGIN, name, is);
		if (i >= 20)
			move_in(MOVE_IN_DROP, name_of(name, (i - 20) * 37 % 120),
			    slice_str(token_of(token, (i - 20) * 37 % 120)));
		if (i < 60) {
			run();
			continue;
		}
		pieces += broker_checkpointing(w->broker);
		begin();
		broker_flush(w->broker);
		store();
	}
	run();
	LINE->out_len = 0;
	assert_true(w->checkpoint > 0 && pieces > 10);
	assert_int_equal(w->broker->places.copies, 20);
	/* Compares all of it. */
	crash();
	for (int i = 0; i < 120; i++) {
		send(name_of(name, i), 0, NO_TAGS);
		moved(name, "y", slice_str(token_of(token, i)), "h:2,unix:/y");
		refused(RMQ_E_ELSEWHERE);
	}
}

static void only_base_names_move_and_only_to_cells_of_the_list(void **state)
{
	(void)state;
	move_out(MOVE_OUT_HOLD, IN_X ".dead", TOKEN);
	refused(RMQ_E_USAGE);
	move_out(MOVE_OUT_HOLD, "sub-1-1", TOKEN);
	refused(RMQ_E_USAGE);
	freeze(IN_X);
	INPUT(
	    move_out, NUMBERS, MOVE_OUT_GONE, slice_str(IN_X), slice_str("z"), TOKEN, NO_TAGS);
	refused(RMQ_E_USAGE);
	INPUT(
	    move_out, NUMBERS, MOVE_OUT_GONE, slice_str(IN_X), slice_str("x"), TOKEN, NO_TAGS);
	refused(RMQ_E_USAGE);
}

static void nothing_of_cells_is_written_below_their_level(void **state)
{
	(void)state;
	broker_level(w->broker, LEVEL_CELLS - 1);
	move_out(MOVE_OUT_HOLD, IN_X, TOKEN);
	refused(RMQ_E_VERSION);
	move_in(MOVE_IN_BEGIN, IN_Y, TOKEN);
	refused(RMQ_E_VERSION);
	move_out(MOVE_OUT_FOLLOW, IN_X, TOKEN);
	refused(RMQ_E_VERSION);
}

/* ---- copies ---- */

/* The copy has a queue with one message, as arrive makes it. */
static struct queue *copy_of(const char *base, struct slice token)
{
	struct slice name = slice_str(base);
	struct queue *q = broker_arriving_queue(w->broker, name, token);
	if (q)
		return q;
	assert_int_equal(broker_arriving_may(w->broker, name, token), RMQ_E_OK);
	begin();
	q = broker_arriving_make(w->broker, name, token, broker_conn(w->broker, conn)->owner);
	run();
	return q;
}

static void begin_copy(const char *base, struct slice token)
{
	move_in(MOVE_IN_BEGIN, base, token);
	done();
	(void)copy_of(base, token);
}

static void a_copy_is_nobodys_until_its_token_opens_it(void **state)
{
	(void)state;
	w = Y;
	begin_copy(IN_X, TOKEN);
	begin_copy(IN_X, OTHER);
	for (int i = 0; i < 2; i++) {
		assert_null(named(IN_X));
		send(IN_X, 0, NO_TAGS);
		moved(IN_X, "x", slice_str(""), "unix:/x,h:1");
		refused(RMQ_E_ELSEWHERE);
		INPUT(came, slice_str(IN_X), slice_str("0000000000000000"), NO_TAGS);
		INPUT(list, 1, 10, slice_str(""), slice_str("*"));
		run();
		expect(WIRE_TYPE_LIST_END);
		checkpoint();
		crash();
	}
	uint32_t id = copy_of(IN_X, TOKEN)->id;
	INPUT(came, slice_str(IN_X ".dead"), TOKEN, NO_TAGS);
	run();
	assert_int_equal(named(IN_X)->id, id);
	sent(IN_X);
	/* The other copy went with that; and who comes later comes to what is there. */
	assert_int_equal(w->broker->queues_count, 1);
	INPUT(came, slice_str(IN_X), TOKEN, NO_TAGS);
	INPUT(came, slice_str(IN_X), OTHER, NO_TAGS);
	move_in(MOVE_IN_OPEN, IN_X, TOKEN);
	done();
	crash();
	sent(IN_X);
	assert_int_equal(queue_total(named(IN_X)), 2);
}

static void copy_step(uint8_t step, struct slice token, const char *from)
{
	uint8_t bytes[4 + RAFT_NAME_MAX];
	struct writer tags = writer_of(bytes, sizeof(bytes));
	tags_put(&tags, MOVE_IN_TAG_FROM, slice_str(from));
	INPUT(move_in, NUMBERS, step, slice_str(IN_X), token, slice_of(tags.p, tags.len));
}

static void what_came_from_another_cell_is_not_dropped(void **state)
{
	static const char *const from[] = {"a", "b", ""};
	static const char *const tokens[] = {
	    "0123456789abcdef", "fedcba9876543210", "0000000000000000"};
	(void)state;
	w = Y;
	for (int i = 0; i < 3; i++) {
		copy_step(MOVE_IN_BEGIN, slice_str(tokens[i]), from[i]);
		done();
	}
	for (int i = 0; i < 3; i++) {
		/* By a mover that has its promise from another one. */
		copy_step(MOVE_IN_DROP, slice_str(tokens[i]), from[(i + 1) % 3]);
		done();
		if (i > 0)
			checkpoint();
		crash();
		assert_int_equal(w->broker->places.copies, 3);
	}
	copy_step(MOVE_IN_DROP, slice_str(tokens[1]), "b");
	done();
	assert_int_equal(w->broker->places.copies, 2);
	copy_step(MOVE_IN_BEGIN, slice_str(tokens[1]), "a");
	done();
	/* Of those from the same cell nobody can be told any more. */
	move_in(MOVE_IN_OPEN, IN_X, slice_str(tokens[0]));
	done();
	assert_int_equal(w->broker->places.copies, 1);
	copy_step(MOVE_IN_DROP, slice_str(tokens[2]), "");
	done();
	assert_int_equal(w->broker->places.copies, 0);
}

static void steps_of_who_has_no_copy_are_refused(void **state)
{
	(void)state;
	w = Y;
	move_in(MOVE_IN_OPEN, IN_X, TOKEN);
	refused(RMQ_E_STALE);
	begin_copy(IN_X, TOKEN);
	begin_copy(IN_X, TOKEN);
	move_in(MOVE_IN_OPEN, IN_X, OTHER);
	refused(RMQ_E_STALE);
	move_in(MOVE_IN_DROP, IN_X, TOKEN);
	done();
	run();
	assert_int_equal(w->broker->queues_count, 0);
	move_in(MOVE_IN_OPEN, IN_X, TOKEN);
	refused(RMQ_E_STALE);
	sent(IN_Y);
	move_in(MOVE_IN_BEGIN, IN_Y, TOKEN);
	refused(RMQ_E_EXISTS);
	for (char c = 'a'; c < 'a' + (char)COPIES_OF_QUEUE; c++) {
		char bytes[CELL_TOKEN_SIZE];
		memset(bytes, c, sizeof(bytes));
		begin_copy(IN_X, slice_of(bytes, sizeof(bytes)));
	}
	move_in(MOVE_IN_BEGIN, IN_X, TOKEN);
	refused(RMQ_E_LIMIT);
}

/* The same, of a new connection of that user. */
static void of_user(uint64_t number, struct world *x, uint32_t uid)
{
	say_hello(number, x);
	broker_disconnect(x->broker, number);
	begin();
	LINE->n = 0;
	broker_connect(x->broker, number);
	broker_owner(x->broker, number, slice_str(""), uid);
	INPUT(hello, WIRE_HELLO_VERSIONS, 0, 0, NO_TAGS);
	run();
	expect(WIRE_TYPE_WELCOME);
}

static void one_user_leaves_holds_and_copies_to_others(void **state)
{
	(void)state;
	/* As if this many connections of that user held queues. */
	struct owner *o = broker_conn(w->broker, 1)->owner;
	o->moves = MOVES_OF_ONE;
	move_out(MOVE_OUT_HOLD, IN_X, TOKEN);
	refused(RMQ_E_LIMIT);
	o->moves--;
	hold(IN_X);
	assert_int_equal(o->moves, MOVES_OF_ONE);
	move_out(MOVE_OUT_HOLD, "other.at.x", TOKEN);
	done();
	move_out(MOVE_OUT_LET_GO, "other.at.x", TOKEN);
	done();
	assert_int_equal(o->moves, MOVES_OF_ONE - 1);
	o->moves = MOVES_OF_ONE;
	of_user(2, X, 1001);
	hold(IN_X);
	o->moves = 0;

	conn = 1;
	w = Y;
	for (uint32_t i = 0; i < COPIES_OF_ONE; i++) {
		char name[NAME_MAX_LEN];
		snprintf(name, sizeof(name), "q%u.at.x", i);
		move_in(MOVE_IN_BEGIN, name, TOKEN);
		done();
	}
	/* Who has begun them is known after a crash, and from a checkpoint. */
	for (int i = 0; i < 2; i++) {
		conn = 1;
		move_in(MOVE_IN_BEGIN, IN_X, TOKEN);
		refused(RMQ_E_LIMIT);
		/* One that stands may be begun again. */
		move_in(MOVE_IN_BEGIN, "q1.at.x", TOKEN);
		done();
		of_user(2, Y, 1001);
		move_in(MOVE_IN_BEGIN, i == 0 ? "a.at.x" : "b.at.x", TOKEN);
		done();
		conn = 1;
		if (i == 0)
			checkpoint();
		crash();
	}
	move_in(MOVE_IN_DROP, "q1.at.x", TOKEN);
	done();
	move_in(MOVE_IN_BEGIN, IN_X, TOKEN);
	done();
}

static void what_came_home_stays_here_when_its_home_changes(void **state)
{
	static struct cells later;
	const char *why;
	char name[NAME_MAX_LEN];
	unsigned i = 0;
	(void)state;
	assert_int_equal(cells_parse(&later, slice_str("x=unix:/x;y+=h:2"), &why), RMQ_E_OK);
	do
		snprintf(name, sizeof(name), "n%u", i++);
	while (!slice_eq(cells_name(&list, cells_home(&list, slice_str(name))), CELL_Y));
	w = Y;
	begin_copy(name, TOKEN);
	move_in(MOVE_IN_OPEN, name, TOKEN);
	done();
	INPUT(queue_remove, NUMBERS, REMOVE_FORCE, slice_str(name));
	done();
	/* The cell that it came from leads here for ever, so that its new home may be that one. */
	broker_cells(w->broker, &later, CELL_Y);
	sent(name);
}

static uint64_t bad; /* a record that cannot be read */

static enum rmq_error around_next(
    void *arg, uint64_t index, uint64_t *found, enum record_kind *kind, struct slice *payload)
{
	enum rmq_error err = memory_log_next(arg, index, found, kind, payload);
	return !err && *found == bad ? RMQ_E_CORRUPT : err;
}

static enum rmq_error around_read(
    void *arg, uint64_t index, enum record_kind *kind, struct slice *payload)
{
	return index == bad ? RMQ_E_CORRUPT : memory_log_read(arg, index, kind, payload);
}

static void a_copy_whose_beginning_cannot_be_read_is_known_by_what_came(void **state)
{
	uint64_t at;
	(void)state;
	w = Y;
	struct broker_log log = {&w->journaled, around_read, around_next};
	move_in(MOVE_IN_BEGIN, IN_X, TOKEN);
	done();
	bad = w->last;
	uint32_t id = copy_of(IN_X, TOKEN)->id;
	broker_free(w->broker);
	w->broker = broker_of(w);
	w->base = w->last;
	assert_int_equal(broker_recover_around(w->broker, &log, w->checkpoint, w->last,
			     (struct wall_time){wall_ms}, &at),
	    RMQ_E_OK);
	w->lease_ms = broker_lease_time(w->broker).ms;
	start();
	broker_cells(w->broker, &list, slice_str("y"));
	run();
	hello();
	move_in(MOVE_IN_OPEN, IN_X, OTHER);
	refused(RMQ_E_STALE);
	move_in(MOVE_IN_OPEN, IN_X, TOKEN);
	done();
	assert_int_equal(named(IN_X)->id, id);
}

static uint32_t places_of(uint64_t of)
{
	return broker_conn(w->broker, of)->owner->places;
}

static void one_user_leaves_places_to_others(void **state)
{
	char name[32];
	(void)state;
	for (int i = 0; i < 3; i++)
		gone(name_of(name, i));
	/* Who has made them is known after a crash, and from a checkpoint. */
	for (int i = 0; i < 3; i++) {
		conn = 1;
		assert_int_equal(places_of(1), 3);
		/* As if it had made this many more. */
		broker_conn(w->broker, 1)->owner->places += PLACES_OF_ONE - 3;
		move_out(MOVE_OUT_HOLD, IN_X, TOKEN);
		refused(RMQ_E_LIMIT);
		move_in(MOVE_IN_BEGIN, IN_X, TOKEN);
		refused(RMQ_E_LIMIT);
		/* What has a place moves on, … */
		begin_copy(name_of(name, i), OTHER);
		move_in(MOVE_IN_OPEN, name, OTHER);
		done();
		broker_conn(w->broker, 1)->owner->places -= PLACES_OF_ONE - 3;
		/* … whoever does it, and the place stays with who made it. */
		of_user(2, X, 1001);
		gone(name);
		assert_int_equal(places_of(2), 0);
		conn = 1;
		if (i == 1)
			checkpoint();
		crash();
	}
	of_user(2, X, 1001);
	gone(IN_X);
	assert_int_equal(places_of(2), 1);
	/* Of all of them there may be so many. */
	w->broker->places.count += PLACES_MAX - 4;
	move_out(MOVE_OUT_HOLD, "other.at.x", TOKEN);
	refused(RMQ_E_LIMIT);
	w->broker->places.count -= PLACES_MAX - 4;
}

static void a_place_is_of_who_began_the_copy_not_of_who_was_led_there(void **state)
{
	(void)state;
	w = Y;
	begin_copy(IN_X, TOKEN);
	assert_int_equal(places_of(1), 0);
	of_user(2, Y, 1001);
	move_in(MOVE_IN_OPEN, IN_X, TOKEN);
	done();
	assert_int_equal(places_of(1), 1);
	assert_int_equal(places_of(2), 0);
}

static void nothing_is_made_beside_a_copy(void **state)
{
	(void)state;
	w = Y;
	begin_copy(IN_Y, TOKEN);
	send(IN_Y, 0, NO_TAGS);
	refused(RMQ_E_PAUSED);
	INPUT(subscribe, 1, 0, 0, slice_str(IN_Y), NO_TAGS);
	run();
	EXPECT(SUB_FAILED, sub_failed, m);
	assert_int_equal(m.code, RMQ_E_PAUSED);
	/* That nobody holds it is told; but what comes does not go. */
	move_out(MOVE_OUT_HOLD, IN_Y, OTHER);
	done();
	move_out(MOVE_OUT_FREEZE, IN_Y, OTHER);
	refused(RMQ_E_PAUSED);
	INPUT(
	    move_out, NUMBERS, MOVE_OUT_GONE, slice_str(IN_Y), slice_str("x"), OTHER, NO_TAGS);
	refused(RMQ_E_PAUSED);
	move_out(MOVE_OUT_LET_GO, IN_Y, OTHER);
	done();
	move_in(MOVE_IN_DROP, IN_Y, TOKEN);
	done();
	sent(IN_Y);
}

static void a_copy_that_has_moved_on_is_followed(void **state)
{
	(void)state;
	w = Y;
	begin_copy(IN_X, TOKEN);
	move_in(MOVE_IN_OPEN, IN_X, TOKEN);
	done();
	move_out(MOVE_OUT_HOLD, IN_X, OTHER);
	done();
	move_out(MOVE_OUT_FREEZE, IN_X, OTHER);
	done();
	INPUT(
	    move_out, NUMBERS, MOVE_OUT_GONE, slice_str(IN_X), slice_str("x"), OTHER, NO_TAGS);
	done();
	move_in(MOVE_IN_OPEN, IN_X, TOKEN);
	run();
	moved(IN_X, "x", OTHER, "unix:/x,h:1");
	refused(RMQ_E_ELSEWHERE);
	/* It comes back, under a token of its own. */
	begin_copy(IN_X, slice_str("ABCDEFGHIJKLMNOP"));
	INPUT(came, slice_str(IN_X), OTHER, NO_TAGS);
	run();
	assert_null(named(IN_X));
	move_in(MOVE_IN_OPEN, IN_X, slice_str("ABCDEFGHIJKLMNOP"));
	done();
	sent(IN_X);
}

/* ---- bindings ---- */

static uint64_t total(const char *queue)
{
	return named(queue) ? queue_total(named(queue)) : 0;
}

static void topic(const char *name)
{
	send(name, SEND_TOPIC, NO_TAGS);
	expect(WIRE_TYPE_SENT);
}

static void what_a_queue_is_bound_to_stays_with_the_cell_that_it_left(void **state)
{
	(void)state;
	INPUT(bind, NUMBERS, BIND_CREATE, slice_str(IN_X), slice_str("a.*"), NO_TAGS);
	done();
	INPUT(bind, NUMBERS, BIND_CREATE, slice_str(IN_X ".away"), slice_str("old"), NO_TAGS);
	done();
	/* As long as it is here what is for other cells hears nothing. */
	topic("a.b");
	send("old", SEND_TOPIC, NO_TAGS);
	refused(RMQ_E_UNROUTED);
	freeze(IN_X);
	send("a.b", SEND_TOPIC, NO_TAGS);
	refused(RMQ_E_PAUSED);
	crash();
	topic("a.b");
	assert_int_equal(total(IN_X), 2);
	assert_int_equal(total(IN_X ".away"), 0);
	gone(IN_X);
	topic("a.b");
	assert_int_equal(total(IN_X ".away"), 1);
	send("old", SEND_TOPIC, NO_TAGS);
	refused(RMQ_E_UNROUTED);
}

static void bound(const char *queue, const char *pattern)
{
	INPUT(bind, NUMBERS, BIND_CREATE, slice_str(queue), slice_str(pattern), NO_TAGS);
	done();
}

static void what_was_bound_for_a_move_that_failed_is_so_no_more(void **state)
{
	(void)state;
	bound(IN_X, "a.*");
	bound(IN_X, "b");
	say_hello(2, X);
	freeze(IN_X);
	assert_int_equal(named(IN_X ".away")->bindings_count, 2);
	/* Let go and frozen at once, it stays so. */
	move_out(MOVE_OUT_LET_GO, IN_X, TOKEN);
	move_out(MOVE_OUT_HOLD, IN_X, TOKEN);
	move_out(MOVE_OUT_FREEZE, IN_X, TOKEN);
	run();
	assert_int_equal(named(IN_X ".away")->bindings_count, 2);
	broker_disconnect(w->broker, 2);
	run();
	assert_int_equal(named(IN_X ".away")->bindings_count, 0);
	assert_int_equal(named(IN_X)->bindings_count, 2);
	/* What somebody has bound is not the mover's. */
	conn = 1;
	bound(IN_X ".away", "c");
	freeze(IN_X);
	move_out(MOVE_OUT_LET_GO, IN_X, TOKEN);
	done();
	run();
	assert_int_equal(named(IN_X ".away")->bindings_count, 2);
}

static void what_hears_nothing_counts_not_among_the_queues_of_a_topic(void **state)
{
	char name[NAME_MAX_LEN];
	(void)state;
	for (uint32_t i = 0; i < TOPIC_QUEUES_MAX; i++) {
		snprintf(name, sizeof(name), "q%u.at.x", i);
		bound(name, "a.b");
	}
	freeze("q0.at.x");
	crash();
	assert_int_equal(named("q0.at.x.away")->bindings_count, 1);
	topic("a.b");
	assert_int_equal(total("q0.at.x"), 1);
}

static void a_queue_does_not_go_where_there_is_no_room_for_what_stays(void **state)
{
	(void)state;
	bound(IN_X, "a");
	hold(IN_X);
	uint32_t queues = w->broker->queues_count;
	w->broker->queues_count = QUEUES_MAX;
	move_out(MOVE_OUT_FREEZE, IN_X, TOKEN);
	refused(RMQ_E_LIMIT);
	w->broker->queues_count = queues;
	broker_room(w->broker, w->broker->stored_n, 0);
	move_out(MOVE_OUT_FREEZE, IN_X, TOKEN);
	refused(RMQ_E_DISK_FULL);
	assert_false(named(IN_X)->is_frozen);
	/* A name alone takes room, and what holds messages makes some. */
	hold("new.at.x");
	move_out(MOVE_OUT_FREEZE, "new.at.x", TOKEN);
	done();
	move_out(MOVE_OUT_GONE, "new.at.x", TOKEN);
	refused(RMQ_E_DISK_FULL);
	broker_room(w->broker, w->broker->stored_n, 1 << 30);
	sent("full.at.x");
	broker_room(w->broker, w->broker->stored_n, 0);
	gone("full.at.x");
}

static void what_is_bound_for_a_queue_that_comes_is_bound_to_it(void **state)
{
	(void)state;
	w = Y;
	INPUT(bind, NUMBERS, BIND_CREATE, slice_str(IN_X ".away"), slice_str("a.*"), NO_TAGS);
	done();
	begin_copy(IN_X, TOKEN);
	topic("a.b");
	assert_int_equal(total(IN_X ".away"), 1);
	move_in(MOVE_IN_OPEN, IN_X, TOKEN);
	done();
	topic("a.b");
	assert_int_equal(total(IN_X ".away"), 1);
	assert_int_equal(total(IN_X), 1);
	assert_int_equal(named(IN_X ".away")->bindings_count, 0);
	crash();
	topic("a.c");
	assert_int_equal(total(IN_X), 2);
}

/* ---- what is for other cells ---- */

static struct slice further_to(const char *queue)
{
	static uint8_t bytes[64];
	struct writer tags = writer_of(bytes, sizeof(bytes));
	uint8_t name[40];
	struct writer n = writer_of(name, sizeof(name));
	put_str(&n, slice_str(queue));
	tags_put(&tags, SEND_TAG_QUEUES, slice_of(n.p, n.len));
	return slice_of(tags.p, tags.len);
}

static void a_further_queue_of_another_cell_is_served_by_one_here(void **state)
{
	static uint8_t piece[CHUNK_SEVERAL_MIN];
	(void)state;
	sent(IN_X);
	broker_create_explicitly(w->broker);
	send(IN_X, 0, further_to(IN_Y));
	expect(WIRE_TYPE_SENT);
	assert_null(named(IN_Y));
	assert_int_equal(total(IN_Y ".away"), 1);
	INPUT(send, NUMBERS, SEND_CHUNK | SEND_MORE, 0, slice_str(IN_X), further_to(IN_Y),
	    slice_of(piece, sizeof(piece)));
	INPUT(send, LINE->n, LINE->n - 1, SEND_CHUNK, 1, slice_str(IN_X), NO_TAGS,
	    slice_str("end"));
	run();
	expect(WIRE_TYPE_SENT);
	assert_null(named(IN_Y));
	assert_int_equal(total(IN_Y ".away"), 2);
	assert_int_equal(total(IN_X), 3);
}

static void a_result_and_a_dead_letter_for_another_cell_are_kept_here(void **state)
{
	uint8_t entry[SETTLE_ENTRY_SIZE + 8];
	struct writer e = writer_of(entry, sizeof(entry));
	uint64_t lease = 0;
	struct frame f;
	(void)state;
	INPUT(queue_create, NUMBERS, SETTING_DEAD_LETTER, slice_str(IN_X), 0, 0, 0, 0, 0, 0,
	    slice_str(IN_Y), NO_TAGS);
	done();
	sent(IN_X);
	sent(IN_X);
	INPUT(subscribe, 1, 0, 0, slice_str(IN_X), NO_TAGS);
	INPUT(credit, 1, 10, 1 << 20, 7);
	run();
	while (next(&f)) {
		struct wire_deliver m;
		if (f.type == WIRE_TYPE_DELIVER && wire_deliver_decode(f.payload, &m))
			lease = m.lease;
	}
	settle_entry_put(&e, &(struct settle_entry){lease, 1, 1});
	put_rest(&e, slice_of("\1\0\0\0\2\0m\n", 8));
	INPUT(settle_send, NUMBERS, 0, 7, slice_str(IN_X), slice_str("r.at.y"), 1, NO_TAGS,
	    slice_of(e.p, e.len));
	run();
	expect(WIRE_TYPE_SETTLE_SENT);
	assert_int_equal(total("r.at.y.away"), 1);
	e.len = 0;
	settle_entry_put(&e, &(struct settle_entry){lease, 2, 1});
	INPUT(settle, NUMBERS, VERB_DEAD, 0, 0, 7, slice_str(IN_X), slice_str("bad"), NO_TAGS,
	    slice_of(e.p, e.len));
	done();
	assert_int_equal(total(IN_Y ".away"), 1);
	assert_int_equal(total(IN_X), 0);
}

/* ---- what is known ---- */

static void follow(const char *cell, struct slice was, struct slice token)
{
	uint8_t bytes[64];
	struct writer tags = writer_of(bytes, sizeof(bytes));
	tags_put(&tags, MOVE_OUT_TAG_WAS, was);
	INPUT(move_out, NUMBERS, MOVE_OUT_FOLLOW, slice_str(IN_X), slice_str(cell), token,
	    slice_of(tags.p, tags.len));
}

static void leads(const char *cell, struct slice token, const char *servers)
{
	send(IN_X, 0, NO_TAGS);
	moved(IN_X, cell, token, servers);
	refused(RMQ_E_ELSEWHERE);
}

/* What a client calls X, or Y, may be another one for all others. */
static void a_daemon_that_knows_no_cells_lets_no_queue_go_and_takes_none(void **state)
{
	(void)state;
	sent(IN_X);
	w->broker->cells = NULL;
	move_out(MOVE_OUT_HOLD, IN_X, TOKEN);
	refused(RMQ_E_CONFIG);
	move_out(MOVE_OUT_GONE, IN_X, TOKEN);
	refused(RMQ_E_STALE);
	follow("y", TOKEN, OTHER);
	refused(RMQ_E_CONFIG);
	sent(IN_X);
	w = Y;
	w->broker->cells = NULL;
	move_in(MOVE_IN_BEGIN, IN_X, TOKEN);
	refused(RMQ_E_CONFIG);
}

/* Whoever read another token read another place, which may be a later one. */
static void a_place_leads_on_to_another_cell_only_if_it_is_what_was_read(void **state)
{
	static struct cells three;
	const char *why;
	(void)state;
	assert_int_equal(cells_parse(&three, slice_str("x=h:1;y=h:2;z=h:3"), &why), RMQ_E_OK);
	broker_cells(w->broker, &three, slice_str("x"));
	/* It has not left. */
	sent(IN_X);
	follow("z", TOKEN, OTHER);
	done();
	sent(IN_X);
	gone(IN_X);
	follow("z", OTHER, OTHER);
	done();
	leads("y", TOKEN, "h:2");
	follow("x", TOKEN, OTHER);
	refused(RMQ_E_USAGE);
	follow("w", TOKEN, OTHER);
	refused(RMQ_E_USAGE);
	follow("z", slice_str(""), OTHER);
	refused(RMQ_E_USAGE);
	INPUT(move_out, NUMBERS, MOVE_OUT_FOLLOW, slice_str(IN_X), slice_str("z"), OTHER,
	    NO_TAGS);
	refused(RMQ_E_USAGE);
	leads("y", TOKEN, "h:2");
	follow("z", TOKEN, OTHER);
	done();
	leads("z", OTHER, "h:3");
	/* It is durable, and what comes late does nothing. */
	crash();
	broker_cells(w->broker, &three, slice_str("x"));
	say_hello(3, X);
	follow("y", TOKEN, TOKEN);
	done();
	leads("z", OTHER, "h:3");
	/* Nor does it once the queue is back. */
	move_in(MOVE_IN_BEGIN, IN_X, TOKEN);
	done();
	move_in(MOVE_IN_OPEN, IN_X, TOKEN);
	done();
	follow("y", OTHER, TOKEN);
	done();
	sent(IN_X);
}

static void the_cells_and_the_places_are_told(void **state)
{
	(void)state;
	INPUT(cells, 3, NO_TAGS);
	run();
	EXPECT(CELLS_ARE, cells_are, m);
	assert_true(slice_eq(m.self, slice_str("x")));
	assert_true(slice_eq(m.list, slice_str("x=unix:/x,h:1;y=h:2,unix:/y")));
	gone("a.at.x");
	gone("b.at.x");
	INPUT(places, 4, 1, slice_str(""), NO_TAGS);
	run();
	EXPECT(PLACE_IS, place_is, a);
	assert_true(slice_eq(a.name, slice_str("a.at.x")));
	assert_true(slice_eq(a.cell, slice_str("y")));
	assert_int_equal(a.state, PLACE_AWAY);
	EXPECT(PLACES_END, places_end, end);
	assert_true(end.more);
	INPUT(places, 5, 9, end.after, NO_TAGS);
	run();
	EXPECT(PLACE_IS, place_is, b);
	assert_true(slice_eq(b.name, slice_str("b.at.x")));
	EXPECT(PLACES_END, places_end, last);
	assert_false(last.more);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_cells, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(who_asks_for_what_lives_elsewhere_is_led_there),
	    TEST(who_cannot_go_is_refused_alone),
	    TEST(who_comes_from_another_machine_is_told_no_socket_of_this_one),
	    TEST(a_queue_that_is_here_stays_when_others_are_told_to_be_its_home),
	    TEST(what_is_held_is_neither_handed_out_nor_taken_out),
	    TEST(what_is_frozen_takes_nothing),
	    TEST(one_connection_alone_moves_a_queue),
	    TEST(a_hold_that_went_with_its_connection_is_not_confirmed_again),
	    TEST(a_hold_ends_with_a_connection_that_says_nothing),
	    TEST(what_is_leased_or_was_made_since_does_not_go),
	    TEST(who_asks_for_what_has_gone_is_told_the_token),
	    TEST(those_who_wait_for_what_goes_are_led_there),
	    TEST(a_command_that_was_taken_is_answered_though_its_queue_has_gone),
	    TEST(that_it_has_gone_is_one_record_and_the_rest_follows_in_pieces),
	    TEST(places_stand_in_several_pieces_of_a_checkpoint),
	    TEST(a_daemon_that_knows_no_cells_lets_no_queue_go_and_takes_none),
	    TEST(only_base_names_move_and_only_to_cells_of_the_list),
	    TEST(nothing_of_cells_is_written_below_their_level),
	    TEST(a_copy_is_nobodys_until_its_token_opens_it),
	    TEST(what_came_from_another_cell_is_not_dropped),
	    TEST(steps_of_who_has_no_copy_are_refused),
	    TEST(one_user_leaves_holds_and_copies_to_others),
	    TEST(one_user_leaves_places_to_others),
	    TEST(a_place_is_of_who_began_the_copy_not_of_who_was_led_there),
	    TEST(what_came_home_stays_here_when_its_home_changes),
	    TEST(a_copy_whose_beginning_cannot_be_read_is_known_by_what_came),
	    TEST(nothing_is_made_beside_a_copy),
	    TEST(a_copy_that_has_moved_on_is_followed),
	    TEST(what_a_queue_is_bound_to_stays_with_the_cell_that_it_left),
	    TEST(what_was_bound_for_a_move_that_failed_is_so_no_more),
	    TEST(what_hears_nothing_counts_not_among_the_queues_of_a_topic),
	    TEST(a_queue_does_not_go_where_there_is_no_room_for_what_stays),
	    TEST(what_is_bound_for_a_queue_that_comes_is_bound_to_it),
	    TEST(a_further_queue_of_another_cell_is_served_by_one_here),
	    TEST(a_result_and_a_dead_letter_for_another_cell_are_kept_here),
	    TEST(a_place_leads_on_to_another_cell_only_if_it_is_what_was_read),
	    TEST(the_cells_and_the_places_are_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
