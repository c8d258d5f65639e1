#include "core/client/client_state.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/variant.h"

#define RETRY_MIN_MS   20
#define RETRY_MAX_MS   1000
#define RETRY_WAY_MS   10000 /* … of what may be a login elsewhere, where failures are counted */
#define QUICK_MAX_MS   4     /* the first attempt after a loss: not all clients at once */
#define NOT_YET_MAX_MS 160  /* a quarter of it is added by chance */
#define GREETING_MS    3000 /* to connect, and for an answer to HELLO, if another one is there */
#define ANSWER_MIN_MS  1000 /* for a connected daemon, when timeout_ms is 0 */
#define PING_ASKING_MS 1000 /* without a word of a daemon that owes an answer, before PING */
#define PING_FAR_MS    500  /* the same, of a daemon on another machine, which may be gone */
#define PING_IDLE_MS   5000 /* … of one that owes none */
#define SILENCE_MS     3000 /* for an answer to PING, if there is another contact point */
#define LATE_MS	       500  /* a tick so late is of a client that stood still itself */
#define REDIRECTS_MAX  8    /* in a row */

void client_give_up(struct client *c, enum rmq_error code, struct slice text)
{
	if (c->dead)
		return;
	c->dead = true;
	c->hang_up = true;
	if (c->host.fatal)
		c->host.fatal(c->host.arg, code, client_text(code, text));
}

void client_fail(struct client *c, enum rmq_error code, struct slice text)
{
	client_give_up(c, code, text);
}

void client_give_up_memory(struct client *c)
{
	client_give_up(c, RMQ_E_LIMIT, slice_str("out of memory"));
}

/* splitmix64 */
uint64_t client_random(struct client *c)
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
	c->send_window = config->window;
	assert(config->cell.len <= sizeof(c->roam.at.name));
	if (config->cell.len > 0)
		memcpy(c->roam.at.name, config->cell.data, config->cell.len);
	c->roam.at.name_len = config->cell.len;
	held_init(&c->held);
	return c;
}

void client_free(struct client *c)
{
	if (!c)
		return;
	client_send_free(c);
	client_recv_free(c);
	client_cells_free(c);
	free(c);
}

/* ---- progress ---- */

/*
 * Whether the daemon may hold messages for this session until BYE gives them back.  What is
 * held here does not tell: some may have been on their way to a subscription that is over, have
 * been forgotten here, or be named by a settlement that was refused.
 */
static bool owes_bye(const struct client *c)
{
	return c->bye && !c->bye_sent && c->has_subscribed && !RMQ_VARIANT(BYE_UNSAID);
}

bool client_is_patient(const struct client *c, const struct request *r)
{
	bool waits = r->watch == WATCH_GONE || (r->kv && (r->flags & KV_WAIT)) ||
		     (r->away && !(r->flags & AWAY_NOW));
	return waits && r->sent && c->state == READY;
}

static bool asks(const struct client *c)
{
	if (c->oldest || owes_bye(c))
		return true;
	for (size_t i = 0; i < SUBSCRIPTIONS_MAX; i++) {
		const struct subscription *s = &c->subs[i];
		if (s->used && (c->state != READY || !s->confirmed || s->ending))
			return true;
	}
	for (size_t i = 0; i < REQUESTS_MAX; i++)
		if (c->requests[i].req && !client_is_patient(c, &c->requests[i]))
			return true;
	return false;
}

void client_note_asking(struct client *c, struct mono_time now)
{
	bool asking = asks(c);
	if (asking && !c->asking)
		c->progress = c->apart = now;
	c->asking = asking;
}

/* When the client gives up, if nothing moves; CLIENT_FOREVER: never. */
static uint64_t deadline_ms(const struct client *c)
{
	uint64_t limit = c->config.timeout_ms;
	/* For want of room it does not give up if it may hold messages, as these would have failed then. */
	if (!c->asking || limit == CLIENT_FOREVER || c->dead ||
	    (c->blocked && c->has_subscribed))
		return CLIENT_FOREVER;
	if (limit == 0 && c->state == APART && c->tries < c->config.servers)
		return CLIENT_FOREVER;
	if (limit == 0 && c->state != APART && !c->blocked)
		limit = ANSWER_MIN_MS;
	return c->progress.ms + limit;
}

