#include "stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "core/base/level.h"
#include "core/base/name.h"
#include "far.h"
#include "gate.h"

/* A record with less room than this is closed when more is to be read into one. */
#define READ_MIN (16u << 10)

/* No frame but DATA and CONTACTS is longer; nearly all of it may be the tags of OPEN. */
#define GATE_OTHER_MAX (2 * RIGHTS_MAX)

static int compare(const struct stream *a, const struct stream *b)
{
	return a->id < b->id ? -1 : a->id > b->id;
}

RB_GENERATE(stream_tree, stream, by_id, compare)

/* ---- states ---- */

static void pump(struct stream *s);
static void drain(struct stream *s);
static void drop(struct stream *s, enum rmq_error code);
static void finish(struct stream *s, enum rmq_error code);

/* What each event means in each state.  NULL: it does not come. */
static const struct rule {
	void (*readable)(struct stream *s); /* its socket; NULL: it is not read */
	void (*ended)(struct stream *s, enum rmq_error code); /* no more comes from the peer */
	void (*changed)(struct stream *s);
	void (*late)(struct stream *s); /* NULL: the state may last */
	uint64_t patience_ms;
} rules[STREAM_STATES] = {
    [GREETING] = {client_read, NULL, NULL, client_silent, GATE_PATIENCE_MS},
    [HELD] = {NULL, NULL, client_decide, stream_not_yet, GATE_HOLD_MS},
    [WAITING] = {NULL, drop, far_connect, far_late, GATE_HOLD_MS},
    [ASKED] = {pump, client_refused, NULL, NULL, 0},
    [RELAYED] = {pump, finish, NULL, NULL, 0},
    [DEAF] = {pump, drop, NULL, NULL, 0},
    [ENDING] = {drain, NULL, NULL, stream_free, GATE_PATIENCE_MS},
};

static void on_deadline(uv_timer_t *timer);

static void set_deadline(struct stream *s, struct deadlines *d, uint64_t patience_ms)
{
	s->deadlines = d;
	s->deadline_ms = uv_now(d->timer.loop) + patience_ms;
	TAILQ_INSERT_TAIL(&d->head, s, deadline);
	if (!uv_is_active((uv_handle_t *)&d->timer))
		uv_timer_start(&d->timer, on_deadline, patience_ms, 0);
}

static void clear_deadline(struct stream *s)
{
	if (s->deadlines)
		TAILQ_REMOVE(&s->deadlines->head, s, deadline);
	s->deadlines = NULL;
}

static void on_deadline(uv_timer_t *timer)
{
	struct deadlines *d = timer->data;
	struct stream *s;

	while ((s = TAILQ_FIRST(&d->head)) && s->deadline_ms <= uv_now(timer->loop)) {
		clear_deadline(s);
		rules[s->state].late(s);
	}
	if (s)
		uv_timer_start(timer, on_deadline, s->deadline_ms - uv_now(timer->loop), 0);
}

void streams_init(struct gate *g)
{
	TAILQ_INIT(&g->waiting);
	for (int i = 0; i < STREAM_STATES; i++) {
		struct deadlines *d = &g->deadlines[i];
		TAILQ_INIT(&d->head);
		uv_timer_init(&g->loop, &d->timer);
		d->timer.data = d;
	}
}

static void leave_state(struct stream *s)
{
	clear_deadline(s);
	if (rules[s->state].changed)
		TAILQ_REMOVE(&s->gate->waiting, s, waiting);
}

static void begin_state(struct stream *s, enum stream_state state)
{
	const struct rule *r = &rules[state];

	s->state = state;
	if (r->late)
		set_deadline(s, &s->gate->deadlines[state], r->patience_ms);
	if (r->changed)
		TAILQ_INSERT_TAIL(&s->gate->waiting, s, waiting);
}

void stream_enter(struct stream *s, enum stream_state state)
{
	leave_state(s);
	begin_state(s, state);
}

void stream_changed(struct stream *s)
{
	rules[s->state].changed(s);
}

