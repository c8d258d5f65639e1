/*
 * What a gate is told by another one, or by a client with a key: bytes of a link's stream, taken as
 * rmq-gated takes them.  The first byte says who dialled, whether the link breaks, and whether the
 * peer is a client; a frame of type 255 lets the
 * queue daemon take those that wait.  What waits for a socket, and what the peer may still
 * send, are never more than a stream's window, and at the end nothing is left.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/fake_peers.h"

#define CLIENTS	   4
#define SERVED	   255 /* type of a frame that is none */
#define BEHALF_MAX (RIGHTS_MAX + 128)
#define ENDS_MAX   64

static struct gate gate;
static bool ready;
static int ends[ENDS_MAX];
static unsigned ends_count;

static void check(const struct gate_link *l)
{
	struct stream *s;
	unsigned count = 0;

	RB_FOREACH (s, stream_tree, (struct stream_tree *)(uintptr_t)&l->streams) {
		size_t waiting = s->out_len - s->out_at;
		assert(waiting <= s->flow.window + BEHALF_MAX);
		assert(s->flow.may_come + waiting <= s->flow.window + BEHALF_MAX);
		assert(s->flow.may_send <= GATE_WINDOW);
		assert(s->id <= l->newest);
		count++;
	}
	assert(count == l->count);
}

/* The file of rights has the one key that links of clients have here. */
static void prepare(void)
{
	const uint8_t secret[KEY_SIZE] = {1};
	char text[KEY_TEXT_SIZE], line[128];
	struct reason why;

	assert(gate_init(&gate, 100000) == 0 && key_public(secret, fake_key));
	key_print(fake_key, text);
	(void)snprintf(line, sizeof(line), "send queue=\"*\" %s fuzz\n", text);
	assert(!rights_file_parse(&gate.principals.file, slice_str(line), "rights", &why));
	gate.principals.given = true;
	log_init("fuzz_gate", -2);
	ready = true;
}

/* One end is the gate's, the other one nobody reads. */
static int connection(void)
{
	int pair[2];
	if (ends_count == ENDS_MAX ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) != 0)
		return -1;
	ends[ends_count++] = pair[1];
	return pair[0];
}

static void serve(void)
{
	struct stream *s, *next;
	for (s = TAILQ_FIRST(&gate.waiting); s; s = next) {
		int fd = connection();
		next = TAILQ_NEXT(s, waiting);
		if (fd < 0)
			return;
		assert(stream_connected(s, fd));
		stream_enter(s, RELAYED);
		stream_watch(s);
	}
}

static void open_clients(struct gate_link *l)
{
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct stream *s = stream_new(&gate, HELD, connection());
		assert(s && s->fd >= 0);
		gate_client_begun(&gate);
		s->hello_len = STREAM_HELLO_SIZE;
		assert(gate_link_open(l, s));
	}
}

static void feed(struct gate_link *l, struct slice in)
{
	struct frame f;
	size_t used;

	while (!fake_cut && !frame_parse(in, &f, &used) && used > 0) {
		if (f.type == SERVED) {
			serve();
			if (l->dialled && !gate_link_probe(l))
				assert(!l->heard);
		} else if (gate_link_frame(l, &f))
			return;
		check(l);
		uv_run(&gate.loop, UV_RUN_NOWAIT);
		in = slice_of(in.data + used, in.len - used);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (!ready)
		prepare();
	fake_breaks = data[0] & 2;
	fake_sent = 0;
	fake_cut = false;
	struct gate_link *l =
	    gate_link_new(&gate, (struct link_conn *)(uintptr_t)1, data[0] & 1);
	assert(l);
	l->client = !l->dialled && (data[0] & 4);
	if (l->client)
		principals_begin(l);
	if (l->dialled)
		open_clients(l);
	feed(l, slice_of(data + 1, size - 1));
	if (!fake_cut) {
		l->conn = NULL;
		gate_link_free(l);
	}
	/* Who reads no more ends what is still to leave. */
	while (ends_count > 0)
		close(ends[--ends_count]);
	for (int i = 0; i < 3; i++)
		uv_run(&gate.loop, UV_RUN_NOWAIT);
	assert(gate.far_count == 0 && gate.clients_count == 0 && gate.budget == GATE_BUDGET);
	assert(TAILQ_EMPTY(&gate.waiting) && LIST_EMPTY(&gate.links));
	/* A principal stays for a while, as does how much it has begun. */
	assert(gate.principals.links == 0 && gate.principals.denied == 0);
	const struct principal *p = RB_ROOT(&gate.principals.tree);
	assert(!p || (p->links == 0 && p->streams == 0 && p->budget == 0));
	return 0;
}

static void put_bulk(struct writer *w, uint32_t stream, size_t len)
{
	static const uint8_t zeros[GATE_WINDOW_FIRST];
	gate_put_data(w, &(struct gate_data){stream, slice_of(zeros, len)});
}

void fuzz_seeds(fuzz_add *add)
{
	static uint8_t bytes[1 << 20];

	static const uint8_t rights[] = {RIGHT_SEND, 0, RIGHTS_QUEUE, 1, '*'};
	uint8_t list[64];
	struct writer tags = writer_of(list, sizeof(list));

	tags_put(&tags, GATE_TAG_CLIENT, slice_str("web"));
	tags_put(&tags, GATE_TAG_RIGHTS, slice_of(rights, sizeof(rights)));
	for (unsigned first = 0; first < 8; first++) {
		struct writer w = writer_of(bytes, sizeof(bytes));
		put_u8(&w, (uint8_t)first);
		for (uint32_t id = 1; id <= CLIENTS; id++) {
			if (!(first & 1))
				gate_put_open(
				    &w, &(struct gate_open){id, GATE_VERSION, 1000,
					    id == 3 ? slice_of(list, tags.len) : NO_TAGS});
			put_bulk(&w, id, 100);
			if (id == 2)
				frame_end(&w, frame_begin(&w, SERVED));
			gate_put_credit(&w, &(struct gate_credit){id, 4096});
		}
		for (int i = 0; i < 8; i++)
			put_bulk(&w, 1, GATE_WINDOW_FIRST - 100);
		gate_put_open(
		    &w, &(struct gate_open){CLIENTS + 1, GATE_VERSION_NONE, 0, NO_TAGS});
		gate_put_close(&w, &(struct gate_close){2, RMQ_E_NO_DAEMON});
		put_bulk(&w, 2, 10);
		gate_put_close(&w, &(struct gate_close){3, RMQ_E_VERSION});
		assert(!w.full);
		add(bytes, w.len);
	}
}
