/* How much one key may take of a gate, by a clock that only the test moves. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <sys/un.h>

#include "fake_peers.h"

#define STUFFED 1000

static struct gate gate;
static char folder[] = "/tmp/test_principals.XXXXXX";
static int queue = -1; /* where the queue daemon listens */
static uint64_t now_ms = 1000000;

/* In place of libuv's. */
uint64_t uv_now(const uv_loop_t *loop)
{
	(void)loop;
	return now_ms;
}

static struct gate_link *client(void)
{
	struct gate_link *l = gate_link_new(&gate, (struct link_conn *)(uintptr_t)1, false);

	assert_non_null(l);
	l->client = true;
	principals_begin(l);
	assert_non_null(l->principal);
	return l;
}

static void run(void)
{
	for (int i = 0; i < 3; i++)
		uv_run(&gate.loop, UV_RUN_NOWAIT);
}

static void take(struct gate_link *l, const struct writer *w)
{
	struct frame f;
	size_t used;

	assert_int_equal(frame_parse(slice_of(w->p, w->len), &f, &used), RMQ_E_OK);
	assert_int_equal(gate_link_frame(l, &f), RMQ_E_OK);
}

#define FROM(l, name, ...) \
	do { \
		uint8_t bytes_[64]; \
		struct writer w_ = writer_of(bytes_, sizeof(bytes_)); \
		gate_put_##name(&w_, &(struct gate_##name){__VA_ARGS__}); \
		take((l), &w_); \
	} while (0)

/* The queue daemon's end of a new stream. */
static int opened(struct gate_link *l, uint32_t id)
{
	FROM(l, open, id, GATE_VERSION, 0, NO_TAGS);
	int fd = accept(queue, NULL, NULL);
	assert_true(fd >= 0);
	run();
	return fd;
}

static enum rmq_error refused(struct gate_link *l, uint32_t id)
{
	struct frame f;
	struct gate_close m;
	size_t used;

	FROM(l, open, id, GATE_VERSION, 0, NO_TAGS);
	assert_int_equal(frame_parse(slice_of(fake_told, fake_told_len), &f, &used), RMQ_E_OK);
	assert_int_equal(f.type, GATE_TYPE_CLOSE);
	assert_true(gate_close_decode(f.payload, &m));
	assert_int_equal(m.stream, id);
	return m.code;
}

/* So that bytes wait in the gate, as the queue daemon reads none: its socket keeps a buffer for each. */
static void stuff(struct gate_link *l, uint32_t id)
{
	for (int i = 0; i < STUFFED; i++)
		FROM(l, data, id, slice_str("x"));
}

