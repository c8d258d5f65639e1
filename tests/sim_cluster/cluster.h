/*
 * The simulated cluster, all cores together: nodes with a Raft core, a disk and a network
 * (tests/sim_raft); on the leader that serves a queue core which appends through Raft; and
 * client cores that find it again after each failover (tests/sim).
 *
 * Time goes on by milliseconds.  In each, nodes take messages, timers and syncs; queue
 * daemons, connections and clients do a few things in an order that is the seed's; and
 * something may break.  What was ever committed, without holes, is world.journal: what
 * clients are told and what nodes recover is compared with it.
 *
 * After the faults comes the calm: everything is sent, delivered and settled, checkpoints
 * free what died, and all nodes must be equal.
 */
#ifndef SIM_CLUSTER_H
#define SIM_CLUSTER_H

#include "../sim/daemon.h"
#include "../sim/world.h"
#include "../sim_raft/sim.h"

#include "links.h"

#include "core/host/cluster_room.h"
#include "core/host/crashes.h"
#include "core/host/ending.h"
#include "core/host/leaving.h"
#include "core/host/ends.h"
#include "core/host/fetch.h"
#include "core/host/health.h"
#include "core/host/keeper.h"
#include "core/host/reads.h"
#include "core/host/relief.h"
#include "core/host/roles.h"
#include "core/host/shared_journal.h"
#include "core/host/start_gate.h"

#include <stdbool.h>
#include <stdint.h>

/* A BARRIER of a queue daemon, what was committed before it, and the newest round then. */
struct waiting {
	uint64_t id;
	uint64_t commit;
	uint64_t round;
};

/* What the cluster daemon of a node keeps for its queue daemon. */
struct site {
	struct cluster *c;
	struct node *node;
	struct daemon *daemon;
	struct engine engine;
	struct shared_journal_owner owner;
	struct shared_journal *shared; /* of the newest start; NULL: none yet */
	struct journal_model journal;  /* what the daemon has not written or read; no disk */
	struct bytes said;	       /* by the daemon, not read */
	struct bytes answers;	       /* to the daemon, not a whole frame yet */
	bool opening;		       /* OPENED is on its way */
	uint64_t committed;	       /* by Raft: committed and durable here */
	struct ends ends;
	struct tail tail;
	uint64_t truncated;    /* in this millisecond, from there on; 0: no */
	struct disk_room disk; /* what its disk said last */
	/* bytes of records, headers counted, that it holds; UINT64_MAX: no end */
	uint64_t capacity;
	uint64_t reserve; /* of the capacity */
	struct intake intake;
	struct reads reads;
	struct fetch fetch;
	uint64_t truncate_seq; /* of the newest STORE that truncates */
	uint64_t bad;	       /* of which the queue daemon has said BAD; 0: none */
	bool opened;	       /* the queue daemon reads the log, or has read it */
	bool unreadable; /* it, or the process (`dies`), needs a record that is not to be had */
	bool dies;
	struct relief relief;
	struct raft_place leader_cover; /* as of what it answered last */
	struct disk_room told;		/* what it told the others last */
	uint64_t told_ms;
	struct disk_room heard[NODES]; /* what they told it, over a connection that is up */
	bool linked[NODES];
	uint64_t lost_at[NODES]; /* when one was cut off; 0: it can be heard */
	uint64_t turned_at;
	struct keeper keeper;
	struct crashes crashes;
	struct crashes_word told_died;
	/* How its queue daemon ends before it takes clients: not of what it reads. */
	enum { RUNS, EXITS_READING, KILLED_READING, CRASHES_READY } start;
	uint64_t starts;	/* of its queue daemons, ever */
	uint64_t rested_at;	/* ms; the end of its pause */
	uint64_t lingers_until; /* one that was killed ends then */
	bool sticks;		/* one that is killed does not end */
	struct health health;
	enum { GATE_WELL, GATE_STOPPED, GATE_UNREACHED } gate;
	uint32_t flags[NODES]; /* of gates, as the others told them */
	struct ending ending;
	uint64_t told_to_end;	   /* when */
	struct ending leaves;	   /* it leaves the cluster */
	struct leaving others;	   /* or others do, and it leads */
	uint64_t pinged;	   /* PING that the daemon has not read; 0: none */
	uint64_t said_n, stored_n; /* APPENDs */
	uint64_t round_done;	   /* with the others, the newest */
	struct waiting *waiting;   /* BARRIERs that are not done */
	size_t waiting_count, waiting_cap;
	struct links links;
	struct watcher *watcher; /* of its events; NULL: none yet */
};

/*
 * What may come in the calm.  A known-bad variant that only one part of it shows wishes for that
 * part, and each of its seeds has it and no other.
 */
enum calm_part {
	PART_ANY,
	PART_ADMINISTRATOR,
	PART_ILLNESS,
	PART_DEADLY,
	PART_ONE_RUNS,
	PART_SLOWLY,
	PART_EXAM
};
struct wish {
	enum calm_part part;
	const char *illness; /* NULL: any */
	bool sparing;	     /* see struct cluster */
	bool waits;	     /* for min_members */
	bool roles;	     /* one node may not run the queue daemon */
};

