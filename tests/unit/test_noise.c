/* The handshake and its records: a published vector, and each rule by what breaks it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "core/link/noise.h"

#define MESSAGE_MAX_SIZE 256

static const struct slice nothing = {(const uint8_t *)"", 0};
static const struct slice prologue = {(const uint8_t *)"prologue", 8};

static const uint8_t secret_a[KEY_SIZE] = {0, 'a', 1}, ephemeral_a[KEY_SIZE] = {0, 'a', 2};
static const uint8_t secret_b[KEY_SIZE] = {0, 'b', 1}, ephemeral_b[KEY_SIZE] = {0, 'b', 2};
static uint8_t key_a[KEY_SIZE], key_b[KEY_SIZE];
static struct keypair pair_a, pair_b;

/* All points of low order, in every encoding; as in the source of libsodium and elsewhere. */
static const char *const low_order[] = {
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
};
#define LOW_ORDER (sizeof(low_order) / sizeof(low_order[0]))

/* Who the responder knows, and what it was asked. */
static struct {
	bool yes;
	int count;
	uint8_t key[KEY_SIZE];
} asked;

static bool known(void *context, const uint8_t key[KEY_SIZE])
{
	assert_ptr_equal(context, &asked);
	asked.count++;
	memcpy(asked.key, key, KEY_SIZE);
	return asked.yes;
}

static size_t unhex(const char *hex, uint8_t *out, size_t cap)
{
	size_t len;
	assert_int_equal(sodium_hex2bin(out, cap, hex, strlen(hex), NULL, &len, NULL), 0);
	return len;
}

static struct keypair pair_of(const uint8_t secret[KEY_SIZE])
{
	struct keypair pair;
	memcpy(pair.secret, secret, KEY_SIZE);
	assert_true(key_public(secret, pair.key));
	return pair;
}

static int setup(void **state)
{
	(void)state;
	asked.yes = true;
	asked.count = 0;
	pair_a = pair_of(secret_a);
	pair_b = pair_of(secret_b);
	memcpy(key_a, pair_a.key, KEY_SIZE);
	memcpy(key_b, pair_b.key, KEY_SIZE);
	return 0;
}

static void start(struct noise *a, struct noise *b)
{
	assert_int_equal(noise_initiate(a, prologue, &pair_a, ephemeral_a, key_b), RMQ_E_OK);
	assert_int_equal(
	    noise_respond(b, prologue, &pair_b, ephemeral_b, known, &asked), RMQ_E_OK);
}

static void message_1(struct noise *a, struct noise *b, uint8_t m[NOISE_MESSAGE_1_SIZE])
{
	start(a, b);
	assert_int_equal(noise_write(a, nothing, m), RMQ_E_OK);
}

static void message_2(struct noise *a, struct noise *b, uint8_t m[NOISE_MESSAGE_2_SIZE])
{
	uint8_t first[NOISE_MESSAGE_1_SIZE];
	message_1(a, b, first);
	assert_int_equal(noise_read(b, slice_of(first, sizeof(first)), NULL, 0), RMQ_E_OK);
	assert_int_equal(noise_write(b, nothing, m), RMQ_E_OK);
}

static void handshake(struct noise *a, struct noise *b)
{
	uint8_t m[NOISE_MESSAGE_2_SIZE];
	message_2(a, b, m);
	assert_int_equal(noise_read(a, slice_of(m, sizeof(m)), NULL, 0), RMQ_E_OK);
}

static enum rmq_error read_1(struct noise *b, const uint8_t m[NOISE_MESSAGE_1_SIZE])
{
	return noise_read(b, slice_of(m, NOISE_MESSAGE_1_SIZE), NULL, 0);
}

/* It has failed, and nothing is left of it. */
static void assert_wiped(const struct noise *n)
{
	struct noise empty;
	memset(&empty, 0, sizeof(empty));
	empty.state = NOISE_FAILED;
	empty.error = n->error;
	assert_int_not_equal(n->error, RMQ_E_OK);
	assert_memory_equal(n, &empty, sizeof(empty));
}

