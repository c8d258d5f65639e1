/* libcrypto's cipher makes the records that libsodium's makes, and refuses what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "sys/net/fast_cipher.h"

static const uint8_t key[KEY_SIZE] = {3, 1, 4}, nonce[NOISE_NONCE_SIZE] = {0, 0, 0, 0, 1, 5};
static uint8_t plain[NOISE_PLAIN_MAX], record[NOISE_RECORD_MAX], other[NOISE_RECORD_MAX];
static const struct noise_fast *fast;

static int setup(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)(i * 7 + i / 256);
	fast = fast_cipher();
	assert_non_null(fast);
	assert_ptr_equal(fast, fast_cipher());
	return 0;
}

static void check_length(size_t len)
{
	size_t size = len + NOISE_TAG_SIZE;
	const struct slice all = {plain, len};
	crypto_aead_chacha20poly1305_ietf_encrypt(
	    other, NULL, plain, len, NULL, 0, NULL, nonce, key);
	assert_true(fast->seal(key, nonce, &all, 1, record));
	assert_memory_equal(record, other, size);
	assert_true(fast->open(key, nonce, slice_of(record, size), other));
	assert_memory_equal(other, plain, len);
	assert_int_equal(crypto_aead_chacha20poly1305_ietf_decrypt(
			     other, NULL, NULL, record, size, NULL, 0, nonce, key),
	    0);
	assert_memory_equal(other, plain, len);
	/* In place, too. */
	assert_true(fast->seal(key, nonce, &(struct slice){other, len}, 1, other));
	assert_memory_equal(other, record, size);
	assert_true(fast->open(key, nonce, slice_of(other, size), other));
	assert_memory_equal(other, plain, len);
	record[len * 5 % size] ^= 4;
	assert_false(fast->open(key, nonce, slice_of(record, size), other));
}

static void each_length_is_the_same(void **state)
{
	(void)state;
	for (size_t len = 0; len <= 300; len++)
		check_length(len);
	for (size_t len = 1000; len < NOISE_PLAIN_MAX; len += 9973)
		check_length(len);
	check_length(NOISE_PLAIN_MAX);
}

static void pieces_are_sealed_as_one(void **state)
{
	const size_t len = 5000;
	(void)state;
	crypto_aead_chacha20poly1305_ietf_encrypt(
	    other, NULL, plain, len, NULL, 0, NULL, nonce, key);
	for (size_t first = 0; first < 130; first++)
		for (size_t second = 0; second < 70; second += 3) {
			/* The second one stands there where it goes. */
			memcpy(record + first, plain + first, second);
			const struct slice pieces[] = {{plain, first}, {record + first, second},
			    {plain + first + second, len - first - second}};
			assert_true(fast->seal(key, nonce, pieces, 3, record));
			assert_memory_equal(record, other, len + NOISE_TAG_SIZE);
		}
}

/* Two with the same two keys, as after a handshake. */
static void pair_up(struct noise *a, struct noise *b)
{
	memset(a, 0, sizeof(*a));
	a->state = NOISE_OPEN;
	memcpy(a->out.key, key, KEY_SIZE);
	*b = *a;
	memcpy(b->in.key, key, KEY_SIZE);
}

static void seal(struct noise *a, size_t len)
{
	const struct slice pieces[] = {{plain, 3}, {plain + 3, len - 3}};
	assert_int_equal(noise_seal_pieces(a, pieces, 2, record), RMQ_E_OK);
}

static void each_side_may_have_either(void **state)
{
	static const size_t lengths[] = {
	    3, 1519, 1520, 2047, 2048, 2049, 40000, NOISE_PLAIN_MAX};
	struct noise a, b;
	(void)state;
	pair_up(&a, &b);
	for (unsigned i = 0; i < 4 * sizeof(lengths) / sizeof(lengths[0]); i++) {
		size_t len = lengths[i / 4];
		/* Changed in the midst of a link. */
		noise_use(&a, i & 1 ? fast : NULL);
		noise_use(&b, i & 2 ? fast : NULL);
		seal(&a, len);
		memset(other, 0, sizeof(other));
		assert_int_equal(
		    noise_open(&b, slice_of(record, len + NOISE_TAG_SIZE), other), RMQ_E_OK);
		assert_memory_equal(other, plain, len);
	}
	assert_int_equal(a.out.counter, b.in.counter);
}

static void what_is_damaged_is_zeroed_and_ends_the_link(void **state)
{
	static const uint8_t zeros[4000];
	struct noise a, b;
	(void)state;
	pair_up(&a, &b);
	noise_use(&a, fast);
	noise_use(&b, fast);
	seal(&a, sizeof(zeros));
	record[sizeof(zeros) - 1] ^= 1;
	assert_int_equal(
	    noise_open(&b, slice_of(record, sizeof(zeros) + NOISE_TAG_SIZE), other),
	    RMQ_E_PROTOCOL);
	assert_memory_equal(other, zeros, sizeof(zeros));
	assert_int_equal(b.state, NOISE_FAILED);
}

static bool cannot(const uint8_t k[KEY_SIZE], const uint8_t n[NOISE_NONCE_SIZE],
    const struct slice *pieces, size_t count, uint8_t *out)
{
	(void)k, (void)n, (void)pieces, (void)count, (void)out;
	return false;
}

/* Libsodium must not do it again: with the same nonce, of what may be sealed already. */
static void what_cannot_be_sealed_ends_the_link(void **state)
{
	const struct noise_fast broken = {cannot, NULL};
	struct noise a, b;
	(void)state;
	pair_up(&a, &b);
	noise_use(&a, &broken);
	assert_int_equal(noise_seal(&a, slice_of(plain, 4000), record), RMQ_E_LIMIT);
	assert_int_equal(a.state, NOISE_FAILED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_length_is_the_same),
	    cmocka_unit_test(pieces_are_sealed_as_one),
	    cmocka_unit_test(each_side_may_have_either),
	    cmocka_unit_test(what_is_damaged_is_zeroed_and_ends_the_link),
	    cmocka_unit_test(what_cannot_be_sealed_ends_the_link),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
