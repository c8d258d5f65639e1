/*
 * Which members are unreachable, by the opinion of the majority.
 *
 * Each member watches each other one (phi.h) and tells all whom it suspects (tell.h).  A voice about a
 * member is that of this node, and of each other member that this node does not suspect and that
 * has told its opinion over the connection that is up.  One that has not heard that member since it
 * started, and does not suspect it yet, has no opinion of it.  A member is unreachable, as this node
 * sees it, if of the voices about it
 *
 *	more than half suspect it.
 *
 * So a cable that is cut between two of three or more makes nobody unreachable, as long as the
 * others hear both.  For a node that hears nobody, all others are.  Its own unreachability is what
 * the others say.  That a member is up (members.h) is another thing, of which this node needs
 * nobody's opinion: words go both ways between the two of them.
 *
 * A step of time between two turns is at most a heartbeat: a node that was stopped itself suspects
 * no other for that.
 */
#ifndef RMQ_CORE_HOST_OPINIONS_H
#define RMQ_CORE_HOST_OPINIONS_H

#include "core/host/phi.h"
#include "core/host/tell.h"

struct opinions_peer {
	struct raft_id id;
	struct phi phi; /* in ms of `clock` */
	struct opinion said;
	bool tells;	  /* and that counts */
	bool suspected;	  /* by this node, as of the last turn */
	bool unreachable; /* as of the last turn */
};

struct opinions {
	struct raft_id self;
	struct phi_settings settings;
	uint64_t now_ms, clock; /* of the last turn */
	bool self_unreachable;
	bool news; /* since the last turn */
	unsigned count;
	struct opinions_peer peers[MEMBERS_LINKS_MAX];
};

void opinions_init(struct opinions *o, struct raft_id self, const struct phi_settings *settings,
    uint64_t now_ms);

/* A link with it is made, or ended for good: see members_update(). */
void opinions_add(struct opinions *o, struct raft_id id, uint64_t now_ms);
void opinions_drop(struct opinions *o, struct raft_id id);

/* STATE has come from it. */
void opinions_beat(struct opinions *o, struct raft_id id, uint64_t now_ms);
/* TELL has; NULL: its connection has ended, and what it said counts no more. */
void opinions_told(struct opinions *o, struct raft_id id, const struct opinion *said);

/* A turn.  True: this node suspects others than before, or others are unreachable. */
bool opinions_turn(struct opinions *o, uint64_t now_ms);
/* When the next is due, if nothing comes before. */
uint64_t opinions_due(const struct opinions *o);

/* What this node tells. */
void opinions_own(const struct opinions *o, struct opinion *own);

/* NULL: no such member, or it is this node. */
const struct opinions_peer *opinions_find(const struct opinions *o, struct raft_id id);
/* Whether this member, or this node, is unreachable. */
bool opinions_unreachable(const struct opinions *o, struct raft_id id);
/* For people; 0 of this node.  The silence is that since the newest heartbeat. */
uint64_t opinions_silent(const struct opinions *o, struct raft_id id, uint64_t now_ms);
double opinions_phi(const struct opinions *o, struct raft_id id, uint64_t now_ms);

#endif
