/*
 * Gate to gate, version 1: clients' connections carried over one encrypted link (role GATE),
 * from the node where the client is to the node where the queue is.  Every frame from one
 * table, as in wire.h, which also says how to bump it: with GATE_VERSION.
 *
 * A stream is one client's connection, a stream of bytes in each direction.  Only the side that
 * dialled opens streams; their numbers rise, and none is used twice on a link.  Bytes are sent
 * against credit, for each stream and direction: GATE_WINDOW_FIRST at first, then what CREDIT
 * adds.  At most GATE_WINDOW is ever open.  So a stream that nobody reads takes that much
 * memory and holds up no other one.
 *
 * CLOSE ends a stream in both directions: what its sender sent before it is still delivered.
 * Frames that are on their way to it meanwhile are dropped.  The end of a link ends its
 * streams. Anything that is not as described ends the link.
 *
 * An OPEN of GATE_VERSION_NONE asks whether the other gate is there: it answers CLOSE with
 * RMQ_E_VERSION, as to each version that it does not speak.
 */
#ifndef RMQ_CORE_WIRE_GATE_WIRE_H
#define RMQ_CORE_WIRE_GATE_WIRE_H

#include "core/base/codec.h"
#include "core/wire/frame.h"

/* uid: of the client's process, on the machine that opens the stream. */
/* clang-format off */
#define GATE_OPEN(F)   F(u32, stream) F(u16, version) F(u32, uid)
#define GATE_DATA(F)   F(u32, stream) F(rest, bytes)
#define GATE_CREDIT(F) F(u32, stream) F(u32, bytes)
/*
 * code: RMQ_E_OK: as connections end.  RMQ_E_NO_DAEMON: there is no queue here now;
 * RMQ_E_LIMIT: too many streams; RMQ_E_VERSION: of another version.
 */
#define GATE_CLOSE(F) F(u32, stream) F(u8, code)

/*      type NAME      name      fields */
#define GATE_FRAMES(X) \
	X(1,  OPEN,    open,    GATE_OPEN) \
	X(2,  DATA,    data,    GATE_DATA) \
	X(3,  CREDIT,  credit,  GATE_CREDIT) \
	X(4,  CLOSE,   close,   GATE_CLOSE)
/* clang-format on */

enum gate_type {
#define X(type, NAME, name, FIELDS) GATE_TYPE_##NAME = type,
	GATE_FRAMES(X)
#undef X
};

#define X(type, NAME, name, FIELDS) \
	CODEC_MESSAGE(gate, name, FIELDS) \
	static inline void gate_put_##name(struct writer *w, const struct gate_##name *m) \
	{ \
		size_t begin = frame_begin(w, type); \
		gate_##name##_encode(w, m); \
		frame_end(w, begin); \
	}
GATE_FRAMES(X)
#undef X

#define GATE_DATA_HEAD (FRAME_HEADER_SIZE + 4) /* of DATA, before the bytes */
#define GATE_DATA_MAX  (64000)		       /* bytes in one DATA that is sent */

#endif
