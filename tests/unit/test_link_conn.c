/* Encrypted connections over TCP on the loopback, all in one loop. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sodium.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <uv.h>

#include "sys/net/link_dialer.h"
#include "sys/net/link_listener.h"
#include "sys/net/link_state.h"
#include "sys/process/clock.h"

#define WAIT_MS 20000

static const uint8_t secret_a[KEY_SIZE] = {0, 'a', 1}, secret_b[KEY_SIZE] = {0, 'b', 1};
static const uint8_t secret_c[KEY_SIZE] = {0, 'c', 1};
static uint8_t key_a[KEY_SIZE], key_b[KEY_SIZE], key_c[KEY_SIZE];
static struct keypair pair_a, pair_b, pair_c;

/* What one end was told. */
struct end {
	struct link_conn *conn;
	unsigned ups, downs, frames, drained, failures, refusals, unheard, asked;
	enum rmq_error error;
	enum link_role role;
	uint8_t peer[KEY_SIZE];
	char why[256];
	size_t bytes;
	uint8_t last; /* type of the last frame */
	bool echo;    /* frames go back */
	bool close_on_frame, cut_on_frame, close_on_up;
	uint64_t failed_ms[64];
};

static uv_loop_t loop;
static struct link_net *net_a, *net_b;
static struct link_listener *listener;
static struct end a, b;

/* ---- the hosts ---- */

static void on_up(void *arg, struct link_conn *c)
{
	struct end *e = arg;
	e->conn = c;
	e->ups++;
	e->role = link_conn_role(c);
	memcpy(e->peer, link_conn_peer(c), KEY_SIZE);
	if (e == &b)
		link_conn_let_in(c);
	if (e->close_on_up)
		link_conn_close(c);
}

static void on_frame(void *arg, struct link_conn *c, const struct frame *frame)
{
	struct end *e = arg;
	uint8_t header[FRAME_HEADER_SIZE];
	e->frames++;
	e->bytes += frame->payload.len;
	e->last = frame->type;
	for (size_t i = 0; i < frame->payload.len; i += 997)
		assert_int_equal(frame->payload.data[i], (uint8_t)(frame->type + i));
	if (e->close_on_frame)
		link_conn_close(c);
	if (e->cut_on_frame)
		link_conn_cut(c);
	if (!e->echo)
		return;
	frame_header(header, frame->type, frame->payload.len);
	struct slice pieces[] = {slice_of(header, sizeof(header)), frame->payload};
	assert_int_equal(link_conn_send(c, pieces, 2), RMQ_E_OK);
}

static void on_drained(void *arg, struct link_conn *c)
{
	struct end *e = arg;
	(void)c;
	e->drained++;
}

static void on_down(void *arg, struct link_conn *c, enum rmq_error err, const char *why)
{
	struct end *e = arg;
	assert_ptr_equal(c, e->conn);
	e->conn = NULL;
	e->downs++;
	e->error = err;
	snprintf(e->why, sizeof(e->why), "%s", why);
}

static void on_failed(void *arg, enum rmq_error err, const char *why)
{
	struct end *e = arg;
	e->failed_ms[e->failures++ % 64] = clock_mono().ms;
	e->error = err;
	snprintf(e->why, sizeof(e->why), "%s", why);
}

static void on_refused(void *arg, const char *address, const char *why)
{
	struct end *e = arg;
	assert_non_null(strchr(address, ':'));
	e->refusals++;
	snprintf(e->why, sizeof(e->why), "%s", why);
}

static void on_unheard(void *arg, const char *address, const char *why, uint64_t count)
{
	struct end *e = arg;
	assert_non_null(strchr(address, ':'));
	assert_true(count > 0);
	e->unheard++;
	snprintf(e->why, sizeof(e->why), "%s", why);
}

static bool known(void *arg, enum link_role role, const uint8_t key[KEY_SIZE])
{
	struct end *e = arg;
	e->asked++;
	return role != LINK_GATE && memcmp(key, key_a, KEY_SIZE) == 0;
}

static const struct link_events events = {
    .up = on_up, .frame = on_frame, .drained = on_drained, .down = on_down};

/* ---- the world ---- */

static unsigned ticks;

/* Lets conditions outside of the loop be looked at again. */
static void on_tick(uv_timer_t *timer)
{
	(void)timer;
	ticks++;
}

