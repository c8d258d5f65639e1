#include "imports.h"

#include "trace.h"

#include <assert.h>
#include <stdlib.h>

static void add(struct import *im, uint32_t line)
{
	if (im->count == im->cap) {
		im->cap = im->cap ? 2 * im->cap : 64;
		im->records = realloc(im->records, im->cap * sizeof(*im->records));
		assert(im->records);
	}
	im->records[im->count++] = line;
}

static bool is_here(const struct world *w, const struct shadow_queue *q, uint32_t line)
{
	const struct line_state *l = line >= IMPORT_BAD ? NULL : &w->lines.all[line];
	return l && q && l->stored > 0 && l->copy[0].first_queue == q->id;
}

/* What the queue has of it is waited for. */
static void check_sent(const struct import *im, const struct world *w,
    const struct shadow_queue *q, uint64_t at, struct input_sent sent)
{
	for (uint32_t i = 0; i < at && i < im->count; i++) {
		if (im->records[i] == IMPORT_BAD && i >= sent.skipped)
			trace_fail(
			    "record %u of an input was skipped, and passes for stored", i);
		if (!is_here(w, q, im->records[i]))
			continue;
		uint64_t seq = w->lines.all[im->records[i]].copy[0].first_seq;
		if (seq < sent.first || seq >= sent.end)
			trace_fail("record %u of an input is not among what was sent", i);
	}
}

void import_placed(struct import *im, const struct world *w, struct slice queue, uint64_t at,
    struct input_sent sent)
{
	const struct shadow_queue *q = shadow_queue(&w->shadow, queue);
	check_sent(im, w, q, at, sent);
	while (im->count < at)
		add(im, IMPORT_GONE);
	for (uint32_t i = (uint32_t)at; i < im->count; i++) {
		uint32_t line = im->records[i];
		if (line == IMPORT_BAD)
			continue;
		const struct line_state *l = line == IMPORT_GONE ? NULL : &w->lines.all[line];
		bool here = is_here(w, q, line);
		if (here && l->sent)
			trace_fail("record %u of an input was sent, and its queue has %llu", i,
			    (unsigned long long)at);
		/* Those that were in a queue that was removed are not sent again. */
		if (!l || (l->stored > 0 && !here)) {
			im->count = i;
			break;
		}
	}
	im->next = (uint32_t)at;
	im->placed = true;
}

uint32_t import_stored(const struct import *im, const struct world *w, struct slice queue,
    uint32_t *lines, size_t stride, uint32_t most)
{
	const struct shadow_queue *q = shadow_queue(&w->shadow, queue);
	uint32_t from = im->next > most ? im->next - most : 0, n = 0;
	for (uint32_t i = from; i < im->next; i++) {
		uint32_t line = im->records[i];
		if (!is_here(w, q, line) || !w->lines.all[line].sent)
			continue;
		/* Its id may be forgotten before what is sent now is taken. */
		if (w->shadow.lease_ms - w->lines.all[line].stored_ms > q->more.dedup_ms / 2)
			continue;
		*lines = line;
		lines = (uint32_t *)(void *)((uint8_t *)lines + stride);
		n++;
	}
	return n;
}

bool import_has_more(const struct import *im)
{
	return im->next < im->count;
}

uint32_t import_next(struct import *im, uint32_t fresh)
{
	if (im->next == im->count)
		add(im, fresh);
	return im->records[im->next++];
}

void import_free(struct import *im)
{
	free(im->records);
}
