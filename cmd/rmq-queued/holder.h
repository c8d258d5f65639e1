/*
 * The process that holds a session, at the other end of a connection.  It is watched until it
 * dies, also after the connection has ended.  Its death is proof that nobody works on what the
 * session has leased, unless someone else has the connection as well.
 */
#ifndef RMQ_QUEUED_HOLDER_H
#define RMQ_QUEUED_HOLDER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/tree.h>
#include <uv.h>

struct conn;
struct server;

struct holder {
	RB_ENTRY(holder) by_session;
	TAILQ_ENTRY(holder) orphan;
	struct holders *set;
	struct conn *conn; /* NULL once it has ended: an orphan */
	uint64_t session;  /* 0: none yet */
	int pidfd;
	uv_poll_t poll;
	bool died;
};

struct holders {
	struct server *server;
	RB_HEAD(holder_tree, holder) sessions;
	TAILQ_HEAD(holder_list, holder) orphans; /* the oldest first */
	unsigned count;
	unsigned max;
};

/* At most `max` processes are watched; orphans give way. */
void holders_init(struct holders *set, struct server *s, unsigned max);

/* NULL: the peer cannot be watched (no process that we see, or too many). */
struct holder *holder_new(struct holders *set, struct conn *c);

/* Its death is no longer of interest. */
void holder_drop(struct holder *h);

/*
 * The connection has this session now, and no other one has it any more.  NULL: its peer is not
 * watched.
 */
void holder_session(struct holders *set, struct holder *h, uint64_t session);

/* The connection has ended; `bye`: the session too. */
void holder_conn_ended(struct holders *set, struct holder *h, bool bye);

#endif
