/*
 * When a node asks its seeds to be let in, and for how long.
 *
 * It asks in rounds: in each, all seeds at the same time, and the first that lets it in ends the round.
 * A seed that has not answered in its time is hung up on; when all have had theirs, the next round
 * begins after a pause, which doubles from JOINING_PAUSE_MS to the one that was set: so a node that is
 * admitted soon is in soon, and one that waits for days asks little.
 *
 * If a seed does not let it in for its settings, and no other does in this round, asking is over: that
 * does not change by itself.
 *
 * One that was let in catches up, which takes its time: it goes on for as long as a leader is heard,
 * or seeds say again that they let it in.
 *
 * A member asks as well, if it is lost (members_lost()): who the members are, until a leader is heard, and
 * no member refuses it.  Then a cluster that was recovered without it may say so, and nothing that members of
 * the old one say takes that back.
 */
#ifndef RMQ_CORE_HOST_JOINING_H
#define RMQ_CORE_HOST_JOINING_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/base/limits.h"

/* The first pause. */
#define JOINING_PAUSE_MS 250
/* One that was let in is called by the leader; so long after, seeds are asked again. */
#define JOINING_CALL_MS 5000

/* Places of a round: of each seed, and of the command that tells more of them. */
#define JOINING_PLACES	(RAFT_MEMBERS_MAX + 1)
#define JOINING_COMMAND RAFT_MEMBERS_MAX

struct joining_settings {
	uint64_t timeout_ms; /* UINT64_MAX: none */
	uint64_t seed_ms;    /* a seed, or the command, is given so long */
	uint64_t retry_ms;   /* the longest pause between rounds */
};

struct joining {
	struct joining_settings set;
	uint64_t until_ms; /* UINT64_MAX: for ever */
	bool lost;	   /* a member asks, for the members */
	bool outcast;	   /* … and is told that its cluster was recovered without it */
	bool let_in;	   /* a seed has said so, ever */
	bool misfit;	   /* a seed has said in this round that settings differ */
	uint64_t pause_ms; /* before the next round */
	uint64_t next_ms;  /* when that begins, unless one is under way */
	bool asked[JOINING_PLACES]; /* in this round, and it has not ended */
	uint64_t late_ms[JOINING_PLACES];
};

/* It begins to ask: the first round is due. */
void joining_begin(struct joining *j, const struct joining_settings *settings, uint64_t now_ms);

enum joining_step {
	JOINING_WAITS,
	JOINING_ROUND, /* a round begins: joining_ask() for each place in it */
	JOINING_LED,   /* it was let in, and is led: nobody is asked */
	JOINING_GIVES_UP,
	JOINING_MISFIT, /* its settings are not those of the cluster */
};

/* What is due.  led: a leader is heard. */
enum joining_step joining_turn(struct joining *j, bool led, uint64_t now_ms);
/* This place is asked in this round, from now on. */
void joining_ask(struct joining *j, unsigned place, uint64_t now_ms);
/* It has answered, or cannot. */
void joining_ended(struct joining *j, unsigned place, uint64_t now_ms);
/* It has answered that settings differ. */
void joining_misfit(struct joining *j, unsigned place, uint64_t now_ms);
/* Whether it has had its time, and is hung up on: it has ended then. */
bool joining_late(struct joining *j, unsigned place, uint64_t now_ms);
/* A seed says that this node is let in, which ends the round.  True: that is news. */
bool joining_let_in(struct joining *j, uint64_t now_ms);
/* A member asks.  After joining_begin(). */
void joining_lost(struct joining *j);

/* What a seed's refusal means. */
enum joining_word {
	JOINING_PASSES,	 /* nothing: this node follows a leader, which knows more */
	JOINING_HINDERS, /* it may be over soon */
	JOINING_DECIDES, /* it is for people to act upon: no other seed's silence hides it */
};
/* led: a leader is heard. */
enum joining_word joining_refused(struct joining *j, enum rmq_error code, bool led)
    __attribute__((warn_unused_result));
/* Whether a list of members that has this node lets it in: joining_let_in().  Else only the list counts. */
bool joining_believes(const struct joining *j);
/* Whether a member has nothing to ask.  refused: a member refuses this node. */
bool joining_content(bool led, bool refused);
/* Whether asking is over, as this node's log says that it is a member. */
bool joining_over(const struct joining *j, bool led, bool refused);

/* When joining_turn() has something new to say without an event. */
uint64_t joining_due(const struct joining *j);

#endif
