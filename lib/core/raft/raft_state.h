/*
 * The state of a Raft node, shared by raft.c (log, storage, steps), raft_election.c,
 * raft_replication.c and raft_membership.c.  No one else includes this.
 */
#ifndef RMQ_CORE_RAFT_RAFT_STATE_H
#define RMQ_CORE_RAFT_RAFT_STATE_H

#include <assert.h>

#include "core/base/memory.h"
#include "core/base/variant.h"
#include "core/raft/raft.h"

/* A list that grows: items, count, cap. */
#define RAFT_LIST(type) \
	struct { \
		type *items; \
		size_t count; \
		size_t cap; \
	}
#define raft_push(list, item) \
	((list)->items = memory_grow( \
	     (list)->items, (list)->count, &(list)->cap, sizeof(*(list)->items)), \
	    (list)->items[(list)->count++] = (item))

/* A message with records that is under way to a peer. */
struct raft_flight {
	uint64_t last;
	uint64_t sent_at;
	uint32_t bytes;
	uint32_t ahead; /* all that had not arrived when it was sent, and itself */
};

struct raft_peer {
	struct raft_id id;
	bool granted;	   /* its vote or pre-vote */
	uint64_t heard;	   /* when it last answered this leader */
	uint64_t match;	   /* acknowledged in this term */
	uint64_t received; /* as it says: compared, but not durable there */
	uint64_t goal;	   /* the commit index at goal_at: to be acknowledged */
	uint64_t goal_at;
	uint64_t level_at;    /* it holds all that was committed then; 0: not known */
	uint64_t next;	      /* the next record to send */
	uint64_t round;	      /* of heartbeats: the newest that it answered in this term */
	uint64_t moved;	      /* when match or received last rose, or sending began (anew) */
	uint32_t patience_ms; /* so long without a move, and the peer is asked */
	bool probing;	      /* match is not known: one record at a time */
	bool waiting;	      /* probing, and one is under way */
	bool reading;	      /* a READ from read_at on is not answered yet */
	uint64_t read_at;
	uint32_t flying;     /* bytes: sent, and not durable there */
	uint32_t travelling; /* bytes: sent, and not received there */
	uint32_t window;     /* so many bytes may be travelling */
	unsigned flight_begin, flight_count;
	unsigned arrived; /* so many flights, from the first one on, were received */
	struct raft_flight flights[RAFT_WINDOW];
};

/* A STORE that is not durable yet; afterwards the log is durable up to `last`. */
struct raft_pending {
	uint64_t seq;
	uint64_t last;
};

/* The first RAFT_EVENT_LET_IN of a node. */
struct raft_let_in {
	struct raft_id id;
	uint64_t term;
};

/* A record of kind CONFIG. */
struct raft_change {
	uint64_t index;
	struct raft_config *config;
};

struct raft {
	struct raft_id id;
	struct raft_id sole; /* the only voter, which is no member; none: members vote */
	uint32_t election_ms, heartbeat_ms;
	uint64_t random;
	uint64_t now;

	/* Durable with the next STORE. */
	uint64_t term;
	struct raft_id vote;
	uint64_t commit;
	struct raft_place cover;
	uint64_t last;
	RAFT_LIST(struct raft_place) terms;
	RAFT_LIST(struct raft_change) changes;

	enum raft_role role;
	struct raft_id leader;
	bool gone;
	bool abstains; /* does not campaign */
	bool adopts;   /* stands though it is no member, to be the only one: */
	struct raft_member adopter;
	bool forgot;	      /* does not campaign nor vote */
	uint64_t begun_index; /* of the newest configuration, when this process began; forgot:
				 when the one began that was told so first */
	struct raft_place begun; /* as in raft_status */
	uint64_t forgot_term; /* forgot: this process may have voted in it and those before */
	uint64_t new_until;   /* before that all other voters have to let it in */
	RAFT_LIST(struct raft_let_in)
	let_in;		      /* also by those that are no members by this log */
	bool member;	      /* was one, by a committed configuration */
	uint64_t election_at; /* follower or candidate: when to campaign */
	uint64_t heard;	      /* follower: last word of a leader; 0: never */
	uint64_t appended;    /* follower: the leader's last APPEND */
	uint64_t soon_until;  /* the leader's connection was lost: ask often till then */
	uint64_t verified;    /* compared with this leader's log in this term */
	bool fed;	      /* some of that only with what the sole voter keeps */
	struct raft_place
	    refused;	   /* index 0: none; a refusal that waits for the term's STORE */
	uint64_t reported; /* COMMITTED so far */

	/* Storage. */
	uint64_t seq, stored;
	uint64_t durable; /* the log as it is now is durable up to here */
	RAFT_LIST(struct raft_pending) pending;
	uint64_t term_seq;    /* the STORE that holds `term` */
	struct raft_id voted; /* a granted vote whose answer waits for vote_seq */
	uint64_t vote_seq;

	/*
	 * Rounds of heartbeats in this term: a leader's newest; a follower's, of its leader's.
	 * One barrier (the newest of those that came before it) is asked about at a time; those
	 * that come meanwhile wait for the next round.
	 */
	uint64_t round;
	uint64_t barrier, barrier_round; /* 0: none */
	uint64_t barrier_waiting;	 /* 0: none */

	/* Leader. */
	uint64_t noop;
	uint64_t heartbeat_at;
	uint64_t quorum_at;
	struct raft_id transferee;
	uint64_t transfer_until;
	struct raft_peer peers[RAFT_MEMBERS_MAX + 1];
	unsigned peer_count;

