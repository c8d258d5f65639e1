/*
 * Noise_IK_25519_ChaChaPoly_BLAKE2b, as in revision 34 of the Noise specification: two
 * parties with a static key each, of which the initiator knows the responder's beforehand.
 *
 *	initiator -> e, es, s, ss	NOISE_MESSAGE_1_SIZE and the payload
 *	responder -> e, ee, se		NOISE_MESSAGE_2_SIZE and the payload
 *	both      -> records		a key and a counter for each direction
 *
 * Message 1 can be a replay, and whoever has stolen the responder's key can make one in any
 * name.  So nothing may have an effect before a record of the other side was opened:
 * NOISE_OPEN.
 *
 * The first error is final: all keys are wiped, and each later call gives it again.  Nothing
 * here is random: the caller supplies ephemeral keys; a program calls sodium_init() before, or
 * all of it is slower.
 */
#ifndef RMQ_CORE_LINK_NOISE_H
#define RMQ_CORE_LINK_NOISE_H

#include "core/base/error.h"
#include "core/base/limits.h"
#include "core/link/key.h"

#define NOISE_TAG_SIZE	     16
#define NOISE_NONCE_SIZE     12
#define NOISE_HASH_SIZE	     64
#define NOISE_MESSAGE_1_SIZE 96
#define NOISE_MESSAGE_2_SIZE 48
/* The most that a record holds. */
#define NOISE_PLAIN_MAX (NOISE_RECORD_MAX - NOISE_TAG_SIZE)

enum noise_state {
	NOISE_WRITES_1, /* the initiator's turn */
	NOISE_READS_1,	/* the responder waits for message 1 */
	NOISE_WRITES_2, /* the responder's turn; the peer is a known one, if it is not a repeat
			 */
	NOISE_READS_2,	/* the initiator waits for message 2 */
	NOISE_SILENT,	/* there are keys, but no record was opened yet */
	NOISE_OPEN,	/* a record of the peer was opened */
	NOISE_FAILED
};

/* Whether the responder deals with that static key. */
typedef bool noise_known(void *context, const uint8_t key[KEY_SIZE]);

/*
 * The cipher as another library has it, for large records: the same bytes as of libsodium's, which
 * is slower with these and faster with small ones.  Both take and give what noise_seal_pieces() and
 * noise_open() do, and keep nothing of the key.  False, with anything in the output: seal could
 * not; the tag is bad, or open could not.
 */
struct noise_fast {
	bool (*seal)(const uint8_t key[KEY_SIZE], const uint8_t nonce[NOISE_NONCE_SIZE],
	    const struct slice *pieces, size_t count, uint8_t *record);
	bool (*open)(const uint8_t key[KEY_SIZE], const uint8_t nonce[NOISE_NONCE_SIZE],
	    struct slice record, uint8_t *plain);
};

struct noise_cipher {
	uint8_t key[KEY_SIZE];
	uint64_t counter;
};

struct noise {
	enum noise_state state;
	enum rmq_error error;
	bool initiator;
	uint8_t secret[KEY_SIZE];
	uint8_t key[KEY_SIZE];
	uint8_t ephemeral_secret[KEY_SIZE];
	uint8_t ephemeral[KEY_SIZE];
	uint8_t peer[KEY_SIZE]; /* its static key, from NOISE_WRITES_2 or NOISE_READS_2 on */
	uint8_t peer_ephemeral[KEY_SIZE];
	uint8_t chain[NOISE_HASH_SIZE];
	uint8_t hash[NOISE_HASH_SIZE]; /* from NOISE_SILENT on: the handshake's, the same for
					  both */
	struct noise_cipher handshake;
	struct noise_cipher out;
	struct noise_cipher in;
	const struct noise_fast *fast;
	noise_known *known;
	void *context;
};

/*
 * Begins.  All keys are copied; `ephemeral` is a secret key that is used this once.  Both sides
 * must have the same prologue.  `known` is called while message 1 is read, when the peer's key
 * could be decrypted with ours, and before it costs more: what is no message 1 for us costs the
 * responder one Diffie-Hellman, and nothing before it is read.  RMQ_E_DENIED: a key is all
 * zeros, or the responder's is our own.
 */
enum rmq_error noise_initiate(struct noise *n, struct slice prologue, const struct keypair *own,
    const uint8_t ephemeral[KEY_SIZE], const uint8_t responder[KEY_SIZE])
    __attribute__((warn_unused_result));
enum rmq_error noise_respond(struct noise *n, struct slice prologue, const struct keypair *own,
    const uint8_t ephemeral[KEY_SIZE], noise_known *known, void *context)
    __attribute__((warn_unused_result));

/* Wipes it.  Legal in every state, also twice. */
void noise_deinit(struct noise *n);

/* What a caller has found wrong with the peer: wipes the keys; `error` is final.  Gives it
 * back. */
enum rmq_error noise_fail(struct noise *n, enum rmq_error error);

/* From now on; NULL: libsodium's only, as at first.  Both sides need not have the same. */
static inline void noise_use(struct noise *n, const struct noise_fast *fast)
{
	n->fast = fast;
}

/*
 * The next message of the handshake, with a payload (links have none, published test vectors
 * have one).  Writes exactly its size, the payload's length included.  RMQ_E_DENIED: a point of
 * low order; RMQ_E_BUG: not our turn.
 */
enum rmq_error noise_write(struct noise *n, struct slice payload, uint8_t *message)
    __attribute__((warn_unused_result));

/*
 * Reads it.  RMQ_E_PROTOCOL: not exactly of its size for a payload of so many bytes.
 * RMQ_E_DENIED: a bad tag (a wrong key of one of us, another prologue, changed bytes), a point
 * of low order, our own key, or an unknown peer.  The payload is zeroed if its tag is bad.
 */
enum rmq_error noise_read(struct noise *n, struct slice message, uint8_t *payload,
    size_t payload_len) __attribute__((warn_unused_result));

/*
 * Makes a record of at most NOISE_PLAIN_MAX bytes, NOISE_TAG_SIZE longer, of the pieces one after
 * the other; each stands outside of the record, or there where it goes.  RMQ_E_LIMIT: there were
 * NOISE_RECORDS_MAX, or out of memory.  RMQ_E_BUG: no keys yet, or we are the responder and no
 * record was opened yet.
 */
enum rmq_error noise_seal_pieces(struct noise *n, const struct slice *pieces, size_t count,
    uint8_t *record) __attribute__((warn_unused_result));

static inline __attribute__((warn_unused_result)) enum rmq_error noise_seal(
    struct noise *n, struct slice plain, uint8_t *record)
{
	return noise_seal_pieces(n, &plain, 1, record);
}

/*
 * Opens the next record; what it held is NOISE_TAG_SIZE shorter; `plain` may begin where
 * `record` does.  RMQ_E_PROTOCOL: a bad tag (`plain` is zeroed) or a bad length.
 */
enum rmq_error noise_open(struct noise *n, struct slice record, uint8_t *plain)
    __attribute__((warn_unused_result));

/*
 * HMAC (RFC 2104) with BLAKE2b-512, whose blocks have 128 bytes.  It is not BLAKE2b's own keyed
 * mode.  `key` is at most a block, `out` may be where the data is.
 */
void noise_hmac(
    struct slice key, struct slice data, struct slice more, uint8_t out[NOISE_HASH_SIZE]);

#endif
