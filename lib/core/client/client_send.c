/*
 * How commands travel.  They form one list, oldest first; `tx` is the next one to be
 * sent, all before it are in flight.  The oldest has number answered + 1, each other one
 * more than the one before it, and numbers are given when a frame is staged.  Going back
 * (a refusal, a new connection) is to set `tx` to an older command.
 *
 * Bytes leave in three steps: the rest of what was staged, then control frames, then
 * commands.  What is staged is not changed any more, so that a frame is never torn.
 *
 * Subscriptions are made anew after the repeated commands, so that the daemon does not
 * deliver again what one of these settles.
 */
#include "core/client/client_state.h"

#include <assert.h>
#include <stdlib.h>

#include "core/base/name.h"

#define ROOM_RETRY_MS 500

/* ---- frames out ---- */

/* Room for `len` bytes after the control frames that wait. */
static bool control_room(struct client *c, size_t len)
{
	struct buffer *b = &c->control;
	if (b->cap - b->len >= len)
		return true;
	size_t cap = (b->len + len) * 2;
	uint8_t *bytes = realloc(b->bytes, cap);
	if (!bytes) {
		client_give_up_memory(c);
		return false;
	}
	b->bytes = bytes;
	b->cap = cap;
	return true;
}

#define PUT(c, name, ...) \
	do { \
		if (control_room(c, CONTROL_FRAME_MAX)) { \
			struct writer w_ = writer_of( \
			    (c)->control.bytes + (c)->control.len, CONTROL_FRAME_MAX); \
			wire_put_##name(&w_, &(struct wire_##name){__VA_ARGS__}); \
			assert(!w_.full); \
			(c)->control.len += w_.len; \
		} \
	} while (0)

