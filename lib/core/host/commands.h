/*
 * The progress of a command that an administrator or a joining node has given.  Any node may be
 * asked; the leader carries it out, and a node that does not lead passes it on.  A command that
 * cannot be done yet waits and is tried again; one that may have been done has an unknown outcome
 * until some node knows it.
 *
 *	event \ state  WAITS      PASSED_ON  COMMITS   TRANSFERS  ASKS     FOUNDS  JOINS  ADOPTS
 *	PASS_ON        passed on  -          -         -          -        -       -      -
 *	PROPOSE        commits    -          -         -          -        -       -      -
 *	HAND_OVER      transfers  -          -         -          -        -       -      -
 *	ASK            asks       -          -         -          -        -       -      -
 *	FOUND          founds     -          -         -          founds   -       -      -
 *	JOIN           joins      -          -         -          -        -       -      -
 *	ADOPT          -          -          -         -          adopts   -       -      -
 *	UNLED          -          waits      -         -          -        -       -      -
 *	LOST           -          waits      waits     waits      -        -       -      -
 *	ANSWER         ended      ended      ended     ended      ended    ended   ended  ended
 *	LATE           ended      ended      ended     ended      ended    ended   -      -
 *
 * And which changes are taken, see command_remove(); how a member leaves, see leaving.h; which
 * new clusters, see founding.h; which logs are adopted, see adoption.h.
 */
#ifndef RMQ_CORE_HOST_COMMANDS_H
#define RMQ_CORE_HOST_COMMANDS_H

#include "core/raft/raft.h"

/*
 * How long a command that cannot be done at once is tried, and how often: for as long as two
 * elections may take.
 */
#define COMMANDS_MS	  10000
#define COMMANDS_RETRY_MS 50

static inline uint64_t commands_patience_ms(uint32_t election_ms)
{
	uint64_t ms = 4 * (uint64_t)election_ms;

	return ms > COMMANDS_MS ? ms : COMMANDS_MS;
}

enum command_state {
	COMMAND_WAITS,	   /* for a leader, or for its turn */
	COMMAND_PASSED_ON, /* to the leader */
	COMMAND_COMMITS,   /* the new membership is in the log of this node, which leads */
	COMMAND_TRANSFERS, /* another one is to lead */
	COMMAND_ASKS,	   /* whether there is a cluster already */
	COMMAND_FOUNDS,	   /* this node makes a cluster of itself */
	COMMAND_JOINS,	   /* this node asks to be taken in */
	COMMAND_ADOPTS,	   /* this node adopts the log that a database holds */
	COMMAND_ENDED,
	COMMAND_STATES
};

enum command_event {
	COMMAND_PASS_ON,
	COMMAND_PROPOSE,
	COMMAND_HAND_OVER,
	COMMAND_ASK,
	COMMAND_FOUND,
	COMMAND_JOIN,
	COMMAND_ADOPT,
	COMMAND_UNLED, /* the node that it was passed on to does not lead, and has not tried it */
	COMMAND_LOST, /* the leader to whom it was passed on, or this node's leadership, and not
			   to whom it was to go; another node leads */
	COMMAND_ANSWER, /* it is done, or refused */
	COMMAND_LATE,	/* the deadline has passed */
	COMMAND_EVENTS
};

/* One of them.  All zeros but the deadline to begin with. */
struct command_life {
	enum command_state state;
	uint64_t deadline_ms;
	uint64_t retry_ms; /* WAITS: not before */
	unsigned tries;	   /* how often it was passed on or tried here: it may have been done */
	uint64_t term;	   /* of the leadership in which it was tried here; 0: not yet */
	uint64_t asked_ms; /* when it first was */
	uint64_t mark;	   /* a removal: the record that was appended then */
};

void command_event(struct command_life *l, enum command_event e, uint64_t now_ms);

/*
 * At COMMAND_LATE: how it ends.  The code, and *text for people, which is constant.  leads:
 * this node does.
 */
enum rmq_error command_late(const struct command_life *l, bool leads, const char **text)
    __attribute__((warn_unused_result));

/*
 * Before COMMAND_ANSWER, of a removal: the code with which it ends.  One that was tried before,
 * and is refused now as there is no such member, was done.
 */
enum rmq_error command_removed(const struct command_life *l, enum rmq_error code)
    __attribute__((warn_unused_result));

/* ---- what may be done ---- */

enum commands_verdict {
	COMMANDS_MAY,
	COMMANDS_HOLD, /* not yet: try again */
	COMMANDS_STOP, /* it is refused, with a text */
};

/* ---- the rule of transfers ---- */

enum commands_transfer {
	COMMANDS_GOES_ON,
	COMMANDS_TAKEN_OVER,
	COMMANDS_GIVEN_UP,
	COMMANDS_ASTRAY, /* another node leads: COMMAND_LOST */
};

/*
 * Of one in TRANSFERS: whether `to` leads; if that is none, whether another node than this one
 * does.  leads: this node still does, in the same term; serves: it has given the transfer up.
 */
enum commands_transfer commands_transferred(struct raft_id self, struct raft_id to,
    struct raft_id leader, bool leads, bool serves) __attribute__((warn_unused_result));

/* ---- the rule of changes ---- */

