#include "core/client/placer.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/name.h"
#include "core/base/variant.h"

#define UNITS	   2 /* the queue, and its dead letters */
#define ROUNDS_MAX 8 /* of asking all, until they say twice the same */
#define QUESTIONS  3 /* to each cell: which copies, and whether it has either of these */

enum step {
	ENDED,
	FIRST, /* where H leads */
	ASKS,  /* each cell, H among them, and Y last */
	BEGINS,
	HOLDS, /* each other one that would make the queue */
	FREEZES,
	LOOKS, /* whether it was made before that */
	DECIDES,
	READS, /* where H leads now */
	OPENS,
	LEADS, /* each other cell */
	UNDOES
};

/* What a cell says of the queue. */
enum says {
	SAYS_HERE,     /* it lives here, or would */
	SAYS_AWAY,     /* it has gone from here, with a token */
	SAYS_ELSEWHERE /* it is at home elsewhere, and nothing else is known */
};

/* An answer of a cell, to be compared with the next one. */
struct answer {
	enum says says;
	bool has[UNITS];
	bool copies;
	bool several;
	uint8_t copy[CELL_TOKEN_SIZE];
	uint8_t token[CELL_TOKEN_SIZE];
};

struct seat {
	struct placer *placer;
	struct answer before;
	struct client *client; /* NULL: it is lost */
	enum says says;
	bool has[UNITS];
	bool copies; /* it has some, … */
	bool several;
	uint8_t copy[CELL_TOKEN_SIZE]; /* … this is the first */
	bool moved;		       /* the answer that is awaited said where it is */
	char cell[RAFT_NAME_MAX];      /* AWAY: there */
	size_t cell_len;
	uint8_t token[CELL_TOKEN_SIZE];
	bool held;
};

struct placer {
	struct seat seats[CELLS_MAX];
	const struct cells *cells;
	uint32_t to, home;
	char base[NAME_FULL_MAX];
	size_t base_len;
	char unit_name[NAME_FULL_MAX];
	char to_name[RAFT_NAME_MAX + 1];
	uint8_t token
	    [CELL_TOKEN_SIZE]; /* the copy's, or what only tells this placing from others */
	uint8_t was[CELL_TOKEN_SIZE]; /* what H said first, if it leads elsewhere */
	bool led;		      /* … it does */

	enum step step;
	struct mono_time now;
	uint32_t at;		   /* the seat that is asked, or told */
	uint32_t order[CELLS_MAX]; /* those that are not lost, Y last */
	uint32_t count, k;	   /* … which of them */
	unsigned round;		   /* of asking all, from 0 on */
	bool differs;		   /* … a cell said something else than before */
	unsigned question;
	unsigned unit; /* … about this one */
	uint8_t what;  /* … by EXPORT */
	bool asking;   /* a numbered command is not answered */
	uint32_t req;  /* nor is this request; 0: there is none */
	bool begun;    /* a copy of this placer's own */
	bool adopted;  /* one that was there */

	enum placer_state outcome; /* once it has ended */
	enum placer_placed placed;
	enum rmq_error code;
	uint32_t failed;
	char why[2 * TEXT_MAX + 1];
};

/* ---- asking ---- */

static struct slice base_of(const struct placer *p)
{
	return slice_of(p->base, p->base_len);
}

static struct slice unit_of(struct placer *p, unsigned unit)
{
	size_t len = p->base_len;
	memcpy(p->unit_name, p->base, len);
	if (unit > 0) {
		memcpy(p->unit_name + len, NAME_DEAD_SUFFIX, strlen(NAME_DEAD_SUFFIX));
		len += strlen(NAME_DEAD_SUFFIX);
	}
	return slice_of(p->unit_name, len);
}

static struct seat *y_of(struct placer *p)
{
	return &p->seats[p->to];
}

static struct seat *home_of(struct placer *p)
{
	return &p->seats[p->home];
}

static void ask(struct placer *p, uint32_t at, uint8_t what, unsigned unit)
{
	struct seat *s = &p->seats[at];
	p->at = at;
	p->what = what;
	p->unit = unit;
	s->moved = false;
	p->req = client_export(s->client, p->now, unit_of(p, unit), what, 0, EXPORT_BYTES_MIN);
}

static void tell_in(struct placer *p, enum move_in step, struct slice tags)
{
	p->at = p->to;
	p->asking = true;
	client_move_in(y_of(p)->client, p->now,
	    &(struct wire_move_in){
		0, 0, (uint8_t)step, base_of(p), slice_of(p->token, sizeof(p->token)), tags},
	    (void *)(uintptr_t)p->step);
}

