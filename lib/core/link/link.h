/*
 * An encrypted link: a stream of bytes in each direction, carried over an untrusted stream,
 * between two peers that hold each other's keys (see noise.h).  Pure: input comes in as bytes,
 * output goes out as bytes; the caller has the socket and the deadlines.
 *
 * On the wire there is the role that the initiator wants, one byte in clear, so that one
 * listener serves several; then everything is a u16 length, little-endian, and so many bytes:
 *
 *	initiator   96	message 1, without a payload
 *	responder   48	message 2, without a payload
 *	initiator   17	an empty DATA record: message 1 was no repetition
 *	both	     n	records, at most NOISE_RECORD_MAX: bytes, u8 kind, tag
 *
 * An initiator that does not know the responder's key yet sends LINK_WHO instead of a role, and
 * nothing else.  It is answered with a u16 length and a link_who, in clear, and the end of the
 * connection.  That proves nothing: whoever asked compares the key with what he has been told, or
 * trusts it at first and holds it to that from then on.
 *
 * The kinds are DATA, with bytes of the stream, and CLOSE, without: the end of the sender's
 * stream, and the last record.  A connection that ends without it was cut.  The prologue is
 * made of the fields of LINK_PROLOGUE: a peer that expects another version, cluster, role or
 * responder gets other keys, so changing the role in transit only breaks the link.
 *
 * Before the peer is known, only these exact lengths are accepted, and another one as soon as
 * it is read, so that a stranger makes us keep no more than LINK_FIRST_SIZE bytes and decode
 * nothing.  An error is final, keys are wiped, and the peer is not told what was wrong.
 */
#ifndef RMQ_CORE_LINK_LINK_H
#define RMQ_CORE_LINK_LINK_H

#include "core/link/noise.h"

#define LINK_ROLE_SIZE	 1
#define LINK_LENGTH_SIZE 2
/* What the initiator sends first: the role, and message 1. */
#define LINK_FIRST_SIZE (LINK_ROLE_SIZE + LINK_LENGTH_SIZE + NOISE_MESSAGE_1_SIZE)
/* The most that one step takes, that its bytes need (with what is cut off), and sends. */
#define LINK_STEP_MAX  (LINK_LENGTH_SIZE + NOISE_RECORD_MAX)
#define LINK_PLAIN_MAX NOISE_PLAIN_MAX
#define LINK_REPLY_MAX (LINK_LENGTH_SIZE + NOISE_MESSAGE_2_SIZE)
/* Bytes of the stream in one record. */
#define LINK_DATA_MAX (NOISE_PLAIN_MAX - 1)
/* What is after them in a record, and the length before it. */
#define LINK_OVERHEAD (LINK_LENGTH_SIZE + 1 + NOISE_TAG_SIZE)

#define LINK_MAGIC 0x6c716d72u /* "rmql" */

/* role: enum link_role; cluster: its id, empty if there is none; responder: its name. */
#define LINK_PROLOGUE(F) \
	F(u32, magic) F(u16, version) F(u8, role) F(str, cluster) F(str, responder)
CODEC_MESSAGE(link, prologue, LINK_PROLOGUE)
/* key: KEY_SIZE bytes; name: the responder's; cluster: its id, empty if there is none. */
#define LINK_WHO 0x3f /* '?' */
#define LINK_WHO_IS(F) \
	F(u32, magic) F(u16, version) F(str, key) F(str, name) F(str, cluster) F(tags, tags)
CODEC_MESSAGE(link, who, LINK_WHO_IS)
#define LINK_WHO_MAX 512 /* bytes of one */

#define LINK_PROLOGUE_MAX (4 + 2 + 1 + 2 * (1 + UINT8_MAX))

/*      role   code cluster  what the initiator is to the responder */
/* clang-format off */
#define LINK_ROLES(X) \
	X(NODE,   1, true)  /* a node of the cluster: votes, heartbeats, small things */ \
	X(CLIENT, 2, true)  /* a client of a gate */ \
	X(BULK,   3, true)  /* a node of the cluster: records */ \
	X(GATE,   4, true)  /* a node's gate, at another node's */ \
	X(JOIN,   5, false) /* a node that does not know the cluster's id yet */
/* clang-format on */

enum link_role {
#define X(name, code, cluster) LINK_##name = code,
	LINK_ROLES(X)
#undef X
};

/* A role in a set of roles. */
#define LINK_ROLE_BIT(role) (1u << (role))

