/*
 * The broker's inside, shared by its files:
 *
 *	broker.c	turns, connections, effects, the journal's answers
 *	broker_commands.c	frames of clients: validation, then events
 *	broker_events.c	events into the journal's records and into the state
 *	broker_handout.c	leases, expiry, deliveries, peeks
 *	broker_checkpoint.c	checkpoints and recovery
 *	broker_move.c	rewriting sparse and small records
 *	broker_lost.c	records that cannot be read
 *	broker_unfinished.c	large messages of which not all pieces have come
 *	broker_errands.c	what may take more than one turn
 *	broker_transfer.c	messages that are moved to another queue, or back from a dead one
 *	broker_ids.c	messages that are not stored again
 *	broker_resume.c	inputs that are sent in several runs
 *	broker_watch.c	clients that wait for messages to be gone, or for more
 *	broker_away.c	what waits for the forwarder to other cells
 *	broker_history.c	what has happened to a message
 *	broker_waits.c		why one is not handed out
 *	broker_drop.c	messages that expire or are cancelled
 *	broker_topics.c	which queues are bound to which topics
 *	broker_kv.c	the map
 *	broker_rights.c	what a connection may do
 *	broker_cells.c	which queues live here, and where others do
 *	broker_moves.c	those that leave for another cell, or come
 *	broker_arrive.c	what comes with them, and
 *	broker_export.c	what goes
 *	broker_gaps.c	recovery around records whose events are gone
 */
#ifndef RMQ_CORE_BROKER_BROKER_STATE_H
#define RMQ_CORE_BROKER_BROKER_STATE_H

#include "core/base/cells.h"
#include "core/base/recent.h"
#include "core/broker/broker.h"
#include "core/queue/kv.h"
#include "core/queue/places.h"
#include "core/queue/queue.h"
#include "core/queue/session.h"
#include "core/queue/voided.h"

/* Group of the sessions, after those of the queues. */
#define SESSION_GROUP CHECKPOINT_GROUPS
#define GROUPS	      (CHECKPOINT_GROUPS + 1)
#define GROUPS_MAX    (CHECKPOINT_GROUPS_MAX + 1)

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/*
 * Where an event stands: what apply needs besides the event.  `index` is 0 for an event
 * that is made now; in recovery it is the record's, and what a group's part knows
 * already is not applied to that group again.
 */
struct event_place {
	uint64_t index;
	struct record *record;
	uint32_t offset; /* of messages, at most UINT16_MAX */
	struct lease_time lease;
	struct wall_time wall;
};

/* Something to be read from the journal for a connection: a lease, or rows of a PEEK. */
struct handout {
	TAILQ_ENTRY(handout) link;
	bool peek;
	bool by_wall;	  /* … of what is delayed since it was sent */
	bool expires_own; /* … of what expires as it was sent, or by its queue's setting, */
	bool again;   /* all that the session held in the queue under `lease` and before it */
	bool grant;   /* of a new lease */
	bool history; /* `frames` is what is asked for: broker_history.c */
	uint8_t state;
	uint32_t target; /* number of the subscription or request */
	uint32_t queue;
	uint32_t attempt;
	uint32_t failures;
	uint64_t lease;
	uint64_t at;  /* next message */
	uint64_t end; /* after the last one */
	uint64_t stamp;
	uint64_t reserved;  /* bytes of its subscription's credit */
	uint64_t unused;    /* messages of its credit that were not sent, or not yet */
	uint64_t expire_ms; /* … then; 0: it does not */
	uint64_t left_ms;   /* … of what is delayed, but not since it was sent: so long */
	uint64_t part_of;   /* the large message that is being sent */
	uint32_t part;	    /* its next piece */
	size_t frames_len;  /* peek: frames to send when all is read */
	uint8_t frames[];
};
TAILQ_HEAD(handout_list, handout);

struct subscription {
	TAILQ_ENTRY(subscription) of_conn;
	TAILQ_ENTRY(subscription) of_queue;
	TAILQ_ENTRY(subscription) hungry; /* in its queue's list while it has credit */
	struct conn *conn;
	struct queue *queue;
	uint32_t id;
	uint32_t lease_ms;
	struct key_receiver by_key;
	struct handout *again; /* what is handed again, while it is under way */
	uint64_t messages;     /* credit left */
	int64_t bytes;	       /* the same, less what was really sent */
	int64_t reserved;      /* bytes of handouts under way, as estimated */
	bool starts;	       /* its client says what reaches the reader */
	bool is_hungry;
	bool has_asked; /* it was given credit */
	bool wants_idle;
	bool idle_due;	    /* is to be told when nothing is ready */
	bool held_back_due; /* … or when what is may not be handed out */
};

/* What is gone through in pieces, see broker_errands.c. */
enum errand_kind {
	ERRAND_PURGE,
	ERRAND_REMOVE,
	ERRAND_LEAVE,	/* a client has ended: what it holds is given back */
	ERRAND_DIED,	/* a client's process died: what it holds fails */
	ERRAND_END,	/* an ephemeral subscription has ended: its queue goes */
	ERRAND_UNBIND,	/* a queue has not moved: what is for other cells is not bound for it */
	ERRAND_DELIVER, /* the host is to go on with a connection's deliveries */
};

struct errand {
	TAILQ_ENTRY(errand) link;
	enum errand_kind kind;
	uint64_t conn;	  /* PURGE, REMOVE: is answered; DELIVER */
	uint64_t n;	  /* … its command */
	uint64_t session; /* LEAVE, DIED */
	uint32_t queue;	  /* … how far it has come: in this queue, up to message `at` */
	uint64_t at;	  /* PURGE, REMOVE: all messages below go */
	uint64_t lease;	  /* DIED: what is held under this one or before it */
};
TAILQ_HEAD(errand_list, errand);