static void tell_out(struct placer *p, uint32_t at, enum move_out step, struct slice tags)
{
	p->at = at;
	p->asking = true;
	client_move_out(p->seats[at].client, p->now,
	    &(struct wire_move_out){0, 0, (uint8_t)step, base_of(p), slice_str(p->to_name),
		slice_of(p->token, sizeof(p->token)), tags},
	    (void *)(uintptr_t)p->step);
}

/* The condition of a FOLLOW, or of an OPEN.  token: NULL: the empty one. */
static struct slice was(uint8_t bytes[4 + CELL_TOKEN_SIZE], uint16_t tag, const uint8_t *token)
{
	struct writer tags = writer_of(bytes, 4 + CELL_TOKEN_SIZE);
	tags_put(&tags, tag, slice_of(token, token ? CELL_TOKEN_SIZE : 0));
	return slice_of(tags.p, tags.len);
}

static void follow(struct placer *p, uint32_t at, const uint8_t *token)
{
	uint8_t bytes[4 + CELL_TOKEN_SIZE];
	tell_out(p, at, MOVE_OUT_FOLLOW, was(bytes, MOVE_OUT_TAG_WAS, token));
}

/* ---- the end ---- */

static void end(struct placer *p, enum placer_state outcome)
{
	p->step = ENDED;
	p->outcome = outcome;
}

/* What is held is let go; the copy is dropped unless somebody may have been told of it. */
static void undo(struct placer *p)
{
	p->outcome = PLACER_FAILED;
	p->step = UNDOES;
	p->req = 0;
	for (uint32_t i = 0; i < p->cells->count; i++)
		if (p->seats[i].held && !client_dead(p->seats[i].client))
			tell_out(p, i, MOVE_OUT_LET_GO, NO_TAGS);
	if (p->begun && p->placed == PLACER_NOT && !client_dead(y_of(p)->client))
		tell_in(p, MOVE_IN_DROP, NO_TAGS);
}

static void fail(struct placer *p, uint32_t at, enum rmq_error code, struct slice text)
{
	if (p->step == ENDED || p->step == UNDOES)
		return;
	p->code = code;
	p->failed = at;
	snprintf(p->why, sizeof(p->why), "%.*s", (int)text.len, (const char *)text.data);
	undo(p);
}

static void changed(struct placer *p, uint32_t at)
{
	fail(p, at, RMQ_E_BUSY,
	    slice_str("the queue was made, moved or placed by somebody else meanwhile"));
}

/* ---- answers ---- */

static void on_done(void *arg, const struct client_command *cmd, struct slice stale)
{
	struct placer *p = ((struct seat *)arg)->placer;
	(void)stale;
	if ((uintptr_t)cmd->tag == p->step)
		p->asking = false;
}

/* Of the step that is under way. */
static void refused(struct placer *p, uint32_t at, enum rmq_error code, struct slice text)
{
	bool other = code == RMQ_E_ELSEWHERE || code == RMQ_E_STALE ||
		     code == RMQ_E_NOT_EMPTY || code == RMQ_E_EXISTS;
	/* It was refused: nobody was told. */
	if (p->step == DECIDES)
		p->placed = PLACER_NOT;
	/* Somebody has opened the copy, and it has gone on from there. */
	if (p->step == OPENS && code == RMQ_E_ELSEWHERE)
		end(p, PLACER_DONE);
	else if (other)
		changed(p, at);
	else
		fail(p, at, code, text);
}

static enum client_verdict on_failed(void *arg, const struct client_command *cmd,
    enum rmq_error code, uint32_t index, struct slice text)
{
	struct seat *s = arg;
	struct placer *p = s->placer;
	(void)index;
	if ((uintptr_t)cmd->tag == p->step)
		p->asking = false;
	if (p->step != UNDOES && p->step != ENDED)
		refused(p, (uint32_t)(s - p->seats), code, text);
	return CLIENT_DROP;
}

static void on_moved(
    void *arg, struct slice queue, struct slice cell, struct slice servers, struct slice token)
{
	struct seat *s = arg;
	struct placer *p = s->placer;
	(void)queue, (void)servers;
	if (p->req == 0 || s != &p->seats[p->at] || cell.len > sizeof(s->cell))
		return;
	s->moved = true;
	memcpy(s->cell, cell.data, cell.len);
	s->cell_len = cell.len;
	s->says = token.len == sizeof(s->token) ? SAYS_AWAY : SAYS_ELSEWHERE;
	if (s->says == SAYS_AWAY)
		memcpy(s->token, token.data, token.len);
}