struct cluster {
	struct world world;
	struct sim sim;
	struct site sites[NODES];
	struct jm_record records[VALUES]; /* by value, as their leader made them */
	uint64_t checked_at;
	bool resting;	     /* in the calm: clients stand still */
	uint64_t rests_from; /* what was committed before */
	uint64_t room_at;    /* in the calm: when all disks have room again */
	/*
	 * What is used of the disks dies soon, and can be used again: however much is written,
	 * there is room for so much.  0: it is not so.
	 */
	uint64_t level;
	uint64_t failovers, served;
	const char *illness;	      /* that lasts; NULL: none */
	uint64_t went_on, went_on_at; /* meanwhile: the newest record committed, and when */
	unsigned ill;		      /* bits of the slots that have it */
	bool
	    sparing; /* a checkpoint is due by as much dead as on a real node: more than is sent */
	bool tight;  /* whose disk is full has no reserve worth the name */
	bool little; /* the others have room, and too little to lead for that */
	struct call *calls;
	struct raft_config config;	    /* the newest that is committed */
	bool removed[NODES][UINT8_MAX + 1]; /* by slot and incarnation: ever, by a majority */
	unsigned breaks;		    /* in permille */
	bool moving;			    /* nodes move, one by one */
	uint64_t away_at, back_at;	    /* of some node; 0: never */
	uint64_t all_move_at;		    /* 0: never */
	uint64_t deadly; /* a record that no queue daemon survives; 0: none */
	uint64_t starts; /* of queue daemons, ever */
	struct min_members min_members;
	uint64_t calm_at;
	struct wish wish;
	struct prng recoveries;
	struct kept *kept; /* a node's disk as it was; NULL: none */
};

#define ROOM_ENOUGH (1ull << 40)
/* More than the largest message needs. */
#define LEVEL_BATCHES 20000
#define LEVEL_LARGE   600000
#define LEVEL_SLOW    70000
#define ROOM_LITTLE   (4u << 20) /* more than all that is sent, and not HEALTH_BETTER_BYTES */
/* Of a disk that is full: for records without new messages, and for those that Raft makes. */
#define RESERVE_MIN   10000
#define RESERVE_MAX   50000
#define RESERVE_SPENT 1000  /* soon */
#define RESERVE_TIGHT 12000 /* of a follower: for a checkpoint, once what it holds is gone */
/* And for a state that is nearly empty, its checkpoints, and what is not worth one. */
#define RESERVE_AMPLE 150000
#define RESERVE_SPARE 5000

struct cluster *cluster_new(uint64_t seed, enum world_variant world, struct wish wish);
void cluster_free(struct cluster *c);
void cluster_millisecond(struct cluster *c);
/* The calm, up to its end. */
void cluster_calm(struct cluster *c);
void cluster_calm_millisecond(struct cluster *c);

/* Whether this part of the calm comes, which by chance has come. */
bool cluster_part(const struct cluster *c, enum calm_part part, bool by_chance);

/* What a disk with room has. */
uint64_t room_again(const struct cluster *c);

/* ---- administrator.c ---- */

/* In the calm: a few nodes are dead for a while, and others are removed by mistake. */
void administrator(struct cluster *c);
/* A node's turn: if it leads, members that leave go on. */
void administrator_sees_off(struct site *s);

/* ---- site.c ---- */

extern const struct host site_host;
void site_init(struct cluster *c, unsigned slot);
/* A new process of the cluster daemon: it watches over nothing yet. */
void site_begin(struct site *s);
void site_free(struct site *s);
/* A turn of the cluster daemon: starts the queue daemon, takes what it said, answers. */
void site_turn(struct site *s);
/* Its queue daemon comes upon a record that has gone bad, if one has. */
void site_looks(struct site *s);
/* Its disk has so many bytes for new messages, from now on. */
void site_disk(struct site *s, uint64_t bytes);
/* SIGTERM; once more: no effect. */
void site_end(struct site *s);
/* Its disk is full from now on, for good: there is only this reserve. */
void site_fill(struct site *s, uint64_t reserve);
/* The queue daemon alone is killed; of what it said, some is read before its end. */
void site_kill_queue(struct site *s);
/* Whether nothing is under way between the queue daemon and Raft. */
/* Whether its node leads. */
bool site_leads(const struct site *s);
bool site_idle(const struct site *s);
/* The daemon that serves, NULL: none does, or only one that is stopped. */
struct site *site_serving(struct cluster *c);

/* ---- illness.c ---- */

/* A minority of the voters falls ill, for good: in one of some ways. */
void illness_begin(struct cluster *c);
/* What lasts does so, for a process that was started anew as well. */
void illness_turn(struct cluster *c);
void illness_end(struct cluster *c);
/* Whether what is ill has to get all that is committed, once the queues are empty. */
bool illness_catches_up(const struct cluster *c);
/* For a while, a record that is committed makes each queue daemon die that reads it. */
void illness_deadly_record(struct cluster *c);
/* For a while, queue daemons run on one of the nodes only. */
void illness_run_on_one(struct cluster *c);

/* ---- suspicion.c ---- */

/* A new process watches the others. */
void suspicion_begin(struct site *s);
/* STATE and TELL of `from` are on their way. */
void suspicion_sent(const struct site *from, struct site *to);
void suspicion_turn(struct site *s);
/* At last: one of them dies, and two do not hear each other. */
void suspicion_exam(struct cluster *c);

/* ---- watchers.c ---- */

/* After all else in a turn: what has changed is told. */
void watchers_turn(struct site *s);

/* ---- replica.c ---- */

/*
 * Recovers from the node's disk and compares with the whole history up to the same record.
 * A disk that a node could not serve from is passed over.
 */
void replica_check(struct cluster *c, const struct node *n);
/* Whether all members hold the same records, if there is an END that is newer than the rest. */
bool replicas_are_alike(struct cluster *c);
/* Of all nodes; and the members' disks hold no more than they must. */
void replica_check_end(struct cluster *c);

/* ---- recovered.c ---- */

/* Now and then a node's disk as it was a while ago is recovered, as if all others were lost. */
void recovery_turn(struct cluster *c);
void recovery_free(struct cluster *c);

#endif
