#include "core/link/noise.h"

#include <assert.h>
#include <sodium/crypto_aead_chacha20poly1305.h>
#include <sodium/crypto_generichash.h>
#include <sodium/utils.h>

#define HASH_BLOCK_SIZE 128
#define PROTOCOL_NAME	"Noise_IK_25519_ChaChaPoly_BLAKE2b"

static_assert(NOISE_MESSAGE_1_SIZE == KEY_SIZE + KEY_SIZE + NOISE_TAG_SIZE + NOISE_TAG_SIZE,
    "e, encrypted s, payload");
static_assert(NOISE_MESSAGE_2_SIZE == KEY_SIZE + NOISE_TAG_SIZE, "e, payload");
static_assert(NOISE_TAG_SIZE == crypto_aead_chacha20poly1305_ietf_ABYTES, "a tag");
static_assert(NOISE_NONCE_SIZE == crypto_aead_chacha20poly1305_ietf_NPUBBYTES, "a nonce");
static_assert(KEY_SIZE == crypto_aead_chacha20poly1305_ietf_KEYBYTES, "a key");
static_assert(NOISE_HASH_SIZE == crypto_generichash_BYTES_MAX, "BLAKE2b-512");
static_assert(sizeof(PROTOCOL_NAME) - 1 <= NOISE_HASH_SIZE, "a name that is not hashed");

static const struct slice nothing = {(const uint8_t *)"", 0};

/* ---- hashes ---- */

static void hash_start(crypto_generichash_state *s)
{
	int err = crypto_generichash_init(s, NULL, 0, NOISE_HASH_SIZE);
	assert(err == 0);
	(void)err;
}

static void hash_add(crypto_generichash_state *s, struct slice data)
{
	if (data.len > 0)
		crypto_generichash_update(s, data.data, data.len);
}

static void hash_end(crypto_generichash_state *s, uint8_t out[NOISE_HASH_SIZE])
{
	crypto_generichash_final(s, out, NOISE_HASH_SIZE);
	sodium_memzero(s, sizeof(*s));
}

void noise_hmac(
    struct slice key, struct slice data, struct slice more, uint8_t out[NOISE_HASH_SIZE])
{
	uint8_t pad[HASH_BLOCK_SIZE] = {0};
	uint8_t inner[NOISE_HASH_SIZE];
	crypto_generichash_state s;
	assert(key.len <= sizeof(pad));
	if (key.len > 0)
		memcpy(pad, key.data, key.len);
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36;
	hash_start(&s);
	hash_add(&s, slice_of(pad, sizeof(pad)));
	hash_add(&s, data);
	hash_add(&s, more);
	hash_end(&s, inner);
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36 ^ 0x5c;
	hash_start(&s);
	hash_add(&s, slice_of(pad, sizeof(pad)));
	hash_add(&s, slice_of(inner, sizeof(inner)));
	hash_end(&s, out);
	sodium_memzero(pad, sizeof(pad));
	sodium_memzero(inner, sizeof(inner));
}

/* The specification's HKDF with two outputs; `first` may be the chaining key. */
static void derive(const uint8_t chain[NOISE_HASH_SIZE], struct slice material,
    uint8_t first[NOISE_HASH_SIZE], uint8_t second[NOISE_HASH_SIZE])
{
	static const uint8_t numbers[] = {1, 2};
	uint8_t temporary[NOISE_HASH_SIZE];
	struct slice key = slice_of(temporary, sizeof(temporary));
	noise_hmac(slice_of(chain, NOISE_HASH_SIZE), material, nothing, temporary);
	noise_hmac(key, slice_of(&numbers[0], 1), nothing, first);
	noise_hmac(key, slice_of(first, NOISE_HASH_SIZE), slice_of(&numbers[1], 1), second);
	sodium_memzero(temporary, sizeof(temporary));
}

/* ---- a key and its counter ---- */

static void cipher_set(struct noise_cipher *c, const uint8_t key[NOISE_HASH_SIZE])
{
	memcpy(c->key, key, KEY_SIZE);
	c->counter = 0;
}

static void nonce_of(const struct noise_cipher *c, uint8_t nonce[NOISE_NONCE_SIZE])
{
	store_u32(nonce, 0);
	store_u64(nonce + 4, c->counter);
}