/* ---- the connection ---- */

bool client_connect(struct client *c, struct mono_time now, struct client_target *target)
{
	client_note_asking(c, now);
	if (c->dead || c->state != APART || !c->asking || now.ms < c->retry_at.ms)
		return false;
	c->state = CONNECTING;
	c->greeted = now;
	client_cells_target(c, target);
	return true;
}

void client_connected(struct client *c, struct mono_time now, unsigned how)
{
	assert(c->state == CONNECTING);
	client_note_asking(c, now);
	c->state = GREETING;
	c->how = how;
	c->greeted = now;
	client_send_hello(c);
}

void client_way_takes(struct client *c, uint64_t ms)
{
	assert(c->state == CONNECTING);
	c->way_ms = ms;
}

static bool has_others(const struct client *c)
{
	return c->config.servers > 1 || c->redirect_len > 0;
}

/* The way to a contact point may be dead; one that does not answer may be a process that stands still. */
static uint64_t greeting_due_ms(const struct client *c)
{
	if ((c->state != CONNECTING && c->state != GREETING) || c->hang_up || !has_others(c))
		return CLIENT_FOREVER;
	return c->greeted.ms + GREETING_MS + c->way_ms;
}

/* Whether the daemon owes it nothing now, and may say something at any time. */
static bool is_subscribed(const struct client *c)
{
	for (size_t i = 0; i < SUBSCRIPTIONS_MAX; i++)
		if (c->subs[i].used)
			return true;
	for (size_t i = 0; i < REQUESTS_MAX; i++)
		if (c->requests[i].req && client_is_patient(c, &c->requests[i]))
			return true;
	return false;
}

/* So may a daemon do that has served us: who waits for it asks, and goes if it says nothing. */
static uint64_t ping_due_ms(const struct client *c)
{
	if (c->state != READY || !c->answers_ping || c->ping_out || c->hang_up || c->dead ||
	    c->roam.left)
		return CLIENT_FOREVER;
	if (c->asking)
		return c->heard.ms + (c->how & HELLO_FAR ? PING_FAR_MS : PING_ASKING_MS);
	/* A pinned one may hold a queue, which ends if it says nothing. */
	return is_subscribed(c) || c->config.pinned ? c->heard.ms + PING_IDLE_MS
						    : CLIENT_FOREVER;
}

static uint64_t silence_due_ms(const struct client *c)
{
	/* A command may not notice for long that the way is gone; but to begin it anew may take a person. */
	bool others = has_others(c);
	if (c->state != READY || !c->ping_out || c->hang_up || (!others && !c->way_ms) ||
	    RMQ_VARIANT(SILENCE_BORNE))
		return CLIENT_FOREVER;
	return c->pinged.ms + SILENCE_MS + (others ? 0 : c->way_ms);
}

/* Whether the daemon is given up; not before what came while the client stood still is read. */
static bool is_silent(struct client *c, struct mono_time now)
{
	uint64_t due = silence_due_ms(c);
	if (now.ms < due)
		return false;
	if (now.ms - due < LATE_MS)
		return true;
	c->pinged.ms += now.ms - due + LATE_MS / 2;
	return false;
}

bool client_pinging(const struct client *c)
{
	return c->state == READY && c->ping_out && !c->hang_up;
}

void client_silent(struct client *c)
{
	if (client_pinging(c) && has_others(c) && !RMQ_VARIANT(SILENCE_BORNE))
		c->silent = c->hang_up = true;
}

static void next_contact(struct client *c)
{
	c->tries++;
	c->server = (c->server + 1) % c->config.servers;
	c->redirect_len = 0;
	c->redirects = 0;
	c->relay = false;
}

/*
 * A daemon that served us is gone: its successor is found through the contact point that we
 * came by, or through where that led if the way there is open; it is tried first and at once.  If that
 * is all that ever happens, not so often.
 */
