/*
 * What is told of a cluster's membership: each change once, as a line of JSON.
 *
 * The host is looked at after each of its turns, and two looks one after the other say what has
 * changed.  What the cluster has agreed stands in committed configurations; one that was away, and
 * sees several at once, tells the states between as well: a member that was joining and leaves was
 * up, and one that came and went is known by the list of those that were removed.  A look at a node
 * that begins tells nothing: it is where the changes begin.
 *
 * Each event has the index of the log to which it belongs: of the configuration, or else of the
 * newest committed record.  It never falls, and several events may have the same.  By seq each is
 * told from all others, also from those of processes before: it begins with the time at which the
 * process began, in ms, and rises by one.
 *
 * The newest EVENTS_MAX are kept, and readers are places among them: one that does not read costs
 * nothing, and misses what is not kept any more.  Then it is told how many, and gets what is kept; one
 * that has followed the state gets a snapshot.
 */
#ifndef RMQ_CORE_HOST_EVENTS_H
#define RMQ_CORE_HOST_EVENTS_H

#include "core/base/text.h"
#include "core/base/time.h"
#include "core/host/ending.h"
#include "core/raft/raft_config.h"

/*      NAME           text */
#define EVENTS_KINDS(X) \
	X(MEMBER_JOINED, "member-joined")   /* it catches up */ \
	X(MEMBER_UP, "member-up")	    /* it votes */ \
	X(MEMBER_LEAVING, "member-leaving") /* it is to leave, and hands over */ \
	X(MEMBER_EXITED, "member-exited")   /* it has handed over */ \
	X(MEMBER_DOWNED, "member-downed")   /* it was removed without being asked */ \
	X(MEMBER_REMOVED, "member-removed") \
	X(UNREACHABLE, "unreachable") \
	X(REACHABLE, "reachable") \
	X(LEADER_CHANGED, "leader-changed") \
	X(ROLE_LEADER_CHANGED, "role-leader-changed") \
	X(QUEUE_STARTED, "queue-started") /* there, clients are served */ \
	X(QUEUE_STOPPED, "queue-stopped") \
	X(SHUTTING_DOWN, "shutting-down") /* this node */ \
	X(SNAPSHOT, "snapshot") \
	X(DROPPED, "dropped")

enum events_kind {
#define X(NAME, text) EVENTS_##NAME,
	EVENTS_KINDS(X)
#undef X
	    EVENTS_KINDS_COUNT
};

#define EVENTS_MAX	 1024 /* are kept */
#define EVENTS_ROLES_MAX 64   /* of all members; whose leaders are told */
/* Of one look: removals, members that came and went, steps and reachability of each, and the rest. */
#define EVENTS_LOOK_MAX \
	(4 * RAFT_MEMBERS_MAX + 3 * RAFT_REMOVED_MAX + 5 * RAFT_MEMBERS_MAX + \
	    2 * EVENTS_ROLES_MAX + 4)
/* Of a state. */
#define EVENTS_REPLAY_MAX (5 * RAFT_MEMBERS_MAX + EVENTS_ROLES_MAX + 3)
/* All zeros: none. */
struct events_node {
	char name[RAFT_NAME_MAX + 1];
	struct raft_id id;
};

struct events_event {
	enum events_kind kind;
	uint64_t index, seq;
	struct wall_time time;
	struct events_node node;      /* whom it is about */
	char was[RAFT_NAME_MAX + 1];  /* its state, or the node in its place; "": none */
	char what[RAFT_ROLE_MAX + 1]; /* the role, or the phase of ending */
};

/* A look at the host. */
struct events_seen {
	/* The newest that is committed, and where it stands; NULL: this node has no cluster. */
	const struct raft_config *config;
	uint64_t index;
	uint64_t commit;
	uint32_t unreachable;  /* bit i: config->members[i] is */
	bool gone;	       /* this node was removed */
	struct raft_id leader; /* none: it is not known */
	struct raft_id queue;  /* where the queue daemon serves; none: nowhere */
	enum ending_state ending;
};

