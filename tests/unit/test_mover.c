/* Moving a queue: the mover and its two clients, against daemons made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/client/mover.h"

#define NOW(x)	     ((struct mono_time){x})
#define MESSAGES_MAX 16

/* What the daemons were asked, as a text. */
static char story[16384];

static void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void tell(const char *format, ...)
{
	va_list ap;
	size_t len = strlen(story);
	va_start(ap, format);
	vsnprintf(story + len, sizeof(story) - len, format, ap);
	va_end(ap);
}

#define assert_story(text) \
	do { \
		assert_string_equal(story, text); \
		story[0] = 0; \
	} while (0)

/* A daemon: what it refuses or leaves unanswered, and of X what it has. */
struct fake {
	char name;
	struct client *client;
	uint64_t last;
	unsigned refuses; /* this frame … */
	unsigned step;	  /* … of this step; MOVE_OUT, MOVE_IN */
	enum rmq_error code;
	bool silent; /* it does not answer that at all */
	const char *moved_to;
	const char *moved_token;
	bool left; /* Y: a copy with token "L…" */
	uint64_t leased;
	uint64_t seqs[MESSAGES_MAX]; /* of q */
	unsigned count;
	uint64_t comes;		 /* a message of that number comes as FREEZE is asked for */
	size_t large;		 /* bytes of each; 0: a small one */
	const char *bound;	 /* the one pattern that q is bound to; NULL: none */
	const char *bound_later; /* … by the time that it is frozen */
};
static struct fake x, y;
static struct mover *mover;
static uint64_t now;
static uint8_t token[CELL_TOKEN_SIZE];

#define SAY(f, name, ...) \
	do { \
		static uint8_t bytes_[FRAME_PAYLOAD_MAX + 64]; \
		struct writer w_ = writer_of(bytes_, sizeof(bytes_)); \
		size_t used_; \
		wire_put_##name(&w_, &(struct wire_##name){__VA_ARGS__}); \
		assert_false(w_.full); \
		client_input((f)->client, NOW(now), slice_of(w_.p, w_.len), &used_); \
	} while (0)

static void welcome(struct fake *f)
{
	uint8_t secret[SESSION_TOKEN_SIZE] = {1}, list[4 + sizeof(secret)];
	struct writer tags = writer_of(list, sizeof(list));
	tags_put(&tags, WELCOME_TAG_TOKEN, slice_of(secret, sizeof(secret)));
	SAY(f, welcome, WIRE_VERSION, WIRE_FEATURES, 9, f->last, 0, 1 << 20,
	    slice_of(tags.p, tags.len));
}

/* A numbered command's answer. */
static void answer(struct fake *f, unsigned type, unsigned step, uint64_t n, struct slice queue)
{
	bool meant = f->refuses == type && (f->step == 0 || f->step == step);
	if (meant && f->silent)
		return;
	if (meant && f->code) {
		if (f->moved_to)
			SAY(f, moved, queue, slice_str(f->moved_to),
			    slice_str(f->moved_token ? f->moved_token : ""), NO_TAGS);
		SAY(f, failed, n, (uint8_t)f->code, 0, slice_str("no"));
		return;
	}
	f->last = n;
	SAY(f, done, n, slice_of(NULL, 0));
}

static void on_move_out(struct fake *f, const struct wire_move_out *m)
{
	static const char *const steps[] = {"?", "HOLD", "FREEZE", "LET_GO", "GONE", "FOLLOW"};
	struct slice was;
	tell("%c %s%s", f->name, steps[m->step], m->token.data[0] == 'T' ? "" : " other");
	if (tags_find(m->tags, MOVE_OUT_TAG_WAS, &was))
		tell(" %.*s to %.*s", (int)was.len, (const char *)was.data, (int)m->cell.len,
		    (const char *)m->cell.data);
	tell("; ");
	if (m->step == MOVE_OUT_FREEZE && f->comes > 0) {
		f->seqs[f->count++] = f->comes;
		f->comes = 0;
	}
	if (m->step == MOVE_OUT_FREEZE && f->bound_later)
		f->bound = f->bound_later;
	answer(f, WIRE_TYPE_MOVE_OUT, m->step, m->n, m->queue);
}