static bool come_back(struct client *c, struct mono_time now)
{
	if (c->state != READY || now.ms < c->quick_after.ms)
		return false;
	/* One that stands still is there yet: its own contact point leads to nobody else. */
	if (c->silent && c->redirect_len == 0)
		return false;
	if (!c->way_open)
		c->redirect_len = 0;
	c->retry_at.ms = now.ms + client_random(c) % (QUICK_MAX_MS + 1);
	c->quick_after.ms = now.ms + RETRY_MAX_MS;
	return true;
}

/* When to connect again after a failure: half of the delay is left to chance. */
static void back_off(struct client *c, struct mono_time now)
{
	uint32_t round = c->failures / c->config.servers;
	c->failures++;
	next_contact(c);
	uint64_t delay = c->way_ms && c->config.servers == 1 ? RETRY_WAY_MS : RETRY_MAX_MS;
	if (round < 16 && (uint64_t)RETRY_MIN_MS << round < delay)
		delay = (uint64_t)RETRY_MIN_MS << round;
	if (c->failures % c->config.servers != 0)
		delay = 0;
	c->retry_at.ms = now.ms + delay / 2 + (delay ? client_random(c) % (delay / 2 + 1) : 0);
}

void client_user_asked(struct client *c, struct mono_time now)
{
	c->progress = c->apart = c->greeted = now;
}

void client_disconnected(struct client *c, struct mono_time now)
{
	/* One that ends all that it welcomes is of no use. */
	if (c->state == READY && now.ms - c->welcomed.ms >= RETRY_MAX_MS)
		c->failures = 0;
	bool gone = client_cells_gone(c);
	if (!gone && !c->told && !come_back(c, now))
		back_off(c, now);
	c->told = c->silent = c->ping_out = c->ping_wanted = false;
	c->in_left = 0;
	c->way_ms = 0;
	if (c->state == READY)
		c->apart = now;
	c->state = APART;
	c->hang_up = false;
	client_send_disconnected(c);
	client_recv_disconnected(c);
	if (gone)
		client_cells_enter(c, now);
	else
		client_cells_stay(c);
	client_note_asking(c, now);
}

void client_stream_ended(struct client *c, struct mono_time now)
{
	c->way_open = true;
	client_disconnected(c, now);
	c->way_open = false;
}

/* The contact point is still the same one: c->server was left when it redirected. */
void client_unreachable(struct client *c, struct mono_time now)
{
	assert(c->state == CONNECTING && c->redirect_len > 0);
	c->redirect_len = 0;
	c->relay = true;
	c->retry_at = now;
	c->told = true;
	client_disconnected(c, now);
}

void client_contacts(struct client *c, uint32_t servers)
{
	assert(servers > 0);
	c->config.servers = servers;
	if (c->server >= servers)
		c->server = 0;
}

uint64_t client_sandbox(const struct client *c)
{
	return c->sandbox;
}

bool client_welcomed(const struct client *c)
{
	return c->state == READY;
}

/* Whether all that it waits for is that something becomes so. */
static bool only_watches(const struct client *c)
{
	bool watches = false;
	for (size_t i = 0; i < REQUESTS_MAX; i++) {
		if (c->requests[i].req && !c->requests[i].watch)
			return false;
		watches |= c->requests[i].req != 0;
	}
	return watches && !c->oldest;
}

struct client_waiting client_waiting(const struct client *c)
{
	struct client_waiting w = {CLIENT_WAITS_NOT, c->progress, {NULL, 0}, ""};
	/* What has not become so yet is no missing answer. */
	bool asks = c->asking && !(c->state == READY && only_watches(c));
	if (c->dead || (!asks && !c->ping_out))
		return w;
	const char *circle = client_cells_circle(c, &w.since);
	if (asks && circle && !c->config.no_wait) {
		w.what = CLIENT_WAITS_CELLS;
		w.why = circle;
		return w;
	}
	w.what = CLIENT_WAITS_ANSWER;
	if (!asks) {
		w.since = c->pinged;
	} else if (c->state != READY) {
		w.what = CLIENT_WAITS_DAEMON;
		w.since = c->apart;
		w.why = c->sent_away;
	} else if (c->no_room[0] && c->oldest) {
		w.what = CLIENT_WAITS_ROOM;
		w.since = c->room_since;
		w.queue = c->oldest->queue;
		w.why = c->no_room;
	}
	if (w.since.ms < c->welcomed.ms)
		w.since = c->welcomed;
	return w;
}

