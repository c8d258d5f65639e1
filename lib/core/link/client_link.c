#include "core/link/client_link.h"

#include <assert.h>

#define CONTROL_SIZE \
	(3 * (FRAME_HEADER_SIZE + 12)) /* room for what is before DATA in a record */

static_assert(CONTROL_SIZE + GATE_DATA_HEAD + GATE_DATA_MAX <= LINK_DATA_MAX,
    "one DATA fits into a record");

static void begin_stream(struct client_link *c)
{
	c->stream++;
	c->opened = c->over = false;
	c->code = RMQ_E_OK;
	gate_flow_init(&c->flow);
	/* There is no other stream that would want the memory. */
	gate_flow_widen(&c->flow);
}

enum rmq_error client_link_begin(struct client_link *c, const struct link_identity *id,
    const uint8_t responder[KEY_SIZE], struct writer *out,
    void (*contacts)(void *arg, struct slice contacts), void *arg)
{
	struct link_identity as_client = *id;
	memset(c, 0, sizeof(*c));
	as_client.role = LINK_CLIENT;
	c->contacts = contacts;
	c->arg = arg;
	begin_stream(c);
	return link_initiate(&c->link, &as_client, responder, out);
}

void client_link_deinit(struct client_link *c)
{
	link_deinit(&c->link);
}

void client_link_next(struct client_link *c)
{
	assert(c->over && !link_ended(&c->link));
	begin_stream(c);
}

/* ---- what comes ---- */

/* What a frame is about: a stream that was over when the gate said it is not minded. */
static enum rmq_error about(const struct client_link *c, uint32_t stream, bool *minded)
{
	*minded = stream == c->stream && !c->over;
	return stream > 0 && stream <= c->stream ? RMQ_E_OK : RMQ_E_PROTOCOL;
}

static enum rmq_error on_open(struct client_link *c, const struct gate_open *m)
{
	(void)c, (void)m;
	return RMQ_E_PROTOCOL;
}

/* Its head is taken apart before it has come as a whole. */
static enum rmq_error on_data(struct client_link *c, const struct gate_data *m)
{
	(void)c, (void)m;
	return RMQ_E_PROTOCOL;
}

static enum rmq_error on_credit(struct client_link *c, const struct gate_credit *m)
{
	bool minded;
	enum rmq_error err = about(c, m->stream, &minded);
	if (!err && minded && !gate_flow_credit(&c->flow, m->bytes))
		err = RMQ_E_PROTOCOL;
	return err;
}

static enum rmq_error on_close(struct client_link *c, const struct gate_close *m)
{
	bool minded;
	enum rmq_error err = about(c, m->stream, &minded);
	if (err || !minded)
		return err;
	c->over = true;
	c->code = error_known(m->code) ? (enum rmq_error)m->code : RMQ_E_NO_DAEMON;
	return RMQ_E_OK;
}

static enum rmq_error on_contacts(struct client_link *c, const struct gate_contacts *m)
{
	if (c->contacts)
		c->contacts(c->arg, m->contacts);
	return RMQ_E_OK;
}