/* ---- begin and end ---- */

struct stream *stream_new(struct gate *g, enum stream_state state, int fd)
{
	struct stream *s = calloc(1, sizeof(*s));
	uint8_t *hello = fd >= 0 ? calloc(1, STREAM_HELLO_SIZE) : NULL;
	if (!s || (fd >= 0 && !hello)) {
		free(s);
		free(hello);
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	s->hello = hello;
	s->gate = g;
	s->fd = -1;
	gate_flow_init(&s->flow);
	if (fd >= 0 && !stream_connected(s, fd)) {
		free(hello);
		free(s);
		return NULL;
	}
	begin_state(s, state);
	return s;
}

bool stream_connected(struct stream *s, int fd)
{
	if (uv_poll_init(&s->gate->loop, &s->poll, fd) != 0) {
		close(fd);
		return false;
	}
	s->poll.data = s;
	s->fd = fd;
	return true;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

/* The peer's stream of that number is no more ours. */
static void leave_link(struct stream *s)
{
	struct gate_link *l = s->link;

	if (!l)
		return;
	RB_REMOVE(stream_tree, &l->streams, s);
	if (s->is_paused)
		TAILQ_REMOVE(&l->paused, s, pause);
	s->is_paused = false;
	s->link = NULL;
	l->count--;
}

static void send_frames(struct gate_link *l, const struct slice *pieces, size_t count)
{
	if (!l->conn || link_conn_send(l->conn, pieces, count) == RMQ_E_OK)
		return;
	/* It is broken, which we hear of soon, or the peer takes nothing: then it goes. */
	gate_sweep(l->gate, l);
}

#define LINK_SEND(l, name, ...) \
	do { \
		uint8_t bytes_[64]; \
		struct writer w_ = writer_of(bytes_, sizeof(bytes_)); \
		gate_put_##name(&w_, &(struct gate_##name){__VA_ARGS__}); \
		send_frames((l), &(struct slice){bytes_, w_.len}, 1); \
	} while (0)

void stream_free(struct stream *s)
{
	struct gate *g = s->gate;

	leave_state(s);
	if (s->link && !s->link->ending)
		LINK_SEND(s->link, close, s->id, RMQ_E_OK);
	leave_link(s);
	if (s->flow.window > GATE_WINDOW_FIRST)
		g->budget += GATE_WINDOW - GATE_WINDOW_FIRST;
	if (s->principal)
		principals_ended(s->principal, s->flow.window > GATE_WINDOW_FIRST);
	free(s->out);
	gate_stream_ended(g, s);
	free(s->key);
	free(s->hello);
	if (s->fd < 0) {
		free(s);
		return;
	}
	uv_poll_stop(&s->poll);
	close(s->fd);
	uv_close((uv_handle_t *)&s->poll, on_closed);
}

void stream_close(struct stream *s, enum rmq_error code)
{
	LINK_SEND(s->link, close, s->id, (uint8_t)code);
	leave_link(s);
	stream_free(s);
}

/* An answer is short and the first thing that the socket is given. */
static void answer(struct stream *s, const struct writer *w)
{
	(void)send(s->fd, w->p, w->len, MSG_NOSIGNAL | MSG_DONTWAIT);
	stream_free(s);
}

void stream_not_yet(struct stream *s)
{
	uint8_t bytes[64];
	struct writer w = writer_of(bytes, sizeof(bytes));
	wire_put_not_yet(&w, &(struct wire_not_yet){gate_not_yet_ms(s->gate)});
	answer(s, &w);
}

void stream_redirect(struct stream *s, const char *address)
{
	uint8_t bytes[TEXT_MAX + 64];
	struct writer w = writer_of(bytes, sizeof(bytes));

	wire_put_redirect(&w, &(struct wire_redirect){slice_str(address)});
	answer(s, &w);
}

void stream_error(struct stream *s, enum rmq_error code)
{
	uint8_t bytes[TEXT_MAX + 64];
	struct writer w = writer_of(bytes, sizeof(bytes));
	wire_put_error(&w, &(struct wire_error){(uint8_t)code, slice_str(error_text(code))});
	answer(s, &w);
}

/* ---- the socket ---- */

static size_t out_left(const struct stream *s)
{
	return s->out_len - s->out_at;
}

bool stream_put(struct stream *s, struct slice bytes)
{
	if (s->out_len + bytes.len > s->out_cap) {
		size_t left = out_left(s);
		size_t cap = left + bytes.len < 512 ? 512 : (left + bytes.len) * 2;
		uint8_t *out = malloc(cap);
		if (!out)
			return false;
		if (left > 0)
			memcpy(out, s->out + s->out_at, left);
		free(s->out);
		s->out = out;
		s->out_at = 0;
		s->out_len = left;
		s->out_cap = cap;
	}
	memcpy(s->out + s->out_len, bytes.data, bytes.len);
	s->out_len += bytes.len;
	return true;
}

static void out_free(struct stream *s)
{
	free(s->out);
	s->out = NULL;
	s->out_at = s->out_len = s->out_cap = 0;
}

/* What the socket takes of these bytes. */
static size_t socket_write(struct stream *s, struct slice bytes)
{
	ssize_t n = send(s->fd, bytes.data, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n >= 0)
		return (size_t)n;
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	/* What it has said before is still to be read; the end comes there. */
	if (s->state == RELAYED)
		stream_enter(s, DEAF);
	out_free(s);
	return bytes.len;
}

static void flush(struct stream *s)
{
	if (s->fd < 0 || out_left(s) == 0)
		return;
	size_t n = socket_write(s, slice_of(s->out + s->out_at, out_left(s)));
	if (!s->out)
		return;
	s->out_at += n;
	if (s->out_at == s->out_len)
		out_free(s);
}

/* Tells the peer what it may send, now that some has left. */
static void give_credit(struct stream *s)
{
	struct gate *g = s->gate;

	if (!s->link)
		return;
	if (gate_flow_busy(&s->flow) && g->budget >= GATE_WINDOW - GATE_WINDOW_FIRST &&
	    (!s->principal || principals_widen(s->principal))) {
		g->budget -= GATE_WINDOW - GATE_WINDOW_FIRST;
		gate_flow_widen(&s->flow);
	}
	uint32_t grant = gate_flow_grant(&s->flow, out_left(s));
	if (grant > 0)
		LINK_SEND(s->link, credit, s->id, grant);
}

static void set_head(uint8_t head[GATE_DATA_HEAD], uint32_t id, size_t len)
{
	frame_header(head, GATE_TYPE_DATA, GATE_DATA_HEAD - FRAME_HEADER_SIZE + len);
	store_u32(head + FRAME_HEADER_SIZE, id);
}

static void send_data(struct gate_link *l, uint32_t id, struct slice bytes)
{
	while (bytes.len > 0) {
		size_t n = bytes.len < GATE_DATA_MAX ? bytes.len : GATE_DATA_MAX;
		uint8_t head[GATE_DATA_HEAD];
		set_head(head, id, n);
		send_frames(l, (struct slice[]){{head, sizeof(head)}, {bytes.data, n}}, 2);
		bytes = slice_of(bytes.data + n, bytes.len - n);
	}
}

/* Reads at most so many bytes to where they are sealed, as a DATA. */
static ssize_t read_data(struct stream *s, size_t most)
{
	struct gate_link *l = s->link;
	size_t room;
	uint8_t *head = l->conn ? link_conn_room(l->conn, READ_MIN, &room) : NULL;

	if (!head) {
		/* It is broken, which we hear of soon, or the peer takes nothing: then it goes. */
		gate_sweep(l->gate, l);
		errno = EAGAIN;
		return -1;
	}
	room -= GATE_DATA_HEAD;
	if (room > GATE_DATA_MAX)
		room = GATE_DATA_MAX;
	ssize_t n = read(s->fd, head + GATE_DATA_HEAD, most < room ? most : room);
	if (n > 0)
		set_head(head, s->id, (size_t)n);
	link_conn_filled(l->conn, n > 0 ? GATE_DATA_HEAD + (size_t)n : 0);
	return n;
}

/* From the socket to the link. */
static void pump(struct stream *s)
{
	struct gate_link *l = s->link;
	size_t most = s->flow.may_send;
	size_t mark = l->client ? GATE_CLIENT_MARK : GATE_LINK_MARK;
	size_t queued = l->conn ? link_conn_queued(l->conn) : 0;

	if (queued > mark) {
		if (!s->is_paused)
			TAILQ_INSERT_TAIL(&l->paused, s, pause);
		s->is_paused = true;
		stream_watch(s);
		return;
	}
	/* What is on its way to a client is in no budget: no more waits than that. */
	if (l->client && most > mark - queued + 1)
		most = mark - queued + 1;
	ssize_t n = read_data(s, most);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		stream_watch(s);
		return;
	}
	if (n <= 0) {
		stream_close(s, RMQ_E_OK);
		return;
	}
	s->flow.may_send -= (uint32_t)n;
	stream_watch(s);
}

/*
 * What it still says is for nobody.  It is read, as the queue daemon takes nothing from those who do not
 * read; so the last bytes leave as soon as it is their turn.
 */
static void drain(struct stream *s)
{
	static uint8_t nowhere[64 << 10];
	ssize_t n = read(s->fd, nowhere, sizeof(nowhere));

	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		stream_watch(s);
	else
		stream_free(s);
}

/* Only a link gives credit. */
static bool wants_read(const struct stream *s)
{
	return rules[s->state].readable && (!s->link || s->flow.may_send > 0) && !s->is_paused;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct stream *s = poll->data;

	if (status < 0) {
		/* An error is pending: libuv has stopped watching; reading will tell. */
		s->events = 0;
		events = UV_READABLE | UV_WRITABLE;
	}
	if (events & UV_WRITABLE) {
		flush(s);
		give_credit(s);
	}
	if (s->state == ENDING && out_left(s) == 0) {
		stream_free(s);
		return;
	}
	if ((events & UV_READABLE) && wants_read(s))
		rules[s->state].readable(s);
	else
		stream_watch(s);
}

void stream_watch(struct stream *s)
{
	int events = (wants_read(s) ? UV_READABLE : 0) | (out_left(s) > 0 ? UV_WRITABLE : 0);

	if (s->fd < 0 || events == s->events)
		return;
	s->events = events;
	if (events == 0)
		uv_poll_stop(&s->poll);
	else
		uv_poll_start(&s->poll, events, on_poll);
}

/* ---- the link ---- */

struct gate_link *gate_link_new(struct gate *g, struct link_conn *c, bool dialled)
{
	struct gate_link *l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->gate = g;
	l->conn = c;
	l->dialled = dialled;
	RB_INIT(&l->streams);
	TAILQ_INIT(&l->paused);
	LIST_INSERT_HEAD(&g->links, l, entry);
	return l;
}

static void drop(struct stream *s, enum rmq_error code)
{
	(void)code;
	stream_free(s);
}

static void finish(struct stream *s, enum rmq_error code)
{
	if (out_left(s) == 0) {
		drop(s, code);
		return;
	}
	stream_enter(s, ENDING);
	stream_watch(s);
}

/* Nothing more comes from the peer. */
static void stream_ended(struct stream *s, enum rmq_error code)
{
	leave_link(s);
	rules[s->state].ended(s, code);
}

void gate_link_free(struct gate_link *l)
{
	struct stream *s;

	l->ending = true;
	while ((s = RB_ROOT(&l->streams))) {
		if (l->dismissed)
			stream_free(s);
		else
			stream_ended(s, RMQ_E_NO_DAEMON);
	}
	LIST_REMOVE(l, entry);
	principals_end(l);
	free(l);
}

void gate_link_deny(struct gate_link *l)
{
	struct stream *s;

	while ((s = RB_ROOT(&l->streams)))
		stream_close(s, RMQ_E_DENIED);
	gate_dismiss(l->gate, l);
}

static void join_link(
    struct stream *s, struct gate_link *l, uint32_t id, struct principal *principal)
{
	s->id = l->newest = id;
	s->link = l;
	l->count++;
	s->principal = principal;
	if (principal)
		principal->streams++;
	RB_INSERT(stream_tree, &l->streams, s);
}

/*
 * Below the level of the map a member may be of a version that has none: it would take the whole list
 * for a fault.
 */
static struct slice said_rights(
    const struct gate *g, struct slice rights, uint8_t bytes[RIGHTS_MAX])
{
	bool all = gate_is_alone(g) || g->view.level >= LEVEL_KV;

	return all ? rights : rights_without_kv(rights, bytes);
}

/*
 * Whose the stream is: the other gate believes it, as this one is a member.  A user of this machine
 * whom nothing is granted is told so by the queue daemon, which knows what he wants.
 */
static void send_open(struct gate_link *l, struct stream *s)
{
	uint8_t list[2 * 4 + BEHALF_NAME_MAX + RIGHTS_MAX], bytes[sizeof(list) + 64];
	struct writer tags = writer_of(list, sizeof(list)), w = writer_of(bytes, sizeof(bytes));
	uint8_t less[RIGHTS_MAX];
	struct rights_granted granted;

	s->until.ms = UINT64_MAX;
	if (s->key) {
		tags_put(&tags, GATE_TAG_CLIENT, slice_str(s->key->name));
		tags_put(&tags, GATE_TAG_RIGHTS,
		    said_rights(l->gate, slice_of(s->key->rights, s->key->len), less));
	} else if (principals_user(s, &granted)) {
		tags_put(&tags, GATE_TAG_RIGHTS,
		    said_rights(l->gate, rights_granted_list(&granted), less));
		s->until = granted.until;
	}
	gate_put_open(
	    &w, &(struct gate_open){s->id, GATE_VERSION, s->uid, slice_of(tags.p, tags.len)});
	gate_link_send(l, slice_of(bytes, w.len));
}

bool gate_link_open(struct gate_link *l, struct stream *s)
{
	if (l->ending || l->count >= GATE_STREAMS_MAX || l->newest == UINT32_MAX)
		return false;
	join_link(s, l, l->newest + 1, NULL);
	stream_enter(s, ASKED);
	send_open(l, s);
	s->flow.may_send -= (uint32_t)s->hello_len;
	send_data(l, s->id, slice_of(s->hello, s->hello_len));
	free(s->hello);
	s->hello = NULL;
	stream_watch(s);
	return true;
}

/* A gate of whatever version answers that it does not speak this one. */
bool gate_link_probe(struct gate_link *l)
{
	uint64_t taken = l->conn ? link_conn_taken(l->conn) : 0;
	bool answers = l->heard || taken - l->taken >= GATE_PASS_BYTES;

	if (answers)
		l->taken = taken;
	l->heard = false;
	if (!l->ending && l->newest < UINT32_MAX)
		LINK_SEND(l, open, ++l->newest, GATE_VERSION_NONE, 0, NO_TAGS);
	return answers;
}

static struct stream *find(struct gate_link *l, uint32_t id)
{
	struct stream key = {.id = id};
	return RB_FIND(stream_tree, &l->streams, &key);
}

/* Whose a stream is, and the memory of it. */
struct whose {
	struct wire_behalf behalf;
	struct principal *principal; /* of a client with a key */
	char node[RAFT_NAME_MAX + 1];
	struct slice rights; /* in the tags, if they are restricted */
	uint8_t tags[4 + RIGHTS_MAX];
};

static void put_rights(const struct gate *g, struct whose *w, struct slice rights)
{
	struct writer tags = writer_of(w->tags, sizeof(w->tags));
	uint8_t less[RIGHTS_MAX];

	tags_put(&tags, BEHALF_TAG_RIGHTS, said_rights(g, rights, less));
	w->behalf.tags = slice_of(tags.p, tags.len);
	(void)tags_find(w->behalf.tags, BEHALF_TAG_RIGHTS, &w->rights);
}

/* A client's key says who it is, nothing else. */
static enum rmq_error whose_client(struct gate_link *l, struct whose *w)
{
	struct rights_granted granted;