bool client_dead(const struct client *c)
{
	return c->dead;
}

bool client_hangs_up(const struct client *c)
{
	return c->hang_up;
}

void client_new_session(struct client *c)
{
	c->session = 0;
	c->has_token = false;
	c->answered = 0;
	c->next_n = 1;
	c->has_subscribed = false;
}

/* The session is gone: whether all that is unanswered may be done in a new one. */
static bool renew_session(struct client *c)
{
	for (struct client_command *cmd = c->oldest; cmd; cmd = cmd->next)
		if (cmd->flown && cmd->type != WIRE_TYPE_SETTLE)
			return false;
	client_new_session(c);
	return true;
}

/* False: it is not what a token is. */
static bool take_token(struct client *c, const struct wire_welcome *m)
{
	struct slice token;
	c->has_token = tags_find(m->tags, WELCOME_TAG_TOKEN, &token);
	if (!c->has_token)
		return true;
	if (token.len != sizeof(c->token))
		return false;
	memcpy(c->token, token.data, token.len);
	return true;
}

void client_on_welcome(struct client *c, struct mono_time now, const struct wire_welcome *m)
{
	uint64_t highest = c->answered;
	if (c->state != GREETING || m->version < WIRE_OLDEST || m->version > WIRE_VERSION) {
		client_give_up(c, RMQ_E_VERSION, slice_of(NULL, 0));
		return;
	}
	if (m->last < c->answered || (c->session && m->session != c->session)) {
		client_give_up(c, RMQ_E_UNKNOWN_SESSION, slice_of(NULL, 0));
		return;
	}
	if (!take_token(c, m)) {
		client_give_up(c, RMQ_E_PROTOCOL, slice_str("the daemon sent a bad WELCOME"));
		return;
	}
	for (struct client_command *cmd = c->oldest; cmd; cmd = cmd->next)
		if (++highest > m->last)
			cmd->flown = false;
	c->state = READY;
	c->welcomed = c->heard = now;
	c->answers_ping = m->features & WIRE_FEATURE_PING;
	c->sent_away[0] = '\0';
	c->session = m->session;
	c->window_bytes = m->window;
	c->sandbox = tags_find_u64(m->tags, WELCOME_TAG_SANDBOX);
	if (!client_cells_welcome(c, m))
		return;
	c->tries = 0;
	c->redirects = 0;
	client_recv_welcome(c, now);
}

/* Another address, now or after a while; counted, so that two of them cannot go on for ever. */
void client_on_redirect(struct client *c, struct mono_time now, const struct wire_redirect *m)
{
	c->hang_up = true;
	if (m->address.len == 0 || ++c->redirects > REDIRECTS_MAX)
		return;
	memcpy(c->redirect, m->address.data, m->address.len);
	c->redirect_len = m->address.len;
	c->retry_at = now;
	c->told = true;
}

/* Nobody leads as far as this node can tell: it may be the one that is cut off. */
void client_on_not_yet(struct client *c, struct mono_time now, const struct wire_not_yet *m)
{
	uint64_t ms = m->ms > NOT_YET_MAX_MS ? NOT_YET_MAX_MS : m->ms;
	if (ms < RETRY_MIN_MS)
		ms = RETRY_MIN_MS;
	c->hang_up = true;
	next_contact(c);
	c->retry_at.ms = now.ms + ms + client_random(c) % (ms / 4 + 1);
	c->told = true;
}

void client_on_error(struct client *c, struct mono_time now, const struct wire_error *m)
{
	(void)now;
	enum rmq_error code = client_code(m->code);
	c->hang_up = true;
	switch (code) {
	case RMQ_E_UNKNOWN_SESSION:
		if (!renew_session(c))
			client_give_up(c, code, m->text);
		break;
	case RMQ_E_VERSION:
	case RMQ_E_PROTOCOL:
		if (!client_place_refused(c))
			client_give_up(c, code, m->text);
		break;
	case RMQ_E_DENIED:
	case RMQ_E_USAGE:
	case RMQ_E_BUG:
		client_give_up(c, code, m->text);
		break;
	default:
		/* It ends or has too much to do: another connection may do better. */
		snprintf(c->sent_away, sizeof(c->sent_away), "%.*s", (int)m->text.len,
		    (const char *)m->text.data);
		break;
	}
}