/* Turns the loop until the condition holds. */
#define wait_until(condition) \
	do { \
		uint64_t begin_ = clock_mono().ms; \
		uv_timer_t tick_; \
		uv_timer_init(&loop, &tick_); \
		uv_timer_start(&tick_, on_tick, 5, 5); \
		uv_unref((uv_handle_t *)&tick_); \
		while (!(condition) && clock_mono().ms - begin_ < WAIT_MS) \
			uv_run(&loop, UV_RUN_ONCE); \
		uv_close((uv_handle_t *)&tick_, NULL); \
		uv_run(&loop, UV_RUN_NOWAIT); \
		if (clock_mono().ms - begin_ >= WAIT_MS) \
			fail_msg("in vain: %s", #condition); \
	} while (0)

static struct link_listener_options listening(void)
{
	struct link_listener_options o = {.address = {.host = "127.0.0.1"},
	    .roles = LINK_ROLE_BIT(LINK_NODE) | LINK_ROLE_BIT(LINK_BULK) |
		     LINK_ROLE_BIT(LINK_GATE) | LINK_ROLE_BIT(LINK_JOIN),
	    .known = known,
	    .events = events,
	    .refused = on_refused,
	    .unheard = on_unheard,
	    .arg = &b};
	return o;
}

static void listen_with(const struct link_listener_options *o)
{
	struct reason why = {""};
	link_listener_free(listener);
	assert_int_equal(link_listener_new(net_b, o, &listener, &why), RMQ_E_OK);
}

static struct link_dialer_options dialing(void)
{
	struct link_dialer_options o = {
	    .address = {.host = "127.0.0.1", .port = link_listener_port(listener)},
	    .name = slice_str("node-b"),
	    .role = LINK_NODE,
	    .events = events,
	    .failed = on_failed,
	    .arg = &a};
	memcpy(o.key, key_b, KEY_SIZE);
	return o;
}

static struct keypair pair_of(const uint8_t secret[KEY_SIZE], uint8_t key[KEY_SIZE])
{
	struct keypair pair;
	memcpy(pair.secret, secret, KEY_SIZE);
	assert_true(key_public(secret, pair.key));
	memcpy(key, pair.key, KEY_SIZE);
	return pair;
}

static int setup(void **state)
{
	(void)state;
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	listener = NULL;
	pair_a = pair_of(secret_a, key_a);
	pair_b = pair_of(secret_b, key_b);
	pair_c = pair_of(secret_c, key_c);
	assert_int_equal(uv_loop_init(&loop), 0);
	net_a = link_net_new(&loop, &pair_a, slice_str("node-a"));
	net_b = link_net_new(&loop, &pair_b, slice_str("node-b"));
	link_net_cluster(net_a, slice_str("cluster"));
	link_net_cluster(net_b, slice_str("cluster"));
	struct link_listener_options o = listening();
	listen_with(&o);
	return 0;
}

/* Everything is freed: the loop has nothing left to do. */
static int teardown(void **state)
{
	(void)state;
	link_listener_free(listener);
	if (b.conn)
		link_conn_close(b.conn);
	link_net_free(net_a);
	link_net_free(net_b);
	wait_until(!uv_loop_alive(&loop));
	assert_int_equal(uv_loop_close(&loop), 0);
	return 0;
}

static struct link_dialer *dial(const struct link_dialer_options *o)
{
	struct link_dialer *d = link_dialer_new(net_a, o);
	assert_non_null(d);
	return d;
}

static struct link_dialer *establish(void)
{
	struct link_dialer_options o = dialing();
	struct link_dialer *d = dial(&o);
	wait_until(a.ups == 1 && b.ups == 1);
	return d;
}

static enum rmq_error send_frame(struct link_conn *c, uint8_t type, size_t len)
{
	static uint8_t bytes[FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX];
	frame_header(bytes, type, len);
	for (size_t i = 0; i < len; i++)
		bytes[FRAME_HEADER_SIZE + i] = (uint8_t)(type + i);
	struct slice pieces[] = {
	    slice_of(bytes, 3), slice_of(bytes + 3, FRAME_HEADER_SIZE + len - 3)};
	return link_conn_send(c, pieces, 2);
}

/* The first bytes of a frame of so many. */
static enum rmq_error send_part(struct link_conn *c, size_t len, size_t part)
{
	static uint8_t bytes[FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX];
	frame_header(bytes, 7, len);
	for (size_t i = 0; i < len; i++)
		bytes[FRAME_HEADER_SIZE + i] = (uint8_t)(7 + i);
	return link_conn_send(c, &(struct slice){bytes, part}, 1);
}

static enum rmq_error send_rest(struct link_conn *c, size_t len, size_t from, size_t part)
{
	static uint8_t bytes[FRAME_PAYLOAD_MAX];
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(7 + i);
	return link_conn_send(c, &(struct slice){bytes + from - FRAME_HEADER_SIZE, part}, 1);
}

/* ---- a connection ---- */

static void frames_go_both_ways(void **state)
{
	static const size_t sizes[] = {0, 1, 7, 997, 65518, 65536, FRAME_PAYLOAD_MAX, 3};
	size_t bytes = 0;
	(void)state;
	b.echo = true;
	struct link_dialer *d = establish();
	assert_ptr_equal(link_dialer_conn(d), a.conn);
	assert_memory_equal(a.peer, key_b, KEY_SIZE);
	assert_memory_equal(b.peer, key_a, KEY_SIZE);
	assert_int_equal(b.role, LINK_NODE);
	for (size_t i = 0; i < 8; i++) {
		assert_int_equal(send_frame(a.conn, (uint8_t)i, sizes[i]), RMQ_E_OK);
		bytes += sizes[i];
	}
	wait_until(a.frames == 8);
	assert_int_equal(a.bytes, bytes);
	assert_int_equal(b.bytes, bytes);
	assert_int_equal(a.last, 7);
	link_dialer_free(d);
	wait_until(b.downs == 1);
	assert_int_equal(b.error, RMQ_E_OK);
	assert_int_equal(a.downs, 0);
}

/* What is sent in one turn leaves in few records, though each is small. */
static void small_frames_of_a_turn_share_records(void **state)
{
	(void)state;
	struct link_dialer *d = establish();
	for (int i = 0; i < 1000; i++)
		assert_int_equal(send_frame(a.conn, 1, 20), RMQ_E_OK);
	assert_int_equal(link_conn_queued(a.conn), 28000);
	link_net_flush(net_a);
	assert_int_equal(link_conn_queued(a.conn), 0);
	assert_int_equal(a.conn->link.noise.out.counter, 2); /* the confirmation is the first */
	wait_until(b.frames == 1000);
	assert_int_equal(a.drained, 1);
	link_dialer_free(d);
}

/* An idle connection keeps no memory for bytes. */
static void an_idle_connection_is_small(void **state)
{
	(void)state;
	b.echo = true;
	struct link_dialer *d = establish();
	for (int i = 0; i < 50; i++)
		assert_int_equal(send_frame(a.conn, 1, FRAME_PAYLOAD_MAX), RMQ_E_OK);
	wait_until(a.frames == 50);
	struct link_conn *ends[] = {a.conn, b.conn};
	for (int i = 0; i < 2; i++) {
		assert_null(ends[i]->raw);
		assert_null(ends[i]->plain);
		assert_true(STAILQ_EMPTY(&ends[i]->blocks));
	}
	assert_in_range(net_a->in.count, 0, LINK_POOL_MAX);
	assert_in_range(net_a->out.count, 0, LINK_POOL_MAX);
	assert_in_range(sizeof(struct link_conn), 0, 4096);
	link_dialer_free(d);
}

static void the_queue_is_bounded_and_drains(void **state)
{
	unsigned sent = 0;
	(void)state;
	struct link_dialer_options o = dialing();
	o.window = (struct link_window){.max = 16 << 20, .mark = 1 << 20};
	struct link_dialer *d = dial(&o);
	wait_until(a.ups == 1 && b.ups == 1);
	while (send_frame(a.conn, 1, 65536) == RMQ_E_OK)
		sent++;
	assert_int_equal(send_frame(a.conn, 1, 65536), RMQ_E_FULL);
	assert_in_range(link_conn_queued(a.conn), (16 << 20) - 65544, 16 << 20);
	assert_int_equal(a.drained, 0);
	wait_until(a.drained == 1);
	assert_in_range(link_conn_queued(a.conn), 0, 1 << 20);
	wait_until(b.frames == sent);
	assert_int_equal(b.bytes, (size_t)sent * 65536);
	link_dialer_free(d);
}

/* ---- the end of one ---- */

static void closing_sends_what_is_queued_and_a_cut_is_told_as_one(void **state)
{
	(void)state;
	struct link_dialer *d = establish();
	for (int i = 0; i < 100; i++)
		assert_int_equal(send_frame(a.conn, 1, 60000), RMQ_E_OK);
	assert_int_equal(send_frame(b.conn, 1, 10), RMQ_E_OK);
	link_conn_close(a.conn);
	assert_null(link_dialer_conn(d));
	wait_until(b.downs == 1);
	assert_int_equal(b.error, RMQ_E_OK);
	assert_int_equal(b.frames, 100);
	assert_int_equal(a.downs, 0);
	assert_int_equal(a.frames, 0);
	/* The dialer dials again. */
	wait_until(a.ups == 2 && b.ups == 2);
	link_conn_cut(a.conn);
	wait_until(b.downs == 2);
	assert_int_equal(b.error, RMQ_E_INTERRUPTED);
	wait_until(a.ups == 3 && b.ups == 3);
	/* The other way round. */
	link_conn_close(b.conn);
	b.conn = NULL;
	wait_until(a.downs == 1);
	assert_int_equal(a.error, RMQ_E_OK);
	wait_until(a.ups == 4 && b.ups == 4);
	link_conn_cut(b.conn);
	b.conn = NULL;
	wait_until(a.downs == 2);
	assert_int_equal(a.error, RMQ_E_INTERRUPTED);
	link_dialer_free(d);
}

/* A frame that stands where it is sealed. */
static size_t fill_frame(uint8_t type, size_t want)
{
	size_t room = 0;
	uint8_t *place = link_conn_room(a.conn, want, &room);
	assert_non_null(place);
	assert_in_range(room, want, LINK_DATA_MAX);
	frame_header(place, type, want - FRAME_HEADER_SIZE);
	for (size_t i = FRAME_HEADER_SIZE; i < want; i++)
		place[i] = (uint8_t)(type + i - FRAME_HEADER_SIZE);
	link_conn_filled(a.conn, want);
	return room;
}

static void frames_are_put_where_they_are_sealed(void **state)
{
	(void)state;
	size_t room;
	struct link_dialer *d = establish();
	assert_int_equal(send_frame(a.conn, 1, 70), RMQ_E_OK);
	assert_int_equal(
	    fill_frame(2, LINK_DATA_MAX - 1000), LINK_DATA_MAX - 70 - FRAME_HEADER_SIZE);
	assert_int_equal(fill_frame(3, LINK_DATA_MAX), LINK_DATA_MAX);
	assert_int_equal(fill_frame(4, 900), LINK_DATA_MAX);
	assert_int_equal(send_frame(a.conn, 5, 70), RMQ_E_OK);
	size_t queued = link_conn_queued(a.conn);
	/* Nothing was put there, in a record that has something and in one that has not. */
	assert_non_null(link_conn_room(a.conn, 10, &room));
	link_conn_filled(a.conn, 0);
	assert_non_null(link_conn_room(a.conn, LINK_DATA_MAX, &room));
	link_conn_filled(a.conn, 0);
	assert_int_equal(link_conn_queued(a.conn), queued);
	wait_until(b.frames == 5);
	assert_int_equal(b.last, 5);
	assert_int_equal(link_conn_queued(a.conn), 0);
	for (int i = 0; link_conn_room(a.conn, LINK_DATA_MAX, &room); i++) {
		assert_in_range(i, 0, 1000);
		link_conn_filled(a.conn, LINK_DATA_MAX);
	}
	assert_int_equal(send_frame(a.conn, 1, FRAME_PAYLOAD_MAX), RMQ_E_FULL);
	link_dialer_free(d);
}

static void a_callback_may_end_its_connection(void **state)
{
	(void)state;
	struct link_dialer *d = establish();
	for (int i = 0; i < 2; i++) {
		unsigned frames = b.frames, ups = b.ups;
		b.close_on_frame = i == 0;
		b.cut_on_frame = i == 1;
		for (int n = 0; n < 5; n++)
			assert_int_equal(send_frame(a.conn, 1, 70), RMQ_E_OK);
		wait_until(a.downs == (unsigned)i + 1);
		assert_int_equal(a.error, i == 0 ? RMQ_E_OK : RMQ_E_INTERRUPTED);
		assert_int_equal(b.frames, frames + 1);
		b.conn = NULL;
		wait_until(b.ups == ups + 1 && a.ups == b.ups);
	}
	b.close_on_frame = b.cut_on_frame = false;
	b.close_on_up = true;
	link_conn_close(a.conn);
	wait_until(a.downs >= 5);
	assert_int_equal(b.frames, 2);
	link_dialer_free(d);
	b.conn = NULL;
}

/* ---- who is not let in ---- */

/* A dialer like that is not let in, and the listener's host hears of nothing. */
static void assert_out(struct link_net *net, const struct link_dialer_options *o,
    const char *listener_why, unsigned asked)
{
	unsigned refusals = b.refusals, failures = a.failures;
	b.asked = 0;
	struct link_dialer *d = link_dialer_new(net, o);
	wait_until(b.refusals > refusals && a.failures > failures);
	link_dialer_free(d);
	assert_int_equal(a.error, RMQ_E_DENIED);
	assert_string_equal(b.why, listener_why);
	assert_in_range(b.asked, asked, asked * 3);
	assert_int_equal(a.ups + b.ups + b.frames, 0);
}

static void strangers_are_not_let_in(void **state)
{
	static const char meant[] = "it expects another key, name or cluster";
	struct link_dialer_options o = dialing();
	struct link_net *net_c = link_net_new(&loop, &pair_c, slice_str("node-c"));
	(void)state;
	link_net_cluster(net_c, slice_str("cluster"));
	assert_out(net_c, &o, "its key is not known", 1);
	memcpy(o.key, key_c, KEY_SIZE);
	assert_out(net_a, &o, meant, 0);
	o = dialing();
	o.name = slice_str("node-c");
	assert_out(net_a, &o, meant, 0);
	o = dialing();
	o.role = LINK_GATE;
	assert_out(net_a, &o, "its key is not known", 1);
	o.role = LINK_CLIENT;
	assert_out(net_a, &o, "it does not speak the link protocol of rmq", 0);
	o.role = LINK_BULK;
	link_net_cluster(net_a, slice_str("another"));
	assert_out(net_a, &o, meant, 0);
	/* Who joins means any cluster. */
	o.role = LINK_JOIN;
	struct link_dialer *d = dial(&o);
	wait_until(b.ups == 1);
	assert_int_equal(b.role, LINK_JOIN);
	link_dialer_free(d);
	wait_until(b.downs == 1);
	/* Our own key, at our own port. */
	o = dialing();
	link_net_free(net_c);
	net_c = link_net_new(&loop, &pair_b, slice_str("node-b"));
	a.failures = 0;
	d = link_dialer_new(net_c, &o);
	wait_until(a.failures > 0);
	assert_int_equal(a.error, RMQ_E_DENIED);
	link_dialer_free(d);
	link_net_free(net_c);
}

static void who_knows_the_older_key_is_let_in_as_well(void **state)
{
	static const char meant[] = "it expects another key, name or cluster";
	struct link_dialer_options o = dialing();
	(void)state;
	memcpy(o.key, key_c, KEY_SIZE);
	assert_out(net_a, &o, meant, 0);
	link_net_old_key(net_b, &pair_c);
	struct link_dialer *d = dial(&o);
	wait_until(a.ups == 1 && b.ups == 1);
	assert_memory_equal(b.peer, key_a, KEY_SIZE);
	assert_int_equal(send_frame(a.conn, 7, 997), RMQ_E_OK);
	wait_until(b.frames == 1);
	link_dialer_free(d);
	wait_until(b.downs == 1);
	/* The newer one goes on; a third one, and whoever is not known, are out. */
	o = dialing();
	d = dial(&o);
	wait_until(a.ups == 2 && b.ups == 2);
	link_dialer_free(d);
	wait_until(b.downs == 2);
	a.ups = b.ups = b.frames = 0;
	memcpy(o.key, key_a, KEY_SIZE);
	o.name = slice_str("node-b");
	struct link_net *net_c = link_net_new(&loop, &pair_c, slice_str("node-c"));
	link_net_cluster(net_c, slice_str("cluster"));
	assert_out(net_c, &o, meant, 0);
	memcpy(o.key, key_b, KEY_SIZE);
	assert_out(net_c, &o, "its key is not known", 1);
	link_net_free(net_c);
}

/* ---- bytes of our own ---- */

struct raw {
	int fd;
	struct link link;
	uint8_t bytes[256]; /* what it has sent, or will */
	struct writer out;
	uint8_t in[256];
	size_t in_len;
};

/* A connection from 127.0.0.0 + host. */
static int raw_connect(uint16_t port, uint32_t host)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	in.sin_addr.s_addr = htonl(0x7f000000 + host);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	in.sin_port = htons(port);
	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

/* Whether the other side has ended it. */
static bool closed(int fd)
{
	uint8_t byte;
	ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	return n == 0 || (n < 0 && errno != EAGAIN);
}

static void raw_send(struct raw *r, const void *bytes, size_t len)
{
	assert_int_equal(send(r->fd, bytes, len, MSG_NOSIGNAL), len);
}

static bool raw_received(struct raw *r, size_t len)
{
	ssize_t n = recv(r->fd, r->in + r->in_len, sizeof(r->in) - r->in_len, 0);
	if (n > 0)
		r->in_len += (size_t)n;
	return r->in_len >= len;
}

/* Connects; r->out is role and message 1 of node a. */
static void raw_begin(struct raw *r, const uint8_t ephemeral[KEY_SIZE])
{
	struct link_identity id = {.role = LINK_NODE,
	    .cluster = slice_str("cluster"),
	    .responder = slice_str("node-b"),
	    .own = &pair_a,
	    .ephemeral = ephemeral};
	memset(r, 0, sizeof(*r));
	r->fd = raw_connect(link_listener_port(listener), 1);
	r->out = writer_of(r->bytes, sizeof(r->bytes));
	assert_int_equal(link_initiate(&r->link, &id, key_b, &r->out), RMQ_E_OK);
}

/* Takes message 2; r->out is the confirmation. */
static void raw_take(struct raw *r)
{
	uint8_t nothing[1];
	struct writer plain = writer_of(nothing, 0);
	size_t used;
	wait_until(raw_received(r, LINK_REPLY_MAX));
	r->out.len = 0;
	assert_int_equal(
	    link_receive(&r->link, slice_of(r->in, r->in_len), &used, &plain, &r->out),
	    RMQ_E_OK);
	assert_int_equal(used, LINK_REPLY_MAX);
	assert_int_equal(r->out.len, LINK_OVERHEAD);
}

static void raw_establish(struct raw *r)
{
	static const uint8_t ephemeral[KEY_SIZE] = {1, 2, 3};
	unsigned ups = b.ups;
	raw_begin(r, ephemeral);
	raw_send(r, r->bytes, r->out.len);
	raw_take(r);
	raw_send(r, r->bytes, r->out.len);
	wait_until(b.ups == ups + 1);
}

static void a_repeated_message_1_has_no_effect(void **state)
{
	static const uint8_t ephemeral[KEY_SIZE] = {1, 2, 3};
	struct raw first, again;
	(void)state;
	raw_begin(&first, ephemeral);
	raw_send(&first, first.bytes, first.out.len);
	memcpy(again.bytes, first.bytes, sizeof(again.bytes));
	raw_take(&first);
	raw_send(&first, first.bytes, first.out.len);
	wait_until(b.ups == 1);
	/* Someone has listened, and says the same. */
	again.in_len = 0;
	again.fd = raw_connect(link_listener_port(listener), 1);
	raw_send(&again, again.bytes, LINK_FIRST_SIZE);
	wait_until(raw_received(&again, LINK_REPLY_MAX));
	raw_send(&again, first.bytes, LINK_OVERHEAD);
	wait_until(closed(again.fd));
	assert_int_equal(b.ups, 1);
	assert_int_equal(b.asked, 2);
	assert_int_equal(b.refusals, 1);
	assert_false(closed(first.fd));
	close(first.fd);
	close(again.fd);
	wait_until(b.downs == 1);
}

static void a_handshake_cut_at_any_byte_leaves_nothing(void **state)
{
	static const uint8_t ephemeral[KEY_SIZE] = {1, 2, 3};
	const struct sockaddr_in host = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct raw r;
	(void)state;
	/* Of a stranger so many are not heard. */
	link_net_know(net_b, (const struct sockaddr *)&host);
	for (size_t len = 0; len < LINK_FIRST_SIZE + LINK_OVERHEAD; len++) {
		unsigned refusals = b.refusals;
		size_t first = len < LINK_FIRST_SIZE ? len : LINK_FIRST_SIZE;
		raw_begin(&r, ephemeral);
		raw_send(&r, r.bytes, first);
		if (first == LINK_FIRST_SIZE) {
			raw_take(&r);
			raw_send(&r, r.bytes, len - first);
		}
		close(r.fd);
		wait_until(b.refusals == refusals + 1);
		assert_string_equal(b.why, "gone before it proved its key");
	}
	assert_int_equal(b.ups, 0);
}

/* The dialler's side: message 2 in part, and then nothing more. */
static void a_reply_cut_at_any_byte_is_a_failure(void **state)
{
	static const uint8_t ephemeral[KEY_SIZE] = {1, 2, 3};
	struct sockaddr_in in = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t in_len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), conn;
	struct link_dialer_options o = dialing();
	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &in_len), 0);
	o.address.port = ntohs(in.sin_port);
	o.backoff_max_ms = 20;
	struct link_dialer *d = dial(&o);
	for (size_t len = 0; len <= LINK_REPLY_MAX; len++) {
		struct link_identity id = {.role = LINK_NODE,
		    .cluster = slice_str("cluster"),
		    .responder = slice_str("node-b"),
		    .own = &pair_b,
		    .ephemeral = ephemeral};
		struct raw r = {.in_len = 0};
		struct writer none = writer_of(r.bytes, 0);
		size_t used;
		unsigned failures = a.failures, downs = a.downs;
		wait_until((conn = accept4(fd, NULL, NULL, SOCK_NONBLOCK)) >= 0);
		r.fd = conn;
		wait_until(raw_received(&r, LINK_FIRST_SIZE));
		r.out = writer_of(r.bytes, sizeof(r.bytes));
		assert_int_equal(link_respond(&r.link, &id, known, &b), RMQ_E_OK);
		assert_int_equal(link_receive(&r.link, slice_of(r.in + 1, LINK_FIRST_SIZE - 1),
				     &used, &none, &r.out),
		    RMQ_E_OK);
		raw_send(&r, r.bytes, len);
		if (len == LINK_REPLY_MAX)
			wait_until(raw_received(&r, LINK_FIRST_SIZE + LINK_OVERHEAD));
		close(r.fd);
		wait_until(a.failures + a.downs == failures + downs + 1);
	}
	assert_int_equal(a.failures, LINK_REPLY_MAX);
	assert_int_equal(a.ups, 1);
	assert_int_equal(a.downs, 1);
	link_dialer_free(d);
	close(fd);
}