static void on_move_in(struct fake *f, const struct wire_move_in *m)
{
	static const char *const steps[] = {"?", "BEGIN", "DROP", "OPEN"};
	tell("%c %s %c; ", f->name, steps[m->step], m->token.data[0]);
	answer(f, WIRE_TYPE_MOVE_IN, m->step, m->n, m->queue);
}

static void on_arrive(struct fake *f, const struct wire_arrive *m)
{
	tell("%c ARRIVE %.*s:%d", f->name, (int)m->queue.len, (const char *)m->queue.data,
	    (int)m->first_seq);
	if (m->flags & SEND_CHUNK)
		tell("[%d%s]", (int)m->part, m->flags & SEND_MORE ? "+" : "");
	tell("; ");
	answer(f, WIRE_TYPE_ARRIVE, 0, m->n, m->queue);
}

static void on_arrive_state(struct fake *f, const struct wire_arrive_state *m)
{
	tell("%c STATE%d %.*s=%.*s; ", f->name, m->what, (int)m->queue.len,
	    (const char *)m->queue.data, (int)m->data.len, (const char *)m->data.data);
	answer(f, WIRE_TYPE_ARRIVE_STATE, m->what, m->n, m->queue);
}

static void on_export(struct fake *f, const struct wire_export *m)
{
	bool q = slice_eq(m->queue, slice_str("q"));
	struct slice data = slice_of("s", 1);
	if (m->what == WITH_COPY)
		data = slice_of("LLLLLLLLLLLLLLLL", f->left ? CELL_TOKEN_SIZE : 0);
	if (f->refuses == WIRE_TYPE_EXPORT && f->moved_to && m->what == WITH_SETTINGS) {
		tell("%c EXPORT; ", f->name);
		SAY(f, moved, m->queue, slice_str(f->moved_to),
		    slice_str(f->moved_token ? f->moved_token : ""), NO_TAGS);
		return;
	}
	if (f->refuses == WIRE_TYPE_EXPORT && f->step == m->what)
		SAY(f, exported, m->req, m->what, (uint8_t)f->code, 0, 0, NO_TAGS,
		    slice_of(NULL, 0));
	else
		SAY(f, exported, m->req, m->what,
		    q || m->what == WITH_COPY ? RMQ_E_OK : RMQ_E_NO_QUEUE, 0, 0, NO_TAGS, data);
}

static void on_bindings(struct fake *f, const struct wire_bindings *m)
{
	struct slice none = slice_of("", 0);
	bool q = slice_eq(m->queue, slice_str("q"));
	if (q && f->bound)
		SAY(f, bound, m->req, m->queue, slice_str(f->bound), NO_TAGS);
	SAY(f, bindings_end, m->req, q ? RMQ_E_OK : RMQ_E_NO_QUEUE, false, none, none, NO_TAGS);
}

static void on_bind(struct fake *f, const struct wire_bind *m)
{
	tell("%c BIND%d %.*s %.*s; ", f->name, m->flags, (int)m->queue.len,
	    (const char *)m->queue.data, (int)m->pattern.len, (const char *)m->pattern.data);
	answer(f, WIRE_TYPE_BIND, 0, m->n, m->queue);
}

static void on_list(struct fake *f, const struct wire_list *m)
{
	struct wire_listed row = {.req = m->req, .queue = m->glob, .leased = f->leased};
	uint8_t bytes[512];
	struct writer w = writer_of(bytes, sizeof(bytes));
	size_t used;
	tell("%c LIST %.*s; ", f->name, (int)m->glob.len, (const char *)m->glob.data);
	wire_put_listed(&w, &row);
	if (slice_eq(m->glob, slice_str("q")))
		client_input(f->client, NOW(now), slice_of(w.p, w.len), &used);
	SAY(f, list_end, m->req, 0);
}

