/* A client at a gate that tells it more than it should. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>
#include <uv.h>

#include "sys/client/remote.h"
#include "sys/net/keyfile.h"
#include "sys/net/link_listener.h"
#include "sys/process/clock.h"

#define WAIT_MS 20000
#define OTHER	"192.0.2.1:7411"

static const struct raft_id some_cluster = {{'a', ' ', 'c', 'l', 'u', 's', 't', 'e', 'r'}};
static struct keypair gate_pair, before, after;
static char folder[32], keyfile[64], known[64];
static uint16_t port;
static unsigned links, opened; /* at the gate: connections, and the newest stream */

static bool knows(void *arg, enum link_role role, const uint8_t key[KEY_SIZE])
{
	(void)arg, (void)key;
	return role == LINK_CLIENT;
}

/* That gates at both addresses have the key `after`. */
static void on_up(void *arg, struct link_conn *c)
{
	uint8_t bytes[512];
	char own[32];
	struct writer w = writer_of(bytes, sizeof(bytes));
	(void)arg;
	links++;
	snprintf(own, sizeof(own), "127.0.0.1:%u", port);
	size_t begin = frame_begin(&w, GATE_TYPE_CONTACTS);
	put_tags(&w, slice_of(NULL, 0));
	for (unsigned i = 0; i < 2; i++)
		gate_contact_encode(&w, &(struct gate_contact){slice_str(i ? own : OTHER),
					    slice_str("n1"), slice_of(after.key, KEY_SIZE)});
	frame_end(&w, begin);
	assert_false(w.full);
	struct slice piece = slice_of(bytes, w.len);
	assert_int_equal(link_conn_send(c, &piece, 1), RMQ_E_OK);
}

/* No stream is served. */
static void on_frame(void *arg, struct link_conn *c, const struct frame *frame)
{
	uint8_t bytes[64];
	struct writer w = writer_of(bytes, sizeof(bytes));
	struct gate_open m;
	(void)arg;
	if (frame->type != GATE_TYPE_OPEN)
		return;
	assert_true(gate_open_decode(frame->payload, &m));
	opened = m.stream;
	gate_put_data(&w, &(struct gate_data){m.stream, slice_str("cut")});
	gate_put_close(&w, &(struct gate_close){m.stream, RMQ_E_NO_DAEMON});
	struct slice piece = slice_of(bytes, w.len);
	assert_int_equal(link_conn_send(c, &piece, 1), RMQ_E_OK);
}

static void on_refused(void *arg, const char *address, const char *why)
{
	(void)arg;
	print_error("%s: %s\n", address, why);
}

static struct socket_host host_of(const char *text)
{
	struct socket_host h;
	const char *why;
	assert_int_equal(socket_host_parse(&h, text, &why), RMQ_E_OK);
	return h;
}

static struct socket_host own_address(void)
{
	struct socket_host h = {"127.0.0.1", port};
	return h;
}

static void know(struct socket_host address, const char *name, const struct keypair *pair,
    struct slice cluster)
{
	struct reason why = {""};
	struct pin p;
	assert_null(
	    pin_take(&p, &address, slice_of(pair->key, KEY_SIZE), slice_str(name), cluster));
	assert_int_equal(pins_add(known, &p, &why), RMQ_E_OK);
}

static void assert_known(struct socket_host address, const struct keypair *pair)
{
	struct pins p = {.count = 0};
	struct reason why = {""};
	assert_int_equal(pins_read(&p, known, &why), RMQ_E_OK);
	assert_int_equal(p.count, 2);
	assert_memory_equal(pins_find(&p, &address)->key, pair->key, KEY_SIZE);
	pins_deinit(&p);
}

static void turn(uv_loop_t *loop, struct remote *r)
{
	struct pollfd p = remote_poll(r);
	uv_run(loop, UV_RUN_NOWAIT);
	(void)poll(&p, 1, 1);
	remote_turn(r, p.revents, clock_mono());
}

/* Each stream is over as soon as it has begun; they are of one link. */
static void streams_end(uv_loop_t *loop, struct remote *r, struct client *client)
{
	struct socket_host host = own_address();
	uint64_t begin = clock_mono().ms;
	for (unsigned i = 1; i <= 3; i++) {
		const char *text;
		bool ours;
		while (remote_state(r) == REMOTE_UP && clock_mono().ms - begin < WAIT_MS) {
			(void)remote_write(r, client, clock_mono());
			turn(loop, r);
			while (remote_take(r))
				;
		}
		assert_int_equal(remote_error(r, &text, &ours), RMQ_E_NO_DAEMON);
		assert_string_equal(text, "it has ended the connection: no daemon answers");
		assert_int_equal(opened, i);
		assert_true(remote_leave(r));
		assert_int_equal(remote_state(r), REMOTE_IDLE);
		remote_begin(r, &host, false, clock_mono());
		assert_int_equal(remote_state(r), REMOTE_UP);
	}
	assert_int_equal(links, 1);
}