#define REFUSED(n, expression, code) \
	do { \
		assert_int_equal(expression, code); \
		assert_wiped(n); \
	} while (0)

/* ---- the published vector ---- */

/*
 * From the vectors of the Haskell library cacophony (vectors/cacophony.txt), which other
 * implementations test themselves with as well.
 */
static const struct {
	const char *prologue, *init_static, *init_ephemeral, *resp_static, *resp_ephemeral;
	const char *resp_public, *handshake_hash;
	struct {
		const char *payload, *ciphertext;
	} messages[6];
} cacophony = {.prologue = "4a6f686e2047616c74",
    .init_static = "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
    .init_ephemeral = "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a",
    .resp_static = "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
    .resp_ephemeral = "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b",
    .resp_public = "31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62",
    .handshake_hash = "1c8fa891cb414fedba6daa7c6f4ae0a6d98e5f9768cc9cecd27e805614943ee9"
		      "c8a1b27fbfb76dc197255c8aa69f6b4285c423840b8bedf45e652ca64f797d81",
    .messages = {{"4c756477696720766f6e204d69736573",
		     "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944"
		     "ba83a447b38c83e327ad936929812f624884847b7831e95e197b2f797088efdd"
		     "2f88f1db7e1fb0e99c64419097af91cee64e470f4b6fcd9298ce0b56fe20f86e"
		     "13bf70439c538e3602a7127af71a29cc"},
	{"4d757272617920526f746862617264",
	    "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843"
	    "9f069b267a06b3de3ecb1043bcb098e9af91d9c64748d998c7b47890871571"},
	{"462e20412e20486179656b", "cd54383060e7a28434cca27fb1cc524cfbabeb18181589df219d07"},
	{"4361726c204d656e676572", "a856d3bf0246bfc476c655009cd1ed677b8dcc5b349ae8ef2a05f2"},
	{"4a65616e2d426170746973746520536179",
	    "49063084b2c51f098337cb8a13739ac848f907e67cfb2cc8a8b60586467aa02fc7"},
	{"457567656e2042f6686d20766f6e2042617765726b",
	    "8b9709d23b47e4639df7678d7a21741eba4ef1e9c60383001c7435549c20f9d56f30e935d3"}}};

static void check_vector_message(struct noise *from, struct noise *to, size_t i)
{
	uint8_t payload[64], want[MESSAGE_MAX_SIZE], made[MESSAGE_MAX_SIZE], got[64];
	size_t payload_len = unhex(cacophony.messages[i].payload, payload, sizeof(payload));
	size_t want_len = unhex(cacophony.messages[i].ciphertext, want, sizeof(want));
	struct slice p = slice_of(payload, payload_len), m = slice_of(want, want_len);
	assert_int_equal(
	    i < 2 ? noise_write(from, p, made) : noise_seal(from, p, made), RMQ_E_OK);
	assert_memory_equal(made, want, want_len);
	assert_int_equal(
	    i < 2 ? noise_read(to, m, got, payload_len) : noise_open(to, m, got), RMQ_E_OK);
	assert_memory_equal(got, payload, payload_len);
}

static void published_vector(void **state)
{
	struct noise a, b;
	uint8_t text[32], s[KEY_SIZE], e[KEY_SIZE], key[KEY_SIZE], hash[NOISE_HASH_SIZE];
	struct keypair own;
	(void)state;
	struct slice john = slice_of(text, unhex(cacophony.prologue, text, sizeof(text)));
	unhex(cacophony.resp_public, key, sizeof(key));
	unhex(cacophony.init_static, s, sizeof(s));
	unhex(cacophony.init_ephemeral, e, sizeof(e));
	own = pair_of(s);
	assert_int_equal(noise_initiate(&a, john, &own, e, key), RMQ_E_OK);
	unhex(cacophony.resp_static, s, sizeof(s));
	unhex(cacophony.resp_ephemeral, e, sizeof(e));
	own = pair_of(s);
	assert_int_equal(noise_respond(&b, john, &own, e, known, &asked), RMQ_E_OK);
	assert_memory_equal(b.key, key, KEY_SIZE);
	for (size_t i = 0; i < 6; i++)
		check_vector_message(i % 2 ? &b : &a, i % 2 ? &a : &b, i);
	unhex(cacophony.handshake_hash, hash, sizeof(hash));
	assert_memory_equal(a.hash, hash, sizeof(hash));
	assert_memory_equal(b.hash, hash, sizeof(hash));
}

