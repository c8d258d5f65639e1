/*
 * Consensus: Raft (Ongaro, "Consensus: Bridging Theory and Practice", 2014) as a pure
 * function, raft_step(event, now) -> actions.  Replicated are journal records.  Their
 * payloads stay with the host; here a record is its index, term, kind and size.  Numbers
 * in brackets are sections of that work.
 *
 * Storage.  Each step makes at most one STORE, numbered seq = 1, 2, 3, …: one transaction.
 * The host stores them whole and in order and reports with RAFT_EVENT_STORED; it never
 * reports a failure: the process ends.  A full disk only answers late.
 *
 * Invariants:
 *  - One vote in a term, for a leadership transfer too; term and vote are durable before
 *    any message that depends on them leaves [3.4, 3.8].
 *  - An acknowledgement names the highest index that is durable here *and* was compared
 *    with this leader's log in this term.  It is never the follower's own last index.
 *  - Only records of the leader's own term are committed by counting; a leader begins with a
 *    NOOP and is not serving before that is committed [3.6.2].  Commit is the median of
 *    what the voters acknowledged.
 *  - A follower's commit index is min(leader's, prev + n of *this* message).
 *  - The newest configuration in the log counts, committed or not; a change begins
 *    only after the one before it and a record of the own term are committed; truncation
 *    brings the older one back [4.1].
 *  - Nothing at or below the commit index is truncated: RAFT_FATAL.
 *  - Messages of an older term have no effect; answers of an older term or role are dropped.
 *
 * Holes.  There are no snapshots: a record that is dead becomes a hole, which keeps its index
 * and term.  A node that lags is sent the log from where it stands, with its holes.
 *  1. Records of kind CONFIG never become holes: a node that learned of a hole where a
 *     configuration was would count votes by an older one.
 *  2. Holes are made only by an END that the host holds as a real record, and at or below
 *     the node's own commit index.
 *  3. In a message each hole has its own term: ranges are split where the term changes, from
 *     the list of term boundaries, which is never pruned.  What comes before is always
 *     compared.
 *  4. A hole comes to an index: nothing is there: it is appended; a record of the same
 *     term: that is kept; of another one: truncation from there, then it is appended.
 *     By DIED a node makes such holes of records that it has: it is then as if it were sent the
 *     log only now.  Rule 2 is the leader's, who has the END; the rest holds as for a stream.
 *  5. The cover is (index, term) of the newest END that made holes.  Messages carry it, nodes
 *     store the newest.  A node is covered if its log has that record, hole or not; only a
 *     covered node may be used for a recovery without a majority.
 *  6. No node has a hole above its own commit index.
 *  7. Records, holes, cover, term boundaries, truncation and commit are one transaction.  A
 *     commit index that rises alone makes none: it is stored with what comes next.  A
 *     transaction that stores holes stores it too, since it must not be below them on disk; a
 *     lower one after a restart only means that the leader sends it again.
 *  8. The writer of END answers for the records that it names as dead, and for its parts being
 *     before it in the same log.
 * From these: a node that lacks an END that made holes anywhere cannot be elected.
 *
 * Elections: pre-vote [9.6], refused within the *minimum* election timeout of the last
 * word from a leader; check-quorum [6.2]; transfer [3.10].  Records that are on their way from
 * the leader are such a word, and are answered as one: on a slow link heartbeats wait behind
 * them.  That ends some election timeouts after its last whole message: a leader whose link hardly
 * carries anything is replaced.  A leader that asks for pre-votes leads no more, and is not waited
 * for, whatever of its bytes still come.  A node whose connection from the leader was lost no
 * longer hears it: it asks for pre-votes soon, and repeatedly for one election timeout, and gives its own at once.  Nodes that still hear the leader refuse.  A
 * node whose host says that it is ill abstains: it gives up leadership and does not ask for it,
 * not even when leadership is transferred to it.
 *
 * A disk that has forgotten what it had stored, as its directory was put back to an older state.
 * Only others can know it: by what a process of this node had said is stored, and what the next one
 * began with (host/members.h).  So a process that begins neither votes nor stands before all
 * other voters have let it in, or RAFT_NEW_TIMEOUTS election timeouts have passed: some voter may
 * be gone for long.  A node that is told that it has forgotten takes over the term of who tells it,
 * so that it acknowledges nothing to leaders of the past, and counts for nobody: neither as
 * knowing what is committed nor for whom it has voted, so it neither votes nor stands.  Its
 * leader counts anew what it has.  It votes again when it holds a record of a term that is newer
 * than all that the other members were in when they let it in: its forgotten votes are for
 * older terms, the leader was elected without it, so has all that was ever committed, and what
 * that leader lacks nobody counts any more as stored here.  If members have come or gone since
 * it began, one of them may hold a vote, and it never votes again.
 *
 * Barriers [6.4]: a leader counts rounds of heartbeats; messages carry the newest, and answers
 * repeat it.  A barrier is done when a majority has answered, in this term, a round that began
 * after it: no newer leader was elected before it began, or a node of that majority would have
 * been in the newer term; so this log held all that was committed by then.
 *
 * Learners are sent only committed records: a candidate that counts one as a voter, by a
 * configuration that the learner lacks, would be refused for a record that is on no voter's
 * disk any more, and with one more node gone no node could be elected.  So a learner under load
 * always lags a little; it has caught up when it holds all that was committed an election
 * timeout ago.
 *
 * Flow: a peer has at most RAFT_WINDOW messages and RAFT_WINDOW_BYTES (and a record) under way.
 * Of these it has not received more than its link lately carried in an election timeout, or
 * RAFT_LINK_BYTES (and a record): new records, and word that they are stored, do not wait longer
 * behind others, however slow the link is.
 *
 * Messages may be lost, late, doubled and out of order.  Nothing is sent again because it is
 * late: on a slow link it would wait behind its first copy.  What the peer has not received
 * for an election timeout is asked for, by an APPEND without records that goes the way of records,
 * after them; where that comes to a gap, the peer says where to go on, and it is sent again.  The
 * leader asks ever more rarely while the peer takes nothing, and at once when it answers after a
 * silence.  After RESET it does not ask: all is sent again.  The host of a peer may take fewer
 * runs of an APPEND than there are, from the first one on: the others are lost.  A READ that is
 * not answered for so long is wanted again.
 *
 * A sole voter, which is no member: a database that keeps term, vote and log (host/database.h).  It is one
 * more peer, and alone counts for majorities; the members' logs are copies, and they are sent what learners
 * are.  Members with the flag VOTER stand for election, ask it for its vote, and leadership is transferred to
 * them; they vote for nobody.  So no disk of theirs that has forgotten something does harm: FORGOT and LET_IN have
 * no effect, LOST only lets the leader send anew what that disk lacks, and a process that begins waits for nobody.  RESET of the sole voter means that it is not
 * known what it has stored: a leader steps down, and has the log compared anew in a newer term.  It
 * sends APPENDs itself, from what it keeps, to a node that lags and knows of no leader in that
 * term; status.leader then is none.
 *
 * A log that only the sole voter still has, as all members have lost their disks, is adopted: a node that is no
 * member, and was sent that log, stands for election.  Elected, it removes all members and adds itself, in
 * one record after its NOOP.  That is one change of several members, and the configuration before it may not be committed:
 * both are safe, as majorities are the sole voter's under any configuration, and who led before is fenced by
 * the term.  A member that comes back lacks that record, and is not elected without it.
 *
 * The cost of a step is that of its event and of the peers, not of the log; a heartbeat with
 * nothing new stores nothing.
 *
 * Memory that runs out ends the process.  Not for use by several threads.
 */
