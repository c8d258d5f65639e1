/*
 * The simulated world: one journal on one disk, one queue daemon that comes and goes,
 * clients, connections and clocks.  Nothing happens but by world_step(), which lets one
 * thing happen, chosen by the seed: so that the order of things is the seed's, and every
 * order is possible.
 *
 * Clocks.  boot_ms is the machine's CLOCK_BOOTTIME.  Lease time resumes from the newest
 * event when a daemon starts and goes on by it.  Each client's clock has an offset of its
 * own to it.  The wall clock jumps.
 *
 * After the seed's steps comes the calm: nothing breaks any more, everything is sent,
 * delivered and settled, and what is left is compared.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "journal_model.h"
#include "lines.h"
#include "net.h"
#include "prng.h"
#include "shadow.h"

#include "core/broker.h"

/*      name                   what is broken, in the world around the core */
#define WORLD_VARIANTS(X) \
	X(HOLE_EARLY, "holes are made before their END is committed") \
	X(WALL_LEASES, "leases run by the wall clock") \
	X(RELEASE_ON_DISCONNECT, "a lost connection ends the leases") \
	X(STORED_EARLY, "STORED is answered before the commit") \
	X(COMMIT_SUPPRESSED, "a commit stays in memory") \
	X(MOVE_KILLS, "MOVE makes a hole of the record") \
	X(OLD_END, "recovery begins at an older END than the newest")

enum world_variant {
	WORLD_SOUND,
#define X(name, text) WORLD_##name,
	WORLD_VARIANTS(X)
#undef X
};

/* How often what happens, of 1000 steps; each seed has its own. */
struct weather {
	unsigned crash; /* of the daemon or the journal */
	unsigned cut;	/* of a connection */
	unsigned stall;
	unsigned pause; /* SIGSTOP of a client or of the daemon */
	unsigned jump;	/* of the wall clock */
	unsigned leap;	/* of time: nobody does anything for a while */
	unsigned full;	/* the disk's room changes */
	unsigned death; /* of a client */
	unsigned commit;
	unsigned checkpoint;
	unsigned move;
	unsigned large; /* messages in chunks, of 1000 batches */
	unsigned admin; /* rm and purge, of 1000 commands of the administrator */
};

struct daemon {
	struct broker *broker;
	bool up;
	uint64_t lease_base_ms, boot_base_ms; /* lease time = base + boot - boot_base */
	uint64_t wall_base_ms;
	uint64_t turn_ms; /* boot time of the last turn */
	uint64_t paused_until;
	uint64_t life;
	/* what ROOM allows, and what was used of it */
	uint64_t room_n, room_bytes;
	uint64_t *sums; /* bytes of new messages up to append n */
	size_t sums_cap;
	uint64_t taken_session, taken_n; /* the newest SEND that was appended */
	uint64_t moved;			 /* record that was moved in this turn */
};

struct actor;
struct pool;

struct world {
	struct prng prng;
	struct weather weather;
	enum world_variant variant;
	uint64_t boot_ms;
	int64_t wall_offset_ms;
	bool calm;
	struct journal_model journal;
	struct shadow shadow;
	struct lines lines;
	struct net net;
	struct daemon daemon;
	struct actor *actors;
	unsigned actors_count;
	struct pool *receipts; /* that receivers detached */
	uint32_t lines_goal;   /* so many messages are written in all */
};

struct world *world_new(uint64_t seed, enum world_variant variant);
void world_free(struct world *w);
/* One thing happens. */
void world_step(struct world *w);
/* The calm, up to its end. */
void world_calm(struct world *w);

struct wall_time world_wall(const struct world *w);

#endif