static void cipher_seal(
    struct noise_cipher *c, struct slice plain, struct slice with, uint8_t *out)
{
	uint8_t nonce[NOISE_NONCE_SIZE];
	nonce_of(c, nonce);
	crypto_aead_chacha20poly1305_ietf_encrypt(
	    out, NULL, plain.data, plain.len, with.data, with.len, NULL, nonce, c->key);
	c->counter++;
}

/* The counter stays where it is if the tag is bad. */
static bool cipher_open(
    struct noise_cipher *c, struct slice sealed, struct slice with, uint8_t *out)
{
	uint8_t nonce[NOISE_NONCE_SIZE];
	nonce_of(c, nonce);
	if (crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed.data, sealed.len,
		with.data, with.len, nonce, c->key) != 0)
		return false;
	c->counter++;
	return true;
}

/* ---- the handshake's state ---- */

static struct slice key_slice(const uint8_t key[KEY_SIZE])
{
	return slice_of(key, KEY_SIZE);
}

static void mix_hash(struct noise *n, struct slice data)
{
	crypto_generichash_state s;
	hash_start(&s);
	hash_add(&s, slice_of(n->hash, sizeof(n->hash)));
	hash_add(&s, data);
	hash_end(&s, n->hash);
}

/* Mixes what both can compute into the key; false if the point is of low order. */
static bool mix_shared(
    struct noise *n, const uint8_t secret[KEY_SIZE], const uint8_t key[KEY_SIZE])
{
	uint8_t shared[KEY_SIZE], derived[NOISE_HASH_SIZE];
	if (!key_shared(secret, key, shared))
		return false;
	derive(n->chain, key_slice(shared), n->chain, derived);
	cipher_set(&n->handshake, derived);
	sodium_memzero(shared, sizeof(shared));
	sodium_memzero(derived, sizeof(derived));
	return true;
}

static void seal_and_hash(struct noise *n, struct slice plain, uint8_t *out)
{
	cipher_seal(&n->handshake, plain, slice_of(n->hash, sizeof(n->hash)), out);
	mix_hash(n, slice_of(out, plain.len + NOISE_TAG_SIZE));
}

static bool open_and_hash(struct noise *n, struct slice sealed, uint8_t *out)
{
	if (!cipher_open(&n->handshake, sealed, slice_of(n->hash, sizeof(n->hash)), out))
		return false;
	mix_hash(n, sealed);
	return true;
}

enum rmq_error noise_fail(struct noise *n, enum rmq_error error)
{
	if (n->state == NOISE_FAILED)
		return n->error;
	noise_deinit(n);
	n->error = error;
	return error;
}

void noise_deinit(struct noise *n)
{
	sodium_memzero(n, sizeof(*n));
	n->state = NOISE_FAILED;
	n->error = RMQ_E_BUG;
}

/* `responder` is the static key that both know beforehand; own->key if that is we. */
static enum rmq_error start(struct noise *n, struct slice prologue, const struct keypair *own,
    const uint8_t ephemeral[KEY_SIZE], const uint8_t *responder)
{
	static const uint8_t zeros[KEY_SIZE];
	if (sodium_memcmp(own->secret, zeros, KEY_SIZE) == 0 ||
	    sodium_memcmp(ephemeral, zeros, KEY_SIZE) == 0 ||
	    memcmp(responder, zeros, KEY_SIZE) == 0)
		return noise_fail(n, RMQ_E_DENIED);
	memcpy(n->secret, own->secret, KEY_SIZE);
	memcpy(n->key, own->key, KEY_SIZE);
	memcpy(n->ephemeral_secret, ephemeral, KEY_SIZE);
	memcpy(n->hash, PROTOCOL_NAME, sizeof(PROTOCOL_NAME) - 1);
	memcpy(n->chain, n->hash, NOISE_HASH_SIZE);
	mix_hash(n, prologue);
	mix_hash(n, key_slice(responder));
	return RMQ_E_OK;
}

enum rmq_error noise_initiate(struct noise *n, struct slice prologue, const struct keypair *own,
    const uint8_t ephemeral[KEY_SIZE], const uint8_t responder[KEY_SIZE])
{
	memset(n, 0, sizeof(*n));
	n->state = NOISE_WRITES_1;
	n->initiator = true;
	memcpy(n->peer, responder, KEY_SIZE);
	enum rmq_error err = start(n, prologue, own, ephemeral, n->peer);
	if (!err && memcmp(n->peer, n->key, KEY_SIZE) == 0)
		err = noise_fail(n, RMQ_E_DENIED);
	return err;
}

