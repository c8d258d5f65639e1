/*
 * To a gate, version 2: clients' connections carried over one encrypted link: from the gate of the
 * node where the clients are (role GATE), or from a client that has a key (role CLIENT).  Every frame
 * from one table, as in wire.h, which also says how to bump it: with GATE_VERSION.
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
#include "core/base/tags.h"
#include "core/wire/frame.h"

/*
 * uid: of the client's process, on the machine that opens the stream.  GATE_TAG_CLIENT: the client is
 * no process there, but has shown a key, and this is its name; GATE_TAG_RIGHTS: what it may do
 * (core/queue/rights.h), if it is restricted.  On a link of role CLIENT neither uid nor tags mean
 * anything: its key says who it is.
 */
#define GATE_TAG_CLIENT 2
#define GATE_TAG_RIGHTS 4
/* clang-format off */
#define GATE_OPEN(F)   F(u32, stream) F(u16, version) F(u32, uid) F(tags, tags)
#define GATE_DATA(F)   F(u32, stream) F(rest, bytes)
#define GATE_CREDIT(F) F(u32, stream) F(u32, bytes)
/*
 * code: RMQ_E_OK: as connections end.  RMQ_E_NO_DAEMON: there is no queue here now;
 * RMQ_E_LIMIT: too many streams; RMQ_E_VERSION: of another version.
 */
#define GATE_CLOSE(F) F(u32, stream) F(u8, code)
/*
 * From a gate to a client, at first and when they have changed: the cluster's gates, itself included,
 * gate_contact each.  To one of them a client may be redirected.  key: its own one now, which may be newer than
 * the one that the client knows; address: empty, if clients know best where it is.
 */
#define GATE_CONTACTS(F) F(tags, tags) F(rest, contacts)
#define GATE_CONTACT(F)	 F(str, address) F(str, name) F(str, key)

/*      type NAME      name      fields */
#define GATE_FRAMES(X) \
	X(1,  OPEN,    open,    GATE_OPEN) \
	X(2,  DATA,    data,    GATE_DATA) \
	X(3,  CREDIT,  credit,  GATE_CREDIT) \
	X(4,  CLOSE,   close,   GATE_CLOSE) \
	X(5,  CONTACTS, contacts, GATE_CONTACTS)
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
CODEC_MESSAGE(gate, contact, GATE_CONTACT)

/* Tagged fields that frames know (tags.h): frame, tag, name of the field. */
#define GATE_TAGS(X) X(OPEN, GATE_TAG_CLIENT, client) X(OPEN, GATE_TAG_RIGHTS, rights)

/* The name of a tagged field, NULL: frames of that type do not know it. */
static inline const char *gate_tag_name(unsigned type, unsigned tag)
{
	switch (type << 16 | tag) {
#define X(frame, tag, name) \
	case GATE_TYPE_##frame << 16 | tag: \
		return #name;
		GATE_TAGS(X)
#undef X
	}
	return NULL;
}

#define GATE_DATA_HEAD (FRAME_HEADER_SIZE + 4) /* of DATA, before the bytes */
/* Bytes in one DATA that is sent: a client's frame with a full batch, and a segment of loopback TCP has it. */
#define GATE_DATA_MAX 65400

#endif
