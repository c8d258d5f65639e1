/* The journal protocol over an engine of consensus: an engine and a socket that are told what
 * to do. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/host/shared_journal.h"
#include "core/wire/record.h"

static struct {
	struct engine_state state;
	enum rmq_error refuses; /* proposals */
	unsigned fit;		/* so many of them at once */
	bool busy;		/* no barrier now */
	bool ends;		/* leadership ends within the next call */
	uint64_t rounds;
	char log[4096]; /* payloads that were proposed, parted by spaces */
	uint64_t reserve;
	uint64_t mends; /* was asked for last */
	enum rmq_error mended;
	const char *lost;
	size_t socket;	 /* bytes that it takes */
	char said[4096]; /* answers, as text */
	uint8_t bytes[1 << 17];
	size_t len;
	uint64_t followed, room;
	bool holes_wanted;
	uint64_t level, opened_level;
} world;

static struct shared_journal *journal;

static struct engine_state engine_now(void *arg)
{
	(void)arg;
	return world.state;
}

static enum rmq_error propose(
    void *arg, const struct proposal *p, unsigned *count, uint64_t *first)
{
	(void)arg;
	if (world.refuses)
		return world.refuses;
	*first = world.state.last + 1;
	*count = *count < world.fit ? *count : world.fit;
	for (unsigned i = 0; i < *count; i++) {
		size_t at = strlen(world.log);
		assert_true(p[i].piece.bytes.data >= p[i].piece.chunk->bytes);
		snprintf(world.log + at, sizeof(world.log) - at, "%.*s ",
		    p[i].piece.bytes.len < 20 ? (int)p[i].piece.bytes.len : 0,
		    (const char *)p[i].piece.bytes.data);
	}
	world.state.last += *count;
	if (world.ends)
		shared_journal_end(journal);
	return RMQ_E_OK;
}

static uint64_t barrier(void *arg)
{
	(void)arg;
	return world.busy ? 0 : ++world.rounds;
}

static void opening(void *arg, struct journal_opened *m, uint64_t *level)
{
	(void)arg;
	m->first = 3;
	m->checkpoint = 4;
	m->directory = slice_str("/dir");
	*level = world.level;
}

static void note(const struct frame *f)
{
	size_t at = strlen(world.said), left = sizeof(world.said) - at;
	struct journal_opened opened;
	struct journal_stored stored;
	struct journal_barrier_done done;
	struct journal_holed holed;
	struct journal_room room;
	struct journal_ping ping;
	struct journal_holes_wanted wanted;
	struct journal_level level;
	struct journal_mended mended;
	char *to = world.said + at;

#define N(v) ((unsigned long long)(v))
	if (f->type == JOURNAL_TYPE_OPENED && journal_opened_decode(f->payload, &opened))
		snprintf(to, left, "opened %llu %llu-%llu %llu %.*s\n", N(opened.term),
		    N(opened.first), N(opened.last), N(opened.checkpoint),
		    (int)opened.directory.len, (const char *)opened.directory.data),
		    world.opened_level = tags_find_u64(opened.tags, JOURNAL_TAG_OPENED_LEVEL);
	else if (f->type == JOURNAL_TYPE_STORED && journal_stored_decode(f->payload, &stored))
		snprintf(to, left, "stored %llu+%u at %llu\n", N(stored.first_n), stored.count,
		    N(stored.first_index));
	else if (f->type == JOURNAL_TYPE_BARRIER_DONE &&
		 journal_barrier_done_decode(f->payload, &done))
		snprintf(to, left, "done %llu\n", N(done.id));
	else if (f->type == JOURNAL_TYPE_HOLED && journal_holed_decode(f->payload, &holed))
		snprintf(to, left, "holed %llu\n", N(holed.checkpoint));
	else if (f->type == JOURNAL_TYPE_ROOM && journal_room_decode(f->payload, &room))
		snprintf(to, left, "room %llu from %llu\n", N(room.bytes), N(room.n));
	else if (f->type == JOURNAL_TYPE_MENDED && journal_mended_decode(f->payload, &mended))
		snprintf(to, left, "mended %llu: %u\n", N(mended.index), mended.code);
	else if (f->type == JOURNAL_TYPE_PING && journal_ping_decode(f->payload, &ping))
		snprintf(to, left, "ping %llu\n", N(ping.id));
	else if (f->type == JOURNAL_TYPE_HOLES_WANTED &&
		 journal_holes_wanted_decode(f->payload, &wanted))
		snprintf(to, left, "holes wanted: %u\n", wanted.wanted);
	else if (f->type == JOURNAL_TYPE_LEVEL && journal_level_decode(f->payload, &level))
		snprintf(to, left, "level %llu\n", N(level.level));
	else
		fail_msg("frame %u", f->type);
}

