#include "core/link/key.h"

#include <assert.h>
#include <sodium/crypto_generichash.h>
#include <sodium/crypto_scalarmult.h>
#include <sodium/utils.h>
#include <string.h>

#define PREFIX_LEN	  (sizeof(KEY_PREFIX) - 1)
#define FINGERPRINT_BYTES 16

static_assert(KEY_SIZE == crypto_scalarmult_BYTES, "a point");
static_assert(KEY_SIZE == crypto_scalarmult_SCALARBYTES, "a scalar");
static_assert(
    KEY_BASE64_SIZE == sodium_base64_ENCODED_LEN(KEY_SIZE, sodium_base64_VARIANT_ORIGINAL),
    "with its padding");
static_assert(KEY_TEXT_SIZE == PREFIX_LEN + KEY_BASE64_SIZE, "a key's text");
static_assert(KEY_FINGERPRINT_SIZE == FINGERPRINT_BYTES / 2 * 5, "groups of four");

bool key_public(const uint8_t secret[KEY_SIZE], uint8_t key[KEY_SIZE])
{
	static const uint8_t zeros[KEY_SIZE];
	return sodium_memcmp(secret, zeros, KEY_SIZE) != 0 &&
	       crypto_scalarmult_base(key, secret) == 0;
}

bool key_shared(
    const uint8_t secret[KEY_SIZE], const uint8_t key[KEY_SIZE], uint8_t shared[KEY_SIZE])
{
	if (crypto_scalarmult(shared, secret, key) == 0)
		return true;
	sodium_memzero(shared, KEY_SIZE);
	return false;
}

void key_encode(const uint8_t bytes[KEY_SIZE], char text[KEY_BASE64_SIZE])
{
	(void)sodium_bin2base64(
	    text, KEY_BASE64_SIZE, bytes, KEY_SIZE, sodium_base64_VARIANT_ORIGINAL);
}

bool key_decode(struct slice text, uint8_t bytes[KEY_SIZE])
{
	char again[KEY_BASE64_SIZE];
	size_t len;
	if (text.len != KEY_BASE64_SIZE - 1 ||
	    sodium_base642bin(bytes, KEY_SIZE, (const char *)text.data, text.len, NULL, &len,
		NULL, sodium_base64_VARIANT_ORIGINAL) != 0 ||
	    len != KEY_SIZE)
		return false;
	/* The decoder of some versions takes bytes above 127 for digits. */
	key_encode(bytes, again);
	bool same = memcmp(again, text.data, text.len) == 0;
	sodium_memzero(again, sizeof(again));
	return same;
}

void key_print(const uint8_t key[KEY_SIZE], char text[KEY_TEXT_SIZE])
{
	memcpy(text, KEY_PREFIX, PREFIX_LEN);
	key_encode(key, text + PREFIX_LEN);
}

bool key_parse(struct slice text, uint8_t key[KEY_SIZE])
{
	static const uint8_t any[KEY_SIZE] = {8};
	uint8_t found[KEY_SIZE], shared[KEY_SIZE];
	if (text.len != KEY_TEXT_SIZE - 1 || memcmp(text.data, KEY_PREFIX, PREFIX_LEN) != 0)
		return false;
	text = slice_of(text.data + PREFIX_LEN, text.len - PREFIX_LEN);
	if (!key_decode(text, found) || !key_shared(any, found, shared))
		return false;
	memcpy(key, found, KEY_SIZE);
	return true;
}

void key_fingerprint(const uint8_t key[KEY_SIZE], char text[KEY_FINGERPRINT_SIZE])
{
	char line[KEY_TEXT_SIZE];
	uint8_t hash[FINGERPRINT_BYTES];
	key_print(key, line);
	int err = crypto_generichash(
	    hash, sizeof(hash), (const uint8_t *)line, KEY_TEXT_SIZE - 1, NULL, 0);
	assert(err == 0);
	(void)err;
	for (size_t i = 0; i < FINGERPRINT_BYTES; i += 2, text += 5) {
		(void)sodium_bin2hex(text, 5, hash + i, 2);
		text[4] = '-';
	}
	text[-1] = '\0';
}
