/* Shared by the loop's and the thread's part of a link.  The thread owns all that is not here. */
#ifndef RMQ_SYS_PG_PG_LINK_STATE_H
#define RMQ_SYS_PG_PG_LINK_STATE_H

#include <pthread.h>

#include "sys/pg/pg_link.h"
#include "sys/pg/pg_result.h"

enum pg_note_type { PG_NOTE_UP, PG_NOTE_DOWN, PG_NOTE_RESULT };

/* What the thread tells the loop, in order. */
struct pg_note {
	STAILQ_ENTRY(pg_note) entry;
	enum pg_note_type type;
	uint64_t epoch; /* UP: the connection's number, from 1 on */
	struct pg_server server;
	char why[512];
	struct pg_answer *answer;
};

struct pg_link {
	char *dsn;
	bool allow_async;
	uint32_t connect_ms;
	uint32_t answer_ms;
	int wake; /* eventfd(2): there is something for the thread */
	/* Of the loop only: */
	uv_async_t async;
	struct pg_link_host host;
	uint64_t epoch;	      /* of the connection that it knows to be up; 0: none */
	unsigned outstanding; /* submitted, and not told what became of it */
	/* Under the lock: */
	pthread_mutex_t lock;
	struct pg_requests submitted;
	uint64_t drop_epoch; /* this connection is to be dropped; 0: none */
	char drop_why[TEXT_MAX + 1];
	bool closing; /* the loop is done with it: the handle is being closed, */
	bool closed;  /* is closed, */
	bool running; /* and the thread is still there: the last of both frees the memory */
	STAILQ_HEAD(, pg_note) notes;
};

#define PG_NO_CONNECTION "there is no connection"

/* The thread's life, to be called on it; returns when the link is closing. */
void pg_worker_run(struct pg_link *l);

/* From the thread: takes the note. */
void pg_link_note(struct pg_link *l, struct pg_note *n);

#endif