struct conn {
	RB_ENTRY(conn) by_id;
	TAILQ_ENTRY(conn) waiting;     /* in this list, for room */
	struct waiting_list *waits_in; /* NULL: it does not wait */
	size_t wants;		       /* so many bytes */
	uint64_t id;
	struct owner *owner;
	struct conn_rights *rights; /* NULL: all */
	struct session *session;
	TAILQ_HEAD(, subscription) subs;
	uint32_t subs_count;
	struct handout_list handouts;
	uint32_t grants;   /* of new leases among those that wait, here or for the journal */
	size_t owed;	   /* bytes of frames for it that wait here */
	uint64_t piece_id; /* hash of the id of the large message that is on its way; 0: none */
	uint64_t refused;  /* this SEND's pieces are passed over up to its first one */
	uint64_t unrouted; /* this large message's topic leads to no queue, as it may */
	uint64_t part_bytes; /* of the newest large message, as far as it was delivered */
	TAILQ_ENTRY(conn) watching; /* while watch.what is not 0 */
	struct {
		uint32_t req;
		uint32_t queue;
		uint64_t messages;
		uint8_t what;
	} watch;
	TAILQ_ENTRY(conn) away_asking; /* while away.asks */
	struct {
		bool asks;
		bool now;
		uint32_t req;
		uint64_t seen; /* it has looked at those up to this order, */
		uint64_t
		    again; /* … and up to this one also at those that others were told of */
		uint64_t told; /* so many that are there it was told of, and nobody after it */
	} away;
	struct kv_watch *kv_watch; /* what it waits for in the map; NULL: nothing */
	struct move *move;	   /* the queue that it holds to move it; NULL: none */
	uint64_t features;	   /* its client's */
	bool is_far;		   /* … which is not at the other end of a Unix socket */
	bool stalled;		   /* its first handout waits for a record in flight */
	bool closed;		   /* the host was told to close it */
	bool errand; /* what it asked for is under way: no more frames of it are taken */
	bool missed; /* a lease of it has run out, and nothing has come since */
};
RB_HEAD(conn_tree, conn);

/* What waits for the journal: frames, a handout, or the end of a connection. */
struct effect {
	TAILQ_ENTRY(effect) link;
	uint64_t conn;
	uint64_t n;	  /* APPEND that has to be stored */
	uint64_t barrier; /* barrier that has to be answered */
	struct handout *handout;
	bool close;
	size_t len;
	uint8_t frames[];
};
TAILQ_HEAD(effect_list, effect);

RB_HEAD(queue_name_tree, queue);
RB_HEAD(arriving_tree, queue);
RB_HEAD(queue_id_tree, queue);
RB_HEAD(throttle_tree, queue);
RB_HEAD(ids_tree, queue);

struct checkpoint {
	bool active;
	bool wanted;
	bool end_made;
	uint64_t todo[(GROUPS_MAX + 63) / 64];
	uint32_t left;	/* groups in todo */
	bool holding;	/* all that are left have records in flight */
	uint32_t count; /* of checkpoints begun */
	bool paused;	/* the part of `group` goes on, … */
	uint32_t group;
	uint32_t queue; /* … with this queue, from `below` on; 0: with the next one */
	uint64_t
	    below; /* … of the sessions: with this one; UINT64_MAX: only ids are left, or the map */
	uint64_t kv_at;	  /* … of the map: entries up to this version are written */
	bool places_done; /* … of the places all, or those up to this name */
	uint8_t place_len;
	char place[NAME_FULL_MAX];
	uint32_t ids_end; /* … of the queue: those with lower numbers (ids.h) */
	uint64_t fresh;	  /* what is from here on came after its first piece */
	uint64_t group_n[GROUPS_MAX];
	uint64_t group_index[GROUPS_MAX]; /* 0: not stored yet */
	uint64_t end_n;
	uint64_t recovered; /* index of the END that recovery began with; 0: none */
	uint8_t *dead;	    /* ranges named by END, for HOLE */
	size_t dead_len;
	uint64_t logged_bytes; /* of events, since the newest one began */
	uint64_t part_bytes;   /* of the newest one itself, but for its END */
};

/* Messages [first, end) of a queue that were sent in a record that recovery went around. */
struct gap_run {
	uint32_t queue;
	uint64_t first;
	uint64_t end;
	uint64_t index; /* of the record, or of a newer one that is gone as well */
};

struct gaps {
	bool allowed;
	bool met; /* recovery is over, and there was one */
	/* index of the newest record that recovery went around; 0: none, or over */
	uint64_t newest;
	struct gap_run *runs;
	size_t count;
	size_t cap;
};

struct broker {
	struct broker_host host;
	/* Memory of one settlement's judgement: too much to be made for each. */
	struct settle_entry entries[SETTLE_SEND_ENTRIES_MAX];
	uint8_t verdict[3 * RECORD_PAYLOAD_MAX];
	char note[TEXT_MAX + 1];	 /* of the newest delivery */
	uint8_t peeked[PEEKED_TAGS_MAX]; /* its tags */
	uint64_t work;
	uint64_t turn_work;	   /* as it was when the turn began */
	uint64_t sandbox;	   /* WELCOME_TAG_SANDBOX */
	const struct cells *cells; /* all that there are; NULL: nobody has told */
	struct slice cell;	   /* … and this one's name */
	TAILQ_HEAD(, move) moving; /* queues that connections hold */
	uint32_t moves;		   /* … so many */
	bool explicit_create;	   /* no queue is made by a SEND or SUBSCRIBE */
	struct lease_time lease_now;
	struct wall_time wall_now;
	struct lease_time heard; /* what clients had sent by then is known */
	uint32_t start;		 /* our number: of the ids of the sessions that we issue */
	uint8_t fresh_secret[SESSION_SECRET_SIZE]; /* to be the journal's, if it has none */

