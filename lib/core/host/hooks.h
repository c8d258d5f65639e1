/*
 * Which program of hooks.d is run when: each for each event (events.h), in order, and not before its
 * last run has ended; they do not wait for each other.  A hook is a place among the events, so one
 * that hangs costs nothing, and misses what is not kept any more: then it is told how many.
 */
#ifndef RMQ_CORE_HOST_HOOKS_H
#define RMQ_CORE_HOST_HOOKS_H

#include "core/host/events.h"

#define HOOKS_MAX      16
#define HOOKS_NAME_MAX 63
/* So long does a node that ends wait for them. */
#define HOOKS_END_MS 5000

struct hook {
	char name[HOOKS_NAME_MAX + 1]; /* "": nobody's place */
	bool there;		       /* by the newest look at the directory */
	bool off;		       /* the caller's: it may not be run */
	bool runs;
	void *arg; /* the caller's */
	struct events_reader reader;
};

/* All zeros to begin with. */
struct hooks {
	bool began;
	uint64_t from; /* one that is new in the next look gets the events from this seq on */
	struct hook list[HOOKS_MAX];
	uint64_t end_ms; /* until then is waited; 0: the node does not end */
};

/*
 * Whether a file of that name is one: of letters, digits, '_', '-' and '.', and no hidden one, nor what a
 * package manager left behind.
 */
bool hooks_name_valid(const char *name);

/* A look at the directory: hooks_begin(), hooks_found() for each, in any order, then hooks_looked(). */
void hooks_begin(struct hooks *h);
/* NULL: there are too many.  The next look may free it, unless it runs. */
struct hook *hooks_found(struct hooks *h, const char *name);
void hooks_looked(struct hooks *h, const struct events *e);

/* Whether there are events for one that is not running. */
bool hooks_wait(const struct hooks *h, const struct events *e);

/*
 * The next one to be run, by name; it runs from now on.  Its event is *one, or if NULL *missed have been
 * lost.  NULL: none.
 */
struct hook *hooks_next(
    struct hooks *h, const struct events *e, const struct events_event **one, uint64_t *missed);
void hooks_ended(struct hook *hook);

/* The node has done all else: whether it ends now. */
bool hooks_done(struct hooks *h, const struct events *e, uint64_t now_ms);
/* When hooks_done() is to be asked again; UINT64_MAX: whenever something has happened. */
uint64_t hooks_due(const struct hooks *h);

#endif