/* Connects, and waits until it has been told. */
static void meet(uv_loop_t *loop, size_t count)
{
	static uint8_t bytes[CLIENT_LINK_HEAD + 4 * LINK_PLAIN_MAX];
	struct client_link_in in = {
	    .bytes = bytes + CLIENT_LINK_HEAD, .cap = 4 * LINK_PLAIN_MAX};
	struct client_options o = {.keyfile = keyfile, .known_nodes = known};
	struct socket_host host = own_address();
	struct remote *r = remote_new(&in);
	struct reason why;
	uint64_t begin = clock_mono().ms;
	const struct client_config config = {1, 16, 30000, 7, false};
	const struct client_host client_host = {.arg = NULL};
	struct client *client = client_new(&config, &client_host);
	unsigned changes = 0;
	const struct pins *told = NULL;
	assert_int_equal(remote_find_files(r, &o, &why), RMQ_E_OK);
	remote_begin(r, &host, false, clock_mono());
	links = 0;
	while (changes == 0 && clock_mono().ms - begin < WAIT_MS) {
		turn(loop, r);
		if (remote_state(r) == REMOTE_OVER) {
			const char *text;
			bool ours;
			(void)remote_error(r, &text, &ours);
			fail_msg("%s", text);
		}
		/* Its first record is the end of the handshake. */
		if (remote_state(r) == REMOTE_UP)
			(void)remote_write(r, client, clock_mono());
		while (remote_state(r) == REMOTE_UP && changes == 0 && remote_take(r))
			told = remote_told(r, &changes);
		told = remote_told(r, &changes);
	}
	assert_int_equal(told ? told->count : 0, count);
	streams_end(loop, r, client);
	remote_free(r);
	client_free(client);
}

static void with_gate(struct slice cluster, size_t count)
{
	uv_loop_t loop;
	struct link_listener *listener;
	struct link_listener_options o = {.address = {.host = "127.0.0.1"},
	    .roles = LINK_ROLE_BIT(LINK_CLIENT),
	    .known = knows,
	    .refused = on_refused,
	    .events = {on_up, on_frame, NULL, NULL}};
	struct reason why = {""};
	assert_int_equal(uv_loop_init(&loop), 0);
	struct link_net *net = link_net_new(&loop, &gate_pair, slice_str("n1"));
	link_net_cluster(net, cluster);
	assert_int_equal(link_listener_new(net, &o, &listener, &why), RMQ_E_OK);
	port = link_listener_port(listener);
	know(own_address(), "n1", &gate_pair, cluster);
	know(host_of(OTHER), "n2", &before, cluster);
	meet(&loop, count);
	link_listener_free(listener);
	/* Connections end by what the client does. */
	for (unsigned i = 0; i < 50; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	link_net_free(net);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

static int setup(void **state)
{
	struct keypair own;
	struct reason why = {""};
	(void)state;
	strcpy(folder, "/tmp/remote.XXXXXX");
	if (sodium_init() < 0 || !mkdtemp(folder))
		return -1;
	snprintf(keyfile, sizeof(keyfile), "%s/key", folder);
	snprintf(known, sizeof(known), "%s/known", folder);
	keypair_make(&gate_pair);
	keypair_make(&before);
	keypair_make(&after);
	keypair_make(&own);
	return keyfile_create(keyfile, &own, &why) == RMQ_E_OK ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	unlink(keyfile);
	unlink(known);
	return rmdir(folder);
}

static void a_gate_without_a_cluster_speaks_for_itself_alone(void **state)
{
	(void)state;
	with_gate(slice_of(NULL, 0), 1);
	assert_known(host_of(OTHER), &before);
	assert_known(own_address(), &after);
}

static void a_gate_of_a_cluster_says_where_its_gates_are(void **state)
{
	(void)state;
	with_gate(slice_of(&some_cluster, sizeof(some_cluster)), 2);
	assert_known(own_address(), &after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		a_gate_without_a_cluster_speaks_for_itself_alone, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		a_gate_of_a_cluster_says_where_its_gates_are, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
