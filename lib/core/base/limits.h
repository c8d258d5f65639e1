/*
 * Every limit of the formats and of memory, in one place.  Sizes are in bytes
 * and times in milliseconds unless a name says otherwise.  A limit that is
 * part of a format is frozen with it (see rmq-protocol(5), rmq-journal(5)).
 */
#ifndef RMQ_CORE_BASE_LIMITS_H
#define RMQ_CORE_BASE_LIMITS_H

#include <assert.h>
#include <stdint.h>

/*
 * Limits that no short run comes near also have a small value, which the simulators
 * use for some of their seeds, so that they test what happens beyond a limit, too.
 */
#ifdef RMQ_VARIANTS
#include <stdbool.h>
extern bool rmq_small_limits;
#define LIMIT(shipped, small) (rmq_small_limits ? (small) : (shipped))
#else
#define LIMIT(shipped, small) (shipped)
#endif

/* Formats. */
#define WIRE_VERSION	  2 /* clients' protocol */
#define WIRE_OLDEST	  2 /* oldest that is understood */
#define WIRE_FEATURES	  3 /* bits: enum wire_feature */
#define JOURNAL_VERSION	  2 /* journal protocol, record format, data directory */
#define JOURNAL_OLDEST	  2
#define JOURNAL_FEATURES  0
#define JOURNAL_PLACE	  64 /* records: where an opener reads is told no more exactly */
#define LINK_VERSION	  1  /* encrypted links between machines */
#define GATE_VERSION	  2  /* what gates, and clients with keys, say to a gate */
#define GATE_VERSION_NONE 0  /* what none of them speaks */
#define CONTROL_VERSION	  2  /* asking rmq-clusterd */

#define FRAME_HEADER_SIZE 8
#define FRAME_PAYLOAD_MAX 148480

/* Encrypted links.  This number of records for one key is far from the end of its counter. */
#define NOISE_RECORD_MAX  65535
#define NOISE_RECORDS_MAX (1ull << 48)

/* An LMDB value of N * 4096 - 16 bytes fills its overflow pages exactly. */
#define RECORD_MAX	   (36 * 4096 - 16)
#define RECORD_HEADER_SIZE 32
#define RECORD_PAYLOAD_MAX (RECORD_MAX - RECORD_HEADER_SIZE)
/* Only a command whose events must be in one record makes a larger payload than this. */
#define RECORD_FILL (16 * 4096 - 16 - RECORD_HEADER_SIZE)

/* A batch: count, offsets and bodies, as in a SEND frame or event. */
#define BATCH_MAX	   64512
#define BATCH_MESSAGES_MAX 4096
#define BATCH_HEADER_SIZE  4
#define SEND_QUEUES_MAX	   64 /* that one SEND names; its batch is stored once */
/*
 * Queues that share a batch or a large message: as many as a topic may lead to.  So that an event has
 * place to name them, what is sent to a topic is in batches and pieces of less data.
 */
#define SHARES_MAX     1024u
#define TOPIC_DATA_MAX 49152
/* One piece of a message that does not fit into a batch; the first one includes its attributes. */
#define CHUNK_MAX	     64512
#define CHUNK_ATTRIBUTES_MAX 8192
/* Least size of a piece but the last if its message is for several queues: each of them counts it. */
#define CHUNK_SEVERAL_MIN   32768
#define MESSAGE_MAX	    (16u << 20)
#define MESSAGE_MAX_DEFAULT (1u << 20)
#define CHUNKS_MAX	    (MESSAGE_MAX / TOPIC_DATA_MAX + 1)

/* The highest sequence number that a frame or a receipt may name: no queue ever reaches it. */
#define SEQ_MAX (UINT64_MAX / 2)

#define NAME_MAX_LEN	 123 /* a queue's name; ".dead" may follow */
#define NAME_DEAD_SUFFIX ".dead"
#define NAME_AWAY_SUFFIX ".away" /* what is for a queue of another cell */
#define NAME_FULL_MAX	 128
#define TEXT_MAX	 255 /* reasons and error texts */
#define TOPIC_MAX	 128 /* a topic, or a pattern */
#define TOPIC_WORDS_MAX	 12  /* words in it */