static uint32_t clamp_u32(uint64_t v)
{
	return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

static void put_credit(struct client *c, uint32_t sub, struct mono_time now)
{
	struct subscription *s = &c->subs[sub];
	if (s->new_messages == 0 && s->new_bytes == 0)
		return;
	uint32_t messages = clamp_u32(s->new_messages), bytes = clamp_u32(s->new_bytes);
	PUT(c, credit, sub, messages, bytes, now.ms);
	s->new_messages -= messages;
	s->new_bytes -= bytes;
}

/* A new connection is told again: the daemon may not have read it, or be another. */
static void put_started(struct client *c, uint32_t sub)
{
	const struct subscription *s = &c->subs[sub];
	struct held_range *r = held_first(&c->held);
	for (; r; r = held_next(r))
		if (r->started && r->sub == sub)
			PUT(c, started, r->lease, r->first, (uint32_t)(r->end - r->first),
			    slice_of(s->name, s->name_len));
}

void client_started(
    struct client *c, struct slice queue, uint64_t lease, uint64_t first, uint32_t count)
{
	if (held_start(&c->held, lease, first, first + count))
		client_give_up_memory(c);
	else if (c->state == READY)
		PUT(c, started, lease, first, count, queue);
}

static struct slice subscribes_to(const struct subscription *s)
{
	return s->flags & SUBSCRIBE_EPHEMERAL ? slice_of(s->pattern, s->pattern_len)
					      : slice_of(s->name, s->name_len);
}

/* The queue of an ephemeral subscription is named by the session. */
static void name_ephemeral(struct client *c, uint32_t i)
{
	struct subscription *s = &c->subs[i];
	char name[NAME_EPHEMERAL_MAX];
	if (!(s->flags & SUBSCRIBE_EPHEMERAL))
		return;
	struct slice is = name_of_ephemeral(name, c->session, i);
	memcpy(s->name, is.data, is.len);
	s->name_len = is.len;
}

static void put_subscriptions(struct client *c, struct mono_time now)
{
	/* BYE ends them all. */
	if (c->resubscribe || c->bye || client_leaving(c))
		return;
	for (uint32_t i = 0; i < SUBSCRIPTIONS_MAX; i++) {
		struct subscription *s = &c->subs[i];
		if (!s->used)
			continue;
		if (!s->announced && s->ending)
			continue;
		if (!s->announced) {
			name_ephemeral(c, i);
			PUT(c, subscribe, i, s->flags, s->asked_lease_ms, subscribes_to(s),
			    NO_TAGS);
			s->announced = c->has_subscribed = true;
			put_started(c, i);
		}
		if (s->ending && !s->end_sent) {
			PUT(c, unsubscribe, i);
			s->end_sent = true;
		}
		if (!s->ending)
			put_credit(c, i, now);
	}
}

static void put_transfer(struct client *c, const struct request *r)
{
	size_t len = CONTROL_FRAME_MAX + r->ranges_len;
	if (!control_room(c, len))
		return;
	struct writer w = writer_of(c->control.bytes + c->control.len, len);
	wire_put_transfer(&w,
	    &(struct wire_transfer){r->req, r->flags, r->limit, slice_of(r->name, r->name_len),
		slice_of(r->after, r->after_len), NO_TAGS, slice_of(r->ranges, r->ranges_len)});
	assert(!w.full);
	c->control.len += w.len;
}

static void put_kv_read(struct client *c, struct request *r)
{
	r->asked = r->from;
	PUT(c, kv_read, r->req, r->flags, r->from, r->end, slice_of(r->name, r->name_len),
	    NO_TAGS);
}

static void put_of_cells(struct client *c, const struct request *r)
{
	struct slice name = slice_of(r->name, r->name_len);
	switch ((enum cells_request)r->of_cells) {
	case ASKS_EXPORT:
		PUT(c, export, r->req, r->states, r->from, r->limit, name, NO_TAGS);
		break;
	case ASKS_CELLS:
		PUT(c, cells, r->req, NO_TAGS);
		break;
	case ASKS_PLACES:
		PUT(c, places, r->req, r->limit, slice_of(r->after, r->after_len), NO_TAGS);
		break;
	}
}

static void put_requests(struct client *c)
{
	for (size_t i = 0; i < REQUESTS_MAX; i++) {
		struct request *r = &c->requests[i];
		if (!r->req || r->sent || (client_leaving(c) && !r->begun) ||
		    (r->of_cells && c->roam.unknown))
			continue;
		r->sent = r->begun = true;
		if (r->of_cells)
			put_of_cells(c, r);
		else if (r->ranges)
			put_transfer(c, r);
		else if (r->position)
			PUT(c, position, r->req, slice_of(r->name, r->name_len),
			    slice_of(r->after, r->after_len), NO_TAGS);
		else if (r->kv)
			put_kv_read(c, r);
		else if (r->away)
			PUT(c, away, r->req, r->flags, NO_TAGS);
		else if (r->history)
			PUT(c, history, r->req, r->from, slice_of(r->name, r->name_len),
			    slice_of(r->after, r->after_len), NO_TAGS);
		else if (r->buried)
			PUT(c, buried, r->req, r->first, r->end, r->from,
			    slice_of(r->name, r->name_len), NO_TAGS);
		else if (r->watch)
			PUT(c, watch, r->req, r->watch, r->from,
			    slice_of(r->name, r->name_len));
		else if (r->bindings)
			PUT(c, bindings, r->req, UINT32_MAX, slice_of(r->name, r->name_len),
			    slice_of(r->after, r->after_len),
			    slice_of(r->pattern, r->pattern_len), NO_TAGS);
		else if (r->peek)
			PUT(c, peek, r->req, r->states, r->from, r->limit,
			    slice_of(r->name, r->name_len));
		else
			PUT(c, list, r->req, r->limit, slice_of(r->after, r->after_len),
			    slice_of(r->name, r->name_len));
	}
}

static void put_control(struct client *c, struct mono_time now)
{
	const struct cell_place *at = &c->roam.at;
	if (c->roam.left) {
		if (!c->roam.bye_put)
			PUT(c, bye, c->answered);
		c->roam.bye_put = true;
		return;
	}
	if (c->roam.came_due)
		PUT(c, came, slice_of(at->queue, at->queue_len),
		    slice_of(at->token, at->token_len), NO_TAGS);
	c->roam.came_due = false;
	put_subscriptions(c, now);
	put_requests(c);
	if (client_extend_due_ms(c) <= now.ms) {
		PUT(c, extend, now.ms);
		c->extend_wanted = false;
		c->extend_out = true;
		c->extend_at.ms = now.ms + c->lease_min_ms / 3;
	}
	if (c->ping_wanted) {
		PUT(c, ping, c->pinged.ms);
		c->ping_wanted = false;
	}
	if (c->bye && !c->bye_sent && !c->oldest) {
		PUT(c, bye, c->answered);
		c->bye_sent = true;
	}
}

static void stage(struct client *c, struct slice bytes, struct client_command *cmd, bool last)
{
	assert(c->staged_count < CLIENT_PIECES);
	c->staged[c->staged_count++] = (struct piece){bytes, cmd, last};
}

static void stage_control(struct client *c, struct mono_time now)
{
	for (size_t i = 0; i < c->staged_count; i++)
		if (!c->staged[i].cmd)
			return;
	if (c->state == READY)
		put_control(c, now);
	if (c->control.len == 0)
		return;
	struct buffer b = c->going;
	c->going = c->control;
	c->control = b;
	c->control.len = 0;
	stage(c, slice_of(c->going.bytes, c->going.len), NULL, true);
}

/* Whether it takes of the daemon's window and room. */
static bool sends(const struct client_command *cmd)
{
	return cmd->type == WIRE_TYPE_SEND || cmd->type == WIRE_TYPE_SETTLE_SEND;
}

/* Whether tx may fly now. */
static bool may_fly(const struct client *c)
{
	const struct client_command *cmd = c->tx;
	if (!cmd || c->blocked)
		return false;
	if (cmd->staged)
		return true;
	/* One that was taken maybe is asked about where that was. */
	if (client_leaving(c) && !cmd->flown)
		return false;
	if (c->flying >= c->config.window || (sends(cmd) && c->flying >= c->send_window))
		return false;
	return !sends(cmd) || c->flying_bytes == 0 ||
	       c->flying_bytes + cmd->bytes <= c->window_bytes;
}

/* Number and `answered` stand at the same place in every numbered command. */
static void command_stamp(struct client_command *cmd, uint64_t answered)
{
	store_u64(cmd->frame + FRAME_HEADER_SIZE, cmd->n);
	store_u64(cmd->frame + FRAME_HEADER_SIZE + 8, answered);
}

static void stage_command(struct client *c)
{
	struct client_command *cmd = c->tx;
	if (!cmd->staged) {
		cmd->staged = true;
		cmd->n = c->next_n;
		c->flying++;
		c->tx_buf = cmd->buf;
		if (sends(cmd))
			c->flying_bytes += cmd->bytes;
	}
	bool last = true;
	if (cmd->buf) {
		sendbuf_stamp(c->tx_buf, cmd->n, c->answered);
		last = !c->tx_buf->next;
		stage(c, sendbuf_frame(c->tx_buf), cmd, last);
		c->tx_buf = c->tx_buf->next;
	} else {
		command_stamp(cmd, c->answered);
		stage(c, slice_of(cmd->frame, cmd->len), cmd, true);
	}
	if (!last)
		return;
	if (c->resubscribe_behind == cmd)
		c->resubscribe = false;
	c->tx = cmd->next;
	c->tx_buf = NULL;
	c->next_n++;
}

size_t client_output(struct client *c, struct mono_time now, struct slice *pieces, size_t max)
{
	if (c->dead || c->state == APART || c->state == CONNECTING || c->hang_up)
		return 0;
	if (c->staged_count < CLIENT_PIECES)
		stage_control(c, now);
	while (c->state == READY && c->staged_count < CLIENT_PIECES && may_fly(c))
		stage_command(c);
	/* Repeating may just have ended: what waited for it goes along. */
	if (c->staged_count < CLIENT_PIECES)
		stage_control(c, now);
	size_t count = c->staged_count < max ? c->staged_count : max;
	for (size_t i = 0; i < count; i++)
		pieces[i] = c->staged[i].bytes;
	if (count > 0) {
		pieces[0].data += c->staged_done;
		pieces[0].len -= c->staged_done;
	}
	return count;
}

void client_wrote(struct client *c, size_t bytes)
{
	while (bytes > 0) {
		assert(c->staged_count > 0);
		struct piece *p = &c->staged[0];
		size_t left = p->bytes.len - c->staged_done;
		if (bytes < left) {
			c->staged_done += bytes;
			return;
		}
		bytes -= left;
		if (p->cmd && p->last)
			p->cmd->flown = true;
		c->staged_count--;
		memmove(c->staged, c->staged + 1, c->staged_count * sizeof(c->staged[0]));
		c->staged_done = 0;
	}
}

/* ---- commands ---- */

static void command_free(struct client_command *cmd)
{
	if (!cmd)
		return;
	sendbuf_free(cmd->buf);
	free(cmd);
}

static void commands_free(struct client_command *cmd)
{
	while (cmd) {
		struct client_command *next = cmd->next;
		command_free(cmd);
		cmd = next;
	}
}

static void push(struct client *c, struct client_command *cmd)
{
	cmd->next = NULL;
	if (c->newest)
		c->newest->next = cmd;
	else
		c->oldest = cmd;
	c->newest = cmd;
	if (!c->tx)
		c->tx = cmd;
	c->unanswered++;
}

/* Takes the command after `before` (NULL: the oldest) out of the list. */
static struct client_command *unlink_behind(struct client *c, struct client_command *before)
{
	struct client_command *cmd = before ? before->next : c->oldest;
	if (before)
		before->next = cmd->next;
	else
		c->oldest = cmd->next;
	if (c->newest == cmd)
		c->newest = before;
	if (c->tx == cmd) {
		c->tx = cmd->next;
		c->tx_buf = NULL;
	}
	if (c->resubscribe_behind == cmd) {
		c->resubscribe_behind = before;
		c->resubscribe &= before != NULL;
	}
	if (cmd->staged) {
		c->flying--;
		if (sends(cmd))
			c->flying_bytes -= cmd->bytes;
	}
	c->unanswered--;
	return cmd;
}

/*
 * A frame that is half written has to be ended, whatever becomes of its command: the
 * daemon refuses it.  What follows it need not begin.
 */
static void unstage_commands(struct client *c)
{
	size_t to = 0;
	for (size_t i = 0; i < c->staged_count; i++) {
		struct piece *p = &c->staged[i];
		if (p->cmd && (i > 0 || c->staged_done == 0))
			continue;
		if (p->cmd) {
			size_t left = p->bytes.len - c->staged_done;
			free(c->torn);
			c->torn = malloc(left);
			if (!c->torn) {
				client_give_up_memory(c);
				return;
			}
			memcpy(c->torn, p->bytes.data + c->staged_done, left);
			*p = (struct piece){slice_of(c->torn, left), NULL, true};
			c->staged_done = 0;
		}
		c->staged[to++] = *p;
	}
	c->staged_count = to;
}

/* Nothing from the oldest command on is in flight any more. */
static void go_back(struct client *c)
{
	unstage_commands(c);
	for (struct client_command *cmd = c->oldest; cmd; cmd = cmd->next)
		cmd->staged = false;
	c->tx = c->oldest;
	c->tx_buf = NULL;
	c->next_n = c->answered + 1;
	c->flying = 0;
	c->flying_bytes = 0;
}

struct sendbuf *client_take_back(struct client *c, void **tag)
{
	struct client_command *before = NULL, *cmd = c->newest;
	if (!cmd || cmd->type != WIRE_TYPE_SEND || cmd->flown || cmd->staged)
		return NULL;
	if (cmd != c->oldest)
		for (before = c->oldest; before->next != cmd;)
			before = before->next;
	(void)unlink_behind(c, before);
	struct sendbuf *buf = cmd->buf;
	*tag = cmd->tag;
	cmd->buf = NULL;
	command_free(cmd);
	return buf;
}

const struct client_command *client_oldest(const struct client *c)
{
	return c->oldest;
}

const struct client_command *client_shelf(const struct client *c)
{
	return c->shelf;
}

bool client_blocked(const struct client *c)
{
	return c->blocked;
}

void client_wait_no_more(struct client *c)
{
	c->config.no_wait = true;
	c->blocked = false;
}

bool client_lacks_room(const struct client *c)
{
	return c->room_since.ms > 0;
}

void client_try_again(struct client *c, struct mono_time now)
{
	/* The daemon has the whole time again to answer. */
	if (c->blocked && c->has_subscribed)
		c->progress = now;
	c->blocked = false;
}

uint32_t client_unanswered(const struct client *c)
{
	return c->unanswered;
}

bool client_has_room(const struct client *c)
{
	return c->unanswered < c->config.window && !c->stopped && !c->dead;
}

struct client_command *client_command_new(
    struct client *c, enum wire_type type, size_t len, struct slice queue, void *tag)
{
	struct client_command *cmd = calloc(1, sizeof(*cmd) + len + queue.len);
	if (!cmd) {
		client_give_up_memory(c);
		return NULL;
	}
	memcpy(cmd->frame + len, queue.data, queue.len);
	cmd->queue = slice_of(cmd->frame + len, queue.len);
	cmd->type = (uint8_t)type;
	cmd->tag = tag;
	return cmd;
}

/* Also counts the bytes that the command takes of the daemon's window. */
static void seal(struct client_command *cmd)
{
	uint32_t part = 0;
	cmd->bytes = 0;
	for (struct sendbuf *b = cmd->buf; b; b = b->next) {
		sendbuf_seal_placed(
		    b, cmd->flags, part++, cmd->queue, cmd->further, cmd->resume, cmd->known);
		cmd->bytes += (uint32_t)sendbuf_frame(b).len;
	}
}

static const struct client_command *send_command(struct client *c, struct mono_time now,
    struct client_command *cmd, uint8_t flags, struct sendbuf *buf)
{
	cmd->flags = flags;
	cmd->buf = buf;
	seal(cmd);
	push(c, cmd);
	client_note_asking(c, now);
	return cmd;
}

const struct client_command *client_send_placed(struct client *c, struct mono_time now,
    struct slice queue, const struct client_place *place, uint8_t flags, struct sendbuf *buf,
    void *tag)
{
	uint8_t value[SEND_RESUME_MAX];
	struct writer w = writer_of(value, sizeof(value));
	put_u64(&w, place->before);
	put_u64(&w, place->after);
	put_rest(&w, place->name);
	assert(!w.full && place->after > place->before && place->name.len > 0);
	struct client_command *cmd = client_command_new(c, WIRE_TYPE_SEND, w.len, queue, tag);
	if (!cmd) {
		sendbuf_free(buf);
		return NULL;
	}
	memcpy(cmd->frame, value, w.len);
	cmd->resume = slice_of(cmd->frame, w.len);
	return send_command(c, now, cmd, flags, buf);
}

const struct client_command *client_send_all(struct client *c, struct mono_time now,
    const struct slice *queues, uint32_t count, uint8_t flags, struct sendbuf *buf, void *tag)
{
	uint8_t list[SEND_FURTHER_MAX];
	struct writer further = writer_of(list, sizeof(list));
	assert(count > 0 && count <= SEND_QUEUES_MAX);
	for (uint32_t i = 1; i < count; i++)
		put_str(&further, queues[i]);
	assert(!further.full && queues[0].len <= NAME_FULL_MAX);
	struct client_command *cmd =
	    client_command_new(c, WIRE_TYPE_SEND, further.len, queues[0], tag);
	if (!cmd) {
		sendbuf_free(buf);
		return NULL;
	}
	cmd->further = slice_of(cmd->frame, further.len);
	if (further.len > 0)
		memcpy(cmd->frame, list, further.len);
	return send_command(c, now, cmd, flags, buf);
}

const struct client_command *client_send(struct client *c, struct mono_time now,
    struct slice queue, uint8_t flags, struct sendbuf *buf, void *tag)
{
	return client_send_all(c, now, &queue, 1, flags, buf, tag);
}

/* Nothing is left of a SEND, nor is a place in an input to be told. */
static bool is_empty(const struct client_command *cmd)
{
	return cmd->buf && !cmd->buf->large && cmd->buf->count == 0 && cmd->resume.len == 0;
}

/* What it told of is stored: only the place in an input is left. */
static bool only_place(const struct client_command *cmd)
{
	return cmd->buf && !cmd->buf->large && cmd->buf->count == 0 && cmd->resume.len > 0;
}

void client_remove(
    struct client *c, const struct client_command *which, uint32_t from, uint32_t count)
{
	struct client_command *cmd = c->oldest;
	assert(cmd == which && !cmd->staged && cmd->buf);
	if (cmd->buf->large) {
		sendbuf_free(cmd->buf->next);
		cmd->buf->next = NULL;
		cmd->buf->large = false;
		cmd->buf->blob_len = 0;
	} else {
		sendbuf_remove(cmd->buf, from, count);
	}
	if (!is_empty(cmd))
		seal(cmd);
}

/* Records in its place in the input that it does not have, and that are not stored. */
static uint32_t lacks(const struct client_command *cmd)
{
	uint64_t records = load_u64(cmd->frame + 8) - load_u64(cmd->frame);
	return (uint32_t)(records - (cmd->buf->large ? 1 : cmd->buf->count) - cmd->known);
}

void client_cut(struct client *c, const struct client_command *which, uint32_t from)
{
	struct client_command *cmd = c->oldest;
	/* No further than what stays; what was known stays known where it is sent again. */
	if (cmd->resume.len > 0) {
		cmd->known = lacks(cmd);
		store_u64(cmd->frame + 8, load_u64(cmd->frame) + from);
	}
	client_remove(c, which, from, cmd->buf->large ? 1 : cmd->buf->count - from);
}

/* Takes the oldest command (unless it is `kept`) and all after it off the list. */
static void shelve(struct client *c, bool kept)
{
	struct client_command *last = kept ? c->oldest : NULL;
	c->shelf = last ? last->next : c->oldest;
	if (last)
		last->next = NULL;
	c->oldest = c->newest = c->tx = last;
	c->unanswered = last ? 1 : 0;
	c->stopped = true;
}

/* ---- settling and administration ---- */

static void settle_held(struct client *c, struct mono_time now,
    const struct client_settlement *s, const struct settle_entry *e)
{
	uint64_t end = e->first + e->count;
	enum rmq_error err = RMQ_E_OK;
	if (s->verb != VERB_TOUCH)
		err = held_remove(&c->held, e->lease, e->first, end);
	else if (s->flags & SETTLE_DETACH)
		err = held_detach(&c->held, e->lease, e->first, end, now, s->ms);
	if (err)
		client_give_up_memory(c);
}

const struct client_command *client_issue(
    struct client *c, struct mono_time now, struct client_command *cmd, const struct writer *w)
{
	assert(!w->full);
	cmd->len = (uint32_t)w->len;
	push(c, cmd);
	client_note_asking(c, now);
	return cmd;
}

const struct client_command *client_settle(struct client *c, struct mono_time now,
    const struct client_settlement *s, const struct settle_entry *entries, uint32_t count)
{
	assert(count > 0 && count <= SETTLE_ENTRIES_MAX);
	size_t len = CONTROL_FRAME_MAX + (size_t)count * SETTLE_ENTRY_SIZE;
	struct client_command *cmd =
	    client_command_new(c, WIRE_TYPE_SETTLE, len, s->queue, s->tag);
	if (!cmd)
		return NULL;
	struct writer w = writer_of(cmd->frame, len);
	size_t begin = frame_begin(&w, WIRE_TYPE_SETTLE);
	struct wire_settle m = {0, 0, (uint8_t)s->verb, s->flags, s->ms, now.ms, s->queue,
	    s->why, NO_TAGS, slice_of(NULL, 0)};
	wire_settle_encode(&w, &m);
	for (uint32_t i = 0; i < count; i++) {
		settle_entry_put(&w, &entries[i]);
		settle_held(c, now, s, &entries[i]);
	}
	frame_end(&w, begin);
	return client_issue(c, now, cmd, &w);
}

const struct client_command *client_settle_send(struct client *c, struct mono_time now,
    struct slice queue, const struct settle_entry *entries, uint32_t count, struct slice target,
    uint8_t flags, struct slice batch, void *tag)
{
	assert(count > 0 && count <= SETTLE_SEND_ENTRIES_MAX && batch.len <= BATCH_MAX);
	size_t len = CONTROL_FRAME_MAX + (size_t)count * SETTLE_ENTRY_SIZE + batch.len;
	struct client_command *cmd =
	    client_command_new(c, WIRE_TYPE_SETTLE_SEND, len, queue, tag);
	if (!cmd)
		return NULL;
	struct writer w = writer_of(cmd->frame, len);
	size_t begin = frame_begin(&w, WIRE_TYPE_SETTLE_SEND);
	wire_settle_send_encode(&w, &(struct wire_settle_send){0, 0, flags, now.ms, queue,
					target, count, NO_TAGS, slice_of(NULL, 0)});
	for (uint32_t i = 0; i < count; i++)
		settle_entry_put(&w, &entries[i]);
	put_rest(&w, batch);
	frame_end(&w, begin);
	cmd->bytes = (uint32_t)w.len;
	return client_issue(c, now, cmd, &w);
}

static void put_settings(
    struct writer *w, enum wire_type type, struct slice queue, const struct client_settings *s)
{
	/* CREATE and SET have the same fields. */
	struct wire_queue_create m = {.mask = s->mask, .queue = queue};
	uint8_t bytes[MORE_SETTINGS_BYTES];
	struct writer tags = writer_of(bytes, sizeof(bytes));
	more_settings_put(&tags, QUEUE_TAG_SETTINGS, &s->more, s->mask);
	m.tags = slice_of(tags.p, tags.len);
#define X(kind, name) m.name = s->name;
	QUEUE_SETTINGS(X)
#undef X
	size_t begin = frame_begin(w, (uint8_t)type);
	wire_queue_create_encode(w, &m);
	frame_end(w, begin);
}

const struct client_command *client_queue(struct client *c, struct mono_time now,
    enum wire_type type, struct slice queue, uint8_t flags, const struct client_settings *s,
    void *tag)
{
	struct client_command *cmd = client_command_new(c, type, CONTROL_FRAME_MAX, queue, tag);
	if (!cmd)
		return NULL;
	struct writer w = writer_of(cmd->frame, CONTROL_FRAME_MAX);
	switch (type) {
	case WIRE_TYPE_QUEUE_REMOVE:
		wire_put_queue_remove(&w, &(struct wire_queue_remove){0, 0, flags, queue});
		break;
	case WIRE_TYPE_QUEUE_PURGE:
		wire_put_queue_purge(&w, &(struct wire_queue_purge){0, 0, queue});
		break;
	default:
		put_settings(&w, type, queue, s);
	}
	return client_issue(c, now, cmd, &w);
}

const struct client_command *client_cancel(struct client *c, struct mono_time now,
    struct slice queue, const uint64_t *messages, uint32_t count, void *tag)
{
	size_t cap = CONTROL_FRAME_MAX + 8 * (size_t)count;
	struct client_command *cmd = client_command_new(c, WIRE_TYPE_CANCEL, cap, queue, tag);
	if (!cmd)
		return NULL;
	struct writer w = writer_of(cmd->frame, cap);
	size_t begin = frame_begin(&w, WIRE_TYPE_CANCEL);
	wire_cancel_encode(&w, &(struct wire_cancel){0, 0, queue, NO_TAGS, slice_of(NULL, 0)});
	for (uint32_t i = 0; i < count; i++)
		put_u64(&w, messages[i]);
	frame_end(&w, begin);
	cmd->bytes = (uint32_t)w.len;
	return client_issue(c, now, cmd, &w);
}

const struct client_command *client_bind(struct client *c, struct mono_time now,
    enum wire_type type, struct slice queue, struct slice pattern, uint8_t flags, void *tag)
{
	struct client_command *cmd = client_command_new(c, type, CONTROL_FRAME_MAX, queue, tag);
	if (!cmd)
		return NULL;
	struct writer w = writer_of(cmd->frame, CONTROL_FRAME_MAX);
	/* BIND and UNBIND have the same fields. */
	size_t begin = frame_begin(&w, (uint8_t)type);
	wire_bind_encode(&w, &(struct wire_bind){0, 0, flags, queue, pattern, NO_TAGS});
	frame_end(&w, begin);
	return client_issue(c, now, cmd, &w);
}

const struct client_command *client_kv_change(struct client *c, struct mono_time now,
    struct slice key, struct slice value, const uint64_t *version, void *tag)
{
	size_t cap = CONTROL_FRAME_MAX + value.len;
	uint8_t flags = version ? KV_IF_VERSION : 0, type = WIRE_TYPE_KV_PUT;
	uint64_t is = version ? *version : 0;
	if (!value.data)
		type = WIRE_TYPE_KV_DEL;
	struct client_command *cmd = client_command_new(c, type, cap, key, tag);
	if (!cmd)
		return NULL;
	struct writer w = writer_of(cmd->frame, cap);
	if (value.data)
		wire_put_kv_put(
		    &w, &(struct wire_kv_put){0, 0, flags, is, key, NO_TAGS, value});
	else
		wire_put_kv_del(&w, &(struct wire_kv_del){0, 0, flags, is, key, NO_TAGS});
	return client_issue(c, now, cmd, &w);
}

/* ---- answers ---- */

/* Whether n is the oldest command and was sent; a repeated answer is passed over. */
static bool is_answer(struct client *c, uint64_t n)
{
	if (n <= c->answered)
		return false;
	if (c->oldest && c->oldest->flown && c->oldest->staged && n == c->answered + 1)
		return true;
	client_give_up(c, RMQ_E_PROTOCOL, slice_str("an answer to nothing"));
	return false;
}

static void goes_on(struct client *c, struct mono_time now)
{
	c->progress = now;
	c->no_room[0] = '\0';
}

static struct client_command *answer(struct client *c, struct mono_time now)
{
	c->answered++;
	goes_on(c, now);
	if (sends(c->oldest))
		c->room_since.ms = 0;
	return unlink_behind(c, NULL);
}

void client_on_sent(struct client *c, struct mono_time now, const struct wire_sent *m)
{
	if (!is_answer(c, m->n))
		return;
	struct client_command *cmd = answer(c, now);
	if (c->send_window < c->config.window)
		c->send_window++;
	if (cmd->type != WIRE_TYPE_SEND)
		client_give_up(
		    c, RMQ_E_PROTOCOL, slice_str("SENT in answer to another command"));
	else if (c->host.sent)
		c->host.sent(c->host.arg, cmd, m->first_seq, m->count);
	command_free(cmd);
}

static void tell_done(struct client *c, const struct client_command *cmd, struct slice stale)
{
	client_end_stale(c, stale);
	if (c->host.done)
		c->host.done(c->host.arg, cmd, stale);
}

/* A SEND is done, and came to no queue. */
static void unrouted(struct client *c, const struct client_command *cmd)
{
	if (c->send_window < c->config.window)
		c->send_window++;
	if (c->host.sent)
		c->host.sent(c->host.arg, cmd, 0, cmd->buf->large ? 1 : cmd->buf->count);
}

void client_on_done(struct client *c, struct mono_time now, const struct wire_done *m)
{
	if (!is_answer(c, m->n))
		return;
	struct client_command *cmd = answer(c, now);
	if ((cmd->flags & SEND_ALLOW_UNROUTED || only_place(cmd)) && m->stale.len == 0) {
		unrouted(c, cmd);
	} else if (sends(cmd) || m->stale.len % SETTLE_ENTRY_SIZE != 0) {
		client_give_up(c, RMQ_E_PROTOCOL, slice_str("DONE in answer to a SEND"));
	} else {
		tell_done(c, cmd, m->stale);
	}
	command_free(cmd);
}

void client_on_kv_done(struct client *c, struct mono_time now, const struct wire_kv_done *m)
{
	if (!is_answer(c, m->n))
		return;
	struct client_command *cmd = answer(c, now);
	if (cmd->type != WIRE_TYPE_KV_PUT && cmd->type != WIRE_TYPE_KV_DEL)
		client_give_up(
		    c, RMQ_E_PROTOCOL, slice_str("KV_DONE in answer to another command"));
	else if (c->host.kv_done)
		c->host.kv_done(c->host.arg, cmd, m->version);
	command_free(cmd);
}

/* What it settled is not held any more. */
static void let_go(struct client *c, const struct client_command *cmd)
{
	struct wire_settle_send m;
	bool ok = wire_settle_send_decode(
	    slice_of(cmd->frame + FRAME_HEADER_SIZE, cmd->len - FRAME_HEADER_SIZE), &m);
	assert(ok);
	struct reader r = reader_of(m.data);
	for (uint32_t i = 0; i < m.entries; i++) {
		struct settle_entry e = settle_entry_get(&r);
		client_forget(c, e.lease, e.first, e.count);
	}
}

void client_on_settle_sent(
    struct client *c, struct mono_time now, const struct wire_settle_sent *m)
{
	if (!is_answer(c, m->n))
		return;
	struct client_command *cmd = answer(c, now);
	if (c->send_window < c->config.window)
		c->send_window++;
	if (cmd->type != WIRE_TYPE_SETTLE_SEND || m->stale.len % SETTLE_ENTRY_SIZE != 0) {
		client_give_up(
		    c, RMQ_E_PROTOCOL, slice_str("SETTLE_SENT in answer to another command"));
	} else {
		let_go(c, cmd);
		if (c->host.settle_sent)
			c->host.settle_sent(c->host.arg, cmd, m->first_seq, m->count, m->stale);
	}
	command_free(cmd);
}

/* When one that has subscribed waits for room no longer. */
static uint64_t patience_ends_ms(const struct client *c)
{
	uint64_t limit = c->config.timeout_ms;
	if (!c->has_subscribed || limit == CLIENT_FOREVER)
		return CLIENT_FOREVER;
	return c->room_since.ms + limit;
}

/*
 * A SEND finds no room: it is repeated when there may be some, and alone, since those after
 * it went in vain as well.  Each that is taken then lets one more go.
 */
static void block(
    struct client *c, struct mono_time now, enum rmq_error code, struct slice text)
{
	c->blocked = true;
	if (c->room_since.ms == 0)
		c->room_since = now;
	snprintf(
	    c->no_room, sizeof(c->no_room), "%.*s", (int)text.len, (const char *)text.data);
	c->send_window = 1;
	/* Not after it any more: what is held must not end while it waits. */
	c->resubscribe = false;
	c->blocked_code = code;
	c->blocked_until.ms = now.ms + ROOM_RETRY_MS + client_random(c) % (ROOM_RETRY_MS / 2);
	if (c->blocked_until.ms > patience_ends_ms(c))
		c->blocked_until.ms = patience_ends_ms(c);
}

/* Whether it waits for room, of which there is none; if not, the host is told. */
static bool waits_for_room(const struct client *c, struct mono_time now)
{
	return !c->config.no_wait && (c->room_since.ms == 0 || now.ms < patience_ends_ms(c));
}

/* The first `at` messages of the oldest command, which is refused as a whole, go before the others. */
static bool split(struct client *c, struct client_command *cmd, uint32_t at)
{
	void *tag;
	struct slice head = cmd->resume.len > 0 ? cmd->resume : cmd->further;
	if (!c->host.split || !c->host.split(c->host.arg, cmd, at, &tag))
		return false;
	struct client_command *first =
	    client_command_new(c, WIRE_TYPE_SEND, head.len, cmd->queue, tag);
	if (!first)
		return true;
	if (head.len > 0)
		memcpy(first->frame, head.data, head.len);
	head.data = first->frame;
	first->flags = cmd->flags;
	if (cmd->resume.len > 0) {
		first->resume = head;
		/* Which of the two lacks them is not known: the daemon takes it that both do. */
		first->known = lacks(cmd);
		store_u64(first->frame + 8, load_u64(cmd->frame) + at);
		store_u64(cmd->frame, load_u64(cmd->frame) + at);
	} else {
		first->further = head;
	}
	first->buf = sendbuf_split(cmd->buf, at);
	if (first->buf) {
		seal(first);
		seal(cmd);
	} else {
		client_give_up_memory(c);
	}
	first->next = cmd;
	c->oldest = c->tx = first;
	c->unanswered++;
	/* What follows is refused as well, mostly. */
	c->send_window = 1;
	return true;
}

static void refused(
    struct client *c, struct mono_time now, enum rmq_error code, uint32_t at, struct slice text)
{
	struct client_command *cmd = c->oldest;
	const char *why;
	text = client_text(code, text);
	for (struct client_command *i = cmd; i; i = i->next)
		i->flown = false;
	go_back(c);
	c->refused = true;
	bool away = code == RMQ_E_ELSEWHERE && client_leaving(c);
	if (away && !client_cells_refuse(c, &why))
		return;
	if (away)
		text = slice_str(why);
	c->roam.circle = 0;
	bool no_room = sends(cmd) &&
		       (code == RMQ_E_FULL || code == RMQ_E_DISK_FULL || code == RMQ_E_PAUSED);
	if (no_room && waits_for_room(c, now)) {
		block(c, now, code, text);
		return;
	}
	goes_on(c, now);
	if (sends(cmd) && !no_room)
		c->room_since.ms = 0;
	if (code == RMQ_E_LIMIT && at > 0 && cmd->type == WIRE_TYPE_SEND && !cmd->buf->large &&
	    at < cmd->buf->count && split(c, cmd, at))
		return;
	/* The host may add commands after it, but the oldest stays the oldest. */
	enum client_verdict verdict = CLIENT_DROP;
	if (c->host.failed)
		verdict = c->host.failed(c->host.arg, cmd, code, at, text);
	if (verdict == CLIENT_STOP || verdict == CLIENT_LAST)
		shelve(c, verdict == CLIENT_LAST);
	bool empty = cmd->buf && !cmd->buf->large && cmd->buf->count == 0;
	if (verdict == CLIENT_DROP || (verdict != CLIENT_STOP && empty))
		command_free(unlink_behind(c, NULL));
}

void client_on_failed(struct client *c, struct mono_time now, const struct wire_failed *m)
{
	if (m->n <= c->answered)
		return;
	bool oldest = c->oldest && c->oldest->staged && m->n == c->answered + 1;
	if (m->code == RMQ_E_OUT_OF_ORDER) {
		/* What was in flight after a refused command; it is repeated anyway. */
		if (!oldest)
			return;
		if (!c->oldest->buf || !c->oldest->buf->large) {
			client_give_up(c, RMQ_E_OUT_OF_ORDER, m->text);
			return;
		}
		/* Its first pieces went with their queue, which was removed meanwhile. */
		go_back(c);
		c->refused = true;
		return;
	}
	if (!oldest) {
		if (!c->refused)
			client_give_up(c, RMQ_E_PROTOCOL, slice_str("a refusal of nothing"));
		return;
	}
	refused(c, now, client_code(m->code), m->at, m->text);
}

/* The numbers of the next so many messages; false: there are others. */
static bool numbers_of(struct reader *numbers, uint64_t count, struct slice *some)
{
	const uint8_t *from = numbers->p;
	while (count > 0) {
		struct seq_range e = seq_range_get(numbers);
		if (numbers->bad || e.count == 0 || e.count > count)
			return false;
		count -= e.count;
	}
	*some = slice_of(from, (size_t)(numbers->p - from));
	return true;
}

/* Takes messages out that are known; false: they are none of the command's. */
static bool take_out_known(
    struct client *c, struct client_command *cmd, const struct wire_known *m)
{
	struct slice ranges = slice_of(NULL, 0), some;
	bool numbered = tags_find(m->tags, KNOWN_TAG_NUMBERS, &ranges);
	struct reader r = reader_of(m->runs), numbers = reader_of(ranges);
	uint32_t gone = 0;
	while (reader_left(&r) > 0) {
		uint32_t at = get_u16(&r), count = get_u16(&r);
		uint32_t all = cmd->buf->large ? 1 : cmd->buf->count;
		if (r.bad || count == 0 || at < gone || at - gone + count > all ||
		    !numbers_of(&numbers, numbered ? count : 0, &some))
			return false;
		if (c->host.known)
			c->host.known(c->host.arg, cmd, at - gone, count, some);
		cmd->known += cmd->resume.len > 0 ? count : 0;
		client_remove(c, cmd, at - gone, count);
		gone += count;
	}
	return gone > 0;
}

/* All messages of the oldest SEND were known. */
static void nothing_left(struct client *c)
{
	if (c->host.sent)
		c->host.sent(c->host.arg, c->oldest, 0, 0);
	command_free(unlink_behind(c, NULL));
}

void client_on_known(struct client *c, struct mono_time now, const struct wire_known *m)
{
	struct client_command *cmd = c->oldest;
	if (m->n <= c->answered)
		return;
	if (!cmd || !cmd->staged || cmd->type != WIRE_TYPE_SEND || m->n != c->answered + 1) {
		if (!c->refused)
			client_give_up(c, RMQ_E_PROTOCOL, slice_str("KNOWN of no SEND"));
		return;
	}
	for (struct client_command *i = cmd; i; i = i->next)
		i->flown = false;
	go_back(c);
	c->refused = true;
	goes_on(c, now);
	if (!take_out_known(c, cmd, m)) {
		client_give_up(c, RMQ_E_PROTOCOL, slice_str("the daemon sent a bad KNOWN"));
		return;
	}
	if (is_empty(cmd) || (c->no_places && only_place(cmd)))
		nothing_left(c);
}

bool client_place_refused(struct client *c)
{
	if (c->no_places || !c->oldest || !c->oldest->staged || !only_place(c->oldest))
		return false;
	c->no_places = true;
	return true;
}

void client_on_room(struct client *c, struct mono_time now, const struct wire_room *m)
{
	(void)m;
	client_try_again(c, now);
}

/* ---- the connection ---- */

void client_send_free(struct client *c)
{
	commands_free(c->oldest);
	commands_free(c->shelf);
	free(c->control.bytes);
	free(c->going.bytes);
	free(c->torn);
}

void client_send_hello(struct client *c)
{
	uint8_t list[4 + SESSION_TOKEN_SIZE + TAG_U64_SIZE];
	struct writer w = writer_of(list, sizeof(list));
	c->control.len = 0;
	if (c->has_token)
		tags_put(&w, HELLO_TAG_TOKEN, slice_of(c->token, sizeof(c->token)));
	tags_put_u64(&w, HELLO_TAG_HOW, c->how | (c->relay ? HELLO_RELAY : 0));
	PUT(c, hello, WIRE_HELLO_VERSIONS, c->session, c->answered, slice_of(w.p, w.len));
}

void client_send_disconnected(struct client *c)
{
	/* It may have been among them. */
	c->bye_sent &= c->staged_count == 0 && c->control.len == 0;
	c->staged_count = 0;
	c->staged_done = 0;
	free(c->torn);
	c->torn = NULL;
	c->control.len = 0;
	c->refused = false;
	c->blocked = false;
	c->no_room[0] = '\0';
	go_back(c);
	if (c->no_places && c->oldest && only_place(c->oldest))
		nothing_left(c);
}
