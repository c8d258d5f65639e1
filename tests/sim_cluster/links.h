/*
 * Links between the simulated nodes, as the shipped members (core/host/members.h) want them:
 * dialled where a node is thought to be, begun by a HELLO that may be late, answered by
 * WELCOME; they end with a process, and whose other end is gone learns of it later.  A message
 * goes only over a link.  Nodes move: one at its restart, or all at once.
 */
#ifndef SIM_LINKS_H
#define SIM_LINKS_H

#include "core/host/founding.h"
#include "core/host/joining.h"
#include "core/host/members.h"
#include "core/host/opinions.h"

#include <stdbool.h>
#include <stdint.h>

struct cluster;
struct sim;
struct site;
struct node;
struct packet;

#define LINKS_ROLES 2 /* NODE, BULK */

/* A connection, as this end of it sees it. */
struct link_end {
	/* of the process at the other end, which said WELCOME or HELLO; 0: down */
	uint64_t boot;
	uint64_t ends_at; /* its other end is gone, which is noticed then; 0: it is not */
};
/* Dialled by the other one, or by this one. */
enum link_way { FROM, TO };

/* With one other member. */
struct sim_link {
	struct raft_id id;
	uint64_t heard_ms; /* something that it says could come now */
	uint64_t
	    word_at; /* what it says of itself is on its way, and comes then; 0: nothing is */
	uint64_t spoke_ms; /* that has come last; 0: never */
	bool refused;	   /* it refuses this node */
	struct {
		unsigned attempt;
		uint64_t dial_at; /* if it is down and no call is on its way */
		bool calling;
		struct link_end end[2]; /* by enum link_way */
	} roles[LINKS_ROLES];
};

struct links {
	uint64_t boot; /* of the process; 0: it has not begun */
	struct members members;
	struct opinions opinions;
	struct sim_link list[MEMBERS_LINKS_MAX];
	unsigned count;
	bool changed;
	bool other;	  /* its settings are not those of the cluster, until it is told so */
	uint64_t led_ms;  /* when a leader was known last */
	uint64_t tell_at; /* that it lives, and whom it suspects */
	struct founding founding;
	struct joining joining;
};

/* A connection that is dialled, up to its WELCOME. */
struct call {
	struct call *next;
	unsigned from, to; /* slots */
	struct raft_id from_id, to_id;
	uint64_t from_boot, to_boot;
	unsigned role;
	enum { CALL_ACCEPTED, CALL_HELLO, CALL_WELCOME, CALL_OVER } state;
	uint64_t accepted_ms;
	uint64_t at;
	struct raft_place begun; /* HELLO */
	uint64_t term, index;	 /* WELCOME */
	struct raft_config config;
};

/* A node that runs: what its cluster daemon does about links. */
void links_turn(struct site *s);
/* What is on its way between nodes. */
void links_millisecond(struct cluster *c);
/* Somebody moves. */
void links_disturb(struct cluster *c);
/* It ends, and begins anew at another address. */
void links_move(struct cluster *c, struct node *n);
void links_free(struct cluster *c);
/* Whether all members that run are up, for each of them. */
bool links_are_up(struct cluster *c);
/* A configuration is committed somewhere. */
void links_committed(struct cluster *c, const struct raft_config *is);

/* ---- of struct host ---- */
void links_down(struct site *s);
bool links_can_send(struct sim *sim, struct node *n, const struct raft_message *m);
bool links_heard(struct sim *sim, struct node *n, const struct packet *p);

#endif