/* That it came is all that it says. */
void client_on_pong(struct client *c, struct mono_time now, const struct wire_pong *m)
{
	(void)c, (void)now, (void)m;
}

/* Whether a frame's tagged fields may be acted upon; if not, the client has given up. */
static bool tags_known(struct client *c, unsigned type, struct slice tags)
{
	uint16_t tag;
	char text[TEXT_MAX];
	enum rmq_error err = tags_check(tags, type, wire_tag_name, &tag);
	if (!err)
		return true;
	if (err == RMQ_E_VERSION)
		snprintf(text, sizeof(text), "attribute %u of %s is not known here", tag,
		    wire_name(type));
	else
		snprintf(text, sizeof(text), "the daemon sent a bad %s", wire_name(type));
	client_give_up(c, err, slice_str(text));
	return false;
}

static bool take_frame(struct client *c, struct mono_time now, const struct frame *f)
{
	switch (f->type) {
#define X(type, NAME, name, FIELDS) \
	case type: { \
		struct wire_##name m; \
		if (!wire_##name##_decode(f->payload, &m)) \
			return false; \
		if (!tags_known(c, type, wire_##name##_tagged(&m))) \
			return true; \
		client_on_##name(c, now, &m); \
		return true; \
	}
		WIRE_DAEMON_FRAMES(X)
#undef X
	}
	return false;
}

void client_input(struct client *c, struct mono_time now, struct slice in, size_t *used)
{
	*used = 0;
	if (in.len > c->in_left) {
		c->heard = now;
		c->ping_out = false;
	}
	while (!c->hang_up && c->state >= GREETING && !c->roam.left) {
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
			client_give_up(
			    c, RMQ_E_PROTOCOL, slice_str("the daemon sent a bad frame"));
			break;
		}
		*used += len;
		client_cells_heard(c, f.type);
	}
	client_cells_turn(c, now);
	if (c->roam.left)
		*used = in.len;
	c->in_left = in.len - *used;
	client_note_asking(c, now);
}

/* ---- timers ---- */

static void give_up_waiting(struct client *c)
{
	enum rmq_error code = RMQ_E_TIMEOUT;
	struct mono_time since;
	const char *circle = client_cells_circle(c, &since);
	if (c->blocked)
		code = c->blocked_code;
	else if (circle)
		code = RMQ_E_ELSEWHERE;
	else if (c->state != READY)
		code = RMQ_E_NO_DAEMON;
	else if (only_watches(c) && !c->ping_out)
		code = RMQ_E_UNMET;
	client_give_up(
	    c, code, code == RMQ_E_ELSEWHERE ? slice_str(circle) : slice_of(NULL, 0));
}

void client_tick(struct client *c, struct mono_time now)
{
	client_note_asking(c, now);
	if (c->dead)
		return;
	if (now.ms >= deadline_ms(c)) {
		give_up_waiting(c);
		return;
	}
	if (now.ms >= ping_due_ms(c)) {
		c->ping_out = c->ping_wanted = true;
		c->pinged = now;
	}
	if (is_silent(c, now))
		c->silent = true;
	if (c->silent || now.ms >= greeting_due_ms(c) || now.ms >= client_cells_due_ms(c))
		c->hang_up = true;
	if (c->blocked && now.ms >= c->blocked_until.ms)
		client_try_again(c, now);
	client_recv_tick(c, now);
	client_cells_turn(c, now);
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
	earlier(&due, greeting_due_ms(c));
	earlier(&due, ping_due_ms(c));
	earlier(&due, silence_due_ms(c));
	earlier(&due, client_cells_due_ms(c));
	if (c->state == APART && c->asking)
		earlier(&due, c->retry_at.ms);
	if (c->blocked)
		earlier(&due, c->blocked_until.ms);
	earlier(&due, client_recv_due_ms(c));
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
	if (c->dead || c->state != READY)
		return c->dead || (c->bye && !c->oldest && !owes_bye(c));
	return c->bye_sent && c->staged_count == 0 && c->control.len == 0;
}