/* One message, small or large. */
static void show(struct fake *f, uint32_t req, uint64_t seq)
{
	static uint8_t body[CHUNK_MAX];
	if (f->large == 0) {
		SAY(f, peeked, req, STATE_READY, 0, seq, 0, 0, 0, 0, slice_of(NULL, 0), 0, 1,
		    NO_TAGS, slice_of("\3\0ab\n", 5));
		return;
	}
	uint32_t parts = (uint32_t)((f->large + CHUNK_MAX - 1) / CHUNK_MAX);
	for (uint32_t part = 0; part < parts; part++) {
		size_t at = (size_t)part * CHUNK_MAX;
		size_t len = f->large - at < CHUNK_MAX ? f->large - at : CHUNK_MAX;
		SAY(f, peeked_part, req, STATE_READY, 0, seq, 0, 0, 0, 0, slice_of(NULL, 0),
		    part, parts, (uint32_t)f->large, NO_TAGS, slice_of(body, len));
	}
}

static void on_peek(struct fake *f, const struct wire_peek *m)
{
	bool q = slice_eq(m->queue, slice_str("q"));
	uint64_t next = m->from;
	tell("%c PEEK %.*s from %d; ", f->name, (int)m->queue.len, (const char *)m->queue.data,
	    (int)m->from);
	for (unsigned i = 0; q && i < f->count; i++) {
		if (f->seqs[i] < m->from)
			continue;
		show(f, m->req, f->seqs[i]);
		next = f->seqs[i] + 1;
	}
	SAY(f, peek_end, m->req, q ? RMQ_E_OK : RMQ_E_NO_QUEUE, 0, next);
}

static void take(struct fake *f, const struct frame *frame)
{
	switch (frame->type) {
#define X(TYPE, name) \
	case WIRE_TYPE_##TYPE: { \
		struct wire_##name m; \
		assert_true(wire_##name##_decode(frame->payload, &m)); \
		on_##name(f, &m); \
		break; \
	}
		X(MOVE_OUT, move_out)
		X(MOVE_IN, move_in)
		X(ARRIVE, arrive)
		X(ARRIVE_STATE, arrive_state)
		X(EXPORT, export)
		X(BINDINGS, bindings)
		X(BIND, bind)
		X(LIST, list)
		X(PEEK, peek)
#undef X
	case WIRE_TYPE_HELLO:
		welcome(f);
		break;
	default:
		tell("%c %s; ", f->name, wire_name(frame->type));
	}
}

/* What the client has to say is taken and answered; false: nothing. */
static bool turn(struct fake *f)
{
	static uint8_t bytes[8 << 20];
	struct client_target target;
	struct slice pieces[CLIENT_PIECES];
	size_t len = 0, used, count;
	if (client_connect(f->client, NOW(now), &target))
		client_connected(f->client, NOW(now), 0);
	while ((count = client_output(f->client, NOW(now), pieces, CLIENT_PIECES)) > 0)
		for (size_t i = 0; i < count; i++) {
			memcpy(bytes + len, pieces[i].data, pieces[i].len);
			len += pieces[i].len;
			client_wrote(f->client, pieces[i].len);
		}
	for (size_t at = 0; at < len; at += used) {
		struct frame frame;
		assert_int_equal(frame_parse(slice_of(bytes + at, len - at), &frame, &used), 0);
		take(f, &frame);
	}
	return len > 0;
}

/* Until nobody has anything to say. */
static void go(void)
{
	do
		mover_turn(mover, NOW(now));
	while (turn(&x) | turn(&y));
	mover_turn(mover, NOW(now));
}

static void open_client(struct fake *f, enum mover_side side)
{
	struct client_config config = {
	    .servers = 1, .window = 16, .timeout_ms = 30000, .seed = 7, .pinned = true};
	struct client_host host = mover_host(mover, side);
	*f = (struct fake){.name = side == MOVER_X ? 'X' : 'Y'};
	f->client = client_new(&config, &host);
	assert_non_null(f->client);
}

