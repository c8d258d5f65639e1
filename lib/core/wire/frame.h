/*
 * Frames: what both protocols are made of.
 *
 *	u32 length of the payload, u8 type, u8 and u16 zero, payload
 *
 * Layouts are in rmq-protocol(5) and rmq-journal(5).
 */
#ifndef RMQ_CORE_WIRE_FRAME_H
#define RMQ_CORE_WIRE_FRAME_H

#include "core/base/codec.h"
#include "core/base/error.h"
#include "core/base/limits.h"

struct frame {
	uint8_t type;
	struct slice payload; /* borrowed from the buffer that was parsed */
};

/*
 * Looks for one whole frame at the start of `in`.  On RMQ_E_OK, *used is the
 * number of bytes it takes; 0 means that more bytes are needed (and *frame is
 * untouched).  RMQ_E_PROTOCOL: no frame can begin with these bytes.
 */
enum rmq_error frame_parse(struct slice in, struct frame *frame, size_t *used)
    __attribute__((warn_unused_result));

/* Writes a frame's header; the caller puts `len` bytes of payload after it. */
void frame_header(uint8_t header[FRAME_HEADER_SIZE], uint8_t type, size_t len);

/*
 * Begins a frame in w and ends it: the payload is what was written between.
 * w->full is set if it did not fit.
 */
size_t frame_begin(struct writer *w, uint8_t type);
void frame_end(struct writer *w, size_t begin);

#endif