static void hmac_is_not_keyed_blake2b(void **state)
{
	static const char text[] = "what do ya want for nothing?";
	/* By Python: hmac.new(bytes(range(64)), text, hashlib.blake2b) */
	static const char hex[] =
	    "e33fddf8992f619b8fc74af98a787f16606b9a7f588bda065006ac8c7e6fd3f4"
	    "5ff64fd7ea59c43847f32dd569d7db654d7b77715e7bf2d0fe7afa0f0ec75bc4";
	uint8_t key[64], want[NOISE_HASH_SIZE], got[NOISE_HASH_SIZE];
	(void)state;
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)i;
	unhex(hex, want, sizeof(want));
	noise_hmac(slice_of(key, sizeof(key)), slice_str(text), nothing, got);
	assert_memory_equal(got, want, sizeof(want));
	/* In two pieces it is the same. */
	noise_hmac(slice_of(key, sizeof(key)), slice_of(text, 5), slice_str(text + 5), got);
	assert_memory_equal(got, want, sizeof(want));
	crypto_generichash(
	    got, sizeof(got), (const uint8_t *)text, strlen(text), key, sizeof(key));
	assert_memory_not_equal(got, want, sizeof(want));
}

/* ---- the handshake's rules ---- */

static void messages_have_96_and_48_bytes_and_no_other_length(void **state)
{
	struct noise a, b;
	uint8_t m[NOISE_MESSAGE_1_SIZE + 16] = {0};
	(void)state;
	for (size_t len = 0; len < sizeof(m); len++) {
		message_1(&a, &b, m);
		enum rmq_error err = noise_read(&b, slice_of(m, len), NULL, 0);
		assert_int_equal(err, len == 96 ? RMQ_E_OK : RMQ_E_PROTOCOL);
		assert_int_equal(b.state, len == 96 ? NOISE_WRITES_2 : NOISE_FAILED);
	}
	for (size_t len = 0; len < NOISE_MESSAGE_2_SIZE + 16; len++) {
		message_2(&a, &b, m);
		enum rmq_error err = noise_read(&a, slice_of(m, len), NULL, 0);
		assert_int_equal(err, len == 48 ? RMQ_E_OK : RMQ_E_PROTOCOL);
		assert_int_equal(a.state, len == 48 ? NOISE_SILENT : NOISE_FAILED);
	}
}

static void every_changed_byte_of_a_message_is_noticed(void **state)
{
	struct noise a, b;
	uint8_t m[NOISE_MESSAGE_1_SIZE];
	(void)state;
	for (size_t i = 0; i < NOISE_MESSAGE_1_SIZE; i++) {
		message_1(&a, &b, m);
		m[i] ^= 1;
		REFUSED(&b, read_1(&b, m), RMQ_E_DENIED);
	}
	for (size_t i = 0; i < NOISE_MESSAGE_2_SIZE; i++) {
		message_2(&a, &b, m);
		m[i] ^= 1;
		REFUSED(&a, noise_read(&a, slice_of(m, 48), NULL, 0), RMQ_E_DENIED);
	}
}

static void another_prologue_is_refused(void **state)
{
	struct noise a, b;
	uint8_t m[NOISE_MESSAGE_1_SIZE];
	(void)state;
	start(&a, &b);
	assert_int_equal(
	    noise_initiate(&a, slice_str("prologuE"), &pair_a, ephemeral_a, key_b), RMQ_E_OK);
	assert_int_equal(noise_write(&a, nothing, m), RMQ_E_OK);
	REFUSED(&b, read_1(&b, m), RMQ_E_DENIED);
	assert_int_equal(asked.count, 0);
}