#ifndef RMQ_CORE_RAFT_RAFT_H
#define RMQ_CORE_RAFT_RAFT_H

#include "core/raft/raft_config.h"
#include "core/wire/journal_wire.h"
#include "core/wire/record.h"

struct raft;

/* Kind of a run of holes; the others are those of records. */
#define RAFT_HOLE 0

/* One record, or `count` holes of one term. */
struct raft_run {
	uint64_t first;
	uint64_t term;
	uint32_t count; /* 1 unless holes */
	uint32_t bytes; /* of the payload; 0 for holes */
	uint8_t kind;	/* enum record_kind, or RAFT_HOLE */
	/* For CONFIG: its payload decoded, borrowed for the call. */
	const struct raft_config *config;
};

/* An (index, term): of a log's last record, of the cover, where a term begins. */
struct raft_place {
	uint64_t index;
	uint64_t term;
};

/*      name        what it is */
#define RAFT_MESSAGES(X) \
	X(PREVOTE)  /* would you vote for me in `term`?  place: my last record */ \
	X(PREVOTED) /* answer; term: as asked if ok, else my own */ \
	X(VOTE)	    /* vote for me.  place: my last record */ \
	X(VOTED) \
	X(APPEND)      /* place: what comes before the runs; index 0: the log's begin */ \
	X(APPENDED)    /* ok: place.index is durable and verified; else: look here instead */ \
	X(TIMEOUT_NOW) /* be a candidate at once */ \
	X(REMOVED)     /* you are no member; place.index: of the committed configuration */

