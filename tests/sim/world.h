/*
 * What simulated worlds with a queue in them share: one machine with a journal of its own
 * (machine.h), or a cluster (tests/sim_cluster).  It holds queue daemons, clients, their
 * connections, and the state that the committed records say (shadow.h).
 *
 * Clocks.  boot_ms is CLOCK_BOOTTIME.  Lease time resumes from the newest event when a
 * daemon starts and goes on by it.  Each client's clock has an offset of its own to it.
 * Each daemon's wall clock jumps.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "journal_model.h"
#include "lines.h"
#include "net.h"
#include "prng.h"
#include "shadow.h"

#include "core/base/limits.h"
#include "core/base/name.h"

/*      name                   what is broken, in the world around the core */
#define WORLD_VARIANTS(X) \
	X(HOLE_EARLY, "holes are made before their END is committed") \
	X(ONE_CLOCK, "the clock is read once a turn") \
	X(WALL_LEASES, "leases run by the wall clock") \
	X(RELEASE_ON_DISCONNECT, "a lost connection ends the leases") \
	X(STORED_EARLY, "STORED is answered before the commit") \
	X(COMMIT_SUPPRESSED, "a commit stays in memory") \
	X(HANG_TAKEN, "a commit that hangs is taken for done") \
	X(MOVE_KILLS, "MOVE makes a hole of the record") \
	X(OLD_END, "recovery begins at an older END than the newest")

enum world_variant {
	WORLD_SOUND,
#define X(name, text) WORLD_##name,
	WORLD_VARIANTS(X)
#undef X
};

/* What a wall clock that is right is ahead of boot time. */
#define WORLD_WALL_MS 1800000000000

/* How often what happens, of 1000 steps; each seed has its own. */
struct weather {
	unsigned crash; /* of the daemon or the journal */
	unsigned cut;	/* of a connection */
	unsigned stall; /* of a connection */
	unsigned wedge; /* … for good, if there are several contact points */
	unsigned hang;	/* the disk commits nothing for a while */
	unsigned slow;	/* time passes inside of a turn, of 1000 connections that are read */
	unsigned pause; /* SIGSTOP of a client or of the daemon */
	unsigned jump;	/* of the wall clock */
	unsigned leap;	/* of time: nobody does anything for a while */
	unsigned full;	/* the disk's size changes */
	unsigned taken; /* others take all room on it, or give it back */
	unsigned death; /* of a client */
	unsigned commit;
	unsigned checkpoint;
	unsigned move;
	unsigned still;	       /* nobody asks anything */
	unsigned rot;	       /* a record with bodies cannot be read any more */
	unsigned long_lines;   /* of 1000 */
	unsigned large;	       /* messages in chunks, of 1000 batches */
	unsigned shared;       /* to several queues, of 1000 */
	unsigned laned;	       /* with priorities, delays, expiry, of 1000 */
	unsigned keyed;	       /* of those, with keys */
	unsigned topics;       /* to a topic, of 1000 batches */
	unsigned ephemeral;    /* of 1000 subscriptions, to patterns */
	unsigned watched;      /* how often a client waits for what a queue holds */
	unsigned large_topics; /* of those, large messages */
	unsigned ids;	       /* with ids, of 1000 batches */
	unsigned intrude;      /* somebody names another's session */
	unsigned trespass;     /* somebody asks for what it may not do */
	unsigned granted;      /* of 1000 actors, may do only what they need */
	unsigned maps;	       /* how often a client asks for something of the map */
	unsigned views;	       /* … and then, to be told of changes */
	unsigned by_key;       /* queues that hand out by key, of 1000 settings */
	unsigned admin;	       /* rm and purge, of 1000 commands of the administrator */
};

struct actor;
struct ephemerals;
struct pool;

struct world {
	struct prng prng;
	/* Of what came later, and later still: it leaves the rest of a seed as it is. */
	struct prng own, later, ids, rights, maps_prng;
	struct weather weather;
	struct space_limits space; /* small, so that a short run crosses them */
	enum world_variant variant;
	uint64_t boot_ms;
	uint64_t moment; /* counts frames that daemons take */
	bool calm;
	bool still;	     /* the daemon is left to itself */
	bool draining;	     /* nothing is done but what drains the queues */
	uint64_t hung_until; /* the disk; boot time */
	/* the disk's capacity when others give it back; 0: they have none */
	uint64_t given_back;
	/* The journal; in a cluster what was ever committed, where nothing becomes a hole. */
	struct journal_model journal;
	uint64_t term; /* of the newest committed record; 0 on one machine */
	struct shadow shadow;
	struct lines lines;
	uint64_t *given; /* at which moment, by lease: see receivers.h */
	size_t given_cap;
	struct net net;
	struct daemon *daemons;
	unsigned daemons_count;
	unsigned servers; /* contact points */
	/*
	 * A client connects to this contact point, or, if it is not empty, to the address it
	 * was redirected to; NULL: nobody is there.
	 */
	struct link *(*dial)(
	    struct world *w, unsigned server, struct slice address, uint64_t clock_ms);
	struct actor *actors;
	unsigned actors_count;
	uint32_t lives;			       /* of them so far */
	struct pool *receipts;		       /* that receivers detached */
	struct ephemerals *ephemerals;	       /* NULL: none yet */
	char (*sub_names)[NAME_EPHEMERAL_MAX]; /* of their queues */
	unsigned sub_names_count;
	struct maps *maps;     /* what is known of the map */
	struct import *import; /* what one of the senders sends, if there are many */
	uint32_t lines_goal;   /* so many messages are written in all */
};

/* In zeroed memory.  The caller sets servers, dial and the daemons' journals. */
void world_init(struct world *w, uint64_t seed, unsigned daemons);
void world_deinit(struct world *w);

/* Records that the parts of the newest checkpoint take. */
uint64_t world_parts(const struct world *w);

/* Time goes on, and nobody does anything: now and then so long that those who are away are gone. */
void world_leap(struct world *w);
/* A client's connection breaks; one stops for a while. */
void world_cut(struct world *w);
void world_stall(struct world *w);
/* A connection passes nothing any more, and does not end: the client has to. */
void world_wedge(struct world *w);
/* A client that was not issued a session names it. */
void world_intrude(struct world *w);

#endif
