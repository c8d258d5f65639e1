/*
 * The client's inside, shared by its files:
 *
 *	client.c	life, progress, the connection, timers
 *	client_send.c	commands: numbers, the window, repeating, answers; all frames out
 *	client_recv.c	subscriptions, deliveries, leases, LIST and PEEK
 *	client_cells.c	which cell it is in, and going to another one
 */
#ifndef RMQ_CORE_CLIENT_CLIENT_STATE_H
#define RMQ_CORE_CLIENT_CLIENT_STATE_H

#include "core/base/text.h"
#include "core/client/client.h"
#include "core/client/held.h"

#define REQUESTS_MAX 4

enum client_state { APART, CONNECTING, GREETING, READY };

/* Pieces of a large message coming together. */
struct assembly {
	uint8_t *bytes; /* of its body, and after them the tagged fields of its first piece */
	uint32_t tags_len;
	uint32_t len;
	uint32_t total;
	uint32_t part;
	uint64_t lease;
	uint64_t seq;
};

struct subscription {
	bool used;
	bool announced; /* SUBSCRIBE was sent on this connection */
	bool confirmed; /* … and answered */
	bool ending;
	bool end_sent;
	char name[NAME_FULL_MAX];
	size_t name_len;
	char pattern[TOPIC_MAX]; /* of an ephemeral one; its name is known with the session */
	size_t pattern_len;
	uint8_t flags;
	uint32_t asked_lease_ms;
	uint32_t lease_ms;
	int64_t messages; /* credit that is not used */
	int64_t bytes;
	uint64_t new_messages; /* credit to be given */
	uint64_t new_bytes;
	struct assembly large;
};

/* A LIST, PEEK, WATCH, BURIED, HISTORY, KV_READ or TRANSFER that is not at its end. */
struct request {
	uint32_t req; /* 0: free */
	bool sent;
	bool again; /* it was sent on an earlier connection, too */
	bool peek;
	uint8_t watch; /* enum watch_for; 0: it is none */
	bool buried;
	uint32_t rows;	      /* of KV_READ, on this connection */
	uint64_t asked;	      /* … and the `from` that it was sent with */
	bool kv;	      /* KV_READ of changes after `from`, of `flags` */
	bool away;	      /* AWAY, with `flags` */
	bool history;	      /* from place `after` */
	bool position;	      /* of the input `after` */
	char name[UINT8_MAX]; /* glob, or queue */
	size_t name_len;
	char after[NAME_FULL_MAX];
	size_t after_len;
	uint8_t of_cells; /* enum cells_request; 0: it is none */
	bool begun;	  /* it was sent on this connection, and goes on there */
	bool bindings;
	char pattern[TOPIC_MAX]; /* … of queue `after`, after which it goes on */
	size_t pattern_len;
	bool cut; /* the daemon has not looked at all names for it */
	uint8_t states;
	uint64_t from;	 /* WATCH: messages */
	uint8_t *ranges; /* TRANSFER; NULL: it is none */
	size_t ranges_len;
	uint8_t flags;
	uint64_t first, end; /* BURIED; KV_READ: `end` is `known` */
	uint32_t limit;
	struct assembly large;
};

struct piece {
	struct slice bytes;
	struct client_command *cmd; /* NULL: control frames */
	bool last;		    /* the command's last frame */
};

/* Requests about cells: EXPORT has `what` in `states`. */
enum cells_request { ASKS_EXPORT = 1, ASKS_CELLS, ASKS_PLACES };

/* A cell, as MOVED names it. */
struct cell_place {
	char name[RAFT_NAME_MAX];
	size_t name_len;
	uint8_t *servers; /* as a daemon told them; NULL: none */
	size_t servers_len;
	/* Why the client goes there: */
	char queue[NAME_FULL_MAX];
	size_t queue_len;
	uint8_t token[CELL_TOKEN_SIZE]; /* that CAME takes */
	size_t token_len;
};

/*
 * From cell to cell.  A session is of one daemon: what it took is answered there, then BYE ends it, and
 * all that is left is asked for in the other cell, with a new one.
 */
