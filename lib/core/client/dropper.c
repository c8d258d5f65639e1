#include "core/client/dropper.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/variant.h"

#define TOKENS_MAX  64 /* of copies; a cell has fewer of one queue */
#define STATE_BYTES 32768u

enum step { FINDS, WAITS, HOLDS, LETS_GO, OPENS, DROPS, ENDED };

struct side {
	struct dropper *dropper;
	struct client *client;
};

struct dropper {
	struct side sides[2];
	char queue[NAME_FULL_MAX];
	size_t queue_len;
	char cell[RAFT_NAME_MAX + 1];
	uint32_t others; /* that are still to be asked */
	uint8_t token[CELL_TOKEN_SIZE];
	uint8_t tokens[TOKENS_MAX * CELL_TOKEN_SIZE]; /* of the copies */
	size_t tokens_len;
	uint32_t dropped;

	enum step step;
	struct mono_time now;
	bool asking;  /* a command of `step` is not answered */
	uint32_t req; /* nor is this request; 0: there is none */
	bool gone;    /* Z has let go to one of them, with … */
	uint8_t with[CELL_TOKEN_SIZE];

	enum dropper_state outcome;
	enum rmq_error code;
	enum dropper_side failed;
	char why[TEXT_MAX + 1];
};

static struct slice queue_of(const struct dropper *d)
{
	return slice_of(d->queue, d->queue_len);
}

static void end(struct dropper *d, enum dropper_state outcome)
{
	d->step = ENDED;
	d->outcome = outcome;
}

static void fail(
    struct dropper *d, const struct side *s, enum rmq_error code, struct slice text)
{
	if (d->step == ENDED)
		return;
	d->code = code;
	d->failed = s == &d->sides[DROPPER_Y] ? DROPPER_Y : DROPPER_Z;
	snprintf(d->why, sizeof(d->why), "%.*s", (int)text.len, (const char *)text.data);
	end(d, DROPPER_FAILED);
}

/* ---- asking ---- */

static void move_in(struct dropper *d, enum move_in step, const uint8_t *token)
{
	client_move_in(d->sides[DROPPER_Y].client, d->now,
	    &(struct wire_move_in){
		0, 0, (uint8_t)step, queue_of(d), slice_of(token, CELL_TOKEN_SIZE), NO_TAGS},
	    NULL);
	d->asking = true;
}

static void move_out(struct dropper *d, enum move_out step)
{
	client_move_out(d->sides[DROPPER_Z].client, d->now,
	    &(struct wire_move_out){0, 0, (uint8_t)step, queue_of(d), slice_str(d->cell),
		slice_of(d->token, sizeof(d->token)), NO_TAGS},
	    NULL);
	d->asking = true;
}

/* ---- answers ---- */

static void on_done(void *arg, const struct client_command *cmd, struct slice stale)
{
	struct dropper *d = ((struct side *)arg)->dropper;
	(void)cmd, (void)stale;
	d->asking = false;
}

static enum client_verdict on_failed(void *arg, const struct client_command *cmd,
    enum rmq_error code, uint32_t at, struct slice text)
{
	struct side *s = arg;
	struct dropper *d = s->dropper;
	(void)cmd, (void)at;
	d->asking = false;
	if (d->step == HOLDS && code == RMQ_E_ELSEWHERE) {
		/* The queue is not there, so that nobody holds it: there is nothing to be let go. */
		d->step = LETS_GO;
	} else if (d->step == OPENS && code == RMQ_E_ELSEWHERE) {
		/* Somebody has opened it, and it has gone on from there. */
	} else {
		fail(d, s, code, text);
	}
	return CLIENT_DROP;
}

static void on_moved(
    void *arg, struct slice queue, struct slice cell, struct slice servers, struct slice token)
{
	struct side *s = arg;
	struct dropper *d = s->dropper;
	(void)queue, (void)servers;
	if (s != &d->sides[DROPPER_Z] || !slice_eq(cell, slice_str(d->cell)) ||
	    token.len != CELL_TOKEN_SIZE || RMQ_VARIANT(DROP_GONE))
		return;
	for (size_t at = 0; at < d->tokens_len; at += CELL_TOKEN_SIZE) {
		if (!slice_eq(slice_of(d->tokens + at, CELL_TOKEN_SIZE), token))
			continue;
		memcpy(d->with, token.data, token.len);
		d->gone = true;
	}
}