	if (!l->principal || principals_ask(l, &granted))
		return RMQ_E_DENIED;
	if (l->count >= GATE_STREAMS_CLIENT || !principals_may_open(l->gate, l->principal))
		return RMQ_E_LIMIT;
	w->principal = l->principal;
	w->behalf = (struct wire_behalf){slice_str(l->peer), 0, NO_TAGS};
	put_rights(l->gate, w, rights_granted_list(&granted));
	return RMQ_E_OK;
}

/*
 * A gate says whose it is: it is a member.  A client with a key has no more places through several gates than
 * it has here.
 */
static enum rmq_error whose_gate(
    const struct gate_link *l, const struct gate_open *m, struct whose *w)
{
	struct slice name, rights;

	w->principal = NULL;
	w->behalf = (struct wire_behalf){slice_str(l->peer), m->uid, NO_TAGS};
	if (tags_find(m->tags, GATE_TAG_CLIENT, &name)) {
		if (!name_valid_node(name) || name.len > BEHALF_NAME_MAX)
			return RMQ_E_PROTOCOL;
		(void)snprintf(w->node, sizeof(w->node), BEHALF_KEY "%.*s", (int)name.len,
		    (const char *)name.data);
		w->behalf = (struct wire_behalf){slice_str(w->node), 0, NO_TAGS};
		w->principal = principals_named(l->gate, w->node + strlen(BEHALF_KEY));
		if (!w->principal || !principals_may_open(l->gate, w->principal))
			return RMQ_E_LIMIT;
	}
	if (!tags_find(m->tags, GATE_TAG_RIGHTS, &rights))
		return RMQ_E_OK;
	/* A fault of one stream is its own. */
	if (!rights_valid(rights))
		return RMQ_E_VERSION;
	put_rights(l->gate, w, rights);
	return RMQ_E_OK;
}

/* The queue is elsewhere: a client with a key is led there as one of this machine is. */
static struct stream *lead_on(struct gate_link *l, const struct whose *w)
{
	struct gate *g = l->gate;
	int pair[2];