#define TOKENS_KNOWN 8
struct roam {
	struct cell_place at;	   /* no name: the contact points that the host was given */
	char given[RAFT_NAME_MAX]; /* the name of the cell that these lead to */
	size_t given_len;
	char met[RAFT_NAME_MAX]; /* the name that the newest daemon gave its cell */
	size_t met_len;
	struct cell_place next;
	bool leaving; /* for `next`: nothing new is sent here */
	bool
	    left; /* … and all was answered: BYE goes, or has gone, and nothing is heard any more */
	bool bye_put;
	bool came_due; /* CAME is to be sent on this connection */
	bool unknown;  /* the daemon of this connection knows nothing of cells */
	struct mono_time left_at;
	/* Tokens that led it somewhere lately: a new one is a queue that has just been moved, and no circle. */
	uint8_t tokens[TOKENS_KNOWN][CELL_TOKEN_SIZE];
	uint32_t tokens_count;
	bool fresh;	 /* `next` comes of a new one */
	uint32_t hops;	 /* since a daemon did something for it */
	uint32_t circle; /* … or told that the queue is there: hops without a new token */
	struct mono_time circling; /* since the first of these */
	char lost
	    [RAFT_NAME_MAX]; /* … and the cell that knows nothing of a queue that has gone there */
	size_t lost_len;
	/* Which cells led it there, and for which queue: names of the longest, and a text. */
	char why[NAME_FULL_MAX + 4 * RAFT_NAME_MAX + 192];
};

struct buffer {
	uint8_t *bytes;
	size_t len;
	size_t cap;
};

struct client {
	struct client_config config;
	struct client_host host;
	uint64_t random;

	enum client_state state;
	bool hang_up;
	char sent_away[TEXT_MAX + 1]; /* why, by the newest ERROR; "": none since WELCOME */
	bool told;		      /* the daemon has said when and where to connect again */
	bool way_open;		      /* to where it was redirected */
	bool dead;		      /* fatal() was called */
	uint32_t server;
	uint32_t failures; /* connections lost soon or refused in a row */
	/* since a daemon has answered HELLO: contact points that were of no use */
	uint32_t tries;
	uint32_t redirects;
	char redirect[UINT8_MAX];
	size_t redirect_len;
	bool
	    relay; /* the contact point is asked to relay: where it leads to cannot be reached */
	unsigned how; /* HELLO_FAR or 0, of this connection */
	struct mono_time retry_at;
	struct mono_time greeted;     /* it began to connect, or to say HELLO */
	uint64_t way_ms;	      /* before an answer to it may be late */
	struct mono_time quick_after; /* no quick attempt before that */

	uint64_t session;
	bool has_token; /* which the session is gone on with */
	uint8_t token[SESSION_TOKEN_SIZE];
	uint64_t answered;
	uint64_t next_n; /* of tx */
	struct client_command *oldest;
	struct client_command *newest;
	struct client_command *tx;
	struct sendbuf *tx_buf; /* the next piece of tx */
	uint32_t unanswered;
	uint32_t flying;
	uint64_t flying_bytes; /* of SENDs */
	uint32_t window_bytes;
	uint64_t sandbox; /* of the daemon: WELCOME_TAG_SANDBOX */
	struct client_copies copies;
	uint32_t send_window; /* commands in flight before another SEND may go */
	bool refused; /* on this connection: answers to what was in flight then may follow */
	bool stopped;
	bool no_places; /* the daemon knows no SEND that only tells a place in an input */
	struct client_command *shelf; /* given up, oldest first */
	bool blocked;		      /* a SEND was refused for want of room */
	enum rmq_error blocked_code;
	char no_room[TEXT_MAX +
		     1]; /* why the oldest was, which is tried again; "": it was not */
	struct mono_time blocked_until;
	struct mono_time room_since; /* it has been missing; 0: it was not, or it came */

	bool resubscribe;
	struct client_command *resubscribe_behind;
	struct subscription subs[SUBSCRIPTIONS_MAX];
	struct held held;
	uint32_t lease_min_ms;
	struct mono_time extend_at;
	bool extend_wanted; /* something is held that nothing vouches for yet */
	bool extend_out;    /* EXTEND was sent and is not answered */
	uint32_t echoes;    /* on this connection */
	bool unconfirmed;   /* some of what is held may not be confirmed */

	struct roam roam;

	struct request requests[REQUESTS_MAX];
	uint32_t next_req;

	bool asking;
	bool answers_ping; /* the daemon of this connection does */
	bool ping_out;	   /* it was asked whether it is there, and nothing has come since */
	bool ping_wanted;  /* PING is to be written */
	bool silent;	   /* nothing came in time */
	struct mono_time pinged; /* when it was asked */
	struct mono_time heard;	 /* the newest bytes came, or the connection was made */
	size_t in_left;		 /* bytes that came and are no whole frame */
	struct mono_time progress;
	struct mono_time apart;	   /* no daemon has been there for what is asked since */
	struct mono_time welcomed; /* the newest WELCOME came */
	bool bye;
	bool bye_sent;
	bool has_subscribed; /* SUBSCRIBE was sent in this session */

	struct buffer control; /* frames to be staged */
	struct buffer going;   /* frames that are staged */
	struct piece staged[CLIENT_PIECES];
	size_t staged_count;
	size_t staged_done; /* bytes of the first one that are written */
	uint8_t *torn;	    /* the rest of a frame whose command may have changed since */
};