	/* durable state */
	struct queue_name_tree queues_by_name;
	struct queue_id_tree queues_by_id;
	TAILQ_HEAD(, queue) groups[CHECKPOINT_GROUPS_MAX];
	uint32_t queues_count;
	uint32_t next_queue;
	struct bindings bindings;
	struct ids_tree queues_by_ids; /* those that remember some, by when some are too old */
	uint32_t ids_count;	       /* of all of them */
	struct session_tree sessions;
	uint64_t lease;	    /* highest lease number */
	uint64_t forgotten; /* highest session that was forgotten */
	uint32_t starts;    /* highest number of a start */
	bool has_secret;
	uint8_t secret[SESSION_SECRET_SIZE];
	struct timers timers;
	struct pending_tree pendings;
	struct pending_list pendings_by_age; /* the one whose newest piece is oldest is first */
	uint32_t pendings_count;
	uint64_t pendings_parts; /* pieces of all of them */
	struct ledger ledger;
	struct voided voided; /* not durable: see voided.h */
	struct kv kv;
	struct places places;
	struct arriving_tree queues_arriving; /* by name and token */
	/* The queues that the newest event for several named, and a number for them; 0: none yet. */
	struct {
		uint64_t number;
		uint32_t queue;
		size_t further_len;
		uint8_t further[EVENT_FURTHER_MAX];
	} set;

	/* sessions and connections */
	uint32_t sessions_count;
	uint32_t session_counter;
	struct session_list idle;
	struct owner_tree owners;
	struct session_list deserted; /* the one that has been so longest first */
	struct session_list closing;
	uint32_t closing_count;
	struct session_list ended; /* not known any more, but in ranges that they held */
	struct errand_list errands;
	struct conn_tree conns;
	struct recent recent_conns;
	struct recent recent_sessions;
	struct waiting_list waiting_room; /* in the journal */
	struct waiting_list waiting_ids;  /* for ids to be forgotten */
	uint64_t ids_forgotten;		  /* in this turn */
	TAILQ_HEAD(, conn) watching;
	uint32_t watching_count;
	RB_HEAD(away_tree, away)
	aways;			/* queues NAME.away that wait for somebody to take from them */
	uint64_t away_order;	/* of the newest */
	uint64_t aways_untaken; /* those of which nobody was told who is still there */
	TAILQ_HEAD(, conn) away_asking; /* who asked for longest is first */
	uint32_t away_asking_count;
	bool away_due; /* one of them may be told something */
	TAILQ_HEAD(, queue) roomy;
	TAILQ_HEAD(, kv_watch) kv_watches; /* who was looked for longest ago is first */
	uint32_t kv_watches_count;
	uint64_t kv_told;  /* up to which version all of them were looked for */
	uint64_t kv_round; /* up to which they are in this round, */
	uint32_t kv_left;  /* … so many of them are left, the first; 0: there is none */
	bool kv_missed;	   /* … and one has not seen all */
	uint64_t level;	   /* of records that may be written: see broker_level() */

	/* the record that is being written */
	uint8_t payload[RECORD_PAYLOAD_MAX];
	struct writer w;
	struct record *open; /* NULL: none */
	enum record_kind open_kind;
	uint64_t next_n;
	uint64_t stored_n;
	uint64_t next_barrier;
	uint64_t barrier_done;
	struct effect_list fresh;   /* of this turn */
	struct effect_list waiting; /* for the journal, in order */
	TAILQ_HEAD(, queue) busy;
	struct throttle_tree
	    throttled; /* by the time at which their rate lets something through */

	/* room for new messages */
	uint64_t room;
	bool holes_wanted;	  /* by another member of the cluster */
	uint64_t room_sent;	  /* bytes of new messages appended up to then */
	uint64_t sent_bytes;	  /* bytes of new messages appended so far */
	uint64_t stored_sent;	  /* the same, up to the newest stored record */
	uint64_t reserve;	  /* that the journal was told to keep back */
	uint64_t reserve_known;	  /* that `room` takes into account */
	uint64_t reserve_barrier; /* a ROOM after this barrier's answer knows of `reserve` */

	/* A frame that waits for what was in flight when it came; no other one is taken meanwhile. */
	struct {
		uint64_t conn; /* 0: none */
		uint64_t n;    /* APPEND that has to be stored */
		uint8_t type;
		uint8_t *payload;
		size_t len;
	} put_off;

	struct checkpoint ckpt;
	/* where the parts of the newest checkpoint are; 0: there is none */
	uint64_t part_index[GROUPS_MAX];
	uint64_t newest_index; /* of what is stored */
	/* recovery: what the part that is read knows so far, if it goes on (PART_PAUSE) */
	struct {
		bool on;
		uint32_t group;
		uint32_t queue;
		uint64_t below;
	} pause;
	bool part_named;  /* recovery: the part that is read is one that END named */
	bool part_open;	  /* … and its end has not come */
	struct gaps gaps; /* recovery */
	uint64_t moved_n; /* the newest record that holds moved messages */
};

RB_PROTOTYPE(conn_tree, conn, by_id, conn_compare)
RB_PROTOTYPE(queue_name_tree, queue, by_name, queue_name_compare)
RB_PROTOTYPE(queue_id_tree, queue, by_id, queue_id_compare)
RB_PROTOTYPE(throttle_tree, queue, by_throttle, throttle_compare)
RB_PROTOTYPE(ids_tree, queue, by_ids, ids_compare)

#define FRAME_SMALL 512 /* every answer but those with entries fits */

/* Sends the connection a frame. */
#define ANSWER(b, c, name, ...) \
	do { \
		uint8_t bytes_[FRAME_SMALL]; \
		struct writer w_ = writer_of(bytes_, sizeof(bytes_)); \
		wire_put_##name(&w_, &(struct wire_##name){__VA_ARGS__}); \
		broker_send(b, (c)->id, &w_); \
	} while (0)

/* ---- broker.c ---- */

struct conn *broker_conn(struct broker *b, uint64_t id);
/* The session with this id, or NULL. */
struct session *broker_session_find(struct broker *b, uint64_t id);
struct queue *broker_queue_named(const struct broker *b, struct slice name);
struct queue *broker_queue(const struct broker *b, uint32_t id);
/* The first queue whose name sorts after `after`, and not before `from`. */
struct queue *broker_queue_from(const struct broker *b, struct slice after, struct slice from);
/* Frees a queue that is in no tree any more. */
void broker_queue_free(struct broker *b, struct queue *q);
/* Something may be handed out from the queue in this turn. */
void broker_busy(struct broker *b, struct queue *q);
/* Its rate lets something through at that time (lease time), or it is not asked any more. */
void broker_throttle(struct broker *b, struct queue *q, struct lease_time until);
void broker_unthrottle(struct broker *b, struct queue *q);
/* Effects: frames (copied) for a connection, and a handout (taken). */
void broker_send(struct broker *b, uint64_t conn, const struct writer *w);
void broker_hand(struct broker *b, uint64_t conn, struct handout *h);
/* Steps of work for a frame. */
static inline void broker_works(struct broker *b, uint64_t steps)
{
	b->work += steps;
}
/* The same for so many messages that leave a state together: with keys each is looked at, else none is. */
static inline void broker_works_on(struct broker *b, const struct queue *q, uint64_t messages)
{
	broker_works(b, q->keys ? 1 + messages : 1);
}
/* Messages [from, to) of a batch of q, or what of them may leave until so much work is done: where these end. */
uint64_t broker_goes_to(
    struct broker *b, struct queue *q, uint64_t from, uint64_t to, uint64_t end);
