/* Dropping copies: the dropper and its clients, against daemons made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/client/dropper.h"

#define NOW ((struct mono_time){1000})

/* What the daemons were asked, as a text. */
static char story[1024];

static void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void tell(const char *format, ...)
{
	va_list ap;
	size_t len = strlen(story);
	va_start(ap, format);
	vsnprintf(story + len, sizeof(story) - len, format, ap);
	va_end(ap);
}

/* Cells: y has the copies; each of the others says this to HOLD. */
struct fake {
	char name;
	struct client *client;
	uint64_t last;
	enum rmq_error code;
	const char *moved_to, *token;
	const char *copies;
};
static struct fake y, z[2];
static struct dropper *dropper;

#define SAY(f, type, ...) \
	do { \
		uint8_t bytes_[512]; \
		struct writer w_ = writer_of(bytes_, sizeof(bytes_)); \
		size_t used_; \
		wire_put_##type(&w_, &(struct wire_##type){__VA_ARGS__}); \
		assert_false(w_.full); \
		client_input((f)->client, NOW, slice_of(w_.p, w_.len), &used_); \
	} while (0)

static void welcome(struct fake *f)
{
	uint8_t secret[SESSION_TOKEN_SIZE] = {1}, list[4 + sizeof(secret)];
	struct writer tags = writer_of(list, sizeof(list));
	tags_put(&tags, WELCOME_TAG_TOKEN, slice_of(secret, sizeof(secret)));
	SAY(f, welcome, WIRE_VERSION, WIRE_FEATURES, 9, f->last, 0, 1 << 20,
	    slice_of(tags.p, tags.len));
}

static void on_move_out(struct fake *f, const struct wire_move_out *m)
{
	tell("%c %s; ", f->name, m->step == MOVE_OUT_HOLD ? "HOLD" : "LET_GO");
	if (m->step != MOVE_OUT_HOLD || !f->code) {
		f->last = m->n;
		SAY(f, done, m->n, slice_of(NULL, 0));
		return;
	}
	if (f->moved_to)
		SAY(f, moved, m->queue, slice_str(f->moved_to), slice_str(f->token), NO_TAGS);
	SAY(f, failed, m->n, (uint8_t)f->code, 0, slice_str("no"));
}

static void on_frame(struct fake *f, const struct frame *in)
{
	struct wire_move_out out;
	struct wire_move_in move;
	struct wire_export e;
	switch (in->type) {
	case WIRE_TYPE_HELLO:
		welcome(f);
		break;
	case WIRE_TYPE_EXPORT:
		assert_true(wire_export_decode(in->payload, &e));
		assert_int_equal(e.what, WITH_COPY);
		SAY(f, exported, e.req, e.what, RMQ_E_OK, 0, 0, NO_TAGS, slice_str(f->copies));
		break;
	case WIRE_TYPE_MOVE_OUT:
		assert_true(wire_move_out_decode(in->payload, &out));
		on_move_out(f, &out);
		break;
	case WIRE_TYPE_MOVE_IN:
		assert_true(wire_move_in_decode(in->payload, &move));
		tell("%c %s %c; ", f->name, move.step == MOVE_IN_DROP ? "DROP" : "OPEN",
		    move.token.data[0]);
		f->last = move.n;
		SAY(f, done, move.n, slice_of(NULL, 0));
		break;
	default:
		break;
	}
}

/* What the client has to say is taken and answered; false: nothing. */
static bool turn(struct fake *f)
{
	uint8_t bytes[4096];
	struct client_target target;
	struct slice pieces[CLIENT_PIECES];
	size_t len = 0, used, count;
	if (!f->client)
		return false;
	if (client_connect(f->client, NOW, &target))
		client_connected(f->client, NOW, 0);
	while ((count = client_output(f->client, NOW, pieces, CLIENT_PIECES)) > 0)
		for (size_t i = 0; i < count; i++) {
			assert_true(len + pieces[i].len <= sizeof(bytes));
			memcpy(bytes + len, pieces[i].data, pieces[i].len);
			len += pieces[i].len;
			client_wrote(f->client, pieces[i].len);
		}
	for (size_t at = 0; at < len; at += used) {
		struct frame frame;
		assert_int_equal(frame_parse(slice_of(bytes + at, len - at), &frame, &used), 0);
		on_frame(f, &frame);
	}
	return len > 0;
}

/* Until nobody has anything to say. */
static void go(void)
{
	do
		dropper_turn(dropper, NOW);
	while (turn(&y) | turn(&z[0]) | turn(&z[1]));
	dropper_turn(dropper, NOW);
}

