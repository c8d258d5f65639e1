#include "control.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/host/control.h"
#include "core/host/events.h"
#include "sys/net/listener.h"
#include "sys/process/log.h"

#define PHI_SHOWN_MAX 300
static_assert(METRICS_VERSION_MAX == CONTROL_MEMBER_VERSION_MAX, "a version is shown whole");
static_assert(
    (int)CONTROL_LOG_ERROR == LOG_LEVEL_ERROR && (int)CONTROL_LOG_DEBUG == LOG_LEVEL_DEBUG,
    "levels have the same numbers");
#define RETRY_MS    1000
#define FRAME_SMALL (FRAME_HEADER_SIZE + 16 + TEXT_MAX) /* RESULT, ERROR, WELCOME */

static_assert(CONTROL_OUTPUT_MAX / 2 >=
		  2 * CONTROL_VIEW_SIZE_MAX + (CONTROL_REQUESTS_MAX + 2) * FRAME_SMALL,
    "who is read from has room for all answers");
static_assert(
    WHY_LINES_MAX * FRAME_SMALL <= CONTROL_VIEW_SIZE_MAX, "WHY is no more than STATUS");

/* Events are put into a buffer that is empty, until it holds so much; the state is put whole. */
#define EVENTS_BYTES 16384
#define EVENT_SMALL  (FRAME_HEADER_SIZE + 12 + 1 + 32) /* EVENT without its line, DROPPED */
static_assert(CONTROL_OUTPUT_MAX >= EVENTS_REPLAY_MAX * (EVENT_SMALL + EVENTS_LINE_MAX) +
					CONTROL_REQUESTS_MAX * FRAME_SMALL,
    "there is room for the whole state");
static_assert(CONTROL_OUTPUT_MAX / 2 >=
		  EVENTS_BYTES + 2 * EVENT_SMALL + EVENTS_LINE_MAX + EVENTS_SNAPSHOT_MAX,
    "and for a snapshot");

/* A connection.  It is read from while it has fewer requests, and less output, than allowed. */
struct asker {
	TAILQ_ENTRY(asker) entry;
	struct control *control;
	int fd;
	uv_poll_t poll;
	uv_timer_t deadline;
	unsigned open_handles;
	int events; /* what is polled for */
	bool greeted;
	unsigned version; /* that it speaks */
	bool watches;
	bool hears;	 /* has asked for events */
	bool for_others; /* … for whoever asks it */
	bool gate;	 /* it is this node's gate */
	bool stale;	 /* what it was shown is not what there is now */
	bool closing;	 /* ends when its output has left */
	bool dead;	 /* nothing more can be said to it */
	bool ending;	 /* on_end() will come */
	bool busy;	 /* asker_settle() is at it */
	uint32_t watch_req, hear_req;
	struct events_reader reader;
	unsigned requests;
	TAILQ_HEAD(request_head, request) waiting;
	size_t in_len;
	size_t out_len;
	uint8_t in[CONTROL_REQUEST_BYTES];
	uint8_t out[CONTROL_OUTPUT_MAX];
};

/* What the cluster was asked and has not answered. */
struct request {
	TAILQ_ENTRY(request) entry;
	struct asker *asker;
	uint32_t req;
};

struct control {
	uv_loop_t *loop;
	struct cluster *cluster;
	struct listener listener;
	uv_timer_t retry; /* accepting */
	unsigned open_handles;
	TAILQ_HEAD(asker_head, asker) askers;
	unsigned count;
	struct log_rate peers;
};

static void asker_settle(struct asker *a);

/* ---- what is shown ---- */

static void copy_text(char *out, size_t size, const char *text)
{
	size_t len = text ? strlen(text) : 0;
	len = len < size ? len : size - 1;
	if (len > 0)
		memcpy(out, text, len);
	out[len] = 0;
}

static enum control_role role_of(const struct cluster_status *s)
{
	if (s->gone)
		return CONTROL_ROLE_REMOVED;
	if (!s->config)
		return s->joining ? CONTROL_ROLE_JOINING : CONTROL_ROLE_NEW;
	if (s->role == RAFT_LEADER)
		return CONTROL_ROLE_LEADER;
	if (!raft_config_is_voter(s->config, s->id))
		return CONTROL_ROLE_LEARNER;
	return s->role == RAFT_FOLLOWER ? CONTROL_ROLE_FOLLOWER : CONTROL_ROLE_CANDIDATE;
}

