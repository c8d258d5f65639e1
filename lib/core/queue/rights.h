/*
 * What a client may do: a list of rights, as a gate or the queue daemon read it from a file of
 * rights and as it goes with the connection.  Pure.
 *
 *	u16 bits of enum right, u8 enum rights_of, str glob		each
 *
 * What no entry grants is denied.  A list is borrowed bytes; an empty one grants nothing.  An
 * absent list (data is NULL) is that of a connection that nobody restricts: it grants all.
 */
#ifndef RMQ_CORE_QUEUE_RIGHTS_H
#define RMQ_CORE_QUEUE_RIGHTS_H

#include "core/base/codec.h"
#include "core/base/limits.h"

enum right {
	RIGHT_SEND = 1,	 /* messages into it */
	RIGHT_RECV = 2,	 /* messages out of it, and to look at them */
	RIGHT_ADMIN = 4, /* the same, its settings and bindings, and to make and remove it */
	RIGHTS_ALL = 7
};
/* RIGHTS_KV: keys of the map: RIGHT_SEND to change them, RIGHT_RECV to read them. */
enum rights_of { RIGHTS_QUEUE = 0, RIGHTS_TOPIC = 1, RIGHTS_KV = 2 };

#define RIGHTS_MAX	4096 /* bytes of a list */
#define RIGHTS_GLOB_MAX NAME_FULL_MAX

/* clang-format off */
#define RIGHTS_ENTRY(F) F(u16, verbs) F(u8, of) F(str, glob)
/* clang-format on */
CODEC_MESSAGE(rights, entry, RIGHTS_ENTRY)

/* All is granted to whoever has no list. */
#define RIGHTS_UNRESTRICTED ((struct slice){0})

/* What keeps it from being the glob of a right, for people; NULL: it is one. */
const char *rights_glob_fault(struct slice glob);

/*
 * Whether a list from elsewhere is one: globs that are some, RIGHTS_MAX at most.  A kind that is not known, or
 * a verb, is of a newer version, and grants nothing.
 */
bool rights_valid(struct slice list);

/* The same list without the keys of the map, in `bytes`: for those who may be of a version that has none. */
struct slice rights_without_kv(struct slice list, uint8_t bytes[RIGHTS_MAX]);

/* Whether one of the verbs (bits of enum right) is granted for a queue, or for a topic, of that name. */
bool rights_grant(struct slice list, enum rights_of of, unsigned verbs, struct slice name);

/* … for each of these. */
bool rights_grant_all(struct slice list, enum rights_of of, unsigned verbs);

/* Whether one of them is granted for each topic that matches the pattern. */
bool rights_grant_pattern(struct slice list, unsigned verbs, struct slice pattern);

#endif