static void other_first_bytes_are_dropped_when_they_can_be_told(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} cases[] = {{"\0", 1}, {"\6", 1}, {"\2", 1}, {"\1\x61\0", 3}, {"\1\x5f\0", 3},
	    {"\1\0\0", 3}, {"\1\xff\xff", 3}, {"GET / HTTP/1.0\r\n\r\n", 18}};
	static uint8_t much[1 << 20];
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct raw r = {.fd = raw_connect(link_listener_port(listener), 1)};
		raw_send(&r, cases[i].bytes, cases[i].len);
		wait_until(closed(r.fd));
		assert_string_equal(b.why, "it does not speak the link protocol of rmq");
		close(r.fd);
	}
	/* Of the right form, and nothing else: one answer less than there are bytes. */
	struct raw r = {.fd = raw_connect(link_listener_port(listener), 1)};
	memset(much, 1, sizeof(much));
	memcpy(much, "\1\x60\0", 3);
	assert_true(send(r.fd, much, sizeof(much), MSG_NOSIGNAL) > 0);
	wait_until(closed(r.fd));
	assert_int_equal(b.refusals, sizeof(cases) / sizeof(cases[0]) + 1);
	assert_int_equal(b.ups + b.asked, 0);
	close(r.fd);
}

static void ask_who(struct raw *r, const char *bytes)
{
	*r = (struct raw){.fd = raw_connect(link_listener_port(listener), 1)};
	raw_send(r, bytes, strlen(bytes));
}

