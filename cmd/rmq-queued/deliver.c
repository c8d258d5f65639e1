#include "deliver.h"

#include "core/broker/delivery.h"
#include "server.h"

/*
 * Read from the map and written in one turn: on a disk that is slow, or has not enough memory
 * before it, all else waits for that.  To one connection before it is another's turn.
 */
#define DELIVER_TURN_BYTES (1u << 20)
#define DELIVER_CONN_BYTES (256u << 10)
/* Gathered before it is written. */
#define DELIVER_WRITE_BYTES (128u << 10)

/* What a turn has cost so far. */
struct round {
	size_t bytes;
	uint64_t index; /* of the record that was read last; 0: none */
};

/* Frames that wait for one write; their bytes are in the journal's map. */
static struct gather {
	struct conn *conn;
	int frames;
	int pieces;
	size_t bytes;
	bool has_attributes; /* `attributes` is in use */
	struct delivery_frame frame[DELIVER_FRAMES];
	struct slice piece[DELIVER_PIECES];
	uint8_t attributes[DELIVERY_MEMORY]; /* of the newest frame */
} gather;

static void gather_write(void)
{
	struct conn *c = gather.conn;
	int pieces = gather.pieces;

	gather.conn = NULL;
	gather.frames = 0;
	gather.pieces = 0;
	gather.bytes = 0;
	gather.has_attributes = false;
	if (c && pieces > 0)
		conn_writev(c, gather.piece, pieces);
}

void deliver_before(struct conn *c)
{
	if (gather.conn == c)
		gather_write();
}

static void gather_piece(struct slice s)
{
	if (s.len == 0)
		return;
	gather.piece[gather.pieces++] = s;
	gather.bytes += s.len;
}

/* A record is read whole, whatever of it is delivered. */
static void charge_record(struct round *r, uint64_t index, size_t bytes)
{
	if (r->index != index)
		r->bytes += bytes;
	r->index = index;
}

static enum rmq_error read_record(
    struct server *s, uint64_t index, struct record_header *h, struct slice *payload)
{
	enum rmq_error err = server_read(s, index, h, payload);

	if (!err)
		return RMQ_E_OK;
	/* What is gathered is in the map, and goes first. */
	gather_write();
	return server_mend(s, index, err) ? server_read(s, index, h, payload) : err;
}

/* Bytes of attributes that were looked through for it: all of the batch, for each piece of it. */
static size_t deliver_one(
    struct server *s, struct conn *c, const struct delivery *d, struct round *r)
{
	struct record_header h;
	struct slice payload;
	struct delivery_cursor cursor;
	uint64_t bytes = 0;
	size_t looked = 0;

	enum rmq_error err = read_record(s, d->index, &h, &payload);
	if (err) {
		broker_undelivered(s->broker, c->id, d);
		server_lost(s, d->index, err, &h);
		return 0;
	}
	charge_record(r, d->index, payload.len);
	err = delivery_open(d, payload, gather.attributes, &cursor);
	while (!err) {
		if (gather.has_attributes || gather.frames == DELIVER_FRAMES ||
		    gather.bytes >= DELIVER_WRITE_BYTES)
			gather_write();
		gather.conn = c;
		struct delivery_frame *f = &gather.frame[gather.frames];
		err = delivery_next(&cursor, f);
		if (err == RMQ_E_NOTHING) {
			broker_delivered(s->broker, c->id, d, bytes);
			return looked;
		}
		if (err)
			break;
		bytes += delivery_bytes(f);
		looked += f->looked;
		gather.frames++;
		gather_piece(slice_of(f->head, f->head_len));
		gather_piece(f->attributes);
		gather.has_attributes = f->attributes.len > 0;
		gather_piece(f->ends);
		gather_piece(f->blob);
	}
	server_untrustworthy(s, d->index, err);
}

/* A record that cannot be read is passed over: it is only looked at. */
static enum rmq_error next_record(
    void *arg, uint64_t index, uint64_t *found, enum record_kind *kind, struct slice *payload)
{
	struct record_header h;

	enum rmq_error err = server_next(arg, index, &h, payload);
	if (!err || h.index > 0)
		*found = h.index;
	if (!err)
		*kind = h.kind;
	return err;
}

/* True: there is more for it, and it could take more. */
static bool deliver_conn(struct server *s, struct conn *c, struct round *r)
{
	struct delivery d;
	size_t bytes = 0;

	while (!c->blocked && c->state < CONN_CLOSING) {
		if (bytes >= DELIVER_CONN_BYTES || r->bytes >= DELIVER_TURN_BYTES) {
			gather_write();
			return !c->blocked;
		}
		if (!broker_next_delivery(s->broker, c->id, &d)) {
			c->delivering = false;
			break;
		}
		if (d.history) {
			struct broker_log log = {s, NULL, next_record};
			size_t read = broker_history(s->broker, c->id, &log);
			r->bytes += read;
			bytes += read;
			continue;
		}
		size_t before = gather.conn == c ? gather.bytes : 0;
		size_t cost = deliver_one(s, c, &d, r);
		cost += gather.conn == c && gather.bytes > before ? gather.bytes - before
								  : DELIVER_WRITE_BYTES;
		bytes += cost;
		r->bytes += cost;
	}
	gather_write();
	return false;
}

/* The next turn goes on with those that did not have theirs. */
void deliver_round(struct server *s)
{
	struct round r = {0};
	struct conn *c;

	if (!conn_list_first(&s->deliverable))
		return;
	server_read_begin(s);
	while (r.bytes < DELIVER_TURN_BYTES && (c = conn_list_take(&s->deliverable)) != NULL)
		if (deliver_conn(s, c, &r))
			conn_list_add(&s->deliverable, c);
	server_read_end(s);
	if (conn_list_first(&s->deliverable))
		server_wake(s);
}