static void open_client(struct fake *f, enum dropper_side side)
{
	struct client_config config = {
	    .servers = 1, .window = 16, .timeout_ms = 30000, .seed = 7, .pinned = true};
	struct client_host host = dropper_host(dropper, side);
	f->client = client_new(&config, &host);
	assert_non_null(f->client);
}

/* Asks so many of the two other cells. */
static void ask(unsigned cells)
{
	static const uint8_t token[CELL_TOKEN_SIZE] = "of its own......";
	struct dropper_config config = {slice_str("q"), slice_str("y"), 2};
	dropper = dropper_new(&config);
	open_client(&y, DROPPER_Y);
	dropper_begin(dropper, NOW, y.client, token);
	go();
	for (unsigned i = 0; i < cells && dropper_state(dropper) == DROPPER_NEXT; i++) {
		open_client(&z[i], DROPPER_Z);
		dropper_ask(dropper, NOW, z[i].client);
		go();
	}
}

static int setup(void **state)
{
	(void)state;
	y = (struct fake){.name = 'y', .copies = "AAAAAAAAAAAAAAAABBBBBBBBBBBBBBBB"};
	z[0] = (struct fake){.name = 'x'};
	z[1] = (struct fake){.name = 'z'};
	story[0] = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	struct fake *all[] = {&y, &z[0], &z[1]};
	for (unsigned i = 0; i < 3; i++)
		if (all[i]->client)
			client_free(all[i]->client);
	dropper_free(dropper);
	return 0;
}

static void a_copy_is_dropped_once_every_other_cell_has_answered(void **state)
{
	(void)state;
	/* Elsewhere: by home, or with the token of another copy, or in a third cell. */
	z[0].code = RMQ_E_ELSEWHERE;
	z[0].moved_to = "y";
	z[0].token = "CCCCCCCCCCCCCCCC";
	ask(1);
	assert_int_equal(dropper_state(dropper), DROPPER_NEXT);
	assert_string_equal(story, "x HOLD; ");
	open_client(&z[1], DROPPER_Z);
	dropper_ask(dropper, NOW, z[1].client);
	go();
	assert_int_equal(dropper_state(dropper), DROPPER_DONE);
	assert_int_equal(dropper_count(dropper), 2);
	assert_string_equal(story, "x HOLD; z HOLD; z LET_GO; y DROP A; y DROP B; ");
}

static void a_copy_to_which_a_cell_has_let_go_is_opened(void **state)
{
	(void)state;
	z[1].code = RMQ_E_ELSEWHERE;
	z[1].moved_to = "y";
	z[1].token = "BBBBBBBBBBBBBBBB";
	ask(2);
	assert_int_equal(dropper_state(dropper), DROPPER_OPENED);
	assert_string_equal(story, "x HOLD; x LET_GO; z HOLD; y OPEN B; ");
}

static void a_queue_of_another_cell_opens_no_copy_here(void **state)
{
	(void)state;
	z[0].code = RMQ_E_ELSEWHERE;
	z[0].moved_to = "z";
	z[0].token = "BBBBBBBBBBBBBBBB";
	ask(2);
	assert_int_equal(dropper_state(dropper), DROPPER_DONE);
}

static void nothing_is_dropped_while_somebody_moves_the_queue(void **state)
{
	struct slice why;
	enum dropper_side side;
	(void)state;
	z[1].code = RMQ_E_BUSY;
	ask(2);
	assert_int_equal(dropper_state(dropper), DROPPER_FAILED);
	assert_int_equal(dropper_error(dropper, &why, &side), RMQ_E_BUSY);
	assert_int_equal(side, DROPPER_Z);
	assert_int_equal(dropper_count(dropper), 0);
	assert_string_equal(story, "x HOLD; x LET_GO; z HOLD; ");
}

static void without_a_copy_nobody_is_asked(void **state)
{
	(void)state;
	y.copies = "";
	ask(2);
	assert_int_equal(dropper_state(dropper), DROPPER_NONE);
	assert_string_equal(story, "");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(a_copy_is_dropped_once_every_other_cell_has_answered),
	    TEST(a_copy_to_which_a_cell_has_let_go_is_opened),
	    TEST(a_queue_of_another_cell_opens_no_copy_here),
	    TEST(nothing_is_dropped_while_somebody_moves_the_queue),
	    TEST(without_a_copy_nobody_is_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