struct link_identity {
	enum link_role role;
	struct slice cluster;	   /* at most 255 bytes; not minded if the role has none */
	struct slice responder;	   /* at most 255 bytes */
	const struct keypair *own; /* our static keys */
	const uint8_t *ephemeral;  /* a secret key, random, that is used this once */
};

/*
 * Whether the responder deals with an initiator of that static key in that role.  Called while
 * message 1 is read, which may be a repeated one.
 */
typedef bool link_known(void *context, enum link_role role, const uint8_t key[KEY_SIZE]);

struct link {
	struct noise noise;
	enum link_role role;
	link_known *known;
	void *context;
	bool close_sent;
	bool close_received;
};

/* The role's name, "NODE", a constant; NULL: there is none of that code. */
const char *link_role_name(unsigned code);

/*
 * Begins; everything is copied.  The initiator puts LINK_FIRST_SIZE bytes into `out`, which
 * must have room for them.  The responder has taken the first of them itself, and begins with
 * the role that it names, if that is one that it serves (link_role_parse()); link_receive() is
 * given what is after it.  Errors as of noise_initiate(), noise_respond(), noise_write().
 */
enum rmq_error link_initiate(struct link *l, const struct link_identity *id,
    const uint8_t responder[KEY_SIZE], struct writer *out) __attribute__((warn_unused_result));
enum rmq_error link_respond(struct link *l, const struct link_identity *id, link_known *known,
    void *context) __attribute__((warn_unused_result));

/* The role of an initiator's first byte; false: none in the set `roles`. */
bool link_role_parse(uint8_t byte, unsigned roles, enum link_role *role)
    __attribute__((warn_unused_result));

/* Once it has begun: see noise_use(). */
static inline void link_use(struct link *l, const struct noise_fast *fast)
{
	noise_use(&l->noise, fast);
}

/* Wipes it.  Legal in every state, also twice. */
void link_deinit(struct link *l);

/*
 * Whether bytes were decrypted that only the peer can have made, and made now.  Before that the
 * link must have no effect; the responder cannot send.
 */
static inline bool link_confirmed(const struct link *l)
{
	return l->noise.state == NOISE_OPEN;
}

/* Whether link_send() is legal. */
bool link_can_send(const struct link *l);

/* Whether the peer has said that its stream is over. */
static inline bool link_ended(const struct link *l)
{
	return l->close_received;
}

/* The peer's static key, once the initiator's message 1 was read; of the responder always. */
static inline const uint8_t *link_peer(const struct link *l)
{
	return l->noise.peer;
}

/* How many bytes of input are of use at most: no more need be kept.  0: it is over. */
size_t link_input_max(const struct link *l);

/*
 * Takes one message or record from the start of `in`; *used is its size, 0 if more bytes are
 * needed.  Appends to `plain` the stream's bytes that were in it, for which LINK_PLAIN_MAX
 * bytes of room must be there, and to `out` what is to be sent because of it, LINK_REPLY_MAX
 * bytes. RMQ_E_PROTOCOL: a wrong length, a bad tag, anything after CLOSE; RMQ_E_DENIED: see
 * noise_read(); RMQ_E_LIMIT: too many records.  On an error nothing is appended.
 */
enum rmq_error link_receive(struct link *l, struct slice in, size_t *used, struct writer *plain,
    struct writer *out) __attribute__((warn_unused_result));

/* The connection has ended.  RMQ_E_INTERRUPTED if the peer has not closed: outcome unknown. */
enum rmq_error link_eof(struct link *l) __attribute__((warn_unused_result));

/* How many bytes link_send() makes of so many. */
size_t link_sealed_size(size_t len);

/*
 * Appends the bytes as records to `out`, which must have link_sealed_size() bytes of room; none
 * for no bytes.  RMQ_E_BUG: !link_can_send(); RMQ_E_LIMIT: too many records.
 */
enum rmq_error link_send(struct link *l, struct slice data, struct writer *out)
    __attribute__((warn_unused_result));

/*
 * Makes one record of at most LINK_PIECES_MAX pieces, 1 <= bytes <= LINK_DATA_MAX.  Each stands
 * outside of `record`, which has room for LINK_OVERHEAD more, or there where it goes, from
 * record + LINK_LENGTH_SIZE on.
 */
#define LINK_PIECES_MAX 32
enum rmq_error link_seal(struct link *l, const struct slice *pieces, size_t count,
    uint8_t *record) __attribute__((warn_unused_result));

/* Appends CLOSE, LINK_OVERHEAD bytes; nothing can be sent after it.  Errors as of link_send().
 */
enum rmq_error link_close(struct link *l, struct writer *out)
    __attribute__((warn_unused_result));

#endif