static void on_exported(void *arg, const struct wire_exported *e, enum rmq_error code)
{
	struct side *s = arg;
	struct dropper *d = s->dropper;
	if (e->req != d->req)
		return;
	d->req = 0;
	if (code) {
		fail(d, s, code, slice_str(error_text(code)));
		return;
	}
	size_t len = e->data.len < sizeof(d->tokens) ? e->data.len : sizeof(d->tokens);
	d->tokens_len = len - len % CELL_TOKEN_SIZE;
	if (d->tokens_len > 0)
		memcpy(d->tokens, e->data.data, d->tokens_len);
}

static void on_fatal(void *arg, enum rmq_error code, struct slice text)
{
	struct side *s = arg;
	struct dropper *d = s->dropper;
	/* A cell that has been asked is needed no more. */
	if (s == &d->sides[DROPPER_Y] || d->step == HOLDS || d->step == LETS_GO)
		fail(d, s, code, text);
}

/* ---- steps ---- */

/* The next cell, or the end of it. */
static void go_round(struct dropper *d)
{
	if (d->others > 0 && !RMQ_VARIANT(DROP_UNASKED))
		d->step = WAITS;
	else
		d->step = DROPS;
}

static bool go_on(struct dropper *d)
{
	switch (d->step) {
	case FINDS:
		if (d->tokens_len == 0)
			end(d, DROPPER_NONE);
		else
			go_round(d);
		return true;
	case HOLDS:
		d->step = LETS_GO;
		move_out(d, MOVE_OUT_LET_GO);
		return true;
	case LETS_GO:
		go_round(d);
		if (d->gone) {
			d->step = OPENS;
			move_in(d, MOVE_IN_OPEN, d->with);
		}
		return true;
	case OPENS:
		end(d, DROPPER_OPENED);
		return true;
	case DROPS:
		if (d->dropped * CELL_TOKEN_SIZE == d->tokens_len)
			end(d, DROPPER_DONE);
		else
			move_in(d, MOVE_IN_DROP, d->tokens + CELL_TOKEN_SIZE * d->dropped++);
		return true;
	case WAITS:
	case ENDED:
		break;
	}
	return false;
}

/* ---- the host's side ---- */

struct dropper *dropper_new(const struct dropper_config *config)
{
	struct dropper *d = calloc(1, sizeof(*d));
	assert(config->queue.len <= NAME_FULL_MAX);
	if (!d)
		return NULL;
	memcpy(d->queue, config->queue.data, config->queue.len);
	d->queue_len = config->queue.len;
	d->others = config->others;
	for (unsigned i = 0; i < 2; i++)
		d->sides[i].dropper = d;
	snprintf(d->cell, sizeof(d->cell), "%.*s", (int)config->cell.len,
	    (const char *)config->cell.data);
	return d;
}

void dropper_free(struct dropper *d)
{
	free(d);
}

struct client_host dropper_host(struct dropper *d, enum dropper_side side)
{
	return (struct client_host){.arg = &d->sides[side],
	    .done = on_done,
	    .failed = on_failed,
	    .moved = on_moved,
	    .exported = on_exported,
	    .fatal = on_fatal};
}

void dropper_begin(
    struct dropper *d, struct mono_time now, struct client *y, const uint8_t *token)
{
	d->sides[DROPPER_Y].client = y;
	d->now = now;
	memcpy(d->token, token, sizeof(d->token));
	d->step = FINDS;
	d->req = client_export(y, now, queue_of(d), WITH_COPY, 0, STATE_BYTES);
}

void dropper_ask(struct dropper *d, struct mono_time now, struct client *z)
{
	assert(d->step == WAITS && d->others > 0);
	d->others--;
	d->sides[DROPPER_Z].client = z;
	d->now = now;
	d->step = HOLDS;
	move_out(d, MOVE_OUT_HOLD);
}

void dropper_turn(struct dropper *d, struct mono_time now)
{
	d->now = now;
	while (!d->asking && d->req == 0 && go_on(d))
		;
}

enum dropper_state dropper_state(const struct dropper *d)
{
	if (d->step == ENDED)
		return d->outcome;
	return d->step == WAITS ? DROPPER_NEXT : DROPPER_GOES;
}

uint32_t dropper_count(const struct dropper *d)
{
	return d->dropped;
}

enum rmq_error dropper_error(
    const struct dropper *d, struct slice *text, enum dropper_side *side)
{
	*side = d->failed;
	*text = slice_str(d->why);
	return d->code;
}
