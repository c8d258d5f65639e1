/*
 * The other members of the cluster as this node knows them: which of them are linked, at which
 * address, whose reports about them count, and what each must still know when it comes back.
 *
 * Three configurations count: the newest in the log here, the newest that is known to be
 * committed, and a hint: a newer committed one that some node has sent.  A node is linked as
 * long as one of them has it; so an uncommitted change ends no link, and a hint adds links and
 * ends none of the log's.  Only committed configurations are sent to others.  Votes and
 * majorities are counted by the log alone.
 *
 * An address is a guess, since a key proves which node answers: the address that the member
 * gives for itself, those that others give for it, that of the configuration, that of the
 * settings.  They are tried one after the other.  The address that a member gives for itself is
 * passed on to all linked members.
 *
 * What a member has reported to be on its disk it has for ever, so each of its processes must begin
 * with at least what those before it have reported, by Raft or in STATE.  HELLO says what its
 * process began with, since by now it may hold more, from a node that does not know what is missing.
 * The HELLO of a process that has ended may still come: its connection was accepted before that
 * of the newest one.
 */
#ifndef RMQ_CORE_HOST_MEMBERS_H
#define RMQ_CORE_HOST_MEMBERS_H

#include "core/raft/raft.h"

/* Those of two configurations without a member in common, and one. */
#define MEMBERS_LINKS_MAX (2 * RAFT_MEMBERS_MAX + 1)
/* So long without a leader, and a member is lost. */
#define MEMBERS_LOST_MS	     3000
#define MEMBERS_AGAIN_TEXT   "; with a new data directory it can be admitted again"
#define MEMBERS_REMOVED_TEXT "was removed from the cluster" MEMBERS_AGAIN_TEXT

enum member_place {
	MEMBER_SAID,  /* by itself */
	MEMBER_HEARD, /* from another member */
	MEMBER_SEED,  /* by this node's settings */
	MEMBER_PLACES
};

struct member_link {
	struct raft_member member; /* as the newest configuration that has it says */
	char places[MEMBER_PLACES][RAFT_ADDRESS_MAX + 1]; /* ""; none */
	uint64_t boot;	   /* of the process whose HELLO was taken last; 0: none */
	uint64_t boot_ms;  /* when the first connection of it was accepted */
	uint64_t alive_ms; /* when the newest frame came over its NODE link */
	uint64_t
	    one_way_ms; /* since then messages go one way only: see troubles.h; 0: they do not */
	uint64_t astray_ms; /* since then it is not where it says: see troubles.h; 0: it is */
	/* What it has said that it keeps (as in raft_status): this process, and those before it. */
	struct raft_place said, said_before;
};

struct members_view {
	uint64_t index; /* 0: none */
	struct raft_config config;
};

struct members {
	struct raft_id self;
	/* this node's; a member with it is what this node was before */
	uint8_t key[RAFT_KEY_SIZE];
	struct members_view committed, log, hint;
	struct member_link links[MEMBERS_LINKS_MAX];
	unsigned count;
};

/* What to do with a link. */
enum members_action { MEMBERS_MAKE, MEMBERS_DROP };

struct members_effect {
	enum members_action action;
	struct raft_id id;
};

#define MEMBERS_EFFECTS_MAX (2 * MEMBERS_LINKS_MAX)

/* All zeros to begin with, but for `self` and `key`. */

/* The log has changed, or more of it is committed.  True: that is news, members_update() is
 * due. */
bool members_log(struct members *m, const struct raft_status *log);

/* Which links are to be made and ended: the effects, in order. */
unsigned members_update(struct members *m, struct members_effect effects[MEMBERS_EFFECTS_MAX]);

/*
 * A configuration that a member says is committed, or the node that let this one in.  True: it
 * is news, members_update() is due.
 */
bool members_hint(struct members *m, uint64_t index, const struct raft_config *config);

/* The newest configuration that is known, committed or not; NULL: none. */
const struct raft_config *members_newest(const struct members *m, uint64_t *index);
/* The newest that is known to be committed; NULL: none. */
const struct raft_config *members_committed(const struct members *m, uint64_t *index);
/*
 * What others are told: that one.  As long as it is not known the newest, with an *index of 0, by
 * which the others know that it says nothing; NULL: none.
 */
const struct raft_config *members_told(const struct members *m, uint64_t *index);

/* Whether this node is a member, and has heard of no leader for so long. */
bool members_unled(const struct members *m, uint64_t led_ms, uint64_t now_ms, uint64_t ms);
/*
 * Whether a member asks seeds for the members, as one that joins does: it has heard of no
 * leader since `led_ms`, and all members that it knows may be gone, and it does not let in those
 * that replaced them; or a member refuses it (`refused`), and may be of a cluster that was recovered
 * without it.
 */