/* The same of messages that may be of several batches, and leave a range together. */
uint64_t broker_piece_end(
    struct broker *b, struct queue *q, uint64_t from, uint64_t to, uint64_t end);
/* The frames of a handout leave. */
void broker_handed_frames(struct broker *b, struct conn *c, const struct handout *h);
/* Breaks the rule that effects wait: only for a known-bad variant. */
void broker_release_newest(struct broker *b);
/* The connection broke the protocol or cannot go on: ERROR, then the end. */
void broker_refuse(struct broker *b, struct conn *c, enum rmq_error code, const char *text);
/* The connection's subscription of that number, or NULL. */
struct subscription *broker_sub(const struct conn *c, uint32_t id);
void broker_sub_free(struct broker *b, struct subscription *s);
/* Removes a session from the state. */
void broker_session_remove(struct broker *b, struct session *s);
/* The connection's SEND of so many bytes waits for room in q (NULL: in the journal). */
void broker_wait(struct broker *b, struct conn *c, struct queue *q, size_t bytes);
/* The same with so many ids, until others are forgotten. */
void broker_wait_for_ids(struct broker *b, struct conn *c, uint32_t ids);
/* Messages left q, or it may hold more now. */
void broker_roomy(struct broker *b, struct queue *q);
/* All that wait for room in q may try again. */
void broker_end_waiting(struct broker *b, struct queue *q);
/* An idle session with this id; takes the use of its owner. */
struct session *broker_session_add(struct broker *b, uint64_t id, struct owner *owner);
/* A session of the connection's owner with this id, or (0) with a new one; NULL: too many. */
struct session *broker_session_new(struct broker *b, const struct conn *c, uint64_t id);
/*
 * Before events that name the session: if none has named it yet, one that names its owner comes
 * first, so that the owner is known wherever the session is.
 */
void broker_name_owner(struct broker *b, const struct session *s);
/* A session without an owner is this owner's from now on. */
void broker_session_own(struct broker *b, struct session *s, struct owner *owner);
/* The tagged fields of a START that say the secret, written to `list`. */
struct slice broker_secret_tags(uint8_t list[4 + SESSION_SECRET_SIZE], const uint8_t *secret);
/* The owner of what was made by users of whom nothing is known. */
struct owner *broker_nobody(struct broker *b);
/* No connection is for the session, or one is again. */
void broker_session_idle(struct broker *b, struct session *s);
void broker_session_busy(struct broker *b, struct session *s);
void broker_attach(struct broker *b, struct conn *c, struct session *s);
/* The host is to close the connection after what it was sent. */
void broker_close(struct broker *b, struct conn *c);

/* ---- broker_events.c ---- */

/* broker_emit_create() …: journals the event and applies it. */
#define X(type, NAME, name, FIELDS) \
	void broker_emit_##name(struct broker *b, const struct event_##name *e);
EVENTS(X)
#undef X
/*
 * Makes sure that the next `len` bytes of events are in one record.  If they may be more than
 * RECORD_FILL it begins with them, and broker_reserve_end() ends it.
 */
void broker_reserve(struct broker *b, size_t len);
void broker_reserve_end(struct broker *b);
/* Ends the open record and gives it to the host. */
void broker_end_record(struct broker *b);
/* Begins a record of another kind; broker_end_record() ends it. */
void broker_begin_record(struct broker *b, enum record_kind kind);
/* Applies one event of a record. */
enum rmq_error broker_apply(
    struct broker *b, const struct event_place *at, const struct event *e);
/* The settings in an event or frame. */
#define SETTINGS_OF(m) \
	(m)->lease_ms, (m)->max_attempts, (m)->backoff_min_ms, (m)->backoff_max_ms, \
	    (m)->max_bytes, (m)->max_message

/* The unfinished large message is forgotten. */
void broker_drop_pending(struct broker *b, struct pending *p);

/* ---- broker_gaps.c: all without effect but in a recovery that goes around a record ---- */

/* Whether events of the queue may be missing: such a record lies after its group's part. */
static inline bool broker_may_miss(const struct broker *b, uint32_t queue)
{
	return b->gaps.newest > b->part_index[queue % CHECKPOINT_GROUPS];
}
/* The queue of an event, made with a name of ours if its CREATE may be missing; or NULL. */
struct queue *broker_gap_queue(struct broker *b, uint32_t id);
/* The same of a queue that dead letters come to: the tags of their DEAD say from where. */
struct queue *broker_gap_dead_queue(struct broker *b, uint32_t id, struct slice tags);
/* Messages up to `end` were sent: those that are not known are gone. */
void broker_gap_until(struct broker *b, struct queue *q, uint64_t end);
/* Messages [first, end) left q: those that were gone are not lost.  How many these are. */
uint64_t broker_gap_left(struct broker *b, struct queue *q, uint64_t first, uint64_t end);
/* A batch at this place holds messages [first, end), all live: those that were gone come back. */
void broker_gap_moved(struct broker *b, struct queue *q, uint64_t first, uint64_t end,
    const struct batch_view *batch, const struct event_place *at, uint16_t offset,
    uint16_t shares);
/* Record `index` is gone.  RMQ_E_CORRUPT: it is one that recovery cannot do without. */
enum rmq_error broker_gap(struct broker *b, uint64_t index) __attribute__((warn_unused_result));
/* Recovery ends: nothing is given out again that a record that is gone may have given out. */
void broker_gaps_end(struct broker *b, struct wall_time wall);

