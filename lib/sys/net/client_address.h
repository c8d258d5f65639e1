/*
 * Where a client finds a daemon: the list of $RMQ_SERVERS and --server.
 *
 *	unix:/path	a socket of this machine
 *	HOST[:PORT]	a gate, over TCP, with a key: a name, an IPv4 address, or IPv6 in brackets
 *	exec:COMMAND	what a shell command's stdin and stdout are; it takes the rest of the list
 */
#ifndef RMQ_SYS_NET_CLIENT_ADDRESS_H
#define RMQ_SYS_NET_CLIENT_ADDRESS_H

#include "sys/net/socket.h"

/* Of gates. */
#define CLIENT_ADDRESS_PORT 7411

enum client_address_kind { ADDRESS_UNIX, ADDRESS_HOST, ADDRESS_EXEC };

struct client_address {
	enum client_address_kind kind;
	union {
		struct socket_address path;
		struct socket_host host;
		const char *command; /* borrowed of the list */
	};
};

/*
 * Takes the first address from a list, separated by commas, and sets *list after it and its comma,
 * or to NULL if it was the last.  RMQ_E_USAGE: it is none, *why says what is wrong.
 */
enum rmq_error client_address_parse(struct client_address *a, const char **list,
    const char **why) __attribute__((warn_unused_result));

/* For people: as in the list, but a long command is cut. */
#define CLIENT_ADDRESS_TEXT_SIZE (SOCKET_HOST_TEXT_SIZE + 8)
void client_address_print(const struct client_address *a, char text[CLIENT_ADDRESS_TEXT_SIZE]);

#endif