/* The queue daemon reads what there is. */
static size_t read_all(int fd)
{
	uint8_t bytes[4096];
	size_t sum = 0;
	ssize_t n;

	while ((n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		sum += (size_t)n;
	return sum;
}

/* What the file of rights says of the key. */
static void grant(const char *until)
{
	char text[KEY_TEXT_SIZE], line[128];
	struct reason why;

	key_print(fake_key, text);
	(void)snprintf(line, sizeof(line), "send queue=\"*\" %s%s web\n", until, text);
	rights_file_deinit(&gate.principals.file);
	assert_int_equal(
	    rights_file_parse(&gate.principals.file, slice_str(line), "rights", &why),
	    RMQ_E_OK);
}

static int setup(void **state)
{
	const uint8_t secret[KEY_SIZE] = {1};
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	(void)state;
	assert_int_equal(gate_init(&gate, 100000), 0);
	assert_true(key_public(secret, fake_key));
	grant("");
	gate.principals.given = true;
	log_init("test_principals", -2);
	assert_non_null(mkdtemp(folder));
	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s/q", folder);
	queue = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(queue, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(queue, 16), 0);
	(void)snprintf(
	    gate.view.queue_socket, sizeof(gate.view.queue_socket), "%s", a.sun_path);
	gate.view.flags = CONTROL_SERVING;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rights_file_deinit(&gate.principals.file);
	free(RB_ROOT(&gate.principals.tree));
	close(queue);
	unlink(gate.view.queue_socket);
	rmdir(folder);
	return 0;
}

static void a_key_begins_so_many_streams_in_a_while(void **state)
{
	struct gate_link *l = client();

	(void)state;
	for (unsigned i = 0; i < GATE_OPENS_PRINCIPAL; i++)
		assert_true(principals_may_open(&gate, l->principal));
	assert_false(principals_may_open(&gate, l->principal));
	/* Nor by coming anew. */
	gate_link_free(l);
	gate_link_free(client());
	l = client();
	assert_false(principals_may_open(&gate, l->principal));
	/* And then at that rate, however long it was away. */
	for (unsigned i = 1; i <= 3; i++) {
		now_ms += GATE_OPENS_MS / 4 * i * i;
		for (unsigned k = 0; k < GATE_OPENS_PRINCIPAL / 4 * (i < 2 ? 1 : 4); k++)
			assert_true(principals_may_open(&gate, l->principal));
		assert_false(principals_may_open(&gate, l->principal));
	}
	gate_link_free(l);
	now_ms += GATE_OPENS_MS;
}

static void a_stream_counts_until_its_last_bytes_have_left(void **state)
{
	uint32_t far_max = gate.far_max;
	struct gate_link *l = client();
	int daemon[2];

	(void)state;
	gate.far_max = 4;
	for (uint32_t id = 1; id <= 2; id++) {
		daemon[id - 1] = opened(l, id);
		stuff(l, id);
		FROM(l, close, id, RMQ_E_OK);
	}
	assert_int_equal(refused(l, 3), RMQ_E_LIMIT);
	gate_link_free(l);
	now_ms += GATE_OPENS_MS;
	/* Nor is it forgotten when a link ends. */
	gate_link_free(client());
	l = client();
	assert_int_equal(refused(l, 1), RMQ_E_LIMIT);
	assert_true(read_all(daemon[0]) < STUFFED);
	run();
	assert_true(read_all(daemon[0]) > 0);
	close(opened(l, 2));
	gate_link_free(l);
	close(daemon[0]);
	close(daemon[1]);
	run();
	assert_int_equal(gate.far_count, 0);
	gate.far_max = far_max;
}

/* The queue daemon reads no more of one that does not read. */
static void the_queue_daemon_is_read_after_the_end(void **state)
{
	static const uint8_t answers[4096];
	struct gate_link *l = client();
	int daemon = opened(l, 1);

	(void)state;
	stuff(l, 1);
	while (send(daemon, answers, sizeof(answers), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		run();
	assert_int_equal(errno, EAGAIN);
	FROM(l, close, 1, RMQ_E_OK);
	for (int i = 0; i < 100; i++)
		run();
	assert_int_equal(send(daemon, answers, sizeof(answers), MSG_DONTWAIT | MSG_NOSIGNAL),
	    sizeof(answers));
	assert_int_equal(gate.far_count, 1);
	size_t came = read_all(daemon);
	assert_true(came < STUFFED);
	run();
	assert_true(came + read_all(daemon) >= STUFFED);
	assert_int_equal(gate.far_count, 0);
	close(daemon);
	gate_link_free(l);
}

static void of_those_who_may_not_come_the_newest_is_heard(void **state)
{
	struct gate_link *links[GATE_DENIED_MAX + 2];

	(void)state;
	grant("expires=\"2020-01-01\" ");
	for (unsigned i = 0; i < GATE_DENIED_MAX + 2; i++) {
		links[i] = gate_link_new(&gate, (struct link_conn *)(uintptr_t)1, false);
		assert_non_null(links[i]);
		links[i]->client = true;
		principals_begin(links[i]);
		assert_null(links[i]->principal);
	}
	for (unsigned i = 0; i < GATE_DENIED_MAX + 2; i++)
		assert_int_equal(links[i]->dismissed, i < 2);
	for (unsigned i = 0; i < GATE_DENIED_MAX + 2; i++)
		gate_link_free(links[i]);
	assert_int_equal(gate.principals.denied, 0);
	grant("");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_key_begins_so_many_streams_in_a_while),
	    cmocka_unit_test(a_stream_counts_until_its_last_bytes_have_left),
	    cmocka_unit_test(the_queue_daemon_is_read_after_the_end),
	    cmocka_unit_test(of_those_who_may_not_come_the_newest_is_heard),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
