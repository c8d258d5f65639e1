/*
 * The queue daemon around its pure core: one loop, one thread.
 *
 * A turn begins with the first input after a wait.  Inputs (frames of clients, answers of
 * the journal) go to the broker, frames at a time that is read after their bytes were; at
 * the turn's end the broker gives its records, and everything that became due leaves: one
 * write for each connection.
 *
 * A lease ends only after all is read that clients had sent before: the broker is told of a
 * moment once that is so.  Input that waits (for a throttle, a full read, a spent turn, an
 * accept) delays this; what a connection sends later does not, so no client can keep leases
 * alive.
 */
#ifndef RMQ_QUEUED_SERVER_H
#define RMQ_QUEUED_SERVER_H

#include <sys/queue.h>
#include <uv.h>

#include "conn.h"
#include "core/broker/broker.h"
#include "holder.h"
#include "journal.h"
#include "sys/journal/journal_link.h"
#include "sys/process/sandbox.h"
#include "sys/net/listener.h"
#include "sys/process/log.h"
#include "sys/store/store.h"
#include "sys/store/store_watch.h"
#include "users.h"

/* Bytes of records not stored yet: reading stops above the first, and goes on below the second. */
#define INFLIGHT_HIGH_BYTES (8u << 20)
#define INFLIGHT_LOW_BYTES  (4u << 20)
/* Descriptors for other things than connections and their peers. */
#define DESCRIPTORS_RESERVE 64
#define DESCRIPTORS_MIN	    (DESCRIPTORS_RESERVE + 2 * 8)
#define CONNS_MAX	    65536u

enum server_phase {
	PHASE_SERVE,
	PHASE_SETTLE,	  /* no more input: what was taken is being stored */
	PHASE_CHECKPOINT, /* a last checkpoint, so that the next start is quick */
	PHASE_ANSWER	  /* the last answers leave */
};

struct server {
	uv_loop_t loop;
	uv_prepare_t prepare;
	uv_check_t check;
	uv_timer_t due;
	uv_timer_t deadline; /* of the first connection in `deadlines` */
	uv_timer_t retry;    /* accepting, when the system is out of something */
	uv_timer_t farewell; /* the end of PHASE_ANSWER */
	uv_timer_t stall;    /* a drain in which the journal stores nothing any more */
	uv_timer_t starving; /* senders find no room in the journal */
	uv_timer_t untaken;  /* nobody takes what is for other cells */
	bool untaken_said;   /* … and there has been no forwarder since */
	uv_timer_t probe;    /* of a cluster's journal */
	uv_idle_t more;	     /* active while work is left for the next turn */
	uv_poll_t signals;
	int signal_fd;

	struct broker *broker;
	struct journal_link journal;
	struct store_reader *reader;
	struct store_watch watch;
	struct listener listener;
	struct holders holders;
	struct users users;
	const char *directory; /* for messages */
	struct slice node;     /* our node's name; "": of no cluster */
	struct journal_opened_info opened;

	/* The turn. */
	bool in_turn;
	bool throttled;
	bool hearing;	   /* all is to be read that was sent before hearing_since */
	uint64_t hearings; /* begun so far */
	unsigned passes;
	struct lease_time hearing_since;
	struct mono_time now;
	struct mono_time mono_base;
	struct lease_time lease_base;

	/* Connections: by slot, and lists of those that something is due for. */
	struct conn **conns;
	uint32_t *free_slots;
	uint32_t conns_max;
	uint32_t conns_of_one; /* the most that one user may have */
	uint32_t conns_count;
	uint32_t slots_used;
	uint32_t free_count;
	uint64_t next_serial;
	bool full;
	bool full_said;
	unsigned probes;  /* made since the journal's newest frame, beyond the first */
	bool silent;	  /* so many that clients are sent away */
	uint64_t starved; /* bytes that found no room, as the log says; 0: it says nothing */
	struct conn_list dirty;	      /* something to write, or to end */
	struct conn_list deliverable; /* something to deliver */
	struct conn_list paused; /* input waits for another turn; the longest wait is first */
	struct conn_list deadlines; /* in order of their deadlines */
	struct conn_list unheard;   /* what they had sent before the hearing is not all taken */
	struct log_rate clients_rate;

	enum server_phase phase;
	int status;	      /* what the daemon ends with */
	pid_t command;	      /* COMMAND's process, 0: none */
	sigset_t mask;	      /* as we were started with */
	struct rlimit nofile; /* as we were started with */
	rlim_t nofile_now;
};

/*
 * Opens the journal of `directory` and rebuilds the state.  s->mask, ->nofile and
 * ->nofile_now are set by the caller; `sandbox` is the journal's.  What fails here or in server_start() ends the
 * process.
 */
void server_open(struct server *s, const char *directory, enum sandbox_mode sandbox);
/* The same with the journal at the other end of a socket; it says what the directory is. */
void server_open_at(struct server *s, int journal_fd);

/* Begins to serve the connections of s->listener. */
void server_start(struct server *s, int signal_fd);

/*
 * Runs COMMAND; the daemon ends after it, with its status, or as env(1) if it cannot be
 * run.
 */
void server_command(struct server *s, char **argv);

/* Runs until the end; the exit status. */
int server_run(struct server *s);

/* Takes no more input, stores what was taken, ends the loop. */
void server_drain(struct server *s);

/* Ends the process at once: the journal, COMMAND and the socket go too. */
_Noreturn void server_die(struct server *s, int status);

/*
 * Storage that cannot be trusted ends the daemon: the record's checksum matches, but it does not
 * hold what it should.
 */
_Noreturn void server_untrustworthy(struct server *s, uint64_t index, enum rmq_error err);

/*
 * Record `index` cannot be read, with this error and header of store_reader_get().  If that costs
 * no more than the messages in it they are set aside; else the daemon ends.
 */
void server_lost(
    struct server *s, uint64_t index, enum rmq_error err, const struct record_header *h);

/* Before and after reads of the journal: records stay valid between the two. */
void server_read_begin(struct server *s);
void server_read_end(struct server *s);
/* As store_reader_get(). */
enum rmq_error server_read(
    struct server *s, uint64_t index, struct record_header *h, struct slice *payload);
/* As store_reader_next(). */
enum rmq_error server_next(
    struct server *s, uint64_t index, struct record_header *h, struct slice *payload);

/*
 * Reading record `index` gave this error: in a cluster, waits until it is good on disk again, as the
 * other nodes have it.  True: it is to be read again; what was read before is valid no more.
 */
bool server_mend(struct server *s, uint64_t index, enum rmq_error err);

/* Begins a turn, if none has begun: before anything is given to the broker. */
void server_turn(struct server *s);

/* Reads the clocks: before frames whose bytes were read since are given to the broker. */
void server_clock(struct server *s);

/* Whether frames of clients are wanted now. */
bool server_reads(const struct server *s);

/*
 * Ends the connection that has said no HELLO for longest, if that is long enough that its
 * client does not mean to; with an id, one of the same owner.  Whether there was one.
 */
bool server_end_silent(struct server *s, uint64_t like);

/* A connection has ended. */
void server_forget(struct server *s, struct conn *c);

/* Ends the wait: there is work for a next turn. */
void server_wake(struct server *s);

/* The deadlines' list has changed. */
void server_deadlines_changed(struct server *s);

#endif
