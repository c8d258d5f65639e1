#include "core/wire/batch.h"

enum rmq_error batch_peek(struct slice bytes, struct batch_view *view)
{
	if (bytes.len < BATCH_HEADER_SIZE || bytes.len > BATCH_MAX)
		return RMQ_E_PROTOCOL;
	uint32_t count = load_u16(bytes.data);
	size_t attributes = load_u16(bytes.data + 2);
	if (count == 0 || count > BATCH_MESSAGES_MAX ||
	    bytes.len < batch_size(count, count) + attributes)
		return RMQ_E_PROTOCOL;
	const uint8_t *list = bytes.data + BATCH_HEADER_SIZE, *ends = list + attributes;
	uint32_t blob_len = (uint32_t)(bytes.len - batch_size(count, 0) - attributes);
	*view = (struct batch_view){
	    ends, ends + 2 * (size_t)count, count, blob_len, slice_of(list, attributes)};
	return RMQ_E_OK;
}

enum rmq_error batch_parse(struct slice bytes, struct batch_view *view)
{
	struct batch_view v;
	enum rmq_error err = batch_peek(bytes, &v);
	if (err)
		return err;
	if (!batch_holds(&v, 0, v.count) || batch_end(&v, v.count - 1) != v.blob_len ||
	    attributes_check(v.attributes, v.count))
		return RMQ_E_PROTOCOL;
	*view = v;
	return RMQ_E_OK;
}

bool batch_holds(const struct batch_view *v, uint32_t from, uint32_t count)
{
	if (count == 0 || from >= v->count || count > v->count - from)
		return false;
	/* Each body takes at least its separator: ends rise strictly from above 0. */
	uint32_t last = batch_begin(v, from);
	bool rising = true;
	for (uint32_t i = from; i < from + count; i++) {
		uint32_t end = batch_end(v, i);
		rising &= end > last;
		last = end;
	}
	return rising && last <= v->blob_len;
}

void batch_copy(struct writer *w, const struct batch_view *v, uint32_t from, uint32_t count)
{
	uint32_t base = batch_begin(v, from);
	put_u16(w, (uint16_t)count);
	size_t length_at = w->len;
	put_u16(w, 0);
	attributes_copy(w, v->attributes, from, count);
	if (!w->full)
		store_u16(w->p + length_at, (uint16_t)(w->len - length_at - 2));
	for (uint32_t i = 0; i < count; i++)
		put_u16(w, (uint16_t)(batch_end(v, from + i) - base));
	put_rest(w, slice_of(v->blob + base, batch_end(v, from + count - 1) - base));
}
