/* The journal's side of its protocol, over a socketpair, served by a child process. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/wire/journal_wire.h"
#include "sys/journal/journal_server.h"

#define DEADLINE_MS 20000

static char dir[64];
static int fd;
static pid_t server;
static uint8_t in[1 << 18];
static size_t in_len, in_used;

static void start(void)
{
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	server = fork();
	if (server == 0) {
		struct store *s;
		struct reason why;
		close(pair[0]);
		enum rmq_error err = store_open(dir, &s, &why);
		if (!err)
			err = journal_serve(pair[1], s, dir, NULL, &why);
		if (err)
			journal_refuse(pair[1], err, why.text);
		_exit((int)err);
	}
	close(pair[1]);
	fd = pair[0];
	in_len = in_used = 0;
}

/* Closes our end; what the server ended with. */
static int stop(void)
{
	int status;
	if (fd >= 0)
		close(fd);
	fd = -1;
	assert_int_equal(waitpid(server, &status, 0), server);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/rmq-test-journal-XXXXXX");
	if (!mkdtemp(dir) || store_create(dir, NULL))
		return -1;
	start();
	return 0;
}

static int teardown(void **state)
{
	char command[128];
	(void)state;
	if (fd >= 0)
		stop();
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static void send_bytes(const void *data, size_t len)
{
	assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), len);
}

#define SEND(name, ...) \
	do { \
		static uint8_t buffer_[FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX]; \
		struct writer w_ = writer_of(buffer_, sizeof(buffer_)); \
		struct journal_##name m_ = {__VA_ARGS__}; \
		journal_put_##name(&w_, &m_); \
		assert_false(w_.full); \
		send_bytes(buffer_, w_.len); \
	} while (0)

/* The next frame; type 0 at the end of the connection. */
static struct frame receive(void)
{
	struct frame f = {0};
	size_t used;
	for (;;) {
		assert_int_equal(
		    frame_parse(slice_of(in + in_used, in_len - in_used), &f, &used), RMQ_E_OK);
		if (used > 0) {
			in_used += used;
			return f;
		}
		struct pollfd p = {fd, POLLIN, 0};
		assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
		memmove(in, in + in_used, in_len - in_used);
		in_len -= in_used;
		in_used = 0;
		ssize_t n = recv(fd, in + in_len, sizeof(in) - in_len, 0);
		if (n <= 0)
			return (struct frame){0};
		in_len += (size_t)n;
	}
}

/* The next frame that is not ROOM. */
static struct frame receive_answer(void)
{
	struct frame f;
	do
		f = receive();
	while (f.type == JOURNAL_TYPE_ROOM);
	return f;
}

