/*
 * The client's side of the protocol as a pure function: sessions, numbering, the
 * window, repeating after a lost connection, go-back-N, credit, leases that may still
 * be trusted, back-off, redirects.  It knows no clock, descriptor or random number; it
 * is given bytes and the time, and gives back bytes, the time of its next turn, and
 * callbacks.  Programs and the simulator share it.
 *
 * Promises, as long as fatal() was not called:
 *  - A command is taken by the daemon exactly once, and in order, whatever happens to
 *    connections; its answer comes exactly once.
 *  - A message is given to deliver() once per lease number.
 *  - client_vouches() says true only while no one else can be given the message.
 *
 * Callbacks are made from within client_input(), client_tick() and client_disconnected();
 * they may call everything here but these three, client_connected() and client_free().
 * What they are given is borrowed until they return.  Any of them may be NULL.
 */
#ifndef RMQ_CORE_CLIENT_CLIENT_H
#define RMQ_CORE_CLIENT_CLIENT_H

#include "core/base/cells.h"
#include "core/base/error.h"
#include "core/base/time.h"
#include "core/client/sendbuf.h"
#include "core/wire/attributes.h"
#include "core/wire/wire.h"

#define CLIENT_FOREVER UINT64_MAX
#define CLIENT_WINDOW  16 /* default */

struct client;
/* Frames of cells, of wire.h. */
struct wire_exported;
struct wire_place_is;
struct wire_move_out;
struct wire_move_in;
struct wire_arrive;
struct wire_arrive_state;

struct client_config {
	uint32_t servers; /* contact points, >= 1: targets are 0 … servers - 1 */
	uint32_t window;  /* numbered commands in flight, 1 … SESSION_WINDOW */
	/*
	 * Longest time without progress while a request is unanswered.  One that has subscribed does
	 * not give up for want of room: when there has been none so long, what finds none is refused.
	 */
	uint64_t timeout_ms;
	uint64_t seed; /* for jitter */
	/* FULL or PAUSED ends it, instead of waiting; so does that cells send it to and fro (ELSEWHERE). */
	bool no_wait;
	/* The cells that the host knows, borrowed as long as the client lives; NULL: one, without a list. */
	const struct cells *cells;
	/* The one to begin in; empty: the home of what is asked for first, of `cells`, else without a name. */
	struct slice cell;
	/* It stays in the cell that the host connects it to: what is elsewhere is an error, with moved(). */
	bool pinned;
};

/* A numbered command.  The client owns it until its answer. */
struct client_command {
	struct client_command *next; /* made after this one */
	uint8_t type;		     /* WIRE_TYPE_SEND, _SETTLE, _SETTLE_SEND, _QUEUE_* */
	bool flown;	     /* sent at least once and maybe taken: its outcome is unknown */
	uint64_t n;	     /* may change until it is sent */
	void *tag;	     /* the host's */
	struct sendbuf *buf; /* SEND: the batch, or the pieces; else NULL */
	/* The client's own: */
	struct slice queue;
	struct slice further; /* further queues that the batch is for */
	struct slice resume;  /* where it is in its input */
	uint32_t known; /* records of that which are no messages of it, as they are stored */
	uint8_t flags;
	bool staged;
	uint32_t bytes;
	uint32_t len;
	uint8_t frame[];
};

/* What a client does after a command was refused. */
enum client_verdict {
	CLIENT_DROP,   /* forget it and go on with those after it */
	CLIENT_REPEAT, /* try it again; it was changed (client_remove()) */
	CLIENT_LAST,   /* try it again; it was changed; send none after it */
	CLIENT_STOP    /* send neither it nor any after it */
};

