#include "core/broker/delivery.h"

#include <assert.h>

enum rmq_error delivery_open(
    const struct delivery *d, struct slice payload, uint8_t *memory, struct delivery_cursor *c)
{
	*c = (struct delivery_cursor){.d = *d, .payload = payload, .memory = memory};
	if (d->large)
		return RMQ_E_OK;
	return event_run_open(payload, d->offset, d->slot, d->count, &c->run);
}

/* Ends the head: the frame's length counts the parts that follow it. */
static void head_done(struct delivery_frame *f, struct writer *w)
{
	assert(!w->full);
	f->head_len = w->len;
	store_u32(f->head, (uint32_t)(w->len - FRAME_HEADER_SIZE + f->attributes.len +
				      f->ends.len + f->blob.len));
}

/*
 * Attributes stand in the frame's first tagged field, and tagged fields are the last of the head: the
 * length of the list is taken back, and written with what follows.  Other fields, of a peek, come
 * after the attributes, in their memory.
 */
static void put_attributes(
    struct delivery_cursor *c, struct writer *w, struct delivery_frame *f)
{
	size_t len = f->attributes.len, head = len > 0 ? 4 : 0;
	struct slice tags = c->d.tags;
	if (len + tags.len == 0)
		return;
	w->len -= 2;
	put_u16(w, (uint16_t)(head + len + tags.len));
	if (len > 0) {
		put_u16(w, DELIVER_TAG_ATTRIBUTES);
		put_u16(w, (uint16_t)len);
	}
	if (tags.len == 0)
		return;
	assert(len + tags.len <= DELIVERY_MEMORY);
	if (len > 0)
		memmove(c->memory, f->attributes.data, len);
	memcpy(c->memory + len, tags.data, tags.len);
	f->attributes = slice_of(c->memory, len + tags.len);
}

static enum rmq_error next_part(struct delivery_cursor *c, struct delivery_frame *f)
{
	const struct delivery *d = &c->d;
	struct writer w = writer_of(f->head, sizeof(f->head));
	if (c->done)
		return RMQ_E_NOTHING;
	c->done = true;
	f->ends = slice_of(NULL, 0);
	f->looked = 0;
	enum rmq_error err = event_chunk_data(c->payload, d->offset, &f->blob, &f->attributes);
	if (err)
		return err;
	if (d->peek)
		wire_put_peeked_part(
		    &w, &(struct wire_peeked_part){d->target, d->state, d->lease, d->first_seq,
			    d->attempt, d->failures, d->time_ms, d->stamp, d->note, d->part,
			    d->parts, d->total, NO_TAGS, {0}});
	else
		wire_put_deliver_part(
		    &w, &(struct wire_deliver_part){d->target, d->lease, d->first_seq,
			    d->attempt, d->failures, d->time_ms, d->stamp, d->note, d->part,
			    d->parts, d->total, NO_TAGS, {0}});
	put_attributes(c, &w, f);
	head_done(f, &w);
	return RMQ_E_OK;
}

enum rmq_error delivery_next(struct delivery_cursor *c, struct delivery_frame *f)
{
	struct delivery *d = &c->d;
	struct event_messages m;
	if (d->large)
		return next_part(c, f);
	enum rmq_error err = event_run_next(&c->run, &m);
	if (err)
		return err;
	uint32_t base = batch_begin(&m.batch, m.slot);
	uint32_t end = batch_end(&m.batch, m.slot + m.count - 1);
	struct writer w = writer_of(f->head, sizeof(f->head));
	f->ends = slice_of(m.batch.ends + 2 * (size_t)m.slot, 2 * (size_t)m.count);
	f->blob = slice_of(m.batch.blob + base, end - base);
	struct writer attributes = writer_of(c->memory, BATCH_MAX);
	attributes_copy(&attributes, m.batch.attributes, m.slot, m.count);
	assert(!attributes.full);
	f->attributes = slice_of(c->memory, attributes.len);
	/* Not all of a long list for each message that goes out alone. */
	if (attributes_check(f->attributes, m.count))
		return RMQ_E_CORRUPT;
	f->looked = m.batch.attributes.len;
	if (d->peek)
		wire_put_peeked(
		    &w, &(struct wire_peeked){d->target, d->state, d->lease, d->first_seq,
			    d->attempt, d->failures, m.time_ms, d->stamp, d->note,
			    (uint16_t)base, (uint16_t)m.count, NO_TAGS, {0}});
	else
		wire_put_deliver(&w, &(struct wire_deliver){d->target, d->lease, d->first_seq,
					 d->attempt, d->failures, m.time_ms, d->stamp, d->note,
					 (uint16_t)base, (uint16_t)m.count, NO_TAGS, {0}});
	put_attributes(c, &w, f);
	head_done(f, &w);
	d->first_seq += m.count;
	return RMQ_E_OK;
}
