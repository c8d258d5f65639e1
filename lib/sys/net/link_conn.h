/*
 * An encrypted connection over TCP that is up: the handshake is over and the peer is who it
 * should be.  It carries frames both ways.
 *
 * A host gets one from `up`, may use it until `down`, or until it closes it itself, and must
 * not touch it later: of one that the host has closed nothing is heard any more.
 */
#ifndef RMQ_SYS_NET_LINK_CONN_H
#define RMQ_SYS_NET_LINK_CONN_H

#include "core/link/link.h"
#include "core/wire/frame.h"

struct link_conn;

/* How long a handshake may take, and a peer may be silent with bytes unacknowledged. */
#define LINK_HANDSHAKE_MS    5000
#define LINK_USER_TIMEOUT_MS 5000

/* How much of a connection's output may wait, in bytes. */
struct link_window {
	size_t max;  /* so many are queued at most; 0: LINK_QUEUE_MAX */
	size_t mark; /* `drained` is told when no more than these wait again */
};
#define LINK_QUEUE_MAX (8u << 20)

/* What a host is told.  All may be NULL but `frame`. */
struct link_events {
	/* It can send.  Of an accepted one: the role has an effect from here on. */
	void (*up)(void *arg, struct link_conn *c);
	/* One whole frame; its payload is borrowed for the call. */
	void (*frame)(void *arg, struct link_conn *c, const struct frame *frame);
	/* There were more than window.mark bytes queued, and now there are not. */
	void (*drained)(void *arg, struct link_conn *c);
	/*
	 * It is over; only told after `up`.  RMQ_E_OK: the peer has closed it, all that it
	 * sent was handed out.  RMQ_E_INTERRUPTED: it was cut, nobody knows what arrived.
	 * RMQ_E_PROTOCOL: what came is no link or no frame.  `why` is for people, borrowed.
	 */
	void (*down)(void *arg, struct link_conn *c, enum rmq_error err, const char *why);
	/*
	 * A frame has begun: what there is of it, at least its header.  False: it would not be taken, and
	 * this is an end as of bytes that are no frame.
	 */
	bool (*begun)(void *arg, struct link_conn *c, struct slice part);
};

/*
 * Queues bytes, the pieces one after the other: whole frames, in one call or in several with
 * nothing between.  They are copied.  What was queued in one turn of the loop leaves together,
 * before the loop waits again; a large queue leaves at once.  RMQ_E_FULL: they would not fit
 * into the window; RMQ_E_INTERRUPTED: the connection is broken, `down` will come.  Nothing is
 * queued then.  Memory that runs out is an end of the connection.
 */
enum rmq_error link_conn_send(struct link_conn *c, const struct slice *pieces, size_t count)
    __attribute__((warn_unused_result));

/*
 * The same for frames that the host puts itself to where they are sealed, instead of having them
 * copied: a place for *room bytes, at least `want` (at most LINK_DATA_MAX); NULL: link_conn_send()
 * would have failed.  Then link_conn_filled() queues so many, or none, with no call of this
 * connection between the two.
 */
uint8_t *link_conn_room(struct link_conn *c, size_t want, size_t *room);
void link_conn_filled(struct link_conn *c, size_t len);

/* Bytes that were queued and not yet handed to the kernel. */
size_t link_conn_queued(const struct link_conn *c);

/* Bytes that have arrived at the peer's machine, whether it has read them or not. */
uint64_t link_conn_taken(const struct link_conn *c);

/* Bytes that have come from the peer. */
uint64_t link_conn_received(const struct link_conn *c);

/*
 * Ends it: what is queued leaves, then CLOSE, for which it has LINK_CLOSE_MS; nothing that
 * comes is handed out any more.
 */
void link_conn_close(struct link_conn *c);
#define LINK_CLOSE_MS 1000

/* Ends it at once: to the peer it was cut. */
void link_conn_cut(struct link_conn *c);

/* To the peer and back: round_trip.h. */
uint64_t link_conn_round_trip_us(const struct link_conn *c);

/*
 * The peer of an accepted one has said who it is.  Where the listener's `greets` is set the
 * host calls it once for each that is to stay: until then it is cut when the time of the
 * handshake is over, and counts as one that nobody knows.
 */
void link_conn_introduced(struct link_conn *c);

/*
 * The peer of an accepted one may stay: its address is a known one now, and its handshake does not count
 * against it.  Where `greets` is set, link_conn_introduced() says so; else the host does, once.
 */
void link_conn_let_in(struct link_conn *c);

enum link_role link_conn_role(const struct link_conn *c);
/* The peer's public key. */
const uint8_t *link_conn_peer(const struct link_conn *c);
/*
 * When it was accepted, by the loop's clock: what comes over it was made later.  0 if it was
 * dialled.
 */
uint64_t link_conn_accepted_ms(const struct link_conn *c);
/* The other end's address, as people write it: "192.0.2.1:7401". */
const char *link_conn_address(const struct link_conn *c);

/* The same for programs; false: the connection is gone. */
struct sockaddr_storage;
bool link_conn_from(const struct link_conn *c, struct sockaddr_storage *from);

/* Whether the peer holds us to the older of our keys. */
bool link_conn_by_old_key(const struct link_conn *c);

/* From now on, instead of that of its listener or dialer. */
void link_conn_set_window(struct link_conn *c, struct link_window window);

/*
 * What may be kept of records and frames that are not whole, of some connections together; beyond
 * `max` the one that takes more is over: RMQ_E_LIMIT.  One whose frame has begun is over, too, if nothing
 * comes for patience_ms, or the whole not within that and a millisecond for each byte:
 * RMQ_E_TIMEOUT.  So a slow line has its time, and who sends nothing keeps nothing here.
 */
struct link_parts {
	size_t max;
	uint64_t patience_ms;
	size_t used;
};
void link_conn_limit_parts(struct link_conn *c, struct link_parts *parts);

/* A pointer of the host's; NULL at first. */
void link_conn_set_data(struct link_conn *c, void *data);
void *link_conn_data(const struct link_conn *c);

#endif