/* Messages first_seq … that this client holds now under `lease`. */
struct client_delivery {
	uint32_t sub;  /* PEEKED: the request */
	uint8_t state; /* PEEKED: STATE_* */
	uint64_t lease;
	uint64_t first_seq;
	uint32_t count;
	uint32_t attempt;
	uint32_t failures;
	struct wall_time time;	/* when they were sent */
	struct wall_time until; /* PEEKED: end of the lease or of the delay */
	struct slice note;
	const uint8_t *ends; /* as in a batch; NULL: one large message, without separator */
	uint32_t base;	     /* to be subtracted from each end */
	struct slice blob;
	/* of all messages of the frame; the first one here is `slot` */
	struct slice attributes;
	uint32_t slot;
	struct slice tags; /* PEEKED: all tagged fields of the frame, or of the first piece */
};

/* Body i without its separator. */
static inline struct slice client_body(const struct client_delivery *d, uint32_t i)
{
	if (!d->ends)
		return d->blob;
	uint32_t begin = i == 0 ? 0 : load_u16(d->ends + 2 * (size_t)(i - 1)) - d->base;
	uint32_t end = load_u16(d->ends + 2 * (size_t)i) - d->base;
	return slice_of(d->blob.data + begin, end - begin - 1);
}

/* The attribute (ATTRIBUTE_*) of message i; false: it has none. */
static inline bool client_attribute(
    const struct client_delivery *d, uint16_t tag, uint32_t i, struct slice *value)
{
	return attributes_find(d->attributes, tag, d->slot + i, value);
}

/* The same for one message after the other. */
static inline bool client_next_attribute(const struct client_delivery *d,
    struct attribute_cursor *c, uint16_t tag, uint32_t i, struct slice *value)
{
	return attributes_next(c, d->attributes, tag, d->slot + i, value);
}