static void assert_refused(struct raw *r, const char *bytes, const char *why)
{
	ask_who(r, bytes);
	wait_until(closed(r->fd));
	assert_string_equal(b.why, why);
	close(r->fd);
}

static void who_asks_where_clients_may_come_is_told_the_key(void **state)
{
	struct link_listener_options o = listening();
	struct link_who who;
	struct raw r;
	static const char none[] = "it does not speak the link protocol of rmq";
	(void)state;
	assert_refused(&r, "?", none);
	o.roles |= LINK_ROLE_BIT(LINK_CLIENT);
	listen_with(&o);
	assert_refused(&r, "??", none);
	ask_who(&r, "?");
	wait_until(raw_received(&r, LINK_LENGTH_SIZE) &&
		   r.in_len == LINK_LENGTH_SIZE + (size_t)load_u16(r.in));
	assert_true(link_who_decode(
	    slice_of(r.in + LINK_LENGTH_SIZE, r.in_len - LINK_LENGTH_SIZE), &who));
	assert_int_equal(who.magic, LINK_MAGIC);
	assert_int_equal(who.version, LINK_VERSION);
	assert_true(slice_eq(who.key, slice_of(key_b, KEY_SIZE)));
	assert_true(slice_eq(who.name, slice_str("node-b")));
	assert_true(slice_eq(who.cluster, slice_str("cluster")));
	/* It counts as one that has not said who it is, until it is over. */
	wait_until(closed(r.fd));
	assert_int_equal(link_listener_open(listener), 1);
	close(r.fd);
	wait_until(link_listener_open(listener) == 0);
	assert_int_equal(b.refusals, 2);
	/* A node of a cluster does not say that it has none while it does not know. */
	link_net_cluster(net_b, slice_str(""));
	assert_refused(&r, "?", "asks who it is before the cluster is known");
	assert_int_equal(b.ups + b.asked, 0);
}

