/* Encrypted connections over TCP on the loopback, all in one loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sodium.h>
#include <sys/socket.h>
#include <uv.h>

#include "sys/clock.h"
#include "sys/link_dialer.h"
#include "sys/link_listener.h"

#define WAIT_MS 20000

static const uint8_t secret_a[KEY_SIZE] = {0, 'a', 1}, secret_b[KEY_SIZE] = {0, 'b', 1};
static const uint8_t secret_c[KEY_SIZE] = {0, 'c', 1};
static uint8_t key_a[KEY_SIZE], key_b[KEY_SIZE], key_c[KEY_SIZE];

/* What one end was told. */
struct end {
	struct link_conn *conn;
	unsigned ups, downs, frames, drained, failures, refusals, asked;
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

static bool known(void *arg, enum link_role role, const uint8_t key[KEY_SIZE])
{
	struct end *e = arg;
	e->asked++;
	return role != LINK_GATE && memcmp(key, key_a, KEY_SIZE) == 0;
}

static const struct link_events events = {on_up, on_frame, on_drained, on_down};

/* ---- the world ---- */

static void on_guard(uv_timer_t *timer)
{
	*(bool *)timer->data = true;
}

/* Turns the loop until the condition holds. */
#define wait_until(condition) \
	do { \
		bool late_ = false; \
		uv_timer_t guard_; \
		guard_.data = &late_; \
		uv_timer_init(&loop, &guard_); \
		uv_timer_start(&guard_, on_guard, WAIT_MS, 0); \
		while (!(condition) && !late_) \
			uv_run(&loop, UV_RUN_ONCE); \
		uv_close((uv_handle_t *)&guard_, NULL); \
		uv_run(&loop, UV_RUN_NOWAIT); \
		if (late_) \
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

static int setup(void **state)
{
	(void)state;
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	listener = NULL;
	assert_true(key_public(secret_a, key_a) && key_public(secret_b, key_b));
	assert_true(key_public(secret_c, key_c));
	assert_int_equal(uv_loop_init(&loop), 0);
	net_a = link_net_new(&loop, secret_a, slice_str("node-a"));
	net_b = link_net_new(&loop, secret_b, slice_str("node-b"));
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
	assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
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

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {TEST(frames_go_both_ways)};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