/* Texts of errors are never empty. */
struct client_host {
	void *arg;
	/*
	 * A SEND is stored: messages first_seq … first_seq + count - 1.  first_seq 0: its topic leads to
	 * no queue, as it may (SEND_ALLOW_UNROUTED).
	 */
	void (*sent)(
	    void *arg, const struct client_command *cmd, uint64_t first_seq, uint32_t count);
	/* Another command is done.  stale: settle_entry, held by someone else by now. */
	void (*done)(void *arg, const struct client_command *cmd, struct slice stale);
	/* A SETTLE_SEND is done: both of these. */
	void (*settle_sent)(void *arg, const struct client_command *cmd, uint64_t first_seq,
	    uint32_t count, struct slice stale);
	/*
	 * Command refused; neither it nor any after it was taken.  at: the message of a SEND
	 * that is the cause.  Without this callback: CLIENT_DROP.
	 */
	enum client_verdict (*failed)(void *arg, const struct client_command *cmd,
	    enum rmq_error code, uint32_t at, struct slice text);
	/*
	 * A SEND of a batch has come to more than the daemon takes at once: its first `at` messages
	 * are another command before it, with this tag.  false: they cannot be; and it is refused.
	 */
	bool (*split)(void *arg, const struct client_command *cmd, uint32_t at, void **tag);
	/* Also after each reconnection. */
	void (*subscribed)(void *arg, uint32_t sub, uint32_t lease_ms);
	/* The subscription no longer exists. */
	void (*sub_failed)(void *arg, uint32_t sub, enum rmq_error code, struct slice text);
	/* Messages are held from now on, until they are settled or the lease ends. */
	void (*deliver)(void *arg, const struct client_delivery *d);
	/* These are no longer held; not called for messages that this client settled. */
	void (*lease_ended)(void *arg, uint32_t sub, enum lease_end why, uint64_t lease,
	    uint64_t first, uint32_t count);
	/* Credit is left and nothing is ready. */
	void (*idle)(void *arg, uint32_t sub, uint64_t leased, uint64_t delayed);
	/* Credit is left and messages are ready, but limits of the queue hold them back. */
	void (*held_back)(void *arg, uint32_t sub);
	/* Nothing more is delivered for it. */
	void (*unsubscribed)(void *arg, uint32_t sub);
	void (*listed)(void *arg, const struct wire_listed *row);
	void (*list_end)(void *arg, uint32_t req, bool more);
	void (*peeked)(void *arg, const struct client_delivery *d);
	void (*bound)(void *arg, struct slice queue, struct slice pattern);
	/* code: OK, or NO_QUEUE. */
	void (*bindings_end)(void *arg, uint32_t req, enum rmq_error code);
	/* next: where a further request would go on. */
	void (*peek_end)(
	    void *arg, uint32_t req, enum rmq_error code, bool more, uint64_t next);
	/* m->code stands in `code`. */
	/* again: an earlier answer may have been lost, and what it told is not told in this one. */
	void (*transferred)(
	    void *arg, const struct wire_transferred *m, enum rmq_error code, bool again);
	void (*watched)(void *arg, uint32_t req, enum rmq_error code, uint64_t messages);
	/*
	 * These of a SEND have ids that were stored before, and are taken out of it after this.  If
	 * nothing is left, sent() comes with no messages.  numbers: seq_range each, as in
	 * KNOWN_TAG_NUMBERS; empty: none is known.
	 */
	void (*known)(void *arg, const struct client_command *cmd, uint32_t at, uint32_t count,
	    struct slice numbers);
	/* sent: the messages that they are, and what was sent between them. */
	void (*position)(void *arg, uint32_t req, uint64_t at, struct input_sent sent);
	/* code, waits and entries: as HISTORY_IS says; place: to go on from, empty: that is all. */
	void (*history)(void *arg, uint32_t req, enum rmq_error code, struct slice place,
	    const struct history_waits *waits, struct slice entries);
	/* runs: seq_range each.  next: where a further request would go on; 0: that is all. */
	void (*buried)(void *arg, uint32_t req, uint64_t next, struct slice runs);
	/* A change of the map is durable; the key has this version. */
	void (*kv_done)(void *arg, const struct client_command *cmd, uint64_t version);
	/* A row of client_kv_read(). */
	void (*kv_is)(void *arg, const struct wire_kv_is *row);
	/*
	 * … and its end.  m->code stands in `code`.  rows: of this answer; a single key's row that came
	 * before a connection was lost is none of it, as the key may be gone since.  known: what
	 * to ask with next (client_map.h).
	 */
	void (*kv_at)(void *arg, const struct wire_kv_at *m, enum rmq_error code, uint32_t rows,
	    uint64_t known);
	/*
	 * Of a pinned client: the queue is in another cell, with these addresses there (maybe none),
	 * and the token (empty: none) that CAME and MOVE_IN take.  What named it fails after this with ELSEWHERE;
	 * a request without a code in its answer just has none any more.
	 */
	void (*moved)(void *arg, struct slice queue, struct slice cell, struct slice servers,
	    struct slice token);
	/* An answer to client_export(); m->code stands in `code`. */
	void (*exported)(void *arg, const struct wire_exported *m, enum rmq_error code);
	/* The daemon's cell (empty: it was told of none) and its list of them (cells.h). */
	void (*cells_are)(void *arg, uint32_t req, struct slice self, struct slice list);
	/* A row of client_places(), and its end. */
	void (*place_is)(void *arg, const struct wire_place_is *row);
	void (*places_end)(void *arg, uint32_t req, bool more);
	/* An answer to client_away(): names, str each; more: others were left out. */
	void (*aways)(void *arg, uint32_t req, bool more, struct slice names);
	/*
	 * The client has given up: NO_DAEMON, TIMEOUT, UNMET (of client_watch()), FULL, PAUSED (no progress in time),
	 * UNKNOWN_SESSION, VERSION, PROTOCOL, DENIED….  Once; nothing is sent any more.
	 */
	void (*fatal)(void *arg, enum rmq_error code, struct slice text);
};

/* NULL when out of memory (which is the only memory failure that is not fatal(LIMIT)). */
struct client *client_new(const struct client_config *config, const struct client_host *host);
void client_free(struct client *c);

/* ---- the connection ---- */

