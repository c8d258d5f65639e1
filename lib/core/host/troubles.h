/*
 * What is wrong with another member, as this node sees it: for people, who would otherwise have to
 * look at each node to find it.
 */
#ifndef RMQ_CORE_HOST_TROUBLES_H
#define RMQ_CORE_HOST_TROUBLES_H

#include "core/host/members.h"

/* The worst first. */
enum trouble {
	TROUBLE_NONE,
	TROUBLE_FORGOT,	     /* NODE_STATE_FORGOT: it is not up */
	TROUBLE_HANGS,	     /* NODE_STATE_HANGS: it is not up */
	TROUBLE_UNREACHED,   /* it reaches this node, and is not reached: it is not up */
	TROUBLE_UNREACHING,  /* it is reached, and does not reach this node: it is not up */
	TROUBLE_FULL,	     /* its disk has no room for new messages */
	TROUBLE_FAILS,	     /* NODE_STATE_FAILS: its queue daemon could not run, lately */
	TROUBLE_ASTRAY,	     /* it is linked, and does not answer where it says that it is */
	TROUBLE_ASTRAY_HERE, /* NODE_STATE_ASTRAY: so does this node, for that one */
	TROUBLE_DIFFERS, /* settings that must be the same on all nodes are not: settings.h */
};

struct trouble_seen {
	struct member_signs signs;
	bool up;	/* member_up() */
	uint64_t heard; /* the index of its newest STATE; 0: none has come */
	uint64_t room;	/* bytes, as of it */
	uint32_t flags; /* as of it: enum node_state_flag */
	bool differs;	/* it has other settings than this node */
	bool astray;	/* nobody with its key answers where it says that it is */
};

/*
 * A turn.  Messages that have gone one way only for MEMBER_UP_MS are a trouble; before, the other way
 * is being made.  So is a member that is up and astray for so long; before, it may be starting.
 */
enum trouble trouble_turn(
    struct member_link *l, const struct trouble_seen *seen, uint64_t now_ms);

#endif
