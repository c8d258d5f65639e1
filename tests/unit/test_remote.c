/* A client at a gate that tells it more than it should. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>
#include <uv.h>

#include "sys/client/known_gates.h"
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
static unsigned shaken, cuts;  /* … handshakes, of which the first ones are cut */

/* What getaddrinfo() finds for names: addresses; it waits while `silent` is locked. */
static const char *const *found;
static unsigned searches;
static pthread_mutex_t silent = PTHREAD_MUTEX_INITIALIZER;

int getaddrinfo(
    const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **list)
{
	const char *const numeric[] = {name, NULL}, *const *at = numeric;
	struct in_addr a;
	(void)hints;
	if (inet_pton(AF_INET, name, &a) != 1) {
		if (hints->ai_flags & AI_NUMERICHOST)
			return EAI_NONAME;
		searches++;
		pthread_mutex_lock(&silent);
		at = found;
		pthread_mutex_unlock(&silent);
	}
	for (struct addrinfo **end = list; *at; at++, end = &(*end)->ai_next) {
		struct sockaddr_in *in = calloc(1, sizeof(*in));
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)atoi(service));
		inet_pton(AF_INET, *at, &in->sin_addr);
		*end = calloc(1, sizeof(**end));
		(*end)->ai_family = AF_INET;
		(*end)->ai_addr = (struct sockaddr *)in;
		(*end)->ai_addrlen = sizeof(*in);
	}
	return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
	while (list) {
		struct addrinfo *a = list;
		list = a->ai_next;
		free(a->ai_addr);
		free(a);
	}
}

