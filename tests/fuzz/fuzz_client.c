/*
 * The client core against a daemon that says anything: the input is a list of steps, some
 * of which are bytes from the connection.  Whatever comes, what the client writes is
 * well-formed, and what it hands out lies in what it was given.
 */
#include "fuzz_wire.h"

#include "core/client/client.h"

#define BUFFER_SIZE (2 * (FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX))

static uint8_t in_buffer[BUFFER_SIZE], out_buffer[BUFFER_SIZE];

struct world {
	struct client *client;
	struct mono_time now;
	bool connected;
	bool fatal;
	bool bye;
	bool asking;
	size_t in_len;		  /* bytes from the daemon that are not taken yet */
	size_t out_len;		  /* bytes from the client that are not a whole frame yet */
	struct settle_entry last; /* newest delivery */
	uint64_t sum;
};

static void on_deliver(void *arg, const struct client_delivery *d)
{
	struct world *w = arg;
	assert(!w->fatal && d->count > 0);
	for (uint32_t i = 0; i < d->count; i++) {
		struct slice body = client_body(d, i);
		assert(body.data >= d->blob.data &&
		       body.data + body.len <= d->blob.data + d->blob.len);
		for (size_t k = 0; k < body.len; k++)
			w->sum += body.data[k];
	}
	w->last = (struct settle_entry){d->lease, d->first_seq, d->count};
}

static void on_sent(
    void *arg, const struct client_command *cmd, uint64_t first_seq, uint32_t count)
{
	struct world *w = arg;
	assert(!w->fatal && cmd->type == WIRE_TYPE_SEND);
	w->sum += first_seq + count;
}

static void on_done(void *arg, const struct client_command *cmd, struct slice stale)
{
	struct world *w = arg;
	assert(!w->fatal && cmd->type != WIRE_TYPE_SEND && cmd->type != WIRE_TYPE_SETTLE_SEND);
	assert(stale.len % SETTLE_ENTRY_SIZE == 0);
}

static void on_settle_sent(void *arg, const struct client_command *cmd, uint64_t first_seq,
    uint32_t count, struct slice stale)
{
	struct world *w = arg;
	assert(!w->fatal && cmd->type == WIRE_TYPE_SETTLE_SEND);
	assert(stale.len % SETTLE_ENTRY_SIZE == 0);
	w->sum += first_seq + count;
}

static enum client_verdict on_failed(void *arg, const struct client_command *cmd,
    enum rmq_error code, uint32_t at, struct slice text)
{
	struct world *w = arg;
	assert(!w->fatal && text.len <= TEXT_MAX);
	w->sum += at + code;
	if (cmd->type == WIRE_TYPE_SEND && cmd->buf && !cmd->buf->large &&
	    cmd->buf->count > 1) {
		client_remove(w->client, cmd, 0, 1);
		return CLIENT_REPEAT;
	}
	return CLIENT_DROP;
}

static void on_fatal(void *arg, enum rmq_error code, struct slice text)
{
	struct world *w = arg;
	assert(!w->fatal && code != RMQ_E_OK && text.len <= TEXT_MAX);
	w->fatal = true;
}

static void disconnect(struct world *w)
{
	if (!w->connected)
		return;
	w->connected = false;
	w->in_len = 0;
	w->out_len = 0;
	client_disconnected(w->client, w->now);
}

static void connect_now(struct world *w)
{
	struct client_target target;
	if (w->connected || w->fatal || !client_connect(w->client, w->now, &target))
		return;
	w->connected = true;
	client_connected(w->client, w->now, 0);
}

static void input(struct world *w, struct slice bytes)
{
	if (!w->connected)
		return;
	if (bytes.len > BUFFER_SIZE - w->in_len)
		bytes.len = BUFFER_SIZE - w->in_len;
	if (bytes.len > 0)
		memcpy(in_buffer + w->in_len, bytes.data, bytes.len);
	w->in_len += bytes.len;
	size_t used = 0;
	client_input(w->client, w->now, slice_of(in_buffer, w->in_len), &used);
	assert(used <= w->in_len);
	memmove(in_buffer, in_buffer + used, w->in_len - used);
	w->in_len -= used;
	if (client_hangs_up(w->client))
		disconnect(w);
}

FUZZ_CHECK_FRAME(check_frame, WIRE_CLIENT_FRAMES)

