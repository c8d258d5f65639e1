/* One conversation with the daemon: asks, waits for the answer, and says what failed. */
#ifndef RMQ_QUEUE_ADMIN_H
#define RMQ_QUEUE_ADMIN_H

#include <limits.h>

#include "core/client/envelope.h"
#include "sys/client/client_io.h"
#include "sys/client/client_options.h"

struct admin {
	struct client_options common;
	struct client_io io;
	bool json;
	const char *fields; /* -o, NULL: not given */
	bool waiting;
	enum rmq_error code;
	int status; /* the program's, if nothing else failed */
	bool keeps; /* why it failed is kept in `why`, and not printed */
	char why[LINE_MAX];
	const char *about;   /* what a failure is about: a queue's name, NULL: nothing */
	void (*leave)(void); /* before a signal ends the program; NULL: nothing */
	const char *until;   /* the condition that is waited for */
	void (*row)(void *arg, const struct wire_listed *row);
	void (*bound)(void *arg, struct slice queue, struct slice pattern);
	void (*message)(void *arg, const struct client_delivery *d);
	void *arg;
	char last[NAME_FULL_MAX]; /* queue of the newest row */
	size_t last_len;
	uint64_t rows; /* so far */
	uint64_t
	    untaken; /* messages in those of them that are NAME.away, and that nobody takes */
	uint64_t untaken_ms;		    /* … for so long, of any */
	char untaken_in[NAME_FULL_MAX + 1]; /* … such a queue */
	bool more;			    /* of the answer just got */
	uint64_t next;
	struct text stale; /* of the newest change: what it did not find */
	uint64_t moved;	   /* of the newest answer to admin_transfer() */
	uint64_t kept;
	bool again; /* it does not tell what an earlier answer told, which may have been lost */
	struct text place;	    /* of the newest answer to admin_history() */
	struct text entries;	    /* … of all of them */
	struct history_waits waits; /* of the newest */
	enum rmq_error full;	    /* there was no room for message `next` */
	char self[RAFT_NAME_MAX +
		  1];	   /* of the newest answer to admin_cells(); "": it has no cells */
	struct text cells; /* … their list; the caller's to free */
	bool exists;	   /* of the newest admin_find() */
	void (*row_of_place)(void *arg, const struct wire_place_is *row);
	struct slice cell; /* whose rows come now; empty: there is only one */
};

/* The first failure is printed and kept in a->code; nothing more is asked then. */
enum rmq_error admin_open(struct admin *a) __attribute__((warn_unused_result));
/*
 * The same with one cell, and no other: what `of` was given, and why it fails is kept.  For admin_ask_cells(): the
 * answer is not waited for.
 */
enum rmq_error admin_open_cell(struct admin *a, const struct admin *of,
    const struct client_io_cell *cell) __attribute__((warn_unused_result));
void admin_close(struct admin *a);

/* Waits so long, keeping the connection; the error that came meanwhile. */
enum rmq_error admin_pause(struct admin *a, uint64_t ms) __attribute__((warn_unused_result));

/* A change; RMQ_E_OK once it is durable.  What failed was printed. */
enum rmq_error admin_change(struct admin *a, enum wire_type type, const char *queue,
    uint8_t flags, const struct client_settings *s) __attribute__((warn_unused_result));

/* Messages, rising, leave the queue; a->stale has those that were not there, as settle_entry. */
enum rmq_error admin_cancel(struct admin *a, const char *queue, const uint64_t *messages,
    uint32_t count) __attribute__((warn_unused_result));

/* Binds the queue to the pattern, or no longer (type BIND, UNBIND; flags: BIND_CREATE); as admin_change(). */
enum rmq_error admin_bind(struct admin *a, enum wire_type type, const char *queue,
    const char *pattern, uint8_t flags) __attribute__((warn_unused_result));

/* Every binding of the queue, or (NULL) of all, by a->bound. */
enum rmq_error admin_bindings(struct admin *a, const char *queue)
    __attribute__((warn_unused_result));

/* Every queue that matches, in the cell that it is in, by a->row. */
enum rmq_error admin_list(struct admin *a, const char *glob)
    __attribute__((warn_unused_result));
/* The one of this name, if there is one, in whichever cell it lives. */
enum rmq_error admin_list_one(struct admin *a, const char *queue)
    __attribute__((warn_unused_result));
/* Goes to the cell in which the queue lives, or would: client_cell().  *exists: there is one. */
enum rmq_error admin_find(struct admin *a, const char *queue, bool *exists)
    __attribute__((warn_unused_result));

/* The cells that the daemon knows: a->self, a->cells. */
enum rmq_error admin_cells(struct admin *a) __attribute__((warn_unused_result));
/* Only asks for that; a->waiting: there is no answer yet. */
void admin_ask_cells(struct admin *a);
/* Every place that the daemon keeps, by a->row_of_place. */
enum rmq_error admin_places(struct admin *a) __attribute__((warn_unused_result));

/* Messages from `from` on, by a->message; a->more and a->next say how to go on. */
enum rmq_error admin_peek(struct admin *a, const char *queue, uint8_t states, uint64_t from,
    uint32_t limit) __attribute__((warn_unused_result));

/* What TRANSFER says (wire.h); a->moved and what follows it is the answer, with a->more and a->next. */
enum rmq_error admin_transfer(struct admin *a, const char *queue, struct slice target,
    uint8_t flags, uint32_t most, const struct seq_range *ranges, uint32_t count)
    __attribute__((warn_unused_result));

/*
 * All that is known to have happened to the message, history_entry in a->entries, the caller's to free;
 * nothing, also if there is no such queue.
 */
enum rmq_error admin_history(struct admin *a, const char *queue, uint64_t seq)
    __attribute__((warn_unused_result));

/* Until the queue holds fewer, or more, messages; RMQ_E_UNMET: it did not in time. */
enum rmq_error admin_watch(struct admin *a, const char *queue, enum watch_for what,
    uint64_t messages) __attribute__((warn_unused_result));

/* Ends the program, for a signal. */
void admin_die(const struct admin *a) __attribute__((noreturn));

/* Prints "rmq-queue: ABOUT: text", or keeps the text, and returns the code. */
enum rmq_error admin_fail(struct admin *a, enum rmq_error code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* … that there is no such queue. */
enum rmq_error admin_no_queue(struct admin *a, const char *queue);

#endif