static int setup(void **state)
{
	struct mover_config config = {
	    .queue = slice_str("q"), .to = slice_str("b"), .timeout_ms = 10000};
	(void)state;
	story[0] = 0;
	now = 1000;
	memset(token, 'T', sizeof(token));
	mover = mover_new(&config);
	assert_non_null(mover);
	open_client(&x, MOVER_X);
	open_client(&y, MOVER_Y);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	client_free(x.client);
	client_free(y.client);
	mover_free(mover);
	return 0;
}

static void begin(void)
{
	mover_begin(mover, NOW(now), x.client, y.client, token);
	go();
}

static void refuse(struct fake *f, unsigned type, unsigned step, enum rmq_error code)
{
	f->refuses = type;
	f->step = step;
	f->code = code;
}

static void assert_error(enum rmq_error code, const char *text)
{
	struct slice why;
	enum mover_side side;
	char said[512];
	assert_int_equal(mover_state(mover), MOVER_FAILED);
	assert_int_equal(mover_error(mover, &why, &side), code);
	snprintf(said, sizeof(said), "cell %c: %.*s", side == MOVER_X ? 'a' : 'b', (int)why.len,
	    (const char *)why.data);
	assert_string_equal(said, text);
}

#define BEFORE	"X HOLD; Y BEGIN T; X LIST q; X LIST q.dead; "
#define FIRST	"Y STATE1 q=s; X PEEK q from 0; "
#define STATES_ "Y STATE3 q=s; Y STATE4 q=s; Y STATE2 q=s; "
#define UNDONE	"X LET_GO; Y DROP T; "

/* ---- tests ---- */

static void a_queue_is_copied_and_only_then_let_go(void **state)
{
	(void)state;
	x.seqs[0] = 3;
	x.seqs[1] = 7;
	x.count = 2;
	begin();
	assert_int_equal(mover_state(mover), MOVER_DONE);
	assert_int_equal(mover_progress(mover).copied, 2);
	assert_story(BEFORE FIRST
	    "Y ARRIVE q:3; Y ARRIVE q:7; X FREEZE; Y STATE1 q=s; X PEEK q from 8; " STATES_
	    "X GONE; Y OPEN T; ");
}

static void what_comes_meanwhile_is_copied_once_it_is_frozen(void **state)
{
	(void)state;
	x.seqs[0] = 3;
	x.count = 1;
	x.comes = 4;
	begin();
	assert_int_equal(mover_state(mover), MOVER_DONE);
	assert_story(BEFORE FIRST
	    "Y ARRIVE q:3; X FREEZE; Y STATE1 q=s; X PEEK q from 4; Y ARRIVE q:4; " STATES_
	    "X GONE; Y OPEN T; ");
}

static void what_it_is_bound_to_is_bound_for_it_there_before_it_goes(void **state)
{
	(void)state;
	x.bound = "n.#";
	x.bound_later = "m.*";
	begin();
	assert_int_equal(mover_state(mover), MOVER_DONE);
	assert_story(
	    BEFORE "Y BIND1 q.away n.#; " FIRST
		   "X FREEZE; Y BIND1 q.away m.*; Y STATE1 q=s; X PEEK q from 0; " STATES_
		   "X GONE; Y OPEN T; ");
}

static void what_cannot_be_bound_there_stays(void **state)
{
	(void)state;
	x.bound = "n.#";
	refuse(&y, WIRE_TYPE_BIND, 0, RMQ_E_DENIED);
	begin();
	assert_error(RMQ_E_DENIED, "cell b: no");
	assert_int_equal(mover_gone(mover), MOVER_STAYS);
	assert_non_null(strstr(story, UNDONE));
	assert_null(strstr(story, "GONE"));
}

static void a_large_message_goes_in_pieces(void **state)
{
	(void)state;
	x.seqs[0] = 1;
	x.count = 1;
	x.large = 2 * CHUNK_MAX + 1;
	begin();
	assert_int_equal(mover_state(mover), MOVER_DONE);
	assert_non_null(
	    strstr(story, "Y ARRIVE q:1[0+]; Y ARRIVE q:1[1+]; Y ARRIVE q:1[2]; X FREEZE; "));
}