static void note_copies(struct seat *s, struct slice tokens)
{
	s->copies = tokens.len >= CELL_TOKEN_SIZE;
	s->several = tokens.len >= 2 * CELL_TOKEN_SIZE;
	if (s->copies)
		memcpy(s->copy, tokens.data, CELL_TOKEN_SIZE);
}

static void on_exported(void *arg, const struct wire_exported *e, enum rmq_error code)
{
	struct seat *s = arg;
	struct placer *p = s->placer;
	bool here = code == RMQ_E_OK || code == RMQ_E_NO_QUEUE || code == RMQ_E_PAUSED;
	if (e->req != p->req || s != &p->seats[p->at])
		return;
	p->req = 0;
	if (!here && !(code == RMQ_E_ELSEWHERE && s->moved)) {
		fail(p, p->at, code, slice_str(error_text(code)));
		return;
	}
	if (p->what == WITH_COPY) {
		note_copies(s, e->data);
		return;
	}
	if (here)
		s->says = SAYS_HERE;
	s->has[p->unit] = code == RMQ_E_OK;
}

static void on_fatal(void *arg, enum rmq_error code, struct slice text)
{
	struct seat *s = arg;
	fail(s->placer, (uint32_t)(s - s->placer->seats), code, text);
}

/* ---- what all have said ---- */

static bool has(const struct seat *s)
{
	return s->has[0] || s->has[1];
}