/* A byte at each tick of 5 ms: all of it would take half a second. */
static bool closed_or_fed(struct raw *r, unsigned *last, size_t *sent)
{
	if (closed(r->fd))
		return true;
	if (ticks > *last && *sent < LINK_FIRST_SIZE - 1) {
		*last = ticks;
		raw_send(r, r->bytes + (*sent)++, 1);
	}
	return false;
}

static void a_slow_handshake_ends_at_an_absolute_deadline(void **state)
{
	static const uint8_t ephemeral[KEY_SIZE] = {1, 2, 3};
	struct link_listener_options o = listening();
	struct raw r;
	size_t sent = 0;
	(void)state;
	o.handshake_ms = 100;
	listen_with(&o);
	raw_begin(&r, ephemeral);
	uint64_t begin = clock_mono().ms;
	unsigned last = ticks;
	wait_until(closed_or_fed(&r, &last, &sent));
	assert_in_range(clock_mono().ms - begin, 95, WAIT_MS);
	assert_in_range(sent, 2, LINK_FIRST_SIZE - 1);
	assert_string_equal(b.why, "no handshake in time");
	close(r.fd);
	/* One that is up has no deadline. */
	struct link_dialer *d = establish();
	begin = clock_mono().ms;
	wait_until(clock_mono().ms - begin > 200);
	assert_int_equal(b.downs, 0);
	link_dialer_free(d);
}

static void a_bad_record_or_frame_ends_the_connection(void **state)
{
	static const uint8_t bad_frame[FRAME_HEADER_SIZE] = {0, 0, 0, 0, 1, 1, 0, 0};
	static const uint8_t large_frame[FRAME_HEADER_SIZE] = {1, 68, 2, 0, 1, 0, 0, 0};
	static const uint8_t good_frame[FRAME_HEADER_SIZE] = {0, 0, 0, 0, 1, 0, 0, 0};
	struct raw r;
	(void)state;
	for (int i = 0; i < 5; i++) {
		raw_establish(&r);
		r.out.len = 0;
		assert_int_equal(link_send(&r.link,
				     slice_of(i == 1   ? bad_frame
					      : i == 2 ? large_frame
						       : good_frame,
					 i == 3 ? 5 : FRAME_HEADER_SIZE),
				     &r.out),
		    RMQ_E_OK);
		if (i == 0)
			r.bytes[r.out.len - 1] ^= 1;
		if (i == 3)
			assert_int_equal(link_close(&r.link, &r.out), RMQ_E_OK);
		raw_send(&r, r.bytes, r.out.len);
		if (i == 4) {
			wait_until(b.frames == 1);
			close(r.fd);
		}
		wait_until(b.downs == (unsigned)i + 1);
		assert_int_equal(b.error, i == 4 ? RMQ_E_INTERRUPTED : RMQ_E_PROTOCOL);
		assert_string_equal(b.why, i == 0   ? "a record was damaged"
					   : i == 3 ? "closed inside a frame"
					   : i == 4 ? "cut"
						    : "the bytes are not a frame");
		if (i < 4)
			close(r.fd);
	}
	assert_int_equal(b.frames, 1);
}

/* ---- many ---- */

#define MANY 1000
static int fds[MANY];