static bool knows(void *arg, enum link_role role, const uint8_t key[KEY_SIZE])
{
	(void)arg, (void)key;
	return shaken++ >= cuts && role == LINK_CLIENT;
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

/* Connects, and waits until that has succeeded or is over: why. */
static enum rmq_error connect_as(
    uv_loop_t *loop, char text[512], const struct socket_host *host)
{
	static uint8_t bytes[CLIENT_LINK_HEAD + LINK_PLAIN_MAX];
	struct client_link_in in = {.bytes = bytes + CLIENT_LINK_HEAD, .cap = LINK_PLAIN_MAX};
	struct client_options o = {.keyfile = keyfile, .known_nodes = known};
	struct remote *r = remote_new(&in);
	struct reason why;
	const char *is;
	bool ours;
	uint64_t begin = clock_mono().ms;
	assert_int_equal(remote_find_files(r, &o, &why), RMQ_E_OK);
	shaken = 0;
	remote_begin(r, host, false, clock_mono());
	while (remote_state(r) == REMOTE_COMING && clock_mono().ms - begin < WAIT_MS)
		turn(loop, r);
	enum rmq_error err = remote_error(r, &is, &ours);
	assert_int_equal(remote_state(r), err ? REMOTE_OVER : REMOTE_UP);
	snprintf(text, 512, "%s", is);
	remote_free(r);
	return err;
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
	const struct client_config config = {
	    .servers = 1, .window = 16, .timeout_ms = 30000, .seed = 7};
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

static void with_gate(
    struct slice cluster, void (*does)(uv_loop_t *loop, size_t count), size_t count)
{
	uv_loop_t loop;
	struct link_listener *listener;
	struct link_listener_options o = {.address = {.host = "127.0.0.1"},
	    .roles = LINK_ROLE_BIT(LINK_CLIENT),
	    .known = knows,
	    .refused = on_refused,
	    .events = {.up = on_up, .frame = on_frame}};
	struct reason why = {""};
	assert_int_equal(uv_loop_init(&loop), 0);
	struct link_net *net = link_net_new(&loop, &gate_pair, slice_str("n1"));
	link_net_cluster(net, cluster);
	assert_int_equal(link_listener_new(net, &o, &listener, &why), RMQ_E_OK);
	port = link_listener_port(listener);
	cuts = 0;
	know(own_address(), "n1", &gate_pair, cluster);
	know(host_of(OTHER), "n2", &before, cluster);
	does(&loop, count);
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
	with_gate(slice_of(NULL, 0), meet, 1);
	assert_known(host_of(OTHER), &before);
	assert_known(own_address(), &after);
}

static void a_gate_of_a_cluster_says_where_its_gates_are(void **state)
{
	(void)state;
	with_gate(slice_of(&some_cluster, sizeof(some_cluster)), meet, 2);
	assert_known(own_address(), &after);
}

/* It may be starting: only the second refusal is one. */
static void is_cut(uv_loop_t *loop, size_t count)
{
	struct socket_host host = own_address();
	char text[512];
	(void)count;
	cuts = 1;
	assert_int_equal(connect_as(loop, text, &host), RMQ_E_OK);
	assert_int_equal(shaken, 2);
	cuts = 9;
	assert_int_equal(connect_as(loop, text, &host), RMQ_E_DENIED);
	assert_non_null(strstr(text, "it does not know our key rmq1:"));
	assert_int_equal(shaken, 2);
}

static void a_handshake_that_is_cut_once_is_begun_again(void **state)
{
	(void)state;
	with_gate(slice_of(NULL, 0), is_cut, 0);
}

/* The file has the line of another gate, and this one's at another place. */
static void others_first(const struct keypair *pair, const char *name)
{
	struct raft_id none = {{0}};
	struct pin p = {.address = own_address(), .cluster = none};
	char line[PIN_TEXT_SIZE];
	FILE *f = fopen(known, "a");
	memcpy(p.key, pair->key, KEY_SIZE);
	strcpy(p.name, name);
	pin_print(&p, line);
	assert_true(f && fprintf(f, "%s\n", line) > 0 && fclose(f) == 0);
}

static void is_one_of_several(uv_loop_t *loop, size_t count)
{
	struct socket_host host = own_address();
	char text[512];
	struct pins p = {.count = 0};
	struct reason why;
	(void)count;
	unlink(known);
	others_first(&before, "n2");
	assert_int_equal(connect_as(loop, text, &host), RMQ_E_DENIED);
	assert_non_null(strstr(text, "it has another key than known, of fingerprint"));
	others_first(&gate_pair, "n1");
	assert_int_equal(connect_as(loop, text, &host), RMQ_E_OK);
	assert_int_equal(shaken, 1);
	/* Its newer key takes its line, and no other one's. */
	meet(loop, 1);
	assert_int_equal(pins_read(&p, known, &why), RMQ_E_OK);
	assert_int_equal(p.count, 2);
	assert_non_null(pins_find_key(&p, &host, before.key));
	assert_non_null(pins_find_key(&p, &host, after.key));
	pins_deinit(&p);
}

/* What a member of the cluster has told of the others holds wherever a name of it leads. */
static void who_was_told_is_expected_at_names_of_its_cluster(void **state)
{
	struct socket_host name = host_of("mq.example.org:7411"), alone = host_of("alone:1");
	uint8_t bytes[200];
	struct writer w = writer_of(bytes, sizeof(bytes));
	struct known_gates k;
	struct reason why;
	struct pin proved;
	(void)state;
	know(name, "n1", &gate_pair, slice_of(&some_cluster, sizeof(some_cluster)));
	know(alone, "n9", &before, slice_of(NULL, 0));
	known_gates_init(&k);
	strcpy(k.path, known);
	gate_contact_encode(&w, &(struct gate_contact){slice_str(OTHER), slice_str("n2"),
				    slice_of(after.key, KEY_SIZE)});
	assert_int_equal(known_gates_at(&k, &name, false, &why), RMQ_E_OK);
	assert_null(known_gates_expected(&k, after.key));
	proved = k.here.pins[0];
	known_gates_take(&k, &name, &proved, slice_of(w.p, w.len));
	assert_non_null(known_gates_expected(&k, after.key));
	assert_non_null(known_gates_expected(&k, gate_pair.key));
	assert_null(known_gates_expected(&k, before.key));
	assert_int_equal(known_gates_at(&k, &alone, false, &why), RMQ_E_OK);
	assert_null(known_gates_expected(&k, after.key));
	known_gates_deinit(&k);
}

static void an_address_may_lead_to_several_gates_that_are_known(void **state)
{
	(void)state;
	with_gate(slice_of(NULL, 0), is_one_of_several, 0);
}

/* A client that runs, and its time. */
struct running {
	uv_loop_t *loop;
	struct remote *r;
	struct client_link_in in;
	struct mono_time now;
	char text[512];
	uint8_t bytes[CLIENT_LINK_HEAD + LINK_PLAIN_MAX];
};

static void run(struct running *c, uv_loop_t *loop)
{
	struct client_options o = {.keyfile = keyfile, .known_nodes = known};
	struct reason why;
	memset(c, 0, sizeof(*c));
	c->loop = loop;
	c->in = (struct client_link_in){
	    .bytes = c->bytes + CLIENT_LINK_HEAD, .cap = LINK_PLAIN_MAX};
	c->now = clock_mono();
	c->r = remote_new(&c->in);
	assert_int_equal(remote_find_files(c->r, &o, &why), RMQ_E_OK);
}

/* Connects; its time passes only in steps of its deadlines, and *waited says how much. */
static enum rmq_error connects(
    struct running *c, const struct socket_host *host, uint64_t *waited)
{
	const char *text;
	bool ours;
	uint64_t begin = clock_mono().ms, from = c->now.ms;
	remote_end(c->r);
	shaken = 0;
	remote_begin(c->r, host, false, c->now);
	while (remote_state(c->r) == REMOTE_COMING && clock_mono().ms - begin < WAIT_MS) {
		struct pollfd p = remote_poll(c->r);
		uv_run(c->loop, UV_RUN_NOWAIT);
		if (poll(&p, 1, 1) == 0 && p.events == POLLOUT)
			c->now.ms += remote_due_ms(c->r, c->now);
		remote_turn(c->r, p.revents, c->now);
	}
	enum rmq_error err = remote_error(c->r, &text, &ours);
	snprintf(c->text, sizeof(c->text), "%s", text);
	assert_int_equal(remote_state(c->r), err ? REMOTE_OVER : REMOTE_UP);
	*waited = c->now.ms - from;
	return err;
}

static int listen_at(const char *address, int backlog)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
	inet_pton(AF_INET, address, &a.sin_addr);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

/* Packets to it are swallowed: it takes no connection after this one. */
static void swallow(const char *address, int fds[3])
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	inet_pton(AF_INET, address, &a.sin_addr);
	fds[0] = listen_at(address, 0);
	for (int i = 1; i < 3; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(fds[i], (struct sockaddr *)&a, sizeof(a));
	}
}

static struct socket_host named(void)
{
	struct socket_host h = {"name.example", port};
	return h;
}

static void has_addresses(uv_loop_t *loop, size_t count)
{
	static const char *const two[] = {"127.0.0.3", "127.0.0.1", NULL};
	static const char *const dead[] = {"127.0.0.3", "127.0.0.4", NULL};
	struct socket_host host = named();
	struct running c;
	uint64_t waited;
	int fds[3];
	(void)count;
	know(host, "n1", &gate_pair, slice_of(NULL, 0));
	swallow("127.0.0.3", fds);
	found = two;
	run(&c, loop);
	assert_int_equal(connects(&c, &host, &waited), RMQ_E_OK);
	assert_int_equal(waited, 250);
	/* Who let us in is tried first. */
	assert_int_equal(connects(&c, &host, &waited), RMQ_E_OK);
	assert_int_equal(waited, 0);
	/* A way that was dead is given more time, from one vain attempt to the next. */
	found = dead;
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(connects(&c, &host, &waited), RMQ_E_NO_DAEMON);
		assert_int_equal(waited, i < 3 ? 250 << i : 2000);
	}
	/* Nor does a contact point that is gone hold up one that was served. */
	found = two;
	assert_int_equal(connects(&c, &host, &waited), RMQ_E_OK);
	host = (struct socket_host){"127.0.0.3", port};
	assert_int_equal(connects(&c, &host, &waited), RMQ_E_NO_DAEMON);
	assert_int_equal(waited, 250);
	host = named();
	/* What took too long is not begun with again. */
	found = two;
	remote_free(c.r);
	run(&c, loop);
	remote_begin(c.r, &host, false, c.now);
	for (unsigned i = 0; i < 1000 && remote_poll(c.r).events != POLLOUT; i++)
		turn(loop, c.r);
	remote_late(c.r);
	assert_int_equal(remote_state(c.r), REMOTE_OVER);
	assert_int_equal(connects(&c, &host, &waited), RMQ_E_OK);
	assert_int_equal(waited, 0);
	remote_free(c.r);
	for (unsigned i = 0; i < 3; i++)
		close(fds[i]);
}

