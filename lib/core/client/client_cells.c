/*
 * A client of several cells: it goes where the queue lives that its oldest request names.
 *
 * A command is taken once and in order because a session is left only when every command that
 * it may have taken was answered: what is left then was refused or never sent, and begins in the other cell
 * with number 1.  A connection that is lost before BYE was written is no way out: the client comes back
 * to the same cell and asks again.
 */
#include "core/client/client_state.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/name.h"
#include "core/base/variant.h"

/* Times that it is sent away, and nobody says that the queue is there: */
#define WAY_MAX	      2	   /* … that may be the way to it */
#define CIRCLE_MIN    4	   /* … that are to and fro */
#define CIRCLE_MAX    8	   /* … after which it waits for lists to change */
#define HOP_MIN_MS    10   /* before the second one in a row */
#define HOP_FRESH_MS  20   /* … at most after a queue that has just been moved */
#define HOP_MAX_MS    500  /* … and at most */
#define HOP_CIRCLE_MS 1000 /* … in a circle */
#define GOODBYE_MS    1000 /* for a daemon to end the connection after BYE */

void client_cells_free(struct client *c)
{
	free(c->roam.at.servers);
	free(c->roam.next.servers);
}

struct slice client_cell(const struct client *c)
{
	const struct roam *r = &c->roam;
	return r->at.name_len > 0 ? slice_of(r->at.name, r->at.name_len)
				  : slice_of(r->given, r->given_len);
}

/* ---- what leads it ---- */

/* The queue that a request names, which may be sent elsewhere for it; empty: none. */
static struct slice queue_of_request(const struct request *r)
{
	bool names = r->peek || r->watch || r->buried || r->history || r->position ||
		     r->bindings || r->ranges || r->of_cells == ASKS_EXPORT;
	return names ? slice_of(r->name, r->name_len) : slice_of(NULL, 0);
}

/* The same of a command; a topic leads nowhere else. */
static struct slice queue_of_command(const struct client_command *cmd)
{
	bool other = cmd->type == WIRE_TYPE_KV_PUT || cmd->type == WIRE_TYPE_KV_DEL ||
		     (cmd->type == WIRE_TYPE_SEND && cmd->flags & SEND_TOPIC);
	return other ? slice_of(NULL, 0) : cmd->queue;
}

/* … and of a subscription that is to be. */
static struct slice queue_of_sub(const struct client *c, const struct subscription *s)
{
	bool none = !s->used || s->ending || c->bye || s->flags & SUBSCRIBE_EPHEMERAL;
	return none ? slice_of(NULL, 0) : slice_of(s->name, s->name_len);
}

/* Whose home a client with a list begins at. */
static struct slice first_name(const struct client *c)
{
	struct slice name = slice_of(NULL, 0);
	if (c->oldest && c->oldest->type != WIRE_TYPE_KV_PUT &&
	    c->oldest->type != WIRE_TYPE_KV_DEL)
		return c->oldest->queue;
	for (size_t i = 0; name.len == 0 && i < SUBSCRIPTIONS_MAX; i++)
		name = queue_of_sub(c, &c->subs[i]);
	for (size_t i = 0; name.len == 0 && i < REQUESTS_MAX; i++)
		name = queue_of_request(&c->requests[i]);
	return name;
}

static bool same_unit(struct slice name, struct slice base)
{
	return name.len > 0 && slice_eq(cells_base(name), base);
}

/* Whether anything that is asked for names the queue, or one that goes with it. */
static bool wants(const struct client *c, struct slice queue)
{
	struct slice base = cells_base(queue);
	for (const struct client_command *cmd = c->oldest; cmd; cmd = cmd->next)
		if (same_unit(queue_of_command(cmd), base))
			return true;
	for (size_t i = 0; i < SUBSCRIPTIONS_MAX; i++)
		if (same_unit(queue_of_sub(c, &c->subs[i]), base))
			return true;
	for (size_t i = 0; i < REQUESTS_MAX; i++)
		if (same_unit(queue_of_request(&c->requests[i]), base))
			return true;
	return false;
}