static size_t answer(void *arg, struct slice bytes)
{
	size_t n = bytes.len < world.socket ? bytes.len : world.socket, used;
	struct frame f;

	(void)arg;
	world.socket -= n;
	memcpy(world.bytes + world.len, bytes.data, n);
	world.len += n;
	while (frame_parse(slice_of(world.bytes, world.len), &f, &used) == RMQ_E_OK && used) {
		note(&f);
		world.len -= used;
		memmove(world.bytes, world.bytes + used, world.len);
	}
	return n;
}

static enum rmq_error mend(void *arg, uint64_t index)
{
	(void)arg;
	world.mends = index;
	return world.mended;
}

static void reserve(void *arg, uint64_t bytes)
{
	(void)arg;
	world.reserve = bytes;
}

static void lost(void *arg, const char *why)
{
	(void)arg;
	assert_null(world.lost);
	world.lost = why;
}

static const struct engine engine = {NULL, engine_now, propose, barrier, NULL};
static const struct shared_journal_owner owner = {NULL, opening, answer, reserve, mend, lost};

/* ---- what the daemon says ---- */

static uint8_t out[4 << 20];
static struct writer w;

static void turn(void)
{
	shared_journal_turn(
	    journal, world.followed, world.room, world.holes_wanted, world.level);
}

/* How much of it was taken. */
static size_t flush_some(size_t most)
{
	size_t at = 0, size;
	uint8_t *to;

	while (at < w.len && (to = shared_journal_space(journal, &size)) != NULL) {
		size_t n = w.len - at < size ? w.len - at : size;
		n = n < most ? n : most;
		memcpy(to, w.p + at, n);
		at += n;
		shared_journal_read(journal, n);
	}
	memmove(w.p, w.p + at, w.len - at);
	w.len -= at;
	return at;
}

#define PUT(name, ...)	journal_put_##name(&w, &(struct journal_##name){__VA_ARGS__})
#define OPEN()		PUT(open, JOURNAL_OPEN_VERSIONS, 0, NO_TAGS)
#define APPEND(n, text) PUT(append, n, RECORD_EVENTS, slice_str(text))

static void go(void)
{
	flush_some(SIZE_MAX);
	turn();
}

static void said(const char *text)
{
	assert_string_equal(world.said, text);
	world.said[0] = '\0';
}

static int setup(void **state)
{
	(void)state;
	memset(&world, 0, sizeof(world));
	world.state = (struct engine_state){true, true, 7, 10, 10, 0, 10, 10};
	world.socket = SIZE_MAX;
	world.fit = UINT_MAX;
	world.room = 1 << 30;
	w = writer_of(out, sizeof(out));
	journal = shared_journal_new(&engine, &owner);
	return 0;
}

static int opened(void **state)
{
	setup(state);
	OPEN();
	go();
	said("opened 7 3-10 4 /dir\nroom 1073741824 from 0\n");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	shared_journal_free(journal);
	return 0;
}

/* ---- tests ---- */

static void stored_is_told_of_what_is_committed_in_runs(void **state)
{
	(void)state;
	APPEND(1, "a");
	APPEND(2, "b");
	go();
	assert_string_equal(world.log, "a b ");
	said("");
	world.state.committed = 11;
	turn();
	said("stored 1+1 at 11\n");
	world.state.last = 13; /* a record of somebody else */
	APPEND(3, "c");
	APPEND(4, "d");
	go();
	world.state.committed = 15;
	turn();
	said("stored 2+1 at 12\nstored 3+2 at 14\n");
}