static void dead_ways_cost_little(void **state)
{
	(void)state;
	with_gate(slice_of(NULL, 0), has_addresses, 0);
}

/* It refuses us, and another one of the name, which is not there now, may not. */
static void one_may_come(uv_loop_t *loop, size_t count)
{
	static const char *const two[] = {"127.0.0.2", "127.0.0.1", NULL}, *const *one =
									       two + 1;
	struct socket_host host = named();
	struct running c;
	uint64_t waited;
	(void)count;
	know(host, "n1", &gate_pair, slice_of(NULL, 0));
	cuts = 9;
	for (unsigned turned = 0; turned < 2; turned++) {
		static const char *const other[] = {"127.0.0.1", "127.0.0.2", NULL};
		found = turned ? other : two;
		run(&c, loop);
		assert_int_equal(connects(&c, &host, &waited), RMQ_E_NO_DAEMON);
		assert_non_null(strstr(c.text, "it does not know our key rmq1:"));
		found = one;
		assert_int_equal(connects(&c, &host, &waited), RMQ_E_DENIED);
		remote_free(c.r);
	}
}

static void a_refusal_counts_when_all_of_a_name_refuse(void **state)
{
	(void)state;
	with_gate(slice_of(NULL, 0), one_may_come, 0);
}

static void *answer_with_noise(void *arg)
{
	uint8_t noise[50] = {48};
	struct pollfd p = {*(int *)arg, POLLIN, 0};
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	int fd = accept(p.fd, NULL, NULL);
	assert_int_equal(send(fd, noise, sizeof(noise), 0), sizeof(noise));
	(void)recv(fd, noise, 1, 0);
	close(fd);
	return NULL;
}