void client_cells_target(struct client *c, struct client_target *target)
{
	struct roam *r = &c->roam;
	const struct cells *cells = c->config.cells;
	if (r->at.name_len == 0 && cells && cells->count > 0) {
		struct slice name = first_name(c);
		uint32_t i = name.len > 0 ? cells_home(cells, name) : 0;
		r->at.name_len = cells->cells[i].name_len;
		memcpy(r->at.name, cells->cells[i].name, r->at.name_len);
	}
	*target = (struct client_target){.cell = slice_of(r->at.name, r->at.name_len),
	    .servers = slice_of(r->at.servers, r->at.servers_len),
	    .server = c->server,
	    .address = slice_of(c->redirect, c->redirect_len)};
}

/* A pinned client has gone to another cell than it was to: what it does there others do not find. */
static void give_up_name(struct client *c, struct slice name)
{
	char text[TEXT_MAX + 1];
	snprintf(text, sizeof(text),
	    "the addresses of cell %.*s lead to cell %.*s: the list of cells is not that of its daemons",
	    (int)c->roam.at.name_len, c->roam.at.name, (int)name.len, (const char *)name.data);
	client_give_up(c, RMQ_E_CONFIG, slice_str(text));
}

bool client_cells_welcome(struct client *c, const struct wire_welcome *m)
{
	struct slice name, at = slice_of(c->roam.at.name, c->roam.at.name_len);
	c->roam.unknown = !(m->features & WIRE_FEATURE_CELLS);
	if (c->roam.unknown)
		c->roam.came_due = false;
	c->roam.met_len = 0;
	if (!tags_find(m->tags, WELCOME_TAG_CELL, &name) || !name_valid_node(name))
		return true;
	memcpy(c->roam.met, name.data, name.len);
	c->roam.met_len = name.len;
	if (at.len == 0) {
		memcpy(c->roam.given, name.data, name.len);
		c->roam.given_len = name.len;
	} else if (c->config.pinned && !slice_eq(name, at)) {
		give_up_name(c, name);
	}
	return !c->dead;
}

/* ---- leaving ---- */

/* An answer is on its way that takes no longer than the daemon needs for it. */
static bool waits_for_answer(const struct client *c)
{
	if (c->flying > 0 || (c->oldest && c->oldest->flown))
		return true;
	for (size_t i = 0; i < REQUESTS_MAX; i++) {
		const struct request *r = &c->requests[i];
		if (r->req && r->begun && !r->watch && !client_is_patient(c, r))
			return true;
	}
	return false;
}

/* ---- circles ---- */

const char *client_cells_circle(const struct client *c, struct mono_time *since)
{
	const struct roam *r = &c->roam;
	/* One that cannot be reached is what it waits for then. */
	if (r->circle < CIRCLE_MIN || (c->state != READY && c->failures > 0))
		return NULL;
	*since = r->circling;
	return r->why;
}

/*
 * A token leads to a cell that knows, for good, that the queue came or where it went on.  One that leads to its home
 * instead has forgotten that.
 */
static void note_lost(struct roam *r, struct slice here)
{
	struct slice queue = slice_of(r->next.queue, r->next.queue_len);
	if (r->circle == 0)
		r->lost_len = 0;
	if (r->at.token_len == 0 || r->next.token_len > 0 ||
	    !same_unit(slice_of(r->at.queue, r->at.queue_len), cells_base(queue)))
		return;
	memcpy(r->lost, here.data, here.len);
	r->lost_len = here.len;
}

