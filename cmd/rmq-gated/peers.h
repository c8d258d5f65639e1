/*
 * The other nodes' gates: one link to the leading node's, and the links that they have to this one.
 * And the links of clients that have keys.
 */
#ifndef RMQ_GATED_PEERS_H
#define RMQ_GATED_PEERS_H

#include "core/raft/raft_config.h"
#include "sys/net/link_dialer.h"
#include "sys/net/link_listener.h"
#include "sys/process/reason.h"

#define PEERS_CONTACTS_MAX \
	(FRAME_HEADER_SIZE + 8 + RAFT_MEMBERS_MAX * (3 + TEXT_MAX + RAFT_NAME_MAX + KEY_SIZE))

struct gate;
struct gate_link;

struct peers {
	struct link_net *net;
	struct link_listener *listener;
	uint8_t own[KEY_SIZE];
	struct link_dialer *dialer; /* NULL: none */
	/* Whom it dials. */
	char leader[RAFT_NAME_MAX + 1];
	char address[TEXT_MAX + 1];
	uint8_t key[KEY_SIZE];
	struct raft_id cluster;
	bool failed_said;
	size_t contacts_len;
	uint8_t contacts[PEERS_CONTACTS_MAX]; /* what clients are told of the gates: a frame */
};

/*
 * Listens for gates and clients, those that know only the older key, too (NULL: there is none).
 * Errors as link_listener_new(), RMQ_E_LIMIT: no memory.
 */
enum rmq_error peers_open(struct gate *g, const struct keypair *own, const struct keypair *old,
    struct reason *why) __attribute__((warn_unused_result));
void peers_close(struct gate *g);

/* g->view has changed: other members, another leader. */
void peers_changed(struct gate *g);

/* Ends a link and its streams; or first what was sent on it leaves. */
void peers_cut(struct gate *g, struct gate_link *l);
void peers_close_link(struct gate *g, struct gate_link *l);

#endif
