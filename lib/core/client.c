/*
 * How commands travel.  They form one list, oldest first; `tx` is the next one to be
 * sent, all before it are in flight.  The oldest has number answered + 1, each other one
 * more than the one before it, and numbers are given when a frame is staged.  Going back
 * (a refusal, a new connection) is to set `tx` to an older command.
 *
 * Bytes leave in three steps: the rest of what was staged, then control frames, then
 * commands.  What is staged is not changed any more, so that a frame is never torn.
 *
 * Subscriptions are made anew behind the repeated commands, so that the daemon does not
 * deliver again what one of these settles.
 */
#include "core/client.h"

#include <assert.h>
#include <stdlib.h>

#include "core/held.h"

#define RETRY_MIN_MS   20
#define RETRY_MAX_MS   1000
#define NOT_YET_MAX_MS 5000
#define ROOM_RETRY_MS  500
#define ANSWER_MIN_MS  1000 /* for a connected daemon, when timeout_ms is 0 */
#define REDIRECTS_MAX  8    /* in a row */
#define REQUESTS_MAX   4

enum state { APART, CONNECTING, GREETING, READY };

/* Pieces of a large message coming together. */
struct assembly {
	uint8_t *bytes;
	uint32_t len;
	uint32_t total;
	uint32_t part;
	uint64_t lease;
	uint64_t seq;
};

struct subscription {
	bool used;
	bool announced; /* SUBSCRIBE was sent on this connection */
	bool confirmed; /* … and answered */
	bool ending;
	bool end_sent;
	char name[NAME_FULL_MAX];
	size_t name_len;
	uint8_t flags;
	uint32_t asked_lease_ms;
	uint32_t lease_ms;
	int64_t messages; /* credit that is not used */
	int64_t bytes;
	uint64_t new_messages; /* credit to be given */
	uint64_t new_bytes;
	struct assembly large;
};

/* A LIST or PEEK that is not at its end. */
struct request {
	uint32_t req; /* 0: free */
	bool sent;
	bool peek;
	char name[UINT8_MAX]; /* glob, or queue */
	size_t name_len;
	char after[NAME_FULL_MAX];
	size_t after_len;
	uint8_t states;
	uint64_t from;
	uint32_t limit;
	struct assembly large;
};

struct piece {
	struct slice bytes;
	struct client_command *cmd; /* NULL: control frames */
	bool last;		    /* the command's last frame */
};

struct buffer {
	uint8_t *bytes;
	size_t len;
	size_t cap;
};

struct client {
	struct client_config config;
	struct client_host host;
	uint64_t random;

	enum state state;
	bool hang_up;
	bool told; /* the daemon has said when and where to connect again */
	bool dead; /* fatal() was called */
	uint32_t server;
	uint32_t failures; /* connections lost or refused in a row */
	uint32_t redirects;
	char redirect[UINT8_MAX];
	size_t redirect_len;
	struct mono_time retry_at;

	uint64_t session;
	uint64_t answered;
	uint64_t next_n; /* of tx */
	struct client_command *oldest;
	struct client_command *newest;
	struct client_command *tx;
	struct sendbuf *tx_buf; /* the next piece of tx */
	uint32_t unanswered;
	uint32_t flying;
	uint64_t flying_bytes; /* of SENDs */
	uint32_t window_bytes;
	bool refused; /* on this connection: answers to what was in flight then may follow */
	bool stopped;
	struct client_command *shelf; /* given up, oldest first */
	bool blocked;		      /* a SEND was refused for want of room */
	enum rmq_error blocked_code;
	struct mono_time blocked_until;

	bool resubscribe;
	struct client_command *resubscribe_behind;
	struct subscription subs[SUBSCRIPTIONS_MAX];
	struct held held;
	uint32_t lease_min_ms;
	struct mono_time extend_at;
	bool extend_wanted; /* something is held that nothing vouches for yet */
	bool extend_out;    /* EXTEND was sent and is not answered */
	uint32_t echoes;    /* on this connection */
	bool unconfirmed;   /* some of what is held may not be confirmed */

	struct request requests[REQUESTS_MAX];
	uint32_t next_req;

	bool asking;
	struct mono_time progress;
	bool bye;
	bool bye_sent;

	struct buffer control; /* frames to be staged */
	struct buffer going;   /* frames that are staged */
	struct piece staged[CLIENT_PIECES];
	size_t staged_count;
	size_t staged_done; /* bytes of the first one that are written */
	uint8_t *torn;	    /* the rest of a frame whose command may have changed since */
};

static void give_up(struct client *c, enum rmq_error code, struct slice text)
{
	if (c->dead)
		return;
	c->dead = true;
	c->hang_up = true;
	if (c->host.fatal)
		c->host.fatal(c->host.arg, code, text.len ? text : slice_str(error_text(code)));
}

void client_fail(struct client *c, enum rmq_error code)
{
	give_up(c, code, slice_of(NULL, 0));
}

static void give_up_memory(struct client *c)
{
	give_up(c, RMQ_E_LIMIT, slice_str("out of memory"));
}

