/*
 * A simulated cluster of Raft cores: its nodes with their disks, the network between them,
 * and what is known of all of it (the ghost), which every step is checked against.
 */
#ifndef SIM_RAFT_H
#define SIM_RAFT_H

#include "core/base/variant.h"
#include "core/host/joining.h"
#include "core/host/members.h"
#include "core/host/recovery.h"
#include "core/raft/raft.h"

#include "../sim/prng.h"

#define NODES	     6
#define LOG_MAX	     24000
#define VALUES	     32768
#define TERMS	     512
#define ELECTION     100
#define BEAT	     20
#define BARRIERS_MAX 16
#define READS_MAX    32

struct rec {
	uint64_t term;
	uint32_t value; /* names the record; of END and CONFIG: what it says */
	uint8_t kind;	/* RAFT_HOLE: a hole */
	uint8_t bad;	/* enum rec_bad */
};

/* What has become of a record's bytes on a disk. */
enum rec_bad {
	REC_GOOD,
	REC_ROTTEN,   /* some have changed */
	REC_MISPLACED /* they are another record's */
};

/* What a STORE holds, copied. */
struct op {
	struct op *next;
	struct raft_store store;
	struct rec *recs;
	unsigned rec_count;
	struct rec mend; /* of store.mend; kind RAFT_HOLE: none */
	uint64_t mend_index;
};

struct disk {
	uint64_t term;
	struct raft_id vote;
	uint64_t commit;
	struct raft_place cover;
	uint64_t last;
	struct rec log[LOG_MAX + 1];
};

/* A READ that waits for its answer. */
struct read {
	struct raft_action a;
	uint64_t at;
};

/* A barrier that is not done, and what was committed when it was asked for. */
struct barrier {
	uint64_t seq;
	uint64_t commit;
};

struct node {
	struct raft *raft; /* NULL: down */
	struct raft_id id;
	unsigned slot, incarnation;
	unsigned place;	     /* its address */
	bool no_broker;	     /* it may not run the queue daemon */
	struct disk *before; /* a known-bad variant: as it was before the newest STORE */
	struct disk *old;    /* a copy of it; NULL: none */
	bool was_put_back;   /* to that */
	struct members *members;
	uint64_t boot;		   /* of this process */
	uint64_t let_in_by[NODES]; /* processes that have taken its HELLO; 0: none */
	struct disk disk;	   /* durable */
	struct disk view;	   /* with what is not synced yet */
	struct op *ops, **ops_end;
	uint64_t sync_at, paused_until, full_until, up_at;
	int64_t skew;
	unsigned sync_ms; /* that its disk takes at most */
	unsigned rate;	  /* of its clock, in permille */
	uint64_t committed;
	uint64_t leader_commit; /* as leaders say; no one but a known-bad variant acts on it */
	enum raft_role role;
	uint64_t role_term;
	bool cut_to[NODES];
	bool narrow;	   /* what it sends with records is lost */
	unsigned carries;  /* bytes of records a ms, to each of the others; 0: any */
	unsigned queue_ms; /* and all else that it sends waits so long behind them at most */
	uint64_t carried_at[NODES]; /* when all that was sent has been carried */
	uint64_t end_tried;
	struct read reads[READS_MAX]; /* with a host these are its own */
	unsigned read_count;
	uint32_t mend_value; /* names the record that is being mended */
	uint64_t barrier;    /* the newest one's number */
	struct barrier barriers[BARRIERS_MAX];
	unsigned barrier_count;
	uint64_t stores; /* so many were asked for */
	uint64_t sent_seq,
	    stored_seq; /* of the newest STORE, and of the newest that is synced */
	bool gone;
	struct joining joining;
	bool told_lost; /* it was told that its cluster was recovered without it */
	bool lost;	/* of the cluster from which another one was recovered without it */
};

struct packet {
	struct packet *next;
	uint64_t at;
	uint64_t boot; /* of its sender */
	struct raft_message m;
	struct raft_run *runs;
	uint32_t *values;
};

/* What an END says died. */
struct end {
	unsigned count;
	struct hole_range dead[];
};

/* What a record holds, by the number that names it. */
struct value {
	uint32_t bytes;
	struct raft_config *config; /* of CONFIG */
	struct end *end;	    /* of END */
};

