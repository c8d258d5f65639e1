/* Where clients connect: inherited sockets, a path, or a private one for COMMAND. */
#ifndef RMQ_SYS_NET_LISTENER_H
#define RMQ_SYS_NET_LISTENER_H

#include <limits.h>
#include <stdbool.h>
#include <uv.h>

#include "core/base/error.h"
#include "sys/net/socket.h"
#include "sys/process/sandbox.h"

#define LISTENERS_MAX 16
/* Connections that one socket gets in one turn. */
#define ACCEPT_BATCH 64

struct listener_host {
	void *arg;
	/* Whether no more connections are wanted now. */
	bool (*full)(void *arg);
	/* A connection, non-blocking and close-on-exec, which it takes. */
	void (*accept)(void *arg, int fd);
	/* The system is out of something: errno. */
	void (*exhausted)(void *arg, int error);
};

struct listener {
	struct listener_host host;
	int count;
	int fds[LISTENERS_MAX];
	uv_poll_t polls[LISTENERS_MAX];
	bool started;
	bool accepting;
	bool bound; /* address and file are ours to remove, and watched */
	uv_fs_event_t watch;
	struct socket_address address;
	struct socket_file file;
	char directory[SOCKET_PATH_MAX + 1]; /* private, "" if none */
	int directory_fd;		     /* its lock, if there is one */
};

/*
 * Takes the sockets of $LISTEN_FDS, if they are for us; l->count is their number.
 * RMQ_E_CONFIG: they are no listening stream sockets, or too many.
 */
enum rmq_error listener_inherit(struct listener *l) __attribute__((warn_unused_result));

/*
 * Listens on a path.  Errors as socket_listen().  The caller has taken SIGTERM, SIGINT and SIGHUP:
 * one that ended the process here or later, with nobody to call listener_close(), would leave the
 * socket behind.
 */
enum rmq_error listener_open(struct listener *l, const char *path, const char **why)
    __attribute__((warn_unused_result));

/*
 * Listens on a socket in a fresh directory of mode 0700, whose name RMQ_SERVERS can hold.
 * Such directories of this user that were left behind by killed daemons are removed.
 */
enum rmq_error listener_open_private(struct listener *l, const char **why)
    __attribute__((warn_unused_result));

/* What it makes and removes, for a sandbox. */
void listener_paths(const struct listener *l, struct sandbox *s);

/* The first socket's address as in RMQ_SERVERS.  Errors as socket_address_print(). */
enum rmq_error listener_address(const struct listener *l, char text[SOCKET_ADDRESS_TEXT_SIZE],
    const char **why) __attribute__((warn_unused_result));

/*
 * Accepting begins, stops, and goes on.  From the start on the file of a socket of ours is watched
 * over: when it is removed it is made anew, or nobody can connect any more; when it is moved it
 * serves where it is.  The log says which.
 */
void listener_start(struct listener *l, uv_loop_t *loop, const struct listener_host *host);
void listener_pause(struct listener *l);
void listener_resume(struct listener *l);

/* For good: closes, and removes what is ours. */
void listener_close(struct listener *l);

/*
 * The same after listener_start(), in a loop that goes on: `closed` is told of each of its handles, whose
 * data is the host's arg.  How many they are.
 */
unsigned listener_end(struct listener *l, uv_close_cb closed);

#endif