/* From the cell that it is in. */
static void say_circle(struct client *c)
{
	struct roam *r = &c->roam;
	struct slice here = client_cell(c), met = slice_of(r->met, r->met_len);
	struct slice queue = slice_of(r->next.queue, r->next.queue_len);
	bool misled = met.len > 0 && !slice_eq(here, met);
	if (!misled)
		note_lost(r, here);
	if (!misled && r->lost_len > 0) {
		snprintf(r->why, sizeof(r->why),
		    "cell %.*s, where queue %.*s has gone, does not know it, as it was wiped or restored: rmq-queue place-cell, see Cells in rmq(7)",
		    (int)r->lost_len, r->lost, (int)queue.len, (const char *)queue.data);
		return;
	}
	int len = snprintf(r->why, sizeof(r->why),
	    "cells send it from one to the other for queue %.*s, now from %.*s to %.*s: ",
	    (int)queue.len, (const char *)queue.data, (int)(misled ? met : here).len,
	    (const char *)(misled ? met : here).data, (int)r->next.name_len, r->next.name);
	size_t cap = sizeof(r->why) - (size_t)len;
	if (misled)
		snprintf(r->why + len, cap,
		    "the addresses of cell %.*s lead to cell %.*s: see Cells in rmq(7)",
		    (int)here.len, (const char *)here.data, (int)met.len,
		    (const char *)met.data);
	else
		snprintf(r->why + len, cap,
		    "their lists of cells differ, or one was restored or wiped: see Cells in rmq(7)");
}

/* Whether what is asked for is refused, instead of waiting until lists have changed. */
static bool is_refused(const struct client *c)
{
	const struct roam *r = &c->roam;
	return c->config.no_wait && r->leaving && !r->fresh && r->circle >= CIRCLE_MAX;
}

bool client_cells_refuse(struct client *c, const char **why)
{
	struct roam *r = &c->roam;
	struct slice base = cells_base(slice_of(r->next.queue, r->next.queue_len));
	if (!is_refused(c) || !same_unit(queue_of_command(c->oldest), base))
		return false;
	*why = r->why;
	/* The next one for it may find other lists. */
	r->hops = r->circle = 0;
	return true;
}

/* What an older daemon is not asked: it has no cells. */
static void answer_itself(struct client *c)
{
	for (size_t i = 0; i < REQUESTS_MAX && !c->dead; i++) {
		struct request *r = &c->requests[i];
		uint32_t req = r->req;
		if (!req || !r->of_cells)
			continue;
		if (r->of_cells != ASKS_CELLS) {
			client_give_up(c, RMQ_E_VERSION,
			    slice_str("the daemon knows nothing of cells; upgrade it"));
			continue;
		}
		client_request_end(r);
		if (c->host.cells_are)
			c->host.cells_are(c->host.arg, req, slice_of("", 0), slice_of("", 0));
	}
}

void client_cells_turn(struct client *c, struct mono_time now)
{
	struct roam *r = &c->roam;
	if (r->unknown && c->state == READY)
		answer_itself(c);
	if (!r->leaving || r->left || c->dead || c->hang_up || c->state != READY || c->bye_sent)
		return;
	if (waits_for_answer(c) && !RMQ_VARIANT(ROAMS_EARLY))
		return;
	if (!wants(c, slice_of(r->next.queue, r->next.queue_len))) {
		r->leaving = false;
		r->circle = 0;
		return;
	}
	/* A command is refused when its answer comes. */
	if (is_refused(c) && !c->oldest) {
		client_give_up(c, RMQ_E_ELSEWHERE, slice_str(r->why));
		return;
	}
	if (!r->fresh && r->circle++ == 0)
		r->circling = now;
	r->left = true;
	r->left_at = now;
	client_end_attached(c);
}

uint64_t client_cells_due_ms(const struct client *c)
{
	return c->roam.left ? c->roam.left_at.ms + GOODBYE_MS : CLIENT_FOREVER;
}

bool client_cells_gone(const struct client *c)
{
	return c->roam.bye_put && c->staged_count == 0 && c->control.len == 0;
}

void client_cells_stay(struct client *c)
{
	c->roam.leaving = c->roam.left = c->roam.bye_put = false;
	c->roam.came_due = c->roam.at.token_len > 0;
}