/* A record as its leader made it. */
struct made {
	struct made *next;
	uint64_t prev_term;
	struct rec rec;
};

struct sim;

/* Who lives on top of the nodes. */
struct host {
	/* A step's action is about to be done. */
	void (*action)(struct sim *s, struct node *n, const struct raft_action *a);
	/* The process begins with what is on its disk. */
	void (*up)(struct sim *s, struct node *n);
	/* The process has ended. */
	void (*down)(struct sim *s, struct node *n);
	/* This record is committed: some node knows it. */
	void (*committed)(struct sim *s, uint64_t index);
	/* Whether it can send this now. */
	bool (*can_send)(struct sim *s, struct node *n, const struct raft_message *m);
	/* A message has come; false: over a connection that is gone. */
	bool (*heard)(struct sim *s, struct node *n, const struct packet *p);
	/* Cuts a message to what the node takes of it; false: it is lost. */
	bool (*takes)(struct sim *s, struct node *n, struct packet *p);
	/* Whether the disk has room for the STORE; else it waits, and all after it. */
	bool (*fits)(struct sim *s, const struct node *n, const struct op *op);
};

struct sim {
	const struct host *host; /* NULL: nobody */
	void *arg;		 /* the host's */
	struct table *table;	 /* the database that votes (tables.h); NULL: members vote */
	struct prng prng;
	uint64_t now;
	uint64_t seed;
	bool quiet;   /* no faults any more */
	bool by_hand; /* a directed schedule: nothing happens by chance */
	struct node nodes[NODES];
	struct packet *packets;
	uint32_t values;
	struct value value[VALUES];
	struct made *made[LOG_MAX + 1];
	struct rec committed[LOG_MAX + 1];
	uint64_t commit_terms[LOG_MAX + 1]; /* of the leader that committed it */
	uint64_t killed_by[LOG_MAX + 1];    /* the first committed END that says it died */
	uint64_t commit;
	struct raft_id leaders[TERMS];
	struct raft_id votes[TERMS][NODES][8];
	/* How this seed is: chances in permille, times in ms. */
	uint32_t election_ms, beat_ms;
	unsigned loss, duplicate, delay_max, faults, wipes, put_backs, changing;
	const struct node *spared; /* no change of membership concerns it; NULL: none */
	struct node *rots;	   /* records on its disk go bad; NULL: on nobody's */
	/* Its directory was put back, and it was not told yet, which this one can; NULL: no. */
	struct node *put_back, *knows;
	uint64_t told_at; /* from then on */
	uint64_t boots, told_back;
	unsigned cuts; /* nodes die between two actions of a step */
	unsigned busy; /* the hosts: READs are late, a quarter of that are lost */
	uint64_t hash;
	uint64_t proposed, elections, holes, changes;
};

/* Ends the process with 1 and says what was broken.  Whoever has main() has these two. */
void sim_broken(struct sim *s, const char *what, uint64_t a, uint64_t b)
    __attribute__((noreturn));
void sim_note(struct sim *s, uint64_t x);

/* ---- cluster.c ---- */

/* In zeroed memory: chance from the seed, nodes that run, the first of them voters. */
void sim_begin(struct sim *s, uint64_t seed);
void sim_end(struct sim *s);
struct node *sim_any(struct sim *s);
void sim_partition(struct sim *s);
void sim_heal(struct sim *s);
/* The leader is asked for a change of membership that makes sense. */
void sim_membership(struct sim *s, struct node *leader);
/* Something breaks. */
void sim_fault(struct sim *s);
/* A millisecond passes: faults, messages, timers, disks. */
void sim_millisecond(struct sim *s);
/* What an administrator and the network do to a leader. */
void sim_disturb(struct sim *s, struct node *leader);
/* The faults end. */
void sim_calm(struct sim *s);
void sim_reconnect(struct sim *s);
/* All voters agree on a leader and have caught up with it. */
bool sim_is_alive(struct sim *s);
void sim_check_alive(struct sim *s);

/* ---- node.c ---- */
void node_first(struct sim *s, unsigned voters);
void node_start(struct sim *s, struct node *n);
/* What is found on that disk. */
void node_found(const struct sim *s, const struct node *n, const struct disk *d,
    struct raft_place terms[TERMS], struct raft_run configs[LOG_MAX], struct raft_begin *b);
