/*
 * `rmq-gated --stdio` between a client and the daemons that it is sent to, which say what they like: what
 * the last daemon gets is what the client said, and the other way round, to the last byte where the
 * receiver stays; a daemon in front of it gets HELLO, and nothing else.
 *
 *	u8 1: the client stays, 2: the daemon stays, 4, 8, 16: there is no first, second, third daemon;
 *	u8 * 16: length of what the first, u8 * 16: of what the second daemon says; u16 of what the
 *	client says; then that, and what the daemons say, the third one all the rest
 */
#include "fuzz.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/net/socket.h"

#define DAEMONS	  3
#define SAID_MAX  (48u << 10)
#define HEAD_SIZE 5

/* It connects to the next daemon, whatever the address. */
static enum rmq_error next_daemon(const struct socket_address *a, int *fd);
#define socket_connect next_daemon
#include "../../cmd/rmq-gated/one_client.c"
#undef socket_connect

static uint8_t flags;
static unsigned connected;
static bool stays; /* the newest daemon */
static struct slice says[DAEMONS];
static int ends[DAEMONS];

static int pair_of(struct slice said, bool open, int *end)
{
	int pair[2];
	int made = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair);
	assert(made == 0);
	ssize_t n = said.len > 0 ? write(pair[1], said.data, said.len) : 0;
	assert(n == (ssize_t)said.len);
	if (!open)
		shutdown(pair[1], SHUT_WR);
	*end = pair[1];
	return pair[0];
}

static enum rmq_error next_daemon(const struct socket_address *a, int *fd)
{
	(void)a;
	assert(connected < DAEMONS);
	if (flags & 4u << connected) {
		errno = ECONNREFUSED;
		return RMQ_E_NO_DAEMON;
	}
	/* One that stays and says nothing is waited for. */
	struct frame f;
	size_t first = 0;
	stays =
	    (flags & 2) && frame_parse(says[connected], &f, &first) == RMQ_E_OK && first > 0;
	*fd = pair_of(says[connected], stays, &ends[connected]);
	connected++;
	return RMQ_E_OK;
}

/* What has arrived at that end, which is closed. */
static size_t arrived(int end, uint8_t *bytes)
{
	ssize_t n;
	size_t len = 0;
	while (len < SAID_MAX && (n = read(end, bytes + len, SAID_MAX - len)) > 0)
		len += (size_t)n;
	close(end);
	return len;
}

static bool begins(struct slice all, const uint8_t *bytes, size_t len)
{
	return len <= all.len && (len == 0 || memcmp(all.data, bytes, len) == 0);
}

static struct slice take_some(struct slice *from, size_t len)
{
	struct slice s = slice_of(from->data, len < from->len ? len : from->len);
	*from = slice_of(s.data + s.len, from->len - s.len);
	return s;
}

/* Our standard input and output are the client meanwhile. */
static int run_with(int client)
{
	static const struct socket_address somewhere = {.path = "q.sock"};
	int kept[2] = {dup(STDIN_FILENO), dup(STDOUT_FILENO)};
	up = (struct pump){.from = STDIN_FILENO, .to = -1};
	down = (struct pump){.from = -1, .to = STDOUT_FILENO};
	for (int i = 0; i < 2; i++)
		assert(kept[i] >= 0 && dup2(client, i) == i);
	close(client);
	int status = one_client_run(&somewhere);
	for (int i = 0; i < 2; i++) {
		dup2(kept[i], i);
		close(kept[i]);
	}
	if (up.to >= 0)
		close(up.to);
	return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t bytes[SAID_MAX];
	struct frame first;
	size_t hello = 0;
	int end;
	if (size < HEAD_SIZE || size > SAID_MAX)
		return 0;
	log_init("fuzz_stdio", -2);
	/* If both stay, nothing ends it. */
	flags = (data[0] & 3) == 3 ? data[0] & ~2u : data[0];
	connected = 0;
	struct slice rest = slice_of(data + HEAD_SIZE, size - HEAD_SIZE);
	struct slice said = take_some(&rest, load_u16(data + 3));
	says[0] = take_some(&rest, data[1] * 16u);
	says[1] = take_some(&rest, data[2] * 16u);
	says[2] = rest;
	if (frame_parse(said, &first, &hello) != RMQ_E_OK)
		hello = 0;

	int client = pair_of(said, flags & 1, &end);
	/* A client that stays, and has not said HELLO, is waited for. */
	if (hello == 0)
		shutdown(end, SHUT_WR);
	int status = run_with(client);
	assert(connected == 0 || hello > 0);
	for (unsigned i = 0; i < connected; i++) {
		size_t len = arrived(ends[i], bytes);
		assert(begins(said, bytes, len) && len >= hello);
		assert(i + 1 == connected || len == hello);
		if (i + 1 == connected && status == 0 && stays)
			assert(len == said.len);
	}
	size_t len = arrived(end, bytes);
	if (status == 0) {
		assert(connected > 0 && begins(says[connected - 1], bytes, len));
		assert(!(flags & 1) || len == says[connected - 1].len);
	}
	return 0;
}

static void add_input(fuzz_add *add, uint8_t how, const char *to, size_t more)
{
	static uint8_t bytes[SAID_MAX];
	static const uint8_t zeros[8000];
	uint8_t said[2][512], tail[64];
	struct writer w = writer_of(bytes, sizeof(bytes)), t = writer_of(tail, sizeof(tail));
	struct writer hello = writer_of(said[0], sizeof(said[0])),
		      answer = writer_of(said[1], sizeof(said[1]));
	wire_put_hello(
	    &hello, &(struct wire_hello){.magic = 829517170, .newest = 2, .oldest = 2});
	if (to)
		wire_put_redirect(&answer, &(struct wire_redirect){slice_str(to)});
	/* To a length of whole 16 bytes. */
	while (answer.len % 16)
		put_u8(&answer, 0);
	wire_put_not_yet(&t, &(struct wire_not_yet){7});
	put_u8(&w, how);
	put_u8(&w, (uint8_t)(answer.len / 16));
	put_u8(&w, 0);
	put_u16(&w, (uint16_t)(hello.len + more));
	put_rest(&w, slice_of(hello.p, hello.len));
	put_rest(&w, slice_of(zeros, more));
	put_rest(&w, slice_of(answer.p, answer.len));
	put_rest(&w, slice_of(t.p, t.len));
	put_rest(&w, slice_of(zeros, more / 2));
	assert(!w.full);
	add(w.p, w.len);
}

void fuzz_seeds(fuzz_add *add)
{
	for (uint8_t how = 0; how < 3; how++) {
		add_input(add, how, NULL, 0);
		add_input(add, how, NULL, 8000);
		add_input(add, how, "unix:/run/rmq/queue.sock", 100);
		add_input(add, how, "192.0.2.1:7411", 100);
	}
	add_input(add, 4, NULL, 10);
	add_input(add, 8, "unix:q", 10);
}