static void a_copy_that_was_left_is_dropped_under_the_promise(void **state)
{
	(void)state;
	y.left = true;
	begin();
	assert_int_equal(mover_state(mover), MOVER_DONE);
	assert_int_equal(strncmp(story, "X HOLD; Y DROP L; Y BEGIN T; ", 29), 0);
}

static void it_waits_until_nothing_is_leased(void **state)
{
	(void)state;
	x.leased = 2;
	begin();
	assert_story(BEFORE);
	assert_int_equal(mover_progress(mover).doing, MOVER_LEASES);
	assert_int_equal(mover_progress(mover).leased, 2);
	assert_true(mover_due_ms(mover, NOW(now)) > 0);
	now += mover_due_ms(mover, NOW(now));
	go();
	assert_story("X LIST q; X LIST q.dead; ");
	x.leased = 0;
	now += mover_due_ms(mover, NOW(now));
	go();
	assert_int_equal(mover_state(mover), MOVER_DONE);
}

static void it_gives_up_if_no_lease_ends_in_time(void **state)
{
	(void)state;
	x.leased = 2;
	begin();
	now += 9000;
	x.leased = 1; /* one has: the time begins anew */
	go();
	now += 9999;
	go();
	assert_int_equal(mover_state(mover), MOVER_GOES);
	story[0] = 0;
	now += 1;
	go();
	assert_story(UNDONE);
	assert_error(RMQ_E_TIMEOUT,
	    "cell a: 1 message is leased, and none was settled or given back within 10s (--timeout)");
	assert_int_equal(mover_gone(mover), MOVER_STAYS);
}

static void another_mover_is_waited_for(void **state)
{
	(void)state;
	refuse(&x, WIRE_TYPE_MOVE_OUT, MOVE_OUT_HOLD, RMQ_E_BUSY);
	begin();
	assert_story("X HOLD; ");
	assert_int_equal(mover_progress(mover).doing, MOVER_OTHER);
	now += mover_due_ms(mover, NOW(now));
	go();
	assert_story("X HOLD; ");
	now += 10000;
	go();
	assert_error(RMQ_E_BUSY, "cell a: no");
	assert_story("");
}

static void a_promise_that_has_ended_begins_anew(void **state)
{
	(void)state;
	refuse(&x, WIRE_TYPE_MOVE_OUT, MOVE_OUT_FREEZE, RMQ_E_STALE);
	begin();
	assert_int_equal(mover_state(mover), MOVER_AGAIN);
	assert_story(BEFORE FIRST "X FREEZE; Y DROP T; X LET_GO; ");
	x.refuses = 0;
	begin();
	assert_int_equal(mover_state(mover), MOVER_DONE);
}

/* What only a frozen queue tells is asked for in vain: the connection was lost, or it was silent too long. */
static void a_promise_that_has_ended_while_frozen_begins_anew(void **state)
{
	(void)state;
	refuse(&x, WIRE_TYPE_EXPORT, WITH_COUNTS, RMQ_E_BUSY);
	begin();
	assert_int_equal(mover_state(mover), MOVER_AGAIN);
	assert_null(strstr(story, "GONE"));
	assert_non_null(strstr(story, "X LET_GO; "));
	assert_non_null(strstr(story, "Y DROP T; "));
}

static void a_refused_end_leaves_all_as_it_was(void **state)
{
	(void)state;
	refuse(&x, WIRE_TYPE_MOVE_OUT, MOVE_OUT_GONE, RMQ_E_DISK_FULL);
	begin();
	assert_error(RMQ_E_DISK_FULL, "cell a: no");
	assert_int_equal(mover_gone(mover), MOVER_STAYS);
	assert_story(BEFORE FIRST "X FREEZE; Y STATE1 q=s; X PEEK q from 0; " STATES_
				  "X GONE; Y DROP T; X LET_GO; ");
}