/* Queue settings and their defaults. */
#define LEASE_MS_DEFAULT       30000
#define LEASE_MS_MIN	       100
#define LEASE_MS_MAX	       (7u * 24 * 3600 * 1000)
#define MAX_ATTEMPTS_DEFAULT   16
#define BACKOFF_MIN_MS_DEFAULT 1000
#define BACKOFF_MAX_MS_DEFAULT (10u * 60 * 1000)
#define DELAY_MS_MAX	       (10ull * 365 * 24 * 3600 * 1000)
#define WALL_LOOK_MS	       1000 /* a delay by the wall clock: how long it may be set unnoticed */

/* Lists of cells. */
#define CELLS_MAX	    128
#define CELL_SERVERS_MAX    4096		 /* addresses of one */
#define CELLS_TEXT_MAX	    65536		 /* a list */
#define PLACES_MAX	    LIMIT(1048576u, 12u) /* queues that are not where they are at home */
#define PLACES_OF_ONE	    OF_ONE(PLACES_MAX)	 /* … that one user has made */
#define MOVES_MAX	    64			 /* queues that are held at once */
#define MOVES_OF_ONE	    OF_ONE(MOVES_MAX)	 /* … by one user */
#define COPIES_MAX	    LIMIT(1024u, 6u)	 /* of queues that arrive */
#define COPIES_OF_ONE	    OF_ONE(COPIES_MAX)	 /* … that one user began */
#define COPIES_OF_QUEUE_MAX 8
#define COPIES_OF_QUEUE	    LIMIT(COPIES_OF_QUEUE_MAX, 3u) /* … of one queue */

/* Memory: the most that one daemon keeps. */
#define OF_ONE(all)	    ((all) - (all) / 8) /* so many of them are one user's at most */
#define QUEUES_MAX	    262144
#define QUEUES_OF_ONE	    OF_ONE(QUEUES_MAX)	   /* made by one user */
#define BINDINGS_MAX	    LIMIT(65536u, 12u)	   /* of queues to patterns */
#define BINDINGS_OF_ONE	    OF_ONE(BINDINGS_MAX)   /* of the queues that one user made */
#define QUEUE_BINDINGS_MAX  LIMIT(256u, 3u)	   /* of one queue */
#define TOPIC_QUEUES_MAX    LIMIT(SHARES_MAX, 4u)  /* that a topic may lead to */
#define TOPIC_BINDINGS_MAX  (4 * TOPIC_QUEUES_MAX) /* that may match a topic */
#define SESSIONS_MAX	    LIMIT(65536, 12)
#define SESSION_SECRET_SIZE 16	  /* bytes that make tokens, of one journal */
#define SESSION_TOKEN_SIZE  16	  /* bytes that show that a client was issued its session */
#define UNFINISHED_MS	    30000 /* from one piece of a large message to the next */
#define HOLD_SILENT_MS	    30000 /* from one word of a mover to the next, while it holds a queue */
#define SESSION_WINDOW	    256 /* unanswered commands of one session */
#define SESSION_IDLE_MS	    (3600u * 1000)
#define SETTLE_ENTRIES_MAX  2048 /* ranges in one settlement */
#define CANCEL_MAX	    2048 /* messages in one CANCEL */
#define REPLACED_MAX	    4096 /* older ones that one SEND_REPLACE replaces */
/* Ranges that one SEND makes, about, or messages that it replaces, in several queues together. */
#define SEND_RANGES_MAX		LIMIT(8192u, 24u)
#define SEND_REPLACED_MAX	LIMIT(REPLACED_MAX, 24)
#define SETTLE_SEND_ENTRIES_MAX 4096		 /* the same, with a batch */
#define VOIDED_MAX		LIMIT(16384, 20) /* runs of messages whose receipts are known to be void */
#define BURY_RUNS_MAX		16384 /* runs of messages that one settlement makes dead letters, about */
#define SETTLE_OTHERS_MAX \
	LIMIT(4096, 6) /* ranges held by others that one settlement runs into */
#define SESSION_STALE_MAX \
	LIMIT(1u << 20, 60) /* bytes of stale entries in a session's answers */
