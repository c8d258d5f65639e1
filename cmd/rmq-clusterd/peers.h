/*
 * The links with the other nodes.  core/host/members.h decides which there are, where they are
 * dialled, and whose reports count; here are the sockets.
 */
#ifndef RMQ_CLUSTERD_PEERS_H
#define RMQ_CLUSTERD_PEERS_H

#include "core/host/asked.h"
#include "core/host/cluster_room.h"
#include "core/host/crashes.h"
#include "core/host/health.h"
#include "core/host/members.h"
#include "core/host/opinions.h"
#include "core/host/settings.h"
#include "core/host/tell.h"
#include "core/host/troubles.h"
#include "core/raft/node_wire.h"
#include "inlet.h"
#include "outlet.h"
#include "probe.h"
#include "sys/net/link_listener.h"

struct cluster;

struct peer {
	struct cluster *cluster;
	struct raft_member member;
	struct outlet node, bulk;
	struct probe place, gate;	 /* see probe.h */
	struct inlet *in_node, *in_bulk; /* the newest that said HELLO; NULL: none */
	/* As it has reported. */
	struct disk_room room;
	uint32_t flags;	  /* enum node_state_flag */
	struct tell tell; /* all zeros: it has said nothing */
	struct settings settings;
	struct health_link records, theirs;	 /* over `bulk`, over `in_bulk` */
	uint64_t heard_bytes;			 /* over in_bulk, when it was looked at last */
	struct asked records_asked, holes_asked; /* FETCH, WANT_HOLES: not answered yet */
	bool was_up;
	enum trouble trouble;	    /* as of the last turn */
	bool removed_us;	    /* it has told this node that it was removed */
	char refused[TEXT_MAX + 1]; /* why it does not want us; "": it does */
};

struct peers {
	struct link_net *net;
	struct link_listener *listener;
	struct members members;
	struct opinions opinions;
	struct settings settings; /* of this node */
	struct peer *list[MEMBERS_LINKS_MAX];
	unsigned count;
	uint64_t state_ms; /* when STATE was told */
	struct node_state told;
	struct crashes_word told_died;
	/* Whom the cluster was recovered without, and asked last for the members; "": none has */
	char back[RAFT_NAME_MAX + 1];
	uint64_t back_ms;
	/* Who asked last to be let in under a name that is taken, and where it is. */
	struct {
		char name[RAFT_NAME_MAX + 1]; /* "": nobody has */
		char from[SOCKET_ADDRESS_TEXT_SIZE];
		struct raft_id of; /* the member that had it */
		uint8_t key[RAFT_KEY_SIZE];
		uint64_t asked_ms;
	} namesake;
};

/* Listens.  0, or an exit status; what is wrong was said. */
int peers_open(struct cluster *c);
void peers_close(struct cluster *c);

/* The newest membership that is known, NULL: none; *index is where it stands in the log. */
const struct raft_config *peers_view(const struct cluster *c, uint64_t *index);
/* What others are told: members_told(). */
const struct raft_config *peers_told(const struct cluster *c, uint64_t *index);
/* The same as the payload of JOINED. */
struct slice peers_joined(const struct cluster *c, uint8_t *bytes, size_t cap);
/* Whether this node is a member by it. */
bool peers_member(const struct cluster *c);
/* Whether this node was removed from the cluster, by its log or by the word of a member. */
bool peers_removed(const struct cluster *c);
/* A configuration that is committed, as another node says. */
void peers_hint(struct cluster *c, uint64_t index, const struct raft_config *config);
/* Where this node says that it is. */
void peers_address(const struct cluster *c, char address[RAFT_ADDRESS_MAX + 1]);
/* This node, as a member. */
void peers_self(const struct cluster *c, struct raft_member *m);

/* What is known of it beside its links. */
struct member_link *peers_member_of(const struct peer *p);
/*
 * An address of it was heard: it is dialled there, and if it gave the address itself the others
 * are told.
 */
void peers_place(struct peer *p, enum member_place by, const char *address);
/* Says over its NODE link where this node is, and where the others say that they are. */
void peers_tell_places(struct peer *p);
/* What this node says of itself. */
void peers_tell_self(const struct cluster *c, struct tell *t);
/* Says which settings this node has, on a link of one that joins; `unenforced`: others may be. */
void peers_say_settings(const struct cluster *c, struct link_conn *conn, bool unenforced);
/* Says where this node's queue daemon has died. */
void peers_tell_died(struct peer *p);

/* NULL: no such peer. */
struct peer *peers_find(const struct cluster *c, struct raft_id id);
/* Whether it is up: member_up(). */
bool peers_up(const struct peer *p);
/* Whether this peer has said that it does not vote: NODE_STATE_FORGOT. */
bool peers_forgot(const struct cluster *c, struct raft_id id);
/* The node that leads; NULL: it is not up, or this one leads, or none does. */
const struct peer *peers_leader(const struct cluster *c);

/*
 * Sends a message, if there is a link; payloads of its records are found by index in the
 * pieces of `runs`.
 */
void peers_send(struct cluster *c, const struct raft_message *m, const struct raft_run *runs,
    const struct piece *pieces, unsigned count);

/* Sends a frame, if there is a link; `bulk`: beside records. */
void peers_say(struct peer *p, bool bulk, const struct writer *frame);

/* The start of a turn: looks whether membership has changed. */
void peers_follow(struct cluster *c);
/*
 * The end of a turn, after its frames were sent: begins and ends links; tells the others this
 * node's state if it has changed.
 */
void peers_turn(struct cluster *c);
/* When the next such turn is due without an event. */
uint64_t peers_due(const struct cluster *c);

#endif