static enum rmq_error take_frame(struct client_link *c, const struct frame *f)
{
	switch (f->type) {
#define X(type, NAME, name, FIELDS) \
	case type: { \
		struct gate_##name m; \
		if (!gate_##name##_decode(f->payload, &m)) \
			return RMQ_E_PROTOCOL; \
		return on_##name(c, &m); \
	}
		GATE_FRAMES(X)
#undef X
	}
	return RMQ_E_PROTOCOL;
}

/* Begins with a DATA; *used is the size of its head, 0: that has not come as a whole. */
static enum rmq_error take_head(struct client_link *c, struct slice s, size_t *used)
{
	size_t len = load_u32(s.data);
	bool minded;
	*used = 0;
	if (s.len < GATE_DATA_HEAD)
		return RMQ_E_OK;
	if (len < GATE_DATA_HEAD - FRAME_HEADER_SIZE || s.data[5] != 0 ||
	    load_u16(s.data + 6) != 0)
		return RMQ_E_PROTOCOL;
	len -= GATE_DATA_HEAD - FRAME_HEADER_SIZE;
	enum rmq_error err = about(c, load_u32(s.data + FRAME_HEADER_SIZE), &minded);
	if (err || len > GATE_WINDOW || (minded && !gate_flow_data(&c->flow, len)))
		return RMQ_E_PROTOCOL;
	c->coming = (uint32_t)len;
	c->unwanted = !minded;
	*used = GATE_DATA_HEAD;
	return RMQ_E_OK;
}

/* Takes a frame other than DATA, or the head of one; *used 0: more bytes are needed. */
static enum rmq_error take_next(struct client_link *c, struct slice s, size_t *used)
{
	struct frame frame;
	*used = 0;
	if (s.len < FRAME_HEADER_SIZE)
		return RMQ_E_OK;
	if (s.data[4] == GATE_TYPE_DATA)
		return take_head(c, s, used);
	if (load_u32(s.data) > CLIENT_LINK_FRAME_MAX - FRAME_HEADER_SIZE)
		return RMQ_E_PROTOCOL;
	enum rmq_error err = frame_parse(s, &frame, used);
	return err || *used == 0 ? err : take_frame(c, &frame);
}

/*
 * Takes plain bytes apart that stand at `from`, not before where the stream's bytes end but for a
 * head: those of the stream are moved there, unless they stand there already.
 */
static enum rmq_error take_apart(
    struct client_link *c, struct client_link_in *in, const uint8_t *from, size_t len)
{
	enum rmq_error err = RMQ_E_OK;
	while (len > 0) {
		size_t used;
		if (c->coming == 0) {
			err = take_next(c, slice_of(from, len), &used);
			if (err || used == 0)
				break;
		} else {
			used = len < c->coming ? len : c->coming;
			c->coming -= (uint32_t)used;
			if (!c->unwanted) {
				if (from != in->bytes + in->data)
					memmove(in->bytes + in->data, from, used);
				in->data += used;
			}
		}
		from += used;
		len -= used;
	}
	if (err)
		len = 0;
	if (len > 0)
		memmove(in->bytes + in->data, from, len);
	in->end = in->data + len;
	return err;
}

enum rmq_error client_link_receive(struct client_link *c, struct slice raw, size_t *used,
    struct client_link_in *in, struct writer *out)
{
	uint8_t kept[CLIENT_LINK_HEAD];
	/* A record most often is one DATA: opened so far before, its bytes are in their place. */
	bool begins = c->coming == 0 && in->end == in->data;
	uint8_t *at = in->bytes + in->end - (begins ? CLIENT_LINK_HEAD : 0);
	uint8_t *head = in->bytes + in->data - CLIENT_LINK_HEAD;
	assert(client_link_room(in));
	memcpy(kept, head, sizeof(kept));
	struct writer plain = writer_of(at, LINK_PLAIN_MAX);
	enum rmq_error err = link_receive(&c->link, raw, used, &plain, out);
	if (!err) {
		uint8_t *from = begins ? at : in->bytes + in->data;
		err = take_apart(c, in, from, (size_t)(at + plain.len - from));
		if (err)
			(void)noise_fail(&c->link.noise, err);
		else if (link_ended(&c->link))
			c->over = true;
	}
	memcpy(head, kept, sizeof(kept));
	return err;
}

/* ---- what goes ---- */

/* What is before DATA in a record of so many bytes of the stream. */
static void put_control(struct client_link *c, struct writer *w, size_t waiting, size_t len)
{
	uint32_t grant = 0;
	if (!c->opened)
		gate_put_open(w, &(struct gate_open){c->stream, GATE_VERSION, 0, NO_TAGS});
	c->opened = true;
	if (len > 0 || gate_flow_low(&c->flow, waiting))
		grant = gate_flow_grant(&c->flow, waiting);
	if (grant > 0)
		gate_put_credit(w, &(struct gate_credit){c->stream, grant});
}

enum rmq_error client_link_seal(struct client_link *c, const struct slice *pieces, size_t count,
    size_t waiting, uint8_t *record, size_t *taken, size_t *size)
{
	struct slice all[LINK_PIECES_MAX];
	struct writer w = writer_of(record + LINK_LENGTH_SIZE, CONTROL_SIZE + GATE_DATA_HEAD);
	size_t most = c->flow.may_send < GATE_DATA_MAX ? c->flow.may_send : GATE_DATA_MAX;
	size_t len = 0, n = 1;
	assert(count <= CLIENT_LINK_PIECES_MAX);
	for (size_t i = 0; i < count && len < most; i++) {
		size_t part = pieces[i].len < most - len ? pieces[i].len : most - len;
		all[n++] = slice_of(pieces[i].data, part);
		len += part;
	}
	put_control(c, &w, waiting, len);
	if (len > 0) {
		uint8_t *head = writer_take(&w, GATE_DATA_HEAD);
		assert(head);
		frame_header(head, GATE_TYPE_DATA, GATE_DATA_HEAD - FRAME_HEADER_SIZE + len);
		store_u32(head + FRAME_HEADER_SIZE, c->stream);
	}
	assert(!w.full);
	all[0] = slice_of(w.p, w.len);
	*taken = len;
	c->flow.may_send -= (uint32_t)len;
	*size = w.len + len > 0 ? w.len + len + LINK_OVERHEAD : 0;
	return *size > 0 ? link_seal(&c->link, all, n, record) : RMQ_E_OK;
}

enum rmq_error client_link_leave(struct client_link *c, struct writer *out)
{
	uint8_t bytes[FRAME_HEADER_SIZE + 5];
	struct writer w = writer_of(bytes, sizeof(bytes));
	bool says = c->opened && !c->over;
	c->unwanted = c->over = true;
	gate_put_close(&w, &(struct gate_close){c->stream, RMQ_E_OK});
	return says ? link_send(&c->link, slice_of(bytes, w.len), out) : RMQ_E_OK;
}

enum rmq_error client_link_close(struct client_link *c, struct writer *out)
{
	enum rmq_error err = client_link_leave(c, out);
	return err ? err : link_close(&c->link, out);
}