#define OWNER_STALE_MAX	   LIMIT(16u << 20, 200) /* the same, of all sessions of one owner */
#define GRANTS_WAIT_MAX	   LIMIT(1024, 2) /* leases that one connection was not yet sent */
#define OWED_MAX	   LIMIT(64u << 10, 300) /* bytes of frames that a connection did not take */
#define TURN_WORK	   LIMIT(65536, 50)	 /* steps of frames in one turn */
#define PEEK_LOOKS_MAX	   LIMIT(4096, 5)	 /* ranges and batches looked at for one PEEK */
#define IDS_MAX		   LIMIT(262144u, 30u)	    /* hashes of ids that a queue remembers */
#define IDS_OF_ALL	   LIMIT(16 * 262144u, 50u) /* … that all queues do */
#define IDS_OF_ONE	   OF_ONE(IDS_OF_ALL)	    /* … that queues which one user made do */
#define POSITIONS_MAX	   LIMIT(256, 4)	    /* inputs with names, of one queue */
#define BURIED_RUNS_MAX	   LIMIT(256, 2)	    /* in one answer to BURIED */
#define HISTORY_BYTES_MAX  LIMIT(1u << 20, 4000) /* of records that are read for one HISTORY */
#define WATCHES_MAX	   LIMIT(1024u, 3u)	 /* clients that wait for what a queue holds */
#define AWAY_ASKERS_MAX	   LIMIT(64u, 2u)	 /* clients that wait for queues NAME.away */
#define AWAY_ASKERS_OF_ONE OF_ONE(AWAY_ASKERS_MAX) /* … of one user */
#define AWAY_NAMES_MAX	   LIMIT(64u, 2u) /* in one answer to AWAY, and looked at in a turn */
#define WATCHES_OF_ONE	   OF_ONE(WATCHES_MAX) /* of one user */
#define LIST_WORK	   LIMIT(4096, 4) /* steps for one LIST: names, and more for a long glob */
#define LIST_GLOB_STEP	   16	  /* a glob so many times as long costs the square of that */
#define KV_VALUE_MAX	   65536u /* of the map: one value, */
#define KV_BYTES_MAX	   LIMIT(16u << 20, 900u) /* … keys and values together, */
#define KV_KEYS_MAX	   LIMIT(16384u, 8u)	  /* … keys, */
#define KV_BYTES_OF_ONE	   OF_ONE(KV_BYTES_MAX)	  /* … that one user put */
#define KV_KEYS_OF_ONE	   OF_ONE(KV_KEYS_MAX)
#define KV_DELETED	   LIMIT(4096u, 3u)   /* … changes until a deletion is forgotten */
#define KV_PIECE_MAX	   LIMIT(61440u, 24u) /* of a value in one event */
#define KV_ANSWER_BYTES	   LIMIT(64u << 10, 300u) /* of keys and values in one answer, about */
#define SUBSCRIPTIONS_MAX  16			  /* of one session */
#define EPHEMERAL_IDLE_MS  60000 /* an ephemeral subscription whose receiver has vanished ends */
#define LEASE_SPAN_MAX	   LIMIT(UINT32_MAX, 20) /* from a lease's first to its last message */
#define MIXED_BYTES_MAX	   512
#define MIXED_SPAN_MAX	   LIMIT(MIXED_BYTES_MAX, 24) /* it is looked through (mixed.h) */
#define GRANT_MESSAGES_MAX LIMIT(8192, 7)	      /* in one lease */
#define GRANT_BYTES_MAX	   LIMIT(1u << 20, 300)
#define LIST_ROWS_MAX	   LIMIT(256, 3) /* rows in one answer to LIST or PEEK */

/* One TRANSFER: ranges that it names, and runs of messages that it moves. */
#define TRANSFER_RANGES_MAX 256
#define TRANSFER_RUNS_MAX   LIMIT(256, 3)

#define SEND_WINDOW (8u << 20) /* bytes of unanswered SENDs of one session */