	/* This step. */
	bool dirty;
	uint64_t truncate;
	RAFT_LIST(struct raft_run) runs;
	RAFT_LIST(struct hole_range) holes;
	struct raft_run mend; /* first 0: none */
	RAFT_LIST(struct raft_action) actions;
	RAFT_LIST(struct raft_run) sent; /* of the message to send */
	struct raft_status shown;
};

/* ---- raft.c: log and actions ---- */

uint64_t raft_random(struct raft *r, uint64_t below);
struct raft_action *raft_act(struct raft *r, enum raft_action_type type);
/* A message of this term, of type and to the peer named. */
struct raft_message *raft_send(struct raft *r, enum raft_message_type type, struct raft_id to);
void raft_fatal(struct raft *r, enum rmq_error error);
/* Something is to be stored at the end of this step; its seq. */
uint64_t raft_dirty(struct raft *r);
void raft_append(struct raft *r, const struct raft_run *run);
void raft_truncate(struct raft *r, uint64_t from);
/* After the last index of the term that holds `index`; last + 1 for the last term. */
uint64_t raft_term_end(const struct raft *r, uint64_t index);
/* The last index whose term is not newer than this one; 0: none. */
uint64_t raft_term_last(const struct raft *r, uint64_t term);
struct raft_peer *raft_peer(struct raft *r, struct raft_id id);

static inline bool raft_has_sole(const struct raft *r)
{
	return !raft_id_none(r->sole);
}

static inline bool raft_is_sole(const struct raft *r, struct raft_id id)
{
	return raft_has_sole(r) && raft_id_eq(id, r->sole);
}

/* ---- raft_membership.c ---- */

const struct raft_config *raft_membership_now(const struct raft *r);
uint64_t raft_membership_index(const struct raft *r);
/* NULL: none. */
const struct raft_change *raft_membership_newest_committed(const struct raft *r);
/* Makes the peers those of the newest configuration. */
void raft_membership_peers(struct raft *r);
/* Counts for majorities, and is sent what is not committed. */
bool raft_membership_voter(const struct raft *r, struct raft_id id);
/* A member that may be elected. */
bool raft_membership_stands(const struct raft *r, struct raft_id id);
bool raft_membership_may_lead(const struct raft *r);
/* Index of the first record of kind CONFIG at or after this one; UINT64_MAX: none. */
uint64_t raft_membership_next(const struct raft *r, uint64_t index);
void raft_membership_append(struct raft *r, uint64_t index, const struct raft_config *c);
void raft_membership_truncate(struct raft *r, uint64_t from);
enum rmq_error raft_membership_event(struct raft *r, const struct raft_event *e);
enum rmq_error raft_membership_adopts(struct raft *r, const struct raft_member *m);
/* It adopts, and leads: its first configuration. */
void raft_membership_adopt(struct raft *r);
/* Frees what an earlier step has left behind. */
void raft_membership_forget(struct raft *r);
void raft_membership_committed(struct raft *r, uint64_t before);
void raft_membership_removed(struct raft *r, const struct raft_message *m);
/* Whether more than half the voters satisfy `has`. */
bool raft_membership_majority(
    const struct raft *r, bool (*has)(const struct raft *, const struct raft_peer *));

/* ---- raft_election.c ---- */

/* When to campaign if nothing happens: anew from now on. */
void raft_election_delay(struct raft *r);
/* The same for a node that begins: the only voter waits for nobody. */
void raft_election_begin(struct raft *r);
void raft_election_follow(struct raft *r, uint64_t term, struct raft_id leader);
void raft_election_tick(struct raft *r);
void raft_election_stored(struct raft *r);
void raft_election_message(struct raft *r, const struct raft_message *m);
void raft_election_reset(struct raft *r, struct raft_id peer);
void raft_election_abstain(struct raft *r, bool abstains);
void raft_election_forgot(struct raft *r, uint64_t term);
/* What is to be stored as its vote. */
struct raft_id raft_election_vote(const struct raft *r);
void raft_election_let_in(struct raft *r, struct raft_id peer, uint64_t term);
/* Whether it may vote again if it holds all. */
bool raft_election_same_members(const struct raft *r);

/* ---- raft_replication.c ---- */

void raft_replication_lead(struct raft *r);
void raft_replication_tick(struct raft *r);
void raft_replication_stored(struct raft *r);
enum rmq_error raft_replication_barrier(struct raft *r, uint64_t seq);
void raft_replication_append(struct raft *r, const struct raft_message *m);
void raft_replication_appended(struct raft *r, const struct raft_message *m);
void raft_replication_reset(struct raft *r, struct raft_peer *p);
void raft_replication_lost(struct raft *r, struct raft_id peer);
void raft_replication_again(struct raft *r);
void raft_replication_heard(struct raft *r, struct raft_id peer);
enum rmq_error raft_replication_read(struct raft *r, const struct raft_event *e);
enum rmq_error raft_replication_propose(struct raft *r, const struct raft_event *e);
enum rmq_error raft_replication_noop(struct raft *r);
enum rmq_error raft_replication_hole(struct raft *r, const struct raft_event *e);
enum rmq_error raft_replication_died(struct raft *r, const struct raft_event *e);
enum rmq_error raft_replication_mend(struct raft *r, const struct raft_event *e);
enum rmq_error raft_replication_transfer(struct raft *r, struct raft_id to);
/* Whether the peer holds all that was committed an election timeout ago, or later. */
bool raft_replication_level(const struct raft *r, const struct raft_peer *p);
/* Commits what a majority holds and sends what fits. */
void raft_replication_go_on(struct raft *r);
bool raft_replication_serving(const struct raft *r);
/* As in raft_status. */
uint64_t raft_replication_received(const struct raft *r);
struct raft_place raft_replication_kept(const struct raft *r);
/* The same of a process that begins. */
struct raft_place raft_replication_begun(const struct raft *r);

#endif