/* ---- broker_handout.c ---- */

/* Hands out what busy queues have to those with credit; a turn's share of it. */
void broker_grant(struct broker *b);
/* Hands everything that a session holds in a queue to a new subscription of it. */
void broker_hand_again(struct broker *b, struct subscription *sub);
void broker_peek(struct broker *b, struct conn *c, const struct wire_peek *m);
/* With room for `len` bytes of frames. */
struct handout *broker_handout_new(size_t len);
/* The connection's first handout is finished. */
void broker_handout_done(struct broker *b, struct conn *c, struct handout *h);
void broker_credit(struct broker *b, struct conn *c, const struct wire_credit *m);
/* A lease of the connection's session in q has run out: keys go to others until it is heard again. */
void broker_missed(struct broker *b, struct conn *c, const struct queue *q);
void broker_heard_again(struct broker *b, struct conn *c);
/* A subscription has ended: it gets nothing any more. */
void broker_line_out(struct broker *b, struct subscription *sub);

/* ---- broker_transfer.c ---- */

void broker_transfer(struct broker *b, struct conn *c, const struct wire_transfer *m);

/* ---- broker_resume.c ---- */

/* What a SEND says of its input; name empty: nothing. */
struct resume {
	uint64_t before;
	uint64_t after;
	uint64_t known; /* of them, stored before */
	struct slice name;
};
/* false: it cannot be. */
bool broker_resume_of(const struct wire_send *m, struct resume *r);
/* The position that it comes to with so many messages that were just sent to the queue. */
void broker_emit_resume(
    struct broker *b, const struct queue *q, const struct resume *r, uint32_t count);
/* Whether q (NULL: it is not there yet) has no more of the input; if not, why command n fails. */
bool broker_may_resume(struct queue *q, const struct resume *r, uint64_t n,
    struct wire_failed *failed, char text[TEXT_MAX + 1]);
void broker_position(struct broker *b, struct conn *c, const struct wire_position *m);

/* ---- broker_ids.c ---- */

/* Of the messages of one SEND; 0: it has no id. */
struct id_hashes {
	uint64_t of[BATCH_MESSAGES_MAX];
};
/* What the hashes of ids in q (NULL: it is not there yet) begin with. */
uint64_t broker_ids_seed(const struct broker *b, const struct queue *q);
uint64_t broker_id_hash(
    const struct broker *b, const struct queue *q, struct slice attributes, uint32_t i);
/* NULL: none has an id; else the caller's to free. */
struct id_hashes *broker_ids_of(
    const struct broker *b, const struct queue *q, struct slice attributes, uint32_t count);
/* Whether q's ids and so many more are too many: if so, command n has failed. */
bool broker_ids_too_many(
    struct broker *b, struct conn *c, uint64_t n, const struct queue *q, uint32_t more);
/* Whether some were sent to q (NULL: it is not there yet) before; then command n has failed. */
bool broker_ids_known(struct broker *b, struct conn *c, uint64_t n, struct queue *q,
    const struct id_hashes *h, uint32_t count);
/* Whether so many more may be remembered; if not, command n has failed, and c waits. */
bool broker_ids_fit(struct broker *b, struct conn *c, uint64_t n, struct queue *q,
    const struct id_hashes *h, uint32_t count);
/* q had so many ids before. */
void broker_ids_changed(struct broker *b, struct queue *q, uint32_t before);
/* q is freed. */
void broker_ids_gone(struct broker *b, struct queue *q);
/* Ids of queues that are not sent to are forgotten in their time; a turn's share of them. */
void broker_forget_ids(struct broker *b);
/* Lease time at which some may be; UINT64_MAX: there are none. */
uint64_t broker_ids_until(const struct broker *b);
/* Journals them, if the queue remembers any. */
void broker_emit_hashes(
    struct broker *b, const struct queue *q, const struct id_hashes *h, uint32_t count);

/* ---- broker_away.c ---- */

void broker_away(struct broker *b, struct conn *c, const struct wire_away *m);
/* The connection asks no more, and takes nothing: it ends. */
void broker_away_end(struct broker *b, struct conn *c);
/* It may do other things from now on. */
void broker_away_rights(struct conn *c);
/* What of q is ready, and who receives from it, has changed: whether any is. */
void broker_away_note(struct broker *b, struct queue *q, bool any);
/* q goes. */
void broker_away_gone(struct broker *b, struct queue *q);
/* Recovery is over: those with something ready are found. */
void broker_away_find(struct broker *b);
/* Tells those who ask; what is left to be looked at for them is for the next turn. */
void broker_away_step(struct broker *b);
bool broker_away_goes_on(const struct broker *b);
/* Whether q is a queue NAME.away that has something ready which nobody takes, and for how long it has. */
bool broker_away_untaken(struct broker *b, const struct queue *q, uint64_t *ms);

/* ---- broker_watch.c ---- */

void broker_watch(struct broker *b, struct conn *c, const struct wire_watch *m);
/* Tells which messages are dead letters. */
void broker_buried(struct broker *b, struct conn *c, const struct wire_buried *w);
void broker_watch_end(struct broker *b, struct conn *c);
/* Tells those who wait for what is so now. */
void broker_watch_step(struct broker *b);
/* q has gone to another cell: those who wait for something of it are led there. */
void broker_watch_left(struct broker *b, const struct queue *q);

/* ---- broker_kv.c ---- */

void broker_kv_read(struct broker *b, struct conn *c, const struct wire_kv_read *m);
void broker_kv_put(struct broker *b, struct conn *c, const struct wire_kv_put *m);
void broker_kv_del(struct broker *b, struct conn *c, const struct wire_kv_del *m);
/* Answers a command that was taken. */
void broker_kv_answer(struct broker *b, struct conn *c, uint64_t n);
/* The connection waits for nothing in the map any more. */
void broker_kv_end(struct broker *b, struct conn *c);
/* Tells those who wait what has changed; a turn's share of it. */
void broker_kv_step(struct broker *b);
/* Whether it has more to do. */
bool broker_kv_goes_on(const struct broker *b);
/* The effect of its events.  false: they are none that there can be. */
/* Of the tags it is who put it. */
bool broker_kv_apply_put(struct broker *b, uint64_t version, struct slice key,
    struct slice tags, struct slice value);