static void an_unknown_peer_is_refused(void **state)
{
	struct noise a, b;
	uint8_t m[NOISE_MESSAGE_1_SIZE];
	(void)state;
	asked.yes = false;
	message_1(&a, &b, m);
	REFUSED(&b, read_1(&b, m), RMQ_E_DENIED);
	assert_int_equal(asked.count, 1);
	assert_memory_equal(asked.key, key_a, KEY_SIZE);
	REFUSED(&b, noise_write(&b, nothing, m), RMQ_E_DENIED);
}

static void who_does_not_know_our_key_is_not_looked_up(void **state)
{
	struct noise a, b;
	uint8_t m[NOISE_MESSAGE_1_SIZE], other[KEY_SIZE];
	(void)state;
	start(&a, &b);
	assert_true(key_public(ephemeral_b, other));
	assert_int_equal(noise_initiate(&a, prologue, &pair_a, ephemeral_a, other), RMQ_E_OK);
	assert_int_equal(noise_write(&a, nothing, m), RMQ_E_OK);
	REFUSED(&b, read_1(&b, m), RMQ_E_DENIED);
	assert_int_equal(asked.count, 0);
}

/* The static key is a point which the next Diffie-Hellman refuses; it was asked for before. */
static void the_peer_is_looked_up_before_the_next_diffie_hellman(void **state)
{
	struct noise a, b;
	uint8_t m[NOISE_MESSAGE_1_SIZE];
	(void)state;
	start(&a, &b);
	memset(a.key, 0, KEY_SIZE);
	assert_int_equal(noise_write(&a, nothing, m), RMQ_E_OK);
	REFUSED(&b, read_1(&b, m), RMQ_E_DENIED);
	assert_int_equal(asked.count, 1);
	/* And also if what comes after the static key is garbage. */
	message_1(&a, &b, m);
	m[NOISE_MESSAGE_1_SIZE - 1] ^= 1;
	REFUSED(&b, read_1(&b, m), RMQ_E_DENIED);
	assert_int_equal(asked.count, 2);
	assert_memory_equal(asked.key, key_a, KEY_SIZE);
}

static void points_of_low_order_are_refused(void **state)
{
	struct noise a, b;
	uint8_t m[NOISE_MESSAGE_1_SIZE], point[KEY_SIZE];
	(void)state;
	for (size_t i = 0; i < LOW_ORDER; i++) {
		unhex(low_order[i], point, sizeof(point));
		/* as an ephemeral key, in both messages */
		message_1(&a, &b, m);
		memcpy(m, point, KEY_SIZE);
		REFUSED(&b, read_1(&b, m), RMQ_E_DENIED);
		assert_int_equal(asked.count, (int)(2 * i));
		message_2(&a, &b, m);
		memcpy(m, point, KEY_SIZE);
		REFUSED(&a, noise_read(&a, slice_of(m, 48), NULL, 0), RMQ_E_DENIED);
		/* as a static key, of both */
		start(&a, &b);
		memcpy(a.key, point, KEY_SIZE);
		assert_int_equal(noise_write(&a, nothing, m), RMQ_E_OK);
		REFUSED(&b, read_1(&b, m), RMQ_E_DENIED);
		assert_int_equal(asked.count, (int)(2 * i) + 2);
		enum rmq_error err = noise_initiate(&a, prologue, &pair_a, ephemeral_a, point);
		assert_int_equal(err, i == 0 ? RMQ_E_DENIED : RMQ_E_OK);
		REFUSED(&a, noise_write(&a, nothing, m), RMQ_E_DENIED);
	}
}

static void keys_of_zeros_are_refused(void **state)
{
	static const uint8_t zeros[KEY_SIZE];
	static const struct keypair none;
	struct noise n;
	(void)state;
	REFUSED(&n, noise_initiate(&n, prologue, &none, ephemeral_a, key_b), RMQ_E_DENIED);
	REFUSED(&n, noise_initiate(&n, prologue, &pair_a, zeros, key_b), RMQ_E_DENIED);
	REFUSED(&n, noise_initiate(&n, prologue, &pair_a, ephemeral_a, zeros), RMQ_E_DENIED);
	REFUSED(
	    &n, noise_respond(&n, prologue, &none, ephemeral_b, known, &asked), RMQ_E_DENIED);
	REFUSED(&n, noise_respond(&n, prologue, &pair_b, zeros, known, &asked), RMQ_E_DENIED);
}