enum rmq_error noise_respond(struct noise *n, struct slice prologue, const struct keypair *own,
    const uint8_t ephemeral[KEY_SIZE], noise_known *known, void *context)
{
	memset(n, 0, sizeof(*n));
	n->state = NOISE_READS_1;
	n->known = known;
	n->context = context;
	return start(n, prologue, own, ephemeral, own->key);
}

/* The handshake is over: two keys, and nothing is left of what they were made of. */
static void split(struct noise *n)
{
	uint8_t first[NOISE_HASH_SIZE], second[NOISE_HASH_SIZE];
	derive(n->chain, nothing, first, second);
	cipher_set(n->initiator ? &n->out : &n->in, first);
	cipher_set(n->initiator ? &n->in : &n->out, second);
	sodium_memzero(first, sizeof(first));
	sodium_memzero(second, sizeof(second));
	sodium_memzero(n->secret, sizeof(n->secret));
	sodium_memzero(n->ephemeral_secret, sizeof(n->ephemeral_secret));
	sodium_memzero(n->chain, sizeof(n->chain));
	sodium_memzero(&n->handshake, sizeof(n->handshake));
	n->state = NOISE_SILENT;
}

/* Turn by turn; e stands before both messages. */

static enum rmq_error write_1(struct noise *n, struct slice payload, uint8_t *p)
{
	if (!mix_shared(n, n->ephemeral_secret, n->peer))
		return noise_fail(n, RMQ_E_DENIED);
	seal_and_hash(n, key_slice(n->key), p);
	if (!mix_shared(n, n->secret, n->peer))
		return noise_fail(n, RMQ_E_DENIED);
	seal_and_hash(n, payload, p + KEY_SIZE + NOISE_TAG_SIZE);
	n->state = NOISE_READS_2;
	return RMQ_E_OK;
}

static enum rmq_error write_2(struct noise *n, struct slice payload, uint8_t *p)
{
	if (!mix_shared(n, n->ephemeral_secret, n->peer_ephemeral) ||
	    !mix_shared(n, n->ephemeral_secret, n->peer))
		return noise_fail(n, RMQ_E_DENIED);
	seal_and_hash(n, payload, p);
	split(n);
	return RMQ_E_OK;
}

enum rmq_error noise_write(struct noise *n, struct slice payload, uint8_t *message)
{
	bool first = n->state == NOISE_WRITES_1;
	if (n->state == NOISE_FAILED)
		return n->error;
	if (!first && n->state != NOISE_WRITES_2)
		return noise_fail(n, RMQ_E_BUG);
	/* Only now: of a responder nothing was worth it before the peer was known. */
	if (!key_public(n->ephemeral_secret, n->ephemeral) ||
	    memcmp(n->peer_ephemeral, n->ephemeral, KEY_SIZE) == 0)
		return noise_fail(n, RMQ_E_DENIED);
	memcpy(message, n->ephemeral, KEY_SIZE);
	mix_hash(n, key_slice(n->ephemeral));
	return first ? write_1(n, payload, message + KEY_SIZE)
		     : write_2(n, payload, message + KEY_SIZE);
}

/* The peer is looked up as soon as its key is known, before the next Diffie-Hellman. */
static enum rmq_error read_1(struct noise *n, struct slice rest, uint8_t *payload)
{
	struct slice sealed = slice_of(rest.data, KEY_SIZE + NOISE_TAG_SIZE);
	rest = slice_of(rest.data + sealed.len, rest.len - sealed.len);
	if (!mix_shared(n, n->secret, n->peer_ephemeral) ||
	    !open_and_hash(n, sealed, n->peer) || memcmp(n->peer, n->key, KEY_SIZE) == 0 ||
	    !n->known(n->context, n->peer) || !mix_shared(n, n->secret, n->peer) ||
	    !open_and_hash(n, rest, payload))
		return noise_fail(n, RMQ_E_DENIED);
	n->state = NOISE_WRITES_2;
	return RMQ_E_OK;
}

static enum rmq_error read_2(struct noise *n, struct slice rest, uint8_t *payload)
{
	if (!mix_shared(n, n->ephemeral_secret, n->peer_ephemeral) ||
	    !mix_shared(n, n->secret, n->peer_ephemeral) || !open_and_hash(n, rest, payload))
		return noise_fail(n, RMQ_E_DENIED);
	split(n);
	return RMQ_E_OK;
}