/* What is known of how it is, and whether it is heard. */
static void view_health(const struct cluster_peer *p, struct control_view_member *v)
{
	const uint64_t *metrics = p->metrics.value;

	v->suspected = (uint64_t)p->suspected | (uint64_t)p->unreachable << 1;
	v->known = p->metrics.known;
	v->load = metrics[METRIC_LOAD];
	v->memory = metrics[METRIC_MEMORY];
	v->disk_free = metrics[METRIC_DISK_FREE];
	v->journal_size = metrics[METRIC_JOURNAL_SIZE];
	v->lag = metrics[METRIC_LAG];
	v->latency = metrics[METRIC_LATENCY];
	v->uptime = metrics[METRIC_UPTIME];
	if (!p->watched)
		return;
	/* Beyond, doubles may not tell. */
	v->phi = (uint64_t)(1000 * (p->phi < PHI_SHOWN_MAX ? p->phi : PHI_SHOWN_MAX));
	v->suspect_after = (uint64_t)p->watched->after_ms;
	v->beat_mean = (uint64_t)(1000 * phi_mean(p->watched));
	v->beat_spread = (uint64_t)(1000 * phi_deviation(p->watched));
	v->silence = p->silent_ms;
}

static void view_member(const struct cluster *c, const struct cluster_status *s,
    const struct raft_member *m, struct control_view_member *v)
{
	struct cluster_peer peer = {.reachable = false};

	memcpy(v->name, m->name, sizeof(v->name));
	memcpy(v->key, m->key, sizeof(v->key));
	v->id = m->id;
	copy_text(v->address, sizeof(v->address), m->address);
	copy_text(v->gate, sizeof(v->gate), m->gate);
	v->raft_flags = m->flags;
	if (!raft_id_none(m->id))
		cluster_peer(c, m->id, &peer);
	v->match = peer.match;
	view_health(&peer, v);
	v->round_trip = peer.round_trip_us;
	copy_text(v->version, sizeof(v->version), peer.metrics.version);
	v->state = control_member_state_of(m);
	copy_text(v->roles, sizeof(v->roles), m->roles);
	v->flags |= CONTROL_MEMBER_GATE(peer.gate);
	if (peer.reachable)
		v->flags |= CONTROL_MEMBER_REACHABLE;
	if (raft_id_eq(m->id, s->id))
		v->flags |= CONTROL_MEMBER_SELF;
	if (m == s->leader)
		v->flags |= CONTROL_MEMBER_LEADER;
}

static void view_make(const struct cluster *c, struct control_view *v)
{
	struct cluster_status s = {.name = NULL};

	memset(v, 0, sizeof(*v));
	cluster_status(c, &s);
	v->role = role_of(&s);
	copy_text(v->name, sizeof(v->name), s.name);
	memcpy(v->key, s.key, sizeof(v->key));
	v->id = s.id;
	v->term = s.term;
	v->commit = s.commit;
	v->last = s.last;
	copy_text(v->problem, sizeof(v->problem), s.problem);
	if (s.queue_ready) {
		v->flags |= CONTROL_SERVING;
		copy_text(v->queue_socket, sizeof(v->queue_socket), s.queue_socket);
	}
	copy_text(v->engine, sizeof(v->engine), s.engine);
	copy_text(v->database, sizeof(v->database), s.database);
	copy_text(v->database_state, sizeof(v->database_state), s.database_state);
	v->synchronous = s.synchronous;
	if (s.leader) {
		copy_text(v->leader, sizeof(v->leader), s.leader->name);
		memcpy(v->leader_key, s.leader->key, sizeof(v->leader_key));
		copy_text(v->leader_gate, sizeof(v->leader_gate), s.leader->gate);
		if (s.available)
			v->flags |= CONTROL_AVAILABLE;
	}
	v->flags |= CONTROL_TAKES_GATE | CONTROL_STATE_GATE(s.gate);
	if (s.caught_up)
		v->flags |= CONTROL_CAUGHT_UP;
	if (!s.config)
		return;
	v->cluster = s.config->cluster;
	v->level = raft_config_level(s.config);
	v->config_index = s.config_index;
	for (unsigned i = 0; i < s.config->count; i++)
		view_member(c, &s, &s.config->members[i], &v->members[v->count++]);
}