static size_t open_count(size_t count)
{
	size_t n = 0;
	for (size_t i = 0; i < count; i++)
		n += !closed(fds[i]);
	return n;
}

static void close_all(size_t count)
{
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
}

static void eight_of_one_address_are_half_open(void **state)
{
	(void)state;
	for (size_t i = 0; i < 20; i++)
		fds[i] = raw_connect(link_listener_port(listener), 1);
	wait_until(open_count(20) == ARRIVALS_OPEN_ADDRESS);
	/* That is said once. */
	assert_int_equal(b.unheard, 1);
	assert_string_equal(b.why, "too many from that address do not say who they are");
	/* Others are let in; and that address, when there are less. */
	fds[20] = raw_connect(link_listener_port(listener), 2);
	close_all(20);
	wait_until(b.refusals == 8);
	assert_false(closed(fds[20]));
	struct link_dialer *d = establish();
	link_dialer_free(d);
	close(fds[20]);
}

/*
 * 1000 that say nothing, from many addresses: a link that is up does not notice, and a peer at
 * an address that is known comes back though strangers have all their places.
 */
static void a_thousand_idle_connections_do_not_stop_a_link(void **state)
{
	struct link_listener_options o = listening();
	struct rlimit limit;
	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	o.handshake_ms = 1000;
	listen_with(&o);
	b.echo = true;
	struct link_dialer *d = establish();
	for (size_t i = 0; i < MANY; i++) {
		fds[i] = raw_connect(link_listener_port(listener), 2 + (uint32_t)i / 4);
		if (i + 1 == ARRIVALS_OPEN_EARLY) {
			wait_until(link_listener_open(listener) == ARRIVALS_OPEN_EARLY);
			assert_int_equal(b.refusals, 0);
		}
		if (i % 50 == 0) {
			unsigned frames = a.frames;
			assert_int_equal(send_frame(a.conn, 1, 1000), RMQ_E_OK);
			wait_until(a.frames == frames + 1);
			assert_in_range(link_listener_open(listener), 0, ARRIVALS_OPEN_MAX);
		}
	}
	assert_int_equal(a.downs + b.downs, 0);
	link_conn_cut(a.conn);
	wait_until(a.ups == 2 && b.ups == 2);
	/* Each is dropped, some at once and some at the deadline; then there is room again. */
	wait_until(open_count(MANY) == 0);
	wait_until(link_listener_open(listener) == 0);
	close_all(MANY);
	link_dialer_free(d);
}

/* One address, with all that a handshake costs: so many are heard, however many come. */
static void garbage_of_one_address_is_heard_in_part(void **state)
{
	uint8_t garbage[LINK_FIRST_SIZE] = {LINK_NODE, NOISE_MESSAGE_1_SIZE};
	(void)state;
	uint64_t begin = clock_mono().ms;
	for (size_t i = 0; i < MANY; i++) {
		int fd = raw_connect(link_listener_port(listener), 2);
		(void)send(fd, garbage, sizeof(garbage), MSG_NOSIGNAL);
		wait_until(closed(fd));
		close(fd);
	}
	uint64_t passed = clock_mono().ms - begin;
	assert_in_range(b.refusals, ARRIVALS_ADDRESS_BURST,
	    ARRIVALS_ADDRESS_BURST + 1 + passed * ARRIVALS_ADDRESS_RATE / 1000);
	assert_in_range(b.unheard, 1, 2 * (1 + passed / LINK_UNHEARD_MS));
	struct link_dialer *d = establish();
	link_dialer_free(d);
}

/* It need not be its keys: connections that are not heard are reset as well. */
static void a_reset_in_the_handshake_may_be_of_too_many(void **state)
{
	const struct linger none = {.l_onoff = 1, .l_linger = 0};
	struct sockaddr_in in = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t in_len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct link_dialer_options o = dialing();
	struct raw r = {.in_len = 0};
	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &in_len), 0);
	o.address.port = ntohs(in.sin_port);
	struct link_dialer *d = dial(&o);
	wait_until((r.fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK)) >= 0);
	wait_until(raw_received(&r, LINK_FIRST_SIZE));
	assert_int_equal(setsockopt(r.fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none)), 0);
	close(r.fd);
	wait_until(a.failures == 1);
	assert_int_equal(a.error, RMQ_E_DENIED);
	assert_non_null(strstr(a.why, "too many connect to it"));
	close(fd);
	link_dialer_free(d);
}

/* A link is up, and must say who it is within 100 ms. */
static struct link_dialer *establish_greeting(void)
{
	struct link_listener_options o = listening();
	o.handshake_ms = 100;
	o.greets = true;
	listen_with(&o);
	return establish();
}

/* A slow line has its time, whoever sends nothing has not; and idle ones have. */
static void a_part_of_a_frame_has_a_deadline(void **state)
{
	struct link_parts parts = {.max = 1 << 20, .patience_ms = 200};
	(void)state;
	struct link_dialer *d = establish();
	link_conn_limit_parts(b.conn, &parts);
	uint64_t begin = clock_mono().ms;
	assert_int_equal(send_part(a.conn, 10000, 2000), RMQ_E_OK);
	for (size_t at = 2000; at < 10000; at += 2000) {
		uint64_t received = link_conn_received(b.conn);
		wait_until(clock_mono().ms >= begin + at * 3 / 100);
		assert_int_equal(send_rest(a.conn, 10000, at, 2000), RMQ_E_OK);
		wait_until(link_conn_received(b.conn) > received);
		assert_in_range(parts.used, at, at + 2000);
	}
	assert_int_equal(send_rest(a.conn, 10000, 10000, FRAME_HEADER_SIZE), RMQ_E_OK);
	wait_until(b.frames == 1);
	assert_int_equal(parts.used, 0);
	/* What has come fast does not count for what does not come. */
	assert_int_equal(b.downs, 0);
	assert_int_equal(send_part(a.conn, 10000, 5000), RMQ_E_OK);
	begin = clock_mono().ms;
	wait_until(b.downs == 1);
	assert_int_equal(b.error, RMQ_E_TIMEOUT);
	assert_in_range(clock_mono().ms - begin, 100, 3000);
	assert_int_equal(parts.used, 0);
	link_dialer_free(d);
}

/* More rarely than a record of one byte has milliseconds. */
static void a_byte_now_and_then_does_not_keep_a_part(void **state)
{
	struct link_parts parts = {.max = 1 << 20, .patience_ms = 160};
	(void)state;
	struct link_dialer *d = establish();
	link_conn_limit_parts(b.conn, &parts);
	assert_int_equal(send_part(a.conn, 10000, FRAME_HEADER_SIZE), RMQ_E_OK);
	uint64_t begin = clock_mono().ms;
	for (size_t at = FRAME_HEADER_SIZE; b.downs == 0; at++) {
		assert_in_range(clock_mono().ms - begin, 0, 2000);
		if (a.conn)
			(void)send_rest(a.conn, 10000, at, 1);
		uint64_t next = clock_mono().ms + 40;
		wait_until(clock_mono().ms >= next);
	}
	assert_int_equal(b.error, RMQ_E_TIMEOUT);
	link_dialer_free(d);
}