struct client_target {
	/*
	 * The cell whose contact points are meant; empty: those that the host was given without a name.
	 * When it is another one than before, the host says by client_contacts() how many it has, and
	 * `server` is 0.  Both borrowed until the next call.
	 */
	struct slice cell;
	struct slice
	    servers; /* its addresses as a daemon told them; the host's own list is before it */
	uint32_t server; /* which contact point, unless redirected */
	/* redirected: where to; else empty.  Valid until the next call. */
	struct slice address;
};

/*
 * Whether a connection is to be made now, and where to; the host then begins one and
 * calls client_connected() or client_disconnected().  A client that has nothing to ask
 * for wants none.
 */
bool client_connect(struct client *c, struct mono_time now, struct client_target *target)
    __attribute__((warn_unused_result));
/* So long the way to the daemon itself may take on top, once the next connection is made. */
void client_way_takes(struct client *c, uint64_t ms);
/* how: HELLO_FAR, if there is another process than the daemon at the other end, or 0. */
void client_connected(struct client *c, struct mono_time now, unsigned how);
/* The connection failed, was refused or is lost. */
void client_disconnected(struct client *c, struct mono_time now);
/* The same, but the way there is open: whoever is at its end knows who serves now. */
void client_stream_ended(struct client *c, struct mono_time now);
/* Whether it waits for an answer to its PING. */
bool client_pinging(const struct client *c);
/* There is none: the machine at the other end is gone, so that it goes on elsewhere if it can. */
void client_silent(struct client *c);
/*
 * None can be made to where it was redirected: it goes back to the contact point that did so, which
 * shall relay instead (HELLO_RELAY).
 */
void client_unreachable(struct client *c, struct mono_time now);
/* A person was asked something, who took his time: it does not count as waiting. */
void client_user_asked(struct client *c, struct mono_time now);
/* So many contact points there are from now on, >= 1; the first ones are as before. */
void client_contacts(struct client *c, uint32_t servers);
/* The host can never connect: the client gives up, with fatal(code, text). */
void client_fail(struct client *c, enum rmq_error code, struct slice text);
/* Whether the daemon has answered HELLO on this connection. */
bool client_welcomed(const struct client *c);
/* The sandbox of the daemon that answered last, as WELCOME_TAG_SANDBOX; 0: it said nothing of it. */
uint64_t client_sandbox(const struct client *c);

/* Copies of queues that arrive in the cell that answered client_cells() last. */
struct client_copies {
	uint64_t count;
	uint64_t bytes;
};
struct client_copies client_copies(const struct client *c);

/* What a client with an unanswered request waits for. */
enum client_wait {
	CLIENT_WAITS_NOT,
	CLIENT_WAITS_DAEMON, /* none has answered HELLO on this connection yet */
	CLIENT_WAITS_ANSWER, /* of the daemon that it is connected to */
	CLIENT_WAITS_ROOM,   /* for the SEND that is the oldest command: it is sent again */
	CLIENT_WAITS_CELLS   /* for lists of cells that do not send it to and fro any more */
};
struct client_waiting {
	enum client_wait what;
	struct mono_time since; /* … nothing of this kind has come */
	struct slice queue; /* ROOM: the queue without room.  Borrowed until the next call */
	const char *why;    /* the daemon's reason, or ""; CELLS: which cells do.  Likewise */
};
struct client_waiting client_waiting(const struct client *c);
/* Whether fatal() was called: no timer runs any more. */
bool client_dead(const struct client *c);
/* The host shall close the connection now, and call client_disconnected(). */
bool client_hangs_up(const struct client *c);

/*
 * Takes all whole frames at the start of `in`; *used is how many bytes they take.
 * Give the rest again with the bytes that follow it.  At most FRAME_PAYLOAD_MAX +
 * FRAME_HEADER_SIZE bytes are needed to go on.
 */
void client_input(struct client *c, struct mono_time now, struct slice in, size_t *used);

