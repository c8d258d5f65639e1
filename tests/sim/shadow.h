/*
 * A second, simple reading of the journal: message by message, what the records on disk
 * say.  It shares with the queue core the decoders of formats and nothing else, and
 * checks each record as it is committed: that the event was allowed in the state before.
 * The frames that leave the daemon are compared with this state, which never runs ahead
 * of the disk.
 */
#ifndef SIM_SHADOW_H
#define SIM_SHADOW_H

#include "journal_model.h"
#include "lines.h"
#include "maps.h"
#include "receivers.h"

#include "core/wire/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum shadow_state {
	SHADOW_READY,
	SHADOW_LEASED,
	SHADOW_DELAYED,
	SHADOW_SETTLED,
	SHADOW_PURGED, /* or its queue was removed */
	SHADOW_BURIED, /* it is in a dead-letter queue now */
	SHADOW_LOST,   /* its body could not be read */
	SHADOW_MOVED,  /* to another queue */
};
#define SHADOW_TOTAL (SHADOW_DELAYED + 1) /* in all live states */

/* A lease of a message is over. */
struct shadow_end {
	uint64_t lease;
	uint64_t session; /* its holder */
	uint64_t by;   /* the session that asked for it; 0: none; SHADOW_SOMEBODY: not known */
	uint64_t made; /* lease time */
	uint8_t whys;  /* what the holder may be told: 1 << ENDED_* */
	bool told;
};
#define SHADOW_SOMEBODY UINT64_MAX

struct shadow_message {
	uint32_t line; /* whose body it is */
	uint8_t copy;  /* of which queue that the line was sent to */
	uint8_t state;
	bool detached;
	uint32_t attempt;
	uint32_t failures;
	uint32_t lease_ms;
	uint64_t lease;	     /* the last one */
	uint64_t started;    /* the last one under which it may have reached a reader */
	uint64_t started_ms; /* when the daemon was told: lease time */
	uint64_t session;    /* its holder */
	uint64_t end;	     /* of the lease: lease time, ms */
	uint64_t until_ms;   /* of the delay: lease time, … */
	bool by_wall;	     /* … or, since it was sent, wall clock */
	uint64_t expire_ms;  /* wall clock; 0: never */
	uint64_t born;	     /* index of the record in which it was sent */
	uint64_t changed;    /* of the newest record that settles, ends or touches its lease */
	uint8_t key;	     /* 0: none */
	uint8_t priority;
	uint64_t time_ms;
	uint64_t asked[5]; /* by settle_verb: the lease under which some client asked for it */
	uint32_t from;	   /* of a dead letter: the queue that it was in, */
	uint64_t from_seq; /* … and its number there */
	uint32_t redrives; /* so often it went back from a dead-letter queue */
	uint64_t *records; /* where the body is: one record, or one for each piece */
	uint32_t pieces;
	struct shadow_end *ends; /* rising leases */
	uint32_t ends_count;
};

/* How many messages of a queue are in each state that is live, from lease time `made` on. */
struct shadow_counts {
	uint64_t made;
	uint64_t in[SHADOW_TOTAL + 1];
};

/* Messages that were handed out at once. */
struct shadow_handed {
	uint64_t at; /* lease time */
	uint64_t messages;
};

struct shadow_queue {
	uint32_t id;
	bool removed;
	bool is_dead;	    /* a dead-letter queue */
	bool has_keys;	    /* some message had one */
	uint64_t ephemeral; /* the session that it ends with; 0: none */
	uint8_t bound;	    /* to these line_patterns, as bits */
	uint8_t name_len;
	char name[NAME_FULL_MAX + 1];
	uint32_t max_attempts;
	uint64_t backoff_min_ms;
	uint64_t backoff_max_ms;
	char dead_letter[NAME_FULL_MAX + 1]; /* as it was set */
	uint64_t base;			     /* sequence number of messages[0] */
	uint64_t next_seq;
	uint64_t low; /* all below are gone */
	uint64_t live;
	struct shadow_message *messages;
	size_t cap;
	struct shadow_counts now;
	struct shadow_counts *history; /* after each event that changed something */
	size_t history_count, history_cap;
	struct more_settings more;
	struct receivers receivers;
	struct shadow_handed *handed; /* under the rate that it has now */
	size_t handed_count, handed_cap;
};

struct shadow_answer {
	uint8_t event; /* EVENT_TYPE_* */
	uint64_t first_seq;
	uint32_t count;
	uint32_t stale;
};