enum raft_message_type {
#define X(name) RAFT_##name,
	RAFT_MESSAGES(X)
#undef X
};

struct raft_message {
	enum raft_message_type type;
	struct raft_id from, to;
	uint64_t term;
	struct raft_place place;
	bool ok;
	uint64_t round;		     /* APPEND, APPENDED: of heartbeats; the newest known */
	uint64_t received;	     /* APPENDED, ok: compared so far, durable or not */
	uint64_t commit;	     /* APPEND */
	struct raft_place cover;     /* APPEND */
	const struct raft_run *runs; /* APPEND; borrowed for the call */
	unsigned run_count;
	bool asks; /* APPEND without runs: see raft_message_bulk(); not told to the peer */
};

/* It goes the way of records, and in order: it has some, or asks what has become of them. */
static inline bool raft_message_bulk(const struct raft_message *m)
{
	return m->run_count > 0 || m->asks;
}

enum raft_role { RAFT_FOLLOWER, RAFT_PRECANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

/*
 * What raft_step() is told.  Only the named fields count.  A step returns
 *	RMQ_E_OK		taken (an event that is out of date has no effect)
 *	RMQ_E_BUSY	try later: not serving, transferring, or a change is under way
 *	RMQ_E_LIMIT	too many members, the last voter, or too much in one event
 *	RMQ_E_EXISTS	ADMIT, ADD_LEARNER: name, key or incarnation is another's, or the
 *			member has another incarnation; PROMOTE: is a voter already
 *	RMQ_E_DENIED	ADD_LEARNER: this incarnation was removed
 *	RMQ_E_NOTHING	is no member (ADD_LEARNER: was not admitted)
 *	RMQ_E_BAD_DATA	ADMIT, ADD_LEARNER: not raft_member_valid(), or no incarnation
 *	RMQ_E_PROTOCOL	a message that no correct peer sends, or a HOLE that is too early
 *
 * A change of membership is done when status.commit has reached the status.config_index that
 * stands after the step; also when nothing had to be changed, which is OK as well.
 */
enum raft_event_type {
	RAFT_EVENT_TICK,    /* raft_due() has come */
	RAFT_EVENT_MESSAGE, /* message */
	RAFT_EVENT_STORED,  /* seq: all STOREs up to it are durable */
	RAFT_EVENT_READ,    /* id, term and index as in the READ action; runs (host's terms of
			       holes    are ignored) */
	RAFT_EVENT_PROPOSE, /* runs: kind and bytes of each (not CONFIG, NOOP); the STORE of
			       this step gives them their indexes */
	RAFT_EVENT_HOLE,    /* index of END, ranges (journal_wire.h) of what it says died */
	RAFT_EVENT_NOOP, /* appends a record that changes nothing: who holds it has a disk that
			    stores.  Its index is then status.last */
	RAFT_EVENT_BARRIER, /* seq: the host's number of it, higher than the one before; only
			       when serving.  Ends with BARRIER_DONE, or with the leadership */
	RAFT_EVENT_ADMIT,   /* member: name and key, which may join; the rest is ignored */
	RAFT_EVENT_ADD_LEARNER, /* member: who was admitted by name and key joins with this id,
				   flags (not VOTER), addresses.  For the same id again: its
				   flags and addresses change, a voter stays one */
	RAFT_EVENT_PROMOTE,	/* id: a learner that has caught up, else RMQ_E_BUSY */
	RAFT_EVENT_REMOVE,	/* id; if none: name.  how */
	RAFT_EVENT_REPLACE, /* id: of the incarnation, none: it has not joined; member: the name that
			       it has, and the key of the one that may join in its place */
	RAFT_EVENT_MARK,     /* mark, id, name: the text, value: see raft_config_mark() */
	RAFT_EVENT_TRANSFER, /* id: of a voter */
	RAFT_EVENT_RESET,    /* id: the connection with this peer was lost; to a leader, that
				   for records.  Of the sole voter: what it has stored is not known */
	RAFT_EVENT_ABSTAIN,  /* this node is ill: it leads no more and does not campaign, until
			       STAND; it follows and votes */
	RAFT_EVENT_STAND,
	RAFT_EVENT_FORGOT, /* term: of a peer by whom this node's disk is older than what it had
			      said is stored: it gives no vote and does not campaign, nor after a
			      restart; it follows */
	RAFT_EVENT_LET_IN, /* id, term: that peer, in this term, has compared what this process
			      began with with what it knows of this node's disk, or is told that it has
			      forgotten.  Only the first one counts */
	RAFT_EVENT_LOST, /* id: the disk of that peer has forgotten what it had stored: if this node
			    leads, it counts anew what the peer has */
	RAFT_EVENT_DIED, /* message: from, term and cover of the leader; ranges: are holes there, as
			    it says, and all below its cover.  They become holes here, as far as
			    this log is known to be the leader's, and committed */
	RAFT_EVENT_MEND, /* runs: the one record, committed here, whose bytes on this disk are bad, as
			    a peer has it.  Else RMQ_E_PROTOCOL */
	RAFT_EVENT_HEARD, /* id: bytes of records have come from this peer, though not all of a
			     message: if it leads, that is word of the leader */
	RAFT_EVENT_AGAIN, /* what this node was sent and did not take is wanted now, if it follows */
	RAFT_EVENT_ADOPT, /* member: this node, which is no member, stands for election, and is the only
			     one if it is elected; NULL: it does not, any more, nor if it is let in
			     meanwhile.  Only with a sole voter.
			     RMQ_E_EXISTS: it is a member; RMQ_E_REFUSED: it was one */
};

struct raft_event {
	enum raft_event_type type;
	struct raft_id id;
	uint64_t seq;
	uint64_t index;
	uint64_t term;
	const struct raft_message *message;
	const struct raft_member *member;
	const char *name;
	enum raft_how how;
	enum raft_mark mark;
	uint64_t value;
	const struct raft_run *runs;
	unsigned run_count;
	const struct hole_range *ranges;
	unsigned range_count;
};

/* What is to be done, in this order.  Everything is borrowed until the next call. */
enum raft_action_type {
	RAFT_STORE, /* store */
	RAFT_SEND,  /* message, to message.to; runs' payloads as read from the log */
	RAFT_READ, /* records from `index` on, at most `bytes` of payload (but at least one) and
		      RAFT_RUNS_MAX runs, for peer `id`; answer with RAFT_EVENT_READ */
	RAFT_COMMITTED,	   /* up to `index`: committed and durable here */
	RAFT_BARRIER_DONE, /* all barriers up to number `seq` */
	RAFT_ROLE,	   /* raft_status() has changed */
	RAFT_GONE,	   /* this node was removed; it does not campaign any more */
	RAFT_FATAL,	   /* the log contradicts the leader's: end the process with `error` */
};

struct raft_store {
	uint64_t seq;
	uint64_t term;
	/* In term; raft_id_of_forgot(): for nobody, nor in later ones, see RAFT_EVENT_FORGOT. */
	struct raft_id vote;
	uint64_t commit;
	struct raft_place cover;
	uint64_t truncate;	     /* drop all from here on, before the rest; 0: nothing */
	const struct raft_run *runs; /* then append; a CONFIG's config is set */
	unsigned run_count;
	const struct hole_range *holes; /* then make these holes */
	unsigned hole_count;
	/* Then put this record in the place of the one there, if there is one and it is bad.  NULL:
	 * none.  A CONFIG's config is not set. */
	const struct raft_run *mend;
};

struct raft_action {
	enum raft_action_type type;
	struct raft_id id;
	uint64_t seq;
	uint64_t index;
	uint64_t term;
	uint32_t bytes;
	enum rmq_error error;
	struct raft_message message;
	struct raft_store store;
};

/* What a node finds in its own directory when it starts; all of it durable. */
struct raft_begin {
	struct raft_id id;
	uint64_t term;
	struct raft_id vote;
	uint64_t commit;
	uint64_t last; /* index of the last record or hole */
	struct raft_place cover;
	const struct raft_place *terms; /* where each term in the log begins, in order */
	size_t term_count;
	const struct raft_run *configs; /* all records of kind CONFIG, in order */
	size_t config_count;
	uint32_t election_ms; /* the minimum; the node's own is up to twice as long */
	uint32_t heartbeat_ms;
	uint64_t seed;		   /* for the election timeouts */
	struct raft_id sole_voter; /* RAFT_DATABASE; none: members vote */
};

struct raft_status {
	enum raft_role role;
	bool serving; /* leader, own NOOP committed, no transfer under way */
	bool gone;
	bool abstains; /* see RAFT_EVENT_ABSTAIN */
	bool forgot;   /* see RAFT_EVENT_FORGOT */
	bool changed;  /* forgot: members have come or gone since, and it does not vote again */
	uint64_t term;
	/* This node's disk is in this term, and has the records of its leader up to this index,
	 * or its own if it leads; index 0: none that were made in this term.  Zeros: the term is
	 * not stored yet. */
	struct raft_place kept;
	/* The same of what this process began with, or held when it knew no more that it had
	 * forgotten; all records of the term, as nobody cuts them off before it is over. */
	struct raft_place begun;
	uint64_t commit;
	struct raft_place last;
	struct raft_place cover;
	struct raft_id vote;
	struct raft_id leader; /* none: unknown */
	/* Leader: a majority of voters has received all up to here, or all that was sent to it,
	 * durable or not; 0: this node does not lead. */
	uint64_t received;
	uint64_t config_index;
	const struct raft_config *config; /* NULL: none yet.  Borrowed until the next step */
	/* The newest that is known to be committed; the same. */
	uint64_t committed_index;
	const struct raft_config *committed;
};

struct raft *raft_new(const struct raft_begin *begin, uint64_t now_ms);
void raft_free(struct raft *r);

/* now_ms: monotonic.  *actions is borrowed until the next step. */
enum rmq_error raft_step(struct raft *r, const struct raft_event *e, uint64_t now_ms,
    const struct raft_action **actions, size_t *count) __attribute__((warn_unused_result));

/* When a TICK is due. */
uint64_t raft_due(const struct raft *r);
void raft_status(const struct raft *r, struct raft_status *s);
/* The term at an index, 0 for index 0 and after the log. */
uint64_t raft_term_at(const struct raft *r, uint64_t index);

/* A peer as its leader sees it. */
struct raft_peer_status {
	uint64_t match;	   /* how far it is known to hold this log, durably */
	uint64_t heard_at; /* when it last answered, or this node began to lead: as
			      raft_step()'s now_ms */
	unsigned flights;  /* messages with records that are under way to it */
	uint32_t flying;   /* bytes in them */
	bool level; /* it holds all that was committed an election timeout ago, or since */
};
/* False, all zeros: this node does not lead, or has no such peer. */
bool raft_peer_status(const struct raft *r, struct raft_id id, struct raft_peer_status *s);

#endif