	/* Half of the places stay for users of this machine. */
	if (g->led_count >= g->clients_max / 2 || g->clients_count >= g->clients_max ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
		return NULL;
	struct stream *s = far_new(g);
	if (!s || !stream_connected(s, pair[0])) {
		close(pair[1]);
		if (!s)
			close(pair[0]);
		else
			stream_free(s);
		return NULL;
	}
	stream_enter(s, RELAYED);
	if (client_new_key(g, pair[1], l->principal->name, w->rights))
		return s;
	stream_free(s);
	return NULL;
}

static struct stream *begin_stream(struct gate_link *l, uint32_t id, const struct whose *w)
{
	bool here = !l->client || (l->gate->view.flags & CONTROL_SERVING);
	struct stream *s = here ? far_new(l->gate) : lead_on(l, w);

	if (!s)
		return NULL;
	join_link(s, l, id, w->principal);
	if (here)
		far_begin(s, &w->behalf);
	else
		stream_watch(s);
	return s;
}

static enum rmq_error on_open(struct gate_link *l, const struct gate_open *m)
{
	struct whose whose;
	uint16_t unknown;

	if (l->dialled || m->stream <= l->newest)
		return RMQ_E_PROTOCOL;
	l->newest = m->stream;
	enum rmq_error code = m->version != GATE_VERSION ? RMQ_E_VERSION : RMQ_E_OK;
	if (!code)
		code = tags_check(m->tags, GATE_TYPE_OPEN, gate_tag_name, &unknown);
	if (!code)
		code = l->client ? whose_client(l, &whose) : whose_gate(l, m, &whose);
	if (code == RMQ_E_PROTOCOL)
		return code;
	if (!code && !begin_stream(l, m->stream, &whose))
		code = RMQ_E_LIMIT;
	if (code)
		LINK_SEND(l, close, m->stream, (uint8_t)code);
	if (code == RMQ_E_DENIED)
		gate_dismiss(l->gate, l);
	return RMQ_E_OK;
}

static enum rmq_error on_data(struct gate_link *l, const struct gate_data *m)
{
	struct stream *s = find(l, m->stream);
	struct slice bytes = m->bytes;