struct shadow_session {
	uint64_t id;
	uint64_t last;
	bool owned;
	uint32_t uid;		       /* whose it is */
	struct shadow_answer *answers; /* of 1 … last */
	size_t cap;
	/* a large message that is not complete */
	uint64_t pending_n;
	uint32_t pending_queues[SEND_QUEUES_MAX]; /* its own, then the further ones */
	uint32_t pending_shares;
	uint8_t *body;
	size_t body_len;
	uint64_t *pieces;
	uint32_t pieces_count;
};

#define SHADOW_NAME_SLOTS   64
#define SHADOW_CANCEL_SLOTS 8192

/* The record with this payload ended leases while an EXTEND of the session was not read. */
struct shadow_unread {
	uint64_t session;
	uint64_t arrived; /* lease time */
	uint64_t record;  /* shadow_record_hash() */
};
#define SHADOW_UNREAD 1024
#define SHADOW_BYES   256

/* The record whose messages move, and the MOVEs of it so far. */
struct shadow_moving {
	uint64_t from;
	uint32_t start; /* number of the daemon */
	uint64_t bytes;
};

struct shadow {
	struct lines *lines;
	struct maps *maps;
	const struct journal_model *journal;
	struct shadow_queue **queues; /* by id */
	size_t queues_count;
	struct shadow_session *sessions;
	size_t sessions_count, sessions_cap;
	uint32_t *bodies; /* live bodies in record i + 1 */
	size_t bodies_cap;
	uint32_t start; /* newest number of a daemon */
	bool has_secret;
	uint64_t lease;	     /* highest lease number */
	uint32_t *leased_in; /* queue of lease i */
	size_t leases_cap;
	uint64_t lease_ms; /* newest lease time */
	uint64_t live;
	uint64_t index;		    /* of the newest record */
	uint64_t dead_sessions[64]; /* whose holders' death was proven, the newest ones */
	unsigned dead_count;
	uint64_t byes[SHADOW_BYES]; /* sessions that ended themselves, the newest ones */
	unsigned byes_count;
	struct shadow_unread unread[SHADOW_UNREAD]; /* the newest ones */
	unsigned unread_count;
	uint32_t small_record; /* limit of the daemon, see SPACE_LIMITS */
	struct shadow_moving moving;
	uint64_t delay_ms; /* the longest that a client asked for with VERB_RELEASE */
	bool cancel_asked
	    [SHADOW_CANCEL_SLOTS];	     /* by a hash of the queue's name, and the number */
	bool purge_asked[SHADOW_NAME_SLOTS]; /* by a hash of the queue's name */
	bool transfer_asked[SHADOW_NAME_SLOTS];
	uint32_t redrives_most; /* that anybody asked for */
	void *arg;
	/* Whether some client still trusts its hold on the message under `lease`. */
	bool (*trusted)(void *arg, const struct shadow_queue *q, uint64_t seq, uint64_t lease);
};

void shadow_free(struct shadow *s);
void shadow_apply(struct shadow *s, uint64_t index, const struct jm_record *r);

/* The queue of this name that is not removed; NULL: there is none. */
struct shadow_queue *shadow_queue(const struct shadow *s, struct slice name);
/* To how many queues a topic leads. */
unsigned shadow_bound(const struct shadow *s, struct slice topic);
struct shadow_message *shadow_message(struct shadow_queue *q, uint64_t seq);
bool shadow_live(const struct shadow_message *m);
/* The queue that the lease is in, NULL: none that is on disk. */
struct shadow_queue *shadow_leased_in(const struct shadow *s, uint64_t lease);
/* How the message's lease ended, NULL: it did not. */
struct shadow_end *shadow_end_of(const struct shadow_message *m, uint64_t lease);
struct shadow_session *shadow_session(const struct shadow *s, uint64_t id);

/* A client asked for this; from now on an event may do it. */
void shadow_asked(
    struct shadow *s, struct slice queue, enum settle_verb verb, struct slice entries);
/* Messages that may be handed out: they wait for no older one of their key. */
uint64_t shadow_ready(const struct shadow_queue *q);
void shadow_cancel_asked(struct shadow *s, struct slice queue, struct slice messages);
void shadow_purge_asked(struct shadow *s, struct slice queue);
void shadow_transfer_asked(struct shadow *s, const struct wire_transfer *f);
/* What a daemon reads at that lease time: it is for what the session holds. */
void shadow_started(
    struct shadow *s, uint64_t session, const struct wire_started *f, uint64_t lease_ms);
uint64_t shadow_record_hash(struct slice payload);
void shadow_bye(struct shadow *s, uint64_t session);
bool shadow_said_bye(const struct shadow *s, uint64_t session);
void shadow_died(struct shadow *s, uint64_t session);
bool shadow_is_dead(const struct shadow *s, uint64_t session);

#endif