/* What the leader does with the members. */
struct commands_peers {
	void *arg;
	/* Appends a record that changes nothing.  Its index; 0: not now. */
	uint64_t (*append)(void *arg);
	/* The disk of this member, which may be this node, has all up to `index`. */
	bool (*stores)(void *arg, struct raft_id id, uint64_t index);
	/* It votes: it has not forgotten what it had stored. */
	bool (*votes)(void *arg, struct raft_id id);
	/* It is up, or is this node. */
	bool (*up)(void *arg, struct raft_id id);
	/* Proposes a configuration without it: RAFT_EVENT_REMOVE. */
	enum rmq_error (*remove)(void *arg, const char *name, enum raft_how how);
	/* Proposes that it leaves: RAFT_MARK_LEAVING. */
	enum rmq_error (*leave)(void *arg, struct raft_id id);
	/* Proposes that this one, of `by`, goes and `by` may join: RAFT_EVENT_REPLACE. */
	enum rmq_error (*replace)(void *arg, const struct raft_member *by);
};

enum commands_way {
	COMMANDS_LEAVE,	 /* it hands over first: see leaving.h */
	COMMANDS_DOWN,	 /* at once, whether it is there or not */
	COMMANDS_FORCED, /* the same, if too few of the others store */
	COMMANDS_REPLACE /* as DOWN, and another one may join in its place */
};

struct commands_removal {
	const char *name;
	enum commands_way way;
	/*
	 * id: of the incarnation that the node which was asked first knew by this name; none: of
	 * nobody, or it is older and does not say.  REPLACE: also name and key of who may join.
	 */
	const struct raft_member *by;
	const struct raft_status *log; /* of this node, which leads */
};

/* Why a node is not admitted, or not taken in, with RMQ_E_EXISTS, and what to do: text[TEXT_MAX + 1]. */
void commands_unadmitted(
    const struct raft_config *config, const struct raft_member *m, char *text);
/* The same of m, which asks to be taken in.  Nobody is told to remove a node that is up. */
void commands_mistaken(const struct raft_config *config, const struct raft_member *m,
    const struct commands_peers *peers, char *text);

/* Adds a node to a list of them, cut to what fits; "" begins one. */
void commands_add_name(char names[TEXT_MAX + 1], const char *name);

/* How long a removal waits for the disks of the remaining voters. */
#define COMMANDS_STORE_MS 3000

/*
 * Whether a majority of the voters that remain without `name` store a record that is appended
 * after that was asked: otherwise nothing could be committed any more, the removal itself
 * included; and, if `name` stores as well and does not leave yet, of those of them that stay.  Their answers are not enough: a node whose disk is full or hangs answers, too.
 * COMMANDS_MAY where a database has the log: that stores, and no majority of nodes does.
 * COMMANDS_STOP: text[TEXT_MAX + 1] names those that do not.
 */
enum commands_verdict commands_majority(struct command_life *l, const struct raft_status *log,
    const char *name, const struct commands_peers *peers, uint64_t now_ms, char *text)
    __attribute__((warn_unused_result));

/*
 * The leader tries a removal, if a majority of the others stores, also of those that do not leave.  A node that is not a member,
 * and the last voter, are left to consensus.  One that leaves has to be up; below
 * LEVEL_TAGS it is removed at once, as a node is that was only admitted.
 *
 * Refused, unless it is forced: the last voter that may run the queue daemon, while others vote.  And
 * refused, if it is forced: one that is up, while enough of the others store; it can leave in order.
 *
 * It is about the incarnation that was known when it was asked first: another one that has come under
 * this name meanwhile stays, and the one that was meant is no member.
 *
 * Who was removed, as far as that is kept, and is no member, is removed: RMQ_E_OK.
 *
 * COMMANDS_HOLD: not now, it is tried again; COMMANDS_MAY: it is proposed, or was so before;
 * COMMANDS_STOP: it ends with *code, and text[TEXT_MAX + 1].  There, RMQ_E_NOTHING means that there
 * is no such member, and nothing else: see command_removed().
 */
enum commands_verdict command_remove(struct command_life *l, const struct commands_removal *r,
    const struct commands_peers *peers, uint64_t now_ms, enum rmq_error *code, char *text)
    __attribute__((warn_unused_result));

/*
 * A node that is gone is replaced (COMMANDS_REPLACE) by one record, which takes it out and admits
 * the other one: so there is no moment between the two, whoever leads then.  First out, as a voter
 * that is gone only makes majorities larger: with v voters, of whom a are alive, a - (v/2 + 1) more
 * may fail, and with v - 1 never fewer.  One that is up is refused: it would be a loss.
 *
 * It may come again, from a node that did not hear its answer, when the new one has joined: it is
 * about the incarnation that was known when it was asked first, and is done if that is no member any
 * more and the key is that of the member.  The key may be the same as before: a machine with a new
 * disk.  Then it is done as well while the member has not joined, or is up.
 */

/* What it means that a node was replaced: text[TEXT_MAX + 1].  config: after that. */
void commands_replaced(const struct raft_config *config, const char *name, char *text);

/* What it means that a node leaves, or has left: text[TEXT_MAX + 1].  config: the one that says so. */
void commands_left(const struct raft_config *config, const char *name, char *text);

/* What it means that a node was downed: text[TEXT_MAX + 1].  config: the one without it. */
void commands_downed(const struct raft_config *config, const char *name, char *text);

#endif