void node_crash(struct sim *s, struct node *n);
void node_wipe(struct sim *s, struct node *n);
/* Its disk is copied; and it crashes, and its disk is as it was then. */
void node_copy(struct node *n);
void node_put_back(struct sim *s, struct node *n);
enum rmq_error node_step(struct sim *s, struct node *n, struct raft_event *e);
/*
 * What a disk holds from `index` on, as RAFT_READ wants it, up to a record that is bad: *bad, 0: there is
 * none.  Returns how many runs.
 */
unsigned node_log(struct sim *s, struct node *n, const struct disk *d,
    const struct raft_action *a, struct raft_run runs[RAFT_RUNS_MAX], uint64_t *bad);
/* The bytes of a record on a disk, whose payload names it. */
#define NODE_RECORD_BYTES (RECORD_HEADER_SIZE + 4)
struct slice node_record(
    const struct disk *d, uint64_t index, uint8_t bytes[NODE_RECORD_BYTES]);
/* Whether its checksum, its index and all are right. */
bool node_record_is_good(const struct disk *d, uint64_t index);
/* Answers the READs that are due; node_turn: and tells the time. */
void node_reads(struct sim *s, struct node *n);
void node_turn(struct sim *s, struct node *n);
void node_deliver(struct sim *s, struct packet *p);
/* A message for it that came another way. */
void node_take(struct sim *s, struct node *n, struct packet *p);
/* Asks for a barrier; its number, 0: not now. */
uint64_t node_barrier(struct sim *s, struct node *n);
/* Asks for the holes of each END that it may use by now. */
void node_holes(struct sim *s, struct node *n);
struct node *node_leader(struct sim *s);
/* Whether its process is there, and is not stopped: no other takes a step. */
bool node_runs(const struct sim *s, const struct node *n);
void node_member(const struct node *n, struct raft_member *m);
uint64_t node_clock(const struct sim *s, const struct node *n);
void packet_free(struct packet *p);
bool node_sync(struct sim *s, struct node *n);

/* ---- meet.c ---- */
void meet_begin(struct sim *s, struct node *n);
void meet_millisecond(struct sim *s);
bool meet_can_send(const struct sim *s, const struct node *n, struct raft_id to);
/* A message has come; false: it comes over a connection that is gone. */
bool meet_heard(const struct sim *s, struct node *n, const struct packet *p);
/* It says HELLO to another, and what it keeps. */
enum rmq_error meet_hello(struct sim *s, struct node *n, struct node *at);
void meet_tells(struct node *n, struct node *at);
/* Node `by` lets it in. */
void meet_lets_in(struct sim *s, struct node *n, const struct node *by);
/* A lost node and one of the recovered cluster meet: neither takes the other for one of its own. */
void meet_lost(struct sim *s, struct node *n, struct node *at);
/* Whether nothing happens to it, as a node that was put back would never be told. */
bool meet_is_spared(const struct sim *s, const struct node *n);

/* ---- recovered.c ---- */

/*
 * All die, and are lost, but for one: what is on its disk now becomes a cluster of its own, as `rmq-journal
 * recover` makes it.  *plan is set, the configuration of *d is `value`, which is added to s.
 */
enum rmq_error recovered_disk(struct sim *s, const struct node *n, struct raft_id cluster,
    uint64_t wall_ms, struct disk *d, struct recovery *plan);
/* The cluster goes on without the others, which come back; nodes join it. */
void recovered_run(const struct sim *was);

/* ---- adopted.c ---- */

/*
 * All die, and one has a new disk and adopts the log that the database holds; those that have their old disks come
 * back, maybe too early.  work: what else is done in a millisecond.
 */
void adopted_run(struct sim *s, void (*work)(struct sim *s));

/* ---- check.c ---- */
/* What is on the disk of a recovered node is what its cluster begins with; s has none yet. */
void check_recovered(struct sim *s, const struct sim *was, const struct node *n, uint64_t old);
void check_made(struct sim *s, uint64_t index, uint64_t prev_term, struct rec rec);
void check_barrier(struct sim *s, struct node *n, const struct barrier *b);
void check_message(struct sim *s, struct node *n, const struct raft_message *m);
void check_node(struct sim *s, struct node *n);
void check_disk(struct sim *s, struct node *n, const struct disk *d);
void check_log(struct sim *s, struct node *n, uint64_t from);

#endif