/* ---- output ---- */

/* Room is known to be there: see asker_may_ask(). */
static struct writer out_begin(struct asker *a)
{
	struct writer w = writer_of(a->out, sizeof(a->out));
	w.len = a->out_len;
	return w;
}

static void out_end(struct asker *a, const struct writer *w)
{
	assert(!w->full);
	a->out_len = w->len;
}

static void out_result(struct asker *a, uint32_t req, enum rmq_error code, const char *text)
{
	struct writer w = out_begin(a);
	char cut[TEXT_MAX + 1];

	copy_text(cut, sizeof(cut), text);
	control_put_result(&w, &(struct control_result){req, (uint8_t)code, slice_str(cut)});
	out_end(a, &w);
}

static void out_view(struct asker *a, uint32_t req)
{
	struct writer w = out_begin(a);
	struct control_view v;

	view_make(a->control->cluster, &v);
	control_view_encode(&w, req, &v, a->version);
	out_end(a, &w);
}

static void out_event(
    struct asker *a, enum events_kind kind, uint64_t index, const struct text *line)
{
	struct writer w = out_begin(a);

	control_put_event(
	    &w, &(struct control_event){a->hear_req, index, slice_str(events_kind_text(kind)),
		    slice_of(line->data, line->len)});
	out_end(a, &w);
}

static void out_replay(struct asker *a, const struct events *e, struct text *line)
{
	static struct events_event list[EVENTS_REPLAY_MAX];
	unsigned count = events_replay(e, list);

	for (unsigned i = 0; i < count; i++) {
		line->len = 0;
		events_put(e, line, &list[i]);
		out_event(a, list[i].kind, list[i].index, line);
	}
}

/* One of them, or the state.  False: there is none, or it is for now. */
static bool out_next(struct asker *a, const struct events *e)
{
	static struct text line;
	const struct events_event *one;
	uint64_t missed;
	struct writer w;

	line.len = 0;
	switch (events_read(e, &a->reader, &one, &missed)) {
	case EVENTS_NOTHING:
		return false;
	case EVENTS_ONE:
		events_put(e, &line, one);
		out_event(a, one->kind, one->index, &line);
		break;
	case EVENTS_NOW:
		events_put_snapshot(e, &line);
		out_event(a, EVENTS_SNAPSHOT, e->index, &line);
		return false;
	case EVENTS_NOW_REPLAYED:
		out_replay(a, e, &line);
		return false;
	case EVENTS_MISSED:
		w = out_begin(a);
		control_put_dropped(&w, &(struct control_dropped){a->hear_req, missed});
		out_end(a, &w);
		break;
	}
	return a->out_len < EVENTS_BYTES;
}

/* True: there may be more. */
static bool out_events(struct asker *a)
{
	const struct events *e = cluster_events(a->control->cluster);

	if (!a->hears || a->dead || a->out_len > 0)
		return false;
	while (out_next(a, e))
		;
	return a->out_len > 0;
}

static void out_why(struct asker *a, uint32_t req)
{
	static struct why why;
	struct writer w = out_begin(a);

	cluster_why(a->control->cluster, &why);
	for (unsigned i = 0; i < why.count; i++)
		control_put_reason_line(
		    &w, &(struct control_reason_line){
			    req, (uint8_t)why.lines[i].reason, slice_str(why.lines[i].text)});
	out_end(a, &w);
}

/* Says so, and ends. */
static void refuse(struct asker *a, enum rmq_error code, const char *text)
{
	struct writer w = out_begin(a);

	control_put_error(&w, &(struct control_error){(uint8_t)code, slice_str(text)});
	out_end(a, &w);
	a->closing = true;
	a->watches = a->hears = false;
	if (log_rate_allows(&a->control->peers, uv_now(a->control->loop)))
		log_info("control socket: %s", text);
}

static void asker_flush(struct asker *a)
{
	while (a->out_len > 0 && !a->dead) {
		ssize_t n = send(a->fd, a->out, a->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			a->dead = true;
			return;
		}
		a->out_len -= (size_t)n;
		memmove(a->out, a->out + n, a->out_len);
		uv_timer_stop(&a->deadline);
	}
}

/* ---- requests ---- */

static bool asker_may_ask(const struct asker *a)
{
	return !a->closing && !a->dead && a->requests < CONTROL_REQUESTS_MAX &&
	       a->out_len <= CONTROL_OUTPUT_MAX / 2;
}