static void what_cannot_be_proposed_now_is_later_in_order(void **state)
{
	(void)state;
	world.refuses = RMQ_E_BUSY;
	APPEND(1, "a");
	go();
	assert_false(shared_journal_reads(journal));
	APPEND(2, "b");
	assert_int_equal(flush_some(SIZE_MAX), 0);
	world.refuses = RMQ_E_OK;
	turn();
	assert_true(shared_journal_reads(journal));
	go();
	assert_string_equal(world.log, "a b ");
	world.state.committed = 12;
	turn();
	said("stored 1+2 at 11\n");
	assert_null(world.lost);
}

static void what_does_not_fit_is_proposed_later_in_order(void **state)
{
	(void)state;
	world.fit = 2;
	for (unsigned i = 1; i <= 5; i++)
		APPEND(i, "abcde" + i - 1);
	PUT(barrier, 9);
	go();
	assert_string_equal(world.log, "abcde bcde ");
	assert_true(shared_journal_waits(journal));
	assert_false(shared_journal_reads(journal));
	world.state.committed = 12;
	turn();
	turn();
	assert_string_equal(world.log, "abcde bcde cde de e ");
	assert_false(shared_journal_waits(journal));
	shared_journal_round_done(journal, world.rounds);
	turn();
	said("stored 1+2 at 11\n");
	world.state.committed = 15;
	turn();
	said("stored 3+3 at 13\ndone 9\n");
}

static void a_barrier_waits_for_its_round_and_for_what_came_before(void **state)
{
	(void)state;
	APPEND(1, "a");
	PUT(barrier, 5);
	PUT(barrier, 6);
	go();
	assert_int_equal(world.rounds, 1);
	shared_journal_round_done(journal, 1);
	turn();
	said("");
	PUT(barrier, 7);
	world.busy = true;
	go();
	world.state.committed = 11;
	turn();
	said("stored 1+1 at 11\ndone 5\ndone 6\n");
	/* The round that is done began before this one was read. */
	world.busy = false;
	turn();
	assert_int_equal(world.rounds, 2);
	turn();
	said("");
	shared_journal_round_done(journal, 2);
	turn();
	said("done 7\n");
}

static void an_end_is_holed_when_this_node_has_made_its_holes(void **state)
{
	(void)state;
	PUT(hole, 9, slice_str("123456789012"));
	PUT(hole, 10, slice_str("123456789012"));
	go();
	said("");
	world.followed = 9;
	turn();
	said("holed 9\n");
	world.followed = 10;
	turn();
	said("holed 10\n");
	PUT(hole, 11, slice_str("123456789012"));
	go();
	assert_string_equal(world.lost, "it sent a malformed frame, or one out of place");
}

static void a_bad_record_is_answered_once_it_is_good_or_lost(void **state)
{
	(void)state;
	world.mended = RMQ_E_BUSY;
	PUT(bad, 5);
	go();
	assert_int_equal(world.mends, 5);
	said("");
	/* The rest goes on. */
	APPEND(1, "a");
	go();
	world.state.committed = 11;
	turn();
	said("stored 1+1 at 11\n");
	world.mended = RMQ_E_OK;
	turn();
	said("mended 5: 0\n");
	world.mends = 0;
	turn();
	assert_int_equal(world.mends, 0);
	world.mended = RMQ_E_CORRUPT;
	PUT(bad, 6);
	go();
	said("mended 6: 7\n");
}

static void a_bad_record_is_named_one_at_a_time_and_is_committed(void **state)
{
	static const char malformed[] = "it sent a malformed frame, or one out of place";
	(void)state;
	world.mended = RMQ_E_BUSY;
	PUT(bad, 5);
	PUT(bad, 6);
	go();
	assert_string_equal(world.lost, malformed);
	for (uint64_t index = 0; index <= 11; index += 11) {
		shared_journal_free(journal);
		opened(state);
		PUT(bad, index);
		go();
		assert_string_equal(world.lost, malformed);
	}
}

