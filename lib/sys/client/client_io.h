/*
 * The client core's host: one connection at a time, a receive buffer, the clock.  A
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
#include "sys/net/socket.h"
#include "sys/process/reason.h"

#define CLIENT_IO_SERVERS_MAX 16
#define CLIENT_IO_PATIENCE_MS 1000

struct client_io {
	struct client *client;
	struct socket_address servers[CLIENT_IO_SERVERS_MAX];
	uint32_t servers_count;
	int fd;		      /* -1: not connected */
	enum rmq_error error; /* why the newest attempt to connect failed */
	int error_number;
	char target[SOCKET_PATH_MAX + 1]; /* of the newest attempt */
	uint8_t *in;
	size_t in_len;
	enum client_wait said; /* that this is waited for */
	struct mono_time said_since;
	uint64_t patience_ms; /* before the next line */
};

/*
 * servers: a list of addresses, NULL: the default.  `config` needs no seed and no number
 * of servers.  RMQ_E_USAGE: an address is not one; RMQ_E_LIMIT: no memory.
 */
enum rmq_error client_io_open(struct client_io *io, const char *servers,
    const struct client_config *config, const struct client_host *host, struct reason *why)
    __attribute__((warn_unused_result));
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

/*
 * Why the client has given up, for its host's fatal(): of NO_DAEMON which contact point did not answer,
 * and why; in `out`, or what the client said.
 */
#define CLIENT_IO_WHY_MAX (SOCKET_PATH_MAX + 256)
struct slice client_io_why(const struct client_io *io, enum rmq_error code, struct slice text,
    char out[CLIENT_IO_WHY_MAX]);

/* client_wait_no_more(): what room was waited for has not come. */
void client_io_wait_no_more(struct client_io *io);

/* The shorter of two times for poll(2), of which -1 is for ever. */
int client_io_sooner(int a_ms, uint64_t b_ms);

#endif
