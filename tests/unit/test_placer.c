/* Saying where a queue lives: the placer and its clients, with the queue cores of three cells. */
#define WORLDS 3
#include "core/client/placer.h"

#include <stdio.h>

#include "two_cells.h"

#define Z      (&worlds[2])
#define BY     1 /* the connections of whoever uses a queue */
#define LINE_P 2 /* … and, of one person after the other, of those who say where it lives */
#define IN_X   "q.at.x"
#define NOW    ((struct mono_time){wall_ms})
#define ROUNDS 90 /* more than any placing takes */

static struct cells list;

/* Someone who says where a queue lives. */
struct person {
	struct placer *placer;
	struct client *clients[WORLDS];
	uint64_t line;
	bool open[WORLDS];
	bool ended;
} people[2];

static void know_cells(void)
{
	const char *why;
	assert_int_equal(cells_parse(&list, slice_str("x=h:1;y=h:2;z=h:3"), &why), RMQ_E_OK);
	broker_cells(w->broker, &list, cells_name(&list, (uint32_t)(w - worlds)));
}

/* Its disk is empty, and its daemon new. */
static void wipe(struct world *of)
{
	w = of;
	conn = BY;
	broker_free(w->broker);
	for (uint64_t i = 1; i <= w->appended; i++)
		free(w->log[i].payload);
	memset(w->log, 0, sizeof(w->log));
	w->last = w->appended = w->base = w->barrier = w->checkpoint = 0;
	w->broker = broker_of(w);
	start();
	hello();
	know_cells();
}

static int setup_cells(void **state)
{
	setup(state);
	memset(people, 0, sizeof(people));
	for (w = worlds; w < worlds + WORLDS; w++)
		know_cells();
	w = X;
	return 0;
}

/* ---- somebody who uses the queue ---- */

static void send(struct world *of)
{
	static const uint8_t batch[] = {1, 0, 0, 0, 2, 0, 'm', '\n'};
	w = of;
	conn = BY;
	INPUT(send, NUMBERS, 0, 0, slice_str(IN_X), NO_TAGS, slice_of(batch, sizeof(batch)));
	run();
}

/* Whether it was stored there. */
static bool sent(struct world *of)
{
	struct frame f;
	bool stored = false;
	send(of);
	while (next(&f))
		stored |= f.type == WIRE_TYPE_SENT;
	if (!stored)
		LINE->n--;
	return stored;
}

static void move_out(struct world *of, uint8_t step, const char *to, struct slice token)
{
	w = of;
	conn = BY;
	INPUT(move_out, NUMBERS, step, slice_str(IN_X), slice_str(to), token, NO_TAGS);
	done();
}

static void move_in(struct world *of, uint8_t step, struct slice token)
{
	w = of;
	conn = BY;
	INPUT(move_in, NUMBERS, step, slice_str(IN_X), token, NO_TAGS);
	done();
}

/* Its messages stay behind: nobody asks for them here. */
static void moved(struct world *from, struct world *to, struct slice token)
{
	static const char *const names[] = {"x", "y", "z"};
	move_out(from, MOVE_OUT_HOLD, "", token);
	move_in(to, MOVE_IN_BEGIN, token);
	move_out(from, MOVE_OUT_FREEZE, "", token);
	move_out(from, MOVE_OUT_GONE, names[to - worlds], token);
	move_in(to, MOVE_IN_OPEN, token);
}

/* Where a cell leads: 'x', 'y', 'z', or '-' if the queue is there, or would be made. */
static char leads(struct world *of)
{
	struct whereabouts at = broker_where(of->broker, slice_str(IN_X));
	return at.here ? '-' : (char)at.cell.data[0];
}

#define assert_leads(text) \
	do { \
		char is_[4] = {leads(X), leads(Y), leads(Z), 0}; \
		assert_string_equal(is_, text); \
	} while (0)

/* ---- who says where it lives ---- */

