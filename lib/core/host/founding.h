/*
 * Whether a node may make a cluster of itself: one only may, of all that have each other for
 * seeds.
 *
 * A node that is to make a cluster claims it, and then asks each of its seeds, which answers
 * that it knows no cluster, that it claims one itself, or that it knows one.  The node decides
 * while its claim lasts, by answers to what it asked since the claim began.  Of two nodes that
 * both claim, the one with the higher key yields: it will not decide for itself any more with
 * this claim.
 *
 * So two nodes never both make one.  If they did, each would have been answered by the other
 * when that did not claim, so before the other's claim began; and each asked after its own
 * began, so each claim began before the other one (the mutual exclusion of Ricart and
 * Agrawala).  This needs no clock.  But a node may have been stopped while it asked, so that
 * the administrator of another one has overridden it: answers count for FOUNDING_MS only.
 *
 * A claim ends with the command that began it, whatever becomes of that; so does all that was
 * answered.  What a node promises by "I know none" is to ask before it makes one.
 */
#ifndef RMQ_CORE_HOST_FOUNDING_H
#define RMQ_CORE_HOST_FOUNDING_H

#include "core/host/commands.h"

/* How long a node waits for seeds that do not answer, and how long answers count. */
#define FOUNDING_MS 3000

/* The answer of a seed that was asked. */
enum founding_word {
	FOUNDING_SILENCE, /* nothing yet */
	FOUNDING_NO_CLUSTER,
	FOUNDING_CLAIMS, /* it makes one itself */
	FOUNDING_CLUSTER /* it knows one, or does not talk to this node: so do members */
};

/* All zeros to begin with. */
struct founding {
	bool claims;
	bool yields; /* to a node with a lower key that claims, too */
	uint64_t begun_ms;
	unsigned asked;
	struct {
		char name[RAFT_NAME_MAX + 1];
		enum founding_word word;
		char says[TEXT_MAX + 1]; /* with FOUNDING_CLUSTER */
	} seeds[RAFT_MEMBERS_MAX];
};

/* A claim begins, which nobody has answered. */
void founding_begin(struct founding *f, uint64_t now_ms);
/* This seed, one of at most RAFT_MEMBERS_MAX, is asked: its place for founding_heard(). */
unsigned founding_ask(struct founding *f, const char *name);
/* Its answer, as founding_asked() gives it, or another one. */
void founding_heard(struct founding *f, unsigned at, enum rmq_error code, struct slice says);
/*
 * Whether the claim has come to an end: COMMANDS_MAY, this node makes a cluster; COMMANDS_STOP,
 * it does not, and text[TEXT_MAX + 1] says why.  A seed that does not answer may be a member of
 * one.  adopts: it is not to make one, but to adopt that of a database (adoption.h), which knows who
 * leads; so who is silent, or makes one, is no obstacle.
 */
enum commands_verdict founding_look(const struct founding *f, bool adopts, uint64_t now_ms,
    char *text) __attribute__((warn_unused_result));
/*
 * The answer to another node that claims, both by their keys, while this one has no cluster;
 * makes: it has decided, and its cluster is on the way to the disk.  RMQ_E_NOTHING or
 * RMQ_E_BUSY, and the text for it.
 */
enum rmq_error founding_asked(struct founding *f, bool makes, const uint8_t own[RAFT_KEY_SIZE],
    const uint8_t other[RAFT_KEY_SIZE], const char **text) __attribute__((warn_unused_result));
/* The command is done, or dropped. */
void founding_end(struct founding *f);

#endif