static void what_y_refuses_is_never_let_go(void **state)
{
	(void)state;
	x.seqs[0] = 1;
	x.count = 1;
	refuse(&y, WIRE_TYPE_ARRIVE, 0, RMQ_E_DISK_FULL);
	begin();
	assert_error(RMQ_E_DISK_FULL, "cell b: no");
	assert_null(strstr(story, "GONE"));
	assert_non_null(strstr(story, UNDONE));
	/* … nor if it is the last thing that X has. */
	story[0] = 0;
	refuse(&y, WIRE_TYPE_ARRIVE_STATE, WITH_COUNTS, RMQ_E_STALE);
	begin();
	assert_int_equal(mover_state(mover), MOVER_AGAIN);
	assert_null(strstr(story, "GONE"));
	assert_non_null(strstr(story, UNDONE));
}

static void a_copy_is_kept_if_it_is_not_known_whether_x_let_go(void **state)
{
	(void)state;
	refuse(&x, WIRE_TYPE_MOVE_OUT, MOVE_OUT_GONE, RMQ_E_OK);
	x.silent = true;
	begin();
	assert_int_equal(mover_state(mover), MOVER_GOES);
	client_fail(x.client, RMQ_E_NO_DAEMON, slice_str("gone"));
	story[0] = 0;
	go();
	assert_error(RMQ_E_NO_DAEMON, "cell a: gone");
	assert_int_equal(mover_gone(mover), MOVER_UNKNOWN);
	assert_story("");
}

static void what_x_has_let_go_is_opened_by_others_if_y_is_gone(void **state)
{
	(void)state;
	refuse(&x, WIRE_TYPE_MOVE_OUT, MOVE_OUT_GONE, RMQ_E_OK);
	x.silent = true;
	begin();
	client_fail(y.client, RMQ_E_NO_DAEMON, slice_str("gone"));
	mover_turn(mover, NOW(now));
	assert_int_equal(mover_state(mover), MOVER_GOES);
	story[0] = 0;
	SAY(&x, done, x.last + 1, slice_of(NULL, 0));
	mover_turn(mover, NOW(now));
	assert_error(RMQ_E_NO_DAEMON, "cell b: gone");
	assert_int_equal(mover_gone(mover), MOVER_GONE);
	assert_story("");
}

static void a_copy_whose_mover_has_died_is_opened(void **state)
{
	(void)state;
	refuse(&x, WIRE_TYPE_MOVE_OUT, MOVE_OUT_HOLD, RMQ_E_ELSEWHERE);
	x.moved_to = "b";
	x.moved_token = "MMMMMMMMMMMMMMMM";
	y.left = true;
	begin();
	assert_int_equal(mover_state(mover), MOVER_DONE);
	assert_story("X HOLD; Y OPEN M; ");
}

static void a_queue_of_another_cell_is_said_to_be_there(void **state)
{
	struct slice servers;
	(void)state;
	refuse(&x, WIRE_TYPE_MOVE_OUT, MOVE_OUT_HOLD, RMQ_E_ELSEWHERE);
	x.moved_to = "c";
	begin();
	assert_int_equal(mover_state(mover), MOVER_ELSEWHERE);
	assert_true(slice_eq(mover_elsewhere(mover, &servers), slice_str("c")));
	assert_story("X HOLD; ");
}

static void a_promise_that_was_only_remembered_is_asked_for_anew(void **state)
{
	(void)state;
	/* Its connection was lost, and another mover has moved the queue meanwhile. */
	refuse(&y, WIRE_TYPE_MOVE_IN, MOVE_IN_BEGIN, RMQ_E_EXISTS);
	begin();
	assert_int_equal(mover_state(mover), MOVER_AGAIN);
	assert_story("X HOLD; Y BEGIN T; " UNDONE);
}

static void shorten(const char *to, const char *was)
{
	refuse(&x, WIRE_TYPE_EXPORT, 0, RMQ_E_ELSEWHERE);
	x.moved_to = to;
	x.moved_token = was;
	mover_shorten(mover, NOW(now), x.client, y.client, token);
	go();
}