#define EXPECT(NAME, name, m) \
	do { \
		struct frame f_ = receive_answer(); \
		assert_int_equal(f_.type, JOURNAL_TYPE_##NAME); \
		assert_true(journal_##name##_decode(f_.payload, m)); \
	} while (0)

static struct journal_opened open_journal(uint64_t term)
{
	struct journal_opened opened;
	SEND(open, JOURNAL_OPEN_VERSIONS, term, NO_TAGS);
	EXPECT(OPENED, opened, &opened);
	return opened;
}

static void append(uint64_t n, enum record_kind kind, size_t len)
{
	static uint8_t payload[RECORD_PAYLOAD_MAX];
	memset(payload, (int)n, len);
	SEND(append, n, (uint8_t)kind, slice_of(payload, len));
}

/* Waits until APPEND n is answered, in runs without gaps; index of APPEND n. */
static uint64_t wait_stored(uint64_t *next_n, uint64_t n)
{
	struct journal_stored m = {0};
	while (*next_n <= n) {
		EXPECT(STORED, stored, &m);
		assert_int_equal(m.first_n, *next_n);
		assert_true(m.count > 0);
		*next_n += m.count;
	}
	return m.first_index + (n - m.first_n);
}

static void expect_refused(int code)
{
	struct journal_error m;
	EXPECT(ERROR, error, &m);
	assert_int_equal(m.code, code);
	assert_int_equal(receive().type, 0);
	assert_int_equal(stop(), code);
}

static uint64_t records_in_dir(void)
{
	struct store *s;
	assert_int_equal(store_open(dir, &s, NULL), RMQ_E_OK);
	uint64_t records = store_state(s)->records;
	store_close(s);
	return records;
}

static void open_answers_with_bounds_and_a_new_term_each_time(void **state)
{
	(void)state;
	struct journal_opened m = open_journal(0);
	assert_int_equal(m.version, JOURNAL_VERSION);
	assert_int_equal(m.term, 1);
	assert_int_equal(m.first, 0);
	assert_int_equal(m.last, 0);
	assert_int_equal(m.checkpoint, 0);
	assert_true(slice_eq(m.directory, slice_str(dir)));
	assert_int_equal(stop(), 0);
	start();
	m = open_journal(0);
	assert_int_equal(m.term, 2);
	assert_int_equal(stop(), 0);
	start();
	m = open_journal(9);
	assert_int_equal(m.term, 9);
	assert_int_equal(stop(), 0);
	start();
	SEND(open, JOURNAL_OPEN_VERSIONS, 8, NO_TAGS);
	expect_refused(RMQ_E_PROTOCOL);
}

static void appends_of_every_size_are_stored_in_order(void **state)
{
	static const size_t sizes[] = {
	    0, 1, 17, 2000, 4095, 4096, 5000, 33333, 65000, RECORD_PAYLOAD_MAX};
	enum { COUNT = 200, SIZES = sizeof(sizes) / sizeof(sizes[0]) };
	uint64_t next_n = 1;
	(void)state;
	open_journal(0);
	for (uint64_t n = 1; n <= COUNT; n++) {
		append(n, RECORD_EVENTS, sizes[n % SIZES]);
		if (n % 16 == 0)
			assert_int_equal(wait_stored(&next_n, n), n);
	}
	assert_int_equal(wait_stored(&next_n, COUNT), COUNT);
	assert_int_equal(stop(), 0);

	struct store_reader *r;
	assert_int_equal(store_reader_open(dir, &r, NULL), RMQ_E_OK);
	assert_int_equal(store_reader_begin(r), RMQ_E_OK);
	for (uint64_t n = 1; n <= COUNT; n++) {
		struct record_header h;
		struct slice payload;
		assert_int_equal(store_reader_get(r, n, &h, &payload), RMQ_E_OK);
		assert_int_equal(h.kind, RECORD_EVENTS);
		assert_int_equal(h.term, 1);
		assert_int_equal(payload.len, sizes[n % SIZES]);
		for (size_t i = 0; i < payload.len; i++)
			assert_int_equal(payload.data[i], n);
	}
	store_reader_close(r);
}

static void a_frame_in_single_bytes_is_taken_and_holds_up_nothing(void **state)
{
	uint8_t frame[FRAME_HEADER_SIZE + 9 + 5000];
	struct writer w = writer_of(frame, sizeof(frame));
	struct journal_append m = {2, RECORD_EVENTS, slice_of(in, 5000)};
	uint64_t next_n = 1;
	(void)state;
	journal_put_append(&w, &m);
	open_journal(0);
	append(1, RECORD_EVENTS, 10);
	send_bytes(frame, 4000);
	wait_stored(&next_n, 1);
	for (size_t i = 4000; i < w.len; i++)
		send_bytes(frame + i, 1);
	assert_int_equal(wait_stored(&next_n, 2), 2);
	assert_int_equal(stop(), 0);
	assert_int_equal(records_in_dir(), 2);
}

static void barriers_are_answered_in_order_behind_what_precedes_them(void **state)
{
	struct journal_stored stored;
	struct journal_barrier_done done;
	(void)state;
	open_journal(0);
	SEND(barrier, 70);
	EXPECT(BARRIER_DONE, barrier_done, &done);
	assert_int_equal(done.id, 70);
	append(1, RECORD_EVENTS, 100);
	SEND(barrier, 71);
	append(2, RECORD_EVENTS, 100);
	append(3, RECORD_EVENTS, 100);
	SEND(barrier, 72);
	EXPECT(STORED, stored, &stored);
	assert_int_equal(stored.first_n + stored.count - 1, 1);
	EXPECT(BARRIER_DONE, barrier_done, &done);
	assert_int_equal(done.id, 71);
	uint64_t next_n = 2;
	wait_stored(&next_n, 3);
	EXPECT(BARRIER_DONE, barrier_done, &done);
	assert_int_equal(done.id, 72);
}

static void send_hole(uint64_t checkpoint, uint64_t first, uint32_t count)
{
	uint8_t ranges[HOLE_RANGE_SIZE];
	struct writer w = writer_of(ranges, sizeof(ranges));
	struct hole_range range = {first, count};
	hole_range_put(&w, &range);
	SEND(hole, checkpoint, slice_of(ranges, w.len));
}

static void holes_below_a_stored_end_are_made_also_again(void **state)
{
	enum { COUNT = 3000 };
	struct journal_holed holed;
	uint64_t next_n = 1;
	(void)state;
	open_journal(0);
	for (uint64_t n = 1; n <= COUNT; n++) {
		append(n, RECORD_EVENTS, 20);
		if (n % 100 == 0)
			wait_stored(&next_n, n);
	}
	append(COUNT + 1, RECORD_END, 20);
	wait_stored(&next_n, COUNT + 1);
	send_hole(COUNT + 1, 11, COUNT - 10);
	EXPECT(HOLED, holed, &holed);
	assert_int_equal(holed.checkpoint, COUNT + 1);
	send_hole(COUNT + 1, 11, COUNT - 10);
	EXPECT(HOLED, holed, &holed);
	assert_int_equal(stop(), 0);
	assert_int_equal(records_in_dir(), 11);
}

static void appends_are_stored_while_holes_are_made(void **state)
{
	enum { COUNT = 2000 };
	struct frame f;
	uint64_t next_n = 1;
	unsigned stored = 0;
	(void)state;
	open_journal(0);
	for (uint64_t n = 1; n <= COUNT; n++) {
		append(n, n == COUNT ? RECORD_END : RECORD_EVENTS, 20);
		if (n % 100 == 0)
			wait_stored(&next_n, n);
	}
	append(COUNT + 1, RECORD_EVENTS, 20);
	send_hole(COUNT, 1, COUNT - 1);
	append(COUNT + 2, RECORD_EVENTS, 20);
	while ((f = receive_answer()).type != JOURNAL_TYPE_HOLED) {
		assert_int_equal(f.type, JOURNAL_TYPE_STORED);
		stored++;
	}
	assert_true(stored > 0);
	assert_int_equal(stop(), 0);
	assert_int_equal(records_in_dir(), 3);
}

static void a_hole_needs_a_stored_end_above_it(void **state)
{
	uint64_t next_n = 1;
	(void)state;
	open_journal(0);
	append(1, RECORD_EVENTS, 20);
	append(2, RECORD_EVENTS, 20);
	wait_stored(&next_n, 2);
	send_hole(2, 1, 1);
	expect_refused(RMQ_E_PROTOCOL);
	assert_int_equal(records_in_dir(), 2);
}

static void a_hole_does_not_reach_its_checkpoint(void **state)
{
	uint64_t next_n = 1;
	(void)state;
	open_journal(0);
	append(1, RECORD_EVENTS, 20);
	append(2, RECORD_END, 20);
	wait_stored(&next_n, 2);
	send_hole(2, 1, 2);
	expect_refused(RMQ_E_PROTOCOL);
	assert_int_equal(records_in_dir(), 2);
}

static void a_hole_does_not_precede_its_ends_answer(void **state)
{
	(void)state;
	open_journal(0);
	append(1, RECORD_EVENTS, 20);
	append(2, RECORD_END, 20);
	send_hole(3, 1, 1);
	struct frame f;
	while ((f = receive_answer()).type == JOURNAL_TYPE_STORED)
		;
	assert_int_equal(f.type, JOURNAL_TYPE_ERROR);
	assert_int_equal(stop(), RMQ_E_PROTOCOL);
	assert_int_equal(records_in_dir(), 2);
}

static void what_may_not_be_sent_is_refused_and_harms_nothing(void **state)
{
	(void)state;
	static const char *const garbage[] = {"GET / HTTP/1.0\r\n\r\n",
	    "\xff\xff\xff\xff\xff\xff\xff\xff", "\x01\0\0\0\x63\0\0\0x",
	    "\x03\0\0\0\x02\0\0\0abc", "\x02\0\0\0\x03\0\0\0ab", "\0\0\0\0\x01\0\0\0",
	    "\0\0\0\0\x02\0\0\0"};
	static const size_t lengths[] = {18, 8, 9, 11, 10, 8, 8};
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		uint64_t next_n = 1;
		if (i > 0)
			start();
		open_journal(0);
		append(1, RECORD_EVENTS, 20);
		wait_stored(&next_n, 1);
		send_bytes(garbage[i], lengths[i]);
		expect_refused(RMQ_E_PROTOCOL);
		assert_int_equal(records_in_dir(), i + 1);
	}
}

static void an_append_out_of_order_is_refused_what_came_before_is_stored(void **state)
{
	struct journal_stored stored;
	(void)state;
	open_journal(0);
	append(1, RECORD_EVENTS, 20);
	append(3, RECORD_EVENTS, 20);
	EXPECT(STORED, stored, &stored);
	expect_refused(RMQ_E_PROTOCOL);
	assert_int_equal(records_in_dir(), 1);
}

static void an_unknown_version_is_refused(void **state)
{
	(void)state;
	SEND(open, JOURNAL_MAGIC, JOURNAL_VERSION + 1, JOURNAL_VERSION + 1, 0, 0, NO_TAGS);
	expect_refused(RMQ_E_VERSION);
}

static void it_has_to_begin_with_open(void **state)
{
	(void)state;
	SEND(barrier, 1);
	expect_refused(RMQ_E_PROTOCOL);
}

static void at_the_end_of_input_what_is_whole_is_stored(void **state)
{
	(void)state;
	open_journal(0);
	append(1, RECORD_EVENTS, 30000);
	append(2, RECORD_EVENTS, 30000);
	uint8_t cut[JOURNAL_APPEND_HEAD + 100];
	frame_header(cut, JOURNAL_TYPE_APPEND, 9 + 30000);
	store_u64(cut + FRAME_HEADER_SIZE, 3);
	cut[FRAME_HEADER_SIZE + 8] = RECORD_EVENTS;
	send_bytes(cut, sizeof(cut));
	assert_int_equal(stop(), 0);
	assert_int_equal(records_in_dir(), 2);
}

static void an_opener_that_goes_away_at_once_is_no_error(void **state)
{
	(void)state;
	assert_int_equal(stop(), 0);
	start();
	SEND(open, JOURNAL_OPEN_VERSIONS, 0, NO_TAGS);
	assert_int_equal(stop(), 0);
}

static void room_is_announced_before_anything_is_sent(void **state)
{
	struct journal_room room;
	(void)state;
	open_journal(0);
	struct frame f = receive();
	assert_int_equal(f.type, JOURNAL_TYPE_ROOM);
	assert_true(journal_room_decode(f.payload, &room));
	assert_int_equal(room.n, 0);
	assert_true(room.bytes >= 1 << 20);
}

/* Also when the two are taken one by one, and nothing else changes the room. */
static void room_is_told_behind_the_barrier_that_follows_a_reserve(void **state)
{
	struct journal_room room;
	(void)state;
	open_journal(0);
	assert_int_equal(receive().type, JOURNAL_TYPE_ROOM);
	SEND(reserve, 32 << 20);
	assert_int_equal(receive().type, JOURNAL_TYPE_ROOM);
	SEND(barrier, 1);
	assert_int_equal(receive().type, JOURNAL_TYPE_BARRIER_DONE);
	struct frame f = receive();
	assert_int_equal(f.type, JOURNAL_TYPE_ROOM);
	assert_true(journal_room_decode(f.payload, &room));
	assert_int_equal(room.n, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(open_answers_with_bounds_and_a_new_term_each_time),
	    TEST(appends_of_every_size_are_stored_in_order),
	    TEST(a_frame_in_single_bytes_is_taken_and_holds_up_nothing),
	    TEST(barriers_are_answered_in_order_behind_what_precedes_them),
	    TEST(holes_below_a_stored_end_are_made_also_again),
	    TEST(appends_are_stored_while_holes_are_made),
	    TEST(a_hole_needs_a_stored_end_above_it),
	    TEST(a_hole_does_not_reach_its_checkpoint),
	    TEST(a_hole_does_not_precede_its_ends_answer),
	    TEST(what_may_not_be_sent_is_refused_and_harms_nothing),
	    TEST(an_append_out_of_order_is_refused_what_came_before_is_stored),
	    TEST(an_unknown_version_is_refused),
	    TEST(it_has_to_begin_with_open),
	    TEST(at_the_end_of_input_what_is_whole_is_stored),
	    TEST(an_opener_that_goes_away_at_once_is_no_error),
	    TEST(room_is_announced_before_anything_is_sent),
	    TEST(room_is_told_behind_the_barrier_that_follows_a_reserve),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