bool broker_kv_apply_more(struct broker *b, uint64_t version, struct slice value);
bool broker_kv_apply_del(struct broker *b, uint64_t version, struct slice key);
bool broker_kv_apply_part(struct broker *b, const struct event_part_kv_entry *e);

/* ---- broker_history.c ---- */

void broker_ask_history(struct broker *b, struct conn *c, const struct wire_history *m);

/* ---- broker_waits.c ---- */

/* What message seq of q waits for; 0: nothing, as it is leased, or not there.  q may be NULL. */
void broker_waits(
    const struct broker *b, struct queue *q, uint64_t seq, struct history_waits *w);

/* ---- broker_expiry.c ---- */

/* Ends leases and delays that are due. */
void broker_expire(struct broker *b);
/* Whether one more failure of the leased range makes dead letters of it. */
bool broker_is_last(const struct range *r) __attribute__((warn_unused_result));
/* When the range is ready again if it fails now; lease time. */
uint64_t broker_back_off(const struct broker *b, const struct range *r);
/* The leased range failed: back-off, or its dead-letter queue. */
void broker_fail(struct broker *b, struct range *r, struct slice why, uint8_t ended);
/* The name of q's dead-letter queue; empty: it has none. */
struct slice broker_dead_name(const struct queue *q, char name[NAME_FULL_MAX + 8]);
/* Whether bodies of messages [first, end) of q are in flight: their places are not known yet. */
bool broker_in_flight(struct queue *q, uint64_t first, uint64_t end);
/* The queue that takes these as dead letters now, made if need be; NULL: there is none. */
struct queue *broker_dead_queue(
    struct broker *b, struct queue *q, uint64_t first, uint64_t end);
/* How messages come to another queue. */
struct arrival {
	struct event_origin origin; /* without a queue's name: nothing is said of it */
	struct slice note;
	uint32_t failures;
	uint32_t redrives;
	bool taken;	    /* they are no new dead letters */
	uint64_t expire_ms; /* as they were sent, all of them; 0: they were not sent so */
};
/*
 * Messages [first, first + count) of r, all of them live and in m, and DEAD_KEYS_MAX at most if its
 * queue has keys, come to another queue, too; in the
 * same record the caller lets them leave r's.
 */
void broker_arrive(struct broker *b, struct queue *to, const struct range *r,
    const struct batch *m, uint64_t first, uint32_t count, const struct arrival *a);
/* The leased range becomes dead letters; more of them than its limit may be in `dead` then. */
void broker_bury(struct broker *b, struct queue *dead, struct range *r, struct slice why);
/* Counts what burying messages [first, end) costs: how many runs they are at most. */
uint64_t broker_bury_works(struct broker *b, struct queue *q, uint64_t first, uint64_t end);
/* Counts what broker_fail() costs; if it is more than is left to `end`, r is cut: its first piece. */
struct range *broker_fail_piece(struct broker *b, struct range *r, uint64_t end);
/* The leased range is ready again as if it had never been handed out. */
void broker_give_back(struct broker *b, struct range *r);
/* Tells the holder of r that its lease ended. */
void broker_tell_ended(struct broker *b, const struct range *r, uint8_t why);
/* Tells the holders of messages [first, end) that these are gone. */
void broker_tell_gone(struct broker *b, struct queue *q, uint64_t first, uint64_t end);

/* ---- broker_drop.c ---- */

/* Drops what has expired: a turn's share of it. */
void broker_drop_expired(struct broker *b);
/* Whether some is left. */
bool broker_any_expired(struct broker *b);
/*
 * The messages of q (u64 each, rising) leave it, and their holders are told; those that are not
 * there go into `missing` as settle_entry.  At most CANCEL_MAX: their event fits into a record.
 */
void broker_cancel(
    struct broker *b, struct queue *q, struct slice messages, struct writer *missing);

/*
 * Messages [first, first + count) of q, which were just sent, replace older ones of their keys that
 * nobody has leased: as many as *left says, in the same record if it has room for REPLACED_HEAD and
 * *left of REPLACED_BYTES.
 */
#define REPLACED_BYTES SEQ_RANGE_SIZE
#define REPLACED_HEAD  16
void broker_replace(
    struct broker *b, struct queue *q, uint64_t first, uint32_t count, uint32_t *left);

/* ---- broker_commands.c ---- */

/* Of a queue that was made without any. */
extern const struct queue_settings broker_default_settings;
/* Whether no more queues may be made for this owner. */
bool broker_queues_full(const struct broker *b, const struct owner *maker);
/* Writes the tag of an event that says who made a queue, if that is known. */
void broker_put_maker(struct writer *tags, const struct owner *maker);
/* What keeps the connection from having another queue made; RMQ_E_OK: nothing. */
/* Whether a client may name this queue, which is made if need be. */
enum rmq_error broker_may_name(const struct broker *b, struct slice name);
enum rmq_error broker_may_make(const struct broker *b, const struct conn *c);
/* A queue of that name, made for `maker` with defaults if there is none; NULL: may not be made. */
struct queue *broker_queue_make(struct broker *b, struct slice name, const struct owner *maker);
/* A queue of that name, with these settings: there is none, and it may be made; token: of a copy, or empty. */
struct queue *broker_queue_make_of(struct broker *b, struct slice name, struct slice token,
    const struct queue_settings *s, const struct owner *maker);
/* The same, of none. */
struct queue *broker_queue_make_as(struct broker *b, struct slice name,
    const struct queue_settings *s, const struct owner *maker);
/* Takes the frame that was put off, if what it waits for is stored. */
void broker_go_on(struct broker *b);
/* It is not taken. */
void broker_forget_put_off(struct broker *b);

/* ---- broker_unfinished.c ---- */

/* The queues that a SEND is for: its own, then the further ones by their numbers. */
struct targets {
	uint32_t count;
	struct queue *queue[SHARES_MAX];
};

