/*
 * What a node says of itself to the others each second (TELL): how it is, and whom of them it
 * suspects.  Each of them so knows it of all, and any can be asked.
 */
#ifndef RMQ_CORE_HOST_TELL_H
#define RMQ_CORE_HOST_TELL_H

#include "core/base/tags.h"
#include "core/host/members.h"
#include "core/host/settings.h"

/*      tag NAME          bytes  what */
#define METRICS(X) \
	X(1, LOAD, 4)	      /* load average of the last minute, times 100 */ \
	X(3, MEMORY, 8)	      /* bytes in memory, of rmq-clusterd and its children */ \
	X(5, DISK_FREE, 8)    /* bytes of new messages that fit on its disk */ \
	X(7, JOURNAL_SIZE, 8) /* bytes of its data file */ \
	X(9, LAG, 8)	      /* committed records that are not on its disk yet */ \
	X(13, LATENCY, \
	    8) /* us to store a transaction: median, and above 2^32 the 99th percentile */ \
	X(17, UPTIME, 8) /* ms since it started */

enum metric {
#define X(tag, NAME, bytes) METRIC_##NAME,
	METRICS(X)
#undef X
	    METRICS_COUNT
};

enum tell_tag {
#define X(tag, NAME, bytes) TELL_TAG_##NAME = tag,
	METRICS(X)
#undef X
	    TELL_TAG_SUSPECTS = 11,
	TELL_TAG_SETTINGS = 15,
	TELL_TAG_VERSION = 19,
	TELL_TAG_UNHEARD = 23,
	TELL_TAG_ROLES = 25,
};

#define METRICS_VERSION_MAX 63

struct metrics {
	uint32_t known; /* bits of enum metric */
	uint64_t value[METRICS_COUNT];
	char version[METRICS_VERSION_MAX + 1]; /* visible ASCII; "": it is not known */
};

void metrics_set(struct metrics *m, enum metric metric, uint64_t value);
/* False: it is not known. */
bool metrics_get(const struct metrics *m, enum metric metric, uint64_t *value);

/* Members, by their incarnations. */
struct opinion_list {
	unsigned count;
	struct raft_id ids[MEMBERS_LINKS_MAX];
};

/* What a member thinks of the others: see opinions.h. */
struct opinion {
	struct opinion_list suspects, unheard;
};

struct tell {
	struct metrics metrics;
	struct opinion opinion;
	struct settings settings;
	bool says_roles;
	char roles[RAFT_ROLES_MAX + 1]; /* raft_roles_valid() */
};

/* Larger than any list of tags that tell_encode() writes. */
#define TELL_SIZE_MAX \
	(8 * 12 + 4 + METRICS_VERSION_MAX + 2 * (4 + MEMBERS_LINKS_MAX * RAFT_ID_SIZE) + 4 + \
	    RAFT_ROLES_MAX + 64 + 4 + SETTINGS_SIZE_MAX)

/* The tags of TELL; w->full: there is no room. */
void tell_encode(struct writer *w, const struct tell *t);
/*
 * False: it is no list of tags, or a known one is not as it should be, and *t is untouched.  One with
 * an unknown even tag says nothing: *t is empty.
 */
bool tell_decode(struct slice tags, struct tell *t) __attribute__((warn_unused_result));

/* The same of metrics alone, with `above` added to their tags: one of them in a list of tags. */
void metrics_encode(struct writer *w, const struct metrics *m, unsigned above);
/* False: it is of another size, or no version. */
bool metrics_take(struct metrics *m, const struct tag *tag, unsigned above)
    __attribute__((warn_unused_result));

#endif