static void our_own_keys_are_refused(void **state)
{
	struct noise a, b;
	uint8_t m[NOISE_MESSAGE_1_SIZE];
	(void)state;
	REFUSED(&a, noise_initiate(&a, prologue, &pair_a, ephemeral_a, key_a), RMQ_E_DENIED);
	/* Someone with a copy of the responder's key. */
	start(&a, &b);
	memcpy(a.secret, secret_b, KEY_SIZE);
	memcpy(a.key, key_b, KEY_SIZE);
	assert_int_equal(noise_write(&a, nothing, m), RMQ_E_OK);
	REFUSED(&b, read_1(&b, m), RMQ_E_DENIED);
	assert_int_equal(asked.count, 0);
	/* Our ephemeral key, and our static one as an ephemeral one, all else being right. */
	for (int i = 0; i < 3; i++) {
		const uint8_t *secrets[] = {ephemeral_b, secret_b, ephemeral_a};
		start(&a, &b);
		assert_int_equal(
		    noise_initiate(&a, prologue, &pair_a, secrets[i], key_b), RMQ_E_OK);
		assert_int_equal(noise_write(&a, nothing, m), RMQ_E_OK);
		/* Ours of this handshake is made when there is an answer to be given. */
		assert_int_equal(read_1(&b, m), i == 1 ? RMQ_E_DENIED : RMQ_E_OK);
		if (i == 0)
			REFUSED(&b, noise_write(&b, nothing, m), RMQ_E_DENIED);
	}
	assert_int_equal(asked.count, 2);
	message_2(&a, &b, m);
	memcpy(m, a.ephemeral, KEY_SIZE);
	REFUSED(&a, noise_read(&a, slice_of(m, 48), NULL, 0), RMQ_E_DENIED);
}

/* What is no message 1 for us, or of a stranger, costs no key. */
static void the_responder_makes_a_key_for_peers_that_it_knows(void **state)
{
	static const uint8_t zeros[KEY_SIZE];
	struct noise a, b;
	uint8_t m[NOISE_MESSAGE_1_SIZE], answer[NOISE_MESSAGE_2_SIZE];
	(void)state;
	message_1(&a, &b, m);
	assert_int_equal(read_1(&b, m), RMQ_E_OK);
	assert_memory_equal(b.ephemeral, zeros, KEY_SIZE);
	assert_int_equal(noise_write(&b, nothing, answer), RMQ_E_OK);
	assert_memory_equal(answer, b.ephemeral, KEY_SIZE);
	assert_memory_not_equal(b.ephemeral, zeros, KEY_SIZE);
}

static void a_turn_that_is_not_ours_is_a_bug(void **state)
{
	struct noise a, b;
	uint8_t m[NOISE_MESSAGE_1_SIZE];
	(void)state;
	start(&a, &b);
	REFUSED(&a, noise_read(&a, slice_of(m, 48), NULL, 0), RMQ_E_BUG);
	REFUSED(&b, noise_write(&b, nothing, m), RMQ_E_BUG);
	start(&a, &b);
	REFUSED(&a, noise_seal(&a, nothing, m), RMQ_E_BUG);
	REFUSED(&b, noise_open(&b, slice_of(m, 32), m), RMQ_E_BUG);
}

static bool holds(const struct noise *n, const void *bytes, size_t len)
{
	return memmem(n, sizeof(*n), bytes, len) != NULL;
}

static void secrets_are_wiped_when_the_handshake_is_over(void **state)
{
	struct noise a, b;
	static const uint8_t zeros[NOISE_HASH_SIZE];
	uint8_t m[NOISE_MESSAGE_1_SIZE];
	(void)state;
	message_1(&a, &b, m);
	assert_true(holds(&a, secret_a, KEY_SIZE) && holds(&a, ephemeral_a, KEY_SIZE));
	handshake(&a, &b);
	assert_false(holds(&a, secret_a, KEY_SIZE) || holds(&a, ephemeral_a, KEY_SIZE));
	assert_false(holds(&b, secret_b, KEY_SIZE) || holds(&b, ephemeral_b, KEY_SIZE));
	for (struct noise *n = &a; n; n = n == &a ? &b : NULL) {
		assert_memory_equal(n->chain, zeros, sizeof(n->chain));
		assert_memory_equal(&n->handshake, zeros, sizeof(n->handshake));
	}
	noise_deinit(&a);
	assert_wiped(&a);
	noise_deinit(&a);
	assert_wiped(&a);
}

