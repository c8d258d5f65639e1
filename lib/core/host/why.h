/*
 * Why there is no leader or no queue daemon, why lines are not confirmed, and what else is wrong, as
 * this node sees it: in words, the worst first, with what to do.
 */
#ifndef RMQ_CORE_HOST_WHY_H
#define RMQ_CORE_HOST_WHY_H

#include "core/host/gates.h"
#include "core/host/health.h"
#include "core/host/keeper.h"
#include "core/host/settings.h"
#include "core/host/troubles.h"
#include "core/raft/raft_config.h"
#include "core/wire/control_wire.h"

/* Another node.  Texts are borrowed. */
struct why_other {
	const char *name;
	const char *address; /* where it says that it is */
	const char *refuses; /* why it does not want this node; NULL: it does */
	bool member;	     /* it is one, and has joined */
	bool voter;
	bool up;
	uint64_t heard_ms; /* so long ago it was heard last; UINT64_MAX: never */
	enum trouble trouble;
	uint32_t flags;			 /* enum node_state_flag, as it has told */
	const struct settings *settings; /* NULL: not known */
};

/* The database that has the log. */
struct why_database {
	bool used;	     /* there is one */
	const char *address; /* "": it was not reached yet */
	const char *trouble; /* what is wrong with it */
	bool silent;	     /* then, it owes an answer for long */
	const char *async;   /* why it waits for no standby, which is allowed */
	bool converts; /* the log here is still that of one node, with the built-in engine */
};

/* What is seen.  Texts are borrowed; NULL: there is nothing to be said. */
struct why_seen {
	/* This node. */
	const char *name;
	const char *address;   /* where it says that it is */
	const char *directory; /* its data directory */
	const char *program;   /* the queue daemon */
	uint32_t flags;	       /* what it tells: enum node_state_flag */
	const struct settings *settings;
	struct raft_id id;
	const struct raft_config *config; /* NULL: it is of no cluster */
	bool member;
	bool removed;
	enum raft_how how; /* so, as far as it knows */
	bool stopping;
	bool joining; /* it asks to be let in, or who the members are */
	bool lost;    /* the latter */
	bool outcast; /* then, a member has said that the cluster was recovered without it */
	const char *join_refused;
	bool join_final;	  /* a member has decided that, and says what to do */
	char seeds[TEXT_MAX + 1]; /* whom it asks; "": none are set */
	bool forgot;
	bool changed; /* and members have changed since */
	/* Its leader. */
	bool leads, serving; /* it leads; and may serve */
	bool unled;	     /* for so long that it is to be said */
	struct raft_id leader;
	uint32_t
	    leader_flags; /* enum node_state_flag; 0: not heard, or this one does not serve yet */
	bool available;	  /* lines are confirmed, and this node's clients served */
	/* The queue daemon, where this node leads. */
	enum keeper_state queue;
	const char *deadly;  /* it is not started again */
	const char *failure; /* how it failed when this node led last */
	/* Its disk and its links. */
	bool waits; /* it takes no more of the log */
	bool full;
	bool hangs, starves, unable; /* as in health.h */
	bool confirms;
	enum health_illness resting; /* why it does not stand for election */
	enum gates_trouble gate;
	bool runner_ended;   /* hooks and seed-command are not run any more */
	uint64_t bad_record; /* no other node that answers has it */
	const char *bad_for; /* who cannot catch up for it */
	const char *rights;  /* what is wrong with its file of rights */
	unsigned
	    min_members; /* the start gate of the queue daemon; 0: there is none, or it was passed */
	unsigned min_up;      /* of these, so many have been up */
	const char *min_role; /* NULL: members of any role */
	const char
	    *back; /* it has asked for the members, and the cluster was recovered without it */
	const char
	    *namesake; /* who asks to be let in, and has the name of a member; NULL: nobody */
	const char *namesake_from; /* its address */
	const char *namesake_key;  /* what to do where its key goes with another name */
	struct why_database database;
	unsigned count;
	struct why_other others[MEMBERS_LINKS_MAX];
};

#define WHY_LINES_MAX 48

struct why {
	unsigned count;
	struct why_line {
		enum control_reason reason;
		bool lasts; /* until somebody does something */
		char text[TEXT_MAX + 1];
	} lines[WHY_LINES_MAX];
};

/*
 * Lines of one reason follow one another: its cause, then what to do.  At least one line; CONTROL_REASON_WELL
 * is the only one if nothing is wrong.
 */
void why_make(struct why *w, const struct why_seen *seen);

/*
 * What STATE says as its problem: the first line, if that lasts; NULL: none.
 */
const char *why_problem(const struct why *w);

/* What is wrong with this node's gate, TEXT_MAX + 1 bytes; false: nothing. */
bool why_gate_text(char *text, enum gates_trouble trouble, const struct raft_config *config,
    struct raft_id self, struct raft_id leader);

#endif