static struct person *placing(unsigned who, uint32_t to, uint32_t lost)
{
	struct person *p = &people[who];
	struct placer_config config = {.queue = slice_str(IN_X), .cells = &list, .to = to};
	struct client_config of = {
	    .servers = 1, .window = 16, .timeout_ms = 30000, .seed = 7, .pinned = true};
	uint8_t token[CELL_TOKEN_SIZE];
	*p = (struct person){.placer = placer_new(&config), .line = LINE_P + who};
	for (uint32_t i = 0; i < WORLDS; i++) {
		struct client_host host = placer_host(p->placer, i);
		if (i != lost)
			p->clients[i] = client_new(&of, &host);
	}
	memset(token, 'A' + (int)who, sizeof(token));
	placer_begin(p->placer, NOW, p->clients, token);
	return p;
}

static void leave(struct person *p)
{
	for (uint32_t i = 0; i < WORLDS; i++) {
		if (p->open[i])
			broker_disconnect(worlds[i].broker, p->line);
		w = &worlds[i];
		run();
		client_free(p->clients[i]);
		p->clients[i] = NULL;
		p->open[i] = false;
	}
	placer_free(p->placer);
	p->placer = NULL;
}

static int teardown_all(void **state)
{
	for (unsigned i = 0; i < 2; i++)
		if (people[i].placer)
			leave(&people[i]);
	return teardown(state);
}

/* What one client has to say comes to the cell, and its answer back. */
static bool exchange(struct person *p, uint32_t i)
{
	static uint8_t bytes[1 << 16];
	struct client *c = p->clients[i];
	struct client_target target;
	struct slice pieces[CLIENT_PIECES];
	size_t len = 0, used, count;
	w = &worlds[i];
	conn = p->line;
	if (client_connect(c, NOW, &target)) {
		LINE->out_len = 0;
		broker_connect(w->broker, conn);
		broker_owner(w->broker, conn, slice_str(""), 1000);
		client_connected(c, NOW, 0);
		p->open[i] = true;
	}
	while ((count = client_output(c, NOW, pieces, CLIENT_PIECES)) > 0)
		for (size_t k = 0; k < count; k++) {
			memcpy(bytes + len, pieces[k].data, pieces[k].len);
			len += pieces[k].len;
			client_wrote(c, pieces[k].len);
		}
	for (size_t at = 0; at < len; at += used) {
		struct frame f;
		assert_int_equal(frame_parse(slice_of(bytes + at, len - at), &f, &used), 0);
		begin();
		broker_frame(w->broker, conn, &f);
	}
	run();
	bool some = len > 0 || LINE->out_len > 0;
	client_input(c, NOW, slice_of(LINE->out, LINE->out_len), &used);
	assert_int_equal(used, LINE->out_len);
	LINE->out_len = 0;
	return some;
}

/* False: it has come to its end. */
static bool turn(struct person *p)
{
	placer_turn(p->placer, NOW);
	for (uint32_t i = 0; i < WORLDS; i++)
		if (p->clients[i])
			exchange(p, i);
	placer_turn(p->placer, NOW);
	return placer_state(p->placer) == PLACER_GOES;
}

static enum placer_state ended(struct person *p)
{
	for (unsigned i = 0; i < ROUNDS && turn(p); i++)
		;
	return placer_state(p->placer);
}

static void placed(uint32_t to)
{
	struct person *p = placing(0, to, CELLS_NONE);
	assert_int_equal(ended(p), PLACER_DONE);
	assert_int_equal(placer_placed(p->placer), PLACER_PLACED);
	leave(p);
}

static void refused(uint32_t to, enum rmq_error code, const char *text)
{
	struct person *p = placing(0, to, CELLS_NONE);
	struct slice why;
	uint32_t cell;
	char said[1024];
	assert_int_equal(ended(p), PLACER_FAILED);
	assert_int_equal(placer_error(p->placer, &why, &cell), code);
	snprintf(said, sizeof(said), "%.*s", (int)why.len, (const char *)why.data);
	assert_string_equal(said, text);
	assert_int_equal(placer_placed(p->placer), PLACER_NOT);
	leave(p);
}

/* ---- tests ---- */

#define T1 slice_str("1111111111111111")
#define T2 slice_str("2222222222222222")

/* Nobody finds it: x leads to y, which leads back, as it is at home in x. */
static void lose(void)
{
	sent(X);
	moved(X, Y, T1);
	wipe(Y);
	assert_leads("yxx");
}

static void a_queue_whose_cell_was_wiped_lives_there_again(void **state)
{
	(void)state;
	lose();
	placed(1);
	assert_leads("y-x");
	assert_true(sent(Y));
}