	if (!s)
		return m->stream > l->newest ? RMQ_E_PROTOCOL : RMQ_E_OK;
	if (!gate_flow_data(&s->flow, bytes.len))
		return RMQ_E_PROTOCOL;
	if (s->state == ASKED)
		stream_enter(s, RELAYED);
	if (bytes.len > 0 && s->state == RELAYED && out_left(s) == 0) {
		size_t n = socket_write(s, bytes);
		bytes = slice_of(bytes.data + n, bytes.len - n);
	}
	if (bytes.len > 0 && s->state != DEAF && !stream_put(s, bytes)) {
		stream_close(s, RMQ_E_LIMIT);
		return RMQ_E_OK;
	}
	give_credit(s);
	stream_watch(s);
	return RMQ_E_OK;
}

static enum rmq_error on_credit(struct gate_link *l, const struct gate_credit *m)
{
	struct stream *s = find(l, m->stream);

	if (!s)
		return m->stream > l->newest ? RMQ_E_PROTOCOL : RMQ_E_OK;
	if (!gate_flow_credit(&s->flow, m->bytes))
		return RMQ_E_PROTOCOL;
	stream_watch(s);
	return RMQ_E_OK;
}

static enum rmq_error on_close(struct gate_link *l, const struct gate_close *m)
{
	struct stream *s = find(l, m->stream);