static void parts_of_frames_are_bounded_together(void **state)
{
	struct link_parts parts = {.max = 5000, .patience_ms = 60000, .used = 1000};
	(void)state;
	struct link_dialer *d = establish();
	link_conn_limit_parts(b.conn, &parts);
	assert_int_equal(send_part(a.conn, 10000, 4000), RMQ_E_OK);
	wait_until(parts.used == 5000);
	assert_int_equal(send_rest(a.conn, 10000, 4000, 1), RMQ_E_OK);
	wait_until(b.downs == 1);
	assert_int_equal(b.error, RMQ_E_LIMIT);
	assert_int_equal(parts.used, 1000);
	link_dialer_free(d);
}

static bool begun_small(void *arg, struct link_conn *c, struct slice part)
{
	(void)arg, (void)c;
	return load_u32(part.data) <= 100;
}

static void a_frame_that_would_not_be_taken_ends_at_its_header(void **state)
{
	struct link_listener_options o = listening();
	(void)state;
	o.events.begun = begun_small;
	listen_with(&o);
	struct link_dialer *d = establish();
	assert_int_equal(send_part(a.conn, 100, 50), RMQ_E_OK);
	assert_int_equal(send_rest(a.conn, 100, 50, 58), RMQ_E_OK);
	wait_until(b.frames == 1);
	assert_int_equal(send_part(a.conn, 101, FRAME_HEADER_SIZE), RMQ_E_OK);
	wait_until(b.downs == 1);
	assert_int_equal(b.error, RMQ_E_PROTOCOL);
	link_dialer_free(d);
}

static void who_is_up_and_does_not_say_who_it_is_is_cut_in_time(void **state)
{
	(void)state;
	struct link_dialer *d = establish_greeting();
	assert_int_equal(link_listener_open(listener), 1);
	wait_until(b.downs == 1);
	assert_int_equal(b.error, RMQ_E_TIMEOUT);
	assert_string_equal(b.why, "it does not say who it is in time");
	assert_int_equal(b.refusals, 1);
	link_dialer_free(d);
}

static void who_has_said_who_it_is_stays(void **state)
{
	(void)state;
	struct link_dialer *d = establish_greeting();
	link_conn_introduced(b.conn);
	assert_int_equal(link_listener_open(listener), 0);
	/* One that comes later has its time over. */
	int fd = raw_connect(link_listener_port(listener), 2);
	wait_until(closed(fd));
	close(fd);
	assert_int_equal(b.downs, 0);
	link_dialer_free(d);
}

static void an_ipv6_network_is_one_address(void **state)
{
	static const char *const texts[] = {"2001:db8:1:2::3",
	    "2001:db8:1:2:ffff::", "2001:db8:1:3::3", "::ffff:192.0.2.1", "192.0.2.1",
	    "192.0.2.2"};
	struct arrivals_origin o[6];
	(void)state;
	for (size_t i = 0; i < 6; i++) {
		struct socket_host host = {.port = 1};
		struct addrinfo *list;
		snprintf(host.host, sizeof(host.host), "%s", texts[i]);
		assert_int_equal(socket_host_resolve(&host, AI_NUMERICHOST, &list), 0);
		o[i] = link_net_origin(list->ai_addr);
		freeaddrinfo(list);
	}
	assert_memory_equal(&o[0], &o[1], sizeof(o[0]));
	assert_memory_not_equal(&o[0], &o[2], sizeof(o[0]));
	assert_memory_equal(&o[3], &o[4], sizeof(o[0]));
	assert_memory_not_equal(&o[4], &o[5], sizeof(o[0]));
}

/* ---- dialling ---- */

static void dialling_backs_off_and_comes_back_at_once_when_told(void **state)
{
	struct link_dialer_options o = dialing();
	struct link_listener_options again = listening();
	(void)state;
	link_listener_free(listener);
	listener = NULL;
	o.backoff_max_ms = 160;
	struct link_dialer *d = dial(&o);
	wait_until(a.failures == 6);
	assert_int_equal(a.error, RMQ_E_NO_DAEMON);
	/* Pauses of at least half of 20, 40, 80, 160, 160 ms; the clocks are not the same. */
	for (unsigned i = 1, pause = 20; i < 6; i++, pause = pause < 160 ? 2 * pause : 160)
		assert_in_range(a.failed_ms[i] - a.failed_ms[i - 1], pause / 2 - 2, WAIT_MS);
	/* Told so, it does not wait: the loop need not either. */
	unsigned failures = a.failures;
	link_dialer_now(d);
	for (int i = 0; i < 10000 && a.failures == failures; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(a.failures, failures + 1);
	again.address.port = o.address.port;
	listen_with(&again);
	link_dialer_now(d);
	wait_until(a.ups == 1 && b.ups == 1);
	link_dialer_now(d);
	link_dialer_free(d);
}

/*
 * Name servers of ours: a name that ends in ".test" is this machine's, or nothing is answered for it
 * while they are silent.
 */
static pthread_mutex_t servers_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t servers_speak = PTHREAD_COND_INITIALIZER;
static bool silent;
static unsigned asking; /* are not answered */

static void be_silent(bool yes)
{
	pthread_mutex_lock(&servers_lock);
	silent = yes;
	pthread_cond_broadcast(&servers_speak);
	pthread_mutex_unlock(&servers_lock);
}

static unsigned unanswered(void)
{
	pthread_mutex_lock(&servers_lock);
	unsigned n = asking;
	pthread_mutex_unlock(&servers_lock);
	return n;
}

int getaddrinfo(
    const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **list)
{
	typedef int real(
	    const char *, const char *, const struct addrinfo *, struct addrinfo **);
	static real *next;
	size_t len = host ? strlen(host) : 0;
	bool ours = len > 5 && strcmp(host + len - 5, ".test") == 0;
	pthread_mutex_lock(&servers_lock);
	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "getaddrinfo");
	if (ours && (hints->ai_flags & AI_NUMERICHOST)) {
		pthread_mutex_unlock(&servers_lock);
		return EAI_NONAME;
	}
	asking += ours;
	while (ours && silent)
		pthread_cond_wait(&servers_speak, &servers_lock);
	asking -= ours;
	pthread_mutex_unlock(&servers_lock);
	return next(ours ? "127.0.0.1" : host, service, hints, list);
}

static void names_that_nobody_answers_hold_up_no_other(void **state)
{
	struct link_dialer_options o = dialing();
	struct link_dialer *dead[8];
	(void)state;
	be_silent(true);
	strcpy(o.address.host, "dead.test");
	for (size_t i = 0; i < 8; i++)
		dead[i] = dial(&o);
	wait_until(unanswered() == 8);
	/* More than libuv has threads; but this one is answered. */
	strcpy(o.address.host, "localhost");
	struct link_dialer *d = dial(&o);
	wait_until(a.ups == 1 && b.ups == 1);
	link_dialer_free(d);
	for (size_t i = 0; i < 8; i++)
		link_dialer_free(dead[i]);
	/* Nor the end of the loop, see teardown(), where they are asked yet. */
	assert_int_equal(unanswered(), 8);
}

