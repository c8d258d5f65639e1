/* Frames of the wire protocol, for the targets that are one of its sides. */
#ifndef RMQ_FUZZ_WIRE_H
#define RMQ_FUZZ_WIRE_H

#include "core/wire/wire.h"
#include "fuzz.h"

/* Makes a function: what our side has made is one of its frames, and decodes. */
#define FUZZ_CHECK_FRAME(function, FRAMES) \
	static void function(const struct frame *f) \
	{ \
		bool good = false; \
		switch (f->type) { \
			FRAMES(FUZZ_CHECK_CASE_) \
		} \
		assert(good); \
	}
#define FUZZ_CHECK_CASE_(type, NAME, name, FIELDS) \
	case type: { \
		struct wire_##name m; \
		good = wire_##name##_decode(f->payload, &m); \
		break; \
	}

/* Bytes of the input after their length, as far as they are there. */
static inline struct slice fuzz_take(struct reader *r)
{
	size_t len = get_u16(r), left = reader_left(r);
	if (len > left)
		len = left;
	return slice_of(reader_take(r, len), len);
}

#endif