/*
 * Bytes to be written now: up to `max` pieces, in order; returns how many.  They stay as
 * they are until client_wrote() says how many bytes of them were written (0 too), or the
 * connection is lost.
 */
#define CLIENT_PIECES 16
size_t client_output(struct client *c, struct mono_time now, struct slice *pieces, size_t max);
void client_wrote(struct client *c, size_t bytes);

/* Timers.  Due: milliseconds from now, CLIENT_FOREVER: no timer runs. */
void client_tick(struct client *c, struct mono_time now);
uint64_t client_due_ms(const struct client *c, struct mono_time now);

/* ---- sending ---- */

/*
 * Whether one more SEND may be made: fewer than `window` commands are unanswered.
 * Settlements may always be made; a host that makes many merges them instead.
 */
bool client_has_room(const struct client *c);

/*
 * Sends a batch or a chain of pieces, which it takes.  flags: SEND_NO_CREATE, SEND_REPLACE; or SEND_TOPIC, `queue`
 * is a topic then and buf has TOPIC_DATA_MAX of data at most, with SEND_ALLOW_UNROUTED or not.
 */
const struct client_command *client_send(struct client *c, struct mono_time now,
    struct slice queue, uint8_t flags, struct sendbuf *buf, void *tag);

/*
 * The same for several queues (SEND_QUEUES_MAX), none named twice: all of them get it, and it
 * is stored once, or none does.  Each piece of a large message but the last has at least
 * CHUNK_SEVERAL_MIN bytes.  sent() has the numbers in the first one.
 */
const struct client_command *client_send_all(struct client *c, struct mono_time now,
    const struct slice *queues, uint32_t count, uint8_t flags, struct sendbuf *buf, void *tag);

/* Of records before + 1 to `after` of an input of this name. */
struct client_place {
	struct slice name;
	uint64_t before;
	uint64_t after;
};
/*
 * The same as client_send(), if no more than `before` records of the input are stored in the queue;
 * else it is refused with BUSY.
 */
const struct client_command *client_send_placed(struct client *c, struct mono_time now,
    struct slice queue, const struct client_place *place, uint8_t flags, struct sendbuf *buf,
    void *tag);

/* How many records of the input are stored there: by position(). */
uint32_t client_position(
    struct client *c, struct mono_time now, struct slice queue, struct slice name);

/*
 * Removes messages from the refused SEND, within failed(), before CLIENT_REPEAT: a place in an
 * input counts them as passed.  A SEND with no messages left counts as dropped.
 */
void client_remove(
    struct client *c, const struct client_command *cmd, uint32_t from, uint32_t count);
/*
 * Removes message `from` and all after it, before CLIENT_LAST: the input has come no further than
 * to them.
 */
void client_cut(struct client *c, const struct client_command *cmd, uint32_t from);

/*
 * Takes the newest command back, if it is a SEND that the daemon has not taken and is not being sent: because
 * it has not flown, or was refused for want of room.  Its buffer, which is the caller's; NULL: it is none.
 */
struct sendbuf *client_take_back(struct client *c, void **tag);

/* The oldest unanswered command; the others follow by `next`. */
const struct client_command *client_oldest(const struct client *c);
/* How many there are. */
uint32_t client_unanswered(const struct client *c);

/* The oldest command that CLIENT_LAST or CLIENT_STOP has put aside; the others by `next`. */
const struct client_command *client_shelf(const struct client *c);

/* Whether a SEND waits for room. */
bool client_blocked(const struct client *c);
/* Whether one does, or is tried again, or was refused as it found none, and none was stored since. */
bool client_lacks_room(const struct client *c);
/* From now on it waits for no room: what finds none is refused.  That is no_wait. */
void client_wait_no_more(struct client *c);

/* ---- receiving ---- */

/*
 * lease_ms 0: the queue's.  Returns the subscription's number.  SUBSCRIBE_EPHEMERAL: `queue` is a pattern;
 * the queue is client_queue_of() from subscribed() on.
 */
