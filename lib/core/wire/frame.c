#include "core/wire/frame.h"

#include <assert.h>

enum rmq_error frame_parse(struct slice in, struct frame *frame, size_t *used)
{
	*used = 0;
	if (in.len < FRAME_HEADER_SIZE)
		return RMQ_E_OK;
	size_t len = load_u32(in.data);
	if (len > FRAME_PAYLOAD_MAX || in.data[5] != 0 || load_u16(in.data + 6) != 0)
		return RMQ_E_PROTOCOL;
	if (in.len - FRAME_HEADER_SIZE < len)
		return RMQ_E_OK;
	frame->type = in.data[4];
	frame->payload = slice_of(in.data + FRAME_HEADER_SIZE, len);
	*used = FRAME_HEADER_SIZE + len;
	return RMQ_E_OK;
}

void frame_header(uint8_t header[FRAME_HEADER_SIZE], uint8_t type, size_t len)
{
	assert(len <= FRAME_PAYLOAD_MAX);
	store_u32(header, (uint32_t)len);
	header[4] = type;
	header[5] = 0;
	store_u16(header + 6, 0);
}

size_t frame_begin(struct writer *w, uint8_t type)
{
	size_t begin = w->len;
	uint8_t *header = writer_take(w, FRAME_HEADER_SIZE);
	if (header)
		frame_header(header, type, 0);
	return begin;
}

void frame_end(struct writer *w, size_t begin)
{
	if (w->full)
		return;
	size_t len = w->len - begin - FRAME_HEADER_SIZE;
	if (len > FRAME_PAYLOAD_MAX) {
		w->full = true;
		return;
	}
	store_u32(w->p + begin, (uint32_t)len);
}