enum rmq_error noise_read(
    struct noise *n, struct slice message, uint8_t *payload, size_t payload_len)
{
	bool first = n->state == NOISE_READS_1;
	if (n->state == NOISE_FAILED)
		return n->error;
	if (!first && n->state != NOISE_READS_2)
		return noise_fail(n, RMQ_E_BUG);
	if (message.len != (first ? NOISE_MESSAGE_1_SIZE : NOISE_MESSAGE_2_SIZE) + payload_len)
		return noise_fail(n, RMQ_E_PROTOCOL);
	memcpy(n->peer_ephemeral, message.data, KEY_SIZE);
	/* Our own words said back to us. */
	if (memcmp(n->peer_ephemeral, n->ephemeral, KEY_SIZE) == 0 ||
	    memcmp(n->peer_ephemeral, n->key, KEY_SIZE) == 0)
		return noise_fail(n, RMQ_E_DENIED);
	mix_hash(n, key_slice(n->peer_ephemeral));
	struct slice rest = slice_of(message.data + KEY_SIZE, message.len - KEY_SIZE);
	return first ? read_1(n, rest, payload) : read_2(n, rest, payload);
}

/* ---- records ---- */

/* Setting it up takes libsodium's time for so many bytes, and each piece the same again. */
#define FAST_COST 512

static const struct noise_fast *fast_for(const struct noise *n, size_t len, size_t count)
{
	return len >= FAST_COST * (count + 2) ? n->fast : NULL;
}

static void gather(const struct slice *pieces, size_t count, uint8_t *record)
{
	for (size_t i = 0; i < count; i++) {
		if (pieces[i].len > 0 && pieces[i].data != record)
			memcpy(record, pieces[i].data, pieces[i].len);
		record += pieces[i].len;
	}
}

/*
 * What was sealed in place is no more there: to do it again after an error would send what is left
 * of it with the same nonce.
 */
static bool seal_record(
    struct noise *n, const struct slice *pieces, size_t count, size_t len, uint8_t *record)
{
	uint8_t nonce[NOISE_NONCE_SIZE];
	const struct noise_fast *fast = fast_for(n, len, count);
	if (!fast) {
		gather(pieces, count, record);
		cipher_seal(&n->out, slice_of(record, len), nothing, record);
		return true;
	}
	nonce_of(&n->out, nonce);
	n->out.counter++;
	return fast->seal(n->out.key, nonce, pieces, count, record);
}

enum rmq_error noise_seal_pieces(
    struct noise *n, const struct slice *pieces, size_t count, uint8_t *record)
{
	size_t len = 0;
	if (n->state == NOISE_FAILED)
		return n->error;
	if (n->state != NOISE_OPEN && (n->state != NOISE_SILENT || !n->initiator))
		return noise_fail(n, RMQ_E_BUG);
	if (n->out.counter >= NOISE_RECORDS_MAX)
		return noise_fail(n, RMQ_E_LIMIT);
	for (size_t i = 0; i < count; i++)
		len += pieces[i].len;
	assert(len <= NOISE_PLAIN_MAX);
	if (!seal_record(n, pieces, count, len, record))
		return noise_fail(n, RMQ_E_LIMIT);
	return RMQ_E_OK;
}

static bool open_record(struct noise *n, struct slice record, uint8_t *plain)
{
	uint8_t nonce[NOISE_NONCE_SIZE];
	const struct noise_fast *fast = fast_for(n, record.len, 1);
	if (!fast)
		return cipher_open(&n->in, record, nothing, plain);
	nonce_of(&n->in, nonce);
	n->in.counter++;
	if (fast->open(n->in.key, nonce, record, plain))
		return true;
	sodium_memzero(plain, record.len - NOISE_TAG_SIZE);
	return false;
}

enum rmq_error noise_open(struct noise *n, struct slice record, uint8_t *plain)
{
	if (n->state == NOISE_FAILED)
		return n->error;
	if (n->state != NOISE_OPEN && n->state != NOISE_SILENT)
		return noise_fail(n, RMQ_E_BUG);
	if (n->in.counter >= NOISE_RECORDS_MAX)
		return noise_fail(n, RMQ_E_LIMIT);
	if (record.len < NOISE_TAG_SIZE || record.len > NOISE_RECORD_MAX ||
	    !open_record(n, record, plain))
		return noise_fail(n, RMQ_E_PROTOCOL);
	n->state = NOISE_OPEN;
	return RMQ_E_OK;
}
