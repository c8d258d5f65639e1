/*
 * What a client knows of gates: the file of known nodes, and what members of their cluster have told on
 * a connection.  That lasts as long as the process, and where it is a newer key of one in the file, is
 * put there as well.
 */
#ifndef RMQ_SYS_CLIENT_KNOWN_GATES_H
#define RMQ_SYS_CLIENT_KNOWN_GATES_H

#include "sys/net/pins.h"

struct known_gates {
	char path[PATH_MAX];
	struct pins here; /* which ones may be at the address that is tried */
	struct pins told; /* the gates of the cluster, as of the newest that was told, in: */
	unsigned changes; /* rises when these change */
	struct pin told_pins[RAFT_MEMBERS_MAX];
};

void known_gates_init(struct known_gates *k);
void known_gates_deinit(struct known_gates *k);

/*
 * Which gates may be at an address: those of the file; the one that was told if there are none, or if
 * the client was led there.  Errors as of pins_read().
 */
enum rmq_error known_gates_at(struct known_gates *k, const struct socket_host *host, bool led,
    struct reason *why) __attribute__((warn_unused_result));

/*
 * Who is expected at that address with this key: also one that a gate of the same cluster has told,
 * elsewhere: a name may lead to several.  NULL: nobody.
 */
const struct pin *known_gates_expected(
    const struct known_gates *k, const uint8_t key[KEY_SIZE]);

/* GATE_CONTACT each, which a gate at `host` has told that has proved to be `proved`. */
void known_gates_take(struct known_gates *k, const struct socket_host *host,
    const struct pin *proved, struct slice contacts);

#endif
