/*
 * One client's connection: frames in, frames out.
 *
 * Memory: what was read and is not a whole frame yet (at most a frame; with a question
 * unanswered, at most a read), and what was to be written and did not fit into the
 * socket (answers: no frame is read while they are more than OUT_READ_BYTES; deliveries:
 * none is begun while anything waits).  An idle connection has no buffers.
 *
 * Its state says what is done for it, its stage how far the client has come; conn.c has the
 * transitions:
 *
 *	OPEN	 frames are read, and answered
 *	ASKING	 LIST or PEEK was asked: nothing is read before the end of its answer
 *	MUTE	 the peer reads no more: it is read to its end, and what it is sent is thrown away
 *	CLOSING	 nothing is read; it ends when its output has left
 *	DEAD	 it ends in this turn
 */
#ifndef RMQ_QUEUED_CONN_H
#define RMQ_QUEUED_CONN_H

#include <stdbool.h>
#include <sys/queue.h>
#include <uv.h>

#include "core/base/codec.h"
#include "core/base/error.h"

/* Nothing is read from a client that has more than this to read. */
#define OUT_READ_BYTES (64u << 10)
/* To say HELLO, or to read the last answers of a connection that we end. */
#define CONN_PATIENCE_MS 30000

struct server;
struct holder;

struct buffer {
	uint8_t *data;
	size_t at; /* after what is done */
	size_t len;
	size_t cap;
};

enum conn_lists {
	CONN_DIRTY,
	CONN_DELIVERABLE,
	CONN_PAUSED,
	CONN_DEADLINES,
	CONN_UNHEARD,
	CONN_LISTS
};

enum conn_state { CONN_OPEN, CONN_ASKING, CONN_MUTE, CONN_CLOSING, CONN_DEAD, CONN_STATES };

enum conn_stage {
	CONN_STRANGER, /* has sent no frame */
	CONN_SPOKE,
	CONN_GREETED, /* has a session */
	CONN_PARTED   /* … and has said BYE */
};

struct conn {
	TAILQ_ENTRY(conn) entry[CONN_LISTS];
	bool listed[CONN_LISTS];
	struct server *server;
	uint64_t id;
	int fd;
	int events; /* what uv_poll watches for */
	uv_poll_t poll;
	struct buffer in;
	struct buffer out;
	struct holder *holder; /* the process at the other end, if it can be watched */
	uint64_t deadline_ms;
	uint64_t hearing; /* number of the newest one that has looked at it */
	size_t unheard;	  /* bytes sent before that began, and not taken yet */
	enum conn_state state;
	enum conn_stage stage;
	bool by_file;	   /* what it may do says the file of rights (users.h), … */
	uint64_t until_ms; /* up to then, by the wall clock */
	bool blocked;	   /* the socket took less than it was given */
	bool delivering;   /* the broker has something to deliver, as far as we know */
};

/* A list that a connection is in at most once. */
struct conn_list {
	TAILQ_HEAD(conn_head, conn) head;
	enum conn_lists which;
};
void conn_list_init(struct conn_list *l, enum conn_lists which);
void conn_list_add(struct conn_list *l, struct conn *c);
void conn_list_remove(struct conn_list *l, struct conn *c);
struct conn *conn_list_first(const struct conn_list *l);
struct conn *conn_list_take(struct conn_list *l);

/* NULL when out of memory.  Takes fd, which is non-blocking, also on failure. */
struct conn *conn_new(struct server *s, uint64_t id, int fd);

/* It has CONN_PATIENCE_MS from now on. */
void conn_patience(struct conn *c);

/*
 * Whether its client has said no HELLO, and none of it waits to be read: a daemon that is held up,
 * by a slow disk or a busy machine, does not blame its clients.
 */
bool conn_is_silent(const struct conn *c);

/* Its owner has just become known: refuses it if that user has too many connections. */
void conn_judge_owner(struct conn *c);

/* Ends it, in a turn: the broker is told.  The memory goes with the loop's next iteration. */
void conn_end(struct conn *c);

/* Adds frames to what is written at the turn's end. */
void conn_send(struct conn *c, struct slice frames);

/* Writes pieces after what waits already: what does not fit is copied. */
void conn_writev(struct conn *c, const struct slice *pieces, int count);

/* Says why, and ends it when that has left. */
void conn_refuse(struct conn *c, enum rmq_error err, const char *text);

/* Ends it when all has left. */
void conn_close(struct conn *c);

/* Writes what waits, and ends what is to end: once a turn, for each in the dirty list. */
void conn_flush(struct conn *c);

/* What it has sent so far is to be taken before leases end: once in each hearing. */
void conn_note_unheard(struct conn *c);

/* Watches for what is wanted now. */
void conn_watch(struct conn *c);

/* Input is wanted again: takes what was put off, and goes on reading. */
void conn_resume(struct conn *c);

#endif