/* Nobody who has proved nothing ends, or holds up, a client that was served. */
static void was_served(uv_loop_t *loop, size_t count)
{
	struct socket_host host = own_address(), elsewhere = {"127.0.0.2", port};
	struct running c;
	pthread_t thread;
	uint64_t waited;
	int fd = listen_at("127.0.0.2", 5);
	(void)count;
	know(elsewhere, "n1", &gate_pair, slice_of(NULL, 0));
	for (unsigned served = 0; served < 2; served++) {
		enum rmq_error err = served ? RMQ_E_NO_DAEMON : RMQ_E_DENIED;
		run(&c, loop);
		cuts = 0;
		if (served)
			assert_int_equal(connects(&c, &host, &waited), RMQ_E_OK);
		assert_int_equal(pthread_create(&thread, NULL, answer_with_noise, &fd), 0);
		assert_int_equal(connects(&c, &elsewhere, &waited), err);
		assert_string_equal(c.text, "it cannot prove that it has its key");
		pthread_join(thread, NULL);
		cuts = 9;
		assert_int_equal(connects(&c, &host, &waited), err);
		assert_non_null(strstr(c.text, "it does not know our key"));
		if (served) {
			unlink(known);
			assert_int_equal(connects(&c, &host, &waited), err);
			assert_non_null(
			    strstr(c.text, "a client that was served does not ask"));
		}
		remote_free(c.r);
	}
	close(fd);
}

static void a_client_that_was_served_is_not_ended_by_strangers(void **state)
{
	(void)state;
	with_gate(slice_of(NULL, 0), was_served, 0);
}

/* Without a terminal nobody is asked, and the time that goes by is the client's own. */
static void is_unknown(uv_loop_t *loop, size_t count)
{
	struct socket_host host = own_address();
	struct running c;
	uint64_t waited;
	int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	(void)count;
	if (tty >= 0) {
		(void)ioctl(tty, TIOCNOTTY);
		close(tty);
	}
	unlink(known);
	run(&c, loop);
	for (unsigned i = 0; i < 3; i++) {
		uint64_t begin = clock_mono().ms;
		while (clock_mono().ms == begin)
			;
		assert_int_equal(connects(&c, &host, &waited), RMQ_E_DENIED);
		assert_non_null(strstr(c.text, "its key is not known"));
		assert_false(remote_asked(c.r));
	}
	remote_free(c.r);
}

static void nobody_was_asked_where_there_is_no_terminal(void **state)
{
	(void)state;
	with_gate(slice_of(NULL, 0), is_unknown, 0);
}

/* Name servers take long: the look-up goes on while others are tried. */
static void is_looked_up(uv_loop_t *loop, size_t count)
{
	static const char *const one[] = {"127.0.0.1", NULL};
	struct socket_host host = named(), other = {"127.0.0.1", 1};
	struct running c;
	uint64_t waited;
	(void)count;
	know(host, "n1", &gate_pair, slice_of(NULL, 0));
	found = one;
	searches = 0;
	run(&c, loop);
	pthread_mutex_lock(&silent);
	for (unsigned i = 0; i < 2; i++) {
		const char *text;
		bool ours;
		remote_begin(c.r, &host, false, c.now);
		turn(loop, c.r);
		remote_late(c.r);
		assert_int_equal(remote_error(c.r, &text, &ours), RMQ_E_NO_DAEMON);
		assert_string_equal(text, "name servers do not answer");
		assert_int_equal(connects(&c, &other, &waited), RMQ_E_NO_DAEMON);
	}
	pthread_mutex_unlock(&silent);
	assert_int_equal(connects(&c, &host, &waited), RMQ_E_OK);
	assert_int_equal(searches, 1);
	remote_free(c.r);
}

static void a_look_up_goes_on_meanwhile(void **state)
{
	(void)state;
	with_gate(slice_of(NULL, 0), is_looked_up, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		a_gate_without_a_cluster_speaks_for_itself_alone, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		a_gate_of_a_cluster_says_where_its_gates_are, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		a_handshake_that_is_cut_once_is_begun_again, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		an_address_may_lead_to_several_gates_that_are_known, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		who_was_told_is_expected_at_names_of_its_cluster, setup, teardown),
	    cmocka_unit_test_setup_teardown(dead_ways_cost_little, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		a_refusal_counts_when_all_of_a_name_refuse, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		a_client_that_was_served_is_not_ended_by_strangers, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		nobody_was_asked_where_there_is_no_terminal, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_look_up_goes_on_meanwhile, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