static void request_free(struct request *r)
{
	TAILQ_REMOVE(&r->asker->waiting, r, entry);
	r->asker->requests--;
	free(r);
}

static void on_answer(void *arg, enum rmq_error code, const char *text)
{
	struct request *r = arg;
	struct asker *a = r->asker;

	out_result(a, r->req, code, text);
	request_free(r);
	asker_settle(a);
}

static void command(struct asker *a, const struct control_request *q)
{
	struct cluster_command cmd = {.type = CLUSTER_INIT};
	struct request *r = calloc(1, sizeof(*r));

	if (!r) {
		out_result(a, q->req, RMQ_E_LIMIT, "out of memory");
		return;
	}
	switch (q->type) {
#define X(name) \
	case CONTROL_TYPE_##name: \
		cmd.type = CLUSTER_##name; \
		break;
		CLUSTER_COMMANDS(X)
#undef X
	default:
		assert(false);
	}
	memcpy(cmd.name, q->name, sizeof(cmd.name));
	memcpy(cmd.key, q->key, sizeof(cmd.key));
	memcpy(cmd.address, q->address, sizeof(cmd.address));
	r->asker = a;
	r->req = q->req;
	TAILQ_INSERT_TAIL(&a->waiting, r, entry);
	a->requests++;
	cluster_ask(a->control->cluster, &cmd, on_answer, r);
}