/* splitmix64 */
static uint64_t random_next(struct client *c)
{
	uint64_t z = c->random += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

struct client *client_new(const struct client_config *config, const struct client_host *host)
{
	assert(config->servers > 0 && config->window > 0 && config->window <= SESSION_WINDOW);
	struct client *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->config = *config;
	c->host = *host;
	c->random = config->seed;
	c->next_n = 1;
	held_init(&c->held);
	return c;
}

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

static void assembly_reset(struct assembly *a)
{
	free(a->bytes);
	*a = (struct assembly){0};
}

void client_free(struct client *c)
{
	if (!c)
		return;
	commands_free(c->oldest);
	commands_free(c->shelf);
	for (size_t i = 0; i < SUBSCRIPTIONS_MAX; i++)
		assembly_reset(&c->subs[i].large);
	for (size_t i = 0; i < REQUESTS_MAX; i++)
		assembly_reset(&c->requests[i].large);
	held_deinit(&c->held);
	free(c->control.bytes);
	free(c->going.bytes);
	free(c->torn);
	free(c);
}

/* ---- progress ---- */

static bool asks(const struct client *c)
{
	if (c->oldest)
		return true;
	for (size_t i = 0; i < SUBSCRIPTIONS_MAX; i++) {
		const struct subscription *s = &c->subs[i];
		if (s->used && (c->state != READY || !s->confirmed || s->ending))
			return true;
	}
	for (size_t i = 0; i < REQUESTS_MAX; i++)
		if (c->requests[i].req)
			return true;
	return false;
}

static void note_asking(struct client *c, struct mono_time now)
{
	bool asking = asks(c);
	if (asking && !c->asking)
		c->progress = now;
	c->asking = asking;
}

/* When the client gives up, if nothing moves; CLIENT_FOREVER: never. */
static uint64_t deadline_ms(const struct client *c)
{
	uint64_t limit = c->config.timeout_ms;
	if (!c->asking || limit == CLIENT_FOREVER || c->dead)
		return CLIENT_FOREVER;
	if (limit == 0 && c->state == APART && c->failures == 0)
		return CLIENT_FOREVER;
	if (limit == 0 && c->state != APART && !c->blocked)
		limit = ANSWER_MIN_MS;
	return c->progress.ms + limit;
}

/* ---- frames out ---- */

/* Room for `len` bytes behind the control frames that wait. */
static bool control_room(struct client *c, size_t len)
{
	struct buffer *b = &c->control;
	if (b->cap - b->len >= len)
		return true;
	size_t cap = (b->len + len) * 2;
	uint8_t *bytes = realloc(b->bytes, cap);
	if (!bytes) {
		give_up_memory(c);
		return false;
	}
	b->bytes = bytes;
	b->cap = cap;
	return true;
}

#define CONTROL_FRAME_MAX 1024
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

static void put_subscriptions(struct client *c, struct mono_time now)
{
	if (c->resubscribe)
		return;
	for (uint32_t i = 0; i < SUBSCRIPTIONS_MAX; i++) {
		struct subscription *s = &c->subs[i];
		if (!s->used)
			continue;
		if (!s->announced && s->ending)
			continue;
		if (!s->announced) {
			PUT(c, subscribe, i, s->flags, s->asked_lease_ms,
			    slice_of(s->name, s->name_len));
			s->announced = true;
		}
		if (s->ending && !s->end_sent) {
			PUT(c, unsubscribe, i);
			s->end_sent = true;
		}
		if (!s->ending)
			put_credit(c, i, now);
	}
}

static void put_requests(struct client *c)
{
	for (size_t i = 0; i < REQUESTS_MAX; i++) {
		struct request *r = &c->requests[i];
		if (!r->req || r->sent)
			continue;
		r->sent = true;
		if (r->peek)
			PUT(c, peek, r->req, r->states, r->from, r->limit,
			    slice_of(r->name, r->name_len));
		else
			PUT(c, list, r->req, r->limit, slice_of(r->after, r->after_len),
			    slice_of(r->name, r->name_len));
	}
}

/* EXTEND is due at every third of the shortest lease while anything is to be extended. */
static uint64_t extend_due_ms(const struct client *c)
{
	if (c->state != READY || c->held.attached == 0 || c->resubscribe || c->dead)
		return CLIENT_FOREVER;
	return c->extend_wanted && !c->extend_out ? 0 : c->extend_at.ms;
}

static void put_control(struct client *c, struct mono_time now)
{
	put_subscriptions(c, now);
	put_requests(c);
	if (extend_due_ms(c) <= now.ms) {
		PUT(c, extend, now.ms);
		c->extend_wanted = false;
		c->extend_out = true;
		c->extend_at.ms = now.ms + c->lease_min_ms / 3;
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

/* Whether tx may fly now. */
static bool may_fly(const struct client *c)
{
	const struct client_command *cmd = c->tx;
	if (!cmd || c->blocked)
		return false;
	if (cmd->staged)
		return true;
	if (c->flying >= c->config.window)
		return false;
	return cmd->type != WIRE_TYPE_SEND || c->flying_bytes == 0 ||
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
		if (cmd->type == WIRE_TYPE_SEND)
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

/* Takes the command behind `before` (NULL: the oldest) out of the list. */
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
		if (cmd->type == WIRE_TYPE_SEND)
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
				give_up_memory(c);
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

uint32_t client_unanswered(const struct client *c)
{
	return c->unanswered;
}

bool client_has_room(const struct client *c)
{
	return c->unanswered < c->config.window && !c->stopped && !c->dead;
}

/* A command with `len` bytes for its frame; NULL: no memory, and the client is dead. */
static struct client_command *command_new(
    struct client *c, enum wire_type type, size_t len, struct slice queue, void *tag)
{
	struct client_command *cmd = calloc(1, sizeof(*cmd) + len + queue.len);
	if (!cmd) {
		give_up_memory(c);
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
		sendbuf_seal(b, cmd->flags, part++, cmd->queue);
		cmd->bytes += (uint32_t)sendbuf_frame(b).len;
	}
}

const struct client_command *client_send(struct client *c, struct mono_time now,
    struct slice queue, uint8_t flags, struct sendbuf *buf, void *tag)
{
	assert(queue.len <= NAME_FULL_MAX);
	struct client_command *cmd = command_new(c, WIRE_TYPE_SEND, 0, queue, tag);
	if (!cmd) {
		sendbuf_free(buf);
		return NULL;
	}
	cmd->flags = flags;
	cmd->buf = buf;
	seal(cmd);
	push(c, cmd);
	note_asking(c, now);
	return cmd;
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
	} else {
		sendbuf_remove(cmd->buf, from, count);
	}
	if (cmd->buf->count > 0)
		seal(cmd);
}

/* Takes the oldest command (unless it is `kept`) and all behind it off the list. */
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
		give_up_memory(c);
}

const struct client_command *client_settle(struct client *c, struct mono_time now,
    const struct client_settlement *s, const struct settle_entry *entries, uint32_t count)
{
	assert(count > 0 && count <= SETTLE_ENTRIES_MAX);
	size_t len = CONTROL_FRAME_MAX + (size_t)count * SETTLE_ENTRY_SIZE;
	struct client_command *cmd = command_new(c, WIRE_TYPE_SETTLE, len, s->queue, s->tag);
	if (!cmd)
		return NULL;
	struct writer w = writer_of(cmd->frame, len);
	size_t begin = frame_begin(&w, WIRE_TYPE_SETTLE);
	struct wire_settle m = {0, 0, (uint8_t)s->verb, s->flags, s->ms, now.ms, s->queue,
	    s->why, slice_of(NULL, 0)};
	wire_settle_encode(&w, &m);
	for (uint32_t i = 0; i < count; i++) {
		settle_entry_put(&w, &entries[i]);
		settle_held(c, now, s, &entries[i]);
	}
	frame_end(&w, begin);
	assert(!w.full);
	cmd->len = (uint32_t)w.len;
	push(c, cmd);
	note_asking(c, now);
	return cmd;
}

static void put_settings(
    struct writer *w, enum wire_type type, struct slice queue, const struct client_settings *s)
{
	/* CREATE and SET have the same fields. */
	struct wire_queue_create m = {.mask = s->mask, .queue = queue};
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
	struct client_command *cmd = command_new(c, type, CONTROL_FRAME_MAX, queue, tag);
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
	assert(!w.full);
	cmd->len = (uint32_t)w.len;
	push(c, cmd);
	note_asking(c, now);
	return cmd;
}

/* ---- answers ---- */

/* Whether n is the oldest command and was sent; a repeated answer is passed over. */
static bool is_answer(struct client *c, uint64_t n)
{
	if (n <= c->answered)
		return false;
	if (c->oldest && c->oldest->flown && c->oldest->staged && n == c->answered + 1)
		return true;
	give_up(c, RMQ_E_PROTOCOL, slice_str("an answer to nothing"));
	return false;
}

static struct client_command *answer(struct client *c, struct mono_time now)
{
	c->answered++;
	c->progress = now;
	return unlink_behind(c, NULL);
}

static void on_sent(struct client *c, struct mono_time now, const struct wire_sent *m)
{
	if (!is_answer(c, m->n))
		return;
	struct client_command *cmd = answer(c, now);
	if (cmd->type != WIRE_TYPE_SEND)
		give_up(c, RMQ_E_PROTOCOL, slice_str("SENT in answer to another command"));
	else if (c->host.sent)
		c->host.sent(c->host.arg, cmd, m->first_seq, m->count);
	command_free(cmd);
}

static void on_done(struct client *c, struct mono_time now, const struct wire_done *m)
{
	if (!is_answer(c, m->n))
		return;
	struct client_command *cmd = answer(c, now);
	if (cmd->type == WIRE_TYPE_SEND || m->stale.len % SETTLE_ENTRY_SIZE != 0)
		give_up(c, RMQ_E_PROTOCOL, slice_str("DONE in answer to a SEND"));
	else if (c->host.done)
		c->host.done(c->host.arg, cmd, m->stale);
	command_free(cmd);
}

/* A SEND finds no room: it is repeated when there may be some. */
static void block(struct client *c, struct mono_time now, enum rmq_error code)
{
	c->blocked = true;
	c->blocked_code = code;
	c->blocked_until.ms = now.ms + ROOM_RETRY_MS + random_next(c) % (ROOM_RETRY_MS / 2);
}

static void on_refusal(
    struct client *c, struct mono_time now, enum rmq_error code, uint32_t at, struct slice text)
{
	struct client_command *cmd = c->oldest;
	for (struct client_command *i = cmd; i; i = i->next)
		i->flown = false;
	go_back(c);
	c->refused = true;
	if (cmd->type == WIRE_TYPE_SEND && !c->config.no_wait &&
	    (code == RMQ_E_FULL || code == RMQ_E_PAUSED)) {
		block(c, now, code);
		return;
	}
	c->progress = now;
	/* The host may add commands behind it, but the oldest stays the oldest. */
	enum client_verdict verdict = CLIENT_DROP;
	if (c->host.failed)
		verdict = c->host.failed(c->host.arg, cmd, code, at, text);
	if (verdict == CLIENT_STOP || verdict == CLIENT_LAST)
		shelve(c, verdict == CLIENT_LAST);
	bool empty = cmd->buf && !cmd->buf->large && cmd->buf->count == 0;
	if (verdict == CLIENT_DROP || (verdict != CLIENT_STOP && empty))
		command_free(unlink_behind(c, NULL));
}

static void on_failed(struct client *c, struct mono_time now, const struct wire_failed *m)
{
	if (m->n <= c->answered)
		return;
	bool oldest = c->oldest && c->oldest->staged && m->n == c->answered + 1;
	if (m->code == RMQ_E_OUT_OF_ORDER) {
		/* What was in flight behind a refused command; it is repeated anyway. */
		if (!oldest || c->refused)
			return;
		if (!c->oldest->buf || !c->oldest->buf->large) {
			give_up(c, RMQ_E_OUT_OF_ORDER, m->text);
			return;
		}
		/* Its first pieces went with their queue, which was removed meanwhile. */
		go_back(c);
		c->refused = true;
		return;
	}
	if (!oldest) {
		if (!c->refused)
			give_up(c, RMQ_E_PROTOCOL, slice_str("a refusal of nothing"));
		return;
	}
	on_refusal(
	    c, now, error_known(m->code) ? (enum rmq_error)m->code : RMQ_E_BUG, m->at, m->text);
}

/* ---- receiving ---- */

uint32_t client_subscribe(struct client *c, struct mono_time now, struct slice queue,
    uint8_t flags, uint32_t lease_ms)
{
	assert(queue.len <= NAME_FULL_MAX);
	uint32_t i = 0;
	while (c->subs[i].used)
		assert(++i < SUBSCRIPTIONS_MAX);
	struct subscription *s = &c->subs[i];
	*s = (struct subscription){.used = true, .flags = flags, .asked_lease_ms = lease_ms};
	memcpy(s->name, queue.data, queue.len);
	s->name_len = queue.len;
	note_asking(c, now);
	return i;
}

static struct subscription *sub_find(struct client *c, uint32_t sub)
{
	return sub < SUBSCRIPTIONS_MAX && c->subs[sub].used ? &c->subs[sub] : NULL;
}

void client_credit(struct client *c, uint32_t sub, uint32_t messages, uint32_t bytes)
{
	struct subscription *s = sub_find(c, sub);
	if (!s)
		return;
	s->messages += messages;
	s->bytes += bytes;
	s->new_messages += messages;
	s->new_bytes += bytes;
}

int64_t client_credit_messages(const struct client *c, uint32_t sub)
{
	return sub < SUBSCRIPTIONS_MAX ? c->subs[sub].messages : 0;
}

int64_t client_credit_bytes(const struct client *c, uint32_t sub)
{
	return sub < SUBSCRIPTIONS_MAX ? c->subs[sub].bytes : 0;
}

void client_unsubscribe(struct client *c, uint32_t sub)
{
	struct subscription *s = sub_find(c, sub);
	if (s)
		s->ending = true;
}

static void sub_end(struct subscription *s)
{
	assembly_reset(&s->large);
	*s = (struct subscription){0};
}

static void on_subscribed(
    struct client *c, struct mono_time now, const struct wire_subscribed *m)
{
	struct subscription *s = sub_find(c, m->sub);
	if (!s)
		return;
	c->progress = now;
	s->confirmed = true;
	s->lease_ms = m->lease_ms;
	if (c->lease_min_ms == 0 || m->lease_ms < c->lease_min_ms)
		c->lease_min_ms = m->lease_ms;
	if (c->host.subscribed)
		c->host.subscribed(c->host.arg, m->sub, m->lease_ms);
}

static void on_sub_failed(
    struct client *c, struct mono_time now, const struct wire_sub_failed *m)
{
	struct subscription *s = sub_find(c, m->sub);
	/* If UNSUBSCRIBE is under way, its answer is the end: the number is in use up to it. */
	if (!s || s->end_sent)
		return;
	c->progress = now;
	sub_end(s);
	if (c->host.sub_failed)
		c->host.sub_failed(c->host.arg, m->sub,
		    error_known(m->code) ? (enum rmq_error)m->code : RMQ_E_BUG, m->text);
}

static void on_unsubscribed(
    struct client *c, struct mono_time now, const struct wire_unsubscribed *m)
{
	struct subscription *s = sub_find(c, m->sub);
	if (!s)
		return;
	c->progress = now;
	sub_end(s);
	if (c->host.unsubscribed)
		c->host.unsubscribed(c->host.arg, m->sub);
}

/* Whether a settlement (or detaching) that has no answer yet names this message. */
static bool is_settling(const struct client *c, uint64_t lease, uint64_t seq)
{
	for (const struct client_command *cmd = c->oldest; cmd; cmd = cmd->next) {
		struct wire_settle m;
		struct slice payload =
		    slice_of(cmd->frame + FRAME_HEADER_SIZE, cmd->len - FRAME_HEADER_SIZE);
		if (cmd->type != WIRE_TYPE_SETTLE || !wire_settle_decode(payload, &m) ||
		    (m.verb == VERB_TOUCH && !(m.flags & SETTLE_DETACH)))
			continue;
		struct reader r = reader_of(m.entries);
		while (reader_left(&r) > 0) {
			struct settle_entry e = settle_entry_get(&r);
			if (e.lease == lease && seq >= e.first && seq - e.first < e.count)
				return true;
		}
	}
	return false;
}

/* Messages [from, from + count) of `d` are new here: hold them, and hand them on. */
static void deliver_new(struct client *c, const struct client_delivery *d,
    struct mono_time stamp, uint32_t from, uint32_t count)
{
	const struct subscription *s = &c->subs[d->sub];
	struct held_range r = {.lease = d->lease,
	    .first = d->first_seq + from,
	    .end = d->first_seq + from + count,
	    .sub = d->sub,
	    .lease_ms = s->lease_ms,
	    .confirmed = true,
	    .stamp = stamp,
	    .echo = c->held.echo};
	if (c->held.attached == 0)
		c->extend_at.ms = stamp.ms + c->lease_min_ms / 3;
	if (held_add(&c->held, &r)) {
		give_up_memory(c);
		return;
	}
	struct client_delivery part = *d;
	part.first_seq += from;
	part.count = count;
	if (d->ends) {
		const uint8_t *ends = d->ends + 2 * (size_t)from;
		uint32_t base = from ? load_u16(ends - 2) : d->base;
		uint32_t end = load_u16(ends + 2 * (size_t)(count - 1));
		part.ends = ends;
		part.base = base;
		part.blob = slice_of(d->blob.data + (base - d->base), end - base);
	}
	if (c->host.deliver)
		c->host.deliver(c->host.arg, &part);
}

/* A new connection brings again what is held: only what is not here is handed on. */
static void deliver_again(
    struct client *c, const struct client_delivery *d, struct mono_time stamp)
{
	uint32_t begin = 0;
	c->extend_wanted = true;
	if (held_confirm(&c->held, d->lease, d->first_seq, d->first_seq + d->count)) {
		give_up_memory(c);
		return;
	}
	for (uint32_t i = 0; i <= d->count; i++) {
		uint64_t seq = d->first_seq + i;
		const struct held_range *r =
		    i < d->count ? held_find(&c->held, d->lease, seq) : NULL;
		if (i < d->count && !r && !is_settling(c, d->lease, seq))
			continue;
		if (i > begin)
			deliver_new(c, d, stamp, begin, i - begin);
		begin = i + 1;
	}
}

static void deliver(
    struct client *c, struct mono_time now, const struct client_delivery *d, uint64_t stamp_ms)
{
	struct subscription *s = &c->subs[d->sub];
	struct mono_time stamp = {stamp_ms <= now.ms ? stamp_ms : 0};
	const struct held_range *r = held_find_from(&c->held, d->lease, d->first_seq);
	c->progress = now;
	if (stamp.ms == 0 || (r && r->first < d->first_seq + d->count)) {
		deliver_again(c, d, stamp);
		return;
	}
	s->messages -= d->count;
	s->bytes -= (int64_t)d->blob.len;
	deliver_new(c, d, stamp, 0, d->count);
}

/* Ends and blob of a frame that holds slices of a stored batch. */
static bool slices(uint32_t base, uint32_t count, struct slice data, struct client_delivery *d)
{
	if (count == 0 || count > BATCH_MESSAGES_MAX || data.len < 3 * (size_t)count)
		return false;
	d->count = count;
	d->base = base;
	d->ends = data.data;
	d->blob = slice_of(data.data + 2 * (size_t)count, data.len - 2 * (size_t)count);
	uint32_t last = base;
	bool rising = true;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t end = load_u16(d->ends + 2 * (size_t)i);
		rising &= end > last;
		last = end;
	}
	return rising && last - base == d->blob.len;
}

/*
 * Adds one piece.  RMQ_E_NOTHING: more pieces are to come; RMQ_E_PROTOCOL: it does not
 * follow the one before it.
 */
static enum rmq_error assemble(struct assembly *a, uint64_t lease, uint64_t seq, uint32_t part,
    uint32_t parts, uint32_t total, struct slice data)
{
	if (part == 0) {
		assembly_reset(a);
		if (total == 0 || total > MESSAGE_MAX)
			return RMQ_E_PROTOCOL;
		a->bytes = malloc(total);
		if (!a->bytes)
			return RMQ_E_LIMIT;
		a->total = total;
		a->lease = lease;
		a->seq = seq;
	}
	if (!a->bytes || part != a->part || lease != a->lease || seq != a->seq ||
	    total != a->total || data.len > a->total - a->len)
		return RMQ_E_PROTOCOL;
	memcpy(a->bytes + a->len, data.data, data.len);
	a->len += (uint32_t)data.len;
	a->part++;
	if (a->part < parts)
		return RMQ_E_NOTHING;
	return a->len == a->total ? RMQ_E_OK : RMQ_E_PROTOCOL;
}

static void on_deliver(struct client *c, struct mono_time now, const struct wire_deliver *m)
{
	struct client_delivery d = {.sub = m->sub,
	    .lease = m->lease,
	    .first_seq = m->first_seq,
	    .attempt = m->attempt,
	    .failures = m->failures,
	    .time = {m->time_ms},
	    .note = m->note};
	if (!sub_find(c, m->sub) || !slices(m->base, m->count, m->data, &d))
		give_up(c, RMQ_E_PROTOCOL, slice_str("bad DELIVER"));
	else
		deliver(c, now, &d, m->stamp);
}

static void on_deliver_part(
    struct client *c, struct mono_time now, const struct wire_deliver_part *m)
{
	struct subscription *s = sub_find(c, m->sub);
	enum rmq_error err =
	    s ? assemble(&s->large, m->lease, m->seq, m->part, m->parts, m->total, m->data)
	      : RMQ_E_PROTOCOL;
	c->progress = now;
	if (err == RMQ_E_NOTHING)
		return;
	if (err == RMQ_E_LIMIT)
		give_up_memory(c);
	else if (err)
		give_up(c, RMQ_E_PROTOCOL, slice_str("bad DELIVER_PART"));
	if (err)
		return;
	struct assembly a = s->large;
	s->large = (struct assembly){0};
	struct client_delivery d = {.sub = m->sub,
	    .lease = m->lease,
	    .first_seq = m->seq,
	    .count = 1,
	    .attempt = m->attempt,
	    .failures = m->failures,
	    .time = {m->time_ms},
	    .note = m->note,
	    .blob = slice_of(a.bytes, a.len)};
	deliver(c, now, &d, m->stamp);
	free(a.bytes);
}

/* Tells the host that part of a range is not held any more. */
static void end_range(struct client *c, enum lease_end why, const struct held_range *r,
    uint64_t first, uint64_t end)
{
	uint32_t sub = r->sub;
	uint64_t lease = r->lease;
	if (held_remove(&c->held, lease, first, end)) {
		give_up_memory(c);
		return;
	}
	if (c->host.lease_ended)
		c->host.lease_ended(
		    c->host.arg, sub, why, lease, first, (uint32_t)(end - first));
}

static void on_lease_ended(struct client *c, const struct wire_lease_ended *m)
{
	uint64_t end = m->first_seq + m->count;
	struct held_range *r;
	while ((r = held_find_from(&c->held, m->lease, m->first_seq)) && r->first < end)
		end_range(c, (enum lease_end)m->why, r,
		    r->first > m->first_seq ? r->first : m->first_seq,
		    r->end < end ? r->end : end);
}

/*
 * What the daemon did not name again on this connection is not held any more: detached
 * leases once their time is over; the others when two EXTENDs were answered since, and
 * nothing vouches for them.
 */
static void end_lost(struct client *c, struct mono_time now)
{
	bool unconfirmed = false;
	struct held_range *r = held_first(&c->held);
	while (r) {
		unconfirmed |= !r->confirmed;
		if (r->confirmed || (!r->detached && c->echoes < 2) ||
		    now.ms < held_until(&c->held, r).ms) {
			r = held_next(r);
			continue;
		}
		end_range(c, ENDED_EXPIRED, r, r->first, r->end);
		/* The host may have settled anything meanwhile. */
		r = held_first(&c->held);
	}
	c->unconfirmed = unconfirmed;
}

bool client_vouches(const struct client *c, uint64_t lease, uint64_t seq, struct mono_time now)
{
	const struct held_range *r = held_find(&c->held, lease, seq);
	return r && now.ms < held_until(&c->held, r).ms;
}

void client_forget(struct client *c, uint64_t lease, uint64_t first, uint32_t count)
{
	if (held_remove(&c->held, lease, first, first + count))
		give_up_memory(c);
}

uint64_t client_held(const struct client *c)
{
	return c->held.messages;
}

/* ---- asking ---- */

static struct request *request_new(struct client *c, struct slice name)
{
	struct request *r = c->requests;
	while (r->req)
		assert(++r < c->requests + REQUESTS_MAX);
	assert(name.len <= sizeof(r->name));
	*r = (struct request){.req = ++c->next_req};
	memcpy(r->name, name.data, name.len);
	r->name_len = name.len;
	return r;
}

uint32_t client_list(struct client *c, struct mono_time now, struct slice after,
    struct slice glob, uint32_t limit)
{
	struct request *r = request_new(c, glob);
	assert(after.len <= sizeof(r->after));
	memcpy(r->after, after.data, after.len);
	r->after_len = after.len;
	r->limit = limit;
	note_asking(c, now);
	return r->req;
}

uint32_t client_peek(struct client *c, struct mono_time now, struct slice queue, uint8_t states,
    uint64_t from, uint32_t limit)
{
	struct request *r = request_new(c, queue);
	r->peek = true;
	r->states = states;
	r->from = from;
	r->limit = limit;
	note_asking(c, now);
	return r->req;
}

static struct request *request_find(struct client *c, uint32_t req)
{
	for (size_t i = 0; req && i < REQUESTS_MAX; i++)
		if (c->requests[i].req == req)
			return &c->requests[i];
	return NULL;
}

static void request_end(struct request *r)
{
	assembly_reset(&r->large);
	*r = (struct request){0};
}

static void on_listed(struct client *c, struct mono_time now, const struct wire_listed *m)
{
	struct request *r = request_find(c, m->req);
	if (!r || m->queue.len > sizeof(r->after))
		return;
	c->progress = now;
	/* Where to go on, should the connection be lost. */
	memcpy(r->after, m->queue.data, m->queue.len);
	r->after_len = m->queue.len;
	r->limit -= r->limit > 0;
	if (c->host.listed)
		c->host.listed(c->host.arg, m);
}

static void on_list_end(struct client *c, struct mono_time now, const struct wire_list_end *m)
{
	struct request *r = request_find(c, m->req);
	if (!r)
		return;
	c->progress = now;
	request_end(r);
	if (c->host.list_end)
		c->host.list_end(c->host.arg, m->req, m->more != 0);
}

static void peeked(struct client *c, struct request *r, const struct client_delivery *d)
{
	r->from = d->first_seq + d->count;
	r->limit -= r->limit < d->count ? r->limit : d->count;
	if (c->host.peeked)
		c->host.peeked(c->host.arg, d);
}

static void on_peeked(struct client *c, struct mono_time now, const struct wire_peeked *m)
{
	struct request *r = request_find(c, m->req);
	struct client_delivery d = {.sub = m->req,
	    .state = m->state,
	    .lease = m->lease,
	    .first_seq = m->first_seq,
	    .attempt = m->attempt,
	    .failures = m->failures,
	    .time = {m->time_ms},
	    .until = {m->until_ms},
	    .note = m->note};
	if (!r)
		return;
	c->progress = now;
	if (slices(m->base, m->count, m->data, &d))
		peeked(c, r, &d);
	else
		give_up(c, RMQ_E_PROTOCOL, slice_str("bad PEEKED"));
}

static void on_peeked_part(
    struct client *c, struct mono_time now, const struct wire_peeked_part *m)
{
	struct request *r = request_find(c, m->req);
	if (!r)
		return;
	c->progress = now;
	enum rmq_error err =
	    assemble(&r->large, m->lease, m->seq, m->part, m->parts, m->total, m->data);
	if (err == RMQ_E_NOTHING)
		return;
	if (err) {
		give_up(c, err, slice_of(NULL, 0));
		return;
	}
	struct assembly a = r->large;
	r->large = (struct assembly){0};
	struct client_delivery d = {.sub = m->req,
	    .state = m->state,
	    .lease = m->lease,
	    .first_seq = m->seq,
	    .count = 1,
	    .attempt = m->attempt,
	    .failures = m->failures,
	    .time = {m->time_ms},
	    .until = {m->until_ms},
	    .note = m->note,
	    .blob = slice_of(a.bytes, a.len)};
	peeked(c, r, &d);
	free(a.bytes);
}

static void on_peek_end(struct client *c, struct mono_time now, const struct wire_peek_end *m)
{
	struct request *r = request_find(c, m->req);
	if (!r)
		return;
	c->progress = now;
	request_end(r);
	if (c->host.peek_end)
		c->host.peek_end(c->host.arg, m->req,
		    error_known(m->code) ? (enum rmq_error)m->code : RMQ_E_BUG, m->more != 0,
		    m->next);
}

/* ---- the connection ---- */

bool client_connect(struct client *c, struct mono_time now, struct client_target *target)
{
	note_asking(c, now);
	if (c->dead || c->state != APART || !c->asking || now.ms < c->retry_at.ms)
		return false;
	c->state = CONNECTING;
	*target = (struct client_target){c->server, slice_of(c->redirect, c->redirect_len)};
	return true;
}

void client_connected(struct client *c, struct mono_time now)
{
	assert(c->state == CONNECTING);
	note_asking(c, now);
	c->state = GREETING;
	c->control.len = 0;
	PUT(c, hello, WIRE_MAGIC, WIRE_VERSION, c->session, c->answered);
}

/* When to connect again after a failure: half of the delay is left to chance. */
static void back_off(struct client *c, struct mono_time now)
{
	uint32_t round = c->failures / c->config.servers;
	c->failures++;
	c->server = (c->server + 1) % c->config.servers;
	c->redirect_len = 0;
	uint64_t delay = RETRY_MAX_MS;
	if (round < 6 && (uint64_t)RETRY_MIN_MS << round < delay)
		delay = (uint64_t)RETRY_MIN_MS << round;
	if (c->failures % c->config.servers != 0)
		delay = 0;
	c->retry_at.ms = now.ms + delay / 2 + (delay ? random_next(c) % (delay / 2 + 1) : 0);
}

void client_disconnected(struct client *c, struct mono_time now)
{
	c->state = APART;
	c->hang_up = false;
	c->staged_count = 0;
	c->staged_done = 0;
	free(c->torn);
	c->torn = NULL;
	c->control.len = 0;
	c->refused = false;
	c->blocked = false;
	c->echoes = 0;
	for (size_t i = 0; i < SUBSCRIPTIONS_MAX; i++) {
		struct subscription *s = &c->subs[i];
		s->announced = s->confirmed = s->end_sent = false;
		assembly_reset(&s->large);
	}
	for (size_t i = 0; i < REQUESTS_MAX; i++) {
		c->requests[i].sent = false;
		assembly_reset(&c->requests[i].large);
	}
	held_disconnect(&c->held);
	go_back(c);
	if (!c->told)
		back_off(c, now);
	c->told = false;
	c->unconfirmed = c->held.messages > 0;
	note_asking(c, now);
}

bool client_welcomed(const struct client *c)
{
	return c->state == READY;
}

bool client_dead(const struct client *c)
{
	return c->dead;
}

bool client_hangs_up(const struct client *c)
{
	return c->hang_up;
}

/* The session is gone: whether all that is unanswered may be done in a new one. */
static bool renew_session(struct client *c)
{
	for (struct client_command *cmd = c->oldest; cmd; cmd = cmd->next)
		if (cmd->flown && cmd->type != WIRE_TYPE_SETTLE)
			return false;
	c->session = 0;
	c->answered = 0;
	c->next_n = 1;
	return true;
}

/* Credit that was not used is given again, and what is held is asked for. */
static void renew_subscriptions(struct client *c, struct mono_time now)
{
	c->resubscribe_behind = c->newest;
	c->resubscribe = c->newest != NULL;
	for (size_t i = 0; i < SUBSCRIPTIONS_MAX; i++) {
		struct subscription *s = &c->subs[i];
		s->new_messages = s->messages > 0 ? (uint64_t)s->messages : 0;
		s->new_bytes = s->bytes > 0 ? (uint64_t)s->bytes : 0;
	}
	c->extend_at = now;
	c->extend_out = false;
}

static void on_welcome(struct client *c, struct mono_time now, const struct wire_welcome *m)
{
	uint64_t highest = c->answered;
	if (c->state != GREETING || m->version != WIRE_VERSION) {
		give_up(c, RMQ_E_VERSION, slice_of(NULL, 0));
		return;
	}
	if (m->last < c->answered || (c->session && m->session != c->session)) {
		give_up(c, RMQ_E_UNKNOWN_SESSION, slice_of(NULL, 0));
		return;
	}
	for (struct client_command *cmd = c->oldest; cmd; cmd = cmd->next)
		if (++highest > m->last)
			cmd->flown = false;
	c->state = READY;
	c->session = m->session;
	c->window_bytes = m->window;
	c->failures = 0;
	c->redirects = 0;
	renew_subscriptions(c, now);
}

/* Another address, now or after a while; counted, so that two of them cannot go on for ever. */
static void on_redirect(struct client *c, struct mono_time now, const struct wire_redirect *m)
{
	c->hang_up = true;
	if (m->address.len == 0 || ++c->redirects > REDIRECTS_MAX)
		return;
	memcpy(c->redirect, m->address.data, m->address.len);
	c->redirect_len = m->address.len;
	c->retry_at = now;
	c->told = true;
}

static void on_not_yet(struct client *c, struct mono_time now, const struct wire_not_yet *m)
{
	uint64_t ms = m->ms > NOT_YET_MAX_MS ? NOT_YET_MAX_MS : m->ms;
	c->hang_up = true;
	c->retry_at.ms = now.ms + ms + random_next(c) % (ms / 4 + 1);
	c->told = true;
}

static void on_error(struct client *c, const struct wire_error *m)
{
	enum rmq_error code = error_known(m->code) ? (enum rmq_error)m->code : RMQ_E_BUG;
	c->hang_up = true;
	switch (code) {
	case RMQ_E_UNKNOWN_SESSION:
		if (!renew_session(c))
			give_up(c, code, m->text);
		break;
	case RMQ_E_VERSION:
	case RMQ_E_PROTOCOL:
	case RMQ_E_DENIED:
	case RMQ_E_USAGE:
	case RMQ_E_BUG:
		give_up(c, code, m->text);
		break;
	default:
		/* It ends or has too much to do: another connection may do better. */
		break;
	}
}

static void on_extended(struct client *c, struct mono_time now, const struct wire_extended *m)
{
	c->extend_out = false;
	if (m->stamp > now.ms)
		return;
	held_echo(&c->held, (struct mono_time){m->stamp});
	c->echoes++;
}

static void on_idle(struct client *c, struct mono_time now, const struct wire_idle *m)
{
	c->progress = now;
	if (sub_find(c, m->sub) && c->host.idle)
		c->host.idle(c->host.arg, m->sub, m->leased, m->delayed);
}

static void on_room(struct client *c)
{
	c->blocked = false;
}

/* How a frame of the daemon is decoded and who takes it. */
#define TAKE(name, call) \
	{ \
		struct wire_##name m; \
		if (!wire_##name##_decode(f->payload, &m)) \
			return false; \
		call; \
		return true; \
	}

static bool take_frame(struct client *c, struct mono_time now, const struct frame *f)
{
	switch ((enum wire_type)f->type) {
	case WIRE_TYPE_WELCOME:
		TAKE(welcome, on_welcome(c, now, &m))
	case WIRE_TYPE_REDIRECT:
		TAKE(redirect, on_redirect(c, now, &m))
	case WIRE_TYPE_NOT_YET:
		TAKE(not_yet, on_not_yet(c, now, &m))
	case WIRE_TYPE_SENT:
		TAKE(sent, on_sent(c, now, &m))
	case WIRE_TYPE_DONE:
		TAKE(done, on_done(c, now, &m))
	case WIRE_TYPE_FAILED:
		TAKE(failed, on_failed(c, now, &m))
	case WIRE_TYPE_SUBSCRIBED:
		TAKE(subscribed, on_subscribed(c, now, &m))
	case WIRE_TYPE_SUB_FAILED:
		TAKE(sub_failed, on_sub_failed(c, now, &m))
	case WIRE_TYPE_DELIVER:
		TAKE(deliver, on_deliver(c, now, &m))
	case WIRE_TYPE_DELIVER_PART:
		TAKE(deliver_part, on_deliver_part(c, now, &m))
	case WIRE_TYPE_EXTENDED:
		TAKE(extended, on_extended(c, now, &m))
	case WIRE_TYPE_LEASE_ENDED:
		TAKE(lease_ended, on_lease_ended(c, &m))
	case WIRE_TYPE_IDLE:
		TAKE(idle, on_idle(c, now, &m))
	case WIRE_TYPE_UNSUBSCRIBED:
		TAKE(unsubscribed, on_unsubscribed(c, now, &m))
	case WIRE_TYPE_ROOM:
		TAKE(room, on_room(c))
	case WIRE_TYPE_LISTED:
		TAKE(listed, on_listed(c, now, &m))
	case WIRE_TYPE_LIST_END:
		TAKE(list_end, on_list_end(c, now, &m))
	case WIRE_TYPE_PEEKED:
		TAKE(peeked, on_peeked(c, now, &m))
	case WIRE_TYPE_PEEKED_PART:
		TAKE(peeked_part, on_peeked_part(c, now, &m))
	case WIRE_TYPE_PEEK_END:
		TAKE(peek_end, on_peek_end(c, now, &m))
	case WIRE_TYPE_ERROR:
		TAKE(error, on_error(c, &m))
	default:
		return false;
	}
}

void client_input(struct client *c, struct mono_time now, struct slice in, size_t *used)
{
	*used = 0;
	while (!c->hang_up && c->state >= GREETING) {
		struct frame f;
		size_t len;
		struct slice rest = slice_of(in.data + *used, in.len - *used);
		enum rmq_error err = frame_parse(rest, &f, &len);
		if (!err && len == 0)
			break;
		bool greets = !err && c->state == GREETING && f.type != WIRE_TYPE_WELCOME &&
			      f.type != WIRE_TYPE_REDIRECT && f.type != WIRE_TYPE_NOT_YET &&
			      f.type != WIRE_TYPE_ERROR;
		if (err || greets || !take_frame(c, now, &f)) {
			give_up(c, RMQ_E_PROTOCOL, slice_str("the daemon sent a bad frame"));
			break;
		}
		*used += len;
	}
	note_asking(c, now);
}

/* ---- timers ---- */

/* A subscription that is to end and that this connection knows nothing of is at its end. */
static void end_unannounced(struct client *c)
{
	for (uint32_t i = 0; i < SUBSCRIPTIONS_MAX; i++) {
		if (!c->subs[i].ending || c->subs[i].announced)
			continue;
		sub_end(&c->subs[i]);
		if (c->host.unsubscribed)
			c->host.unsubscribed(c->host.arg, i);
	}
}

static void give_up_waiting(struct client *c)
{
	enum rmq_error code = RMQ_E_TIMEOUT;
	if (c->blocked)
		code = c->blocked_code;
	else if (c->state != READY)
		code = RMQ_E_NO_DAEMON;
	give_up(c, code, slice_of(NULL, 0));
}

void client_tick(struct client *c, struct mono_time now)
{
	note_asking(c, now);
	if (c->dead)
		return;
	if (now.ms >= deadline_ms(c)) {
		give_up_waiting(c);
		return;
	}
	if (c->blocked && now.ms >= c->blocked_until.ms)
		c->blocked = false;
	if (c->unconfirmed)
		end_lost(c, now);
	end_unannounced(c);
}

static void earlier(uint64_t *due, uint64_t at)
{
	if (at < *due)
		*due = at;
}

uint64_t client_due_ms(const struct client *c, struct mono_time now)
{
	uint64_t due = deadline_ms(c);
	if (c->dead)
		return CLIENT_FOREVER;
	if (c->state == APART && c->asking)
		earlier(&due, c->retry_at.ms);
	if (c->blocked)
		earlier(&due, c->blocked_until.ms);
	earlier(&due, extend_due_ms(c));
	for (size_t i = 0; i < SUBSCRIPTIONS_MAX; i++)
		if (c->subs[i].ending && !c->subs[i].announced)
			return 0;
	struct held_range *r = c->unconfirmed ? held_first(&c->held) : NULL;
	for (; r; r = held_next(r))
		if (!r->confirmed && (r->detached || c->echoes >= 2))
			earlier(&due, held_until(&c->held, r).ms);
	if (due == CLIENT_FOREVER)
		return CLIENT_FOREVER;
	return due > now.ms ? due - now.ms : 0;
}

/* ---- the end ---- */

void client_bye(struct client *c)
{
	c->bye = true;
}

bool client_ended(const struct client *c)
{
	if (c->dead || c->state == APART)
		return c->dead || (c->bye && !c->oldest);
	return c->bye_sent && c->staged_count == 0 && c->control.len == 0;
}