static void output(struct world *w, size_t max)
{
	struct slice pieces[CLIENT_PIECES];
	size_t used, wrote = 0;

	if (!w->connected || client_hangs_up(w->client))
		return;
	size_t n = client_output(w->client, w->now, pieces, CLIENT_PIECES);
	for (size_t i = 0; i < n && wrote < max; i++) {
		size_t len = pieces[i].len < max - wrote ? pieces[i].len : max - wrote;
		if (len > BUFFER_SIZE - w->out_len)
			len = BUFFER_SIZE - w->out_len;
		memcpy(out_buffer + w->out_len, pieces[i].data, len);
		w->out_len += len;
		wrote += len;
		if (len < pieces[i].len)
			break;
	}
	client_wrote(w->client, wrote);
	for (struct frame f;;) {
		assert(frame_parse(slice_of(out_buffer, w->out_len), &f, &used) == RMQ_E_OK);
		if (used == 0)
			return;
		check_frame(&f);
		memmove(out_buffer, out_buffer + used, w->out_len - used);
		w->out_len -= used;
	}
}

static void send_some(struct world *w, unsigned count)
{
	if (w->bye || !client_has_room(w->client))
		return;
	struct sendbuf *b = sendbuf_new();
	assert(b);
	for (unsigned i = 0; i <= count % 8; i++)
		assert(sendbuf_append(b, slice_str("a message"), '\n'));
	client_send(w->client, w->now, slice_str("jobs"), 0, b, NULL);
}

static void settle(struct world *w, unsigned how)
{
	struct client_settlement s = {.queue = slice_str("jobs"),
	    .verb = (enum settle_verb)(1 + how % 4),
	    .ms = how,
	    .why = slice_str("")};
	if (w->bye || w->last.count == 0 || client_unanswered(w->client) >= SESSION_WINDOW)
		return;
	client_settle(w->client, w->now, &s, &w->last, 1);
	if (s.verb != VERB_TOUCH)
		assert(!client_vouches(w->client, w->last.lease, w->last.first, w->now));
}

static void settle_send(struct world *w)
{
	static const uint8_t batch[] = {1, 0, 0, 0, 2, 0, 'x', '\n'};
	if (w->bye || w->last.count == 0 || client_unanswered(w->client) >= SESSION_WINDOW)
		return;
	client_settle_send(w->client, w->now, slice_str("jobs"), &w->last, 1, slice_str("done"),
	    0, slice_of(batch, sizeof(batch)), NULL);
}

static void on_list_end(void *arg, uint32_t req, bool more)
{
	struct world *w = arg;
	w->sum += req + more;
	w->asking = false;
}

static void on_peek_end(void *arg, uint32_t req, enum rmq_error code, bool more, uint64_t next)
{
	struct world *w = arg;
	w->sum += req + code + more + next;
	w->asking = false;
}

static void ask(struct world *w, bool list)
{
	if (w->bye || w->asking)
		return;
	w->asking = true;
	if (list)
		client_list(w->client, w->now, slice_str(""), slice_str("*"), 10);
	else
		client_peek(w->client, w->now, slice_str("jobs"), 7, 0, 10);
}

