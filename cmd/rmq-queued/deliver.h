/*
 * Deliveries: from the journal's map straight to the sockets, in one read transaction
 * a round.
 */
#ifndef RMQ_QUEUED_DELIVER_H
#define RMQ_QUEUED_DELIVER_H

#include <stdbool.h>

/* Frames that are written with one system call. */
#define DELIVER_FRAMES 32
/* Their pieces: head, attributes, ends and bodies of each. */
#define DELIVER_PIECES (4 * DELIVER_FRAMES)

struct conn;
struct server;

/* Delivers to each connection in the server's list what it can take. */
void deliver_round(struct server *s);

/* Something else is about to be sent: what was gathered for this connection goes first. */
void deliver_before(struct conn *c);

#endif
