/*
 * Cells beside each other: each is a queue daemon with a journal of its own, which comes and goes;
 * clients that roam between them; movers, which carry queues from one to another; and forwarders.
 * Nothing happens but by world_step(), which lets one thing happen, chosen by the seed.
 * After the seed's steps comes the calm: nothing breaks any more, everything is sent, delivered,
 * moved and settled, and what is left is compared.
 *
 * Clocks.  boot_ms is the same for all.  Each client's clock has an offset of its own to it.  Each
 * cell's wall clock jumps, and its lease time resumes from its newest event when it starts.
 */
#ifndef SIM_CELLS_WORLD_H
#define SIM_CELLS_WORLD_H

#include "../sim/lines.h"
#include "../sim/prng.h"

#include "core/base/limits.h"

/* What a wall clock that is right is ahead of boot time. */
#define WORLD_WALL_MS 1800000000000

/* Cells, names of queues without endings, actors: at most. */
#define WORLD_CELLS  8
#define WORLD_QUEUES 8

/* How often what happens, of 1000 steps; each seed has its own.  A move takes many hundreds of them. */
struct weather {
	unsigned out_of; /* steps, for faults, up to death: most seeds have few */
	unsigned crash;	 /* of a cell */
	unsigned tense;	 /* … of 1000 turns after a step of a move */
	unsigned cut;	 /* of a connection */
	unsigned stall;	 /* of a connection */
	unsigned pause;	 /* of a cell or of a process */
	unsigned jump;	 /* of a wall clock */
	unsigned leap;	 /* of time: nobody does anything for a while */
	unsigned death;	 /* of a client, a mover or a forwarder */
	unsigned commit;
	unsigned checkpoint;
	unsigned tense_checkpoint; /* of 1000 turns after a step of a move */
	unsigned large;		   /* messages in chunks, of 1000 batches */
	unsigned shared;	   /* to several queues, of 1000 */
	unsigned topics;	   /* to a topic, of 1000 batches */
	unsigned both;		   /* settled and sent in one command, of 1000 settlements */
	unsigned cancel; /* cancelled, purged, set, of 1000 steps of the administrator */
	unsigned pace;	 /* batches of 1000 steps of a sender */
	unsigned moves;	 /* begun, of 1000 steps of a mover */
	unsigned
	    rogue; /* somebody asks for what only a mover may, of 1000 steps of the administrator */
	unsigned remove; /* queues, of 1000 steps of the administrator */
	unsigned haste;	 /* of movers: so many of 1000 steps are theirs */
};

/* What is special about a queue. */
enum queue_kind {
	QUEUE_PLAIN, /* handed out in order */
	QUEUE_KEYED, /* … of each key, one at a time */
	QUEUE_IDS,   /* messages have ids, and are sent several times */
	QUEUE_LANED, /* priorities, delays, expiry */
	QUEUE_KINDS
};

struct daemon;
struct input;
struct lists;
struct actor;
struct checks;

struct world {
	struct prng prng;
	struct prng
	    later; /* of what came to the simulation later, so that other seeds stay as they are */
	struct weather weather;
	struct space_limits space; /* small, so that a short run crosses them */
	uint64_t boot_ms;
	bool calm;
	struct lines lines;
	uint32_t lines_goal; /* so many messages are written in all */
	struct daemon *cells;
	unsigned cells_count;
	char list[6000];     /* of cells, as it is right */
	char older[6000];    /* … as it was before the last ones came */
	struct input *input; /* NULL: none */
	struct lists *lists; /* those that change; NULL: they do not */
	bool unlisted;	     /* daemons are not told of cells */
	unsigned queues_count;
	bool numbered; /* queues are named by their numbers */
	enum queue_kind kinds[WORLD_QUEUES];
	uint32_t bound; /* bits: queues that are bound to the topic */
	uint32_t dead;	/* bits: queues that others have for their dead letters */
	struct actor *actors;
	unsigned actors_count;
	unsigned movers, movers_count; /* the first one, and how many */
	uint32_t lives;		       /* of them so far */
	struct checks *checks;
	uint32_t moves_done;
	bool left; /* a mover has died since a copy was dropped: it moved */
	unsigned left_queue, left_cell; /* … this queue to there */
};

struct world *world_new(uint64_t seed);
void world_free(struct world *w);
/* In some worlds all queues are made and bound before anything breaks. */
void world_set_up(struct world *w);
/* One thing happens. */
void world_step(struct world *w);
/* The calm, up to its end. */
void world_calm(struct world *w);

/* The name of a queue without ending; borrowed until the next call. */
struct slice world_queue(const struct world *w, unsigned queue);

#endif