/* Gates: clients' connections carried to another node. */
#define GATE_WINDOW_FIRST 8192u /* bytes of one stream and direction under way, at first */
#define GATE_WINDOW	  (256u << 10) /* … once it has shown that it carries much */
#define GATE_BUDGET	  (32u << 20)  /* all windows together, beyond the first ones */
#define GATE_STREAMS_MAX  8192u
/* Of clients with keys: */
#define GATE_STREAMS_CLIENT    4u    /* at once on one link */
#define GATE_LINKS_PRINCIPAL   2048u /* of all keys of one name */
#define GATE_STREAMS_PRINCIPAL 4096u
#define GATE_DENIED_MAX	       64u	   /* links of those who may not come now */
#define GATE_PARTS_PRINCIPAL   (16u << 20) /* of frames that are not whole, of all their links */
#define GATE_PARTS_MS	       30000u	   /* … and how long, without a byte */
#define GATE_OPENS_PRINCIPAL   8192u	   /* begun by them at once, and in GATE_OPENS_MS */
#define GATE_OPENS_MS	       10000u
#define GATE_BUDGET_PRINCIPAL  (GATE_BUDGET / 4)
#define GATE_CLIENT_QUEUE      (512u << 10) /* bytes that may wait for one link, */
#define GATE_CLIENT_MARK       (64u << 10) /* from which on its streams are not read any more */

/* Checkpoints. */
#define CHECKPOINT_GROUPS     LIMIT(256u, 2u) /* groups of queues; one more holds the sessions */
#define CHECKPOINT_GROUPS_MAX 256	      /* … whatever the limits */

/*
 * The least room that the journal keeps from new messages, for the records that drain a queue; the
 * broker asks for more when its checkpoints are large.  The broker does its part: once room is short
 * it makes a checkpoint when a quarter of this is dead records, or as soon as one frees more than it
 * takes, and moves nothing meanwhile.
 */
#define RESERVE_BYTES	    (4u << 20)
#define RESERVE_CHECKPOINTS 5 /* so many of the next checkpoint's size */

#define TURN_BYTES  (128u << 10)
#define PARTS_TURNS 4 /* so many turns' parts of a checkpoint that are not stored */
#define TURN_STEPS  4096
/* A record with more live messages than this, counted in each queue, does not move yet: it would take long. */
#define MOVE_LIVE_MAX (SEND_QUEUES_MAX * BATCH_MESSAGES_MAX)

/*
 * Space: when records move and when checkpoints are made.  Bytes unless they say otherwise.
 * A simulator crosses them with a small backlog (broker_set_space()).
 */
/* clang-format off */
#define SPACE_LIMITS(X) \
	X(small_record, 16384)         /* smaller records are merged, */ \
	X(small_enough, 61440)         /* … when so much in them is live, */ \
	X(small_too_many, 512)         /* … or there are so many of them */ \
	X(sparse_enough, 8u << 20)     /* sparse records move when so much can be won */ \
	X(log_enough, 128u << 20)      /* log that makes a checkpoint due: what a start reads */ \
	X(dead_enough, 32u << 20)      /* dead records that make it due: what can be freed */ \
	X(turn_bytes, TURN_BYTES)      /* parts of a checkpoint in one turn, about */ \
	X(turn_steps, TURN_STEPS)      /* steps of what goes on over turns in one, about */ \
	X(reserve_bytes, RESERVE_BYTES)
/* clang-format on */

struct space_limits {
#define X(name, value) uint32_t name;
	SPACE_LIMITS(X)
#undef X
};

/* Consensus. */
#define RAFT_MEMBERS_MAX   9	      /* voters, learners, and who was admitted */
#define RAFT_NAME_MAX	   63	      /* a node's name */
#define RAFT_ADDRESS_MAX   255	      /* HOST:PORT of a node */
#define RAFT_ROLE_MAX	   31	      /* the name of a role */
#define RAFT_ROLES_MAX	   255	      /* a member's, with commas */
#define RAFT_REMOVED_MAX   16	      /* removed members that are known */
#define RAFT_RUNS_MAX	   256	      /* records and ranges of holes in one message */
#define RAFT_MESSAGE_BYTES (1u << 20) /* of records in one message */
#define RAFT_WINDOW_BYTES  (4u << 20) /* sent to one peer and not acknowledged */
#define RAFT_WINDOW	   64	      /* the same, in messages */
#define RAFT_LINK_BYTES	   (48u << 10) /* the same, not received: at least, on the slowest link */
#define RAFT_NEW_TIMEOUTS  4 /* election timeouts that a new process waits for others to vote */
#define RAFT_HOLES_MAX	   5461 /* ranges in one HOLE: as many as fit into an END */