struct events_role {
	char name[RAFT_ROLE_MAX + 1];
	struct events_node leader;
};

struct events_state {
	struct raft_config config; /* count 0: none */
	uint64_t index, commit;
	uint32_t unreachable;
	struct events_node leader, queue;
	enum ending_state ending;
	unsigned role_count;
	struct events_role roles[EVENTS_ROLES_MAX]; /* by their names */
};

struct events {
	struct events_node self;
	bool began;
	struct events_seen seen; /* at the newest look; config is not kept */
	struct events_state now;
	struct wall_time time; /* of the newest look */
	uint64_t index;	       /* that of the newest event, or of the beginning */
	uint64_t lost;	       /* the same of the newest one that is not kept */
	uint64_t first, next;  /* seq of the oldest that is kept, and of the one to come */
	struct events_event ring[EVENTS_MAX];
	/* Of the look that is under way. */
	struct events_state look;
	struct events_event news[EVENTS_LOOK_MAX];
};

void events_init(struct events *e, const struct events_node *self, struct wall_time now);

/* True: something has changed. */
bool events_look(struct events *e, const struct events_seen *seen, struct wall_time now);

/* ---- reading ---- */

enum events_flag {
	EVENTS_WITH_SNAPSHOT = 1, /* the whole state first, in one line */
	EVENTS_WITH_REPLAY = 2,	  /* the whole state first, as events */
	EVENTS_SINCE = 4,	  /* those of indexes after this one */
	EVENTS_SINCE_SEQ = 8,	  /* those after the one of this seq */
	EVENTS_KEPT = 16,	  /* all that are kept */
	EVENTS_FOR_OTHERS =
	    32, /* for whoever asks the program that asks: CONTROL_HEARERS_OTHERS */
	EVENTS_FLAGS = 63,
};

struct events_reader {
	uint64_t next;
	uint8_t flags; /* what is still to come first */
	bool dropped;  /* some are missing, and how many is not known */
	bool follows;  /* it had asked for the state, or for what is after one */
};

/*
 * flags: enum events_flag; `since` is an index or a seq.  Without either, from now on.  If what was
 * asked for is not kept any more, or is of another process, that is what it is told first.
 */
void events_begin(
    const struct events *e, struct events_reader *r, uint8_t flags, uint64_t since);

enum events_turn {
	EVENTS_NOTHING,	     /* all was read */
	EVENTS_ONE,	     /* *one */
	EVENTS_NOW,	     /* events_put_snapshot() */
	EVENTS_NOW_REPLAYED, /* events_replay() */
	EVENTS_MISSED,	     /* *missed have been lost; 0: it is not known how many */
};

/* What comes next; it is as read then. */
enum events_turn events_read(const struct events *e, struct events_reader *r,
    const struct events_event **one, uint64_t *missed);

/* The state as events, of the seq of the newest: their number. */
unsigned events_replay(const struct events *e, struct events_event list[EVENTS_REPLAY_MAX]);

/* ---- lines ---- */

/* Of JSON, without a newline. */
void events_put(const struct events *e, struct text *out, const struct events_event *one);
void events_put_snapshot(const struct events *e, struct text *out);
void events_put_missed(struct text *out, uint64_t missed);
/* The longest: names and ids of all members, their roles, and the leaders of these. */
#define EVENTS_LINE_MAX 448
#define EVENTS_SNAPSHOT_MAX \
	(1024 + RAFT_MEMBERS_MAX * (256 + 2 * RAFT_ROLES_MAX) + \
	    EVENTS_ROLES_MAX * (RAFT_ROLE_MAX + RAFT_NAME_MAX + 8))

/* "member-up". */
const char *events_kind_text(enum events_kind kind);
/* Whether it is one of the texts. */
bool events_kind_known(const char *text);

#endif