static void the_last_address_is_used_while_nobody_answers_for_the_name(void **state)
{
	struct link_dialer_options o = dialing();
	(void)state;
	be_silent(false);
	wait_until(unanswered() == 0);
	strcpy(o.address.host, "peer.test");
	struct link_dialer *d = dial(&o);
	wait_until(a.ups == 1 && b.ups == 1);
	be_silent(true);
	link_conn_cut(b.conn);
	b.conn = NULL;
	wait_until(a.ups == 2 && b.ups == 2);
	/* One question is enough, however often it is dialled. */
	link_conn_cut(b.conn);
	b.conn = NULL;
	wait_until(a.ups == 3 && b.ups == 3);
	assert_int_equal(unanswered(), 1);
	link_dialer_free(d);
	be_silent(false);
}

static void a_name_that_nobody_ever_answered_fails_in_time(void **state)
{
	struct link_dialer_options o = dialing();
	(void)state;
	be_silent(true);
	strcpy(o.address.host, "dead.test");
	o.handshake_ms = 50;
	unsigned before = unanswered();
	struct link_dialer *d = dial(&o);
	wait_until(a.failures == 3);
	assert_int_equal(a.error, RMQ_E_TIMEOUT);
	assert_int_equal(unanswered(), before + 1);
	be_silent(false);
	wait_until(a.ups == 1 && b.ups == 1);
	link_dialer_free(d);
}

static void names_are_looked_up(void **state)
{
	struct link_dialer_options o = dialing();
	struct addrinfo *found;
	(void)state;
	if (getaddrinfo("localhost", NULL, NULL, &found) != 0) {
		print_message("nobody here knows localhost\n");
		skip();
	}
	freeaddrinfo(found);
	strcpy(o.address.host, "localhost");
	struct link_dialer *d = dial(&o);
	wait_until(a.ups == 1 && b.ups == 1);
	link_dialer_free(d);
	strcpy(o.address.host, "nobody.invalid");
	o.handshake_ms = 500;
	d = dial(&o);
	wait_until(a.failures > 0);
	assert_in_set(a.error, ((LargestIntegralType[]){RMQ_E_NO_DAEMON, RMQ_E_TIMEOUT}), 2);
	link_dialer_free(d);
	/* Freed while the question is asked. */
	d = dial(&o);
	uv_run(&loop, UV_RUN_NOWAIT);
	link_dialer_free(d);
}

/* A socket that takes connections and says nothing; *port is where. */
static int silent_socket(in_port_t *port)
{
	struct sockaddr_in in = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	*port = ntohs(in.sin_port);
	return fd;
}

static void a_silent_peer_is_given_up_in_time(void **state)
{
	struct link_dialer_options o = dialing();
	(void)state;
	int fd = silent_socket(&o.address.port);
	o.handshake_ms = 50;
	struct link_dialer *d = dial(&o);
	wait_until(a.failures == 2);
	assert_int_equal(a.error, RMQ_E_TIMEOUT);
	link_dialer_free(d);
	close(fd);
}

static bool connected(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	return poll(&p, 1, 0) == 1;
}

static void news_of_another_place_ends_the_dialling_of_this_one(void **state)
{
	struct link_dialer_options o = dialing();
	struct socket_host right = o.address;
	(void)state;
	int fd = silent_socket(&o.address.port);
	o.handshake_ms = 100 * WAIT_MS;
	struct link_dialer *d = dial(&o);
	wait_until(connected(fd));
	link_dialer_address(d, &right);
	wait_until(a.ups == 1 && b.ups == 1);
	assert_int_equal(a.failures, 0);
	/* One that is up stays. */
	right.port++;
	link_dialer_address(d, &right);
	assert_ptr_equal(link_dialer_conn(d), a.conn);
	link_dialer_free(d);
	close(fd);
}

static void a_port_that_is_taken_is_busy(void **state)
{
	struct link_listener_options o = listening();
	struct link_listener *second = NULL;
	struct reason why = {""};
	(void)state;
	o.address.port = link_listener_port(listener);
	assert_int_equal(link_listener_new(net_b, &o, &second, &why), RMQ_E_BUSY);
	assert_string_equal(why.text, "the port is taken");
	strcpy(o.address.host, "192.0.2.1");
	assert_int_equal(link_listener_new(net_b, &o, &second, &why), RMQ_E_CONFIG);
	assert_null(second);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {TEST(frames_go_both_ways),
	    TEST(small_frames_of_a_turn_share_records), TEST(an_idle_connection_is_small),
	    TEST(the_queue_is_bounded_and_drains),
	    TEST(closing_sends_what_is_queued_and_a_cut_is_told_as_one),
	    TEST(frames_are_put_where_they_are_sealed), TEST(a_callback_may_end_its_connection),
	    TEST(strangers_are_not_let_in), TEST(who_knows_the_older_key_is_let_in_as_well),
	    TEST(a_repeated_message_1_has_no_effect),
	    TEST(a_handshake_cut_at_any_byte_leaves_nothing),
	    TEST(a_reply_cut_at_any_byte_is_a_failure),
	    TEST(other_first_bytes_are_dropped_when_they_can_be_told),
	    TEST(who_asks_where_clients_may_come_is_told_the_key),
	    TEST(a_slow_handshake_ends_at_an_absolute_deadline),
	    TEST(a_bad_record_or_frame_ends_the_connection),
	    TEST(eight_of_one_address_are_half_open),
	    TEST(a_thousand_idle_connections_do_not_stop_a_link),
	    TEST(garbage_of_one_address_is_heard_in_part),
	    TEST(a_reset_in_the_handshake_may_be_of_too_many),
	    TEST(a_part_of_a_frame_has_a_deadline),
	    TEST(a_byte_now_and_then_does_not_keep_a_part),
	    TEST(parts_of_frames_are_bounded_together),
	    TEST(a_frame_that_would_not_be_taken_ends_at_its_header),
	    TEST(who_is_up_and_does_not_say_who_it_is_is_cut_in_time),
	    TEST(who_has_said_who_it_is_stays), TEST(an_ipv6_network_is_one_address),
	    TEST(dialling_backs_off_and_comes_back_at_once_when_told),
	    TEST(names_are_looked_up), TEST(a_silent_peer_is_given_up_in_time),
	    TEST(news_of_another_place_ends_the_dialling_of_this_one),
	    TEST(names_that_nobody_answers_hold_up_no_other),
	    TEST(the_last_address_is_used_while_nobody_answers_for_the_name),
	    TEST(a_name_that_nobody_ever_answered_fails_in_time),
	    TEST(a_port_that_is_taken_is_busy)};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
