/*
 * The file of a client's known nodes: which key a gate at an address has, so that nobody else can be
 * there.  Lines
 *
 *	HOST:PORT rmq1:KEY NAME CLUSTER
 *
 * where CLUSTER is the cluster's id in hexadecimal digits, "-" for one node without a cluster; empty
 * lines and comments as of lines.h.  One bad line makes the whole file invalid.  An address may have
 * several keys, a line each: any of these gates may be there.
 *
 * The file must be one that only its owner writes to, and he is this user or root.
 */
#ifndef RMQ_SYS_NET_PINS_H
#define RMQ_SYS_NET_PINS_H

#include <limits.h>

#include "core/link/key.h"
#include "core/raft/raft_config.h"
#include "sys/net/socket.h"
#include "sys/process/reason.h"

/* Where it is: see user_file_find(). */
#define PINS_VARIABLE "RMQ_KNOWN_NODES"
#define PINS_NAME     "known_nodes"

struct pin {
	struct socket_host address;
	uint8_t key[KEY_SIZE];
	char name[RAFT_NAME_MAX + 1];
	struct raft_id cluster; /* all zero: none */
};

/* Zeroed memory is an empty one. */
struct pins {
	struct pin *pins;
	size_t count;
};

/*
 * A pin of what a stranger says: the fields of link_who or gate_contact.  What is wrong with them, a
 * constant, else NULL.  Then nothing in it can harm a terminal or a file.
 */
const char *pin_take(struct pin *p, const struct socket_host *address, struct slice key,
    struct slice name, struct slice cluster);

/* Its line, without a newline. */
#define PIN_TEXT_SIZE \
	(SOCKET_HOST_TEXT_SIZE + KEY_TEXT_SIZE + RAFT_NAME_MAX + 2 * RAFT_ID_SIZE + 3)
void pin_print(const struct pin *p, char text[PIN_TEXT_SIZE]);

/*
 * Reads a file, in place of what *p holds; on failure that is untouched.  There is no such file: it
 * is empty.  RMQ_E_CONFIG: a line is none, or is there twice: *why is "FILE:LINE: text".
 * RMQ_E_DENIED: not readable, or others can write to it; RMQ_E_IO; RMQ_E_LIMIT: out of memory.
 */
enum rmq_error pins_read(struct pins *p, const char *path, struct reason *why)
    __attribute__((warn_unused_result));

/* The same of bytes in memory; `path` is what *why calls them. */
enum rmq_error pins_parse(struct pins *p, struct slice bytes, const char *path,
    struct reason *why) __attribute__((warn_unused_result));

/* The first one; NULL: the address is not in it. */
const struct pin *pins_find(const struct pins *p, const struct socket_host *address);
/* The one that has the key there; address NULL: anywhere. */
const struct pin *pins_find_key(
    const struct pins *p, const struct socket_host *address, const uint8_t key[KEY_SIZE]);

/*
 * Adds a line durably; the file, and folders that are not there, are made, for this user alone.  It
 * waits for others that do the same.  That the line is there already is success.  RMQ_E_EXISTS: the
 * address has another key there; RMQ_E_DENIED, RMQ_E_IO, RMQ_E_CONFIG.
 */
enum rmq_error pins_add(const char *path, const struct pin *pin, struct reason *why)
    __attribute__((warn_unused_result));

/*
 * The same, in the place of the line that the address has with the key `old`, if there is one;
 * comments and all other lines stay.
 */
enum rmq_error pins_replace(const char *path, const uint8_t old[KEY_SIZE],
    const struct pin *pin, struct reason *why) __attribute__((warn_unused_result));

void pins_deinit(struct pins *p);

#endif