uint32_t client_subscribe(struct client *c, struct mono_time now, struct slice queue,
    uint8_t flags, uint32_t lease_ms);
struct slice client_queue_of(const struct client *c, uint32_t sub);
/* This many more messages and bytes of bodies (with separators) may be handed out. */
void client_credit(struct client *c, uint32_t sub, uint32_t messages, uint32_t bytes);
/* How much of the credit is unused; less than 0: more came than was asked for. */
int64_t client_credit_messages(const struct client *c, uint32_t sub);
int64_t client_credit_bytes(const struct client *c, uint32_t sub);
void client_unsubscribe(struct client *c, uint32_t sub);
/*
 * With SUBSCRIBE_STARTS: these messages may reach the reader from now on.  Call it, and write
 * the output of client_output(), before the reader can have any of them: the end of a lease is
 * a failure only of started messages.
 */
void client_started(
    struct client *c, struct slice queue, uint64_t lease, uint64_t first, uint32_t count);

struct client_settlement {
	struct slice queue;
	enum settle_verb verb;
	uint8_t flags;	  /* SETTLE_* */
	uint64_t ms;	  /* RELEASE: delay; TOUCH: new length */
	struct slice why; /* DEAD */
	void *tag;
};

/*
 * Settles up to SETTLE_ENTRIES_MAX ranges; except after TOUCH they are no longer held from here
 * on.  Also for messages that were never delivered to this client.
 */
const struct client_command *client_settle(struct client *c, struct mono_time now,
    const struct client_settlement *s, const struct settle_entry *entries, uint32_t count);

/*
 * Settles up to SETTLE_SEND_ENTRIES_MAX ranges of `queue` and sends a batch (borrowed, at most
 * BATCH_MAX) to `target`, both or neither.  flags: SEND_NO_CREATE or 0.  It waits for room as a
 * SEND does.  The messages are held until the answer, and still held if it is refused: then the
 * host decides about them.  A lease that ends meanwhile makes its entries stale, and has no
 * other effect.
 */
const struct client_command *client_settle_send(struct client *c, struct mono_time now,
    struct slice queue, const struct settle_entry *entries, uint32_t count, struct slice target,
    uint8_t flags, struct slice batch, void *tag);

/*
 * Whether message seq, held under `lease`, cannot have been given to anyone else at
 * time `now`.  False for messages that are not held.
 */
bool client_vouches(const struct client *c, uint64_t lease, uint64_t seq, struct mono_time now);
/* No longer held as far as this client is concerned: nothing is told to the daemon. */
void client_forget(struct client *c, uint64_t lease, uint64_t first, uint32_t count);
/* Messages held, detached ones too. */
uint64_t client_held(const struct client *c);

/* ---- asking ---- */

/* value: data NULL: the key is deleted.  version: NULL: whatever it is; else only if it is this one. */
const struct client_command *client_kv_change(struct client *c, struct mono_time now,
    struct slice key, struct slice value, const uint64_t *version, void *tag);
/* As KV_READ says (wire.h); of KV_WAIT it does not matter how long it takes. */
uint32_t client_kv_read(struct client *c, struct mono_time now, struct slice key, uint8_t flags,
    uint64_t since, uint64_t known);

/* mask: SETTING_*; NULL settings with QUEUE_REMOVE (flags) and QUEUE_PURGE. */
struct client_settings {
	uint32_t mask;
	QUEUE_SETTINGS(CODEC_MEMBER_)
	struct more_settings more;
};
const struct client_command *client_queue(struct client *c, struct mono_time now,
    enum wire_type type, struct slice queue, uint8_t flags, const struct client_settings *s,
    void *tag);

/*
 * Messages of the queue (rising, CANCEL_MAX at most) leave it, whoever holds them; done() has those
 * that were not there as entries of lease 0.  NULL: out of memory.
 */
const struct client_command *client_cancel(struct client *c, struct mono_time now,
    struct slice queue, const uint64_t *messages, uint32_t count, void *tag);
