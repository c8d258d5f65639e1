/*
 * The file of nodes whose keys are known in advance: lines `rmq1:KEY NAME`, as rmq-keygen(1)
 * prints keys; empty lines and comments as of lines.h.  One bad line makes the whole file
 * invalid.
 */
#ifndef RMQ_SYS_NET_KNOWN_NODES_H
#define RMQ_SYS_NET_KNOWN_NODES_H

#include "core/base/limits.h"
#include "core/link/key.h"
#include "sys/process/reason.h"

struct known_node {
	char name[RAFT_NAME_MAX + 1];
	uint8_t key[KEY_SIZE];
};

/* Zeroed memory is an empty one. */
struct known_nodes {
	struct known_node *nodes;
	size_t count;
};

/*
 * Reads a file, in place of what *k holds; on failure that is untouched.  RMQ_E_CONFIG: there
 * is no such file, or a line is none, or names a node or a key again: *why is "FILE:LINE:
 * text".  RMQ_E_DENIED: not readable; RMQ_E_IO.
 */
enum rmq_error known_nodes_read(struct known_nodes *k, const char *path, struct reason *why)
    __attribute__((warn_unused_result));

/* The same of bytes in memory; `path` is what *why calls them. */
enum rmq_error known_nodes_parse(struct known_nodes *k, struct slice bytes, const char *path,
    struct reason *why) __attribute__((warn_unused_result));

/* NULL: not in it. */
const struct known_node *known_nodes_by_name(const struct known_nodes *k, const char *name);
const struct known_node *known_nodes_by_key(
    const struct known_nodes *k, const uint8_t key[KEY_SIZE]);

void known_nodes_deinit(struct known_nodes *k);

#endif
