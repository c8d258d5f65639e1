/*
 * The host of Raft: each event is a step, whose actions are done at once, in order.  Reads are
 * served at the end of the turn, each by a step of its own.
 */
#ifndef RMQ_CLUSTERD_NODE_H
#define RMQ_CLUSTERD_NODE_H

#include "core/host/engine.h"
#include "core/raft/node_wire.h"
#include "core/raft/raft.h"

struct cluster;

/* Begins, with what is on disk. */
void node_open(struct cluster *c);
void node_close(struct cluster *c);

/* An event without payloads. */
enum rmq_error node_event(struct cluster *c, const struct raft_event *e);
/* One that is never refused, or whose refusal means nothing. */
void node_happens(struct cluster *c, const struct raft_event *e);
/* A member, in this term, knows that this node's directory was put back to an older state. */
void node_forgot(struct cluster *c, uint64_t term);
/* A member, in this term, has let this process in. */
void node_let_in(struct cluster *c, struct raft_id id, uint64_t term);
/* A member's directory was put back to an older state: it knows, and has come. */
void node_lost(struct cluster *c, struct raft_id id);

/* A message of a peer; pieces[i] is the payload of its runs[i]. */
void node_message(struct cluster *c, const struct raft_message *m, const struct piece *pieces);

/* The connection with this peer was lost. */
void node_reset(struct cluster *c, struct raft_id id);

/* HOLES of core/host/relief.h that came from a member.  False: a correct one does not send it. */
bool node_holes(struct cluster *c, struct raft_id from, const struct node_holes *m);

/* Record `index` is bad on this disk: fetch_want(). */
bool node_wants(struct cluster *c, uint64_t index);
/* The same for who can wait.  False: it can never be had. */
bool node_lacks(struct cluster *c, uint64_t index);
/* A peer that waits for record *index, which no node has; NULL: none does. */
const char *node_lacking(const struct cluster *c, uint64_t *index);
/* What a member answers. */
void node_fetched(struct cluster *c, struct raft_id from, const struct node_fetched *m);

/* What core/host/engine.h asks for; queue_round_done() is told of rounds. */
struct engine node_engine(struct cluster *c);

/* The journal has stored all transactions up to this one. */
void node_stored(struct cluster *c, uint64_t seq);

/* How many bytes of new messages the cluster may be given, and whether a member waits for room. */
void node_look_at_room(struct cluster *c);

/*
 * Begins to make a cluster of this node alone, whose log goes on from what is stored; it is made
 * once status.config is set.  cluster: its id; none: a new one is made.  RMQ_E_EXISTS: it is a
 * member, unless database_link_converts().  RMQ_E_BUSY: it asks to be one, or the disk has something to do.
 */
enum rmq_error node_found(struct cluster *c, struct raft_id cluster);

/* The end of a turn: serves reads, answers members that have asked, arms the clock. */
void node_turn(struct cluster *c);

#endif