/* ---- records ---- */

static void a_repeated_message_1_opens_nothing(void **state)
{
	static const uint8_t fresh[KEY_SIZE] = {0, 'b', 3};
	struct noise a, b, again;
	uint8_t first[NOISE_MESSAGE_1_SIZE], m[NOISE_MESSAGE_2_SIZE], record[32];
	(void)state;
	message_1(&a, &b, first);
	assert_int_equal(read_1(&b, first), RMQ_E_OK);
	assert_int_equal(noise_write(&b, nothing, m), RMQ_E_OK);
	assert_int_equal(noise_read(&a, slice_of(m, sizeof(m)), NULL, 0), RMQ_E_OK);
	assert_int_equal(noise_seal(&a, slice_str("now"), record), RMQ_E_OK);
	assert_int_equal(b.state, NOISE_SILENT);
	assert_int_equal(noise_open(&b, slice_of(record, 3 + 16), record + 19), RMQ_E_OK);
	assert_int_equal(b.state, NOISE_OPEN);

	assert_int_equal(
	    noise_respond(&again, prologue, &pair_b, fresh, known, &asked), RMQ_E_OK);
	assert_int_equal(read_1(&again, first), RMQ_E_OK);
	assert_int_equal(noise_write(&again, nothing, m), RMQ_E_OK);
	assert_int_equal(again.state, NOISE_SILENT);
	REFUSED(&again, noise_open(&again, slice_of(record, 3 + 16), m), RMQ_E_PROTOCOL);
}

static void the_responder_sends_nothing_before_a_record_came(void **state)
{
	struct noise a, b;
	uint8_t record[32];
	(void)state;
	handshake(&a, &b);
	REFUSED(&b, noise_seal(&b, nothing, record), RMQ_E_BUG);
	handshake(&a, &b);
	assert_int_equal(noise_seal(&a, nothing, record), RMQ_E_OK);
	assert_int_equal(noise_open(&b, slice_of(record, 16), NULL), RMQ_E_OK);
	assert_int_equal(noise_seal(&b, nothing, record), RMQ_E_OK);
	assert_int_equal(a.state, NOISE_SILENT);
	assert_int_equal(noise_open(&a, slice_of(record, 16), NULL), RMQ_E_OK);
	assert_int_equal(a.state, NOISE_OPEN);
}

static void each_direction_has_its_own_key(void **state)
{
	struct noise a, b;
	uint8_t record[32];
	(void)state;
	handshake(&a, &b);
	assert_memory_equal(a.out.key, b.in.key, KEY_SIZE);
	assert_memory_equal(a.in.key, b.out.key, KEY_SIZE);
	assert_memory_not_equal(a.in.key, a.out.key, KEY_SIZE);
	assert_int_equal(noise_seal(&a, nothing, record), RMQ_E_OK);
	REFUSED(&a, noise_open(&a, slice_of(record, 16), NULL), RMQ_E_PROTOCOL);
}

static void records_open_once_and_in_order(void **state)
{
	struct noise a, b;
	uint8_t one[32], two[32], out[32];
	(void)state;
	handshake(&a, &b);
	assert_int_equal(noise_seal(&a, slice_str("same"), one), RMQ_E_OK);
	assert_int_equal(noise_seal(&a, slice_str("same"), two), RMQ_E_OK);
	assert_memory_not_equal(one, two, 20);
	assert_int_equal(a.out.counter, 2);
	struct noise copy = b;
	REFUSED(&copy, noise_open(&copy, slice_of(two, 20), out), RMQ_E_PROTOCOL);
	assert_int_equal(noise_open(&b, slice_of(one, 20), out), RMQ_E_OK);
	copy = b;
	REFUSED(&copy, noise_open(&copy, slice_of(one, 20), out), RMQ_E_PROTOCOL);
	assert_int_equal(noise_open(&b, slice_of(two, 20), out), RMQ_E_OK);
	assert_int_equal(b.in.counter, 2);
}