void client_cells_enter(struct client *c, struct mono_time now)
{
	struct roam *r = &c->roam;
	uint64_t delay = r->circle > CIRCLE_MAX ? HOP_CIRCLE_MS : HOP_MAX_MS;
	if (r->fresh)
		delay = HOP_FRESH_MS;
	say_circle(c);
	free(r->at.servers);
	r->at = r->next;
	r->next.servers = NULL;
	/* Back where it began: the host knows best how to get there. */
	if (slice_eq(slice_of(r->at.name, r->at.name_len), slice_of(r->given, r->given_len)))
		r->at.name_len = 0;
	client_cells_stay(c);
	client_new_session(c);
	for (struct client_command *cmd = c->oldest; cmd; cmd = cmd->next)
		cmd->flown = false;
	c->server = c->tries = c->failures = c->redirects = 0;
	c->redirect_len = 0;
	c->relay = false;
	c->quick_after.ms = 0;
	c->sent_away[0] = '\0';
	c->apart = now;
	/* To be led there is an answer; to and fro is none. */
	if (r->fresh || r->circle <= WAY_MAX)
		c->progress = now;
	if (r->hops < 16 && (uint64_t)HOP_MIN_MS << r->hops < delay)
		delay = (uint64_t)HOP_MIN_MS << r->hops;
	if (r->hops++ == 0)
		delay = 0;
	c->retry_at.ms = now.ms + delay / 2 + (delay ? client_random(c) % (delay / 2 + 1) : 0);
}

void client_cells_heard(struct client *c, unsigned type)
{
	switch (type) {
	case WIRE_TYPE_WELCOME:
	case WIRE_TYPE_REDIRECT:
	case WIRE_TYPE_NOT_YET:
	case WIRE_TYPE_ERROR:
	case WIRE_TYPE_PONG:
	case WIRE_TYPE_MOVED:
	case WIRE_TYPE_FAILED:
	case WIRE_TYPE_SUB_FAILED:
	case WIRE_TYPE_ROOM:
		break;
	/* The queue is there, which gets nothing done: what is in several cells goes to and fro slowly. */
	case WIRE_TYPE_SUBSCRIBED:
	case WIRE_TYPE_UNSUBSCRIBED:
	case WIRE_TYPE_IDLE:
	case WIRE_TYPE_HELD_BACK:
	case WIRE_TYPE_LEASE_ENDED:
	case WIRE_TYPE_EXTENDED:
		c->roam.circle = 0;
		break;
	default:
		c->roam.hops = c->roam.circle = 0;
	}
}

/* Whether it is a new one, which is known from now on.  Each move makes one. */
static bool is_fresh(struct roam *r, struct slice token)
{
	if (token.len != CELL_TOKEN_SIZE)
		return false;
	for (uint32_t i = 0; i < TOKENS_KNOWN && i < r->tokens_count; i++)
		if (memcmp(r->tokens[i], token.data, CELL_TOKEN_SIZE) == 0)
			return false;
	memcpy(r->tokens[r->tokens_count++ % TOKENS_KNOWN], token.data, CELL_TOKEN_SIZE);
	return true;
}

/* The client is to go on in another cell. */
static void go(struct client *c, const struct wire_moved *m, struct slice servers)
{
	struct cell_place *next = &c->roam.next;
	uint8_t *copy = servers.len > 0 ? malloc(servers.len) : NULL;
	if (servers.len > 0 && !copy) {
		client_give_up_memory(c);
		return;
	}
	if (copy)
		memcpy(copy, servers.data, servers.len);
	free(next->servers);
	*next = (struct cell_place){.name_len = m->cell.len,
	    .servers = copy,
	    .servers_len = servers.len,
	    .queue_len = m->queue.len,
	    .token_len = m->token.len};
	memcpy(next->name, m->cell.data, m->cell.len);
	memcpy(next->queue, m->queue.data, m->queue.len);
	if (m->token.len > 0)
		memcpy(next->token, m->token.data, m->token.len);
	c->roam.leaving = true;
	c->roam.fresh = is_fresh(&c->roam, m->token);
}

