/*
 * Sessions make each command of a client happen once.  The daemon issues the id, the client
 * numbers its commands; number n is taken only if it is last + 1, and a number that was taken
 * is answered again when it is repeated.
 */
#ifndef RMQ_CORE_QUEUE_SESSION_H
#define RMQ_CORE_QUEUE_SESSION_H

#include <sys/queue.h>
#include <sys/tree.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/codec.h"
#include "core/base/variant.h"
#include "core/queue/owner.h"
#include "core/queue/queue.h"

struct conn;

/* How command n was answered: SENT if it has messages, else DONE; or SETTLE_SENT. */
struct answer {
	TAILQ_ENTRY(answer) link;
	uint64_t n;
	uint64_t first_seq;
	uint32_t count; /* messages */
	uint32_t stale_len;
	uint8_t stale[]; /* settle_entry */
};
TAILQ_HEAD(answer_list, answer);

struct session {
	RB_ENTRY(session) by_id;
	TAILQ_ENTRY(session) idle;     /* while no connection is here */
	TAILQ_ENTRY(session) of_owner; /* the same, of its owner's */
	struct owner *owner;
	TAILQ_ENTRY(session) closing;	/* while is_closing */
	TAILQ_ENTRY(session) deserted;	/* while is_deserted */
	TAILQ_HEAD(, queue) ephemerals; /* queues that end with it */
	uint32_t ephemerals_count;
	uint64_t id;
	uint64_t last;		/* highest number taken */
	uint64_t idle_since_ms; /* lease time */
	uint64_t stamp;		/* newest stamp of its client */
	struct conn *conn;	/* NULL: none now */
	struct holding_tree held;
	uint32_t held_count;
	uint32_t detached_count;    /* of those in held */
	uint32_t lease_min_ms;	    /* no lease in held is shorter */
	uint64_t extended_ms;	    /* lease time of the newest EXTEND; see range_until() */
	struct answer_list answers; /* rising n */
	uint32_t answers_count;
	size_t answers_bytes; /* of stale entries in them */
	uint64_t *part_bytes; /* what sessions take in a checkpoint, at most, is added here */
	bool durable;	      /* some event names it */
	bool in_doubt;	 /* recovery: the sessions' part is read, and has not named it yet */
	bool is_leaving; /* its client has ended, and what it holds is being given back */
	bool is_closing;
	bool is_deserted; /* no connection is here, and it has ephemerals */
	bool has_ended;	  /* it is not known any more, and is freed when no range names it */
};

RB_HEAD(session_tree, session);

/* Takes the use of the owner. */
struct session *session_new(uint64_t id, struct owner *owner, uint64_t *part_bytes);
/* It is over, and drops its owner; what it held stays leased, with no holder. */
void session_end(struct owner_tree *owners, struct session *s);
/*
 * Takes so many ranges that one held that is over from it, and frees it with the last one: then
 * true.
 */
bool session_let_go(struct session *s, uint32_t most);

/* The holder of r, which is leased; NULL: its session is over. */
static inline struct session *range_holder(const struct range *r)
{
	return r->session && !r->session->has_ended ? r->session : NULL;
}

/*
 * When r, which is leased or delayed, is over: lease time.  EXTEND looks at no range: it counts here
 * for those that are attached, and r->until_ms, by which timers are in order, may be sooner.
 */
static inline uint64_t range_until(const struct range *r)
{
	uint64_t extended =
	    r->session && !r->detached ? r->session->extended_ms + r->lease_ms : 0;
	return extended > r->until_ms && !RMQ_VARIANT(EXTEND_FORGOTTEN) ? extended
									: r->until_ms;
}

/* Whether r, leased, is not extended with its session. */
static inline bool range_detached(const struct range *r)
{
	return r->detached || (r->session && r->session->has_ended);
}

struct session *session_find(struct session_tree *tree, uint64_t id);
/* The one with this id or the next higher one; NULL: none. */
struct session *session_from(struct session_tree *tree, uint64_t id);

/* It is this owner's from now on. */
void session_own(struct owner_tree *owners, struct session *s, struct owner *o);
/* No connection is for it any more, or one is again. */
void session_is_idle(struct session *s);
void session_is_busy(struct session *s);
/* Of the owner with most idle sessions, the one that has been idle longest; or NULL. */
struct session *session_of_the_most(struct owner_tree *owners);

/* The range is leased to it, or not any more. */
void session_holds(struct session *s, struct range *r);
void session_holds_no_more(struct session *s, struct range *r);
/* r, which is held, is not extended with its session from now on; its end stays. */
void session_detach(struct range *r);
/*
 * Of what it holds, by numbers of queues and messages, the first range that ends after message
 * `at` of this queue; or NULL.
 */
struct range *session_held_next(const struct session *s, uint32_t queue, uint64_t at);
/* The same, of what it holds in q. */
struct range *session_held_from(const struct session *s, const struct queue *q, uint64_t at);

/* The client has put a stamp on what it sent: the newest one counts. */
void session_stamped(struct session *s, uint64_t stamp);

/*
 * Command n was taken and this is its answer; if it is the newest one's number, this is more of
 * the same answer.  Keeps the newest SESSION_WINDOW.
 */
void session_taken(
    struct session *s, uint64_t n, uint64_t first_seq, uint32_t count, struct slice stale);
/* The answers up to n have arrived. */
void session_answered(struct session *s, uint64_t n);
const struct answer *session_answer(const struct session *s, uint64_t n);

RB_PROTOTYPE(session_tree, session, by_id, session_compare)

#endif