static void the_first_bad_tag_ends_the_link(void **state)
{
	struct noise a, b;
	uint8_t record[32], bad[32], out[32];
	(void)state;
	handshake(&a, &b);
	assert_int_equal(noise_seal(&a, slice_str("text"), record), RMQ_E_OK);
	memcpy(bad, record, sizeof(bad));
	bad[19] ^= 0x80;
	REFUSED(&b, noise_open(&b, slice_of(bad, 20), out), RMQ_E_PROTOCOL);
	REFUSED(&b, noise_open(&b, slice_of(record, 20), out), RMQ_E_PROTOCOL);
	REFUSED(&b, noise_seal(&b, nothing, out), RMQ_E_PROTOCOL);
	/* Also of the right record only a part. */
	for (size_t len = 0; len < 20; len++) {
		handshake(&a, &b);
		assert_int_equal(noise_seal(&a, slice_str("text"), record), RMQ_E_OK);
		REFUSED(&b, noise_open(&b, slice_of(record, len), out), RMQ_E_PROTOCOL);
	}
}

static void a_record_has_at_most_65535_bytes(void **state)
{
	struct noise a, b;
	uint8_t *record = calloc(1, NOISE_RECORD_MAX + 1);
	(void)state;
	handshake(&a, &b);
	assert_int_equal(noise_seal(&a, slice_of(record, NOISE_PLAIN_MAX), record), RMQ_E_OK);
	struct noise copy = b;
	REFUSED(&copy, noise_open(&copy, slice_of(record, NOISE_RECORD_MAX + 1), record),
	    RMQ_E_PROTOCOL);
	assert_int_equal(noise_open(&b, slice_of(record, NOISE_RECORD_MAX), record), RMQ_E_OK);
	for (size_t i = 0; i < NOISE_PLAIN_MAX; i++)
		assert_int_equal(record[i], 0);
	free(record);
}

static void the_counter_ends_long_before_its_type(void **state)
{
	struct noise a, b;
	uint8_t record[32], last[16];
	(void)state;
	handshake(&a, &b);
	a.out.counter = b.in.counter = NOISE_RECORDS_MAX - 1;
	assert_int_equal(noise_seal(&a, nothing, last), RMQ_E_OK);
	assert_int_equal(noise_open(&b, slice_of(last, 16), NULL), RMQ_E_OK);
	REFUSED(&a, noise_seal(&a, nothing, record), RMQ_E_LIMIT);
	REFUSED(&b, noise_open(&b, slice_of(last, 16), NULL), RMQ_E_LIMIT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {TEST(published_vector),
	    TEST(hmac_is_not_keyed_blake2b),
	    TEST(messages_have_96_and_48_bytes_and_no_other_length),
	    TEST(every_changed_byte_of_a_message_is_noticed), TEST(another_prologue_is_refused),
	    TEST(an_unknown_peer_is_refused), TEST(who_does_not_know_our_key_is_not_looked_up),
	    TEST(the_peer_is_looked_up_before_the_next_diffie_hellman),
	    TEST(points_of_low_order_are_refused), TEST(keys_of_zeros_are_refused),
	    TEST(the_responder_makes_a_key_for_peers_that_it_knows),
	    TEST(our_own_keys_are_refused), TEST(a_turn_that_is_not_ours_is_a_bug),
	    TEST(secrets_are_wiped_when_the_handshake_is_over),
	    TEST(a_repeated_message_1_opens_nothing),
	    TEST(the_responder_sends_nothing_before_a_record_came),
	    TEST(each_direction_has_its_own_key), TEST(records_open_once_and_in_order),
	    TEST(the_first_bad_tag_ends_the_link), TEST(a_record_has_at_most_65535_bytes),
	    TEST(the_counter_ends_long_before_its_type)};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