/* The unfinished large message of a session in a queue, or NULL. */
struct pending *broker_unfinished(
    const struct broker *b, const struct queue *q, uint64_t session);
/* Of a session's message, the one in the queue with the lowest number; or NULL. */
struct pending *broker_unfinished_of(const struct broker *b, uint64_t session);
/* The queues that its message is for, its own first; false: it has gone from one of them. */
bool broker_unfinished_queues(
    const struct broker *b, const struct pending *first, struct targets *t);
/* Takes p, which is in no list yet, with the pieces that it has. */
void broker_unfinished_add(struct broker *b, struct pending *p, struct lease_time now);
/* p's next piece has come: so many bytes of the body, and what they weigh with attributes. */
void broker_unfinished_piece(struct broker *b, struct pending *p, struct record *r,
    uint16_t offset, uint32_t bytes, uint32_t weight, struct lease_time now);
/* Forgets p; its records are the caller's. */
void broker_unfinished_free(struct broker *b, struct pending *p);
/* Drops what has come of a session's large message, by an event. */
void broker_drop_unfinished(struct broker *b, uint64_t session);
/* The same for what is on its way into q, in so many steps.  Whether that is all. */
bool broker_drop_unfinished_in(struct broker *b, struct queue *q, uint64_t steps);
/* Lease time at which the next one is to be dropped; UINT64_MAX: there is none. */
uint64_t broker_unfinished_until(const struct broker *b);
/* Drops those for which no piece had come in time, by what was heard; a turn's share of them. */
void broker_expire_unfinished(struct broker *b);
/* The command is taken, and answered. */
void broker_taken(struct broker *b, struct conn *c, uint64_t n);
void broker_fail_command(struct broker *b, struct conn *c, uint64_t n, enum rmq_error code);
/* The same, and what is wrong, for people. */
void broker_fail_text(
    struct broker *b, struct conn *c, uint64_t n, enum rmq_error code, const char *text);
/* The same for what broker_may_make() said. */
void broker_fail_make(struct broker *b, struct conn *c, uint64_t n, enum rmq_error code);
/* Whether command n is to be carried out now; if not, it has been answered. */
bool broker_take(struct broker *b, struct conn *c, uint64_t n, uint64_t answered);
/* The same of a further piece of what the command before began. */
bool broker_take_next(struct broker *b, struct conn *c, uint64_t n, uint64_t answered);
/* The same for what is answered by `again`, if it was taken before. */
bool broker_take_or(struct broker *b, struct conn *c, uint64_t n, uint64_t answered,
    void (*again)(struct broker *, struct conn *, uint64_t));
/* Nobody waits for room in q, or receives from it, any more: it is removed. */
void broker_end_subscriptions(struct broker *b, struct queue *q);
/* The session's client has ended, and nothing that it holds is attached to it. */
void broker_session_left(struct broker *b, struct session *s);

/* ---- broker_rights.c ---- */

/*
 * Whether the connection may do what the decoded frame m asks for.  Else `text` says why: RMQ_E_DENIED: what
 * is missing; RMQ_E_NO_QUEUE: what is to be settled was given by an ephemeral subscription of another
 * session.  By names only: the same whether there is such a queue or not.
 */
enum rmq_error broker_may_do(const struct broker *b, const struct conn *c, unsigned type,
    const void *m, char text[TEXT_MAX + 1]) __attribute__((warn_unused_result));
/* Whether one of the verbs (enum right) is granted to it for a queue of that name. */
bool broker_granted(const struct conn *c, unsigned verbs, struct slice queue);
/* … for each queue that there can be. */
bool broker_granted_all(const struct conn *c, unsigned verbs);
/* Whether it may know that there is such a queue. */
bool broker_may_see(const struct conn *c, struct slice queue);
/* Whether it may read that key of the map. */
bool broker_may_read(const struct conn *c, struct slice key);
/* Steps that one of these takes, beyond one. */
uint64_t broker_rights_steps(const struct conn *c);
/*
 * Whether it may receive from each queue of which s holds messages, and what its ephemeral subscriptions are
 * bound to; if not, `text` says what is missing.
 */
bool broker_may_hold(
    struct broker *b, const struct conn *c, const struct session *s, char text[TEXT_MAX + 1]);
/*
 * A name that it is told as the place to go on from, and what such a name stands for: one that it may not
 * know is kept here, and PLACE_HIDDEN, which is no name, stands for it.
 */
#define PLACE_HIDDEN "*"
struct slice broker_place_tell(struct conn *c, struct slice name);
struct slice broker_place_of(const struct conn *c, struct slice told);

/* ---- broker_topics.c ---- */

void broker_bind(struct broker *b, struct conn *c, const struct wire_bind *m);
void broker_unbind(struct broker *b, struct conn *c, const struct wire_unbind *m);
/* q gets nothing by a topic from now on. */
void broker_unbind_all(struct broker *b, struct queue *q);
void broker_bindings(struct broker *b, struct conn *c, const struct wire_bindings *m);
/*
 * *q: the queue of that ephemeral subscription of the connection; made if it is NULL.  An error may be
 * explained, in `text` or elsewhere: *why.
 */
enum rmq_error broker_ephemeral(struct broker *b, struct conn *c,
    const struct wire_subscribe *m, struct queue **q, char text[TEXT_MAX + 1], const char **why)
    __attribute__((warn_unused_result));
/* q ends with s. */
void broker_ephemeral_of(struct broker *b, struct session *s, struct queue *q);
/* q goes: it is in no session's list. */
void broker_ephemeral_gone(struct broker *b, struct queue *q);
/* The session is over, or its client is: its ephemeral subscriptions end. */
void broker_end_ephemerals(struct broker *b, struct session *s);
/* Recovery is over: each ephemeral queue is in its session's list, or ends. */
void broker_find_ephemerals(struct broker *b);
/* The session has no connection, or one again, or is over. */
void broker_desert(struct broker *b, struct session *s);
void broker_undesert(struct broker *b, struct session *s);
/* Those whose clients have vanished end. */
void broker_expire_ephemerals(struct broker *b);
/* Lease time at which the next one does; UINT64_MAX: there is none. */
uint64_t broker_ephemerals_until(const struct broker *b);