static void add(struct placer *p, size_t *len, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void add(struct placer *p, size_t *len, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	int n = vsnprintf(p->why + *len, sizeof(p->why) - *len, format, ap);
	va_end(ap);
	*len += (size_t)n < sizeof(p->why) - *len ? (size_t)n : sizeof(p->why) - *len - 1;
}

/* What would not be found any more, though it may hold messages; all cells that have some are named. */
static bool is_elsewhere(struct placer *p)
{
	size_t len = 0;
	for (uint32_t i = 0; i < p->cells->count; i++) {
		const struct seat *s = &p->seats[i];
		struct slice name = cells_name(p->cells, i);
		bool here = i != p->to && (has(s) || s->copies);
		if (!s->client || (!here && !(i == p->to && s->several && !has(s))))
			continue;
		add(p, &len, "%scell %.*s has %s", len > 0 ? ", " : "", (int)name.len,
		    name.data,
		    has(s)	 ? "such a queue"
		    : s->several ? "copies of it"
				 : "a copy of it");
	}
	return len > 0 && !RMQ_VARIANT(PLACER_UNASKED);
}

static void judge(struct placer *p)
{
	struct seat *y = y_of(p);
	uint8_t bytes[4 + CELL_TOKEN_SIZE];
	if (is_elsewhere(p)) {
		p->code = RMQ_E_EXISTS;
		p->failed = CELLS_NONE;
		undo(p);
		return;
	}
	p->step = BEGINS;
	if (y->copies && !has(y)) {
		memcpy(p->token, y->copy, sizeof(p->token));
		p->adopted = true;
	} else if (has(y) || (y->says == SAYS_HERE && p->to != p->home)) {
		tell_in(p, MOVE_IN_OPEN, was(bytes, MOVE_IN_TAG_WAS, NULL));
	} else if (y->says != SAYS_HERE) {
		p->begun = true;
		tell_in(p, MOVE_IN_BEGIN, NO_TAGS);
	}
}

/* ---- steps ---- */

static void leads_nowhere(struct placer *p)
{
	fail(p, p->home, RMQ_E_CONFIG,
	    slice_str("the queue is at home there by this list of cells, and not by its own"));
}

/* What a cell says now, which is kept; whether it is what it said before. */
static bool says_again(struct seat *s)
{
	struct answer is = {.says = s->says, .copies = s->copies, .several = s->several};
	struct answer *was = &s->before;
	memcpy(is.has, s->has, sizeof(is.has));
	if (s->copies)
		memcpy(is.copy, s->copy, sizeof(is.copy));
	if (s->says == SAYS_AWAY)
		memcpy(is.token, s->token, sizeof(is.token));
	bool same = was->says == is.says && was->has[0] == is.has[0] &&
		    was->has[1] == is.has[1] && was->copies == is.copies &&
		    was->several == is.several &&
		    memcmp(was->copy, is.copy, sizeof(is.copy)) == 0 &&
		    memcmp(was->token, is.token, sizeof(is.token)) == 0;
	*was = is;
	return same;
}

/*
 * While one cell after the other is asked the queue may go from one that is still to be asked to one that was.  If all say
 * twice the same, all said so at one moment between: no place comes back to what it was, as each has a token.
 */
static bool another_round(struct placer *p)
{
	bool again = p->round == 0 || p->differs;
	if (!again || RMQ_VARIANT(PLACER_ONCE))
		return false;
	p->k = 0;
	p->differs = false;
	return true;
}

static void ask_next(struct placer *p)
{
	static const uint8_t what[QUESTIONS] = {WITH_COPY, WITH_SETTINGS, WITH_SETTINGS};
	p->step = ASKS;
	if (p->k == p->count && another_round(p) && p->round++ == ROUNDS_MAX) {
		changed(p, p->home);
		return;
	}
	if (p->k == p->count)
		judge(p);
	else
		ask(p, p->order[p->k], what[p->question], p->question == QUESTIONS - 1);
}

/* An answer of a cell is here. */
static void asked(struct placer *p)
{
	const struct seat *h = home_of(p);
	bool led = h->says == SAYS_AWAY;
	if (p->at == p->home &&
	    (led != p->led || (led && memcmp(h->token, p->was, sizeof(p->was)) != 0))) {
		changed(p, p->at);
		return;
	}
	if (++p->question == QUESTIONS) {
		p->question = 0;
		p->differs |= !says_again(&p->seats[p->at]);
		p->k++;
	}
	ask_next(p);
}

static void decide(struct placer *p)
{
	uint8_t bytes[4 + CELL_TOKEN_SIZE];
	p->step = DECIDES;
	p->placed = PLACER_UNKNOWN;
	if (home_of(p)->held)
		tell_out(p, p->home, MOVE_OUT_GONE, NO_TAGS);
	else if (p->to == p->home && p->led)
		tell_in(p, MOVE_IN_OPEN, was(bytes, MOVE_IN_TAG_WAS, p->was));
	else if (p->to != p->home)
		follow(p, p->home, p->was);
}

/* Those that say it is there, but for Y. */
static void hold_next(struct placer *p)
{
	for (; p->k < p->count; p->k++) {
		struct seat *s = &p->seats[p->order[p->k]];
		if (s == y_of(p) || s->says != SAYS_HERE)
			continue;
		p->step = HOLDS;
		s->held = true;
		tell_out(p, p->order[p->k], MOVE_OUT_HOLD, NO_TAGS);
		return;
	}
	decide(p);
}

/* It takes nothing any more; what was made before that is seen. */
static void looked(struct placer *p)
{
	const struct seat *s = &p->seats[p->at];
	if ((s->says != SAYS_HERE || has(s)) && !RMQ_VARIANT(PLACER_UNLOOKED)) {
		changed(p, p->at);
	} else if (p->question == 1) {
		p->question = 2;
		ask(p, p->at, WITH_SETTINGS, 1);
	} else {
		p->k++;
		hold_next(p);
	}
}

static void lead_next(struct placer *p)
{
	for (; p->k < p->count; p->k++) {
		uint32_t at = p->order[p->k];
		struct seat *s = &p->seats[at];
		bool there = slice_eq(slice_of(s->cell, s->cell_len), slice_str(p->to_name));
		if (at == p->to || at == p->home ||
		    (!s->held && (s->says != SAYS_AWAY || there)))
			continue;
		p->step = LEADS;
		if (s->held)
			tell_out(p, at, MOVE_OUT_GONE, NO_TAGS);
		else
			follow(p, at, s->token);
		return;
	}
	end(p, PLACER_DONE);
}

/* It lives in Y.  A copy there is opened, unless that is what has decided. */
static void placed(struct placer *p)
{
	bool opened = p->to == p->home && p->led;
	home_of(p)->held = false;
	p->placed = PLACER_PLACED;
	p->k = 0;
	p->step = OPENS;
	if ((p->begun || p->adopted) && !opened)
		tell_in(p, MOVE_IN_OPEN, NO_TAGS);
}

/* Where H leads after FOLLOW. */
static void read_back(struct placer *p)
{
	const struct seat *h = home_of(p);
	bool ours = h->says == SAYS_AWAY &&
		    slice_eq(slice_of(h->cell, h->cell_len), slice_str(p->to_name)) &&
		    memcmp(h->token, p->token, sizeof(p->token)) == 0;
	if (ours || RMQ_VARIANT(PLACER_UNREAD)) {
		placed(p);
		return;
	}
	p->placed = PLACER_NOT;
	changed(p, p->home);
}

static bool quiet(const struct placer *p)
{
	for (uint32_t i = 0; i < p->cells->count; i++) {
		const struct client *c = p->seats[i].client;
		if (c && !client_dead(c) && client_unanswered(c) > 0)
			return false;
	}
	return true;
}

/* The answer that `step` waited for is here. */
static void go_on(struct placer *p)
{
	switch (p->step) {
	case FIRST:
		p->led = home_of(p)->says == SAYS_AWAY;
		memcpy(p->was, home_of(p)->token, sizeof(p->was));
		if (home_of(p)->says == SAYS_ELSEWHERE)
			leads_nowhere(p);
		else
			ask_next(p);
		break;
	case ASKS:
		asked(p);
		break;
	case BEGINS:
		p->k = 0;
		hold_next(p);
		break;
	case HOLDS:
		p->step = FREEZES;
		tell_out(p, p->at, MOVE_OUT_FREEZE, NO_TAGS);
		break;
	case FREEZES:
		p->step = LOOKS;
		p->question = 1;
		ask(p, p->at, WITH_SETTINGS, 0);
		break;
	case LOOKS:
		looked(p);
		break;
	case DECIDES:
		if (p->to == p->home || home_of(p)->held) {
			placed(p);
		} else {
			p->step = READS;
			ask(p, p->home, WITH_SETTINGS, 0);
		}
		break;
	case READS:
		read_back(p);
		break;
	case OPENS:
		lead_next(p);
		break;
	case LEADS:
		p->seats[p->at].held = false;
		p->k++;
		lead_next(p);
		break;
	case UNDOES:
	case ENDED:
		break;
	}
}

/* ---- the host's side ---- */

struct placer *placer_new(const struct placer_config *config)
{
	struct placer *p = calloc(1, sizeof(*p));
	struct slice to = cells_name(config->cells, config->to);
	assert(config->queue.len + strlen(NAME_DEAD_SUFFIX) <= NAME_FULL_MAX);
	if (!p)
		return NULL;
	p->cells = config->cells;
	p->to = config->to;
	p->home = cells_home(config->cells, config->queue);
	memcpy(p->base, config->queue.data, config->queue.len);
	p->base_len = config->queue.len;
	memcpy(p->to_name, to.data, to.len);
	for (uint32_t i = 0; i < p->cells->count; i++)
		p->seats[i].placer = p;
	return p;
}

void placer_free(struct placer *p)
{
	free(p);
}

struct client_host placer_host(struct placer *p, uint32_t i)
{
	return (struct client_host){.arg = &p->seats[i],
	    .done = on_done,
	    .failed = on_failed,
	    .moved = on_moved,
	    .exported = on_exported,
	    .fatal = on_fatal};
}

void placer_begin(
    struct placer *p, struct mono_time now, struct client *const *clients, const uint8_t *token)
{
	assert(p->step == ENDED && clients[p->to] && clients[p->home]);
	memcpy(p->token, token, sizeof(p->token));
	p->now = now;
	for (uint32_t i = 0; i < p->cells->count; i++) {
		p->seats[i].client = clients[i];
		if (clients[i] && i != p->to)
			p->order[p->count++] = i;
	}
	p->order[p->count++] = p->to;
	p->step = FIRST;
	ask(p, p->home, WITH_SETTINGS, 0);
}

void placer_turn(struct placer *p, struct mono_time now)
{
	p->now = now;
	while (p->step != ENDED && p->step != UNDOES && !p->asking && p->req == 0)
		go_on(p);
	if (p->step == UNDOES && quiet(p))
		end(p, p->outcome);
}

enum placer_state placer_state(const struct placer *p)
{
	return p->step == ENDED ? p->outcome : PLACER_GOES;
}

enum rmq_error placer_error(const struct placer *p, struct slice *text, uint32_t *cell)
{
	*text = slice_str(p->why);
	*cell = p->failed;
	return p->code;
}

enum placer_placed placer_placed(const struct placer *p)
{
	return p->placed;
}

bool placer_opened(const struct placer *p)
{
	return p->adopted && p->placed == PLACER_PLACED;
}
