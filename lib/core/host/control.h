/*
 * Conversations over the control socket, checked and copied out of their frames (see
 * control_wire.h): what a node knows of its cluster, and requests to it.
 */
#ifndef RMQ_CORE_HOST_CONTROL_H
#define RMQ_CORE_HOST_CONTROL_H

#include "core/raft/raft_config.h"
#include "core/wire/control_wire.h"

/* Texts are ended by NUL; "" and all zeros mean none, as the frames say it. */
struct control_view_member {
	char name[RAFT_NAME_MAX + 1];
	uint8_t key[RAFT_KEY_SIZE];
	struct raft_id id;
	char address[TEXT_MAX + 1];
	char gate[TEXT_MAX + 1];
	uint8_t raft_flags; /* enum raft_flag */
	uint8_t flags;	    /* enum control_member_flag */
	uint64_t match;
#define X(tag, name) uint64_t name;
	CONTROL_MEMBER_NUMBERS(X)
#undef X
#define X(tag, name, max) char name[(max) + 1];
	CONTROL_MEMBER_TEXTS(X)
#undef X
};

/* STATE and its MEMBERs. */
struct control_view {
	struct raft_id cluster;
	char name[RAFT_NAME_MAX + 1];
	uint8_t key[RAFT_KEY_SIZE];
	struct raft_id id;
	enum control_role role;
	uint8_t flags; /* enum control_state_flag */
	uint64_t term;
	uint64_t commit;
	uint64_t last;
	char leader[RAFT_NAME_MAX + 1];
	uint8_t leader_key[RAFT_KEY_SIZE];
	char leader_gate[TEXT_MAX + 1];
	char queue_socket[TEXT_MAX + 1];
	char problem[TEXT_MAX + 1];
#define X(tag, name) uint64_t name;
	CONTROL_STATE_NUMBERS(X)
#undef X
#define X(tag, name, max) char name[(max) + 1];
	CONTROL_STATE_TEXTS(X)
#undef X
	unsigned count;
	struct control_view_member members[RAFT_MEMBERS_MAX];
};

/* A view's frames never take more: 64 for what is no string. */
#define CONTROL_VIEW_SIZE_MAX \
	((1 + RAFT_MEMBERS_MAX) * \
	    (FRAME_HEADER_SIZE + 64 + 2 * RAFT_NAME_MAX + 2 * RAFT_KEY_SIZE + \
		2 * RAFT_ID_SIZE + 3 * TEXT_MAX + CONTROL_TAGS_MAX))

/* Writes STATE and MEMBERs for an asker of this version; w->full is set if there is no room. */
void control_view_encode(
    struct writer *w, uint32_t req, const struct control_view *v, unsigned version);

/* The role's name: "leader"; "unknown" for one not in the table. */
const char *control_role_text(enum control_role role);

/* "up"; "unknown" for one not in the table. */
const char *control_member_state_text(uint64_t state);
enum control_member_state control_member_state_of(const struct raft_member *m);

/* "room"; "unknown" for one not in the table. */
const char *control_reason_text(enum control_reason reason);

/* "notice"; "unknown" for one not in the table. */
const char *control_log_text(enum control_log level);
/* False: no level has this name. */
bool control_log_parse(const char *text, enum control_log *level)
    __attribute__((warn_unused_result));

/* "yes"; "" for one not in the table. */
const char *control_synchronous_text(uint64_t synchronous);

/* "runs". */
const char *control_gate_text(enum control_its_gate gate);

/* The member of that name, NULL: none. */
const struct control_view_member *control_view_find(
    const struct control_view *v, const char *name);

/* Puts a view together from its frames.  Zeroed memory is an empty one. */
struct control_collector {
	/* complete when control_collect() says so, until the next STATE */
	struct control_view view;
	uint32_t req;
	unsigned missing; /* MEMBERs that are still to come */
	bool untagged;	  /* set by the caller: they are of version 1 */
};

/*
 * Takes a STATE or MEMBER frame.  RMQ_E_OK: the view is complete.  RMQ_E_NOTHING: more is to
 * come.  RMQ_E_PROTOCOL: another frame, or one that is not as in the table, or a STATE while
 * MEMBERs are missing, or a MEMBER of another request or too many.
 */
enum rmq_error control_collect(struct control_collector *c, const struct frame *f)
    __attribute__((warn_unused_result));

/* A request; fields that its type does not have are zero. */
struct control_request {
	enum control_type type; /* INIT … WHY */
	uint32_t req;
	char name[RAFT_NAME_MAX + 1];
	uint8_t key[RAFT_KEY_SIZE];
	char address[TEXT_MAX + 1];
	enum control_gate_state gate;
	enum control_log log;
	uint8_t flags; /* enum events_flag */
	uint64_t since;
};

/*
 * RMQ_E_PROTOCOL: not a request, or truncated.  RMQ_E_USAGE: an invalid name, or an invalid
 * key; r->type and r->req are set, and *why is a constant text.
 */
enum rmq_error control_request_parse(const struct frame *f, struct control_request *r,
    const char **why) __attribute__((warn_unused_result));

#endif
