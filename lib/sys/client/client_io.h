/*
 * The client core's host: one connection at a time, over a Unix socket, TCP (remote.h) or with a
 * command (command.h), a receive buffer, the clock.  A
 * program's loop is
 *
 *	client_io_prepare() -> poll(2) with the entry and time it gives -> client_io_turn()
 *
 * poll(2) and not an event library: there is one socket, and starting up is most of what
 * sending one message costs.
 *
 * A client that has waited for a daemon, its answer or room in a queue for CLIENT_IO_PATIENCE_MS
 * says so in the log, once, with the reason, and says when it came.  The time before each
 * further line doubles.
 */
#ifndef RMQ_SYS_CLIENT_CLIENT_IO_H
#define RMQ_SYS_CLIENT_CLIENT_IO_H

#include <poll.h>

#include "core/client/client.h"
#include "core/link/client_link.h"
#include "sys/client/client_options.h"
#include "sys/client/command.h"
#include "sys/client/contacts.h"
#include "sys/process/reason.h"

#define CLIENT_IO_PATIENCE_MS 1000
#define CLIENT_IO_TEXT_MAX    512

struct remote;

struct client_io {
	struct client *client;
	struct client_options options;
	struct contacts contacts;
	unsigned changes;      /* of what was told, taken into these */
	int fd;		       /* not of `remote`.  -1: not connected */
	struct remote *remote; /* NULL: not needed yet */
	struct command command;
	/* Of the contact point that it came by: a redirection leads to nothing else. */
	enum client_address_kind kind;
	bool dialling; /* the client waits for a connection of `remote` */
	bool led;      /* … to where it was redirected */
	/* Contact points in a row that want nothing to do with us, or for which we lack something. */
	uint32_t denied;
	char refusal
	    [CLIENT_IO_TEXT_MAX]; /* … what the newest one that does said, since one served us */
	struct lost {
		struct socket_host host; /* which cannot be reached */
		struct mono_time until;
	} silent,
	    lost[RAFT_MEMBERS_MAX]; /* the machine of one is gone, the way to others closed */
	unsigned lost_next;
	enum rmq_error error;		       /* why the newest attempt to connect failed */
	int error_number;		       /* 0: `text` says it */
	char target[CLIENT_ADDRESS_TEXT_SIZE]; /* of the newest attempt */
	bool unix_path;			       /* that is a path */
	char text[CLIENT_IO_TEXT_MAX];
	uint8_t *memory;
	struct client_link_in in;
	enum client_wait said; /* that this is waited for */
	struct mono_time said_since;
	uint64_t patience_ms; /* before the next line */
};

/*
 * Addresses, and what else it needs to connect, are in *o, of which only the texts are borrowed.
 * `config` needs no seed and no number of servers.  RMQ_E_USAGE: an address is not one; RMQ_E_CONFIG:
 * it needs a key, and nobody says where; RMQ_E_LIMIT: no memory.
 */
enum rmq_error client_io_open(struct client_io *io, const struct client_options *o,
    const struct client_config *config, const struct client_host *host, struct reason *why)
    __attribute__((warn_unused_result));

/*
 * The same, beginning in a cell: with the addresses that the user's list has for it, else with those that a
 * daemon told.  `local`: client_io_local() of the connection by which it did.  A client that is to stay
 * there is pinned (client.h).  RMQ_E_CONFIG as well: there is no address.
 */
struct client_io_cell {
	struct slice name;
	struct slice servers;
	bool local;
};
enum rmq_error client_io_open_cell(struct client_io *io, const struct client_options *o,
    const struct client_io_cell *cell, const struct client_config *config,
    const struct client_host *host, struct reason *why) __attribute__((warn_unused_result));
/* Whether its connection is a Unix socket. */
bool client_io_local(const struct client_io *io);

/* What was written arrives, if that takes not long. */
void client_io_close(struct client_io *io);

/*
 * Connects if need be, writes what can be written, and says what to wait for: an entry
 * for poll(2) (fd -1: none) and for how long (-1: for ever).
 */
struct pollfd client_io_prepare(struct client_io *io, int *timeout_ms);

/* Writes what the client has to write, as far as the daemon takes it at once. */
void client_io_flush(struct client_io *io);
/* Takes in what poll(2) has found. */
void client_io_turn(struct client_io *io, short revents);

/* The same for a program that waits for nothing else: one turn, at most so long. */
void client_io_wait(struct client_io *io, int extra_fd, uint64_t most_ms);

/*
 * Ends the session, on a new connection if need be, within so many ms.  False: `extra_fd` (-1:
 * none) became readable before that.
 */
bool client_io_bye(struct client_io *io, int extra_fd, uint64_t most_ms);
/* The same of several at once, CELLS_MAX at most. */
bool client_io_bye_all(
    struct client_io *const *ios, uint32_t count, int extra_fd, uint64_t most_ms);

/*
 * Why the client has given up, for its host's fatal(): of NO_DAEMON which contact point did not answer,
 * and why, and which one refused; in `out`, or what the client said.
 */
#define CLIENT_IO_WHY_MAX (CLIENT_ADDRESS_TEXT_SIZE + 2 * CLIENT_IO_TEXT_MAX + 64)
struct slice client_io_why(const struct client_io *io, enum rmq_error code, struct slice text,
    char out[CLIENT_IO_WHY_MAX]);

/* client_wait_no_more(): what room was waited for has not come. */
void client_io_wait_no_more(struct client_io *io);

/* The shorter of two times for poll(2), of which -1 is for ever. */
int client_io_sooner(int a_ms, uint64_t b_ms);

#endif