/* type: BIND (flags: BIND_CREATE or 0) or UNBIND. */
const struct client_command *client_bind(struct client *c, struct mono_time now,
    enum wire_type type, struct slice queue, struct slice pattern, uint8_t flags, void *tag);
/* All bindings, or (queue not empty) this one's, by bound(), then bindings_end(). */
uint32_t client_bindings(struct client *c, struct mono_time now, struct slice queue);

/* Rows come by listed() and peeked(), then list_end() and peek_end().  One at a time. */
uint32_t client_list(struct client *c, struct mono_time now, struct slice after,
    struct slice glob, uint32_t limit);
uint32_t client_peek(struct client *c, struct mono_time now, struct slice queue, uint8_t states,
    uint64_t from, uint32_t limit);

/*
 * Moves ready messages, as TRANSFER says (wire.h): then transferred().  When the connection is lost it
 * is asked again, and no other messages go than those named.
 */
uint32_t client_transfer(struct client *c, struct mono_time now, struct slice queue,
    struct slice target, uint8_t flags, uint32_t most, const struct seq_range *ranges,
    uint32_t count);

/*
 * Until the queue holds fewer, or more, than so many messages in all states: then watched(), with
 * how many these are, or an error.  If it is not so within timeout_ms, and a daemon could have said
 * so, fatal(UNMET).
 */
uint32_t client_watch(struct client *c, struct mono_time now, struct slice queue,
    enum watch_for what, uint64_t messages);
/*
 * WATCH_GONE: until the queue does not hold message number `messages`: then watched(), with the number
 * of the first one after it that it holds.  That has no end while a daemon is there.
 */

/*
 * What has happened to message `seq` of the queue, from `place` on (empty: from the beginning): by
 * history().
 */
uint32_t client_history(struct client *c, struct mono_time now, struct slice queue,
    uint64_t seq, struct slice place);
/* Which of messages [first, end) of the queue are dead letters: by buried(). */
uint32_t client_buried(struct client *c, struct mono_time now, struct slice queue,
    uint64_t first, uint64_t end, uint64_t from);

/* ---- cells ---- */

/* The cell that the client is in, or goes to; empty: it knows no name of it. */
struct slice client_cell(const struct client *c);

/* Numbered commands as their frames (wire.h), n and answered are not minded: done() or failed(). */
const struct client_command *client_move_out(
    struct client *c, struct mono_time now, const struct wire_move_out *m, void *tag);
const struct client_command *client_move_in(
    struct client *c, struct mono_time now, const struct wire_move_in *m, void *tag);
const struct client_command *client_arrive(
    struct client *c, struct mono_time now, const struct wire_arrive *m, void *tag);
const struct client_command *client_arrive_state(
    struct client *c, struct mono_time now, const struct wire_arrive_state *m, void *tag);

/* What the daemon knows of a queue beside its messages, as EXPORT says: by exported(). */
uint32_t client_export(struct client *c, struct mono_time now, struct slice queue, uint8_t what,
    uint64_t from, uint32_t limit);
/* By cells_are(). */
uint32_t client_cells(struct client *c, struct mono_time now);
/* Exceptions from "each name lives at its home": by place_is(), then places_end(). */
uint32_t client_places(
    struct client *c, struct mono_time now, struct slice after, uint32_t limit);

/*
 * Queues NAME.away with something ready and no receiver, as AWAY says (wire.h): by aways().  Unless it is
 * to be now it does not matter how long that takes.  When the connection is lost, it is asked for all.
 */
uint32_t client_away(struct client *c, struct mono_time now, uint8_t flags);

/* ---- the end ---- */

/*
 * Ends the session once every command is answered; the daemon then gives back the messages that
 * the session holds. client_ended(): this was written.  Until then a client that has subscribed
 * connects again, for as long as timeout_ms.
 */
void client_bye(struct client *c);
bool client_ended(const struct client *c);

#endif
