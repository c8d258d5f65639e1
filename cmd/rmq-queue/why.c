#include "why.h"

#include <string.h>

#include "core/client/queue_columns.h"
#include "life.h"
#include "core/base/units.h"
#include "core/wire/receipt.h"

static const char *const names[] = {"id", "state", "time", "attempt", "failures", "receipt",
    "until", "dead-letter", "note", "waits"};
enum { ID, STATE, TIME, ATTEMPT, FAILURES, RECEIPT, UNTIL, DEAD_LETTER, NOTE, WAITS, COLUMNS };

struct why {
	struct admin *admin;
	const char *id;
	uint64_t seq;
	char queue[NAME_FULL_MAX + 1];
	uint64_t next_seq;
	struct text dead_queue; /* of its queue; empty: it has none */
	/* what was found, in its queue or among the dead letters of that */
	bool found;
	bool dead;
	uint64_t dead_seq;
	struct text note;
	struct envelope e;
};

static bool parse_id(struct why *w, const char *id)
{
	struct slice queue;
	if (!receipt_parse_id(slice_str(id), &queue, &w->seq))
		return false;
	memcpy(w->queue, queue.data, queue.len);
	w->queue[queue.len] = '\0';
	w->id = id;
	return true;
}

static void on_row(void *arg, const struct wire_listed *row)
{
	struct why *w = arg;
	w->next_seq = row->next_seq;
	queue_columns_put_dead_letter(&w->dead_queue, row);
}

static void keep(struct why *w, const struct envelope *e)
{
	w->found = true;
	w->e = *e;
	text_put_slice(&w->note, e->note);
}

static void on_message(void *arg, const struct client_delivery *d)
{
	struct why *w = arg;
	struct envelope_cursors cursors = {0};
	if (d->first_seq != w->seq)
		return;
	struct envelope e = envelope_of(d, slice_str(w->queue), 0, &cursors);
	keep(w, &e);
}

/* Its note begins with the message's id, if it is that dead letter. */
static void on_dead(void *arg, const struct client_delivery *d)
{
	struct why *w = arg;
	struct envelope_cursors cursors = {0};
	size_t len = strlen(w->id);
	for (uint32_t i = 0; i < d->count && !w->found; i++) {
		struct envelope e = envelope_of(d, slice_str(w->queue), i, &cursors);
		if (e.note.len <= len || memcmp(e.note.data, w->id, len) != 0 ||
		    e.note.data[len] != ' ')
			continue;
		w->dead = true;
		w->dead_seq = e.seq;
		keep(w, &e);
	}
}

static enum rmq_error look(struct why *w)
{
	struct admin *a = w->admin;
	a->row = on_row;
	a->message = on_message;
	a->arg = w;
	enum rmq_error err = admin_list_one(a, w->queue);
	text_put_char(&w->dead_queue, '\0');
	if (!err && (!a->fields || strstr(a->fields, names[WAITS])))
		err = admin_history(a, w->queue, w->seq);
	if (!err && w->next_seq == 0)
		return a->entries.len > 0 ? err : admin_no_queue(a, w->queue);
	a->about = w->id;
	if (!err && w->seq >= w->next_seq)
		return admin_fail(a, RMQ_E_NO_MESSAGE, "%s: no message has had this number yet",
		    error_text(RMQ_E_NO_MESSAGE));
	if (!err)
		err = admin_peek(a, w->queue, STATES, w->seq, 1);
	if (err || w->found || w->dead_queue.len <= 1)
		return err;
	w->next_seq = 0;
	err = admin_list_one(a, w->dead_queue.data);
	a->message = on_dead;
	a->next = 0;
	/* There may be no dead letters yet. */
	if (!err && w->next_seq > 0)
		do
			err = admin_peek(a, w->dead_queue.data, STATES, a->next, LIST_ROWS_MAX);
		while (!err && a->more && !w->found);
	return err;
}

/* ---- the table ---- */

static const char *name(unsigned column)
{
	return names[column];
}

static const char *state_of(const struct why *w)
{
	if (!w->found)
		return "gone";
	if (w->dead)
		return "dead";
	return w->e.state == STATE_LEASED    ? "leased"
	       : w->e.state == STATE_DELAYED ? "delayed"
					     : "ready";
}

