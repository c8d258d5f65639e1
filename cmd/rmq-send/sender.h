/* Sends what an input gives, and keeps account of what is stored. */
#ifndef RMQ_SEND_SENDER_H
#define RMQ_SEND_SENDER_H

#include "input.h"
#include "parts.h"
#include "sys/client/client_io.h"
#include "sys/client/client_options.h"
#include "sys/stream/printer.h"
#include "skipped.h"
#include "waiter.h"

struct send_options {
	const char *queue;
	struct client_options common;
	uint32_t window;
	bool skip_bad;
	bool no_wait;
	bool no_create;
	bool replace;
	bool topic;  /* `queue` is one */
	bool spread; /* `queue` has a part in each cell */
	bool allow_unrouted;
	bool print_ids;
	bool pass;
	bool wait;
	const char *resume; /* name of the input, NULL: none */
	const char *unsent; /* file, NULL: none */
	const char *unit;   /* what a record is called: "lines" */
};

struct sender {
	const struct send_options *o;
	struct parts parts;
	struct pollfd *polls;
	struct input *in;
	uint64_t read; /* records that were given to the client, or were bad */
	uint64_t stored;
	bool placed;	 /* it is known how many records of the input are stored already */
	uint64_t known;	 /* records that had been stored before, by their ids */
	uint64_t passed; /* … these, which are passed over */
	struct input_sent passed_sent;
	uint64_t
	    not_waited; /* records that were stored before, and nobody knows as which messages */
	uint64_t bad;
	uint64_t bad_at;     /* number of the bad record that ended it */
	enum rmq_error code; /* why it ends early, RMQ_E_OK: it does not */
	char why[512];
	bool over; /* the input has given all */
	bool dead; /* nothing more can be sent or told */
	int signal;
	struct printer printer; /* of ids, and of records that are passed on */
	struct text refused;	/* records that the daemon refused, for --unsent */
	uint64_t refused_at;	/* number of the first of them */
	uint64_t refused_last;
	struct skipped skipped;
	bool passes_bad; /* what is skipped was skipped by an earlier run */
	void (*bad_record)(const struct sender *s, uint64_t record, const char *why);
	void (*dead_letter)(void *part, uint64_t seq);
	/* Some of those that are passed over were skipped as bad: what has these stays.  0, or errno. */
	int (*skipped_before)(void *arg, char separator);
	void *arg;
};

/*
 * cells: those that a spread queue has its parts in, NULL: it is no such one.
 * unsent: where the bad records go that are skipped, -1: nowhere; sender_write_unsent() is called for it in
 * the end if there were any.  RMQ_E_USAGE: *why.
 */
enum rmq_error sender_open(struct sender *s, const struct send_options *o,
    const struct spread *cells, struct input *in, int unsent, struct reason *why)
    __attribute__((warn_unused_result));
/* Until everything is stored (and settled, if that is asked for), or it cannot be. */
void sender_run(struct sender *s, void (*progress)(const struct sender *s));
void sender_close(struct sender *s);

/* Why it ended, or RMQ_E_OK.  Bad data only if all before the bad record is stored. */
enum rmq_error sender_code(const struct sender *s);
/* Whether --unsent gets only bad records: a later run sends all else. */
bool sender_keeps_only_bad(const struct sender *s);
/* Records that were sent and may or may not be stored. */
uint64_t sender_unknown(const struct sender *s);
/* Whether it stays, or stayed, for messages to be settled. */
bool sender_waits(const struct sender *s);
/* Messages that were waited for and are dead letters now. */
uint64_t sender_dead_letters(const struct sender *s);
/* Whether a daemon is there. */
bool sender_has_daemon(const struct sender *s);

/* Writes all that is not known to be stored, and the rest of stdin, or only what was bad; 0, or errno. */
int sender_write_unsent(struct sender *s, int fd);

#endif