#define WAS "WWWWWWWWWWWWWWWW"

/* What is read first may be older than what Y says, never younger. */
static void a_way_is_made_shorter_once_the_queue_is_known_to_be_there(void **state)
{
	(void)state;
	shorten("c", WAS);
	assert_int_equal(mover_state(mover), MOVER_DONE);
	assert_true(mover_shortened(mover));
	assert_story("X EXPORT; Y OPEN T; X FOLLOW " WAS " to b; ");
}

static void a_way_that_is_short_or_none_stays(void **state)
{
	(void)state;
	shorten("b", WAS);
	assert_int_equal(mover_state(mover), MOVER_DONE);
	/* By its home alone. */
	shorten("c", NULL);
	assert_int_equal(mover_state(mover), MOVER_DONE);
	/* It is there. */
	x.moved_to = NULL;
	mover_shorten(mover, NOW(now), x.client, y.client, token);
	go();
	assert_int_equal(mover_state(mover), MOVER_DONE);
	assert_false(mover_shortened(mover));
	/* It comes there. */
	refuse(&x, WIRE_TYPE_EXPORT, WITH_SETTINGS, RMQ_E_PAUSED);
	mover_shorten(mover, NOW(now), x.client, y.client, token);
	go();
	assert_int_equal(mover_state(mover), MOVER_DONE);
	assert_story("X EXPORT; X EXPORT; ");
}

static void no_way_is_made_to_where_the_queue_is_not(void **state)
{
	static const enum rmq_error codes[] = {RMQ_E_STALE, RMQ_E_ELSEWHERE};
	(void)state;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		refuse(&y, WIRE_TYPE_MOVE_IN, MOVE_IN_OPEN, codes[i]);
		shorten("c", WAS);
		assert_int_equal(mover_state(mover), MOVER_ELSEWHERE);
		assert_false(mover_shortened(mover));
		assert_story("X EXPORT; Y OPEN T; ");
	}
}

static void a_way_that_cannot_be_made_shorter_is_said(void **state)
{
	(void)state;
	refuse(&y, WIRE_TYPE_MOVE_IN, MOVE_IN_OPEN, RMQ_E_DISK_FULL);
	shorten("c", WAS);
	assert_error(RMQ_E_DISK_FULL, "cell b: no");
	assert_false(mover_shortened(mover));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	    TEST(a_queue_is_copied_and_only_then_let_go),
	    TEST(what_comes_meanwhile_is_copied_once_it_is_frozen),
	    TEST(what_it_is_bound_to_is_bound_for_it_there_before_it_goes),
	    TEST(what_cannot_be_bound_there_stays),
	    TEST(a_large_message_goes_in_pieces),
	    TEST(a_copy_that_was_left_is_dropped_under_the_promise),
	    TEST(it_waits_until_nothing_is_leased),
	    TEST(it_gives_up_if_no_lease_ends_in_time),
	    TEST(another_mover_is_waited_for),
	    TEST(a_promise_that_has_ended_begins_anew),
	    TEST(a_promise_that_has_ended_while_frozen_begins_anew),
	    TEST(a_refused_end_leaves_all_as_it_was),
	    TEST(what_y_refuses_is_never_let_go),
	    TEST(a_copy_is_kept_if_it_is_not_known_whether_x_let_go),
	    TEST(what_x_has_let_go_is_opened_by_others_if_y_is_gone),
	    TEST(a_copy_whose_mover_has_died_is_opened),
	    TEST(a_queue_of_another_cell_is_said_to_be_there),
	    TEST(a_promise_that_was_only_remembered_is_asked_for_anew),
	    TEST(a_way_is_made_shorter_once_the_queue_is_known_to_be_there),
	    TEST(a_way_that_is_short_or_none_stays),
	    TEST(no_way_is_made_to_where_the_queue_is_not),
	    TEST(a_way_that_cannot_be_made_shorter_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