static void put_time(struct text *out, struct wall_time t)
{
	char text[UNITS_TEXT_MAX];
	if (t.ms > 0)
		text_put(out, text, units_print_time(text, t));
}

/* For an older message of its key. */
static void put_key(struct text *out, const struct why *w, const struct history_waits *waits)
{
	char text[RECEIPT_MAX];
	struct receipt r = {slice_str(w->queue), waits->seq, waits->lease};
	text_put_str(out, "key: ");
	text_put(out, text, receipt_print_id(text, slice_str(w->queue), waits->seq));
	text_put_str(out, waits->state == STATE_LEASED	  ? " is leased, receipt "
			  : waits->state == STATE_DELAYED ? " is delayed"
							  : " comes first");
	if (waits->state == STATE_LEASED)
		text_put(out, text, receipt_print(text, &r));
}

/* A word, and what more is known of it. */
static void put_waits(struct text *out, const struct why *w)
{
	static const char *const words[] = {[WAITS_DELAY] = "delay: it was sent with one",
	    [WAITS_BACK_OFF] = "back-off: it was given back, or failed",
	    [WAITS_PAUSED] = "paused: the queue is, or it moves to another cell",
	    [WAITS_INFLIGHT] = "max-inflight: the limit is reached, ",
	    [WAITS_RATE] = "rate: that of the queue, until ",
	    [WAITS_RECEIVER] = "receiver: there is none",
	    [WAITS_CREDIT] = "receiver: none asks for more",
	    [WAITS_ITS_RECEIVER] = "receiver: that of its key asks for no more",
	    [WAITS_TURN] = "turn: others come first"};
	const struct history_waits *waits = &w->admin->waits;
	if (w->dead || waits->why == 0 || waits->why >= sizeof(words) / sizeof(*words))
		return;
	if (waits->why == WAITS_KEY)
		put_key(out, w, waits);
	else
		text_put_str(out, words[waits->why]);
	if (waits->why == WAITS_INFLIGHT)
		text_put_u64(out, waits->limit);
	if (waits->why == WAITS_RATE)
		put_time(out, (struct wall_time){waits->until_ms});
}

static enum table_kind put(struct text *out, unsigned column, const void *row)
{
	const struct why *w = row;
	char text[RECEIPT_MAX];
	struct receipt r = {slice_str(w->queue), w->seq, w->e.lease};
	switch (column) {
	case ID:
		text_put_str(out, w->id);
		return TABLE_TEXT;
	case STATE:
		text_put_str(out, state_of(w));
		return TABLE_TEXT;
	case DEAD_LETTER:
		if (w->dead)
			text_put(out, text,
			    receipt_print_id(text, slice_str(w->dead_queue.data), w->dead_seq));
		return TABLE_TEXT;
	}
	if (!w->found)
		return TABLE_TEXT;
	switch (column) {
	case TIME:
		put_time(out, w->e.time);
		return TABLE_TEXT;
	case ATTEMPT:
		text_put_u64(out, w->e.attempt);
		return TABLE_NUMBER;
	case FAILURES:
		text_put_u64(out, w->e.failures);
		return TABLE_NUMBER;
	case RECEIPT:
		if (w->e.lease > 0 && !w->dead)
			text_put(out, text, receipt_print(text, &r));
		return TABLE_TEXT;
	case UNTIL:
		put_time(out, w->e.until);
		return TABLE_TEXT;
	case WAITS:
		put_waits(out, w);
		return TABLE_TEXT;
	}
	text_put(out, w->note.data, w->note.len);
	return TABLE_TEXT;
}

const struct table_columns columns_of_why = {COLUMNS, name, put};

enum rmq_error why_run(struct admin *a, const char *id, struct table *table, struct text *out)
{
	struct why w = {.admin = a};
	if (!parse_id(&w, id))
		return admin_fail(a, RMQ_E_USAGE, "'%s' is not an id, QUEUE:NUMBER", id);
	enum rmq_error err = look(&w);
	struct slice life = slice_of(a->entries.data, a->entries.len);
	if (!err && table->json) {
		table_row(table, out, &w);
		if (!a->fields)
			life_json(out, life);
	} else if (!err) {
		table_lines(table, out, &w);
		if (!a->fields)
			life_lines(out, life);
	}
	text_deinit(&a->entries);
	text_deinit(&w.note);
	text_deinit(&w.dead_queue);
	return err;
}