static void step(struct world *w, struct reader *r)
{
	unsigned op = get_u8(r);
	switch (op & 15) {
	case 0:
		connect_now(w);
		break;
	case 1:
		disconnect(w);
		break;
	case 2:
		w->now.ms += get_u16(r);
		client_tick(w->client, w->now);
		if (client_hangs_up(w->client))
			disconnect(w);
		break;
	case 3:
		send_some(w, get_u8(r));
		break;
	case 4:
		settle(w, get_u8(r));
		break;
	case 5:
		output(w, get_u16(r));
		break;
	case 6:
	case 7:
		ask(w, op & 1);
		break;
	case 8:
		if (!w->bye)
			client_bye(w->client);
		w->bye = true;
		break;
	case 9:
		settle_send(w);
		break;
	default:
		input(w, fuzz_take(r));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w = {.now = {1000}};
	struct client_config config = {
	    .servers = 2, .window = 4, .timeout_ms = 30000, .seed = 1};
	struct client_host host = {.arg = &w,
	    .sent = on_sent,
	    .done = on_done,
	    .settle_sent = on_settle_sent,
	    .failed = on_failed,
	    .deliver = on_deliver,
	    .peeked = on_deliver,
	    .list_end = on_list_end,
	    .peek_end = on_peek_end,
	    .fatal = on_fatal};
	struct reader r = reader_of(slice_of(data, size));

	w.client = client_new(&config, &host);
	assert(w.client);
	uint32_t sub = client_subscribe(w.client, w.now, slice_str("jobs"), 0, 0);
	client_credit(w.client, sub, 1000, 1 << 20);
	connect_now(&w);
	output(&w, SIZE_MAX);
	while (reader_left(&r) > 0 && !w.fatal)
		step(&w, &r);
	client_free(w.client);
	return 0;
}

/* Steps that connect and are welcomed, then a frame. */
static struct writer seed_begin(uint8_t *bytes, size_t cap)
{
	struct writer w = writer_of(bytes, cap);
	put_u8(&w, 15);
	put_u16(&w, FRAME_HEADER_SIZE + 40);
	wire_put_welcome(&w,
	    &(struct wire_welcome){WIRE_VERSION, 0, 1ull << 32 | 1, 0, 1, 1 << 20, NO_TAGS});
	put_u8(&w, 3);
	put_u8(&w, 2);
	put_u8(&w, 5);
	put_u16(&w, UINT16_MAX);
	return w;
}

#define ADD_FRAME(frame) \
	do { \
		uint8_t bytes_[512], frame_[256]; \
		struct writer f = writer_of(frame_, sizeof(frame_)); \
		frame; \
		struct writer w = seed_begin(bytes_, sizeof(bytes_)); \
		put_u8(&w, 15); \
		put_u16(&w, (uint16_t)f.len); \
		put_rest(&w, slice_of(f.p, f.len)); \
		put_u8(&w, 4); \
		put_u8(&w, 0); \
		put_u8(&w, 5); \
		put_u16(&w, UINT16_MAX); \
		put_u8(&w, 15); \
		put_u16(&w, FRAME_HEADER_SIZE + 8); \
		wire_put_done(&w, &(struct wire_done){2, {0}}); \
		assert(!w.full && !f.full); \
		add(bytes_, w.len); \
	} while (0)

void fuzz_seeds(fuzz_add *add)
{
	struct slice data = slice_of("\2\0\4\0a\nb\n", 8);
	ADD_FRAME(wire_put_sent(&f, &(struct wire_sent){1, 1, 3}));
	ADD_FRAME(
	    wire_put_failed(&f, &(struct wire_failed){1, RMQ_E_TOO_LARGE, 0, slice_str("x")}));
	ADD_FRAME(wire_put_failed(&f, &(struct wire_failed){1, RMQ_E_FULL, 0, slice_str("x")}));
	ADD_FRAME({
		wire_put_sent(&f, &(struct wire_sent){1, 1, 3});
		wire_put_subscribed(&f, &(struct wire_subscribed){0, 30000});
		wire_put_deliver(&f, &(struct wire_deliver){0, 7, 1, 1, 0, 5, 1000,
					 slice_str(""), 0, 2, NO_TAGS, data});
		wire_put_lease_ended(&f, &(struct wire_lease_ended){0, ENDED_EXPIRED, 7, 1, 1});
	});
	ADD_FRAME({
		wire_put_subscribed(&f, &(struct wire_subscribed){0, 30000});
		for (uint32_t part = 0; part < 2; part++)
			wire_put_deliver_part(
			    &f, &(struct wire_deliver_part){0, 7, 1, 1, 0, 5, 1000,
				    slice_str(""), part, 2, 16, NO_TAGS, data});
		wire_put_extended(&f, &(struct wire_extended){1000});
	});
	ADD_FRAME({
		wire_put_sent(&f, &(struct wire_sent){1, 1, 3});
		wire_put_deliver(&f, &(struct wire_deliver){0, 7, 1, 1, 0, 5, 1000,
					 slice_str(""), 0, 2, NO_TAGS, data});
		put_u8(&f, 9);
		put_u8(&f, 5);
		put_u16(&f, UINT16_MAX);
		put_u8(&f, 15);
		put_u16(&f, FRAME_HEADER_SIZE + 22);
		wire_put_settle_sent(&f, &(struct wire_settle_sent){2, 4, 1, NO_TAGS, {0}});
	});
	ADD_FRAME({
		uint8_t list[32];
		struct writer tags = writer_of(list, sizeof(list));
		tags_put(&tags, MOVED_TAG_SERVERS, slice_str("there:1"));
		wire_put_moved(
		    &f, &(struct wire_moved){slice_str("jobs"), slice_str("b"),
			    slice_str("0123456789abcdef"), slice_of(tags.p, tags.len)});
		wire_put_failed(
		    &f, &(struct wire_failed){1, RMQ_E_ELSEWHERE, 0, slice_str("x")});
		put_u8(&f, 5);
		put_u16(&f, UINT16_MAX);
		put_u8(&f, 1);
		put_u8(&f, 2);
		put_u16(&f, 1000);
		put_u8(&f, 0);
	});
#define X(type, NAME, name, FIELDS) \
	ADD_FRAME({ \
		struct writer *w = &f; \
		size_t begin = frame_begin(w, type); \
		FIELDS(FUZZ_PUT) \
		frame_end(w, begin); \
	});
	WIRE_DAEMON_FRAMES(X)
#undef X
}