/* TCP connections whose peers have not said who they are, see core/link/arrivals.h. */
#define ARRIVALS_OPEN_MAX      64   /* of all strangers */
#define ARRIVALS_OPEN_EARLY    32   /* from here on some are dropped at random */
#define ARRIVALS_OPEN_ADDRESS  8    /* of one address of strangers */
#define ARRIVALS_OPEN_EXPECTED 32   /* of one address that this node dials */
#define ARRIVALS_OPEN_KNOWN    128  /* of all other known addresses, which share them */
#define ARRIVALS_SILENT_MS     1000 /* then one gives way to another of its address */
#define ARRIVALS_ADDRESS_RATE  8    /* a second, from one address of strangers, */
#define ARRIVALS_ADDRESS_BURST 32   /* and so many at once */
#define ARRIVALS_KNOWN_RATE    50   /* from one known address */
#define ARRIVALS_KNOWN_BURST   200
#define ARRIVALS_ALL_RATE      50 /* from all addresses of strangers */
#define ARRIVALS_ALL_BURST     200
/* Handshakes of peers that are let in, which do not count above: */
#define ARRIVALS_BACK_RATE	    1000 /* a second, from all addresses, */
#define ARRIVALS_BACK_BURST	    4000
#define ARRIVALS_BACK_ADDRESS_RATE  (ARRIVALS_BACK_RATE / 2) /* and from one */
#define ARRIVALS_BACK_ADDRESS_BURST (ARRIVALS_BACK_BURST / 2)
#define ARRIVALS_ADDRESSES	    256 /* that are kept account of */
#define ARRIVALS_KNOWN		    128 /* of them known */

/* The socket on which rmq-clusterd is asked. */
#define CONTROL_CONNECTIONS_MAX 64
#define CONTROL_HEARERS_MAX	48 /* of them hear events; the others are for who asks and goes */
#define CONTROL_HEARERS_OTHERS	24     /* … of these for others, as rmq-cluster http does */
#define CONTROL_REQUESTS_MAX	16     /* of one connection, not answered */
#define CONTROL_REQUEST_BYTES	1024   /* one frame from an asker, header and all */
#define CONTROL_OUTPUT_MAX	131072 /* to one connection, not taken by it */
#define CONTROL_HELLO_MS	10000  /* until HELLO is there */
#define CONTROL_STALL_MS	10000 /* output waits and nothing is taken, or a frame is cut */

static_assert(BATCH_MAX + 512 <= RECORD_FILL, "a full batch fits into an ordinary record");
static_assert(BATCH_MAX + SEND_QUEUES_MAX * 12 + 128 <= RECORD_FILL,
    "a full batch for as many queues as may be fits into an ordinary record");
static_assert(TOPIC_DATA_MAX + SHARES_MAX * 12 + 128 <= RECORD_FILL,
    "an event for as many queues as a topic may lead to fits into an ordinary record");
static_assert(MESSAGE_MAX + CHUNK_ATTRIBUTES_MAX <= CHUNKS_MAX * TOPIC_DATA_MAX,
    "the largest message and its attributes are not too many pieces");
static_assert(CHUNK_MAX + SEND_QUEUES_MAX * 4 + 128 <= RECORD_FILL,
    "a full piece for as many queues as may be fits into an ordinary record");
static_assert(CHUNK_SEVERAL_MIN <= TOPIC_DATA_MAX - CHUNK_ATTRIBUTES_MAX,
    "a first piece with attributes is not too short");
static_assert(RECORD_FILL <= UINT16_MAX, "offsets in an ordinary record are u16");
static_assert(BATCH_MAX + SETTLE_SEND_ENTRIES_MAX * 20 + 512 <= RECORD_PAYLOAD_MAX,
    "a full SETTLE_SEND fits into a record");
static_assert(RECORD_PAYLOAD_MAX + 64 <= FRAME_PAYLOAD_MAX, "a record fits into a frame");
static_assert(KV_VALUE_MAX + 1024 <= RECORD_PAYLOAD_MAX, "a value fits into a record");
static_assert(NOISE_RECORDS_MAX < 1ull << 60, "a counter never comes near its end");
static_assert((RECORD_MAX + 16) % 4096 == 0, "a full record fills its pages");

#endif