/* A pinned client's request comes to its end here; another one's is asked for in the other cell. */
static void send_away(struct client *c, struct request *r)
{
	struct request was = *r;
	struct wire_exported none = {.req = was.req, .what = was.states};
	if (!c->config.pinned) {
		r->sent = r->begun = false;
		return;
	}
	client_request_end(r);
	if (was.watch && c->host.watched)
		c->host.watched(c->host.arg, was.req, RMQ_E_ELSEWHERE, 0);
	else if (was.peek && c->host.peek_end)
		c->host.peek_end(c->host.arg, was.req, RMQ_E_ELSEWHERE, false, 0);
	else if (was.bindings && c->host.bindings_end)
		c->host.bindings_end(c->host.arg, was.req, RMQ_E_ELSEWHERE);
	else if (was.ranges && c->host.transferred)
		c->host.transferred(c->host.arg, &(struct wire_transferred){.req = was.req},
		    RMQ_E_ELSEWHERE, false);
	else if (was.history && c->host.history)
		c->host.history(c->host.arg, was.req, RMQ_E_ELSEWHERE, slice_of(NULL, 0),
		    &(struct history_waits){0}, slice_of(NULL, 0));
	else if (was.of_cells && c->host.exported)
		c->host.exported(c->host.arg, &none, RMQ_E_ELSEWHERE);
}

void client_on_moved(struct client *c, struct mono_time now, const struct wire_moved *m)
{
	struct slice servers = slice_of(NULL, 0), base = cells_base(m->queue);
	(void)now;
	(void)tags_find(m->tags, MOVED_TAG_SERVERS, &servers);
	if (!name_valid(m->queue) || !name_valid_node(m->cell) ||
	    (m->token.len > 0 && m->token.len != CELL_TOKEN_SIZE) ||
	    servers.len > CELL_SERVERS_MAX || !text_is_tame(servers)) {
		client_give_up(c, RMQ_E_PROTOCOL, slice_str("the daemon sent a bad MOVED"));
		return;
	}
	if (c->config.pinned && c->host.moved)
		c->host.moved(c->host.arg, m->queue, m->cell, servers, m->token);
	for (size_t i = 0; i < REQUESTS_MAX; i++)
		if (c->requests[i].req && c->requests[i].begun &&
		    same_unit(queue_of_request(&c->requests[i]), base))
			send_away(c, &c->requests[i]);
	for (size_t i = 0; !c->config.pinned && i < SUBSCRIPTIONS_MAX; i++)
		if (same_unit(queue_of_sub(c, &c->subs[i]), base))
			c->subs[i].confirmed = false;
	if (!c->config.pinned && !c->roam.leaving && wants(c, m->queue))
		go(c, m, servers);
}

/* ---- moving queues ---- */