	if (!s)
		return m->stream > l->newest ? RMQ_E_PROTOCOL : RMQ_E_OK;
	stream_ended(s, error_known(m->code) ? (enum rmq_error)m->code : RMQ_E_NO_DAEMON);
	return RMQ_E_OK;
}

/* Only gates say it, and only to clients. */
static enum rmq_error on_contacts(struct gate_link *l, const struct gate_contacts *m)
{
	(void)l, (void)m;
	return RMQ_E_PROTOCOL;
}

enum rmq_error gate_link_frame(struct gate_link *l, const struct frame *f)
{
	if (l->ending)
		return RMQ_E_OK;
	l->heard = true;
	switch (f->type) {
#define X(type, NAME, name, FIELDS) \
	case type: { \
		struct gate_##name m; \
		if (!gate_##name##_decode(f->payload, &m)) \
			return RMQ_E_PROTOCOL; \
		return on_##name(l, &m); \
	}
		GATE_FRAMES(X)
#undef X
	}
	return RMQ_E_PROTOCOL;
}

/* Bytes that there is no credit for, and what is longer than anybody has to say. */
bool gate_link_begun(struct gate_link *l, struct slice part)
{
	size_t len = load_u32(part.data);

	if (part.data[4] == GATE_TYPE_CONTACTS)
		return false;
	if (part.data[4] != GATE_TYPE_DATA)
		return len <= GATE_OTHER_MAX;
	if (part.len < GATE_DATA_HEAD)
		return true;
	uint32_t id = load_u32(part.data + FRAME_HEADER_SIZE);
	struct stream *s = find(l, id);
	return s ? len <= 4 + (size_t)s->flow.may_come : id <= l->newest;
}

void gate_link_send(struct gate_link *l, struct slice frames)
{
	send_frames(l, &frames, 1);
}

void gate_link_drained(struct gate_link *l)
{
	struct stream *s;

	while ((s = TAILQ_FIRST(&l->paused))) {
		TAILQ_REMOVE(&l->paused, s, pause);
		s->is_paused = false;
		stream_watch(s);
	}
}