/* ---- broker_cells.c ---- */

/* Where a queue lives, as far as it is known here. */
struct whereabouts {
	bool here;
	bool comes; /* … but a copy of it arrives, and it is not there: nothing of it is made */
	struct slice cell;  /* where else; borrowed of the state, or of the list of cells */
	struct slice token; /* what opens it there; empty: nothing has to */
};
struct whereabouts broker_where(const struct broker *b, struct slice name);
/*
 * The name of the queue here that takes what is for `name`: itself, or if that lives elsewhere the one for
 * other cells, in `away`, which may have no valid name.
 */
struct slice broker_target(const struct broker *b, struct slice name, char away[AWAY_NAME_MAX]);
/* Whether the queue of that name in `away` is made whatever was asked for: it is one for other cells. */
static inline bool broker_is_diverted(struct slice name, struct slice target)
{
	return name.data != target.data;
}
/* The settings with which a queue of that name is made. */
struct queue_settings broker_settings_for(struct slice name);
/* Whether what is bound to a topic may get it: not what is hidden, or for another cell while it is here. */
bool broker_hears(const struct broker *b, const struct queue *q);
/*
 * Whether a decoded frame is about what is here and may be acted upon; if not, the client has been led on,
 * or `code` says why the frame is to be refused, with `text`; RMQ_E_NOTHING: it needs no other answer.
 */
bool broker_is_here(struct broker *b, struct conn *c, const struct frame *f, const void *m,
    enum rmq_error *code, const char **text);
/* Tells the client where the queue lives; nothing to one that cannot go there. */
void broker_lead(struct broker *b, struct conn *c, struct slice queue);
/* A frame that is answered by rows is refused. */
void broker_refuse_rows(struct broker *b, struct conn *c, const struct frame *f,
    enum rmq_error code, const char *text);
void broker_tell_cells(struct broker *b, struct conn *c, const struct wire_cells *m);
void broker_places(struct broker *b, struct conn *c, const struct wire_places *m);

/* ---- broker_moves.c ---- */

/* q has its name, or (token, not empty) is of that copy; or `left` none at all. */
void broker_queue_names(struct broker *b, struct queue *q, struct slice token, bool left);
/* It has no name. */
void broker_queue_nameless(struct broker *b, struct queue *q);
/* The queue of that name of the copy with that token; NULL: there is none. */
struct queue *broker_arriving_queue(
    const struct broker *b, struct slice name, struct slice token);
/* Whether something may be added to that copy; the error if not. */
enum rmq_error broker_arriving_may(const struct broker *b, struct slice name,
    struct slice token) __attribute__((warn_unused_result));
/* What has come of that copy, with its dead letters. */
struct copy_row broker_copy_row(const struct broker *b, const struct copy *c);
/* A queue of that copy, with defaults: there is none, and it may be made. */
struct queue *broker_arriving_make(
    struct broker *b, struct slice name, struct slice token, const struct owner *maker);
void broker_move_out(struct broker *b, struct conn *c, const struct wire_move_out *m);
void broker_move_in(struct broker *b, struct conn *c, const struct wire_move_in *m);
void broker_came(struct broker *b, struct conn *c, const struct wire_came *m);
/* The connection holds nothing any more. */
void broker_move_end(struct broker *b, struct conn *c);
/* That queue for other cells is bound to nothing, as long as the one that it is for is here and stays. */
void broker_unbind_away(struct broker *b, uint32_t id);
/*
 * A connection that holds a queue has said something.  One that stands still must not hold it for ever:
 * until when the first of them may be silent, UINT64_MAX: there is none; and those that were are ended.
 */
void broker_move_heard(struct broker *b, struct conn *c);
uint64_t broker_moves_until(const struct broker *b);
void broker_end_silent_moves(struct broker *b);
/* A queue was made: it is held if that base name is. */
void broker_move_made(struct broker *b, struct queue *q);
/* Recovery around records that are gone is over: each queue of a copy is of one that is known. */
void broker_find_copies(struct broker *b);
/* Recovery is over: what has left goes on to be emptied. */
void broker_find_left(struct broker *b);

/* ---- broker_arrive.c, broker_export.c ---- */

void broker_on_arrive(struct broker *b, struct conn *c, const struct wire_arrive *m);
void broker_on_arrive_state(
    struct broker *b, struct conn *c, const struct wire_arrive_state *m);
void broker_on_export(struct broker *b, struct conn *c, const struct wire_export *m);

/* ---- broker_errands.c ---- */

/* It is done in the next turns. */
void broker_errand_later(struct broker *b, struct errand e);
/* Does the first piece at once; the rest goes on in the next turns. */
void broker_errand(struct broker *b, struct errand e);
/* The rest of the connection's deliveries is for the next turn. */
void broker_deliver_later(struct broker *b, uint64_t conn);
/* A turn's piece of them. */
void broker_errands_step(struct broker *b);
bool broker_errands_wait(const struct broker *b);
void broker_errands_free(struct broker *b);

/* ---- broker_checkpoint.c ---- */

/* Numbers of leases and starts that may have been given out by then are not used again. */
void broker_numbers_jump(struct broker *b, struct wall_time wall, bool leases);
/* Writes the tagged field that says how many messages were dropped, if any were. */
void broker_put_dropped(struct writer *tags, uint16_t tag, const struct queue_counts *n);
/* Begins the checkpoint that is wanted or due, and goes on with it. */
void broker_checkpoint_step(struct broker *b);
/* Whether the next turn has more of it to do, whatever the journal answers. */
bool broker_checkpoint_goes_on(const struct broker *b);
bool broker_checkpoint_due(const struct broker *b);
/* Whether there may be no room for more than what makes room. */
bool broker_short_of_room(const struct broker *b);
/* A crash may have come before those of the newest END were made. */
void broker_make_holes_again(struct broker *b);
/* Bytes that the journal is to keep back, so that there is always room for the next one. */
uint64_t broker_reserve_wanted(const struct broker *b);
/* Append n, a part or an END, is stored. */
void broker_checkpoint_stored(struct broker *b, uint64_t n, uint64_t index);

#endif