static void or_in_another_cell(void **state)
{
	(void)state;
	lose();
	placed(2);
	assert_leads("zx-");
	assert_true(sent(Z));
}

static void or_at_home(void **state)
{
	(void)state;
	lose();
	placed(0);
	assert_leads("-xx");
	assert_true(sent(X));
}

static void every_way_leads_there(void **state)
{
	(void)state;
	sent(X);
	moved(X, Z, T1);
	moved(Z, Y, T2);
	wipe(Y);
	assert_leads("zxy");
	placed(0);
	assert_leads("-xx");
}

static void a_home_that_was_wiped_leads_to_what_lives_elsewhere(void **state)
{
	(void)state;
	sent(X);
	moved(X, Y, T1);
	assert_true(sent(Y));
	wipe(X);
	assert_leads("--x");
	placed(1);
	assert_leads("y-x");
	assert_non_null(broker_queue_named(Y->broker, slice_str(IN_X)));
}

/* One that was there before its cell knew of others. */
static void a_queue_that_has_no_place_gets_one(void **state)
{
	(void)state;
	w = Y;
	broker_cells(w->broker, NULL, slice_str(""));
	assert_true(sent(Y));
	w = Y;
	know_cells();
	assert_leads("--x");
	/* Who only makes a way shorter has not asked all cells. */
	w = Y;
	conn = BY;
	INPUT(move_in, NUMBERS, MOVE_IN_OPEN, slice_str(IN_X), T1, NO_TAGS);
	failed_with(RMQ_E_STALE);
	LINE->n--;
	placed(1);
	assert_leads("y-x");
	/* Also once it is gone. */
	w = Y;
	conn = BY;
	INPUT(queue_remove, NUMBERS, REMOVE_FORCE, slice_str(IN_X));
	done();
	assert_leads("y-x");
}

static void what_another_cell_has_is_not_left_behind(void **state)
{
	(void)state;
	sent(X);
	moved(X, Y, T1);
	assert_true(sent(Y));
	wipe(X);
	assert_true(sent(X));
	refused(1, RMQ_E_EXISTS, "cell x has such a queue");
	refused(2, RMQ_E_EXISTS, "cell x has such a queue, cell y has such a queue");
	assert_leads("--x");
}

static void a_copy_that_another_cell_has_is_not_left_behind(void **state)
{
	(void)state;
	lose();
	move_in(Z, MOVE_IN_BEGIN, T2);
	refused(1, RMQ_E_EXISTS, "cell z has a copy of it");
	move_in(Z, MOVE_IN_BEGIN, T1);
	refused(1, RMQ_E_EXISTS, "cell z has copies of it");
	refused(2, RMQ_E_EXISTS, "cell z has copies of it");
	assert_leads("yxx");
}

static void a_copy_that_is_there_is_opened(void **state)
{
	(void)state;
	lose();
	move_in(Z, MOVE_IN_BEGIN, T2);
	struct person *p = placing(0, 2, CELLS_NONE);
	assert_int_equal(ended(p), PLACER_DONE);
	assert_true(placer_opened(p->placer));
	leave(p);
	assert_leads("zx-");
	assert_int_equal(Z->broker->places.copies, 0);
}

static void a_lost_cell_is_not_asked(void **state)
{
	(void)state;
	sent(X);
	moved(X, Y, T1);
	struct person *p = placing(0, 2, 1);
	assert_int_equal(ended(p), PLACER_DONE);
	leave(p);
	/* Should it come back, who begins there finds its own, and nobody else does. */
	assert_leads("z--");
}

static void a_queue_that_moves_is_not_placed(void **state)
{
	(void)state;
	move_out(X, MOVE_OUT_HOLD, "", T1);
	refused(1, RMQ_E_BUSY, "another client moves the queue");
	assert_leads("-xx");
	assert_int_equal(Y->broker->places.copies, 0);
}

/* Whenever somebody sends to it in a cell in which it is not to live. */
static void what_is_made_meanwhile_is_not_lost(void **state)
{
	for (unsigned when = 0; when < ROUNDS; when++) {
		bool stored = false;
		wipe(X), wipe(Y), wipe(Z);
		struct person *p = placing(0, 1, CELLS_NONE);
		for (unsigned i = 0; i < ROUNDS; i++) {
			if (i == when)
				stored = sent(X);
			if (!turn(p))
				break;
		}
		if (stored) {
			assert_int_equal(placer_state(p->placer), PLACER_FAILED);
			assert_leads("-xx");
			assert_non_null(broker_queue_named(X->broker, slice_str(IN_X)));
		}
		leave(p);
	}
	(void)state;
}

