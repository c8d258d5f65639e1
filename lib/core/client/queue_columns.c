#include "core/client/queue_columns.h"

#include <string.h>

#include "core/base/name.h"
#include "core/base/units.h"
#include "core/wire/event.h"

enum kind {
	NAME,
	COUNT,
	DURATION,
	BACKOFF,
	DEAD_LETTER,
	LIMIT,
	TAG,
	MORE,
	DROPS,
	/* of settings */
	KIND_OF_LEASE = DURATION,
	KIND_OF_MAX_ATTEMPTS = COUNT,
	KIND_OF_BACKOFF = BACKOFF,
	KIND_OF_MAX_BYTES = LIMIT,
	KIND_OF_MAX_MESSAGE = COUNT,
	KIND_OF_DEAD_LETTER = DEAD_LETTER
};

static const struct {
	const char *name;
	enum kind kind;
	size_t offset; /* MORE: its bit; DROPS: why; TAG: which */
	size_t size;
} columns[] = {
#define COLUMN(name, kind, member) \
	{ \
		name, kind, offsetof(struct wire_listed, member), \
		    sizeof(((struct wire_listed *)0)->member) \
	}
    COLUMN("queue", NAME, queue), COLUMN("ready", COUNT, ready),
    COLUMN("leased", COUNT, leased), COLUMN("delayed", COUNT, delayed),
    COLUMN("bytes", COUNT, bytes), COLUMN("receivers", COUNT, receivers),
    COLUMN("sent", COUNT, sent), COLUMN("delivered", COUNT, delivered),
    COLUMN("settled", COUNT, settled), COLUMN("failed", COUNT, failed),
    COLUMN("dead", COUNT, dead), COLUMN("next-seq", COUNT, next_seq),
#define X(NAME, word, member) COLUMN(word, KIND_OF_##NAME, member),
    SETTING_WORDS(X)
#undef X
	{"lost", TAG, LISTED_TAG_LOST, 0},
    {"unfinished", TAG, LISTED_TAG_UNFINISHED, 0}, {"ids", TAG, LISTED_TAG_IDS, 0},
    {"ids-early", TAG, LISTED_TAG_IDS_EARLY, 0},
#define X(NAME, tag, bit, standard, word, member) {word, MORE, bit, 0},
    MORE_SETTINGS(X)
#undef X
#undef COLUMN
#define X(code, NAME, word) {word, DROPS, code, 0},
	DROPPED(X)
#undef X
};

static uint64_t number(unsigned column, const struct wire_listed *row)
{
	const char *p = (const char *)row + columns[column].offset;
	uint64_t wide;
	uint32_t narrow;
	if (columns[column].size == sizeof(wide)) {
		memcpy(&wide, p, sizeof(wide));
		return wide;
	}
	memcpy(&narrow, p, sizeof(narrow));
	return narrow;
}

static void put_duration(struct text *out, uint64_t ms)
{
	char text[UNITS_TEXT_MAX];
	text_put(out, text, units_print_duration(text, ms));
}

bool queue_columns_put_dead_letter(struct text *out, const struct wire_listed *row)
{
	/* "-" on the wire is none; none given: the queue's own, if it can have one. */
	if (slice_eq(row->dead_letter, slice_str("-")) ||
	    (row->dead_letter.len == 0 && name_is_dead(row->queue)))
		return false;
	text_put_slice(out, row->dead_letter.len > 0 ? row->dead_letter : row->queue);
	if (row->dead_letter.len == 0)
		text_put_str(out, NAME_DEAD_SUFFIX);
	return true;
}

static enum table_kind put_more(struct text *out, uint32_t bit, struct slice tags)
{
	struct more_settings more;
	char text[UNITS_TEXT_MAX];
	/* Of a daemon that has others, too, these cannot be said. */
	if (more_settings_find(tags, LISTED_TAG_SETTINGS, &more)) {
		text_put_char(out, '-');
		return TABLE_NONE;
	}
	more_settings_print(text, bit, &more);
	text_put_str(out, text);
	if (bit == SETTING_MAX_INFLIGHT)
		return more.max_inflight > 0 ? TABLE_NUMBER : TABLE_NONE;
	return bit == SETTING_PAUSED_IN || bit == SETTING_PAUSED_OUT ? TABLE_YES : TABLE_TEXT;
}

static const char *name(unsigned column)
{
	return columns[column].name;
}

static enum table_kind put(struct text *out, unsigned column, const void *of)
{
	const struct wire_listed *row = of;

	switch (columns[column].kind) {
	case NAME:
		text_put_slice(out, row->queue);
		return TABLE_TEXT;
	case DURATION:
		put_duration(out, number(column, row));
		return TABLE_TEXT;
	case BACKOFF:
		put_duration(out, row->backoff_min_ms);
		text_put_char(out, ',');
		put_duration(out, row->backoff_max_ms);
		return TABLE_TEXT;
	case DEAD_LETTER:
		if (!queue_columns_put_dead_letter(out, row))
			text_put_str(out, "none");
		return TABLE_TEXT;
	case LIMIT:
		if (number(column, row) == 0) {
			text_put_str(out, "none");
			return TABLE_NONE;
		}
		break;
	case TAG:
		text_put_u64(out, tags_find_u64(row->tags, (uint16_t)columns[column].offset));
		return TABLE_NUMBER;
	case DROPS:
		text_put_u64(
		    out, wire_listed_dropped(row->tags, (unsigned)columns[column].offset));
		return TABLE_NUMBER;
	case MORE:
		return put_more(out, (uint32_t)columns[column].offset, row->tags);
	case COUNT:
		break;
	}
	text_put_u64(out, number(column, row));
	return TABLE_NUMBER;
}

#define COLUMNS (sizeof(columns) / sizeof(columns[0]))
const struct table_columns queue_columns = {COLUMNS, name, put};

static const char *name_in_cell(unsigned column)
{
	return column < COLUMNS ? name(column) : "cell";
}

static enum table_kind put_in_cell(struct text *out, unsigned column, const void *of)
{
	const struct queue_in_cell *row = of;
	if (column < COLUMNS)
		return put(out, column, row->row);
	text_put_slice(out, row->cell);
	return TABLE_TEXT;
}

const struct table_columns queue_columns_in_cell = {COLUMNS + 1, name_in_cell, put_in_cell};

static const char *binding_name(unsigned column)
{
	return column == 0 ? "queue" : column == 1 ? "pattern" : "cell";
}

static enum table_kind put_binding(struct text *out, unsigned column, const void *row)
{
	const struct binding_row *r = row;
	text_put_slice(out, column == 0 ? r->queue : column == 1 ? r->pattern : r->cell);
	return TABLE_TEXT;
}

const struct table_columns queue_columns_of_binding = {3, binding_name, put_binding};