bool members_lost(const struct members *m, bool refused, uint64_t led_ms, uint64_t now_ms);
/*
 * Whether a node that asks to join is a member already, so that it is sent the committed
 * members.
 */
bool members_joined(const struct members *m, const struct raft_member *who);
/*
 * Whether who has the log of this cluster is told the committed members; it is taken in by no
 * answer.  Else `why` says why not, TEXT_MAX + 1 bytes; RMQ_E_DENIED: the cluster was recovered
 * without it, which counts also where it is led.
 */
enum rmq_error members_asked(const struct members *m, struct raft_id cluster, struct raft_id id,
    const uint8_t key[RAFT_KEY_SIZE], char *why) __attribute__((warn_unused_result));

/* NULL: no such member, or it is this node. */
struct member_link *members_find(struct members *m, struct raft_id id);
/* The member with this key, admitted or joined. */
bool members_has_key(const struct members *m, const uint8_t key[RAFT_KEY_SIZE]);
/* Whether it may ask to join, or about the cluster: any node may, if this node has no cluster. */
bool members_may_ask(const struct members *m, const uint8_t key[RAFT_KEY_SIZE]);
/* Whether it is up, or this node. */
typedef bool members_is_up(void *arg, struct raft_id id);
/* The answer to a node that asks about the cluster of this one: text[TEXT_MAX + 1]. */
void members_tell(const struct members *m, const uint8_t key[RAFT_KEY_SIZE], members_is_up *up,
    void *arg, char *text);
/* What became of a member, in words: MEMBERS_REMOVED_TEXT, and those of other ways. */
const char *members_removed_text(enum raft_how how);
/*
 * How this node was removed, which is no member any more.  What it has not heard of it did not
 * do: it has left only if it knows that it was to.
 */
enum raft_how members_own_end(const struct members *m);
/* Whether it may say HELLO: a member, or one that is to be told that it was removed. */
bool members_may_call(const struct members *m, const uint8_t key[RAFT_KEY_SIZE]);

/* ---- addresses ---- */

/* Where it says that it is, or the configuration does. */
const char *member_advertised(const struct member_link *l);
/* Where it is dialled: `attempt` counts those that failed since the last news; "": nowhere. */
const char *member_address(const struct member_link *l, unsigned attempt);
/*
 * The attempt that dials there, with which it goes on after such news; 0: none does, or it is
 * linked, and is dialled from the beginning when that ends.
 */
unsigned member_attempt(const struct member_link *l, const char *address, bool linked);
/*
 * Somebody says where it is.  True: that is news, and it is dialled there; if it says so itself
 * (MEMBER_SAID) the others are told as well.
 */
bool member_place(struct member_link *l, enum member_place by, const char *address);
/* Whether the configuration is to be changed, as this node is not where it says. */
bool members_misplaced(const struct raft_config *config, const struct raft_member *self);

/* ---- who is up ---- */

/* Each member says something so often; one that was not heard for so long is not up. */
#define MEMBER_TELL_MS 1000
#define MEMBER_UP_MS   3000

struct member_signs {
	bool calls;   /* it has dialled us, and said HELLO */
	bool answers; /* we have dialled it, and it said WELCOME */
	bool tells;   /* it says something each MEMBER_TELL_MS: NODE_FEATURE_ALIVE */
};

/* Whether messages go both ways, and one came lately. */
bool member_up(const struct member_link *l, const struct member_signs *s, uint64_t now_ms);

/* ---- who calls ---- */

struct members_hello {
	const uint8_t *key;
	struct raft_id from, to;
	uint64_t boot;
	struct raft_place begun; /* as in raft_status */
	bool forgot; /* it knows that it has forgotten what it had stored, and acts so */
	uint64_t accepted_ms; /* when its connection was */
	/* As far as this node knows, of the process before: */
	bool calls;   /* a link is up that it has dialled */
	bool answers; /* it has said WELCOME on the NODE link */
	/* Is set: it is another process, whose coming ends the links of the one before. */
	bool another;
};

/*
 * Whether it is the node that it was: neither a new directory, nor a copy, nor an old state.
 * Else `why` says why not, TEXT_MAX + 1 bytes.  RMQ_E_CORRUPT: it has forgotten what it had
 * stored, and is let in when it knows; RMQ_E_DENIED: it was removed; both are certain.
 */
enum rmq_error members_hello(struct members *m, struct members_hello *h, const char *self_name,
    char *why) __attribute__((warn_unused_result));

/*
 * A message of Raft has come from it.  term: of the record here up to which it acknowledges.  Only
 * those of the message's own term count: those before may be another leader's, and cut off later.
 */
void member_heard(struct member_link *l, const struct raft_message *m, uint64_t term);
/* It says what it keeps, as in raft_status. */
void member_keeps(struct member_link *l, struct raft_place kept);

#endif