static void room_is_told_when_it_changes_much_or_ends_and_after_a_reserve(void **state)
{
	(void)state;
	world.room -= (256 << 10) - 1;
	turn();
	said("");
	world.room--;
	turn();
	said("room 1073479680 from 0\n");
	/* What was appended counts against it, whatever it was: settlements too. */
	APPEND(1, "a");
	world.room -= 1 << 20;
	go();
	said("room 1072431104 from 1\n");
	world.room = 1000;
	turn();
	world.room = 0;
	turn();
	said("room 1000 from 1\nroom 0 from 1\n");
	PUT(reserve, 12345);
	PUT(barrier, 1);
	go();
	assert_int_equal(world.reserve, 12345);
	said("");
	world.state.committed = 11;
	shared_journal_round_done(journal, 1);
	turn();
	said("stored 1+1 at 11\ndone 1\nroom 0 from 1\n");
}

static void append_kib(uint64_t first, uint64_t last)
{
	static char kib[1024];
	memset(kib, 'k', sizeof(kib) - 1);
	for (uint64_t n = first; n <= last; n++)
		APPEND(n, kib);
	go();
}

/* As where pages that died are used again. */
static void room_that_stays_is_told_again_as_it_is_used(void **state)
{
	(void)state;
	append_kib(1, 256);
	said("");
	append_kib(257, 257);
	said("room 1073741824 from 257\n");
	append_kib(258, 513);
	said("");
	append_kib(514, 514);
	said("room 1073741824 from 514\n");
	/* And of little, little is much. */
	world.room = 4096;
	turn();
	said("room 4096 from 514\n");
	append_kib(515, 515);
	said("");
	append_kib(516, 516);
	said("room 4096 from 516\n");
}

static void holes_are_wanted_of_who_asks_to_be_told(void **state)
{
	uint8_t bytes[8];
	struct writer tags = writer_of(bytes, sizeof(bytes));

	(void)state;
	tags_put(&tags, JOURNAL_TAG_WANTED, slice_of(NULL, 0));
	PUT(open, JOURNAL_OPEN_VERSIONS, 0, slice_of(bytes, tags.len));
	go();
	said("opened 7 3-10 4 /dir\nroom 1073741824 from 0\n");
	/* Once each time that it changes. */
	world.holes_wanted = true;
	go();
	said("holes wanted: 1\n");
	go();
	said("");
	world.holes_wanted = false;
	go();
	said("holes wanted: 0\n");
}

static void who_asks_is_told_when_the_level_of_records_rises(void **state)
{
	uint8_t bytes[8];
	struct writer tags = writer_of(bytes, sizeof(bytes));

	(void)state;
	world.level = 1;
	tags_put(&tags, JOURNAL_TAG_LEVEL, slice_of(NULL, 0));
	PUT(open, JOURNAL_OPEN_VERSIONS, 0, slice_of(bytes, tags.len));
	go();
	said("opened 7 3-10 4 /dir\nroom 1073741824 from 0\n");
	assert_int_equal(world.opened_level, 1);
	world.level = 2;
	go();
	said("level 2\n");
	go();
	said("");
}

static void who_does_not_ask_is_not_told_that_holes_are_wanted(void **state)
{
	(void)state;
	OPEN();
	go();
	said("opened 7 3-10 4 /dir\nroom 1073741824 from 0\n");
	world.holes_wanted = true;
	world.level = 2;
	go();
	said("");
}

static void who_answers_is_asked_and_any_word_counts(void **state)
{
	uint8_t bytes[8];
	struct writer tags = writer_of(bytes, sizeof(bytes));

	(void)state;
	assert_int_equal(shared_journal_daemon(journal), HEALTH_DAEMON_OPENS);
	tags_put(&tags, JOURNAL_TAG_ANSWERS, slice_of(NULL, 0));
	PUT(open, JOURNAL_OPEN_VERSIONS, 0, slice_of(bytes, tags.len));
	go();
	said("opened 7 3-10 4 /dir\nroom 1073741824 from 0\n");
	assert_int_equal(shared_journal_daemon(journal), HEALTH_DAEMON_ANSWERS);
	uint64_t words = shared_journal_words(journal);
	shared_journal_ping(journal);
	said("ping 1\n");
	assert_int_equal(shared_journal_words(journal), words);
	PUT(pong, 1);
	go();
	assert_int_equal(shared_journal_words(journal), words + 1);
	APPEND(1, "a");
	go();
	assert_int_equal(shared_journal_words(journal), words + 2);
	/* What cannot be proposed now is not heard: nothing is its fault. */
	world.refuses = RMQ_E_BUSY;
	APPEND(2, "b");
	go();
	assert_int_equal(shared_journal_daemon(journal), HEALTH_DAEMON_UNWATCHED);
	world.refuses = RMQ_E_OK;
	turn();
	assert_int_equal(shared_journal_daemon(journal), HEALTH_DAEMON_ANSWERS);
	PUT(pong, 2);
	go();
	assert_non_null(world.lost);
}