/* ---- client.c ---- */

/* fatal(), once; text empty: the code's own. */
void client_give_up(struct client *c, enum rmq_error code, struct slice text);
void client_give_up_memory(struct client *c);
uint64_t client_random(struct client *c);
/* Whether it may take as long as it likes: the daemon has it, and what it is for is others' to do. */
bool client_is_patient(const struct client *c, const struct request *r);
/* What was not done yet is done in a new session. */
void client_new_session(struct client *c);
/* After anything by which the client may begin to wait for the daemon, or end to. */
void client_note_asking(struct client *c, struct mono_time now);

/* What a frame or the daemon's ERROR calls an error. */
static inline enum rmq_error client_code(uint8_t code)
{
	return error_known(code) ? (enum rmq_error)code : RMQ_E_BUG;
}

/* What is said of it, on a terminal maybe: in place of none, or one that would write there, the code's. */
static inline struct slice client_text(enum rmq_error code, struct slice text)
{
	return text.len > 0 && text_is_tame(text) ? text : slice_str(error_text(code));
}

/* Frames of the daemon: each in the file that owns what it is about. */
#define X(type, NAME, name, FIELDS) \
	void client_on_##name( \
	    struct client *c, struct mono_time now, const struct wire_##name *m);
WIRE_DAEMON_FRAMES(X)
#undef X

/* ---- client_send.c ---- */

void client_send_free(struct client *c);
/* The first frame on a new connection. */
void client_send_hello(struct client *c);
/* What found no room goes again. */
void client_try_again(struct client *c, struct mono_time now);
/* Nothing is in flight any more. */
void client_send_disconnected(struct client *c);
/*
 * Whether an ERROR may be an older program's to a SEND of no messages: what it tells stays untold, so
 * a later run comes to records that are known again, and the client goes on with another connection.
 */
bool client_place_refused(struct client *c);

/* A command with `len` bytes for its frame; NULL: no memory, and the client is dead. */
#define CONTROL_FRAME_MAX 1024
struct client_command *client_command_new(
    struct client *c, enum wire_type type, size_t len, struct slice queue, void *tag);
/* Its frame is in w. */
const struct client_command *client_issue(
    struct client *c, struct mono_time now, struct client_command *cmd, const struct writer *w);

/* ---- client_recv.c ---- */

struct request *client_request_new(struct client *c, struct slice name);
/* NULL: there is none of that number. */
struct request *client_request_find(struct client *c, uint32_t req);
void client_request_end(struct request *r);
/* Its `after` is this, which fits. */
void client_request_after(struct request *r, struct slice after);
/* What the session holds is given back: the host is told. */
void client_end_attached(struct client *c);

void client_recv_free(struct client *c);
void client_recv_disconnected(struct client *c);
/* What an answer calls stale is not held any more. */
void client_end_stale(struct client *c, struct slice stale);
/* Credit that was not used is given again, and what is held is asked for. */
void client_recv_welcome(struct client *c, struct mono_time now);
void client_recv_tick(struct client *c, struct mono_time now);
/* When the next of its timers is due; CLIENT_FOREVER: none runs. */
uint64_t client_recv_due_ms(const struct client *c);
/* EXTEND is due at every third of the shortest lease while anything is to be extended. */
uint64_t client_extend_due_ms(const struct client *c);

/* ---- client_cells.c ---- */

void client_cells_free(struct client *c);
/* Before a connection: the first one goes where the oldest request leads. */
void client_cells_target(struct client *c, struct client_target *target);
/* … and a daemon has answered. */
bool client_cells_welcome(struct client *c, const struct wire_welcome *m);
/* A frame of this type has come, and was taken. */
void client_cells_heard(struct client *c, unsigned type);
/* Whether nothing new may be asked of this daemon. */
static inline bool client_leaving(const struct client *c)
{
	return c->roam.leaving;
}
/* … and the client goes now, or stays after all. */
void client_cells_turn(struct client *c, struct mono_time now);
/* When the connection is given up, if the daemon does not end it; CLIENT_FOREVER: not. */
uint64_t client_cells_due_ms(const struct client *c);
/* Whether BYE was written, so that the end of the connection leads to the other cell. */
bool client_cells_gone(const struct client *c);
void client_cells_enter(struct client *c, struct mono_time now);
/*
 * Why what it asks for comes to no cell, as lists of cells contradict each other, and since when; NULL: it
 * is in no such circle.
 */
const char *client_cells_circle(const struct client *c, struct mono_time *since);
/* Whether the oldest command, which is elsewhere, is refused, as it is not to wait for the end of a circle. */
bool client_cells_refuse(struct client *c, const char **why);
/* The connection was lost before that: the daemon is asked again, and may send it away again. */
void client_cells_stay(struct client *c);

#endif
