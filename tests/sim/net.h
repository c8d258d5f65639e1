/*
 * Connections: each is two streams of bytes, which arrive late and in pieces cut
 * anywhere, in order within a stream and in any order between connections.  A
 * connection may stall for a while, and may break: then of what is under way a prefix
 * arrives, and each side sees the end after it.
 */
#ifndef SIM_NET_H
#define SIM_NET_H

#include "prng.h"

#include "core/base/codec.h"
#include "core/base/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
	uint8_t *data;
	size_t off, len, cap; /* used: [off, len) */
};

void bytes_push(struct bytes *b, struct slice s);
/* What is in it; valid until the next push. */
struct slice bytes_all(const struct bytes *b);
void bytes_consume(struct bytes *b, size_t n);
void bytes_free(struct bytes *b);

struct stream {
	struct bytes flight;  /* written, not arrived */
	struct bytes arrived; /* not taken by the reader */
	bool closed;	      /* nothing more will be written */
};

struct broker;
struct daemon;
struct told;

struct link {
	uint64_t id;
	struct daemon *daemon;	/* at the other end */
	uint64_t clock_ms;	/* what the client's clock is ahead of boot time */
	uint32_t uid;		/* the client's user */
	struct stream up;	/* to the daemon */
	struct stream down;	/* to the client */
	uint64_t stalled_until; /* boot time, ms */
	/* nothing gets through until the client hangs up: to it the daemon stands still */
	bool wedged;
	uint64_t arrived_ms; /* boot time at which the daemon got its newest bytes */
	bool trickles;	     /* little of what is under way comes at once */
	bool unfinished;    /* pieces of a message to a topic have come, and not the last one */
	bool deaf;	    /* it was not read, as its client does not read */
	bool accepted;	    /* the daemon knows of it */
	bool daemon_closed; /* the daemon's side has ended */
	bool client_closed; /* the client's side has ended */
	bool deliverable;   /* the daemon has deliveries for it */
	struct bytes kept;  /* the last SEND that the daemon took in */
	uint64_t kept_n;
	/* Command that purges, or 0: of this queue the messages below are gone with its answer. */
	uint64_t purge_n;
	uint32_t purge_queue;
	uint64_t purge_below;
	uint64_t session;		   /* as WELCOME said */
	struct told *told;		   /* see told.h; NULL: nothing yet */
	uint8_t token[SESSION_TOKEN_SIZE]; /* the same */
	bool intrudes;			   /* names a session that was not issued to it */
	bool trespasses;		   /* asks for what it may not do: see trespass.h */
	uint8_t denial;			   /* … the frame that answers it, */
	uint8_t denied;			   /* … its code, */
	char missing[192];		   /* and what that says */
	uint8_t rights[64];		   /* what the client may do, … */
	size_t rights_len;		   /* 0: all */
	uint64_t died_session; /* proof of death is due: the client's process has ended */
};

struct net {
	struct link **links;
	size_t count, cap;
	uint64_t last_id;
};

void net_free(struct net *n);
struct link *net_connect(struct net *n, struct daemon *d, uint64_t clock_ms);
struct link *net_find(struct net *n, uint64_t id);

/* Moves some of what is under way on one random connection. */
void net_move(struct net *n, struct prng *p, uint64_t now_ms);
/* Moves all that is under way. */
void net_move_all(struct net *n, uint64_t now_ms);
/* Breaks the connection: of each stream a random prefix still arrives. */
void net_break(struct link *l, struct prng *p);
/* Forgets connections that both sides have left. */
void net_sweep(struct net *n);

/* Bytes that wait in a connection before deliveries are pulled no more. */
#define NET_OUT_MAX 200000
/* Whether the client's end is there, after all that the daemon took; it may have cut a frame. */
bool net_end_arrived(const struct link *l);
/* Whether the daemon of this core has something to do with it. */
bool net_ready(const struct link *l, struct broker *b);

#endif