static void where_it_reads_the_log_is_known_when_it_has_said_so(void **state)
{
	uint64_t index;

	(void)state;
	PUT(open, JOURNAL_OPEN_VERSIONS, 0, NO_TAGS);
	go();
	assert_false(shared_journal_place(journal, &index));
	PUT(reads, 130);
	PUT(reads, 64);
	go();
	assert_true(shared_journal_place(journal, &index));
	assert_int_equal(index, 64);
	/* What ends it after that is no record. */
	PUT(reads, 0);
	go();
	assert_false(shared_journal_place(journal, &index));
	assert_null(world.lost);
}

static void who_does_not_answer_is_not_asked(void **state)
{
	(void)state;
	assert_int_equal(shared_journal_daemon(journal), HEALTH_DAEMON_UNWATCHED);
	shared_journal_ping(journal);
	said("");
}

static void frames_may_come_cut_anywhere_and_go_the_same_way(void **state)
{
	(void)state;
	for (uint64_t n = 1; n <= 40; n++) {
		APPEND(n, n % 2 ? "odd" : "even");
		PUT(barrier, n);
		flush_some(n % 7 + 1);
		turn();
	}
	world.state.committed = world.state.last;
	shared_journal_round_done(journal, world.rounds);
	for (int i = 0; i < 10000 && (i == 0 || shared_journal_owes(journal)); i++) {
		world.socket = 1;
		turn();
	}
	assert_false(shared_journal_owes(journal));
	assert_non_null(strstr(world.said, "stored 1+40 at 11\ndone 1\n"));
	assert_non_null(strstr(world.said, "done 40\n"));
}

/* A payload lies where it was read, also when the next frame did not fit after it. */
static void large_records_go_over_from_chunk_to_chunk(void **state)
{
	static uint8_t large[RECORD_PAYLOAD_MAX];
	(void)state;
	for (uint64_t n = 1; n <= 8; n++) {
		PUT(append, n, RECORD_EVENTS, slice_of(large, sizeof(large)));
		flush_some(70000);
		turn();
	}
	assert_null(world.lost);
	assert_int_equal(world.state.last, 18);
	world.state.committed = 18;
	turn();
	said("room 1073741824 from 2\nroom 1073741824 from 4\nroom 1073741824 from 6\n"
	     "room 1073741824 from 8\nstored 1+8 at 11\n");
}

static void no_more_is_read_while_too_much_waits(void **state)
{
	static uint8_t large[RECORD_PAYLOAD_MAX];
	(void)state;
	uint64_t n = 0;

	while (w.len == 0) {
		assert_true(n < 1000);
		PUT(append, ++n, RECORD_EVENTS, slice_of(large, sizeof(large)));
		go();
	}
	uint64_t bytes = (n - 1) * sizeof(large);
	assert_true(bytes >= 8 << 20 && bytes < (9 << 20));
	world.state.committed = world.state.last;
	turn();
	go();
	assert_int_equal(w.len, 0);
	/* Many small things. */
	for (uint64_t id = 1; id <= 4096 && w.len == 0; id++) {
		PUT(barrier, id);
		go();
	}
	assert_true(w.len > 0);
	assert_null(world.lost);
	shared_journal_round_done(journal, world.rounds);
	world.state.committed = world.state.last;
	turn();
	assert_int_equal(flush_some(SIZE_MAX) > 0, 1);
}

