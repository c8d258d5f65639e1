#include "life.h"

#include <string.h>

#include "core/base/units.h"
#include "core/client/envelope.h"
#include "core/wire/receipt.h"
#include "core/wire/wire.h"

/* The next one: a lease that was extended time after time is one.  false: there is none. */
static bool next(struct reader *r, struct history_entry *e)
{
	struct history_entry more;
	if (reader_left(r) == 0)
		return false;
	history_entry_get(r, e);
	for (struct reader ahead = *r; reader_left(&ahead) > 0; *r = ahead) {
		history_entry_get(&ahead, &more);
		if (e->what != HISTORY_EXTENDED || more.what != e->what ||
		    more.lease != e->lease)
			break;
		more.times += e->times;
		*e = more;
	}
	return !r->bad;
}

static const char *word_of(const struct history_entry *e)
{
	const char *word = history_word(e->what);
	return word ? word : "?";
}

static const char *state_of(const struct history_entry *e)
{
	return e->state == STATE_READY	   ? "ready"
	       : e->state == STATE_LEASED  ? "leased"
	       : e->state == STATE_DELAYED ? "delayed"
					   : "gone";
}

static void put_time(struct text *out, uint64_t ms)
{
	char text[UNITS_TEXT_MAX];
	text_put(out, text, units_print_time(text, (struct wall_time){ms}));
}

/* Which message it was, or is, in another queue. */
static void put_other(struct text *out, const struct history_entry *e)
{
	char text[RECEIPT_MAX];
	text_put(out, text, receipt_print_id(text, e->queue, e->seq));
}

/* ---- lines ---- */

/* Each detail after a comma but the first. */
static void detail(struct text *out, size_t begin, const char *words)
{
	text_put_str(out, out->len > begin ? ", " : "");
	text_put_str(out, words);
}

static void number(struct text *out, size_t begin, const char *words, uint64_t n)
{
	detail(out, begin, words);
	text_put_u64(out, n);
}

static void put_details(struct text *out, const struct history_entry *e)
{
	size_t begin = out->len;
	bool counts = e->what == HISTORY_FAILED || e->what == HISTORY_ENDED ||
		      e->what == HISTORY_FOUND || e->what == HISTORY_ARRIVED;
	if (e->what == HISTORY_FOUND)
		detail(out, begin, state_of(e));
	if (e->lease > 0)
		number(out, begin, "lease ", e->lease);
	if (e->attempt > 0 && (e->what == HISTORY_LEASED || e->what == HISTORY_FOUND))
		number(out, begin, "attempt ", e->attempt);
	if (e->failures > 0 && counts)
		number(out, begin, "failures ", e->failures);
	if (e->times > 1)
		number(out, begin, "times ", e->times);
	if (e->until_ms > 0) {
		detail(out, begin, "until ");
		put_time(out, e->until_ms);
	}
	if (e->queue.len > 0) {
		detail(out, begin, e->what == HISTORY_ARRIVED ? "from " : "to ");
		put_other(out, e);
	}
	if (e->note.len > 0) {
		detail(out, begin, "");
		text_put_slice(out, e->note);
	}
	if (e->what == HISTORY_UNKNOWN)
		number(out, begin, "record ", e->record);
	if (out->len == begin)
		text_put_char(out, '-');
	text_tame(out->data + begin, out->len - begin);
}

static void put_line(struct text *out, const struct history_entry *e)
{
	if (e->time_ms > 0)
		put_time(out, e->time_ms);
	else
		text_put_char(out, '-');
	text_put_char(out, '\t');
	text_put_str(out, word_of(e));
	text_put_char(out, '\t');
	put_details(out, e);
	text_put_char(out, '\n');
}

void life_lines(struct text *out, struct slice entries)
{
	struct reader r = reader_of(entries);
	struct history_entry e;
	while (next(&r, &e))
		put_line(out, &e);
}

/* ---- JSON ---- */

static void member(struct text *out, const char *name)
{
	text_put_str(out, ",\"");
	text_put_str(out, name);
	text_put_str(out, "\":");
}

static void put_member_time(struct text *out, uint64_t ms)
{
	if (ms == 0) {
		text_put_str(out, "null");
		return;
	}
	text_put_char(out, '"');
	put_time(out, ms);
	text_put_char(out, '"');
}

static void put_object(struct text *out, const struct history_entry *e)
{
	text_put_str(out, "{\"time\":");
	put_member_time(out, e->time_ms);
	member(out, "what");
	envelope_put_string(out, slice_str(word_of(e)));
	member(out, "state");
	envelope_put_string(out, slice_str(e->what == HISTORY_UNKNOWN ? "?" : state_of(e)));
	member(out, "lease");
	if (e->lease > 0)
		text_put_u64(out, e->lease);
	else
		text_put_str(out, "null");
	member(out, "until");
	put_member_time(out, e->until_ms);
	member(out, "attempt");
	text_put_u64(out, e->attempt);
	member(out, "failures");
	text_put_u64(out, e->failures);
	member(out, "times");
	text_put_u64(out, e->times > 0 ? e->times : 1);
	member(out, "message");
	if (e->queue.len > 0) {
		text_put_char(out, '"');
		put_other(out, e);
		text_put_char(out, '"');
	} else {
		text_put_str(out, "null");
	}
	member(out, "note");
	if (e->note.len > 0)
		envelope_put_string(out, e->note);
	else
		text_put_str(out, "null");
	member(out, "record");
	text_put_u64(out, e->record);
	text_put_char(out, '}');
}

void life_json(struct text *out, struct slice entries)
{
	struct reader r = reader_of(entries);
	struct history_entry e;
	const char *before = "";
	out->len -= out->len >= 2 ? 2 : 0;
	text_put_str(out, ",\"history\":[");
	for (; next(&r, &e); before = ",") {
		text_put_str(out, before);
		put_object(out, &e);
	}
	text_put_str(out, "]}\n");
}