#define ISSUE(c, now, TYPE, name, m, more, tag) \
	do { \
		size_t cap_ = CONTROL_FRAME_MAX + (more); \
		struct client_command *cmd_ = \
		    client_command_new(c, WIRE_TYPE_##TYPE, cap_, (m)->queue, tag); \
		if (!cmd_) \
			return NULL; \
		struct writer w_ = writer_of(cmd_->frame, cap_); \
		wire_put_##name(&w_, m); \
		return client_issue(c, now, cmd_, &w_); \
	} while (0)

const struct client_command *client_move_out(
    struct client *c, struct mono_time now, const struct wire_move_out *m, void *tag)
{
	ISSUE(c, now, MOVE_OUT, move_out, m, m->tags.len, tag);
}

const struct client_command *client_move_in(
    struct client *c, struct mono_time now, const struct wire_move_in *m, void *tag)
{
	ISSUE(c, now, MOVE_IN, move_in, m, m->tags.len, tag);
}

const struct client_command *client_arrive(
    struct client *c, struct mono_time now, const struct wire_arrive *m, void *tag)
{
	ISSUE(c, now, ARRIVE, arrive, m, m->tags.len + m->data.len, tag);
}

const struct client_command *client_arrive_state(
    struct client *c, struct mono_time now, const struct wire_arrive_state *m, void *tag)
{
	ISSUE(c, now, ARRIVE_STATE, arrive_state, m, m->tags.len + m->data.len, tag);
}

/* ---- asking ---- */

static uint32_t ask(struct client *c, struct mono_time now, struct request *r, uint8_t what)
{
	r->of_cells = what;
	client_note_asking(c, now);
	return r->req;
}

uint32_t client_export(struct client *c, struct mono_time now, struct slice queue, uint8_t what,
    uint64_t from, uint32_t limit)
{
	struct request *r = client_request_new(c, queue);
	r->states = what;
	r->from = from;
	r->limit = limit;
	return ask(c, now, r, ASKS_EXPORT);
}

uint32_t client_cells(struct client *c, struct mono_time now)
{
	return ask(c, now, client_request_new(c, slice_of(NULL, 0)), ASKS_CELLS);
}

uint32_t client_places(
    struct client *c, struct mono_time now, struct slice after, uint32_t limit)
{
	struct request *r = client_request_new(c, slice_of(NULL, 0));
	client_request_after(r, after);
	r->limit = limit;
	return ask(c, now, r, ASKS_PLACES);
}

/* The request that a frame answers; NULL: it is of none of that kind. */
static struct request *asked(struct client *c, uint32_t req, enum cells_request what)
{
	struct request *r = client_request_find(c, req);
	return r && r->of_cells == what ? r : NULL;
}

void client_on_exported(struct client *c, struct mono_time now, const struct wire_exported *m)
{
	struct request *r = asked(c, m->req, ASKS_EXPORT);
	if (!r)
		return;
	c->progress = now;
	client_request_end(r);
	if (c->host.exported)
		c->host.exported(c->host.arg, m, client_code(m->code));
}

void client_on_cells_are(struct client *c, struct mono_time now, const struct wire_cells_are *m)
{
	struct request *r = asked(c, m->req, ASKS_CELLS);
	if (!r)
		return;
	c->progress = now;
	client_request_end(r);
	c->copies.count = tags_find_u64(m->tags, CELLS_ARE_TAG_COPIES);
	c->copies.bytes = tags_find_u64(m->tags, CELLS_ARE_TAG_COPY_BYTES);
	if ((m->self.len > 0 && !name_valid_node(m->self)) || m->list.len > CELLS_TEXT_MAX ||
	    !text_is_tame(m->list))
		client_give_up(c, RMQ_E_PROTOCOL, slice_str("the daemon sent a bad CELLS_ARE"));
	else if (c->host.cells_are)
		c->host.cells_are(c->host.arg, m->req, m->self, m->list);
}

struct client_copies client_copies(const struct client *c)
{
	return c->copies;
}

void client_on_place_is(struct client *c, struct mono_time now, const struct wire_place_is *m)
{
	struct request *r = asked(c, m->req, ASKS_PLACES);
	if (!r)
		return;
	if (!name_valid(m->name) || (m->cell.len > 0 && !name_valid_node(m->cell))) {
		client_give_up(c, RMQ_E_PROTOCOL, slice_str("the daemon sent a bad PLACE_IS"));
		return;
	}
	c->progress = now;
	/* Where to go on, should the connection be lost. */
	client_request_after(r, m->name);
	r->limit -= r->limit > 0;
	if (c->host.place_is)
		c->host.place_is(c->host.arg, m);
}

void client_on_places_end(
    struct client *c, struct mono_time now, const struct wire_places_end *m)
{
	struct request *r = asked(c, m->req, ASKS_PLACES);
	if (!r)
		return;
	c->progress = now;
	/* The daemon has not looked at all of them. */
	if (m->more && r->limit > 0 && m->after.len <= sizeof(r->after)) {
		client_request_after(r, m->after);
		r->sent = false;
		return;
	}
	client_request_end(r);
	if (c->host.places_end)
		c->host.places_end(c->host.arg, m->req, m->more != 0);
}
