/*
 * The messages that a client holds: ranges with the lease they are held under, and until when
 * each lease can be trusted.
 *
 * A lease is vouched for from a stamp (the client's own clock, echoed by the daemon) for
 * its length.  A range's own stamp comes with its delivery; a later echo, on the same
 * connection and while the daemon is known to hold the lease for this client (`confirmed`),
 * replaces it.
 */
#ifndef RMQ_CORE_CLIENT_HELD_H
#define RMQ_CORE_CLIENT_HELD_H

#include <sys/tree.h>

#include "core/base/codec.h"
#include "core/base/error.h"
#include "core/base/time.h"

struct held_range {
	RB_ENTRY(held_range) entry;
	uint64_t lease;
	uint64_t first;
	uint64_t end; /* after the last */
	uint32_t sub;
	uint32_t lease_ms;
	bool detached;	/* not extended any more; ends at stamp + lease_ms unless told otherwise
			 */
	bool started;	/* has reached the reader, or may have */
	bool confirmed; /* the daemon has named it on this connection */
	struct mono_time stamp;	 /* 0: not vouched for yet */
	uint64_t echo;		 /* number of the newest echo that came before it */
	struct mono_time before; /* detached: until when it was vouched for before that */
};

RB_HEAD(held_tree, held_range);

struct held {
	struct held_tree tree;
	uint64_t messages;
	uint64_t attached;	 /* messages that are to be extended */
	uint64_t echo;		 /* number of echoes so far */
	struct mono_time echoed; /* the newest */
};

void held_init(struct held *h);
void held_deinit(struct held *h);

/* Adds a range (copied) that overlaps none.  RMQ_E_LIMIT: no memory. */
enum rmq_error held_add(struct held *h, const struct held_range *r)
    __attribute__((warn_unused_result));

/* The range that message seq is in, NULL: none. */
struct held_range *held_find(const struct held *h, uint64_t lease, uint64_t seq);
/* The same, or else the first one of this lease after it. */
struct held_range *held_find_from(const struct held *h, uint64_t lease, uint64_t seq);

/* All ranges in turn, NULL after the last. */
struct held_range *held_first(const struct held *h);
struct held_range *held_next(struct held_range *r);

/* Forgets [first, end); RMQ_E_LIMIT: no memory to split a range. */
enum rmq_error held_remove(struct held *h, uint64_t lease, uint64_t first, uint64_t end)
    __attribute__((warn_unused_result));

/*
 * Detaches [first, end) from the leases that are extended: they run `ms` from now, once the
 * daemon has heard of it; until then they are vouched for as before.
 */
enum rmq_error held_detach(struct held *h, uint64_t lease, uint64_t first, uint64_t end,
    struct mono_time now, uint64_t ms) __attribute__((warn_unused_result));

/* The daemon has named [first, end) on this connection: the held part of it is confirmed. */
enum rmq_error held_confirm(struct held *h, uint64_t lease, uint64_t first, uint64_t end)
    __attribute__((warn_unused_result));

/* [first, end) may reach the reader from now on. */
enum rmq_error held_start(struct held *h, uint64_t lease, uint64_t first, uint64_t end)
    __attribute__((warn_unused_result));

/* The daemon has echoed this stamp in answer to EXTEND. */
void held_echo(struct held *h, struct mono_time stamp);

/* The connection is lost: nothing is confirmed, what was vouched for stays so in its time. */
void held_disconnect(struct held *h);

/* Until when the range is vouched for; 0: it is not. */
struct mono_time held_until(const struct held *h, const struct held_range *r);

#endif