/* `put` says what ends it. */
static void ends_it(void (*put)(void))
{
	void *state = NULL;
	opened(&state);
	put();
	go();
	assert_string_equal(world.lost, "it sent a malformed frame, or one out of place");
	APPEND(1, "a");
	assert_int_equal(flush_some(SIZE_MAX), 0);
	world.state.committed = 100;
	turn();
	said("");
	assert_false(shared_journal_reads(journal) || shared_journal_owes(journal));
	teardown(&state);
}

static void open_twice(void)
{
	OPEN();
}

static void wrong_number(void)
{
	APPEND(2, "a");
}

static void engines_kind(void)
{
	PUT(append, 1, RECORD_NOOP, slice_str(""));
}

static void unknown_kind(void)
{
	PUT(append, 1, 99, slice_str(""));
}

static void too_long(void)
{
	static uint8_t large[RECORD_PAYLOAD_MAX + 1];
	PUT(append, 1, RECORD_EVENTS, slice_of(large, sizeof(large)));
}

static void of_the_journal(void)
{
	PUT(stored, 1, 1, 1);
}

static void cut(void)
{
	size_t begin = frame_begin(&w, JOURNAL_TYPE_BARRIER);
	put_u32(&w, 1);
	frame_end(&w, begin);
}

static void anything_out_of_place_ends_it_and_nothing_is_answered(void **state)
{
	(void)state;
	ends_it(open_twice);
	ends_it(wrong_number);
	ends_it(engines_kind);
	ends_it(unknown_kind);
	ends_it(too_long);
	ends_it(of_the_journal);
	ends_it(cut);
}

static void the_first_word_is_open(void **state)
{
	(void)state;
	APPEND(1, "a");
	go();
	assert_string_equal(world.lost, "it sent a malformed frame, or one out of place");
	said("");
}

static void what_the_engine_never_takes_ends_it(void **state)
{
	(void)state;
	world.refuses = RMQ_E_LIMIT;
	APPEND(1, "a");
	go();
	assert_string_equal(world.lost, "it sent records that cannot be stored");
}

/* A step may find out that another node leads. */
static void leadership_that_ends_in_a_proposal_leaves_nothing_answered(void **state)
{
	(void)state;
	APPEND(1, "a");
	go();
	PUT(barrier, 1);
	APPEND(2, "b");
	flush_some(SIZE_MAX);
	world.ends = true;
	world.state.committed = 100;
	turn();
	shared_journal_round_done(journal, 100);
	turn();
	said("");
	assert_string_equal(world.log, "a b ");
	assert_int_equal(world.rounds, 0);
	assert_null(world.lost);
	assert_false(shared_journal_reads(journal));
}

#define T(name) cmocka_unit_test_setup_teardown(name, opened, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(stored_is_told_of_what_is_committed_in_runs),
	    T(what_cannot_be_proposed_now_is_later_in_order),
	    T(what_does_not_fit_is_proposed_later_in_order),
	    T(a_barrier_waits_for_its_round_and_for_what_came_before),
	    T(an_end_is_holed_when_this_node_has_made_its_holes),
	    T(a_bad_record_is_answered_once_it_is_good_or_lost),
	    T(a_bad_record_is_named_one_at_a_time_and_is_committed),
	    T(room_is_told_when_it_changes_much_or_ends_and_after_a_reserve),
	    T(room_that_stays_is_told_again_as_it_is_used),
	    cmocka_unit_test_setup_teardown(
		who_answers_is_asked_and_any_word_counts, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		holes_are_wanted_of_who_asks_to_be_told, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		who_asks_is_told_when_the_level_of_records_rises, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		who_does_not_ask_is_not_told_that_holes_are_wanted, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		where_it_reads_the_log_is_known_when_it_has_said_so, setup, teardown),
	    T(who_does_not_answer_is_not_asked),
	    T(frames_may_come_cut_anywhere_and_go_the_same_way),
	    T(large_records_go_over_from_chunk_to_chunk),
	    T(no_more_is_read_while_too_much_waits),
	    cmocka_unit_test(anything_out_of_place_ends_it_and_nothing_is_answered),
	    cmocka_unit_test_setup_teardown(the_first_word_is_open, setup, teardown),
	    T(what_the_engine_never_takes_ends_it),
	    T(leadership_that_ends_in_a_proposal_leaves_nothing_answered)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
