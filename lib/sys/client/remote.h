/*
 * A client's connection with a gate, over TCP and encrypted, for poll(2): looks up the name, tries its
 * addresses one after the other, sees to first contact, shows its key, and then carries one stream.
 * When that is over and the link is not, the link is kept for the next one.
 */
#ifndef RMQ_SYS_CLIENT_REMOTE_H
#define RMQ_SYS_CLIENT_REMOTE_H

#include <poll.h>

#include "core/client/client.h"
#include "core/link/client_link.h"
#include "sys/client/client_options.h"
#include "sys/net/pins.h"

struct remote;

enum remote_state {
	REMOTE_IDLE,
	REMOTE_COMING, /* it is being made */
	REMOTE_UP,
	REMOTE_OVER /* see remote_error() */
};

/* What comes is put into *in.  NULL: out of memory. */
struct remote *remote_new(struct client_link_in *in);
/*
 * Its files, before the first connection.  RMQ_E_CONFIG: nobody says where they are; who goes on
 * nevertheless is told so again by each connection.
 */
enum rmq_error remote_find_files(struct remote *r, const struct client_options *o,
    struct reason *why) __attribute__((warn_unused_result));
/* Legal of NULL.  Ends a connection as remote_end() does. */
void remote_free(struct remote *r);

/*
 * Begins one; it is IDLE or OVER.  led: there by a REDIRECT, to one that remote_told() knows.  It is UP
 * at once where a link is up.
 */
void remote_begin(
    struct remote *r, const struct socket_host *host, bool led, struct mono_time now);

/* Goes on, after poll(2) or in time. */
void remote_turn(struct remote *r, short revents, struct mono_time now);

/* One that is COMING takes too long: it is OVER, and the next one goes on from there. */
void remote_late(struct remote *r);

enum remote_state remote_state(const struct remote *r);
/* What to wait for, and how long: CLIENT_FOREVER: no deadline runs. */
struct pollfd remote_poll(const struct remote *r);
uint64_t remote_due_ms(const struct remote *r, struct mono_time now);

/*
 * Takes one record of what has come into `in`: false: there is none.  The caller takes what is in
 * `in` before the next call.
 */
bool remote_take(struct remote *r) __attribute__((warn_unused_result));

/* Writes the client's output as far as there is credit and the socket takes it; true: that is full. */
bool remote_write(struct remote *r, struct client *client, struct mono_time now);

/*
 * The client goes on in another cell, with gates of its own: that one let us in says nothing about them.
 */
void remote_elsewhere(struct remote *r);

/*
 * Ends the stream; IDLE after it.  Its link is kept if it is up, which is said (remote_rests()): until
 * remote_end(), or a connection to elsewhere begins, or the gate ends it, remote_turn() and remote_poll() go on.
 */
bool remote_leave(struct remote *r);
bool remote_rests(const struct remote *r);
/* Ends it at once, with its link; IDLE after it. */
void remote_end(struct remote *r);
/* The same, but all that was written arrives before, if that takes no longer than `most_ms`. */
void remote_finish(struct remote *r, uint64_t most_ms);

/*
 * Why it is OVER.  NO_DAEMON: it may be otherwise soon; DENIED: the gate, or we, want nothing to do
 * with the other; others.  ours: it is our key or our file, and no gate can do better.
 */
enum rmq_error remote_error(const struct remote *r, const char **text, bool *ours);

/*
 * Whether the machine there has acknowledged nothing for so long, by round trips, that it is gone or out
 * of reach.  A gate that is slow, or stands still, has a machine that acknowledges.
 */
bool remote_silent(const struct remote *r);

/* Whether a person was asked since the last call, and time has gone meanwhile. */
bool remote_asked(struct remote *r);

/* The gates of the cluster, as of the newest that was told; rises when they change: *changes. */
const struct pins *remote_told(const struct remote *r, unsigned *changes);

#endif
