/* One conversation with rmq-clusterd: asks, waits for the answer, and says what failed. */
#ifndef RMQ_CLUSTER_ASK_H
#define RMQ_CLUSTER_ASK_H

#include "core/base/time.h"
#include "sys/client/client_options.h"
#include "sys/net/control_client.h"

struct ask {
	struct client_options common;
	struct socket_address address;
	struct control_client client;
	struct mono_time deadline; /* of the question that is being asked */
	uint32_t waiting;	   /* for the end of this request; 0: for none */
	bool done;		   /* what is waited for has come */
	bool answered;		   /* the node has shown itself at least once */
	bool happened;		   /* there was an event */
	bool end_will_do;	   /* ask_wait(): the end of the daemon is an answer as well */
	enum rmq_error code;	   /* of the request that ended */
	char text[TEXT_MAX + 1];
	char problem[TEXT_MAX + 1]; /* of the newest view; "": none */
	/* Is shown each view; true: it is what is waited for.  NULL: views are not of interest.
	 */
	bool (*view)(void *arg, const struct control_view *v);
	/* ask_events(), ask_look(): of each, its kind, and its line without a newline. */
	void (*event)(void *arg, struct slice kind, struct slice line);
	void (*lost)(void *arg, const char *why); /* ask_look() */
	int output_error; /* ask_look(): what these could not write, errno; it ends then */
	/* It is called when no event has come for so long; NULL: it is not. */
	void (*idle)(void *arg);
	int idle_ms;
	bool
	    hangs_up; /* ask_events(): stdout is a connection whose other side has ended if it says no more */
	/* Is shown each line of the answer to ask_why(). */
	void (*reason)(void *arg, enum control_reason reason, const char *text);
	void *arg;
};

/*
 * Where to ask.  Failures are printed, here and below, as "rmq-cluster: text" on stderr; the
 * code is the program's exit status by error_exit().
 */
enum rmq_error ask_init(struct ask *a) __attribute__((warn_unused_result));
void ask_deinit(struct ask *a);

/*
 * Gives a command and waits until it is done.  RMQ_E_NO_DAEMON: nobody was asked;
 * RMQ_E_TIMEOUT: the outcome is unknown; others: as rmq-clusterd says.
 */
enum rmq_error ask_init_cluster(struct ask *a, bool new) __attribute__((warn_unused_result));
enum rmq_error ask_adopt(struct ask *a) __attribute__((warn_unused_result));
enum rmq_error ask_admit(struct ask *a, const char *name, const uint8_t key[RAFT_KEY_SIZE])
    __attribute__((warn_unused_result));
/* If the time is over, what hinders it is told. */
enum rmq_error ask_join(struct ask *a, const char *address) __attribute__((warn_unused_result));
enum rmq_error ask_leave(struct ask *a, const char *name, bool force)
    __attribute__((warn_unused_result));
/* What it means is printed. */
enum rmq_error ask_down(struct ask *a, const char *name) __attribute__((warn_unused_result));
enum rmq_error ask_replace(struct ask *a, const char *name, const uint8_t key[RAFT_KEY_SIZE])
    __attribute__((warn_unused_result));
enum rmq_error ask_transfer(struct ask *a, const char *name)
    __attribute__((warn_unused_result));

/* What the node knows: a->view is called once. */
enum rmq_error ask_status(struct ask *a) __attribute__((warn_unused_result));

/* What is wrong: a->reason is called for each line. */
enum rmq_error ask_why(struct ask *a) __attribute__((warn_unused_result));

/* How much the daemon logs, from now on; CONTROL_LOG_ASKED: as it is.  a->text is what it logs then. */
enum rmq_error ask_log(struct ask *a, enum control_log level)
    __attribute__((warn_unused_result));

/*
 * Waits until a->view says true; connects again as often as need be.  RMQ_E_NOTHING: not in
 * time (with -q that is not printed); RMQ_E_NO_DAEMON: nor did anyone answer in that time.
 */
enum rmq_error ask_wait(struct ask *a) __attribute__((warn_unused_result));

/*
 * Hears events for ever: a->event is called for each; stdout is flushed when no more has come.
 * flags, since: as control_client_hear().  Ends with RMQ_E_NO_DAEMON when the daemon does.
 */
enum rmq_error ask_events(struct ask *a, uint8_t flags, uint64_t since)
    __attribute__((warn_unused_result));

/*
 * Looks until it is ended: a->view is called now, every so many ms, and when something has happened,
 * and a->event for what had happened before, too.  If the daemon is lost or silent, a->lost is called
 * as often, until it is there again or the time-out is over: RMQ_E_NO_DAEMON, as if it is not there now.
 * Prints nothing: *why says what failed.
 */
enum rmq_error ask_look(struct ask *a, uint64_t every_ms, struct reason *why)
    __attribute__((warn_unused_result));

/* Prints "rmq-cluster: text" and returns the code. */
enum rmq_error ask_fail(enum rmq_error code, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* What it has printed last, without the program's name. */
const char *ask_failure(void);

#endif