/* From a cell that is still to be asked to one that was. */
static void what_moves_while_all_are_asked_is_seen(void **state)
{
	(void)state;
	for (unsigned when = 0; when < ROUNDS; when++) {
		bool has_moved = false;
		wipe(X), wipe(Y), wipe(Z);
		sent(X);
		moved(X, Z, T1);
		assert_true(sent(Z));
		struct person *p = placing(0, 0, CELLS_NONE);
		for (unsigned i = 0; i < ROUNDS; i++) {
			if (i == when) {
				moved(Z, Y, T2);
				has_moved = sent(Y);
			}
			if (!turn(p))
				break;
		}
		assert_int_equal(placer_state(p->placer), PLACER_FAILED);
		assert_leads(has_moved ? "z-y" : "zx-");
		leave(p);
	}
}

/* In turns, of which the second one has some more than the first one at first. */
static void two_at_once(uint32_t a, uint32_t b)
{
	for (unsigned more = 0; more < ROUNDS; more++) {
		wipe(X), wipe(Y), wipe(Z);
		lose();
		struct person *one = placing(0, a, CELLS_NONE);
		struct person *two = placing(1, b, CELLS_NONE);
		unsigned i = 0;
		for (bool both = true; both && i < 3 * ROUNDS; i++) {
			both = turn(two);
			if (i >= more)
				both |= turn(one);
		}
		bool first = ended(one) == PLACER_DONE, second = ended(two) == PLACER_DONE;
		leave(one);
		leave(two);
		/* Where one of them says; both have, if one came after the other. */
		unsigned there = 0;
		for (unsigned k = 0; k < WORLDS; k++)
			there += leads(&worlds[k]) == '-';
		assert_int_equal(there, first || second ? 1 : 0);
		if (there > 0)
			assert_true((first && leads(&worlds[a]) == '-') ||
				    (second && leads(&worlds[b]) == '-'));
	}
}

static void of_two_at_once_one_decides(void **state)
{
	(void)state;
	two_at_once(1, 2);
}

static void of_two_at_once_one_decides_also_where_it_is_at_home(void **state)
{
	(void)state;
	two_at_once(0, 2);
	two_at_once(2, 0);
}

/* Whenever the first one dies. */
static void done_again_it_goes_on(void **state)
{
	static const uint32_t there[] = {0, 1, 2};
	(void)state;
	for (unsigned k = 0; k < 3; k++)
		for (unsigned when = 0; when < ROUNDS; when++) {
			wipe(X), wipe(Y), wipe(Z);
			lose();
			struct person *p = placing(0, there[k], CELLS_NONE);
			for (unsigned i = 0; i < when && turn(p); i++)
				;
			leave(p);
			placed(there[k]);
			assert_int_equal(leads(&worlds[there[k]]), '-');
			assert_int_equal(worlds[there[k]].broker->places.copies, 0);
		}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_cells, teardown_all)
	const struct CMUnitTest tests[] = {
	    TEST(a_queue_whose_cell_was_wiped_lives_there_again),
	    TEST(or_in_another_cell),
	    TEST(or_at_home),
	    TEST(every_way_leads_there),
	    TEST(a_home_that_was_wiped_leads_to_what_lives_elsewhere),
	    TEST(a_queue_that_has_no_place_gets_one),
	    TEST(what_another_cell_has_is_not_left_behind),
	    TEST(a_copy_that_another_cell_has_is_not_left_behind),
	    TEST(a_copy_that_is_there_is_opened),
	    TEST(a_lost_cell_is_not_asked),
	    TEST(a_queue_that_moves_is_not_placed),
	    TEST(what_is_made_meanwhile_is_not_lost),
	    TEST(what_moves_while_all_are_asked_is_seen),
	    TEST(of_two_at_once_one_decides),
	    TEST(of_two_at_once_one_decides_also_where_it_is_at_home),
	    TEST(done_again_it_goes_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