/* Who asks, as the kernel knows it: a look-up of its name could stand still. */
static void say_who(const struct asker *a, enum control_log level)
{
	struct ucred who = {.pid = 0};
	socklen_t len = sizeof(who);

	if (getsockopt(a->fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0)
		log_notice(
		    "what is logged is %s from now on: rmq-cluster log, of user %lu (process %ld)",
		    control_log_text(level), (unsigned long)who.uid, (long)who.pid);
}

/* The line about it is there in any case but from error to error. */
static void set_log(struct asker *a, uint32_t req, enum control_log level)
{
	if (level != CONTROL_LOG_ASKED) {
		enum log_level now = (enum log_level)level;
		if (now > log_level())
			log_level_set(now);
		say_who(a, level);
		log_level_set(now);
	}
	out_result(a, req, RMQ_E_OK, control_log_text((enum control_log)log_level()));
}

/* They stay for long; and who hears for others is as many as these are. */
static const char *too_many(const struct asker *a, bool for_others)
{
	const struct asker *other;
	unsigned hearers = 0, others = 0;

	TAILQ_FOREACH (other, &a->control->askers, entry) {
		if (!other->hears || other == a)
			continue;
		hearers++;
		others += other->for_others;
	}
	if (hearers >= CONTROL_HEARERS_MAX)
		return "too many programs hear events";
	return for_others && others >= CONTROL_HEARERS_OTHERS
		   ? "too many programs hear events for others, such as over HTTP"
		   : NULL;
}

static void hear(struct asker *a, const struct control_request *q)
{
	bool for_others = q->flags & EVENTS_FOR_OTHERS;
	const char *many = too_many(a, for_others);

	if (many) {
		out_result(a, q->req, RMQ_E_LIMIT, many);
		return;
	}
	a->hears = true;
	a->for_others = for_others;
	a->hear_req = q->req;
	events_begin(cluster_events(a->control->cluster), &a->reader, q->flags, q->since);
}

static void take_request(struct asker *a, const struct frame *f)
{
	struct control_request q;
	const char *why = "";
	enum rmq_error err = control_request_parse(f, &q, &why);

	if (err == RMQ_E_PROTOCOL)
		refuse(a, err, "not a request");
	else if (err)
		out_result(a, q.req, err, why);
	else if (q.type == CONTROL_TYPE_STATUS) {
		out_view(a, q.req);
		out_result(a, q.req, RMQ_E_OK, "");
	} else if (q.type == CONTROL_TYPE_WHY) {
		out_why(a, q.req);
		out_result(a, q.req, RMQ_E_OK, "");
	} else if (q.type == CONTROL_TYPE_LOG) {
		set_log(a, q.req, q.log);
	} else if (q.type == CONTROL_TYPE_WATCH) {
		a->watches = true;
		a->watch_req = q.req;
		a->stale = true;
	} else if (q.type == CONTROL_TYPE_EVENTS) {
		hear(a, &q);
	} else if (q.type == CONTROL_TYPE_GATE) {
		cluster_gate(a->control->cluster, !a->gate, q.gate);
		a->gate = true;
	} else {
		command(a, &q);
	}
}

static void take_hello(struct asker *a, const struct frame *f)
{
	struct control_hello hello;
	struct writer w = out_begin(a);

	if (f->type != CONTROL_TYPE_HELLO || !control_hello_decode(f->payload, &hello) ||
	    hello.magic != CONTROL_MAGIC) {
		refuse(a, RMQ_E_PROTOCOL, "not a HELLO");
	} else if (hello.version < CONTROL_OLDEST || hello.version > CONTROL_VERSION) {
		refuse(a, RMQ_E_VERSION,
		    "this rmq-clusterd is of another version than the program that asks it: "
		    "restart it, see rmq-cluster(7)");
	} else {
		a->version = hello.version;
		control_put_welcome(&w, &(struct control_welcome){hello.version});
		out_end(a, &w);
		a->greeted = true;
		uv_timer_stop(&a->deadline);
	}
}

/* Takes the frames that are whole; the rest stays, and a cut one has its time. */
static void asker_take(struct asker *a)
{
	struct frame f;
	size_t at = 0, used = 0;

	while (at < a->in_len && asker_may_ask(a)) {
		struct slice in = slice_of(a->in + at, a->in_len - at);
		bool bad = frame_parse(in, &f, &used) != RMQ_E_OK;
		if (bad || (in.len >= 4 &&
			       load_u32(in.data) > CONTROL_REQUEST_BYTES - FRAME_HEADER_SIZE)) {
			refuse(a, RMQ_E_PROTOCOL, "not a request");
			break;
		}
		if (used == 0)
			break;
		if (a->greeted)
			take_request(a, &f);
		else
			take_hello(a, &f);
		at += used;
		uv_timer_stop(&a->deadline);
	}
	a->in_len -= at;
	memmove(a->in, a->in + at, a->in_len);
}

static void asker_read(struct asker *a)
{
	if (!asker_may_ask(a) || a->in_len == sizeof(a->in))
		return;
	ssize_t n = recv(a->fd, a->in + a->in_len, sizeof(a->in) - a->in_len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		a->dead = true;
	else
		a->in_len += (size_t)n;
}

/* ---- connections ---- */

static void on_handle_closed(uv_handle_t *handle)
{
	struct asker *a = handle->data;
	if (--a->open_handles == 0)
		free(a);
}

static void asker_end(struct asker *a)
{
	struct control *c = a->control;
	struct request *r;

	while ((r = TAILQ_FIRST(&a->waiting))) {
		cluster_forget(c->cluster, r);
		request_free(r);
	}
	TAILQ_REMOVE(&c->askers, a, entry);
	c->count--;
	uv_poll_stop(&a->poll);
	close(a->fd);
	a->open_handles = 2;
	uv_close((uv_handle_t *)&a->poll, on_handle_closed);
	uv_close((uv_handle_t *)&a->deadline, on_handle_closed);
}

/* Only a timer ends a connection: whoever goes through the list, or holds one, may go on. */
static void on_end(uv_timer_t *timer)
{
	asker_end(timer->data);
}

static void asker_end_soon(struct asker *a)
{
	a->ending = true;
	uv_poll_stop(&a->poll);
	uv_timer_start(&a->deadline, on_end, 0, 0);
}

static void on_deadline(uv_timer_t *timer)
{
	struct asker *a = timer->data;
	if (log_rate_allows(&a->control->peers, uv_now(a->control->loop)))
		log_info("control socket: %s", !a->greeted	? "no HELLO in time"
					       : a->out_len > 0 ? "answers are not read"
								: "a request is incomplete");
	asker_end(a);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct asker *a = poll->data;

	/* An error is pending: libuv has stopped watching; reading will tell. */
	if (status < 0)
		a->events = 0;
	if (status < 0 || (events & UV_READABLE))
		asker_read(a);
	asker_settle(a);
}

static void asker_watch(struct asker *a)
{
	int events = (asker_may_ask(a) ? UV_READABLE : 0) | (a->out_len > 0 ? UV_WRITABLE : 0);

	if (events == a->events)
		return;
	a->events = events;
	if (events)
		uv_poll_start(&a->poll, events, on_poll);
	else
		uv_poll_stop(&a->poll);
}

/* After anything has happened: takes requests, writes, and says what is waited for. */
static void asker_settle(struct asker *a)
{
	if (a->busy || a->ending)
		return;
	a->busy = true;
	asker_flush(a);
	asker_take(a);
	if (a->watches && a->stale && a->out_len <= CONTROL_OUTPUT_MAX / 2) {
		out_view(a, a->watch_req);
		a->stale = false;
	}
	asker_flush(a);
	while (out_events(a))
		asker_flush(a);
	a->busy = false;
	if (a->dead || (a->closing && a->out_len == 0)) {
		asker_end_soon(a);
		return;
	}
	/* It has so long to say HELLO, to complete a frame, to read what waits. */
	bool cut = a->in_len > 0 && asker_may_ask(a);
	if (a->greeted && !cut && (a->out_len == 0 || a->hears))
		uv_timer_stop(&a->deadline);
	else if (!uv_is_active((uv_handle_t *)&a->deadline))
		uv_timer_start(&a->deadline, on_deadline,
		    a->greeted ? CONTROL_STALL_MS : CONTROL_HELLO_MS, 0);
	asker_watch(a);
}

static void asker_new(struct control *c, int fd)
{
	struct asker *a = calloc(1, sizeof(*a));

	if (!a || uv_poll_init(c->loop, &a->poll, fd) != 0) {
		free(a);
		close(fd);
		return;
	}
	uv_timer_init(c->loop, &a->deadline);
	a->poll.data = a;
	a->deadline.data = a;
	a->control = c;
	a->fd = fd;
	TAILQ_INIT(&a->waiting);
	TAILQ_INSERT_TAIL(&c->askers, a, entry);
	if (c->count++ >= CONTROL_CONNECTIONS_MAX)
		refuse(a, RMQ_E_LIMIT, "too many connections");
	asker_settle(a);
}

static bool is_full(void *arg)
{
	(void)arg; /* whoever is one too many is told so */
	return false;
}

static void on_accept(void *arg, int fd)
{
	asker_new(arg, fd);
}

static void on_retry(uv_timer_t *timer)
{
	struct control *c = timer->data;
	listener_resume(&c->listener);
}

/* Who connects waits. */
static void on_exhausted(void *arg, int error)
{
	struct control *c = arg;

	if (log_rate_allows(&c->peers, uv_now(c->loop)))
		log_error("control socket: %s", strerror(error));
	listener_pause(&c->listener);
	uv_timer_start(&c->retry, on_retry, RETRY_MS, 0);
}

static void on_change(void *arg)
{
	struct control *c = arg;
	struct asker *a;

	TAILQ_FOREACH (a, &c->askers, entry) {
		a->stale = true;
		if (a->watches || a->hears)
			asker_settle(a);
	}
}

enum rmq_error control_open(struct control **control, uv_loop_t *loop, struct cluster *cluster,
    const char *path, struct reason *why)
{
	struct control *c = calloc(1, sizeof(*c));
	const char *what = "";

	if (!c)
		return reason_set(why, RMQ_E_LIMIT, "out of memory");
	enum rmq_error err = listener_open(&c->listener, path, &what);
	if (err) {
		free(c);
		return reason_set(why, err, errno ? "%s: %s" : "%s", what, strerror(errno));
	}
	c->loop = loop;
	c->cluster = cluster;
	TAILQ_INIT(&c->askers);
	uv_timer_init(loop, &c->retry);
	c->retry.data = c;
	listener_start(
	    &c->listener, loop, &(struct listener_host){c, is_full, on_accept, on_exhausted});
	cluster_watch(cluster, on_change, c);
	*control = c;
	return RMQ_E_OK;
}

static void on_closed(uv_handle_t *handle)
{
	struct control *c = handle->data;
	if (--c->open_handles == 0)
		free(c);
}

void control_close(struct control *c)
{
	struct asker *a;

	if (!c)
		return;
	cluster_watch(c->cluster, NULL, NULL);
	while ((a = TAILQ_FIRST(&c->askers))) {
		asker_flush(a);
		asker_end(a);
	}
	c->open_handles = 1 + listener_end(&c->listener, on_closed);
	uv_close((uv_handle_t *)&c->retry, on_closed);
}
